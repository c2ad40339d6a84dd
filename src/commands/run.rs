//! `run`: be the daemon.

use super::{Home, door};
use crate::config::Config;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::service::due::Rules;
use crate::service::{self, ServiceSettings};

/// Runs until a signal ends it.
pub(super) fn run(config: &Config, home: &dyn Home) -> Result<Exit, AgentError> {
    let settings = ServiceSettings {
        socket_path: config.socket_path.clone(),
        data_folder: config.data_folder.clone(),
        rules: Rules { schedule: config.schedule, pacing: config.pacing.clone() },
    };
    service::run(&settings, || door::open_as_daemon(config, home))
}
