//! What can be wrong with a client, or with what is kept of them.

use std::fmt;
use std::path::PathBuf;

use super::{CLIENT_CONNECTIONS_MAX, CLIENT_NAME_BYTES_MAX, CLIENT_WAITING_MAX, CLIENTS_MAX};
use crate::durable_file::FileError;
use crate::error::Explained;
use crate::exit::Exit;

/// See the module.
#[derive(Debug)]
pub enum ClientsError {
    /// A name that cannot be one.
    Name {
        /// As given, shortened.
        name: String,
    },
    /// There is a client of that name.
    Exists {
        /// The name.
        name: String,
    },
    /// There is no client of that name.
    NotFound {
        /// The name, shortened.
        name: String,
    },
    /// As many clients as there may be.
    TooMany,
    /// No client has the token that was shown.
    WrongToken,
    /// A client has as many connections as it may.
    TooManyConnections {
        /// Its name.
        name: String,
    },
    /// A client waits with as many requests as it may.
    TooManyWaiting {
        /// Its name.
        name: String,
    },
    /// The file of clients is not what was written.
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file of clients cannot be used.
    File(FileError),
}

impl ClientsError {
    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::WrongToken => 401,
            Self::TooManyConnections { .. } | Self::TooManyWaiting { .. } => 503,
            Self::NotFound { .. } => 404,
            Self::Name { .. } => 400,
            Self::Exists { .. } | Self::TooMany => 403,
            Self::Damaged { .. } | Self::File(_) => 500,
        }
    }
}

impl From<FileError> for ClientsError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl Explained for ClientsError {
    fn code(&self) -> &str {
        match self {
            Self::Name { .. } => "client_name",
            Self::Exists { .. } => "client_exists",
            Self::NotFound { .. } => "client_not_found",
            Self::TooMany => "too_many_clients",
            Self::WrongToken => "token_wrong",
            Self::TooManyConnections { .. } => "too_many_connections",
            Self::TooManyWaiting { .. } => "too_many_waiting",
            Self::Damaged { .. } => "clients_damaged",
            Self::File(error) => error.code(),
        }
    }

    fn advice(&self) -> &str {
        match self {
            Self::Name { .. } => "Name the machine or the program, and no person: the name stands in the log.",
            Self::Exists { .. } => "Use another name, or revoke that client first.",
            Self::NotFound { .. } => "`outpost client list` names them.",
            Self::TooMany => {
                "Revoke one that is not used any more; `outpost client list` shows when each was last here."
            }
            Self::WrongToken => "Ask whoever looks after the agent for a token: `outpost client add NAME` makes one.",
            Self::TooManyConnections { .. } | Self::TooManyWaiting { .. } => {
                "Close some of them, or repeat the request in a few seconds."
            }
            Self::Damaged { .. } => "Move the file away, start the agent again, and add the clients anew.",
            Self::File(error) => error.advice(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Name { .. } => Exit::Usage,
            Self::Exists { .. } | Self::NotFound { .. } | Self::TooMany | Self::WrongToken => Exit::Refused,
            Self::TooManyConnections { .. } | Self::TooManyWaiting { .. } => Exit::Busy,
            Self::Damaged { .. } => Exit::Disk,
            Self::File(error) => error.exit(),
        }
    }
}

impl fmt::Display for ClientsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name } => write!(
                formatter,
                "{name:?} cannot be the name of a client; it has 1 to {CLIENT_NAME_BYTES_MAX} letters, digits, dots, dashes and \
                 underscores"
            ),
            Self::Exists { name } => write!(formatter, "there is a client {name} already"),
            Self::NotFound { name } => write!(formatter, "there is no client {name:?}"),
            Self::TooMany => write!(formatter, "there are {CLIENTS_MAX} clients, which is the most"),
            Self::WrongToken => formatter.write_str("the token is not one of a client of this agent"),
            Self::TooManyConnections { name } => write!(
                formatter,
                "the client {name} has {CLIENT_CONNECTIONS_MAX} connections open, which is the most at once"
            ),
            Self::TooManyWaiting { name } => {
                write!(formatter, "{CLIENT_WAITING_MAX} requests of the client {name} wait, which is the most at once")
            }
            Self::Damaged { path } => write!(formatter, "{} does not hold what was written to it", path.display()),
            Self::File(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for ClientsError {}
