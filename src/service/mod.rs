//! The daemon: one loop that is woken by the schedule, by requests and by signals, and lets one session run at a time.
//!
//! ```text
//!  signals ----.
//!  socket  -----+--> Wake --> Plan (pure: what next?) --> Step --> session thread --> Performer
//!  schedule ---'                ^                                        |
//!                               '--------------- Wake::Ended <-----------'
//! ```
//!
//! The loop never works itself, so that it hears a signal at once whatever the network does.

mod caller;
mod daemon;
mod door;
pub mod plan;
mod signals;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use protocol::schedule::Schedule;

use crate::data_folder::Layout;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::local_api::{LoopbackListener, Server, ServerLimits, SocketListener};
use crate::operations::Performer;

/// What the daemon needs to know.
#[derive(Debug, Clone)]
pub struct ServiceSettings {
    /// Where it listens.
    pub socket_path: PathBuf,
    /// The loopback address at which it listens too, if any.
    pub listen: Option<SocketAddr>,
    /// The folder with an application's pages, if there is one.
    pub pages: Option<PathBuf>,
    /// Where long inputs are kept while they are read.
    pub data_folder: PathBuf,
    /// When it syncs by itself.
    pub schedule: Schedule,
}

/// Runs until it is told to stop by SIGTERM or SIGINT. `open` takes the data folder and opens the journal; signals are heard
/// before that, because SIGUSR1 would otherwise end the program.
///
/// A session that a blocked network call holds is abandoned: the caller ends the process after this returns, and what the
/// call was about comes again at the next sync.
///
/// # Errors
/// What `open` says, or the socket cannot be made.
pub fn run(
    settings: &ServiceSettings,
    open: impl FnOnce() -> Result<Arc<dyn Performer>, AgentError>,
) -> Result<Exit, AgentError> {
    let (sender, receiver) = daemon::wakes();
    let _signals = signals::listen(sender.clone()).map_err(|error| system("hear signals", &error))?;
    let performer = open()?;
    let listener = Box::new(SocketListener::bind(&settings.socket_path)?);
    let door = Arc::new(door::ServiceDoor::new(Arc::clone(&performer), sender.clone()));
    let next_sync = door.next_sync();
    let limits = ServerLimits { pages: settings.pages.clone(), ..ServerLimits::default() };
    let server = Server::start(listener, door, settings.data_folder.clone(), limits)
        .map_err(|error| system("start a thread", &error))?;
    if let Some(address) = settings.listen {
        let listener = LoopbackListener::new(address, &Layout::of(&settings.data_folder).token())?;
        server.also_listen(Box::new(listener)).map_err(|error| system("start a thread", &error))?;
    }
    log::info!("the agent runs version={} socket={}", env!("CARGO_PKG_VERSION"), settings.socket_path.display());
    daemon::Daemon { performer, server: &server, next_sync, sender, receiver, schedule: settings.schedule }.run();
    server.close();
    log::info!("the agent stopped");
    Ok(Exit::Ok)
}

fn system(what: &str, error: &std::io::Error) -> AgentError {
    AgentError::new(
        "system_refused",
        format!("the system does not let the agent {what}: {error}"),
        "Free memory or raise the limits of this user, then start the agent again.",
        Exit::Failed,
    )
}
