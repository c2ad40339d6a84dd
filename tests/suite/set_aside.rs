//! Refused edits that pile up until nothing more can be recorded, and how somebody gets on.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::{success, wait_until};
use crate::sync::central_with_sites;

/// `SET_ASIDE_MAX` of the local copy.
const SET_ASIDE_MAX: u64 = 10_000;

fn stock(store: &str, id: &str) -> String {
    json!({"table": "item_line", "op": "upsert", "id": id, "data": {"ID": id, "store_ID": store, "quantity": 1}})
        .to_string()
        + "\n"
}

/// A device of which central has refused as many edits as may be set aside: another site had these ids first.
fn full_site() -> (Central, Agent, String) {
    let (central, data) = central_with_sites(5, &["north", "south"]);
    let (north, south) = (Agent::initialised(&central, "north"), Agent::initialised(&central, "south"));
    let lines =
        |store: &str| (0..SET_ASIDE_MAX).map(|number| stock(store, &format!("L{number:05}"))).collect::<String>();
    north.record(&lines(&data.stores[0]));
    north.settle();
    south.record(&lines(&data.stores[1]));
    wait_until("central has refused everything", || {
        south.run(&["sync"], "");
        set_aside(&south) == SET_ASIDE_MAX
    });
    (central, south, data.stores[1].clone())
}

fn set_aside(agent: &Agent) -> u64 {
    agent.json(&["status"])["set_aside"].as_u64().unwrap()
}

fn export(agent: &Agent, name: &str) -> PathBuf {
    let path = agent.settings().with_file_name(name);
    agent.ok(&["set-aside", "export", path.to_str().unwrap()]);
    path
}

fn dismiss_all(file: &Path) -> [&str; 5] {
    ["set-aside", "dismiss", "--all", "--exported-to", file.to_str().unwrap()]
}

#[test]
fn a_full_list_is_exported_and_emptied_and_recording_goes_on() {
    let (central, mut agent, store) = full_site();
    let new = stock(&store, "NEW");
    assert_eq!(agent.fails(&["record", "--file", "-"], &new), (5, "set_aside_full".to_owned()));
    assert!(agent.ok(&["status"]).contains("no edits are taken until there are fewer"));
    let file = export(&agent, "refused.ndjson");

    // A part of the export is not the whole, and an unknown number lets nothing go: directly and through the daemon.
    let whole = std::fs::read_to_string(&file).unwrap();
    let part = agent.file("part.ndjson", whole.split_inclusive('\n').skip(1).collect::<String>().as_str());
    for is_daemon in [false, true] {
        if is_daemon {
            agent.start();
        }
        assert_eq!(agent.fails(&dismiss_all(&part), ""), (5, "not_exported".to_owned()));
        assert_eq!(agent.fails(&["set-aside", "dismiss", "5", "10001"], ""), (2, "set_aside_missing".to_owned()));
        assert_eq!(agent.fails(&["set-aside", "retry", "5", "10001"], ""), (2, "set_aside_missing".to_owned()));
        assert_eq!(set_aside(&agent), SET_ASIDE_MAX);
    }

    // Two fewer are enough to go on, and the export still holds the rest.
    assert_eq!(agent.json(&["set-aside", "dismiss", "1", "10000"]), json!({ "dismissed": 2 }));
    assert_eq!(
        agent.json(&["record", "item_line", "NEW", &format!(r#"{{"ID":"NEW","store_ID":"{store}"}}"#)])["recorded"],
        1
    );

    // Killed with -9 while it dismisses, as soon as some are gone; what is left then goes by the same command.
    agent.signal("TERM");
    assert_eq!(agent.wait(), 0);
    let mut child = agent.command(&dismiss_all(&file)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let rows = agent.data().join("local_copy.sqlite");
    wait_until("some are gone, or all", || {
        count_of(&rows).is_some_and(|count| count < SET_ASIDE_MAX - 2) || child.try_wait().unwrap().is_some()
    });
    let _ = child.kill();
    child.wait().unwrap();
    let left = set_aside(&agent);
    println!("killed with {left} left");
    assert_eq!(agent.json(&dismiss_all(&file)), json!({ "dismissed": left }));

    assert_eq!(set_aside(&agent), 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count() as u64, SET_ASIDE_MAX);
    success(&agent.run(&["verify"], ""));
    agent.record(&stock(&store, "NEWER"));
    assert_eq!(agent.settle()["outcome"], "drained");
    assert!(central.records("item_line").contains_key("NEWER"));
    assert_eq!(set_aside(&agent), 0, "what was dismissed does not come back with a sync");
}

#[test]
fn all_are_retried_through_the_daemon_and_what_central_refuses_again_has_a_number_of_its_own() {
    let (central, data) = central_with_sites(5, &["north", "south"]);
    let (north, mut south) = (Agent::initialised(&central, "north"), Agent::initialised(&central, "south"));
    north.record(&stock(&data.stores[0], "A"));
    north.settle();
    let mine =
        stock(&data.stores[1], "A").replace("\"quantity\":1", r#""quantity":12.30,"note":"Zäpfchen \u00e4\t\"x\"""#);
    south.record(&(mine + &stock(&data.stores[1], "B")));
    south.run(&["sync"], "");
    wait_until("central has refused it", || {
        south.run(&["sync"], "");
        set_aside(&south) == 1
    });
    south.start();

    let retried = south.json(&["set-aside", "retry", "--all"]);
    assert_eq!((&retried["recorded"], &retried["refused_count"]), (&json!(1), &json!(0)), "{retried}");
    assert_eq!(set_aside(&south), 0);
    wait_until("central has refused it again", || {
        south.run(&["sync"], "");
        set_aside(&south) == 1
    });

    let list: Value = south.json(&["set-aside", "list"]);
    assert_eq!(list["refused"][0]["number"], 2, "{list}");
    assert_eq!(south.fails(&["set-aside", "dismiss", "1"], ""), (2, "set_aside_missing".to_owned()));
    // What the daemon exported is the same to the program without a daemon, letter for letter.
    let file = export(&south, "refused.ndjson");
    assert!(std::fs::read_to_string(&file).unwrap().contains("12.30"));
    south.signal("TERM");
    assert_eq!(south.wait(), 0);
    assert!(south.ok(&dismiss_all(&file)).contains("dismissed 1 edit"));
    assert_eq!(set_aside(&south), 0);
}

/// Refused edits in the file, while another program writes it.
fn count_of(file: &Path) -> Option<u64> {
    use sql::SqlExt as _;
    let options = sql::Options::new(outpost::local_copy::APPLICATION_ID, outpost::local_copy::SCHEMA_VERSION);
    let mut sql = sql::SqliteEngine::open(file, &options.read_only()).ok()?;
    Some(sql.query_integer("SELECT count(*) FROM set_aside", &[]).ok()??.cast_unsigned())
}

/// A store at central is written by central, at a site by that site alone: what was too late is looked at, and applied where it may be.
#[test]
fn what_came_too_late_is_shown_beside_the_record_and_applied_where_central_may() {
    let store = |id: &str| crate::patients::edit("store", "upsert", id, &json!({"code": id, "store_mode": "store"}));
    let central = Central::with_data(&(store("A") + &store("B")));
    central.add_site("north", &["A"]);
    central.add_site("south", &["B"]);
    let [north, south] = ["north", "south"].map(|name| Agent::initialised(&central, name));
    let location =
        |code: &str| crate::patients::edit("Location", "upsert", "L", &json!({"store_ID": "A", "code": code}));
    north.record(&location("first"));
    north.settle();
    let link = crate::support::link::Link::to(central.address(), crate::support::link::Mood::Down);
    north.set_url(&link.url());
    north.record(&location("late"));
    north.record(&crate::patients::edit("Location", "put", "M", &json!({"store_ID": "A", "code": "new"})));
    success(&central.run(&["store", "add", "A", "--site", "south", "--at-once"], ""));
    link.set(crate::support::link::Mood::Good);
    north.run(&["sync"], "");
    north.run(&["sync"], "");

    let listed = central.json(&["set-aside", "list", "north"])["set_aside"].clone();
    let places: Vec<&str> = listed.as_array().unwrap().iter().map(|item| item["place"].as_str().unwrap()).collect();
    assert_eq!((places.len(), &listed[0]["kind"]), (2, &json!("late")), "{listed}");
    let shown = central.json(&["set-aside", "show", "north", places[0]]);
    assert_eq!(shown["differs"], json!([{"column": "code", "current": "first", "edit": "late"}]), "{shown}");
    assert_eq!((&shown["state"], &shown["store"], &shown["active_at"]), (&json!("here"), &json!("A"), &json!(3)));
    let text = success(&central.run(&["set-aside", "show", "north", places[0]], ""));
    assert!(text.contains("of store A, active at site 3") && text.contains("COLUMN"), "{text}");
    let own = north.ok(&["set-aside", "show", "1"]);
    assert!(own.contains("the record is"), "{own}");

    let refused = central.run(&["set-aside", "apply", "north", places[0], "--json"], "");
    assert_eq!(refused.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not_store_holder"));
    success(&central.run(&["store", "remove", "A", "--at-once"], ""));
    success(&central.run(&["set-aside", "apply", "north", places[0]], ""));
    assert_eq!(central.records("Location")["L"]["code"], "late");
    assert_eq!(success(&central.run(&["set-aside", "dismiss", "north", "--all"], "")), "dismissed 1\n");
    assert_eq!(central.json(&["set-aside", "list", "north"])["set_aside"], json!([]));
    assert_eq!(success(&central.run(&["set-aside", "apply", "north", "--all"], "")), "applied 0\n");
    drop(south);
}
