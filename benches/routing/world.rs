//! A central with sites that hold a store each, and what is done to it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use central::store::{
    Batch, EnrollingDevice, ImportMode, NewSite, SiteKind, StartEntropy, Store, StoreLimits, sqlite_options,
};
use domain::catalogue::Catalogue;
use domain::edit::Edit;
use domain::json;
use protocol::chain;
use protocol::entry::{Entry, Operation};
use protocol::frame::Frame;
use protocol::hardware::{HardwareId, HardwareKind, HardwareSource};
use protocol::ids::{Epoch, HardwareSalt, Hash, JournalId, OwnershipNumber, PublicKey, RecordId, Sequence, SiteId};
use sql::{SqlExt as _, SqliteEngine};

use super::counting::{Counting, Counts};

/// What goes into one commit while a world is prepared.
const PREPARED_AT_ONCE: usize = 1_000;
/// The time never matters.
pub(crate) const NOW_MS: u64 = 1_764_000_000_000;
const DATABASE: &str = "central.db";

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// New records of one site's store, from that site.
    StoreData,
    /// New records of stores of many sites, one from each in turn.
    ManySites,
    /// New records that go to every site.
    CentralData,
    /// A change of a store's record that leaves its mode as it is.
    StoreRecord,
}

impl Work {
    pub(crate) const ALL: [Self; 4] = [Self::StoreData, Self::ManySites, Self::CentralData, Self::StoreRecord];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::StoreData => "store data of one site, stored and judged",
            Self::ManySites => "store data, each record from the next site, stored and judged",
            Self::CentralData => "central data",
            Self::StoreRecord => "a store's record, its mode as before",
        }
    }
}

/// A site's journal.
#[derive(Clone)]
struct Device {
    site: SiteId,
    journal: JournalId,
    sequence: Sequence,
    hash: Hash,
}

/// Work that is ready to be applied.
pub(crate) enum Ready {
    Frames(Work, Vec<(SiteId, Frame)>),
    Edits(Work, Vec<Edit>),
}

pub(crate) struct World {
    pub(crate) sites: u32,
    pub(crate) records: u32,
    pub(crate) store: Store,
    pub(crate) counts: Arc<Counts>,
    /// Looks at what was committed; not through the connection that is measured.
    reader: SqliteEngine,
    catalogue: Arc<Catalogue>,
    devices: Vec<Device>,
    next_device: usize,
    next: u64,
}

impl World {
    /// Makes a database in a folder: stores, records of stores in turn, then sites that are given a store each.
    pub(crate) fn prepare(folder: &Path, sites: u32, records: u32) {
        let mut store = open(folder, Epoch(100), Arc::default());
        let stores: Vec<Edit> =
            (0..sites).map(|site| put("store", &store_id(site), &format!(r#"{{"code":"S{site}"}}"#))).collect();
        import_all(&mut store, &stores);
        let data: Vec<Edit> = (0..records)
            .map(|number| {
                let (id, row) = transact(number % sites, u64::from(number));
                put("transact", &id, &row)
            })
            .collect();
        import_all(&mut store, &data);
        let numbers: Vec<u32> = (0..sites).collect();
        for numbers in numbers.chunks(PREPARED_AT_ONCE) {
            store.batch(NOW_MS, |batch| numbers.iter().for_each(|number| add_site(batch, *number))).unwrap();
        }
    }

    /// Opens what was prepared, as a start of central does.
    pub(crate) fn open(folder: &Path) -> Self {
        let counts = Arc::new(Counts::default());
        let store = open(folder, Epoch(200), Arc::clone(&counts));
        let mut reader = SqliteEngine::open(folder.join(DATABASE), &sqlite_options().read_only()).unwrap();
        let mut count = |sql: &str| u32::try_from(reader.query_integer(sql, &[]).unwrap().unwrap()).unwrap();
        let sites = count("SELECT count(*) FROM site") - 1;
        let records = count("SELECT count(*) FROM record WHERE table_name = 'transact'");
        let devices = (0..sites).map(|number| {
            let (site, journal) = (site_id(number), journal_id(number));
            Device { site, journal, sequence: Sequence::ZERO, hash: chain::genesis(site, journal, None) }
        });
        let (devices, catalogue) = (devices.collect(), Arc::clone(store.catalogue()));
        Self { sites, records, store, counts, reader, catalogue, devices, next_device: 0, next: 1 << 32 }
    }

    /// Edits and frames, made before the clock runs.
    pub(crate) fn ready(&mut self, work: Work, groups: u64) -> Ready {
        match work {
            Work::StoreData => Ready::Frames(work, vec![self.frame(0, groups)]),
            Work::ManySites => {
                let frames = (0..groups).map(|_| {
                    // Where there are many, it comes back to a site only when the writer has let go of it.
                    self.next_device = (self.next_device + 7) % self.devices.len();
                    self.frame(self.next_device, 1)
                });
                Ready::Frames(work, frames.collect())
            }
            Work::CentralData => {
                let edits = (0..groups).map(|_| {
                    let number = self.next_number();
                    let row = format!(r#"{{"item_name":"Amoxicillin 250mg","code":"{number}","default_pack_size":1}}"#);
                    put("item", &scattered(number), &row)
                });
                Ready::Edits(work, edits.collect())
            }
            Work::StoreRecord => {
                let edits = (0..groups).map(|_| {
                    let number = self.next_number();
                    let store = store_id(u32::try_from(number % u64::from(self.sites)).unwrap());
                    edit("patch", "store", &store, &format!(r#"{{"code":"C{number}"}}"#))
                });
                Ready::Edits(work, edits.collect())
            }
        }
    }

    /// A frame comes that does not follow what was received.
    pub(crate) fn be_refused(&mut self) {
        let device = self.devices.first().unwrap();
        let entries = vec![(vec![0], device.hash)];
        let (journal, first, before) = (device.journal, Sequence(1 << 40), device.hash);
        let frame = Frame { journal, first, before, entries, refused: Vec::new() };
        let outcome = self.store.batch(NOW_MS, |batch| batch.store_frame(device.site, &frame)).unwrap();
        assert_eq!(outcome.unwrap_err().code(), "gap");
    }

    /// Rows of lanes above a position, as they are committed.
    pub(crate) fn lane_rows_above(&mut self, position: u64) -> u64 {
        let sql = "SELECT count(*) FROM lane WHERE position > ?1";
        let position = i64::try_from(position).unwrap();
        self.reader.query_integer(sql, &[position.into()]).unwrap().unwrap().cast_unsigned()
    }

    fn next_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Groups of one entry, new records of the site's store.
    fn frame(&mut self, device: usize, groups: u64) -> (SiteId, Frame) {
        let table = self.catalogue.table_by_name("transact").unwrap();
        let number = u32::try_from(device).unwrap();
        let device = self.devices.get_mut(device).unwrap();
        let (first, before) = (device.sequence.next(), device.hash);
        let mut entries = Vec::new();
        for _ in 0..groups {
            self.next += 1;
            let (id, row) = transact(number, self.next);
            let record = RecordId::new(&id).unwrap();
            let operation = Operation::Put(json::row_from_json(table, &record, &row).unwrap());
            let (table, ownership) = (table.reference().clone(), OwnershipNumber(1));
            let bytes = Entry { is_group_end: true, ownership, table, record, operation }.encode();
            device.sequence = device.sequence.next();
            device.hash = chain::extend(device.hash, &bytes);
            entries.push((bytes, device.hash));
        }
        (device.site, Frame { journal: device.journal, first, before, entries, refused: Vec::new() })
    }
}

impl Ready {
    /// How many records it writes: an edit may be of one that another one is of.
    pub(crate) fn records(&self) -> u64 {
        match self {
            Self::Frames(_, frames) => frames.iter().map(|(_, frame)| frame.entries.len() as u64).sum(),
            Self::Edits(_, edits) => edits.iter().map(|edit| &edit.id).collect::<BTreeSet<_>>().len() as u64,
        }
    }

    /// All of it in the open batch. A function for each work, so that a profile tells them apart.
    pub(crate) fn apply(&self, batch: &mut Batch<'_>) {
        match self {
            Self::Frames(Work::ManySites, frames) => apply_many_sites(batch, frames),
            Self::Frames(_, frames) => apply_store_data(batch, frames),
            Self::Edits(Work::StoreRecord, edits) => apply_store_record(batch, edits),
            Self::Edits(_, edits) => apply_central_data(batch, edits),
        }
    }
}

#[inline(never)]
fn apply_store_data(batch: &mut Batch<'_>, frames: &[(SiteId, Frame)]) {
    take(batch, frames);
}

#[inline(never)]
fn apply_many_sites(batch: &mut Batch<'_>, frames: &[(SiteId, Frame)]) {
    take(batch, frames);
    // Two functions of one body are made one.
    std::hint::black_box("many sites");
}

#[inline(never)]
fn apply_central_data(batch: &mut Batch<'_>, edits: &[Edit]) {
    import(batch, edits);
}

#[inline(never)]
fn apply_store_record(batch: &mut Batch<'_>, edits: &[Edit]) {
    import(batch, edits);
    std::hint::black_box("store record");
}

fn take(batch: &mut Batch<'_>, frames: &[(SiteId, Frame)]) {
    for (site, frame) in frames {
        batch.store_frame(*site, frame).unwrap();
        let judged = batch.judge(*site, &mut || true).unwrap();
        assert_eq!(judged.groups, frame.entries.len() as u64);
    }
}

fn import(batch: &mut Batch<'_>, edits: &[Edit]) {
    let report = batch.import(&mut edits.iter().cloned(), ImportMode::AllOrNothing).unwrap();
    assert_eq!(report.written, edits.len() as u64, "{:?}", report.refusals);
}

fn import_all(store: &mut Store, edits: &[Edit]) {
    for edits in edits.chunks(PREPARED_AT_ONCE) {
        store.batch(NOW_MS, |batch| import(batch, edits)).unwrap();
    }
}

/// Each start is an epoch of its own.
fn open(folder: &Path, epoch: Epoch, counts: Arc<Counts>) -> Store {
    let engine = SqliteEngine::open(folder.join(DATABASE), &sqlite_options()).unwrap();
    let entropy = StartEntropy { epoch, journal: JournalId([100; 16]), token_secret: [1; 32] };
    let (sql, catalogue) = (Box::new(Counting::new(engine, counts)), Arc::new(Catalogue::embedded()));
    Store::open(sql, catalogue, StoreLimits::default(), entropy, NOW_MS).unwrap()
}

fn add_site(batch: &mut Batch<'_>, number: u32) {
    let site = batch
        .add_site(&NewSite {
            name: format!("site {number}"),
            code: String::new(),
            kind: SiteKind::Standalone,
            password_hash: "hash".to_owned(),
            salt: HardwareSalt([1; 16]),
            stores: vec![RecordId::new(&store_id(number)).unwrap()],
        })
        .unwrap();
    assert_eq!(site, site_id(number));
    let digest = [1; 16];
    let sources = vec![
        HardwareSource { kind: HardwareKind::SocSerial, digest },
        HardwareSource { kind: HardwareKind::ProductUuid, digest },
    ];
    let hardware = HardwareId::new(sources).unwrap();
    let device =
        EnrollingDevice { key: PublicKey([7; 32]), journal: journal_id(number), hardware, kind: SiteKind::Standalone };
    batch.enrol(site, &device).unwrap();
}

/// The first site after central has id 2.
fn site_id(number: u32) -> SiteId {
    SiteId(number + 2)
}

fn journal_id(number: u32) -> JournalId {
    JournalId((u128::from(number) + 1).to_be_bytes())
}

fn store_id(number: u32) -> String {
    scattered((1 << 48) + u64::from(number))
}

/// An id of 32 digits that stands anywhere among the others, as random ids do.
fn scattered(number: u64) -> String {
    format!("{:032X}", (u128::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

fn transact(site: u32, number: u64) -> (String, String) {
    let store = store_id(site);
    let row = format!(r#"{{"store_ID":"{store}","status":"nw","comment":"a delivery of number {number}"}}"#);
    (scattered(number), row)
}

fn put(table: &str, id: &str, data: &str) -> Edit {
    edit("put", table, id, data)
}

fn edit(op: &str, table: &str, id: &str, data: &str) -> Edit {
    Edit::parse(&format!(r#"{{"table":"{table}","op":"{op}","id":"{id}","data":{data}}}"#)).unwrap()
}
