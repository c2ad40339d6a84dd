//! Verbs: on a stopped central and through the socket of a running one.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::folder::Folder;
use crate::support::{store_line, unit_line};

/// What each verb says, with and without a server, is the same.
fn exercise(folder: &Folder, tag: &str) {
    let (store, unit) = (format!("S{tag}"), format!("U{tag}"));
    let lines = format!("{}\n\n{}\n", store_line(&store), unit_line(&unit));
    let first = folder.json(&["import", "-"], &lines);
    let again = folder.json(&["import", "-"], &lines);
    assert_eq!((first["written"].as_u64(), first["refused"].as_u64()), (Some(2), Some(0)));
    assert_eq!((again["written"].as_u64(), again["unchanged"].as_u64()), (Some(0), Some(2)));

    let name = format!("site {tag}");
    let id = folder.add_site(&name, &["--code", "c", "--type", "mobile"]);
    folder.json(&["store", "add", &store, "--site", &name], "");
    let shown = folder.json(&["site", "show", &id.to_string()], "");
    assert_eq!(shown["stores"][0], store.as_str());
    assert!(!shown.to_string().contains("argon2"), "the hash is not shown");
    let sites = folder.json(&["site", "list"], "");
    assert_eq!(sites["sites"][0]["name"], "central");
    let stores = folder.json(&["store", "list"], "");
    assert!(stores["stores"].as_array().unwrap().iter().any(|each| each["id"] == store.as_str() && each["site"] == id));

    let one = folder.json(&["records", "unit", "--id", &unit], "");
    assert_eq!(one["records"][0]["data"]["units"], format!("unit {unit}"));
    assert_eq!(folder.failure(&["records", "unit", "--id", "gone"], ""), (5, "unknown_record".to_owned()));
    assert_eq!(folder.failure(&["records", "unti"], ""), (5, "unknown_table".to_owned()));
    assert_eq!(folder.failure(&["records", "unit", "--limit", "0"], ""), (2, "limit".to_owned()));
    assert_eq!(folder.failure(&["site", "show", "nobody"], ""), (5, "unknown_site".to_owned()));
    assert_eq!(folder.failure(&["store", "add", "gone", "--site", &name], ""), (5, "unknown_store".to_owned()));
    let password_file = folder.password_file();
    let taken = ["site", "add", &name, "--password-file", password_file.to_str().unwrap()];
    assert_eq!(folder.failure(&taken, ""), (5, "site_name_taken".to_owned()));
}

#[test]
fn verbs_do_the_same_on_a_stopped_central_and_on_a_running_one() {
    let folder = Folder::new("");
    exercise(&folder, "1");
    let server = folder.serve();
    let mode = std::fs::metadata(folder.path().join("admin.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    exercise(&folder, "2");
    let status = folder.json(&["status"], "");
    assert_eq!(status["remote_sites"], 2);
    server.stop();
    exercise(&folder, "3");
    assert_eq!(folder.json(&["status"], "")["remote_sites"], 3);
}

#[test]
fn looking_at_a_stopped_central_changes_nothing() {
    let folder = Folder::new("");
    folder.json(&["import", "-"], &unit_line("U1"));
    let before = folder.json(&["status"], "");

    assert_eq!(folder.json(&["status"], ""), before);
}

#[test]
fn one_bad_line_and_nothing_is_imported_unless_told_to_continue() {
    let folder = Folder::new("");
    let lines = [
        unit_line("U1"),
        "{\"table\":\"unit\"".to_owned(),
        r#"{"table":"nowhere","op":"upsert","id":"x","data":{}}"#.to_owned(),
        r#"{"table":"unit","op":"upsert","id":"y","data":{"ID":"z"}}"#.to_owned(),
        unit_line("U2"),
    ]
    .join("\n");
    for server in [None, Some(folder.serve())] {
        let output = folder.run(&["import", "-", "--json"], &lines);
        assert_eq!(output.status.code(), Some(5));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let told: Vec<_> = report["refusals"].as_array().unwrap().iter().map(|each| each["line"].as_u64()).collect();
        assert_eq!(told, [Some(2), Some(3), Some(4)]);
        assert_eq!(report["refusals"][1]["code"], "unknown_table");
        assert_eq!((report["written"].as_u64(), report["refused"].as_u64()), (Some(0), Some(3)));
        assert_eq!(folder.json(&["records", "unit"], "")["records"].as_array().unwrap().len(), 0);
        drop(server);
    }

    let output = folder.run(&["import", "-", "--continue"], &lines);
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("line 3 nowhere x: ") && text.ends_with("2 recorded, 0 unchanged, 3 refused\n"), "{text}");
}

#[test]
fn the_headers_of_a_file_count_when_its_lines_are_checked() {
    let folder = Folder::new("");
    let line = r#"{"table":"list_master_line","op":"upsert","id":"ML","data":{"item_master_ID":"M"}}"#;
    let header = r#"{"table":"list_master","op":"upsert","id":"M","data":{"description":"d"}}"#;

    assert_eq!(folder.json(&["import", "-"], &format!("{header}\n{line}\n"))["written"], 2);
}

#[test]
fn an_import_of_several_commits_is_listed_page_by_page() {
    let folder = Folder::new("");
    let lines: Vec<String> = (0..4_500).map(|number| unit_line(&format!("U{number:05}"))).collect();
    let server = folder.serve();
    assert_eq!(folder.json(&["import", "-"], &lines.join("\n"))["written"], 4_500);

    let (mut after, mut count) = (None::<String>, 0);
    loop {
        let mut arguments = vec!["records", "unit", "--limit", "1000"];
        arguments.extend(after.as_deref().map(|id| ["--after", id]).iter().flatten());
        let page = folder.json(&arguments, "");
        count += page["records"].as_array().unwrap().len();
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(count, 4_500);
    drop(server);
}

#[test]
fn folders_settings_and_addresses_that_cannot_be_used_have_their_own_codes() {
    let folder = Folder::new("");
    assert_eq!(folder.failure(&["init"], ""), (5, "already_initialised".to_owned()));
    assert_eq!(folder.failure(&["serve", "--listen", "0.0.0.0:0"], ""), (6, "listen_not_loopback".to_owned()));
    assert_eq!(folder.run(&["nonsense"], "").status.code(), Some(2));
    std::fs::write(folder.path().join("central.toml"), "unknown = 1\n").unwrap();
    assert_eq!(folder.failure(&["status"], ""), (6, "settings_wrong".to_owned()));
    std::fs::remove_file(folder.path().join("central.toml")).unwrap();
    assert_eq!(folder.failure(&["status"], ""), (6, "settings_missing".to_owned()));
    std::fs::remove_dir_all(folder.path()).unwrap();
    assert_eq!(folder.failure(&["status"], ""), (6, "not_initialised".to_owned()));
}

#[test]
fn what_the_error_of_wrong_arguments_says_to_run_is_there() {
    // It named `help VERB`, which is no verb.
    let folder = Folder::new("");

    let output = folder.run(&["nothing", "--json"], "");

    let told: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(told["error"]["advice"], "`outpost-central VERB --help` says what a verb takes.");
    for verb in [&["status"][..], &["site"], &["site", "resume"]] {
        assert_eq!(folder.run(&[verb, &["--help"]].concat(), "").status.code(), Some(0), "{verb:?}");
    }
}

#[test]
fn arguments_that_cannot_be_read_are_an_error_like_any_other_for_a_program() {
    let folder = Folder::new("");
    for wrong in [
        &["mirror", "enable"][..],
        &["site", "resume", "north", "--device"],
        &["visibility", "list", "--limit", "x"],
        &["nothing"],
    ] {
        assert_eq!(folder.failure(wrong, ""), (2, "usage".to_owned()), "{wrong:?}");
    }
    assert_eq!(folder.failure(&["visibility", "list", "--limit", "0"], ""), (2, "limit".to_owned()));
    folder.add_site("north", &[]);
    for (arguments, code) in [
        (&["mirror", "disable"][..], "not_mirrored"),
        (&["mirror", "enable", "--primary", "central"], "primary_is_central"),
        (&["mirror", "enable", "--primary", "nobody"], "unknown_site"),
        (&["site", "resume", "north"], "site_not_stopped"),
    ] {
        assert_eq!(folder.failure(arguments, ""), (5, code.to_owned()), "{arguments:?}");
    }
    let frozen = folder.json(&["mirror", "enable", "--primary", "north"], "");
    assert_eq!((&frozen["phase"], &frozen["is_enrolled"]), (&"filling".into(), &false.into()));
    let shown = String::from_utf8(folder.run(&["mirror", "show"], "").stdout).unwrap();
    assert!(shown.contains("No device is enrolled for it yet"), "{shown}");
    assert_eq!(folder.json(&["mirror", "disable"], "")["phase"], "at central");
}

#[test]
fn transfers_are_listed_with_what_they_wait_for_and_a_site_may_make_its_own_halves() {
    let folder = Folder::new("");
    let lines = [
        r#"{"table":"name","op":"put","id":"NA","data":{"name":"A","type":"store"}}"#,
        r#"{"table":"name","op":"put","id":"NB","data":{"name":"B","type":"store"}}"#,
        r#"{"table":"store","op":"put","id":"A","data":{"code":"A","name_ID":"NA"}}"#,
        r#"{"table":"store","op":"put","id":"B","data":{"code":"B","name_ID":"NB"}}"#,
        r#"{"table":"transact","op":"put","id":"I","data":{"store_ID":"A","name_ID":"NB","type":"ci","status":"fn","invoice_num":7}}"#,
        r#"{"table":"transact","op":"put","id":"J","data":{"store_ID":"A","name_ID":"NB","type":"ci","status":"fn","requisition_ID":"R"}}"#,
    ]
    .join("\n");
    let imported = folder.json(&["import", "-"], &lines);
    assert_eq!(imported["written"], 6);

    let listed = folder.json(&["transfers"], "");
    let done = &listed["transfers"][0];
    assert_eq!((&done["kind"], &done["state"], &done["stage"]), (&"stock".into(), &"made".into(), &"done".into()));
    assert_eq!((&done["initiating"]["document_number"], &done["initiating"]["id"]), (&"7".into(), &"I".into()));
    assert_eq!((&done["responding"]["document_number"], &done["responding"]["store"]), (&"1".into(), &"B".into()));
    let text = folder.run(&["transfers", "--store", "B", "--stuck"], "");
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("requisition R at central") && text.contains("STUCK") && !text.contains("no. 7"), "{text}");
    assert_eq!(folder.json(&["status"], "")["transfers"]["stuck"], 1);
    let status = String::from_utf8(folder.run(&["status"], "").stdout).unwrap();
    assert!(status.contains("STUCK 1 transfer: `transfers --stuck`"), "{status}");
    assert_eq!(folder.failure(&["transfers", "--site", "nobody"], ""), (5, "unknown_site".to_owned()));

    let id = folder.add_site("open", &["--makes-own-halves", "on"]).to_string();
    assert_eq!(folder.json(&["site", "show", &id], "")["makes_own_halves"], true);
    folder.json(&["site", "edit", &id, "--makes-own-halves", "off"], "");
    assert_eq!(folder.json(&["site", "show", &id], "")["makes_own_halves"], false);
}
