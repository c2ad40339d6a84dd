//! The settings in force with where each comes from, for people. Secrets are left out.

use serde_json::{Value, json};

use super::error::Origin;
use super::settings::{Kind, SETTINGS, TABLE_SECTION};
use super::source::Values;
use super::{Config, ProxyUrl};

/// What stands in the place of a secret.
pub const REDACTED: &str = "(redacted)";

/// One setting as it is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownSetting {
    /// `section.key`.
    pub name: &'static str,
    /// Its value; null if it is not set.
    pub value: Value,
    /// Where it was written.
    pub origin: Origin,
    /// Whether a part of it is left out because it is a secret.
    pub is_redacted: bool,
}

impl ShownSetting {
    /// `{"setting","value","source","place","is_redacted"}`. `source` is `file`, `environment`, `command_line` or `default`; `place`
    /// says where in it, null where there is nothing to say.
    pub fn to_json(&self) -> Value {
        let (source, place) = match &self.origin {
            Origin::File { path, line, column } => {
                ("file", json!({ "path": path.display().to_string(), "line": line, "column": column }))
            }
            Origin::Variable(name) => ("environment", json!({ "variable": name })),
            Origin::CommandLine => ("command_line", Value::Null),
            Origin::Default => ("default", Value::Null),
        };
        json!({
            "setting": self.name,
            "value": self.value,
            "source": source,
            "place": place,
            "is_redacted": self.is_redacted,
        })
    }
}

/// All settings, in the order of the list of them.
pub(super) fn shown(values: &Values, config: &Config) -> Vec<ShownSetting> {
    let setting = |setting: &'static super::settings::Setting| {
        let (value, is_redacted) = match (setting.path, values.text(setting.path)) {
            ("central.proxy", Some(proxy)) => without_credentials(&proxy),
            // Where it is if nobody says.
            ("socket_path", None) => (json!(config.socket_path.display().to_string()), false),
            _ => (value_of(values, setting), false),
        };
        ShownSetting { name: setting.path, value, origin: values.origin(setting.path), is_redacted }
    };
    let mut all: Vec<ShownSetting> = SETTINGS.iter().map(setting).collect();
    let tables: Vec<&str> = config.tables.iter().map(|table| table.name.as_str()).collect();
    let origin = match &config.file {
        Some(path) if !tables.is_empty() => Origin::File { path: path.clone(), line: 1, column: 1 },
        _ => Origin::Default,
    };
    all.push(ShownSetting { name: TABLE_SECTION, value: json!(tables), origin, is_redacted: false });
    all
}

fn value_of(values: &Values, setting: &super::settings::Setting) -> Value {
    match setting.kind {
        Kind::Number { .. } => json!(values.number(setting.path)),
        Kind::Flag => json!(values.flag(setting.path)),
        Kind::Texts { .. } => json!(values.texts(setting.path)),
        Kind::Path => json!(values.path(setting.path).map(|path| path.display().to_string())),
        Kind::Text { .. } | Kind::Choice(_) => json!(values.text(setting.path)),
    }
}

/// `environment`, or the address of a proxy without name and password.
fn without_credentials(proxy: &str) -> (Value, bool) {
    match ProxyUrl::parse(proxy) {
        Ok(url) if url.has_credentials() => {
            (json!(format!("{}://{REDACTED}@{}:{}", url.scheme().as_str(), url.host(), url.port())), true)
        }
        _ => (json!(proxy), false),
    }
}
