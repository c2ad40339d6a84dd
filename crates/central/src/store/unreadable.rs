//! Records of which central cannot read its own row: the disk decayed, or somebody changed it past the program. Nobody is held up by one.
//!
//! | what comes for it | what becomes of that |
//! | --- | --- |
//! | a put of whoever may write it | takes the place of the row, at a new position: the record is read again everywhere |
//! | a patch or a delete, or a put of somebody else | refused (`record_unreadable`) and set aside: it says nothing of the rest of the record |
//! | an edit of another record, for which this one has to be read | the same |
//!
//! Who may write it is not read from the row. What the judge is shown instead is the put itself, as if it were there already, in the
//! store that the record's lanes name; they lie apart from the row.

use std::ops::ControlFlow;

use domain::judge::{Applied, Found, Refusal, RefusalCode, Verdict};
use domain::scope::Scope;
use domain::visibility::VisibleKey;
use protocol::entry::{Entry, Operation};
use protocol::ids::{RecordId, SiteId};
use protocol::row::Row;
use sql::SqlExt;

use super::batch::Batch;
use super::error::StoreError;
use super::judging::Reason;
use super::reading::Reading;
use super::records::{Key, check_record};
use super::text;

/// Code of an edit that needs what central cannot read.
pub(super) const UNREADABLE: &str = RefusalCode::RecordUnreadable.as_str();
/// Unreadable records that are named one by one; the rest is counted.
pub const UNREADABLE_NAMED_MAX: usize = 100;

/// What is known of a record without its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    is_deleted: bool,
    store: Option<RecordId>,
    visible_key: Option<VisibleKey>,
}

/// A record that central cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRecord {
    /// Its table.
    pub table: String,
    /// Its id.
    pub record: String,
    /// The store that its lanes name.
    pub store: Option<RecordId>,
    /// The site that this store is active at; central, if there is no store or it is nowhere.
    pub site: SiteId,
    /// What is wrong.
    pub fault: String,
}

/// Those that central cannot read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnreadableRecords {
    /// The first of them, by number.
    pub named: Vec<UnreadableRecord>,
    /// How many there are.
    pub count: u64,
}

impl Standing {
    /// What the judge is shown in place of the row while a whole one is judged.
    pub(super) fn with(&self, row: Row) -> Found {
        if self.is_deleted {
            Found::Deleted { store: self.store.clone() }
        } else {
            Found::Here { row, store: self.store.clone() }
        }
    }

    /// Whether a row that was accepted stands where the one stood that cannot be read. Then it is the same writer's.
    fn is_of(&self, applied: &Applied) -> bool {
        let is_seen_alike = self.store.is_some() || self.visible_key == applied.visible_key;
        self.store == applied.store && is_seen_alike
    }
}

/// Whether a put may take the place of a row that cannot be read; else why not.
pub(super) fn replaces(standing: &Standing, key: &Key, verdict: Verdict) -> Verdict {
    let refuse = || {
        let what =
            format!("central cannot read {}, and this edit is of another writer: nothing takes its place", key.1);
        Verdict::Refuse(Refusal::new(RefusalCode::RecordUnreadable, &what))
    };
    match verdict {
        Verdict::Accept(applied) if !standing.is_of(&applied) => refuse(),
        // It is here just so only because it was shown to the judge.
        Verdict::Refuse(refusal) if refusal.code == RefusalCode::AlreadyHere => refuse(),
        verdict => verdict,
    }
}

/// Why an edit is refused that needs a record which cannot be read.
pub(super) fn reason(key: &Key, table: &str, own: Option<&Key>) -> Reason {
    let what = if Some(key) == own {
        format!(
            "central cannot read its row of {table} {}, and this edit is no whole record that could take its place",
            key.1
        )
    } else {
        format!("central cannot read its row of {table} {}, which this edit depends on", key.1)
    };
    let advice = "`verify --with-central` on the site that writes that record sends it again; then retry this edit";
    Reason::new(UNREADABLE, &format!("{what}: {advice}"))
}

/// The whole row of an entry that puts one.
pub(super) fn put_of(entry: &Entry) -> Option<&Row> {
    match &entry.operation {
        Operation::Put(row) => Some(row),
        Operation::Patch(_) | Operation::Delete => None,
    }
}

impl Batch<'_> {
    pub(super) fn unreadable(&self, key: &Key) -> StoreError {
        StoreError::Unreadable(Box::new((key.clone(), self.catalogue.table_name(&key.0))))
    }

    /// The number of a record, whatever its row says.
    pub(super) fn number_of(&mut self, key: &Key) -> Result<Option<i64>, StoreError> {
        let table = self.catalogue.table_name(&key.0);
        let sql = "SELECT number FROM record WHERE table_name = ?1 AND id = ?2";
        Ok(self.sql.query_integer(sql, &[(&table).into(), key.1.as_str().into()])?)
    }

    /// What is known of a record without its row; `None` where that is not enough to tell whose it is.
    pub(super) fn standing_of(&mut self, key: &Key, number: i64) -> Result<Option<Standing>, StoreError> {
        let table = self.catalogue.table_name(&key.0);
        self.reading().standing_of(&table, &key.1, number)
    }
}

impl Reading<'_> {
    fn standing_of(&mut self, table: &str, id: &RecordId, number: i64) -> Result<Option<Standing>, StoreError> {
        let mut lanes = Vec::new();
        self.sql.query(
            "SELECT scope.id, lane.is_tombstone, lane.visible_key FROM lane JOIN scope ON scope.number = lane.scope
             WHERE lane.record = ?1 ORDER BY lane.scope",
            &[number.into()],
            &mut |row| {
                let scope = Scope::from_id(&text::scope(row, 0)?);
                if !matches!(scope, Scope::Gained(_)) {
                    let key = row.optional_text(2)?.and_then(VisibleKey::from_text);
                    lanes.push((scope, row.integer(1)? != 0, key));
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        let is_deleted = !lanes.is_empty() && lanes.iter().all(|(_, is_tombstone, _)| *is_tombstone);
        lanes.retain(|(_, is_tombstone, _)| is_deleted || !is_tombstone);
        let visible_key = lanes.iter().find_map(|(.., key)| key.clone());
        let stores: Vec<RecordId> = lanes
            .into_iter()
            .filter_map(|(scope, ..)| if let Scope::Store(store) = scope { Some(store) } else { None })
            .collect();
        let store = match stores.as_slice() {
            [store] => Some(store.clone()),
            [] => {
                let table = self.catalogue.table_by_name(table).ok().filter(|table| table.has_home_stores());
                let home = table.map(|table| VisibleKey::of_home(table, id).to_text());
                let sql = "SELECT store FROM home_store WHERE visible_key = ?1";
                let read = |home: String| self.sql.query_one(sql, &[(&home).into()], |row| text::record_id(row, 0));
                home.map(read).transpose()?.flatten()
            }
            // As a message, which is in the lanes of two: the row's own column says whose it is, if it names one of them.
            several => {
                let sql = "SELECT store FROM record WHERE number = ?1";
                let kept =
                    self.sql.query_one(sql, &[number.into()], |row| Ok(text::optional_record_id(row, 0).ok()))?;
                match kept.flatten().flatten() {
                    Some(kept) if several.contains(&kept) => Some(kept),
                    _ => return Ok(None),
                }
            }
        };
        Ok(Some(Standing { is_deleted, store, visible_key }))
    }

    /// Records that central cannot read. Reads all there are.
    ///
    /// # Errors
    /// [`StoreError::Sql`], of what is more than a row.
    pub fn unreadable_records(&mut self) -> Result<UnreadableRecords, StoreError> {
        self.at_once(|reading| {
            let catalogue = reading.catalogue;
            let mut found = UnreadableRecords::default();
            let mut named = Vec::new();
            let sql = "SELECT number, table_name, id, store, data, position, checksum FROM record ORDER BY number";
            reading.sql.query(sql, &[], &mut |row| {
                let Some(fault) = fault_of(catalogue, row) else { return Ok(ControlFlow::Continue(())) };
                found.count += 1;
                if named.len() < UNREADABLE_NAMED_MAX {
                    let text = |column| row.text(column).unwrap_or("?").to_owned();
                    named.push((row.integer(0)?, text(1), text(2), fault));
                }
                Ok(ControlFlow::Continue(()))
            })?;
            for (number, table, record, fault) in named {
                let id = RecordId::new(&record).ok();
                let standing = id.map(|id| reading.standing_of(&table, &id, number)).transpose()?.flatten();
                let store = standing.and_then(|standing| standing.store);
                let site = store.as_ref().map_or(Ok(SiteId::CENTRAL), |store| reading.holder(store))?;
                found.named.push(UnreadableRecord { table, record, store, site, fault });
            }
            Ok(found)
        })
    }
}

/// What is wrong with a row of number, table, id, store, data, position and checksum; `None` if it reads as it was written.
fn fault_of(catalogue: &domain::catalogue::Catalogue, row: &dyn sql::Row) -> Option<String> {
    let read = || {
        let (table, id) = (row.text(1)?, text::record_id(row, 2)?);
        text::optional_record_id(row, 3)?;
        check_record(
            row.optional_integer(6)?,
            table,
            id.as_str(),
            (row.optional_text(3)?, row.optional_text(4)?, row.unsigned(5)?),
        )?;
        let data = row.optional_text(4)?;
        let table = text::table(catalogue, table);
        Ok::<_, sql::SqlError>(
            data.and_then(|data| domain::json::row_from_json(&table, &id, data).err()).map(|error| error.to_string()),
        )
    };
    read().unwrap_or_else(|error| Some(error.message))
}
