//! The adversary: real agents and the real central in one thread, on virtual time, with disks and networks that fail. One seed
//! gives everything; the same seed gives the same run, byte for byte.
//!
//! ```text
//!   work ──> Device ─ recorder, journals, session ──┐ traffic: delay, cuts, copies, portals
//!            (FakeStorage ×2, Disk ─ SQLite)        │
//!   happenings: power, kills, clocks, operators     v
//!   oracle, settle <── model, inspect ───────── Centre ─ exchange machine, Store (Disk ─ SQLite)
//! ```
//!
//! What is simulated instead of run: HTTP and threads (`transport`, `sync_api`, `writer`), and sled (`FakeStorage` behaves as
//! sled was measured to). The invariants are those of `ARCHITECTURE.md`, by number.

pub mod centre;
mod clock;
pub mod command;
mod deletions;
pub mod device;
pub mod disk;
mod files;
mod forks;
mod happenings;
mod healing;
mod homeless;
mod hostile;
pub mod inspect;
mod mischief;
pub mod mix;
pub mod model;
mod moves;
mod numbers;
mod operators;
mod oracle;
mod pauses;
mod procurement;
mod proposals;
mod pruning;
pub mod random;
pub mod run;
mod settle;
mod time_line;
pub mod trace;
mod traffic;
mod transfers;
mod users;
mod verifies;
mod visibility;
pub mod work;
pub mod world;
