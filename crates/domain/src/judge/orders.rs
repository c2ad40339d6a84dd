//! Purchase orders and their lines: written where their store is active, or by the primary ([`procurement`](crate::procurement)).

use protocol::ids::{OwnershipNumber, RecordId, SiteId};
use protocol::row::{ColumnRef, Row};

use super::store_data::{Held, Step};
use super::{Case, Found, Holding, Refusal, RefusalCode, Verdict, View};
use crate::authority::{Authority, CENTRAL_DATA};
use crate::catalogue::Table;
use crate::procurement::{
    ORDER_TABLE, ORDERED_BY_COLUMN, OrderedBy, Procurement, Purchaser, is_confirmed, is_of_orders, of_record,
};
use crate::store::STORE_TABLE;

/// An order, or a line of one, that somebody would write in a store.
pub(super) struct Ordering {
    procurement: Procurement,
    /// `None`: of a line whose order is not here, nobody can tell.
    purchaser: Option<Purchaser>,
}

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
            return Ok(Some(Ordering { procurement, purchaser: Some(of_new(procurement, orders, after)) }));
        }
        let Some(row) = before.or(after) else { return Ok(None) };
        let (procurement, purchaser) = of_record(self.catalogue, view, self.table, store, row)?;
        Ok(Some(Ordering { procurement, purchaser }))
    }

    /// That the author writes this order.
    pub(super) fn held_order<V: View>(
        &self,
        view: &mut V,
        store: RecordId,
        ordering: &Ordering,
    ) -> Step<Held, V::Error> {
        let procurement = ordering.procurement;
        match ordering.purchaser {
            Some(Purchaser::Store) => self.held_by_site(view, store, Some(procurement)),
            Some(Purchaser::Primary) => self.held_by_primary(view, store, procurement),
            Some(Purchaser::NobodyUnsupervised) => Ok(Err(Verdict::Refuse(self.not_purchaser(
                "was entered in supervisor mode, which is switched off (preference supervisor-orders)",
            )))),
            Some(Purchaser::NobodyKeptLocal) => Ok(Err(Verdict::Refuse(self.not_purchaser(&format!(
                "is of store {store}, whose site keeps procurement (preference local-procurement): the primary enters no orders of it",
            ))))),
            // Its order has to come first, and decides; or it is gone, and either may delete what is left of it. Who may write no order of
            // the store does not make central wait.
            None => match self.held_by_site(view, store.clone(), Some(procurement))? {
                Ok(held) => Ok(Ok(held)),
                Err(refused) => Ok(self.held_by_primary(view, store, procurement)?.or(Err(refused))),
            },
        }
    }

    fn held_by_primary<V: View>(
        &self,
        view: &mut V,
        store: RecordId,
        procurement: Procurement,
    ) -> Step<Held, V::Error> {
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
                let holding = Holding { ownership: procurement.number(holding.ownership), ..holding };
                if let Some(refusal) = self.wrong_number("the grant of", CENTRAL_DATA, holding) {
                    return Ok(Err(Verdict::Refuse(refusal)));
                }
                return Ok(Ok(Held::by_primary(store, holding.ownership)));
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
        Ok(Ok(Held::by_primary(store, procurement.number(grant))))
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
        let is_other = after.value(&ColumnRef::Named(ORDERED_BY_COLUMN.to_owned())).is_some() && says.is_none();
        (says != has_to_say || is_other).then(|| {
            let what = match has_to_say {
                Some(by) => format!("has to say {ORDERED_BY_COLUMN} = {}; leave it out, and it will", by.as_str()),
                None => format!("sets {ORDERED_BY_COLUMN}, which says who ordered once it is confirmed; leave it out"),
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
