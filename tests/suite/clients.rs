//! Several machines of a facility work on one agent, over TLS on an address that others can reach.

use std::io::{BufRead as _, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::corpus::CentralData;
use crate::support::machine::{Machine, address_of_this_machine, free_port};
use crate::support::{DEADLINE, not_run, success, wait_until};
use crate::sync::central_with_sites;

/// Edits that each of two machines records while the other does.
const EDITS_EACH: u32 = 30;

fn own_address() -> Option<IpAddr> {
    let found = address_of_this_machine();
    if found.is_none() {
        not_run("this machine has no address but loopback ones: nothing of several machines on one agent was tested");
    }
    found
}

/// Lets the agent listen there from its next start on.
fn listen(agent: &Agent, address: SocketAddr, more: &str) {
    let mut settings = std::fs::read_to_string(agent.settings()).unwrap();
    let section = format!("[clients]\nlisten = \"{address}\"\n{more}\n");
    settings.push_str(&section);
    std::fs::write(agent.settings(), settings).unwrap();
}

/// Adds a client, who reaches the agent at that address.
fn add(agent: &Agent, name: &str, address: SocketAddr) -> Machine {
    let added = agent.json(&["client", "add", name]);
    let text = |name: &str| added[name].as_str().unwrap_or_else(|| panic!("{added}")).to_owned();
    Machine { address, fingerprint: text("fingerprint"), token: text("token") }
}

fn stock_line(store: &str, data: &CentralData, id: &str, quantity: u32) -> Value {
    json!({"table": "item_line", "op": "upsert", "id": id,
        "data": {"ID": id, "store_ID": store, "item_ID": data.items[0], "batch": "B1", "quantity": quantity}})
}

/// A site that holds a store, and a collector copy of the store of another site, with one record in it.
fn site_with_a_collector() -> (Central, CentralData, Agent) {
    let (central, data) = central_with_sites(10, &["north", "south"]);
    let (mine, others) = (data.stores[0].as_str(), data.stores[1].as_str());
    let name = json!({"table": "name", "op": "put", "id": "N", "data": {"name": "n", "type": "store"}});
    let named = json!({"table": "store", "op": "patch", "id": others, "data": {"name_ID": "N"}});
    central.import(&format!("{name}\n{named}\n"));
    success(&central.run(&["visibility", "add", "N", "--store", mine], ""));
    success(&central.run(&["store", "set-role", others, "--site", "north", "collector"], ""));
    let south = Agent::initialised(&central, "south");
    south.record(&stock_line(others, &data, "OTHERS", 7).to_string());
    south.settle();
    let north = Agent::initialised(&central, "north");
    north.settle();
    (central, data, north)
}

#[test]
fn two_machines_work_on_one_agent_until_one_of_them_is_revoked() {
    let Some(ip) = own_address() else { return };
    let (central, data, mut agent) = site_with_a_collector();
    let (mine, others) = (data.stores[0].clone(), data.stores[1].clone());
    let address = SocketAddr::new(ip, free_port(ip));
    listen(&agent, address, "");
    // One before the daemon runs, one while it does; both know it by the same certificate.
    let dispensary = add(&agent, "dispensary", address);
    agent.start();
    let store_room = add(&agent, "store-room", address);
    assert_eq!(dispensary.fingerprint, store_room.fingerprint);
    assert_ne!(dispensary.token, store_room.token);

    let writers = [("D", &dispensary), ("S", &store_room)].map(|(letter, machine)| {
        let (machine, store, data) = (machine.clone(), mine.clone(), data.clone());
        std::thread::spawn(move || {
            for number in 0..EDITS_EACH {
                let edit = stock_line(&store, &data, &format!("{letter}{number}"), number);
                let (status, lines) = machine.answer("POST /v0/record", "", &edit.to_string());
                assert_eq!((status, &lines.last().unwrap()["result"]["recorded"]), (200, &json!(1)), "{lines:?}");
            }
        })
    });
    for writer in writers {
        writer.join().unwrap();
    }

    // What one recorded the other reads; of the collector's store both read and neither writes.
    assert_eq!(dispensary.ask("get", &json!({"table": "item_line", "id": "S7"}))["data"]["quantity"], 7);
    let read = store_room.ask("get", &json!({"table": "item_line", "id": "OTHERS"}));
    assert_eq!((&read["data"]["quantity"], &read["read_only_of"]), (&json!(7), &json!(others)));
    let listed = store_room.ask("list", &json!({"table": "item_line", "store": others}));
    assert_eq!(listed["records"].as_array().unwrap().len(), 1);
    for edit in [stock_line(&others, &data, "OTHERS", 8), stock_line(&others, &data, "NEW", 8)] {
        assert_eq!(dispensary.refused("record", &edit.to_string()), (403, "not_store_holder".to_owned()), "{edit}");
    }
    let deleted = json!({"table": "item_line", "op": "delete", "id": "OTHERS"});
    assert_eq!(dispensary.refused("record", &deleted.to_string()).0, 403);

    // What an operator does is done on the device.
    for verb in ["initialise", "verify", "pause", "resume", "set-aside-dismiss", "client-list", "client-certificate"] {
        assert_eq!(store_room.refused(verb, "{}"), (403, "device_only".to_owned()), "{verb}");
    }
    assert_eq!(store_room.refused("client-add", r#"{"name":"another"}"#), (403, "device_only".to_owned()));
    let status = agent.json(&["status"]);
    let clients = status["clients"].as_array().unwrap();
    assert!(clients.iter().all(|client| client["last_use_ms"].is_u64()) && clients.len() == 2, "{clients:?}");
    let glance = store_room.ask("watch", &json!({"wait_s": 0}));
    assert_eq!(glance["clients"].as_array().map(Vec::len), Some(2), "{glance}");
    let text = agent.ok(&["status"]);
    assert!(text.contains("2 clients: dispensary (") && text.contains("store-room ("), "{text}");

    // Revoked while it waits and while it sends: both end at once, and nothing of what was half sent is recorded.
    let feed = dispensary.ask("changes", &json!({"limit": 1000}))["cursor"].clone();
    let mut waiting = dispensary.begin("changes", &json!({"after": feed, "wait_s": 600}));
    let mut sending = dispensary.open();
    let half = stock_line(&mine, &data, "HALF", 1).to_string();
    let head = format!(
        "POST /v0/record HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{half}",
        dispensary.token,
        half.len() + 1
    );
    sending.write_all(head.as_bytes()).unwrap();
    wait_until("both are there", || agent.json(&["client", "list"])["clients"][0]["connections"] == 2);
    let began = Instant::now();
    agent.ok(&["client", "revoke", "dispensary"]);
    let mut rest = Vec::new();
    let _ = waiting.read_to_end(&mut rest);
    let _ = sending.read_to_end(&mut rest);
    assert!(began.elapsed() < DEADLINE / 2, "the connections did not end: {:?}", began.elapsed());
    assert_eq!(String::from_utf8_lossy(&rest), "");
    assert_eq!(dispensary.refused("status", ""), (401, "token_wrong".to_owned()));
    assert_eq!(store_room.answer("POST /v0/get", "", r#"{"table":"item_line","id":"HALF"}"#).0, 404);
    assert_eq!(agent.fails(&["client", "revoke", "dispensary"], ""), (5, "client_not_found".to_owned()));

    // The other one goes on, also after a restart, and everything that was recorded goes to central.
    let (_, lines) = store_room.answer("POST /v0/sync", "", "");
    assert_eq!(lines.last().unwrap()["result"]["outcome"], "drained", "{lines:?}");
    agent.settle();
    agent.signal("TERM");
    assert_eq!(agent.wait(), 0);
    agent.start();
    assert_eq!(dispensary.refused("status", ""), (401, "token_wrong".to_owned()));
    assert_eq!(store_room.ask("get", &json!({"table": "item_line", "id": "D3"}))["data"]["quantity"], 3);
    let at_central = central.records("item_line");
    for letter in ["D", "S"] {
        for number in 0..EDITS_EACH {
            assert_eq!(at_central[&format!("{letter}{number}")]["quantity"], number);
        }
    }
    assert_eq!(at_central["OTHERS"]["quantity"], 7);
    assert!(!at_central.contains_key("NEW"));
}

#[test]
fn whoever_does_not_belong_is_told_nothing() {
    let Some(ip) = own_address() else { return };
    let (central, _) = central_with_sites(5, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    let address = SocketAddr::new(ip, free_port(ip));
    listen(&agent, address, "names = [\"server.example\"]");
    let machine = add(&agent, "dispensary", address);
    let log = agent.file("log", "");
    agent.start_with(|command| {
        command.stderr(std::fs::File::create(&log).unwrap());
    });
    let token = format!("Authorization: Bearer {}\r\n", machine.token);
    let status = |headers: &str| {
        let (status, lines) =
            machine.answer_to(&format!("POST /v0/status HTTP/1.1\r\nContent-Length: 0\r\n{headers}\r\n"));
        (status, lines.last().unwrap()["error"]["code"].as_str().unwrap_or("none").to_owned())
    };
    let of = |status: u16, code: &str| (status, code.to_owned());

    // Another certificate than the one that was told, and nothing is sent.
    let deceived = Machine { fingerprint: machine.fingerprint.replace(['0', '1', '2', '3'], "f"), ..machine.clone() };
    assert!(deceived.try_open().err().unwrap().to_string().contains(&machine.fingerprint));
    // Plain HTTP gets a word in plain HTTP.
    let mut plain = TcpStream::connect(address).unwrap();
    plain
        .write_all(
            format!("POST /v0/status HTTP/1.1\r\nHost: {address}\r\n{token}Content-Length: 0\r\n\r\n").as_bytes(),
        )
        .unwrap();
    let mut told = String::new();
    plain.read_to_string(&mut told).unwrap();
    assert!(told.starts_with("HTTP/1.1 400 ") && told.contains("\"plain_http\"") && !told.contains("result"), "{told}");

    for host in [format!("Host: {address}\r\n"), format!("Host: server.example:{}\r\n", address.port())] {
        assert_eq!(status(&format!("{host}{token}")), of(200, "none"), "{host}");
        assert_eq!(status(&host), of(401, "token_missing"));
        assert_eq!(status(&format!("{host}{token}Origin: https://example.org\r\n")), of(403, "origin_not_taken"));
    }
    for host in ["", "Host: localhost\r\n", "Host: other.example:8443\r\n"] {
        assert_eq!(status(&format!("{host}{token}")), of(403, "host_not_taken"), "{host}");
    }

    // The agent's own token is none of a client, and wrong ones are answered no more after some; a right one is.
    let host = format!("Host: {address}\r\n");
    let wrong = format!("{host}Authorization: Bearer outpost_client_{}\r\n", "0".repeat(64));
    assert_eq!(status(&wrong), of(401, "token_wrong"));
    wait_until("wrong tokens are looked at no more", || status(&wrong) == of(429, "too_many_wrong_tokens"));
    assert_eq!(status(&format!("{host}{token}")), of(200, "none"));

    // With the certificate as a file other programs know it too.
    let pem = agent.file("agent.pem", &agent.ok(&["client", "certificate"]));
    let curl = Command::new("curl")
        .args(["--silent", "--show-error", "--cacert"])
        .arg(&pem)
        .args(["--header", token.trim()])
        .args(["--data", "{}", &format!("https://{address}/v0/status")])
        .output();
    match curl {
        Err(_) => not_run("there is no curl to ask the agent over TLS"),
        Ok(output) => assert!(success(&output).contains("\"site\""), "curl was told something else"),
    }
    agent.signal("TERM");
    assert_eq!(agent.wait(), 0);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("client=dispensary") && !log.contains(&machine.token[20..]), "{log}");
}

#[test]
fn machines_that_are_slow_or_flood_the_agent_hold_up_no_other() {
    let Some(ip) = own_address() else { return };
    let (central, data) = central_with_sites(5, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    let port = free_port(ip);
    listen(&agent, SocketAddr::new("0.0.0.0".parse().unwrap(), port), &format!("names = [\"{ip}\"]"));
    let machine = add(&agent, "dispensary", SocketAddr::new(ip, port));
    agent.start();
    machine.ask("status", &json!({}));

    // From another address: silent ones, as many as there may be and more, and one that sends its first words drop by drop.
    let elsewhere = SocketAddr::new("127.0.0.1".parse().unwrap(), port);
    let mut dripping = TcpStream::connect(elsewhere).unwrap();
    dripping.write_all(&[22]).unwrap();
    let silent: Vec<TcpStream> = (0..30).map(|_| TcpStream::connect(elsewhere).unwrap()).collect();
    let dripping = std::thread::spawn(move || {
        let began = Instant::now();
        dripping.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        // A record of TLS that claims 16,000 bytes and never has them.
        for byte in [3, 1, 62, 128].into_iter().chain(std::iter::repeat(1)) {
            let is_over = dripping.write_all(&[byte]).is_err()
                || matches!(dripping.read(&mut [0; 64]), Ok(0))
                || began.elapsed() > DEADLINE;
            if is_over {
                return began.elapsed();
            }
        }
        unreachable!("there is always another byte")
    });
    // The agent may say a last word of TLS first.
    let is_closed = |mut stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        loop {
            match stream.read(&mut [0; 64]) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
    };
    wait_until("those above the limit are closed", || silent.iter().filter(|stream| is_closed(stream)).count() >= 15);

    let began = Instant::now();
    for number in 0..5 {
        let edit = stock_line(&data.stores[0], &data, &format!("A{number}"), number);
        assert_eq!(machine.answer("POST /v0/record", "", &edit.to_string()).0, 200);
    }
    assert!(began.elapsed() < DEADLINE / 2, "held up for {:?}", began.elapsed());
    assert!(dripping.join().unwrap() < DEADLINE / 2, "a handshake is as long as it likes");
    wait_until("the silent ones are closed", || silent.iter().all(is_closed));

    // One client has its own limit too.
    let cursor = machine.ask("changes", &json!({"limit": 1000}))["cursor"].clone();
    let waiting: Vec<_> = (0..4).map(|_| machine.begin("changes", &json!({"wait_s": 600, "after": cursor}))).collect();
    wait_until("four wait", || agent.json(&["client", "list"])["clients"][0]["connections"] == 4);
    assert_eq!(
        machine.refused("changes", &json!({"wait_s": 600, "after": cursor}).to_string()),
        (503, "too_many_waiting".to_owned())
    );
    machine.ask("status", &json!({}));
    for mut one in waiting {
        agent.record(&stock_line(&data.stores[0], &data, "A", 1).to_string());
        let mut line = String::new();
        while one.read_line(&mut line).unwrap() > 0 {}
        assert!(line.contains("\"result\""), "{line}");
    }
}
