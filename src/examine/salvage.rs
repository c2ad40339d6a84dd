//! `salvage`: writes out what can be read of a data folder, and what cannot.
//!
//! | file | a line holds |
//! | --- | --- |
//! | `entries.ndjson` | one entry: where it came from, sequence, table, op, id, data; `raw` in hexadecimal where it does not decode |
//! | `records.ndjson` | one record of a local copy |
//! | `set_aside.ndjson` | one refused edit |
//! | `lost.ndjson` | a run of entries, or another thing, that cannot be read |
//! | `summary.json` | the numbers |

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::catalogue::Catalogue;
use protocol::ids::Sequence;
use serde_json::{Value, json};

use super::{JournalPlace, Scratch, check_is_data_folder, edit_of, hex_text, journals, local_copies, site_of};
use crate::data_folder::{DataFolder, Layout, needed_alone};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::journal::{Found, inspect};
use crate::local_copy::{Kind, LocalCopy};
use crate::{durable_file, operations};

/// Writes what can be read into a new folder. The answer's `lost` counts what cannot.
///
/// # Errors
/// `folder_in_use`, `no_data_folder`, `salvage_out_exists`, or what the disk says.
pub fn salvage(root: &Path, out: &Path, catalogue: &Arc<Catalogue>) -> Result<Value, AgentError> {
    let layout = Layout::of(root);
    check_is_data_folder(&layout)?;
    let _hold = DataFolder::hold(root).map_err(needed_alone)?;
    if out.exists() {
        return Err(AgentError::new(
            "salvage_out_exists",
            format!("{} is there already", out.display()),
            "Name a folder that is not there yet.",
            Exit::Usage,
        ));
    }
    durable_file::make_folder(out)?;
    let mut writer = Writer::new(out)?;
    let mut journaled = BTreeSet::new();
    let mut missing = Vec::new();
    for mut place in journals(&layout) {
        let is_there = write_journal(&mut place, catalogue, &mut writer, &mut journaled)?;
        if !is_there && !place.is_set_aside {
            missing.push(if place.is_private { Kind::Private } else { Kind::Shared });
        }
    }
    let site = site_of(&layout)?;
    let scratch = Scratch::make(out)?;
    for path in local_copies(&layout) {
        let mut local = match scratch.open_copy(&path, site, catalogue) {
            Ok(local) => local,
            Err(error) if error.code == "scratch_failed" => return Err(error),
            Err(error) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                writer.lost(0, &json!({ "from": name, "code": error.code, "message": error.message }))?;
                continue;
            }
        };
        if path == layout.local_copy() {
            for kind in &missing {
                let applied = local.applied_through(*kind);
                if applied > Sequence::ZERO {
                    // Those up to here are in the local copy or at central; of later ones nobody knows.
                    let line = json!({ "from": kind.as_str(), "code": "journal_missing", "applied": applied.0 });
                    writer.lost(0, &line)?;
                }
            }
        }
        write_local_copy(&path, &mut local, catalogue, &mut writer, &journaled)?;
    }
    drop(scratch);
    writer.finish(root)
}

/// Whether there is one; `whole` collects the sequences that are there of the journal in use.
fn write_journal(
    place: &mut JournalPlace,
    catalogue: &Catalogue,
    writer: &mut Writer,
    whole: &mut BTreeSet<Sequence>,
) -> Result<bool, AgentError> {
    let JournalPlace { name, is_private, is_set_aside, .. } = place;
    let mut failure = None;
    let inspection = inspect(&mut place.storage, &place.place, &mut |found| {
        let written = match found {
            Found::Entry { stored, is_proved, is_acknowledged } => {
                if !*is_private && !*is_set_aside {
                    whole.insert(stored.sequence);
                }
                let mut line = json!({
                    "from": name, "private": is_private, "sequence": stored.sequence.0,
                    "group_end": stored.is_group_end, "recorded_at_ms": stored.note.recorded_at_ms,
                    "proved": is_proved, "acknowledged": is_acknowledged,
                });
                add_edit(&mut line, &stored.entry, catalogue);
                writer.entry(&line)
            }
            Found::Pieces { sequence, pieces } => {
                let pieces: Vec<Value> =
                    pieces.iter().map(|(index, bytes)| json!({ "piece": index, "raw": hex_text(bytes) })).collect();
                writer.line(Output::Entries, &json!({ "from": name, "sequence": sequence.0, "pieces": pieces }))
            }
        };
        failure = failure.take().or(written.err());
    })?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    let Some(inspection) = inspection else { return Ok(false) };
    for run in &inspection.lost {
        writer.lost(
            run.last.0 - run.first.0 + 1,
            &json!({ "from": name, "first": run.first.0, "last": run.last.0, "code": "entries_lost" }),
        )?;
    }
    if inspection.promise.is_none() {
        writer.lost(0, &json!({ "from": name, "code": "journal_mark_unreadable" }))?;
    }
    Ok(true)
}

/// The edit, or the bytes where they are none.
fn add_edit(line: &mut Value, entry: &[u8], catalogue: &Catalogue) {
    let edit = edit_of(entry, catalogue).unwrap_or_else(|| json!({ "raw": hex_text(entry) }));
    if let (Some(line), Value::Object(edit)) = (line.as_object_mut(), edit) {
        line.extend(edit);
    }
}

fn write_local_copy(
    path: &Path,
    local: &mut LocalCopy,
    catalogue: &Catalogue,
    writer: &mut Writer,
    journaled: &BTreeSet<Sequence>,
) -> Result<(), AgentError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut failure = None;
    let read = local.for_each_record(&mut |record| {
        let data = operations::data_json(&record.view.data).unwrap_or_else(|_| json!(record.view.data));
        let line = json!({
            "from": name, "table": record.table, "id": record.view.id, "store": record.view.store,
            "state": record.view.state.as_str(), "data": data, "sound": record.is_sound,
        });
        failure = failure.take().or(writer.line(Output::Records, &line).err());
    });
    if let Some(failure) = failure {
        return Err(failure);
    }
    if let Err(error) = read {
        let error = AgentError::from(error);
        writer.lost(0, &json!({ "from": name, "code": error.code, "message": error.message }))?;
    }
    write_pending(&name, local, catalogue, writer, journaled)?;
    write_set_aside(&name, local, writer)
}

/// Entries that the local copy holds and the journal does not.
fn write_pending(
    name: &str,
    local: &mut LocalCopy,
    catalogue: &Catalogue,
    writer: &mut Writer,
    journaled: &BTreeSet<Sequence>,
) -> Result<(), AgentError> {
    let pending = match local.pending_entries(Sequence(1), Sequence(u64::MAX)) {
        Ok(pending) => pending,
        Err(error) => {
            let error = AgentError::from(error);
            return writer.lost(0, &json!({ "from": name, "code": error.code, "message": error.message }));
        }
    };
    for (sequence, entry) in pending {
        if journaled.contains(&sequence) {
            continue;
        }
        let mut line =
            json!({ "from": name, "private": false, "sequence": sequence.0, "acknowledged": true, "proved": false });
        add_edit(&mut line, &entry, catalogue);
        writer.entry(&line)?;
    }
    Ok(())
}

fn write_set_aside(name: &str, local: &mut LocalCopy, writer: &mut Writer) -> Result<(), AgentError> {
    let mut after = 0;
    loop {
        let page = match local.set_aside_list(after, operations::LIST_LIMIT_MAX) {
            Ok(page) => page,
            Err(error) => {
                let error = AgentError::from(error);
                return writer.lost(0, &json!({ "from": name, "code": error.code, "message": error.message }));
            }
        };
        for about in &page.items {
            let edit = local.set_aside_show(about.number).ok().flatten().and_then(|entry| entry.edit);
            let data = edit.and_then(|edit| edit.data).and_then(|data| operations::data_json(&data).ok());
            writer.line(
                Output::SetAside,
                &json!({
                    "from": name, "sequence": about.sequence.0, "table": about.table, "op": about.operation,
                    "id": about.id, "data": data, "code": about.code, "reason": about.reason,
                }),
            )?;
        }
        match page.next(|about| about.number) {
            Some(next) => after = next,
            None => return Ok(()),
        }
    }
}

#[derive(Clone, Copy)]
enum Output {
    Entries,
    Records,
    SetAside,
    Lost,
}

const OUTPUTS: [&str; 4] = ["entries.ndjson", "records.ndjson", "set_aside.ndjson", "lost.ndjson"];

/// The files of an export, for their owner alone: they name patients.
struct Writer {
    out: PathBuf,
    files: Vec<BufWriter<File>>,
    lines: [u64; 4],
    raw: u64,
    entries_lost: u64,
}

impl Writer {
    fn new(out: &Path) -> Result<Writer, AgentError> {
        let create = |name: &&str| {
            let path = out.join(name);
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            made.map(BufWriter::new).map_err(|error| unwritten(&path, &error))
        };
        let files = OUTPUTS.iter().map(create).collect::<Result<Vec<_>, _>>()?;
        Ok(Writer { out: out.to_owned(), files, lines: [0; 4], raw: 0, entries_lost: 0 })
    }

    fn line(&mut self, output: Output, line: &Value) -> Result<(), AgentError> {
        let index = output as usize;
        if let (Some(file), Some(lines)) = (self.files.get_mut(index), self.lines.get_mut(index)) {
            *lines += 1;
            writeln!(file, "{line}").map_err(|error| unwritten(&self.out, &error))?;
        }
        Ok(())
    }

    fn entry(&mut self, line: &Value) -> Result<(), AgentError> {
        self.raw += u64::from(line.get("raw").is_some());
        self.line(Output::Entries, line)
    }

    fn lost(&mut self, entries: u64, line: &Value) -> Result<(), AgentError> {
        self.entries_lost += entries;
        self.line(Output::Lost, line)
    }

    fn finish(mut self, root: &Path) -> Result<Value, AgentError> {
        for file in &mut self.files {
            file.flush().and_then(|()| file.get_ref().sync_all()).map_err(|error| unwritten(&self.out, &error))?;
        }
        let [entries, records, set_aside, lost] = self.lines;
        let summary = json!({
            "data_folder": root.display().to_string(),
            "out": self.out.display().to_string(),
            "entries": entries,
            "entries_raw": self.raw,
            "records": records,
            "set_aside": set_aside,
            "entries_lost": self.entries_lost,
            "lost": lost,
        });
        durable_file::replace_private(&self.out.join("summary.json"), format!("{summary}\n").as_bytes())?;
        Ok(summary)
    }
}

fn unwritten(path: &Path, error: &io::Error) -> AgentError {
    AgentError::new(
        "export_unwritten",
        format!("{} cannot be written: {error}", path.display()),
        "Name a folder on a disk with room that you may write to.",
        Exit::Disk,
    )
}
