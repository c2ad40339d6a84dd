//! Drawn worlds of sites, stores, names and roles: every site ends with exactly what the rules of the seeds say, as a separate, slow model
//! of them works it out.

use std::collections::{BTreeMap, BTreeSet};

use domain::visibility::VisibleKey;
use proptest::prelude::*;
use rules::{Made, NameJoin, Record};

use super::*;

/// How large a drawn world is. The names with the numbers of the stores are theirs.
#[derive(Debug, Clone, Copy)]
struct Size {
    sites: usize,
    stores: usize,
    names: usize,
}

const SMALL: Size = Size { sites: 4, stores: 6, names: 10 };
const LARGE: Size = Size { sites: 40, stores: 200, names: 230 };
const PATIENTS: usize = 5;
/// A store that serves no patients.
const PLAIN_STORE: usize = 2;

#[derive(Debug, Clone)]
enum Step {
    /// A name is made visible in a store, or is not any more.
    Join(usize, usize, bool),
    /// Something hangs on a name, or changes.
    Tag(usize, usize),
    /// Something hangs on a store, or changes.
    Item(usize, usize),
    /// One of these goes.
    Delete(bool, usize),
    /// Somebody makes a patient of a home store: central, or a site.
    Patient(usize, usize, usize),
    /// Somebody writes a patient, or what hangs on it, or takes that away.
    PatientData(usize, usize, usize),
    /// A patient is made visible in a store by central, or is not any more.
    PatientJoin(usize, usize, bool),
    /// A site makes a patient visible in a store.
    OwnJoin(usize, usize, usize),
    /// Two names that are no stores' become one.
    Merge(usize, usize),
    /// A merge is undone.
    Unmerge(usize),
    /// A site is to have a collector copy, or is not any more.
    Collector(usize, usize, bool),
    /// A store that central holds is given to a site.
    Give(usize, usize),
    /// A site comes.
    Sync(usize),
    /// A site comes and the reply's pages are lost half way.
    Push(usize),
    /// Another device takes the place of one, or its local copy is lost.
    Wipe(usize),
}

fn step(Size { sites, stores, names }: Size) -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..names, 0..stores, prop::bool::weighted(0.6)).prop_map(|(name, store, on)| Step::Join(name, store, on)),
        2 => (0..names, 0..10_usize).prop_map(|(name, number)| Step::Tag(name, number)),
        2 => (0..stores, 0..10_usize).prop_map(|(store, number)| Step::Item(store, number)),
        1 => (any::<bool>(), 0..10_usize).prop_map(|(tag, number)| Step::Delete(tag, number)),
        3 => (0..PATIENTS, 0..stores, 0..=sites).prop_map(|(patient, store, by)| Step::Patient(patient, store, by)),
        4 => (0..PATIENTS, 0..5_usize, 0..=sites).prop_map(|(patient, what, by)| Step::PatientData(patient, what, by)),
        3 => (0..PATIENTS, 0..stores, prop::bool::weighted(0.6))
            .prop_map(|(patient, store, on)| Step::PatientJoin(patient, store, on)),
        2 => (0..PATIENTS, 0..stores, 0..sites).prop_map(|(patient, store, by)| Step::OwnJoin(patient, store, by)),
        2 => (stores..names, stores..names).prop_map(|(from, into)| Step::Merge(from, into)),
        1 => (stores..names).prop_map(Step::Unmerge),
        2 => (0..stores, 0..sites, prop::bool::weighted(0.7)).prop_map(|(store, site, on)| Step::Collector(store, site, on)),
        1 => (0..stores, 0..sites).prop_map(|(store, site)| Step::Give(store, site)),
        4 => (0..sites).prop_map(Step::Sync),
        2 => (0..sites).prop_map(Step::Push),
        1 => (0..sites).prop_map(Step::Wipe),
    ]
}

/// Central with its devices, and the same as facts.
struct Drawn {
    size: Size,
    world: World,
    devices: Vec<Device>,
    facts: rules::World,
    /// What each record hangs on.
    records: BTreeMap<(&'static str, String), Record>,
    /// The home store of each patient that ever was.
    homes: BTreeMap<String, String>,
    /// Joins that central has taken back: it alone makes them again.
    was_joined: BTreeSet<String>,
}

fn name(number: usize) -> String {
    format!("n{number}")
}

fn store(number: usize) -> String {
    format!("S{number}")
}

impl Drawn {
    fn new(size: Size) -> Self {
        let mut world = World::in_memory();
        let mut facts = rules::World::default();
        facts.sites.insert(rules::CENTRAL, rules::SiteKind::Standalone);
        let mut records = BTreeMap::new();
        let mut devices = Vec::new();
        for site in 0..size.sites {
            let device = world.device(&[&store(site)]);
            facts.sites.insert(rules::SiteId(device.site.0), rules::SiteKind::Standalone);
            devices.push(device);
        }
        for number in 0..size.stores {
            let (id, own) = (store(number), name(number));
            let (mode, shown) = match number {
                PLAIN_STORE => (rules::Mode::Store, "store"),
                _ => (rules::Mode::Dispensary, "dispensary"),
            };
            world.write(&[&format!(r#"upsert store {id} {{"name_ID":"{own}","store_mode":"{shown}"}}"#)]);
            let active_site = devices.get(number).map_or(rules::CENTRAL, |device| rules::SiteId(device.site.0));
            let fact = rules::Store {
                name: own,
                mode,
                active_site,
                settings: BTreeMap::new(),
                includes_transactions: true,
                shows_new_patients: true,
            };
            facts.stores.insert(id.clone(), fact);
            records.insert(("store", id.clone()), Record::StoreRecord { store: id });
        }
        for number in size.stores..size.names {
            let id = name(number);
            world.write(&[&format!(r#"upsert name {id} {{"code":"{id}"}}"#)]);
            records.insert(("name", id), Record::Central);
        }
        Self { size, world, devices, facts, records, homes: BTreeMap::new(), was_joined: BTreeSet::new() }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Join(number, of, on) => self.join(&name(*number), &store(*of), *on),
            Step::Tag(of, number) => {
                let (id, name) = (format!("T{number}"), name(*of));
                self.world.write(&[&format!(r#"put name_tag_join {id} {{"name_ID":"{name}"}}"#)]);
                self.records.insert(("name_tag_join", id), Record::NameJoin { name });
            }
            Step::Item(of, number) => {
                let (id, store) = (format!("I{number}"), store(*of));
                self.world.write(&[&format!(r#"put item_store_join {id} {{"store_ID":"{store}"}}"#)]);
                self.records.insert(("item_store_join", id), Record::ItemVisibility { store });
            }
            Step::Delete(is_tag, number) => {
                let (table, id) = if *is_tag {
                    ("name_tag_join", format!("T{number}"))
                } else {
                    ("item_store_join", format!("I{number}"))
                };
                if self.records.remove(&(table, id.clone())).is_some() {
                    self.world.write(&[&format!("delete {table} {id}")]);
                }
            }
            Step::Patient(patient, home, by) => self.make_patient(*patient, &store(*home), *by),
            Step::PatientData(patient, what, by) => self.write_of_patient(*patient, *what, *by),
            Step::PatientJoin(patient, of, on) => self.patient_join(*patient, &store(*of), *on),
            Step::OwnJoin(patient, of, by) => self.own_join(*patient, &store(*of), *by),
            Step::Merge(from, into) => self.merge(&id(&name(*from)), &id(&name(*into))),
            Step::Unmerge(from) => {
                let from = name(*from);
                if self.facts.merges.iter().any(|merge| merge.from == from) {
                    self.world.write(&[&format!("delete outpost_name_merge {from}")]);
                    self.facts.merges.retain(|merge| merge.from != from);
                }
            }
            Step::Collector(of, site, on) => self.set_collector(&store(*of), *site, *on),
            Step::Give(of, site) => self.give(&store(*of), *site),
            Step::Sync(site) => drop(self.devices[*site].sync(&mut self.world)),
            Step::Push(site) => drop(self.devices[*site].push(&mut self.world)),
            Step::Wipe(site) => self.devices[*site].wipe_copy(),
        }
    }

    /// From another site, too, which is not waited for. It is written once its new site has read it.
    fn give(&mut self, of: &str, device: usize) {
        let site = self.devices[device].site;
        self.world.job(|batch| batch.move_store(&id(of), site, true));
        let facts = self.facts.stores.get_mut(of).unwrap();
        facts.active_site = rules::SiteId(site.0);
        facts.settings.remove(&rules::SiteId(site.0));
        // What it has come to see comes in steps.
        for _ in 0..50 {
            let moves = self.world.store.reading().store_moves().unwrap();
            if moves.iter().all(|moving| moving.store != id(of)) {
                break;
            }
            self.devices[device].sync(&mut self.world);
        }
        self.devices[device].sync(&mut self.world);
        assert!(self.devices[device].grants.contains_key(of), "site {site} has read store {of}");
    }

    fn join(&mut self, name: &str, store: &str, on: bool) {
        let id = format!("{name}-in-{store}");
        let join = NameJoin { name: name.to_owned(), store: store.to_owned(), made: Made::ByHand };
        let is_there = self.facts.visibility.contains(&join);
        if on {
            self.world.write(&[&format!(r#"put name_store_join {id} {{"name_ID":"{name}","store_ID":"{store}"}}"#)]);
            let record = Record::NameVisibility { name: name.to_owned(), store: store.to_owned() };
            self.records.insert(("name_store_join", id), record);
            if !is_there {
                self.facts.visibility.push(join);
            }
        } else if is_there {
            self.world.write(&[&format!("delete name_store_join {id}")]);
            self.facts.visibility.retain(|there| *there != join);
            self.was_joined.insert(id.clone());
            self.records.remove(&("name_store_join", id));
        }
    }

    fn merge(&mut self, from: &RecordId, into: &RecordId) {
        let merged = self.world.job(|batch| batch.merge("name", from, into));
        if let Merge::Done { from, into, position } = merged {
            let (from, into) = (from.to_string(), into.to_string());
            self.facts.merges.push(rules::Merge { order: position.0, from, into });
        }
    }

    /// Writes as a site, or as central behind the last one, exactly what the rules let it write; whether they do.
    fn write_by(&mut self, by: usize, line: &str, record: &Record) -> bool {
        let Some(device) = self.devices.get_mut(by) else {
            let may = rules::may_write(&self.facts, rules::CENTRAL, record);
            let report = self.world.import(ImportMode::AllOrNothing, &[line]);
            assert_eq!(report.is_kept, may.is_ok(), "{line} by central: {may:?}, {:?}", report.refusals);
            return may.is_ok();
        };
        let may = rules::may_write(&self.facts, rules::SiteId(device.site.0), record);
        device.push(&mut self.world);
        let told = device.told.len();
        let home = match record {
            Record::PatientData { patient } | Record::PatientVisibility { patient, .. } => {
                self.facts.patients.get(patient)
            }
            _ => None,
        };
        let home = home.and_then(|patient| patient.home_store.as_ref());
        let number = home.and_then(|home| device.grants.get(home)).map_or(1, |(_, claim)| claim.ownership.0);
        let (op, rest) = line.split_once(' ').unwrap();
        device.record(&[&format!("{op}#{number} {rest}")]);
        device.push(&mut self.world);
        let refused = device.told.get(told);
        assert_eq!(refused.is_none(), may.is_ok(), "{line} by site {}: {may:?}, {refused:?}", device.site);
        may.is_ok()
    }

    fn make_patient(&mut self, number: usize, home: &str, by: usize) {
        let patient = format!("P{number}");
        // One that was deleted is made again with the home store that it had.
        let had = self.homes.get(&patient).is_some_and(|had| had != home);
        if self.facts.patients.contains_key(&patient) || had {
            return;
        }
        let fact = rules::Patient { home_store: Some(home.to_owned()), latest_prescription_store: None };
        self.facts.patients.insert(patient.clone(), fact);
        let line = format!(r#"put name {patient} {{"type":"patient","supplying_store_id":"{home}"}}"#);
        let record = Record::PatientData { patient: patient.clone() };
        if self.write_by(by, &line, &record) {
            self.homes.insert(patient.clone(), home.to_owned());
            self.records.insert(("name", patient), record);
        } else {
            self.facts.patients.remove(&patient);
        }
    }

    fn write_of_patient(&mut self, number: usize, what: usize, by: usize) {
        let patient = format!("P{number}");
        if !self.facts.patients.contains_key(&patient) {
            return;
        }
        let record = Record::PatientData { patient: patient.clone() };
        let policy = format!("{patient}-policy-{}", what % 2);
        let is_there = self.records.contains_key(&("nameInsuranceJoin", policy.clone()));
        if what == 4 {
            return self.delete_patient(&patient, by, &record);
        }
        let line = match what {
            0 => format!(r#"patch name {patient} {{"first":"by {by}"}}"#),
            3 if is_there => format!("delete nameInsuranceJoin {policy}"),
            _ => format!(r#"put nameInsuranceJoin {policy} {{"nameID":"{patient}","type":"by {by}"}}"#),
        };
        if !self.write_by(by, &line, &record) || what == 0 {
            return;
        }
        let key = ("nameInsuranceJoin", policy);
        if line.starts_with("delete") {
            self.records.remove(&key);
        } else {
            self.records.insert(key, record);
        }
    }

    /// Takes a patient away on which nothing hangs: of what does, the rules say nothing then.
    fn delete_patient(&mut self, patient: &str, by: usize, record: &Record) {
        let hangs = |(table, id): &(&str, String)| *table == "nameInsuranceJoin" && id.starts_with(patient);
        if self.records.keys().any(hangs) || !self.write_by(by, &format!("delete name {patient}"), record) {
            return;
        }
        self.facts.patients.remove(patient);
        self.records.remove(&("name", patient.to_owned()));
    }

    fn patient_join(&mut self, number: usize, store: &str, on: bool) {
        let patient = format!("P{number}");
        self.join(&patient, store, on);
        if let Some(record) = self.records.get_mut(&("name_store_join", format!("{patient}-in-{store}"))) {
            *record = Record::PatientVisibility { patient, store: store.to_owned(), is_new: false };
        }
    }

    fn own_join(&mut self, number: usize, of: &str, by: usize) {
        let (patient, id) = (format!("P{number}"), format!("P{number}-in-{of}"));
        // What serves no patients the rules leave out, as it has no preference for them; central does not know that preference.
        let is_known = self.facts.patients.contains_key(&patient) && of != store(PLAIN_STORE);
        if !is_known || self.records.contains_key(&("name_store_join", id.clone())) || self.was_joined.contains(&id) {
            return;
        }
        let line = format!(r#"put name_store_join {id} {{"name_ID":"{patient}","store_ID":"{of}"}}"#);
        let record = Record::PatientVisibility { patient: patient.clone(), store: of.to_owned(), is_new: true };
        if self.write_by(by, &line, &record) {
            self.records.insert(("name_store_join", id), record);
            self.facts.visibility.push(NameJoin { name: patient, store: of.to_owned(), made: Made::ByHand });
        }
    }

    /// Central takes a setting exactly where the rules do.
    fn set_collector(&mut self, store: &str, site: usize, on: bool) {
        let site = self.devices[site].site;
        let there = rules::SiteId(site.0);
        let outcome = self.world.try_job(|batch| batch.set_collector(&id(store), site, on));
        let settings = &mut self.facts.stores.get_mut(store).unwrap().settings;
        let before = settings.clone();
        if on {
            settings.insert(there, rules::Role::Collector);
            let is_possible = rules::role(&self.facts, store, there).is_ok();
            assert_eq!(outcome.is_ok(), is_possible, "collector {store} on {site}: {outcome:?}");
            if !is_possible {
                self.facts.stores.get_mut(store).unwrap().settings = before;
            }
        } else if outcome.is_ok() {
            settings.remove(&there);
        }
    }

    fn check(&mut self) {
        for device in &mut self.devices {
            for _ in 0..3 {
                device.sync(&mut self.world);
            }
        }
        let mut all = self.records.clone();
        for (name, store) in rules::reverse_joins(&self.facts) {
            let join = domain::visibility::Join { name: id(&name), store: id(&store) };
            all.insert(("name_store_join", join.derived_id().to_string()), Record::NameVisibility { name, store });
        }
        let tables = ["store", "item_store_join", "name_store_join", "name_tag_join", "name", "nameInsuranceJoin"];
        let receivers: BTreeMap<_, _> =
            all.iter().map(|(key, record)| (key.clone(), rules::receives(&self.facts, record))).collect();
        for device in &self.devices {
            let site = rules::SiteId(device.site.0);
            let expected: BTreeSet<_> = receivers
                .iter()
                .filter(|(_, sites)| sites.contains(&site))
                .map(|((table, id), _)| ((*table).to_owned(), id.clone()))
                .collect();
            let mut found = BTreeSet::new();
            for (table, record) in device.base.keys() {
                let table = self.world.store.catalogue().table(table).unwrap().name().to_owned();
                if tables.contains(&table.as_str()) {
                    found.insert((table, record.to_string()));
                }
            }
            assert_eq!(found, expected, "site {}", device.site);
            for (table, record) in &found {
                assert_eq!(device.data(table, record), self.world.data(table, record), "{table} {record}");
            }
            for number in 0..self.size.stores {
                let (store, site) = (store(number), device.site);
                let role = self.world.store.batch(1, |batch| batch.role_of(&id(&store), site)).unwrap().unwrap();
                let expected = format!("{:?}", rules::role_in_force(&self.facts, &store, rules::SiteId(site.0)));
                assert_eq!(format!("{role:?}"), expected, "store {store} on site {site}");
            }
            let names = (0..self.size.names).map(|number| VisibleKey::Name(id(&name(number))));
            let patients = (0..PATIENTS).map(|number| VisibleKey::Name(id(&format!("P{number}"))));
            let stores = (0..self.size.stores).map(|number| VisibleKey::Store(id(&store(number))));
            for key in names.chain(patients).chain(stores) {
                let mut reading = self.world.store.reading();
                let (sees, sights) =
                    (reading.sees(device.site, &key.to_text()).unwrap(), reading.sights(device.site, &key).unwrap().0);
                assert_eq!(sees, !sights.is_empty(), "site {} and {key}: {sights:?}", device.site);
            }
            let status = self.world.store.reading().site_status(device.site).unwrap().unwrap();
            assert_eq!(status.rows_waiting, 0, "site {}", device.site);
        }
    }
}

fn play(size: Size, steps: &[Step]) {
    let mut drawn = Drawn::new(size);
    for step in steps {
        drawn.take(step);
    }
    drawn.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_drawn_every_site_ends_with_what_the_rules_say(steps in prop::collection::vec(step(SMALL), 0..120)) {
        play(SMALL, &steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn so_does_each_of_forty_sites_with_two_hundred_stores(steps in prop::collection::vec(step(LARGE), 400..600)) {
        play(LARGE, &steps);
    }
}
