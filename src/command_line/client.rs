//! The words behind `client`.

use super::scan::Scanned;
use super::{Command, UsageError};

/// What to do with the machines of the local network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAction {
    /// Let one more work on this agent.
    Add {
        /// Its name, not checked yet.
        name: String,
    },
    /// Name them.
    List,
    /// Let one work here no more.
    Revoke {
        /// Its name.
        name: String,
    },
    /// Print the certificate that they are shown.
    Certificate,
}

/// Reads them.
pub(super) fn command(scanned: &mut Scanned) -> Result<Command, UsageError> {
    const VERB: &str = "client";
    let word = scanned.word(VERB, "add, list, revoke or certificate")?;
    let action = match word.as_str() {
        "add" => ClientAction::Add { name: scanned.word(VERB, "NAME behind add")? },
        "list" => ClientAction::List,
        "revoke" => ClientAction::Revoke { name: scanned.word(VERB, "NAME behind revoke")? },
        "certificate" => ClientAction::Certificate,
        _ => {
            let expected = "add, list, revoke or certificate".to_owned();
            return Err(UsageError::Argument { name: "the word behind client", value: word, expected });
        }
    };
    Ok(Command::Client(action))
}
