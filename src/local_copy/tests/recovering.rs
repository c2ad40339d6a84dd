//! After the device was set back: what only it has is set aside, and nothing that central said is taken for known.

use domain::edit::EditOp;
use protocol::control::{Control, Dropped, Image, Refused};
use protocol::ids::{ControlNumber, JournalId, Sequence};
use protocol::message::ReplyHead;

use super::super::{
    Kind, RECOVERED, RecordState, RecoveredEntry, is_recovered_request_id, recovered_name, recovered_request_id,
};
use super::site::*;

const AFTER: JournalId = JournalId([9; 16]);

fn recovered(site: &Site, sequence: u64) -> RecoveredEntry {
    let entry = site.journal[usize::try_from(sequence).unwrap() - 1].encode();
    RecoveredEntry { sequence: Sequence(sequence), entry, recorded_at_ms: 5 }
}

#[test]
fn recovered_entries_are_set_aside_once_beside_a_refusal_of_the_same_number() {
    on_both(|site| {
        site.put("P", r#"{"comment":"mine"}"#);
        site.patch("P", r#"{"comment":"more"}"#);
        let name = recovered_name(JOURNAL, AFTER);
        let entries = [recovered(site, 1), recovered(site, 2)];
        for _ in 0..2 {
            site.copy.set_aside_recovered(name, &entries).unwrap();
            site.reopen();
        }
        let refused = site.refused(2, Image::NotHere);
        site.reply(2, &[refused]);

        let list = site.copy.set_aside_list(0, 10).unwrap().items;
        let found: Vec<_> = list.iter().map(|about| (about.sequence.0, about.code.as_str())).collect();
        assert_eq!(found, [(1, RECOVERED), (2, RECOVERED), (2, "not_store_holder")]);
        assert_eq!(site.copy.set_aside_recovered_count(name).unwrap(), 2);
        let shown = site.copy.set_aside_show(list[1].number).unwrap().unwrap();
        let edit = shown.edit.unwrap();
        assert_eq!((edit.op, edit.data.as_deref()), (EditOp::Patch, Some(r#"{"ID":"P","comment":"more"}"#)));
        assert_eq!(site.copy.recovered_edit(&entries[1].entry).unwrap(), edit);
        assert_ne!(list[1].retry_request_id(), list[2].retry_request_id());
        // Another recovery of the same journal has places of its own.
        site.copy.set_aside_recovered(recovered_name(JOURNAL, JournalId([8; 16])), &entries).unwrap();
        assert_eq!(site.copy.set_aside_count().unwrap(), 5);
    });
}

#[test]
fn edits_of_an_export_are_set_aside_once_by_their_lines_and_come_back_as_they_were() {
    on_both(|site| {
        site.put("P", r#"{"comment":"mine"}"#);
        site.patch("P", r#"{"comment":"more"}"#);
        let name = recovered_name(JOURNAL, AFTER);
        let edits = [1, 2].map(|sequence| site.copy.recovered_edit(&recovered(site, sequence).entry).unwrap());
        for _ in 0..2 {
            assert!(site.copy.set_aside_exported(name, 7, &edits).unwrap());
            site.reopen();
        }
        let unknown = [edits[0].clone(), domain::edit::Edit { table: "nowhere".to_owned(), ..edits[0].clone() }];
        assert!(!site.copy.set_aside_exported(name, 20, &unknown).unwrap());

        let list = site.copy.set_aside_list(0, 10).unwrap().items;
        let found: Vec<_> = list.iter().map(|about| (about.sequence.0, about.code.as_str())).collect();
        assert_eq!(found, [(7, RECOVERED), (8, RECOVERED)]);
        for (about, edit) in list.iter().zip(edits) {
            assert_eq!(site.copy.set_aside_show(about.number).unwrap().unwrap().edit, Some(edit));
        }
    });
}

#[test]
fn verdicts_that_were_told_and_forgotten_are_read_off_the_images() {
    on_both(|site| {
        site.page(vec![image("refused", 1, r#"{"comment":"c1"}"#), image("gone", 2, r#"{"comment":"c1"}"#)]);
        site.patch("refused", r#"{"comment":"mine"}"#);
        site.put("waiting", r#"{"comment":"mine"}"#);
        site.put("only here", r#"{"comment":"mine"}"#);
        // Central has received two; one of them waits. The backup is of this moment, and what central said later is lost.
        let waits = Control::Waiting(site.place(2));
        let mut head = site.reply_head(0, &[waits]);
        head.received = Sequence(2);
        site.copy.store_reply(JOURNAL, &head).unwrap();
        assert_eq!(site.state("waiting"), Some(RecordState::Waiting));

        site.copy.use_journal(Kind::Shared, AFTER).unwrap();
        for _ in 0..2 {
            site.copy.begin_after_set_back().unwrap();
            site.reopen();
        }

        let state = site.copy.session_state().unwrap();
        assert_eq!((state.control, state.received, state.cursors.len()), (ControlNumber(0), Sequence(0), 0));
        assert_eq!((site.shown("only here"), site.shown("gone")), ("-".to_owned(), r#"{"comment":"c1"}"#.to_owned()));
        assert_eq!(site.state("waiting"), None);
        (site.journal_id, site.journal) = (AFTER, Vec::new());
        site.reply(0, &[]);
        let rows = vec![image("refused", 7, r#"{"comment":"c7"}"#)];
        let page = site.page_of(&store_scope(), rows, true);
        site.store_page(&page).unwrap();
        while site.copy.sweep_step().unwrap() {}
        assert_eq!(site.shown("refused"), r#"{"comment":"c7"}"#, "the refused edit is not shown as accepted");
        assert_eq!((site.shown("waiting"), site.shown("gone")), ("-".to_owned(), "-".to_owned()));
        assert_eq!((site.count("pending"), site.count("base")), (0, 0));
    });
}

/// The simulator's find: the first of two refused edits was taken for accepted, because central had told its verdict to the copy that
/// was lost.
#[test]
fn two_refused_edits_of_a_record_leave_nothing_in_a_copy_that_was_lost_between_their_verdicts() {
    on_both(|site| {
        site.put("P", r#"{"comment":"first"}"#);
        site.put("P", r#"{"comment":"second"}"#);
        site.copy.begin_after_loss().unwrap();

        let refused = site.refused(2, Image::NotHere);
        site.reply(2, &[refused]);

        assert_eq!(site.shown("P"), "-");
        assert_eq!((site.count("pending"), site.count("base"), site.count("membership")), (0, 0, 0));
    });
}

/// The simulator's find (seed 11100549): what waited when the copy was lost is not known to wait, and its refusal proved nothing.
#[test]
fn a_line_that_waited_when_the_copy_was_lost_may_be_refused_and_central_was_not_set_back() {
    on_both(|site| {
        site.put("A", "{}");
        site.put("B", "{}");
        site.copy.begin_after_loss().unwrap();
        let mut head = site.reply_head(1, &[]);
        head.has_pages = true;
        site.copy.store_reply(JOURNAL, &head).unwrap();
        site.reply(2, &[]);

        site.reply(2, &[site.refused(1, Image::NotHere)]);
        site.copy.begin_owed_time_line().unwrap();
        assert!(!site.copy.is_other_time_line().unwrap());
        assert_eq!(site.copy.set_aside_count().unwrap(), 1);

        site.reply(2, &[site.refused(2, Image::NotHere)]);
        site.copy.begin_owed_time_line().unwrap();
        assert!(site.copy.is_other_time_line().unwrap(), "its verdict was heard here");
    });
}

#[test]
fn of_a_group_that_central_has_received_in_part_nothing_counts_as_received() {
    on_both(|site| {
        site.put("A", "{}");
        for (id, is_group_end) in [("B", false), ("C", false), ("D", true)] {
            site.copy.begin_edits().unwrap();
            assert!(site.apply_in_group(id, is_group_end));
            site.commit();
        }
        for (received, groups) in [(0, 0), (1, 1), (2, 1), (3, 1), (4, 4)] {
            let mut head = site.reply_head(0, &[]);
            head.received = Sequence(received);
            site.copy.store_reply(JOURNAL, &head).unwrap();
            site.reopen();
            assert_eq!(site.copy.received_groups().unwrap(), Sequence(groups), "received {received}");
        }
    });
}

#[test]
fn a_group_that_another_journal_takes_whole_is_not_set_aside_by_its_beginning() {
    on_both(|site| {
        site.put("A", "{}");
        for (id, is_group_end) in [("B", false), ("C", true)] {
            site.copy.begin_edits().unwrap();
            assert!(site.apply_in_group(id, is_group_end));
            site.commit();
        }
        let mut head = site.reply_head(0, &[]);
        head.received = Sequence(2);
        site.copy.store_reply(JOURNAL, &head).unwrap();

        site.copy.use_journal(Kind::Shared, AFTER).unwrap();
        assert_eq!((site.shown("A"), site.shown("B"), site.shown("C")), ("{}".into(), "-".into(), "-".into()));
        let refused = |code: &str| {
            let (code, reason) = (code.to_owned(), "closed".to_owned());
            Control::Refused(Refused { journal: JOURNAL, sequence: Sequence(2), code, reason, image: Image::NotHere })
        };
        let head = site.reply_head(0, &[refused("group_incomplete")]);
        let stored = site.copy.store_reply(AFTER, &head).unwrap();

        assert_eq!((stored.refused, site.copy.set_aside_count().unwrap()), (0, 0));
    });
}

#[test]
fn an_entry_that_central_had_received_does_not_cover_what_another_device_made_of_the_record_since() {
    on_both(|site| {
        site.page(vec![image("P", 1, r#"{"comment":"c1"}"#)]);
        site.patch("P", r#"{"comment":"mine"}"#);
        let mut head = site.reply_head(0, &[]);
        head.received = Sequence(1);
        site.copy.store_reply(JOURNAL, &head).unwrap();
        site.copy.use_journal(Kind::Shared, AFTER).unwrap();
        site.copy.begin_after_set_back().unwrap();
        (site.journal_id, site.journal) = (AFTER, Vec::new());

        // Central had the old journal still to judge when it sent the pages.
        let head = ReplyHead { has_more_control: true, has_pages: true, ..site.reply_head(0, &[]) };
        site.copy.store_reply(AFTER, &head).unwrap();
        let page = site.page_of(&store_scope(), vec![image("P", 9, r#"{"comment":"the clone's"}"#)], true);
        site.store_page(&page).unwrap();
        site.reply(0, &[]);

        assert_eq!(site.shown("P"), r#"{"comment":"the clone's"}"#);
    });
}

#[test]
fn a_group_that_is_journaled_anew_has_one_request_id_until_somebody_changes_it() {
    let mut site = Site::in_memory();
    site.put("P", r#"{"comment":"mine"}"#);
    let edit = site.copy.recovered_edit(&recovered(&site, 1).entry).unwrap();
    let name = recovered_name(JOURNAL, AFTER);
    let changed = domain::edit::Edit { op: EditOp::Delete, data: None, ..edit.clone() };
    let id = |name, line, edits: &[_]| recovered_request_id(name, line, edits);
    let first = id(name, 1, std::slice::from_ref(&edit));

    assert_eq!(id(name, 1, std::slice::from_ref(&edit)), first);
    for other in [
        id(name, 3, std::slice::from_ref(&edit)),
        id(name, 1, &[changed]),
        id(name, 1, &[edit.clone(), edit.clone()]),
        id(recovered_name(AFTER, JOURNAL), 1, &[edit]),
    ] {
        assert_ne!(other, first);
    }
    assert!(is_recovered_request_id(name, first) && is_recovered_request_id(name, id(name, 3, &[])));
    assert!(!is_recovered_request_id(recovered_name(AFTER, JOURNAL), first));
}

/// The simulator's find (seed 70001342): the scope was let go of while an edit of the record was pending, whose verdict then left what had
/// been under it.
#[test]
fn a_record_whose_scope_went_while_its_edit_was_pending_goes_with_the_verdict_in_a_copy_that_was_set_back() {
    on_both(|site| {
        site.page(vec![image("P", 1, r#"{"comment":"c1"}"#)]);
        site.copy.use_journal(Kind::Shared, AFTER).unwrap();
        site.copy.begin_after_set_back().unwrap();
        (site.journal_id, site.journal) = (AFTER, Vec::new());
        site.delete("P");
        let dropped = Control::Dropped(Dropped { scope: store_scope() });
        for (judged, control) in [(0, vec![dropped]), (1, vec![])] {
            // Pages come once central has nothing more to tell.
            let head = ReplyHead { has_pages: false, ..site.reply_head(judged, &control) };
            site.copy.store_reply(AFTER, &head).unwrap();
            while site.copy.sweep_step().unwrap() {}
        }

        assert_eq!((site.shown("P"), site.count("record"), site.count("base")), ("-".to_owned(), 0, 0));
    });
}
