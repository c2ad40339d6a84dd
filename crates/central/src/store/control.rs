//! The control lane of a site: rows are added as things happen to it, sent until it has acknowledged them, then forgotten
//! (rule 5.9).

use std::ops::ControlFlow;

use domain::scope::Scope;
use protocol::control::{
    Control, ControlRow, Dropped, EntryPlace, Grant, GrantsTold, Image, ReadAnew, Refused, SiteCode,
};
use protocol::ids::{
    ControlNumber, GrantProof, JournalId, OwnershipNumber, Position, RecordId, ScopeId, Sequence, SiteId,
};
use protocol::message;
use sql::{Param, SqlExt};

use super::batch::Batch;
use super::error::StoreError;
use super::judging::Reason;
use super::records::Key;
use super::unsigned;

/// Bytes that a row takes in a reply beside its content, at most: number, code and length as varints.
const ROW_ENVELOPE_BYTES: usize = 16;

/// An entry of a site.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) site: SiteId,
    pub(super) journal: JournalId,
    pub(super) sequence: Sequence,
}

impl Place {
    fn entry(self) -> EntryPlace {
        EntryPlace { journal: self.journal, sequence: self.sequence }
    }
}

/// Rows for a reply.
pub(super) struct ControlPage {
    pub(super) rows: Vec<ControlRow>,
    pub(super) has_more: bool,
}

impl Batch<'_> {
    pub(super) fn tell_waiting(&mut self, place: Place) -> Result<(), StoreError> {
        self.put(place.site, &Control::Waiting(place.entry()))
    }

    pub(super) fn tell_accepted(&mut self, place: Place) -> Result<(), StoreError> {
        self.put(place.site, &Control::Accepted(place.entry()))
    }

    /// A refusal, with central's image of the record if the site has it in a scope.
    pub(super) fn tell_refused(&mut self, place: Place, key: Option<&Key>, reason: &Reason) -> Result<(), StoreError> {
        let image = match key {
            Some(key) => self.image(place.site, key)?,
            None => Image::NotHere,
        };
        let refused = Refused {
            journal: place.journal,
            sequence: place.sequence,
            code: reason.code.clone(),
            reason: reason.text.clone(),
            image,
        };
        self.put(place.site, &Control::Refused(refused))
    }

    pub(super) fn tell_grant(
        &mut self,
        site: SiteId,
        store: &RecordId,
        number: OwnershipNumber,
    ) -> Result<(), StoreError> {
        let proof = self.grant_proof(site, store, number);
        let number_gaps = self.number_gaps(store)?;
        let grant = Grant { store: store.as_str().to_owned(), ownership: number, is_held: true, proof, number_gaps };
        self.put(site, &Control::Grant(grant))
    }

    /// A claim is not met: what the site has of the store it keeps, and records no more of it.
    pub(super) fn tell_declined(
        &mut self,
        site: SiteId,
        store: &RecordId,
        number: OwnershipNumber,
    ) -> Result<(), StoreError> {
        let store = store.as_str().to_owned();
        let (is_held, proof) = (false, GrantProof([0; 16]));
        let grant = Grant { store, ownership: number, is_held, proof, number_gaps: 0 };
        self.put(site, &Control::Grant(grant))
    }

    /// The site may have heard rows that a central which was set back has forgotten.
    pub(super) fn tell_set_back(&mut self, site: SiteId) -> Result<(), StoreError> {
        self.put(site, &Control::SetBack)
    }

    /// Tells a site its code, as people at central call it.
    pub(super) fn tell_site_code(&mut self, site: SiteId, code: &str) -> Result<(), StoreError> {
        self.put(site, &Control::SiteCode(SiteCode { code: code.to_owned() }))
    }

    /// Tells a device that knows none of before the code of its site, if that has one.
    pub(super) fn tell_code_anew(&mut self, site: SiteId) -> Result<(), StoreError> {
        let sql = "SELECT code FROM site WHERE id = ?1";
        let code = self.sql.query_one(sql, &[site.0.into()], |row| Ok(row.text(0)?.to_owned()))?.unwrap_or_default();
        if code.is_empty() { Ok(()) } else { self.tell_site_code(site, &code) }
    }

    /// How many rows of the kind of this one wait for a site, whatever they say.
    pub(super) fn rows_like(&mut self, site: SiteId, control: &Control) -> Result<i64, StoreError> {
        let sql = "SELECT count(*) FROM control WHERE site = ?1 AND code = ?2";
        let code = control.to_parts().0;
        Ok(self.sql.query_integer(sql, &[site.0.into(), code.into()])?.unwrap_or(0))
    }

    /// All grants of the site were told in so many rows just before.
    pub(super) fn tell_grants_told(&mut self, site: SiteId, grants: u32) -> Result<(), StoreError> {
        self.put(site, &Control::GrantsTold(GrantsTold { grants }))
    }

    /// The site does not receive a scope any more; the number of the row that says so.
    pub(super) fn tell_dropped(&mut self, site: SiteId, scope: &ScopeId) -> Result<u64, StoreError> {
        self.put(site, &Control::Dropped(Dropped { scope: scope.clone() }))?;
        Ok(self.site(site)?.control_last)
    }

    /// The site is to read a scope from 0; the number of the row that says so.
    pub(super) fn tell_read_anew(&mut self, site: SiteId, scope: &ScopeId) -> Result<u64, StoreError> {
        self.put(site, &Control::ReadAnew(ReadAnew { scope: scope.clone() }))?;
        Ok(self.site(site)?.control_last)
    }

    /// The site is to compare what it has.
    pub(super) fn tell_verify(&mut self, site: SiteId) -> Result<(), StoreError> {
        self.put(site, &Control::Verify)
    }

    fn put(&mut self, site: SiteId, control: &Control) -> Result<(), StoreError> {
        let (code, content) = control.to_parts();
        self.state.concerned.sites.insert(site);
        let state = self.site(site)?;
        state.control_last += 1;
        let number = state.control_last;
        let journal = state.journal.as_ref().map(|journal| (journal.number, journal.judged));
        self.sql.execute(
            "INSERT INTO control (site, number, code, content, journal, judged) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            &[
                site.0.into(),
                unsigned(number),
                code.into(),
                (&content).into(),
                journal.map(|(number, _)| number).into(),
                unsigned(journal.map_or(0, |(_, judged)| judged.0)),
            ],
        )?;
        Ok(())
    }

    /// What the site shows instead of a refused edit.
    fn image(&mut self, site: SiteId, key: &Key) -> Result<Image, StoreError> {
        let (number, here) = match self.read_record(key) {
            // No row: what cannot be read here stays as it is there, since the site may be the only one that still has it.
            Err(StoreError::Unreadable(_)) => {
                let Some(number) = self.number_of(key)? else { return Ok(Image::NotHere) };
                (number, Image::Here { position: Position::ZERO, row: Vec::new() })
            }
            read => {
                let Some((stored, row)) = read?.and_then(|mut stored| stored.row.take().map(|row| (stored, row)))
                else {
                    return Ok(Image::NotHere);
                };
                (stored.number, Image::Here { position: Position(stored.position), row: row.to_bytes() })
            }
        };
        let state = self.site(site)?;
        // A store that the site is about to read it cannot tell from one that it is not to have; the page brings the record.
        let is_unread = |scope: &&ScopeId| {
            matches!(Scope::from_id(scope), Scope::Store(_) | Scope::StorePartners(_))
                && !state.cursors.contains_key(*scope)
        };
        let scopes: Vec<ScopeId> = state.scopes.iter().filter(|scope| !is_unread(scope)).cloned().collect();
        let lanes = self.lanes_of(number)?;
        let mut is_in_scope = false;
        for lane in lanes.iter().filter(|lane| !lane.is_tombstone) {
            let is_read = scopes.iter().any(|scope| self.state.scopes.get(scope) == Some(&lane.scope));
            is_in_scope |= is_read
                && match &lane.visible_key {
                    Some(key) => self.reading().sees(site, key)?,
                    None => true,
                };
        }
        Ok(if is_in_scope { here } else { Image::NotHere })
    }

    /// Forgets the rows that a site has made durable. A site that is ahead and shows more than it was known to have heard may have heard
    /// what central has forgotten, and is told so.
    pub(super) fn forget_control(&mut self, site: SiteId, acknowledged: ControlNumber) -> Result<(), StoreError> {
        let last = self.site(site)?.control_last;
        if acknowledged.0 > last {
            // Only a central that was set back knows less of what it gave.
            self.note_ahead(site)?;
        }
        // Whatever the numbers: those that it acknowledges it heard of a time line that is gone.
        if self.site(site)?.grants_told == Some(0) {
            let heard = self.first_control(site)?.map_or(last, |first| first.saturating_sub(1));
            self.renumber_control(site, acknowledged)?;
            return if acknowledged.0 > heard { self.tell_set_back(site) } else { Ok(()) };
        }
        // 0 is a local copy that was lost, and says so; it takes verdicts from the images, and is told its grants again.
        if (1..last).contains(&acknowledged.0) {
            let forgotten = self.first_control(site)?.map_or(last, |first| first.saturating_sub(1));
            if acknowledged.0 < forgotten {
                let what = format!(
                    "site {site} had control rows up to {forgotten} and shows {}: it was set back to an older state",
                    acknowledged.0
                );
                return Err(StoreError::refused("device_set_back", &what));
            }
        }
        self.forget_drops(site, acknowledged.0)?;
        if last > 0 {
            self.sql.execute(
                "DELETE FROM control WHERE site = ?1 AND number <= ?2",
                &[site.0.into(), unsigned(acknowledged.0)],
            )?;
        }
        Ok(())
    }

    /// Gives the rows of a site that is ahead the numbers behind those that it has: it has heard others under these. One that it knows
    /// already does no harm a second time.
    fn renumber_control(&mut self, site: SiteId, acknowledged: ControlNumber) -> Result<(), StoreError> {
        let first = self.first_control(site)?;
        let last = self.site(site)?.control_last;
        let mut renumbered = acknowledged.0;
        if let Some(first) = first {
            renumbered += last + 1 - first;
            // Down, where a device that lost its local copy acknowledges nothing any more.
            let up = Param::Integer((acknowledged.0 + 1).cast_signed() - first.cast_signed());
            // By way of negative numbers, so that no row stands in another one's way.
            self.sql.execute("UPDATE control SET number = -number WHERE site = ?1", &[site.0.into()])?;
            self.sql.execute("UPDATE control SET number = ?2 - number WHERE site = ?1", &[site.0.into(), up])?;
        }
        self.site(site)?.control_last = renumbered;
        self.renumber_drops(site, renumbered)?;
        self.renumber_mirror(site, renumbered)
    }

    /// Rows that the site has not acknowledged. They follow each other without a gap.
    pub(super) fn control_count(&mut self, site: SiteId) -> Result<u64, StoreError> {
        let first = self.first_control(site)?;
        let last = self.site(site)?.control_last;
        Ok(first.map_or(0, |first| last + 1 - first))
    }

    /// The number of the first row that the site has not acknowledged.
    fn first_control(&mut self, site: SiteId) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT min(number) FROM control WHERE site = ?1";
        Ok(self.sql.query_integer(sql, &[site.0.into()])?.map(i64::cast_unsigned))
    }

    /// As many rows as a reply carries, one at least.
    pub(super) fn control_page(&mut self, site: SiteId) -> Result<ControlPage, StoreError> {
        let bytes_max = self.limits.control_bytes_max;
        let mut page = ControlPage { rows: Vec::new(), has_more: false };
        let mut bytes = 0;
        let sql = "SELECT number, code, content FROM control WHERE site = ?1 ORDER BY number";
        self.sql.query(sql, &[site.0.into()], &mut |row| {
            let content = row.blob(2)?;
            bytes += content.len() + ROW_ENVELOPE_BYTES;
            if bytes > bytes_max && !page.rows.is_empty() {
                page.has_more = true;
                return Ok(ControlFlow::Break(()));
            }
            let code = u16::try_from(row.integer(1)?).unwrap_or(u16::MAX);
            page.rows.push(ControlRow { number: ControlNumber(row.unsigned(0)?), code, content: content.to_vec() });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(page)
    }

    /// How far the journal may be called judged when rows up to `sent` have gone out: as far as it was when the next row was
    /// given.
    pub(super) fn judged_as_told(&mut self, site: SiteId, sent: ControlNumber) -> Result<Sequence, StoreError> {
        let journal = self.active_journal(site)?.clone();
        let next = self.sql.query_one(
            "SELECT journal, judged FROM control WHERE site = ?1 AND number > ?2 ORDER BY number LIMIT 1",
            &[site.0.into(), unsigned(sent.0)],
            |row| Ok((row.optional_integer(0)?, row.unsigned(1)?)),
        )?;
        Ok(match next {
            None => journal.judged,
            Some((number, judged)) if number == Some(journal.number) => Sequence(judged).min(journal.judged),
            // Given before this journal began.
            Some(_) => Sequence::ZERO,
        })
    }
}

/// What fits a control row's reason.
pub(super) fn reason_text(text: &str) -> String {
    // SQL text holds no NUL, and a name inside the reason may.
    message::truncate(&text.replace('\0', " "), protocol::limits::REASON_BYTES_MAX).to_owned()
}
