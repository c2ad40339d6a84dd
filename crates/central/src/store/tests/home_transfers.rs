//! Another home store for a patient: never two sites that may write it, and nothing that was recorded in time is lost.

use protocol::ids::OwnershipNumber;

use super::*;

contract!(
    a_patient_goes_to_its_new_home_once_the_old_one_has_read_that_and_sent_what_it_had,
    what_the_old_home_did_not_send_in_time_is_set_aside_and_stays_so_when_the_patient_comes_back,
    a_page_up_to_just_before_the_patient_is_not_taken_for_having_read_it,
    a_transfer_is_called_off_by_the_home_store_and_by_the_end_of_either,
    between_stores_of_one_site_a_patient_goes_like_between_sites,
    central_gives_its_own_patients_away_at_once_and_takes_others_like_a_site,
    what_hangs_on_a_patient_goes_with_it_and_stays_with_it_when_the_patient_is_gone,
    nobody_but_central_sets_where_a_patient_goes,
    what_cannot_be_a_home_store_is_refused,
    another_device_of_the_home_site_is_waited_for_like_the_first,
    no_page_comes_before_a_verdict_on_what_it_shows,
);

/// The number of grant 1 after one transfer.
const ONCE: u32 = 1 + (1 << 20);

/// Two sites with a dispensary each. The first has a patient P, who is visible at both, with a policy R.
fn two(world: &mut World) -> (Device, Device) {
    let (mut one, mut two) = dispensaries(world, &["A", "A2"]);
    one.record(&[
        r#"put name P {"type":"patient","supplying_store_id":"A","first":"a"}"#,
        r#"put nameInsuranceJoin R {"nameID":"P"}"#,
    ]);
    settle(world, &mut one);
    world.write(&[
        r#"put name_store_join P-in-A {"name_ID":"P","store_ID":"A"}"#,
        r#"put name_store_join P-in-B {"name_ID":"P","store_ID":"B"}"#,
    ]);
    settle(world, &mut one);
    settle(world, &mut two);
    (one, two)
}

fn give(world: &mut World, store: &str) -> HomeStore {
    world.job(|batch| batch.set_home_store(HomeKind::Patient, &id("P"), &id(store), false))
}

fn home(world: &mut World) -> String {
    let data = world.data("name", "P");
    let (_, rest) = data.split_once(r#""supplying_store_id":""#).unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

fn waiting(world: &mut World) -> usize {
    world.store.reading().home_transfers(HomeKind::Patient, None, 10).unwrap().len()
}

fn a_patient_goes_to_its_new_home_once_the_old_one_has_read_that_and_sent_what_it_had(world: &mut World) {
    let (mut one, mut two) = two(world);
    one.record(&[r#"patch name P {"first":"unsent"}"#]);

    assert_eq!(give(world, "B"), HomeStore::Asked(one.site));
    assert_eq!(give(world, "B"), HomeStore::Asked(one.site), "asking again changes nothing");
    assert_eq!(refused(world, &mut two, r#"patch name P {"first":"too early"}"#), ["not_home_site"]);
    // What the home site had recorded is taken; that it has read where the patient goes it says with its next request.
    one.push(world);
    one.pull(world);
    assert_eq!((home(world), waiting(world)), ("A".to_owned(), 1));
    assert!(one.data("name", "P").contains(r#""outpost_home_goes_to":"B""#), "its device takes no more edits");
    one.push(world);

    assert_eq!((home(world), waiting(world)), ("B".to_owned(), 0));
    assert!(world.data("name", "P").contains("unsent") && !world.data("name", "P").contains("goes_to"));
    settle(world, &mut two);
    assert_eq!(two.data("name", "P"), world.data("name", "P"));
    assert_eq!(refused(world, &mut two, &format!(r#"patch#{ONCE} name P {{"first":"two"}}"#)), [""; 0]);
    assert_eq!(refused(world, &mut two, &format!(r#"patch#{ONCE} nameInsuranceJoin R {{"type":"x"}}"#)), [""; 0]);
    settle(world, &mut one);
    assert_eq!(one.data("name", "P"), world.data("name", "P"));
    assert_eq!(refused(world, &mut one, r#"patch name P {"first":"late"}"#), ["not_home_site"]);
    let explained = world.store.reading().explain("nameInsuranceJoin", &id("R")).unwrap();
    assert_eq!(explained.holder, Some((two.site, OwnershipNumber(1))));
}

fn what_the_old_home_did_not_send_in_time_is_set_aside_and_stays_so_when_the_patient_comes_back(world: &mut World) {
    let (mut one, mut two) = two(world);
    one.record(&[r#"patch name P {"first":"unsent"}"#]);

    let set = world.job(|batch| batch.set_home_store(HomeKind::Patient, &id("P"), &id("B"), true));
    assert_eq!((set, home(world)), (HomeStore::Set, "B".to_owned()));
    settle(world, &mut two);
    assert_eq!(refused(world, &mut two, &format!(r#"patch#{ONCE} name P {{"first":"two"}}"#)), [""; 0]);
    world.job(|batch| batch.set_home_store(HomeKind::Patient, &id("P"), &id("A"), true));
    settle(world, &mut one);

    assert_eq!(one.told.last().unwrap().1, "ownership_number", "it is older than what was written at B");
    assert!(world.data("name", "P").contains("two"));
    assert_eq!(one.data("name", "P"), world.data("name", "P"));
    let twice = 1 + (2 << 20);
    assert_eq!(refused(world, &mut one, &format!(r#"patch#{twice} name P {{"first":"back"}}"#)), [""; 0]);
}

/// The home site's own edit moves the patient's row behind what it reads next.
fn a_page_up_to_just_before_the_patient_is_not_taken_for_having_read_it(world: &mut World) {
    let (mut one, _) = two(world);
    give(world, "B");
    world.write(&[r#"put contact C1 {"name_ID":"nA"}"#]);
    one.record(&[r#"patch name P {"first":"unsent"}"#]);
    one.push(world);
    let visible = domain::scope::Scope::Visible.to_id();
    one.read(world, &visible, 1, 100_000);
    assert!(has(&one, "contact", "C1") && !one.data("name", "P").contains("goes_to"));

    one.push(world);
    assert_eq!(home(world), "A", "it does not know yet, and may record more");
    settle(world, &mut one);
    assert_eq!(home(world), "B");
}

fn a_transfer_is_called_off_by_the_home_store_and_by_the_end_of_either(world: &mut World) {
    let (mut one, _) = two(world);
    give(world, "B");
    assert_eq!(give(world, "A"), HomeStore::CalledOff);
    assert_eq!((give(world, "A"), waiting(world)), (HomeStore::Unchanged, 0));
    settle(world, &mut one);
    assert_eq!(refused(world, &mut one, r#"patch name P {"first":"stays"}"#), [""; 0]);

    world.write(&[r#"put store C {"code":"C","store_mode":"dispensary"}"#]);
    give(world, "C");
    world.write(&["delete store C"]);
    settle(world, &mut one);
    assert_eq!((home(world), waiting(world)), ("A".to_owned(), 0));
    assert!(!world.data("name", "P").contains("goes_to"));

    give(world, "B");
    one.record(&["delete name P"]);
    settle(world, &mut one);
    assert_eq!((world.data("name", "P"), waiting(world)), ("deleted".to_owned(), 0));
}

fn between_stores_of_one_site_a_patient_goes_like_between_sites(world: &mut World) {
    let (mut one, _) = two(world);
    assert_eq!(give(world, "A2"), HomeStore::Asked(one.site));
    settle(world, &mut one);
    assert_eq!(home(world), "A2");
    assert_eq!(refused(world, &mut one, r#"patch name P {"first":"old number"}"#), ["ownership_number"]);
    assert_eq!(refused(world, &mut one, &format!(r#"patch#{ONCE} name P {{"first":"new"}}"#)), [""; 0]);
}

fn central_gives_its_own_patients_away_at_once_and_takes_others_like_a_site(world: &mut World) {
    let (mut one, _) = two(world);
    world.write(&[r#"put store C {"code":"C","store_mode":"dispensary"}"#]);

    assert_eq!(give(world, "C"), HomeStore::Asked(one.site));
    settle(world, &mut one);
    assert_eq!(home(world), "C");
    world.write(&[r#"patch name P {"first":"central's"}"#]);
    // A put that does not name what central sets leaves it as it is.
    world.write(&[r#"put name P {"type":"patient","supplying_store_id":"C"}"#]);
    assert!(world.data("name", "P").contains(r#""outpost_home_transfers":1"#));

    assert_eq!((give(world, "A"), home(world)), (HomeStore::Set, "A".to_owned()));
    assert_eq!(refused(world, &mut one, &format!(r#"patch#{} name P {{"first":"x"}}"#, 1 + (2 << 20))), [""; 0]);
}

fn what_hangs_on_a_patient_goes_with_it_and_stays_with_it_when_the_patient_is_gone(world: &mut World) {
    let (mut one, mut two) = two(world);
    one.record(&[
        r#"put encounter E {"name_ID":"P","store_ID":"A"}"#,
        r#"put encounter F {"name_ID":"P","store_ID":"A"}"#,
    ]);
    settle(world, &mut one);
    one.record(&["delete encounter F"]);
    settle(world, &mut one);
    world.write(&["delete name_store_join P-in-B", "delete name_store_join P-in-A"]);
    settle(world, &mut two);
    assert!(!has(&two, "encounter", "E"));

    give(world, "B");
    settle(world, &mut one);
    settle(world, &mut one);
    settle(world, &mut two);
    assert!(has(&two, "encounter", "E") && has(&two, "nameInsuranceJoin", "R"));
    assert!(!has(&one, "name", "P") && !has(&one, "encounter", "E"), "it is visible nowhere at its old home");

    assert_eq!(refused(world, &mut two, &format!("delete#{ONCE} name P")), [""; 0]);
    assert_eq!(refused(world, &mut one, "delete encounter E"), ["not_home_site"]);
    assert_eq!(refused(world, &mut two, "delete encounter E"), [""; 0]);
    assert_eq!(world.data("encounter", "E"), "deleted");
}

fn nobody_but_central_sets_where_a_patient_goes(world: &mut World) {
    let (mut one, _) = two(world);
    for line in [
        r#"patch name P {"outpost_home_goes_to":"B"}"#,
        r#"patch name P {"outpost_home_transfers":1}"#,
        r#"put name P {"type":"patient","supplying_store_id":"A","outpost_home_transfers":7}"#,
        r#"put name Q {"type":"patient","supplying_store_id":"A","outpost_home_goes_to":"B"}"#,
    ] {
        assert_eq!(refused(world, &mut one, line), ["central_column"], "{line}");
    }
    world.write(&[r#"put store C {"code":"C","store_mode":"dispensary"}"#]);
    for line in [
        r#"put name Q {"type":"patient","supplying_store_id":"C","outpost_home_transfers":1}"#,
        r#"put name Q {"type":"patient","supplying_store_id":"C","outpost_home_goes_to":"B"}"#,
    ] {
        let report = world.import(ImportMode::AllOrNothing, &[line]);
        assert_eq!(report.refusals[0].code, "central_column", "{line}");
    }
    give(world, "B");
    settle(world, &mut one);
    assert_eq!(home(world), "B");
    let line = r#"put#1048577 name P {"type":"patient","supplying_store_id":"A","outpost_home_transfers":0}"#;
    assert_eq!(refused(world, &mut one, line), ["central_column"]);
    // A patient that central has lost comes back with its count, under the number that it has by that.
    let line = format!(r#"put#{ONCE} name L {{"type":"patient","supplying_store_id":"A","outpost_home_transfers":1}}"#);
    assert_eq!(refused(world, &mut one, &line), [""; 0]);
}

fn what_cannot_be_a_home_store_is_refused(world: &mut World) {
    let (one, _) = two(world);
    world.write(&[r#"put store C {"code":"C"}"#, r#"put name N {"type":"facility"}"#]);
    let mut try_give = |patient: &str, store: &str| {
        code(world.try_job(|batch| batch.set_home_store(HomeKind::Patient, &id(patient), &id(store), false)))
    };
    assert_eq!(try_give("nobody", "B"), "unknown_patient");
    assert_eq!(try_give("N", "B"), "not_a_patient");
    assert_eq!(try_give("P", "nowhere"), "unknown_store");
    assert_eq!(try_give("P", "C"), "no_dispensary");
    let mut ahead = one;
    ahead.control += 100;
    ahead.push(world);
    let healing = world.try_job(|batch| batch.set_home_store(HomeKind::Patient, &id("P"), &id("B"), false));
    assert_eq!(code(healing), "central_heals");
    assert_eq!(home(world), "A");
}

fn another_device_of_the_home_site_is_waited_for_like_the_first(world: &mut World) {
    let (one, _) = two(world);
    give(world, "B");
    let (site, journal) = (one.site, JournalId([77; 16]));
    world.job(|batch| batch.reset_hardware(site));
    world.job(|batch| batch.enrol(site, &enrolling(8, journal)));
    let mut next = Device::new(site, journal);

    next.push(world);
    assert_eq!(home(world), "A", "it has read nothing yet");
    settle(world, &mut next);
    settle(world, &mut next);
    assert_eq!(home(world), "B");
}

/// What a device wrote and has not heard of it would put on top of a page that shows what became of it.
fn no_page_comes_before_a_verdict_on_what_it_shows(world: &mut World) {
    let (mut one, _) = two(world);
    world.write(&["delete name_store_join P-in-A"]);
    settle(world, &mut one);
    world.set_limits(|limits| limits.control_bytes_max = 200);
    for number in 0..4 {
        one.record(&[&format!(r#"put item I{number} {{"code":"refused"}}"#)]);
    }
    one.record(&[r#"patch name P {"first":"accepted"}"#]);
    let (from, to) = (usize::try_from(one.received).unwrap(), one.entries.len());
    one.try_begin(world).unwrap();
    one.try_send(world, from, to).unwrap();
    let site = one.site;
    world.job(|batch| batch.judge(site, &mut || true));
    world.job(|batch| batch.set_home_store(HomeKind::Patient, &id("P"), &id("B"), true));

    let reply = one.push(world);
    assert!(reply.has_more_control && one.scopes.is_empty(), "the rest of the verdicts first");
    for _ in 0..5 {
        one.sync(world);
    }

    assert_eq!(one.told.len(), 4);
    assert!(!has(&one, "name", "P"), "it is not visible there any more");
}
