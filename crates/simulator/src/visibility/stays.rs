//! What stays on a store's site, by the rules of the seeds.

use protocol::ids::SiteId;
use rules::{Record, Role, StoreKind};

use super::{Sight, text_in};

/// What the record of a store says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    includes_transactions: bool,
    is_transfer_on_central: bool,
}

impl Kept {
    pub(super) fn of(data: &str) -> Self {
        Self {
            includes_transactions: !data.contains("\"outpost_withholds_transactions\":true"),
            is_transfer_on_central: data.contains("\"outpost_withholds_data\":true"),
        }
    }
}

impl Sight {
    /// Whether a record that a site has for itself, and that is no line, is to stay there; `None` if its store is not active there.
    pub(crate) fn stays(&self, site: SiteId, store: &str, table: &str, data: &str) -> Option<bool> {
        let kept = self.kept.get(store)?;
        let mut facts = self.facts.clone();
        let of_store = facts.stores.get_mut(store)?;
        if of_store.active_site != rules::SiteId(site.0) {
            return None;
        }
        of_store.includes_transactions = kept.includes_transactions;
        if kept.is_transfer_on_central {
            of_store.settings.insert(rules::CENTRAL, Role::Transfer);
        }
        let kind = match table {
            "transact" => StoreKind::Transaction,
            "item_line" => StoreKind::StockLine,
            "Stock_take" => StoreKind::Stocktake,
            _ => StoreKind::Other,
        };
        let has_party = matches!(table, "transact" | "requisition" | "purchase_order");
        let name = text_in(data, "name_ID").filter(|name| has_party && self.names_of_stores.contains(name));
        let transfer_with = name.and_then(|name| facts.store_of_name(&name).map(str::to_owned));
        let record = Record::StoreData { store: store.to_owned(), kind, transfer_with };
        Some(rules::receives(&facts, &record).into_iter().eq([rules::SiteId(site.0)]))
    }
}
