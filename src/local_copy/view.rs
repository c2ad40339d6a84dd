//! What the judge reads when an edit is recorded.

use domain::authority::{Authority, central_data};
use domain::catalogue::Table;
use domain::judge::{Found, Header, Holding, View};
use domain::store::{STORE_TABLE, is_dispensary};
use protocol::ids::{OwnershipNumber, RecordId, SiteId, TableRef};
use protocol::row::Row;
use sql::SqlExt;

use super::grants::{IS_HANDED_BACK, MAY_BE_WRITTEN};
use super::{LocalCopy, LocalCopyError};

/// The column of a store's record that names it.
const NAME_OF_STORE: &str = "name_ID";

impl LocalCopy {
    /// By the records of the stores that are held here.
    fn has_store_that(&mut self, is_it: impl Fn(&Table, &Row) -> bool) -> Result<bool, LocalCopyError> {
        let Ok(stores) = self.catalogue.table_by_name(STORE_TABLE).cloned() else { return Ok(false) };
        Ok(self.held_stores()?.iter().any(|(_, row)| is_it(&stores, row)))
    }

    /// The records of the stores that are active here, those that have come.
    ///
    /// # Errors
    /// Those of a read.
    pub fn held_stores(&mut self) -> Result<Vec<(RecordId, Row)>, LocalCopyError> {
        let mut stores = Vec::new();
        for (store, _) in self.grants()? {
            // The grant of central data names no store.
            let key = self.key_by_name(STORE_TABLE, &store)?;
            let record = self.merged(&key)?.and_then(|image| image.row);
            stores.extend(record.map(|row| (key.id, row)));
        }
        Ok(stores)
    }
}

impl View for LocalCopy {
    type Error = LocalCopyError;

    fn record(&mut self, table: &TableRef, id: &RecordId) -> Result<Found, LocalCopyError> {
        let key = self.key(table, id);
        if let Some(image) = self.merged(&key)? {
            return Ok(image.found());
        }
        // Not here: if an own entry took it away, its store decides who may write it.
        let sql = "SELECT store, operation FROM pending WHERE table_name = ?1 AND id = ?2
                   ORDER BY journal DESC, sequence DESC LIMIT 1";
        let last = self.sql.query_one(sql, &key.params(), |row| {
            Ok((row.optional_text(0)?.map(str::to_owned), row.text(1)? == "delete"))
        })?;
        match last {
            Some((store, true)) => {
                let store = store.map(|store| RecordId::new(&store)).transpose().map_err(LocalCopyError::damaged)?;
                Ok(Found::Deleted { store })
            }
            Some((_, false)) | None => Ok(Found::Unknown),
        }
    }

    fn holding(&mut self, store: &RecordId) -> Result<Option<Holding>, LocalCopyError> {
        let state = if self.hands_over { IS_HANDED_BACK } else { MAY_BE_WRITTEN };
        let sql = format!("SELECT ownership FROM store_grant WHERE store = ?1 AND {state}");
        let number = self.sql.query_one(&sql, &[store.as_str().into()], |row| row.unsigned(0))?;
        let Some(number) = number else { return Ok(None) };
        let number = u32::try_from(number).map_err(LocalCopyError::damaged)?;
        Ok(Some(Holding { site: self.site, ownership: OwnershipNumber(number) }))
    }

    /// By its grant, like a store's.
    fn authority(&mut self) -> Result<Authority, LocalCopyError> {
        Ok(self.holding(&central_data())?.map_or(Authority::Central, Authority::Primary))
    }

    /// Waiting is central's affair: here a line without a header is refused at once.
    fn is_waiting(&mut self, _author: SiteId, _table: &TableRef, _id: &RecordId) -> Result<bool, LocalCopyError> {
        Ok(false)
    }

    fn has_dispensary(&mut self, _site: SiteId) -> Result<bool, LocalCopyError> {
        self.has_store_that(is_dispensary)
    }

    fn is_read_anew(&mut self) -> Result<bool, LocalCopyError> {
        Ok(self.is_after_loss()? || self.is_rebuilding()?)
    }

    fn is_name_of_own_store(&mut self, name: &RecordId) -> Result<bool, LocalCopyError> {
        self.has_store_that(|stores, row| stores.id_in(row, NAME_OF_STORE).as_ref() == Ok(name))
    }

    /// Only central writes stores; it refuses a merge of the name of one.
    fn store_of_name(&mut self, _name: &RecordId) -> Result<Option<RecordId>, LocalCopyError> {
        Ok(None)
    }

    /// Asked for the record of a store alone.
    fn merged_into(&mut self, _merges: &TableRef, _record: &RecordId) -> Result<Option<RecordId>, LocalCopyError> {
        Ok(None)
    }

    fn is_withheld(&mut self, table: &TableRef, id: &RecordId) -> Result<bool, LocalCopyError> {
        let key = self.key(table, id);
        self.is_staying(&key)
    }

    fn header(&mut self, table: &TableRef, id: &RecordId) -> Result<Header, LocalCopyError> {
        let key = self.key(table, id);
        match self.merged_header(&key)? {
            Header::Unknown => Ok(match self.record(table, id)? {
                Found::Deleted { .. } => Header::Deleted,
                Found::Here { store, .. } => Header::Here { store },
                Found::Unknown => Header::Unknown,
            }),
            header => Ok(header),
        }
    }
}
