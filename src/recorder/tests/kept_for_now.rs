//! What stays here only until the record of its store is read anew, and whose store may not be written any more by then.

use protocol::control::GrantsTold;

use super::*;

/// The site's grant, or its end.
fn grant(number: u32, is_held: bool) -> Control {
    let (ownership, proof) = (OwnershipNumber(number), protocol::ids::GrantProof([0; 16]));
    Control::Grant(Grant { store: STORE.to_owned(), ownership, is_held, proof, number_gaps: 0 })
}

/// All that all sites receive.
fn page(position: u64, rows: Vec<protocol::page::PageRow>) -> Page {
    let cursor = protocol::message::Cursor { epoch: Epoch(1), number: Position(position), began: Position(0) };
    Page { scope: domain::scope::Scope::AllSites.to_id(), cursor, rows, is_drained: true }
}

fn hear(recorder: &Recorder<FakeStorage>, rows: &[(u64, Control)]) {
    recorder.store_told(|local, journal| local.store_reply(journal, &reply(0, rows))).unwrap();
}

/// One that reads everything anew, and has recorded a transaction in a store whose record has not come.
fn recorder_that_keeps_one_for_now(told: &[(u64, Control)]) -> Recorder<FakeStorage> {
    let recorder = recorder();
    recorder.core().local.store_page(&page(9, vec![image("unit", "U", 1, "{}")])).unwrap();
    recorder.core().local.begin_other_time_line().unwrap();
    hear(&recorder, told);
    recorder.record(group(vec![put("transact", "T", r#"{"store_ID":"S1","name_ID":"ward"}"#)])).unwrap();
    assert_eq!(recorder.core().local.withheld_count().unwrap(), 1, "what it says of its data is not known");
    recorder
}

/// The record of the store comes, which keeps nothing, and with it everything is read.
fn read_all(recorder: &Recorder<FakeStorage>) {
    recorder
        .core()
        .local
        .store_page(&page(12, vec![image("unit", "U", 1, "{}"), image("store", STORE, 12, "{}")]))
        .unwrap();
    while recorder.sweep_step().unwrap() {}
    assert!(!recorder.core().local.is_rebuilding().unwrap());
}

/// What is in the journal that central receives: each record's id and the number that it was written under.
fn journaled(recorder: &Recorder<FakeStorage>) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let mut core = recorder.core();
    core.shared
        .read(Sequence::ZERO, &mut |stored| {
            let entry = Entry::decode(&stored.entry).unwrap();
            found.push((entry.record.to_string(), entry.ownership.0));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    found
}

/// Found by the simulator (seed 60000066): a store was taken away while everything was read anew, and what had been recorded there before
/// lay on the device for ever.
#[test]
fn what_was_kept_for_now_goes_also_while_its_store_is_taken_away() {
    let recorder = recorder_that_keeps_one_for_now(&[]);
    hear(&recorder, &[(2, grant(1, false))]);
    read_all(&recorder);

    assert_eq!(look_at_withheld(&recorder), 1);

    assert_eq!(journaled(&recorder), [("T".to_owned(), 1)], "under the number of before");
    assert_eq!(recorder.core().local.withheld_count().unwrap(), 0);
    let more = recorder.record(group(vec![stock("L", STORE)]));
    assert!(matches!(more, Err(RecordError::Refused(_))), "nothing new is recorded there: {more:?}");
}

#[test]
fn what_was_kept_for_now_of_a_store_that_central_had_forgotten_goes_once_that_is_given_again() {
    let recorder = recorder_that_keeps_one_for_now(&[(2, Control::GrantsTold(GrantsTold { grants: 0 }))]);
    hear(&recorder, &[(3, grant(1, false))]);
    read_all(&recorder);
    assert_eq!(look_at_withheld(&recorder), 0, "central would refuse it");
    assert_eq!(recorder.core().local.withheld_count().unwrap(), 1);

    hear(&recorder, &[(4, grant(2, true))]);

    assert_eq!(look_at_withheld(&recorder), 1);
    assert_eq!(journaled(&recorder), [("T".to_owned(), 2)]);
}
