//! Enrolment: right and wrong passwords, repeated calls, wiped and foreign devices, changed names and passwords.

use crate::support::agent::{Agent, enrolment, enrolment_on};
use crate::support::folder::{Folder, PASSWORD};
use crate::support::http::{HttpReply, post};
use crate::versions::serve_by_tls;

fn enrol(server: &crate::support::folder::Server, body: &str) -> HttpReply {
    post(server.address, "/enrol/v1", body.as_bytes()).unwrap()
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

/// An enrolment has no version: what a later agent adds must not keep it from an older central.
#[test]
fn a_field_of_a_later_agent_is_left_alone() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    let server = folder.serve();
    let body = enrolment("clinic", PASSWORD, 1, 1).replacen('{', r#"{"of_a_later_agent":{"colour":"green"},"#, 1);

    assert_eq!(enrol(&server, &body).status, 200);
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
fn guesses_under_many_names_from_one_address_lock_nobody_out() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    folder.add_site("hospital", &[]);
    // Checks that take their time, one after the other, so that the guesses have to wait.
    let settings = "[passwords]\nmemory_kib = 4096\nrounds = 2\n[limits]\nenrolments_max = 1\n";
    std::fs::write(folder.path().join("central.toml"), settings).unwrap();
    let server = serve_by_tls(&folder);

    let guessed: Vec<HttpReply> = std::thread::scope(|scope| {
        let guess = |number: u32| enrol(&server, &enrolment(&format!("guess {number}"), "wrong", 9, 9));
        let guesses: Vec<_> = (0..60).map(|number| scope.spawn(move || guess(number))).collect();
        for (name, seed) in [("clinic", 1), ("hospital", 2)] {
            assert_eq!(enrol(&server, &enrolment(name, PASSWORD, seed, seed)).status, 200, "{name}");
        }
        guesses.into_iter().map(|guess| guess.join().unwrap()).collect()
    });

    let counts =
        |status, code: &str| guessed.iter().filter(|reply| (reply.status, reply.code()) == (status, code)).count();
    let (answered, put_off) = (counts(403, "wrong_credentials"), counts(429, "too_many_attempts"));
    assert_eq!(answered + put_off, guessed.len(), "{guessed:?}");
    // Those that wait for their answer hold a connection each: they may not take those of the devices that are enrolled.
    assert!(put_off > 0 && answered >= 20, "{answered} and {put_off}");
}

#[test]
fn the_first_step_does_not_tell_when_a_site_is_added() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    let server = folder.serve();
    let before = begin(&server, "later");

    folder.add_site("later", &[]);

    assert_eq!((begin(&server, "later").status, begin(&server, "later").body), (200, before.body));
    assert_eq!(enrol(&server, &enrolment("later", PASSWORD, 1, 1)).status, 200);
}

#[test]
fn a_wiped_device_replaces_the_old_one_at_once_and_closes_its_journal() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    let server = folder.serve();
    let mut old = Agent::enrol(server.address, "clinic", 1);
    old.sync_whole(server.address);
    let mut new = Agent::enrol(server.address, "clinic", 2);

    assert_eq!(old.post_request(server.address).code(), "device_retired");
    new.sync_whole(server.address);
    let back = enrol(&server, &enrolment("clinic", PASSWORD, 1, 1));
    assert_eq!((back.status, back.code()), (409, "key_retired"));
    let back = enrol(&server, &enrolment("clinic", PASSWORD, 3, 1));
    assert_eq!((back.status, back.code()), (409, "journal_retired"));
    new.sync_whole(server.address);
    assert_eq!(folder.json(&["site", "show", "clinic"], "")["retired_keys"], 1);
}

fn begin(server: &crate::support::folder::Server, name: &str) -> HttpReply {
    post(server.address, "/enrol/v1/begin", format!(r#"{{"name":"{name}"}}"#).as_bytes()).unwrap()
}

#[test]
fn the_first_step_tells_nobody_which_sites_there_are() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    folder.add_site("hospital", &[]);
    let server = folder.serve();
    let salts = ["clinic", "hospital", "nobody", "central", "nobody else"].map(|name| {
        let (first, again) = (begin(&server, name), begin(&server, name));
        assert_eq!((first.status, &first.body), (200, &again.body), "{name}");
        let reply = first.json();
        assert_eq!(reply.as_object().unwrap().keys().collect::<Vec<_>>(), ["central_key", "salt"], "{name}");
        assert_eq!(reply["central_key"].as_str().unwrap().len(), 64, "{name}");
        reply["salt"].as_str().unwrap().to_owned()
    });

    let different: std::collections::BTreeSet<_> = salts.iter().collect();
    assert_eq!(different.len(), salts.len());
    assert!(salts.iter().all(|salt| salt.len() == 32 && salt.bytes().all(|digit| digit.is_ascii_hexdigit())));
    // They are the same after a restart.
    server.terminate();
    assert_eq!(server.ended(), Some(0));
    let server = folder.serve();
    for (name, salt) in ["clinic", "hospital", "nobody", "central", "nobody else"].iter().zip(&salts) {
        assert_eq!(begin(&server, name).json()["salt"], salt.as_str(), "{name}");
    }
    // And at a copy for tests: whoever compares the two learns nothing either.
    server.stop();
    let copy = folder.copied();
    let server = copy.serve_with(&["--as-copy"]);
    for (name, salt) in ["clinic", "hospital", "nobody", "central", "nobody else"].iter().zip(&salts) {
        assert_eq!(begin(&server, name).json()["salt"], salt.as_str(), "{name} at a copy");
    }
    let nameless = begin(&server, "");
    assert_eq!((nameless.status, nameless.code()), (400, "enrolment_field"));
}

#[test]
fn another_device_is_refused_until_an_administrator_resets_the_site() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    let server = folder.serve();
    let mut old = Agent::enrol(server.address, "clinic", 1);
    old.sync_whole(server.address);
    let shown = folder.json(&["site", "show", "clinic"], "");
    assert_eq!((&shown["binding"], &shown["retired_keys"]), (&"strong".into(), &0.into()), "{shown}");

    let other = enrol(&server, &enrolment_on(2, "clinic", PASSWORD, 2, 2));
    assert_eq!((other.status, other.code()), (409, "site_bound"));
    let told = other.json()["message"].as_str().unwrap().to_owned();
    for part in [&shown["device"], &shown["bound"], &shown["last_contact"]] {
        assert!(told.contains(part.as_str().unwrap()), "{part} is not in {told}");
    }
    let copied = enrol(&server, &enrolment_on(2, "clinic", PASSWORD, 1, 1));
    assert_eq!((copied.status, copied.code()), (409, "hardware_differs"));
    // A device without serial numbers is told from nothing.
    let nameless = enrol(&server, &enrolment_on(0, "clinic", PASSWORD, 2, 2));
    assert_eq!((nameless.status, nameless.code()), (409, "site_bound"));
    old.sync_whole(server.address);

    let reset = folder.json(&["site", "reset-hardware", "clinic"], "");
    assert_eq!(reset["device"], shown["device"]);
    assert_eq!(old.post_request(server.address).code(), "device_retired");
    assert_eq!(folder.json(&["site", "show", "clinic"], "")["is_enrolled"], false);
    let taken = enrol(&server, &enrolment_on(2, "clinic", PASSWORD, 2, 2));
    assert_eq!((taken.status, taken.json()["binding"].as_str()), (200, Some("strong")));
    assert_eq!(enrol(&server, &enrolment("clinic", PASSWORD, 1, 1)).code(), "key_retired");
    assert_eq!(enrol(&server, &enrolment("clinic", PASSWORD, 3, 1)).code(), "site_bound");
    assert!(folder.server_log().contains("the binding of a site was reset"));
}

#[test]
fn a_device_of_one_site_is_not_bound_to_another() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    folder.add_site("hospital", &[]);
    let server = folder.serve();
    let clinic = folder.json(&["site", "show", "clinic"], "")["id"].clone();
    let of_clinic = enrolment("hospital", PASSWORD, 1, 1).replacen('{', &format!(r#"{{"site_id":{clinic},"#), 1);

    let refused = enrol(&server, &of_clinic);

    assert_eq!((refused.status, refused.code()), (409, "other_site"));
    assert_eq!(folder.json(&["site", "show", "hospital"], "")["is_enrolled"], false);
    // Whoever does not know the password learns nothing of which name is which site.
    let guessed = of_clinic.replace(PASSWORD, "guessed");
    assert_eq!(enrol(&server, &guessed).code(), "wrong_credentials");
    assert_eq!(enrol(&server, &of_clinic.replace("hospital", "clinic")).status, 200);
}

#[test]
fn a_device_without_serial_numbers_is_told_so() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    let server = folder.serve();

    let reply = enrol(&server, &enrolment_on(0, "clinic", PASSWORD, 1, 1));

    assert_eq!((reply.status, reply.json()["binding"].as_str()), (200, Some("none")));
    assert_eq!(folder.json(&["site", "show", "clinic"], "")["binding"], "none");
}

#[test]
fn a_changed_name_or_password_stops_the_device_and_the_old_pair_lets_it_go_on() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    let server = folder.serve();
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    agent.sync_whole(server.address);

    let renamed = folder.json(&["site", "edit", "clinic", "--name", "ward"], "");
    assert_eq!(
        (renamed["credential_generation"].as_u64() > Some(1), &renamed["credentials_changed"]),
        (true, &true.into())
    );
    assert!(renamed["warning"].is_string());
    let refused = agent.post_request(server.address);
    assert_eq!((refused.status, refused.code()), (409, "credentials_changed"));
    assert_eq!(enrol(&server, &enrolment("clinic", PASSWORD, 1, 1)).code(), "wrong_credentials");

    // A name alone finds its earlier pair again, and so does a pair of name and password.
    let back = folder.json(&["site", "edit", "ward", "--name", "clinic"], "");
    assert_eq!((&back["credential_generation"], &back["credentials_restored"]), (&1.into(), &true.into()));
    agent.sync_whole(server.address);
    let file = folder.password_file();
    let changed = folder.json(&["site", "edit", "clinic", "--password-file", "-"], "another secret");
    assert!(changed["credential_generation"].as_u64() > renamed["credential_generation"].as_u64());
    assert_eq!(agent.post_request(server.address).code(), "credentials_changed");
    let again = folder.json(&["site", "edit", "clinic", "--password-file", "-"], "another secret");
    assert_eq!(
        (&again["credential_generation"], &again["credentials_changed"]),
        (&changed["credential_generation"], &false.into())
    );
    let back = folder.json(&["site", "edit", "clinic", "--password-file", file.to_str().unwrap()], "");
    assert_eq!(back["credential_generation"], 1);
    agent.sync_whole(server.address);

    let coded = folder.json(&["site", "edit", "clinic", "--code", "C-7"], "");
    assert_eq!((&coded["credentials_changed"], &coded["warning"]), (&false.into(), &serde_json::Value::Null));
    agent.sync_whole(server.address);
    assert_eq!(folder.failure(&["site", "edit", "nowhere", "--code", "x"], ""), (5, "unknown_site".to_owned()));
    assert_eq!(folder.run(&["site", "edit", "clinic"], "").status.code(), Some(2), "nothing to change");
}

#[test]
fn enrolments_that_cannot_be_read_say_what_is_wrong() {
    let folder = Folder::new("");
    folder.add_site("tablet", &["--type", "mobile"]);
    folder.json(
        &["import", "-"],
        r#"{"table":"store","op":"put","id":"S1","data":{"code":"S1"}}
{"table":"store","op":"put","id":"S2","data":{"code":"S2"}}"#,
    );
    folder.add_site("desk", &["--store", "S1", "--store", "S2"]);
    let server = folder.serve();
    let good = enrolment("tablet", PASSWORD, 1, 1);
    for (body, status, code) in [
        ("{".to_owned(), 400, "enrolment_malformed"),
        (good.replace("\"name\"", "\"login\""), 400, "enrolment_malformed"),
        (good.replace("\"journal\":\"01", "\"journal\":\"zz"), 400, "enrolment_field"),
        (good.replace("standalone", "central"), 400, "enrolment_field"),
        (good.replace("\"hardware\":\"01", "\"hardware\":\"07"), 400, "enrolment_field"),
        (good.replace("\"hardware\":\"01", "\"hardware\":\"0"), 400, "enrolment_field"),
        (enrolment("desk", PASSWORD, 1, 1).replace("standalone", "mobile"), 409, "site_type_differs"),
        (format!("{good}{}", " ".repeat(20_000)), 413, "request_too_large"),
    ] {
        let reply = enrol(&server, &body);
        assert_eq!((reply.status, reply.code()), (status, code), "{body:.200}");
    }
}

/// Seed 003, "Type": when a remote site synchronises it updates the value.
#[test]
fn the_type_that_a_device_says_counts_whatever_was_meant() {
    let folder = Folder::new("");
    folder.add_site("tablet", &["--type", "mobile"]);
    let server = folder.serve();

    assert_eq!(enrol(&server, &enrolment("tablet", PASSWORD, 1, 1)).status, 200);

    let shown = folder.json(&["site", "show", "tablet"], "");
    let types = ["type", "intended_type", "reported_type"].map(|key| shown[key].as_str().unwrap().to_owned());
    assert_eq!(types, ["standalone", "mobile", "standalone"]);
    let text = folder.run(&["site", "show", "tablet"], "");
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("it was meant to be mobile, and its device says that it is standalone"), "{text}");
}
