//! A mirrored system: central data goes to a primary and comes back, and never two write it.

use domain::authority::{CENTRAL_DATA, central_data};

use super::tokens::{backup_before, exchange, start};
use super::*;

contract!(
    the_primary_writes_once_it_has_everything_and_nobody_else_does,
    what_the_primary_recorded_before_it_heard_of_the_end_is_taken_and_then_central_writes,
    an_end_at_once_leaves_what_was_not_sent_to_set_aside,
    a_mirror_that_is_ended_before_the_site_had_everything_was_never_there,
    what_stays_with_central_central_writes_in_a_mirrored_system_too,
    where_patients_are_visible_the_primary_says,
    another_device_of_the_primary_ends_what_was_returning,
    who_may_not_be_the_primary_is_told_why,
);

/// A site without anything to see, and one with a dispensary and what hangs on it.
fn two(world: &mut World) -> (Device, Device) {
    let (one, two) = (world.device(&["A"]), world.device(&["B"]));
    world.write(&[
        r#"patch store B {"name_ID":"nB","store_mode":"dispensary"}"#,
        r#"upsert name nB {"name":"b"}"#,
        r#"upsert contact CB {"name_ID":"nB"}"#,
        r#"upsert item_store_join IB {"store_ID":"B"}"#,
        r#"upsert abbreviation X {"abbreviation":"x"}"#,
        r#"upsert item I0 {"code":"0"}"#,
    ]);
    (one, two)
}

/// Until nothing comes any more.
fn settle_all(world: &mut World, device: &mut Device) {
    for _ in 0..4 {
        device.sync(world);
    }
}

fn enable(world: &mut World, device: &Device) -> Mirror {
    let site = device.site;
    world.job(|batch| batch.enable_mirror(site))
}

fn phase(world: &mut World) -> MirrorPhase {
    world.store.reading().mirror().unwrap().phase
}

/// What a write of central's own is refused with; nothing if it is taken.
fn write_at_central(world: &mut World, line: &str) -> Option<String> {
    let report = world.import(ImportMode::AllOrNothing, &[line]);
    report.refusals.first().map(|refused| refused.code.clone())
}

fn last_told(device: &Device) -> Option<(u64, &str)> {
    device.told.last().map(|(sequence, code)| (*sequence, code.as_str()))
}

const OTHERS: [(&str, &str); 3] = [("contact", "CB"), ("item_store_join", "IB"), ("abbreviation", "X")];

fn the_primary_writes_once_it_has_everything_and_nobody_else_does(world: &mut World) {
    let (mut one, mut two) = two(world);
    settle_all(world, &mut one);
    settle_all(world, &mut two);
    assert!(OTHERS.iter().all(|(table, id)| !has(&one, table, id)), "it sees nothing of that by itself");

    let mirror = enable(world, &one);
    assert_eq!((mirror.phase, mirror.ownership.0), (MirrorPhase::Filling, 1));
    assert_eq!(write_at_central(world, r#"upsert item I1 {"code":"1"}"#).as_deref(), Some("central_data"));
    one.record(&[r#"put item I1 {"code":"too early"}"#]);
    one.push(world);
    one.push(world);
    assert_eq!((last_told(&one), phase(world)), (Some((1, "central_data")), MirrorPhase::Filling));
    settle_all(world, &mut one);

    assert!(OTHERS.iter().all(|(table, id)| has(&one, table, id)), "it has everything");
    assert_eq!(phase(world), MirrorPhase::AtPrimary);
    assert!(one.grants.contains_key(CENTRAL_DATA));
    one.record(&[r#"put item I1 {"code":"1"}"#, r#"put abbreviation Y {"abbreviation":"y"}"#]);
    one.record(&[r#"put contact CC {"name_ID":"nB"}"#]);
    settle_all(world, &mut one);
    settle_all(world, &mut two);
    assert_eq!(last_told(&one), Some((1, "central_data")), "the others are accepted");
    for (table, id) in [("item", "I1"), ("abbreviation", "Y"), ("contact", "CC")] {
        assert!(has(&two, table, id), "{table} {id}");
    }
    two.record(&[r#"patch item I1 {"code":"2"}"#]);
    settle_all(world, &mut two);
    assert_eq!(last_told(&two), Some((1, "central_data")));
    assert_eq!(write_at_central(world, r#"patch item I1 {"code":"3"}"#).as_deref(), Some("central_data"));
    assert!(world.data("item", "I1").contains(r#""code":"1""#));
    let roles = world.store.reading().roles_of(&id("B")).unwrap();
    assert!(roles.contains(&(one.site, "site of A".to_owned(), Role::Transfer)), "{roles:?}");
}

fn mirrored(world: &mut World) -> (Device, Device) {
    let (mut one, two) = two(world);
    enable(world, &one);
    settle_all(world, &mut one);
    assert_eq!(phase(world), MirrorPhase::AtPrimary);
    (one, two)
}

fn what_the_primary_recorded_before_it_heard_of_the_end_is_taken_and_then_central_writes(world: &mut World) {
    let (mut one, _) = mirrored(world);
    one.record(&[r#"put item I1 {"code":"before"}"#]);

    let mirror = world.job(|batch| batch.disable_mirror(false));

    assert_eq!(mirror.phase, MirrorPhase::Returning);
    assert_eq!(write_at_central(world, r#"upsert item I2 {"code":"2"}"#).as_deref(), Some("central_data"));
    // Told with the reply; it may have recorded something meanwhile.
    one.push(world);
    one.record(&[r#"put item I3 {"code":"meanwhile"}"#]);
    assert_eq!(phase(world), MirrorPhase::Returning);
    one.push(world);
    assert_eq!(phase(world), MirrorPhase::AtCentral);
    assert!(!one.grants.contains_key(CENTRAL_DATA));
    assert!(world.data("item", "I1").contains("before") && world.data("item", "I3").contains("meanwhile"));
    assert_eq!(write_at_central(world, r#"upsert item I2 {"code":"2"}"#), None);
    // What is not for the site any more does not come to it again.
    one.base.clear();
    settle_all(world, &mut one);
    assert!(OTHERS.iter().take(2).all(|(table, id)| !has(&one, table, id)));
    one.record(&[r#"put item I4 {"code":"4"}"#]);
    settle_all(world, &mut one);
    assert_eq!(last_told(&one), Some((3, "central_data")));
    // The next one gets another number.
    assert_eq!(enable(world, &one).ownership.0, 2);
}

fn an_end_at_once_leaves_what_was_not_sent_to_set_aside(world: &mut World) {
    let (mut one, _) = mirrored(world);
    one.record(&[r#"put item I1 {"code":"not sent"}"#]);

    world.job(|batch| batch.disable_mirror(true));

    assert_eq!(write_at_central(world, r#"upsert item I2 {"code":"2"}"#), None);
    settle_all(world, &mut one);
    assert_eq!((last_told(&one), world.data("item", "I1").as_str()), (Some((1, "central_data")), "unknown"));
    assert!(!one.grants.contains_key(CENTRAL_DATA));
    // An old number opens nothing, also when the site is the primary once more.
    enable(world, &one);
    settle_all(world, &mut one);
    one.record(&[r#"put item I3 {"code":"under number 1"}"#]);
    settle_all(world, &mut one);
    assert_eq!(last_told(&one), Some((2, "ownership_number")));
}

fn a_mirror_that_is_ended_before_the_site_had_everything_was_never_there(world: &mut World) {
    let (mut one, _) = two(world);
    enable(world, &one);

    assert_eq!(world.job(|batch| batch.disable_mirror(false)).phase, MirrorPhase::AtCentral);

    assert_eq!(write_at_central(world, r#"upsert item I2 {"code":"2"}"#), None);
    settle_all(world, &mut one);
    assert!(!one.grants.contains_key(CENTRAL_DATA) && !has(&one, "contact", "CB"));
}

fn what_stays_with_central_central_writes_in_a_mirrored_system_too(world: &mut World) {
    let (mut one, _) = mirrored(world);

    let own = [
        r#"upsert store C {"code":"C"}"#,
        r#"upsert name_store_join nB-in-A {"name_ID":"nB","store_ID":"A"}"#,
        r#"upsert dashboard_store_report D {"store_ID":"A"}"#,
    ];
    for line in own {
        assert_eq!(write_at_central(world, line), None, "{line}");
    }
    one.record(&[r#"patch store A {"code":"mine"}"#]);
    settle_all(world, &mut one);
    assert_eq!(last_told(&one), Some((1, "central_data")));
    let refused = world.try_job(|batch| {
        let data = Some(r#"{"code":"X"}"#.to_owned());
        let edit = Edit { table: "store".to_owned(), op: domain::edit::EditOp::Put, id: central_data(), data };
        batch.import(&mut std::iter::once(edit), ImportMode::AllOrNothing)
    });
    assert_eq!(refused.unwrap().refusals[0].code, "bad_value", "the id stands for central data");
}

fn where_patients_are_visible_the_primary_says(world: &mut World) {
    let (mut one, mut two) = two_dispensaries(world);
    two.record(&[r#"put name P {"type":"patient","supplying_store_id":"B"}"#]);
    settle(world, &mut two);
    let site = one.site;
    world.job(|batch| batch.enable_mirror(site));
    settle_all(world, &mut one);
    assert!(has(&one, "name", "P"), "a primary has all patients");
    let join = r#"put name_store_join J {"name_ID":"P","store_ID":"A"}"#;

    assert_eq!(write_at_central(world, join).as_deref(), Some("central_data"));
    let refused = world.try_job(|batch| batch.set_visible(&id("P"), &id("A"), true));
    assert_eq!(code(refused), "central_data");
    one.record(&[join]);
    settle_all(world, &mut one);
    assert_eq!(one.told.len(), 0, "{:?}", one.told);
    assert!(world.store.reading().explain("name_store_join", &id("J")).unwrap().is_of_patient);

    world.job(|batch| batch.disable_mirror(true));
    assert_eq!(write_at_central(world, "delete name_store_join J"), None);
    settle_all(world, &mut one);
    assert!(!has(&one, "name", "P") && !has(&one, "name_store_join", "J"));
}

fn another_device_of_the_primary_ends_what_was_returning(world: &mut World) {
    let (one, _) = mirrored(world);
    world.job(|batch| batch.disable_mirror(false));
    assert_eq!(phase(world), MirrorPhase::Returning);

    world.job(|batch| batch.reset_hardware(one.site));

    assert_eq!(phase(world), MirrorPhase::AtCentral, "nobody is left to hear of it");
    let mut two = world.device(&["C"]);
    enable(world, &two);
    settle_all(world, &mut two);
    world.job(|batch| batch.disable_mirror(false));
    assert_eq!(phase(world), MirrorPhase::Returning);
    world.job(|batch| batch.enrol(two.site, &enrolling(8, JournalId([78; 16]))));
    assert_eq!(phase(world), MirrorPhase::AtCentral, "a wiped device has nothing more to send");
}

fn who_may_not_be_the_primary_is_told_why(world: &mut World) {
    let (one, two) = two(world);
    let mut refused = |site| code(world.try_job(|batch| batch.enable_mirror(site)));
    assert_eq!(refused(SiteId::CENTRAL), "primary_is_central");
    assert_eq!(refused(SiteId(99)), "unknown_site");
    assert_eq!(code(world.try_job(|batch| batch.disable_mirror(false))), "not_mirrored");
    enable(world, &one);
    assert_eq!(code(world.try_job(|batch| batch.enable_mirror(two.site))), "already_mirrored");
    let new = sites::new_site("tablet", SiteKind::Mobile, &[]);
    let tablet = world.job(|batch| batch.add_site(&new));
    world.job(|batch| batch.disable_mirror(false));
    assert_eq!(code(world.try_job(|batch| batch.enable_mirror(tablet))), "primary_is_mobile");
}

#[test]
fn a_central_that_was_set_back_behind_the_mirror_takes_the_primary_up_again() {
    let (mut device, backup) = backup_before(|world, device| {
        enable(world, device);
        for _ in 0..4 {
            exchange(world, device).unwrap();
            device.pull(world);
        }
        assert_eq!(phase(world), MirrorPhase::AtPrimary);
        device.record(&[r#"put item I1 {"code":"1"}"#]);
        exchange(world, device).unwrap();
        assert!(world.data("item", "I1").contains('1'));
    });
    let mut world = start(&backup, 102);
    assert_eq!(phase(&mut world), MirrorPhase::AtCentral);

    for _ in 0..4 {
        // Its cursors are of a time line that is gone.
        if exchange(&mut world, &mut device).is_err() {
            device.cursors.clear();
        }
    }

    let mirror = world.store.reading().mirror().unwrap();
    assert_eq!((mirror.phase, mirror.site, mirror.ownership.0), (MirrorPhase::AtPrimary, device.site, 1));
    assert!(world.data("item", "I1").contains('1'), "what it wrote is accepted: {:?}", device.told);
}
