//! Answers that are given again: what they were about was refused, lost, or made anew.

use domain::scope::Scope;
use domain::transfers::kinds::Kind as Of;
use protocol::control::{Image, Refused};

use super::transfers::{
    answer, column, half_of, incoming, journaled, number_record, owed, partners, receive_in, site, store_scope,
};
use super::*;

#[test]
fn a_link_that_was_refused_is_written_again_when_the_half_comes_and_not_for_ever() {
    let recorder = site(1);
    let half = half_of(Of::Requisition, "Q", "S9");
    let response = |number| {
        let said = r#""store_ID":"S9","name_ID":"N1","type":"response","status":"sg","linked_requisition_id":"Q""#;
        put("requisition", &half, &format!(r#"{{{said},"serial_number":{number}}}"#))
    };
    let request = r#"{"store_ID":"S1","name_ID":"N9","type":"request","status":"fn","serial_number":2}"#;
    receive_in(&recorder, &store_scope("S1"), 20, &[put("requisition", "Q", request)]);
    receive_in(&recorder, &partners("S1"), 30, &[response(5)]);
    assert_eq!((answer(&recorder), journaled(&recorder)), (1, 1));

    for (refused, row) in (1..=4).zip(10..) {
        refuse(&recorder, row, refused);
        assert_eq!(column(&recorder, "requisition", "Q", "linked_requisition_id"), "null");
        receive_in(&recorder, &partners("S1"), 30 + 10 * refused, &[response(5 + refused)]);

        answer(&recorder);

        let is_last = refused == 4;
        let linked = if is_last { "null" } else { half.as_str() };
        assert_eq!(column(&recorder, "requisition", "Q", "linked_requisition_id"), linked, "refused {refused} times");
        assert_eq!((journaled(&recorder), owed(&recorder)), (if is_last { 4 } else { refused + 1 }, 0));
    }
}

/// The simulator's find (seed 98300551): the link was in the journal of a device that had been copied, and that central had never received.
#[test]
fn a_link_that_was_lost_with_a_journal_that_was_given_up_is_written_again_when_the_half_comes_again() {
    let recorder = site(1);
    let half = half_of(Of::Requisition, "Q", "S9");
    let said = r#""store_ID":"S9","name_ID":"N1","type":"response","status":"sg","linked_requisition_id":"Q","serial_number":5"#;
    let response = put("requisition", &half, &format!("{{{said}}}"));
    let request = r#"{"store_ID":"S1","name_ID":"N9","type":"request","status":"fn","serial_number":2}"#;
    receive_in(&recorder, &store_scope("S1"), 20, &[put("requisition", "Q", request)]);
    receive_in(&recorder, &partners("S1"), 30, std::slice::from_ref(&response));
    assert_eq!(answer(&recorder), 1);
    {
        let mut core = recorder.core();
        let identity = Identity { site: SiteId(2), journal: JournalId([9; 16]), predecessor: None };
        core.shared = Journal::create(FakeStorage::new(), identity).unwrap();
        core.local.use_journal(Kind::Shared, JournalId([9; 16])).unwrap();
    }
    assert_eq!(column(&recorder, "requisition", "Q", "linked_requisition_id"), "null");

    receive_in(&recorder, &partners("S1"), 40, &[response]);

    assert_eq!((answer(&recorder), journaled(&recorder)), (1, 1));
    assert_eq!(column(&recorder, "requisition", "Q", "linked_requisition_id"), half);
    assert_eq!((answer(&recorder), owed(&recorder)), (0, 0));
}

#[test]
fn a_central_that_was_set_back_gets_the_number_again_and_no_other() {
    let (recorder, half) = numbered_and_judged();
    recorder.core().local.begin_other_time_line().unwrap();

    receive_in(&recorder, &store_scope("S1"), 10, &[incoming(&half)]);
    receive_in(&recorder, &Scope::AllSites, 1, &[put("item", "I", r#"{"item_name":"Amoxicillin"}"#)]);
    answer(&recorder);

    assert_eq!(column(&recorder, "transact", &half, "invoice_num"), "1");
    assert_eq!(column(&recorder, "number", number_record(&recorder).as_str(), "value"), "1");
    assert_eq!(answer(&recorder), 0);
}

/// The simulator's find (seed 96000340): central, which was set back, had made the half anew while this site read everything anew and had
/// none to hand back; the half stayed without a number, because the request id of the first one was known.
#[test]
fn a_half_that_was_numbered_and_comes_anew_without_a_number_gets_one_again() {
    let (recorder, half) = numbered_and_judged();

    receive_in(&recorder, &store_scope("S1"), 30, &[incoming(&half)]);
    assert_eq!(answer(&recorder), 1);

    assert_eq!(column(&recorder, "transact", &half, "invoice_num"), "2");
    assert_eq!((journaled(&recorder), owed(&recorder)), (5, 0), "the log entry says already that it came");
}

/// A site that gave a half its number, which central has judged.
fn numbered_and_judged() -> (Recorder<FakeStorage>, String) {
    let recorder = site(1);
    let half = half_of(Of::Stock, "CI", "S1");
    receive_in(&recorder, &store_scope("S1"), 20, &[incoming(&half)]);
    assert_eq!(answer(&recorder), 1);
    {
        let mut core = recorder.core();
        let journal = core.shared.identity().journal;
        core.local.store_reply(journal, &reply(3, &[])).unwrap();
    }
    (recorder, half)
}

/// Central refuses an entry, and has nothing of what it is about.
fn refuse(recorder: &Recorder<FakeStorage>, row: u64, sequence: u64) {
    let mut core = recorder.core();
    let journal = core.shared.identity().journal;
    let refused = Control::Refused(Refused {
        journal,
        sequence: Sequence(sequence),
        code: "not_here".to_owned(),
        reason: "no".to_owned(),
        image: Image::NotHere,
    });
    core.local.store_reply(journal, &reply(sequence, &[(row, refused)])).unwrap();
}
