//! Requests that are wrong, endless, slow, or too many.

use protocol::limits::REQUEST_BYTES_MAX;

use crate::support::agent::Agent;
use crate::support::folder::Folder;
use crate::support::http::{Connection, HttpReply, post};
use crate::support::wait::{timed, wait_for};

fn refused(reply: &HttpReply) -> (u16, &str) {
    (reply.status, reply.code())
}

#[test]
fn requests_that_are_no_exchange_get_their_own_codes_and_change_nothing() {
    let folder = Folder::new("");
    let server = folder.serve();
    let before = folder.json(&["status"], "");
    for (body, code) in [
        (&b"<html><body>Sign in</body></html>"[..], "bad_section"),
        (b"", "truncated"),
        (b"\x01", "truncated"),
        (&[0x01, 0xff, 0xff, 0xff, 0xff], "bad_section"),
        (&[0xff; 4096], "bad_section"),
    ] {
        let reply = post(server.address, "/sync/v1", body).unwrap();
        assert_eq!(refused(&reply), (400, code), "{body:?}");
        assert_eq!(reply.header("content-type"), Some("application/x-outpost"));
    }

    assert_eq!(folder.json(&["status"], ""), before);
}

#[test]
fn a_request_above_the_limit_is_refused_whether_it_says_so_or_not() {
    let folder = Folder::new("");
    let server = folder.serve();
    let announced = Connection::begin(server.address, "/sync/v1", REQUEST_BYTES_MAX + 1);
    assert_eq!(refused(&announced.reply().unwrap()), (413, "request_too_large"));

    let mut endless = Connection { stream: std::net::TcpStream::connect(server.address).unwrap() };
    endless.send(b"POST /sync/v1 HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let mut head = vec![1];
    head.extend_from_slice(&(1_u32 << 18).to_le_bytes());
    let chunk = [format!("{:x}\r\n", 1 << 16).as_bytes(), &vec![0; 1 << 16], b"\r\n"].concat();
    endless.send(&[format!("{:x}\r\n", head.len()).as_bytes(), &head, b"\r\n"].concat()).unwrap();
    let sent = (0..1000).take_while(|_| endless.send(&chunk).is_ok()).count();
    assert!(sent < 1000, "the server reads no more than its limit");
}

#[test]
fn unsigned_altered_and_unknown_senders_are_refused_alike() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    let server = folder.serve();
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    let good = agent.request();

    // The head hash, which no decoder can find fault with.
    let mut altered = good.clone();
    let hash_at = good.windows(32).position(|window| *window == agent.head_hash().0).unwrap();
    altered[hash_at] ^= 1;
    assert_eq!(refused(&post(server.address, "/sync/v1", &altered).unwrap()), (403, "not_enrolled"));

    let mut unsigned = good.clone();
    unsigned[9..73].fill(0);
    assert_eq!(refused(&post(server.address, "/sync/v1", &unsigned).unwrap()), (403, "not_enrolled"));

    agent.site = protocol::ids::SiteId(77);
    assert_eq!(refused(&agent.post_request(server.address)), (403, "not_enrolled"));

    assert_eq!(refused(&post(server.address, "/sync/v1", &good[..good.len() - 1]).unwrap()), (400, "truncated"));
    assert_eq!(post(server.address, "/sync/v1", &good).unwrap().status, 200);
}

#[test]
fn an_altered_frame_is_refused_and_the_whole_one_is_taken_after_it() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    let server = folder.serve();
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    agent.record_location("L1", "S1");
    let mut altered = agent.request();
    *altered.last_mut().unwrap() ^= 1;

    let reply = post(server.address, "/sync/v1", &altered).unwrap();
    assert_eq!(refused(&reply), (400, "bad_frame"));
    assert_eq!(folder.json(&["site", "show", "clinic"], "")["received"], 0);
    agent.sync_whole(server.address);
}

#[test]
fn a_second_exchange_of_a_site_is_told_to_come_again_and_others_are_not() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    folder.add_site("hospital", &[]);
    let server = folder.serve();
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    agent.record_location("L1", "S1");
    let request = agent.request();
    // Which of the two comes first is not known: the one that is told to come again may be the open one.
    let (mut open, busy) = wait_for("the open exchange to have the slot", || {
        let mut open = Connection::begin(server.address, "/sync/v1", request.len());
        open.send(&request[..request.len() - 1]).unwrap();
        let reply = post(server.address, "/sync/v1", &request).unwrap();
        (reply.status != 200).then_some((open, reply))
    });
    assert_eq!(refused(&busy), (429, "site_busy"));
    assert_eq!(busy.header("retry-after"), Some("1"));
    let mut other = Agent::enrol(server.address, "hospital", 2);
    other.sync_whole(server.address);

    open.send(&request[request.len() - 1..]).unwrap();
    assert_eq!(open.reply().unwrap().status, 200);
    agent.sync_whole(server.address);
}

#[test]
fn a_silent_exchange_gives_way_to_the_sites_next_one() {
    let folder = Folder::new("[timeouts]\nsupersede_idle_ms = 100\n");
    folder.add_site("clinic", &[]);
    let server = folder.serve();
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    let request = agent.request();
    let mut silent = Connection::begin(server.address, "/sync/v1", request.len() + 1);
    silent.send(&request).unwrap();

    wait_for("the silent exchange to give way", || {
        Some(agent.sync(server.address)).filter(|outcome| outcome.failure.is_none())
    });
}

#[test]
fn a_client_that_sends_nothing_more_is_told_after_the_idle_time() {
    let folder = Folder::new("[timeouts]\nread_idle_ms = 200\n");
    let server = folder.serve();
    let mut slow = Connection::begin(server.address, "/sync/v1", 1000);
    slow.send(&[1, 0]).unwrap();

    let (reply, took) = timed(|| slow.reply().unwrap());
    assert_eq!(refused(&reply), (408, "request_idle"));
    assert!(took.as_millis() >= 150, "{took:?}");
}

#[test]
fn a_client_that_never_finishes_its_head_is_cut() {
    let folder = Folder::new("[timeouts]\nread_idle_ms = 100\nwrite_idle_ms = 100\n");
    let server = folder.serve();
    let mut slow = Connection { stream: std::net::TcpStream::connect(server.address).unwrap() };
    slow.stream.set_read_timeout(Some(crate::support::wait::DEADLINE)).unwrap();
    slow.send(b"POST /sync/v1 HTTP/1.1\r\nHo").unwrap();

    assert_eq!(slow.reply(), None);
}

#[test]
fn more_unproved_heads_than_allowed_are_answered_503_with_retry_after() {
    let folder = Folder::new("[limits]\nheads_max = 2\n");
    let server = folder.serve();
    let open = || {
        let mut connection = Connection::begin(server.address, "/sync/v1", 1000);
        // One that comes too late is cut off, which is no matter here.
        let _ = connection.send(&[1]);
        connection
    };
    let mut held = vec![open(), open()];

    let reply = wait_for("both places to be taken", || {
        let probe = post(server.address, "/sync/v1", b"x").filter(|reply| reply.status != 400);
        if probe.is_none() {
            // The probe itself may have had the place that one of them came for.
            held.push(open());
        }
        probe
    });
    assert_eq!(refused(&reply), (503, "overloaded"));
    assert_eq!(reply.header("retry-after"), Some("5"));

    drop(held);
    wait_for("a place to be free", || post(server.address, "/sync/v1", b"x").filter(|reply| reply.status == 400));
}

#[test]
fn silent_connections_without_a_key_hold_up_no_site() {
    let folder = Folder::new("[limits]\nexchanges_max = 2\n");
    folder.add_site("clinic", &[]);
    let server = folder.serve();
    let held: Vec<_> = (0..40)
        .map(|_| {
            let mut silent = Connection::begin(server.address, "/sync/v1", 1000);
            silent.send(&[1]).unwrap();
            silent
        })
        .collect();

    let mut agent = Agent::enrol(server.address, "clinic", 1);
    for _ in 0..3 {
        agent.sync_whole(server.address);
    }
    drop(held);
}

#[test]
fn more_exchanges_than_allowed_are_answered_503_with_retry_after() {
    let folder = Folder::new("[limits]\nexchanges_max = 1\n");
    folder.add_site("clinic", &[]);
    folder.add_site("hospital", &[]);
    let server = folder.serve();
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    let mut other = Agent::enrol(server.address, "hospital", 2);
    agent.record_location("L1", "S1");
    let request = agent.request();
    let (open, reply) = wait_for("the only place to be taken", || {
        let mut open = Connection::begin(server.address, "/sync/v1", request.len());
        open.send(&request[..request.len() - 1]).unwrap();
        let reply = other.post_request(server.address);
        (reply.status != 200).then_some((open, reply))
    });
    assert_eq!(refused(&reply), (503, "overloaded"));
    assert_eq!(reply.header("retry-after"), Some("5"));

    drop(open);
    wait_for("the place to be free", || (other.post_request(server.address).status == 200).then_some(()));
}

#[test]
fn a_head_that_takes_too_long_in_all_is_ended() {
    let folder = Folder::new("[timeouts]\nread_idle_ms = 3600000\nhead_ms = 200\n");
    let server = folder.serve();
    for (path, first) in [("/sync/v1", &[1]), ("/enrol/v1", b"{"), ("/enrol/v1/begin", b"{")] {
        let mut slow = Connection::begin(server.address, path, 1000);
        slow.send(first).unwrap();

        assert_eq!(refused(&slow.reply().unwrap()), (408, "request_slow"), "{path}");
    }
}

#[test]
fn a_proved_request_may_take_longer_than_its_head() {
    let folder = Folder::new("[timeouts]\nhead_ms = 1000\n");
    folder.add_site("clinic", &[]);
    let server = folder.serve();
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    agent.record_location("L1", "S1");
    let request = agent.request();
    let mut slow = Connection::begin(server.address, "/sync/v1", request.len());
    slow.send(&request[..request.len() - 1]).unwrap();
    // A head that is sent at the same time and never whole measures the time.
    let mut unproved = Connection::begin(server.address, "/sync/v1", 1000);
    unproved.send(&[1]).unwrap();
    assert_eq!(refused(&unproved.reply().unwrap()), (408, "request_slow"));

    slow.send(&request[request.len() - 1..]).unwrap();
    assert_eq!(slow.reply().unwrap().status, 200);
}
