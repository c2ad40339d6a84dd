//! Worlds that cannot be.

use crate::roles::role;
use crate::world::{CENTRAL, SiteKind, World};

/// What is wrong with a world, as sentences; the rules promise nothing about one in which something is. A test that makes worlds at
/// random asks here which of them central would have let come about.
pub fn problems(world: &World) -> Vec<String> {
    let mut problems = Vec::new();
    if !world.sites.contains_key(&CENTRAL) {
        problems.push("there is no central server".to_owned());
    }
    // "In a mirrored synchronisation system, the primary server becomes a remote site" (seed 000, "Mirrored sync").
    if world.mirrored_primary.is_some_and(|site| site == CENTRAL || !world.sites.contains_key(&site)) {
        problems.push("the mirrored primary is no remote site".to_owned());
    }
    for (site, kind) in &world.sites {
        let active = world.active_stores(*site).len();
        // "A mobile site can only have one Active store" (seed 000, "Moving a store from one sync site to another").
        if *kind == SiteKind::Mobile && active > 1 {
            problems.push(format!("mobile site {} has {active} active stores", site.0));
        }
    }
    for (id, store) in &world.stores {
        if !world.sites.contains_key(&store.active_site) {
            problems.push(format!("store {id} is active on site {}, which does not exist", store.active_site.0));
        }
        let twin = world.stores.iter().any(|(other, twin)| other != id && twin.name == store.name);
        if twin {
            problems.push(format!("store {id} shares its name with another store"));
        }
        if world.patients.contains_key(&store.name) {
            problems.push(format!("store {id} has the name of a patient"));
        }
        for site in world.sites.keys().chain(store.settings.keys()) {
            if let Err(error) = role(world, id, *site) {
                problems.push(error.to_string());
            }
        }
    }
    for merge in &world.merges {
        // "Names that are stores are not merged" (domain.md, "Merging").
        if world.store_of_name(&merge.from).is_some() || world.store_of_name(&merge.into).is_some() {
            problems.push(format!("{} and {} are merged, and one is a store's name", merge.from, merge.into));
        }
    }
    problems.sort();
    problems.dedup();
    problems
}
