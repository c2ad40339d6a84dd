//! Proposals: made as this site's own edit or declined, and answered once.

use domain::edit::EditOp;
use domain::json::row_from_json;
use domain::proposal::{Proposal, declined_id, expectation};
use domain::scope::Scope;
use protocol::control::{Image, Refused};
use protocol::message::Cursor;
use protocol::page::PageRow;

use super::*;

const PROPOSED: &str = r#"{"quantity":9}"#;

fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

fn image(edit: &Edit, position: u64) -> PageRow {
    let catalogue = Catalogue::embedded();
    let table = catalogue.table_by_name(&edit.table).unwrap();
    let row = row_from_json(table, &edit.id, edit.data.as_ref().unwrap()).unwrap();
    PageRow { table: table.reference().clone(), record: edit.id.clone(), position: Position(position), row: Some(row) }
}

/// The site reads these of a store.
fn receive(recorder: &Recorder<FakeStorage>, store: &str, rows: Vec<PageRow>) {
    let position = rows.iter().map(|row| row.position).max().unwrap();
    let cursor = Cursor { epoch: Epoch(1), number: position, began: Position(0) };
    let page = Page { scope: Scope::Store(id(store)).to_id(), cursor, is_drained: true, rows };
    recorder.core().local.store_page(&page).unwrap();
    while recorder.sweep_step().unwrap() {}
}

/// That the quantity of stock I becomes 9, as central proposes it on what it has of that.
fn proposal(store: &str) -> Edit {
    let catalogue = Catalogue::embedded();
    let lines = catalogue.table_by_name("item_line").unwrap();
    let edit = Edit { table: "item_line".to_owned(), op: EditOp::Patch, id: id("I"), data: Some(PROPOSED.to_owned()) };
    let current = image(&stock("I", store), 1).row;
    let expected = expectation(lines, &edit, current.as_ref());
    Proposal { edit, expected }.message(&id("M"), &id(store))
}

fn answer(recorder: &Recorder<FakeStorage>) -> usize {
    let (mut after, mut answered) = (0, 0);
    while let Some(look) = recorder.answer_owed_step(after, 7).unwrap() {
        (after, answered) = (look.last, answered + look.answered);
    }
    answered
}

fn data(recorder: &Recorder<FakeStorage>, table: &str, record: &str) -> String {
    let catalogue = Catalogue::embedded();
    let table = catalogue.table_by_name(table).unwrap();
    recorder.core().local.get(table, &id(record)).unwrap().map_or("-".to_owned(), |view| view.data)
}

fn owed(recorder: &Recorder<FakeStorage>) -> u64 {
    recorder.core().local.kept_counts().unwrap().1
}

fn journaled(recorder: &Recorder<FakeStorage>) -> u64 {
    recorder.core().shared.durable().sequence.0
}

#[test]
fn a_proposal_is_made_as_the_sites_own_edit_in_one_group_with_its_answer() {
    let recorder = recorder();
    receive(&recorder, STORE, vec![image(&stock("I", STORE), 1), image(&proposal(STORE), 2)]);
    assert_eq!(owed(&recorder), 1);

    assert_eq!(answer(&recorder), 1);

    assert!(data(&recorder, "item_line", "I").contains("\"quantity\":9"));
    assert!(data(&recorder, "message", "M").contains("processed"));
    let mut ends = Vec::new();
    let read = |stored: crate::journal::Stored| {
        ends.push(Entry::decode(&stored.entry).unwrap().is_group_end);
        std::ops::ControlFlow::Continue(())
    };
    recorder.core().shared.read(Sequence::ZERO, &mut { read }).unwrap();
    assert_eq!(ends, [false, true]);
    assert_eq!((owed(&recorder), answer(&recorder), journaled(&recorder)), (0, 0, 2), "answered once");
}

#[test]
fn a_proposal_on_a_record_that_was_written_since_is_declined_and_says_so_to_central() {
    let recorder = recorder();
    receive(&recorder, STORE, vec![image(&stock("I", STORE), 1)]);
    recorder.record(group(vec![put("item_line", "I", r#"{"store_ID":"S1","quantity":4}"#)])).unwrap();
    receive(&recorder, STORE, vec![image(&proposal(STORE), 2)]);

    assert_eq!(answer(&recorder), 1);

    assert!(data(&recorder, "item_line", "I").contains("\"quantity\":4"));
    assert!(data(&recorder, "message", "M").contains("processed"));
    let told = data(&recorder, "message", declined_id(&id("M")).as_str());
    assert!(told.contains("changed_since") && told.contains("\"fromStoreID\":\"S1\""), "{told}");
    assert_eq!((owed(&recorder), answer(&recorder)), (0, 0));
}

#[test]
fn a_proposal_that_breaks_a_rule_or_cannot_be_read_is_declined_with_the_reason() {
    for (proposed, code) in [
        (stock("J", "S9"), "not_store_holder"),
        (put("trans_line", "L", r#"{"transaction_ID":"NONE"}"#), "header_missing"),
        (put("no_such_table", "X", "{}"), "unknown_table"),
    ] {
        let recorder = recorder();
        let message = Proposal { edit: proposed, expected: None }.message(&id("M"), &id(STORE));
        receive(&recorder, STORE, vec![image(&message, 2)]);
        let answered = answer(&recorder);
        let told = data(&recorder, "message", declined_id(&id("M")).as_str());
        if code == "not_store_holder" {
            assert_eq!((answered, told.as_str(), owed(&recorder)), (0, "-", 1), "the store may come still");
        } else {
            assert_eq!(answered, 1);
            assert!(told.contains(code), "{told}");
        }
    }
}

#[test]
fn a_proposal_waits_until_the_store_is_this_sites() {
    let recorder = recorder();
    receive(&recorder, "S2", vec![image(&stock("I", "S2"), 1), image(&proposal("S2"), 2)]);
    assert_eq!((answer(&recorder), owed(&recorder), journaled(&recorder)), (0, 1, 0));

    let grant = Grant {
        store: "S2".to_owned(),
        ownership: OwnershipNumber(1),
        is_held: true,
        proof: protocol::ids::GrantProof([0; 16]),
        number_gaps: 0,
    };
    {
        let mut core = recorder.core();
        let journal = core.shared.identity().journal;
        core.local.store_reply(journal, &reply(0, &[(2, Control::Grant(grant))])).unwrap();
    }
    assert_eq!((answer(&recorder), owed(&recorder), journaled(&recorder)), (1, 0, 2));
}

#[test]
fn a_message_that_no_central_sent_asks_for_nothing() {
    let recorder = recorder();
    let mut forged = proposal(STORE);
    forged.data = forged.data.map(|data| data.replace(r#""fromStoreID":"""#, r#""fromStoreID":"S9""#));
    receive(&recorder, STORE, vec![image(&stock("I", STORE), 1), image(&forged, 2)]);
    assert_eq!((owed(&recorder), answer(&recorder), journaled(&recorder)), (0, 0, 0));
}

#[test]
fn a_proposal_that_comes_again_to_a_lost_local_copy_is_not_made_twice() {
    let recorder = recorder();
    receive(&recorder, STORE, vec![image(&stock("I", STORE), 1), image(&proposal(STORE), 2)]);
    assert_eq!(answer(&recorder), 1);

    receive(&recorder, STORE, vec![image(&proposal(STORE), 3)]);
    assert_eq!((owed(&recorder), answer(&recorder), owed(&recorder)), (1, 0, 0));
    assert_eq!(journaled(&recorder), 2);
}

#[test]
fn a_proposal_that_was_made_and_refused_at_central_is_declined() {
    let recorder = recorder();
    receive(&recorder, STORE, vec![image(&stock("I", STORE), 1), image(&proposal(STORE), 2)]);
    assert_eq!(answer(&recorder), 1);
    let refusal = |sequence: u64, edit: &Edit, position: u64| {
        let row = image(edit, position);
        let image = Image::Here { position: row.position, row: row.row.unwrap().to_bytes() };
        let journal = recorder.core().shared.identity().journal;
        Control::Refused(Refused {
            journal,
            sequence: Sequence(sequence),
            code: "bad_value".to_owned(),
            reason: "no".to_owned(),
            image,
        })
    };
    let refusals = [(2, refusal(1, &stock("I", STORE), 1)), (3, refusal(2, &proposal(STORE), 2))];
    {
        let mut core = recorder.core();
        let journal = core.shared.identity().journal;
        core.local.store_reply(journal, &reply(2, &refusals)).unwrap();
    }
    assert_eq!(owed(&recorder), 1);

    assert_eq!(answer(&recorder), 1);

    assert!(data(&recorder, "item_line", "I").contains("\"quantity\":1"));
    let told = data(&recorder, "message", declined_id(&id("M")).as_str());
    assert!(told.contains("refused_by_central"), "{told}");
    assert_eq!((owed(&recorder), answer(&recorder)), (0, 0));
}
