//! A short workload whose every outcome can be told from what the database holds.

use super::*;

/// Rows that one transaction writes, on both sides of what a page holds.
const ROWS: i64 = 6;

/// What came of a workload.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Number of the last transaction whose commit returned well.
    pub(super) acknowledged: i64,
    /// The last of them that was to survive a power cut.
    pub(super) durable: i64,
    /// The last that was begun.
    pub(super) attempted: i64,
}

/// How one transaction is committed.
fn durability_of(number: i64) -> Durability {
    if number % 3 == 2 { Durability::Process } else { Durability::Full }
}

fn create(engine: &mut SqliteEngine) -> Result<(), sql::SqlError> {
    engine.in_transaction(Durability::Full, |sql| {
        sql.execute_script(
            "CREATE TABLE IF NOT EXISTS mark (id {bigint} PRIMARY KEY, number {bigint}) {table};
             CREATE TABLE IF NOT EXISTS row (id {bigint} PRIMARY KEY, number {bigint}, body {blob}) {table};
             INSERT INTO mark VALUES (1, 0) ON CONFLICT DO NOTHING;",
        )
    })
}

/// One transaction: all rows get its number, with a body that differs in length from the last.
fn write(engine: &mut SqliteEngine, number: i64) -> Result<(), sql::SqlError> {
    write_with(engine, number, durability_of(number))
}

fn write_with(engine: &mut SqliteEngine, number: i64, durability: Durability) -> Result<(), sql::SqlError> {
    engine.in_transaction(durability, |sql| {
        let body =
            vec![u8::try_from(number % 251).unwrap_or(0); 300 + usize::try_from(number * 97 % 1500).unwrap_or(0)];
        for row in 0..ROWS {
            let params = [Param::Integer(row), Param::Integer(number), Param::Blob(&body)];
            sql.execute(
                "INSERT INTO row VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET number = ?2, body = ?3",
                &params,
            )?;
        }
        sql.execute("UPDATE mark SET number = ?1", &[Param::Integer(number)]).map(|_| ())
    })
}

/// Runs transactions after `from`, a checkpoint among them, until `count` are done or something fails.
pub(super) fn run(disk: &Disk, from: i64, count: i64) -> Outcome {
    let mut outcome = Outcome { acknowledged: from, durable: from, attempted: from };
    let Ok(mut engine) = open(disk) else { return outcome };
    if create(&mut engine).is_err() {
        return outcome;
    }
    for number in from + 1..=from + count {
        outcome.attempted = number;
        if write(&mut engine, number).is_err() {
            return outcome;
        }
        outcome.acknowledged = number;
        if durability_of(number) == Durability::Full {
            outcome.durable = number;
        }
        if number % 4 == 0 && engine.checkpoint().is_err() {
            return outcome;
        }
    }
    outcome
}

/// Goes on with the same connection after an error, as a program does that takes it for a passing one.
pub(super) fn run_on_after_errors(disk: &Disk, count: i64, durability: impl Fn(i64) -> Durability) -> Outcome {
    let mut outcome = Outcome::default();
    let Ok(mut engine) = open(disk) else { return outcome };
    if create(&mut engine).is_err() && create(&mut engine).is_err() {
        return outcome;
    }
    for number in 1..=count {
        outcome.attempted = number;
        if write_with(&mut engine, number, durability(number)).is_ok() {
            outcome.acknowledged = number;
            if durability(number) == Durability::Full {
                outcome.durable = number;
            }
        }
        if number % 4 == 0 {
            let _ = engine.checkpoint();
        }
    }
    outcome
}

/// The last transaction that the database holds, after checking that it is sound and holds it whole.
pub(super) fn last_whole(disk: &Disk) -> Result<i64, sql::SqlError> {
    let mut engine = open(disk)?;
    engine.check()?;
    if engine.query_integer("SELECT count(*) FROM sqlite_schema", &[])? == Some(0) {
        return Ok(0);
    }
    let number = engine.query_integer("SELECT number FROM mark", &[])?.unwrap_or(0);
    let mut rows = 0;
    engine.query("SELECT number FROM row", &[], &mut |row| {
        assert_eq!(row.integer(0)?, number, "a transaction is there whole or not at all");
        rows += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    assert_eq!(rows, if number == 0 { 0 } else { ROWS }, "transaction {number}");
    Ok(number)
}
