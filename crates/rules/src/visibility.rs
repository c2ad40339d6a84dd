//! Who sees whom: names in stores, stores in each other, and what that makes of a site.

use std::collections::BTreeSet;

use crate::merges::{resolve, same_as};
use crate::roles::role_in_force;
use crate::world::{Made, Role, SiteId, World};

/// Whether a name is visible in a store: a row set by hand says so, for the name or for one that was merged with it (domain.md:
/// "A merge of names widens visibility"), or the name is a store's and that store sees this one (domain.md, "Words":
/// visibility; seed 000: "if store A is visible in store B, then store B is automatically visible in store A").
pub fn is_name_visible(world: &World, name: &str, store: &str) -> bool {
    is_set_by_hand(world, name, store) || is_reverse(world, name, store)
}

/// The reverse rows that central owes to the rows set by hand, as (name, store); a row that is there by hand needs no reverse.
/// Whatever else is marked as made in reverse has to go (domain.md: central "takes it back with the direct one").
pub fn reverse_joins(world: &World) -> BTreeSet<(String, String)> {
    let mut owed = BTreeSet::new();
    for other in world.stores.values() {
        for store in world.stores.keys() {
            if is_reverse(world, &other.name, store) && !is_set_by_hand(world, &other.name, store) {
                owed.insert((other.name.clone(), store.clone()));
            }
        }
    }
    owed
}

/// Whether two stores see each other, and so may exchange transfers (seed 000, "Primary vs Central vs Mirror servers"). It is the
/// same in both directions; a store does not exchange anything with itself.
pub fn sees(world: &World, one: &str, other: &str) -> bool {
    one != other && world.stores.get(other).is_some_and(|other| is_name_visible(world, &other.name, one))
}

/// Whether a store is visible to another store that is active on the site (seed 001, "Store sync-with options": "visible to at
/// least one other store which is active on the site").
pub fn is_seen_on(world: &World, store: &str, site: SiteId) -> bool {
    world.active_stores(site).into_iter().any(|active| sees(world, active, store))
}

/// The sites on which a name is visible: in a store that is active or a collector there, and for a store's own name wherever the
/// store is active, collector or transfer (domain.md, "Words": visibility). Transfer copies make no other name visible: they
/// have "core store data" and transfers only (seed 001, "Transfer").
pub fn sites_seeing_name(world: &World, name: &str) -> BTreeSet<SiteId> {
    let mut sites = BTreeSet::new();
    for (id, store) in &world.stores {
        let is_own = resolve(world, &store.name) == resolve(world, name);
        for site in world.all_sites() {
            let role = role_in_force(world, id, site);
            let is_seen = match role {
                Role::Active | Role::Collector => is_own || is_name_visible(world, name, id),
                Role::Transfer => is_own,
                Role::None => false,
            };
            if is_seen {
                sites.insert(site);
            }
        }
    }
    sites
}

/// The home store of a patient: the one it was given, and for a patient that has none the store of its latest prescription
/// (domain.md, "Home store").
pub fn patient_home(world: &World, patient: &str) -> Option<String> {
    let patient = world.patients.get(patient)?;
    patient.home_store.clone().or_else(|| patient.latest_prescription_store.clone())
}

/// The home store of a prescriber, which follows patients (seed 000, "Other dispensary data").
pub fn prescriber_home(world: &World, prescriber: &str) -> Option<String> {
    world.prescribers.get(prescriber)?.home_store.clone()
}

/// The site where the home store is active.
pub fn home_site(world: &World, home_store: Option<&str>) -> Option<SiteId> {
    Some(world.stores.get(home_store?)?.active_site)
}

/// The stores in which a patient is visible. Its home store counts without a row, as it belongs to it, and so do those of patients that are
/// one with it.
pub fn stores_seeing_patient(world: &World, patient: &str) -> BTreeSet<String> {
    let homes: BTreeSet<String> = same_as(world, patient).iter().filter_map(|one| patient_home(world, one)).collect();
    let sees = |store: &&String| is_name_visible(world, patient, store) || homes.contains(*store);
    world.stores.keys().filter(sees).cloned().collect()
}

/// The sites "where the patient is visible": with an active or collector, not transfer, store in which it is (domain.md, row
/// "Patient"; seed 000, "Patients").
pub fn sites_seeing_patient(world: &World, patient: &str) -> BTreeSet<SiteId> {
    sites_holding(world, &stores_seeing_patient(world, patient))
}

/// The stores whose sites know a prescriber: where it is visible, its home store, and dispensaries where it has prescribed
/// (domain.md, "Special cases": "Prescribers go to the dispensary stores where they have prescribed").
pub fn stores_knowing_prescriber(world: &World, prescriber: &str) -> BTreeSet<String> {
    let mut stores = BTreeSet::new();
    for id in same_as(world, prescriber) {
        stores.extend(prescriber_home(world, &id));
        if let Some(one) = world.prescribers.get(&id) {
            stores.extend(one.visible_in.iter().cloned());
            let is_dispensary =
                |store: &&String| world.stores.get(*store).is_some_and(|store| store.mode == crate::Mode::Dispensary);
            stores.extend(one.prescribed_in.iter().filter(is_dispensary).cloned());
        }
    }
    stores
}

/// The stores of its home site in which a patient that is new there becomes visible (seed 000, "Patients": "also be made visible
/// in any other dispensary stores on the home site, depending on the store's visibility preferences").
pub fn stores_for_new_patient(world: &World, home_store: &str) -> BTreeSet<String> {
    let Some(site) = home_site(world, Some(home_store)) else { return BTreeSet::new() };
    let wants = |id: &&str| {
        let store = &world.stores[*id];
        *id == home_store || (store.mode == crate::Mode::Dispensary && store.shows_new_patients)
    };
    world.active_stores(site).into_iter().filter(wants).map(str::to_owned).collect()
}

/// The sites that hold the whole data of one of these stores: active or collector.
pub(crate) fn sites_holding(world: &World, stores: &BTreeSet<String>) -> BTreeSet<SiteId> {
    let holds = |site: &SiteId| {
        stores.iter().any(|store| matches!(role_in_force(world, store, *site), Role::Active | Role::Collector))
    };
    world.all_sites().into_iter().filter(holds).collect()
}

fn is_set_by_hand(world: &World, name: &str, store: &str) -> bool {
    let names = same_as(world, name);
    world.visibility.iter().any(|join| join.made == Made::ByHand && join.store == store && names.contains(&join.name))
}

/// Whether the name is that of a store in which this store was made visible by hand.
fn is_reverse(world: &World, name: &str, store: &str) -> bool {
    let (Some(other), Some(this)) = (world.store_of_name(name), world.stores.get(store)) else { return false };
    is_set_by_hand(world, &this.name, other)
}
