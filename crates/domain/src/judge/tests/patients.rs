//! Patients, what hangs on them, and the visibility that their sites make. P1 and P1b are of S1 and P2 of S2 at site 2, P3 of S3 at
//! site 3, P0 of central's S0; D1 to D3 hang on P1 to P3.

use super::*;

/// The outcomes of `cases` in a world with patients.
fn check(side: Side, author: SiteId, cases: &[(&str, &str)]) {
    for (edit, expected) in cases {
        assert_eq!(world().outcome(side, author, edit), *expected, "{edit} by site {author} at {side:?}");
    }
}

fn world() -> World {
    let mut world = World::new();
    for (patient, store) in [("P1", "S1"), ("P1b", "S1"), ("P2", "S2"), ("P3", "S3"), ("P0", "S0")] {
        let data = format!(r#"{{"type":"patient","supplying_store_id":"{store}"}}"#);
        world.here("name", patient, Some(store), &data);
    }
    for (record, patient, store) in
        [("D1", "P1", "S1"), ("D2", "P2", "S2"), ("D3", "P3", "S3"), ("Dgone", "Pgone", "S1")]
    {
        world.here("encounter", record, Some(store), &format!(r#"{{"name_ID":"{patient}","store_ID":"S2"}}"#));
    }
    world.here("store", "S3", None, r#"{"name_ID":"nS3"}"#);
    world.gone("name", "Pgone", Some("S1"));
    world.gone("name", "Pgone3", Some("S3"));
    world.gone("name", "Ngone", None);
    world.gone("encounter", "Dgone3", Some("S3"));
    world
}

#[test]
fn a_patient_is_written_where_its_home_store_is_active() {
    for side in BOTH {
        check(
            side,
            HERE,
            &[
                (r#"put name X {"type":"patient","supplying_store_id":"S1"}"#, "accept, S1, to what a site sees"),
                (r#"put#4 name X {"type":"patient","supplying_store_id":"S2"}"#, "accept, S2, to what a site sees"),
                (r#"patch name P1 {"first":"A"}"#, "accept, S1, to what a site sees"),
                (r#"put name P1 {"type":"patient","supplying_store_id":"S1"}"#, "accept, S1, to what a site sees"),
                ("delete name P1", "accept, S1, to what a site sees"),
                (r#"put name Pgone {"type":"patient","supplying_store_id":"S1"}"#, "accept, S1, to what a site sees"),
                (r#"put name X {"type":"patient","supplying_store_id":"S3"}"#, "not_home_site"),
                (r#"put name X {"type":"patient","supplying_store_id":"S0"}"#, "not_home_site"),
                (r#"put name X {"type":"patient","supplying_store_id":"nobody's"}"#, "not_home_site"),
                (r#"patch name P3 {"first":"A"}"#, "not_home_site"),
                (r#"put name P3 {"type":"patient","supplying_store_id":"S1"}"#, "not_home_site"),
                ("delete name P3", "not_home_site"),
                (r#"put name Pgone3 {"type":"patient","supplying_store_id":"S1"}"#, "not_home_site"),
                (r#"put name X {"type":"patient"}"#, "home_store_missing"),
                (r#"put name X {"type":"patient","supplying_store_id":7}"#, "home_store_missing"),
                (r#"patch name P1 {"supplying_store_id":null}"#, "home_store_missing"),
            ],
        );
    }
    check(
        Side::Device,
        SiteId::CENTRAL,
        &[
            (r#"put name X {"type":"patient","supplying_store_id":"S0"}"#, "accept, S0, to what a site sees"),
            (r#"patch name P0 {"first":"A"}"#, "accept, S0, to what a site sees"),
            (r#"put name Ngone {"type":"patient","supplying_store_id":"S0"}"#, "accept, S0, to what a site sees"),
            (r#"put name X {"type":"patient","supplying_store_id":"S1"}"#, "not_home_site"),
            (r#"patch name P1 {"first":"A"}"#, "not_home_site"),
            ("delete name P1", "not_home_site"),
        ],
    );
}

#[test]
fn a_patient_keeps_its_home_store_and_its_type() {
    for side in BOTH {
        check(
            side,
            HERE,
            &[
                (r#"patch name P1 {"supplying_store_id":"S2"}"#, "owner_change"),
                (r#"patch name P1 {"supplying_store_id":"S3"}"#, "owner_change"),
                (r#"put name Pgone {"type":"patient","supplying_store_id":"S2"}"#, "owner_change"),
                (r#"patch name P1 {"type":"facility"}"#, "central_data"),
                (r#"patch name N1 {"type":"patient","supplying_store_id":"S1"}"#, "central_data"),
                (r#"put name N1 {"type":"patient","supplying_store_id":"S1"}"#, "central_data"),
                (r#"put name Ngone {"type":"patient","supplying_store_id":"S1"}"#, "central_data"),
                (r#"put name nS3 {"type":"patient","supplying_store_id":"S1"}"#, "patient_of_store"),
            ],
        );
    }
    check(
        Side::Device,
        SiteId::CENTRAL,
        &[
            (r#"patch name P0 {"supplying_store_id":"S1"}"#, "owner_change"),
            (r#"patch name P0 {"type":"facility"}"#, "data_type_change"),
            (r#"put store S9 {"name_ID":"P1"}"#, "patient_of_store"),
        ],
    );
}

#[test]
fn what_hangs_on_a_patient_is_written_where_the_patient_is_and_stays_with_it() {
    for side in BOTH {
        check(
            side,
            HERE,
            &[
                (r#"put nameInsuranceJoin X {"nameID":"P1"}"#, "accept, S1, under name P1, to what a site sees"),
                (r#"put om_document X {"owner_name_ID":"P1"}"#, "accept, S1, under name P1, to what a site sees"),
                (
                    r#"put vaccination X {"name_ID":"P1","store_ID":"S3"}"#,
                    "accept, S1, under name P1, to what a site sees",
                ),
                (r#"put#4 patient_event X {"name_ID":"P2"}"#, "accept, S2, under name P2, to what a site sees"),
                (r#"patch encounter D1 {"store_ID":"S3"}"#, "accept, S1, under name P1, to what a site sees"),
                ("delete encounter D1", "accept, S1, to what a site sees"),
                ("delete encounter Dgone", "accept, S1, to what a site sees"),
                (r#"patch encounter D1 {"name_ID":"P1b"}"#, "owner_change"),
                (r#"patch encounter D1 {"name_ID":"P3"}"#, "owner_change"),
                (r#"put encounter D3 {"name_ID":"P1"}"#, "not_home_site"),
                (r#"put encounter Dgone3 {"name_ID":"P1"}"#, "not_home_site"),
                (r#"patch encounter D3 {"store_ID":"S1"}"#, "not_home_site"),
                ("delete encounter D3", "not_home_site"),
                (r#"put encounter X {"name_ID":"P3","store_ID":"S1"}"#, "not_home_site"),
                (r#"put encounter X {"name_ID":"P0"}"#, "not_home_site"),
                (r#"put encounter X {"store_ID":"S1"}"#, "header_missing"),
                (r#"put encounter X {"name_ID":"N1"}"#, "not_a_patient"),
                (r#"put encounter X {"name_ID":"Pgone"}"#, "header_deleted"),
                (r#"patch encounter Dgone {"store_ID":"S1"}"#, "header_deleted"),
            ],
        );
    }
    let early = r#"put encounter X {"name_ID":"P9"}"#;
    check(Side::Device, HERE, &[(early, "header_missing")]);
    check(Side::Central, HERE, &[(early, "wait name P9")]);
    check(Side::Device, SiteId::CENTRAL, &[(r#"put encounter X {"name_ID":"P1"}"#, "not_home_site")]);
}

#[test]
fn without_a_dispensary_at_the_site_nobody_writes_its_patients() {
    for (side, author, patient, store) in [
        (Side::Device, HERE, "P1", "S1"),
        (Side::Central, HERE, "P1", "S1"),
        (Side::Device, SiteId::CENTRAL, "P0", "S0"),
    ] {
        for edit in [
            format!(r#"put name X {{"type":"patient","supplying_store_id":"{store}"}}"#),
            format!(r#"patch name {patient} {{"first":"A"}}"#),
            format!("delete name {patient}"),
            format!(r#"put nameInsuranceJoin X {{"nameID":"{patient}"}}"#),
        ] {
            let mut world = world();
            world.dispensary_sites.remove(&author);
            assert_eq!(world.outcome(side, author, &edit), "no_dispensary", "{edit}");
        }
    }
}

#[test]
fn at_central_a_patients_number_must_be_that_of_its_home_store() {
    check(
        Side::Central,
        HERE,
        &[
            (r#"put#1 name X {"type":"patient","supplying_store_id":"S2"}"#, "ownership_number"),
            (r#"patch#2 name P1 {"first":"A"}"#, "ownership_number"),
            (r#"put#1 encounter X {"name_ID":"P2"}"#, "ownership_number"),
            ("delete#1 encounter D2", "ownership_number"),
            (r#"put#1 name_store_join J {"store_ID":"S1","name_ID":"P2"}"#, "ownership_number"),
        ],
    );
    let mut world = world();
    let entry = world.entry(r#"put#0 encounter X {"name_ID":"P2"}"#);
    let Verdict::Accept(applied) = world.judge_entry(Side::Device, HERE, &entry) else { panic!("refused") };
    assert_eq!(applied.ownership, OwnershipNumber(4), "the device learns the number from the judge");
}

/// The number of store S1's grant after one transfer of a patient.
const ONCE: u32 = 1 + (1 << 20);

#[test]
fn after_a_transfer_a_patient_is_written_under_another_number() {
    let mut world = world();
    world.here("name", "P1", Some("S1"), r#"{"type":"patient","supplying_store_id":"S1","outpost_home_transfers":1}"#);
    for (edit, number) in [
        (r#"patch# name P1 {"first":"A"}"#, ONCE),
        ("delete# name P1", ONCE),
        (r#"put# encounter X {"name_ID":"P1"}"#, ONCE),
        (r#"patch# encounter D1 {"store_ID":"S1"}"#, ONCE),
        ("delete# encounter D1", ONCE),
        (r#"put# name_store_join J {"store_ID":"S1","name_ID":"P1"}"#, ONCE),
    ] {
        let under = |number: u32| edit.replacen('#', &format!("#{number}"), 1);
        assert!(world.outcome(Side::Central, HERE, &under(number)).starts_with("accept"), "{edit}");
        assert_eq!(world.outcome(Side::Central, HERE, &under(1)), "ownership_number", "{edit}");
        let entry = world.entry(&under(0));
        let Verdict::Accept(applied) = world.judge_entry(Side::Device, HERE, &entry) else {
            panic!("{edit} is refused")
        };
        assert_eq!(applied.ownership, OwnershipNumber(number), "{edit}");
    }
}

#[test]
fn a_patient_that_goes_elsewhere_is_edited_no_more_on_its_device_and_still_taken_by_central() {
    let mut world = world();
    world.here("name", "P1", Some("S1"), r#"{"type":"patient","supplying_store_id":"S1","outpost_home_goes_to":"S3"}"#);
    for edit in [
        r#"patch name P1 {"first":"A"}"#,
        r#"put name P1 {"type":"patient","supplying_store_id":"S1"}"#,
        "delete name P1",
        r#"put encounter X {"name_ID":"P1"}"#,
        "delete encounter D1",
        r#"put name_store_join J {"store_ID":"S1","name_ID":"P1"}"#,
    ] {
        assert_eq!(world.outcome(Side::Device, HERE, edit), "home_transfer", "{edit}");
        assert!(world.outcome(Side::Central, HERE, edit).starts_with("accept"), "{edit}");
    }
    let entry = world.entry(r#"put name P1 {"type":"patient","supplying_store_id":"S1"}"#);
    let Verdict::Accept(applied) = world.judge_entry(Side::Central, HERE, &entry) else { panic!("refused") };
    let kept = home_transfer::goes_to(&applied.row.unwrap());
    assert_eq!(kept, Some(id("S3")), "a put that does not name it keeps it");
}

#[test]
fn what_central_alone_sets_in_a_patient_no_edit_sets() {
    let sets = [
        r#"patch name P1 {"outpost_home_goes_to":"S2"}"#,
        r#"patch name P1 {"outpost_home_transfers":1}"#,
        r#"put name P1 {"type":"patient","supplying_store_id":"S1","outpost_home_transfers":1}"#,
        r#"put name X {"type":"patient","supplying_store_id":"S1","outpost_home_goes_to":"S3"}"#,
    ];
    for side in BOTH {
        check(side, HERE, &sets.map(|edit| (edit, "central_column")));
    }
    let new = r#"put#1048577 name X {"type":"patient","supplying_store_id":"S1","outpost_home_transfers":1}"#;
    check(Side::Device, HERE, &[(new, "central_column")]);
    // One that is handed back to a central that has lost it.
    check(Side::Central, HERE, &[(new, "accept, S1, to what a site sees")]);
    let own = r#"put name X {"type":"patient","supplying_store_id":"S0","outpost_home_transfers":1}"#;
    check(Side::Device, SiteId::CENTRAL, &[(own, "central_column")]);
    // As it is there already it may be named.
    let mut world = world();
    world.here("name", "P1", Some("S1"), r#"{"type":"patient","supplying_store_id":"S1","outpost_home_transfers":1}"#);
    let same = r#"put#1048577 name P1 {"type":"patient","supplying_store_id":"S1","outpost_home_transfers":1}"#;
    assert!(world.outcome(Side::Central, HERE, same).starts_with("accept"));
    let less = r#"patch#1048577 name P1 {"outpost_home_transfers":null}"#;
    assert_eq!(world.outcome(Side::Central, HERE, less), "central_column");
}

#[test]
fn a_site_makes_visibility_of_its_own_patients_in_its_own_stores_and_once() {
    for side in BOTH {
        check(
            side,
            HERE,
            &[
                (r#"put name_store_join J {"store_ID":"S2","name_ID":"P1"}"#, "accept, to what a site sees"),
                (r#"put name_store_join J {"store_ID":"S3","name_ID":"P1"}"#, "not_store_holder"),
                (r#"put name_store_join J {"store_ID":"S1","name_ID":"P3"}"#, "not_home_site"),
                (r#"put name_store_join J {"store_ID":"S3","name_ID":"P3"}"#, "not_store_holder"),
                (r#"put name_store_join J {"store_ID":"S1","name_ID":"Pgone"}"#, "header_deleted"),
                (r#"put name_store_join J {"store_ID":"S1","name_ID":"P1","inactive":true}"#, "central_data"),
                (r#"put name_store_join J {"store_ID":"S1"}"#, "central_data"),
                (r#"put name_store_join J {"store_ID":"S1","name_ID":"N1"}"#, "central_data"),
                (r#"put name_store_join J {"store_ID":"S3","name_ID":"N1"}"#, "central_data"),
                ("delete name_store_join J", "central_data"),
                (r#"patch name_store_join J {"store_ID":"S1"}"#, "central_data"),
            ],
        );
        for edit in [
            r#"put name_store_join J {"store_ID":"S1","name_ID":"P1","om_name_is_customer":true}"#,
            r#"patch name_store_join J {"inactive":true}"#,
            "delete name_store_join J",
        ] {
            let mut world = world();
            world.here("name_store_join", "J", None, r#"{"store_ID":"S1","name_ID":"P1"}"#);
            assert_eq!(world.outcome(side, HERE, edit), "central_data", "{edit}");
        }
    }
    let early = r#"put name_store_join J {"store_ID":"S1","name_ID":"P9"}"#;
    check(Side::Device, HERE, &[(early, "header_missing")]);
    check(Side::Central, HERE, &[(early, "wait name P9")]);
    let mut world = world();
    let entry = world.entry(r#"put name_store_join J {"store_ID":"S2","name_ID":"P1"}"#);
    let Verdict::Accept(applied) = world.judge_entry(Side::Central, HERE, &entry) else { panic!("refused") };
    assert_eq!(applied.visible_key, Some(VisibleKey::Store(id("S2"))));
    assert_eq!(applied.ownership, OwnershipNumber(1), "of the home store");
}

/// `domain.md`, "Data types": visibility of existing patients is the primary's, that of names central's also in a mirrored system.
#[test]
fn in_a_mirrored_system_the_primary_says_where_patients_are_visible_and_central_where_names_are() {
    let primary = |authority: fn(Holding) -> Authority, author, side, edit: &str| {
        let holding = Holding { site: HERE, ownership: OwnershipNumber(7) };
        let mut world = World { authority: authority(holding), ..world() };
        world.here("name_store_join", "JP", None, r#"{"store_ID":"S3","name_ID":"P3"}"#);
        world.here("name_store_join", "JN", None, r#"{"store_ID":"S3","name_ID":"N1"}"#);
        world.outcome(side, author, edit)
    };
    let of_patient = [
        r#"put#7 name_store_join J {"store_ID":"S3","name_ID":"P1"}"#,
        r#"put#7 name_store_join J {"store_ID":"S1","name_ID":"P3"}"#,
        r#"put#7 name_store_join J {"store_ID":"S1","name_ID":"Pgone3"}"#,
        r#"patch#7 name_store_join JP {"inactive":true}"#,
        "delete#7 name_store_join JP",
    ];
    let of_name = [
        r#"put#7 name_store_join J {"store_ID":"S1","name_ID":"N1"}"#,
        r#"put#7 name_store_join J {"store_ID":"S1","name_ID":"unknown"}"#,
        r#"patch#7 name_store_join JN {"name_ID":"P3"}"#,
        r#"patch#7 name_store_join JP {"name_ID":"N1"}"#,
        "delete#7 name_store_join JN",
    ];
    for side in BOTH {
        for edit in of_patient {
            let seen = |outcome: String| outcome.starts_with("accept, to what a site sees");
            assert!(seen(primary(Authority::Primary, HERE, side, edit)), "{edit}");
            assert_eq!(primary(Authority::Primary, SiteId::CENTRAL, side, edit), "central_data", "{edit}");
            assert_eq!(primary(Authority::Frozen, SiteId::CENTRAL, side, edit), "central_data", "{edit}");
        }
        for edit in of_name {
            let refused = primary(Authority::Primary, HERE, side, edit);
            let is_unknown = edit.contains("unknown");
            let expected = if is_unknown { ["header_missing", "wait name unknown"] } else { ["central_data"; 2] };
            assert!(expected.contains(&refused.as_str()), "{edit}: {refused}");
            assert!(primary(Authority::Primary, SiteId::CENTRAL, side, edit).starts_with("accept"), "{edit}");
        }
        // A site's own new visibility is that site's all the same.
        let own = r#"put#4 name_store_join J {"store_ID":"S3","name_ID":"P3"}"#;
        let elsewhere = primary(Authority::Primary, ELSEWHERE, side, &own.replace("#4", "#1"));
        assert_eq!(elsewhere, "accept, to what a site sees");
    }
    let old = r#"put#6 name_store_join J {"store_ID":"S3","name_ID":"P3"}"#;
    assert_eq!(primary(Authority::Primary, HERE, Side::Central, old), "not_store_holder", "under a number of before");
}

#[test]
fn prescribers_have_home_stores_like_patients() {
    let world = || {
        let mut world = world();
        for (prescriber, store) in [("C1", "S1"), ("C3", "S3"), ("C0", "S0")] {
            world.here("clinician", prescriber, Some(store), &format!(r#"{{"store_ID":"{store}"}}"#));
        }
        world
    };
    let moved = r#"{"store_ID":"S1","outpost_home_transfers":1,"outpost_home_goes_to":"S3"}"#;
    for side in BOTH {
        for (edit, expected) in [
            (r#"put clinician X {"store_ID":"S1"}"#, "accept, S1, to what a site sees"),
            (r#"patch clinician C1 {"last_name":"A"}"#, "accept, S1, to what a site sees"),
            ("delete clinician C1", "accept, S1, to what a site sees"),
            (r#"put clinician X {"store_ID":"S3"}"#, "not_home_site"),
            (r#"patch clinician C3 {"last_name":"A"}"#, "not_home_site"),
            (r#"patch clinician C1 {"store_ID":"S2"}"#, "owner_change"),
            (r#"put clinician X {"last_name":"A"}"#, "home_store_missing"),
            (r#"put clinician_store_join J {"store_ID":"S2","prescriber_ID":"C1"}"#, "accept, to what a site sees"),
            (r#"put clinician_store_join J {"store_ID":"S3","prescriber_ID":"C1"}"#, "not_store_holder"),
            (r#"put clinician_store_join J {"store_ID":"S1","prescriber_ID":"C3"}"#, "not_home_site"),
            (r#"patch clinician_store_join J {"store_ID":"S1"}"#, "central_data"),
        ] {
            assert_eq!(world().outcome(side, HERE, edit), expected, "{edit} at {side:?}");
        }
        let mut world = world();
        world.dispensary_sites.remove(&HERE);
        assert_eq!(world.outcome(side, HERE, r#"put clinician X {"store_ID":"S1"}"#), "no_dispensary");
    }
    let of_patient = r#"put clinician_store_join J {"store_ID":"S1","prescriber_ID":"P1"}"#;
    assert_eq!(world().outcome(Side::Device, HERE, of_patient), "header_missing", "a patient is no prescriber");
    assert_eq!(world().outcome(Side::Central, HERE, of_patient), "wait clinician P1");
    let mut world = world();
    world.here("clinician", "C1", Some("S1"), moved);
    let edit = format!(r#"patch#{ONCE} clinician C1 {{"last_name":"A"}}"#);
    assert_eq!(world.outcome(Side::Device, HERE, &edit), "home_transfer");
    assert!(world.outcome(Side::Central, HERE, &edit).starts_with("accept"));
    let entry = world.entry(&edit);
    let Verdict::Accept(applied) = world.judge_entry(Side::Central, HERE, &entry) else { panic!("refused") };
    assert_eq!(applied.visible_key, Some(VisibleKey::Prescriber(id("C1"))));
    let central = world.outcome(
        Side::Device,
        SiteId::CENTRAL,
        r#"put clinician_store_join J {"store_ID":"S3","prescriber_ID":"C3"}"#,
    );
    assert_eq!(central, "accept, to what a site sees");
}

#[test]
fn a_refusal_names_the_rule_and_the_site_that_may_do_it() {
    let mut world = world();
    let entry = world.entry(r#"patch name P3 {"first":"A"}"#);
    let Verdict::Refuse(refusal) = world.judge_entry(Side::Central, HERE, &entry) else { panic!("not refused") };

    let expected = "name P3 is written where the home store S3 is active: by site 3, not site 2 (not_home_site)";
    assert_eq!(refusal.to_string(), expected);
}
