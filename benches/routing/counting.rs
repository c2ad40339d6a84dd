//! An engine that counts what is asked of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sql::{Durability, Param, Sql, SqlError, SqliteEngine, Visit};

/// What was asked so far.
#[derive(Default)]
pub(crate) struct Counts {
    /// Statements, those that begin and end transactions and savepoints not among them.
    pub(crate) statements: AtomicU64,
    /// Rows of lanes that were inserted, changed or deleted.
    pub(crate) lane_rows: AtomicU64,
}

impl Counts {
    /// Statements and rows of lanes.
    pub(crate) fn now(&self) -> (u64, u64) {
        (self.statements.load(Ordering::Relaxed), self.lane_rows.load(Ordering::Relaxed))
    }
}

/// See the module.
pub(crate) struct Counting {
    engine: SqliteEngine,
    counts: Arc<Counts>,
}

impl Counting {
    pub(crate) fn new(engine: SqliteEngine, counts: Arc<Counts>) -> Self {
        Self { engine, counts }
    }
}

impl Sql for Counting {
    fn begin(&mut self, durability: Durability) -> Result<(), SqlError> {
        self.engine.begin(durability)
    }

    fn commit(&mut self) -> Result<(), SqlError> {
        self.engine.commit()
    }

    fn rollback(&mut self) -> Result<(), SqlError> {
        self.engine.rollback()
    }

    fn savepoint(&mut self, name: &'static str) -> Result<(), SqlError> {
        self.engine.savepoint(name)
    }

    fn release(&mut self, name: &'static str) -> Result<(), SqlError> {
        self.engine.release(name)
    }

    fn rollback_to(&mut self, name: &'static str) -> Result<(), SqlError> {
        self.engine.rollback_to(name)
    }

    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, SqlError> {
        let rows = self.engine.execute(sql, params)?;
        self.counts.statements.fetch_add(1, Ordering::Relaxed);
        if ["INSERT INTO lane ", "UPDATE lane ", "DELETE FROM lane "].iter().any(|write| sql.starts_with(write)) {
            self.counts.lane_rows.fetch_add(rows, Ordering::Relaxed);
        }
        Ok(rows)
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>], visit: &mut Visit<'_>) -> Result<(), SqlError> {
        self.counts.statements.fetch_add(1, Ordering::Relaxed);
        self.engine.query(sql, params, visit)
    }

    fn execute_script(&mut self, ddl: &str) -> Result<(), SqlError> {
        self.engine.execute_script(ddl)
    }

    fn begin_read(&mut self) -> Result<(), SqlError> {
        self.engine.begin_read()
    }

    fn end_read(&mut self) -> Result<(), SqlError> {
        self.engine.end_read()
    }

    fn set_schema_version(&mut self, version: u32) -> Result<(), SqlError> {
        self.engine.set_schema_version(version)
    }
}
