//! A device asks whether it would be taken: the answer is what an exchange would be told, and nothing changes.

use codec::{Ed25519Signer, Ed25519Verifier};
use protocol::check::{self, CheckAnswer};
use protocol::ids::{CredentialGeneration, JournalId, SiteId};
use protocol::message::RequestHead;

use crate::support::agent::{Agent, enrolment};
use crate::support::folder::{Folder, PASSWORD};
use crate::support::http::post;

fn head(site: SiteId, journal: u8, generation: u32) -> RequestHead {
    check::head(site, JournalId([journal; 16]), CredentialGeneration(generation), [7; 8])
}

/// What central answers a device of this key number.
fn answer(address: std::net::SocketAddr, agent: &Agent, seed: u8, head: &RequestHead) -> CheckAnswer {
    let (question, binding) = check::ask(head, agent.central, &Ed25519Signer::from_seed(&[seed; 32]));
    let reply = post(address, "/check/v1", &question).unwrap();
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/x-outpost")));
    check::read_answer(&reply.body, &binding, &Ed25519Verifier).unwrap()
}

fn code(answer: &CheckAnswer) -> &str {
    answer.refusal.as_ref().map_or("", |refusal| &refusal.code)
}

#[test]
fn the_answer_is_what_an_exchange_would_be_told_and_nothing_changes() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    let server = folder.serve();
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    agent.sync_whole(server.address);
    let before = folder.json(&["site", "show", "clinic"], "");
    let site = agent.site;
    let ask = |agent: &Agent, seed, journal, generation| {
        answer(server.address, agent, seed, &head(site, journal, generation))
    };

    assert_eq!(ask(&agent, 1, 1, 1), CheckAnswer::taken());
    assert_eq!(code(&ask(&agent, 1, 7, 1)), "unknown_journal");
    assert_eq!(code(&ask(&agent, 1, 1, 2)), "credentials_changed");
    let of_nobody = answer(server.address, &agent, 1, &head(SiteId(99), 1, 1));
    assert_eq!(code(&of_nobody), "not_enrolled");
    assert_eq!(ask(&agent, 5, 1, 1), of_nobody, "a wrong key learns no more than one of no site");

    assert_eq!(folder.json(&["site", "show", "clinic"], ""), before);
    agent.sync_whole(server.address);
    let body = enrolment("clinic", PASSWORD, 1, 9);
    assert_eq!(post(server.address, "/enrol/v1", body.as_bytes()).unwrap().status, 200);
    assert_eq!(code(&ask(&agent, 1, 1, 1)), "device_retired", "its journal was closed");
    assert_eq!(ask(&agent, 1, 9, 1), CheckAnswer::taken());
}

#[test]
fn a_stopped_site_and_a_retired_key_are_told_with_the_time_of_the_stop() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    let server = folder.serve();
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    let mut copy = agent.copy();
    for _ in 0..5 {
        agent.sync(server.address);
        copy.sync(server.address);
    }
    let ask = |agent: &Agent| answer(server.address, agent, 1, &head(agent.site, 1, 1));

    let stopped = ask(&agent);

    assert_eq!(code(&stopped), "site_stopped");
    assert!(stopped.stopped_ms.is_some_and(|ms| ms > 0));
    folder.json(&["site", "reset-hardware", "clinic"], "");
    assert_eq!(code(&ask(&agent)), "device_retired");
}

#[test]
fn what_is_no_question_is_told_so_and_the_head_of_an_exchange_is_none() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    let server = folder.serve();
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    let request = agent.request();

    for (body, status, code) in
        [(&b"<html>"[..], 400, "bad_section"), (&request, 400, "bad_section"), (&[7; 4096], 413, "request_too_large")]
    {
        let reply = post(server.address, "/check/v1", body).unwrap();
        assert_eq!((reply.status, reply.code()), (status, code));
    }
    let (question, _) = check::ask(&head(agent.site, 1, 1), agent.central, &agent.signer);
    assert_eq!(post(server.address, "/sync/v1", &question).unwrap().code(), "bad_section");
    agent.sync_whole(server.address);
}
