//! What can be wrong with the settings, and where.

use std::fmt;
use std::path::PathBuf;

use domain::catalogue::CatalogueError;
use protocol::schedule::WindowError;

use crate::error::Explained;
use crate::exit::Exit;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a file; lines and columns count from 1, columns in characters.
    File {
        /// The file.
        path: PathBuf,
        /// Its line.
        line: usize,
        /// Its column.
        column: usize,
    },
    /// In an environment variable.
    Variable(String),
    /// On the command line.
    CommandLine,
    /// Nowhere: it is the default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(formatter, "{}, line {line}, column {column}", path.display()),
            Self::Variable(name) => write!(formatter, "environment variable {name}"),
            Self::CommandLine => formatter.write_str("command line"),
            Self::Default => formatter.write_str("default"),
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// The file cannot be read.
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is too large to be a configuration.
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Limit, in bytes.
        limit: u64,
    },
    /// The file is no TOML.
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser said.
        message: String,
    },
    /// A key or a variable that does not exist.
    UnknownKey {
        /// Where.
        origin: Origin,
        /// As written.
        key: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// A value of another type than the setting's.
    Type {
        /// Where.
        origin: Origin,
        /// The setting.
        key: String,
        /// What was found.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A number outside its limits.
    Range {
        /// Where.
        origin: Origin,
        /// The setting.
        key: String,
        /// What was found.
        value: String,
        /// Lowest allowed.
        least: u64,
        /// Highest allowed.
        most: u64,
    },
    /// A word that is none of the choices.
    Choice {
        /// Where.
        origin: Origin,
        /// The setting.
        key: String,
        /// What was found.
        value: String,
        /// What is allowed.
        choices: String,
    },
    /// A text that is empty, too long or holds control characters.
    Text {
        /// Where.
        origin: Origin,
        /// The setting.
        key: String,
        /// What was found, in bytes.
        bytes: usize,
        /// Limit, in bytes.
        limit: usize,
    },
    /// The address of central cannot be used.
    CentralUrl {
        /// Where.
        origin: Origin,
        /// As written, without a name and password.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A list of more than it may have.
    TooMany {
        /// Where.
        origin: Origin,
        /// Of what.
        key: String,
        /// The most.
        limit: usize,
    },
    /// A window of the schedule that is none.
    Window {
        /// Where.
        origin: Origin,
        /// As written.
        value: String,
        /// What is wrong with it.
        problem: WindowError,
    },
    /// The address of the proxy cannot be used. It may hold a password, so it is not kept.
    Proxy {
        /// Where.
        origin: Origin,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The address that the agent shall listen at cannot be used.
    Listen {
        /// Where.
        origin: Origin,
        /// As written.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// What should be a name server and is no address.
    NameServer {
        /// Where.
        origin: Origin,
        /// As written.
        value: String,
    },
    /// A setting of the listener for machines of the local network cannot be used.
    Clients {
        /// Where.
        origin: Origin,
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two settings that do not go together.
    Order {
        /// The one that must not be larger.
        smaller: &'static str,
        /// Its value.
        smaller_value: u64,
        /// The other one.
        larger: &'static str,
        /// Its value.
        larger_value: u64,
    },
    /// A declared table that cannot be used.
    Table(CatalogueError),
}

impl Explained for ConfigError {
    fn code(&self) -> &str {
        match self {
            Self::Read { .. } => "config_unreadable",
            Self::TooLarge { .. } => "config_too_large",
            Self::Syntax { .. } => "config_syntax",
            Self::UnknownKey { .. } => "config_unknown_key",
            Self::Type { .. } => "config_type",
            Self::Range { .. } => "config_range",
            Self::Choice { .. } => "config_choice",
            Self::Text { .. } => "config_text",
            Self::CentralUrl { .. } => "config_central_url",
            Self::Proxy { .. } => "config_proxy",
            Self::TooMany { .. } => "config_too_many",
            Self::Window { .. } => "config_window",
            Self::Listen { .. } => "config_listen",
            Self::NameServer { .. } => "config_name_server",
            Self::Clients { .. } => "config_clients",
            Self::Order { .. } => "config_order",
            Self::Table(error) => error.code(),
        }
    }

    fn advice(&self) -> &str {
        match self {
            Self::Read { .. } => "Check the path and who may read it, or name another file with --config.",
            Self::TooLarge { .. } => "Check that --config names the configuration and no other file.",
            Self::CentralUrl { .. } => {
                "Write https://HOST, with a port and a path if central has them. Plain http is for 127.0.0.1 and localhost only."
            }
            Self::Proxy { .. } => {
                "Write http://HOST:PORT, socks5://HOST:PORT or socks5h://HOST:PORT, with NAME:PASSWORD@ before HOST if the proxy \
                 asks for them, or \"environment\"."
            }
            Self::Listen { .. } => {
                "Write \"127.0.0.1:PORT\" or \"[::1]:PORT\", or nothing to be reached by the socket alone. For other machines, encrypted, \
                 there is listen under [clients]."
            }
            Self::Clients { .. } => {
                "Write listen = \"192.168.1.7:8443\" with this machine's own address, and names = [\"server.example.org\"] if it is found \
                 by names; agent.toml.example explains the rest."
            }
            Self::NameServer { .. } => {
                "Write its address, as in \"192.0.2.53\", with a port if it has another than 53: \"192.0.2.53:5353\", \
                 \"[2001:db8::53]:5353\"."
            }
            Self::Syntax { .. } | Self::UnknownKey { .. } | Self::Type { .. } | Self::Choice { .. } => {
                "agent.toml.example explains each setting."
            }
            Self::Window { .. } => {
                "Write \"22:00-05:00\", in local time, or with the days on which it begins: \"mon-fri 22:00-05:00\"."
            }
            Self::Range { .. } | Self::Text { .. } | Self::TooMany { .. } | Self::Order { .. } | Self::Table(_) => {
                "Correct the setting; agent.toml.example explains its limits."
            }
        }
    }

    fn exit(&self) -> Exit {
        Exit::Config
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, reason } => {
                write!(formatter, "the configuration {} cannot be read: {reason}", path.display())
            }
            Self::TooLarge { path, limit } => {
                write!(formatter, "the configuration {} is larger than {limit} bytes", path.display())
            }
            Self::Syntax { origin, message } => write!(formatter, "{origin}: {message}"),
            Self::UnknownKey { origin, key, nearest } => {
                write!(formatter, "{origin}: there is no setting {key}")?;
                nearest.as_ref().map_or(Ok(()), |nearest| write!(formatter, "; did you mean {nearest}?"))
            }
            Self::Type { origin, key, found, expected } => {
                write!(formatter, "{origin}: {key} is {found}; it must be {expected}")
            }
            Self::Range { origin, key, value, least, most } => {
                write!(formatter, "{origin}: {key} is {value}; it must be from {least} to {most}")
            }
            Self::Choice { origin, key, value, choices } => {
                write!(formatter, "{origin}: {key} is {value:?}; it must be one of {choices}")
            }
            Self::Text { origin, key, bytes, limit } => write!(
                formatter,
                "{origin}: {key} has {bytes} bytes; it must be text of 1 to {limit} bytes without control characters"
            ),
            Self::CentralUrl { origin, value, problem } => {
                write!(formatter, "{origin}: central's address {value:?} {problem}")
            }
            Self::TooMany { origin, key, limit } => {
                write!(formatter, "{origin}: {key} has more than {limit} texts, which is the most")
            }
            Self::Window { origin, value, problem } => write!(formatter, "{origin}: the window {value:?} {problem}"),
            Self::Proxy { origin, problem } => write!(formatter, "{origin}: the proxy's address {problem}"),
            Self::Listen { origin, value, problem } => {
                write!(formatter, "{origin}: the address {value:?} to listen at {problem}")
            }
            Self::NameServer { origin, value } => {
                write!(formatter, "{origin}: the name server {value:?} is no address of one")
            }
            Self::Clients { origin, setting, problem } => write!(formatter, "{origin}: {setting} {problem}"),
            Self::Order { smaller, smaller_value, larger, larger_value } => write!(
                formatter,
                "{smaller} is {smaller_value} and must not be above {larger}, which is {larger_value}"
            ),
            Self::Table(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for ConfigError {}
