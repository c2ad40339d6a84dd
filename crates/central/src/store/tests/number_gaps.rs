//! Document numbers that may be lost are counted, and a store that moves in order loses none.

use protocol::control::{Control, NumberGaps};
use protocol::ids::{JournalId, PublicKey};

use super::*;

contract!(
    an_orderly_move_keeps_the_count_and_one_at_once_raises_it,
    a_reset_counts_once_and_the_next_device_is_told,
    a_device_that_was_wiped_or_goes_on_in_another_journal_counts,
    a_count_that_a_device_shows_is_taken_up_and_told_once,
    a_count_in_the_records_of_a_store_is_not_given_again,
    a_number_that_comes_too_late_is_not_given_again,
    a_store_that_ever_kept_its_data_counts_once_when_it_goes_to_another_site,
);

/// Store A at a site with nothing to be read, and another site with store B.
fn two(world: &mut World) -> (Device, Device) {
    let (mut one, mut two) = (world.device(&["A"]), world.device(&["B"]));
    settle(world, &mut one);
    settle(world, &mut two);
    (one, two)
}

/// Both sync until nothing moves any more.
fn settle_both(world: &mut World, one: &mut Device, two: &mut Device) {
    for _ in 0..3 {
        settle(world, one);
        settle(world, two);
    }
    assert!(world.store.reading().store_moves().unwrap().is_empty());
}

/// The count that a device was told last with a grant of store A.
fn told(device: &Device) -> Option<u32> {
    let grants = device.controls.iter().rev().filter_map(|control| match control {
        Control::Grant(grant) if grant.store == "A" && grant.is_held => Some(grant.number_gaps),
        _ => None,
    });
    grants.into_iter().next()
}

fn go(world: &mut World, site: SiteId, is_at_once: bool) {
    world.job(|batch| batch.move_store(&id("A"), site, is_at_once));
}

fn an_orderly_move_keeps_the_count_and_one_at_once_raises_it(world: &mut World) {
    let (mut one, mut two) = two(world);
    go(world, two.site, false);
    settle_both(world, &mut one, &mut two);
    assert_eq!((told(&one), told(&two)), (Some(0), Some(0)));

    go(world, one.site, true);
    settle_both(world, &mut one, &mut two);

    assert_eq!(told(&one), Some(1));
    // Nobody has written it yet: what fills is handed on without a loss.
    go(world, two.site, true);
    go(world, one.site, true);
    settle_both(world, &mut one, &mut two);
    assert_eq!(told(&one), Some(2));
}

fn a_reset_counts_once_and_the_next_device_is_told(world: &mut World) {
    let (one, mut two) = two(world);
    world.job(|batch| batch.reset_hardware(one.site));
    world.job(|batch| batch.reset_hardware(one.site));
    let journal = JournalId([51; 16]);
    let other =
        EnrollingDevice { key: PublicKey([51; 32]), journal, kind: SiteKind::Standalone, hardware: hardware("CU") };
    world.job(|batch| batch.enrol(one.site, &other));
    let mut next = Device::new(one.site, journal);
    settle(world, &mut next);
    assert_eq!(told(&next), Some(1));

    // Nobody is left to drain, and that was counted.
    world.job(|batch| batch.reset_hardware(one.site));
    go(world, two.site, true);
    settle(world, &mut two);
    settle(world, &mut two);
    assert_eq!(told(&two), Some(2));
}

fn a_device_that_was_wiped_or_goes_on_in_another_journal_counts(world: &mut World) {
    let (one, _) = two(world);
    let journal = JournalId([52; 16]);
    world.job(|batch| batch.enrol(one.site, &enrolling(8, journal)));
    let mut wiped = Device::new(one.site, journal);
    settle(world, &mut wiped);
    assert_eq!(told(&wiped), Some(1));

    // What was told before waits still when the device enrols in another journal, as after `outpost recover`.
    let journal = JournalId([53; 16]);
    world.job(|batch| batch.enrol(one.site, &enrolling(8, journal)));
    world.job(|batch| batch.enrol(one.site, &enrolling(8, journal)));
    let mut recovered = Device::new(one.site, journal);
    settle(world, &mut recovered);
    assert_eq!(told(&recovered), Some(2));
}

fn a_count_that_a_device_shows_is_taken_up_and_told_once(world: &mut World) {
    let (mut one, mut two) = two(world);
    let shown = |store: &str, gaps| NumberGaps { store: store.to_owned(), gaps };
    // Of a store that is not its own it has nothing to say.
    one.claims.number_gaps = vec![shown("A", 3), shown("B", 9)];
    let head = one.head();
    for _ in 0..2 {
        world.job(|batch| batch.begin(&head.clone().into(), Standing::Current, NONCE));
    }
    let reply = one.push(world);
    assert_eq!((told(&one), reply.control.len()), (Some(3), 1), "told once however often it is asked");
    one.claims.number_gaps = vec![shown("A", 1)];
    one.push(world);
    assert_eq!(told(&one), Some(3), "a count does not fall");
    one.claims.number_gaps = Vec::new();

    go(world, two.site, false);
    settle_both(world, &mut one, &mut two);
    assert_eq!(told(&two), Some(3));
}

fn a_count_in_the_records_of_a_store_is_not_given_again(world: &mut World) {
    let (mut one, mut two) = two(world);
    one.record(&[r#"put number N {"name":"k_for_store_A","value":3001,"outpost_number_gaps":3}"#]);
    settle(world, &mut one);

    go(world, two.site, true);
    settle(world, &mut two);
    settle(world, &mut two);

    assert_eq!(told(&two), Some(4));
}

/// Found by a tester: the old device of a store that was not waited for had given more numbers than a gap has.
fn a_number_that_comes_too_late_is_not_given_again(world: &mut World) {
    let (mut one, mut two) = two(world);
    one.record(&[r#"put number N {"name":"k_for_store_A","value":3500,"outpost_last_number":3500}"#]);
    one.record(&[r#"put number N {"name":"k_for_store_A","value":3600,"outpost_last_number":3600}"#]);
    one.record(&[r#"put number M {"name":"m_for_store_A","value":7,"outpost_last_number":7}"#]);
    go(world, two.site, true);
    settle(world, &mut two);
    settle(world, &mut two);
    assert_eq!(told(&two), Some(1));

    settle(world, &mut one);
    settle(world, &mut two);

    assert!(
        one.told.iter().all(|(_, code)| code == "ownership_number" || code == "not_store_holder"),
        "{:?}",
        one.told
    );
    assert_eq!(told(&two), Some(4), "3600 is below the next one, and 7 was at once");
}

fn a_store_that_ever_kept_its_data_counts_once_when_it_goes_to_another_site(world: &mut World) {
    let (mut one, mut two) = two(world);
    for is_kept in [true, false] {
        world.job(|batch| batch.set_transfer_on_central(&id("A"), is_kept));
        settle(world, &mut one);
    }
    assert_eq!(told(&one), Some(0), "its own site knows what it gave");

    go(world, two.site, false);
    settle_both(world, &mut one, &mut two);
    assert_eq!(told(&two), Some(1));

    go(world, one.site, false);
    settle_both(world, &mut one, &mut two);
    assert_eq!(told(&one), Some(1));
}
