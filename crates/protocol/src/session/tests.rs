//! Both machines against each other, with the smallest device and central that keep the contract.

mod challenge;
mod faults;
mod files;
mod hostile_central;
mod hostile_device;
mod versions;
mod world;

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::message;
use crate::testing::{PlainCodec, TestKey};
use world::{CENTRAL, Center, Cut, DEVICE, Device, drained};

#[test]
fn a_sync_with_nothing_to_do_is_one_request() {
    let (mut device, mut center) = (Device::new(&[10, 10]), Center::with_rows(&[5, 5]));
    device.sync(&mut center, &mut Cut(Cut::NEVER));
    let requests = center.requests;

    let outcome = device.sync(&mut center, &mut Cut(Cut::NEVER));

    assert_eq!((outcome.failure, center.requests - requests), (None, 1));
}

#[test]
fn a_few_edits_and_rows_also_take_one_request() {
    let (mut device, mut center) = (Device::new(&[10, 10]), Center::with_rows(&[5, 5]));

    let outcome = device.sync(&mut center, &mut Cut(Cut::NEVER));

    assert_eq!((outcome.failure, center.requests), (None, 1));
    drained(&device, &center);
}

/// The simulator's find: what central had forgotten by age came again and was taken for a fork.
#[test]
fn a_device_that_does_not_know_what_central_has_asks_before_it_sends() {
    let (mut device, mut center) = (Device::new(&[10, 10]), Center::with_rows(&[5, 5]));
    device.sync(&mut center, &mut Cut(Cut::NEVER));
    device.record(10);
    (device.received, device.is_unsure) = (Sequence::ZERO, true);

    let outcome = device.sync(&mut center, &mut Cut(Cut::NEVER));

    assert_eq!((outcome.failure, outcome.summary.entries_sent), (None, 1));
    drained(&device, &center);
}

#[test]
fn a_backlog_is_pushed_whole_before_anything_is_pulled() {
    let (mut device, mut center) = (Device::new(&vec![300; 4000]), Center::with_rows(&vec![100; 3000]));

    let outcome = device.sync(&mut center, &mut Cut(Cut::NEVER));

    assert_eq!(outcome.failure, None);
    drained(&device, &center);
    assert_eq!((outcome.summary.entries_received, outcome.summary.rows_stored), (4000, 3000));
    assert!(center.requests < 20, "{} requests", center.requests);
}

#[test]
fn wherever_the_connection_is_cut_the_next_sessions_finish_and_at_most_one_frame_comes_twice() {
    let sizes: Vec<usize> = (0..120).map(|index| 40 + index * 13 % 700).collect();
    for cut in (0..60_000).step_by(997) {
        let (mut device, mut center) = (Device::new(&sizes), Center::with_rows(&[200; 60]));

        let outcome = device.sync(&mut center, &mut Cut(cut));
        let again = device.sync(&mut center, &mut Cut(Cut::NEVER));

        assert!(outcome.failure.is_none() || matches!(outcome.failure, Some(Failure::Cut(_))), "{:?}", outcome.failure);
        assert_eq!(again.failure, None, "cut after {cut} bytes");
        drained(&device, &center);
        assert!(center.frames_twice <= 1, "cut after {cut} bytes: {} frames came twice", center.frames_twice);
    }
}

#[test]
fn a_link_that_breaks_every_few_kilobytes_still_carries_everything_through() {
    let (mut device, mut center) = (Device::new(&[300; 400]), Center::with_rows(&[300; 400]));
    let mut sessions = 0;
    while device.sync(&mut center, &mut Cut(12_000)).failure.is_some() {
        sessions += 1;
        assert!(sessions < 200, "no end after {sessions} sessions");
    }
    drained(&device, &center);
}

#[test]
fn a_record_larger_than_the_link_carries_at_once_travels_in_parts_both_ways() {
    let (mut device, mut center) = (Device::new(&[50, 200_000, 50]), Center::with_rows(&[50, 150_000, 50]));
    let mut sessions = 0;
    while device.sync(&mut center, &mut Cut(20_000)).failure.is_some() {
        sessions += 1;
        assert!(sessions < 200, "no end after {sessions} sessions");
    }
    assert!(sessions > 10, "the link was not slow enough to need parts");
    drained(&device, &center);
}

#[test]
fn large_records_on_a_good_link_take_one_session() {
    let (mut device, mut center) =
        (Device::new(&[1_000_000, 10, 900_000]), Center::with_rows(&[1_000_000, 10, 900_000]));

    assert_eq!(device.sync(&mut center, &mut Cut(Cut::NEVER)).failure, None);
    drained(&device, &center);
}

#[test]
fn a_device_that_was_set_back_is_noticed() {
    let (mut device, mut center) = (Device::new(&[10; 5]), Center::default());
    device.sync(&mut center, &mut Cut(Cut::NEVER));
    device.entries.truncate(3);
    device.received = Sequence(3);

    let outcome = device.sync(&mut center, &mut Cut(Cut::NEVER));

    assert_eq!(outcome.failure, Some(Failure::DeviceSetBack { received: Sequence(5), head: Sequence(3) }));
}

#[test]
fn another_history_of_the_same_journal_is_noticed() {
    let (mut device, mut center) = (Device::new(&[10; 5]), Center::default());
    device.sync(&mut center, &mut Cut(Cut::NEVER));
    device.entries = Device::new(&[20; 5]).entries;

    let outcome = device.sync(&mut center, &mut Cut(Cut::NEVER));

    assert_eq!(outcome.failure, Some(Failure::Forked { sequence: Sequence(5) }));
}

#[test]
fn what_only_this_device_has_does_not_count_as_received_because_central_has_other_entries_under_these_numbers() {
    let (mut original, mut center) = (Device::new(&[10, 10, 20, 20]), Center::default());
    original.sync(&mut center, &mut Cut(Cut::NEVER));
    let mut copy = Device::new(&[10, 10, 30, 30, 30, 30]);
    copy.is_unsure = true;

    let outcome = copy.sync(&mut center, &mut Cut(Cut::NEVER));

    assert_eq!(outcome.failure, Some(Failure::Forked { sequence: Sequence(4) }));
    assert_eq!(copy.received, Sequence::ZERO);
}

#[test]
fn a_request_of_another_key_learns_nothing_and_stores_nothing() {
    let mut center = Center::default();
    let device = Device::new(&[10]);
    let mut codec = PlainCodec;
    let mut tools = Tools { codec: &mut codec, signer: &TestKey(9), verifier: &CENTRAL };
    let mut session = Session::begin(device.start(), &mut tools);
    let Some(Output::ReadJournal { .. }) = session.output() else { panic!("reads first") };
    session.input(
        Input::Entries { before: device.hash_at(Sequence::ZERO), entries: device.entries.clone(), refused: Vec::new() },
        &mut tools,
    );
    let Some(Output::Exchange(request)) = session.output() else { panic!("then sends") };

    let reply = center.exchange(&request, true);

    assert!(center.entries.is_empty());
    let mut reader = SectionReader::default();
    reader.feed(&reply);
    assert_eq!(reader.next_section().unwrap().map(|section| section.kind()), Some(Kind::Refusal));
}

#[test]
fn a_web_page_instead_of_a_reply_is_not_central() {
    let device = Device::new(&[]);
    let mut codec = PlainCodec;
    let mut tools = Tools { codec: &mut codec, signer: &DEVICE, verifier: &CENTRAL };
    let mut session = Session::begin(device.start(), &mut tools);
    let Some(Output::Exchange(_)) = session.output() else { panic!("sends at once") };

    session.input(Input::Reply(b"<html>please log in</html>"), &mut tools);

    let Some(Output::Finished(outcome)) = session.output() else { panic!("ends at once") };
    assert!(matches!(outcome.failure, Some(Failure::NotCentral(_))));
    assert_eq!(outcome.failure.map(|failure| failure.to_string().contains("not this site's central")), Some(true));
}

#[test]
fn each_truncated_or_altered_request_changes_nothing_or_what_its_whole_frames_say() {
    let device = Device::new(&[40; 3]);
    let mut codec = PlainCodec;
    let mut tools = Tools { codec: &mut codec, signer: &DEVICE, verifier: &CENTRAL };
    let mut session = Session::begin(device.start(), &mut tools);
    let Some(Output::ReadJournal { .. }) = session.output() else { panic!("reads first") };
    session.input(
        Input::Entries { before: device.hash_at(Sequence::ZERO), entries: device.entries.clone(), refused: Vec::new() },
        &mut tools,
    );
    let Some(Output::Exchange(request)) = session.output() else { panic!("then sends") };

    for index in 0..request.len() {
        let mut altered = request.clone();
        altered[index] ^= 0x10;
        let mut center = Center::default();
        center.exchange(&altered, true);
        assert!(center.entries.is_empty(), "byte {index}");
        let mut center = Center::default();
        center.exchange(&request[..index], true);
        assert!(center.entries.is_empty(), "cut at {index}");
    }
}
