//! Rules 5.2, 5.3 and 5.15: pages never hide what is newer here, refusals are reverted, images replace whole.

use domain::judge::View;
use domain::scope::Scope;
use protocol::control::{Control, ControlRow, Grant, Image};
use protocol::ids::{ControlNumber, JournalId, OwnershipNumber, Sequence};

use super::super::limits::{CONTROL_UNKNOWN_MAX, REFUSALS_KEPT_MAX};
use super::super::{Kind, LocalCopyError, RecordState};
use super::site::*;

#[test]
fn a_page_never_hides_a_pending_put_patch_or_delete() {
    on_both(|site| {
        site.page(vec![
            image("P", 1, r#"{"comment":"c1"}"#),
            image("Q", 2, r#"{"comment":"c1"}"#),
            image("R", 3, "{}"),
        ]);
        site.put("P", r#"{"comment":"mine"}"#);
        site.patch("Q", r#"{"comment":"mine"}"#);
        site.delete("R");

        site.page(vec![
            image("P", 11, r#"{"comment":"c2"}"#),
            image("Q", 12, r#"{"comment":"c2","their_ref":"new"}"#),
            image("R", 13, r#"{"comment":"c2"}"#),
        ]);

        assert_eq!(site.shown("P"), r#"{"comment":"mine"}"#);
        assert_eq!(site.shown("Q"), r#"{"comment":"mine","their_ref":"new"}"#);
        assert_eq!(site.shown("R"), "-");
        assert_eq!(site.state("Q"), Some(RecordState::Pending));

        site.reply(3, &[]);

        assert_eq!(site.shown("Q"), r#"{"comment":"mine","their_ref":"new"}"#);
        assert_eq!(site.state("Q"), Some(RecordState::Central));
        assert_eq!((site.count("base"), site.count("pending"), site.shown("R")), (0, 0, "-".to_owned()));
    });
}

#[test]
fn a_refused_edit_goes_to_set_aside_and_centrals_image_takes_its_place() {
    on_both(|site| {
        site.page(vec![image("P", 1, r#"{"comment":"c1"}"#)]);
        site.patch("P", r#"{"comment":"mine"}"#);
        let refused = site.refused(1, here("P", 5, r#"{"comment":"c5"}"#));

        let stored = site.reply(1, &[refused]);

        assert_eq!((stored.refused, site.shown("P")), (1, r#"{"comment":"c5"}"#.to_owned()));
        assert_eq!(site.state("P"), Some(RecordState::Central));
        assert_eq!((site.count("base"), site.count("pending")), (0, 0));
        let list = site.copy.set_aside_list(0, 10).unwrap();
        assert_eq!((list.items.len(), list.has_more), (1, false));
        assert_eq!(list.items[0].code, "not_store_holder");
        assert_eq!((list.items[0].sequence, list.items[0].recorded_at_ms), (Sequence(1), 1001));
        let entry = site.copy.set_aside_show(list.items[0].number).unwrap().unwrap();
        assert_eq!(entry.edit.unwrap().data.unwrap(), r#"{"ID":"P","comment":"mine"}"#);
    });
}

#[test]
fn a_refused_new_record_goes_when_central_does_not_have_it() {
    on_both(|site| {
        site.put("P", r#"{"comment":"mine"}"#);
        let refused = site.refused(1, Image::NotHere);

        site.reply(1, &[refused]);

        assert_eq!((site.shown("P"), site.count("base"), site.count("membership")), ("-".to_owned(), 0, 0));
    });
}

#[test]
fn a_refusal_in_the_middle_leaves_the_edits_before_and_after_it() {
    on_both(|site| {
        site.put("P", r#"{"comment":"one"}"#);
        site.patch("P", r#"{"their_ref":"two"}"#);
        site.patch("P", r#"{"hold":true}"#);
        // Central's image shows the first edit and not the third.
        let refused = site.refused(2, here("P", 9, r#"{"comment":"one"}"#));

        site.reply(2, &[refused]);

        assert_eq!(site.shown("P"), r#"{"hold":true,"comment":"one"}"#);
        assert_eq!(site.state("P"), Some(RecordState::Pending));
        site.reply(3, &[]);
        assert_eq!(site.shown("P"), r#"{"hold":true,"comment":"one"}"#);
        assert_eq!(site.state("P"), Some(RecordState::Central));
    });
}

#[test]
fn an_image_that_came_with_a_refusal_is_not_overwritten_by_older_accepted_edits() {
    on_both(|site| {
        site.put("P", r#"{"comment":"one"}"#);
        site.patch("P", r#"{"their_ref":"two"}"#);
        // Between the two central changed the column that the first one wrote.
        let refused = site.refused(2, here("P", 9, r#"{"comment":"central"}"#));

        site.reply(2, &[refused]);

        assert_eq!(site.shown("P"), r#"{"comment":"central"}"#);
    });
}

#[test]
fn a_refused_group_goes_whole() {
    on_both(|site| {
        site.put("P", r#"{"comment":"one"}"#);
        site.patch("P", r#"{"their_ref":"two"}"#);
        let rows = [site.refused(1, Image::NotHere), site.refused(2, Image::NotHere)];

        site.reply(2, &rows);

        assert_eq!((site.shown("P"), site.copy.set_aside_count().unwrap()), ("-".to_owned(), 2));
        assert_eq!(site.count("base"), 0);
    });
}

#[test]
fn an_image_with_a_lower_position_is_ignored() {
    on_both(|site| {
        site.page(vec![image("P", 9, r#"{"comment":"c9"}"#)]);
        site.page(vec![image("P", 8, r#"{"comment":"c8"}"#)]);
        assert_eq!(site.shown("P"), r#"{"comment":"c9"}"#);

        site.patch("P", r#"{"hold":true}"#);
        site.page(vec![image("P", 8, r#"{"comment":"c8"}"#)]);
        assert_eq!(site.shown("P"), r#"{"hold":true,"comment":"c9"}"#);

        let refused = site.refused(1, here("P", 7, r#"{"comment":"c7"}"#));
        site.reply(1, &[refused]);
        assert_eq!(site.shown("P"), r#"{"comment":"c9"}"#);
    });
}

#[test]
fn a_tombstone_under_a_pending_patch_hides_the_record_until_the_verdict() {
    on_both(|site| {
        site.page(vec![image("P", 1, r#"{"comment":"c1"}"#), image("Q", 1, r#"{"comment":"c1"}"#)]);
        site.patch("P", r#"{"comment":"mine"}"#);
        site.put("Q", r#"{"comment":"mine"}"#);

        site.page(vec![tombstone("P", 2), tombstone("Q", 3)]);

        // As central merges them: a patch of what is gone changes nothing, a put makes it anew.
        assert_eq!((site.shown("P"), site.shown("Q")), ("-".to_owned(), r#"{"comment":"mine"}"#.to_owned()));
        assert_eq!(site.copy.queue_view().unwrap().unjudged, 0);
        assert_eq!(site.copy.queue(Sequence(0), 9).unwrap().items.len(), 2);
        let refused = site.refused(1, Image::NotHere);
        site.reply(2, &[refused]);
        assert_eq!((site.shown("P"), site.shown("Q")), ("-".to_owned(), r#"{"comment":"mine"}"#.to_owned()));
        assert_eq!(site.copy.set_aside_count().unwrap(), 1);
    });
}

#[test]
fn a_waiting_entry_stays_on_top_until_it_is_accepted() {
    on_both(|site| {
        site.page(vec![image("P", 1, r#"{"comment":"c1"}"#)]);
        site.patch("P", r#"{"comment":"mine"}"#);
        let place = site.place(1);

        site.reply(1, &[Control::Waiting(place)]);
        assert_eq!(site.state("P"), Some(RecordState::Waiting));
        site.page(vec![image("P", 5, r#"{"comment":"c5"}"#)]);
        assert_eq!(site.shown("P"), r#"{"comment":"mine"}"#);
        site.patch("P", r#"{"their_ref":"more"}"#);
        assert_eq!(site.state("P"), Some(RecordState::Waiting));
        assert_eq!(site.copy.queue_view().unwrap().waiting, 1);

        site.reply(2, &[Control::Accepted(place)]);
        assert_eq!(site.shown("P"), r#"{"comment":"mine","their_ref":"more"}"#);
        assert_eq!((site.state("P"), site.count("base")), (Some(RecordState::Central), 0));
    });
}

#[test]
fn a_waiting_entry_that_is_refused_is_reverted() {
    on_both(|site| {
        site.put("P", r#"{"comment":"mine"}"#);
        let (place, refused) = (site.place(1), site.refused(1, Image::NotHere));
        site.reply(1, &[Control::Waiting(place)]);

        site.reply(1, &[refused]);

        assert_eq!((site.shown("P"), site.copy.set_aside_count().unwrap()), ("-".to_owned(), 1));
    });
}

/// The simulator's find (seed 8400122): the device took the verdict for one on an edit that had been accepted, and read everything anew
/// once more after every sync.
#[test]
fn what_waits_at_a_central_that_was_set_back_still_waits_when_everything_is_read_anew() {
    on_both(|site| {
        site.put("P", r#"{"comment":"mine"}"#);
        let (place, refused) = (site.place(1), site.refused(1, Image::NotHere));
        site.reply(1, &[Control::Waiting(place)]);
        site.copy.begin_other_time_line().unwrap();
        assert_eq!(site.state("P"), Some(RecordState::Waiting));
        site.reply(1, &[]);
        while site.copy.sweep_step().unwrap() {}

        site.reply(1, &[refused]);

        assert_eq!((site.shown("P"), site.copy.set_aside_count().unwrap()), ("-".to_owned(), 1));
        site.copy.begin_owed_time_line().unwrap();
        assert!(!site.copy.is_other_time_line().unwrap());
    });
}

#[test]
fn what_waited_at_a_central_that_has_not_received_it_any_more_waits_only_if_that_is_told_again() {
    on_both(|site| {
        for id in ["P", "Q", "R"] {
            site.put(id, "{}");
        }
        let (first, last) = (site.place(1), site.place(3));
        site.reply(3, &[Control::Waiting(first), Control::Waiting(last)]);

        let mut head = site.reply_head(1, &[]);
        head.received = Sequence(1);
        site.copy.store_reply(site.journal_id, &head).unwrap();
        // A refusal that says how far central has received, and nothing else, tells the same.
        site.copy.store_receipt(site.journal_id, Sequence(2)).unwrap();

        assert_eq!(
            ["P", "Q", "R"].map(|id| site.state(id).unwrap()),
            [RecordState::Waiting, RecordState::Central, RecordState::Pending]
        );
        site.reply(3, &[]);
        assert_eq!((site.state("P"), site.state("R")), (Some(RecordState::Waiting), Some(RecordState::Central)));
    });
}

/// The simulator's find (seed 9102868): central had received everything again, and judged nothing of it yet.
#[test]
fn what_a_central_that_was_set_back_has_received_again_and_not_judged_is_not_taken_as_accepted() {
    on_both(|site| {
        site.put("P", "{}");
        site.put("Q", r#"{"comment":"mine"}"#);
        let (place, refused) = (site.place(2), site.refused(2, Image::NotHere));
        site.reply(2, &[Control::Waiting(place)]);
        site.copy.store_receipt(site.journal_id, Sequence(0)).unwrap();

        site.reply(0, &[]);
        assert_eq!((site.state("P"), site.state("Q")), (Some(RecordState::Central), Some(RecordState::Pending)));
        site.reply(2, &[Control::Waiting(place)]);
        assert_eq!(site.state("Q"), Some(RecordState::Waiting));
        site.reply(2, &[refused]);

        assert_eq!((site.shown("Q"), site.copy.set_aside_count().unwrap()), ("-".to_owned(), 1));
    });
}

#[test]
fn what_waited_at_a_central_that_has_not_received_it_any_more_waits_again_and_may_be_refused() {
    on_both(|site| {
        site.put("P", "{}");
        site.put("Q", r#"{"comment":"mine"}"#);
        let (place, refused) = (site.place(2), site.refused(2, Image::NotHere));
        site.reply(2, &[Control::Waiting(place)]);
        site.copy.store_receipt(site.journal_id, Sequence(1)).unwrap();

        site.reply(2, &[Control::Waiting(place)]);
        assert_eq!(site.state("Q"), Some(RecordState::Waiting));
        site.reply(2, &[refused]);

        assert_eq!((site.shown("Q"), site.copy.set_aside_count().unwrap()), ("-".to_owned(), 1));
    });
}

#[test]
fn a_record_that_a_scope_brought_is_not_taken_away_by_an_older_refusal() {
    on_both(|site| {
        site.put("P", r#"{"comment":"mine"}"#);
        site.page(vec![image("P", 5, r#"{"comment":"c5"}"#)]);
        let refused = site.refused(1, Image::NotHere);

        site.reply(1, &[refused]);

        assert_eq!(site.shown("P"), r#"{"comment":"c5"}"#);
    });
}

#[test]
fn a_quiet_reply_writes_nothing() {
    on_both(|site| {
        site.put("P", "{}");
        site.reply(1, &[]);
        site.copy.make_durable().unwrap();
        let log = site.copy.log_health().unwrap().bytes;

        let stored = site.reply(1, &[]);
        site.copy.make_durable().unwrap();

        assert!(!stored.is_changed);
        assert_eq!(site.copy.log_health().unwrap().bytes, log);
    });
}

#[test]
fn control_rows_that_came_before_are_not_carried_out_again() {
    on_both(|site| {
        site.put("P", "{}");
        let refused = site.refused(1, Image::NotHere);
        let head = site.reply_head(1, &[refused]);
        site.copy.store_reply(JOURNAL, &head).unwrap();
        let number = site.copy.set_aside_list(0, 1).unwrap().items[0].number;
        site.copy.set_aside_remove(&[number]).unwrap();

        assert!(!site.copy.store_reply(JOURNAL, &head).unwrap().is_changed);
        assert_eq!(site.copy.set_aside_count().unwrap(), 0);
        // Not even with a new one behind it.
        let mut longer = site.reply_head(
            1,
            &[Control::Grant(Grant {
                store: "T".to_owned(),
                ownership: OwnershipNumber(3),
                is_held: true,
                proof: protocol::ids::GrantProof([0; 16]),
                number_gaps: 0,
            })],
        );
        longer.control.insert(0, head.control[0].clone());
        assert_eq!(site.copy.store_reply(JOURNAL, &longer).unwrap().refused, 0);
        assert_eq!((site.copy.set_aside_count().unwrap(), site.copy.grants().unwrap().len()), (0, 2));
    });
}

#[test]
fn unknown_control_rows_are_kept_and_shown() {
    on_both(|site| {
        let mut head = site.reply_head(0, &[]);
        head.control.push(ControlRow { number: ControlNumber(2), code: 999, content: vec![1, 2] });
        head.control.push(ControlRow { number: ControlNumber(3), code: 1, content: vec![255] });

        let stored = site.copy.store_reply(JOURNAL, &head).unwrap();

        assert_eq!(stored.unknown, 2);
        let shown = site.copy.unknown_control(0, 10).unwrap().items;
        assert_eq!(shown.iter().map(|row| (row.number, row.code)).collect::<Vec<_>>(), [(2, 999), (3, 1)]);
        assert_eq!(site.copy.session_state().unwrap().control, ControlNumber(3));
    });
}

#[test]
fn unknown_control_rows_above_the_limit_stop_the_cursor() {
    let mut site = Site::in_memory();
    let mut head = site.reply_head(0, &[]);
    let row = |number| ControlRow { number: ControlNumber(number), code: 999, content: Vec::new() };
    head.control = (2..2 + CONTROL_UNKNOWN_MAX).map(row).collect();
    site.copy.store_reply(JOURNAL, &head).unwrap();
    let before = site.copy.session_state().unwrap().control;

    head.control = vec![row(before.0 + 1)];

    assert_eq!(site.copy.store_reply(JOURNAL, &head), Err(LocalCopyError::ControlUnknownFull));
    assert_eq!(site.copy.session_state().unwrap().control, before);
}

#[test]
fn a_grant_that_is_taken_away_is_gone() {
    on_both(|site| {
        assert!(site.copy.holding(&record_id(STORE)).unwrap().is_some());
        assert_eq!(site.copy.grants().unwrap(), [(STORE.to_owned(), OwnershipNumber(1))]);

        site.reply(
            0,
            &[Control::Grant(Grant {
                store: "S".to_owned(),
                ownership: OwnershipNumber(2),
                is_held: false,
                proof: protocol::ids::GrantProof([0; 16]),
                number_gaps: 0,
            })],
        );

        assert!(site.copy.holding(&record_id(STORE)).unwrap().is_none());
    });
}

#[test]
fn a_refusal_without_its_entry_is_kept_all_the_same() {
    on_both(|site| {
        let mut refused = site.refused(5, Image::NotHere);
        if let Control::Refused(refused) = &mut refused {
            refused.journal = JournalId([9; 16]);
        }

        site.reply(0, &[refused]);

        let entry = site.copy.set_aside_show(1).unwrap().unwrap();
        assert_eq!((entry.about.table, entry.edit), (None, None));
    });
}

#[test]
fn a_record_goes_only_when_no_scope_holds_it() {
    on_both(|site| {
        let partners = Scope::StorePartners(record_id(STORE)).to_id();
        let page = site.page_of(&partners, vec![image("P", 1, "{}")], false);
        site.store_page(&page).unwrap();
        site.page(vec![image("P", 1, "{}")]);

        site.page(vec![tombstone("P", 2)]);
        assert_ne!(site.shown("P"), "-");

        let page = site.page_of(&partners, vec![tombstone("P", 2)], false);
        site.store_page(&page).unwrap();
        assert_eq!(site.shown("P"), "-");
    });
}

#[test]
fn an_accepted_own_record_is_in_the_scope_it_was_routed_to() {
    on_both(|site| {
        site.put("P", "{}");
        site.reply(1, &[]);

        site.page(vec![tombstone("P", 2)]);

        assert_eq!(site.shown("P"), "-");
    });
}

#[test]
fn a_reply_for_another_journal_is_refused() {
    on_both(|site| {
        let head = site.reply_head(0, &[]);
        let other = JournalId([9; 16]);

        assert_eq!(
            site.copy.store_reply(other, &head),
            Err(LocalCopyError::OtherJournal { expected: JOURNAL, found: other })
        );
    });
}

#[test]
fn under_a_new_journal_unreceived_entries_come_again_and_received_ones_stay() {
    on_both(|site| {
        site.put("P", r#"{"comment":"received"}"#);
        site.reply(0, &[]);
        site.put("Q", r#"{"comment":"salvaged"}"#);
        let salvaged = site.journal.pop().unwrap();
        site.journal = vec![salvaged.clone()];
        site.journal_id = JournalId([9; 16]);

        assert!(site.copy.use_journal(Kind::Shared, site.journal_id).unwrap());
        assert!(!site.copy.use_journal(Kind::Shared, site.journal_id).unwrap());
        assert_eq!((site.shown("P"), site.shown("Q")), (r#"{"comment":"received"}"#.to_owned(), "-".to_owned()));
        assert_eq!(site.copy.applied(Kind::Shared).unwrap(), Sequence(0));
        site.copy.begin_edits().unwrap();
        site.reapply(Kind::Shared, 1, &salvaged).unwrap();
        site.commit();
        assert_eq!(site.shown("Q"), r#"{"comment":"salvaged"}"#);

        // The verdict of the old journal's entry comes under its own name.
        let mut refused = site.refused(1, Image::NotHere);
        if let Control::Refused(refused) = &mut refused {
            refused.journal = JOURNAL;
        }
        site.reply(0, &[refused]);
        assert_eq!((site.shown("P"), site.copy.set_aside_count().unwrap()), ("-".to_owned(), 1));
        site.reply(1, &[]);
        assert_eq!((site.state("Q"), site.count("pending")), (Some(RecordState::Central), 0));
    });
}

/// The simulator's find: the patch was folded before the put that it was made on, and was gone.
#[test]
fn what_is_judged_under_a_new_journal_comes_on_top_of_what_the_old_one_had() {
    on_both(|site| {
        site.put("P", r#"{"comment":"old","status":"nw"}"#);
        site.reply(0, &[]);
        site.patch("P", r#"{"comment":"salvaged"}"#);
        let salvaged = site.journal.pop().unwrap();
        site.put("Q", "{}");
        let unjudged = site.journal.pop().unwrap();
        site.journal = vec![salvaged.clone(), unjudged.clone()];
        site.journal_id = JournalId([9; 16]);
        site.copy.use_journal(Kind::Shared, site.journal_id).unwrap();
        site.copy.begin_edits().unwrap();
        site.reapply(Kind::Shared, 1, &salvaged).unwrap();
        site.reapply(Kind::Shared, 2, &unjudged).unwrap();
        site.commit();
        let before = site.shown("P");

        site.reply(1, &[]);

        assert_eq!(before, r#"{"status":"nw","comment":"salvaged"}"#);
        assert_eq!(site.shown("P"), before);
    });
}

#[test]
fn a_receipt_alone_is_kept_and_leaves_every_edit_pending() {
    on_both(|site| {
        site.page(vec![image("P", 1, r#"{"comment":"c1"}"#)]);
        site.patch("P", r#"{"comment":"mine"}"#);
        let before = site.copy.session_state().unwrap();

        for received in [1, 1, 0] {
            site.copy.store_receipt(site.journal_id, Sequence(received)).unwrap();
        }

        let after = site.copy.session_state().unwrap();
        assert_eq!((after.received, after.judged, after.control), (Sequence(1), before.judged, before.control));
        assert_eq!((site.shown("P"), site.count("pending")), (r#"{"comment":"mine"}"#.to_owned(), 1));
        assert_eq!(site.state("P"), Some(RecordState::Pending));

        let other = site.copy.store_receipt(JournalId([9; 16]), Sequence(5));
        assert!(matches!(other, Err(LocalCopyError::OtherJournal { .. })), "{other:?}");
        assert_eq!(site.copy.session_state().unwrap(), after);
    });
}

#[test]
fn a_verdict_stays_known_when_its_edit_was_dealt_with_and_is_told_once() {
    on_both(|site| {
        for id in ["P", "Q", "R"] {
            site.put(id, "{}");
        }
        let refused = [site.refused(1, Image::NotHere), site.refused(3, Image::NotHere)];
        assert_eq!(site.reply(3, &refused).refused, 2);
        let number = site.copy.set_aside_list(0, 1).unwrap().items[0].number;
        site.copy.set_aside_remove(&[number]).unwrap();

        let known = site.copy.refusals(JOURNAL, Sequence(0), Sequence(3)).unwrap();
        let again = site.reply(3, &refused);

        assert_eq!(known.iter().map(|known| known.sequence.0).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(known[0].code, "not_store_holder");
        assert_eq!(known[0].reason, "belongs to a store that site 7 does not hold");
        assert_eq!((again.refused, site.copy.set_aside_count().unwrap()), (0, 1));
        assert_eq!(site.copy.refusals(JOURNAL, Sequence(1), Sequence(2)).unwrap(), []);
    });
}

#[test]
fn of_the_verdicts_on_entries_that_nobody_can_send_again_the_newest_stay_known() {
    on_both(|site| {
        let count = REFUSALS_KEPT_MAX + 3;
        for number in 1..=count {
            site.put(&format!("P{number}"), "{}");
        }
        let refused: Vec<Control> = (1..=count).map(|number| site.refused(number, Image::NotHere)).collect();
        site.reply(count, &refused);
        let mut known = |floor, journal| {
            site.copy.forget_refusals(journal, Sequence(floor)).unwrap();
            let known = site.copy.refusals(JOURNAL, Sequence(0), Sequence(count)).unwrap();
            (known.len() as u64, known[0].sequence.0)
        };

        assert_eq!(known(0, JOURNAL), (count, 1), "the journal still has all of these");
        assert_eq!(known(1, JOURNAL), (count - 1, 2));
        assert_eq!(known(count, JOURNAL), (REFUSALS_KEPT_MAX, 4));
        assert_eq!(known(0, JournalId([9; 16])), (REFUSALS_KEPT_MAX, 4));
    });
}

/// The simulator's find (seed 127): such a line is forged, past the recorder. It went when what goes to all sites was read anew.
#[test]
fn a_line_that_came_before_its_header_is_of_its_headers_store_from_its_verdict_on() {
    on_both(|site| {
        site.force("trans_line", "L", r#"{"transaction_ID":"H"}"#);
        site.put("H", "{}");
        let (waiting, accepted) = (Control::Waiting(site.place(1)), Control::Accepted(site.place(1)));
        site.reply(1, &[waiting]);
        site.reply(2, &[accepted]);
        let read = protocol::control::ReadAnew { scope: Scope::AllSites.to_id() };
        site.reply(2, &[Control::ReadAnew(read)]);

        let page = site.page_of(&Scope::AllSites.to_id(), Vec::new(), true);
        site.store_page(&page).unwrap();
        while site.copy.sweep_step().unwrap() {}

        assert!(site.view("trans_line", "L").is_some());
    });
}
