//! One connection: a request is read, carried out and answered.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value};

use super::access::{Access, AccessError};
use super::description::DESCRIPTION;
use super::head::{Head, HttpError, read_head};
use super::listener::Connection;
use super::metrics::Probe;
use super::pages::{PAGES_PREFIX, Page};
use super::reply::{Audience, Reply, running, send_text};
use super::server::{Performing, ServerLimits};
use super::status_page;
use super::{OPTIONS_HEADER, PATH_PREFIX};
use crate::clients::Guest;
use crate::clock::monotonic_now;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::{Input, Performer};
use crate::operations::{Progress, Request, SET_ASIDE_NUMBERS_MAX};

/// Largest JSON body, in bytes: the most refused edits that one request may name.
const BODY_BYTES_MAX: u64 = 64 * 1024;
/// A number with its comma has 21 digits at most, and the field's name stands around them.
const _: () = assert!(SET_ASIDE_NUMBERS_MAX as u64 * 21 + 100 <= BODY_BYTES_MAX, "a body holds any request");
/// Most bytes that are read and thrown away after a refusal, so that the sender gets to read it.
const DRAIN_BYTES_MAX: u64 = 1024 * 1024;
/// The verbs as they stand in paths, in the order of [`Request`].
pub(super) const VERBS: &[&str] = &[
    "record",
    "get",
    "list",
    "sync",
    "initialise",
    "verify",
    "status",
    "site",
    "queue",
    "set-aside-list",
    "set-aside-show",
    "set-aside-retry",
    "set-aside-dismiss",
    "next-number",
    "pause",
    "resume",
    "changes",
    "wait",
    "watch",
    "client-add",
    "client-list",
    "client-revoke",
    "client-certificate",
];
/// What a client on another machine may ask: what an application does. What an operator does is done on the device itself.
const VERBS_OF_CLIENTS: &[&str] = &[
    "record",
    "get",
    "list",
    "sync",
    "status",
    "site",
    "queue",
    "set-aside-list",
    "set-aside-show",
    "set-aside-retry",
    "next-number",
    "changes",
    "wait",
    "watch",
];

/// What one connection may use.
pub(super) struct Room<'a> {
    pub(super) performer: &'a dyn Performer,
    pub(super) folder: &'a Path,
    pub(super) limits: &'a ServerLimits,
    /// What a caller has to show, if anything.
    pub(super) access: Option<&'a Access>,
    /// How many requests of this listener wait for something that may not come soon.
    pub(super) waiting: &'a AtomicUsize,
    /// Most of them.
    pub(super) waiting_max: usize,
}

/// One of the requests that wait, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<'a> Room<'a> {
    /// A place to wait for a request that does, of this listener and of its client.
    fn place_to_wait(&self, request: &Request, guest: Option<&Guest>) -> Result<Option<Waiting<'a>>, AgentError> {
        let waits = match request {
            Request::Changes(asked) => asked.wait_s > 0,
            Request::Wait { timeout_s, .. } => *timeout_s > 0,
            Request::Watch { wait_s, .. } => *wait_s > 0,
            _ => false,
        };
        if !waits {
            return Ok(None);
        }
        guest.map_or(Ok(()), Guest::begin_waiting)?;
        let waiting = Waiting(self.waiting);
        if self.waiting.fetch_add(1, Ordering::SeqCst) < self.waiting_max {
            return Ok(Some(waiting));
        }
        Err(too_many_waiting(self.waiting_max))
    }
}

enum Asked {
    Health,
    Description,
    Probe(Probe),
    Page(Page),
    StatusPage,
    Perform(Request, Input),
}

/// Reads one request and answers it. `begin` says whether anything may be begun; what it returns is held until the answer
/// is written.
pub(super) fn answer<'a>(
    connection: &mut dyn Connection,
    room: &Room<'_>,
    begin: impl FnOnce() -> Option<Performing<'a>>,
) {
    let limited = connection.set_idle_timeout(room.limits.idle);
    if let Err(error) = limited.and_then(|()| connection.set_deadline(Some(room.limits.deadline()))) {
        log::warn!("a connection cannot be given a time limit and is closed error={error}");
        return;
    }
    let mut guest = None;
    match read_request(connection, room, &mut guest) {
        Ok(Asked::Health) => {
            Reply::new(&mut Outgoing(connection)).finish(&Ok(running()));
        }
        Ok(Asked::Probe(probe)) => probe.answer(room.performer, &mut Outgoing(connection)),
        Ok(Asked::Description) => {
            // Who leaves meanwhile has left.
            let _ = send_text(&mut Outgoing(connection), "application/json", "", DESCRIPTION);
        }
        Ok(Asked::Page(page)) => {
            if let Err(error) = page.send(&mut Outgoing(connection)) {
                log::info!("a page was not sent whole error={error}");
            }
        }
        Ok(Asked::StatusPage) => {
            let _ = status_page::send(&mut Outgoing(connection));
        }
        Ok(Asked::Perform(request, mut input)) => {
            let Some(_performing) = begin() else {
                Reply::new(&mut Outgoing(connection)).finish(&Err(stopping()));
                return;
            };
            let waiting = room.place_to_wait(&request, guest.as_ref());
            let mut outgoing = Outgoing(connection);
            let mut reply = Reply::new(&mut outgoing);
            let result = waiting.and_then(|_waiting| {
                room.performer.perform(request, &mut input, &mut |progress: Progress| reply.progress(&progress))
            });
            if !reply.finish(&result) {
                log::info!("who asked left before the answer; what was asked was carried out to its end");
            }
        }
        Err(error) => return refuse(connection, room.limits, error.0, &error.1),
    }
    // Whoever left needs no word of the end.
    let _ = connection.end_writing();
}

fn too_many_waiting(most: usize) -> AgentError {
    AgentError::new(
        "too_many_waiting",
        format!("{most} requests wait already, which is the most at once"),
        "Ask again in a few seconds.",
        Exit::Busy,
    )
}

/// What is done on the device itself, asked for from elsewhere.
fn of_the_device(verb: &str, is_of_client: bool) -> Refused {
    let (code, by) =
        if is_of_client { ("device_only", "by a client on another machine") } else { ("socket_only", "at an address") };
    let message = format!("{verb} cannot be asked for {by}");
    Refused(Some(403), AgentError::new(code, message, "Use the command line on the agent's own device.", Exit::Refused))
}

/// The agent is going down and takes nothing new.
pub(crate) fn stopping() -> AgentError {
    AgentError::new(
        "stopping",
        "the agent is stopping and takes nothing new",
        "Start it again, then repeat the request.",
        Exit::Busy,
    )
}

/// Answers a connection that is one too many.
pub(super) fn refuse_connection(connection: &mut dyn Connection, limits: &ServerLimits, connections_max: usize) {
    let limited = connection.set_idle_timeout(limits.idle);
    if limited.and_then(|()| connection.set_deadline(Some(limits.deadline()))).is_ok() {
        let error = HttpError::TooManyConnections { connections_max };
        refuse(connection, limits, Some(error.status()), &error.into());
    }
}

/// A request that is not carried out: status and error; without a status nobody is left to tell.
struct Refused(Option<u16>, AgentError);

impl From<HttpError> for Refused {
    fn from(error: HttpError) -> Self {
        Self(error.is_answered().then(|| error.status()), error.into())
    }
}

impl From<AccessError> for Refused {
    fn from(error: AccessError) -> Self {
        Self(Some(error.status()), error.into())
    }
}

fn refuse(connection: &mut dyn Connection, limits: &ServerLimits, status: Option<u16>, error: &AgentError) {
    let Some(status) = status else { return };
    Reply::new(&mut Outgoing(connection)).refuse(status, error);
    if connection.end_writing().is_ok() {
        drain(connection, limits);
    }
}

/// Closing with bytes unread could take the answer back from a sender that is still busy sending. One that only ever sends a little
/// more does not keep its place.
fn drain(connection: &mut dyn Connection, limits: &ServerLimits) {
    let deadline = limits.deadline();
    let mut piece = [0; 4096];
    let mut bytes = 0;
    while bytes < DRAIN_BYTES_MAX && monotonic_now() < deadline {
        match connection.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(count) => bytes += count as u64,
        }
    }
}

fn read_request(connection: &mut dyn Connection, room: &Room<'_>, guest: &mut Option<Guest>) -> Result<Asked, Refused> {
    let (head, rest) = read_head(&mut Incoming(connection), room.limits.deadline())?;
    if let Some(access) = room.access {
        access.check_names(&head, connection.own_address())?;
    }
    let unknown = || HttpError::UnknownPath { path: head.path.chars().take(100).collect() };
    if let Some(open) = open_to_all(&head, room) {
        return open;
    }
    let probe = Probe::at(&head.path);
    let verb = head.path.strip_prefix(PATH_PREFIX);
    if probe.is_none() && verb.is_none() {
        return Err(unknown().into());
    }
    if let Some(access) = room.access {
        *guest = access.admit(&head, connection)?;
    }
    if let Some(probe) = probe {
        is_plain_get(&head)?;
        return Ok(Asked::Probe(probe));
    }
    let verb = VERBS.iter().find(|known| verb == Some(**known)).ok_or_else(unknown)?;
    if guest.is_some() && !VERBS_OF_CLIENTS.contains(verb) {
        return Err(of_the_device(verb, true));
    }
    if room.access.is_some() && verb.starts_with("client-") {
        return Err(of_the_device(verb, false));
    }
    // The head is here in time; from here on standing still alone ends it.
    connection.set_deadline(None).map_err(HttpError::of_read)?;
    if *verb == "changes" && head.method == "GET" {
        return Ok(Asked::Perform(changes_request(head.query.as_deref().unwrap_or_default())?, Input::empty()));
    }
    if head.method != "POST" {
        return Err(wrong_method(head, "POST").into());
    }
    if head.query.is_some() {
        return Err(HttpError::Query.into());
    }
    let announced = head.content_length.ok_or(HttpError::NoLength)?;
    let is_record = *verb == "record";
    let bytes_max = if is_record { room.limits.input_bytes_max } else { BODY_BYTES_MAX };
    if announced > bytes_max {
        return Err(HttpError::BodyTooLarge { bytes: announced, bytes_max }.into());
    }
    if !is_record && head.options.is_some() {
        let reason = format!("{OPTIONS_HEADER} belongs to record; this verb takes its options in the body");
        return Err(HttpError::NotARequest { reason }.into());
    }
    // What is wrong with the options is said before a long body comes.
    let early = if is_record { Some(request(verb, head.options.as_deref().unwrap_or_default())?) } else { None };
    if head.expects_continue {
        let mut outgoing = Outgoing(connection);
        outgoing.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(HttpError::of_read)?;
    }
    let mut body = rest.chain(Incoming(connection)).take(announced);
    let memory_bytes_max = if is_record { room.limits.input_memory_bytes_max } else { BODY_BYTES_MAX };
    let mut input = Input::from_stream(&mut body, room.folder, memory_bytes_max, announced).map_err(of_input)?;
    if input.length_bytes() < announced {
        return Err(HttpError::BodyCut { bytes: input.length_bytes(), announced }.into());
    }
    if let Some(request) = early {
        return Ok(Asked::Perform(request, input));
    }
    let mut text = String::new();
    input.read_to_string(&mut text).map_err(|error| HttpError::NotARequest { reason: error.to_string() })?;
    Ok(Asked::Perform(request(verb, &text)?, Input::empty()))
}

/// What is answered without a token: whether the agent runs, what it can be asked, and pages, which hold no data. `None` for everything
/// else.
fn open_to_all(head: &Head, room: &Room<'_>) -> Option<Result<Asked, Refused>> {
    let asked = || match head.path.as_str() {
        "/v0/health" => Some(Ok(Asked::Health)),
        // The other probes tell more than that the agent runs.
        "/healthz" => Some(Ok(Asked::Probe(Probe::Healthz))),
        "/v0/openapi.json" => Some(Ok(Asked::Description)),
        status_page::STATUS_PAGE_PATH => Some(Ok(Asked::StatusPage)),
        path => {
            let name = path.strip_prefix(PAGES_PREFIX)?;
            Some(Page::open(room.limits.pages.as_deref(), name).map(Asked::Page).map_err(Refused::from))
        }
    };
    let asked = asked()?;
    Some(is_plain_get(head).map_err(Refused::from).and(asked))
}

fn is_plain_get(head: &Head) -> Result<(), HttpError> {
    if head.method != "GET" {
        return Err(HttpError::Method { method: head.method.clone(), instead: "GET" });
    }
    if head.query.is_some() {
        return Err(HttpError::Query);
    }
    Ok(())
}

/// A request from its verb and the JSON of its fields; nothing is the same as `{}`.
pub(super) fn request(verb: &str, fields: &str) -> Result<Request, HttpError> {
    let wrong = |error: serde_json::Error| HttpError::NotARequest { reason: error.to_string() };
    let mut fields: Map<String, Value> =
        if fields.trim().is_empty() { Map::new() } else { serde_json::from_str(fields).map_err(wrong)? };
    if fields.insert("verb".to_owned(), verb.into()).is_some() {
        return Err(HttpError::NotARequest { reason: "the verb stands in the path and not in the body".to_owned() });
    }
    // serde looks for unknown fields everywhere but in a variant that has none.
    let is_empty = matches!(verb, "status" | "site" | "resume" | "client-list" | "client-certificate");
    if is_empty && fields.len() > 1 {
        return Err(HttpError::NotARequest { reason: format!("{verb} takes no fields") });
    }
    serde_json::from_value(Value::Object(fields)).map_err(wrong)
}

/// The feed by a query, for those who can ask by an address alone. Its values need no escapes: numbers, and cursors of our own.
fn changes_request(query: &str) -> Result<Request, HttpError> {
    let wrong = |reason: String| HttpError::NotARequest { reason };
    let mut fields = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| wrong(format!("{pair:?} has no value")))?;
        let value = match name {
            "after" => Value::from(value),
            _ => value.parse::<u32>().map_err(|_| wrong(format!("{name} {value:?} is no number")))?.into(),
        };
        if fields.insert(name.to_owned(), value).is_some() {
            return Err(wrong(format!("{name} stands twice")));
        }
    }
    request("changes", &Value::Object(fields).to_string())
}

fn wrong_method(head: Head, instead: &'static str) -> HttpError {
    HttpError::Method { method: head.method, instead }
}

fn of_input(error: crate::operations::InputError) -> Refused {
    match error {
        crate::operations::InputError::Read(error) => HttpError::of_read(error).into(),
        crate::operations::InputError::Keep(_) => Refused(Some(507), error.into()),
        crate::operations::InputError::TooLarge { .. } => Refused(Some(413), error.into()),
    }
}

/// The reading side of a connection; a trait object does not turn into another one by itself everywhere.
struct Incoming<'a>(&'a mut dyn Connection);

impl Read for Incoming<'_> {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(target)
    }
}

/// The writing side.
struct Outgoing<'a>(&'a mut dyn Connection);

impl Write for Outgoing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Audience for Outgoing<'_> {
    fn keeps_up(&self) -> bool {
        self.0.keeps_up()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_of_the_path_is_a_request() {
        for verb in VERBS {
            let fields = match *verb {
                "get" => r#"{"table":"item","id":"x"}"#,
                "list" => r#"{"table":"item","limit":7}"#,
                "sync" | "initialise" | "verify" => r#"{"tries_max":4}"#,
                "queue" | "set-aside-list" => r#"{"after":12345678901,"limit":3}"#,
                "set-aside-show" => r#"{"number":5}"#,
                "next-number" => r#"{"store":"S","kind":"customer_invoice_number"}"#,
                "pause" => r#"{"duration_s":60}"#,
                "changes" => r#"{"after":"x","limit":7,"wait_s":3}"#,
                "wait" => r#"{"sequence":9}"#,
                "client-add" | "client-revoke" => r#"{"name":"dispensary"}"#,
                "set-aside-retry" | "set-aside-dismiss" => r#"{"numbers":[1,2]}"#,
                _ => "",
            };

            let made = request(verb, fields);

            let json = serde_json::to_value(made.unwrap()).unwrap();
            assert_eq!(json["verb"], *verb);
        }
    }

    #[test]
    fn the_feed_may_be_asked_for_by_a_query() {
        let asked = |query: &str| changes_request(query).map_err(|error| error.to_string());

        let whole = request("changes", r#"{"after":"07.12","limit":7,"wait_s":3}"#).unwrap();
        assert_eq!(asked("after=07.12&limit=7&wait_s=3"), Ok(whole));
        assert_eq!(asked(""), Ok(request("changes", "").unwrap()));
        for (query, problem) in [
            ("limit=-1", "limit \"-1\" is no number"),
            ("limit=1&limit=2", "limit stands twice"),
            ("limit", "\"limit\" has no value"),
            ("since=3", "unknown field `since`"),
        ] {
            let told = asked(query).unwrap_err();
            assert!(told.contains(problem), "{told}");
        }
    }

    #[test]
    fn fields_that_do_not_belong_are_refused() {
        for (verb, fields) in [
            ("get", "{}"),
            ("status", r#"{"x":1}"#),
            ("site", r#"{"x":1}"#),
            ("resume", r#"{"x":1}"#),
            ("client-list", r#"{"x":1}"#),
            ("client-certificate", r#"{"x":1}"#),
            ("pause", r#"{"x":1}"#),
            ("status", r#"{"verb":"sync"}"#),
            ("sync", "[]"),
            ("sync", "{"),
        ] {
            assert_eq!(request(verb, fields).unwrap_err().status(), 400, "{verb} {fields}");
        }
    }
}
