//! Rules 5.8 and 5.10, invariants 3 and 7, and what a restart and an error leave.

use protocol::chain::{self, Predecessor, hash_of};
use protocol::ids::{Hash, JournalId, Sequence};
use protocol::message::{FramePart, RequestHead};

use super::*;

contract!(
    rule_5_8_an_equal_hash_is_a_duplicate_and_another_one_a_fork,
    rule_5_8_what_comes_again_below_the_pruned_floor_is_a_fork,
    a_frame_behind_a_gap_is_refused,
    a_head_of_another_history_is_a_fork,
    who_asks_with_a_head_of_another_history_or_an_older_one_is_told_what_an_exchange_would_find,
    an_unknown_journal_is_refused_unless_it_follows_the_known_one,
    a_journal_enrolled_anew_may_follow_a_damaged_one_that_central_never_heard_of,
    a_journal_damaged_before_central_heard_of_it_may_be_followed_however_its_chain_began,
    a_device_that_enrols_again_under_another_journal_still_hears_its_verdicts,
    a_retired_journal_is_refused,
    an_incomplete_tail_of_a_closed_journal_is_set_aside,
    a_frame_in_parts_comes_together_whatever_is_sent_twice,
    a_frame_in_parts_of_another_hash_starts_over,
    an_error_in_the_middle_of_a_batch_leaves_nothing_of_its_job,
    each_start_begins_an_epoch_and_keeps_everything,
    a_quiet_exchange_writes_only_its_token,
    a_device_that_has_heard_more_than_central_gave_is_ahead_and_is_told_what_is_new,
    pruning_keeps_what_is_not_judged_what_waits_and_what_was_refused,
);

fn put(number: usize) -> String {
    format!(r#"put transact T{number} {{"store_ID":"S1"}}"#)
}

fn with_entries(world: &mut World, count: usize) -> Device {
    let mut device = world.device(&["S1"]);
    (0..count).for_each(|number| device.record(&[&put(number)]));
    device
}

fn rule_5_8_an_equal_hash_is_a_duplicate_and_another_one_a_fork(world: &mut World) {
    let device = with_entries(world, 5);
    let mut other = Device::new(device.site, device.journal);
    (0..5).for_each(|number| other.record(&[&put(number + 9)]));
    device.try_send(world, 0, 3).unwrap();

    assert_eq!(device.try_send(world, 0, 3).unwrap().sequence, Sequence(3));
    assert_eq!(device.try_send(world, 0, 2).unwrap().sequence, Sequence(3));
    assert_eq!(code(other.try_send(world, 0, 2)), "fork");
    assert_eq!(code(other.try_send(world, 0, 3)), "fork");
    assert_eq!(code(other.try_send(world, 0, 5)), "fork");
    assert_eq!(code(other.try_send(world, 3, 5)), "fork");
    assert_eq!(device.try_send(world, 1, 5).unwrap().sequence, Sequence(5));
}

fn rule_5_8_what_comes_again_below_the_pruned_floor_is_a_fork(world: &mut World) {
    let mut device = with_entries(world, 2);
    device.record(&[r#"put item I1 {"code":"no"}"#]);
    device.record(&[&put(3)]);
    device.push(world);
    // The device may send it all again until it is known to have heard that it was received. Central's own two edits go.
    assert_eq!(world.job(|batch| batch.prune(u64::MAX / 4, 9)), 2);
    assert_eq!(device.try_send(world, 0, 2).unwrap().sequence, Sequence(4));
    device.try_begin(world).unwrap();
    assert_eq!(world.job(|batch| batch.prune(u64::MAX / 4, 3)), 3);

    // The third entry is refused and so still in the log, but the log is not what it was.
    assert_eq!(code(device.try_send(world, 0, 2)), "fork");
    assert_eq!(code(device.try_send(world, 0, 3)), "fork");
    assert_eq!(device.try_send(world, 0, 4).unwrap().sequence, Sequence(4));
    assert_eq!(device.try_begin(world).unwrap().sequence, Sequence(4));
}

fn a_frame_behind_a_gap_is_refused(world: &mut World) {
    let device = with_entries(world, 4);
    device.try_send(world, 0, 1).unwrap();

    assert_eq!(code(device.try_send(world, 2, 4)), "gap");
}

fn a_head_of_another_history_is_a_fork(world: &mut World) {
    let device = with_entries(world, 3);
    device.try_send(world, 0, 3).unwrap();
    let mut set_back = Device::new(device.site, device.journal);
    assert!(set_back.try_begin(world).is_ok());
    (0..2).for_each(|number| set_back.record(&[&put(number + 9)]));

    assert_eq!(code(set_back.try_begin(world)), "fork");
    set_back.record(&[&put(1)]);
    assert_eq!(code(set_back.try_begin(world)), "fork");
}

fn successor(device: &Device, known_to: usize, promised: usize) -> (Device, Predecessor) {
    let predecessor = Predecessor {
        journal: device.journal,
        sequence: Sequence(known_to as u64),
        hash: device.hash(known_to),
        promised: Sequence(promised as u64),
    };
    let mut next = Device::new(device.site, JournalId([77; 16]));
    next.genesis = chain::genesis(device.site, next.journal, Some(&predecessor));
    (next, predecessor)
}

fn who_asks_with_a_head_of_another_history_or_an_older_one_is_told_what_an_exchange_would_find(world: &mut World) {
    // A device that was put back from a backup heard "central takes it" from a check and `fork` from each sync.
    let mut device = with_entries(world, 3);
    device.try_send(world, 0, 3).unwrap();
    let mut asked = |head: RequestHead| {
        let answer = world.store.reading().check_device(&head, Standing::Current, world.now_ms).unwrap();
        answer.refusal.map(|refusal| refusal.code).unwrap_or_default()
    };
    let mut set_back = Device::new(device.site, device.journal);
    assert_eq!(asked(device.head()), "");
    assert_eq!(asked(set_back.head()), "device_set_back");
    set_back.record(&[&put(0)]);
    assert_eq!(asked(set_back.head()), "device_set_back", "so far the same history");

    (0..2).for_each(|number| set_back.record(&[&put(number + 9)]));
    assert_eq!(asked(set_back.head()), "fork");
    set_back.record(&[&put(1)]);
    assert_eq!(asked(set_back.head()), "", "above what was received nothing can be told");
    device.record(&[&put(3)]);
    assert_eq!(asked(device.head()), "");
    assert_eq!(asked(RequestHead { head: Sequence(0), head_hash: Hash::NONE, ..device.head() }), "");
}

fn an_unknown_journal_is_refused_unless_it_follows_the_known_one(world: &mut World) {
    let device = with_entries(world, 3);
    device.try_send(world, 0, 3).unwrap();
    let (mut next, predecessor) = successor(&device, 2, 5);
    next.record(&[&put(8)]);
    assert_eq!(code(next.try_begin(world)), "unknown_journal");
    let mut head = next.head();
    head.predecessor = Some(Predecessor { hash: device.hash(1), ..predecessor });
    assert_eq!(code(world.try_job(|batch| batch.begin(&head.clone().into(), Standing::Current, NONCE))), "fork");

    head.predecessor = Some(predecessor);
    let received = world.job(|batch| batch.begin(&head.clone().into(), Standing::Current, NONCE));
    // What comes late in the old one was carried over by its own device: nobody misses it.
    assert_eq!(code(device.try_begin(world)), "journal_retired");

    assert_eq!((received.sequence, received.hash), (Sequence(0), next.genesis));
    next.push(world);
    assert!(world.data("transact", "T8").contains("S1"));
    // What was received of the old journal is judged too.
    assert!(world.data("transact", "T2").contains("S1"));
}

/// The simulator's find: a journal was damaged twice with no contact between, and enrolling again did not help.
fn a_journal_enrolled_anew_may_follow_a_damaged_one_that_central_never_heard_of(world: &mut World) {
    let device = with_entries(world, 1);
    let mut unheard = device;
    unheard.journal = JournalId([70; 16]);
    let (mut next, predecessor) = successor(&unheard, 1, 1);
    next.record(&[&put(8)]);
    let mut head = next.head();
    head.predecessor = Some(predecessor);
    assert_eq!(
        code(world.try_job(|batch| batch.begin(&head.clone().into(), Standing::Current, NONCE))),
        "unknown_journal"
    );

    world.job(|batch| batch.enrol(next.site, &enrolling(8, next.journal)));
    let received = world.job(|batch| batch.begin(&head.clone().into(), Standing::Current, NONCE));

    assert_eq!((received.sequence, received.hash), (Sequence(0), next.genesis));
    assert!(next.try_send(world, 0, 1).is_ok());
    // Once something is received the beginning is settled.
    head.predecessor = Some(Predecessor { promised: Sequence(9), ..predecessor });
    assert_eq!(world.job(|batch| batch.begin(&head.clone().into(), Standing::Current, NONCE)).hash, next.hash(1));
}

/// The simulator's find: the enrolled journal followed a damaged one itself, was damaged before its first head, and what came in its
/// place was called a fork.
fn a_journal_damaged_before_central_heard_of_it_may_be_followed_however_its_chain_began(world: &mut World) {
    let mut enrolled = with_entries(world, 0);
    enrolled.genesis = Hash([3; 32]);
    let (mut next, predecessor) = successor(&enrolled, 0, 4);
    next.record(&[&put(1)]);
    let mut head = next.head();
    head.predecessor = Some(predecessor);

    world.job(|batch| batch.begin(&head.clone().into(), Standing::Current, NONCE));

    assert!(next.try_send(world, 0, 1).is_ok());
}

/// The simulator's find: verdicts that the device had not heard were gone, and what came next did not follow what it had.
fn a_device_that_enrols_again_under_another_journal_still_hears_its_verdicts(world: &mut World) {
    let mut device = with_entries(world, 1);
    world.job(|batch| batch.enrol(device.site, &enrolling(8, device.journal)));
    device.push(world);
    device.record(&[r#"put item I1 {"code":"no"}"#]);
    device.try_begin(world).unwrap();
    device.try_send(world, 1, 2).unwrap();
    let (site, control) = (device.site, device.control);
    world.job(|batch| batch.judge(site, &mut || true));

    world.job(|batch| batch.enrol(site, &enrolling(8, JournalId([79; 16]))));

    let mut next = Device::new(site, JournalId([79; 16]));
    next.control = control;
    next.try_begin(world).unwrap();
    let reply = next.try_conclude(world, &mut || true).unwrap();
    // Behind it stands the grant, which counts the numbers that the journal before may have had.
    assert_eq!(reply.control.iter().map(|row| row.number.0).collect::<Vec<_>>(), [control + 1, control + 2]);
}

fn a_retired_journal_is_refused(world: &mut World) {
    let mut device = with_entries(world, 1);
    device.push(world);
    let mut next = Device::new(device.site, JournalId([78; 16]));
    assert!(world.job(|batch| batch.enrol(next.site, &enrolling(8, next.journal))).is_new);
    assert!(!world.job(|batch| batch.enrol(next.site, &enrolling(8, next.journal))).is_new);

    assert_eq!(device.try_begin(world).unwrap().sequence, Sequence(1));
    device.try_send(world, 0, 1).unwrap();
    assert_eq!(code(device.try_conclude(world, &mut || true)), "device_retired");
    assert_eq!(code(world.try_job(|batch| batch.enrol(device.site, &enrolling(8, device.journal)))), "journal_retired");
    next.sync(world);
    // The new device was told its grants again, and got back what the old one had written.
    assert_eq!(next.controls.len(), 1);
    assert_eq!(next.data("transact", "T0"), world.data("transact", "T0"));
}

fn an_incomplete_tail_of_a_closed_journal_is_set_aside(world: &mut World) {
    let mut device = with_entries(world, 1);
    device.record(&[&put(1), &put(2)]);
    device.try_send(world, 0, 2).unwrap();
    device.try_begin(world).unwrap();
    let mut next = Device::new(device.site, JournalId([78; 16]));
    world.job(|batch| batch.enrol(next.site, &enrolling(8, next.journal)));

    next.push(world);

    let aside = world.store.reading().set_aside(device.site, None, 9).unwrap();
    assert_eq!(aside.len(), 1);
    assert_eq!((aside[0].sequence, aside[0].code.as_str()), (Sequence(2), "group_incomplete"));
    assert_eq!(world.data("transact", "T0"), r#"{"ID":"T0","store_ID":"S1"}"#);
}

fn part(device: &Device, whole: &[u8], offset: usize, length: usize) -> FramePart {
    FramePart {
        journal: device.journal,
        first: Sequence(1),
        hash: hash_of(whole),
        offset: u32::try_from(offset).unwrap(),
        total: u32::try_from(whole.len()).unwrap(),
        bytes: whole[offset..offset + length].to_vec(),
    }
}

fn a_frame_in_parts_comes_together_whatever_is_sent_twice(world: &mut World) {
    let mut device = with_entries(world, 0);
    let whole: Vec<u8> = (0..=255).collect();
    let mut kept = Vec::new();
    for (offset, length) in [(0, 100), (0, 100), (50, 10), (100, 100), (220, 30), (200, 56)] {
        let part = part(&device, &whole, offset, length);
        let site = device.site;
        let answer = world.job(|batch| batch.store_part(site, &part));
        kept.push((answer.state.received, answer.whole.map(|whole| whole.len())));
        if offset == 100 {
            assert_eq!(device.push(world).frame_part.map(|state| state.received), Some(200));
        }
    }

    assert_eq!(kept, [(100, None), (100, None), (100, None), (200, None), (200, None), (256, Some(256))]);
    assert_eq!(device.push(world).frame_part, None);
}

fn a_frame_in_parts_of_another_hash_starts_over(world: &mut World) {
    let device = with_entries(world, 0);
    let site = device.site;
    let first = part(&device, &[1; 100], 0, 60);
    world.job(|batch| batch.store_part(site, &first));
    let second = part(&device, &[2; 80], 0, 40);

    assert_eq!(world.job(|batch| batch.store_part(site, &second)).state.received, 40);
    let mut wrong = part(&device, &[2; 80], 40, 40);
    wrong.bytes = vec![3; 40];
    let kept = world.job(|batch| batch.store_part(site, &wrong));
    assert_eq!((kept.state.received, kept.whole), (0, None));
    let outside = FramePart { offset: 70, ..wrong };
    assert_eq!(code(world.try_job(|batch| batch.store_part(site, &outside))), "bad_part");
}

fn an_error_in_the_middle_of_a_batch_leaves_nothing_of_its_job(world: &mut World) {
    let device = with_entries(world, 3);
    let frame = device.frame(0, 2);
    let far = device.frame(2, 3);
    let before = world.store.position();

    world
        .store
        .batch(5, |batch| {
            batch.store_frame(device.site, &frame).unwrap();
            // A job that writes, gives positions and then fails.
            let failed: Result<(), StoreError> = batch.job(|batch| {
                batch.add_site(&NewSite {
                    name: "other".to_owned(),
                    code: String::new(),
                    kind: SiteKind::Mobile,
                    password_hash: String::new(),
                    salt: HardwareSalt([1; 16]),
                    stores: Vec::new(),
                })?;
                batch.append(device.site, &far.entries)?;
                batch.import(&mut [edit(r#"put unit U1 {"units":"x"}"#)].into_iter(), ImportMode::AllOrNothing)?;
                Err(StoreError::Damaged("for the test".to_owned()))
            });
            assert_eq!(code(failed), "store_damaged");
        })
        .unwrap();

    assert_eq!(device.try_begin(world).unwrap().sequence, Sequence(2));
    assert_eq!(world.store.position(), before);
    assert_eq!(world.data("unit", "U1"), "unknown");
    assert_eq!(world.store.reading().site_by_name("other").unwrap(), None);
    assert_eq!(world.store.reading().head().unwrap().1, before);
}

fn each_start_begins_an_epoch_and_keeps_everything(world: &mut World) {
    let mut device = with_entries(world, 2);
    device.sync(world);
    let cursors = device.cursors.clone();
    let position = world.store.position();

    world.restart(101);

    assert_eq!((world.store.epoch(), world.store.position()), (Epoch(101), position));
    assert_eq!(device.sync(world), 0);
    assert_eq!(device.cursors, cursors);
    device.record(&[&put(2)]);
    world.write(&[r#"upsert unit U1 {"units":"x"}"#]);
    assert_eq!(device.push(world).epoch, Epoch(101));
    assert_eq!(device.pull(world), 1);
}

fn a_quiet_exchange_writes_only_its_token(world: &mut World) {
    let mut device = with_entries(world, 2);
    device.sync(world);
    device.sync(world);
    device.sync(world);
    let cursors = device.cursors.clone();

    world.now_ms += 5;
    let reply = device.push(world);

    assert_eq!((reply.rows_waiting, reply.control.len()), (Some(0), 0));
    assert_eq!(device.pull(world), 0);
    assert_eq!(device.cursors, cursors);
    let status = world.status(&device);
    assert_eq!(status.site.last_contact_ms, Some(world.now_ms));
    assert_eq!(status.site.last_drained_ms, Some(world.now_ms));
}

fn a_device_that_has_heard_more_than_central_gave_is_ahead_and_is_told_what_is_new(world: &mut World) {
    let mut device = with_entries(world, 2);
    device.sync(world);
    assert_eq!(world.status(&device).site.ahead_ms, None);
    device.control = 99;
    device.record(&[r#"put item X {"item_name":"not mine"}"#]);

    // Its grants are compared before anything more of it is judged.
    device.sync(world);
    assert_eq!(device.told.len(), 0);
    device.sync(world);

    assert!(world.status(&device).site.ahead_ms.is_some());
    assert!(device.control > 99);
    assert_eq!(device.told.len(), 1);
}

fn pruning_keeps_what_is_not_judged_what_waits_and_what_was_refused(world: &mut World) {
    let mut device = with_entries(world, 2);
    device.record(&[r#"put trans_line L1 {"transaction_ID":"T9"}"#]);
    for number in 0..4 {
        device.record(&[&format!(r#"put item I{number} {{"code":"no"}}"#)]);
    }
    device.record(&[&put(5), &put(6)]);
    device.try_send(world, 0, 8).unwrap();
    device.push_some(world, 0);
    device.try_begin(world).unwrap();
    let log = |world: &mut World| world.store.reading().status().unwrap().log_entries;
    let before = log(world);

    assert_eq!(world.job(|batch| batch.prune(world_time(), 100)), 0);
    let mut pruned = 1;
    while pruned > 0 {
        pruned = world.job(|batch| batch.prune(u64::MAX / 4, 3));
    }

    // Central's own entries, the two accepted, and two refused ones above the limit of two.
    let own = world.store.reading().site(CENTRAL).unwrap().unwrap().journal.unwrap().1.0;
    assert_eq!(log(world), before - own - 4);
    let aside = world.store.reading().set_aside(device.site, None, 9).unwrap();
    assert_eq!(aside.iter().map(|entry| entry.sequence.0).collect::<Vec<_>>(), [6, 7]);
    let journal = device.journal;
    assert!(world.job(|batch| batch.dismiss(device.site, journal, Sequence(6))));
    assert!(!world.job(|batch| batch.dismiss(device.site, journal, Sequence(6))));
    assert_eq!(world.status(&device).set_aside.entries, 1);
    assert_eq!(world.status(&device).waiting_entries, 1);
    device.record(&[&put(9)]);
    device.push(world);
    assert_eq!(world.status(&device).waiting_entries, 0);
    assert!(world.data("trans_line", "L1").contains("T9"));
    assert!(world.data("transact", "T6").contains("S1"));
}

fn world_time() -> u64 {
    500
}
