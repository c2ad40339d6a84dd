//! Merges of patients and of prescribers: who makes them, and that whoever sees one of those that are one sees all.

use super::*;

contract!(
    two_patients_of_one_site_are_merged_there_and_seen_wherever_one_was,
    two_patients_of_two_sites_are_merged_by_central_and_each_keeps_its_home,
    what_comes_to_be_seen_or_not_of_one_goes_for_those_that_are_one_with_it,
    a_merge_that_waits_for_its_patient_comes_after_it,
    a_merge_is_undone_and_each_site_sees_its_own_again,
    prescribers_are_merged_as_patients_are,
    the_primary_merges_what_is_of_two_sites,
    central_says_what_a_patient_stands_for_and_lists_only_what_stays,
);

/// Two sites with a dispensary each, of which neither sees the other. The first has the patients P, with a policy R, and Q; the second
/// has F.
fn two(world: &mut World) -> (Device, Device) {
    let (mut one, mut two) = two_dispensaries(world);
    one.record(&[&patient("P", "A"), r#"put nameInsuranceJoin R {"nameID":"P"}"#, &patient("Q", "A")]);
    two.record(&[&patient("F", "B")]);
    settle(world, &mut one);
    settle(world, &mut two);
    (one, two)
}

fn patient(id: &str, home: &str) -> String {
    format!(r#"put name {id} {{"type":"patient","supplying_store_id":"{home}"}}"#)
}

fn merge_of(from: &str, into: &str) -> String {
    format!(r#"put outpost_patient_merge {from} {{"into_ID":"{into}"}}"#)
}

/// Of the patients P, Q and F, the policy and the merges of P and Q: those that a device has.
fn held(device: &Device) -> Vec<&'static str> {
    let records = [
        ("name", "P"),
        ("name", "Q"),
        ("name", "F"),
        ("nameInsuranceJoin", "R"),
        ("outpost_patient_merge", "P"),
        ("outpost_patient_merge", "Q"),
    ];
    let words = ["P", "Q", "F", "R", "P merged", "Q merged"];
    let all = records.iter().zip(words);
    all.filter(|((table, id), _)| has(device, table, id)).map(|(_, word)| word).collect()
}

fn two_patients_of_one_site_are_merged_there_and_seen_wherever_one_was(world: &mut World) {
    let (mut one, mut two) = two(world);
    world.write(&[r#"put name_store_join J {"name_ID":"Q","store_ID":"B"}"#]);
    settle(world, &mut two);
    assert_eq!(held(&two), ["Q", "F"]);

    assert_eq!(refused(world, &mut one, &merge_of("P", "Q")), [""; 0]);
    settle(world, &mut two);

    assert_eq!(held(&two), ["P", "Q", "F", "R", "P merged"]);
    assert_eq!(held(&one), ["P", "Q", "R", "P merged"]);
    assert_eq!(two.data("outpost_patient_merge", "P"), r#"{"ID":"P","into_ID":"Q"}"#);
    // Nothing is rewritten, and whose it is stays.
    assert!(world.data("nameInsuranceJoin", "R").contains(r#""nameID":"P""#));
    assert_eq!(refused(world, &mut one, r#"patch nameInsuranceJoin R {"discountRate":1}"#), [""; 0]);
    assert_eq!(refused(world, &mut two, r#"patch name P {"first":"x"}"#), ["not_home_site"]);
    // What is written of either later goes to both at once.
    one.record(&[r#"patch name P {"first":"A"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!(two.data("name", "P"), world.data("name", "P"));
}

fn two_patients_of_two_sites_are_merged_by_central_and_each_keeps_its_home(world: &mut World) {
    let (mut one, mut two) = two(world);
    assert_eq!(refused(world, &mut one, &merge_of("P", "F")), ["not_home_site"]);
    assert_eq!(code(world.try_job(|batch| batch.merge("name", &id("P"), &id("Q")))), "not_home_site");

    let merge = world.job(|batch| batch.merge("name", &id("P"), &id("F")));
    assert!(matches!(merge, Merge::Done { .. }), "{merge:?}");
    for device in [&mut one, &mut two] {
        settle(world, device);
    }

    assert_eq!((held(&one), held(&two)), (vec!["P", "Q", "F", "R", "P merged"], vec!["P", "F", "R", "P merged"]));
    assert_eq!(refused(world, &mut one, r#"patch name P {"first":"x"}"#), [""; 0]);
    assert_eq!(refused(world, &mut one, r#"patch name F {"first":"x"}"#), ["not_home_site"]);
    assert_eq!(refused(world, &mut two, r#"patch name F {"first":"x"}"#), [""; 0]);
    assert_eq!(refused(world, &mut two, "delete outpost_patient_merge P"), ["not_home_site"]);
    assert_eq!(world.job(|batch| batch.merge("name", &id("F"), &id("P"))), Merge::Nothing { both: id("F") });
}

fn what_comes_to_be_seen_or_not_of_one_goes_for_those_that_are_one_with_it(world: &mut World) {
    let (mut one, mut two) = two(world);
    assert_eq!(refused(world, &mut one, &merge_of("P", "Q")), [""; 0]);
    settle(world, &mut two);
    assert_eq!(held(&two), ["F"]);

    world.write(&[r#"put name_store_join J {"name_ID":"P","store_ID":"B"}"#]);
    settle(world, &mut two);
    assert_eq!(held(&two), ["P", "Q", "F", "R", "P merged"]);

    let by_other = |batch: &mut Batch<'_>| batch.set_visible(&id("Q"), &id("B"), false);
    assert!(world.job(by_other), "by the one that it is one with");
    world.write(&["delete name_store_join J"]);
    settle(world, &mut two);
    assert_eq!(held(&two), ["F"]);
    assert!(!world.job(by_other));
    // The home store of one is a way to see the other, also where it comes later.
    let home = world.job(|batch| batch.set_home_store(HomeKind::Patient, &id("Q"), &id("B"), true));
    assert_eq!(home, HomeStore::Set);
    settle(world, &mut two);
    settle(world, &mut one);
    assert_eq!((held(&two), held(&one)), (vec!["P", "Q", "F", "R", "P merged"], vec!["P", "Q", "R", "P merged"]));
}

fn a_merge_that_waits_for_its_patient_comes_after_it(world: &mut World) {
    let (_, mut two) = two(world);
    two.record(&[&merge_of("late", "F")]);
    settle(world, &mut two);
    assert_eq!(world.status(&two).waiting_entries, 1);
    two.record(&[&patient("late", "B")]);

    settle(world, &mut two);

    assert_eq!(world.data("outpost_patient_merge", "late"), r#"{"ID":"late","into_ID":"F"}"#);
    assert_eq!(world.status(&two).waiting_entries, 0);
}

fn a_merge_is_undone_and_each_site_sees_its_own_again(world: &mut World) {
    let (mut one, mut two) = two(world);
    world.job(|batch| batch.merge("name", &id("P"), &id("F")));
    settle(world, &mut one);
    settle(world, &mut two);

    world.write(&["delete outpost_patient_merge P"]);
    settle(world, &mut one);
    settle(world, &mut two);

    assert_eq!((held(&one), held(&two)), (vec!["P", "Q", "R"], vec!["F"]));
    // Where a patient is gone its merge is undone all the same.
    assert_eq!(refused(world, &mut one, &merge_of("P", "Q")), [""; 0]);
    assert_eq!(refused(world, &mut one, "delete name Q"), [""; 0]);
    assert_eq!(refused(world, &mut one, "delete outpost_patient_merge P"), [""; 0]);
    assert_eq!(held(&one), ["P", "R"]);
}

fn prescribers_are_merged_as_patients_are(world: &mut World) {
    let (mut one, mut two) = two(world);
    one.record(&[r#"put clinician C {"store_ID":"A"}"#, r#"put clinician D {"store_ID":"A"}"#]);
    two.record(&[r#"put clinician G {"store_ID":"B"}"#, r#"put transact T {"store_ID":"B","prescriber_ID":"D"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    let knows = |device: &Device| ["C", "D", "G"].map(|prescriber| has(device, "clinician", prescriber));
    assert_eq!((knows(&one), knows(&two)), ([true, true, false], [false, true, true]));

    assert_eq!(refused(world, &mut one, r#"put outpost_prescriber_merge C {"into_ID":"D"}"#), [""; 0]);
    settle(world, &mut two);
    assert_eq!(knows(&two), [true; 3], "by the prescription of the other");
    assert!(has(&two, "outpost_prescriber_merge", "C"));

    world.job(|batch| batch.merge("clinician", &id("C"), &id("G")));
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!((knows(&one), knows(&two)), ([true; 3], [true; 3]));
    // What it was by then goes.
    assert!(has(&one, "outpost_prescriber_merge", "D"));
    assert_eq!(refused(world, &mut one, "delete outpost_prescriber_merge D"), ["not_home_site"]);
}

fn the_primary_merges_what_is_of_two_sites(world: &mut World) {
    let (mut one, mut two) = two(world);
    let site = two.site;
    world.job(|batch| batch.enable_mirror(site));
    for _ in 0..3 {
        settle(world, &mut two);
    }

    assert_eq!(code(world.try_job(|batch| batch.merge("name", &id("P"), &id("F")))), "not_home_site");
    assert_eq!(refused(world, &mut two, &merge_of("P", "F")), [""; 0]);
    settle(world, &mut one);
    assert_eq!(held(&one), ["P", "Q", "F", "R", "P merged"]);
}

fn central_says_what_a_patient_stands_for_and_lists_only_what_stays(world: &mut World) {
    let (mut one, _) = two(world);
    world.write(&[r#"put name N {"type":"facility"}"#, r#"put name M {"type":"facility"}"#]);
    world.job(|batch| batch.merge("name", &id("N"), &id("M")));
    world.job(|batch| batch.merge("name", &id("P"), &id("F")));
    settle(world, &mut one);

    let end = |world: &mut World, name| world.store.reading().merged("name", &id(name)).unwrap().unwrap().end;
    assert_eq!((end(world, "P"), end(world, "N")), (id("F"), id("M")));
    let listed = |world: &mut World, merged| {
        let rows = world.store.reading().records("name", merged, None, 99).unwrap();
        rows.iter().map(|row| row.id.to_string()).filter(|name| name.len() == 1).collect::<String>()
    };
    assert_eq!(listed(world, Merged::LeftOut), "FMQ");
    assert_eq!(listed(world, Merged::Listed), "FMNPQ");
    for (from, into, expected) in [("Q", "N", "not_a_patient"), ("M", "F", "merge_table")] {
        assert_eq!(code(world.try_job(|batch| batch.merge("name", &id(from), &id(into)))), expected);
    }
}
