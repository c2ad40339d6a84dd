//! A few seeds with every test run; `cargo xtask sim` runs as many as there is time for. One test: SQLite's chance is the
//! process's, so that two runs at once would not repeat.

use simulator::mix::Profile;
use simulator::run::{Plan, run};

/// How long things go wrong in each, in virtual milliseconds: most of it in the first minutes.
const CHAOS_MS: u64 = 300_000;

#[test]
fn a_few_seeds_of_each_profile_pass_and_repeat_byte_for_byte() {
    for profile in Profile::ALL.into_iter().chain([Profile::Healing]) {
        for seed in 1..=2 {
            let plan = Plan { chaos_ms: Some(CHAOS_MS), ..Plan::of_seed(seed, Some(profile)) };

            let first =
                run(&plan, false).unwrap_or_else(|failed| panic!("{plan}: {:?} {}", failed.violation, failed.mix));
            let second =
                run(&plan, false).unwrap_or_else(|failed| panic!("{plan}: {:?} {}", failed.violation, failed.mix));

            assert_eq!(first, second, "{plan}");
        }
    }
}
