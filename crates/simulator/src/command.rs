//! `simulator --seed N | --runs N [--from N] | --minutes N | --replay FILE | --regressions`: the command line.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use lexopt::prelude::{Long, Short, ValueExt as _};

use crate::clock::now;
use crate::mix::{Fault, Profile};
use crate::run::{Failed, Passed, Plan, run, shrink};
use crate::world::Counts;

const HELP: &str = "\
Runs real agents and the real central against failing disks, networks and clocks, from one seed.

  simulator --seed N [--profile P] [--replay] [--twice]
      one run; --replay prints every event, --twice runs it twice and compares them byte for byte
  simulator --runs N [--from N] [--profile P] [--jobs N] [--minutes N]
      runs that many seeds, or for so long; stops at the first that fails, makes it smaller and says how to repeat it
  simulator --regressions
      runs the seeds that once failed

  --profile P     calm, edge, cuts, crash or hostile; without it each seed draws one. Or healing, which none draws: links heal, and
                  everything drains by the schedule in bounded time
  --without F     leaves a fault out; may be repeated (a smaller failing run is told in these words)
  --with F        has a fault in every run
  --sites N, --chaos-ms N   instead of what the seed draws
  --forks         devices and central may be copied, set back and replaced in every run, not only in those that draw it
  --lying-syncs   syncs of SQLite's disks do nothing: a control, which has to fail
  --jobs N        processes that share the seeds; 1 unless given
";
/// Runs that making a failing one smaller may take.
const SHRINK_TRIES_MAX: u32 = 120;
/// Seeds that once failed, each with its story.
const REGRESSIONS: &str = include_str!("../regressions.txt");

/// What the arguments ask for.
#[derive(Debug, Default)]
struct Options {
    seed: Option<u64>,
    from: u64,
    runs: Option<u64>,
    step: u64,
    minutes: Option<u64>,
    jobs: u64,
    profile: Option<Profile>,
    without: BTreeSet<Fault>,
    with: BTreeSet<Fault>,
    sites: Option<usize>,
    chaos_ms: Option<u64>,
    has_lying_syncs: bool,
    has_forks: bool,
    is_replay: bool,
    is_twice: bool,
    is_regressions: bool,
    is_quiet: bool,
}

/// The program: 0 if every run passed, 1 if one failed, 2 for arguments that make no sense.
pub fn main() -> ExitCode {
    let options = match parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    // A panic of the product is a finding, told with its run.
    std::panic::set_hook(Box::new(|_| {}));
    let is_passed = match (options.is_regressions, options.seed) {
        (true, _) => regressions(),
        (false, Some(seed)) => one(&options, seed),
        (false, None) if options.jobs > 1 => share(&options),
        (false, None) => many(&options),
    };
    if is_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options { from: 1, step: 1, jobs: 1, ..Options::default() };
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("seed") => options.seed = Some(parser.value()?.parse()?),
            Long("from") => options.from = parser.value()?.parse()?,
            Long("runs") => options.runs = Some(parser.value()?.parse()?),
            Long("step") => options.step = parser.value()?.parse::<u64>()?.max(1),
            Long("minutes") => options.minutes = Some(parser.value()?.parse()?),
            Long("jobs") => options.jobs = parser.value()?.parse()?,
            Long("profile") => options.profile = Some(named(&mut parser, "profile", Profile::of)?),
            Long("without") => {
                options.without.insert(named(&mut parser, "fault", Fault::of)?);
            }
            Long("with") => {
                options.with.insert(named(&mut parser, "fault", Fault::of)?);
            }
            Long("sites") => options.sites = Some(parser.value()?.parse()?),
            Long("chaos-ms") => options.chaos_ms = Some(parser.value()?.parse()?),
            Long("lying-syncs") => options.has_lying_syncs = true,
            Long("forks") => options.has_forks = true,
            Long("replay") => options.is_replay = true,
            Long("twice") => options.is_twice = true,
            Long("regressions") => options.is_regressions = true,
            Long("quiet") => options.is_quiet = true,
            other => return Err(other.unexpected()),
        }
    }
    if options.seed.is_none() && options.runs.is_none() && options.minutes.is_none() && !options.is_regressions {
        return Ok(None);
    }
    Ok(Some(options))
}

fn named<T>(parser: &mut lexopt::Parser, what: &str, of: fn(&str) -> Option<T>) -> Result<T, lexopt::Error> {
    let word = parser.value()?.string()?;
    of(&word).ok_or_else(|| format!("there is no {what} {word:?}").into())
}

impl Options {
    fn plan(&self, seed: u64) -> Plan {
        Plan {
            seed,
            profile: self.profile,
            without: self.without.clone(),
            with: self.with.clone(),
            sites: self.sites,
            chaos_ms: self.chaos_ms,
            has_lying_syncs: self.has_lying_syncs,
            has_forks: self.has_forks,
        }
    }
}

/// One run.
fn one(options: &Options, seed: u64) -> bool {
    let plan = options.plan(seed);
    let first = run(&plan, options.is_replay);
    match &first {
        Ok(passed) => {
            println!("passed: {plan}: {} events, {}, digest {}", passed.events, counts(passed.counts), passed.digest);
        }
        Err(failed) => tell(&plan, failed),
    }
    if options.is_twice {
        let second = run(&plan, false);
        let is_same = match (&first, &second) {
            (Ok(one), Ok(two)) => one == two,
            (Err(one), Err(two)) => one.violation == two.violation && one.last_page == two.last_page,
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        };
        println!("{}", if is_same { "the second run is the same, byte for byte" } else { "THE SECOND RUN DIFFERS" });
        return first.is_ok() && is_same;
    }
    first.is_ok()
}

/// Many runs in this process.
fn many(options: &Options) -> bool {
    let begin = now();
    let limit = options.minutes.map(|minutes| Duration::from_secs(minutes * 60));
    let mut sum = Counts::default();
    let mut told = begin;
    let mut passed_runs = 0;
    let mut seed = options.from;
    loop {
        if options.runs.is_some_and(|runs| passed_runs >= runs) || limit.is_some_and(|limit| begin.elapsed() >= limit) {
            break;
        }
        let plan = options.plan(seed);
        match run(&plan, false) {
            Ok(passed) => add(&mut sum, &passed),
            Err(failed) => {
                tell(&plan, &failed);
                make_smaller(&plan, &failed);
                println!("{passed_runs} seeds passed before it");
                return false;
            }
        }
        passed_runs += 1;
        seed += options.step;
        if !options.is_quiet && told.elapsed() > Duration::from_secs(10) {
            told = now();
            println!("{passed_runs} seeds passed, {} s, {}", begin.elapsed().as_secs(), counts(sum));
        }
    }
    let seconds = begin.elapsed().as_secs_f64().max(0.001);
    println!(
        "{passed_runs} seeds passed in {seconds:.0} s, {:.0} a minute, {}",
        f64::from(u32::try_from(passed_runs).unwrap_or(u32::MAX)) * 60.0 / seconds,
        counts(sum)
    );
    true
}

/// The same seeds in several processes: a run has to have its process for itself, because SQLite's chance is the process's.
fn share(options: &Options) -> bool {
    let Ok(program) = std::env::current_exe() else {
        eprintln!("the program does not know where it lies");
        return false;
    };
    let mut children: Vec<Child> = Vec::new();
    for job in 0..options.jobs {
        let mut command = Command::new(&program);
        command.arg("--from").arg((options.from + job).to_string()).arg("--step").arg(options.jobs.to_string());
        if let Some(runs) = options.runs {
            command.arg("--runs").arg((runs / options.jobs + u64::from(job < runs % options.jobs)).to_string());
        }
        if let Some(minutes) = options.minutes {
            command.arg("--minutes").arg(minutes.to_string());
        }
        if let Some(profile) = options.profile {
            command.arg("--profile").arg(profile.as_str());
        }
        if options.has_forks {
            command.arg("--forks");
        }
        for fault in &options.with {
            command.arg("--with").arg(fault.as_str());
        }
        for fault in &options.without {
            command.arg("--without").arg(fault.as_str());
        }
        match command.stdin(Stdio::null()).spawn() {
            Ok(child) => children.push(child),
            Err(error) => eprintln!("a process cannot be started: {error}"),
        }
    }
    let mut is_passed = children.len() as u64 == options.jobs;
    for mut child in children {
        is_passed &= child.wait().is_ok_and(|status| status.success());
    }
    is_passed
}

/// The seeds that once failed.
fn regressions() -> bool {
    let mut is_passed = true;
    let mut count = 0;
    for line in REGRESSIONS.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (arguments, story) = line.split_once('#').unwrap_or((line, ""));
        let parsed = parse(arguments.split_whitespace().map(OsString::from));
        let Ok(Some(Options { seed: Some(seed), .. })) = &parsed else {
            eprintln!("the list of regressions has a line that is none: {line}");
            return false;
        };
        let Ok(Some(options)) = &parsed else { return false };
        count += 1;
        if let Err(failed) = run(&options.plan(*seed), false) {
            println!("{}", story.trim());
            tell(&options.plan(*seed), &failed);
            is_passed = false;
        }
    }
    println!("{count} regression seeds, {}", if is_passed { "all passed" } else { "SOME FAILED" });
    is_passed
}

fn tell(plan: &Plan, failed: &Failed) {
    for line in &failed.last_page {
        println!("{line}");
    }
    println!("FAILED invariant {}: {}", failed.violation.invariant, failed.violation.text);
    println!("mix: {}", failed.mix);
    println!("again: cargo run --release -p simulator -- {plan} --replay");
}

fn make_smaller(plan: &Plan, failed: &Failed) {
    println!("making it smaller ...");
    let (best, last) = shrink(plan, failed, SHRINK_TRIES_MAX, &mut |best| println!("  {best}"));
    if let Some(last) = last {
        tell(&best, &last);
    }
}

fn add(sum: &mut Counts, passed: &Passed) {
    let Counts { edits, sessions, drained, commits, crashes, refused, faults, forks } = passed.counts;
    sum.edits += edits;
    sum.sessions += sessions;
    sum.drained += drained;
    sum.commits += commits;
    sum.crashes += crashes;
    sum.refused += refused;
    sum.faults += faults;
    sum.forks += forks;
}

fn counts(counts: Counts) -> String {
    let Counts { edits, sessions, drained, commits, crashes, refused, faults, forks } = counts;
    format!(
        "edits {edits}, sessions {sessions} (drained {drained}), commits {commits}, crashes {crashes}, other faults {faults}, forks {forks}, refused {refused}"
    )
}
