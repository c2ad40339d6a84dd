//! Requests and answers that go by file, and exports.

use alloc::vec;
use alloc::vec::Vec;

use crate::edge::Signer as _;
use crate::export::{ExportError, ExportHead, Import, Step, Tools as ImportTools};
use crate::ids::{Epoch, Position, Sequence, SiteId};
use crate::limits;
use crate::message::{CHALLENGE, Refusal, encode};
use crate::section::{Binding, Kind, SectionError, seal};
use crate::session::Failure;
use crate::testing::PlainCodec;

use super::world::{CENTRAL, Center, Cut, Device, SITE, drained};

/// One round by file.
fn round(device: &mut Device, center: &mut Center) -> crate::session::Outcome {
    let (start, request) = device.carry_out();
    let answer = center.exchange_files(&request);
    device.carry_in(start, &request, &answer)
}

#[test]
fn one_file_each_way_brings_everything_that_a_session_of_many_requests_would() {
    let (mut device, mut center) = (Device::new(&vec![300; 4000]), Center::with_rows(&vec![1000; 3000]));

    let outcome = round(&mut device, &mut center);

    assert_eq!((outcome.failure, outcome.goes_on, center.requests), (None, false, 1));
    drained(&device, &center);
    let outcome = device.sync(&mut center, &mut Cut(Cut::NEVER));
    assert_eq!((outcome.failure, outcome.summary.rows_stored, outcome.summary.entries_sent), (None, 0, 0));
}

#[test]
fn records_larger_than_a_link_carries_at_once_go_whole() {
    let sizes = [200_000, 10, 300_000, 900_000];
    let (mut device, mut center) = (Device::new(&sizes), Center::with_rows(&sizes));

    let outcome = round(&mut device, &mut center);

    assert_eq!((outcome.failure, outcome.goes_on), (None, false));
    drained(&device, &center);
}

#[test]
fn what_does_not_fit_a_file_goes_with_the_next_ones_and_pages_come_when_all_is_there() {
    let sizes = vec![900_000; 8];
    let (mut device, mut center) = (Device::new(&sizes), Center::with_rows(&[5, 5]));

    let first = round(&mut device, &mut center);
    assert_eq!((first.failure, first.goes_on, first.summary.rows_stored), (None, true, 0));
    assert!(device.received > Sequence(0) && device.received < device.head());

    let mut rounds = 1;
    while round(&mut device, &mut center).goes_on {
        rounds += 1;
        assert!(rounds < 9, "each file brings something forward");
    }
    drained(&device, &center);
}

#[test]
fn a_request_by_file_keeps_to_the_limit_of_one() {
    let (_, request) = Device::new(&[900_000; 8]).carry_out();

    assert!(request.len() < limits::REQUEST_BYTES_MAX);
}

#[test]
fn a_device_that_does_not_know_what_central_has_asks_before_it_sends_by_file_too() {
    let (mut device, mut center) = (Device::new(&[10, 10]), Center::with_rows(&[5, 5]));
    device.is_unsure = true;

    let (start, request) = device.carry_out();
    let answer = center.exchange_files(&request);
    assert_eq!(center.received().sequence, Sequence(0));
    let outcome = device.carry_in(start, &request, &answer);

    assert_eq!((outcome.failure, outcome.goes_on), (None, true));
    device.is_unsure = false;
    assert!(!round(&mut device, &mut center).goes_on);
    drained(&device, &center);
}

#[test]
fn the_answer_to_another_request_stores_nothing() {
    let (mut device, mut center) = (Device::new(&[10, 10]), Center::with_rows(&[5, 5]));
    let (_, other) = Device::new(&[10, 10, 10]).carry_out();
    let (start, request) = device.carry_out();
    let answer = center.exchange_files(&other);

    let outcome = device.carry_in(start, &request, &answer);

    assert!(matches!(outcome.failure, Some(Failure::NotCentral(SectionError::Signature { .. }))));
    assert!(device.rows.is_empty() && device.received == Sequence(0));
}

#[test]
fn an_answer_that_is_cut_counts_as_far_as_it_goes() {
    let (mut device, mut center) = (Device::new(&[10, 10]), Center::with_rows(&vec![1000; 3000]));
    let (start, request) = device.carry_out();
    let answer = center.exchange_files(&request);

    let outcome = device.carry_in(start, &request, &answer[..answer.len() / 2]);

    assert!(matches!(outcome.failure, Some(Failure::Cut(_))));
    assert!(!device.rows.is_empty());
    assert!(!round(&mut device, &mut center).goes_on);
    drained(&device, &center);
}

/// The simulator's find (seed 38000208): the device took itself for one that was set back.
#[test]
fn what_came_to_central_in_a_session_whose_reply_was_lost_is_no_surprise_in_an_answer_by_file() {
    let (mut device, mut center) = (Device::new(&[10, 10]), Center::with_rows(&[5, 5]));
    let (start, request) = device.carry_out();
    device.record(10);
    device.record(10);
    let (_, later) = device.carry_out();
    center.exchange_files(&later);
    device.record(10);

    let answer = center.exchange_files(&request);
    let outcome = device.carry_in(start, &request, &answer);

    assert_eq!((outcome.failure, device.received), (None, Sequence(4)));
    assert!(!round(&mut device, &mut center).goes_on);
    drained(&device, &center);
}

#[test]
fn an_answer_by_file_for_more_than_there_is_stops_the_device() {
    let (mut device, mut center) = (Device::new(&[10, 10]), Center::with_rows(&[5, 5]));
    let mut other = Device::new(&[10, 10, 10]);
    let (_, more) = other.carry_out();
    let (start, request) = device.carry_out();
    center.exchange_files(&more);
    let answer = center.exchange_files(&request);

    let outcome = device.carry_in(start, &request, &answer);

    assert!(matches!(outcome.failure, Some(Failure::DeviceSetBack { received: Sequence(3), head: Sequence(2) })));
    assert!(device.rows.is_empty());
}

#[test]
fn a_challenge_by_file_is_not_answered() {
    let mut device = Device::new(&[10, 10]);
    let (start, request) = device.carry_out();
    let (_, context) = crate::carried::head_of(&request).unwrap();
    let refusal = Refusal::challenge(crate::ids::Nonce([1; 16]));
    let binding = Binding { central: CENTRAL.public_key(), site: SITE, context };
    let answer = seal(Kind::Refusal, &binding, &encode(&refusal), &CENTRAL);

    let outcome = device.carry_in(start, &request, &answer);

    assert!(matches!(outcome.failure, Some(Failure::Refused(refusal)) if refusal.code == CHALLENGE));
}

#[test]
fn a_session_by_file_learns_nothing_of_the_link() {
    let (mut device, mut center) = (Device::new(&[10, 10]), Center::with_rows(&[5, 5]));
    device.sync(&mut center, &mut Cut(10));
    let (start, request) = device.carry_out();
    let before = start.link;
    let answer = center.exchange_files(&request);

    let outcome = device.carry_in(start, &request, &answer);

    assert_eq!((outcome.failure, outcome.link), (None, before));
}

const HEAD: ExportHead =
    ExportHead { version: 1, site: SITE, id: [9; 16], epoch: Epoch(1), position: Position(3), rows: 3 };

/// What an import finds in a file: the rows, and whether it is complete.
fn import(file: &[u8], site: SiteId) -> Result<(usize, bool), ExportError> {
    let mut import = Import::new(CENTRAL.public_key(), site);
    let mut tools = ImportTools { codec: &mut PlainCodec, verifier: &CENTRAL };
    let mut rows = 0;
    for piece in file.chunks(1000) {
        import.feed(piece);
        while let Some(step) = import.step(&mut tools)? {
            match step {
                Step::Head(head) => assert_eq!(head, HEAD),
                Step::Page(page) => rows += page.rows.len(),
            }
        }
    }
    Ok((rows, import.end()?))
}

#[test]
fn an_export_holds_every_row_of_every_scope() {
    let mut center = Center::with_rows(&vec![1000; 300]);
    center.write(&super::world::scope(1), "another", 900_000);

    assert_eq!(import(&center.export(&HEAD), SITE), Ok((301, true)));
}

#[test]
fn an_export_is_of_one_site_and_is_noticed_where_it_is_cut() {
    let file = Center::with_rows(&vec![1000; 300]).export(&HEAD);

    let other = import(&file, SiteId(8)).unwrap_err();
    assert_eq!(other, ExportError::Section(SectionError::Signature { kind: Kind::ExportHead }));
    for length in [0, 10, file.len() / 2, file.len() - 1] {
        assert!(matches!(import(&file[..length], SITE), Err(ExportError::Rule(_))), "{length} bytes");
    }
    assert!(matches!(import(&[&file[..], &file[..]].concat(), SITE), Err(ExportError::Rule(_))));
}

#[test]
fn nothing_of_an_export_passes_for_a_reply_and_nothing_of_a_reply_for_an_export() {
    let (mut device, mut center) = (Device::new(&[10]), Center::with_rows(&[5, 5]));
    let (start, request) = device.carry_out();
    let answer = center.exchange_files(&request);
    let export = center.export(&HEAD);

    assert!(import(&answer, SITE).is_err());
    let outcome = device.carry_in(start, &request, &export);
    assert!(outcome.failure.is_some() && device.rows.is_empty());

    // With the same context the kind alone tells them apart.
    let (_, context) = crate::carried::head_of(&request).unwrap();
    let binding = Binding { central: CENTRAL.public_key(), site: SITE, context };
    let page = seal(Kind::ExportPage, &binding, b"rows", &CENTRAL);
    let head_bytes = first_section(&answer);
    let (start, request) = device.carry_out();
    let spliced: Vec<u8> = [&answer[..head_bytes], &page[..]].concat();
    assert!(device.carry_in(start, &request, &spliced).failure.is_some());
    assert!(device.rows.is_empty());
}

fn first_section(bytes: &[u8]) -> usize {
    let length = u32::from_le_bytes(*bytes[1..].first_chunk().unwrap()) as usize;
    crate::section::HEADER_BYTES + length
}
