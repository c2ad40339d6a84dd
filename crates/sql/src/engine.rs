//! The trait, and the conveniences that stand on it.

use std::ops::ControlFlow;

use crate::error::SqlError;
use crate::row::Row;
use crate::value::Param;

/// What a transaction survives once its commit has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: the data was synced to disk before the commit returned.
    Full,
    /// A killed program, not a power cut: for what can be done again from elsewhere.
    Process,
}

/// What a query does with each row: look at it, then go on or stop.
pub type Visit<'a> = dyn FnMut(&dyn Row) -> Result<ControlFlow<()>, SqlError> + 'a;

/// One blocking connection.
///
/// # The rules of every engine
///
/// - Writes happen only between [`Sql::begin`] and [`Sql::commit`]; there is no writing outside a transaction, so each
///   write's durability is stated.
/// - After a statement failed inside a transaction, everything but [`Sql::rollback`], [`Sql::rollback_to`] and
///   [`Sql::end_read`] is refused ([`SqlErrorKind::Other`](crate::SqlErrorKind::Other)). An error that a visitor
///   returned does not count. A row that may be there already is asked for with `ON CONFLICT`, or tried in a savepoint.
/// - Transactions are begun and ended by these calls, never by SQL text.
///
/// All calls can fail with [`Busy`](crate::SqlErrorKind::Busy), [`Corrupt`](crate::SqlErrorKind::Corrupt) and
/// [`Io`](crate::SqlErrorKind::Io), those that write also with [`DiskFull`](crate::SqlErrorKind::DiskFull).
pub trait Sql: Send {
    /// Starts a write transaction and takes the write lock at once.
    ///
    /// # Errors
    /// [`ReadOnly`](crate::SqlErrorKind::ReadOnly) on a read-only connection; `Other` if a transaction is open.
    fn begin(&mut self, durability: Durability) -> Result<(), SqlError>;

    /// Makes the transaction's writes visible, and durable as it was begun.
    ///
    /// # Errors
    /// Those of a write; the transaction is over then and none of its writes is visible. Whether they reappear after a
    /// power cut is open until the database was opened again. `Other` if none is open or a statement had failed: then
    /// the transaction still waits for its rollback.
    fn commit(&mut self) -> Result<(), SqlError>;

    /// Undoes the transaction. Harmless if none is open.
    ///
    /// # Errors
    /// Those of a write.
    fn rollback(&mut self) -> Result<(), SqlError>;

    /// Marks a point in the transaction to which it can be undone. Names are lower-case letters, digits and
    /// underscores; they nest, and the newest of a name counts.
    ///
    /// # Errors
    /// `Other` outside a write transaction and for another name.
    fn savepoint(&mut self, name: &'static str) -> Result<(), SqlError>;

    /// Forgets a savepoint and those inside it, keeping what was written since.
    ///
    /// # Errors
    /// `Other` if there is none of this name.
    fn release(&mut self, name: &'static str) -> Result<(), SqlError>;

    /// Undoes what was written since a savepoint, which stays; also clears the failure of a statement since.
    ///
    /// # Errors
    /// `Other` if there is none of this name.
    fn rollback_to(&mut self, name: &'static str) -> Result<(), SqlError>;

    /// Runs one statement that returns no rows; it is kept prepared. Returns the number of rows that an INSERT, UPDATE
    /// or DELETE touched; after other statements the number means nothing.
    ///
    /// # Errors
    /// [`Constraint`](crate::SqlErrorKind::Constraint) for a row that its table does not admit; `ReadOnly` between
    /// [`Sql::begin_read`] and [`Sql::end_read`]; `Other` outside a transaction, for wrong SQL, and for a number of
    /// parameters that is not the statement's.
    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, SqlError>;

    /// Runs one statement that returns rows, and shows them one by one without collecting them. `INSERT .. RETURNING`
    /// counts as a write. Outside a transaction the query sees one consistent state.
    ///
    /// # Errors
    /// As [`Sql::execute`], and the first error of `visit`, after which no row is visited.
    fn query(&mut self, sql: &str, params: &[Param<'_>], visit: &mut Visit<'_>) -> Result<(), SqlError>;

    /// Runs several statements without parameters, as written in a migration, inside the open write transaction.
    /// Placeholders stand for what engines name differently:
    ///
    /// | placeholder | meaning |
    /// | --- | --- |
    /// | `{bigint}` | signed 64-bit integer (`{bigint} PRIMARY KEY` is the cheapest key) |
    /// | `{text}` | UTF-8 text, compared and ordered by its bytes |
    /// | `{blob}` | bytes, ordered as bytes |
    /// | `{table}` | after the closing bracket of a table: values must have their column's type |
    /// | `{keyed_table}` | the same, with rows stored in the order of a primary key that is not one integer |
    ///
    /// # Errors
    /// As [`Sql::execute`]; `Other` for an unknown placeholder.
    fn execute_script(&mut self, ddl: &str) -> Result<(), SqlError>;

    /// Starts reading: until [`Sql::end_read`] all queries see the database as it is now.
    ///
    /// # Errors
    /// `Other` if a transaction is open.
    fn begin_read(&mut self) -> Result<(), SqlError>;

    /// Ends what [`Sql::begin_read`] started. Harmless if nothing was started.
    ///
    /// # Errors
    /// `Other` inside a write transaction.
    fn end_read(&mut self) -> Result<(), SqlError>;

    /// Notes the number of the newest migration where the engine checks it at opening, in the open transaction. An
    /// engine without such a place does nothing: the table of migrations says it as well.
    ///
    /// # Errors
    /// `Other` outside a write transaction, and for a number over 2^31 - 1.
    fn set_schema_version(&mut self, version: u32) -> Result<(), SqlError> {
        let _ = version;
        Ok(())
    }
}

/// Conveniences on every [`Sql`], also behind `dyn`.
pub trait SqlExt: Sql {
    /// The first row of a query, read by `read`; `None` if there is no row.
    ///
    /// # Errors
    /// As [`Sql::query`].
    fn query_one<T>(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        read: impl FnOnce(&dyn Row) -> Result<T, SqlError>,
    ) -> Result<Option<T>, SqlError> {
        let mut read = Some(read);
        let mut found = None;
        self.query(sql, params, &mut |row| {
            if let Some(read) = read.take() {
                found = Some(read(row)?);
            }
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// The integer in the first column of the first row; `None` if there is no row or it is NULL (as `max()` of nothing).
    ///
    /// # Errors
    /// As [`Sql::query`], and `Other` for another type.
    fn query_integer(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Option<i64>, SqlError> {
        Ok(self.query_one(sql, params, |row| row.optional_integer(0))?.flatten())
    }

    /// Runs `work` in a write transaction: committed if it returns `Ok`, undone if it returns `Err`. The caller's own
    /// error type only needs `From<SqlError>`.
    ///
    /// # Errors
    /// Those of `work`, and of [`Sql::begin`] and [`Sql::commit`]; nothing is written then.
    fn in_transaction<T, E: From<SqlError>>(
        &mut self,
        durability: Durability,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.begin(durability)?;
        let outcome = work(self).and_then(|value| {
            self.commit()?;
            Ok(value)
        });
        if outcome.is_err() {
            // The first error is the one to tell. Should the rollback fail too, the connection refuses the next begin.
            let _ = self.rollback();
        }
        outcome
    }

    /// Runs `work` in a savepoint of the open write transaction: kept if it returns `Ok`, undone if it returns `Err`;
    /// the transaction goes on in both cases.
    ///
    /// # Errors
    /// Those of `work`, and of the savepoint calls.
    fn in_savepoint<T, E: From<SqlError>>(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.savepoint(name)?;
        let outcome = work(self).and_then(|value| {
            self.release(name)?;
            Ok(value)
        });
        if outcome.is_err() {
            // The first error is the one to tell. Should this fail, the transaction counts as failed and cannot commit.
            let _ = self.rollback_to(name).and_then(|()| self.release(name));
        }
        outcome
    }

    /// Runs `work` on one consistent state of the database.
    ///
    /// # Errors
    /// Those of `work`, and of [`Sql::begin_read`].
    fn in_read<T, E: From<SqlError>>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        self.begin_read()?;
        let outcome = work(self);
        let ended = self.end_read();
        let value = outcome?;
        ended?;
        Ok(value)
    }
}

impl<S: Sql + ?Sized> SqlExt for S {}
