//! The server: listens, and stops within [`STOP_MS_MAX`] when it is told to.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::admin;
use crate::admin_api::{self, AdminApi};
use crate::center::Center;
use crate::clock;
use crate::error::{CentralError, Exit};
use crate::folder::FolderPaths;
use crate::janitor::Janitor;
use crate::store::Reading;
use crate::sync_api::{PatientListener, Peer, ServerTls, SyncApi};

/// Within this time after SIGTERM the program is gone.
pub const STOP_MS_MAX: u64 = 5_000;
/// For the running commit and for telling sites that central stops; what is left of [`STOP_MS_MAX`] is for the runtime.
const FINISH_MS_MAX: u64 = 4_000;
const RUNTIME_END_MS_MAX: u64 = 500;

/// Serves until SIGTERM or SIGINT. `is_copy`: the folder is a copy of production, and gets a key of its own first.
///
/// # Errors
/// `listen_not_loopback`, `listen_failed`, `socket_failed`, those of [`ServerTls::open`] and of opening the folder;
/// `writer_failed` if the writing thread ended by a mistake in the program.
pub fn serve(
    paths: FolderPaths,
    listen: SocketAddr,
    is_copy: bool,
    output: &mut dyn Write,
) -> Result<(), CentralError> {
    let center = Arc::new(if is_copy { Center::open_as_copy(paths)? } else { Center::open(paths)? });
    let tls = tls_of(&center)?;
    for listen in std::iter::once(listen).chain(center.settings().admin_api.address) {
        check_encrypted(listen, tls.is_some())?;
    }
    if let Some(copy) = center.copy() {
        let made = clock::date_text(copy.made_ms);
        tracing::warn!(original = copy.original, made, "this is a copy of another central: its sites do not trust it");
    }
    let writer = center.writer()?;
    // Edits that were received before the last stop may lack a verdict.
    for site in center.read(|reading: &mut Reading<'_>| reading.sites_judged_at_start())? {
        center.judge_later(site);
    }
    let janitor = Janitor::start(&center)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        let message = format!("the server cannot start: {error}");
        CentralError::new("no_thread", message, "Raise the limit of threads of this user.", Exit::Failed)
    })?;
    let outcome = runtime.block_on(listen_until_stopped(&center, listen, tls, output));
    writer.stop();
    // The janitor ends with the writer: its work is refused from now on.
    let has_finished = runtime
        .block_on(async { tokio::time::timeout(Duration::from_millis(FINISH_MS_MAX), writer.ended()).await.is_ok() });
    runtime.shutdown_timeout(Duration::from_millis(RUNTIME_END_MS_MAX));
    if has_finished {
        drop(janitor);
    } else {
        tracing::warn!("a commit is not finished in time; it is undone when the store is opened again");
        // Dropping these would wait for the commit. The process ends now, and with it the threads.
        std::mem::forget((janitor, Arc::clone(&center), writer));
    }
    outcome
}

/// That nobody is spoken to in the clear but on this machine.
fn check_encrypted(listen: SocketAddr, has_tls: bool) -> Result<(), CentralError> {
    if has_tls || listen.ip().is_loopback() {
        return Ok(());
    }
    let message = format!("{listen} is not a loopback address, and central has no certificate to encrypt with");
    let advice = "Set certificate_file and key_file under [tls] in central.toml. Or listen on 127.0.0.1 or [::1], behind a \
                  proxy that does TLS.";
    Err(CentralError::new("listen_not_loopback", message, advice, Exit::Config))
}

async fn listen_until_stopped(
    center: &Arc<Center>,
    listen: SocketAddr,
    tls: Option<Arc<ServerTls>>,
    output: &mut dyn Write,
) -> Result<(), CentralError> {
    let (stop, stopped) = watch::channel(false);
    let tcp = TcpListener::bind(listen).await.map_err(|error| listen_failed(listen, &error))?;
    let address = tcp.local_addr().map_err(|error| listen_failed(listen, &error))?;
    let socket = center.paths().expect("a server has a data folder").socket();
    let unix = bind_socket(&socket)?;
    let signals = Signals::new()?;
    let scheme = if tls.is_some() { "https" } else { "http" };

    let limits = &center.settings().limits;
    let timeouts = &center.settings().timeouts;
    let idle_ms = 2 * timeouts.read_idle_ms.max(timeouts.write_idle_ms);
    let tcp = PatientListener::new(tcp, limits.connections_max, idle_ms, tls.clone());
    let sync_router = SyncApi::new(center)?.router();
    let (tools, tools_address) = match center.settings().admin_api.address {
        None => (None, None),
        Some(listen) => {
            let listener = TcpListener::bind(listen).await.map_err(|error| admin_api_failed(listen, &error))?;
            let address = listener.local_addr().map_err(|error| admin_api_failed(listen, &error))?;
            let listener = PatientListener::new(listener, admin_api::CONNECTIONS_MAX, idle_ms, tls.clone());
            (Some((listener, AdminApi::new(center)?.router())), Some(address))
        }
    };
    let sites = tokio::spawn(serve_sites(tcp, sync_router.clone(), stopped.clone()));
    let tools = tools.map(|(listener, router)| tokio::spawn(serve_sites(listener, router, stopped.clone())));
    let people = tokio::spawn(serve_people(unix, admin::router(Arc::clone(center)), stopped));

    let api = tools_address.map(|address| format!("admin API on {scheme}://{address}{}\n", admin_api::ROOT));
    let lines = format!("listening on {scheme}://{address}\n{}", api.unwrap_or_default());
    crate::commands::put(output, &lines)?;
    tracing::info!(%address, socket = %socket.display(), "central is up");
    let writer = center.writer()?;
    let outcome = tokio::select! {
        name = signals.wait(tls.as_deref()) => {
            tracing::info!("{name}: stopping");
            Ok(())
        }
        () = writer.ended() => {
            let message = "the thread that writes the store ended by a mistake in the program";
            Err(CentralError::new("writer_failed", message, "Start it again and report the log.", Exit::Failed))
        }
    };
    writer.stop();
    center.news().stop();
    stop.send_replace(true);
    let tools_end = async {
        if let Some(tools) = tools {
            // A task that ended by a mistake has ended.
            let _ = tools.await;
        }
    };
    let ends = async { tokio::join!(sites, tools_end, people) };
    if tokio::time::timeout(Duration::from_millis(FINISH_MS_MAX / 2), ends).await.is_err() {
        tracing::info!("connections that are still open are cut");
    }
    // A verb that comes now opens the folder itself once the lock is free.
    let _ = std::fs::remove_file(&socket);
    outcome
}

/// The certificate, if the settings name one. Relative paths count from the data folder.
fn tls_of(center: &Center) -> Result<Option<Arc<ServerTls>>, CentralError> {
    let settings = &center.settings().tls;
    let (Some(certificate), Some(key)) = (&settings.certificate_file, &settings.key_file) else { return Ok(None) };
    let root = center.paths().expect("a server has a data folder").root();
    Ok(Some(Arc::new(ServerTls::open(&root.join(certificate), &root.join(key))?)))
}

async fn serve_sites(listener: PatientListener, router: Router, stopped: watch::Receiver<bool>) {
    let service = router.into_make_service_with_connect_info::<Peer>();
    let served = axum::serve(listener, service).with_graceful_shutdown(until_set(stopped)).await;
    if let Err(error) = served {
        tracing::error!("listening for sites ended: {error}");
    }
}

async fn serve_people(listener: UnixListener, router: Router, stopped: watch::Receiver<bool>) {
    let service = router.into_make_service_with_connect_info::<admin::SocketPeer>();
    let served = axum::serve(listener, service).with_graceful_shutdown(until_set(stopped)).await;
    if let Err(error) = served {
        tracing::error!("listening on the admin socket ended: {error}");
    }
}

async fn until_set(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone means stop as well.
    let _ = stopped.wait_for(|is_stopped| *is_stopped).await;
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, CentralError> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                CentralError::new("signals_failed", format!("signals cannot be received: {error}"), "", Exit::Failed)
            })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to stop; one to reload is carried out meanwhile.
    async fn wait(mut self, tls: Option<&ServerTls>) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hang_up.recv() => reload(tls),
            }
        }
    }
}

fn reload(tls: Option<&ServerTls>) {
    match tls.map(ServerTls::reload) {
        None => {
            tracing::warn!("SIGHUP: there is no certificate to read again; other settings count from the next start");
        }
        Some(Ok(())) => tracing::info!("SIGHUP: the certificate was read again, for connections from now on"),
        Some(Err(error)) => tracing::error!("SIGHUP: the certificate that was in use stays: {error}"),
    }
}

/// Binds the admin socket. One that is there is left over: whoever made it had the lock that this program holds now.
fn bind_socket(path: &Path) -> Result<UnixListener, CentralError> {
    let failed = |error: std::io::Error| {
        let message = format!("the admin socket {} cannot be made: {error}", path.display());
        let advice = "A socket's path has at most 107 bytes: choose a data folder with a shorter path.";
        CentralError::new("socket_failed", message, advice, Exit::Config)
    };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

fn admin_api_failed(listen: SocketAddr, error: &std::io::Error) -> CentralError {
    let message = format!("the admin API cannot listen on {listen}: {error}");
    let advice = "Choose another address under [admin_api] in central.toml, or port 0 for any.";
    CentralError::new("listen_failed", message, advice, Exit::Busy)
}

fn listen_failed(listen: SocketAddr, error: &std::io::Error) -> CentralError {
    let message = format!("cannot listen on {listen}: {error}");
    CentralError::new("listen_failed", message, "Choose another port with --listen, or 0 for any.", Exit::Busy)
}
