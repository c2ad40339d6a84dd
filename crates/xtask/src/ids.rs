//! Ids for records that are made up.

/// Ids of 32 hexadecimal digits, the same in every run, and as hard to pack as real ones. The number is where they begin, and not 0.
pub(crate) struct Ids(pub(crate) u64);

impl Ids {
    /// The next one.
    pub(crate) fn next(&mut self) -> String {
        let mut half = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        };
        format!("{:016X}{:016X}", half(), half())
    }
}
