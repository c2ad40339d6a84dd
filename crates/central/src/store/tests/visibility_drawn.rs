//! Drawn worlds of sites, stores, names and roles: every site ends with exactly what the rules of the seeds say, as a separate, slow model
//! of them works it out.

use std::collections::{BTreeMap, BTreeSet};

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

const SMALL: Size = Size { sites: 4, stores: 6, names: 8 };
const LARGE: Size = Size { sites: 40, stores: 200, names: 230 };

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
            world.write(&[&format!(r#"upsert store {id} {{"name_ID":"{own}"}}"#)]);
            let active_site = devices.get(number).map_or(rules::CENTRAL, |device| rules::SiteId(device.site.0));
            let fact = rules::Store {
                name: own,
                mode: rules::Mode::Store,
                active_site,
                settings: BTreeMap::new(),
                includes_transactions: true,
                shows_new_patients: false,
            };
            facts.stores.insert(id.clone(), fact);
            records.insert(("store", id.clone()), Record::StoreRecord { store: id });
        }
        Self { size, world, devices, facts, records }
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
            Step::Collector(of, site, on) => self.set_collector(&store(*of), *site, *on),
            Step::Give(of, site) => {
                let (site, of) = (self.devices[*site].site, store(*of));
                if self.world.try_job(|batch| batch.assign_store(&id(&of), site)).is_ok() {
                    let facts = self.facts.stores.get_mut(&of).unwrap();
                    facts.active_site = rules::SiteId(site.0);
                    facts.settings.remove(&rules::SiteId(site.0));
                }
            }
            Step::Sync(site) => drop(self.devices[*site].sync(&mut self.world)),
            Step::Push(site) => drop(self.devices[*site].push(&mut self.world)),
            Step::Wipe(site) => self.devices[*site].wipe_copy(),
        }
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
            self.records.remove(&("name_store_join", id));
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
        let tables = ["store", "item_store_join", "name_store_join", "name_tag_join"];
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
