//! The device's side of rule 5.7: it answers a challenge, once, and never sends the same bytes twice.

use super::hostile_central::{against, context_of, head_of, reply, signed};
use super::*;
use crate::ids::Nonce;
use crate::message::Refusal;

const NONCE: Nonce = Nonce([7; 16]);

fn challenge(request: &[u8]) -> Vec<u8> {
    signed(Kind::Refusal, context_of(request), &message::encode(&Refusal::challenge(NONCE)))
}

#[test]
fn a_challenge_is_answered_by_a_request_without_edits_and_the_session_goes_on() {
    let device = Device::new(&[10, 10]);
    let mut answers = Vec::new();
    let outcome = against(&device, 2, |number, request| {
        answers.push(head_of(request).answer);
        if number == 1 {
            return challenge(request);
        }
        let reply = ReplyHead { received: device.head(), ..reply(2, device.hash_at(device.head())) };
        signed(Kind::ReplyHead, context_of(request), &message::encode(&reply))
    });

    assert_eq!(outcome.failure, None);
    assert_eq!(answers, [None, Some(NONCE)]);
    // The edits went with the first request, whose frames central did not look at.
    assert_eq!(outcome.summary.entries_sent, 2);
}

#[test]
fn a_second_challenge_ends_the_session() {
    let outcome = against(&Device::new(&[]), 2, |_, request| challenge(request));

    assert!(matches!(outcome.failure, Some(Failure::Refused(refusal)) if refusal.code == message::CHALLENGE));
}

#[test]
fn nothing_may_follow_a_challenge() {
    let outcome = against(&Device::new(&[]), 1, |_, request| {
        let mut bytes = challenge(request);
        bytes.extend(challenge(request));
        bytes
    });

    assert!(matches!(outcome.failure, Some(Failure::Rule(_))), "{:?}", outcome.failure);
}

#[test]
fn no_two_requests_of_a_session_are_the_same() {
    let device = Device::new(&[]);
    let mut requests: Vec<Vec<u8>> = Vec::new();
    against(&device, 3, |_, request| {
        requests.push(request.to_vec());
        let reply = ReplyHead { has_more_control: true, ..reply(0, device.hash_at(Sequence::ZERO)) };
        signed(Kind::ReplyHead, context_of(request), &message::encode(&reply))
    });

    assert_eq!(requests.len(), 3);
    requests.dedup();
    assert_eq!(requests.len(), 3);
}

#[test]
fn a_central_that_has_less_than_it_had_said_is_asked_how_far_it_is_and_gets_the_rest() {
    let mut device = Device::new(&[10, 10, 10]);
    device.received = Sequence(2);
    let mut frames = Vec::new();
    let outcome = against(&device, 3, |number, request| {
        frames.push(request.len() > head_bytes(request));
        if number == 1 {
            return signed(Kind::Refusal, context_of(request), &message::encode(&Refusal::new("gap", "why")));
        }
        let received = if number == 2 { Sequence::ZERO } else { device.head() };
        let reply = ReplyHead { received, ..reply(received.0, device.hash_at(received)) };
        signed(Kind::ReplyHead, context_of(request), &message::encode(&reply))
    });

    assert_eq!(outcome.failure, None);
    assert_eq!(frames, [true, false, true]);
    let again = against(&device, 2, |_, request| {
        signed(Kind::Refusal, context_of(request), &message::encode(&Refusal::new("gap", "why")))
    });
    assert!(matches!(again.failure, Some(Failure::Refused(_))), "once in a session");
}

fn head_bytes(request: &[u8]) -> usize {
    section::HEADER_BYTES + message::encode(&head_of(request)).len()
}
