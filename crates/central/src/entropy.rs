//! The only source of randomness of central: the operating system's.

/// Random bytes, fit for keys.
///
/// # Panics
/// If the system has no random source: without one there is no key, no epoch and no central.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes)
        .expect("every system that central is built for has a random source that does not run dry");
    bytes
}

/// A random number.
///
/// # Panics
/// As [`bytes`].
pub fn number() -> u64 {
    u64::from_le_bytes(bytes())
}
