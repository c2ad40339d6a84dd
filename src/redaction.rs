//! Takes secrets out of a text that leaves the device: what is known to be one, and what looks like one.

use std::path::Path;

use zeroize::Zeroizing;

use crate::config::{Config, REDACTED};
use crate::data_folder::Layout;
use crate::device::PASSWORD_VARIABLE;
use crate::durable_file;
use crate::passphrase::PASSPHRASE_VARIABLE;

/// Largest file of a secret that is read, in bytes.
const SECRET_FILE_BYTES_MAX: usize = 4096;
/// Shortest secret that is looked for, in bytes: what is shorter stands in many a word.
const SECRET_BYTES_MIN: usize = 4;
/// What stands before a secret of ours, or of a header.
const MARKS: [&str; 4] = ["outpost_client_", "outpost_token_", "Bearer ", "Basic "];
/// Digits in a row, in hexadecimal, from which on they may be a key or a token. Fingerprints, hashes and ids of journals fall too.
const DIGITS_MIN: usize = 33;

/// The secrets of this device that a text may hold.
pub struct Secrets(Vec<Zeroizing<String>>);

impl Secrets {
    /// Those that lie in files of the settings and the data folder, and in the environment.
    pub fn of_device(config: &Config) -> Self {
        let mut secrets = Self(Vec::new());
        let files = [Some(Layout::of(&config.data_folder).token()), config.password_file.clone()];
        for path in files.into_iter().flatten() {
            secrets.add_file(&path);
        }
        for variable in [PASSWORD_VARIABLE, PASSPHRASE_VARIABLE] {
            secrets.add(&std::env::var(variable).unwrap_or_default());
        }
        if let Some(proxy) = &config.central_proxy {
            let whole = Zeroizing::new(proxy.url.with_credentials());
            let credentials = whole.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map(|(it, _)| it);
            for part in credentials.into_iter().flat_map(|credentials| credentials.splitn(2, ':')) {
                secrets.add(part);
            }
        }
        secrets
    }

    fn add_file(&mut self, path: &Path) {
        // One that cannot be read here cannot have come into a text here.
        let bytes = Zeroizing::new(durable_file::read_small(path, SECRET_FILE_BYTES_MAX).unwrap_or_default());
        self.add(&Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()));
    }

    fn add(&mut self, secret: &str) {
        let secret = secret.trim();
        if secret.len() >= SECRET_BYTES_MIN {
            self.0.push(Zeroizing::new(secret.to_owned()));
        }
    }

    /// The text without them.
    pub fn redacted(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            text = text.replace(secret.as_str(), REDACTED);
        }
        let mut redacted = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            redacted.push_str(&without_digits(&without_marked(&without_home(&without_credentials(line)))));
        }
        redacted
    }
}

/// A line in which something is done with what stands behind each mark, up to the next one.
fn behind_each(line: &str, mark: &str, add: impl Fn(&mut String, &str)) -> String {
    let mut parts = line.split(mark);
    let mut redacted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        redacted.push_str(mark);
        add(&mut redacted, part);
    }
    redacted
}

/// What stands between `://` and an `@` before the path.
fn without_credentials(line: &str) -> String {
    behind_each(line, "://", |redacted, part| {
        let end = part.find(|character: char| matches!(character, '/' | '"' | '\'' | '?') || character.is_whitespace());
        let authority = part.get(..end.unwrap_or(part.len())).unwrap_or_default();
        match authority.rfind('@') {
            Some(at) => {
                redacted.push_str(REDACTED);
                redacted.push_str(part.get(at..).unwrap_or_default());
            }
            None => redacted.push_str(part),
        }
    })
}

/// The name behind `/home/` or `/Users/`, which is a person's.
fn without_home(line: &str) -> String {
    ["/home/", "/Users/"].into_iter().fold(line.to_owned(), |line, folder| {
        behind_each(&line, folder, |redacted, part| {
            let end =
                part.find(|character: char| matches!(character, '/' | '"' | ':' | ',') || character.is_whitespace());
            redacted.push_str(REDACTED);
            redacted.push_str(part.get(end.unwrap_or(part.len())..).unwrap_or_default());
        })
    })
}

/// The word behind each mark.
fn without_marked(line: &str) -> String {
    MARKS.into_iter().fold(line.to_owned(), |line, mark| {
        behind_each(&line, mark, |redacted, part| {
            let is_of_word = |character: char| character.is_ascii_alphanumeric() || "+/=._-".contains(character);
            let rest = part.trim_start_matches(is_of_word);
            redacted.push_str(if rest.len() < part.len() { REDACTED } else { "" });
            redacted.push_str(rest);
        })
    })
}

/// Long rows of hexadecimal digits.
fn without_digits(line: &str) -> String {
    let mut redacted = String::with_capacity(line.len());
    let mut row = String::new();
    let end_row = |row: &mut String, redacted: &mut String| {
        redacted.push_str(if row.len() >= DIGITS_MIN { REDACTED } else { row.as_str() });
        row.clear();
    };
    for character in line.chars() {
        if character.is_ascii_hexdigit() {
            row.push(character);
        } else {
            end_row(&mut row, &mut redacted);
            redacted.push(character);
        }
    }
    end_row(&mut row, &mut redacted);
    redacted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> String {
        let mut secrets = Secrets(Vec::new());
        secrets.add(" open sesame \n");
        secrets.add("abc");
        secrets.redacted(text)
    }

    #[test]
    fn what_is_known_to_be_secret_goes_wherever_it_stands() {
        assert_eq!(redacted("x open sesamex\nabc"), "x (redacted)x\nabc");
    }

    #[test]
    fn what_looks_like_a_secret_goes_and_the_rest_stays() {
        for (text, expected) in [
            ("to http://me:hidden@proxy.example:80/x@y ok", "to http://(redacted)@proxy.example:80/x@y ok"),
            ("\"https://a@b\",\"http://c/@d\"", "\"https://(redacted)@b\",\"http://c/@d\""),
            ("http://a:p@ss@host and https://plain.example", "http://(redacted)@host and https://plain.example"),
            ("Authorization: Bearer abc.DEF-9= end", "Authorization: Bearer (redacted) end"),
            ("token outpost_client_00ff, more", "token outpost_client_(redacted), more"),
            ("id 9286A3A206564493F2D1F6AACBC4E1A9 stays", "id 9286A3A206564493F2D1F6AACBC4E1A9 stays"),
            (&format!("key {} goes", "0f".repeat(32)), "key (redacted) goes"),
            ("\"/home/maria.rossi/data\" \"/home/x\"", "\"/home/(redacted)/data\" \"/home/(redacted)\""),
            ("2026-11-28T00:10:34Z info: synced sent=4", "2026-11-28T00:10:34Z info: synced sent=4"),
        ] {
            assert_eq!(redacted(text), expected);
        }
    }
}
