//! TLS towards sites: what is served, a certificate that is renewed, and who is not served.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::support::folder::Folder;
use crate::support::wait::{DEADLINE, timed, wait_for};

const SETTINGS: &str = "[tls]\ncertificate_file = \"certificate.pem\"\nkey_file = \"key.pem\"\n";

/// Makes a certificate and its key in a folder; gives the certificate.
fn certify(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("certificate.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

/// `GET /hello` by TLS, trusting one certificate alone; what is said instead if it is not shown.
fn hello(address: SocketAddr, trusted: &CertificateDer<'static>) -> std::io::Result<Value> {
    get_json(address, trusted, "/hello", "")
}

fn get_json(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    path: &str,
    headers: &str,
) -> std::io::Result<Value> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(format!("GET {path} HTTP/1.0\r\n{headers}\r\n").as_bytes())?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    let body = reply.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    Ok(serde_json::from_slice(&reply[body..]).unwrap())
}

#[test]
fn a_central_with_a_certificate_may_listen_anywhere_and_says_who_it_is() {
    let folder = Folder::new(SETTINGS);
    let certificate = certify(&folder.path());
    let server = folder.serve_at("0.0.0.0:0");
    let address = SocketAddr::from(([127, 0, 0, 1], server.address.port()));

    let said = hello(address, &certificate).unwrap();

    assert_eq!(said["product"], "outpost-central");
    assert_eq!(said["central_key"].as_str().unwrap().len(), 64);
    assert!(said["version_min"].as_u64() <= said["version_max"].as_u64());
    assert!(said["time_ms"].as_u64().unwrap() > 1_700_000_000_000, "{said}");
    server.stop();
}

#[test]
fn the_admin_api_is_served_with_the_same_certificate_and_not_in_the_clear() {
    let folder = Folder::new(&format!("{SETTINGS}[admin_api]\naddress = \"127.0.0.1:0\"\n"));
    let certificate = certify(&folder.path());
    let made = folder.json(&["token", "add", "script", "--role", "viewer"], "");
    let (server, address) = folder.serve_api();

    let bearer = format!("Authorization: Bearer {}\r\n", made["secret"].as_str().unwrap());
    let sites = get_json(address, &certificate, "/admin/v0/sites", &bearer).unwrap();

    assert_eq!(sites["sites"][0]["name"], "central");
    assert_eq!(crate::support::http::get(address, "/admin/v0/sites"), None);
    server.stop();
}

#[test]
fn a_renewed_certificate_is_shown_after_sighup_and_a_bad_one_never() {
    let folder = Folder::new(SETTINGS);
    let first = certify(&folder.path());
    let server = folder.serve();
    hello(server.address, &first).unwrap();

    std::fs::write(folder.path().join("certificate.pem"), "no certificate").unwrap();
    server.signal("HUP");
    wait_for("the error", || folder.log().contains("the certificate that was in use stays").then_some(()));
    hello(server.address, &first).unwrap();

    let second = certify(&folder.path());
    server.signal("HUP");
    wait_for("the new certificate", || hello(server.address, &second).ok());
    assert!(hello(server.address, &first).is_err(), "the old one is not shown any more");
    server.stop();
}

#[test]
fn who_does_not_encrypt_is_not_served() {
    let folder = Folder::new(SETTINGS);
    certify(&folder.path());
    let server = folder.serve();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"GET /hello HTTP/1.0\r\n\r\n").unwrap();
    let mut reply = Vec::new();

    // The connection may end with a reset.
    let _ = stream.read_to_end(&mut reply);

    assert!(!reply.windows(7).any(|window| window == b"outpost"), "{reply:?}");
    server.stop();
}

#[test]
fn handshakes_that_hang_do_not_keep_the_server_from_stopping() {
    let folder = Folder::new(SETTINGS);
    let certificate = certify(&folder.path());
    let server = folder.serve();
    let silent = TcpStream::connect(server.address).unwrap();
    let mut half = TcpStream::connect(server.address).unwrap();
    half.write_all(&[0x16, 3, 1, 2, 0]).unwrap();
    // Others are served meanwhile.
    hello(server.address, &certificate).unwrap();

    let (code, took) = timed(|| {
        server.terminate();
        server.ended()
    });

    assert_eq!(code, Some(0));
    assert!(took.as_millis() < u128::from(central::serve::STOP_MS_MAX), "{took:?}");
    drop((silent, half));
}

#[test]
fn a_central_without_the_files_that_its_settings_name_does_not_start() {
    let folder = Folder::new(SETTINGS);

    assert_eq!(folder.failure(&["serve", "--listen", "127.0.0.1:0"], ""), (6, "tls_file_unreadable".to_owned()));
}
