//! Numbers, sizes, times and ages in words.

use std::fmt::Write as _;

use serde_json::Value;

use crate::date::date_text;

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// `100000` is `100,000`.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 edit`, `2,000 edits`.
pub(super) fn count(amount: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(amount), if amount == 1 { "" } else { "s" })
}

/// `812 kB`, with one digit behind the point below ten; units of 1,000.
pub(super) fn bytes(bytes: u64) -> String {
    let mut unit_bytes = 1;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB"] {
        // What would be rounded to 1,000 belongs to the next unit.
        if bytes < unit_bytes * 1000 - unit_bytes / 2 {
            break;
        }
        unit_bytes *= 1000;
        unit = larger;
    }
    let tenths = (u128::from(bytes) * 10 + u128::from(unit_bytes) / 2) / u128::from(unit_bytes);
    if unit == "B" {
        format!("{bytes} B")
    } else if tenths < 100 {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    } else {
        format!("{} {unit}", (u128::from(bytes) + u128::from(unit_bytes) / 2) / u128::from(unit_bytes))
    }
}

/// What is to be said of a recovery that is under way; nothing if there is none.
pub(super) fn recovery(recovery: &Value) -> Option<String> {
    let edits = recovery["edits"].as_u64().unwrap_or_default();
    match recovery["step"].as_str()? {
        "asked" => Some("asked for and not begun; run `outpost recover` again".to_owned()),
        _ if edits > 0 => Some(format!(
            "not over: {} in {} alone, not sent and not set aside; run `outpost recover` again",
            if edits == 1 { "1 edit is".to_owned() } else { format!("{} edits are", number(edits)) },
            text(&recovery["file"])
        )),
        _ => Some("not over; run `outpost recover` again".to_owned()),
    }
}

/// A length of time in its largest unit: `3 minutes`.
pub(super) fn duration(ms: u64) -> String {
    let units = [(DAY_MS, "day"), (3_600_000, "hour"), (60_000, "minute"), (1000, "second")];
    units
        .into_iter()
        .find(|(unit_ms, _)| ms >= *unit_ms)
        .map_or_else(|| "less than a second".to_owned(), |(unit_ms, unit)| count(ms / unit_ms, unit))
}

/// A moment, with its distance from now: `2026-11-21T05:03:09Z (3 minutes ago)`.
pub(super) fn moment(ms: u64, now_ms: u64) -> String {
    let distance =
        if ms <= now_ms { format!("{} ago", duration(now_ms - ms)) } else { format!("in {}", duration(ms - now_ms)) };
    format!("{} ({distance})", date_text(ms))
}

/// A text without the quotes of JSON; other values as JSON, and nothing for null.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => visible(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// What comes from elsewhere moves no cursor and breaks no line.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    shown
}

/// Rows in columns, each as wide as its widest cell; numbers are for the caller to align.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (index, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(index) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _infallible = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_have_their_thousands_apart() {
        let numbers = [0, 7, 999, 1000, 100_000, 1_234_567].map(number);

        assert_eq!(numbers, ["0", "7", "999", "1,000", "100,000", "1,234,567"]);
        assert_eq!(count(1, "edit"), "1 edit");
        assert_eq!(count(0, "edit"), "0 edits");
    }

    #[test]
    fn sizes_are_rounded_to_two_digits_or_three() {
        let sizes = [0, 999, 1000, 1249, 9949, 9950, 812_345, 999_499, 999_500, 12_000_000, u64::MAX].map(bytes);

        let expected = [
            "0 B",
            "999 B",
            "1.0 kB",
            "1.2 kB",
            "9.9 kB",
            "10 kB",
            "812 kB",
            "999 kB",
            "1.0 MB",
            "12 MB",
            "18446744 TB",
        ];
        assert_eq!(sizes, expected);
    }

    #[test]
    fn ages_are_told_in_their_largest_unit() {
        assert_eq!(duration(999), "less than a second");
        assert_eq!(duration(1000), "1 second");
        assert_eq!(duration(119_999), "1 minute");
        assert_eq!(duration(3 * DAY_MS), "3 days");
        assert_eq!(moment(0, 7_200_000), "1970-01-01T00:00:00Z (2 hours ago)");
        assert_eq!(moment(5000, 0), "1970-01-01T00:00:05Z (in 5 seconds)");
    }

    #[test]
    fn columns_line_up_and_control_characters_are_shown() {
        let rows = [vec!["a".to_owned(), text(&json!("long\u{1b}[2J"))], vec!["bcd".to_owned(), "x".to_owned()]];

        assert_eq!(columns(&rows), "a    long\\u{1b}[2J\nbcd  x\n");
    }
}
