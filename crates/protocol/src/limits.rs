//! Every limit of the formats and of an exchange, in one place, each with its unit and its reason.
//!
//! Limits that only one program needs (files, queues, timeouts) are named in that program.

/// Longest record id, in bytes (`details.md`, "Ids and values").
pub const RECORD_ID_BYTES_MAX: usize = 64;
/// Longest name of a table, in bytes: mSupply's longest is 33.
pub const TABLE_NAME_BYTES_MAX: usize = 64;
/// Longest name of a column that the catalogue does not list, in bytes.
pub const COLUMN_NAME_BYTES_MAX: usize = 128;
/// Most columns of one record; mSupply's widest table has about 130.
pub const ROW_COLUMNS_MAX: usize = 512;
/// Deepest nesting of JSON inside a value.
pub const JSON_DEPTH_MAX: usize = 64;
/// Largest record as packed in an entry, in bytes. Photos and scans are files, not records.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// Largest entry, in bytes: a record and its envelope.
pub const ENTRY_BYTES_MAX: usize = RECORD_BYTES_MAX + 4 * 1024;
/// Most entries of one group: an invoice with 2,000 lines, each written twice, fits.
pub const GROUP_ENTRIES_MAX: usize = 4096;
/// Largest group, in bytes of entries.
pub const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest scope name on the wire, in bytes: a role, a length and a record id.
pub const SCOPE_BYTES_MAX: usize = 72;
/// Most scopes that one site holds, hence cursors in a request head.
pub const SCOPES_MAX: usize = 4096;
/// Most grants that a request head claims at once, and most refusals that it shows: a site has one store or some; one with thousands
/// claims them in turns.
pub const CLAIMS_MAX: usize = 64;
/// Document numbers that are left out where a store goes on without the device that gave the last ones: more than most stores give of
/// one kind between two syncs, and a step that people see at once. What a device gave beyond that without ever syncing may be given
/// again.
pub const NUMBER_GAP: u64 = 1000;
/// Most number gaps that are counted of a store: as many forced moves and lost devices no store sees, and a million gaps leave numbers
/// that fit 32 bits.
pub const NUMBER_GAPS_MAX: u32 = 1_000_000;
/// Bytes of a count of number gaps in a request head, at most: a store's id with its length, a number.
const NUMBER_GAPS_BYTES_MAX: usize = RECORD_ID_BYTES_MAX + 1 + 5;
/// Bytes of a claim, at most: a store's id with its length, a number, a proof.
const CLAIM_BYTES_MAX: usize = RECORD_ID_BYTES_MAX + 1 + 5 + 16;
/// Bytes of a refusal in a request head, at most: journal, sequence, code and reason with their lengths.
const REFUSED_BYTES_MAX: usize = 16 + 10 + 1 + CODE_BYTES_MAX + 2 + REASON_BYTES_MAX;

/// Bytes of a cursor with its scope's length, at most: three varints and one byte.
const CURSOR_BYTES_MAX: usize = 31;

/// Plain bytes before a frame that may serve as its dictionary, in bytes (rule 5.6).
pub const DICTIONARY_BYTES_MAX: usize = 256 * 1024;
/// Most plain bytes of a frame with more than one entry, in bytes.
pub const FRAME_PLAIN_BYTES_TARGET_MAX: usize = 128 * 1024;
/// Most plain bytes of any frame: one entry of the largest size and its length, and why it was refused before.
pub const FRAME_PLAIN_BYTES_MAX: usize = ENTRY_BYTES_MAX + 16 + CODE_BYTES_MAX + REASON_BYTES_MAX + 8;
/// Most bytes of a signed section as it travels: a frame or page that did not compress.
pub const SECTION_BYTES_MAX: usize = FRAME_PLAIN_BYTES_MAX + 4 * 1024;
/// Largest frame with its section's header, in bytes: the whole that parts of a frame give.
pub const SEALED_FRAME_BYTES_MAX: usize = SECTION_BYTES_MAX + crate::section::HEADER_BYTES;
/// Most entries in a frame.
pub const FRAME_ENTRIES_MAX: usize = 8192;
/// Smallest target for frames and pages on a link that keeps breaking, in bytes on the wire (rule 5.10).
pub const FRAME_TARGET_BYTES_MIN: u32 = 4 * 1024;
/// Target for frames and pages on a link that holds, in bytes on the wire.
pub const FRAME_TARGET_BYTES_MAX: u32 = 32 * 1024;
/// Bytes of frames that one request carries at most once central has admitted more than one. Each request begins without a
/// history to pack against: at 256 KiB that costs 1.8 B an edit more, at 1 MiB 0.7 B less (`docs/decisions/compression.md`), and
/// the device holds the request in memory.
pub const REQUEST_FRAME_BYTES_MAX: u32 = 512 * 1024;
/// Largest request in all, in bytes: a head with every cursor, and its frames.
pub const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest request head, in bytes.
pub const HEAD_BYTES_MAX: usize = 512 * 1024;
/// Bytes of pages that one reply carries at most.
pub const REPLY_PAGE_BYTES_MAX: u32 = 1024 * 1024;
/// Bytes of frames in a request that goes by file: some tens of thousands of edits. The device holds the request in memory; what does not
/// fit goes with the next file.
pub const CARRIED_FRAME_BYTES_MAX: u32 = 2 * 1024 * 1024;
/// Bytes of pages in an answer that goes by file: a country's central data and some years of a store have less. The rest comes with the
/// next one.
pub const CARRIED_PAGE_BYTES_MAX: u32 = 1024 * 1024 * 1024;
/// Largest export head, in bytes.
pub const EXPORT_HEAD_BYTES_MAX: usize = 128;
/// Most rows in a page.
pub const PAGE_ROWS_MAX: usize = 2048;
/// Most plain bytes of a page: rows up to the target, and one more with its parents.
pub const PAGE_PLAIN_BYTES_MAX: usize = RECORD_BYTES_MAX + 256 * 1024;
/// Bytes of control rows in one reply at most; at least one row always comes.
pub const CONTROL_BYTES_MAX: usize = 64 * 1024;
/// Largest control row's content, in bytes: a refusal with the image of the record.
pub const CONTROL_ROW_BYTES_MAX: usize = RECORD_BYTES_MAX + 4 * 1024;
/// Largest reply head, in bytes: the control rows' limit may be passed by the one row that always comes.
pub const REPLY_HEAD_BYTES_MAX: usize = CONTROL_BYTES_MAX + CONTROL_ROW_BYTES_MAX + 4 * 1024;
/// What a later program of the same version may add to a request head or a reply head, in bytes: room for some small fields, and
/// nothing that would be told better in a control row.
pub const FURTHER_BYTES_MAX: usize = 1024;
/// Longest line of headers between a waiting entry and its root (a line waits for a header; headers wait for nothing).
pub const PARENT_DEPTH_MAX: usize = 4;
/// Entries that wait for headers at central, for one site, at most.
pub const WAITING_ENTRIES_MAX: u64 = 10_000;
/// Longest text of a refusal or an error on the wire, in bytes.
pub const REASON_BYTES_MAX: usize = 300;
/// Largest question whether a device would be taken, and largest answer, in bytes: a head without cursors, or a refusal.
pub const CHECK_BYTES_MAX: usize = 1024;
/// Largest question that compares what a site has, in bytes: a head without cursors, a scope, and 21 bytes for each bucket.
pub const VERIFY_QUESTION_BYTES_MAX: usize = 8 * 1024;
/// Most records that one answer with records of buckets names as left alone.
pub const VERIFY_LEFT_ALONE_MAX: usize = 512;
/// Largest answer to that, in bytes: rows as on a page, and the ids of what is left alone.
pub const VERIFY_ANSWER_BYTES_MAX: usize =
    PAGE_PLAIN_BYTES_MAX + VERIFY_LEFT_ALONE_MAX * (RECORD_ID_BYTES_MAX + TABLE_NAME_BYTES_MAX + 8) + 4 * 1024;
/// Largest question whether something waits for a site, and largest answer, in bytes: a head without cursors, or a refusal.
pub const NEWS_BYTES_MAX: usize = 1024;
/// Longest that central holds such a question, in seconds: some load balancers and firewalls forget a connection that is silent for four
/// minutes (Azure's do), carriers' address translation after five as a rule; RFC 5382 asks for two hours, and few keep to it.
pub const NEWS_WAIT_S_MAX: u16 = 225;
/// Longest code of a refusal, in bytes.
pub const CODE_BYTES_MAX: usize = 64;
/// Retired keys of a site that a request is checked against at most: each costs whoever sends rubbish 0.1 ms of central's time.
pub const RETIRED_KEYS_MAX: usize = 16;
/// Most sources in a hardware id: twice as many kinds as there are, for those of later programs.
pub const HARDWARE_SOURCES_MAX: usize = 16;
/// Longest wait that a refusal may ask for, in seconds: a mistake at central may not silence a site for longer.
pub const RETRY_AFTER_S_MAX: u32 = 3600;
/// Largest sequence, position or control number that a request may show. A thousand a second for nine thousand years give less, so
/// that a larger one is of no journal and no central; what is counted on from here stays far below 2^63, the largest integer of a
/// database.
pub const NUMBER_MAX: u64 = 1 << 48;

const _: () = assert!(GROUP_BYTES_MAX >= ENTRY_BYTES_MAX, "a group holds at least one entry of the largest size");
const _: () = assert!(FRAME_PLAIN_BYTES_MAX > ENTRY_BYTES_MAX, "a frame holds any entry");
const _: () = assert!(SECTION_BYTES_MAX > FRAME_PLAIN_BYTES_MAX, "a section holds any frame");
const _: () = assert!(REQUEST_BYTES_MAX > HEAD_BYTES_MAX + SECTION_BYTES_MAX + REQUEST_FRAME_BYTES_MAX as usize);
const _: () = assert!(REQUEST_BYTES_MAX > HEAD_BYTES_MAX + SECTION_BYTES_MAX + CARRIED_FRAME_BYTES_MAX as usize);
const _: () = assert!(PAGE_PLAIN_BYTES_MAX > SECTION_BYTES_MAX + 4 * 1024, "a page of a file is no part");
const _: () = assert!(FRAME_TARGET_BYTES_MIN <= FRAME_TARGET_BYTES_MAX);
const _: () = assert!(
    HEAD_BYTES_MAX
        >= SCOPES_MAX * (SCOPE_BYTES_MAX + CURSOR_BYTES_MAX)
            + CLAIMS_MAX * (2 * CLAIM_BYTES_MAX + REFUSED_BYTES_MAX + NUMBER_GAPS_BYTES_MAX)
            + FURTHER_BYTES_MAX
            + 1024,
    "a head holds every cursor, and as many claims as it may"
);
const _: () = assert!(NUMBER_GAP * NUMBER_GAPS_MAX as u64 <= u32::MAX as u64, "gaps leave numbers that fit 32 bits");
const _: () = assert!(CHECK_BYTES_MAX > REASON_BYTES_MAX + CODE_BYTES_MAX + 64);
const _: () = assert!(NEWS_BYTES_MAX > REASON_BYTES_MAX + CODE_BYTES_MAX + 64);
const _: () = assert!(REPLY_HEAD_BYTES_MAX > CONTROL_BYTES_MAX + CONTROL_ROW_BYTES_MAX + FURTHER_BYTES_MAX + 1024);
