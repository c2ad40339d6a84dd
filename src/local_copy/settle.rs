//! Putting pending entries on top of a base, and making accepted ones part of it.

use std::ops::ControlFlow;

use domain::apply::apply;
use domain::catalogue::DataType;
use domain::judge::Header;
use domain::message::{STATUS_COLUMN, Status};
use domain::store::NAME_TABLE;
use domain::visibility::joined_table;
use protocol::entry::{Entry, Operation};
use protocol::few::sort_few;
use protocol::ids::RecordId;
use protocol::row::Row;
use sql::{Param, SqlError, SqlExt};

use super::images::{Image, Key, state};
use super::{LocalCopy, LocalCopyError, checksum, limits};

/// Which entries are final unless they wait: those of `journal` up to `judged`, and all of the journals from `oldest` to before
/// `journal`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Final {
    pub(super) oldest: u64,
    pub(super) journal: u64,
    pub(super) judged: u64,
}

impl Final {
    /// Nothing is.
    const NOTHING: Final = Final::in_journal(0, 0);

    /// Only entries of one journal.
    pub(super) const fn in_journal(journal: u64, judged: u64) -> Self {
        Self { oldest: journal, journal, judged }
    }

    /// Those, and everything of the journals before.
    pub(super) const fn through_journal(journal: u64, judged: u64) -> Self {
        Self { oldest: 0, journal, judged }
    }

    fn params(self) -> Result<[Param<'static>; 3], SqlError> {
        Ok([Param::unsigned(self.journal)?, Param::unsigned(self.judged)?, Param::unsigned(self.oldest)?])
    }

    fn covers(self, journal: u64, sequence: u64, is_waiting: bool) -> bool {
        !is_waiting
            && journal >= self.oldest
            && (journal < self.journal || journal == self.journal && sequence <= self.judged)
    }
}

/// What a walk over the pending entries of one record finds.
struct Walk {
    base: Image,
    merged: Image,
    /// Final.
    finals: u64,
    /// Not final, and how many of these wait.
    open: u64,
    waiting: u64,
}

impl LocalCopy {
    /// Reads the record anew: its base with its pending entries on top. Without pending entries the base becomes the record.
    pub(super) fn merge_again(&mut self, key: &Key) -> Result<(), LocalCopyError> {
        self.settle_record(key, Final::NOTHING)
    }

    /// Makes every accepted entry part of its record's base.
    pub(super) fn settle(&mut self, until: Final) -> Result<(), LocalCopyError> {
        while let Some(batch) = self.final_records(until)? {
            for (table, id) in batch {
                let key = self.key_by_name(&table, &id)?;
                if !self.settle_whole_record(&key, until)? {
                    self.settle_record(&key, until)?;
                }
            }
        }
        Ok(())
    }

    /// Some records of which entries are final; `None` when there are none left.
    pub(super) fn final_records(&mut self, until: Final) -> Result<Option<Vec<(String, String)>>, LocalCopyError> {
        let [journal, judged, oldest] = until.params()?;
        let mut batch: Vec<(String, String)> = Vec::new();
        self.sql.query(
            "SELECT table_name, id FROM pending
             WHERE is_waiting = 0 AND journal >= ?3 AND (journal < ?1 OR (journal = ?1 AND sequence <= ?2))
             ORDER BY journal, sequence LIMIT ?4",
            &[journal, judged, oldest, limits::SETTLE_BATCH.into()],
            &mut |row| {
                batch.push((row.text(0)?.to_owned(), row.text(1)?.to_owned()));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        sort_few(&mut batch, |one, other| one < other);
        batch.dedup();
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }

    /// Whether entries of the journal in use are judged, up to `judged`, and not part of their records' base.
    pub(super) fn has_judged(&mut self, judged: u64) -> Result<bool, LocalCopyError> {
        let sql = "SELECT 1 FROM pending WHERE journal = ?1 AND sequence <= ?2 AND is_waiting = 0 LIMIT 1";
        let params = [Param::unsigned(self.journal_number)?, Param::unsigned(judged)?];
        Ok(self.sql.query_integer(sql, &params)?.is_some())
    }

    /// Deletes a record's final entries; how many there were.
    pub(super) fn drop_final(&mut self, key: &Key, until: Final) -> Result<u64, LocalCopyError> {
        let [table, id] = key.params();
        let [journal, judged, oldest] = until.params()?;
        Ok(self.sql.execute(
            "DELETE FROM pending WHERE table_name = ?1 AND id = ?2
             AND is_waiting = 0 AND journal >= ?5 AND (journal < ?3 OR (journal = ?3 AND sequence <= ?4))",
            &[table, id, journal, judged, oldest],
        )?)
    }

    /// The usual case: everything that is pending of the record is accepted, so what is read is what central has.
    fn settle_whole_record(&mut self, key: &Key, until: Final) -> Result<bool, LocalCopyError> {
        let [table, id] = key.params();
        let [journal, judged, oldest] = until.params()?;
        let open = self.sql.query_integer(
            "SELECT 1 FROM pending WHERE table_name = ?1 AND id = ?2
             AND (is_waiting <> 0 OR journal < ?5 OR journal > ?3 OR (journal = ?3 AND sequence > ?4)) LIMIT 1",
            &[table, id, journal, judged, oldest],
        )?;
        if open.is_some() {
            return Ok(false);
        }
        let is_certain = self.is_certain()?;
        self.sql.execute("DELETE FROM pending WHERE table_name = ?1 AND id = ?2", &key.params())?;
        self.sql.execute("DELETE FROM base WHERE table_name = ?1 AND id = ?2", &key.params())?;
        self.sql.execute("UPDATE record SET state = 0 WHERE table_name = ?1 AND id = ?2", &key.params())?;
        match self.merged_header(key)? {
            Header::Here { store } => {
                let store = if is_line(key) { self.settle_line(key)? } else { store };
                self.join_own_scopes(key, store.as_ref(), is_certain)?;
            }
            Header::Unknown | Header::Deleted => self.leave_all(key)?,
        }
        Ok(true)
    }

    /// Puts a line that central has accepted into the store that it is of there; which that is.
    fn settle_line(&mut self, key: &Key) -> Result<Option<RecordId>, LocalCopyError> {
        let Some(image) = self.merged(key)? else { return Ok(None) };
        let store = self.store_at_central(key, &image)?;
        if store != image.store {
            self.put_merged(key, &Image { store: store.clone(), ..image }, state::CENTRAL)?;
        }
        Ok(store)
    }

    /// The store that an accepted record is of: a line's header says that. When the line was recorded another header may have been read
    /// under the id, which central refused because it has one in another store of this site; and took the line under that.
    fn store_at_central(&mut self, key: &Key, image: &Image) -> Result<Option<RecordId>, LocalCopyError> {
        let of_header = match image.row.as_ref().filter(|_| is_line(key)) {
            Some(row) => self.store_of_row(key, row, None)?,
            None => None,
        };
        Ok(of_header.or_else(|| image.store.clone()))
    }

    /// The general case: folds accepted entries into the base and puts the others on top of it again. The entries are read one
    /// by one, however many a record has.
    pub(super) fn settle_record(&mut self, key: &Key, until: Final) -> Result<(), LocalCopyError> {
        let Some(base) = self.base(key)? else { return self.refuse_pending_without_base(key) };
        let mut accepted = self.walk(key, base, until)?;
        if accepted.finals > 0 {
            accepted.base.store = self.store_at_central(key, &accepted.base)?;
            accepted.merged.store = self.store_at_central(key, &accepted.merged)?;
        }
        let folded = accepted.base;
        let stayed = self.falls_back_to_staying(key)?;
        if accepted.open == 0 {
            self.sql.execute("DELETE FROM base WHERE table_name = ?1 AND id = ?2", &key.params())?;
        } else if !stayed || accepted.finals > 0 {
            self.put_base(key, &folded)?;
        }
        let is_certain = self.is_certain()?;
        let settled = self.drop_final(key, until)?;
        let state = match (accepted.open, accepted.waiting) {
            (0, _) if stayed && accepted.finals == 0 => state::LOCAL,
            (0, _) => state::CENTRAL,
            (_, 0) => state::PENDING,
            _ => state::WAITING,
        };
        self.put_merged(key, &accepted.merged, state)?;
        if settled > 0 {
            match &folded.row {
                Some(_) => self.join_own_scopes(key, folded.store.as_ref(), is_certain)?,
                None => self.leave_all(key)?,
            }
        }
        Ok(())
    }

    /// Whether central has what a record's final entries made. While everything is read anew only a page shows that: central may be set
    /// back once more before it has brought all, and what it had lost of journals before the one in use is not sent again.
    fn is_certain(&mut self) -> Result<bool, LocalCopyError> {
        Ok(!self.is_other_time_line()?)
    }

    fn refuse_pending_without_base(&mut self, key: &Key) -> Result<(), LocalCopyError> {
        let sql = "SELECT 1 FROM pending WHERE table_name = ?1 AND id = ?2 LIMIT 1";
        if self.sql.query_integer(sql, &key.params())?.is_none() {
            return Ok(());
        }
        let name = key.table.name();
        Err(LocalCopyError::damaged(format_args!("{name} {} has pending entries and no base", key.id)))
    }

    /// Two passes: accepted entries first, as central has applied them, then the others on top.
    /// A base with the entries on top of it that are final.
    pub(super) fn folded(&mut self, key: &Key, base: Image, until: Final) -> Result<Image, LocalCopyError> {
        Ok(self.walk(key, base, until)?.base)
    }

    fn walk(&mut self, key: &Key, base: Image, until: Final) -> Result<Walk, LocalCopyError> {
        let mut walk = Walk { base: base.clone(), merged: base, finals: 0, open: 0, waiting: 0 };
        self.visit_pending(key, &mut |journal, sequence, is_waiting, step| {
            if until.covers(journal, sequence, is_waiting) {
                step.put_on(&mut walk.base);
                walk.finals += 1;
            } else {
                walk.open += 1;
                walk.waiting += u64::from(is_waiting);
            }
        })?;
        walk.merged = walk.base.clone();
        self.visit_pending(key, &mut |journal, sequence, is_waiting, step| {
            if !until.covers(journal, sequence, is_waiting) {
                step.put_on(&mut walk.merged);
            }
        })?;
        Ok(walk)
    }

    /// The record before one of its pending entries, of this journal's number and this sequence: central's image, which of one that had
    /// stayed here is none, with the entries before on top.
    pub(super) fn image_before(&mut self, key: &Key, place: (u64, u64)) -> Result<Image, LocalCopyError> {
        let base = if self.falls_back_to_staying(key)? { Some(Image::NOT_HERE) } else { self.base(key)? };
        let Some(mut image) = base else {
            self.refuse_pending_without_base(key)?;
            return Ok(Image::NOT_HERE);
        };
        self.visit_pending(key, &mut |journal, sequence, _, step| {
            if (journal, sequence) < place {
                step.put_on(&mut image);
            }
        })?;
        Ok(image)
    }

    fn visit_pending(&mut self, key: &Key, visit: &mut dyn FnMut(u64, u64, bool, Step)) -> Result<(), LocalCopyError> {
        let mut broken = None;
        self.sql.query(
            "SELECT journal, sequence, is_waiting, entry, store, checksum FROM pending
             WHERE table_name = ?1 AND id = ?2 ORDER BY journal, sequence",
            &key.params(),
            &mut |row| {
                let bytes = row.blob(3)?;
                let what = format_args!("pending entry {}", row.unsigned(1)?);
                let step = checksum::check(row.optional_integer(5)?, checksum::of_entry(bytes), what)
                    .and_then(|()| Entry::decode(bytes).map_err(LocalCopyError::damaged))
                    .and_then(|entry| Step::of(key, entry, row.optional_text(4).map_err(LocalCopyError::from)?));
                match step {
                    Ok(step) => visit(row.unsigned(0)?, row.unsigned(1)?, row.integer(2)? != 0, step),
                    Err(error) => {
                        broken = Some(error);
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        broken.map_or(Ok(()), Err)
    }
}

/// One pending entry, ready to be put on an image.
pub(super) struct Step {
    operation: Operation,
    store: Option<RecordId>,
    /// What of the operation counts where the record is here: set for records that a site only makes and others change, messages and the
    /// visibility of patients and prescribers. One that came meanwhile has the operation in it, and may say already what became of it.
    if_here: IfHere,
    /// Set where a record that is here stays in its store: for patients, what hangs on them, and prescribers, and for changes of Store
    /// data, which no edit moves to another store. Central may have another record under the id than the one that was read.
    keeps_store: bool,
}

enum IfHere {
    /// All of it.
    All,
    /// Nothing.
    Nothing,
    /// This change alone: that a message is processed, which never goes back.
    Only(Operation),
}

impl Step {
    pub(super) fn of(key: &Key, entry: Entry, store: Option<&str>) -> Result<Self, LocalCopyError> {
        let operation = canonical(key, entry.operation);
        let store = store.map(RecordId::new).transpose().map_err(LocalCopyError::damaged)?;
        let if_here = match &operation {
            Operation::Put(row) | Operation::Patch(row) if key.table.data_type() == DataType::Message => {
                match Status::of(&key.table, row) {
                    Some(Status::Processed) => IfHere::Only(status_of(key, row)),
                    _ => IfHere::Nothing,
                }
            }
            Operation::Put(_) if joined_table(&key.table).is_some() => IfHere::Nothing,
            _ => IfHere::All,
        };
        let is_change = matches!(operation, Operation::Patch(_));
        let keeps_store = match key.table.data_type() {
            DataType::Patient => true,
            DataType::Store => is_change,
            _ => key.table.name() == NAME_TABLE,
        };
        Ok(Self { operation, store, if_here, keeps_store })
    }

    pub(super) fn put_on(&self, image: &mut Image) {
        let operation = match &self.if_here {
            IfHere::Nothing if image.row.is_some() => return,
            IfHere::Only(change) if image.row.is_some() => change,
            _ => &self.operation,
        };
        image.row = apply(&image.found(), operation);
        // No edit gives a patient another home store; central may have done so since.
        if image.row.is_some() && (image.store.is_none() || !self.keeps_store) {
            image.store.clone_from(&self.store);
        }
    }
}

/// Whether a record is a line, whose header alone says of which store it is.
fn is_line(key: &Key) -> bool {
    let table = &key.table;
    table.data_type() == DataType::Store && table.parent().is_some() && table.store_column().is_none()
}

/// The change of a message's status alone that a whole message makes.
fn status_of(key: &Key, row: &Row) -> Operation {
    let column = key.table.column_ref(STATUS_COLUMN);
    let columns = row.columns().iter().filter(|(found, _)| *found == column).cloned().collect();
    Operation::Patch(Row::new(columns).expect("one of the columns of a row is within every limit"))
}

/// The operation with numbers for columns that the catalogue has come to know.
pub(super) fn canonical(key: &Key, operation: Operation) -> Operation {
    match operation {
        Operation::Put(row) => Operation::Put(key.table.canonical(row)),
        Operation::Patch(row) => Operation::Patch(key.table.canonical(row)),
        Operation::Delete => Operation::Delete,
    }
}

/// The word in the file for what an entry does.
pub(super) fn operation_word(operation: &Operation) -> &'static str {
    match operation {
        Operation::Put(_) => "put",
        Operation::Patch(_) => "patch",
        Operation::Delete => "delete",
    }
}
