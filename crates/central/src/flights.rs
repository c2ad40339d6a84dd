//! One exchange in flight for a site (rule 5.10). A link that falls silent leaves an exchange behind that only a timeout would
//! end; it gives way to the site's next one, so that a link with short lives is not locked out by its own past. So does one of a
//! device whose place another one took since it began. What a retired key signs has a slot of its own for each site.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::exchange::Standing;
use protocol::ids::{PublicKey, SiteId};
use tokio::sync::watch;

use crate::clock;

/// How long a new exchange waits for the silent one before it to be gone: longer than a commit takes.
const GIVE_WAY_MS_MAX: u64 = 2_000;

/// The exchanges of sites whose signature was right.
pub(crate) struct Flights {
    sites: Mutex<BTreeMap<Place, Arc<Flight>>>,
    supersede_idle_ms: u64,
}

/// What has a slot: a site, and beside it the keys that once spoke for it.
pub(crate) type Place = (SiteId, Standing);

struct Flight {
    key: PublicKey,
    progress_ms: AtomicU64,
    is_superseded: watch::Sender<bool>,
}

/// A site's slot; free again when it is dropped.
pub(crate) struct Slot {
    flights: Arc<Flights>,
    place: Place,
    flight: Arc<Flight>,
    superseded: watch::Receiver<bool>,
}

impl Flights {
    pub(crate) fn new(supersede_idle_ms: u64) -> Self {
        Self { sites: Mutex::default(), supersede_idle_ms }
    }

    /// Takes a slot for an exchange of this key; `None` if another exchange of the same key has it and is not silent, or one of another
    /// retired key.
    pub(crate) async fn take(self: &Arc<Self>, place: Place, key: PublicKey) -> Option<Slot> {
        let before = match self.try_take(place, key) {
            Ok(slot) => return Some(slot),
            Err(flight) => flight,
        };
        let idle_ms = clock::monotonic_ms().saturating_sub(before.progress_ms.load(Ordering::Acquire));
        let is_replaced = place.1 == Standing::Current && before.key != key;
        if idle_ms < self.supersede_idle_ms && !is_replaced {
            return None;
        }
        tracing::info!(site = %place.0, idle_ms, is_replaced, "an exchange gives way to a new one");
        before.is_superseded.send_replace(true);
        // Its end closes its receivers, the slot's own among them.
        let gone = before.is_superseded.closed();
        tokio::time::timeout(Duration::from_millis(GIVE_WAY_MS_MAX), gone).await.ok()?;
        self.try_take(place, key).ok()
    }

    fn try_take(self: &Arc<Self>, place: Place, key: PublicKey) -> Result<Slot, Arc<Flight>> {
        let mut sites = self.lock();
        if let Some(flight) = sites.get(&place) {
            return Err(Arc::clone(flight));
        }
        let (sender, superseded) = watch::channel(false);
        let progress_ms = AtomicU64::new(clock::monotonic_ms());
        let flight = Arc::new(Flight { key, progress_ms, is_superseded: sender });
        sites.insert(place, Arc::clone(&flight));
        Ok(Slot { flights: Arc::clone(self), place, flight, superseded })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Arc<Flight>>> {
        // A map is whole whatever the task that panicked was doing.
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Bytes came or went.
    pub(crate) fn progress(&self) {
        self.flight.progress_ms.store(clock::monotonic_ms(), Ordering::Release);
    }

    /// Whether another exchange of the site took over, for threads that may wait.
    pub(crate) fn is_superseded(&self) -> bool {
        *self.superseded.borrow()
    }

    /// Waits until another exchange of the site takes over.
    pub(crate) fn superseded(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut superseded = self.superseded.clone();
        async move {
            // The sender lives as long as the slot.
            let _ = superseded.wait_for(|is_superseded| *is_superseded).await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Before the receiver is dropped, which is what the next exchange waits for.
        self.flights.lock().remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: PublicKey = PublicKey([1; 32]);
    const OTHER_KEY: PublicKey = PublicKey([2; 32]);

    fn speaker(site: u32) -> Place {
        (SiteId(site), Standing::Current)
    }

    #[tokio::test]
    async fn a_site_has_one_slot_and_others_have_theirs() {
        let flights = Arc::new(Flights::new(60_000));
        let first = flights.take(speaker(2), KEY).await;

        assert!(first.is_some());
        assert!(flights.take(speaker(2), KEY).await.is_none());
        assert!(flights.take(speaker(3), KEY).await.is_some());
        drop(first);
        assert!(flights.take(speaker(2), KEY).await.is_some());
    }

    #[tokio::test]
    async fn a_silent_exchange_gives_way() {
        let flights = Arc::new(Flights::new(0));
        let silent = flights.take(speaker(2), KEY).await.unwrap();
        let task = tokio::spawn(async move {
            silent.superseded().await;
            drop(silent);
        });

        assert!(flights.take(speaker(2), KEY).await.is_some());
        task.await.unwrap();
    }

    #[tokio::test]
    async fn retired_keys_hold_up_one_another_and_never_the_device_in_their_place() {
        let flights = Arc::new(Flights::new(60_000));
        let retired = (SiteId(2), Standing::Retired);
        let slot = flights.take(retired, OTHER_KEY).await;

        assert!(slot.is_some());
        assert!(flights.take(speaker(2), KEY).await.is_some());
        assert!(flights.take(retired, OTHER_KEY).await.is_none());
    }

    #[tokio::test]
    async fn a_lively_exchange_of_the_device_before_gives_way_to_the_one_in_its_place() {
        let flights = Arc::new(Flights::new(60_000));
        let before = flights.take(speaker(2), OTHER_KEY).await.unwrap();
        let task = tokio::spawn(async move {
            before.superseded().await;
            drop(before);
        });

        assert!(flights.take(speaker(2), KEY).await.is_some());
        task.await.unwrap();
    }
}
