//! What the store promises, run on every engine, and a device that is just clever enough to be told it.

mod audit;
mod binding;
mod claims;
mod deleting;
mod device;
mod drain;
mod explain;
mod exporting;
mod first_homes;
mod healing;
mod home_merges;
mod home_transfers;
mod judging;
mod lanes;
mod merging;
mod messages;
mod mirror;
mod moves;
mod news;
mod number_gaps;
mod origin;
mod patients;
mod pausing;
mod people;
mod prescribers;
mod prescriptions;
mod procurement;
mod proposals;
mod receiving;
mod rehearsal;
mod scopes;
mod set_aside;
mod sights;
mod sites;
mod speed;
mod tokens;
mod tombstones;
mod transfers;
mod transfers_kept;
mod transfers_renewed;
mod transfers_routed;
mod unreadable;
mod users;
mod verifying;
mod versions;
mod visibility;
mod visibility_drawn;

use std::sync::Arc;

use domain::catalogue::Catalogue;
use domain::edit::Edit;
use domain::merge::Merged;
use protocol::exchange::Standing;
use protocol::hardware::{HardwareId, HardwareKind, HardwareSource};
use protocol::ids::{CredentialGeneration, Epoch, HardwareSalt, JournalId, Nonce, PublicKey, RecordId, SiteId, Token};
use sql::{Sql, SqliteEngine};

use super::*;
pub(super) use device::Device;

macro_rules! contract {
    ($($promise:ident),* $(,)?) => {
        mod sqlite_on_disk {
            $(#[test]
            fn $promise() {
                let folder = tempfile::tempdir().unwrap();
                super::$promise(&mut super::World::on_disk(folder.path()));
            })*
        }

        mod sqlite_in_memory {
            $(#[test]
            fn $promise() {
                super::$promise(&mut super::World::in_memory());
            })*
        }
    };
}
pub(super) use contract;

/// A central with a clock and a source of tokens.
pub(super) struct World {
    pub(super) store: Store,
    pub(super) now_ms: u64,
    chance: u128,
    /// Whom commits concerned, as far as that was taken in.
    concerned: Vec<Concerned>,
}

pub(super) const LIMITS: StoreLimits = StoreLimits {
    group_entries_max: 5,
    group_bytes_max: 4096,
    waiting_entries_max: 6,
    control_bytes_max: 65_536,
    control_rows_max: 1000,
    set_aside_entries_max: 2,
    set_aside_bytes_max: 1 << 20,
    backfill_step_rows_max: BACKFILL_STEP_ROWS,
    audit_rows_max: 20,
};

impl World {
    pub(super) fn in_memory() -> Self {
        Self::with(Box::new(SqliteEngine::in_memory().unwrap()), LIMITS)
    }

    pub(super) fn on_disk(folder: &std::path::Path) -> Self {
        Self::with(Box::new(SqliteEngine::open(folder.join("central.db"), &sqlite_options()).unwrap()), LIMITS)
    }

    pub(super) fn with(sql: Box<dyn Sql>, limits: StoreLimits) -> Self {
        Self::in_epoch(sql, limits, 100)
    }

    pub(super) fn in_epoch(sql: Box<dyn Sql>, limits: StoreLimits, epoch: u64) -> Self {
        let entropy = StartEntropy { epoch: Epoch(epoch), journal: JournalId([100; 16]), token_secret: [1; 32] };
        let store = Store::open(sql, Arc::new(Catalogue::embedded()), limits, entropy, 1).unwrap();
        Self { store, now_ms: 1000, chance: 0, concerned: Vec::new() }
    }

    /// Stops central and starts it again, in an epoch of this number.
    pub(super) fn restart(&mut self, epoch: u64) {
        let entropy = StartEntropy { epoch: Epoch(epoch), journal: JournalId([200; 16]), token_secret: [1; 32] };
        let nowhere = Box::new(SqliteEngine::in_memory().unwrap());
        let sql = std::mem::replace(&mut self.store.sql, nowhere);
        self.store = Store::open(sql, Arc::new(Catalogue::embedded()), LIMITS, entropy, 1).unwrap();
    }

    pub(super) fn set_limits(&mut self, change: impl FnOnce(&mut StoreLimits)) {
        change(&mut self.store.limits);
    }

    pub(super) fn token(&mut self) -> Token {
        self.chance += 1;
        Token(self.chance.to_le_bytes())
    }

    /// One job that must succeed.
    pub(super) fn job<T>(&mut self, work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError>) -> T {
        self.try_job(work).unwrap()
    }

    pub(super) fn try_job<T>(
        &mut self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.store.batch(self.now_ms, work).unwrap()
    }

    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is of one lifetime, the closure of any")]
    pub(super) fn end_healing(&mut self) -> Result<u64, StoreError> {
        self.try_job(|batch| batch.end_healing())
    }

    /// Imports lines "op table id data".
    pub(super) fn import(&mut self, mode: ImportMode, lines: &[&str]) -> ImportReport {
        let edits: Vec<Edit> = lines.iter().map(|line| edit(line)).collect();
        self.job(|batch| batch.import(&mut edits.into_iter(), mode))
    }

    pub(super) fn write(&mut self, lines: &[&str]) {
        let report = self.import(ImportMode::AllOrNothing, lines);
        assert!(report.is_kept, "{:?}", report.refusals);
    }

    /// A site with the stores of its own.
    pub(super) fn device(&mut self, stores: &[&str]) -> Device {
        for store in stores {
            self.write(&[&format!(r#"upsert store {store} {{"code":"{store}"}}"#)]);
        }
        let new = NewSite {
            name: format!("site of {}", stores.join(" and ")).trim_end().to_owned(),
            code: String::new(),
            kind: SiteKind::Standalone,
            password_hash: "hash".to_owned(),
            salt: HardwareSalt([1; 16]),
            stores: stores.iter().map(|store| id(store)).collect(),
        };
        let site = self.job(|batch| batch.add_site(&new));
        let journal = JournalId([u8::try_from(site.0).unwrap(); 16]);
        self.job(|batch| batch.enrol(site, &enrolling(7, journal)));
        Device::new(site, journal)
    }

    /// The data of a record at central, or "deleted", or "unknown".
    pub(super) fn data(&mut self, table: &str, record: &str) -> String {
        match self.store.reading().record(table, &id(record)).unwrap() {
            None => "unknown".to_owned(),
            Some(row) => row.data.unwrap_or_else(|| "deleted".to_owned()),
        }
    }

    pub(super) fn status(&mut self, device: &Device) -> SiteStatus {
        self.store.reading().site_status(device.site).unwrap().unwrap()
    }
}

/// A device of which the key differs and the hardware does not: a tablet that is wiped now and then.
pub(super) fn enrolling(key: u8, journal: JournalId) -> EnrollingDevice {
    EnrollingDevice { key: PublicKey([key; 32]), journal, hardware: hardware("cu"), kind: SiteKind::Standalone }
}

/// Hardware with a source for each letter: `c` the chip, `u` the product, `m` the machine id; another case is another value.
pub(super) fn hardware(letters: &str) -> HardwareId {
    let sources = letters.bytes().map(|letter| HardwareSource {
        kind: match letter.to_ascii_lowercase() {
            b'c' => HardwareKind::SocSerial,
            b'u' => HardwareKind::ProductUuid,
            _ => HardwareKind::MachineId,
        },
        digest: [letter; 16],
    });
    HardwareId::new(sources.collect()).unwrap()
}

/// Syncs twice, so that central hears what the device has stored; how many rows the first one brought.
pub(super) fn settle(world: &mut World, device: &mut Device) -> usize {
    let count = news::checked_sync(world, device);
    let reply = device.push(world);
    device.pull(world);
    news::check_quiet(world, device, &reply);
    count
}

/// Records a line as a group and syncs; the codes that came back.
pub(super) fn refused(world: &mut World, device: &mut Device, line: &str) -> Vec<String> {
    let told = device.told.len();
    device.record(&[line]);
    settle(world, device);
    device.told[told..].iter().map(|(_, code)| code.clone()).collect()
}

/// Two sites with a dispensary each, A and B, of which neither sees the other.
pub(super) fn two_dispensaries(world: &mut World) -> (Device, Device) {
    dispensaries(world, &["A"])
}

/// The same where the first site has these stores, A among them.
pub(super) fn dispensaries(world: &mut World, stores: &[&str]) -> (Device, Device) {
    let (mut one, mut two) = (world.device(stores), world.device(&["B"]));
    world.write(&[
        r#"patch store A {"name_ID":"nA","store_mode":"dispensary"}"#,
        r#"patch store B {"name_ID":"nB","store_mode":"dispensary"}"#,
    ]);
    settle(world, &mut one);
    settle(world, &mut two);
    (one, two)
}

pub(super) fn has(device: &Device, table: &str, record: &str) -> bool {
    device.data(table, record) != "not here"
}

pub(super) fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

pub(super) fn edit(line: &str) -> Edit {
    let mut words = line.splitn(4, ' ');
    let (op, table, record) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let data = words.next().map_or(String::new(), |data| format!(r#","data":{data}"#));
    Edit::parse(&format!(r#"{{"table":"{table}","op":"{op}","id":"{record}"{data}}}"#)).unwrap()
}

pub(super) fn code<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    result.unwrap_err().code().to_owned()
}

pub(super) const CENTRAL: SiteId = SiteId::CENTRAL;
/// What a challenge asks for where none is expected.
pub(super) const NONCE: Nonce = Nonce([9; 16]);
