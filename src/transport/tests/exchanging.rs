//! Exchanges that go through, are slow, or are broken off.

use std::io::Write as _;
use std::sync::mpsc::channel;

use super::server::{Behaviour, Connection, OUTPOST, Server, exchange, transport};
use crate::error::Explained as _;
use crate::exit::Exit;
use crate::transport::*;

#[test]
fn a_request_is_posted_whole_and_its_reply_handed_on() {
    let server = Server::answering("200 OK", OUTPOST, b"reply");

    let (reply, ended) = exchange(&mut server.transport(), &vec![7; 300_000]);

    assert_eq!((reply.as_slice(), ended), (b"reply".as_slice(), Ok(Ended::Complete)));
    let request = server.seen.recv().unwrap();
    assert_eq!(request.line, "POST /base/sync/v1 HTTP/1.1\r\n");
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
fn a_server_that_takes_nothing_is_left_after_the_idle_limit() {
    let (is_over, over) = channel::<()>();
    let server = Server::start(vec![Box::new(move |_| {
        // Holds the connection until the test has seen the error.
        let _ = over.recv();
    })]);
    let mut transport = transport(&server.url, |config| config.timeouts.write_idle_ms = 100);

    // More than the system holds for a connection that nobody reads.
    let (_, ended) = exchange(&mut transport, &vec![7; 64 * 1024 * 1024]);

    assert_eq!(ended, Err(TransportError::Timeout { phase: Phase::Write, limit_ms: 100 }));
    drop(is_over);
}

#[test]
fn a_reply_that_keeps_moving_may_take_longer_than_the_idle_limit() {
    let server = Server::start(vec![Box::new(|connection| {
        connection.read_request();
        connection.write(format!("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n{OUTPOST}\r\n").as_bytes());
        for _ in 0..8 {
            crate::clock::pause_ms(60);
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
