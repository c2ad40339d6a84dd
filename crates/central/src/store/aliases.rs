//! Names that are one, and prescribers: a merge widens visibility (`domain.md`, "Merging"), so that what hangs on either is seen wherever
//! one of them is. The rows that hang on a name keep its id; `name_alias` says which names, patients among them, stand for the same one,
//! all of these among them, and `prescriber_alias` which prescribers.

use std::collections::BTreeSet;

use domain::catalogue::Table;
use domain::merge;
use domain::store::NAME_TABLE;
use domain::visibility::{PRESCRIBER_TABLE, VisibleKey};
use protocol::ids::{RecordId, SiteId};
use protocol::row::Row;
use sql::SqlExt;

use super::batch::Batch;
use super::error::StoreError;
use super::text;

/// What is one with others of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aliases {
    /// Names, patients among them.
    Names,
    /// Prescribers.
    Prescribers,
}

impl Aliases {
    /// Of the records of a table; `None` where nothing is seen by these.
    fn of(table: &str) -> Option<Self> {
        match table {
            NAME_TABLE => Some(Self::Names),
            PRESCRIBER_TABLE => Some(Self::Prescribers),
            _ => None,
        }
    }

    /// Table, column, and what [`VisibleKey::to_text`] begins with.
    fn words(self) -> [&'static str; 3] {
        match self {
            Self::Names => ["name_alias", "name", "n"],
            Self::Prescribers => ["prescriber_alias", "prescriber", "p"],
        }
    }

    fn key(self, id: RecordId) -> VisibleKey {
        match self {
            Self::Names => VisibleKey::Name(id),
            Self::Prescribers => VisibleKey::Prescriber(id),
        }
    }

    /// A list for `IN`: ?2 and what is one with it.
    pub(super) fn same(self) -> String {
        format!("({})", self.select_same("", "?2"))
    }

    /// The same as keys.
    pub(super) fn same_keys(self) -> String {
        let [_, _, letter] = self.words();
        format!("({})", self.select_same(&format!("'{letter}' || "), "?2"))
    }

    /// A parameter and what is one with it, each with something before it.
    fn select_same(self, prefix: &str, name: &str) -> String {
        let [table, column, _] = self.words();
        format!(
            "SELECT {prefix}{name} UNION SELECT {prefix}other.{column} FROM {table} one
                JOIN {table} other ON other.stands_for = one.stands_for WHERE one.{column} = {name}"
        )
    }
}

impl Batch<'_> {
    /// Follows a row of merges, after it was written.
    pub(super) fn follow_merge(
        &mut self,
        merges: &Table,
        from: &RecordId,
        row: Option<&Row>,
    ) -> Result<(), StoreError> {
        let of = merges.merges().map(|table| self.catalogue.table_name(table));
        let Some(aliases) = of.and_then(|table| Aliases::of(&table)) else { return Ok(()) };
        match row.and_then(|row| merge::into_of(merges, row).ok()) {
            Some(into) => self.join_aliases(aliases, from, &into),
            None => self.part_aliases(aliases, merges, from),
        }
    }

    /// Two are one from now on, and all that are one with either. Only sites that saw one side and not the other come to see something.
    fn join_aliases(&mut self, aliases: Aliases, from: &RecordId, into: &RecordId) -> Result<(), StoreError> {
        let [table, ..] = aliases.words();
        let (gone, stays) = (self.end_of(aliases, from)?, self.end_of(aliases, into)?);
        if gone == stays {
            return Ok(());
        }
        let (ours, theirs) = (self.same_as(aliases, from)?, self.same_as(aliases, into)?);
        let (our_sites, their_sites) =
            (self.sites_seeing(&aliases.key(from.clone()))?, self.sites_seeing(&aliases.key(into.clone()))?);
        let sql = format!("UPDATE {table} SET stands_for = ?2 WHERE stands_for = ?1");
        self.sql.execute(&sql, &[gone.as_str().into(), stays.as_str().into()])?;
        for name in [&gone, &stays] {
            self.put_alias(aliases, name, &stays)?;
        }
        for (names, seeing, others) in [(&theirs, &our_sites, &their_sites), (&ours, &their_sites, &our_sites)] {
            for site in seeing.difference(others) {
                for name in names {
                    self.look_again(*site, &aliases.key(name.clone()))?;
                }
            }
        }
        Ok(())
    }

    /// A merge was undone: what is one is worked out anew from the rows that are left.
    fn part_aliases(&mut self, aliases: Aliases, merges: &Table, from: &RecordId) -> Result<(), StoreError> {
        let [table, column, _] = aliases.words();
        let names = self.same_as(aliases, from)?;
        let sites = self.sites_seeing(&aliases.key(from.clone()))?;
        for name in &names {
            self.sql.execute(&format!("DELETE FROM {table} WHERE {column} = ?1"), &[name.as_str().into()])?;
        }
        for name in &names {
            let end = merge::resolve(name, |id| self.alias(merges, id))?;
            if *name != end {
                self.put_alias(aliases, name, &end)?;
                self.put_alias(aliases, &end, &end)?;
            }
        }
        for site in sites {
            for name in &names {
                self.look_again(site, &aliases.key(name.clone()))?;
            }
        }
        Ok(())
    }

    fn put_alias(&mut self, aliases: Aliases, name: &RecordId, end: &RecordId) -> Result<(), StoreError> {
        let [table, column, _] = aliases.words();
        let sql =
            format!("INSERT INTO {table} ({column}, stands_for) VALUES (?1, ?2) ON CONFLICT ({column}) DO NOTHING");
        self.sql.execute(&sql, &[name.as_str().into(), end.as_str().into()])?;
        Ok(())
    }

    fn end_of(&mut self, aliases: Aliases, name: &RecordId) -> Result<RecordId, StoreError> {
        let [table, column, _] = aliases.words();
        let sql = format!("SELECT stands_for FROM {table} WHERE {column} = ?1");
        let end = self.sql.query_one(&sql, &[name.as_str().into()], |row| text::record_id(row, 0))?;
        Ok(end.unwrap_or_else(|| name.clone()))
    }

    /// Sites that see a key, and so all that are one with it.
    pub(super) fn sites_seeing(&mut self, key: &VisibleKey) -> Result<BTreeSet<SiteId>, StoreError> {
        let sql = "SELECT site FROM site_sees WHERE visible_key = ?1";
        let sites = self.site_list(sql, &[(&key.to_text()).into()])?;
        Ok(sites.into_iter().collect())
    }

    /// Follows the merges of before names were joined by them.
    pub(super) fn join_merged_names(&mut self) -> Result<(), StoreError> {
        let catalogue = self.catalogue;
        let names = catalogue.table_by_name(NAME_TABLE).ok();
        let Some(merges) = names.and_then(|names| catalogue.merges_of_type(names, names.data_type())) else {
            return Ok(());
        };
        self.each_record(merges.name(), "", |batch, merges, from, row, _| batch.follow_merge(merges, from, Some(row)))
    }

    /// A name or prescriber and those that are one with it.
    pub(super) fn same_as(&mut self, aliases: Aliases, name: &RecordId) -> Result<BTreeSet<RecordId>, StoreError> {
        Ok(self.ids(&aliases.select_same("", "?1"), name)?.into_iter().collect())
    }
}
