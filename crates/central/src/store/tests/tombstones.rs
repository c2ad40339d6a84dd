//! Lanes say for a while that a record is gone, and then a site that missed it reads them from 0.

use domain::scope::Scope;
use protocol::control::Control;

use super::*;

contract!(
    a_delete_reaches_a_site_that_was_away_until_its_tombstone_had_gone,
    a_site_that_has_read_a_tombstone_is_told_nothing_when_it_goes,
    a_site_that_began_to_read_behind_a_tombstone_that_went_goes_on,
    a_record_whose_tombstone_went_may_be_made_again_and_was_never_unknown,
    tombstones_go_by_age_and_not_before_a_site_in_step_must_have_read_them,
    what_is_a_sites_own_to_be_told_stays_until_it_was,
    a_site_that_missed_a_tombstone_while_central_heals_is_told_that_central_was_set_back,
    a_device_that_is_freed_and_enrols_again_lets_go_of_what_it_was_to_be_told_to_see_no_more,
);

/// A site with store A, which has a location and an item, and a name that it sees.
fn one(world: &mut World) -> Device {
    let mut one = world.device(&["A"]);
    world.write(&[r#"upsert item I {"code":"1"}"#, r#"upsert item J {"code":"2"}"#]);
    one.record(&[r#"put Location L {"store_ID":"A"}"#]);
    settle(world, &mut one);
    settle(world, &mut one);
    assert!(has(&one, "item", "I") && has(&one, "Location", "L"));
    one
}

/// A site with store A, in which a name N with a tag T is visible.
fn sees_a_name(world: &mut World) -> Device {
    let mut one = world.device(&["A"]);
    world.write(&[r#"patch store A {"name_ID":"nA"}"#, r#"upsert name N {"name":"n","type":"facility"}"#]);
    world.write(&[r#"put name_tag_join T {"name_ID":"N"}"#]);
    world.write(&[r#"put name_store_join N-in-A {"name_ID":"N","store_ID":"A"}"#]);
    settle(world, &mut one);
    settle(world, &mut one);
    assert!(has(&one, "name_tag_join", "T"));
    one
}

fn prune_all(world: &mut World) -> u64 {
    world.job(|batch| batch.prune_tombstones(u64::MAX / 2, 100))
}

fn told_to_read_anew(device: &Device) -> Vec<Scope> {
    let anew = |control: &Control| match control {
        Control::ReadAnew(read) => Some(Scope::from_id(&read.scope)),
        _ => None,
    };
    device.controls.iter().filter_map(anew).collect()
}

fn a_delete_reaches_a_site_that_was_away_until_its_tombstone_had_gone(world: &mut World) {
    let mut one = one(world);
    world.write(&["delete item I", r#"patch item J {"code":"3"}"#]);
    assert_eq!(prune_all(world), 1);
    world.restart(7);
    one.record(&[r#"put Location M {"store_ID":"A"}"#]);

    settle(world, &mut one);

    assert_eq!(told_to_read_anew(&one), [Scope::AllSites]);
    assert!(!has(&one, "item", "I") && one.data("item", "J").contains('3'));
    assert!(has(&one, "Location", "M") && has(&one, "Location", "L"));
    settle(world, &mut one);
    assert_eq!(told_to_read_anew(&one).len(), 1, "once");
}

fn a_site_that_has_read_a_tombstone_is_told_nothing_when_it_goes(world: &mut World) {
    let mut one = one(world);
    world.write(&["delete item I"]);
    one.record(&["delete Location L"]);
    settle(world, &mut one);
    assert!(!has(&one, "item", "I"));

    assert_eq!(prune_all(world), 2);
    assert_eq!(prune_all(world), 0);
    settle(world, &mut one);

    // Its own delete it was not sent; the cursor of its store's lane is behind that.
    assert_eq!(told_to_read_anew(&one).into_iter().filter(|scope| *scope == Scope::AllSites).count(), 0);
    assert!(!has(&one, "Location", "L"));
}

fn a_site_that_began_to_read_behind_a_tombstone_that_went_goes_on(world: &mut World) {
    world.write(&[r#"upsert item I {"code":"1"}"#, r#"upsert item J {"code":"2"}"#, r#"upsert item K {"code":"3"}"#]);
    world.write(&["delete item K"]);
    let mut one = world.device(&["A"]);
    one.push(world);
    let scope = Scope::AllSites.to_id();
    one.read(world, &scope, 1, 100_000);
    assert!(one.cursors[&scope].number < one.cursors[&scope].began);
    prune_all(world);

    settle(world, &mut one);

    assert_eq!(told_to_read_anew(&one), []);
    assert!(has(&one, "item", "J") && !has(&one, "item", "K"));
}

fn a_record_whose_tombstone_went_may_be_made_again_and_was_never_unknown(world: &mut World) {
    let mut one = one(world);
    world.write(&["delete item I"]);
    settle(world, &mut one);
    prune_all(world);
    assert_eq!(world.data("item", "I"), "deleted");

    world.write(&[r#"upsert item I {"code":"again"}"#]);
    settle(world, &mut one);

    assert!(one.data("item", "I").contains("again"));
}

fn tombstones_go_by_age_and_not_before_a_site_in_step_must_have_read_them(world: &mut World) {
    let mut one = one(world);
    let prune = |world: &mut World, today| world.job(|batch| batch.prune_old_tombstones(today, 30, 100));
    world.write(&["delete item I"]);
    assert_eq!((prune(world, 20_000), prune(world, 20_029)), (0, 0));
    assert_eq!(prune(world, 20_030), 0, "the cursor of a site in step may be below it");
    settle(world, &mut one);

    let many: Vec<String> =
        (0..=CURSOR_AGE_MAX).map(|number| format!(r#"upsert unit U {{"units":"{number}"}}"#)).collect();
    for lines in many.chunks(2_000) {
        world.write(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    }
    assert_eq!((prune(world, 20_029), prune(world, 20_030), prune(world, 20_031)), (0, 1, 0));
    settle(world, &mut one);
    assert_eq!(told_to_read_anew(&one), []);
}

fn what_is_a_sites_own_to_be_told_stays_until_it_was(world: &mut World) {
    let mut one = sees_a_name(world);

    // It sees the name no more, and is away.
    world.write(&["delete name_store_join N-in-A"]);
    prune_all(world);
    for _ in 0..3 {
        settle(world, &mut one);
    }

    assert!(!has(&one, "name_tag_join", "T") && !has(&one, "name_store_join", "N-in-A"));
}

/// The simulator's find (seed 29000551): its cursor went past the floor while central healed, and the record stayed.
fn a_site_that_missed_a_tombstone_while_central_heals_is_told_that_central_was_set_back(world: &mut World) {
    let mut one = one(world);
    let other = world.device(&["B"]);
    world.write(&["delete item I"]);
    prune_all(world);
    world.job(|batch| batch.note_ahead(other.site));

    one.push(world);
    one.push(world);

    assert_eq!(told_to_read_anew(&one), []);
    assert_eq!(one.controls.iter().filter(|control| **control == Control::SetBack).count(), 1);
    assert!(one.cursors.is_empty(), "it reads everything anew");
}

/// The simulator's find (seed 30000915): the record of a store that had moved away stayed.
fn a_device_that_is_freed_and_enrols_again_lets_go_of_what_it_was_to_be_told_to_see_no_more(world: &mut World) {
    let one = sees_a_name(world);

    world.write(&["delete name_store_join N-in-A"]);
    world.job(|batch| batch.reset_hardware(one.site));
    let again = |world: &mut World, key, before: Device| {
        world.job(|batch| batch.enrol(before.site, &enrolling(key, JournalId([key; 16]))));
        let mut same = Device::new(before.site, JournalId([key; 16]));
        (same.base, same.cursors) = (before.base, before.cursors);
        for _ in 0..4 {
            settle(world, &mut same);
        }
        assert_eq!(told_to_read_anew(&same), [Scope::Visible], "once");
        same
    };
    let mut same = again(world, 77, one);
    assert!(!has(&same, "name_tag_join", "T") && has(&same, "store", "A"));

    // Also where that changed while no device spoke for the site.
    world.write(&[r#"put name_store_join N-in-A {"name_ID":"N","store_ID":"A"}"#]);
    settle(world, &mut same);
    settle(world, &mut same);
    assert!(has(&same, "name_tag_join", "T"));
    world.job(|batch| batch.reset_hardware(same.site));
    world.write(&["delete name_store_join N-in-A"]);
    let same = again(world, 78, same);
    assert!(!has(&same, "name_tag_join", "T") && has(&same, "store", "A"));
}
