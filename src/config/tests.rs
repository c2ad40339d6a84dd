use std::io::Write as _;

use super::settings::{SETTINGS, TABLE_KEYS, TABLE_PARENT_KEYS};
use super::*;
use crate::error::Explained as _;

const EXAMPLE: &str = include_str!("../../agent.toml.example");

/// Settings of a text and of variables.
fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
    let sources = Sources { config_file: Some(file.path().to_path_buf()), data_folder: None, variables };
    Config::load(&sources)
}

/// The text of the error, without the name of the file.
fn message(text: &str, variables: &[(&str, &str)]) -> String {
    let message = load(text, variables).unwrap_err().to_string();
    message.split_once(", line ").map_or(message.clone(), |(_, rest)| format!("line {rest}"))
}

#[test]
fn the_example_is_valid_and_says_the_defaults() {
    let example = load(EXAMPLE, &[]).unwrap();

    assert_eq!(Config { file: None, ..example }, Config { file: None, ..load("", &[]).unwrap() });
}

#[test]
fn every_setting_is_in_the_example_in_its_section() {
    for setting in SETTINGS {
        let (section, key) = setting.path.split_once('.').unwrap_or(("", setting.path));
        let mut inside = "";
        let found = EXAMPLE.lines().any(|line| {
            if let Some(name) = line.strip_prefix('[') {
                inside = name.trim_end_matches(']');
            }
            let line = line.strip_prefix("# ").unwrap_or(line);
            inside == section && line.split_once(" = ").is_some_and(|(word, _)| word == key)
        });
        assert!(found, "agent.toml.example does not explain {}", setting.path);
    }
    for key in TABLE_KEYS.iter().chain(&TABLE_PARENT_KEYS) {
        assert!(EXAMPLE.contains(&format!("{key} = ")), "agent.toml.example does not explain {key} of a [[table]]");
    }
}

#[test]
fn what_the_example_leaves_out_is_valid_too() {
    let text: Vec<&str> = EXAMPLE
        .lines()
        .filter_map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with("[[") || rest.contains(" = ") => Some(rest),
            Some(_) => None,
            None => Some(line),
        })
        .filter(|line| *line != "#")
        .collect();

    let config = load(&text.join("\n"), &[]).unwrap();

    assert_eq!(config.central_url.unwrap().as_str(), "https://central.example.org");
    assert_eq!(config.site_name.as_deref(), Some("Clinic 7"));
    assert_eq!(config.tables.len(), 2);
}

#[test]
fn defaults_are_what_a_site_without_a_configuration_gets() {
    let config = load("", &[]).unwrap();

    assert_eq!(config.data_folder, Path::new("/var/lib/outpost"));
    assert_eq!(config.socket_path, Path::new("/var/lib/outpost/agent.sock"));
    assert_eq!(config.schedule.interval_ms, Some(300_000));
    assert_eq!(config.log_level, LevelFilter::Info);
    assert_eq!(config.central_url, None);
}

#[test]
fn an_unknown_key_is_named_with_line_column_and_the_nearest() {
    for (text, expected) in [
        (
            "[schedule]\n  intervall_s = 5\n",
            "line 2, column 3: there is no setting schedule.intervall_s; did you mean schedule.interval_s?",
        ),
        ("log_levle = \"info\"", "line 1, column 1: there is no setting log_levle; did you mean log_level?"),
        ("interval_s = 5", "line 1, column 1: there is no setting interval_s; did you mean schedule.interval_s?"),
        ("[weather]\nsun = true", "line 1, column 2: there is no setting weather"),
        (
            "[[table]]\nname = \"x\"\ntype = \"local\"\nid_colum = \"ID\"",
            "line 4, column 1: there is no setting table.id_colum; did you mean id_column?",
        ),
    ] {
        assert_eq!(message(text, &[]), expected);
    }
}

#[test]
fn a_wrong_value_is_named_with_its_limits() {
    for (text, expected) in [
        ("[schedule]\ninterval_s = 0", "line 2, column 14: schedule.interval_s is 0; it must be from 1 to 604800"),
        ("[schedule]\ninterval_s = -1", "line 2, column 14: schedule.interval_s is -1; it must be from 1 to 604800"),
        ("[schedule]\nmanual = 1", "line 2, column 10: schedule.manual is of type integer; it must be true or false"),
        (
            "[site]\ndevice_kind = \"fridge\"",
            "line 2, column 15: site.device_kind is \"fridge\"; it must be one of standalone, mobile",
        ),
        (
            "data_folder = \"\"",
            "line 1, column 15: data_folder has 0 bytes; it must be text of 1 to 4096 bytes without control characters",
        ),
    ] {
        assert_eq!(message(text, &[]), expected);
    }
}

#[test]
fn a_file_that_is_no_toml_is_refused_where_it_stops_being_one() {
    assert!(message("[site]\nname = Clinic", &[]).starts_with("line 2, column 8: "));
}

#[test]
fn each_setting_has_a_variable_that_is_stronger_than_the_file() {
    let config = load(
        "[schedule]\ninterval_s = 60\nmanual = true",
        &[("OUTPOST_SCHEDULE_INTERVAL_S", "90"), ("OUTPOST_SCHEDULE_MANUAL", "false"), ("OTHER", "x")],
    )
    .unwrap();

    assert_eq!(config.schedule.interval_ms, Some(90_000));
}

#[test]
fn windows_are_a_list_in_the_file_and_stand_between_semicolons_in_the_variable() {
    let in_file = load("[schedule]\nwindows = [\"22:00-05:00\", \"sat,sun 00:00-24:00\"]", &[]).unwrap();
    let variable = ("OUTPOST_SCHEDULE_WINDOWS", " 22:00-05:00; sat,sun 00:00-24:00;");
    let in_variable = load("[schedule]\nwindows = [\"12:00-13:00\"]", &[variable]).unwrap();

    assert_eq!(in_file.pacing.windows, in_variable.pacing.windows);
    assert!(!in_file.pacing.windows.is_always_open());
    assert!(load("", &[("OUTPOST_SCHEDULE_WINDOWS", "")]).unwrap().pacing.windows.is_always_open());
}

#[test]
fn windows_that_are_none_or_too_many_are_refused() {
    for (value, expected) in [
        ("\"22:00-05:00\"", "line 2, column 11: schedule.windows is of type string; it must be a list of texts"),
        (
            "[22]",
            "line 2, column 11: schedule.windows is a list with something of type integer; it must be a list of texts",
        ),
        (
            "[\"22:00\"]",
            "line 2, column 11: the window \"22:00\" is no window; write \"22:00-05:00\" or \"mon-fri 22:00-05:00\"",
        ),
    ] {
        assert_eq!(message(&format!("[schedule]\nwindows = {value}"), &[]), expected);
    }
    let many = vec!["\"22:00-05:00\""; 22].join(",");
    assert_eq!(load(&format!("[schedule]\nwindows = [{many}]"), &[]).unwrap_err().code(), "config_too_many");
}

#[test]
fn edits_bring_no_sync_and_bytes_have_no_limit_unless_somebody_says_so() {
    let pacing = load("", &[]).unwrap().pacing;
    assert_eq!((pacing.after_edit_ms, pacing.metered_interval_ms, pacing.budget), (None, None, Budget::default()));

    let text = "[schedule]\nafter_edit_s = 5\nmetered = \"yes\"\nbytes_per_day_max = 1000";
    let pacing = load(text, &[]).unwrap().pacing;
    assert_eq!((pacing.after_edit_ms, pacing.metered_interval_ms), (Some(5_000), Some(3_600_000)));
    assert_eq!(pacing.budget, Budget { day_bytes_max: Some(1000), month_bytes_max: None });
}

#[test]
fn a_wrong_variable_is_an_error_too() {
    for (name, value, expected) in [
        (
            "OUTPOST_SCHEDULE_INTERVALS",
            "90",
            "environment variable OUTPOST_SCHEDULE_INTERVALS: there is no setting OUTPOST_SCHEDULE_INTERVALS; \
             did you mean OUTPOST_SCHEDULE_INTERVAL_S?",
        ),
        (
            "OUTPOST_SCHEDULE_INTERVAL_S",
            "soon",
            "environment variable OUTPOST_SCHEDULE_INTERVAL_S: schedule.interval_s is \"soon\"; it must be a whole number",
        ),
    ] {
        assert_eq!(message("", &[(name, value)]), expected);
    }
    assert!(
        load("", &[("OUTPOST_PASSWORD", "secret"), ("OUTPOST_PASSPHRASE", "x"), ("OUTPOST_CONFIG", "/elsewhere")])
            .is_ok()
    );
}

#[test]
fn the_variables_of_a_central_on_the_same_machine_are_passed_over() {
    assert!(load("", &[("OUTPOST_CENTRAL_DATA", "/srv/central"), ("OUTPOST_CENTRAL_LOG", "debug")]).is_ok());
}

#[test]
fn relative_paths_of_a_file_count_from_its_folder_and_of_an_argument_from_here() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.toml");
    std::fs::write(&file, "data_folder = \"data\"\n[site]\npassword_file = \"/elsewhere/password\"").unwrap();
    let mut sources = Sources { config_file: Some(file), ..Sources::default() };

    let config = Config::load(&sources).unwrap();
    assert_eq!(config.data_folder, folder.path().join("data"));
    assert_eq!(config.socket_path, folder.path().join("data/agent.sock"));
    assert_eq!(config.password_file.as_deref(), Some(Path::new("/elsewhere/password")));

    sources.data_folder = Some(PathBuf::from("here"));
    assert_eq!(Config::load(&sources).unwrap().data_folder, Path::new("here"));
}

#[test]
fn a_named_file_must_be_there_and_of_a_size_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.toml");
    let sources = Sources { config_file: Some(file.clone()), ..Sources::default() };

    assert_eq!(Config::load(&sources).unwrap_err().code(), "config_unreadable");

    let bytes = usize::try_from(CONFIG_BYTES_MAX).unwrap();
    std::fs::write(&file, "#".repeat(bytes)).unwrap();
    assert!(Config::load(&sources).is_ok());
    std::fs::write(&file, "#".repeat(bytes + 1)).unwrap();
    assert_eq!(Config::load(&sources).unwrap_err().code(), "config_too_large");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let text = "[schedule]\nbackoff_first_s = 100\nbackoff_max_s = 10";
    assert_eq!(load(text, &[]).unwrap_err().code(), "config_order");

    let text = "[limits]\njournal_bytes_max = 67108864\nacknowledged_tail_bytes_max = 67108865";
    assert_eq!(load(text, &[]).unwrap_err().code(), "config_order");

    assert_eq!(load("[central]\nurl = \"http://10.0.0.1\"", &[]).unwrap_err().code(), "config_central_url");
}

#[test]
fn a_declared_table_that_cannot_be_used_is_refused() {
    let text = "[[table]]\nname = \"item\"\ntype = \"local\"";
    assert_eq!(load(text, &[]).unwrap_err().code(), "declared_table_clash");

    let text = "[[table]]\nname = \"x\"\ntype = \"stor\"";
    assert!(
        message(text, &[]).starts_with("line 3, column 8: this [[table]] cannot be used"),
        "{}",
        message(text, &[])
    );
}

#[test]
fn the_local_interface_listens_at_loopback_addresses_alone() {
    let listen = |value: &str| load(&format!("[local_api]\nlisten = \"{value}\"\n"), &[]);

    assert_eq!(load("", &[]).unwrap().local_api_listen, None);
    for address in ["127.0.0.1:8787", "127.0.0.2:1", "[::1]:65535"] {
        assert_eq!(listen(address).unwrap().local_api_listen, Some(address.parse().unwrap()));
    }
    for (value, problem) in [
        ("8787", "is no address with a port"),
        ("localhost:8787", "is no address with a port"),
        ("127.0.0.1", "is no address with a port"),
        ("127.0.0.1:0", "has no port that applications could know"),
        ("0.0.0.0:8787", "can be reached from elsewhere; only loopback addresses are taken"),
        ("192.168.1.7:8787", "can be reached from elsewhere; only loopback addresses are taken"),
    ] {
        let error = listen(value).unwrap_err();
        assert_eq!(error.code(), "config_listen");
        assert!(error.to_string().ends_with(problem), "{error}");
    }
}

#[test]
fn name_servers_are_addresses_with_a_port_where_it_is_not_53() {
    let written = |value: &str| load(&format!("[central]\nname_servers = [{value}]\n"), &[]);

    let servers = written("\"192.0.2.53\", \"192.0.2.54:5353\", \"2001:db8::53\"").unwrap().name_servers;

    assert_eq!(servers, ["192.0.2.53:53", "192.0.2.54:5353", "[2001:db8::53]:53"].map(|text| text.parse().unwrap()));
    assert!(load("", &[]).unwrap().name_servers.is_empty());
    let variable = ("OUTPOST_CENTRAL_NAME_SERVERS", "192.0.2.53;[2001:db8::53]:54");
    assert_eq!(load("", &[variable]).unwrap().name_servers.len(), 2);
    for value in ["dns.example.org", "192.0.2.53:0", "0.0.0.0", "192.0.2"] {
        let error = written(&format!("\"{value}\"")).unwrap_err();
        assert_eq!(error.code(), "config_name_server");
        assert!(error.to_string().ends_with(&format!("the name server {value:?} is no address of one")), "{error}");
    }
    assert_eq!(
        written("\"192.0.2.1\", \"192.0.2.2\", \"192.0.2.3\", \"192.0.2.4\"").unwrap_err().code(),
        "config_too_many"
    );
}

#[test]
fn machines_of_the_network_find_the_agent_by_its_names_and_its_address() {
    let load = |lines: &str| load(&format!("[clients]\n{lines}\n"), &[]).map(|config| config.clients);

    assert_eq!(Config::of_text(Path::new("x"), "").unwrap().clients, ClientsSettings::default());
    let one = load("listen = \"192.0.2.7:8443\"").unwrap();
    assert_eq!((one.all_names(), one.url().as_deref()), (vec!["192.0.2.7".to_owned()], Some("https://192.0.2.7:8443")));
    let named = load("listen = \"[fd00::7]:8443\"\nnames = [\"server.example\", \"192.0.2.7\"]").unwrap();
    assert_eq!(named.all_names(), ["server.example", "192.0.2.7", "fd00::7"]);
    assert_eq!(named.url().as_deref(), Some("https://server.example:8443"));
    assert!(load("listen = \"0.0.0.0:8443\"\nnames = [\"server.example\"]").is_ok());
    for (lines, problem) in [
        ("listen = \"8443\"", "clients.listen is no address with a port"),
        ("listen = \"192.0.2.7:0\"", "clients.listen has no port that clients could know"),
        ("listen = \"0.0.0.0:8443\"", "clients.names does not say how it is found"),
        ("listen = \"[::]:8443\"", "clients.names does not say how it is found"),
        ("names = [\"a b\"]", "neither a name of a machine nor an address, both without a port"),
        ("names = [\"server:8443\"]", "neither a name of a machine nor an address, both without a port"),
        ("certificate_file = \"x\"", "is set without clients.key_file"),
        ("key_file = \"x\"", "is set without clients.certificate_file"),
    ] {
        let error = load(lines).unwrap_err();
        assert_eq!(error.code(), "config_clients");
        assert!(error.to_string().ends_with(problem), "{error}");
    }
}
