//! Which door leads to the data folder: the daemon that holds it, or the folder itself.

use std::sync::Arc;

use super::Home;
use crate::clock::{monotonic_now, pause_ms};
use crate::config::Config;
use crate::data_folder::IN_USE;
use crate::error::AgentError;
use crate::local_api::{SocketClient, SocketError};
use crate::operations::Performer;

/// How long a folder may be held by a daemon that does not listen yet, in milliseconds: it opens its journal first.
const STARTING_MS_MAX: u64 = 5_000;
/// Time between two looks at the socket, in milliseconds.
const LOOK_MS: u64 = 100;

/// The daemon if one answers, else the folder itself.
pub(super) fn open(config: &Config, home: &dyn Home) -> Result<Arc<dyn Performer>, AgentError> {
    let deadline = monotonic_now().plus(STARTING_MS_MAX);
    loop {
        if let Some(daemon) = daemon(config)? {
            return Ok(daemon);
        }
        match home.open() {
            Err(error) if error.code == IN_USE && monotonic_now() < deadline => {
                pause_ms(LOOK_MS);
            }
            opened => return opened,
        }
    }
}

/// The folder itself, for a daemon to be: waits a little for a verb that has it, but not for another daemon.
pub(super) fn open_as_daemon(config: &Config, home: &dyn Home) -> Result<Arc<dyn Performer>, AgentError> {
    let deadline = monotonic_now().plus(STARTING_MS_MAX);
    loop {
        match home.open() {
            Err(error) if error.code == IN_USE && monotonic_now() < deadline && daemon(config)?.is_none() => {
                pause_ms(LOOK_MS);
            }
            opened => return opened,
        }
    }
}

/// The daemon, if one answers.
pub(super) fn daemon(config: &Config) -> Result<Option<Arc<dyn Performer>>, AgentError> {
    match SocketClient::connect(&config.socket_path) {
        Ok(client) => Ok(client.map(|client| Arc::new(client) as Arc<dyn Performer>)),
        // Nobody can listen there, so the folder is free, or its lock says who has it.
        Err(SocketError::PathTooLong { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::Path;

    use protocol::fingerprint::Fingerprint;
    use serde_json::{Value, json};

    use super::*;
    use crate::command_line::{ByFile, Recover};
    use crate::commands::testing::{Scripted, config};
    use crate::config::ShownSetting;
    use crate::device::PasswordSource;
    use crate::exit::Exit;
    use crate::local_api::{Server, ServerLimits, SocketListener};
    use crate::operations::{Input, Progress, Request, no_events};
    use crate::service::ReadSettings;

    /// A folder that another program holds; the second look finds that program listening.
    struct Taken<'a> {
        config: &'a Config,
        server: RefCell<Option<Server>>,
    }

    impl Home for Taken<'_> {
        fn open(&self) -> Result<Arc<dyn Performer>, AgentError> {
            let listener = Box::new(SocketListener::bind(&self.config.socket_path).unwrap());
            let daemon = Arc::new(Scripted::new([json!("the daemon")]));
            let folder = self.config.data_folder.clone();
            *self.server.borrow_mut() = Some(Server::start(listener, daemon, folder, ServerLimits::default()).unwrap());
            Err(AgentError::new(IN_USE, "taken", "", Exit::Busy))
        }

        fn settings_anew(&self) -> Box<ReadSettings> {
            unreachable!("nothing here runs for long")
        }

        fn settings_shown(&self) -> Result<Vec<ShownSetting>, AgentError> {
            unreachable!("nothing here shows settings")
        }

        fn enrol(&self, _: Option<&str>, _: Option<&str>, _: Option<&PasswordSource>) -> Result<Value, AgentError> {
            unreachable!("nothing here enrols")
        }

        fn recovery_plan(&self) -> Result<Value, AgentError> {
            unreachable!("nothing here recovers")
        }

        fn recover(&self, _: &Recover, _: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
            unreachable!("nothing here recovers")
        }

        fn re_pin(&self, _: Fingerprint) -> Result<Value, AgentError> {
            unreachable!("nothing here pins")
        }

        fn by_file(&self, _: &ByFile, _: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
            unreachable!("nothing here takes files")
        }

        fn back_up(
            &self,
            _: &Path,
            _: Option<&PasswordSource>,
            _: &dyn Performer,
            _: &mut dyn FnMut(Progress),
        ) -> Result<Value, AgentError> {
            unreachable!("nothing here takes files")
        }

        fn confirms(&self, _: &str) -> Result<bool, AgentError> {
            unreachable!("nothing here asks")
        }
    }

    #[test]
    fn a_daemon_that_is_just_starting_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let home = Taken { config: &config, server: RefCell::default() };

        let door = open(&config, &home).unwrap();

        assert_eq!(door.perform(Request::Status, &mut Input::empty(), &mut no_events), Ok(json!("the daemon")));
    }
}
