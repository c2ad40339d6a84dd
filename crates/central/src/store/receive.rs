//! A request comes in: its head, frames and parts of frames (rules 5.8 and 5.10). What is written here is the receipt once the
//! batch is committed.

use protocol::chain::{self, Predecessor, hash_of};
use protocol::control::EntryPlace;
use protocol::entry::Entry;
use protocol::exchange::{PartKept, Received, Standing};
use protocol::frame::{Frame, Placement, RefusedBefore};
use protocol::ids::{ControlNumber, Hash, JournalId, Nonce, Sequence, SiteId};
use protocol::limits;
use protocol::message::{self, FramePart, FramePartState, ScopeCursor};
use protocol::section;
use protocol::versions::{Head, Prelude};
use sql::{Param, SqlExt};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::batch::Batch;
use super::error::StoreError;
use super::judging::Reason;
use super::reading::Reading;
use super::state::{Journal, insert_journal};
use super::{text, unsigned};
use crate::wording::count;

/// Scopes that a site is told at once to let go of because it shows them and does not receive them; more follow with the next request.
const STRAY_SCOPES_TOLD_MAX: usize = 64;
/// Most bytes of a sealed frame that comes in parts.
const PARTS_BYTES_MAX: usize = limits::SECTION_BYTES_MAX + section::HEADER_BYTES;

/// What a frame adds to a journal.
pub(super) enum Chain<'f> {
    /// Nothing: all of it is here.
    Known,
    /// These entries, each with the hash after it.
    Extends(&'f [(Vec<u8>, Hash)]),
}

/// Whose frame in parts is kept: one for a site's journal, and one for its closed ones, so that a device whose place another one
/// took cannot disturb that one.
#[derive(Debug, Clone, Copy)]
pub(super) enum PartsOf {
    /// The journal in use.
    Active(SiteId),
    /// A closed one.
    Closed(SiteId),
}

impl PartsOf {
    /// The number in `frame_part.site`.
    fn key(self) -> i64 {
        match self {
            Self::Active(site) => i64::from(site.0),
            Self::Closed(site) => -i64::from(site.0),
        }
    }
}

impl Batch<'_> {
    /// Takes up an exchange: asks whose token it shows (rule 5.7), finds or changes the journal, forgets control rows that the site
    /// has, and keeps its cursors. `nonce` is fresh and random. Of a retired key, or in a closed journal, only edits are taken up. A
    /// head of another version says nothing of control rows and cursors: they stay as they were last reported.
    ///
    /// # Errors
    /// Refused with `unknown_site`, `site_deleted`, `site_disabled`, `site_paused`, `not_enrolled`, `site_stopped`, a challenge,
    /// `credentials_changed`, `unknown_journal`, `device_retired`, `fork`, `central_set_back`. A challenge, and a stop because one was
    /// answered, are kept although the request is refused.
    pub fn begin(&mut self, head: &Head, standing: Standing, nonce: Nonce) -> Result<Received, StoreError> {
        let prelude = &head.prelude();
        self.job(|batch| batch.refuse_barred(prelude.site))?;
        if let Some(mut journal) = self.job(|batch| batch.closed_journal(prelude.site, prelude.journal))? {
            self.job(|batch| batch.settle_genesis(prelude, &mut journal))?;
            let (sequence, hash) = (journal.received, journal.received_hash);
            return Ok(Received { sequence, hash });
        }
        if standing == Standing::Retired {
            return Err(StoreError::refused("device_retired", &replaced_text(prelude.site)));
        }
        // Before tokens: a device that was set back to a journal that it had closed itself is told that, and stops no site.
        self.job(|batch| batch.refuse_followed(prelude))?;
        self.check_token(prelude, nonce)?;
        if let Some(head) = head.whole() {
            self.check_time_line(head)?;
        }
        self.job(|batch| {
            batch.check_generation(prelude)?;
            batch.find_journal(prelude)?;
            batch.check_head(prelude)?;
            if let Some(head) = head.whole() {
                batch.forget_control(head.site, head.control)?;
                if head.control == ControlNumber(0) && !batch.compares_grants(head.site)? {
                    batch.tell_forgotten_grants(head.site)?;
                }
                batch.compare_grants(head)?;
                batch.answer_number_gaps(head)?;
                batch.keep_cursors(head.site, &head.cursors)?;
                if head.heard.is_some() {
                    batch.echo_nothing_up_to(head.site, head.head)?;
                }
            }
            batch.note_heard(prelude)?;
            let journal = batch.active_journal(prelude.site)?;
            Ok(Received { sequence: journal.received, hash: journal.received_hash })
        })
    }

    /// Keeps a frame's entries; those of a closed journal in set-aside.
    ///
    /// # Errors
    /// Refused with `unknown_journal`, `gap`, `fork` or `set_aside_full`.
    pub fn store_frame(&mut self, site: SiteId, frame: &Frame) -> Result<Received, StoreError> {
        self.job(|batch| {
            let active = batch.site(site)?.journal.clone();
            match active.filter(|journal| journal.id == frame.journal) {
                Some(journal) => match batch.place(site, &journal, frame)? {
                    Chain::Known => Ok(Received { sequence: journal.received, hash: journal.received_hash }),
                    Chain::Extends(entries) => {
                        let received = batch.append(site, entries)?;
                        batch.keep_refused_before(site, journal.received, &frame.refused)?;
                        Ok(received)
                    }
                },
                None => match batch.closed_journal(site, frame.journal)? {
                    Some(journal) => batch.set_frame_aside(site, journal, frame),
                    None => Err(unknown_journal(site, frame.journal)),
                },
            }
        })
    }

    /// What a frame adds to a journal.
    pub(super) fn place<'f>(
        &mut self,
        site: SiteId,
        journal: &Journal,
        frame: &'f Frame,
    ) -> Result<Chain<'f>, StoreError> {
        let stored = if frame.last() < journal.received && frame.last() > journal.floor {
            self.stored_hash(journal.number, frame.last())?
        } else {
            None
        };
        match frame.place(journal.received, journal.received_hash, stored) {
            Placement::Gap => {
                let what = format!(
                    "a frame begins at entry {}, but the journal is received up to {}; send from there",
                    frame.first, journal.received
                );
                Err(StoreError::refused("gap", &what))
            }
            Placement::Fork => Err(fork(site, journal.id, frame.last())),
            Placement::Duplicate => Ok(Chain::Known),
            Placement::Extends { skip } => Ok(Chain::Extends(frame.entries.get(skip..).unwrap_or_default())),
        }
    }

    /// Keeps a part of a frame. One frame at a time: a part of another one starts over. The whole is given out once and is
    /// then no longer kept here: what follows is [`Batch::store_frame`].
    ///
    /// # Errors
    /// Refused with `unknown_journal` or `bad_part`.
    pub fn store_part(&mut self, site: SiteId, part: &FramePart) -> Result<PartKept, StoreError> {
        self.job(|batch| {
            let is_active = batch.site(site)?.journal.as_ref().is_some_and(|journal| journal.id == part.journal);
            if !is_active && batch.closed_journal(site, part.journal)?.is_none() {
                return Err(unknown_journal(site, part.journal));
            }
            let owner = if is_active { PartsOf::Active(site) } else { PartsOf::Closed(site) };
            let total = part.total as usize;
            let end = (part.offset as usize).checked_add(part.bytes.len());
            if total > PARTS_BYTES_MAX || part.bytes.is_empty() || end.is_none_or(|end| end > total) {
                let bytes = count(part.total.into(), "byte", "bytes");
                let what = format!("a part lies outside its frame of {bytes}, or that is above {PARTS_BYTES_MAX}");
                return Err(StoreError::refused("bad_part", &what));
            }
            let kept = batch.part_state(owner)?.filter(|(state, kept)| state.hash == part.hash && *kept == part.total);
            let received = if let Some((state, _)) = kept {
                state.received
            } else {
                batch.drop_parts(owner)?;
                0
            };
            if part.offset != received {
                // The site learns how much there is and goes on from there.
                return Ok(PartKept { state: FramePartState { hash: part.hash, received }, whole: None });
            }
            batch.append_part(owner, part)
        })
    }

    fn append_part(&mut self, owner: PartsOf, part: &FramePart) -> Result<PartKept, StoreError> {
        let received = part.offset + u32::try_from(part.bytes.len()).expect("within the total, which is 32 bits");
        self.sql.execute(
            "INSERT INTO frame_part_piece (site, starts_at, bytes) VALUES (?1, ?2, ?3)",
            &[owner.key().into(), part.offset.into(), (&part.bytes).into()],
        )?;
        self.sql.execute(
            "INSERT INTO frame_part (site, hash, total, received) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (site) DO UPDATE SET received = excluded.received",
            &[owner.key().into(), (&part.hash.0).into(), part.total.into(), received.into()],
        )?;
        let state = FramePartState { hash: part.hash, received };
        if received < part.total {
            return Ok(PartKept { state, whole: None });
        }
        let mut whole = Vec::with_capacity(part.total as usize);
        let pieces = "SELECT bytes FROM frame_part_piece WHERE site = ?1 ORDER BY starts_at";
        self.sql.query(pieces, &[owner.key().into()], &mut |row| {
            whole.extend_from_slice(row.blob(0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        self.drop_parts(owner)?;
        if hash_of(&whole) != part.hash {
            // Starting over is all that helps, so this is no refusal: that would bring the pieces back.
            return Ok(PartKept { state: FramePartState { hash: part.hash, received: 0 }, whole: None });
        }
        Ok(PartKept { state, whole: Some(whole) })
    }

    /// What is kept of a frame in parts, and the length of the whole.
    pub(super) fn part_state(&mut self, owner: PartsOf) -> Result<Option<(FramePartState, u32)>, StoreError> {
        let sql = "SELECT hash, received, total FROM frame_part WHERE site = ?1";
        Ok(self.sql.query_one(sql, &[owner.key().into()], |row| {
            Ok((FramePartState { hash: text::hash(row, 0)?, received: text::small(row, 1)? }, text::small(row, 2)?))
        })?)
    }

    pub(super) fn drop_parts(&mut self, owner: PartsOf) -> Result<(), StoreError> {
        self.sql.execute("DELETE FROM frame_part WHERE site = ?1", &[owner.key().into()])?;
        self.sql.execute("DELETE FROM frame_part_piece WHERE site = ?1", &[owner.key().into()])?;
        Ok(())
    }

    /// Adds entries behind what is received.
    pub(super) fn append(&mut self, site: SiteId, entries: &[(Vec<u8>, Hash)]) -> Result<Received, StoreError> {
        let journal = self.active_journal(site)?.clone();
        let mut sequence = journal.received;
        let mut hash = journal.received_hash;
        for (bytes, after) in entries {
            sequence = sequence.next();
            hash = *after;
            self.append_entry(journal.number, sequence, hash, bytes)?;
        }
        let journal = self.active_journal(site)?;
        journal.received = sequence;
        journal.received_hash = hash;
        journal.is_changed = true;
        Ok(Received { sequence, hash })
    }

    /// Keeps what the device says of entries that came just now, behind `after`: they were refused before central was set back, and
    /// stay so. A site can only refuse its own edits by it.
    fn keep_refused_before(
        &mut self,
        site: SiteId,
        after: Sequence,
        refused: &[RefusedBefore],
    ) -> Result<(), StoreError> {
        let journal = self.active_journal(site)?.id;
        for refused in refused.iter().filter(|refused| refused.sequence > after) {
            let place = EntryPlace { journal, sequence: refused.sequence };
            self.keep_verdict(site, place, &Reason::new(&refused.code, &refused.reason))?;
        }
        Ok(())
    }

    pub(super) fn append_entry(
        &mut self,
        journal: i64,
        sequence: Sequence,
        hash: Hash,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let entry = decode(bytes);
        let table = entry.as_ref().map(|entry| self.catalogue.table_name(&entry.table));
        self.sql.execute(
            "INSERT INTO entry (journal, sequence, hash, bytes, table_name, record, received_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            &[
                journal.into(),
                unsigned(sequence.0),
                (&hash.0).into(),
                bytes.into(),
                table.as_deref().into(),
                entry.as_ref().map(|entry| entry.record.as_str()).into(),
                unsigned(self.now_ms),
            ],
        )?;
        Ok(())
    }

    /// A journal that its own device closed by saying what follows it takes nothing more.
    fn refuse_followed(&mut self, head: &Prelude) -> Result<(), StoreError> {
        if self.reading().is_followed(head.site, head.journal)? {
            return Err(StoreError::refused("journal_retired", &followed_text(head.site, head.journal)));
        }
        Ok(())
    }

    /// Makes sure that the head's journal is the site's active one.
    fn find_journal(&mut self, head: &Prelude) -> Result<(), StoreError> {
        let mut active = self.active_journal(head.site)?.clone();
        if active.id == head.journal {
            self.settle_genesis(head, &mut active)?;
            self.site(head.site)?.journal = Some(active);
            return Ok(());
        }
        let Some(predecessor) = head.predecessor.filter(|predecessor| predecessor.journal == active.id) else {
            // A central that was set back twice may have forgotten the journal between the two. Whose the token is was checked.
            if self.is_ahead(head.site)? {
                return self.replace_journal(head.site, head.journal, head.predecessor.as_ref());
            }
            return Err(unknown_journal(head.site, head.journal));
        };
        // Of a journal that was enrolled and never heard of, central cannot know how its chain began.
        let is_unheard = active.received == Sequence::ZERO && predecessor.sequence == Sequence::ZERO;
        if !is_unheard && !self.is_known_history(head.site, predecessor.sequence, predecessor.hash)? {
            return Err(fork(head.site, active.id, predecessor.sequence));
        }
        self.replace_journal(head.site, head.journal, Some(&predecessor))
    }

    /// A journal that a device enrolled with may follow a damaged one: its first head says so, and that begins its chain.
    fn settle_genesis(&mut self, head: &Prelude, journal: &mut Journal) -> Result<(), StoreError> {
        let Some(predecessor) = head.predecessor else { return Ok(()) };
        let genesis = chain::genesis(head.site, head.journal, Some(&predecessor));
        if journal.received != Sequence::ZERO || journal.genesis == genesis {
            return Ok(());
        }
        (journal.genesis, journal.received_hash) = (genesis, genesis);
        let number = journal.number;
        self.sql.execute(
            "UPDATE journal SET genesis = ?2, received_hash = ?2, predecessor = ?3 WHERE number = ?1",
            &[number.into(), (&genesis.0).into(), (&message::encode(&predecessor)).into()],
        )?;
        Ok(())
    }

    /// Closes the active journal, if there is one, and begins another.
    pub(super) fn replace_journal(
        &mut self,
        site: SiteId,
        journal: JournalId,
        predecessor: Option<&Predecessor>,
    ) -> Result<(), StoreError> {
        self.close_journal(site)?;
        let genesis = chain::genesis(site, journal, predecessor);
        let statement = predecessor.map(message::encode);
        let journal = insert_journal(self.sql, site, journal, genesis, statement.as_deref())?;
        self.site(site)?.journal = Some(journal);
        Ok(())
    }

    /// Closes the active journal, if there is one. It stays known.
    pub(super) fn close_journal(&mut self, site: SiteId) -> Result<(), StoreError> {
        let Some(old) = self.site(site)?.journal.take() else { return Ok(()) };
        if old.is_changed {
            old.write(self.sql)?;
        }
        self.sql.execute(
            "UPDATE journal SET is_active = 0, closed_at = received WHERE number = ?1",
            &[old.number.into()],
        )?;
        self.site(site)?.has_unjudged_journal |= old.judged < old.received;
        Ok(())
    }

    /// That the head's hash is not of another history than the one known here, as far as that can be told.
    fn check_head(&mut self, head: &Prelude) -> Result<(), StoreError> {
        if self.is_known_history(head.site, head.head, head.head_hash)? {
            return Ok(());
        }
        Err(fork(head.site, head.journal, head.head))
    }

    /// Whether a place in the active journal is above what is received, or has this hash here.
    fn is_known_history(&mut self, site: SiteId, sequence: Sequence, hash: Hash) -> Result<bool, StoreError> {
        let journal = self.active_journal(site)?.clone();
        self.reading().is_history_of(&journal, sequence, hash)
    }

    fn stored_hash(&mut self, journal: i64, sequence: Sequence) -> Result<Option<Hash>, StoreError> {
        self.reading().stored_hash(journal, sequence)
    }

    /// A device that reads everything again may have let go of its own entries, those among them that a central which was set back
    /// is sent once more: their rows are no echo (rule 5.15).
    fn echo_nothing_up_to(&mut self, site: SiteId, head: Sequence) -> Result<(), StoreError> {
        let journal = self.active_journal(site)?;
        if journal.echo_after < head {
            (journal.echo_after, journal.is_changed) = (head, true);
        }
        Ok(())
    }

    /// Keeps the cursors that a site reports, exactly these, all of this time line: what it has lost may not count as there (rule 5.15).
    fn keep_cursors(&mut self, site: SiteId, reported: &[ScopeCursor]) -> Result<(), StoreError> {
        let scopes = self.site(site)?.scopes.clone();
        let drops = self.site(site)?.drops.clone();
        let held = reported.iter().filter(|shown| scopes.contains(&shown.scope) && !drops.contains_key(&shown.scope));
        let kept: BTreeMap<_, _> = held.map(|shown| (shown.scope.clone(), shown.cursor)).collect();
        if scopes.iter().any(|scope| !kept.contains_key(scope)) {
            let journal = self.active_journal(site)?;
            if journal.echo_after != journal.received {
                (journal.echo_after, journal.is_changed) = (journal.received, true);
            }
        }
        let before = std::mem::take(&mut self.site(site)?.cursors);
        for scope in before.keys().filter(|scope| !kept.contains_key(*scope)) {
            let key: [Param<'_>; 2] = [site.0.into(), scope.as_bytes().into()];
            self.sql.execute("DELETE FROM site_cursor WHERE site = ?1 AND scope = ?2", &key)?;
        }
        for (scope, cursor) in kept.iter().filter(|(scope, cursor)| before.get(*scope) != Some(*cursor)) {
            self.sql.execute(
                "INSERT INTO site_cursor (site, scope, epoch, number, began) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (site, scope) DO UPDATE SET epoch = excluded.epoch, number = excluded.number, began = excluded.began",
                &[
                    site.0.into(),
                    scope.as_bytes().into(),
                    cursor.epoch.0.cast_signed().into(),
                    unsigned(cursor.number.0),
                    unsigned(cursor.began.0),
                ],
            )?;
        }
        let is_new = before != kept;
        self.site(site)?.cursors = kept;
        let is_stray = |shown: &&ScopeCursor| !scopes.contains(&shown.scope) && !drops.contains_key(&shown.scope);
        let stray: Vec<_> = reported.iter().filter(is_stray).take(STRAY_SCOPES_TOLD_MAX).collect();
        self.take_stray_scopes(site, &stray)?;
        if is_new { self.follow_gained(site) } else { Ok(()) }
    }

    /// A device that shows a scope which its site does not receive was never told to let go of it: it came by an export that was older
    /// than the change, or a device that was set back has it still. What a central that was set back forgot is for the device to claim.
    fn take_stray_scopes(&mut self, site: SiteId, stray: &[&ScopeCursor]) -> Result<(), StoreError> {
        if stray.is_empty() || self.is_healing()? {
            return Ok(());
        }
        stray.iter().try_for_each(|shown| self.take_scope(site, shown.scope.clone()))
    }
}

/// An entry that central can work with: one that decodes, without the character that SQL text cannot hold.
pub(super) fn decode(bytes: &[u8]) -> Option<Entry> {
    let entry = Entry::decode(bytes).ok()?;
    let has_nul = match &entry.table {
        protocol::ids::TableRef::Named(name) => name.contains('\0'),
        protocol::ids::TableRef::Known(_) => false,
    };
    if has_nul || entry.record.as_str().contains('\0') { None } else { Some(entry) }
}

impl Reading<'_> {
    /// Whether a journal is closed that is no [`Reading::closed_journal`]: its own device said what follows it.
    pub(super) fn is_followed(&mut self, site: SiteId, journal: JournalId) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM journal WHERE site = ?1 AND id = ?2 AND is_active = 0";
        Ok(self.sql.query_integer(sql, &[site.0.into(), (&journal.0).into()])?.is_some())
    }

    /// Whether a place in a journal is above what is received of it, or has this hash here.
    pub(super) fn is_history_of(
        &mut self,
        journal: &Journal,
        sequence: Sequence,
        hash: Hash,
    ) -> Result<bool, StoreError> {
        if sequence > journal.received {
            return Ok(true);
        }
        if sequence == journal.received {
            return Ok(hash == journal.received_hash);
        }
        if sequence == Sequence::ZERO {
            return Ok(hash == journal.genesis);
        }
        Ok(sequence > journal.floor && self.stored_hash(journal.number, sequence)? == Some(hash))
    }

    fn stored_hash(&mut self, journal: i64, sequence: Sequence) -> Result<Option<Hash>, StoreError> {
        Ok(self.sql.query_one(
            "SELECT hash FROM entry WHERE journal = ?1 AND sequence = ?2",
            &[journal.into(), unsigned(sequence.0)],
            |row| text::hash(row, 0),
        )?)
    }
}

/// What is told of a site without a device.
pub(super) fn not_enrolled_text(site: SiteId) -> String {
    format!("no device is enrolled for site {site}: enrol it first")
}

/// What a device is told whose place another one took.
pub(super) fn replaced_text(site: SiteId) -> String {
    format!("another device speaks for site {site} now; enrol this one again if that is wrong")
}

/// What a device is told that goes on in a journal that it closed.
pub(super) fn followed_text(site: SiteId, journal: JournalId) -> String {
    format!("journal {journal} of site {site} was closed by the one that follows it")
}

/// What a device is told whose journal central does not know.
pub(super) fn unknown_journal_text(site: SiteId, journal: JournalId) -> String {
    format!("journal {journal} is not the one that site {site} is enrolled with: enrol the device again")
}

fn unknown_journal(site: SiteId, journal: JournalId) -> StoreError {
    StoreError::refused("unknown_journal", &unknown_journal_text(site, journal))
}

/// What a device is told whose journal is not the one that was received.
pub(super) fn fork_text(site: SiteId, journal: JournalId, sequence: Sequence) -> String {
    format!(
        "journal {journal} of site {site} has another history at entry {sequence} than the one received before: two devices write \
         it, or one was set back"
    )
}

fn fork(site: SiteId, journal: JournalId, sequence: Sequence) -> StoreError {
    StoreError::refused("fork", &fork_text(site, journal, sequence))
}
