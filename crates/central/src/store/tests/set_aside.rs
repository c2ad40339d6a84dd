//! Refused edits: looked at, applied by central where it may, and let go of.

use domain::judge::is_late;

use super::*;

contract!(
    what_central_may_write_is_applied_once_and_shown_no_more,
    edits_are_let_go_of_up_to_a_place_and_no_further,
    what_lies_there_is_known_without_counting_whatever_comes_and_goes,
    above_the_limit_in_bytes_only_old_ones_go_and_the_audit_log_says_so,
    a_retired_device_brings_no_more_than_the_bytes_that_a_site_may_have,
    waiting_edits_are_listed_with_the_header_that_they_wait_for,
    those_that_came_too_late_are_told_from_those_that_a_rule_refused,
);

/// A site whose edits of central data were refused, and one of its store that was in order.
fn with_refused(world: &mut World, lines: &[&str]) -> Device {
    let mut device = world.device(&["A"]);
    settle(world, &mut device);
    for line in lines {
        device.record(&[line]);
    }
    settle(world, &mut device);
    device
}

fn places(world: &mut World, device: &Device) -> Vec<SetAsidePlace> {
    let found = world.store.reading().set_aside(device.site, None, 100).unwrap();
    found.into_iter().map(|item| (item.journal, item.sequence)).collect()
}

fn what_central_may_write_is_applied_once_and_shown_no_more(world: &mut World) {
    world.write(&[r#"upsert item I {"code":"old","item_name":"n"}"#]);
    let device = with_refused(world, &[r#"put item I {"code":"new"}"#, r#"patch item J {"code":"x"}"#]);
    let [first, second] = places(world, &device)[..] else { panic!("two are refused") };
    let last = world.store.reading().set_aside_last(device.site).unwrap();
    assert_eq!(last, Some(second));

    world.job(|batch| batch.apply_set_aside(device.site, first));

    assert!(world.data("item", "I").contains("new"));
    assert_eq!(places(world, &device), [second]);
    assert_eq!(code(world.try_job(|batch| batch.apply_set_aside(device.site, first))), "set_aside_missing");
    // Nothing is there that could be patched: the judge says so, and the edit stays.
    assert_eq!(code(world.try_job(|batch| batch.apply_set_aside(device.site, second))), "record_missing");
    assert_eq!(places(world, &device), [second]);
    world.write(&[r#"upsert item J {"code":"j"}"#]);
    world.job(|batch| batch.apply_set_aside(device.site, second));
    assert!(world.data("item", "J").contains(r#""code":"x""#));
    assert_eq!(world.store.reading().set_aside_last(device.site).unwrap(), None);
}

fn edits_are_let_go_of_up_to_a_place_and_no_further(world: &mut World) {
    let lines: Vec<String> = (0..5).map(|number| format!(r#"put item I{number} {{"code":"{number}"}}"#)).collect();
    let device = with_refused(world, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let all = places(world, &device);
    assert_eq!(all.len(), 5);

    let step = world.job(|batch| batch.dismiss_through(device.site, all[2], 2));
    let rest = world.job(|batch| batch.dismiss_through(device.site, all[2], 2));

    assert_eq!((step, rest), (2, 1));
    assert_eq!(places(world, &device), all[3..]);
    assert_eq!(world.job(|batch| batch.dismiss_through(device.site, all[2], 2)), 0, "it is repeated");
    let unknown = (JournalId([0; 16]), all[4].1);
    assert_eq!(world.job(|batch| batch.dismiss_through(device.site, unknown, 9)), 0);
    assert_eq!(
        world.store.reading().set_aside_at(device.site, all[3]).unwrap().map(|item| item.sequence),
        Some(all[3].1)
    );
    assert_eq!(world.store.reading().set_aside_at(device.site, all[0]).unwrap(), None);
}

/// What the running totals say, after they were held against the log itself.
fn size(world: &mut World, site: SiteId) -> SetAsideSize {
    let told = world.store.reading().set_aside_size(site).unwrap();
    let listed = world.store.reading().set_aside(site, None, 1000).unwrap();
    let bytes: usize = listed.iter().map(|item| item.bytes.len()).sum();
    let late = listed.iter().filter(|item| is_late(&item.code)).count();
    assert_eq!((told.entries, told.late, told.bytes), (listed.len() as u64, late as u64, bytes as u64));
    told
}

fn what_lies_there_is_known_without_counting_whatever_comes_and_goes(world: &mut World) {
    let other = world.device(&["B"]);
    let mut device =
        with_refused(world, &[r#"put item I {"code":"1"}"#, r#"put Location L {"store_ID":"B","code":"1"}"#]);
    assert_eq!((size(world, device.site).entries, size(world, device.site).late), (2, 1));

    let all = places(world, &device);
    world.job(|batch| batch.dismiss(device.site, all[0].0, all[0].1));
    assert_eq!(size(world, device.site).entries, 1);
    assert!(!world.job(|batch| batch.dismiss(device.site, all[0].0, all[0].1)), "it is repeated");
    assert_eq!(size(world, device.site).entries, 1);
    // A job that is undone changes nothing, and a central that is started again knows as much.
    let undone: Result<(), _> = world.try_job(|batch| {
        batch.job(|batch| {
            batch.dismiss(device.site, all[1].0, all[1].1)?;
            Err(StoreError::refused("test", "undone"))
        })
    });
    assert_eq!(code(undone), "test");
    world.restart(101);
    let before = size(world, device.site);
    assert_eq!(before.entries, 1);

    settle(world, &mut device);
    world.job(|batch| batch.move_store(&id("B"), CENTRAL, true));
    world.job(|batch| batch.apply_set_aside(device.site, all[1]));
    assert_eq!(size(world, device.site), SetAsideSize::default());
    assert_eq!(size(world, other.site), SetAsideSize::default());
    assert_eq!(world.store.reading().status().unwrap().set_aside, SetAsideSize::default());
}

fn above_the_limit_in_bytes_only_old_ones_go_and_the_audit_log_says_so(world: &mut World) {
    let lines: Vec<String> = (0..5).map(|number| format!(r#"put item I{number} {{"code":"{number}"}}"#)).collect();
    world.set_limits(|limits| limits.set_aside_entries_max = 100);
    let mut device = with_refused(world, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    settle(world, &mut device);
    let one = size(world, device.site).bytes / 5;
    let received_ms = world.now_ms;
    world.set_limits(|limits| limits.set_aside_bytes_max = one * 3);
    assert!(size(world, device.site).is_nearly_full(one * 3) && !size(world, device.site).is_nearly_full(one * 7));

    world.job(|batch| batch.prune(received_ms, 100));
    assert_eq!(size(world, device.site).entries, 5, "none is older than the log keeps");
    world.now_ms += 1000;
    world.job(|batch| batch.prune(received_ms + 1, 100));

    let all = size(world, device.site);
    assert_eq!((all.entries, all.bytes, all.dropped_entries, all.dropped_bytes), (3, one * 3, 2, one * 2));
    assert_eq!(all.dropped_ms, Some(world.now_ms));
    let kept: Vec<u64> = places(world, &device).iter().map(|place| place.1.0).collect();
    assert_eq!(kept, [3, 4, 5], "the oldest went");
    let row = world.store.reading().audit(None, None, 1).unwrap().pop().unwrap();
    assert_eq!((row.entry.verb.as_str(), row.entry.site), ("set-aside-drop", Some(device.site)));
    assert_eq!(row.entry.after["dropped"], 2);
    assert_eq!(world.job(|batch| batch.prune(received_ms + 1, 100)), 0, "no more than is above the limit");
    assert_eq!(world.status(&device).set_aside, all);
}

fn a_retired_device_brings_no_more_than_the_bytes_that_a_site_may_have(world: &mut World) {
    let mut old = world.device(&["A"]);
    settle(world, &mut old);
    for number in 1..=5 {
        old.record(&[&format!(r#"put transact T{number} {{"store_ID":"A","comment":"{number}"}}"#)]);
    }
    let (site, journal) = (old.site, JournalId([77; 16]));
    world.job(|batch| batch.enrol(site, &enrolling(9, journal)));
    let bytes = old.entries[0].0.len() as u64;
    world.set_limits(|limits| (limits.set_aside_entries_max, limits.set_aside_bytes_max) = (100, bytes + 1));

    old.try_send(world, 0, 4).unwrap();
    assert_eq!(size(world, site).entries, 2, "the one that passes the limit is still taken");
    assert_eq!(code(old.try_send(world, 2, 5)), "set_aside_full");

    let first = places(world, &old)[0];
    world.job(|batch| batch.dismiss(site, first.0, first.1));
    old.try_send(world, 2, 5).unwrap();
    assert_eq!(size(world, site).entries, 2, "what was dismissed made room");
}

fn waiting_edits_are_listed_with_the_header_that_they_wait_for(world: &mut World) {
    let mut device = world.device(&["A"]);
    settle(world, &mut device);
    let received_ms = world.now_ms;
    device.record(&[r#"put trans_line L {"transaction_ID":"T"}"#]);
    device.record(&[r#"patch trans_line L {"note":"x"}"#]);
    settle(world, &mut device);

    let waiting = world.store.reading().waiting_edits(device.site, None, 9).unwrap();

    assert_eq!(waiting.len(), 2);
    assert_eq!(waiting[0].record, Some(("trans_line".to_owned(), "L".to_owned())));
    assert_eq!(waiting[0].waits_for, ("transact".to_owned(), "T".to_owned()));
    assert_eq!(waiting[0].received_ms, received_ms);
    let rest = world.store.reading().waiting_edits(device.site, Some(waiting[0].place), 9).unwrap();
    assert_eq!(rest, waiting[1..]);
    assert_eq!(world.status(&device).waiting_entries, 2);
    assert_eq!(size(world, device.site), SetAsideSize::default());

    device.record(&[r#"put transact T {"store_ID":"A"}"#]);
    settle(world, &mut device);
    assert_eq!(world.store.reading().waiting_edits(device.site, None, 9).unwrap(), []);
}

fn those_that_came_too_late_are_told_from_those_that_a_rule_refused(world: &mut World) {
    world.device(&["B"]);
    let lines =
        [r#"put item I {"code":"1"}"#, r#"put Location L {"store_ID":"B","code":"1"}"#, r#"put item J {"code":"2"}"#];
    let device = with_refused(world, &lines);
    let codes = |world: &mut World, is_late| -> Vec<String> {
        let found = world.store.reading().set_aside_of(device.site, is_late, None, 9).unwrap();
        found.into_iter().map(|item| item.code).collect()
    };

    assert_eq!(codes(world, Some(true)), ["not_store_holder"]);
    assert_eq!(codes(world, Some(false)).len(), 2);
    assert_eq!(codes(world, None).len(), 3);
}
