//! Connections of sites: bounded in number, and ended when neither side moves a byte for too long. That covers what the limits
//! on bodies do not see: request heads, idle kept-alive connections, and clients that stop reading.

use std::io::{self, Error, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use super::tls::{ServerTls, SiteStream};

/// See the module.
pub struct PatientListener {
    listener: TcpListener,
    places: Arc<Semaphore>,
    idle_ms: u64,
    tls: Option<Arc<ServerTls>>,
}

impl PatientListener {
    /// Wraps a listener. `idle_ms` should lie above the limits on bodies, which can tell a client what was wrong.
    /// Without `tls` nothing is encrypted.
    pub fn new(listener: TcpListener, connections_max: usize, idle_ms: u64, tls: Option<Arc<ServerTls>>) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(connections_max)), idle_ms, tls }
    }
}

impl Listener for PatientListener {
    type Io = SiteStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (SiteStream, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("the places are never closed");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Replies go out in whole sections; waiting for more to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        let stream = PatientStream::new(stream, place, self.idle_ms);
        (SiteStream::new(stream, self.tls.as_deref()), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Where a connection comes from, and what lets it be silent.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The other side's address.
    pub address: SocketAddr,
    /// Held while its request waits on purpose.
    pub patience: Patience,
}

/// While it is held its connection may be silent: whoever holds it has a limit of its own.
#[derive(Debug, Clone, Default)]
pub struct Patience(Arc<AtomicUsize>);

/// See [`Patience`].
pub struct Patient<'a>(&'a Patience);

impl Patience {
    /// Holds it until the answer is dropped.
    pub fn hold(&self) -> Patient<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Patient(self)
    }

    fn is_held(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Patient<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connected<IncomingStream<'_, PatientListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, PatientListener>) -> Self {
        Self { address: *stream.remote_addr(), patience: stream.io().patience() }
    }
}

/// A connection with an idle limit over both directions.
pub struct PatientStream {
    stream: TcpStream,
    idle: Duration,
    deadline: Pin<Box<Sleep>>,
    has_moved: bool,
    patience: Patience,
    _place: OwnedSemaphorePermit,
}

impl PatientStream {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit, idle_ms: u64) -> Self {
        let idle = Duration::from_millis(idle_ms);
        let (deadline, patience) = (Box::pin(tokio::time::sleep(idle)), Patience::default());
        Self { stream, idle, deadline, has_moved: false, patience, _place: place }
    }

    pub(super) fn patience(&self) -> Patience {
        self.patience.clone()
    }

    /// Passes on what happened: progress is noted, waiting watches the deadline. A deadline that saw progress since it was set
    /// is set once more, so a connection is ended after one to two idle times.
    fn watched<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.has_moved = true;
            return poll;
        }
        while self.deadline.as_mut().poll(context).is_ready() {
            if !std::mem::take(&mut self.has_moved) && !self.patience.is_held() {
                return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the connection was idle for too long")));
            }
            let next = self.deadline.deadline() + self.idle;
            self.deadline.as_mut().reset(next);
        }
        Poll::Pending
    }
}

impl AsyncRead for PatientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watched(context, poll)
    }
}

impl AsyncWrite for PatientStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A flush of a socket is ready at once and moves no byte.
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watched(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
