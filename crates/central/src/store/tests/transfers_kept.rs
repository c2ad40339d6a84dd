//! Transfers: at most one half ever, what a half waits for, and what follows from later changes.

use domain::transfers::kinds::Kind;

use super::transfers::{INVOICE, LINE, half, line_of, messages_to, name_stores, says, two_stores};
use super::*;

contract!(
    a_half_that_was_deleted_is_never_made_again,
    the_same_invoice_finalised_once_more_brings_no_second_half,
    a_half_that_its_site_made_is_taken_for_the_half,
    a_half_waits_for_what_it_needs_and_is_made_when_that_is_written,
    what_cannot_be_told_yet_is_told_when_the_store_of_the_name_comes,
    a_merged_item_counts_as_the_one_that_stays,
    a_half_that_waits_is_looked_at_again_now_and_then_and_when_the_other_one_is_edited,
    a_site_that_makes_its_own_halves_gets_none_and_both_are_routed,
    the_flag_is_that_of_the_moment_when_the_transfer_began,
    a_change_afterwards_is_proposed_to_the_owner_and_only_once,
    a_change_afterwards_of_a_half_of_central_is_made_there,
    an_invoice_that_is_taken_back_has_its_half_proposed_for_deletion,
    central_that_was_set_back_makes_no_half_before_its_site_has_reported,
    what_is_edited_again_before_an_answer_is_asked_as_one,
    a_half_whose_source_counts_again_is_not_asked_to_go,
    a_half_that_was_numbered_before_it_heard_is_proposed_for_deletion_once_more,
    an_import_that_is_undone_leaves_nothing,
    what_each_transfer_waits_for_is_listed_and_stuck_ones_stand_out,
    of_what_goes_to_a_store_that_keeps_its_data_central_makes_the_half_unless_it_comes_from_the_same_site,
);

fn count(world: &mut World, table: &str) -> usize {
    world.store.reading().records(table, Merged::Listed, None, 100).unwrap().len()
}

fn a_half_that_was_deleted_is_never_made_again(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    let other = half(Kind::Stock, "I", "B");
    settle(world, &mut two);
    two.record(&[&format!("delete trans_line {}", line_of(&other, "L")), &format!("delete transact {other}")]);
    two.sync(world);
    settle(world, &mut one);
    assert!(!has(&one, "transact", &other) && !has(&one, "trans_line", &line_of(&other, "L")), "it goes there too");

    for status in ["nw", "fn", "cn", "fn"] {
        one.record(&[&format!(r#"patch transact I {{"status":"{status}"}}"#)]);
        one.sync(world);
    }
    // Nor when the other one goes, and comes back.
    one.record(&["delete trans_line L", "delete transact I"]);
    one.record(&[INVOICE]);
    one.sync(world);

    assert_eq!((world.data("transact", &other), count(world, "transact")), ("deleted".to_owned(), 1));
}

fn the_same_invoice_finalised_once_more_brings_no_second_half(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[INVOICE]);
    one.sync(world);
    let other = half(Kind::Stock, "I", "B");
    settle(world, &mut two);
    two.record(&[&format!(r#"patch transact {other} {{"invoice_num":5,"hold":false}}"#)]);
    two.sync(world);

    one.record(&[r#"patch transact I {"status":"nw"}"#]);
    one.record(&[r#"patch transact I {"status":"fn"}"#]);
    one.sync(world);

    assert_eq!(count(world, "transact"), 2);
    says(world, "transact", &other, &[r#""invoice_num":5"#]);
}

fn a_half_that_its_site_made_is_taken_for_the_half(world: &mut World) {
    let mut device = world.device(&["A", "B"]);
    name_stores(world, &["A", "B"]);
    settle(world, &mut device);

    device.record(&[
        INVOICE,
        LINE,
        r#"put transact J {"store_ID":"B","name_ID":"NA","type":"si","status":"nw","linked_transaction_id":"I"}"#,
    ]);
    settle(world, &mut device);

    assert_eq!(count(world, "transact"), 2);
    assert_eq!(world.data("transact", &half(Kind::Stock, "I", "B")), "unknown");
    // Where the site does not make it, central does.
    device.record(&[&INVOICE.replace(" I ", " K ")]);
    device.sync(world);
    assert!(has(&device, "transact", &half(Kind::Stock, "K", "B")));
}

fn a_half_waits_for_what_it_needs_and_is_made_when_that_is_written(world: &mut World) {
    let (mut one, _) = two_stores(world);
    one.record(&[&INVOICE.replace(r#""comment""#, r#""requisition_ID":"R","comment""#), LINE]);
    one.sync(world);
    let other = half(Kind::Stock, "I", "B");
    assert_eq!(world.data("transact", &other), "unknown");

    one.record(&[r#"put requisition R {"store_ID":"A","name_ID":"NB","type":"response","status":"fn","linked_requisition_id":"Q"}"#]);
    one.sync(world);

    says(world, "transact", &other, &[r#""requisition_ID":"Q""#]);
    assert!(has(&one, "trans_line", &line_of(&other, "L")));
}

fn what_cannot_be_told_yet_is_told_when_the_store_of_the_name_comes(world: &mut World) {
    let (mut one, _) = two_stores(world);
    world.write(&[r#"put name ND {"name":"D","type":"store"}"#]);
    one.record(&[&INVOICE.replace("NB", "ND")]);
    one.sync(world);
    assert_eq!(count(world, "transact"), 1);

    world.write(&[r#"upsert store D {"code":"D","name_ID":"ND"}"#]);

    says(world, "transact", &half(Kind::Stock, "I", "D"), &[r#""store_ID":"D""#]);
}

fn a_merged_item_counts_as_the_one_that_stays(world: &mut World) {
    let (mut one, _) = two_stores(world);
    world.write(&[
        r#"put item old {"item_name":"old","default_pack_size":1}"#,
        r#"put item M {"item_name":"M","default_pack_size":1}"#,
        r#"put item_store_join J {"item_ID":"old","store_ID":"B","default_price":2}"#,
        r#"put outpost_item_merge old {"into_ID":"M"}"#,
    ]);

    one.record(&[INVOICE, LINE]);
    one.sync(world);

    let line = line_of(&half(Kind::Stock, "I", "B"), "L");
    says(world, "trans_line", &line, &[r#""sell_price":20"#]);
}

fn a_half_that_waits_is_looked_at_again_now_and_then_and_when_the_other_one_is_edited(world: &mut World) {
    let (mut one, _) = two_stores(world);
    one.record(&[&INVOICE.replace(r#""comment""#, r#""requisition_ID":"R","comment""#)]);
    one.sync(world);
    let other = half(Kind::Stock, "I", "B");
    assert!(!world.job(|batch| batch.retry_transfers_step(10)), "it was tried just now");
    world.now_ms += 120_000;
    assert!(!world.job(|batch| batch.retry_transfers_step(10)));
    assert_eq!(world.data("transact", &other), "unknown", "nothing has come");

    one.record(&[r#"patch transact I {"requisition_ID":""}"#]);
    one.sync(world);

    says(world, "transact", &other, &[r#""store_ID":"B""#]);
}

fn a_site_that_makes_its_own_halves_gets_none_and_both_are_routed(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    assert!(world.job(|batch| batch.set_makes_own_halves(two.site, true)));
    assert!(!world.job(|batch| batch.set_makes_own_halves(two.site, true)), "it is so already");
    assert_eq!(code(world.try_job(|batch| batch.set_makes_own_halves(CENTRAL, true))), "is_central");
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    assert_eq!(count(world, "transact"), 1);

    two.sync(world);
    assert!(has(&two, "transact", "I") && has(&two, "trans_line", "L"));
    two.record(&[
        r#"put transact J {"store_ID":"B","name_ID":"NA","type":"si","invoice_num":9,"status":"nw","linked_transaction_id":"I"}"#,
        r#"put trans_line JL {"transaction_ID":"J","item_ID":"item","type":"stock_in"}"#,
    ]);
    two.sync(world);
    one.sync(world);

    assert!(has(&one, "transact", "J") && has(&one, "trans_line", "JL"));
    assert_eq!(count(world, "transact"), 2);
    // Nothing is proposed to a site that follows by itself.
    one.record(&[r#"patch transact I {"comment":"another"}"#]);
    one.sync(world);
    assert_eq!(messages_to(world, "B"), 0);
}

fn the_flag_is_that_of_the_moment_when_the_transfer_began(world: &mut World) {
    let (mut one, two) = two_stores(world);
    world.job(|batch| batch.set_makes_own_halves(two.site, true));
    one.record(&[INVOICE]);
    one.sync(world);
    world.job(|batch| batch.set_makes_own_halves(two.site, false));

    one.record(&[r#"patch transact I {"comment":"y"}"#]);
    one.record(&[&INVOICE.replace(" I ", " J ")]);
    one.sync(world);

    assert_eq!(world.data("transact", &half(Kind::Stock, "I", "B")), "unknown");
    assert!(has(&one, "transact", &half(Kind::Stock, "J", "B")));
}

fn a_change_afterwards_is_proposed_to_the_owner_and_only_once(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    let other = half(Kind::Stock, "I", "B");
    let before = world.data("transact", &other);

    one.record(&[r#"patch transact I {"comment":"another"}"#]);
    one.record(&[r#"put trans_line L2 {"transaction_ID":"I","item_ID":"item","type":"stock_out","quantity":1}"#]);
    one.sync(world);
    assert_eq!(world.data("transact", &other), before, "central changes no half");
    assert_eq!(messages_to(world, "B"), 2);
    settle(world, &mut two);
    let asked = two.base.keys().filter(|(table, _)| Catalogue::embedded().table_name(table) == "message").count();
    assert_eq!(asked, 2);

    // Once somebody works on it, it stands.
    two.record(&[&format!(r#"patch transact {other} {{"hold":false,"invoice_num":1}}"#)]);
    two.sync(world);
    one.record(&[r#"patch transact I {"comment":"a third"}"#]);
    one.sync(world);
    assert_eq!(messages_to(world, "B"), 2);
}

fn a_change_afterwards_of_a_half_of_central_is_made_there(world: &mut World) {
    let (mut one, _) = two_stores(world);
    one.record(&[&INVOICE.replace("NB", "NC"), LINE]);
    one.sync(world);
    let other = half(Kind::Stock, "I", "C");

    one.record(&[r#"patch trans_line L {"quantity":4}"#]);
    one.sync(world);

    says(world, "trans_line", &line_of(&other, "L"), &[r#""quantity":4"#]);
    assert!(one.data("trans_line", &line_of(&other, "L")).contains(r#""quantity":4"#));
}

fn an_invoice_that_is_taken_back_has_its_half_proposed_for_deletion(world: &mut World) {
    let (mut one, _) = two_stores(world);
    one.record(&[INVOICE, LINE]);
    one.sync(world);

    one.record(&[r#"patch transact I {"om_status":"CANCELLED"}"#]);
    one.sync(world);

    assert_eq!(messages_to(world, "B"), 2, "the line and the header");
    assert!(has(&one, "transact", &half(Kind::Stock, "I", "B")), "nobody else deletes it");
}

fn central_that_was_set_back_makes_no_half_before_its_site_has_reported(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    // Two has read what this central never wrote.
    two.cursors.values_mut().for_each(|cursor| cursor.epoch = Epoch(7));
    assert_eq!(two.try_begin(world).unwrap_err().code(), "central_set_back");
    two.cursors.clear();
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    let other = half(Kind::Stock, "I", "B");
    assert_eq!(world.data("transact", &other), "unknown");

    // It hands its half back, as its user left it.
    two.record(&[&format!(
        r#"put transact {other} {{"store_ID":"B","name_ID":"NA","type":"si","status":"cn","invoice_num":8,"linked_transaction_id":"I"}}"#
    )]);
    for _ in 0..3 {
        two.sync(world);
    }
    world.now_ms += 120_000;
    world.job(|batch| batch.retry_transfers_step(10));

    says(world, "transact", &other, &[r#""invoice_num":8"#]);
    assert_eq!(count(world, "transact"), 2);
}

/// The edits that store B is asked to make, in the order of their messages' ids.
pub(super) fn asked(world: &mut World) -> Vec<String> {
    let catalogue = Catalogue::embedded();
    let messages = catalogue.table_by_name("message").unwrap();
    let found = world.store.reading().records("message", Merged::Listed, None, 100).unwrap();
    let mut asked: Vec<String> = found
        .iter()
        .map(|row| domain::json::row_from_json(messages, &row.id, row.data.as_ref().unwrap()).unwrap())
        .map(|row| domain::proposal::Proposal::of(messages, &messages.canonical(row)).unwrap().edit)
        .map(|edit| format!("{} {} {}", edit.op.as_str(), edit.table, edit.data.unwrap_or_default()))
        .collect();
    asked.sort();
    asked
}

fn what_is_edited_again_before_an_answer_is_asked_as_one(world: &mut World) {
    let (mut one, _) = two_stores(world);
    one.record(&[INVOICE]);
    one.sync(world);
    for (comment, quantity) in [("a", 1), ("b", 2)] {
        one.record(&[
            &format!(r#"patch transact I {{"comment":"{comment}"}}"#),
            &format!(
                r#"put trans_line L {{"transaction_ID":"I","item_ID":"M","type":"stock_out","quantity":{quantity}}}"#
            ),
        ]);
        one.sync(world);
    }

    let edits = asked(world);
    assert_eq!(edits.len(), 2, "{edits:?}");
    assert!(edits[0].contains("Stock transfer (b)"), "{edits:?}");
    assert!(edits[1].starts_with("put trans_line") && edits[1].contains(r#""quantity":2"#), "{edits:?}");
    one.record(&["delete trans_line L"]);
    one.sync(world);
    assert_eq!(asked(world).len(), 1, "what was never there has not to go");
}

fn a_half_whose_source_counts_again_is_not_asked_to_go(world: &mut World) {
    let (mut one, _) = two_stores(world);
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    one.record(&[r#"patch transact I {"status":"nw"}"#]);
    one.sync(world);
    assert_eq!(asked(world).len(), 2);

    one.record(&[r#"patch transact I {"status":"fn"}"#]);
    one.sync(world);

    assert_eq!(asked(world), [""; 0]);
}

fn a_half_that_was_numbered_before_it_heard_is_proposed_for_deletion_once_more(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[INVOICE]);
    one.sync(world);
    let other = half(Kind::Stock, "I", "B");
    settle(world, &mut two);
    two.record(&[&format!(r#"patch transact {other} {{"invoice_num":3}}"#)]);
    one.record(&["delete transact I"]);
    one.sync(world);
    assert_eq!(messages_to(world, "B"), 1);

    two.sync(world);
    assert_eq!(messages_to(world, "B"), 1, "what was asked of the half without a number is asked of it with one");
    assert_eq!(asked(world), ["delete transact "]);
    two.record(&[&format!(r#"patch transact {other} {{"hold":false}}"#)]);
    two.sync(world);
    assert_eq!(messages_to(world, "B"), 1, "it stands");
}

/// Number, stage, what it waits for, and whether it is stuck.
fn listed(world: &mut World, filter: &TransferFilter) -> Vec<(i64, Stage, TransferWait, bool)> {
    let filter = TransferFilter { limit: 100, ..filter.clone() };
    let found = world.store.reading().transfers(&filter, world.now_ms).unwrap();
    found.into_iter().map(|transfer| (transfer.number, transfer.stage, transfer.waits, transfer.is_stuck)).collect()
}

fn what_each_transfer_waits_for_is_listed_and_stuck_ones_stand_out(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[INVOICE]);
    one.record(&[r#"put transact W {"store_ID":"A","name_ID":"NC","type":"ci","status":"fn","requisition_ID":"R"}"#]);
    one.sync(world);
    let all = TransferFilter::default();
    let waits = TransferWait::Record { table: "requisition".to_owned(), id: id("R"), reason: None };
    let waiting = (2, Stage::Input, waits, true);
    let expected = [(1, Stage::Number, TransferWait::Queue(two.site), false), waiting.clone()];
    assert_eq!(listed(world, &all), expected);

    settle(world, &mut two);
    assert_eq!(listed(world, &all)[0].2, TransferWait::Number(two.site));
    let other = half(Kind::Stock, "I", "B");
    two.record(&[&format!(r#"patch transact {other} {{"invoice_num":3}}"#)]);
    two.sync(world);
    assert_eq!(listed(world, &all)[0], (1, Stage::Link, TransferWait::Queue(one.site), false));
    settle(world, &mut one);
    assert_eq!(listed(world, &all)[0].2, TransferWait::Link(one.site));
    let day_ms = 24 * 60 * 60 * 1000;
    world.now_ms += TRANSFER_STUCK_DAYS * day_ms + 1;
    assert!(listed(world, &all)[0].3);
    let counts = world.store.reading().transfer_counts(world.now_ms).unwrap();
    assert_eq!(counts, TransfersFound { open: 2, stuck: 2 });

    one.record(&[&format!(r#"patch transact I {{"linked_transaction_id":"{other}"}}"#)]);
    one.sync(world);
    assert_eq!(listed(world, &all)[0], (1, Stage::Done, TransferWait::Nothing, false));
    let stuck = TransferFilter { is_stuck_only: true, ..all.clone() };
    assert_eq!(listed(world, &stuck), [waiting]);
    let numbers = |world: &mut World, filter| -> Vec<i64> { listed(world, &filter).iter().map(|row| row.0).collect() };
    assert_eq!(numbers(world, TransferFilter { site: Some(two.site), ..all.clone() }), [1]);
    assert_eq!(numbers(world, TransferFilter { site: Some(CENTRAL), ..all.clone() }), [2]);
    assert_eq!(numbers(world, TransferFilter { store: Some(id("B")), ..all.clone() }), [1]);
    assert_eq!(numbers(world, TransferFilter { after: 1, ..all }), [2]);
}

fn an_import_that_is_undone_leaves_nothing(world: &mut World) {
    let (_, _) = two_stores(world);
    let lines = [&INVOICE.replace("\"A\"", "\"C\"")[..], "put nothing N {}"];

    assert!(!world.import(ImportMode::AllOrNothing, &lines).is_kept);
    world.write(&[r#"put name X {"name":"x"}"#]);

    assert_eq!(count(world, "transact"), 0);
}

fn of_what_goes_to_a_store_that_keeps_its_data_central_makes_the_half_unless_it_comes_from_the_same_site(
    world: &mut World,
) {
    let (mut one, _) = two_stores(world);
    let mut three = world.device(&["D", "F"]);
    name_stores(world, &["D", "F"]);
    assert!(world.job(|batch| batch.set_transfer_on_central(&id("F"), true)));
    settle(world, &mut three);

    let from_d = INVOICE.replace(r#""A""#, r#""D""#).replace("transact I", "transact J");
    three.record(&[&from_d.replace("NB", "NF")]);
    three.sync(world);
    one.record(&[&INVOICE.replace("NB", "NF")]);
    one.sync(world);

    assert_eq!(world.data("transact", &half(Kind::Stock, "J", "F")), "unknown");
    assert_ne!(world.data("transact", &half(Kind::Stock, "I", "F")), "unknown");
    assert_eq!(listed(world, &TransferFilter::default()).len(), 1);
}
