//! Who writes central data: central, or in a mirrored system the primary (`domain::authority`; seed 001, "Mirrored sync").
//!
//! The authority goes from one to the other like a store that moves: under a number that rises, and never with two who write.
//!
//! | phase | who writes central data | goes on to the next |
//! | --- | --- | --- |
//! | at central | central | by `mirror enable` |
//! | filling | nobody | once the site has read everything: what hangs on any store or name, and what dispensaries need, whatever it sees |
//! | at the primary | the primary, under the number that it was told | by `mirror disable` |
//! | returning | the primary, until it hears that it may not any more; then nobody | once it has heard that and sent what it had recorded before |
//!
//! A site is given everything from the beginning of the first phase to the end of the last: `site_sees` has the key `*` for it. Whoever
//! cannot wait ends the last phase at once: what the primary has not sent by then carries a number that opens nothing any more, and is
//! set aside.

use domain::authority::{Authority, central_data};
use domain::judge::Holding;
use domain::scope::Scope;
use protocol::control::Claim;
use protocol::ids::{OwnershipNumber, RecordId, SiteId};
use protocol::message::RequestHead;
use serde_json::json;
use sql::{Row, Sql, SqlExt};

use super::audit::{AuditEntry, SYSTEM};
use super::batch::Batch;
use super::error::StoreError;
use super::reading::{Reading, SiteKind};
use super::{text, unsigned};

/// Where the authority is; the values of `authority.phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorPhase {
    /// Central writes.
    AtCentral,
    /// Nobody writes until the site has everything.
    Filling,
    /// The primary writes.
    AtPrimary,
    /// The primary is to hear that it writes no more, and to send what it has.
    Returning,
}

/// Who holds the authority, or is about to, or held it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mirror {
    /// Where it is.
    pub phase: MirrorPhase,
    /// The primary; central, if there is none.
    pub site: SiteId,
    /// The number of its grant, or the last one that was given.
    pub ownership: OwnershipNumber,
    /// In the last phase: the control row that takes the grant away.
    pub(super) control: u64,
}

impl MirrorPhase {
    const ALL: [Self; 4] = [Self::AtCentral, Self::Filling, Self::AtPrimary, Self::Returning];

    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtCentral => "at central",
            Self::Filling => "filling",
            Self::AtPrimary => "at the primary",
            Self::Returning => "returning",
        }
    }

    fn number(self) -> i64 {
        match self {
            Self::AtCentral => 0,
            Self::Filling => 1,
            Self::AtPrimary => 2,
            Self::Returning => 3,
        }
    }
}

impl Mirror {
    const NONE: Self =
        Self { phase: MirrorPhase::AtCentral, site: SiteId::CENTRAL, ownership: OwnershipNumber(0), control: 0 };

    pub(super) fn load(sql: &mut (dyn Sql + '_)) -> Result<Self, StoreError> {
        let read = |row: &dyn Row| {
            let phase = row.integer(0)?;
            let phase = MirrorPhase::ALL.into_iter().find(|known| known.number() == phase);
            Ok(Self {
                phase: phase.ok_or_else(|| text::damaged(0, "phase"))?,
                site: text::site(row, 1)?,
                ownership: OwnershipNumber(text::small(row, 2)?),
                control: row.unsigned(3)?,
            })
        };
        let found = sql.query_one("SELECT phase, site, ownership, control FROM authority WHERE id = 1", &[], read)?;
        Ok(found.unwrap_or(Self::NONE))
    }

    /// Who writes central data.
    pub(super) fn authority(self) -> Authority {
        let holding = Holding { site: self.site, ownership: self.ownership };
        match self.phase {
            MirrorPhase::AtCentral => Authority::Central,
            MirrorPhase::Filling => Authority::Frozen(holding),
            MirrorPhase::AtPrimary | MirrorPhase::Returning => Authority::Primary(holding),
        }
    }

    /// Whether a site is given everything.
    pub(super) fn fills(self, site: SiteId) -> bool {
        self.phase != MirrorPhase::AtCentral && self.site == site
    }

    /// The number under which a site was told that it may write.
    pub(super) fn granted_to(self, site: SiteId) -> Option<OwnershipNumber> {
        (self.phase == MirrorPhase::AtPrimary && self.site == site).then_some(self.ownership)
    }
}

impl Batch<'_> {
    /// Lets a site write central data, once it has everything: the system is mirrored from now on.
    ///
    /// # Errors
    /// Refused with `unknown_site`, `primary_is_central`, `primary_is_mobile`, `already_mirrored`, `central_heals`, `no_number_left`.
    pub fn enable_mirror(&mut self, site: SiteId) -> Result<Mirror, StoreError> {
        self.job(|batch| {
            batch.live_site(site)?;
            let kind = batch.kind_of(site)?;
            if site == SiteId::CENTRAL {
                let what = "central writes central data already, in a system that is not mirrored; name a remote site";
                return Err(StoreError::refused("primary_is_central", what));
            }
            if kind == Some(SiteKind::Mobile) {
                let what = format!(
                    "site {site} is mobile; the primary keeps everything of all stores, and is a standalone site"
                );
                return Err(StoreError::refused("primary_is_mobile", &what));
            }
            let before = batch.state.mirror;
            if before.phase != MirrorPhase::AtCentral {
                let what = format!(
                    "site {} is the primary ({}): end that first (mirror disable)",
                    before.site,
                    before.phase.as_str()
                );
                return Err(StoreError::refused("already_mirrored", &what));
            }
            batch.refuse_while_healing("central data cannot go to another site yet")?;
            let Some(next) = before.ownership.0.checked_add(1) else {
                return Err(StoreError::refused("no_number_left", "central data has had every ownership number"));
            };
            let mirror = Mirror { phase: MirrorPhase::Filling, site, ownership: OwnershipNumber(next), control: 0 };
            batch.set_mirror(mirror)?;
            Ok(mirror)
        })
    }

    /// Central writes central data again: once the primary has sent what it recorded, or, if somebody says so, at once.
    ///
    /// # Errors
    /// Refused with `not_mirrored`.
    pub fn disable_mirror(&mut self, is_at_once: bool) -> Result<Mirror, StoreError> {
        self.job(|batch| {
            let before = batch.state.mirror;
            match before.phase {
                MirrorPhase::AtCentral => {
                    return Err(StoreError::refused(
                        "not_mirrored",
                        "central writes central data: there is no primary",
                    ));
                }
                // It was told nothing yet.
                MirrorPhase::Filling => batch.end_mirror()?,
                MirrorPhase::AtPrimary | MirrorPhase::Returning if is_at_once => {
                    if before.phase == MirrorPhase::AtPrimary {
                        batch.tell_declined(before.site, &central_data(), before.ownership)?;
                    }
                    batch.end_mirror()?;
                }
                MirrorPhase::AtPrimary => {
                    batch.tell_declined(before.site, &central_data(), before.ownership)?;
                    let control = batch.site(before.site)?.control_last;
                    batch.set_mirror(Mirror { phase: MirrorPhase::Returning, control, ..before })?;
                }
                MirrorPhase::Returning => {}
            }
            Ok(batch.state.mirror)
        })
    }

    /// The site has read everything: it is told that it may write. Whether it was.
    pub(super) fn follow_filling(&mut self, site: SiteId) -> Result<bool, StoreError> {
        let mirror = self.state.mirror;
        if mirror.phase != MirrorPhase::Filling || mirror.site != site {
            return Ok(false);
        }
        self.set_mirror(Mirror { phase: MirrorPhase::AtPrimary, ..mirror })?;
        self.note_mirror(mirror)?;
        self.tell_grant(site, &central_data(), mirror.ownership)?;
        Ok(true)
    }

    /// The authority goes on by itself: a line of the audit log.
    fn note_mirror(&mut self, before: Mirror) -> Result<(), StoreError> {
        let entry = AuditEntry { site: Some(before.site), ..AuditEntry::new(SYSTEM, "mirror-goes-on") };
        let after = json!({ "phase": self.state.mirror.phase.as_str() });
        self.note(entry, json!({ "phase": before.phase.as_str() }), after)
    }

    /// The primary has heard that it writes no more, and what became of everything that it had recorded: central writes again.
    pub(super) fn follow_returning(&mut self, head: &RequestHead) -> Result<(), StoreError> {
        let mirror = self.state.mirror;
        if mirror.phase != MirrorPhase::Returning || mirror.site != head.site || head.control.0 < mirror.control {
            return Ok(());
        }
        if !self.has_heard_of_all(head)? {
            return Ok(());
        }
        self.end_mirror()?;
        self.note_mirror(mirror)
    }

    /// Another device speaks for the site: of the one before nothing is taken any more.
    pub(super) fn forget_primary_device(&mut self, site: SiteId) -> Result<(), StoreError> {
        let mirror = self.state.mirror;
        if mirror.phase == MirrorPhase::Returning && mirror.site == site { self.end_mirror() } else { Ok(()) }
    }

    /// Control rows of a site that central is behind have other numbers: what was not heard is heard with all that is there.
    pub(super) fn renumber_mirror(&mut self, site: SiteId, last: u64) -> Result<(), StoreError> {
        let mirror = self.state.mirror;
        if mirror.phase == MirrorPhase::Returning && mirror.site == site {
            return self.set_mirror(Mirror { control: last, ..mirror });
        }
        Ok(())
    }

    /// A site shows a grant of central data that a central which was set back does not know.
    pub(super) fn answer_authority_claim(&mut self, site: SiteId, claim: &Claim) -> Result<(), StoreError> {
        let mirror = self.state.mirror;
        let is_known = mirror.site == site && mirror.ownership >= claim.ownership;
        if is_known && matches!(mirror.phase, MirrorPhase::AtPrimary | MirrorPhase::Returning) {
            // It was given meanwhile, or is being taken away, and the site has not heard of that yet.
            return Ok(());
        }
        let is_own = claim.proof == self.grant_proof(site, &central_data(), claim.ownership);
        let is_free = match mirror.phase {
            MirrorPhase::AtCentral => mirror.ownership < claim.ownership,
            MirrorPhase::Filling => mirror.site == site && mirror.ownership <= claim.ownership,
            MirrorPhase::AtPrimary | MirrorPhase::Returning => false,
        };
        if is_own && is_free {
            let taken = Mirror { phase: MirrorPhase::AtPrimary, site, ownership: claim.ownership, control: 0 };
            self.set_mirror(taken)?;
            return self.tell_grant(site, &central_data(), claim.ownership);
        }
        self.tell_declined(site, &central_data(), claim.ownership)
    }

    fn end_mirror(&mut self) -> Result<(), StoreError> {
        let before = self.state.mirror;
        // Entries under the number that was held open nothing any more.
        self.set_mirror(Mirror { ownership: before.ownership, ..Mirror::NONE })
    }

    /// From now on the authority is there. Whoever is given everything by it, or is not any more, reads what it sees anew.
    fn set_mirror(&mut self, mirror: Mirror) -> Result<(), StoreError> {
        let before = self.state.mirror;
        let filled = |mirror: Mirror| (mirror.phase != MirrorPhase::AtCentral).then_some(mirror.site);
        // Read before the change: a site that is read after it has only what it is to have.
        for site in filled(before).into_iter().chain(filled(mirror)) {
            self.site(site)?;
        }
        self.sql.execute(
            "INSERT INTO authority (id, phase, site, ownership, control) VALUES (1, ?1, ?2, ?3, ?4)
             ON CONFLICT (id) DO UPDATE SET phase = excluded.phase, site = excluded.site, ownership = excluded.ownership,
                control = excluded.control",
            &[mirror.phase.number().into(), mirror.site.0.into(), mirror.ownership.0.into(), unsigned(mirror.control)],
        )?;
        self.state.mirror = mirror;
        self.state.has_new_layout = true;
        if filled(before) == filled(mirror) {
            return Ok(());
        }
        if let Some(site) = filled(before) {
            let sql = "DELETE FROM site_sees WHERE site = ?1 AND visible_key = ?2";
            self.sql.execute(sql, &[site.0.into(), EVERYTHING.into()])?;
            self.read_everything_anew(site)?;
            for store in self.reading().collected_by(site)? {
                self.sees_store(site, &store)?;
            }
        }
        if let Some(site) = filled(mirror) {
            let sql = "INSERT INTO site_sees (site, visible_key) VALUES (?1, ?2)";
            self.sql.execute(sql, &[site.0.into(), EVERYTHING.into()])?;
            self.read_everything_anew(site)?;
        }
        Ok(())
    }

    fn read_everything_anew(&mut self, site: SiteId) -> Result<(), StoreError> {
        self.change_scopes(site)?;
        // A device that takes this one's place never hears what this one is told, and may bring what an export gave it.
        self.forget_what_was_read(site)?;
        self.read_scope_anew(site, Scope::Visible.to_id())
    }
}

/// The key in `site_sees` of a site that is given everything. No name or store has it.
pub(super) const EVERYTHING: &str = "*";

/// Whether an id in a grant or a claim stands for central data.
pub(super) fn is_central_data(store: &RecordId) -> bool {
    *store == central_data()
}

impl Reading<'_> {
    /// Who writes central data.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn mirror(&mut self) -> Result<Mirror, StoreError> {
        Mirror::load(self.sql)
    }
}
