//! The recorder on a fake disk and a local copy in memory.

use std::collections::BTreeSet;

use protocol::control::{Control, ControlRow, Grant};
use protocol::ids::{ControlNumber, Epoch, Hash, JournalId, OwnershipNumber, Position, RecordId, Token};
use protocol::message::ReplyHead;

use super::*;
use crate::journal::Identity;
use crate::journal::fake_storage::FakeStorage;

mod kept_for_now;
mod numbers;
mod owed;
mod pairing;
mod transfers;
mod transfers_again;

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
    let grant = Grant {
        store: STORE.to_owned(),
        ownership: OwnershipNumber(1),
        is_held: true,
        proof: protocol::ids::GrantProof([0; 16]),
        number_gaps: 0,
    };
    local.store_reply(shared.identity().journal, &reply(0, &[(1, Control::Grant(grant))])).unwrap();
    Recorder::new(site, catalogue, Core { shared, private, local }).unwrap()
}

/// Central has received and judged so many entries, and tells these rows.
fn reply(judged: u64, rows: &[(u64, Control)]) -> ReplyHead {
    let row = |(number, control): &(u64, Control)| {
        let (code, content) = control.to_parts();
        ControlRow { number: ControlNumber(*number), code, content }
    };
    ReplyHead {
        version: 1,
        token: Token::NONE,
        received: Sequence(judged),
        received_hash: Hash::NONE,
        judged: Sequence(judged),
        backed_up: Sequence::ZERO,
        epoch: Epoch(1),
        position: Position::ZERO,
        admitted_bytes: 0,
        frame_part: None,
        control: rows.iter().map(row).collect(),
        has_more_control: false,
        rows_waiting: None,
        has_pages: false,
        further: Vec::new(),
    }
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

/// The recorder and the disk of its shared journal.
fn recorder_with_disk() -> (Recorder<FakeStorage>, FakeStorage) {
    let recorder = recorder();
    let mut core = recorder.core();
    let disk = FakeStorage::new();
    let identity = *core.shared.identity();
    core.shared = Journal::create(disk.clone(), identity).unwrap();
    drop(core);
    (recorder, disk)
}

#[test]
fn recording_goes_on_after_any_error_of_the_journal_without_a_restart() {
    for call in 1..12 {
        let (recorder, disk) = recorder_with_disk();
        recorder.record(group(vec![stock("before", STORE)])).unwrap();
        disk.fail_at(call);
        let mut acknowledged = vec!["before".to_owned()];
        let mut errors = 0;
        for number in 0..6 {
            let id = format!("edit-{number}");
            match recorder.record(group(vec![stock(&id, STORE)])) {
                Ok(_) => acknowledged.push(id),
                Err(RecordError::Device(error)) => {
                    assert_eq!(error.code, "journal_storage", "call {call}");
                    errors += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }

        assert_eq!(errors, 1, "call {call}: one error, and the next edit is recorded");
        let mut core = recorder.core();
        let mut journaled = Vec::new();
        core.shared
            .read(Sequence::ZERO, &mut |stored| {
                journaled.push(Entry::decode(&stored.entry).unwrap().record.to_string());
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(journaled, acknowledged, "call {call}: what was refused is not there either");
        assert_eq!(core.local.applied(Kind::Shared).unwrap(), core.shared.durable().sequence);
    }
}

#[test]
fn a_disk_that_was_full_is_used_again_when_there_is_room() {
    let (recorder, disk) = recorder_with_disk();
    recorder.core().shared.set_limits(crate::journal::JournalLimits { disk_reserve_bytes: 0, ..Default::default() });
    recorder.record(group(vec![stock("A", STORE)])).unwrap();
    let code = |answer: Result<Recorded, RecordError>| match answer {
        Ok(_) => "recorded".to_owned(),
        Err(RecordError::Device(error)) => error.code,
        Err(other) => panic!("{other}"),
    };
    disk.set_free_bytes(600);
    let mut codes = Vec::new();
    for number in 0..12 {
        codes.push(code(recorder.record(group(vec![stock(&format!("full-{number}"), STORE)]))));
    }
    assert!(codes.contains(&"disk_full".to_owned()), "{codes:?}");

    disk.set_free_bytes(1 << 30);

    assert_eq!(code(recorder.record(group(vec![stock("B", STORE)]))), "recorded");
}

#[test]
fn the_private_part_of_a_group_goes_when_its_shared_part_was_not_recorded() {
    let (recorder, disk) = recorder_with_disk();
    let local = |id: &str| put("pref", id, r#"{"item":"window","data":"x"}"#);
    recorder.record(group(vec![local("P1"), stock("A", STORE)])).unwrap();
    disk.fail_at(1);
    assert!(recorder.record(group(vec![local("P2"), stock("B", STORE)])).is_err());

    let core = recorder.core();

    assert_eq!((core.private.durable().sequence, core.shared.durable().sequence), (Sequence(1), Sequence(1)));
}

/// The private part is written first; a refusal of the shared part comes behind it.
#[test]
fn a_mixed_group_that_the_full_journal_refuses_leaves_nothing_behind() {
    let recorder = recorder();
    let local = |id: &str, data: &str| put("pref", id, &format!(r#"{{"item":"window","data":"{data}"}}"#));
    recorder.record(group(vec![local("P1", "x"), stock("A", STORE)])).unwrap();
    let limits = crate::journal::JournalLimits { journal_bytes_max: 10, ..Default::default() };
    recorder.core().shared.set_limits(limits);

    let refused = recorder.record(group(vec![local("P1", "y"), stock("B", STORE)]));

    assert!(matches!(refused, Err(RecordError::Device(error)) if error.code == "journal_full"));
    recorder.core().shared.set_limits(crate::journal::JournalLimits::default());
    recorder.record(group(vec![stock("C", STORE)])).unwrap();
    let mut core = recorder.core();
    assert_eq!((core.private.durable().sequence, core.shared.durable().sequence), (Sequence(1), Sequence(2)));
    let table = Catalogue::embedded();
    let pref = core.local.get(table.table_by_name("pref").unwrap(), &RecordId::new("P1").unwrap()).unwrap();
    assert!(pref.unwrap().data.contains(r#""data":"x""#));
}

/// A shared journal that was replaced counts from 1, and every older private group names a sequence far above it.
#[test]
fn private_entries_of_groups_from_before_a_replaced_journal_stay() {
    let recorder = recorder();
    let local = |id: &str| put("pref", id, r#"{"item":"window","data":"x"}"#);
    for number in 0..5 {
        let edits = vec![local(&format!("P{number}")), stock(&format!("A{number}"), STORE)];
        recorder.record(group(edits)).unwrap();
    }
    let mut core = recorder.core();
    let core = &mut *core;
    let predecessor = protocol::chain::Predecessor {
        journal: core.shared.identity().journal,
        sequence: Sequence(5),
        hash: Hash::NONE,
        promised: Sequence(5),
    };
    let identity = Identity { site: SiteId(2), journal: JournalId([9; 16]), predecessor: Some(predecessor) };
    let replaced = Journal::create(FakeStorage::new(), identity).unwrap();

    let cut = cut_incomplete_group(&mut core.private, &replaced, Sequence::ZERO).unwrap();

    assert_eq!((cut, core.private.durable().sequence), (None, Sequence(5)));
}

fn image(table: &str, id: &str, position: u64, data: &str) -> protocol::page::PageRow {
    let catalogue = Catalogue::embedded();
    let (table, record) = (catalogue.table_by_name(table).unwrap(), RecordId::new(id).unwrap());
    let row = domain::json::row_from_json(table, &record, data).unwrap();
    let (reference, position) = (table.reference().clone(), Position(position));
    protocol::page::PageRow { position, table: reference, record, row: Some(row) }
}

/// The store, a dispensary that keeps its transactions, and the name of another one.
fn keeps_transactions() -> Page {
    let keeps = r#"{"store_mode":"dispensary","outpost_withholds_transactions":true}"#;
    Page {
        scope: domain::scope::Scope::AllSites.to_id(),
        cursor: protocol::message::Cursor { epoch: Epoch(1), number: Position(9), began: Position(0) },
        rows: vec![image("name", "NS", 1, r#"{"type":"store"}"#), image("store", STORE, 2, keeps)],
        is_drained: true,
    }
}

/// One that has heard of both.
fn recorder_that_keeps_transactions() -> Recorder<FakeStorage> {
    let recorder = recorder();
    recorder.core().local.store_page(&keeps_transactions()).unwrap();
    assert_eq!(look_at_withheld(&recorder), 0);
    recorder
}

/// The store includes its transactions again.
fn includes_transactions(position: u64) -> Page {
    let rows = vec![image("store", STORE, position, r#"{"store_mode":"dispensary"}"#)];
    let cursor = protocol::message::Cursor { epoch: Epoch(1), number: Position(position), began: Position(0) };
    Page { rows, cursor, ..keeps_transactions() }
}

fn look_at_withheld(recorder: &Recorder<FakeStorage>) -> usize {
    std::iter::from_fn(|| recorder.send_withheld_step().unwrap()).sum()
}

#[test]
fn lines_go_with_their_header_also_when_the_power_goes_behind_its_edit() {
    let before = recorder_that_keeps_transactions();
    let line = put("trans_line", "L", r#"{"transaction_ID":"T","quantity":1}"#);
    before.record(group(vec![put("transact", "T", r#"{"store_ID":"S1","name_ID":"ward"}"#), line])).unwrap();
    assert_eq!(before.core().shared.durable().sequence, Sequence::ZERO);
    let to_store = Edit { op: domain::edit::EditOp::Patch, ..put("transact", "T", r#"{"name_ID":"NS"}"#) };
    before.record(group(vec![to_store])).unwrap();

    // The journals have everything, and the local copy only what was made durable before.
    let Core { shared, private, .. } = before.core.into_inner().unwrap();
    let other = recorder_that_keeps_transactions();
    let (site, catalogue) = (other.site, Arc::clone(&other.catalogue));
    let Core { local, .. } = other.core.into_inner().unwrap();
    let after = Recorder::new(site, catalogue, Core { shared, private, local }).unwrap();

    assert_eq!(look_at_withheld(&after), 1);
    assert_eq!(after.core().local.withheld_count().unwrap(), 0);
    assert_eq!(after.core().shared.durable().sequence, Sequence(2));
}

/// Found by the simulator (seed 13100849): of the group that sends a header the shared part alone outlasted the power.
#[test]
fn lines_go_with_their_header_also_when_the_power_takes_what_says_that_it_left() {
    let record = |recorder: &Recorder<FakeStorage>| {
        let line = put("trans_line", "L", r#"{"transaction_ID":"T","quantity":1}"#);
        recorder.record(group(vec![put("transact", "T", r#"{"store_ID":"S1","name_ID":"ward"}"#), line])).unwrap();
    };
    let (before, other) = (recorder_that_keeps_transactions(), recorder_that_keeps_transactions());
    record(&before);
    record(&other);
    let to_store = Edit { op: domain::edit::EditOp::Patch, ..put("transact", "T", r#"{"name_ID":"NS"}"#) };
    before.record(group(vec![to_store])).unwrap();

    let Core { shared, .. } = before.core.into_inner().unwrap();
    let (site, catalogue) = (other.site, Arc::clone(&other.catalogue));
    let Core { local, private, .. } = other.core.into_inner().unwrap();
    assert_eq!((shared.durable().sequence, private.durable().sequence), (Sequence(1), Sequence(2)));
    let after = Recorder::new(site, catalogue, Core { shared, private, local }).unwrap();

    assert_eq!(look_at_withheld(&after), 1);
    assert_eq!(after.core().local.withheld_count().unwrap(), 0);
}

#[test]
fn what_goes_leaves_room_in_the_journal_for_edits_and_goes_on_when_there_is_more() {
    let recorder = recorder_that_keeps_transactions();
    let kept: Vec<Edit> = (0..150).map(|number| stock(&format!("K{number:03}"), STORE)).collect();
    recorder.record(group(kept)).unwrap();
    let limits = |journal_bytes_max| crate::journal::JournalLimits { journal_bytes_max, ..Default::default() };
    recorder.core().local.store_page(&includes_transactions(12)).unwrap();

    // The journal of a few bytes is full already: nothing goes, and nothing fails.
    recorder.core().shared.set_limits(limits(10));
    assert_eq!(look_at_withheld(&recorder), 0);
    // One that has room for the first step alone.
    recorder.core().shared.set_limits(limits(4_000));
    let first = look_at_withheld(&recorder);
    assert!((1..150).contains(&first), "{first}");
    recorder.core().shared.set_limits(crate::journal::JournalLimits::default());

    assert_eq!(first + look_at_withheld(&recorder), 150);
    assert_eq!(recorder.core().local.withheld_count().unwrap(), 0);
    assert_eq!(recorder.core().shared.durable().sequence, Sequence(150));
}

#[test]
fn what_central_refuses_of_what_goes_stays_as_it_was() {
    let recorder = recorder_that_keeps_transactions();
    recorder.record(group(vec![put("transact", "T", r#"{"store_ID":"S1","name_ID":"ward"}"#)])).unwrap();
    recorder.record(group(vec![put("transact", "U", r#"{"store_ID":"S1","name_ID":"ward"}"#)])).unwrap();
    for id in ["T", "U"] {
        let to_store = Edit { op: domain::edit::EditOp::Patch, ..put("transact", id, r#"{"name_ID":"NS"}"#) };
        recorder.record(group(vec![to_store])).unwrap();
    }
    assert_eq!(recorder.core().local.withheld_count().unwrap(), 0);

    let mut core = recorder.core();
    let journal = core.shared.identity().journal;
    let refused = protocol::control::Refused {
        journal,
        sequence: Sequence(1),
        code: "not_store_holder".to_owned(),
        reason: "no".to_owned(),
        image: protocol::control::Image::NotHere,
    };
    core.local.store_reply(journal, &reply(2, &[(2, Control::Refused(refused))])).unwrap();

    let catalogue = Catalogue::embedded();
    let mut shown = |id: &str| {
        let view = core.local.get(catalogue.table_by_name("transact").unwrap(), &RecordId::new(id).unwrap()).unwrap();
        view.map(|view| (view.data.contains("ward"), view.state.as_str()))
    };
    assert_eq!(shown("T"), Some((true, "local")), "as before the edit, which is in set-aside");
    assert_eq!(shown("U"), Some((false, "central")));
    assert_eq!((core.local.withheld_count().unwrap(), core.local.set_aside_count().unwrap()), (1, 1));

    // It is not sent at every look, but once somebody has dealt with the refusal.
    let number = core.local.set_aside_list(0, 1).unwrap().items[0].number;
    drop(core);
    recorder.core().local.store_page(&includes_transactions(12)).unwrap();
    assert_eq!(look_at_withheld(&recorder), 0);
    recorder.core().local.set_aside_remove(&[number]).unwrap();
    recorder.core().local.store_page(&includes_transactions(13)).unwrap();
    assert_eq!(look_at_withheld(&recorder), 1);
}

/// A scope that was never read before is read anew as well: what a copied device kept of before the other one sent it gives way.
#[test]
fn what_stayed_on_a_device_that_recovers_gives_way_to_central_also_in_a_scope_that_was_never_read() {
    let recorder = recorder_that_keeps_transactions();
    recorder.record(group(vec![put("transact", "T", r#"{"store_ID":"S1","name_ID":"ward"}"#)])).unwrap();
    {
        let mut core = recorder.core();
        core.local.begin_after_set_back().unwrap();
        let journal = core.shared.identity().journal;
        core.local.store_reply(journal, &ReplyHead { has_pages: true, ..reply(0, &[]) }).unwrap();
    }

    let cursor = |number| protocol::message::Cursor { epoch: Epoch(1), number: Position(number), began: Position(20) };
    recorder.core().local.store_page(&Page { cursor: cursor(20), ..keeps_transactions() }).unwrap();
    while recorder.sweep_step().unwrap() {}
    let scope = domain::scope::Scope::Store(RecordId::new(STORE).unwrap()).to_id();
    let rows = vec![image("transact", "T", 15, r#"{"store_ID":"S1","name_ID":"NS"}"#)];
    recorder.core().local.store_page(&Page { scope, cursor: cursor(20), rows, is_drained: true }).unwrap();
    while recorder.sweep_step().unwrap() {}

    let mut core = recorder.core();
    let catalogue = Catalogue::embedded();
    let view = core.local.get(catalogue.table_by_name("transact").unwrap(), &RecordId::new("T").unwrap()).unwrap();
    let view = view.expect("it is here");
    assert_eq!((view.data.contains("NS"), view.state.as_str()), (true, "central"));
    assert!(!core.local.is_rebuilding().unwrap());
}

/// Found by the simulator (seed 12200335): a header was deleted before its lines, and made again to go.
#[test]
fn lines_that_are_left_of_a_deleted_header_go_with_one_that_is_made_again() {
    let recorder = recorder_that_keeps_transactions();
    let line = put("trans_line", "L", r#"{"transaction_ID":"T","quantity":1}"#);
    recorder.record(group(vec![put("transact", "T", r#"{"store_ID":"S1","name_ID":"ward"}"#), line])).unwrap();
    let delete = Edit { op: domain::edit::EditOp::Delete, data: None, ..put("transact", "T", "{}") };
    recorder.record(group(vec![delete])).unwrap();
    assert_eq!(look_at_withheld(&recorder), 0);

    recorder.record(group(vec![put("transact", "T", r#"{"store_ID":"S1","name_ID":"NS"}"#)])).unwrap();

    assert_eq!(look_at_withheld(&recorder), 1);
    assert_eq!(recorder.core().local.withheld_count().unwrap(), 0);
}

/// Two threads record without a break while central takes the store away. The next head says how far the journal went when the row was
/// durable; central gives the store to another site once it has everything up to there.
#[test]
fn nothing_is_recorded_in_a_store_that_was_taken_away_behind_what_the_next_head_says() {
    const BEFORE: u64 = 12;
    for _ in 0..8 {
        let recorder = recorder();
        let record_until_refused = |writer: u32| {
            let mut last = Sequence::ZERO;
            for number in 0_u32.. {
                match recorder.record(group(vec![stock(&format!("L{writer}-{number}"), STORE)])) {
                    Ok(done) => last = done.sequences.unwrap().1,
                    Err(RecordError::Refused(refusal)) => return (last, refusal.code),
                    Err(error) => panic!("{error}"),
                }
            }
            unreachable!("numbers end after the store was taken away")
        };
        let (said, ends) = std::thread::scope(|scope| {
            let writers = [1, 2].map(|writer| scope.spawn(move || record_until_refused(writer)));
            while recorder.core().shared.durable().sequence < Sequence(BEFORE) {
                std::thread::yield_now();
            }
            let taken = Grant {
                store: STORE.to_owned(),
                ownership: OwnershipNumber(1),
                is_held: false,
                proof: protocol::ids::GrantProof([0; 16]),
                number_gaps: 0,
            };
            let told = reply(0, &[(2, Control::Grant(taken))]);
            let (_, said) = recorder.store_told(|local, journal| local.store_reply(journal, &told)).unwrap();
            (said, writers.map(|writer| writer.join().unwrap()))
        });

        assert!(said >= Sequence(BEFORE));
        for (last, code) in &ends {
            assert!(*last <= said, "{last} was recorded behind {said}");
            assert_eq!(code, "not_store_holder");
        }
        // What the head of a session shows comes from the same lock: the row is in its cursor, and all that was recorded in its head.
        let mut core = recorder.core();
        assert_eq!(core.local.session_state().unwrap().control, ControlNumber(2));
        assert_eq!(core.shared.durable().sequence, said);
    }
}
