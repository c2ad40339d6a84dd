//! Wrong passwords delay the next try of the same name from the same address, and nobody else. Beside that an address with many of
//! them, under whatever names, gets its next "wrong" later and later: guessing slows down, and a right password, which a whole
//! district may send from that address, is answered at once.

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

/// Addresses that are remembered; at the limit the one that was wrong longest ago is forgotten.
pub(super) const ADDRESSES_MAX: usize = 4096;
/// Wrong passwords of one address that are answered at once: a day of enrolments in a district.
const ADDRESS_FREE_FAILURES: u32 = 20;
/// By how much each further one is answered later.
const ADDRESS_DELAY_STEP_MS: u64 = 250;
/// The latest answer: somebody who mistyped still waits for it.
const ADDRESS_DELAY_MAX_MS: u64 = 10_000;
/// Without a wrong password for so long an address is as good as any.
const ADDRESS_FORGET_MS: u64 = 300_000;

/// See the module.
#[derive(Default)]
pub(super) struct Throttle {
    pairs: BTreeMap<(String, IpAddr), Failures>,
    addresses: BTreeMap<IpAddr, AddressFailures>,
}

struct AddressFailures {
    count: u32,
    last_ms: u64,
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

    /// A wrong password. Gives after how many milliseconds that is to be told.
    pub(super) fn failed(&mut self, name: &str, address: IpAddr, now_ms: u64) -> u64 {
        self.pair_failed(name, address, now_ms);
        self.address_failed(address, now_ms)
    }

    fn address_failed(&mut self, address: IpAddr, now_ms: u64) -> u64 {
        if self.addresses.len() >= ADDRESSES_MAX && !self.addresses.contains_key(&address) {
            let oldest = self.addresses.iter().min_by_key(|(_, failures)| failures.last_ms);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.addresses.remove(&oldest);
            }
        }
        let failures = self.addresses.entry(address).or_insert(AddressFailures { count: 0, last_ms: now_ms });
        if now_ms.saturating_sub(failures.last_ms) >= ADDRESS_FORGET_MS {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last_ms = now_ms;
        let above = u64::from(failures.count.saturating_sub(ADDRESS_FREE_FAILURES));
        (above * ADDRESS_DELAY_STEP_MS).min(ADDRESS_DELAY_MAX_MS)
    }

    fn pair_failed(&mut self, name: &str, address: IpAddr, now_ms: u64) {
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
    fn an_address_with_many_wrong_passwords_is_told_later_and_later_and_others_at_once() {
        let mut throttle = Throttle::default();
        let delays: Vec<u64> = (0..100).map(|index| throttle.failed(&format!("name {index}"), HERE, index)).collect();

        assert!(delays[..20].iter().all(|delay_ms| *delay_ms == 0), "{delays:?}");
        assert_eq!((delays[20], delays[21], delays[99]), (250, 500, 10_000));
        assert_eq!(throttle.failed("a", THERE, 100), 0);
        assert_eq!(throttle.wait_s("right", HERE, 100), 0, "another name is checked at once");
        assert_eq!(throttle.failed("a", HERE, 99 + ADDRESS_FORGET_MS), 0);
    }

    #[test]
    fn the_table_of_addresses_is_bounded() {
        let mut throttle = Throttle::default();
        for index in 0..2 * u32::try_from(ADDRESSES_MAX).unwrap() {
            throttle.failed("a", IpAddr::V4(Ipv4Addr::from_bits(index)), u64::from(index));
        }

        assert_eq!(throttle.addresses.len(), ADDRESSES_MAX);
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
