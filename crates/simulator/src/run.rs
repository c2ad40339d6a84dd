//! One run from one seed, and how a failing one is made smaller.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use protocol::ids::Hash;

use crate::disk::seed_sqlite;
use crate::mix::{Fault, Mix, Profile};
use crate::model::Violation;
use crate::random::Random;
use crate::world::{Counts, World};

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The profile; `None` takes the one that the seed draws.
    pub profile: Option<Profile>,
    /// Faults that are left out.
    pub without: BTreeSet<Fault>,
    /// Faults that are there whatever the seed draws.
    pub with: BTreeSet<Fault>,
    /// Remote sites, if not as drawn.
    pub sites: Option<usize>,
    /// How long things go wrong, in virtual milliseconds, if not as drawn.
    pub chaos_ms: Option<u64>,
    /// Syncs of SQLite's disks do nothing: the control that the oracles can fail.
    pub has_lying_syncs: bool,
    /// Devices and central may be copied, set back and replaced, also if the seed does not draw it.
    pub has_forks: bool,
}

impl Plan {
    /// A seed as it is.
    pub fn of_seed(seed: u64, profile: Option<Profile>) -> Self {
        Self {
            seed,
            profile,
            without: BTreeSet::new(),
            with: BTreeSet::new(),
            sites: None,
            chaos_ms: None,
            has_lying_syncs: false,
            has_forks: false,
        }
    }

    /// The mix that it stands for.
    fn mix(&self, random: &mut Random) -> Mix {
        let drawn = *random.pick(&Profile::ALL);
        let mut mix = Mix::draw(self.profile.unwrap_or(drawn), self.has_forks, random);
        mix.faults.extend(&self.with);
        mix.faults.retain(|fault| !self.without.contains(fault));
        mix.widen(self.seed);
        mix.has_lying_syncs = self.has_lying_syncs;
        mix.sites = self.sites.unwrap_or(mix.sites);
        mix.chaos_ms = self.chaos_ms.unwrap_or(mix.chaos_ms);
        mix
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "--seed {}", self.seed)?;
        if let Some(profile) = self.profile {
            write!(formatter, " --profile {}", profile.as_str())?;
        }
        if let Some(sites) = self.sites {
            write!(formatter, " --sites {sites}")?;
        }
        if let Some(chaos_ms) = self.chaos_ms {
            write!(formatter, " --chaos-ms {chaos_ms}")?;
        }
        if self.has_forks {
            write!(formatter, " --forks")?;
        }
        if self.has_lying_syncs {
            write!(formatter, " --lying-syncs")?;
        }
        for fault in &self.with {
            write!(formatter, " --with {}", fault.as_str())?;
        }
        for fault in &self.without {
            write!(formatter, " --without {}", fault.as_str())?;
        }
        Ok(())
    }
}

/// A run that went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// Equal for equal runs.
    pub digest: Hash,
    /// Lines of the trace.
    pub events: u64,
    /// What it did.
    pub counts: Counts,
}

/// A run that did not.
#[derive(Debug, Clone)]
pub struct Failed {
    /// The invariant.
    pub violation: Violation,
    /// The mix, as a person reads it.
    pub mix: String,
    /// The last lines of the trace.
    pub last_page: Vec<String>,
}

/// Runs a plan to its end.
///
/// # Errors
/// The first invariant that does not hold; a panic of the product is one too.
pub fn run(plan: &Plan, is_printing: bool) -> Result<Passed, Box<Failed>> {
    let mut random = Random::new(plan.seed);
    let mix = plan.mix(&mut random);
    let text = mix.to_string();
    seed_sqlite(u32::try_from(plan.seed & 0x7FFF_FFFF).unwrap_or(1));
    let mut world = match World::new(mix, random, is_printing) {
        Ok(world) => world,
        Err(violation) => return Err(Box::new(Failed { violation, mix: text, last_page: Vec::new() })),
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run().and_then(|()| world.settle())));
    let outcome = outcome.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(Violation { invariant: "panic", text: said.to_owned() })
    });
    match outcome {
        Ok(()) => Ok(Passed { digest: world.trace.digest(), events: world.trace.count(), counts: world.counts }),
        Err(violation) => {
            let last_page = world.trace.last_page();
            if violation.invariant == "panic" {
                // A lock may be held by what panicked; it is not taken down in order.
                std::mem::forget(world);
            }
            Err(Box::new(Failed { violation, mix: text, last_page }))
        }
    }
}

/// Makes a failing plan smaller while the same invariant fails: fewer sites, fewer kinds of faults, less time.
pub fn shrink(
    plan: &Plan,
    failed: &Failed,
    tries_max: u32,
    told: &mut dyn FnMut(&Plan),
) -> (Plan, Option<Box<Failed>>) {
    let mut best = plan.clone();
    let mut last = None;
    let mut tries = 0;
    let mut is_smaller = true;
    while is_smaller && tries < tries_max {
        is_smaller = false;
        for candidate in smaller(&best) {
            tries += 1;
            if tries > tries_max {
                break;
            }
            match run(&candidate, false) {
                Err(other) if other.violation.invariant == failed.violation.invariant => {
                    best = candidate;
                    last = Some(other);
                    is_smaller = true;
                    told(&best);
                    break;
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
    (best, last)
}

fn smaller(plan: &Plan) -> Vec<Plan> {
    let mut random = Random::new(plan.seed);
    let mix = plan.mix(&mut random);
    let mut candidates = Vec::new();
    if mix.sites > 1 {
        candidates.push(Plan { sites: Some(1), ..plan.clone() });
    }
    if mix.chaos_ms > 60_000 {
        candidates.push(Plan { chaos_ms: Some(mix.chaos_ms / 2), ..plan.clone() });
        candidates.push(Plan { chaos_ms: Some(mix.chaos_ms * 4 / 5), ..plan.clone() });
    }
    for fault in &mix.faults {
        let mut without = plan.without.clone();
        without.insert(*fault);
        candidates.push(Plan { without, ..plan.clone() });
    }
    candidates
}
