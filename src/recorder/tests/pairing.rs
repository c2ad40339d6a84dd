//! Transfers between two stores of this site: the halves that it makes itself.

use domain::scope::Scope;
use domain::transfers::ids::{line_id, log_id};
use domain::transfers::kinds::Kind as Of;

use super::transfers::{
    answer, column, delete, groups, half_of, id, journaled, owed, partners, patch, receive_in, site, store_scope,
};
use super::*;

/// An invoice of S1 to S2 with a line and a placeholder, as it is recorded while it is a draft.
fn draft(recorder: &Recorder<FakeStorage>) {
    let header = r#"{"store_ID":"S1","name_ID":"N2","type":"ci","status":"nw","invoice_num":3,"their_ref":"r"}"#;
    let line = r#"{"transaction_ID":"CI","item_ID":"I","type":"stock_out","pack_size":1,"quantity":7,"sell_price":2}"#;
    let none = r#"{"transaction_ID":"CI","item_ID":"I","type":"placeholder","quantity":1}"#;
    recorder
        .record(group(vec![
            put("transact", "CI", header),
            put("trans_line", "L1", line),
            put("trans_line", "L2", none),
        ]))
        .unwrap();
}

fn finalise(recorder: &Recorder<FakeStorage>) {
    recorder.record(group(vec![patch("transact", "CI", r#"{"status":"fn"}"#)])).unwrap();
}

#[test]
fn a_site_with_both_stores_makes_the_half_in_the_group_that_finalises_and_answers_at_once() {
    let recorder = site(2);
    draft(&recorder);
    assert_eq!(groups(&recorder).len(), 1);
    let half = half_of(Of::Stock, "CI", "S2");
    let line = line_id(&id(&half), &id("L1")).to_string();

    finalise(&recorder);

    assert_eq!(groups(&recorder)[1], ["transact", "transact", "trans_line"], "atomic, and without the placeholder");
    assert_eq!(column(&recorder, "transact", &half, "store_ID"), "S2");
    assert_eq!(column(&recorder, "transact", &half, "hold"), "true");
    assert_eq!(column(&recorder, "trans_line", &line, "quantity"), "7");
    assert_eq!(column(&recorder, "transact", &half, "invoice_num"), "1", "without a sync");
    assert_eq!(column(&recorder, "om_activity_log", log_id(&id(&half)).as_str(), "record_ID"), "CI");
    assert_eq!(column(&recorder, "transact", "CI", "linked_transaction_id"), half);
    assert_eq!((owed(&recorder), answer(&recorder)), (0, 0));
}

#[test]
fn a_draft_to_another_store_and_a_store_that_is_elsewhere_make_no_half_here() {
    for (stores, name) in [(1, "N2"), (2, "N9")] {
        let recorder = site(stores);
        let header = format!(r#"{{"store_ID":"S1","name_ID":"{name}","type":"ci","status":"fn","invoice_num":3}}"#);
        recorder.record(group(vec![put("transact", "CI", &header)])).unwrap();

        assert_eq!((journaled(&recorder), owed(&recorder)), (1, 0), "{name}");
    }
}

#[test]
fn an_edit_of_the_initiating_half_changes_the_other_one_in_its_group_while_that_is_untouched() {
    let recorder = site(2);
    draft(&recorder);
    finalise(&recorder);
    let half = half_of(Of::Stock, "CI", "S2");
    let line = line_id(&id(&half), &id("L1")).to_string();
    let late = line_id(&id(&half), &id("L3")).to_string();

    let new = r#"{"transaction_ID":"CI","item_ID":"I","type":"stock_out","pack_size":1,"quantity":2}"#;
    recorder.record(group(vec![patch("trans_line", "L1", r#"{"quantity":8}"#), put("trans_line", "L3", new)])).unwrap();
    assert_eq!(column(&recorder, "trans_line", &line, "quantity"), "8");
    assert_eq!(column(&recorder, "trans_line", &late, "quantity"), "2");
    assert_eq!(groups(&recorder).last().unwrap().len(), 4);

    recorder.record(group(vec![patch("transact", &half, r#"{"hold":false}"#)])).unwrap();
    recorder.record(group(vec![patch("trans_line", "L1", r#"{"quantity":9}"#)])).unwrap();
    assert_eq!(column(&recorder, "trans_line", &line, "quantity"), "8", "somebody works on it");
}

#[test]
fn a_half_that_was_withdrawn_is_not_made_again() {
    let recorder = site(2);
    draft(&recorder);
    finalise(&recorder);
    let half = half_of(Of::Stock, "CI", "S2");

    recorder.record(group(vec![patch("transact", "CI", r#"{"is_cancellation":true}"#)])).unwrap();
    assert_eq!(column(&recorder, "transact", &half, "store_ID"), "-");
    // Central has everything: of the deleted half nothing is left here.
    let head = journaled(&recorder);
    {
        let mut core = recorder.core();
        let journal = core.shared.identity().journal;
        core.local.store_reply(journal, &reply(head, &[])).unwrap();
    }
    recorder.record(group(vec![patch("transact", "CI", r#"{"is_cancellation":false}"#)])).unwrap();

    assert_eq!(column(&recorder, "transact", &half, "store_ID"), "-");
    assert_eq!((owed(&recorder), answer(&recorder)), (0, 0));
}

#[test]
fn a_half_for_which_something_is_not_here_is_made_when_that_comes() {
    let recorder = site(2);
    let header =
        r#"{"store_ID":"S1","name_ID":"N2","type":"ci","status":"fn","invoice_num":3,"linked_transaction_id":"GONE"}"#;
    recorder.record(group(vec![put("transact", "CI", header)])).unwrap();
    let half = half_of(Of::Stock, "CI", "S2");
    assert_eq!((journaled(&recorder), answer(&recorder), owed(&recorder)), (1, 0, 1));

    let other = r#"{"store_ID":"S9","name_ID":"N1","type":"si","status":"fn","invoice_num":1}"#;
    receive_in(&recorder, &partners("S1"), 30, &[put("transact", "GONE", other)]);

    assert!(answer(&recorder) > 0);
    assert_eq!(column(&recorder, "transact", &half, "invoice_num"), "1");
    assert_eq!((owed(&recorder), answer(&recorder)), (0, 0));
}

#[test]
fn a_half_that_would_make_the_group_too_large_refuses_it_and_says_what_to_do() {
    let recorder = site(2);
    let line = r#"{"transaction_ID":"CI","item_ID":"I","type":"stock_out","pack_size":1,"quantity":7}"#;
    let header = r#"{"store_ID":"S1","name_ID":"N2","type":"ci","status":"fn","invoice_num":3}"#;
    let mut edits = vec![put("transact", "CI", header)];
    edits.extend((0..limits::GROUP_ENTRIES_MAX / 2).map(|number| put("trans_line", &format!("L{number}"), line)));

    let Err(RecordError::Refused(refusal)) = recorder.record(group(edits)) else { panic!("it was recorded") };

    assert_eq!((refusal.index, refusal.code.as_str()), (0, "group_too_large"));
    assert!(refusal.message.contains("other half") && refusal.message.contains("4096"), "{}", refusal.message);
    assert_eq!(journaled(&recorder), 0);
}

#[test]
fn requests_and_orders_between_own_stores_run_through_without_a_sync() {
    let recorder = site(2);
    let request = r#"{"store_ID":"S1","name_ID":"N2","type":"request","status":"fn","serial_number":2}"#;
    let line = r#"{"requisition_ID":"Q","item_ID":"I","Cust_stock_order":30}"#;
    recorder.record(group(vec![put("requisition", "Q", request), put("requisition_line", "QL", line)])).unwrap();
    let response = half_of(Of::Requisition, "Q", "S2");
    assert_eq!(column(&recorder, "requisition", &response, "serial_number"), "1");
    assert_eq!(column(&recorder, "requisition", "Q", "linked_requisition_id"), response);
    recorder.record(group(vec![patch("requisition", &response, r#"{"status":"fn"}"#)])).unwrap();
    assert_eq!(column(&recorder, "requisition", "Q", "om_status"), "FINALISED");

    let order = r#"{"store_ID":"S1","name_ID":"N2","status":"cn","serial_number":5}"#;
    let ordered =
        r#"{"store_ID":"S1","purchase_order_ID":"O","item_ID":"I","packsize_ordered":10,"quan_adjusted_order":50}"#;
    recorder.record(group(vec![put("purchase_order", "O", order), put("purchase_order_line", "OL", ordered)])).unwrap();
    let invoice = half_of(Of::Order, "O", "S2");
    assert_eq!(column(&recorder, "transact", &invoice, "original_PO_ID"), "O");
    assert_eq!(column(&recorder, "transact", &invoice, "invoice_num"), "1");
    let supplied =
        format!(r#"{{"transaction_ID":"{invoice}","item_ID":"I","type":"stock_out","pack_size":10,"quantity":5}}"#);
    recorder
        .record(group(vec![put("trans_line", "SL", &supplied), patch("transact", &invoice, r#"{"status":"fn"}"#)]))
        .unwrap();
    let goods = half_of(Of::Goods, &invoice, "S1");
    assert_eq!(column(&recorder, "Goods_received", &goods, "serial_number"), "1");
    assert_eq!(column(&recorder, "transact", &invoice, "goods_received_ID"), goods);
    assert_eq!(column(&recorder, "purchase_order_line", "OL", "quan_rec_to_date"), "50");
    assert_eq!((owed(&recorder), answer(&recorder)), (0, 0));
}

#[test]
fn a_local_copy_that_is_lost_behind_the_journal_answers_nothing_twice_and_leaves_nothing_out() {
    let recorder = site(2);
    draft(&recorder);
    finalise(&recorder);
    let half = half_of(Of::Stock, "CI", "S2");
    let before = groups(&recorder);
    for kept in 1..=before.len() {
        // The journal of a crash behind so many groups, and a local copy that has nothing of them.
        let crashed = site(2);
        let drafts = first_groups(&recorder, kept);
        {
            let mut core = crashed.core();
            core.shared.append(&drafts).unwrap();
            core.shared.sync().unwrap();
        }
        answer(&crashed);
        if kept == 1 {
            finalise(&crashed);
        }

        assert_eq!(column(&crashed, "transact", &half, "invoice_num"), "1", "{kept}");
        assert_eq!(column(&crashed, "transact", "CI", "linked_transaction_id"), half, "{kept}");
        assert_eq!(groups(&crashed), before, "{kept}");
        assert_eq!((owed(&crashed), answer(&crashed)), (0, 0), "{kept}");
    }
}

fn first_groups(recorder: &Recorder<FakeStorage>, count: usize) -> Vec<Draft> {
    let (mut drafts, mut ends) = (Vec::new(), 0);
    let mut core = recorder.core();
    let read = core.shared.read(Sequence::ZERO, &mut |stored| {
        if ends < count {
            let is_group_end = Entry::decode(&stored.entry).unwrap().is_group_end;
            ends += usize::from(is_group_end);
            drafts.push(Draft { entry: stored.entry, is_group_end, note: stored.note });
        }
        std::ops::ControlFlow::Continue(())
    });
    read.unwrap();
    drafts
}

#[test]
fn a_deleted_line_of_the_initiating_half_takes_the_others_with_it() {
    let recorder = site(2);
    draft(&recorder);
    finalise(&recorder);
    let half = half_of(Of::Stock, "CI", "S2");
    let line = line_id(&id(&half), &id("L1")).to_string();

    recorder.record(group(vec![delete("trans_line", "L1")])).unwrap();

    assert_eq!(column(&recorder, "trans_line", &line, "quantity"), "-");
    assert_eq!(column(&recorder, "transact", &half, "store_ID"), "S2");
}

/// What central has of everything that was journaled: of what is deleted nothing is left here.
fn acknowledge(recorder: &Recorder<FakeStorage>) {
    let head = journaled(recorder);
    let mut core = recorder.core();
    let journal = core.shared.identity().journal;
    core.local.store_reply(journal, &reply(head, &[])).unwrap();
}

#[test]
fn a_line_that_is_made_again_brings_the_others_back_unless_people_had_deleted_that() {
    let line_data =
        r#"{"transaction_ID":"CI","item_ID":"I","type":"stock_out","pack_size":1,"quantity":5,"sell_price":2}"#;
    for (is_the_owners, is_acknowledged) in [(false, false), (false, true), (true, false), (true, true)] {
        let recorder = site(2);
        draft(&recorder);
        finalise(&recorder);
        let half = half_of(Of::Stock, "CI", "S2");
        let line = line_id(&id(&half), &id("L1")).to_string();
        if is_the_owners {
            recorder.record(group(vec![delete("trans_line", &line)])).unwrap();
        }
        recorder.record(group(vec![delete("trans_line", "L1")])).unwrap();
        assert_eq!(column(&recorder, "trans_line", &line, "quantity"), "-");
        if is_acknowledged {
            acknowledge(&recorder);
        }

        recorder.record(group(vec![put("trans_line", "L1", line_data)])).unwrap();

        let expected = if is_the_owners { "-" } else { "5" };
        assert_eq!(column(&recorder, "trans_line", &line, "quantity"), expected, "{is_the_owners} {is_acknowledged}");
    }
}

#[test]
fn after_a_crash_the_journal_tells_whether_people_deleted_a_line() {
    let line_data = r#"{"transaction_ID":"CI","item_ID":"I","type":"stock_out","pack_size":1,"quantity":5}"#;
    for is_the_owners in [false, true] {
        let recorder = site(2);
        draft(&recorder);
        finalise(&recorder);
        let line = line_id(&id(&half_of(Of::Stock, "CI", "S2")), &id("L1")).to_string();
        let first = if is_the_owners { &line } else { "L1" };
        recorder.record(group(vec![delete("trans_line", first)])).unwrap();
        let crashed = site(2);
        let drafts = first_groups(&recorder, usize::MAX);
        {
            let mut core = crashed.core();
            core.shared.append(&drafts).unwrap();
            core.shared.sync().unwrap();
        }
        answer(&crashed);

        if is_the_owners {
            crashed.record(group(vec![delete("trans_line", "L1")])).unwrap();
        }
        acknowledge(&crashed);
        crashed.record(group(vec![put("trans_line", "L1", line_data)])).unwrap();

        let expected = if is_the_owners { "-" } else { "5" };
        assert_eq!(column(&crashed, "trans_line", &line, "quantity"), expected, "{is_the_owners}");
    }
}

#[test]
fn a_local_copy_that_was_rebuilt_makes_no_half_again_that_was_deleted() {
    let recorder = site(2);
    draft(&recorder);
    finalise(&recorder);
    let half = half_of(Of::Stock, "CI", "S2");
    let line = line_id(&id(&half), &id("L1")).to_string();
    recorder.record(group(vec![delete("trans_line", &line), delete("transact", &half)])).unwrap();
    // Another one has what central has, and of the deleted half nothing is said there.
    let rebuilt = site(2);
    let invoice = r#"{"store_ID":"S1","name_ID":"N2","type":"ci","status":"cn","invoice_num":3}"#;
    let sold = r#"{"transaction_ID":"CI","item_ID":"I","type":"stock_out","pack_size":1,"quantity":7}"#;
    let log = log_id(&id(&half)).to_string();
    receive_in(&rebuilt, &store_scope("S1"), 100, &[put("transact", "CI", invoice), put("trans_line", "L1", sold)]);
    let entry = put("om_activity_log", &log, r#"{"store_ID":"S2","record_ID":"CI"}"#);
    receive_in(&rebuilt, &store_scope("S2"), 200, &[entry]);

    finalise(&rebuilt);

    assert_eq!(column(&rebuilt, "transact", &half, "store_ID"), "-");
    assert_eq!((owed(&rebuilt), answer(&rebuilt)), (0, 0));
}

#[test]
fn an_edit_whose_consequence_cannot_be_told_is_owed_and_followed_when_that_comes() {
    let recorder = site(2);
    let price = put("item_store_join", "J", r#"{"item_ID":"X","store_ID":"S2","default_price":3}"#);
    receive_in(&recorder, &store_scope("S2"), 100, &[price]);
    draft(&recorder);
    finalise(&recorder);
    let half = half_of(Of::Stock, "CI", "S2");
    let line = line_id(&id(&half), &id("L1")).to_string();
    let late = line_id(&id(&half), &id("L3")).to_string();

    let new = r#"{"transaction_ID":"CI","item_ID":"X","type":"stock_out","pack_size":1,"quantity":2}"#;
    let other = patch("trans_line", "L1", r#"{"item_ID":"X"}"#);
    recorder.record(group(vec![other, put("trans_line", "L3", new)])).unwrap();
    recorder.record(group(vec![patch("trans_line", "L1", r#"{"quantity":9}"#)])).unwrap();
    assert_eq!(column(&recorder, "trans_line", &line, "item_ID"), "I");
    assert_eq!((owed(&recorder), answer(&recorder)), (2, 0));

    let item = put("item", "X", r#"{"item_name":"X","default_pack_size":1}"#);
    receive_in(&recorder, &Scope::AllSites, 300, &[item]);

    assert!(answer(&recorder) > 0);
    assert_eq!(column(&recorder, "trans_line", &line, "item_ID"), "X");
    assert_eq!(column(&recorder, "trans_line", &line, "quantity"), "9");
    assert_eq!(column(&recorder, "trans_line", &late, "quantity"), "2");
    assert_eq!((owed(&recorder), answer(&recorder)), (0, 0));
}

/// Seed 001, "Store F": what it has with a store of the same site "is not synced anywhere"; the other store's half is that one's data.
#[test]
fn of_a_store_that_keeps_its_data_the_half_stays_and_that_of_the_other_store_goes() {
    let says = |keeps: bool| if keeps { r#","outpost_withholds_data":true"# } else { "" };
    for sender_keeps in [true, false] {
        let recorder = site(2);
        receive_in(
            &recorder,
            &Scope::AllSites,
            100,
            &[
                put("store", "S1", &format!(r#"{{"name_ID":"N1"{}}}"#, says(sender_keeps))),
                put("store", "S2", &format!(r#"{{"name_ID":"N2"{}}}"#, says(!sender_keeps))),
            ],
        );
        draft(&recorder);
        finalise(&recorder);
        let half = half_of(Of::Stock, "CI", "S2");

        assert_eq!(column(&recorder, "transact", &half, "invoice_num"), "1");
        assert_eq!(column(&recorder, "transact", "CI", "linked_transaction_id"), half);
        let state = |record: &str| {
            let catalogue = Catalogue::embedded();
            let table = catalogue.table_by_name("transact").unwrap();
            recorder.core().local.get(table, &id(record)).unwrap().unwrap().state.as_str()
        };
        let (kept, goes) = if sender_keeps { ("CI", half.as_str()) } else { (half.as_str(), "CI") };
        assert_eq!((state(kept), state(goes)), ("local", "pending"));
        assert_eq!((owed(&recorder), answer(&recorder)), (0, 0));
        groups(&recorder);
    }
}

/// Found by the simulator (seed 620019): central had made the half itself when the receiving store kept nothing any more, and its half
/// without a number went over the one that had stayed here, with its number.
#[test]
fn a_half_that_stayed_here_goes_over_the_one_that_central_makes_once_its_store_keeps_nothing_any_more() {
    let recorder = site(2);
    let store = |keeps: &str| put("store", "S2", &format!(r#"{{"name_ID":"N2"{keeps}}}"#));
    receive_in(&recorder, &Scope::AllSites, 100, &[store(r#","outpost_withholds_data":true"#)]);
    draft(&recorder);
    finalise(&recorder);
    let half = half_of(Of::Stock, "CI", "S2");
    assert_eq!(column(&recorder, "transact", &half, "invoice_num"), "1");

    receive_in(&recorder, &Scope::AllSites, 200, &[store("")]);
    let made = r#"{"store_ID":"S2","name_ID":"N1","type":"si","status":"nw","hold":true,"invoice_num":-1}"#;
    receive_in(&recorder, &store_scope("S2"), 300, &[put("transact", &half, made)]);
    while look_at_withheld(&recorder) > 0 {}

    assert_eq!(column(&recorder, "transact", &half, "invoice_num"), "1");
    assert_eq!(recorder.core().local.withheld_count().unwrap(), 0);
    assert_eq!((answer(&recorder), owed(&recorder)), (0, 0));
    let mut core = recorder.core();
    let mut sent = Vec::new();
    core.shared
        .read(Sequence::ZERO, &mut |stored| {
            sent.push(Entry::decode(&stored.entry).unwrap().record.to_string());
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert!(sent.contains(&half), "{sent:?}");
}
