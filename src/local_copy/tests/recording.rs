//! Own edits: groups, re-applying, request ids, private data, parts.

use domain::edit::EditOp;
use protocol::control::Image;
use protocol::ids::{Hash, JournalId, RequestId, Sequence};
use protocol::session::PartToStore;

use super::super::limits::{REQUESTS_KEPT_MAX, SET_ASIDE_BYTES_MAX, SET_ASIDE_MAX};
use super::super::{Kind, LocalCopyError, RecordState};
use super::site::*;
use crate::error::Explained;

#[test]
fn a_group_that_is_given_up_leaves_the_groups_before_it() {
    on_both(|site| {
        site.copy.begin_edits().unwrap();
        assert!(site.apply(EditOp::Put, "transact", "P", &with_store("{}")));
        site.copy.begin_group().unwrap();
        assert!(site.copy.rollback_group().is_ok());
        // A line without a header is refused, so its group is given up.
        assert!(!site.apply(EditOp::Put, "trans_line", "L", r#"{"transaction_ID":"none"}"#));
        assert!(site.apply(EditOp::Put, "transact", "Q", &with_store("{}")));
        site.commit();

        assert_eq!(site.counts(), [("transact".to_owned(), 2)]);
        assert_eq!(site.copy.applied(Kind::Shared).unwrap(), Sequence(2));
    });
}

#[test]
fn the_sequences_of_a_group_that_is_given_up_are_used_by_the_next() {
    on_both(|site| {
        site.put("P", "{}");
        let entry = site.journal[0].clone();
        site.copy.begin_edits().unwrap();
        site.copy.begin_group().unwrap();
        site.reapply(Kind::Shared, 2, &entry).unwrap();
        site.copy.rollback_group().unwrap();

        assert!(site.apply(EditOp::Put, "transact", "Q", &with_store("{}")));
        site.commit();

        assert_eq!((site.count("pending"), site.copy.applied(Kind::Shared).unwrap()), (2, Sequence(2)));
    });
}

#[test]
fn pending_entries_without_their_base_are_damage() {
    let mut site = Site::in_memory();
    site.put("P", "{}");
    site.put("P", r#"{"comment":"x"}"#);
    site.copy.begin_edits().unwrap();
    site.copy.sql.execute("DELETE FROM base", &[]).unwrap();
    site.commit();
    let head = site.reply_head(1, &[]);

    assert!(site.copy.store_reply(JOURNAL, &head).unwrap_err().is_damage());
}

#[test]
fn what_was_not_committed_is_applied_again_and_what_was_is_not() {
    on_both(|site| {
        site.put("P", r#"{"comment":"one"}"#);
        site.copy.begin_edits().unwrap();
        assert!(site.apply(EditOp::Patch, "transact", "P", r#"{"comment":"two"}"#));
        // The kill comes between the journal's sync and the commit.
        site.copy.rollback_edits().unwrap();
        site.reopen();
        assert_eq!(site.shown("P"), r#"{"comment":"one"}"#);

        let entries = site.journal.clone();
        for _ in 0..2 {
            site.copy.begin_edits().unwrap();
            for (index, entry) in entries.iter().enumerate() {
                site.reapply(Kind::Shared, index as u64 + 1, entry).unwrap();
            }
            site.commit();
        }

        assert_eq!(site.shown("P"), r#"{"comment":"two"}"#);
        assert_eq!(site.count("pending"), 2);
        assert_eq!(site.view("transact", "P").unwrap().store.as_deref(), Some("S"));
    });
}

#[test]
fn what_a_journal_has_let_go_of_is_skipped() {
    on_both(|site| {
        site.put("P", "{}");
        let entry = site.journal[0].clone();

        site.copy.skip_to(Kind::Shared, Sequence(9)).unwrap();
        site.copy.skip_to(Kind::Shared, Sequence(3)).unwrap();

        assert_eq!(site.copy.applied(Kind::Shared).unwrap(), Sequence(9));
        site.copy.begin_edits().unwrap();
        site.reapply(Kind::Shared, 10, &entry).unwrap();
        site.copy.commit_edits(Sequence(10), Sequence(0)).unwrap();
        let (second, end) = (Sequence(9), Sequence(u64::MAX));
        assert_eq!(site.copy.pending_entries(second, end).unwrap(), [(Sequence(10), entry.encode())]);
        assert_eq!(site.copy.pending_entries(Sequence(11), end).unwrap(), []);
    });
}

#[test]
fn an_entry_that_was_left_out_is_refused() {
    on_both(|site| {
        site.put("P", "{}");
        let entry = site.journal[0].clone();
        site.copy.begin_edits().unwrap();

        let gap = site.reapply(Kind::Shared, 3, &entry);

        assert_eq!(gap, Err(LocalCopyError::Gap { kind: Kind::Shared, applied: Sequence(1), found: Sequence(3) }));
        site.copy.rollback_edits().unwrap();
    });
}

#[test]
fn local_data_has_no_base_and_no_queue() {
    on_both(|site| {
        assert!(site.try_edit(EditOp::Put, "pref", "L", r#"{"item":"window","data":"x"}"#));
        assert!(site.try_edit(EditOp::Patch, "pref", "L", r#"{"data":"y"}"#));

        let view = site.view("pref", "L").unwrap();
        assert_eq!((view.state, view.store), (RecordState::Local, None));
        assert!(view.data.contains(r#""data":"y""#));
        assert_eq!((site.count("base"), site.count("pending"), site.count("membership")), (0, 0, 0));
        assert_eq!(site.copy.applied(Kind::Private).unwrap(), Sequence(2));
        assert!(site.try_edit(EditOp::Delete, "pref", "L", ""));
        assert_eq!(site.view("pref", "L"), None);
        assert!(site.journal.is_empty());
    });
}

#[test]
fn a_record_that_was_deleted_here_is_known_as_deleted() {
    on_both(|site| {
        site.put("P", "{}");
        site.delete("P");

        assert!(!site.try_edit(EditOp::Patch, "transact", "P", r#"{"comment":"x"}"#));
        assert!(!site.try_edit(EditOp::Delete, "transact", "P", ""));
        assert!(!site.try_edit(EditOp::Put, "trans_line", "L", r#"{"transaction_ID":"P"}"#));
        site.put("P", r#"{"comment":"again"}"#);
        assert_eq!(site.shown("P"), r#"{"comment":"again"}"#);
    });
}

#[test]
fn a_line_has_the_store_of_its_header() {
    on_both(|site| {
        site.page(vec![image("P", 1, "{}"), image_of("trans_line", "A", 2, r#"{"transaction_ID":"P","quantity":1}"#)]);
        assert!(site.try_edit(EditOp::Put, "trans_line", "B", r#"{"transaction_ID":"P"}"#));
        let entry = site.journal[0].clone();

        for id in ["A", "B"] {
            assert_eq!(site.view("trans_line", id).unwrap().store.as_deref(), Some("S"));
        }
        // Also when it is applied again after a crash.
        let mut second = Site::in_memory();
        second.page(vec![image("P", 1, "{}")]);
        second.copy.begin_edits().unwrap();
        second.reapply(Kind::Shared, 1, &entry).unwrap();
        second.copy.commit_edits(Sequence(1), Sequence(0)).unwrap();
        assert_eq!(second.view("trans_line", "B").unwrap().store.as_deref(), Some("S"));
    });
}

#[test]
fn a_repeated_request_finds_what_it_recorded() {
    on_both(|site| {
        let (one, two) = (RequestId([1; 16]), RequestId([2; 16]));
        site.copy.begin_edits().unwrap();
        site.copy.remember_request(one, Some((Sequence(4), Sequence(6)))).unwrap();
        site.copy.remember_request(two, None).unwrap();
        // Applied again entry by entry, the range comes together.
        site.copy.remember_request(one, Some((Sequence(7), Sequence(7)))).unwrap();
        site.copy.remember_request(one, None).unwrap();
        site.commit();

        assert_eq!(site.copy.request(one).unwrap(), Some(Some((Sequence(4), Sequence(7)))));
        assert_eq!(site.copy.request(two).unwrap(), Some(None));
        assert_eq!(site.copy.request(RequestId([3; 16])).unwrap(), None);
    });
}

#[test]
fn the_oldest_request_ids_go_at_the_limit() {
    let mut site = Site::in_memory();
    site.copy.begin_edits().unwrap();
    site.copy.remember_request(RequestId([1; 16]), None).unwrap();
    site.copy
        .sql
        .execute("UPDATE request SET number = number + ?1", &[sql::Param::unsigned(REQUESTS_KEPT_MAX).unwrap()])
        .unwrap();
    site.copy.sql.execute("INSERT INTO request (number, request_id) VALUES (1, ?1)", &[(&[9; 16]).into()]).unwrap();
    site.copy.remember_request(RequestId([2; 16]), None).unwrap();
    site.commit();

    assert_eq!(site.copy.request(RequestId([9; 16])).unwrap(), None);
    assert_eq!(site.copy.request(RequestId([1; 16])).unwrap(), Some(None));
}

#[test]
fn new_edits_are_not_taken_while_set_aside_is_full() {
    let mut site = Site::in_memory();
    site.put("P", "{}");
    let refused = site.refused(1, Image::NotHere);
    site.reply(1, &[refused]);
    site.copy.check_room(None).unwrap();
    site.copy.begin_edits().unwrap();
    for number in 2..=SET_ASIDE_MAX {
        let number_bytes = number.to_be_bytes();
        let number = sql::Param::unsigned(number).unwrap();
        site.copy
            .sql
            .execute(
                "INSERT INTO set_aside (number, journal_id, sequence, code, reason, recorded_at_ms, retry_request_id)
                 VALUES (?1, ?2, ?1, '', '', 0, ?3)",
                &[number, (&[1; 16]).into(), (&number_bytes).into()],
            )
            .unwrap();
    }
    site.commit();

    let full = site.copy.check_room(None).unwrap_err();
    assert_eq!(full.code(), "set_aside_full");
    // What is set aside can still be recorded anew and let go.
    let first = site.copy.set_aside_show(1).unwrap().unwrap();
    site.copy.check_room(Some(first.about.retry_request_id())).unwrap();
    assert!(site.copy.check_room(Some(RequestId([7; 16]))).is_err());
    assert_eq!(site.copy.set_aside_remove(&[1]).unwrap(), 1);
    assert_eq!(site.copy.set_aside_remove(&[1]).unwrap(), 0);
    site.copy.check_room(None).unwrap();
}

#[test]
fn new_edits_are_not_taken_while_set_aside_is_full_in_bytes() {
    let mut site = Site::in_memory();
    site.put("P", "{}");
    let refused = site.refused(1, Image::NotHere);
    site.reply(1, &[refused]);
    let bytes = site.copy.set_aside_bytes().unwrap();
    assert!(bytes > 0 && bytes < 200, "{bytes}");
    site.copy.check_room(None).unwrap();

    site.copy.set_aside_bytes = Some(SET_ASIDE_BYTES_MAX - 1);
    site.copy.check_room(None).unwrap();
    site.copy.set_aside_bytes = Some(SET_ASIDE_BYTES_MAX);
    let full = site.copy.check_room(None).unwrap_err();

    assert_eq!(full.code(), "set_aside_full");
    let first = site.copy.set_aside_show(1).unwrap().unwrap();
    site.copy.check_room(Some(first.about.retry_request_id())).unwrap();
    // Whatever goes, they are added up anew.
    assert_eq!(site.copy.set_aside_remove(&[1]).unwrap(), 1);
    assert_eq!(site.copy.set_aside_bytes().unwrap(), 0);
    site.copy.check_room(None).unwrap();
    site.put("P", "{}");
    let refused = site.refused(2, Image::NotHere);
    site.reply(2, &[refused]);
    assert_eq!(site.copy.set_aside_bytes().unwrap(), bytes);
}

#[test]
fn a_private_journal_that_differs_is_applied_from_its_beginning() {
    on_both(|site| {
        assert!(site.try_edit(EditOp::Put, "pref", "L", r#"{"item":"window"}"#));

        assert!(site.copy.use_journal(Kind::Private, JournalId([8; 16])).unwrap());

        assert_eq!(site.copy.applied(Kind::Private).unwrap(), Sequence(0));
        assert!(site.view("pref", "L").is_some());
    });
}

fn part(hash: u8, offset: u32, bytes: &[u8]) -> PartToStore {
    PartToStore { scope: store_scope(), hash: Hash([hash; 32]), offset, total: 6, bytes: bytes.to_vec() }
}

#[test]
fn parts_go_on_where_they_ended_also_after_a_crash() {
    on_both(|site| {
        assert_eq!(site.copy.store_part(&part(1, 0, b"ab")).unwrap(), None);
        site.reopen();
        let kept = site.copy.session_state().unwrap().page_part.unwrap();
        assert_eq!((kept.hash, kept.received), (Hash([1; 32]), 2));

        assert_eq!(site.copy.store_part(&part(1, 2, b"cd")).unwrap(), None);
        assert_eq!(site.copy.store_part(&part(1, 4, b"ef")).unwrap().as_deref(), Some(&b"abcdef"[..]));
        // Not stored as a page yet: a crash here means that it is asked for from its beginning.
        site.reopen();
        assert_eq!(site.copy.session_state().unwrap().page_part, None);
        assert_eq!(site.copy.store_part(&part(1, 0, b"abcdef")).unwrap().as_deref(), Some(&b"abcdef"[..]));
        site.page(Vec::new());
        assert_eq!(site.count("page_part"), 0);
    });
}

#[test]
fn one_page_in_parts_is_kept_at_a_time() {
    on_both(|site| {
        site.copy.store_part(&part(1, 0, b"ab")).unwrap();
        site.copy.store_part(&part(2, 0, b"xyz")).unwrap();

        assert_eq!(site.copy.session_state().unwrap().page_part.unwrap().hash, Hash([2; 32]));
        for wrong in [part(1, 2, b"cd"), part(2, 2, b"z"), part(2, 3, b"zzzz"), part(2, 3, b"")] {
            assert_eq!(site.copy.store_part(&wrong).unwrap_err().code(), "bad_part");
        }
        let too_large = PartToStore { total: u32::MAX, ..part(3, 0, b"x") };
        assert_eq!(site.copy.store_part(&too_large).unwrap_err().code(), "bad_part");
        assert_eq!(site.copy.session_state().unwrap().page_part.unwrap().received, 3);
    });
}
