//! The tables, step by step. `docs/local-copy.md` says which of them an application may read.

use sql::Migration;

/// Number in the file's header that says that it is a local copy: `OutL` in ASCII.
pub const APPLICATION_ID: i32 = 0x4F75_744C;

/// A step that was released is never changed.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "local copy", ddl: FIRST },
    Migration { number: 2, name: "checksums", ddl: CHECKSUMS },
    Migration { number: 3, name: "refusals", ddl: REFUSALS },
    Migration { number: 4, name: "claims", ddl: CLAIMS },
    Migration { number: 5, name: "refusals of what had waited", ddl: WAITED },
    Migration { number: 6, name: "refusals shown", ddl: SHOWN },
    Migration { number: 7, name: "what stays here", ddl: STAYING },
    Migration { number: 8, name: "document numbers", ddl: NUMBERS },
    Migration { number: 9, name: "transfers", ddl: TRANSFERS },
    Migration { number: 10, name: "feed of changes", ddl: CHANGES },
];

/// The newest schema, for the file's header.
pub const SCHEMA_VERSION: u32 = 10;

const CHANGES: &str = "
-- See the module `changes`. Of the record's last change; NULL before somebody read the feed.
ALTER TABLE record ADD COLUMN change {bigint};
CREATE INDEX record_by_change ON record (change) WHERE change IS NOT NULL;
-- Records that are not here any more.
CREATE TABLE gone (
    change {bigint} PRIMARY KEY,
    table_name {text} NOT NULL,
    id {text} NOT NULL,
    store {text}
) {table};
";

const TRANSFERS: &str = "
-- See the module `transfers`: what refers to a record in the answer to a transfer. Few records do; of others nothing is written.
CREATE INDEX record_refers_1 ON record (json_extract(data, '$.linked_transaction_id'))
    WHERE table_name = 'transact' AND json_extract(data, '$.linked_transaction_id') <> '';
CREATE INDEX record_refers_2 ON record (json_extract(data, '$.original_PO_ID'))
    WHERE table_name = 'transact' AND json_extract(data, '$.original_PO_ID') <> '';
CREATE INDEX record_refers_3 ON record (json_extract(data, '$.linked_requisition_id'))
    WHERE table_name = 'requisition' AND json_extract(data, '$.linked_requisition_id') <> '';
CREATE INDEX record_refers_4 ON record (json_extract(data, '$.requisition_ID'))
    WHERE table_name = 'requisition_line' AND json_extract(data, '$.requisition_ID') <> '';
CREATE INDEX record_refers_5 ON record (json_extract(data, '$.purchase_order_ID'))
    WHERE table_name = 'purchase_order_line' AND json_extract(data, '$.purchase_order_ID') <> '';
CREATE INDEX record_refers_6 ON record (json_extract(data, '$.purchase_order_ID'))
    WHERE table_name = 'Goods_received' AND json_extract(data, '$.purchase_order_ID') <> '';
CREATE INDEX record_refers_7 ON record (json_extract(data, '$.goods_received_ID'))
    WHERE table_name = 'Goods_received_line' AND json_extract(data, '$.goods_received_ID') <> '';
-- The code of why an answer is not given yet; NULL before it was looked at.
ALTER TABLE owed ADD COLUMN code {text};
-- Of an edit that is to be followed: the record as it was before, and whether that was noted.
ALTER TABLE owed ADD COLUMN earlier {text};
ALTER TABLE owed ADD COLUMN has_earlier {bigint} NOT NULL DEFAULT 0;
-- Halves of transfers that this site made itself, also of those that were deleted since, and their lines that people here deleted: none is
-- made twice.
CREATE TABLE transfer_half (id {text} PRIMARY KEY) {keyed_table};
";

const NUMBERS: &str = "
-- See the module `numbers`. How many gaps numbers of the store need at least, and how many central told last.
ALTER TABLE store_grant ADD COLUMN number_gaps {bigint} NOT NULL DEFAULT 0;
ALTER TABLE store_grant ADD COLUMN number_gaps_told {bigint} NOT NULL DEFAULT 0;
-- 1 once everything was read that central has of the store under this grant.
ALTER TABLE store_grant ADD COLUMN is_read {bigint} NOT NULL DEFAULT 0;
-- The last document number that a request was given.
ALTER TABLE request ADD COLUMN last_number {bigint};
";

const STAYING: &str = "
-- See the module `withheld`: what never left the site is found without looking at everything else.
CREATE INDEX record_staying ON record (table_name, id) WHERE state = 3;
-- 1: not central's image, but the record as it stayed here, to which it falls back when central refuses what made it go.
ALTER TABLE base ADD COLUMN is_staying {bigint} NOT NULL DEFAULT 0;
";

const SHOWN: &str = "
-- The last of the times that a central which was set back told all grants and was shown this refusal in answer, counted from 1.
ALTER TABLE refusal ADD COLUMN shown {bigint} NOT NULL DEFAULT 0;
";

const WAITED: &str = "
-- Of an entry that waited at central before it was refused a number that rises from one to the next, else 0: a central that was set
-- back may hold it as waiting still.
ALTER TABLE refusal ADD COLUMN waited {bigint} NOT NULL DEFAULT 0;
";

const REFUSALS: &str = "
-- Verdicts on entries that the journal still has, also when the edit was let go of: a central that was set back is told them again.
CREATE TABLE refusal (
    journal_id {blob} NOT NULL,
    sequence {bigint} NOT NULL,
    code {text} NOT NULL,
    reason {text} NOT NULL,
    PRIMARY KEY (journal_id, sequence)
) {keyed_table};
INSERT INTO refusal (journal_id, sequence, code, reason) SELECT journal_id, sequence, code, reason FROM set_aside;
";

const CLAIMS: &str = "
-- See the module `grants`. Shows a central that was set back that it gave the grant itself.
ALTER TABLE store_grant ADD COLUMN proof {blob};
-- The control row that told it last.
ALTER TABLE store_grant ADD COLUMN told {bigint} NOT NULL DEFAULT 0;
-- 0 held, 1 claimed, 2 forgotten.
ALTER TABLE store_grant ADD COLUMN state {bigint} NOT NULL DEFAULT 0;
-- 1 for a record that was handed back to a central that had lost it, not edited here.
ALTER TABLE pending ADD COLUMN is_handed_back {bigint} NOT NULL DEFAULT 0;
";

const CHECKSUMS: &str = "
-- CRC-32 of the other columns but state; NULL in rows of before.
ALTER TABLE record ADD COLUMN checksum {bigint};
ALTER TABLE base ADD COLUMN checksum {bigint};
-- Of the entry alone.
ALTER TABLE pending ADD COLUMN checksum {bigint};
-- Of the scope's name and its cursor.
ALTER TABLE scope ADD COLUMN checksum {bigint};
";

const FIRST: &str = "
-- What is read: central's image with this site's pending entries on top.
CREATE TABLE record (
    table_name {text} NOT NULL,
    id {text} NOT NULL,
    store {text},
    data {text} NOT NULL,
    -- Of central's image below; 0 if central has sent none.
    position {bigint} NOT NULL,
    -- 0 as central has it, 1 with pending entries, 2 with entries that wait for a header, 3 never leaves the site.
    state {bigint} NOT NULL,
    PRIMARY KEY (table_name, id)
) {keyed_table};
CREATE INDEX record_by_store ON record (table_name, store, id);

-- Central's image of the records that have pending entries, and only of these. No data: central does not have the record.
CREATE TABLE base (
    table_name {text} NOT NULL,
    id {text} NOT NULL,
    store {text},
    data {text},
    position {bigint} NOT NULL,
    PRIMARY KEY (table_name, id)
) {keyed_table};

-- Entries of this site whose verdict is not final.
CREATE TABLE pending (
    -- The journal, as numbered in the table journal.
    journal {bigint} NOT NULL,
    sequence {bigint} NOT NULL,
    table_name {text} NOT NULL,
    id {text} NOT NULL,
    -- The store that the record belongs to with this entry.
    store {text},
    operation {text} NOT NULL,
    entry {blob} NOT NULL,
    is_waiting {bigint} NOT NULL,
    recorded_at_ms {bigint} NOT NULL,
    PRIMARY KEY (journal, sequence)
) {keyed_table};
CREATE INDEX pending_by_record ON pending (table_name, id, journal, sequence);

-- The shared journals of this site, in the order in which they were used.
CREATE TABLE journal (
    number {bigint} PRIMARY KEY,
    journal_id {blob} NOT NULL UNIQUE
) {table};

-- The scopes of this site and how far each is read.
CREATE TABLE scope (
    number {bigint} PRIMARY KEY,
    scope_id {blob} NOT NULL UNIQUE,
    epoch {bigint} NOT NULL,
    position {bigint} NOT NULL,
    began {bigint} NOT NULL,
    -- Raised by each read from 0; members of an older one were not seen since.
    generation {bigint} NOT NULL,
    -- 0 in order, 1 being read again from 0, 2 read again and being swept, 3 not received any more and being swept,
    -- 4 kept although central, which was set back, does not give it.
    rebuild {bigint} NOT NULL,
    swept_table {text} NOT NULL,
    swept_id {text} NOT NULL
) {table};

-- Which scope holds which record.
CREATE TABLE membership (
    table_name {text} NOT NULL,
    id {text} NOT NULL,
    scope {bigint} NOT NULL,
    generation {bigint} NOT NULL,
    PRIMARY KEY (table_name, id, scope)
) {keyed_table};

-- Stores that this site may write.
CREATE TABLE store_grant (
    store {text} PRIMARY KEY,
    ownership {bigint} NOT NULL
) {keyed_table};

CREATE TABLE set_aside (
    number {bigint} PRIMARY KEY,
    journal_id {blob} NOT NULL,
    sequence {bigint} NOT NULL,
    -- NULL with entry: the entry was not here any more when its refusal came.
    table_name {text},
    id {text},
    operation {text},
    entry {blob},
    code {text} NOT NULL,
    reason {text} NOT NULL,
    recorded_at_ms {bigint} NOT NULL,
    -- Under which it is recorded anew, so that a crash does not record it twice.
    retry_request_id {blob} NOT NULL UNIQUE,
    UNIQUE (journal_id, sequence)
) {table};

-- Control rows that this program does not understand.
CREATE TABLE control_unknown (
    number {bigint} PRIMARY KEY,
    code {bigint} NOT NULL,
    content {blob} NOT NULL
) {table};

-- What this site owes in answer to records that came (rule 5.14).
CREATE TABLE owed (
    number {bigint} PRIMARY KEY,
    kind {text} NOT NULL,
    table_name {text} NOT NULL,
    id {text} NOT NULL,
    UNIQUE (kind, table_name, id)
) {table};

CREATE TABLE request (
    number {bigint} PRIMARY KEY,
    request_id {blob} NOT NULL UNIQUE,
    first_sequence {bigint},
    last_sequence {bigint}
) {table};

-- A page that comes in parts; at most one.
CREATE TABLE page_part (
    part_offset {bigint} PRIMARY KEY,
    scope_id {blob} NOT NULL,
    hash {blob} NOT NULL,
    total {bigint} NOT NULL,
    content {blob} NOT NULL
) {table};

CREATE TABLE meta (
    name {text} PRIMARY KEY,
    number {bigint},
    content {blob}
) {keyed_table};
";
