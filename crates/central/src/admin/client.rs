//! A command's end of the admin socket: one blocking request, HTTP/1.0, so that the answer ends with the connection.

use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::{Event, VERBS_PATH};
use crate::error::{CentralError, Exit};
use crate::hex;
use crate::operations::{Done, Progress, Request};

/// Most bytes of the head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest line of an answer, in bytes: [`crate::operations::LIST_LIMIT_MAX`] records of the largest size.
const LINE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Asks the server that listens on a socket. `None` if none listens, or if it went away over a verb that only looks.
///
/// # Errors
/// What the verb ended with; `server_lost` if the answer was cut: then whether the verb was carried out is not known.
pub fn ask(
    socket: &Path,
    request: &Request,
    input: Option<(&mut dyn Read, u64)>,
    output: &mut dyn Write,
    events: &mut dyn FnMut(Progress),
) -> Result<Option<Done>, CentralError> {
    let stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) => return Err(lost(&format!("{} cannot be reached: {error}", socket.display()))),
    };
    let sent = send(&stream, request, input);
    match (receive(stream, output, events), sent) {
        (Ok(done), _) => Ok(Some(done)),
        // A server that is stopping drops whoever comes late: who only looks may look again, at the folder itself.
        (Err(error), _) if error.code == "server_lost" && request.only_looks() => Ok(None),
        // A server that refuses early does not read the rest: its answer says more than the broken pipe.
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(_)) if error.code != "server_lost" => Err(error),
        (Err(_), Err(error)) => Err(lost(&format!("the request was cut: {error}"))),
    }
}

fn send(mut stream: &UnixStream, request: &Request, input: Option<(&mut dyn Read, u64)>) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(request).expect("requests have text keys alone");
    line.push(b'\n');
    let input_bytes = input.as_ref().map_or(0, |(_, bytes)| *bytes);
    let length = line.len() as u64 + input_bytes;
    write!(stream, "POST {VERBS_PATH} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n")?;
    stream.write_all(&line)?;
    if let Some((input, bytes)) = input {
        std::io::copy(&mut input.take(bytes), &mut stream)?;
    }
    Ok(())
}

fn receive(stream: UnixStream, output: &mut dyn Write, events: &mut dyn FnMut(Progress)) -> Result<Done, CentralError> {
    let mut reader = BufReader::new(stream);
    read_head(&mut reader)?;
    let mut line = String::new();
    loop {
        line.clear();
        let count = reader.by_ref().take(LINE_BYTES_MAX).read_line(&mut line);
        if count.map_err(|error| lost(&format!("the answer was cut: {error}")))? == 0 {
            return Err(lost("the answer ended early"));
        }
        match serde_json::from_str(&line).map_err(|error| lost(&format!("the answer cannot be read: {error}")))? {
            Event::Progress(progress) => events(progress),
            Event::Bytes(digits) => {
                let bytes = hex::bytes(&digits).ok_or_else(|| lost("the answer has bytes that are none"))?;
                output.write_all(&bytes).map_err(|error| unwritten(&error))?;
            }
            Event::Done(done) => return Ok(done),
            Event::Error(error) => return Err(error),
        }
    }
}

/// Reads up to the empty line; anything but 200 is not the server that is meant.
fn read_head(reader: &mut BufReader<UnixStream>) -> Result<(), CentralError> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let left = HEAD_BYTES_MAX.saturating_sub(head.len()) as u64;
        let count = reader.by_ref().take(left).read_until(b'\n', &mut head);
        if count.map_err(|error| lost(&format!("the answer was cut: {error}")))? == 0 {
            return Err(lost("the answer has no head"));
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(&head) {
        Ok(_) if response.code == Some(200) => Ok(()),
        _ => Err(lost("what listens on the socket is no outpost-central of this version")),
    }
}

fn unwritten(error: &std::io::Error) -> CentralError {
    let advice = "Make room for it and ask again; what was done is done, and is answered again.";
    CentralError::new("file_unwritten", format!("the file cannot be written: {error}"), advice, Exit::Disk)
}

fn lost(what: &str) -> CentralError {
    let advice = "Ask again; `status` shows what was done. Repeating a verb does no harm.";
    CentralError::new("server_lost", format!("the running server was lost: {what}"), advice, Exit::Failed)
}
