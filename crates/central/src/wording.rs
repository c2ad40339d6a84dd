//! Numbers with their words.

/// `1 site has`, `2 sites have`: a number with what is said of one, or of any other number.
pub(crate) fn count(amount: u64, one: &str, others: &str) -> String {
    format!("{amount} {}", if amount == 1 { one } else { others })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_told_apart_from_none_and_many() {
        let told = [0, 1, 2, 21].map(|amount| count(amount, "entry waits", "entries wait"));

        assert_eq!(told, ["0 entries wait", "1 entry waits", "2 entries wait", "21 entries wait"]);
    }
}
