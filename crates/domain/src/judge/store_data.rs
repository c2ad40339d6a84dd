//! Store data: the store of the stored record and of the incoming one, headers and lines, and who holds the store.

use protocol::ids::{OwnershipNumber, RecordId, TableRef};
use protocol::row::{Row, Value};

use super::{Applied, Case, Effect, Found, Header, Holding, Refusal, RefusalCode, Side, Verdict, View};
use crate::catalogue::KeyError;
use crate::home_transfer::TRANSFER_SHIFT;
use crate::procurement::Ordering;
use crate::scope::Scope;
use crate::store::STORE_TABLE;
use crate::visibility::VisibleKey;

/// Either a part of the answer, or the answer.
pub(super) type Step<T, E> = Result<Result<T, Verdict>, E>;

impl Case<'_> {
    /// `found` and `after` have the columns' numbers; a patch or delete of what is not here does not come this far.
    pub(super) fn judge_store_data<V: View>(
        &self,
        view: &mut V,
        found: &Found,
        after: Option<Row>,
    ) -> Result<Verdict, V::Error> {
        let before = found.row();
        let stored = match self.stored_store(found) {
            None => None,
            Some(store) => match self.held(view, store, before, after.as_ref())? {
                Ok(held) => Some(held),
                Err(refused) => return Ok(refused),
            },
        };
        match after {
            Some(row) => self.judge_write(view, stored, before, row),
            None => Ok(self.judge_delete(before, stored)),
        }
    }

    /// The store kept beside the record; for a record from before stores were kept, the one inside it.
    pub(super) fn stored_store(&self, found: &Found) -> Option<RecordId> {
        match found {
            Found::Unknown => None,
            Found::Deleted { store } => store.clone(),
            Found::Here { row, store } => {
                store.clone().or_else(|| self.table.store_of(&self.entry.record, row).and_then(Result::ok))
            }
        }
    }

    /// A line may be deleted when its header is gone: the store kept beside it decides.
    fn judge_delete(&self, before: Option<&Row>, stored: Option<Held>) -> Verdict {
        let Some(held) = stored else {
            return Verdict::Refuse(self.refuse(RefusalCode::StoreMissing, "is here without a store"));
        };
        let parent = before.and_then(|row| self.parent(row));
        Verdict::Accept(held.written(None, parent))
    }

    fn judge_write<V: View>(
        &self,
        view: &mut V,
        mut held: Option<Held>,
        before: Option<&Row>,
        row: Row,
    ) -> Result<Verdict, V::Error> {
        let is_new = held.is_none();
        let refused = |code, what: &str| Ok(Verdict::Refuse(self.refuse(code, what)));
        if let Some(own) = self.table.store_of(&self.entry.record, &row) {
            let own = match own {
                Ok(own) => own,
                Err(error) => {
                    let column = self.table.store_column().unwrap_or_default();
                    let what = format!("names no store: {column} {}", key_words(&error));
                    return refused(RefusalCode::StoreMissing, &what);
                }
            };
            match &held {
                Some(stored) if stored.store != own => {
                    return Ok(Verdict::Refuse(self.owner_change(&stored.store, &own)));
                }
                Some(_) => {}
                // Asked before the header, so that who holds no store cannot make central wait.
                None => match self.held(view, own, before, Some(&row))? {
                    Ok(own) => held = Some(own),
                    Err(verdict) => return Ok(verdict),
                },
            }
        }
        let of_header = match self.store_of_header(view, &row)? {
            Ok(store) => store,
            Err(verdict) => return Ok(verdict),
        };
        let mut held = match (held, of_header) {
            (Some(held), Some(of_header)) if held.store != of_header => {
                if !is_new {
                    return Ok(Verdict::Refuse(self.owner_change(&held.store, &of_header)));
                }
                let what = format!("names store {}, but its header belongs to store {of_header}", held.store);
                return refused(RefusalCode::HeaderStoreDiffers, &what);
            }
            (Some(held), _) => held,
            (None, Some(of_header)) => match self.held(view, of_header, before, Some(&row))? {
                Ok(held) => held,
                Err(verdict) => return Ok(verdict),
            },
            (None, None) => return refused(RefusalCode::StoreMissing, "has neither a store nor a header"),
        };
        if let Some(ordering) = held.ordering.take() {
            if let Some(refusal) = self.says_wrong_purchaser(&ordering, before, &row) {
                return Ok(Verdict::Refuse(refusal));
            }
            held.is_by_primary = if self.table.parent().is_none() || before.is_none() {
                self.is_the_primarys(&ordering, &row)
            } else {
                // A line may go to an order that another site writes, or that is written under another number.
                let into = self.ordering(view, &held.store, None, Some(&row))?.unwrap_or(ordering);
                let into = Ordering { order: None, ..into };
                match self.held_order(view, held.store.clone(), &into)? {
                    Ok(into) => into.is_by_primary,
                    Err(refused) => return Ok(refused),
                }
            };
        }
        let parent = self.parent(&row);
        Ok(Verdict::Accept(held.written(Some(row), parent)))
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

    /// That the author may write a record of a store, and under which number. `before` and `after`: the record, each where it is here then.
    fn held<V: View>(
        &self,
        view: &mut V,
        store: RecordId,
        before: Option<&Row>,
        after: Option<&Row>,
    ) -> Step<Held, V::Error> {
        let Some(ordering) = self.ordering(view, &store, before, after)? else {
            return self.held_by_site(view, store, None);
        };
        let held = self.held_order(view, store, &ordering)?;
        Ok(held.map(|held| Held { ordering: Some(ordering), ..held }))
    }

    /// That the author holds a store, and under which number. `ordering`: of an order.
    pub(super) fn held_by_site<V: View>(
        &self,
        view: &mut V,
        store: RecordId,
        ordering: Option<&Ordering>,
    ) -> Step<Held, V::Error> {
        let refused = |code, what: &str| Ok(Err(Verdict::Refuse(self.refuse(code, what))));
        let author = self.author;
        let numbered = |holding: Holding| match ordering {
            Some(ordering) => self.numbered(ordering, holding),
            None => holding,
        };
        match view.holding(&store)?.map(numbered) {
            None => {
                let holder = self.holder_words(view, &store)?;
                let what = format!("belongs to store {store}, which {holder} holds, not site {author}");
                refused(RefusalCode::NotStoreHolder, &what)
            }
            Some(holding) if holding.site != author => {
                let what = format!("belongs to store {store}, which site {} holds, not site {author}", holding.site);
                refused(RefusalCode::NotStoreHolder, &what)
            }
            Some(holding) => Ok(match self.wrong_number("store", store.as_str(), holding) {
                Some(refusal) => Err(Verdict::Refuse(refusal)),
                None => Ok(Held { store, ownership: holding.ownership, is_by_primary: false, ordering: None }),
            }),
        }
    }

    /// At central: why an entry is refused that was written under another number than its author holds the store under. `what` says
    /// what the store is to the record.
    pub(super) fn wrong_number(&self, what: &str, store: &str, holding: Holding) -> Option<Refusal> {
        let (written, now) = (self.entry.ownership, holding.ownership);
        (self.side == Side::Central && written != now).then(|| {
            let [(written, changes_then), (now, changes)] = [written, now].map(parts_of_number);
            let what = if written == now {
                format!("was recorded before procurement of {what} {store} changed hands: {changes_then} times then, {changes} times by now")
            } else {
                format!("was written under number {written} of {what} {store}; the store's number is {now}")
            };
            self.refuse(RefusalCode::OwnershipNumber, &what)
        })
    }

    /// Who holds a store that the author does not, for people: a device knows what its record says, if it sees the store.
    pub(super) fn holder_words<V: View>(&self, view: &mut V, store: &RecordId) -> Result<String, V::Error> {
        if let Some(holding) = view.holding(store)? {
            return Ok(format!("site {}", holding.site));
        }
        let another = || "another site, if any,".to_owned();
        let Ok(stores) = self.catalogue.table_by_name(STORE_TABLE) else { return Ok(another()) };
        let (Found::Here { row, .. }, Some(column)) = (view.record(stores.reference(), store)?, stores.site_column())
        else {
            return Ok(another());
        };
        let author = self.author.to_string();
        Ok(match stores.canonical(row).value(&stores.column_ref(column)) {
            Some(Value::Number(site)) if *site != author => format!("site {site}"),
            _ => another(),
        })
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

/// A store that the author may write, and the number under which.
pub(super) struct Held {
    store: RecordId,
    ownership: OwnershipNumber,
    /// The primary writes it, and receives it beside those who receive the store's data.
    is_by_primary: bool,
    /// Of an order, or a line of one.
    ordering: Option<Ordering>,
}

impl Held {
    /// An order that the primary writes.
    pub(super) fn by_primary(store: RecordId, ownership: OwnershipNumber) -> Self {
        Self { store, ownership, is_by_primary: true, ordering: None }
    }

    fn written(self, row: Option<Row>, parent: Option<(TableRef, RecordId)>) -> Applied {
        let primarys = self.is_by_primary.then_some(Scope::Visible);
        Applied {
            effect: Effect::Write,
            row,
            scopes: std::iter::once(Scope::Store(self.store.clone())).chain(primarys).collect(),
            visible_key: self.is_by_primary.then_some(VisibleKey::Orders),
            store: Some(self.store),
            parent,
            ownership: self.ownership,
            is_private: false,
            cancels_waiting: false,
        }
    }
}

/// The number of a store's grant, and how often its procurement changed hands.
fn parts_of_number(number: OwnershipNumber) -> (u32, u32) {
    (number.0 & ((1 << TRANSFER_SHIFT) - 1), number.0 >> TRANSFER_SHIFT)
}

pub(super) fn key_words(error: &KeyError) -> String {
    match error {
        KeyError::Missing => "is empty or missing".to_owned(),
        KeyError::TooLong(error) => format!("is not an id ({error})"),
        KeyError::NotText => "is not a text".to_owned(),
    }
}
