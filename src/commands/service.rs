//! `service`: make the agent a service of the device, and look after it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Screen, wording};
use crate::config::Config;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::service::{Service, ServiceAction, ServiceWanted};

/// Carries out one of its verbs. `is_printed` shows the files of `install` and does nothing.
pub(super) fn run(
    action: ServiceAction,
    wanted: &ServiceWanted,
    is_printed: bool,
    config: &Config,
    screen: &mut Screen<'_>,
) -> Result<Exit, AgentError> {
    let service = Service::of(wanted, config)?;
    if is_printed {
        print(&service, screen);
        return Ok(Exit::Ok);
    }
    match action {
        ServiceAction::Install => screen.result(&service.install()?, installed),
        ServiceAction::Uninstall => screen.result(&service.uninstall()?, removed),
        ServiceAction::Start => screen.result(&service.start()?, status),
        ServiceAction::Stop => screen.result(&service.stop()?, status),
        ServiceAction::Status => {
            let value = service.status()?;
            screen.result(&value, status);
            return Ok(if value["running"] == true { Exit::Ok } else { Exit::Failed });
        }
    }
    Ok(Exit::Ok)
}

fn print(service: &Service, screen: &mut Screen<'_>) {
    let files: Vec<Value> = service
        .files()
        .iter()
        .map(|file| json!({ "path": file.path, "mode": format!("{:04o}", file.mode), "text": file.text }))
        .collect();
    let is_one = files.len() == 1;
    screen.result(&json!({ "files": files }), |_| {
        let mut text = String::new();
        for file in service.files() {
            if !is_one {
                let _infallible = writeln!(text, "==> {} <==", file.path.display());
            }
            text.push_str(&file.text);
        }
        text
    });
}

fn installed(result: &Value) -> String {
    let mut text = String::new();
    for file in result["files"].as_array().into_iter().flatten() {
        let _infallible = writeln!(text, "{} {}", wording::text(&file["change"]), wording::text(&file["path"]));
    }
    text.push_str("`outpost service start` starts it, now and with the device\n");
    text
}

fn removed(result: &Value) -> String {
    let paths: Vec<String> = result["removed"].as_array().into_iter().flatten().map(wording::text).collect();
    if paths.is_empty() {
        return "there was nothing to remove\n".to_owned();
    }
    format!("removed {}\nsettings and data stay\n", paths.join(", "))
}

fn status(result: &Value) -> String {
    let mut text = format!(
        "{} under {}: {}\n",
        if result["running"] == true { "runs" } else { "does not run" },
        wording::text(&result["manager"]),
        wording::text(&result["detail"])
    );
    for file in result["files"].as_array().into_iter().flatten() {
        let state = wording::text(&file["state"]);
        if state != "current" {
            let _infallible = writeln!(text, "{state}: {}", wording::text(&file["path"]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::commands::testing::{config, printed};
    use crate::service::InitSystem;

    fn wanted(root: &Path, init: InitSystem) -> ServiceWanted {
        ServiceWanted { init: Some(init), root: Some(root.to_owned()), ..ServiceWanted::default() }
    }

    #[test]
    fn files_below_another_root_are_written_and_removed_and_nothing_is_started() {
        let root = tempfile::tempdir().unwrap();
        let config = config(root.path());
        let wanted = wanted(root.path(), InitSystem::Systemd);
        let ask = |action| printed(false, |screen| run(action, &wanted, false, &config, screen));
        let path = root.path().join("etc/systemd/system/outpost.service");

        let (installed, text) = ask(ServiceAction::Install);
        assert_eq!(installed, Ok(Exit::Ok));
        assert!(text.starts_with(&format!("written {}\n", path.display())), "{text}");
        let started = format!("\nExecStart=/usr/bin/outpost run --config {}/agent.toml\n", root.path().display());
        assert!(std::fs::read_to_string(&path).unwrap().contains(&started));
        let (_, again) = ask(ServiceAction::Install);
        assert!(again.starts_with("unchanged "), "{again}");

        assert_eq!(ask(ServiceAction::Start).0.unwrap_err().code, "service_elsewhere");
        let (exit, text) = ask(ServiceAction::Status);
        assert_eq!((exit, text.lines().count()), (Ok(Exit::Failed), 1), "{text}");

        let (_, text) = ask(ServiceAction::Uninstall);
        assert!(text.contains("settings and data stay") && !path.exists(), "{text}");
        assert_eq!(ask(ServiceAction::Uninstall).1, "there was nothing to remove\n");
        assert_eq!(ask(ServiceAction::Start).0.unwrap_err().code, "service_not_installed");
    }

    #[test]
    fn what_would_be_written_can_be_looked_at_first() {
        let root = tempfile::tempdir().unwrap();
        let config = config(root.path());
        let print = |init, is_json| {
            let wanted = wanted(root.path(), init);
            printed(is_json, |screen| run(ServiceAction::Install, &wanted, true, &config, screen)).1
        };

        assert!(print(InitSystem::Systemd, false).starts_with("# The outpost agent under systemd."));
        let runit = print(InitSystem::Runit, false);
        assert_eq!(runit.matches("==> /etc/sv/outpost/").count(), 3, "{runit}");
        let json: Value = serde_json::from_str(&print(InitSystem::OpenRc, true)).unwrap();
        assert_eq!(
            (&json["files"][0]["path"], &json["files"][0]["mode"]),
            (&json!("/etc/init.d/outpost"), &json!("0755"))
        );
        assert!(!root.path().join("etc").exists());
    }
}
