//! The command line: words in, a typed command out. Nothing is looked at but the words.

mod client;
mod completions;
mod config;
mod duration;
mod error;
mod man;
mod scan;
mod service;
mod set_aside;
#[cfg(test)]
mod tests;
mod verbs;

use std::ffi::OsString;
use std::path::PathBuf;

use domain::edit::{Edit, EditOp};
use domain::number::NUMBERS_MAX;
use log::LevelFilter;
use protocol::fingerprint::Fingerprint;
use protocol::ids::RecordId;
use protocol::limits::RECORD_ID_BYTES_MAX;

pub use client::ClientAction;
pub use completions::{Shell, completions};
pub use config::ConfigAction;
pub use error::UsageError;
pub use man::man_pages;
pub use set_aside::SetAside;
pub use verbs::help;

use crate::device::PasswordSource;
use crate::operations::{self, NextNumber, WAIT_TIMEOUT_S_DEFAULT};
use crate::pacing::PAUSE_S_MAX;
use crate::service::{ServiceAction, ServiceWanted};
use scan::Scanned;

/// Most things that one command prints; who wants more pages through them.
pub const LIST_LIMIT_MAX: u64 = 1_000_000;
/// How many things are printed if nobody says.
pub const LIST_LIMIT: u64 = 100;
/// How many lines of the log are printed if nobody says.
pub const LOG_LINES: u64 = 50;
/// Most of them; more are not kept.
pub const LOG_LINES_MAX: u64 = 100_000;
/// Longest `--wait`, in seconds: a week.
pub const WAIT_S_MAX: u64 = 7 * 86_400;
/// Longest request id, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 256;

/// What stands for standard input or output in place of a file.
const DASH: &str = "-";

/// A whole command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// What every verb takes.
    pub global: Global,
    /// What to do.
    pub command: Command,
}

/// What every verb takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Global {
    /// `--config`.
    pub config_file: Option<PathBuf>,
    /// `--data`.
    pub data_folder: Option<PathBuf>,
    /// `--json`.
    pub is_json: bool,
    /// How often `-v` came, less how often `-q` came.
    pub verbosity: i8,
}

impl Global {
    /// The level to log from, given the one in the settings.
    pub fn log_level(&self, configured: LevelFilter) -> LevelFilter {
        let levels: Vec<LevelFilter> = LevelFilter::iter().collect();
        let at = levels.iter().position(|level| *level == configured).unwrap_or_default();
        let wanted = at.saturating_add_signed(isize::from(self.verbosity));
        // `-q` leaves errors, unless the settings silence even them.
        let least = usize::from(configured != LevelFilter::Off);
        levels.get(wanted.clamp(least, levels.len() - 1)).copied().unwrap_or(configured)
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Make this device the one that speaks for a site.
    Enrol {
        /// Central's address, instead of the setting; not checked yet.
        central: Option<String>,
        /// The site's name, instead of the setting.
        name: Option<String>,
        /// Where the password is, instead of the variable and the setting.
        password: Option<PasswordSource>,
    },
    /// Give up the journal of a device that was set back, and fetch everything anew.
    Recover(Recover),
    /// Trust a new key of central's.
    RePin {
        /// Of that key.
        fingerprint: Fingerprint,
    },
    /// Fetch everything anew.
    Initialise {
        /// How long to keep trying, in seconds.
        wait_s: Option<u64>,
    },
    /// Record edits.
    Record(Record),
    /// Give document numbers.
    NextNumber(NextNumber),
    /// Wait until central has an edit.
    Wait {
        /// Its sequence.
        sequence: u64,
        /// At most so long, in seconds.
        timeout_s: u32,
    },
    /// Print a record.
    Get {
        /// Its table.
        table: String,
        /// Its id.
        id: RecordId,
    },
    /// Print the records of a table.
    List {
        /// The table.
        table: String,
        /// Only those of this store.
        store: Option<RecordId>,
        /// Those too that were merged into others.
        is_with_merged: bool,
        /// Begin after this id.
        after: Option<RecordId>,
        /// At most so many.
        limit: u64,
    },
    /// Push and pull now.
    Sync {
        /// How long to keep trying, in seconds.
        wait_s: Option<u64>,
    },
    /// Let the daemon sync no more by itself.
    Pause {
        /// For so many seconds; `None` is until it is ended.
        duration_s: Option<u64>,
    },
    /// Let it sync by itself again.
    Resume,
    /// Be the daemon.
    Run,
    /// Look after the service that the agent is on this device.
    Service {
        /// What to do.
        action: ServiceAction,
        /// With which service.
        wanted: ServiceWanted,
        /// Only show what `install` would write.
        is_printed: bool,
    },
    /// Look at the settings.
    Config(ConfigAction),
    /// Print the daemon's last log lines.
    Log {
        /// So many.
        lines: u64,
        /// Go on with what comes.
        is_followed: bool,
    },
    /// Print what teaches a shell the verbs and options.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write what whoever helps wants to know.
    BugReport {
        /// To this file, a new one.
        file: PathBuf,
    },
    /// Look after the machines of the local network that work on this agent.
    Client(ClientAction),
    /// Say how the site is.
    Status {
        /// Again and again, as it changes.
        is_watched: bool,
    },
    /// Print the address of the status page.
    Page,
    /// Say who the site is.
    Site,
    /// List what has yet to go.
    Queue {
        /// At most so many.
        limit: u64,
    },
    /// Look after refused edits.
    SetAside(SetAside),
    /// Exchange files with central, or restore a backup.
    ByFile(ByFile),
    /// Write a backup.
    Backup {
        /// To this file.
        file: PathBuf,
        /// Where its passphrase is, instead of the variable.
        passphrase: Option<PasswordSource>,
    },
    /// Look at the way to central.
    Check,
    /// Look at the way to central and at this device.
    Doctor,
    /// Check the data folder.
    Verify,
    /// Compare the site with central.
    VerifyWithCentral,
    /// Write out what can be read of the data folder.
    Salvage {
        /// The folder to make.
        out: PathBuf,
    },
    /// Print the version.
    Version,
    /// Explain a verb, or everything.
    Help {
        /// The verb; one that exists.
        verb: Option<&'static str>,
    },
}

/// How to recover.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recover {
    /// The site's name, instead of the one it is enrolled with.
    pub name: Option<String>,
    /// Where the password is, instead of the variable and the setting.
    pub password: Option<PasswordSource>,
    /// Journal the exported edits anew instead of setting them aside.
    pub is_journaled_anew: bool,
    /// Nobody is asked.
    pub is_confirmed: bool,
}

/// What to do with a sealed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByFile {
    /// What.
    pub action: FileAction,
    /// The file.
    pub file: PathBuf,
    /// Where its passphrase is, instead of the variable.
    pub passphrase: Option<PasswordSource>,
}

/// What a sealed file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileAction {
    /// The edits that wait go into it.
    CarryOut,
    /// It is central's answer to them.
    CarryIn,
    /// It is what central has for this site.
    Import,
    /// What it holds of a backup is recorded anew.
    Restore {
        /// Only said, not done.
        is_dry_run: bool,
    },
}

/// What to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// One edit; `delete` is one too.
    One {
        /// The edit; its data is not looked at yet.
        edit: Edit,
        /// The application's name for the request.
        request_id: Option<String>,
    },
    /// Lines of edits.
    Lines {
        /// Where they are.
        source: LineSource,
        /// How they belong together.
        mode: LineMode,
    },
}

/// Where lines of edits come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineSource {
    /// A file.
    File(PathBuf),
    /// Standard input.
    StandardInput,
}

/// How lines of edits belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineMode {
    /// All are recorded or none, as many groups.
    AllOrNone,
    /// The good ones are recorded, the refused listed.
    GoodOnes,
    /// They are one group.
    OneGroup {
        /// The application's name for the request.
        request_id: Option<String>,
    },
}

/// Reads the words behind the program's name.
///
/// # Errors
/// [`UsageError`] for anything that is not understood whole.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Invocation, UsageError> {
    let mut scanned = Scanned::of(words)?;
    let mut global = Global {
        config_file: scanned.path("config"),
        data_folder: scanned.path("data"),
        is_json: scanned.has("json"),
        verbosity: scanned.verbosity,
    };
    let mut command = command(&mut scanned, &mut global)?;
    if let Command::Service { wanted, .. } = &mut command {
        wanted.data_folder.clone_from(&global.data_folder);
    }
    Ok(Invocation { global, command })
}

fn command(scanned: &mut Scanned, global: &mut Global) -> Result<Command, UsageError> {
    let verb = scanned.verb.map(|verb| verb.name);
    if scanned.has("help") {
        return Ok(Command::Help { verb });
    }
    if scanned.has("version") {
        return Ok(Command::Version);
    }
    let verb = verb.ok_or(UsageError::NoVerb)?;
    let command = match verb {
        "enrol" => Command::Enrol {
            central: scanned.text("central")?,
            name: scanned.text("name")?,
            password: password(scanned),
        },
        "recover" => Command::Recover(Recover {
            name: scanned.text("name")?,
            password: password(scanned),
            is_journaled_anew: scanned.has("journal-anew"),
            is_confirmed: scanned.has("yes"),
        }),
        "re-pin" => Command::RePin { fingerprint: fingerprint(scanned, verb)? },
        "initialise" => Command::Initialise { wait_s: scanned.number("wait", WAIT_S_MAX)? },
        "record" => Command::Record(record(scanned)?),
        "next-number" => Command::NextNumber(NextNumber {
            store: scanned.word(verb, "STORE KIND")?,
            kind: scanned.word(verb, "KIND behind STORE")?,
            count: scanned
                .number("count", NUMBERS_MAX.into())?
                .map_or(1, |count| u32::try_from(count).unwrap_or(NUMBERS_MAX)),
            request_id: request_id(scanned)?,
        }),
        "wait" => Command::Wait {
            sequence: scan::number("SEQUENCE", &scanned.word(verb, "SEQUENCE, as record answers it")?, u64::MAX)?,
            timeout_s: scanned
                .number("timeout", operations::WAIT_S_MAX.into())?
                .map_or(WAIT_TIMEOUT_S_DEFAULT, |timeout_s| u32::try_from(timeout_s).unwrap_or(operations::WAIT_S_MAX)),
        },
        "get" => Command::Get { table: scanned.word(verb, "TABLE")?, id: id(scanned.word(verb, "ID")?, "ID")? },
        "list" => Command::List {
            table: scanned.word(verb, "TABLE")?,
            store: scanned.text("store")?.map(|text| id(text, "store")).transpose()?,
            is_with_merged: scanned.has("merged"),
            after: scanned.text("after")?.map(|text| id(text, "after")).transpose()?,
            limit: limit(scanned)?,
        },
        "delete" => Command::Record(Record::One {
            edit: Edit {
                table: scanned.word(verb, "TABLE")?,
                op: EditOp::Delete,
                id: id(scanned.word(verb, "ID")?, "ID")?,
                data: None,
            },
            request_id: request_id(scanned)?,
        }),
        "sync" => Command::Sync { wait_s: scanned.number("wait", WAIT_S_MAX)? },
        "pause" => Command::Pause {
            duration_s: scanned.text("for")?.map(|text| duration::seconds("for", text, PAUSE_S_MAX)).transpose()?,
        },
        "resume" => Command::Resume,
        "run" => Command::Run,
        "service" => service::command(scanned)?,
        "client" => client::command(scanned)?,
        "completions" => Command::Completions { shell: shell(scanned)? },
        "bugreport" => Command::BugReport { file: PathBuf::from(scanned.argument(verb, "FILE")?) },
        "log" => Command::Log {
            lines: scanned.number("lines", LOG_LINES_MAX)?.unwrap_or(LOG_LINES),
            is_followed: scanned.has("follow"),
        },
        "config" => config::command(scanned, global)?,
        "status" => Command::Status { is_watched: scanned.has("watch") },
        "page" => Command::Page,
        "site" => Command::Site,
        "queue" => Command::Queue { limit: limit(scanned)? },
        "set-aside" => Command::SetAside(set_aside::action(scanned)?),
        "carry" => Command::ByFile(carry(scanned)?),
        "import" => Command::ByFile(by_file(FileAction::Import, "import", scanned)?),
        "backup" => Command::Backup {
            file: PathBuf::from(scanned.argument(verb, "FILE")?),
            passphrase: source(scanned, "passphrase-file"),
        },
        "restore" => {
            let is_dry_run = scanned.has("dry-run");
            Command::ByFile(by_file(FileAction::Restore { is_dry_run }, "restore", scanned)?)
        }
        "check" => Command::Check,
        "doctor" => Command::Doctor,
        "verify" if scanned.has("with-central") => Command::VerifyWithCentral,
        "verify" => Command::Verify,
        "salvage" => Command::Salvage {
            out: scanned.path("out").ok_or(UsageError::Missing { verb: "salvage", what: "--out FOLDER" })?,
        },
        "version" => Command::Version,
        "help" => Command::Help { verb: help_verb(scanned)? },
        _ => unreachable!("{verb} is in the list of verbs and not here"),
    };
    scanned.end(verb)?;
    Ok(command)
}

fn password(scanned: &mut Scanned) -> Option<PasswordSource> {
    source(scanned, "password-file")
}

fn source(scanned: &mut Scanned, option: &'static str) -> Option<PasswordSource> {
    scanned.path(option).map(|path| match file_or_dash(path) {
        Some(path) => PasswordSource::File(path),
        None => PasswordSource::StandardInput,
    })
}

/// A fingerprint, which may be written with blanks.
fn fingerprint(scanned: &mut Scanned, verb: &'static str) -> Result<Fingerprint, UsageError> {
    let mut value = scanned.word(verb, "FINGERPRINT, as `outpost-central identity` prints it")?;
    while let Some(word) = scanned.further_word() {
        value.push(' ');
        value.push_str(&word.to_string_lossy());
    }
    Fingerprint::parse(&value).ok_or(UsageError::Argument {
        name: "FINGERPRINT",
        value,
        expected: "64 hexadecimal digits, as `outpost-central identity` prints them; colons and blanks do not count"
            .to_owned(),
    })
}

fn record(scanned: &mut Scanned) -> Result<Record, UsageError> {
    let (is_put, is_patch) = (scanned.has("put"), scanned.has("patch"));
    let (is_group, goes_on) = (scanned.has("group"), scanned.has("continue"));
    let request_id = request_id(scanned)?;
    let together = |problem| Err(UsageError::Together { problem });
    if let Some(path) = scanned.path("file") {
        let source = file_or_dash(path).map_or(LineSource::StandardInput, LineSource::File);
        let mode = match (is_group, goes_on) {
            (true, true) => return together("--group and --continue exclude each other: a group is accepted whole"),
            (true, false) => LineMode::OneGroup { request_id },
            (false, _) if request_id.is_some() => {
                return together("--request-id with --file needs --group; without it each line has an id of its own");
            }
            (false, true) => LineMode::GoodOnes,
            (false, false) => LineMode::AllOrNone,
        };
        if is_put || is_patch {
            return together("--put and --patch are for one edit; lines of a file say it themselves, as \"op\"");
        }
        return Ok(Record::Lines { source, mode });
    }
    let op = match (is_put, is_patch) {
        (true, true) => return together("--put and --patch exclude each other"),
        (true, false) => EditOp::Put,
        (false, true) => EditOp::Patch,
        (false, false) => EditOp::Upsert,
    };
    if is_group || goes_on {
        return together("--group and --continue are for --file");
    }
    let table = scanned.word("record", "TABLE ID JSON, or --file FILE")?;
    let id = id(scanned.word("record", "ID and JSON behind TABLE")?, "ID")?;
    let data = Some(scanned.word("record", "JSON behind TABLE and ID")?);
    Ok(Record::One { edit: Edit { table, op, id, data }, request_id })
}

fn carry(scanned: &mut Scanned) -> Result<ByFile, UsageError> {
    let word = scanned.word("carry", "out or in")?;
    match word.as_str() {
        "out" => by_file(FileAction::CarryOut, "carry", scanned),
        "in" => by_file(FileAction::CarryIn, "carry", scanned),
        _ => Err(UsageError::Argument { name: "the word behind carry", value: word, expected: "out or in".to_owned() }),
    }
}

fn by_file(action: FileAction, verb: &'static str, scanned: &mut Scanned) -> Result<ByFile, UsageError> {
    let file = PathBuf::from(scanned.argument(verb, "FILE")?);
    Ok(ByFile { action, file, passphrase: source(scanned, "passphrase-file") })
}

fn help_verb(scanned: &mut Scanned) -> Result<Option<&'static str>, UsageError> {
    let Some(word) = scanned.further_word() else { return Ok(None) };
    let word = word.to_string_lossy();
    match verbs::Verb::of(&word) {
        Some(verb) => Ok(Some(verb.name)),
        None => Err(UsageError::UnknownVerb {
            verb: word.to_string(),
            nearest: crate::nearest::nearest(&word, verbs::VERBS.iter().map(|verb| verb.name)),
        }),
    }
}

fn shell(scanned: &mut Scanned) -> Result<Shell, UsageError> {
    let word = scanned.word("completions", "bash, zsh or fish")?;
    Shell::of_word(&word).ok_or_else(|| UsageError::Argument {
        name: "the shell",
        value: word,
        expected: Shell::ALL.map(Shell::as_str).join(", "),
    })
}

fn limit(scanned: &mut Scanned) -> Result<u64, UsageError> {
    Ok(scanned.number("limit", LIST_LIMIT_MAX)?.unwrap_or(LIST_LIMIT))
}

fn request_id(scanned: &mut Scanned) -> Result<Option<String>, UsageError> {
    match scanned.text("request-id")? {
        Some(value) if value.is_empty() || value.len() > REQUEST_ID_BYTES_MAX => Err(UsageError::Argument {
            name: "request-id",
            value,
            expected: format!("text of 1 to {REQUEST_ID_BYTES_MAX} bytes"),
        }),
        other => Ok(other),
    }
}

fn id(text: String, name: &'static str) -> Result<RecordId, UsageError> {
    RecordId::new(&text).map_err(|error| UsageError::Argument {
        name,
        value: text,
        expected: format!("a record id of 1 to {RECORD_ID_BYTES_MAX} bytes, and has {}", error.bytes),
    })
}

/// The path, unless it is the dash that stands for standard input or output.
fn file_or_dash(path: PathBuf) -> Option<PathBuf> {
    (path.as_os_str() != DASH).then_some(path)
}
