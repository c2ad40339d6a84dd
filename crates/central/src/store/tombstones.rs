//! Rows of lanes that say that a record is gone do not stay for ever (rule 5.18): those of before a position go, in bounded steps, and
//! the lane's *floor* is at the last of them. A site whose cursor is below the floor, and that did not begin to read the lane behind it,
//! may have missed one: it is told to read the scope from 0, and lets go of what does not come again.
//!
//! How old a position is central knows by one mark for each day on which it ran. A clock that is wrong costs sites that they read a scope
//! once more; it decides nothing else. The record itself keeps its id, so that it is never taken for one that was never there.
//!
//! | where | what |
//! | --- | --- |
//! | `scope.floor` | position of the last tombstone that went; 0: none did |
//! | `position_mark` | by day since 1970: central's head when it first looked on that day |

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use domain::scope::Scope;
use protocol::control::Control;
use protocol::ids::{ScopeId, SiteId};
use protocol::message::{RequestHead, ScopeCursor};
use sql::{Param, Sql, SqlExt};

use super::batch::Batch;
use super::error::StoreError;
use super::limits::CURSOR_AGE_MAX;
use super::{text, unsigned};

/// Scopes with a floor.
pub(super) fn load_floors(sql: &mut (dyn Sql + '_)) -> Result<BTreeMap<ScopeId, u64>, StoreError> {
    let mut floors = BTreeMap::new();
    sql.query("SELECT id, floor FROM scope WHERE floor > 0", &[], &mut |row| {
        floors.insert(text::scope(row, 0)?, row.unsigned(1)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(floors)
}

impl Batch<'_> {
    /// Takes at most `rows_max` tombstones that are older than so many days out of the lanes, and says how many: when it is fewer, nothing
    /// is left to take. `today`: in days since 1970.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn prune_old_tombstones(&mut self, today: u64, days: u64, rows_max: u64) -> Result<u64, StoreError> {
        self.job(|batch| {
            let head = batch.state.position;
            batch.sql.execute(
                "INSERT INTO position_mark (day, position) VALUES (?1, ?2) ON CONFLICT (day) DO NOTHING",
                &[unsigned(today), unsigned(head)],
            )?;
            let Some(day) = today.checked_sub(days) else { return Ok(0) };
            let last = "SELECT day, position FROM position_mark WHERE day <= ?1 ORDER BY day DESC LIMIT 1";
            let mark = batch.sql.query_one(last, &[unsigned(day)], |row| Ok((row.unsigned(0)?, row.unsigned(1)?)))?;
            let Some((day, position)) = mark else { return Ok(0) };
            // Of days before it nobody asks any more.
            batch.sql.execute("DELETE FROM position_mark WHERE day < ?1", &[unsigned(day)])?;
            // The cursor of a site in step may be behind the head by so much.
            batch.take_tombstones(position.min(head.saturating_sub(CURSOR_AGE_MAX)), rows_max)
        })
    }

    /// The same of all tombstones up to a position.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn prune_tombstones(&mut self, through: u64, rows_max: u64) -> Result<u64, StoreError> {
        self.job(|batch| batch.take_tombstones(through, rows_max))
    }

    fn take_tombstones(&mut self, through: u64, rows_max: u64) -> Result<u64, StoreError> {
        let mut rows: Vec<(i64, ScopeId, u64)> = Vec::new();
        // What is in a site's own lane it has to be given, and then it is gone.
        let own = Scope::Gained(SiteId::CENTRAL).to_id();
        self.sql.query(
            "SELECT lane.scope, scope.id, lane.position FROM lane JOIN scope ON scope.number = lane.scope
             WHERE lane.is_tombstone = 1 AND lane.position <= ?1 AND substr(scope.id, 1, 1) <> ?2
             ORDER BY lane.position LIMIT ?3",
            &[unsigned(through), own.as_bytes().get(..1).into(), Param::unsigned(rows_max)?],
            &mut |row| {
                rows.push((row.integer(0)?, text::scope(row, 1)?, row.unsigned(2)?));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        let mut floors: BTreeMap<ScopeId, u64> = BTreeMap::new();
        for (number, scope, position) in &rows {
            let key: [Param<'_>; 2] = [(*number).into(), unsigned(*position)];
            self.sql.execute("DELETE FROM lane WHERE scope = ?1 AND position = ?2", &key)?;
            floors.insert(scope.clone(), *position);
        }
        for (scope, floor) in floors {
            let key: [Param<'_>; 2] = [scope.as_bytes().into(), unsigned(floor)];
            self.sql.execute("UPDATE scope SET floor = ?2 WHERE id = ?1 AND floor < ?2", &key)?;
            self.state.floors.insert(scope, floor);
            self.state.has_new_layout = true;
        }
        Ok(rows.len() as u64)
    }

    /// A site that may have missed a tombstone is told to read the scope from 0. While central heals it is told that central was set back:
    /// what central has lost, and that site has, it hands back before it lets go of it.
    pub(super) fn read_anew_below_floors(&mut self, head: &RequestHead) -> Result<(), StoreError> {
        let is_below = |shown: &&ScopeCursor| {
            let floor = self.state.floors.get(&shown.scope).copied().unwrap_or(0);
            shown.cursor.number.0 < floor && shown.cursor.began.0 < floor
        };
        let below: Vec<ScopeId> = head.cursors.iter().filter(is_below).map(|shown| shown.scope.clone()).collect();
        if below.is_empty() {
            return Ok(());
        }
        let site = self.site(head.site)?;
        let is_read = |scope: &ScopeId| site.scopes.contains(scope) && !site.drops.contains_key(scope);
        let below: Vec<ScopeId> = below.into_iter().filter(is_read).collect();
        if below.is_empty() {
            return Ok(());
        }
        if self.is_healing()? {
            // Once is enough: it reads everything anew with its next session, whatever it reads in this one.
            let is_told = self.rows_like(head.site, &Control::SetBack)? > 0;
            return if is_told { Ok(()) } else { self.tell_set_back(head.site) };
        }
        for scope in below {
            self.read_scope_anew(head.site, scope)?;
        }
        Ok(())
    }
}
