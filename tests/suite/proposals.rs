//! Edits that came too late for a store that moved: an administrator has the new site record them, or hears why it does not.

use serde_json::{Value, json};

use crate::central_set_back::stock;
use crate::moves::{moves, north_and_south, refused, sync_until, told};
use crate::support::agent::Agent;
use crate::support::central::Central;

/// The refused edits of north at central: id, state of the proposal, and the site's reason.
fn set_aside(central: &Central) -> Vec<Value> {
    let listed = central.json(&["set-aside", "list", "north"])["set_aside"].clone();
    let of = |item: &Value| json!([item["id"], item["proposal"]["state"], item["proposal"]["code"]]);
    listed.as_array().unwrap().iter().map(of).collect()
}

fn place(central: &Central, id: &str) -> String {
    let listed = central.json(&["set-aside", "list", "north"])["set_aside"].clone();
    let found = listed.as_array().unwrap().iter().find(|item| item["id"] == id).unwrap().clone();
    found["place"].as_str().unwrap().to_owned()
}

/// Store A went to south at once, and what north had not sent came too late.
fn with_late_edits(late: &str) -> (Central, [Agent; 2]) {
    let (central, [north, south]) = north_and_south();
    north.record(late);
    told(&central, &["store", "add", "A", "--site", "south", "--at-once"]);
    sync_until("it is there", &[&south], || moves(&central).is_empty());
    south.settle();
    assert_eq!(north.run(&["sync"], "").status.code(), Some(3), "what is refused is said");
    (central, [north, south])
}

#[test]
fn late_edits_are_recorded_by_the_site_that_has_the_store_unless_it_changed_the_record_since() {
    let (central, [north, south]) = with_late_edits(&(stock("A", "sent", 2) + &stock("A", "unsent", 2)));

    let answer = told(&central, &["set-aside", "apply", "north", "--all"]);
    assert!(answer.contains("applied 0\nasked of the sites that hold their stores 2\n"), "{answer}");
    assert_eq!(set_aside(&central), [json!(["sent", "open", null]), json!(["unsent", "open", null])]);
    let at = place(&central, "sent");
    assert_eq!(refused(&central, &["set-aside", "apply", "north", &at]), "proposal_open");

    // South has written the one meanwhile, and has not heard of the proposals.
    south.record(&stock("A", "sent", 8));
    south.settle();

    assert_eq!(central.records("item_line")["sent"]["quantity"], 8);
    assert_eq!(central.records("item_line")["unsent"]["quantity"], 2);
    assert_eq!(central.records("item_line"), south.records("item_line"));
    assert_eq!(set_aside(&central), [json!(["sent", "declined", "changed_since"])]);
    let shown = told(&central, &["set-aside", "show", "north", &at]);
    assert!(shown.contains("declined by the site of store A: item_line sent was changed since"), "{shown}");

    // Whoever has looked at both asks once more.
    let answer = told(&central, &["set-aside", "apply", "north", &at]);
    assert!(answer.contains("site 3 is asked to record it: it holds store A"), "{answer}");
    south.settle();
    assert_eq!((set_aside(&central), central.records("item_line")["sent"]["quantity"].clone()), (vec![], json!(2)));
    let audit = central.json(&["audit"])["audit"].clone();
    let verbs: Vec<&str> = audit.as_array().unwrap().iter().filter_map(|row| row["verb"].as_str()).collect();
    let of_proposals: Vec<_> = verbs.into_iter().filter(|verb| verb.starts_with("proposal-")).collect();
    assert_eq!(of_proposals, ["proposal-declined", "proposal-made", "proposal-made"]);
    north.settle();
}

#[test]
fn a_proposal_goes_with_the_store_and_is_answered_by_whoever_has_it_then() {
    let (central, [north, south]) = with_late_edits(&stock("A", "unsent", 2));
    let at = place(&central, "unsent");
    told(&central, &["set-aside", "apply", "north", &at]);

    told(&central, &["store", "add", "A", "--site", "north"]);
    sync_until("it is back", &[&south, &north], || moves(&central).is_empty());
    north.settle();
    south.settle();

    assert_eq!(central.records("item_line")["unsent"]["quantity"], 2);
    assert_eq!((set_aside(&central), south.json(&["status"])["owed"].clone()), (vec![], json!(0)));
    assert_eq!(north.records("item_line"), central.records("item_line"));
}

#[test]
fn a_dismissed_edit_is_not_asked_for_any_more() {
    let (central, [_, south]) = with_late_edits(&stock("A", "unsent", 2));
    let at = place(&central, "unsent");
    told(&central, &["set-aside", "apply", "north", &at]);
    told(&central, &["set-aside", "dismiss", "north", &at]);

    south.settle();

    assert_eq!(central.records("item_line").get("unsent"), None);
    assert_eq!(set_aside(&central), [] as [Value; 0]);
}
