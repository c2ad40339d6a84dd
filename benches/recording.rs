//! Durable edits a second, with 1 and 8 writers, beside what the disk and SQLite do in the same run: a raw append with fdatasync
//! is the physical limit, SQLite (WAL, synchronous=FULL) is what an application would use by itself.
//!
//! Read the ratios between the rows of one run, not the times: disks and machines differ by factors.
#![allow(missing_docs, reason = "criterion's macros make functions without them")]
#![expect(clippy::disallowed_methods, reason = "a measurement is of real time")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use domain::catalogue::Catalogue;
use domain::edit::{Edit, EditOp};
use outpost::journal::{Identity, Journal, SledStorage};
use outpost::local_copy::{Kind, LocalCopy};
use outpost::recorder::{Core, Group, Recorder};
use protocol::control::{Control, ControlRow, Grant};
use protocol::ids::{
    ControlNumber, Epoch, Hash, JournalId, OwnershipNumber, Position, RecordId, Sequence, SiteId, Token,
};
use protocol::message::ReplyHead;
use sql::{Durability, Options, Sql as _, SqlExt as _, SqliteEngine};
use tempfile::TempDir;

const STORE: &str = "00000000000000000000000000000001";
const WRITERS: [u64; 2] = [1, 8];

fn data(number: u64) -> String {
    format!(
        r#"{{"store_ID":"{STORE}","item_ID":"{number:032X}","batch":"B{number}","expiry_date":"2027-03-11","pack_size":10,"available":{number},"quantity":{number},"cost_price":12.25,"sell_price":15.5,"note":""}}"#
    )
}

fn edit(number: u64) -> Edit {
    let id = RecordId::new(&format!("{number:032X}")).unwrap();
    Edit { table: "item_line".to_owned(), op: EditOp::Put, id, data: Some(data(number)) }
}

/// A recorder on a real disk whose site may write one store.
fn recorder(folder: &Path) -> Recorder<SledStorage> {
    let catalogue = Arc::new(Catalogue::embedded());
    let site = SiteId(2);
    let journal = |name: &str, id: u8| {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        let identity = Identity { site, journal: JournalId([id; 16]), predecessor: None };
        Journal::create(SledStorage::new(folder.join(name)), identity).unwrap()
    };
    let (shared, private) = (journal("journal", 1), journal("private", 2));
    let mut local = LocalCopy::open(&folder.join("local_copy.sqlite"), site, Arc::clone(&catalogue)).unwrap();
    local.use_journal(Kind::Shared, JournalId([1; 16])).unwrap();
    let grant = Grant {
        store: STORE.to_owned(),
        ownership: OwnershipNumber(1),
        is_held: true,
        proof: protocol::ids::GrantProof([0; 16]),
        number_gaps: 0,
    };
    let (code, content) = Control::Grant(grant).to_parts();
    let reply = ReplyHead {
        version: 1,
        token: Token::NONE,
        received: Sequence::ZERO,
        received_hash: Hash::NONE,
        judged: Sequence::ZERO,
        backed_up: Sequence::ZERO,
        epoch: Epoch(1),
        position: Position::ZERO,
        admitted_bytes: 0,
        frame_part: None,
        control: vec![ControlRow { number: ControlNumber(1), code, content }],
        has_more_control: false,
        rows_waiting: None,
        has_pages: false,
        further: Vec::new(),
    };
    local.store_reply(JournalId([1; 16]), &reply).unwrap();
    Recorder::new(site, catalogue, Core { shared, private, local }).unwrap()
}

/// Runs `edits` in so many threads; the time from the first to the last.
fn timed(writers: u64, edits: u64, work: impl Fn(u64) + Sync) -> Duration {
    let next = AtomicU64::new(0);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= edits {
                        return;
                    }
                    work(number);
                }
            });
        }
    });
    begin.elapsed()
}

fn durable_edits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("durable_edits");
    group.throughput(Throughput::Elements(1));
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    for writers in WRITERS {
        group.bench_function(BenchmarkId::new("raw_append_fdatasync", writers), |bencher| {
            let folder = TempDir::new().unwrap();
            let file = Mutex::new(std::fs::File::create(folder.path().join("raw")).unwrap());
            bencher.iter_custom(|edits| {
                timed(writers, edits, |number| {
                    let mut file = file.lock().unwrap();
                    file.write_all(data(number).as_bytes()).unwrap();
                    file.sync_data().unwrap();
                })
            });
        });
        group.bench_function(BenchmarkId::new("sqlite_wal_full", writers), |bencher| {
            let folder = TempDir::new().unwrap();
            let mut engine = SqliteEngine::open(folder.path().join("peer.sqlite"), &Options::new(1, 1)).unwrap();
            engine
                .in_transaction::<_, sql::SqlError>(Durability::Full, |sql| {
                    sql.execute_script("CREATE TABLE edit (number {bigint} PRIMARY KEY, data {text} NOT NULL) {table}")
                })
                .unwrap();
            let engine = Mutex::new((engine, 0_i64));
            bencher.iter_custom(|edits| {
                timed(writers, edits, |number| {
                    let mut engine = engine.lock().unwrap();
                    engine.1 += 1;
                    let key = engine.1;
                    let text = data(number);
                    engine.0.begin(Durability::Full).unwrap();
                    engine
                        .0
                        .execute("INSERT INTO edit (number, data) VALUES (?1, ?2)", &[key.into(), text.as_str().into()])
                        .unwrap();
                    engine.0.commit().unwrap();
                })
            });
        });
        group.bench_function(BenchmarkId::new("outpost_record", writers), |bencher| {
            let folder = TempDir::new().unwrap();
            let recorder = recorder(folder.path());
            let base = AtomicU64::new(0);
            bencher.iter_custom(|edits| {
                let begin = base.fetch_add(edits, Ordering::Relaxed);
                timed(writers, edits, |number| {
                    let group = Group { edits: vec![edit(begin + number)], request_id: None, recorded_at_ms: 0 };
                    recorder.record(group).unwrap();
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, durable_edits);
criterion_main!(benches);
