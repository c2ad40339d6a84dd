//! Facts about the way to central.

use protocol::check;
use protocol::message::RequestHead;

use super::judge_standing::Standing;
use crate::config::{CentralUrl, Config};
use crate::data_folder::Layout;
use crate::device::{Device, DeviceError, Enrolment};
use crate::entropy;
use crate::journal::storage::Place;
use crate::journal::{SledStorage, inspect_identity};
use crate::transport::{Greeting, Transport, TransportError};

/// Asks who answers at central's address.
pub(super) fn greet(config: &Config, central: &CentralUrl) -> Result<Greeting, TransportError> {
    Ok(Transport::new(config, central.clone())?.greet())
}

/// The device of the data folder, if it has one. Read beside a daemon that may run: its files are replaced as a whole, and nothing is
/// written here.
pub(super) fn device(config: &Config) -> Result<Option<Device>, DeviceError> {
    Device::open(&Layout::of(&config.data_folder).identity())
}

/// Asks central whether it would take this device for its site right now.
pub(super) fn standing(config: &Config, central: &CentralUrl, device: &Device, enrolment: &Enrolment) -> Standing {
    let (question, binding) = check::ask(&head(config, device, enrolment), enrolment.central_key, device.signer());
    match Transport::new(config, central.clone()).and_then(|mut transport| transport.check(&question, &binding)) {
        Ok(answer) => Standing::Answered(answer),
        Err(error) => Standing::Unanswered(error),
    }
}

fn head(config: &Config, device: &Device, enrolment: &Enrolment) -> RequestHead {
    let journal = device.identity().journal;
    let mut storage = SledStorage::to_look_at(Layout::of(&config.data_folder).journal());
    // Of a journal that cannot be read `doctor` and `verify` say more.
    let lies_there = inspect_identity(&mut storage, &Place::Live).ok().flatten();
    let predecessor = lies_there.filter(|identity| identity.journal == journal).and_then(|found| found.predecessor);
    RequestHead { predecessor, ..check::head(enrolment.site, journal, enrolment.generation, entropy::bytes()) }
}
