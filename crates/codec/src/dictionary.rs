//! Dictionaries that both programs carry, for the first frame of a request and the first page of a reply.
//!
//! A dictionary is raw content: typical plain bytes, the most useful last. Its number is on the wire, so a file never changes
//! once it was released; a better one gets the next number and [`BUILT_IN_LATEST`] moves when every central knows it.
//! How to make one: `docs/decisions/compression.md`, "Built-in dictionaries".

/// The dictionary that is written; older numbers are read for ever.
pub const BUILT_IN_LATEST: u8 = 0;

/// Every dictionary ever released, its number being its place.
const BUILT_IN: [&[u8]; 1] = [include_bytes!("dictionary_0.bin")];

/// The dictionary of this number, if this program has it.
pub fn built_in(number: u8) -> Option<&'static [u8]> {
    BUILT_IN.get(usize::from(number)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_dictionary_is_there_and_the_next_is_not() {
        assert!(built_in(BUILT_IN_LATEST).is_some_and(|bytes| !bytes.is_empty()));
        assert_eq!(built_in(BUILT_IN_LATEST + 1), None);
    }

    #[test]
    fn the_binary_grows_by_at_most_16_kib_for_each_dictionary() {
        assert!(BUILT_IN.iter().all(|bytes| bytes.len() <= 16 * 1024));
    }
}
