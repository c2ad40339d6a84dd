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
pub mod due;
mod installing;
mod network;
pub mod news;
pub mod plan;
mod reloading;
mod signals;
mod status_line;
mod supervisor;
#[cfg(test)]
mod tests;
mod watching;

use std::sync::Arc;

use crate::clients::Clients;
use crate::clock::monotonic_now;
use crate::config::Config;
use crate::data_folder::Layout;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::local_api::{ClientCertificate, ClientListener, LoopbackListener, Server, ServerLimits, SocketListener};
use crate::logging;
use crate::operations::Performer;

pub use installing::{InitSystem, SERVICE_USER, Service, ServiceAction, ServiceWanted, UnitFile};
pub use reloading::ReadSettings;

use due::Rules;
use reloading::Reloader;
use status_line::StatusLine;
use supervisor::{Supervisor, Watchdog};

/// Runs until it is told to stop by SIGTERM or SIGINT. `open` takes the data folder and opens the journal; signals are heard
/// before that, because SIGUSR1 would otherwise end the program. `read` reads the settings anew at SIGHUP.
///
/// A supervisor that wants to know (`NOTIFY_SOCKET`) hears that the agent is ready once the socket listens: whether central can be
/// reached is no part of that.
///
/// A session that a blocked network call holds is abandoned: the caller ends the process after this returns, and what the
/// call was about comes again at the next sync.
///
/// # Errors
/// What `open` says, or the socket cannot be made.
pub fn run(
    config: &Config,
    read: Box<ReadSettings>,
    open: impl FnOnce() -> Result<Arc<dyn Performer>, AgentError>,
) -> Result<Exit, AgentError> {
    let (sender, receiver) = daemon::wakes();
    let _signals = signals::listen(sender.clone()).map_err(|error| system("hear signals", &error))?;
    let supervisor = Arc::new(Supervisor::of_environment());
    let performer = open()?;
    logging::keep_in(&Layout::of(&config.data_folder));
    let listener = Box::new(SocketListener::bind(&config.socket_path)?);
    let door = Arc::new(door::ServiceDoor::new(Arc::clone(&performer), sender.clone()));
    let shown = door.shown();
    let reloader = Arc::new(Reloader::new(config.clone(), read, Arc::clone(&performer)));
    let limits = ServerLimits { pages: config.local_api_pages.clone(), ..ServerLimits::default() };
    let server = Server::start(listener, Arc::clone(&door) as _, config.data_folder.clone(), limits)
        .map_err(|error| system("start a thread", &error))?;
    if let Some(address) = config.local_api_listen {
        let listener = LoopbackListener::new(address, &Layout::of(&config.data_folder).token())?;
        server.also_listen(Box::new(listener)).map_err(|error| system("start a thread", &error))?;
    }
    let clients = listen_for_clients(config, &*performer, &server);
    log::info!("the agent runs version={} socket={}", env!("CARGO_PKG_VERSION"), config.socket_path.display());
    supervisor.ready();
    let _status_line = StatusLine::start(Arc::clone(&supervisor), door, Arc::clone(&shown))
        .map_err(|error| system("start a thread", &error))?;
    network::listen(sender.clone());
    let watchdog = Watchdog::of_environment(monotonic_now());
    let rules = Rules::of(config);
    daemon::Daemon { performer, server: &server, shown, supervisor, watchdog, reloader, sender, receiver, rules }.run();
    server.close();
    if let Some(clients) = clients {
        clients.note_last_uses();
    }
    log::info!("the agent stopped");
    Ok(Exit::Ok)
}

/// Listens for the machines of the local network, if the settings say so. What is wrong with that keeps the agent from nothing else.
fn listen_for_clients(config: &Config, performer: &dyn Performer, server: &Server) -> Option<Arc<Clients>> {
    let address = config.clients.listen?;
    let listening = || -> Result<Arc<Clients>, AgentError> {
        let clients = performer.clients()?;
        let certificate = ClientCertificate::open_or_make(&Layout::of(&config.data_folder), &config.clients)?;
        let listener = ClientListener::new(address, &config.clients, &certificate, Arc::clone(&clients))?;
        server.also_listen(Box::new(listener)).map_err(|error| system("start a thread", &error))?;
        log::info!("clients know the agent by fingerprint={}", certificate.fingerprint());
        Ok(clients)
    };
    listening()
        .inspect_err(|error| {
            log::error!("the agent does not listen for clients code={} message={:?}", error.code, error.message);
        })
        .ok()
}

fn system(what: &str, error: &std::io::Error) -> AgentError {
    AgentError::new(
        "system_refused",
        format!("the system does not let the agent {what}: {error}"),
        "Free memory or raise the limits of this user, then start the agent again.",
        Exit::Failed,
    )
}
