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
//! One that is central's own and is not known, with a higher number than any that was given or with one that another epoch gave, is proof
//! that central has forgotten: the site is ahead of it. Which epoch gave which numbers central remembers of the last
//! [`TOKEN_EPOCHS_MAX`] in which it gave the site one; `contact.token_epochs` has eight bytes for each: half of the epoch and the number
//! of the first token, little-endian, the last one last.

use protocol::chain::hash_of;
use protocol::ids::{Epoch, Nonce, SiteId, Token};
use protocol::message::{self, Refusal};
use protocol::versions::{Head, Prelude};
use serde_json::json;
use sql::{Param, SqlExt};

use super::audit::{AuditEntry, SYSTEM};
use super::batch::Batch;
use super::error::StoreError;
use super::limits::{TOKEN_EPOCHS_MAX, TOKENS_GIVEN_MAX};
use super::origin::{PeerAddress, StopDevice};
use super::reading::Reading;
use super::{text, unsigned};

/// Code of a site that stopped because a device answered with a token that was dead.
pub const TWO_DEVICES: &str = "two_devices";
/// Bytes of one given token in `contact.tokens_given`: the hash of the request head that it answers, and the token.
const GIVEN_BYTES: usize = 32 + TOKEN_BYTES;
/// Bytes of a token.
const TOKEN_BYTES: usize = 16;

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
    /// Tokens of a device that an administrator did not choose.
    rejected: Vec<u8>,
    /// Whether the device has proved its password since it last came, and may show an older token than these: one such is taken. The
    /// others stay good until then, because it may as well be a late copy of a request that comes.
    is_reopened: bool,
    /// Number of the last token that was given.
    number: u32,
    /// The last epochs in which tokens were given: half of each, and the number of its first one.
    epochs: Vec<(u32, u32)>,
}

impl Known {
    /// Whether whoever comes next is taken: a device that was enrolled, or that an administrator let go on.
    fn is_open(&self) -> bool {
        self.is_reopened || self.is_blank()
    }

    /// Whether no token is known.
    fn is_blank(&self) -> bool {
        self.used.is_none() && self.given.is_empty()
    }

    /// The number of the next token, which an epoch gives.
    fn next_number(&mut self, epoch: Epoch) -> u32 {
        self.number = self.number.saturating_add(1);
        if self.epochs.last().is_none_or(|(half, _)| *half != epoch_half(epoch)) {
            self.epochs.push((epoch_half(epoch), self.number));
            let excess = self.epochs.len().saturating_sub(TOKEN_EPOCHS_MAX);
            self.epochs.drain(..excess);
        }
        self.number
    }

    /// Half of the epoch that gave a number; `None` if that is not known any more.
    fn epoch_of(&self, number: u32) -> Option<u32> {
        self.epochs.iter().rev().find(|(_, first)| *first <= number).map(|(half, _)| *half)
    }

    fn has(&self, token: Token) -> bool {
        self.used.as_deref() == Some(&token.0[..])
            || self.given.chunks_exact(GIVEN_BYTES).any(|given| given.ends_with(&token.0))
    }

    /// What the device shows that was answered last.
    fn tokens(&self) -> Vec<u8> {
        let given = self.given.chunks_exact(GIVEN_BYTES).flat_map(|given| given.iter().skip(GIVEN_BYTES - TOKEN_BYTES));
        self.used.iter().flatten().chain(given).copied().collect()
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
    /// Refused with `site_stopped`, `device_not_chosen`, or as a challenge.
    pub(super) fn check_token(&mut self, head: &Prelude, nonce: Nonce) -> Result<(), StoreError> {
        let refusal = self.job(|batch| {
            if let Some(stop) = batch.reading().stop_of(head.site)? {
                return Ok(Some(stopped(head.site, &stop)));
            }
            let known = batch.known_tokens(head.site)?;
            if known.has(head.token) {
                return Ok(None);
            }
            if is_among(&known.rejected, head.token) {
                return Ok(Some(not_chosen(head.site)));
            }
            // Before whoever comes is taken: a late copy of this token must prove nothing once the site goes on.
            if let Some(number) = batch.forgotten_number(head.site, head.token, &known) {
                batch.take_as_ahead(head.site, head.token, number)?;
                return Ok(None);
            }
            if known.is_open() {
                return Ok(None);
            }
            let asked = known.challenge.as_deref().and_then(|bytes| Nonce::try_from(bytes).ok());
            if asked.is_some() && head.answer == asked {
                let stop = batch.stop_site(
                    head,
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
            let stop = batch.stop_for(site)?;
            batch.forget_tokens(site)?;
            batch.lose_numbers_at_stop(site)?;
            Ok(stop)
        })
    }

    /// Lets one of the two devices go on because of which a site stopped. The other one is told so whenever it comes, and stops nothing.
    ///
    /// # Errors
    /// Refused with `unknown_site`; `site_not_stopped`; `stop_device_unknown` if nothing is known of that device.
    pub fn choose_device(&mut self, site: SiteId, chosen: StopDevice) -> Result<Stop, StoreError> {
        self.job(|batch| {
            let known = batch.known_tokens(site)?;
            let sql = "SELECT token FROM site_stop_device WHERE site = ?1 AND is_dead_token = 1";
            let dead =
                batch.sql.query_one(sql, &[site.0.into()], |row| Ok(row.optional_blob(0)?.map(<[u8]>::to_vec)))?;
            let stop = batch.stop_for(site)?;
            let Some(dead) = dead.flatten() else {
                let what =
                    format!("nothing is known of the devices that stopped site {site}: let it go on without --device");
                return Err(StoreError::refused("stop_device_unknown", &what));
            };
            let (used, given, rejected) = match chosen {
                StopDevice::AnsweredLast => (known.used.clone(), known.given.clone(), dead),
                StopDevice::DeadToken => (Some(dead), Vec::new(), known.tokens()),
            };
            batch.forget_tokens(site)?;
            batch.sql.execute(
                "UPDATE contact SET token_used = ?2, tokens_given = ?3, tokens_rejected = ?4 WHERE site = ?1",
                &[site.0.into(), used.as_deref().into(), (&given).into(), (&rejected).into()],
            )?;
            batch.lose_numbers_at_stop(site)?;
            Ok(stop)
        })
    }

    /// A device has proved its password once more, and may have been set back: an older token than those that are known is taken once.
    pub(super) fn reopen_tokens(&mut self, site: SiteId) -> Result<(), StoreError> {
        let sql = "UPDATE contact SET is_reopened = 1, challenge = NULL, tokens_rejected = NULL WHERE site = ?1";
        self.sql.execute(sql, &[site.0.into()])?;
        Ok(())
    }

    fn stop_for(&mut self, site: SiteId) -> Result<Stop, StoreError> {
        self.live_site(site)?;
        let what = format!("site {site} is not stopped");
        self.reading().stop_of(site)?.ok_or_else(|| StoreError::refused("site_not_stopped", &what))
    }

    /// Nothing is known of any site's tokens any more, because the secret with which they were made is gone: whoever comes next with
    /// the key of a site is its device. A site that is stopped stays so.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn forget_all_tokens(&mut self) -> Result<(), StoreError> {
        self.job(|batch| {
            let sql =
                "UPDATE contact SET token_used = NULL, tokens_given = ?1, challenge = NULL, tokens_rejected = NULL,
                is_reopened = 0";
            batch.sql.execute(sql, &[[].as_slice().into()])?;
            Ok(())
        })
    }

    /// Nothing is known of tokens any more, and the site goes on: whoever comes next with its key is its device.
    pub(super) fn forget_tokens(&mut self, site: SiteId) -> Result<(), StoreError> {
        self.sql.execute("DELETE FROM site_stop WHERE site = ?1", &[site.0.into()])?;
        self.forget_stop_devices(site)?;
        self.sql.execute(
            "UPDATE contact SET token_used = NULL, tokens_given = ?2, challenge = NULL, tokens_rejected = NULL, is_reopened = 0
             WHERE site = ?1",
            &[site.0.into(), [].as_slice().into()],
        )?;
        Ok(())
    }

    /// The token for a reply, and the time of the contact: the one thing that a quiet exchange writes. The very same request gets the
    /// very same token, so that copies on the network push none out, and where those come from is not noted.
    pub(super) fn note_contact(&mut self, head: &Head, is_drained: bool) -> Result<Token, StoreError> {
        // The salt makes even a prelude one of its own.
        let hash = match head {
            Head::Whole(head) => hash_of(&message::encode(head)).0,
            Head::Prelude(prelude) => hash_of(&message::encode(prelude)).0,
        };
        let head = head.prelude();
        let mut known = self.known_tokens(head.site)?;
        // Where nothing is known, as after its binding was reset, what the device shows is all that there is to know.
        let used = if known.is_reopened && !known.is_blank() && !known.has(head.token) {
            known.used.clone()
        } else {
            if known.used.as_deref() != Some(&head.token.0[..]) {
                known.given.clear();
            }
            Some(head.token.0.to_vec())
        };
        let given = known.given_for(&hash);
        let is_copy = given.is_some();
        let (address, journal_head) = (self.address.filter(|_| !is_copy), (!is_copy).then_some(unsigned(head.head.0)));
        let token = given.unwrap_or_else(|| {
            let number = known.next_number(self.state.epoch);
            let fresh = make(self.token_secret, head.site, number, epoch_half(self.state.epoch));
            known.given.extend_from_slice(&hash);
            known.given.extend_from_slice(&fresh.0);
            fresh
        });
        let excess = known.given.len().saturating_sub(TOKENS_GIVEN_MAX * GIVEN_BYTES);
        known.given.drain(..excess);
        let now = unsigned(self.now_ms);
        self.sql.execute(
            "INSERT INTO contact
                (site, last_contact_ms, last_drained_ms, token_used, tokens_given, token_number, address, head, token_epochs,
                 is_reopened, version)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, ?10)
             ON CONFLICT (site) DO UPDATE SET last_contact_ms = excluded.last_contact_ms,
                last_drained_ms = coalesce(excluded.last_drained_ms, contact.last_drained_ms),
                token_used = excluded.token_used, tokens_given = excluded.tokens_given,
                token_number = excluded.token_number, token_epochs = excluded.token_epochs, challenge = NULL,
                is_reopened = excluded.is_reopened, version = excluded.version,
                address = coalesce(excluded.address, contact.address), head = coalesce(excluded.head, contact.head)",
            &[
                head.site.0.into(),
                now,
                is_drained.then_some(now).into(),
                used.as_deref().into(),
                (&known.given).into(),
                known.number.into(),
                address.map(PeerAddress::as_str).into(),
                journal_head.unwrap_or(Param::Null),
                (&epochs_to_bytes(&known.epochs)).into(),
                u32::from(head.version).into(),
            ],
        )?;
        Ok(token)
    }

    /// Whether a token is the last one that was given: then its reply came through.
    pub(super) fn is_last_token(&mut self, site: SiteId, token: Token) -> Result<bool, StoreError> {
        Ok(self.known_tokens(site)?.given.ends_with(&token.0))
    }

    fn known_tokens(&mut self, site: SiteId) -> Result<Known, StoreError> {
        let sql = "SELECT token_used, tokens_given, challenge, token_number, token_epoch, token_first, tokens_rejected, token_epochs,
                is_reopened
            FROM contact WHERE site = ?1";
        let known = self.sql.query_one(sql, &[site.0.into()], |row| {
            Ok(Known {
                used: row.optional_blob(0)?.map(<[u8]>::to_vec),
                given: row.blob(1)?.to_vec(),
                challenge: row.optional_blob(2)?.map(<[u8]>::to_vec),
                rejected: row.optional_blob(6)?.unwrap_or_default().to_vec(),
                is_reopened: row.integer(8)? != 0,
                number: text::small(row, 3)?,
                epochs: match (row.optional_blob(7)?, row.optional_unsigned(4)?, row.optional_unsigned(5)?) {
                    (Some(bytes), ..) => epochs_of_bytes(bytes),
                    // As an older program kept the last one.
                    (None, Some(_), Some(_)) => vec![(text::small(row, 4)?, text::small(row, 5)?)],
                    _ => Vec::new(),
                },
            })
        })?;
        Ok(known.unwrap_or_default())
    }

    /// The number of a token that central gave and does not remember; `None` for one that it remembers, or never gave.
    fn forgotten_number(&self, site: SiteId, token: Token, known: &Known) -> Option<u32> {
        let (number, half) = read(self.token_secret, site, token)?;
        // A number that another epoch gave was given by a central that is gone.
        let is_of_other = known.epoch_of(number).is_some_and(|given| given != half);
        (number > known.number || is_of_other).then_some(number)
    }

    /// The site has heard more of central than central remembers. Its token counts as the one in use, and its control rows are given
    /// numbers behind those that it has.
    fn take_as_ahead(&mut self, site: SiteId, token: Token, number: u32) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT INTO contact (site, last_contact_ms, token_used, tokens_given, token_number, token_epochs)
             VALUES (?1, ?5, ?2, ?3, ?4, ?6)
             ON CONFLICT (site) DO UPDATE SET token_used = excluded.token_used, tokens_given = excluded.tokens_given,
                token_number = excluded.token_number, token_epochs = excluded.token_epochs, challenge = NULL, is_reopened = 0",
            &[
                site.0.into(),
                (&token.0).into(),
                [].as_slice().into(),
                number.into(),
                unsigned(self.now_ms),
                (&epochs_to_bytes(&[(epoch_half(self.state.epoch), number.saturating_add(1))])).into(),
            ],
        )?;
        self.note_ahead(site)
    }

    /// Whoever knows the password of a stopped site is still one of two: an administrator chooses.
    pub(super) fn refuse_stopped(&mut self, site: SiteId) -> Result<(), StoreError> {
        match self.reading().stop_of(site)? {
            Some(stop) => Err(StoreError::Refused(stopped(site, &stop))),
            None => Ok(()),
        }
    }

    fn stop_site(&mut self, head: &Prelude, code: &str, reason: &str) -> Result<Stop, StoreError> {
        let stop = Stop { since_ms: self.now_ms, code: code.to_owned(), reason: reason.to_owned() };
        self.sql.execute(
            "INSERT INTO site_stop (site, since_ms, code, reason) VALUES (?1, ?2, ?3, ?4)",
            &[head.site.0.into(), unsigned(stop.since_ms), code.into(), reason.into()],
        )?;
        self.note_stop_devices(head)?;
        let entry = AuditEntry { site: Some(head.site), ..AuditEntry::new(SYSTEM, "site-stops") };
        self.note(entry, json!({ "stopped": null }), json!({ "stopped": code }))?;
        Ok(stop)
    }

    /// Reads what the batch has written so far.
    pub fn reading(&mut self) -> Reading<'_> {
        Reading { sql: &mut *self.sql, catalogue: self.catalogue }
    }
}

impl Reading<'_> {
    /// Whether a token is of a device that an administrator did not choose.
    pub(super) fn rejects_token(&mut self, site: SiteId, token: Token) -> Result<bool, StoreError> {
        let sql = "SELECT tokens_rejected FROM contact WHERE site = ?1";
        let rejected =
            self.sql.query_one(sql, &[site.0.into()], |row| Ok(row.optional_blob(0)?.unwrap_or_default().to_vec()))?;
        Ok(is_among(&rejected.unwrap_or_default(), token))
    }

    /// Whether a token is the one that was used last, or was given in answer to it.
    pub(super) fn is_live_token(&mut self, site: SiteId, token: Token) -> Result<bool, StoreError> {
        let sql = "SELECT token_used, tokens_given FROM contact WHERE site = ?1";
        let known = self.sql.query_one(sql, &[site.0.into()], |row| {
            let used = row.optional_blob(0)?.is_some_and(|used| used == token.0);
            Ok(used || is_among(row.blob(1)?, token))
        })?;
        Ok(known.unwrap_or(false))
    }

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

fn epochs_to_bytes(epochs: &[(u32, u32)]) -> Vec<u8> {
    epochs.iter().flat_map(|(half, first)| [half.to_le_bytes(), first.to_le_bytes()].concat()).collect()
}

fn epochs_of_bytes(bytes: &[u8]) -> Vec<(u32, u32)> {
    let number = |bytes: &[u8]| bytes.first_chunk().map(|four| u32::from_le_bytes(*four));
    bytes.chunks_exact(8).filter_map(|eight| Some((number(eight)?, number(eight.get(4..)?)?))).collect()
}

fn epoch_half(epoch: Epoch) -> u32 {
    u32::try_from(epoch.0 & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

/// Whether a token is one of these, which follow each other.
fn is_among(tokens: &[u8], token: Token) -> bool {
    tokens.chunks_exact(TOKEN_BYTES).any(|one| one == token.0)
}

/// What a device is told that an administrator did not choose.
pub(super) fn not_chosen(site: SiteId) -> Refusal {
    let what = format!(
        "an administrator of central chose another device for site {site}, and this one was its copy, or set back"
    );
    Refusal::new("device_not_chosen", &what)
}

/// What the device of a stopped site is told.
pub(super) fn stopped(site: SiteId, stop: &Stop) -> Refusal {
    let what = format!("site {site} is stopped until an administrator of central chooses: {}", stop.reason);
    Refusal::new("site_stopped", &what)
}
