//! The files of a service, made from the templates in `src/service/units/`.

use std::path::{Path, PathBuf};

use super::InitSystem;
use crate::config::CONFIG_FILE;
use crate::error::AgentError;
use crate::exit::Exit;

const SYSTEMD: &str = include_str!("../units/outpost.service");
const OPENRC: &str = include_str!("../units/outpost.openrc");
const RUNIT_RUN: &str = include_str!("../units/runit-run");
const RUNIT_FINISH: &str = include_str!("../units/runit-finish");
const RUNIT_LOG_RUN: &str = include_str!("../units/runit-log-run");

/// What systemd makes and keeps for services.
const STATE_FOLDER: &str = "/var/lib";
/// What `ProtectHome` and `PrivateTmp` of the systemd unit hide.
const HIDDEN_FOLDERS: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];
/// Longest user's name, in bytes: Linux takes no longer one.
const USER_BYTES_MAX: usize = 32;

/// What the files of a service say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    /// For whom.
    pub(super) init: InitSystem,
    /// The program, as the device will find it.
    pub(super) program: PathBuf,
    /// The user that it runs as.
    pub(super) user: String,
    /// The settings file; it is named where it is not the usual one.
    pub(super) config_file: Option<PathBuf>,
    /// The data folder.
    pub(super) data_folder: PathBuf,
    /// Whether the command line is to name it: else the settings file does, or it is the usual one.
    pub(super) is_folder_named: bool,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFile {
    /// Where it belongs, from `/`.
    pub path: PathBuf,
    /// Its mode: nothing in it is secret.
    pub mode: u32,
    /// What it says, without the line of its checksum.
    pub text: String,
}

impl UnitFile {
    /// Where it lies below another root.
    pub fn below(&self, root: &Path) -> PathBuf {
        root.join(self.path.strip_prefix("/").unwrap_or(&self.path))
    }
}

impl Unit {
    /// The files.
    ///
    /// # Errors
    /// `service_path_unsafe`, `service_user_unsafe`: something in them would be read as something else.
    pub(super) fn files(&self) -> Result<Vec<UnitFile>, AgentError> {
        let file = |path: &str, mode: u32, template: &str| {
            Ok::<_, AgentError>(UnitFile { path: PathBuf::from(path), mode, text: self.filled(template)? })
        };
        match self.init {
            InitSystem::Systemd => Ok(vec![file("/etc/systemd/system/outpost.service", 0o644, SYSTEMD)?]),
            InitSystem::OpenRc => Ok(vec![file("/etc/init.d/outpost", 0o755, OPENRC)?]),
            InitSystem::Runit => Ok(vec![
                file("/etc/sv/outpost/log/run", 0o755, RUNIT_LOG_RUN)?,
                file("/etc/sv/outpost/finish", 0o755, RUNIT_FINISH)?,
                file("/etc/sv/outpost/run", 0o755, RUNIT_RUN)?,
            ]),
        }
    }

    /// That the service will see its program and its files from behind its walls.
    ///
    /// # Errors
    /// `service_path_hidden`.
    pub(super) fn check_seen(&self) -> Result<(), AgentError> {
        let paths = [
            ("the program", Some(&self.program)),
            ("the settings file", self.config_file.as_ref()),
            ("the data folder", Some(&self.data_folder)),
        ];
        let is_hidden = |path: &Path| HIDDEN_FOLDERS.iter().any(|folder| path.starts_with(folder));
        for (what, path) in paths.into_iter().filter_map(|(what, path)| Some((what, path?))) {
            if self.init == InitSystem::Systemd && is_hidden(path) {
                return Err(AgentError::new(
                    "service_path_hidden",
                    format!(
                        "{what} {} is where the service sees nothing: {}",
                        path.display(),
                        HIDDEN_FOLDERS.join(", ")
                    ),
                    "Put it elsewhere: programs into /usr/local/bin, settings into /etc/outpost, data into /var/lib/outpost.",
                    Exit::Config,
                ));
            }
        }
        Ok(())
    }

    fn filled(&self, template: &str) -> Result<String, AgentError> {
        let program = checked("the program", &self.program)?;
        let data = checked("the data folder", &self.data_folder)?;
        let mut arguments = String::new();
        if let Some(file) = self.config_file.as_deref().filter(|file| *file != Path::new(CONFIG_FILE)) {
            arguments = format!("{arguments} --config {}", checked("the settings file", file)?);
        }
        if self.is_folder_named {
            arguments = format!("{arguments} --data {data}");
        }
        Ok(template
            .replace("@PROGRAM@", program)
            .replace("@ARGUMENTS@", &arguments)
            .replace("@USER@", checked_user(&self.user)?)
            .replace("@FOLDER@", &folder_lines(&self.data_folder, data))
            .replace("@DATA@", data))
    }
}

/// systemd makes folders below `/var/lib`; another one has to be there, and is opened to the service.
fn folder_lines(folder: &Path, data: &str) -> String {
    match folder.strip_prefix(STATE_FOLDER) {
        Ok(below) if !below.as_os_str().is_empty() => {
            format!("StateDirectory={}\nStateDirectoryMode=0700", below.display())
        }
        _ => format!("ReadWritePaths={data}"),
    }
}

/// A path that means itself in a unit and in a shell.
fn checked<'a>(what: &str, path: &'a Path) -> Result<&'a str, AgentError> {
    let is_safe = |character: char| character.is_ascii_alphanumeric() || "/._+-".contains(character);
    let is_plain = |text: &&str| {
        text.starts_with('/') && text.chars().all(is_safe) && !text.split('/').any(|part| part == "." || part == "..")
    };
    path.to_str().filter(is_plain).ok_or_else(|| {
        AgentError::new(
            "service_path_unsafe",
            format!("{what} {} cannot stand in the files of a service", path.display()),
            "Use a path from / on, of letters, digits and . _ + - alone.",
            Exit::Config,
        )
    })
}

fn checked_user(user: &str) -> Result<&str, AgentError> {
    let is_safe =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || "_-".contains(character);
    let begins_well = user.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    if begins_well && user.len() <= USER_BYTES_MAX && user.chars().all(is_safe) {
        return Ok(user);
    }
    Err(AgentError::new(
        "service_user_unsafe",
        format!("the user {user:?} cannot stand in the files of a service"),
        format!("Use a name of small letters, digits, _ and -, of at most {USER_BYTES_MAX} bytes."),
        Exit::Usage,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(init: InitSystem) -> Unit {
        Unit {
            init,
            program: PathBuf::from("/usr/bin/outpost"),
            user: "outpost".to_owned(),
            config_file: Some(PathBuf::from(CONFIG_FILE)),
            data_folder: PathBuf::from("/var/lib/outpost"),
            is_folder_named: false,
        }
    }

    #[test]
    fn nothing_of_the_templates_is_left_open() {
        for init in InitSystem::ALL {
            for file in unit(init).files().unwrap() {
                assert!(!file.text.contains('@') || file.text.contains("@system-service"), "{}", file.path.display());
                assert!(
                    !file.text.contains("@PROGRAM") && !file.text.contains("@USER") && !file.text.contains("@DATA")
                );
                assert!(file.path.is_absolute());
                assert_eq!(file.mode & 0o022, 0, "others may not write it");
            }
        }
    }

    #[test]
    fn what_is_usual_is_not_said_and_what_is_not_usual_is() {
        let usual = unit(InitSystem::Systemd).files().unwrap().remove(0).text;
        let other = Unit {
            config_file: Some(PathBuf::from("/srv/agent.toml")),
            data_folder: PathBuf::from("/srv/outpost"),
            is_folder_named: true,
            ..unit(InitSystem::Systemd)
        };
        let other = other.files().unwrap().remove(0).text;
        let below = Unit { data_folder: PathBuf::from("/var/lib/clinics/seven"), ..unit(InitSystem::Systemd) };
        let below = below.files().unwrap().remove(0).text;

        assert!(usual.contains("\nExecStart=/usr/bin/outpost run\n"));
        assert!(usual.contains("\nStateDirectory=outpost\nStateDirectoryMode=0700\n"));
        assert!(other.contains("\nExecStart=/usr/bin/outpost run --config /srv/agent.toml --data /srv/outpost\n"));
        assert!(other.contains("\nReadWritePaths=/srv/outpost\n") && !other.contains("\nStateDirectory"));
        assert!(below.contains("\nStateDirectory=clinics/seven\n") && below.contains("/outpost run\n"));
    }

    #[test]
    fn what_the_walls_hide_is_refused_before_the_service_fails_by_it() {
        let hidden = |unit: Unit| unit.check_seen().map_err(|error| error.code);
        let code = || Err("service_path_hidden".to_owned());

        assert_eq!(hidden(unit(InitSystem::Systemd)), Ok(()));
        for init in InitSystem::ALL {
            let expected = if init == InitSystem::Systemd { code() } else { Ok(()) };
            assert_eq!(hidden(Unit { program: PathBuf::from("/home/me/outpost"), ..unit(init) }), expected);
        }
        assert_eq!(hidden(Unit { data_folder: PathBuf::from("/tmp/data"), ..unit(InitSystem::Systemd) }), code());
        let settings = Some(PathBuf::from("/root/agent.toml"));
        assert_eq!(hidden(Unit { config_file: settings, ..unit(InitSystem::Systemd) }), code());
        assert_eq!(hidden(Unit { program: PathBuf::from("/homes/outpost"), ..unit(InitSystem::Systemd) }), Ok(()));
    }

    #[test]
    fn the_network_is_wanted_and_never_required() {
        let systemd = unit(InitSystem::Systemd).files().unwrap().remove(0).text;
        let openrc = unit(InitSystem::OpenRc).files().unwrap().remove(0).text;

        assert!(systemd.contains("\nWants=network-online.target\n") && !systemd.contains("Requires="));
        assert!(openrc.contains("    want net\n") && !openrc.contains("need "));
    }

    #[test]
    fn paths_and_names_that_would_be_read_otherwise_are_refused() {
        for path in
            ["bin/outpost", "/opt/my program", "/opt/%n", "/opt/$HOME", "/opt/a\nUser=root", "/opt/../x", "/a\"b"]
        {
            let unit = Unit { program: PathBuf::from(path), ..unit(InitSystem::Runit) };
            assert_eq!(unit.files().unwrap_err().code, "service_path_unsafe", "{path}");
        }
        for user in ["", "a b", "root;", "-x", "Outpost", &"x".repeat(33)] {
            let unit = Unit { user: user.to_owned(), ..unit(InitSystem::Runit) };
            assert_eq!(unit.files().unwrap_err().code, "service_user_unsafe", "{user}");
        }
    }
}
