//! The agent's settings: what `agent.toml` says, what the environment and the command line say above it, and defaults.
//! `agent.toml.example` explains each setting; the list of them is in `config/settings.rs`.

mod central_url;
mod clients;
mod error;
mod listen;
mod name_servers;
mod proxy;
mod settings;
mod shown;
mod source;
mod taking_up;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use domain::catalogue::{Catalogue, DeclaredTable};
use log::LevelFilter;
use protocol::few::gathered;
use protocol::schedule::{Budget, Pacing, Schedule, Window, Windows};

pub use central_url::CentralUrl;
pub use clients::ClientsSettings;
pub use error::{ConfigError, Origin};
pub use proxy::{ProxyScheme, ProxySetting, ProxyUrl};
pub use shown::{REDACTED, ShownSetting};
pub use taking_up::TakenUp;

/// Names the file to read, unless `--config` does.
pub const CONFIG_VARIABLE: &str = "OUTPOST_CONFIG";

/// The file that is read if nothing names another; it need not be there. The folder that a program is started in is never
/// looked at: what a service does must not depend on it.
pub const CONFIG_FILE: &str = "/etc/outpost/agent.toml";

/// Largest configuration, in bytes: the example has 6 kB, a declared table about 100 bytes.
pub const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// The name of the socket in the data folder, unless a setting names another.
const SOCKET_NAME: &str = "agent.sock";

/// What kind of device speaks for a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// A PC or a small server that stays in its place.
    Standalone,
    /// A tablet or a phone.
    Mobile,
}

impl DeviceKind {
    /// The word for it, in the configuration and at enrolment.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Mobile => "mobile",
        }
    }
}

/// How long to wait for the network. There is no limit on a whole exchange: a slow link may take as long as it moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For finding the address of central.
    pub resolve_ms: u64,
    /// For a connection, encryption included.
    pub connect_ms: u64,
    /// Longest time without a byte from central.
    pub read_idle_ms: u64,
    /// Longest time in which no byte can be handed over.
    pub write_idle_ms: u64,
}

/// Limits that a site may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest journal; at the limit `record` is refused.
    pub journal_bytes_max: u64,
    /// How much of what central has acknowledged is kept until a backup of central covers it (rule 5.5).
    pub acknowledged_tail_bytes_max: u64,
    /// Space on the disk that recording leaves free.
    pub disk_reserve_bytes: u64,
}

/// All settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// Where everything of this site is kept.
    pub data_folder: PathBuf,
    /// Where the daemon listens.
    pub socket_path: PathBuf,
    /// The loopback address at which it listens too, if any.
    pub local_api_listen: Option<SocketAddr>,
    /// The folder with an application's pages that it serves there, if there is one.
    pub local_api_pages: Option<PathBuf>,
    /// Where machines of the local network reach it.
    pub clients: ClientsSettings,
    /// Below which folder the hardware's serial numbers are looked for.
    pub hardware_root: PathBuf,
    /// From which level on events are logged.
    pub log_level: LevelFilter,
    /// Central's address; `enrol` may give it instead.
    pub central_url: Option<CentralUrl>,
    /// The only certificates to trust, as PEM; `None` trusts the public ones that the program carries.
    pub central_ca_file: Option<PathBuf>,
    /// The proxy that leads to central, if any; [`Config::proxy_for`] says whether it does.
    pub central_proxy: Option<ProxySetting>,
    /// The name servers that are asked for central's address, or the proxy's; with none it is asked as the system does.
    pub name_servers: Vec<SocketAddr>,
    /// The site's name, for `enrol`.
    pub site_name: Option<String>,
    /// Where `enrol` finds the site's password.
    pub password_file: Option<PathBuf>,
    /// What kind of device this is, for `enrol`.
    pub device_kind: DeviceKind,
    /// When to sync; the backoff holds with `manual` too, for those who wait.
    pub schedule: Schedule,
    /// What holds the schedule back, or brings its next sync sooner.
    pub pacing: Pacing,
    /// How long to wait for the network.
    pub timeouts: Timeouts,
    /// Limits of disk use.
    pub limits: Limits,
    /// Tables that mSupply's catalogue does not have.
    pub tables: Vec<DeclaredTable>,
}

/// Where settings come from, the strongest last: the file, the environment, the command line.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`.
    pub config_file: Option<PathBuf>,
    /// `--data`.
    pub data_folder: Option<PathBuf>,
    /// Environment variables; others than `OUTPOST_...` are passed over.
    pub variables: BTreeMap<String, OsString>,
}

impl Sources {
    /// The environment of this process, and what its command line gave.
    pub fn of_process(config_file: Option<PathBuf>, data_folder: Option<PathBuf>) -> Self {
        let variables =
            gathered(std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))));
        Self { config_file, data_folder, variables }
    }
}

impl Config {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// [`ConfigError`] says which setting is wrong and where it is written. A named file must be there; the usual one need not.
    pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
        Ok(Self::load_shown(sources)?.0)
    }

    /// As [`Config::load`], and each setting with where it comes from, without secrets.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_shown(sources: &Sources) -> Result<(Config, Vec<ShownSetting>), ConfigError> {
        let mut values = source::Values::default();
        let file = match sources.config_file.clone().or_else(|| named_in(&sources.variables)) {
            Some(path) => Some(path),
            None => Some(PathBuf::from(CONFIG_FILE)).filter(|path| path.exists()),
        };
        if let Some(path) = &file {
            values.add_file(path, &read_limited(path)?)?;
        }
        values.add_variables(&sources.variables)?;
        if let Some(folder) = &sources.data_folder {
            values.add_argument("data_folder", folder)?;
        }
        let config = Self::of_values(file, &mut values, &sources.variables)?;
        let shown = shown::shown(&values, &config);
        Ok((config, shown))
    }

    /// Checks the text of a file without its environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn of_text(path: &Path, text: &str) -> Result<Config, ConfigError> {
        let mut values = source::Values::default();
        values.add_file(path, text)?;
        Self::of_values(Some(path.to_path_buf()), &mut values, &BTreeMap::new())
    }

    /// The proxy through which a central is reached; `None` reaches it directly.
    pub fn proxy_for(&self, central: &CentralUrl) -> Option<&ProxyUrl> {
        self.central_proxy.as_ref().filter(|proxy| proxy.is_for(central)).map(|proxy| &proxy.url)
    }

    /// mSupply's tables and those that are declared here.
    ///
    /// # Errors
    /// [`ConfigError::Table`]; not for settings that [`Config::load`] gave, which tried it.
    pub fn catalogue(&self) -> Result<Catalogue, ConfigError> {
        Catalogue::embedded().with_declared(self.tables.clone()).map_err(ConfigError::Table)
    }

    fn of_values(
        file: Option<PathBuf>,
        values: &mut source::Values,
        variables: &BTreeMap<String, OsString>,
    ) -> Result<Config, ConfigError> {
        let data_folder = values.path("data_folder").expect("it has a default");
        let socket_path = values.path("socket_path").unwrap_or_else(|| data_folder.join(SOCKET_NAME));
        let central_url = match values.text("central.url") {
            None => None,
            Some(value) => Some(CentralUrl::parse(&value).map_err(|problem| ConfigError::CentralUrl {
                origin: values.origin("central.url"),
                value: central_url::without_user(&value),
                problem,
            })?),
        };
        let central_proxy =
            ProxySetting::of(values.text("central.proxy").as_deref(), values.origin("central.proxy"), variables)?;
        let config = Config {
            file,
            data_folder,
            socket_path,
            local_api_listen: listen::address(values)?,
            local_api_pages: values.path("local_api.pages"),
            clients: ClientsSettings::of(values)?,
            hardware_root: values.path("hardware_root").expect("it has a default"),
            log_level: log_level(values),
            central_url,
            central_ca_file: values.path("central.ca_file"),
            central_proxy,
            name_servers: name_servers::addresses(values)?,
            site_name: values.text("site.name"),
            password_file: values.path("site.password_file"),
            device_kind: device_kind(values),
            schedule: schedule(values)?,
            pacing: pacing(values)?,
            timeouts: Timeouts {
                resolve_ms: values.number("timeouts.resolve_ms"),
                connect_ms: values.number("timeouts.connect_ms"),
                read_idle_ms: values.number("timeouts.read_idle_ms"),
                write_idle_ms: values.number("timeouts.write_idle_ms"),
            },
            limits: Limits {
                journal_bytes_max: values.number("limits.journal_bytes_max"),
                acknowledged_tail_bytes_max: values.number("limits.acknowledged_tail_bytes_max"),
                disk_reserve_bytes: values.number("limits.disk_reserve_bytes"),
            },
            tables: std::mem::take(&mut values.tables),
        };
        in_order(values, "limits.acknowledged_tail_bytes_max", "limits.journal_bytes_max")?;
        config.catalogue()?;
        Ok(config)
    }
}

/// The names of all settings but `[[table]]`.
pub fn setting_names() -> impl Iterator<Item = &'static str> {
    settings::SETTINGS.iter().map(|setting| setting.path)
}

fn named_in(variables: &BTreeMap<String, OsString>) -> Option<PathBuf> {
    variables.get(CONFIG_VARIABLE).map(PathBuf::from)
}

fn read_limited(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |error: std::io::Error| ConfigError::Read { path: path.to_path_buf(), reason: error.to_string() };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    let bytes = file.take(CONFIG_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if bytes as u64 > CONFIG_BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.to_path_buf(), limit: CONFIG_BYTES_MAX });
    }
    Ok(text)
}

fn log_level(values: &source::Values) -> LevelFilter {
    values.text("log_level").and_then(|word| word.parse().ok()).expect("the choices are the words of log levels")
}

fn device_kind(values: &source::Values) -> DeviceKind {
    let word = values.text("site.device_kind");
    [DeviceKind::Standalone, DeviceKind::Mobile]
        .into_iter()
        .find(|kind| Some(kind.as_str()) == word.as_deref())
        .expect("the choices are the words of the kinds")
}

fn schedule(values: &source::Values) -> Result<Schedule, ConfigError> {
    in_order(values, "schedule.backoff_first_s", "schedule.backoff_max_s")?;
    let interval_ms = values.number("schedule.interval_s") * 1000;
    Ok(Schedule {
        interval_ms: if values.flag("schedule.manual") { None } else { Some(interval_ms) },
        jitter_percent: u8::try_from(values.number("schedule.jitter_percent")).expect("100 at most"),
        backoff_first_ms: values.number("schedule.backoff_first_s") * 1000,
        backoff_max_ms: values.number("schedule.backoff_max_s") * 1000,
    })
}

fn pacing(values: &source::Values) -> Result<Pacing, ConfigError> {
    let windows = values.texts("schedule.windows").into_iter().map(|value| {
        Window::parse(&value).map_err(|problem| ConfigError::Window {
            origin: values.origin("schedule.windows"),
            value,
            problem,
        })
    });
    let some = |path: &str| Some(values.number(path)).filter(|number| *number > 0);
    let is_metered = values.text("schedule.metered").as_deref() == Some("yes");
    Ok(Pacing {
        windows: Windows::new(windows.collect::<Result<Vec<_>, _>>()?),
        gap_min_ms: values.number("schedule.gap_min_s") * 1000,
        after_edit_ms: some("schedule.after_edit_s").map(|seconds| seconds * 1000),
        metered_interval_ms: is_metered.then(|| values.number("schedule.metered_interval_s") * 1000),
        waits_for_news: values.flag("schedule.wait_for_news"),
        budget: Budget {
            day_bytes_max: some("schedule.bytes_per_day_max"),
            month_bytes_max: some("schedule.bytes_per_month_max"),
        },
    })
}

fn in_order(values: &source::Values, smaller: &'static str, larger: &'static str) -> Result<(), ConfigError> {
    let (smaller_value, larger_value) = (values.number(smaller), values.number(larger));
    if smaller_value > larger_value {
        return Err(ConfigError::Order { smaller, smaller_value, larger, larger_value });
    }
    Ok(())
}
