//! Which names and stores this site sees by what central has of that: while what it sees is swept after central was set back, only what
//! hangs on these counts as lost. The rest central has all the same, and gives to those who see it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use domain::catalogue::Table;
use domain::scope::Scope;
use domain::store::STORE_TABLE;
use domain::visibility::{JOIN_TABLE, Join, VisibleKey, name_of_store};
use protocol::ids::{OwnershipNumber, RecordId};
use protocol::row::Row;
use sql::SqlExt;

use super::images::{Image, Key};
use super::rebuild::Sweep;
use super::{LocalCopy, LocalCopyError};

/// See the module. `None` where a scope is swept that does not go by visibility: then all of it counts.
pub(super) struct Seen(Option<BTreeSet<VisibleKey>>);

impl Seen {
    /// Whether a record that did not come again is one that central lost.
    pub(super) fn counts_as_lost(&self, key: &Key, image: &Image) -> bool {
        let hangs_on = image.row.as_ref().and_then(|row| VisibleKey::of(&key.table, &key.id, row));
        self.0.as_ref().zip(hangs_on).is_none_or(|(seen, hangs_on)| seen.contains(&hangs_on))
    }
}

impl LocalCopy {
    /// What the site sees by the records that came again in the reading which a sweep follows.
    pub(super) fn seen(&mut self, sweep: &Sweep, grants: &[(String, OwnershipNumber)]) -> Result<Seen, LocalCopyError> {
        let visible = Scope::Visible.to_id();
        let number = "SELECT number FROM scope WHERE scope_id = ?1";
        if self.sql.query_integer(number, &[visible.as_bytes().into()])? != Some(sweep.scope) {
            return Ok(Seen(None));
        }
        let own: BTreeSet<RecordId> = grants.iter().filter_map(|(store, _)| RecordId::new(store).ok()).collect();
        let mut names = BTreeSet::new();
        for (joins, _, row) in self.rows_that_came(sweep, JOIN_TABLE)? {
            names.extend(Join::of(&joins, &row).filter(|join| own.contains(&join.store)).map(|join| join.name));
        }
        let mut seen = BTreeSet::new();
        for (stores, store, row) in self.rows_that_came(sweep, STORE_TABLE)? {
            let name = name_of_store(&stores, &row);
            if own.contains(&store) {
                names.extend(name);
            } else if name.is_some_and(|name| names.contains(&name)) {
                seen.insert(VisibleKey::Store(store));
            }
        }
        seen.extend(own.into_iter().map(VisibleKey::Store));
        seen.extend(names.into_iter().map(VisibleKey::Name));
        Ok(Seen(Some(seen)))
    }

    fn rows_that_came(
        &mut self,
        sweep: &Sweep,
        table: &str,
    ) -> Result<Vec<(Arc<Table>, RecordId, Row)>, LocalCopyError> {
        let mut ids = Vec::new();
        self.sql.query(
            "SELECT id FROM membership WHERE table_name = ?1 AND scope = ?2 AND generation = ?3 ORDER BY id",
            &[table.into(), sweep.scope.into(), sweep.generation.into()],
            &mut |row| {
                ids.push(row.text(0)?.to_owned());
                Ok(ControlFlow::Continue(()))
            },
        )?;
        let mut rows = Vec::new();
        for id in ids {
            let key = self.key_by_name(table, &id)?;
            let row = self.merged(&key)?.and_then(|image| image.row);
            rows.extend(row.map(|row| (key.table, key.id, row)));
        }
        Ok(rows)
    }
}
