//! Which names and stores see each other: what central's people change of that, and what follows from it by the rules of the seeds, which
//! are worked out from central's own records by a separate, slow model (`crates/rules`).

mod stays;

use std::collections::{BTreeMap, BTreeSet};

use domain::edit::{Edit, EditOp};
use domain::preference::Preference;
use domain::visibility::{JOIN_TABLE, Join};
use protocol::ids::{RecordId, SiteId};
use rules::{Made, MergeKind, NameJoin, Patient, Prescriber, Record};

use crate::inspect::RecordRow;
use crate::model::Key;
use crate::procurement::Orders;
use crate::random::Random;
use crate::users::{Users, record_of};
use crate::work::HOME_MERGES;

/// Before the id of a store: the name of one that has none. Nobody sees it by that.
const UNNAMED: &str = "unnamed ";
/// Names that belong to no store.
const NAMES: u64 = 4;

/// Somebody at central changes who sees whom, or what hangs on a name or a store.
pub(crate) fn visibility_edit(stores: &[String], random: &mut Random) -> Edit {
    let store = random.pick::<String>(stores).clone();
    let name = if random.chance(600) {
        name_of(random.pick::<String>(stores))
    } else {
        format!("name-{}", random.below(NAMES))
    };
    let number = random.below(6);
    let upsert = |table: &str, id: String, data: String| edit(table, EditOp::Upsert, &id, Some(data));
    match random.below(10) {
        0..=3 => {
            let data = format!("{{\"name_ID\":{name:?},\"store_ID\":{store:?},\"inactive\":{}}}", random.chance(200));
            upsert(JOIN_TABLE, format!("{name}-in-{store}"), data)
        }
        4 => edit(JOIN_TABLE, EditOp::Delete, &format!("{name}-in-{store}"), None),
        5 | 6 => {
            upsert("contact", format!("contact-{number}"), format!("{{\"name_ID\":{name:?},\"first\":\"{number}\"}}"))
        }
        7 => edit("contact", EditOp::Delete, &format!("contact-{number}"), None),
        8 => upsert(
            "item_store_join",
            format!("join-{number}"),
            format!("{{\"store_ID\":{store:?},\"margin\":{number}}}"),
        ),
        _ => edit("item_store_join", EditOp::Delete, &format!("join-{number}"), None),
    }
}

fn edit(table: &str, op: EditOp, id: &str, data: Option<String>) -> Edit {
    Edit { table: table.to_owned(), op, id: RecordId::new(id).expect("it is short"), data }
}

/// The name of a store.
pub(crate) fn name_of(store: &str) -> String {
    format!("n-{store}")
}

/// What central's records say of who sees whom.
pub(crate) struct Sight {
    facts: rules::World,
    /// Joins that central made itself.
    made: BTreeSet<(String, String)>,
    /// The store and the patient of each prescription, where they are shared.
    shared: BTreeMap<String, (String, String)>,
    /// What the records of stores say that stays on their sites. Not part of the facts: what central has goes on being synced.
    kept: BTreeMap<String, stays::Kept>,
    /// Names that central has as those of stores.
    names_of_stores: BTreeSet<String>,
    orders: Orders,
}

impl Sight {
    /// From all of central's records, and which site each store is active at.
    pub(crate) fn of(
        records: &[RecordRow],
        holders: &BTreeMap<String, SiteId>,
        primary: Option<SiteId>,
        sites: &[SiteId],
        orders: &Orders,
    ) -> Self {
        let mut facts = rules::World::default();
        facts.sites.insert(rules::CENTRAL, rules::SiteKind::Standalone);
        facts.sites.extend(sites.iter().map(|site| (rules::SiteId(site.0), rules::SiteKind::Standalone)));
        facts.mirrored_primary = primary.map(|site| rules::SiteId(site.0));
        facts.procurement = orders.facts();
        let (mut made, mut kept, mut names_of_stores) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        for record in records {
            let Some(data) = &record.data else {
                // What hung on a patient that is gone stays its home store's, and who stands for it.
                let Some(store) = record.store.clone() else { continue };
                match record.table.as_str() {
                    "name" => {
                        let patient = Patient { home_store: Some(store), latest_prescription_store: None };
                        facts.patients.insert(record.id.clone(), patient);
                    }
                    "clinician" => {
                        let prescriber = Prescriber { home_store: Some(store), ..Prescriber::default() };
                        facts.prescribers.insert(record.id.clone(), prescriber);
                    }
                    _ => {}
                }
                continue;
            };
            match record.table.as_str() {
                "store" => {
                    let site = holders.get(&record.id).map_or(rules::CENTRAL, |site| rules::SiteId(site.0));
                    // A name that nobody else has stands for one that was not given yet.
                    let name = text_in(data, "name_ID").unwrap_or_else(|| format!("{UNNAMED}{}", record.id));
                    let mut store = store(name, site);
                    if data.contains("\"store_mode\":\"dispensary\"") {
                        store.mode = rules::Mode::Dispensary;
                    }
                    kept.insert(record.id.clone(), stays::Kept::of(data));
                    facts.stores.insert(record.id.clone(), store);
                }
                JOIN_TABLE => {
                    let is_inactive = data.contains("\"inactive\":true");
                    let both = text_in(data, "name_ID").zip(text_in(data, "store_ID")).filter(|_| !is_inactive);
                    let Some((name, store)) = both else { continue };
                    if is_derived(&record.id, &name, &store) {
                        made.insert((name, store));
                    } else {
                        facts.visibility.push(NameJoin { name, store, made: Made::ByHand });
                    }
                }
                "clinician" => {
                    let home_store = text_in(data, PRESCRIBERS_HOME);
                    facts.prescribers.insert(record.id.clone(), Prescriber { home_store, ..Prescriber::default() });
                }
                "name" if data.contains("\"type\":\"store\"") => {
                    names_of_stores.insert(record.id.clone());
                }
                "name" if is_patient(data) => {
                    let patient = Patient { home_store: text_in(data, HOME_STORE), latest_prescription_store: None };
                    facts.patients.insert(record.id.clone(), patient);
                }
                _ => {}
            }
        }
        for (_, merges, _) in HOME_MERGES {
            facts.merges.extend(merges_of(merges, records).merges);
        }
        for record in records {
            let known =
                record.data.as_ref().and_then(|data| text_in(data, "prescriber_ID").zip(text_in(data, "store_ID")));
            let Some((prescriber, store)) = known else { continue };
            let Some(facts) = facts.prescribers.get_mut(&prescriber) else { continue };
            match record.table.as_str() {
                "clinician_store_join" => facts.visible_in.insert(store),
                "transact" => facts.prescribed_in.insert(store),
                _ => false,
            };
        }
        let preference = Preference::PrescriptionsWhereVisible.id();
        let is_on = |record: &RecordRow| record.data.as_ref().is_some_and(|data| data.contains("\"value\":true"));
        facts.has_prescriptions_everywhere = records
            .iter()
            .any(|record| record.table == "preference" && record.id == preference.as_str() && is_on(record));
        let mut shared = BTreeMap::new();
        for record in records.iter().filter(|record| record.table == "transact" && facts.has_prescriptions_everywhere) {
            let data = record.data.as_deref().filter(|data| data.contains("\"mode\":\"dispensary\""));
            let whose = data.and_then(|data| text_in(data, "store_ID").zip(text_in(data, "name_ID")));
            shared.extend(whose.map(|whose| (record.id.clone(), whose)));
        }
        // Central may have taken up a store whose record it has lost: its site has it all the same.
        for (id, site) in holders {
            let unnamed = || store(format!("{UNNAMED}{id}"), rules::SiteId(site.0));
            facts.stores.entry(id.clone()).or_insert_with(unnamed);
        }
        Self { facts, made, shared, kept, names_of_stores, orders: orders.clone() }
    }

    /// Reverse joins that central has and should not have, or the other way round.
    pub(crate) fn wrong_reverse_joins(&self) -> Vec<(String, String)> {
        let wrong = self.made.symmetric_difference(&rules::reverse_joins(&self.facts)).cloned().collect::<Vec<_>>();
        wrong.into_iter().filter(|(name, _)| !name.starts_with(UNNAMED)).collect()
    }

    /// Whether a record hangs on a store that central holds for a site and whose own record it has lost: without a name nobody sees it,
    /// which the model of the rules does not know.
    pub(crate) fn is_of_lost_store(&self, key: &Key, data: &str) -> bool {
        let store = if key.0 == "store" { Some(key.1.clone()) } else { text_in(data, "store_ID") };
        let facts = store.and_then(|store| self.facts.stores.get(&store));
        facts.is_some_and(|facts| facts.name.starts_with(UNNAMED))
    }

    /// Whether a site is to have a record because it is part of a prescription, whose patient is visible there.
    pub(crate) fn shares(&self, site: SiteId, key: &Key, data: &str) -> bool {
        let id = match key.0.as_str() {
            "transact" => Some(key.1.clone()),
            "trans_line" => text_in(data, "transaction_ID"),
            _ => None,
        };
        let Some((store, patient)) = id.and_then(|id| self.shared.get(&id).cloned()) else { return false };
        // Of one that nobody registered there is nothing to see.
        if !self.facts.patients.contains_key(&patient) {
            return false;
        }
        let record = Record::Prescription { store, patient, is_repeat: false };
        rules::receives(&self.facts, &record).contains(&rules::SiteId(site.0))
    }

    /// Whether a site is to have a record that hangs on a name or a store; `None` for any other record.
    pub(crate) fn receives(&self, site: SiteId, key: &Key, data: &str) -> Option<bool> {
        let record = match key.0.as_str() {
            _ if Orders::is_order(key) => self.orders.record(key, &self.facts)?,
            _ if Users::is_user(key) => record_of(data)?,
            "store" => Record::StoreRecord { store: key.1.clone() },
            "item_store_join" => Record::ItemVisibility { store: text_in(data, "store_ID")? },
            "contact" => Record::NameJoin { name: text_in(data, "name_ID")? },
            JOIN_TABLE => Record::NameVisibility { name: text_in(data, "name_ID")?, store: text_in(data, "store_ID")? },
            "name" if is_patient(data) => Record::PatientData { patient: key.1.clone() },
            "clinician" => Record::PrescriberData { prescriber: key.1.clone() },
            "clinician_store_join" => Record::PrescriberVisibility {
                prescriber: text_in(data, "prescriber_ID")?,
                store: text_in(data, "store_ID")?,
                is_new: false,
            },
            "message" => {
                let end = |column| text_in(data, column).filter(|store| !store.is_empty());
                Record::Message { from: end("fromStoreID"), to: end("toStoreID") }
            }
            "nameInsuranceJoin" => Record::PatientData { patient: text_in(data, "nameID")? },
            "outpost_patient_merge" => merge(MergeKind::Patients, key, data)?,
            "outpost_prescriber_merge" => merge(MergeKind::Prescribers, key, data)?,
            _ => return None,
        };
        // What hangs on a patient or a store that is not there nobody sees, but a primary has it: the model of the rules knows only what
        // is there.
        let hangs_on_nothing = match &record {
            Record::PatientData { patient } | Record::Merge { kind: MergeKind::Patients, from: patient, .. } => {
                !self.facts.patients.contains_key(patient)
            }
            Record::ItemVisibility { store }
            | Record::NameVisibility { store, .. }
            | Record::PrescriberVisibility { store, .. } => !self.facts.stores.contains_key(store),
            _ => false,
        };
        if hangs_on_nothing {
            return Some(self.facts.mirrored_primary == Some(rules::SiteId(site.0)));
        }
        Some(rules::receives(&self.facts, &record).contains(&rules::SiteId(site.0)))
    }
}

/// The merges of a table that central has, in its order.
pub(crate) fn merges_of(table: &str, records: &[RecordRow]) -> rules::World {
    let mut facts = rules::World::default();
    for record in records.iter().filter(|record| record.table == table) {
        if let Some(into) = record.data.as_ref().and_then(|data| text_in(data, "into_ID")) {
            facts.merges.push(rules::Merge { order: record.position, from: record.id.clone(), into });
        }
    }
    facts
}

fn merge(kind: MergeKind, key: &Key, data: &str) -> Option<Record> {
    Some(Record::Merge { kind, from: key.1.clone(), into: text_in(data, "into_ID")? })
}

/// A store that is active at a site, of which nothing else matters.
pub(crate) fn store_at(id: &str, site: SiteId) -> rules::Store {
    store(format!("{UNNAMED}{id}"), rules::SiteId(site.0))
}

fn store(name: String, active_site: rules::SiteId) -> rules::Store {
    rules::Store {
        name,
        mode: rules::Mode::Store,
        active_site,
        settings: BTreeMap::new(),
        includes_transactions: true,
        shows_new_patients: false,
    }
}

/// The column of a prescriber that names its home store.
const PRESCRIBERS_HOME: &str = "store_ID";
/// The column of a patient that names its home store.
const HOME_STORE: &str = "supplying_store_id";

fn is_patient(data: &str) -> bool {
    data.contains("\"type\":\"patient\"")
}

fn is_derived(id: &str, name: &str, store: &str) -> bool {
    let both = RecordId::new(name).ok().zip(RecordId::new(store).ok());
    both.is_some_and(|(name, store)| Join { name, store }.derived_id().as_str() == id)
}

/// A text of an object as central stores it: keys and values of this module have nothing to escape.
pub(crate) fn number_in(data: &str, key: &str) -> Option<u32> {
    let (_, rest) = data.split_once(&format!("\"{key}\":"))?;
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

pub(crate) fn text_in(data: &str, key: &str) -> Option<String> {
    let (_, rest) = data.split_once(&format!("\"{key}\":\""))?;
    rest.split_once('"').map(|(text, _)| text.to_owned())
}
