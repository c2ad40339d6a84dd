//! The only clock of the agent, and the only way to wait. Nothing is ordered by the wall clock: tablets lose theirs.

use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where Linux and Android say how long the device has been up, sleep included.
const UPTIME_FILE: &str = "/proc/uptime";

/// Longest single wait on the condition, in milliseconds. The system's own timers stand still while a device sleeps, so a
/// deadline that passed in its sleep is noticed at most this late.
const WAIT_SLICE_MS_MAX: u64 = 15_000;

/// Milliseconds since 1970 by the wall clock, for people to read. May be wrong by years, and may jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallMs(pub u64);

/// Milliseconds since some moment before this program began. Never goes back, and goes on while the device sleeps where the
/// system tells. Compares only within one boot of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MonotonicMs(pub u64);

impl MonotonicMs {
    /// The moment so many milliseconds later.
    #[must_use]
    pub fn plus(self, ms: u64) -> MonotonicMs {
        MonotonicMs(self.0.saturating_add(ms))
    }

    /// Milliseconds from an earlier moment to this one; 0 if it is not earlier.
    pub fn since(self, earlier: MonotonicMs) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The wall clock; 1970 for a clock that is set before it.
#[expect(clippy::disallowed_methods, reason = "this is the file that the ban points to")]
pub fn wall_now() -> WallMs {
    WallMs(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_ms))
}

/// The clock for deadlines and durations, in steps of about 10 ms.
pub fn monotonic_now() -> MonotonicMs {
    // Which of the two clocks counts is settled once: they differ, so they are never mixed.
    static HAS_UPTIME: OnceLock<bool> = OnceLock::new();
    static LATEST: Mutex<u64> = Mutex::new(0);
    let read = if *HAS_UPTIME.get_or_init(|| uptime_ms().is_some()) { uptime_ms() } else { Some(instant_ms()) };
    let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    // A read that fails once it has worked (no file handle is left) repeats the latest answer instead of jumping.
    *latest = read.unwrap_or(*latest).max(*latest);
    MonotonicMs(*latest)
}

/// The system's own monotonic clock, in microseconds; it stands still while the device sleeps. For what a supervisor compares
/// with it, and to measure what takes less than the steps of [`monotonic_now`].
pub fn system_monotonic_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (seconds, nanoseconds) = (now.tv_sec.cast_unsigned(), now.tv_nsec.cast_unsigned());
    seconds.saturating_mul(1_000_000).saturating_add(nanoseconds / 1000)
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Somebody called [`Waker::wake`].
    Called,
    /// The deadline passed.
    Deadline,
}

/// Lets some time pass. Only for a command that looks again at what another process does, of which nothing else tells.
pub fn pause_ms(ms: u64) {
    Waker::new().wait_until(Some(monotonic_now().plus(ms)));
}

/// Lets one thread wait for others, or for a deadline. Calls that come while nobody waits are kept, as one.
#[derive(Debug, Default)]
pub struct Waker {
    is_called: Mutex<bool>,
    condition: Condvar,
}

impl Waker {
    /// Nobody has called yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the wait, or the next one if nobody waits now.
    pub fn wake(&self) {
        *self.lock() = true;
        self.condition.notify_all();
    }

    /// Waits for a call, or until the deadline; `None` waits for a call alone. Takes the call.
    pub fn wait_until(&self, deadline: Option<MonotonicMs>) -> Woken {
        let mut is_called = self.lock();
        loop {
            if std::mem::take(&mut *is_called) {
                return Woken::Called;
            }
            let Some(deadline) = deadline else {
                // Nothing but a call ends it, so nothing has to be looked at in between.
                is_called = self.condition.wait(is_called).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            is_called = match wait_a_while(&self.condition, is_called, deadline) {
                Some(guard) => guard,
                None => return Woken::Deadline,
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        // A boolean is whole whatever the thread that panicked was doing.
        self.is_called.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets any number of threads wait until something has happened once more.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<u64>,
    condition: Condvar,
}

impl Bell {
    /// Wakes everybody who waits.
    pub fn ring(&self) {
        *self.lock() += 1;
        self.condition.notify_all();
    }

    /// How often it has rung. To be asked before looking whether there is something to wait for.
    pub fn rung(&self) -> u64 {
        *self.lock()
    }

    /// Waits until it has rung more often than so, or until the deadline.
    pub fn wait_past(&self, rung: u64, deadline: MonotonicMs) -> Woken {
        let mut now = self.lock();
        loop {
            if *now > rung {
                return Woken::Called;
            }
            now = match wait_a_while(&self.condition, now, deadline) {
                Some(guard) => guard,
                None => return Woken::Deadline,
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        // A number is whole whatever the thread that panicked was doing.
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a notification, at most until the deadline and at most for a slice; `None` if the deadline has passed.
fn wait_a_while<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    deadline: MonotonicMs,
) -> Option<MutexGuard<'a, T>> {
    let left_ms = deadline.since(monotonic_now());
    if left_ms == 0 {
        return None;
    }
    let slice = Duration::from_millis(left_ms.min(WAIT_SLICE_MS_MAX));
    Some(match condition.wait_timeout(guard, slice) {
        Ok((guard, _)) => guard,
        Err(poisoned) => poisoned.into_inner().0,
    })
}

fn uptime_ms() -> Option<u64> {
    parse_uptime_ms(&std::fs::read_to_string(UPTIME_FILE).ok()?)
}

/// Reads `350735.47 234388.90`: seconds since boot, with hundredths, and something else.
fn parse_uptime_ms(text: &str) -> Option<u64> {
    let (seconds, hundredths) = text.split_ascii_whitespace().next()?.split_once('.')?;
    if hundredths.len() != 2 {
        return None;
    }
    let (seconds, hundredths): (u64, u64) = (seconds.parse().ok()?, hundredths.parse().ok()?);
    seconds.checked_mul(1000)?.checked_add(hundredths * 10)
}

#[expect(clippy::disallowed_methods, reason = "this is the file that the ban points to")]
fn instant_ms() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let now = Instant::now();
    whole_ms(now.duration_since(*FIRST.get_or_init(|| now)))
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_uptime_file_is_read_with_its_hundredths() {
        for (text, expected) in [
            ("350735.47 234388.90\n", Some(350_735_470)),
            ("0.05 0.00\n", Some(50)),
            ("", None),
            ("12 13", None),
            ("1.5 2", None),
            ("99999999999999999999.00 1", None),
        ] {
            assert_eq!(parse_uptime_ms(text), expected, "{text}");
        }
    }

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let mut before = monotonic_now();
        for _ in 0..1000 {
            let now = monotonic_now();
            assert!(now >= before);
            before = now;
        }
    }

    #[test]
    fn a_wait_ends_at_its_deadline_and_not_before() {
        let deadline = monotonic_now().plus(30);

        assert_eq!(Waker::new().wait_until(Some(deadline)), Woken::Deadline);
        assert!(monotonic_now() >= deadline);
    }

    #[test]
    fn a_call_that_came_before_the_wait_ends_it_once() {
        let waker = Waker::new();
        waker.wake();
        waker.wake();

        assert_eq!(waker.wait_until(None), Woken::Called);
        assert_eq!(waker.wait_until(Some(monotonic_now())), Woken::Deadline);
    }

    #[test]
    fn a_bell_wakes_everybody_who_has_not_heard_it() {
        let bell = Arc::new(Bell::default());
        let before = bell.rung();
        let waiting = [(); 3].map(|()| {
            let bell = Arc::clone(&bell);
            std::thread::spawn(move || bell.wait_past(before, monotonic_now().plus(20_000)))
        });

        bell.ring();

        for thread in waiting {
            assert_eq!(thread.join().unwrap(), Woken::Called);
        }
        assert_eq!(bell.wait_past(bell.rung(), monotonic_now().plus(20)), Woken::Deadline);
    }

    #[test]
    fn a_call_from_another_thread_ends_a_wait_without_deadline() {
        let waker = Arc::new(Waker::new());
        let caller = Arc::clone(&waker);
        let thread = std::thread::spawn(move || caller.wake());

        assert_eq!(waker.wait_until(None), Woken::Called);
        thread.join().unwrap();
    }
}
