//! What the rules of transfers look up beside records themselves (`domain::transfers`): who refers to a record, by indexes that hold few
//! rows.
//!
//! | columns | index |
//! | --- | --- |
//! | by which answers are found ([`ANSWERS`]) | in the schema: of most records none of them holds anything |
//! | by which halves are made, on a site that holds both stores | made when it is first needed: other sites pay nothing for it |

use std::ops::ControlFlow;

use domain::catalogue::Table;
use domain::transfers::records::{
    GOODS, GOODS_LINES, INVOICES, ITEM_JOINS, ORDER_LINES, REQUISITION_LINES, REQUISITIONS, STORES,
};
use protocol::ids::{RecordId, TableRef};
use protocol::row::Row;
use sql::SqlExt;

use super::grants::MAY_BE_WRITTEN;
use super::images::Key;
use super::{LocalCopy, LocalCopyError};

/// Columns with an index in the schema.
pub(super) const ANSWERS: [(&str, &str); 7] = [
    (INVOICES, "linked_transaction_id"),
    (INVOICES, "original_PO_ID"),
    (REQUISITIONS, "linked_requisition_id"),
    (REQUISITION_LINES, "requisition_ID"),
    (ORDER_LINES, "purchase_order_ID"),
    (GOODS, "purchase_order_ID"),
    (GOODS_LINES, "goods_received_ID"),
];

/// What is held of a column, as its index has it.
fn condition(table: &str, column: &str) -> String {
    format!("table_name = '{table}' AND json_extract(data, '$.{column}') <> ''")
}

/// The records that hold `?1` in a column.
fn query(table: &str, column: &str) -> String {
    format!("SELECT id FROM record WHERE {} AND json_extract(data, '$.{column}') = ?1", condition(table, column))
}

impl LocalCopy {
    /// The records that hold an id in a column of text, one of `domain::transfers::records::REFERENCES`. Inside the open transaction of
    /// edits, because an index may have to be made first.
    ///
    /// # Errors
    /// Those of a read, and of a write.
    pub fn referring(
        &mut self,
        table: &TableRef,
        column: &str,
        id: &RecordId,
    ) -> Result<Vec<(RecordId, Row)>, LocalCopyError> {
        let table = self.catalogue.table_or_stand_in(table);
        let mut found = Vec::new();
        for id_found in self.ids_referring(&table, column, id, u32::MAX)? {
            let key = Key { table: table.clone(), id: id_found };
            let Some(row) = self.merged(&key)?.and_then(|image| image.row) else { continue };
            // The index repeats what the row says.
            if table.id_in(&row, column).as_ref() == Ok(id) {
                found.push((key.id, row));
            }
        }
        Ok(found)
    }

    /// Whether there is one.
    pub(super) fn is_referred_to(&mut self, table: &str, column: &str, id: &RecordId) -> Result<bool, LocalCopyError> {
        let catalogue = self.catalogue.clone();
        let Ok(table) = catalogue.table_by_name(table) else { return Ok(false) };
        Ok(!self.ids_referring(table, column, id, 1)?.is_empty())
    }

    fn ids_referring(
        &mut self,
        table: &Table,
        column: &str,
        id: &RecordId,
        limit: u32,
    ) -> Result<Vec<RecordId>, LocalCopyError> {
        self.index(table.name(), column)?;
        let mut ids = Vec::new();
        let sql = format!("{} LIMIT {limit}", query(table.name(), column));
        self.sql.query(&sql, &[id.as_str().into()], &mut |row| {
            ids.push(row.text(0)?.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        ids.iter().map(|id| RecordId::new(id).map_err(LocalCopyError::damaged)).collect()
    }

    /// Makes the index of a column that the schema has none for. Inside the open transaction, if there is one.
    fn index(&mut self, table: &str, column: &str) -> Result<(), LocalCopyError> {
        if ANSWERS.contains(&(table, column)) {
            return Ok(());
        }
        let condition = condition(table, column);
        let sql = format!(
            "CREATE INDEX IF NOT EXISTS record_refers_{table}_{column} ON record (json_extract(data, '$.{column}'))
             WHERE {condition}"
        );
        self.sql.execute(&sql, &[])?;
        Ok(())
    }

    /// The store whose record has this name.
    ///
    /// # Errors
    /// Those of a read.
    pub fn store_named(&mut self, name: &RecordId) -> Result<Option<RecordId>, LocalCopyError> {
        let catalogue = self.catalogue.clone();
        let stores = catalogue.table_by_name(STORES).map_err(LocalCopyError::damaged)?;
        Ok(self.ids_referring(stores, "name_ID", name, 1)?.pop())
    }

    /// What a store says of an item.
    ///
    /// # Errors
    /// Those of a read.
    pub fn item_in_store(&mut self, item: &RecordId, store: &RecordId) -> Result<Option<Row>, LocalCopyError> {
        let catalogue = self.catalogue.clone();
        let joins = catalogue.table_by_name(ITEM_JOINS).map_err(LocalCopyError::damaged)?;
        let mut found = self.referring(joins.reference(), "item_ID", item)?.into_iter();
        Ok(found.find(|(_, row)| joins.id_in(row, "store_ID").as_ref() == Ok(store)).map(|(_, row)| row))
    }

    /// Whether this site may write several stores, between which transfers may go.
    ///
    /// # Errors
    /// Those of a read.
    pub fn holds_several_stores(&mut self) -> Result<bool, LocalCopyError> {
        let sql = format!("SELECT count(*) FROM store_grant WHERE store <> ?1 AND {MAY_BE_WRITTEN}");
        let count = self.sql.query_integer(&sql, &[domain::authority::CENTRAL_DATA.into()])?;
        Ok(count.is_some_and(|count| count > 1))
    }

    /// Inside the open transaction: this site has made this half, or people here have deleted this line of one, and none of its id is
    /// made again.
    ///
    /// # Errors
    /// Those of a write.
    pub fn note_half(&mut self, half: &RecordId) -> Result<(), LocalCopyError> {
        let sql = "INSERT INTO transfer_half (id) VALUES (?1) ON CONFLICT (id) DO NOTHING";
        self.sql.execute(sql, &[half.as_str().into()])?;
        Ok(())
    }

    /// Whether this site has made a half of this id, also of one that was deleted since, or people here have deleted this line of one.
    ///
    /// # Errors
    /// Those of a read.
    pub fn was_half_here(&mut self, half: &RecordId) -> Result<bool, LocalCopyError> {
        let sql = "SELECT 1 FROM transfer_half WHERE id = ?1";
        Ok(self.sql.query_integer(sql, &[half.as_str().into()])?.is_some())
    }

    /// Inside the open transaction: a line of a half that goes with its source line may come back with it.
    ///
    /// # Errors
    /// Those of a write.
    pub fn forget_half(&mut self, line: &RecordId) -> Result<(), LocalCopyError> {
        self.sql.execute("DELETE FROM transfer_half WHERE id = ?1", &[line.as_str().into()])?;
        Ok(())
    }

    /// How a look-up is carried out, in the engine's words.
    #[cfg(test)]
    pub(super) fn plan_of_referring(&mut self, table: &str, column: &str) -> String {
        self.begin_edits().unwrap();
        self.index(table, column).unwrap();
        let mut plan = String::new();
        let sql = format!("EXPLAIN QUERY PLAN {}", query(table, column));
        self.sql
            .query(&sql, &["x".into()], &mut |row| {
                plan.push_str(row.text(3)?);
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        self.rollback_edits().unwrap();
        plan
    }
}
