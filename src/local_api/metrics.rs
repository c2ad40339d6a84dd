//! Health and figures for whoever watches the agent by machine: `/healthz`, `/readyz`, and `/metrics` in the text format of
//! Prometheus. Paths without a version, because they are where such programs look. Nothing in them names a record, a store or
//! a person.

use std::fmt::Write as _;

use serde_json::json;

use super::reply::{Audience, Reply, running, send_text};
use crate::clock::wall_now;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::{Performer, Vitals};

/// What every name begins with.
const PREFIX: &str = "outpost_";
/// What the text is.
const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The journals, in the order of [`Vitals::journals`].
const JOURNALS: [&str; 2] = ["shared", "private"];

/// What a program that watches asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// Whether the agent is alive. It is, also without a connection and with a full disk.
    Healthz,
    /// Whether an edit would be recorded. It would, also without a connection.
    Readyz,
    /// The figures.
    Metrics,
}

impl Probe {
    /// The one at a path.
    pub(super) fn at(path: &str) -> Option<Self> {
        match path {
            "/healthz" => Some(Self::Healthz),
            "/readyz" => Some(Self::Readyz),
            "/metrics" => Some(Self::Metrics),
            _ => None,
        }
    }

    /// Answers with it. Nothing is begun by it, so it is answered while the agent stops too.
    pub(super) fn answer(self, performer: &dyn Performer, stream: &mut dyn Audience) {
        let reply = |stream| Reply::new(stream);
        match self {
            Self::Healthz if performer.is_alive() => {
                reply(stream).finish(&Ok(running()));
            }
            Self::Healthz => reply(stream).refuse(503, &stands_still()),
            Self::Readyz => match performer.vitals().map(|vitals| vitals.refusal) {
                Ok(None) => {
                    reply(stream).finish(&Ok(json!({ "ready": true })));
                }
                Ok(Some(error)) | Err(error) => reply(stream).refuse(503, &error),
            },
            Self::Metrics => match performer.vitals() {
                Ok(vitals) => {
                    // Whoever left asks again.
                    let _ = send_text(stream, KIND, "Cache-Control: no-store\r\n", &text(&vitals, wall_now().0));
                }
                Err(error) => reply(stream).refuse(503, &error),
            },
        }
    }
}

fn stands_still() -> AgentError {
    AgentError::new(
        "loop_stands_still",
        "the loop of the agent has not turned for a minute: it hears no signals and begins no syncs",
        "Start the agent again, and report this with its log. What was recorded is recorded.",
        Exit::Failed,
    )
}

/// The figures as text. A time that is not known yet is left out.
fn text(vitals: &Vitals, now_ms: u64) -> String {
    let mut page = Text::default();
    page.gauge(
        "build_info",
        "The version that runs; always 1.",
        &[(concat!("version=\"", env!("CARGO_PKG_VERSION"), "\""), "1".to_owned())],
    );
    page.gauge("ready", "1 if an edit would be recorded now.", &[("", flag(vitals.refusal.is_none()))]);
    page.gauge(
        "pending_records",
        "Edits whose verdict is not final, by how far they are.",
        &[
            ("state=\"unsent\"", vitals.pending_edits.to_string()),
            ("state=\"unjudged\"", vitals.unjudged_edits.to_string()),
            ("state=\"waiting\"", vitals.waiting_edits.to_string()),
        ],
    );
    page.gauge("pending_bytes", "Bytes of the edits that are not sent.", &[("", vitals.pending_bytes.to_string())]);
    let age_ms = vitals.oldest_pending_ms.map_or(0, |recorded_ms| now_ms.saturating_sub(recorded_ms));
    page.gauge(
        "oldest_pending_seconds",
        "Age of the oldest edit that is not sent; 0 without one.",
        &[("", seconds(age_ms, 1000))],
    );
    page.gauge(
        "set_aside_records",
        "Refused edits that somebody has to look after.",
        &[("", vitals.set_aside_edits.to_string())],
    );
    page.gauge("set_aside_bytes", "Their bytes.", &[("", vitals.set_aside_bytes.to_string())]);
    for (name, help, ms) in [
        ("last_attempt_timestamp_seconds", "When a sync last ended, well or not.", vitals.last_attempt_ms),
        ("last_success_timestamp_seconds", "When a sync last went through.", vitals.last_success_ms),
        ("last_drained_timestamp_seconds", "When nothing was left to send after one.", vitals.last_drained_ms),
        ("next_sync_timestamp_seconds", "When the next sync comes.", vitals.next_sync_ms),
    ] {
        if let Some(ms) = ms {
            page.gauge(name, help, &[("", seconds(ms, 1000))]);
        }
    }
    page.gauge(
        "last_sync_failed",
        "1 if the last sync did not go through.",
        &[("", flag(vitals.last_failure.is_some()))],
    );
    page.gauge("syncing", "1 while a sync runs.", &[("", flag(vitals.is_syncing))]);
    syncs(&mut page, vitals);
    journals(&mut page, vitals);
    page.0
}

fn syncs(page: &mut Text, vitals: &Vitals) {
    let syncs = &vitals.syncs;
    page.counter(
        "syncs_total",
        "Syncs since the start.",
        &[("outcome=\"drained\"", syncs.drained.to_string()), ("outcome=\"failed\"", syncs.failed.to_string())],
    );
    let durations = (syncs.drained + syncs.failed, seconds(syncs.duration_ms, 1000));
    page.summary("sync_duration_seconds", "How long they took.", &[("", durations)]);
    page.counter(
        "bytes_total",
        "Bytes to and from central since the start.",
        &[("dir=\"out\"", syncs.bytes_out.to_string()), ("dir=\"in\"", syncs.bytes_in.to_string())],
    );
    page.counter("requests_total", "Requests to central since the start.", &[("", syncs.requests.to_string())]);
    page.counter("sent_records_total", "Edits that central received since the start.", &[("", syncs.sent.to_string())]);
    page.counter(
        "stored_records_total",
        "Rows from central that were stored since the start.",
        &[("", syncs.stored.to_string())],
    );
}

fn journals(page: &mut Text, vitals: &Vitals) {
    let labels = JOURNALS.map(|journal| format!("journal=\"{journal}\""));
    let each = || labels.iter().map(String::as_str).zip(&vitals.journals);
    let bytes: Vec<_> = each().map(|(label, journal)| (label, journal.bytes.to_string())).collect();
    let limits: Vec<_> = each().map(|(label, journal)| (label, journal.bytes_max.to_string())).collect();
    let syncs: Vec<_> = each()
        .map(|(label, journal)| (label, (journal.syncs.count, seconds(journal.syncs.duration_us, 1_000_000))))
        .collect();
    page.gauge("journal_bytes", "Bytes of a journal on the disk.", &bytes);
    page.gauge("journal_limit_bytes", "Its limit; at it edits are refused.", &limits);
    page.summary("fsync_seconds", "Making edits durable, since the journal was opened.", &syncs);
}

fn flag(is_so: bool) -> String {
    u8::from(is_so).to_string()
}

/// A whole number of parts of a second as seconds, without the rounding of a floating-point number.
fn seconds(amount: u64, parts: u64) -> String {
    let digits = parts.ilog10() as usize;
    format!("{}.{:0digits$}", amount / parts, amount % parts)
}

/// Lines of the text format.
#[derive(Default)]
struct Text(String);

impl Text {
    fn gauge(&mut self, name: &str, help: &str, values: &[(&str, String)]) {
        self.family(name, "gauge", help);
        self.values(name, values);
    }

    fn counter(&mut self, name: &str, help: &str, values: &[(&str, String)]) {
        self.family(name, "counter", help);
        self.values(name, values);
    }

    /// Counts and sums.
    fn summary(&mut self, name: &str, help: &str, values: &[(&str, (u64, String))]) {
        self.family(name, "summary", help);
        for (label, (count, sum)) in values {
            self.values(&format!("{name}_sum"), &[(label, sum.clone())]);
            self.values(&format!("{name}_count"), &[(label, count.to_string())]);
        }
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _infallible = write!(self.0, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n");
    }

    fn values(&mut self, name: &str, values: &[(&str, String)]) {
        for (label, value) in values {
            let label = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
            let _infallible = writeln!(self.0, "{PREFIX}{name}{label} {value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::journal::SyncsDone;
    use crate::operations::{Input, JournalVitals, Progress, Request, SyncTally};

    struct Fake {
        vitals: Result<Vitals, AgentError>,
        is_alive: bool,
    }

    impl Performer for Fake {
        fn perform(&self, _: Request, _: &mut Input, _: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
            unreachable!("looking asks for nothing")
        }

        fn vitals(&self) -> Result<Vitals, AgentError> {
            self.vitals.clone()
        }

        fn is_alive(&self) -> bool {
            self.is_alive
        }
    }

    fn answer(path: &str, vitals: Result<Vitals, AgentError>, is_alive: bool) -> String {
        let mut bytes = Vec::new();
        Probe::at(path).unwrap().answer(&Fake { vitals, is_alive }, &mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    fn full() -> AgentError {
        AgentError::new("disk_full", "the disk is full", "Make room.", Exit::Disk)
    }

    #[test]
    fn alive_is_whether_the_loop_turns_whatever_else_fails() {
        let alive = answer("/healthz", Err(full()), true);
        let dead = answer("/healthz", Ok(Vitals::default()), false);

        assert!(alive.starts_with("HTTP/1.1 200 ") && alive.contains(r#""state":"running""#), "{alive}");
        assert!(dead.starts_with("HTTP/1.1 503 ") && dead.contains("loop_stands_still"), "{dead}");
    }

    #[test]
    fn ready_is_whether_an_edit_would_be_recorded_and_not_whether_central_answers() {
        let offline = Vitals { last_failure: Some("no_network".to_owned()), pending_edits: 900, ..Vitals::default() };
        let refusing = Vitals { refusal: Some(full()), ..Vitals::default() };

        let ready = answer("/readyz", Ok(offline), true);
        let not_ready = answer("/readyz", Ok(refusing), true);
        let broken = answer("/readyz", Err(full()), true);

        assert!(ready.starts_with("HTTP/1.1 200 ") && ready.contains(r#""ready":true"#), "{ready}");
        assert!(not_ready.starts_with("HTTP/1.1 503 ") && not_ready.contains("disk_full"), "{not_ready}");
        assert!(broken.starts_with("HTTP/1.1 503 ") && broken.contains("disk_full"), "{broken}");
    }

    #[test]
    fn metrics_that_cannot_be_had_are_an_error_and_no_zeros() {
        let broken = answer("/metrics", Err(full()), true);

        assert!(broken.starts_with("HTTP/1.1 503 ") && !broken.contains("outpost_"), "{broken}");
    }

    #[test]
    fn figures_have_names_types_labels_and_base_units() {
        let journal =
            JournalVitals { bytes: 1_000, bytes_max: 2_000, syncs: SyncsDone { count: 4, duration_us: 1_234_567 } };
        let vitals = Vitals {
            pending_edits: 12,
            oldest_pending_ms: Some(1_000),
            last_success_ms: Some(1_795_237_389_012),
            syncs: SyncTally { drained: 3, failed: 1, bytes_out: 99, duration_ms: 1_500, ..SyncTally::default() },
            journals: [journal, JournalVitals::default()],
            ..Vitals::default()
        };

        let text = text(&vitals, 62_500);

        for line in [
            concat!("outpost_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "outpost_ready 1",
            "# TYPE outpost_pending_records gauge",
            "outpost_pending_records{state=\"unsent\"} 12",
            "outpost_oldest_pending_seconds 61.500",
            "outpost_last_success_timestamp_seconds 1795237389.012",
            "outpost_last_sync_failed 0",
            "# TYPE outpost_syncs_total counter",
            "outpost_syncs_total{outcome=\"failed\"} 1",
            "# TYPE outpost_sync_duration_seconds summary",
            "outpost_sync_duration_seconds_sum 1.500",
            "outpost_sync_duration_seconds_count 4",
            "outpost_bytes_total{dir=\"out\"} 99",
            "outpost_journal_bytes{journal=\"shared\"} 1000",
            "outpost_fsync_seconds_sum{journal=\"shared\"} 1.234567",
            "outpost_fsync_seconds_count{journal=\"private\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("last_attempt_timestamp"), "a time that is not known is no zero");
    }

    #[test]
    fn each_figure_stands_once_below_its_type() {
        let times = Some(5);
        let vitals =
            Vitals { last_attempt_ms: times, last_success_ms: times, next_sync_ms: times, ..Vitals::default() };

        let text = text(&vitals, 5);

        let (mut families, mut values) = (BTreeSet::new(), BTreeSet::new());
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let (name, kind) = family.split_once(' ').unwrap();
                assert!(families.insert(name.to_owned()), "{name} has two types");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            } else if !line.starts_with("# HELP ") {
                let (series, value) = line.rsplit_once(' ').unwrap();
                assert!(values.insert(series.to_owned()), "{series} stands twice");
                assert!(value.parse::<f64>().is_ok(), "{line}");
                let name = series.split('{').next().unwrap();
                let is_known = |end: &str| families.contains(name.strip_suffix(end).unwrap_or(name));
                assert!(is_known("") || is_known("_sum") || is_known("_count"), "{name} has no type");
            }
        }
        assert!(text.ends_with('\n'));
    }
}
