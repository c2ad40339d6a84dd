//! The central server that outpost agents sync with: what sites talk to, the store, and the verbs of the command line.
#![forbid(unsafe_code)]

pub mod admin;
pub mod admin_api;
pub mod center;
pub mod clock;
pub mod commands;
pub mod copy;
pub mod enrolment;
pub mod entropy;
pub mod error;
mod flights;
pub mod folder;
#[cfg(test)]
#[path = "../../../tests/support/golden.rs"]
#[expect(unreachable_pub, reason = "shared with the tests of other crates")]
mod golden_files;
pub mod hex;
pub mod janitor;
pub mod key_file;
pub mod keys;
mod news;
pub mod operations;
pub mod os_user;
pub mod serve;
pub mod settings;
pub mod store;
pub mod sync_api;
mod wording;
pub mod writer;
