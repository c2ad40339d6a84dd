//! Liveness: once its link works again, a device drains by its schedule alone, within a bound that follows from the interval, the longest
//! backoff and what the link carries (invariant 10). Half of the devices hear of the network's change, and must not wait for either.

use std::collections::BTreeMap;

use outpost::service::due::NETWORK_SETTLE_MS;
use outpost::service::plan::Wake;
use outpost::sync_runner::Report;
use protocol::session::Summary;

use crate::model::{Violation, violation};
use crate::traffic::DEVICE_IDLE_MS;
use crate::world::{SCHEDULE_BACKOFF_MAX_MS, SCHEDULE_JITTER_PERCENT, World};

/// What central may take to commit, to judge and to answer a request, in milliseconds.
const ANSWER_MS_MAX: u64 = 2_000;
/// Waits of the schedule: one that was running when the link healed, and one behind a session that had begun before it and did not see
/// what came since.
const WAITS_MAX: u64 = 2;

/// Devices that have yet to drain.
#[derive(Debug, Default)]
pub struct Healing {
    since_ms: u64,
    waiting: BTreeMap<usize, Healed>,
}

/// A device whose link works again.
#[derive(Debug, Default)]
struct Healed {
    /// Whether it hears of the network and waited in a backoff, so that no wait is left.
    is_woken: bool,
    /// Sessions that began since.
    begun: u64,
    /// Of sessions that are over.
    requests: u64,
    /// Of sessions that are over.
    bytes: u64,
}

impl World {
    /// Links work from now on, nobody edits any more, and every device drains in time.
    pub(crate) fn heal_links(&mut self) -> Result<(), Violation> {
        self.note(format_args!("links heal"));
        self.is_chaos = false;
        self.end_work();
        self.healing = Some(Healing { since_ms: self.now_ms, ..Healing::default() });
        for index in self.speakers() {
            let is_hearing = self.random.chance(500);
            let is_in_backoff = self.devices.get(index).and_then(|device| device.live.as_ref()).is_some_and(|live| {
                !live.plan.is_running() && live.plan.next_sync().reason == outpost::service::due::Reason::Backoff
            });
            let healed = Healed { is_woken: is_hearing && is_in_backoff, ..Healed::default() };
            self.waiting_mut().insert(index, healed);
            if is_hearing {
                self.wake_with(index, Wake::NetworkChanged)?;
            }
        }
        while !self.waiting_mut().is_empty() {
            let Some(next_ms) = self.next_event_ms() else {
                return violation("10", format!("nothing happens any more, and devices wait: {:?}", self.healing));
            };
            self.check_in_time(next_ms)?;
            self.happen_next()?;
        }
        self.healing = None;
        self.note(format_args!("everything is drained by the schedule"));
        Ok(())
    }

    fn waiting_mut(&mut self) -> &mut BTreeMap<usize, Healed> {
        &mut self.healing.get_or_insert_default().waiting
    }

    /// No device may still wait at a moment that is past its bound.
    fn check_in_time(&mut self, at_ms: u64) -> Result<(), Violation> {
        let Some(healing) = &self.healing else { return Ok(()) };
        for (index, healed) in &healing.waiting {
            let bound_ms = self.bound_ms(*index, healed);
            if at_ms.saturating_sub(healing.since_ms) > bound_ms {
                let what = format!("device {index} has not drained {bound_ms} ms after its link healed: {healed:?}");
                return violation("10", what);
            }
        }
        Ok(())
    }

    /// How long a device may take, as far as it is known by now what it has to move.
    fn bound_ms(&self, index: usize, healed: &Healed) -> u64 {
        let live = self.devices.get(index).and_then(|device| device.live.as_ref());
        let underway = live.and_then(|live| live.session.as_ref()).map(|underway| underway.session.summary());
        let (requests, bytes) = underway.map_or((0, 0), moved);
        // The one that is on its way is not counted yet.
        let requests = healed.requests + requests + 1;
        let bytes = healed.bytes + bytes + 2 * u64::from(protocol::limits::FRAME_TARGET_BYTES_MAX);
        let carried_ms =
            requests * (2 * self.mix.latency_ms + ANSWER_MS_MAX) + bytes * 1000 / self.mix.bytes_per_s.max(1);
        let wait_ms = self.mix.interval_ms.max(SCHEDULE_BACKOFF_MAX_MS);
        let wait_ms = wait_ms + wait_ms * u64::from(SCHEDULE_JITTER_PERCENT) / 100;
        let waited_ms = if healed.is_woken { NETWORK_SETTLE_MS } else { DEVICE_IDLE_MS + WAITS_MAX * wait_ms };
        waited_ms + carried_ms
    }

    /// A session begins.
    pub(crate) fn note_begun(&mut self, index: usize) {
        if let Some(healed) = self.healing.as_mut().and_then(|healing| healing.waiting.get_mut(&index)) {
            healed.begun += 1;
        }
    }

    /// A session is over.
    pub(crate) fn note_ended(&mut self, index: usize, report: &Report) -> Result<(), Violation> {
        let Some(healed) = self.healing.as_mut().and_then(|healing| healing.waiting.get_mut(&index)) else {
            return Ok(());
        };
        let (requests, bytes) = moved(&report.summary);
        healed.requests += requests;
        healed.bytes += bytes;
        if report.failure.is_some() || healed.begun == 0 {
            return Ok(());
        }
        self.waiting_mut().remove(&index);
        let Some(live) = self.devices.get(index).and_then(|device| device.live.as_ref()) else { return Ok(()) };
        let mut core = live.recorder.core();
        let head = core.shared.durable().sequence;
        let received = core.local.session_state().map(|state| state.received);
        drop(core);
        match received {
            Ok(received) if received == head => Ok(()),
            Ok(received) => violation("10", format!("device {index} drained up to {received:?} of {head:?}")),
            Err(error) => violation("10", format!("device {index}: {error}")),
        }
    }
}

/// Requests and bytes of a session, both ways.
fn moved(summary: &Summary) -> (u64, u64) {
    (u64::from(summary.requests), summary.bytes_out + summary.bytes_in)
}
