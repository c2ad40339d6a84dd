//! The facts that the rules ask for: sites, stores, who sees whom, patients, merges, preferences.

use std::collections::{BTreeMap, BTreeSet};

/// The number of a sync site (seed 003, "Site ID").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub u32);

/// The central server, a.k.a. sync server: always site 1 (seed 001, "Sync server settings for Store A"; domain.md, "Words").
pub const CENTRAL: SiteId = SiteId(1);

/// Everything that decides who may write and who receives. Ids are mSupply's own texts; a name, an item or a unit needs no entry
/// here, its id is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// Every sync site, central among them.
    pub sites: BTreeMap<SiteId, SiteKind>,
    /// The remote site that has the authority over central data, in a mirrored system (seed 000, "Mirrored sync").
    pub mirrored_primary: Option<SiteId>,
    /// Every store by its id.
    pub stores: BTreeMap<String, Store>,
    /// Which name is visible in which store, in any order; patients are names.
    pub visibility: Vec<NameJoin>,
    /// Every patient by its id, which is the id of its name.
    pub patients: BTreeMap<String, Patient>,
    /// Every prescriber by its id.
    pub prescribers: BTreeMap<String, Prescriber>,
    /// The merges that central has ordered, as they arrived: any order, duplicates and cycles among them.
    pub merges: Vec<Merge>,
    /// Who orders for whom (seed 000, "Centralised procurement").
    pub procurement: Procurement,
    /// Prescriptions go to every site where the patient is visible (seed 000, "Data types", row "Prescriptions"). It is one
    /// preference for the whole system: it travels (domain.md, row "Local").
    pub has_prescriptions_everywhere: bool,
    /// Repeats may be processed on every site where the patient is visible (seed 000, "Data types", row "Repeats").
    pub has_repeats_everywhere: bool,
}

impl World {
    /// The one place where central data is edited: central itself unless the system is mirrored (seed 000, "Primary vs Central
    /// vs Mirror servers").
    pub fn primary(&self) -> SiteId {
        self.mirrored_primary.unwrap_or(CENTRAL)
    }

    /// The ids of all sites.
    pub fn all_sites(&self) -> BTreeSet<SiteId> {
        self.sites.keys().copied().collect()
    }

    /// The ids of the stores that are active on a site.
    pub fn active_stores(&self, site: SiteId) -> BTreeSet<&str> {
        self.stores.iter().filter(|(_, store)| store.active_site == site).map(|(id, _)| id.as_str()).collect()
    }

    /// Whether a dispensary store is active on a site (seed 000, "Other dispensary data" and "Patients").
    pub fn has_active_dispensary(&self, site: SiteId) -> bool {
        self.stores.values().any(|store| store.active_site == site && store.mode == Mode::Dispensary)
    }

    /// The store that a name belongs to, if the name is a store's.
    pub fn store_of_name(&self, name: &str) -> Option<&str> {
        self.stores.iter().find(|(_, store)| store.name == name).map(|(id, _)| id.as_str())
    }
}

/// What runs on a site (seed 003, "Type").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SiteKind {
    /// A desktop or a server.
    Standalone,
    /// A tablet; it has one active store (seed 000, "Moving a store from one sync site to another").
    Mobile,
}

/// What a store does (domain.md, "Words": store).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// A store as any other.
    Store,
    /// A store that dispenses to patients.
    Dispensary,
}

/// What a store is on a site (seed 001, "Store sync types" and "Store sync-with options").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Its data may be edited here.
    Active,
    /// A full copy that is read and reported on.
    Collector,
    /// Its core data, and the transfers into it from stores that are active here.
    Transfer,
    /// It is not on the site.
    None,
}

/// One store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The id of the name that it has as a customer and supplier of others.
    pub name: String,
    /// Store or dispensary.
    pub mode: Mode,
    /// The one site where it is active (seed 000, "Active vs Collector").
    pub active_site: SiteId,
    /// What somebody has set for it on a site by hand (seed 001, "Sync with" table); the sites that are missing here follow
    /// activity and visibility.
    pub settings: BTreeMap<SiteId, Role>,
    /// "Include transactions in sync" (seed 001, "Store setup"): on by default, and without effect unless it is a dispensary.
    pub includes_transactions: bool,
    /// Patients that are new on its site become visible in it (seed 000, "Patients": "depending on the store's visibility
    /// preferences").
    pub shows_new_patients: bool,
}

/// A name in a store: one row of `name_store_join`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameJoin {
    /// The name that is visible.
    pub name: String,
    /// The store that sees it.
    pub store: String,
    /// How it came to be.
    pub made: Made,
}

/// How a row of visibility came to be (domain.md, "Words": visibility).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Made {
    /// Somebody, or a rule about new patients, has set it.
    ByHand,
    /// Central made it because the other direction was set. Nothing follows from such a row: the rules work it out again.
    AsReverse,
}

/// One patient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patient {
    /// The store that it belongs to: the store of creation, or what central has granted since.
    pub home_store: Option<String>,
    /// Where its latest prescription was written; it decides for a patient that has no home store.
    pub latest_prescription_store: Option<String>,
}

/// One prescriber.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prescriber {
    /// The store that it belongs to.
    pub home_store: Option<String>,
    /// The stores in which it was made visible.
    pub visible_in: BTreeSet<String>,
    /// The stores in which it has prescribed.
    pub prescribed_in: BTreeSet<String>,
}

/// Two records that are one from now on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Merge {
    /// Central's number for it: what was ordered first has the smaller one (architecture, 5.19).
    pub order: u64,
    /// The record that goes.
    pub from: String,
    /// The record that stays.
    pub into: String,
}

/// Who orders for whom (seed 000, "Centralised procurement"; domain.md, "Special cases").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Procurement {
    /// Orders, tenders and quotes of all stores are the primary's.
    pub is_centralised: bool,
    /// Payments of all stores are the primary's: a preference of its own.
    pub has_centralised_payments: bool,
    /// The primary may enter orders for any store in supervisor mode.
    pub has_supervisor_mode: bool,
    /// The stores for which their sites keep local procurement.
    pub local_stores: BTreeSet<String>,
}
