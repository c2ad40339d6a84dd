//! Real programs against each other: what a user does, and what goes wrong on the way.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![expect(unreachable_pub, reason = "the same support serves benches and chores")]
#![expect(
    clippy::disallowed_methods,
    reason = "waiting for real processes needs a real clock; nothing is ordered by it"
)]

mod support;

#[path = "suite/adversary.rs"]
mod adversary;
#[path = "suite/applications.rs"]
mod applications;
#[path = "suite/backup.rs"]
mod backup;
#[path = "suite/bad_input.rs"]
mod bad_input;
#[path = "suite/bad_link.rs"]
mod bad_link;
#[path = "suite/central_key.rs"]
mod central_key;
#[path = "suite/central_set_back.rs"]
mod central_set_back;
#[path = "suite/clients.rs"]
mod clients;
#[path = "suite/clones.rs"]
mod clones;
#[path = "suite/daemon.rs"]
mod daemon;
#[path = "suite/doctor.rs"]
mod doctor;
#[path = "suite/encryption.rs"]
mod encryption;
#[path = "suite/examine.rs"]
mod examine;
#[path = "suite/explain.rs"]
mod explain;
#[path = "suite/files.rs"]
mod files;
#[path = "suite/forgotten_store.rs"]
mod forgotten_store;
#[path = "suite/full_disk.rs"]
mod full_disk;
#[path = "suite/full_life.rs"]
mod full_life;
#[path = "suite/help.rs"]
mod help;
#[path = "suite/identity.rs"]
mod identity;
#[path = "suite/kills.rs"]
mod kills;
#[path = "suite/memory.rs"]
mod memory;
#[path = "suite/merging.rs"]
mod merging;
#[path = "suite/messages.rs"]
mod messages;
#[path = "suite/moves.rs"]
mod moves;
#[path = "suite/news.rs"]
mod news;
#[path = "suite/numbers.rs"]
mod numbers;
#[path = "suite/patients.rs"]
mod patients;
#[path = "suite/power_cut.rs"]
mod power_cut;
#[path = "suite/procurement.rs"]
mod procurement;
#[path = "suite/proposals.rs"]
mod proposals;
#[path = "suite/proxies.rs"]
mod proxies;
#[path = "suite/put_back.rs"]
mod put_back;
#[path = "suite/recover.rs"]
mod recover;
#[path = "suite/schedule.rs"]
mod schedule;
#[path = "suite/service.rs"]
mod service;
#[path = "suite/set_aside.rs"]
mod set_aside;
#[path = "suite/site.rs"]
mod site;
#[path = "suite/status_page.rs"]
mod status_page;
#[path = "suite/status_watch.rs"]
mod status_watch;
#[path = "suite/sync.rs"]
mod sync;
#[path = "suite/torture.rs"]
mod torture;
#[path = "suite/transfers.rs"]
mod transfers;
#[path = "suite/transfers_disturbed.rs"]
mod transfers_disturbed;
#[path = "suite/transfers_in_the_example.rs"]
mod transfers_in_the_example;
#[path = "suite/transfers_ordered.rs"]
mod transfers_ordered;
#[path = "suite/users.rs"]
mod users;
#[path = "suite/verify.rs"]
mod verify;
#[path = "suite/withholding.rs"]
mod withholding;
#[path = "suite/worked_example.rs"]
mod worked_example;
#[path = "suite/worked_example_mirrored.rs"]
mod worked_example_mirrored;
