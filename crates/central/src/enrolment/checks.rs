//! Checks of what people give, their passwords and the authorisation code: one at a time, so that many tries take the memory of one, and
//! ever later for whoever was wrong.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use argon2::Block;

use super::password::is_password_in;
use super::throttle::Throttle;
use crate::clock;

/// See the module.
#[derive(Default)]
pub(crate) struct PasswordChecks {
    /// Taken for a whole check.
    memory: Mutex<Vec<Block>>,
    throttle: Mutex<Throttle>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    /// It is the one.
    Right,
    /// It is another one. Whoever asked over a network is to be told so after this time.
    Wrong { delay_ms: u64 },
    /// It was not checked: the last tries were wrong.
    TooSoon { wait_s: u32 },
}

impl PasswordChecks {
    /// Whether this is the password of a hash; `name` and `address` are whoever gives it. Blocks for the time of a check, and of those
    /// that came before.
    pub(crate) fn check(&self, name: &str, address: Option<IpAddr>, hash: &str, password: &str) -> Checked {
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let mut memory = lock(&self.memory);
        // Others under the same name may have been wrong while this one waited.
        let wait_s = lock(&self.throttle).wait_s(name, address, clock::monotonic_ms());
        if wait_s > 0 {
            return Checked::TooSoon { wait_s };
        }
        let is_right = is_password_in(&mut memory, hash, password);
        let mut throttle = lock(&self.throttle);
        if is_right {
            throttle.succeeded(name, address);
            return Checked::Right;
        }
        Checked::Wrong { delay_ms: throttle.failed(name, address, clock::monotonic_ms()) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrolment::hash_password;
    use crate::settings::PasswordSettings;

    #[test]
    fn whoever_is_wrong_some_times_waits_and_nobody_else_does() {
        let hash = hash_password(PasswordSettings { memory_kib: 64, rounds: 1 }, "right").unwrap();
        let checks = PasswordChecks::default();

        for _ in 0..3 {
            assert_eq!(checks.check("ann", None, &hash, "wrong"), Checked::Wrong { delay_ms: 0 });
        }

        assert!(matches!(checks.check("ann", None, &hash, "right"), Checked::TooSoon { wait_s: 1 }));
        assert_eq!(checks.check("bob", None, &hash, "right"), Checked::Right);
    }
}
