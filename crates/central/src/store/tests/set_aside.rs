//! Refused edits: looked at, applied by central where it may, and let go of.

use super::*;

contract!(what_central_may_write_is_applied_once_and_shown_no_more, edits_are_let_go_of_up_to_a_place_and_no_further,);

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
