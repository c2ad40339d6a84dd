//! `run`: be the daemon.

use super::{Home, door};
use crate::config::Config;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::service;

/// Runs until a signal ends it.
pub(super) fn run(config: &Config, home: &dyn Home) -> Result<Exit, AgentError> {
    service::run(config, home.settings_anew(), || door::open_as_daemon(config, home))
}
