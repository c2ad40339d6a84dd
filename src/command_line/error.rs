//! What can be wrong with a command line.

use std::fmt;

use crate::error::Explained;
use crate::exit::Exit;

/// A command line that says nothing we know. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageError {
    /// There is no verb.
    NoVerb,
    /// A verb that does not exist.
    UnknownVerb {
        /// As typed.
        verb: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// An option that the verb does not take.
    UnknownOption {
        /// The verb; `None` before one.
        verb: Option<&'static str>,
        /// As typed.
        option: String,
        /// What may have been meant, with its dashes.
        nearest: Option<String>,
    },
    /// An option without the value that it needs, or with one that it does not take.
    Value {
        /// The option, with its dashes.
        option: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// An option was given twice.
    Twice {
        /// The option.
        option: &'static str,
    },
    /// Two options that exclude each other, or one that needs another.
    Together {
        /// What is wrong, as a sentence.
        problem: &'static str,
    },
    /// An argument is missing.
    Missing {
        /// The verb.
        verb: &'static str,
        /// What is missing, as in the usage.
        what: &'static str,
    },
    /// An argument too many.
    TooMany {
        /// The verb.
        verb: &'static str,
        /// As typed.
        argument: String,
    },
    /// An argument that is not what it must be.
    Argument {
        /// What it is called in the usage.
        name: &'static str,
        /// As typed.
        value: String,
        /// What it must be.
        expected: String,
    },
}

impl Explained for UsageError {
    fn code(&self) -> &str {
        match self {
            Self::NoVerb => "usage_no_verb",
            Self::UnknownVerb { .. } => "usage_unknown_verb",
            Self::UnknownOption { .. } => "usage_unknown_option",
            Self::Value { .. } => "usage_option_value",
            Self::Twice { .. } => "usage_option_twice",
            Self::Together { .. } => "usage_options_together",
            Self::Missing { .. } => "usage_argument_missing",
            Self::TooMany { .. } => "usage_argument_too_many",
            Self::Argument { .. } => "usage_argument",
        }
    }

    fn advice(&self) -> &str {
        match self {
            Self::NoVerb | Self::UnknownVerb { .. } => "`outpost help` lists the verbs.",
            _ => "`outpost help VERB` explains a verb.",
        }
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVerb => formatter.write_str("say what to do, as in `outpost status`"),
            Self::UnknownVerb { verb, nearest } => {
                write!(formatter, "there is no verb {verb:?}")?;
                nearest.map_or(Ok(()), |nearest| write!(formatter, "; did you mean {nearest}?"))
            }
            Self::UnknownOption { verb: Some(verb), option, nearest } => {
                write!(formatter, "`outpost {verb}` takes no option {option}")?;
                nearest.as_ref().map_or(Ok(()), |nearest| write!(formatter, "; did you mean {nearest}?"))
            }
            Self::UnknownOption { verb: None, option, nearest } => {
                write!(formatter, "there is no option {option} for every verb; options of a verb follow it")?;
                nearest.as_ref().map_or(Ok(()), |nearest| write!(formatter, "; did you mean {nearest}?"))
            }
            Self::Value { option, problem } => write!(formatter, "the option {option} {problem}"),
            Self::Twice { option } => write!(formatter, "the option --{option} is given twice"),
            Self::Together { problem } => formatter.write_str(problem),
            Self::Missing { verb, what } => write!(formatter, "`outpost {verb}` needs {what}"),
            Self::TooMany { verb, argument } => {
                write!(formatter, "`outpost {verb}` does not know what to do with {argument:?}")
            }
            Self::Argument { name, value, expected } => {
                write!(formatter, "{name} is {value:?}; it must be {expected}")
            }
        }
    }
}

impl std::error::Error for UsageError {}
