//! What the agent can be asked to do.

mod request;

pub use request::{
    LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, Progress, RecordOptions, Request, SYNC_TRIES_DEFAULT, SyncOptions,
};
