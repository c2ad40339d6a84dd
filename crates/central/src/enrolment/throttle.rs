//! Wrong passwords delay the next try of the same name from the same address, and nobody else.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Pairs of name and address that are remembered; at the limit the one that is free again soonest is forgotten.
pub(super) const PAIRS_MAX: usize = 4096;
/// Wrong passwords that cost nothing: people mistype.
const FREE_FAILURES: u32 = 3;
/// The first delay; each further failure doubles it.
const DELAY_FIRST_MS: u64 = 1_000;
/// The longest delay: 288 guesses a day.
const DELAY_MAX_MS: u64 = 300_000;

/// See the module.
#[derive(Default)]
pub(super) struct Throttle {
    pairs: BTreeMap<(String, IpAddr), Failures>,
}

struct Failures {
    count: u32,
    free_at_ms: u64,
}

impl Throttle {
    /// Seconds to wait before the next try; 0 to go on.
    pub(super) fn wait_s(&self, name: &str, address: IpAddr, now_ms: u64) -> u32 {
        let failures = self.pairs.get(&(name.to_owned(), address));
        let left_ms = failures.map_or(0, |failures| failures.free_at_ms.saturating_sub(now_ms));
        u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX)
    }

    /// A wrong password.
    pub(super) fn failed(&mut self, name: &str, address: IpAddr, now_ms: u64) {
        let key = (name.to_owned(), address);
        if self.pairs.len() >= PAIRS_MAX && !self.pairs.contains_key(&key) {
            let soonest = self.pairs.iter().min_by_key(|(_, failures)| failures.free_at_ms);
            if let Some(soonest) = soonest.map(|(key, _)| key.clone()) {
                self.pairs.remove(&soonest);
            }
        }
        let failures = self.pairs.entry(key).or_insert(Failures { count: 0, free_at_ms: now_ms });
        failures.count = failures.count.saturating_add(1);
        if let Some(doublings) = failures.count.checked_sub(FREE_FAILURES) {
            let delay_ms = DELAY_FIRST_MS.checked_shl(doublings.min(20)).unwrap_or(DELAY_MAX_MS).min(DELAY_MAX_MS);
            failures.free_at_ms = now_ms + delay_ms;
        }
    }

    /// The right password.
    pub(super) fn succeeded(&mut self, name: &str, address: IpAddr) {
        self.pairs.remove(&(name.to_owned(), address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    #[test]
    fn failures_delay_only_the_same_name_from_the_same_address_and_ever_longer() {
        let mut throttle = Throttle::default();
        let waits: Vec<u32> = (0..14)
            .map(|_| {
                throttle.failed("a", HERE, 0);
                throttle.wait_s("a", HERE, 0)
            })
            .collect();

        assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!((throttle.wait_s("a", THERE, 0), throttle.wait_s("b", HERE, 0)), (0, 0));
        assert_eq!(throttle.wait_s("a", HERE, 299_001), 1);
        assert_eq!(throttle.wait_s("a", HERE, 300_000), 0);
        throttle.succeeded("a", HERE);
        throttle.failed("a", HERE, 400_000);
        assert_eq!(throttle.wait_s("a", HERE, 400_000), 0);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_those_that_wait_longest() {
        let mut throttle = Throttle::default();
        for _ in 0..8 {
            throttle.failed("guessed", HERE, 0);
        }
        for index in 0..2 * PAIRS_MAX {
            throttle.failed(&format!("name {index}"), HERE, 1);
        }

        assert_eq!(throttle.pairs.len(), PAIRS_MAX);
        assert!(throttle.wait_s("guessed", HERE, 1) > 0);
    }
}
