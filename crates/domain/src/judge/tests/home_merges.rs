//! Merges of patients and of prescribers. P1 is of S1 and P2 of S2, both at this site; P3 and P3b are of S3 at site 3, P0 of central's S0.
//! P1a was merged into P1, and P1g into Pgone, which was deleted. Prescribers are named C instead of P.

use super::*;

fn world() -> World {
    let mut world = World::new();
    for (number, store) in
        [("1", "S1"), ("1a", "S1"), ("1g", "S1"), ("2", "S2"), ("3", "S3"), ("3b", "S3"), ("0", "S0")]
    {
        let patient = format!(r#"{{"type":"patient","supplying_store_id":"{store}"}}"#);
        world.here("name", &format!("P{number}"), Some(store), &patient);
        world.here("clinician", &format!("C{number}"), Some(store), &format!(r#"{{"store_ID":"{store}"}}"#));
    }
    world.gone("name", "Pgone", Some("S1"));
    world.here("outpost_patient_merge", "P1a", Some("S1"), r#"{"into_ID":"P1"}"#);
    world.here("outpost_patient_merge", "P1g", Some("S1"), r#"{"into_ID":"Pgone"}"#);
    world.here("store", "S3", None, r#"{"name_ID":"nS3"}"#);
    world
}

fn check(side: Side, author: SiteId, cases: &[(&str, &str)]) {
    check_in(world, side, author, cases);
}

fn check_in(world: impl Fn() -> World, side: Side, author: SiteId, cases: &[(&str, &str)]) {
    for (edit, expected) in cases {
        assert_eq!(world().outcome(side, author, edit), *expected, "{edit} by site {author} at {side:?}");
    }
}

#[test]
fn two_of_one_site_are_merged_there_and_whoever_sees_the_one_that_goes_is_told() {
    for side in BOTH {
        check(
            side,
            HERE,
            &[
                (r#"put outpost_patient_merge P1 {"into_ID":"P2"}"#, "accept, S1, under name P1, to what a site sees"),
                (
                    r#"put#4 outpost_patient_merge P2 {"into_ID":"P1"}"#,
                    "accept, S2, under name P2, to what a site sees",
                ),
                (
                    r#"put outpost_prescriber_merge C1 {"into_ID":"C2"}"#,
                    "accept, S1, under clinician C1, to what a site sees",
                ),
                (
                    r#"put outpost_patient_merge P1a {"into_ID":"P1"}"#,
                    "accept, S1, under name P1a, to what a site sees, nothing",
                ),
                ("delete outpost_patient_merge P1a", "accept, S1, to what a site sees"),
                ("delete outpost_patient_merge P1g", "accept, S1, to what a site sees"),
                (r#"put outpost_patient_merge P1a {"into_ID":"P2"}"#, "merge_fixed"),
                (r#"put outpost_patient_merge P1 {"into_ID":"P1a"}"#, "merge_circle"),
                (r#"put outpost_patient_merge P1 {"into_ID":"Pgone"}"#, "merge_record_missing"),
                // What it stands for is gone.
                (r#"put outpost_patient_merge P1 {"into_ID":"P1g"}"#, "merge_record_missing"),
                (r#"put outpost_patient_merge P1 {"into_ID":"N1"}"#, "not_a_patient"),
                (r#"put outpost_patient_merge N1 {"into_ID":"P1"}"#, "not_a_patient"),
                (r#"put outpost_name_merge P1 {"into_ID":"P2"}"#, "central_data"),
                ("put outpost_patient_merge P1 {}", "bad_value"),
            ],
        );
    }
    check(Side::Device, HERE, &[(r#"put outpost_patient_merge P1 {"into_ID":"new"}"#, "merge_record_missing")]);
    check(
        Side::Central,
        HERE,
        &[
            (r#"put outpost_patient_merge P1 {"into_ID":"new"}"#, "wait name new"),
            (r#"put#2 outpost_patient_merge P1 {"into_ID":"P2"}"#, "ownership_number"),
        ],
    );
}

#[test]
fn two_of_two_sites_are_merged_by_whoever_writes_central_data() {
    let far = r#"put outpost_patient_merge P1 {"into_ID":"P3"}"#;
    for side in BOTH {
        check(
            side,
            SiteId::CENTRAL,
            &[
                (far, "accept, S1, under name P1, to what a site sees"),
                (r#"put outpost_patient_merge P3 {"into_ID":"P0"}"#, "accept, S3, under name P3, to what a site sees"),
                (
                    r#"put outpost_prescriber_merge C3 {"into_ID":"C1"}"#,
                    "accept, S3, under clinician C3, to what a site sees",
                ),
                // Both are of one site, which merges them itself.
                (r#"put outpost_patient_merge P1 {"into_ID":"P2"}"#, "not_home_site"),
                (r#"put outpost_prescriber_merge C3 {"into_ID":"C3b"}"#, "not_home_site"),
                ("delete outpost_patient_merge P1a", "not_home_site"),
            ],
        );
        check(
            side,
            HERE,
            &[
                (far, "not_home_site"),
                (r#"put outpost_patient_merge P3 {"into_ID":"P1"}"#, "not_home_site"),
                (r#"put outpost_patient_merge P3 {"into_ID":"P3b"}"#, "not_home_site"),
            ],
        );
    }
}

#[test]
fn in_a_mirrored_system_the_primary_merges_what_is_of_two_sites_under_its_own_number() {
    let primary = |authority: fn(Holding) -> Authority| {
        move || World { authority: authority(Holding { site: HERE, ownership: OwnershipNumber(7) }), ..world() }
    };
    let far = r#"put#7 outpost_patient_merge P3 {"into_ID":"P0"}"#;
    for side in BOTH {
        check_in(
            primary(Authority::Primary),
            side,
            HERE,
            &[
                (far, "accept, S3, under name P3, to what a site sees"),
                (
                    r#"put#7 outpost_patient_merge P1 {"into_ID":"P3"}"#,
                    "accept, S1, under name P1, to what a site sees",
                ),
            ],
        );
        check_in(primary(Authority::Primary), side, SiteId::CENTRAL, &[(far, "not_home_site")]);
        check_in(primary(Authority::Frozen), side, HERE, &[(far, "central_data")]);
    }
    // What is of the primary's own stores is under their numbers.
    check_in(
        primary(Authority::Primary),
        Side::Central,
        HERE,
        &[
            (r#"put#1 outpost_patient_merge P1 {"into_ID":"P2"}"#, "accept, S1, under name P1, to what a site sees"),
            (r#"put#7 outpost_patient_merge P1 {"into_ID":"P2"}"#, "ownership_number"),
        ],
    );
}

#[test]
fn no_dispensary_is_needed_and_one_that_is_on_its_way_is_not_merged() {
    let without = || World { dispensary_sites: BTreeSet::new(), ..world() };
    let merge = r#"put outpost_patient_merge P1 {"into_ID":"P2"}"#;
    for side in BOTH {
        check_in(without, side, HERE, &[(merge, "accept, S1, under name P1, to what a site sees")]);
    }
    let leaving = || {
        let mut world = world();
        world.here(
            "name",
            "P1",
            Some("S1"),
            r#"{"type":"patient","supplying_store_id":"S1","outpost_home_goes_to":"S3"}"#,
        );
        world
    };
    check_in(leaving, Side::Device, HERE, &[(merge, "home_transfer")]);
}

/// A device keeps nothing of a patient that was deleted, but the merge has the home store of the one that went.
#[test]
fn a_merge_is_undone_where_the_one_that_went_is_gone_by_the_site_of_its_home_store() {
    for gone in [true, false] {
        let left = || {
            let mut world = world();
            if gone {
                world.gone("name", "P1a", Some("S1"));
                world.gone("name", "P1", Some("S1"));
            } else {
                for patient in ["P1a", "P1"] {
                    let key = world.key("name", patient);
                    world.records.remove(&key);
                }
            }
            world
        };
        for side in BOTH {
            let undo = "delete outpost_patient_merge P1a";
            check_in(left, side, HERE, &[(undo, "accept, S1, to what a site sees")]);
            for other in [SiteId::CENTRAL, ELSEWHERE] {
                check_in(left, side, other, &[(undo, "not_home_site")]);
            }
        }
    }
}

#[test]
fn what_was_merged_as_a_name_becomes_no_patient_and_no_patient_becomes_a_name_that_was_merged() {
    let named = || {
        let mut world = world();
        for name in ["NA", "NB"] {
            world.gone("name", name, None);
        }
        world.here("outpost_name_merge", "NA", None, r#"{"into_ID":"NB"}"#);
        world.gone("name", "P1a", Some("S1"));
        world.gone("name", "free", None);
        world
    };
    let patient = |id: &str| format!(r#"put name {id} {{"type":"patient","supplying_store_id":"S0"}}"#);
    let name = |id: &str| format!(r#"put name {id} {{"type":"facility"}}"#);
    let accepted = "accept, S0, to what a site sees";
    check_in(
        named,
        Side::Device,
        SiteId::CENTRAL,
        &[
            (&patient("NA"), "merge_table"),
            (&patient("NB"), "merge_table"),
            (&patient("free"), accepted),
            (&name("NA"), "accept, to all sites"),
            (&name("P1a"), "merge_table"),
            (&name("P1"), "data_type_change"),
            (&name("free"), "accept, to all sites"),
        ],
    );
}
