//! Somebody reads and changes what goes between device and central, as behind a broken TLS: requests that are replayed, late, in
//! another order, altered, cut or signed again change nothing at central, and the device goes on.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use codec::Ed25519Signer;
use outpost::device::Device;
use protocol::edge::Signer as _;
use protocol::ids::{Hash, PublicKey, SiteId, Token};
use protocol::message::{self, RequestHead};
use protocol::section::{Binding, HEADER_BYTES, Kind, SectionReader, seal};
use serde_json::json;

use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::corpus::Numbers;
use crate::support::middle::{Answer, Middle, Mood};
use crate::support::{store_file, success, wait_until};
use crate::sync::{central_by_tls, same_records};

/// Bytes between two that are altered, and between two ends at which a request is cut: each part of each section is met, in time.
const STEP: usize = 5;

/// Where the checksum stands in a section (`docs/wire-format.md`, "Section").
const CHECKSUM_AT: usize = 5;

/// A central, somebody in the middle, and a device of each of two sites.
struct Scene {
    central: Central,
    middle: Middle,
    north: Agent,
    south: Agent,
    stores: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let (central, data) = central_by_tls(3, &["north", "south"]);
        let middle = Middle::before(central.address());
        Self::with(central, middle, data.stores)
    }

    /// And the device that spoke for the north before, whose binding was reset.
    fn with_a_lost_device() -> (Self, Agent) {
        let (central, data) = central_by_tls(3, &["north", "south"]);
        let middle = Middle::before(central.address());
        let lost = initialised(&central, &middle, "north");
        central.json(&["site", "reset-hardware", "north"]);
        (Self::with(central, middle, data.stores), lost)
    }

    fn with(central: Central, middle: Middle, stores: Vec<String>) -> Self {
        let (north, south) = (initialised(&central, &middle, "north"), initialised(&central, &middle, "south"));
        Self { central, middle, north, south, stores }
    }

    fn record(&self, agent: &Agent, id: &str) {
        let store = if std::ptr::eq(agent, &raw const self.south) { &self.stores[1] } else { &self.stores[0] };
        let line = json!({"table": "item_line", "op": "upsert", "id": id, "data": {"ID": id, "store_ID": store}});
        agent.record(&line.to_string());
    }

    /// A request of the north that brings one edit and that central never got. Nothing else of it is news to central.
    fn kept_request(&self, id: &str) -> Vec<u8> {
        self.north.settle();
        // That everything was read is told by the next request.
        self.north.settle();
        self.next_kept_request(id)
    }

    /// As [`Scene::kept_request`], one behind another.
    fn next_kept_request(&self, id: &str) -> Vec<u8> {
        self.record(&self.north, id);
        let before = self.middle.exchanges().len();
        self.middle.set(Mood::KeepRequests);
        let mut syncing = self.north.command(&["sync"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("the request is kept", || self.middle.exchanges().len() > before);
        syncing.kill().unwrap();
        syncing.wait().unwrap();
        self.middle.set(Mood::Pass);
        self.middle.exchanges().swap_remove(before)
    }

    fn stored(&self) -> BTreeMap<String, Vec<String>> {
        store_file::rows(&self.central.folder())
    }

    /// That both sites still sync, with nothing missing or twice.
    fn goes_on(&self) {
        for (agent, site) in [(&self.north, "north"), (&self.south, "south")] {
            self.record(agent, &format!("last of the {site}"));
            assert_eq!(agent.settle()["outcome"], "drained");
            let shown = self.central.json(&["site", "show", site]);
            assert!(shown["stopped"].is_null(), "{shown}");
            assert_eq!(shown["received"], shown["judged"]);
        }
        let mut there = self.central.records("item_line");
        there.retain(|_, record| record["store_ID"] == self.stores[0].as_str());
        assert_eq!(self.north.records("item_line"), there);
        same_records(&self.central, &self.north, &["item"]);
        assert_eq!(self.central.json(&["status"])["set_aside"], 0);
    }
}

fn initialised(central: &Central, middle: &Middle, name: &str) -> Agent {
    let agent = Agent::new(&middle.url());
    agent.enrol(central, name);
    agent.ok(&["initialise"]);
    agent
}

/// What a device signs with, and what it knows of its enrolment and its last exchange.
fn device(agent: &Agent) -> Device {
    Device::open(&agent.data().join("identity")).unwrap().unwrap()
}

fn refused(answer: &Answer) -> (u16, &str) {
    (answer.status, &answer.code)
}

/// Section by section, kind and body.
fn sections(request: &[u8]) -> Vec<(Kind, Vec<u8>)> {
    let mut reader = SectionReader::default();
    reader.feed(request);
    let mut sections = Vec::new();
    while let Some(sealed) = reader.next_section().unwrap() {
        sections.push((sealed.kind(), sealed.unchecked_body().to_vec()));
    }
    sections
}

/// The same sections, signed for a site with a key.
fn signed(sections: &[(Kind, Vec<u8>)], central: PublicKey, site: SiteId, signer: &Ed25519Signer) -> Vec<u8> {
    let binding = Binding { central, site, context: Hash::NONE };
    sections.iter().flat_map(|(kind, body)| seal(*kind, &binding, body, signer)).collect()
}

/// The same with one other bit, and the checksum that fits it.
fn altered(request: &[u8], at: usize) -> Vec<u8> {
    let mut altered = request.to_vec();
    altered[at] ^= 1 << (at % 8);
    let mut begins = 0;
    for (_, body) in sections(request) {
        let body_begins = begins + HEADER_BYTES;
        let body_ends = body_begins + body.len();
        if (body_begins..body_ends).contains(&at) {
            let checksum = crc32fast::hash(&altered[body_begins..body_ends]);
            altered[begins + CHECKSUM_AT..][..4].copy_from_slice(&checksum.to_le_bytes());
        }
        begins = body_ends;
    }
    altered
}

/// The same with another head.
fn with_head(sections: &[(Kind, Vec<u8>)], change: impl FnOnce(&mut RequestHead)) -> Vec<(Kind, Vec<u8>)> {
    let mut changed = sections.to_vec();
    let mut head: RequestHead = message::decode(&changed[0].1).unwrap();
    change(&mut head);
    changed[0].1 = message::encode(&head);
    changed
}

#[test]
fn requests_that_are_replayed_in_any_order_and_at_any_time_change_nothing() {
    let scene = Scene::new();
    for id in ["N1", "N2", "N3"] {
        scene.record(&scene.north, id);
        scene.north.settle();
        scene.record(&scene.south, id.replace('N', "S").as_str());
        scene.south.settle();
    }
    let mut numbers = Numbers::new(11);
    for round in 0..3 {
        let mut requests = scene.middle.exchanges();
        let count = requests.len();
        assert!(count >= 6, "{count}");
        match round {
            0 => {}
            1 => requests.reverse(),
            _ => requests.sort_by_cached_key(|_| numbers.below(u64::MAX)),
        }
        let before = scene.stored();

        let answers: Vec<Answer> = requests.iter().map(|request| scene.middle.send(request)).collect();

        // The last one of each site may have been one whose reply was lost; every other is asked for a live device.
        let asked = answers.iter().filter(|answer| refused(answer) == (409, "challenge")).count();
        let answered = answers.iter().filter(|answer| answer.status == 200).count();
        assert!(answered >= 2 && asked >= 4 && asked + answered == count, "{answers:?}");
        assert_eq!(scene.stored(), before);
        for (agent, id) in [(&scene.north, "N"), (&scene.south, "S")] {
            scene.record(agent, &format!("{id}-{round}"));
            agent.settle();
        }
    }
    scene.goes_on();
}

#[test]
fn requests_that_are_replayed_to_a_central_that_was_set_back_stop_no_site_and_cost_no_edit() {
    for is_reversed in [false, true] {
        let mut scene = Scene::new();
        scene.record(&scene.north, "N1");
        scene.north.settle();
        scene.central.kill();
        let (folder, backup) = (scene.central.folder(), scene.central.folder().with_file_name("backup"));
        success(&Command::new("cp").arg("-a").args([&folder, &backup]).output().unwrap());
        scene.central.start();
        scene.middle.lead_to(scene.central.address());
        for id in ["N2", "N3", "N4"] {
            scene.record(&scene.north, id);
            scene.north.settle();
        }
        scene.central.kill();
        std::fs::remove_dir_all(&folder).unwrap();
        success(&Command::new("cp").arg("-a").args([&backup, &folder]).output().unwrap());
        scene.central.start();
        scene.middle.lead_to(scene.central.address());
        let mut requests = scene.middle.exchanges();
        if is_reversed {
            requests.reverse();
        }

        // What central has forgotten may come again by anybody's hand: it is what the device had signed.
        for request in &requests {
            scene.middle.send(request);
        }

        scene.north.settle();
        let here = scene.north.records("item_line");
        assert_eq!(here.keys().collect::<Vec<_>>(), ["N1", "N2", "N3", "N4"]);
        assert_eq!(scene.central.records("item_line"), here);
        scene.goes_on();
    }
}

#[test]
fn enrolments_that_are_replayed_bind_nobody_else_and_the_device_goes_on() {
    let (scene, _lost) = Scene::with_a_lost_device();
    scene.record(&scene.north, "N1");
    scene.north.settle();
    let [of_the_lost, of_the_north, _] = &scene.middle.enrolments()[..] else { panic!("three enrolments") };
    let tokens_apart = |mut stored: BTreeMap<String, Vec<String>>| {
        stored.remove("contact").unwrap();
        stored
    };
    let before = tokens_apart(scene.stored());

    let other = scene.middle.send_to("POST /enrol/v1", of_the_lost);
    let own = scene.middle.send_to("POST /enrol/v1", of_the_north);

    assert_eq!(refused(&other), (409, "key_retired"));
    assert_eq!(own.status, 200, "a lost answer is given again");
    assert_eq!(tokens_apart(scene.stored()), before);
    scene.goes_on();
}

#[test]
fn requests_that_come_late_and_in_another_order_bring_each_edit_once_and_stop_no_site() {
    for is_reversed in [false, true] {
        let scene = Scene::new();
        let mut kept = vec![scene.kept_request("N1"), scene.next_kept_request("N2")];
        if is_reversed {
            kept.reverse();
        }
        assert!(scene.central.records("item_line").is_empty());

        // Nobody knows them yet, so they are the device's own requests, late.
        assert!(kept.iter().all(|request| scene.middle.send(request).status == 200));

        assert_eq!(scene.north.settle()["outcome"], "drained");
        assert_eq!(scene.central.records("item_line").keys().collect::<Vec<_>>(), ["N1", "N2"]);
        // The token that they show was in use until now.
        scene.north.settle();
        let before = scene.stored();
        for request in &kept {
            assert_eq!(refused(&scene.middle.send(request)), (409, "challenge"));
        }
        assert_eq!(scene.stored(), before);
        scene.goes_on();
    }
}

#[test]
fn altered_and_cut_requests_change_nothing_and_the_whole_one_is_taken_after_them() {
    let scene = Scene::new();
    let request = scene.kept_request("N1");
    let head_bytes = HEADER_BYTES + sections(&request)[0].1.len();
    let before = scene.stored();

    for at in (0..request.len()).step_by(STEP) {
        let altered = altered(&request, at);
        let answer = scene.middle.send(&altered);
        assert!([400, 403].contains(&answer.status) && !answer.code.is_empty(), "byte {at}: {answer:?}");
        assert_eq!(scene.stored(), before, "byte {at}");
    }
    // A head alone is a whole request, which brings nothing.
    for end in (0..request.len()).step_by(STEP).filter(|end| *end != head_bytes) {
        let answer = scene.middle.send(&request[..end]);
        assert_eq!(refused(&answer), (400, "truncated"), "cut at {end}");
        assert_eq!(scene.stored(), before, "cut at {end}");
    }

    assert_eq!(scene.middle.send(&request).status, 200);
    assert!(scene.central.records("item_line").contains_key("N1"));
    scene.goes_on();
}

#[test]
fn a_device_whose_requests_or_answers_are_altered_on_the_way_fails_and_goes_on_after_it() {
    let scene = Scene::new();
    scene.north.settle();
    for mood in [Mood::AlterRequests, Mood::AlterReplies] {
        scene.record(&scene.north, &format!("{mood:?}"));
        let before = scene.stored();
        let stock = scene.north.records("item_line");
        scene.middle.set(mood);

        let (exit, code) = scene.north.fails(&["sync"], "");

        assert!([4, 5].contains(&exit), "{mood:?}: {exit} {code}");
        assert_eq!(scene.north.records("item_line"), stock);
        if mood == Mood::AlterRequests {
            assert_eq!(scene.stored(), before);
        }
        scene.middle.set(Mood::Pass);
        assert_eq!(scene.north.settle()["outcome"], "drained");
    }
    assert_eq!(scene.central.records("item_line").len(), 2);
    scene.goes_on();
}

#[test]
fn requests_that_are_signed_again_with_another_key_or_for_another_site_change_nothing() {
    let scene = Scene::new();
    let request = scene.kept_request("N1");
    let (north, south) = (device(&scene.north), device(&scene.south));
    let enrolment = |device: &Device| device.identity().enrolment.clone().unwrap();
    let (central, site, other) = (enrolment(&north).central_key, enrolment(&north).site, enrolment(&south).site);
    let whole = sections(&request);
    assert_eq!(whole.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [Kind::RequestHead, Kind::Frame]);
    assert_eq!(signed(&whole, central, site, north.signer()), request, "it is signed anew as the device signs");
    let as_south = |token: Token| {
        with_head(&whole, |head| {
            head.site = other;
            head.token = token;
        })
    };
    let nobody = Ed25519Signer::from_seed(&[7; 32]);
    let of_another_central = signed(&whole, nobody.public_key(), site, north.signer());
    let head = signed(&whole[..1], central, site, north.signer());
    let frame_of_south = signed(&whole[1..], central, other, south.signer());
    let before = scene.stored();
    for (what, request, expected) in [
        ("a key of nobody", signed(&whole, central, site, &nobody), (403, "not_enrolled")),
        ("another site's key", signed(&whole, central, site, south.signer()), (403, "not_enrolled")),
        ("signed for another site", signed(&whole, central, other, north.signer()), (403, "not_enrolled")),
        ("signed for another central", of_another_central, (403, "not_enrolled")),
        (
            "a site that nobody has",
            signed(&with_head(&whole, |head| head.site = SiteId(77)), central, SiteId(77), &nobody),
            (403, "not_enrolled"),
        ),
        (
            "the whole as another site's",
            signed(&as_south(north.token()), central, other, south.signer()),
            (409, "challenge"),
        ),
        (
            "with that site's own token",
            signed(&as_south(south.token()), central, other, south.signer()),
            (409, "unknown_journal"),
        ),
        ("the head with another site's frame", [head, frame_of_south].concat(), (400, "bad_frame")),
    ] {
        let answer = scene.middle.send(&request);
        assert_eq!(refused(&answer), expected, "{what}");
        assert_eq!(scene.stored(), before, "{what}");
    }

    assert_eq!(scene.middle.send(&request).status, 200);
    assert!(scene.central.records("item_line").contains_key("N1"));
    scene.goes_on();
}

#[test]
fn what_a_retired_key_signs_for_the_journal_in_use_changes_nothing() {
    let (scene, lost) = Scene::with_a_lost_device();
    let request = scene.kept_request("N1");
    let enrolment = device(&scene.north).identity().enrolment.clone().unwrap();
    let before = scene.stored();

    let again = signed(&sections(&request), enrolment.central_key, enrolment.site, device(&lost).signer());
    assert_eq!(refused(&scene.middle.send(&again)), (409, "device_retired"));

    assert_eq!(scene.stored(), before);
    scene.goes_on();
}
