//! SIGHUP: settings are read anew while the agent runs. Ones that cannot be used change nothing.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use log::LevelFilter;

use super::due::Rules;
use crate::config::{Config, TakenUp};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::logging;
use crate::operations::Performer;

/// Reads all settings anew: they, and the level to log from, which the command line has a say in.
pub type ReadSettings = dyn Fn() -> Result<(Config, LevelFilter), AgentError> + Send + Sync;

/// Holds the settings in force.
pub(super) struct Reloader {
    in_force: Mutex<Config>,
    read: Box<ReadSettings>,
    performer: Arc<dyn Performer>,
}

impl Reloader {
    pub(super) fn new(in_force: Config, read: Box<ReadSettings>, performer: Arc<dyn Performer>) -> Self {
        Self { in_force: Mutex::new(in_force), read, performer }
    }

    /// Reads, and puts in force what can be. Returns when to sync from here on.
    pub(super) fn reload(&self) -> Rules {
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, log_level) = match (self.read)().and_then(|read| still_there(&in_force, read)) {
            Ok(read) => read,
            Err(error) => {
                log::error!(
                    "the settings were not read anew, and those in force stay code={} message={:?}",
                    error.code,
                    error.message
                );
                return Rules::of(&in_force);
            }
        };
        let TakenUp { config, at_once, at_start } = in_force.taken_up(read);
        if !at_once.is_empty() {
            self.performer.take_up(&config);
            *in_force = config;
        }
        // By the wider of the two levels the line below is seen.
        logging::start(log_level.max(log::max_level()));
        if at_start.is_empty() {
            log::info!("the settings were read anew{}", named("changed", &at_once));
        } else {
            log::warn!(
                "the settings were read anew, and some that changed count at the next start alone{}{}",
                named("changed", &at_once),
                named("at_start", &at_start)
            );
        }
        logging::start(log_level);
        Rules::of(&in_force)
    }
}

/// A file that was read at the start and is gone is a mistake, and no wish for defaults.
fn still_there(in_force: &Config, read: (Config, LevelFilter)) -> Result<(Config, LevelFilter), AgentError> {
    match (&in_force.file, &read.0.file) {
        (Some(path), None) => Err(AgentError::new(
            "config_gone",
            format!("the configuration {} is not there any more", path.display()),
            "Put it back, then send SIGHUP again.",
            Exit::Config,
        )),
        _ => Ok(read),
    }
}

fn named(what: &str, names: &[&str]) -> String {
    let mut text = String::new();
    if !names.is_empty() {
        let _infallible = write!(text, " {what}={}", names.join(","));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::operations::{Input, Progress, Request};

    /// Remembers by what it is to work.
    #[derive(Default)]
    struct Fake(Mutex<Vec<Config>>);

    impl Performer for Fake {
        fn perform(&self, _: Request, _: &mut Input, _: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
            unreachable!("reading settings asks for nothing")
        }

        fn take_up(&self, config: &Config) {
            self.0.lock().unwrap().push(config.clone());
        }
    }

    fn config(text: &str) -> Config {
        Config::of_text(Path::new("/etc/outpost/agent.toml"), text).unwrap()
    }

    fn reloader(read: Result<Config, AgentError>) -> (Arc<Fake>, Reloader) {
        let fake = Arc::new(Fake::default());
        let read = Box::new(move || read.clone().map(|config| (config, LevelFilter::Off)));
        (Arc::clone(&fake), Reloader::new(config("[schedule]\ninterval_s = 60"), read, fake))
    }

    #[test]
    fn settings_that_can_be_used_are_in_force_at_once() {
        let read = config("[schedule]\ninterval_s = 90\n[timeouts]\nconnect_ms = 1234");
        let (fake, reloader) = reloader(Ok(read.clone()));

        assert_eq!(reloader.reload().schedule.interval_ms, Some(90_000));
        assert_eq!(reloader.reload().schedule.interval_ms, Some(90_000));

        assert_eq!(*fake.0.lock().unwrap(), [read], "the second time nothing had changed");
    }

    #[test]
    fn settings_that_cannot_be_used_or_are_gone_change_nothing() {
        let broken = AgentError::new("config_syntax", "line 3", "", Exit::Config);
        let gone = Config { file: None, ..config("[schedule]\nmanual = true") };
        for read in [Err(broken), Ok(gone)] {
            let (fake, reloader) = reloader(read);

            assert_eq!(reloader.reload().schedule.interval_ms, Some(60_000));

            assert!(fake.0.lock().unwrap().is_empty());
        }
    }

    #[test]
    fn a_folder_does_not_change_while_the_agent_is_in_it() {
        let (fake, reloader) = reloader(Ok(config("data_folder = \"/elsewhere\"\n[schedule]\ninterval_s = 60")));

        reloader.reload();

        assert!(fake.0.lock().unwrap().is_empty());
    }
}
