//! Whole replies: sections whose bodies are the fuzzer's bytes, signed and checksummed as central would, into the session machine.

use crate::device::{Device, Reply};
use crate::edges::{by_central, context_of, kind_of};
use crate::program::Program;

/// Sections in a reply at most.
const SECTIONS_MAX: usize = 16;

/// One session whose first reply is these bytes; every later connection fails.
pub(crate) fn reply(bytes: &[u8]) {
    let mut program = Program::new(bytes);
    let mut device = Device::of(&mut program);
    let mut is_first = true;
    let outcome = device.sync(usize::MAX, &mut |_, request| {
        if !std::mem::take(&mut is_first) {
            return None;
        }
        let context = context_of(request);
        let mut reply = Reply { bytes: Vec::new(), piece_bytes: usize::from(program.byte()) + 1, is_whole: true };
        for _ in 0..SECTIONS_MAX {
            if program.is_over() {
                break;
            }
            let kind = program.byte();
            let length = usize::from(program.short());
            let body = program.take(length);
            // What is not signed at all comes too.
            reply.bytes.extend(if kind & 0x80 != 0 {
                body.to_vec()
            } else {
                let kind = kind_of(kind);
                by_central(kind, context, &body[..body.len().min(kind.body_bytes_max())])
            });
        }
        Some(reply)
    });
    assert!(outcome.is_some(), "a session comes to its end");
}
