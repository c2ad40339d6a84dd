//! How a test or a chore runs cargo. Shared by both.

use std::path::Path;
use std::process::Command;

/// What cargo tells a program that it runs, of that program's own package. A cargo that this program runs in turn would build ring
/// anew, which looks at these variables.
const OF_THE_PACKAGE: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// The cargo that runs this program, or else the one that is found, in a folder.
pub fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder);
    for (variable, _) in std::env::vars_os() {
        if OF_THE_PACKAGE.iter().any(|start| variable.to_string_lossy().starts_with(start)) {
            command.env_remove(variable);
        }
    }
    command
}
