//! Facts about the way to central.

use crate::config::{CentralUrl, Config};
use crate::data_folder::Layout;
use crate::device::{Device, DeviceError, Enrolment};
use crate::transport::{Greeting, Transport, TransportError};

/// Asks who answers at central's address.
pub(super) fn greet(config: &Config, central: &CentralUrl) -> Result<Greeting, TransportError> {
    Ok(Transport::new(config, central.clone())?.greet())
}

/// What central said at enrolment, if it was. Read beside a daemon that may run: its files are replaced as a whole, and nothing is
/// written here.
pub(super) fn enrolment(config: &Config) -> Result<Option<Enrolment>, DeviceError> {
    let device = Device::open(&Layout::of(&config.data_folder).identity())?;
    Ok(device.and_then(|device| device.identity().enrolment.clone()))
}
