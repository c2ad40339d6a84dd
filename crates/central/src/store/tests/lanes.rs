//! Rules 5.12, 5.15 and 5.16: what a site is sent, in which order, and what it is spared.

use domain::scope::Scope;
use protocol::exchange::ReadRows;
use protocol::ids::{Position, ScopeId};
use protocol::message::{Cursor, ScopeCursor};

use super::*;

contract!(
    central_data_reaches_every_site_and_store_data_its_own,
    the_first_read_is_the_snapshot_and_a_quiet_read_changes_nothing,
    a_lane_that_nothing_was_written_into_is_drained,
    pages_are_bounded_by_rows_and_bytes,
    rule_5_15_an_edit_is_not_sent_back_to_its_author,
    rule_5_15_an_edit_on_top_of_what_its_author_had_not_read_is_sent,
    rule_5_15_an_edit_made_while_the_lane_was_first_read_is_sent,
    rule_5_15_a_device_that_begins_again_gets_everything,
    rule_5_15_an_own_row_from_before_the_device_began_again_proves_nothing,
    rule_5_15_what_came_before_the_device_began_again_is_sent_whenever_it_is_judged,
    rule_5_15_an_edit_of_a_closed_journal_is_sent_to_its_successor,
    rule_5_15_own_rows_move_an_old_cursor,
    rule_5_16_a_header_comes_before_its_line_also_on_a_later_page,
    rule_5_16_a_header_that_moved_up_during_the_read_comes_before_its_line,
    a_deleted_record_comes_as_a_tombstone,
    a_record_that_comes_back_is_sent_again,
    rule_5_12_a_cursor_of_another_time_line_is_refused,
    rows_waiting_counts_what_will_be_sent,
);

fn scope(store: &str) -> ScopeId {
    Scope::Store(id(store)).to_id()
}

fn all_sites() -> ScopeId {
    Scope::AllSites.to_id()
}

fn ids(rows: &protocol::exchange::Rows) -> Vec<&str> {
    rows.rows.iter().map(|row| row.record.as_str()).collect()
}

fn central_data_reaches_every_site_and_store_data_its_own(world: &mut World) {
    let (mut one, mut two) = (world.device(&["S1", "S2"]), world.device(&["S3"]));
    world.write(&[r#"upsert item I1 {"code":"a"}"#, r#"upsert unit U1 {"units":"tab"}"#]);
    one.record(&[r#"put transact T1 {"store_ID":"S1"}"#]);
    one.record(&[r#"put transact T2 {"store_ID":"S2"}"#]);

    one.sync(world);
    two.sync(world);

    for device in [&one, &two] {
        assert_eq!(device.data("item", "I1"), r#"{"ID":"I1","code":"a"}"#);
        assert_eq!(device.data("unit", "U1"), world.data("unit", "U1"));
    }
    assert_eq!(two.data("store", "S3"), world.data("store", "S3"));
    assert_eq!(one.data("store", "S3"), "not here", "no store there sees it");
    assert_eq!(one.data("transact", "T2"), world.data("transact", "T2"));
    assert_eq!(two.data("transact", "T1"), "not here");
    assert_eq!(one.scopes.len(), 6);
}

fn the_first_read_is_the_snapshot_and_a_quiet_read_changes_nothing(world: &mut World) {
    let mut device = world.device(&["S1"]);
    for code in ["a", "b", "c"] {
        world.write(&[&format!(r#"upsert item I1 {{"code":"{code}"}}"#)]);
    }
    device.push(world);

    let first = device.read(world, &all_sites(), 100, 100_000);
    let second = device.read(world, &all_sites(), 100, 100_000);

    assert_eq!(ids(&first), ["I1"]);
    assert!(first.is_drained);
    let head = world.store.position();
    assert_eq!(first.cursor, Cursor { epoch: Epoch(100), number: head, began: head });
    assert_eq!((second.cursor, second.rows.len(), second.is_drained), (first.cursor, 0, true));
}

fn a_lane_that_nothing_was_written_into_is_drained(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.push(world);

    let first = device.read(world, &scope("S1"), 100, 100_000);
    let second = device.read(world, &scope("S1"), 100, 100_000);

    assert!(first.is_drained && first.rows.is_empty());
    assert_ne!(first.cursor, Cursor::default());
    assert_eq!(second.cursor, first.cursor);
}

fn pages_are_bounded_by_rows_and_bytes(world: &mut World) {
    let mut device = world.device(&["S1"]);
    for number in 0..10 {
        let text = "x".repeat(1000);
        world.write(&[&format!(r#"upsert item I{number} {{"code":"{text}"}}"#)]);
    }
    device.push(world);

    let by_rows = device.read(world, &all_sites(), 3, 100_000);
    let by_bytes = device.read(world, &all_sites(), 100, 2_500);
    let one_at_least = device.read(world, &all_sites(), 100, 1);

    assert_eq!(ids(&by_rows), ["I0", "I1", "I2"]);
    assert_eq!(ids(&by_bytes), ["I3", "I4"]);
    assert_eq!(ids(&one_at_least), ["I5"]);
    assert!(!one_at_least.is_drained);
    device.pull(world);
    assert_eq!(device.base.len(), 11);
}

fn rule_5_15_an_edit_is_not_sent_back_to_its_author(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.sync(world);
    device.record(&[r#"put transact T1 {"store_ID":"S1"}"#]);
    device.record(&[r#"patch transact T1 {"status":"fn"}"#]);
    device.sync(world);
    device.record(&[r#"put trans_line L1 {"transaction_ID":"T1"}"#]);
    device.record(&["delete trans_line L1"]);

    assert_eq!(device.sync(world), 0);

    assert_eq!(device.data("transact", "T1"), world.data("transact", "T1"));
    assert_eq!(device.data("trans_line", "L1"), "not here");
}

fn rule_5_15_an_edit_on_top_of_what_its_author_had_not_read_is_sent(world: &mut World) {
    // Store data has one writer, so the row that the author has not read is one that an earlier device of the site wrote.
    let mut device = world.device(&["S1"]);
    device.sync(world);
    device.record(&[r#"put transact T1 {"store_ID":"S1","status":"nw"}"#]);
    device.push(world);
    let mut next = Device::new(device.site, JournalId([50; 16]));
    let site = device.site;
    world.job(|batch| batch.enrol(site, &enrolling(9, JournalId([50; 16]))));
    next.push(world);
    let before = device.cursors.clone();
    next.cursors = before;
    next.record(&[r#"patch transact T1 {"comment":"mine"}"#]);

    assert_eq!(next.sync(world), 1);

    assert_eq!(next.data("transact", "T1"), world.data("transact", "T1"));
}

fn rule_5_15_an_edit_made_while_the_lane_was_first_read_is_sent(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.record(&[r#"put transact T1 {"store_ID":"S1","status":"nw"}"#]);
    device.record(&[r#"put transact T2 {"store_ID":"S1","status":"nw"}"#]);
    // No cursor was ever reported: nothing is known of what the device has.
    assert_eq!(device.sync(world), 3);
    device.wipe_copy();
    device.push(world);
    // Half of the lane is read; the cursor is reported; a record that was read and one that was not are edited.
    device.read(world, &scope("S1"), 1, 100_000);
    device.record(&[r#"patch transact T2 {"status":"fn"}"#]);
    device.record(&[r#"patch transact T1 {"status":"fn"}"#]);
    device.push(world);

    let rest = device.read(world, &scope("S1"), 100, 100_000);

    assert_eq!(ids(&rest), ["T2"]);
    for record in ["T1", "T2"] {
        assert_eq!(device.data("transact", record), world.data("transact", record));
    }
}

fn rule_5_15_a_device_that_begins_again_gets_everything(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.sync(world);
    device.record(&[r#"put transact T1 {"store_ID":"S1"}"#]);
    device.sync(world);
    device.wipe_copy();

    assert_eq!(device.sync(world), 2);

    assert_eq!(device.data("transact", "T1"), world.data("transact", "T1"));
    device.record(&[r#"patch transact T1 {"status":"fn"}"#]);
    assert_eq!(device.sync(world), 0);
    assert_eq!(device.data("transact", "T1"), world.data("transact", "T1"));
}

/// The simulator's find: a line waited at central while its device lost the local copy and let its journal go of the line.
fn rule_5_15_what_came_before_the_device_began_again_is_sent_whenever_it_is_judged(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.sync(world);
    device.record(&[r#"put trans_line L1 {"transaction_ID":"T1"}"#]);
    device.sync(world);
    device.wipe_copy();
    device.sync(world);
    device.sync(world);
    assert_eq!(device.data("trans_line", "L1"), "not here");

    device.record(&[r#"put transact T1 {"store_ID":"S1"}"#]);
    // The line, and its header before it.
    assert_eq!(device.sync(world), 2);

    assert_eq!(device.data("trans_line", "L1"), world.data("trans_line", "L1"));
}

fn rule_5_15_an_own_row_from_before_the_device_began_again_proves_nothing(world: &mut World) {
    // Found by the property test of `drain.rs`: the patch was marked as an echo of the row that the wiped device had written itself.
    let mut device = world.device(&["S1"]);
    device.sync(world);
    device.record(&[r#"put transact T1 {"store_ID":"S1"}"#]);
    device.record(&[r#"put transact T2 {"store_ID":"S1"}"#]);
    device.sync(world);
    device.wipe_copy();
    device.push(world);
    device.read(world, &scope("S1"), 1, 100_000);
    device.record(&[r#"patch transact T2 {"status":"fn"}"#]);

    device.sync(world);

    assert_eq!(device.data("transact", "T2"), world.data("transact", "T2"));
}

fn rule_5_15_an_edit_of_a_closed_journal_is_sent_to_its_successor(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.sync(world);
    device.record(&[r#"put transact T1 {"store_ID":"S1"}"#]);
    device.try_begin(world).unwrap();
    device.try_send(world, 0, 1).unwrap();
    let mut next = Device::new(device.site, JournalId([51; 16]));
    let site = device.site;
    world.job(|batch| batch.enrol(site, &enrolling(9, JournalId([51; 16]))));
    next.cursors = device.cursors.clone();

    assert_eq!(next.sync(world), 1);

    assert_eq!(next.data("transact", "T1"), world.data("transact", "T1"));
}

fn rule_5_15_own_rows_move_an_old_cursor(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.sync(world);
    let before = device.cursors[&scope("S1")];
    world.set_limits(|limits| limits.group_entries_max = 20_000);
    world.set_limits(|limits| limits.group_bytes_max = 20_000_000);
    for number in 0..CURSOR_AGE_MAX {
        device.record(&[&format!(r#"put transact T{number} {{"store_ID":"S1"}}"#)]);
    }
    assert_eq!(device.sync(world), 0);
    assert_eq!(device.cursors[&scope("S1")], before);

    device.record(&[r#"put transact T {"store_ID":"S1"}"#]);

    assert_eq!(device.sync(world), 0);
    assert_eq!(device.cursors[&scope("S1")].number, world.store.position());
}

/// Two devices of one site in turn, so that the second has to read what the first wrote.
fn reader_of(world: &mut World, device: &Device) -> Device {
    let reader = Device::new(device.site, JournalId([60; 16]));
    let site = device.site;
    world.job(|batch| batch.enrol(site, &enrolling(9, JournalId([60; 16]))));
    reader
}

fn rule_5_16_a_header_comes_before_its_line_also_on_a_later_page(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.record(&[r#"put transact T1 {"store_ID":"S1"}"#]);
    for number in 1..4 {
        device.record(&[&format!(r#"put trans_line L{number} {{"transaction_ID":"T1"}}"#)]);
    }
    device.record(&[r#"patch transact T1 {"status":"fn"}"#]);
    device.push(world);
    let mut reader = reader_of(world, &device);
    reader.push(world);

    let first = reader.read(world, &scope("S1"), 2, 100_000);
    let second = reader.read(world, &scope("S1"), 2, 100_000);

    assert_eq!(ids(&first), ["T1", "L1", "L2"]);
    assert_eq!(ids(&second), ["T1", "L3"]);
    let third = reader.read(world, &scope("S1"), 2, 100_000);
    assert!(third.is_drained && third.rows.is_empty(), "the header was on the page before at its place: {third:?}");
}

fn rule_5_16_a_header_that_moved_up_during_the_read_comes_before_its_line(world: &mut World) {
    let mut device = world.device(&["S1"]);
    device.record(&[r#"put transact T1 {"store_ID":"S1"}"#]);
    device.record(&[r#"put transact T2 {"store_ID":"S1"}"#]);
    device.record(&[r#"put trans_line L1 {"transaction_ID":"T2"}"#]);
    device.push(world);
    device.wipe_copy();
    let first = device.read(world, &scope("S1"), 1, 100_000);
    assert_eq!(ids(&first), ["T1"]);
    device.record(&[r#"patch transact T2 {"status":"fn"}"#]);
    device.push(world);

    let second = device.read(world, &scope("S1"), 1, 100_000);

    assert_eq!(ids(&second), ["T2", "L1"]);
}

fn a_deleted_record_comes_as_a_tombstone(world: &mut World) {
    let mut device = world.device(&["S1"]);
    world.write(&[r#"upsert item I1 {"code":"a"}"#]);
    device.sync(world);
    world.write(&["delete item I1"]);
    device.push(world);

    let rows = device.read(world, &all_sites(), 10, 10_000);

    assert_eq!(rows.rows.iter().map(|row| row.row.is_none()).collect::<Vec<_>>(), [true]);
    assert_eq!(device.data("item", "I1"), "not here");
    assert_eq!(world.data("item", "I1"), "deleted");
}

fn a_record_that_comes_back_is_sent_again(world: &mut World) {
    let mut device = world.device(&["S1"]);
    world.write(&[r#"upsert item I1 {"code":"a"}"#, "delete item I1", r#"put item I1 {"code":"b"}"#]);

    device.sync(world);

    assert_eq!(device.data("item", "I1"), r#"{"ID":"I1","code":"b"}"#);
    assert_eq!(world.store.reading().records("item", Merged::Listed, None, 9).unwrap().len(), 1);
}

fn rule_5_12_a_cursor_of_another_time_line_is_refused(world: &mut World) {
    let device = world.device(&["S1"]);
    let head = world.store.position().0;
    world.restart(101);
    world.write(&[r#"upsert item I1 {"code":"a"}"#]);
    let mut check = |epoch: u64, number: u64, began: u64, expected: Option<&str>| {
        let cursor = Cursor { epoch: Epoch(epoch), number: Position(number), began: Position(began) };
        let from = ScopeCursor { scope: all_sites(), cursor };
        let ask = ReadRows { from, rows_max: 9, plain_bytes_max: 9999 };
        let result = world.store.reading().read_rows(device.site, device.journal, &ask);
        assert_eq!(result.err().map(|error| error.code().to_owned()).as_deref(), expected, "{epoch} {number} {began}");
    };

    check(100, head, head, None);
    check(100, head + 1, head, Some("central_set_back"));
    check(101, head + 1, head, None);
    check(101, 1, head, None);
    check(101, head + 2, head, Some("central_set_back"));
    check(101, head, u64::MAX, Some("central_set_back"));
    check(102, 1, 1, Some("central_set_back"));
    check(100, u64::MAX, 1, Some("central_set_back"));
}

fn rows_waiting_counts_what_will_be_sent(world: &mut World) {
    let mut device = world.device(&["S1"]);
    assert_eq!(device.push(world).rows_waiting, Some(1));
    device.pull(world);
    device.record(&[r#"put transact T1 {"store_ID":"S1"}"#]);
    world.write(&[r#"upsert item I1 {"code":"a"}"#, r#"upsert item I2 {"code":"a"}"#]);

    assert_eq!(device.push(world).rows_waiting, Some(2));
    assert_eq!(world.status(&device).rows_waiting, 2);
    assert_eq!(world.status(&device).site.last_drained_ms, None);
    assert_eq!(device.pull(world), 2);
    assert_eq!(device.push(world).rows_waiting, Some(0));
    assert!(world.status(&device).site.last_drained_ms.is_some());
}
