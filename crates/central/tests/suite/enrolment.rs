//! Enrolment: right and wrong passwords, repeated calls, replaced devices.

use crate::support::agent::{Agent, enrolment};
use crate::support::folder::{Folder, PASSWORD};
use crate::support::http::{HttpReply, post};

fn enrol(server: &crate::support::folder::Server, body: &str) -> HttpReply {
    post(server.address, "/enrol/v0", body.as_bytes()).unwrap()
}

#[test]
fn enrolling_again_with_the_same_key_and_journal_changes_nothing() {
    let folder = Folder::new("");
    let id = folder.add_site("clinic", &[]);
    let server = folder.serve();
    let body = enrolment("clinic", PASSWORD, 1, 1);
    let first = enrol(&server, &body);
    let shown = folder.json(&["site", "show", "clinic"], "");
    let second = enrol(&server, &body);

    assert_eq!((first.status, first.json()["site_id"].as_u64()), (200, Some(u64::from(id))));
    assert_eq!(first.json()["credential_generation"], 1);
    assert_eq!(first.body, second.body);
    assert_eq!(folder.json(&["site", "show", "clinic"], ""), shown);
}

#[test]
fn an_unknown_name_and_a_wrong_password_get_the_same_answer_and_enrol_nobody() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    let server = folder.serve();
    let wrong = enrol(&server, &enrolment("clinic", "wrong", 1, 1));
    let unknown = enrol(&server, &enrolment("nobody", "wrong", 1, 1));

    assert_eq!((wrong.status, wrong.code()), (403, "wrong_credentials"));
    assert_eq!(wrong.body, unknown.body);
    assert_eq!(folder.json(&["site", "show", "clinic"], "")["is_enrolled"], false);
}

#[test]
fn wrong_passwords_delay_that_name_alone() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    folder.add_site("hospital", &[]);
    let server = folder.serve();
    let statuses: Vec<u16> = (0..4).map(|_| enrol(&server, &enrolment("clinic", "wrong", 1, 1)).status).collect();
    let right = enrol(&server, &enrolment("clinic", PASSWORD, 1, 1));

    assert_eq!(statuses, [403, 403, 403, 429]);
    assert_eq!((right.status, right.code()), (429, "too_many_attempts"));
    assert!(right.header("retry-after").is_some());
    assert_eq!(enrol(&server, &enrolment("hospital", PASSWORD, 2, 2)).status, 200);
}

#[test]
fn a_new_device_replaces_the_old_one_at_once_and_closes_its_journal() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    let server = folder.serve();
    let mut old = Agent::enrol(server.address, "clinic", 1);
    old.sync_whole(server.address);
    let mut new = Agent::enrol(server.address, "clinic", 2);

    assert_eq!(old.post_request(server.address).code(), "not_enrolled");
    new.sync_whole(server.address);
    let back = enrol(&server, &enrolment("clinic", PASSWORD, 1, 1));
    assert_eq!((back.status, back.code()), (409, "journal_retired"));
    new.sync_whole(server.address);
}

#[test]
fn enrolments_that_cannot_be_read_say_what_is_wrong() {
    let folder = Folder::new("");
    folder.add_site("tablet", &["--type", "mobile"]);
    let server = folder.serve();
    let good = enrolment("tablet", PASSWORD, 1, 1);
    for (body, status, code) in [
        ("{".to_owned(), 400, "enrolment_malformed"),
        (good.replace("\"name\"", "\"login\""), 400, "enrolment_malformed"),
        (good.replace("\"journal\":\"01", "\"journal\":\"zz"), 400, "enrolment_field"),
        (good.replace("standalone", "central"), 400, "enrolment_field"),
        (good.clone(), 409, "site_type_differs"),
        (format!("{good}{}", " ".repeat(20_000)), 413, "request_too_large"),
    ] {
        let reply = enrol(&server, &body);
        assert_eq!((reply.status, reply.code()), (status, code), "{body:.200}");
    }
    assert_eq!(enrol(&server, &good.replace("standalone", "mobile")).status, 200);
}
