//! When the daemon syncs by itself: what the settings, a pause and budgets say of it. Syncing by hand is never held back.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::corpus::{CentralData, edits};
use crate::support::wait_until;
use crate::sync::{central_by_tls, central_with_sites};

/// A device whose daemon syncs by these settings.
fn scheduled(schedule: &str) -> (Central, CentralData, Agent) {
    let (central, data) = central_with_sites(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    set_schedule(&agent, schedule);
    (central, data, agent)
}

fn set_schedule(agent: &Agent, schedule: &str) {
    let settings = std::fs::read_to_string(agent.settings()).unwrap();
    let (before, _) = settings.split_once("[schedule]").unwrap();
    std::fs::write(agent.settings(), format!("{before}[schedule]\n{schedule}\n")).unwrap();
}

fn record(agent: &Agent, data: &CentralData, seed: u64) {
    agent.record(&edits(&data.stores[0], &data.items, &data.names, 20, seed));
}

fn status(agent: &Agent) -> Value {
    agent.json(&["status"])
}

fn pending(agent: &Agent) -> u64 {
    status(agent)["pending"]["edits"].as_u64().unwrap()
}

#[test]
fn a_pause_is_durable_holds_the_schedule_and_lets_a_sync_by_hand_through() {
    let (_central, data, mut agent) = scheduled("interval_s = 1\njitter_percent = 0");
    // Without a daemon it is noted all the same.
    let paused = agent.json(&["pause"]);
    assert_eq!(paused["pause"]["until_ms"], Value::Null);
    agent.start();
    record(&agent, &data, 1);

    let told = status(&agent);
    assert_eq!((&told["next_sync_ms"], &told["next_sync_reason"]), (&Value::Null, &"paused".into()));
    assert!(agent.ok(&["status"]).contains("\npaused !      without an end since "), "{}", agent.ok(&["status"]));
    assert!(pending(&agent) > 0);
    agent.settle();
    assert_eq!(pending(&agent), 0);

    // Also over a kill.
    agent.kill();
    agent.start();
    record(&agent, &data, 2);
    assert_eq!(status(&agent)["next_sync_reason"], "paused");
    assert_eq!(agent.json(&["resume"])["was_paused"], true);
    wait_until("the schedule has sent the rest", || pending(&agent) == 0);
    assert_eq!(agent.json(&["resume"])["was_paused"], false);
}

#[test]
fn a_pause_with_an_end_ends_by_itself() {
    let (_central, data, mut agent) = scheduled("interval_s = 1\njitter_percent = 0");
    agent.start();
    agent.ok(&["pause", "--for", "3s"]);
    record(&agent, &data, 1);

    let told = status(&agent);
    assert!(told["pause"].is_null() || told["pause"]["until_ms"].as_u64().is_some(), "{told}");
    wait_until("the pause is over and the edits are sent", || pending(&agent) == 0);
    assert_eq!(status(&agent)["pause"], Value::Null);
}

#[test]
fn a_pause_of_no_length_is_refused_and_changes_nothing() {
    let agent = Agent::new("http://127.0.0.1:1");
    for length in ["0h", "8", "400d", "soon"] {
        assert_eq!(agent.fails(&["pause", "--for", length], ""), (2, "usage_argument".to_owned()), "{length}");
    }
    assert!(!agent.data().exists());
}

#[test]
fn outside_of_its_windows_a_site_syncs_only_when_somebody_asks() {
    let (_central, data, mut agent) = scheduled("interval_s = 1\njitter_percent = 0\nwindows = [\"02:00-05:00\"]");
    // The zone is set so that it is past noon here, whatever time it is.
    agent.start_with(|command| {
        command.env("TZ", zone_with_hour(12));
    });
    record(&agent, &data, 1);

    let told = status(&agent);
    assert_eq!(told["next_sync_reason"], "window", "{told}");
    let (now_ms, next_ms) = (told["last_attempt_ms"].as_u64().unwrap(), told["next_sync_ms"].as_u64().unwrap());
    assert!((13 * 3_600_000 - 60_000..=15 * 3_600_000).contains(&(next_ms - now_ms)), "{told}");
    assert!(agent.ok(&["status"]).contains(", when a window opens\n"));
    agent.settle();
    assert_eq!(pending(&agent), 0);

    agent.signal("TERM");
    agent.wait();
    agent.start_with(|command| {
        command.env("TZ", zone_with_hour(3));
    });
    record(&agent, &data, 2);
    wait_until("the edits are sent within the window", || pending(&agent) == 0);
}

#[test]
fn an_edit_brings_a_sync_where_the_settings_say_so() {
    let (_central, data, mut agent) =
        scheduled("interval_s = 86400\njitter_percent = 0\nafter_edit_s = 1\ngap_min_s = 0");
    agent.start();
    wait_until("the first sync is over", || status(&agent)["next_sync_reason"] == "interval");

    record(&agent, &data, 1);

    wait_until("the edits are sent", || pending(&agent) == 0);
}

#[test]
fn bytes_that_are_used_up_hold_the_schedule_and_not_a_sync_by_hand() {
    let (_central, data, mut agent) = scheduled("interval_s = 1\njitter_percent = 0\nbytes_per_day_max = 100");
    agent.start();
    record(&agent, &data, 1);

    let told = status(&agent);
    assert_eq!(told["next_sync_reason"], "day_bytes_used_up", "initialising has cost more than 100 bytes: {told}");
    assert_eq!(told["bytes"]["day"]["used_up"], true);
    assert!(told["bytes"]["day"]["spent"].as_u64().unwrap() > 100);
    assert!(told["next_sync_ms"].as_u64().unwrap() > told["last_attempt_ms"].as_u64().unwrap());
    assert!(agent.ok(&["status"]).contains(": used up until "));
    let before = told["bytes"]["month"]["spent"].as_u64().unwrap();

    agent.settle();

    assert_eq!(pending(&agent), 0);
    assert!(status(&agent)["bytes"]["month"]["spent"].as_u64().unwrap() > before);
}

#[test]
fn windows_and_budgets_that_are_read_anew_count_at_once() {
    let (_central, data, mut agent) = scheduled("interval_s = 1\njitter_percent = 0\nbytes_per_day_max = 100");
    agent.start_with(|command| {
        command.env("TZ", zone_with_hour(12));
    });
    record(&agent, &data, 1);
    let read_anew = |schedule: &str, reason: &str| {
        set_schedule(&agent, &format!("interval_s = 1\njitter_percent = 0\n{schedule}"));
        agent.signal("HUP");
        wait_until(reason, || status(&agent)["next_sync_reason"] == reason);
    };

    wait_until("the bytes are used up", || status(&agent)["next_sync_reason"] == "day_bytes_used_up");
    read_anew("windows = [\"02:00-05:00\"]", "window");
    assert!(pending(&agent) > 0);
    set_schedule(&agent, "interval_s = 1\njitter_percent = 0");
    agent.signal("HUP");

    wait_until("the edits are sent", || pending(&agent) == 0);
}

#[test]
fn the_bytes_of_a_sync_are_counted_with_their_encryption() {
    let (central, _) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let spent = || status(&agent)["bytes"]["day"]["spent"].as_u64().unwrap();
    let before = spent();

    let synced = agent.json(&["sync"]);

    let counted = spent() - before;
    let inside = synced["bytes_out"].as_u64().unwrap() + synced["bytes_in"].as_u64().unwrap();
    // A certificate and two keys at least.
    assert!(counted > inside + 500, "{counted} bytes for a sync of {inside}");
    assert!(counted < inside + 20_000, "{counted} bytes for a sync of {inside}");
}

#[test]
fn a_network_that_comes_back_ends_the_backoff() {
    // A network of its own, which has not even loopback; everything in it ends with `unshare`.
    let apart = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "--pid", "--fork", "--kill-child", "sh", "-c"]);
        command
    };
    if !apart().arg("ip link set lo up").output().is_ok_and(|output| output.status.success()) {
        eprintln!(
            "SKIPPED: a_network_that_comes_back_ends_the_backoff needs unshare, ip and the right to a network of its own"
        );
        return;
    }
    let (_central, _data, agent) = scheduled(
        "interval_s = 86400\njitter_percent = 0\nbackoff_first_s = 3600\nbackoff_max_s = 3600\ngap_min_s = 0",
    );
    let cable = agent.data().with_file_name("cable");
    let script = format!(
        "{} --config {} run & while [ ! -e {} ]; do sleep 0.1; done; ip link set lo up; wait",
        env!("CARGO_BIN_EXE_outpost"),
        agent.settings().display(),
        cable.display()
    );
    let mut daemon = apart().arg(script).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Without the daemon a verb would take the folder.
    wait_until("the daemon answers", || agent.data().join("agent.sock").exists());
    wait_until("the first sync has failed", || status(&agent)["next_sync_reason"] == "backoff");
    let failed_at_ms = status(&agent)["last_attempt_ms"].as_u64().unwrap();

    std::fs::write(&cable, "").unwrap();

    wait_until("it tries again within seconds instead of an hour", || {
        status(&agent)["last_attempt_ms"].as_u64().unwrap() > failed_at_ms
    });
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

#[test]
fn a_window_that_is_none_is_refused_with_what_is_wrong_with_it() {
    let agent = Agent::new("http://127.0.0.1:1");
    set_schedule(&agent, "windows = [\"22:00-05:00\", \"noon-14:00\"]");

    assert_eq!(agent.fails(&["status"], ""), (6, "config_window".to_owned()));
    let output = agent.run(&["status"], "");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("the window \"noon-14:00\" has the time \"noon\""), "{told}");
}

/// A zone for `TZ` in which it is so many hours past midnight, and some minutes.
fn zone_with_hour(hour: u64) -> String {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let ahead = (hour + 24 - seconds / 3600 % 24) % 24;
    // The sign of POSIX: west is positive. No zone is more than 24 hours away.
    if ahead <= 12 { format!("<here>-{ahead}") } else { format!("<here>+{}", 24 - ahead) }
}
