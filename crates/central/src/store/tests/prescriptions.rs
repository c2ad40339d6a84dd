//! Prescriptions where their patient is visible, while the preference says so.

use domain::preference::Preference;

use super::*;

contract!(
    prescriptions_go_where_their_patient_is_visible_while_that_is_switched_on,
    those_of_before_come_in_steps_with_their_lines_and_go_when_it_is_switched_off,
    a_line_brings_its_prescription_of_before_along,
    what_stood_in_the_lane_when_they_were_shared_before_comes_anew_and_not_before_its_header,
    lines_go_with_their_prescription_to_another_patient,
    what_a_site_comes_to_see_of_a_patient_its_prescriptions_are_part_of,
    a_primary_is_given_no_prescriptions_that_it_does_not_see,
    a_name_that_becomes_a_patient_has_prescriptions_from_then_on,
    what_is_no_prescription_stays_in_its_store,
    what_ceases_to_be_a_prescription_while_they_are_not_shared_is_none_afterwards,
);

/// Two dispensaries of which neither sees the other. The first has a patient P.
fn two(world: &mut World) -> (Device, Device) {
    let (mut one, mut two) = two_dispensaries(world);
    one.record(&[r#"put name P {"type":"patient","supplying_store_id":"A"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    (one, two)
}

fn switch(world: &mut World, is_on: bool) {
    world.job(|batch| batch.set_preference(Preference::PrescriptionsWhereVisible, is_on));
    while world.job(|batch| batch.share_prescriptions_step(2)) {}
}

fn show(world: &mut World, store: &str) {
    world.write(&[&format!(r#"upsert name_store_join P-in-{store} {{"name_ID":"P","store_ID":"{store}"}}"#)]);
}

fn hide(world: &mut World, store: &str) {
    world.write(&[&format!("delete name_store_join P-in-{store}")]);
}

fn prescribe(device: &mut Device, id: &str, store: &str, patient: &str) {
    device.record(&[
        &format!(r#"put transact {id} {{"store_ID":"{store}","mode":"dispensary","name_ID":"{patient}"}}"#),
        &format!(r#"put trans_line L{id} {{"transaction_ID":"{id}","quantity":1}}"#),
    ]);
}

/// Of prescriptions and their lines, those that a device has.
fn held(device: &Device, ids: &[&str]) -> String {
    let has_line = |id: &str| has(device, "trans_line", &format!("L{id}"));
    let shown = |id: &&str| match (has(device, "transact", id), has_line(id)) {
        (true, true) => (*id).to_owned(),
        (true, false) => format!("{id} without its line"),
        (false, true) => format!("the line of {id}"),
        (false, false) => String::new(),
    };
    ids.iter().map(shown).filter(|shown| !shown.is_empty()).collect::<Vec<_>>().join(" ")
}

fn prescriptions_go_where_their_patient_is_visible_while_that_is_switched_on(world: &mut World) {
    let (mut one, mut two) = two(world);
    show(world, "B");
    settle(world, &mut two);
    prescribe(&mut one, "T", "A", "P");
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!(held(&two, &["T"]), "", "it is off unless it is set");

    switch(world, true);
    prescribe(&mut one, "U", "A", "P");
    settle(world, &mut one);
    settle(world, &mut two);

    assert_eq!(held(&two, &["T", "U"]), "T U");
    assert_eq!(two.data("trans_line", "LU"), world.data("trans_line", "LU"));
    // Whose they are stays, and its store is no more here than before.
    assert_eq!(refused(world, &mut two, r#"patch transact U {"comment":"x"}"#), ["not_store_holder"]);
    one.record(&[r#"patch transact U {"comment":"mine"}"#, "delete trans_line LU"]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!(
        (two.data("transact", "U"), held(&two, &["U"])),
        (world.data("transact", "U"), "U without its line".into())
    );
    one.record(&["delete transact U"]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!(held(&two, &["T", "U"]), "T");
    let lanes = world.store.reading().explain("transact", &id("T")).unwrap().lanes;
    let keys: Vec<_> = lanes.iter().filter_map(|lane| lane.visible_key.as_ref().map(ToString::to_string)).collect();
    assert_eq!(keys, ["prescriptions of P"]);
}

fn those_of_before_come_in_steps_with_their_lines_and_go_when_it_is_switched_off(world: &mut World) {
    let (mut one, mut two) = two(world);
    show(world, "B");
    for id in ["T", "U", "V", "W"] {
        prescribe(&mut one, id, "A", "P");
    }
    settle(world, &mut one);
    settle(world, &mut two);
    world.set_limits(|limits| limits.backfill_step_rows_max = 2);

    world.job(|batch| batch.set_preference(Preference::PrescriptionsWhereVisible, true));
    assert!(world.job(|batch| batch.share_prescriptions_step(2)));
    two.sync(world);
    let some = held(&two, &["T", "U", "V", "W"]);
    assert_eq!(some, "T");
    assert!(world.store.reading().is_under_way(Preference::PrescriptionsWhereVisible).unwrap());
    // Switched on once more it goes on where it was, also when central starts anew.
    world.restart(7);
    switch(world, true);
    assert!(!world.store.reading().is_under_way(Preference::PrescriptionsWhereVisible).unwrap());
    for _ in 0..6 {
        settle(world, &mut two);
    }
    assert_eq!(held(&two, &["T", "U", "V", "W"]), "T U V W");
    settle(world, &mut one);
    assert_eq!(held(&one, &["T", "U", "V", "W"]), "T U V W");

    switch(world, false);
    one.record(&[r#"patch transact T {"comment":"later"}"#]);
    settle(world, &mut one);
    for _ in 0..6 {
        settle(world, &mut two);
    }
    assert_eq!(
        (held(&two, &["T", "U", "V", "W"]), held(&one, &["T", "U", "V", "W"])),
        (String::new(), "T U V W".into())
    );
    // And on again, with what was written in between.
    switch(world, true);
    for _ in 0..8 {
        settle(world, &mut two);
    }
    assert_eq!(held(&two, &["T", "U", "V", "W"]), "T U V W");
    assert_eq!(two.data("transact", "T"), world.data("transact", "T"));
}

fn a_line_brings_its_prescription_of_before_along(world: &mut World) {
    let (mut one, mut two) = two(world);
    show(world, "B");
    prescribe(&mut one, "T", "A", "P");
    settle(world, &mut one);
    let add = |one: &mut Device, line: &str, header: &str| {
        one.record(&[&format!(r#"put trans_line {line} {{"transaction_ID":"{header}","quantity":2}}"#)]);
    };
    let start = |world: &mut World| world.job(|b| b.set_preference(Preference::PrescriptionsWhereVisible, true));
    let both = |device: &Device, line: &str| (has(device, "transact", "T"), has(device, "trans_line", line));

    // Nothing of before is in the lane yet; the line is written, and its prescription is there ahead of it.
    assert!(start(world));
    add(&mut one, "M", "T");
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!((both(&two, "M"), both(&two, "LT")), ((true, true), (true, false)));

    // It stood there before: what the lane says of that time is passed by.
    switch(world, true);
    switch(world, false);
    settle(world, &mut two);
    assert_eq!(both(&two, "M"), (false, false));
    assert!(start(world));
    add(&mut one, "N", "T");
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!((both(&two, "N"), both(&two, "M")), ((true, true), (true, false)));
    switch(world, true);
    settle(world, &mut two);
    assert_eq!((both(&two, "M"), both(&two, "LT")), ((true, true), (true, true)));

    // A line that is older than its prescription comes up first in the steps.
    switch(world, false);
    settle(world, &mut two);
    prescribe(&mut one, "U", "A", "P");
    settle(world, &mut one);
    one.record(&[r#"patch trans_line LT {"transaction_ID":"U"}"#]);
    settle(world, &mut one);
    assert!(start(world));
    assert!(world.job(|batch| batch.share_prescriptions_step(2)));
    settle(world, &mut two);
    assert_eq!((has(&two, "transact", "U"), has(&two, "trans_line", "LT")), (true, true));
}

fn what_stood_in_the_lane_when_they_were_shared_before_comes_anew_and_not_before_its_header(world: &mut World) {
    let (mut one, mut two) = two(world);
    prescribe(&mut one, "T", "A", "P");
    settle(world, &mut one);
    switch(world, true);
    switch(world, false);
    // Not shared, the header leaves the lane as it is edited. Its line stays there.
    one.record(&[r#"patch transact T {"comment":"later"}"#]);
    settle(world, &mut one);
    world.job(|batch| batch.set_preference(Preference::PrescriptionsWhereVisible, true));
    show(world, "B");
    settle(world, &mut two);
    assert_eq!(held(&two, &["T"]), "");

    while world.job(|batch| batch.share_prescriptions_step(2)) {}
    settle(world, &mut two);
    assert_eq!(held(&two, &["T"]), "T");
    // A line that was deleted meanwhile goes, the rest comes again.
    switch(world, false);
    one.record(&["delete trans_line LT"]);
    settle(world, &mut one);
    world.job(|batch| batch.set_preference(Preference::PrescriptionsWhereVisible, true));
    settle(world, &mut two);
    switch(world, true);
    while world.job(|batch| batch.share_prescriptions_step(2)) {}
    settle(world, &mut two);
    assert_eq!(held(&two, &["T"]), "T without its line");
}

fn lines_go_with_their_prescription_to_another_patient(world: &mut World) {
    let (mut one, mut two) = two(world);
    switch(world, true);
    one.record(&[r#"put name Q {"type":"patient","supplying_store_id":"A"}"#]);
    prescribe(&mut one, "T", "A", "Q");
    settle(world, &mut one);
    show(world, "B");
    settle(world, &mut two);
    assert_eq!(held(&two, &["T"]), "");

    one.record(&[r#"patch transact T {"name_ID":"P"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!(held(&two, &["T"]), "T");

    one.record(&[r#"patch transact T {"name_ID":"Q"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!(held(&two, &["T"]), "");

    one.record(&[r#"patch transact T {"name_ID":"P"}"#]);
    one.record(&[r#"patch transact T {"mode":"store"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!(held(&two, &["T"]), "", "it is no prescription any more");
}

fn what_a_site_comes_to_see_of_a_patient_its_prescriptions_are_part_of(world: &mut World) {
    let (mut one, mut two) = two(world);
    switch(world, true);
    prescribe(&mut one, "T", "A", "P");
    settle(world, &mut one);
    settle(world, &mut two);

    show(world, "B");
    settle(world, &mut two);
    assert_eq!(held(&two, &["T"]), "T");
    assert_eq!(held(&one, &["T"]), "T");

    // Its own prescription of the patient it keeps, the other goes with the patient.
    prescribe(&mut two, "U", "B", "P");
    settle(world, &mut two);
    settle(world, &mut one);
    assert_eq!(held(&one, &["T", "U"]), "T U");
    hide(world, "B");
    settle(world, &mut two);
    assert_eq!((held(&two, &["T", "U"]), has(&two, "name", "P")), ("U".into(), false));
    // A device that begins anew has the same.
    two.wipe_copy();
    one.wipe_copy();
    settle(world, &mut two);
    settle(world, &mut one);
    assert_eq!((held(&one, &["T", "U"]), held(&two, &["T", "U"])), ("T U".into(), "U".into()));
}

fn a_primary_is_given_no_prescriptions_that_it_does_not_see(world: &mut World) {
    let (mut one, mut two) = two(world);
    switch(world, true);
    prescribe(&mut one, "T", "A", "P");
    settle(world, &mut one);
    let site = two.site;
    world.job(|batch| batch.enable_mirror(site));
    for _ in 0..3 {
        settle(world, &mut two);
    }
    assert_eq!((has(&two, "name", "P"), held(&two, &["T"])), (true, String::new()));

    world.job(|batch| batch.disable_mirror(true));
    show(world, "B");
    for _ in 0..3 {
        settle(world, &mut two);
    }
    assert_eq!(held(&two, &["T"]), "T");
}

fn a_name_that_becomes_a_patient_has_prescriptions_from_then_on(world: &mut World) {
    let (mut one, mut two) = two(world);
    switch(world, true);
    world.write(&[r#"upsert name_store_join late {"name_ID":"late","store_ID":"B"}"#]);
    prescribe(&mut one, "T", "A", "late");
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!(held(&two, &["T"]), "");

    one.record(&[r#"put name late {"type":"patient","supplying_store_id":"A"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);

    assert_eq!((has(&two, "name", "late"), held(&two, &["T"])), (true, "T".into()));
}

fn what_is_no_prescription_stays_in_its_store(world: &mut World) {
    let (mut one, mut two) = two(world);
    switch(world, true);
    show(world, "B");
    one.record(&[
        r#"put transact T {"store_ID":"A","mode":"store","name_ID":"P"}"#,
        r#"put transact U {"store_ID":"A","mode":"dispensary"}"#,
        r#"put trans_line LT {"transaction_ID":"T"}"#,
    ]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!((held(&two, &["T", "U"]), held(&one, &["T"])), (String::new(), "T".into()));
    let is_new = world.job(|batch| batch.set_preference(Preference::PrescriptionsWhereVisible, true));
    assert!(!is_new, "it was so");
    // Nobody but central writes the preference.
    let record = format!(r#"put preference {} {{"value":false}}"#, Preference::PrescriptionsWhereVisible.id());
    assert_eq!(refused(world, &mut one, &record), ["central_data"]);
}

fn what_ceases_to_be_a_prescription_while_they_are_not_shared_is_none_afterwards(world: &mut World) {
    let (mut one, mut two) = two(world);
    switch(world, true);
    for id in ["T", "U", "V"] {
        prescribe(&mut one, id, "A", "P");
    }
    settle(world, &mut one);
    switch(world, false);
    one.record(&["delete transact T"]);
    one.record(&[r#"patch transact U {"mode":"store"}"#]);
    settle(world, &mut one);

    switch(world, true);
    show(world, "B");
    settle(world, &mut two);

    assert_eq!(held(&two, &["T", "U", "V"]), "V");
}
