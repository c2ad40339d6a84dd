//! What the server needs of a kind of connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::access::Access;
use crate::clock::MonotonicMs;

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
    fn end_writing(&mut self) -> io::Result<()>;

    /// When what is read next has to be there, whatever small pieces come; `None` takes the idle limit alone. For connections whose reads
    /// go on by themselves until something is whole.
    ///
    /// # Errors
    /// The connection does not take it.
    fn set_deadline(&self, _deadline: Option<MonotonicMs>) -> io::Result<()> {
        Ok(())
    }

    /// Whether a short line can be written without waiting for the reader.
    fn keeps_up(&self) -> bool;

    /// The address of this machine to which it came, where that is one of its names.
    fn own_address(&self) -> Option<SocketAddr> {
        None
    }

    /// What ends it from another thread, if anything does.
    fn hang_up(&self) -> Option<TcpStream> {
        None
    }

    /// Counts a wrong token that was shown here. Returns in how many seconds the next one is looked at, if this was one too many.
    fn count_wrong_token(&self) -> Option<u64> {
        None
    }
}

/// Whether a socket takes a short line at once. What cannot be found out is found out by writing.
pub(super) fn keeps_up(socket: &impl AsFd) -> bool {
    let mut asked = [PollFd::new(socket, PollFlags::OUT)];
    poll(&mut asked, Some(&Timespec::default())) != Ok(0)
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

    /// Most connections at once; `None` for as many as each listener has.
    fn connections_max(&self) -> Option<usize> {
        None
    }

    /// What a caller has to show; `None` where the system lets in nobody but the agent's own user.
    fn access(&self) -> Option<&Access> {
        None
    }
}
