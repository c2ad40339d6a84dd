//! Who asks: an account that signed in, or a token. Sessions are in memory: a start of central ends them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::chain::hash_of;
use protocol::ids::Hash;
use serde::{Deserialize, Serialize};

use super::answer::Refused;
use crate::center::Center;
use crate::clock;
use crate::enrolment::{Checked, PASSWORD_BYTES_MAX, hash_password};
use crate::entropy;
use crate::error::CentralError;
use crate::hex;
use crate::operations::{Actor, TOKEN_PREFIX};
use crate::store::{Account, SITE_NAME_BYTES_MAX};

/// Sessions at most; at the limit the one that ends soonest is ended.
const SESSIONS_MAX: usize = 1000;
/// Sessions of one account at most, in the same way: so that nobody ends those of others.
const SESSIONS_PER_ACCOUNT_MAX: usize = 20;
/// What the token of a session begins with.
const SESSION_PREFIX: &str = "outpost_session_";
const MINUTE_MS: u64 = 60_000;

/// What somebody gives to sign in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    name: String,
    password: String,
}

/// Somebody who signed in.
#[derive(Debug, Serialize)]
pub(super) struct SignedIn {
    /// To be sent with each request.
    token: String,
    account: String,
    role: &'static str,
    /// How long it counts.
    minutes: u32,
}

struct Session {
    account: String,
    /// Of the password that was given.
    generation: u64,
    /// On the monotonic clock.
    ends_ms: u64,
}

/// See the module.
pub(super) struct Sessions {
    known: Mutex<BTreeMap<[u8; 32], Session>>,
    /// A hash that no password has, for names that there are not: they cost what others cost.
    nobody: String,
}

impl Sessions {
    pub(super) fn new(center: &Center) -> Result<Self, CentralError> {
        let chance = hex::to_hex(&entropy::bytes::<32>());
        Ok(Self { known: Mutex::default(), nobody: hash_password(center.settings().passwords, &chance)? })
    }

    /// Signs an account in. Blocks for the time of a password check.
    pub(super) fn sign_in(
        &self,
        center: &Center,
        asked: &SignIn,
        address: Option<IpAddr>,
    ) -> Result<SignedIn, Refused> {
        // What is remembered of wrong tries is bounded by this too.
        if asked.name.is_empty() || asked.name.len() > SITE_NAME_BYTES_MAX {
            let message = format!("the name has {} bytes; it has 1 to {SITE_NAME_BYTES_MAX}", asked.name.len());
            return Err(Refused::malformed(&message));
        }
        let name = asked.name.clone();
        let account = center.read(move |reading| reading.account(&name)).map_err(CentralError::from)?;
        let hash = account.as_ref().map_or(self.nobody.as_str(), |account| account.password_hash.as_str());
        let is_possible = asked.password.len() <= PASSWORD_BYTES_MAX;
        let password = if is_possible { asked.password.as_str() } else { "" };
        // Not under the account's own name, which may be that of another check.
        match center.checks().check(&format!("sign-in:{}", asked.name), address, hash, password) {
            Checked::TooSoon { wait_s } => return Err(Refused::too_many_attempts(wait_s)),
            Checked::Wrong { delay_ms } => return Err(Refused::wrong_credentials(delay_ms)),
            Checked::Right => {}
        }
        let Some(account) = account.filter(|account| !account.is_disabled) else {
            return Err(Refused::wrong_credentials(0));
        };
        let token = format!("{SESSION_PREFIX}{}", hex::to_hex(&entropy::bytes::<32>()));
        let minutes = center.settings().people.session_minutes;
        let ends_ms = clock::monotonic_ms() + u64::from(minutes) * MINUTE_MS;
        let session = Session { account: account.name.clone(), generation: account.generation, ends_ms };
        self.keep(hash_of(token.as_bytes()), session);
        Ok(SignedIn { token, account: account.name, role: account.role.as_str(), minutes })
    }

    fn keep(&self, key: Hash, session: Session) {
        let mut known = self.lock();
        let now_ms = clock::monotonic_ms();
        known.retain(|_, session| session.ends_ms > now_ms);
        let of_account = |known: &&Session| known.account == session.account;
        if known.values().filter(of_account).count() >= SESSIONS_PER_ACCOUNT_MAX {
            end_soonest(&mut known, |other| other.account == session.account);
        } else if known.len() >= SESSIONS_MAX {
            end_soonest(&mut known, |_| true);
        }
        known.insert(key.0, session);
    }

    /// Ends the session of a token; whether there was one.
    pub(super) fn sign_out(&self, token: &str) -> bool {
        self.lock().remove(&hash_of(token.as_bytes()).0).is_some()
    }

    /// Whoever a token speaks for, as central knows them now.
    pub(super) fn actor(&self, center: &Center, token: &str) -> Result<Actor, Refused> {
        let secret = hash_of(token.as_bytes());
        if token.starts_with(TOKEN_PREFIX) {
            let found = center.read(move |reading| reading.api_token_of(&secret)).map_err(CentralError::from)?;
            let found = found.filter(|found| found.counts_at(clock::wall_ms()));
            return found.map(|found| Actor::token(&found.name, found.role)).ok_or_else(Refused::wrong_token);
        }
        let Some((name, generation)) = self.session(&secret) else { return Err(Refused::wrong_token()) };
        let account = center.read(move |reading| reading.account(&name)).map_err(CentralError::from)?;
        let counts = |account: &Account| !account.is_disabled && account.generation == generation;
        let Some(account) = account.filter(counts) else {
            self.lock().remove(&secret.0);
            return Err(Refused::wrong_token());
        };
        Ok(Actor::account(&account.name, account.role))
    }

    fn session(&self, key: &Hash) -> Option<(String, u64)> {
        let known = self.lock();
        let session = known.get(&key.0).filter(|session| session.ends_ms > clock::monotonic_ms())?;
        Some((session.account.clone(), session.generation))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Session>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end_soonest(known: &mut BTreeMap<[u8; 32], Session>, is_meant: impl Fn(&Session) -> bool) {
    let meant = known.iter().filter(|(_, session)| is_meant(session));
    if let Some(soonest) = meant.min_by_key(|(_, session)| session.ends_ms).map(|(key, _)| *key) {
        known.remove(&soonest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn sessions() -> Sessions {
        let quick = Settings::parse("[passwords]\nmemory_kib = 64\nrounds = 1\n").unwrap();
        let center = Center::in_memory(quick, codec::Ed25519Signer::from_seed(&[1; 32])).unwrap();
        Sessions::new(&center).unwrap()
    }

    #[test]
    fn the_sessions_are_bounded_and_the_one_that_ends_soonest_gives_way() {
        let sessions = sessions();
        let far_ms = clock::monotonic_ms() + 1_000_000;
        for index in 0..SESSIONS_MAX as u64 + 5 {
            let session = Session { account: format!("ann {index}"), generation: 1, ends_ms: far_ms + index };
            sessions.keep(hash_of(&index.to_le_bytes()), session);
        }

        assert_eq!(sessions.lock().len(), SESSIONS_MAX);
        assert!(sessions.session(&hash_of(&4_u64.to_le_bytes())).is_none());
        assert!(sessions.session(&hash_of(&5_u64.to_le_bytes())).is_some());
    }

    #[test]
    fn an_account_that_signs_in_again_and_again_ends_its_own_sessions_alone() {
        let sessions = sessions();
        let far_ms = clock::monotonic_ms() + 1_000_000;
        let other = Session { account: "bob".to_owned(), generation: 1, ends_ms: far_ms - 1 };
        sessions.keep(hash_of(b"bob"), other);
        for index in 0..SESSIONS_PER_ACCOUNT_MAX as u64 + 3 {
            let session = Session { account: "ann".to_owned(), generation: 1, ends_ms: far_ms + index };
            sessions.keep(hash_of(&index.to_le_bytes()), session);
        }

        assert_eq!(sessions.lock().len(), SESSIONS_PER_ACCOUNT_MAX + 1);
        assert!(sessions.session(&hash_of(b"bob")).is_some());
        assert!(sessions.session(&hash_of(&2_u64.to_le_bytes())).is_none());
    }
}
