//! What stands before the sections of a file that travels by stick (`docs/wire-format.md`, "Files"): whose it is and what it belongs to,
//! so that the wrong file is named as such before anything is done with it. It proves nothing: the sections are signed.

use alloc::vec::Vec;

use crate::chain::hash_of;
use crate::ids::{Hash, PublicKey, SiteId};
use crate::message::MessageError;
use crate::section::{Kind, SectionReader};
use crate::versions::Versions;

/// The version of files that is written and read.
pub const VERSION: u8 = 1;
/// Bytes of a label.
pub const LABEL_BYTES: usize = 1 + 32 + 4 + 32;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// The central that it is for or from.
    pub central: PublicKey,
    /// The site that it is from or for.
    pub site: SiteId,
    /// Hash of the request's head, in a request and in its answer; of the export's head in an export.
    pub context: Hash,
}

impl Label {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        [&[VERSION][..], &self.central.0, &self.site.0.to_le_bytes(), &self.context.0].concat()
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8; LABEL_BYTES]) -> Result<Self, MessageError> {
        let (version, rest) = bytes.split_first().ok_or(MessageError::Malformed)?;
        if *version != VERSION {
            let understood = Versions { min: VERSION, max: VERSION };
            return Err(MessageError::Version { found: *version, understood });
        }
        let (central, rest) = rest.split_first_chunk::<32>().ok_or(MessageError::Malformed)?;
        let (site, rest) = rest.split_first_chunk::<4>().ok_or(MessageError::Malformed)?;
        let (context, _) = rest.split_first_chunk::<32>().ok_or(MessageError::Malformed)?;
        Ok(Self { central: PublicKey(*central), site: SiteId(u32::from_le_bytes(*site)), context: Hash(*context) })
    }
}

/// The body of the head of a request that this program made, and its hash.
///
/// # Errors
/// [`MessageError::Malformed`] if it does not begin with a head.
pub fn head_of(request: &[u8]) -> Result<(Vec<u8>, Hash), MessageError> {
    let mut reader = SectionReader::default();
    reader.feed(request);
    match reader.next_section() {
        Ok(Some(sealed)) if sealed.kind() == Kind::RequestHead => {
            let body = sealed.unchecked_body().to_vec();
            let hash = hash_of(&body);
            Ok((body, hash))
        }
        Ok(_) | Err(_) => Err(MessageError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: Label = Label { central: PublicKey([1; 32]), site: SiteId(2), context: Hash([3; 32]) };

    #[test]
    fn a_label_comes_back_and_one_of_another_version_is_named() {
        let bytes: [u8; LABEL_BYTES] = LABEL.encode().try_into().unwrap();
        let mut later = bytes;
        later[0] = 2;

        assert_eq!(Label::decode(&bytes), Ok(LABEL));
        assert!(matches!(Label::decode(&later), Err(MessageError::Version { found: 2, .. })));
    }
}
