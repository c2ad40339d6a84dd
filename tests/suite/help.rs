//! What helps people who look after an agent: its settings, its log, a report for whoever helps, and what a shell completes.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::{success, wait_until};
use crate::sync::central_with_sites;

#[test]
fn settings_are_checked_and_shown_with_where_they_come_from() {
    let agent = Agent::new("http://127.0.0.1:9");
    let good = agent.settings();

    assert!(agent.ok(&["config", "check"]).starts_with(&format!("{} can be used\n", good.display())));
    let bad = agent.file("bad.toml", "log_level = \"info\"\n[schedule]\nintervals = 5\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_outpost"));
    let output = command.args(["config", "check"]).arg(&bad).output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains("bad.toml, line 3, column 1: there is no setting schedule.intervals; did you mean"),
        "{error}"
    );

    let mut command = agent.command(&["config", "show", "--json", "--data", "/elsewhere"]);
    command.env("OUTPOST_SCHEDULE_GAP_MIN_S", "77").env("OUTPOST_CENTRAL_PROXY", "socks5://me:hidden@127.0.0.1:1080");
    let text = success(&command.output().unwrap());
    assert!(!text.contains("hidden"), "{text}");
    let shown: Value = serde_json::from_str(&text).unwrap();
    let setting = |name: &str| shown["settings"].as_array().unwrap().iter().find(|it| it["setting"] == name).unwrap();
    assert_eq!(
        (&setting("data_folder")["value"], &setting("data_folder")["source"]),
        (&json!("/elsewhere"), &json!("command_line"))
    );
    assert_eq!(
        (&setting("schedule.gap_min_s")["value"], &setting("schedule.gap_min_s")["source"]),
        (&json!(77), &json!("environment"))
    );
    assert_eq!(
        (&setting("schedule.manual")["value"], &setting("schedule.manual")["source"]),
        (&json!(true), &json!("file"))
    );
    assert_eq!(setting("schedule.manual")["place"]["path"], good.display().to_string());
    assert_eq!(setting("timeouts.resolve_ms")["source"], "default");
    assert_eq!(setting("central.proxy")["is_redacted"], true);
}

#[test]
fn the_log_of_the_daemon_is_there_where_nobody_kept_its_standard_error() {
    let (central, _) = central_with_sites(5, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    assert_eq!(agent.fails(&["log"], ""), (1, "no_log".to_owned()));
    agent.start();
    let mut following = agent.command(&["log", "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("info: the agent runs version=")));

    agent.ok(&["sync"]);

    assert!(lines.any(|line| line.unwrap().contains("info: synced sent=0")));
    following.kill().unwrap();
    following.wait().unwrap();
    let last = agent.ok(&["log", "--lines", "1", "--json"]);
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(last["level"], "info");
    agent.kill();
    assert!(agent.ok(&["log"]).contains("synced sent=0"), "and without a daemon");
}

#[test]
fn a_report_for_whoever_helps_holds_no_secret_and_nobody_s_name() {
    let (central, data) = central_with_sites(5, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    // Secrets wherever they may lie, and people in records, in the queue and in set-aside.
    agent.configure_password("north", "password-of-the-site");
    let mut settings = std::fs::read_to_string(agent.settings()).unwrap();
    settings.push_str("[local_api]\nlisten = \"127.0.0.1:1\"\n");
    let proxy = "[central]\nproxy = \"http://proxy-name:proxy-password@127.0.0.1:3128\"\n";
    std::fs::write(agent.settings(), settings.replace("[central]\n", proxy)).unwrap();
    agent.record(
        &json!({"table": "item_line", "op": "upsert", "id": "L", "data": {"ID": "L", "store_ID": data.stores[0],
        "item_ID": data.items[0], "batch": "Philomena Quisling"}})
        .to_string(),
    );
    let refused = agent.run(
        &[
            "record",
            "item_line",
            "X",
            &json!({"ID": "X", "store_ID": data.stores[1], "batch": "Zebedee Hargreaves"}).to_string(),
        ],
        "",
    );
    assert_eq!(refused.status.code(), Some(5));
    let token = agent.json(&["client", "add", "marys-laptop"])["token"].as_str().unwrap().to_owned();
    agent.start();
    let _ = agent.run(&["sync"], "");
    wait_until("the agent's own token is made", || agent.data().join("agent.token").exists());
    let own_token = std::fs::read_to_string(agent.data().join("agent.token")).unwrap().trim().to_owned();
    let path = agent.data().join("..").join("report.txt");
    let report = |agent: &Agent, path: &std::path::Path| {
        let mut command = agent.command(&["bugreport"]);
        command
            .arg(path)
            .env("OUTPOST_PASSPHRASE", "words-of-a-passphrase")
            .env("OUTPOST_PASSWORD", "another-password");
        command.output().unwrap()
    };

    let output = report(&agent, &path);

    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert!(told.starts_with("The report holds: "), "{told}");
    let text = std::fs::read_to_string(&path).unwrap();
    for part in
        ["== report\noutpost ", "== device\n", "== settings\n", "== doctor\n", "== verify\n", "== status\n", "== log\n"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(
        text.contains("folder_in_use")
            && text.contains("\"schedule.manual\"")
            && text.contains("the agent runs version=")
    );
    for secret in [
        "password-of-the-site",
        "proxy-name",
        "proxy-password",
        "words-of-a-passphrase",
        "another-password",
        &token[20..],
        &own_token,
        "Philomena",
        "Quisling",
        "Zebedee",
        "Hargreaves",
        "marys-laptop",
    ] {
        assert!(!text.contains(secret), "{secret} is in the report: {text}");
    }
    assert!(text.len() < 1024 * 1024);
    let again = report(&agent, &path);
    assert_eq!(again.status.code(), Some(2), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);

    // Of a stopped agent it says what `verify` finds.
    agent.signal("TERM");
    agent.wait();
    let other = agent.data().join("..").join("other.txt");
    assert!(report(&agent, &other).status.success());
    let text = std::fs::read_to_string(&other).unwrap();
    assert!(text.contains("\"outcome\": \"whole\"") && !text.contains("Quisling"), "{text}");
}

#[test]
fn completions_need_no_settings_and_no_agent() {
    let output = Command::new(env!("CARGO_BIN_EXE_outpost"))
        .args(["completions", "bash", "--config", "/absent"])
        .output()
        .unwrap();

    assert!(success(&output).contains("complete -F _outpost outpost"));
}
