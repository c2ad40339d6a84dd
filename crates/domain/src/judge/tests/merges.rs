//! Merges (rule 5.19). Item A was merged into B, and B into C; D is another one. Store S1 has the name NS; name NA was merged into NB.

use super::*;

impl World {
    /// The first record of a table that has this id in a column.
    pub(super) fn naming(&self, table: &str, column: &str, wanted: &RecordId) -> Option<RecordId> {
        let table = self.table(table);
        let names =
            |found: &Found| matches!(found, Found::Here { row, .. } if table.id_in(row, column).as_ref() == Ok(wanted));
        let mut records = self.records.iter().filter(|((of, _), _)| of == table.reference());
        records.find(|(_, found)| names(found)).map(|((_, id), _)| id.clone())
    }
}

fn world() -> World {
    let mut world = World::new();
    for item in ["A", "B", "C", "D"] {
        world.here("item", item, None, r#"{"item_name":"x"}"#);
    }
    world.gone("item", "gone", None);
    world.here("outpost_item_merge", "A", None, r#"{"into_ID":"B"}"#);
    world.here("outpost_item_merge", "B", None, r#"{"into_ID":"C"}"#);
    world.gone("outpost_item_merge", "D", None);
    for name in ["NS", "NA", "NB", "NC"] {
        world.here("name", name, None, r#"{"type":"facility"}"#);
    }
    world.here("name", "P1", Some("S0"), r#"{"type":"patient","supplying_store_id":"S0"}"#);
    world.here("outpost_name_merge", "NA", None, r#"{"into_ID":"NB"}"#);
    world.here("store", "S1", None, r#"{"name_ID":"NS"}"#);
    world
}

fn check(author: SiteId, cases: &[(&str, &str)]) {
    for side in BOTH {
        for (edit, expected) in cases {
            assert_eq!(world().outcome(side, author, edit), *expected, "{edit} by site {author} at {side:?}");
        }
    }
}

fn reason(edit: &str) -> String {
    let mut world = world();
    let entry = world.entry(edit);
    match world.judge_entry(Side::Device, SiteId::CENTRAL, &entry) {
        Verdict::Refuse(refusal) => refusal.to_string(),
        other => panic!("{edit}: {other:?}"),
    }
}

#[test]
fn central_merges_two_records_that_are_there_and_every_site_is_told() {
    check(
        SiteId::CENTRAL,
        &[
            (r#"put outpost_item_merge D {"into_ID":"C"}"#, "accept, to all sites"),
            (r#"put outpost_item_merge C {"into_ID":"D"}"#, "accept, to all sites"),
            // What is merged itself is as good as what it stands for.
            (r#"put outpost_item_merge D {"into_ID":"A"}"#, "accept, to all sites"),
            (r#"put outpost_name_merge NC {"into_ID":"NA"}"#, "accept, to all sites"),
            (r#"put outpost_item_merge D {"into_ID":"gone"}"#, "merge_record_missing"),
            (r#"put outpost_item_merge gone {"into_ID":"C"}"#, "merge_record_missing"),
            (r#"put outpost_item_merge D {"into_ID":"NC"}"#, "merge_record_missing"),
            (r#"put outpost_unit_merge D {"into_ID":"C"}"#, "merge_record_missing"),
            ("put outpost_item_merge D {}", "bad_value"),
            (r#"put outpost_item_merge D {"into_ID":7}"#, "bad_value"),
            (r#"patch outpost_item_merge D {"into_ID":"C"}"#, "record_missing"),
        ],
    );
}

#[test]
fn a_merge_that_says_nothing_new_or_the_opposite_changes_nothing() {
    check(
        SiteId::CENTRAL,
        &[
            (r#"put outpost_item_merge A {"into_ID":"B"}"#, "accept, to all sites, nothing"),
            (r#"put outpost_item_merge A {"into_ID":"C"}"#, "merge_fixed"),
            (r#"patch outpost_item_merge A {"into_ID":"D"}"#, "merge_fixed"),
            (r#"put outpost_item_merge C {"into_ID":"A"}"#, "merge_circle"),
            (r#"put outpost_item_merge C {"into_ID":"B"}"#, "merge_circle"),
            (r#"put outpost_item_merge C {"into_ID":"C"}"#, "merge_circle"),
        ],
    );
    assert_eq!(
        reason(r#"put outpost_item_merge A {"into_ID":"D"}"#),
        "outpost_item_merge A says that it was merged into B; whoever may do so merges B into D, or undoes this first by deleting the row (merge_fixed)"
    );
}

#[test]
fn central_undoes_a_merge_by_deleting_its_row() {
    check(
        SiteId::CENTRAL,
        &[
            ("delete outpost_item_merge A", "accept, to all sites"),
            ("delete outpost_item_merge B", "accept, to all sites"),
        ],
    );
}

#[test]
fn what_a_site_puts_as_it_is_here_needs_nobody() {
    let as_here = r#"put item A {"item_name":"x"}"#;
    assert_eq!(world().outcome(Side::Central, HERE, as_here), "already_here");
    assert_eq!(world().outcome(Side::Device, HERE, as_here), "central_data");
}

#[test]
fn no_site_merges_central_data_and_none_undoes_a_merge() {
    check(
        HERE,
        &[
            (r#"put outpost_item_merge D {"into_ID":"C"}"#, "central_data"),
            (r#"put outpost_item_merge A {"into_ID":"D"}"#, "central_data"),
            (r#"put outpost_name_merge NS {"into_ID":"NC"}"#, "central_data"),
        ],
    );
    for side in BOTH {
        let outcome = world().outcome(side, HERE, "delete outpost_item_merge A");
        assert_eq!(outcome, "central_data", "{side:?}");
    }
}

#[test]
fn names_of_stores_and_patients_are_not_merged() {
    check(
        SiteId::CENTRAL,
        &[
            (r#"put outpost_name_merge NS {"into_ID":"NC"}"#, "merge_of_store"),
            (r#"put outpost_name_merge NC {"into_ID":"NS"}"#, "merge_of_store"),
            (r#"put outpost_name_merge P1 {"into_ID":"NC"}"#, "merge_table"),
            (r#"put outpost_name_merge NC {"into_ID":"P1"}"#, "merge_table"),
        ],
    );
    let told = reason(r#"put outpost_name_merge NC {"into_ID":"NS"}"#);
    assert!(told.contains("name NS, which is that of store S1"), "{told}");
}

#[test]
fn a_store_gets_no_name_that_was_merged() {
    check(
        SiteId::CENTRAL,
        &[
            (r#"put store S3 {"name_ID":"NA"}"#, "merge_of_store"),
            (r#"put store S3 {"name_ID":"NB"}"#, "merge_of_store"),
            (r#"patch store S1 {"name_ID":"NB"}"#, "merge_of_store"),
            (r#"put store S3 {"name_ID":"NC"}"#, "accept, to what a site sees"),
            ("put store S3 {}", "accept, to what a site sees"),
            (r#"patch store S1 {"code":"1"}"#, "accept, to what a site sees"),
        ],
    );
}

/// Locations L1 and L2 of store S1 and L3 of S2, at site 2; L4 of S3, at site 3.
#[test]
fn locations_of_a_store_are_merged_by_its_site() {
    let world = || {
        let mut world = world();
        for (location, store) in [("L1", "S1"), ("L2", "S1"), ("L3", "S2"), ("L4", "S3"), ("L5", "S3")] {
            world.here("Location", location, Some(store), &format!(r#"{{"store_ID":"{store}"}}"#));
        }
        world.here("outpost_location_merge", "L4", Some("S3"), r#"{"into_ID":"L5","store_ID":"S3"}"#);
        world
    };
    for side in BOTH {
        for (author, edit, expected) in [
            (HERE, r#"put outpost_location_merge L1 {"into_ID":"L2","store_ID":"S1"}"#, "accept, S1, to store S1"),
            (HERE, r#"put outpost_location_merge L1 {"into_ID":"L3","store_ID":"S1"}"#, "merge_store_differs"),
            (HERE, r#"put#4 outpost_location_merge L1 {"into_ID":"L2","store_ID":"S2"}"#, "merge_store_differs"),
            (HERE, r#"put outpost_location_merge L1 {"into_ID":"L2","store_ID":"S3"}"#, "not_store_holder"),
            (HERE, r#"put outpost_location_merge L1 {"into_ID":"L2"}"#, "store_missing"),
            (HERE, r#"put outpost_location_merge L1 {"into_ID":"L9","store_ID":"S1"}"#, "merge_record_missing"),
            (HERE, r#"put outpost_location_merge L1 {"store_ID":"S1"}"#, "bad_value"),
            (HERE, r#"put outpost_location_merge L1 {"into_ID":"L1","store_ID":"S1"}"#, "merge_circle"),
            (HERE, "delete outpost_location_merge L4", "not_store_holder"),
            (ELSEWHERE, "delete outpost_location_merge L4", "accept, S3, to store S3"),
            (ELSEWHERE, r#"put outpost_location_merge L5 {"into_ID":"L4","store_ID":"S3"}"#, "merge_circle"),
            (ELSEWHERE, r#"patch outpost_location_merge L4 {"into_ID":"L1"}"#, "merge_fixed"),
            (
                ELSEWHERE,
                r#"put outpost_location_merge L4 {"into_ID":"L5","store_ID":"S3"}"#,
                "accept, S3, to store S3, nothing",
            ),
        ] {
            assert_eq!(world().outcome(side, author, edit), expected, "{edit} by site {author} at {side:?}");
        }
    }
    let central = r#"put outpost_location_merge L1 {"into_ID":"L2","store_ID":"S1"}"#;
    assert_eq!(world().outcome(Side::Device, SiteId::CENTRAL, central), "not_store_holder");
}
