//! Central's key: saved, put back, made anew; and copies of production that get one of their own.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::agent::Agent;
use crate::support::folder::Folder;
use crate::support::http::{HttpReply, get};
use crate::support::store_line;

const PASSPHRASE: &str = "four random words";

fn file(folder: &Folder, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.path().with_file_name(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn key_of(folder: &Folder) -> Vec<u8> {
    std::fs::read(folder.path().join("central.key")).unwrap()
}

/// `key VERB FILE` with a passphrase.
fn arguments<'a>(verb: &'a str, file: &'a str, passphrase_file: &'a str) -> [&'a str; 5] {
    ["key", verb, file, "--passphrase-file", passphrase_file]
}

#[test]
fn an_exported_key_makes_another_folder_the_central_that_a_device_trusts() {
    let first = Folder::new("");
    first.add_site("clinic", &[]);
    let server = first.serve();
    let passphrase = file(&first, "passphrase", PASSPHRASE.as_bytes());
    let (passphrase, export) = (passphrase.to_str().unwrap(), first.path().with_file_name("exported"));
    let export = export.to_str().unwrap();
    let exported = first.json(&arguments("export", export, passphrase), "");
    assert_eq!(exported["fingerprint"], first.json(&["identity"], "")["fingerprint"]);
    assert_eq!(first.failure(&arguments("export", export, passphrase), ""), (5, "key_file_exists".to_owned()));
    let key = key_of(&first);
    server.stop();

    let second = Folder::new("");
    second.add_site("clinic", &[]);
    let own = key_of(&second);
    assert_eq!(second.failure(&arguments("import", export, passphrase), ""), (5, "key_differs".to_owned()));
    assert_eq!(key_of(&second), own);
    second.json(&[&arguments("import", export, passphrase)[..], &["--replace"]].concat(), "");
    second.json(&arguments("import", export, passphrase), "");

    assert_eq!(key_of(&second), key);
    let server = second.serve();
    let running = second.failure(&[&arguments("import", export, passphrase)[..], &["--replace"]].concat(), "");
    assert_eq!(running, (8, "folder_in_use".to_owned()));
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    assert_eq!(agent.central.to_string(), exported["central_key"].as_str().unwrap());
    agent.sync_whole(server.address);
}

#[test]
fn a_wrong_passphrase_and_truncated_altered_and_missing_files_change_nothing() {
    let folder = Folder::new("");
    let right = file(&folder, "passphrase", format!("{PASSPHRASE}\n").as_bytes());
    let wrong = file(&folder, "wrong", b"four other words");
    let export = folder.path().with_file_name("exported");
    let (right, wrong, export) = (right.to_str().unwrap(), wrong.to_str().unwrap(), export.to_str().unwrap());
    let short = file(&folder, "short", b"short");
    let refused = folder.failure(&arguments("export", export, short.to_str().unwrap()), "");
    assert_eq!(refused, (5, "passphrase_length".to_owned()));
    folder.json(&arguments("export", export, right), "");
    let bytes = std::fs::read(export).unwrap();
    let flipped = |index: usize| {
        let mut bytes = bytes.clone();
        bytes[index] ^= 4;
        bytes
    };
    folder.json(&["key", "new", "--replace"], "");
    let before = key_of(&folder);

    for (content, passphrase, code) in [
        (bytes.clone(), wrong, "key_file_locked"),
        (bytes[..bytes.len() - 1].to_vec(), right, "key_file_form"),
        (Vec::new(), right, "key_file_form"),
        (flipped(0), right, "key_file_form"),
        (flipped(60), right, "key_file_locked"),
        (flipped(bytes.len() - 1), right, "key_file_locked"),
    ] {
        let path = file(&folder, "broken", &content);
        let arguments = [&arguments("import", path.to_str().unwrap(), passphrase)[..], &["--replace"]].concat();
        assert_eq!(folder.failure(&arguments, ""), (5, code.to_owned()));
    }
    assert_eq!(folder.failure(&arguments("import", "absent", right), ""), (2, "input_unreadable".to_owned()));
    assert_eq!(key_of(&folder), before);
}

#[test]
fn a_folder_that_lost_its_key_takes_it_back_or_a_new_one_and_keeps_its_store() {
    let folder = Folder::new("");
    let id = folder.add_site("clinic", &[]);
    let passphrase = file(&folder, "passphrase", PASSPHRASE.as_bytes());
    let (passphrase, export) = (passphrase.to_str().unwrap(), folder.path().with_file_name("exported"));
    let export = export.to_str().unwrap();
    folder.json(&arguments("export", export, passphrase), "");
    let key = key_of(&folder);
    assert_eq!(folder.failure(&["key", "new"], ""), (5, "key_differs".to_owned()));
    std::fs::remove_file(folder.path().join("central.key")).unwrap();
    for verb in [&["init"][..], &["serve", "--listen", "127.0.0.1:0"], &["status"], &["identity"]] {
        assert_eq!(folder.failure(verb, ""), (5, "key_missing".to_owned()), "{verb:?}");
    }

    folder.json(&arguments("import", export, passphrase), "");
    assert_eq!(key_of(&folder), key);
    std::fs::remove_file(folder.path().join("central.key")).unwrap();
    folder.json(&["key", "new"], "");

    assert_ne!(key_of(&folder), key);
    assert_eq!(folder.json(&["site", "show", "clinic"], "")["id"], id);
    let log = folder.json(&["audit"], "");
    let verbs: Vec<_> = log["audit"].as_array().unwrap().iter().map(|row| row["verb"].as_str().unwrap()).collect();
    assert_eq!(verbs, ["site-add", "key-import", "key-new"]);
    assert_eq!(log["audit"][2]["after"]["fingerprint"], folder.json(&["identity"], "")["fingerprint"]);
    std::fs::remove_dir_all(folder.path()).unwrap();
    assert_eq!(folder.failure(&arguments("import", export, passphrase), ""), (6, "not_initialised".to_owned()));
}

#[test]
fn what_answers_on_the_network_says_its_key_and_the_verb_its_fingerprint() {
    let folder = Folder::new("");
    let stopped = folder.json(&["identity"], "");
    let server = folder.serve();
    let running = folder.json(&["identity"], "");
    let HttpReply { status, body, .. } = get(server.address, "/hello").unwrap();
    let shown: Value = serde_json::from_slice(&body).unwrap();

    assert_eq!(status, 200);
    assert_eq!(shown["central_key"], running["central_key"]);
    for key in ["central_key", "fingerprint", "fingerprint_short"] {
        assert_eq!(stopped[key], running[key]);
    }
    assert_ne!(stopped["epoch"], running["epoch"], "each start begins one");
    let text = String::from_utf8(folder.run(&["identity"], "").stdout).unwrap();
    assert!(text.contains(running["fingerprint"].as_str().unwrap()), "{text}");
}

#[test]
fn a_copy_has_its_own_key_and_epoch_before_anybody_reaches_it_and_stays_a_copy() {
    let production = Folder::new("");
    production.json(&["import", "-"], &store_line("S1"));
    let id = production.add_site("clinic", &["--store", "S1"]);
    let server = production.serve();
    let mut device = Agent::enrol(server.address, "clinic", 1);
    device.record_location("L1", "S1");
    device.sync_whole(server.address);
    let original = production.json(&["identity"], "");
    server.stop();
    let copy = production.copied();
    let server = copy.serve_with(&["--as-copy"]);
    let before = copy.json(&["site", "show", "clinic"], "");

    device.record_location("L2", "S1");
    let refused = device.post_request(server.address);

    assert_eq!((refused.status, refused.code()), (403, "not_enrolled"));
    assert_eq!(copy.json(&["site", "show", "clinic"], ""), before, "nothing of the site changed");
    let own = copy.json(&["identity"], "");
    assert_ne!(own["fingerprint"], original["fingerprint"]);
    assert_ne!(own["epoch"], original["epoch"]);
    assert_eq!(copy.json(&["status"], "")["copy_of"]["fingerprint"], original["fingerprint"]);
    let text = String::from_utf8(copy.run(&["status"], "").stdout).unwrap();
    assert!(text.starts_with("copy of "), "{text}");
    assert!(copy.log().contains("this is a copy of another central"), "{}", copy.log());
    server.stop();

    // Without the flag it is the same central, and says what it is.
    let server = copy.serve();
    assert_eq!(copy.json(&["identity"], "")["fingerprint"], own["fingerprint"]);
    assert!(copy.log().contains("this is a copy of another central"), "{}", copy.log());
    assert_eq!(u64::from(id), copy.json(&["site", "show", "clinic"], "")["id"].as_u64().unwrap());
    server.stop();
    let server = production.serve();
    device.sync_whole(server.address);
    assert_eq!(production.json(&["status"], "")["copy_of"], Value::Null);
}

#[test]
fn a_copy_does_not_take_the_key_of_its_original() {
    let production = Folder::new("");
    let passphrase = file(&production, "passphrase", PASSPHRASE.as_bytes());
    let (passphrase, export) = (passphrase.to_str().unwrap(), production.path().with_file_name("exported"));
    let export = export.to_str().unwrap();
    production.json(&arguments("export", export, passphrase), "");
    let copy = production.copied();
    copy.serve_with(&["--as-copy"]).stop();
    let own = key_of(&copy);

    let refused = copy.failure(&[&arguments("import", export, passphrase)[..], &["--replace"]].concat(), "");

    assert_eq!(refused, (5, "copy_of_this_key".to_owned()));
    assert_eq!(key_of(&copy), own);
}
