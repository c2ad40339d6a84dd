//! The agent of outpost: journals the edits of a remote site and syncs them with central. See `ARCHITECTURE.md`.

pub mod operations;
