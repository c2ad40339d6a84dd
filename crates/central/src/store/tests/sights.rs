//! Who receives a record, and by which of its stores.

use super::*;

contract!(
    a_patient_is_received_by_its_home_store_and_by_the_stores_in_which_it_or_one_merged_with_it_is_visible,
    a_collector_a_primary_and_the_name_of_a_store_are_reasons_too,
    a_prescriber_is_received_where_it_has_prescribed,
    no_more_sites_and_reasons_are_named_than_the_limits_say,
);

/// Who receives a record out of the common lane: each site with its reasons, as short words.
fn receivers(world: &mut World, table: &str, record: &str) -> Vec<(SiteId, Vec<String>)> {
    let lanes = world.store.reading().explain(table, &id(record)).unwrap().lanes;
    let lane = lanes.into_iter().find(|lane| lane.visible_key.is_some()).expect("it stands in the common lane");
    assert_eq!(lane.receivers.len() as u64, lane.sites.min(SITES_NAMED_MAX as u64));
    let reason_words = |sight: &Sight| match sight {
        Sight::Primary => "primary".to_owned(),
        Sight::Maker => "maker".to_owned(),
        Sight::Store { store, is_collector, reason, through } => {
            let collector = if *is_collector { " (collector)" } else { "" };
            format!("{} {store}{collector} {through}", reason.as_str())
        }
    };
    lane.receivers.iter().map(|receiver| (receiver.site, receiver.sights.iter().map(reason_words).collect())).collect()
}

fn join(name: &str, store: &str) -> String {
    format!(r#"put name_store_join {name}-in-{store} {{"name_ID":"{name}","store_ID":"{store}"}}"#)
}

fn a_patient_is_received_by_its_home_store_and_by_the_stores_in_which_it_or_one_merged_with_it_is_visible(
    world: &mut World,
) {
    let (mut one, mut two) = two_dispensaries(world);
    let mut three = world.device(&["D"]);
    one.record(&[r#"put name P {"type":"patient","supplying_store_id":"A"}"#]);
    one.record(&[r#"put name Q {"type":"patient","supplying_store_id":"A"}"#]);
    settle(world, &mut one);
    assert_eq!(receivers(world, "name", "P"), [(one.site, vec!["home_store A P".to_owned()])]);

    world.write(&[&join("P", "B"), &join("Q", "D")]);
    one.record(&[r#"put outpost_patient_merge Q {"into_ID":"P"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    settle(world, &mut three);

    let found = receivers(world, "name", "P");
    let expected = [
        (one.site, vec!["home_store A P".to_owned(), "home_store A Q".to_owned()]),
        (two.site, vec!["visibility B P".to_owned()]),
        (three.site, vec!["visibility D Q".to_owned()]),
    ];
    assert_eq!(found, expected);
}

fn a_collector_a_primary_and_the_name_of_a_store_are_reasons_too(world: &mut World) {
    let (mut one, two) = two_dispensaries(world);
    let three = world.device(&["D"]);
    one.record(&[r#"put name P {"type":"patient","supplying_store_id":"A"}"#]);
    world.write(&[r#"put contact CA {"name_ID":"nA"}"#, r#"put item_store_join IA {"store_ID":"A","item_ID":"I"}"#]);
    settle(world, &mut one);
    world.write(&[&join("nA", "B")]);
    world.job(|batch| batch.set_collector(&id("A"), two.site, true));
    world.job(|batch| batch.enable_mirror(three.site));

    let patient = receivers(world, "name", "P");
    let contact = receivers(world, "contact", "CA");
    let item = receivers(world, "item_store_join", "IA");

    let primary = (three.site, vec!["primary".to_owned()]);
    assert_eq!(patient[1..], [(two.site, vec!["home_store A (collector) P".to_owned()]), primary.clone()]);
    let by_name = (two.site, vec!["own_name A (collector) nA".to_owned(), "visibility B nA".to_owned()]);
    assert_eq!(contact, [(one.site, vec!["own_name A nA".to_owned()]), by_name, primary.clone()]);
    let by_store = (two.site, vec!["visibility B nA".to_owned()]);
    assert_eq!(item, [(one.site, vec!["itself A A".to_owned()]), by_store, primary]);
}

fn a_prescriber_is_received_where_it_has_prescribed(world: &mut World) {
    let (mut one, mut two) = two_dispensaries(world);
    one.record(&[r#"put clinician C {"store_ID":"A","last_name":"c"}"#]);
    two.record(&[r#"put transact T {"store_ID":"B","prescriber_ID":"C"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    world.write(&[r#"put clinician_store_join J {"store_ID":"B","prescriber_ID":"C"}"#]);

    let found = receivers(world, "clinician", "C");

    let by_both = vec!["visibility B C".to_owned(), "prescribed B C".to_owned()];
    assert_eq!(found, [(one.site, vec!["home_store A C".to_owned()]), (two.site, by_both)]);
}

fn no_more_sites_and_reasons_are_named_than_the_limits_say(world: &mut World) {
    let stores: Vec<String> = (0..=SIGHTS_NAMED_MAX).map(|number| format!("M{number}")).collect();
    let one = world.device(&stores.iter().map(String::as_str).collect::<Vec<_>>());
    let others: Vec<String> = (0..SITES_NAMED_MAX).map(|number| format!("S{number}")).collect();
    for store in &others {
        world.device(&[store]);
    }
    world.write(&[r#"put contact C {"name_ID":"N"}"#]);
    for store in stores.iter().chain(&others) {
        world.write(&[&join("N", store)]);
    }

    let lane = world.store.reading().explain("contact", &id("C")).unwrap().lanes.remove(0);

    assert_eq!((lane.sites, lane.receivers.len()), (SITES_NAMED_MAX as u64 + 1, SITES_NAMED_MAX));
    let first = &lane.receivers[0];
    assert_eq!((first.site, first.sights.len(), first.has_more_sights), (one.site, SIGHTS_NAMED_MAX, true));
    assert!(lane.receivers[1..].iter().all(|other| other.sights.len() == 1 && !other.has_more_sights));
}
