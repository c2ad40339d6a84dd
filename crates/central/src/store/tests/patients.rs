//! Patients: who receives them, who may write them, and the visibility that a site makes.

use super::*;
use crate::store::explain::LaneStanding;

contract!(
    a_patient_goes_to_its_home_site_and_where_it_becomes_visible,
    whoever_writes_a_patient_is_not_sent_it_again,
    what_a_site_comes_to_see_late_of_a_patient_is_back_filled_and_goes_again,
    a_collector_of_a_store_has_the_patients_that_are_visible_in_it,
    the_site_that_gets_a_home_store_gets_its_patients,
    what_a_site_edits_before_it_reads_what_it_gained_comes_whole,
    a_patient_is_not_taken_over,
    what_hangs_on_a_patient_waits_for_it,
    without_a_dispensary_a_site_writes_no_patient,
    a_site_makes_its_own_patients_visible_in_its_own_stores,
    what_was_left_of_a_deleted_patient_stays_with_its_home_site,
    a_record_of_a_patient_comes_behind_the_patient,
    who_reads_everything_anew_is_not_given_what_it_came_to_see_ahead_of_that,
    central_holds_patients_of_its_own_stores,
    a_store_is_sent_its_patients_once_more,
);

/// Two sites with a dispensary each, of which neither sees the other. The first has a patient P with a policy R.
fn two(world: &mut World) -> (Device, Device) {
    let (mut one, mut two) = two_dispensaries(world);
    one.record(&[&patient("P", "A"), r#"put nameInsuranceJoin R {"nameID":"P","policyNumberFull":"1"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    (one, two)
}

fn patient(id: &str, home: &str) -> String {
    format!(r#"put name {id} {{"type":"patient","supplying_store_id":"{home}"}}"#)
}

fn join(patient: &str, store: &str) -> String {
    format!(r#"put name_store_join {patient}-in-{store} {{"name_ID":"{patient}","store_ID":"{store}"}}"#)
}

fn has_both(device: &Device) -> (bool, bool) {
    (has(device, "name", "P"), has(device, "nameInsuranceJoin", "R"))
}

fn a_patient_goes_to_its_home_site_and_where_it_becomes_visible(world: &mut World) {
    let (mut one, mut two) = two(world);
    assert_eq!((has_both(&one), has_both(&two)), ((true, true), (false, false)));
    assert!(world.data("name", "P").contains("patient") && world.data("nameInsuranceJoin", "R").contains('1'));

    world.write(&[&join("P", "B")]);
    settle(world, &mut two);
    assert_eq!(has_both(&two), (true, true));

    one.record(&[r#"patch name P {"first":"A"}"#]);
    one.record(&[r#"patch nameInsuranceJoin R {"policyNumberFull":"2"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    for (table, record) in [("name", "P"), ("nameInsuranceJoin", "R")] {
        assert_eq!(two.data(table, record), world.data(table, record));
        assert_eq!(one.data(table, record), world.data(table, record));
    }
    // A wiped device is sent its own.
    one.wipe_copy();
    settle(world, &mut one);
    assert_eq!(has_both(&one), (true, true));
    let explained = world.store.reading().explain("nameInsuranceJoin", &id("R")).unwrap();
    assert_eq!(explained.holder, Some((one.site, protocol::ids::OwnershipNumber(1))));
    let seen =
        |lane: &LaneStanding| (lane.visible_key.as_ref().map(ToString::to_string), lane.sites, lane.sites_behind);
    let lanes: Vec<_> = explained.lanes.iter().map(seen).collect();
    assert!(lanes.contains(&(Some("name P".to_owned()), 2, 0)), "{lanes:?}");
}

fn whoever_writes_a_patient_is_not_sent_it_again(world: &mut World) {
    let mut one = world.device(&["A"]);
    world.write(&[r#"patch store A {"store_mode":"dispensary"}"#]);
    settle(world, &mut one);

    one.record(&[&patient("P", "A"), r#"put nameInsuranceJoin R {"nameID":"P"}"#]);

    assert_eq!((one.sync(world), one.sync(world)), (0, 0));
    assert_eq!(world.status(&one).rows_waiting, 0);
}

fn what_a_site_comes_to_see_late_of_a_patient_is_back_filled_and_goes_again(world: &mut World) {
    let (mut one, mut two) = two(world);
    for number in 0..20 {
        one.record(&[&format!(r#"put encounter E{number} {{"name_ID":"P","store_ID":"A"}}"#)]);
    }
    settle(world, &mut one);

    world.write(&[&join("P", "B")]);
    settle(world, &mut two);
    assert!((0..20).all(|number| has(&two, "encounter", &format!("E{number}"))));
    one.record(&["delete encounter E3"]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert!(!has(&two, "encounter", "E3"));

    world.write(&["delete name_store_join P-in-B"]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!((has_both(&one), has_both(&two)), ((true, true), (false, false)));
    assert!((0..20).all(|number| !has(&two, "encounter", &format!("E{number}"))));
    assert!(has(&one, "encounter", "E4"));
}

fn a_collector_of_a_store_has_the_patients_that_are_visible_in_it(world: &mut World) {
    let (_, mut two) = two(world);
    // A transfer store shows no patients.
    world.write(&[r#"put name_store_join nA-in-B {"name_ID":"nA","store_ID":"B"}"#]);
    settle(world, &mut two);
    assert!(has(&two, "store", "A"));
    assert_eq!(has_both(&two), (false, false));
    let site = two.site;

    world.job(|batch| batch.set_collector(&id("A"), site, true));
    settle(world, &mut two);
    assert_eq!(has_both(&two), (true, true));

    world.job(|batch| batch.set_collector(&id("A"), site, false));
    settle(world, &mut two);
    assert_eq!(has_both(&two), (false, false));
}

fn the_site_that_gets_a_home_store_gets_its_patients(world: &mut World) {
    let (mut one, _) = two(world);
    world.write(&[
        r#"put store C {"code":"C","store_mode":"dispensary"}"#,
        &patient("PC", "C"),
        r#"put nameInsuranceJoin RC {"nameID":"PC"}"#,
    ]);
    settle(world, &mut one);
    assert!(!has(&one, "name", "PC"));
    let site = one.site;

    world.job(|batch| batch.move_store(&id("C"), site, false));
    settle(world, &mut one);

    assert!(has(&one, "name", "PC") && has(&one, "nameInsuranceJoin", "RC"));
    assert_eq!(refused(world, &mut one, r#"patch name PC {"first":"A"}"#), [""; 0]);
    let report = world.import(ImportMode::AllOrNothing, &[r#"patch name PC {"first":"B"}"#]);
    assert_eq!(report.refusals[0].code, "not_home_site");
}

/// A record in a site's own lane is newer than what the site has, although its cursor of the common lane has passed it by.
fn what_a_site_edits_before_it_reads_what_it_gained_comes_whole(world: &mut World) {
    let (_, mut two) = two(world);
    world.write(&[r#"put store C {"code":"C","store_mode":"dispensary"}"#, &patient("PC", "C"), &join("PC", "B")]);
    settle(world, &mut two);
    world.write(&["delete name_store_join PC-in-B", r#"patch name PC {"last":"central's"}"#]);
    two.push(world);
    two.read(world, &domain::scope::Scope::Visible.to_id(), 100, 100_000);
    let site = two.site;
    world.job(|batch| batch.move_store(&id("C"), site, false));
    two.push(world);

    two.record(&[r#"patch name PC {"first":"the site's"}"#]);
    settle(world, &mut two);

    assert!(world.data("name", "PC").contains("central's") && world.data("name", "PC").contains("the site's"));
    assert_eq!(two.data("name", "PC"), world.data("name", "PC"));
}

fn a_patient_is_not_taken_over(world: &mut World) {
    let (_, mut two) = two(world);
    world.write(&[&join("P", "B"), r#"put name N {"type":"facility"}"#]);
    settle(world, &mut two);
    for (edit, expected) in [
        (patient("X", "A"), "not_home_site"),
        (patient("P", "B"), "not_home_site"),
        (r#"patch name P {"supplying_store_id":"B"}"#.to_owned(), "not_home_site"),
        ("delete name P".to_owned(), "not_home_site"),
        (r#"put nameInsuranceJoin X {"nameID":"P"}"#.to_owned(), "not_home_site"),
        (r#"patch nameInsuranceJoin R {"type":"x"}"#.to_owned(), "not_home_site"),
        ("delete nameInsuranceJoin R".to_owned(), "not_home_site"),
        (patient("N", "B"), "central_data"),
        (patient("nA", "B"), "patient_of_store"),
        (patient("nB", "B"), "patient_of_store"),
        (r#"put#2 name X {"type":"patient","supplying_store_id":"B"}"#.to_owned(), "ownership_number"),
        (r#"put name X {"type":"patient"}"#.to_owned(), "home_store_missing"),
    ] {
        let before = (world.data("name", "P"), world.data("nameInsuranceJoin", "R"));
        assert_eq!(refused(world, &mut two, &edit), [expected], "{edit}");
        assert_eq!((world.data("name", "P"), world.data("nameInsuranceJoin", "R")), before, "{edit}");
    }
    assert_eq!(world.data("name", "X"), "unknown");
    // A record of another's is not moved under a patient of one's own.
    two.record(&[&patient("Q", "B")]);
    assert_eq!(refused(world, &mut two, r#"patch nameInsuranceJoin R {"nameID":"Q"}"#), ["not_home_site"]);
    let report = world.import(ImportMode::AllOrNothing, &[r#"patch store A {"name_ID":"Q"}"#]);
    assert_eq!(report.refusals[0].code, "patient_of_store");
}

fn what_hangs_on_a_patient_waits_for_it(world: &mut World) {
    let (mut one, mut two) = two(world);

    let told = refused(world, &mut one, r#"put nameInsuranceJoin R2 {"nameID":"P2"}"#);
    assert_eq!(told, ["waiting"]);
    let told = refused(world, &mut one, r#"put name_store_join J2 {"name_ID":"P2","store_ID":"A"}"#);
    assert_eq!(told, ["waiting"]);
    assert_eq!(refused(world, &mut one, &patient("P2", "A")), ["accepted", "accepted"]);
    assert!(world.data("nameInsuranceJoin", "R2").contains("P2") && world.data("name_store_join", "J2").contains("P2"));

    // The patient turns out to be another's.
    two.record(&[r#"put nameInsuranceJoin R3 {"nameID":"P3"}"#]);
    settle(world, &mut two);
    one.record(&[&patient("P3", "A")]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!(two.told.last().unwrap().1, "not_home_site");
    // It is refused, and so are its records.
    let told = refused(world, &mut two, &patient("P4", "A"));
    assert_eq!(told, ["not_home_site"]);
    let told = refused(world, &mut two, r#"put nameInsuranceJoin R4 {"nameID":"P4"}"#);
    assert_eq!(told, ["header_missing"]);
}

fn without_a_dispensary_a_site_writes_no_patient(world: &mut World) {
    let (mut one, _) = two(world);
    world.write(&[r#"patch store A {"store_mode":"store"}"#]);
    for edit in [
        patient("X", "A"),
        r#"patch name P {"first":"A"}"#.to_owned(),
        r#"put encounter E {"name_ID":"P"}"#.to_owned(),
        join("P", "A"),
    ] {
        assert_eq!(refused(world, &mut one, &edit), ["no_dispensary"], "{edit}");
    }
    assert_eq!(has_both(&one), (true, true), "what is there stays");
    // Any dispensary of the site will do.
    world.write(&[r#"put store C {"code":"C","store_mode":"dispensary"}"#]);
    let site = one.site;
    world.job(|batch| batch.move_store(&id("C"), site, false));
    assert_eq!(refused(world, &mut one, r#"patch name P {"first":"A"}"#), [""; 0]);
}

fn a_site_makes_its_own_patients_visible_in_its_own_stores(world: &mut World) {
    let (mut one, mut two) = two(world);
    world.write(&[
        r#"put store C {"code":"C","name_ID":"nC"}"#,
        r#"put name_store_join nC-in-B {"name_ID":"nC","store_ID":"B"}"#,
    ]);
    let site = one.site;
    world.job(|batch| batch.move_store(&id("C"), site, false));
    settle(world, &mut one);
    settle(world, &mut two);
    let joins = |world: &mut World| world.store.sql.query_integer("SELECT count(*) FROM visibility", &[]).unwrap();
    let before = joins(world);

    assert_eq!(refused(world, &mut one, &join("P", "C")), [""; 0]);
    assert_eq!(joins(world), before.map(|count| count + 1), "no reverse join answers it");
    settle(world, &mut two);
    assert!(has(&two, "name_store_join", "P-in-C"), "visibility of a store goes where the store is seen");
    assert_eq!(has_both(&two), (false, false), "and opens no patient there");
    let collector = two.site;
    world.job(|batch| batch.set_collector(&id("C"), collector, true));
    settle(world, &mut two);
    assert_eq!(has_both(&two), (true, true));

    for (edit, expected) in [
        (join("P", "B"), "not_store_holder"),
        (r#"patch name_store_join P-in-C {"inactive":true}"#.to_owned(), "central_data"),
        ("delete name_store_join P-in-C".to_owned(), "central_data"),
        (join("nB", "A"), "waiting"),
    ] {
        assert_eq!(refused(world, &mut one, &edit), [expected], "{edit}");
    }
    assert_eq!(refused(world, &mut two, &join("P", "B")), ["not_home_site"]);
    world.write(&[r#"upsert name nB {"type":"store"}"#]);
    settle(world, &mut one);
    assert_eq!(one.told.last().unwrap().1, "central_data", "a store's name is not made visible by a site");
    world.write(&[r#"patch name_store_join P-in-C {"inactive":true}"#]);
    settle(world, &mut two);
    assert_eq!(has_both(&two), (false, false));
}

fn what_was_left_of_a_deleted_patient_stays_with_its_home_site(world: &mut World) {
    let (mut one, mut two) = two(world);
    world.write(&[&join("P", "B")]);
    settle(world, &mut two);
    one.record(&["delete name P"]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!((has_both(&one), has_both(&two)), ((false, true), (false, true)));

    assert_eq!(refused(world, &mut one, r#"patch nameInsuranceJoin R {"type":"x"}"#), ["header_deleted"]);
    assert_eq!(refused(world, &mut two, &patient("P", "B")), ["not_home_site"]);
    one.record(&["delete nameInsuranceJoin R"]);
    one.record(&[&patient("P", "A")]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!((has_both(&one), has_both(&two)), ((true, false), (true, false)));
}

fn a_record_of_a_patient_comes_behind_the_patient(world: &mut World) {
    let (mut one, mut two) = two(world);
    world.write(&[&join("P", "B")]);
    // The patient's row moves behind that of the policy.
    one.record(&[r#"patch name P {"first":"A"}"#]);
    settle(world, &mut one);
    two.wipe_copy();
    two.push(world);

    let scope = domain::scope::Scope::Visible.to_id();
    let rows = two.read(world, &scope, 100, 100_000).rows;

    let place = |record: &str| rows.iter().position(|row| row.record.as_str() == record).unwrap();
    assert!(place("P") < place("R"), "{rows:?}");
}

fn who_reads_everything_anew_is_not_given_what_it_came_to_see_ahead_of_that(world: &mut World) {
    let (mut one, mut two) = two(world);
    world.write(&[&join("P", "B")]);
    // Both stand in the lane of the site's own, until the patient moves up in the common one.
    two.push(world);
    one.record(&[r#"patch name P {"first":"A"}"#]);
    settle(world, &mut one);
    let gained = domain::scope::Scope::Gained(two.site).to_id();
    two.push(world);
    let waiting = two.clone().read(world, &gained, 100, 100_000).rows;
    assert_eq!(waiting.iter().map(|row| row.record.as_str()).collect::<Vec<_>>(), ["R"]);

    two.wipe_copy();
    two.push(world);
    assert!(two.clone().read(world, &gained, 100, 100_000).rows.is_empty());
    settle(world, &mut two);
    assert_eq!(has_both(&two), (true, true));
}

fn central_holds_patients_of_its_own_stores(world: &mut World) {
    let (_, mut two) = two(world);
    world.write(&[r#"put store C {"code":"C"}"#]);
    let import = |world: &mut World, line: &str| {
        let report = world.import(ImportMode::AllOrNothing, &[line]);
        report.refusals.first().map(|refusal| refusal.code.clone())
    };
    assert_eq!(import(world, &patient("PC", "C")).as_deref(), Some("no_dispensary"));
    world.write(&[r#"patch store C {"store_mode":"dispensary"}"#]);
    assert_eq!(import(world, &patient("PC", "C")), None);
    assert_eq!(import(world, r#"put nameInsuranceJoin RC {"nameID":"nobody"}"#).as_deref(), Some("header_missing"));
    assert_eq!(import(world, &patient("PA", "A")).as_deref(), Some("not_home_site"));
    assert_eq!(import(world, r#"patch name P {"first":"A"}"#).as_deref(), Some("not_home_site"));

    world.write(&[&join("PC", "B")]);
    settle(world, &mut two);
    assert!(has(&two, "name", "PC"));
    assert_eq!(refused(world, &mut two, r#"patch name PC {"first":"A"}"#), ["not_home_site"]);
}

fn a_store_is_sent_its_patients_once_more(world: &mut World) {
    let (mut one, mut two) = two(world);
    world.write(&[r#"put diagnosis D {"ICD_CODE":"A00"}"#, &join("P", "B")]);
    settle(world, &mut one);
    settle(world, &mut two);
    let others = (two.data("item", "I"), one.cursors.clone());

    let site = two.site;
    assert_eq!(world.job(|batch| batch.resync_store(&id("B"))), (site, true));
    // Somebody may ask once more before the site has said that it has read that; but not without end.
    for is_told in [true, true, true, false, false] {
        assert_eq!(world.job(|batch| batch.resync_store(&id("B"))), (site, is_told));
    }
    // It has lost what it is to be sent, whatever that was.
    for lost in ["name", "nameInsuranceJoin", "diagnosis"] {
        let lost = Catalogue::embedded().table_by_name(lost).unwrap().reference().clone();
        two.base.retain(|(table, _), _| *table != lost);
    }
    assert_eq!(has_both(&two), (false, false));
    settle(world, &mut two);

    assert_eq!(has_both(&two), (true, true));
    assert!(has(&two, "diagnosis", "D"));
    assert_eq!((two.data("item", "I"), one.cursors.clone()), others, "nothing else is read anew, and nobody else");
    assert_eq!(settle(world, &mut two), 0);
    assert_eq!(world.job(|batch| batch.resync_store(&id("B"))), (site, true), "as often as somebody asks");

    world.write(&[r#"put store S0 {"name_ID":"n0"}"#]);
    let unbound = world.device(&["E"]);
    world.job(|batch| batch.reset_hardware(unbound.site));
    for (store, expected) in [("nowhere", "unknown_store"), ("S0", "store_at_central"), ("E", "not_enrolled")] {
        assert_eq!(code(world.try_job(|batch| batch.resync_store(&id(store)))), expected, "{store}");
    }
}
