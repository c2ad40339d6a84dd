//! One exchange in flight for a site (rule 5.10). A link that falls silent leaves an exchange behind that only a timeout would
//! end; it gives way to the site's next one, so that a link with short lives is not locked out by its own past.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::ids::SiteId;
use tokio::sync::watch;

use crate::clock;

/// How long a new exchange waits for the silent one before it to be gone: longer than a commit takes.
const GIVE_WAY_MS_MAX: u64 = 2_000;

/// The exchanges of sites whose signature was right.
pub(super) struct Flights {
    sites: Mutex<BTreeMap<SiteId, Arc<Flight>>>,
    supersede_idle_ms: u64,
}

struct Flight {
    progress_ms: AtomicU64,
    is_superseded: watch::Sender<bool>,
}

/// A site's slot; free again when it is dropped.
pub(super) struct Slot {
    flights: Arc<Flights>,
    site: SiteId,
    flight: Arc<Flight>,
    superseded: watch::Receiver<bool>,
}

impl Flights {
    pub(super) fn new(supersede_idle_ms: u64) -> Self {
        Self { sites: Mutex::default(), supersede_idle_ms }
    }

    /// Takes the site's slot; `None` if another exchange of the site has it and is not silent.
    pub(super) async fn take(self: &Arc<Self>, site: SiteId) -> Option<Slot> {
        let before = match self.try_take(site) {
            Ok(slot) => return Some(slot),
            Err(flight) => flight,
        };
        let idle_ms = clock::monotonic_ms().saturating_sub(before.progress_ms.load(Ordering::Acquire));
        if idle_ms < self.supersede_idle_ms {
            return None;
        }
        tracing::info!(%site, idle_ms, "a silent exchange gives way to a new one");
        before.is_superseded.send_replace(true);
        // Its end closes its receivers, the slot's own among them.
        let gone = before.is_superseded.closed();
        tokio::time::timeout(Duration::from_millis(GIVE_WAY_MS_MAX), gone).await.ok()?;
        self.try_take(site).ok()
    }

    fn try_take(self: &Arc<Self>, site: SiteId) -> Result<Slot, Arc<Flight>> {
        let mut sites = self.lock();
        if let Some(flight) = sites.get(&site) {
            return Err(Arc::clone(flight));
        }
        let (sender, superseded) = watch::channel(false);
        let flight = Arc::new(Flight { progress_ms: AtomicU64::new(clock::monotonic_ms()), is_superseded: sender });
        sites.insert(site, Arc::clone(&flight));
        Ok(Slot { flights: Arc::clone(self), site, flight, superseded })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SiteId, Arc<Flight>>> {
        // A map is whole whatever the task that panicked was doing.
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Bytes came or went.
    pub(super) fn progress(&self) {
        self.flight.progress_ms.store(clock::monotonic_ms(), Ordering::Release);
    }

    /// Waits until another exchange of the site takes over.
    pub(super) fn superseded(&self) -> impl Future<Output = ()> + Send + 'static {
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
        self.flights.lock().remove(&self.site);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_site_has_one_slot_and_others_have_theirs() {
        let flights = Arc::new(Flights::new(60_000));
        let first = flights.take(SiteId(2)).await;

        assert!(first.is_some());
        assert!(flights.take(SiteId(2)).await.is_none());
        assert!(flights.take(SiteId(3)).await.is_some());
        drop(first);
        assert!(flights.take(SiteId(2)).await.is_some());
    }

    #[tokio::test]
    async fn a_silent_exchange_gives_way() {
        let flights = Arc::new(Flights::new(0));
        let silent = flights.take(SiteId(2)).await.unwrap();
        let task = tokio::spawn(async move {
            silent.superseded().await;
            drop(silent);
        });

        assert!(flights.take(SiteId(2)).await.is_some());
        task.await.unwrap();
    }
}
