//! A store that moves from one site to another (seed 000, "Moving stores between sync sites"; `domain.md`, "Sites").
//!
//! | phase | who writes the store | goes on to the next |
//! | --- | --- | --- |
//! | draining | the old site, until it hears that it may not any more; then nobody | once it has heard that, and everything that it had recorded is judged and none of it waits |
//! | filling | nobody; the new site holds the store under the next number, and is not told so | once the new site has read everything that it is to have, and what it may have recorded before is judged |
//! | over | the new site, under the number that it was told last | |
//!
//! A store goes to central by draining alone, and comes from central by filling alone. The first time that it leaves central it does not
//! even fill: nobody has worked with its data, and its site begins with what came already.
//!
//! Where no device can have unsent edits draining is left out. Whoever cannot wait leaves it out too: what the old site has not sent by
//! then carries a number that opens nothing any more, and is set aside. Calling a move off gives the store back to its old site in the
//! same way, under the next number, so that no number is ever given twice.
//!
//! While central heals no store goes from one phase to the next: since the backup it may have gone elsewhere.
//!
//! A central that was set back to before a move tells the old site its grant again. That site does not write, and says so (`taken`): then
//! the store *returns* to central, where the new site's claim, under the number behind, finds it free (the module `claims`).

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use domain::judge::Holding;
use domain::store::STORE_TABLE;
use domain::withholding::Withheld;
use protocol::control::Claim;
use protocol::ids::{OwnershipNumber, RecordId, SiteId};
use protocol::message::RequestHead;
use serde_json::json;
use sql::{Row, Sql};

use super::audit::{AuditEntry, SYSTEM, site_actor};
use super::batch::Batch;
use super::error::StoreError;
use super::reading::Reading;
use super::{text, unsigned};

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MovePhase {
    /// The old site is to hear that it writes no more, and to send what it has.
    Draining,
    /// The new site is to read everything.
    Filling,
    /// As draining, because the old site says that the store had been taken from it before central was set back.
    Returning,
}

/// A store on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreMove {
    /// The store.
    pub store: RecordId,
    /// The site that it comes from.
    pub from: SiteId,
    /// The site that it goes to.
    pub to: SiteId,
    /// How far it is.
    pub phase: MovePhase,
    /// When it was asked for, in milliseconds since 1970.
    pub asked_ms: u64,
}

/// What became of a store that was to go somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// It is there.
    Held,
    /// It was there already; nothing was written.
    Unchanged,
    /// This site is waited for.
    UnderWay {
        /// What it is to do.
        phase: MovePhase,
        /// The site.
        site: SiteId,
    },
}

impl MovePhase {
    const ALL: [Self; 3] = [Self::Draining, Self::Filling, Self::Returning];

    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Filling => "filling",
            Self::Returning => "returning",
        }
    }

    fn number(self) -> i64 {
        match self {
            Self::Draining => 0,
            Self::Filling => 1,
            Self::Returning => 2,
        }
    }
}

impl StoreMove {
    /// The site that is waited for.
    pub fn waits_for(&self) -> SiteId {
        match self.phase {
            MovePhase::Draining | MovePhase::Returning => self.from,
            MovePhase::Filling => self.to,
        }
    }

    fn under_way(&self) -> Moved {
        Moved::UnderWay { phase: self.phase, site: self.waits_for() }
    }

    /// All of them, by store.
    pub(super) fn load_all(sql: &mut (dyn Sql + '_)) -> Result<Vec<Self>, StoreError> {
        let mut moves = Vec::new();
        let read = |row: &dyn Row| {
            let phase = row.integer(3)?;
            let phase = MovePhase::ALL.into_iter().find(|known| known.number() == phase);
            Ok(Self {
                store: text::record_id(row, 0)?,
                from: text::site(row, 1)?,
                to: text::site(row, 2)?,
                phase: phase.ok_or_else(|| text::damaged(3, "phase"))?,
                asked_ms: row.unsigned(4)?,
            })
        };
        let all = "SELECT store, from_site, to_site, phase, asked_ms FROM store_move ORDER BY store";
        sql.query(all, &[], &mut |row| {
            moves.push(read(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(moves)
    }
}

impl Batch<'_> {
    /// Lets a store be active at a site, central among them: at once where nobody else can have anything of it, else as a move. Asked again
    /// with the site that it comes from, or with another one, a move goes there instead. `is_at_once`: the old site is not waited for.
    ///
    /// # Errors
    /// Refused with `unknown_site`, `unknown_store`, `mobile_site_has_store`, `too_many_stores`, `data_withheld` while the store keeps data
    /// on its site, `central_heals`, `store_held_before`, `no_number_left`.
    pub fn move_store(&mut self, store: &RecordId, site: SiteId, is_at_once: bool) -> Result<Moved, StoreError> {
        self.job(|batch| {
            batch.live_site(site)?;
            match batch.state.moves.get(store).cloned() {
                Some(moving) => batch.redirect(&moving, site, is_at_once),
                None => batch.begin_move(store, site, is_at_once),
            }
        })
    }

    /// Leaves a store that moves at the site that it comes from; which that is, and what became of it.
    ///
    /// # Errors
    /// Refused with `store_does_not_move`; else as [`Batch::move_store`].
    pub fn call_off_move(&mut self, store: &RecordId) -> Result<(SiteId, Moved), StoreError> {
        self.job(|batch| {
            let Some(moving) = batch.state.moves.get(store).cloned() else {
                let what = format!("store {store} does not move: `store moves` shows those that do");
                return Err(StoreError::refused("store_does_not_move", &what));
            };
            Ok((moving.from, batch.redirect(&moving, moving.from, false)?))
        })
    }

    pub(super) fn begin_move(&mut self, store: &RecordId, site: SiteId, is_at_once: bool) -> Result<Moved, StoreError> {
        if !self.is_here(STORE_TABLE, store)? {
            let what = format!("there is no store {store} at central; import its record first");
            return Err(StoreError::refused("unknown_store", &what));
        }
        let from = self.state.holdings.holder(store);
        if from == site {
            return Ok(Moved::Unchanged);
        }
        self.check_room(store, site)?;
        // What was decided after the backup is known to the sites alone: another one may hold the store.
        self.refuse_while_healing(&format!("store {store} cannot go to site {site} yet"))?;
        self.refuse_claimed_by_other(store, site)?;
        if from == SiteId::CENTRAL {
            return self.hand_over(store, site);
        }
        if self.reading().withheld(store)? != Withheld::Nothing {
            let what = format!(
                "store {store} keeps data on site {from} that central does not have, and would leave it there: let it send that first \
                 (preference set include-transactions on --store {store}, or store set-role {store} --site central collector)"
            );
            return Err(StoreError::refused("data_withheld", &what));
        }
        let Some(held) = self.state.holdings.get(store).copied() else { return Ok(Moved::Unchanged) };
        self.tell_declined(from, store, held.ownership)?;
        let (phase, asked_ms) = (MovePhase::Draining, self.now_ms);
        self.set_move(StoreMove { store: store.clone(), from, to: site, phase, asked_ms })?;
        let has_nobody = self.has_nobody_to_drain(from)?;
        if is_at_once && !has_nobody {
            self.lose_numbers_of(store)?;
        }
        if is_at_once || has_nobody {
            return self.hand_over(store, site);
        }
        Ok(Moved::UnderWay { phase, site: from })
    }

    /// A store on its way goes elsewhere, or back, or is waited for no more.
    fn redirect(&mut self, moving: &StoreMove, site: SiteId, is_at_once: bool) -> Result<Moved, StoreError> {
        let store = moving.store.clone();
        match moving.phase {
            MovePhase::Draining | MovePhase::Returning => {
                if site != moving.to || moving.phase == MovePhase::Returning {
                    if site != moving.from {
                        self.check_room(&store, site)?;
                    }
                    self.refuse_while_healing(&format!("store {store} cannot go to site {site} yet"))?;
                    self.refuse_claimed_by_other(&store, site)?;
                    self.set_move(StoreMove { to: site, phase: MovePhase::Draining, ..moving.clone() })?;
                }
                let has_nobody = self.has_nobody_to_drain(moving.from)?;
                if is_at_once || has_nobody {
                    self.refuse_while_healing(&format!("store {store} cannot go to site {site} yet"))?;
                    if !has_nobody {
                        self.lose_numbers_of(&store)?;
                    }
                    return self.hand_over(&store, site);
                }
                Ok(Moved::UnderWay { phase: MovePhase::Draining, site: moving.from })
            }
            MovePhase::Filling if site == moving.to => Ok(moving.under_way()),
            // Nobody has written it since it was handed over.
            MovePhase::Filling => {
                self.check_room(&store, site)?;
                self.refuse_while_healing(&format!("store {store} cannot go to site {site} yet"))?;
                self.hand_over(&store, site)
            }
        }
    }

    /// A store goes to a site under the next number. Whoever is not central is told so once it has read everything.
    fn hand_over(&mut self, store: &RecordId, site: SiteId) -> Result<Moved, StoreError> {
        let before = self.state.holdings.get(store).copied();
        let last = before.map_or(0, |holding| holding.ownership.0);
        let last = if site == SiteId::CENTRAL { last } else { last.max(self.meet_claim(store, site)?.0) };
        let Some(next) = last.checked_add(1).map(OwnershipNumber) else {
            return Err(StoreError::refused(
                "no_number_left",
                &format!("store {store} has had every ownership number"),
            ));
        };
        let from = before.map_or(SiteId::CENTRAL, |holding| holding.site);
        if before.is_some() {
            self.lose_numbers_that_stayed(store)?;
        }
        self.take_home_transfers_along(store, from, site)?;
        if site == SiteId::CENTRAL {
            self.forget_move(store)?;
            self.hold(store, Holding { site, ownership: next })?;
            return Ok(Moved::Held);
        }
        if before.is_none() {
            self.hold(store, Holding { site, ownership: next })?;
            self.tell_grant(site, store, next)?;
            return Ok(Moved::Held);
        }
        let asked_ms = self.state.moves.get(store).map_or(self.now_ms, |moving| moving.asked_ms);
        self.set_move(StoreMove { store: store.clone(), from, to: site, phase: MovePhase::Filling, asked_ms })?;
        self.hold(store, Holding { site, ownership: next })?;
        Ok(Moved::UnderWay { phase: MovePhase::Filling, site })
    }

    /// The site has heard that stores go from it, and what became of everything that it had recorded of them: they go.
    pub(super) fn follow_draining(&mut self, head: &RequestHead) -> Result<(), StoreError> {
        if !self.moves_wait_for(head.site) || head.heard.is_some() || !self.has_heard_of_all(head)? {
            return Ok(());
        }
        if self.site(head.site)?.waiting == 0 { self.end_draining(head.site) } else { Ok(()) }
    }

    /// A device is not there any more, and all that came of it is judged.
    pub(super) fn follow_draining_without_device(&mut self, site: SiteId) -> Result<(), StoreError> {
        if self.moves_wait_for(site) && self.has_nobody_to_drain(site)? { self.end_draining(site) } else { Ok(()) }
    }

    /// Central heals no more: stores go of which nobody else comes that would say so.
    pub(super) fn follow_moves_after_healing(&mut self) -> Result<(), StoreError> {
        let sites: BTreeSet<SiteId> = self.state.moves.values().map(StoreMove::waits_for).collect();
        sites.into_iter().try_for_each(|site| self.follow_draining_without_device(site))
    }

    fn end_draining(&mut self, site: SiteId) -> Result<(), StoreError> {
        let heals = self.is_healing()?;
        for moving in self.moves_waiting_for(site) {
            match moving.phase {
                // It may have gone elsewhere since the backup.
                MovePhase::Draining if heals => {}
                // The claim came since. It is shown until somebody sees to it; the old site's exchange is not to fail for it.
                MovePhase::Draining if self.other_claim(&moving.store, moving.to)?.is_some() => {}
                MovePhase::Draining => {
                    let moved = self.hand_over(&moving.store, moving.to)?;
                    let word = if moved == Moved::Held { "held" } else { MovePhase::Filling.as_str() };
                    self.note_move(&moving, moving.to, word)?;
                }
                // Under the number that it had: the claim of the site that it had gone to is for the next one.
                MovePhase::Returning => {
                    self.forget_move(&moving.store)?;
                    let Some(held) = self.state.holdings.get(&moving.store).copied() else { continue };
                    self.take_home_transfers_along(&moving.store, site, SiteId::CENTRAL)?;
                    self.hold(&moving.store, Holding { site: SiteId::CENTRAL, ownership: held.ownership })?;
                    self.note_move(&moving, SiteId::CENTRAL, "held")?;
                }
                MovePhase::Filling => {}
            }
        }
        Ok(())
    }

    /// The site has read everything that it is to have: it is told of the stores that it has from now on. Whether there were any.
    pub(super) fn follow_filled(&mut self, head: &RequestHead) -> Result<bool, StoreError> {
        if !self.moves_wait_for(head.site) || !self.has_heard_of_all(head)? || self.is_healing()? {
            return Ok(false);
        }
        let filled = self.moves_waiting_for(head.site);
        let filled: Vec<_> = filled.into_iter().filter(|moving| moving.phase == MovePhase::Filling).collect();
        for moving in &filled {
            self.forget_move(&moving.store)?;
            if let Some(held) = self.state.holdings.get(&moving.store).copied() {
                self.tell_grant(head.site, &moving.store, held.ownership)?;
            }
            self.note_move(moving, moving.to, "held")?;
        }
        Ok(!filled.is_empty())
    }

    /// A move goes on by itself: a line of the audit log.
    fn note_move(&mut self, moving: &StoreMove, site: SiteId, word: &str) -> Result<(), StoreError> {
        let entry = AuditEntry {
            site: Some(site),
            other_site: Some(moving.from),
            store: Some(moving.store.as_str().to_owned()),
            ..AuditEntry::new(SYSTEM, "move-goes-on")
        };
        let after = json!({ "site": site.0, "phase": word });
        self.note(entry, json!({ "site": moving.from.0, "phase": moving.phase.as_str() }), after)
    }

    /// A site says that a store, which central holds to be its own, was taken from it: central was set back, and has forgotten to whom.
    pub(super) fn answer_taken(&mut self, site: SiteId, taken: &Claim) -> Result<(), StoreError> {
        let Ok(store) = RecordId::new(&taken.store) else { return Ok(()) };
        let held = self.state.holdings.get(&store).copied();
        // A higher number it can have from central alone.
        let is_own = taken.proof == self.grant_proof(site, &store, taken.ownership);
        let is_given_up = |held: &Holding| {
            held.site == site && (held.ownership == taken.ownership || held.ownership < taken.ownership && is_own)
        };
        if let Some(held) = held.filter(is_given_up)
            && !self.state.moves.contains_key(&store)
        {
            let (phase, asked_ms) = (MovePhase::Returning, self.now_ms);
            let ownership = taken.ownership;
            self.set_move(StoreMove { store: store.clone(), from: site, to: SiteId::CENTRAL, phase, asked_ms })?;
            // What it hands back of the store it writes under that number.
            self.hold(&store, Holding { ownership, ..held })?;
            let entry = AuditEntry {
                site: Some(site),
                store: Some(store.as_str().to_owned()),
                ..AuditEntry::new(&site_actor(site), "gives-store-back")
            };
            let before = json!({ "ownership": held.ownership.0 });
            self.note(entry, before, json!({ "phase": phase.as_str(), "ownership": ownership.0 }))?;
        }
        self.tell_declined(site, &store, taken.ownership)
    }

    /// Whether nobody is granted a store, because it moves.
    pub(super) fn is_moving(&self, store: &RecordId) -> bool {
        self.state.moves.contains_key(store)
    }

    /// Refuses what may not change while a store moves.
    ///
    /// # Errors
    /// Refused with `store_moves`.
    pub(super) fn refuse_moving(&self, store: &RecordId) -> Result<(), StoreError> {
        let Some(moving) = self.state.moves.get(store) else { return Ok(()) };
        let what =
            format!("store {store} moves from site {} to site {}: wait until it is there", moving.from, moving.to);
        Err(StoreError::refused("store_moves", &what))
    }

    /// The move is over, or a claim shows that it was over before central was set back.
    pub(super) fn forget_move(&mut self, store: &RecordId) -> Result<(), StoreError> {
        if self.state.moves.remove(store).is_some() {
            self.state.has_new_layout = true;
            self.sql.execute("DELETE FROM store_move WHERE store = ?1", &[store.as_str().into()])?;
        }
        Ok(())
    }

    /// Whether no device of a site can bring any more of what it recorded.
    fn has_nobody_to_drain(&mut self, site: SiteId) -> Result<bool, StoreError> {
        let state = self.site(site)?;
        let is_judged = state.journal.as_ref().is_none_or(|journal| journal.judged >= journal.end());
        Ok(!state.is_enrolled && is_judged && !state.has_unjudged_journal)
    }

    fn moves_wait_for(&self, site: SiteId) -> bool {
        self.state.moves.values().any(|moving| moving.waits_for() == site)
    }

    fn moves_waiting_for(&self, site: SiteId) -> Vec<StoreMove> {
        self.state.moves.values().filter(|moving| moving.waits_for() == site).cloned().collect()
    }

    fn set_move(&mut self, moving: StoreMove) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT INTO store_move (store, from_site, to_site, phase, asked_ms) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (store) DO UPDATE SET from_site = excluded.from_site, to_site = excluded.to_site, phase = excluded.phase",
            &[
                moving.store.as_str().into(),
                moving.from.0.into(),
                moving.to.0.into(),
                moving.phase.number().into(),
                unsigned(moving.asked_ms),
            ],
        )?;
        self.state.has_new_layout = true;
        self.state.moves.insert(moving.store.clone(), moving);
        Ok(())
    }
}

impl Reading<'_> {
    /// Stores that are on their way, by store.
    ///
    /// # Errors
    /// [`StoreError::Sql`], [`StoreError::Damaged`].
    pub fn store_moves(&mut self) -> Result<Vec<StoreMove>, StoreError> {
        StoreMove::load_all(self.sql)
    }

    /// The move of a store, if it is on its way.
    ///
    /// # Errors
    /// As [`Reading::store_moves`].
    pub fn move_of(&mut self, store: &RecordId) -> Result<Option<StoreMove>, StoreError> {
        Ok(self.store_moves()?.into_iter().find(|moving| moving.store == *store))
    }
}
