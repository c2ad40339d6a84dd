//! What applications and people read, and the file itself.

use std::sync::Arc;

use domain::catalogue::Catalogue;
use protocol::ids::{Epoch, Hash, JournalId, Position, RecordId, Sequence, TableRef};
use protocol::message::FramePartState;
use protocol::page::PageRow;
use protocol::row::{ColumnRef, Row, Value};

use super::super::limits::LIST_BYTES_MAX;
use super::super::{AtCentral, HistoryRefusal, LocalCopy, QueueState, RecordState, Standing};
use super::site::*;
use crate::error::Explained;
use crate::sync_runner::Learnt;

#[test]
fn a_list_goes_on_behind_the_last_id() {
    on_both(|site| {
        site.page((0..5).map(|index| image(&format!("R{index}"), 1, "{}")).collect());
        site.page(vec![image_of("item", "I", 1, r#"{"item_name":"x"}"#)]);

        let first = site.list(None, None, 3);
        let second = site.list(Some("S"), Some(&first.items[2].id), 3);

        assert_eq!((first.items.len(), first.has_more), (3, true));
        assert_eq!(second.items.iter().map(|view| view.id.as_str()).collect::<Vec<_>>(), ["R3", "R4"]);
        assert!(!second.has_more);
        assert!(site.list(Some("T"), None, 3).items.is_empty());
        assert_eq!(site.counts(), [("item".to_owned(), 1), ("transact".to_owned(), 5)]);
        assert_eq!(site.view("item", "I").unwrap().store, None);
    });
}

#[test]
fn a_list_stops_before_it_takes_too_much_memory() {
    let mut site = Site::in_memory();
    let long = format!(r#"{{"comment":"{}"}}"#, "x".repeat(1_000_000));
    let count = LIST_BYTES_MAX / 1_000_000 + 2;
    for index in 0..count {
        site.page(vec![image(&format!("R{index}"), 1, &long)]);
    }

    let listing = site.list(None, None, 100);

    assert!(listing.has_more && listing.items.len() < count && !listing.items.is_empty());
}

#[test]
fn the_queue_says_where_each_edit_is() {
    on_both(|site| {
        site.put("P", "{}");
        site.put("Q", "{}");
        let place = site.place(1);
        site.reply(1, &[protocol::control::Control::Waiting(place)]);
        site.put("R", "{}");

        let queue = site.copy.queue(Sequence(0), 10).unwrap().items;
        let states: Vec<_> = queue.iter().map(|entry| (entry.sequence.0, entry.state)).collect();
        assert_eq!(states, [(1, QueueState::Waiting), (2, QueueState::Received), (3, QueueState::Unsent)]);
        let counts = site.copy.queue_view().unwrap();
        assert_eq!((counts.unsent, counts.unjudged, counts.waiting), (1, 1, 1));
        assert_eq!((counts.oldest_recorded_at_ms, counts.bytes), (Some(1003), queue[2].bytes));
        let one = site.copy.queue(Sequence(1), 1).unwrap();
        assert_eq!((one.items[0].id.as_str(), one.has_more), ("Q", true));
    });
}

#[test]
fn everything_that_was_stored_is_there_after_opening_again() {
    let mut site = Site::on_disk();
    site.page(vec![image("P", 3, r#"{"comment":"c"}"#)]);
    site.put("Q", "{}");
    site.reply(0, &[]);
    let mut learnt = Learnt::default();
    learnt.link.failed();
    learnt.frame_part = Some(FramePartState { hash: Hash([4; 32]), received: 5 });
    assert_eq!(site.copy.learnt().unwrap(), Learnt::default());
    site.copy.remember_learnt(&learnt).unwrap();
    site.copy.remember_sync(9, Some(("offline", "no route"))).unwrap();
    let (code, message) = ("fork".to_owned(), "two histories".to_owned());
    let refusal = HistoryRefusal { journal: JournalId([3; 16]), at_ms: 8, code, message };
    site.copy.remember_history_refusal(&refusal).unwrap();
    site.copy.remember_sync(9, Some(("offline", "no route"))).unwrap();
    site.copy.remember_standing("Wait.", Some(AtCentral { rows: 7, at_ms: 9 })).unwrap();
    site.copy.remember_standing("Call.", None).unwrap();
    let before = site.copy.session_state().unwrap();

    site.reopen();

    assert_eq!(site.copy.session_state().unwrap(), before);
    assert_eq!(before.cursors[0].cursor.epoch, Epoch(u64::MAX));
    assert_eq!((site.shown("P"), site.state("Q")), (r#"{"comment":"c"}"#.to_owned(), Some(RecordState::Pending)));
    assert_eq!(site.copy.learnt().unwrap(), learnt);
    let standing = Standing { advice: "Call.".to_owned(), at_central: Some(AtCentral { rows: 7, at_ms: 9 }) };
    assert_eq!(
        site.copy.standing().unwrap(),
        standing,
        "a session that is not told of what waits leaves what was known"
    );
    let times = site.copy.sync_times().unwrap();
    assert_eq!((times.attempt_ms, times.success_ms, times.drained_ms), (Some(9), None, None));
    assert_eq!(times.failure, Some(("offline".to_owned(), "no route".to_owned())));
    assert_eq!(times.history_refusal, Some(refusal), "a sync that does not reach central says nothing of it");
    site.copy.remember_sync(10, None).unwrap();
    assert_eq!(site.copy.sync_times().unwrap().history_refusal, None);
    site.reply(1, &[]);
    site.copy.remember_sync(11, None).unwrap();
    site.copy.remember_sync(12, Some(("offline", "no route"))).unwrap();
    let times = site.copy.sync_times().unwrap();
    assert_eq!((times.attempt_ms, times.success_ms, times.drained_ms), (Some(12), Some(11), Some(11)));
    site.copy.check().unwrap();
}

#[test]
fn damage_is_named_as_such() {
    let mut site = Site::on_disk();
    site.page(vec![image("P", 3, r#"{"comment":"c"}"#)]);
    let path = site.path().unwrap();
    site.copy = LocalCopy::in_memory(SITE, Arc::new(Catalogue::embedded())).unwrap();
    std::fs::write(&path, b"this is no database, however long the text may be made").unwrap();

    let error = LocalCopy::open(&path, SITE, Arc::new(Catalogue::embedded())).err().unwrap();

    assert!(error.is_damage(), "{error}");
    assert_eq!(error.code(), "local_copy_damaged");
}

#[test]
fn an_application_reads_the_records_with_sql_while_the_agent_writes() {
    use sql::{Options, SqlExt, SqliteEngine};
    let mut site = Site::on_disk();
    site.put("P", r#"{"comment":"c"}"#);
    let options = Options::new(super::super::APPLICATION_ID, super::super::SCHEMA_VERSION).read_only();
    let mut reader = SqliteEngine::open(site.path().unwrap(), &options).unwrap();

    let sql = "SELECT data FROM record WHERE table_name = 'transact' AND json_extract(data, '$.comment') = 'c'";
    let data = reader.query_one(sql, &[], |row| Ok(row.text(0)?.to_owned())).unwrap();

    assert_eq!(data.as_deref(), Some(r#"{"ID":"P","store_ID":"S","comment":"c"}"#));
    site.put("Q", "{}");
    assert_eq!(reader.query_integer("SELECT count(*) FROM record", &[]).unwrap(), Some(2));
}

#[test]
fn records_of_a_table_that_became_known_are_found_under_its_name() {
    let mut site = Site::on_disk();
    let unknown = |id: &str| PageRow {
        table: TableRef::Known(60_000),
        record: RecordId::new(id).unwrap(),
        position: Position(1),
        row: Some(Row::new(vec![(ColumnRef::Known(0), Value::Text("x".to_owned()))]).unwrap()),
    };
    site.page(vec![unknown("A"), unknown("B")]);
    let stand_in = Catalogue::embedded().table_or_stand_in(&TableRef::Known(60_000));
    let shown = site.copy.get(&stand_in, &record_id("A")).unwrap().unwrap();
    assert_eq!(shown.data, r##"{"ID":"A","#0":"x"}"##);
    // The program is updated: in its catalogue the number is the table `unit`.
    let number = match Catalogue::embedded().table_by_name("unit").unwrap().reference() {
        TableRef::Known(number) => *number,
        TableRef::Named(name) => panic!("{name} has no number"),
    };
    site.copy.begin_edits().unwrap();
    for table in ["record", "membership"] {
        let sql = format!("UPDATE {table} SET table_name = ?1");
        site.copy.sql.execute(&sql, &[format!("#t{number}").as_str().into()]).unwrap();
    }
    site.commit();

    site.reopen();

    assert_eq!(site.view("unit", "A").unwrap().data, r#"{"ID":"A","units":"x"}"#);
    assert_eq!(site.counts(), [("unit".to_owned(), 2)]);
}

#[test]
fn a_long_read_makes_the_log_grow_and_its_end_lets_it_shrink() {
    use sql::{Options, Sql, SqliteEngine};
    let mut site = Site::on_disk();
    let long = format!(r#"{{"comment":"{}"}}"#, "x".repeat(900_000));
    let options = Options::new(super::super::APPLICATION_ID, super::super::SCHEMA_VERSION).read_only();
    let mut reader = SqliteEngine::open(site.path().unwrap(), &options).unwrap();
    reader.begin_read().unwrap();
    for index in 0..20 {
        site.page(vec![image(&format!("R{index}"), 1, &long)]);
    }
    let grown = site.copy.log_health().unwrap();
    assert!(grown.is_above_warning && !grown.is_above_limit, "{grown:?}");

    reader.end_read().unwrap();
    for index in 0..4 {
        site.page(vec![image(&format!("R{index}"), 2, "{}")]);
    }

    assert!(!site.copy.log_health().unwrap().is_above_warning);
}
