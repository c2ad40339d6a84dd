//! A store moves between sites, as the people at both and an administrator at central see it: one site alone records in it, and what was
//! recorded in time is nowhere lost.

use serde_json::{Value, json};

use crate::central_set_back::{backup, restore, stock};
use crate::patients::edit;
use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::link::{Link, Mood};
use crate::support::{success, wait_until};

fn store(id: &str, mode: &str) -> String {
    edit("store", "upsert", id, &json!({"code": id, "store_mode": mode}))
}

/// Central with a store at each of two sites, of which the first has recorded something.
pub fn north_and_south() -> (Central, [Agent; 2]) {
    let central = Central::with_data(&(store("A", "store") + &store("B", "store")));
    central.add_site("north", &["A"]);
    central.add_site("south", &["B"]);
    let [north, south] = ["north", "south"].map(|name| Agent::initialised(&central, name));
    north.record(&stock("A", "sent", 1));
    north.settle();
    south.settle();
    (central, [north, south])
}

/// What a verb prints for people.
pub fn told(central: &Central, arguments: &[&str]) -> String {
    success(&central.run(arguments, ""))
}

/// The code with which central refuses a verb.
pub fn refused(central: &Central, arguments: &[&str]) -> String {
    let output = central.run(&[arguments, &["--json"]].concat(), "");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{arguments:?}: {error}");
    let error: Value = serde_json::from_str(error.lines().last().unwrap()).unwrap();
    error["error"]["code"].as_str().unwrap().to_owned()
}

/// Stores on their way: where from, where to, how far, and who is waited for.
pub fn moves(central: &Central) -> Vec<Value> {
    let moves = central.json(&["store", "moves"])["moves"].clone();
    let fields = ["store", "from", "to", "phase", "waits_for_site"];
    moves.as_array().unwrap().iter().map(|moving| fields.iter().map(|field| moving[*field].clone()).collect()).collect()
}

/// Where a store is active, under which number, and where it goes.
fn holder(central: &Central, store: &str) -> [Value; 3] {
    let stores = central.json(&["store", "list"])["stores"].clone();
    let found = stores.as_array().unwrap().iter().find(|found| found["id"] == store).unwrap().clone();
    ["site", "ownership", "moves_to"].map(|field| found[field].clone())
}

/// The stores in which a device may record.
fn writes(agent: &Agent) -> Vec<Value> {
    let grants = agent.json(&["status"])["grants"].clone();
    grants.as_array().unwrap().iter().map(|grant| grant["store"].clone()).collect()
}

/// The ids that a side lists of a store's stock.
fn ids(records: std::collections::BTreeMap<String, Value>) -> Vec<String> {
    records.into_keys().collect()
}

/// Syncs, whatever central refuses and however often it asks for another one.
fn sync(agent: &Agent) {
    agent.run(&["sync"], "");
}

/// Lets each of the devices sync in turn until something is so.
pub fn sync_until(what: &str, agents: &[&Agent], mut holds: impl FnMut() -> bool) {
    wait_until(what, || {
        let is_so = holds();
        if !is_so {
            for agent in agents {
                sync(agent);
            }
        }
        is_so
    });
}

#[test]
fn a_store_goes_to_another_site_with_what_its_device_recorded_offline_and_comes_back_with_what_the_other_recorded() {
    let (central, [north, south]) = north_and_south();
    let link = Link::to(central.address(), Mood::Down);
    north.set_url(&link.url());
    north.record(&stock("A", "before", 2));

    let answer = told(&central, &["store", "add", "A", "--site", "south"]);
    assert!(answer.starts_with("store A goes to site 3 south once site 2 north has heard of it"), "{answer}");
    assert!(answer.contains("`store call-off A`"), "{answer}");
    assert_eq!(moves(&central), [json!(["A", 2, 3, "draining", 2])]);
    assert_eq!(holder(&central, "A"), [json!(2), json!(1), json!(3)]);
    let status = told(&central, &["status"]);
    let moving = status.lines().find(|line| line.starts_with("MOVING since ")).unwrap_or_else(|| panic!("{status}"));
    assert!(
        moving.contains(": store A from site 2 to site 3, draining: ") && moving.ends_with("waits for site 2"),
        "{moving}"
    );
    for explained in [&["explain", "A"][..], &["explain", "item_line", "sent"]] {
        let explained = told(&central, explained);
        assert!(explained.lines().any(|line| line.starts_with("moves ") && line.contains("to site 3")), "{explained}");
    }
    // It cannot know: what it records still is in time.
    north.record(&stock("A", "offline", 3));
    south.settle();
    assert_eq!(writes(&south), ["B"]);
    assert_eq!(moves(&central), [json!(["A", 2, 3, "draining", 2])], "nobody but north is waited for");

    link.set(Mood::Good);
    north.settle();
    assert_eq!(writes(&north), [] as [&str; 0]);
    assert_eq!(north.json(&["status"])["leaving_stores"], json!(["A"]));
    let status = north.ok(&["status"]);
    assert!(status.contains("\nleaving ") && status.contains("A: it goes to another site"), "{status}");
    assert_eq!(ids(north.records("item_line")), ["before", "offline", "sent"], "it can be read until it is gone");
    let output = north.run(&["record", "--file", "-"], &stock("A", "late", 4));
    let words = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(5), "{words}");
    assert!(words.contains("store A") && words.contains("not_store_holder"), "{words}");
    assert_eq!(ids(central.records("item_line")), ["before", "offline", "sent"]);

    sync_until("south is waited for", &[&north], || moves(&central) == [json!(["A", 2, 3, "filling", 3])]);
    assert_eq!(holder(&central, "A"), [json!(3), json!(2), json!(3)]);
    let explained = told(&central, &["explain", "A"]);
    assert!(explained.contains("nobody writes it until that site has read all of it"), "{explained}");
    assert_eq!(writes(&south), ["B"]);
    sync_until("it is there", &[&south], || moves(&central) == [] as [Value; 0]);
    south.settle();

    assert_eq!(writes(&south), ["A", "B"]);
    assert_eq!(ids(south.records("item_line")), ["before", "offline", "sent"]);
    assert_eq!(holder(&central, "A"), [json!(3), json!(2), Value::Null]);
    assert!(!told(&central, &["status"]).contains("MOVING"));
    assert!(!told(&central, &["explain", "A"]).contains("\nmoves "));
    north.settle();
    assert_eq!(ids(north.records("item_line")), [""; 0]);
    let status = north.json(&["status"]);
    assert_eq!((&status["leaving_stores"], &status["set_aside"]), (&json!([]), &json!(0)), "{status}");
    assert_eq!(north.fails(&["list", "item_line", "--store", "A"], "").1, "store_not_here");
    south.record(&(stock("A", "sent", 9) + &stock("A", "south", 5)));
    south.settle();
    assert_eq!(central.records("item_line")["sent"]["quantity"], 9);

    // And back, with what south has not sent yet.
    south.record(&stock("A", "unsent", 6));
    told(&central, &["store", "add", "A", "--site", "north"]);
    sync_until("it is back", &[&south, &north], || moves(&central) == [] as [Value; 0]);
    north.settle();
    south.settle();
    assert_eq!(holder(&central, "A"), [json!(2), json!(3), Value::Null]);
    assert_eq!((writes(&north), writes(&south)), (vec![json!("A")], vec![json!("B")]));
    assert_eq!(ids(north.records("item_line")), ["before", "offline", "sent", "south", "unsent"]);
    assert_eq!(ids(south.records("item_line")), [""; 0]);
    north.record(&stock("A", "unsent", 7));
    north.settle();
    assert_eq!(central.records("item_line"), north.records("item_line"));
    for agent in [&north, &south] {
        assert_eq!(agent.json(&["set-aside", "list"])["refused"], json!([]));
    }
}

#[test]
fn a_store_that_goes_at_once_leaves_what_was_not_sent_in_set_aside_on_both_sides() {
    let (central, [north, south]) = north_and_south();
    north.record(&(stock("A", "sent", 2) + &stock("A", "unsent", 2)));

    let answer = told(&central, &["store", "add", "A", "--site", "south", "--at-once"]);
    assert!(answer.starts_with("store A is active at site 3 south once it has read all of the store"), "{answer}");
    sync_until("it is there", &[&south], || moves(&central) == [] as [Value; 0]);
    south.settle();
    assert_eq!(writes(&south), ["A", "B"]);
    south.record(&stock("A", "sent", 7));
    south.settle();

    // The old device has heard nothing: what it goes on recording is refused with the rest.
    north.record(&stock("A", "unheard", 2));
    assert_eq!(north.run(&["sync"], "").status.code(), Some(3));
    sync_until("north has its verdicts", &[&north], || north.json(&["status"])["set_aside"] == 3);
    let here = north.json(&["set-aside", "list"])["refused"].clone();
    let there = central.json(&["set-aside", "list", "north"])["set_aside"].clone();
    for (side, refused) in [("north", &here), ("central", &there)] {
        let refused = refused.as_array().unwrap();
        let ids: Vec<_> = refused.iter().map(|edit| edit["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["sent", "unsent", "unheard"], "{side}");
        assert!(refused.iter().all(|edit| edit["code"] == "not_store_holder"), "{side}: {refused:?}");
    }
    let edits = told(&central, &["set-aside", "list", "north", "--edits"]);
    assert_eq!(edits.lines().count(), 3, "{edits}");
    let explained = told(&central, &["explain", "item_line", "sent"]);
    assert!(explained.contains("not_store_holder"), "{explained}");
    north.settle();
    assert_eq!((writes(&north), writes(&south)), (vec![], vec![json!("A"), json!("B")]));
    assert_eq!(ids(north.records("item_line")), [""; 0]);
    assert_eq!(north.fails(&["record", "--file", "-"], &stock("A", "late", 2)), (5, "not_store_holder".to_owned()));
    south.settle();
    assert_eq!(ids(central.records("item_line")), ["sent"]);
    assert_eq!(central.records("item_line"), south.records("item_line"));
    // Somebody at the new site records what is needed of it.
    south.record(
        &edits.lines().filter(|line| line.contains("unheard")).fold(String::new(), |lines, line| lines + line + "\n"),
    );
    south.settle();
    assert_eq!(ids(central.records("item_line")), ["sent", "unheard"]);
}

#[test]
fn a_move_that_is_called_off_leaves_the_store_at_its_site_with_what_it_recorded() {
    let (central, [north, south]) = north_and_south();
    told(&central, &["store", "add", "A", "--site", "south"]);
    north.record(&stock("A", "unsent", 2));
    north.settle();
    assert_eq!(writes(&north), [] as [&str; 0]);

    let answer = told(&central, &["store", "call-off", "A"]);

    assert!(answer.starts_with("store A stays at site 2 north, which edits it again once"), "{answer}");
    sync_until("it is at north", &[&north, &south], || moves(&central) == [] as [Value; 0]);
    north.settle();
    assert_eq!(holder(&central, "A"), [json!(2), json!(2), Value::Null]);
    assert_eq!((writes(&north), writes(&south)), (vec![json!("A")], vec![json!("B")]));
    assert_eq!(north.json(&["status"])["leaving_stores"], json!([]));
    north.record(&stock("A", "after", 3));
    north.settle();
    assert_eq!(ids(central.records("item_line")), ["after", "sent", "unsent"]);
    assert_eq!(central.records("item_line"), north.records("item_line"));
    assert_eq!(ids(south.records("item_line")), [""; 0]);

    // Also once south holds it and has not read it.
    told(&central, &["store", "add", "A", "--site", "south"]);
    sync_until("south is waited for", &[&north], || moves(&central) == [json!(["A", 2, 3, "filling", 3])]);
    told(&central, &["store", "call-off", "A"]);
    assert_eq!(moves(&central)[0][2], 2);
    sync_until("it is at north", &[&south, &north], || moves(&central) == [] as [Value; 0]);
    north.settle();
    south.settle();
    assert_eq!((writes(&north), writes(&south)), (vec![json!("A")], vec![json!("B")]));
    assert_eq!(ids(north.records("item_line")), ["after", "sent", "unsent"]);
    assert_eq!(refused(&central, &["store", "call-off", "A"]), "store_does_not_move");
}

#[test]
fn a_store_that_was_taken_to_central_is_written_there_and_goes_on_to_another_site() {
    let (central, [north, south]) = north_and_south();
    north.record(&stock("A", "unsent", 2));
    assert_eq!(central.run(&["import", "-"], &stock("A", "central", 3)).status.code(), Some(5));

    let answer = told(&central, &["store", "remove", "A"]);
    assert!(answer.contains("once site 2 north has heard of it"), "{answer}");
    assert_eq!(central.run(&["import", "-"], &stock("A", "central", 3)).status.code(), Some(5));
    sync_until("it is at central", &[&north], || moves(&central) == [] as [Value; 0]);

    assert_eq!(holder(&central, "A"), [json!(1), json!(2), Value::Null]);
    let explained = told(&central, &["explain", "A"]);
    assert!(
        explained.contains("written by central: no site holds it") && explained.contains("store remove"),
        "{explained}"
    );
    central.import(&(stock("A", "central", 3) + &stock("A", "sent", 3)));
    north.settle();
    assert_eq!(ids(north.records("item_line")), [""; 0]);
    assert_eq!(north.fails(&["record", "--file", "-"], &stock("A", "late", 2)), (5, "not_store_holder".to_owned()));

    let answer = told(&central, &["store", "add", "A", "--site", "south"]);
    assert!(answer.contains("until then nobody edits it"), "{answer}");
    assert_eq!(moves(&central), [json!(["A", 1, 3, "filling", 3])]);
    assert_eq!(told(&central, &["store", "call-off", "A"]), "store A is active at site 1 central\n");
    assert_eq!(holder(&central, "A"), [json!(1), json!(4), Value::Null]);
    told(&central, &["store", "add", "A", "--site", "south"]);
    let output = central.run(&["import", "-"], &stock("A", "central", 4));
    assert_eq!(output.status.code(), Some(5), "nobody writes it meanwhile: {output:?}");
    sync_until("it is at south", &[&south], || moves(&central) == [] as [Value; 0]);
    south.settle();
    assert_eq!(holder(&central, "A"), [json!(3), json!(5), Value::Null]);
    south.record(&stock("A", "south", 5));
    south.settle();
    assert_eq!(ids(central.records("item_line")), ["central", "sent", "south", "unsent"]);
    assert_eq!(central.records("item_line"), south.records("item_line"));
}

#[test]
fn a_store_that_cannot_move_is_refused_with_the_reason_and_nothing_changes() {
    let (central, [north, _south]) = north_and_south();
    let more = ["M", "N", "D", "K"].map(|id| store(id, if id == "D" { "dispensary" } else { "store" }));
    central.import(&more.concat());
    let password = central.password_file("tablet");
    let mobile = ["--type", "mobile", "--store", "M", "--password-file", password.to_str().unwrap()];
    told(&central, &[&["site", "add", "tablet"][..], &mobile].concat());
    for store in ["D", "K"] {
        told(&central, &["store", "add", store, "--site", "north"]);
    }
    told(&central, &["preference", "set", "include-transactions", "off", "--store", "D"]);
    told(&central, &["store", "set-role", "K", "--site", "central", "transfer"]);
    north.settle();
    let stores = central.json(&["store", "list"]);

    for (arguments, code) in [
        (&["store", "add", "A", "--site", "nowhere"][..], "unknown_site"),
        (&["store", "add", "nothing", "--site", "south"], "unknown_store"),
        (&["store", "remove", "nothing"], "unknown_store"),
        (&["store", "add", "A", "--site", "tablet"], "mobile_site_has_store"),
        (&["store", "add", "N", "--site", "tablet", "--at-once"], "mobile_site_has_store"),
        (&["store", "add", "D", "--site", "south"], "data_withheld"),
        (&["store", "remove", "D", "--at-once"], "data_withheld"),
        (&["store", "add", "K", "--site", "south"], "data_withheld"),
        (&["store", "call-off", "A"], "store_does_not_move"),
        (&["store", "call-off", "nothing"], "store_does_not_move"),
    ] {
        assert_eq!(refused(&central, arguments), code, "{arguments:?}");
    }
    assert_eq!(central.run(&["store", "add", "A"], "").status.code(), Some(2));
    let unchanged = told(&central, &["store", "add", "A", "--site", "north"]);
    assert_eq!(unchanged, "store A is active at site 2 north already\n");
    assert_eq!(told(&central, &["store", "remove", "N"]), "store N is active at site 1 central already\n");
    assert_eq!(central.json(&["store", "list"]), stores);
    assert_eq!(moves(&central), [] as [Value; 0]);

    // What would keep data on the old site is refused while a store leaves it.
    told(&central, &["preference", "set", "include-transactions", "on", "--store", "D"]);
    told(&central, &["store", "add", "D", "--site", "south"]);
    assert_eq!(refused(&central, &["preference", "set", "include-transactions", "off", "--store", "D"]), "store_moves");
    assert_eq!(refused(&central, &["store", "set-role", "D", "--site", "central", "transfer"]), "store_moves");
    assert_eq!(moves(&central), [json!(["D", 2, 3, "draining", 2])]);
    told(&central, &["store", "call-off", "D"]);
    north.settle();
    assert_eq!(holder(&central, "A"), [json!(2), json!(1), Value::Null]);
}

#[test]
fn a_move_goes_on_after_central_was_killed_in_each_of_its_phases() {
    let (mut central, [north, south]) = north_and_south();
    let restart = |central: &mut Central| {
        central.kill();
        central.start();
        for agent in [&north, &south] {
            agent.set_url(&central.url());
        }
    };
    north.record(&stock("A", "unsent", 2));
    told(&central, &["store", "add", "A", "--site", "south"]);
    restart(&mut central);
    assert_eq!(moves(&central), [json!(["A", 2, 3, "draining", 2])]);
    north.settle();
    assert_eq!(north.json(&["status"])["leaving_stores"], json!(["A"]));
    restart(&mut central);
    assert_eq!(moves(&central), [json!(["A", 2, 3, "draining", 2])], "north has not said that it has heard");
    sync_until("south is waited for", &[&north], || moves(&central) == [json!(["A", 2, 3, "filling", 3])]);
    restart(&mut central);
    assert_eq!(moves(&central), [json!(["A", 2, 3, "filling", 3])]);
    assert_eq!(north.fails(&["record", "--file", "-"], &stock("A", "late", 2)), (5, "not_store_holder".to_owned()));

    sync_until("it is there", &[&south], || moves(&central) == [] as [Value; 0]);
    restart(&mut central);
    south.settle();
    north.settle();

    assert_eq!((writes(&north), writes(&south)), (vec![], vec![json!("A"), json!("B")]));
    assert_eq!(ids(south.records("item_line")), ["sent", "unsent"]);
    south.record(&stock("A", "south", 5));
    south.settle();
    assert_eq!(central.records("item_line"), south.records("item_line"));
}

#[test]
fn a_move_that_a_restored_central_has_forgotten_is_known_again_when_the_old_site_comes_first() {
    forgotten_move(true);
}

#[test]
fn a_move_that_a_restored_central_has_forgotten_is_known_again_when_the_new_site_comes_first() {
    forgotten_move(false);
}

/// Two sites, a backup of central, and store A, which has gone on its way from north to south since, with an edit that is not sent.
fn begun_since_the_backup() -> (Central, [Agent; 2], std::path::PathBuf) {
    let (mut central, sites) = north_and_south();
    let kept = backup(&mut central);
    for agent in &sites {
        agent.set_url(&central.url());
    }
    sites[0].record(&stock("A", "forgotten", 2));
    told(&central, &["store", "add", "A", "--site", "south"]);
    (central, sites, kept)
}

fn forgotten_move(is_old_site_first: bool) {
    let (mut central, [north, south], kept) = begun_since_the_backup();
    let go_to = |central: &Central| [&north, &south].map(|agent| agent.set_url(&central.url()));
    sync_until("it is there", &[&north, &south], || moves(&central) == [] as [Value; 0]);
    south.settle();
    north.settle();
    south.record(&(stock("A", "sent", 5) + &stock("A", "south", 5)));
    south.settle();

    restore(&mut central, &kept);
    go_to(&central);
    assert_eq!(holder(&central, "A"), [json!(2), json!(1), Value::Null]);
    south.record(&stock("A", "unsent", 6));
    let order = if is_old_site_first { [&north, &south] } else { [&south, &north] };
    for _ in 0..3 {
        sync(order[0]);
        // Whatever central says of the store by then, north does not record in it.
        assert_eq!(north.fails(&["record", "--file", "-"], &stock("A", "late", 2)), (5, "not_store_holder".to_owned()));
    }
    if is_old_site_first {
        assert_eq!(holder(&central, "A"), [json!(1), json!(1), Value::Null], "nobody writes it until south comes");
    } else {
        assert_eq!(writes(&south), ["A", "B"], "it records on");
        assert_eq!(refused(&central, &["store", "add", "B", "--site", "north"]), "central_heals");
    }
    sync_until("south holds it", &[order[1], order[0]], || {
        holder(&central, "A") == [json!(3), json!(2), Value::Null]
            && central.json(&["status"])["healing"]["ended"] != Value::Null
    });
    for agent in [&north, &south, &north, &south] {
        agent.settle();
    }

    assert_eq!((writes(&north), writes(&south)), (vec![], vec![json!("A"), json!("B")]));
    assert_eq!(ids(central.records("item_line")), ["forgotten", "sent", "south", "unsent"]);
    assert_eq!(central.records("item_line"), south.records("item_line"));
    assert_eq!(central.records("item_line")["sent"]["quantity"], 5);
    assert_eq!(ids(north.records("item_line")), [""; 0]);
    for agent in [&north, &south] {
        let status = agent.json(&["status"]);
        assert_eq!((&status["set_aside"], &status["pending"]["edits"]), (&json!(0), &json!(0)), "{status}");
        assert_eq!((&status["forgotten_stores"], &status["leaving_stores"]), (&json!([]), &json!([])), "{status}");
    }
    south.record(&stock("A", "after", 7));
    south.settle();
    assert_eq!(central.records("item_line"), south.records("item_line"));
}

#[test]
fn a_move_that_a_restored_central_has_forgotten_half_way_leaves_the_store_at_central_with_all_of_it() {
    for is_filling in [false, true] {
        let (mut central, [north, south], kept) = begun_since_the_backup();
        let go_to = |central: &Central| [&north, &south].map(|agent| agent.set_url(&central.url()));
        north.settle();
        if is_filling {
            sync_until("south is waited for", &[&north], || moves(&central) == [json!(["A", 2, 3, "filling", 3])]);
            sync(&south);
        }

        restore(&mut central, &kept);
        go_to(&central);
        sync_until("central has stopped waiting", &[&north, &south], || {
            holder(&central, "A")[0] == 1 && central.json(&["status"])["healing"]["ended"] != Value::Null
        });
        assert_eq!((writes(&north), writes(&south)), (vec![], vec![json!("B")]), "{is_filling}");
        assert_eq!(ids(central.records("item_line")), ["forgotten", "sent"]);

        told(&central, &["store", "add", "A", "--site", "south"]);
        sync_until("it is there", &[&south, &north], || moves(&central) == [] as [Value; 0]);
        south.settle();
        south.record(&stock("A", "south", 5));
        south.settle();
        assert_eq!(ids(central.records("item_line")), ["forgotten", "sent", "south"]);
        assert_eq!(central.records("item_line"), south.records("item_line"));
        for agent in [&north, &south] {
            assert_eq!(agent.json(&["status"])["set_aside"], 0);
        }
    }
}

#[test]
fn a_store_whose_tablet_is_lost_goes_on_without_it_once_an_administrator_has_said_so() {
    let (central, [north, south]) = north_and_south();
    north.record(&stock("A", "unsent", 2));
    told(&central, &["store", "add", "A", "--site", "south"]);

    told(&central, &["site", "reset-hardware", "north"]);

    assert_eq!(moves(&central), [json!(["A", 2, 3, "filling", 3])]);
    sync_until("it is there", &[&south], || moves(&central) == [] as [Value; 0]);
    south.settle();
    assert_eq!(writes(&south), ["A", "B"]);
    // Found again, its edits are kept for somebody to look at.
    assert_eq!(north.fails(&["sync"], ""), (5, "device_retired".to_owned()));
    let kept = central.json(&["set-aside", "list", "north"])["set_aside"].clone();
    assert_eq!((&kept[0]["id"], &kept[0]["code"]), (&json!("unsent"), &json!("device_retired")));
    // The next tablet of the old site has nothing of it.
    north.wipe();
    north.enrol(&central, "north");
    north.ok(&["initialise"]);
    assert_eq!((writes(&north), ids(north.records("item_line"))), (vec![], vec![]));
}
