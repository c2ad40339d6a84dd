//! A page's body whose signature was right.
#![no_main]

use codec::ZstdCodec;
use libfuzzer_sys::fuzz_target;
use protocol::history::History;
use protocol::page;

fuzz_target!(|body: &[u8]| {
    if let Ok((header, packed)) = page::read_header(body) {
        let _ = page::unpack_rows(&header, packed, &mut History::default(), &mut ZstdCodec::default());
    }
});
