//! Transfers: a half that stands catches up with its source once that counts again, and lines that are made again come back.

use domain::proposal::{MESSAGE_TABLE, Proposal, asked_store, processed};
use domain::transfers::kinds::Kind;

use super::transfers::{INVOICE, LINE, half, line_of, says, two_stores};
use super::transfers_kept::asked;
use super::*;

contract!(
    what_was_edited_while_an_invoice_was_taken_back_is_proposed_when_it_counts_again,
    what_was_edited_while_an_invoice_went_to_another_store_is_proposed_when_it_comes_back,
    lines_that_went_with_the_deletion_of_a_half_that_stands_come_back,
    of_a_half_that_is_gone_nothing_is_remembered,
    a_line_that_is_made_again_before_its_answer_is_not_asked_to_go_and_follows,
    a_line_that_went_as_proposed_comes_back_with_its_source_line,
    a_line_that_its_owner_deleted_does_not_come_back,
    a_line_of_a_half_of_central_comes_back_with_its_source_line,
    an_edit_of_which_it_cannot_be_told_what_follows_is_followed_when_that_comes,
);

/// A device answers all that its store is asked, by what it says of each: whether it makes the edit.
fn answer(world: &mut World, device: &mut Device, makes: impl Fn(&str) -> bool) {
    settle(world, device);
    let catalogue = Catalogue::embedded();
    let messages = catalogue.table_by_name(MESSAGE_TABLE).unwrap();
    for found in world.store.reading().records(MESSAGE_TABLE, Merged::Listed, None, 100).unwrap() {
        let row = domain::json::row_from_json(messages, &found.id, found.data.as_ref().unwrap()).unwrap();
        let row = messages.canonical(row);
        let Some(_) = asked_store(messages, &row) else { continue };
        let edit = Proposal::of(messages, &row).unwrap().edit;
        let line = |edit: &Edit| {
            let data = edit.data.clone().unwrap_or_default();
            format!("{} {} {} {data}", edit.op.as_str(), edit.table, edit.id).trim_end().to_owned()
        };
        let done = line(&processed(&found.id));
        if makes(&edit.table) {
            device.record(&[&line(&edit), &done]);
        } else {
            let declined = domain::proposal::Declined { code: "changed_since".to_owned(), reason: "r".to_owned() };
            device.record(&[&line(&declined.message(&found.id, &id("B"))), &done]);
        }
    }
    device.sync(world);
}

fn what_was_edited_while_an_invoice_was_taken_back_is_proposed_when_it_counts_again(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[INVOICE, LINE, &LINE.replace(" L ", " L2 "), &LINE.replace(" L ", " L3 ")]);
    one.sync(world);
    let other = half(Kind::Stock, "I", "B");
    settle(world, &mut two);
    two.record(&[&format!(r#"patch trans_line {} {{"batch":"mine"}}"#, line_of(&other, "L"))]);
    two.sync(world);

    one.record(&[r#"patch transact I {"status":"nw","comment":"y"}"#]);
    one.sync(world);
    one.record(&[r#"patch transact I {"comment":"z"}"#, r#"patch trans_line L {"quantity":4,"batch":"c"}"#]);
    one.record(&["delete trans_line L2", &LINE.replace(" L ", " L4 ")]);
    one.sync(world);
    one.record(&[r#"patch transact I {"status":"fn"}"#, r#"patch trans_line L {"quantity":5}"#]);
    one.sync(world);

    let edits = asked(world);
    assert_eq!(edits.len(), 4, "{edits:?}");
    assert!(edits[0].starts_with("delete trans_line"), "{edits:?}");
    assert!(edits[1].contains(r#""quantity":5"#) && !edits[1].contains("batch"), "the owner has its own: {edits:?}");
    assert!(edits[2].contains("Stock transfer (z)"), "{edits:?}");
    assert!(edits[3].starts_with("put trans_line"), "{edits:?}");
    answer(world, &mut two, |_| true);
    says(world, "trans_line", &line_of(&other, "L"), &[r#""quantity":5"#, r#""batch":"mine""#]);
    says(world, "trans_line", &line_of(&other, "L3"), &[r#""quantity":3"#]);
    says(world, "trans_line", &line_of(&other, "L4"), &[r#""quantity":3"#]);
    assert_eq!(world.data("trans_line", &line_of(&other, "L2")), "deleted");
    // It follows as before.
    one.record(&[r#"patch transact I {"comment":"w"}"#]);
    one.sync(world);
    answer(world, &mut two, |_| true);
    says(world, "transact", &other, &["Stock transfer (w)"]);
}

fn what_was_edited_while_an_invoice_went_to_another_store_is_proposed_when_it_comes_back(world: &mut World) {
    let (mut one, _) = two_stores(world);
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    one.record(&[r#"patch transact I {"name_ID":"NC"}"#]);
    one.record(&[r#"patch trans_line L {"quantity":4}"#]);
    one.sync(world);

    one.record(&[r#"patch transact I {"name_ID":"NB"}"#]);
    one.sync(world);

    let edits = asked(world);
    assert_eq!(edits.len(), 1, "{edits:?}");
    assert!(edits[0].starts_with("patch trans_line") && edits[0].contains(r#""quantity":4"#), "{edits:?}");
    assert_eq!(world.data("transact", &half(Kind::Stock, "I", "C")), "deleted");
}

fn lines_that_went_with_the_deletion_of_a_half_that_stands_come_back(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    let other = half(Kind::Stock, "I", "B");
    one.record(&[r#"patch transact I {"status":"nw"}"#]);
    one.sync(world);
    answer(world, &mut two, |table| table == "trans_line");
    assert_eq!(world.data("trans_line", &line_of(&other, "L")), "deleted");
    says(world, "transact", &other, &[r#""hold":true"#]);

    one.record(&[r#"patch transact I {"status":"fn"}"#]);
    one.sync(world);
    answer(world, &mut two, |_| true);

    says(world, "trans_line", &line_of(&other, "L"), &[r#""quantity":3"#]);
    says(world, "transact", &other, &[r#""hold":true"#]);
}

fn of_a_half_that_is_gone_nothing_is_remembered(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    one.record(&[r#"patch transact I {"status":"nw"}"#, r#"patch trans_line L {"quantity":4}"#]);
    one.sync(world);
    answer(world, &mut two, |_| true);
    assert_eq!(world.data("transact", &half(Kind::Stock, "I", "B")), "deleted");

    one.record(&[r#"patch transact I {"status":"fn"}"#, r#"patch trans_line L {"quantity":5}"#]);
    one.sync(world);

    settle(world, &mut two);
    let open = asked(world).into_iter().filter(|edit| !edit.starts_with("delete")).count();
    assert_eq!(open, 0);
    assert_eq!(world.data("transact", &half(Kind::Stock, "I", "B")), "deleted");
}

fn a_line_that_is_made_again_before_its_answer_is_not_asked_to_go_and_follows(world: &mut World) {
    let (mut one, _) = two_stores(world);
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    one.record(&["delete trans_line L"]);
    one.sync(world);
    assert_eq!(asked(world).len(), 1);

    one.record(&[LINE]);
    one.sync(world);
    assert_eq!(asked(world), [""; 0], "it is as it was");

    one.record(&["delete trans_line L"]);
    one.sync(world);
    one.record(&[&LINE.replace(r#""quantity":3"#, r#""quantity":4"#)]);
    one.sync(world);
    let edits = asked(world);
    assert_eq!(edits.len(), 1, "{edits:?}");
    assert!(edits[0].starts_with("patch trans_line") && edits[0].contains(r#""quantity":4"#), "{edits:?}");
}

fn a_line_that_went_as_proposed_comes_back_with_its_source_line(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    let line = line_of(&half(Kind::Stock, "I", "B"), "L");
    for quantity in [4, 5] {
        one.record(&["delete trans_line L"]);
        one.sync(world);
        answer(world, &mut two, |_| true);
        assert_eq!(world.data("trans_line", &line), "deleted");

        one.record(&[&LINE.replace(r#""quantity":3"#, &format!(r#""quantity":{quantity}"#))]);
        one.sync(world);
        answer(world, &mut two, |_| true);
        says(world, "trans_line", &line, &[&format!(r#""quantity":{quantity}"#)]);
    }
}

fn a_line_that_its_owner_deleted_does_not_come_back(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    let line = line_of(&half(Kind::Stock, "I", "B"), "L");
    settle(world, &mut two);
    two.record(&[&format!("delete trans_line {line}")]);
    two.sync(world);

    one.record(&["delete trans_line L"]);
    one.sync(world);
    one.record(&[LINE]);
    one.sync(world);

    assert_eq!((world.data("trans_line", &line), asked(world)), ("deleted".to_owned(), Vec::new()));
}

fn a_line_of_a_half_of_central_comes_back_with_its_source_line(world: &mut World) {
    let (mut one, _) = two_stores(world);
    one.record(&[&INVOICE.replace("NB", "NC"), LINE]);
    one.sync(world);
    let line = line_of(&half(Kind::Stock, "I", "C"), "L");
    one.record(&["delete trans_line L"]);
    one.sync(world);
    assert_eq!(world.data("trans_line", &line), "deleted");

    one.record(&[LINE]);
    one.sync(world);
    says(world, "trans_line", &line, &[r#""quantity":3"#]);

    // What people at central delete stays away.
    world.write(&[&format!("delete trans_line {line}")]);
    one.record(&["delete trans_line L"]);
    one.record(&[LINE]);
    one.sync(world);
    assert_eq!(world.data("trans_line", &line), "deleted");
}

fn an_edit_of_which_it_cannot_be_told_what_follows_is_followed_when_that_comes(world: &mut World) {
    let (mut one, _) = two_stores(world);
    world.write(&[r#"put item_store_join J {"item_ID":"X","store_ID":"B","default_price":2}"#]);
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    one.record(&[r#"patch trans_line L {"item_ID":"X"}"#, &LINE.replace(" L ", " L2 ").replace(r#""M""#, r#""X""#)]);
    one.sync(world);
    one.record(&[r#"patch trans_line L {"quantity":9}"#]);
    one.sync(world);
    assert_eq!(asked(world), [""; 0]);

    world.write(&[r#"put item X {"item_name":"X","default_pack_size":1}"#]);

    let edits = asked(world);
    assert_eq!(edits.len(), 2, "{edits:?}");
    assert!(edits[0].contains(r#""item_ID":"X""#) && edits[0].contains(r#""quantity":9"#), "{edits:?}");
    assert!(edits[1].starts_with("put trans_line"), "{edits:?}");
}
