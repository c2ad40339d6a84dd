//! Purchase orders and their lines: written where their store is active, or by the primary ([`procurement`](crate::procurement)).

use protocol::ids::{OwnershipNumber, RecordId, SiteId};
use protocol::row::{ColumnRef, Row};

use super::store_data::{Held, Step};
use super::{Case, Found, Holding, Refusal, RefusalCode, Side, Verdict, View};
use crate::authority::{Authority, CENTRAL_DATA};
use crate::catalogue::Table;
use crate::procurement::{
    HasToSay, ORDER_TABLE, ORDERED_BY_COLUMN, OrderedBy, Ordering, Procurement, Purchaser, is_confirmed, is_of_orders,
};
use crate::store::STORE_TABLE;

impl Case<'_> {
    /// Whose an order is, or a line; `None` for any other table. `before` and `after`: the record, each where it is here then.
    pub(super) fn ordering<V: View>(
        &self,
        view: &mut V,
        store: &RecordId,
        before: Option<&Row>,
        after: Option<&Row>,
    ) -> Result<Option<Ordering>, V::Error> {
        let (true, Ok(orders)) = (is_of_orders(self.table), self.catalogue.table_by_name(ORDER_TABLE)) else {
            return Ok(None);
        };
        if self.table.name() == ORDER_TABLE && before.is_none() {
            let procurement = Procurement::of_store(self.catalogue, view, store)?;
            let purchaser = Some(of_new(procurement, orders, after));
            // In supervisor mode it is the primary's whatever becomes of procurement.
            let order = after.filter(|after| OrderedBy::of(after) == Some(OrderedBy::Supervisor)).cloned();
            return Ok(Some(Ordering { procurement, purchaser, order }));
        }
        let Some(row) = before.or(after) else { return Ok(None) };
        let ordering = Ordering::of(self.catalogue, view, self.table, store, row)?;
        // What never left its site is no order that the primary could write.
        Ok(Some(if self.is_kept_here(view, row)? {
            Ordering { purchaser: Some(Purchaser::Store), ..ordering }
        } else {
            ordering
        }))
    }

    /// On a device: whether an order stays there, or that of a line.
    fn is_kept_here<V: View>(&self, view: &mut V, row: &Row) -> Result<bool, V::Error> {
        if self.side == Side::Central {
            return Ok(false);
        }
        match (self.table.parent(), self.table.header_of(row)) {
            (Some(parent), Some(Ok(header))) => view.is_withheld(&parent.table, &header),
            _ => view.is_withheld(self.table.reference(), &self.entry.record),
        }
    }

    /// That the author writes this order.
    pub(super) fn held_order<V: View>(
        &self,
        view: &mut V,
        store: RecordId,
        ordering: &Ordering,
    ) -> Step<Held, V::Error> {
        match ordering.purchaser {
            Some(Purchaser::Store) => self.held_by_site(view, store, Some(ordering)),
            Some(Purchaser::Primary) => self.held_by_primary(view, store, ordering),
            Some(Purchaser::NobodyUnsupervised) => Ok(Err(Verdict::Refuse(self.not_purchaser(
                "was entered in supervisor mode, which is switched off (preference supervisor-orders)",
            )))),
            Some(Purchaser::NobodyKeptLocal) => Ok(Err(Verdict::Refuse(self.not_purchaser(&format!(
                "is of store {store}, whose site keeps procurement (preference local-procurement): the primary enters no orders of it",
            ))))),
            // Its order has to come first, and decides; or it is gone, and either may delete what is left of it. Who may write no order of
            // the store does not make central wait.
            None => match self.held_by_site(view, store.clone(), Some(ordering))? {
                Ok(held) => Ok(Ok(held)),
                Err(refused) => Ok(self.held_by_primary(view, store, ordering)?.or(Err(refused))),
            },
        }
    }

    fn held_by_primary<V: View>(&self, view: &mut V, store: RecordId, ordering: &Ordering) -> Step<Held, V::Error> {
        if let Ok(stores) = self.catalogue.table_by_name(STORE_TABLE)
            && !matches!(view.record(stores.reference(), &store)?, Found::Here { .. })
        {
            let what = format!("names store {store}, which is not here");
            return Ok(Err(Verdict::Refuse(self.refuse(RefusalCode::StoreMissing, &what))));
        }
        let is_central = self.author == SiteId::CENTRAL;
        let grant = match view.authority()? {
            Authority::Central if is_central => OwnershipNumber(0),
            Authority::Primary(holding) if holding.site == self.author => {
                let numbered = self.numbered(ordering, holding);
                return Ok(match self.wrong_number("the grant of", CENTRAL_DATA, numbered) {
                    Some(refusal) => Err(Verdict::Refuse(refusal)),
                    None => Ok(Held::by_primary(store, numbered.ownership)),
                });
            }
            Authority::Frozen(holding) => {
                let what =
                    format!("is ordered by the primary, which nobody is until site {} has taken over", holding.site);
                return Ok(Err(Verdict::Refuse(self.not_purchaser(&what))));
            }
            Authority::Central | Authority::Primary(_) => {
                let what = "is ordered by the primary, where central data is written: procurement is centralised \
                    (preference centralised-procurement), or was when it was confirmed";
                return Ok(Err(Verdict::Refuse(self.not_purchaser(what))));
            }
        };
        Ok(Ok(Held::by_primary(store, ordering.number(self.catalogue, grant))))
    }

    /// A grant with the number that an order is written under by whoever has it. Of what hangs on an order that is not here either number
    /// will do, as the author may have known the order.
    pub(super) fn numbered(&self, ordering: &Ordering, holding: Holding) -> Holding {
        let is_either = ordering.order.is_none() && self.table.name() != ORDER_TABLE;
        if is_either && self.side == Side::Central && self.entry.ownership == holding.ownership {
            return holding;
        }
        Holding { ownership: ordering.number(self.catalogue, holding.ownership), ..holding }
    }

    /// Why an edit is refused that says otherwise who writes an order than is so.
    pub(super) fn says_wrong_purchaser(
        &self,
        ordering: &Ordering,
        before: Option<&Row>,
        after: &Row,
    ) -> Option<Refusal> {
        if self.table.name() != ORDER_TABLE {
            return None;
        }
        let says = OrderedBy::of(after);
        let (procurement, purchaser) = (ordering.procurement, ordering.purchaser);
        let has_to_say = procurement.has_to_say(self.table, purchaser, before, after, says);
        let is_other = after.value(&ColumnRef::named(ORDERED_BY_COLUMN)).is_some() && says.is_none();
        (is_other || !has_to_say.is_said(says)).then(|| {
            let what = match has_to_say {
                HasToSay::By(by) => {
                    format!("has to say {ORDERED_BY_COLUMN} = {}; leave it out, and it will", by.as_str())
                }
                _ => format!("sets {ORDERED_BY_COLUMN}, which says who ordered once it is confirmed; leave it out"),
            };
            self.refuse(RefusalCode::CentralColumn, &what)
        })
    }

    /// Whether the primary writes an order from then on: in which lanes it is to stand.
    pub(super) fn is_the_primarys(&self, ordering: &Ordering, after: &Row) -> bool {
        match self.table.name() {
            ORDER_TABLE => ordering.procurement.purchaser(self.table, Some(after)) == Purchaser::Primary,
            _ => ordering.purchaser == Some(Purchaser::Primary),
        }
    }

    fn not_purchaser(&self, what: &str) -> Refusal {
        self.refuse(RefusalCode::NotPurchaser, what)
    }
}

/// Who writes an order that is to be made.
fn of_new(procurement: Procurement, orders: &Table, after: Option<&Row>) -> Purchaser {
    let supervised = after.filter(|after| OrderedBy::of(after) == Some(OrderedBy::Supervisor));
    match supervised {
        // One that is confirmed at once counts as one that is not: who has confirmed nothing has no right from that.
        Some(row) if is_confirmed(orders, row) => procurement.supervised(),
        Some(row) => procurement.purchaser(orders, Some(row)),
        None => procurement.purchaser(orders, None),
    }
}
