//! Making the agent a service of the device: the files that systemd, OpenRC or runit want, written only where nobody has changed
//! them, and the few words that are said to each of them. Nothing here touches a data folder. Windows and macOS have no such
//! files here: there the agent is started by whatever the device has.

mod control;
mod files;
mod unit;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub use unit::UnitFile;

use crate::config::Config;
use crate::error::AgentError;
use crate::exit::Exit;
use control::Tools;
use files::{Change, Standing};
use unit::Unit;

/// What starts services on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitSystem {
    /// systemd.
    Systemd,
    /// OpenRC, with its supervise-daemon.
    OpenRc,
    /// runit.
    Runit,
}

impl InitSystem {
    /// All of them, in the order in which they are looked for.
    pub const ALL: [InitSystem; 3] = [Self::Systemd, Self::OpenRc, Self::Runit];

    /// The word for it on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::OpenRc => "openrc",
            Self::Runit => "runit",
        }
    }

    /// The one of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|init| init.as_str() == word)
    }

    /// Where something is that only a device that runs it has.
    const fn traces(self) -> &'static [&'static str] {
        match self {
            Self::Systemd => &["/run/systemd/system"],
            Self::OpenRc => &["/run/openrc", "/sbin/openrc-run"],
            Self::Runit => &["/run/runit", "/etc/runit/runsvdir", "/etc/service", "/var/service"],
        }
    }

    /// The one that runs this device.
    ///
    /// # Errors
    /// `no_init_system`.
    fn of_device() -> Result<Self, AgentError> {
        let is_there = |init: &Self| init.traces().iter().any(|trace| Path::new(trace).exists());
        Self::ALL.into_iter().find(is_there).ok_or_else(|| {
            AgentError::new(
                "no_init_system",
                "neither systemd nor OpenRC nor runit is found on this device",
                "Name it with --manager, or let whatever starts programs here start `outpost run`.",
                Exit::Config,
            )
        })
    }
}

/// What to do about the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceAction {
    /// Write its files.
    Install,
    /// Stop it and take its files away.
    Uninstall,
    /// Start it, now and with the device.
    Start,
    /// Stop it until it is started or the device is.
    Stop,
    /// Say how it is.
    Status,
}

/// A service that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceWanted {
    /// Instead of what the device runs.
    pub init: Option<InitSystem>,
    /// The folder that stands for `/`: of a package that is being made, or of a test.
    pub root: Option<PathBuf>,
    /// The program, instead of the one that runs.
    pub program: Option<PathBuf>,
    /// The user that the service runs as.
    pub user: Option<String>,
    /// The data folder that the command line names, and that of the service is to name too.
    pub data_folder: Option<PathBuf>,
}

/// The user of the service, unless another one is named.
pub const SERVICE_USER: &str = "outpost";
/// Where a package has the program.
const PACKAGED_PROGRAM: &str = "/usr/bin/outpost";

/// The service of one device.
#[derive(Debug)]
pub struct Service {
    unit: Unit,
    files: Vec<UnitFile>,
    /// `None` for the device itself.
    root: Option<PathBuf>,
}

impl Service {
    /// What is wanted, with what is left open filled in from the settings and the device.
    ///
    /// # Errors
    /// No init system is found; a path or name cannot stand in a file of a service.
    pub fn of(wanted: &ServiceWanted, config: &Config) -> Result<Self, AgentError> {
        let init = match (wanted.init, &wanted.root) {
            (Some(init), _) => init,
            (None, None) => InitSystem::of_device()?,
            (None, Some(_)) => {
                return Err(AgentError::new(
                    "no_init_system",
                    "with --root nobody can tell what will start services there",
                    "Add --manager systemd, openrc or runit.",
                    Exit::Usage,
                ));
            }
        };
        let program = match (&wanted.program, &wanted.root) {
            (Some(program), _) => program.clone(),
            (None, Some(_)) => PathBuf::from(PACKAGED_PROGRAM),
            (None, None) => std::env::current_exe().map_err(|error| {
                AgentError::new(
                    "program_unknown",
                    format!("the system does not say where this program is: {error}"),
                    "Name it with --program.",
                    Exit::Failed,
                )
            })?,
        };
        let unit = Unit {
            init,
            program,
            user: wanted.user.clone().unwrap_or_else(|| SERVICE_USER.to_owned()),
            config_file: config.file.as_deref().map(whole).transpose()?,
            data_folder: whole(&config.data_folder)?,
            is_folder_named: wanted.data_folder.is_some(),
        };
        let files = unit.files()?;
        Ok(Self { unit, files, root: wanted.root.clone() })
    }

    /// The files, as they would be written.
    pub fn files(&self) -> &[UnitFile] {
        &self.files
    }

    /// Writes the files: all, or none if somebody has changed one of them.
    ///
    /// # Errors
    /// `service_file_edited`; no such user; the data folder is another user's; the disk.
    pub fn install(&self) -> Result<Value, AgentError> {
        if self.root.is_none() {
            self.unit.check_seen()?;
            control::check_user(&self.unit.user, &self.unit.data_folder)?;
        }
        let changes = files::write(&self.files, &self.root(), self.unit.init)?;
        if changes.iter().any(|change| *change != Change::Unchanged) {
            self.tools().files_changed()?;
        }
        let listed: Vec<Value> = self
            .files
            .iter()
            .zip(&changes)
            .map(|(file, change)| json!({ "path": file.below(&self.root()), "change": change.as_str() }))
            .collect();
        Ok(json!({ "manager": self.unit.init.as_str(), "files": listed }))
    }

    /// Stops the service and takes its files away: all, or none if somebody has changed one. Settings and data stay.
    ///
    /// # Errors
    /// `service_file_edited`; the service does not stop; the disk.
    pub fn uninstall(&self) -> Result<Value, AgentError> {
        let root = self.root();
        files::check_removable(&self.files, &root)?;
        let is_there = self.files.iter().any(|file| files::standing(file, &root) != Standing::Absent);
        if is_there {
            self.tools().end()?;
        }
        let removed = files::remove(&self.files, &root)?;
        self.tools().ended(&root)?;
        Ok(json!({ "manager": self.unit.init.as_str(), "removed": removed }))
    }

    /// Starts it, now and whenever the device starts.
    ///
    /// # Errors
    /// `service_not_installed`, or what the init system says.
    pub fn start(&self) -> Result<Value, AgentError> {
        self.check_installed()?;
        self.tools().start()?;
        self.status()
    }

    /// Stops it, until it is started again or the device is.
    ///
    /// # Errors
    /// `service_not_installed`, or what the init system says.
    pub fn stop(&self) -> Result<Value, AgentError> {
        self.check_installed()?;
        self.tools().stop()?;
        self.status()
    }

    /// How it is.
    ///
    /// # Errors
    /// What the init system is asked with is not there.
    pub fn status(&self) -> Result<Value, AgentError> {
        let root = self.root();
        let standings: Vec<Standing> = self.files.iter().map(|file| files::standing(file, &root)).collect();
        let listed: Vec<Value> = self
            .files
            .iter()
            .zip(&standings)
            .map(|(file, standing)| json!({ "path": file.below(&root), "state": standing.as_str() }))
            .collect();
        let is_installed = standings.iter().all(|standing| *standing != Standing::Absent);
        let (is_running, detail) =
            if is_installed { self.tools().status()? } else { (false, "not installed".to_owned()) };
        Ok(json!({
            "manager": self.unit.init.as_str(),
            "installed": is_installed,
            "running": is_running,
            "detail": detail,
            "files": listed,
        }))
    }

    fn check_installed(&self) -> Result<(), AgentError> {
        let root = self.root();
        match self.files.iter().find(|file| files::standing(file, &root) == Standing::Absent) {
            None => Ok(()),
            Some(file) => Err(AgentError::new(
                "service_not_installed",
                format!("{} is not there", file.below(&root).display()),
                "Run `outpost service install` first.",
                Exit::Config,
            )),
        }
    }

    fn root(&self) -> PathBuf {
        self.root.clone().unwrap_or_else(|| PathBuf::from("/"))
    }

    fn tools(&self) -> Tools<'_> {
        Tools { init: self.unit.init, root: self.root.as_deref() }
    }
}

/// A path from `/` on: the service starts in another folder than this command.
fn whole(path: &Path) -> Result<PathBuf, AgentError> {
    std::path::absolute(path).map_err(|error| {
        AgentError::new(
            "service_path_unsafe",
            format!("{} cannot be made a whole path: {error}", path.display()),
            "Give it from / on.",
            Exit::Config,
        )
    })
}
