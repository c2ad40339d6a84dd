//! The server as a process: one for a folder, stopped by SIGTERM, killed.

use crate::support::agent::Agent;
use crate::support::folder::Folder;
use crate::support::http::Connection;
use crate::support::store_line;
use crate::support::wait::timed;

/// Kills of the test below. The suite of both programs has more.
const KILLS: usize = 12;

#[test]
fn a_second_server_for_a_folder_is_refused() {
    let folder = Folder::new("");
    let server = folder.serve();

    assert_eq!(folder.failure(&["serve", "--listen", "127.0.0.1:0"], ""), (8, "folder_in_use".to_owned()));
    server.stop();
    folder.serve().stop();
}

#[test]
fn a_verb_waits_for_a_server_that_is_stopping() {
    let folder = Folder::new("");
    let server = folder.serve();
    server.terminate();

    folder.json(&["status"], "");
    assert_eq!(server.ended(), Some(0));
}

#[test]
fn each_start_begins_an_epoch() {
    let folder = Folder::new("");
    let epoch = || folder.json(&["status"], "")["epoch"].as_str().unwrap().to_owned();
    let first = {
        let server = folder.serve();
        let first = epoch();
        server.stop();
        first
    };
    let server = folder.serve();

    assert_ne!(epoch(), first);
    server.stop();
}

#[test]
fn sigterm_ends_the_server_within_five_seconds_though_requests_are_open() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    let server = folder.serve();
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    agent.record_location("L1", "S1");
    let request = agent.request();
    let mut open = Connection::begin(server.address, "/sync/v1", request.len());
    open.send(&request[..request.len() - 1]).unwrap();
    let idle = Connection { stream: std::net::TcpStream::connect(server.address).unwrap() };

    let (code, took) = timed(|| {
        server.terminate();
        server.ended()
    });
    assert_eq!(code, Some(0));
    assert!(took.as_millis() < 5_000, "{took:?}");
    drop((open, idle));
    let server = folder.serve();
    agent.sync_whole(server.address);
}

#[test]
fn a_server_that_is_killed_while_it_receives_has_lost_nothing_that_it_acknowledged() {
    let folder = Folder::new("");
    folder.json(&["import", "-"], &store_line("S1"));
    folder.add_site("clinic", &["--store", "S1"]);
    let mut server = folder.serve();
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    let mut number = 0;
    for kill in 0..KILLS {
        for _ in 0..300 {
            agent.record_location(&format!("L{number:05}"), "S1");
            number += 1;
        }
        // A part of the way into the request's bytes the server dies; later kills come later.
        let mut dying = Some(server);
        agent.session(&mut |request| {
            let Some(server) = dying.take() else { return Err("down".to_owned()) };
            let mut connection = Connection::begin(server.address, "/sync/v1", request.len());
            let sent = request.len() * (kill + 1) / KILLS;
            connection.send(&request[..sent]).unwrap();
            if kill % 3 == 0 && sent == request.len() {
                let reply = connection.reply();
                server.kill_now();
                return reply.map(|reply| reply.body).ok_or_else(|| "cut".to_owned());
            }
            server.kill_now();
            connection.reply().map(|reply| reply.body).ok_or_else(|| "cut".to_owned())
        });
        server = folder.serve();
        let acknowledged = agent.received.0;
        let shown = folder.json(&["site", "show", "clinic"], "");
        assert!(shown["received"].as_u64().unwrap() >= acknowledged, "{shown} is behind {acknowledged}");
        if kill % 4 == 3 {
            agent.sync_whole(server.address);
        }
    }
    agent.sync_whole(server.address);

    let status = folder.json(&["status"], "");
    assert_eq!(status["records_by_table"]["Location"], number);
    assert_eq!((status["set_aside"].as_u64(), status["waiting_entries"].as_u64()), (Some(0), Some(0)));
}
