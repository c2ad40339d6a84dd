//! What answers in central's place, or does not answer.

use std::net::TcpListener;

use super::server::{Server, exchange, transport};
use crate::config::Sources;
use crate::error::Explained as _;
use crate::exit::Exit;
use crate::transport::*;

/// The code of the error when a server answers like this.
fn code_of(status: &'static str, headers: &'static str, body: &'static [u8]) -> String {
    let server = Server::answering(status, headers, body);

    let (reply, ended) = exchange(&mut server.transport(), b"request");

    assert_eq!(reply, b"", "nothing of it is handed on");
    let error = ended.unwrap_err();
    assert_eq!(error.exit(), Exit::Offline, "{error}");
    assert!(!error.to_string().contains("sign in"), "nothing of the page is shown: {error}");
    assert!(!error.advice().is_empty());
    error.code().to_owned()
}

#[test]
fn the_sign_in_page_of_a_network_is_recognised() {
    for (status, headers) in [
        ("200 OK", "content-type: text/html; charset=utf-8\r\n"),
        ("302 Found", "content-type: text/html\r\nlocation: http://127.0.0.1:1/sign-in\r\n"),
        ("307 Temporary Redirect", "location: http://127.0.0.1:1/sign-in\r\n"),
        ("511 Network Authentication Required", "content-type: text/html\r\n"),
    ] {
        assert_eq!(code_of(status, headers, b"<html>please sign in</html>"), "sign_in_page", "{status} {headers}");
    }
}

#[test]
fn a_gateway_that_does_not_reach_central_is_told_from_a_central_that_is_busy() {
    for status in ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"] {
        let headers = "content-type: text/html\r\nretry-after: 7\r\n";
        assert_eq!(code_of(status, headers, b"<html>please sign in</html>"), "gateway", "{status}");
    }
}

#[test]
fn what_is_not_central_is_recognised() {
    for (status, headers) in [
        ("200 OK", ""),
        ("200 OK", "content-type: application/json\r\n"),
        ("404 Not Found", "content-type: text/html\r\n"),
        ("404 Not Found", "content-type: application/json\r\n"),
        ("500 Internal Server Error", "content-type: text/html\r\n"),
    ] {
        assert_eq!(code_of(status, headers, b"<html>please sign in</html>"), "not_central", "{status} {headers}");
    }
}

#[test]
fn a_proxy_that_nobody_named_and_that_wants_a_password_is_said_to_be_one() {
    let server = Server::answering("407 Proxy Authentication Required", "content-type: text/html\r\n", b"");

    let error = exchange(&mut server.transport(), b"request").1.unwrap_err();

    assert_eq!((error.code(), error.exit()), ("proxy_password", Exit::Config));
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

        let way = cause::Way { central: &url, proxy: None, timeouts: &timeouts };
        assert_eq!(way.failed(error.into(), 0).code(), expected);
    }
}

#[test]
fn a_connection_that_broke_is_told_in_words_for_a_person() {
    use std::io::{Error, ErrorKind};
    let close_notify = "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/latest/rustls";
    for (error, expected) in [
        // As rustls words a reply that was lost.
        (Error::new(ErrorKind::UnexpectedEof, close_notify), "the other side closed it too early"),
        (ErrorKind::ConnectionReset.into(), "the other side, or something on the way, cut it off"),
        (Error::other("strange\nthings"), "strange things"),
    ] {
        let url = CentralUrl::parse("https://central.example.org").unwrap();
        let timeouts = Config::load(&Sources::default()).unwrap().timeouts;
        let way = cause::Way { central: &url, proxy: None, timeouts: &timeouts };

        let error = way.failed(error.into(), 7);

        assert_eq!(error.code(), "connection_cut");
        assert_eq!(error.to_string(), format!("the connection broke after 7 bytes of central's reply: {expected}"));
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
