//! Android's serial number: a property, which a daemon can ask for but not read from a file of its own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::sources::{Value, trimmed};

/// The properties that hold it, the newer first.
const PROPERTIES: [&str; 2] = ["ro.serialno", "ro.boot.serialno"];
/// The program that tells a property.
const PROGRAM: &str = "system/bin/getprop";
/// Longest value of a property, in bytes: 91 on most versions of Android.
const PROPERTY_BYTES_MAX: usize = 256;
/// How long the program may take, in milliseconds. A sync waits for it.
const PROGRAM_MS_MAX: u64 = 2_000;

/// The serial number as it is told; may be junk. Files of properties are not asked: they lie on the disk, and go with a copy of it.
pub(super) fn serial(root: &Path) -> Option<Value> {
    let program = root.join(PROGRAM);
    if !program.exists() {
        return None;
    }
    PROPERTIES.iter().find_map(|property| ask(&program, property).filter(|value| !value.is_empty()))
}

fn ask(program: &Path, property: &str) -> Option<Value> {
    let mut child = Command::new(program)
        .arg(property)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let output = child.stdout.take()?;
    let (sender, receiver) = sync_channel(1);
    let reading = std::thread::Builder::new().name("getprop".to_owned()).spawn(move || {
        // Nobody waits any more if this fails.
        let _ = sender.send(trimmed(output, PROPERTY_BYTES_MAX));
    });
    let value = match reading {
        Ok(_) => receiver.recv_timeout(Duration::from_millis(PROGRAM_MS_MAX)).ok().flatten(),
        Err(_) => None,
    };
    // It has told what it knows, or hangs.
    let _ = child.kill();
    let _ = child.wait();
    value
}
