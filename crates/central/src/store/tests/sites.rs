//! Sites, stores, grants, and central's own edits.

use protocol::control::Control;

use super::*;

contract!(
    an_unknown_name_costs_what_that_of_some_site_costs,
    a_site_is_found_by_its_name_and_ids_rise,
    a_taken_or_wrong_name_is_refused,
    a_store_is_granted_once_and_its_record_says_where_it_is,
    a_device_that_lost_its_local_copy_is_told_its_grants_again,
    a_device_that_lost_its_local_copy_between_two_grants_is_told_both,
    a_store_that_is_unknown_is_not_given,
    a_mobile_site_has_one_store,
    what_a_device_says_that_it_is_counts_for_its_site,
    a_tablet_does_not_take_the_place_of_more,
    a_site_with_a_store_that_cannot_be_given_is_not_added,
    a_refused_job_leaves_in_memory_what_is_stored,
    a_site_without_a_device_is_not_enrolled,
    an_import_is_all_or_nothing_unless_it_goes_on,
    an_import_that_only_checks_keeps_nothing_and_sees_its_own_headers,
    an_import_never_changes_where_a_store_is,
    central_writes_the_data_of_stores_it_holds_and_of_no_others,
    records_and_stores_are_listed_by_id,
);

pub(super) fn new_site(name: &str, kind: SiteKind, stores: &[&str]) -> NewSite {
    NewSite {
        name: name.to_owned(),
        code: "C".to_owned(),
        kind,
        password_hash: "$argon2".to_owned(),
        salt: HardwareSalt([1; 16]),
        stores: stores.iter().map(|store| id(store)).collect(),
    }
}

fn add(world: &mut World, name: &str, kind: SiteKind, stores: &[&str]) -> Result<SiteId, StoreError> {
    world.try_job(|batch| batch.add_site(&new_site(name, kind, stores)))
}

fn stores(world: &mut World, stores: &[&str]) {
    for store in stores {
        world.write(&[&format!(r#"upsert store {store} {{"code":"{store}","sync_id_remote_site":77}}"#)]);
    }
}

fn a_site_is_found_by_its_name_and_ids_rise(world: &mut World) {
    assert_eq!(add(world, "north", SiteKind::Standalone, &[]).unwrap(), SiteId(2));
    assert_eq!(add(world, "south", SiteKind::Mobile, &[]).unwrap(), SiteId(3));

    let site = world.store.reading().site_by_name("south").unwrap().unwrap();

    assert_eq!((site.id, site.kind, site.password_hash.as_str()), (SiteId(3), SiteKind::Mobile, "$argon2"));
    assert_eq!((site.public_key, site.journal), (None, None));
    assert_eq!(world.store.reading().site_by_name("west").unwrap(), None);
    assert_eq!(world.store.reading().sites().unwrap().len(), 2);
}

fn a_taken_or_wrong_name_is_refused(world: &mut World) {
    add(world, "north", SiteKind::Standalone, &[]).unwrap();

    // Digits could be the id of another site, and a blank is not seen.
    let wrong = [("", "site_name"), ("a\0b", "site_name"), ("3", "site_name"), (" north", "site_name")];
    for (name, expected) in [("north", "site_name_taken")].into_iter().chain(wrong) {
        assert_eq!(code(add(world, name, SiteKind::Standalone, &[])), expected);
    }
    assert_eq!(code(add(world, &"x".repeat(SITE_NAME_BYTES_MAX + 1), SiteKind::Standalone, &[])), "site_name");
    assert_eq!(code(add(world, "central", SiteKind::Standalone, &[])), "site_name_taken");
}

fn a_store_is_granted_once_and_its_record_says_where_it_is(world: &mut World) {
    let mut device = world.device(&["S1"]);
    assert!(world.data("store", "S1").contains(r#""sync_id_remote_site":2"#));
    stores(world, &["S2"]);
    assert!(world.data("store", "S2").contains(r#""sync_id_remote_site":1"#));
    let site = device.site;
    device.sync(world);

    world.job(|batch| batch.move_store(&id("S2"), site, false));
    world.job(|batch| batch.move_store(&id("S2"), site, false));

    device.sync(world);
    let grants: Vec<_> = device
        .controls
        .iter()
        .filter_map(|control| match control {
            Control::Grant(grant) => Some((grant.store.as_str(), grant.ownership.0, grant.is_held)),
            _ => None,
        })
        .collect();
    assert_eq!(grants, [("S1", 1, true), ("S2", 1, true)]);
    assert!(device.data("store", "S2").contains(r#""sync_id_remote_site":2"#));
    // With a lane of its own for what it has come to see since it enrolled.
    assert_eq!(device.scopes.len(), 7);
    let held = world.store.reading().stores_of(site).unwrap();
    assert_eq!(held.iter().map(|held| held.0.as_str()).collect::<Vec<_>>(), ["S1", "S2"]);
}

fn a_device_that_lost_its_local_copy_is_told_its_grants_again(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.sync(world);
    device.sync(world);
    device.control = 0;
    device.controls.clear();
    device.cursors.clear();

    device.sync(world);
    device.sync(world);

    let grants = device.controls.iter().filter(|control| matches!(control, Control::Grant(_))).count();
    assert_eq!(grants, 1, "told again, and once");
}

/// The simulator's find: with one of two grants on its way the other was not told again.
fn a_device_that_lost_its_local_copy_between_two_grants_is_told_both(world: &mut World) {
    let mut device = world.device(&["S1", "S2"]);
    // The site was told of both when it was made, and again when the device enrolled.
    device.control = 3;
    device.try_begin(world).unwrap();
    device.control = 0;

    device.push(world);

    let stores: std::collections::BTreeSet<_> = device
        .controls
        .iter()
        .filter_map(|control| if let Control::Grant(grant) = control { Some(grant.store.as_str()) } else { None })
        .collect();
    assert_eq!(stores.into_iter().collect::<Vec<_>>(), ["S1", "S2"]);
}

fn a_store_that_is_unknown_is_not_given(world: &mut World) {
    world.device(&["S1"]);
    let other = world.device(&["S2"]).site;

    assert_eq!(code(world.try_job(|batch| batch.move_store(&id("S9"), other, false))), "unknown_store");
    assert_eq!(code(world.try_job(|batch| batch.move_store(&id("S1"), SiteId(9), false))), "unknown_site");
}

fn a_mobile_site_has_one_store(world: &mut World) {
    stores(world, &["S1", "S2"]);
    let site = add(world, "tablet", SiteKind::Mobile, &["S1"]).unwrap();

    assert_eq!(code(world.try_job(|batch| batch.move_store(&id("S2"), site, false))), "mobile_site_has_store");
    // One that is on its way there counts, and takes no second place once it is there.
    let (one, two) = (world.device(&["S3"]), world.device(&["S4"]));
    let empty = add(world, "other", SiteKind::Mobile, &[]).unwrap();
    let draining = |device: &Device| Moved::UnderWay { phase: MovePhase::Draining, site: device.site };
    assert_eq!(world.job(|batch| batch.move_store(&id("S3"), empty, false)), draining(&one));
    assert_eq!(code(world.try_job(|batch| batch.move_store(&id("S4"), empty, false))), "mobile_site_has_store");
    world.job(|batch| batch.move_store(&id("S3"), one.site, false));
    assert_eq!(world.job(|batch| batch.move_store(&id("S4"), empty, false)), draining(&two));
    let filling = Moved::UnderWay { phase: MovePhase::Filling, site: empty };
    assert_eq!(world.job(|batch| batch.move_store(&id("S4"), empty, true)), filling);
    assert_eq!(code(world.try_job(|batch| batch.move_store(&id("S3"), empty, false))), "mobile_site_has_store");
}

/// Seed 003, "Type": when a remote site synchronises it updates the value.
fn what_a_device_says_that_it_is_counts_for_its_site(world: &mut World) {
    stores(world, &["S1", "S2"]);
    let site = add(world, "north", SiteKind::Standalone, &["S1"]).unwrap();
    let tablet = EnrollingDevice { kind: SiteKind::Mobile, ..enrolling(7, JournalId([2; 16])) };

    world.job(|batch| batch.enrol(site, &tablet));

    let row = world.store.reading().site(site).unwrap().unwrap();
    assert_eq!((row.kind, row.reported_kind), (SiteKind::Standalone, Some(SiteKind::Mobile)));
    assert_eq!(row.effective_kind(), SiteKind::Mobile);
    assert_eq!(code(world.try_job(|batch| batch.move_store(&id("S2"), site, false))), "mobile_site_has_store");
    assert_eq!(code(world.try_job(|batch| batch.enable_mirror(site))), "primary_is_mobile");
    // It says something else when it enrols once more, and a site without a device is what it was meant to be.
    world.job(|batch| batch.enrol(site, &EnrollingDevice { kind: SiteKind::Standalone, ..tablet.clone() }));
    world.job(|batch| batch.move_store(&id("S2"), site, false));
    world.job(|batch| batch.reset_hardware(site));
    assert_eq!(world.store.reading().site(site).unwrap().unwrap().reported_kind, None);
}

fn a_tablet_does_not_take_the_place_of_more(world: &mut World) {
    stores(world, &["S1", "S2", "S3"]);
    let site = add(world, "north", SiteKind::Standalone, &["S1", "S2"]).unwrap();
    let tablet = EnrollingDevice { kind: SiteKind::Mobile, ..enrolling(7, JournalId([2; 16])) };
    assert_eq!(code(world.try_job(|batch| batch.enrol(site, &tablet))), "site_type_differs");
    assert_eq!(world.store.reading().site(site).unwrap().unwrap().public_key, None);
    // One that is on its way there counts.
    let one = add(world, "south", SiteKind::Standalone, &["S3"]).unwrap();
    world.device(&["S4"]);
    world.job(|batch| batch.move_store(&id("S4"), one, false));
    assert_eq!(code(world.try_job(|batch| batch.enrol(one, &tablet))), "site_type_differs");
    let primary = add(world, "west", SiteKind::Standalone, &[]).unwrap();
    world.job(|batch| batch.enable_mirror(primary));
    assert_eq!(code(world.try_job(|batch| batch.enrol(primary, &tablet))), "primary_is_mobile");

    world.job(|batch| batch.move_store(&id("S2"), CENTRAL, true));

    world.job(|batch| batch.enrol(site, &tablet));
}

fn a_site_with_a_store_that_cannot_be_given_is_not_added(world: &mut World) {
    stores(world, &["S1"]);

    assert_eq!(code(add(world, "north", SiteKind::Standalone, &["S1", "S9"])), "unknown_store");

    assert_eq!(world.store.reading().sites().unwrap(), []);
    assert!(world.data("store", "S1").contains(r#""sync_id_remote_site":1"#));
    assert_eq!(add(world, "north", SiteKind::Standalone, &["S1"]).unwrap(), SiteId(2));
}

/// After a refusal not everything is read again: what a refused job has changed is, also behind one that was kept.
fn a_refused_job_leaves_in_memory_what_is_stored(world: &mut World) {
    stores(world, &["S1", "S2", "S3"]);
    let north = new_site("north", SiteKind::Standalone, &["S1"]);
    let south = new_site("south", SiteKind::Standalone, &["S2", "S9"]);
    let again = new_site("north", SiteKind::Standalone, &["S3"]);

    for jobs in [vec![&south], vec![&north, &south, &again], vec![&again]] {
        world.job(|batch| {
            for new in jobs {
                // Refused or not.
                let _ = batch.add_site(new);
            }
            Ok(())
        });

        let loaded = State::load(&mut *world.store.sql).unwrap();
        let shown = |state: &State| {
            let maps = format!("{:?} {:?} {:?}", state.holdings, state.dispensaries, state.scopes);
            (maps, state.position, state.position_stored, state.waiting)
        };
        assert_eq!(shown(&world.store.state), shown(&loaded));
    }
    let sites = world.store.reading().sites().unwrap();
    assert_eq!(sites.iter().map(|site| site.name.as_str()).collect::<Vec<_>>(), ["north"]);
}

fn a_site_without_a_device_is_not_enrolled(world: &mut World) {
    let site = add(world, "north", SiteKind::Standalone, &[]).unwrap();
    let device = Device::new(site, JournalId([1; 16]));

    assert_eq!(world.store.reading().site_keys(site).unwrap().current, None);
    assert_eq!(code(device.try_begin(world)), "not_enrolled");
    assert_eq!(code(Device::new(SiteId(9), device.journal).try_begin(world)), "unknown_site");
    world.job(|batch| batch.enrol(site, &enrolling(3, device.journal)));
    assert!(world.store.reading().site_keys(site).unwrap().current.is_some());
    assert!(device.try_begin(world).is_ok());
}

fn an_import_is_all_or_nothing_unless_it_goes_on(world: &mut World) {
    let lines = [
        r#"upsert item I1 {"code":"a"}"#,
        r#"upsert nonsense I2 {"code":"a"}"#,
        r#"patch item I3 {"code":"a"}"#,
        r#"upsert item I1 {"code":"a"}"#,
        r#"put item I5 {"ID":"other"}"#,
    ];
    let before = world.store.position();

    let refused = world.import(ImportMode::AllOrNothing, &lines);

    let codes: Vec<_> = refused.refusals.iter().map(|refusal| (refusal.index, refusal.code.as_str())).collect();
    assert_eq!(codes, [(1, "unknown_table"), (2, "record_missing"), (4, "id_differs")]);
    assert!(!refused.is_kept);
    assert_eq!((world.data("item", "I1").as_str(), world.store.position()), ("unknown", before));
    let kept = world.import(ImportMode::Continue, &lines);
    assert_eq!((kept.written, kept.unchanged, kept.refused, kept.is_kept), (1, 1, 3, true));
    assert_eq!(world.data("item", "I1"), r#"{"ID":"I1","code":"a"}"#);
}

fn an_import_that_only_checks_keeps_nothing_and_sees_its_own_headers(world: &mut World) {
    stores(world, &["S1"]);
    let lines = [r#"put transact T1 {"store_ID":"S1"}"#, r#"put trans_line L1 {"transaction_ID":"T1"}"#];

    let checked = world.import(ImportMode::CheckOnly, &lines);

    assert_eq!((checked.written, checked.refused, checked.is_kept), (2, 0, false));
    assert_eq!(world.data("transact", "T1"), "unknown");
    let alone = world.import(ImportMode::AllOrNothing, &lines[1..]);
    assert_eq!(alone.refusals[0].code, "header_missing");
}

fn an_import_never_changes_where_a_store_is(world: &mut World) {
    world.device(&["S1"]);

    world.write(&[r#"upsert store S1 {"code":"new","sync_id_remote_site":77}"#]);

    assert_eq!(world.data("store", "S1"), r#"{"ID":"S1","code":"new","sync_id_remote_site":2}"#);
    let refused = world.import(ImportMode::AllOrNothing, &["delete store S1"]);
    assert_eq!(refused.refusals[0].code, "store_is_held");
}

fn central_writes_the_data_of_stores_it_holds_and_of_no_others(world: &mut World) {
    let mut device = world.device(&["S1"]);
    stores(world, &["S2"]);
    world.write(&[r#"put transact T2 {"store_ID":"S2"}"#]);

    let refused = world.import(ImportMode::AllOrNothing, &[r#"put transact T1 {"store_ID":"S1"}"#]);

    assert_eq!(refused.refusals[0].code, "not_store_holder");
    let nowhere = world.import(ImportMode::AllOrNothing, &[r#"put transact T1 {"store_ID":"S9"}"#]);
    assert_eq!(nowhere.refusals[0].code, "not_store_holder");
    // The store's data comes with the store.
    let site = device.site;
    world.job(|batch| batch.move_store(&id("S2"), site, false));
    device.sync(world);
    assert_eq!(device.data("transact", "T2"), world.data("transact", "T2"));
    device.record(&[r#"patch transact T2 {"status":"fn"}"#]);
    device.sync(world);
    assert_eq!(device.told, []);
}

fn records_and_stores_are_listed_by_id(world: &mut World) {
    world.device(&["S2"]);
    stores(world, &["S1", "S3"]);

    let mut reading = world.store.reading();

    let first = reading.stores(None, 2).unwrap();
    assert_eq!(first.iter().map(|row| (row.id.as_str(), row.site.0)).collect::<Vec<_>>(), [("S1", 1), ("S2", 2)]);
    let rest = reading.records("store", Merged::Listed, Some(&id("S1")), 9).unwrap();
    assert_eq!(rest.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["S2", "S3"]);
    assert_eq!(reading.record_counts().unwrap(), [("store".to_owned(), 3)]);
    let status = reading.status().unwrap();
    assert_eq!((status.sites, status.records), (1, 3));
}

fn an_unknown_name_costs_what_that_of_some_site_costs(world: &mut World) {
    assert_eq!(world.store.reading().password_hash_near(7).unwrap(), None, "there is no site");
    for (name, hash) in [("north", "quick"), ("south", "costly"), ("west", "quick")] {
        let new = NewSite { password_hash: hash.to_owned(), ..new_site(name, SiteKind::Standalone, &[]) };
        world.job(|batch| batch.add_site(&new));
    }

    let costs: Vec<_> =
        (0..6).map(|choice| world.store.reading().password_hash_near(choice).unwrap().unwrap()).collect();

    assert_eq!(costs, ["quick", "costly", "quick", "quick", "costly", "quick"]);
    assert_eq!(world.store.reading().password_hash_near(u64::MAX).unwrap().unwrap(), "quick");
}
