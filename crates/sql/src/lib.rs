//! The small blocking SQL trait that the device's local copy and central's store stand on.
//!
//! [`Sql`] is one connection: transactions with a stated durability, savepoints, cached statements and queries that
//! stream. [`SqliteEngine`] implements it on disk and in memory; `sqlite.rs` is the only file that names the binding.
//!
//! # What keeps SQL portable
//!
//! SQL written against this trait must run on `PostgreSQL` too. So:
//!
//! - placeholders are `?1`, `?2`, ...; `INSERT .. ON CONFLICT (..) DO UPDATE` for upserts; no pragmas, no `rowid`;
//! - DDL names its types by placeholders (see [`Sql::execute_script`]): `{bigint}`, `{text}`, `{blob}`, and ends a table
//!   with `{table}` or `{keyed_table}`;
//! - values are 64-bit integers, text and bytes. Text must not hold the character NUL, which `PostgreSQL` cannot store;
//! - every write is inside a transaction, and after a failed statement only a rollback, whole or to a savepoint, goes
//!   on. Every engine enforces both, so that what passes on one passes on all.

mod checksum;
mod ddl;
mod engine;
mod error;
mod file;
mod migration;
mod options;
mod row;
mod sqlite;
mod value;

pub use checksum::{check_row, row_checksum};
pub use engine::{Durability, Sql, SqlExt, Visit};
pub use error::{SqlError, SqlErrorKind};
pub use migration::{Migration, check_migrations, migrate};
pub use options::{
    BUSY_TIMEOUT_MS_DEFAULT, CACHE_BYTES_DEVICE, CACHE_BYTES_MIN, CHECK_FINDINGS_MAX, JOURNAL_SIZE_LIMIT_BYTES,
    LOG_BYTES_PRAGMA, Options, STATEMENT_CACHE_DEFAULT, WAL_AUTOCHECKPOINT_PAGES,
};
pub use row::Row;
pub use sqlite::SqliteEngine;
pub use value::{Param, Value};
