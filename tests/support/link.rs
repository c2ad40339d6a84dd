//! A TCP proxy that behaves as bad links do: it breaks after some bytes, breaks again and again, or lets little through.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Pieces that are on their way in one direction of a distant link, at most.
const ON_THE_WAY_MAX: usize = 4096;

/// How the link behaves; may be changed while it runs.
#[derive(Debug, Clone, Copy)]
pub enum Mood {
    /// Everything goes through.
    Good,
    /// Everything goes through, and takes this many milliseconds each way.
    Distant {
        /// Half of the round trip.
        one_way_ms: u64,
    },
    /// After this many bytes in all, both directions counted, the connection breaks and none comes up again.
    CutAfter(u64),
    /// No connection is accepted.
    Down,
    /// Up for some milliseconds, then down for some, at this many bytes a second.
    Windows {
        /// Milliseconds up.
        up_ms: u64,
        /// Milliseconds down.
        down_ms: u64,
        /// Bytes a second while up, each direction.
        bytes_per_s: u64,
    },
}

/// Where the last bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To central.
    Up,
    /// From central.
    Down,
}

/// A proxy on loopback in front of central.
pub struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    mood: Mutex<Mood>,
    target: SocketAddr,
    up_bytes: AtomicU64,
    down_bytes: AtomicU64,
    connections: AtomicU64,
    /// Bytes since the mood was set.
    spent: AtomicU64,
    /// When the last bytes were passed, in microseconds since the link began, and whether they went down.
    moved_at_us: AtomicU64,
    moved_down: AtomicBool,
    is_over: AtomicBool,
    began: Instant,
}

impl Link {
    /// Listens and forwards to `target`.
    pub fn to(target: SocketAddr, mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            mood: Mutex::new(mood),
            target,
            up_bytes: AtomicU64::new(0),
            down_bytes: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            spent: AtomicU64::new(0),
            moved_at_us: AtomicU64::new(0),
            moved_down: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            began: Instant::now(),
        });
        let inner = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if inner.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(client) = client else { continue };
                let inner = Arc::clone(&inner);
                std::thread::spawn(move || inner.serve(&client));
            }
        });
        Self { address, shared }
    }

    /// For whoever only looks at what goes through.
    pub fn watch(&self) -> Watch {
        Watch { shared: Arc::clone(&self.shared) }
    }

    /// Address that agents use instead of central's.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same for a central that speaks TLS.
    pub fn url_by_tls(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Changes the link's behaviour for connections to come.
    pub fn set(&self, mood: Mood) {
        let mut current = self.shared.mood.lock().unwrap();
        self.shared.spent.store(0, Ordering::SeqCst);
        *current = mood;
    }

    /// Bytes to central and from central so far.
    pub fn bytes(&self) -> (u64, u64) {
        (self.shared.up_bytes.load(Ordering::SeqCst), self.shared.down_bytes.load(Ordering::SeqCst))
    }

    /// Connections that were accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

/// Sees what goes through a link.
pub struct Watch {
    shared: Arc<Shared>,
}

impl Watch {
    /// Bytes to central and from central so far.
    pub fn bytes(&self) -> (u64, u64) {
        (self.shared.up_bytes.load(Ordering::SeqCst), self.shared.down_bytes.load(Ordering::SeqCst))
    }

    /// Where bytes went last, if that was within the given time.
    pub fn moved_within(&self, span: Duration) -> Option<Direction> {
        let at = Duration::from_micros(self.shared.moved_at_us.load(Ordering::SeqCst));
        let is_recent = !at.is_zero() && self.shared.began.elapsed() <= at + span;
        let direction = if self.shared.moved_down.load(Ordering::SeqCst) { Direction::Down } else { Direction::Up };
        is_recent.then_some(direction)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(self: &Arc<Self>, client: &TcpStream) {
        let mood = *self.mood.lock().unwrap();
        if matches!(mood, Mood::Down) || !self.is_up(mood) {
            let _ = client.shutdown(Shutdown::Both);
            return;
        }
        self.connections.fetch_add(1, Ordering::SeqCst);
        let Ok(central) = TcpStream::connect(self.target) else { return };
        let (up_from, up_to) = (client.try_clone().unwrap(), central.try_clone().unwrap());
        let inner = Arc::clone(self);
        let upward = std::thread::spawn(move || inner.pass(mood, &up_from, &up_to, &inner.up_bytes));
        self.pass(mood, &central, client, &self.down_bytes);
        let _ = upward.join();
    }

    /// Copies one direction until it ends or the link breaks; then both sides are shut.
    fn pass(&self, mood: Mood, mut from: &TcpStream, mut to: &TcpStream, total: &AtomicU64) {
        let piece = match mood {
            Mood::Windows { bytes_per_s, .. } => usize::try_from(bytes_per_s / 50).unwrap().clamp(1, 4096),
            Mood::CutAfter(_) => 512,
            Mood::Good | Mood::Down | Mood::Distant { .. } => 16 * 1024,
        };
        if let Mood::Distant { one_way_ms } = mood {
            pass_late(Duration::from_millis(one_way_ms), from, to, total);
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
        let mut buffer = vec![0; piece];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let before = self.spent.fetch_add(read as u64, Ordering::SeqCst);
            let allowed = match mood {
                Mood::CutAfter(limit) => usize::try_from(limit.saturating_sub(before)).unwrap_or(read).min(read),
                Mood::Good | Mood::Down | Mood::Distant { .. } | Mood::Windows { .. } if self.is_up(mood) => read,
                Mood::Good | Mood::Down | Mood::Distant { .. } | Mood::Windows { .. } => 0,
            };
            if to.write_all(&buffer[..allowed]).is_err() {
                break;
            }
            total.fetch_add(allowed as u64, Ordering::SeqCst);
            self.moved_down.store(std::ptr::eq(total, &raw const self.down_bytes), Ordering::SeqCst);
            let elapsed_us = u64::try_from(self.began.elapsed().as_micros()).unwrap();
            self.moved_at_us.store(elapsed_us, Ordering::SeqCst);
            if allowed < read {
                break;
            }
            if let Mood::Windows { bytes_per_s, .. } = mood {
                std::thread::sleep(Duration::from_micros(1_000_000 * read as u64 / bytes_per_s));
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    fn is_up(&self, mood: Mood) -> bool {
        let Mood::Windows { up_ms, down_ms, .. } = mood else {
            return !matches!(mood, Mood::CutAfter(limit) if self.spent.load(Ordering::SeqCst) >= limit);
        };
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap();
        elapsed % (up_ms + down_ms) < up_ms
    }
}

/// Copies one direction until it ends; each piece arrives so much later than it was sent, however many are on their way.
fn pass_late(delay: Duration, mut from: &TcpStream, to: &TcpStream, total: &AtomicU64) {
    let (sender, receiver) = std::sync::mpsc::sync_channel::<(Instant, Vec<u8>)>(ON_THE_WAY_MAX);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut to = to;
            while let Ok((due, piece)) = receiver.recv() {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if to.write_all(&piece).is_err() {
                    return;
                }
                total.fetch_add(piece.len() as u64, Ordering::SeqCst);
            }
        });
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + delay, buffer[..read].to_vec())).is_err() {
                break;
            }
        }
        drop(sender);
    });
}
