//! Android's serial number: a property, which a daemon can ask for but not read from a file of its own.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use zeroize::Zeroizing;

use super::sources::{Value, trimmed};

/// The properties that hold it, the newer first.
const PROPERTIES: [&str; 2] = ["ro.serialno", "ro.boot.serialno"];
/// The program that tells a property.
const PROGRAM: &str = "system/bin/getprop";
/// Files of properties, on devices that let them be read.
const FILES: [&str; 3] = ["default.prop", "system/build.prop", "vendor/build.prop"];
/// Longest value of a property, in bytes: 91 on most versions of Android.
const PROPERTY_BYTES_MAX: usize = 256;
/// Most bytes of a file of properties that are read.
const FILE_BYTES_MAX: usize = 256 * 1024;
/// How long the program may take, in milliseconds. A sync waits for it.
const PROGRAM_MS_MAX: u64 = 2_000;

/// The serial number as it is told; may be junk.
pub(super) fn serial(root: &Path) -> Option<Value> {
    let program = root.join(PROGRAM);
    if program.exists() {
        let told = PROPERTIES.iter().find_map(|property| ask(&program, property).filter(|value| !value.is_empty()));
        if told.is_some() {
            return told;
        }
    }
    FILES.iter().find_map(|file| PROPERTIES.iter().find_map(|property| look_up(&root.join(file), property)))
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

fn look_up(file: &Path, property: &str) -> Option<Value> {
    // Room from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
    File::open(file).ok()?.take(FILE_BYTES_MAX as u64).read_to_end(&mut bytes).ok()?;
    let value =
        bytes.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(property.as_bytes())?.strip_prefix(b"="));
    trimmed(value?, PROPERTY_BYTES_MAX)
}
