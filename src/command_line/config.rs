//! The words behind `config`.

use std::path::PathBuf;

use super::scan::Scanned;
use super::{Command, Global, UsageError};

/// What to do with the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigAction {
    /// Say whether they can be used.
    Check,
    /// Print them, each with where it comes from.
    Show,
}

/// Reads them. A file to check takes the place of `--config`.
pub(super) fn command(scanned: &mut Scanned, global: &mut Global) -> Result<Command, UsageError> {
    let word = scanned.word("config", "check or show")?;
    let action = match word.as_str() {
        "check" => ConfigAction::Check,
        "show" => ConfigAction::Show,
        _ => {
            let expected = "check or show".to_owned();
            return Err(UsageError::Argument { name: "the word behind config", value: word, expected });
        }
    };
    if action == ConfigAction::Check
        && let Some(file) = scanned.further_word()
        && global.config_file.replace(PathBuf::from(file)).is_some()
    {
        return Err(UsageError::Together { problem: "`config check FILE` and --config both name a file" });
    }
    Ok(Command::Config(action))
}
