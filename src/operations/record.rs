//! Recording lines of edits: all are checked first, and one bad line means that none is recorded, unless the caller goes on past
//! refused ones (`details.md`, "Files of edits").

use domain::edit::Edit;
use protocol::chain::hash_of;
use protocol::few::sort_few;
use protocol::ids::{Hash, RequestId};
use serde::Serialize;
use serde_json::Value;

use super::lines::Lines;
use super::{Input, Progress, RecordOptions};
use crate::agent::Agent;
use crate::clock;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::local_copy::LocalCopy;
use crate::recorder::{EditRefusal, Group, RecordError, Recorded};

/// Refused lines that an answer lists; the rest is counted.
pub const REFUSED_LISTED_MAX: usize = 100;
/// Lines that are handed to the recorder at once, so that they share syncs.
const BATCH_LINES: usize = 200;
/// Lines between two reports of progress.
const PROGRESS_LINES: u64 = 1000;

/// What a refused line of a group comes to.
const OF_GROUP: &str = "The lines are one group: none of them was recorded.";
/// What a refused line comes to where those before it are groups of their own.
const FROM_HERE_ON: &str = "Nothing from this line on was recorded.";

/// What became of the lines.
#[derive(Debug, Default, Serialize)]
pub(super) struct RecordResult {
    recorded: u64,
    unchanged: u64,
    already: u64,
    first: Option<u64>,
    last: Option<u64>,
    refused_count: u64,
    refused: Vec<RefusedLine>,
}

#[derive(Debug, Serialize)]
struct RefusedLine {
    line: u64,
    code: String,
    message: String,
}

/// Records the lines of `input`.
pub(super) fn record(
    agent: &Agent,
    options: &RecordOptions,
    input: &mut Input,
    events: &mut dyn FnMut(Progress),
) -> Result<Value, AgentError> {
    let mut lines = Lines::survey(input)?;
    let lines_total = lines.count();
    if lines_total == 0 {
        return Err(AgentError::new("no_edits", "there is no edit in the input", "", Exit::Usage));
    }
    let base = request_base(options, &lines);
    let mut result = RecordResult::default();
    if options.group {
        record_group(agent, &mut lines, base, &mut result)?;
    } else {
        if lines_total > 1 && !options.continue_past_refused {
            check(agent, &mut lines, base, events)?;
        }
        record_lines(agent, options, &mut lines, base, &mut result, events)?;
    }
    result.to_json()
}

/// What request ids are made of: the caller's text, or the hash of several lines; one line without an id has none.
fn request_base(options: &RecordOptions, lines: &Lines<'_>) -> Option<Hash> {
    match &options.request_id {
        Some(text) => Some(hash_of(text.as_bytes())),
        None if lines.count() > 1 => Some(lines.hash()),
        None => None,
    }
}

fn request_id(base: Option<Hash>, line: u64) -> Option<RequestId> {
    let mut bytes = base?.0.to_vec();
    bytes.extend_from_slice(&line.to_le_bytes());
    let hash = hash_of(&bytes).0;
    RequestId::try_from(hash.get(..16)?).ok()
}

fn record_group(
    agent: &Agent,
    lines: &mut Lines<'_>,
    base: Option<Hash>,
    result: &mut RecordResult,
) -> Result<(), AgentError> {
    let mut edits = Vec::new();
    let mut reader = lines.reader()?;
    while let Some((line, text)) = reader.next_line()? {
        if edits.len() >= protocol::limits::GROUP_ENTRIES_MAX {
            return Err(RecordError::from(EditRefusal::group_entries(edits.len() + 1)).into());
        }
        edits.push(parse(&text).map_err(|refusal| refused_line(line, &refusal, OF_GROUP))?);
    }
    let group = Group { edits, request_id: request_id(base, 0), recorded_at_ms: clock::wall_now().0 };
    match agent.recorder()?.record(group) {
        Ok(recorded) => result.add(&recorded),
        Err(RecordError::Refused(refusal)) => {
            let line = refusal.index as u64 + 1;
            return Err(refused_line(line, &refusal, OF_GROUP));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Checks every line as if it were recorded, before the first is.
fn check(
    agent: &Agent,
    lines: &mut Lines<'_>,
    base: Option<Hash>,
    events: &mut dyn FnMut(Progress),
) -> Result<(), AgentError> {
    let lines_total = lines.count();
    let mut reader = lines.reader()?;
    let bad_lines = std::cell::RefCell::new(RecordResult::default());
    let mut next = |_: &mut LocalCopy| loop {
        let Some((line, text)) = reader.next_line()? else { return Ok(None) };
        if line % PROGRESS_LINES == 0 {
            events(Progress::Checking { lines: line });
        }
        match parse(&text) {
            Ok(edit) => {
                let request_id = request_id(base, line);
                return Ok(Some((line, Group { edits: vec![edit], request_id, recorded_at_ms: 0 })));
            }
            Err(refusal) => bad_lines.borrow_mut().refuse(line, &refusal),
        }
    };
    agent.recorder()?.check_all(&mut next, &mut |line, refusal| {
        bad_lines.borrow_mut().refuse(line, &refusal);
    })?;
    let mut bad_lines = bad_lines.into_inner();
    sort_few(&mut bad_lines.refused, |one, other| one.line < other.line);
    let Some(first) = bad_lines.refused.first() else { return Ok(()) };
    let listed: Vec<String> = bad_lines
        .refused
        .iter()
        .take(10)
        .map(|refused| format!("line {}: {}", refused.line, refused.message))
        .collect();
    let code = first.code.clone();
    let message = format!("{} of {lines_total} lines are refused:\n{}", bad_lines.refused_count, listed.join("\n"));
    Err(AgentError::new(
        &code,
        message,
        "Nothing was recorded. Mend these lines, or use --continue to record the others.",
        Exit::Refused,
    ))
}

fn record_lines(
    agent: &Agent,
    options: &RecordOptions,
    lines: &mut Lines<'_>,
    base: Option<Hash>,
    result: &mut RecordResult,
    events: &mut dyn FnMut(Progress),
) -> Result<(), AgentError> {
    let lines_total = lines.count();
    let mut reader = lines.reader()?;
    let mut is_over = false;
    while !is_over {
        let (mut numbers, mut groups) = (Vec::new(), Vec::new());
        while groups.len() < BATCH_LINES {
            let Some((line, text)) = reader.next_line()? else {
                is_over = true;
                break;
            };
            match parse(&text) {
                Ok(edit) => {
                    numbers.push(line);
                    let recorded_at_ms = clock::wall_now().0;
                    groups.push(Group { edits: vec![edit], request_id: request_id(base, line), recorded_at_ms });
                }
                Err(refusal) if options.continue_past_refused => result.refuse(line, &refusal),
                Err(refusal) => return Err(refused_line(line, &refusal, FROM_HERE_ON)),
            }
        }
        for (line, answer) in numbers.into_iter().zip(agent.recorder()?.record_all(groups)) {
            match answer {
                Ok(recorded) => result.add(&recorded),
                Err(RecordError::Refused(refusal)) if options.continue_past_refused => result.refuse(line, &refusal),
                Err(RecordError::Refused(refusal)) if lines_total == 1 => {
                    return Err(RecordError::Refused(refusal).into());
                }
                Err(RecordError::Refused(refusal)) => return Err(refused_line(line, &refusal, FROM_HERE_ON)),
                Err(error) => return Err(error.into()),
            }
            if line % PROGRESS_LINES == 0 {
                events(Progress::Recording { lines: line, lines_total });
            }
        }
    }
    Ok(())
}

fn parse(text: &str) -> Result<Edit, EditRefusal> {
    Edit::parse(text).map_err(|error| EditRefusal {
        index: 0,
        code: error.code().to_owned(),
        message: error.to_string(),
    })
}

/// `advice`: what was not recorded because of it.
fn refused_line(line: u64, refusal: &EditRefusal, advice: &str) -> AgentError {
    AgentError::new(&refusal.code, format!("line {line}: {}", refusal.message), advice, Exit::Refused)
}

impl RecordResult {
    pub(super) fn to_json(&self) -> Result<Value, AgentError> {
        serde_json::to_value(self).map_err(|error| AgentError::new("json", error.to_string(), "", Exit::Failed))
    }

    pub(super) fn add(&mut self, recorded: &Recorded) {
        if recorded.was_recorded {
            self.already += 1;
            return;
        }
        self.recorded += recorded.edits;
        self.unchanged += recorded.unchanged;
        if let Some((first, last)) = recorded.sequences {
            self.first = Some(self.first.map_or(first.0, |known| known.min(first.0)));
            self.last = Some(self.last.map_or(last.0, |known| known.max(last.0)));
        }
    }

    pub(super) fn refuse(&mut self, line: u64, refusal: &EditRefusal) {
        self.refused_count += 1;
        if self.refused.len() < REFUSED_LISTED_MAX {
            let (code, message) = (refusal.code.clone(), refusal.message.clone());
            self.refused.push(RefusedLine { line, code, message });
        }
    }
}
