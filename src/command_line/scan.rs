//! Splits a command line into its verb, its options and its arguments, by the list of verbs.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use lexopt::{Arg, Parser};

use super::error::UsageError;
use super::verbs::{GLOBAL_OPTIONS, OptionWord, VERBS, Verb};
use crate::nearest::nearest;

/// A command line whose words are all known.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) verb: Option<&'static Verb>,
    /// Options with their values; a flag has an empty one.
    options: BTreeMap<&'static str, OsString>,
    /// How often `--verbose` and `--quiet` came.
    pub(super) verbosity: i8,
    arguments: std::vec::IntoIter<OsString>,
}

impl Scanned {
    /// Reads the words behind the program's name.
    pub(super) fn of(words: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let mut scanned = Scanned::default();
        let mut arguments = Vec::new();
        let mut parser = Parser::from_args(words);
        while let Some(argument) = parser.next().map_err(unexpected_value)? {
            match argument {
                Arg::Long(name) => {
                    let name = name.to_owned();
                    let option = scanned.option(&|option| option.name == name, || format!("--{name}"))?;
                    scanned.take(option, &mut parser)?;
                }
                Arg::Short(letter) => {
                    let option = scanned.option(&|option| option.letter == Some(letter), || format!("-{letter}"))?;
                    scanned.take(option, &mut parser)?;
                }
                Arg::Value(word) if scanned.verb.is_none() => scanned.verb = Some(verb_of(&word)?),
                Arg::Value(word) => arguments.push(word),
            }
        }
        scanned.arguments = arguments.into_iter();
        Ok(scanned)
    }

    /// Whether a flag was given.
    pub(super) fn has(&self, name: &'static str) -> bool {
        self.options.contains_key(name)
    }

    /// The value of an option as a path.
    pub(super) fn path(&mut self, name: &'static str) -> Option<PathBuf> {
        self.options.remove(name).map(PathBuf::from)
    }

    /// The value of an option as text.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, UsageError> {
        self.options.remove(name).map(|value| text(name, value)).transpose()
    }

    /// The value of an option as a number from 1 to `most`.
    pub(super) fn number(&mut self, name: &'static str, most: u64) -> Result<Option<u64>, UsageError> {
        let Some(value) = self.text(name)? else { return Ok(None) };
        number(name, &value, most).map(Some)
    }

    /// The next argument.
    pub(super) fn argument(&mut self, verb: &'static str, what: &'static str) -> Result<OsString, UsageError> {
        self.arguments.next().ok_or(UsageError::Missing { verb, what })
    }

    /// The next argument as text.
    pub(super) fn word(&mut self, verb: &'static str, what: &'static str) -> Result<String, UsageError> {
        text(what, self.argument(verb, what)?)
    }

    /// The next argument, if there is one.
    pub(super) fn further_word(&mut self) -> Option<OsString> {
        self.arguments.next()
    }

    /// That no argument is left.
    pub(super) fn end(&mut self, verb: &'static str) -> Result<(), UsageError> {
        match self.arguments.next() {
            None => Ok(()),
            Some(argument) => Err(UsageError::TooMany { verb, argument: shown(&argument) }),
        }
    }

    fn option(
        &self,
        is_meant: &dyn Fn(&OptionWord) -> bool,
        typed: impl FnOnce() -> String,
    ) -> Result<&'static OptionWord, UsageError> {
        let options: Vec<&'static OptionWord> =
            self.verb.map_or_else(|| GLOBAL_OPTIONS.iter().collect(), |verb| verb.all_options().collect());
        if let Some(option) = options.iter().find(|option| is_meant(option)) {
            return Ok(option);
        }
        let typed = typed();
        let names = options.iter().map(|option| option.name);
        let nearest = typed.strip_prefix("--").and_then(|name| nearest(name, names)).map(|name| format!("--{name}"));
        Err(UsageError::UnknownOption { verb: self.verb.map(|verb| verb.name), option: typed, nearest })
    }

    fn take(&mut self, option: &'static OptionWord, parser: &mut Parser) -> Result<(), UsageError> {
        match option.name {
            "verbose" => self.verbosity = self.verbosity.saturating_add(1),
            "quiet" => self.verbosity = self.verbosity.saturating_sub(1),
            _ => {}
        }
        let value = match option.value {
            Some(_) => parser.value().map_err(|_| UsageError::Value {
                option: format!("--{}", option.name),
                problem: "needs a value behind it",
            })?,
            None => OsString::new(),
        };
        let is_repeated = self.options.insert(option.name, value).is_some();
        if is_repeated && option.value.is_some() {
            return Err(UsageError::Twice { option: option.name });
        }
        Ok(())
    }
}

/// A number from 1 to `most`.
pub(super) fn number(name: &'static str, value: &str, most: u64) -> Result<u64, UsageError> {
    value.parse().ok().filter(|number| (1..=most).contains(number)).ok_or_else(|| UsageError::Argument {
        name,
        value: value.to_owned(),
        expected: format!("a whole number from 1 to {most}"),
    })
}

fn text(name: &'static str, value: OsString) -> Result<String, UsageError> {
    value.into_string().map_err(|value| UsageError::Argument {
        name,
        value: shown(&value),
        expected: "text in UTF-8".to_owned(),
    })
}

fn shown(word: &OsStr) -> String {
    word.to_string_lossy().into_owned()
}

fn verb_of(word: &OsStr) -> Result<&'static Verb, UsageError> {
    let word = word.to_string_lossy();
    Verb::of(&word).ok_or_else(|| UsageError::UnknownVerb {
        verb: word.to_string(),
        nearest: nearest(&word, VERBS.iter().map(|verb| verb.name)),
    })
}

/// The one error of the parser while it only steps: `--flag=value` for a flag.
fn unexpected_value(error: lexopt::Error) -> UsageError {
    let option = match error {
        lexopt::Error::UnexpectedValue { option, .. } => option,
        other => other.to_string(),
    };
    UsageError::Value { option, problem: "takes no value" }
}
