//! Patients and prescribers of which central does not know where they belong, until a prescription or central's people say so.

use domain::preference::Preference;

use super::*;
use crate::store::{HomeKind, HomeStore};

contract!(
    the_first_prescription_of_a_patient_decides_once_where_it_is_at_home,
    nobody_but_central_writes_a_patient_without_a_home_store,
    central_says_where_a_patient_or_prescriber_is_at_home,
    a_prescription_where_nobody_serves_patients_decides_nothing,
    shared_prescriptions_of_a_patient_go_with_its_first_home_store_where_it_is_seen,
    shared_prescriptions_go_where_a_patient_without_a_home_store_is_seen,
);

const HOMELESS: &str = r#"upsert name P {"type":"patient","first":"A"}"#;

/// Two dispensaries, A and B, in both of which a patient P without a home store is visible.
fn two(world: &mut World) -> (Device, Device) {
    let (mut one, mut two) = two_dispensaries(world);
    world.write(&[HOMELESS]);
    world.write(&["A", "B"].map(join).each_ref().map(String::as_str));
    settle(world, &mut one);
    settle(world, &mut two);
    (one, two)
}

fn join(store: &str) -> String {
    format!(r#"upsert name_store_join P-in-{store} {{"name_ID":"P","store_ID":"{store}"}}"#)
}

fn prescribe(device: &mut Device, id: &str, store: &str) {
    device.record(&[&format!(r#"put transact {id} {{"store_ID":"{store}","mode":"dispensary","name_ID":"P"}}"#)]);
}

fn home(world: &mut World) -> Option<String> {
    let data = world.data("name", "P");
    let home = data.split("\"supplying_store_id\":\"").nth(1)?;
    home.split('"').next().map(str::to_owned)
}

fn the_first_prescription_of_a_patient_decides_once_where_it_is_at_home(world: &mut World) {
    let (mut one, mut two) = two(world);
    assert_eq!((has(&one, "name", "P"), has(&two, "name", "P"), home(world)), (true, true, None));
    prescribe(&mut one, "T", "A");
    settle(world, &mut one);
    assert_eq!(home(world).as_deref(), Some("A"));
    prescribe(&mut two, "U", "B");
    settle(world, &mut two);
    settle(world, &mut one);
    assert_eq!(home(world).as_deref(), Some("A"), "it decides only once");
    assert_eq!(one.data("name", "P"), world.data("name", "P"));
    assert_eq!(two.data("name", "P"), world.data("name", "P"));

    assert!(refused(world, &mut one, r#"patch name P {"first":"B"}"#).is_empty());
    assert_eq!(refused(world, &mut two, r#"patch name P {"first":"C"}"#), ["not_home_site"]);
    assert!(refused(world, &mut one, r#"put nameInsuranceJoin R {"nameID":"P"}"#).is_empty());
}

fn nobody_but_central_writes_a_patient_without_a_home_store(world: &mut World) {
    let (mut one, _) = two(world);
    for line in [
        r#"patch name P {"first":"B"}"#,
        // It is not taken over by whoever names a store of its own.
        r#"patch name P {"supplying_store_id":"A"}"#,
        r#"put name P {"type":"patient","supplying_store_id":"A"}"#,
        "delete name P",
        r#"put name Q {"type":"patient"}"#,
    ] {
        assert_eq!(refused(world, &mut one, line), ["home_store_missing"], "{line}");
    }
    assert_eq!(refused(world, &mut one, r#"put nameInsuranceJoin R {"nameID":"P"}"#), ["not_a_patient"]);
    assert_eq!(refused(world, &mut one, r#"put name_store_join J {"name_ID":"P","store_ID":"A"}"#), ["central_data"]);

    world.write(&[r#"patch name P {"first":"C"}"#]);
    settle(world, &mut one);
    assert!(one.data("name", "P").contains("\"first\":\"C\""));
    let report = world.import(ImportMode::AllOrNothing, &[r#"patch name P {"supplying_store_id":"A"}"#]);
    assert_eq!(report.refusals.first().map(|refused| refused.code.as_str()), Some("owner_change"));
    world.write(&["delete name P"]);
    settle(world, &mut one);
    assert!(!has(&one, "name", "P"));
}

fn central_says_where_a_patient_or_prescriber_is_at_home(world: &mut World) {
    let (mut one, mut two) = two(world);
    world.write(&[r#"upsert clinician C {"last_name":"Nurse"}"#]);
    world.write(&[r#"upsert clinician_store_join CJ {"prescriber_ID":"C","store_ID":"B"}"#]);
    settle(world, &mut two);
    assert!(has(&two, "clinician", "C"));
    for (kind, record) in [(HomeKind::Patient, "P"), (HomeKind::Prescriber, "C")] {
        let set = world.job(|batch| batch.set_home_store(kind, &id(record), &id("A"), false));
        assert_eq!(set, HomeStore::Set);
        let again = world.job(|batch| batch.set_home_store(kind, &id(record), &id("A"), false));
        assert_eq!(again, HomeStore::Unchanged);
    }
    settle(world, &mut one);
    assert_eq!(home(world).as_deref(), Some("A"));
    for line in [r#"patch name P {"first":"B"}"#, r#"patch clinician C {"last_name":"B"}"#] {
        assert!(refused(world, &mut one, line).is_empty(), "{line}");
    }
    assert_eq!(refused(world, &mut two, r#"patch clinician C {"last_name":"C"}"#), ["not_home_site"]);
    // Another one is a transfer, as of any patient.
    let set = world.job(|batch| batch.set_home_store(HomeKind::Patient, &id("P"), &id("B"), false));
    assert_eq!(set, HomeStore::Asked(one.site));
}

fn a_prescription_where_nobody_serves_patients_decides_nothing(world: &mut World) {
    let (mut one, mut two) = two(world);
    world.write(&[r#"patch store A {"store_mode":"store"}"#]);
    prescribe(&mut one, "T", "A");
    settle(world, &mut one);
    assert_eq!(home(world), None);
    prescribe(&mut two, "U", "B");
    settle(world, &mut two);
    assert_eq!(home(world).as_deref(), Some("B"));
}

fn shared_prescriptions_of_a_patient_go_with_its_first_home_store_where_it_is_seen(world: &mut World) {
    let (mut one, mut two) = two(world);
    assert!(world.job(|batch| batch.set_preference(Preference::PrescriptionsWhereVisible, true)));
    while world.job(|batch| batch.share_prescriptions_step(2)) {}
    prescribe(&mut one, "T", "A");
    settle(world, &mut one);
    settle(world, &mut two);
    assert!(has(&two, "transact", "T"));
}

fn shared_prescriptions_go_where_a_patient_without_a_home_store_is_seen(world: &mut World) {
    let (mut one, mut two) = two(world);
    world.write(&[r#"patch store A {"store_mode":"store"}"#]);
    prescribe(&mut one, "T", "A");
    settle(world, &mut one);
    // Of before, and seen by whoever sees the patient when that is switched on.
    assert!(world.job(|batch| batch.set_preference(Preference::PrescriptionsWhereVisible, true)));
    while world.job(|batch| batch.share_prescriptions_step(2)) {}
    settle(world, &mut two);
    assert!(has(&two, "transact", "T"));
    assert_eq!(home(world), None);

    // Of a patient that comes behind its visibility, and goes.
    world.write(&[r#"upsert name_store_join Q-in-B {"name_ID":"Q","store_ID":"B"}"#]);
    one.record(&[r#"put transact U {"store_ID":"A","mode":"dispensary","name_ID":"Q"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert!(!has(&two, "transact", "U"), "nobody knows yet that it is a patient");
    world.write(&[r#"upsert name Q {"type":"patient"}"#]);
    settle(world, &mut two);
    assert!(has(&two, "transact", "U"));
    world.write(&["delete name Q"]);
    settle(world, &mut two);
    assert!(!has(&two, "transact", "U"));
}
