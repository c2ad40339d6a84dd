//! Central's settings: `central.toml` in the data folder. `init` writes the file with every setting, its default and its reason.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use domain::catalogue::{Catalogue, DeclaredTable};
use serde::Deserialize;

use crate::error::{CentralError, Exit};
use crate::store::{AUDIT_ROWS_DEFAULT, ENTRY_LOG_DAYS_DEFAULT, SET_ASIDE_BYTES_DEFAULT, TOMBSTONE_DAYS_DEFAULT};

/// The file that `init` writes; a test holds it against the defaults.
pub const SETTINGS_TEXT: &str = include_str!("central.toml");

/// Largest settings file, in bytes: a declared table takes about 100 bytes.
pub const SETTINGS_BYTES_MAX: u64 = 1024 * 1024;

/// All settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long judged entries stay in the log.
    pub log: LogSettings,
    /// How much at once.
    pub limits: LimitSettings,
    /// How long to wait for a silent site.
    pub timeouts: TimeoutSettings,
    /// What checking a password costs.
    pub passwords: PasswordSettings,
    /// How long what people gave counts.
    pub people: PeopleSettings,
    /// The admin API.
    pub admin_api: AdminApiSettings,
    /// Encryption towards sites and towards people.
    pub tls: TlsSettings,
    /// Tables that mSupply's catalogue does not have.
    pub table: Vec<DeclaredTable>,
}

/// The log of entries.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Days that judged entries stay in the log.
    pub entry_log_days: u32,
    /// Days that a site may be away and still be told one by one what was deleted meanwhile.
    pub tombstone_days: u32,
    /// Changes that the audit log holds, and beside them a tenth as many refusals.
    pub audit_rows_max: u32,
    /// Bytes of refused edits of one site that are kept beyond `entry_log_days`.
    pub set_aside_bytes_max: u64,
}

/// Limits of what runs at once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// Exchanges with sites at once; one more is answered 503 with Retry-After.
    pub exchanges_max: usize,
    /// Requests at once of which the head has not proved yet who sends them; one more is answered 503 with Retry-After.
    pub heads_max: usize,
    /// Connections at once; one more waits in the system's own queue.
    pub connections_max: usize,
    /// Sites that wait for news at once, each with a connection; one more is answered 503 with Retry-After and goes by its interval.
    pub news_max: usize,
    /// Enrolments at once: each takes the memory of a password check.
    pub enrolments_max: usize,
    /// Connections that read the store.
    pub readers_max: usize,
}

/// Idle times, in milliseconds. Nothing has a limit on its whole duration, but what comes before a sender is proved.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutSettings {
    /// Longest time without a byte of a request that is not complete.
    pub read_idle_ms: u64,
    /// Longest time in all for the head of a request, which proves who sends it, and for an enrolment.
    pub head_ms: u64,
    /// Longest time in which a site takes no byte of its reply.
    pub write_idle_ms: u64,
    /// An exchange that was silent for so long gives way to a new one of the same site.
    pub supersede_idle_ms: u64,
}

/// Encryption towards sites: both files or neither. Relative paths count from the data folder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSettings {
    /// Central's certificate and those that lead to the authority, as PEM.
    pub certificate_file: Option<PathBuf>,
    /// Its private key, as PEM.
    pub key_file: Option<PathBuf>,
}

/// Argon2id's parameters for new passwords; a password that is kept names its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordSettings {
    /// Memory of one check.
    pub memory_kib: u32,
    /// Passes over it.
    pub rounds: u32,
}

/// How long what people gave counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeopleSettings {
    /// Minutes for which somebody who gave the authorisation code has open what it locks.
    pub authorisation_minutes: u32,
    /// Minutes after which somebody who signed in to the admin API has to do so again.
    pub session_minutes: u32,
}

/// The admin API: JSON over HTTP, for people's tools.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminApiSettings {
    /// Where it listens; `None`: nowhere.
    pub address: Option<SocketAddr>,
    /// Requests at once; one more is answered 503 with Retry-After.
    pub requests_max: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            entry_log_days: ENTRY_LOG_DAYS_DEFAULT,
            tombstone_days: TOMBSTONE_DAYS_DEFAULT,
            audit_rows_max: AUDIT_ROWS_DEFAULT,
            set_aside_bytes_max: SET_ASIDE_BYTES_DEFAULT,
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            exchanges_max: 64,
            heads_max: 256,
            connections_max: 512,
            news_max: 192,
            enrolments_max: 2,
            readers_max: 4,
        }
    }
}

impl LimitSettings {
    /// Questions for news that are held at once: half of the connections stay free for those who come for something.
    pub fn held_max(&self) -> usize {
        self.news_max.min(self.connections_max / 2)
    }
}

impl Default for TimeoutSettings {
    fn default() -> Self {
        Self { read_idle_ms: 60_000, head_ms: 60_000, write_idle_ms: 60_000, supersede_idle_ms: 5_000 }
    }
}

impl Default for PasswordSettings {
    fn default() -> Self {
        Self { memory_kib: 19_456, rounds: 2 }
    }
}

impl Default for PeopleSettings {
    fn default() -> Self {
        Self { authorisation_minutes: 10, session_minutes: 480 }
    }
}

impl Default for AdminApiSettings {
    fn default() -> Self {
        Self { address: None, requests_max: 16 }
    }
}

impl Settings {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// `settings_missing`, `settings_unreadable`, `settings_wrong` with line and column, `setting_out_of_range`.
    pub fn load(path: &Path) -> Result<Self, CentralError> {
        let text = read_limited(path)?;
        Self::parse(&text).map_err(|error| match error.code.as_str() {
            "settings_wrong" => CentralError { message: format!("{}: {}", path.display(), error.message), ..error },
            _ => error,
        })
    }

    /// Reads and checks a text.
    ///
    /// # Errors
    /// `settings_wrong` with line and column, `setting_out_of_range`, `tls_half_set`.
    pub fn parse(text: &str) -> Result<Self, CentralError> {
        let settings: Self = toml::from_str(text).map_err(|error| {
            let place = error.span().map(|span| place_of(text, span.start));
            let place = place.map(|(line, column)| format!("line {line}, column {column}: ")).unwrap_or_default();
            let advice = "Correct the file; docs/operations.md lists every setting. Nothing was done.";
            CentralError::new("settings_wrong", format!("{place}{}", error.message()), advice, Exit::Config)
        })?;
        settings.check()?;
        Ok(settings)
    }

    /// mSupply's tables and those that the settings declare.
    ///
    /// # Errors
    /// The code of the declaration that cannot be used.
    pub fn catalogue(&self) -> Result<Catalogue, CentralError> {
        Catalogue::embedded().with_declared(self.table.clone()).map_err(|error| {
            CentralError::new(error.code(), error.to_string(), "Correct [[table]] in central.toml.", Exit::Config)
        })
    }

    fn check(&self) -> Result<(), CentralError> {
        let (limits, timeouts, passwords) = (&self.limits, &self.timeouts, &self.passwords);
        in_range("log.entry_log_days", u64::from(self.log.entry_log_days), 1, 36_500)?;
        in_range("log.tombstone_days", u64::from(self.log.tombstone_days), 1, 36_500)?;
        in_range("log.audit_rows_max", u64::from(self.log.audit_rows_max), 10, 10_000_000)?;
        in_range("log.set_aside_bytes_max", self.log.set_aside_bytes_max, 65_536, 1 << 40)?;
        in_range("limits.exchanges_max", limits.exchanges_max as u64, 1, 10_000)?;
        in_range("limits.heads_max", limits.heads_max as u64, 1, 100_000)?;
        in_range("limits.connections_max", limits.connections_max as u64, 1, 100_000)?;
        in_range("limits.news_max", limits.news_max as u64, 0, 100_000)?;
        in_range("limits.enrolments_max", limits.enrolments_max as u64, 1, 64)?;
        in_range("limits.readers_max", limits.readers_max as u64, 1, 64)?;
        in_range("timeouts.read_idle_ms", timeouts.read_idle_ms, 100, 3_600_000)?;
        in_range("timeouts.head_ms", timeouts.head_ms, 100, 3_600_000)?;
        in_range("timeouts.write_idle_ms", timeouts.write_idle_ms, 100, 3_600_000)?;
        in_range("timeouts.supersede_idle_ms", timeouts.supersede_idle_ms, 100, 3_600_000)?;
        in_range("passwords.memory_kib", u64::from(passwords.memory_kib), 64, 1_048_576)?;
        in_range("passwords.rounds", u64::from(passwords.rounds), 1, 100)?;
        in_range("people.authorisation_minutes", u64::from(self.people.authorisation_minutes), 1, 1440)?;
        in_range("people.session_minutes", u64::from(self.people.session_minutes), 1, 43_200)?;
        in_range("admin_api.requests_max", self.admin_api.requests_max as u64, 1, 1000)?;
        if self.tls.certificate_file.is_some() != self.tls.key_file.is_some() {
            let message = "certificate_file and key_file under [tls] in central.toml need each other";
            return Err(CentralError::new("tls_half_set", message, "Set both, or neither.", Exit::Config));
        }
        self.catalogue().map(drop)
    }
}

fn in_range(key: &str, value: u64, min: u64, max: u64) -> Result<(), CentralError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let message = format!("{key} = {value} in central.toml must be {min} to {max}");
    Err(CentralError::new("setting_out_of_range", message, "Correct the file. Nothing was done.", Exit::Config))
}

fn read_limited(path: &Path) -> Result<String, CentralError> {
    use std::io::Read as _;

    let unreadable = |error: std::io::Error| {
        let code =
            if error.kind() == std::io::ErrorKind::NotFound { "settings_missing" } else { "settings_unreadable" };
        let message = format!("{} cannot be read: {error}", path.display());
        CentralError::new(code, message, "`outpost-central init` writes the file; put it back.", Exit::Config)
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(SETTINGS_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > SETTINGS_BYTES_MAX {
        let message = format!("{} has more than {SETTINGS_BYTES_MAX} bytes", path.display());
        return Err(CentralError::new("settings_too_large", message, "Is it the right file?", Exit::Config));
    }
    Ok(text)
}

/// Line and column, both from 1, of a byte of a text.
fn place_of(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before.get(line_start..).map_or(0, |rest| rest.chars().count()) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_init_writes_holds_the_defaults_and_names_every_setting() {
        assert_eq!(Settings::parse(SETTINGS_TEXT), Ok(Settings::default()));
        for key in [
            "entry_log_days",
            "tombstone_days",
            "audit_rows_max",
            "set_aside_bytes_max",
            "exchanges_max",
            "heads_max",
            "connections_max",
            "news_max",
            "enrolments_max",
            "readers_max",
            "read_idle_ms",
            "head_ms",
            "write_idle_ms",
            "supersede_idle_ms",
            "memory_kib",
            "rounds",
            "authorisation_minutes",
            "session_minutes",
            "address",
            "requests_max",
            "certificate_file",
            "key_file",
            "[[table]]",
        ] {
            assert!(SETTINGS_TEXT.contains(key), "{key}");
        }
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_place() {
        let error = Settings::parse("[limits]\nexchange_max = 3\n").unwrap_err();

        assert_eq!((error.code.as_str(), error.exit), ("settings_wrong", Exit::Config));
        assert!(error.message.starts_with("line 2, column 1: "), "{}", error.message);
    }

    #[test]
    fn a_value_out_of_range_and_a_table_that_cannot_be_are_errors() {
        for (text, code) in [
            ("[limits]\nexchanges_max = 0\n", "setting_out_of_range"),
            ("[timeouts]\nread_idle_ms = 5\n", "setting_out_of_range"),
            ("[tls]\nkey_file = \"key.pem\"\n", "tls_half_set"),
            ("[[table]]\nname = \"item\"\ntype = \"central\"\n", "declared_table_clash"),
        ] {
            assert_eq!(Settings::parse(text).unwrap_err().code, code);
        }
    }
}
