//! One line of text with its checksum behind it, as the small files of a data folder are written: the line, then `crc32 ` and the CRC-32
//! of that line in 8 hexadecimal digits, each with a line feed.

/// What stands between the line and its checksum.
const LABEL: &str = "crc32 ";

/// The line with its checksum. It has no line feed of its own.
pub(crate) fn with_checksum(line: &str) -> String {
    format!("{line}\n{}\n", checksum(line))
}

/// The line, if its checksum is right.
pub(crate) fn checked(bytes: &[u8]) -> Option<&str> {
    let (line, found) = str::from_utf8(bytes).ok()?.strip_suffix('\n')?.split_once('\n')?;
    (found == checksum(line)).then_some(line)
}

fn checksum(line: &str) -> String {
    format!("{LABEL}{:08x}", crc32fast::hash(line.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back_and_no_other_bytes_do() {
        let text = with_checksum(r#"{"version":1}"#);
        assert_eq!(checked(text.as_bytes()), Some(r#"{"version":1}"#));

        for place in 0..text.len() {
            let mut flipped = text.clone().into_bytes();
            flipped[place] ^= 1;
            assert_eq!(checked(&flipped), None, "{place}");
            assert_eq!(checked(&text.as_bytes()[..place]), None, "{place}");
        }
    }
}
