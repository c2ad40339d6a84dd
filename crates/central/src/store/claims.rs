//! Grants that a central which was set back has forgotten, and the sites have not (rule 5.12, invariant 8).
//!
//! Whoever is found ahead is told all grants of its site anew, with a row that says so, and answers with those that it has beside them:
//! its *claims*. Each grant carries a proof that only central can make, so that a central which gave it knows it again: it takes the
//! grant up under its old number, unless the store went on to somebody since. A site that central takes for the store's holder and that
//! has not reported may say yet that the store was taken from it (the module `moves`): the claim is not answered until it has. Any other
//! claim is declined: the site is told, keeps what it has of the store, and an operator sees it. It shows also which entries were refused
//! that this central may hold as waiting still, or as not judged: they get the verdict that they had. Until a site has answered, what it
//! wrote waits for its verdict: it may belong to a store that is about to be taken up.
//!
//! | where | what |
//! | --- | --- |
//! | `site.grants_told` | NULL: nothing is compared; 0: the site is to be told; else number of the row that says that all were told |
//! | `grant_claim` | claims that were declined, until the store is given to the site or another device speaks for it |

use std::ops::ControlFlow;

use domain::judge::{Holding, RefusalCode};
use protocol::chain::hash_of;
use protocol::control::{Claim, EntryPlace, ShownRefusal};
use protocol::ids::{ControlNumber, GrantProof, OwnershipNumber, RecordId, SiteId};
use protocol::limits::CLAIMS_MAX;
use protocol::message::RequestHead;

use super::batch::Batch;
use super::error::StoreError;
use super::judging::Reason;
use super::mirror::is_central_data;
use super::moves::MovePhase;
use super::reading::Reading;
use super::{text, unsigned};

/// A store that a site holds by a grant which this central does not know as its own, or gave to somebody else since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclinedClaim {
    /// The site that has it.
    pub site: SiteId,
    /// The store.
    pub store: RecordId,
    /// The number of the grant.
    pub ownership: OwnershipNumber,
    /// Whether central gave it, and has given the store to somebody else since it was set back.
    pub is_own: bool,
}

impl Batch<'_> {
    /// The site is to be told all its grants anew before anything more of it is judged.
    pub(super) fn owe_grants(&mut self, site: SiteId) -> Result<(), StoreError> {
        self.set_grants_told(site, Some(0))
    }

    /// Whether what a site wrote waits until its grants are compared.
    pub(super) fn compares_grants(&mut self, site: SiteId) -> Result<bool, StoreError> {
        Ok(self.site(site)?.grants_told.is_some())
    }

    /// Tells a site that is ahead its grants, or takes its answer. After what it acknowledges is forgotten.
    pub(super) fn compare_grants(&mut self, head: &RequestHead) -> Result<(), StoreError> {
        let Some(told) = self.site(head.site)?.grants_told else { return Ok(()) };
        if told == 0 || head.control == ControlNumber(0) {
            self.tell_all_grants(head.site)?;
            let last = self.site(head.site)?.control_last;
            return self.set_grants_told(head.site, Some(last));
        }
        if head.claims.told.0 < told {
            return Ok(());
        }
        for taken in &head.claims.taken {
            self.answer_taken(head.site, taken)?;
        }
        let mut is_answered = true;
        for claim in &head.claims.grants {
            is_answered &= self.answer_claim(head.site, claim)?;
        }
        self.refuse_again(head.site, &head.claims.refused)?;
        // More come behind a full list, once these are answered.
        let lists = [head.claims.grants.len(), head.claims.refused.len(), head.claims.taken.len()];
        let has_more = lists.into_iter().any(|shown| shown >= CLAIMS_MAX);
        if has_more || !is_answered { Ok(()) } else { self.set_grants_told(head.site, None) }
    }

    /// What waits or is not judged here, and was refused before central was set back, gets the verdict that it had: its site may have
    /// acted on it. A site can only refuse its own edits by it.
    fn refuse_again(&mut self, site: SiteId, refused: &[ShownRefusal]) -> Result<(), StoreError> {
        // Of a refused group one entry is the cause.
        let is_cause = |refused: &&ShownRefusal| refused.code != RefusalCode::GroupRefused.as_str();
        let (causes, others): (Vec<_>, Vec<_>) = refused.iter().partition(is_cause);
        for refused in causes.into_iter().chain(others) {
            let reason = Reason::new(&refused.code, &refused.reason);
            let Some(group) = self.waiting_group_of(site, refused.place)? else {
                self.keep_verdict(site, refused.place, &reason)?;
                continue;
            };
            let mut changes = Vec::new();
            self.refuse_group(&group, Some(refused.place.sequence), &reason, &mut changes)?;
            self.settle(changes)?;
        }
        Ok(())
    }

    /// An entry that was received and not judged is refused for that reason once it is its turn.
    pub(super) fn keep_verdict(&mut self, site: SiteId, place: EntryPlace, reason: &Reason) -> Result<(), StoreError> {
        let mut stored = None;
        let active = self.site(site)?.journal.as_mut().filter(|active| active.id == place.journal);
        let journal = match active {
            Some(active) => active,
            None => match self.stored_journal(site, place.journal)? {
                Some(found) => stored.insert(found),
                None => return Ok(()),
            },
        };
        if place.sequence <= journal.judged || place.sequence > journal.end() {
            return Ok(());
        }
        journal.refused_before = journal.refused_before.max(place.sequence);
        journal.is_changed = true;
        let number = journal.number;
        if let Some(stored) = stored {
            stored.write(self.sql)?;
        }
        Ok(self.set_verdict(number, place.sequence, None, Some(reason))?)
    }

    /// Forgets what another device of the site claimed.
    pub(super) fn forget_claims(&mut self, site: SiteId) -> Result<(), StoreError> {
        self.sql.execute("DELETE FROM grant_claim WHERE site = ?1", &[site.0.into()])?;
        self.set_grants_told(site, None)
    }

    /// A store that is about to be given to a site: the highest number that is known of it, once the claim of that site is met.
    ///
    /// # Errors
    /// Refused with `store_held_before` while another site has a claim.
    pub(super) fn meet_claim(&mut self, store: &RecordId, site: SiteId) -> Result<OwnershipNumber, StoreError> {
        self.refuse_claimed_by_other(store, site)?;
        let claims = self.reading().declined_claims(Some(store))?;
        self.sql.execute("DELETE FROM grant_claim WHERE store = ?1", &[store.as_str().into()])?;
        // What central did not give says nothing about numbers.
        Ok(claims.iter().filter(|claim| claim.is_own).map(|claim| claim.ownership).max().unwrap_or_default())
    }

    /// That a store may go to a site: to central always, elsewhere unless another site claims it.
    ///
    /// # Errors
    /// Refused with `store_held_before`.
    pub(super) fn refuse_claimed_by_other(&mut self, store: &RecordId, site: SiteId) -> Result<(), StoreError> {
        let Some(other) = self.other_claim(store, site)? else { return Ok(()) };
        let what = format!(
            "store {store} was held by site {other} before central was set back, and that site may have what nobody else has of it: give \
             it to site {other}, or free that site of its device first (site reset-hardware)"
        );
        Err(StoreError::refused("store_held_before", &what))
    }

    /// Another site that claims a store which is to go to a site; none where that is central.
    pub(super) fn other_claim(&mut self, store: &RecordId, site: SiteId) -> Result<Option<SiteId>, StoreError> {
        let claims = self.reading().declined_claims(Some(store))?;
        let mut others = claims.iter().map(|claim| claim.site).filter(|claimant| *claimant != site);
        Ok(if site == SiteId::CENTRAL { None } else { others.next() })
    }

    /// What only this central can make of a grant.
    pub(super) fn grant_proof(&self, site: SiteId, store: &RecordId, ownership: OwnershipNumber) -> GrantProof {
        // A token's check covers 12 bytes behind the secret, and this more, so that none of the two can stand for the other.
        let said =
            [b"grant", &site.0.to_le_bytes()[..], &ownership.0.to_le_bytes(), store.as_str().as_bytes()].concat();
        let hash = hash_of(&[&self.token_secret[..], &said].concat());
        GrantProof(*hash.0.first_chunk().expect("a hash has 32 bytes"))
    }

    /// Whether it was answered: not while another site is waited for that says whether it still has the store.
    fn answer_claim(&mut self, site: SiteId, claim: &Claim) -> Result<bool, StoreError> {
        let Ok(store) = RecordId::new(&claim.store) else { return Ok(true) };
        if is_central_data(&store) {
            self.answer_authority_claim(site, claim)?;
            return Ok(true);
        }
        let held = self.state.holdings.get(&store).copied();
        let is_own = claim.proof == self.grant_proof(site, &store, claim.ownership);
        let claimed = Holding { site, ownership: claim.ownership };
        let moving = self.state.moves.get(&store).cloned();
        if let (Some(held), Some(moving)) = (held, moving)
            && held.site == site
        {
            let was_told = moving.phase == MovePhase::Filling && is_own && held.ownership <= claim.ownership;
            if was_told {
                self.hold_as_claimed(&store, claimed)?;
            } else {
                // It goes from there, or comes there and was never told so.
                self.tell_declined(site, &store, claim.ownership)?;
            }
            return Ok(true);
        }
        if held.is_some_and(|held| held.site == site && held.ownership >= claim.ownership) {
            // It was given meanwhile, and the site has not heard of that yet.
            return Ok(true);
        }
        let is_later = held.is_none_or(|held| held.ownership < claim.ownership);
        if is_own && is_later {
            let other = held.map(|held| held.site).filter(|holder| *holder != site && *holder != SiteId::CENTRAL);
            match other {
                Some(holder) if self.may_hand_back(&store, holder)? => return Ok(false),
                // One that has reported holds the store still: it was given to it since.
                Some(holder) if self.has_reported(holder)? => {}
                Some(_) | None => {
                    self.hold_as_claimed(&store, claimed)?;
                    return Ok(true);
                }
            }
        }
        self.sql.execute(
            "INSERT INTO grant_claim (site, store, ownership, is_own) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (site, store) DO UPDATE SET ownership = excluded.ownership, is_own = excluded.is_own",
            &[site.0.into(), store.as_str().into(), claim.ownership.0.into(), i64::from(is_own).into()],
        )?;
        self.tell_declined(site, &store, claim.ownership)?;
        Ok(true)
    }

    /// Whether a site that central takes for the holder of a store may say yet that it was taken from it, or has said so and has not sent
    /// everything that it had of it.
    fn may_hand_back(&mut self, store: &RecordId, holder: SiteId) -> Result<bool, StoreError> {
        let is_leaving = self.state.moves.get(store).is_some_and(|moving| moving.waits_for() == holder);
        Ok(is_leaving || self.is_awaited(holder)?)
    }

    fn set_grants_told(&mut self, site: SiteId, told: Option<u64>) -> Result<(), StoreError> {
        if self.site(site)?.grants_told == told {
            return Ok(());
        }
        self.sql.execute(
            "UPDATE site SET grants_told = ?2 WHERE id = ?1",
            &[site.0.into(), told.map_or(sql::Param::Null, unsigned)],
        )?;
        self.site(site)?.grants_told = told;
        Ok(())
    }
}

impl Reading<'_> {
    /// Claims that were declined and are not met, of one store or of all.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn declined_claims(&mut self, store: Option<&RecordId>) -> Result<Vec<DeclinedClaim>, StoreError> {
        let mut claims = Vec::new();
        let sql =
            "SELECT site, store, ownership, is_own FROM grant_claim WHERE ?1 = '' OR store = ?1 ORDER BY site, store";
        self.sql.query(sql, &[store.map_or("", RecordId::as_str).into()], &mut |row| {
            claims.push(DeclinedClaim {
                site: text::site(row, 0)?,
                store: text::record_id(row, 1)?,
                ownership: OwnershipNumber(text::small(row, 2)?),
                is_own: row.integer(3)? != 0,
            });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(claims)
    }
}
