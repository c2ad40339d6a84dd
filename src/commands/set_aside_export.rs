//! `set-aside export`: all refused edits as lines that `record --file` takes again.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Value, json};

use super::wording::count;
use super::{Screen, page_through};
use crate::durable_file;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::Request;
use crate::operations::{Input, Performer};

/// Writes them to a new file, or to standard output.
pub(super) fn run(file: Option<&Path>, performer: &dyn Performer, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let Some(path) = file else {
        each_edit(performer, |_, line| screen.try_print(line).map_err(|error| unwritten("standard output", &error)))?;
        return Ok(Exit::Ok);
    };
    let failed = |error: io::Error| unwritten(&path.display().to_string(), &error);
    let mut writer = BufWriter::new(create(path).map_err(failed)?);
    let written = each_edit(performer, |_, line| writer.write_all(line.as_bytes()).map_err(failed));
    let written = written.and_then(|amount| {
        writer.flush().map_err(failed)?;
        make_durable(path, writer.get_ref())?;
        Ok(amount)
    });
    let amount = written.inspect_err(|_| {
        // Half an export would be taken for a whole one; it was made just now, so nothing else is in it.
        let _ = std::fs::remove_file(path);
    })?;
    screen.result(&json!({ "exported": amount }), |_| {
        let (edits, file) = (count(amount, "edit"), path.display());
        format!("wrote {edits} to {file}; they stay set aside until they are retried or dismissed\n")
    });
    Ok(Exit::Ok)
}

/// A file that was not there before, which only its owner may read: the edits name patients.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Sees to it that the file with its name is there after a power cut.
pub(super) fn make_durable(path: &Path, file: &File) -> Result<(), AgentError> {
    file.sync_all().map_err(|error| unwritten(&path.display().to_string(), &error))?;
    Ok(durable_file::sync_folder(durable_file::parent_of(path))?)
}

/// Hands over each refused edit, in the order of their numbers: its number, and its line with the line's end. How many they were.
pub(super) fn each_edit(
    performer: &dyn Performer,
    mut take: impl FnMut(u64, &str) -> Result<(), AgentError>,
) -> Result<u64, AgentError> {
    let mut amount = 0;
    let request = |next: &Value, limit| Request::SetAsideList { after: next.as_u64().unwrap_or_default(), limit };
    page_through(u64::MAX, performer, request, |page| {
        let refused = page["refused"].as_array().map_or(&[][..], Vec::as_slice);
        for number in refused.iter().filter_map(|edit| edit["number"].as_u64()) {
            let edit = performer.perform(Request::SetAsideShow { number }, &mut Input::empty(), &mut |_| {})?;
            take(number, &line(&edit))?;
            amount += 1;
        }
        Ok(refused.len())
    })?;
    Ok(amount)
}

/// Of an edit whose data is not here any more, what is known of it; `record` refuses that line.
fn line(edit: &Value) -> String {
    let mut line = json!({ "table": edit["table"], "op": edit["operation"], "id": edit["id"] });
    if !edit["data"].is_null() {
        line["data"] = edit["data"].clone();
    }
    if edit["table"].is_null() {
        for name in ["sequence", "code", "reason"] {
            line[name] = edit[name].clone();
        }
    }
    format!("{line}\n")
}

fn unwritten(what: &str, error: &io::Error) -> AgentError {
    AgentError::new(
        "export_unwritten",
        format!("{what} cannot be written: {error}"),
        "Name a file that is not there yet, in a folder with room that you may write to.",
        if error.kind() == io::ErrorKind::AlreadyExists { Exit::Usage } else { Exit::Disk },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::{Scripted, printed};
    use domain::edit::{Edit, EditOp};

    fn scripted() -> Scripted {
        let page = |numbers: &[u64], next: Value| {
            let refused: Vec<Value> = numbers.iter().map(|number| json!({ "number": number })).collect();
            json!({ "refused": refused, "next": next })
        };
        Scripted::new([
            page(&[1], json!(1)),
            json!({ "number": 1, "table": "item", "id": "a", "operation": "patch", "data": { "price": 2 } }),
            page(&[4], Value::Null),
            json!({ "number": 4, "table": "unit", "id": "b", "operation": "delete", "data": null }),
        ])
    }

    #[test]
    fn all_pages_are_written_as_lines_that_can_be_recorded_again() {
        let (exit, text) = printed(false, |screen| run(None, &scripted(), screen));

        let edits: Vec<Edit> = text.lines().map(|line| Edit::parse(line).unwrap()).collect();
        assert_eq!(exit, Ok(Exit::Ok));
        assert_eq!(edits.iter().map(|edit| edit.op).collect::<Vec<_>>(), [EditOp::Patch, EditOp::Delete]);
    }

    #[test]
    fn of_an_edit_without_data_its_verdict_is_written() {
        let edit = json!({ "number": 1, "sequence": 41, "table": null, "id": null, "operation": null, "code": "not_yours",
            "reason": "the store is active elsewhere", "data": null });

        let line: Value = serde_json::from_str(&line(&edit)).unwrap();

        assert_eq!((&line["sequence"], &line["code"]), (&json!(41), &json!("not_yours")));
        assert_eq!(line["reason"], "the store is active elsewhere");
    }

    #[test]
    fn a_file_that_is_there_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("refused.ndjson");

        let (first, text) = printed(false, |screen| run(Some(&path), &scripted(), screen));
        let (second, _) = printed(false, |screen| run(Some(&path), &scripted(), screen));

        assert_eq!(first, Ok(Exit::Ok));
        assert!(text.starts_with("wrote 2 edits to "), "{text}");
        assert_eq!(second.unwrap_err().code, "export_unwritten");
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }
}
