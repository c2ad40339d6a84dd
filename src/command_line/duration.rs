//! Lengths of time as people write them.

use super::UsageError;

/// Units, the largest last.
const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];

/// Seconds of a text such as `30m`, from 1 to `most`.
pub(super) fn seconds(name: &'static str, text: String, most: u64) -> Result<u64, UsageError> {
    let parsed = UNITS.iter().find_map(|(unit, unit_s)| {
        let digits = text.strip_suffix(*unit)?;
        // `parse` would take a sign.
        let amount: u64 = digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())??;
        amount.checked_mul(*unit_s)
    });
    parsed.filter(|seconds| (1..=most).contains(seconds)).ok_or_else(|| UsageError::Argument {
        name,
        value: text,
        expected: format!("a whole number with its unit, such as 30m, 8h or 2d; at most {}d", most / 86_400),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<u64> {
        seconds("for", text.to_owned(), 366 * 86_400).ok()
    }

    #[test]
    fn a_number_with_a_unit_is_a_length_of_time() {
        for (text, expected) in [("90s", 90), ("30m", 1800), ("8h", 28_800), ("2d", 172_800), ("366d", 366 * 86_400)] {
            assert_eq!(parsed(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "h", "8", "0m", "-1h", "+1h", "1.5h", "367d", "8 h", "8H", "99999999999999999999d"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
