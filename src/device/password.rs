//! Where the site's password comes from. It is needed once, to enrol, and is kept nowhere.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::DeviceError;
use crate::durable_file;

/// The environment variable in which `enrol` looks for the site's password.
pub const PASSWORD_VARIABLE: &str = "OUTPOST_PASSWORD";

/// Longest password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Where the command line says that the password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// In a file that only its owner may read.
    File(PathBuf),
    /// On standard input.
    StandardInput,
}

/// The site's password: from the command line's source, else from the variable, else from the file of the settings. One line
/// feed at its end is not part of it.
///
/// # Errors
/// [`DeviceError`] says which is missing, or that it is no password.
pub fn site_password(
    source: Option<&PasswordSource>,
    variable: Option<OsString>,
    configured_file: Option<&Path>,
    input: &mut dyn Read,
) -> Result<Zeroizing<String>, DeviceError> {
    match (source, variable, configured_file) {
        (Some(PasswordSource::File(path)), _, _) => from_file(path),
        (Some(PasswordSource::StandardInput), _, _) => {
            let mut bytes = Zeroizing::new(Vec::with_capacity(PASSWORD_BYTES_MAX + 3));
            // A read that fails gives a password that is too short, and that is said.
            let _ = input.take(PASSWORD_BYTES_MAX as u64 + 3).read_to_end(&mut bytes);
            checked(&bytes)
        }
        (None, Some(value), _) => checked(&Zeroizing::new(value.into_encoded_bytes())),
        (None, None, Some(path)) => from_file(path),
        (None, None, None) => Err(DeviceError::PasswordMissing),
    }
}

fn from_file(path: &Path) -> Result<Zeroizing<String>, DeviceError> {
    // Two bytes for the end of the line.
    let bytes = durable_file::read_private(path, PASSWORD_BYTES_MAX + 2)?;
    checked(&bytes.ok_or_else(|| DeviceError::PasswordFileMissing { path: path.to_path_buf() })?)
}

fn checked(bytes: &[u8]) -> Result<Zeroizing<String>, DeviceError> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let form = DeviceError::PasswordForm { bytes: bytes.len() };
    match str::from_utf8(bytes) {
        Ok(text) if (1..=PASSWORD_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control) => {
            Ok(Zeroizing::new(text.to_owned()))
        }
        Ok(_) | Err(_) => Err(form),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Explained as _;

    fn password(source: Option<&PasswordSource>, variable: Option<&str>, file: Option<&Path>, input: &str) -> String {
        match site_password(source, variable.map(OsString::from), file, &mut input.as_bytes()) {
            Ok(password) => password.to_string(),
            Err(error) => error.code().to_owned(),
        }
    }

    #[test]
    fn the_command_line_goes_before_the_variable_and_that_before_the_settings() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        durable_file::replace_private(&file, b"of the file\r\n").unwrap();
        let named = PasswordSource::File(file.clone());

        assert_eq!(password(Some(&named), Some("of the variable"), None, ""), "of the file");
        assert_eq!(password(Some(&PasswordSource::StandardInput), Some("v"), None, "of the input\n"), "of the input");
        assert_eq!(password(None, Some("of the variable"), Some(&file), ""), "of the variable");
        assert_eq!(password(None, None, Some(&file), ""), "of the file");
        assert_eq!(password(None, None, None, ""), "password_missing");
        assert_eq!(password(None, None, Some(&folder.path().join("no")), ""), "password_file_missing");
    }

    #[test]
    fn a_password_is_one_line_of_limited_length() {
        for (input, is_right) in [
            (String::new(), false),
            ("\n".to_owned(), false),
            ("x".repeat(PASSWORD_BYTES_MAX), true),
            ("x".repeat(PASSWORD_BYTES_MAX) + "\r\n", true),
            ("x".repeat(PASSWORD_BYTES_MAX + 1), false),
            ("two\nlines".to_owned(), false),
        ] {
            let found = password(Some(&PasswordSource::StandardInput), None, None, &input);
            assert_eq!(found != "password_form", is_right, "{} bytes", input.len());
        }
    }
}
