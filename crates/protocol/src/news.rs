//! Asking whether something waits for a site, with leave to answer once something does (`docs/sync-protocol.md`, "News").
//!
//! The question begins with a request head, as that of [`crate::check`] does, and changes nothing of what an exchange would use up. It
//! says how far the site is by two numbers, whatever it receives: the last control row that is durable there, and central's head at the
//! last reply of a session that came to its end.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::check::CheckError;
use crate::edge::{Signer, Verifier};
use crate::exchange::{SiteKeys, Standing};
use crate::ids::{PublicKey, SiteId};
use crate::limits;
use crate::message::{self, Cursor, Refusal, RequestHead};
use crate::question::{self, SealedQuestion};
use crate::section::{Binding, Kind};

/// A question as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Who asks: see [`crate::check::head`], with the token of the last reply and the last control row.
    pub head: RequestHead,
    /// The site has everything up to here, of whatever it receives.
    pub through: Cursor,
    /// How long the answer may be held back, in seconds; [`limits::NEWS_WAIT_S_MAX`] at most counts.
    pub wait_s: u16,
}

/// What central says to a site that asked for news.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// What an exchange would be refused with.
    Refused(Refusal),
    /// A session would bring something.
    Something,
    /// It would not, up to the end of the wait.
    Nothing,
    /// Another question of the site took the place of this one.
    Replaced,
}

/// Signs a question of a device, and says what the answer will be bound to.
pub fn ask(asked: &Question, central: PublicKey, signer: &dyn Signer) -> (Vec<u8>, Binding) {
    question::ask(Kind::NewsQuestion, asked.head.site, &message::encode(asked), central, signer)
}

/// Reads an answer.
///
/// # Errors
/// [`CheckError`]: it is not central's, or not to this question.
pub fn read_answer(bytes: &[u8], binding: &Binding, verifier: &dyn Verifier) -> Result<Answer, CheckError> {
    let (version, answer): (u8, Answer) = question::read_answer(bytes, Kind::NewsAnswer, binding, verifier)?;
    debug_assert_eq!(version, message::VERSION, "decode looks at it");
    Ok(answer)
}

/// A question at central. Nothing of it is proved before it is opened.
#[derive(Debug)]
pub struct Asked(SealedQuestion);

impl Asked {
    /// Reads a question.
    ///
    /// # Errors
    /// [`CheckError`]: it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, CheckError> {
        SealedQuestion::read(bytes, Kind::NewsQuestion).map(Self)
    }

    /// The site that it claims to be from: it finds the keys.
    pub fn site(&self) -> SiteId {
        self.0.site()
    }

    /// The question, and how the key that signed it stands to its site.
    ///
    /// # Errors
    /// As the head of an exchange is refused: `not_enrolled`, `version`, `bad_message`, `number_too_large`.
    pub fn open(
        &self,
        keys: &SiteKeys,
        central: PublicKey,
        verifier: &dyn Verifier,
    ) -> Result<(Question, Standing), Refusal> {
        let (question, standing): (Question, Standing) = self.0.open(keys, central, verifier)?;
        let Cursor { number, began, .. } = question.through;
        if number.0.max(began.0).max(question.head.control.0) > limits::NUMBER_MAX {
            return Err(Refusal::new("number_too_large", "the question shows a number above limits::NUMBER_MAX"));
        }
        Ok((question, standing))
    }

    /// Signs the answer.
    pub fn answer(&self, answer: &Answer, signer: &dyn Signer) -> Vec<u8> {
        self.0.answer(Kind::NewsAnswer, &message::encode(&(message::VERSION, answer)), signer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;
    use crate::ids::{ControlNumber, CredentialGeneration, Epoch, JournalId, Position, Token};
    use crate::section::{HEADER_BYTES, SectionError};
    use crate::testing::TestKey;

    const CENTRAL: TestKey = TestKey(9);
    const DEVICE: TestKey = TestKey(1);

    fn question() -> Question {
        let head = check::head(SiteId(3), JournalId([2; 16]), CredentialGeneration(1), [7; 8]);
        let head = RequestHead { token: Token([5; 16]), control: ControlNumber(4), ..head };
        Question { head, through: at(300), wait_s: 60 }
    }

    fn at(number: u64) -> Cursor {
        Cursor { epoch: Epoch(8), number: Position(number), began: Position(number) }
    }

    fn keys(current: u8, retired: &[u8]) -> SiteKeys {
        let retired = retired.iter().map(|seed| TestKey(*seed).public_key()).collect();
        SiteKeys { current: Some(TestKey(current).public_key()), retired }
    }

    fn asked(question: &Question) -> (Asked, Binding) {
        let (bytes, binding) = ask(question, CENTRAL.public_key(), &DEVICE);
        (Asked::read(&bytes).unwrap(), binding)
    }

    #[test]
    fn a_question_and_each_answer_come_back() {
        let (asked, binding) = asked(&question());

        assert_eq!(asked.site(), SiteId(3));
        let central = CENTRAL.public_key();
        assert_eq!(asked.open(&keys(1, &[]), central, &DEVICE), Ok((question(), Standing::Current)));
        assert_eq!(asked.open(&keys(4, &[5, 1]), central, &DEVICE), Ok((question(), Standing::Retired)));
        let refused = Answer::Refused(Refusal::new("site_paused", "until noon"));
        for answer in [refused, Answer::Something, Answer::Nothing, Answer::Replaced] {
            assert_eq!(read_answer(&asked.answer(&answer, &CENTRAL), &binding, &DEVICE), Ok(answer));
        }
    }

    #[test]
    fn the_largest_question_and_the_largest_answer_stay_within_their_limit() {
        let mut largest = question();
        largest.head.control = ControlNumber(u64::MAX);
        largest.head.generation = CredentialGeneration(u32::MAX);
        largest.through = Cursor { epoch: Epoch(u64::MAX), ..at(u64::MAX) };
        largest.wait_s = u16::MAX;
        let (bytes, _) = ask(&largest, CENTRAL.public_key(), &DEVICE);
        assert!(bytes.len() < 300, "a question has {} bytes", bytes.len());

        let code = "c".repeat(limits::CODE_BYTES_MAX);
        let answer = Answer::Refused(Refusal::new(&code, &"r".repeat(limits::REASON_BYTES_MAX)));
        let signed = asked(&question()).0.answer(&answer, &CENTRAL);
        assert!(signed.len() <= HEADER_BYTES + limits::NEWS_BYTES_MAX);
    }

    #[test]
    fn a_key_that_is_not_the_site_s_is_told_the_same_as_for_a_site_that_is_unknown() {
        let (asked, _) = asked(&question());

        let of_another = asked.open(&keys(4, &[5]), CENTRAL.public_key(), &DEVICE).unwrap_err();

        assert_eq!(of_another.code, "not_enrolled");
        assert_eq!(asked.open(&SiteKeys::default(), CENTRAL.public_key(), &DEVICE), Err(of_another));
    }

    #[test]
    fn numbers_that_no_central_can_have_given_are_refused() {
        for number in [limits::NUMBER_MAX, limits::NUMBER_MAX + 1] {
            let mut shown = [question(), question()];
            shown[0].through = at(number);
            shown[1].head.control = ControlNumber(number);
            for question in shown {
                let opened = asked(&question).0.open(&keys(1, &[]), CENTRAL.public_key(), &DEVICE);
                assert_eq!(opened.is_ok(), number == limits::NUMBER_MAX, "{opened:?}");
            }
        }
    }

    #[test]
    fn an_answer_to_another_question_is_not_taken_and_a_check_is_no_question() {
        let (asked_first, _) = asked(&question());
        let (_, other) = asked(&Question { wait_s: 61, ..question() });
        let signed = asked_first.answer(&Answer::Something, &CENTRAL);

        let wrong = CheckError::Section(SectionError::Signature { kind: Kind::NewsAnswer });
        assert_eq!(read_answer(&signed, &other, &DEVICE), Err(wrong));
        let (check, _) = check::ask(&question().head, CENTRAL.public_key(), &DEVICE);
        assert_eq!(Asked::read(&check).unwrap_err(), CheckError::NotOneSection);
    }
}
