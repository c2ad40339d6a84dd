//! Merges: what a record stands for now (rule 5.19).
//!
//! A merge is an alias row: a record in a table of its own, whose id is that of the record that goes and whose column
//! [`INTO_COLUMN`] names the one that stays. Nothing that refers to a record is rewritten; whoever reads resolves.
//!
//! Central takes merges in its order, and each joins what the two records are by then ([`plan`]). So a row is always about a record
//! that was not merged before, each record has one row at most, and the rows make no circle. What a record stands for is then a
//! matter of which rows are there and not of when they came: a device with some of them comes to an end, and one with all of them
//! to central's. It also does not matter which records are there.
//!
//! A circle is seen only where rows of two time lines of central are mixed for a while. Then the row that central ordered last counts
//! as not there, because it would have closed the circle.

use protocol::ids::{Position, RecordId};
use protocol::row::Row;

use crate::catalogue::{KeyError, Table};

/// The column of a merge with the record that stays.
pub const INTO_COLUMN: &str = "into_ID";

/// Whether a listing has the records that were merged into others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merged {
    /// It has them too.
    Listed,
    /// It has only those that stay.
    LeftOut,
}

impl Merged {
    /// As somebody asks for it.
    pub fn listed_if(is_wanted: bool) -> Self {
        if is_wanted { Self::Listed } else { Self::LeftOut }
    }
}

/// What the row of a merged record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The record that stays.
    pub into: RecordId,
    /// Where central wrote that in its order.
    pub position: Position,
}

/// What a merge that somebody asks for comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// This row is to be written.
    Alias {
        /// What the first record is by then.
        from: RecordId,
        /// What the second one is by then.
        into: RecordId,
    },
    /// Both stand for this record already: a duplicate, or what would close a circle. Nothing is to be written.
    Done(RecordId),
}

/// The record that stays, by the row of a merge.
///
/// # Errors
/// [`KeyError`] if the column does not hold an id.
pub fn into_of(merges: &Table, row: &Row) -> Result<RecordId, KeyError> {
    merges.id_in(row, INTO_COLUMN)
}

/// The record that a record stands for: itself, if it was not merged. `alias` reads the row of a record.
///
/// # Errors
/// Those of `alias`.
pub fn resolve<E>(id: &RecordId, mut alias: impl FnMut(&RecordId) -> Result<Option<Alias>, E>) -> Result<RecordId, E> {
    // Brent: a mark is set ever further apart, so a circle is met in time and memory does not grow with the way.
    let (mut end, mut mark) = (id.clone(), id.clone());
    let (mut steps, mut steps_max) = (0_u64, 1);
    while let Some(next) = alias(&end)? {
        end = next.into;
        if end == mark {
            return end_of_circle(&mark, alias);
        }
        steps += 1;
        if steps == steps_max {
            mark = end.clone();
            (steps, steps_max) = (0, steps_max.saturating_mul(2));
        }
    }
    Ok(end)
}

/// The record of a circle whose row was written last.
fn end_of_circle<E>(
    start: &RecordId,
    mut alias: impl FnMut(&RecordId) -> Result<Option<Alias>, E>,
) -> Result<RecordId, E> {
    let (mut current, mut last) = (start.clone(), (Position::ZERO, start.clone()));
    while let Some(next) = alias(&current)? {
        last = last.max((next.position, current));
        current = next.into;
        if current == *start {
            break;
        }
    }
    Ok(last.1)
}

/// What a merge of `from` into `into` comes to now. `alias` reads the row of a record.
///
/// # Errors
/// Those of `alias`.
pub fn plan<E>(
    from: &RecordId,
    into: &RecordId,
    mut alias: impl FnMut(&RecordId) -> Result<Option<Alias>, E>,
) -> Result<Plan, E> {
    let from = resolve(from, &mut alias)?;
    let into = resolve(into, &mut alias)?;
    Ok(if from == into { Plan::Done(into) } else { Plan::Alias { from, into } })
}
