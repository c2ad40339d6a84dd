//! What a site receives as its stores become dispensaries, and cease to be (`domain.md`, "Central, dispensary").

use domain::scope::Scope;
use protocol::control::Control;
use protocol::message::Cursor;

use super::*;

contract!(
    dispensary_data_reaches_the_sites_with_a_dispensary_alone,
    the_first_dispensary_of_a_site_brings_what_dispensaries_need_and_the_last_takes_it_away,
    a_second_dispensary_of_a_site_changes_nothing_and_neither_does_the_loss_of_one_of_two,
    a_scope_that_comes_back_before_the_site_heard_of_its_loss_is_read_from_0,
    what_a_site_receives_is_the_same_after_a_restart,
    a_new_device_is_told_of_no_loss_of_before,
    a_device_that_shows_a_scope_which_its_site_does_not_receive_lets_go_of_it,
);

fn set_mode(world: &mut World, store: &str, mode: &str) {
    world.write(&[&format!(r#"patch store {store} {{"store_mode":"{mode}"}}"#)]);
}

fn abbreviation(world: &mut World, record: &str) {
    world.write(&[&format!(r#"upsert abbreviation {record} {{"abbreviation":"bd"}}"#)]);
}

/// A device whose one store S is a dispensary, and which has abbreviation A1.
fn dispensary(world: &mut World) -> Device {
    let mut device = world.device(&["S"]);
    set_mode(world, "S", "dispensary");
    abbreviation(world, "A1");
    settle(world, &mut device);
    device
}

fn has(device: &Device, record: &str) -> bool {
    super::has(device, "abbreviation", record)
}

fn dispensary_data_reaches_the_sites_with_a_dispensary_alone(world: &mut World) {
    let (mut clinic, mut warehouse) = (world.device(&["C"]), world.device(&["W"]));
    set_mode(world, "C", "dispensary");
    set_mode(world, "W", "store");
    abbreviation(world, "A1");

    settle(world, &mut clinic);
    settle(world, &mut warehouse);

    assert!(has(&clinic, "A1") && !has(&warehouse, "A1"));
    assert_eq!(world.status(&warehouse).rows_waiting, 0);
    abbreviation(world, "A2");
    assert_eq!((world.status(&clinic).rows_waiting, world.status(&warehouse).rows_waiting), (1, 0));
    world.write(&["delete abbreviation A1"]);
    settle(world, &mut clinic);
    assert!(!has(&clinic, "A1") && has(&clinic, "A2"));
}

fn the_first_dispensary_of_a_site_brings_what_dispensaries_need_and_the_last_takes_it_away(world: &mut World) {
    let mut device = world.device(&["S"]);
    abbreviation(world, "A1");
    settle(world, &mut device);
    assert!(!has(&device, "A1"));

    set_mode(world, "S", "dispensary");
    settle(world, &mut device);
    assert!(has(&device, "A1"), "made before the site had a dispensary");

    set_mode(world, "S", "store");
    settle(world, &mut device);
    assert!(!has(&device, "A1"));
    assert_eq!(world.status(&device).rows_waiting, 0);
    abbreviation(world, "A2");
    settle(world, &mut device);
    assert!(!has(&device, "A2"));
}

fn a_second_dispensary_of_a_site_changes_nothing_and_neither_does_the_loss_of_one_of_two(world: &mut World) {
    let mut device = world.device(&["S1", "S2"]);
    set_mode(world, "S1", "dispensary");
    abbreviation(world, "A1");
    settle(world, &mut device);

    set_mode(world, "S2", "dispensary");
    // The store's own record, and nothing else.
    assert_eq!(settle(world, &mut device), 1);
    set_mode(world, "S1", "store");
    assert_eq!(settle(world, &mut device), 1);

    assert!(has(&device, "A1"));
    let told = |control: &Control| matches!(control, Control::Dropped(_));
    assert!(!device.controls.iter().any(told));
}

fn a_scope_that_comes_back_before_the_site_heard_of_its_loss_is_read_from_0(world: &mut World) {
    let mut device = dispensary(world);

    set_mode(world, "S", "store");
    set_mode(world, "S", "dispensary");
    device.push(world);

    let shared = Scope::DispensarySites.to_id();
    let from = device.scopes.iter().find(|from| from.scope == shared).unwrap();
    assert_eq!(from.cursor, Cursor::default());
    assert!(!has(&device, "A1"));
    device.pull(world);
    assert!(has(&device, "A1"));
    device.sync(world);
    let from = device.scopes.iter().find(|from| from.scope == shared).unwrap();
    assert_ne!(from.cursor, Cursor::default(), "it has heard of both");
}

fn what_a_site_receives_is_the_same_after_a_restart(world: &mut World) {
    let mut device = dispensary(world);
    set_mode(world, "S", "store");

    world.restart(101);
    settle(world, &mut device);
    assert!(!has(&device, "A1"));

    set_mode(world, "S", "dispensary");
    world.restart(102);
    settle(world, &mut device);
    assert!(has(&device, "A1"));

    world.restart(103);
    set_mode(world, "S", "store");
    settle(world, &mut device);
    assert!(!has(&device, "A1"), "also where nobody had asked for the site since the start");
}

fn a_new_device_is_told_of_no_loss_of_before(world: &mut World) {
    let device = dispensary(world);
    set_mode(world, "S", "store");
    set_mode(world, "S", "dispensary");
    let (site, journal) = (device.site, JournalId([77; 16]));
    world.job(|batch| batch.reset_hardware(site));
    world.job(|batch| batch.enrol(site, &enrolling(9, journal)));

    let mut next = Device::new(site, journal);
    settle(world, &mut next);

    assert!(has(&next, "A1"));
}

/// Found by the simulator (seed 40000183): an export that was older than a store's move brought the store's scope, and nobody ever took it.
fn a_device_that_shows_a_scope_which_its_site_does_not_receive_lets_go_of_it(world: &mut World) {
    let mut warehouse = world.device(&["W"]);
    set_mode(world, "W", "store");
    abbreviation(world, "A1");
    settle(world, &mut warehouse);
    let everywhere = warehouse.cursors[&Scope::AllSites.to_id()];
    warehouse.cursors.insert(Scope::DispensarySites.to_id(), everywhere);

    settle(world, &mut warehouse);
    settle(world, &mut warehouse);

    let dropped = |device: &Device| {
        let is_drop = |control: &&Control| matches!(control, Control::Dropped(_));
        device.controls.iter().filter(is_drop).count()
    };
    assert_eq!((dropped(&warehouse), warehouse.cursors.contains_key(&Scope::DispensarySites.to_id())), (1, false));
    settle(world, &mut warehouse);
    assert_eq!(dropped(&warehouse), 1, "once");
}
