//! What a reply's head says: receipt, verdicts, grants. One durable step with the control cursor (invariant 6).

use domain::judge::RefusalCode;
use protocol::control::{Claims, Control, ControlRow, EntryPlace, Image as ControlImage, Refused};
use protocol::ids::{ControlNumber, Epoch, JournalId, Position, ScopeId, Sequence};
use protocol::message::{Cursor, PagePartState, ReplyHead, ScopeCursor};
use protocol::row::Row as RecordRow;
use sql::{Durability, Param, SqlExt};

use super::carrying::Way;
use super::images::{Image, Key, Rank};
use super::meta::{BACKED_UP, CONTROL, JUDGED, RECEIVED, SITE_CODE};
use super::settle::Final;
use super::time_line::HANDED_BACK_REFUSED;
use super::{LocalCopy, LocalCopyError, Progress, checksum, limits};

/// What the local copy tells a session at its begin. All of it is durable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionState {
    /// How far central has received the shared journal.
    pub received: Sequence,
    /// How far verdicts are known.
    pub judged: Sequence,
    /// How far a backup of central's covers the journal (rule 5.5).
    pub backed_up: Sequence,
    /// The last control row.
    pub control: ControlNumber,
    /// A cursor for each scope that was read from.
    pub cursors: Vec<ScopeCursor>,
    /// How far was read before everything is read anew, while that goes on.
    pub heard: Option<Cursor>,
    /// Grants that central, when it told all of them anew, did not name.
    pub claims: Claims,
    /// A page of which some parts are here.
    pub page_part: Option<PagePartState>,
}

/// What a reply's head brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoredReply {
    /// Whether anything was written: a quiet reply writes nothing.
    pub is_changed: bool,
    /// Entries that were set aside.
    pub refused: u64,
    /// Entries that wait for a header at central now.
    pub waiting: u64,
    /// Control rows that this program does not understand; they are kept and shown.
    pub unknown: u64,
    /// Whether the next request is to show other claims, refusals or number gaps: all grants of the site were told anew, there are more to
    /// show, or central knows of fewer gaps.
    pub has_claims: bool,
}

impl LocalCopy {
    /// How far central has received the journal in use.
    pub fn received(&self) -> Sequence {
        Sequence(self.progress.received)
    }

    /// What a session begins with.
    ///
    /// # Errors
    /// Those of a read.
    pub fn session_state(&mut self) -> Result<SessionState, LocalCopyError> {
        let mut cursors = Vec::new();
        let mut broken = None;
        self.sql.query(
            "SELECT scope_id, epoch, position, began, checksum FROM scope WHERE position > 0 OR epoch <> 0 ORDER BY scope_id",
            &[],
            &mut |row| {
                let cursor = Cursor {
                    epoch: Epoch(row.integer(1)?.cast_unsigned()),
                    number: Position(row.unsigned(2)?),
                    began: Position(row.unsigned(3)?),
                };
                let right = checksum::of_cursor(row.blob(0)?, cursor);
                match ScopeId::new(row.blob(0)?) {
                    Some(_) if row.optional_integer(4)?.is_some_and(|found| found != right) => {
                        broken = Some("a scope's cursor has a wrong checksum");
                    }
                    Some(scope) => cursors.push(ScopeCursor { scope, cursor }),
                    None => broken = Some("a scope's name is too long"),
                }
                Ok(std::ops::ControlFlow::Continue(()))
            },
        )?;
        if let Some(broken) = broken {
            return Err(LocalCopyError::damaged(broken));
        }
        Ok(SessionState {
            received: Sequence(self.progress.received),
            judged: Sequence(self.progress.judged),
            backed_up: Sequence(self.progress.backed_up),
            control: self.control(),
            cursors,
            heard: self.heard()?,
            claims: self.claims()?,
            page_part: self.page_part_state()?,
        })
    }

    /// The last control row that was heard.
    pub fn control(&self) -> ControlNumber {
        ControlNumber(self.progress.control)
    }

    /// Stores what a reply's head says, in one durable transaction; nothing is written if it says nothing new. Refused entries go
    /// to set-aside and central's image takes their place; accepted ones become part of what central has.
    ///
    /// # Errors
    /// [`LocalCopyError::OtherJournal`] for a reply about another journal; [`LocalCopyError::ControlUnknownFull`]; else those of a
    /// write. Nothing is kept then, and the control rows come again.
    pub fn store_reply(&mut self, journal: JournalId, reply: &ReplyHead) -> Result<StoredReply, LocalCopyError> {
        self.store_reply_of(journal, reply, Way::Link)
    }

    /// The same for the head of an answer that came by file: the note of its request says so in the same step.
    ///
    /// # Errors
    /// As [`LocalCopy::store_reply`].
    pub fn store_carried_reply(
        &mut self,
        journal: JournalId,
        reply: &ReplyHead,
    ) -> Result<StoredReply, LocalCopyError> {
        self.store_reply_of(journal, reply, Way::File)
    }

    fn store_reply_of(
        &mut self,
        journal: JournalId,
        reply: &ReplyHead,
        way: Way,
    ) -> Result<StoredReply, LocalCopyError> {
        self.take_as_journal_in_use(journal)?;
        let before = self.progress;
        let after = Progress {
            received: before.received.max(reply.received.0),
            judged: before.judged.max(reply.judged.0),
            backed_up: before.backed_up.max(reply.backed_up.0),
            control: reply.control.last().map_or(before.control, |row| row.number.0.max(before.control)),
        };
        // Journals before this one: central judges all of them before it judges anything of this one. Else it has judged them once
        // it has nothing unjudged and nothing to say.
        let is_past_old = reply.judged > Sequence::ZERO || (reply.judged >= reply.received && !reply.has_more_control);
        let ends_old = is_past_old && self.has_old_entries()?;
        let answers = self.shows_refusals()?;
        self.forget_waits_behind(reply.received)?;
        // By this reply alone: what a central that was set back has not judged it gives its verdict on anew.
        let until = Final::in_journal(self.journal_number, reply.judged.0);
        let is_quiet =
            after == before && !ends_old && !answers && !self.has_judged(until.judged)? && !self.is_after_loss()?;
        // A quiet reply leaves the note of a carried request: its token alone says that it came.
        if is_quiet && way == Way::Link {
            return Ok(StoredReply::default());
        }
        self.transaction(Durability::Full, |copy| {
            let mut stored = StoredReply { is_changed: true, ..StoredReply::default() };
            // A reply to a request that was made when all grants were told already.
            if answers {
                stored.has_claims |= copy.note_refusals_shown()?;
            }
            let mut read_anew = Vec::new();
            for row in reply.control.iter().filter(|row| row.number.0 > before.control) {
                copy.store_control(row, reply.judged, &mut stored, &mut read_anew)?;
            }
            let until = if ends_old { Final::through_journal(until.journal, until.judged) } else { until };
            if copy.is_after_loss()? {
                copy.forget_judged(until, reply.has_pages)?;
            } else {
                copy.settle(until)?;
            }
            // Behind the verdicts of this reply: what they make part of the scope central knew when it gave the row, so that it comes again
            // if it is for the site.
            for scope in &read_anew {
                copy.read_scope_anew(scope)?;
            }
            copy.store_progress(after)?;
            copy.note_reply(way)?;
            Ok(stored)
        })
    }

    /// Stores that central has received the journal this far, and nothing else: what it has not judged stays pending. Durable; nothing
    /// is written if it says nothing new.
    ///
    /// # Errors
    /// [`LocalCopyError::OtherJournal`] for a receipt of another journal; else those of a write.
    pub fn store_receipt(&mut self, journal: JournalId, received: Sequence) -> Result<(), LocalCopyError> {
        self.take_as_journal_in_use(journal)?;
        self.forget_waits_behind(received)?;
        if received.0 <= self.progress.received {
            return Ok(());
        }
        let after = Progress { received: received.0, ..self.progress };
        self.transaction(Durability::Full, |copy| {
            copy.note_reply(Way::Link)?;
            copy.store_progress(after)
        })
    }

    /// A central that was set back has not received what waited there: it is sent once more, and what becomes of it is told anew.
    fn forget_waits_behind(&mut self, received: Sequence) -> Result<(), LocalCopyError> {
        if received.0 >= self.progress.received {
            return Ok(());
        }
        let which = format!("is_waiting <> 0 AND journal = ?1 AND sequence > {}", received.0);
        self.change_pending(&which, "UPDATE pending SET is_waiting = 0")
    }

    fn take_as_journal_in_use(&mut self, journal: JournalId) -> Result<(), LocalCopyError> {
        match self.journal()? {
            Some(expected) if expected != journal => Err(LocalCopyError::OtherJournal { expected, found: journal }),
            Some(_) => Ok(()),
            None => self.use_shared_journal(journal),
        }
    }

    pub(super) fn store_progress(&mut self, after: Progress) -> Result<(), LocalCopyError> {
        self.set_number(RECEIVED, after.received)?;
        self.set_number(JUDGED, after.judged)?;
        self.set_number(BACKED_UP, after.backed_up)?;
        self.set_number(CONTROL, after.control)?;
        self.progress = after;
        Ok(())
    }

    /// `judged`: how far the reply says that it has judged. `read_anew`: scopes that are to be read from 0, once the verdicts are settled.
    fn store_control(
        &mut self,
        row: &ControlRow,
        judged: Sequence,
        stored: &mut StoredReply,
        read_anew: &mut Vec<ScopeId>,
    ) -> Result<(), LocalCopyError> {
        match Control::of(row) {
            Ok(Control::Refused(refused)) => {
                if self.was_accepted(&refused)? {
                    // What it made is part of the record here, which is handed back, or kept with its store: by reading everything anew,
                    // also where every cursor is of before central was set back.
                    self.owe_other_time_line()?;
                    log::warn!("central was set back, and refuses an edit that it had accepted code={}", refused.code);
                    return Ok(());
                }
                // One that was told before a central was set back is told once more: the edit may be dealt with by now.
                let is_new = self.keep_refusal(&refused)?;
                stored.refused += u64::from(self.refuse(&refused, is_new)? && is_new);
            }
            Ok(Control::Waiting(place)) => {
                self.set_waiting(place, true)?;
                stored.waiting += 1;
            }
            Ok(Control::Accepted(place)) => self.set_waiting(place, false)?,
            Ok(Control::Grant(grant)) => {
                self.store_grant(&grant, row.number)?;
                stored.has_claims |= !self.number_gaps_to_show()?.is_empty();
            }
            Ok(Control::GrantsTold(told)) => {
                self.store_grants_told(told, row.number, judged)?;
                stored.has_claims = true;
            }
            Ok(Control::Dropped(dropped)) => self.drop_scope(&dropped.scope)?,
            Ok(Control::ReadAnew(read)) => read_anew.push(read.scope),
            Ok(Control::SetBack) => self.owe_other_time_line()?,
            Ok(Control::Verify) => self.owe_verify(true)?,
            Ok(Control::SiteCode(code)) => self.set_content(SITE_CODE, Some(code.code.as_bytes()))?,
            // A known code whose content cannot be read is as unknown as another code.
            Ok(Control::Unknown) | Err(_) => {
                self.keep_unknown(row)?;
                stored.unknown += 1;
            }
        }
        Ok(())
    }

    /// Rule 5.3: the entry goes to set-aside with its reason, and central's image takes its place. False for one that nobody edited
    /// here.
    fn refuse(&mut self, refused: &Refused, is_new: bool) -> Result<bool, LocalCopyError> {
        let place = EntryPlace { journal: refused.journal, sequence: refused.sequence };
        let Some((journal, key)) = self.pending_place(place)? else {
            if self.is_sent_again(refused)? {
                return Ok(false);
            }
            if is_new {
                self.set_aside_without_entry(refused)?;
            }
            return Ok(true);
        };
        let is_handed_back = self.is_handed_back(journal, refused.sequence)?;
        if is_handed_back {
            // It is for central's operator, who finds it in set-aside there, unless central has it all the same.
            let is_kept = u64::from(refused.code != RefusalCode::AlreadyHere.as_str());
            let count = self.number(HANDED_BACK_REFUSED)?.unwrap_or(0);
            self.set_number(HANDED_BACK_REFUSED, count + is_kept)?;
        } else {
            self.set_aside_pending(journal, refused)?;
        }
        // The image shows the record after every earlier entry, those of journals before this one among them, so these must not be
        // put on top of it once more.
        let earlier = Final::through_journal(journal, refused.sequence.0.saturating_sub(1));
        if self.is_after_loss()? {
            // Their verdicts were told to the copy that was lost: they may have been refused as well.
            self.drop_final(&key, earlier)?;
        } else {
            self.settle_record(&key, earlier)?;
        }
        self.drop_pending(journal, refused.sequence)?;
        self.take_refusal_image(&key, &refused.image)?;
        self.merge_again(&key)?;
        Ok(!is_handed_back)
    }

    /// Whether a refused entry was the beginning of a group of which central had not received the end when another journal took the
    /// place of its own: all of the group is in that one, or was exported.
    fn is_sent_again(&mut self, refused: &Refused) -> Result<bool, LocalCopyError> {
        let sql = "SELECT 1 FROM journal WHERE journal_id = ?1 AND number < ?2";
        let params = [(&refused.journal.0).into(), Param::unsigned(self.journal_number)?];
        Ok(refused.code == RefusalCode::GroupIncomplete.as_str() && self.sql.query_integer(sql, &params)?.is_some())
    }

    fn take_refusal_image(&mut self, key: &Key, image: &ControlImage) -> Result<(), LocalCopyError> {
        match image {
            // A scope that holds the record brings its tombstone itself; what a page brought since is newer than this.
            ControlImage::NotHere if self.is_member(key)? => Ok(()),
            ControlImage::NotHere => self.show_nothing(key),
            ControlImage::Here { position, row } => {
                let Ok(row) = RecordRow::decode(row) else {
                    // Central's own row cannot be read: what is here stays, and the next page of the record mends it.
                    log::error!("central's image of {} {} cannot be read", key.table.name(), key.id);
                    return Ok(());
                };
                let row = key.table.canonical(row);
                let store = self.store_of_row(key, &row, None)?;
                let image = Image { row: Some(row), store, position: *position };
                let is_member = self.is_member(key)?;
                if !is_member && self.is_left_to_its_page(key, &image)? {
                    return self.show_nothing(key);
                }
                // An answer of which central would have none is owed again.
                self.note_owed(key, &image)?;
                if self.replace_image(key, &image, Rank::Position)? && !is_member {
                    self.join_scopes_of_image(key, image.store.as_ref())?;
                }
                Ok(())
            }
        }
    }

    /// Central shows this site nothing of a record, whatever is pending on top of it. What had stayed here before it went is as it was.
    fn show_nothing(&mut self, key: &Key) -> Result<(), LocalCopyError> {
        if self.falls_back_to_staying(key)? {
            return Ok(());
        }
        let position = self.base(key)?.map_or(Position::ZERO, |base| base.position);
        self.replace_image(key, &Image { position, ..Image::NOT_HERE }, Rank::Position)?;
        Ok(())
    }

    fn set_waiting(&mut self, place: EntryPlace, is_waiting: bool) -> Result<(), LocalCopyError> {
        let Some((journal, key)) = self.pending_place(place)? else { return Ok(()) };
        self.sql.execute(
            "UPDATE pending SET is_waiting = ?3 WHERE journal = ?1 AND sequence = ?2",
            &[Param::unsigned(journal)?, Param::unsigned(place.sequence.0)?, i64::from(is_waiting).into()],
        )?;
        self.merge_again(&key)
    }

    fn keep_unknown(&mut self, row: &ControlRow) -> Result<(), LocalCopyError> {
        let count = self.sql.query_integer("SELECT count(*) FROM control_unknown", &[])?.unwrap_or(0);
        if count.cast_unsigned() >= limits::CONTROL_UNKNOWN_MAX {
            return Err(LocalCopyError::ControlUnknownFull);
        }
        self.sql.execute(
            "INSERT INTO control_unknown (number, code, content) VALUES (?1, ?2, ?3) ON CONFLICT (number) DO NOTHING",
            &[Param::unsigned(row.number.0)?, row.code.into(), (&row.content).into()],
        )?;
        Ok(())
    }

    /// The journal's number and the record of a pending entry; `None` if no such entry is pending.
    fn pending_place(&mut self, place: EntryPlace) -> Result<Option<(u64, Key)>, LocalCopyError> {
        let sql = "SELECT pending.journal, pending.table_name, pending.id FROM pending
                   JOIN journal ON journal.number = pending.journal
                   WHERE journal.journal_id = ?1 AND pending.sequence = ?2";
        let params = [(&place.journal.0).into(), Param::unsigned(place.sequence.0)?];
        let found = self
            .sql
            .query_one(sql, &params, |row| Ok((row.unsigned(0)?, row.text(1)?.to_owned(), row.text(2)?.to_owned())))?;
        let Some((journal, table, id)) = found else { return Ok(None) };
        Ok(Some((journal, self.key_by_name(&table, &id)?)))
    }

    fn drop_pending(&mut self, journal: u64, sequence: Sequence) -> Result<(), LocalCopyError> {
        self.sql.execute(
            "DELETE FROM pending WHERE journal = ?1 AND sequence = ?2",
            &[Param::unsigned(journal)?, Param::unsigned(sequence.0)?],
        )?;
        Ok(())
    }
}
