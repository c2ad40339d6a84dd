//! Names that are one: a merge of names widens visibility (`domain.md`, "Merging"), so that what hangs on either is seen wherever one of
//! them is. The rows that hang on a name keep its id; `name_alias` says which names stand for the same one, all of these among them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use domain::catalogue::Table;
use domain::merge;
use domain::store::NAME_TABLE;
use domain::visibility::VisibleKey;
use protocol::ids::{RecordId, SiteId};
use protocol::row::Row;

use super::batch::Batch;
use super::error::StoreError;
use super::text;

/// As a condition on a column: that it is ?2 or a name that is one with it.
pub(super) const IS_SAME_NAME: &str = "IN (SELECT ?2 UNION SELECT other.name FROM name_alias one
    JOIN name_alias other ON other.stands_for = one.stands_for WHERE one.name = ?2)";

impl Batch<'_> {
    /// Follows a row of the merges of names, after it was written.
    pub(super) fn follow_name_merge(
        &mut self,
        merges: &Table,
        from: &RecordId,
        row: Option<&Row>,
    ) -> Result<(), StoreError> {
        let is_of_names =
            self.catalogue.table_by_name(NAME_TABLE).is_ok_and(|names| merges.merges() == Some(names.reference()));
        if !is_of_names {
            return Ok(());
        }
        let into = row.and_then(|row| merge::into_of(merges, row).ok());
        let mut names = self.same_names(from)?;
        if let Some(name) = &into {
            names.extend(self.same_names(name)?);
        }
        for name in &names {
            self.sql.execute("DELETE FROM name_alias WHERE name = ?1", &[name.as_str().into()])?;
        }
        for name in &names {
            let end = merge::resolve(name, |id| self.alias(merges, id))?;
            for (name, end) in [(name, &end), (&end, &end)].into_iter().filter(|_| *name != end) {
                self.sql.execute(
                    "INSERT INTO name_alias (name, stands_for) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
                    &[name.as_str().into(), end.as_str().into()],
                )?;
            }
        }
        let mut sites: BTreeSet<SiteId> = BTreeSet::new();
        for name in &names {
            for store in self.ids("SELECT store FROM visibility WHERE name = ?1", name)? {
                sites.extend(self.sites_with(&store)?);
            }
        }
        for site in sites {
            for name in &names {
                self.look_again(site, &VisibleKey::Name(name.clone()))?;
            }
        }
        Ok(())
    }

    /// Follows the merges of before names were joined by them.
    pub(super) fn join_merged_names(&mut self) -> Result<(), StoreError> {
        let catalogue = self.catalogue;
        let names = catalogue.table_by_name(NAME_TABLE).ok();
        let Some(merges) = names.and_then(|names| catalogue.merges_of(names)) else { return Ok(()) };
        let sql = "SELECT id FROM record WHERE table_name = ?1 AND data IS NOT NULL";
        let mut gone = Vec::new();
        self.sql.query(sql, &[merges.name().into()], &mut |row| {
            gone.push(text::record_id(row, 0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        for from in gone {
            let stored = self.read_record(&(merges.reference().clone(), from.clone()))?;
            self.follow_name_merge(merges, &from, stored.and_then(|stored| stored.row).as_ref())?;
        }
        Ok(())
    }

    /// A name and those that are one with it.
    pub(super) fn same_names(&mut self, name: &RecordId) -> Result<BTreeSet<RecordId>, StoreError> {
        let mut names = BTreeSet::from([name.clone()]);
        let sql = "SELECT other.name FROM name_alias one JOIN name_alias other ON other.stands_for = one.stands_for
            WHERE one.name = ?1";
        self.sql.query(sql, &[name.as_str().into()], &mut |row| {
            names.insert(text::record_id(row, 0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(names)
    }
}
