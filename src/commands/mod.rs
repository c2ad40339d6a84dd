//! The verbs of the command line: each builds a request, takes it to whoever holds the data folder, and prints what comes back.
//! The only part of the agent that prints.

mod bugreport;
mod client;
mod config;
mod diagnose;
mod door;
mod examine;
mod files;
mod get;
mod list;
mod log;
mod next_number;
mod page;
mod pause;
mod progress;
mod queue;
mod record;
mod recover;
mod run;
mod screen;
mod service;
mod set_aside;
mod set_aside_dismiss;
mod set_aside_export;
mod site;
mod status;
mod status_schedule;
mod status_watch;
mod sync;
#[cfg(test)]
mod testing;
mod verify;
mod wait;
mod wording;

use std::path::Path;
use std::sync::Arc;

use protocol::fingerprint::Fingerprint;
use serde_json::Value;

pub use diagnose::run as print_report;
pub use screen::Screen;

use crate::clock;
use crate::command_line::{self, ByFile, Command, Recover, SetAside};
use crate::config::{Config, ShownSetting};
use crate::device::PasswordSource;
use crate::diagnosis;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::{Input, Performer};
use crate::operations::{LIST_LIMIT_MAX, Progress, Request};
use crate::service::ReadSettings;
use progress::ProgressLine;

/// The agent of this device where no daemon holds the data folder.
pub trait Home {
    /// Takes the data folder and opens it.
    ///
    /// # Errors
    /// `folder_in_use` if another program has it; else what is wrong with the folder or the settings.
    fn open(&self) -> Result<Arc<dyn Performer>, AgentError>;

    /// How a daemon reads all settings once more.
    fn settings_anew(&self) -> Box<ReadSettings>;

    /// Each setting with where it comes from.
    ///
    /// # Errors
    /// They cannot be used any more.
    fn settings_shown(&self) -> Result<Vec<ShownSetting>, AgentError>;

    /// Makes this device the one that speaks for a site. `None` leaves it to the settings. Returns
    /// `{"id","name","central","binding","binding_text"}`.
    ///
    /// # Errors
    /// Central cannot be reached, or refuses.
    fn enrol(
        &self,
        central: Option<&str>,
        name: Option<&str>,
        password: Option<&PasswordSource>,
    ) -> Result<Value, AgentError>;

    /// What [`Home::recover`] would do; changes nothing.
    ///
    /// # Errors
    /// As [`Home::open`]; `not_enrolled`.
    fn recovery_plan(&self) -> Result<Value, AgentError>;

    /// Gives up the journal of a device that was set back, and reads everything again from central.
    ///
    /// # Errors
    /// Central cannot be reached, or refuses; the disk.
    fn recover(&self, what: &Recover, events: &mut dyn FnMut(Progress)) -> Result<Value, AgentError>;

    /// Trusts the key of central that has this fingerprint. Returns `{"before","after"}`.
    ///
    /// # Errors
    /// Central cannot be reached, or shows another key.
    fn re_pin(&self, fingerprint: Fingerprint) -> Result<Value, AgentError>;

    /// Carries out what a sealed file is for. Returns what `operations` says.
    ///
    /// # Errors
    /// As [`Home::open`]; those of the file and its passphrase.
    fn by_file(&self, what: &ByFile, events: &mut dyn FnMut(Progress)) -> Result<Value, AgentError>;

    /// Writes a backup, for which the door is asked how far everything is. Returns what `operations` says.
    ///
    /// # Errors
    /// Those of the passphrase, of the file and of the door.
    fn back_up(
        &self,
        file: &Path,
        passphrase: Option<&PasswordSource>,
        door: &dyn Performer,
        events: &mut dyn FnMut(Progress),
    ) -> Result<Value, AgentError>;

    /// Asks the person at the terminal; false if they do not say yes, or if there is none.
    ///
    /// # Errors
    /// The terminal cannot be read.
    fn confirms(&self, question: &str) -> Result<bool, AgentError>;
}

/// Carries out one command.
///
/// # Errors
/// What the command says; the caller prints it and ends with its exit code.
pub fn run(command: &Command, config: &Config, home: &dyn Home, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    match command {
        Command::Enrol { central, name, password } => {
            let site = home.enrol(central.as_deref(), name.as_deref(), password.as_ref())?;
            screen.result(&site, |site| {
                format!(
                    "this device speaks for site {} ({}) at {}\n{}\n",
                    site["id"],
                    wording::text(&site["name"]),
                    wording::text(&site["central"]),
                    wording::text(&site["binding_text"])
                )
            });
            Ok(Exit::Ok)
        }
        Command::Recover(what) => recover::run(what, home, screen),
        Command::RePin { fingerprint } => {
            let pinned = home.re_pin(*fingerprint)?;
            screen.result(&pinned, |pinned| {
                let (before, after) = (wording::text(&pinned["before"]), wording::text(&pinned["after"]));
                if before == after {
                    format!("central's key {after} was trusted already\n")
                } else {
                    format!("this device trusts the key {after} of central, and {before} no more\n")
                }
            });
            Ok(Exit::Ok)
        }
        Command::Initialise { wait_s } => sync::run(true, *wait_s, &*door::open(config, home)?, screen),
        Command::Sync { wait_s } => sync::run(false, *wait_s, &*door::open(config, home)?, screen),
        Command::Record(what) => {
            let (request, mut input) = record::request(what, &config.data_folder)?;
            let result = perform(&*door::open(config, home)?, request, &mut input, screen)?;
            screen.result(&result, record::text);
            Ok(record::exit(&result))
        }
        Command::NextNumber(asked) => next_number::run(asked, &*door::open(config, home)?, screen),
        Command::Wait { sequence, timeout_s } => match door::daemon(config)? {
            Some(daemon) => wait::run(*sequence, *timeout_s, &*daemon, screen),
            None => wait::run(*sequence, 0, &*door::open(config, home)?, screen),
        },
        Command::Get { table, id } => {
            let request = Request::Get { table: table.clone(), id: id.to_string() };
            let result = perform(&*door::open(config, home)?, request, &mut Input::empty(), screen)?;
            screen.result(&result, get::text);
            Ok(Exit::Ok)
        }
        Command::List { table, store, is_with_merged, after, limit } => {
            let first = list::First { table, store: store.as_ref(), merged: *is_with_merged, after: after.as_ref() };
            list::run(&first, *limit, &*door::open(config, home)?, screen)
        }
        Command::Status { is_watched: true } => {
            let (daemon, folder) = (|| door::daemon(config), || door::open(config, home));
            status_watch::run(&status_watch::Sources::new(&daemon, &folder), screen)
        }
        Command::Page => page::run(config, door::daemon(config)?.is_some(), screen),
        Command::Status { is_watched: false } => {
            let result = perform(&*door::open(config, home)?, Request::Status, &mut Input::empty(), screen)?;
            let now_ms = clock::wall_now().0;
            screen.result(&result, |status| status::text(status, now_ms));
            Ok(Exit::Ok)
        }
        Command::Site => {
            let result = perform(&*door::open(config, home)?, Request::Site, &mut Input::empty(), screen)?;
            let now_ms = clock::wall_now().0;
            screen.result(&result, |site| site::text(site, now_ms));
            Ok(Exit::Ok)
        }
        Command::Log { lines, is_followed } => log::run(*lines, *is_followed, config, screen),
        Command::BugReport { file } => bugreport::run(file, config, home, screen),
        Command::Completions { shell } => {
            screen.print(&command_line::completions(*shell));
            Ok(Exit::Ok)
        }
        Command::Config(action) => Ok(config::run(*action, config, &home.settings_shown()?, screen)),
        Command::Client(action) => client::run(action, &*door::open(config, home)?, screen),
        Command::Queue { limit } => queue::run(*limit, &*door::open(config, home)?, screen),
        Command::SetAside(SetAside::List { limit }) => set_aside::list(*limit, &*door::open(config, home)?, screen),
        Command::SetAside(SetAside::Show { number }) => set_aside::show(*number, &*door::open(config, home)?, screen),
        Command::SetAside(SetAside::Retry { numbers }) => {
            set_aside::retry(numbers, &*door::open(config, home)?, screen)
        }
        Command::SetAside(SetAside::Dismiss { numbers }) => {
            set_aside_dismiss::named(numbers, &*door::open(config, home)?, screen)
        }
        Command::SetAside(SetAside::DismissAll { exported_to }) => {
            set_aside_dismiss::all(exported_to, &*door::open(config, home)?, screen)
        }
        Command::SetAside(SetAside::Export { file }) => {
            set_aside_export::run(file.as_deref(), &*door::open(config, home)?, screen)
        }
        Command::ByFile(what) => files::run(what, home, screen),
        Command::Backup { file, passphrase } => files::back_up(file, passphrase.as_ref(), config, home, screen),
        Command::Check => Ok(diagnose::run(&diagnosis::check(config), screen)),
        Command::Doctor => Ok(diagnose::run(&diagnosis::doctor(config), screen)),
        Command::Verify => examine::verify(config, screen),
        Command::VerifyWithCentral => verify::run(&*door::open(config, home)?, screen),
        Command::Salvage { out } => examine::salvage(config, out, screen),
        Command::Pause { duration_s } => pause::pause(*duration_s, &*door::open(config, home)?, screen),
        Command::Resume => pause::resume(&*door::open(config, home)?, screen),
        Command::Run => run::run(config, home),
        Command::Service { action, wanted, is_printed } => service::run(*action, wanted, *is_printed, config, screen),
        Command::Version => {
            screen.print(concat!("outpost ", env!("CARGO_PKG_VERSION"), "\n"));
            Ok(Exit::Ok)
        }
        Command::Help { verb } => {
            screen.print(&command_line::help(*verb));
            Ok(Exit::Ok)
        }
    }
}

/// Performs one request and shows its progress.
fn perform(
    performer: &dyn Performer,
    request: Request,
    input: &mut Input,
    screen: &mut Screen<'_>,
) -> Result<Value, AgentError> {
    let mut line = ProgressLine::new(screen);
    let result = performer.perform(request, input, &mut |progress| line.show(&progress));
    line.clear();
    result
}

/// Reads page after page, up to `limit` things in all: `request` makes the request for so many things behind the value of the
/// last page's `next`, and `print` takes each page and says how many things it had. Returns the `next` of the last page.
fn page_through(
    limit: u64,
    performer: &dyn Performer,
    mut request: impl FnMut(&Value, u32) -> Request,
    mut print: impl FnMut(&Value) -> Result<usize, AgentError>,
) -> Result<Value, AgentError> {
    let mut next = Value::Null;
    let mut left = limit;
    while left > 0 {
        let limit = u32::try_from(left).unwrap_or(u32::MAX).min(LIST_LIMIT_MAX);
        let page = performer.perform(request(&next, limit), &mut Input::empty(), &mut |_| {})?;
        let count = print(&page)?;
        left = left.saturating_sub(count as u64);
        next = page["next"].clone();
        if next.is_null() || count == 0 {
            break;
        }
    }
    Ok(next)
}
