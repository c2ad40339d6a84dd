//! Who may write what.

use crate::procurement::purchaser;
use crate::record::{MergeKind, Record};
use crate::refusal::Rule;
use crate::visibility::{home_site, patient_home, prescriber_home, sites_seeing_patient, stores_for_new_patient};
use crate::world::{CENTRAL, Mode, SiteId, Store, World};

/// Whether a site may write (add, edit or delete) a record with these keys (domain.md, "Data types", column "May be written on").
///
/// For an edit see [`may_change`]; for the other half of a transfer, which central makes in a store of another site, see
/// [`may_make_half`](crate::may_make_half).
///
/// # Errors
/// The rule that forbids it. When several do, the one that is named is not a promise.
pub fn may_write(world: &World, site: SiteId, record: &Record) -> Result<(), Rule> {
    if !world.sites.contains_key(&site) {
        return Err(Rule::UnknownSite(site));
    }
    match record {
        // Rows "Central", "Central, dispensary" and "Name"; seed 000: "can only be edited or imported on the primary server".
        // Row "Local": "Except that the preferences for centralised procurement, prescriptions and repeats travel"; seed 000,
        // "Centralised procurement": "When this preference is changed on the primary, the change will propagate".
        Record::Central | Record::CentralDispensary | Record::NameJoin { .. } | Record::TravellingPreference => {
            primary(world, site)
        }
        // Row "Central": "in mirrored mode dashboard reports, authorisers and authorisation stay with central". Row "Sync":
        // central.
        Record::CentralOfServer | Record::Sync => central(site),
        // Row "Central store": "store record, store preferences, store tags, name visibility: central". That 000's table gives
        // name visibility to the primary is older than 000's text of 7.13.
        Record::StoreRecord { store } | Record::NameVisibility { store, .. } => {
            known_store(world, store)?;
            central(site)
        }
        // Row "Central store": "Item visibility and visibility of existing patients and prescribers: the primary".
        Record::ItemVisibility { store } => {
            known_store(world, store)?;
            primary(world, site)
        }
        Record::PatientVisibility { patient, store, is_new } => {
            known_patient(world, patient)?;
            known_store(world, store)?;
            if *is_new {
                newcomer(world, site, patient, patient_home(world, patient), store)
            } else {
                primary(world, site)
            }
        }
        Record::PrescriberVisibility { prescriber, store, is_new } => {
            known_prescriber(world, prescriber)?;
            known_store(world, store)?;
            if *is_new {
                newcomer(world, site, prescriber, prescriber_home(world, prescriber), store)
            } else {
                primary(world, site)
            }
        }
        // Row "Store": "the site where the store is active". A transfer changes nothing in that: "later changes of either half
        // on its own site follow the normal rules" (domain.md, "Transfers").
        Record::StoreData { store, .. } => active(world, site, store),
        Record::Purchase { store, purchase, .. } => match purchaser(world, store, purchase)? {
            owner if owner == site => Ok(()),
            owner => Err(Rule::PurchaseOfOtherSite(owner)),
        },
        // Row "Patient": "the site where the home store is active and which has an active dispensary store".
        Record::PatientData { patient } => {
            known_patient(world, patient)?;
            home(world, site, patient, patient_home(world, patient))
        }
        Record::PrescriberData { prescriber } => {
            known_prescriber(world, prescriber)?;
            home(world, site, prescriber, prescriber_home(world, prescriber))
        }
        Record::Repeat { patient } => repeat(world, site, patient),
        Record::Prescription { store, patient, is_repeat } => prescription(world, site, store, patient, *is_repeat),
        // "Home store ... changes by an explicit transfer, granted by central" (domain.md, "Special cases").
        Record::HomeStoreChange { of } => {
            known_patient(world, of).or_else(|_| known_prescriber(world, of))?;
            central(site)
        }
        Record::Message { from, to } => {
            to.iter().try_for_each(|to| known_store(world, to).map(drop))?;
            // "Created on any site ... blank sender = central" (row "Message"): a site speaks for its own stores.
            if site_of_party(world, from.as_deref())? == site { Ok(()) } else { Err(Rule::NotTheSender) }
        }
        Record::MessageStatus { from, to } => {
            from.iter().try_for_each(|from| known_store(world, from).map(drop))?;
            // "Only its status goes from new to processed, by the receiving site" (row "Message").
            if site_of_party(world, to.as_deref())? == site { Ok(()) } else { Err(Rule::NotTheReceiver) }
        }
        Record::Merge { kind, from, into } => merge(world, site, kind, from, into),
        // Seed 000, row "New users"; domain.md: "New visibility ..., and new users, are made on a site and sent to central".
        Record::NewUser { made_on: on } | Record::Local { on } => {
            if *on == site {
                Ok(())
            } else {
                Err(Rule::OnThatSiteOnly(*on))
            }
        }
    }
}

/// Whether a site may replace a stored record by another: both are asked about, and "the ownership keys of a record change only by
/// a move" (architecture, 5.13).
///
/// # Errors
/// The rule that forbids it.
pub fn may_change(world: &World, site: SiteId, stored: &Record, incoming: &Record) -> Result<(), Rule> {
    if matches!(stored, Record::Message { .. }) {
        return Err(Rule::MessageIsNotEdited);
    }
    // A visibility row is new only once; after that it is existing (seed 000, rows "Visibility of existing ...").
    let stored = &without_novelty(stored);
    let incoming = &without_novelty(incoming);
    may_write(world, site, stored)?;
    may_write(world, site, incoming)?;
    if ownership(stored) == ownership(incoming) { Ok(()) } else { Err(Rule::KeysChange) }
}

/// The data type and the keys that say whose a record is. The other party of a transfer, and which kind of store data it is, may
/// change: an invoice can get another customer before it is finalised.
fn ownership(record: &Record) -> Record {
    let mut record = record.clone();
    match &mut record {
        Record::StoreData { kind, transfer_with, .. } => {
            *kind = crate::StoreKind::Other;
            *transfer_with = None;
        }
        Record::Purchase { transfer_with, .. } => *transfer_with = None,
        Record::Prescription { is_repeat, .. } => *is_repeat = false,
        Record::Central
        | Record::CentralOfServer
        | Record::CentralDispensary
        | Record::StoreRecord { .. }
        | Record::NameVisibility { .. }
        | Record::ItemVisibility { .. }
        | Record::PatientVisibility { .. }
        | Record::PrescriberVisibility { .. }
        | Record::NameJoin { .. }
        | Record::PatientData { .. }
        | Record::Repeat { .. }
        | Record::PrescriberData { .. }
        | Record::HomeStoreChange { .. }
        | Record::Message { .. }
        | Record::MessageStatus { .. }
        | Record::Merge { .. }
        | Record::Sync
        | Record::TravellingPreference
        | Record::NewUser { .. }
        | Record::Local { .. } => {}
    }
    record
}

fn without_novelty(record: &Record) -> Record {
    let mut record = record.clone();
    if let Record::PatientVisibility { is_new, .. } | Record::PrescriberVisibility { is_new, .. } = &mut record {
        *is_new = false;
    }
    record
}

fn primary(world: &World, site: SiteId) -> Result<(), Rule> {
    if site == world.primary() { Ok(()) } else { Err(Rule::PrimaryOnly) }
}

fn central(site: SiteId) -> Result<(), Rule> {
    if site == CENTRAL { Ok(()) } else { Err(Rule::CentralOnly) }
}

fn active(world: &World, site: SiteId, store: &str) -> Result<(), Rule> {
    let active_on = known_store(world, store)?.active_site;
    if active_on == site { Ok(()) } else { Err(Rule::StoreActiveElsewhere { store: store.to_owned(), active_on }) }
}

/// "Can only be edited in an active dispensary store on the same home site where their home store is active" (seed 000,
/// "Patients", and "Other dispensary data" for prescribers). The home store itself may be any store.
fn home(world: &World, site: SiteId, of: &str, home_store: Option<String>) -> Result<(), Rule> {
    let Some(home_store) = home_store else { return Err(Rule::NoHomeStore(of.to_owned())) };
    let home = known_store(world, &home_store)?.active_site;
    if home != site {
        return Err(Rule::HomeElsewhere { of: of.to_owned(), home });
    }
    if world.has_active_dispensary(site) { Ok(()) } else { Err(Rule::NoActiveDispensary) }
}

/// "A site may create visibility only for what it created and owns" (architecture, 5.13), in the stores where newcomers become
/// visible (seed 000, "Patients").
fn newcomer(world: &World, site: SiteId, of: &str, home_store: Option<String>, store: &str) -> Result<(), Rule> {
    home(world, site, of, home_store.clone())?;
    let home_store = home_store.expect("`home` has refused what has no home store");
    if stores_for_new_patient(world, &home_store).contains(store) {
        Ok(())
    } else {
        Err(Rule::NotForNewcomers { store: store.to_owned() })
    }
}

/// "Repeats are processed on the home site only, unless the preference allows all sites where the patient is visible" (domain.md,
/// "Prescriptions"); in a dispensary store in both cases (seed 000, "Patients").
fn repeat(world: &World, site: SiteId, patient: &str) -> Result<(), Rule> {
    known_patient(world, patient)?;
    if !world.has_repeats_everywhere {
        return home(world, site, patient, patient_home(world, patient));
    }
    if !sites_seeing_patient(world, patient).contains(&site) {
        return Err(Rule::PatientUnseen(patient.to_owned()));
    }
    if world.has_active_dispensary(site) { Ok(()) } else { Err(Rule::NoActiveDispensary) }
}

/// "Written where their dispensary store is active, if the patient is visible there" (domain.md, "Prescriptions"): on the site, as
/// 000 says under "Patients": "Prescriptions will be allowed in dispensary stores on any of those sites".
fn prescription(world: &World, site: SiteId, store: &str, patient: &str, is_repeat: bool) -> Result<(), Rule> {
    known_patient(world, patient)?;
    active(world, site, store)?;
    if known_store(world, store)?.mode != Mode::Dispensary {
        return Err(Rule::NotADispensary(store.to_owned()));
    }
    if !sites_seeing_patient(world, patient).contains(&site) {
        return Err(Rule::PatientUnseen(patient.to_owned()));
    }
    if is_repeat { repeat(world, site, patient) } else { Ok(()) }
}

/// "Items, units, names on the primary; patients and prescribers where both home stores are active, else on the primary; locations
/// in their store" (domain.md, "Merging").
fn merge(world: &World, site: SiteId, kind: &MergeKind, from: &str, into: &str) -> Result<(), Rule> {
    let homes = match kind {
        MergeKind::Items | MergeKind::Units => return primary(world, site),
        MergeKind::Names => {
            // "Names that are stores are not merged" (domain.md).
            if world.store_of_name(from).is_some() || world.store_of_name(into).is_some() {
                return Err(Rule::StoresAreNotMerged);
            }
            return primary(world, site);
        }
        MergeKind::Locations { store } => return active(world, site, store),
        MergeKind::Patients => {
            known_patient(world, from)?;
            known_patient(world, into)?;
            [patient_home(world, from), patient_home(world, into)]
        }
        MergeKind::Prescribers => {
            known_prescriber(world, from)?;
            known_prescriber(world, into)?;
            [prescriber_home(world, from), prescriber_home(world, into)]
        }
    };
    let [from, into] = homes.map(|home_store| home_site(world, home_store.as_deref()));
    match from {
        Some(home) if from == into => {
            if home == site {
                Ok(())
            } else {
                Err(Rule::MergedOnHomeSite(home))
            }
        }
        // Two home sites, or a home store that is missing.
        Some(_) | None => primary(world, site),
    }
}

/// The site of a sender or receiver; a blank one is central (row "Message").
fn site_of_party(world: &World, store: Option<&str>) -> Result<SiteId, Rule> {
    store.map_or(Ok(CENTRAL), |store| known_store(world, store).map(|store| store.active_site))
}

fn known_store<'world>(world: &'world World, store: &str) -> Result<&'world Store, Rule> {
    world.stores.get(store).ok_or_else(|| Rule::UnknownStore(store.to_owned()))
}

fn known_patient(world: &World, patient: &str) -> Result<(), Rule> {
    if world.patients.contains_key(patient) { Ok(()) } else { Err(Rule::UnknownPatient(patient.to_owned())) }
}

fn known_prescriber(world: &World, prescriber: &str) -> Result<(), Rule> {
    if world.prescribers.contains_key(prescriber) {
        Ok(())
    } else {
        Err(Rule::UnknownPrescriber(prescriber.to_owned()))
    }
}
