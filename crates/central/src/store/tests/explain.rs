//! What is said of entries that are not part of the records.

use super::*;

contract!(what_waits_and_what_was_refused_is_named_with_what_for_and_why);

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
    assert_eq!((store.kept.entries_waiting, store.kept.entries_set_aside), (1, 1));
    assert_eq!((store.kept.waiting, store.kept.refused), (line.kept.waiting, item.kept.refused));
}
