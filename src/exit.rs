//! Exit codes: what a script may rely on. Only ever added to.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// It did what was asked.
    Ok,
    /// It failed for a reason that has no code of its own.
    Failed,
    /// The command line was wrong; nothing was done.
    Usage,
    /// Part of it was done: some edits were refused or set aside, and are listed.
    Partial,
    /// Central could not be reached, or something else answered in its place.
    Offline,
    /// Central, or a rule of this site, said no.
    Refused,
    /// A setting is missing or wrong; nothing was done.
    Config,
    /// The disk is full, fails, or holds something damaged.
    Disk,
    /// Something else has to finish first: another program holds the data folder, or central asks to come later.
    Busy,
    /// Stopped by a signal; what was reported as done is done.
    Interrupted,
}

impl Exit {
    /// All of them, for the help text and the documents.
    pub const ALL: [Exit; 10] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::Partial,
        Self::Offline,
        Self::Refused,
        Self::Config,
        Self::Disk,
        Self::Busy,
        Self::Interrupted,
    ];

    /// The number that the shell sees. 130 is what shells use for a program that an interrupt ended.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Partial => 3,
            Self::Offline => 4,
            Self::Refused => 5,
            Self::Config => 6,
            Self::Disk => 7,
            Self::Busy => 8,
            Self::Interrupted => 130,
        }
    }

    /// The exit of a number; `None` for one that is not in the list.
    pub fn of_code(code: u8) -> Option<Exit> {
        Self::ALL.into_iter().find(|exit| exit.code() == code)
    }

    /// What it means, in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done",
            Self::Failed => "failed",
            Self::Usage => "the command line is wrong",
            Self::Partial => "partly done: something was refused or set aside",
            Self::Offline => "central cannot be reached",
            Self::Refused => "refused",
            Self::Config => "a setting is missing or wrong",
            Self::Disk => "the disk is full, fails, or holds something damaged",
            Self::Busy => "busy: try again later",
            Self::Interrupted => "stopped by a signal",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_exit_has_a_number_of_its_own_that_finds_it_again() {
        for exit in Exit::ALL {
            assert_eq!(Exit::of_code(exit.code()), Some(exit));
        }
        assert_eq!(Exit::of_code(9), None);
    }
}
