//! The server on a real socket, with a performer that does what its request says.

use std::io::{BufRead, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::clock::{Waker, Woken, monotonic_now};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::{Input, Performer, Progress, RecordOptions, Request, SyncOptions, no_events};

const SOCKET_NAME: &str = "agent.sock";
/// Longest that any test waits, in milliseconds.
const DEADLINE_MS: u64 = 20_000;

/// `record` counts lines, `sync` reports progress and waits for `release`, `get` is not found, `status` is quick.
#[derive(Default)]
struct Fake {
    release: Waker,
    recorded: Mutex<Vec<(RecordOptions, u64)>>,
    syncing: AtomicUsize,
    synced: AtomicUsize,
    changed: Waker,
}

impl Performer for Fake {
    fn perform(
        &self,
        request: Request,
        input: &mut Input,
        events: &mut dyn FnMut(Progress),
    ) -> Result<Value, AgentError> {
        match request {
            Request::Record(options) => {
                let lines = input.lines().count() as u64;
                for step in 1..=lines.min(1000) {
                    events(Progress::Recording { lines: step, lines_total: lines });
                }
                self.recorded.lock().unwrap().push((options, lines));
                self.changed.wake();
                Ok(json!({ "recorded": lines }))
            }
            Request::Sync(SyncOptions { tries_max }) => {
                events(Progress::Waiting {
                    code: "offline".into(),
                    message: "no".into(),
                    wait_ms: u64::from(tries_max),
                });
                self.syncing.fetch_add(1, Ordering::SeqCst);
                self.changed.wake();
                self.release.wait_until(Some(monotonic_now().plus(DEADLINE_MS)));
                self.release.wake();
                events(Progress::Checking { lines: 1 });
                self.synced.fetch_add(1, Ordering::SeqCst);
                self.changed.wake();
                Ok(json!({ "outcome": "drained" }))
            }
            Request::Get { id, .. } => {
                Err(AgentError::new("record_not_found", format!("no {id}"), "Look elsewhere.", Exit::Refused))
            }
            _ => Ok(json!({ "number": 12_345_678_901_u64 })),
        }
    }
}

impl Fake {
    fn wait_for(&self, is_so: impl Fn(&Self) -> bool) {
        let deadline = monotonic_now().plus(DEADLINE_MS);
        while !is_so(self) {
            assert_eq!(self.changed.wait_until(Some(deadline)), Woken::Called, "it did not happen in time");
        }
    }
}

struct World {
    fake: Arc<Fake>,
    server: Server,
    path: PathBuf,
    folder: TempDir,
}

fn world(limits: ServerLimits) -> World {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(SOCKET_NAME);
    let fake = Arc::new(Fake::default());
    let listener = Box::new(SocketListener::bind(&path).unwrap());
    let performer = Arc::clone(&fake) as Arc<dyn Performer>;
    let server = Server::start(listener, performer, folder.path().to_owned(), limits).unwrap();
    World { fake, server, path, folder }
}

impl World {
    fn client(&self) -> SocketClient {
        SocketClient::connect(&self.path).unwrap().unwrap()
    }

    fn raw(&self, bytes: &[u8]) -> UnixStream {
        let mut stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(DEADLINE_MS))).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    }

    /// Status, and the code of the error.
    fn refusal(&self, bytes: &[u8]) -> (u16, String) {
        let mut text = String::new();
        self.raw(bytes).read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        let line: Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        (status, line["error"]["code"].as_str().unwrap().to_owned())
    }
}

fn post(verb: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("POST /v0/{verb} HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[test]
fn what_is_asked_through_the_socket_is_performed_and_comes_back() {
    let world = world(ServerLimits::default());
    let options = RecordOptions { group: true, request_id: Some("r\u{e4}\"1".into()), ..RecordOptions::default() };
    let mut events = Vec::new();
    let mut input = Input::from_bytes(b"{}\n{}\n{}\n".to_vec());

    let recorded =
        world.client().perform(Request::Record(options.clone()), &mut input, &mut |event| events.push(event));
    let status = world.client().perform(Request::Status, &mut Input::empty(), &mut no_events);
    let absent = world.client().perform(
        Request::Get { table: "item".into(), id: "x".into() },
        &mut Input::empty(),
        &mut no_events,
    );

    assert_eq!(recorded, Ok(json!({ "recorded": 3 })));
    assert_eq!(*world.fake.recorded.lock().unwrap(), [(options, 3)]);
    let steps = [1, 2, 3].map(|lines| Progress::Recording { lines, lines_total: 3 });
    assert_eq!(events, steps);
    assert_eq!(status, Ok(json!({ "number": 12_345_678_901_u64 })));
    assert_eq!(absent, Err(AgentError::new("record_not_found", "no x", "Look elsewhere.", Exit::Refused)));
}

#[test]
fn health_is_answered_at_once() {
    let world = world(ServerLimits::default());
    let mut text = String::new();

    world.raw(b"GET /v0/health HTTP/1.1\r\nHost: x\r\n\r\n").read_to_string(&mut text).unwrap();

    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("\r\nConnection: close\r\n"));
    assert!(text.contains(r#""state":"running""#));
}

#[test]
fn pages_for_those_who_watch_are_got_without_a_verb() {
    let world = world(ServerLimits::default());
    let mut text = String::new();

    world.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").read_to_string(&mut text).unwrap();

    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains(r#""state":"running""#), "{text}");
    assert_eq!(
        world.refusal(b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
        (405, "method_not_taken".to_owned())
    );
    assert_eq!(world.refusal(b"GET /readyz HTTP/1.1\r\n\r\n"), (503, "vitals_elsewhere".to_owned()));
}

#[test]
fn requests_that_cannot_be_taken_have_their_own_status_and_code() {
    let world = world(ServerLimits { input_bytes_max: 1000, ..ServerLimits::default() });
    let check = |bytes: &[u8], status: u16, code: &str| {
        assert_eq!(world.refusal(bytes), (status, code.to_owned()), "{}", String::from_utf8_lossy(bytes));
    };

    check(&[b'x'; 2 * HEAD_BYTES_MAX], 431, "head_too_large");
    check(&[b"GET / HTTP/1.1\r\nA: ".as_slice(), &vec![b'x'; 300_000]].concat(), 431, "head_too_large");
    check(b"POST /v0/sync HTTP/1.1\r\n\r\n", 411, "length_required");
    check(b"POST /v0/record HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 411, "length_required");
    check(b"GET /v0/nothing HTTP/1.1\r\n\r\n", 404, "unknown_path");
    check(b"GET /page HTTP/1.1\r\n\r\n", 404, "unknown_path");
    check(b"GET /?x HTTP/1.1\r\n\r\n", 400, "query_not_taken");
    check(b"GET /v0/sync HTTP/1.1\r\n\r\n", 405, "method_not_taken");
    check(b"POST /v0/record HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413, "body_too_large");
    check(&post("get", "", &"x".repeat(70_000)), 413, "body_too_large");
    check(&post("get", "", r#"{"table":"item"}"#), 400, "not_a_request");
    check(&post("get", "Outpost-Options: {}\r\n", "{}"), 400, "not_a_request");
    check(&post("record", "Outpost-Options: {\"grup\":true}\r\n", "{}"), 400, "not_a_request");
    check(&post("get", "", r#"{"table":"item","id":"x"}"#), 404, "record_not_found");
    assert!(world.fake.recorded.lock().unwrap().is_empty());
}

#[test]
fn a_sender_who_stands_still_or_leaves_in_the_middle_of_the_lines_records_nothing() {
    let idle = Duration::from_millis(30);
    let world = world(ServerLimits { idle, ..ServerLimits::default() });

    let slow_head = world.refusal(b"POST /v0/record HTTP/1.1\r\n");
    let slow_body = world.refusal(b"POST /v0/record HTTP/1.1\r\nContent-Length: 9\r\n\r\n{}\n");
    let mut left = world.raw(b"POST /v0/record HTTP/1.1\r\nContent-Length: 9\r\n\r\n{}\n");
    left.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    left.read_to_string(&mut answer).unwrap();

    assert_eq!(slow_head, (408, "request_too_slow".to_owned()));
    assert_eq!(slow_body, (408, "request_too_slow".to_owned()));
    assert!(answer.contains("body_cut"), "{answer}");
    assert!(world.fake.recorded.lock().unwrap().is_empty());
}

#[test]
fn long_lines_go_through_a_file_that_is_gone_afterwards() {
    let world = world(ServerLimits { input_memory_bytes_max: 100, ..ServerLimits::default() });
    let mut input = Input::from_bytes("{\"table\":\"unit\"}\n".repeat(50_000).into_bytes());

    let recorded = world.client().perform(Request::Record(RecordOptions::default()), &mut input, &mut no_events);

    assert_eq!(recorded, Ok(json!({ "recorded": 50_000 })));
    assert_eq!(std::fs::read_dir(world.folder.path()).unwrap().count(), 1, "only the socket is there");
}

#[test]
fn who_waits_to_be_told_before_sending_is_told() {
    let world = world(ServerLimits::default());
    let mut stream = world.raw(b"POST /v0/record HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    let mut told = [0; 25];

    stream.read_exact(&mut told).unwrap();
    stream.write_all(b"{}\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();

    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert!(answer.ends_with("{\"result\":{\"recorded\":1}}\n"), "{answer}");
}

#[test]
fn progress_comes_while_the_work_goes_on() {
    let world = world(ServerLimits::default());
    let mut lines = std::io::BufReader::new(world.raw(&post("sync", "", r#"{"tries_max":4}"#))).lines();

    let first = lines.find(|line| line.as_ref().unwrap().starts_with('{')).unwrap().unwrap();
    let synced_at_first = world.fake.synced.load(Ordering::SeqCst);
    world.fake.release.wake();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();

    assert!(first.starts_with(r#"{"progress":{"#) && first.contains(r#""wait_ms":4"#), "{first}");
    assert_eq!(synced_at_first, 0);
    assert_eq!(rest.last().unwrap(), r#"{"result":{"outcome":"drained"}}"#);
}

#[test]
fn who_leaves_does_not_cancel_what_was_asked() {
    let world = world(ServerLimits::default());

    drop(world.raw(&post("sync", "", "")));
    drop(world.raw(&post("record", "", &"{}\n".repeat(2000))));
    world.fake.release.wake();

    world.fake.wait_for(|fake| fake.synced.load(Ordering::SeqCst) == 1);
    world.fake.wait_for(|fake| fake.recorded.lock().unwrap().len() == 1);
    assert_eq!(world.fake.recorded.lock().unwrap()[0].1, 2000);
}

#[test]
fn of_40_connections_at_once_the_limit_is_served_and_the_others_are_told_to_come_again() {
    let world = world(ServerLimits::default());
    let waiting: Vec<UnixStream> = (0..CONNECTIONS_MAX).map(|_| world.raw(&post("sync", "", ""))).collect();
    world.fake.wait_for(|fake| fake.syncing.load(Ordering::SeqCst) == CONNECTIONS_MAX);

    let refused: Vec<(u16, String)> = (CONNECTIONS_MAX..40).map(|_| world.refusal(&post("status", "", ""))).collect();
    world.fake.release.wake();

    for refusal in refused {
        assert_eq!(refusal, (503, "too_many_connections".to_owned()));
    }
    for mut stream in waiting {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("{\"result\":{\"outcome\":\"drained\"}}\n"), "{text}");
    }
}

#[test]
fn a_server_that_stops_finishes_what_it_began_and_takes_nothing_new() {
    let world = world(ServerLimits::default());
    let mut begun = world.raw(&post("sync", "", ""));
    world.fake.wait_for(|fake| fake.syncing.load(Ordering::SeqCst) == 1);

    world.server.refuse_work();
    let late = world.refusal(&post("status", "", ""));
    let idle_too_early = world.server.wait_until_idle(monotonic_now());
    world.fake.release.wake();
    let idle = world.server.wait_until_idle(monotonic_now().plus(DEADLINE_MS));
    world.server.close();

    assert_eq!(late, (503, "stopping".to_owned()));
    assert!(!idle_too_early);
    assert!(idle);
    let mut text = String::new();
    begun.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("{\"result\":{\"outcome\":\"drained\"}}\n"), "{text}");
    assert!(SocketClient::connect(&world.path).unwrap().is_none());
    assert!(!world.path.exists());
}

#[test]
fn an_agent_that_dies_in_the_middle_of_an_answer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(SOCKET_NAME);
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let client = SocketClient::connect(&path).unwrap().unwrap();
    let dying = std::thread::spawn(move || {
        drop(listener.accept().unwrap());
        for answer in ["", "HTTP/1.1 200 OK\r\n\r\n{\"result\":", "SSH-2.0\r\n"] {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            let mut first = [0; 1];
            stream.read_exact(&mut first).unwrap();
        }
    });

    let codes =
        [(); 3].map(|()| client.perform(Request::Status, &mut Input::empty(), &mut no_events).unwrap_err().code);

    assert_eq!(codes, ["agent_gone", "agent_gone", "agent_not_understood"]);
    dying.join().unwrap();
}
