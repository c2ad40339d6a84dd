//! What each fuzz target does with its bytes, as plain functions: `tests/fuzz` gives them to libFuzzer, and `tests/replay.rs`
//! gives them the committed corpus on every run of the tests, so that both run the same code.
//!
//! A target takes any bytes at all and panics only if the program is wrong. Never shipped.
#![forbid(unsafe_code)]

mod device;
mod edges;
mod exchange;
mod files;
mod import;
mod journal;
mod lines;
mod program;
mod records;
mod reply;
mod session;
mod settings;
mod wire;

/// One fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: of the file in `tests/fuzz/fuzz_targets`, and of its folder in `tests/fuzz/corpus`.
    pub name: &'static str,
    /// Takes any bytes and panics only if the program is wrong.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "section", run: wire::section },
    Target { name: "head", run: wire::head },
    Target { name: "frame", run: wire::frame },
    Target { name: "page", run: wire::page },
    Target { name: "entry", run: records::entry },
    Target { name: "reply", run: reply::reply },
    Target { name: "session", run: session::session },
    Target { name: "exchange", run: exchange::exchange },
    Target { name: "sealed", run: files::sealed },
    Target { name: "export", run: files::export },
    Target { name: "edits", run: lines::edits },
    Target { name: "import", run: import::import },
    Target { name: "agent_settings", run: settings::agent },
    Target { name: "central_settings", run: settings::central },
    Target { name: "journal", run: journal::journal },
];

/// Runs the target of this name.
///
/// # Panics
/// If there is none, or if the program is wrong about these bytes.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("there is no target {name}; see fuzzing::TARGETS"));
    (target.run)(bytes);
}
