//! Ends a sync of the schedule when the bytes of the day or the month are used up.

use std::ops::ControlFlow;

use crate::exit::Exit;
use crate::pacing::PaceKeeper;
use crate::sync_runner::{ExchangeFailure, Exchanger};
use crate::transport::Meter;

/// Code of a sync that ended so.
pub const BYTES_USED_UP: &str = "bytes_used_up";

/// A way to central that begins no exchange without bytes for it. One that has begun goes on to its end, at most a reply's size over.
pub(super) struct WithinBudget<'a, E> {
    pub(super) link: E,
    pub(super) pace: &'a PaceKeeper,
    pub(super) meter: &'a Meter,
    /// Whether it ends at all: not one that somebody asked for.
    pub(super) is_budgeted: bool,
}

impl<E: Exchanger> Exchanger for WithinBudget<'_, E> {
    fn exchange(
        &mut self,
        request: &[u8],
        on_reply: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), ExchangeFailure> {
        self.pace.count(self.meter.take());
        if self.is_budgeted && self.pace.is_used_up() {
            return Err(used_up());
        }
        self.link.exchange(request, on_reply)
    }
}

fn used_up() -> ExchangeFailure {
    ExchangeFailure {
        code: BYTES_USED_UP.to_owned(),
        message: "the bytes that the schedule may spend are used up".to_owned(),
        what_to_do: "The rest goes when they begin anew, which `outpost status` tells; `outpost sync` sends it now."
            .to_owned(),
        exit: Exit::Busy,
        retry_after_s: None,
    }
}

#[cfg(test)]
mod tests {
    use protocol::schedule::Budget;

    use super::*;

    struct Link(u32);

    impl Exchanger for Link {
        fn exchange(&mut self, _: &[u8], _: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), ExchangeFailure> {
            self.0 += 1;
            Ok(())
        }
    }

    #[test]
    fn no_exchange_begins_once_the_bytes_are_used_up_unless_somebody_asked() {
        let folder = tempfile::tempdir().unwrap();
        let budget = Budget { day_bytes_max: Some(100), month_bytes_max: None };
        let (pace, meter) = (PaceKeeper::open(folder.path().join("pacing"), budget), Meter::default());
        let mut link = WithinBudget { link: Link(0), pace: &pace, meter: &meter, is_budgeted: true };

        meter.add(99);
        link.exchange(b"", &mut |_| ControlFlow::Continue(())).unwrap();
        meter.add(1);
        let failure = link.exchange(b"", &mut |_| ControlFlow::Continue(())).unwrap_err();

        assert_eq!((failure.code.as_str(), link.link.0), (BYTES_USED_UP, 1));
        link.is_budgeted = false;
        link.exchange(b"", &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(link.link.0, 2);
    }
}
