//! The feed of changes, for applications that keep a database of their own.
//!
//! Each record has the number of its last change; reading on behind a number gives each record once that changed since, as it is now. So
//! the feed needs no log that grows: a record that changes again moves to the end. What went leaves its number in `gone`, the newest
//! [`limits::GONE_KEPT_MAX`] of them.
//!
//! Numbers are given from the first reader on; before that nothing is written. A reader begins with all records in the order of their
//! keys, and goes on with what changed since it began. Numbers are never given twice in a feed: those that are shown are on the disk
//! first ([`LocalCopy::make_durable`]), so that no power cut takes them back.
//!
//! The column `change` holds the number times two, and one more if this site made the change itself.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use sql::{Durability, Param, Row, SqlError, SqlExt};

use super::images::Key;
use super::read::checked_limit;
use super::{LocalCopy, LocalCopyError, checksum, limits};
use crate::clock::Bell;
use crate::hex;

/// Name of the feed's id; without it there is no feed.
const FEED: &str = "feed";
/// Name of the number up to which not everything that went is known any more.
const FEED_FLOOR: &str = "feed_floor";

/// Which feed: another local copy has another one.
pub type FeedId = [u8; 8];

/// A place in a feed, behind which to read on. Its text is for keeping, not for looking into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedCursor {
    feed: FeedId,
    /// Behind this change; while the records are read, the last change when that began.
    change: u64,
    /// While the records are read: behind this table and id.
    record: Option<(String, String)>,
}

impl FeedCursor {
    /// Reads the text of a cursor; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let feed = hex::array(parts.next()?)?;
        let change = parts.next()?;
        let is_number = !change.is_empty() && change.bytes().all(|byte| byte.is_ascii_digit());
        let change = change.parse().ok().filter(|change| is_number && i64::try_from(*change).is_ok())?;
        let mut word = || String::from_utf8(hex::bytes(parts.next()?)?).ok();
        let record = match (word(), word()) {
            (None, None) => None,
            (table, id) => Some((table?, id?)),
        };
        let cursor = Self { feed, change, record };
        // Whatever else stood there is not what this program wrote.
        (cursor.to_string() == text).then_some(cursor)
    }

    /// Whether the records are being read, before what changed since.
    pub fn is_in_records(&self) -> bool {
        self.record.is_some()
    }
}

impl fmt::Display for FeedCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", hex::text(&self.feed), self.change)?;
        match &self.record {
            Some((table, id)) => write!(formatter, ".{}.{}", hex::text(table.as_bytes()), hex::text(id.as_bytes())),
            None => Ok(()),
        }
    }
}

/// A record that changed, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its table.
    pub table: String,
    /// Its id.
    pub id: String,
    /// The store that it belongs to, or belonged to.
    pub store: Option<String>,
    /// The record as a JSON object; `None`: it is not here any more.
    pub data: Option<String>,
    /// Whether this site made the change itself; `None` for one that was here before the reader began.
    pub is_own: Option<bool>,
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangePage {
    /// In order.
    pub changes: Vec<Change>,
    /// Where to read on.
    pub cursor: FeedCursor,
    /// Whether there is more at once.
    pub has_more: bool,
}

/// A reader that cannot go on from its cursor, and has to read everything anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedGap {
    /// What went since is not all known any more.
    TooOld,
    /// The cursor is of another local copy, or of this one before it was set back.
    OtherCopy,
}

impl LocalCopy {
    /// Rings at each commit.
    pub fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// Reads on behind a cursor, at most `limit` changes and at most [`limits::LIST_BYTES_MAX`] of data; one at least, if there is one.
    /// `None` begins with all records; `fresh` is the id of the feed if there is none yet. What is given is safe against a power cut.
    ///
    /// # Errors
    /// Those of a read and of [`LocalCopy::make_durable`].
    pub fn changes(
        &mut self,
        after: Option<&FeedCursor>,
        limit: u32,
        fresh: impl FnOnce() -> FeedId,
    ) -> Result<Result<ChangePage, FeedGap>, LocalCopyError> {
        let cursor = match after {
            None => self.begin_reading(fresh)?,
            Some(cursor) => match self.gap(cursor)? {
                None => cursor.clone(),
                Some(gap) => return Ok(Err(gap)),
            },
        };
        let page = match &cursor.record {
            Some(record) => self.records_behind(&cursor, record, limit)?,
            None => self.changes_behind(&cursor, limit)?,
        };
        if after != Some(&page.cursor) {
            self.make_durable()?;
        }
        Ok(Ok(page))
    }

    /// Whether there is nothing behind a cursor.
    ///
    /// # Errors
    /// Those of a read.
    pub fn is_at_end(&mut self, cursor: &FeedCursor) -> Result<bool, LocalCopyError> {
        Ok(!cursor.is_in_records() && self.last_change()? <= cursor.change)
    }

    /// The number of the next change, for the row that is being written; nothing where nobody reads the feed.
    pub(super) fn next_change(&mut self) -> Param<'static> {
        let Some(last) = &mut self.change else { return Param::Null };
        *last += 1;
        Param::Integer((*last * 2 + u64::from(self.is_own_change)).cast_signed())
    }

    /// Deletes a record, and leaves word of it.
    pub(super) fn delete_record(&mut self, key: &Key) -> Result<(), LocalCopyError> {
        self.delete_record_by_name(key.table.name(), key.id.as_str())
    }

    /// The same for a record under a name that no catalogue knows.
    pub(super) fn delete_record_by_name(&mut self, table: &str, id: &str) -> Result<(), LocalCopyError> {
        if self.change.is_some() {
            let change = self.next_change();
            let noted = self.sql.execute(
                "INSERT INTO gone (change, table_name, id, store)
                 SELECT ?3, table_name, id, store FROM record WHERE table_name = ?1 AND id = ?2",
                &[table.into(), id.into(), change],
            )?;
            self.gone_since_trim += noted;
            if self.gone_since_trim >= limits::GONE_TRIM_ROWS {
                self.trim_gone()?;
            }
        }
        self.sql.execute("DELETE FROM record WHERE table_name = ?1 AND id = ?2", &[table.into(), id.into()])?;
        Ok(())
    }

    /// Reads how far the feed is.
    pub(super) fn load_feed(&mut self) -> Result<(), LocalCopyError> {
        self.change = match self.content(FEED)? {
            Some(_) => Some(self.last_change()? / 2),
            None => None,
        };
        // The first that goes looks whether there are too many.
        self.gone_since_trim = limits::GONE_TRIM_ROWS;
        Ok(())
    }

    /// Inside the open transaction: whoever reads the feed has to begin anew, since this copy may be set back to before what was read.
    pub(super) fn end_feed(&mut self) -> Result<(), LocalCopyError> {
        if self.change.take().is_some() {
            self.sql.execute("DELETE FROM meta WHERE name = ?1", &[FEED.into()])?;
        }
        Ok(())
    }

    fn begin_reading(&mut self, fresh: impl FnOnce() -> FeedId) -> Result<FeedCursor, LocalCopyError> {
        if self.change.is_none() {
            let fresh = fresh();
            self.transaction(Durability::Full, |copy| copy.set_content(FEED, Some(&fresh)))?;
            self.load_feed()?;
        }
        let change = self.last_change()?;
        let feed = self.feed()?.ok_or_else(|| LocalCopyError::damaged("the feed has no id"))?;
        Ok(FeedCursor { feed, change, record: Some((String::new(), String::new())) })
    }

    fn feed(&mut self) -> Result<Option<FeedId>, LocalCopyError> {
        let content = self.content(FEED)?;
        content.map(|bytes| FeedId::try_from(bytes.as_slice()).map_err(LocalCopyError::damaged)).transpose()
    }

    fn gap(&mut self, cursor: &FeedCursor) -> Result<Option<FeedGap>, LocalCopyError> {
        if self.feed()? != Some(cursor.feed) || cursor.change > self.last_change()? {
            return Ok(Some(FeedGap::OtherCopy));
        }
        Ok((cursor.change < self.number(FEED_FLOOR)?.unwrap_or(0)).then_some(FeedGap::TooOld))
    }

    /// The last change that is in the file, as the column has it.
    fn last_change(&mut self) -> Result<u64, LocalCopyError> {
        let newest =
            |table: &str| format!("SELECT change FROM {table} WHERE change IS NOT NULL ORDER BY change DESC LIMIT 1");
        let of_records = self.sql.query_integer(&newest("record"), &[])?.unwrap_or(0);
        let of_gone = self.sql.query_integer(&newest("gone"), &[])?.unwrap_or(0);
        Ok(of_records.max(of_gone).cast_unsigned())
    }

    fn records_behind(
        &mut self,
        cursor: &FeedCursor,
        (table, id): &(String, String),
        limit: u32,
    ) -> Result<ChangePage, LocalCopyError> {
        let sql = "SELECT change, table_name, id, store, data, position, checksum FROM record
            WHERE (table_name, id) > (?1, ?2) ORDER BY table_name, id LIMIT ?3";
        let (mut changes, is_cut) = self.read_records(sql, &[table.into(), id.into(), checked_limit(limit)], limit)?;
        for (_, change) in &mut changes {
            change.is_own = None;
        }
        let record = changes.last().filter(|_| is_cut).map(|(_, last)| (last.table.clone(), last.id.clone()));
        let cursor = FeedCursor { record, ..cursor.clone() };
        let has_more = !self.is_at_end(&cursor)?;
        Ok(ChangePage { changes: changes.into_iter().map(|(_, change)| change).collect(), cursor, has_more })
    }

    fn changes_behind(&mut self, cursor: &FeedCursor, limit: u32) -> Result<ChangePage, LocalCopyError> {
        let params = [Param::unsigned(cursor.change)?, checked_limit(limit)];
        let sql = "SELECT change, table_name, id, store, data, position, checksum FROM record
            WHERE change > ?1 ORDER BY change LIMIT ?2";
        let (records, is_cut) = self.read_records(sql, &params, limit)?;
        // Behind the last record that is given others may have changed before the next that went.
        let through = records.last().filter(|_| is_cut).map_or(i64::MAX, |(change, _)| *change);
        let sql = "SELECT change, table_name, id, store FROM gone
            WHERE change > ?1 AND change <= ?3 ORDER BY change LIMIT ?2";
        let mut gone = Vec::new();
        self.sql.query(sql, &[params[0], params[1], through.into()], &mut |row| {
            gone.push((row.integer(0)?, read_change(row, None)?));
            Ok(ControlFlow::Continue(()))
        })?;
        let mut changes = in_order(records, gone);
        changes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let change = changes.last().map_or(cursor.change, |(change, _)| change.cast_unsigned());
        let cursor = FeedCursor { change, ..cursor.clone() };
        let has_more = !self.is_at_end(&cursor)?;
        Ok(ChangePage { changes: changes.into_iter().map(|(_, change)| change).collect(), cursor, has_more })
    }

    /// Records with the numbers of their changes, and whether there are more.
    fn read_records(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        limit: u32,
    ) -> Result<(Vec<(i64, Change)>, bool), LocalCopyError> {
        let mut changes = Vec::new();
        let mut bytes = 0;
        let mut is_cut = false;
        let mut broken = None;
        self.sql.query(sql, params, &mut |row| {
            bytes += row.text(4)?.len();
            if changes.len() as u64 == u64::from(limit) || (bytes > limits::LIST_BYTES_MAX && !changes.is_empty()) {
                is_cut = true;
                return Ok(ControlFlow::Break(()));
            }
            let change = read_change(row, Some(row.text(4)?))?;
            let (table, id, store) = (&change.table, &change.id, change.store.as_deref());
            let right = checksum::of_row(table, id, store, change.data.as_deref(), row.unsigned(5)?);
            broken = checksum::check(row.optional_integer(6)?, right, format_args!("record {table} {id}")).err();
            if broken.is_some() {
                return Ok(ControlFlow::Break(()));
            }
            changes.push((row.optional_integer(0)?.unwrap_or(0), change));
            Ok(ControlFlow::Continue(()))
        })?;
        broken.map_or(Ok((changes, is_cut)), Err)
    }

    fn trim_gone(&mut self) -> Result<(), LocalCopyError> {
        self.gone_since_trim = 0;
        let sql = format!("SELECT change FROM gone ORDER BY change DESC LIMIT 1 OFFSET {}", limits::GONE_KEPT_MAX);
        let Some(last) = self.sql.query_integer(&sql, &[])? else { return Ok(()) };
        self.sql.execute("DELETE FROM gone WHERE change <= ?1", &[last.into()])?;
        self.set_number(FEED_FLOOR, last.cast_unsigned())
    }
}

/// Two lists in the order of their numbers as one.
fn in_order(one: Vec<(i64, Change)>, other: Vec<(i64, Change)>) -> Vec<(i64, Change)> {
    let mut merged = Vec::with_capacity(one.len() + other.len());
    let mut other = other.into_iter().peekable();
    for item in one {
        while let Some(earlier) = other.next_if(|earlier| earlier.0 < item.0) {
            merged.push(earlier);
        }
        merged.push(item);
    }
    merged.extend(other);
    merged
}

fn read_change(row: &dyn Row, data: Option<&str>) -> Result<Change, SqlError> {
    Ok(Change {
        table: row.text(1)?.to_owned(),
        id: row.text(2)?.to_owned(),
        store: row.optional_text(3)?.map(str::to_owned),
        data: data.map(str::to_owned),
        is_own: row.optional_integer(0)?.map(|change| change % 2 == 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
        let record = Some(("item".to_owned(), "4F2A.\u{e4}".to_owned()));
        for cursor in [
            FeedCursor { feed: [7; 8], change: 12, record: None },
            FeedCursor { feed: [255; 8], change: 0, record: Some((String::new(), String::new())) },
            FeedCursor { feed: [0; 8], change: i64::MAX as u64, record },
        ] {
            assert_eq!(FeedCursor::parse(&cursor.to_string()), Some(cursor));
        }
        for text in [
            "",
            "12",
            "0707070707070707",
            "0707070707070707.",
            "0707070707070707.+1",
            "0707070707070707.01",
            "0707070707070707.1.",
            "0707070707070707.1.69",
            "0707070707070707.1.69.6",
            "0707070707070707.1.69.69.69",
            "0707070707070707.9223372036854775808",
            "070707070707070.1",
            "0707070707070707.1.FF.FF",
        ] {
            assert_eq!(FeedCursor::parse(text), None, "{text}");
        }
    }
}
