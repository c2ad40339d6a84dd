//! Transfers: what this site writes in answer to halves that came.

use domain::json::row_from_json;
use domain::scope::Scope;
use domain::transfers::ids::{TransferKey, log_id};
use domain::transfers::kinds::Kind as Of;
use protocol::message::Cursor;
use protocol::page::PageRow;

use super::*;

/// A store that may be this site's too, and one that never is.
const SECOND: &str = "S2";

pub(super) fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

pub(super) fn patch(table: &str, record: &str, data: &str) -> Edit {
    Edit { op: domain::edit::EditOp::Patch, ..put(table, record, data) }
}

pub(super) fn delete(table: &str, record: &str) -> Edit {
    Edit { op: domain::edit::EditOp::Delete, data: None, ..put(table, record, "") }
}

/// A page of these records, each at a position above those before.
pub(super) fn receive_in(recorder: &Recorder<FakeStorage>, scope: &Scope, first: u64, edits: &[Edit]) {
    let catalogue = Catalogue::embedded();
    let mut rows = Vec::new();
    for (edit, position) in edits.iter().zip(first..) {
        let table = catalogue.table_by_name(&edit.table).unwrap();
        let row = edit.data.as_ref().map(|data| row_from_json(table, &edit.id, data).unwrap());
        let (table, record) = (table.reference().clone(), edit.id.clone());
        rows.push(PageRow { table, record, position: Position(position), row });
    }
    let cursor = Cursor { epoch: Epoch(1), number: Position(first + edits.len() as u64), began: Position(0) };
    let page = Page { scope: scope.to_id(), cursor, is_drained: true, rows };
    recorder.hand_back_before(&page).unwrap();
    recorder.core().local.store_page(&page).unwrap();
    while recorder.sweep_step().unwrap() {}
}

pub(super) fn store_scope(store: &str) -> Scope {
    Scope::Store(id(store))
}

pub(super) fn partners(store: &str) -> Scope {
    Scope::StorePartners(id(store))
}

/// Stores S1, S2 and S9 with their names N1, N2 and N9, and an item.
fn world(recorder: &Recorder<FakeStorage>) {
    let mut edits = vec![put("item", "I", r#"{"item_name":"Amoxicillin","default_pack_size":1}"#)];
    for (store, name) in [("S1", "N1"), ("S2", "N2"), ("S9", "N9")] {
        edits.push(put("name", name, r#"{"type":"store","name":"x"}"#));
        edits.push(put("store", store, &format!(r#"{{"name_ID":"{name}","name":"{store}"}}"#)));
    }
    receive_in(recorder, &Scope::AllSites, 1, &edits);
    recorder.core().local.remember_sync(1, None).unwrap();
}

pub(super) fn grant(recorder: &Recorder<FakeStorage>, row: u64, store: &str, ownership: u32, is_held: bool) {
    let grant = Grant {
        store: store.to_owned(),
        ownership: OwnershipNumber(ownership),
        is_held,
        proof: protocol::ids::GrantProof([0; 16]),
        number_gaps: 0,
    };
    let mut core = recorder.core();
    let journal = core.shared.identity().journal;
    core.local.store_reply(journal, &reply(0, &[(row, Control::Grant(grant))])).unwrap();
}

/// A site that holds S1, or S1 and S2, and has read everything.
pub(super) fn site(stores: usize) -> Recorder<FakeStorage> {
    let recorder = recorder();
    world(&recorder);
    if stores > 1 {
        grant(&recorder, 2, SECOND, 1, true);
    }
    recorder.core().local.remember_sync(2, None).unwrap();
    recorder
}

/// What a session's end does; how many answers were journaled.
pub(super) fn answer(recorder: &Recorder<FakeStorage>) -> usize {
    let (mut after, mut answered) = (0, 0);
    while let Some(look) = recorder.answer_owed_step(after, 1000).unwrap() {
        (after, answered) = (look.last, answered + look.answered);
    }
    answered
}

pub(super) fn owed(recorder: &Recorder<FakeStorage>) -> u64 {
    recorder.core().local.kept_counts().unwrap().1
}

pub(super) fn journaled(recorder: &Recorder<FakeStorage>) -> u64 {
    recorder.core().shared.durable().sequence.0
}

pub(super) fn column(recorder: &Recorder<FakeStorage>, table: &str, record: &str, column: &str) -> String {
    let catalogue = Catalogue::embedded();
    let table = catalogue.table_by_name(table).unwrap();
    let Some(view) = recorder.core().local.get(table, &id(record)).unwrap() else { return "-".to_owned() };
    let data: serde_json::Value = serde_json::from_str(&view.data).unwrap();
    match &data[column] {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) fn half_of(kind: Of, source: &str, receiver: &str) -> String {
    TransferKey { kind, source: id(source), receiver: id(receiver) }.half_id().to_string()
}

/// Everything that was journaled: the records of each group.
pub(super) fn groups(recorder: &Recorder<FakeStorage>) -> Vec<Vec<String>> {
    let catalogue = Catalogue::embedded();
    let (mut groups, mut open) = (Vec::new(), Vec::new());
    recorder
        .core()
        .shared
        .read(Sequence::ZERO, &mut |stored| {
            let entry = Entry::decode(&stored.entry).unwrap();
            open.push(catalogue.table_name(&entry.table));
            if entry.is_group_end {
                groups.push(std::mem::take(&mut open));
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert!(open.is_empty(), "a group has no end: {open:?}");
    groups
}

/// A supplier invoice that central made in S1 for an invoice of S9.
pub(super) fn incoming(half: &str) -> Edit {
    let said = r#"{"store_ID":"S1","name_ID":"N9","type":"si","status":"nw","hold":true,"invoice_num":-1,"linked_transaction_id":"CI"}"#;
    put("transact", half, said)
}

#[test]
fn a_half_that_comes_gets_the_stores_next_number_and_the_log_entry_in_one_group() {
    let recorder = site(1);
    let half = half_of(Of::Stock, "CI", "S1");
    receive_in(
        &recorder,
        &store_scope("S1"),
        20,
        &[put("number", "N", r#"{"name":"supplier_invoice_number_for_store_S1","value":41}"#), incoming(&half)],
    );
    assert_eq!(owed(&recorder), 1);

    assert_eq!(answer(&recorder), 1);

    assert_eq!(column(&recorder, "transact", &half, "invoice_num"), "42");
    assert_eq!(column(&recorder, "number", "N", "value"), "42");
    let log = log_id(&id(&half)).to_string();
    assert_eq!(column(&recorder, "om_activity_log", &log, "record_ID"), "CI");
    assert_eq!(column(&recorder, "om_activity_log", &log, "store_ID"), "S1");
    assert_eq!(groups(&recorder), [["number", "transact", "om_activity_log"]]);
    assert_eq!((owed(&recorder), answer(&recorder)), (0, 0));
}

#[test]
fn a_half_that_comes_twice_without_a_number_gets_one_number() {
    let recorder = site(1);
    let half = half_of(Of::Stock, "CI", "S1");
    receive_in(&recorder, &store_scope("S1"), 20, &[incoming(&half)]);
    assert_eq!(answer(&recorder), 1);
    let number = column(&recorder, "transact", &half, "invoice_num");

    receive_in(&recorder, &store_scope("S1"), 30, &[incoming(&half)]);

    assert_eq!((owed(&recorder), answer(&recorder), owed(&recorder)), (1, 0, 0));
    assert_eq!((number.as_str(), column(&recorder, "transact", &half, "invoice_num").as_str()), ("1", "1"));
    assert_eq!(journaled(&recorder), 3);
}

#[test]
fn each_kind_of_half_is_numbered_and_logged() {
    for (kind, table, data, number) in [
        (Of::Stock, "transact", r#"{"type":"si","linked_transaction_id":"X","invoice_num":-1"#, "invoice_num"),
        (Of::Return, "transact", r#"{"type":"cc","linked_transaction_id":"X","invoice_num":-1"#, "invoice_num"),
        (Of::Order, "transact", r#"{"type":"ci","original_PO_ID":"X","invoice_num":-1"#, "invoice_num"),
        (
            Of::Requisition,
            "requisition",
            r#"{"type":"response","linked_requisition_id":"X","serial_number":-1"#,
            "serial_number",
        ),
    ] {
        let recorder = site(1);
        let half = half_of(kind, "X", "S1");
        let edit = put(table, &half, &format!(r#"{data},"store_ID":"S1","name_ID":"N9","status":"nw"}}"#));
        receive_in(&recorder, &store_scope("S1"), 20, &[edit]);

        assert_eq!(answer(&recorder), 1, "{kind}");

        assert_eq!(column(&recorder, table, &half, number), "1", "{kind}");
        assert_eq!(column(&recorder, "om_activity_log", log_id(&id(&half)).as_str(), "record_ID"), "X", "{kind}");
        assert_eq!(owed(&recorder), 0, "{kind}");
    }
}

#[test]
fn the_site_of_the_initiating_half_writes_the_link_whichever_comes_first() {
    for half_is_first in [true, false] {
        let recorder = site(1);
        let half = half_of(Of::Stock, "CI", "S9");
        let answer_of = put(
            "transact",
            &half,
            r#"{"store_ID":"S9","name_ID":"N1","type":"si","status":"nw","hold":true,"invoice_num":8,"linked_transaction_id":"CI"}"#,
        );
        let source =
            put("transact", "CI", r#"{"store_ID":"S1","name_ID":"N9","type":"ci","status":"fn","invoice_num":3}"#);
        if half_is_first {
            receive_in(&recorder, &partners("S1"), 20, &[answer_of]);
            assert_eq!(answer(&recorder), 0);
            receive_in(&recorder, &store_scope("S1"), 30, &[source]);
        } else {
            receive_in(&recorder, &store_scope("S1"), 20, &[source]);
            assert_eq!(owed(&recorder), 0, "nothing can be owed before the other half is here");
            receive_in(&recorder, &partners("S1"), 30, &[answer_of]);
        }

        assert_eq!(answer(&recorder), 1);

        assert_eq!(column(&recorder, "transact", "CI", "linked_transaction_id"), half);
        assert_eq!(column(&recorder, "transact", &half, "invoice_num"), "8");
        assert_eq!((owed(&recorder), answer(&recorder)), (0, 0));
    }
}

/// A request of S1 to S9, and the response that came of it.
fn with_response(recorder: &Recorder<FakeStorage>, response: &str, said: &str) {
    receive_in(
        recorder,
        &store_scope("S1"),
        20,
        &[
            put(
                "requisition",
                "Q",
                r#"{"store_ID":"S1","name_ID":"N9","type":"request","status":"fn","serial_number":2}"#,
            ),
            put("requisition_line", "QL", r#"{"requisition_ID":"Q","item_ID":"I","approved_quantity":9}"#),
        ],
    );
    let data = format!(
        r#"{{"store_ID":"S9","name_ID":"N1","type":"response","serial_number":5,"linked_requisition_id":"Q",{said}}}"#
    );
    receive_in(
        recorder,
        &partners("S1"),
        30,
        &[
            put("requisition", response, &data),
            put(
                "requisition_line",
                "RL",
                &format!(r#"{{"requisition_ID":"{response}","item_ID":"I","approved_quantity":4}}"#),
            ),
        ],
    );
}

#[test]
fn a_response_is_linked_and_what_it_approves_and_finalises_is_written_to_its_request() {
    let recorder = site(1);
    let response = half_of(Of::Requisition, "Q", "S9");
    with_response(&recorder, &response, r#""status":"sg""#);
    assert_eq!(answer(&recorder), 1);
    assert_eq!(column(&recorder, "requisition", "Q", "linked_requisition_id"), response);

    with_response(&recorder, &response, r#""status":"FN","authorisationStatus":"authorised""#);
    assert_eq!(answer(&recorder), 1, "one record was answered");

    assert_eq!(column(&recorder, "requisition", "Q", "om_status"), "FINALISED");
    assert_eq!(column(&recorder, "requisition", "Q", "authorisationStatus"), "authorised");
    assert_eq!(column(&recorder, "requisition_line", "QL", "approved_quantity"), "4");
    assert_eq!((owed(&recorder), answer(&recorder)), (0, 0));
}

#[test]
fn goods_received_are_numbered_and_the_order_says_at_once_what_came() {
    let recorder = site(1);
    let goods = half_of(Of::Goods, "CI", "S1");
    receive_in(
        &recorder,
        &store_scope("S1"),
        20,
        &[
            put("purchase_order", "O", r#"{"store_ID":"S1","name_ID":"N9","status":"cn","serial_number":4}"#),
            put(
                "purchase_order_line",
                "OL",
                r#"{"store_ID":"S1","purchase_order_ID":"O","item_ID":"I","quan_rec_to_date":0}"#,
            ),
        ],
    );
    assert_eq!(owed(&recorder), 0);
    receive_in(
        &recorder,
        &partners("S1"),
        30,
        &[put(
            "transact",
            "CI",
            r#"{"store_ID":"S9","name_ID":"N1","type":"ci","status":"fn","original_PO_ID":"O","invoice_num":3}"#,
        )],
    );
    receive_in(
        &recorder,
        &store_scope("S1"),
        40,
        &[
            put(
                "Goods_received",
                &goods,
                r#"{"store_ID":"S1","purchase_order_ID":"O","status":"nw","serial_number":-1}"#,
            ),
            put(
                "Goods_received_line",
                "GL",
                &format!(
                    r#"{{"goods_received_ID":"{goods}","item_ID":"I","order_line_ID":"OL","pack_received":20,"quantity_received":3}}"#
                ),
            ),
        ],
    );

    assert!(answer(&recorder) > 0);
    assert_eq!(column(&recorder, "Goods_received", &goods, "serial_number"), "1");
    assert_eq!(column(&recorder, "purchase_order_line", "OL", "quan_rec_to_date"), "60");
    assert_eq!(owed(&recorder), 0);

    recorder.record(group(vec![patch("Goods_received_line", "GL", r#"{"quantity_received":5}"#)])).unwrap();

    assert_eq!(column(&recorder, "purchase_order_line", "OL", "quan_rec_to_date"), "100", "without a sync");
    recorder.record(group(vec![patch("Goods_received_line", "GL", r#"{"quantity_received":3}"#)])).unwrap();
    assert_eq!(column(&recorder, "purchase_order_line", "OL", "quan_rec_to_date"), "60", "back again");
    assert_eq!((owed(&recorder), answer(&recorder)), (0, 0));
}

#[test]
fn the_link_to_goods_received_is_written_by_the_store_that_supplied() {
    let recorder = site(1);
    let goods = half_of(Of::Goods, "CI", "S9");
    receive_in(
        &recorder,
        &partners("S1"),
        20,
        &[
            put("purchase_order", "O", r#"{"store_ID":"S9","name_ID":"N1","status":"cn"}"#),
            put(
                "Goods_received",
                &goods,
                r#"{"store_ID":"S9","purchase_order_ID":"O","status":"nw","serial_number":6}"#,
            ),
        ],
    );
    receive_in(
        &recorder,
        &store_scope("S1"),
        30,
        &[put(
            "transact",
            "CI",
            r#"{"store_ID":"S1","name_ID":"N9","type":"ci","status":"fn","original_PO_ID":"O","invoice_num":3}"#,
        )],
    );

    answer(&recorder);

    assert_eq!(column(&recorder, "transact", "CI", "goods_received_ID"), goods);
    assert_eq!(owed(&recorder), 0);
}

#[test]
fn no_number_is_given_before_everything_of_the_store_was_read_and_it_is_given_then() {
    let recorder = recorder();
    let half = half_of(Of::Stock, "CI", "S1");
    receive_in(&recorder, &store_scope("S1"), 20, &[incoming(&half)]);

    assert_eq!((answer(&recorder), answer(&recorder), owed(&recorder), journaled(&recorder)), (0, 0, 1, 0));
    assert_eq!(column(&recorder, "transact", &half, "invoice_num"), "-1");

    recorder.core().local.remember_sync(1, None).unwrap();
    assert_eq!((answer(&recorder), owed(&recorder)), (1, 0));
    assert_eq!(column(&recorder, "transact", &half, "invoice_num"), "1");
}

#[test]
fn a_sequence_that_holds_no_number_is_left_until_it_is_mended() {
    let recorder = site(1);
    let half = half_of(Of::Stock, "CI", "S1");
    receive_in(
        &recorder,
        &store_scope("S1"),
        20,
        &[put("number", "N", r#"{"name":"supplier_invoice_number_for_store_S1","value":"A-7"}"#), incoming(&half)],
    );
    assert_eq!((answer(&recorder), owed(&recorder), journaled(&recorder)), (0, 1, 0));

    recorder.record(group(vec![patch("number", "N", r#"{"value":12}"#)])).unwrap();

    assert_eq!((answer(&recorder), owed(&recorder)), (1, 0));
    assert_eq!(column(&recorder, "transact", &half, "invoice_num"), "13");
}

#[test]
fn a_half_of_a_store_that_is_elsewhere_is_numbered_once_the_store_comes_here() {
    let recorder = site(1);
    let half = half_of(Of::Stock, "CI", "S2");
    let mut edit = incoming(&half);
    edit.data = edit.data.map(|data| data.replace(r#""store_ID":"S1""#, r#""store_ID":"S2""#));
    // This site is a collector of the store.
    receive_in(&recorder, &store_scope("S2"), 20, &[edit]);
    assert_eq!((answer(&recorder), owed(&recorder), journaled(&recorder)), (0, 0, 0));

    grant(&recorder, 5, SECOND, 3, true);
    assert_eq!(owed(&recorder), 1);
    recorder.core().local.remember_sync(3, None).unwrap();

    assert_eq!((answer(&recorder), owed(&recorder)), (1, 0));
    assert_eq!(column(&recorder, "transact", &half, "invoice_num"), "1");
}

#[test]
fn a_store_that_was_taken_away_owes_nothing_here() {
    let recorder = site(1);
    let half = half_of(Of::Stock, "CI", "S1");
    receive_in(&recorder, &store_scope("S1"), 20, &[incoming(&half)]);
    grant(&recorder, 5, STORE, 1, false);

    assert_eq!((answer(&recorder), owed(&recorder), journaled(&recorder)), (0, 0, 0));
}

pub(super) fn number_record(recorder: &Recorder<FakeStorage>) -> String {
    let mut core = recorder.core();
    let found = core.local.number_record(&id("S1"), "supplier_invoice_number_for_store_S1").unwrap();
    found.unwrap().0.to_string()
}

#[test]
fn under_centralised_procurement_the_primary_writes_what_was_received_and_the_store_does_not() {
    for is_primary in [true, false] {
        let recorder = site(1);
        receive_in(
            &recorder,
            &Scope::AllSites,
            100,
            &[put("preference", "outpost_centralised_procurement", r#"{"value":true}"#)],
        );
        let (store, scope) = if is_primary { ("S9", Scope::Visible) } else { ("S1", store_scope("S1")) };
        if is_primary {
            grant(&recorder, 7, domain::authority::CENTRAL_DATA, 1, true);
        }
        let said = format!(r#"{{"store_ID":"{store}","name_ID":"N2","status":"cn","outpost_ordered_by":"primary"}}"#);
        let ordered = format!(r#"{{"store_ID":"{store}","purchase_order_ID":"O","item_ID":"I","quan_rec_to_date":0}}"#);
        receive_in(
            &recorder,
            &scope,
            110,
            &[
                put("purchase_order", "O", &said),
                put("purchase_order_line", "OL", &ordered),
                put(
                    "Goods_received",
                    "G",
                    &format!(r#"{{"store_ID":"{store}","purchase_order_ID":"O","serial_number":4}}"#),
                ),
                put(
                    "Goods_received_line",
                    "GL",
                    r#"{"goods_received_ID":"G","order_line_ID":"OL","pack_received":10,"quantity_received":3}"#,
                ),
            ],
        );

        answer(&recorder);

        let received = column(&recorder, "purchase_order_line", "OL", "quan_rec_to_date");
        assert_eq!(received, if is_primary { "30" } else { "0" });
        assert_eq!((owed(&recorder), answer(&recorder)), (0, 0));
    }
}
