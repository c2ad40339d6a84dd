//! The recorder on a fake disk and a local copy in memory.

use std::collections::BTreeSet;

use protocol::control::{Control, ControlRow, Grant};
use protocol::ids::{ControlNumber, Epoch, Hash, JournalId, Position, RecordId, Token};
use protocol::message::ReplyHead;

use super::*;
use crate::journal::Identity;
use crate::journal::fake_storage::FakeStorage;

const STORE: &str = "S1";

fn recorder() -> Recorder<FakeStorage> {
    let catalogue = Arc::new(Catalogue::embedded());
    let site = SiteId(2);
    let journal = |id: u8| {
        let identity = Identity { site, journal: JournalId([id; 16]), predecessor: None };
        Journal::create(FakeStorage::new(), identity).unwrap()
    };
    let (shared, private) = (journal(1), journal(2));
    let mut local = LocalCopy::in_memory(site, Arc::clone(&catalogue)).unwrap();
    local.use_journal(Kind::Shared, shared.identity().journal).unwrap();
    local.use_journal(Kind::Private, private.identity().journal).unwrap();
    let grant = Grant { store: STORE.to_owned(), ownership: OwnershipNumber(1), is_held: true };
    let (code, content) = Control::Grant(grant).to_parts();
    let reply = ReplyHead {
        version: 0,
        token: Token::NONE,
        received: Sequence::ZERO,
        received_hash: Hash::NONE,
        judged: Sequence::ZERO,
        backed_up: Sequence::ZERO,
        epoch: Epoch(1),
        position: Position::ZERO,
        admitted_bytes: 0,
        frame_part: None,
        control: vec![ControlRow { number: ControlNumber(1), code, content }],
        has_more_control: false,
        rows_waiting: None,
        has_pages: false,
    };
    local.store_reply(shared.identity().journal, &reply).unwrap();
    Recorder::new(site, catalogue, Core { shared, private, local }).unwrap()
}

fn put(table: &str, id: &str, data: &str) -> Edit {
    Edit {
        table: table.to_owned(),
        op: domain::edit::EditOp::Put,
        id: RecordId::new(id).unwrap(),
        data: Some(data.to_owned()),
    }
}

fn stock(id: &str, store: &str) -> Edit {
    put("item_line", id, &format!(r#"{{"store_ID":"{store}","quantity":1}}"#))
}

fn group(edits: Vec<Edit>) -> Group {
    Group { edits, request_id: None, recorded_at_ms: 0 }
}

#[test]
fn groups_of_many_threads_each_get_sequences_of_their_own_and_are_all_there() {
    let recorder = recorder();
    let sequences = Mutex::new(BTreeSet::new());

    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (recorder, sequences) = (&recorder, &sequences);
            scope.spawn(move || {
                for number in 0..25 {
                    let edits = vec![
                        stock(&format!("{thread}-{number}-a"), STORE),
                        stock(&format!("{thread}-{number}-b"), STORE),
                    ];
                    let (first, last) = recorder.record(group(edits)).unwrap().sequences.unwrap();
                    assert_eq!(last, first.next(), "a group's sequences follow each other");
                    assert!(recorder.core().shared.durable().sequence >= last, "acknowledged before it was durable");
                    sequences.lock().unwrap().insert(first);
                }
            });
        }
    });

    assert_eq!(sequences.lock().unwrap().len(), 200);
    let core = recorder.core();
    assert_eq!(core.shared.durable().sequence, Sequence(400));
    assert_eq!(core.local.applied(Kind::Shared).unwrap(), Sequence(400));
}

#[test]
fn a_refused_group_leaves_nothing_behind_and_its_neighbours_are_recorded() {
    let recorder = recorder();

    let answers = recorder.record_all(vec![
        group(vec![stock("A", STORE)]),
        group(vec![stock("B", STORE), stock("C", "elsewhere")]),
        group(vec![stock("D", STORE)]),
    ]);

    let codes: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            Ok(done) => done.edits.to_string(),
            Err(RecordError::Refused(refusal)) => format!("{} {}", refusal.index, refusal.code),
            Err(other) => panic!("{other}"),
        })
        .collect();
    assert_eq!(codes, ["1", "1 not_store_holder", "1"]);
    assert_eq!(recorder.core().shared.durable().sequence, Sequence(2));
}

#[test]
fn the_private_part_of_a_mixed_group_names_the_shared_sequence_that_completes_it() {
    let recorder = recorder();
    let local = put("pref", "P", r#"{"item":"window","data":"x"}"#);

    let answer = recorder.record(group(vec![local, stock("A", STORE)])).unwrap();

    assert_eq!((answer.edits, answer.sequences), (2, Some((Sequence(1), Sequence(1)))));
    let mut completes = None;
    let mut core = recorder.core();
    core.private
        .read(Sequence::ZERO, &mut |stored| {
            completes = stored.note.completes;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(completes, Some(Sequence(1)));
}

#[test]
fn a_repeated_request_records_nothing_twice() {
    let recorder = recorder();
    let once = Group { edits: vec![stock("A", STORE)], request_id: Some(RequestId([7; 16])), recorded_at_ms: 0 };

    let first = recorder.record(once.clone()).unwrap();
    let second = recorder.record(once).unwrap();

    assert!(!first.was_recorded && second.was_recorded);
    assert_eq!(first.sequences, second.sequences);
    assert_eq!(recorder.core().shared.durable().sequence, Sequence(1));
}
