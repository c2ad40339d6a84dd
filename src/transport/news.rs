//! Asking central whether something waits for this site (`protocol::news`). The answer may be held back for minutes.

use codec::Ed25519Verifier;
use protocol::limits::NEWS_WAIT_S_MAX;
use protocol::news::{self, Answer};
use protocol::section::Binding;

use super::{CONTENT_TYPE, NEWS_PATH, SMALL_REPLY_BYTES_MAX, Transport, TransportError, content_type};
use crate::config::{CentralUrl, Config, Timeouts};

/// How long after the end of a wait an answer may still come, in milliseconds: a satellite link needs some seconds. A link that was cut and
/// does not say so is noticed then.
pub const NEWS_LATE_MS_MAX: u64 = 30_000;

/// What central, or something before it, says of an address that it does not know.
const UNKNOWN_STATUSES: [u16; 3] = [404, 405, 501];

impl Transport {
    /// The way to a central for questions whose answer may be held back; else as [`Transport::new`].
    ///
    /// # Errors
    /// As [`Transport::new`].
    pub fn patient(config: &Config, central: CentralUrl) -> Result<Transport, TransportError> {
        let read_idle_ms = u64::from(NEWS_WAIT_S_MAX) * 1000 + NEWS_LATE_MS_MAX;
        let timeouts = Timeouts { read_idle_ms, ..config.timeouts };
        Self::new(&Config { timeouts, ..config.clone() }, central)
    }

    /// Posts a question and gives the answer that central has signed; `binding` is what it is bound to. `None` if what answers does not
    /// know the question, such as an older central.
    ///
    /// # Errors
    /// As for [`Transport::exchange`]; [`TransportError::NotCentral`] for an answer that the trusted key has not signed.
    pub fn news(&mut self, question: &[u8], binding: &Binding) -> Result<Option<Answer>, TransportError> {
        let mut response = self.post(NEWS_PATH, CONTENT_TYPE, question)?;
        if content_type(&response) != CONTENT_TYPE && UNKNOWN_STATUSES.contains(&response.status().as_u16()) {
            // Read to its end, so that the connection can be used again.
            let _ = self.small_body(&mut response);
            return Ok(None);
        }
        self.signed(response, SMALL_REPLY_BYTES_MAX, |answer| news::read_answer(answer, binding, &Ed25519Verifier))
            .map(Some)
    }
}
