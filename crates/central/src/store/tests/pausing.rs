//! Sites that do not sync because central's people say so.

use super::sites::new_site;
use super::*;

contract!(
    a_disabled_site_is_refused_until_it_is_enabled_and_loses_nothing,
    a_paused_site_is_refused_with_a_wait_and_comes_by_itself_afterwards,
    a_pause_is_ended_before_its_time,
    a_pause_has_a_length,
    disabling_outlives_a_pause_and_a_restart,
    no_device_enrols_while_its_site_does_not_sync,
    a_check_says_what_an_exchange_would_be_told,
    a_refused_device_is_not_seen_and_stops_nothing,
    central_itself_is_neither_disabled_nor_paused,
);

const T1: &str = r#"put transact T1 {"store_ID":"S1"}"#;

fn refusal(world: &mut World, device: &Device) -> protocol::message::Refusal {
    match device.try_begin(world) {
        Err(StoreError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

fn a_disabled_site_is_refused_until_it_is_enabled_and_loses_nothing(world: &mut World) {
    let mut device = world.device(&["S1"]);
    settle(world, &mut device);
    let site = device.site;
    assert!(world.job(|batch| batch.disable_site(site)));
    assert!(!world.job(|batch| batch.disable_site(site)), "that is no news");
    device.record(&[T1]);

    let refused = refusal(world, &device);

    assert_eq!((refused.code.as_str(), refused.retry_after_s), ("site_disabled", None));
    assert_eq!(world.data("transact", "T1"), "unknown");
    world.now_ms += 1_000_000_000;
    assert_eq!(refusal(world, &device).code, "site_disabled");
    assert!(world.job(|batch| batch.enable_site(site)));
    assert!(!world.job(|batch| batch.enable_site(site)));
    device.sync(world);
    assert_ne!(world.data("transact", "T1"), "unknown");
}

fn a_paused_site_is_refused_with_a_wait_and_comes_by_itself_afterwards(world: &mut World) {
    let mut device = world.device(&["S1"]);
    settle(world, &mut device);
    let site = device.site;

    let until_ms = world.job(|batch| batch.pause_site(site, 20));

    assert_eq!(until_ms, world.now_ms + 20 * 60_000);
    let first = refusal(world, &device);
    assert_eq!((first.code.as_str(), first.retry_after_s), ("site_paused", Some(PAUSE_RETRY_S_MAX)));
    world.now_ms = until_ms - 1;
    assert_eq!(refusal(world, &device).retry_after_s, Some(1));
    world.now_ms = until_ms;
    device.record(&[T1]);
    device.sync(world);
    assert_ne!(world.data("transact", "T1"), "unknown");
}

fn a_pause_is_ended_before_its_time(world: &mut World) {
    let mut device = world.device(&["S1"]);
    let site = device.site;
    assert!(!world.job(|batch| batch.unpause_site(site)), "there is none");
    world.job(|batch| batch.pause_site(site, 60));
    world.job(|batch| batch.pause_site(site, 1));

    assert!(world.job(|batch| batch.unpause_site(site)));

    device.sync(world);
    world.job(|batch| batch.pause_site(site, 1));
    world.now_ms += 60_000;
    assert!(!world.job(|batch| batch.unpause_site(site)), "it is over");
}

fn a_pause_has_a_length(world: &mut World) {
    let site = world.job(|batch| batch.add_site(&new_site("north", SiteKind::Standalone, &[])));

    for minutes in [0, PAUSE_MINUTES_MAX + 1, u32::MAX] {
        assert_eq!(code(world.try_job(|batch| batch.pause_site(site, minutes))), "pause_minutes");
    }
    for minutes in [1, PAUSE_MINUTES_MAX] {
        world.job(|batch| batch.pause_site(site, minutes));
    }
}

fn disabling_outlives_a_pause_and_a_restart(world: &mut World) {
    let device = world.device(&["S1"]);
    let site = device.site;
    world.job(|batch| batch.pause_site(site, 5));
    world.job(|batch| batch.disable_site(site));

    assert_eq!(code(world.try_job(|batch| batch.pause_site(site, 5))), "site_disabled");
    assert!(!world.job(|batch| batch.unpause_site(site)));
    world.restart(101);
    assert_eq!(refusal(world, &device).code, "site_disabled");
    assert!(matches!(world.status(&device).site.pause, Some(Pause::Disabled { since_ms: 1000 })));
}

fn no_device_enrols_while_its_site_does_not_sync(world: &mut World) {
    let site = world.job(|batch| batch.add_site(&new_site("north", SiteKind::Standalone, &[])));
    let device = enrolling(7, JournalId([2; 16]));
    world.job(|batch| batch.disable_site(site));
    assert_eq!(code(world.try_job(|batch| batch.enrol(site, &device))), "site_disabled");
    world.job(|batch| batch.enable_site(site));
    world.job(|batch| batch.pause_site(site, 1));
    assert_eq!(code(world.try_job(|batch| batch.enrol(site, &device))), "site_paused");

    world.now_ms += 60_000;

    world.job(|batch| batch.enrol(site, &device));
}

fn a_check_says_what_an_exchange_would_be_told(world: &mut World) {
    let device = world.device(&["S1"]);
    let site = device.site;
    world.job(|batch| batch.pause_site(site, 1));
    let told = refusal(world, &device);
    let now_ms = world.now_ms;

    let answer = world.store.reading().check_device(&device.head(), Standing::Current, now_ms).unwrap();

    assert_eq!(answer.refusal, Some(told));
    let later = world.store.reading().check_device(&device.head(), Standing::Current, now_ms + 60_000).unwrap();
    assert_eq!(later.refusal, None);
}

/// A copy of the device that comes meanwhile is not asked who it is, and the device goes on with the token that it has.
fn a_refused_device_is_not_seen_and_stops_nothing(world: &mut World) {
    let mut device = world.device(&["S1"]);
    settle(world, &mut device);
    let copy = device.clone();
    device.sync(world);
    device.sync(world);
    let site = device.site;
    let before = world.status(&device).site.last_contact_ms;
    world.now_ms += 5_000;
    world.job(|batch| batch.disable_site(site));

    for _ in 0..3 {
        assert_eq!(refusal(world, &copy).code, "site_disabled");
        assert_eq!(refusal(world, &device).code, "site_disabled");
    }

    let status = world.status(&device).site;
    assert_eq!((status.last_contact_ms, status.stop, status.is_challenged), (before, None, false));
    world.job(|batch| batch.enable_site(site));
    device.sync(world);
}

fn central_itself_is_neither_disabled_nor_paused(world: &mut World) {
    assert_eq!(code(world.try_job(|batch| batch.disable_site(CENTRAL))), "site_is_central");
    assert_eq!(code(world.try_job(|batch| batch.enable_site(CENTRAL))), "site_is_central");
    assert_eq!(code(world.try_job(|batch| batch.pause_site(CENTRAL, 5))), "site_is_central");
    assert_eq!(code(world.try_job(|batch| batch.unpause_site(CENTRAL))), "site_is_central");
}
