//! What a buggy or hostile central can do: everything that is right by signature and wrong by content ends in an error.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::world::{CENTRAL, Center, Cut, DEVICE, Device, SITE, drained, scope};
use crate::chain::hash_of;
use crate::control::ControlRow;
use crate::edge::{Compression, Dictionary, Signer as _};
use crate::exchange::{self, Answer, Ask};
use crate::ids::{ControlNumber, Epoch, Hash, Position, ScopeId, Sequence, Token};
use crate::limits;
use crate::message::{self, Cursor, FramePartState, Refusal, ReplyHead};
use crate::page::{self, PageHeader, PagePart};
use crate::section::{Binding, Kind, SectionReader, seal};
use crate::session::{Advice, Failure, Input, Outcome, Output, SETBACKS_MAX, STALLED_REQUESTS_MAX, Session, Tools};
use crate::testing::{PlainCodec, TestKey};
use crate::versions::{Receipt, Versions};

/// Hash of a request's head, to which replies are bound.
pub(super) fn head_of(request: &[u8]) -> message::RequestHead {
    let mut reader = SectionReader::default();
    reader.feed(request);
    message::decode(reader.next_section().unwrap().expect("a request begins with its head").unchecked_body()).unwrap()
}

pub(super) fn context_of(request: &[u8]) -> Hash {
    let mut reader = SectionReader::default();
    reader.feed(request);
    hash_of(reader.next_section().unwrap().expect("a request begins with its head").unchecked_body())
}

pub(super) fn signed(kind: Kind, context: Hash, body: &[u8]) -> Vec<u8> {
    seal(kind, &Binding { central: CENTRAL.public_key(), site: SITE, context }, body, &CENTRAL)
}

pub(super) fn reply(received: u64, hash: Hash) -> ReplyHead {
    ReplyHead {
        version: 1,
        token: Token([1; 16]),
        received: Sequence(received),
        received_hash: hash,
        judged: Sequence(0),
        backed_up: Sequence(0),
        epoch: Epoch(1),
        position: Position(1),
        admitted_bytes: 100_000,
        frame_part: None,
        control: Vec::new(),
        has_more_control: false,
        rows_waiting: None,
        has_pages: false,
        further: Vec::new(),
    }
}

fn page_header(index: u32, scope: ScopeId, number: u64) -> PageHeader {
    PageHeader {
        version: 1,
        index,
        scope,
        cursor: Cursor { epoch: Epoch(1), number: Position(number), began: Position(number) },
        is_drained: true,
        is_last: false,
        is_complete: false,
        rows: 0,
        part: None,
        compression: Compression::None,
        dictionary: Dictionary::None,
        plain_bytes: 1,
    }
}

fn page_of(header: &PageHeader, packed: &[u8], context: Hash) -> Vec<u8> {
    let mut body = message::encode(header);
    body.extend_from_slice(packed);
    signed(Kind::Page, context, &body)
}

/// Runs a device's session against replies that are made for each request; `Stored` is answered to everything.
pub(super) fn against(device: &Device, requests_max: u32, mut answer: impl FnMut(u32, &[u8]) -> Vec<u8>) -> Outcome {
    let mut codec = PlainCodec;
    let mut tools = Tools { codec: &mut codec, signer: &DEVICE, verifier: &CENTRAL };
    let mut session = Session::begin_in(device.start(), device.dialect.clone(), &mut tools);
    let mut pending: Option<Vec<u8>> = None;
    let mut kept = Vec::new();
    let mut requests = 0;
    loop {
        match session.output() {
            None => match pending.take() {
                Some(bytes) if bytes.is_empty() => session.input(Input::ReplyEnd, &mut tools),
                Some(bytes) => {
                    session.input(Input::Reply(&bytes), &mut tools);
                    pending = Some(Vec::new());
                }
                None => panic!("the session asks for nothing"),
            },
            Some(Output::ReadJournal { after, .. }) => {
                let from = usize::try_from(after.0).unwrap();
                let entries = device.entries[from..].to_vec();
                session
                    .input(Input::Entries { before: device.hash_at(after), entries, refused: Vec::new() }, &mut tools);
            }
            Some(Output::Exchange(request)) => {
                requests += 1;
                assert!(requests <= requests_max, "the session goes on after {requests_max} requests");
                pending = Some(answer(requests, &request));
            }
            Some(Output::ReadHash { sequence }) => {
                session.input(Input::HashRead(Some(device.hash_at(sequence))), &mut tools);
            }
            Some(Output::StoreReply(_) | Output::StoreReceipt(_) | Output::StorePage(_)) => {
                session.input(Input::Stored, &mut tools);
            }
            Some(Output::StorePart(part)) => {
                if part.offset == 0 {
                    kept.clear();
                }
                assert_eq!(kept.len(), part.offset as usize);
                kept.extend_from_slice(&part.bytes);
                assert!(kept.len() <= part.total as usize && kept.len() <= limits::PAGE_PLAIN_BYTES_MAX);
                let whole = (kept.len() == part.total as usize).then(|| kept.clone());
                session.input(Input::PartStored(whole), &mut tools);
            }
            Some(Output::Finished(outcome)) => return outcome,
        }
    }
}

#[test]
fn what_a_later_central_adds_to_a_reply_is_left_alone_up_to_its_limit() {
    for (bytes, is_refused) in [(limits::FURTHER_BYTES_MAX, false), (limits::FURTHER_BYTES_MAX + 1, true)] {
        let device = Device::new(&[]);
        let outcome = against(&device, STALLED_REQUESTS_MAX, |_, request| {
            let head = ReplyHead { further: vec![7; bytes], ..reply(0, device.hash_at(Sequence::ZERO)) };
            signed(Kind::ReplyHead, context_of(request), &message::encode(&head))
        });

        let is_of_limit = matches!(outcome.failure, Some(Failure::Message(message::MessageError::AboveLimit(_))));
        assert_eq!(is_of_limit, is_refused, "{bytes} bytes: {:?}", outcome.failure);
    }
}

#[test]
fn a_page_of_one_scope_too_many_is_refused_before_the_head_can_outgrow_its_limit() {
    let mut device = Device::new(&[]);
    for number in 0..limits::SCOPES_MAX {
        let mut name = vec![0xff; limits::SCOPE_BYTES_MAX];
        name[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let most = Cursor { epoch: Epoch(u64::MAX), number: Position(u64::MAX), began: Position(u64::MAX) };
        device.cursors.insert(ScopeId::new(&name).unwrap(), most);
    }

    let outcome = against(&device, 1, |_, request| {
        assert!(request.len() < limits::HEAD_BYTES_MAX);
        let context = context_of(request);
        let head = ReplyHead { has_pages: true, ..reply(0, device.hash_at(Sequence::ZERO)) };
        let mut bytes = signed(Kind::ReplyHead, context, &message::encode(&head));
        bytes.extend(page_of(&page_header(0, scope(1), 1), &[0], context));
        bytes
    });

    assert!(
        matches!(outcome.failure, Some(Failure::Rule(rule)) if rule.contains("SCOPES_MAX")),
        "{:?}",
        outcome.failure
    );
}

#[test]
fn parts_that_claim_more_than_a_page_or_bring_nothing_are_refused() {
    let device = Device::new(&[]);
    let most = u32::try_from(limits::PAGE_PLAIN_BYTES_MAX).unwrap();
    for (offset, total, bytes) in
        [(0, u32::MAX, 10), (0, most + 1, 10), (0, 5, 10), (0, 10, 0), (7, 20, 5), (u32::MAX, u32::MAX, 5)]
    {
        let outcome = against(&device, 1, |_, request| {
            let context = context_of(request);
            let head = ReplyHead { has_pages: true, ..reply(0, device.hash_at(Sequence::ZERO)) };
            let part = Some(PagePart { hash: Hash([1; 32]), offset, total });
            let mut reply = signed(Kind::ReplyHead, context, &message::encode(&head));
            reply.extend(page_of(&PageHeader { part, ..page_header(0, scope(1), 1) }, &vec![0; bytes], context));
            reply
        });

        assert!(matches!(outcome.failure, Some(Failure::Rule(_))), "{offset} {total} {bytes}: {:?}", outcome.failure);
    }
}

#[test]
fn a_whole_page_that_was_kept_but_not_stored_begins_anew() {
    let mut center = Center::with_rows(&[80_000]);
    for is_damaged in [false, true] {
        let mut device = Device::new(&[]);
        // Reply head, then three parts; the power fails before the page is stored.
        let outcome = device.sync_until(&mut center, &mut Cut(Cut::NEVER), 5);
        let (state, bytes) = device.part.as_mut().expect("parts are kept");
        assert!(outcome.is_none() && state.received as usize == bytes.len() && device.rows.is_empty());
        if is_damaged {
            bytes[40_000] ^= 1;
        }

        assert_eq!(device.sync(&mut center, &mut Cut(Cut::NEVER)).failure, None);
        drained(&device, &center);
    }
}

#[test]
fn a_central_that_forgets_and_takes_in_turn_is_given_up() {
    let device = Device::new(&[10; 3]);

    let outcome = against(&device, 3 * SETBACKS_MAX, |number, request| {
        let received = u64::from(number % 2) + 1;
        let head = reply(received, device.hash_at(Sequence(received)));
        signed(Kind::ReplyHead, context_of(request), &message::encode(&head))
    });

    assert_eq!(outcome.failure, Some(Failure::Stalled));
}

#[test]
fn a_central_that_shows_a_part_and_forgets_it_in_turn_is_given_up() {
    let device = Device::new(&[90_000]);

    let outcome = against(&device, 3 * SETBACKS_MAX, |number, request| {
        let frame_part = (number % 2 == 0).then_some(FramePartState { hash: Hash([1; 32]), received: 10 });
        let head = ReplyHead { frame_part, ..reply(0, device.hash_at(Sequence::ZERO)) };
        signed(Kind::ReplyHead, context_of(request), &message::encode(&head))
    });

    assert_eq!(outcome.failure, Some(Failure::Stalled));
}

#[test]
fn cursors_that_go_back_and_forth_and_parts_that_always_begin_anew_are_given_up() {
    let device = Device::new(&[]);
    for is_part in [false, true] {
        let outcome = against(&device, 5 * SETBACKS_MAX, |number, request| {
            let context = context_of(request);
            let head = ReplyHead { has_pages: true, ..reply(0, device.hash_at(Sequence::ZERO)) };
            let part = is_part.then_some(PagePart { hash: Hash([1; 32]), offset: 0, total: 20 });
            let header = PageHeader { is_last: true, part, ..page_header(0, scope(1), u64::from(number % 2)) };
            let mut bytes = signed(Kind::ReplyHead, context, &message::encode(&head));
            bytes.extend(page_of(&header, &[0], context));
            bytes
        });

        assert_eq!(outcome.failure, Some(Failure::Stalled));
    }
}

#[test]
fn a_central_that_was_set_back_is_told_again_from_where_it_stands() {
    let (mut device, mut center) = (Device::new(&[10; 9]), Center::default());
    device.sync(&mut center, &mut Cut(Cut::NEVER));
    center.entries.truncate(4);

    assert_eq!(device.sync(&mut center, &mut Cut(Cut::NEVER)).failure, None);
    drained(&device, &center);
}

#[test]
fn a_central_that_always_has_more_to_say_and_says_nothing_is_given_up() {
    let device = Device::new(&[]);

    let outcome = against(&device, STALLED_REQUESTS_MAX, |_, request| {
        let head = ReplyHead { has_more_control: true, ..reply(0, device.hash_at(Sequence::ZERO)) };
        signed(Kind::ReplyHead, context_of(request), &message::encode(&head))
    });

    assert_eq!(outcome.failure, Some(Failure::Stalled));
}

#[test]
fn a_device_that_is_not_enrolled_can_read_why_it_is_refused_whatever_its_version() {
    for version in [1, 9] {
        for current in [None, Some(TestKey(9).public_key())] {
            let mut device = Device::new(&[]);
            device.dialect.versions = Versions { min: version, max: version };
            let outcome = against(&device, 1, |_, request| {
                let mut codec = PlainCodec;
                let mut tools = exchange::Tools { codec: &mut codec, signer: &CENTRAL, verifier: &DEVICE };
                let mut exchange = exchange::Exchange::new();
                exchange.feed(request, &mut tools);
                let Some(Ask::FindSite(SITE)) = exchange.ask() else { panic!("asks for the key of the site first") };
                exchange.answer(Answer::Site(exchange::SiteKeys { current, retired: Vec::new() }), &mut tools);
                let Some(Ask::Refuse(_, bytes)) = exchange.ask() else { panic!("refuses") };
                bytes
            });
            assert!(matches!(outcome.failure, Some(Failure::Refused(refusal)) if refusal.code == "not_enrolled"));
        }
    }
}

#[test]
fn a_refusal_cannot_silence_a_site_for_longer_than_an_hour() {
    let refusal = Refusal { retry_after_s: Some(u32::MAX), ..Refusal::new("busy", "later") };

    assert_eq!(Failure::Refused(refusal).advice(), Advice::Wait { seconds: limits::RETRY_AFTER_S_MAX });
}
pub(super) fn any_hash() -> impl Strategy<Value = Hash> {
    prop_oneof![Just(Hash::NONE), (0..3_u8).prop_map(|byte| Hash([byte; 32]))]
}

pub(super) fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..6_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

fn any_reply() -> impl Strategy<Value = ReplyHead> {
    let part = prop::option::of((any_hash(), any::<u32>()));
    let control = prop::collection::vec((any_number(), any::<u16>()), 0..3);
    (any_number(), any_hash(), any::<u32>(), part, control, any::<[bool; 2]>()).prop_map(
        |(received, hash, admitted_bytes, part, control, [has_more_control, has_pages])| ReplyHead {
            admitted_bytes,
            frame_part: part.map(|(hash, received)| FramePartState { hash, received }),
            control: control
                .into_iter()
                .map(|(number, code)| ControlRow { number: ControlNumber(number), code, content: Vec::new() })
                .collect(),
            has_more_control,
            has_pages,
            ..reply(received, hash)
        },
    )
}

fn any_page() -> impl Strategy<Value = (PageHeader, Vec<u8>)> {
    let part = prop::option::of((any_hash(), 0..40_u32, 0..60_u32));
    (0..3_u32, 0..3_u8, any_number(), part, any::<[bool; 4]>(), prop::collection::vec(any::<u8>(), 0..30)).prop_map(
        |(index, place, number, part, [is_last, is_complete, is_zstd, is_empty], packed)| {
            let packed = if is_empty { vec![0] } else { packed };
            let header = PageHeader {
                is_last,
                is_complete,
                part: part.map(|(hash, offset, total)| PagePart { hash, offset, total }),
                compression: if is_zstd { Compression::Zstd } else { Compression::None },
                dictionary: if is_zstd { Dictionary::Previous } else { Dictionary::None },
                plain_bytes: u32::try_from(packed.len()).unwrap(),
                ..page_header(index, scope(place), number)
            };
            (header, packed)
        },
    )
}

#[derive(Debug, Clone)]
enum Said {
    Reply(ReplyHead),
    /// As the device would accept it, so that what follows is reached.
    RightReply(bool),
    Page(PageHeader, Vec<u8>),
    Receipt(Versions, Receipt),
    Rubbish(Kind, Vec<u8>),
}

fn any_receipt() -> impl Strategy<Value = (Versions, Receipt)> {
    (0..3_u8, any_number(), any_hash(), any::<u32>(), prop::option::of((any_hash(), any::<u32>()))).prop_map(
        |(least, received, received_hash, admitted_bytes, part)| {
            let frame_part = part.map(|(hash, received)| FramePartState { hash, received });
            let received = Sequence(received);
            let receipt = Receipt { token: Token([1; 16]), received, received_hash, admitted_bytes, frame_part };
            (Versions { min: least, max: 2 }, receipt)
        },
    )
}

fn said() -> impl Strategy<Value = Said> {
    let kinds = prop::sample::select(vec![Kind::ReplyHead, Kind::Page, Kind::Refusal, Kind::Frame, Kind::RequestHead]);
    prop_oneof![
        2 => any_reply().prop_map(Said::Reply),
        3 => any::<bool>().prop_map(Said::RightReply),
        2 => any_receipt().prop_map(|(versions, receipt)| Said::Receipt(versions, receipt)),
        5 => any_page().prop_map(|(header, packed)| Said::Page(header, packed)),
        1 => (kinds, prop::collection::vec(any::<u8>(), 0..60)).prop_map(|(kind, bytes)| Said::Rubbish(kind, bytes)),
    ]
}

proptest! {
    #[test]
    fn whatever_central_signs_the_session_ends_without_a_panic(
        replies in prop::collection::vec(prop::collection::vec(said(), 0..5), 1..5),
        entries in 0..4_usize,
    ) {
        let device = Device::new(&vec![20; entries]);
        let count = u32::try_from(replies.len()).unwrap();
        against(&device, count + 1, |number, request| {
            let context = context_of(request);
            let Some(parts) = replies.get(number as usize - 1) else { return b"<html>".to_vec() };
            let mut bytes = Vec::new();
            for part in parts {
                bytes.extend(match part {
                    Said::Reply(head) => signed(Kind::ReplyHead, context, &message::encode(head)),
                    Said::RightReply(has_pages) => {
                        let head = ReplyHead { has_pages: *has_pages, ..reply(device.head().0, device.hash_at(device.head())) };
                        signed(Kind::ReplyHead, context, &message::encode(&head))
                    }
                    Said::Receipt(versions, receipt) => {
                        let refusal = Refusal::of_version(1, *versions, *receipt);
                        signed(Kind::Refusal, context, &message::encode(&refusal))
                    }
                    Said::Page(header, packed) => page_of(header, packed, context),
                    Said::Rubbish(kind, body) => signed(*kind, context, body),
                });
            }
            bytes
        });
    }

    #[test]
    fn rubbish_in_place_of_a_reply_never_panics(bytes in prop::collection::vec(any::<u8>(), 1..300)) {
        against(&Device::new(&[10]), 1, |_, _| bytes.clone());
    }
}

#[test]
fn a_newer_page_and_a_newer_frame_are_told_from_rubbish() {
    let newer = [7, 0xff, 0xff];

    assert_eq!(page::read_header(&newer), Err(message::MessageError::Version { found: 7, understood: Versions::OWN }));
    assert!(
        crate::frame::unpack(&newer, &mut crate::history::History::default(), &mut PlainCodec)
            .unwrap_err()
            .to_string()
            .contains("version 7")
    );
}
