//! New users: made on a site, and sent to central (`domain.md`, "Special cases"; seed 000, rows "New users" and "User licenses and existing
//! users").
//!
//! A user that a site makes is that site's for good: it alone writes it, and it and central have it. The record says which site that is,
//! in the column [`MADE_ON_COLUMN`], which the recorder fills. Existing users, such as those of a data file that a site starts with, are
//! Local: each site has its own and sends none. An application says that of one when it records it first ([`IS_EXISTING_COLUMN`]).
//! Central's own users are Local there.

use protocol::entry::{Entry, Operation};
use protocol::ids::{SiteId, TableRef};
use protocol::row::{ColumnRef, Row, Value};

use crate::catalogue::Table;
use crate::judge::Found;

/// The table of users, under mSupply's name.
pub const USER_TABLE: &str = "user";
/// The column with the site that made a user; absent: the user is Local.
pub const MADE_ON_COLUMN: &str = "outpost_made_on";
/// The column by which an application says that a user which it records is an existing one.
pub const IS_EXISTING_COLUMN: &str = "outpost_is_existing";

/// Whether a table's records are users.
pub fn is_of_users(table: &Table) -> bool {
    table.name() == USER_TABLE && matches!(table.reference(), TableRef::Known(_))
}

/// The site that made a user, by its record.
pub fn made_on(row: &Row) -> Option<SiteId> {
    match row.value(&ColumnRef::named(MADE_ON_COLUMN)) {
        Some(Value::Number(text)) => text.parse().ok().map(SiteId),
        _ => None,
    }
}

/// Whether an application says that a user is an existing one.
pub(crate) fn is_existing(row: &Row) -> bool {
    row.value(&ColumnRef::named(IS_EXISTING_COLUMN)) == Some(&Value::Bool(true))
}

/// Has an edit that makes a user say on which site: an application need not know. `found`: what is here of the user.
pub fn say_where_made(table: &Table, site: SiteId, found: &Found, entry: &mut Entry) {
    let Operation::Put(row) = &mut entry.operation else { return };
    let says_so = is_existing(row) || row.value(&ColumnRef::named(MADE_ON_COLUMN)).is_some();
    if !is_of_users(table) || found.row().is_some() || says_so {
        return;
    }
    let mut columns = row.columns().to_vec();
    columns.push((ColumnRef::named(MADE_ON_COLUMN), Value::Number(site.to_string())));
    // A row that is full already is judged as it is.
    if let Ok(completed) = Row::new(columns) {
        *row = completed;
    }
}
