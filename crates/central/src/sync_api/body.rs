//! The body of a request, piece by piece: within a size, and never silent for longer than the idle limit.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use http_body_util::BodyExt as _;

use crate::clock;

/// A body that could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// More bytes than allowed.
    #[error("the request has more than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// Nothing came for too long.
    #[error("nothing of the request came for {idle_ms} ms")]
    Idle {
        /// The limit.
        idle_ms: u64,
    },
    /// It took too long in all.
    #[error("the head of the request did not come whole within {limit_ms} ms (timeouts.head_ms)")]
    Slow {
        /// The limit.
        limit_ms: u64,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Cut(String),
}

/// Status and stable code.
pub(crate) fn body_error(error: &BodyError) -> (StatusCode, &'static str) {
    match error {
        BodyError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
        BodyError::Idle { .. } => (StatusCode::REQUEST_TIMEOUT, "request_idle"),
        BodyError::Slow { .. } => (StatusCode::REQUEST_TIMEOUT, "request_slow"),
        BodyError::Cut(_) => (StatusCode::BAD_REQUEST, "truncated"),
    }
}

/// See the module.
pub(crate) struct IncomingBody {
    body: Body,
    bytes: usize,
    bytes_max: usize,
    idle_ms: u64,
    /// When it must have come, on the monotonic clock, and how long that was in all; `None` for as long as it likes.
    deadline_ms: Option<(u64, u64)>,
    is_over: bool,
}

impl IncomingBody {
    pub(crate) fn new(body: Body, bytes_max: usize, idle_ms: u64) -> Self {
        Self { body, bytes: 0, bytes_max, idle_ms, deadline_ms: None, is_over: false }
    }

    /// From now on it has this time in all.
    pub(crate) fn end_by(&mut self, limit_ms: u64) {
        self.deadline_ms = Some((clock::monotonic_ms().saturating_add(limit_ms), limit_ms));
    }

    /// It may take as long as it moves again.
    pub(super) fn take_its_time(&mut self) {
        self.deadline_ms = None;
    }

    /// The next bytes; `None` at the end that the request announced.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.is_over {
            return Ok(None);
        }
        loop {
            let (wait_ms, error) = self.patience();
            let frame = tokio::time::timeout(Duration::from_millis(wait_ms), self.body.frame()).await;
            let frame = frame.map_err(|_| self.end(error))?;
            let Some(frame) = frame else {
                self.is_over = true;
                return Ok(None);
            };
            let frame = frame.map_err(|error| self.end(BodyError::Cut(error.to_string())))?;
            let Ok(bytes) = frame.into_data() else { continue };
            self.bytes += bytes.len();
            if self.bytes > self.bytes_max {
                return Err(self.end(BodyError::TooLarge { bytes_max: self.bytes_max }));
            }
            return Ok(Some(bytes));
        }
    }

    /// All bytes.
    pub(crate) async fn whole(&mut self) -> Result<Vec<u8>, BodyError> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.next().await? {
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }

    /// Reads what is left within the size, and forgets it: a client that is still sending would not see an answer.
    pub(super) async fn drain(&mut self) {
        while let Ok(Some(_)) = self.next().await {}
    }

    /// How long to wait for the next bytes, and what is wrong if none come.
    fn patience(&self) -> (u64, BodyError) {
        let idle = (self.idle_ms, BodyError::Idle { idle_ms: self.idle_ms });
        let Some((deadline_ms, limit_ms)) = self.deadline_ms else { return idle };
        let left_ms = deadline_ms.saturating_sub(clock::monotonic_ms());
        if left_ms < self.idle_ms { (left_ms, BodyError::Slow { limit_ms }) } else { idle }
    }

    fn end(&mut self, error: BodyError) -> BodyError {
        self.is_over = true;
        error
    }
}
