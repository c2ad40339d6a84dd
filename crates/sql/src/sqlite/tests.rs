//! What only this engine promises: settings, files, identity, damage.

use std::fs;
use std::io::{Seek, SeekFrom, Write};

use tempfile::TempDir;

use super::*;
use crate::engine::SqlExt;
use crate::migration::{Migration, migrate};

const OURS: i32 = 0x6f75_7470;

const STEPS: &[Migration] =
    &[Migration { number: 1, name: "notes", ddl: "CREATE TABLE notes (id {bigint} PRIMARY KEY, body {blob}) {table}" }];

fn options() -> Options {
    Options::new(OURS, 1)
}

fn with_notes() -> (TempDir, PathBuf, SqliteEngine) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    let mut engine = SqliteEngine::open(&path, &options()).unwrap();
    migrate(&mut engine, STEPS).unwrap();
    (folder, path, engine)
}

fn insert(engine: &mut SqliteEngine, id: i64, body: &[u8]) -> Result<u64, SqlError> {
    engine.execute("INSERT INTO notes (id, body) VALUES (?1, ?2)", &[id.into(), body.into()])
}

/// Rows of 2000 bytes from id 1 up, committed, so that the file has a good number of pages.
fn fill(engine: &mut SqliteEngine, rows: i64) {
    engine
        .in_transaction(Durability::Full, |engine| {
            (1..=rows).try_for_each(|id| insert(engine, id, &[7; 2000]).map(|_| ()))
        })
        .unwrap();
}

fn open_error(path: &Path, options: &Options) -> SqlError {
    SqliteEngine::open(path, options).unwrap_err()
}

#[test]
fn synchronous_follows_the_durability_of_each_transaction() {
    let (_folder, _, mut engine) = with_notes();
    for (durability, level) in
        [(Durability::Process, 1), (Durability::Full, 2), (Durability::Full, 2), (Durability::Process, 1)]
    {
        engine.begin(durability).unwrap();
        assert_eq!(engine.read_integer("PRAGMA synchronous").unwrap(), level, "{durability:?}");
        engine.commit().unwrap();
    }
}

#[test]
fn a_database_on_disk_has_the_settings_that_the_options_name() {
    let (_folder, _, engine) = with_notes();
    let expected = [
        ("cache_size", -512),
        ("temp_store", 1),
        ("mmap_size", 0),
        ("foreign_keys", 0),
        ("trusted_schema", 0),
        ("busy_timeout", i64::from(BUSY_TIMEOUT_MS)),
        ("wal_autocheckpoint", i64::from(WAL_AUTOCHECKPOINT_PAGES)),
        ("journal_size_limit", i64::from(JOURNAL_SIZE_LIMIT_BYTES)),
        ("application_id", i64::from(OURS)),
        ("user_version", 1),
    ];
    for (name, value) in expected {
        assert_eq!(engine.read_integer(&format!("PRAGMA {name}")).unwrap(), value, "{name}");
    }
    assert_eq!((engine.application_id().unwrap(), engine.schema_version().unwrap()), (OURS, 1));
}

const BUSY_TIMEOUT_MS: u32 = crate::options::BUSY_TIMEOUT_MS_DEFAULT;

#[test]
fn sqlite_is_built_without_what_nobody_uses() {
    let mut engine = SqliteEngine::in_memory().unwrap();
    let mut compiled = Vec::new();
    engine
        .query("PRAGMA compile_options", &[], &mut |row| {
            compiled.push(row.text(0)?.to_owned());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    for absent in ["ENABLE_FTS3", "ENABLE_FTS5", "ENABLE_RTREE", "ENABLE_LOAD_EXTENSION"] {
        assert!(!compiled.iter().any(|option| option.starts_with(absent)), "{absent} in {compiled:?}");
    }
    assert!(compiled.iter().any(|option| option == "OMIT_LOAD_EXTENSION"), "{compiled:?}");
    assert!(compiled.iter().any(|option| option == "THREADSAFE=1"), "{compiled:?}");
    for module in ["fts5(body)", "fts3(body)", "rtree(id, low, high)"] {
        engine.begin(Durability::Process).unwrap();
        let error = engine.execute(&format!("CREATE VIRTUAL TABLE searched USING {module}"), &[]).unwrap_err();
        assert!(error.message.contains("no such module"), "{error}");
        engine.rollback().unwrap();
    }
}

#[test]
fn a_full_disk_is_named_and_leaves_what_was_committed() {
    let (_folder, _, mut engine) = with_notes();
    fill(&mut engine, 3);
    let pages = engine.read_integer("PRAGMA page_count").unwrap();
    engine.read_integer(&format!("PRAGMA max_page_count = {}", pages + 2)).unwrap();

    let error = engine
        .in_transaction(Durability::Full, |engine| -> Result<(), SqlError> {
            (10..100).try_for_each(|id| insert(engine, id, &[1; 2000]).map(|_| ()))
        })
        .unwrap_err();
    assert_eq!((error.kind, error.code()), (SqlErrorKind::DiskFull, "sql_disk_full"), "{error}");
    assert_eq!(engine.query_integer("SELECT count(*) FROM notes", &[]).unwrap(), Some(3));

    engine.read_integer("PRAGMA max_page_count = 1000000").unwrap();
    engine.in_transaction(Durability::Full, |engine| insert(engine, 10, b"room again")).unwrap();
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    let text = "this is a letter, not a database. ".repeat(200);
    fs::write(&path, &text).unwrap();
    let error = open_error(&path, &options());
    assert_eq!(error.kind, SqlErrorKind::Corrupt, "{error}");
    assert!(error.message.contains("test.db"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn damage_in_the_middle_is_found_by_the_check_and_named_by_a_query() {
    let (_folder, path, mut engine) = with_notes();
    fill(&mut engine, 200);
    engine.check().unwrap();
    assert!(engine.checkpoint().unwrap());
    drop(engine);
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for page in 10..20 {
        file.seek(SeekFrom::Start(page * 4096)).unwrap();
        file.write_all(&[0xa5; 4096]).unwrap();
    }
    drop(file);

    let mut engine = SqliteEngine::open(&path, &options()).unwrap();
    assert_eq!(engine.check().unwrap_err().kind, SqlErrorKind::Corrupt);
    let mut bytes = 0;
    let error = engine
        .query("SELECT body FROM notes", &[], &mut |row| {
            bytes += row.blob(0)?.len();
            Ok(ControlFlow::Continue(()))
        })
        .unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::Corrupt, "{error}");
}

#[test]
fn a_newer_schema_is_refused_with_both_numbers() {
    let (_folder, path, mut engine) = with_notes();
    engine.in_transaction(Durability::Full, |engine| engine.set_schema_version(7)).unwrap();
    drop(engine);
    assert_eq!(open_error(&path, &options()).kind, SqlErrorKind::Corrupt, "no step of that number was ever applied");
    let insert = "INSERT INTO applied_migrations (number, name, checksum) VALUES (7, 'newer', 0)";
    Connection::open(&path).unwrap().execute(insert, []).unwrap();
    for options in [options(), options().read_only()] {
        let error = open_error(&path, &options);
        assert_eq!(error.kind, SqlErrorKind::Newer);
        assert!(error.message.contains("version 7") && error.message.contains("up to 1"), "{error}");
    }
}

#[test]
fn a_schema_version_over_the_limit_of_the_header_is_refused() {
    let (_folder, _, mut engine) = with_notes();
    let error = engine.in_transaction(Durability::Full, |engine| engine.set_schema_version(u32::MAX)).unwrap_err();
    assert!(error.message.contains("4294967295") && error.message.contains("2147483647"), "{error}");
}

#[test]
fn another_programs_database_is_refused_with_both_numbers_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let marked = folder.path().join("marked.db");
    drop(SqliteEngine::open(&marked, &Options::new(42, 1)).unwrap());
    let error = open_error(&marked, &options());
    assert_eq!(error.kind, SqlErrorKind::Foreign);
    assert!(error.message.contains("application id 42") && error.message.contains(&OURS.to_string()), "{error}");

    let unmarked = folder.path().join("unmarked.db");
    let connection = Connection::open(&unmarked).unwrap();
    connection.execute_batch("CREATE TABLE theirs (a)").unwrap();
    drop(connection);
    let before = fs::read(&unmarked).unwrap();
    assert_eq!(open_error(&unmarked, &options()).kind, SqlErrorKind::Foreign);
    assert_eq!(fs::read(&unmarked).unwrap(), before);
}

/// The simulator's find: one decayed bit made the agent refuse its own file for ever.
#[test]
fn an_application_id_that_differs_in_one_bit_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    for bit in 0..31 {
        drop(SqliteEngine::open(&path, &Options::new(OURS ^ (1 << bit), 1)).unwrap());
        assert_eq!(open_error(&path, &options()).kind, SqlErrorKind::Corrupt, "bit {bit}");
        fs::remove_file(&path).unwrap();
    }
}

/// The simulator's find, several times over: a program that takes a decayed header for anything but damage stays down for ever.
#[test]
fn whichever_bit_of_the_header_decays_the_file_opens_or_is_found_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    let mut engine = SqliteEngine::open(&path, &options()).unwrap();
    migrate(&mut engine, STEPS).unwrap();
    drop(engine);
    let sound = fs::read(&path).unwrap();
    let mut wrong = Vec::new();
    for bit in 0..100 * 8 {
        let mut bytes = sound.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        for side in ["-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(folder.path().join(format!("test.db{side}")));
        }
        let opened = SqliteEngine::open(&path, &options())
            .map_err(|error| error.kind)
            .and_then(|mut engine| migrate(&mut engine, STEPS).map_err(|error| error.kind));
        if !matches!(opened, Ok(_) | Err(SqlErrorKind::Corrupt)) {
            wrong.push((bit / 8, bit % 8, opened));
        }
    }
    assert_eq!(wrong, []);
}

#[test]
fn an_empty_file_left_by_a_crash_becomes_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    fs::write(&path, b"").unwrap();
    assert_eq!(open_error(&path, &options().read_only()).kind, SqlErrorKind::Foreign);
    assert_eq!(SqliteEngine::open(&path, &options()).unwrap().application_id().unwrap(), OURS);
}

#[test]
fn a_missing_file_is_an_error_for_a_reader_and_a_missing_folder_for_a_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent.db");
    let error = open_error(&path, &options().read_only());
    assert_eq!(error.kind, SqlErrorKind::Io, "{error}");
    assert!(!path.exists());
    let error = open_error(&folder.path().join("absent/test.db"), &options());
    assert_eq!(error.kind, SqlErrorKind::Io, "{error}");
}

#[test]
fn a_reader_reads_and_cannot_write() {
    let (_folder, path, mut writer) = with_notes();
    fill(&mut writer, 2);
    let mut reader = SqliteEngine::open(&path, &options().read_only()).unwrap();
    assert_eq!(reader.query_integer("SELECT count(*) FROM notes", &[]).unwrap(), Some(2));
    assert_eq!(reader.begin(Durability::Full).unwrap_err().kind, SqlErrorKind::ReadOnly);
    assert_eq!(insert(&mut reader, 3, b"").unwrap_err().kind, SqlErrorKind::ReadOnly);
    assert_eq!(reader.checkpoint().unwrap_err().kind, SqlErrorKind::ReadOnly);
}

#[test]
fn a_snapshot_stays_while_another_connection_writes() {
    let (_folder, path, mut writer) = with_notes();
    fill(&mut writer, 2);
    let mut reader = SqliteEngine::open(&path, &options()).unwrap();
    let count = "SELECT count(*) FROM notes";
    reader.begin_read().unwrap();
    writer.in_transaction(Durability::Full, |engine| insert(engine, 3, b"late")).unwrap();
    assert_eq!(reader.query_integer(count, &[]).unwrap(), Some(2));
    reader.end_read().unwrap();
    assert_eq!(reader.query_integer(count, &[]).unwrap(), Some(3));
}

#[test]
fn a_second_writer_is_told_that_the_database_is_busy() {
    let (_folder, path, mut first) = with_notes();
    let mut second = SqliteEngine::open(&path, &Options { busy_timeout_ms: 1, ..options() }).unwrap();
    first.begin(Durability::Full).unwrap();
    let error = second.begin(Durability::Full).unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::Busy, "{error}");
    first.commit().unwrap();
    second.in_transaction(Durability::Full, |engine| insert(engine, 1, b"")).unwrap();
}

#[test]
fn a_checkpoint_empties_the_log_once_no_reader_needs_it() {
    let (_folder, path, writer) = with_notes();
    drop(writer);
    let mut writer = SqliteEngine::open(&path, &Options { busy_timeout_ms: 1, ..options() }).unwrap();
    fill(&mut writer, 10);
    assert!(writer.wal_bytes().unwrap() > 0);
    let mut reader = SqliteEngine::open(&path, &options()).unwrap();
    reader.begin_read().unwrap();
    writer.in_transaction(Durability::Full, |engine| insert(engine, 11, b"late")).unwrap();
    assert!(!writer.checkpoint().unwrap());
    reader.end_read().unwrap();
    assert!(writer.checkpoint().unwrap());
    assert_eq!(writer.wal_bytes().unwrap(), 0);
    assert!(SqliteEngine::in_memory().unwrap().checkpoint().unwrap());
}

#[test]
fn what_sqlite_rolled_back_by_itself_is_never_written_statement_by_statement() {
    let (_folder, _, mut engine) = with_notes();
    engine.begin(Durability::Full).unwrap();
    insert(&mut engine, 1, b"in the transaction").unwrap();
    engine.connection.execute_batch("ROLLBACK").unwrap();
    assert_eq!(insert(&mut engine, 2, b"alone").unwrap_err().kind, SqlErrorKind::Other);
    assert!(engine.commit().is_err() && engine.savepoint("here").is_err() && engine.rollback_to("here").is_err());
    engine.rollback().unwrap();
    assert_eq!(engine.query_integer("SELECT count(*) FROM notes", &[]).unwrap(), Some(0));
}

#[test]
fn a_relative_name_that_looks_like_a_uri_is_a_file() {
    assert_eq!(plain_path(Path::new("file:x?mode=memory")), Path::new("./file:x?mode=memory"));
    assert_eq!(plain_path(Path::new("/var/lib/x.db")), Path::new("/var/lib/x.db"));
}

#[test]
fn text_that_is_no_utf8_is_damage_and_a_floating_number_is_a_mistake() {
    let mut engine = SqliteEngine::in_memory().unwrap();
    let text = engine.query_one("SELECT CAST(x'ff' AS TEXT)", &[], |row| row.value(0)).unwrap_err();
    assert_eq!(text.kind, SqlErrorKind::Corrupt, "{text}");
    let number = engine.query_one("SELECT 1.5", &[], |row| row.value(0)).unwrap_err();
    assert_eq!(number.kind, SqlErrorKind::Other, "{number}");
}
