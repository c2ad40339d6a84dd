//! How edits move between a remote site and central: entries and their chain, frames, request heads, replies, pages, and the
//! two machines that exchange them. Knows no file, socket, clock, thread or random source; time and entropy are arguments.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod bytes;
pub mod carried;
pub mod chain;
pub mod check;
pub mod control;
pub mod edge;
pub mod entry;
pub mod exchange;
pub mod export;
pub mod few;
pub mod fingerprint;
pub mod frame;
pub mod hardware;
pub mod history;
pub mod ids;
pub mod limits;
pub mod message;
pub mod news;
pub mod page;
mod question;
pub mod row;
pub mod schedule;
pub mod section;
pub mod session;
#[cfg(test)]
mod testing;
pub mod verify;
pub mod versions;
