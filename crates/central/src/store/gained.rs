//! What a site has come to see, or sees no more, of records that were written before: carried out when the site comes, in bounded steps.
//!
//! The rows of a key stand in a lane of the site's own, [`Scope::Gained`]: as records, with the key, where the site sees it, else as
//! tombstones. Rows that were read go; below the last of them is the lane's floor.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use domain::scope::Scope;
use domain::visibility::VisibleKey;
use protocol::ids::SiteId;
use sql::{Param, SqlExt};

use super::batch::Batch;
use super::error::StoreError;
use super::reading::Reading;
use super::unsigned;
use super::visibility::is_of_earlier_sharing;

/// A key of which the rows are being carried out.
struct Backfill {
    key: String,
    /// The last record that is done.
    after: i64,
    /// Set where the key changed once more before all of it was done: the site may have rows of when it last saw the key, and may have
    /// passed by what became of them since.
    takes_back: bool,
}

/// The rows of what has changed for the site ?1 and is not carried out, in the scope ?2.
macro_rules! backfill_of_site {
    () => {
        "FROM backfill JOIN lane ON lane.visible_key = backfill.visible_key JOIN scope ON scope.number = lane.scope
            WHERE backfill.site = ?1 AND lane.record > backfill.after AND scope.id = ?2"
    };
}

/// Keys and rows that a step looks at for each row that it may write.
const LOOKS_PER_ROW: u64 = 50;

impl Batch<'_> {
    /// Carries out some of what has changed for a site: one bounded step. Whether there is more.
    pub(super) fn backfill_step(&mut self, site: SiteId) -> Result<bool, StoreError> {
        // It follows once the common lane has begun. Until then this may also be a late copy of an old request.
        if !self.site(site)?.has_backfill || self.reads_visible_from_start(site)? {
            return Ok(false);
        }
        let rows_max = self.limits.backfill_step_rows_max;
        let mut left = rows_max;
        // What is looked at and not written brings a site nothing, and it must not ask in vain.
        let mut looks_left = rows_max.saturating_mul(LOOKS_PER_ROW);
        while left > 0 && looks_left > 0 {
            let next = self.sql.query_one(
                "SELECT visible_key, after, takes_back FROM backfill WHERE site = ?1 ORDER BY visible_key LIMIT 1",
                &[site.0.into()],
                |row| {
                    let (key, after) = (row.text(0)?.to_owned(), row.integer(1)?);
                    Ok(Backfill { key, after, takes_back: row.integer(2)? != 0 })
                },
            )?;
            let Some(next) = next else {
                self.site(site)?.has_backfill = false;
                return Ok(false);
            };
            let (looked_at, written) = self.backfill_key(site, &next, left)?;
            left = left.saturating_sub(written);
            looks_left = looks_left.saturating_sub(looked_at.max(1));
        }
        Ok(self.site(site)?.has_backfill)
    }

    /// Another device speaks for the site, and reads everything from the beginning: what it sees now. Or it is the same one, which was
    /// freed and kept what it had: that it reads it anew it is told because its own lane has nothing any more of what it has not read.
    pub(super) fn forget_backfill(&mut self, site: SiteId) -> Result<(), StoreError> {
        let forgotten = self.sql.execute("DELETE FROM backfill WHERE site = ?1", &[site.0.into()])?;
        self.site(site)?.has_backfill = false;
        self.prune_gained(site, self.state.position)?;
        if forgotten > 0 { self.forget_what_was_read(site) } else { Ok(()) }
    }

    /// A device that shows a cursor of what the site sees, from before this, is told to read it anew: of what changed nothing is noted for
    /// it. Also one that is not there yet, and brings what an export gave it.
    pub(super) fn forget_what_was_read(&mut self, site: SiteId) -> Result<(), StoreError> {
        self.own_lane(site)?;
        // Above every cursor that was given before.
        let floor = self.state.next_position().0;
        self.set_gained_floor(site, floor)?;
        // What it shows is looked at where it differs from this.
        self.drop_cursor(site, &Scope::Visible.to_id())
    }

    /// Follows how far a site has read what it has come to see. Rows that it has read are of no use any more; a device that has not read
    /// what is gone, such as a copy of the one that had, or one that was set back, reads what it sees from the beginning.
    pub(super) fn follow_gained(&mut self, site: SiteId) -> Result<(), StoreError> {
        // Ahead of that lane they would bring lines whose headers stand in it alone.
        if self.reads_visible_from_start(site)? {
            return self.prune_gained(site, self.state.position);
        }
        let state = self.site(site)?;
        let read = state.cursors.get(&Scope::Gained(site).to_id()).map_or(0, |cursor| cursor.number.0);
        let visible = Scope::Visible.to_id();
        if read < state.gained_floor && state.cursors.contains_key(&visible) {
            return self.read_scope_anew(site, visible);
        }
        self.prune_gained(site, read)
    }

    /// Whether the site is given all that it sees by the common lane, and needs no row of its own lane.
    fn reads_visible_from_start(&mut self, site: SiteId) -> Result<bool, StoreError> {
        Ok(!self.site(site)?.cursors.contains_key(&Scope::Visible.to_id()))
    }

    fn prune_gained(&mut self, site: SiteId, through: u64) -> Result<(), StoreError> {
        let Some(scope) = self.state.scopes.get(&Scope::Gained(site).to_id()).copied() else { return Ok(()) };
        let sql = "DELETE FROM lane WHERE scope = ?1 AND position <= ?2";
        if through > self.site(site)?.gained_floor && self.sql.execute(sql, &[scope.into(), unsigned(through)])? > 0 {
            self.set_gained_floor(site, through)?;
        }
        Ok(())
    }

    fn set_gained_floor(&mut self, site: SiteId, floor: u64) -> Result<(), StoreError> {
        let sql = "UPDATE site SET gained_floor = ?2 WHERE id = ?1";
        self.sql.execute(sql, &[site.0.into(), unsigned(floor)])?;
        self.site(site)?.gained_floor = floor;
        Ok(())
    }

    /// Notes that something of what a site sees changed while no device speaks for it. A device that comes later has read something of it
    /// before only if an export gave it that, and then the site has its own lane.
    pub(super) fn note_unheard_sight(&mut self, site: SiteId) -> Result<(), StoreError> {
        if self.has_own_lane(site) && self.site(site)?.gained_floor < self.state.position {
            return self.forget_what_was_read(site);
        }
        Ok(())
    }

    fn has_own_lane(&self, site: SiteId) -> bool {
        self.state.scopes.contains_key(&Scope::Gained(site).to_id())
    }

    /// The number of the site's own lane, which it is given from now on if it had none.
    pub(super) fn own_lane(&mut self, site: SiteId) -> Result<i64, StoreError> {
        let is_new = !self.has_own_lane(site);
        let scope = self.scope_number(&Scope::Gained(site))?;
        if is_new {
            self.change_scopes(site)?;
        }
        Ok(scope)
    }

    /// The row of a record has another key than before: who saw that, or may still be given it, and does not see this is told that it is
    /// gone.
    pub(super) fn take_from_those_who_saw(
        &mut self,
        record: i64,
        before: &VisibleKey,
        after: Option<&VisibleKey>,
    ) -> Result<(), StoreError> {
        let mut sites: BTreeSet<SiteId> = self.own_lanes_of(record)?.into_iter().map(|(_, site)| site).collect();
        let sql =
            "SELECT site FROM site_sees WHERE visible_key = ?1 UNION SELECT site FROM backfill WHERE visible_key = ?1";
        sites.extend(self.site_list(sql, &[(&before.to_text()).into()])?);
        let after = after.map(VisibleKey::to_text);
        for site in sites {
            let sees = match &after {
                Some(key) => self.reading().sees(site, key)?,
                None => false,
            };
            if !sees {
                self.put_gained(site, record, None)?;
            }
        }
        Ok(())
    }

    /// A record was written into the common lane: for the sites that see its key what stands in their own lanes is older, and must not
    /// come after it.
    pub(super) fn forget_gained(
        &mut self,
        record: i64,
        own_lanes: &[(i64, SiteId)],
        key: &str,
    ) -> Result<(), StoreError> {
        for (scope, site) in own_lanes {
            if self.reading().sees(*site, key)? {
                let sql = "DELETE FROM lane WHERE record = ?1 AND scope = ?2";
                self.sql.execute(sql, &[record.into(), (*scope).into()])?;
            }
        }
        Ok(())
    }

    /// Lanes of single sites that a record stands in.
    pub(super) fn own_lanes_of(&mut self, record: i64) -> Result<Vec<(i64, SiteId)>, StoreError> {
        let mut own = Vec::new();
        let gained = &self.state.gained;
        self.sql.query("SELECT scope FROM lane WHERE record = ?1", &[record.into()], &mut |row| {
            let scope = row.integer(0)?;
            own.extend(gained.get(&scope).map(|site| (scope, *site)));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(own)
    }

    /// One bounded part of a key's rows; how many were looked at, and written.
    fn backfill_key(&mut self, site: SiteId, next: &Backfill, rows_max: u64) -> Result<(u64, u64), StoreError> {
        let Backfill { key, after, takes_back } = next;
        let (key, after) = (key.as_str(), *after);
        let sees = self.reading().sees(site, key)?;
        let scope = self.scope_number(&Scope::Visible)?;
        let mut records = Vec::new();
        self.sql.query(
            concat!(
                "SELECT record, is_tombstone, CASE WHEN ",
                is_of_earlier_sharing!(),
                " THEN 1 ELSE 0 END FROM lane WHERE visible_key = ?1 AND record > ?2 AND scope = ?4 ORDER BY record LIMIT ?3"
            ),
            &[key.into(), after.into(), Param::unsigned(rows_max)?, scope.into()],
            &mut |row| {
                records.push((row.integer(0)?, row.integer(1)? != 0, row.integer(2)? != 0));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        let mut written = 0;
        for (record, is_tombstone, comes_anew) in &records {
            // It is being put into the common lane anew, and comes there.
            if sees && !is_tombstone && *comes_anew {
                continue;
            }
            // What was deleted before the site saw it never was there, unless the site saw it before that.
            if !sees || !is_tombstone || *takes_back {
                self.put_gained(site, *record, (sees && !is_tombstone).then_some(key))?;
                written += 1;
            }
        }
        let count = records.len() as u64;
        let place: [Param<'_>; 2] = [site.0.into(), key.into()];
        if let Some((last, ..)) = records.last().filter(|_| count >= rows_max) {
            let sql = "UPDATE backfill SET after = ?3 WHERE site = ?1 AND visible_key = ?2";
            self.sql.execute(sql, &[place[0], place[1], (*last).into()])?;
        } else {
            self.sql.execute("DELETE FROM backfill WHERE site = ?1 AND visible_key = ?2", &place)?;
        }
        Ok((count, written))
    }

    /// Puts a record into a site's own lane, at the head: with the key by which the site sees it, so that it is passed over once the site
    /// does so no more, or as gone.
    fn put_gained(&mut self, site: SiteId, record: i64, key: Option<&str>) -> Result<(), StoreError> {
        let scope = self.own_lane(site)?;
        let position = self.state.next_position().0;
        self.state.concerned.scopes.insert(scope);
        self.sql.execute("DELETE FROM lane WHERE record = ?1 AND scope = ?2", &[record.into(), scope.into()])?;
        self.sql.execute(
            "INSERT INTO lane (scope, position, record, entered, is_tombstone, echo_journal, visible_key)
             VALUES (?1, ?2, ?3, ?2, ?4, NULL, ?5)",
            &[scope.into(), unsigned(position), record.into(), i64::from(key.is_none()).into(), key.into()],
        )?;
        Ok(())
    }
}

impl Reading<'_> {
    /// Rows that changes of what a site sees will bring it.
    pub(super) fn backfill_rows(&mut self, site: SiteId) -> Result<u64, StoreError> {
        let sql = concat!("SELECT count(*) ", backfill_of_site!());
        let visible = Scope::Visible.to_id();
        Ok(self.sql.query_one(sql, &[site.0.into(), visible.as_bytes().into()], |row| row.unsigned(0))?.unwrap_or(0))
    }

    /// Whether there is any of these.
    pub(super) fn has_backfill_rows(&mut self, site: SiteId) -> Result<bool, StoreError> {
        let sql = concat!("SELECT 1 ", backfill_of_site!(), " LIMIT 1");
        let visible = Scope::Visible.to_id();
        Ok(self.sql.query_integer(sql, &[site.0.into(), visible.as_bytes().into()])?.is_some())
    }
}
