//! Any order of edits, pages, verdicts and crashes gives base with pending on top: the local copy against a model that keeps both
//! as plain lists and never takes a short cut.

use std::collections::BTreeMap;

use domain::edit::EditOp;
use proptest::prelude::*;
use protocol::control::{Control, Image};
use protocol::entry::Operation;
use protocol::row::Row;

use super::super::{Kind, RecordState};
use super::following::Follower;
use super::site::*;

const RECORDS: [&str; 3] = ["A", "B", "C"];
const COLUMNS: [&str; 2] = ["comment", "their_ref"];

#[derive(Debug, Clone)]
enum Step {
    /// An own edit; refused ones are not journaled.
    Edit(usize, EditOp, String),
    /// A group that is applied and journaled, then the program is killed before the commit.
    Crash(usize, EditOp, String),
    /// An image, its position relative to the newest one, or a tombstone.
    Page(usize, i8, Option<String>),
    /// The next verdicts of central: 0 and 1 accept, 2 refuses, 3 lets wait. With what central has then.
    Judge(Vec<(u8, Option<String>)>),
    /// A verdict on the oldest entry that waits.
    Resolve(bool, Option<String>),
    /// Everything is read again from 0, and these records come.
    Rebuild(Vec<usize>),
    Reopen,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Base {
    row: Option<Row>,
    position: u64,
}

#[derive(Debug, Clone)]
struct Pending {
    sequence: u64,
    record: usize,
    operation: Operation,
    is_waiting: bool,
}

/// Base and pending entries, and who holds what.
#[derive(Default)]
struct Model {
    bases: BTreeMap<usize, Base>,
    pending: Vec<Pending>,
    members: BTreeMap<usize, bool>,
    judged: u64,
    set_aside: u64,
    position: u64,
}

impl Model {
    fn base(&mut self, record: usize) -> &mut Base {
        self.bases.entry(record).or_default()
    }

    fn merged(&self, record: usize) -> Option<Row> {
        let mut row = self.bases.get(&record).and_then(|base| base.row.clone());
        for pending in self.pending.iter().filter(|pending| pending.record == record) {
            row = on_top(row, &pending.operation);
        }
        row
    }

    fn state(&self, record: usize) -> RecordState {
        let mut mine = self.pending.iter().filter(|pending| pending.record == record).peekable();
        match (mine.peek().is_some(), mine.any(|pending| pending.is_waiting)) {
            (false, _) => RecordState::Central,
            (true, false) => RecordState::Pending,
            (true, true) => RecordState::Waiting,
        }
    }

    fn replace(&mut self, record: usize, position: u64, row: Option<Row>) -> bool {
        let base = self.base(record);
        let is_taken = position >= base.position;
        if is_taken {
            *base = Base { row, position };
        }
        self.forget_absent(record);
        is_taken
    }

    /// A record that is not here and has nothing pending leaves no trace.
    fn forget_absent(&mut self, record: usize) {
        let is_pending = self.pending.iter().any(|pending| pending.record == record);
        if !is_pending && self.base(record).row.is_none() {
            self.bases.remove(&record);
        }
    }

    /// Accepted entries become part of the base.
    fn settle(&mut self, record: usize, through: u64) {
        let is_final =
            |pending: &Pending| pending.record == record && !pending.is_waiting && pending.sequence <= through;
        let settled: Vec<_> = self.pending.extract_if(.., |pending| is_final(pending)).collect();
        for pending in &settled {
            let base = self.base(record);
            base.row = on_top(base.row.take(), &pending.operation);
        }
        if !settled.is_empty() {
            let is_here = self.base(record).row.is_some();
            self.members.insert(record, is_here);
        }
        self.forget_absent(record);
    }

    fn refuse(&mut self, sequence: u64, image: Option<(u64, Option<Row>)>) {
        let Some(index) = self.pending.iter().position(|pending| pending.sequence == sequence) else { return };
        let record = self.pending[index].record;
        self.settle(record, sequence - 1);
        let is_member = self.members.get(&record).copied().unwrap_or(false);
        match image {
            Some((position, row)) => {
                if self.replace(record, position, row) {
                    self.members.insert(record, true);
                }
            }
            None if is_member => {}
            None => self.base(record).row = None,
        }
        self.pending.retain(|pending| pending.sequence != sequence);
        self.set_aside += 1;
        self.forget_absent(record);
    }
}

fn on_top(row: Option<Row>, operation: &Operation) -> Option<Row> {
    match (operation, row) {
        (Operation::Put(put), _) => Some(put.clone()),
        (Operation::Patch(patch), Some(row)) => Some(row.patched(patch)),
        (Operation::Patch(_), None) | (Operation::Delete, _) => None,
    }
}

struct Pair {
    site: Site,
    model: Model,
}

impl Pair {
    fn edit(&mut self, record: usize, op: EditOp, data: &str, is_killed: bool) {
        let id = RECORDS[record];
        let data = if op == EditOp::Put { with_store(data) } else { data.to_owned() };
        let before = self.site.journal.len();
        self.site.copy.begin_edits().unwrap();
        self.site.apply(op, "transact", id, &data);
        if is_killed {
            self.site.copy.rollback_edits().unwrap();
            self.site.reopen();
            // What the journal has and the local copy lacks is applied again, twice for good measure.
            let entries = self.site.journal.clone();
            for _ in 0..2 {
                self.site.copy.begin_edits().unwrap();
                for (index, entry) in entries.iter().enumerate().skip(before.saturating_sub(2)) {
                    self.site.reapply(Kind::Shared, index as u64 + 1, entry).unwrap();
                }
                self.site.commit();
            }
        } else {
            self.site.commit();
        }
        if self.site.journal.len() > before {
            let operation = self.site.journal[before].operation.clone();
            let sequence = before as u64 + 1;
            self.model.pending.push(Pending { sequence, record, operation, is_waiting: false });
            self.model.base(record);
        }
    }

    fn page(&mut self, record: usize, offset: i8, data: Option<&str>) {
        self.model.position += 2;
        let position = self.model.position.saturating_add_signed(i64::from(offset));
        let row = match data {
            Some(data) => image(RECORDS[record], position, data),
            None => tombstone(RECORDS[record], position),
        };
        self.model.members.insert(record, row.row.is_some());
        self.model.replace(record, position, row.row.clone());
        self.site.page(vec![row]);
    }

    fn image(&mut self, record: usize, data: Option<&str>) -> (Image, Option<(u64, Option<Row>)>) {
        let Some(data) = data else { return (Image::NotHere, None) };
        self.model.position += 1;
        let position = self.model.position;
        let row = image(RECORDS[record], position, data).row;
        (here(RECORDS[record], position, data), Some((position, row)))
    }

    fn judge(&mut self, verdicts: &[(u8, Option<String>)]) {
        let mut rows = Vec::new();
        let mut judged = self.model.judged;
        for (verdict, data) in verdicts {
            if judged == self.site.last() {
                break;
            }
            judged += 1;
            let Some(index) = self.model.pending.iter().position(|pending| pending.sequence == judged) else {
                continue;
            };
            let record = self.model.pending[index].record;
            // Later groups that touch a waiting record queue behind it.
            let queues =
                self.model.pending[..index].iter().any(|pending| pending.record == record && pending.is_waiting);
            match (verdict, queues) {
                (2, false) => {
                    let (image, expected) = self.image(record, data.as_deref());
                    rows.push(self.site.refused(judged, image));
                    self.model.refuse(judged, expected);
                }
                (3, _) | (_, true) => {
                    rows.push(Control::Waiting(self.site.place(judged)));
                    self.model.pending[index].is_waiting = true;
                }
                _ => {}
            }
        }
        self.model.judged = judged;
        self.reply(&rows);
    }

    fn resolve(&mut self, is_accepted: bool, data: Option<&str>) {
        let Some(index) = self.model.pending.iter().position(|pending| pending.is_waiting) else { return };
        let Pending { sequence, record, .. } = self.model.pending[index];
        let row = if is_accepted {
            self.model.pending[index].is_waiting = false;
            Control::Accepted(self.site.place(sequence))
        } else {
            let (image, expected) = self.image(record, data);
            self.model.refuse(sequence, expected);
            self.site.refused(sequence, image)
        };
        self.reply(&[row]);
    }

    fn reply(&mut self, rows: &[Control]) {
        self.site.reply(self.model.judged, rows);
        for record in 0..RECORDS.len() {
            self.model.settle(record, self.model.judged);
        }
    }

    fn rebuild(&mut self, come: &[usize]) {
        self.site.copy.begin_rebuild().unwrap();
        for record in come {
            self.page(*record, 0, Some(r#"{"comment":"again"}"#));
        }
        let page = self.site.page_of(&store_scope(), Vec::new(), true);
        self.site.store_page(&page).unwrap();
        while self.site.copy.sweep_step().unwrap() {}
        for record in (0..RECORDS.len()).filter(|record| !come.contains(record)) {
            let was_member = self.model.members.insert(record, false).unwrap_or(false);
            if was_member && !self.model.pending.iter().any(|pending| pending.record == record) {
                self.model.bases.remove(&record);
            }
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Edit(record, op, data) => self.edit(*record, *op, data, false),
            Step::Crash(record, op, data) => self.edit(*record, *op, data, true),
            Step::Page(record, offset, data) => self.page(*record, *offset, data.as_deref()),
            Step::Judge(verdicts) => self.judge(verdicts),
            Step::Resolve(is_accepted, data) => self.resolve(*is_accepted, data.as_deref()),
            Step::Rebuild(come) => self.rebuild(come),
            Step::Reopen => self.site.reopen(),
        }
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        let mut with_base = 0;
        for (record, id) in RECORDS.iter().enumerate() {
            let merged = self.model.merged(record);
            prop_assert_eq!(self.site.row("transact", id), merged.clone(), "record {}", id);
            let state = merged.map(|_| self.model.state(record));
            prop_assert_eq!(self.site.state(id), state, "state of {}", id);
            with_base += i64::from(self.model.pending.iter().any(|pending| pending.record == record));
        }
        prop_assert_eq!(
            self.site.count("base"),
            with_base,
            "a base for each record with pending entries, and no other"
        );
        prop_assert_eq!(self.site.count("pending"), i64::try_from(self.model.pending.len()).unwrap());
        prop_assert_eq!(self.site.copy.set_aside_count().unwrap(), self.model.set_aside);
        Ok(())
    }
}

fn data() -> impl Strategy<Value = String> {
    (0..COLUMNS.len(), 0..9_u8).prop_map(|(column, value)| format!(r#"{{"{}":"{value}"}}"#, COLUMNS[column]))
}

fn edit() -> impl Strategy<Value = (usize, EditOp, String)> {
    let op = prop_oneof![
        Just(EditOp::Put),
        Just(EditOp::Patch),
        Just(EditOp::Patch),
        Just(EditOp::Delete),
        Just(EditOp::Upsert)
    ];
    (0..RECORDS.len(), op, data()).prop_map(|(record, op, data)| {
        // An upsert hands over the whole record, so it names the store.
        let data = if op == EditOp::Upsert { with_store(&data) } else { data };
        (record, op, data)
    })
}

fn step() -> impl Strategy<Value = Step> {
    let central = || prop::option::weighted(0.7, data());
    prop_oneof![
        6 => edit().prop_map(|(record, op, data)| Step::Edit(record, op, data)),
        1 => edit().prop_map(|(record, op, data)| Step::Crash(record, op, data)),
        4 => (0..RECORDS.len(), -4..3_i8, central()).prop_map(|(record, offset, data)| Step::Page(record, offset, data)),
        4 => prop::collection::vec((0..4_u8, central()), 1..4).prop_map(Step::Judge),
        2 => (any::<bool>(), central()).prop_map(|(is_accepted, data)| Step::Resolve(is_accepted, data)),
        1 => prop::collection::vec(0..RECORDS.len(), 0..3).prop_map(Step::Rebuild),
        1 => Just(Step::Reopen),
    ]
}

fn run(site: Site, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut pair = Pair { site, model: Model::default() };
    let mut application = Follower::default();
    for (number, step) in steps.iter().enumerate() {
        pair.take(step);
        pair.compare()?;
        // It begins somewhere, and falls behind now and then.
        if number % 5 > 2 {
            application.follow(&mut pair.site.copy, 1);
        }
    }
    let (kept, here) = application.compare(&mut pair.site.copy);
    prop_assert_eq!(kept, &here, "what an application has that followed the feed");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_events_gives_base_with_pending_on_top(steps in prop::collection::vec(step(), 1..40)) {
        run(Site::in_memory(), &steps)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn so_it_does_on_disk_with_crashes(steps in prop::collection::vec(step(), 1..40)) {
        run(Site::on_disk(), &steps)?;
    }
}
