//! Trusting a new key of central's, because an administrator has given its fingerprint.

use std::sync::PoisonError;

use protocol::fingerprint::Fingerprint;

use super::Agent;
use crate::error::AgentError;
use crate::exit::Exit;

/// What became of the pinned key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repinned {
    /// What the device trusted before.
    pub before: Fingerprint,
    /// What it trusts.
    pub after: Fingerprint,
}

impl Agent {
    /// Asks central for its key, and pins it if it has this fingerprint. The answer itself proves nothing: the fingerprint does,
    /// and the signatures of every later exchange.
    ///
    /// # Errors
    /// `not_enrolled`; `central_key_differs` if central shows another key; central cannot be reached. Nothing has changed then.
    pub fn re_pin(&mut self, wanted: Fingerprint) -> Result<Repinned, AgentError> {
        let mut enrolment = self.device().enrolment()?.clone();
        let (mut transport, _) = self.way_to_enrol(None)?;
        let key = transport.central_key()?;
        let (before, found) = (Fingerprint::of(&enrolment.central_key), Fingerprint::of(&key));
        if found != wanted {
            return Err(AgentError::new(
                "central_key_differs",
                format!("central at {} shows a key with the fingerprint {found}, not {wanted}", transport.central()),
                "Nothing was changed. Ask central's administrator for the output of `outpost-central identity`, by another way than \
                 this network; if that is what you gave, something else answers in central's place.",
                Exit::Refused,
            ));
        }
        enrolment.central_key = key;
        self.device.get_mut().unwrap_or_else(PoisonError::into_inner).enrol(enrolment)?;
        Ok(Repinned { before, after: found })
    }
}
