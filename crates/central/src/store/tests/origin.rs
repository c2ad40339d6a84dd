//! What central knows of the two devices because of which a site stopped.

use protocol::ids::Sequence;
use protocol::message::RequestHead;

use super::*;

contract!(
    a_stop_keeps_when_and_from_where_both_devices_came_and_how_far_their_journals_went,
    a_copy_of_a_request_does_not_pass_for_the_device,
    what_was_known_of_a_stop_goes_with_it,
    whichever_device_is_chosen_goes_on_and_the_other_stops_nothing,
    nothing_is_chosen_between_devices_of_which_nothing_is_known,
);

/// One exchange from an address, with an answer to a challenge if there is one.
fn exchange_from(world: &mut World, device: &mut Device, address: &PeerAddress) -> Result<(), String> {
    for _ in 0..2 {
        device.salt.copy_from_slice(&world.token().0[..8]);
        let (head, nonce) = (device.head(), Nonce(world.token().0));
        let begun = world
            .try_job(|batch| batch.coming_from(Some(address)).begin(&head.clone().into(), Standing::Current, nonce));
        match begun {
            Ok(_) => {
                let conclusion =
                    world.job(|batch| batch.coming_from(Some(address)).conclude(&head.clone().into(), &mut || true));
                device.token = conclusion.reply.token;
                return Ok(());
            }
            Err(StoreError::Refused(refusal)) if refusal.nonce.is_some() => device.answer = refusal.nonce,
            Err(error) => return Err(error.code().to_owned()),
        }
    }
    Err("challenge".to_owned())
}

fn address(text: &str) -> PeerAddress {
    PeerAddress::from(text.parse::<std::net::IpAddr>().unwrap())
}

/// The site's device, from 10.0.0.1 at 1,000 ms, and its copy, from 10.0.0.2 at 5,000 ms, with two more edits.
fn stopped(world: &mut World) -> Device {
    stopped_by_copy(world, "S1").0
}

fn stopped_by_copy(world: &mut World, store: &str) -> (Device, Device) {
    let (here, there) = (address("10.0.0.1"), address("::ffff:10.0.0.2"));
    let mut original = world.device(&[store]);
    exchange_from(world, &mut original, &here).unwrap();
    let mut copy = original.clone();
    let put = |id: &str| format!(r#"put transact {id} {{"store_ID":"{store}"}}"#);
    copy.record(&[&put("T1"), &put("T2")]);
    exchange_from(world, &mut original, &here).unwrap();
    exchange_from(world, &mut original, &here).unwrap();
    world.now_ms = 5000;
    assert_eq!(exchange_from(world, &mut copy, &there), Err("site_stopped".to_owned()));
    (original, copy)
}

fn a_stop_keeps_when_and_from_where_both_devices_came_and_how_far_their_journals_went(world: &mut World) {
    let original = stopped(world);

    let device = |which, seen_ms, address: &str, head| SeenDevice {
        which,
        seen_ms,
        address: Some(address.to_owned()),
        journal: Some(original.journal),
        head: Some(Sequence(head)),
    };
    let expected =
        [device(StopDevice::AnsweredLast, 1000, "10.0.0.1", 0), device(StopDevice::DeadToken, 5000, "10.0.0.2", 2)];
    assert_eq!(world.store.reading().stop_devices(original.site).unwrap(), expected);
    let row = world.store.reading().site(original.site).unwrap().unwrap();
    assert_eq!(row.last_address.as_deref(), Some("10.0.0.1"), "who is refused does not count");
}

fn a_copy_of_a_request_does_not_pass_for_the_device(world: &mut World) {
    let mut device = world.device(&["S1"]);
    exchange_from(world, &mut device, &address("10.0.0.1")).unwrap();
    let head = device.head();
    exchange_from(world, &mut device, &address("10.0.0.1")).unwrap();
    let head = RequestHead { salt: device.salt, ..head };

    let elsewhere = address("10.0.0.66");
    world.job(|batch| batch.coming_from(Some(&elsewhere)).begin(&head.clone().into(), Standing::Current, NONCE));
    world.job(|batch| batch.coming_from(Some(&elsewhere)).conclude(&head.clone().into(), &mut || true));

    let row = world.store.reading().site(device.site).unwrap().unwrap();
    assert_eq!(row.last_address.as_deref(), Some("10.0.0.1"));
}

fn what_was_known_of_a_stop_goes_with_it(world: &mut World) {
    let site = stopped(world).site;

    world.job(|batch| batch.resume_site(site));

    assert_eq!(world.store.reading().stop_devices(site).unwrap(), []);
}

fn whichever_device_is_chosen_goes_on_and_the_other_stops_nothing(world: &mut World) {
    let here = address("10.0.0.1");
    for (chosen, store, original_goes_on) in
        [(StopDevice::AnsweredLast, "S1", true), (StopDevice::DeadToken, "S2", false)]
    {
        let (original, copy) = stopped_by_copy(world, store);
        world.job(|batch| batch.choose_device(original.site, chosen));
        let (mut right, mut wrong) = if original_goes_on { (original, copy) } else { (copy, original) };

        // The device that was not chosen comes first, and again and again.
        for _ in 0..3 {
            wrong.answer = None;
            assert_eq!(exchange_from(world, &mut wrong, &here), Err("device_not_chosen".to_owned()), "{chosen:?}");
            assert_eq!(exchange_from(world, &mut right, &here), Ok(()), "{chosen:?}");
            let asked = |world: &mut World, device: &Device| {
                let answer =
                    world.store.reading().check_device(&device.head(), Standing::Current, world.now_ms).unwrap();
                answer.refusal.map(|refusal| refusal.code)
            };
            assert_eq!(asked(world, &wrong).as_deref(), Some("device_not_chosen"));
            assert_eq!(asked(world, &right), None);
        }
        assert_eq!(world.store.reading().stop_of(right.site).unwrap(), None);
        assert_eq!(world.store.reading().stop_devices(right.site).unwrap(), []);
    }
}

fn nothing_is_chosen_between_devices_of_which_nothing_is_known(world: &mut World) {
    let site = world.device(&["S1"]).site;
    let choose = |world: &mut World| code(world.try_job(|batch| batch.choose_device(site, StopDevice::DeadToken)));
    assert_eq!(choose(world), "site_not_stopped");

    let site = stopped_by_copy(world, "S2").0.site;
    world.job(|batch| Ok(batch.sql.execute("UPDATE site_stop_device SET token = NULL", &[])?));
    let refused = world.try_job(|batch| batch.choose_device(site, StopDevice::AnsweredLast));
    assert_eq!(code(refused), "stop_device_unknown");
    assert!(world.store.reading().stop_of(site).unwrap().is_some(), "nothing has changed");
}
