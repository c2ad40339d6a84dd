//! Accepts connections, one thread each, up to a limit for each listener: a flood at one of them leaves the others alone.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::listener::{Connection, Listener};
use super::routes::{Room, answer, refuse_connection};
use crate::clock::{MonotonicMs, Waker, Woken, monotonic_now};
use crate::operations::{INPUT_BYTES_MAX, INPUT_MEMORY_BYTES_MAX, Performer};

/// Most connections at once. A site has a handful of applications; each connection costs a thread.
pub const CONNECTIONS_MAX: usize = 32;
/// Most connections above the limit that are still told so, each by a thread; the next is closed without a word.
const REFUSALS_MAX: usize = 16;
/// Longest time that one read or write may stand still, in milliseconds: both ends are on one device.
const IDLE_MS_MAX: u64 = 10_000;
/// Pause after the system refused to give a connection (no file handle is left, another program has the port), in milliseconds; doubled
/// with each further refusal.
const ACCEPT_PAUSE_MS: u64 = 500;
/// Longest such pause, in milliseconds.
const ACCEPT_PAUSE_MS_MAX: u64 = 8_000;

/// What the server grants and shows. Tests take less.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// Most connections at once; the next is told to come again.
    pub connections_max: usize,
    /// Longest time that one read or write may stand still, and that a head may take.
    pub idle: Duration,
    /// Most bytes of lines in one request.
    pub input_bytes_max: u64,
    /// Up to this many bytes of lines stay in memory.
    pub input_memory_bytes_max: u64,
    /// The folder with an application's pages, if there is one.
    pub pages: Option<PathBuf>,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            idle: Duration::from_millis(IDLE_MS_MAX),
            input_bytes_max: INPUT_BYTES_MAX,
            input_memory_bytes_max: INPUT_MEMORY_BYTES_MAX,
            pages: None,
        }
    }
}

impl ServerLimits {
    /// When a request's head has to be there, and when a refused sender is left alone: what comes in drops keeps no place for ever.
    pub(super) fn deadline(&self) -> MonotonicMs {
        monotonic_now().plus(u64::try_from(self.idle.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A running server. It ends with [`close`](Self::close) or with this value.
pub struct Server {
    shared: Arc<Shared>,
}

/// A listener and who came through it.
struct Entrance {
    listener: Box<dyn Listener>,
    open_connections: AtomicUsize,
    waiting: AtomicUsize,
    closed: Waker,
}

struct Shared {
    entrances: Mutex<Vec<Arc<Entrance>>>,
    performer: Arc<dyn Performer>,
    folder: PathBuf,
    limits: ServerLimits,
    work: Mutex<Work>,
    work_ended: Waker,
    is_closed: AtomicBool,
}

#[derive(Default)]
struct Work {
    performing: usize,
    is_refused: bool,
}

impl Server {
    /// Begins to accept connections. Long inputs are kept in `folder`.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        listener: Box<dyn Listener>,
        performer: Arc<dyn Performer>,
        folder: PathBuf,
        limits: ServerLimits,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            entrances: Mutex::default(),
            performer,
            folder,
            limits,
            work: Mutex::default(),
            work_ended: Waker::new(),
            is_closed: AtomicBool::new(false),
        });
        let server = Self { shared };
        server.also_listen(listener)?;
        Ok(server)
    }

    /// Accepts connections from one more listener. Each has its own places; to be called before [`close`](Self::close).
    ///
    /// # Errors
    /// No thread can be started.
    pub fn also_listen(&self, listener: Box<dyn Listener>) -> std::io::Result<()> {
        let (open_connections, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let entrance = Arc::new(Entrance { listener, open_connections, waiting, closed: Waker::new() });
        self.shared.entrances().push(Arc::clone(&entrance));
        let shared = Arc::clone(&self.shared);
        std::thread::Builder::new().name("local-api".to_owned()).spawn(move || accept_all(&shared, &entrance))?;
        Ok(())
    }

    /// Takes nothing new: open connections are told that the agent stops.
    pub fn refuse_work(&self) {
        self.shared.work().is_refused = true;
    }

    /// Waits until everything that was begun is answered. Returns false if the deadline came first. Only one thread may wait.
    pub fn wait_until_idle(&self, deadline: MonotonicMs) -> bool {
        loop {
            if self.shared.work().performing == 0 {
                return true;
            }
            if self.shared.work_ended.wait_until(Some(deadline)) == Woken::Deadline {
                return self.shared.work().performing == 0;
            }
        }
    }

    /// Accepts no more connections, and takes the listeners' names away. Again is harmless.
    pub fn close(&self) {
        self.refuse_work();
        if !self.shared.is_closed.swap(true, Ordering::SeqCst) {
            for entrance in self.shared.entrances().iter() {
                entrance.closed.wake();
                entrance.listener.close();
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn work(&self) -> MutexGuard<'_, Work> {
        // A count and a boolean are whole whatever the thread that panicked was doing.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entrances(&self) -> MutexGuard<'_, Vec<Arc<Entrance>>> {
        // Only ever added to.
        self.entrances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Option<Performing<'_>> {
        let mut work = self.work();
        if work.is_refused {
            return None;
        }
        work.performing += 1;
        Some(Performing { shared: self })
    }
}

/// Something that was begun and whose answer is not written yet.
pub(super) struct Performing<'a> {
    shared: &'a Shared,
}

impl Drop for Performing<'_> {
    fn drop(&mut self) {
        self.shared.work().performing -= 1;
        self.shared.work_ended.wake();
    }
}

/// One of the connections that may be open, also if its thread panics.
struct Place(Arc<Entrance>);

impl Place {
    /// A place, and how many were taken before it.
    fn take(entrance: &Arc<Entrance>) -> (Self, usize) {
        let before = entrance.open_connections.fetch_add(1, Ordering::SeqCst);
        (Self(Arc::clone(entrance)), before)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open_connections.fetch_sub(1, Ordering::SeqCst);
    }
}

fn accept_all(shared: &Arc<Shared>, entrance: &Arc<Entrance>) {
    let mut pause_ms = ACCEPT_PAUSE_MS;
    loop {
        let accepted = entrance.listener.accept();
        if shared.is_closed.load(Ordering::SeqCst) {
            return;
        }
        match accepted {
            Ok(connection) => {
                pause_ms = ACCEPT_PAUSE_MS;
                serve(shared, entrance, connection);
            }
            Err(error) => {
                if pause_ms == ACCEPT_PAUSE_MS {
                    log::warn!("no connection is accepted for now listener={} error={error}", entrance.listener.name());
                }
                entrance.closed.wait_until(Some(monotonic_now().plus(pause_ms)));
                pause_ms = (2 * pause_ms).min(ACCEPT_PAUSE_MS_MAX);
                if shared.is_closed.load(Ordering::SeqCst) {
                    return;
                }
            }
        }
    }
}

fn serve(shared: &Arc<Shared>, entrance: &Arc<Entrance>, mut connection: Box<dyn Connection>) {
    let (place, before) = Place::take(entrance);
    let connections_max = entrance.listener.connections_max().unwrap_or(shared.limits.connections_max);
    if before >= connections_max {
        log::warn!("a connection is refused connections_max={connections_max}");
    }
    if before >= connections_max + REFUSALS_MAX {
        return;
    }
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("local-api-call".to_owned()).spawn(move || {
        if before >= connections_max {
            return refuse_connection(&mut *connection, &shared.limits, connections_max);
        }
        let room = Room {
            performer: &*shared.performer,
            folder: &shared.folder,
            limits: &shared.limits,
            access: place.0.listener.access(),
            waiting: &place.0.waiting,
            // Others still find a place beside those who wait.
            waiting_max: connections_max / 2,
        };
        answer(&mut *connection, &room, || shared.begin());
    });
    if let Err(error) = thread {
        log::warn!("a connection was closed because no thread could be started error={error}");
    }
}
