//! Stand-ins for what is slow: a keyed checksum for signatures, and a codec that packs nothing and unpacks zstd.

use codec::ZstdCodec;
use protocol::chain::hash_of;
use protocol::edge::{Codec, CodecError, Dictionary, Signature, Signer, Verifier};
use protocol::ids::{Hash, JournalId, PublicKey, SiteId};
use protocol::section::{Binding, Kind, SectionReader, seal};

pub(crate) const SITE: SiteId = SiteId(7);
pub(crate) const JOURNAL: JournalId = JournalId([3; 16]);
pub(crate) const CENTRAL: Key = Key(1);
pub(crate) const DEVICE: Key = Key(2);

/// A key that is a number. Nobody guesses a signature here, so a checksum stands for one: fuzzing is after what comes behind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key(u8);

impl Key {
    pub(crate) fn public(self) -> PublicKey {
        PublicKey([self.0; 32])
    }
}

impl Signer for Key {
    fn public_key(&self) -> PublicKey {
        self.public()
    }

    fn sign(&self, message: &[u8]) -> Signature {
        let mut signature = [self.0; 64];
        let checksum = crc32fast::hash(message).to_le_bytes();
        signature[..checksum.len()].copy_from_slice(&checksum);
        Signature(signature)
    }
}

impl Verifier for Key {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        let [number, ..] = key.0;
        key.0 == [number; 32] && Key(number).sign(message) == *signature
    }
}

/// Leaves bytes as they are when it packs, and unpacks what central may have packed.
#[derive(Debug, Default)]
pub(crate) struct Unpacking(ZstdCodec);

impl Codec for Unpacking {
    fn compress(&mut self, _: Dictionary, _: &[u8], plain: &[u8]) -> Result<Vec<u8>, CodecError> {
        Ok(plain.to_vec())
    }

    fn decompress(
        &mut self,
        dictionary: Dictionary,
        previous: &[u8],
        packed: &[u8],
        plain_bytes: usize,
    ) -> Result<Vec<u8>, CodecError> {
        self.0.decompress(dictionary, previous, packed, plain_bytes)
    }

    fn built_in(&self) -> Dictionary {
        Dictionary::None
    }
}

/// A section that central signs as the answer to a request.
pub(crate) fn by_central(kind: Kind, context: Hash, body: &[u8]) -> Vec<u8> {
    seal(kind, &Binding { central: CENTRAL.public(), site: SITE, context }, body, &CENTRAL)
}

/// A section that the device signs.
pub(crate) fn by_device(kind: Kind, body: &[u8]) -> Vec<u8> {
    seal(kind, &Binding { central: CENTRAL.public(), site: SITE, context: Hash::NONE }, body, &DEVICE)
}

/// Hash of a request's head, which its reply is bound to.
pub(crate) fn context_of(request: &[u8]) -> Hash {
    let mut reader = SectionReader::default();
    reader.feed(request);
    let Ok(Some(head)) = reader.next_section() else { panic!("a request begins with its head") };
    hash_of(head.unchecked_body())
}

/// A kind of section by its number in a little program.
pub(crate) fn kind_of(number: u8) -> Kind {
    match number % 6 {
        0 => Kind::RequestHead,
        1 => Kind::Frame,
        2 => Kind::FramePart,
        3 => Kind::ReplyHead,
        4 => Kind::Page,
        _ => Kind::Refusal,
    }
}
