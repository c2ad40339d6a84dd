//! The agent as a service: under a real runit, with what systemd says to its unit, and with a socket that hears what a
//! supervisor is told.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::corpus::edits;
use crate::support::link::{Link, Mood};
use crate::support::supervisor::{Notified, Runit, are_there, user};
use crate::support::{success, wait_until};
use crate::sync::{STORE_TABLES, central_with_sites, same_records};

/// An address at which nobody listens.
const NOWHERE: &str = "http://127.0.0.1:9";

fn pending(agent: &Agent) -> u64 {
    agent.json(&["status"])["pending"]["edits"].as_u64().unwrap()
}

/// The process that has the data folder.
fn process(agent: &Agent) -> String {
    std::fs::read_to_string(agent.data().join("lock")).unwrap().trim().to_owned()
}

/// Reads a page of the local interface: its status and all of the answer.
fn page(agent: &Agent, path: &str) -> (String, String) {
    let mut stream = UnixStream::connect(agent.data().join("agent.sock")).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: outpost\r\n\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    (text.split(' ').nth(1).unwrap().to_owned(), text)
}

#[test]
fn a_supervisor_hears_that_the_agent_is_ready_without_a_network_and_all_that_follows() {
    let (central, data) = central_with_sites(5, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    agent.record(&edits(&data.stores[0], &data.items, &data.names, 20, 1));
    let waiting = pending(&agent);
    agent.set_url(NOWHERE);
    let socket = agent.data().with_file_name("notify");
    let mut supervisor = Notified::at(&socket);
    agent.start_with(|command| {
        command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "400000");
    });

    supervisor.until("the agent is ready", |told| told == "READY=1");
    supervisor
        .until("the status counts what waits", |told| told.starts_with(&format!("STATUS={waiting} edits to send;")));
    for _ in 0..3 {
        supervisor.until("the loop turns", |told| told == "WATCHDOG=1");
    }
    agent.signal("USR1");
    supervisor.until("the status says what failed", |told| told.contains("the last try failed: connection_refused"));

    agent.signal("HUP");
    let reloading = supervisor.until("settings are read", |told| told.starts_with("RELOADING=1\nMONOTONIC_USEC="));
    let told_at: f64 = reloading.rsplit('=').next().unwrap().parse().unwrap();
    let up: f64 = std::fs::read_to_string("/proc/uptime").unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((told_at / 1e6 - up).abs() < 60.0, "{reloading}, up {up} s");
    supervisor.until("the agent is ready again", |told| told == "READY=1");
    agent.signal("TERM");
    supervisor.until("the agent stops", |told| told == "STOPPING=1");
    assert_eq!(agent.wait(), 0);
    let heard = supervisor.heard().join("\n");
    assert!(data.items.iter().all(|item| !heard.contains(item.as_str())), "{heard}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_supervisor_may_listen_under_a_name_without_a_file_and_a_watchdog_of_another_process_is_not_fed() {
    let (central, _) = central_with_sites(2, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    let name = format!("outpost-test-{}", std::process::id());
    let mut supervisor = Notified::under(&name);
    agent.start_with(|command| {
        command.env("NOTIFY_SOCKET", format!("@{name}")).env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
    });

    supervisor.until("the agent is ready", |told| told == "READY=1");
    agent.signal("TERM");
    supervisor.until("the agent stops", |told| told == "STOPPING=1");

    assert_eq!(agent.wait(), 0);
    assert!(!supervisor.heard().iter().any(|told| told.contains("WATCHDOG")), "{:?}", supervisor.heard());
}

#[test]
fn settings_are_read_anew_while_the_agent_runs_and_broken_ones_change_nothing() {
    let (central, data) = central_with_sites(5, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    let good = std::fs::read_to_string(agent.settings()).unwrap();
    let log_file = agent.file("log", "");
    agent.start_with(|command| {
        command.stderr(File::create(&log_file).unwrap());
    });
    let log = || std::fs::read_to_string(&log_file).unwrap();
    let read_anew = |agent: &Agent, settings: &str, expected: &str| {
        std::fs::write(agent.settings(), settings).unwrap();
        agent.signal("HUP");
        wait_until(expected, || log().contains(expected));
    };

    read_anew(&agent, &good.replace("manual = true", "manual = maybe"), "those in force stay code=config_syntax");
    read_anew(&agent, &good.replace("manual = true", "manuel = true"), "those in force stay code=config_unknown_key");
    std::fs::remove_file(agent.settings()).unwrap();
    agent.signal("HUP");
    wait_until("a file that is gone is told", || log().contains("those in force stay code=config_unreadable"));
    read_anew(&agent, &good.replace("data_folder = \"", "data_folder = \"/elsewhere"), "at_start=data_folder");
    read_anew(&agent, &good, "the settings were read anew\n");
    agent.record(&edits(&data.stores[0], &data.items, &data.names, 10, 1));
    assert!(pending(&agent) > 0, "nobody has asked for a sync, and the schedule is manual still");

    let scheduled = good.replace("manual = true", "interval_s = 1");
    read_anew(&agent, &scheduled, "the settings were read anew changed=schedule\n");
    wait_until("the schedule counts", || pending(&agent) == 0);
    read_anew(&agent, &format!("log_level = \"error\"\n{scheduled}"), "changed=log_level\n");
    let link = Link::to(central.address(), Mood::Windows { up_ms: 600_000, down_ms: 1, bytes_per_s: 1_000_000 });
    agent.set_url(&link.url());
    agent.signal("HUP");
    agent.ok(&["status"]);
    wait_until("the other address counts", || {
        agent.run(&["sync"], "");
        link.connections() > 0
    });
}

#[test]
fn who_watches_the_agent_gets_its_health_and_its_figures() {
    let (central, data) = central_with_sites(5, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    agent.record(&edits(&data.stores[0], &data.items, &data.names, 20, 1));
    let waiting = pending(&agent);
    agent.start();
    let has = |text: &str, line: &str| text.lines().any(|found| found == line);

    let (status, before) = page(&agent, "/metrics");
    agent.ok(&["sync"]);
    let (_, after) = page(&agent, "/metrics");

    assert_eq!(status, "200");
    assert!(before.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{before}");
    assert!(has(&before, &format!("outpost_pending_records{{state=\"unsent\"}} {waiting}")), "{before}");
    assert!(has(&before, "outpost_syncs_total{outcome=\"drained\"} 0"), "{before}");
    assert!(has(&after, "outpost_pending_records{state=\"unsent\"} 0"), "{after}");
    assert!(has(&after, "outpost_syncs_total{outcome=\"drained\"} 1"), "{after}");
    assert!(has(&after, &format!("outpost_sent_records_total {waiting}")), "{after}");
    assert!(after.contains("\noutpost_last_success_timestamp_seconds 1"), "{after}");
    assert!(!after.contains("outpost_bytes_total{dir=\"out\"} 0\n"), "{after}");
    assert_eq!(page(&agent, "/healthz").0, "200");
    assert_eq!(page(&agent, "/readyz").0, "200");

    // Offline is healthy, and a limit that refuses edits is not ready.
    agent.set_url(NOWHERE);
    let settings = std::fs::read_to_string(agent.settings()).unwrap();
    agent.signal("HUP");
    assert_eq!(page(&agent, "/readyz").0, "200");
    std::fs::write(agent.settings(), format!("{settings}[limits]\ndisk_reserve_bytes = 1099511627776\n")).unwrap();
    agent.signal("HUP");
    wait_until("the limit counts", || page(&agent, "/readyz").0 == "503");
    let (_, refused) = page(&agent, "/readyz");
    assert!(refused.contains("\"code\":\"disk_full\""), "{refused}");
    assert!(has(&page(&agent, "/metrics").1, "outpost_ready 0"));
    assert_eq!(page(&agent, "/healthz").0, "200");
}

#[test]
fn the_journal_gets_levels_and_no_times_and_nobodys_data() {
    let (central, data) = central_with_sites(3, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    let log_file = agent.file("journal", "");
    let stderr = File::create(&log_file).unwrap();
    let found = stderr.metadata().unwrap();
    agent.start_with(|command| {
        command.arg("-vvv").stderr(stderr).env("JOURNAL_STREAM", format!("{}:{}", found.dev(), found.ino()));
    });
    let marker = "Grace Hopper 1906-12-09";
    let line = json!({ "table": "item_line", "op": "upsert", "id": "6F2A1B0C",
        "data": { "ID": "6F2A1B0C", "store_ID": data.stores[0], "note": marker } });
    agent.record(&line.to_string());
    agent.settle();
    assert_eq!(agent.json(&["get", "item_line", "6F2A1B0C"])["data"]["note"], marker);
    agent.signal("TERM");
    assert_eq!(agent.wait(), 0);

    let log = std::fs::read_to_string(&log_file).unwrap();

    assert!(log.lines().count() > 3, "{log}");
    for line in log.lines() {
        let rest = line.strip_prefix('<').and_then(|rest| rest.strip_prefix(['3', '4', '6', '7'])).unwrap_or_default();
        assert!(rest.starts_with('>') && !rest[1..].starts_with(|first: char| first.is_ascii_digit()), "{line}");
    }
    assert!(!log.contains("Hopper") && !log.contains("1906"), "{log}");
}

#[test]
fn runit_keeps_the_agent_alive_and_its_signals_do_what_they_say() {
    if !are_there(&["runsvdir", "sv", "chpst", "svlogd"]) {
        return;
    }
    let (central, data) = central_with_sites(10, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let record = |seed| agent.record(&edits(&data.stores[0], &data.items, &data.names, 100, seed));
    let runit = Runit::start();
    let program = env!("CARGO_BIN_EXE_outpost");

    let installed = runit.service(&agent, "install", &["--program", program, "--user", &user()]);
    assert_eq!(installed["files"].as_array().unwrap().len(), 3);
    let started = runit.service(&agent, "start", &[]);
    assert_eq!(started["running"], true, "{started}");
    agent.wait_until_it_answers();

    // It survives kill -9, and so does what was recorded.
    record(1);
    let (waiting, killed) = (pending(&agent), process(&agent));
    success(&Command::new("kill").args(["-s", "KILL", &killed]).output().unwrap());
    wait_until("runit starts the agent again", || {
        process(&agent) != killed && runit.log().matches("the agent runs").count() == 2
    });
    agent.wait_until_it_answers();
    assert_eq!(pending(&agent), waiting);

    runit.say("1");
    wait_until("SIGUSR1 syncs", || pending(&agent) == 0);

    // Broken settings change nothing, and the process is the same.
    let (good, process_before) = (std::fs::read_to_string(agent.settings()).unwrap(), process(&agent));
    std::fs::write(agent.settings(), format!("{good}\nnonsense")).unwrap();
    runit.say("hup");
    wait_until("the log says so", || runit.log().contains("those in force stay code=config_syntax"));
    std::fs::write(agent.settings(), &good).unwrap();
    record(2);
    runit.say("1");
    wait_until("the settings in force sync", || pending(&agent) == 0);
    assert_eq!(process(&agent), process_before);

    // It stops within five seconds in the middle of a transfer.
    let link = Link::to(central.address(), Mood::Windows { up_ms: 600_000, down_ms: 1, bytes_per_s: 50 });
    agent.set_url(&link.url());
    runit.say("hup");
    wait_until("the slow link counts", || runit.log().contains("changed=central.url"));
    record(3);
    runit.say("1");
    wait_until("bytes are on their way", || link.bytes().0 > 0);
    let began = Instant::now();
    let stopped = runit.service(&agent, "stop", &[]);
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert_eq!(stopped["running"], false, "{stopped}");

    agent.set_url(&central.url());
    assert_eq!(runit.service(&agent, "start", &[])["running"], true);
    agent.wait_until_it_answers();
    agent.settle();
    same_records(&central, &agent, &STORE_TABLES);
    runit.service(&agent, "uninstall", &[]);
    assert!(!runit.path("etc/sv/outpost").exists() && !runit.path("etc/service/outpost").exists());
    assert_eq!(agent.json(&["status"])["daemon"], false, "the data stays");
}

#[test]
fn a_service_whose_files_somebody_changed_is_neither_overwritten_nor_removed() {
    let agent = Agent::new(NOWHERE);
    let root = agent.data().with_file_name("root");
    let root = root.to_str().unwrap();
    let service = |verb| ["service", verb, "--manager", "systemd", "--root", root];
    agent.ok(&service("install"));
    let path = format!("{root}/etc/systemd/system/outpost.service");
    let edited = std::fs::read_to_string(&path).unwrap().replace("MemoryMax=64M", "MemoryMax=96M");
    std::fs::write(&path, &edited).unwrap();

    for verb in ["install", "uninstall"] {
        assert_eq!(agent.fails(&service(verb), ""), (5, "service_file_edited".to_owned()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), edited);
    }
    let output = agent.run(&[&service("status")[..], &["--json"]].concat(), "");
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &status["files"][0]["state"]), (Some(1), &json!("edited")));
    for (arguments, expected) in [
        (&["service", "install", "--root", root][..], (2, "no_init_system")),
        (&["service", "instal"], (2, "usage_argument")),
        (&["service", "install", "--manager", "upstart"], (2, "usage_argument")),
        (&["service", "start", "--print"], (2, "usage_options_together")),
        (&["service", "install", "--manager", "runit", "--user", "no-such-user"], (6, "service_user_missing")),
    ] {
        let (exit, code) = agent.fails(arguments, "");
        assert_eq!((exit, code.as_str()), expected, "{arguments:?}");
    }
}

#[test]
fn systemd_takes_the_unit_and_finds_little_that_it_could_do() {
    /// Largest exposure that `systemd-analyze security` may find; 10 is a service without any walls.
    const EXPOSURE_MAX: f64 = 2.0;
    if !are_there(&["systemd-analyze"]) {
        return;
    }
    let agent = Agent::new(NOWHERE);
    let root = agent.data().with_file_name("root");
    let unit = root.join("etc/systemd/system/outpost.service");
    let program = env!("CARGO_BIN_EXE_outpost");
    let root = root.to_str().unwrap();
    agent.ok(&["service", "install", "--manager", "systemd", "--root", root, "--program", program]);

    let verified = Command::new("systemd-analyze").arg("verify").arg(&unit).output().unwrap();
    let looked = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold=20"])
        .arg(&unit)
        .output()
        .unwrap();

    assert_eq!(success(&verified), "");
    assert_eq!(String::from_utf8_lossy(&verified.stderr), "");
    let found = success(&looked);
    let (_, exposure) = found.split_once("Overall exposure level for outpost.service: ").unwrap();
    let exposure: f64 = exposure.split(' ').next().unwrap().parse().unwrap();
    assert!(exposure <= EXPOSURE_MAX, "{exposure} is above {EXPOSURE_MAX}: {found}");
}

#[test]
fn the_scripts_are_shell_that_a_shell_understands() {
    let agent = Agent::new(NOWHERE);
    for manager in ["openrc", "runit"] {
        let root = agent.data().with_file_name(manager);
        let installed = agent.json(&["service", "install", "--manager", manager, "--root", root.to_str().unwrap()]);
        for file in installed["files"].as_array().unwrap() {
            let checked = Command::new("sh").arg("-n").arg(file["path"].as_str().unwrap()).output().unwrap();
            assert_eq!(success(&checked), "");
        }
    }
}
