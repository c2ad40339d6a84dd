//! Refused entries of the site that holds a store, so far as they are of that store: the log keeps no store beside an entry, so that the
//! entries are read.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use domain::catalogue::Catalogue;
use protocol::entry::{Entry, Operation};
use protocol::ids::{RecordId, Sequence, SiteId, TableRef};
use sql::{Param, SqlExt};

use super::error::StoreError;
use super::kept::{ENTRIES_NAMED_MAX, KeptEntries, KeptEntry};
use super::reading::Reading;
use super::text;

/// Refused entries of the site that are read to find those of the store.
pub const REFUSED_READ_MAX: usize = 1000;

/// A refused entry, and what it says; `None` of one that cannot be read.
type Refused = (KeptEntry, Option<Said>);

/// What an entry says of the store that it is of.
struct Said {
    record: (TableRef, RecordId),
    store: Option<RecordId>,
    header: Option<(TableRef, RecordId)>,
}

impl Said {
    fn of(catalogue: &Catalogue, bytes: &[u8]) -> Option<Self> {
        let entry = Entry::decode(bytes).ok()?;
        let table = catalogue.table(&entry.table)?;
        let record = (table.reference().clone(), entry.record.clone());
        let row = match entry.operation {
            Operation::Put(row) | Operation::Patch(row) => table.canonical(row),
            Operation::Delete => return Some(Self { record, store: None, header: None }),
        };
        let header = table.parent().and_then(|parent| {
            let id = table.header_of(&row)?.ok()?;
            Some((parent.table.clone(), id))
        });
        Some(Self { store: table.store_of(&record.1, &row).and_then(Result::ok), header, record })
    }
}

impl Reading<'_> {
    /// Entries of a site which are not part of the records: all that wait, as it is not known of which store they are, and the refused ones
    /// of a store. Whether there are more of these than were read.
    pub(super) fn kept_entries_of_store(
        &mut self,
        site: SiteId,
        store: &RecordId,
    ) -> Result<(KeptEntries, bool), StoreError> {
        let (entries_waiting, waiting) = self.waiting_entries(&[site.0.into()], "waiting.site = ?1")?;
        let (entries, has_more) = self.refused_with_content(site)?;
        let mut stores: BTreeMap<(TableRef, RecordId), RecordId> = BTreeMap::new();
        let mut kept = KeptEntries { entries_waiting, entries_set_aside: 0, waiting, refused: Vec::new() };
        for (entry, said) in entries {
            let Some(Said { record, store: named, header }) = said else { continue };
            // What is here keeps its store, whatever a refused edit would have made of it.
            let mut of = self.store_beside(&record)?.or(named);
            if let (None, Some(header)) = (&of, header) {
                of =
                    stores.get(&header).cloned().map_or_else(|| self.store_beside(&header), |found| Ok(Some(found)))?;
            }
            let Some(of) = of else { continue };
            if of == *store {
                kept.entries_set_aside += 1;
                if kept.refused.len() < ENTRIES_NAMED_MAX as usize {
                    kept.refused.push(entry);
                }
            }
            stores.insert(record, of);
        }
        Ok((kept, has_more))
    }

    /// The first refused entries of a site, and whether there are more.
    fn refused_with_content(&mut self, site: SiteId) -> Result<(Vec<Refused>, bool), StoreError> {
        let catalogue = self.catalogue;
        let mut found = Vec::new();
        let sql = format!(
            "SELECT journal.id, entry.sequence, entry.code, entry.reason, entry.bytes
             FROM journal JOIN entry ON entry.journal = journal.number
             WHERE journal.site = ?1 AND entry.verdict = 2 ORDER BY journal.number, entry.sequence LIMIT {}",
            REFUSED_READ_MAX + 1
        );
        self.sql.query(&sql, &[site.0.into()], &mut |row| {
            let told = |text: Option<&str>| text.unwrap_or_default().to_owned();
            let entry = KeptEntry {
                site,
                journal: text::journal_id(row, 0)?,
                sequence: Sequence(row.unsigned(1)?),
                waits_for: None,
                refused: Some((told(row.optional_text(2)?), told(row.optional_text(3)?))),
            };
            found.push((entry, Said::of(catalogue, row.blob(4)?)));
            Ok(ControlFlow::Continue(()))
        })?;
        let has_more = found.len() > REFUSED_READ_MAX;
        found.truncate(REFUSED_READ_MAX);
        Ok((found, has_more))
    }

    /// The store that central keeps beside a record, also beside one that was deleted.
    fn store_beside(&mut self, (table, id): &(TableRef, RecordId)) -> Result<Option<RecordId>, StoreError> {
        let table = self.catalogue.table_name(table);
        let params: [Param<'_>; 2] = [(&table).into(), id.as_str().into()];
        let sql = "SELECT store FROM record WHERE table_name = ?1 AND id = ?2";
        Ok(self.sql.query_one(sql, &params, |row| text::optional_record_id(row, 0))?.flatten())
    }
}
