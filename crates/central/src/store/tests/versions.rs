//! Heads of which only the prelude is understood: edits are taken, and what the site reported before stays as it is.

use protocol::exchange::Conclusion;
use protocol::ids::Sequence;
use protocol::versions::{Head, Prelude};

use super::*;

contract!(
    a_site_of_another_version_is_received_and_judged_and_told_nothing,
    what_a_site_reported_before_it_was_of_another_version_counts_on,
    a_request_of_another_version_that_comes_again_gets_the_same_token,
    what_a_site_of_another_version_has_heard_is_received_may_be_forgotten_by_age,
    what_a_retired_device_of_another_version_still_has_goes_to_set_aside,
);

fn head(device: &Device) -> Head {
    Head::Prelude(Prelude { version: 9, ..device.head().prelude() })
}

/// One exchange of a device that is of another version.
fn push(world: &mut World, device: &mut Device) -> Result<Conclusion, StoreError> {
    device.salt.copy_from_slice(&world.token().0[..8]);
    let head = head(device);
    let received = world.try_job(|batch| batch.begin(&head, Standing::Current, NONCE))?;
    let from = usize::try_from(received.sequence.0).unwrap();
    if from < device.entries.len() {
        device.try_send(world, from, device.entries.len())?;
    }
    let conclusion = world.try_job(|batch| batch.conclude(&head, &mut || true))?;
    device.token = conclusion.reply.token;
    Ok(conclusion)
}

fn put(id: &str) -> String {
    format!(r#"put transact {id} {{"store_ID":"S1"}}"#)
}

fn a_site_of_another_version_is_received_and_judged_and_told_nothing(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.record(&[&put("T1")]);
    device.record(&[r#"put item I1 {"code":"no"}"#]);

    let conclusion = push(world, &mut device).unwrap();

    let reply = &conclusion.reply;
    assert_eq!((reply.received, reply.received_hash), (Sequence(2), device.hash(2)));
    assert!(reply.control.is_empty() && conclusion.scopes.is_empty() && reply.rows_waiting.is_none());
    assert_ne!(world.data("transact", "T1"), "unknown");
    assert_eq!(world.data("item", "I1"), "unknown");

    // Once it is understood it is told what it has missed, from the first row on.
    device.salt = [7; 8];
    device.sync(world);
    assert_eq!(device.told.len(), 1, "{:?}", device.told);
    assert_eq!((device.told[0].0, device.control > 0), (2, true));
    assert_ne!(device.data("transact", "T1"), "not here");
}

fn what_a_site_reported_before_it_was_of_another_version_counts_on(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.sync(world);
    device.push(world);
    let grants = device.controls.len();
    device.record(&[&put("T1")]);

    push(world, &mut device).unwrap();

    // Its cursors stand, so its own edit does not come back to it; and no grant is told again.
    device.salt = [7; 8];
    assert_eq!(device.sync(world), 0);
    assert_eq!(device.controls.len(), grants);
}

fn a_request_of_another_version_that_comes_again_gets_the_same_token(world: &mut World) {
    let mut device = world.device(&["S1"]);
    push(world, &mut device).unwrap();
    let before = device.clone();
    let first = push(world, &mut device).unwrap().reply.token;

    for _ in 0..20 {
        let copy = Head::Prelude(Prelude { salt: device.salt, token: before.token, ..head(&before).prelude() });
        world.job(|batch| batch.begin(&copy, Standing::Current, NONCE));
        assert_eq!(world.job(|batch| batch.conclude(&copy, &mut || true)).reply.token, first);
    }
    // Its reply was lost: a request of its own shows the same token, and gets another one.
    device.token = before.token;
    assert_ne!(push(world, &mut device).unwrap().reply.token, first);
}

fn what_a_site_of_another_version_has_heard_is_received_may_be_forgotten_by_age(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.record(&[&put("T1")]);
    device.record(&[&put("T2")]);
    push(world, &mut device).unwrap();
    // Central's own two edits go; the device may not have got the receipt.
    assert_eq!(world.job(|batch| batch.prune(u64::MAX / 4, 9)), 2);

    push(world, &mut device).unwrap();
    assert_eq!(world.job(|batch| batch.prune(u64::MAX / 4, 9)), 2);
}

fn what_a_retired_device_of_another_version_still_has_goes_to_set_aside(world: &mut World) {
    let mut old = world.device(&["S1"]);
    push(world, &mut old).unwrap();
    world.job(|batch| batch.reset_hardware(old.site));
    world.job(|batch| batch.enrol(old.site, &enrolling(8, JournalId([99; 16]))));
    old.record(&[&put("T1")]);

    assert_eq!(code(push(world, &mut old)), "device_retired");

    assert_eq!(world.data("transact", "T1"), "unknown");
    assert_eq!(world.status(&old).set_aside.entries, 1);
}
