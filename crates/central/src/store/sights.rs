//! By which of its stores a site sees something, told with the reason: what `visibility` and `prescribers` decide with one look.
//!
//! Each question begins with the stores of the site, of which there are few, and never with those that see a name, which may be all.

use std::ops::ControlFlow;

use domain::visibility::VisibleKey;
use protocol::ids::{RecordId, SiteId};
use sql::{Param, SqlExt};

use super::aliases::Aliases;
use super::error::StoreError;
use super::mirror::EVERYTHING;
use super::reading::Reading;
use super::text;

/// Reasons that are named of those for which one site sees something; that there are more is said.
pub const SIGHTS_NAMED_MAX: usize = 5;

/// Why a site sees something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// It is given everything.
    Primary,
    /// It made the record.
    Maker,
    /// By a store.
    Store {
        /// The store: active at the site, or a collector there.
        store: RecordId,
        /// Whether it is a collector there.
        is_collector: bool,
        /// What it has to do with what is seen.
        reason: SightReason,
        /// Of what: the name or prescriber that is asked for, one that was merged with it, or a store's own name.
        through: RecordId,
    },
}

/// What a store has to do with what is seen by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SightReason {
    /// It is that store.
    Itself,
    /// It is the home store of the patient or prescriber.
    HomeStore,
    /// The name is its own.
    OwnName,
    /// A record makes the name, or the prescriber, visible in it.
    Visibility,
    /// It is a dispensary in which the prescriber has prescribed.
    Prescribed,
}

impl SightReason {
    const ALL: [Self; 5] = [Self::Itself, Self::HomeStore, Self::OwnName, Self::Visibility, Self::Prescribed];

    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Itself => "itself",
            Self::HomeStore => "home_store",
            Self::OwnName => "own_name",
            Self::Visibility => "visibility",
            Self::Prescribed => "prescribed",
        }
    }

    /// As the queries below write it.
    fn number(self) -> i64 {
        match self {
            Self::Itself => 0,
            Self::HomeStore => 1,
            Self::OwnName => 2,
            Self::Visibility => 3,
            Self::Prescribed => 4,
        }
    }
}

/// Stores that are active at a site or a collector there, and which of the two. ?1 site.
const PRESENT: &str = "(SELECT store, 0 AS is_collector FROM store_site WHERE site = ?1
    UNION ALL SELECT store, 1 AS is_collector FROM store_role WHERE site = ?1 AND is_in_force = 1) present";

/// By which stores a site sees a name. ?1 site, ?2 name.
fn of_name() -> String {
    let (same, same_keys) = (Aliases::Names.same(), Aliases::Names.same_keys());
    format!(
        "{} UNION SELECT present.store, present.is_collector, 3, visibility.name FROM {PRESENT} CROSS JOIN visibility
            WHERE visibility.store = present.store AND visibility.name IN {same}
         UNION SELECT present.store, present.is_collector, 2, store_name.name FROM {PRESENT} CROSS JOIN store_name
            WHERE store_name.store = present.store AND store_name.name = ?2",
        at_home(&same_keys)
    )
}

/// By which stores a site knows a prescriber. ?1 site, ?2 prescriber.
fn of_prescriber() -> String {
    let (same, same_keys) = (Aliases::Prescribers.same(), Aliases::Prescribers.same_keys());
    format!(
        "{} UNION SELECT present.store, present.is_collector, 3, known.prescriber FROM {PRESENT}
            CROSS JOIN prescriber_visibility known WHERE known.store = present.store AND known.prescriber IN {same}
         UNION SELECT present.store, present.is_collector, 4, prescribed.prescriber FROM {PRESENT}
            CROSS JOIN prescribed JOIN dispensary ON dispensary.store = prescribed.store
            WHERE prescribed.store = present.store AND prescribed.prescriber IN {same}",
        at_home(&same_keys)
    )
}

fn at_home(same_keys: &str) -> String {
    format!(
        "SELECT present.store, present.is_collector, 1, substr(home_store.visible_key, 2) FROM {PRESENT} CROSS JOIN home_store
            WHERE home_store.store = present.store AND home_store.visible_key IN {same_keys}"
    )
}

/// By which stores that are active there a site sees a store. ?1 site, ?2 store.
const OF_STORE: &str = "SELECT store, 0, 0, store FROM store_site WHERE store = ?2 AND site = ?1
    UNION SELECT store_site.store, 0, 3, store_name.name FROM store_name CROSS JOIN store_site CROSS JOIN visibility
        WHERE store_name.store = ?2 AND store_site.site = ?1
            AND visibility.store = store_site.store AND visibility.name = store_name.name";

/// A store as a site has it. ?1 site, ?2 store.
const ITSELF: &str = "SELECT store, 0, 0, store FROM store_site WHERE store = ?2 AND site = ?1
    UNION SELECT store, 1, 0, store FROM store_role WHERE store = ?2 AND site = ?1 AND is_in_force = 1";

impl Reading<'_> {
    /// Why a site sees a key, at most [`SIGHTS_NAMED_MAX`] reasons; and whether there are more.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub(super) fn sights(&mut self, site: SiteId, key: &VisibleKey) -> Result<(Vec<Sight>, bool), StoreError> {
        let mut sights = Vec::new();
        // Prescriptions and users are not part of what a primary is given.
        if !matches!(key, VisibleKey::Prescriptions(_) | VisibleKey::MadeOn(_)) {
            let sql = "SELECT 1 FROM site_sees WHERE site = ?1 AND visible_key = ?2";
            let is_primary = self.sql.query_integer(sql, &[site.0.into(), EVERYTHING.into()])?.is_some();
            sights.extend(is_primary.then_some(Sight::Primary));
        }
        match key {
            VisibleKey::Orders => {}
            VisibleKey::MadeOn(maker) => sights.extend((site == *maker).then_some(Sight::Maker)),
            VisibleKey::Name(name) | VisibleKey::Prescriptions(name) => {
                self.add_sights(&of_name(), site, name, &mut sights)?;
            }
            VisibleKey::Prescriber(prescriber) => self.add_sights(&of_prescriber(), site, prescriber, &mut sights)?,
            VisibleKey::Store(store) => self.add_sights(OF_STORE, site, store, &mut sights)?,
        }
        Ok(first_of(sights))
    }

    /// What a site that receives a store's data has of it: the store, or a collector copy.
    pub(super) fn sights_of_data(&mut self, site: SiteId, store: &RecordId) -> Result<Vec<Sight>, StoreError> {
        let mut sights = Vec::new();
        self.add_sights(ITSELF, site, store, &mut sights)?;
        Ok(first_of(sights).0)
    }

    fn add_sights(
        &mut self,
        select: &str,
        site: SiteId,
        of: &RecordId,
        sights: &mut Vec<Sight>,
    ) -> Result<(), StoreError> {
        let sql = format!("{select} ORDER BY 3, 1, 4 LIMIT {}", SIGHTS_NAMED_MAX + 1);
        let params: [Param<'_>; 2] = [site.0.into(), of.as_str().into()];
        self.sql.query(&sql, &params, &mut |row| {
            let number = row.integer(2)?;
            let reason = SightReason::ALL.into_iter().find(|reason| reason.number() == number);
            sights.push(Sight::Store {
                store: text::record_id(row, 0)?,
                is_collector: row.integer(1)? != 0,
                reason: reason.ok_or_else(|| text::damaged(2, "reason"))?,
                through: text::record_id(row, 3)?,
            });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(())
    }
}

fn first_of(mut sights: Vec<Sight>) -> (Vec<Sight>, bool) {
    let has_more = sights.len() > SIGHTS_NAMED_MAX;
    sights.truncate(SIGHTS_NAMED_MAX);
    (sights, has_more)
}
