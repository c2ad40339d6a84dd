//! How many requests central has in hand. A request whose sender is not proved yet has a place among the heads; only one that is
//! proved takes a place among the exchanges.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::center::Center;

/// The place of one request; free again when it is dropped.
pub(super) struct Places {
    held: Option<OwnedSemaphorePermit>,
    exchanges: Arc<Semaphore>,
    exchanges_max: usize,
}

impl Places {
    /// A request that begins, with its place among the heads.
    pub(super) fn new(head: OwnedSemaphorePermit, exchanges: Arc<Semaphore>, center: &Center) -> Self {
        Self { held: Some(head), exchanges, exchanges_max: center.settings().limits.exchanges_max }
    }

    /// Goes from the heads to the exchanges; if all those places are taken, gives how many there are.
    pub(super) fn prove(&mut self) -> Result<(), usize> {
        let place = Arc::clone(&self.exchanges).try_acquire_owned();
        self.held = Some(place.map_err(|_| self.exchanges_max)?);
        Ok(())
    }

    /// Gives the place back before the request ends: what is left of it is only read and forgotten.
    pub(super) fn free(&mut self) {
        self.held = None;
    }
}
