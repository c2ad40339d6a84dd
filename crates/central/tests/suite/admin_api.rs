//! The admin API by real HTTP: who may do what, what is answered to rubbish, and that it does what the command line does.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use sql::{Sql as _, SqlExt as _};

use crate::support::folder::{Folder, PASSWORD};
use crate::support::http::{Connection, HttpReply};
use crate::support::store_line;
use crate::support::wait::DEADLINE;

const SETTINGS: &str = "[admin_api]\naddress = \"127.0.0.1:0\"\n";

/// One request as it is sent: more header lines, and a body.
fn send(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> HttpReply {
    try_send(address, method, path, headers, body).unwrap()
}

/// The same where the server may be gone.
fn try_send(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Option<HttpReply> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let length = body.len();
    write!(stream, "{method} /admin/v0{path} HTTP/1.0\r\n{headers}Content-Length: {length}\r\n\r\n").ok()?;
    // A server that refuses early does not take all of it.
    let _ = stream.write_all(body.as_bytes());
    Connection { stream }.reply()
}

/// Somebody who asks with a token.
struct Asker {
    address: SocketAddr,
    token: String,
}

impl Asker {
    fn ask(&self, method: &str, path: &str, body: &Value) -> HttpReply {
        let headers = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", self.token);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send(self.address, method, path, &headers, &body)
    }

    #[track_caller]
    fn json(&self, method: &str, path: &str, body: &Value) -> Value {
        let reply = self.ask(method, path, body);
        assert_eq!(reply.status, 200, "{method} {path}: {}", String::from_utf8_lossy(&reply.body));
        reply.json()
    }

    #[track_caller]
    fn refused(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        told(&self.ask(method, path, body))
    }
}

/// Status and code of a refusal, which says what to do.
#[track_caller]
fn told(reply: &HttpReply) -> (u16, String) {
    let body = reply.json();
    assert!(body["message"].is_string() && body["what_to_do"].is_string(), "{body}");
    (reply.status, body["code"].as_str().unwrap().to_owned())
}

fn token(folder: &Folder, address: SocketAddr, name: &str, role: &str) -> Asker {
    let made = folder.json(&["token", "add", name, "--role", role], "");
    Asker { address, token: made["secret"].as_str().unwrap().to_owned() }
}

fn sign_in(address: SocketAddr, name: &str, password: &str) -> HttpReply {
    let body = json!({ "name": name, "password": password }).to_string();
    send(address, "POST", "/sessions", "Content-Type: application/json\r\n", &body)
}

fn add_account(folder: &Folder, name: &str, role: &str) {
    let file = folder.password_file();
    folder.json(&["account", "add", name, "--role", role, "--password-file", file.to_str().unwrap()], "");
}

#[test]
fn a_site_lives_its_life_through_the_api_and_the_command_line_sees_the_same() {
    let folder = Folder::new(SETTINGS);
    folder.json(&["import", "-"], &format!("{}\n{}\n", store_line("S1"), store_line("S 2/3")));
    let (server, address) = folder.serve_api();
    let asker = token(&folder, address, "script", "administrator");

    let new = json!({ "name": "north", "kind": "mobile", "password": PASSWORD, "stores": ["S1"] });
    let id = asker.json("POST", "/sites", &new)["id"].clone();
    assert_eq!(asker.refused("POST", "/sites", &new), (409, "site_name_taken".to_owned()));
    asker.json("PATCH", "/sites/north", &json!({ "code": "N" }));
    assert_eq!(asker.json("GET", &format!("/sites/{id}"), &Value::Null)["code"], "N");
    asker.json("DELETE", "/stores/S1/site?is_at_once=true", &Value::Null);
    asker.json("PUT", "/stores/S%202%2F3/site", &json!({ "site": "north" }));
    asker.json("POST", "/sites/north/reset-hardware", &Value::Null);

    assert_eq!(asker.json("GET", "/sites", &Value::Null), folder.json(&["site", "list"], ""));
    assert_eq!(asker.json("GET", "/stores", &Value::Null), folder.json(&["store", "list"], ""));
    assert_eq!(folder.json(&["site", "show", "north"], "")["stores"], json!(["S 2/3"]));
    let log = asker.json("GET", "/audit?site=north&limit=10", &Value::Null);
    assert_eq!(log, folder.json(&["audit", "--site", "north", "--limit", "10"], ""));
    let verbs: Vec<_> = log["audit"].as_array().unwrap().iter().map(|row| row["verb"].as_str().unwrap()).collect();
    let expected = ["site-add", "site-add", "site-edit", "store-remove", "store-add", "site-reset-hardware"];
    assert_eq!(verbs, expected);
    assert!(log["audit"].as_array().unwrap().iter().all(|row| row["actor"] == "token:script"), "{log}");
    assert!(!log.to_string().contains(PASSWORD), "no secret is kept");
    drop(server);
}

#[test]
fn every_looking_path_answers_and_a_viewer_changes_nothing() {
    let folder = Folder::new(SETTINGS);
    folder.json(&["import", "-"], &store_line("S1"));
    folder.add_site("north", &[]);
    let (server, address) = folder.serve_api();
    let (viewer, administrator) =
        (token(&folder, address, "looks", "viewer"), token(&folder, address, "changes", "administrator"));
    let document = send(address, "GET", "/openapi.json", "", "").json();

    let mut changes = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path.strip_prefix("/admin/v0").unwrap().replace("{site}", "north").replace("{store}", "S1");
        let path = path.replace("{table}/{id}", "store/S1").replace("{table}", "S1");
        let path = path.replace("{name}", "n").replace("{id}", "i").replace("{place}", "p");
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_uppercase();
            if operation["x-role"].is_null() {
                continue;
            }
            if operation["x-role"] == "viewer" {
                assert_eq!(method, "GET", "{path}");
                viewer.json(&method, &path, &Value::Null);
                continue;
            }
            changes += 1;
            // Fields of a DELETE stand in the query, and this one must be there.
            let path =
                if method == "DELETE" { path.replace("/set-aside", "/set-aside?through=p") } else { path.clone() };
            let path = path.replace("?through=p/p", "/p");
            let body = sample(&operation["requestBody"]);
            assert_eq!(viewer.refused(&method, &path, &body), (403, "not_permitted".to_owned()), "{method} {path}");
            let reply = send(address, &method, &path, "Content-Type: application/json\r\n", &body.to_string());
            assert_eq!(told(&reply), (401, "token_missing".to_owned()), "{method} {path}");
            // There is no refused edit to look at.
            if method == "GET" && !path.ends_with("/set-aside/p") {
                administrator.json(&method, &path, &Value::Null);
            }
        }
    }

    assert!(changes > 20, "{changes}");
    let log = folder.json(&["audit", "--limit", "1000"], "");
    let refused = log["audit"].as_array().unwrap().iter().filter(|row| row["code"] == "not_permitted").count();
    assert!(refused > 20, "what was refused is logged: {refused}");
    assert_eq!(folder.json(&["site", "list"], "")["sites"].as_array().unwrap().len(), 2);
    drop(server);
}

/// A body that has the fields that it must have.
fn sample(body: &Value) -> Value {
    let schema = &body["content"]["application/json"]["schema"];
    let Some(properties) = schema["properties"].as_object() else { return Value::Null };
    let fields = properties.iter().map(|(name, field)| {
        let value = match field["type"].as_str() {
            Some("string") => json!("x"),
            Some("array") => json!(["x"]),
            Some("integer") => json!(1),
            _ => json!(true),
        };
        (name.clone(), value)
    });
    fields.collect()
}

#[test]
fn somebody_signs_in_until_they_sign_out_get_another_password_or_are_disabled() {
    let folder = Folder::new(SETTINGS);
    add_account(&folder, "ann", "administrator");
    let (server, address) = folder.serve_api();
    let signed_in = |password: &str| {
        let reply = sign_in(address, "ann", password).json();
        Asker { address, token: reply["token"].as_str().unwrap().to_owned() }
    };

    let first = sign_in(address, "ann", PASSWORD);
    assert_eq!((first.status, first.json()["role"].clone()), (200, json!("administrator")));
    let ann = signed_in(PASSWORD);
    ann.json("POST", "/sites", &json!({ "name": "n", "kind": "standalone", "password": "long enough" }));
    ann.json("DELETE", "/sessions", &Value::Null);
    assert_eq!(ann.refused("GET", "/status", &Value::Null), (401, "wrong_token".to_owned()));

    let ann = signed_in(PASSWORD);
    folder.json(&["account", "edit", "ann", "--role", "viewer"], "");
    assert_eq!(ann.refused("PATCH", "/sites/n", &json!({ "code": "c" })), (403, "not_permitted".to_owned()));
    ann.json("GET", "/status", &Value::Null);
    folder.json(&["account", "edit", "ann", "--password-file", "-"], "another one");
    assert_eq!(ann.refused("GET", "/status", &Value::Null), (401, "wrong_token".to_owned()));
    let ann = signed_in("another one");
    folder.json(&["account", "disable", "ann"], "");
    assert_eq!(ann.refused("GET", "/status", &Value::Null), (401, "wrong_token".to_owned()));
    assert_eq!(told(&sign_in(address, "ann", "another")), (401, "wrong_credentials".to_owned()));
    folder.json(&["account", "enable", "ann"], "");
    let ann = signed_in("another one");
    folder.json(&["account", "remove", "ann"], "");
    assert_eq!(ann.refused("GET", "/status", &Value::Null), (401, "wrong_token".to_owned()));
    let row = folder.json(&["audit", "--site", "n"], "")["audit"][0].clone();
    assert_eq!((&row["actor"], &row["verb"]), (&"account:ann".into(), &"site-add".into()));
    drop(server);
}

#[test]
fn wrong_passwords_are_answered_slower_and_an_unknown_name_like_a_known_one() {
    let folder = Folder::new(SETTINGS);
    add_account(&folder, "ann", "viewer");
    let (server, address) = folder.serve_api();
    for name in ["ann", "nobody"] {
        for _ in 0..3 {
            assert_eq!(told(&sign_in(address, name, "wrong")), (401, "wrong_credentials".to_owned()));
        }
        let reply = sign_in(address, name, PASSWORD);
        assert_eq!(told(&reply), (429, "too_many_attempts".to_owned()), "{name}");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }

    assert!(!folder.server_log().contains("wrong\""), "no password is logged");
    drop(server);
}

#[test]
fn a_revoked_and_an_expired_token_count_no_more_and_rubbish_never_did() {
    let folder = Folder::new(SETTINGS);
    let expired = folder.json(&["token", "add", "expired", "--role", "viewer", "--days", "1"], "");
    let store = folder.path().join("central.sqlite");
    let mut engine = sql::SqliteEngine::open(store, &central::store::sqlite_options()).unwrap();
    engine
        .in_transaction(sql::Durability::Full, |sql| sql.execute("UPDATE api_token SET expires_ms = 1", &[]))
        .unwrap();
    drop(engine);
    let (server, address) = folder.serve_api();
    let expired = Asker { address, token: expired["secret"].as_str().unwrap().to_owned() };
    let revoked = token(&folder, address, "revoked", "viewer");
    revoked.json("GET", "/status", &Value::Null);
    folder.json(&["token", "revoke", "revoked"], "");
    assert_eq!(folder.json(&["token", "list"], "")["tokens"][0]["is_expired"], true);

    let rubbish = ["x", "outpost_token_", "outpost_session_00", &"x".repeat(4000)];
    let rubbish = rubbish.iter().map(|token| Asker { address, token: (*token).to_owned() });
    for asker in [revoked, expired].into_iter().chain(rubbish) {
        assert_eq!(asker.refused("GET", "/status", &Value::Null), (401, "wrong_token".to_owned()), "{}", asker.token);
    }
    for headers in ["", "Authorization: Bearer \r\n", "Authorization: Basic YTpi\r\n", "Authorization: \u{e9}\r\n"] {
        let reply = send(address, "GET", "/status", headers, "");
        assert_eq!(told(&reply), (401, "token_missing".to_owned()), "{headers}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    drop(server);
}

#[test]
fn rubbish_is_told_what_is_wrong_with_it_and_changes_nothing() {
    let folder = Folder::new(SETTINGS);
    let (server, address) = folder.serve_api();
    let asker = token(&folder, address, "script", "administrator");
    let bearer = format!("Authorization: Bearer {}\r\n", asker.token);
    let json_type = format!("{bearer}Content-Type: application/json\r\n");
    let malformed = (400, "request_malformed".to_owned());

    for body in ["{", "[]", "7", r#"{"name":"n"}"#, r#"{"name":7,"kind":"mobile","password":"p"}"#, "\u{0}"] {
        assert_eq!(told(&send(address, "POST", "/sites", &json_type, body)), malformed, "{body}");
    }
    let good = json!({ "name": "n", "kind": "mobile", "password": "long enough" }).to_string();
    for kind in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"] {
        assert_eq!(told(&send(address, "POST", "/sites", &format!("{bearer}{kind}"), &good)), malformed, "{kind}");
    }
    for path in ["/audit?limit=x", "/audit?limit=-1", "/audit?more=1", "/stores?verb=status", "/stores/%ff"] {
        assert_eq!(asker.refused("GET", path, &Value::Null), malformed, "{path}");
    }
    assert_eq!(asker.refused("GET", "/audit?limit=0", &Value::Null), (400, "limit".to_owned()));
    assert_eq!(asker.refused("GET", "/nowhere", &Value::Null), (404, "unknown_path".to_owned()));
    assert_eq!(asker.refused("PATCH", "/stores", &json!({})), (405, "unknown_method".to_owned()));
    assert_eq!(told(&sign_in(address, &"x".repeat(101), "p")), malformed);
    assert_eq!(told(&sign_in(address, "ann", &"x".repeat(2000))), (401, "wrong_credentials".to_owned()));
    for (path, code) in [("/sites/nobody", "unknown_site"), ("/stores/none", "unknown_store")] {
        assert_eq!(asker.refused("GET", path, &Value::Null), (404, code.to_owned()));
    }
    let long = json!({ "name": "n", "kind": "mobile", "password": "long enough", "code": "x".repeat(200_000) });
    assert_eq!(asker.refused("POST", "/sites", &long), (413, "request_too_large".to_owned()));

    assert_eq!(folder.json(&["site", "list"], "")["sites"].as_array().unwrap().len(), 1);
    let reply = asker.ask("GET", "/status", &Value::Null);
    assert_eq!((reply.header("cache-control"), reply.header("access-control-allow-origin")), (Some("no-store"), None));
    drop(server);
}

#[test]
fn the_code_is_given_by_each_for_itself_and_changed_on_centrals_machine_alone() {
    let folder = Folder::new(SETTINGS);
    folder.json(&["authorisation-code", "set", "--code-file", "-"], "4711");
    let (server, address) = folder.serve_api();
    let (one, two) = (token(&folder, address, "one", "administrator"), token(&folder, address, "two", "administrator"));
    let switch = ("PUT", "/preferences/centralised-procurement", json!({ "is_on": true }));
    let locked = (403, "locked".to_owned());

    assert_eq!(one.refused(switch.0, switch.1, &switch.2), locked);
    let wrong = json!({ "authorisation_code": "4712" });
    assert_eq!(one.refused("PUT", "/unlock", &wrong), (403, "wrong_authorisation_code".to_owned()));
    one.json("PUT", "/unlock", &json!({ "authorisation_code": "4711" }));
    let (opened, closed) = (one.json("GET", "/sessions", &Value::Null), two.json("GET", "/sessions", &Value::Null));
    assert_eq!((&opened["actor"], &opened["authorisation_code"]), (&"token:one".into(), &"set".into()));
    assert!(opened["unlocked_until"].is_string() && closed["unlocked_until"].is_null(), "{opened} {closed}");
    assert_eq!(two.refused(switch.0, switch.1, &switch.2), locked);
    assert_eq!(folder.failure(&["preference", "set", "centralised-procurement", "on"], "").1, "locked");
    one.json(switch.0, switch.1, &switch.2);
    one.json("DELETE", "/unlock", &Value::Null);
    assert_eq!(one.refused(switch.0, switch.1, &switch.2), locked);
    for _ in 0..3 {
        assert_eq!(two.refused("PUT", "/unlock", &wrong).1, "wrong_authorisation_code");
    }
    assert_eq!(two.refused("PUT", "/unlock", &wrong), (429, "too_many_attempts".to_owned()));
    drop(server);
}

#[test]
fn who_sends_slowly_keeps_nobody_away_and_is_told_after_a_while() {
    let folder = Folder::new(&format!("{SETTINGS}requests_max = 1\n[timeouts]\nhead_ms = 2000\n"));
    let (server, address) = folder.serve_api();
    let asker = token(&folder, address, "script", "administrator");
    let half = |path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let headers = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", asker.token);
        write!(stream, "POST /admin/v0{path} HTTP/1.0\r\n{headers}Content-Length: 100\r\n\r\n{{").unwrap();
        Connection { stream }
    };
    let slow = [half("/sites"), half("/sessions"), half("/sites"), half("/sessions"), half("/sessions")];

    asker.json("GET", "/status", &Value::Null);

    for connection in slow {
        assert_eq!(told(&connection.reply().unwrap()), (408, "request_slow".to_owned()));
    }
    drop(server);
}

#[test]
fn a_kill_leaves_no_change_without_its_row_and_no_row_without_its_change() {
    let folder = Folder::new(SETTINGS);
    folder.add_site("north", &[]);
    let made = folder.json(&["token", "add", "script", "--role", "administrator"], "");
    let headers =
        format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", made["secret"].as_str().unwrap());
    for round in 0..5 {
        let (server, address) = folder.serve_api();
        let (answered, answers) = std::sync::mpsc::channel();
        let headers = headers.clone();
        let editing = std::thread::spawn(move || {
            for index in 0.. {
                let body = json!({ "code": format!("{round}-{index}") }).to_string();
                if try_send(address, "PATCH", "/sites/north", &headers, &body).is_none() {
                    return;
                }
                // Nobody counts any more if this fails.
                let _ = answered.send(index);
            }
        });
        let acknowledged = answers.iter().nth(7 * round).unwrap();
        server.kill_now();
        editing.join().unwrap();

        let code = folder.json(&["site", "show", "north"], "")["code"].clone();
        let log = folder.json(&["audit", "--site", "north", "--limit", "1000"], "");

        let rows = log["audit"].as_array().unwrap();
        assert_eq!(rows.last().unwrap()["after"]["code"], code, "round {round}");
        let told = rows.iter().filter(|row| row["after"]["code"] == format!("{round}-{acknowledged}")).count();
        assert_eq!(told, 1, "round {round}: what was acknowledged is there");
        for pair in rows.windows(2).skip(1) {
            assert_eq!(pair[0]["after"]["code"], pair[1]["before"]["code"], "round {round}");
        }
    }
}

#[test]
fn the_api_listens_nowhere_unless_it_is_told_to_and_in_the_clear_on_loopback_alone() {
    let folder = Folder::new("");
    let server = folder.serve();
    let reply = send(server.address, "GET", "/status", "", "");
    assert_eq!(reply.status, 404, "the sites' port has no admin API");
    drop(server);

    let folder = Folder::new("[admin_api]\naddress = \"0.0.0.0:0\"\n");

    assert_eq!(folder.failure(&["serve", "--listen", "127.0.0.1:0"], ""), (6, "listen_not_loopback".to_owned()));
}
