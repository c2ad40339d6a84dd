//! The list of all settings: where each is written, what it may be, and what it is if nobody says.
//! `agent.toml.example` explains them to people; a test holds the two together.

use protocol::limits as wire;
use protocol::schedule::WINDOWS_MAX;

/// One setting.
#[derive(Debug)]
pub(super) struct Setting {
    /// `section.key`, or `key` for one above all sections.
    pub(super) path: &'static str,
    /// What it may be.
    pub(super) kind: Kind,
    /// What it is if nobody says; `None` for "not set".
    pub(super) default: Option<Default>,
}

/// What a setting may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Text of 1 to so many bytes, without control characters.
    Text { bytes_max: usize },
    /// A file or folder.
    Path,
    /// `true` or `false`.
    Flag,
    /// A list of at most so many texts of 1 to so many bytes; in an environment variable they stand between semicolons.
    Texts { count_max: usize, bytes_max: usize },
    /// A whole number.
    Number { least: u64, most: u64 },
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// A value that is part of the program.
#[derive(Debug, Clone, Copy)]
pub(super) enum Default {
    Text(&'static str),
    Number(u64),
    Flag(bool),
}

/// Longest path, in bytes: `PATH_MAX` of Linux.
pub(super) const PATH_BYTES_MAX: usize = 4096;
/// Longest address of central, in bytes.
const ADDRESS_BYTES_MAX: usize = 2048;
/// Longest name of a site, in bytes. mSupply's own field holds 80 characters.
pub(super) const SITE_NAME_BYTES_MAX: usize = 256;

const MINUTE_MS: u64 = 60_000;
const DAY_S: u64 = 86_400;
const MIB: u64 = 1024 * 1024;
const TIB: u64 = 1024 * 1024 * MIB;

/// Most name servers, as many as the C library asks (`MAXNS` in resolv.h).
const NAME_SERVERS_MAX: usize = 3;
/// Longest address of a name server, in bytes: IPv6 with the number of an interface, in brackets, and a port.
const NAME_SERVER_BYTES_MAX: usize = 64;

/// Most names by which the machines of the local network find the agent.
const HOST_NAMES_MAX: usize = 8;
/// Longest of them, in bytes: that of the DNS.
const HOST_NAME_BYTES_MAX: usize = 253;
/// Longest window, in bytes: all seven days, one by one, and two times.
const WINDOW_BYTES_MAX: usize = 64;

/// The journal must hold a few groups of the largest size, or one of them could fill it for ever.
const JOURNAL_BYTES_LEAST: u64 = 16 * wire::GROUP_BYTES_MAX as u64;

pub(super) const SETTINGS: &[Setting] = &[
    Setting { path: "data_folder", kind: Kind::Path, default: Some(Default::Text("/var/lib/outpost")) },
    Setting { path: "socket_path", kind: Kind::Path, default: None },
    Setting { path: "hardware_root", kind: Kind::Path, default: Some(Default::Text("/")) },
    Setting {
        path: "log_level",
        kind: Kind::Choice(&["error", "warn", "info", "debug", "trace", "off"]),
        default: Some(Default::Text("info")),
    },
    Setting { path: "central.url", kind: Kind::Text { bytes_max: ADDRESS_BYTES_MAX }, default: None },
    Setting { path: "central.ca_file", kind: Kind::Path, default: None },
    Setting { path: "central.proxy", kind: Kind::Text { bytes_max: ADDRESS_BYTES_MAX }, default: None },
    Setting {
        path: "central.name_servers",
        kind: Kind::Texts { count_max: NAME_SERVERS_MAX, bytes_max: NAME_SERVER_BYTES_MAX },
        default: None,
    },
    Setting { path: "site.name", kind: Kind::Text { bytes_max: SITE_NAME_BYTES_MAX }, default: None },
    Setting { path: "site.password_file", kind: Kind::Path, default: None },
    Setting {
        path: "site.device_kind",
        kind: Kind::Choice(&["standalone", "mobile"]),
        default: Some(Default::Text(if cfg!(target_os = "android") { "mobile" } else { "standalone" })),
    },
    Setting { path: "local_api.listen", kind: Kind::Text { bytes_max: ADDRESS_BYTES_MAX }, default: None },
    Setting { path: "local_api.pages", kind: Kind::Path, default: None },
    Setting { path: "clients.listen", kind: Kind::Text { bytes_max: ADDRESS_BYTES_MAX }, default: None },
    Setting {
        path: "clients.names",
        kind: Kind::Texts { count_max: HOST_NAMES_MAX, bytes_max: HOST_NAME_BYTES_MAX },
        default: None,
    },
    Setting { path: "clients.certificate_file", kind: Kind::Path, default: None },
    Setting { path: "clients.key_file", kind: Kind::Path, default: None },
    Setting { path: "schedule.manual", kind: Kind::Flag, default: Some(Default::Flag(false)) },
    Setting { path: "schedule.interval_s", kind: range(1, 7 * DAY_S), default: Some(Default::Number(300)) },
    Setting { path: "schedule.jitter_percent", kind: range(0, 100), default: Some(Default::Number(10)) },
    Setting { path: "schedule.backoff_first_s", kind: range(1, DAY_S), default: Some(Default::Number(5)) },
    Setting { path: "schedule.backoff_max_s", kind: range(1, DAY_S), default: Some(Default::Number(900)) },
    Setting {
        path: "schedule.windows",
        kind: Kind::Texts { count_max: WINDOWS_MAX, bytes_max: WINDOW_BYTES_MAX },
        default: None,
    },
    Setting { path: "schedule.gap_min_s", kind: range(0, DAY_S), default: Some(Default::Number(30)) },
    Setting { path: "schedule.after_edit_s", kind: range(0, DAY_S), default: Some(Default::Number(0)) },
    Setting { path: "schedule.wait_for_news", kind: Kind::Flag, default: Some(Default::Flag(true)) },
    Setting { path: "schedule.metered", kind: Kind::Choice(&["no", "yes"]), default: Some(Default::Text("no")) },
    Setting { path: "schedule.metered_interval_s", kind: range(1, 7 * DAY_S), default: Some(Default::Number(3600)) },
    Setting { path: "schedule.bytes_per_day_max", kind: range(0, TIB), default: Some(Default::Number(0)) },
    Setting { path: "schedule.bytes_per_month_max", kind: range(0, TIB), default: Some(Default::Number(0)) },
    Setting { path: "timeouts.resolve_ms", kind: range(100, 10 * MINUTE_MS), default: Some(Default::Number(10_000)) },
    Setting { path: "timeouts.connect_ms", kind: range(100, 10 * MINUTE_MS), default: Some(Default::Number(30_000)) },
    Setting {
        path: "timeouts.read_idle_ms",
        kind: range(100, 60 * MINUTE_MS),
        default: Some(Default::Number(120_000)),
    },
    Setting {
        path: "timeouts.write_idle_ms",
        kind: range(100, 60 * MINUTE_MS),
        default: Some(Default::Number(60_000)),
    },
    Setting {
        path: "limits.journal_bytes_max",
        kind: range(JOURNAL_BYTES_LEAST, TIB),
        default: Some(Default::Number(1024 * MIB)),
    },
    Setting {
        path: "limits.acknowledged_tail_bytes_max",
        kind: range(0, TIB),
        default: Some(Default::Number(64 * MIB)),
    },
    Setting { path: "limits.disk_reserve_bytes", kind: range(MIB, TIB), default: Some(Default::Number(64 * MIB)) },
];

/// The keys of one `[[table]]`, for the nearest key of one that is not among them.
pub(super) const TABLE_KEYS: [&str; 5] = ["name", "type", "id_column", "store_column", "parent"];

/// The keys of a `[[table]]`'s parent.
pub(super) const TABLE_PARENT_KEYS: [&str; 2] = ["table", "column"];

/// The section of declared tables.
pub(super) const TABLE_SECTION: &str = "table";

/// What every environment variable of the agent begins with.
pub(super) const VARIABLE_PREFIX: &str = "OUTPOST_";

/// Variables that are no settings: read by the command line, by `enrol`, by verbs with sealed files, and by a central server on the same
/// machine.
pub(super) const OTHER_VARIABLES: [&str; 5] = [
    super::CONFIG_VARIABLE,
    crate::device::PASSWORD_VARIABLE,
    crate::passphrase::PASSPHRASE_VARIABLE,
    "OUTPOST_CENTRAL_DATA",
    "OUTPOST_CENTRAL_LOG",
];

impl Setting {
    /// The setting at a path.
    pub(super) fn of(path: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.path == path)
    }

    /// The environment variable that overrides it: `schedule.interval_s` is `OUTPOST_SCHEDULE_INTERVAL_S`.
    pub(super) fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.path.replace('.', "_").to_uppercase())
    }
}

const fn range(least: u64, most: u64) -> Kind {
    Kind::Number { least, most }
}
