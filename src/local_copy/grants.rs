//! The stores that this site may write, and those of which a central that was set back does not know any more that it may.
//!
//! | state | the store may be written | how it came to it |
//! | --- | --- | --- |
//! | held | yes | central granted it |
//! | claimed | yes | central told all grants anew and did not name it; it is shown in each request until central answers |
//! | forgotten | no | central declined: it did not give the grant, or gave the store to somebody else since it was set back |
//! | asked again | no | central was set back once more, and may not know that it declined: the claim is shown to it anew |
//! | frozen | no | central takes the store away, to give it to another site; what is here of it is still received |
//! | taken | no | it has gone to another site |
//! | not told | yes | this device was set back since, and no session has gone through that would have told it again: then it is taken |
//! | told again | no | central was set back to before it took the store away, and has told the same grant again; requests show that |
//!
//! What is here of a store that is claimed or forgotten may be nowhere else: its scope, which does not come any more, is kept as it is
//! until central gives the store again.

use std::ops::ControlFlow;

use domain::authority::CENTRAL_DATA;
use domain::scope::Scope;
use protocol::control::{Claim, Claims, Grant, GrantsTold, ShownRefusal};
use protocol::ids::{ControlNumber, GrantProof, OwnershipNumber, RecordId, ScopeId, Sequence};
use protocol::limits::CLAIMS_MAX;
use sql::{Param, SqlExt};

use super::rebuild::{DROPPING, KEPT, READING};
use super::time_line::IS_OTHER_TIME_LINE;
use super::{LocalCopy, LocalCopyError};

/// The values of `store_grant.state`.
pub(super) const HELD: i64 = 0;
const CLAIMED: i64 = 1;
const FORGOTTEN: i64 = 2;
const ASKED_AGAIN: i64 = 3;
const FROZEN: i64 = 4;
const TAKEN: i64 = 5;
const TOLD_AGAIN: i64 = 6;
const NOT_TOLD: i64 = 7;

/// The grants under which a store may be written.
pub(super) const MAY_BE_WRITTEN: &str = "state IN (0, 1, 7)";

/// Those, and the grants of stores that are being taken away: what is here of them is this site's to send still.
pub(super) const IS_HANDED_BACK: &str = "state IN (0, 1, 4, 6, 7)";

/// The grants of stores of which something may be here that no other site has.
pub(super) const IS_OF_THIS_SITE: &str = "state <> 5";

/// Name of the number of the last row that said that all grants were told.
const GRANTS_TOLD: &str = "grants_told";

/// Name of the number of times that all grants were told: the numbers of rows do not rise over a central that is set back.
const GRANT_TELLINGS: &str = "grant_tellings";

/// Name of the last of these that was answered: replies came to requests that showed all there is to show.
const GRANT_TELLINGS_ANSWERED: &str = "grant_tellings_answered";

/// Name of the entry of this journal up to which central had judged when that row came.
const JUDGED_AT_GRANTS: &str = "judged_at_grants";

/// A store that this site held, and of which central has forgotten or denies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgottenStore {
    /// The store.
    pub store: String,
    /// The number of the grant.
    pub ownership: OwnershipNumber,
    /// Whether central has not answered yet: then the store may be written still.
    pub is_claimed: bool,
}

impl LocalCopy {
    /// The stores that this site may write, with the number of each grant.
    ///
    /// # Errors
    /// Those of a read.
    pub fn grants(&mut self) -> Result<Vec<(String, OwnershipNumber)>, LocalCopyError> {
        self.grants_where(MAY_BE_WRITTEN)
    }

    /// The stores of which this site hands back what a central that was set back has lost: those that it writes, and those that are being
    /// taken away from it.
    pub(super) fn grants_to_hand_back(&mut self) -> Result<Vec<(String, OwnershipNumber)>, LocalCopyError> {
        self.grants_where(IS_HANDED_BACK)
    }

    /// The stores that are being taken away from this site: it writes them no more, and no other site does yet.
    ///
    /// # Errors
    /// Those of a read.
    pub fn frozen_stores(&mut self) -> Result<Vec<String>, LocalCopyError> {
        let frozen = self.grants_where(&format!("state IN ({FROZEN}, {TOLD_AGAIN})"))?;
        Ok(frozen.into_iter().map(|(store, _)| store).collect())
    }

    fn grants_where(&mut self, state: &str) -> Result<Vec<(String, OwnershipNumber)>, LocalCopyError> {
        let grants =
            self.read_claims(&format!("SELECT store, ownership, proof FROM store_grant WHERE {state} ORDER BY store"))?;
        Ok(grants.into_iter().map(|grant| (grant.store, grant.ownership)).collect())
    }

    /// The stores of which central has forgotten that this site holds them.
    ///
    /// # Errors
    /// Those of a read.
    pub fn forgotten_stores(&mut self) -> Result<Vec<ForgottenStore>, LocalCopyError> {
        let mut stores = Vec::new();
        for (state, is_claimed) in [(CLAIMED, true), (FORGOTTEN, false), (ASKED_AGAIN, false)] {
            let sql = format!("SELECT store, ownership, proof FROM store_grant WHERE state = {state} ORDER BY store");
            let of_state = self.read_claims(&sql)?.into_iter();
            stores.extend(of_state.map(|claim| ForgottenStore {
                store: claim.store,
                ownership: claim.ownership,
                is_claimed,
            }));
        }
        Ok(stores)
    }

    /// What requests show of grants that central did not name.
    pub(super) fn claims(&mut self) -> Result<Claims, LocalCopyError> {
        let told = ControlNumber(self.number(GRANTS_TOLD)?.unwrap_or(0));
        let number_gaps = self.number_gaps_to_show()?;
        if told == ControlNumber(0) {
            return Ok(Claims { number_gaps, ..Claims::default() });
        }
        let sql = format!(
            "SELECT store, ownership, proof FROM store_grant WHERE state IN ({CLAIMED}, {ASKED_AGAIN})
             ORDER BY store LIMIT {CLAIMS_MAX}"
        );
        let refused = if self.shows_refusals()? { self.next_refusals()? } else { Vec::new() };
        let taken = format!(
            "SELECT store, ownership, proof FROM store_grant WHERE state = {TOLD_AGAIN} ORDER BY store LIMIT {CLAIMS_MAX}"
        );
        let taken = self.read_claims(&taken)?;
        Ok(Claims { told, grants: self.read_claims(&sql)?, refused, taken, number_gaps })
    }

    /// Central gives a store, or takes it away. Inside the open transaction.
    pub(super) fn store_grant(&mut self, grant: &Grant, row: ControlNumber) -> Result<(), LocalCopyError> {
        let store = grant.store.as_str();
        let sql = "SELECT state, ownership FROM store_grant WHERE store = ?1";
        let before = self.sql.query_one(sql, &[store.into()], |row| Ok((row.integer(0)?, row.unsigned(1)?)))?;
        let before = match before {
            // Another site may have been given it since: under this number nobody writes it any more.
            Some((FROZEN | TAKEN | TOLD_AGAIN, taken)) if grant.is_held && u64::from(grant.ownership.0) <= taken => {
                self.sql.execute(
                    "UPDATE store_grant SET state = ?2, told = ?3 WHERE store = ?1",
                    &[store.into(), TOLD_AGAIN.into(), Param::unsigned(row.0)?],
                )?;
                return Ok(());
            }
            before => before,
        };
        let is_new = before != Some((HELD, u64::from(grant.ownership.0)));
        let before = before.map(|(state, _)| state);
        if grant.is_held {
            self.sql.execute(
                "INSERT INTO store_grant (store, ownership, proof, told, state) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (store) DO UPDATE SET
                     is_read = CASE WHEN ownership = excluded.ownership THEN is_read ELSE 0 END,
                     ownership = excluded.ownership, proof = excluded.proof, told = excluded.told, state = excluded.state",
                &[
                    store.into(),
                    grant.ownership.0.into(),
                    (&grant.proof.0).into(),
                    Param::unsigned(row.0)?,
                    HELD.into(),
                ],
            )?;
            self.take_number_gaps(store, grant.number_gaps, before.is_none())?;
            if is_new {
                self.owe_look_at_transfers()?;
            }
            if before.is_some_and(|state| state != HELD) {
                // What could not go meanwhile, because the store might not be written.
                self.owe_look_at_withheld()?;
                self.read_kept_scope(store)?;
            }
            return Ok(());
        }
        match before {
            // Of central data nothing is kept: what central does not take is handed back like any record.
            Some(CLAIMED | FORGOTTEN | ASKED_AGAIN) if store != CENTRAL_DATA => {
                self.set_grant_state(store, FORGOTTEN)?;
            }
            Some(HELD) if store != CENTRAL_DATA => {
                self.set_grant_state(store, FROZEN)?;
                // What another store of this site has with it goes to another site from now on.
                self.owe_look_at_withheld()?;
            }
            // It may have been dropped before it was told again.
            Some(TOLD_AGAIN) => {
                let is_received = self.receives_scope_of(store)?;
                self.set_grant_state(store, if is_received { FROZEN } else { TAKEN })?;
            }
            Some(FROZEN | TAKEN) => {}
            _ => {
                self.sql.execute("DELETE FROM store_grant WHERE store = ?1", &[store.into()])?;
            }
        }
        Ok(())
    }

    /// The site does not receive the store any more. Inside the open transaction.
    pub(super) fn note_dropped(&mut self, scope: &ScopeId) -> Result<(), LocalCopyError> {
        let Scope::Store(store) = Scope::from_id(scope) else { return Ok(()) };
        let sql = "UPDATE store_grant SET state = ?2 WHERE store = ?1 AND state = ?3";
        if self.sql.execute(sql, &[store.as_str().into(), TAKEN.into(), FROZEN.into()])? > 0 {
            // Also where nothing was read of it: what was recorded, and has its verdict with this, is to be let go of.
            self.scope_number(scope)?;
        }
        Ok(())
    }

    /// A session went through, in which central told every grant that this site has: what it did not tell went to another site while this
    /// device was set back. Inside the open transaction.
    pub(super) fn take_grants_not_told(&mut self) -> Result<(), LocalCopyError> {
        let sql = "UPDATE store_grant SET state = ?1 WHERE state = ?2";
        self.sql.execute(sql, &[TAKEN.into(), NOT_TOLD.into()])?;
        Ok(())
    }

    /// What central told since an unknown time is not here: it tells again which stores this site may write. Until then people go on, as
    /// before: what is recorded in a store that is another site's by now is set aside. Inside the open transaction.
    pub(super) fn forget_grants_until_told(&mut self) -> Result<(), LocalCopyError> {
        let sql = "UPDATE store_grant SET state = ?1 WHERE state = ?2";
        self.sql.execute(sql, &[NOT_TOLD.into(), HELD.into()])?;
        Ok(())
    }

    fn set_grant_state(&mut self, store: &str, state: i64) -> Result<(), LocalCopyError> {
        let sql = "UPDATE store_grant SET state = ?2 WHERE store = ?1";
        self.sql.execute(sql, &[store.into(), state.into()])?;
        Ok(())
    }

    /// Whether the store's scope is here and is not let go of.
    fn receives_scope_of(&mut self, store: &str) -> Result<bool, LocalCopyError> {
        let Ok(store) = RecordId::new(store) else { return Ok(false) };
        let scope = Scope::Store(store).to_id();
        let sql = "SELECT 1 FROM scope WHERE scope_id = ?1 AND rebuild <> ?2";
        Ok(self.sql.query_integer(sql, &[scope.as_bytes().into(), DROPPING.into()])?.is_some())
    }

    /// Whether a request is to show what central may not know any more to have refused: it told all grants, and has not answered all.
    pub(super) fn shows_refusals(&mut self) -> Result<bool, LocalCopyError> {
        Ok(self.grant_tellings()? > self.number(GRANT_TELLINGS_ANSWERED)?.unwrap_or(0))
    }

    /// A reply came to a request that showed some; whether there are more to show. Inside the open transaction.
    pub(super) fn note_refusals_shown(&mut self) -> Result<bool, LocalCopyError> {
        let telling = self.grant_tellings()?;
        let shown = self.next_refusals()?;
        self.note_shown(&shown, telling)?;
        // Central waits for a list that is not full, as it does with claims.
        let has_more = shown.len() == CLAIMS_MAX;
        if !has_more {
            self.set_number(GRANT_TELLINGS_ANSWERED, telling)?;
        }
        Ok(has_more)
    }

    fn next_refusals(&mut self) -> Result<Vec<ShownRefusal>, LocalCopyError> {
        let (telling, judged) = (self.grant_tellings()?, self.number(JUDGED_AT_GRANTS)?.unwrap_or(0));
        self.refusals_to_show(telling, judged)
    }

    fn grant_tellings(&mut self) -> Result<u64, LocalCopyError> {
        Ok(self.number(GRANT_TELLINGS)?.unwrap_or(0))
    }

    /// All grants were told in so many rows before this one: others that are here central has forgotten. Inside the open transaction.
    /// `judged`: how far central had judged this journal.
    pub(super) fn store_grants_told(
        &mut self,
        told: GrantsTold,
        row: ControlNumber,
        judged: Sequence,
    ) -> Result<(), LocalCopyError> {
        let first = row.0.saturating_sub(u64::from(told.grants));
        self.sql.execute(
            "UPDATE store_grant SET state = CASE WHEN state IN (?3, ?6) THEN ?2 ELSE ?5 END
             WHERE told < ?1 AND state IN (?3, ?4, ?6)",
            &[
                Param::unsigned(first)?,
                CLAIMED.into(),
                HELD.into(),
                FORGOTTEN.into(),
                ASKED_AGAIN.into(),
                NOT_TOLD.into(),
            ],
        )?;
        self.set_number(JUDGED_AT_GRANTS, judged.0)?;
        let tellings = self.grant_tellings()? + 1;
        self.set_number(GRANT_TELLINGS, tellings)?;
        self.set_number(GRANTS_TOLD, row.0)
    }

    /// A store that was kept comes again, from 0, beside what is here: as after central was set back.
    fn read_kept_scope(&mut self, store: &str) -> Result<(), LocalCopyError> {
        let Ok(store) = RecordId::new(store) else { return Ok(()) };
        let scope = Scope::Store(store).to_id();
        let sql = "UPDATE scope SET rebuild = ?2, generation = generation + 1 WHERE scope_id = ?1 AND rebuild = ?3";
        if self.sql.execute(sql, &[scope.as_bytes().into(), READING.into(), KEPT.into()])? > 0 {
            self.set_number(IS_OTHER_TIME_LINE, 1)?;
        }
        Ok(())
    }

    fn read_claims(&mut self, sql: &str) -> Result<Vec<Claim>, LocalCopyError> {
        let mut claims = Vec::new();
        self.sql.query(sql, &[], &mut |row| {
            claims.push((row.text(0)?.to_owned(), row.unsigned(1)?, row.optional_blob(2)?.map(<[u8]>::to_vec)));
            Ok(ControlFlow::Continue(()))
        })?;
        let claim = |(store, ownership, proof): (String, u64, Option<Vec<u8>>)| {
            let ownership = OwnershipNumber(u32::try_from(ownership).map_err(LocalCopyError::damaged)?);
            // A grant of before grants had proofs: central cannot know it again.
            let proof = proof.and_then(|proof| GrantProof::try_from(proof.as_slice()).ok());
            Ok(Claim { store, ownership, proof: proof.unwrap_or(GrantProof([0; 16])) })
        };
        claims.into_iter().map(claim).collect()
    }
}
