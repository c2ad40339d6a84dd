//! What a record stands for after central's merges (rule 5.19), by the rows of merges that are here.

use domain::catalogue::Table;
use domain::merge::{Alias, into_of, resolve};
use protocol::ids::{RecordId, TableRef};

use super::images::Key;
use super::{LocalCopy, LocalCopyError};

impl LocalCopy {
    /// The record that a record stands for; `None` if it was not merged, as far as this site knows. Neither of them need be here.
    ///
    /// # Errors
    /// Those of a read.
    pub fn stands_for(&mut self, table: &Table, id: &str) -> Result<Option<RecordId>, LocalCopyError> {
        let merges: Vec<TableRef> = self.catalogue.merges_of(table).map(|merges| merges.reference().clone()).collect();
        let id = RecordId::new(id).map_err(LocalCopyError::damaged)?;
        let end = resolve(&id, |id| self.alias_in(&merges, id))?;
        Ok((end != id).then_some(end))
    }

    /// A record has a row of one kind of merges at most.
    fn alias_in(&mut self, merges: &[TableRef], id: &RecordId) -> Result<Option<Alias>, LocalCopyError> {
        for merges in merges {
            let key = self.key(merges, id);
            if let Some(alias) = self.alias(&key)? {
                return Ok(Some(alias));
            }
        }
        Ok(None)
    }

    fn alias(&mut self, key: &Key) -> Result<Option<Alias>, LocalCopyError> {
        let Some(image) = self.merged(key)? else { return Ok(None) };
        let into = image.row.and_then(|row| into_of(&key.table, &row).ok());
        Ok(into.map(|into| Alias { into, position: image.position }))
    }
}
