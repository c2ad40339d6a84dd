//! The loop with its threads and its socket, around a performer that the test holds by the hand.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use protocol::schedule::Schedule;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::plan::{Signal, Wake};
use super::*;
use crate::clock::{MonotonicMs, Waker, monotonic_now};
use crate::local_api::SocketClient;
use crate::operations::Input;
use crate::operations::{Progress, Request, SyncOptions};

/// Longest that a test waits, in milliseconds.
const DEADLINE_MS: u64 = 20_000;
const MANUAL: Schedule = Schedule { interval_ms: None, jitter_percent: 0, backoff_first_ms: 1, backoff_max_ms: 1 };

/// Sessions wait for `release`; those with `breaks` panic; those with `hangs` do not hear that they should stop.
#[derive(Default)]
struct Fake {
    begun: Mutex<Vec<Request>>,
    changed: Waker,
    release: Waker,
    breaks: AtomicBool,
    hangs: AtomicBool,
}

impl Performer for Fake {
    fn perform(&self, request: Request, _: &mut Input, events: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
        if matches!(request, Request::Status | Request::Watch { .. }) {
            return Ok(json!({ "pending": 1 }));
        }
        self.begun.lock().unwrap().push(request);
        self.changed.wake();
        events(Progress::Checking { lines: 5 });
        self.release.wait_until(Some(monotonic_now().plus(DEADLINE_MS)));
        assert!(!self.breaks.swap(false, Ordering::SeqCst), "this session breaks");
        Ok(json!({ "outcome": "drained" }))
    }

    fn stop(&self) {
        if !self.hangs.load(Ordering::SeqCst) {
            self.release.wake();
        }
    }
}

impl Fake {
    fn wait_for_sessions(&self, count: usize) {
        let deadline = monotonic_now().plus(DEADLINE_MS);
        while self.begun.lock().unwrap().len() < count {
            assert!(monotonic_now() < deadline, "the session did not begin in time");
            self.changed.wait_until(Some(deadline));
        }
    }
}

struct World {
    fake: Arc<Fake>,
    sender: std::sync::mpsc::SyncSender<Wake<caller::Caller>>,
    shown: Arc<door::Shown>,
    daemon: Option<JoinHandle<()>>,
    folder: TempDir,
}

fn world(schedule: Schedule) -> World {
    let folder = tempfile::tempdir().unwrap();
    let fake = Arc::new(Fake::default());
    let performer = Arc::clone(&fake) as Arc<dyn Performer>;
    let (sender, receiver) = daemon::wakes();
    let door = Arc::new(door::ServiceDoor::new(Arc::clone(&performer), sender.clone()));
    let listener = Box::new(SocketListener::bind(&folder.path().join("agent.sock")).unwrap());
    let shown = door.shown();
    let config = Config::of_text(Path::new("agent.toml"), "").unwrap();
    let read = Box::new(|| Err(AgentError::new("config_syntax", "broken", "", Exit::Config)));
    let reloader = Arc::new(Reloader::new(config, read, Arc::clone(&performer)));
    let supervisor = Arc::new(Supervisor::of_environment());
    let watchdog = Watchdog::absent();
    let server = Server::start(listener, door, folder.path().to_owned(), ServerLimits::default()).unwrap();
    let (for_daemon, of_daemon) = (sender.clone(), Arc::clone(&shown));
    let daemon = std::thread::spawn(move || {
        let (server, sender, rules) = (&server, for_daemon, schedule.into());
        let shown = of_daemon;
        daemon::Daemon { performer, server, shown, supervisor, watchdog, reloader, sender, receiver, rules }.run();
    });
    World { fake, sender, shown, daemon: Some(daemon), folder }
}

impl World {
    fn ask(&self, request: Request) -> JoinHandle<(Result<Value, AgentError>, Vec<Progress>)> {
        let client = SocketClient::connect(&self.folder.path().join("agent.sock")).unwrap().unwrap();
        std::thread::spawn(move || {
            let mut events = Vec::new();
            let result = client.perform(request, &mut Input::empty(), &mut |event| events.push(event));
            (result, events)
        })
    }

    fn signal(&self, signal: Signal) {
        self.sender.send(Wake::Signal(signal)).unwrap();
    }

    fn stop(&mut self) {
        self.signal(Signal::Stop);
        self.daemon.take().unwrap().join().unwrap();
    }
}

fn sync() -> Request {
    Request::Sync(SyncOptions::default())
}

#[test]
fn a_schedule_begins_sessions_without_being_asked() {
    let mut world = world(Schedule { interval_ms: Some(1), ..MANUAL });

    for count in 1..=3 {
        world.fake.wait_for_sessions(count);
        world.fake.release.wake();
    }

    world.stop();
}

#[test]
fn who_asks_sees_progress_and_the_result_and_a_signal_syncs_too() {
    let mut world = world(MANUAL);

    let asked = world.ask(sync());
    world.fake.wait_for_sessions(1);
    world.signal(Signal::SyncNow);
    world.fake.release.wake();
    let (result, events) = asked.join().unwrap();
    world.fake.wait_for_sessions(2);
    world.fake.release.wake();

    assert_eq!(result, Ok(json!({ "outcome": "drained" })));
    assert_eq!(events, [Progress::Checking { lines: 5 }]);
    world.stop();
}

#[test]
fn status_comes_while_a_session_runs_and_says_so() {
    let mut world = world(MANUAL);
    world.signal(Signal::SyncNow);
    world.fake.wait_for_sessions(1);

    let mut status = world.ask(Request::Status).join().unwrap().0.unwrap();
    // It may have had none yet.
    status.as_object_mut().unwrap().remove("progress");

    let expected = json!({ "pending": 1, "daemon": true, "syncing": true, "next_sync_ms": null,
        "next_sync_reason": "manual", "waits_for_news": false });
    assert_eq!(status, expected);
    world.fake.release.wake();
    world.stop();
}

#[test]
fn who_watches_hears_of_a_session_and_is_let_go_when_the_agent_stops() {
    let mut world = world(MANUAL);
    let watch = |after| world.ask(Request::Watch { after, wait_s: 60 }).join().unwrap().0.unwrap();
    let until = |is_syncing: bool| {
        let mut status = watch(None);
        while status["syncing"] != is_syncing {
            status = watch(status["change"].as_u64());
        }
        status
    };

    world.signal(Signal::SyncNow);
    assert_eq!(until(true)["pending"], 1);
    world.fake.wait_for_sessions(1);
    world.fake.release.wake();
    let status = until(false);
    assert_eq!(status["progress"], Value::Null);

    let waiting = world.ask(Request::Watch { after: status["change"].as_u64(), wait_s: 600 });
    let deadline = monotonic_now().plus(DEADLINE_MS);
    while world.shown.watched.watching() == 0 {
        assert!(monotonic_now() < deadline, "it does not watch");
        std::thread::yield_now();
    }
    world.stop();
    assert_eq!(waiting.join().unwrap().0.unwrap()["daemon"], true);
}

#[test]
fn the_agent_is_alive_as_long_as_its_loop_turns() {
    let (sender, _receiver) = daemon::wakes();
    let door = door::ServiceDoor::new(Arc::new(Fake::default()), sender);
    let turned = |ms_ago: u64| {
        let turned_at = MonotonicMs(monotonic_now().0.saturating_sub(ms_ago));
        door.shown().next_sync().turned_at = Some(turned_at);
        door.is_alive()
    };

    assert!(door.is_alive(), "it has not begun yet");
    assert!(turned(door::TURN_MS_MAX / 2));
    assert!(!turned(door::TURN_MS_MAX));
}

#[test]
fn a_session_that_breaks_is_answered_and_the_next_one_runs() {
    let mut world = world(MANUAL);
    world.fake.breaks.store(true, Ordering::SeqCst);

    let broken = world.ask(sync());
    world.fake.wait_for_sessions(1);
    world.fake.release.wake();
    let (result, _) = broken.join().unwrap();
    let next = world.ask(sync());
    world.fake.wait_for_sessions(2);
    world.fake.release.wake();

    assert_eq!(result.unwrap_err().code, "session_broke");
    assert!(next.join().unwrap().0.is_ok());
    world.stop();
}

#[test]
fn stopping_waits_for_the_session_and_its_caller_gets_the_result() {
    let mut world = world(MANUAL);
    let asked = world.ask(sync());
    world.fake.wait_for_sessions(1);

    world.stop();

    assert_eq!(asked.join().unwrap().0, Ok(json!({ "outcome": "drained" })));
    assert!(SocketClient::connect(&world.folder.path().join("agent.sock")).unwrap().is_none());
}

#[test]
fn settings_that_cannot_be_read_anew_leave_the_daemon_at_work() {
    let mut world = world(MANUAL);

    world.signal(Signal::Reload);
    world.signal(Signal::Reload);
    world.signal(Signal::SyncNow);
    world.fake.wait_for_sessions(1);
    world.fake.release.wake();

    world.stop();
}

#[test]
fn a_session_that_hangs_is_abandoned_within_five_seconds_and_its_caller_is_told() {
    let mut world = world(MANUAL);
    world.fake.hangs.store(true, Ordering::SeqCst);
    let asked = world.ask(sync());
    world.fake.wait_for_sessions(1);
    let began = monotonic_now();

    world.stop();

    assert!(monotonic_now().since(began) < 5_000);
    assert_eq!(asked.join().unwrap().0.unwrap_err().code, "stopping");
    world.fake.release.wake();
}

#[test]
fn a_daemon_whose_folder_cannot_be_opened_makes_no_socket() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("data_folder = {:?}", folder.path());
    let config = Config::of_text(Path::new("agent.toml"), &text).unwrap();
    let read = Box::new(|| unreachable!("nobody asks for that"));

    let ended = run(&config, read, || Err(AgentError::new("folder_in_use", "taken", "", Exit::Busy)));

    assert_eq!(ended.unwrap_err().code, "folder_in_use");
    assert!(!config.socket_path.exists());
}
