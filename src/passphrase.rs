//! Where the passphrase of a sealed file comes from. It is kept nowhere, and never an argument: arguments can be seen by others.

use std::ffi::OsString;
use std::io::Read;

use sealed::{PASSPHRASE_BYTES_MAX, Passphrase, SealedError};
use zeroize::Zeroizing;

use crate::device::PasswordSource;
use crate::durable_file;
use crate::error::AgentError;
use crate::exit::Exit;

/// The environment variable in which verbs with a sealed file look for its passphrase.
pub const PASSPHRASE_VARIABLE: &str = "OUTPOST_PASSPHRASE";

/// The passphrase: from the command line's source, else from the variable.
///
/// # Errors
/// `passphrase_missing`, `passphrase_length`; those of the file, which only its owner may read.
pub fn passphrase(
    source: Option<&PasswordSource>,
    variable: Option<OsString>,
    input: &mut dyn Read,
) -> Result<Passphrase, AgentError> {
    // Two bytes for the end of the line, and one that tells a passphrase that is too long.
    let bytes_max = PASSPHRASE_BYTES_MAX + 3;
    let bytes = match (source, variable) {
        (Some(PasswordSource::File(path)), _) => durable_file::read_private(path, bytes_max)?.ok_or_else(|| {
            let message = format!("there is no file {} with the passphrase", path.display());
            AgentError::new("passphrase_missing", message, "Check the path. Nothing was changed.", Exit::Usage)
        })?,
        (Some(PasswordSource::StandardInput), _) => {
            let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max));
            // A read that fails gives a passphrase that is too short, and that is said.
            let _ = input.take(bytes_max as u64).read_to_end(&mut bytes);
            bytes
        }
        (None, Some(value)) => Zeroizing::new(value.into_encoded_bytes()),
        (None, None) => {
            let message = "the file is encrypted, and no passphrase is given";
            let advice = format!("Give --passphrase-file FILE, or set {PASSPHRASE_VARIABLE}.");
            return Err(AgentError::new("passphrase_missing", message, advice, Exit::Usage));
        }
    };
    Passphrase::of(&bytes)
        .map_err(|error: SealedError| AgentError::new(error.code(), error.to_string(), error.advice(), Exit::Usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(source: Option<&PasswordSource>, variable: Option<&str>, input: &str) -> String {
        let found = passphrase(source, variable.map(OsString::from), &mut input.as_bytes());
        found.map_or_else(|error| error.code, |_| "taken".to_owned())
    }

    #[test]
    fn the_command_line_goes_before_the_variable_and_something_has_to_say_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        durable_file::replace_private(&path, b"four random words\n").unwrap();
        let file = PasswordSource::File(path);
        let missing = PasswordSource::File(folder.path().join("no"));
        let input = PasswordSource::StandardInput;

        assert_eq!(code(Some(&file), Some("short"), ""), "taken");
        assert_eq!(code(Some(&input), Some("short"), "four random words\r\n"), "taken");
        assert_eq!(code(None, Some("four random words"), ""), "taken");
        assert_eq!(code(None, Some("short"), ""), "passphrase_length");
        assert_eq!(code(Some(&input), None, &"x".repeat(PASSPHRASE_BYTES_MAX + 1)), "passphrase_length");
        assert_eq!(code(Some(&missing), None, ""), "passphrase_missing");
        assert_eq!(code(None, None, ""), "passphrase_missing");
    }
}
