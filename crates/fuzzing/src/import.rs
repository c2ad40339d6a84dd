//! NDJSON as central imports it, through the verb itself into a store in memory.

use central::center::Center;
use central::error::Exit;
use central::operations::{Actor, Request, perform};
use central::settings::Settings;
use codec::Ed25519Signer;
use serde_json::Value;

/// Longest input that is tried: each run makes a store of its own.
const BYTES_MAX: usize = 16 * 1024;

/// Imports the lines twice: what was written once changes nothing the second time.
pub(crate) fn import(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(BYTES_MAX)];
    let signer = Ed25519Signer::from_seed(&[1; 32]);
    let center = Center::in_memory(Settings::default(), signer);
    let center = center.unwrap_or_else(|error| panic!("the defaults are right: {error:?}"));
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count() as u64;
    let Some(first) = imported(&center, bytes) else { return };
    let number = |done: &Value, key: &str| done.get(key).and_then(Value::as_u64).unwrap_or_default();
    let sum = |done: &Value| ["written", "unchanged", "refused"].iter().map(|key| number(done, key)).sum::<u64>();
    assert!(sum(&first) <= lines, "{first}");
    let second = imported(&center, bytes).unwrap_or_else(|| panic!("what was taken once is taken again"));
    assert_eq!(sum(&first), sum(&second), "{first} became {second}");
}

/// What the verb answers; `None` when nothing was done.
fn imported(center: &Center, bytes: &[u8]) -> Option<Value> {
    let request = Request::Import { continue_past_refused: true };
    match perform(center, &Actor::this_user(), request, &mut &*bytes, &mut std::io::sink(), &mut |_| {}) {
        Ok(done) => {
            assert!(matches!(done.exit, Exit::Ok | Exit::Partial), "{:?}", done.exit);
            Some(done.value)
        }
        Err(error) => {
            assert!(!error.code.is_empty() && !error.message.is_empty());
            None
        }
    }
}
