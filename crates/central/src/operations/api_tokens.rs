//! `token`: what scripts sign in to the admin API with.

use protocol::chain::hash_of;
use serde_json::{Value, json};

use super::accounts::role;
use super::acting::Acting;
use super::request::Done;
use crate::center::Center;
use crate::clock;
use crate::entropy;
use crate::error::{CentralError, Exit};
use crate::hex;
use crate::store::ApiToken;

/// What the secret of a token begins with, so that one that lies about is known for what it is.
pub const TOKEN_PREFIX: &str = "outpost_token_";
/// Longest life that can be asked for, in days.
pub const TOKEN_DAYS_MAX: u32 = 3650;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

pub(super) fn add(center: &Acting<'_>, name: &str, word: &str, days: Option<u32>) -> Result<Done, CentralError> {
    let role = role(word)?;
    if let Some(days) = days.filter(|days| !(1..=TOKEN_DAYS_MAX).contains(days)) {
        let message = format!("a token cannot last {days} days; it lasts 1 to {TOKEN_DAYS_MAX}");
        return Err(CentralError::new("token_days", message, "Leave it out for one that lasts.", Exit::Usage));
    }
    let secret = format!("{TOKEN_PREFIX}{}", hex::to_hex(&entropy::bytes::<32>()));
    let (asked, hash) = (name.to_owned(), hash_of(secret.as_bytes()));
    let expires_ms = days.map(|days| clock::wall_ms() + u64::from(days) * DAY_MS);
    center.write(move |batch| batch.add_api_token(&asked, role, &hash, expires_ms))?;
    tracing::info!(token = name, role = role.as_str(), "a token was made");
    Ok(Done::ok(json!({
        "token": name,
        "role": role.as_str(),
        "expires": expires_ms.map(clock::date_text),
        "secret": secret,
    })))
}

pub(super) fn revoke(center: &Acting<'_>, name: &str) -> Result<Done, CentralError> {
    let asked = name.to_owned();
    center.write(move |batch| batch.revoke_api_token(&asked))?;
    tracing::info!(token = name, "a token was revoked");
    Ok(Done::ok(json!({ "token": name })))
}

pub(super) fn list(center: &Center) -> Result<Done, CentralError> {
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is of one lifetime, the closure of any")]
    let tokens = center.read(|reading| reading.api_tokens())?;
    Ok(Done::ok(json!({ "tokens": tokens.iter().map(token_json).collect::<Vec<_>>() })))
}

/// A token as it is shown; nobody has its secret but whoever was given it.
pub(super) fn token_json(token: &ApiToken) -> Value {
    json!({
        "token": token.name,
        "role": token.role.as_str(),
        "created": clock::date_text(token.created_ms),
        "expires": token.expires_ms.map(clock::date_text),
        "is_expired": !token.counts_at(clock::wall_ms()),
    })
}
