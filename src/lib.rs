//! The agent: the edges of a device. Journals every edit on disk, and moves edits to central and records back when there is
//! a connection. `ARCHITECTURE.md` has the drawing.

pub mod agent;
pub mod allocator;
mod checked_line;
pub mod clients;
pub mod clock;
pub mod command_line;
pub mod commands;
pub mod config;
pub mod data_folder;
pub mod date;
pub mod device;
pub mod diagnosis;
pub mod durable_file;
pub mod entropy;
pub mod error;
pub mod examine;
pub mod exit;
pub mod file_privacy;
#[cfg(test)]
#[path = "../tests/support/golden.rs"]
#[expect(unreachable_pub, reason = "shared with the tests of other crates")]
mod golden_files;
pub mod hex;
pub mod journal;
pub mod kept_log;
pub mod local_api;
pub mod local_copy;
pub mod local_time;
pub mod logging;
pub mod nearest;
pub mod operations;
pub mod pacing;
pub mod passphrase;
pub mod queue_days;
pub mod recorder;
pub mod redaction;
pub mod refusals;
pub mod service;
pub mod sync_runner;
pub mod transport;
pub mod verifying;
