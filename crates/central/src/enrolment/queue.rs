//! Enrolments that wait: for a password check, or for the answer that the password was wrong. One address cannot fill a queue, so that
//! those of other addresses always have room in it. Whoever waits holds a connection, a name, a password and keys, some kilobytes; the
//! memory of a check is taken only when its turn comes. Both queues together leave connections free (`limits.connections_max`, 512 unless
//! it is set), so that devices that are enrolled never wait for those that are not.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Enrolments in the queue at most, with those whose password is being checked; one more is told to come again.
pub const WAITING_MAX: usize = 256;
/// Enrolments of one address in the queue at most: a whole district may share one, and this many are checked within a few seconds.
pub const WAITING_PER_ADDRESS_MAX: usize = 128;

/// Wrong passwords whose answer is put off, at most; a further one is answered at once, with how long to wait.
pub const DELAYED_MAX: usize = 64;
/// Wrong passwords of one address whose answer is put off, at most.
pub const DELAYED_PER_ADDRESS_MAX: usize = 16;

/// See the module.
pub(crate) struct Queue {
    places_max: usize,
    own_places_max: usize,
    waiting: Mutex<BTreeMap<IpAddr, usize>>,
}

/// A place in the queue; free again when it is dropped.
pub(crate) struct Waiting {
    queue: Arc<Queue>,
    address: IpAddr,
}

impl Queue {
    /// For password checks.
    pub(crate) fn of_checks() -> Self {
        Self { places_max: WAITING_MAX, own_places_max: WAITING_PER_ADDRESS_MAX, waiting: Mutex::default() }
    }

    /// For answers that are put off.
    pub(crate) fn of_delayed_answers() -> Self {
        Self { places_max: DELAYED_MAX, own_places_max: DELAYED_PER_ADDRESS_MAX, waiting: Mutex::default() }
    }

    /// A place, if there is one left for the address.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Waiting> {
        let mut waiting = self.lock();
        let all: usize = waiting.values().sum();
        let own = waiting.get(&address).copied().unwrap_or(0);
        if all >= self.places_max || own >= self.own_places_max {
            return None;
        }
        waiting.insert(address, own + 1);
        Some(Waiting { queue: Arc::clone(self), address })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.queue.lock();
        if let Some(own) = waiting.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                waiting.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
    }

    #[test]
    fn one_address_fills_its_share_and_the_others_have_theirs() {
        let queue = Arc::new(Queue::of_checks());
        let mut held: Vec<_> = (0..WAITING_PER_ADDRESS_MAX).map(|_| queue.enter(address(1)).unwrap()).collect();

        assert!(queue.enter(address(1)).is_none());
        assert!(queue.enter(address(2)).is_some());
        held.pop();
        assert!(queue.enter(address(1)).is_some());
        drop(held);
        assert!(queue.lock().is_empty());
    }

    #[test]
    fn answers_that_are_put_off_leave_most_connections_free() {
        let queue = Arc::new(Queue::of_delayed_answers());
        let held: Vec<_> =
            (0..=u8::MAX).flat_map(|last| [last; 40]).filter_map(|last| queue.enter(address(last))).collect();

        assert_eq!(held.len(), DELAYED_MAX);
        assert!(held.iter().filter(|place| place.address == address(0)).count() == DELAYED_PER_ADDRESS_MAX);
        let connections = crate::settings::LimitSettings::default().connections_max;
        assert!(
            WAITING_MAX + DELAYED_MAX < connections,
            "devices that are enrolled have {connections} connections too"
        );
    }

    #[test]
    fn the_queue_is_bounded_over_all_addresses() {
        let queue = Arc::new(Queue::of_checks());
        let addresses = (0..=u8::MAX).cycle().take(WAITING_MAX);
        let held: Vec<_> = addresses.filter_map(|last| queue.enter(address(last))).collect();

        assert_eq!(held.len(), WAITING_MAX);
        assert!(queue.enter(address(1)).is_none());
    }
}
