//! A question that changes nothing: would central take a request of this device right now? (`docs/wire-format.md`, "Check").
//!
//! The question is a request head under a kind of its own, so that it can never pass for the head of an exchange, nor that for a
//! question. It names no cursor, and its token is looked at and not used up. The answer is signed, and bound to the question like
//! a reply to its head.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::edge::{Signer, Verifier};
use crate::exchange::{SiteKeys, Standing};
use crate::ids::{ControlNumber, CredentialGeneration, Hash, JournalId, PublicKey, Sequence, SiteId, Token};
use crate::message::{self, MessageError, Refusal, RequestHead};
use crate::question::{self, SealedQuestion};
use crate::section::{Binding, Kind, SectionError};

/// What central says of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckAnswer {
    /// 0.
    pub version: u8,
    /// What an exchange would be refused with; `None` if it would be taken up.
    pub refusal: Option<Refusal>,
    /// Since when the site is stopped, in milliseconds since 1970, if that is what the refusal says.
    pub stopped_ms: Option<u64>,
}

impl CheckAnswer {
    /// An exchange would be taken up.
    pub fn taken() -> Self {
        Self { version: message::VERSION, refusal: None, stopped_ms: None }
    }

    /// An exchange would be refused.
    pub fn refused(refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..Self::taken() }
    }
}

/// The head of a question: as at the head of an exchange, without anything that an exchange would use up or change. `salt` is fresh
/// and random. Who asks may add its token, and head and hash of its journal; without them central cannot look at these.
pub fn head(site: SiteId, journal: JournalId, generation: CredentialGeneration, salt: [u8; 8]) -> RequestHead {
    RequestHead {
        version: message::VERSION,
        site,
        token: Token::NONE,
        journal,
        predecessor: None,
        head: Sequence::ZERO,
        head_hash: Hash::NONE,
        generation,
        control: ControlNumber(0),
        cursors: Vec::new(),
        heard: None,
        claims: crate::control::Claims::default(),
        page_bytes: 0,
        reply_bytes: 0,
        counts_rows: false,
        page_part: None,
        recorded: Sequence::ZERO,
        further: Vec::new(),
        salt,
        answer: None,
    }
}

/// Makes the question of a device, and says what the answer will be bound to.
pub fn ask(head: &RequestHead, central: PublicKey, signer: &dyn Signer) -> (Vec<u8>, Binding) {
    question::ask(Kind::CheckHead, head.site, &message::encode(head), central, signer)
}

/// Reads an answer.
///
/// # Errors
/// [`CheckError`]: it is not central's, or not to this question.
pub fn read_answer(bytes: &[u8], binding: &Binding, verifier: &dyn Verifier) -> Result<CheckAnswer, CheckError> {
    question::read_answer(bytes, Kind::CheckAnswer, binding, verifier)
}

/// A question at central. Nothing of it is proved before it is opened.
#[derive(Debug)]
pub struct Question(SealedQuestion);

impl Question {
    /// Reads a question.
    ///
    /// # Errors
    /// [`CheckError`]: it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, CheckError> {
        SealedQuestion::read(bytes, Kind::CheckHead).map(Self)
    }

    /// The site that it claims to be from: it finds the keys.
    pub fn site(&self) -> SiteId {
        self.0.site()
    }

    /// The head, and how the key that signed it stands to its site.
    ///
    /// # Errors
    /// As the head of an exchange is refused: `not_enrolled`, `version`, `bad_message`.
    pub fn open(
        &self,
        keys: &SiteKeys,
        central: PublicKey,
        verifier: &dyn Verifier,
    ) -> Result<(RequestHead, Standing), Refusal> {
        self.0.open(keys, central, verifier)
    }

    /// Signs the answer.
    pub fn answer(&self, answer: &CheckAnswer, signer: &dyn Signer) -> Vec<u8> {
        self.0.answer(Kind::CheckAnswer, &message::encode(answer), signer)
    }
}

/// Bytes that are no question, or no answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckError {
    /// They are not one whole section of the right kind.
    NotOneSection,
    /// The section cannot be used.
    Section(SectionError),
    /// Its body cannot be used.
    Message(MessageError),
}

impl From<SectionError> for CheckError {
    fn from(error: SectionError) -> Self {
        Self::Section(error)
    }
}

impl From<MessageError> for CheckError {
    fn from(error: MessageError) -> Self {
        Self::Message(error)
    }
}

impl fmt::Display for CheckError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOneSection => {
                formatter.write_str("the bytes are not one whole section of the kind that belongs here")
            }
            Self::Section(error) => error.fmt(formatter),
            Self::Message(error) => error.fmt(formatter),
        }
    }
}

impl core::error::Error for CheckError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::{SectionReader, seal};
    use crate::testing::TestKey;

    const CENTRAL: TestKey = TestKey(9);
    const DEVICE: TestKey = TestKey(1);

    fn asked() -> RequestHead {
        head(SiteId(3), JournalId([2; 16]), CredentialGeneration(1), [7; 8])
    }

    fn keys(current: u8, retired: &[u8]) -> SiteKeys {
        let retired = retired.iter().map(|seed| TestKey(*seed).public_key()).collect();
        SiteKeys { current: Some(TestKey(current).public_key()), retired }
    }

    fn central() -> PublicKey {
        CENTRAL.public_key()
    }

    #[test]
    fn a_question_and_its_answer_come_back() {
        let (bytes, binding) = ask(&asked(), central(), &DEVICE);
        let question = Question::read(&bytes).unwrap();

        assert_eq!(question.site(), SiteId(3));
        assert_eq!(question.open(&keys(1, &[]), central(), &DEVICE), Ok((asked(), Standing::Current)));
        assert_eq!(question.open(&keys(4, &[5, 1]), central(), &DEVICE), Ok((asked(), Standing::Retired)));
        for answer in [CheckAnswer::taken(), CheckAnswer::refused(Refusal::new("site_stopped", "two devices"))] {
            let signed = question.answer(&answer, &CENTRAL);
            assert_eq!(read_answer(&signed, &binding, &DEVICE), Ok(answer));
        }
    }

    #[test]
    fn a_key_that_is_not_the_site_s_is_told_the_same_as_for_a_site_that_is_unknown() {
        let question = Question::read(&ask(&asked(), central(), &DEVICE).0).unwrap();

        let of_another = question.open(&keys(4, &[5]), central(), &DEVICE).unwrap_err();

        assert_eq!(of_another.code, "not_enrolled");
        assert_eq!(question.open(&SiteKeys::default(), central(), &DEVICE), Err(of_another));
    }

    #[test]
    fn a_question_is_no_head_of_an_exchange_and_that_is_no_question() {
        let (mut question, _) = ask(&asked(), central(), &DEVICE);
        let binding = Binding { central: central(), site: SiteId(3), context: Hash::NONE };
        let mut request = seal(Kind::RequestHead, &binding, &message::encode(&asked()), &DEVICE);
        assert_eq!(Question::read(&request).unwrap_err(), CheckError::NotOneSection);

        // The first byte is the kind, and the signature is over it.
        core::mem::swap(&mut question[0], &mut request[0]);

        let replayed = Question::read(&request).unwrap().open(&keys(1, &[]), central(), &DEVICE);
        assert_eq!(replayed.unwrap_err().code, "not_enrolled");
        let mut reader = SectionReader::default();
        reader.feed(&question);
        let replayed = reader.next_section().unwrap().unwrap();
        assert_eq!(replayed.kind(), Kind::RequestHead);
        assert!(replayed.open(&binding, &DEVICE.public_key(), &DEVICE).is_err());
    }

    #[test]
    fn an_answer_to_another_question_of_another_key_or_with_more_behind_it_is_not_taken() {
        let (bytes, binding) = ask(&asked(), central(), &DEVICE);
        let (_, other) = ask(&RequestHead { salt: [8; 8], ..asked() }, central(), &DEVICE);
        let question = Question::read(&bytes).unwrap();
        let mut signed = question.answer(&CheckAnswer::taken(), &CENTRAL);
        let wrong = CheckError::Section(SectionError::Signature { kind: Kind::CheckAnswer });

        assert_eq!(read_answer(&signed, &other, &DEVICE), Err(wrong));
        assert_eq!(read_answer(&question.answer(&CheckAnswer::taken(), &DEVICE), &binding, &DEVICE), Err(wrong));
        signed.push(8);
        assert_eq!(read_answer(&signed, &binding, &DEVICE), Err(CheckError::NotOneSection));
    }

    #[test]
    fn a_newer_version_is_told_what_is_spoken_here() {
        let newer = RequestHead { version: message::VERSION + 1, ..asked() };
        let question = Question::read(&ask(&newer, central(), &DEVICE).0).unwrap();

        assert_eq!(question.open(&keys(1, &[]), central(), &DEVICE).unwrap_err().code, "version");
    }
}
