//! Applications beside the agent: over the loopback address, with the feed of changes, and the examples.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::browser::Browser;
use crate::support::corpus::CentralData;
use crate::support::{DEADLINE, not_run, success, wait_until};
use crate::sync::central_with_sites;

/// Where an agent listens, and what it is shown.
#[derive(Clone)]
struct Door {
    address: SocketAddr,
    token_file: PathBuf,
}

/// Lets the agent listen at a free port, and serve the pages of the example.
fn listen(agent: &Agent) -> Door {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut settings = std::fs::read_to_string(agent.settings()).unwrap();
    let pages = example("page");
    let section = format!("[local_api]\nlisten = \"{address}\"\npages = \"{}\"\n", pages.display());
    settings.push_str(&section);
    std::fs::write(agent.settings(), settings).unwrap();
    Door { address, token_file: agent.data().join("agent.token") }
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

impl Door {
    fn token(&self) -> String {
        std::fs::read_to_string(&self.token_file).unwrap().trim().to_owned()
    }

    /// The status, and the lines of the answer.
    fn answer(&self, first_line: &str, headers: &str, body: &str) -> (u16, Vec<Value>) {
        let mut connected = None;
        wait_until("the agent listens", || {
            connected = TcpStream::connect(self.address).ok();
            connected.is_some()
        });
        let mut stream = connected.unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let (host, token, length) = (self.address, self.token(), body.len());
        let head = format!(
            "{first_line} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        stream.write_all((head + body).as_bytes()).unwrap();
        let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let body = lines.skip_while(|line| !line.is_empty()).skip(1);
        (status, body.map(|line| serde_json::from_str(&line).unwrap()).collect())
    }

    fn ask(&self, verb: &str, fields: &Value) -> Value {
        let (status, lines) = self.answer(&format!("POST /v0/{verb}"), "", &fields.to_string());
        assert_eq!(status, 200, "{lines:?}");
        lines.last().unwrap()["result"].clone()
    }

    fn changes(&self, query: &str) -> Value {
        let (status, lines) = self.answer(&format!("GET /v0/changes?{query}"), "", "");
        assert_eq!(status, 200, "{lines:?}");
        lines.last().unwrap()["result"].clone()
    }

    fn record(&self, edit: &Value) -> u64 {
        let (_, lines) = self.answer("POST /v0/record", "", &edit.to_string());
        lines.last().unwrap()["result"]["last"].as_u64().unwrap_or_else(|| panic!("{lines:?}"))
    }

    fn in_thread<T: Send + 'static>(&self, ask: impl FnOnce(&Self) -> T + Send + 'static) -> JoinHandle<T> {
        let door = self.clone();
        std::thread::spawn(move || ask(&door))
    }
}

/// A database that follows the feed.
#[derive(Default)]
struct Follower {
    cursor: Option<String>,
    records: BTreeMap<(String, String), Value>,
}

impl Follower {
    fn follow(&mut self, door: &Door, limit: u32) {
        loop {
            let page = door.ask("changes", &json!({ "after": self.cursor, "limit": limit }));
            for change in page["changes"].as_array().unwrap() {
                let text = |name: &str| change[name].as_str().unwrap().to_owned();
                let key = (text("table"), text("id"));
                match change["operation"].as_str().unwrap() {
                    "put" => self.records.insert(key, change["data"].clone()),
                    _ => self.records.remove(&key),
                };
            }
            self.cursor = Some(page["cursor"].as_str().unwrap().to_owned());
            if page["more"] == false {
                assert_eq!(page["complete"], true);
                return;
            }
        }
    }

    fn of_table(&self, table: &str) -> BTreeMap<String, Value> {
        let of_table = self.records.iter().filter(|((of, _), _)| of == table);
        of_table.map(|((_, id), data)| (id.clone(), data.clone())).collect()
    }
}

fn stock_line(data: &CentralData, id: &str, quantity: u32) -> Value {
    json!({"table": "item_line", "op": "upsert", "id": id,
        "data": {"ID": id, "store_ID": data.stores[0], "item_ID": data.items[0], "batch": "B1", "quantity": quantity}})
}

#[test]
fn an_application_keeps_its_own_database_by_the_feed() {
    let (central, data) = central_with_sites(30, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    let door = listen(&agent);
    agent.start();
    let mut follower = Follower::default();

    follower.follow(&door, 7);
    assert_eq!(follower.of_table("item"), agent.records("item"));
    let cursor = follower.cursor.clone().unwrap();
    let waiting = door.in_thread(move |door| door.changes(&format!("after={cursor}&wait_s=60")));
    door.record(&stock_line(&data, "A", 3));

    let page = waiting.join().unwrap();
    let change = &page["changes"][0];
    assert_eq!((&change["operation"], &change["origin"]), (&json!("put"), &json!("own")));
    assert_eq!((&change["store"], &change["data"]["quantity"]), (&json!(data.stores[0]), &json!(3)));
    agent.record(&crate::support::corpus::edits(&data.stores[0], &data.items, &data.names, 200, 1));
    follower.follow(&door, 7);
    agent.settle();
    agent.kill();
    agent.start();
    follower.follow(&door, 7);
    for table in ["item_line", "transact", "trans_line", "item", "store"] {
        assert_eq!(follower.of_table(table), agent.records(table), "{table}");
    }

    // What was read is known to be of another copy once there is another.
    agent.signal("TERM");
    agent.wait();
    // With its write-ahead log, which a daemon that was cut off leaves.
    for name in ["local_copy.sqlite", "local_copy.sqlite-wal", "local_copy.sqlite-shm"] {
        let _ = std::fs::remove_file(agent.data().join(name));
    }
    agent.start();
    let (status, lines) = door.answer(&format!("GET /v0/changes?after={}", follower.cursor.as_ref().unwrap()), "", "");
    assert_eq!((status, &lines[0]["error"]["code"]), (410, &json!("cursor_of_other_copy")));
    let (status, lines) = door.answer("GET /v0/changes?after=nonsense", "", "");
    assert_eq!((status, &lines[0]["error"]["code"]), (400, &json!("bad_cursor")));
}

#[test]
fn an_edit_is_waited_for_and_a_sync_streams_its_progress() {
    let (central, data) = central_with_sites(10, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    let door = listen(&agent);
    agent.start();

    let sequence = door.record(&stock_line(&data, "A", 3));
    let now = door.ask("wait", &json!({ "sequence": sequence, "timeout_s": 0 }));
    assert_eq!((&now["outcome"], &now["at_central"]), (&json!("not_sent"), &json!(false)));
    let waiting = door.in_thread(move |door| door.ask("wait", &json!({ "sequence": sequence })));
    let (status, lines) = door.answer("POST /v0/sync", "", "");
    assert_eq!(status, 200);
    assert_eq!(lines.last().unwrap()["result"]["outcome"], "drained");
    assert!(lines.iter().any(|line| line["progress"]["step"] == "syncing"), "{lines:?}");
    agent.settle();

    let told = waiting.join().unwrap();
    assert_eq!((&told["outcome"], &told["at_central"]), (&json!("accepted"), &json!(true)));
    let sequence = sequence.to_string();
    assert_eq!(agent.ok(&["wait", &sequence]), format!("central has accepted edit {sequence}\n"));
    assert_eq!(agent.fails(&["wait", "99"], ""), (2, "sequence_not_recorded".to_owned()));
    assert_eq!(agent.fails(&["wait", "1", "--timeout", "601"], "").0, 2);
    let (status, lines) = door.answer("POST /v0/wait", "", r#"{"sequence":1,"timeout_s":601}"#);
    assert_eq!((status, &lines[0]["error"]["code"]), (400, &json!("wait_out_of_range")));
    agent.signal("TERM");
    agent.wait();
    agent.record(&stock_line(&data, "A", 4).to_string());
    let output = agent.run(&["wait", "2"], "");
    assert_eq!(output.status.code(), Some(8), "without a daemon it says at once how it is");
}

#[test]
fn whoever_waits_is_let_go_when_the_agent_stops() {
    let (central, _) = central_with_sites(5, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    let door = listen(&agent);
    agent.start();
    let mut follower = Follower::default();
    follower.follow(&door, 100);
    let cursor = follower.cursor.unwrap();
    let after = cursor.clone();
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let query = format!("after={after}&wait_s=600");
            door.in_thread(move |door| door.answer(&format!("GET /v0/changes?{query}"), "", ""))
        })
        .collect();
    // Those who find no place are told so at once.
    wait_until("four are refused", || waiting.iter().filter(|waiting| waiting.is_finished()).count() == 4);

    agent.signal("TERM");
    assert_eq!(agent.wait(), 0);

    let mut statuses: Vec<u16> = Vec::new();
    for waiting in waiting {
        let (status, lines) = waiting.join().unwrap();
        let last = lines.last().unwrap();
        assert!(
            status == 503 && last["error"]["code"] == "too_many_waiting" || last["result"]["cursor"] == cursor,
            "{last}"
        );
        statuses.push(status);
    }
    statuses.sort_unstable();
    assert_eq!((statuses[15], statuses[16]), (200, 503));
    agent.start();
    assert_eq!(door.changes(&format!("after={cursor}"))["changes"], json!([]), "token and cursor stay");
}

#[test]
fn the_python_example_follows_counts_and_syncs() {
    if Command::new("python3").arg("--version").stdout(Stdio::null()).status().is_err() {
        not_run("there is no python3 for examples/stock_keeper.py");
        return;
    }
    let (central, data) = central_with_sites(10, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    let door = listen(&agent);
    agent.record(&stock_line(&data, "A", 3).to_string());
    agent.start();
    let database = agent.file("stock.sqlite", "");
    let keeper = |arguments: &[&str]| {
        let mut command = Command::new("python3");
        command.arg(example("stock_keeper.py")).args(arguments).env("OUTPOST_URL", format!("http://{}", door.address));
        command.env("OUTPOST_TOKEN_FILE", &door.token_file).env("STOCK_DATABASE", &database);
        command
    };
    let run = |arguments: &[&str]| success(&keeper(arguments).output().unwrap());

    assert_eq!(run(&["show"]), "A\tItem 0\tB1\t3\n");
    let counting = keeper(&["count", "A", "12"]).stdout(Stdio::piped()).spawn().unwrap();
    wait_until("the count is recorded", || agent.json(&["get", "item_line", "A"])["data"]["quantity"] == 12.0);
    let synced = run(&["sync"]);
    assert!(synced.contains("\"step\": \"syncing\"") && synced.ends_with("drained\n"), "{synced}");
    agent.settle();
    let counted = success(&counting.wait_with_output().unwrap());
    assert!(counted.ends_with("accepted\n"), "{counted}");
    assert_eq!(central.records("item_line")["A"]["quantity"], 12.0);

    assert_eq!(run(&["show"]), "A\tItem 0\tB1\t12.0\n");
    let refused = keeper(&["count", "NOWHERE", "12"]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("[record_missing]"));
}

#[test]
fn the_page_of_the_example_shows_stock_records_a_count_and_syncs() {
    let Some(mut browser) = Browser::start() else { return };
    let (central, data) = central_with_sites(10, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    let door = listen(&agent);
    agent.record(&stock_line(&data, "A", 3).to_string());
    agent.start();

    browser.open(&format!("http://{}/pages/#token={}", door.address, door.token()));
    browser.wait_for("document.querySelector('#line-A td')?.textContent === 'Item 0'");
    agent.record(&stock_line(&data, "A", 4).to_string());
    browser.wait_for("document.querySelectorAll('#line-A td')[1]?.textContent === '4'");
    browser
        .run("document.querySelector('#line-A input').value = '12'; document.querySelector('#line-A button').click()");
    wait_until("the count is recorded", || agent.json(&["get", "item_line", "A"])["data"]["quantity"] == 12);
    browser.wait_for("document.querySelectorAll('#line-A td')[1]?.textContent === '12'");
    browser.run("document.getElementById('sync').click()");
    browser.wait_for("/accepted|drained/.test(document.getElementById('said').textContent)");
    agent.settle();
    assert_eq!(central.records("item_line")["A"]["quantity"], 12);

    // A page of another origin gets nothing, though it knows the token.
    let elsewhere = crate::support::web::Web::page(None, "200 OK");
    browser.open(&elsewhere.url());
    browser.wait_for("document.readyState === 'complete'");
    let asked = format!(
        "fetch('http://{}/v0/status', {{method: 'POST', headers: {{Authorization: 'Bearer {}'}}, body: '{{}}'}})
             .then(() => document.title = 'told', () => document.title = 'refused'); 0",
        door.address,
        door.token()
    );
    browser.run(&asked);
    browser.wait_for("document.title === 'refused'");
}
