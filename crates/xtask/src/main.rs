//! Chores of this repository, in Rust so that they run wherever the programs build: `cargo xtask help` lists them.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a chore reports to whoever runs it")]

#[path = "../../../tests/support/cargo.rs"]
#[expect(unreachable_pub, reason = "shared with the tests")]
mod cargo;
mod demo;
mod dist;
mod example;
mod ids;
#[path = "../../../tests/support/link.rs"]
#[expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    dead_code,
    unreachable_pub,
    reason = "shared with the tests, where a failure ends the test"
)]
mod link;
mod man;
mod memory;
#[path = "../../../tests/support/memory_group.rs"]
#[expect(unreachable_pub, reason = "shared with the tests")]
mod memory_group;
mod power_cut;
#[path = "../../../tests/support/power_cut.rs"]
#[expect(unreachable_pub, reason = "shared with the tests")]
mod power_cut_rig;
mod resident;
mod sim;
mod size;
mod tidy;
mod torture;
#[path = "../../../tests/support/torture/mod.rs"]
#[expect(unreachable_pub, reason = "shared with the tests")]
#[allow(clippy::disallowed_methods, reason = "the rig waits for other processes, of which nothing tells")]
mod torture_rig;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// One chore: what is typed, what it is for, what it runs. The function gets the arguments after the name.
struct Chore {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<()>,
}

/// Every chore there is. A new one is a module and a line here.
const CHORES: &[Chore] = &[
    Chore {
        name: "demo",
        about: "run the main job in front of you; --keep leaves it running; --story supply",
        run: demo::run,
    },
    Chore {
        name: "example",
        about: "show the worked example of seed 001: who holds what of stores A to F",
        run: example::run,
    },
    Chore { name: "tidy", about: "check the rules that neither the compiler nor clippy knows", run: tidy::run },
    Chore {
        name: "size",
        about: "build the agent as it ships and hold its size against the budget; --memory [--records N] [--edits N]",
        run: size::run,
    },
    Chore {
        name: "dist",
        about: "make archives, Debian package, bill of materials, checksums; --agent, --central, --target, --out",
        run: dist::run,
    },
    Chore { name: "man", about: "write the manual pages of the agent to a folder", run: man::run },
    Chore {
        name: "power-cut",
        about: "cut the power under a recording agent; --cycles N, --control",
        run: power_cut::run,
    },
    Chore {
        name: "torture",
        about: "kill agents and central in every phase, then judge; --minutes N, --kills N, --seed N",
        run: torture::run,
    },
    Chore {
        name: "sim",
        about: "run seeds of the simulator; --short as CI does, else its own arguments",
        run: sim::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        bail!("no chore was named\n\n{}", help());
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print!("{}", help());
        return Ok(());
    }
    match CHORES.iter().find(|chore| chore.name == name) {
        Some(chore) => (chore.run)(rest),
        None => bail!("there is no chore named `{name}`\n\n{}", help()),
    }
}

fn help() -> String {
    let about_help = ("help", "this list");
    let lines = CHORES.iter().map(|chore| (chore.name, chore.about)).chain([about_help]);
    let lines: Vec<_> = lines.map(|(name, about)| format!("  {name:<9} {about}")).collect();
    format!("usage: cargo xtask CHORE [ARGUMENTS]\n\n{}\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_chore_is_refused_with_the_list_of_chores() {
        let refusal = dispatch(&["sweep".to_owned()]).unwrap_err().to_string();

        assert!(refusal.contains("`sweep`"), "{refusal}");
        assert!(CHORES.iter().all(|chore| refusal.contains(chore.name)), "{refusal}");
    }

    #[test]
    fn a_call_without_a_chore_is_refused() {
        assert!(dispatch(&[]).is_err());
    }

    #[test]
    fn no_two_chores_share_a_name() {
        let mut names: Vec<_> = CHORES.iter().map(|chore| chore.name).collect();
        names.sort_unstable();
        names.dedup();

        assert_eq!(names.len(), CHORES.len());
    }
}
