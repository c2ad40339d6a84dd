//! The feed of changes over a power cut: what an application has read stays, and from its cursor it gets all that came since, also where
//! the cut took edits from the local copy, which come out of the journal again in another order.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::catalogue::Catalogue;
use domain::json::row_from_json;
use outpost::local_copy::{APPLICATION_ID, FeedCursor, Kind, LocalCopy, SCHEMA_VERSION};
use protocol::entry::{Entry, Operation};
use protocol::ids::{JournalId, OwnershipNumber, RecordId, Sequence, SiteId};
use simulator::disk::Disk;
use sql::{Options, SqliteEngine};

const JOURNAL: JournalId = JournalId([4; 16]);

fn open(disk: &Disk) -> LocalCopy {
    let options = Options::new(APPLICATION_ID, SCHEMA_VERSION);
    let engine = SqliteEngine::open_on(&disk.vfs_name(), "local_copy.sqlite", &options).expect("the disk works");
    LocalCopy::new(Box::new(engine), SiteId(2), Arc::new(Catalogue::embedded())).expect("the file is sound")
}

fn entry(id: &str, comment: &str) -> Entry {
    let catalogue = Catalogue::embedded();
    let table = catalogue.table_by_name("transact").expect("a table of mSupply's");
    let record = RecordId::new(id).expect("an id");
    let data = format!(r#"{{"store_ID":"S","comment":"{comment}"}}"#);
    let row = row_from_json(table, &record, &data).expect("a row");
    let (table, ownership) = (table.reference().clone(), OwnershipNumber(1));
    Entry { is_group_end: true, ownership, table, record, operation: Operation::Put(row) }
}

/// Applies entries of the journal behind what is applied.
fn apply(copy: &mut LocalCopy, journal: &[Entry]) {
    let applied = copy.applied(Kind::Shared).expect("it reads").0;
    copy.begin_edits().expect("it writes");
    for (sequence, entry) in (1..).zip(journal).filter(|(sequence, _)| *sequence > applied) {
        let effect = copy.effect_of(Kind::Shared, entry).expect("it reads");
        copy.apply_entry(Kind::Shared, Sequence(sequence), entry, &effect, 1000).expect("it writes");
    }
    copy.commit_edits(Sequence(journal.len() as u64), Sequence::ZERO).expect("it writes");
}

#[derive(Default)]
struct Application {
    cursor: Option<FeedCursor>,
    records: BTreeMap<String, String>,
}

impl Application {
    fn follow(&mut self, copy: &mut LocalCopy) {
        let page = copy.changes(self.cursor.as_ref(), 100, || [7; 8]).expect("it reads").expect("its cursor holds");
        for change in page.changes {
            self.records.insert(change.id, change.data.expect("nothing is deleted here"));
        }
        self.cursor = Some(page.cursor);
    }
}

/// How far the journal is applied after a power cut, and whether the application has what is here once it has read on.
fn after_the_cut(reads: bool) -> (u64, bool) {
    let disk = Disk::new(1);
    let mut copy = open(&disk);
    copy.use_journal(Kind::Shared, JOURNAL).expect("it writes");
    let mut application = Application::default();
    application.follow(&mut copy);
    let mut journal = vec![entry("A", "1"), entry("B", "1")];
    apply(&mut copy, &journal);
    if reads {
        application.follow(&mut copy);
    }
    disk.crash();
    drop(copy);
    disk.restart(&mut |_| 0);

    let mut copy = open(&disk);
    let applied = copy.applied(Kind::Shared).expect("it reads").0;
    journal.push(entry("C", "1"));
    apply(&mut copy, &journal);
    application.follow(&mut copy);
    let here = application.records.keys().map(String::as_str).eq(["A", "B", "C"]);
    (applied, here)
}

#[test]
fn what_an_application_has_read_is_not_taken_back_by_a_power_cut() {
    assert_eq!(after_the_cut(true), (2, true), "what was given is on the disk");
    assert_eq!(after_the_cut(false), (0, true), "what was not given may be lost, and comes again");
}
