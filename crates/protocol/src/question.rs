//! Questions that a device asks beside its exchanges: one signed section there, one back, bound to it.

use serde::de::DeserializeOwned;

use crate::chain::hash_of;
use crate::check::CheckError;
use crate::edge::{Signer, Verifier};
use crate::exchange::{SiteKeys, Standing, message_refusal, proved};
use crate::ids::{Hash, PublicKey, SiteId};
use crate::message::{self, Refusal};
use crate::section::{self, Binding, Kind, Sealed, SectionReader};

/// Signs a question, and says what its answer will be bound to.
pub(crate) fn ask(
    kind: Kind,
    site: SiteId,
    body: &[u8],
    central: PublicKey,
    signer: &dyn Signer,
) -> (alloc::vec::Vec<u8>, Binding) {
    let binding = Binding { central, site, context: Hash::NONE };
    let question = section::seal(kind, &binding, body, signer);
    (question, Binding { context: hash_of(body), ..binding })
}

/// What central has signed in answer to the question that `binding` is bound to.
///
/// # Errors
/// [`CheckError`]: it is not central's, or not to this question.
pub(crate) fn read_answer<T: DeserializeOwned>(
    bytes: &[u8],
    kind: Kind,
    binding: &Binding,
    verifier: &dyn Verifier,
) -> Result<T, CheckError> {
    let sealed = only_section(bytes, kind)?;
    let body = sealed.open(binding, &binding.central, verifier)?;
    Ok(message::decode(body)?)
}

/// A question at central. Nothing of it is proved before it is opened.
#[derive(Debug)]
pub(crate) struct SealedQuestion {
    sealed: Sealed,
    site: SiteId,
}

impl SealedQuestion {
    /// Reads a question of a kind; its body begins as a request head does.
    ///
    /// # Errors
    /// [`CheckError`]: it is none.
    pub(crate) fn read(bytes: &[u8], kind: Kind) -> Result<Self, CheckError> {
        let sealed = only_section(bytes, kind)?;
        let site = message::claimed_site(sealed.unchecked_body())?;
        Ok(Self { sealed, site })
    }

    /// The site that it claims to be from: it finds the keys.
    pub(crate) fn site(&self) -> SiteId {
        self.site
    }

    /// What is asked, and how the key that signed it stands to its site.
    ///
    /// # Errors
    /// As the head of an exchange is refused: `not_enrolled`, `version`, `bad_message`.
    pub(crate) fn open<T: DeserializeOwned>(
        &self,
        keys: &SiteKeys,
        central: PublicKey,
        verifier: &dyn Verifier,
    ) -> Result<(T, Standing), Refusal> {
        let binding = Binding { central, site: self.site, context: Hash::NONE };
        let (_, standing, body) = proved(&self.sealed, &binding, keys, verifier)?;
        let asked = message::decode(body).map_err(|error| message_refusal(&error))?;
        Ok((asked, standing))
    }

    /// Signs the answer.
    pub(crate) fn answer(&self, kind: Kind, body: &[u8], signer: &dyn Signer) -> alloc::vec::Vec<u8> {
        let context = hash_of(self.sealed.unchecked_body());
        let binding = Binding { central: signer.public_key(), site: self.site, context };
        section::seal(kind, &binding, body, signer)
    }
}

/// Bytes that are one whole section of a kind.
fn only_section(bytes: &[u8], kind: Kind) -> Result<Sealed, CheckError> {
    let mut reader = SectionReader::default();
    reader.feed(bytes);
    match reader.next_section()? {
        Some(sealed) if sealed.kind() == kind && !reader.holds_rest() => Ok(sealed),
        Some(_) | None => Err(CheckError::NotOneSection),
    }
}
