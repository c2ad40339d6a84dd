//! A site for tests: a local copy, the journals that stand behind it, and a central that says what it is told to.

use std::sync::Arc;

use domain::catalogue::Catalogue;
use domain::edit::{Edit, EditOp};
use domain::json::row_from_json;
use domain::judge::{Found, Side, Verdict, View, judge};
use domain::merge::Merged;
use domain::scope::Scope;
use protocol::control::{Control, ControlRow, EntryPlace, Grant, Image, Refused};
use protocol::entry::{Entry, Operation};
use protocol::ids::{
    ControlNumber, Epoch, Hash, JournalId, OwnershipNumber, Position, RecordId, ScopeId, Sequence, SiteId, Token,
};
use protocol::message::{Cursor, ReplyHead};
use protocol::page::PageRow;
use protocol::session::Page;

use super::super::{Kind, Listing, LocalCopy, LocalCopyError, RecordState, RecordView, StoredReply};

pub(super) const SITE: SiteId = SiteId(7);
pub(super) const JOURNAL: JournalId = JournalId([1; 16]);
pub(super) const STORE: &str = "S";

pub(super) struct Site {
    pub(super) copy: LocalCopy,
    pub(super) journal: Vec<Entry>,
    pub(super) private: Vec<Entry>,
    pub(super) journal_id: JournalId,
    control: u64,
    position: u64,
    folder: Option<tempfile::TempDir>,
}

/// Runs a test on a site in memory and on one on disk.
pub(super) fn on_both(test: impl Fn(&mut Site)) {
    test(&mut Site::in_memory());
    test(&mut Site::on_disk());
}

impl Site {
    pub(super) fn in_memory() -> Self {
        Self::with(LocalCopy::in_memory(SITE, Arc::new(Catalogue::embedded())).unwrap(), None)
    }

    pub(super) fn on_disk() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let copy = open(&folder).unwrap();
        Self::with(copy, Some(folder))
    }

    /// With the grant for [`STORE`].
    fn with(copy: LocalCopy, folder: Option<tempfile::TempDir>) -> Self {
        let mut site = Self {
            copy,
            journal: Vec::new(),
            private: Vec::new(),
            journal_id: JOURNAL,
            control: 0,
            position: 0,
            folder,
        };
        site.copy.use_journal(Kind::Shared, JOURNAL).unwrap();
        site.copy.use_journal(Kind::Private, JournalId([2; 16])).unwrap();
        let grant = Grant {
            store: STORE.to_owned(),
            ownership: OwnershipNumber(1),
            is_held: true,
            proof: protocol::ids::GrantProof([0; 16]),
            number_gaps: 0,
        };
        site.reply(0, &[Control::Grant(grant)]);
        site
    }

    /// What a crash leaves: everything that was committed. Only on disk.
    pub(super) fn reopen(&mut self) {
        let Some(folder) = &self.folder else { return };
        self.copy = LocalCopy::in_memory(SITE, Arc::new(Catalogue::embedded())).unwrap();
        self.copy = open(folder).unwrap();
    }

    pub(super) fn path(&self) -> Option<std::path::PathBuf> {
        self.folder.as_ref().map(|folder| folder.path().join("local_copy.sqlite"))
    }

    /// Records one edit as the recorder does, to the commit. False if the judge refuses it.
    pub(super) fn try_edit(&mut self, op: EditOp, table: &str, id: &str, data: &str) -> bool {
        self.copy.begin_edits().unwrap();
        let is_taken = self.apply(op, table, id, data);
        self.commit();
        is_taken
    }

    /// Records a put past the judge.
    pub(super) fn force(&mut self, table: &str, id: &str, data: &str) {
        let catalogue = Catalogue::embedded();
        let table = catalogue.table_by_name(table).unwrap();
        let (reference, record) = (table.reference().clone(), record_id(id));
        let operation = Operation::Put(row_from_json(table, &record, data).unwrap());
        let ownership = OwnershipNumber(1);
        let entry = Entry { is_group_end: true, ownership, table: reference, record, operation };
        self.copy.begin_edits().unwrap();
        self.journal.push(entry.clone());
        let effect = self.copy.effect_of(Kind::Shared, &entry).unwrap();
        self.copy.apply_entry(Kind::Shared, Sequence(self.last()), &entry, &effect, 1000).unwrap();
        self.commit();
    }

    pub(super) fn commit(&mut self) {
        let heads = (Sequence(self.journal.len() as u64), Sequence(self.private.len() as u64));
        self.copy.commit_edits(heads.0, heads.1).unwrap();
    }

    /// Applies an edit in the open transaction and journals it, as a group of its own.
    pub(super) fn apply(&mut self, op: EditOp, table: &str, id: &str, data: &str) -> bool {
        self.apply_as(op, table, id, data, true)
    }

    /// The same with a transaction of the store that is made, as the end of a group or as an earlier part of one.
    pub(super) fn apply_in_group(&mut self, id: &str, is_group_end: bool) -> bool {
        self.apply_as(EditOp::Put, "transact", id, &with_store("{}"), is_group_end)
    }

    fn apply_as(&mut self, op: EditOp, table: &str, id: &str, data: &str, is_group_end: bool) -> bool {
        let catalogue = Catalogue::embedded();
        let data = (op != EditOp::Delete).then(|| data.to_owned());
        let edit = Edit { table: table.to_owned(), op, id: record_id(id), data };
        let table = catalogue.table_by_name(table).unwrap();
        let current = self.row(table.name(), id);
        let Some(operation) = edit.operation(table, current.as_ref()).unwrap() else { return true };
        let mut entry = Entry {
            is_group_end,
            ownership: OwnershipNumber(0),
            table: table.reference().clone(),
            record: edit.id,
            operation,
        };
        self.copy.begin_group().unwrap();
        match judge(&catalogue, &mut self.copy, Side::Device, SITE, &entry).unwrap() {
            Verdict::Accept(applied) => {
                entry.ownership = applied.ownership;
                let (kind, journal) = if applied.is_private {
                    (Kind::Private, &mut self.private)
                } else {
                    (Kind::Shared, &mut self.journal)
                };
                journal.push(entry.clone());
                let sequence = Sequence(journal.len() as u64);
                self.copy.apply_entry(kind, sequence, &entry, &applied, 1000 + sequence.0).unwrap();
                self.copy.release_group().unwrap();
                true
            }
            Verdict::Refuse(_) | Verdict::Wait { .. } => {
                self.copy.rollback_group().unwrap();
                false
            }
        }
    }

    pub(super) fn put(&mut self, id: &str, data: &str) {
        assert!(self.try_edit(EditOp::Put, "transact", id, &with_store(data)), "the put of {id} was refused");
    }

    pub(super) fn patch(&mut self, id: &str, data: &str) {
        assert!(self.try_edit(EditOp::Patch, "transact", id, data), "the patch of {id} was refused");
    }

    pub(super) fn delete(&mut self, id: &str) {
        assert!(self.try_edit(EditOp::Delete, "transact", id, ""), "the delete of {id} was refused");
    }

    /// The last journaled entry.
    pub(super) fn last(&self) -> u64 {
        self.journal.len() as u64
    }

    pub(super) fn reply_head(&mut self, judged: u64, control: &[Control]) -> ReplyHead {
        let rows = control.iter().map(|control| {
            self.control += 1;
            let (code, content) = control.to_parts();
            ControlRow { number: ControlNumber(self.control), code, content }
        });
        ReplyHead {
            version: 1,
            token: Token::NONE,
            control: rows.collect(),
            received: Sequence(self.journal.len() as u64),
            received_hash: Hash::NONE,
            judged: Sequence(judged),
            backed_up: Sequence(0),
            epoch: Epoch(1),
            position: Position(self.position),
            admitted_bytes: 0,
            frame_part: None,
            has_more_control: false,
            rows_waiting: None,
            has_pages: true,
            further: Vec::new(),
        }
    }

    /// Central has received everything, judged up to here, and says this.
    pub(super) fn reply(&mut self, judged: u64, control: &[Control]) -> StoredReply {
        let head = self.reply_head(judged, control);
        self.copy.store_reply(self.journal_id, &head).unwrap()
    }

    pub(super) fn refused(&self, sequence: u64, image: Image) -> Control {
        Control::Refused(Refused {
            journal: self.journal_id,
            sequence: Sequence(sequence),
            code: "not_store_holder".to_owned(),
            reason: "belongs to a store that site 7 does not hold".to_owned(),
            image,
        })
    }

    pub(super) fn place(&self, sequence: u64) -> EntryPlace {
        EntryPlace { journal: self.journal_id, sequence: Sequence(sequence) }
    }

    pub(super) fn store_page(&mut self, page: &Page) -> Result<(), LocalCopyError> {
        self.copy.store_page(page)
    }

    /// Rows of the store's scope.
    pub(super) fn page(&mut self, rows: Vec<PageRow>) {
        let page = self.page_of(&store_scope(), rows, false);
        self.store_page(&page).unwrap();
    }

    /// A page that moves its scope's cursor on by one.
    pub(super) fn page_of(&mut self, scope: &ScopeId, rows: Vec<PageRow>, is_drained: bool) -> Page {
        self.position += 1;
        let cursor = Cursor { epoch: Epoch(u64::MAX), number: Position(self.position), began: Position(0) };
        Page { scope: scope.clone(), cursor, is_drained, rows }
    }

    pub(super) fn row(&mut self, table: &str, id: &str) -> Option<protocol::row::Row> {
        let catalogue = Catalogue::embedded();
        let reference = catalogue.table_by_name(table).unwrap().reference().clone();
        match self.copy.record(&reference, &record_id(id)).unwrap() {
            Found::Here { row, .. } => Some(row),
            Found::Deleted { .. } | Found::Unknown => None,
        }
    }

    /// The record as an application reads it, without id and store; `-` if it is not here.
    pub(super) fn shown(&mut self, id: &str) -> String {
        match self.view("transact", id) {
            Some(view) => view
                .data
                .replace(&format!("\"ID\":\"{id}\","), "")
                .replace("\"store_ID\":\"S\"", "")
                .replace("{,", "{")
                .replace(",}", "}")
                .replace(",,", ","),
            None => "-".to_owned(),
        }
    }

    pub(super) fn view(&mut self, table: &str, id: &str) -> Option<RecordView> {
        let catalogue = Catalogue::embedded();
        self.copy.get(catalogue.table_by_name(table).unwrap(), &record_id(id)).unwrap()
    }

    pub(super) fn list(&mut self, store: Option<&str>, after: Option<&str>, limit: u32) -> Listing<RecordView> {
        let catalogue = Catalogue::embedded();
        self.copy.list(catalogue.table_by_name("transact").unwrap(), store, Merged::Listed, after, limit).unwrap()
    }

    pub(super) fn counts(&mut self) -> Vec<(String, u64)> {
        self.copy.table_counts().unwrap().into_iter().map(|count| (count.table, count.records)).collect()
    }

    /// Applies an entry of the journal again, in the open transaction.
    pub(super) fn reapply(&mut self, kind: Kind, sequence: u64, entry: &Entry) -> Result<(), LocalCopyError> {
        let applied = self.copy.effect_of(kind, entry)?;
        self.copy.apply_entry(kind, Sequence(sequence), entry, &applied, 7)
    }

    pub(super) fn state(&mut self, id: &str) -> Option<RecordState> {
        self.view("transact", id).map(|view| view.state)
    }

    pub(super) fn count(&mut self, table: &str) -> i64 {
        use sql::SqlExt;
        self.copy.sql.query_integer(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().unwrap()
    }
}

fn open(folder: &tempfile::TempDir) -> Result<LocalCopy, LocalCopyError> {
    LocalCopy::open(&folder.path().join("local_copy.sqlite"), SITE, Arc::new(Catalogue::embedded()))
}

pub(super) fn record_id(id: &str) -> RecordId {
    RecordId::new(id).unwrap()
}

pub(super) fn store_scope() -> ScopeId {
    Scope::Store(record_id(STORE)).to_id()
}

pub(super) fn with_store(data: &str) -> String {
    data.replacen('{', if data == "{}" { "{\"store_ID\":\"S\"" } else { "{\"store_ID\":\"S\"," }, 1)
}

/// A row of a page.
pub(super) fn image_of(table: &str, id: &str, position: u64, data: &str) -> PageRow {
    let catalogue = Catalogue::embedded();
    let table = catalogue.table_by_name(table).unwrap();
    let row = row_from_json(table, &record_id(id), data).unwrap();
    PageRow { table: table.reference().clone(), record: record_id(id), position: Position(position), row: Some(row) }
}

/// A transaction of the store as central has it.
pub(super) fn image(id: &str, position: u64, data: &str) -> PageRow {
    image_of("transact", id, position, &with_store(data))
}

pub(super) fn tombstone(id: &str, position: u64) -> PageRow {
    PageRow { row: None, ..image(id, position, "{}") }
}

/// What a refusal carries.
pub(super) fn here(id: &str, position: u64, data: &str) -> Image {
    Image::Here { position: Position(position), row: image(id, position, data).row.unwrap().to_bytes() }
}
