//! A site whose version central does not understand: with a real server and by TLS, a device that is seven versions on.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use protocol::session::Failure;
use protocol::versions::{Dialect, Versions};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::agent::Agent;
use crate::support::folder::{Folder, Server};
use crate::support::http::post;
use crate::support::wait::{DEADLINE, wait_for};
use crate::support::{store_line, unit_line};

const NEWER: Versions = Versions { min: 6, max: 7 };

fn newer() -> Dialect {
    Dialect { versions: NEWER, head_rest: Some(b"\xff\xff\xff what version 7 says".to_vec()) }
}

/// A server that takes nothing but TLS. Its address is that of a tunnel to it, so that who knows only HTTP is served by TLS too.
pub(crate) fn serve_by_tls(folder: &Folder) -> Server {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("certificate.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let settings = folder.path().join("central.toml");
    let mut lines = std::fs::read_to_string(&settings).unwrap();
    lines.push_str("[tls]\ncertificate_file = \"certificate.pem\"\nkey_file = \"key.pem\"\n");
    std::fs::write(settings, lines).unwrap();
    let mut server = folder.serve();

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (config, central) = (Arc::new(config), server.address);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    server.address = listener.local_addr().unwrap();
    // It listens until the tests of this program are over.
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let config = Arc::clone(&config);
            // What breaks on the way breaks for the client, who says so.
            std::thread::spawn(move || carry(&client?, central, config));
        }
    });
    server
}

/// Carries one request, and what comes of it.
fn carry(client: &TcpStream, central: SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<()> {
    let connection = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(central)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut request = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if request.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let length =
        head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |text| text.parse().unwrap());
    stream.write_all(head.as_bytes())?;
    std::io::copy(&mut request.take(length), &mut stream)?;
    stream.flush()?;
    std::io::copy(&mut stream, &mut &*client)?;
    Ok(())
}

fn folder_with_site() -> Folder {
    let folder = Folder::new("");
    folder.json(&["import", "-"], &format!("{}\n{}\n", store_line("S1"), unit_line("U1")));
    folder.add_site("clinic", &["--store", "S1"]);
    folder
}

fn records(folder: &Folder) -> usize {
    folder.json(&["records", "Location", "--limit", "1000"], "")["records"].as_array().unwrap().len()
}

#[test]
fn what_a_newer_site_has_arrives_and_is_judged_and_it_gets_nothing_until_the_versions_meet() {
    let folder = folder_with_site();
    let server = serve_by_tls(&folder);
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    agent.sync_whole(server.address);
    let (told, known) = (agent.controls.len(), agent.records.len());
    agent.dialect = newer();
    // More than one request carries; the last one is of a store that the site may not write.
    for number in 0..5000 {
        agent.record_location(&format!("L{number}"), "S1");
    }
    agent.record_location("foreign", "S2");
    folder.json(&["import", "-"], &unit_line("U2"));

    let outcome = agent.sync(server.address);

    assert_eq!(
        outcome.failure,
        Some(Failure::VersionsApart { spoken: 7, understood: Versions::OWN, entries: 5001 }),
        "{:?}",
        outcome.summary
    );
    assert!(outcome.summary.requests >= 2, "{:?}", outcome.summary);
    assert_eq!((agent.received, agent.controls.len(), agent.records.len()), (agent.head(), told, known));
    wait_for("everything to be judged", || {
        let shown = folder.json(&["site", "show", "clinic"], "");
        (shown["judged"] == 5001).then_some(())
    });
    for id in ["L0", "L4999"] {
        assert_eq!(folder.json(&["records", "Location", "--id", id], "")["records"][0]["data"]["code"], id);
    }
    assert_eq!(folder.json(&["status"], "")["set_aside"], 1);

    // With an agent that central understands it hears all of it.
    agent.dialect = Dialect::default();
    agent.sync_whole(server.address);
    assert!(agent.controls.len() > told && agent.records.contains_key("U2"));
}

#[test]
fn a_request_of_a_newer_version_that_is_cut_altered_or_signed_by_another_changes_nothing() {
    let folder = folder_with_site();
    let server = serve_by_tls(&folder);
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    agent.dialect = newer();
    agent.record_location("L1", "S1");
    let good = agent.request();
    let head_end = 73 + u32::from_le_bytes(good[1..5].try_into().unwrap()) as usize;
    let refused = |request: &[u8]| {
        let reply = post(server.address, "/sync/v1", request).unwrap();
        (reply.status, reply.code().to_owned())
    };

    let mut altered_rest = good.clone();
    altered_rest[head_end - 1] ^= 1;
    assert_eq!(refused(&altered_rest), (403, "not_enrolled".to_owned()), "what central does not read is signed too");
    let mut altered_frame = good.clone();
    *altered_frame.last_mut().unwrap() ^= 1;
    assert_eq!(refused(&altered_frame), (400, "bad_frame".to_owned()));
    assert_eq!(refused(&good[..good.len() - 1]), (400, "truncated".to_owned()));
    assert_eq!(refused(&good[..head_end - 1]), (400, "truncated".to_owned()));
    let mut stranger = agent.copy();
    stranger.signer = codec::Ed25519Signer::from_seed(&[9; 32]);
    assert_eq!(refused(&stranger.request()), (403, "not_enrolled".to_owned()));
    let shown = folder.json(&["site", "show", "clinic"], "");
    assert_eq!((shown["received"].as_u64(), records(&folder)), (Some(0), 0));

    // The same bytes get the same answer, however often they come.
    let first = post(server.address, "/sync/v1", &good).unwrap();
    let second = post(server.address, "/sync/v1", &good).unwrap();
    assert_eq!((first.status, first.code()), (400, "version"));
    assert_eq!(first.body, second.body);
    assert_eq!(folder.json(&["site", "show", "clinic"], "")["received"], 1);
}

#[test]
fn a_copied_device_of_a_newer_version_stops_its_site_as_any_other() {
    let folder = folder_with_site();
    let server = serve_by_tls(&folder);
    let mut original = Agent::enrol(server.address, "clinic", 1);
    original.dialect = newer();
    original.sync(server.address);
    let mut copy = original.copy();

    let mut codes = Vec::new();
    for _ in 0..3 {
        for device in [&mut original, &mut copy] {
            let outcome = device.sync(server.address);
            codes.push(outcome.failure.map_or_else(String::new, |failure| failure.code().to_owned()));
        }
    }

    let caught = codes.iter().position(|code| code == "site_stopped").unwrap();
    assert!(caught <= 3, "{codes:?}");
    assert!(codes[..caught].iter().all(|code| code == "version"), "{codes:?}");
    assert!(codes[caught..].iter().all(|code| code == "site_stopped"), "{codes:?}");
}
