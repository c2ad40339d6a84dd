//! Who orders for whom: what central's people change of that, who wrote which order, and whether they might by the rules of the seeds
//! (`crates/rules`), which are asked with what was seen here and not with what the orders say of themselves.

use std::collections::{BTreeMap, BTreeSet};

use central::store::StoreError;
use domain::preference::{Preference, StorePreference};
use protocol::ids::{RecordId, SiteId};
use rules::{Purchase, PurchaseKind, Record, Rule};

use crate::mix::Fault;
use crate::model::{Change, Key, Violation, violation};
use crate::visibility::{store_at, text_in};
use crate::work::order_edits;
use crate::world::World;

/// Who wrote an order when it was confirmed, before procurement changed hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Store,
    Primary,
}

/// An order as central has it.
#[derive(Debug, Clone)]
struct Order {
    store: String,
    is_confirmed: bool,
    is_supervised: bool,
    confirmed_before_by: Option<Owner>,
}

/// What was seen of orders and of who writes them, in central's order.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    is_centralised: bool,
    has_supervisor_mode: bool,
    local_stores: BTreeSet<String>,
    mirrored_primary: Option<SiteId>,
    known: BTreeMap<String, Order>,
    /// The order of each line.
    lines: BTreeMap<String, String>,
}

impl Orders {
    /// Whether a record is an order of these, or a line of one.
    pub(crate) fn is_order(key: &Key) -> bool {
        let prefix = match key.0.as_str() {
            "purchase_order" => "po-",
            "purchase_order_line" => "pl-",
            _ => return false,
        };
        key.1.starts_with(prefix)
    }

    /// The primary of a mirrored system from now on. Central gives the role away, and takes it back, behind the edits of its commit.
    pub(crate) fn note_primary(&mut self, primary: Option<SiteId>) {
        self.mirrored_primary = primary;
    }

    /// A record as central has it from now on.
    pub(crate) fn note(&mut self, key: &Key, data: Option<&str>) {
        let says = |text: &str| data.is_some_and(|data| data.contains(text));
        match key.0.as_str() {
            "preference" => {
                let is_on = says("\"value\":true");
                let says_of = |preference: Preference| key.1 == preference.id().as_str();
                if says_of(Preference::CentralisedProcurement) && is_on != self.is_centralised {
                    self.settle_confirmed(None);
                    self.is_centralised = is_on;
                } else if says_of(Preference::SupervisorOrders) && is_on != self.has_supervisor_mode {
                    self.settle_confirmed(None);
                    self.has_supervisor_mode = is_on;
                }
            }
            "store" => {
                let is_local = says("\"outpost_orders_locally\":true");
                if is_local != self.local_stores.contains(&key.1) {
                    self.settle_confirmed(Some(&key.1));
                    if is_local {
                        self.local_stores.insert(key.1.clone());
                    } else {
                        self.local_stores.remove(&key.1);
                    }
                }
            }
            "purchase_order" => {
                let Some(store) = data.and_then(|data| text_in(data, "store_ID")) else {
                    self.known.remove(&key.1);
                    return;
                };
                let is_confirmed = says("\"status\":\"cn\"") || says("\"status\":\"fn\"");
                let before = self.known.get(&key.1);
                let order = Order {
                    store,
                    is_confirmed,
                    is_supervised: says("\"outpost_ordered_by\":\"supervisor\""),
                    confirmed_before_by: before.filter(|_| is_confirmed).and_then(|before| before.confirmed_before_by),
                };
                self.known.insert(key.1.clone(), order);
            }
            "purchase_order_line" => match data.and_then(|data| text_in(data, "purchase_order_ID")) {
                Some(order) => drop(self.lines.insert(key.1.clone(), order)),
                None => drop(self.lines.remove(&key.1)),
            },
            _ => {}
        }
    }

    /// Procurement changes hands: what is confirmed stays with who has it.
    fn settle_confirmed(&mut self, of: Option<&str>) {
        let (is_centralised, local) = (self.is_centralised, &self.local_stores);
        let confirmed =
            self.known.values_mut().filter(|order| order.is_confirmed && of.is_none_or(|of| of == order.store));
        for order in confirmed {
            let is_primarys = order.is_supervised || is_centralised && !local.contains(&order.store);
            let now = if is_primarys { Owner::Primary } else { Owner::Store };
            order.confirmed_before_by.get_or_insert(now);
        }
    }

    /// What the rules need to know.
    pub(crate) fn facts(&self) -> rules::Procurement {
        rules::Procurement {
            is_centralised: self.is_centralised,
            has_centralised_payments: false,
            has_supervisor_mode: self.has_supervisor_mode,
            local_stores: self.local_stores.clone(),
        }
    }

    /// An order, or a line of one that is here, for the rules.
    pub(crate) fn record(&self, key: &Key, facts: &rules::World) -> Option<Record> {
        let id = if key.0 == "purchase_order" { &key.1 } else { self.lines.get(&key.1)? };
        let order = self.known.get(id)?;
        let confirmed_before_on = order.confirmed_before_by.and_then(|owner| match owner {
            Owner::Primary => Some(facts.primary()),
            Owner::Store => facts.stores.get(&order.store).map(|store| store.active_site),
        });
        // Confirmed in supervisor mode, it needs that no more.
        let is_supervised = order.is_supervised && !order.is_confirmed;
        let confirmed_before_on =
            confirmed_before_on.or_else(|| (order.is_supervised && order.is_confirmed).then(|| facts.primary()));
        let purchase = Purchase { kind: PurchaseKind::Order, is_supervised, confirmed_before_on };
        Some(Record::Purchase { store: order.store.clone(), purchase, transfer_with: None })
    }
}

impl World {
    /// Whether a site might make an edit of an order, or of a line that names `header`; `None` where that cannot be told. Asked before what
    /// the commit has written is seen here: edits of sites come first in it, so that who may write is what it was.
    pub(crate) fn may_write_order(
        &mut self,
        site: SiteId,
        key: &Key,
        change: &Change,
        header: Option<&Key>,
    ) -> Result<Option<Result<(), Rule>>, Violation> {
        let failed = |error: sql::SqlError| violation("8", format!("central's store cannot be read: {error}"));
        let holders = self.inspector.holders().or_else(|error| failed(error).map(|()| BTreeMap::new()))?;
        let mut facts = rules::World::default();
        facts.sites.insert(rules::CENTRAL, rules::SiteKind::Standalone);
        let sites = self.devices.iter().map(|device| (rules::SiteId(device.site.0), rules::SiteKind::Standalone));
        facts.sites.extend(sites);
        facts.mirrored_primary = self.model.orders.mirrored_primary.map(|site| rules::SiteId(site.0));
        facts.stores = holders.iter().map(|(id, site)| (id.clone(), store_at(id, *site))).collect();
        facts.procurement = self.model.orders.facts();
        let record = match (self.model.orders.record(key, &facts), change, header) {
            (Some(record), ..) => record,
            // One that is made.
            (None, Change::Put(columns), None) => {
                let text = |column: &str| match columns.get(column) {
                    Some(protocol::row::Value::Text(text)) => Some(text.clone()),
                    _ => None,
                };
                let Some(store) = text("store_ID") else { return Ok(None) };
                let is_supervised = text("outpost_ordered_by").as_deref() == Some("supervisor");
                let purchase = Purchase { kind: PurchaseKind::Order, is_supervised, confirmed_before_on: None };
                Record::Purchase { store, purchase, transfer_with: None }
            }
            (None, Change::Put(_), Some(header)) => match self.model.orders.record(header, &facts) {
                Some(record) => record,
                // Its order came with it, and was looked at.
                None => return Ok(None),
            },
            // Nothing to delete, which is done.
            (None, ..) => return Ok(None),
        };
        let may_write = |record: &Record| rules::may_write(&facts, rules::SiteId(site.0), record);
        // A line may go from one order to another: both have to be its author's.
        let into = match change {
            Change::Put(columns) | Change::Patch(columns) => columns.get("purchase_order_ID"),
            Change::Delete => None,
        };
        let other = match into {
            Some(protocol::row::Value::Text(order)) if key.0 == "purchase_order_line" => {
                Some(self.model.orders.record(&("purchase_order".to_owned(), order.clone()), &facts))
            }
            _ => None,
        };
        Ok(match (may_write(&record), other) {
            (Err(rule), _) => Some(Err(rule)),
            (Ok(()), None) => Some(Ok(())),
            (Ok(()), Some(other)) => other.as_ref().map(may_write),
        })
    }

    /// Central changes who orders for whom, orders itself, and puts orders where they are to be.
    pub(crate) fn change_procurement(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Procurement) || self.centre.live.is_none() {
            return Ok(());
        }
        let stores: Vec<String> = self.model.devices.iter().flat_map(|device| device.stores.clone()).collect();
        for _ in 0..self.random.below(3) {
            let edits = order_edits(&stores, false, &mut self.random);
            self.import(edits)?;
        }
        self.carry_out(Preference::CentralisedProcurement, 3)?;
        if !self.random.chance(350) {
            return Ok(());
        }
        let store = self.random.pick::<String>(&stores).clone();
        let id = RecordId::new(&store).expect("it is short");
        let (what, is_on) = (self.random.below(6), self.random.chance(600));
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        let set = live.store.batch(wall_ms, |batch| match what {
            0 => batch.set_preference(Preference::SupervisorOrders, is_on),
            1 => batch.set_store_preference(StorePreference::LocalProcurement, &id, is_on),
            _ => batch.set_preference(Preference::CentralisedProcurement, is_on),
        });
        match set {
            Ok(Ok(is_new)) => {
                let what = ["supervisor mode", &format!("local procurement of {store}")]
                    .get(usize::try_from(what).unwrap_or(9))
                    .map_or("centralised procurement".to_owned(), ToString::to_string);
                self.note(format_args!("{what} is on: {is_on}, new: {is_new}"));
                self.after_commit()
            }
            Ok(Err(StoreError::Refused(_))) => Ok(()),
            Ok(Err(error)) | Err(error) => self.central_failed("procurement", &error.to_string()),
        }
    }
}
