//! `record` and `delete`: edits from arguments, a file or standard input.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;

use domain::edit::{Edit, EditOp};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::wording::{self, count, number};
use crate::command_line::{LineMode, LineSource, Record};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::{INPUT_BYTES_MAX, INPUT_MEMORY_BYTES_MAX, Input};
use crate::operations::{RecordOptions, Request};

/// The request, and the lines that go with it. Long standard input is kept in `folder` meanwhile.
pub(super) fn request(what: &Record, folder: &Path) -> Result<(Request, Input), AgentError> {
    match what {
        Record::One { edit, request_id } => {
            let options = RecordOptions { request_id: request_id.clone(), ..RecordOptions::default() };
            Ok((Request::Record(options), Input::from_bytes(line(edit)?.into_bytes())))
        }
        Record::Lines { source, mode } => Ok((Request::Record(options(mode)), lines(source, folder)?)),
    }
}

fn options(mode: &LineMode) -> RecordOptions {
    match mode {
        LineMode::AllOrNone => RecordOptions::default(),
        LineMode::GoodOnes => RecordOptions { continue_past_refused: true, ..RecordOptions::default() },
        LineMode::OneGroup { request_id } => {
            RecordOptions { group: true, request_id: request_id.clone(), ..RecordOptions::default() }
        }
    }
}

fn lines(source: &LineSource, folder: &Path) -> Result<Input, AgentError> {
    let stream =
        |stream: &mut dyn std::io::Read| Input::from_stream(stream, folder, INPUT_MEMORY_BYTES_MAX, INPUT_BYTES_MAX);
    match source {
        LineSource::StandardInput => Ok(stream(&mut std::io::stdin().lock())?),
        LineSource::File(path) => {
            let unreadable = |error: std::io::Error| {
                AgentError::new(
                    "file_unreadable",
                    format!("{} cannot be read: {error}", path.display()),
                    "Check the name of the file and who may read it.",
                    Exit::Usage,
                )
            };
            let mut file = File::open(path).map_err(unreadable)?;
            let is_regular = file.metadata().map_err(unreadable)?.is_file();
            // A pipe or a terminal has no length, and cannot be read twice.
            if is_regular { Ok(Input::from_file(file, INPUT_BYTES_MAX)?) } else { Ok(stream(&mut file)?) }
        }
    }
}

/// An edit as a line. The data's text stays as it was typed: 12.30 is not 12.3.
fn line(edit: &Edit) -> Result<String, AgentError> {
    let mut line = format!(
        "{{\"table\":{},\"op\":\"{}\",\"id\":{}",
        json!(edit.table),
        edit.op.as_str(),
        json!(edit.id.to_string())
    );
    if edit.op != EditOp::Delete {
        let data = edit.data.as_deref().unwrap_or_default();
        // Only one whole value goes between the other keys. Line ends in it stand between its parts.
        serde_json::from_str::<IgnoredAny>(data).map_err(|error| {
            AgentError::new(
                "not_json",
                format!("the data of the edit is not JSON: {error}"),
                "Give one JSON object, in single quotes so that the shell leaves it alone.",
                Exit::Usage,
            )
        })?;
        line.push_str(",\"data\":");
        line.push_str(&data.replace(['\n', '\r'], " "));
    }
    line.push_str("}\n");
    Ok(line)
}

/// What became of the lines.
pub(super) fn text(result: &Value) -> String {
    text_naming("line", result)
}

/// The same of edits that are named by something else than their line.
pub(super) fn text_naming(what: &str, result: &Value) -> String {
    let amount = |name: &str| result[name].as_u64().unwrap_or_default();
    let mut text = format!("recorded {}", count(amount("recorded"), "edit"));
    match (result["first"].as_u64(), result["last"].as_u64()) {
        (Some(first), Some(last)) if first == last => {
            let _infallible = write!(text, ", at sequence {}", number(first));
        }
        (Some(first), Some(last)) => {
            let _infallible = write!(text, ", at sequences {} to {}", number(first), number(last));
        }
        _ => {}
    }
    for (name, words) in [("unchanged", "changed nothing"), ("already", "had been recorded before")] {
        if amount(name) > 0 {
            let _infallible = write!(text, "; {} {words}", number(amount(name)));
        }
    }
    text.push('\n');
    let refused = result["refused"].as_array().map_or(&[][..], Vec::as_slice);
    let refused_total = refused_count(result);
    if refused_total > 0 {
        let _infallible = writeln!(text, "refused {}:", count(refused_total, "edit"));
    }
    for line in refused {
        let (message, code) = (wording::text(&line["message"]), wording::text(&line["code"]));
        let _infallible = writeln!(text, "  {what} {}: {message} [{code}]", line["line"]);
    }
    let unlisted = refused_total.saturating_sub(refused.len() as u64);
    if unlisted > 0 {
        let _infallible = writeln!(text, "  and {} more", number(unlisted));
    }
    text
}

/// Whether all, a part or nothing was taken.
pub(super) fn exit(result: &Value) -> Exit {
    let taken: u64 = ["recorded", "unchanged", "already"].iter().filter_map(|name| result[*name].as_u64()).sum();
    match (refused_count(result), taken) {
        (0, _) => Exit::Ok,
        (_, 0) => Exit::Refused,
        _ => Exit::Partial,
    }
}

fn refused_count(result: &Value) -> u64 {
    let listed = result["refused"].as_array().map_or(0, Vec::len) as u64;
    result["refused_count"].as_u64().unwrap_or(listed)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use protocol::ids::RecordId;

    fn edit(op: EditOp, data: Option<&str>) -> Edit {
        Edit { table: "item".into(), op, id: RecordId::new("4F2A").unwrap(), data: data.map(Into::into) }
    }

    #[test]
    fn one_edit_becomes_a_line_that_reads_as_the_same_edit() {
        for edit in [edit(EditOp::Patch, Some("{\n  \"price\": 12.30\n}")), edit(EditOp::Delete, None)] {
            let text = line(&edit).unwrap();
            let read = Edit::parse(text.trim_end()).unwrap();

            assert_eq!(text.lines().count(), 1);
            assert_eq!((read.table, read.op, read.id), (edit.table, edit.op, edit.id));
            assert_eq!(read.data.map(|data| data.contains("12.30")), edit.data.map(|_| true));
        }
    }

    #[test]
    fn data_that_is_not_one_json_value_is_refused_before_anything_is_asked() {
        for data in ["", "{", "{},\"op\":\"delete\"", "{\"a\":\"b\nc\"}"] {
            assert_eq!(line(&edit(EditOp::Put, Some(data))).unwrap_err().code, "not_json", "{data}");
        }
    }

    #[test]
    fn a_file_goes_as_it_is_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("edits.ndjson");
        std::fs::write(&file, "{}\n").unwrap();
        let of = |path: &Path| {
            let source = LineSource::File(path.to_owned());
            request(&Record::Lines { source, mode: LineMode::GoodOnes }, folder.path())
        };

        let (request, mut input) = of(&file).unwrap();
        let mut text = String::new();
        input.read_to_string(&mut text).unwrap();

        assert_eq!(request, Request::Record(RecordOptions { continue_past_refused: true, ..RecordOptions::default() }));
        assert_eq!(text, "{}\n");
        assert_eq!(of(&folder.path().join("absent")).unwrap_err().code, "file_unreadable");
    }

    #[test]
    fn what_became_of_the_lines_is_told_and_decides_the_exit() {
        let refused = json!([{ "line": 3, "code": "unknown_table", "message": "there is no table \"itm\"" }]);
        for (result, expected, expected_exit) in [
            (
                json!({ "recorded": 1, "unchanged": 0, "first": 1200, "last": 1200, "refused": [] }),
                "recorded 1 edit, at sequence 1,200\n",
                Exit::Ok,
            ),
            (
                json!({ "recorded": 2, "unchanged": 1, "first": 4, "last": 5, "refused": refused }),
                "recorded 2 edits, at sequences 4 to 5; 1 changed nothing\nrefused 1 edit:\n  line 3: there is no table \"itm\" \
                 [unknown_table]\n",
                Exit::Partial,
            ),
            (
                json!({ "recorded": 0, "unchanged": 0, "first": null, "last": null, "refused": refused, "refused_count": 150 }),
                "recorded 0 edits\nrefused 150 edits:\n  line 3: there is no table \"itm\" [unknown_table]\n  and 149 more\n",
                Exit::Refused,
            ),
        ] {
            assert_eq!(text(&result), expected);
            assert_eq!(exit(&result), expected_exit);
        }
    }
}
