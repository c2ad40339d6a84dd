//! What quiet exchanges cost central: the check of one request's head, and exchanges a second of 1,000 enrolled sites with a real server
//! over loopback. Each stands beside a peer of the same run: the bare signature check, and an answer that asks the store nothing.
//!
//! Sites that sync every five minutes are 133 exchanges a second for 40,000 of them.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]
#![expect(clippy::print_stdout, reason = "a benchmark reports")]
#![expect(clippy::disallowed_methods, reason = "a measurement is of real time")]
#![expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
#![expect(dead_code, reason = "the same support serves the tests")]

#[path = "../crates/central/tests/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Instant;

use codec::{Ed25519Verifier, ZstdCodec};
use protocol::edge::{Signer as _, Verifier as _};
use protocol::exchange::{Answer, Ask, Exchange, SiteKeys, Tools};
use support::agent::Agent;
use support::folder::Folder;
use support::http::get;

/// Clients at once: more than the cores of the machine, so that the server is never idle.
const CLIENTS: usize = 8;

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (sites, rounds) = if is_test { (4, 2) } else { (1_000, 5) };
    let folder = Folder::new("[limits]\nexchanges_max = 64\n");
    for site in 0..sites {
        folder.add_site(&format!("site-{site}"), &[]);
    }
    let server = folder.serve();
    let agents: Vec<Agent> = (0..sites)
        .map(|site| Agent::enrol(server.address, &format!("site-{site}"), u8::try_from(site % 250).unwrap() + 1))
        .collect();
    let agents = Mutex::new(agents);
    exchange_all(&agents, server.address);

    heads(&mut agents.lock().unwrap()[0], if is_test { 10 } else { 20_000 });
    let hellos = rate(sites * rounds, |_| assert_eq!(get(server.address, "/hello").unwrap().status, 200));
    let begin = Instant::now();
    for _ in 0..rounds {
        exchange_all(&agents, server.address);
    }
    let exchanges = (sites * rounds) as f64 / begin.elapsed().as_secs_f64();
    println!(
        "{sites} sites: {exchanges:.0} quiet exchanges a second, {:.2} of {hellos:.0} answers that ask the store nothing",
        exchanges / hellos
    );
}

/// What central does with a head before it asks the store anything but the key, beside the bare check of a signature.
fn heads(agent: &mut Agent, count: usize) {
    let central = codec::Ed25519Signer::from_seed(&[200; 32]);
    let pinned = std::mem::replace(&mut agent.central, central.public_key());
    let request = agent.request();
    agent.central = pinned;
    let (key, bytes) = (agent.signer.public_key(), request.get(..100).unwrap());
    let signature = agent.signer.sign(bytes);
    let begin = Instant::now();
    for _ in 0..count {
        assert!(Ed25519Verifier.verify(&key, bytes, &signature));
    }
    let bare_us = begin.elapsed().as_secs_f64() * 1e6 / count as f64;
    let begin = Instant::now();
    for _ in 0..count {
        let mut codec = ZstdCodec::default();
        let mut tools = Tools { codec: &mut codec, signer: &central, verifier: &Ed25519Verifier };
        let mut exchange = Exchange::new();
        exchange.feed(&request, &mut tools);
        let Some(Ask::FindSite(_)) = exchange.ask() else { panic!("the key is asked for first") };
        exchange.answer(Answer::Site(SiteKeys { current: Some(key), retired: Vec::new() }), &mut tools);
        assert!(matches!(exchange.ask(), Some(Ask::Begin(..))), "the head is right");
    }
    let whole_us = begin.elapsed().as_secs_f64() * 1e6 / count as f64;
    println!(
        "to check a head and read it: {whole_us:.0} us, {:.2} of the bare check of a signature ({bare_us:.0} us)",
        whole_us / bare_us
    );
}

/// One quiet session of each site.
fn exchange_all(agents: &Mutex<Vec<Agent>>, address: SocketAddr) {
    let mut all = std::mem::take(&mut *agents.lock().unwrap());
    let share = all.len().div_ceil(CLIENTS);
    std::thread::scope(|scope| {
        for agents in all.chunks_mut(share) {
            scope.spawn(move || agents.iter_mut().for_each(|agent| agent.sync_whole(address)));
        }
    });
    *agents.lock().unwrap() = all;
}

/// How often a second something is done by all clients together.
fn rate(count: usize, work: impl Fn(usize) + Sync) -> f64 {
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let work = &work;
            scope.spawn(move || (client..count).step_by(CLIENTS).for_each(work));
        }
    });
    count as f64 / begin.elapsed().as_secs_f64()
}
