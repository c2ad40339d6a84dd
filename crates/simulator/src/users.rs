//! Which site made a user, as it was seen here: by the rules of the seeds (`crates/rules`) it alone may write it.

use std::collections::BTreeMap;

use protocol::ids::SiteId;
use rules::{Record, Rule};

use crate::model::{Change, Key, Violation, violation};
use crate::visibility::number_in;

/// The column with the site that made a user.
pub(crate) const MADE_ON: &str = "outpost_made_on";

/// Who made which user that central has.
#[derive(Debug, Clone, Default)]
pub struct Users {
    makers: BTreeMap<String, SiteId>,
}

impl Users {
    /// Whether a record is a user.
    pub(crate) fn is_user(key: &Key) -> bool {
        key.0 == "user"
    }

    /// Whether a site might write a user; `None` for a delete of what is not here, which is done.
    pub(crate) fn may_write(&self, site: SiteId, key: &Key, change: &Change) -> Option<Result<(), Rule>> {
        let maker = self.makers.get(&key.1).copied();
        if maker.is_none() && *change == Change::Delete {
            return None;
        }
        let (id, made_on) = (rules::SiteId(site.0), rules::SiteId(maker.unwrap_or(site).0));
        let mut facts = rules::World::default();
        facts.sites.extend([id, made_on].map(|site| (site, rules::SiteKind::Standalone)));
        Some(rules::may_write(&facts, id, &Record::NewUser { made_on }))
    }

    /// An edit of a user that central accepted of the site that might make it.
    pub(crate) fn accept(&mut self, site: SiteId, key: &Key, change: &Change) {
        match change {
            Change::Put(_) => drop(self.makers.insert(key.1.clone(), site)),
            Change::Patch(_) => {}
            Change::Delete => drop(self.makers.remove(&key.1)),
        }
    }

    /// That a user says as central has it who made it. `is_sure`: whether all that central accepted was seen here.
    pub(crate) fn note(&mut self, key: &Key, data: Option<&str>, is_sure: bool) -> Result<(), Violation> {
        let said = data.and_then(made_on);
        let seen = self.makers.get(&key.1).copied();
        match said {
            Some(said) if seen != Some(said) && is_sure && seen.is_some() => {
                violation("8", format!("{key:?} was made on {seen:?}, and says {said}"))
            }
            Some(said) => {
                self.makers.insert(key.1.clone(), said);
                Ok(())
            }
            None if data.is_some() => violation("8", format!("central has {key:?}, which nobody sent: {data:?}")),
            None => {
                self.makers.remove(&key.1);
                Ok(())
            }
        }
    }
}

/// Where a user says that it was made.
pub(crate) fn made_on(data: &str) -> Option<SiteId> {
    number_in(data, MADE_ON).map(SiteId)
}

/// What a site may see of a user.
pub(crate) fn record_of(data: &str) -> Option<Record> {
    made_on(data).map(|site| Record::NewUser { made_on: rules::SiteId(site.0) })
}
