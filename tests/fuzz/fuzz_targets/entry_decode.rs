//! Entries and rows; what can be read is written and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::entry::Entry;
use protocol::row::Row;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(entry) = Entry::decode(bytes) {
        assert_eq!(Entry::ends_group(bytes), Ok(entry.is_group_end));
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
    }
    if let Ok(row) = Row::decode(bytes) {
        assert_eq!(Row::decode(&row.to_bytes()), Ok(row));
    }
});
