//! Finds what somebody who mistyped a word may have meant.

/// The word that is nearest to what was typed, if one is near enough: at most a third of its letters differ.
pub fn nearest<'a>(typed: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = typed.chars().count().max(3) / 3;
    words
        .into_iter()
        .map(|word| (distance(typed, word), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, word)| word)
}

/// Letters to put in, take out, change, or swap with their neighbour (optimal string alignment).
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![vec![0_usize; right.len() + 1]; left.len() + 1];
    for (index, row) in rows.iter_mut().enumerate() {
        row[0] = index;
    }
    for (index, cell) in rows[0].iter_mut().enumerate() {
        *cell = index;
    }
    for down in 1..=left.len() {
        for across in 1..=right.len() {
            let is_changed = left[down - 1] != right[across - 1];
            let mut best = (rows[down - 1][across - 1] + usize::from(is_changed))
                .min(rows[down - 1][across] + 1)
                .min(rows[down][across - 1] + 1);
            let is_swapped =
                down > 1 && across > 1 && left[down - 1] == right[across - 2] && left[down - 2] == right[across - 1];
            if is_swapped {
                best = best.min(rows[down - 2][across - 2] + 1);
            }
            rows[down][across] = best;
        }
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_finds_the_word() {
        let words = ["status", "sync", "queue", "set-aside"];

        for (typed, expected) in [
            ("statsu", Some("status")),
            ("snyc", Some("sync")),
            ("quue", Some("queue")),
            ("que", None),
            ("setaside", Some("set-aside")),
            ("record", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, words), expected, "{typed}");
        }
    }
}
