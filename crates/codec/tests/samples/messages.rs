//! Sections: heads, control rows, frames, pages, their parts, a refusal.

use codec::ZstdCodec;
use protocol::chain::{self, Predecessor, genesis, hash_of};
use protocol::check::{self, CheckAnswer};
use protocol::control::{
    Claim, Claims, Control, ControlRow, Dropped, EntryPlace, Grant, GrantsTold, Image, NumberGaps, ReadAnew, Refused,
    ShownRefusal, SiteCode,
};
use protocol::edge::{Codec, Compression, Dictionary};
use protocol::export::ExportHead;
use protocol::frame::{self, Frame, RefusedBefore, Run};
use protocol::history::History;
use protocol::ids::{
    ControlNumber, CredentialGeneration, Epoch, GrantProof, Hash, JournalId, OwnershipNumber, Position, RecordId,
    ScopeId, Sequence, TableRef, Token,
};
use protocol::message::{
    Cursor, FramePart, FramePartState, PagePartState, Refusal, ReplyHead, RequestHead, ScopeCursor, VERSION, encode,
};
use protocol::news;
use protocol::page::{self, PageHeader, PagePart, PageRow};
use protocol::section::Kind;
use protocol::verify::{self, Ask, Differing, Digests, PackedRows, Question};
use protocol::versions::{Head, Prelude, Receipt, Versions};

use super::{JOURNAL, SITE, Sample, message, opened, packings, records, sealed};

fn scope() -> ScopeId {
    ScopeId::new(b"\x02\x00s 1").unwrap()
}

fn cursor() -> Cursor {
    Cursor { epoch: Epoch(0x0123_4567_89ab_cdef), number: Position(300), began: Position(5) }
}

fn request_head() -> RequestHead {
    RequestHead {
        version: 1,
        site: SITE,
        token: Token([0xb2; 16]),
        journal: JOURNAL,
        predecessor: Some(Predecessor {
            journal: JournalId([0xc3; 16]),
            sequence: Sequence(8),
            hash: Hash([0xd4; 32]),
            promised: Sequence(9),
        }),
        head: Sequence(300),
        head_hash: Hash([0xe5; 32]),
        generation: CredentialGeneration(1),
        control: ControlNumber(2),
        cursors: vec![ScopeCursor { scope: scope(), cursor: cursor() }],
        heard: Some(cursor()),
        claims: Claims {
            told: ControlNumber(2),
            grants: vec![Claim { store: "S".to_owned(), ownership: OwnershipNumber(1), proof: GrantProof([0xd0; 16]) }],
            refused: vec![ShownRefusal {
                place: EntryPlace { journal: JOURNAL, sequence: Sequence(8) },
                code: "header_deleted".to_owned(),
                reason: "its header was deleted".to_owned(),
            }],
            taken: vec![Claim { store: "T".to_owned(), ownership: OwnershipNumber(3), proof: GrantProof([0xd1; 16]) }],
            number_gaps: vec![NumberGaps { store: "S".to_owned(), gaps: 2 }],
        },
        page_bytes: 32_768,
        reply_bytes: 1_048_576,
        counts_rows: true,
        page_part: Some(PagePartState { scope: scope(), hash: Hash([0xf6; 32]), received: 4096 }),
        recorded: Sequence(301),
        further: Vec::new(),
        salt: [0xf8; 8],
        answer: None,
    }
}

/// A head of a version that nobody knows yet: its prelude, and what nobody can read.
fn later_request_head() -> Sample {
    let prelude = Prelude { version: 9, ..request_head().prelude() };
    let body = [&encode(&prelude)[..], b"what version 9 says"].concat();
    let check = move |stored: &[u8]| {
        let bodies = opened(Kind::RequestHead, Hash::NONE, stored);
        let read: Vec<_> = bodies.iter().map(|body| Head::decode(body, Versions::OWN)).collect();
        assert_eq!(read, [Ok(Head::Prelude(prelude))]);
    };
    Sample {
        name: "request_head_later",
        comment: "Request head of version 9, of which only the prelude is known, section",
        bytes: sealed(Kind::RequestHead, Hash::NONE, &body),
        is_encoding_fixed: true,
        check: Box::new(check),
    }
}

fn version_refusal() -> Refusal {
    let receipt = Receipt {
        token: Token([0xb3; 16]),
        received: Sequence(300),
        received_hash: Hash([0xe5; 32]),
        admitted_bytes: 524_288,
        frame_part: Some(FramePartState { hash: Hash([0xf7; 32]), received: 8192 }),
    };
    Refusal::of_version(9, Versions { min: 1, max: 1 }, receipt)
}

/// Hash of the request head that the replies answer.
fn context() -> Hash {
    hash_of(&encode(&request_head()))
}

fn controls() -> Vec<(&'static str, &'static str, Control)> {
    let place = EntryPlace { journal: JOURNAL, sequence: Sequence(9) };
    let refused = |image| {
        Control::Refused(Refused {
            journal: JOURNAL,
            sequence: Sequence(9),
            code: "store_not_held".to_owned(),
            reason: "site 7 does not hold store S".to_owned(),
            image,
        })
    };
    let here = Image::Here { position: Position(300), row: records::row().to_bytes() };
    let grant = Grant {
        store: "S".to_owned(),
        ownership: OwnershipNumber(1),
        is_held: true,
        proof: GrantProof([0xd0; 16]),
        number_gaps: 2,
    };
    vec![
        ("control_refused", "Control row 1: refused, with central's image", refused(here)),
        ("control_refused_not_here", "Control row 1: refused, the record is not here", refused(Image::NotHere)),
        ("control_waiting", "Control row 2: waiting", Control::Waiting(place)),
        ("control_accepted", "Control row 3: accepted", Control::Accepted(place)),
        ("control_grant", "Control row 4: grant", Control::Grant(grant)),
        ("control_dropped", "Control row 5: dropped", Control::Dropped(Dropped { scope: scope() })),
        ("control_grants_told", "Control row 6: grants told", Control::GrantsTold(GrantsTold { grants: 1 })),
        ("control_read_anew", "Control row 7: read anew", Control::ReadAnew(ReadAnew { scope: scope() })),
        ("control_set_back", "Control row 8: central was set back", Control::SetBack),
        ("control_verify", "Control row 9: compare", Control::Verify),
        (
            "control_site_code",
            "Control row 10: the site's code",
            Control::SiteCode(SiteCode { code: "C-7".to_owned() }),
        ),
    ]
}

/// A row of a later program: it is kept and shown, whatever its content.
fn unknown_control() -> Sample {
    let row = ControlRow { number: ControlNumber(3), code: 999, content: b"of a later program".to_vec() };
    let bytes = encode(&row);
    let check = move |stored: &[u8]| {
        assert_eq!(protocol::message::decode_part::<ControlRow>(stored).as_ref(), Ok(&row));
        assert_eq!(Control::of(&row), Ok(Control::Unknown));
    };
    let comment = "Control row 999, of a later program";
    Sample { name: "control_unknown", comment, bytes, is_encoding_fixed: true, check: Box::new(check) }
}

fn control_row(control: &Control) -> ControlRow {
    let (code, content) = control.to_parts();
    ControlRow { number: ControlNumber(3), code, content }
}

fn of_control((name, comment, control): (&'static str, &'static str, Control)) -> Sample {
    let bytes = encode(&control_row(&control));
    let check = move |stored: &[u8]| {
        let row: ControlRow = protocol::message::decode_part(stored).unwrap();
        assert_eq!((row.number, Control::of(&row).as_ref()), (ControlNumber(3), Ok(&control)), "{name}");
    };
    Sample { name, comment, bytes, is_encoding_fixed: true, check: Box::new(check) }
}

fn reply_head() -> ReplyHead {
    ReplyHead {
        version: 1,
        token: Token([0x17; 16]),
        received: Sequence(300),
        received_hash: Hash([0xe5; 32]),
        judged: Sequence(299),
        backed_up: Sequence(128),
        epoch: Epoch(0x0123_4567_89ab_cdef),
        position: Position(301),
        admitted_bytes: 262_144,
        frame_part: Some(FramePartState { hash: Hash([0x28; 32]), received: 8192 }),
        control: controls().iter().map(|(_, _, control)| control_row(control)).collect(),
        has_more_control: true,
        rows_waiting: Some(300),
        has_pages: true,
        further: Vec::new(),
    }
}

/// The journal's first entries with the hash after each.
fn chained() -> Vec<(Vec<u8>, Hash)> {
    let mut hash = genesis(SITE, JOURNAL, None);
    let entries = records::group().into_iter().map(|entry| {
        let bytes = entry.encode();
        hash = chain::extend(hash, &bytes);
        (bytes, hash)
    });
    entries.collect()
}

/// Two frames of one entry each, the second after the first.
fn frames(codec: &mut dyn Codec) -> Vec<u8> {
    let entries = chained();
    let mut history = History::default();
    let mut before = genesis(SITE, JOURNAL, None);
    let mut bytes = Vec::new();
    for (first, entry) in (1..).map(Sequence).zip(entries.chunks(1)) {
        let packed =
            frame::pack(Run { journal: JOURNAL, first, before, entries: entry, refused: &[] }, &history, codec)
                .unwrap();
        history.push(&packed.plain);
        before = entry[0].1;
        bytes.extend(sealed(Kind::Frame, Hash::NONE, &packed.body));
    }
    bytes
}

/// What central had refused of a frame's entries before it was set back.
fn refused_before() -> Vec<RefusedBefore> {
    let refused = |sequence, code: &str, reason: &str| RefusedBefore {
        sequence: Sequence(sequence),
        code: code.to_owned(),
        reason: reason.to_owned(),
    };
    vec![
        refused(1, "group_refused", "another edit of its group was refused"),
        refused(2, "not_store_holder", "belongs to store S, which site 8 holds"),
    ]
}

/// A frame whose entries were refused before.
fn refused_frame() -> Vec<u8> {
    let (before, refused) = (genesis(SITE, JOURNAL, None), refused_before());
    let run = Run { journal: JOURNAL, first: Sequence(1), before, entries: &chained(), refused: &refused };
    let packed = frame::pack(run, &History::default(), &mut super::Unpacked).unwrap();
    sealed(Kind::Frame, Hash::NONE, &packed.body)
}

fn check_refused_frame(stored: &[u8]) {
    let body = opened(Kind::Frame, Hash::NONE, stored).remove(0);
    let frame = frame::unpack(&body, &mut History::default(), &mut ZstdCodec::default()).unwrap();
    assert_eq!((frame.entries, frame.refused), (chained(), refused_before()));
}

fn check_frames(stored: &[u8]) {
    let mut history = History::default();
    let mut before = genesis(SITE, JOURNAL, None);
    for ((first, entry), body) in (1..).map(Sequence).zip(chained()).zip(opened(Kind::Frame, Hash::NONE, stored)) {
        let frame = frame::unpack(&body, &mut history, &mut ZstdCodec::default()).unwrap();
        assert_eq!(frame, Frame { journal: JOURNAL, first, before, entries: vec![entry], refused: Vec::new() });
        before = frame.after();
    }
    assert_eq!(before, chained()[1].1, "both frames were there");
}

fn rows() -> Vec<PageRow> {
    let record = |id: &str| RecordId::new(id).unwrap();
    vec![
        PageRow {
            table: TableRef::Known(11),
            record: record("00112233445566778899AABBCCDDEEFF"),
            position: Position(300),
            row: Some(records::row()),
        },
        PageRow {
            table: TableRef::Named("my_table".to_owned()),
            record: record("a"),
            position: Position(299),
            row: None,
        },
    ]
}

fn page_header(packed: &page::Packed, part: Option<PagePart>) -> PageHeader {
    PageHeader {
        version: 1,
        index: 0,
        scope: scope(),
        cursor: cursor(),
        is_drained: true,
        is_last: true,
        is_complete: false,
        rows: 2,
        part,
        compression: packed.compression,
        dictionary: packed.dictionary,
        plain_bytes: packed.plain_bytes,
    }
}

fn page_section(header: &PageHeader, packed: &[u8]) -> Vec<u8> {
    sealed(Kind::Page, context(), &[encode(header), packed.to_vec()].concat())
}

fn of_page(name: &'static str, comment: &'static str, is_encoding_fixed: bool, codec: &mut dyn Codec) -> Sample {
    let packed = page::pack_rows(&rows(), &History::default(), codec).unwrap();
    let bytes = page_section(&page_header(&packed, None), &packed.bytes);
    let check = move |stored: &[u8]| {
        let bodies = opened(Kind::Page, context(), stored);
        let (header, rest) = page::read_header(&bodies[0]).unwrap();
        assert_eq!((header.cursor, header.scope.clone(), header.part), (cursor(), scope(), None));
        let found = page::unpack_rows(&header, rest, &mut History::default(), &mut ZstdCodec::default());
        assert_eq!(found, Ok(rows()), "{name}");
    };
    Sample { name, comment, bytes, is_encoding_fixed, check: Box::new(check) }
}

fn page_part() -> Sample {
    let [(_, mut unpacked), _] = packings();
    let packed = page::pack_rows(&rows(), &History::default(), &mut *unpacked).unwrap();
    let total = u32::try_from(packed.bytes.len()).unwrap();
    let slice = packed.bytes[16..].to_vec();
    let header = page_header(&packed, Some(PagePart { hash: hash_of(&packed.bytes), offset: 16, total }));
    let bytes = page_section(&header, &slice);
    let check = move |stored: &[u8]| {
        let bodies = opened(Kind::Page, context(), stored);
        assert_eq!(page::read_header(&bodies[0]), Ok((header.clone(), &slice[..])));
    };
    let comment = "Page in parts: the part from byte 16 to the end, section";
    Sample { name: "page_part", comment, bytes, is_encoding_fixed: true, check: Box::new(check) }
}

fn frame_part() -> FramePart {
    let [(_, mut unpacked), _] = packings();
    let whole = frames(&mut *unpacked);
    FramePart {
        journal: JOURNAL,
        first: Sequence(1),
        hash: hash_of(&whole),
        offset: 10,
        total: u32::try_from(whole.len()).unwrap(),
        bytes: whole[10..40].to_vec(),
    }
}

fn question() -> RequestHead {
    let RequestHead { site, journal, predecessor, generation, salt, .. } = request_head();
    RequestHead { predecessor, ..check::head(site, journal, generation, salt) }
}

fn question_hash() -> Hash {
    hash_of(&encode(&question()))
}

fn check_answer() -> CheckAnswer {
    let refusal = Refusal::new("site_stopped", "site 2 is stopped until an administrator of central chooses");
    CheckAnswer { stopped_ms: Some(1_700_000_000_000), ..CheckAnswer::refused(refusal) }
}

fn verify_question() -> Question {
    let mut digests = Digests::default();
    digests.add("unit", "U1", "{\"ID\":\"U1\",\"units\":\"box\"}");
    let at = request_head().cursors.first().unwrap().clone();
    Question { head: question(), ask: Ask::Compare { at, digests } }
}

fn news_question() -> news::Question {
    let RequestHead { token, control, .. } = request_head();
    let through = Cursor { began: Position(300), ..cursor() };
    news::Question { head: RequestHead { token, control, ..question() }, through, wait_s: 225 }
}

fn verify_rows() -> verify::Answer {
    verify::Answer::Rows(PackedRows {
        left_alone: vec![(TableRef::Known(3), "U2".to_owned())],
        through: Some(Position(9)),
        compression: Compression::None,
        dictionary: Dictionary::None,
        plain_bytes: 1,
        packed: vec![0],
    })
}

pub(super) fn all() -> Vec<Sample> {
    let mut refusal = Refusal::new("busy", "central is busy; come again later");
    refusal.retry_after_s = Some(30);
    let mut samples = vec![
        message("request_head", "Request head, section", Kind::RequestHead, Hash::NONE, request_head()),
        message("reply_head", "Reply head with each control row, section", Kind::ReplyHead, context(), reply_head()),
        message("frame_part", "Part of a frame, section", Kind::FramePart, Hash::NONE, frame_part()),
        later_request_head(),
        message(
            "request_head_further",
            "Request head to which a later program of the same version adds something, section",
            Kind::RequestHead,
            Hash::NONE,
            RequestHead { further: b"of a later program".to_vec(), ..request_head() },
        ),
        message(
            "reply_head_further",
            "Reply head to which a later program of the same version adds something, section",
            Kind::ReplyHead,
            context(),
            ReplyHead { further: b"of a later program".to_vec(), control: Vec::new(), ..reply_head() },
        ),
        message("refusal", "Refusal, section", Kind::Refusal, context(), refusal),
        message(
            "refusal_version",
            "Refusal of a version with a receipt, section",
            Kind::Refusal,
            context(),
            version_refusal(),
        ),
        message(
            "export_head",
            "Head of an export, section",
            Kind::ExportHead,
            Hash::NONE,
            ExportHead {
                version: 1,
                site: SITE,
                id: [0x1d; 16],
                epoch: Epoch(0x0123_4567_89ab_cdef),
                position: Position(300),
                rows: 1_000,
            },
        ),
        message(
            "check_head",
            "Question whether a device would be taken, section",
            Kind::CheckHead,
            Hash::NONE,
            question(),
        ),
        message(
            "check_answer",
            "Its answer, a stopped site, section",
            Kind::CheckAnswer,
            question_hash(),
            check_answer(),
        ),
        message(
            "check_answer_taken",
            "Its answer, taken, section",
            Kind::CheckAnswer,
            question_hash(),
            CheckAnswer::taken(),
        ),
        message(
            "verify_question",
            "Question what differs, section",
            Kind::VerifyQuestion,
            Hash::NONE,
            verify_question(),
        ),
        message(
            "verify_answer",
            "Its answer, section",
            Kind::VerifyAnswer,
            hash_of(&encode(&verify_question())),
            (VERSION, verify::Answer::Differing(vec![Differing { bucket: 0xa1, records: 300 }])),
        ),
        message(
            "verify_answer_rows",
            "Answer with records of buckets, section",
            Kind::VerifyAnswer,
            hash_of(&encode(&verify_question())),
            (VERSION, verify_rows()),
        ),
        message("news_question", "Question for news, section", Kind::NewsQuestion, Hash::NONE, news_question()),
        message(
            "news_answer",
            "Its answer, something waits, section",
            Kind::NewsAnswer,
            hash_of(&encode(&news_question())),
            (VERSION, news::Answer::Something),
        ),
        message(
            "news_answer_refused",
            "Its answer, refused, section",
            Kind::NewsAnswer,
            hash_of(&encode(&news_question())),
            (
                VERSION,
                news::Answer::Refused(Refusal::new("site_paused", "site 2 is paused by an administrator of central")),
            ),
        ),
        page_part(),
    ];
    samples.extend(controls().into_iter().map(of_control));
    samples.push(unknown_control());
    samples.push(Sample {
        name: "frame_refused",
        comment: "Frame, section: its entries were refused before central was set back",
        bytes: refused_frame(),
        is_encoding_fixed: true,
        check: Box::new(check_refused_frame),
    });
    for (is_packed, mut codec) in packings() {
        let (name, comment) = if is_packed {
            ("frames_zstd", "Two frames, sections: zstd after built-in dictionary 0, then after the frame before")
        } else {
            ("frames", "Two frames, sections: not packed")
        };
        let bytes = frames(&mut *codec);
        samples.push(Sample { name, comment, bytes, is_encoding_fixed: !is_packed, check: Box::new(check_frames) });
        let (name, comment) = if is_packed {
            ("page_zstd", "Page, section: zstd after built-in dictionary 0")
        } else {
            ("page", "Page, section: not packed")
        };
        samples.push(of_page(name, comment, !is_packed, &mut *codec));
    }
    samples
}
