//! The few words that are said to systemd, OpenRC and runit, through their own programs.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::InitSystem;
use crate::clock::{monotonic_now, pause_ms};
use crate::durable_file::FileError;
use crate::error::AgentError;
use crate::exit::Exit;

/// The service's name for all of them.
const NAME: &str = "outpost";
/// How long runit may take to notice a new service, in milliseconds: `runsvdir` looks every five seconds.
const NOTICE_MS_MAX: u64 = 15_000;
/// Time between two looks at it, in milliseconds.
const LOOK_MS: u64 = 100;
/// How long runit waits for the agent's end, in seconds.
const STOP_S_MAX: &str = "15";
/// Longest complaint of a program that is shown, in characters.
const COMPLAINT_CHARACTERS_MAX: usize = 500;
/// Where the services lie that runit runs; the first that is there counts.
const RUNIT_FOLDERS: [&str; 3] = ["/etc/service", "/var/service", "/service"];
/// What runit keeps beside the files of a service that it runs.
const RUNIT_STATE: [&str; 2] = ["/etc/sv/outpost/log/supervise", "/etc/sv/outpost/supervise"];
/// The folders of the files, the inner one first.
const RUNIT_OWN_FOLDERS: [&str; 2] = ["/etc/sv/outpost/log", "/etc/sv/outpost"];

/// What an init system is told with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tools<'a> {
    pub(super) init: InitSystem,
    pub(super) root: Option<&'a Path>,
}

impl Tools<'_> {
    /// Files were written or removed.
    pub(super) fn files_changed(self) -> Result<(), AgentError> {
        match (self.init, self.root) {
            (InitSystem::Systemd, None) => run("systemctl", &["daemon-reload"]).map(drop),
            _ => Ok(()),
        }
    }

    pub(super) fn start(self) -> Result<(), AgentError> {
        match self.init {
            InitSystem::Systemd => {
                self.check_root()?;
                run("systemctl", &["enable", "--now", NAME]).map(drop)
            }
            InitSystem::OpenRc => {
                self.check_root()?;
                run("rc-update", &["add", NAME, "default"])?;
                run("rc-service", &[NAME, "start"]).map(drop)
            }
            InitSystem::Runit => {
                let link = self.runit_link();
                if std::fs::symlink_metadata(&link).is_err() {
                    let target = self.below("/etc/sv/outpost");
                    std::os::unix::fs::symlink(target, &link).map_err(|source| FileError::Io {
                        action: "make the link",
                        path: link.clone(),
                        source,
                    })?;
                }
                wait_until_noticed(&link)?;
                run("sv", &["start", shown(&link)?]).map(drop)
            }
        }
    }

    pub(super) fn stop(self) -> Result<(), AgentError> {
        match self.init {
            InitSystem::Systemd => {
                self.check_root()?;
                run("systemctl", &["stop", NAME]).map(drop)
            }
            InitSystem::OpenRc => {
                self.check_root()?;
                run("rc-service", &[NAME, "stop"]).map(drop)
            }
            InitSystem::Runit => {
                let link = self.runit_link();
                if is_noticed(&link) { run("sv", &["-w", STOP_S_MAX, "stop", shown(&link)?]).map(drop) } else { Ok(()) }
            }
        }
    }

    /// Whether it runs, and in the init system's own words how it is.
    pub(super) fn status(self) -> Result<(bool, String), AgentError> {
        let output = match self.init {
            InitSystem::Systemd | InitSystem::OpenRc if self.root.is_some() => {
                return Ok((false, "only looked at below another root".to_owned()));
            }
            InitSystem::Systemd => call("systemctl", &["is-active", NAME])?,
            InitSystem::OpenRc => call("rc-service", &[NAME, "status"])?,
            InitSystem::Runit => {
                let link = self.runit_link();
                if !is_noticed(&link) {
                    return Ok((false, "not started yet".to_owned()));
                }
                call("sv", &["status", shown(&link)?])?
            }
        };
        let detail = said(&output);
        let is_running = match self.init {
            // It answers 0 for a service that is down as well.
            InitSystem::Runit => detail.starts_with("run:"),
            InitSystem::Systemd | InitSystem::OpenRc => output.status.success(),
        };
        Ok((is_running, detail))
    }

    /// Stops it for good; the files go next.
    pub(super) fn end(self) -> Result<(), AgentError> {
        match (self.init, self.root) {
            (InitSystem::Systemd, None) => run("systemctl", &["disable", "--now", NAME]).map(drop),
            (InitSystem::OpenRc, None) => {
                self.stop()?;
                run("rc-update", &["del", NAME, "default"]).map(drop)
            }
            (InitSystem::Systemd | InitSystem::OpenRc, Some(_)) => Ok(()),
            (InitSystem::Runit, _) => {
                let link = self.runit_link();
                if is_noticed(&link) {
                    run("sv", &["-w", STOP_S_MAX, "force-shutdown", shown(&link)?])?;
                }
                match std::fs::remove_file(&link) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        Err(FileError::Io { action: "remove the link", path: link, source: error }.into())
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// The files are gone: takes away what the init system kept beside them.
    pub(super) fn ended(self, root: &Path) -> Result<(), AgentError> {
        if self.init == InitSystem::Runit {
            for folder in RUNIT_STATE {
                // What is not there, or is still in use by a supervisor, stays; it does no harm.
                let _ = std::fs::remove_dir_all(root.join(folder.trim_start_matches('/')));
            }
            for folder in RUNIT_OWN_FOLDERS {
                let _ = std::fs::remove_dir(root.join(folder.trim_start_matches('/')));
            }
        }
        self.files_changed()
    }

    fn check_root(self) -> Result<(), AgentError> {
        match self.root {
            None => Ok(()),
            Some(root) => Err(AgentError::new(
                "service_elsewhere",
                format!("nothing runs below {} that could be told to start or stop a service", root.display()),
                "Leave --root out on the device itself.",
                Exit::Usage,
            )),
        }
    }

    fn runit_link(self) -> PathBuf {
        let folders = RUNIT_FOLDERS.map(|folder| self.below(folder));
        let [first, ..] = &folders;
        folders.iter().find(|folder| folder.is_dir()).unwrap_or(first).join(NAME)
    }

    fn below(self, path: &str) -> PathBuf {
        self.root.unwrap_or(Path::new("/")).join(path.trim_start_matches('/'))
    }
}

/// That the user is there, and that a data folder which is there too is its own.
pub(super) fn check_user(user: &str, data_folder: &Path) -> Result<(), AgentError> {
    let output = call("id", &["-u", user])?;
    let id: Option<u32> =
        String::from_utf8_lossy(&output.stdout).trim().parse().ok().filter(|_| output.status.success());
    let Some(id) = id else {
        return Err(AgentError::new(
            "service_user_missing",
            format!("there is no user {user:?} for the service to run as"),
            format!(
                "Make it: useradd --system --user-group --home-dir {} --shell /usr/sbin/nologin {user}; or name another with \
                 --user.",
                data_folder.display()
            ),
            Exit::Config,
        ));
    };
    match std::fs::metadata(data_folder) {
        Ok(metadata) if metadata.uid() != id => Err(AgentError::new(
            "service_folder_owner",
            format!("{} belongs to another user than {user}, which the service runs as", data_folder.display()),
            format!("Give it away: chown -R {user}: {}; or name its user with --user.", data_folder.display()),
            Exit::Config,
        )),
        // One that is not there is made at the start.
        _ => Ok(()),
    }
}

/// Whether runit has taken the service up.
fn is_noticed(link: &Path) -> bool {
    link.join("supervise/ok").exists()
        && shown(link).is_ok_and(|link| call("sv", &["status", link]).is_ok_and(|output| is_up(&output)))
}

/// `sv` fails where no supervisor answers.
fn is_up(output: &Output) -> bool {
    !said(output).starts_with("fail:") && !said(output).starts_with("warning:")
}

fn wait_until_noticed(link: &Path) -> Result<(), AgentError> {
    let deadline = monotonic_now().plus(NOTICE_MS_MAX);
    while !is_noticed(link) {
        if monotonic_now() >= deadline {
            return Err(AgentError::new(
                "service_not_noticed",
                format!("runit has not taken up {} within {} s", link.display(), NOTICE_MS_MAX / 1000),
                "Check that runsvdir runs on that folder.",
                Exit::Failed,
            ));
        }
        pause_ms(LOOK_MS);
    }
    Ok(())
}

fn shown(path: &Path) -> Result<&str, AgentError> {
    path.to_str().ok_or_else(|| {
        AgentError::new("service_path_unsafe", format!("{} is not UTF-8", path.display()), "", Exit::Config)
    })
}

/// Runs a program that must end well.
fn run(program: &str, arguments: &[&str]) -> Result<Output, AgentError> {
    let output = call(program, arguments)?;
    if output.status.success() {
        return Ok(output);
    }
    Err(AgentError::new(
        "service_tool_failed",
        format!("`{program} {}` failed ({}): {}", arguments.join(" "), output.status, complaint(&output)),
        "Run it by hand as root to see more. What was written is written.",
        Exit::Failed,
    ))
}

fn call(program: &str, arguments: &[&str]) -> Result<Output, AgentError> {
    Command::new(program).args(arguments).stdin(std::process::Stdio::null()).output().map_err(|error| {
        AgentError::new(
            "service_tool_missing",
            format!("`{program}` cannot be run: {error}"),
            "Check that this device runs what --manager names, and that its programs are in PATH.",
            Exit::Config,
        )
    })
}

/// What a program said that failed, in one line.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(if output.stderr.is_empty() { &output.stdout } else { &output.stderr });
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").chars().take(COMPLAINT_CHARACTERS_MAX).collect()
}

/// The first line of what a program said.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(if output.stdout.is_empty() { &output.stderr } else { &output.stdout });
    text.lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_quoted_and_one_that_is_not_there_is_named() {
        let failed = run("sh", &["-c", "echo told; echo first >&2; echo; echo second >&2; exit 3"]).unwrap_err();
        let absent = run("outpost-no-such-program", &[]).unwrap_err();

        assert_eq!(failed.code, "service_tool_failed");
        assert!(failed.message.ends_with("(exit status: 3): first; second"), "{}", failed.message);
        assert_eq!(absent.code, "service_tool_missing");
    }

    #[test]
    fn the_user_of_a_service_has_to_be_there_and_to_own_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let ours = std::fs::metadata(folder.path()).unwrap().uid();
        let name = said(&call("id", &["-un"]).unwrap());

        assert_eq!(check_user("no-such-user-here", folder.path()).unwrap_err().code, "service_user_missing");
        assert_eq!(check_user(&name, folder.path()), Ok(()));
        assert_eq!(check_user(&name, &folder.path().join("absent")), Ok(()));
        if ours == 0 {
            std::os::unix::fs::chown(folder.path(), Some(12_345), None).unwrap();
            assert_eq!(check_user(&name, folder.path()).unwrap_err().code, "service_folder_owner");
        }
    }

    #[test]
    fn runit_takes_the_first_of_its_folders_that_is_there() {
        let root = tempfile::tempdir().unwrap();
        let tools = Tools { init: InitSystem::Runit, root: Some(root.path()) };
        assert_eq!(tools.runit_link(), root.path().join("etc/service/outpost"));

        std::fs::create_dir_all(root.path().join("var/service")).unwrap();

        assert_eq!(tools.runit_link(), root.path().join("var/service/outpost"));
    }
}
