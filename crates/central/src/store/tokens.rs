//! Which device speaks for a site: the tokens that say so from one exchange to the next, the challenge of whoever shows another
//! one, and the stop of a site of which two devices live (rule 5.7).
//!
//! Central keeps the token that was used last and those that it gave in answer to it. A request may show any of these: a lost
//! reply loses nothing. The first of the given ones that is shown becomes the used one, and the others die. So an original and
//! its copy, which begin with the same token, cannot both go on: at the latest at its second exchange one of them shows a token
//! that is dead. It is asked to sign a nonce. A late copy of an old request never answers; a device that lives does, and then
//! there are two, or the one was set back. Which of them is right no program can tell: the site stops, and an administrator
//! chooses.
//!
//! A central that was set back to an older backup does not know the tokens that it gave since, and must not take all its sites
//! for clones. So a token carries its number, the epoch in which it was given, and a check that only central can make:
//!
//! | bytes | |
//! | --- | --- |
//! | 4 | number, little-endian: the site's first token is 1 |
//! | 4 | the epoch's lower half, little-endian |
//! | 8 | the start of SHA-256(secret, site u32, the eight bytes before) |
//!
//! One that is central's own and is not known, of an epoch that is not known or with a higher number than any that was given, is
//! proof that central has forgotten: the site is ahead of it.

use protocol::chain::hash_of;
use protocol::ids::{Epoch, Nonce, SiteId, Token};
use protocol::message::{Refusal, RequestHead};
use sql::SqlExt;
use std::ops::ControlFlow;

use super::batch::Batch;
use super::error::StoreError;
use super::limits::TOKENS_GIVEN_MAX;
use super::reading::Reading;
use super::{text, unsigned};

/// Code of a site that stopped because a device answered with a token that was dead.
pub const TWO_DEVICES: &str = "two_devices";
/// Bytes of one given token in `contact.tokens_given`: the hash of the request head that it answers, and the token.
const GIVEN_BYTES: usize = 32 + 16;

/// Why a site does not sync until an administrator lets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// Stable code.
    pub code: String,
    /// A sentence for a person.
    pub reason: String,
}

/// What a site's row in `contact` says of tokens.
#[derive(Debug, Default)]
struct Known {
    used: Option<Vec<u8>>,
    given: Vec<u8>,
    challenge: Option<Vec<u8>>,
    /// Number of the last token that was given.
    number: u32,
}

impl Known {
    /// Whether whoever comes next is taken: a device that was enrolled, or that an administrator let go on.
    fn is_open(&self) -> bool {
        self.used.is_none() && self.given.is_empty()
    }

    fn has(&self, token: Token) -> bool {
        self.used.as_deref() == Some(&token.0[..])
            || self.given.chunks_exact(GIVEN_BYTES).any(|given| given.ends_with(&token.0))
    }

    /// The token that this very request was given before, when its reply was lost.
    fn given_for(&self, head: &[u8; 32]) -> Option<Token> {
        let mut given = self.given.chunks_exact(GIVEN_BYTES);
        given.find(|given| given.starts_with(head)).and_then(|given| Token::try_from(given.get(32..)?).ok())
    }
}

impl Batch<'_> {
    /// Refuses a request of a site that is stopped, or whose token is not known any more; a right answer to the challenge stops
    /// the site. Not undone with the rest of the request: `nonce` is asked for and the stop is kept though it is refused.
    ///
    /// # Errors
    /// Refused with `site_stopped` or as a challenge.
    pub(super) fn check_token(&mut self, head: &RequestHead, nonce: Nonce) -> Result<(), StoreError> {
        let refusal = self.job(|batch| {
            if let Some(stop) = batch.reading().stop_of(head.site)? {
                return Ok(Some(stopped(head.site, &stop)));
            }
            let known = batch.known_tokens(head.site)?;
            if known.is_open() || known.has(head.token) {
                return Ok(None);
            }
            if let Some(number) = batch.forgotten_number(head.site, head.token, &known)? {
                batch.take_as_ahead(head.site, head.token, number)?;
                return Ok(None);
            }
            let asked = known.challenge.as_deref().and_then(|bytes| Nonce::try_from(bytes).ok());
            if asked.is_some() && head.answer == asked {
                let stop = batch.stop_site(
                    head.site,
                    TWO_DEVICES,
                    "a device with the site's key came with a token that is dead: two devices speak for the site, or one was set \
                     back to an older state",
                )?;
                return Ok(Some(stopped(head.site, &stop)));
            }
            if asked.is_none() {
                batch.sql.execute(
                    "UPDATE contact SET challenge = ?2 WHERE site = ?1",
                    &[head.site.0.into(), (&nonce.0).into()],
                )?;
            }
            Ok(Some(Refusal::challenge(asked.unwrap_or(nonce))))
        })?;
        refusal.map_or(Ok(()), |refusal| Err(StoreError::Refused(refusal)))
    }

    /// Lets whichever device of a site comes next with its key go on; any other is asked again. Says why it had stopped.
    ///
    /// # Errors
    /// Refused with `unknown_site`, or `site_not_stopped`.
    pub fn resume_site(&mut self, site: SiteId) -> Result<Stop, StoreError> {
        self.job(|batch| {
            batch.site(site)?;
            let Some(stop) = batch.reading().stop_of(site)? else {
                return Err(StoreError::refused("site_not_stopped", &format!("site {site} is not stopped")));
            };
            batch.forget_tokens(site)?;
            Ok(stop)
        })
    }

    /// Nothing is known of tokens any more, and the site goes on: whoever comes next with its key is its device.
    pub(super) fn forget_tokens(&mut self, site: SiteId) -> Result<(), StoreError> {
        self.sql.execute("DELETE FROM site_stop WHERE site = ?1", &[site.0.into()])?;
        self.sql.execute(
            "UPDATE contact SET token_used = NULL, tokens_given = ?2, challenge = NULL WHERE site = ?1",
            &[site.0.into(), [].as_slice().into()],
        )?;
        Ok(())
    }

    /// The token for a reply, and the time of the contact: the one thing that a quiet exchange writes. The very same request gets the
    /// very same token, so that copies on the network push none out.
    pub(super) fn note_contact(&mut self, head: &RequestHead, is_drained: bool) -> Result<Token, StoreError> {
        let hash = hash_of(&protocol::message::encode(head)).0;
        let mut known = self.known_tokens(head.site)?;
        if known.used.as_deref() != Some(&head.token.0[..]) {
            known.given.clear();
        }
        let token = known.given_for(&hash).unwrap_or_else(|| {
            known.number = known.number.saturating_add(1);
            let fresh = make(self.token_secret, head.site, known.number, epoch_half(self.state.epoch));
            known.given.extend_from_slice(&hash);
            known.given.extend_from_slice(&fresh.0);
            fresh
        });
        let excess = known.given.len().saturating_sub(TOKENS_GIVEN_MAX * GIVEN_BYTES);
        known.given.drain(..excess);
        let now = unsigned(self.now_ms);
        self.sql.execute(
            "INSERT INTO contact (site, last_contact_ms, last_drained_ms, token_used, tokens_given, token_number)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (site) DO UPDATE SET last_contact_ms = excluded.last_contact_ms,
                last_drained_ms = coalesce(excluded.last_drained_ms, contact.last_drained_ms),
                token_used = excluded.token_used, tokens_given = excluded.tokens_given,
                token_number = excluded.token_number, challenge = NULL",
            &[
                head.site.0.into(),
                now,
                is_drained.then_some(now).into(),
                (&head.token.0).into(),
                (&known.given).into(),
                known.number.into(),
            ],
        )?;
        if is_drained {
            self.sql.execute(
                "UPDATE site_ahead SET healed_ms = ?2 WHERE site = ?1 AND healed_ms IS NULL",
                &[head.site.0.into(), now],
            )?;
        }
        Ok(token)
    }

    /// Whether a token is the last one that was given: then its reply came through.
    pub(super) fn is_last_token(&mut self, site: SiteId, token: Token) -> Result<bool, StoreError> {
        Ok(self.known_tokens(site)?.given.ends_with(&token.0))
    }

    fn known_tokens(&mut self, site: SiteId) -> Result<Known, StoreError> {
        let sql = "SELECT token_used, tokens_given, challenge, token_number FROM contact WHERE site = ?1";
        let known = self.sql.query_one(sql, &[site.0.into()], |row| {
            Ok(Known {
                used: row.optional_blob(0)?.map(<[u8]>::to_vec),
                given: row.blob(1)?.to_vec(),
                challenge: row.optional_blob(2)?.map(<[u8]>::to_vec),
                number: text::small(row, 3)?,
            })
        })?;
        Ok(known.unwrap_or_default())
    }

    /// The number of a token that central gave and does not remember; `None` for one that it remembers, or never gave.
    fn forgotten_number(&mut self, site: SiteId, token: Token, known: &Known) -> Result<Option<u32>, StoreError> {
        let Some((number, half)) = read(self.token_secret, site, token) else { return Ok(None) };
        let mut is_known_epoch = false;
        self.sql.query("SELECT epoch FROM epoch", &[], &mut |row| {
            is_known_epoch = epoch_half(Epoch(row.integer(0)?.cast_unsigned())) == half;
            Ok(if is_known_epoch { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok((!is_known_epoch || number > known.number).then_some(number))
    }

    /// The site has heard more of central than central remembers. Its token counts as the one in use, and its control rows are given
    /// numbers behind those that it has.
    fn take_as_ahead(&mut self, site: SiteId, token: Token, number: u32) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE contact SET token_used = ?2, tokens_given = ?3, token_number = ?4, challenge = NULL WHERE site = ?1",
            &[site.0.into(), (&token.0).into(), [].as_slice().into(), number.into()],
        )?;
        self.sql.execute(
            "INSERT INTO site_ahead (site, noticed_ms) VALUES (?1, ?2)
             ON CONFLICT (site) DO UPDATE SET noticed_ms = excluded.noticed_ms, healed_ms = NULL",
            &[site.0.into(), unsigned(self.now_ms)],
        )?;
        Ok(())
    }

    /// Whoever knows the password of a stopped site is still one of two: an administrator chooses.
    pub(super) fn refuse_stopped(&mut self, site: SiteId) -> Result<(), StoreError> {
        match self.reading().stop_of(site)? {
            Some(stop) => Err(StoreError::Refused(stopped(site, &stop))),
            None => Ok(()),
        }
    }

    /// Whether a site was found to have heard more than central remembers.
    pub(super) fn is_ahead(&mut self, site: SiteId) -> Result<bool, StoreError> {
        Ok(self.sql.query_integer("SELECT 1 FROM site_ahead WHERE site = ?1", &[site.0.into()])?.is_some())
    }

    fn stop_site(&mut self, site: SiteId, code: &str, reason: &str) -> Result<Stop, StoreError> {
        let stop = Stop { since_ms: self.now_ms, code: code.to_owned(), reason: reason.to_owned() };
        self.sql.execute(
            "INSERT INTO site_stop (site, since_ms, code, reason) VALUES (?1, ?2, ?3, ?4)",
            &[site.0.into(), unsigned(stop.since_ms), code.into(), reason.into()],
        )?;
        Ok(stop)
    }

    pub(super) fn reading(&mut self) -> Reading<'_> {
        Reading { sql: &mut *self.sql, catalogue: self.catalogue }
    }
}

impl Reading<'_> {
    /// Why a site does not sync; `None` if nothing holds it up.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn stop_of(&mut self, site: SiteId) -> Result<Option<Stop>, StoreError> {
        let sql = "SELECT since_ms, code, reason FROM site_stop WHERE site = ?1";
        Ok(self.sql.query_one(sql, &[site.0.into()], |row| {
            Ok(Stop { since_ms: row.unsigned(0)?, code: row.text(1)?.to_owned(), reason: row.text(2)?.to_owned() })
        })?)
    }
}

/// The token of a number and half an epoch.
fn make(secret: &[u8; 32], site: SiteId, number: u32, half: u32) -> Token {
    let said = (u64::from(half) << 32 | u64::from(number)).to_le_bytes();
    let check = hash_of(&[&secret[..], &site.0.to_le_bytes(), &said].concat());
    let mut token = [0; 16];
    token.iter_mut().zip(said.iter().chain(&check.0)).for_each(|(byte, made)| *byte = *made);
    Token(token)
}

/// Number and half epoch of a token that central made.
fn read(secret: &[u8; 32], site: SiteId, token: Token) -> Option<(u32, u32)> {
    let said = u64::from_le_bytes(*token.0.first_chunk()?);
    let number = u32::try_from(said & u64::from(u32::MAX)).ok()?;
    let half = u32::try_from(said >> 32).ok()?;
    (make(secret, site, number, half) == token).then_some((number, half))
}

fn epoch_half(epoch: Epoch) -> u32 {
    u32::try_from(epoch.0 & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

/// What the device of a stopped site is told.
pub(super) fn stopped(site: SiteId, stop: &Stop) -> Refusal {
    let what = format!("site {site} is stopped until an administrator of central chooses: {}", stop.reason);
    Refusal::new("site_stopped", &what)
}
