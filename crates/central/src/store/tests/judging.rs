//! Group verdicts, rule 5.17, refusal images, and verdicts that come in several replies (invariants 3, 8 and 10).

use protocol::control::{Control, Image};

use super::*;

contract!(
    a_group_is_refused_whole_and_leaves_nothing,
    what_is_put_as_it_is_here_is_refused_and_needs_nobody,
    a_group_sees_its_own_earlier_entries,
    a_group_that_is_cut_is_judged_when_its_end_comes,
    a_group_above_its_limit_is_refused_entry_by_entry_and_the_next_one_is_judged,
    an_entry_that_cannot_be_read_is_kept_and_refused,
    an_edit_under_an_old_number_is_refused,
    rule_5_17_a_line_waits_for_its_header_and_later_edits_queue_behind_it,
    rule_5_17_one_waiting_entry_makes_its_group_wait,
    rule_5_17_a_delete_takes_back_what_waits,
    rule_5_17_what_a_group_takes_back_its_later_entries_need_not_wait_for,
    rule_5_17_a_deleted_header_is_its_lines_verdict,
    rule_5_17_a_refused_header_is_its_lines_verdict,
    rule_5_17_a_header_that_waits_makes_its_lines_wait,
    rule_5_17_at_the_limit_the_oldest_waits_no_longer,
    a_refusal_brings_centrals_image_if_the_site_has_the_record,
    judged_never_passes_an_entry_whose_row_is_not_told,
    judging_stops_when_time_is_up_and_goes_on_later,
    a_device_in_place_of_another_is_drained_only_when_all_that_the_old_one_sent_is_judged,
    judging_pauses_until_the_control_rows_are_read,
);

const T1: &str = r#"put transact T1 {"store_ID":"S1","status":"nw"}"#;
const L1: &str = r#"put trans_line L1 {"transaction_ID":"T1","quantity":1}"#;
const L2: &str = r#"put trans_line L2 {"transaction_ID":"T1","quantity":2}"#;

fn told(device: &Device) -> Vec<(u64, &str)> {
    device.told.iter().map(|(sequence, code)| (*sequence, code.as_str())).collect()
}

fn a_group_is_refused_whole_and_leaves_nothing(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.record(&[T1, L1, r#"put item I1 {"code":"x"}"#]);
    let before = world.store.position();

    let reply = device.push(world);

    assert_eq!(told(&device), [(1, "group_refused"), (2, "group_refused"), (3, "central_data")]);
    assert_eq!((reply.received.0, reply.judged.0), (3, 3));
    assert_eq!(world.data("transact", "T1"), "unknown");
    assert_eq!(world.store.position(), before);
    assert_eq!(world.status(&device).set_aside.entries, 3);
}

/// A site hands back what a central that was set back may have lost, and it has it all the same.
fn what_is_put_as_it_is_here_is_refused_and_needs_nobody(world: &mut World) {
    let mut device = world.device(&["S1"]);
    world.write(&[r#"upsert item I1 {"code":"x"}"#]);
    device.record(&[r#"put item I1 {"code":"x"}"#]);
    device.record(&[r#"put item I1 {"code":"y"}"#]);
    device.record(&[T1, r#"put item I1 {"code":"x"}"#]);
    let before = world.store.position();

    device.push(world);

    let expected = [(1, "already_here"), (2, "central_data"), (3, "group_refused"), (4, "already_here")];
    assert_eq!(told(&device), expected);
    assert_eq!(world.status(&device).set_aside.entries, 3, "a group is kept whole");
    assert_eq!(world.store.position(), before);
}

fn a_group_sees_its_own_earlier_entries(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.record(&[T1, L1, r#"patch trans_line L1 {"quantity":5}"#, r"delete trans_line L1", L2]);

    device.push(world);

    assert_eq!(told(&device), []);
    assert_eq!(world.data("trans_line", "L1"), "deleted");
    assert!(world.data("trans_line", "L2").contains(r#""quantity":2"#));
}

fn a_group_that_is_cut_is_judged_when_its_end_comes(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.record(&[T1, L1, L2]);

    let first = device.push_some(world, 2);
    assert_eq!((first.received.0, first.judged.0), (2, 0));
    assert_eq!(world.data("transact", "T1"), "unknown");
    let second = device.push_some(world, 2);

    assert_eq!((second.received.0, second.judged.0), (3, 3));
    assert_ne!(world.data("trans_line", "L2"), "unknown");
}

fn a_group_above_its_limit_is_refused_entry_by_entry_and_the_next_one_is_judged(world: &mut World) {
    let mut device = world.device(&["S1"]);
    let six: Vec<String> = (0..6).map(|number| format!(r#"put transact X{number} {{"store_ID":"S1"}}"#)).collect();
    device.record(&six.iter().map(String::as_str).collect::<Vec<_>>());
    device.record(&[T1]);
    let long = format!(r#"put transact Y {{"store_ID":"S1","comment":"{}"}}"#, "x".repeat(3000));
    device.record(&[&long, &long]);
    device.record(&[L1]);

    device.push(world);

    let expected: Vec<_> = [1, 2, 3, 4, 5, 6, 8, 9].iter().map(|sequence| (*sequence, "group_too_large")).collect();
    assert_eq!(told(&device), expected);
    assert_eq!(world.data("transact", "X0"), "unknown");
    assert_ne!(world.data("trans_line", "L1"), "unknown");
}

fn an_entry_that_cannot_be_read_is_kept_and_refused(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.record_bytes(b"\x00\x01rubbish");
    device.record_bytes(b"\x09from a later version");
    let mut nul = device::entry(T1, true);
    nul.record = id("T\0");
    device.record_bytes(&nul.encode());
    device.record(&[T1]);

    let reply = device.push(world);

    assert_eq!(told(&device), [(1, "entry_malformed"), (2, "entry_malformed"), (3, "entry_malformed")]);
    assert_eq!(reply.judged.0, 4);
    let aside = world.store.reading().set_aside(device.site, None, 2).unwrap();
    assert_eq!(aside[1].bytes, b"\x09from a later version");
    let rest = world.store.reading().set_aside(device.site, Some((device.journal, aside[1].sequence)), 9).unwrap();
    assert_eq!(rest.len(), 1);
}

fn an_edit_under_an_old_number_is_refused(world: &mut World) {
    let mut device = world.device(&["S1"]);
    world.device(&["S2"]);
    device.record(&[r#"put#2 transact T1 {"store_ID":"S1"}"#]);
    device.record(&[r#"put transact T2 {"store_ID":"S2"}"#]);

    device.push(world);

    assert_eq!(told(&device), [(1, "ownership_number"), (2, "not_store_holder")]);
}

fn rule_5_17_a_line_waits_for_its_header_and_later_edits_queue_behind_it(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.record(&[L1]);
    device.record(&[r#"patch trans_line L1 {"quantity":7}"#]);
    device.record(&[r#"put transact T2 {"store_ID":"S1"}"#]);
    device.push(world);
    assert_eq!(told(&device), [(1, "waiting"), (2, "waiting")]);
    assert_eq!(world.status(&device).waiting_entries, 2);
    assert_eq!(device.judged, 3);
    world.restart(101);

    device.record(&[T1]);
    device.push(world);

    assert_eq!(told(&device)[2..], [(1, "accepted"), (2, "accepted")]);
    assert!(world.data("trans_line", "L1").contains(r#""quantity":7"#));
    assert_eq!(world.status(&device).waiting_entries, 0);
    assert_eq!(device.data("trans_line", "L1"), world.data("trans_line", "L1"));
}

fn rule_5_17_one_waiting_entry_makes_its_group_wait(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.record(&[r#"put transact T2 {"store_ID":"S1"}"#, L1]);
    device.record(&[r#"put trans_line L9 {"transaction_ID":"T2"}"#]);
    device.push(world);
    assert_eq!(told(&device), [(1, "waiting"), (2, "waiting"), (3, "waiting")]);
    assert_eq!(world.data("transact", "T2"), "unknown");

    device.record(&[T1]);
    device.push(world);

    assert_eq!(told(&device)[3..], [(1, "accepted"), (2, "accepted"), (3, "accepted")]);
    assert_ne!(world.data("trans_line", "L9"), "unknown");
}

fn rule_5_17_a_delete_takes_back_what_waits(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.record(&[L1]);
    device.record(&[L2]);
    device.record(&["delete trans_line L1"]);
    device.push(world);
    assert_eq!(told(&device), [(1, "waiting"), (2, "waiting"), (1, "accepted")]);

    device.record(&[r#"put trans_line L1 {"transaction_ID":"T1","quantity":3}"#]);
    device.record(&[T1]);
    device.push(world);

    assert_eq!(told(&device)[3..], [(4, "waiting"), (2, "accepted"), (4, "accepted")]);
    assert!(world.data("trans_line", "L1").contains(r#""quantity":3"#));
}

fn rule_5_17_what_a_group_takes_back_its_later_entries_need_not_wait_for(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.record(&[r#"put transact T2 {"store_ID":"S1","status":"nw"}"#, L1]);
    device.record(&["delete transact T2", r#"put transact T2 {"store_ID":"S1","status":"fn"}"#]);

    device.push(world);

    assert_eq!(told(&device), [(1, "waiting"), (2, "waiting")]);
    assert!(world.data("transact", "T2").contains(r#""status":"fn""#));
    device.record(&[T1]);
    device.push(world);
    assert_eq!(told(&device)[2..], [(1, "accepted"), (2, "accepted")]);
    assert!(world.data("transact", "T2").contains(r#""status":"fn""#));
    assert_eq!(device.data("transact", "T2"), world.data("transact", "T2"));
}

fn rule_5_17_a_deleted_header_is_its_lines_verdict(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.record(&[L1]);
    device.record(&["delete transact T1"]);
    device.record(&[r#"put transact T2 {"store_ID":"S1"}"#]);
    device.record(&["delete transact T2"]);
    device.record(&[r#"put trans_line L9 {"transaction_ID":"T2"}"#]);

    device.push(world);

    assert_eq!(told(&device), [(1, "waiting"), (1, "header_deleted"), (5, "header_deleted")]);
    assert_eq!(world.status(&device).waiting_entries, 0);
}

fn rule_5_17_a_refused_header_is_its_lines_verdict(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.record(&[L1]);
    device.record(&[r#"put#3 transact T1 {"store_ID":"S1"}"#]);
    device.record(&[L2]);
    device.record(&[T1]);
    device.record(&[r#"put trans_line L3 {"transaction_ID":"T1"}"#]);

    device.push(world);

    let expected = [(1, "waiting"), (2, "ownership_number"), (1, "header_missing"), (3, "header_missing")];
    assert_eq!(told(&device), expected);
    assert_ne!(world.data("trans_line", "L3"), "unknown");
}

fn rule_5_17_a_header_that_waits_makes_its_lines_wait(world: &mut World) {
    let mut device = world.device(&["S1"]);
    let header = r#"put transact T2 {"store_ID":"S1"}"#;
    device.record(&[header, L1]);
    device.record(&["delete transact T2"]);
    device.record(&[header]);
    device.record(&[r#"put trans_line L9 {"transaction_ID":"T2"}"#]);
    device.push(world);
    assert_eq!(told(&device), [(1, "waiting"), (2, "waiting")]);

    device.record(&[T1]);
    device.push(world);

    assert_eq!(told(&device)[2..], [(1, "accepted"), (2, "accepted")]);
    assert_ne!(world.data("transact", "T2"), "unknown");
    assert_ne!(world.data("trans_line", "L9"), "unknown");
}

fn rule_5_17_at_the_limit_the_oldest_waits_no_longer(world: &mut World) {
    let mut device = world.device(&["S1"]);
    for number in 0..8 {
        device.record(&[&format!(r#"put trans_line L{number} {{"transaction_ID":"T1"}}"#)]);
    }

    device.push(world);

    assert_eq!(world.status(&device).waiting_entries, LIMITS.waiting_entries_max);
    let refused: Vec<_> = told(&device).into_iter().filter(|told| told.1 != "waiting").collect();
    assert_eq!(refused, [(1, "header_missing"), (2, "header_missing")]);
}

fn a_refusal_brings_centrals_image_if_the_site_has_the_record(world: &mut World) {
    let mut device = world.device(&["S1"]);
    let mut other = world.device(&["S2"]);
    world.write(&[r#"put item I1 {"code":"central"}"#]);
    other.record(&[r#"put transact T9 {"store_ID":"S2"}"#]);
    other.push(world);
    device.record(&[r#"patch item I1 {"code":"mine"}"#]);
    device.record(&[r#"patch transact T9 {"status":"mine"}"#]);
    device.record(&[r#"put item I2 {"code":"mine"}"#]);

    device.push(world);

    let images: Vec<_> = device
        .controls
        .iter()
        .filter_map(|control| match control {
            Control::Refused(refused) => Some(refused.image != Image::NotHere),
            _ => None,
        })
        .collect();
    assert_eq!(images, [true, false, false]);
    assert!(device.data("item", "I1").contains("central"));
    assert_eq!(
        device.position_of("item", "I1").unwrap(),
        world.store.reading().record("item", &id("I1")).unwrap().unwrap().position
    );
}

fn judged_never_passes_an_entry_whose_row_is_not_told(world: &mut World) {
    world.set_limits(|limits| limits.control_bytes_max = 250);
    let mut device = world.device(&["S1"]);
    device.push(world);
    for number in 0..6 {
        device.record(&[&format!(r#"put transact T{number} {{"store_ID":"S1"}}"#)]);
        device.record(&[&format!(r#"put item I{number} {{"code":"no"}}"#)]);
    }
    let mut replies = 0;
    while device.judged < 12 {
        let before = device.judged;
        let reply = device.push(world);
        assert!(device.judged > before, "each reply tells one row at least");
        assert_eq!(reply.has_more_control, reply.judged.0 < 12);
        // Every second entry is refused.
        assert_eq!(device.told.len() as u64, device.judged / 2);
        replies += 1;
    }

    assert!(replies >= 3, "{replies}");
    assert_eq!(device.told.len(), 6);
    assert_eq!(device.base.len(), 6);
}

fn judging_stops_when_time_is_up_and_goes_on_later(world: &mut World) {
    let mut device = world.device(&["S1"]);
    for number in 0..9 {
        device.record(&[&format!(r#"put transact T{number} {{"store_ID":"S1"}}"#)]);
    }
    device.try_send(world, 0, 9).unwrap();
    let mut left = 3;
    let reply = device
        .try_conclude(world, &mut || {
            left -= 1;
            left > 0
        })
        .unwrap();
    assert_eq!((reply.received.0, reply.judged.0), (9, 3));
    assert_eq!(world.status(&device).unjudged_entries, 6);
    let site = device.site;

    let judged = world.job(|batch| batch.judge(site, &mut || true));

    assert_eq!((judged.groups, judged.has_more), (6, false));
    assert_eq!(device.push(world).judged.0, 9);
}

/// The simulator's find: a wiped device was told that it had everything, edited a record, and a delete of its own from before,
/// judged later, made that edit fail.
fn a_device_in_place_of_another_is_drained_only_when_all_that_the_old_one_sent_is_judged(world: &mut World) {
    let mut old = world.device(&["S1"]);
    for number in 0..4 {
        old.record(&[&format!(r#"put transact T{number} {{"store_ID":"S1"}}"#)]);
    }
    old.record(&["delete transact T0"]);
    old.try_send(world, 0, 5).unwrap();
    let mut new = Device::new(old.site, JournalId([77; 16]));
    world.job(|batch| batch.enrol(new.site, &enrolling(8, new.journal)));

    let mut replies = Vec::new();
    for _ in 0..4 {
        let mut left = 2;
        let reply = new.try_conclude(world, &mut || {
            left -= 1;
            left > 0
        });
        new.pull(world);
        replies.push((reply.unwrap().has_more_control, world.status(&new).site.last_drained_ms.is_some()));
    }

    assert_eq!(replies, [(true, false), (true, false), (false, false), (false, true)]);
    assert_eq!(new.data("transact", "T0"), "not here");
    assert_eq!(world.data("transact", "T0"), "deleted");
}

fn judging_pauses_until_the_control_rows_are_read(world: &mut World) {
    world.set_limits(|limits| limits.control_rows_max = 2);
    let mut device = world.device(&["S1"]);
    for number in 0..5 {
        device.record(&[&format!(r#"put item I{number} {{"code":"no"}}"#)]);
    }

    let reply = device.push(world);
    assert!(reply.judged.0 < 5);
    let site = device.site;
    assert!(world.job(|batch| batch.judge(site, &mut || true)).has_more);
    while device.judged < 5 {
        device.push(world);
    }

    assert_eq!(device.told.len(), 5);
}
