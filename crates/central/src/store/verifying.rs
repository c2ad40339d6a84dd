//! What a site should have, compared with what it has (`protocol::verify`).
//!
//! A comparison reads; that a site was asked to compare, and what it found, is kept of the last time.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use domain::authority::Authority;
use domain::catalogue::{DataType, Table};
use domain::preference::Preference;
use domain::procurement::is_of_orders;
use domain::scope::Scope;
use domain::visibility::VisibleKey;
use protocol::control::Control;
use protocol::edge::Codec;
use protocol::exchange::Standing;
use protocol::ids::{JournalId, Position, RecordId, ScopeId, SiteId};
use protocol::limits;
use protocol::message::{Refusal, RequestHead, ScopeCursor};
use protocol::verify::{Answer, Ask, Digests, Outcome, Question, RecordHash, RowsFound};
use sql::{Param, Row, SqlExt};

use super::batch::Batch;
use super::error::StoreError;
use super::lanes::{JSON_PER_PACKED, LANE_COLUMNS, read_found};
use super::reading::Reading;
use super::records::check_record;
use super::{state, text, time_line, unsigned};

/// Plain bytes of records in one answer, at most, beside one record more.
const ROWS_BYTES_MAX: usize = 512 * 1024;

/// What is known of how a site compared what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verified {
    /// When it was asked to, in milliseconds since 1970, if it has not answered since.
    pub asked_ms: Option<u64>,
    /// When it last did, and what it found.
    pub last: Option<(u64, Outcome)>,
}

impl Batch<'_> {
    /// Takes a question up: that the site may ask it, as an exchange would be taken up, and of a scope that it receives. What the site
    /// says that it found is kept. The answer is [`Reading::compare`]'s to give.
    ///
    /// # Errors
    /// Refused as [`Reading::check_device`] says; `other_scope` for a scope that the site does not receive; `not_drained` where it has not
    /// read yet what it has come to see.
    pub fn take_question(&mut self, question: &Question, standing: Standing) -> Result<(), StoreError> {
        let Question { head, ask } = question;
        let mut reading = Reading { sql: &mut *self.sql, catalogue: self.catalogue };
        if let Some(refusal) = reading.check_device(head, standing, self.now_ms)?.refusal {
            return Err(StoreError::Refused(refusal));
        }
        match ask {
            Ask::Compare { at, .. } | Ask::Rows { at, .. } => {
                let site = self.site(head.site)?;
                // A cursor counts again once the site has heard that the one of before does not, which this question may show first.
                let is_unheard = site.drops.get(&at.scope).is_some_and(|told| *told > head.control.0);
                if !site.scopes.contains(&at.scope) || is_unheard {
                    let what = "what this site receives has changed since: sync, then verify again";
                    return Err(StoreError::Refused(Refusal::new("other_scope", what)));
                }
                if at.scope == Scope::Visible.to_id() { self.refuse_before_it_has_seen(head) } else { Ok(()) }
            }
            Ask::Done(outcome) => self.note_verified(head.site, outcome),
        }
    }

    /// What a site has come to see, or sees no more, takes effect at once for what it should have, and reaches the site by a lane of its
    /// own: until it has read that, a comparison would find differences that are none.
    fn refuse_before_it_has_seen(&mut self, head: &RequestHead) -> Result<(), StoreError> {
        let refused = || {
            let what = "this site has come to see more, or less, and has not read that yet: sync, then verify again";
            Err(StoreError::Refused(Refusal::new("not_drained", what)))
        };
        let scope = Scope::Gained(head.site).to_id();
        let site = self.site(head.site)?;
        // What is noted is not in the lane yet, which may not be there at all.
        if site.has_backfill {
            return refused();
        }
        if !site.scopes.contains(&scope) {
            return Ok(());
        }
        let journal = self.active_journal(head.site)?.number;
        let shown = head.cursors.iter().find(|shown| shown.scope == scope).map(|shown| shown.cursor);
        let read = [ScopeCursor { scope, cursor: shown.unwrap_or_default() }];
        let mut reading = Reading { sql: &mut *self.sql, catalogue: self.catalogue };
        if reading.is_drained(head.site, journal, &read)? { Ok(()) } else { refused() }
    }

    /// Asks a site to compare what it has once its next session is over. One that was asked already is not told twice.
    ///
    /// # Errors
    /// Refused with `not_enrolled`, `is_central`, `unknown_site`.
    pub fn ask_to_verify(&mut self, site: SiteId) -> Result<(), StoreError> {
        self.job(|batch| {
            if site == SiteId::CENTRAL {
                return Err(StoreError::refused("is_central", "central has everything: there is nothing to compare"));
            }
            if !batch.site(site)?.is_enrolled {
                return Err(StoreError::refused("not_enrolled", &super::receive::not_enrolled_text(site)));
            }
            if batch.rows_like(site, &Control::Verify)? == 0 {
                batch.tell_verify(site)?;
            }
            let now_ms = unsigned(batch.now_ms);
            batch.sql.execute(
                "INSERT INTO site_verified (site, asked_ms) VALUES (?1, ?2)
                 ON CONFLICT (site) DO UPDATE SET asked_ms = excluded.asked_ms",
                &[site.0.into(), now_ms],
            )?;
            Ok(())
        })
    }

    fn note_verified(&mut self, site: SiteId, outcome: &Outcome) -> Result<(), StoreError> {
        self.job(|batch| {
            batch.site(site)?;
            let outcome = protocol::message::encode(outcome);
            let key = [site.0.into(), unsigned(batch.now_ms), (&outcome).into()];
            batch.sql.execute(
                "INSERT INTO site_verified (site, asked_ms, verified_ms, outcome) VALUES (?1, NULL, ?2, ?3)
                 ON CONFLICT (site) DO UPDATE SET asked_ms = NULL, verified_ms = excluded.verified_ms,
                     outcome = excluded.outcome",
                &key,
            )?;
            Ok(())
        })
    }
}

impl Reading<'_> {
    /// How a site last compared what it has.
    ///
    /// # Errors
    /// [`StoreError::Sql`]; [`StoreError::Damaged`].
    pub fn verified(&mut self, site: SiteId) -> Result<Verified, StoreError> {
        let sql = "SELECT asked_ms, verified_ms, outcome FROM site_verified WHERE site = ?1";
        let found = self.sql.query_one(sql, &[site.0.into()], |row| {
            let outcome = row.optional_blob(2)?.map(<[u8]>::to_vec);
            Ok((row.optional_unsigned(0)?, row.optional_unsigned(1)?, outcome))
        })?;
        let Some((asked_ms, verified_ms, outcome)) = found else { return Ok(Verified::default()) };
        let outcome = outcome.map(|bytes| protocol::message::decode_part(&bytes)).transpose();
        let outcome = outcome.map_err(|error| StoreError::Damaged(format!("what a site verified: {error}")))?;
        Ok(Verified { asked_ms, last: verified_ms.zip(outcome) })
    }

    /// Answers a question that was taken up. A comparison reads every record of the scope.
    ///
    /// # Errors
    /// Refused with `central_set_back` for a cursor that this store never gave, `codec` if rows cannot be packed.
    pub fn compare(
        &mut self,
        (site, journal): (SiteId, JournalId),
        ask: &Ask,
        codec: &mut dyn Codec,
    ) -> Result<Answer, StoreError> {
        Ok(match ask {
            Ask::Compare { at, digests } => Answer::Differing(self.digests(site, at)?.differing(digests)),
            Ask::Rows { at, buckets, after } => {
                let rows = self.rows_of_buckets((site, journal), at, buckets, *after)?;
                let packed = rows.pack(codec);
                Answer::Rows(packed.map_err(|error| StoreError::Refused(Refusal::new("codec", error.reason)))?)
            }
            Ask::Done(_) => Answer::Noted,
        })
    }

    /// The digests of what a site should have of a scope, all of it, whatever its cursor.
    pub(super) fn digests(&mut self, site: SiteId, at: &ScopeCursor) -> Result<Digests, StoreError> {
        self.at_once(|reading| {
            let mut digests = Digests::default();
            let Some(scope) = reading.scope_to_verify(at)? else { return Ok(digests) };
            let sql = format!("{LANE_COLUMNS} WHERE lane.scope = ?1 AND lane.position > ?2 AND lane.is_tombstone = 0");
            reading.sql.query(&sql, &[scope.into(), 0.into(), site.0.into()], &mut |row| {
                if !is_for_site(row)? {
                    return Ok(ControlFlow::Continue(()));
                }
                // What cannot be read is no record of anybody's, so that its bucket is looked at.
                let data = if is_damaged(row) { Some("") } else { row.optional_text(5)? };
                if let Some(data) = data {
                    digests.add(row.text(2)?, row.text(3)?, data);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(digests)
        })
    }

    /// The records of some buckets of a scope above a position, at most an answer's worth. What the site is to have with its next sync,
    /// or central cannot read, is only named; of the latter what the site writes itself is not even that, so that the site sends it again.
    fn rows_of_buckets(
        &mut self,
        (site, journal): (SiteId, JournalId),
        at: &ScopeCursor,
        buckets: &[u8],
        after: Position,
    ) -> Result<RowsFound, StoreError> {
        self.at_once(|reading| {
            let mut found = RowsFound { rows: Vec::new(), left_alone: Vec::new(), through: None };
            let Some(scope) = reading.scope_to_verify(at)? else { return Ok(found) };
            let own = reading.journal_number(site, journal)?;
            let buckets: BTreeSet<u8> = buckets.iter().copied().collect();
            let (catalogue, mut json_bytes, mut last) = (reading.catalogue, 0, after);
            let (mut rows, mut damaged) = (Vec::new(), Vec::new());
            let sql = format!("{LANE_COLUMNS} WHERE lane.scope = ?1 AND lane.position > ?2 ORDER BY lane.position");
            let key: [Param<'_>; 3] = [scope.into(), Param::unsigned(after.0)?, site.0.into()];
            reading.sql.query(&sql, &key, &mut |row| {
                if !is_for_site(row)? || !buckets.contains(&RecordHash::of(row.text(2)?, row.text(3)?).bucket()) {
                    return Ok(ControlFlow::Continue(()));
                }
                let is_full = json_bytes > JSON_PER_PACKED * ROWS_BYTES_MAX
                    || rows.len() >= limits::PAGE_ROWS_MAX
                    || found.left_alone.len() + damaged.len() >= limits::VERIFY_LEFT_ALONE_MAX;
                if is_full {
                    found.through = Some(last);
                    return Ok(ControlFlow::Break(()));
                }
                last = Position(row.unsigned(0)?);
                let (echo, is_tombstone) = (row.optional_integer(8)?, row.integer(4)? != 0);
                let is_echo = echo.is_some() && echo == own && last > at.cursor.began;
                let is_to_come = last > at.cursor.number && !is_echo;
                if is_to_come {
                    let table = text::table(catalogue, row.text(2)?).reference().clone();
                    found.left_alone.push((table, text::record_id(row, 3)?));
                } else if !is_tombstone && is_damaged(row) {
                    damaged.push((text::table(catalogue, row.text(2)?), text::record_id(row, 3)?));
                } else if !is_tombstone {
                    json_bytes += row.optional_text(5)?.map_or(0, str::len);
                    rows.push(read_found(row)?);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            let (mut bytes, mut last) = (0, after);
            for row in &rows {
                let ready = match reading.ready(row) {
                    // Its checksum is right, or there is none, and its data is no record.
                    Err(StoreError::Damaged(_)) => {
                        damaged.push((text::table(reading.catalogue, &row.table), row.id.clone()));
                        last = Position(row.position);
                        continue;
                    }
                    ready => ready?,
                };
                bytes += ready.bytes;
                if !found.rows.is_empty() && bytes > limits::PAGE_PLAIN_BYTES_MAX {
                    found.through = Some(last);
                    break;
                }
                last = ready.row.position;
                found.rows.push(ready.row);
            }
            for (table, id) in damaged {
                if !reading.is_writer(site, &at.scope, &table, &id)? {
                    found.left_alone.push((table.reference().clone(), id));
                }
            }
            Ok(found)
        })
    }

    /// Whether a site writes a record of a scope of which nothing but table and id is known. One that lets go of what it does not write
    /// would lose it here, so in doubt it does not.
    fn is_writer(&mut self, site: SiteId, scope: &ScopeId, table: &Table, id: &RecordId) -> Result<bool, StoreError> {
        Ok(match Scope::from_id(scope) {
            Scope::Store(store) => {
                let may_be_another_s =
                    is_of_orders(table) && self.is_preference_on(Preference::CentralisedProcurement)?;
                self.holder(&store)? == site && table.data_type() == DataType::Store && !may_be_another_s
            }
            Scope::Visible if table.has_home_stores() => {
                let key = VisibleKey::of_home(table, id).to_text();
                let sql = "SELECT store FROM home_store WHERE visible_key = ?1";
                let home = self.sql.query_one(sql, &[(&key).into()], |row| text::record_id(row, 0))?;
                home.map(|home| self.holder(&home)).transpose()? == Some(site)
            }
            Scope::AllSites | Scope::DispensarySites => {
                matches!(self.mirror()?.authority(), Authority::Primary(primary) if primary.site == site)
            }
            Scope::Visible | Scope::StorePartners(_) | Scope::Gained(_) | Scope::Unknown(_) => false,
        })
    }

    fn scope_to_verify(&mut self, at: &ScopeCursor) -> Result<Option<i64>, StoreError> {
        let head = state::position(self.sql)?;
        if !state::contains(self.sql, &at.cursor, head)? {
            return Err(time_line::other_time_line(&at.cursor));
        }
        self.scope_number(&at.scope)
    }
}

/// The last of [`LANE_COLUMNS`].
fn is_for_site(row: &dyn Row) -> Result<bool, sql::SqlError> {
    Ok(row.integer(12)? != 0)
}

/// Whether the record that a row of [`LANE_COLUMNS`] shows is not what was written.
fn is_damaged(row: &dyn Row) -> bool {
    let check = || {
        let content = (row.optional_text(9)?, row.optional_text(5)?, row.unsigned(10)?);
        check_record(row.optional_integer(11)?, row.text(2)?, row.text(3)?, content)
    };
    check().is_err()
}
