//! Whether something waits for a site, and whom a commit may have given something (`protocol::news`). Only reads.

use std::collections::BTreeSet;

use domain::scope::Scope;
use protocol::exchange::Standing;
use protocol::ids::{Position, SiteId};
use protocol::message::{Cursor, Refusal, RequestHead};
use sql::{Param, SqlExt};

use super::error::StoreError;
use super::reading::Reading;
use super::state;

/// Whom a commit may have given something; whoever waits and is among them looks. Too many cost a look, never too few.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Concerned {
    /// Numbers of the scopes in which rows were written.
    pub(super) scopes: BTreeSet<i64>,
    /// Sites that were told something themselves.
    pub(super) sites: BTreeSet<SiteId>,
    /// Sites that receive other scopes than before: what stands in these may be older than what they have read.
    pub(super) rescoped: BTreeSet<SiteId>,
    /// Something that no scope and no site stands for.
    pub(super) is_everyone: bool,
}

/// How a site stands to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// It got nothing.
    None,
    /// It may have got something.
    Perhaps,
    /// A session brings it something.
    Certain,
}

impl Concerned {
    /// Whether nobody is.
    pub fn is_nobody(&self) -> bool {
        *self == Self::default()
    }

    /// How a site stands that receives scopes of these numbers.
    pub fn concern(&self, site: SiteId, scopes: &[i64]) -> Concern {
        if self.rescoped.contains(&site) {
            return Concern::Certain;
        }
        let is_perhaps =
            self.is_everyone || self.sites.contains(&site) || scopes.iter().any(|scope| self.scopes.contains(scope));
        if is_perhaps { Concern::Perhaps } else { Concern::None }
    }
}

/// What was found for a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewsFound {
    /// An exchange would be refused.
    Refused(Refusal),
    /// A session would bring something.
    Something,
    /// It would not. Numbers of the scopes that it would read.
    Nothing {
        /// Those in which something was ever written.
        scopes: Vec<i64>,
    },
}

impl Reading<'_> {
    /// The same as [`Reading::find_news`] for a question that has just come: one whose token is dead is refused, so that a late copy of a
    /// question takes the place of none.
    ///
    /// # Errors
    /// Those of reading.
    pub fn find_news_for_new(
        &mut self,
        head: &RequestHead,
        through: &Cursor,
        standing: Standing,
        now_ms: u64,
    ) -> Result<NewsFound, StoreError> {
        let found = self.find_news(head, through, standing, now_ms)?;
        if matches!(found, NewsFound::Refused(_)) || self.is_live_token(head.site, head.token)? {
            return Ok(found);
        }
        let what = "the token is none of the last exchange: the device's own next one tells whether it was copied";
        Ok(NewsFound::Refused(Refusal::new("challenge", what)))
    }

    /// Whether a session would bring the site something that it does not have by what it shows: a control row, a row in one of its lanes,
    /// or what it has come to see.
    ///
    /// # Errors
    /// Those of reading.
    pub fn find_news(
        &mut self,
        head: &RequestHead,
        through: &Cursor,
        standing: Standing,
        now_ms: u64,
    ) -> Result<NewsFound, StoreError> {
        if let Some(refusal) = self.check_device(head, standing, now_ms)?.refusal {
            return Ok(NewsFound::Refused(refusal));
        }
        let site = head.site;
        let position = state::position(self.sql)?;
        if !state::contains(self.sql, through, position)? {
            return Ok(NewsFound::Something);
        }
        let control = "SELECT 1 FROM control WHERE site = ?1 AND number > ?2 LIMIT 1";
        let key = [site.0.into(), Param::unsigned(head.control.0)?];
        if self.sql.query_integer(control, &key)?.is_some() || self.has_backfill_rows(site)? {
            return Ok(NewsFound::Something);
        }
        let journal = self.journal_number(site, head.journal)?.unwrap_or(0);
        let from = Cursor { began: Position(0), ..*through };
        let scopes = self.lanes_of_site(site)?;
        for scope in &scopes {
            if self.has_row_above(site, *scope, journal, &from)? {
                return Ok(NewsFound::Something);
            }
        }
        Ok(NewsFound::Nothing { scopes })
    }

    /// Numbers of the scopes of a site in which something was ever written.
    fn lanes_of_site(&mut self, site: SiteId) -> Result<Vec<i64>, StoreError> {
        let has_dispensary = self.has_dispensary(site)?;
        let stores: Vec<_> = self.stores_of(site)?.into_iter().map(|(store, _)| store).collect();
        let collected = self.collected_by(site)?;
        let mut numbers = Vec::new();
        for scope in Scope::of_site(stores, collected, has_dispensary, Some(site)) {
            numbers.extend(self.scope_number(&scope.to_id())?);
        }
        Ok(numbers)
    }
}

#[cfg(test)]
impl Concerned {
    /// Those who read one scope.
    pub fn of_scope(scope: i64) -> Self {
        Self { scopes: BTreeSet::from([scope]), ..Self::default() }
    }

    /// One site that receives other scopes.
    pub fn of_rescoped(site: SiteId) -> Self {
        Self { rescoped: BTreeSet::from([site]), ..Self::default() }
    }
}
