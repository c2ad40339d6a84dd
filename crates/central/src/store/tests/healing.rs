//! A central that was set back waits until each site has reported, or an operator goes on.

use protocol::frame::RefusedBefore;
use protocol::ids::Sequence;

use super::*;

contract!(
    central_heals_until_each_site_with_a_device_has_reported,
    an_operator_goes_on_without_the_sites_that_do_not_come,
    a_site_without_which_an_operator_went_on_heals_when_it_comes,
    a_site_that_is_freed_of_its_device_is_not_waited_for,
    no_store_is_given_to_a_site_while_central_heals,
    nothing_is_merged_while_central_heals,
    a_healing_that_was_begun_goes_on_after_a_restart,
    only_a_central_that_heals_can_be_told_to_go_on,
    what_was_refused_before_stays_refused_with_its_group,
    a_verdict_of_before_changes_nothing_of_entries_that_central_has,
);

/// Three sites of which all have everything, and the first has heard more than this central told.
fn set_back(world: &mut World) -> [Device; 3] {
    let mut devices = ["A", "B", "C"].map(|store| world.device(&[store]));
    for device in &mut devices {
        settle(world, device);
    }
    assert_eq!(world.store.reading().healing().unwrap(), None);
    world.now_ms = 5_000;
    come_ahead(world, &mut devices[0]);
    devices
}

/// The device shows to have read what this central never wrote, and begins to read everything again.
fn come_ahead(world: &mut World, device: &mut Device) {
    device.cursors.values_mut().for_each(|cursor| cursor.epoch = Epoch(7));
    assert_eq!(device.try_begin(world).unwrap_err().code(), "central_set_back");
    device.cursors.clear();
}

/// Until an exchange with nothing to send and nothing to pull.
fn settle(world: &mut World, device: &mut Device) {
    for _ in 0..3 {
        device.sync(world);
    }
}

fn healing(world: &mut World) -> Healing {
    world.store.reading().healing().unwrap().unwrap()
}

fn give(world: &mut World, store: &str, device: &Device) -> Result<(), StoreError> {
    let site = device.site;
    world.try_job(|batch| batch.move_store(&id(store), site, false)).map(|_| ())
}

fn central_heals_until_each_site_with_a_device_has_reported(world: &mut World) {
    let mut devices = set_back(world);
    let begun = healing(world);
    assert_eq!((begun.since_ms, begun.ended_ms, begun.sites_ahead, begun.sites_unheard), (5_000, None, 1, 2));

    settle(world, &mut devices[1]);
    assert_eq!((healing(world).sites_ahead, healing(world).sites_unheard), (1, 1));
    settle(world, &mut devices[0]);
    assert_eq!((healing(world).sites_ahead, healing(world).sites_unheard), (0, 1));
    assert!(world.status(&devices[0]).site.healed_ms.is_some());
    assert_eq!(healing(world).ended_ms, None);
    world.now_ms = 9_000;
    settle(world, &mut devices[2]);

    let over = healing(world);
    assert_eq!((over.since_ms, over.ended_ms, over.is_ended_by_operator), (5_000, Some(9_000), false));
    assert_eq!((over.sites_ahead, over.sites_unheard, over.sites_waived), (0, 0, 0));
}

fn an_operator_goes_on_without_the_sites_that_do_not_come(world: &mut World) {
    let mut devices = set_back(world);
    settle(world, &mut devices[0]);

    assert_eq!(world.end_healing().unwrap(), 2);

    let over = healing(world);
    assert_eq!((over.ended_ms, over.is_ended_by_operator, over.sites_waived), (Some(5_000), true, 2));
    assert_eq!((over.sites_ahead, over.sites_unheard), (0, 0));
    settle(world, &mut devices[1]);
    assert_eq!(healing(world).sites_waived, 1);
}

fn a_site_without_which_an_operator_went_on_heals_when_it_comes(world: &mut World) {
    let mut devices = set_back(world);
    settle(world, &mut devices[0]);
    world.end_healing().unwrap();

    come_ahead(world, &mut devices[1]);

    // The first one has to report once more; nobody waits for the third.
    let again = healing(world);
    assert_eq!((again.ended_ms, again.sites_ahead, again.sites_unheard, again.sites_waived), (None, 1, 1, 1));
    settle(world, &mut devices[1]);
    settle(world, &mut devices[0]);
    let over = healing(world);
    assert_eq!((over.ended_ms, over.is_ended_by_operator, over.sites_waived), (Some(5_000), false, 1));
}

fn a_site_that_is_freed_of_its_device_is_not_waited_for(world: &mut World) {
    let mut devices = set_back(world);
    settle(world, &mut devices[1]);
    let (ahead, unheard) = (devices[0].site, devices[2].site);

    world.job(|batch| batch.reset_hardware(unheard));
    assert_eq!(healing(world).ended_ms, None);
    world.job(|batch| batch.reset_hardware(ahead));

    assert_eq!((healing(world).ended_ms, healing(world).sites_ahead), (Some(5_000), 0));
    assert_eq!(world.status(&devices[0]).site.ahead_ms, None);
}

fn no_store_is_given_to_a_site_while_central_heals(world: &mut World) {
    let mut devices = set_back(world);
    world.write(&[r#"upsert store D {"code":"D"}"#]);

    let refused = give(world, "D", &devices[1]).unwrap_err();

    assert_eq!(refused.code(), "central_heals");
    assert!(refused.to_string().contains("3 sites"), "{refused}");
    give(world, "B", &devices[1]).unwrap();
    for device in &mut devices {
        settle(world, device);
    }
    give(world, "D", &devices[1]).unwrap();
}

fn nothing_is_merged_while_central_heals(world: &mut World) {
    let mut devices = set_back(world);
    world.write(&[r#"upsert item I1 {"code":"1"}"#, r#"upsert item I2 {"code":"2"}"#]);
    let merge = |world: &mut World| world.try_job(|batch| batch.merge("item", &id("I1"), &id("I2")));

    assert_eq!(merge(world).unwrap_err().code(), "central_heals");
    let row = r#"upsert outpost_item_merge I1 {"into_ID":"I2"}"#;
    let report = world.import(ImportMode::AllOrNothing, &[row]);
    assert!(!report.is_kept && format!("{:?}", report.refusals).contains("central_heals"));
    for device in &mut devices {
        settle(world, device);
    }
    merge(world).unwrap();
}

fn a_healing_that_was_begun_goes_on_after_a_restart(world: &mut World) {
    let mut devices = set_back(world);
    settle(world, &mut devices[0]);

    world.restart(101);

    assert_eq!((healing(world).ended_ms, healing(world).sites_unheard), (None, 2));
    settle(world, &mut devices[1]);
    settle(world, &mut devices[2]);
    assert_eq!(healing(world).ended_ms, Some(5_000));
}

fn only_a_central_that_heals_can_be_told_to_go_on(world: &mut World) {
    let refused = world.end_healing().unwrap_err();

    assert_eq!(refused.code(), "not_healing");
    assert_eq!(world.store.reading().healing().unwrap(), None);
}

fn refused_before(sequence: u64, code: &str) -> RefusedBefore {
    RefusedBefore { sequence: Sequence(sequence), code: code.to_owned(), reason: "as told before".to_owned() }
}

/// Three groups of two entries; the first and the last would be accepted, and so would the second.
fn six_entries(world: &mut World) -> Device {
    let mut device = world.device(&["S1"]);
    for first in [1, 3, 5] {
        let lines = [first, first + 1].map(|id| format!(r#"put item_line L{id} {{"store_ID":"S1"}}"#));
        device.record(&[&lines[0], &lines[1]]);
    }
    device.try_begin(world).unwrap();
    device
}

/// Which of the six records central has.
fn which_are_here(world: &mut World) -> [bool; 6] {
    [1, 2, 3, 4, 5, 6].map(|id| world.data("item_line", &format!("L{id}")) != "unknown")
}

fn what_was_refused_before_stays_refused_with_its_group(world: &mut World) {
    let mut device = six_entries(world);
    let mut frame = device.frame(0, 6);
    frame.refused = vec![refused_before(3, "group_refused"), refused_before(4, "not_store_holder")];

    world.job(|batch| batch.store_frame(device.site, &frame));
    device.sync(world);

    assert_eq!(which_are_here(world), [true, true, false, false, true, true]);
    let aside = world.store.reading().set_aside(device.site, None, 10).unwrap();
    let aside: Vec<_> = aside.iter().map(|aside| (aside.sequence.0, aside.code.as_str())).collect();
    assert_eq!(aside, [(3, "group_refused"), (4, "not_store_holder")]);
    assert_eq!(device.told, [(3, "group_refused".to_owned()), (4, "not_store_holder".to_owned())]);
}

fn a_verdict_of_before_changes_nothing_of_entries_that_central_has(world: &mut World) {
    let mut device = six_entries(world);
    device.try_send(world, 0, 4).unwrap();
    let mut frame = device.frame(0, 6);
    frame.refused = vec![refused_before(1, "not_store_holder"), refused_before(6, "not_store_holder")];

    world.job(|batch| batch.store_frame(device.site, &frame));
    device.sync(world);

    assert_eq!(which_are_here(world), [true, true, true, true, false, false]);
}
