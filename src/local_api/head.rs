//! The head of an HTTP request, and everything that is refused before its body is looked at.

use std::fmt;
use std::io::{self, Cursor, Read};

use super::{HEAD_BYTES_MAX, OPTIONS_HEADER};
use crate::clock::{MonotonicMs, monotonic_now};
use crate::error::Explained;
use crate::exit::Exit;

/// Most headers of a request; curl sends five.
const HEADERS_MAX: usize = 32;
/// Bytes asked for at a time while the head is read.
const READ_BYTES: usize = 1024;

/// What the server needs to know of a request before its body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// `GET` or `POST`; others are kept for the error.
    pub(super) method: String,
    /// With its leading slash, without a query.
    pub(super) path: String,
    /// What stood behind a question mark.
    pub(super) query: Option<String>,
    /// Length of the body in bytes, if it was given.
    pub(super) content_length: Option<u64>,
    /// Whether the sender waits for a word before it sends the body.
    pub(super) expects_continue: bool,
    /// The text of [`OPTIONS_HEADER`].
    pub(super) options: Option<String>,
    /// The host that the request is meant for, with its port.
    pub(super) host: Option<String>,
    /// The origin of the page that asks, if a page does.
    pub(super) origin: Option<String>,
    /// What the sender shows to be let in.
    pub(super) authorization: Option<String>,
}

/// Reads a head, which has to be there at the deadline. Also returns what came after it, which begins the body.
pub(super) fn read_head(stream: &mut dyn Read, deadline: MonotonicMs) -> Result<(Head, Cursor<Vec<u8>>), HttpError> {
    let mut bytes = Vec::with_capacity(READ_BYTES);
    let mut piece = [0; READ_BYTES];
    loop {
        let room = READ_BYTES.min(HEAD_BYTES_MAX - bytes.len());
        let count = match stream.read(piece.get_mut(..room).unwrap_or_default()) {
            Ok(0) => return Err(HttpError::Ended),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(HttpError::of_read(error)),
        };
        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
        if let Some((head, length)) = parse(&bytes)? {
            let rest = bytes.split_off(length);
            return Ok((head, Cursor::new(rest)));
        }
        if bytes.len() == HEAD_BYTES_MAX {
            return Err(HttpError::HeadTooLarge);
        }
        if monotonic_now() >= deadline {
            return Err(HttpError::TooSlow);
        }
    }
}

/// `None` while the head is not complete.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, HttpError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(HttpError::NotHttp { reason: error.to_string() }),
    };
    let path = request.path.unwrap_or_default();
    let mut head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        path: path.split('?').next().unwrap_or_default().to_owned(),
        query: path.split_once('?').map(|(_, query)| query.to_owned()),
        ..Head::default()
    };
    for header in request.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let text = || {
            std::str::from_utf8(header.value)
                .map_err(|_| HttpError::NotHttp { reason: format!("{} is not UTF-8", header.name) })
        };
        if is("transfer-encoding") {
            return Err(HttpError::TransferEncoding);
        } else if is("content-length") {
            let length = parse_length(text()?)?;
            if head.content_length.replace(length).is_some() {
                return Err(HttpError::NotHttp { reason: "Content-Length stands twice".to_owned() });
            }
        } else if is("expect") {
            head.expects_continue = header.value.eq_ignore_ascii_case(b"100-continue");
        } else if let Some((name, place)) = kept(&mut head, header.name)
            && place.replace(text()?.to_owned()).is_some()
        {
            return Err(HttpError::NotHttp { reason: format!("{name} stands twice") });
        }
    }
    Ok(Some((head, length)))
}

/// Where the text of a header is kept, and its name; `None` for one that is not looked at.
fn kept<'a>(head: &'a mut Head, name: &str) -> Option<(&'static str, &'a mut Option<String>)> {
    let places = [
        (OPTIONS_HEADER, &mut head.options),
        ("Host", &mut head.host),
        ("Origin", &mut head.origin),
        ("Authorization", &mut head.authorization),
    ];
    places.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
}

fn parse_length(text: &str) -> Result<u64, HttpError> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| is_number)
        .ok_or_else(|| HttpError::NotHttp { reason: format!("Content-Length {text:?} is not a number of bytes") })
}

/// A request that is answered without being carried out.
#[derive(Debug)]
pub(super) enum HttpError {
    /// The connection ended inside the head, or without one.
    Ended,
    /// Nothing came for the idle time.
    TooSlow,
    /// The connection broke.
    Broken(io::Error),
    /// The head is above its limit.
    HeadTooLarge,
    /// Not HTTP/1, or a header that cannot be so.
    NotHttp {
        /// What the parser says.
        reason: String,
    },
    /// A path with a query.
    Query,
    /// A body in chunks or another coding.
    TransferEncoding,
    /// A `POST` without `Content-Length`.
    NoLength,
    /// The body is above its limit.
    BodyTooLarge {
        /// Its length, in bytes.
        bytes: u64,
        /// The limit, in bytes.
        bytes_max: u64,
    },
    /// The body ended before its length.
    BodyCut {
        /// What came, in bytes.
        bytes: u64,
        /// What was announced, in bytes.
        announced: u64,
    },
    /// A path that leads nowhere.
    UnknownPath {
        /// The path.
        path: String,
    },
    /// Another method than the path takes.
    Method {
        /// The method.
        method: String,
        /// The one to use.
        instead: &'static str,
    },
    /// The body or the options are not what the verb takes.
    NotARequest {
        /// What the parser says.
        reason: String,
    },
    /// As many connections as there may be.
    TooManyConnections {
        /// The limit.
        connections_max: usize,
    },
}

impl HttpError {
    /// What a failed read of the connection means.
    pub(super) fn of_read(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TooSlow,
            _ => Self::Broken(error),
        }
    }

    /// The HTTP status.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Ended
            | Self::Broken(_)
            | Self::NotHttp { .. }
            | Self::Query
            | Self::BodyCut { .. }
            | Self::NotARequest { .. } => 400,
            Self::UnknownPath { .. } => 404,
            Self::Method { .. } => 405,
            Self::TooSlow => 408,
            Self::TransferEncoding | Self::NoLength => 411,
            Self::BodyTooLarge { .. } => 413,
            Self::HeadTooLarge => 431,
            Self::TooManyConnections { .. } => 503,
        }
    }

    /// Whether somebody may still be there to read the answer.
    pub(super) fn is_answered(&self) -> bool {
        !matches!(self, Self::Ended | Self::Broken(_))
    }
}

impl Explained for HttpError {
    fn code(&self) -> &str {
        match self {
            Self::Ended | Self::Broken(_) => "connection_ended",
            Self::TooSlow => "request_too_slow",
            Self::HeadTooLarge => "head_too_large",
            Self::NotHttp { .. } => "not_http",
            Self::Query => "query_not_taken",
            Self::TransferEncoding | Self::NoLength => "length_required",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyCut { .. } => "body_cut",
            Self::UnknownPath { .. } => "unknown_path",
            Self::Method { .. } => "method_not_taken",
            Self::NotARequest { .. } => "not_a_request",
            Self::TooManyConnections { .. } => "too_many_connections",
        }
    }

    fn advice(&self) -> &str {
        match self {
            Self::Ended | Self::Broken(_) | Self::TooSlow | Self::BodyCut { .. } => {
                "Repeat the request; nothing was done."
            }
            Self::HeadTooLarge => "Send fewer and shorter headers; what is long belongs into the body.",
            Self::NotHttp { .. } => "Send HTTP/1.1, as docs/local-api.md describes.",
            Self::Query => "Put the options into the JSON body, or for record into the header Outpost-Options.",
            Self::TransferEncoding | Self::NoLength => "Send the whole body with its Content-Length.",
            Self::BodyTooLarge { .. } => "Split what is sent into several requests.",
            Self::UnknownPath { .. } => {
                "Use /v0/VERB, /v0/health, /healthz, /readyz or /metrics; docs/local-api.md lists the verbs."
            }
            Self::Method { .. } => "Repeat the request with that method.",
            Self::NotARequest { .. } => "Correct the request; docs/local-api.md has its fields.",
            Self::TooManyConnections { .. } => {
                "Repeat the request in a few seconds, and use fewer connections at once."
            }
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Ended | Self::Broken(_) | Self::TooSlow | Self::BodyCut { .. } => Exit::Failed,
            Self::TooManyConnections { .. } => Exit::Busy,
            Self::HeadTooLarge
            | Self::NotHttp { .. }
            | Self::Query
            | Self::TransferEncoding
            | Self::NoLength
            | Self::BodyTooLarge { .. }
            | Self::UnknownPath { .. }
            | Self::Method { .. }
            | Self::NotARequest { .. } => Exit::Usage,
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => formatter.write_str("the connection ended before a whole request had come"),
            Self::Broken(error) => write!(formatter, "the connection broke: {error}"),
            Self::TooSlow => formatter.write_str("nothing came for the longest time that a request may stand still"),
            Self::HeadTooLarge => {
                write!(formatter, "the head of the request is above {HEAD_BYTES_MAX} bytes, which is the most allowed")
            }
            Self::NotHttp { reason } => write!(formatter, "this is no HTTP/1 request: {reason}"),
            Self::Query => formatter.write_str("the path has a query, which is not taken here"),
            Self::TransferEncoding => formatter.write_str("the request has a Transfer-Encoding, which is not taken"),
            Self::NoLength => formatter.write_str("the request has no Content-Length"),
            Self::BodyTooLarge { bytes, bytes_max } => {
                write!(formatter, "the body has {bytes} bytes; this verb takes at most {bytes_max}")
            }
            Self::BodyCut { bytes, announced } => {
                write!(formatter, "the body ended after {bytes} of {announced} bytes")
            }
            Self::UnknownPath { path } => write!(formatter, "there is nothing at {path:?}"),
            Self::Method { method, instead } => write!(formatter, "{method:?} is not taken here; {instead} is"),
            Self::NotARequest { reason } => write!(formatter, "the request cannot be understood: {reason}"),
            Self::TooManyConnections { connections_max } => {
                write!(formatter, "{connections_max} connections are open, which is the most at once")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = match read_head(&mut text.as_bytes(), MonotonicMs(u64::MAX)) {
            Ok((head, rest)) => {
                format!("{} {} {:?} {}", head.method, head.path, head.content_length, rest.get_ref().len())
            }
            Err(error) => error.code().to_owned(),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn heads_are_read_or_refused_with_their_own_code() {
        check("GET /v0/health HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v0/health None 0");
        check("POST /v0/sync HTTP/1.1\r\ncontent-LENGTH: 2\r\n\r\n{}", "POST /v0/sync Some(2) 2");
        check("POST /v0/sync HTTP/1.1\r\n", "connection_ended");
        check("", "connection_ended");
        check("\u{1}\u{2}\r\n\r\n", "not_http");
        check("GET / HTTP/2.0\r\n\r\n", "not_http");
        check("POST /v0/sync HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "length_required");
        check(
            "POST /v0/sync HTTP/1.1\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
            "length_required",
        );
        check("POST /v0/sync HTTP/1.1\r\nContent-Length: +2\r\n\r\n{}", "not_http");
        check("POST /v0/sync HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "not_http");
        check(&format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1)), "not_http");
    }

    #[test]
    fn a_head_that_comes_in_drops_ends_at_its_deadline() {
        struct Drops;
        impl Read for Drops {
            fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
                target[0] = b'G';
                Ok(1)
            }
        }

        let ended = read_head(&mut Drops, monotonic_now().plus(30));

        assert_eq!(ended.unwrap_err().code(), "request_too_slow");
    }

    #[test]
    fn a_head_at_the_limit_is_read_and_one_byte_more_is_not() {
        let frame = "GET / HTTP/1.1\r\nA: \r\n\r\n".len();
        let of_length = |length: usize| format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(length - frame));

        check(&of_length(HEAD_BYTES_MAX), "GET / None 0");
        check(&of_length(HEAD_BYTES_MAX + 1), "head_too_large");
    }
}
