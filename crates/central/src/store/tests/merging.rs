//! Merges (rule 5.19): who may make one, what it comes to, and who hears of it.

use super::*;

contract!(
    a_merge_reaches_every_site_and_rewrites_nothing,
    a_merge_joins_what_the_records_are_by_then,
    a_merge_that_says_nothing_new_or_the_opposite_writes_nothing,
    a_merge_that_breaks_a_rule_is_refused_and_writes_nothing,
    a_site_that_forges_a_merge_is_refused,
    a_row_that_is_imported_by_hand_goes_through_the_same_checks,
    rows_of_another_central_are_imported_in_any_order,
    a_merge_is_undone_by_deleting_its_row_and_may_be_made_again,
    a_record_that_is_deleted_keeps_its_merges,
    a_store_gets_no_name_that_was_merged,
    locations_are_merged_where_their_store_is_active,
);

const NAMES: [&str; 4] = [
    r#"put name NS {"type":"facility"}"#,
    r#"put name NA {"type":"facility"}"#,
    r#"put name NB {"type":"facility"}"#,
    r#"put store S {"name_ID":"NS"}"#,
];

fn items(world: &mut World) {
    for item in ["A", "B", "C", "D"] {
        world.write(&[&format!(r#"put item {item} {{"item_name":"{item}"}}"#)]);
    }
}

fn merge(world: &mut World, from: &str, into: &str) -> Merge {
    world.job(|batch| batch.merge("item", &id(from), &id(into)))
}

/// The ends of the items A to D.
fn ends(world: &mut World) -> String {
    let end = |item| match world.store.reading().merged("item", &id(item)).unwrap() {
        Some(merged) => merged.end.to_string(),
        None => item.to_owned(),
    };
    ["A", "B", "C", "D"].map(end).concat()
}

fn codes(world: &mut World, lines: &[&str]) -> Vec<String> {
    let report = world.import(ImportMode::Continue, lines);
    report.refusals.into_iter().map(|refusal| refusal.code).collect()
}

fn listed(world: &mut World, merged: Merged) -> String {
    let rows = world.store.reading().records("item", merged, None, 9).unwrap();
    rows.iter().map(|row| row.id.as_str()).collect()
}

fn a_merge_reaches_every_site_and_rewrites_nothing(world: &mut World) {
    items(world);
    let mut device = world.device(&["S"]);
    device.record(&[r#"put item_line L {"store_ID":"S","item_ID":"A"}"#]);
    device.sync(world);
    let line = world.data("item_line", "L");

    let Merge::Done { from, into, position } = merge(world, "A", "B") else { panic!("nothing was done") };
    device.record(&[r#"put item_line M {"store_ID":"S","item_ID":"A"}"#]);

    assert_eq!((from, into, position), (id("A"), id("B"), world.store.position()));
    assert_eq!(device.sync(world), 1);
    assert_eq!(device.data("outpost_item_merge", "A"), r#"{"ID":"A","into_ID":"B"}"#);
    assert_eq!(
        (world.data("item_line", "L"), world.data("item", "A")),
        (line, r#"{"ID":"A","item_name":"A"}"#.to_owned())
    );
    assert!(world.data("item_line", "M").contains(r#""item_ID":"A""#));
    assert_eq!((listed(world, Merged::LeftOut), listed(world, Merged::Listed)), ("BCD".to_owned(), "ABCD".to_owned()));
    let merged = world.store.reading().explain("item", &id("A")).unwrap().merged.unwrap();
    assert_eq!((merged.end, merged.steps.len(), merged.steps[0].position), (id("B"), 1, position));
    assert_eq!(world.store.reading().explain("item", &id("B")).unwrap().merged, None);
}

fn a_merge_joins_what_the_records_are_by_then(world: &mut World) {
    items(world);

    merge(world, "A", "B");
    // A is B by now, so B goes; and C is D by then.
    merge(world, "C", "D");
    let Merge::Done { from, into, .. } = merge(world, "A", "C") else { panic!("nothing was done") };

    assert_eq!((from, into), (id("B"), id("D")));
    assert_eq!(ends(world), "DDDD");
    let steps = world.store.reading().merged("item", &id("A")).unwrap().unwrap().steps;
    assert_eq!(steps.iter().map(|step| step.into.as_str()).collect::<Vec<_>>(), ["B", "D"]);
}

fn a_merge_that_says_nothing_new_or_the_opposite_writes_nothing(world: &mut World) {
    items(world);
    merge(world, "A", "B");
    merge(world, "B", "C");
    let before = world.store.position();

    for (from, into) in [("A", "B"), ("A", "C"), ("B", "A"), ("C", "A"), ("C", "B"), ("B", "B")] {
        assert_eq!(merge(world, from, into), Merge::Nothing { both: id("C") }, "{from} into {into}");
    }

    assert_eq!(merge(world, "D", "D"), Merge::Nothing { both: id("D") });
    assert_eq!((world.store.position(), ends(world)), (before, "CCCD".to_owned()));
}

fn a_merge_that_breaks_a_rule_is_refused_and_writes_nothing(world: &mut World) {
    items(world);
    world.write(&NAMES);
    world.write(&["delete item D"]);
    let before = world.store.position();

    for (table, from, into, expected) in [
        ("item", "A", "none", "merge_record_missing"),
        ("item", "none", "A", "merge_record_missing"),
        ("item", "A", "D", "merge_record_missing"),
        ("item", "D", "A", "merge_record_missing"),
        ("item", "A", "NA", "merge_record_missing"),
        ("name", "NS", "NA", "merge_of_store"),
        ("name", "NA", "NS", "merge_of_store"),
        ("store", "S", "S", "merge_table"),
        ("outpost_item_merge", "A", "B", "merge_table"),
        ("itme", "A", "B", "unknown_table"),
    ] {
        let refused = world.try_job(|batch| batch.merge(table, &id(from), &id(into)));
        assert_eq!(code(refused), expected, "{table} {from} {into}");
    }

    assert_eq!(world.store.position(), before);
}

fn a_site_that_forges_a_merge_is_refused(world: &mut World) {
    items(world);
    merge(world, "C", "D");
    let mut device = world.device(&["S"]);
    device.sync(world);

    device.record(&[r#"put outpost_item_merge A {"into_ID":"B"}"#]);
    device.record(&["delete outpost_item_merge C"]);
    device.sync(world);
    device.sync(world);

    let refused = |sequence| (sequence, "central_data".to_owned());
    assert_eq!(device.told, [refused(1), refused(2)]);
    assert_eq!(ends(world), "ABDD");
    assert_eq!(device.data("outpost_item_merge", "A"), "not here");
    assert_eq!(device.data("outpost_item_merge", "C"), r#"{"ID":"C","into_ID":"D"}"#);
}

fn a_row_that_is_imported_by_hand_goes_through_the_same_checks(world: &mut World) {
    items(world);
    world.write(&NAMES);
    merge(world, "A", "B");

    let refused = codes(
        world,
        &[
            r#"upsert outpost_item_merge A {"into_ID":"B"}"#,
            r#"upsert outpost_item_merge A {"into_ID":"C"}"#,
            r#"upsert outpost_item_merge B {"into_ID":"A"}"#,
            r#"upsert outpost_item_merge none {"into_ID":"A"}"#,
            r#"upsert outpost_name_merge NA {"into_ID":"NS"}"#,
            r#"upsert outpost_item_merge C {"into_ID":""}"#,
            r#"upsert outpost_item_merge C {"into_ID":"D"}"#,
        ],
    );

    let expected = ["merge_fixed", "merge_circle", "merge_record_missing", "merge_of_store", "bad_value"];
    assert_eq!((refused, ends(world)), (expected.map(str::to_owned).to_vec(), "BBDD".to_owned()));
}

fn rows_of_another_central_are_imported_in_any_order(world: &mut World) {
    items(world);
    let rows = [("A", "B"), ("B", "C"), ("C", "D")]
        .map(|(from, into)| format!(r#"upsert outpost_item_merge {from} {{"into_ID":"{into}"}}"#));

    for order in [[2, 0, 1], [1, 0, 2], [0, 1, 2]] {
        world.write(&order.map(|index| rows[index].as_str()));
        assert_eq!(ends(world), "DDDD", "{order:?}");
        world.write(&["delete outpost_item_merge A", "delete outpost_item_merge B", "delete outpost_item_merge C"]);
        assert_eq!(ends(world), "ABCD");
    }
}

fn a_merge_is_undone_by_deleting_its_row_and_may_be_made_again(world: &mut World) {
    items(world);
    let mut device = world.device(&["S"]);
    merge(world, "A", "B");
    merge(world, "B", "C");
    device.sync(world);

    world.write(&["delete outpost_item_merge B"]);

    assert_eq!(ends(world), "BBCD");
    assert_eq!(device.sync(world), 1);
    assert_eq!(device.data("outpost_item_merge", "B"), "not here");
    // The other way round is no circle any more.
    assert!(matches!(merge(world, "C", "A"), Merge::Done { .. }));
    assert!(matches!(merge(world, "A", "D"), Merge::Done { .. }));
    assert_eq!((ends(world), listed(world, Merged::LeftOut)), ("DDDD".to_owned(), "D".to_owned()));
}

fn a_record_that_is_deleted_keeps_its_merges(world: &mut World) {
    items(world);
    merge(world, "A", "B");
    merge(world, "C", "D");

    world.write(&["delete item B", "delete item C"]);

    assert_eq!(ends(world), "BBDD");
    assert_eq!(listed(world, Merged::LeftOut), "D");
    let explained = world.store.reading().explain("item", &id("C")).unwrap();
    assert_eq!(explained.merged.map(|merged| merged.end), Some(id("D")));
    // What A stands for is not there, so nothing can be said of it but by undoing that first.
    assert_eq!(code(world.try_job(|batch| batch.merge("item", &id("A"), &id("D")))), "merge_record_missing");
    world.write(&["delete outpost_item_merge A"]);
    assert!(matches!(merge(world, "A", "D"), Merge::Done { .. }));
}

fn a_store_gets_no_name_that_was_merged(world: &mut World) {
    world.write(&NAMES);
    world.write(&[r#"put name N_%\" {"type":"facility"}"#, r#"put name N_x {"type":"facility"}"#]);
    world.job(|batch| batch.merge("name", &id("NA"), &id("NB")));
    world.job(|batch| batch.merge("name", &id("N_x"), &id("N_%\"")));

    let refused = codes(
        world,
        &[
            r#"put store T {"name_ID":"NA"}"#,
            r#"patch store S {"name_ID":"NB"}"#,
            r#"put store T {"name_ID":"N_%\""}"#,
            r#"put store T {"name_ID":"N__"}"#,
        ],
    );

    assert_eq!(refused, ["merge_of_store"; 3]);
    assert!(world.data("store", "S").contains(r#""name_ID":"NS""#));
}

fn locations_are_merged_where_their_store_is_active(world: &mut World) {
    let mut device = world.device(&["S"]);
    world.write(&[r#"put store C {"code":"C"}"#]);
    for (location, store) in [("L1", "S"), ("L2", "S")] {
        device.record(&[&format!(r#"put Location {location} {{"store_ID":"{store}"}}"#)]);
    }
    world.write(&[r#"put Location K1 {"store_ID":"C"}"#, r#"put Location K2 {"store_ID":"C"}"#]);
    settle(world, &mut device);

    device.record(&[r#"put outpost_location_merge L1 {"into_ID":"L2","store_ID":"S"}"#]);
    device.record(&[r#"put outpost_location_merge L2 {"into_ID":"K1","store_ID":"S"}"#]);
    settle(world, &mut device);
    assert_eq!(device.told, [(4, "merge_store_differs".to_owned())]);
    let end = |world: &mut World, location: &str| {
        world.store.reading().merged("Location", &id(location)).unwrap().map(|merged| merged.end.to_string())
    };
    assert_eq!(end(world, "L1").as_deref(), Some("L2"));

    let merge = |world: &mut World, from: &str, into: &str| {
        world.try_job(|batch| batch.merge("Location", &id(from), &id(into)))
    };
    assert_eq!(merge(world, "L2", "L1").unwrap(), Merge::Nothing { both: id("L2") });
    device.record(&[r#"put Location L3 {"store_ID":"S"}"#]);
    settle(world, &mut device);
    assert_eq!(code(merge(world, "L3", "L1")), "not_store_holder");
    assert!(matches!(merge(world, "K1", "K2"), Ok(Merge::Done { .. })));
    assert_eq!(end(world, "K1").as_deref(), Some("K2"));
    assert_eq!(code(merge(world, "K2", "L1")), "merge_store_differs");
    settle(world, &mut device);
    assert!(has(&device, "outpost_location_merge", "L1") && !has(&device, "outpost_location_merge", "K1"));
}
