//! Who receives what.

use std::collections::BTreeSet;

use crate::merges::same_as;
use crate::procurement::purchaser;
use crate::record::{MergeKind, Record, StoreKind};
use crate::roles::sites_having;
use crate::visibility::{
    sites_holding, sites_seeing_name, sites_seeing_patient, stores_knowing_prescriber, stores_seeing_patient,
};
use crate::world::{CENTRAL, Mode, SiteId, World};

/// The sites that hold a record at rest: when nothing is queued any more, each of these has it in its data and no other has. The
/// site that may write it is among them ("the originator keeps what it wrote"), and so is central whenever the record passes
/// through it on the way from one site to another, for central is "a real-time backup" (seed 000, "Definitions").
///
/// A record of a store, patient or prescriber that does not exist is held by nobody.
pub fn receives(world: &World, record: &Record) -> BTreeSet<SiteId> {
    let hub = || BTreeSet::from([CENTRAL, world.primary()]);
    match record {
        // Row "Central": every site; row "Local" for the preferences that travel.
        Record::Central | Record::CentralOfServer | Record::TravellingPreference => world.all_sites(),
        // Row "Central, dispensary": "every site with at least one active dispensary store; gained and lost with it"; and the
        // primary, which writes it, by way of central.
        Record::CentralDispensary => {
            let dispenses = |site: &SiteId| world.has_active_dispensary(*site);
            hub().into_iter().chain(world.all_sites().into_iter().filter(dispenses)).collect()
        }
        // Row "Central store": "the sites where the store is visible". It is the same for visibility of patients, whoever made
        // it: the row is then existing visibility, which is Central store data (seed 000, "Data types").
        Record::StoreRecord { store }
        | Record::NameVisibility { store, .. }
        | Record::ItemVisibility { store }
        | Record::PatientVisibility { store, .. }
        | Record::PrescriberVisibility { store, .. } => sites_having(world, store),
        // Row "Name": "the sites where the name is visible"; and the primary, which writes it, by way of central.
        Record::NameJoin { name } => hub().into_iter().chain(sites_seeing_name(world, name)).collect(),
        Record::StoreData { store, kind, transfer_with } => store_data(world, store, kind, transfer_with.as_deref()),
        Record::Purchase { store, purchase, transfer_with } => {
            let mut sites = shared_store_data(world, store, transfer_with.as_deref());
            // "The order goes to the primary and to the ordering store's site" (domain.md, "Transfers").
            sites.extend(
                purchaser(world, store, purchase).into_iter().flat_map(|owner| through_central(world, store, owner)),
            );
            sites
        }
        Record::PatientData { patient } | Record::Repeat { patient } => patient_data(world, patient),
        Record::PrescriberData { prescriber } => prescriber_data(world, prescriber),
        Record::Prescription { store, patient, .. } => prescription(world, store, patient),
        Record::HomeStoreChange { of } => {
            let sites = patient_data(world, of);
            if sites.is_empty() { prescriber_data(world, of) } else { sites }
        }
        // Row "Message": "by sending and receiving store; blank sender = central, blank receiver = central only". Where they are
        // active: a collector is a copy of Store data, and one site has to process the message. Central routes it.
        Record::Message { from, to } | Record::MessageStatus { from, to } => {
            let site = |store: &String| world.stores.get(store).map(|store| store.active_site);
            [CENTRAL].into_iter().chain(from.iter().chain(to).filter_map(site)).collect()
        }
        Record::Merge { kind, from, into } => match kind {
            // "Applied by every copy" (domain.md, "Merging"): of a record that every site has ...
            MergeKind::Items | MergeKind::Units | MergeKind::Names => world.all_sites(),
            // ... of one that some have, before or after the merge ...
            MergeKind::Patients => patient_data(world, from).into_iter().chain(patient_data(world, into)).collect(),
            MergeKind::Prescribers => {
                prescriber_data(world, from).into_iter().chain(prescriber_data(world, into)).collect()
            }
            // ... and of one that is Store data.
            MergeKind::Locations { store } => shared_store_data(world, store, None),
        },
        // Row "Sync": "nowhere directly".
        Record::Sync => BTreeSet::from([CENTRAL]),
        // Seed 000, row "New users": "New user records sent to central server".
        Record::NewUser { made_on } => BTreeSet::from([CENTRAL, *made_on]),
        // Row "Local": "nowhere, ever".
        Record::Local { on } => BTreeSet::from([*on]),
    }
}

/// What central sends the active site of a store that is saved with "Resync patient records when the store is saved" (domain.md,
/// "Special cases"; seed 001, "Store setup"), beside all Central dispensary data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resync {
    /// The site to which it goes.
    pub site: SiteId,
    /// The patients, each with its medication records.
    pub patients: BTreeSet<String>,
    /// The prescribers.
    pub prescribers: BTreeSet<String>,
}

/// See [`Resync`]; nothing if there is no such store.
pub fn resync(world: &World, store: &str) -> Option<Resync> {
    let site = world.stores.get(store)?.active_site;
    let patients = world.patients.keys().filter(|patient| stores_seeing_patient(world, patient).contains(store));
    let prescribers = world.prescribers.keys().filter(|one| stores_knowing_prescriber(world, one).contains(store));
    Some(Resync { site, patients: patients.cloned().collect(), prescribers: prescribers.cloned().collect() })
}

/// Whether "Include transactions in sync" keeps this kind of a store's data on its site (domain.md, "Special cases": "that store's
/// transactions (with backorders and builds), prescriptions, stock lines and stocktakes"). Prescriptions have their own
/// place below.
fn is_withheld(world: &World, store: &str, kind: &StoreKind) -> bool {
    match kind {
        StoreKind::Transaction | StoreKind::StockLine | StoreKind::Stocktake => withholds(world, store),
        StoreKind::GoodsReceived { .. } | StoreKind::Other => false,
    }
}

/// "Only affects dispensary stores, as transactions are always synced otherwise" (seed 001, "Store setup").
fn withholds(world: &World, store: &str) -> bool {
    world.stores.get(store).is_some_and(|store| store.mode == Mode::Dispensary && !store.includes_transactions)
}

/// Row "Store": "every site with a collector copy, so central; the parts that concern a transfer also go to the other party's
/// site".
fn store_data(world: &World, store: &str, kind: &StoreKind, transfer_with: Option<&str>) -> BTreeSet<SiteId> {
    let Some(facts) = world.stores.get(store) else { return BTreeSet::new() };
    // "The halves of transfers, their lines and log entries always do" sync (domain.md, "Special cases").
    if is_withheld(world, store, kind) && transfer_with.is_none() {
        return BTreeSet::from([facts.active_site]);
    }
    let mut sites = shared_store_data(world, store, transfer_with);
    // "Each later change of a goods-received line updates the order's received quantities, on the primary" (domain.md,
    // "Transfers"): whoever writes the order has to see what was received.
    if let StoreKind::GoodsReceived { order: Some(order) } = kind {
        sites.extend(purchaser(world, store, order).into_iter().flat_map(|owner| through_central(world, store, owner)));
    }
    sites
}

/// The sites of store data that nothing withholds.
fn shared_store_data(world: &World, store: &str, transfer_with: Option<&str>) -> BTreeSet<SiteId> {
    if !world.stores.contains_key(store) {
        return BTreeSet::new();
    }
    let mut sites = sites_holding(world, &BTreeSet::from([store.to_owned()]));
    if let Some(other) = transfer_with.and_then(|other| world.stores.get(other)) {
        sites.extend(through_central(world, store, other.active_site));
    }
    sites
}

/// A site that has a part in a record of a store, and central if the record has to pass through it: also for store F, of which
/// central has nothing else ("central sees the initiating half ... and routes both halves to both sites", domain.md,
/// "Transfers").
fn through_central(world: &World, store: &str, site: SiteId) -> BTreeSet<SiteId> {
    if world.stores.get(store).is_some_and(|store| store.active_site == site) {
        BTreeSet::from([site])
    } else {
        BTreeSet::from([CENTRAL, site])
    }
}

/// Row "Patient": "central and the primary always; every site with an active or collector (not transfer) store in which the patient
/// is visible".
fn patient_data(world: &World, patient: &str) -> BTreeSet<SiteId> {
    if !world.patients.contains_key(patient) {
        return BTreeSet::new();
    }
    [CENTRAL, world.primary()].into_iter().chain(sites_seeing_patient(world, patient)).collect()
}

/// As a patient's, and the sites of the dispensaries where it has prescribed (domain.md, "Special cases").
fn prescriber_data(world: &World, prescriber: &str) -> BTreeSet<SiteId> {
    if !same_as(world, prescriber).iter().any(|one| world.prescribers.contains_key(one)) {
        return BTreeSet::new();
    }
    let stores = stores_knowing_prescriber(world, prescriber);
    [CENTRAL, world.primary()].into_iter().chain(sites_holding(world, &stores)).collect()
}

/// "They go to that store's collectors, and to every site where the patient is visible only when the preference says so"
/// (domain.md, "Prescriptions"). What is withheld "stays on the site" (domain.md, "Include transactions in sync"), whatever that
/// preference says.
fn prescription(world: &World, store: &str, patient: &str) -> BTreeSet<SiteId> {
    let Some(facts) = world.stores.get(store) else { return BTreeSet::new() };
    if withholds(world, store) {
        return BTreeSet::from([facts.active_site]);
    }
    let mut sites = shared_store_data(world, store, None);
    if world.has_prescriptions_everywhere {
        for site in sites_seeing_patient(world, patient) {
            sites.extend(through_central(world, store, site));
        }
    }
    sites
}
