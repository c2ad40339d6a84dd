//! Facts about the way to central.

use protocol::check::{self, CheckAnswer};
use protocol::ids::{Hash, Sequence};
use protocol::message::RequestHead;

use super::judge_standing::Standing;
use crate::agent;
use crate::config::{CentralUrl, Config};
use crate::data_folder::Layout;
use crate::device::{Device, Enrolment};
use crate::entropy;
use crate::error::AgentError;
use crate::journal::storage::Place;
use crate::journal::{SledStorage, inspect_head, inspect_identity};
use crate::local_copy;
use crate::refusals;
use crate::transport::{Greeting, Transport, TransportError};

/// Times that central is asked about a journal that grows meanwhile; the last time without it.
const QUESTIONS_MAX: u32 = 3;

/// Asks who answers at central's address.
pub(super) fn greet(config: &Config, central: &CentralUrl) -> Result<Greeting, TransportError> {
    Ok(Transport::new(config, central.clone())?.greet())
}

/// The device of the data folder, if it has one. Read beside a daemon that may run: its files are replaced as a whole, and nothing is
/// written here.
pub(super) fn device(config: &Config) -> Result<Option<Device>, AgentError> {
    agent::device_of(&Layout::of(&config.data_folder))
}

/// Asks central whether it would take this device for its site right now.
pub(super) fn standing(config: &Config, central: &CentralUrl, device: &Device, enrolment: &Enrolment) -> Standing {
    let mut asked = head(config, device, enrolment);
    let mut transport = match Transport::new(config, central.clone()) {
        Ok(transport) => transport,
        Err(error) => return Standing::Unanswered(error),
    };
    for _ in 1..QUESTIONS_MAX {
        let standing = ask(&mut transport, &asked, device, enrolment);
        let Standing::Answered(CheckAnswer { refusal: Some(refusal), .. }) = &standing else { return standing };
        let later = head(config, device, enrolment);
        // A daemon may have recorded and sent something since the journal was looked at: then central has more than it was told.
        if !refusals::is_of_history(&refusal.code) || later.head == asked.head {
            return standing;
        }
        asked = later;
    }
    let without_journal = RequestHead { head: Sequence::ZERO, head_hash: Hash::NONE, ..asked };
    ask(&mut transport, &without_journal, device, enrolment)
}

fn ask(transport: &mut Transport, head: &RequestHead, device: &Device, enrolment: &Enrolment) -> Standing {
    let (question, binding) = check::ask(head, enrolment.central_key, device.signer());
    match transport.check(&question, &binding) {
        Ok(answer) => Standing::Answered(answer),
        Err(error) => Standing::Unanswered(error),
    }
}

fn head(config: &Config, device: &Device, enrolment: &Enrolment) -> RequestHead {
    let journal = device.identity().journal;
    let layout = Layout::of(&config.data_folder);
    // Before the journal is looked at, which may grow meanwhile. One that is shorter than this was set back by itself: the agent begins
    // another one at its next start, and there is nothing to ask about this one.
    let seen = local_copy::seen_at(&layout.local_copy()).unwrap_or(Sequence::ZERO);
    let mut storage = SledStorage::to_look_at(layout.journal());
    // Of a journal that cannot be read `doctor` and `verify` say more.
    let lies_there = inspect_identity(&mut storage, &Place::Live).ok().flatten();
    let predecessor = lies_there.filter(|identity| identity.journal == journal).and_then(|found| found.predecessor);
    let found = inspect_head(&mut storage, &Place::Live).ok().flatten();
    let asked = check::head(enrolment.site, journal, enrolment.generation, entropy::bytes());
    let asked = RequestHead { predecessor, token: device.token(), ..asked };
    match found.filter(|found| found.journal == journal && found.sequence >= seen) {
        Some(found) => RequestHead { head: found.sequence, head_hash: found.hash, ..asked },
        None => asked,
    }
}
