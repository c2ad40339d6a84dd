//! The reply: lines of JSON, begun with the first of them, so that an error before any progress still has its HTTP status.

use std::io::{self, Write};

use serde_json::Value;

use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::Progress;

/// Where a reply goes.
pub(super) trait Audience: Write {
    /// Whether a short line can be written without waiting for the reader.
    fn keeps_up(&self) -> bool {
        true
    }
}

/// The reply to one request, being written.
pub(super) struct Reply<'a> {
    stream: &'a mut dyn Audience,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    NotBegun,
    Begun,
    /// Writing failed once: whoever asked is gone. The work goes on, unheard.
    Gone,
}

impl<'a> Reply<'a> {
    /// Nothing is written yet.
    pub(super) fn new(stream: &'a mut dyn Audience) -> Self {
        Self { stream, state: State::NotBegun }
    }

    /// One step of something that runs. It may run under a lock: a reader who does not keep up misses the step, and holds up nobody.
    pub(super) fn progress(&mut self, progress: &Progress) {
        if !self.stream.keeps_up() {
            return;
        }
        self.write_line(200, &serde_json::json!({ "progress": progress }).to_string());
    }

    /// The last line. Returns whether all of the reply could be written.
    pub(super) fn finish(mut self, result: &Result<Value, AgentError>) -> bool {
        match result {
            Ok(value) => self.write_line(200, &serde_json::json!({ "result": value }).to_string()),
            Err(error) => self.write_line(status_of(error), &error.to_json()),
        }
        self.state != State::Gone
    }

    /// The last line, with the status of the HTTP server itself.
    pub(super) fn refuse(mut self, status: u16, error: &AgentError) {
        self.write_line(status, &error.to_json());
    }

    fn write_line(&mut self, status: u16, line: &str) {
        if self.state == State::Gone {
            return;
        }
        let written = self.try_write_line(status, line);
        self.state = if written.is_ok() { State::Begun } else { State::Gone };
    }

    fn try_write_line(&mut self, status: u16, line: &str) -> io::Result<()> {
        if self.state == State::NotBegun {
            self.stream.write_all(head(status).as_bytes())?;
        }
        self.stream.write_all(line.as_bytes())?;
        self.stream.write_all(b"\n")?;
        self.stream.flush()
    }
}

/// The head of a reply whose length nobody knows.
fn head(status: u16) -> String {
    let more = match status {
        401 => "WWW-Authenticate: Bearer\r\n",
        429 => "Retry-After: 10\r\n",
        _ => "",
    };
    format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: application/x-ndjson\r\nCache-Control: no-store\r\n{more}Connection: close\r\n\r\n",
        phrase(status)
    )
}

/// A whole reply that refuses, for where there is no request.
pub(super) fn whole_refusal(status: u16, error: &AgentError) -> String {
    format!("{}{}\n", head(status), error.to_json())
}

/// The head of something that is sent whole. `more`: further headers, each with its line's end.
pub(super) fn head_of_whole(kind: &str, bytes: u64, more: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {bytes}\r\n{more}Connection: close\r\n\r\n")
}

/// Sends a text whole.
pub(super) fn send_text(stream: &mut dyn Write, kind: &str, more: &str, text: &str) -> io::Result<()> {
    stream.write_all(head_of_whole(kind, text.len() as u64, more).as_bytes())?;
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

/// The answer that the agent runs.
pub(super) fn running() -> Value {
    serde_json::json!({ "state": "running", "version": env!("CARGO_PKG_VERSION") })
}

/// The HTTP status of an error that comes before any progress.
fn status_of(error: &AgentError) -> u16 {
    // What is asked for is not here; as a refusal of an edit `record_missing` is another matter.
    let is_absent = error.code == "record_missing" && error.exit == Exit::Failed;
    if is_absent || error.code.ends_with("_not_found") {
        return 404;
    }
    if matches!(error.code.as_str(), "cursor_too_old" | "cursor_of_other_copy") {
        return 410;
    }
    match error.exit {
        Exit::Usage => 400,
        Exit::Refused => 403,
        Exit::Ok | Exit::Failed | Exit::Partial | Exit::Config => 500,
        Exit::Offline => 502,
        Exit::Busy | Exit::Interrupted => 503,
        Exit::Disk => 507,
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        507 => "Insufficient Storage",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Audience for Vec<u8> {}

    #[test]
    fn an_error_has_its_own_status_until_progress_was_sent() {
        let full = Err(AgentError::new("disk_full", "full", "Delete something.", Exit::Disk));
        let mut at_once = Vec::new();
        let mut later = Vec::new();

        assert!(Reply::new(&mut at_once).finish(&full));
        let mut reply = Reply::new(&mut later);
        reply.progress(&Progress::Checking { lines: 3 });
        assert!(reply.finish(&full));

        assert!(at_once.starts_with(b"HTTP/1.1 507 Insufficient Storage\r\n"));
        let later = String::from_utf8(later).unwrap();
        assert!(later.starts_with("HTTP/1.1 200 OK\r\n"));
        let (_, body) = later.split_once("\r\n\r\n").unwrap();
        let lines: Vec<&str> = body.lines().collect();
        assert_eq!(lines[0], r#"{"progress":{"lines":3,"step":"checking"}}"#);
        assert!(lines[1].starts_with(r#"{"error":{"#), "{}", lines[1]);
    }

    #[test]
    fn a_reader_who_is_gone_is_written_to_once() {
        struct Broken(u32);
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        impl Audience for Broken {}
        let mut broken = Broken(0);

        let mut reply = Reply::new(&mut broken);
        reply.progress(&Progress::Checking { lines: 3 });
        reply.progress(&Progress::Checking { lines: 4 });

        assert!(!reply.finish(&Ok(Value::Null)));
        assert_eq!(broken.0, 1);
    }

    #[test]
    fn a_reader_who_does_not_keep_up_misses_steps_and_gets_the_result() {
        struct Slow(Vec<u8>);
        impl Write for Slow {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        impl Audience for Slow {
            fn keeps_up(&self) -> bool {
                false
            }
        }
        let mut slow = Slow(Vec::new());

        let mut reply = Reply::new(&mut slow);
        reply.progress(&Progress::Checking { lines: 3 });
        assert!(reply.finish(&Ok(Value::Null)));

        assert!(String::from_utf8(slow.0).unwrap().ends_with("\r\n\r\n{\"result\":null}\n"));
    }
}
