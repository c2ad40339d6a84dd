//! Links that break: what was received stays, and it goes on from there.

use std::time::Duration;

use crate::support::agent::Agent;
use crate::support::corpus::Numbers;
use crate::support::corpus::edits;
use crate::support::link::{Link, Mood};
use crate::sync::{STORE_TABLES, central_with_sites, same_records};

#[test]
fn a_connection_cut_at_random_bytes_is_resumed_and_nothing_is_lost_or_doubled() {
    let (central, data) = central_with_sites(400, &["north"]);
    let link = Link::to(central.address(), Mood::Good);
    let mut numbers = Numbers::new(7);
    let agent = Agent::new(&link.url());
    for round in 0..6 {
        if round > 0 {
            agent.wipe();
        }
        link.set(Mood::Good);
        agent.enrol(&central, "north");
        // Cuts while central's data comes down.
        link.set(Mood::CutAfter(400 + numbers.below(12_000)));
        agent.run(&["initialise"], "");
        link.set(Mood::Good);
        agent.ok(&["initialise"]);
        same_records(&central, &agent, &["item", "store"]);
        // Cuts while edits go up.
        let lines = edits(&data.stores[0], &data.items, &data.names, 600, round);
        let recorded = agent.record(&lines)["recorded"].as_u64().unwrap();
        link.set(Mood::CutAfter(400 + numbers.below(25_000)));
        agent.run(&["sync"], "");
        link.set(Mood::Good);
        agent.settle();
        assert!(recorded > 0);
        assert_eq!(agent.json(&["status"])["pending"]["edits"], 0);
        same_records(&central, &agent, &STORE_TABLES);
    }
}

/// Ten seconds up and sixty down at 30 kbit/s, ten times as fast so that a test can wait for it: one second up, six down,
/// 37.5 kB/s, hence the same 37.5 kB for each time that the link is up.
#[test]
fn a_link_that_is_down_most_of_the_time_still_carries_everything_through() {
    let (central, data) = central_with_sites(300, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let recorded = agent.record(&edits(&data.stores[0], &data.items, &data.names, 1000, 3));
    assert!(recorded["recorded"].as_u64().unwrap() > 300);
    // A record that does not pack and is larger than what goes through while the link is up: it travels in parts.
    let mut numbers = Numbers::new(9);
    let large: String = (0..3000).flat_map(|_| numbers.id().into_bytes()).map(char::from).collect();
    let record = serde_json::json!({"table": "item_line", "op": "upsert", "id": "LARGE", "data": {"ID": "LARGE", "store_ID": data.stores[0], "note": large}});
    agent.record(&record.to_string());

    let link = Link::to(central.address(), Mood::Windows { up_ms: 1000, down_ms: 6000, bytes_per_s: 37_500 });
    agent.set_url(&link.url());
    let deadline = std::time::Instant::now() + Duration::from_secs(240);
    while agent.json(&["status"])["pending"]["edits"] != 0 {
        assert!(std::time::Instant::now() < deadline, "not through yet: {}", agent.json(&["status"]));
        agent.run(&["sync"], "");
    }
    agent.set_url(&central.url());
    agent.settle();
    same_records(&central, &agent, &STORE_TABLES);
}

/// What a distant link costs is round trips: an initialisation makes one for each 32 pages, not one for each page.
#[test]
fn a_distant_link_is_asked_seldom_while_a_site_is_initialised() {
    let (central, _) = central_with_sites(5_000, &["north"]);
    let link = Link::to(central.address(), Mood::Good);
    let agent = Agent::new(&link.url());
    agent.enrol(&central, "north");
    link.set(Mood::Distant { one_way_ms: 50 });

    let initialised = agent.json(&["initialise"]);

    let (stored, requests) = (initialised["stored"].as_u64().unwrap(), initialised["requests"].as_u64().unwrap());
    assert!(stored > 5_000, "{initialised}");
    assert!(requests <= 2 + link.bytes().1 / 500_000, "{requests} requests for {} bytes", link.bytes().1);
    same_records(&central, &agent, &["store"]);
}
