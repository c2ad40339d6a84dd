//! What is known of the link: how much to send at once (rule 5.10).

use crate::limits::{FRAME_PLAIN_BYTES_TARGET_MAX, FRAME_TARGET_BYTES_MAX, FRAME_TARGET_BYTES_MIN};

/// Target sizes, learnt from the exchanges before. Kept between sessions as long as the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    target_bytes: u32,
    plain_percent: u32,
}

impl Default for Link {
    fn default() -> Self {
        Self { target_bytes: FRAME_TARGET_BYTES_MAX, plain_percent: 300 }
    }
}

impl Link {
    /// What an earlier program had learnt; values out of range are brought back into it.
    pub fn resume(target_bytes: u32, plain_percent: u32) -> Self {
        let target_bytes = target_bytes.clamp(FRAME_TARGET_BYTES_MIN, FRAME_TARGET_BYTES_MAX);
        Self { target_bytes, plain_percent: plain_percent.clamp(100, 4_000) }
    }

    /// Plain bytes for a hundred packed ones.
    pub fn plain_percent(&self) -> u32 {
        self.plain_percent
    }

    /// Target for frames and pages, in bytes on the wire.
    pub fn target_bytes(&self) -> u32 {
        self.target_bytes
    }

    /// Plain bytes that pack to about the target.
    pub fn plain_bytes(&self) -> usize {
        let plain = u64::from(self.target_bytes) * u64::from(self.plain_percent) / 100;
        usize::try_from(plain).unwrap_or(usize::MAX).min(FRAME_PLAIN_BYTES_TARGET_MAX)
    }

    /// A frame was packed: half of what was believed about packing, half of what was seen.
    pub fn packed(&mut self, plain_bytes: usize, packed_bytes: usize) {
        let seen = plain_bytes.saturating_mul(100) / packed_bytes.max(1);
        let seen = u32::try_from(seen).unwrap_or(u32::MAX).clamp(100, 4_000);
        self.plain_percent = u32::midpoint(self.plain_percent, seen);
    }

    /// An exchange failed: smaller pieces, so that each chance carries something through.
    pub fn failed(&mut self) {
        self.target_bytes = (self.target_bytes / 2).max(FRAME_TARGET_BYTES_MIN);
    }

    /// An exchange went through.
    pub fn went_through(&mut self) {
        self.target_bytes = self.target_bytes.saturating_mul(2).min(FRAME_TARGET_BYTES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_halve_down_to_4_kb_and_double_back() {
        let mut link = Link::default();
        for _ in 0..10 {
            link.failed();
        }
        assert_eq!(link.target_bytes(), FRAME_TARGET_BYTES_MIN);

        link.went_through();
        assert_eq!(link.target_bytes(), 2 * FRAME_TARGET_BYTES_MIN);
        for _ in 0..10 {
            link.went_through();
        }
        assert_eq!(link.target_bytes(), FRAME_TARGET_BYTES_MAX);
    }

    #[test]
    fn plain_bytes_follow_how_well_things_pack() {
        let mut link = Link::default();
        for _ in 0..20 {
            link.packed(1000, 1000);
        }
        assert_eq!(link.plain_bytes(), FRAME_TARGET_BYTES_MAX as usize);
    }
}
