//! `check` and `doctor` against what they are for: centrals that are well, stopped, strange or skewed, and devices that are not
//! in order.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use outpost::date::date_text;
use serde_json::{Value, json};

use crate::encryption::{agent_trusting, no_name};
use crate::support::agent::{Agent, BOARD, CHIP};
use crate::support::central::{Central, password};
use crate::support::certificates::{Authority, Day};
use crate::support::corpus::central_data;
use crate::support::success;
use crate::support::web::Web;

/// Every line of `check` on a device that is enrolled, by TLS.
const CHECK_LINES: [&str; 8] = ["configuration", "dns", "tcp", "tls", "central", "clock", "protocol", "central_key"];
/// What follows of the device itself.
const STANDING_LINES: [&str; 3] = ["enrolment", "credentials", "binding"];
/// What `doctor` adds.
const DOCTOR_LINES: [&str; 4] = ["disk_space", "disk_sync", "permissions", "daemon"];

/// What a verb reports, and its exit status.
fn report(agent: &Agent, verb: &str) -> (i32, Value) {
    let output = agent.run(&[verb, "--json"], "");
    let text = String::from_utf8(output.stdout).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{verb}: {error}: {text}"));
    assert_eq!(report["exit"].as_i64(), output.status.code().map(i64::from));
    (output.status.code().unwrap(), report)
}

/// Name, verdict and code of each line that is not well.
fn troubles(report: &Value) -> Vec<(&str, &str, &str)> {
    let lines = report["lines"].as_array().unwrap().iter();
    lines
        .filter(|line| line["verdict"] != "ok")
        .map(|line| {
            assert_ne!(line["advice"], "", "{line}");
            (line["name"].as_str().unwrap(), line["verdict"].as_str().unwrap(), line["code"].as_str().unwrap())
        })
        .collect()
}

fn names(report: &Value) -> Vec<&str> {
    report["lines"].as_array().unwrap().iter().map(|line| line["name"].as_str().unwrap()).collect()
}

/// A central by TLS with one site.
fn central(authority: &Authority) -> Central {
    let data = central_data(5, 1);
    let central = Central::encrypted(&data.lines, &authority.certify(&["127.0.0.1"]));
    central.add_site("north", &[&data.stores[0]]);
    central
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// What a central says at `/hello`, of some version.
fn hello(version: u8) -> String {
    let key = "07".repeat(32);
    json!({ "product": "outpost-central", "release": "9", "version_min": version, "version_max": version, "central_key": key })
        .to_string()
}

fn http_date(time: SystemTime) -> String {
    httpdate::fmt_http_date(time)
}

#[test]
fn a_site_that_is_well_has_a_line_for_everything_with_and_without_a_daemon() {
    let authority = Authority::new("The ministry");
    let central = central(&authority);
    let mut agent = agent_trusting(&authority, &central.url());
    let (exit, before) = report(&agent, "check");
    assert_eq!((exit, troubles(&before)), (0, vec![("enrolment", "warning", "not_enrolled")]));
    agent.enrol(&central, "north");

    let (exit, checked) = report(&agent, "check");
    assert_eq!((exit, troubles(&checked)), (0, vec![]));
    assert_eq!(names(&checked), [&CHECK_LINES[..], &STANDING_LINES].concat());
    let tls = checked["lines"][3]["text"].as_str().unwrap();
    assert!(tls.contains("The ministry") && tls.contains("more days"), "{tls}");

    let all = [&CHECK_LINES[..], &STANDING_LINES, &DOCTOR_LINES].concat();
    let (exit, examined) = report(&agent, "doctor");
    assert_eq!((exit, names(&examined)), (0, all.clone()));
    agent.start();
    let (exit, examined) = report(&agent, "doctor");
    assert_eq!((exit, names(&examined)), (0, all));
    assert!(troubles(&examined).iter().all(|(name, ..)| *name == "disk_sync"), "{examined}");
    assert!(agent.ok(&["doctor"]).contains("the daemon runs"));
    assert_eq!(agent.json(&["status"])["daemon"], true, "the daemon was not disturbed");
    assert!(!agent.data().join("doctor-scratch").exists());
}

#[test]
fn a_central_that_is_stopped_of_another_authority_or_a_page_fails_at_its_step() {
    let (authority, other) = (Authority::new("Ours"), Authority::new("Other"));
    let mut stopped = central(&authority);
    let agent = agent_trusting(&authority, &stopped.url());
    stopped.kill();
    assert_eq!(troubles(&report(&agent, "check").1)[0], ("tcp", "failed", "connection_refused"));

    for (web, line, code) in [
        (Web::page(Some(&authority.certify(&["127.0.0.1"])), "302 Found"), "central", "sign_in_page"),
        (Web::page(Some(&authority.certify(&["127.0.0.1"])), "502 Bad Gateway"), "central", "gateway"),
        (Web::page(Some(&other.certify(&["127.0.0.1"])), "200 OK"), "tls", "tls_unknown_issuer"),
        (Web::page(Some(&authority.certify(&["portal.example"])), "200 OK"), "tls", "tls_other_name"),
    ] {
        let agent = agent_trusting(&authority, &web.url());
        let (exit, report) = report(&agent, "check");
        assert_eq!((exit, troubles(&report)[0]), (4, (line, "failed", code)));
    }

    let agent = Agent::new(&format!("https://{}", no_name()));
    let (exit, report) = report(&agent, "doctor");
    assert_eq!((exit, troubles(&report)[0]), (4, ("dns", "failed", "no_address")));
    assert!(names(&report).ends_with(&["disk_space", "permissions", "daemon"]), "the device is looked at all the same");
}

#[test]
fn a_clock_that_differs_from_central_s_is_told() {
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);
    for (date, exit, expected) in [
        (http_date(now), 0, None),
        (http_date(now - hour), 0, Some(("clock", "warning", "clock_skewed"))),
        (http_date(now + 2 * 24 * hour), 1, Some(("clock", "failed", "clock_wrong"))),
    ] {
        let web = Web::json(None, &date, &hello(1));
        let (status, report) = report(&Agent::new(&web.url()), "check");

        let clock = troubles(&report).into_iter().find(|(name, ..)| *name == "clock");
        assert_eq!((status, clock), (exit, expected), "{date}");
    }
}

#[test]
fn a_certificate_that_ends_within_days_is_warned_of() {
    let authority = Authority::new("Ours");
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let soon = since_1970 + Duration::from_secs(5 * 86_400);
    let text = date_text(u64::try_from(soon.as_millis()).unwrap());
    let mut parts = text.split(['-', 'T']).map(|part| part.parse().ok());
    let mut part = || parts.next().unwrap().unwrap();
    let until: Day = (part(), u8::try_from(part()).unwrap(), u8::try_from(part()).unwrap());
    let certificate = authority.certify_between(&["127.0.0.1"], ((2020, 1, 1), until));
    let web = Web::json(Some(&certificate), &http_date(SystemTime::now()), &hello(1));

    let (exit, report) = report(&agent_trusting(&authority, &web.url()), "check");

    assert_eq!((exit, troubles(&report)[0]), (0, ("tls", "warning", "certificate_ends_soon")));
}

#[test]
fn another_central_and_a_newer_one_are_told() {
    let authority = Authority::new("Ours");
    let (first, second) = (central(&authority), central(&authority));
    let agent = agent_trusting(&authority, &first.url());
    agent.enrol(&first, "north");
    let ca_file = agent.file("authority.pem", authority.pem());
    agent.set_central(&second.url(), &format!("ca_file = \"{}\"", ca_file.display()));
    let (exit, other) = report(&agent, "check");
    assert_eq!((exit, troubles(&other)), (5, vec![("central_key", "failed", "other_central_key")]));
    let advice = line(&other, "central_key")["advice"].as_str().unwrap();
    assert!(advice.starts_with("Do not sync") && !advice.contains("Nothing is sent"), "{advice}");

    let newer = Web::json(None, &http_date(SystemTime::now()), &hello(9));
    let (exit, newer) = report(&Agent::new(&newer.url()), "check");
    assert_eq!((exit, troubles(&newer)[0]), (5, ("protocol", "failed", "version")));
}

#[test]
fn settings_that_cannot_be_used_or_name_no_central_are_the_only_trouble() {
    let agent = Agent::new("http://127.0.0.1:1");
    std::fs::write(agent.settings(), "[central]\nurl = \"http://10.0.0.1\"").unwrap();
    for verb in ["check", "doctor"] {
        let (exit, report) = report(&agent, verb);
        assert_eq!((exit, troubles(&report)), (6, vec![("configuration", "failed", "config_central_url")]));
    }
    std::fs::write(agent.settings(), "[central]\nurl = \"https://user:hunter2@localhost\"").unwrap();
    for verb in ["check", "status"] {
        let output = agent.run(&[verb], "");
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        assert!(said.contains("config_central_url") && said.contains("https://...@localhost"), "{verb}: {said}");
        assert!(!said.contains("hunter2") && !said.contains("user:"), "{verb}: {said}");
    }
    std::fs::write(agent.settings(), format!("data_folder = \"{}\"", agent.data().display())).unwrap();
    let (exit, report) = report(&agent, "check");
    assert_eq!((exit, troubles(&report)[0]), (6, ("configuration", "failed", "no_central")));
}

#[test]
fn a_key_that_others_may_read_is_named() {
    let authority = Authority::new("Ours");
    let central = central(&authority);
    let agent = agent_trusting(&authority, &central.url());
    agent.enrol(&central, "north");
    let key = agent.data().join("identity/key");
    set_mode(&key, 0o644);

    let (exit, report) = report(&agent, "doctor");

    assert_eq!(exit, 6);
    let found = troubles(&report);
    assert!(found.contains(&("permissions", "failed", "file_mode")), "{found:?}");
    assert!(found.contains(&("enrolment", "failed", "file_mode")), "{found:?}");
    assert!(report.to_string().contains(key.to_str().unwrap()));
}

/// Everything in a folder that others than its owner may use, the folder too.
fn open_to_others(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_path_buf()];
    while let Some(path) = left.pop() {
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_folder_that_was_there_before_and_all_that_is_made_in_it_are_this_user_s_alone() {
    let authority = Authority::new("Ours");
    let central = central(&authority);
    let mut agent = agent_trusting(&authority, &central.url());
    std::fs::create_dir(agent.data()).unwrap();
    set_mode(&agent.data(), 0o755);
    agent.enrol(&central, "north");
    agent.ok(&["initialise"]);
    agent.start();
    assert_eq!(open_to_others(&agent.data()), Vec::<std::path::PathBuf>::new());
    agent.kill();

    // As an older agent left it.
    set_mode(&agent.data(), 0o755);
    set_mode(&agent.data().join("local_copy.sqlite"), 0o644);
    let (_, examined) = report(&agent, "doctor");
    assert!(troubles(&examined).contains(&("permissions", "failed", "file_mode")), "{examined}");
    assert!(examined.to_string().contains("local_copy.sqlite"), "{examined}");
    let told = || String::from_utf8(agent.run(&["status"], "").stderr).unwrap().matches("others could use").count();
    // SQLite may keep files beside the local copy, of the same mode.
    assert!(told() >= 2, "folder and local copy");
    assert_eq!(told(), 0, "once");

    assert_eq!(open_to_others(&agent.data()), Vec::<std::path::PathBuf>::new());
    agent.configure_password("north", "any");
    let password = agent.data().with_file_name("configured-password");
    set_mode(&password, 0o644);
    let (exit, examined) = report(&agent, "doctor");
    assert_eq!(exit, 6);
    assert!(examined.to_string().contains(&format!("others may use {}", password.display())), "{examined}");
}

/// The line of this name.
fn line<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut lines = report["lines"].as_array().unwrap().iter();
    lines.find(|line| line["name"] == name).unwrap_or_else(|| panic!("no line {name}: {report}"))
}

#[test]
fn a_device_that_central_would_refuse_is_told_so_without_a_sync_and_nothing_changes() {
    let authority = Authority::new("Ours");
    let central = central(&authority);
    let agent = agent_trusting(&authority, &central.url());
    agent.enrol(&central, "north");
    for _ in 0..3 {
        agent.ok(&["sync"]);
    }
    let token = agent.data().join("identity/token");
    let old = std::fs::read(&token).unwrap();
    for _ in 0..3 {
        agent.ok(&["sync"]);
    }
    let shown = central.json(&["site", "show", "north"]);
    assert!(shown["last_contact"].is_string(), "{shown}");
    for _ in 0..3 {
        let (exit, checked) = report(&agent, "check");
        assert_eq!((exit, troubles(&checked)), (0, vec![]), "{checked}");
        assert!(line(&checked, "last_sync")["text"].as_str().unwrap().starts_with("it went well"), "{checked}");
    }
    assert_eq!(central.json(&["site", "show", "north"]), shown, "a check is no contact");

    // Set back to an older token: the site stops.
    std::fs::write(&token, old).unwrap();
    assert_eq!(agent.fails(&["sync"], ""), (5, "site_stopped".to_owned()));
    let (exit, stopped) = report(&agent, "check");
    assert_eq!(exit, 5);
    let expected = [("enrolment", "failed", "site_stopped"), ("last_sync", "warning", "site_stopped")];
    assert_eq!(troubles(&stopped), expected);
    assert!(line(&stopped, "enrolment")["text"].as_str().unwrap().contains(", since 20"), "{stopped}");
    success(&central.run(&["site", "resume", "north"], ""));
    agent.ok(&["sync"]);
    assert_eq!(report(&agent, "check").0, 0);

    success(&central.run(&["site", "edit", "north", "--name", "south"], ""));
    let (exit, changed) = report(&agent, "doctor");
    assert_eq!(exit, 5);
    assert!(troubles(&changed).contains(&("credentials", "failed", "credentials_changed")), "{changed}");
    success(&central.run(&["site", "edit", "south", "--name", "north"], ""));

    success(&central.run(&["site", "reset-hardware", "north"], ""));
    let (exit, retired) = report(&agent, "check");
    assert_eq!((exit, troubles(&retired)), (5, vec![("enrolment", "failed", "device_retired")]));
}

/// An edit of one of the site's own records.
fn record(agent: &Agent, store: &str, id: &str) {
    let line = json!({"table": "item_line", "op": "upsert", "id": id, "data": {"ID": id, "store_ID": store}});
    agent.record(&line.to_string());
}

/// A device whose folder was put back from a backup after it had sent one more edit, but for its token: with an old one its site would
/// stop first.
fn put_back(central: &Central, authority: &Authority, store: &str) -> Agent {
    let agent = agent_trusting(authority, &central.url());
    agent.enrol(central, "north");
    agent.ok(&["initialise"]);
    record(&agent, store, "before");
    agent.settle();
    let backup = agent.data().with_file_name("backup");
    success(&std::process::Command::new("cp").arg("-a").args([agent.data(), backup.clone()]).output().unwrap());
    record(&agent, store, "sent");
    agent.settle();
    std::fs::copy(agent.data().join("identity/token"), backup.join("identity/token")).unwrap();
    agent.wipe();
    std::fs::rename(backup, agent.data()).unwrap();
    agent
}

/// That `check` and `doctor` fail at the enrolment with a code, and name the cure.
fn fails_at_the_enrolment(agent: &Agent, code: &str) {
    for verb in ["check", "doctor"] {
        let (exit, report) = report(agent, verb);
        assert_eq!((exit, troubles(&report)[0]), (5, ("enrolment", "failed", code)), "{verb}");
        assert!(line(&report, "enrolment")["advice"].as_str().unwrap().contains("`outpost recover`"), "{report}");
    }
}

#[test]
fn a_device_that_was_put_back_fails_with_the_code_of_its_syncs_until_it_has_recovered() {
    // The tester's device heard "central takes it" from `check`, and `fork` from each sync with the advice to tell somebody.
    let authority = Authority::new("Ours");
    let data = central_data(5, 1);
    let central = Central::encrypted(&data.lines, &authority.certify(&["127.0.0.1"]));
    let store = &data.stores[0];
    central.add_site("north", &[store]);
    let agent = put_back(&central, &authority, store);

    fails_at_the_enrolment(&agent, "device_set_back");
    record(&agent, store, "other");
    fails_at_the_enrolment(&agent, "fork");
    let output = agent.run(&["sync", "--json"], "");
    let synced: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), synced["failure"]["code"].as_str()), (Some(5), Some("fork")), "{synced}");
    assert!(synced["failure"]["advice"].as_str().unwrap().contains("run `outpost recover`"), "{synced}");

    // Central cannot see it by the end of the journal any more, and a sync that does not reach it says nothing new.
    record(&agent, store, "more");
    fails_at_the_enrolment(&agent, "fork");
    let ca_file = format!("ca_file = \"{}\"", agent.file("authority.pem", authority.pem()).display());
    agent.set_central(&format!("https://{}", no_name()), &ca_file);
    assert_eq!(agent.fails(&["sync"], "").0, 4);
    agent.set_central(&central.url(), &ca_file);
    fails_at_the_enrolment(&agent, "fork");

    let password = agent.file("site-password", &password("north"));
    set_mode(&password, 0o600);
    agent.json(&["recover", "--yes", "--password-file", password.to_str().unwrap()]);
    agent.settle();
    let (exit, checked) = report(&agent, "check");
    assert_eq!((exit, troubles(&checked)), (0, vec![]));
}

#[test]
fn a_device_that_syncs_beside_a_check_is_never_taken_for_one_that_was_put_back() {
    let authority = Authority::new("Ours");
    let data = central_data(5, 1);
    let central = Central::encrypted(&data.lines, &authority.certify(&["127.0.0.1"]));
    central.add_site("north", &[&data.stores[0]]);
    let mut agent = agent_trusting(&authority, &central.url());
    agent.enrol(&central, "north");
    agent.ok(&["initialise"]);
    agent.start();
    for number in 0..10 {
        std::thread::scope(|threads| {
            threads.spawn(|| {
                record(&agent, &data.stores[0], &format!("line-{number}"));
                agent.ok(&["sync"]);
            });
            let (exit, checked) = report(&agent, "check");
            assert_eq!((exit, troubles(&checked)), (0, vec![]), "{checked}");
        });
    }
}

#[test]
fn a_journal_that_was_put_back_alone_is_no_device_that_was_put_back() {
    let authority = Authority::new("Ours");
    let data = central_data(5, 1);
    let central = Central::encrypted(&data.lines, &authority.certify(&["127.0.0.1"]));
    central.add_site("north", &[&data.stores[0]]);
    let agent = agent_trusting(&authority, &central.url());
    agent.enrol(&central, "north");
    agent.ok(&["initialise"]);
    record(&agent, &data.stores[0], "before");
    let (journal, backup) = (agent.data().join("journal"), agent.data().with_file_name("backup"));
    success(&std::process::Command::new("cp").arg("-a").args([&journal, &backup]).output().unwrap());
    record(&agent, &data.stores[0], "sent");
    agent.settle();
    std::fs::remove_dir_all(&journal).unwrap();
    std::fs::rename(backup, journal).unwrap();

    // The agent goes on by itself, under another id: a recovery would be the wrong advice.
    let (exit, checked) = report(&agent, "check");
    assert_eq!((exit, troubles(&checked)), (0, vec![]));
    assert_eq!(agent.settle()["outcome"], "drained");
}

#[test]
fn a_folder_whose_identity_is_gone_fails_as_every_other_verb_does() {
    // `check` said to enrol, and `enrol` refused with `identity_missing`.
    let authority = Authority::new("Ours");
    let central = central(&authority);
    let agent = agent_trusting(&authority, &central.url());
    agent.enrol(&central, "north");
    agent.ok(&["initialise"]);
    std::fs::remove_file(agent.data().join("identity/identity")).unwrap();

    for verb in ["check", "doctor"] {
        let (exit, report) = report(&agent, verb);
        assert_eq!((exit, troubles(&report)[0]), (7, ("enrolment", "failed", "identity_missing")), "{verb}");
        let advice = line(&report, "enrolment")["advice"].as_str().unwrap();
        assert!(advice.starts_with("Put the folder back") && advice.contains("outpost salvage"), "{advice}");
    }
    assert_eq!(agent.fails(&["sync"], ""), (7, "identity_missing".to_owned()));
}

#[test]
fn a_folder_on_other_hardware_fails_at_the_binding() {
    let authority = Authority::new("Ours");
    let central = central(&authority);
    let agent = agent_trusting(&authority, &central.url());
    agent.enrol(&central, "north");
    agent.set_hardware(CHIP, "another chip");
    agent.set_hardware(BOARD, "another board");

    let (exit, checked) = report(&agent, "check");

    assert_eq!((exit, troubles(&checked)), (5, vec![("binding", "failed", "hardware_changed")]));
}

#[test]
fn the_clock_of_a_sign_in_page_says_nothing() {
    let date = http_date(SystemTime::now() + Duration::from_secs(2 * 86_400));
    let page = format!("200 OK\r\ndate: {date}\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>");
    let web = Web::start(None, &page);

    let (_, checked) = report(&Agent::new(&web.url()), "check");

    assert_eq!(troubles(&checked)[0], ("central", "failed", "sign_in_page"));
    assert!(!names(&checked).contains(&"clock"), "{checked}");
}
