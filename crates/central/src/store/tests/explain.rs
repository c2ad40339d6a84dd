//! What is said of entries that are not part of the records.

use super::*;

contract!(
    what_waits_and_what_was_refused_is_named_with_what_for_and_why,
    of_a_store_the_refused_entries_are_named_that_are_of_it,
    of_a_store_it_is_known_by_which_store_a_site_sees_it,
);

fn what_waits_and_what_was_refused_is_named_with_what_for_and_why(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.record(&[r#"put trans_line L1 {"transaction_ID":"T9"}"#]);
    device.record(&[r#"put item I1 {"code":"no"}"#]);
    device.sync(world);

    let line = world.store.reading().explain("trans_line", &id("L1")).unwrap();
    let item = world.store.reading().explain("item", &id("I1")).unwrap();
    let store = world.store.reading().explain_store(&id("S1")).unwrap();

    let kept = |entry: &KeptEntry| (entry.site, entry.journal, entry.sequence.0);
    assert_eq!(line.kept.waiting.iter().map(kept).collect::<Vec<_>>(), [(device.site, device.journal, 1)]);
    assert_eq!(line.kept.waiting[0].waits_for, Some(("transact".to_owned(), "T9".to_owned())));
    assert_eq!((line.kept.refused.len(), item.kept.waiting.len(), item.kept.refused.len()), (0, 0, 1));
    let (code, reason) = item.kept.refused[0].refused.clone().unwrap();
    assert_eq!((code.as_str(), item.kept.refused[0].sequence.0), ("central_data", 2));
    assert!(reason.contains("written on central"), "{reason}");
    assert_eq!((store.kept.entries_waiting, store.kept.entries_set_aside), (1, 0), "the item is of no store");
    assert_eq!((store.kept.waiting, store.kept.refused), (line.kept.waiting, Vec::new()));
}

fn of_a_store_the_refused_entries_are_named_that_are_of_it(world: &mut World) {
    let mut device = world.device(&["S1", "S2"]);
    world.set_limits(|limits| limits.set_aside_entries_max = 100);
    for line in [
        r#"put transact T1 {"store_ID":"S1","status":"nw"}"#,
        r#"put transact T2 {"store_ID":"S2","status":"nw"}"#,
        // 3: of the store that it has, not of the one that it would get.
        r#"put transact T1 {"store_ID":"S2","status":"nw"}"#,
        "delete transact T2",
        // 5: of the store of its header.
        r#"put trans_line L {"transaction_ID":"T2"}"#,
        // 6 and 7: of no store, and of one that is not the site's.
        r#"put item I1 {"code":"no"}"#,
        r#"put item_line IL {"store_ID":"S3"}"#,
    ] {
        device.record(&[line]);
    }
    settle(world, &mut device);

    let mut refused = |store: &str| {
        let explained = world.store.reading().explain_store(&id(store)).unwrap();
        assert_eq!(explained.kept.entries_set_aside, explained.kept.refused.len() as u64);
        explained.kept.refused.iter().map(|entry| entry.sequence.0).collect::<Vec<_>>()
    };

    assert_eq!((refused("S1"), refused("S2")), (vec![3], vec![5]));
}

fn of_a_store_it_is_known_by_which_store_a_site_sees_it(world: &mut World) {
    let (_, two) = two_dispensaries(world);
    world.write(&[r#"put name_store_join J {"name_ID":"nA","store_ID":"B"}"#]);
    let sights = |world: &mut World| {
        let roles = world.store.reading().explain_store(&id("A")).unwrap().roles;
        let found = roles.into_iter().find(|standing| standing.site == two.site);
        found.map(|standing| (standing.role, standing.sights))
    };
    let by = |store: &str| Sight::Store {
        store: id(store),
        is_collector: false,
        reason: SightReason::Visibility,
        through: id("nA"),
    };
    assert_eq!(sights(world), Some((Role::Transfer, vec![by("B")])));

    world.job(|batch| batch.set_collector(&id("A"), two.site, true));
    assert_eq!(sights(world), Some((Role::Collector, vec![by("B")])));

    world.job(|batch| batch.enable_mirror(two.site));
    world.write(&["delete name_store_join J"]);
    assert_eq!(sights(world), Some((Role::Collector, vec![Sight::Primary])));
}
