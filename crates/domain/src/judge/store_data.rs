//! Store data: the store of the stored record and of the incoming one, headers and lines, and who holds the store.

use protocol::entry::Operation;
use protocol::ids::{OwnershipNumber, RecordId, TableRef};
use protocol::row::Row;

use super::{Applied, Case, Effect, Found, Header, Refusal, RefusalCode, Side, Verdict, View};
use crate::catalogue::KeyError;
use crate::scope::Scope;

/// Either a part of the answer, or the answer.
type Step<T, E> = Result<Result<T, Verdict>, E>;

impl Case<'_> {
    /// `found` and `after` have the columns' numbers; a patch or delete of what is not here does not come this far.
    pub(super) fn judge_store_data<V: View>(
        &self,
        view: &mut V,
        found: &Found,
        after: Option<Row>,
    ) -> Result<Verdict, V::Error> {
        let stored = self.stored_store(found);
        if let Some(stored) = &stored
            && let Err(refused) = self.held(view, stored)?
        {
            return Ok(refused);
        }
        match (&self.entry.operation, after) {
            (Operation::Delete, _) | (_, None) => self.judge_delete(view, found, stored),
            (_, Some(row)) => self.judge_write(view, stored, row),
        }
    }

    /// The store kept beside the record; for a record from before stores were kept, the one inside it.
    fn stored_store(&self, found: &Found) -> Option<RecordId> {
        match found {
            Found::Unknown => None,
            Found::Deleted { store } => store.clone(),
            Found::Here { row, store } => {
                store.clone().or_else(|| self.table.store_of(&self.entry.record, row).and_then(Result::ok))
            }
        }
    }

    /// A line may be deleted when its header is gone: the store kept beside it decides.
    fn judge_delete<V: View>(
        &self,
        view: &mut V,
        found: &Found,
        stored: Option<RecordId>,
    ) -> Result<Verdict, V::Error> {
        let Some(store) = stored else {
            return Ok(Verdict::Refuse(self.refuse(RefusalCode::StoreMissing, "is here without a store")));
        };
        let parent = match found {
            Found::Here { row, .. } => self.parent(row),
            Found::Unknown | Found::Deleted { .. } => None,
        };
        Ok(match self.held(view, &store)? {
            Ok(ownership) => Verdict::Accept(written(None, store, parent, ownership)),
            Err(refused) => refused,
        })
    }

    fn judge_write<V: View>(&self, view: &mut V, stored: Option<RecordId>, row: Row) -> Result<Verdict, V::Error> {
        let own = match self.table.store_of(&self.entry.record, &row) {
            None => None,
            Some(Ok(store)) => Some(store),
            Some(Err(error)) => {
                let column = self.table.store_column().unwrap_or_default();
                let what = format!("names no store: {column} {}", key_words(&error));
                return Ok(Verdict::Refuse(self.refuse(RefusalCode::StoreMissing, &what)));
            }
        };
        if let (Some(stored), Some(own)) = (&stored, &own)
            && stored != own
        {
            return Ok(Verdict::Refuse(self.owner_change(stored, own)));
        }
        // Who holds no store must not make central wait.
        if let Some(own) = &own
            && let Err(refused) = self.held(view, own)?
        {
            return Ok(refused);
        }
        let of_header = match self.store_of_header(view, &row)? {
            Ok(store) => store,
            Err(verdict) => return Ok(verdict),
        };
        if let (Some(stored), Some(of_header)) = (&stored, &of_header)
            && stored != of_header
        {
            return Ok(Verdict::Refuse(self.owner_change(stored, of_header)));
        }
        if let (Some(own), Some(of_header)) = (&own, &of_header)
            && own != of_header
        {
            let what = format!("names store {own}, but its header belongs to store {of_header}");
            return Ok(Verdict::Refuse(self.refuse(RefusalCode::HeaderStoreDiffers, &what)));
        }
        let Some(store) = own.or(of_header) else {
            return Ok(Verdict::Refuse(self.refuse(RefusalCode::StoreMissing, "has neither a store nor a header")));
        };
        let parent = self.parent(&row);
        Ok(match self.held(view, &store)? {
            Ok(ownership) => Verdict::Accept(written(Some(row), store, parent, ownership)),
            Err(refused) => refused,
        })
    }

    /// The store of the line's header; `None` for a table without headers.
    fn store_of_header<V: View>(&self, view: &mut V, row: &Row) -> Step<Option<RecordId>, V::Error> {
        let (Some(parent), Some(header)) = (self.table.parent(), self.table.header_of(row)) else {
            return Ok(Ok(None));
        };
        let refused = |code, what: &str| Ok(Err(Verdict::Refuse(self.refuse(code, what))));
        let header_table = self.catalogue.table_name(&parent.table);
        let header = match header {
            Ok(header) => header,
            Err(error) => {
                let column = self.table.name_of(&parent.column);
                let what = format!("names no {header_table}: {column} {}", key_words(&error));
                return refused(RefusalCode::HeaderMissing, &what);
            }
        };
        let wait = || Ok(Err(Verdict::Wait { table: parent.table.clone(), record: header.clone() }));
        match (view.header(&parent.table, &header)?, self.side) {
            (Header::Here { store: Some(store) }, _) => Ok(Ok(Some(store))),
            (Header::Here { store: None }, _) => refused(
                RefusalCode::StoreMissing,
                &format!("has the header {header_table} {header}, which has no store"),
            ),
            (Header::Unknown, Side::Central) => wait(),
            (Header::Unknown, Side::Device) => refused(
                RefusalCode::HeaderMissing,
                &format!("needs its header {header_table} {header}, which is not here; record the header first"),
            ),
            (Header::Deleted, Side::Central) if view.is_waiting(self.author, &parent.table, &header)? => wait(),
            (Header::Deleted, _) => refused(
                RefusalCode::HeaderDeleted,
                &format!("needs its header {header_table} {header}, which was deleted"),
            ),
        }
    }

    /// The number under which the author may write the store.
    fn held<V: View>(&self, view: &mut V, store: &RecordId) -> Step<OwnershipNumber, V::Error> {
        let refused = |code, what: &str| Ok(Err(Verdict::Refuse(self.refuse(code, what))));
        let author = self.author;
        match view.holding(store)? {
            None => {
                let what = format!("belongs to store {store}, which site {author} does not hold");
                refused(RefusalCode::NotStoreHolder, &what)
            }
            Some(holding) if holding.site != author => {
                let what = format!("belongs to store {store}, which site {} holds, not site {author}", holding.site);
                refused(RefusalCode::NotStoreHolder, &what)
            }
            Some(holding) if self.side == Side::Central && holding.ownership != self.entry.ownership => {
                let what = format!(
                    "was written under number {} of store {store}; the store's number is {}",
                    self.entry.ownership.0, holding.ownership.0
                );
                refused(RefusalCode::OwnershipNumber, &what)
            }
            Some(holding) => Ok(Ok(holding.ownership)),
        }
    }

    fn parent(&self, row: &Row) -> Option<(TableRef, RecordId)> {
        let parent = self.table.parent()?;
        self.table.header_of(row)?.ok().map(|header| (parent.table.clone(), header))
    }

    fn owner_change(&self, from: &RecordId, to: &RecordId) -> Refusal {
        let what =
            format!("belongs to store {from} and would go to store {to}; only central moves data between stores");
        self.refuse(RefusalCode::OwnerChange, &what)
    }
}

fn written(
    row: Option<Row>,
    store: RecordId,
    parent: Option<(TableRef, RecordId)>,
    ownership: OwnershipNumber,
) -> Applied {
    Applied {
        effect: Effect::Write,
        row,
        scopes: vec![Scope::Store(store.clone())],
        store: Some(store),
        parent,
        ownership,
        is_private: false,
        cancels_waiting: false,
    }
}

fn key_words(error: &KeyError) -> String {
    match error {
        KeyError::Missing => "is empty or missing".to_owned(),
        KeyError::TooLong(error) => format!("is not an id ({error})"),
        KeyError::NotText => "is not a text".to_owned(),
    }
}
