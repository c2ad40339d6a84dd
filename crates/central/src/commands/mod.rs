//! The command line: what may be asked, and how a verb reaches a running server or opens the folder itself.

mod audit;
mod explain;
mod files;
mod forecast;
mod home_stores;
mod input;
mod people;
mod show;
mod sites;
mod stores;
mod transfers;
mod visibility;

use std::io::{BufReader, IsTerminal as _, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use protocol::edge::Signer as _;

use crate::admin;
use crate::center::Center;
use crate::clock;
use crate::error::{CentralError, Exit};
use crate::folder::{FolderPaths, check_initialised};
use crate::keys;
use crate::operations::{
    self, Actor, AuditToList, Done, LIST_LIMIT_DEFAULT, Progress, RecordsToList, Request, SetAsideKind, SetAsidePlace,
    SetAsideToList, VisibilityToList,
};
use crate::serve;
use crate::store::HomeKind;
use input::{Asked, Input};
pub(crate) use show::put;

/// How long a verb waits for a server that is just starting or stopping.
const CHANGING_MS_MAX: u64 = serve::STOP_MS_MAX + 1_000;
/// How often it looks.
const LOOK_AGAIN_MS: u64 = 20;

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed
  2  the command line is wrong; nothing was done
  3  partly done: what was refused is listed
  5  refused; nothing was done
  6  a setting or the data folder is wrong; nothing was done
  7  the disk is full, fails, or holds something damaged
  8  busy: something else has to finish first";

/// The central server that outpost agents sync with.
#[derive(Parser)]
#[command(name = "outpost-central", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Arguments {
    /// The data folder.
    #[arg(long, global = true, env = "OUTPOST_CENTRAL_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON instead of text; errors too.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a data folder: key, settings, empty store.
    Init,
    /// Run the server until SIGTERM.
    Serve {
        /// Where sites reach it: a loopback address, or any with [tls] set. Port 0 takes a free one, which is printed.
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7080")]
        listen: SocketAddr,
        /// The folder is a restored copy of another central, for tests: give it a key of its own before sites can reach it.
        #[arg(long)]
        as_copy: bool,
    },
    /// Central's key and its fingerprints, for `outpost re-pin`, and the epoch.
    Identity,
    /// Save central's secret key, put it back, or make another.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Add, list, show, change, pause and delete sites.
    #[command(subcommand)]
    Site(sites::SiteCommand),
    /// Look at refused edits, and dismiss them.
    #[command(subcommand)]
    SetAside(SetAsideCommand),
    /// Give stores to sites, move them, and list them.
    #[command(subcommand)]
    Store(stores::StoreCommand),
    /// What goes from one store to another: both halves, how far each transfer is, and what it waits for. The oldest first.
    Transfers(transfers::TransfersArguments),
    /// Make names visible in stores; a store's name and another store then see each other.
    #[command(subcommand)]
    Visibility(VisibilityCommand),
    /// Who writes central data: central, or a remote site, the primary of a mirrored system.
    #[command(subcommand)]
    Mirror(MirrorCommand),
    /// Preferences that change what central does.
    #[command(subcommand)]
    Preference(PreferenceCommand),
    /// Home stores of patients.
    #[command(subcommand)]
    Patient(home_stores::HomeCommand),
    /// Home stores of prescribers.
    #[command(subcommand)]
    Prescriber(home_stores::HomeCommand),
    /// Record central data from NDJSON lines {"table","op","id","data"}: all lines, or none if one is bad.
    ///
    /// upsert: data is the whole record, and a column that it leaves out is erased. What is there already changes nothing.
    ///
    /// put: as an upsert, but it is written also where it changes nothing.
    ///
    /// patch: data has only the columns to change; null erases one, the others stay. The record has to be there.
    ///
    /// delete: the record goes; without data.
    ///
    /// To change one column: {"table":"item","op":"patch","id":"4F2A","data":{"code":"AMX250"}}
    Import {
        /// The file, or - for standard input.
        file: PathBuf,
        /// Record the good lines and list the refused ones.
        #[arg(long = "continue")]
        continues: bool,
    },
    /// Make two records one: items, units, names that are not of stores, patients or prescribers of two sites or of central's, or locations
    /// of a store of central's. What refers to them stays as it is.
    Merge {
        /// The table's name: item, unit, name (patients too), clinician or Location.
        table: String,
        /// The id of the record that goes. If it was merged before, what it stands for goes.
        from: String,
        /// The id of the record that stays.
        into: String,
    },
    /// Records of a table in the order of their ids, one a line.
    Records(RecordsArguments),
    /// Take what a device carries out by USB stick, and write the answer to it.
    #[command(subcommand)]
    Carry(files::CarryCommand),
    /// Who may write a record, or a store's data, who receives it and why, and who has not read it yet.
    Explain {
        /// The table's name; with it alone: a store's id.
        #[arg(value_name = "TABLE|STORE")]
        table: String,
        /// The record's id.
        id: Option<String>,
    },
    /// Who may sign in to the admin API (`[admin_api]` in central.toml).
    #[command(subcommand)]
    Account(people::AccountCommand),
    /// What scripts sign in to the admin API with.
    #[command(subcommand)]
    Token(people::TokenCommand),
    /// The code that locks preferences, a store's role on central, the mirror, and names and passwords of sites.
    #[command(subcommand)]
    AuthorisationCode(people::CodeCommand),
    /// Give the authorisation code: for some minutes you may change what it locks.
    Unlock(people::CodeArgument),
    /// Lock it again before these minutes are over.
    Lock,
    /// Who changed what: commands, accounts and tokens, and what sites and central did by themselves. The newest last.
    Audit {
        /// Only what concerns this site: its name, or its id.
        #[arg(long)]
        site: Option<String>,
        /// Begin behind this number; without it: the newest.
        #[arg(long, value_name = "NUMBER")]
        after: Option<u64>,
        /// How many, at most 1000.
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Sites, what waits for each, and sizes; and how far central has healed if it was set back to an older backup.
    Status,
    /// After central was set back to an older backup: end its waiting for the sites that know what it forgot.
    #[command(subcommand)]
    Healing(HealingCommand),
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Write the key, encrypted by a passphrase, to a new file. A server may run.
    Export(KeyFileArguments),
    /// Put the key of such a file into the folder. The server must be stopped.
    Import {
        #[command(flatten)]
        file: KeyFileArguments,
        /// Give up another key that the folder has.
        #[arg(long)]
        replace: bool,
    },
    /// Make a new key where every copy of the old one is lost; each site has to `outpost re-pin`. The server must be stopped.
    New {
        /// Give up the key that the folder has.
        #[arg(long)]
        replace: bool,
    },
}

#[derive(Args)]
struct KeyFileArguments {
    /// The file.
    file: PathBuf,
    /// A file with the passphrase, or - for standard input; else the terminal is asked. A line end behind it does not count.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Subcommand)]
enum SetAsideCommand {
    /// Refused edits of a site, in the order of its journals.
    List(SetAsideArguments),
    /// One refused edit, and the record as it is beside it.
    Show {
        /// The site's name, or its id.
        site: String,
        /// JOURNAL:SEQUENCE, as the list shows it.
        place: String,
    },
    /// Record a refused edit as central's own, where central may write it: it goes over what is there. What belongs to a store at a site
    /// is asked of that site, which records it, or declines if it has changed the record since.
    Apply {
        /// The site's name, or its id.
        site: String,
        /// JOURNAL:SEQUENCE, as the list shows it.
        #[arg(required_unless_present = "all")]
        place: Option<String>,
        /// All that are there, in their order; what neither central may write nor a site can be asked for stays.
        #[arg(long, conflicts_with = "place")]
        all: bool,
    },
    /// Do not show a refused edit any more: somebody has dealt with it.
    Dismiss {
        /// The site's name, or its id.
        site: String,
        /// JOURNAL:SEQUENCE, as the list shows it.
        #[arg(required_unless_present_any = ["all", "through"])]
        place: Option<String>,
        /// All that are there. Export them first: set-aside list SITE --edits.
        #[arg(long, conflicts_with_all = ["place", "through"])]
        all: bool,
        /// The first ones, up to this place.
        #[arg(long, value_name = "PLACE", conflicts_with = "place")]
        through: Option<String>,
    },
}

#[derive(Args)]
struct SetAsideArguments {
    /// The site's name, or its id.
    site: String,
    /// Only those that came too late, that a rule refused, or that wait for their header; without it the first two.
    #[arg(long)]
    kind: Option<SetAsideKind>,
    /// Begin behind this place.
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
    /// At most so many, 1 to 1000.
    #[arg(long, default_value_t = LIST_LIMIT_DEFAULT)]
    limit: u32,
    /// Only the edits, as lines that `outpost record` takes.
    #[arg(long)]
    edits: bool,
}

#[derive(Subcommand)]
enum HealingCommand {
    /// Go on without the sites that have not reported since. What only they know may then be decided once more, otherwise; one
    /// that comes all the same heals as any other.
    End,
}

#[derive(Subcommand)]
enum MirrorCommand {
    /// Let a remote site write central data. Nobody writes it until that site has read everything.
    Enable {
        /// The site's name, or its id.
        #[arg(long)]
        primary: String,
    },
    /// Write central data on central again, once the primary has heard of it and has sent what it recorded.
    Disable {
        /// Without waiting: what the primary has not sent is refused, and set aside.
        #[arg(long)]
        at_once: bool,
    },
    /// Who writes central data.
    Show,
}

#[derive(Subcommand)]
enum PreferenceCommand {
    /// Switch a preference on or off.
    Set {
        /// The preference; `preference list` says which there are.
        name: String,
        /// Which of the two.
        value: Switch,
        /// The store's id, of a preference that each store has.
        #[arg(long)]
        store: Option<String>,
    },
    /// Every preference, and whether it is on.
    List,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Subcommand)]
enum VisibilityCommand {
    /// Make a name visible in a store.
    Add(JoinArguments),
    /// Take that back.
    Remove(JoinArguments),
    /// Which names are visible in which stores.
    List {
        /// Only of this name.
        #[arg(long)]
        name: Option<String>,
        /// Only in this store.
        #[arg(long)]
        store: Option<String>,
        /// Only those behind the one with this id, which has to count still.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// How many.
        #[arg(long)]
        limit: Option<u32>,
    },
}

#[derive(Args)]
struct JoinArguments {
    /// The name's id.
    name: String,
    /// The store's id.
    #[arg(long)]
    store: String,
}

#[derive(Args)]
struct RecordsArguments {
    /// The table's name.
    table: String,
    /// Only this record.
    #[arg(long, conflicts_with_all = ["store", "after", "limit"])]
    id: Option<String>,
    /// Only records of this store.
    #[arg(long, value_name = "ID")]
    store: Option<String>,
    /// Begin behind this id.
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// At most so many, 1 to 1000.
    #[arg(long, default_value_t = LIST_LIMIT_DEFAULT)]
    limit: u32,
    /// Those too that were merged into others.
    #[arg(long, conflicts_with = "id")]
    merged: bool,
}

impl Arguments {
    /// Whether output is for programs.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether this run is a server, which logs more.
    pub fn is_server(&self) -> bool {
        matches!(self.command, Command::Serve { .. })
    }
}

/// Carries out a command.
///
/// # Errors
/// What it ended with.
pub fn run(arguments: Arguments, output: &mut dyn Write) -> Result<Exit, CentralError> {
    let Some(data) = arguments.data else {
        let advice = "Give --data DIR, or set OUTPOST_CENTRAL_DATA.";
        return Err(CentralError::new("no_data_folder", "which data folder is not said", advice, Exit::Usage));
    };
    let paths = FolderPaths::new(data);
    let is_json = arguments.json;
    let request = match arguments.command {
        Command::Init => return initialise(&paths, is_json, output),
        Command::Serve { listen, as_copy } => {
            return serve::serve(paths, listen, as_copy, output).map(|()| Exit::Ok);
        }
        Command::Carry(command) => return files::carry(&paths, command, is_json, output),
        Command::Site(sites::SiteCommand::Export(what)) => return files::export(&paths, what, is_json, output),
        Command::Key(command) => return carry_out_key(&paths, command, is_json, output),
        Command::Identity => Request::Identity,
        Command::Site(command) => sites::request(command)?,
        Command::SetAside(SetAsideCommand::List(which)) => {
            let SetAsideArguments { site, kind, after, limit, edits } = which;
            let request = Request::SetAsideList(SetAsideToList { site, kind, after: after.map(SetAsidePlace), limit });
            let form = if edits && !is_json { show::Form::Edits } else { show::Form::of(is_json) };
            return carry_out(&paths, &request, None, form, output);
        }
        Command::SetAside(SetAsideCommand::Show { site, place }) => {
            Request::SetAsideShow { site, place: SetAsidePlace(place) }
        }
        Command::SetAside(SetAsideCommand::Apply { site, place, all: _ }) => {
            Request::SetAsideApply { site, place: place.map(SetAsidePlace) }
        }
        Command::SetAside(SetAsideCommand::Dismiss { site, place: Some(place), .. }) => {
            Request::SetAsideDismiss { site, place: SetAsidePlace(place) }
        }
        Command::SetAside(SetAsideCommand::Dismiss { site, place: None, all: _, through }) => {
            Request::SetAsideDismissAll { site, through: through.map(SetAsidePlace) }
        }
        Command::Store(command) => stores::request(command),
        Command::Mirror(MirrorCommand::Enable { primary }) => Request::MirrorEnable { primary },
        Command::Mirror(MirrorCommand::Disable { at_once }) => Request::MirrorDisable { is_at_once: at_once },
        Command::Mirror(MirrorCommand::Show) => Request::MirrorShow,
        Command::Preference(PreferenceCommand::Set { name, value, store }) => {
            Request::PreferenceSet { name, is_on: value == Switch::On, store }
        }
        Command::Preference(PreferenceCommand::List) => Request::PreferenceList,
        Command::Patient(command) => home_stores::request(HomeKind::Patient, command),
        Command::Prescriber(command) => home_stores::request(HomeKind::Prescriber, command),
        Command::Visibility(VisibilityCommand::Add(JoinArguments { name, store })) => {
            Request::VisibilityAdd { name, store }
        }
        Command::Visibility(VisibilityCommand::Remove(JoinArguments { name, store })) => {
            Request::VisibilityRemove { name, store }
        }
        Command::Visibility(VisibilityCommand::List { name, store, after, limit }) => {
            Request::VisibilityList(VisibilityToList { name, store, after, limit })
        }
        Command::Import { file, continues } => {
            check_initialised(&paths)?;
            let input = Input::open(&file, &paths)?;
            return carry_out(
                &paths,
                &Request::Import { continue_past_refused: continues },
                Some(input),
                show::Form::of(is_json),
                output,
            );
        }
        Command::Merge { table, from, into } => Request::Merge { table, from, into },
        Command::Records(RecordsArguments { table, id, store, after, limit, merged }) => {
            Request::Records(RecordsToList { table, id, store, after, limit, merged })
        }
        Command::Healing(HealingCommand::End) => Request::HealingEnd,
        Command::Explain { table, id } => Request::Explain { table, id },
        Command::Account(command) => people::account(command)?,
        Command::Token(command) => people::token(command),
        Command::AuthorisationCode(command) => people::code(command)?,
        Command::Unlock(code) => people::unlock(&code)?,
        Command::Lock => Request::Lock,
        Command::Transfers(which) => transfers::request(which),
        Command::Audit { site, after, limit } => Request::Audit(AuditToList { site, after, limit }),
        Command::Status => Request::Status,
    };
    carry_out(&paths, &request, None, show::Form::of(is_json), output)
}

fn initialise(paths: &FolderPaths, is_json: bool, output: &mut dyn Write) -> Result<Exit, CentralError> {
    let root = paths.root().display().to_string();
    let center = Center::initialise(paths)?;
    let key = center.signer().public_key().to_string();
    let value = serde_json::json!({ "data": root, "central_key": key });
    let text = if is_json { format!("{value}\n") } else { format!("made {root}\ncentral's key is {key}\n") };
    put(output, &text)?;
    Ok(Exit::Ok)
}

fn carry_out_key(
    paths: &FolderPaths,
    command: KeyCommand,
    is_json: bool,
    output: &mut dyn Write,
) -> Result<Exit, CentralError> {
    let value = match command {
        KeyCommand::Export(KeyFileArguments { file, passphrase_file }) => {
            let passphrase = input::read_passphrase(passphrase_file.as_deref(), Asked::Twice)?;
            keys::export(paths, &file, &passphrase)?
        }
        KeyCommand::Import { file: KeyFileArguments { file, passphrase_file }, replace } => {
            let passphrase = input::read_passphrase(passphrase_file.as_deref(), Asked::Once)?;
            keys::import(paths, &file, &passphrase, replace)?
        }
        KeyCommand::New { replace } => keys::make(paths, replace)?,
    };
    put(output, &if is_json { format!("{value}\n") } else { show::facts(&value) })?;
    Ok(Exit::Ok)
}

/// Asks the running server, or else opens the folder.
fn carry_out(
    paths: &FolderPaths,
    request: &Request,
    mut input: Option<Input>,
    form: show::Form,
    output: &mut dyn Write,
) -> Result<Exit, CentralError> {
    let source = input.as_mut().map(|input| input as &mut dyn Source);
    // None of these verbs writes anything but its answer.
    let done = perform(paths, request, source, &mut std::io::sink(), form)?;
    show::done(request, &done, form, output)?;
    Ok(done.exit)
}

/// What a verb reads, from its first byte as often as it is asked for.
trait Source {
    /// All of it, and its length in bytes.
    fn rewound(&mut self) -> Result<(&mut dyn Read, u64), CentralError>;
}

/// Lets the running server carry out a verb, or else the folder itself. `written` gets what the verb writes beside its answer.
fn perform(
    paths: &FolderPaths,
    request: &Request,
    mut source: Option<&mut dyn Source>,
    written: &mut dyn Write,
    form: show::Form,
) -> Result<Done, CentralError> {
    check_initialised(paths)?;
    let mut events = |progress: Progress| {
        if form != show::Form::Json {
            show::progress(&progress, std::io::stderr().is_terminal());
        }
    };
    let give_up_ms = clock::monotonic_ms() + CHANGING_MS_MAX;
    loop {
        let input = source.as_mut().map(|source| source.rewound()).transpose()?;
        if let Some(done) = admin::ask(&paths.socket(), request, input, written, &mut events)? {
            return Ok(done);
        }
        let center = match Center::open(paths.clone()) {
            Ok(center) => center,
            // A server that starts or stops has the folder but no socket.
            Err(error) if error.code == "folder_in_use" && clock::monotonic_ms() < give_up_ms => {
                clock::pause_ms(LOOK_AGAIN_MS);
                continue;
            }
            Err(error) => return Err(error),
        };
        let actor = Actor::this_user();
        return match source {
            Some(source) => {
                let mut input = BufReader::new(source.rewound()?.0);
                operations::perform(&center, &actor, request.clone(), &mut input, written, &mut events)
            }
            None => operations::perform(&center, &actor, request.clone(), &mut std::io::empty(), written, &mut events),
        };
    }
}
