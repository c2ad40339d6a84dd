//! Sorting and collecting few things in little code.

/// Sorts a few items, stably: dozens, or what is nearly in order. The standard library's sort is for any number, and takes some five
/// kilobytes of a program for each type that it sorts, which a device has to carry.
pub fn sort_few<T>(items: &mut [T], is_before: impl Fn(&T, &T) -> bool) {
    for end in 1..items.len() {
        let mut at = end;
        while let Some([before, this]) = at.checked_sub(1).and_then(|from| items.get(from..=at))
            && is_before(this, before)
        {
            items.swap(at - 1, at);
            at -= 1;
        }
    }
}

/// Collects a few items one by one. To collect a map or a set of the standard library's sorts them first, which is the same code again.
pub fn gathered<T, C: Default + Extend<T>>(items: impl IntoIterator<Item = T>) -> C {
    let mut gathered = C::default();
    gathered.extend(items);
    gathered
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn a_few_are_sorted_and_equal_ones_stay_in_their_order() {
        for (items, expected) in [
            (&[][..], &[][..]),
            (&[(1, 'a')], &[(1, 'a')]),
            (&[(3, 'a'), (1, 'b'), (2, 'c'), (1, 'd')], &[(1, 'b'), (1, 'd'), (2, 'c'), (3, 'a')]),
            (&[(1, 'a'), (2, 'b'), (3, 'c')], &[(1, 'a'), (2, 'b'), (3, 'c')]),
        ] {
            let mut sorted: Vec<(u8, char)> = items.to_vec();
            sort_few(&mut sorted, |one, other| one.0 < other.0);
            assert_eq!(sorted, expected);
        }
    }
}
