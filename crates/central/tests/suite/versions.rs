//! A site whose version central does not understand: with a real server, a device that is seven versions on.

use protocol::session::Failure;
use protocol::versions::{Dialect, Versions};

use crate::support::agent::Agent;
use crate::support::folder::Folder;
use crate::support::http::post;
use crate::support::{store_line, unit_line};

const NEWER: Versions = Versions { min: 6, max: 7 };

fn newer() -> Dialect {
    Dialect { versions: NEWER, head_rest: Some(b"\xff\xff\xff what version 7 says".to_vec()) }
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
    let server = folder.serve();
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
    crate::support::wait::wait_for("everything to be judged", || {
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
    let server = folder.serve();
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    agent.dialect = newer();
    agent.record_location("L1", "S1");
    let good = agent.request();
    let head_end = 73 + u32::from_le_bytes(good[1..5].try_into().unwrap()) as usize;
    let refused = |request: &[u8]| {
        let reply = post(server.address, "/sync/v0", request).unwrap();
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
    let first = post(server.address, "/sync/v0", &good).unwrap();
    let second = post(server.address, "/sync/v0", &good).unwrap();
    assert_eq!((first.status, first.code()), (400, "version"));
    assert_eq!(first.body, second.body);
    assert_eq!(folder.json(&["site", "show", "clinic"], "")["received"], 1);
}

#[test]
fn a_copied_device_of_a_newer_version_stops_its_site_as_any_other() {
    let folder = folder_with_site();
    let server = folder.serve();
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
