//! A device asks whether something waits for it, and central answers once something does: nothing changes by that.

use std::net::SocketAddr;

use codec::Ed25519Verifier;
use protocol::news::{self, Answer};
use protocol::section::Binding;

use crate::support::agent::Agent;
use crate::support::folder::{Folder, Server};
use crate::support::http::{Connection, HttpReply, post};
use crate::support::wait::{timed, wait_for};
use crate::support::{store_line, unit_line};

/// Longer than any test takes.
const LONG_S: u16 = 200;

/// A question that central holds.
struct Held {
    connection: Connection,
    binding: Binding,
}

impl Held {
    /// Asks; central need not have read it when this returns.
    fn ask(address: SocketAddr, agent: &Agent, wait_s: u16) -> Self {
        let (question, binding) = agent.question(wait_s);
        Self::post(address, &question, binding)
    }

    fn post(address: SocketAddr, question: &[u8], binding: Binding) -> Self {
        let mut connection = Connection::begin(address, "/news/v1", question.len());
        connection.send(question).unwrap();
        Self { connection, binding }
    }

    fn reply(self) -> HttpReply {
        self.connection.reply().expect("central answers")
    }

    fn answer(self) -> Answer {
        let binding = self.binding;
        read(&self.reply(), &binding)
    }
}

fn read(reply: &HttpReply, binding: &Binding) -> Answer {
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/x-outpost")), "{reply:?}");
    news::read_answer(&reply.body, binding, &Ed25519Verifier).unwrap()
}

fn code(answer: &Answer) -> &str {
    match answer {
        Answer::Refused(refusal) => &refusal.code,
        Answer::Something | Answer::Nothing | Answer::Replaced => "",
    }
}

fn held(folder: &Folder, count: u64) {
    wait_for("the questions that are held", || {
        (folder.json(&["status"], "")["waiting_for_news"] == count).then_some(())
    });
}

/// A central with sites that have read everything, each with a store of its own.
fn world(settings: &str, names: &[&str]) -> (Folder, Server, Vec<Agent>) {
    let folder = Folder::new(settings);
    for (number, name) in names.iter().enumerate() {
        let store = format!("S{number}");
        folder.json(&["import", "-"], &store_line(&store));
        folder.add_site(name, &["--store", &store]);
    }
    let server = folder.serve();
    let agents = (1..).zip(names).map(|(seed, name)| {
        let mut agent = Agent::enrol(server.address, name, seed);
        agent.sync_whole(server.address);
        // What its enrolment made is in control rows; from here on it has everything.
        agent.sync_whole(server.address);
        agent
    });
    let agents = agents.collect();
    (folder, server, agents)
}

#[test]
fn the_answer_comes_at_once_where_something_is_there_and_with_the_commit_that_brings_it() {
    let (folder, server, agents) = world("", &["clinic"]);
    let agent = &agents[0];
    let shown = folder.json(&["site", "show", "clinic"], "");

    let held_one = Held::ask(server.address, agent, LONG_S);
    held(&folder, 1);
    folder.json(&["import", "-"], &unit_line("U1"));
    assert_eq!(held_one.answer(), Answer::Something);
    held(&folder, 0);
    assert_eq!(Held::ask(server.address, agent, LONG_S).answer(), Answer::Something, "it has not read that yet");

    assert_eq!(folder.json(&["site", "show", "clinic"], ""), shown, "nothing of the site changes");
}

#[test]
fn without_anything_the_answer_comes_at_the_end_of_the_wait() {
    let (_folder, server, agents) = world("", &["clinic"]);

    let (answer, took) = timed(|| Held::ask(server.address, &agents[0], 1).answer());
    assert_eq!(answer, Answer::Nothing);
    assert!(took.as_millis() >= 1_000, "{took:?}");
    assert_eq!(Held::ask(server.address, &agents[0], 0).answer(), Answer::Nothing);
}

#[test]
fn a_question_may_be_silent_for_longer_than_a_connection() {
    let (_folder, server, agents) = world("[timeouts]\nread_idle_ms = 100\nwrite_idle_ms = 100\n", &["clinic"]);

    assert_eq!(Held::ask(server.address, &agents[0], 2).answer(), Answer::Nothing);
}

#[test]
fn only_those_whom_a_commit_concerns_are_told() {
    let (folder, server, mut agents) = world("", &["clinic", "ward"]);
    let [clinic, ward] = [0, 1].map(|number: usize| Held::ask(server.address, &agents[number], 3));
    held(&folder, 2);

    // Its own edit is no news to a site, nor is that of another one's store.
    agents[0].record_location("L1", "S0");
    agents[0].sync_whole(server.address);
    assert_eq!((clinic.answer(), ward.answer()), (Answer::Nothing, Answer::Nothing));

    let [clinic, ward] = [0, 1].map(|number: usize| Held::ask(server.address, &agents[number], LONG_S));
    held(&folder, 2);
    folder.json(&["site", "verify", "ward"], "");
    assert_eq!(ward.answer(), Answer::Something, "a control row is news");
    held(&folder, 1);
    folder.json(&["import", "-"], &unit_line("U1"));
    assert_eq!(clinic.answer(), Answer::Something);
}

#[test]
fn a_newer_question_takes_the_place_of_the_older_one_which_is_answered() {
    let (folder, server, agents) = world("", &["clinic"]);
    let older = Held::ask(server.address, &agents[0], LONG_S);
    held(&folder, 1);
    let newer = Held::ask(server.address, &agents[0], LONG_S);

    assert_eq!(older.answer(), Answer::Replaced);
    held(&folder, 1);
    folder.json(&["import", "-"], &unit_line("U1"));
    assert_eq!(newer.answer(), Answer::Something);
}

#[test]
fn who_goes_away_is_held_no_more() {
    let (folder, server, agents) = world("", &["clinic"]);
    let gone = Held::ask(server.address, &agents[0], LONG_S);
    held(&folder, 1);
    drop(gone);

    held(&folder, 0);
    server.stop();
}

#[test]
fn a_server_that_stops_answers_at_once() {
    let (folder, server, agents) = world("", &["clinic"]);
    let asked = Held::ask(server.address, &agents[0], LONG_S);
    held(&folder, 1);

    let (code, took) = timed(|| {
        server.terminate();
        server.ended()
    });
    assert_eq!(code, Some(0));
    assert!(took.as_millis() < 2_000, "an open exchange would take two seconds: {took:?}");
    let reply = asked.reply();
    assert_eq!((reply.status, reply.code()), (503, "stopping"));
    assert!(reply.header("retry-after").is_some());
}

#[test]
fn who_would_be_refused_is_told_so_and_takes_the_place_of_nobody() {
    let (folder, server, mut agents) = world("", &["clinic"]);
    let late = agents[0].question(LONG_S);
    agents[0].sync_whole(server.address);
    agents[0].sync_whole(server.address);
    let asked = Held::ask(server.address, &agents[0], LONG_S);
    held(&folder, 1);

    let (question, binding) = late;
    let refused = Held::post(server.address, &question, binding).answer();
    assert_eq!(code(&refused), "challenge", "a copy of an old question");
    let mut stranger = agents[0].copy();
    stranger.signer = codec::Ed25519Signer::from_seed(&[9; 32]);
    assert_eq!(code(&Held::ask(server.address, &stranger, LONG_S).answer()), "not_enrolled");
    for (body, status, code) in [(&b"<html>"[..], 400, "bad_section"), (&[13; 4096], 413, "request_too_large")] {
        let reply = post(server.address, "/news/v1", body).unwrap();
        assert_eq!((reply.status, reply.code()), (status, code));
    }
    held(&folder, 1);

    folder.json(&["site", "pause", "clinic", "--minutes", "30"], "");
    folder.json(&["import", "-"], &unit_line("U1"));
    assert_eq!(code(&asked.answer()), "site_paused");
    assert_eq!(code(&Held::ask(server.address, &agents[0], LONG_S).answer()), "site_paused");
    folder.json(&["site", "unpause", "clinic"], "");
    assert_eq!(Held::ask(server.address, &agents[0], LONG_S).answer(), Answer::Something);
}

#[test]
fn one_site_more_than_may_wait_goes_by_its_interval() {
    let (folder, server, agents) = world("[limits]\nnews_max = 1\n", &["clinic", "ward"]);
    let clinic = Held::ask(server.address, &agents[0], LONG_S);
    held(&folder, 1);

    let full = Held::ask(server.address, &agents[1], LONG_S).reply();
    assert_eq!((full.status, full.code(), full.header("retry-after")), (503, "overloaded", Some("600")));
    let newer = Held::ask(server.address, &agents[0], LONG_S);
    assert_eq!(clinic.answer(), Answer::Replaced, "the site that waits already may ask again");
    folder.json(&["import", "-"], &unit_line("U1"));
    assert_eq!(newer.answer(), Answer::Something);
    assert_eq!(Held::ask(server.address, &agents[1], LONG_S).answer(), Answer::Something, "what is there is told");
}
