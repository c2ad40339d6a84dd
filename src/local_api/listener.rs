//! What the server needs of a kind of connection.

use std::io::{self, Read, Write};
use std::time::Duration;

use super::access::Access;

/// One connection.
pub trait Connection: Read + Write + Send {
    /// How long one read and one write may stand still.
    ///
    /// # Errors
    /// The connection does not take it.
    fn set_idle_timeout(&self, idle: Duration) -> io::Result<()>;

    /// Says that nothing more will be written.
    ///
    /// # Errors
    /// The connection is gone already.
    fn end_writing(&self) -> io::Result<()>;
}

/// Where connections come from.
pub trait Listener: Send + Sync {
    /// Waits for the next connection.
    ///
    /// # Errors
    /// What the system says; the server goes on with the next one.
    fn accept(&self) -> io::Result<Box<dyn Connection>>;

    /// What people know it by, for the log.
    fn name(&self) -> String;

    /// Nobody finds this listener any more, and a waiting [`accept`](Self::accept) returns. Called once.
    fn close(&self);

    /// What a caller has to show; `None` where the system lets in nobody but the agent's own user.
    fn access(&self) -> Option<&Access> {
        None
    }
}
