//! What an application or a person may ask of the agent, and what comes back: the same types whether the data folder is opened
//! directly or a daemon is asked through its socket.

use serde::{Deserialize, Serialize};

/// Most records, queue entries or set-aside entries in one answer.
pub const LIST_LIMIT_MAX: u32 = 1000;
/// How many an answer holds when nobody says.
pub const LIST_LIMIT_DEFAULT: u32 = 100;

/// Most numbers of refused edits in one request: a page of their list. They are let go of in one durable step, which holds the lock
/// for 40 ms (measured; 2 s if each had 1 MB, the most that a record may have).
pub const SET_ASIDE_NUMBERS_MAX: usize = LIST_LIMIT_MAX as usize;

/// One thing to do. On the socket: `POST /v0/VERB` with this as JSON (without the verb), and for `record` the lines after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Journal edits, read as NDJSON lines from the request's input.
    Record(RecordOptions),
    /// One record.
    Get {
        /// Table name.
        table: String,
        /// Record id.
        id: String,
    },
    /// Records of a table in the order of their ids.
    List {
        /// Table name.
        table: String,
        /// Only those of this store.
        #[serde(default)]
        store: Option<String>,
        /// Those too that were merged into others.
        #[serde(default)]
        merged: bool,
        /// Begin after this id.
        #[serde(default)]
        after: Option<String>,
        /// At most this many, 1 to [`LIST_LIMIT_MAX`].
        #[serde(default = "limit_default")]
        limit: u32,
    },
    /// Push, then pull, until everything went through or it cannot.
    Sync(SyncOptions),
    /// Forget what came from central and fetch it anew; this site's own edits stay.
    Initialise(SyncOptions),
    /// Compare what this site has with what central says it should have, and mend what differs.
    Verify(SyncOptions),
    /// The site, its queue and its last syncs.
    Status,
    /// The same without the counts of records, once it has changed.
    Watch {
        /// Wait for a change behind this one, which the last answer gave as `change`; without it the answer comes at once.
        #[serde(default)]
        after: Option<u64>,
        /// At most so long, in seconds.
        #[serde(default)]
        wait_s: u32,
    },
    /// Who the site is, its stores, and whom these can exchange transfers with.
    Site,
    /// Edits whose verdict is not final.
    Queue {
        /// Begin after this sequence.
        #[serde(default)]
        after: u64,
        /// At most this many.
        #[serde(default = "limit_default")]
        limit: u32,
    },
    /// Refused edits.
    SetAsideList {
        /// Begin after this number.
        #[serde(default)]
        after: u64,
        /// At most this many.
        #[serde(default = "limit_default")]
        limit: u32,
    },
    /// One refused edit with its data.
    SetAsideShow {
        /// Its number in the list.
        number: u64,
    },
    /// Journal refused edits anew.
    SetAsideRetry {
        /// Their numbers, at most [`SET_ASIDE_NUMBERS_MAX`]; empty means all that are there when it begins.
        numbers: Vec<u64>,
    },
    /// Let refused edits go that nobody wants any more: all of the named ones, or none.
    SetAsideDismiss {
        /// Their numbers, 1 to [`SET_ASIDE_NUMBERS_MAX`].
        numbers: Vec<u64>,
    },
    /// Give the next document numbers of a kind.
    NextNumber(NextNumber),
    /// Sync no more by the schedule. Whoever asks for a sync gets it all the same.
    Pause {
        /// For so many seconds, 1 to [`PAUSE_S_MAX`](crate::pacing::PAUSE_S_MAX); else until [`Request::Resume`].
        #[serde(default)]
        duration_s: Option<u64>,
    },
    /// End a pause.
    Resume,
    /// Say what changed in the local copy since a cursor.
    Changes(Changes),
    /// Wait until central has an edit, or has refused it.
    Wait {
        /// Its sequence, as `record` gave it.
        sequence: u64,
        /// At most so long, in seconds; 0 says how it is now.
        #[serde(default = "timeout_default")]
        timeout_s: u32,
    },
    /// Let one more machine of the local network work on this agent. At the socket alone, as all that follows.
    ClientAdd {
        /// Its name.
        name: String,
    },
    /// The machines that may.
    ClientList,
    /// Let one of them work here no more, from this moment on.
    ClientRevoke {
        /// Its name.
        name: String,
    },
    /// The certificate that they are shown.
    ClientCertificate,
}

/// Which changes to give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    /// Those behind this cursor; without one, all records.
    #[serde(default)]
    pub after: Option<String>,
    /// At most this many, 1 to [`LIST_LIMIT_MAX`].
    #[serde(default = "limit_default")]
    pub limit: u32,
    /// Where nothing is there yet, wait for it so long, in seconds.
    #[serde(default)]
    pub wait_s: u32,
}

/// How long to wait for an edit to reach central if nobody says, in seconds.
pub const WAIT_TIMEOUT_S_DEFAULT: u32 = 60;

const fn timeout_default() -> u32 {
    WAIT_TIMEOUT_S_DEFAULT
}

/// Which document numbers to give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextNumber {
    /// Of this store.
    pub store: String,
    /// Of this kind, such as `customer_invoice_number`.
    pub kind: String,
    /// How many, 1 to [`domain::number::NUMBERS_MAX`].
    #[serde(default = "one")]
    pub count: u32,
    /// Makes a repeated call for the same store, kind and count give the same numbers.
    #[serde(default)]
    pub request_id: Option<String>,
}

const fn one() -> u32 {
    1
}

/// How to record the lines of the input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordOptions {
    /// All lines are one group: judged whole, all or nothing.
    #[serde(default)]
    pub group: bool,
    /// Record the good lines and list the refused ones, instead of recording nothing when one is bad.
    #[serde(default, rename = "continue")]
    pub continue_past_refused: bool,
    /// Makes a repeated call harmless. Without it the lines' own hash serves when there are several.
    #[serde(default)]
    pub request_id: Option<String>,
}

/// How long to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncOptions {
    /// Sessions in a row that may fail without bringing anything forward; 1 tries once.
    #[serde(default = "tries_default")]
    pub tries_max: u32,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self { tries_max: tries_default() }
    }
}

/// Tries of a sync that somebody waits for.
pub const SYNC_TRIES_DEFAULT: u32 = 3;

const fn tries_default() -> u32 {
    SYNC_TRIES_DEFAULT
}

const fn limit_default() -> u32 {
    LIST_LIMIT_DEFAULT
}

/// How far something long is; sent while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Progress {
    /// Lines are being checked before any is recorded.
    Checking {
        /// Lines so far.
        lines: u64,
    },
    /// Lines are being recorded.
    Recording {
        /// Lines so far.
        lines: u64,
        /// Lines in all.
        lines_total: u64,
    },
    /// A session runs.
    Syncing {
        /// Edits that central has received in this sync.
        sent: u64,
        /// Edits that waited when it began.
        sent_total: u64,
        /// Rows stored.
        stored: u64,
        /// Rows that waited at central, once it has said so.
        stored_total: Option<u64>,
        /// Bytes of requests.
        bytes_out: u64,
        /// Bytes of replies.
        bytes_in: u64,
    },
    /// What is here is being compared with central.
    Verifying {
        /// Scopes so far.
        scopes: u32,
        /// Records so far.
        records: u64,
        /// Buckets that differ so far.
        differing: u64,
    },
    /// A backup is being written.
    BackingUp {
        /// Edits and records so far.
        done: u64,
        /// In all.
        total: u64,
    },
    /// Records of a file are being stored.
    Storing {
        /// Rows so far.
        stored: u64,
        /// Rows in all, if the file says so.
        total: Option<u64>,
    },
    /// A session failed and another one follows.
    Waiting {
        /// Stable code of the failure.
        code: String,
        /// What happened.
        message: String,
        /// Milliseconds until the next try.
        wait_ms: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_back_and_unknown_fields_are_errors() {
        let request = Request::List { table: "item".into(), store: None, merged: true, after: None, limit: 7 };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);

        assert!(serde_json::from_str::<Request>(r#"{"verb":"get","table":"item","id":"x","extra":1}"#).is_err());
        assert_eq!(
            serde_json::from_str::<Request>(r#"{"verb":"sync"}"#).unwrap(),
            Request::Sync(SyncOptions { tries_max: SYNC_TRIES_DEFAULT })
        );
    }
}
