use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use protocol::hardware::{BindingStrength, HardwareId};
use protocol::ids::{CredentialGeneration, HardwareSalt, JournalId, PublicKey, SiteId};
use zeroize::Zeroizing;

use super::*;
use crate::config::{DeviceKind, Sources};
use crate::error::Explained as _;
use crate::exit::Exit;

/// What the test's server does with one connection, once it has accepted it.
type Behaviour = Box<dyn FnOnce(&mut Connection) + Send>;

/// One accepted connection.
struct Connection {
    reader: BufReader<TcpStream>,
    /// What the server saw, for the test.
    seen: Sender<Request>,
}

/// A request as the server saw it.
#[derive(Debug, Default)]
struct Request {
    line: String,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Connection {
    /// Reads one request whole; `false` if the other side closed.
    fn read_request(&mut self) -> bool {
        let mut request = Request::default();
        self.reader.read_line(&mut request.line).unwrap();
        if request.line.is_empty() {
            return false;
        }
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            request.headers.push(line.trim().to_ascii_lowercase());
        }
        let length = request.headers.iter().find_map(|header| header.strip_prefix("content-length: "));
        request.body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.reader.read_exact(&mut request.body).unwrap();
        self.seen.send(request).unwrap();
        true
    }

    fn write(&mut self, bytes: &[u8]) {
        // The other side may have had enough.
        let _ = self.reader.get_mut().write_all(bytes);
    }

    fn reply(&mut self, status: &str, headers: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        self.write(head.as_bytes());
        self.write(body);
    }

    /// Waits until the other side closes.
    fn wait_for_close(&mut self) {
        let _ = self.reader.read_to_end(&mut Vec::new());
    }
}

/// A server with a behaviour for each connection, in order.
struct Server {
    url: CentralUrl,
    seen: Receiver<Request>,
    thread: JoinHandle<()>,
}

impl Server {
    fn start(behaviours: Vec<Behaviour>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = CentralUrl::parse(&format!("http://{}/base", listener.local_addr().unwrap())).unwrap();
        let (sender, seen) = channel();
        let thread = std::thread::spawn(move || {
            for behaviour in behaviours {
                let (stream, _) = listener.accept().unwrap();
                behaviour(&mut Connection { reader: BufReader::new(stream), seen: sender.clone() });
            }
        });
        Server { url, seen, thread }
    }

    /// A server that answers the first request with this.
    fn answering(status: &'static str, headers: &'static str, body: &'static [u8]) -> Self {
        Self::start(vec![Box::new(move |connection| {
            connection.read_request();
            connection.reply(status, headers, body);
        })])
    }

    fn transport(&self) -> Transport {
        transport(&self.url, |_| {})
    }
}

fn transport(url: &CentralUrl, change: impl FnOnce(&mut Config)) -> Transport {
    let mut config = Config::load(&Sources::default()).unwrap();
    change(&mut config);
    Transport::new(&config, url.clone()).unwrap()
}

/// The reply of one exchange, and how it ended.
fn exchange(transport: &mut Transport, request: &[u8]) -> (Vec<u8>, Result<Ended, TransportError>) {
    let mut reply = Vec::new();
    let ended = transport.exchange(request, &mut |bytes| {
        reply.extend_from_slice(bytes);
        ControlFlow::Continue(())
    });
    (reply, ended)
}

const OUTPOST: &str = "content-type: application/x-outpost\r\n";

#[test]
fn a_request_is_posted_whole_and_its_reply_handed_on() {
    let server = Server::answering("200 OK", OUTPOST, b"reply");

    let (reply, ended) = exchange(&mut server.transport(), &vec![7; 300_000]);

    assert_eq!((reply.as_slice(), ended), (b"reply".as_slice(), Ok(Ended::Complete)));
    let request = server.seen.recv().unwrap();
    assert_eq!(request.line, "POST /base/sync/v0 HTTP/1.1\r\n");
    assert_eq!(request.body, vec![7; 300_000]);
    assert!(request.headers.contains(&"content-type: application/x-outpost".to_owned()), "{:?}", request.headers);
    assert!(!request.headers.iter().any(|header| header.starts_with("cookie") || header.contains("gzip")));
}

#[test]
fn a_reply_is_handed_on_as_it_comes() {
    let (go_on, may_go_on) = channel::<()>();
    let server = Server::start(vec![Box::new(move |connection| {
        connection.read_request();
        connection.write(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{OUTPOST}\r\n").as_bytes());
        connection.write(b"5\r\nfirst\r\n");
        may_go_on.recv().unwrap();
        connection.write(b"6\r\nsecond\r\n0\r\n\r\n");
    })]);
    let mut reply = Vec::new();

    // The server sends the rest only once the first piece was handed on.
    let ended = server.transport().exchange(b"request", &mut |bytes| {
        reply.extend_from_slice(bytes);
        if reply == b"first" {
            go_on.send(()).unwrap();
        }
        ControlFlow::Continue(())
    });

    assert_eq!((reply.as_slice(), ended), (b"firstsecond".as_slice(), Ok(Ended::Complete)));
}

#[test]
fn requests_of_a_session_share_one_connection() {
    let server = Server::start(vec![Box::new(|connection| {
        while connection.read_request() {
            connection.reply("200 OK", OUTPOST, b"reply");
        }
    })]);
    let mut transport = server.transport();

    for _ in 0..3 {
        assert_eq!(exchange(&mut transport, b"request").1, Ok(Ended::Complete));
    }

    drop(transport);
    server.thread.join().unwrap();
    assert_eq!(server.seen.iter().count(), 3);
}

#[test]
fn whoever_had_enough_stops_the_reply() {
    let server = Server::start(vec![Box::new(|connection| {
        connection.read_request();
        connection.write(format!("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n{OUTPOST}\r\nsome").as_bytes());
        connection.wait_for_close();
    })]);
    let mut transport = server.transport();

    let ended = transport.exchange(b"request", &mut |_| ControlFlow::Break(()));

    assert_eq!(ended, Ok(Ended::Stopped));
    // The server's thread ends because the connection was closed.
    server.thread.join().unwrap();
}

#[test]
fn a_reply_that_is_cut_at_any_byte_is_not_complete() {
    for framing in ["content-length: 10\r\n", "transfer-encoding: chunked\r\n"] {
        let body: &[u8] = if framing.starts_with('c') { b"0123456789" } else { b"a\r\n0123456789\r\n0\r\n\r\n" };
        let whole = [format!("HTTP/1.1 200 OK\r\n{framing}{OUTPOST}\r\n").as_bytes(), body].concat();
        // Once the last chunk has said that it is empty, the blank line behind it carries nothing.
        let needed = if framing.starts_with('c') { whole.len() } else { whole.len() - 2 };
        for length in 0..needed {
            let part = whole[..length].to_vec();
            let server = Server::start(vec![Box::new(move |connection| {
                connection.read_request();
                connection.write(&part);
            })]);

            let (reply, ended) = exchange(&mut server.transport(), b"request");

            let error = ended.unwrap_err();
            assert!(matches!(error, TransportError::Cut { .. }), "{framing} {length}: {error:?}");
            assert_eq!(error.exit(), Exit::Offline);
            assert!(b"0123456789".starts_with(&reply), "{reply:?}");
        }
    }
}

#[test]
fn a_server_that_is_silent_is_left_after_the_idle_limit() {
    let silent: fn() -> Behaviour = || {
        Box::new(|connection: &mut Connection| {
            connection.read_request();
            connection.wait_for_close();
        })
    };
    let silent_in_the_middle: Behaviour = Box::new(|connection| {
        connection.read_request();
        connection.write(format!("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n{OUTPOST}\r\n01234").as_bytes());
        connection.wait_for_close();
    });
    let server = Server::start(vec![silent(), silent_in_the_middle]);
    let mut transport = transport(&server.url, |config| config.timeouts.read_idle_ms = 100);

    for expected in [b"".as_slice(), b"01234"] {
        let (reply, ended) = exchange(&mut transport, b"request");
        assert_eq!(reply, expected);
        assert_eq!(ended, Err(TransportError::Timeout { phase: Phase::Read, limit_ms: 100 }));
    }
}

#[test]
fn a_reply_that_keeps_moving_may_take_longer_than_the_idle_limit() {
    let server = Server::start(vec![Box::new(|connection| {
        connection.read_request();
        connection.write(format!("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n{OUTPOST}\r\n").as_bytes());
        for _ in 0..8 {
            let pause = crate::clock::monotonic_now().plus(60);
            crate::clock::Waker::new().wait_until(Some(pause));
            connection.write(b"x");
        }
    })]);
    let mut transport = transport(&server.url, |config| config.timeouts.read_idle_ms = 400);

    let (reply, ended) = exchange(&mut transport, b"request");

    assert_eq!((reply.as_slice(), ended), (b"xxxxxxxx".as_slice(), Ok(Ended::Complete)));
}

#[test]
fn a_blocked_exchange_can_be_interrupted() {
    let (is_waiting, waits) = channel();
    let server = Server::start(vec![Box::new(move |connection| {
        connection.read_request();
        is_waiting.send(()).unwrap();
        connection.wait_for_close();
    })]);
    let mut transport = server.transport();
    let interrupter = transport.interrupter();
    let thread = std::thread::spawn(move || {
        waits.recv().unwrap();
        interrupter.interrupt();
    });

    let (_, ended) = exchange(&mut transport, b"request");

    assert!(matches!(ended, Err(TransportError::Cut { .. })), "{ended:?}");
    thread.join().unwrap();
}

#[test]
fn what_is_not_central_is_recognised() {
    for (status, headers) in [
        ("200 OK", "content-type: text/html; charset=utf-8\r\n"),
        ("200 OK", ""),
        ("302 Found", "content-type: text/html\r\nlocation: http://127.0.0.1:1/sign-in\r\n"),
        ("307 Temporary Redirect", "location: http://127.0.0.1:1/sign-in\r\n"),
        ("404 Not Found", "content-type: application/json\r\n"),
        ("511 Network Authentication Required", "content-type: text/html\r\n"),
    ] {
        let server = Server::answering(status, headers, b"<html>please sign in</html>");

        let (reply, ended) = exchange(&mut server.transport(), b"request");

        assert_eq!(reply, b"", "nothing of it is handed on");
        let error = ended.unwrap_err();
        assert_eq!(error.code(), "not_central", "{status} {headers}");
        assert!(!error.to_string().contains("sign"), "{error}");
    }
}

#[test]
fn what_does_not_even_speak_http_is_not_central() {
    let server = Server::start(vec![Box::new(|connection| {
        connection.read_request();
        connection.write(b"220 mail.example.org ESMTP\r\n\r\n");
    })]);

    assert_eq!(exchange(&mut server.transport(), b"request").1.unwrap_err().code(), "not_central");
}

#[test]
fn a_busy_central_says_when_to_come_again() {
    for (headers, expected) in [
        ("retry-after: 7\r\n", 7),
        ("", RETRY_AFTER_S),
        ("retry-after: Wed, 21 Oct 2026 07:28:00 GMT\r\n", RETRY_AFTER_S),
        ("retry-after: 99999999\r\n", RETRY_AFTER_S_MAX),
    ] {
        for status in ["503 Service Unavailable", "429 Too Many Requests"] {
            let server = Server::answering(status, headers, b"");

            let error = exchange(&mut server.transport(), b"request").1.unwrap_err();

            assert_eq!(error, TransportError::Busy { retry_after_s: expected });
            assert_eq!(error.retry_after_ms(), Some(expected * 1000));
            assert_eq!(error.exit(), Exit::Busy);
        }
    }
}

#[test]
fn a_signed_refusal_is_a_reply_whatever_its_status() {
    let server = Server::answering("403 Forbidden", OUTPOST, b"refusal");

    let (reply, ended) = exchange(&mut server.transport(), b"request");

    assert_eq!((reply.as_slice(), ended), (b"refusal".as_slice(), Ok(Ended::Complete)));
}

#[test]
fn a_reply_without_end_is_left() {
    let server = Server::start(vec![Box::new(|connection| {
        connection.read_request();
        connection.write(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{OUTPOST}\r\n").as_bytes());
        let chunk = [b"10000\r\n".as_slice(), &[7; 0x10000], b"\r\n"].concat();
        while connection.reader.get_mut().write_all(&chunk).is_ok() {}
    })]);
    let mut count = 0;

    let ended = server.transport().exchange(b"request", &mut |bytes| {
        count += bytes.len();
        ControlFlow::Continue(())
    });

    assert_eq!(ended, Err(TransportError::ReplyTooLarge { limit: REPLY_BYTES_MAX }));
    assert!(count <= REPLY_BYTES_MAX);
}

#[test]
fn a_stopped_central_is_said_to_answer_nothing() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = CentralUrl::parse(&format!("http://127.0.0.1:{port}")).unwrap();

    let error = exchange(&mut transport(&url, |_| {}), b"request").1.unwrap_err();

    assert_eq!(error.code(), "connection_refused");
    assert_eq!(error.exit(), Exit::Offline);
}

#[test]
fn a_name_without_address_and_a_device_without_network_are_told_apart() {
    let lookup = "failed to lookup address information: Name or service not known";
    for (error, expected) in [
        // What the standard library says; no test asks a name server.
        (std::io::Error::other(lookup), "no_address"),
        (std::io::ErrorKind::NetworkUnreachable.into(), "no_network"),
        (std::io::ErrorKind::ConnectionReset.into(), "connection_cut"),
    ] {
        let url = CentralUrl::parse("https://central.example.org").unwrap();
        let timeouts = Config::load(&Sources::default()).unwrap().timeouts;

        assert_eq!(TransportError::of(error.into(), &url, &timeouts, 0).code(), expected);
    }
}

#[test]
fn an_answer_that_is_no_tls_is_not_trusted() {
    let server = Server::start(vec![Box::new(|connection| {
        connection.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        connection.wait_for_close();
    })]);
    let url = CentralUrl::parse(&server.url.as_str().replace("http:", "https:")).unwrap();

    let error = exchange(&mut transport(&url, |_| {}), b"request").1.unwrap_err();

    assert_eq!(error.code(), "tls_failed", "{error:?}");
}

#[test]
fn a_certificate_outside_its_dates_points_at_the_clock() {
    for (reason, expected) in [
        ("invalid peer certificate: Expired", "clock_wrong"),
        ("invalid peer certificate: certificate not valid yet: verification time 5", "clock_wrong"),
        ("invalid peer certificate: UnknownIssuer", "tls_failed"),
    ] {
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, reason);
        let url = CentralUrl::parse("https://central.example.org").unwrap();
        let timeouts = Config::load(&Sources::default()).unwrap().timeouts;

        assert_eq!(TransportError::of(error.into(), &url, &timeouts, 0).code(), expected);
    }
}

#[test]
fn a_file_without_certificates_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("central.pem");
    std::fs::write(&file, "no certificate").unwrap();
    let mut config = Config::load(&Sources::default()).unwrap();
    config.central_ca_file = Some(file);

    let error = Transport::new(&config, CentralUrl::parse("https://c").unwrap()).unwrap_err();

    assert_eq!(error.code(), "certificate_file");
    assert_eq!(error.exit(), Exit::Config);
}

fn enrol(server: &Server) -> Result<EnrolReply, TransportError> {
    let password = Zeroizing::new("sesame \"7\"".to_owned());
    let request = EnrolRequest {
        site_name: "Clinic 7",
        password: &password,
        public_key: PublicKey([0xab; 32]),
        journal: JournalId([1; 16]),
        device_kind: DeviceKind::Mobile,
        hardware: &HardwareId::default(),
    };
    server.transport().enrol(&request)
}

const JSON: &str = "content-type: application/json\r\n";

const SITE_7_REPLY: &str = r#"{
    "site_id": 7, "credential_generation": 2, "more": 1, "binding": "weak",
    "central_key": "0303030303030303030303030303030303030303030303030303030303030303"
}"#;

/// Site 1 is central itself.
const SITE_1_REPLY: &str = r#"{
    "site_id": 1, "credential_generation": 2, "binding": "weak",
    "central_key": "0303030303030303030303030303030303030303030303030303030303030303"
}"#;

#[test]
fn an_enrolment_shows_name_password_key_journal_and_hardware() {
    let server = Server::answering("200 OK", JSON, SITE_7_REPLY.as_bytes());

    let reply = enrol(&server).unwrap();

    assert_eq!(
        reply,
        EnrolReply {
            site: SiteId(7),
            central_key: PublicKey([3; 32]),
            generation: CredentialGeneration(2),
            binding: BindingStrength::Weak,
        }
    );
    let request = server.seen.recv().unwrap();
    assert_eq!(request.line, "POST /base/enrol/v0 HTTP/1.1\r\n");
    let fields: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    let expected = serde_json::json!({
        "name": "Clinic 7", "password": "sesame \"7\"", "public_key": "ab".repeat(32), "journal": "01".repeat(16),
        "type": "mobile", "hardware": "0000",
    });
    assert_eq!(fields, expected);
}

#[test]
fn an_enrolment_begins_with_the_name_alone_and_gets_a_salt() {
    const ANSWER: &str = r#"{
        "salt": "05050505050505050505050505050505", "more": 1,
        "central_key": "0303030303030303030303030303030303030303030303030303030303030303"
    }"#;
    let server = Server::answering("200 OK", JSON, ANSWER.as_bytes());

    let begin = server.transport().begin_enrolment("Clinic \"7\"").unwrap();

    assert_eq!(begin, EnrolBegin { salt: HardwareSalt([5; 16]), central_key: PublicKey([3; 32]) });
    let request = server.seen.recv().unwrap();
    assert_eq!(request.line, "POST /base/enrol/v0/begin HTTP/1.1\r\n");
    assert_eq!(request.body, br#"{"name":"Clinic \"7\""}"#);
}

#[test]
fn a_refused_enrolment_says_why_in_the_words_of_central() {
    for body in [
        br#"{"error":{"code":"wrong_password","message":"the password\nis wrong"}}"#.as_slice(),
        br#"{"code":"wrong_password","message":"the password\nis wrong"}"#,
    ] {
        let server = Server::start(vec![Box::new(move |connection| {
            connection.read_request();
            connection.reply("401 Unauthorized", JSON, body);
        })]);

        let error = enrol(&server).unwrap_err();

        assert_eq!(error.code(), "wrong_password");
        assert_eq!(error.to_string(), "central refused: the password is wrong (status 401)");
        assert_eq!(error.exit(), Exit::Refused);
    }
}

#[test]
fn an_answer_to_an_enrolment_that_makes_no_sense_is_not_from_central() {
    for body in [
        b"{}".as_slice(),
        b"[1",
        br#"{"site_id":7,"central_key":"03","credential_generation":2,"binding":"weak"}"#,
        SITE_1_REPLY.as_bytes(),
    ] {
        let server = Server::start(vec![Box::new(move |connection| {
            connection.read_request();
            connection.reply("200 OK", JSON, body);
        })]);

        assert_eq!(enrol(&server).unwrap_err().code(), "not_central");
    }
}
