//! Prescribers: who writes them, and the stores that know them.

use super::*;

contract!(
    a_prescriber_goes_to_its_home_site_where_it_is_visible_and_where_it_has_prescribed,
    who_has_prescribed_in_a_store_is_known_there_while_the_store_is_a_dispensary,
    a_collector_of_a_store_has_its_prescribers,
    a_prescriber_is_written_by_its_home_site_alone,
    a_site_makes_its_own_prescribers_visible_in_its_own_stores,
    a_prescriber_gets_another_home_store,
    a_primary_has_all_prescribers_and_says_where_they_are_visible,
    a_store_of_before_prescribers_were_carried_knows_them_from_its_first_start,
);

/// Two sites with a dispensary each, of which neither sees the other; the first has a prescriber.
fn two(world: &mut World) -> (Device, Device) {
    let (mut one, mut two) = two_dispensaries(world);
    one.record(&[r#"put clinician C {"store_ID":"A","last_name":"c"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    (one, two)
}

fn join(store: &str) -> String {
    format!(r#"put clinician_store_join C-in-{store} {{"store_ID":"{store}","prescriber_ID":"C"}}"#)
}

fn prescription(id: &str, store: &str) -> String {
    format!(r#"put transact {id} {{"store_ID":"{store}","prescriber_ID":"C"}}"#)
}

fn a_prescriber_goes_to_its_home_site_where_it_is_visible_and_where_it_has_prescribed(world: &mut World) {
    let (mut one, mut two) = two(world);
    assert!(has(&one, "clinician", "C") && !has(&two, "clinician", "C"));
    assert_eq!(one.sync(world), 0, "nobody needs a copy of what it wrote");

    world.write(&[&join("B")]);
    settle(world, &mut two);
    assert_eq!(two.data("clinician", "C"), world.data("clinician", "C"));
    one.record(&[r#"patch clinician C {"last_name":"d"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert!(two.data("clinician", "C").contains(r#""d""#));
    let lanes = world.store.reading().explain("clinician", &id("C")).unwrap().lanes;
    let seen = lanes.iter().map(|lane| (lane.visible_key.as_ref().map(ToString::to_string), lane.sites));
    assert!(seen.collect::<Vec<_>>().contains(&(Some("prescriber C".to_owned()), 2)));

    two.record(&[&prescription("T", "B")]);
    settle(world, &mut two);
    world.write(&["delete clinician_store_join C-in-B"]);
    settle(world, &mut two);
    assert!(has(&two, "clinician", "C"), "it has prescribed there");
    two.record(&["delete transact T"]);
    settle(world, &mut two);
    assert!(has(&two, "clinician", "C"), "and that stays so");
}

fn who_has_prescribed_in_a_store_is_known_there_while_the_store_is_a_dispensary(world: &mut World) {
    let (_, mut two) = two(world);
    world.write(&[r#"patch store B {"store_mode":"store"}"#]);
    two.record(&[&prescription("T", "B")]);
    settle(world, &mut two);
    assert!(!has(&two, "clinician", "C"));

    for (mode, is_known) in [("dispensary", true), ("store", false), ("dispensary", true)] {
        world.write(&[&format!(r#"patch store B {{"store_mode":"{mode}"}}"#)]);
        settle(world, &mut two);
        assert_eq!(has(&two, "clinician", "C"), is_known, "{mode}");
    }
}

fn a_collector_of_a_store_has_its_prescribers(world: &mut World) {
    let (_, mut two) = two(world);
    world.write(&[r#"put name_store_join nA-in-B {"name_ID":"nA","store_ID":"B"}"#]);
    settle(world, &mut two);
    assert!(has(&two, "store", "A") && !has(&two, "clinician", "C"), "a transfer store shows none");
    let site = two.site;
    for is_collector in [true, false] {
        world.job(|batch| batch.set_collector(&id("A"), site, is_collector));
        settle(world, &mut two);
        assert_eq!(has(&two, "clinician", "C"), is_collector);
    }
}

fn a_prescriber_is_written_by_its_home_site_alone(world: &mut World) {
    let (mut one, mut two) = two(world);
    world.write(&[&join("B")]);
    settle(world, &mut two);
    for (line, expected) in [
        (r#"patch clinician C {"last_name":"mine"}"#, "not_home_site"),
        ("delete clinician C", "not_home_site"),
        (r#"put clinician C {"store_ID":"B"}"#, "not_home_site"),
        (r#"put clinician X {"last_name":"x"}"#, "home_store_missing"),
        (r#"put#2 clinician X {"store_ID":"B"}"#, "ownership_number"),
    ] {
        assert_eq!(refused(world, &mut two, line), [expected], "{line}");
        assert_eq!(two.data("clinician", "C"), world.data("clinician", "C"), "{line}");
    }
    let report = world.import(ImportMode::AllOrNothing, &[r#"patch clinician C {"last_name":"central's"}"#]);
    assert_eq!(report.refusals[0].code, "not_home_site");
    one.record(&["delete clinician C"]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!((world.data("clinician", "C").as_str(), has(&two, "clinician", "C")), ("deleted", false));
}

fn a_site_makes_its_own_prescribers_visible_in_its_own_stores(world: &mut World) {
    let (mut one, mut two) = two(world);
    assert_eq!(refused(world, &mut one, &join("A")), [""; 0]);
    assert_eq!(refused(world, &mut one, &join("B")), ["not_store_holder"]);
    assert_eq!(refused(world, &mut one, "delete clinician_store_join C-in-A"), ["central_data"]);
    assert_eq!(refused(world, &mut two, &join("B")), ["not_home_site"]);
    assert_eq!(
        refused(world, &mut two, r#"put clinician_store_join J {"store_ID":"B","prescriber_ID":"late"}"#),
        ["waiting"]
    );
    assert_eq!(refused(world, &mut two, r#"put clinician late {"store_ID":"B"}"#), ["accepted"]);
    assert!(world.data("clinician_store_join", "J").contains("late"));
}

fn a_prescriber_gets_another_home_store(world: &mut World) {
    let (mut one, mut two) = two(world);
    world.write(&[&join("A")]);
    settle(world, &mut one);
    let give = |world: &mut World, prescriber: &str| {
        world.try_job(|batch| batch.set_home_store(HomeKind::Prescriber, &id(prescriber), &id("B"), false))
    };
    assert_eq!(code(give(world, "nobody")), "unknown_prescriber");
    assert_eq!(give(world, "C").unwrap(), HomeStore::Asked(one.site));
    let listed = world.store.reading().home_transfers(HomeKind::Prescriber, None, 10).unwrap();
    assert_eq!((listed[0].id.as_str(), listed[0].to.as_str(), listed.len()), ("C", "B", 1));
    assert!(world.store.reading().home_transfers(HomeKind::Patient, None, 10).unwrap().is_empty());
    settle(world, &mut one);
    settle(world, &mut one);
    settle(world, &mut two);

    assert!(world.data("clinician", "C").contains(r#""store_ID":"B""#));
    assert_eq!(refused(world, &mut two, r#"patch#1048577 clinician C {"last_name":"new"}"#), [""; 0]);
    settle(world, &mut one);
    assert_eq!(one.data("clinician", "C"), world.data("clinician", "C"));
    assert_eq!(refused(world, &mut one, r#"patch clinician C {"last_name":"old"}"#), ["not_home_site"]);
}

fn a_primary_has_all_prescribers_and_says_where_they_are_visible(world: &mut World) {
    let (mut one, mut two) = two(world);
    let site = two.site;
    world.job(|batch| batch.enable_mirror(site));
    for _ in 0..3 {
        settle(world, &mut two);
    }
    assert!(has(&two, "clinician", "C"));
    let report = world.import(ImportMode::AllOrNothing, &[&join("B")]);
    assert_eq!(report.refusals[0].code, "central_data");
    assert_eq!(refused(world, &mut two, &join("B")), [""; 0]);
    assert_eq!(refused(world, &mut two, r#"patch clinician C {"last_name":"mine"}"#), ["not_home_site"]);
    // Who has prescribed is central's to find, also in a mirrored system.
    one.record(&[r#"put clinician D {"store_ID":"A"}"#]);
    settle(world, &mut one);
    assert_eq!(refused(world, &mut one, &join("A")), [""; 0], "a site's own it makes there too");
}

fn a_store_of_before_prescribers_were_carried_knows_them_from_its_first_start(world: &mut World) {
    let (_, mut two) = two(world);
    world.write(&[r#"put store E {"code":"E","name_ID":"nE","store_mode":"dispensary"}"#]);
    two.record(&[&prescription("T", "B")]);
    settle(world, &mut two);
    world.write(&[&join("B")]);
    for sql in [
        "DELETE FROM prescriber_visibility",
        "DELETE FROM prescribed",
        "DELETE FROM counter WHERE name = 'are_prescribers_found'",
    ] {
        world.job(|batch| Ok(batch.sql.execute(sql, &[])?));
    }
    world.restart(200);
    world.write(&["delete clinician_store_join C-in-B"]);
    settle(world, &mut two);
    assert!(has(&two, "clinician", "C"), "by its prescription");
    world.write(&[r#"patch store B {"store_mode":"store"}"#]);
    settle(world, &mut two);
    assert!(!has(&two, "clinician", "C"));
}
