//! Real server processes on loopback, asked by the smallest agent that keeps the protocol, by HTTP clients that do not, and by
//! the command line.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

#[path = "suite/admin_api.rs"]
mod admin_api;
#[path = "suite/audit.rs"]
mod audit;
#[path = "suite/check.rs"]
mod check;
#[path = "suite/damage.rs"]
mod damage;
#[path = "suite/encryption.rs"]
mod encryption;
#[path = "suite/enrolment.rs"]
mod enrolment;
#[path = "suite/exchange.rs"]
mod exchange;
#[path = "suite/hostile.rs"]
mod hostile;
#[path = "suite/keys.rs"]
mod keys;
#[path = "suite/news.rs"]
mod news;
#[path = "suite/one_device.rs"]
mod one_device;
#[path = "suite/people.rs"]
mod people;
#[path = "suite/process.rs"]
mod process;
#[path = "suite/site_life.rs"]
mod site_life;
#[path = "suite/verbs.rs"]
mod verbs;
#[path = "suite/versions.rs"]
mod versions;
