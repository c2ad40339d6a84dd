//! Where transfers go in the worked example of seed 001: a store "can also receive stock transfers or requisitions from other stores active on
//! the same sync site", and these "are then synced to" whom the document says, and to nobody else.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::patients::edit;
use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::transfers::{draft, finalised, stages};
use crate::worked_example::set_up;

/// What a side has of a transfer: the sender's half, the receiver's.
type Halves = (bool, bool);

const NONE: Halves = (false, false);
const SENT: Halves = (true, false);
const CAME: Halves = (false, true);
const BOTH: Halves = (true, true);

/// From a store that is active on a site into a store of the example: sender and receiver, then what is at central, at site 1 and at site 2
/// in the end. Both halves reach the sites of both parties; beside them collectors have what is their store's own, and central everything
/// but what store F has with a store of its own site.
const WAYS: [(&str, &str, [Halves; 3]); 18] = [
    // Into A, active at the sync server, collected at site 1.
    ("E", "A", [BOTH, CAME, NONE]),
    ("B", "A", [BOTH, BOTH, NONE]),
    ("F", "A", [BOTH, BOTH, NONE]),
    ("C", "A", [BOTH, CAME, BOTH]),
    // Into B, active at site 1.
    ("A", "B", [BOTH, BOTH, NONE]),
    ("E", "B", [BOTH, BOTH, NONE]),
    ("F", "B", [CAME, BOTH, NONE]),
    ("C", "B", [BOTH, BOTH, BOTH]),
    ("D", "B", [BOTH, BOTH, BOTH]),
    // Into C, active at site 2.
    ("A", "C", [BOTH, SENT, BOTH]),
    ("B", "C", [BOTH, BOTH, BOTH]),
    ("D", "C", [BOTH, NONE, BOTH]),
    // Into D, active at site 2.
    ("E", "D", [BOTH, NONE, BOTH]),
    ("C", "D", [BOTH, NONE, BOTH]),
    // Into E, at the sync server alone.
    ("A", "E", [BOTH, SENT, NONE]),
    // Into F, local to site 1: what it has with a store of that site is not synced anywhere.
    ("B", "F", [SENT, BOTH, NONE]),
    ("E", "F", [BOTH, BOTH, NONE]),
    ("C", "F", [BOTH, BOTH, BOTH]),
];

fn request(id: &str, from: &str, to: &str) -> String {
    let header = json!({"store_ID": from, "name_ID": format!("name-{to}"), "type": "request", "status": "sg"});
    let line = json!({"requisition_ID": id, "item_ID": "I", "Cust_stock_order": 5});
    edit("requisition", "upsert", id, &header)
        + &edit("requisition_line", "upsert", &format!("{id}-1"), &line)
        + &finalised("requisition", id)
}

fn settle(agents: &[Agent; 2]) {
    for _ in 0..3 {
        for agent in agents {
            agent.settle();
        }
    }
}

/// Whether a side has the initiating half, and the responding one, of a record of a table.
fn halves(records: &BTreeMap<String, Value>, id: &str, names: &str) -> Halves {
    (records.contains_key(id), records.values().any(|data| data[names] == id && data["type"] != "ci"))
}

#[test]
fn what_is_sent_into_each_store_of_the_example_ends_where_the_document_says_and_nowhere_else() {
    let mut central = Central::with_data("");
    let agents = set_up(&mut central);
    central.import(&edit("item", "upsert", "I", &json!({"item_name": "Amoxicillin", "code": "I"})));
    settle(&agents);
    for (from, to, _) in WAYS {
        let invoice = format!("invoice-{from}-{to}");
        let lines = draft("ci", &invoice, from, to).replace("\"put\"", "\"upsert\"")
            + &finalised("transact", &invoice)
            + &request(&format!("request-{from}-{to}"), from, to);
        match from {
            "A" | "E" => central.import(&lines),
            "B" | "F" => drop(agents[0].record(&lines)),
            _ => drop(agents[1].record(&lines)),
        }
    }
    settle(&agents);

    let mut wrong = Vec::new();
    for (table, names, word) in
        [("transact", "linked_transaction_id", "invoice"), ("requisition", "linked_requisition_id", "request")]
    {
        let sides = [central.records(table), agents[0].records(table), agents[1].records(table)];
        for (from, to, expected) in WAYS {
            let id = format!("{word}-{from}-{to}");
            let found = sides.each_ref().map(|records| halves(records, &id, names));
            if found != expected {
                wrong.push(format!("{id}: {found:?}, and not {expected:?}"));
            }
        }
        for (side, records) in ["central", "site 1", "site 2"].iter().zip(&sides) {
            let is_without = |data: &Value| data["invoice_num"] == -1 || data["serial_number"] == -1;
            for (id, data) in records.iter().filter(|(_, data)| is_without(data)) {
                wrong.push(format!("{side}: {id} has no number: {data}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let open: Vec<_> = stages(&central).into_iter().filter(|[_, _, stage]| stage != "done").collect();
    assert!(open.is_empty(), "{open:?}");
}
