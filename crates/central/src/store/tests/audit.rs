//! The audit log: rows in the commits of what they tell, in order and bounded.

use serde_json::json;

use super::*;

contract!(
    a_row_stands_in_the_commit_of_its_change_and_goes_with_it,
    rows_are_read_in_order_by_site_and_from_where_the_last_page_ended,
    the_oldest_changes_go_and_a_flood_of_refusals_takes_none_of_them,
    the_same_refusal_again_is_counted_and_another_is_not,
    what_is_too_long_and_what_sql_cannot_keep_is_cut_and_says_so,
    the_log_tells_what_sites_and_central_did_by_themselves,
    the_log_tells_when_a_patient_has_the_home_store_that_somebody_asked_for,
);

fn entry(verb: &str, site: u32) -> AuditEntry {
    AuditEntry { site: Some(SiteId(site)), ..AuditEntry::new("local:ann", verb) }
}

fn refusal(verb: &str) -> AuditEntry {
    AuditEntry { outcome: AuditOutcome::Refused, code: Some("no".to_owned()), ..entry(verb, 2) }
}

fn add(world: &mut World, entry: &AuditEntry) {
    world.job(|batch| batch.add_audit(entry));
}

fn all(world: &mut World) -> Vec<AuditRow> {
    world.store.reading().audit(None, Some(0), 1000).unwrap()
}

fn numbers(rows: &[AuditRow]) -> Vec<u64> {
    rows.iter().map(|row| row.number).collect()
}

fn a_row_stands_in_the_commit_of_its_change_and_goes_with_it(world: &mut World) {
    let asked = AuditEntry {
        store: Some("S".to_owned()),
        asked: json!({ "store": "S" }),
        before: json!({ "site": 1 }),
        after: json!({ "site": 2 }),
        ..entry("store-add", 2)
    };
    add(world, &asked);

    let undone = world.try_job(|batch| {
        batch.job(|batch| {
            batch.add_audit(&entry("undone", 2))?;
            Err::<(), _>(StoreError::refused("no", "no"))
        })
    });

    assert_eq!(code(undone), "no");
    assert_eq!(all(world), [AuditRow { number: 1, time_ms: 1000, times: 1, entry: asked }]);
}

fn rows_are_read_in_order_by_site_and_from_where_the_last_page_ended(world: &mut World) {
    for site in [2, 3, 2, 4] {
        add(world, &entry("site-edit", site));
    }
    add(world, &AuditEntry { other_site: Some(SiteId(2)), ..entry("store-add", 3) });
    let mut read = |site: Option<u32>, after, limit| {
        numbers(&world.store.reading().audit(site.map(SiteId), after, limit).unwrap())
    };

    assert_eq!(read(None, None, 2), [4, 5], "without a place: the newest, and the newest last");
    assert_eq!(read(None, Some(1), 2), [2, 3]);
    assert_eq!(read(Some(2), None, 10), [1, 3, 5]);
    assert_eq!(read(Some(2), Some(3), 10), [5]);
    assert!(read(None, Some(u64::MAX), 10).is_empty());
}

fn the_oldest_changes_go_and_a_flood_of_refusals_takes_none_of_them(world: &mut World) {
    for _ in 0..20 {
        add(world, &entry("site-edit", 2));
    }
    for index in 0..50 {
        add(world, &refusal(&format!("refused {index}")));
    }
    assert_eq!(numbers(&all(world)), (1..=20).chain([69, 70]).collect::<Vec<_>>());
    assert_eq!(world.store.reading().audit_floors().unwrap(), AuditFloors { changes: 0, refusals: 68 });

    add(world, &entry("site-edit", 2));
    assert_eq!(numbers(&all(world)), (2..=20).chain([69, 70, 71]).collect::<Vec<_>>());
    world.set_limits(|limits| limits.audit_rows_max = 3);
    add(world, &entry("site-edit", 2));

    assert_eq!(numbers(&all(world)), [20, 69, 70, 71, 72]);
    assert_eq!(world.store.reading().audit_floors().unwrap(), AuditFloors { changes: 19, refusals: 68 });
}

fn the_same_refusal_again_is_counted_and_another_is_not(world: &mut World) {
    let again = refusal("site-edit");
    add(world, &again);
    world.now_ms = 2000;
    add(world, &again);
    add(world, &AuditEntry { asked: json!({ "site": "x" }), ..again.clone() });
    add(world, &entry("site-edit", 2));
    add(world, &entry("site-edit", 2));

    let told: Vec<_> = all(world).iter().map(|row| (row.number, row.times, row.time_ms)).collect();
    assert_eq!(told, [(1, 2, 2000), (2, 1, 2000), (3, 1, 2000), (4, 1, 2000)]);
}

fn what_is_too_long_and_what_sql_cannot_keep_is_cut_and_says_so(world: &mut World) {
    let long = "x".repeat(AUDIT_TEXT_BYTES_MAX + 1);
    let asked = json!({ "name": long });
    let bytes = asked.to_string().len();
    add(world, &AuditEntry { store: Some("a\0b".to_owned()), record: Some(long), asked, ..entry("site-add", 2) });

    let row = all(world).remove(0).entry;
    assert_eq!((row.store.as_deref(), row.record.unwrap().len()), (Some("a b"), AUDIT_TEXT_BYTES_MAX));
    assert_eq!(row.asked, json!({ "too_long_to_keep_bytes": bytes }));
}

fn the_log_tells_what_sites_and_central_did_by_themselves(world: &mut World) {
    let (mut one, mut two) = (world.device(&["A"]), world.device(&["B"]));
    settle(world, &mut one);
    settle(world, &mut two);
    world.job(|batch| batch.move_store(&id("A"), two.site, false));
    for _ in 0..3 {
        settle(world, &mut one);
        settle(world, &mut two);
    }

    let told: Vec<_> = all(world)
        .iter()
        .map(|row| {
            let AuditEntry { actor, verb, site, other_site, after, .. } = &row.entry;
            let other = other_site.map_or(0, |site| site.0);
            (format!("{actor} {verb} {} {other}", site.unwrap().0), after["phase"].as_str().unwrap_or("").to_owned())
        })
        .collect();
    let expected = [
        ("site:2 device-enrols 2 0", ""),
        ("site:3 device-enrols 3 0", ""),
        ("system move-goes-on 3 2", "filling"),
        ("system move-goes-on 3 2", "held"),
    ];
    assert_eq!(told, expected.map(|(who, phase)| (who.to_owned(), phase.to_owned())));
}

fn the_log_tells_when_a_patient_has_the_home_store_that_somebody_asked_for(world: &mut World) {
    let (mut one, mut two) = two_dispensaries(world);
    one.record(&[r#"put name P {"type":"patient","supplying_store_id":"A","first":"Ann"}"#]);
    settle(world, &mut one);
    world.job(|batch| batch.set_home_store(HomeKind::Patient, &id("P"), &id("B"), false));
    for _ in 0..3 {
        settle(world, &mut one);
        settle(world, &mut two);
    }

    let row = all(world).pop().unwrap().entry;

    assert_eq!((row.actor.as_str(), row.verb.as_str()), ("system", "home-transfer-ends"));
    assert_eq!((row.record.as_deref(), row.store.as_deref()), (Some("P"), Some("B")));
    assert_eq!((row.before, row.after), (json!({ "home_store": "A" }), json!({ "home_store": "B" })));
}
