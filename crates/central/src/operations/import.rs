//! `import`: central data as NDJSON. All lines are checked first, in one transaction that is undone, so that headers inside the
//! file count; then they are recorded in bounded commits, between which sites have their turn. If that is cut, the same
//! command goes on: what is there already changes nothing.

mod spool;

use std::io::BufRead;
use std::sync::mpsc;

use domain::edit::Edit;
use serde_json::{Value, json};

use self::spool::{Checked, Spool};
use super::request::{Done, Progress};
use crate::center::Center;
use crate::error::{CentralError, Exit};
use crate::store::{IMPORT_REFUSALS_TOLD_MAX, ImportMode, ImportReport};
use crate::writer::WriteError;
pub use spool::SPOOL_BYTES_MAX;
pub(crate) use spool::nameless_file;

/// Edits in one commit at most: some tens of milliseconds.
pub const IMPORT_BATCH_EDITS_MAX: usize = 2_000;
/// Bytes of lines in one commit at most.
const IMPORT_BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Lines between two reports of progress.
const PROGRESS_LINES: u64 = 2_000;

/// A line that is not imported.
struct Refused {
    line: u64,
    table: Option<String>,
    record: Option<String>,
    code: String,
    reason: String,
}

/// What became of the lines.
#[derive(Default)]
struct Outcome {
    written: u64,
    unchanged: u64,
    refused: u64,
    /// The first [`IMPORT_REFUSALS_TOLD_MAX`].
    refusals: Vec<Refused>,
}

pub(super) fn import(
    center: &Center,
    continues: bool,
    input: &mut dyn BufRead,
    events: &mut dyn FnMut(Progress),
) -> Result<Done, CentralError> {
    let mut outcome = Outcome::default();
    let spool = Spool::fill(center.paths(), input, &mut |line| match line {
        Checked::Good { line } => {
            if line % PROGRESS_LINES == 0 {
                events(Progress::Checking { lines: line });
            }
        }
        Checked::Bad { line, code, reason } => {
            outcome.refuse(Refused { line, table: None, record: None, code, reason });
        }
    })?;
    if !continues {
        check(center, &spool, &mut outcome, events)?;
        if outcome.refused > 0 {
            outcome.refusals.sort_by_key(|refused| refused.line);
            return Ok(Done { value: outcome.json(), exit: Exit::Refused });
        }
    }
    record(center, &spool, &mut outcome, events)?;
    outcome.refusals.sort_by_key(|refused| refused.line);
    let exit = if outcome.refused > 0 { Exit::Partial } else { Exit::Ok };
    Ok(Done { value: outcome.json(), exit })
}

/// Asks the judge for every line; nothing is kept.
fn check(
    center: &Center,
    spool: &Spool,
    outcome: &mut Outcome,
    events: &mut dyn FnMut(Progress),
) -> Result<(), CentralError> {
    let mut lines = spool.lines();
    let (progress, told) = mpsc::channel();
    let writer = center.writer()?;
    let stop = writer.stop_signal();
    let answer = writer.submit(move |batch| {
        let mut problem = None;
        let mut edits = std::iter::from_fn(|| match lines.next()? {
            Ok(_) if stop.is_set() => {
                problem = Some(WriteError::Stopping.into());
                None
            }
            Ok((line, edit)) => {
                if line % PROGRESS_LINES == 0 {
                    // Nobody listens any more if this fails.
                    let _ = progress.send(line);
                }
                Some(edit)
            }
            Err(error) => {
                problem = Some(error);
                None
            }
        });
        let report = batch.import(&mut edits, ImportMode::CheckOnly)?;
        Ok((report, problem))
    })?;
    for lines in told {
        events(Progress::Checking { lines });
    }
    let (report, problem) = answer.blocking_recv().unwrap_or(Err(WriteError::Stopping))?;
    if let Some(problem) = problem {
        return Err(problem);
    }
    outcome.refused += report.refused;
    let mut refusals = report.refusals.into_iter().peekable();
    // A pass over the file finds the lines of the edits that were refused, without keeping a number for each line.
    for (index, line) in (0_u64..).zip(spool.lines()) {
        let Some(refusal) = refusals.next_if(|refusal| refusal.index == index) else {
            if refusals.peek().is_none() {
                break;
            }
            continue;
        };
        outcome.tell(Refused {
            line: line?.0,
            table: Some(refusal.table),
            record: Some(refusal.record),
            code: refusal.code,
            reason: refusal.reason,
        });
    }
    Ok(())
}

fn record(
    center: &Center,
    spool: &Spool,
    outcome: &mut Outcome,
    events: &mut dyn FnMut(Progress),
) -> Result<(), CentralError> {
    let mut lines = spool.lines();
    loop {
        let (mut numbers, mut edits, mut bytes) = (Vec::new(), Vec::new(), 0);
        while edits.len() < IMPORT_BATCH_EDITS_MAX && bytes < IMPORT_BATCH_BYTES_MAX {
            let Some(line) = lines.next() else { break };
            let (number, edit): (u64, Edit) = line?;
            bytes += edit.data.as_ref().map_or(0, String::len);
            numbers.push(number);
            edits.push(edit);
        }
        let Some(last) = numbers.last().copied() else { return Ok(()) };
        let report = center.write(move |batch| batch.import(&mut edits.into_iter(), ImportMode::Continue))?;
        outcome.add(report, &numbers);
        events(Progress::Recording { lines: last, lines_total: spool.lines_total() });
    }
}

impl Outcome {
    fn add(&mut self, report: ImportReport, numbers: &[u64]) {
        self.written += report.written;
        self.unchanged += report.unchanged;
        self.refused += report.refused;
        for refusal in report.refusals {
            let line = usize::try_from(refusal.index).ok().and_then(|index| numbers.get(index)).copied();
            self.tell(Refused {
                line: line.unwrap_or(0),
                table: Some(refusal.table),
                record: Some(refusal.record),
                code: refusal.code,
                reason: refusal.reason,
            });
        }
    }

    fn refuse(&mut self, refused: Refused) {
        self.refused += 1;
        self.tell(refused);
    }

    fn tell(&mut self, refused: Refused) {
        if self.refusals.len() < IMPORT_REFUSALS_TOLD_MAX {
            self.refusals.push(refused);
        }
    }

    fn json(&self) -> Value {
        let refusals: Vec<Value> = self
            .refusals
            .iter()
            .map(|refused| {
                json!({
                    "line": refused.line,
                    "table": refused.table,
                    "id": refused.record,
                    "code": refused.code,
                    "reason": refused.reason,
                })
            })
            .collect();
        json!({
            "written": self.written,
            "unchanged": self.unchanged,
            "refused": self.refused,
            "refusals_not_shown": self.refused.saturating_sub(refusals.len() as u64),
            "refusals": refusals,
        })
    }
}
