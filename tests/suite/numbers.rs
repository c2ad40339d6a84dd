//! Document numbers, as an application on a device sees them: never one twice, whatever happens to the device and to the store.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::central_set_back::stock;
use crate::patients::edit;
use crate::support::agent::{Agent, BOARD, CHIP};
use crate::support::central::Central;
use crate::support::link::{Link, Mood};
use crate::support::{success, wait_until};

const KIND: &str = "customer_invoice_number";

/// Central with a store at each of two sites.
fn north_and_south() -> (Central, [Agent; 2]) {
    let store = |id: &str| edit("store", "upsert", id, &json!({"code": id, "store_mode": "store"}));
    let central = Central::with_data(&(store("A") + &store("B")));
    central.add_site("north", &["A"]);
    central.add_site("south", &["B"]);
    let [north, south] = ["north", "south"].map(|name| Agent::initialised(&central, name));
    north.settle();
    south.settle();
    (central, [north, south])
}

fn next(agent: &Agent, store: &str) -> u64 {
    agent.ok(&["next-number", store, KIND]).trim().parse().unwrap()
}

/// Lets each of the devices sync until the store is with this one.
fn sync_until_held(agents: &[&Agent], holder: &Agent, store: &str) {
    wait_until("the store is there", || {
        let grants = holder.json(&["status"])["grants"].clone();
        let is_held = grants.as_array().unwrap().iter().any(|grant| grant["store"] == store);
        for agent in agents {
            agent.run(&["sync"], "");
        }
        is_held
    });
}

#[test]
fn numbers_go_on_behind_an_orderly_move_without_a_gap_and_behind_a_forced_one_with_one() {
    let (central, [north, south]) = north_and_south();
    assert_eq!([next(&north, "A"), next(&north, "A")], [1, 2]);
    assert_eq!(north.ok(&["next-number", "A", KIND, "--count", "3"]), "3\n4\n5\n");
    assert_eq!(north.fails(&["next-number", "B", KIND], ""), (5, "not_store_holder".to_owned()));
    assert_eq!(north.ok(&["next-number", "A", "goods_received_number"]), "1\n", "each kind counts for itself");

    // What it gave while it was offline goes with the store.
    success(&central.run(&["store", "add", "A", "--site", "south"], ""));
    sync_until_held(&[&north, &south], &south, "A");
    assert_eq!(next(&south, "A"), 6);
    assert_eq!(north.fails(&["next-number", "A", KIND], ""), (5, "not_store_holder".to_owned()));

    // What south gives from now on nobody hears of.
    let link = Link::to(central.address(), Mood::Down);
    south.settle();
    south.set_url(&link.url());
    assert_eq!([next(&south, "A"), next(&south, "A")], [7, 8]);
    success(&central.run(&["store", "add", "A", "--site", "north", "--at-once"], ""));
    sync_until_held(&[&north], &north, "A");
    assert_eq!([next(&north, "A"), next(&north, "A")], [1007, 1008]);
    assert_eq!(north.ok(&["next-number", "A", "new_kind"]), "1001\n", "also where no number was known");

    link.set(Mood::Good);
    south.run(&["sync"], "");
    let listed = south.json(&["set-aside", "list"]);
    let refused: BTreeSet<&str> =
        listed["refused"].as_array().unwrap().iter().map(|edit| edit["table"].as_str().unwrap()).collect();
    assert_eq!(refused, BTreeSet::from(["number"]));

    // The store comes back, and somebody records the old edits again: no number is taken back by it.
    success(&central.run(&["store", "add", "A", "--site", "south"], ""));
    sync_until_held(&[&north, &south], &south, "A");
    assert_eq!(next(&south, "A"), 1009);
    south.ok(&["set-aside", "retry", "--all"]);
    assert_eq!(next(&south, "A"), 1010);
}

#[test]
fn a_device_in_the_place_of_a_lost_one_goes_on_behind_a_gap() {
    let (central, [north, _south]) = north_and_south();
    assert_eq!(next(&north, "A"), 1);
    north.settle();
    assert_eq!(next(&north, "A"), 2);
    drop(north);

    success(&central.run(&["site", "reset-hardware", "north"], ""));
    let other = Agent::initialised(&central, "north");

    assert_eq!([next(&other, "A"), next(&other, "A")], [1002, 1003]);
}

#[test]
fn a_tablet_that_was_wiped_goes_on_behind_a_gap() {
    let (central, [north, _south]) = north_and_south();
    assert_eq!(next(&north, "A"), 1);
    assert!(north.hardware(CHIP).exists() && north.hardware(BOARD).exists());
    north.wipe();
    north.enrol(&central, "north");

    assert_eq!(north.fails(&["next-number", "A", KIND], "").0, 5, "it holds nothing yet");
    north.ok(&["initialise"]);

    assert_eq!(next(&north, "A"), 1001);
}

/// What a store keeps on its site goes with its tablet, and more numbers may have been given than a gap has.
#[test]
fn where_a_store_had_kept_its_data_the_last_number_is_recorded_by_hand_before_the_next_is_given() {
    let (central, [north, south]) = north_and_south();
    let set_role = |role| success(&central.run(&["store", "set-role", "A", "--site", "central", role], ""));
    set_role("transfer");
    north.settle();
    for _ in 0..2 {
        north.ok(&["next-number", "A", KIND, "--count", "1000"]);
    }
    north.settle();
    north.wipe();
    north.enrol(&central, "north");
    north.ok(&["initialise"]);
    assert_eq!(north.fails(&["next-number", "A", KIND], ""), (5, "numbers_lost".to_owned()));

    set_role("collector");
    north.settle();
    assert_eq!(north.fails(&["next-number", "A", KIND], ""), (5, "numbers_lost".to_owned()), "else 1001 comes again");

    success(&central.run(&["store", "add", "A", "--site", "south"], ""));
    sync_until_held(&[&north, &south], &south, "A");
    assert_eq!(south.fails(&["next-number", "A", KIND], ""), (5, "numbers_lost".to_owned()));
    south.record(&edit("number", "put", "by-hand", &json!({"name": format!("{KIND}_for_store_A"), "value": 2000})));
    let given = next(&south, "A");
    assert!(given > 2000, "{given}");
    assert_eq!(next(&south, "B"), 1, "a store that never kept anything goes on");
}

#[test]
fn a_device_that_lost_its_local_copy_gives_no_number_before_it_has_read_the_store() {
    let (_central, [north, _south]) = north_and_south();
    assert_eq!(next(&north, "A"), 1);
    north.settle();
    assert_eq!(next(&north, "A"), 2);
    for file in ["local_copy.sqlite", "local_copy.sqlite-wal", "local_copy.sqlite-shm"] {
        let _ = std::fs::remove_file(north.data().join(file));
    }

    // Of the grant it knows nothing either.
    assert_eq!(north.fails(&["next-number", "A", KIND], ""), (5, "not_store_holder".to_owned()));
    north.settle();

    assert_eq!(next(&north, "A"), 3);
    assert!(north.json(&["initialise"])["failure"].is_null());
    assert_eq!(next(&north, "A"), 4, "what is read anew is here meanwhile");
}

#[test]
fn a_call_that_is_repeated_after_a_kill_gets_the_same_number_and_callers_at_once_get_others() {
    let (_central, [mut north, _south]) = north_and_south();
    north.start();
    let asked = ["next-number", "A", KIND, "--request-id", "invoice 7"];
    let first = north.ok(&asked);

    let given: BTreeSet<u64> = std::thread::scope(|scope| {
        let callers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..5).map(|_| next(&north, "A")).collect::<Vec<_>>())).collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    });
    assert_eq!(given, (2..=21).collect::<BTreeSet<u64>>());

    // Killed with an answer under way: whatever it was, it is not given to anybody else.
    let mut asking = north.command(&["next-number", "A", KIND, "--count", "100"]).spawn().unwrap();
    north.kill();
    asking.wait().unwrap();
    north.start();
    assert_eq!(north.ok(&asked), first, "the same request has the same number");
    let after = next(&north, "A");
    assert!([22, 122].contains(&after), "{after}");
    let other: Value = north.json(&["next-number", "A", KIND, "--request-id", "invoice 8", "--count", "2"]);
    assert_eq!((other["first"].as_u64(), other["last"].as_u64()), (Some(after + 1), Some(after + 2)));
}

#[test]
fn what_is_asked_for_wrongly_is_refused_and_gives_nothing() {
    let (_central, [north, _south]) = north_and_south();
    north.record(&stock("A", "line", 1));

    for (arguments, refused) in [
        (["A", "a_for_store_b"], (2, "bad_kind".to_owned())),
        (["A", "\u{e9}"], (2, "bad_kind".to_owned())),
        (["", KIND], (2, "bad_store".to_owned())),
        (["nowhere", KIND], (5, "not_store_holder".to_owned())),
    ] {
        assert_eq!(north.fails(&["next-number", arguments[0], arguments[1]], ""), refused, "{arguments:?}");
    }
    assert_eq!(north.fails(&["next-number", "A", KIND, "--count", "1001"], "").0, 2);
    assert_eq!(next(&north, "A"), 1);
}
