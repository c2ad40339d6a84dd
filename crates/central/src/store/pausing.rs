//! Sites that do not sync because central's people say so: disabled until they are enabled, or paused for some minutes (`domain.md`,
//! "Sites": sync can be disabled or paused).
//!
//! The device is refused before anything of its request counts: nothing is received, judged or told, no token given, no cursor moved.
//! What it records stays in its journal, and goes once central takes it again. An exchange that was begun before goes on to its end.
//!
//! | `site_pause` | |
//! | --- | --- |
//! | row | the site is disabled, or paused; none: nothing holds it up |
//! | `until_ms` | until when it is paused; empty where it is disabled |

use protocol::ids::SiteId;
use protocol::message::{Refusal, SITE_DISABLED, SITE_PAUSED};
use sql::{Row, SqlError};

use super::batch::Batch;
use super::error::StoreError;
use super::unsigned;
use crate::clock::date_text;
use crate::wording::count;

/// Longest pause, in minutes: four weeks. A site that is to rest for longer is disabled, and somebody enables it again.
pub const PAUSE_MINUTES_MAX: u32 = 28 * 24 * 60;
/// Longest time after which the device of a paused site is asked to come again, in seconds: it hears within a quarter of an hour that the
/// pause was ended early.
pub const PAUSE_RETRY_S_MAX: u32 = 15 * 60;

const _: () = assert!(PAUSE_RETRY_S_MAX <= protocol::limits::RETRY_AFTER_S_MAX, "devices wait no longer");

const MINUTE_MS: u64 = 60_000;

/// Why a site does not sync although nothing is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Until somebody enables it.
    Disabled {
        /// Since when, in milliseconds since 1970.
        since_ms: u64,
    },
    /// For a while.
    Paused {
        /// Until when, in milliseconds since 1970.
        until_ms: u64,
    },
}

impl Pause {
    /// Reads `since_ms` and `until_ms` from two columns that follow each other; `None` where they are empty.
    pub(super) fn read(row: &dyn Row, column: usize) -> Result<Option<Self>, SqlError> {
        Ok(match (row.optional_unsigned(column)?, row.optional_unsigned(column + 1)?) {
            (None, _) => None,
            (Some(since_ms), None) => Some(Self::Disabled { since_ms }),
            (Some(_), Some(until_ms)) => Some(Self::Paused { until_ms }),
        })
    }

    /// When it ends by itself, in milliseconds since 1970.
    pub fn until_ms(self) -> Option<u64> {
        match self {
            Self::Disabled { .. } => None,
            Self::Paused { until_ms } => Some(until_ms),
        }
    }

    /// Whether it holds the site up at a time.
    pub fn is_in_force(self, now_ms: u64) -> bool {
        match self {
            Self::Disabled { .. } => true,
            Self::Paused { until_ms } => now_ms < until_ms,
        }
    }

    /// What the site's device is told; `None` once the pause is over.
    pub fn refusal(self, site: SiteId, now_ms: u64) -> Option<Refusal> {
        if !self.is_in_force(now_ms) {
            return None;
        }
        Some(match self {
            Self::Disabled { since_ms } => {
                let what = format!(
                    "central's people have disabled sync of site {site} at {}: what is recorded goes once they enable it again",
                    date_text(since_ms)
                );
                Refusal::new(SITE_DISABLED, &what)
            }
            Self::Paused { until_ms } => {
                let what =
                    format!("central has paused site {site} until {}: what is recorded goes then", date_text(until_ms));
                let left_s = u32::try_from(until_ms.saturating_sub(now_ms).div_ceil(1000)).unwrap_or(u32::MAX);
                Refusal { retry_after_s: Some(left_s.min(PAUSE_RETRY_S_MAX)), ..Refusal::new(SITE_PAUSED, &what) }
            }
        })
    }
}

impl Batch<'_> {
    /// The device of a site is not taken until somebody enables the site. A pause counts no more. Whether that is new.
    ///
    /// # Errors
    /// Refused with `unknown_site`, `site_deleted`, `site_is_central`.
    pub fn disable_site(&mut self, site: SiteId) -> Result<bool, StoreError> {
        self.job(|batch| {
            if let Some(Pause::Disabled { .. }) = batch.pause_of(site)? {
                return Ok(false);
            }
            batch.set_pause(site, Some(Pause::Disabled { since_ms: batch.now_ms }))?;
            Ok(true)
        })
    }

    /// Takes the device of a disabled site again. Whether it was disabled.
    ///
    /// # Errors
    /// As [`Batch::disable_site`].
    pub fn enable_site(&mut self, site: SiteId) -> Result<bool, StoreError> {
        self.job(|batch| {
            let is_disabled = matches!(batch.pause_of(site)?, Some(Pause::Disabled { .. }));
            if is_disabled {
                batch.set_pause(site, None)?;
            }
            Ok(is_disabled)
        })
    }

    /// The device of a site is not taken for some minutes from now, whatever was left of an earlier pause. Until when, in
    /// milliseconds since 1970.
    ///
    /// # Errors
    /// As [`Batch::disable_site`]; refused with `pause_minutes`, or `site_disabled`.
    pub fn pause_site(&mut self, site: SiteId, minutes: u32) -> Result<u64, StoreError> {
        self.job(|batch| {
            if let Some(pause @ Pause::Disabled { .. }) = batch.pause_of(site)?
                && let Some(refusal) = pause.refusal(site, batch.now_ms)
            {
                return Err(StoreError::Refused(refusal));
            }
            if !(1..=PAUSE_MINUTES_MAX).contains(&minutes) {
                let what = format!(
                    "a pause of {} cannot be: it takes 1 to {PAUSE_MINUTES_MAX}; disable a site that is to rest for longer",
                    count(minutes.into(), "minute", "minutes")
                );
                return Err(StoreError::refused("pause_minutes", &what));
            }
            let until_ms = batch.now_ms + u64::from(minutes) * MINUTE_MS;
            batch.set_pause(site, Some(Pause::Paused { until_ms }))?;
            Ok(until_ms)
        })
    }

    /// Ends a pause before its time. Whether there was one.
    ///
    /// # Errors
    /// As [`Batch::disable_site`].
    pub fn unpause_site(&mut self, site: SiteId) -> Result<bool, StoreError> {
        self.job(|batch| {
            let pause = batch.pause_of(site)?;
            let is_paused = matches!(pause, Some(pause @ Pause::Paused { .. }) if pause.is_in_force(batch.now_ms));
            if is_paused {
                batch.set_pause(site, None)?;
            }
            Ok(is_paused)
        })
    }

    /// Refuses the device of a site that was deleted, is disabled or paused.
    ///
    /// # Errors
    /// Refused with `unknown_site`, `site_deleted`, `site_disabled`, `site_paused`.
    pub(super) fn refuse_barred(&mut self, site: SiteId) -> Result<(), StoreError> {
        let now_ms = self.now_ms;
        let pause = self.live_site(site)?.pause;
        match pause.and_then(|pause| pause.refusal(site, now_ms)) {
            Some(refusal) => Err(StoreError::Refused(refusal)),
            None => Ok(()),
        }
    }

    fn pause_of(&mut self, site: SiteId) -> Result<Option<Pause>, StoreError> {
        if site == SiteId::CENTRAL {
            let what = "central syncs with nobody: it is the sites that can be disabled and paused";
            return Err(StoreError::refused("site_is_central", what));
        }
        Ok(self.live_site(site)?.pause)
    }

    pub(super) fn set_pause(&mut self, site: SiteId, pause: Option<Pause>) -> Result<(), StoreError> {
        self.site(site)?.pause = pause;
        let Some(pause) = pause else {
            self.sql.execute("DELETE FROM site_pause WHERE site = ?1", &[site.0.into()])?;
            return Ok(());
        };
        let (since_ms, until_ms) = match pause {
            Pause::Disabled { since_ms } => (since_ms, sql::Param::Null),
            Pause::Paused { until_ms } => (self.now_ms, unsigned(until_ms)),
        };
        self.sql.execute(
            "INSERT INTO site_pause (site, since_ms, until_ms) VALUES (?1, ?2, ?3)
             ON CONFLICT (site) DO UPDATE SET since_ms = excluded.since_ms, until_ms = excluded.until_ms",
            &[site.0.into(), unsigned(since_ms), until_ms],
        )?;
        Ok(())
    }
}
