//! Ids and bytes as hexadecimal text in files and in JSON. Writing ids is their `Display`.

use std::fmt::Write as _;

/// Lower-case digits.
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// Reads exactly `N` bytes from `2 * N` hexadecimal digits; `None` for anything else.
pub fn array<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0_u8; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// Reads any even number of digits; `None` for anything else.
pub fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::ids::JournalId;

    #[test]
    fn only_the_right_number_of_digits_is_read() {
        assert_eq!(array("00ffA0"), Some([0, 255, 160]));
        for text in ["", "00ffA", "00ffA00", "00ffAg", "00ff+1", "é0ff"] {
            assert_eq!(array::<3>(text), None, "{text}");
        }
    }

    #[test]
    fn what_an_id_writes_is_read_again() {
        let id = JournalId([0x5a; 16]);

        assert_eq!(array(&id.to_string()), Some(id.0));
        assert_eq!(text(&id.0), id.to_string());
    }
}
