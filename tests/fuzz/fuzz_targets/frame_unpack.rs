//! A frame's body whose signature was right.
#![no_main]

use codec::ZstdCodec;
use libfuzzer_sys::fuzz_target;
use protocol::frame;
use protocol::history::History;

fuzz_target!(|body: &[u8]| {
    if let Ok(frame) = frame::unpack(body, &mut History::default(), &mut ZstdCodec::default()) {
        assert_eq!(frame.hash_at(frame.last()), Some(frame.after()));
    }
});
