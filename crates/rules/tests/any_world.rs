//! What holds in every world: made at random from a seed, so that each run is the same.

mod support;

use rules::*;
use support::*;

/// How many worlds are asked.
const WORLDS: u64 = 300;

/// Numbers that look random (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("it is below `end`, which is a usize")
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn one<Item: Clone>(&mut self, of: &[Item]) -> Item {
        of[self.below(of.len())].clone()
    }
}

const STORES: &[&str] = &["A", "B", "C", "D", "E"];
const PATIENTS: &[&str] = &["Pia", "Paul", "Nina"];
const PRESCRIBERS: &[&str] = &["Dr D", "Dr E"];

/// A world in which anything may be, as far as central lets it.
fn world(dice: &mut Dice) -> World {
    let sites = [CENTRAL, REMOTE_1, REMOTE_2, PRIMARY];
    let mut world = World {
        sites: sites.into_iter().map(|site| (site, SiteKind::Standalone)).collect(),
        mirrored_primary: dice.one(&[None, Some(REMOTE_1), Some(PRIMARY)]),
        has_prescriptions_everywhere: dice.coin(),
        has_repeats_everywhere: dice.coin(),
        ..World::default()
    };
    for id in STORES {
        let (id, mut facts) = store(id, dice.one(&[Mode::Store, Mode::Dispensary]), dice.one(&sites));
        facts.includes_transactions = dice.coin();
        facts.shows_new_patients = dice.coin();
        if dice.coin() {
            facts.settings.insert(dice.one(&sites), dice.one(&[Role::Collector, Role::Transfer]));
        }
        world.stores.insert(id, facts);
    }
    for _ in 0..dice.below(8) {
        let name = if dice.coin() { name_of(dice.one(STORES)) } else { dice.one(PATIENTS).to_owned() };
        show(&mut world, &name, dice.one(STORES));
    }
    for patient in PATIENTS {
        let home_store = dice.coin().then(|| dice.one(STORES).to_owned());
        let latest_prescription_store = dice.coin().then(|| dice.one(STORES).to_owned());
        world.patients.insert((*patient).to_owned(), Patient { home_store, latest_prescription_store });
    }
    for prescriber in PRESCRIBERS {
        let home_store = dice.coin().then(|| dice.one(STORES).to_owned());
        let visible_in = dice.coin().then(|| dice.one(STORES).to_owned()).into_iter().collect();
        let prescribed_in = dice.coin().then(|| dice.one(STORES).to_owned()).into_iter().collect();
        world.prescribers.insert((*prescriber).to_owned(), Prescriber { home_store, visible_in, prescribed_in });
    }
    for order in 0..dice.below(3) as u64 {
        let (from, into) = (dice.one(PATIENTS).to_owned(), dice.one(PATIENTS).to_owned());
        world.merges.push(Merge { order, from, into });
    }
    world.procurement = Procurement {
        is_centralised: dice.coin(),
        has_centralised_payments: dice.coin(),
        has_supervisor_mode: dice.coin(),
        local_stores: dice.coin().then(|| dice.one(STORES).to_owned()).into_iter().collect(),
    };
    world
}

/// One record of each kind.
fn records(dice: &mut Dice) -> Vec<Record> {
    let store = dice.one(STORES).to_owned();
    let partner = dice.coin().then(|| dice.one(STORES).to_owned()).filter(|other| *other != store);
    let patient = dice.one(PATIENTS).to_owned();
    let prescriber = dice.one(PRESCRIBERS).to_owned();
    let is_new = dice.coin();
    let site = dice.one(&[CENTRAL, REMOTE_1, REMOTE_2, PRIMARY]);
    let purchase = Purchase {
        kind: dice.one(&[PurchaseKind::Order, PurchaseKind::TenderOrQuote, PurchaseKind::Payment]),
        is_supervised: dice.coin(),
        confirmed_before_on: dice.one(&[None, None, Some(site)]),
    };
    let kind = dice.one(&[
        StoreKind::Transaction,
        StoreKind::StockLine,
        StoreKind::GoodsReceived { order: Some(purchase.clone()) },
        StoreKind::Other,
    ]);
    let [from, to] = [0, 1].map(|_| dice.coin().then(|| dice.one(STORES).to_owned()));
    let into = dice.one(PATIENTS).to_owned();
    vec![
        Record::Central,
        Record::CentralOfServer,
        Record::CentralDispensary,
        Record::StoreRecord { store: store.clone() },
        Record::NameVisibility { name: "supplier".to_owned(), store: store.clone() },
        Record::ItemVisibility { store: store.clone() },
        Record::PatientVisibility { patient: patient.clone(), store: store.clone(), is_new },
        Record::PrescriberVisibility { prescriber: prescriber.clone(), store: store.clone(), is_new },
        Record::NameJoin { name: name_of(&store) },
        Record::StoreData { store: store.clone(), kind, transfer_with: partner.clone() },
        Record::Purchase { store: store.clone(), purchase, transfer_with: partner },
        Record::PatientData { patient: patient.clone() },
        Record::Repeat { patient: patient.clone() },
        Record::PrescriberData { prescriber },
        Record::Prescription { store, patient: patient.clone(), is_repeat: is_new },
        Record::HomeStoreChange { of: patient.clone() },
        Record::Message { from: from.clone(), to: to.clone() },
        Record::MessageStatus { from, to },
        Record::Merge { kind: MergeKind::Patients, from: patient, into },
        Record::Sync,
        Record::TravellingPreference,
        Record::NewUser { made_on: site },
        Record::Local { on: site },
    ]
}

fn for_each_record(ask: impl Fn(&World, &Record)) {
    for seed in 0..WORLDS {
        let mut dice = Dice(seed);
        let world = world(&mut dice);
        for record in records(&mut dice) {
            ask(&world, &record);
        }
    }
}

#[test]
fn a_site_keeps_what_it_may_write() {
    for_each_record(|world, record| {
        let holders = holders(world, record);
        for writer in writers(world, record) {
            assert!(holders.contains(&writer), "site {writer} loses {record:?} in {world:?}");
        }
    });
}

#[test]
fn only_one_site_may_write_a_record_unless_repeats_are_allowed_everywhere() {
    for_each_record(|world, record| {
        if world.has_repeats_everywhere && matches!(record, Record::Repeat { .. }) {
            return;
        }
        let writers = writers(world, record);
        assert!(writers.len() <= 1, "sites {writers:?} write {record:?} in {world:?}");
    });
}

#[test]
fn what_lies_on_two_sites_lies_on_central() {
    for_each_record(|world, record| {
        let holders = holders(world, record);
        assert!(holders.len() == 1 || holders.contains(&1), "{record:?} lies on {holders:?} in {world:?}");
    });
}

#[test]
fn every_store_is_active_on_one_site_and_present_on_central_and_the_primary() {
    for seed in 0..WORLDS {
        let world = world(&mut Dice(seed));
        for store in world.stores.keys() {
            let roles = world.sites.keys().map(|site| role_in_force(&world, store, *site));
            assert_eq!(roles.filter(|role| *role == Role::Active).count(), 1);
            for site in [CENTRAL, world.primary()] {
                assert_ne!(role_in_force(&world, store, site), Role::None);
            }
        }
    }
}

#[test]
fn stores_see_each_other_or_not_at_all() {
    for seed in 0..WORLDS {
        let world = world(&mut Dice(seed));
        for one in STORES {
            for other in STORES {
                assert_eq!(sees(&world, one, other), sees(&world, other, one));
            }
        }
    }
}
