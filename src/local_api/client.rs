//! The other end of the socket: how the verbs reach a running agent.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::socket::{SocketError, connect};
use super::{HEAD_BYTES_MAX, OPTIONS_HEADER, PATH_PREFIX};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::{Input, Performer};
use crate::operations::{Progress, Request};

/// Longest line of a reply, in bytes: a list of the most records that one answer holds, of a usual size each.
const REPLY_LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A running agent, reached through its socket: one connection a request.
#[derive(Debug)]
pub struct SocketClient {
    path: PathBuf,
}

impl SocketClient {
    /// Finds the agent that listens at `path`; `None` if none does.
    ///
    /// # Errors
    /// The path is too long, or the socket may not be used.
    pub fn connect(path: &Path) -> Result<Option<Self>, SocketError> {
        Ok(connect(path)?.map(|_probe| Self { path: path.to_owned() }))
    }
}

impl Performer for SocketClient {
    fn perform(
        &self,
        request: Request,
        input: &mut Input,
        events: &mut dyn FnMut(Progress),
    ) -> Result<Value, AgentError> {
        let stream = connect(&self.path)?.ok_or_else(gone)?;
        let sent = send(&stream, &request, input);
        // An agent that refuses early answers before it has read everything; that answer says more than a broken pipe.
        let answered = receive(BufReader::new(&stream), events);
        match (sent, answered) {
            (_, Ok(result)) => result,
            (Err(SendError::Input(error)), Err(_)) => Err(crate::operations::InputError::Read(error).into()),
            (_, Err(error)) => Err(error),
        }
    }
}

enum SendError {
    Input(io::Error),
    Socket,
}

fn send(mut stream: &UnixStream, request: &Request, input: &mut Input) -> Result<(), SendError> {
    let (verb, fields) = parts(request);
    let is_record = matches!(request, Request::Record(_));
    let length = if is_record { input.length_bytes() } else { fields.len() as u64 };
    let options = if is_record { format!("{OPTIONS_HEADER}: {fields}\r\n") } else { String::new() };
    let head = format!(
        "POST {PATH_PREFIX}{verb} HTTP/1.1\r\nHost: outpost\r\n{options}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let of_socket = |_: io::Error| SendError::Socket;
    stream.write_all(head.as_bytes()).map_err(of_socket)?;
    if !is_record {
        return stream.write_all(fields.as_bytes()).map_err(of_socket);
    }
    input.rewind().map_err(SendError::Input)?;
    loop {
        let piece = input.fill_buf().map_err(SendError::Input)?;
        if piece.is_empty() {
            return Ok(());
        }
        let count = piece.len();
        stream.write_all(piece).map_err(of_socket)?;
        input.consume(count);
    }
}

/// The verb, and the other fields as JSON.
fn parts(request: &Request) -> (String, String) {
    let mut json = serde_json::to_value(request).expect("a request has only texts, numbers and booleans");
    let verb = json.as_object_mut().and_then(|fields| fields.remove("verb"));
    let verb = verb.as_ref().and_then(Value::as_str).expect("a request is an object with its verb inside").to_owned();
    (verb, json.to_string())
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Progress(Progress),
    Result(Value),
    Error(ErrorLine),
}

#[derive(Deserialize)]
struct ErrorLine {
    code: String,
    message: String,
    #[serde(default)]
    advice: String,
    exit: u8,
}

/// The inner result is the agent's answer; the outer error says that there was none.
fn receive(
    mut stream: BufReader<&UnixStream>,
    events: &mut dyn FnMut(Progress),
) -> Result<Result<Value, AgentError>, AgentError> {
    skip_head(&mut stream)?;
    loop {
        let mut bytes = Vec::new();
        (&mut stream).take(REPLY_LINE_BYTES_MAX).read_until(b'\n', &mut bytes).map_err(|_| gone())?;
        if bytes.pop() != Some(b'\n') {
            let is_cut = bytes.len() as u64 + 1 < REPLY_LINE_BYTES_MAX;
            return Err(if is_cut { gone() } else { not_understood("a line is above the limit of 64 MiB") });
        }
        match serde_json::from_slice(&bytes) {
            Ok(Line::Progress(progress)) => events(progress),
            Ok(Line::Result(value)) => return Ok(Ok(value)),
            Ok(Line::Error(ErrorLine { code, message, advice, exit })) => {
                let exit = Exit::of_code(exit).unwrap_or(Exit::Failed);
                return Ok(Err(AgentError { code, message, advice, exit }));
            }
            Err(error) => return Err(not_understood(&error.to_string())),
        }
    }
}

fn skip_head(stream: &mut BufReader<&UnixStream>) -> Result<(), AgentError> {
    let mut head = stream.take(HEAD_BYTES_MAX as u64);
    let mut is_first = true;
    loop {
        let mut line = Vec::new();
        head.read_until(b'\n', &mut line).map_err(|_| gone())?;
        match line.as_slice() {
            [] => return Err(gone()),
            b"\r\n" => return Ok(()),
            line if is_first && !line.starts_with(b"HTTP/1.") => return Err(not_understood("it is no HTTP reply")),
            _ => is_first = false,
        }
    }
}

fn gone() -> AgentError {
    AgentError::new(
        "agent_gone",
        "the running agent ended before it had answered",
        "Look at its log, then repeat; what it had recorded is recorded, and a repeated record of a file goes on where it was.",
        Exit::Busy,
    )
}

fn not_understood(reason: &str) -> AgentError {
    AgentError::new(
        "agent_not_understood",
        format!("the answer of the running agent cannot be understood: {reason}"),
        "Use the same version of the program for the agent and for this command.",
        Exit::Failed,
    )
}
