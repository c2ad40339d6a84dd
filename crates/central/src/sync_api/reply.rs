//! The way of a reply to the client: first whether there is one, then its pieces, with an end that is told from a cut.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use protocol::message::Refusal;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;

/// Pieces of a reply, each a section, that wait for the client at most; whoever makes one more waits.
const PIECES_WAITING_MAX: usize = 2;

/// How a reply begins.
#[derive(Debug)]
pub(super) enum Start {
    /// Pieces follow.
    Reply,
    /// A refusal that the exchange sealed.
    Refusal {
        /// What it says.
        refusal: Refusal,
        /// The section.
        bytes: Vec<u8>,
    },
    /// An error outside the exchange.
    Error {
        /// HTTP status.
        status: StatusCode,
        /// Stable code.
        code: &'static str,
        /// A sentence for a person.
        message: String,
        /// Seconds to wait, if waiting helps.
        retry_after_s: Option<u32>,
    },
}

/// A reply that nobody takes any more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReplyError {
    /// The client is gone.
    #[error("the client is gone")]
    Gone,
    /// The client takes nothing.
    #[error("the client took nothing for {idle_ms} ms")]
    Idle {
        /// The limit.
        idle_ms: u64,
    },
}

enum Piece {
    Bytes(Vec<u8>),
    End,
}

/// The exchange's end.
pub(super) struct Reply {
    start: Option<oneshot::Sender<Start>>,
    pieces: mpsc::Sender<Piece>,
    idle_ms: u64,
}

impl Reply {
    pub(super) fn new(idle_ms: u64) -> (Self, oneshot::Receiver<Start>, Pieces) {
        let (start, started) = oneshot::channel();
        let (pieces, receiver) = mpsc::channel(PIECES_WAITING_MAX);
        (Self { start: Some(start), pieces, idle_ms }, started, Pieces { receiver, is_over: false })
    }

    /// Sends a section; the first one makes it a reply.
    pub(super) async fn send(&mut self, bytes: Vec<u8>) -> Result<(), ReplyError> {
        self.start(Start::Reply);
        self.put(Piece::Bytes(bytes)).await
    }

    /// The reply is complete.
    pub(super) async fn end(mut self) {
        self.start(Start::Reply);
        // A client that is gone does not need the end.
        let _ = self.put(Piece::End).await;
    }

    /// Refuses, or cuts the reply if it has begun.
    pub(super) fn end_with(mut self, start: Start) {
        self.start(start);
    }

    fn start(&mut self, start: Start) {
        if let Some(sender) = self.start.take() {
            // The handler is gone if the client is; the next piece will tell.
            let _ = sender.send(start);
        }
    }

    async fn put(&mut self, piece: Piece) -> Result<(), ReplyError> {
        let idle = Duration::from_millis(self.idle_ms);
        match tokio::time::timeout(idle, self.pieces.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ReplyError::Gone),
            Err(_) => Err(ReplyError::Idle { idle_ms: self.idle_ms }),
        }
    }
}

/// The client's end.
pub(super) struct Pieces {
    receiver: mpsc::Receiver<Piece>,
    is_over: bool,
}

/// The exchange went away in the middle of its reply; the connection is cut so that the client does not take it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the reply was cut")]
pub(super) struct ReplyCut;

impl Stream for Pieces {
    type Item = Result<Bytes, ReplyCut>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let Poll::Ready(piece) = self.receiver.poll_recv(context) else { return Poll::Pending };
        self.is_over = !matches!(piece, Some(Piece::Bytes(_)));
        Poll::Ready(match piece {
            Some(Piece::Bytes(bytes)) => Some(Ok(Bytes::from(bytes))),
            Some(Piece::End) => None,
            None => Some(Err(ReplyCut)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up_after_the_idle_time() {
        let (mut reply, _start, pieces) = Reply::new(20);
        for _ in 0..PIECES_WAITING_MAX {
            reply.send(vec![1]).await.unwrap();
        }

        assert_eq!(reply.send(vec![1]).await, Err(ReplyError::Idle { idle_ms: 20 }));
        drop(pieces);
        assert_eq!(reply.send(vec![1]).await, Err(ReplyError::Gone));
    }
}
