//! What a backup of this device holds (`docs/sealed-file-format.md`, "Content of a backup"): what central may not have. And what tells,
//! when it is restored, whether a record was changed since.

use std::ops::ControlFlow;

use domain::edit::Edit;
use domain::json::{row_from_json, row_to_json};
use protocol::chain::hash_of;
use protocol::entry::Entry;
use protocol::ids::{JournalId, RecordId, Sequence};
use protocol::row::Row;
use serde_json::Value;
use sql::{Param, SqlExt};

use super::images::{Image, Key};
use super::settle::Step;
use super::{LocalCopy, LocalCopyError, SetAsideEntry, checksum};

/// Pending entries that are read at once, and their bytes, beyond which a page ends.
const PAGE_ENTRIES: usize = 256;
const PAGE_BYTES: usize = 1024 * 1024;
/// Records, and bytes of them, that are kept while the edits of several are walked through in turn. Beyond it they are walked again.
const WALKED_RECORDS_MAX: usize = 64;
const WALKED_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Refused edits that are looked up at once.
const REFUSED_PAGE: u32 = 64;

/// What a record holds, in 16 bytes, so that it can be compared without being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageDigest(pub [u8; 16]);

impl ImageDigest {
    /// Of a record that is not here.
    pub const ABSENT: ImageDigest = ImageDigest([0; 16]);

    fn of(key: &Key, row: Option<&Row>) -> Self {
        row.map_or(Self::ABSENT, |row| Self::of_data(&row_to_json(&key.table, &key.id, row)))
    }

    /// Columns have the order of their names: the order of their numbers is another one in a newer catalogue.
    fn of_data(data: &str) -> Self {
        let sorted = serde_json::from_str::<Value>(data).map_or_else(|_| data.to_owned(), |value| value.to_string());
        let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash_of(sorted.as_bytes()).0;
        Self(first)
    }
}

/// How much a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeptCounts {
    /// Edits that central has not judged.
    pub unsent: u64,
    /// Edits that wait at central for a header.
    pub waiting: u64,
    /// Records that never leave the site.
    pub staying: u64,
    /// Refused edits.
    pub refused: u64,
    /// Refused edits of which only central has the data.
    pub refused_at_central: u64,
}

/// Edits that were recorded together, and of which central has given no final verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsentGroup {
    /// The journal that they were recorded in.
    pub journal: JournalId,
    /// Place of the first one there; the others follow.
    pub sequence: Sequence,
    /// When, in milliseconds since 1970.
    pub recorded_at_ms: u64,
    /// The stores that their records belong to.
    pub stores: Vec<String>,
    /// They.
    pub edits: Vec<UnsentEdit>,
}

/// One of them, with digests of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsentEdit {
    /// What it does.
    pub edit: Edit,
    /// The record before it: central's image with the unsent edits before this one on top.
    pub before: ImageDigest,
    /// The record with it.
    pub after: ImageDigest,
    /// The record with all unsent edits.
    pub last: ImageDigest,
}

/// A pending entry, as the file has it.
struct Pending {
    journal: u64,
    journal_id: JournalId,
    sequence: u64,
    store: Option<String>,
    entry: Entry,
    recorded_at_ms: u64,
}

/// Records as they are behind the edits that were walked through, the last few, while there is room.
#[derive(Default)]
struct Walked {
    images: Vec<(Key, Image, usize)>,
}

impl Walked {
    fn take(&mut self, key: &Key) -> Option<Image> {
        let is_it = |(known, ..): &(Key, Image, usize)| known.id == key.id && known.table.name() == key.table.name();
        let at = self.images.iter().position(is_it)?;
        Some(self.images.swap_remove(at).1)
    }

    fn keep(&mut self, key: Key, image: Image, bytes: usize) {
        let held: usize = self.images.iter().map(|(.., bytes)| bytes).sum();
        if held + bytes > WALKED_BYTES_MAX || self.images.len() >= WALKED_RECORDS_MAX {
            self.images.clear();
        }
        self.images.push((key, image, bytes));
    }
}

impl LocalCopy {
    /// Reads everything from now on as it is at this moment, whatever another connection writes. For a copy that is only read.
    ///
    /// # Errors
    /// Those of a read.
    pub fn stand_still(&mut self) -> Result<(), LocalCopyError> {
        self.sql.begin_read()?;
        self.load()
    }

    /// How much there is to keep.
    ///
    /// # Errors
    /// Those of a read.
    pub fn kept_in_backup(&mut self) -> Result<KeptCounts, LocalCopyError> {
        let mut count =
            |sql: &str| Ok::<_, LocalCopyError>(self.sql.query_integer(sql, &[])?.unwrap_or(0).cast_unsigned());
        Ok(KeptCounts {
            unsent: count("SELECT count(*) FROM pending WHERE is_waiting = 0")?,
            waiting: count("SELECT count(*) FROM pending WHERE is_waiting <> 0")?,
            staying: count("SELECT count(*) FROM record WHERE state = 3")?,
            refused: count("SELECT count(*) FROM set_aside WHERE entry IS NOT NULL")?,
            refused_at_central: count("SELECT count(*) FROM set_aside WHERE entry IS NULL")?,
        })
    }

    /// Hands out the edits of which central has given no final verdict, in the order in which they were recorded.
    ///
    /// # Errors
    /// Those of a read, and those of `visit`.
    pub fn each_unsent<E: From<LocalCopyError>>(
        &mut self,
        mut visit: impl FnMut(UnsentGroup) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut after, mut walked) = ((0, 0), Walked::default());
        let mut open: Option<UnsentGroup> = None;
        loop {
            let page = self.pending_behind(after)?;
            let Some(last) = page.last() else { break };
            after = (last.journal, last.sequence);
            for pending in page {
                let goes_on = |group: &UnsentGroup| {
                    group.journal == pending.journal_id
                        && group.sequence.plus(group.edits.len() as u64).0 == pending.sequence
                };
                // A group of which a part has its verdict already, or whose end was lost.
                if let Some(broken) = open.take_if(|group| !goes_on(group)) {
                    visit(broken)?;
                }
                let mut group = open.take().unwrap_or_else(|| UnsentGroup {
                    journal: pending.journal_id,
                    sequence: Sequence(pending.sequence),
                    recorded_at_ms: pending.recorded_at_ms,
                    stores: Vec::new(),
                    edits: Vec::new(),
                });
                if let Some(store) = pending.store.as_ref().filter(|store| !group.stores.contains(store)) {
                    group.stores.push(store.clone());
                }
                let is_group_end = pending.entry.is_group_end;
                group.edits.push(self.unsent_edit(pending, &mut walked)?);
                if is_group_end {
                    visit(group)?;
                } else {
                    open = Some(group);
                }
            }
        }
        open.map_or(Ok(()), visit)
    }

    fn pending_behind(&mut self, (journal, sequence): (u64, u64)) -> Result<Vec<Pending>, LocalCopyError> {
        let (mut page, mut bytes, mut broken) = (Vec::new(), 0, None);
        let sql = "SELECT pending.journal, journal.journal_id, sequence, store, entry, checksum, recorded_at_ms
            FROM pending LEFT JOIN journal ON journal.number = pending.journal
            WHERE (pending.journal, sequence) > (?1, ?2) ORDER BY pending.journal, sequence";
        self.sql.query(sql, &[Param::unsigned(journal)?, Param::unsigned(sequence)?], &mut |row| {
            let (sequence, entry) = (row.unsigned(2)?, row.blob(4)?);
            bytes += entry.len();
            let what = format_args!("pending entry {sequence}");
            let read = checksum::check(row.optional_integer(5)?, checksum::of_entry(entry), what)
                .and_then(|()| Entry::decode(entry).map_err(LocalCopyError::damaged))
                .and_then(|entry| {
                    let id = row.optional_blob(1)?.unwrap_or_default();
                    Ok((JournalId::try_from(id).map_err(LocalCopyError::damaged)?, entry))
                });
            match read {
                Ok((journal_id, entry)) => page.push(Pending {
                    journal: row.unsigned(0)?,
                    journal_id,
                    sequence,
                    store: row.optional_text(3)?.map(str::to_owned),
                    entry,
                    recorded_at_ms: row.unsigned(6)?,
                }),
                Err(error) => broken = Some(error),
            }
            let is_over = broken.is_some() || page.len() >= PAGE_ENTRIES || bytes >= PAGE_BYTES;
            Ok(if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        broken.map_or(Ok(page), Err)
    }

    fn unsent_edit(&mut self, pending: Pending, walked: &mut Walked) -> Result<UnsentEdit, LocalCopyError> {
        let key = self.key(&pending.entry.table, &pending.entry.record);
        let mut image = match walked.take(&key) {
            Some(image) => image,
            None => self.image_before(&key, (pending.journal, pending.sequence))?,
        };
        let edit = self.edit_of(&pending.entry);
        let before = ImageDigest::of(&key, image.row.as_ref());
        let bytes = pending.entry.encode().len();
        Step::of(&key, pending.entry, pending.store.as_deref())?.put_on(&mut image);
        let after = ImageDigest::of(&key, image.row.as_ref());
        let held = image.row.as_ref().map_or(0, |row| row_to_json(&key.table, &key.id, row).len());
        let last = self.digest_of(&key)?;
        walked.keep(key, image, held.max(bytes));
        Ok(UnsentEdit { edit, before, after, last })
    }

    /// Hands out the records that never leave the site, whole, headers before their lines, merges behind what they merge.
    ///
    /// # Errors
    /// Those of a read, and those of `visit`.
    pub fn each_staying<E: From<LocalCopyError>>(
        &mut self,
        mut visit: impl FnMut(Edit) -> Result<(), E>,
    ) -> Result<(), E> {
        for table in self.tables_that_stay()? {
            let mut after = String::new();
            loop {
                let entries = self.staying_behind(&table, &after)?;
                let Some(last) = entries.last() else { break };
                last.record.as_str().clone_into(&mut after);
                for entry in &entries {
                    visit(self.edit_of(entry))?;
                }
            }
        }
        Ok(())
    }

    fn tables_that_stay(&mut self) -> Result<Vec<String>, LocalCopyError> {
        let mut names: Vec<String> = Vec::new();
        self.sql.query("SELECT DISTINCT table_name FROM record WHERE state = 3", &[], &mut |row| {
            names.push(row.text(0)?.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        let depth = |name: &str| match self.catalogue.table_by_name(name) {
            Ok(table) => (table.merges().is_some(), self.depth_of(table.reference())),
            Err(_) => (true, usize::MAX),
        };
        let mut tables: Vec<(bool, usize, String)> = Vec::with_capacity(names.len());
        for name in names {
            let (is_merge, depth) = depth(&name);
            tables.push((is_merge, depth, name));
        }
        tables.sort();
        Ok(tables.into_iter().map(|(_, _, name)| name).collect())
    }

    /// Hands out the refused edits whose data is here, in the order of their numbers.
    ///
    /// # Errors
    /// Those of a read, and those of `visit`.
    pub fn each_refused<E: From<LocalCopyError>>(
        &mut self,
        mut visit: impl FnMut(SetAsideEntry) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut after = Some(0);
        while let Some(number) = after {
            let page = self.set_aside_list(number, REFUSED_PAGE)?;
            for about in &page.items {
                if let Some(entry) = self.set_aside_show(about.number)?.filter(|entry| entry.edit.is_some()) {
                    visit(entry)?;
                }
            }
            after = page.next(|about| about.number);
        }
        Ok(())
    }

    /// Of a record as it is here; `None` of a table that the catalogue does not know.
    ///
    /// # Errors
    /// Those of a read.
    pub fn digest_here(&mut self, table: &str, id: &RecordId) -> Result<Option<ImageDigest>, LocalCopyError> {
        let Ok(table) = self.catalogue.table_by_name(table) else { return Ok(None) };
        let key = self.key(&table.reference().clone(), id);
        self.digest_of(&key).map(Some)
    }

    fn digest_of(&mut self, key: &Key) -> Result<ImageDigest, LocalCopyError> {
        let image = self.merged(key)?;
        Ok(ImageDigest::of(key, image.and_then(|image| image.row).as_ref()))
    }

    /// Of the record that an edit makes which holds all of it; `None` if it is not such an edit.
    pub fn digest_of_whole(&self, edit: &Edit) -> Option<ImageDigest> {
        let table = self.catalogue.table_by_name(&edit.table).ok()?;
        let row = table.canonical(row_from_json(table, &edit.id, edit.data.as_deref()?).ok()?);
        let key = self.key(table.reference(), &edit.id);
        Some(ImageDigest::of(&key, Some(&row)))
    }
}
