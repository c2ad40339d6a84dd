//! What the program that started this one is told, if it wants to know: systemd's notifications (`sd_notify(3)`), which other
//! supervisors understand too. A datagram of lines to the socket that `NOTIFY_SOCKET` names; without the variable nothing is
//! said and nothing is missing.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::clock::{MonotonicMs, system_monotonic_us};

/// Names the socket.
const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";
/// In how many microseconds at most the supervisor wants to hear of the loop.
const WATCHDOG_VARIABLE: &str = "WATCHDOG_USEC";
/// The process that the watchdog is for; without it this one.
const WATCHDOG_PROCESS_VARIABLE: &str = "WATCHDOG_PID";
/// Longest that a supervisor who does not read may hold up one notification, in milliseconds.
const WRITE_MS_MAX: u64 = 200;
/// Longest text of a status, in characters.
const STATUS_CHARACTERS_MAX: usize = 300;

/// The way to the supervisor. Shared by threads.
pub(super) struct Supervisor {
    way: Option<Way>,
    has_failed: AtomicBool,
}

struct Way {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Supervisor {
    /// The one that started this process, by the environment. One that cannot be reached is named in the log.
    pub(super) fn of_environment() -> Self {
        let way = match std::env::var_os(SOCKET_VARIABLE) {
            None => None,
            Some(name) => match Way::to(&name) {
                Ok(way) => Some(way),
                Err(error) => {
                    log::warn!("the supervisor cannot be told anything socket={} error={error}", name.display());
                    None
                }
            },
        };
        Self { way, has_failed: AtomicBool::new(false) }
    }

    /// Whether somebody listens.
    pub(super) fn is_there(&self) -> bool {
        self.way.is_some()
    }

    /// The agent works: its journal is open and its socket listens. Whether central can be reached is another question.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// Settings are being read anew; [`ready`](Self::ready) follows.
    pub(super) fn reloading(&self) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", system_monotonic_us()));
    }

    /// The agent is on its way to its end.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// How the agent is, in a line for people.
    pub(super) fn status(&self, text: &str) {
        let line: String =
            text.chars().filter(|character| !character.is_control()).take(STATUS_CHARACTERS_MAX).collect();
        self.tell(&format!("STATUS={line}"));
    }

    fn tell(&self, lines: &str) {
        let Some(way) = &self.way else { return };
        if let Err(error) = way.socket.send_to_addr(lines.as_bytes(), &way.address)
            && !self.has_failed.swap(true, Ordering::Relaxed)
        {
            log::warn!("the supervisor does not take what it is told error={error}");
        }
    }
}

impl Way {
    fn to(name: &OsStr) -> io::Result<Self> {
        let address = address(name.as_bytes())?;
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(Duration::from_millis(WRITE_MS_MAX)))?;
        Ok(Self { socket, address })
    }
}

/// A path, or behind an `@` a name without a file (`unix(7)`, abstract).
fn address(name: &[u8]) -> io::Result<SocketAddr> {
    match name.split_first() {
        Some((b'/', _)) => SocketAddr::from_pathname(OsStr::from_bytes(name)),
        Some((b'@', rest)) => abstract_address(rest),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor a name behind @")),
    }
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

#[cfg(target_os = "android")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    <SocketAddr as std::os::android::net::SocketAddrExt>::from_abstract_name(name)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_address(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no names without files"))
}

/// Tells the supervisor that the loop turns, twice in the time in which it wants to hear it. Held by the loop alone: a loop that
/// stands still says nothing, whatever other threads do, and the supervisor starts the agent anew.
pub(super) struct Watchdog {
    period_ms: Option<u64>,
    due_at: MonotonicMs,
}

impl Watchdog {
    /// As the environment asks; nothing is due where it does not ask this process.
    pub(super) fn of_environment(now: MonotonicMs) -> Self {
        let text = |name| std::env::var(name).ok();
        Self::of(text(WATCHDOG_VARIABLE).as_deref(), text(WATCHDOG_PROCESS_VARIABLE).as_deref(), now)
    }

    /// Asks for nothing.
    #[cfg(test)]
    pub(super) fn absent() -> Self {
        Self { period_ms: None, due_at: MonotonicMs(0) }
    }

    fn of(limit_us: Option<&str>, process: Option<&str>, now: MonotonicMs) -> Self {
        let is_for_us = process.is_none_or(|process| process == std::process::id().to_string());
        let limit_us =
            limit_us.and_then(|limit| limit.parse::<u64>().ok()).filter(|limit_us| is_for_us && *limit_us > 0);
        Self { period_ms: limit_us.map(|limit_us| (limit_us / 2000).max(1)), due_at: now }
    }

    /// To be called at each turn of the loop.
    pub(super) fn turn(&mut self, now: MonotonicMs, supervisor: &Supervisor) {
        if let Some(period_ms) = self.period_ms
            && self.due_at <= now
        {
            supervisor.tell("WATCHDOG=1");
            self.due_at = now.plus(period_ms);
        }
    }

    /// How long the loop may wait at most before its next turn, in milliseconds.
    pub(super) fn wait_ms(&self, now: MonotonicMs) -> u64 {
        self.period_ms.map_or(u64::MAX, |_| self.due_at.since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening() -> (tempfile::TempDir, UnixDatagram, Supervisor) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let heard = UnixDatagram::bind(&path).unwrap();
        heard.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let way = Way::to(path.as_os_str()).unwrap();
        (folder, heard, Supervisor { way: Some(way), has_failed: AtomicBool::new(false) })
    }

    fn next(heard: &UnixDatagram) -> Option<String> {
        let mut bytes = [0; 4096];
        heard.recv(&mut bytes).ok().map(|count| String::from_utf8(bytes[..count].to_vec()).unwrap())
    }

    #[test]
    fn each_notification_is_one_datagram_of_lines() {
        let (_folder, heard, supervisor) = listening();

        supervisor.ready();
        supervisor.status("3 edits wait\nREADY=0");
        supervisor.reloading();
        supervisor.stopping();

        assert_eq!(next(&heard).unwrap(), "READY=1");
        assert_eq!(next(&heard).unwrap(), "STATUS=3 edits waitREADY=0");
        let reloading = next(&heard).unwrap();
        let moment = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(moment.parse::<u64>().unwrap() > 0);
        assert_eq!(next(&heard).unwrap(), "STOPPING=1");
        assert_eq!(next(&heard), None);
    }

    #[test]
    fn a_name_is_a_path_or_stands_behind_an_at_sign() {
        assert!(address(b"/run/systemd/notify").unwrap().as_pathname().is_some());
        assert!(address(b"vsock:2:1234").is_err());
        assert!(address(b"").is_err());
        #[cfg(target_os = "linux")]
        {
            use std::os::linux::net::SocketAddrExt as _;
            assert_eq!(address(b"@outpost/notify").unwrap().as_abstract_name(), Some(b"outpost/notify".as_slice()));
        }
    }

    #[test]
    fn without_a_supervisor_or_with_one_that_is_gone_nothing_fails() {
        let (folder, heard, supervisor) = listening();
        drop(heard);
        drop(folder);

        supervisor.ready();
        Supervisor { way: None, has_failed: AtomicBool::new(false) }.ready();

        assert!(supervisor.has_failed.load(Ordering::Relaxed));
    }

    #[test]
    fn the_watchdog_is_fed_at_half_of_its_time_by_turns_alone() {
        let (_folder, heard, supervisor) = listening();
        let at = MonotonicMs;
        let mut watchdog = Watchdog::of(Some("1000000"), None, at(0));

        for now in [0, 100, 499, 500, 501, 2_000] {
            watchdog.turn(at(now), &supervisor);
        }

        assert_eq!(watchdog.wait_ms(at(2_100)), 400);
        for _ in 0..3 {
            assert_eq!(next(&heard).unwrap(), "WATCHDOG=1");
        }
        assert_eq!(next(&heard), None);
    }

    #[test]
    fn a_watchdog_for_another_process_or_without_a_time_is_none() {
        let ours = std::process::id().to_string();
        for (limit, process, is_asked) in [
            (Some("3000000"), Some(ours.as_str()), true),
            (Some("3000000"), None, true),
            (Some("1"), None, true),
            (Some("3000000"), Some("1"), false),
            (Some("0"), None, false),
            (Some("soon"), None, false),
            (None, None, false),
        ] {
            let watchdog = Watchdog::of(limit, process, MonotonicMs(7));
            assert_eq!(watchdog.wait_ms(MonotonicMs(7)) == 0, is_asked, "{limit:?} {process:?}");
        }
    }
}
