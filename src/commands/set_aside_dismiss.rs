//! `set-aside dismiss`: lets refused edits go. All of them only where a file holds each.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use domain::edit::LINE_BYTES_MAX;
use serde_json::{Value, json};

use super::set_aside_export::{each_edit, make_durable};
use super::wording::count;
use super::{Screen, perform};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::{Input, LIST_LIMIT_MAX, Performer, Request, SET_ASIDE_NUMBERS_MAX};

const _: () = assert!(LIST_LIMIT_MAX as usize <= SET_ASIDE_NUMBERS_MAX, "a page of the list is dismissed at once");

/// Lets the named ones go, or none.
pub(super) fn named(numbers: &[u64], performer: &dyn Performer, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let request = Request::SetAsideDismiss { numbers: numbers.to_vec() };
    let result = perform(performer, request, &mut Input::empty(), screen)?;
    screen.result(&result, text);
    Ok(Exit::Ok)
}

/// Lets all go that are there when it begins, page by page, once it has found each of them in the file. Numbers are never given
/// twice, so what was found under a number is what goes under it.
pub(super) fn all(exported_to: &Path, performer: &dyn Performer, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let file = File::open(exported_to).map_err(|error| unreadable(exported_to, &error))?;
    let mut lines = Lines { path: exported_to, reader: BufReader::new(&file) };
    let mut last = 0;
    each_edit(performer, |number, line| {
        last = number;
        if lines.go_behind(line)? { Ok(()) } else { Err(not_exported(exported_to, number)) }
    })?;
    // Whoever wrote or copied it may not have synced it, and soon it is all that there is.
    make_durable(exported_to, &file)?;
    let mut dismissed = 0;
    loop {
        let page = Request::SetAsideList { after: 0, limit: LIST_LIMIT_MAX };
        let page = performer.perform(page, &mut Input::empty(), &mut |_| {})?;
        let refused = page["refused"].as_array().into_iter().flatten();
        let numbers: Vec<u64> =
            refused.filter_map(|edit| edit["number"].as_u64()).filter(|number| *number <= last).collect();
        if numbers.is_empty() {
            break;
        }
        let result = performer.perform(Request::SetAsideDismiss { numbers }, &mut Input::empty(), &mut |_| {})?;
        dismissed += result["dismissed"].as_u64().unwrap_or_default();
    }
    screen.result(&json!({ "dismissed": dismissed }), text);
    Ok(Exit::Ok)
}

/// The lines of an export. It holds the edits in the order of their numbers, and so are they asked for: each is found behind the one
/// before, in one reading and without keeping any.
struct Lines<'a, R> {
    path: &'a Path,
    reader: R,
}

impl<R: BufRead> Lines<'_, R> {
    /// Reads on behind a line; whether it was there.
    fn go_behind(&mut self, wanted: &str) -> Result<bool, AgentError> {
        let wanted = wanted.trim_end().as_bytes();
        let bytes_max = LINE_BYTES_MAX.max(wanted.len()) as u64 + 1;
        loop {
            let mut line = Vec::new();
            let read = (&mut self.reader).take(bytes_max).read_until(b'\n', &mut line);
            if read.map_err(|error| unreadable(self.path, &error))? == 0 {
                return Ok(false);
            }
            if line.trim_ascii_end() == wanted {
                return Ok(true);
            }
        }
    }
}

fn text(result: &Value) -> String {
    format!("dismissed {}\n", count(result["dismissed"].as_u64().unwrap_or_default(), "edit"))
}

fn not_exported(path: &Path, number: u64) -> AgentError {
    AgentError::new(
        "not_exported",
        format!("the refused edit {number} is not in {}, or not in its place; nothing was dismissed", path.display()),
        "Export all again, to a new file, with `outpost set-aside export`, and name that file. It must be left as it was written.",
        Exit::Refused,
    )
}

fn unreadable(path: &Path, error: &io::Error) -> AgentError {
    AgentError::new(
        "file_unreadable",
        format!("{} cannot be read: {error}", path.display()),
        "Name the file that `outpost set-aside export` wrote. Nothing was dismissed.",
        Exit::Usage,
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::sync::Mutex;

    use super::super::set_aside_export;
    use super::*;
    use crate::commands::testing::{Scripted, printed};
    use crate::operations::Progress;

    /// Refused edits by number. So many steps of dismissing go through before it is gone.
    struct Shelf {
        edits: Mutex<BTreeMap<u64, Value>>,
        steps_left: Mutex<usize>,
    }

    impl Shelf {
        fn of(ids: &[(u64, &str)]) -> Self {
            let edit = |id: &str| json!({ "table": "item", "operation": "patch", "id": id, "data": { "price": 2 } });
            let edits = ids.iter().map(|(number, id)| (*number, edit(id))).collect();
            Self { edits: Mutex::new(edits), steps_left: Mutex::new(usize::MAX) }
        }

        fn filled(numbers: u64) -> Self {
            let ids: Vec<(u64, String)> = (1..=numbers).map(|number| (number, format!("I{number}"))).collect();
            Self::of(&ids.iter().map(|(number, id)| (*number, id.as_str())).collect::<Vec<_>>())
        }

        fn numbers(&self) -> Vec<u64> {
            self.edits.lock().unwrap().keys().copied().collect()
        }

        fn export(&self, folder: &Path) -> PathBuf {
            let path = folder.join(format!("refused-{}.ndjson", self.numbers().len()));
            printed(false, |screen| set_aside_export::run(Some(&path), self, screen)).0.unwrap();
            path
        }

        fn dismiss_all(&self, path: &Path) -> Result<String, String> {
            let (exit, text) = printed(false, |screen| all(path, self, screen));
            exit.map(|_| text).map_err(|error| error.code)
        }
    }

    impl Performer for Shelf {
        fn perform(&self, request: Request, _: &mut Input, _: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
            let mut edits = self.edits.lock().unwrap();
            match request {
                Request::SetAsideList { after, limit } => {
                    let page = edits.range(after + 1..).take(limit as usize);
                    let page: Vec<Value> = page.map(|(number, _)| json!({ "number": number })).collect();
                    let next = page.last().filter(|_| page.len() == limit as usize).map(|last| last["number"].clone());
                    Ok(json!({ "refused": page, "next": next }))
                }
                Request::SetAsideShow { number } => Ok(edits[&number].clone()),
                Request::SetAsideDismiss { numbers } => {
                    let mut steps_left = self.steps_left.lock().unwrap();
                    let gone = || AgentError::new("agent_gone", "", "", Exit::Busy);
                    *steps_left = steps_left.checked_sub(1).ok_or_else(gone)?;
                    assert!(numbers.len() <= SET_ASIDE_NUMBERS_MAX);
                    let dismissed = numbers.iter().filter(|number| edits.remove(number).is_some()).count();
                    Ok(json!({ "dismissed": dismissed }))
                }
                other => unreachable!("{other:?} is not asked"),
            }
        }
    }

    #[test]
    fn named_ones_are_asked_for_at_once_and_counted() {
        let performer = Scripted::new([json!({ "dismissed": 2 }), json!({ "dismissed": 1 })]);

        let (exit, text) = printed(false, |screen| named(&[3, 7], &performer, screen));
        let (_, json) = printed(true, |screen| named(&[9], &performer, screen));

        assert_eq!((exit, text.as_str()), (Ok(Exit::Ok), "dismissed 2 edits\n"));
        assert_eq!(json, "{\"dismissed\":1}\n");
        assert_eq!(performer.asked.lock().unwrap()[0], Request::SetAsideDismiss { numbers: vec![3, 7] });
    }

    #[test]
    fn all_go_in_steps_once_each_is_found_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::filled(2 * u64::from(LIST_LIMIT_MAX) + 1);
        let path = shelf.export(folder.path());

        assert_eq!(shelf.dismiss_all(&path), Ok("dismissed 2,001 edits\n".to_owned()));

        assert_eq!(shelf.numbers(), [0; 0]);
        assert_eq!(shelf.dismiss_all(&path), Ok("dismissed 0 edits\n".to_owned()), "once more does no harm");
    }

    #[test]
    fn cut_in_the_middle_it_leaves_the_rest_and_the_same_command_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::filled(2 * u64::from(LIST_LIMIT_MAX) + 1);
        let path = shelf.export(folder.path());
        *shelf.steps_left.lock().unwrap() = 1;

        assert_eq!(shelf.dismiss_all(&path), Err("agent_gone".to_owned()));
        assert_eq!(shelf.numbers().len(), 1001);
        *shelf.steps_left.lock().unwrap() = 10;
        assert_eq!(shelf.dismiss_all(&path), Ok("dismissed 1,001 edits\n".to_owned()));
    }

    #[test]
    fn nothing_goes_if_the_file_does_not_hold_each_edit_as_it_was_exported() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(&[(1, "a"), (4, "b"), (5, "b"), (6, "c")]);
        let whole = std::fs::read_to_string(shelf.export(folder.path())).unwrap();
        let lines: Vec<&str> = whole.lines().collect();
        let check = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            assert_eq!(shelf.dismiss_all(&path), Err("not_exported".to_owned()), "{name}");
            assert_eq!(shelf.numbers(), [1, 4, 5, 6], "{name}");
        };

        check("empty", "");
        check("without the last", &lines[..3].join("\n"));
        check("cut", &whole[..whole.len() - 3]);
        check("one of two that are the same", &[lines[0], lines[1], lines[3]].join("\n"));
        check("in another order", &[lines[3], lines[0], lines[1], lines[2]].join("\n"));
        check("changed", &whole.replace("\"price\":2", "\"price\":3"));
        assert_eq!(shelf.dismiss_all(&folder.path().join("absent")), Err("file_unreadable".to_owned()));
    }

    #[test]
    fn one_that_was_refused_after_the_export_keeps_all_until_it_is_exported_too() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::filled(2);
        let path = shelf.export(folder.path());
        shelf.edits.lock().unwrap().insert(3, json!({ "table": "unit", "operation": "delete", "id": "x" }));

        assert_eq!(shelf.dismiss_all(&path), Err("not_exported".to_owned()));
        let path = shelf.export(folder.path());
        assert_eq!(shelf.dismiss_all(&path), Ok("dismissed 3 edits\n".to_owned()));
    }
}
