//! Messages: lanes of both stores, and who may write what (rule 5.13).

use domain::scope::Scope;
use protocol::control::{Control, Image};

use super::*;

contract!(
    a_message_reaches_the_sites_of_both_stores_and_no_other,
    a_status_set_by_the_receiver_comes_back_to_the_sender_and_not_to_the_receiver,
    a_message_between_two_stores_of_one_site_travels_once,
    a_message_to_central_is_set_to_processed_by_central_alone,
    a_message_of_central_goes_to_its_receiver_alone,
    rule_5_13_a_forged_sender_is_refused,
    rule_5_13_a_message_that_is_there_is_not_taken_over_or_edited,
    a_refused_edit_shows_a_party_what_central_has_and_a_stranger_nothing,
    a_message_to_an_unknown_store_is_refused_until_central_has_the_store,
    a_message_is_set_to_processed_under_the_number_of_the_receiver,
    central_takes_a_message_from_both_sites,
    a_store_that_is_given_to_a_site_brings_its_messages,
    explain_says_between_whom_a_message_goes,
);

fn message(record: &str, sender: &str, receiver: &str) -> String {
    format!(
        r#"put message {record} {{"toStoreID":"{receiver}","fromStoreID":"{sender}","body":{{"a":1}},"status":"new"}}"#
    )
}

fn processed(record: &str) -> String {
    format!(r#"patch message {record} {{"status":"processed"}}"#)
}

/// Devices of the stores A, B and C, which have read everything.
fn devices(world: &mut World) -> [Device; 3] {
    let mut devices = [&["A"], &["B"], &["C"]].map(|stores| world.device(stores));
    for device in &mut devices {
        settle(world, device);
    }
    devices
}

/// What became of the device's last entry: "accepted", or the code of its refusal.
fn outcome(world: &mut World, device: &mut Device, edit: &str) -> String {
    device.record(&[edit]);
    device.push(world);
    let last = device.entries.len() as u64;
    let told = device.told.iter().find(|told| told.0 == last);
    told.map_or_else(|| "accepted".to_owned(), |told| told.1.clone())
}

fn a_message_reaches_the_sites_of_both_stores_and_no_other(world: &mut World) {
    let [mut sender, mut receiver, mut stranger] = devices(world);
    sender.record(&[&message("M", "A", "B")]);

    assert_eq!(sender.sync(world), 0, "what the site wrote itself is echo");
    assert_eq!((receiver.sync(world), stranger.sync(world)), (1, 0));

    let expected = r#"{"ID":"M","toStoreID":"B","fromStoreID":"A","body":{"a":1},"status":"new"}"#;
    assert_eq!([world.data("message", "M"), receiver.data("message", "M")], [expected, expected]);
    assert_eq!(stranger.data("message", "M"), "not here");
    sender.wipe_copy();
    sender.sync(world);
    assert_eq!(sender.data("message", "M"), expected, "a device that lost it gets it back");
}

fn a_status_set_by_the_receiver_comes_back_to_the_sender_and_not_to_the_receiver(world: &mut World) {
    let [mut sender, mut receiver, _] = devices(world);
    sender.record(&[&message("M", "A", "B")]);
    settle(world, &mut sender);
    settle(world, &mut receiver);

    receiver.record(&[&processed("M")]);
    assert_eq!(receiver.sync(world), 0);
    assert_eq!(sender.sync(world), 1);

    for data in [world.data("message", "M"), sender.data("message", "M"), receiver.data("message", "M")] {
        assert!(data.ends_with(r#""status":"processed"}"#), "{data}");
    }
    assert_eq!(outcome(world, &mut receiver, r#"patch message M {"status":"new"}"#), "message_status");
}

fn a_message_between_two_stores_of_one_site_travels_once(world: &mut World) {
    let mut device = world.device(&["A", "B"]);
    settle(world, &mut device);
    device.record(&[&message("M", "A", "B")]);

    assert_eq!(settle(world, &mut device), 0);
    device.record(&[&processed("M")]);
    assert_eq!(settle(world, &mut device), 0);

    assert_eq!(device.data("message", "M"), world.data("message", "M"));
    assert_eq!(world.status(&device).rows_waiting, 0);
}

fn a_message_to_central_is_set_to_processed_by_central_alone(world: &mut World) {
    let [mut sender, mut other, _] = devices(world);
    sender.record(&[&message("M", "A", "")]);
    settle(world, &mut sender);
    assert_eq!(other.sync(world), 0);

    assert_eq!(outcome(world, &mut sender, &processed("M")), "not_receiver");
    world.write(&[&processed("M")]);

    assert_eq!(sender.sync(world), 1);
    assert_eq!(sender.data("message", "M"), world.data("message", "M"));
    assert!(world.data("message", "M").contains("processed"));
}

fn a_message_of_central_goes_to_its_receiver_alone(world: &mut World) {
    let [mut receiver, mut other, _] = devices(world);

    world.write(&[&message("M", "", "A"), &message("own", "", "")]);
    assert_eq!((settle(world, &mut receiver), settle(world, &mut other)), (1, 0));

    assert_eq!(outcome(world, &mut other, &message("N", "", "A")), "sender_blank");
    assert_eq!(outcome(world, &mut receiver, &processed("M")), "accepted");
    assert!(world.data("message", "M").contains("processed"));
    let report = world.import(ImportMode::Continue, &[&message("N", "A", "B"), &message("N", "", "Z")]);
    let codes: Vec<&str> = report.refusals.iter().map(|refusal| refusal.code.as_str()).collect();
    assert_eq!(codes, ["not_store_holder", "receiver_unknown"]);
}

fn rule_5_13_a_forged_sender_is_refused(world: &mut World) {
    let [_, mut receiver, mut stranger] = devices(world);

    assert_eq!(outcome(world, &mut stranger, &message("M", "A", "C")), "not_store_holder");
    assert_eq!(outcome(world, &mut stranger, &message("M", "A", "B")), "not_store_holder");
    assert_eq!(outcome(world, &mut stranger, &message("M", "", "B")), "sender_blank");

    assert_eq!((world.data("message", "M"), receiver.sync(world)), ("unknown".to_owned(), 0));
}

fn rule_5_13_a_message_that_is_there_is_not_taken_over_or_edited(world: &mut World) {
    let mut devices = devices(world);
    let [sender, receiver, stranger] = [0, 1, 2];
    devices[sender].record(&[&message("M", "A", "B")]);
    devices[sender].push(world);
    let before = world.data("message", "M");

    for (device, edit, expected) in [
        (stranger, message("M", "C", "B"), "owner_change"),
        (stranger, message("M", "A", "B"), "not_store_holder"),
        (stranger, processed("M"), "not_receiver"),
        (receiver, message("M", "B", "A"), "owner_change"),
        (receiver, r#"patch message M {"body":{"a":2}}"#.to_owned(), "message_fixed"),
        (receiver, "delete message M".to_owned(), "message_fixed"),
        (sender, message("M", "A", "C"), "owner_change"),
        (sender, processed("M"), "not_receiver"),
        (sender, "delete message M".to_owned(), "message_fixed"),
    ] {
        assert_eq!(outcome(world, &mut devices[device], &edit), expected, "{edit}");
        assert_eq!(world.data("message", "M"), before, "{edit}");
    }
    assert_eq!(outcome(world, &mut devices[sender], &message("M", "A", "B")), "accepted", "said once more");
    assert_eq!(world.data("message", "M"), before);
}

fn a_refused_edit_shows_a_party_what_central_has_and_a_stranger_nothing(world: &mut World) {
    let [mut sender, mut receiver, mut stranger] = devices(world);
    sender.record(&[&message("M", "A", "B")]);
    sender.push(world);

    for (device, is_here) in [(&mut sender, true), (&mut receiver, true), (&mut stranger, false)] {
        outcome(world, device, &message("M", "C", "A"));
        let Some(Control::Refused(refused)) = device.controls.last() else { panic!("not refused") };
        assert_eq!(matches!(refused.image, Image::Here { .. }), is_here, "{refused:?}");
    }
}

fn a_message_to_an_unknown_store_is_refused_until_central_has_the_store(world: &mut World) {
    let [mut sender, ..] = devices(world);

    assert_eq!(outcome(world, &mut sender, &message("M", "A", "Z")), "receiver_unknown");
    world.write(&[r#"upsert store Z {"code":"Z"}"#]);
    assert_eq!(outcome(world, &mut sender, &message("M", "A", "Z")), "accepted");

    world.write(&[&processed("M")]);
    assert!(world.data("message", "M").contains("processed"), "central holds the store");
}

fn a_message_is_set_to_processed_under_the_number_of_the_receiver(world: &mut World) {
    let [mut sender, mut receiver, _] = devices(world);
    assert_eq!(outcome(world, &mut sender, &message("M", "A", "B").replace("put ", "put#2 ")), "ownership_number");
    assert_eq!(outcome(world, &mut sender, &message("M", "A", "B")), "accepted");

    let late = processed("M").replace("patch ", "patch#2 ");
    assert_eq!(outcome(world, &mut receiver, &late), "ownership_number");

    assert_eq!(outcome(world, &mut receiver, &processed("M")), "accepted");
}

fn central_takes_a_message_from_both_sites(world: &mut World) {
    let [mut sender, mut receiver, _] = devices(world);
    sender.record(&[&message("M", "A", "B")]);
    settle(world, &mut sender);
    settle(world, &mut receiver);

    world.write(&["delete message M"]);

    for device in [&mut sender, &mut receiver] {
        assert_eq!(settle(world, device), 1);
        assert_eq!(device.data("message", "M"), "not here");
    }
    assert_eq!(outcome(world, &mut sender, &message("M", "A", "B")), "message_fixed");
    assert_eq!(outcome(world, &mut receiver, &processed("M")), "record_missing");
    assert_eq!(world.data("message", "M"), "deleted");
}

fn a_store_that_is_given_to_a_site_brings_its_messages(world: &mut World) {
    let [mut sender, mut receiver, _] = devices(world);
    world.write(&[r#"upsert store Z {"code":"Z"}"#]);
    sender.record(&[&message("M", "A", "Z")]);
    settle(world, &mut sender);
    let (store, site) = (id("Z"), receiver.site);

    world.job(|batch| batch.move_store(&store, site, false));
    settle(world, &mut receiver);

    assert_eq!(receiver.data("message", "M"), world.data("message", "M"));
    assert_eq!(outcome(world, &mut receiver, &processed("M")), "accepted");
}

fn explain_says_between_whom_a_message_goes(world: &mut World) {
    let [mut sender, ..] = devices(world);
    sender.record(&[&message("M", "A", "B")]);
    sender.push(world);

    let explained = world.store.reading().explain("message", &id("M")).unwrap();

    let message = explained.message.unwrap();
    assert_eq!((message.sender.store, message.sender.holder.0), (Some(id("A")), SiteId(2)));
    assert_eq!((message.receiver.store, message.receiver.holder.0), (Some(id("B")), SiteId(3)));
    assert!(!message.is_processed);
    let lanes: Vec<_> = explained.lanes.iter().map(|lane| (lane.scope.clone(), lane.sites_behind)).collect();
    assert_eq!(lanes, [(Scope::Store(id("A")), 0), (Scope::Store(id("B")), 1)]);
    assert_eq!(world.store.reading().explain("store", &id("A")).unwrap().message, None);
}
