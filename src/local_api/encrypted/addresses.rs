//! What one address of the local network may take up before anybody has shown a token there: so many connections, and so many wrong
//! tokens. A machine that floods the agent leaves places for the others.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::{MonotonicMs, monotonic_now};

/// Most connections of one address at once.
pub(super) const ADDRESS_CONNECTIONS_MAX: usize = 16;
/// Most wrong tokens of one address in a row that are answered as such; from then on one for each [`WRONG_TOKEN_MS`].
pub(super) const WRONG_TOKENS_MAX: u64 = 10;
/// How long a wrong token counts, in milliseconds.
pub(super) const WRONG_TOKEN_MS: u64 = 6_000;
/// Most addresses that are remembered. Those with a connection are far fewer.
const ADDRESSES_MAX: usize = 256;

/// The addresses that are here, or that showed wrong tokens a moment ago.
#[derive(Default)]
pub(super) struct Addresses(Mutex<BTreeMap<IpAddr, Seen>>);

#[derive(Default, Clone, Copy)]
struct Seen {
    connections: usize,
    /// When the last of its wrong tokens counts no more.
    wrong_until_ms: u64,
}

impl Addresses {
    /// A place for one more connection of an address, until it is dropped; `None` if it has as many as it may.
    pub(super) fn take_place(self: &Arc<Self>, address: IpAddr) -> Option<AddressPlace> {
        let network = network(address);
        let mut seen = self.seen();
        make_room(&mut seen, monotonic_now());
        let of_address = seen.entry(network).or_default();
        if of_address.connections >= ADDRESS_CONNECTIONS_MAX {
            return None;
        }
        of_address.connections += 1;
        Some(AddressPlace { addresses: Arc::clone(self), network })
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Seen>> {
        // Two numbers are whole whatever the thread that panicked was doing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the connections that an address may have.
pub(super) struct AddressPlace {
    addresses: Arc<Addresses>,
    network: IpAddr,
}

impl AddressPlace {
    /// Counts a wrong token. Returns in how many seconds the next one is looked at, if this was one too many.
    pub(super) fn count_wrong_token(&self) -> Option<u64> {
        self.count_wrong_token_at(monotonic_now())
    }

    fn count_wrong_token_at(&self, now: MonotonicMs) -> Option<u64> {
        let mut seen = self.addresses.seen();
        let of_address = seen.entry(self.network).or_default();
        let until_ms = of_address.wrong_until_ms.max(now.0).saturating_add(WRONG_TOKEN_MS);
        let too_many_ms = until_ms.saturating_sub(now.0).saturating_sub(WRONG_TOKENS_MAX * WRONG_TOKEN_MS);
        if too_many_ms > 0 {
            return Some(too_many_ms.div_ceil(1000));
        }
        of_address.wrong_until_ms = until_ms;
        None
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut seen = self.addresses.seen();
        if let Some(of_address) = seen.get_mut(&self.network) {
            of_address.connections = of_address.connections.saturating_sub(1);
            if of_address.connections == 0 && of_address.wrong_until_ms <= monotonic_now().0 {
                seen.remove(&self.network);
            }
        }
    }
}

/// Lets go of those that are not needed, and if that is not enough of the one whose wrong tokens are the oldest.
fn make_room(seen: &mut BTreeMap<IpAddr, Seen>, now: MonotonicMs) {
    if seen.len() < ADDRESSES_MAX {
        return;
    }
    seen.retain(|_, of_address| of_address.connections > 0 || of_address.wrong_until_ms > now.0);
    if seen.len() >= ADDRESSES_MAX {
        let oldest = seen.iter().filter(|(_, of_address)| of_address.connections == 0);
        let oldest = oldest.min_by_key(|(_, of_address)| of_address.wrong_until_ms).map(|(network, _)| *network);
        if let Some(network) = oldest {
            seen.remove(&network);
        }
    }
}

/// A machine may give itself any address of its network of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn an_address_has_so_many_places_and_the_others_have_theirs() {
        let addresses = Arc::new(Addresses::default());
        let mut places: Vec<_> =
            (0..ADDRESS_CONNECTIONS_MAX).map(|_| addresses.take_place(address(1)).unwrap()).collect();

        assert!(addresses.take_place(address(1)).is_none());
        assert!(addresses.take_place(address(2)).is_some());
        places.pop();
        places.push(addresses.take_place(address(1)).unwrap());
        drop(places);
        assert!(addresses.seen().is_empty());
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one_and_a_mapped_one_is_that_of_ipv4() {
        assert_eq!(network("2001:db8::1".parse().unwrap()), network("2001:db8::ffff:2".parse().unwrap()));
        assert_ne!(network("2001:db8::1".parse().unwrap()), network("2001:db8:0:1::1".parse().unwrap()));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), address(1));
    }

    #[test]
    fn of_many_wrong_tokens_a_few_are_looked_at_and_more_again_after_a_while() {
        let addresses = Arc::new(Addresses::default());
        let place = addresses.take_place(address(1)).unwrap();
        let now = MonotonicMs(1_000_000);
        let looked_at = |now: MonotonicMs| (0..50).filter(|_| place.count_wrong_token_at(now).is_none()).count() as u64;

        assert_eq!(looked_at(now), WRONG_TOKENS_MAX);
        assert_eq!(place.count_wrong_token_at(now), Some(WRONG_TOKEN_MS / 1000));
        assert_eq!(looked_at(now.plus(2 * WRONG_TOKEN_MS)), 2);
        assert_eq!(looked_at(now.plus(100 * WRONG_TOKEN_MS)), WRONG_TOKENS_MAX);
        assert!(addresses.take_place(address(2)).unwrap().count_wrong_token_at(now).is_none());
    }

    #[test]
    fn as_many_addresses_as_there_are_take_no_more_memory_than_some() {
        let addresses = Arc::new(Addresses::default());
        let here = addresses.take_place(address(1)).unwrap();

        for number in 0..1000_u32 {
            let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            let place = addresses.take_place(address).unwrap();
            assert!(place.count_wrong_token().is_none());
        }

        assert!(addresses.seen().len() <= ADDRESSES_MAX);
        assert_eq!(addresses.seen()[&address(1)].connections, 1);
        drop(here);
    }
}
