//! How often our own code asks for memory for each recorded edit: counts do not depend on the machine, so a limit on them is a test. What
//! sled does behind the journal's storage is not counted, and what SQLite does in C does not come through Rust's allocator.
//!
//! `ALLOCATIONS_SHOW=1` prints where the allocations of some edits come from.
#![expect(clippy::unwrap_used, reason = "every function here is the body of a test or a part of one")]
#![expect(clippy::print_stdout, reason = "the figures are what a reader wants")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use domain::catalogue::Catalogue;
use domain::edit::Edit;
use outpost::journal::storage::{Fill, Key, Place, Segment, SmallFile, Storage, StorageError, Visit};
use outpost::journal::{Identity, Journal, SledStorage};
use outpost::local_copy::{Kind, LocalCopy};
use outpost::recorder::{Core, Group, Recorder};
use protocol::control::{Control, ControlRow, Grant};
use protocol::ids::{
    ControlNumber, Epoch, GrantProof, Hash, JournalId, OwnershipNumber, Position, Sequence, SiteId, Token,
};
use protocol::message::{ReplyHead, VERSION};
use tempfile::TempDir;

/// Most allocations of the parts of recording one edit, a little above what the test prints: 2, 65 and 93. Before copies of a row shared
/// their columns, ids lay in place and an entry was encoded once they were 9, 140 and 162.
const PARSE_MAX: u64 = 3;
const NEW_RECORD_MAX: u64 = 70;
const PATCH_MAX: u64 = 100;

const STORE: &str = "00000000000000000000000000000001";
/// Edits that are recorded before counting begins, so that caches are warm.
const WARM: u64 = 100;
/// Edits that are counted.
const COUNTED: u64 = 200;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static IS_COUNTING: Cell<bool> = const { Cell::new(false) };
    static IS_SHOWING: Cell<bool> = const { Cell::new(false) };
    static PLACES: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

impl Counting {
    fn note() {
        if !IS_COUNTING.get() {
            return;
        }
        COUNT.set(COUNT.get() + 1);
        if IS_SHOWING.get() {
            IS_COUNTING.set(false);
            let trace = Backtrace::force_capture().to_string();
            let own =
                |line: &&str| ["outpost::", "domain::", "protocol::", "sql::"].iter().any(|name| line.contains(name));
            let frames = trace.lines().map(str::trim).filter(own).take(4);
            let place =
                frames.map(|line| line.split_once(": ").map_or(line, |(_, name)| name)).collect::<Vec<_>>().join(" < ");
            PLACES.with_borrow_mut(|places| *places.entry(place).or_default() += 1);
            IS_COUNTING.set(true);
        }
    }
}

// SAFETY: every call goes to the system's allocator as it is; counting neither allocates (but where the traces are shown, and then it
// is not counted) nor unwinds.
#[expect(unsafe_code, reason = "an allocator has no safe form")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::note();
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::note();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Allocations of this thread while something is done.
fn counted(work: impl FnOnce()) -> u64 {
    COUNT.set(0);
    IS_COUNTING.set(true);
    work();
    IS_COUNTING.set(false);
    COUNT.get()
}

/// Does what is not our own without counting it.
fn uncounted<T>(work: impl FnOnce() -> T) -> T {
    let was_counting = IS_COUNTING.replace(false);
    let result = work();
    IS_COUNTING.set(was_counting);
    result
}

/// A storage that is not counted.
struct Quiet<T>(T);

/// A segment that is not counted; one without an engine below takes what is to be written at once.
#[derive(Default)]
struct QuietSegment {
    below: Option<<SledStorage as Storage>::Segment>,
    taken: Vec<(Key, Vec<u8>)>,
}

impl Segment for QuietSegment {
    fn append(&mut self, batch: &[(Key, Vec<u8>)]) -> Result<(), StorageError> {
        uncounted(|| {
            if let Some(below) = &mut self.below {
                return below.append(batch);
            }
            self.taken.extend_from_slice(batch);
            Ok(())
        })
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        uncounted(|| self.below.as_mut().map_or(Ok(()), Segment::sync))
    }

    fn read(&mut self, from: Key, visit: &mut Visit<'_>) -> Result<(), StorageError> {
        uncounted(|| self.below.as_mut().map_or(Ok(()), |below| below.read(from, visit)))
    }
}

impl<T: SmallFile> SmallFile for Quiet<T> {
    fn read_all(&mut self) -> Result<Vec<u8>, StorageError> {
        uncounted(|| self.0.read_all())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        uncounted(|| self.0.write_at(offset, bytes))
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        uncounted(|| self.0.sync())
    }
}

impl Storage for Quiet<SledStorage> {
    type Segment = QuietSegment;
    type Mark = Quiet<<SledStorage as Storage>::Mark>;

    fn segments(&mut self, place: &Place) -> Result<Vec<u64>, StorageError> {
        uncounted(|| self.0.segments(place))
    }

    fn write_segment(&mut self, number: u64, fill: &mut Fill<'_, QuietSegment>) -> Result<QuietSegment, StorageError> {
        let mut collected = QuietSegment::default();
        fill(&mut collected)?;
        let below = uncounted(|| self.0.write_segment(number, &mut |segment| segment.append(&collected.taken)))?;
        Ok(QuietSegment { below: Some(below), taken: Vec::new() })
    }

    fn open_segment(&mut self, number: u64) -> Result<QuietSegment, StorageError> {
        let below = uncounted(|| self.0.open_segment(number))?;
        Ok(QuietSegment { below: Some(below), taken: Vec::new() })
    }

    fn confirm_segment(&mut self, number: u64) -> Result<(), StorageError> {
        uncounted(|| self.0.confirm_segment(number))
    }

    fn remove_segment(&mut self, number: u64) -> Result<(), StorageError> {
        uncounted(|| self.0.remove_segment(number))
    }

    fn read_raw(&mut self, place: &Place, number: u64, visit: &mut dyn FnMut(&[u8])) -> Result<(), StorageError> {
        uncounted(|| self.0.read_raw(place, number, visit))
    }

    fn segment_bytes(&mut self, number: u64) -> Result<u64, StorageError> {
        uncounted(|| self.0.segment_bytes(number))
    }

    fn create_mark(&mut self, content: &[u8]) -> Result<Self::Mark, StorageError> {
        uncounted(|| self.0.create_mark(content)).map(Quiet)
    }

    fn open_mark(&mut self) -> Result<Option<Self::Mark>, StorageError> {
        uncounted(|| self.0.open_mark()).map(|mark| mark.map(Quiet))
    }

    fn read_mark(&mut self, place: &Place) -> Result<Option<Vec<u8>>, StorageError> {
        uncounted(|| self.0.read_mark(place))
    }

    fn replace_all(&mut self, name: &str, mark: &[u8]) -> Result<(), StorageError> {
        uncounted(|| self.0.replace_all(name, mark))
    }

    fn free_bytes(&mut self) -> Result<u64, StorageError> {
        uncounted(|| self.0.free_bytes())
    }
}

/// A recorder on a real disk whose site may write one store.
fn recorder(folder: &Path) -> Recorder<Quiet<SledStorage>> {
    let catalogue = Arc::new(Catalogue::embedded());
    let site = SiteId(2);
    let journal = |name: &str, id: u8| {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        let identity = Identity { site, journal: JournalId([id; 16]), predecessor: None };
        Journal::create(Quiet(SledStorage::new(folder.join(name))), identity).unwrap()
    };
    let (shared, private) = (journal("journal", 1), journal("private", 2));
    let mut local = LocalCopy::open(&folder.join("local_copy.sqlite"), site, Arc::clone(&catalogue)).unwrap();
    local.use_journal(Kind::Shared, JournalId([1; 16])).unwrap();
    let (ownership, proof) = (OwnershipNumber(1), GrantProof([0; 16]));
    let grant = Grant { store: STORE.to_owned(), ownership, is_held: true, proof, number_gaps: 0 };
    let (code, content) = Control::Grant(grant).to_parts();
    let reply = ReplyHead {
        version: VERSION,
        token: Token::NONE,
        received: Sequence::ZERO,
        received_hash: Hash::NONE,
        judged: Sequence::ZERO,
        backed_up: Sequence::ZERO,
        epoch: Epoch(1),
        position: Position::ZERO,
        admitted_bytes: 0,
        frame_part: None,
        control: vec![ControlRow { number: ControlNumber(1), code, content }],
        has_more_control: false,
        rows_waiting: None,
        has_pages: false,
        further: Vec::new(),
    };
    local.store_reply(JournalId([1; 16]), &reply).unwrap();
    Recorder::new(site, catalogue, Core { shared, private, local }).unwrap()
}

/// A line as an application hands it over: a stock line of eleven columns.
fn new_record(number: u64) -> String {
    format!(
        r#"{{"table":"item_line","op":"upsert","id":"{number:032X}","data":{{"store_ID":"{STORE}","item_ID":"{number:032X}","batch":"B{number}","expiry_date":"2027-03-11","pack_size":10,"available":{number},"quantity":{number},"cost_price":12.25,"sell_price":15.5,"note":"counted","hold":false}}}}"#
    )
}

/// A line that changes two columns of it.
fn patch(number: u64) -> String {
    format!(
        r#"{{"table":"item_line","op":"patch","id":"{number:032X}","data":{{"quantity":{},"note":"again"}}}}"#,
        number + 7
    )
}

/// Allocations for each edit: of reading its line, and of recording it.
fn for_each_edit(recorder: &Recorder<Quiet<SledStorage>>, line: fn(u64) -> String) -> (u64, u64) {
    let (mut of_lines, mut of_edits) = (0, 0);
    for number in 0..WARM + COUNTED {
        let text = line(number);
        let mut edit = None;
        let reading = counted(|| edit = Some(Edit::parse(&text).unwrap()));
        let group = Group { edits: vec![edit.unwrap()], request_id: None, recorded_at_ms: number };
        IS_SHOWING.set(number == WARM && std::env::var_os("ALLOCATIONS_SHOW").is_some());
        let making = counted(|| assert_eq!(recorder.record(group).unwrap().edits, 1));
        if IS_SHOWING.replace(false) {
            for (place, count) in PLACES.take() {
                println!("{count} {place}");
            }
        }
        if number >= WARM {
            of_lines += reading;
            of_edits += making;
        }
    }
    (of_lines / COUNTED, of_edits / COUNTED)
}

#[test]
fn recording_an_edit_asks_for_memory_a_bounded_number_of_times() {
    let folder = TempDir::new().unwrap();
    let recorder = recorder(folder.path());

    let (parse, new) = for_each_edit(&recorder, new_record);
    let (_, patched) = for_each_edit(&recorder, patch);

    println!(
        "allocations for each edit: {parse} to read its line, {new} to record a new record of 11 columns, {patched} a patch of 2"
    );
    assert!(parse <= PARSE_MAX, "{parse}, and at most {PARSE_MAX} are allowed");
    assert!(new <= NEW_RECORD_MAX, "{new}, and at most {NEW_RECORD_MAX} are allowed");
    assert!(patched <= PATCH_MAX, "{patched}, and at most {PATCH_MAX} are allowed");
}
