//! Merges: what may be made one (rule 5.19), by whoever writes central data, or of locations by the site that holds their store.

use protocol::ids::{Position, RecordId, TableRef};
use protocol::row::Row;

use super::store_data::key_words;
use super::{Applied, Case, Effect, Found, Refusal, RefusalCode, Verdict, View};
use crate::authority::CENTRAL_DATA;
use crate::catalogue::{DataType, Table};
use crate::merge::{self, Alias};
use crate::store::{NAME_TABLE, STORE_TABLE};
use crate::visibility::name_of_store;

/// A part of the answer, or why the entry is refused.
type Step<T, E> = Result<Result<T, Refusal>, E>;

impl Case<'_> {
    /// What an accepted entry for store data comes to where it is the row of a merge.
    pub(super) fn judge_store_merge<V: View>(
        &self,
        view: &mut V,
        found: &Found,
        verdict: Verdict,
    ) -> Result<Verdict, V::Error> {
        let (Some(merged), Verdict::Accept(applied)) = (self.table.merges(), &verdict) else { return Ok(verdict) };
        let merge = self.judge_merge(view, merged, found, applied.row.as_ref(), applied.store.as_ref())?;
        Ok(match (merge, verdict) {
            (Ok(effect), Verdict::Accept(applied)) => Verdict::Accept(Applied { effect, ..applied }),
            (Err(refused), _) => Verdict::Refuse(refused),
            (_, verdict) => verdict,
        })
    }

    /// Judges the row of a merge of records of the table `merged`, all of one `store` if there is one. `found` and `after` have the
    /// columns' numbers.
    ///
    /// A delete is taken: it undoes the merge, and since no reference was rewritten nothing else is to be undone.
    pub(super) fn judge_merge<V: View>(
        &self,
        view: &mut V,
        merged: &TableRef,
        found: &Found,
        after: Option<&Row>,
        store: Option<&RecordId>,
    ) -> Step<Effect, V::Error> {
        let Some(row) = after else { return Ok(Ok(Effect::Write)) };
        let into = match merge::into_of(self.table, row) {
            Ok(into) => into,
            Err(error) => {
                let what = format!("names no record that stays: {} {}", merge::INTO_COLUMN, key_words(&error));
                return Ok(Err(self.refuse(RefusalCode::BadValue, &what)));
            }
        };
        if let Found::Here { row: stored, .. } = found
            && let Ok(before) = merge::into_of(self.table, stored)
        {
            if before != into {
                let what = format!(
                    "says that it was merged into {before}; whoever may do so merges {before} into {into}, or undoes this first by deleting \
                     the row"
                );
                return Ok(Err(self.refuse(RefusalCode::MergeFixed, &what)));
            }
            return Ok(Ok(if stored == row { Effect::Nothing } else { Effect::Write }));
        }
        for record in [&self.entry.record, &into] {
            if let Some(refused) = self.cannot_merge(view, merged, record, store)? {
                return Ok(Err(refused));
            }
        }
        // Rows of one author make no circle, so their places in central's order are not asked for.
        let end = merge::resolve(&into, |id| {
            let found = view.record(self.table.reference(), id)?;
            let Found::Here { row, .. } = found else { return Ok(None) };
            let into = merge::into_of(self.table, &self.table.canonical(row)).ok();
            Ok(into.map(|into| Alias { into, position: Position::ZERO }))
        })?;
        if end == self.entry.record {
            let what = format!("would be merged into {into}, which stands for it already; nothing is to be done");
            return Ok(Err(self.refuse(RefusalCode::MergeCircle, &what)));
        }
        // Else it would stand for what nobody shows.
        if end != into
            && let Some(refused) = self.cannot_merge(view, merged, &end, store)?
        {
            return Ok(Err(refused));
        }
        Ok(Ok(Effect::Write))
    }

    /// Why a record is not merged with others.
    fn cannot_merge<V: View>(
        &self,
        view: &mut V,
        merged: &TableRef,
        record: &RecordId,
        store: Option<&RecordId>,
    ) -> Result<Option<Refusal>, V::Error> {
        let name = self.catalogue.table_name(merged);
        let row = match view.record(merged, record)? {
            Found::Here { store: Some(other), .. } if store.is_some_and(|store| *store != other) => {
                let what = format!(
                    "needs {name} {record}, which is of store {other}; both must be of the store that it names"
                );
                return Ok(Some(self.refuse(RefusalCode::MergeStoreDiffers, &what)));
            }
            Found::Here { row, .. } => row,
            Found::Unknown => {
                let what = format!("needs {name} {record}, which is not here; both records must be there to be merged");
                return Ok(Some(self.refuse(RefusalCode::MergeRecordMissing, &what)));
            }
            Found::Deleted { .. } => {
                let what = format!("needs {name} {record}, which was deleted; put it again, or merge another one");
                return Ok(Some(self.refuse(RefusalCode::MergeRecordMissing, &what)));
            }
        };
        if let Some(table) = self.catalogue.table(merged) {
            let data_type = table.data_type_of(&table.canonical(row));
            let right = self.catalogue.merges_of_type(table, data_type).map_or("no table", Table::name);
            if right != self.table.name() {
                let what = format!(
                    "would merge {name} {record}, which is {} data; merges of that are records of {right}",
                    data_type.as_str()
                );
                return Ok(Some(self.refuse(RefusalCode::MergeTable, &what)));
            }
        }
        if name != NAME_TABLE {
            return Ok(None);
        }
        Ok(view.store_of_name(record)?.map(|store| {
            let what =
                format!("would merge name {record}, which is that of store {store}; names of stores are not merged");
            self.refuse(RefusalCode::MergeOfStore, &what)
        }))
    }

    /// Why a name may not be made under this id: it was merged as one of another kind, and stands for others or others
    /// for it.
    pub(super) fn merged_as_other_kind<V: View>(
        &self,
        view: &mut V,
        data_type: DataType,
    ) -> Result<Option<Refusal>, V::Error> {
        if self.table.name() != NAME_TABLE {
            return Ok(None);
        }
        let id = &self.entry.record;
        let own = self.catalogue.merges_of_type(self.table, data_type).map(Table::name);
        for merges in self.catalogue.merges_of(self.table).filter(|merges| Some(merges.name()) != own) {
            let is_merged = matches!(view.record(merges.reference(), id)?, Found::Here { .. })
                || view.merged_into(merges.reference(), id)?.is_some();
            if is_merged {
                let what = format!("was merged before, in {}; undo that first, or give another id", merges.name());
                return Ok(Some(self.refuse(RefusalCode::MergeTable, &what)));
            }
        }
        Ok(None)
    }

    /// Why a store may not have the name that it would get: that is a patient, or was merged, and names of stores are neither.
    pub(super) fn store_with_wrong_name<V: View>(
        &self,
        view: &mut V,
        found: &Found,
        after: Option<&Row>,
    ) -> Result<Option<Refusal>, V::Error> {
        let Some(row) = after.filter(|_| self.table.name() == STORE_TABLE) else { return Ok(None) };
        if self.entry.record.as_str() == CENTRAL_DATA {
            let what = "has an id that stands for central data; give the store another one";
            return Ok(Some(self.refuse(RefusalCode::BadValue, what)));
        }
        let name_in = |row| name_of_store(self.table, row);
        let before = match found {
            Found::Here { row, .. } => name_in(row),
            Found::Unknown | Found::Deleted { .. } => None,
        };
        let Some(name) = name_in(row).filter(|name| before.as_ref() != Some(name)) else { return Ok(None) };
        let names = self.catalogue.table_by_name(NAME_TABLE).ok();
        if let Some(names) = names
            && let Found::Here { row, .. } = view.record(names.reference(), &name)?
            && names.data_type_of(&names.canonical(row)) == DataType::Patient
        {
            let what = format!("would have the name {name}, which is a patient; give it another name");
            return Ok(Some(self.refuse(RefusalCode::PatientOfStore, &what)));
        }
        let merges = names.and_then(|names| self.catalogue.merges_of_type(names, names.data_type()));
        let Some(merges) = merges else { return Ok(None) };
        let is_merged = matches!(view.record(merges.reference(), &name)?, Found::Here { .. });
        let what = if is_merged {
            format!("would have the name {name}, which was merged into another")
        } else if let Some(other) = view.merged_into(merges.reference(), &name)? {
            format!("would have the name {name}, into which {other} was merged")
        } else {
            return Ok(None);
        };
        let advice = "names of stores are not merged; give it another name, or undo the merge first";
        Ok(Some(self.refuse(RefusalCode::MergeOfStore, &format!("{what}; {advice}"))))
    }
}
