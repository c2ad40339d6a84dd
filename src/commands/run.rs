//! `run`: be the daemon.

use super::{Home, door};
use crate::config::Config;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::service::{self, ServiceSettings};

/// Runs until a signal ends it.
pub(super) fn run(config: &Config, home: &dyn Home) -> Result<Exit, AgentError> {
    let settings = ServiceSettings {
        socket_path: config.socket_path.clone(),
        listen: config.local_api_listen,
        pages: config.local_api_pages.clone(),
        data_folder: config.data_folder.clone(),
        schedule: config.schedule,
    };
    service::run(&settings, || door::open_as_daemon(config, home))
}
