//! `run`: be the daemon.

use super::Home;
use crate::config::Config;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::service::{self, ServiceSettings};

/// Runs until a signal ends it.
pub(super) fn run(config: &Config, home: &dyn Home) -> Result<Exit, AgentError> {
    let settings = ServiceSettings {
        socket_path: config.socket_path.clone(),
        data_folder: config.data_folder.clone(),
        schedule: config.schedule,
    };
    service::run(&settings, || home.open())
}
