//! Worlds to ask about.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};

use rules::*;

/// Remote site 1 of seed 001, whose sync id is 2.
pub const REMOTE_1: SiteId = SiteId(2);
/// Remote site 2 of seed 001, whose sync id is 3.
pub const REMOTE_2: SiteId = SiteId(3);
/// A primary that is none of them.
pub const PRIMARY: SiteId = SiteId(4);

/// A store with the name `name-<id>` and nothing set.
pub fn store(id: &str, mode: Mode, active_site: SiteId) -> (String, Store) {
    let store = Store {
        name: name_of(id),
        mode,
        active_site,
        settings: BTreeMap::new(),
        includes_transactions: true,
        shows_new_patients: false,
    };
    (id.to_owned(), store)
}

/// The id of a store's name.
pub fn name_of(store: &str) -> String {
    format!("name-{store}")
}

/// Makes a name visible in a store by hand.
pub fn show(world: &mut World, name: &str, store: &str) {
    world.visibility.push(NameJoin { name: name.to_owned(), store: store.to_owned(), made: Made::ByHand });
}

/// The stores A to F of seed 001 on the sync server and two remote sites. A and B see each other, and B and C: that is what the
/// roles of the example ask for.
pub fn example() -> World {
    let mut world = World {
        sites: [CENTRAL, REMOTE_1, REMOTE_2].into_iter().map(|site| (site, SiteKind::Standalone)).collect(),
        stores: [
            store("A", Mode::Store, CENTRAL),
            store("B", Mode::Store, REMOTE_1),
            store("C", Mode::Store, REMOTE_2),
            store("D", Mode::Store, REMOTE_2),
            store("E", Mode::Store, CENTRAL),
            store("F", Mode::Store, REMOTE_1),
        ]
        .into(),
        ..World::default()
    };
    show(&mut world, &name_of("A"), "B");
    show(&mut world, &name_of("C"), "B");
    set(&mut world, "A", REMOTE_1, Role::Collector);
    set(&mut world, "F", CENTRAL, Role::Transfer);
    world
}

/// The example with a site of its own as the primary.
pub fn mirrored_example() -> World {
    let mut world = example();
    world.sites.insert(PRIMARY, SiteKind::Standalone);
    world.mirrored_primary = Some(PRIMARY);
    world
}

/// The example with dispensaries: P on remote site 1, with the patients Pia and Paul; Q on remote site 2; R on central.
pub fn clinic() -> World {
    let mut world = example();
    world.stores.extend([
        store("P", Mode::Dispensary, REMOTE_1),
        store("Q", Mode::Dispensary, REMOTE_2),
        store("R", Mode::Dispensary, CENTRAL),
    ]);
    for patient in ["Pia", "Paul"] {
        let facts = Patient { home_store: Some("P".to_owned()), latest_prescription_store: None };
        world.patients.insert(patient.to_owned(), facts);
        show(&mut world, patient, "P");
    }
    world
}

/// Sets a store's role on a site by hand.
pub fn set(world: &mut World, store: &str, site: SiteId, role: Role) {
    world.stores.get_mut(store).expect("the store is in the world").settings.insert(site, role);
}

/// Plain data of a store.
pub fn data(store: &str) -> Record {
    data_of(store, StoreKind::Other, None)
}

/// A transaction of a store, a half of a transfer if there is a partner.
pub fn transaction(store: &str, partner: Option<&str>) -> Record {
    data_of(store, StoreKind::Transaction, partner)
}

/// Data of a store.
pub fn data_of(store: &str, kind: StoreKind, partner: Option<&str>) -> Record {
    Record::StoreData { store: store.to_owned(), kind, transfer_with: partner.map(str::to_owned) }
}

/// A prescription that is no repeat.
pub fn prescription(store: &str, patient: &str) -> Record {
    Record::Prescription { store: store.to_owned(), patient: patient.to_owned(), is_repeat: false }
}

/// A patient's record.
pub fn patient(patient: &str) -> Record {
    Record::PatientData { patient: patient.to_owned() }
}

/// A purchase that nothing special is known about.
pub fn purchase(store: &str, kind: PurchaseKind) -> Record {
    let purchase = Purchase { kind, is_supervised: false, confirmed_before_on: None };
    Record::Purchase { store: store.to_owned(), purchase, transfer_with: None }
}

/// The sites that may write a record.
pub fn writers(world: &World, record: &Record) -> Vec<u32> {
    world.sites.keys().filter(|site| may_write(world, **site, record).is_ok()).map(|site| site.0).collect()
}

/// The sites that hold a record.
pub fn holders(world: &World, record: &Record) -> Vec<u32> {
    numbers(&receives(world, record))
}

/// Sites by their numbers.
pub fn numbers(sites: &BTreeSet<SiteId>) -> Vec<u32> {
    sites.iter().map(|site| site.0).collect()
}

/// Asserts who may write a record and who holds it.
pub fn check(world: &World, record: &Record, may_write: &[u32], receives: &[u32]) {
    assert_eq!(writers(world, record), may_write, "who may write {record:?}");
    assert_eq!(holders(world, record), receives, "who holds {record:?}");
}
