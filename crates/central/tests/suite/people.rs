//! Accounts, tokens and the authorisation code on the command line.

use crate::support::folder::{Folder, PASSWORD};
use crate::support::store_line;

fn password(folder: &Folder) -> String {
    folder.password_file().to_str().unwrap().to_owned()
}

#[test]
fn accounts_are_added_changed_disabled_and_removed_and_no_password_is_shown_or_logged() {
    let folder = Folder::new("");
    let file = password(&folder);
    for server in [None, Some(folder.serve())] {
        let add = ["account", "add", "ann", "--role", "administrator", "--password-file", &file];
        assert_eq!(folder.json(&add, "")["role"], "administrator");
        assert_eq!(folder.failure(&add, ""), (5, "account_name_taken".to_owned()));
        folder.json(&["account", "edit", "ann", "--password-file", "-"], "another one\n");
        let changed = folder.json(&["account", "edit", "ann", "--role", "viewer"], "");
        assert!(changed["warning"].as_str().unwrap().contains("no account is an administrator"), "{changed}");
        assert_eq!(folder.json(&["account", "disable", "ann"], "")["is_disabled"], true);
        assert_eq!(folder.json(&["account", "enable", "ann"], "")["is_disabled"], false);
        let listed = folder.json(&["account", "list"], "");
        assert_eq!(
            (&listed["accounts"][0]["account"], &listed["accounts"][0]["role"]),
            (&"ann".into(), &"viewer".into())
        );
        assert!(folder.text(&["account", "list"]).contains("may sign in"));
        folder.json(&["account", "remove", "ann"], "");
        assert_eq!(folder.failure(&["account", "remove", "ann"], ""), (5, "unknown_account".to_owned()));
        drop(server);
    }
    let empty = ["account", "add", "bob", "--role", "viewer", "--password-file", "-"];
    assert_eq!(folder.failure(&empty, ""), (5, "password_length".to_owned()));
    assert_eq!(
        folder.run(&["account", "add", "bob", "--role", "king", "--password-file", "-"], "x").status.code(),
        Some(2)
    );

    let log = folder.json(&["audit"], "");

    let row = |index: usize| &log["audit"][index];
    assert_eq!((&row(0)["verb"], &row(0)["record"]), (&"account-add".into(), &"ann".into()));
    assert_eq!(
        (&row(2)["before"]["password_generation"], &row(2)["after"]["password_generation"]),
        (&1.into(), &2.into())
    );
    assert_eq!((&row(3)["before"]["role"], &row(3)["after"]["role"]), (&"administrator".into(), &"viewer".into()));
    let text = log.to_string();
    assert!(!text.contains(PASSWORD) && !text.contains("another one") && !text.contains("argon2"), "{text}");
}

#[test]
fn a_token_shows_its_secret_once() {
    let folder = Folder::new("");
    let made = folder.json(&["token", "add", "backup", "--role", "viewer", "--days", "7"], "");
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("outpost_token_") && secret.len() == 14 + 64, "{secret}");
    assert!(!made["expires"].is_null());
    let again = ["token", "add", "backup", "--role", "viewer"];
    assert_eq!(folder.failure(&again, ""), (5, "token_name_taken".to_owned()));
    for days in ["0", "3651"] {
        let wrong = ["token", "add", "other", "--role", "viewer", "--days", days];
        assert_eq!(folder.failure(&wrong, ""), (2, "token_days".to_owned()));
    }

    let listed = folder.run(&["token", "list", "--json"], "");
    let log = folder.run(&["audit", "--json"], "");
    let files = std::fs::read(folder.path().join("central.sqlite")).unwrap();

    for shown in [&listed.stdout, &log.stdout, &files] {
        assert!(!String::from_utf8_lossy(shown).contains(&secret[14..]), "the secret is kept nowhere");
    }
    folder.json(&["token", "revoke", "backup"], "");
    assert_eq!(folder.failure(&["token", "revoke", "backup"], ""), (5, "unknown_token".to_owned()));
}

#[test]
fn without_a_code_nothing_is_locked_and_status_says_so() {
    let folder = Folder::new("");

    assert_eq!(folder.json(&["status"], "")["authorisation_code"], "none");
    folder.json(&["preference", "set", "centralised-procurement", "on"], "");
    assert_eq!(folder.failure(&["unlock", "--code-file", "-"], "x"), (5, "no_authorisation_code".to_owned()));
}

#[test]
fn a_code_locks_what_may_harm_until_it_is_given_and_nothing_else() {
    let folder = Folder::new("");
    folder.json(&["import", "-"], &store_line("S1"));
    folder.add_site("north", &["--store", "S1"]);
    let file = password(&folder);
    folder.json(&["authorisation-code", "set", "--code-file", "-"], "4711\n");
    assert_eq!(folder.json(&["status"], "")["authorisation_code"], "set");
    let locked = [
        &["preference", "set", "centralised-procurement", "on"][..],
        &["preference", "set", "local-procurement", "on", "--store", "S1"],
        &["store", "set-role", "S1", "--site", "central", "transfer"],
        &["site", "edit", "north", "--name", "far north"],
        &["site", "edit", "north", "--password-file", &file],
        &["mirror", "enable", "--primary", "north"],
        &["mirror", "disable"],
    ];
    for server in [None, Some(folder.serve())] {
        for verb in locked {
            assert_eq!(folder.failure(verb, ""), (5, "locked".to_owned()), "{verb:?}");
        }
        folder.json(&["site", "edit", "north", "--code", "N"], "");
        folder.json(&["site", "reset-hardware", "north"], "");
        folder.json(&["preference", "list"], "");
        assert_eq!(folder.failure(&["unlock", "--code-file", "-"], "4712"), (5, "wrong_authorisation_code".to_owned()));
        let unlocked = folder.json(&["unlock", "--code-file", "-"], "4711\n");
        assert_eq!(unlocked["minutes"], 10);
        folder.json(&["preference", "set", "centralised-procurement", "on"], "");
        folder.json(&["lock"], "");
        assert_eq!(folder.failure(locked[0], ""), (5, "locked".to_owned()));
        drop(server);
    }

    folder.json(&["authorisation-code", "clear"], "");

    folder.json(locked[3], "");
    let log = folder.json(&["audit", "--limit", "1000"], "").to_string();
    assert!(!log.contains("4711") && !log.contains("4712"), "{log}");
    assert!(log.contains("wrong_authorisation_code") && log.contains("unlocked_until"), "{log}");
}

#[test]
fn a_running_central_takes_wrong_codes_slower_and_slower() {
    let folder = Folder::new("");
    folder.json(&["authorisation-code", "set", "--code-file", "-"], "4711");
    let server = folder.serve();
    for _ in 0..3 {
        assert_eq!(folder.failure(&["unlock", "--code-file", "-"], "x").1, "wrong_authorisation_code");
    }

    assert_eq!(folder.failure(&["unlock", "--code-file", "-"], "4711"), (5, "too_many_attempts".to_owned()));
    drop(server);
}
