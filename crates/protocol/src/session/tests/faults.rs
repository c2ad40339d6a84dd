//! Random sizes, cuts, power failures on either side, repeated and late requests, changes while a session runs: once the faults
//! end, everything arrives.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::world::{Center, Cut, Device, Write, drained, scope};
use crate::control::{Claim, Claims, Control, ControlRow, Dropped, GrantsTold, ReadAnew};
use crate::frame::RefusedBefore;
use crate::ids::{ControlNumber, GrantProof, OwnershipNumber, Sequence};
use crate::message::FramePartState;
use crate::session::Failure;

/// One session with what happens before and during it.
#[derive(Debug, Clone)]
struct Round {
    records: Vec<usize>,
    writes: Vec<Write>,
    writes_meanwhile: Vec<Write>,
    control: Vec<usize>,
    /// Bytes that the link lets through.
    cut: usize,
    device_steps: usize,
    central_steps: Option<usize>,
    /// An earlier request that comes again before the session, by its place from the last one.
    repeats: Option<usize>,
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![12 => 0..300_usize, 3 => 300..9_000_usize, 1 => 9_000..90_000_usize]
}

fn write() -> impl Strategy<Value = Write> {
    (0..3_u8, 0..12_u8, size())
}

fn round() -> impl Strategy<Value = Round> {
    let data = (
        prop::collection::vec(size(), 0..20),
        prop::collection::vec(write(), 0..12),
        prop::collection::vec(write(), 0..4),
        prop::collection::vec(prop_oneof![9 => 0..200_usize, 1 => 200..20_000_usize], 0..4),
    );
    let faults = (
        prop_oneof![1 => Just(Cut::NEVER), 3 => 0..150_000_usize, 2 => 0..8_000_usize],
        prop_oneof![2 => Just(usize::MAX), 1 => 0..25_usize],
        prop_oneof![2 => Just(None), 1 => (0..25_usize).prop_map(Some)],
        prop::option::of(0..6_usize),
    );
    (data, faults).prop_map(
        |((records, writes, writes_meanwhile, control), (cut, device_steps, central_steps, repeats))| Round {
            records,
            writes,
            writes_meanwhile,
            control,
            cut,
            device_steps,
            central_steps,
            repeats,
        },
    )
}

fn write_all(center: &mut Center, writes: &[Write]) {
    for (scope, record, size) in writes {
        center.write(&super::world::scope(*scope), &format!("record {record}"), *size);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_on_the_way_everything_arrives_once_the_faults_end(rounds in prop::collection::vec(round(), 1..8)) {
        let (mut device, mut center) = (Device::new(&[]), Center::default());
        for round in rounds {
            round.records.iter().for_each(|size| device.record(*size));
            write_all(&mut center, &round.writes);
            for size in &round.control {
                let number = ControlNumber(center.control.len() as u64 + 1);
                center.control.push(ControlRow { number, code: 900, content: vec![7; *size] });
            }
            center.writes = round.writes_meanwhile.into();
            if let Some(late) = round.repeats.and_then(|place| center.seen.iter().rev().nth(place)).cloned() {
                center.exchange(&late, true);
            }
            center.steps = round.central_steps;
            let outcome = device.sync_until(&mut center, &mut Cut(round.cut), round.device_steps);
            center.steps = None;
            if let Some(failure) = outcome.and_then(|outcome| outcome.failure) {
                prop_assert!(matches!(failure, Failure::Cut(_)), "{failure:?}");
            }
        }
        center.writes.clear();

        let outcome = device.sync(&mut center, &mut Cut(Cut::NEVER));

        prop_assert_eq!(outcome.failure, None);
        drained(&device, &center);
    }
}

#[test]
fn a_power_cut_after_any_step_of_a_session_leaves_a_state_that_the_next_one_finishes_from() {
    for steps in 0..60 {
        let (mut device, mut center) = (Device::new(&[10, 70_000, 10]), Center::with_rows(&[10, 80_000, 10, 70_000]));

        let outcome = device.sync_until(&mut center, &mut Cut(Cut::NEVER), steps);
        let again = device.sync(&mut center, &mut Cut(Cut::NEVER));

        assert_eq!(again.failure, None, "power cut before step {steps}");
        drained(&device, &center);
        if outcome.is_some() {
            assert!(steps > 10, "the session has too few steps for this test");
            return;
        }
    }
    panic!("a session of a few records does not take 60 steps");
}

#[test]
fn a_power_cut_at_central_after_any_step_leaves_a_state_that_the_next_session_finishes_from() {
    for steps in 0..60 {
        let (mut device, mut center) = (Device::new(&[10, 70_000, 10]), Center::with_rows(&[10, 80_000, 10, 70_000]));
        center.steps = Some(steps);

        let outcome = device.sync(&mut center, &mut Cut(Cut::NEVER));
        center.steps = None;
        let again = device.sync(&mut center, &mut Cut(Cut::NEVER));

        assert_eq!(again.failure, None, "power cut before step {steps}");
        drained(&device, &center);
        if outcome.failure.is_none() {
            assert!(steps > 10, "the exchange has too few steps for this test");
            return;
        }
    }
    panic!("the exchanges of a few records do not take 60 steps");
}

#[test]
fn many_control_rows_get_through_a_link_that_breaks_every_few_kilobytes() {
    let (mut device, mut center) = (Device::new(&[50]), Center::default());
    for number in 1..=200 {
        center.control.push(ControlRow { number: ControlNumber(number), code: 900, content: vec![1; 300] });
    }
    let mut sessions = 0;
    while device.sync(&mut center, &mut Cut(12_000)).failure.is_some() {
        sessions += 1;
        assert!(sessions < 50, "no end after {sessions} sessions");
    }
    drained(&device, &center);
}

#[test]
fn a_scope_that_is_dropped_is_shown_no_more_from_the_next_request_on() {
    let (mut device, mut central) = (Device::new(&[300; 2_000]), Center::with_rows(&[50; 3]));
    central.write(&scope(1), "another", 50);
    let mut cut = Cut(Cut::NEVER);
    assert_eq!(device.sync(&mut central, &mut cut).failure, None);
    (0..2_000).for_each(|_| device.record(300));
    let (code, content) = Control::Dropped(Dropped { scope: scope(1) }).to_parts();
    central.control.push(ControlRow { number: ControlNumber(1), code, content });
    let before = central.requests;

    assert_eq!(device.sync(&mut central, &mut cut).failure, None);

    assert!(central.requests > before + 1, "several requests");
    assert_eq!(central.scopes_shown(), [scope(0)]);
}

#[test]
fn a_scope_that_is_to_be_read_anew_is_read_from_its_beginning_from_the_next_request_on() {
    let (mut device, mut central) = (Device::new(&[300]), Center::with_rows(&[50; 3]));
    let mut cut = Cut(Cut::NEVER);
    assert_eq!(device.sync(&mut central, &mut cut).failure, None);
    let (code, content) = Control::ReadAnew(ReadAnew { scope: scope(0) }).to_parts();
    central.control.push(ControlRow { number: ControlNumber(1), code, content });

    (0..2_000).for_each(|_| device.record(300));
    let outcome = device.sync(&mut central, &mut cut);

    assert_eq!((outcome.failure, outcome.summary.rows_stored), (None, 3));
}

#[test]
fn a_central_that_told_all_grants_is_answered_before_the_session_ends() {
    let (mut device, mut central) = (Device::new(&[300]), Center::with_rows(&[50; 3]));
    let claim = Claim { store: "S".into(), ownership: OwnershipNumber(1), proof: GrantProof([4; 16]) };
    device.forgotten = vec![claim.clone()];
    let (code, content) = Control::GrantsTold(GrantsTold { grants: 0 }).to_parts();
    central.control.push(ControlRow { number: ControlNumber(1), code, content });

    let outcome = device.sync(&mut central, &mut Cut(Cut::NEVER));

    assert_eq!((outcome.failure, central.requests), (None, 2));
    let claims = Claims { told: ControlNumber(1), grants: vec![claim], ..Claims::default() };
    assert_eq!(central.claimed(), claims);
    drained(&device, &central);
}

#[test]
fn what_is_recorded_while_a_reply_is_stored_the_next_request_says_to_be_there() {
    let (mut device, mut central) = (Device::new(&[300]), Center::with_rows(&[50; 3]));
    device.forgotten = vec![Claim { store: "S".into(), ownership: OwnershipNumber(1), proof: GrantProof([4; 16]) }];
    let (code, content) = Control::GrantsTold(GrantsTold { grants: 0 }).to_parts();
    central.control.push(ControlRow { number: ControlNumber(1), code, content });
    device.recorded_meanwhile = 2;

    let outcome = device.sync(&mut central, &mut Cut(Cut::NEVER));

    assert_eq!((outcome.failure, central.requests), (None, 2));
    assert_eq!(central.recorded(), (Sequence(3), Sequence(1)), "its session ends with what was there at its begin");
}

#[test]
fn what_was_refused_before_goes_with_its_entries_whatever_frame_takes_them() {
    let sizes: Vec<usize> = (0..4_000).map(|number| if number == 1_500 { 90_000 } else { number % 40 }).collect();
    let (mut device, mut central) = (Device::new(&sizes), Center::default());
    device.refused = (1..=4_000_u64)
        .filter(|sequence| sequence % 3 == 0 || *sequence == 1_501)
        .map(|sequence| RefusedBefore {
            sequence: Sequence(sequence),
            code: "not_owner".into(),
            reason: "r".repeat(usize::try_from(sequence % 300).unwrap()),
        })
        .collect();

    let outcome = device.sync(&mut central, &mut Cut(Cut::NEVER));

    assert_eq!(outcome.failure, None);
    assert_eq!(central.entries, device.entries);
    assert_eq!(central.refused, device.refused);
    assert!(central.requests > 2, "several requests: {}", central.requests);
}

#[test]
fn what_central_forgot_of_a_frame_in_parts_is_sent_again() {
    let (mut device, mut center) = (Device::new(&[90_000]), Center::default());
    device.frame_part = Some(FramePartState { hash: crate::ids::Hash([9; 32]), received: 32_768 });

    assert_eq!(device.sync(&mut center, &mut Cut(Cut::NEVER)).failure, None);
    drained(&device, &center);
}

#[test]
fn parts_of_pages_of_two_scopes_do_not_get_into_each_others_way() {
    let (mut device, mut center) = (Device::new(&[]), Center::default());
    write_all(&mut center, &[(1, 1, 90_000)]);
    device.sync(&mut center, &mut Cut(40_000));
    assert!(device.part.as_ref().is_some_and(|part| part.0.received > 0), "a part is kept");
    write_all(&mut center, &[(0, 1, 90_000)]);

    assert_eq!(device.sync(&mut center, &mut Cut(Cut::NEVER)).failure, None);
    drained(&device, &center);
}
