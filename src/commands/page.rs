//! `page`: the address of the status page, with the token.

use serde_json::json;

use super::Screen;
use crate::config::Config;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::local_api::page_address;

/// Prints the address. `is_running`: whether a daemon answers at the socket.
pub(super) fn run(config: &Config, is_running: bool, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let address = page_address(config, is_running)?;
    screen.result(&json!({ "url": address.as_str() }), |_| format!("{}\n", address.as_str()));
    if screen.is_terminal() && !screen.is_json() {
        screen.note("Open this address in a browser of this device. Whoever has it may do what you may.\n");
    }
    Ok(Exit::Ok)
}
