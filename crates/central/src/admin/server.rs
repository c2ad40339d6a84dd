//! The server's end of the admin socket.

use std::io::{BufReader, BufWriter, Cursor, Read, Write};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request as HttpRequest, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::serve::IncomingStream;
use http_body_util::BodyExt as _;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Event, REQUEST_LINE_BYTES_MAX, VERBS_PATH};
use crate::center::Center;
use crate::error::{CentralError, Exit};
use crate::hex;
use crate::operations::{self, Actor, Request};

/// Pieces of a request's body, and lines of its answer, that wait at most.
const WAITING_MAX: usize = 8;

/// Bytes that a verb writes before they go to the asker.
const OUTPUT_BYTES: usize = 64 * 1024;

/// Routes to the verbs.
pub fn router(center: Arc<Center>) -> Router {
    Router::new().route(VERBS_PATH, post(verbs)).with_state(center)
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct SocketPeer(Option<u32>);

impl Connected<IncomingStream<'_, UnixListener>> for SocketPeer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(stream.io().peer_cred().ok().map(|credentials| credentials.uid()))
    }
}

async fn verbs(
    State(center): State<Arc<Center>>,
    ConnectInfo(SocketPeer(uid)): ConnectInfo<SocketPeer>,
    http: HttpRequest,
) -> Response {
    let (lines, receiver) = mpsc::channel::<Result<Bytes, std::convert::Infallible>>(WAITING_MAX);
    let input = spawn_body(http.into_body());
    tokio::task::spawn_blocking(move || {
        let send = |event: &Event| {
            let mut line = serde_json::to_string(event).expect("events have text keys alone");
            line.push('\n');
            // The asker is gone if this fails; what was begun goes on to its end, unless it is written for the asker.
            lines.blocking_send(Ok(Bytes::from(line))).is_ok()
        };
        // Only the folder's owner can open the socket.
        let actor = uid.map_or_else(Actor::this_user, Actor::local);
        let outcome = perform(&center, &actor, input, &send);
        let _ = send(&outcome.map_or_else(Event::Error, Event::Done));
    });
    let stream = ReceiverStream::new(receiver);
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(stream)).into_response()
}

fn perform(
    center: &Center,
    actor: &Actor,
    input: BodyReader,
    send: &dyn Fn(&Event) -> bool,
) -> Result<operations::Done, CentralError> {
    let mut input = BufReader::new(input);
    let request = read_request(&mut input)?;
    let mut output = BufWriter::with_capacity(OUTPUT_BYTES, ToAsker { send });
    let done = operations::perform(center, actor, request, &mut input, &mut output, &mut |progress| {
        let _ = send(&Event::Progress(progress));
    })?;
    output.flush().map_err(|error| CentralError::new("file_unwritten", error.to_string(), "", Exit::Failed))?;
    Ok(done)
}

/// What a verb writes goes to the asker as it is made.
struct ToAsker<'a> {
    send: &'a dyn Fn(&Event) -> bool,
}

impl Write for ToAsker<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if (self.send)(&Event::Bytes(hex::to_hex(bytes))) {
            Ok(bytes.len())
        } else {
            Err(std::io::Error::new(std::io::ErrorKind::BrokenPipe, "whoever asked is gone"))
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn read_request(input: &mut BufReader<BodyReader>) -> Result<Request, CentralError> {
    use std::io::BufRead as _;

    let malformed = |what: String| {
        CentralError::new("request_malformed", what, "Use the outpost-central of the same version.", Exit::Usage)
    };
    let mut line = Vec::new();
    let mut limited = input.take(REQUEST_LINE_BYTES_MAX as u64);
    limited.read_until(b'\n', &mut line).map_err(|error| malformed(format!("the request was cut: {error}")))?;
    serde_json::from_slice(&line).map_err(|error| malformed(format!("the request cannot be read: {error}")))
}

/// Reads a body on a thread that may block.
struct BodyReader {
    pieces: mpsc::Receiver<Result<Bytes, String>>,
    piece: Cursor<Bytes>,
}

fn spawn_body(mut body: Body) -> BodyReader {
    let (sender, pieces) = mpsc::channel(WAITING_MAX);
    tokio::spawn(async move {
        while let Some(frame) = body.frame().await {
            let piece = match frame.map(|frame| frame.into_data().ok()) {
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) => continue,
                Err(error) => Err(error.to_string()),
            };
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    });
    BodyReader { pieces, piece: Cursor::default() }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let count = self.piece.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(Ok(piece)) => self.piece = Cursor::new(piece),
                Some(Err(error)) => return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, error)),
            }
        }
    }
}
