//! SQLite below the trait, on disk and in memory: the only file that names its binding.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, ToSql, ffi, params_from_iter};

use crate::ddl;
use crate::engine::{Durability, Sql, Visit};
use crate::error::{SqlError, SqlErrorKind};
use crate::file::{create_durably, io_error, log_bytes, names_unknown_version, plain_path};
use crate::options::{
    CACHE_BYTES_MIN, CHECK_FINDINGS_MAX, JOURNAL_SIZE_LIMIT_BYTES, LOG_BYTES_PRAGMA, Options, STATEMENT_CACHE_DEFAULT,
    WAL_AUTOCHECKPOINT_PAGES,
};
use crate::row::Row;
use crate::value::Param;

#[cfg(test)]
mod tests;

/// A connection to an SQLite database.
///
/// On disk it keeps a write-ahead log, so that readers in other connections and programs neither wait nor make the
/// writer wait. Dropping it closes the file; what was not committed is gone.
#[derive(Debug)]
pub struct SqliteEngine {
    connection: Connection,
    /// `None` in memory and on a disk of the program's own.
    path: Option<PathBuf>,
    read_only: bool,
    /// What `PRAGMA synchronous` was last set to.
    durability: Durability,
    state: State,
    /// A statement failed in the open transaction; see the rules of [`Sql`].
    failed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Reading,
    Writing,
}

/// How much of a statement an error message quotes, characters.
const QUOTED_SQL_CHARS: usize = 120;

impl SqliteEngine {
    /// Opens the database at `path`; unless it is to be read only, makes it if it is not there. The folder must exist.
    /// A new file and its entry in the folder are on disk when this returns. A file that is refused is not changed.
    ///
    /// # Errors
    /// [`SqlErrorKind::Foreign`] for another program's database, [`SqlErrorKind::Newer`] for a newer schema than
    /// `options` knows, [`SqlErrorKind::Corrupt`] for a file that is no sound database, [`SqlErrorKind::Io`] for a
    /// missing folder or permission.
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Self, SqlError> {
        let path = plain_path(path.as_ref());
        let named = |error: SqlError| SqlError::new(error.kind, format!("{}: {}", path.display(), error.message));
        let access = if options.read_only {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        } else {
            create_durably(&path).map_err(|error| named(io_error("cannot make the database file", &error)))?;
            OpenFlags::SQLITE_OPEN_READ_WRITE
        };
        let connection = Connection::open_with_flags(&path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|error| named(translate(&error, "open")))?;
        let engine = Self { path: Some(path.clone()), read_only: options.read_only, ..Self::on(connection) };
        engine.prepare_disk(options).map_err(named)?;
        Ok(engine)
    }

    /// Opens the database `name` on a disk of the program's own, which is registered with SQLite as `disk`; unless it
    /// is to be read only, makes it if it is not there. No file of the machine is touched. The disk answers
    /// [`LOG_BYTES_PRAGMA`].
    ///
    /// # Errors
    /// As [`SqliteEngine::open`], and [`SqlErrorKind::Io`] if no disk of that name is registered.
    pub fn open_on(disk: &str, name: &str, options: &Options) -> Result<Self, SqlError> {
        let named = |error: SqlError| SqlError::new(error.kind, format!("{name} on {disk}: {}", error.message));
        let access = if options.read_only {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        } else {
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
        };
        let connection = Connection::open_with_flags_and_vfs(name, access | OpenFlags::SQLITE_OPEN_NO_MUTEX, disk)
            .map_err(|error| {
                let error = translate(&error, "open");
                // SQLite knows no kind of its own for an unknown disk.
                let kind = if error.kind == SqlErrorKind::Other { SqlErrorKind::Io } else { error.kind };
                named(SqlError::new(kind, error.message))
            })?;
        let engine = Self { read_only: options.read_only, ..Self::on(connection) };
        engine.prepare_disk(options).map_err(named)?;
        Ok(engine)
    }

    /// A new, empty database in memory, gone when it is dropped. Durability means nothing to it.
    ///
    /// # Errors
    /// Only if memory is short.
    pub fn in_memory() -> Result<Self, SqlError> {
        let connection = Connection::open_in_memory().map_err(|error| translate(&error, "open in memory"))?;
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE_DEFAULT);
        let engine = Self::on(connection);
        engine.run("PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = OFF")?;
        Ok(engine)
    }

    /// The number in the header that says whose database this is; 0 in memory.
    ///
    /// # Errors
    /// As a query.
    pub fn application_id(&self) -> Result<i32, SqlError> {
        let sql = "PRAGMA application_id";
        self.connection.query_row(sql, [], |row| row.get(0)).map_err(|error| translate(&error, sql))
    }

    /// The number of the newest migration, as [`Sql::set_schema_version`] noted it; 0 for a new database.
    ///
    /// # Errors
    /// As a query, and [`SqlErrorKind::Corrupt`] for a negative number, which no program of ours writes.
    pub fn schema_version(&self) -> Result<u32, SqlError> {
        let number = self.read_integer("PRAGMA user_version")?;
        u32::try_from(number).map_err(|_| {
            SqlError::new(SqlErrorKind::Corrupt, format!("the schema's version is {number}, it is never negative"))
        })
    }

    /// Reads the whole file and checks its structure (`quick_check`: everything but indexes against their tables).
    /// Takes as long as reading the file.
    ///
    /// # Errors
    /// [`SqlErrorKind::Corrupt`] with the first [`CHECK_FINDINGS_MAX`] findings.
    pub fn check(&mut self) -> Result<(), SqlError> {
        self.run_check("quick_check")
    }

    /// The same, and each index against its table (`integrity_check`). Takes a multiple of the time.
    ///
    /// # Errors
    /// As [`SqliteEngine::check`].
    pub fn check_with_indexes(&mut self) -> Result<(), SqlError> {
        self.run_check("integrity_check")
    }

    fn run_check(&mut self, pragma: &str) -> Result<(), SqlError> {
        let mut findings = Vec::new();
        let sql = format!("PRAGMA {pragma}({CHECK_FINDINGS_MAX})");
        self.query(&sql, &[], &mut |row| {
            findings.push(row.text(0)?.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        if findings == ["ok"] {
            return Ok(());
        }
        Err(SqlError::new(SqlErrorKind::Corrupt, format!("the check found: {}", findings.join("; "))))
    }

    /// Size of the write-ahead log, bytes; 0 if there is none. It grows while a reader, in any program, stays in an
    /// old state.
    ///
    /// # Errors
    /// [`SqlErrorKind::Io`] if the file cannot be looked at.
    pub fn wal_bytes(&self) -> Result<u64, SqlError> {
        match &self.path {
            Some(path) => log_bytes(path),
            None => self.wal_bytes_by_pragma(),
        }
    }

    /// Copies the write-ahead log into the database, syncs it, and empties the log. `false` if a reader or another
    /// writer still needed it: what could be copied was, after waiting for the busy timeout.
    ///
    /// # Errors
    /// [`SqlErrorKind::ReadOnly`] on a read-only connection, [`SqlErrorKind::Other`] inside a transaction, else those
    /// of a write.
    pub fn checkpoint(&mut self) -> Result<bool, SqlError> {
        self.refuse_unless_idle("a checkpoint")?;
        self.refuse_read_only()?;
        Ok(self.read_integer("PRAGMA wal_checkpoint(TRUNCATE)")? == 0)
    }

    /// A database in memory has no log, and SQLite passes over a pragma that no disk answers.
    fn wal_bytes_by_pragma(&self) -> Result<u64, SqlError> {
        let sql = format!("PRAGMA {LOG_BYTES_PRAGMA}");
        let answer: Option<String> = self
            .connection
            .query_row(&sql, [], |row| row.get(0))
            .optional()
            .map_err(|error| translate(&error, &sql))?;
        let number = answer.map_or(Ok(0), |text| text.parse());
        number.map_err(|error| SqlError::new(SqlErrorKind::Io, format!("the size of the write-ahead log: {error}")))
    }

    fn on(connection: Connection) -> Self {
        Self {
            connection,
            path: None,
            read_only: false,
            durability: Durability::Full,
            state: State::Idle,
            failed: false,
        }
    }

    /// Settings of a database on disk. What writes to the file comes after the file is known to be ours.
    fn prepare_disk(&self, options: &Options) -> Result<(), SqlError> {
        self.connection.set_prepared_statement_cache_capacity(options.statement_cache);
        self.connection
            .busy_timeout(Duration::from_millis(u64::from(options.busy_timeout_ms)))
            .map_err(|error| translate(&error, "busy timeout"))?;
        let cache_kib = options.cache_bytes.max(CACHE_BYTES_MIN) / 1024;
        // temp_store: a sort that has no index goes to a temporary file, not to unbounded memory. mmap: a read error of
        // mapped pages is a signal that kills the program. cell_size_check: damaged pages are noticed when they are read.
        self.run(&format!(
            "PRAGMA cache_size = -{cache_kib}; PRAGMA temp_store = FILE; PRAGMA mmap_size = 0; \
             PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; \
             PRAGMA synchronous = FULL; PRAGMA query_only = {}",
            u8::from(self.read_only)
        ))?;
        let is_new = self.refuse_foreign_or_newer(options)?;
        if self.read_only {
            return Ok(());
        }
        self.refuse_damaged_version()?;
        self.run(&format!(
            "PRAGMA wal_autocheckpoint = {WAL_AUTOCHECKPOINT_PAGES}; \
             PRAGMA journal_size_limit = {JOURNAL_SIZE_LIMIT_BYTES}"
        ))?;
        let mode = self.switch_log_on().map_err(|error| translate(&error, "PRAGMA journal_mode = WAL"))?;
        if mode != "wal" {
            return Err(SqlError::new(
                SqlErrorKind::Io,
                format!("the file system allows no write-ahead log (journal mode is {mode}, needed is wal)"),
            ));
        }
        if is_new {
            self.run(&format!("PRAGMA application_id = {}", options.application_id))?;
        }
        Ok(())
    }

    /// Returns the journal mode. The change is written only after the row that names it: whoever reads just that row
    /// misses an error, and goes on with a rollback journal, whose deletion SQLite does not sync.
    fn switch_log_on(&self) -> rusqlite::Result<String> {
        let mut statement = self.connection.prepare("PRAGMA journal_mode = WAL")?;
        let mut rows = statement.query([])?;
        let mut mode = String::new();
        while let Some(row) = rows.next()? {
            mode = row.get(0)?;
        }
        Ok(mode)
    }

    /// The header says which version of the format may read and write the file; one above ours makes SQLite read only, without a word.
    /// There is none, so a bit decayed. Without a path it lies on a program's own file system, which has no permissions.
    fn refuse_damaged_version(&self) -> Result<(), SqlError> {
        let is_readonly =
            self.connection.is_readonly("main").map_err(|error| translate(&error, "look at the database"))?;
        if !is_readonly {
            return Ok(());
        }
        let is_damaged = self.path.as_deref().map_or(Ok(true), names_unknown_version)?;
        Err(if is_damaged {
            SqlError::new(SqlErrorKind::Corrupt, "the header names a version of the file format that does not exist")
        } else {
            SqlError::new(SqlErrorKind::ReadOnly, "the file may not be written")
        })
    }

    /// Returns whether the database is still empty.
    fn refuse_foreign_or_newer(&self, options: &Options) -> Result<bool, SqlError> {
        let application_id = self.application_id()?;
        let version = self.read_integer("PRAGMA user_version")?;
        let wanted = options.application_id;
        if (application_id ^ wanted).count_ones() == 1 {
            // The ids of our own programs differ in more: a bit of the header has decayed.
            let text = format!("the header names application id {application_id}, one bit from {wanted}");
            return Err(SqlError::new(SqlErrorKind::Corrupt, text));
        }
        if application_id != wanted {
            let objects = self.read_integer("SELECT count(*) FROM sqlite_schema")?;
            let is_new = application_id == 0 && version == 0 && objects == 0;
            return if is_new && !self.read_only {
                Ok(true)
            } else if is_new {
                Err(SqlError::new(SqlErrorKind::Foreign, "the database is empty: no program has set it up yet"))
            } else {
                Err(SqlError::new(
                    SqlErrorKind::Foreign,
                    format!(
                        "the database belongs to another program (application id {application_id}, ours is {wanted})"
                    ),
                ))
            };
        }
        if version > i64::from(options.schema_version_max) {
            // The same number stands in a table: where that is not newer, a bit of the header has decayed.
            let applied = self.read_integer("SELECT max(number) FROM applied_migrations").unwrap_or(version);
            if applied <= i64::from(options.schema_version_max) {
                let text = format!("the header names schema version {version}, and {applied} was applied");
                return Err(SqlError::new(SqlErrorKind::Corrupt, text));
            }
            return Err(SqlError::new(
                SqlErrorKind::Newer,
                format!(
                    "the database has schema version {version}, this program knows versions up to {}",
                    options.schema_version_max
                ),
            ));
        }
        Ok(false)
    }

    fn refuse_unless_idle(&self, what: &str) -> Result<(), SqlError> {
        if self.state == State::Idle && self.connection.is_autocommit() {
            return Ok(());
        }
        Err(SqlError::new(SqlErrorKind::Other, format!("{what} cannot start while a transaction is open")))
    }

    fn refuse_read_only(&self) -> Result<(), SqlError> {
        if self.read_only {
            return Err(SqlError::new(SqlErrorKind::ReadOnly, "this connection only reads"));
        }
        Ok(())
    }

    fn refuse_unless_writing(&self) -> Result<(), SqlError> {
        match self.state {
            State::Writing => self.refuse_if_failed(),
            State::Reading => Err(SqlError::new(SqlErrorKind::ReadOnly, "a write in a transaction that only reads")),
            State::Idle => {
                self.refuse_read_only()?;
                Err(SqlError::new(SqlErrorKind::Other, "a write outside a transaction: begin one first"))
            }
        }
    }

    /// SQLite ends the transaction by itself after some failures; going on would commit each statement alone.
    fn refuse_if_failed(&self) -> Result<(), SqlError> {
        if self.failed || (self.state != State::Idle && self.connection.is_autocommit()) {
            return Err(SqlError::new(
                SqlErrorKind::Other,
                "a statement failed in this transaction: only a rollback goes on",
            ));
        }
        Ok(())
    }

    /// Translates an error of SQLite and notes that the open transaction had one.
    fn fail(&mut self, error: &rusqlite::Error, sql: &str) -> SqlError {
        self.failed = self.state != State::Idle;
        translate(error, sql)
    }

    fn run(&self, sql: &str) -> Result<(), SqlError> {
        self.connection.execute_batch(sql).map_err(|error| translate(&error, sql))
    }

    fn run_cached(&self, sql: &str) -> Result<(), SqlError> {
        let run = || self.connection.prepare_cached(sql)?.execute([]);
        run().map(|_| ()).map_err(|error| translate(&error, sql))
    }

    fn read_integer(&self, sql: &str) -> Result<i64, SqlError> {
        self.connection.query_row(sql, [], |row| row.get(0)).map_err(|error| translate(&error, sql))
    }

    fn run_savepoint(&mut self, verb: &str, name: &'static str) -> Result<(), SqlError> {
        let is_plain = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !is_plain {
            return Err(SqlError::new(
                SqlErrorKind::Other,
                format!("the savepoint's name {name:?} is not made of lower-case letters, digits and underscores"),
            ));
        }
        let outcome = self.run_cached(&[verb, " \"", name, "\""].concat());
        self.failed |= outcome.is_err();
        outcome
    }

    /// Undoes whatever is open and leaves the connection idle.
    fn undo(&mut self) -> Result<(), SqlError> {
        if !self.connection.is_autocommit() {
            self.run_cached("ROLLBACK")?;
        }
        self.state = State::Idle;
        self.failed = false;
        Ok(())
    }
}

impl Sql for SqliteEngine {
    fn begin(&mut self, durability: Durability) -> Result<(), SqlError> {
        self.refuse_read_only()?;
        self.refuse_unless_idle("a transaction")?;
        if durability != self.durability {
            // SQLite takes this only between transactions.
            self.run(match durability {
                Durability::Full => "PRAGMA synchronous = FULL",
                Durability::Process => "PRAGMA synchronous = NORMAL",
            })?;
            self.durability = durability;
        }
        self.run_cached("BEGIN IMMEDIATE")?;
        self.state = State::Writing;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), SqlError> {
        self.refuse_unless_writing()?;
        let outcome = self.run_cached("COMMIT");
        if outcome.is_err() {
            // A commit that failed may leave the transaction open; the trait promises that it is over. The first error
            // is the one to tell; should the rollback fail too, the connection refuses the next begin.
            let _ = self.undo();
        } else {
            self.state = State::Idle;
        }
        outcome
    }

    fn rollback(&mut self) -> Result<(), SqlError> {
        if self.state == State::Reading {
            return Err(SqlError::new(SqlErrorKind::Other, "a transaction that only reads is ended, not rolled back"));
        }
        self.undo()
    }

    fn savepoint(&mut self, name: &'static str) -> Result<(), SqlError> {
        self.refuse_unless_writing()?;
        self.run_savepoint("SAVEPOINT", name)
    }

    fn release(&mut self, name: &'static str) -> Result<(), SqlError> {
        self.refuse_unless_writing()?;
        self.run_savepoint("RELEASE", name)
    }

    fn rollback_to(&mut self, name: &'static str) -> Result<(), SqlError> {
        if self.state != State::Writing || self.connection.is_autocommit() {
            return Err(SqlError::new(SqlErrorKind::Other, "no transaction is open in which to roll back"));
        }
        self.run_savepoint("ROLLBACK TO", name)?;
        self.failed = false;
        Ok(())
    }

    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, SqlError> {
        self.refuse_unless_writing()?;
        let run = || self.connection.prepare_cached(sql)?.execute(params_from_iter(params));
        match run() {
            // A row count of SQLite is at most an i64 and this cast only widens.
            Ok(rows) => Ok(rows as u64),
            Err(error) => Err(self.fail(&error, sql)),
        }
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>], visit: &mut Visit<'_>) -> Result<(), SqlError> {
        self.refuse_if_failed()?;
        match self.stream(sql, params, visit) {
            Ok(()) => Ok(()),
            Err(Stop::Caller(error)) => Err(error),
            Err(Stop::Sqlite(error)) => Err(self.fail(&error, sql)),
        }
    }

    fn execute_script(&mut self, script: &str) -> Result<(), SqlError> {
        self.refuse_unless_writing()?;
        let script = ddl::expand(script, ddl::SQLITE_NAMES)?;
        self.connection.execute_batch(&script).map_err(|error| self.fail(&error, &script))
    }

    fn begin_read(&mut self) -> Result<(), SqlError> {
        self.refuse_unless_idle("reading")?;
        self.run_cached("BEGIN DEFERRED")?;
        self.state = State::Reading;
        // A deferred transaction takes its snapshot at the first read, so read something.
        let outcome = self.read_integer("SELECT count(*) FROM sqlite_schema");
        if outcome.is_err() {
            let _ = self.undo();
        }
        outcome.map(|_| ())
    }

    fn end_read(&mut self) -> Result<(), SqlError> {
        if self.state == State::Writing {
            return Err(SqlError::new(SqlErrorKind::Other, "a write transaction ends with commit or rollback"));
        }
        self.undo()
    }

    fn set_schema_version(&mut self, version: u32) -> Result<(), SqlError> {
        self.refuse_unless_writing()?;
        let version = i32::try_from(version).map_err(|_| {
            SqlError::new(SqlErrorKind::Other, format!("schema version {version} is over the limit of {}", i32::MAX))
        })?;
        let sql = format!("PRAGMA user_version = {version}");
        self.connection.execute_batch(&sql).map_err(|error| self.fail(&error, &sql))
    }
}

/// Why a query ended early.
enum Stop {
    Sqlite(rusqlite::Error),
    Caller(SqlError),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Stop::Sqlite(error)
    }
}

impl SqliteEngine {
    fn stream(&self, sql: &str, params: &[Param<'_>], visit: &mut Visit<'_>) -> Result<(), Stop> {
        let mut statement = self.connection.prepare_cached(sql)?;
        if !statement.readonly() {
            self.refuse_unless_writing().map_err(Stop::Caller)?;
        }
        let mut rows = statement.query(params_from_iter(params))?;
        while let Some(row) = rows.next()? {
            match visit(&SqliteRow(row)).map_err(Stop::Caller)? {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(()) => break,
            }
        }
        Ok(())
    }
}

struct SqliteRow<'a>(&'a rusqlite::Row<'a>);

impl Row for SqliteRow<'_> {
    fn column(&self, index: usize) -> Result<Param<'_>, SqlError> {
        match self.0.get_ref(index).map_err(|error| translate(&error, "read a column"))? {
            ValueRef::Null => Ok(Param::Null),
            ValueRef::Integer(integer) => Ok(Param::Integer(integer)),
            ValueRef::Blob(bytes) => Ok(Param::Blob(bytes)),
            ValueRef::Text(bytes) => str::from_utf8(bytes).map(Param::Text).map_err(|error| {
                SqlError::new(SqlErrorKind::Corrupt, format!("column {index} holds text that is not UTF-8: {error}"))
            }),
            ValueRef::Real(number) => Err(SqlError::new(
                SqlErrorKind::Other,
                format!("column {index} holds the floating number {number}; there are only integers, text and bytes"),
            )),
        }
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Param::Null => ValueRef::Null,
            Param::Integer(integer) => ValueRef::Integer(integer),
            Param::Text(text) => ValueRef::Text(text.as_bytes()),
            Param::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn translate(error: &rusqlite::Error, sql: &str) -> SqlError {
    let (kind, number, text) = match error {
        rusqlite::Error::SqliteFailure(code, message) => {
            let text = message.clone().unwrap_or_else(|| code.to_string());
            // Damage that SQLite has no code for: a schema format above 4 in the header; an indexed text that was JSON once.
            let is_damage = ["unsupported file format", "malformed JSON"].contains(&text.as_str());
            (if is_damage { SqlErrorKind::Corrupt } else { kind_of(*code) }, Some(code.extended_code), text)
        }
        rusqlite::Error::SqlInputError { error, msg, .. } => (kind_of(*error), Some(error.extended_code), msg.clone()),
        other => (SqlErrorKind::Other, None, other.to_string()),
    };
    let statement: String = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let quoted: String = statement.chars().take(QUOTED_SQL_CHARS).collect();
    let number = number.map_or_else(String::new, |number| format!(" (SQLite's code {number})"));
    SqlError::new(kind, format!("{text}{number}, in `{quoted}`"))
}

fn kind_of(error: ffi::Error) -> SqlErrorKind {
    match error.code {
        // Growing the shared index of the write-ahead log fails only where there is no room for it.
        _ if error.extended_code == ffi::SQLITE_IOERR_SHMSIZE => SqlErrorKind::DiskFull,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => SqlErrorKind::Busy,
        ErrorCode::DiskFull => SqlErrorKind::DiskFull,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => SqlErrorKind::Corrupt,
        ErrorCode::ReadOnly => SqlErrorKind::ReadOnly,
        ErrorCode::ConstraintViolation => SqlErrorKind::Constraint,
        ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::NoLargeFileSupport => SqlErrorKind::Io,
        _ => SqlErrorKind::Other,
    }
}
