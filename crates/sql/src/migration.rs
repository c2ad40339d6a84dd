//! Numbered steps that bring a database to the schema of this program.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::engine::{Durability, Sql, SqlExt};
use crate::error::{SqlError, SqlErrorKind};
use crate::value::Param;

/// One step. Once released it never changes: a correction is a new step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Place in the order, from 1, rising.
    pub number: u32,
    /// What it is for, in a few words; only for people.
    pub name: &'static str,
    /// What [`Sql::execute_script`] runs.
    pub ddl: &'static str,
}

impl Migration {
    /// What the database remembers of the text.
    fn checksum(&self) -> u32 {
        crc32fast::hash(self.ddl.as_bytes())
    }
}

/// Applies the steps that are missing, each in one durable transaction, and returns how many there were. Running it
/// again, or by two programs at once, is harmless.
///
/// # Errors
/// [`SqlErrorKind::Newer`] if the database has a step above the last one here; [`SqlErrorKind::Other`] if an applied
/// step has another text now or is missing here, if a step was put in before an applied one, or if the numbers here do
/// not rise; else those of the statements. Steps
/// before the failed one stay applied.
pub fn migrate(sql: &mut dyn Sql, steps: &[Migration]) -> Result<u32, SqlError> {
    refuse_disorder(steps)?;
    let applied = sql.in_transaction(Durability::Full, |sql| -> Result<_, SqlError> {
        sql.execute_script(
            "CREATE TABLE IF NOT EXISTS applied_migrations (
                number {bigint} PRIMARY KEY,
                name {text} NOT NULL,
                checksum {bigint} NOT NULL
            ) {table}",
        )?;
        let applied = read_applied(sql)?;
        compare(&applied, steps)?;
        Ok(applied)
    })?;
    let mut count = 0;
    for step in steps.iter().filter(|step| !applied.contains_key(&i64::from(step.number))) {
        count += sql.in_transaction(Durability::Full, |sql| apply(sql, step))?;
    }
    Ok(count)
}

/// Says whether the database is exactly at the last of the steps, without writing: for read-only connections.
///
/// # Errors
/// As [`migrate`], and [`SqlErrorKind::Other`] if a step is still to be applied.
pub fn check_migrations(sql: &mut dyn Sql, steps: &[Migration]) -> Result<(), SqlError> {
    refuse_disorder(steps)?;
    let applied = read_applied(sql)?;
    compare(&applied, steps)?;
    match steps.iter().find(|step| !applied.contains_key(&i64::from(step.number))) {
        None => Ok(()),
        Some(step) => Err(SqlError::new(
            SqlErrorKind::Other,
            format!("the schema is older than this program: step {} ({}) is not applied yet", step.number, step.name),
        )),
    }
}

/// Number of each applied step -> (name, checksum of its text).
type Applied = BTreeMap<i64, (String, i64)>;

fn read_applied(sql: &mut dyn Sql) -> Result<Applied, SqlError> {
    let mut applied = Applied::new();
    sql.query("SELECT number, name, checksum FROM applied_migrations ORDER BY number", &[], &mut |row| {
        applied.insert(row.integer(0)?, (row.text(1)?.to_owned(), row.integer(2)?));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(applied)
}

/// Applies one step unless another program did so in the meantime; returns how many were applied.
fn apply(sql: &mut dyn Sql, step: &Migration) -> Result<u32, SqlError> {
    let number = Param::from(step.number);
    let checksum = sql.query_integer("SELECT checksum FROM applied_migrations WHERE number = ?1", &[number])?;
    match checksum {
        Some(checksum) if checksum == i64::from(step.checksum()) => return Ok(0),
        Some(checksum) => return Err(changed(step, checksum)),
        None => {}
    }
    sql.execute_script(step.ddl)?;
    sql.execute(
        "INSERT INTO applied_migrations (number, name, checksum) VALUES (?1, ?2, ?3)",
        &[number, step.name.into(), step.checksum().into()],
    )?;
    sql.set_schema_version(step.number)?;
    Ok(1)
}

fn refuse_disorder(steps: &[Migration]) -> Result<(), SqlError> {
    let mut before = 0;
    for step in steps {
        if step.number <= before {
            return Err(SqlError::new(
                SqlErrorKind::Other,
                format!("step {} ({}) comes after step {before}: numbers start at 1 and rise", step.number, step.name),
            ));
        }
        before = step.number;
    }
    Ok(())
}

fn compare(applied: &Applied, steps: &[Migration]) -> Result<(), SqlError> {
    let known = steps.last().map_or(0, |step| i64::from(step.number));
    if let Some((newest, (name, _))) = applied.last_key_value().filter(|(newest, _)| **newest > known) {
        return Err(SqlError::new(
            SqlErrorKind::Newer,
            format!("the schema is at step {newest} ({name}), this program knows steps up to {known}"),
        ));
    }
    for (number, (name, checksum)) in applied {
        match steps.iter().find(|step| i64::from(step.number) == *number) {
            Some(step) if i64::from(step.checksum()) == *checksum => {}
            Some(step) => return Err(changed(step, *checksum)),
            None => {
                return Err(SqlError::new(
                    SqlErrorKind::Other,
                    format!("the schema has step {number} ({name}), which this program does not have"),
                ));
            }
        }
    }
    let newest = applied.last_key_value().map_or(0, |(number, _)| *number);
    match steps.iter().find(|step| i64::from(step.number) < newest && !applied.contains_key(&i64::from(step.number))) {
        None => Ok(()),
        Some(step) => Err(SqlError::new(
            SqlErrorKind::Other,
            format!("step {} ({}) was put in before step {newest}, which is applied", step.number, step.name),
        )),
    }
}

fn changed(step: &Migration, applied: i64) -> SqlError {
    SqlError::new(
        SqlErrorKind::Other,
        format!(
            "step {} ({}) was applied with checksum {applied:08x}, its text here has {:08x}: an applied step never changes",
            step.number,
            step.name,
            step.checksum()
        ),
    )
}
