//! `config`: whether the settings can be used, and what they are.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::Screen;
use super::wording::{columns, text};
use crate::command_line::ConfigAction;
use crate::config::{Config, ShownSetting};
use crate::exit::Exit;

/// Carries it out, with settings that can be used; others ended before.
pub(super) fn run(action: ConfigAction, config: &Config, shown: &[ShownSetting], screen: &mut Screen<'_>) -> Exit {
    match action {
        ConfigAction::Check => {
            let checked = json!({ "file": file(config), "outcome": "ok", "warnings": warnings(config) });
            screen.result(&checked, checked_text);
        }
        ConfigAction::Show => screen.result(&to_json(config, shown), show_text),
    }
    Exit::Ok
}

/// All settings as JSON: `{"file","settings":[...]}`.
pub(super) fn to_json(config: &Config, shown: &[ShownSetting]) -> Value {
    let settings: Vec<Value> = shown.iter().map(ShownSetting::to_json).collect();
    json!({ "file": file(config), "settings": settings })
}

fn file(config: &Config) -> Option<String> {
    config.file.as_ref().map(|file| file.display().to_string())
}

/// Files that the settings name and that are not there; not an error, since they may be made later.
fn warnings(config: &Config) -> Vec<String> {
    let certificate = config.clients.certificate.as_ref();
    let named = [
        ("central.ca_file", config.central_ca_file.as_deref()),
        ("site.password_file", config.password_file.as_deref()),
        ("local_api.pages", config.local_api_pages.as_deref()),
        ("clients.certificate_file", certificate.map(|(certificate, _)| certificate.as_path())),
        ("clients.key_file", certificate.map(|(_, key)| key.as_path())),
    ];
    let missing = |(setting, path): (&str, Option<&Path>)| {
        let path = path.filter(|path| !path.exists())?;
        Some(format!("{setting} names {}, which is not there or cannot be seen by this user", path.display()))
    };
    named.into_iter().filter_map(missing).collect()
}

fn checked_text(checked: &Value) -> String {
    let mut text_of = match checked["file"].as_str() {
        Some(file) => format!("{file} can be used\n"),
        None => "there is no settings file; the defaults and the environment can be used\n".to_owned(),
    };
    for warning in checked["warnings"].as_array().into_iter().flatten() {
        let _infallible = writeln!(text_of, "warning: {}", text(warning));
    }
    text_of
}

fn show_text(shown: &Value) -> String {
    let mut rows = Vec::new();
    for setting in shown["settings"].as_array().into_iter().flatten() {
        let value = if setting["value"].is_null() { "not set".to_owned() } else { setting["value"].to_string() };
        let place = &setting["place"];
        let source = match setting["source"].as_str().unwrap_or_default() {
            "file" => format!("{}, line {}", text(&place["path"]), place["line"]),
            "environment" => text(&place["variable"]),
            "command_line" => "command line".to_owned(),
            _ => "default".to_owned(),
        };
        rows.push(vec![text(&setting["setting"]), value, source]);
    }
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::commands::testing::printed;
    use crate::config::Sources;

    fn show(text: &str, is_json: bool) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.toml");
        std::fs::write(&file, text).unwrap();
        let variables = BTreeMap::from([("OUTPOST_SCHEDULE_INTERVAL_S".to_owned(), "60".into())]);
        let sources = Sources { config_file: Some(file), data_folder: Some("/data".into()), variables };
        let (config, shown) = Config::load_shown(&sources).unwrap();
        printed(is_json, |screen| run(ConfigAction::Show, &config, &shown, screen)).1
    }

    #[test]
    fn each_setting_is_shown_with_where_it_comes_from() {
        let text = show("[central]\nurl = \"https://central.example.org\"\nca_file = \"ca.pem\"\n", false);

        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        assert!(line("data_folder ").contains("\"/data\"") && line("data_folder ").ends_with("command line"), "{text}");
        assert!(line("central.url ").ends_with("agent.toml, line 2"), "{text}");
        assert!(line("central.ca_file ").contains("/ca.pem\""), "as it is looked for: {text}");
        assert!(
            line("schedule.interval_s ").ends_with("60       OUTPOST_SCHEDULE_INTERVAL_S")
                || line("schedule.interval_s ").contains(" 60 ")
        );
        assert!(line("schedule.manual ").contains("false") && line("schedule.manual ").ends_with("default"));
        assert!(line("socket_path ").contains("\"/data/agent.sock\""));
        assert!(line("site.name ").contains("not set"));
        assert_eq!(text.lines().count(), crate::config::setting_names().count() + 1, "every setting and the tables");
    }

    #[test]
    fn a_password_in_a_setting_is_not_shown() {
        for is_json in [false, true] {
            let text = show("[central]\nproxy = \"http://somebody:hidden@proxy.example.org:8080\"\n", is_json);

            assert!(text.contains("http://(redacted)@proxy.example.org:8080"), "{text}");
            assert!(!text.contains("somebody") && !text.contains("hidden"), "{text}");
        }
        assert!(show("[central]\nproxy = \"environment\"\n", false).contains("\"environment\""));
    }

    #[test]
    fn files_that_are_not_there_are_warned_of() {
        let config =
            Config::of_text(Path::new("/etc/outpost/agent.toml"), "[site]\npassword_file = \"/absent\"\n").unwrap();

        let (exit, text) = printed(false, |screen| run(ConfigAction::Check, &config, &[], screen));

        assert_eq!(exit, Exit::Ok);
        assert!(
            text.starts_with("/etc/outpost/agent.toml can be used\nwarning: site.password_file names /absent"),
            "{text}"
        );
    }
}
