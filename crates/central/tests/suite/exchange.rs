//! Exchanges that go well, cuts, and what central gives back.

use protocol::control::Control;

use crate::support::agent::Agent;
use crate::support::folder::Folder;
use crate::support::{store_line, unit_line};

fn folder_with_site() -> Folder {
    let folder = Folder::new("");
    folder.json(&["import", "-"], &format!("{}\n{}\n", store_line("S1"), unit_line("U1")));
    folder.add_site("clinic", &["--store", "S1"]);
    folder
}

#[test]
fn edits_go_up_central_data_comes_down_and_a_quiet_sync_is_one_request() {
    let folder = folder_with_site();
    let server = folder.serve();
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    agent.sync_whole(server.address);
    for number in 0..500 {
        agent.record_location(&format!("L{number}"), "S1");
    }
    agent.sync_whole(server.address);

    assert_eq!(agent.records.get("U1"), Some(&true));
    assert_eq!(agent.records.get("S1"), Some(&true));
    assert!(agent.controls.iter().any(|control| matches!(control, Control::Grant(grant) if grant.store == "S1")));
    assert!(!agent.controls.iter().any(|control| matches!(control, Control::Refused(_))));
    let records = folder.json(&["records", "Location", "--store", "S1", "--limit", "1000"], "");
    assert_eq!(records["records"].as_array().unwrap().len(), 500);
    assert_eq!(records["records"][0]["data"]["code"], "L0");

    let outcome = agent.sync(server.address);
    assert_eq!((outcome.failure, outcome.summary.requests), (None, 1));

    folder.json(&["import", "-"], &unit_line("U2"));
    agent.sync_whole(server.address);
    assert_eq!(agent.records.get("U2"), Some(&true));
    // That the last page arrived is told by the next request.
    agent.sync_whole(server.address);
    let status = folder.json(&["status"], "");
    assert_eq!(status["sites"][0]["name"], "central");
    assert_eq!(status["sites"][1]["rows_waiting"], 0);
    assert_eq!(status["sites"][1]["received"], 500);
    assert_eq!(status["sites"][1]["judged"], 500);
}

#[test]
fn an_edit_that_the_site_may_not_make_is_refused_by_a_control_row_and_counted() {
    let folder = folder_with_site();
    folder.json(&["import", "-"], &store_line("S2"));
    let server = folder.serve();
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    agent.record_location("L1", "S2");
    agent.sync_whole(server.address);

    assert!(agent.controls.iter().any(|control| matches!(control, Control::Refused(_))), "{:?}", agent.controls);
    assert_eq!(folder.json(&["status"], "")["set_aside"], 1);
}

#[test]
fn a_request_that_is_cut_anywhere_loses_nothing_and_the_next_one_goes_on() {
    let folder = folder_with_site();
    let server = folder.serve();
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    for number in 0..200 {
        agent.record_location(&format!("L{number}"), "S1");
    }
    let mut cut_at = 0;
    loop {
        let outcome = agent.session(&mut |request| {
            cut_at += 150;
            let mut connection = crate::support::http::Connection::begin(server.address, "/sync/v1", request.len());
            connection.send(&request[..cut_at.min(request.len())]).unwrap();
            if cut_at < request.len() {
                connection.stream.shutdown(std::net::Shutdown::Both).unwrap();
                return Err("cut".to_owned());
            }
            connection.reply().map(|reply| reply.body).ok_or_else(|| "cut".to_owned())
        });
        match outcome.failure {
            None => break,
            // The server may still be ending the exchange before.
            Some(failure) => assert!(matches!(failure.code(), "offline" | "site_busy"), "{failure:?}"),
        }
    }

    assert_eq!(agent.received, agent.head());
    let records = folder.json(&["records", "Location", "--limit", "1000"], "");
    assert_eq!(records["records"].as_array().unwrap().len(), 200);
    assert_eq!(folder.json(&["status"], "")["set_aside"], 0);
}
