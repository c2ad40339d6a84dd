//! The feed of changes: whoever follows it has what is here, from any cursor, and is told when that cannot be.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use protocol::ids::JournalId;
use sql::Durability;

use super::super::{Change, ChangePage, FeedCursor, FeedGap, Kind, LocalCopy, LocalCopyError, limits};
use super::site::*;

/// By table and id.
type Records = BTreeMap<(String, String), String>;

/// An application with a database of its own.
#[derive(Default)]
pub(super) struct Follower {
    cursor: Option<FeedCursor>,
    records: Records,
    readings: u8,
}

impl Follower {
    /// Asks once, and does what an application does with the answer. Whether there is more.
    pub(super) fn follow(&mut self, copy: &mut LocalCopy, limit: u32) -> bool {
        if self.cursor.is_none() {
            self.records.clear();
            self.readings += 1;
        }
        let fresh = [self.readings; 8];
        let Ok(page) = copy.changes(self.cursor.as_ref(), limit, || fresh).unwrap() else {
            self.cursor = None;
            return true;
        };
        assert!(page.changes.len() <= usize::try_from(limit).unwrap());
        for Change { table, id, data, .. } in page.changes {
            match data {
                Some(data) => self.records.insert((table, id), data),
                None => self.records.remove(&(table, id)),
            };
        }
        // It keeps the text.
        self.cursor = FeedCursor::parse(&page.cursor.to_string());
        page.has_more
    }

    /// Reads to the end; what it has then beside what is here.
    pub(super) fn compare(&mut self, copy: &mut LocalCopy) -> (&Records, Records) {
        while self.follow(copy, 2) {}
        let mut here = Records::new();
        copy.sql
            .query("SELECT table_name, id, data FROM record", &[], &mut |row| {
                here.insert((row.text(0)?.to_owned(), row.text(1)?.to_owned()), row.text(2)?.to_owned());
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        (&self.records, here)
    }
}

fn read(site: &mut Site, after: Option<&FeedCursor>) -> ChangePage {
    site.copy.changes(after, 100, || [9; 8]).unwrap().unwrap()
}

/// `id`, `put` or `gone`, and whose change it is.
fn words(page: &ChangePage) -> Vec<String> {
    let word = |change: &Change| {
        let whose = match change.is_own {
            Some(true) => "own",
            Some(false) => "pulled",
            None => "here",
        };
        format!("{} {} {whose}", change.id, if change.data.is_some() { "put" } else { "gone" })
    };
    page.changes.iter().map(word).collect()
}

#[test]
fn the_records_come_first_and_then_each_change_once_in_the_order_of_the_last() {
    on_both(|site| {
        site.put("B", r#"{"comment":"b"}"#);
        site.page(vec![image("A", 1, r#"{"comment":"a"}"#)]);

        let first = read(site, None);
        assert_eq!(words(&first), ["A put here", "B put here"]);
        assert!(!first.has_more);
        site.patch("A", r#"{"comment":"1"}"#);
        site.page(vec![image("C", 5, r#"{"comment":"c"}"#)]);
        site.patch("A", r#"{"comment":"2"}"#);
        site.delete("B");
        site.reopen();
        let second = read(site, Some(&first.cursor));

        assert_eq!(words(&second), ["C put pulled", "A put own", "B gone own"]);
        assert_eq!(second.changes[1].data.as_deref(), Some(r#"{"ID":"A","store_ID":"S","comment":"2"}"#));
        assert_eq!(second.changes[2].store.as_deref(), Some(STORE));
        let third = read(site, Some(&second.cursor));
        assert_eq!((third.changes.len(), third.has_more, &third.cursor), (0, false, &second.cursor));
        assert!(site.copy.is_at_end(&second.cursor).unwrap());
        // The same cursor gives the same again.
        assert_eq!(words(&read(site, Some(&first.cursor))), words(&second));
    });
}

#[test]
fn a_verdict_and_an_edit_that_comes_back_are_no_changes() {
    on_both(|site| {
        let start = read(site, None).cursor;
        site.put("A", r#"{"comment":"a"}"#);
        let edited = read(site, Some(&start)).cursor;

        site.reply(1, &[]);
        site.page(vec![image("A", 3, r#"{"comment":"a"}"#)]);

        assert_eq!(words(&read(site, Some(&edited))), Vec::<String>::new());
        site.page(vec![image("A", 4, r#"{"comment":"theirs"}"#)]);
        assert_eq!(words(&read(site, Some(&edited))), ["A put pulled"]);
    });
}

#[test]
fn a_refused_edit_comes_as_central_has_the_record() {
    on_both(|site| {
        site.page(vec![image("A", 1, r#"{"comment":"central"}"#)]);
        let start = read(site, None).cursor;
        site.patch("A", r#"{"comment":"mine"}"#);
        let edited = read(site, Some(&start)).cursor;

        let refused = site.refused(1, here("A", 1, r#"{"comment":"central"}"#));
        site.reply(1, &[refused]);

        let page = read(site, Some(&edited));
        assert_eq!(words(&page), ["A put pulled"]);
        assert!(page.changes[0].data.as_deref().unwrap().contains("central"));
    });
}

#[test]
fn where_nobody_reads_the_feed_nothing_is_written_for_it() {
    on_both(|site| {
        site.put("A", "{}");
        site.put("B", "{}");
        site.delete("A");

        assert_eq!(site.count("record WHERE change IS NOT NULL"), 0);
        assert_eq!(site.count("gone"), 0);
    });
}

#[test]
fn what_is_given_is_safe_against_a_power_cut_first_and_an_empty_answer_writes_nothing() {
    on_both(|site| {
        let start = read(site, None).cursor;
        assert!(!site.copy.has_unsynced);
        site.put("A", "{}");
        assert!(site.copy.has_unsynced, "own edits are committed without a sync");

        let page = read(site, Some(&start));

        assert!(!site.copy.has_unsynced);
        let synced = site.copy.number("synced_count").unwrap();
        site.put("B", "{}");
        read(site, Some(&start));
        assert_ne!(site.copy.number("synced_count").unwrap(), synced);
        let (end, synced) = (read(site, Some(&page.cursor)).cursor, site.copy.number("synced_count").unwrap());
        read(site, Some(&end));
        assert_eq!(site.copy.number("synced_count").unwrap(), synced);
    });
}

#[test]
fn a_step_that_fails_leaves_the_feed_as_it_was() {
    on_both(|site| {
        let start = read(site, None).cursor;
        site.put("A", "{}");
        let failed: Result<(), _> = site.copy.transaction(Durability::Full, |copy| {
            copy.end_feed()?;
            Err(LocalCopyError::damaged("a test"))
        });
        assert!(failed.is_err());
        site.put("B", "{}");

        assert_eq!(words(&read(site, Some(&start))), ["A put own", "B put own"]);
    });
}

#[test]
fn a_cursor_of_another_copy_is_told_so() {
    on_both(|site| {
        let gap =
            |site: &mut Site, cursor: &FeedCursor| site.copy.changes(Some(cursor), 9, || [3; 8]).unwrap().unwrap_err();
        let start = read(site, None).cursor;
        let ahead = FeedCursor::parse(&format!("{}2", start.to_string().strip_suffix('0').unwrap())).unwrap();
        let elsewhere = FeedCursor::parse(&format!("{}.0", "07".repeat(8))).unwrap();

        assert_eq!(gap(site, &ahead), FeedGap::OtherCopy);
        assert_eq!(gap(site, &elsewhere), FeedGap::OtherCopy);
        assert_eq!(gap(&mut Site::in_memory(), &start), FeedGap::OtherCopy, "nobody has begun there");
        // Another journal: the folder may have been set back.
        site.copy.use_journal(Kind::Shared, JournalId([8; 16])).unwrap();
        assert_eq!(gap(site, &start), FeedGap::OtherCopy);
        assert_ne!(site.copy.changes(None, 9, || [3; 8]).unwrap().unwrap().cursor, start);
    });
}

#[test]
fn of_what_went_so_much_is_remembered_and_who_missed_more_is_told_so() {
    on_both(|site| {
        site.put("A", "{}");
        site.put("B", "{}");
        let start = read(site, None).cursor;
        site.delete("A");
        let later = read(site, Some(&start)).cursor;
        let kept = limits::GONE_KEPT_MAX;
        let fill = format!(
            "WITH RECURSIVE many (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM many WHERE number <= {kept})
             INSERT INTO gone (change, table_name, id) SELECT 1000 + 2 * number, 'transact', 'X' FROM many"
        );
        site.copy.sql.begin(Durability::Process).unwrap();
        site.copy.sql.execute(&fill, &[]).unwrap();
        site.copy.sql.commit().unwrap();
        site.copy.load_feed().unwrap();

        site.delete("B");

        assert_eq!(site.count("gone"), i64::try_from(kept).unwrap());
        for cursor in [&start, &later] {
            assert_eq!(site.copy.changes(Some(cursor), 9, || [3; 8]).unwrap().unwrap_err(), FeedGap::TooOld);
        }
        assert_eq!(words(&read(site, None)), Vec::<String>::new());
    });
}

#[test]
fn a_page_holds_so_many_bytes_at_most_and_one_change_at_least() {
    on_both(|site| {
        let start = read(site, None).cursor;
        // Four of these are below the limit, and five above.
        let long = format!(r#"{{"comment":"{}"}}"#, "x".repeat(900_000));
        for id in ["A", "B", "C", "D", "E", "F"] {
            site.force("transact", id, &with_store(&long));
        }
        site.delete("A");
        site.put("G", "{}");

        let first = read(site, Some(&start));
        let second = read(site, Some(&first.cursor));

        assert_eq!(words(&first), ["B put own", "C put own", "D put own", "E put own"]);
        assert_eq!(words(&second), ["F put own", "A gone own", "G put own"]);
        assert_eq!((first.has_more, second.has_more), (true, false));
        let anew = read(site, None);
        assert_eq!((words(&anew).len(), anew.has_more, anew.cursor.is_in_records()), (4, true, true));
    });
}
