//! A pause of syncing by itself that somebody has asked for on the device.

use serde::{Deserialize, Serialize};

/// A pause. Its end is counted in time that has passed, not read from a clock alone: one that is set back to 1970 with every start of
/// the device must not make it last for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// When it began, by the wall clock, for people.
    pub since_ms: u64,
    /// Milliseconds that are left of it; `None` is until somebody ends it.
    pub left_ms: Option<u64>,
}

impl Pause {
    /// The pause after so many more milliseconds; `None` if it is over.
    #[must_use]
    pub fn after(self, passed_ms: u64) -> Option<Self> {
        let Some(left_ms) = self.left_ms else { return Some(self) };
        let left_ms = left_ms.saturating_sub(passed_ms);
        (left_ms > 0).then_some(Self { left_ms: Some(left_ms), ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn a_pause_without_an_end_goes_on_whatever_passes() {
        let pause = Pause { since_ms: 7, left_ms: None };

        assert_eq!(pause.after(u64::MAX), Some(pause));
    }

    proptest! {
        #[test]
        fn a_pause_is_over_when_all_of_it_has_passed_in_whatever_steps(left_ms in 1_u64..1_000, steps: Vec<u8>) {
            let mut pause = Some(Pause { since_ms: 0, left_ms: Some(left_ms) });
            let mut passed_ms = 0;
            for step in steps {
                passed_ms += u64::from(step);
                pause = pause.and_then(|pause| pause.after(u64::from(step)));
                prop_assert_eq!(pause.is_some(), passed_ms < left_ms);
            }
        }
    }
}
