//! The only source of randomness of the agent: the operating system's.

/// Random bytes, fit for keys.
///
/// # Panics
/// If the system has no random source: without one there is no key, no journal id and no agent.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes)
        .expect("every system that the agent is built for has a random source that does not run dry");
    bytes
}

/// A random number, for jitter.
///
/// # Panics
/// As [`bytes`].
pub fn number() -> u64 {
    u64::from_le_bytes(bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_differ_each_time() {
        assert_ne!(bytes::<32>(), bytes::<32>());
        assert_ne!(bytes::<32>(), [0; 32]);
    }
}
