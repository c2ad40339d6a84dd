//! Reading scopes again from 0, and letting go of what did not come again: mark and sweep (rule 5.18).

use std::ops::ControlFlow;

use domain::catalogue::Catalogue;
use domain::json::row_from_json;
use domain::scope::Scope;
use protocol::ids::{Position, RecordId, ScopeId, Sequence, TableRef};
use protocol::message::{self, Cursor};
use sql::{Durability, SqlExt};

use super::images::{Image, Rank};
use super::settle::Final;
use super::{LocalCopy, LocalCopyError, limits};

/// The values of `scope.rebuild`.
pub(super) const IN_ORDER: i64 = 0;
pub(super) const READING: i64 = 1;
const SWEEPING: i64 = 2;
pub(super) const DROPPING: i64 = 3;
pub(super) const KEPT: i64 = 4;

/// Stands for a member of other scopes alone. Below every generation: what is not certain to be at central counts as seen in the one before
/// the scope's, which may be the first, 0.
const OF_OTHER_SCOPE: i64 = -2;

/// Name of the number that is 1 until the first pages come after the copy was lost.
const IS_AFTER_LOSS: &str = "is_after_loss";

/// Names of the numbers of a journal and of its last entry of which the verdict may have been told to the copy before this one.
const UNHEARD_JOURNAL: &str = "unheard_journal";
const UNHEARD_THROUGH: &str = "unheard_through";

/// Name of the number that is 1 while a scope that is not known yet is read anew like those that are: everything is, and not all of it had
/// been read before.
const READS_ALL_ANEW: &str = "reads_all_anew";

/// Name of the cursor that was furthest before everything was set to be read anew.
const HEARD: &str = "heard";

/// A scope that is being swept, and how far.
pub(super) struct Sweep {
    pub(super) scope: i64,
    pub(super) generation: i64,
    /// Whether the site does not receive the scope any more.
    pub(super) is_drop: bool,
    /// Whether it is what other stores have with a store ([`Scope::StorePartners`]).
    pub(super) is_of_partners: bool,
    table: String,
    id: String,
}

impl LocalCopy {
    /// Sets every scope to be read again from 0, durably. Nothing is removed before its scope is drained again; what is pending
    /// here stays, and is spared by the sweep.
    ///
    /// # Errors
    /// Those of a write.
    pub fn begin_rebuild(&mut self) -> Result<(), LocalCopyError> {
        let furthest =
            self.session_state()?.cursors.into_iter().map(|read| read.cursor).max_by_key(|cursor| cursor.number);
        self.transaction(Durability::Full, |copy| {
            if let Some(furthest) = furthest {
                copy.set_content(HEARD, Some(&message::encode(&furthest)))?;
            }
            copy.set_number(READS_ALL_ANEW, 1)?;
            copy.begin_scopes(None, READING)
        })
    }

    /// Inside the open transaction: the site does not receive a scope any more. Its cursor goes at once, so that the scope is read
    /// from 0 if it comes back; its members go step by step, those that no other scope holds.
    pub(super) fn drop_scope(&mut self, scope: &ScopeId) -> Result<(), LocalCopyError> {
        self.note_dropped(scope)?;
        self.begin_scopes(Some(scope), DROPPING)
    }

    /// Inside the open transaction: a scope is read from 0 again, and what did not come goes once it was read to its end. Of one that is
    /// not read yet there is nothing to do.
    pub(super) fn read_scope_anew(&mut self, scope: &ScopeId) -> Result<(), LocalCopyError> {
        self.begin_scopes(Some(scope), READING)
    }

    /// Lets go of the cursor of a scope, or of all. One that is being dropped goes on to be.
    fn begin_scopes(&mut self, scope: Option<&ScopeId>, rebuild: i64) -> Result<(), LocalCopyError> {
        let which = scope.map(ScopeId::as_bytes);
        self.sql.execute(
            "UPDATE scope SET epoch = 0, position = 0, began = 0, checksum = NULL, generation = generation + 1,
                 rebuild = CASE WHEN rebuild = ?2 THEN rebuild ELSE ?1 END, swept_table = '', swept_id = ''
             WHERE ?3 IS NULL OR scope_id = ?3",
            &[rebuild.into(), DROPPING.into(), which.into()],
        )?;
        self.sql.execute("DELETE FROM page_part WHERE ?1 IS NULL OR scope_id = ?1", &[which.into()])?;
        Ok(())
    }

    /// One bounded step of sweeping what did not come again, looking at [`limits::SWEEP_STEP_ROWS`] members at most. Whether
    /// there is more to do. To be called after opening and after each session until it gives `false`, with the lock given back
    /// between the steps.
    ///
    /// # Errors
    /// Those of a write; the step comes again.
    pub fn sweep_step(&mut self) -> Result<bool, LocalCopyError> {
        let Some(sweep) = self.next_sweep()? else {
            self.forget_heard()?;
            self.end_other_time_line()?;
            return Ok(false);
        };
        let members = self.members_above(&sweep)?;
        self.transaction(Durability::Process, |copy| {
            let last = members.last().cloned();
            for (table, id, generation) in members {
                if generation < sweep.generation {
                    copy.sweep_member(&table, &id, sweep.scope)?;
                }
            }
            match last {
                Some((table, id, _)) => copy.sql.execute(
                    "UPDATE scope SET swept_table = ?2, swept_id = ?3 WHERE number = ?1",
                    &[sweep.scope.into(), (&table).into(), (&id).into()],
                )?,
                None => copy.sql.execute(
                    // One that came back meanwhile, and is being read, is in order as far as it was read.
                    "UPDATE scope SET rebuild = ?2, swept_table = '', swept_id = '' WHERE number = ?1",
                    &[sweep.scope.into(), IN_ORDER.into()],
                )?,
            };
            Ok(())
        })?;
        Ok(true)
    }

    /// How far was read before everything was set to be read anew; `None` once every scope is in order.
    pub(super) fn heard(&mut self) -> Result<Option<Cursor>, LocalCopyError> {
        if self.is_other_time_line()? {
            // Nothing that was read before counts.
            return Ok(Some(Cursor::default()));
        }
        let Some(content) = self.content(HEARD)? else { return Ok(None) };
        message::decode_part(&content).map(Some).map_err(LocalCopyError::damaged)
    }

    /// Cursors show it again, or nothing does because central was set back.
    pub(super) fn forget_heard(&mut self) -> Result<(), LocalCopyError> {
        if self.content(HEARD)?.is_none() || (self.is_rebuilding()? && !self.is_other_time_line()?) {
            return Ok(());
        }
        self.transaction(Durability::Process, |copy| copy.set_content(HEARD, None))
    }

    /// Says that this copy begins anew beside journals that were there before it. What central said of their entries is not known
    /// any more and does not come again, so until pages begin to come, entries that central has judged just go: its images, which
    /// are all read from the beginning, say what became of them.
    ///
    /// # Errors
    /// Those of a write.
    pub fn begin_after_loss(&mut self) -> Result<(), LocalCopyError> {
        self.transaction(Durability::Full, |copy| {
            copy.note_lost_copy()?;
            copy.set_number(IS_AFTER_LOSS, 1)
        })
    }

    /// Whether no pages have begun to come since [`LocalCopy::begin_after_loss`].
    pub(super) fn is_after_loss(&mut self) -> Result<bool, LocalCopyError> {
        Ok(self.number(IS_AFTER_LOSS)? == Some(1))
    }

    /// Lets go of the entries that central has judged, without making them part of what central has. `has_pages`: what comes from
    /// now on is read behind all of this.
    pub(super) fn forget_judged(&mut self, until: Final, has_pages: bool) -> Result<(), LocalCopyError> {
        if has_pages {
            self.set_number(IS_AFTER_LOSS, 0)?;
        }
        self.set_number(UNHEARD_JOURNAL, until.journal)?;
        self.set_number(UNHEARD_THROUGH, until.judged)?;
        while let Some(batch) = self.final_records(until)? {
            for (table, id) in batch {
                let key = self.key_by_name(&table, &id)?;
                self.drop_final(&key, until)?;
                self.merge_again(&key)?;
                // Its scope may be gone by now: the sweep left it for the sake of the entry.
                self.remove_if_nobodys(&key)?;
            }
        }
        Ok(())
    }

    /// Whether the verdict on an entry of the journal in use may have been told to a copy before this one, which is lost.
    pub(super) fn is_unheard(&mut self, sequence: Sequence) -> Result<bool, LocalCopyError> {
        Ok(self.number(UNHEARD_JOURNAL)? == Some(self.journal_number)
            && self.number(UNHEARD_THROUGH)?.is_some_and(|through| sequence.0 <= through))
    }

    /// Whether some scope is being read again or swept: what is shown may be older than what central has.
    ///
    /// # Errors
    /// Those of a read.
    pub fn is_rebuilding(&mut self) -> Result<bool, LocalCopyError> {
        Ok(self
            .sql
            .query_integer(
                "SELECT 1 FROM scope WHERE rebuild <> ?1 AND rebuild <> ?2 LIMIT 1",
                &[IN_ORDER.into(), KEPT.into()],
            )?
            .is_some())
    }

    /// How a scope begins that is not known yet.
    pub(super) fn rebuild_of_new_scope(&mut self) -> Result<i64, LocalCopyError> {
        Ok(if self.number(READS_ALL_ANEW)? == Some(1) { READING } else { IN_ORDER })
    }

    /// A scope was drained: if it was being read again, what did not come is to go.
    pub(super) fn begin_sweep(&mut self, scope: i64) -> Result<(), LocalCopyError> {
        self.sql.execute(
            "UPDATE scope SET rebuild = ?2 WHERE number = ?1 AND rebuild = ?3",
            &[scope.into(), SWEEPING.into(), READING.into()],
        )?;
        Ok(())
    }

    /// Everything was drained: a scope that is still being read again does not come any more.
    pub(super) fn begin_sweep_of_absent_scopes(&mut self) -> Result<(), LocalCopyError> {
        if self.number(READS_ALL_ANEW)? == Some(1) {
            self.set_number(READS_ALL_ANEW, 0)?;
        }
        let mut absent: Vec<Vec<u8>> = Vec::new();
        self.sql.query("SELECT scope_id FROM scope WHERE rebuild = ?1", &[READING.into()], &mut |row| {
            absent.push(row.blob(0)?.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        if absent.is_empty() {
            return Ok(());
        }
        let of_stores = |stores: Vec<String>| {
            let scopes = stores.iter().filter_map(|store| RecordId::new(store).ok()).map(Scope::Store);
            scopes.map(|scope| scope.to_id().as_bytes().to_vec()).collect::<Vec<_>>()
        };
        let forgotten = of_stores(self.forgotten_stores()?.into_iter().map(|forgotten| forgotten.store).collect());
        let held = of_stores(self.grants_to_hand_back()?.into_iter().map(|(store, _)| store).collect());
        for scope in absent {
            // What this site wrote may be here alone; of what it did not write it has a copy that it is not to have any more.
            let rebuild = match (forgotten.contains(&scope), held.contains(&scope)) {
                (true, _) => KEPT,
                (false, true) => SWEEPING,
                (false, false) => DROPPING,
            };
            self.sql.execute(
                "UPDATE scope SET rebuild = ?2 WHERE scope_id = ?1",
                &[scope.as_slice().into(), rebuild.into()],
            )?;
        }
        Ok(())
    }

    pub(super) fn next_sweep(&mut self) -> Result<Option<Sweep>, LocalCopyError> {
        let sql = "SELECT number, generation, swept_table, swept_id, rebuild, scope_id FROM scope
            WHERE rebuild = ?1 OR rebuild = ?2 ORDER BY number LIMIT 1";
        Ok(self.sql.query_one(sql, &[SWEEPING.into(), DROPPING.into()], |row| {
            Ok(Sweep {
                scope: row.integer(0)?,
                generation: row.integer(1)?,
                is_drop: row.integer(4)? == DROPPING,
                is_of_partners: ScopeId::new(row.blob(5)?)
                    .is_some_and(|scope| matches!(Scope::from_id(&scope), Scope::StorePartners(_))),
                table: row.text(2)?.to_owned(),
                id: row.text(3)?.to_owned(),
            })
        })?)
    }

    /// Members of any scope behind the place where the sweep is; those of other scopes are given as seen.
    pub(super) fn members_above(&mut self, sweep: &Sweep) -> Result<Vec<(String, String, i64)>, LocalCopyError> {
        let mut members = Vec::new();
        self.sql.query(
            "SELECT table_name, id, max(CASE WHEN scope = ?3 THEN generation ELSE ?5 END)
             FROM membership WHERE (table_name, id) > (?1, ?2)
             GROUP BY table_name, id ORDER BY table_name, id LIMIT ?4",
            &[
                (&sweep.table).into(),
                (&sweep.id).into(),
                sweep.scope.into(),
                limits::SWEEP_STEP_ROWS.into(),
                OF_OTHER_SCOPE.into(),
            ],
            &mut |row| {
                let generation = match row.integer(2)? {
                    OF_OTHER_SCOPE => i64::MAX,
                    generation => generation,
                };
                members.push((row.text(0)?.to_owned(), row.text(1)?.to_owned(), generation));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(members)
    }

    /// The scope does not hold the record any more. It goes if no other does, unless entries are pending: then it stays as it is
    /// until their verdict. What stays on this site stays: central had one under its id.
    fn sweep_member(&mut self, table: &str, id: &str, scope: i64) -> Result<(), LocalCopyError> {
        let key = self.key_by_name(table, id)?;
        if self.leave(&key, scope)? || self.base(&key)?.is_some() || self.is_staying(&key)? {
            return Ok(());
        }
        self.delete_record(&key)
    }

    /// Records of a table that had only a number when they came are filed under its name once the catalogue knows it.
    pub(super) fn rename_tables_that_became_known(&mut self) -> Result<(), LocalCopyError> {
        let mut numbered: Vec<String> = Vec::new();
        let sql = "SELECT DISTINCT table_name FROM record WHERE table_name >= '#t' AND table_name < '#u'";
        self.sql.query(sql, &[], &mut |row| {
            numbered.push(row.text(0)?.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        for old in numbered {
            let known = old.strip_prefix("#t").and_then(|number| number.parse().ok()).map(TableRef::Known);
            if let Some(reference) = known.filter(|reference| self.catalogue.table(reference).is_some()) {
                while self.rename_some(&old, &reference)? {}
            }
        }
        Ok(())
    }

    /// Renames some records of a table; whether there were any. Whoever brought them, they are central's: this site writes
    /// nothing into tables that it does not know.
    fn rename_some(&mut self, old: &str, reference: &TableRef) -> Result<bool, LocalCopyError> {
        let mut batch = Vec::new();
        self.sql.query(
            "SELECT id, data, position FROM record WHERE table_name = ?1 ORDER BY id LIMIT 64",
            &[old.into()],
            &mut |row| {
                batch.push((row.text(0)?.to_owned(), row.text(1)?.to_owned(), row.unsigned(2)?));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        if batch.is_empty() {
            return Ok(false);
        }
        let stand_in = Catalogue::embedded().table_or_stand_in(&TableRef::Named(old.to_owned()));
        self.transaction(Durability::Process, |copy| {
            for (id_text, data, position) in &batch {
                let id = RecordId::new(id_text).map_err(LocalCopyError::damaged)?;
                let key = copy.key(reference, &id);
                let row = row_from_json(&stand_in, &id, data).map_err(LocalCopyError::damaged)?;
                // Its columns were printed as `#57`, which is read as column 57.
                let row = key.table.canonical(row);
                let store = copy.store_of_row(&key, &row, None)?;
                let image = Image { row: Some(row), store, position: Position(*position) };
                copy.replace_image(&key, &image, Rank::Position)?;
                copy.delete_record_by_name(old, id_text)?;
                copy.sql.execute(
                    "UPDATE membership SET table_name = ?3 WHERE table_name = ?1 AND id = ?2",
                    &[old.into(), id_text.into(), key.table.name().into()],
                )?;
            }
            Ok(())
        })?;
        Ok(true)
    }
}
