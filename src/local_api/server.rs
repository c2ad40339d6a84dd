//! Accepts connections, one thread each, up to a limit.

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
/// Pause after the system refused to give a connection (no file handle is left), in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 500;

/// What the server grants. Tests take less.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// Most connections at once; the next is told to come again.
    pub connections_max: usize,
    /// Longest time that one read or write may stand still.
    pub idle: Duration,
    /// Most bytes of lines in one request.
    pub input_bytes_max: u64,
    /// Up to this many bytes of lines stay in memory.
    pub input_memory_bytes_max: u64,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            idle: Duration::from_millis(IDLE_MS_MAX),
            input_bytes_max: INPUT_BYTES_MAX,
            input_memory_bytes_max: INPUT_MEMORY_BYTES_MAX,
        }
    }
}

/// A running server. It ends with [`close`](Self::close) or with this value.
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    listener: Box<dyn Listener>,
    performer: Arc<dyn Performer>,
    folder: PathBuf,
    limits: ServerLimits,
    open_connections: AtomicUsize,
    work: Mutex<Work>,
    work_ended: Waker,
    is_closed: AtomicBool,
    closed: Waker,
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
            listener,
            performer,
            folder,
            limits,
            open_connections: AtomicUsize::new(0),
            work: Mutex::default(),
            work_ended: Waker::new(),
            is_closed: AtomicBool::new(false),
            closed: Waker::new(),
        });
        let accepting = Arc::clone(&shared);
        std::thread::Builder::new().name("local-api".to_owned()).spawn(move || accept_all(&accepting))?;
        Ok(Self { shared })
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

    /// Accepts no more connections, and takes the listener's name away. Again is harmless.
    pub fn close(&self) {
        self.refuse_work();
        if !self.shared.is_closed.swap(true, Ordering::SeqCst) {
            self.shared.closed.wake();
            self.shared.listener.close();
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
struct Place(Arc<Shared>);

impl Place {
    /// A place, and how many were taken before it.
    fn take(shared: &Arc<Shared>) -> (Self, usize) {
        let before = shared.open_connections.fetch_add(1, Ordering::SeqCst);
        (Self(Arc::clone(shared)), before)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open_connections.fetch_sub(1, Ordering::SeqCst);
    }
}

fn accept_all(shared: &Arc<Shared>) {
    loop {
        let accepted = shared.listener.accept();
        if shared.is_closed.load(Ordering::SeqCst) {
            return;
        }
        match accepted {
            Ok(connection) => serve(shared, connection),
            Err(error) => {
                log::warn!("a connection to the socket was not accepted error={error}");
                shared.closed.wait_until(Some(monotonic_now().plus(ACCEPT_PAUSE_MS)));
                if shared.is_closed.load(Ordering::SeqCst) {
                    return;
                }
            }
        }
    }
}

fn serve(shared: &Arc<Shared>, mut connection: Box<dyn Connection>) {
    let (place, before) = Place::take(shared);
    let connections_max = shared.limits.connections_max;
    if before >= connections_max {
        log::warn!("a connection is refused connections_max={connections_max}");
    }
    if before >= connections_max + REFUSALS_MAX {
        return;
    }
    let thread = std::thread::Builder::new().name("local-api-call".to_owned()).spawn(move || {
        let shared = &*place.0;
        if before >= connections_max {
            return refuse_connection(&mut *connection, &shared.limits);
        }
        let room = Room { performer: &*shared.performer, folder: &shared.folder, limits: &shared.limits };
        answer(&mut *connection, &room, || shared.begin());
    });
    if let Err(error) = thread {
        log::warn!("a connection was closed because no thread could be started error={error}");
    }
}
