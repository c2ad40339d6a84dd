//! Purchase orders that the primary writes, in whatever store (`domain::procurement`).
//!
//! Beside the lane of their store they stand in the common one, with a key that only the primary sees ([`VisibleKey::Orders`]). Who writes
//! orders changes in the commit that switches the preference; those of before come into the common lane, or go out of it, in bounded steps,
//! each of which a crash may follow. An order that is written meanwhile goes at once, and its lines with it.
//!
//! Goods received for such an order go the same way, since the primary counts there what was received. The order is confirmed by then, and
//! does not change hands any more.

use std::ops::ControlFlow;

use domain::catalogue::Table;
use domain::judge::Applied;
use domain::preference::Preference;
use domain::procurement::{ORDER_TABLE, ORDERS_LOCALLY, Procurement, Purchaser, is_of_orders};
use domain::scope::Scope;
use domain::store::says;
use domain::transfers::records::GOODS;
use domain::visibility::VisibleKey;
use protocol::ids::RecordId;
use protocol::row::Row;
use sql::SqlExt;

use super::batch::Batch;
use super::error::StoreError;
use super::reading::{Reading, RecordRow};
use super::records::LaneRow;
use super::text;

/// Name of the number of the record up to which orders stand in the lanes where they are to; none where all do.
pub(super) const ORDERS_ROUTED_THROUGH: &str = "orders_routed_through";
/// What the name of a number begins with that is there for a store whose site keeps procurement; the store's id follows.
const ORDERS_LOCALLY_OF: &str = "orders_locally ";
/// Column of goods received with the order that they are for.
const GOODS_ORDER: &str = "purchase_order_ID";
/// Records that one step passes by at most, of whatever table.
const PASSED_BY_MAX: i64 = 50_000;

impl Batch<'_> {
    /// Who writes orders may be another from now on.
    pub(super) fn route_orders_anew(&mut self) -> Result<(), StoreError> {
        // Only who ever changed procurement looks for the lines of an order.
        let index =
            "CREATE INDEX IF NOT EXISTS record_order_line ON record (parent_id) WHERE parent_table = 'purchase_order'";
        self.sql.execute(index, &[])?;
        self.sql.execute(
            "INSERT INTO counter (name, value) VALUES (?1, 0) ON CONFLICT (name) DO UPDATE SET value = 0",
            &[ORDERS_ROUTED_THROUGH.into()],
        )?;
        Ok(())
    }

    /// Follows what a store's record says of its orders.
    pub(super) fn follow_local_procurement(
        &mut self,
        stores: &Table,
        store: &RecordId,
        row: Option<&Row>,
    ) -> Result<(), StoreError> {
        let name = format!("{ORDERS_LOCALLY_OF}{store}");
        let is_kept = row.is_some_and(|row| says(stores, row, ORDERS_LOCALLY));
        let was_kept = self.sql.query_integer("SELECT 1 FROM counter WHERE name = ?1", &[(&name).into()])?.is_some();
        if is_kept == was_kept {
            return Ok(());
        }
        let sql = if is_kept {
            "INSERT INTO counter (name, value) VALUES (?1, 1)"
        } else {
            "DELETE FROM counter WHERE name = ?1"
        };
        self.sql.execute(sql, &[(&name).into()])?;
        let is_centralised = self.reading().is_preference_on(Preference::CentralisedProcurement)?;
        if is_centralised { self.route_orders_anew() } else { Ok(()) }
    }

    /// A line that is to be written for the primary may belong to an order of before, which has to come into the common lane ahead of it
    /// (rule 5.16).
    pub(super) fn route_order_first(&mut self, table: &Table, applied: &Applied) -> Result<(), StoreError> {
        if applied.row.is_none() || applied.visible_key != Some(VisibleKey::Orders) || table.parent().is_none() {
            return Ok(());
        }
        let is_routing = self.reading().is_under_way(Preference::CentralisedProcurement)?;
        let (true, Some((parent, header))) = (is_routing, &applied.parent) else { return Ok(()) };
        let Some(number) = self.read_record(&(parent.clone(), header.clone()))?.map(|stored| stored.number) else {
            return Ok(());
        };
        self.put_order(number, true)?;
        self.put_lines(ORDER_TABLE, header, true).map(|_| ())
    }

    /// The lines of an order, or of goods received, come into the common lane with it, or go out of it, also where it is deleted and they
    /// are left. `lanes`: in which the header stood before; `shared`: the key of goods.
    pub(super) fn follow_order_lines(
        &mut self,
        table: &Table,
        id: &RecordId,
        applied: &Applied,
        lanes: &[LaneRow],
        shared: Option<&VisibleKey>,
    ) -> Result<(), StoreError> {
        let is_order = table.name() == ORDER_TABLE && is_of_orders(table);
        if is_order && lanes.is_empty() && applied.visible_key == Some(VisibleKey::Orders) {
            return self.put_goods_of(id);
        }
        if !is_order && table.name() != GOODS || lanes.is_empty() {
            return Ok(());
        }
        let key = if table.name() == GOODS { shared } else { applied.visible_key.as_ref() };
        let is_the_primarys = applied.row.is_some() && key == Some(&VisibleKey::Orders);
        if self.is_in_common_lane(lanes)? == is_the_primarys {
            return Ok(());
        }
        self.put_lines(table.name(), id, is_the_primarys).map(|_| ())
    }

    /// The key of goods received, or of a line of them, in the common lane: there where they are for an order that the primary writes.
    /// Lines stand where their header does. `lanes`: in which the record stands.
    pub(super) fn key_of_goods(
        &mut self,
        table: &Table,
        applied: &Applied,
        lanes: &[LaneRow],
    ) -> Result<Option<VisibleKey>, StoreError> {
        let is_line = table.parent().is_some_and(|parent| self.catalogue.table_name(&parent.table) == GOODS);
        let is_the_primarys = match (&applied.row, &applied.parent) {
            // What is deleted goes out of the lane, if it stood there.
            (None, _) if is_line || table.name() == GOODS => self.is_in_common_lane(lanes)?,
            (Some(_), Some(header)) if is_line => match self.read_record(header)? {
                Some(stored) => {
                    let lanes = self.lanes_of(stored.number)?;
                    self.is_in_common_lane(&lanes)?
                }
                None => false,
            },
            (Some(row), _) if table.name() == GOODS => match table.id_in(row, GOODS_ORDER) {
                Ok(order) => self.is_the_primarys(&order, applied.store.clone())?,
                Err(_) => false,
            },
            _ => false,
        };
        Ok(is_the_primarys.then_some(VisibleKey::Orders))
    }

    /// Puts some of what was written before where it is to be, `rows_max` orders and lines at most and the rest of the last order's.
    /// Whether more is left.
    ///
    /// # Errors
    /// Those of a write.
    pub fn route_orders_step(&mut self, rows_max: u64) -> Result<bool, StoreError> {
        self.job(|batch| batch.route_orders(rows_max))
    }

    fn route_orders(&mut self, rows_max: u64) -> Result<bool, StoreError> {
        let sql = "SELECT value FROM counter WHERE name = ?1";
        let Some(after) = self.sql.query_integer(sql, &[ORDERS_ROUTED_THROUGH.into()])? else { return Ok(false) };
        let through = after.saturating_add(PASSED_BY_MAX);
        let mut found: Vec<(i64, RecordId, Option<RecordId>)> = Vec::new();
        let sql = "SELECT number, id, store FROM record WHERE number > ?1 AND number <= ?2 AND data IS NOT NULL
            AND table_name = ?3 ORDER BY number LIMIT ?4";
        let params = [after.into(), through.into(), ORDER_TABLE.into(), sql::Param::unsigned(rows_max)?];
        self.sql.query(sql, &params, &mut |row| {
            found.push((row.integer(0)?, text::record_id(row, 1)?, text::optional_record_id(row, 2)?));
            Ok(ControlFlow::Continue(()))
        })?;
        let mut is_cut = found.len() as u64 >= rows_max;
        let (mut through, mut rows) = (found.last().filter(|_| is_cut).map_or(through, |(number, ..)| *number), 0);
        for (number, id, store) in found {
            if rows >= rows_max {
                is_cut = true;
                break;
            }
            let is_the_primarys = self.is_the_primarys(&id, store)?;
            self.put_order(number, is_the_primarys)?;
            rows += 1 + self.put_lines(ORDER_TABLE, &id, is_the_primarys)?;
            if rows >= rows_max {
                through = number;
            }
        }
        self.end_step(ORDERS_ROUTED_THROUGH, through, is_cut)
    }

    fn is_the_primarys(&mut self, id: &RecordId, store: Option<RecordId>) -> Result<bool, StoreError> {
        let (Ok(orders), Some(store)) = (self.catalogue.table_by_name(ORDER_TABLE), store) else { return Ok(false) };
        let Some(order) = self.reading().row_of(orders, id)? else { return Ok(false) };
        Ok(self.reading().procurement_of(&store)?.purchaser(orders, Some(&order)) == Purchaser::Primary)
    }

    /// Goods received for an order that the primary writes and that came after them, such as to a central that was set back, come into the
    /// common lane with it.
    fn put_goods_of(&mut self, order: &RecordId) -> Result<(), StoreError> {
        let mut goods: Vec<(i64, RecordId)> = Vec::new();
        let sql = "SELECT record.number, record.id FROM record_reference JOIN record ON record.number = record_reference.record
            WHERE record_reference.value = ?1 AND record_reference.column_name = ?2 AND record.table_name = ?3
                AND record.data IS NOT NULL ORDER BY record.number";
        self.sql.query(sql, &[order.as_str().into(), GOODS_ORDER.into(), GOODS.into()], &mut |row| {
            goods.push((row.integer(0)?, text::record_id(row, 1)?));
            Ok(ControlFlow::Continue(()))
        })?;
        for (number, id) in goods {
            self.put_order(number, true)?;
            self.put_lines(GOODS, &id, true)?;
        }
        Ok(())
    }

    /// How many there are.
    fn put_lines(&mut self, of: &str, header: &RecordId, is_the_primarys: bool) -> Result<u64, StoreError> {
        let mut lines = Vec::new();
        let sql = "SELECT number FROM record WHERE parent_table = ?1 AND parent_id = ?2 AND data IS NOT NULL";
        self.sql.query(sql, &[of.into(), header.as_str().into()], &mut |row| {
            lines.push(row.integer(0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        let count = lines.len() as u64;
        lines.into_iter().try_for_each(|line| self.put_order(line, is_the_primarys))?;
        Ok(count)
    }

    /// Puts an order, or a line, into the common lane or takes it out, unless it stands there just so.
    fn put_order(&mut self, number: i64, is_the_primarys: bool) -> Result<(), StoreError> {
        let lanes = self.lanes_of(number)?;
        if self.is_in_common_lane(&lanes)? == is_the_primarys {
            return Ok(());
        }
        self.put_shared(number, is_the_primarys.then_some(&VisibleKey::Orders))
    }

    fn is_in_common_lane(&mut self, lanes: &[LaneRow]) -> Result<bool, StoreError> {
        let scope = self.scope_number(&Scope::Visible)?;
        Ok(lanes.iter().any(|lane| lane.scope == scope && !lane.is_tombstone))
    }
}

impl Reading<'_> {
    /// How the orders of a store are procured.
    ///
    /// # Errors
    /// [`StoreError::Sql`], [`StoreError::Damaged`].
    pub fn procurement_of(&mut self, store: &RecordId) -> Result<Procurement, StoreError> {
        let catalogue = self.catalogue;
        Procurement::by_records(catalogue, store, |table, id| self.row_of(table, id))
    }

    /// Who writes a record, if it is a purchase order or a line of one that is here.
    pub(super) fn purchaser_of(&mut self, table: &str, record: &RecordRow) -> Result<Option<Purchaser>, StoreError> {
        let catalogue = self.catalogue;
        let (Ok(table), Ok(orders)) = (catalogue.table_by_name(table), catalogue.table_by_name(ORDER_TABLE)) else {
            return Ok(None);
        };
        let Some(store) = record.store.as_ref().filter(|_| is_of_orders(table)) else { return Ok(None) };
        let Some(row) = self.row_of(table, &record.id)? else { return Ok(None) };
        let order = match table.header_of(&row) {
            Some(Ok(header)) => self.row_of(orders, &header)?,
            Some(Err(_)) => None,
            None => Some(row),
        };
        Ok(Some(self.procurement_of(store)?.purchaser(orders, order.as_ref())))
    }
}
