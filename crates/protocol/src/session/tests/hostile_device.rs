//! What a buggy or hostile device can do: everything that is right by signature and wrong by content ends in a refusal.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::hostile_central::{any_hash, any_number, reply};
use super::world::{CENTRAL, DEVICE, JOURNAL, SITE, scope};
use crate::chain;
use crate::edge::Signer as _;
use crate::exchange::{self, Answer, Ask, Received, Rows};
use crate::ids::{ControlNumber, Epoch, Hash, JournalId, Position, Sequence, TableRef, Token};
use crate::limits;
use crate::message::{self, Cursor, FramePart, FramePartState, RequestHead};
use crate::page::PageRow;
use crate::section::{Binding, Kind, seal};
use crate::testing::PlainCodec;

fn request_head(journal: JournalId, head: u64) -> RequestHead {
    RequestHead {
        version: 1,
        site: SITE,
        token: Token::NONE,
        journal,
        predecessor: None,
        head: Sequence(head),
        head_hash: Hash::NONE,
        generation: crate::ids::CredentialGeneration(0),
        control: ControlNumber(0),
        cursors: Vec::new(),
        heard: None,
        claims: crate::control::Claims::default(),
        page_bytes: 0,
        reply_bytes: u32::MAX,
        counts_rows: false,
        page_part: None,
        recorded: Sequence(head),
        further: Vec::new(),
        salt: [0; 8],
        answer: None,
    }
}

fn by_device(kind: Kind, body: &[u8]) -> Vec<u8> {
    seal(kind, &Binding { central: CENTRAL.public_key(), site: SITE, context: Hash::NONE }, body, &DEVICE)
}

/// Feeds a request and gives the code of the refusal, if that is what comes of it. Reads of rows give `rows`.
fn refused(request: &[u8], rows: &Rows, sent: &mut Vec<u8>) -> Option<String> {
    let mut codec = PlainCodec;
    let mut tools = exchange::Tools { codec: &mut codec, signer: &CENTRAL, verifier: &DEVICE };
    let mut exchange = exchange::Exchange::new();
    let mut kept = Vec::new();
    let mut end = false;
    for chunk in request.chunks(4096).chain([&[][..]]) {
        if chunk.is_empty() {
            exchange.end_of_request(&mut tools);
        } else {
            exchange.feed(chunk, &mut tools);
        }
        while let Some(ask) = exchange.ask() {
            let received = Received { sequence: Sequence(0), hash: Hash::NONE };
            let answer = match ask {
                Ask::FindSite(site) => Answer::Site(exchange::SiteKeys {
                    current: (site == SITE).then(|| DEVICE.public_key()),
                    retired: Vec::new(),
                }),
                Ask::Begin(..) => Answer::Begun(Ok(received)),
                Ask::StoreFrame(_) => Answer::Stored(Ok(received)),
                Ask::StorePart(part) => {
                    kept.extend_from_slice(&part.bytes);
                    let state = FramePartState { hash: part.hash, received: part.offset };
                    let whole = (kept.len() == part.total as usize).then(|| core::mem::take(&mut kept));
                    Answer::PartStored(Ok(exchange::PartKept { state, whole }))
                }
                Ask::Conclude => Answer::Concluded(Ok(alloc::boxed::Box::new(exchange::Conclusion {
                    reply: reply(0, Hash::NONE),
                    scopes: vec![message::ScopeCursor { scope: scope(0), cursor: Cursor::default() }],
                }))),
                Ask::ReadRows(read) => {
                    let mut rows = rows.clone();
                    let skip = rows.rows.len().saturating_sub(read.rows_max + 1);
                    rows.rows.drain(..skip);
                    Answer::Rows(Ok(rows))
                }
                Ask::Send(bytes) => {
                    sent.extend(bytes);
                    continue;
                }
                Ask::Refuse(refusal, _) => return Some(refusal.code),
                Ask::Finished => {
                    end = true;
                    continue;
                }
            };
            exchange.answer(answer, &mut tools);
        }
    }
    assert!(end, "a request that is not refused is answered");
    None
}

fn no_rows() -> Rows {
    Rows { rows: Vec::new(), cursor: Cursor::default(), is_drained: true }
}

#[test]
fn parts_of_frames_outside_of_their_bounds_or_of_another_journal_are_refused() {
    let most = u32::try_from(limits::SEALED_FRAME_BYTES_MAX).unwrap();
    let head = by_device(Kind::RequestHead, &message::encode(&request_head(JOURNAL, 5)));
    for (journal, offset, total, bytes) in [
        (JOURNAL, 0, u32::MAX, 10),
        (JOURNAL, 0, most + 1, 10),
        (JOURNAL, 0, 5, 10),
        (JOURNAL, 0, 10, 0),
        (JOURNAL, u32::MAX, 10, 5),
        (JournalId([9; 16]), 0, 20, 10),
    ] {
        let part = FramePart { journal, first: Sequence(1), hash: Hash::NONE, offset, total, bytes: vec![0; bytes] };
        let mut request = head.clone();
        request.extend(by_device(Kind::FramePart, &message::encode(&part)));

        assert_eq!(refused(&request, &no_rows(), &mut Vec::new()).as_deref(), Some("bad_part"));
    }
}

#[test]
fn a_number_that_no_journal_and_no_central_can_have_come_to_is_refused_wherever_it_stands() {
    let good = || request_head(JOURNAL, limits::NUMBER_MAX);
    let before = |sequence, promised| chain::Predecessor {
        journal: JournalId([9; 16]),
        sequence: Sequence(sequence),
        hash: Hash::NONE,
        promised: Sequence(promised),
    };
    let cursor = |number, began| {
        let cursor = Cursor { epoch: Epoch(1), number: Position(number), began: Position(began) };
        vec![message::ScopeCursor { scope: scope(0), cursor }]
    };
    let code = |head: &RequestHead| {
        refused(&by_device(Kind::RequestHead, &message::encode(head)), &no_rows(), &mut Vec::new())
    };
    let all = RequestHead {
        control: ControlNumber(limits::NUMBER_MAX),
        predecessor: Some(before(limits::NUMBER_MAX, limits::NUMBER_MAX)),
        cursors: cursor(limits::NUMBER_MAX, limits::NUMBER_MAX),
        ..good()
    };
    assert_eq!(code(&all), None);

    for number in [limits::NUMBER_MAX + 1, 0x7fff_ffff_ffff_fff0, 1 << 63, u64::MAX] {
        for head in [
            request_head(JOURNAL, number),
            RequestHead { control: ControlNumber(number), ..good() },
            RequestHead { predecessor: Some(before(number, 0)), ..good() },
            RequestHead { predecessor: Some(before(0, number)), ..good() },
            RequestHead { cursors: cursor(number, 0), ..good() },
            RequestHead { cursors: cursor(0, number), ..good() },
        ] {
            assert_eq!(code(&head).as_deref(), Some("number_too_large"), "{head:?}");
        }
    }
}

#[test]
fn what_a_later_program_adds_to_a_head_is_left_alone_up_to_its_limit() {
    let code = |bytes: usize| {
        let head = RequestHead { further: vec![7; bytes], ..request_head(JOURNAL, 5) };
        refused(&by_device(Kind::RequestHead, &message::encode(&head)), &no_rows(), &mut Vec::new())
    };

    assert_eq!(code(limits::FURTHER_BYTES_MAX), None);
    assert_eq!(code(limits::FURTHER_BYTES_MAX + 1).as_deref(), Some("too_large"));
}

#[test]
fn a_request_without_an_end_is_refused_at_the_limit() {
    let mut request = by_device(Kind::RequestHead, &message::encode(&request_head(JOURNAL, 5)));
    let part = FramePart {
        journal: JOURNAL,
        first: Sequence(1),
        hash: Hash::NONE,
        offset: 0,
        total: 1_000_001,
        bytes: vec![0; 100_000],
    };
    let part = by_device(Kind::FramePart, &message::encode(&part));
    while request.len() <= limits::REQUEST_BYTES_MAX {
        request.extend_from_slice(&part);
    }

    assert_eq!(refused(&request, &no_rows(), &mut Vec::new()).as_deref(), Some("too_large"));
}

#[test]
fn a_record_whose_parents_do_not_fit_its_page_comes_without_them() {
    let row = |id: &str, size: usize, position| PageRow {
        table: TableRef::Known(1),
        record: crate::ids::RecordId::new(id).unwrap(),
        position: Position(position),
        row: Some(
            crate::row::Row::new(vec![(crate::row::ColumnRef::Known(0), crate::row::Value::Text("x".repeat(size)))])
                .unwrap(),
        ),
    };
    let rows = Rows {
        rows: vec![row("parent", 1_000_000, 9), row("child", 1_000_000, 5)],
        cursor: Cursor { epoch: Epoch(1), number: Position(5), began: Position(9) },
        is_drained: true,
    };
    let mut head = request_head(JOURNAL, 0);
    head.page_bytes = limits::FRAME_TARGET_BYTES_MAX;
    let request = by_device(Kind::RequestHead, &message::encode(&head));
    let mut sent = Vec::new();

    assert_eq!(refused(&request, &rows, &mut sent), None);
    assert!(sent.len() > 1_000_000 && sent.len() < 1_100_000, "only the child is on its way: {} bytes", sent.len());
}

fn any_rubbish() -> impl Strategy<Value = (Kind, Vec<u8>)> {
    let kinds = prop::sample::select(vec![Kind::Frame, Kind::FramePart, Kind::RequestHead, Kind::Page]);
    (kinds, prop::collection::vec(any::<u8>(), 0..90))
}

fn reported((place, number): (u8, u64)) -> message::ScopeCursor {
    message::ScopeCursor { scope: scope(place), cursor: Cursor { number: Position(number), ..Cursor::default() } }
}

proptest! {
    #[test]
    fn whatever_a_device_signs_the_exchange_ends_without_a_panic(
        cursors in prop::collection::vec((0..3_u8, any_number()), 0..4),
        limits in any::<[u32; 2]>(),
        head in any_number(),
        parts in prop::collection::vec((any_hash(), any::<u32>(), 0..90_u32, prop::collection::vec(any::<u8>(), 0..90)), 0..4),
        rubbish in prop::collection::vec(any_rubbish(), 0..3),
        tail in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let head = RequestHead {
            cursors: cursors.into_iter().map(reported).collect(),
            heard: None,
            claims: crate::control::Claims::default(),
            page_bytes: limits[0],
            reply_bytes: limits[1],
            page_part: Some(message::PagePartState { scope: scope(0), hash: Hash::NONE, received: limits[0] }),
            ..request_head(JOURNAL, head)
        };
        let mut request = by_device(Kind::RequestHead, &message::encode(&head));
        for (hash, offset, total, bytes) in parts {
            let part = FramePart { journal: JOURNAL, first: Sequence(1), hash, offset: offset % 60, total, bytes };
            request.extend(by_device(Kind::FramePart, &message::encode(&part)));
        }
        for (kind, body) in rubbish {
            request.extend(by_device(kind, &body));
        }
        request.extend(tail);
        refused(&request, &no_rows(), &mut Vec::new());
    }

    #[test]
    fn whatever_a_device_of_another_version_signs_the_exchange_ends_without_a_panic(
        // Every one but 1.
        version in (1..=255_u8).prop_map(|other| other.wrapping_add(1)),
        head in any_number(),
        rest in prop::collection::vec(any::<u8>(), 0..90),
        rubbish in prop::collection::vec(any_rubbish(), 0..3),
    ) {
        let head = RequestHead { version, ..request_head(JOURNAL, head) };
        let mut request = by_device(Kind::RequestHead, &[message::encode(&head.prelude()), rest].concat());
        for (kind, body) in &rubbish {
            request.extend(by_device(*kind, body));
        }
        let mut sent = Vec::new();
        let code = refused(&request, &no_rows(), &mut sent);
        prop_assert!(code.is_some() && sent.is_empty(), "it gets no reply head and no page");
        if rubbish.is_empty() {
            let expected = if head.head.0 > limits::NUMBER_MAX { "number_too_large" } else { "version" };
            prop_assert_eq!(code.as_deref(), Some(expected));
        }
    }

    #[test]
    fn rubbish_in_place_of_a_request_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        refused(&bytes, &no_rows(), &mut Vec::new());
    }
}
