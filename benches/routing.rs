//! What it costs central to apply one record, beside the same with 10 sites in the same run: it depends neither on the number of sites
//! nor on that of records, because a record is written into one lane and not once for each site.
//!
//! Fails, whatever the times are, if a record wrote more than one row of a lane. For instruction counts, which another load on the
//! machine does not change, prepare a folder and run what is measured under valgrind:
//!
//! ```text
//! cargo bench -p central --bench routing -- prepare FOLDER SITES RECORDS
//! valgrind --tool=callgrind --toggle-collect='routing::world::apply_*' BENCH apply FOLDER
//! ```
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark reports")]
#![expect(clippy::disallowed_methods, reason = "a measurement is of real time")]
#![expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]

#[path = "routing/counting.rs"]
mod counting;
#[path = "routing/world.rs"]
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use world::{Work, World};

/// Groups in one commit, as the server puts the work of its sites together.
const GROUPS: u64 = 100;

/// What one commit was measured to be.
struct Measured {
    /// In microseconds a record: without the commit, and with it.
    work_us: f64,
    whole_us: f64,
    statements: u64,
    lane_rows: u64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["prepare", folder, sites, records] => {
            prepare(Path::new(folder), sites.parse().unwrap(), records.parse().unwrap());
            Ok(())
        }
        ["apply", folder] => apply(Path::new(folder)),
        // `cargo test --benches` only wants to know that it runs.
        _ if words.contains(&"--test") => compare(&[10, 20], &[20, 50], 1),
        _ => compare(&[10, 1_000, 40_000], &[1_000, 100_000], 40),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

fn prepare(folder: &Path, sites: u32, records: u32) {
    std::fs::create_dir_all(folder).unwrap();
    let begin = Instant::now();
    World::prepare(folder, sites, records);
    println!("{sites} sites, {records} records: {:.1} s to prepare", begin.elapsed().as_secs_f64());
}

/// Commits of each work for a profile: their sites are twice as many as central keeps in memory.
const PROFILED_ROUNDS: u64 = 20;

/// Each work some times, on a copy so that a second run finds what the first one did; nothing is told of times.
fn apply(prepared: &Path) -> Result<(), String> {
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(prepared).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let mut world = World::open(copy.path());
    for _ in 0..PROFILED_ROUNDS {
        for work in Work::ALL {
            measure(&mut world, work)?;
        }
    }
    println!("{} records of each kind", PROFILED_ROUNDS * GROUPS);
    Ok(())
}

fn compare(sites: &[u32], records: &[u32], rounds: usize) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let mut worlds = Vec::new();
    for records in records {
        for sites in sites {
            let path: PathBuf = folder.path().join(format!("{sites}-{records}"));
            prepare(&path, *sites, *records);
            worlds.push(World::open(&path));
        }
    }
    refusals(&mut worlds, sites.len(), rounds);
    for work in Work::ALL {
        // Interleaved, so that what else runs on the machine meets all sizes alike.
        let mut measured: Vec<Vec<Measured>> = worlds.iter().map(|_| Vec::new()).collect();
        for round in 0..=rounds {
            for (world, measured) in worlds.iter_mut().zip(&mut measured) {
                let one = measure(world, work)?;
                // The first round prepares statements and reads pages.
                if round > 0 {
                    measured.push(one);
                }
            }
        }
        println!("{}:", work.name());
        for (worlds, measured) in worlds.chunks(sites.len()).zip(measured.chunks(sites.len())) {
            report(worlds, measured);
        }
    }
    Ok(())
}

/// A job that is refused, alone in its commit: what the writer keeps in memory is as it was.
fn refusals(worlds: &mut [World], sizes: usize, rounds: usize) {
    let mut measured: Vec<Vec<f64>> = worlds.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (world, measured) in worlds.iter_mut().zip(&mut measured) {
            let begin = Instant::now();
            world.be_refused();
            measured.push(begin.elapsed().as_secs_f64() * 1e6);
        }
    }
    println!("a frame that is refused because of a gap:");
    for (worlds, measured) in worlds.chunks(sizes).zip(measured.chunks(sizes)) {
        let us: Vec<f64> = measured.iter().map(|measured| median(measured.iter().copied())).collect();
        for (world, us_here) in worlds.iter().zip(&us) {
            let ratio = us_here / us.first().unwrap();
            println!("  {:>6} sites, {:>6} records: {us_here:6.1} us, ratio {ratio:.2}", world.sites, world.records);
        }
    }
}

/// A line for each number of sites, of one number of records; the first is what the others stand beside.
fn report(worlds: &[World], measured: &[Vec<Measured>]) {
    let mut beside = None;
    for (world, measured) in worlds.iter().zip(measured) {
        let a_record = |count: fn(&Measured) -> u64| {
            measured.iter().map(count).sum::<u64>() as f64 / (measured.len() as u64 * GROUPS) as f64
        };
        let work_us = median(measured.iter().map(|one| one.work_us));
        let whole_us = median(measured.iter().map(|one| one.whole_us));
        let (beside_work_us, beside_whole_us) = *beside.get_or_insert((work_us, whole_us));
        println!(
            "  {:>6} sites, {:>6} records: {work_us:6.1} us, ratio {:.2}; with the commit {whole_us:6.1} us, ratio {:.2}; {:.2} rows of \
             lanes and {:.2} statements a record",
            world.sites,
            world.records,
            work_us / beside_work_us,
            whole_us / beside_whole_us,
            a_record(|one| one.lane_rows),
            a_record(|one| one.statements),
        );
    }
}

/// One commit; an error if it wrote other rows of lanes than one for each record.
fn measure(world: &mut World, work: Work) -> Result<Measured, String> {
    let ready = world.ready(work, GROUPS);
    let head = world.store.position().0;
    let before = world.counts.now();
    let begin = Instant::now();
    let spent = world.store.batch(world::NOW_MS, |batch| {
        let begin = Instant::now();
        ready.apply(batch);
        begin.elapsed()
    });
    let (spent, whole) = (spent.unwrap(), begin.elapsed());
    let after = world.counts.now();
    let lane_rows = after.1 - before.1;
    let positions = world.store.position().0 - head;
    check_lanes(ready.records(), positions, lane_rows, world.lane_rows_above(head))
        .map_err(|fault| format!("{} sites, {}: {fault}", world.sites, work.name()))?;
    let us = |duration: Duration| duration.as_secs_f64() * 1e6 / GROUPS as f64;
    Ok(Measured { work_us: us(spent), whole_us: us(whole), statements: after.0 - before.0, lane_rows })
}

/// Each of these records stands in one scope, and so in one row of one lane, which each edit of it writes once.
fn check_lanes(records: u64, positions: u64, written: u64, committed: u64) -> Result<(), String> {
    if positions == GROUPS && written == GROUPS && committed == records {
        return Ok(());
    }
    Err(format!(
        "{GROUPS} edits of {records} records took {positions} positions, wrote {written} rows of lanes and left {committed}; \
         each edit takes one, and each record has one"
    ))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    *values.get(values.len() / 2).unwrap()
}
