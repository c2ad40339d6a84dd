//! When a site that was set back has one history again.

use std::collections::BTreeSet;

use protocol::ids::SiteId;

use super::*;
use crate::mix::{Mix, Profile};
use crate::random::Random;

/// A site of one device that has everything both ways, nothing goes wrong, and files go by stick.
fn world() -> World {
    let mut random = Random::new(3);
    let faults = BTreeSet::from([Fault::Carries]);
    let mix = Mix { sites: 1, chaos_ms: 60_000, ..Mix::draw(Profile::Calm, false, &mut random) };
    let mut world = World::new(Mix { faults, ..mix }, random, false).unwrap();
    world.run().unwrap();
    world.settle().unwrap();
    world
}

fn site(world: &World) -> SiteId {
    world.devices[0].site
}

fn set_back(world: &mut World) {
    world.set_device_back(0);
    world.open_device(0).unwrap();
}

/// One session over a link that does nothing wrong; whatever it finds somebody sees to.
fn sync(world: &mut World) {
    world.sync_calmly(0, false, 8).unwrap();
}

#[test]
fn a_file_that_comes_after_the_first_session_behind_a_set_back_stops_the_site_without_a_violation() {
    let mut world = world();
    world.back_up_device(0);
    sync(&mut world);
    // It shows a token that the device has not after it was set back.
    world.make_request().unwrap();
    set_back(&mut world);

    sync(&mut world);
    assert!(world.forks.contains_key(&site(&world)), "the file may still come");
    world.bring_request().unwrap();
    for _ in 0..4 {
        sync(&mut world);
    }

    assert!(!world.forks.contains_key(&site(&world)), "one history is left");
}

#[test]
fn a_device_that_has_shown_a_token_of_after_its_set_back_is_one_again() {
    let mut world = world();
    world.back_up_device(0);
    set_back(&mut world);

    sync(&mut world);
    sync(&mut world);

    assert!(!world.forks.contains_key(&site(&world)));
}
