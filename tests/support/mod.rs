//! Real programs in real processes, on folders that go away: one central, agents, and a bad link between them.

pub mod agent;
pub mod browser;
pub mod cargo;
pub mod central;
pub mod certificates;
pub mod corpus;
pub mod link;
pub mod machine;
pub mod memory_group;
pub mod middle;
pub mod power_cut;
pub mod proxy;
pub mod store_file;
pub mod supervisor;
pub mod torture;
pub mod web;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Longest wait for anything that should happen soon. Generous: machines that run tests are slow and shared.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Path of the central server's program, built once.
pub fn central_program() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let agent = PathBuf::from(env!("CARGO_BIN_EXE_outpost"));
            let folder = agent.parent().expect("a program lies in a folder");
            let mut build = cargo::cargo(Path::new(env!("CARGO_MANIFEST_DIR")));
            build.args(["build", "--quiet", "--package", "central", "--bin", "outpost-central"]);
            build.arg("--target-dir").arg(folder.parent().expect("below the target folder"));
            if folder.ends_with("release") {
                build.arg("--release");
            }
            let status = build.status().expect("cargo runs");
            assert!(status.success(), "central could not be built");
            folder.join("outpost-central")
        })
        .clone()
}

/// Says loudly what a test left out: past what the test runner keeps to itself.
pub fn not_run(why: &str) {
    let _ = std::io::stderr().write_all(format!("\nNOT RUN: {why}\n").as_bytes());
}

/// Waits until something holds; says what if it never does.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Standard output of a command that must have ended well.
pub fn success(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}: {text}\n{error}", output.status);
    text.into_owned()
}
