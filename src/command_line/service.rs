//! The words behind `service`.

use super::scan::Scanned;
use super::{Command, UsageError};
use crate::service::{InitSystem, ServiceAction, ServiceWanted};

/// Reads them.
pub(super) fn command(scanned: &mut Scanned) -> Result<Command, UsageError> {
    let word = scanned.word("service", "install, uninstall, start, stop or status")?;
    let action = match word.as_str() {
        "install" => ServiceAction::Install,
        "uninstall" => ServiceAction::Uninstall,
        "start" => ServiceAction::Start,
        "stop" => ServiceAction::Stop,
        "status" => ServiceAction::Status,
        _ => {
            let expected = "install, uninstall, start, stop or status".to_owned();
            return Err(UsageError::Argument { name: "the word behind service", value: word, expected });
        }
    };
    let init = scanned.text("manager")?.map(init_system).transpose()?;
    let is_printed = scanned.has("print");
    if is_printed && action != ServiceAction::Install {
        return Err(UsageError::Together { problem: "--print is for `service install` alone" });
    }
    let wanted = ServiceWanted {
        init,
        root: scanned.path("root"),
        program: scanned.path("program"),
        user: scanned.text("user")?,
        ..ServiceWanted::default()
    };
    Ok(Command::Service { action, wanted, is_printed })
}

fn init_system(word: String) -> Result<InitSystem, UsageError> {
    InitSystem::of_word(&word).ok_or_else(|| UsageError::Argument {
        name: "manager",
        value: word,
        expected: InitSystem::ALL.map(InitSystem::as_str).join(", "),
    })
}
