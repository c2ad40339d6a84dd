//! Healing after central was set back to an older backup (rule 5.12): from the first site that is ahead until each site has reported,
//! or an operator goes on without the rest.
//!
//! A site has *reported* with an exchange of a device that reads nothing anew at which nothing waits either way. Until all have,
//! central may lack what it had decided, and does nothing that builds on that: it gives no store to a site, because another may have it.
//!
//! | table | row |
//! | --- | --- |
//! | `healing` | one for each healing: when it began and, once it is over, when and whether an operator went on |
//! | `healing_site` | one for each site that has not reported since; `is_waived` where an operator went on without it |
//! | `site_ahead` | one for each site that ever was ahead, and when it was healed |

use std::ops::ControlFlow;

use protocol::ids::SiteId;
use serde_json::json;
use sql::SqlExt;

use super::audit::{AuditEntry, SYSTEM};
use super::batch::Batch;
use super::error::StoreError;
use super::explain::SITES_NAMED_MAX;
use super::reading::Reading;
use super::{text, unsigned};
use crate::wording::count;

/// How far central and its sites have healed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healing {
    /// When the first site was found to be ahead, in milliseconds since 1970.
    pub since_ms: u64,
    /// When all had reported, or an operator went on; `None` while central heals.
    pub ended_ms: Option<u64>,
    /// Whether an operator went on before all had reported.
    pub is_ended_by_operator: bool,
    /// Sites that were found ahead and have not handed back everything.
    pub sites_ahead: u64,
    /// Sites with a device that were not heard of since.
    pub sites_unheard: u64,
    /// The first [`SITES_NAMED_MAX`] of these, by id.
    pub unheard: Vec<(SiteId, String)>,
    /// Sites without which an operator went on, and which have not reported yet.
    pub sites_waived: u64,
}

impl Batch<'_> {
    /// The site has heard more of central than central remembers. If central does not heal yet, it begins to.
    pub(super) fn note_ahead(&mut self, site: SiteId) -> Result<(), StoreError> {
        let now = unsigned(self.now_ms);
        self.sql.execute(
            "INSERT INTO site_ahead (site, noticed_ms) VALUES (?1, ?2)
             ON CONFLICT (site) DO UPDATE SET healed_ms = NULL,
                noticed_ms = CASE WHEN site_ahead.healed_ms IS NULL THEN site_ahead.noticed_ms ELSE excluded.noticed_ms END",
            &[site.0.into(), now],
        )?;
        if !self.is_healing()? {
            self.sql.execute(
                "INSERT INTO healing (number, since_ms) SELECT coalesce(max(number), 0) + 1, ?1 FROM healing",
                &[now],
            )?;
            let entry = AuditEntry { site: Some(site), ..AuditEntry::new(SYSTEM, "healing-begins") };
            self.note(entry, json!({ "is_healing": false }), json!({ "is_healing": true }))?;
            // Whom an operator has not waited for before, nobody waits for again.
            self.sql.execute(
                "INSERT INTO healing_site (site) SELECT id FROM site WHERE public_key IS NOT NULL ON CONFLICT (site) DO NOTHING",
                &[],
            )?;
        }
        self.sql.execute(
            "INSERT INTO healing_site (site) VALUES (?1) ON CONFLICT (site) DO UPDATE SET is_waived = 0",
            &[site.0.into()],
        )?;
        self.state.unreported_sites = None;
        self.owe_grants(site)
    }

    /// Notes that a site has reported, and with the last one that all are healed.
    pub(super) fn note_reported(&mut self, site: SiteId) -> Result<(), StoreError> {
        if self.stop_waiting_for(site)? {
            let now = unsigned(self.now_ms);
            let sql = "UPDATE site_ahead SET healed_ms = ?2 WHERE site = ?1 AND healed_ms IS NULL";
            self.sql.execute(sql, &[site.0.into(), now])?;
        }
        Ok(())
    }

    /// A site has no device any more that could report.
    pub(super) fn forget_report(&mut self, site: SiteId) -> Result<(), StoreError> {
        if self.stop_waiting_for(site)? {
            self.sql.execute("DELETE FROM site_ahead WHERE site = ?1 AND healed_ms IS NULL", &[site.0.into()])?;
        }
        Ok(())
    }

    /// Whether central waited for a report of the site. Asks no table while it waits for none.
    fn stop_waiting_for(&mut self, site: SiteId) -> Result<bool, StoreError> {
        if self.unreported_sites()? == 0 {
            return Ok(false);
        }
        if self.sql.execute("DELETE FROM healing_site WHERE site = ?1", &[site.0.into()])? == 0 {
            return Ok(false);
        }
        self.state.unreported_sites = None;
        self.end_healing_if_over()?;
        self.wake_transfers_to(site)?;
        Ok(true)
    }

    /// An operator goes on without the sites that have not reported; how many they are.
    ///
    /// # Errors
    /// Refused with `not_healing`.
    pub fn end_healing(&mut self) -> Result<u64, StoreError> {
        self.job(|batch| {
            if !batch.is_healing()? {
                return Err(StoreError::refused("not_healing", "central does not heal: there is nothing to end"));
            }
            let waived = batch.sql.execute("UPDATE healing_site SET is_waived = 1 WHERE is_waived = 0", &[])?;
            let now = unsigned(batch.now_ms);
            batch
                .sql
                .execute("UPDATE healing SET ended_ms = ?1, is_ended_by_operator = 1 WHERE ended_ms IS NULL", &[now])?;
            batch.follow_moves_after_healing()?;
            Ok(waived)
        })
    }

    /// Refuses what has to wait until central knows again what it had decided.
    ///
    /// # Errors
    /// Refused with `central_heals`.
    pub(super) fn refuse_while_healing(&mut self, what: &str) -> Result<(), StoreError> {
        if !self.is_healing()? {
            return Ok(());
        }
        let sql = "SELECT count(*) FROM healing_site WHERE is_waived = 0";
        let waiting = self.sql.query_one(sql, &[], |row| row.unsigned(0))?.unwrap_or(0);
        let text = format!(
            "{what}: central was set back to an older backup and may have forgotten what it had decided; {} not reported since; \
             `status` says which, and `healing end` goes on without them",
            count(waiting, "site has", "sites have")
        );
        Err(StoreError::refused("central_heals", &text))
    }

    fn end_healing_if_over(&mut self) -> Result<(), StoreError> {
        let now = unsigned(self.now_ms);
        let ended = self.sql.execute(
            "UPDATE healing SET ended_ms = ?1
             WHERE ended_ms IS NULL AND NOT EXISTS (SELECT 1 FROM healing_site WHERE is_waived = 0)",
            &[now],
        )?;
        if ended == 0 {
            return Ok(());
        }
        let entry = AuditEntry::new(SYSTEM, "healing-ends");
        self.note(entry, json!({ "is_healing": true }), json!({ "is_healing": false }))?;
        self.follow_moves_after_healing()
    }

    /// Whether the site was found ahead and is not healed yet.
    pub(super) fn is_ahead(&mut self, site: SiteId) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM site_ahead WHERE site = ?1 AND healed_ms IS NULL";
        Ok(self.sql.query_integer(sql, &[site.0.into()])?.is_some())
    }

    /// Whether a report of the site is waited for.
    pub(super) fn is_awaited(&mut self, site: SiteId) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM healing_site WHERE site = ?1 AND is_waived = 0";
        Ok(self.sql.query_integer(sql, &[site.0.into()])?.is_some())
    }

    /// Whether a device speaks for the site that has reported since central was last found to be set back.
    pub(super) fn has_reported(&mut self, site: SiteId) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM healing_site WHERE site = ?1";
        Ok(self.site(site)?.is_enrolled && self.sql.query_integer(sql, &[site.0.into()])?.is_none())
    }

    pub(super) fn is_healing(&mut self) -> Result<bool, StoreError> {
        Ok(self.sql.query_integer("SELECT number FROM healing WHERE ended_ms IS NULL", &[])?.is_some())
    }

    /// Kept in memory: each exchange asks.
    fn unreported_sites(&mut self) -> Result<u64, StoreError> {
        if let Some(known) = self.state.unreported_sites {
            return Ok(known);
        }
        let sql = "SELECT count(*) FROM healing_site";
        let count = self.sql.query_one(sql, &[], |row| row.unsigned(0))?.unwrap_or(0);
        self.state.unreported_sites = Some(count);
        Ok(count)
    }
}

impl Reading<'_> {
    /// The last healing, also one that is over; `None` if central was never found to be set back.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn healing(&mut self) -> Result<Option<Healing>, StoreError> {
        let ahead = self.sql.query_integer("SELECT count(*) FROM site_ahead WHERE healed_ms IS NULL", &[])?;
        let (mut unheard, mut named) = (0, Vec::new());
        self.sql.query(
            "SELECT site.id, site.name FROM healing_site JOIN site ON site.id = healing_site.site WHERE is_waived = 0
                AND site.id NOT IN (SELECT site FROM site_ahead WHERE healed_ms IS NULL) ORDER BY site.id",
            &[],
            &mut |row| {
                unheard += 1;
                if named.len() < SITES_NAMED_MAX {
                    named.push((text::site(row, 0)?, row.text(1)?.to_owned()));
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        let waived = self.sql.query_integer("SELECT count(*) FROM healing_site WHERE is_waived = 1", &[])?;
        let count = |number: Option<i64>| u64::try_from(number.unwrap_or(0)).unwrap_or(0);
        Ok(self.sql.query_one(
            "SELECT since_ms, ended_ms, is_ended_by_operator FROM healing ORDER BY number DESC LIMIT 1",
            &[],
            |row| {
                Ok(Healing {
                    since_ms: row.unsigned(0)?,
                    ended_ms: row.optional_unsigned(1)?,
                    is_ended_by_operator: row.integer(2)? != 0,
                    sites_ahead: count(ahead),
                    sites_unheard: unheard,
                    unheard: named.clone(),
                    sites_waived: count(waived),
                })
            },
        )?)
    }
}
