//! The end of a site (seed 003, "Deleting Sync Sites").

use super::sites::new_site;
use super::tokens::{backup_before, exchange, start};
use super::*;

contract!(
    a_site_with_stores_is_not_deleted,
    neither_central_nor_the_primary_is_deleted,
    a_site_of_a_store_on_its_way_is_not_deleted,
    no_site_is_deleted_while_central_heals,
    an_id_is_never_given_again_and_the_name_is_free,
    the_device_of_a_deleted_site_is_refused_and_nothing_of_it_is_applied,
    no_device_enrols_for_a_deleted_site_and_nobody_changes_it,
    what_had_come_is_judged_and_what_waits_is_refused_before_the_site_goes,
    more_verdicts_than_are_kept_for_a_device_do_not_hold_the_end_up,
    nothing_goes_to_a_deleted_site_any_more,
    what_was_refused_is_listed_and_dismissed_by_the_id,
    an_unknown_name_costs_the_same_after_the_last_site_was_deleted,
);

fn emptied(world: &mut World) -> Device {
    let mut device = world.device(&["S1"]);
    settle(world, &mut device);
    world.job(|batch| batch.move_store(&id("S1"), CENTRAL, false));
    for _ in 0..4 {
        device.sync(world);
    }
    device
}

fn delete(world: &mut World, site: SiteId) -> Result<DeletedSite, StoreError> {
    world.try_job(|batch| batch.delete_site(site))
}

fn a_site_with_stores_is_not_deleted(world: &mut World) {
    let device = world.device(&["S1", "S2"]);

    let refused = delete(world, device.site).unwrap_err();

    assert_eq!(refused.code(), "site_has_stores");
    assert!(refused.to_string().contains("2 stores (S1, S2)"), "{refused}");
    assert!(world.store.reading().site(device.site).unwrap().unwrap().public_key.is_some());
}

fn neither_central_nor_the_primary_is_deleted(world: &mut World) {
    let device = emptied(world);
    let site = device.site;
    assert_eq!(code(delete(world, CENTRAL)), "site_is_central");
    assert_eq!(code(delete(world, SiteId(77))), "unknown_site");

    world.job(|batch| batch.enable_mirror(site));

    assert_eq!(code(delete(world, site)), "site_is_primary");
}

fn a_site_of_a_store_on_its_way_is_not_deleted(world: &mut World) {
    let from = world.device(&["S1"]);
    let to = world.device(&[]);
    world.job(|batch| batch.move_store(&id("S1"), to.site, false));

    for site in [from.site, to.site] {
        assert_eq!(code(delete(world, site)), "site_has_moves");
    }
}

fn no_site_is_deleted_while_central_heals(world: &mut World) {
    let (mut one, other) = (emptied(world), world.device(&[]));
    one.cursors.values_mut().for_each(|cursor| cursor.epoch = Epoch(7));
    assert_eq!(code(one.try_begin(world)), "central_set_back");

    assert_eq!(code(delete(world, other.site)), "central_heals");

    world.end_healing().unwrap();
    delete(world, other.site).unwrap();
}

fn an_id_is_never_given_again_and_the_name_is_free(world: &mut World) {
    let device = emptied(world);
    let name = world.status(&device).site.name;

    let deleted = delete(world, device.site).unwrap();

    assert_eq!((&deleted.name, deleted.judged_groups, deleted.refused_waiting), (&name, 0, 0));
    let kept = world.store.reading().site(device.site).unwrap().unwrap();
    assert_eq!((kept.name.as_str(), kept.deleted_ms), (name.as_str(), Some(1000)));
    assert_eq!(kept.password_hash, "");
    assert!(world.store.reading().sites().unwrap().is_empty());
    assert_eq!(world.store.reading().site_by_name(&name).unwrap(), None);
    let again = world.job(|batch| batch.add_site(&new_site(&name, SiteKind::Standalone, &["S1"])));
    assert_eq!(again, SiteId(device.site.0 + 1));
    world.restart(101);
    let last = world.job(|batch| batch.add_site(&new_site("last", SiteKind::Standalone, &[])));
    assert_eq!(last, SiteId(device.site.0 + 2));
}

fn the_device_of_a_deleted_site_is_refused_and_nothing_of_it_is_applied(world: &mut World) {
    let mut device = emptied(world);
    device.record(&[r#"put transact T1 {"store_ID":"S1"}"#]);
    let site = device.site;

    let device_key = delete(world, site).unwrap().device;

    assert_eq!(device_key, Some(PublicKey([7; 32]).fingerprint()));
    let keys = world.store.reading().site_keys(site).unwrap();
    assert_eq!((keys.current, keys.retired), (None, vec![PublicKey([7; 32])]), "so that it can be told");
    for standing in [Standing::Current, Standing::Retired] {
        let head = device.head();
        let refused = world.try_job(|batch| batch.begin(&head.clone().into(), standing, NONCE)).unwrap_err();
        assert_eq!(refused.code(), "site_deleted");
        let now_ms = world.now_ms;
        let answer = world.store.reading().check_device(&head, standing, now_ms).unwrap();
        assert_eq!(answer.refusal.unwrap().code, "site_deleted");
    }
    assert_eq!(world.data("transact", "T1"), "unknown");
    assert_eq!(world.status(&device).set_aside.entries, 0, "what it has not sent it keeps");
}

fn no_device_enrols_for_a_deleted_site_and_nobody_changes_it(world: &mut World) {
    let device = emptied(world);
    let site = device.site;
    delete(world, site).unwrap();

    let generation = CredentialGeneration(1);
    let edit =
        SiteEdit { seen: generation, name: None, code: Some("x".to_owned()), password_hash: None, restored: None };
    let refusals = [
        code(world.try_job(|batch| batch.enrol(site, &enrolling(8, JournalId([90; 16]))))),
        code(world.try_job(|batch| batch.edit_site(site, &edit))),
        code(world.try_job(|batch| batch.reset_hardware(site))),
        code(world.try_job(|batch| batch.move_store(&id("S1"), site, true))),
        code(world.try_job(|batch| batch.set_collector(&id("S1"), site, true))),
        code(world.try_job(|batch| batch.enable_mirror(site))),
        code(world.try_job(|batch| batch.resume_site(site))),
        code(world.try_job(|batch| batch.disable_site(site))),
        code(world.try_job(|batch| batch.pause_site(site, 5))),
        code(delete(world, site)),
    ];

    assert!(refusals.iter().all(|code| code == "site_deleted"), "{refusals:?}");
    assert!(world.store.reading().stores_of(site).unwrap().is_empty());
}

fn what_had_come_is_judged_and_what_waits_is_refused_before_the_site_goes(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.record(&[r#"put transact T1 {"store_ID":"S1"}"#]);
    device.record(&[r#"put trans_line L9 {"transaction_ID":"T9"}"#]);
    device.record(&[r#"put transact T2 {"store_ID":"S1"}"#]);
    device.try_begin(world).unwrap();
    device.try_send(world, 0, 2).unwrap();
    device.try_conclude(world, &mut || true).unwrap();
    device.try_begin(world).unwrap();
    device.try_send(world, 2, 3).unwrap();
    // Nobody waits for the site: what it has sent under its number counts still, as its journal came before.
    assert_eq!(world.status(&device).unjudged_entries, 1);
    assert_eq!(world.status(&device).waiting_entries, 1);
    world.job(|batch| batch.move_store(&id("S1"), CENTRAL, true));

    let deleted = delete(world, device.site).unwrap();

    assert_eq!((deleted.judged_groups, deleted.refused_waiting), (1, 1));
    let status = world.status(&device);
    assert_eq!((status.unjudged_entries, status.waiting_entries, status.control_rows), (0, 0, 0));
    let aside = world.store.reading().set_aside(device.site, None, 10).unwrap();
    let codes: Vec<_> = aside.iter().map(|entry| (entry.sequence.0, entry.code.as_str())).collect();
    assert_eq!(codes, [(2, "site_deleted"), (3, "not_store_holder")]);
    assert_ne!(world.data("transact", "T1"), "unknown", "what was accepted stays");
}

fn more_verdicts_than_are_kept_for_a_device_do_not_hold_the_end_up(world: &mut World) {
    world.set_limits(|limits| limits.control_rows_max = 3);
    let mut device = emptied(world);
    for number in 0..12 {
        device.record(&[&format!(r#"put item I{number} {{"code":"no"}}"#)]);
    }
    device.try_begin(world).unwrap();
    for from in 0..12 {
        device.try_send(world, from, from + 1).unwrap();
    }

    let deleted = delete(world, device.site).unwrap();

    assert_eq!(deleted.judged_groups, 12);
    assert_eq!(world.status(&device).unjudged_entries, 0);
}

fn nothing_goes_to_a_deleted_site_any_more(world: &mut World) {
    let (mut one, mut two) = two_dispensaries(world);
    world.write(&[r#"upsert name_store_join J1 {"name_ID":"nB","store_ID":"A"}"#]);
    let site = one.site;
    world.job(|batch| batch.set_collector(&id("B"), site, true));
    settle(world, &mut one);
    // What its people made stays, and is written by central as ever.
    world.job(|batch| batch.move_store(&id("A"), CENTRAL, true));
    settle(world, &mut one);
    delete(world, site).unwrap();

    world.write(&[
        r#"patch store B {"code":"later"}"#,
        r#"upsert item I1 {"code":"later"}"#,
        r#"upsert name nB {"name":"later"}"#,
    ]);
    settle(world, &mut two);

    let status = world.status(&one);
    assert_eq!((status.control_rows, status.rows_waiting > 0), (0, true), "the common lane has no site");
    let sql =
        "SELECT (SELECT count(*) FROM site_sees WHERE site = ?1) + (SELECT count(*) FROM store_role WHERE site = ?1)
        + (SELECT count(*) FROM backfill WHERE site = ?1) + (SELECT count(*) FROM site_cursor WHERE site = ?1)
        + (SELECT count(*) FROM scope_drop WHERE site = ?1) + (SELECT count(*) FROM site_credentials WHERE site = ?1)";
    assert_eq!(world.store.sql.query_integer(sql, &[site.0.into()]).unwrap(), Some(0));
    let explained = world.store.reading().explain("item", &id("I1")).unwrap();
    assert!(!format!("{explained:?}").contains(&format!("site: {site:?}")), "{explained:?}");
}

fn what_was_refused_is_listed_and_dismissed_by_the_id(world: &mut World) {
    let mut device = emptied(world);
    device.record(&[r#"put item I1 {"code":"no"}"#]);
    settle(world, &mut device);
    let (site, journal) = (device.site, device.journal);

    delete(world, site).unwrap();

    assert_eq!(world.store.reading().set_aside(site, None, 10).unwrap().len(), 1);
    assert!(world.job(|batch| batch.dismiss(site, journal, protocol::ids::Sequence(1))));
    assert!(world.store.reading().set_aside(site, None, 10).unwrap().is_empty());
    world.now_ms += 1_000_000;
    world.job(|batch| batch.prune(900_000, 100));
    let kept = "SELECT received FROM journal WHERE site = ?1";
    assert_eq!(world.store.sql.query_integer(kept, &[site.0.into()]).unwrap(), Some(1), "heads stay for ever");
}

fn an_unknown_name_costs_the_same_after_the_last_site_was_deleted(world: &mut World) {
    let first = world.job(|batch| batch.add_site(&new_site("north", SiteKind::Standalone, &[])));
    let last = world.job(|batch| batch.add_site(&new_site("south", SiteKind::Standalone, &[])));
    delete(world, last).unwrap();

    for choice in 0..4 {
        let hash = world.store.reading().password_hash_near(choice).unwrap();
        assert_eq!(hash.as_deref(), Some("$argon2"));
    }
    delete(world, first).unwrap();
    assert_eq!(world.store.reading().password_hash_near(3).unwrap(), None);
}

#[test]
fn a_central_that_was_set_back_to_before_a_deletion_takes_the_device_and_deletes_the_site_once_more() {
    let (mut device, backup) = backup_before(|world, device| {
        world.job(|batch| batch.move_store(&id("S1"), CENTRAL, true));
        exchange(world, device).unwrap();
        exchange(world, device).unwrap();
        delete(world, device.site).unwrap();
        assert_eq!(exchange(world, device), Err("site_deleted".to_owned()));
    });
    let mut world = start(&backup, 102);

    // Central knows nothing of the deletion, nor that the store had gone: the device says that it was taken from it.
    for _ in 0..6 {
        exchange(&mut world, &mut device).unwrap();
    }

    assert!(world.store.reading().stores_of(device.site).unwrap().is_empty());
    assert!(world.store.reading().healing().unwrap().unwrap().ended_ms.is_some());
    delete(&mut world, device.site).unwrap();
    assert_eq!(exchange(&mut world, &mut device), Err("site_deleted".to_owned()));
}
