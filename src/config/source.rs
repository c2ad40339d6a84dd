//! Reads settings as they are written, in the file and in the environment, into checked values with their origin.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};

use domain::catalogue::DeclaredTable;
use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::error::{ConfigError, Origin};
use super::settings::{
    self, Default, Kind, OTHER_VARIABLES, SETTINGS, Setting, TABLE_KEYS, TABLE_PARENT_KEYS, TABLE_SECTION,
    VARIABLE_PREFIX,
};
use crate::nearest::nearest;

/// A value that fits the kind of its setting.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    Number(u64),
    Flag(bool),
    Texts(Vec<String>),
}

/// What stands between the texts of a list in an environment variable.
const BETWEEN_TEXTS: char = ';';

/// The settings that somebody wrote, and the defaults of the others.
#[derive(Debug, Default)]
pub(super) struct Values {
    written: BTreeMap<&'static str, (Value, Origin)>,
    pub(super) tables: Vec<DeclaredTable>,
}

impl Values {
    /// Takes what the file says.
    pub(super) fn add_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let place = Place { path, text };
        let document = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            origin: place.origin(error.span()),
            message: error.message().to_owned(),
        })?;
        for (key, value) in document.get_ref() {
            let name: &str = key.get_ref();
            match value.get_ref() {
                DeValue::Array(tables) if name == TABLE_SECTION => {
                    for table in tables {
                        self.tables.push(place.declared_table(table)?);
                    }
                }
                DeValue::Table(section) if is_section(name) => {
                    for (key, value) in section {
                        self.add_written(&place, &format!("{name}.{}", key.get_ref()), key, value)?;
                    }
                }
                _ => self.add_written(&place, name, key, value)?,
            }
        }
        Ok(())
    }

    /// Takes what the environment says, above the file.
    pub(super) fn add_variables(&mut self, variables: &BTreeMap<String, OsString>) -> Result<(), ConfigError> {
        for (name, value) in variables {
            if !name.starts_with(VARIABLE_PREFIX) || OTHER_VARIABLES.contains(&name.as_str()) {
                continue;
            }
            let origin = Origin::Variable(name.clone());
            let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == *name) else {
                let names: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
                let nearest = nearest(name, names.iter().map(String::as_str)).map(str::to_owned);
                return Err(ConfigError::UnknownKey { origin, key: name.clone(), nearest });
            };
            let text = value.to_str().ok_or_else(|| mismatch(setting, &origin, "no UTF-8".to_owned()))?;
            self.put(setting, read_text(setting, text, &origin)?, origin)?;
        }
        Ok(())
    }

    /// Takes a path from the command line, above everything.
    pub(super) fn add_argument(&mut self, path: &'static str, value: &Path) -> Result<(), ConfigError> {
        let setting = known(path);
        let text = value.to_str().ok_or_else(|| mismatch(setting, &Origin::CommandLine, "no UTF-8".to_owned()))?;
        self.put(setting, Value::Text(text.to_owned()), Origin::CommandLine)
    }

    /// Where a setting was written.
    pub(super) fn origin(&self, path: &str) -> Origin {
        self.written.get(path).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// A text setting.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        match self.value(path)? {
            Value::Text(text) => Some(text),
            Value::Number(_) | Value::Flag(_) | Value::Texts(_) => None,
        }
    }

    /// A path; one that a file gives relatively counts from the file's folder, so that it does not matter where we start.
    pub(super) fn path(&self, path: &str) -> Option<PathBuf> {
        let text = PathBuf::from(self.text(path)?);
        let folder = match self.origin(path) {
            Origin::File { path, .. } => path.parent().map(Path::to_path_buf),
            Origin::Variable(_) | Origin::CommandLine | Origin::Default => None,
        };
        Some(folder.map_or(text.clone(), |folder| folder.join(text)))
    }

    /// A number.
    pub(super) fn number(&self, path: &str) -> u64 {
        match self.value(path) {
            Some(Value::Number(number)) => number,
            Some(Value::Text(_) | Value::Flag(_) | Value::Texts(_)) | None => {
                unreachable!("{path} is a number with a default")
            }
        }
    }

    /// A list of texts; empty if nobody says.
    pub(super) fn texts(&self, path: &str) -> Vec<String> {
        match self.value(path) {
            Some(Value::Texts(texts)) => texts,
            Some(Value::Text(_) | Value::Number(_) | Value::Flag(_)) | None => Vec::new(),
        }
    }

    /// A flag.
    pub(super) fn flag(&self, path: &str) -> bool {
        self.value(path) == Some(Value::Flag(true))
    }

    fn value(&self, path: &str) -> Option<Value> {
        let setting = known(path);
        if let Some((value, _)) = self.written.get(setting.path) {
            return Some(value.clone());
        }
        setting.default.map(|default| match default {
            Default::Text(text) => Value::Text(text.to_owned()),
            Default::Number(number) => Value::Number(number),
            Default::Flag(flag) => Value::Flag(flag),
        })
    }

    fn add_written(
        &mut self,
        place: &Place<'_>,
        path: &str,
        key: &Spanned<impl AsRef<str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), ConfigError> {
        let Some(setting) = Setting::of(path) else {
            let paths = SETTINGS.iter().map(|setting| setting.path).chain([TABLE_SECTION]);
            let nearest = nearest(path, paths).or_else(|| same_key_elsewhere(path)).map(str::to_owned);
            return Err(ConfigError::UnknownKey {
                origin: place.origin(Some(key.span())),
                key: path.to_owned(),
                nearest,
            });
        };
        let origin = place.origin(Some(value.span()));
        let value = read_value(setting, value.get_ref(), &origin)?;
        self.put(setting, value, origin)
    }

    fn put(&mut self, setting: &'static Setting, value: Value, origin: Origin) -> Result<(), ConfigError> {
        check(setting, &value, &origin)?;
        self.written.insert(setting.path, (value, origin));
        Ok(())
    }
}

/// A file's text, to say where in it something is.
struct Place<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Place<'_> {
    fn origin(&self, span: Option<Range<usize>>) -> Origin {
        let before = self.text.get(..span.map_or(0, |span| span.start)).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Origin::File {
            path: self.path.to_path_buf(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).map_or(0, |line| line.chars().count()) + 1,
        }
    }

    fn declared_table(&self, source: &Spanned<DeValue<'_>>) -> Result<DeclaredTable, ConfigError> {
        if let DeValue::Table(table) = source.get_ref() {
            self.check_keys("table", table, &TABLE_KEYS)?;
            if let Some(DeValue::Table(parent)) = table.get("parent").map(Spanned::get_ref) {
                self.check_keys("table.parent", parent, &TABLE_PARENT_KEYS)?;
            }
        }
        DeclaredTable::deserialize(ValueDeserializer::from(source.clone())).map_err(|error| ConfigError::Syntax {
            origin: self.origin(error.span().or(Some(source.span()))),
            message: format!("this [[table]] cannot be used: {}", error.message()),
        })
    }

    fn check_keys(&self, section: &str, table: &DeTable<'_>, keys: &[&str]) -> Result<(), ConfigError> {
        for (key, _) in table {
            let name: &str = key.get_ref();
            if !keys.contains(&name) {
                return Err(ConfigError::UnknownKey {
                    origin: self.origin(Some(key.span())),
                    key: format!("{section}.{name}"),
                    nearest: nearest(name, keys.iter().copied()).map(str::to_owned),
                });
            }
        }
        Ok(())
    }
}

fn known(path: &str) -> &'static Setting {
    Setting::of(path).expect("settings are asked for by the paths of the list")
}

fn is_section(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.path.split_once('.').is_some_and(|(section, _)| section == name))
}

/// The setting with this key in another section: somebody forgot or mistook the section.
fn same_key_elsewhere(path: &str) -> Option<&'static str> {
    let key = path.rsplit('.').next()?;
    SETTINGS.iter().map(|setting| setting.path).find(|path| path.rsplit('.').next() == Some(key))
}

fn read_value(setting: &Setting, value: &DeValue<'_>, origin: &Origin) -> Result<Value, ConfigError> {
    match (setting.kind, value) {
        (Kind::Text { .. } | Kind::Path | Kind::Choice(_), DeValue::String(text)) => Ok(Value::Text(text.to_string())),
        (Kind::Flag, DeValue::Boolean(flag)) => Ok(Value::Flag(*flag)),
        (Kind::Number { .. }, DeValue::Integer(number)) => u64::from_str_radix(number.as_str(), number.radix())
            .map(Value::Number)
            .map_err(|_| out_of_range(setting, number.as_str().to_owned(), origin)),
        (Kind::Texts { .. }, DeValue::Array(values)) => {
            let texts = values.iter().map(|value| match value.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                other => Err(mismatch(setting, origin, format!("a list with something of type {}", other.type_str()))),
            });
            texts.collect::<Result<_, _>>().map(Value::Texts)
        }
        _ => Err(mismatch(setting, origin, format!("of type {}", value.type_str()))),
    }
}

fn read_text(setting: &Setting, text: &str, origin: &Origin) -> Result<Value, ConfigError> {
    match setting.kind {
        Kind::Text { .. } | Kind::Path | Kind::Choice(_) => Ok(Value::Text(text.to_owned())),
        Kind::Texts { .. } => {
            let texts = text.split(BETWEEN_TEXTS).map(|text| text.trim().to_owned());
            Ok(Value::Texts(texts.filter(|text| !text.is_empty()).collect()))
        }
        Kind::Flag => text.parse().map(Value::Flag).map_err(|_| mismatch(setting, origin, format!("{text:?}"))),
        Kind::Number { .. } => {
            text.parse().map(Value::Number).map_err(|_| mismatch(setting, origin, format!("{text:?}")))
        }
    }
}

fn check(setting: &Setting, value: &Value, origin: &Origin) -> Result<(), ConfigError> {
    match (setting.kind, value) {
        (Kind::Number { least, most }, Value::Number(number)) if !(least..=most).contains(number) => {
            Err(out_of_range(setting, number.to_string(), origin))
        }
        (Kind::Choice(choices), Value::Text(text)) if !choices.contains(&text.as_str()) => Err(ConfigError::Choice {
            origin: origin.clone(),
            key: setting.path.to_owned(),
            value: text.clone(),
            choices: choices.join(", "),
        }),
        (Kind::Text { bytes_max }, Value::Text(text)) => check_text(setting, text, bytes_max, origin),
        (Kind::Texts { count_max, .. }, Value::Texts(texts)) if texts.len() > count_max => {
            Err(ConfigError::TooMany { origin: origin.clone(), key: setting.path.to_owned(), limit: count_max })
        }
        (Kind::Texts { bytes_max, .. }, Value::Texts(texts)) => {
            texts.iter().try_for_each(|text| check_text(setting, text, bytes_max, origin))
        }
        (Kind::Path, Value::Text(text)) => check_text(setting, text, settings::PATH_BYTES_MAX, origin),
        _ => Ok(()),
    }
}

fn check_text(setting: &Setting, text: &str, limit: usize, origin: &Origin) -> Result<(), ConfigError> {
    if text.is_empty() || text.len() > limit || text.contains(char::is_control) {
        let (origin, key) = (origin.clone(), setting.path.to_owned());
        return Err(ConfigError::Text { origin, key, bytes: text.len(), limit });
    }
    Ok(())
}

fn out_of_range(setting: &Setting, value: String, origin: &Origin) -> ConfigError {
    let (least, most) = match setting.kind {
        Kind::Number { least, most } => (least, most),
        Kind::Text { .. } | Kind::Path | Kind::Flag | Kind::Choice(_) | Kind::Texts { .. } => (0, 0),
    };
    ConfigError::Range { origin: origin.clone(), key: setting.path.to_owned(), value, least, most }
}

fn mismatch(setting: &Setting, origin: &Origin, found: String) -> ConfigError {
    let expected = match setting.kind {
        Kind::Text { .. } => "text",
        Kind::Path => "a path, as text",
        Kind::Texts { .. } => "a list of texts",
        Kind::Flag => "true or false",
        Kind::Number { .. } => "a whole number",
        Kind::Choice(_) => "a word, as text",
    };
    ConfigError::Type { origin: origin.clone(), key: setting.path.to_owned(), found, expected }
}
