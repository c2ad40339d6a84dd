//! The status page in a real browser, over a real agent and a real central.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::browser::Browser;
use crate::support::central::Central;
use crate::support::corpus::{CentralData, edits};
use crate::support::wait_until;
use crate::sync::central_with_sites;

/// An id that would be markup if it were taken for that.
const HOSTILE_ID: &str = "<b id=h>X</b>";
/// Data that would be a script.
const HOSTILE_NOTE: &str =
    "<img src=x onerror=\"document.title='taken over'\"><script>document.title='taken over'</script>";
/// Lets the screenshot be written into the repository.
const WRITE_VARIABLE: &str = "WRITE_SCREENSHOT";
/// Largest screenshot in the repository, in bytes.
const SCREENSHOT_BYTES_MAX: usize = 80_000;

/// Lets the agent listen at a free port.
fn listen(agent: &Agent) -> SocketAddr {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut settings = std::fs::read_to_string(agent.settings()).unwrap();
    let section = format!("[local_api]\nlisten = \"{address}\"\n");
    settings.push_str(&section);
    std::fs::write(agent.settings(), settings).unwrap();
    address
}

fn stock_line(store: &str, id: &str, note: &str) -> String {
    json!({"table": "item_line", "op": "upsert", "id": id, "data": {"ID": id, "store_ID": store, "note": note}})
        .to_string()
        + "\n"
}

/// Two sites; an edit of the second is refused, because the first had its record before.
fn site_with_a_refused_edit(note: &str, id: &str) -> (Central, CentralData, Agent) {
    let (central, data) = central_with_sites(20, &["north", "clinic-7"]);
    let (north, agent) = (Agent::initialised(&central, "north"), Agent::initialised(&central, "clinic-7"));
    north.record(&stock_line(&data.stores[0], id, "the first"));
    north.settle();
    agent.record(&stock_line(&data.stores[1], id, note));
    wait_until("central has refused it", || {
        agent.run(&["sync"], "");
        agent.json(&["status"])["set_aside"] == 1
    });
    (central, data, agent)
}

/// The page's address, once the agent listens there.
fn page_of(agent: &Agent) -> String {
    let mut url = String::new();
    wait_until("the page is served", || {
        let output = agent.run(&["page"], "");
        String::from_utf8(output.stdout).unwrap().trim().clone_into(&mut url);
        output.status.success()
    });
    url
}

/// That the text of something in the page is this.
fn says(selector: &str, text: &str) -> String {
    format!("document.querySelector({})?.textContent === {}", json!(selector), json!(text))
}

#[test]
fn a_person_sees_what_waits_syncs_and_reads_what_was_refused() {
    let Some(mut browser) = Browser::start() else { return };
    let (central, data, mut agent) = site_with_a_refused_edit(HOSTILE_NOTE, HOSTILE_ID);
    let address = listen(&agent);
    agent.start();
    agent.record(&(1..=3).map(|number| stock_line(&data.stores[1], &format!("L{number}"), "")).collect::<String>());

    browser.open(&page_of(&agent));
    browser.wait_for(&says("#pending b", "3 edits"));
    browser.wait_for("document.querySelectorAll('#queue li').length === 3");
    assert_eq!(browser.run("location.href"), json!(format!("http://{address}/")), "the token leaves the address");
    assert_eq!(browser.run("document.getElementById('name').textContent"), "clinic-7");

    // What a record says is text, wherever it stands.
    browser.wait_for(&says("#aside b", HOSTILE_ID));
    browser.run("document.querySelector('#aside button').click()");
    browser.wait_for("document.querySelector('#aside pre')?.textContent.includes('<script>')");
    assert_eq!(browser.run("document.getElementById('h')"), json!(null));
    assert_eq!(browser.run("document.querySelectorAll('#all img, #all script').length"), 0);
    assert_eq!(browser.run("document.title.includes('taken over')"), false);

    browser.run("document.getElementById('sync').click()");
    browser.wait_for("document.getElementById('said').textContent.startsWith('Synced: sent 3 edits')");
    browser.wait_for(&says("#pending b", "0 edits"));
    browser.wait_for(&says("#at-central b", "0 rows"));
    agent.settle();
    assert!(central.records("item_line").contains_key("L3"));

    // It follows what others do, and goes on when the agent does.
    agent.record(&stock_line(&data.stores[1], "L4", ""));
    browser.wait_for(&says("#pending b", "1 edit"));
    agent.kill();
    browser.wait_for("document.getElementById('said').textContent.includes('does not answer')");
    agent.start();
    browser.wait_for("document.getElementById('said').textContent === ''");
    browser.run("[...document.querySelectorAll('#aside button')].at(-1).click()");
    browser.wait_for("/refused again|Recorded again/.test(document.getElementById('said').textContent)");
    assert_eq!(browser.complaints(), Vec::<String>::new(), "nothing in the page is against its own policy");
}

#[test]
fn the_page_fits_a_tablet_and_a_phone_in_light_and_dark() {
    let Some(mut browser) = Browser::start() else { return };
    let (_central, _data, mut agent) = site_with_a_refused_edit(&"long".repeat(300), &"I".repeat(60));
    listen(&agent);
    agent.start();
    browser.open(&page_of(&agent));
    browser.wait_for("document.querySelectorAll('#aside li').length === 1");

    let mut grounds = Vec::new();
    for (width, height, is_dark) in [(320, 568, false), (800, 1280, false), (1280, 800, true)] {
        browser.look_like(width, height, is_dark);
        assert_eq!(browser.run("innerWidth"), width);
        assert_eq!(browser.run("document.documentElement.scrollWidth <= innerWidth"), true, "{width} wide");
        let least =
            browser.run("Math.min(...[...document.querySelectorAll('#sync, #all button')].map((b) => b.offsetHeight))");
        assert!(least.as_u64().unwrap() >= 44, "a finger needs more than {least} pixels");
        grounds.push(browser.run("getComputedStyle(document.body).backgroundColor"));
    }
    assert_eq!(grounds[0], grounds[1]);
    assert_ne!(grounds[1], grounds[2]);
}

#[test]
fn without_the_token_the_page_shows_nothing_and_asks_for_it() {
    let Some(mut browser) = Browser::start() else { return };
    let (central, _data) = central_with_sites(5, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    listen(&agent);
    agent.start();
    let url = page_of(&agent);
    let (page, token) = url.split_once("#token=").unwrap();

    browser.open(page);
    browser.wait_for(
        "document.getElementById('key')?.hidden === false && document.getElementById('all')?.hidden === true",
    );
    browser.open(&format!("{page}#token={}", "0".repeat(64)));
    browser.wait_for("document.getElementById('said').textContent.includes('another token')");
    assert_eq!(browser.run("document.getElementById('all').hidden"), true);
    let enter =
        format!("document.getElementById('token').value = '{token}'; document.querySelector('form button').click()");
    browser.run(&enter);
    browser.wait_for(&says("#name", "north"));
    browser.wait_for("document.getElementById('key').hidden && !document.getElementById('all').hidden");
}

/// Days before this one on which more and more waited, as a device that is offline notes them.
fn growing_days(agent: &Agent, mosts: &[u64]) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let first = now.as_secs() / 86_400 - 1 - mosts.len() as u64;
    let days: Vec<_> = (first..).zip(mosts).map(|(day, most)| json!([day, most, most + 1])).collect();
    let path = agent.data().join("queue-days");
    std::fs::write(&path, json!({ "days": days, "ran_ms": 0 }).to_string()).unwrap();
    restrict(&path);
}

fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_queue_that_grows_for_three_days_is_told_with_its_causes_until_it_is_sent() {
    let (central, data) = central_with_sites(5, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    growing_days(&agent, &[0, 1, 2]);
    agent.record(&(1..=3).map(|number| stock_line(&data.stores[0], &format!("L{number}"), "")).collect::<String>());
    assert_eq!(agent.json(&["status"])["queue_growing"], json!(null), "the day began with an empty queue");
    growing_days(&agent, &[0, 1, 2]);
    agent.start();

    let status = agent.json(&["status"]);
    assert_eq!(status["queue_growing"]["days"], 3, "{}", status["queue_days"]);
    assert_eq!((&status["queue_growing"]["from"], &status["queue_growing"]["to"]), (&json!(0), &json!(3)));
    let text = agent.ok(&["status"]);
    assert!(text.contains("queue !       the queue has grown on 3 days running since "), "{text}");
    assert!(text.contains("more time on the internet") && text.contains("connected for an hour"), "{text}");
    agent.settle();
    assert_eq!(agent.json(&["status"])["queue_growing"], json!(null));

    // Days outlive a kill.
    agent.kill();
    assert_eq!(agent.json(&["status"])["queue_days"].as_array().unwrap().len(), 4);
}

/// With [`WRITE_VARIABLE`] set it makes `docs/status-page.png` anew.
#[test]
fn the_screenshot_of_the_readme_can_be_taken_and_is_small() {
    let Some(mut browser) = Browser::start() else { return };
    let (_central, data, mut agent) = site_with_a_refused_edit("counted", "6F2A1B0C4D7E4F21");
    listen(&agent);
    // What the weeks before would have left: the days are the one thing that a test cannot live through.
    growing_days(&agent, &[0, 4, 0, 0, 9, 17, 0, 0, 3, 0, 0, 0, 12, 0, 0, 5, 0, 0, 0, 0, 8, 0, 0]);
    let settings = std::fs::read_to_string(agent.settings()).unwrap();
    std::fs::write(agent.settings(), settings.replace("manual = true", "interval_s = 900")).unwrap();
    agent.start();
    agent.settle();
    agent.record(&edits(&data.stores[1], &data.items, &data.names, 14, 1));
    browser.look_like(760, 960, false);
    browser.open(&page_of(&agent));
    browser.wait_for("document.querySelectorAll('#queue li').length > 5");
    browser.run("document.querySelectorAll('#queue li').forEach((row, at) => at > 1 && row.remove())");

    let picture = browser.screenshot();

    if std::env::var_os(WRITE_VARIABLE).is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/status-page.png"), &picture).unwrap();
    }
    assert!(picture.len() <= SCREENSHOT_BYTES_MAX, "{} bytes", picture.len());
}
