//! `set-aside export`: all refused edits as lines that `record --file` takes again.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Value, json};

use super::wording::count;
use super::{Screen, page_through};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::Request;
use crate::operations::{Input, Performer};

/// Writes them to a new file, or to standard output.
pub(super) fn run(file: Option<&Path>, performer: &dyn Performer, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let Some(path) = file else {
        export(performer, |line| screen.try_print(line).map_err(|error| unwritten("standard output", &error)))?;
        return Ok(Exit::Ok);
    };
    let failed = |error: io::Error| unwritten(&path.display().to_string(), &error);
    let mut writer = BufWriter::new(create(path).map_err(failed)?);
    let written = export(performer, |line| writer.write_all(line.as_bytes()).map_err(failed));
    let written = written.and_then(|amount| {
        writer.flush().and_then(|()| writer.get_ref().sync_all()).map_err(failed)?;
        Ok(amount)
    });
    let amount = written.inspect_err(|_| {
        // Half an export would be taken for a whole one; it was made just now, so nothing else is in it.
        let _ = std::fs::remove_file(path);
    })?;
    screen.result(&json!({ "exported": amount }), |_| {
        format!("wrote {} to {}; they stay set aside\n", count(amount, "edit"), path.display())
    });
    Ok(Exit::Ok)
}

/// A file that was not there before, which only its owner may read: the edits name patients.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn export(performer: &dyn Performer, mut write: impl FnMut(&str) -> Result<(), AgentError>) -> Result<u64, AgentError> {
    let mut amount = 0;
    let request = |next: &Value, limit| Request::SetAsideList { after: next.as_u64().unwrap_or_default(), limit };
    page_through(u64::MAX, performer, request, |page| {
        let refused = page["refused"].as_array().map_or(&[][..], Vec::as_slice);
        for number in refused.iter().filter_map(|edit| edit["number"].as_u64()) {
            let edit = performer.perform(Request::SetAsideShow { number }, &mut Input::empty(), &mut |_| {})?;
            write(&line(&edit))?;
            amount += 1;
        }
        Ok(refused.len())
    })?;
    Ok(amount)
}

fn line(edit: &Value) -> String {
    let mut line = json!({ "table": edit["table"], "op": edit["operation"], "id": edit["id"] });
    if !edit["data"].is_null() {
        line["data"] = edit["data"].clone();
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
