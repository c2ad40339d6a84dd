//! A device and a central of which one is older: edits go up, nothing comes down, and both say so.

use super::hostile_central::{against, context_of, reply, signed};
use super::*;
use crate::control::ControlRow;
use crate::edge::Signer as _;
use crate::ids::{ControlNumber, SiteId};
use crate::message::{Refusal, ReplyHead};
use crate::testing::TestKey;
use crate::versions::Prelude;

const NEWER: Versions = Versions { min: 6, max: 7 };

/// A device seven versions on, whose head says behind its prelude what nobody here knows.
fn newer(mut device: Device) -> Device {
    device.dialect = Dialect { versions: NEWER, head_rest: Some(b"\xff\xff\xff what version 7 says".to_vec()) };
    device
}

fn center() -> Center {
    let mut center = Center::with_rows(&[5, 5]);
    center.control.push(ControlRow { number: ControlNumber(1), code: 900, content: vec![7] });
    center
}

/// The two programs in both orders, with the version that the device writes and those that central understands.
fn pairs(entry_sizes: &[usize]) -> [(Device, Center, u8, Versions); 2] {
    let mut newer_center = center();
    newer_center.versions = Some(NEWER);
    [
        (newer(Device::new(entry_sizes)), center(), NEWER.max, Versions::OWN),
        (Device::new(entry_sizes), newer_center, message::VERSION, NEWER),
    ]
}

fn update(device: &mut Device, center: &mut Center) {
    (device.dialect, center.versions) = (Dialect::default(), None);
}

#[test]
fn whichever_is_older_the_device_sends_everything_and_receives_nothing_until_it_is_updated() {
    for (mut device, mut center, spoken, understood) in pairs(&vec![300; 4000]) {
        let outcome = device.sync(&mut center, &mut Cut(Cut::NEVER));

        assert_eq!(outcome.failure, Some(Failure::VersionsApart { spoken, understood, entries: 4000 }));
        assert!(center.entries == device.entries, "central has what the device recorded");
        assert!(device.rows.is_empty() && device.control.is_empty() && device.cursors.is_empty());
        assert_eq!(outcome.summary.entries_sent, 4000, "nothing is sent twice");

        // What is received is durable on the device too: the next session sends only what is new.
        device.record(10);
        let requests = center.requests;
        let outcome = device.sync(&mut center, &mut Cut(Cut::NEVER));
        assert_eq!(outcome.failure, Some(Failure::VersionsApart { spoken, understood, entries: 1 }));
        assert_eq!((outcome.summary.entries_sent, center.requests - requests), (1, 1));

        update(&mut device, &mut center);
        assert_eq!(device.sync(&mut center, &mut Cut(Cut::NEVER)).failure, None);
        drained(&device, &center);
    }
}

#[test]
fn the_failure_says_what_was_sent_and_which_of_the_two_to_update() {
    for ((mut device, mut center, ..), expected) in pairs(&[10, 10]).into_iter().zip([
        "this agent speaks version 7, central version 1, and central is too old",
        "this agent speaks version 1, central versions 6 to 7, and this agent is too old",
    ]) {
        let failure = device.sync(&mut center, &mut Cut(Cut::NEVER)).failure.expect("the versions do not meet");

        assert_eq!((failure.code(), failure.advice()), ("version", Advice::Operator));
        let text = failure.to_string();
        assert!(text.contains("is at central (2 sent by it), and nothing was received") && text.ends_with(expected));
    }
}

#[test]
fn a_link_that_breaks_every_few_kilobytes_still_carries_everything_of_another_version() {
    for (mut device, mut center, ..) in pairs(&[50, 200_000, 50]) {
        let mut cuts = 0;
        while let Some(Failure::Cut(_)) = device.sync(&mut center, &mut Cut(20_000)).failure {
            cuts += 1;
            assert!(cuts < 200, "no end after {cuts} cuts");
        }

        assert!(cuts > 10, "the link was not slow enough to need parts");
        assert!(center.entries == device.entries && device.received == device.head());
    }
}

#[test]
fn a_power_cut_after_any_step_leaves_a_state_that_the_next_session_sends_on_from() {
    for steps in 0..40 {
        for (mut device, mut center, ..) in pairs(&[10, 70_000, 10]) {
            device.sync_until(&mut center, &mut Cut(Cut::NEVER), steps);
            let outcome = device.sync(&mut center, &mut Cut(Cut::NEVER));

            assert!(matches!(outcome.failure, Some(Failure::VersionsApart { .. })), "{steps}: {:?}", outcome.failure);
            assert!(center.entries == device.entries, "after {steps} steps");
        }
    }
}

#[test]
fn each_truncated_altered_or_foreign_request_of_another_version_changes_nothing() {
    let mut device = newer(Device::new(&[40; 3]));
    let mut center = Center::default();
    device.sync(&mut center, &mut Cut(Cut::NEVER));
    let request = center.seen[0].clone();
    assert_eq!(center.entries.len(), 3);

    for index in 0..request.len() {
        let mut altered = request.clone();
        altered[index] ^= 0x10;
        let mut center = Center::default();
        center.exchange(&altered, true);
        assert!(center.entries.is_empty(), "byte {index}");
        center.exchange(&request[..index], true);
        assert!(center.entries.is_empty(), "cut at {index}");
    }
    let body = head_section(&request).unchecked_body().to_vec();
    let binding = |site| Binding { central: CENTRAL.public_key(), site, context: Hash::NONE };
    let frames = &request[section::HEADER_BYTES + body.len()..];
    for (site, key) in [(SiteId(7), TestKey(9)), (SiteId(8), DEVICE)] {
        let mut center = Center::default();
        let mut foreign = section::seal(Kind::RequestHead, &binding(site), &body, &key);
        foreign.extend_from_slice(frames);
        center.exchange(&foreign, true);
        assert!(center.entries.is_empty(), "{site}");
    }
}

#[test]
fn a_frame_of_a_newer_version_is_refused_as_such_and_what_came_before_it_is_kept() {
    let mut device = newer(Device::new(&[40; 3]));
    let mut center = Center::default();
    device.sync(&mut center, &mut Cut(Cut::NEVER));
    let mut request = center.seen[0].clone();
    let binding = Binding { central: CENTRAL.public_key(), site: SiteId(7), context: Hash::NONE };
    request.extend(section::seal(Kind::Frame, &binding, &[7, 0xff, 0xff], &DEVICE));

    let mut center = Center::default();
    let reply = center.exchange(&request, true);

    let refusal = Refusal::decode(head_section(&reply).unchecked_body(), NEWER).unwrap();
    assert_eq!((refusal.code.as_str(), refusal.versions, refusal.receipt), ("version", Some(Versions::OWN), None));
    assert!(refusal.message.contains("a frame is of version 7") && refusal.message.contains("update central"));
    assert_eq!(center.entries.len(), 3);
}

fn head_section(bytes: &[u8]) -> section::Sealed {
    let mut reader = SectionReader::default();
    reader.feed(bytes);
    reader.next_section().unwrap().expect("a whole section")
}

fn receipt(device: &Device, received: u64) -> Receipt {
    let received = Sequence(received);
    Receipt {
        token: Token([1; 16]),
        received,
        received_hash: device.hash_at(received),
        admitted_bytes: 1_000,
        frame_part: None,
    }
}

fn refused_with(receipt: Receipt, request: &[u8]) -> Vec<u8> {
    let refusal = Refusal::of_version(message::VERSION, NEWER, receipt);
    signed(Kind::Refusal, context_of(request), &message::encode(&refusal))
}

#[test]
fn the_next_request_shows_the_token_of_the_receipt_and_carries_what_it_admits() {
    let device = Device::new(&vec![300; 2000]);
    let mut shown = Vec::new();
    let outcome = against(&device, 3, |number, request| {
        let mut reader = SectionReader::default();
        reader.feed(request);
        let sections: Vec<_> = core::iter::from_fn(|| reader.next_section().unwrap()).collect();
        let prelude = Prelude::decode(sections[0].unchecked_body()).unwrap();
        shown.push((prelude.token, sections.len() - 1));
        let received = [20, 100, 2000][number as usize - 1];
        let token = Token([u8::try_from(number).unwrap(); 16]);
        refused_with(Receipt { token, admitted_bytes: 100_000, ..receipt(&device, received) }, request)
    });

    assert!(matches!(outcome.failure, Some(Failure::VersionsApart { entries: 2000, .. })), "{:?}", outcome.failure);
    assert_eq!(shown, [(Token::NONE, 1), (Token([1; 16]), 2), (Token([2; 16]), 2)], "frames that fit 100 kB");
}

#[test]
fn receipts_that_bring_nothing_forward_or_go_back_and_forth_are_given_up() {
    let device = Device::new(&[10; 5]);
    let outcome = against(&device, STALLED_REQUESTS_MAX, |_, request| refused_with(receipt(&device, 0), request));
    assert_eq!(outcome.failure, Some(Failure::Stalled));

    let requests_max = 2 * SETBACKS_MAX + 1;
    let outcome = against(&device, requests_max, |number, request| {
        refused_with(receipt(&device, u64::from(number % 2) * 3), request)
    });
    assert_eq!(outcome.failure, Some(Failure::Stalled));
}

#[test]
fn a_receipt_for_more_than_there_is_or_for_another_history_stops_the_device() {
    let device = Device::new(&[10; 5]);
    let longer = Device::new(&[10; 6]);
    let outcome = against(&device, 1, |_, request| refused_with(receipt(&longer, 6), request));
    assert_eq!(outcome.failure, Some(Failure::DeviceSetBack { received: Sequence(6), head: Sequence(5) }));

    // At the head, and below it: what only this device has must not count as received.
    let other = Device::new(&[21; 5]);
    for received in [5, 3] {
        let outcome = against(&device, 1, |_, request| refused_with(receipt(&other, received), request));
        assert_eq!(outcome.failure, Some(Failure::Forked { sequence: Sequence(received) }));
        assert_eq!(outcome.summary.entries_received, 0);
    }
}

#[test]
fn a_receipt_stands_alone_in_its_reply_and_names_other_versions() {
    let device = Device::new(&[10; 5]);
    let twice = against(&device, 1, |_, request| refused_with(receipt(&device, 5), request).repeat(2));
    assert!(matches!(twice.failure, Some(Failure::Rule(_))), "{:?}", twice.failure);

    let behind_a_reply = against(&device, 1, |_, request| {
        let head = ReplyHead { has_pages: true, ..reply(5, device.hash_at(Sequence(5))) };
        let mut bytes = signed(Kind::ReplyHead, context_of(request), &message::encode(&head));
        bytes.extend(refused_with(receipt(&device, 5), request));
        bytes
    });
    assert!(matches!(behind_a_reply.failure, Some(Failure::Refused(_))), "{:?}", behind_a_reply.failure);

    let own = against(&device, 1, |_, request| {
        let refusal = Refusal::of_version(message::VERSION, Versions::OWN, receipt(&device, 5));
        signed(Kind::Refusal, context_of(request), &message::encode(&refusal))
    });
    assert!(matches!(own.failure, Some(Failure::Rule(_))), "{:?}", own.failure);
}
