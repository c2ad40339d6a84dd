//! The words behind `set-aside`.

use std::path::PathBuf;

use super::scan::{self, Scanned};
use super::{UsageError, file_or_dash, limit};

/// What to do with refused edits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetAside {
    /// Name them.
    List {
        /// At most so many.
        limit: u64,
    },
    /// Print one whole.
    Show {
        /// Its number, as `list` prints it.
        number: u64,
    },
    /// Record them again.
    Retry {
        /// Their numbers, as `list` prints them; empty means all.
        numbers: Vec<u64>,
    },
    /// Let them go.
    Dismiss {
        /// Their numbers, as `list` prints them.
        numbers: Vec<u64>,
    },
    /// Let all go.
    DismissAll {
        /// The file that `export` wrote them to.
        exported_to: PathBuf,
    },
    /// Write all as lines of edits.
    Export {
        /// To this file; `None` writes to standard output.
        file: Option<PathBuf>,
    },
}

/// Reads them.
pub(super) fn action(scanned: &mut Scanned) -> Result<SetAside, UsageError> {
    const VERB: &str = "set-aside";
    const WORDS: [&str; 5] = ["list", "show", "retry", "export", "dismiss"];
    let word = scanned.word(VERB, "list, show, retry, export or dismiss")?;
    let together = |problem| Err(UsageError::Together { problem });
    let is_all = scanned.has("all");
    let exported_to = scanned.path("exported-to");
    let action = match word.as_str() {
        "list" => SetAside::List { limit: limit(scanned)? },
        "show" => SetAside::Show { number: set_aside_number(scanned)? },
        "retry" if is_all => SetAside::Retry { numbers: Vec::new() },
        "retry" => SetAside::Retry { numbers: set_aside_numbers(scanned)? },
        "dismiss" => match (is_all, &exported_to) {
            (true, Some(file)) => SetAside::DismissAll { exported_to: file.clone() },
            (true, None) => {
                return together("--all of `dismiss` needs --exported-to FILE, which `set-aside export FILE` wrote");
            }
            (false, _) => SetAside::Dismiss { numbers: set_aside_numbers(scanned)? },
        },
        "export" => SetAside::Export { file: file_or_dash(PathBuf::from(scanned.argument(VERB, "FILE")?)) },
        _ => {
            let nearest = crate::nearest::nearest(&word, WORDS).map_or_else(String::new, |word| format!("; {word}?"));
            let expected = format!("{}{nearest}", WORDS.join(", "));
            return Err(UsageError::Argument { name: "the word behind set-aside", value: word, expected });
        }
    };
    if scanned.has("limit") {
        return together("--limit is for `set-aside list` alone");
    }
    if is_all && !matches!(action, SetAside::Retry { .. } | SetAside::DismissAll { .. }) {
        return together("--all is for `set-aside retry` and `set-aside dismiss`");
    }
    if exported_to.is_some() && !matches!(action, SetAside::DismissAll { .. }) {
        return together("--exported-to belongs to `set-aside dismiss --all`");
    }
    Ok(action)
}

fn set_aside_number(scanned: &mut Scanned) -> Result<u64, UsageError> {
    let word = scanned.word("set-aside", "NUMBER, as `set-aside list` prints it")?;
    scan::number("NUMBER", &word, u64::MAX)
}

/// One number or more.
fn set_aside_numbers(scanned: &mut Scanned) -> Result<Vec<u64>, UsageError> {
    let mut numbers = vec![set_aside_number(scanned)?];
    while let Some(word) = scanned.further_word() {
        numbers.push(scan::number("NUMBER", &word.to_string_lossy(), u64::MAX)?);
    }
    Ok(numbers)
}
