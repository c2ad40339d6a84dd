//! A disk that refuses a sync: what was written before it is not called safe any more, so no journal lets go of it (invariant 4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::catalogue::Catalogue;
use protocol::ids::{JournalId, SiteId};
use sql::{Durability, Param, Sql, SqlError, SqlErrorKind, SqliteEngine, Visit};

use super::super::{Engine, Kind, LocalCopy, LocalCopyError};

/// An engine in memory whose commits fail while the switch is on.
struct Failing {
    engine: SqliteEngine,
    fails: Arc<AtomicBool>,
}

impl Sql for Failing {
    fn begin(&mut self, durability: Durability) -> Result<(), SqlError> {
        self.engine.begin(durability)
    }

    fn commit(&mut self) -> Result<(), SqlError> {
        if self.fails.load(Ordering::Relaxed) {
            self.engine.rollback()?;
            return Err(SqlError::new(SqlErrorKind::Io, "injected error"));
        }
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
        self.engine.execute(sql, params)
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>], visit: &mut Visit<'_>) -> Result<(), SqlError> {
        self.engine.query(sql, params, visit)
    }

    fn execute_script(&mut self, script: &str) -> Result<(), SqlError> {
        self.engine.execute_script(script)
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

impl Engine for Failing {
    fn check(&mut self) -> Result<(), SqlError> {
        self.engine.check()
    }

    fn log_bytes(&self) -> Result<u64, SqlError> {
        self.engine.wal_bytes()
    }
}

#[test]
fn after_a_write_that_the_disk_refused_nothing_is_called_safe() {
    let fails = Arc::new(AtomicBool::new(false));
    let engine = Failing { engine: SqliteEngine::in_memory().unwrap(), fails: Arc::clone(&fails) };
    let mut copy = LocalCopy::new(Box::new(engine), SiteId(7), Arc::new(Catalogue::embedded())).unwrap();
    copy.use_journal(Kind::Shared, JournalId([1; 16])).unwrap();
    copy.make_durable().unwrap();
    fails.store(true, Ordering::Relaxed);
    assert!(copy.remember_sync(5, None).is_err());
    fails.store(false, Ordering::Relaxed);

    // Writing works again, and proves nothing about what was written before.
    copy.remember_sync(6, None).unwrap();

    assert!(copy.has_failed());
    assert!(matches!(copy.make_durable(), Err(LocalCopyError::Sql(error)) if error.kind == SqlErrorKind::Io));
}
