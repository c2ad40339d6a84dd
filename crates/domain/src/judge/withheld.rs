//! Whether an edit stays on the device ([`withholding`](crate::withholding)).

use protocol::ids::{Position, RecordId, SiteId, TableRef};
use protocol::row::Row;

use super::{Applied, Case, Found, RefusalCode, Side, Verdict, View};
use crate::catalogue::Table;
use crate::merge::{Alias, INTO_COLUMN, into_of, resolve};
use crate::procurement::ORDER_TABLE;
use crate::store::{NAME_TABLE, STORE_TABLE, is_of_store};
use crate::transfers::records::{GOODS, REQUISITIONS};
use crate::visibility::TRANSACTION_TABLE;
use crate::withholding::Withheld;

/// Tables whose records are part of a transfer where their name is a store's (`domain.md`, "Transfers").
const TRANSFERS: [&str; 3] = [TRANSACTION_TABLE, REQUISITIONS, ORDER_TABLE];
/// The table of log entries: one about a record of another site's store is a transfer's.
const LOG: &str = "om_activity_log";

impl Case<'_> {
    /// Judges further whether an accepted edit of Store data stays on the device. Central takes what comes: a device may not have heard
    /// yet.
    pub(super) fn judge_staying<V: View>(
        &self,
        view: &mut V,
        found: &Found,
        verdict: Verdict,
    ) -> Result<Verdict, V::Error> {
        // Central imports under the rules of a device, and withholds nothing from itself.
        if self.side == Side::Central || self.author == SiteId::CENTRAL {
            return Ok(verdict);
        }
        let Verdict::Accept(applied) = verdict else { return Ok(verdict) };
        // What the primary writes for a store is no data that stays on a site.
        if applied.visible_key.is_some() {
            return Ok(Verdict::Accept(applied));
        }
        let is_private = self.is_withheld(view, found, &applied)?;
        let applied = Applied { is_private, ..applied };
        Ok(match self.header_that_stays(view, found, &applied)? {
            Some(header) => {
                let what = format!("is at central, and header {header} stays on this site; make a new line for it");
                Verdict::Refuse(self.refuse(RefusalCode::HeaderStays, &what))
            }
            None => Verdict::Accept(applied),
        })
    }

    fn is_withheld<V: View>(&self, view: &mut V, found: &Found, applied: &Applied) -> Result<bool, V::Error> {
        let stays_here = match found {
            Found::Unknown => false,
            Found::Here { .. } if view.is_withheld(self.table.reference(), &self.entry.record)? => true,
            Found::Here { .. } | Found::Deleted { .. } => return Ok(false),
        };
        let Some(row) = &applied.row else { return Ok(stays_here) };
        // What is here may be older than what central has of it, until that came.
        if stays_here && view.is_read_anew()? {
            return Ok(true);
        }
        if let Some(merged) = self.table.merges() {
            let stays = view.is_withheld(merged, &self.entry.record)?;
            return Ok(stays || self.merges_into_what_stays(view, merged, row)?);
        }
        if let (Some(parent), Some(Ok(header))) = (self.table.parent(), self.table.header_of(row)) {
            return view.is_withheld(&parent.table, &header);
        }
        let withheld = self.withheld_by(view, applied.store.as_ref())?;
        Ok(withheld.keeps(self.table) && !self.goes_to_a_store(view, withheld, row)?)
    }

    /// The header that stays here, under which a line that central has would go: central would wait for it for ever.
    fn header_that_stays<V: View>(
        &self,
        view: &mut V,
        found: &Found,
        applied: &Applied,
    ) -> Result<Option<RecordId>, V::Error> {
        let is_known = matches!(found, Found::Here { .. } | Found::Deleted { .. });
        let (Some(row), Some(parent)) = (&applied.row, self.table.parent()) else { return Ok(None) };
        if !is_known || applied.is_private {
            return Ok(None);
        }
        let Some(Ok(header)) = self.table.header_of(row) else { return Ok(None) };
        Ok(if view.is_withheld(&parent.table, &header)? { Some(header) } else { None })
    }

    fn merges_into_what_stays<V: View>(&self, view: &mut V, merged: &TableRef, row: &Row) -> Result<bool, V::Error> {
        match self.table.id_in(row, INTO_COLUMN) {
            Ok(into) => view.is_withheld(merged, &into),
            Err(_) => Ok(false),
        }
    }

    fn withheld_by<V: View>(&self, view: &mut V, store: Option<&RecordId>) -> Result<Withheld, V::Error> {
        let (Some(store), Ok(stores)) = (store, self.catalogue.table_by_name(STORE_TABLE)) else {
            return Ok(Withheld::Nothing);
        };
        Ok(match view.record(stores.reference(), store)? {
            Found::Here { row, .. } => Withheld::of(stores, &stores.canonical(row)),
            // Its record has not come yet: what is recorded stays until it says what goes.
            Found::Unknown if view.is_read_anew()? => Withheld::Data,
            Found::Unknown | Found::Deleted { .. } => Withheld::Nothing,
        })
    }

    /// Whether another store has a part in a record: its name is a store's, or it is what a transfer brings about, goods received or a log
    /// entry. Of all data that a store keeps, what goes to a store of the same site is no exception (seed 001, "Store F": "this data is not
    /// synced anywhere").
    fn goes_to_a_store<V: View>(&self, view: &mut V, withheld: Withheld, row: &Row) -> Result<bool, V::Error> {
        match self.table.name() {
            GOODS => {
                let order = self.record_in(view, ORDER_TABLE, row, "purchase_order_ID")?;
                match (order.row(), self.catalogue.table_by_name(ORDER_TABLE)) {
                    (Some(order), Ok(orders)) => {
                        self.is_to_a_store(view, withheld, orders, &orders.canonical(order.clone()))
                    }
                    _ => Ok(false),
                }
            }
            LOG => {
                let own = self.table.id_in(row, "store_ID").ok();
                for about in TRANSFERS {
                    let Found::Here { store, .. } = self.record_in(view, about, row, "record_ID")? else { continue };
                    let Some(other) = store.filter(|store| Some(store) != own.as_ref()) else { return Ok(false) };
                    return Ok(view.holding(&other)?.is_none_or(|held| held.site != self.author));
                }
                Ok(false)
            }
            name if TRANSFERS.contains(&name) => self.is_to_a_store(view, withheld, self.table, row),
            _ => Ok(false),
        }
    }

    /// The record of a table that a column names.
    fn record_in<V: View>(&self, view: &mut V, table: &str, row: &Row, column: &str) -> Result<Found, V::Error> {
        match (self.catalogue.table_by_name(table), self.table.id_in(row, column)) {
            (Ok(table), Ok(id)) => view.record(table.reference(), &id),
            _ => Ok(Found::Unknown),
        }
    }

    /// Whether the name of a record is a store's, or was merged into one.
    fn is_to_a_store<V: View>(
        &self,
        view: &mut V,
        withheld: Withheld,
        table: &Table,
        row: &Row,
    ) -> Result<bool, V::Error> {
        let name = table.name_column().map(|column| table.id_in(row, column));
        let (Some(Ok(name)), Ok(names)) = (name, self.catalogue.table_by_name(NAME_TABLE)) else { return Ok(false) };
        let name = resolve(&name, |name| {
            for merges in self.catalogue.merges_of(names) {
                if let Found::Here { row, .. } = view.record(merges.reference(), name)?
                    && let Ok(into) = into_of(merges, &merges.canonical(row))
                {
                    return Ok(Some(Alias { into, position: Position::ZERO }));
                }
            }
            Ok(None)
        })?;
        if withheld == Withheld::Data && view.is_name_of_own_store(&name)? {
            return Ok(false);
        }
        Ok(match view.record(names.reference(), &name)? {
            Found::Here { row, .. } => is_of_store(names, &names.canonical(row)),
            Found::Unknown | Found::Deleted { .. } => false,
        })
    }
}
