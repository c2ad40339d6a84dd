//! Messages: S1 and S2 are at site 2 (numbers 1 and 4), S3 at site 3, S0 at central.

use super::*;

/// A world with messages between all kinds of parties.
fn world() -> World {
    let mut world = World::new();
    for (record, sender, receiver, status) in [
        ("out", "S1", "S3", "new"),
        ("in", "S3", "S1", "new"),
        ("own", "S1", "S2", "new"),
        ("done", "S3", "S1", "processed"),
        ("to-central", "S1", "", "new"),
        ("from-central", "", "S1", "new"),
        ("foreign", "S3", "S0", "new"),
    ] {
        let data = format!(
            r#"{{"fromStoreID":"{sender}","toStoreID":"{receiver}","status":"{status}","body":{{"a":1}},"type":"x"}}"#
        );
        world.here("message", record, Some(sender).filter(|sender| !sender.is_empty()), &data);
    }
    world.gone("message", "gone", Some("S1"));
    world
}

fn check(side: Side, author: SiteId, cases: &[(&str, &str)]) {
    for (edit, expected) in cases {
        assert_eq!(world().outcome(side, author, edit), *expected, "{edit} by site {author} at {side:?}");
    }
}

/// A put of a message; "" is blank.
fn put(record: &str, sender: &str, receiver: &str, status: &str) -> String {
    format!(
        r#"put message {record} {{"fromStoreID":"{sender}","toStoreID":"{receiver}","status":"{status}","body":{{"a":1}},"type":"x"}}"#
    )
}

fn reason(side: Side, author: SiteId, edit: &str) -> String {
    let mut world = world();
    let entry = world.entry(edit);
    match world.judge_entry(side, author, &entry) {
        Verdict::Refuse(refusal) => refusal.to_string(),
        other => panic!("{edit}: {other:?}"),
    }
}

#[test]
fn a_message_is_made_by_the_site_of_its_sender_and_goes_to_both_stores() {
    for side in BOTH {
        check(
            side,
            HERE,
            &[
                (&put("M", "S1", "S3", "new"), "accept, S1, to store S1, to store S3"),
                (&put("M", "S1", "S1", "new"), "accept, S1, to store S1"),
                (&put("M", "S1", "S2", "new"), "accept, S1, to store S1, to store S2"),
                (&put("M", "S1", "", "new"), "accept, S1, to store S1"),
                (r#"put message M {"fromStoreID":"S1","status":"new"}"#, "accept, S1, to store S1"),
                (&put("M", "S1", "S3", "processed"), "accept, S1, to store S1, to store S3"),
                (&put("M", "S3", "S1", "new"), "not_store_holder"),
                (&put("M", "S0", "S1", "new"), "not_store_holder"),
                (&put("M", "nobody's", "S1", "new"), "not_store_holder"),
                (&put("M", "", "S1", "new"), "sender_blank"),
                (r#"put message M {"toStoreID":"S1","status":"new"}"#, "sender_blank"),
                (&put("M", "S1", "S3", ""), "message_status"),
                (&put("M", "S1", "S3", "New"), "message_status"),
                (r#"put message M {"fromStoreID":"S1","toStoreID":"S3"}"#, "message_status"),
                (r#"put message M {"fromStoreID":["S1"],"status":"new"}"#, "bad_value"),
                (r#"put message M {"fromStoreID":"S1","toStoreID":7,"status":"new"}"#, "bad_value"),
                (r#"patch message M {"status":"processed"}"#, "record_missing"),
            ],
        );
    }
}

#[test]
fn central_sends_with_a_blank_sender_or_for_a_store_that_it_holds() {
    for side in BOTH {
        check(
            side,
            SiteId::CENTRAL,
            &[
                (&put("M", "", "S1", "new"), "accept, to store S1"),
                (&put("M", "", "", "new"), "accept"),
                (&put("M", "S0", "S1", "new").replace("put ", "put#1 "), "accept, S0, to store S0, to store S1"),
                (&put("M", "S1", "S3", "new"), "not_store_holder"),
                (&put("M", "", "nobody's", "new"), "receiver_unknown"),
            ],
        );
    }
}

#[test]
fn a_receiver_that_central_does_not_have_is_refused_by_central_and_not_by_a_device() {
    let edit = put("M", "S1", "nobody's", "new");

    check(Side::Central, HERE, &[(&edit, "receiver_unknown")]);
    check(Side::Device, HERE, &[(&edit, "accept, S1, to store S1, to store nobody's")]);
}

#[test]
fn the_receiving_site_alone_sets_a_message_to_processed() {
    let processed = |record: &str| format!(r#"patch message {record} {{"status":"processed"}}"#);
    for side in BOTH {
        check(
            side,
            HERE,
            &[
                (&processed("in"), "accept, S3, to store S3, to store S1"),
                (&put("in", "S3", "S1", "processed"), "accept, S3, to store S3, to store S1"),
                (&processed("from-central"), "accept, to store S1"),
                (&processed("own").replace("patch ", "patch#4 "), "accept, S1, to store S1, to store S2"),
                (&processed("out"), "not_receiver"),
                (&processed("to-central"), "not_receiver"),
                (&processed("foreign"), "not_receiver"),
                (r#"patch message done {"status":"new"}"#, "message_status"),
                (r#"patch message in {"status":"read"}"#, "message_status"),
                (r#"patch message in {"status":null}"#, "message_status"),
            ],
        );
        check(
            side,
            SiteId::CENTRAL,
            &[
                (&processed("to-central"), "accept, S1, to store S1"),
                (&processed("foreign"), "accept, S3, to store S3, to store S0"),
                (&processed("in"), "not_receiver"),
            ],
        );
    }
}

#[test]
fn nothing_of_a_message_but_its_status_changes() {
    for (side, author) in [(Side::Device, HERE), (Side::Central, HERE), (Side::Central, SiteId::CENTRAL)] {
        check(
            side,
            author,
            &[
                (r#"patch message out {"body":{"a":2}}"#, "message_fixed"),
                (r#"patch message in {"status":"processed","error_message":"no"}"#, "message_fixed"),
                (r#"patch message from-central {"type":null}"#, "message_fixed"),
                (r#"patch message in {"extra":1}"#, "message_fixed"),
            ],
        );
    }
}

#[test]
fn rule_5_13_nobody_takes_a_message_over() {
    for (side, author) in [(Side::Device, HERE), (Side::Central, HERE), (Side::Central, SiteId::CENTRAL)] {
        check(
            side,
            author,
            &[
                (&put("out", "S1", "S2", "new"), "owner_change"),
                (&put("in", "S1", "S3", "new"), "owner_change"),
                (&put("foreign", "S1", "S0", "new"), "owner_change"),
                (&put("out", "", "S3", "new"), "owner_change"),
                (r#"patch message in {"fromStoreID":"S1"}"#, "owner_change"),
                (r#"patch message in {"toStoreID":"S2","status":"processed"}"#, "owner_change"),
                (r#"patch message in {"fromStoreID":null}"#, "owner_change"),
            ],
        );
    }
}

#[test]
fn what_is_there_already_may_be_said_again_by_one_of_the_two() {
    for side in BOTH {
        check(
            side,
            HERE,
            &[
                (&put("out", "S1", "S3", "new"), "accept, S1, to store S1, to store S3"),
                (&put("done", "S3", "S1", "processed"), "accept, S3, to store S3, to store S1"),
                (r#"patch message to-central {"toStoreID":null,"error_message":null}"#, "accept, S1, to store S1"),
                (&put("foreign", "S3", "S0", "new"), "not_store_holder"),
            ],
        );
    }
}

#[test]
fn central_alone_deletes_a_message_and_makes_it_again() {
    for side in BOTH {
        check(
            side,
            HERE,
            &[
                ("delete message out", "message_fixed"),
                ("delete message in", "message_fixed"),
                (&put("gone", "S1", "S3", "new"), "message_fixed"),
            ],
        );
    }
    check(
        Side::Central,
        SiteId::CENTRAL,
        &[
            ("delete message out", "accept, S1, to store S1, to store S3"),
            ("delete message from-central", "accept, to store S1"),
            (&put("gone", "", "S3", "new"), "accept, to store S3"),
        ],
    );
    check(Side::Central, HERE, &[("delete message gone", "accept, nothing"), ("delete message M", "accept, nothing")]);
}

#[test]
fn a_message_is_written_under_the_number_of_the_store_that_the_author_writes_for() {
    check(
        Side::Central,
        HERE,
        &[
            (&put("M", "S2", "S3", "new").replace("put ", "put#1 "), "ownership_number"),
            (&put("M", "S2", "S3", "new").replace("put ", "put#4 "), "accept, S2, to store S2, to store S3"),
            (r#"patch#4 message in {"status":"processed"}"#, "ownership_number"),
            (r#"patch#1 message own {"status":"processed"}"#, "ownership_number"),
        ],
    );
    for (edit, expected) in [
        (put("M", "S2", "S3", "new"), 4),
        (put("M", "S1", "S2", "new"), 1),
        (r#"patch message own {"status":"processed"}"#.to_owned(), 4),
    ] {
        let mut world = world();
        let entry = world.entry(&edit);
        let Verdict::Accept(applied) = world.judge_entry(Side::Device, HERE, &entry) else { panic!("refused") };
        assert_eq!(applied.ownership, OwnershipNumber(expected), "{edit}");
    }
}

#[test]
fn a_refused_message_is_told_the_rule_and_who_may() {
    for (side, edit, expected) in [
        (
            Side::Central,
            put("M", "S3", "S1", "new"),
            "message M is sent by the site that holds its sender: site 3 with store S3, not site 2 (not_store_holder)",
        ),
        (
            Side::Device,
            put("M", "S9", "S1", "new"),
            "message M is sent by the site that holds its sender: the site with store S9, not site 2 (not_store_holder)",
        ),
        (
            Side::Device,
            put("M", "", "S1", "new"),
            "message M has a blank sender, which stands for central; name a store that this site holds in fromStoreID (sender_blank)",
        ),
        (
            Side::Central,
            r#"patch message out {"status":"processed"}"#.to_owned(),
            "message out is set to processed by its receiver alone: site 3 with store S3, not site 2 (not_receiver)",
        ),
        (
            Side::Central,
            r#"patch message to-central {"status":"processed"}"#.to_owned(),
            "message to-central is set to processed by its receiver alone, and its blank receiver stands for central, which sets it \
             (not_receiver)",
        ),
        (
            Side::Central,
            r#"patch message in {"body":1}"#.to_owned(),
            "message in is edited nowhere; site 2 with store S1 may set its status from new to processed. Send a new message \
             (message_fixed)",
        ),
        (
            Side::Central,
            put("in", "S1", "S3", "new"),
            "message in goes from store S3 to store S1 and not from store S1 to store S3; nobody takes a message over: send a new one \
             (owner_change)",
        ),
    ] {
        assert_eq!(reason(side, HERE, &edit), expected);
    }
}
