//! Values that makers leave where a serial number belongs. Thousands of devices share them, so they tell nothing.

/// Shortest value that counts, in characters: what is shorter is a number of a series, not of a device.
const VALUE_CHARACTERS_MIN: usize = 4;

/// In lower case. Values of one repeated character (zeros, all F, x) need no place here.
const JUNK: &[&str] = &[
    "to be filled by o.e.m.",
    "to be filled by oem",
    "to be filled by o.e.m",
    "default string",
    "default",
    "none",
    "null",
    "n/a",
    "not applicable",
    "not available",
    "not specified",
    "not present",
    "not settable",
    "unknown",
    "unspecified",
    "undefined",
    "invalid",
    "empty",
    "o.e.m.",
    "o.e.m",
    "system serial number",
    "base board serial number",
    "board serial number",
    "chassis serial number",
    "product serial number",
    "serial number",
    "serial",
    "type2 - board serial number",
    "123456789",
    "1234567890",
    "0123456789",
    "0123456789abcdef",
    "01234567890123456789",
    // UUIDs that firmware kits come with.
    "03000200-0400-0500-0006-000700080009",
    "00020003-0004-0005-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
];

/// Whether a value without white space at its ends tells nothing.
pub(super) fn is_junk(value: &str) -> bool {
    let bare = value.strip_prefix("0x").unwrap_or(value);
    let mut characters =
        bare.chars().filter(|character| character.is_alphanumeric()).map(|one| one.to_ascii_lowercase());
    let is_one_repeated = match characters.next() {
        None => true,
        Some(first) => characters.all(|character| character == first),
    };
    is_one_repeated
        || bare.chars().count() < VALUE_CHARACTERS_MIN
        || JUNK.iter().any(|junk| junk.eq_ignore_ascii_case(value))
}
