//! What a store is on a site.

use std::collections::BTreeSet;
use std::fmt;

use crate::visibility::is_seen_on;
use crate::world::{CENTRAL, Role, SiteId, Store, World};

/// Why a setting for a store on a site cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleError {
    /// There is no such store.
    UnknownStore(String),
    /// There is no such site.
    UnknownSite(SiteId),
    /// "A store cannot be a collector on the selected sync site unless it is visible to at least one other store which is active
    /// on the site" (seed 001, "Active/collector").
    CollectorUnseen {
        /// The store.
        store: String,
        /// The site that was to have a collector copy.
        site: SiteId,
    },
    /// Central has store F as a transfer store only, so its data "is not synced anywhere" (seed 001, "Store F"): there is no way from
    /// its active site to a collector, for all goes by way of central.
    CollectorOfUnsynced {
        /// The store.
        store: String,
        /// The site that was to have a collector copy.
        site: SiteId,
    },
    /// "Each store must be Active on a single sync site" (seed 000, "Active vs Collector"): activity is a matter of which site the
    /// store belongs to, not of a setting beside it.
    NotTheActiveSite {
        /// The store.
        store: String,
        /// The site with the setting.
        site: SiteId,
    },
    /// The same from the other end: the active site has a setting that says otherwise.
    ActiveSiteSetOtherwise {
        /// The store.
        store: String,
        /// The site with the setting.
        site: SiteId,
    },
    /// "All stores exist on the central server", "all stores exist on the primary" (seed 000, "Definitions").
    MustExist {
        /// The store.
        store: String,
        /// Central or the primary.
        site: SiteId,
    },
}

impl fmt::Display for RoleError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RoleError::UnknownStore(store) => write!(formatter, "there is no store {store}"),
            RoleError::UnknownSite(site) => write!(formatter, "there is no site {}", site.0),
            RoleError::CollectorUnseen { store, site } => {
                write!(formatter, "store {store} is a collector on site {}, where no active store sees it", site.0)
            }
            RoleError::CollectorOfUnsynced { store, site } => {
                write!(formatter, "store {store} is a collector on site {}, but central does not have its data", site.0)
            }
            RoleError::NotTheActiveSite { store, site } => {
                write!(formatter, "store {store} is set active on site {}, but belongs to another", site.0)
            }
            RoleError::ActiveSiteSetOtherwise { store, site } => {
                write!(formatter, "store {store} belongs to site {}, where it is set not to be active", site.0)
            }
            RoleError::MustExist { store, site } => {
                write!(formatter, "store {store} is set not to exist on site {}, which has every store", site.0)
            }
        }
    }
}

impl std::error::Error for RoleError {}

/// What a store is on a site, with what was set for it by hand.
///
/// A collector can be asked for (domain.md, "Words": collector), and central can be set to transfer, which is store F of seed 001.
/// Transfer and none on any other site are what visibility makes of it, whatever was set: the seeds set them "automatically"
/// (001, "None" and "Transfer"), and "all sync settings are governed by store visibility settings" (000, "Moving a store from
/// one sync site to another").
///
/// # Errors
/// When there is no such store or site, or the setting is one that cannot be.
pub fn role(world: &World, store: &str, site: SiteId) -> Result<Role, RoleError> {
    let Some(facts) = world.stores.get(store) else { return Err(RoleError::UnknownStore(store.to_owned())) };
    if !world.sites.contains_key(&site) {
        return Err(RoleError::UnknownSite(site));
    }
    let by_itself = role_by_itself(world, store, site);
    let Some(setting) = facts.settings.get(&site).copied() else { return Ok(by_itself) };
    let store = store.to_owned();
    match (by_itself, setting) {
        (Role::Active, Role::Active) => Ok(Role::Active),
        (Role::Active, Role::Collector | Role::Transfer | Role::None) => {
            Err(RoleError::ActiveSiteSetOtherwise { store, site })
        }
        (_, Role::Active) => Err(RoleError::NotTheActiveSite { store, site }),
        (_, Role::Collector) if site != CENTRAL && is_unsynced(facts) => {
            Err(RoleError::CollectorOfUnsynced { store, site })
        }
        // A mirrored primary is no exception: it is "one of the remote sites" (seed 001, "mSupply Sync Example").
        (_, Role::Collector) if site == CENTRAL || is_seen_on(world, &store, site) => Ok(Role::Collector),
        (_, Role::Collector) => Err(RoleError::CollectorUnseen { store, site }),
        // Store F: "it must also exist on the sync server as a Transfer store" (seed 001, "Store F").
        (_, Role::Transfer) if site == CENTRAL => Ok(Role::Transfer),
        (_, Role::None) if site == CENTRAL || site == world.primary() => Err(RoleError::MustExist { store, site }),
        (_, Role::Transfer | Role::None) => Ok(by_itself),
    }
}

/// Whether a store is as store F: active on a remote site, and a transfer store on central by hand.
fn is_unsynced(store: &Store) -> bool {
    store.active_site != CENTRAL && store.settings.get(&CENTRAL) == Some(&Role::Transfer)
}

/// What a store is on a site when nobody has set anything.
///
/// Active where it belongs; collector on central (seed 000, "Active vs Collector"); on any other site transfer if a store that is
/// active there sees it (seed 001, "Transfer"), else none (seed 001, "None"). A mirrored primary has every store, "as a
/// Transfer store" at the least (seed 001, "Store F"; domain.md, "Words": primary server).
pub fn role_by_itself(world: &World, store: &str, site: SiteId) -> Role {
    let Some(facts) = world.stores.get(store).filter(|_| world.sites.contains_key(&site)) else { return Role::None };
    if facts.active_site == site {
        Role::Active
    } else if site == CENTRAL {
        Role::Collector
    } else if is_seen_on(world, store, site) || site == world.primary() {
        Role::Transfer
    } else {
        Role::None
    }
}

/// What a store really is on a site: a setting that cannot be never came into force.
pub fn role_in_force(world: &World, store: &str, site: SiteId) -> Role {
    role(world, store, site).unwrap_or_else(|_| role_by_itself(world, store, site))
}

/// The sites where "the store is visible" in the sense of Central store data: where it is active, collector or transfer (seed 000,
/// "Stores": "any other sync sites where 'syncs with' is not None").
pub fn sites_having(world: &World, store: &str) -> BTreeSet<SiteId> {
    world.all_sites().into_iter().filter(|site| role_in_force(world, store, *site) != Role::None).collect()
}
