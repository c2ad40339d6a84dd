//! Values whose bytes are stored, made of fixed keys and ids.

mod messages;
mod places;
mod records;

use codec::{Ed25519Signer, Ed25519Verifier, ZstdCodec};
use protocol::edge::{Codec, CodecError, Dictionary, Signer};
use protocol::ids::{Hash, JournalId, SiteId};
use protocol::section::{Binding, Kind, SectionReader, seal};

/// A value and its bytes.
pub(crate) struct Sample {
    /// The file's name without its end.
    pub(crate) name: &'static str,
    /// What it is, for the file's first line.
    pub(crate) comment: &'static str,
    /// What the value encodes to now.
    pub(crate) bytes: Vec<u8>,
    /// False where a library chooses among right encodings.
    pub(crate) is_encoding_fixed: bool,
    /// Decodes the stored bytes and compares them with the value.
    pub(crate) check: Check,
}

/// Fails if the bytes are not those of the value.
pub(crate) type Check = Box<dyn Fn(&[u8])>;

/// Every sample.
pub(crate) fn all() -> Vec<Sample> {
    let mut samples = records::all();
    samples.extend(messages::all());
    samples.extend(places::all());
    samples
}

const SITE: SiteId = SiteId(7);
const JOURNAL: JournalId = JournalId([0xa1; 16]);

fn central() -> Ed25519Signer {
    Ed25519Signer::from_seed(&[1; 32])
}

fn device() -> Ed25519Signer {
    Ed25519Signer::from_seed(&[2; 32])
}

fn binding(context: Hash) -> Binding {
    Binding { central: central().public_key(), site: SITE, context }
}

fn signer_of(kind: Kind) -> Ed25519Signer {
    match kind {
        Kind::RequestHead
        | Kind::Frame
        | Kind::FramePart
        | Kind::CheckHead
        | Kind::VerifyQuestion
        | Kind::NewsQuestion => device(),
        Kind::ReplyHead
        | Kind::Page
        | Kind::Refusal
        | Kind::CheckAnswer
        | Kind::VerifyAnswer
        | Kind::NewsAnswer
        | Kind::ExportHead
        | Kind::ExportPage => central(),
    }
}

fn sealed(kind: Kind, context: Hash, body: &[u8]) -> Vec<u8> {
    seal(kind, &binding(context), body, &signer_of(kind))
}

/// The checked bodies of sections that fill the bytes.
fn opened(kind: Kind, context: Hash, bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = SectionReader::default();
    reader.feed(bytes);
    let mut bodies = Vec::new();
    while let Some(section) = reader.next_section().unwrap() {
        assert_eq!(section.kind(), kind);
        let key = signer_of(kind).public_key();
        bodies.push(section.open(&binding(context), &key, &Ed25519Verifier).unwrap().to_vec());
    }
    assert!(!reader.holds_rest());
    bodies
}

/// A section whose only body is the encoded message.
fn message<T>(name: &'static str, comment: &'static str, kind: Kind, context: Hash, value: T) -> Sample
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug + 'static,
{
    let bytes = sealed(kind, context, &protocol::message::encode(&value));
    let check = move |stored: &[u8]| {
        let bodies = opened(kind, context, stored);
        assert_eq!(bodies.len(), 1);
        assert_eq!(protocol::message::decode_part::<T>(&bodies[0]).as_ref(), Ok(&value), "{name}");
    };
    Sample { name, comment, bytes, is_encoding_fixed: true, check: Box::new(check) }
}

/// Never packs smaller, so that bytes travel as they are.
struct Unpacked;

impl Codec for Unpacked {
    fn compress(&mut self, _: Dictionary, _: &[u8], plain: &[u8]) -> Result<Vec<u8>, CodecError> {
        Ok(plain.to_vec())
    }

    fn decompress(&mut self, _: Dictionary, _: &[u8], _: &[u8], _: usize) -> Result<Vec<u8>, CodecError> {
        Err(CodecError { reason: "nothing was packed" })
    }

    fn built_in(&self) -> Dictionary {
        Dictionary::None
    }
}

/// Both ways of packing, with the end of the name for each.
fn packings() -> [(bool, Box<dyn Codec>); 2] {
    [(false, Box::new(Unpacked)), (true, Box::new(ZstdCodec::default()))]
}
