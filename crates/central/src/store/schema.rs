//! Tables of the store. `record` and the view `entry_log` are for people too: reports and users' own tools read them with SQL.
//!
//! Inside, a journal, a scope and a record are called by number. Positions, sequences and times (milliseconds since 1970) are
//! whole numbers; an epoch is a random 64-bit number written as a signed one.

use sql::Migration;

/// Number of the last migration.
pub(super) const VERSION: u32 = 30;

/// Every step. A released one never changes.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "the store", ddl: FIRST },
    Migration { number: 2, name: "checksums", ddl: CHECKSUMS },
    Migration { number: 3, name: "what a device knows", ddl: HEARD },
    Migration { number: 4, name: "one device speaks for a site", ddl: ONE_DEVICE },
    Migration { number: 5, name: "who speaks for a site", ddl: IDENTITY },
    Migration { number: 6, name: "where exchanges come from", ddl: ORIGIN },
    Migration { number: 7, name: "healing", ddl: HEALING },
    Migration { number: 8, name: "who has reported", ddl: REPORTED },
    Migration { number: 9, name: "dispensaries", ddl: DISPENSARIES },
    Migration { number: 10, name: "claims", ddl: CLAIMS },
    Migration { number: 11, name: "visibility", ddl: VISIBILITY },
    Migration { number: 12, name: "patients", ddl: PATIENTS },
    Migration { number: 13, name: "what a site may still have", ddl: TAKES_BACK },
    Migration { number: 14, name: "which device was chosen", ddl: CHOSEN },
    Migration { number: 15, name: "who writes central data", ddl: AUTHORITY },
    Migration { number: 16, name: "names that are one", ddl: NAME_ALIASES },
    Migration { number: 17, name: "home stores", ddl: HOME_STORES },
    Migration { number: 18, name: "epochs of tokens", ddl: TOKEN_EPOCHS },
    Migration { number: 19, name: "prescribers that are one", ddl: PRESCRIBER_ALIASES },
    Migration { number: 20, name: "stores on their way", ddl: STORE_MOVES },
    Migration { number: 21, name: "tombstones that went", ddl: TOMBSTONES },
    Migration { number: 22, name: "what sites have compared", ddl: VERIFIED },
    Migration { number: 23, name: "the life of a site", ddl: SITE_LIFE },
    Migration { number: 24, name: "the audit log", ddl: AUDIT },
    Migration { number: 25, name: "people", ddl: PEOPLE },
    Migration { number: 26, name: "document numbers that may be lost", ddl: NUMBER_GAPS },
    Migration { number: 27, name: "how much is set aside", ddl: SET_ASIDE_SIZE },
    Migration { number: 28, name: "proposals", ddl: super::proposals::DDL },
    Migration { number: 29, name: "what refers to what", ddl: super::references::DDL },
    Migration { number: 30, name: "transfers", ddl: super::transfers::DDL },
];

/// See the module `set_aside_size`. `dropped_ms`: when the last went for want of room.
const SET_ASIDE_SIZE: &str = "
CREATE TABLE set_aside_size (
    site {bigint} PRIMARY KEY,
    entries {bigint} NOT NULL,
    late {bigint} NOT NULL,
    bytes {bigint} NOT NULL,
    dropped_entries {bigint} NOT NULL,
    dropped_bytes {bigint} NOT NULL,
    dropped_ms {bigint}
) {table};
INSERT INTO set_aside_size (site, entries, late, bytes, dropped_entries, dropped_bytes)
    SELECT journal.site, count(*),
        sum(CASE WHEN entry.code IN ('device_retired', 'ownership_number', 'not_store_holder') THEN 1 ELSE 0 END),
        sum(length(entry.bytes)), 0, 0
    FROM entry JOIN journal ON journal.number = entry.journal WHERE entry.verdict = 2 GROUP BY journal.site;
";

/// See the module `verifying`. `outcome`: a `protocol::verify::Outcome`.
const VERIFIED: &str = "
CREATE TABLE site_verified (
    site {bigint} PRIMARY KEY,
    asked_ms {bigint},
    verified_ms {bigint},
    outcome {blob}
) {table};
";

/// See the modules `deleting` and `pausing`. `site.kind`: what the site was meant to be when it was added; `reported_kind`: what its device
/// said of itself when it enrolled, which counts from then on. `proved_generation`: of name and password, when it enrolled last.
/// `contact.version`: the version that its last request spoke.
const SITE_LIFE: &str = "
ALTER TABLE site ADD COLUMN deleted_ms {bigint};
ALTER TABLE site ADD COLUMN deleted_name {text};
ALTER TABLE site ADD COLUMN reported_kind {text};
ALTER TABLE site ADD COLUMN proved_generation {bigint};
ALTER TABLE contact ADD COLUMN version {bigint};
CREATE TABLE site_pause (
    site {bigint} PRIMARY KEY,
    since_ms {bigint} NOT NULL,
    until_ms {bigint}
) {table};
";

/// See the module `people`. `authorisation`: one row, with id 1; none while there is no code.
const PEOPLE: &str = "
CREATE TABLE account (
    name {text} PRIMARY KEY,
    role {text} NOT NULL,
    password_hash {text} NOT NULL,
    generation {bigint} NOT NULL,
    is_disabled {bigint} NOT NULL,
    created_ms {bigint} NOT NULL
) {keyed_table};
CREATE TABLE api_token (
    name {text} PRIMARY KEY,
    role {text} NOT NULL,
    secret_hash {blob} NOT NULL UNIQUE,
    created_ms {bigint} NOT NULL,
    expires_ms {bigint}
) {keyed_table};
CREATE TABLE authorisation (
    id {bigint} PRIMARY KEY,
    code_hash {text} NOT NULL
) {table};
CREATE TABLE unlocking (
    actor {text} PRIMARY KEY,
    since_ms {bigint} NOT NULL,
    until_ms {bigint} NOT NULL
) {keyed_table};
";

/// See the module `audit`. `asked`, `before` and `after` are JSON.
const AUDIT: &str = "
CREATE TABLE audit (
    number {bigint} PRIMARY KEY,
    time_ms {bigint} NOT NULL,
    times {bigint} NOT NULL,
    actor {text} NOT NULL,
    verb {text} NOT NULL,
    site {bigint},
    other_site {bigint},
    store {text},
    table_name {text},
    record {text},
    asked {text},
    before {text},
    after {text},
    outcome {bigint} NOT NULL,
    code {text},
    is_refusal {bigint} NOT NULL
) {table};
CREATE INDEX audit_refusal ON audit (is_refusal, number);
INSERT INTO counter (name, value) VALUES
    ('audit_last', 0), ('audit_changes', 0), ('audit_refusals', 0), ('audit_changes_floor', 0), ('audit_refusals_floor', 0);
";

/// See the module `number_gaps`.
const NUMBER_GAPS: &str = "
CREATE TABLE number_gap (
    store {text} PRIMARY KEY,
    gaps {bigint} NOT NULL
) {keyed_table};
";

/// See the module `tombstones`.
const TOMBSTONES: &str = "
ALTER TABLE scope ADD COLUMN floor {bigint} NOT NULL DEFAULT 0;
CREATE INDEX lane_tombstone ON lane (position) WHERE is_tombstone = 1;
CREATE TABLE position_mark (
    day {bigint} PRIMARY KEY,
    position {bigint} NOT NULL
) {table};
";

/// See the module `moves`.
const STORE_MOVES: &str = "
CREATE TABLE store_move (
    store {text} PRIMARY KEY,
    from_site {bigint} NOT NULL,
    to_site {bigint} NOT NULL,
    phase {bigint} NOT NULL,
    asked_ms {bigint} NOT NULL
) {keyed_table};
";

/// See the module `tokens`. `contact.token_epoch` and `token_first` are read where `token_epochs` is empty, and not written.
const TOKEN_EPOCHS: &str = "
ALTER TABLE contact ADD COLUMN token_epochs {blob};
ALTER TABLE contact ADD COLUMN is_reopened {bigint} NOT NULL DEFAULT 0;
";

/// See the modules `patients`, `prescribers` and `home_transfers`. `home_transfer.position`: of the record that says that the patient goes
/// there.
const HOME_STORES: &str = "
CREATE TABLE home_store (
    visible_key {text} PRIMARY KEY,
    store {text} NOT NULL
) {keyed_table};
INSERT INTO home_store (visible_key, store) SELECT 'n' || name, store FROM patient_home;
DROP TABLE patient_home;
CREATE INDEX home_store_store ON home_store (store, visible_key);
CREATE TABLE home_transfer (
    visible_key {text} PRIMARY KEY,
    site {bigint} NOT NULL,
    to_store {text} NOT NULL,
    position {bigint} NOT NULL,
    asked_ms {bigint} NOT NULL
) {keyed_table};
CREATE INDEX home_transfer_site ON home_transfer (site, position);
CREATE TABLE prescriber_visibility (
    id {text} PRIMARY KEY,
    prescriber {text} NOT NULL,
    store {text} NOT NULL
) {keyed_table};
CREATE INDEX prescriber_visibility_store ON prescriber_visibility (store, prescriber);
CREATE TABLE prescribed (
    store {text} NOT NULL,
    prescriber {text} NOT NULL,
    PRIMARY KEY (store, prescriber)
) {keyed_table};
";

/// See the module `aliases`. Filled at the next start from the merges that are there.
const NAME_ALIASES: &str = "
CREATE TABLE name_alias (
    name {text} PRIMARY KEY,
    stands_for {text} NOT NULL
) {keyed_table};
CREATE INDEX name_alias_end ON name_alias (stands_for, name);
";

/// The same of prescribers.
const PRESCRIBER_ALIASES: &str = "
CREATE TABLE prescriber_alias (
    prescriber {text} PRIMARY KEY,
    stands_for {text} NOT NULL
) {keyed_table};
CREATE INDEX prescriber_alias_end ON prescriber_alias (stands_for, prescriber);
";

/// See the module `mirror`. One row, with id 1; none while central has always written.
const AUTHORITY: &str = "
CREATE TABLE authority (
    id {bigint} PRIMARY KEY,
    phase {bigint} NOT NULL,
    site {bigint} NOT NULL,
    ownership {bigint} NOT NULL,
    control {bigint} NOT NULL
) {table};
";

/// `site_stop_device.token`: what the device shows. `contact.tokens_rejected`: what the device shows that was not chosen, 16 bytes each.
const CHOSEN: &str = "
ALTER TABLE site_stop_device ADD COLUMN token {blob};
ALTER TABLE contact ADD COLUMN tokens_rejected {blob};
";

/// See the module `gained`.
const TAKES_BACK: &str = "ALTER TABLE backfill ADD COLUMN takes_back {bigint} NOT NULL DEFAULT 1;";

/// See the module `patients`. Before it no patient was taken, so there is nothing to fill in.
const PATIENTS: &str = "
CREATE TABLE patient_home (
    name {text} PRIMARY KEY,
    store {text} NOT NULL
) {keyed_table};
CREATE INDEX patient_home_store ON patient_home (store, name);
";

/// See the modules `visibility` and `roles`. `lane.visible_key`: what a site has to see to be given the row; empty in all other lanes.
/// `site.gained_floor`: up to here rows of the site's own lane are gone, because its device had read them.
const VISIBILITY: &str = "
ALTER TABLE lane ADD COLUMN visible_key {text};
ALTER TABLE site ADD COLUMN gained_floor {bigint} NOT NULL DEFAULT 0;
CREATE INDEX lane_visible ON lane (visible_key, record) WHERE visible_key IS NOT NULL;
CREATE TABLE visibility (
    id {text} PRIMARY KEY,
    name {text} NOT NULL,
    store {text} NOT NULL,
    is_reverse {bigint} NOT NULL
) {keyed_table};
CREATE INDEX visibility_store ON visibility (store, name);
CREATE INDEX visibility_name ON visibility (name, store);
CREATE TABLE store_name (
    store {text} PRIMARY KEY,
    name {text} NOT NULL
) {keyed_table};
CREATE INDEX store_name_name ON store_name (name, store);
CREATE TABLE store_role (
    store {text} NOT NULL,
    site {bigint} NOT NULL,
    is_in_force {bigint} NOT NULL,
    PRIMARY KEY (store, site)
) {keyed_table};
CREATE INDEX store_role_site ON store_role (site, store);
CREATE INDEX store_site_site ON store_site (site, store);
CREATE TABLE site_sees (
    site {bigint} NOT NULL,
    visible_key {text} NOT NULL,
    PRIMARY KEY (site, visible_key)
) {keyed_table};
CREATE INDEX site_sees_key ON site_sees (visible_key, site);
CREATE TABLE backfill (
    site {bigint} NOT NULL,
    visible_key {text} NOT NULL,
    after {bigint} NOT NULL,
    PRIMARY KEY (site, visible_key)
) {keyed_table};
";

/// See the module `claims`. Sites that were found ahead and are not healed are told their grants anew.
const CLAIMS: &str = "
ALTER TABLE site ADD COLUMN grants_told {bigint};
UPDATE site SET grants_told = 0 WHERE id IN (SELECT site FROM site_ahead WHERE healed_ms IS NULL);
CREATE TABLE grant_claim (
    site {bigint} NOT NULL,
    store {text} NOT NULL,
    ownership {bigint} NOT NULL,
    is_own {bigint} NOT NULL,
    PRIMARY KEY (site, store)
) {keyed_table};
";

/// `dispensary`: stores whose record says so. `scope_drop`: scopes that a site does not receive any more and has not been told of:
/// up to which control row its cursors of them mean nothing.
const DISPENSARIES: &str = "
CREATE TABLE dispensary (
    store {text} PRIMARY KEY
) {keyed_table};
CREATE TABLE scope_drop (
    site {bigint} NOT NULL,
    scope {blob} NOT NULL,
    control {bigint} NOT NULL,
    PRIMARY KEY (site, scope)
) {keyed_table};
INSERT INTO dispensary (store)
    SELECT id FROM record WHERE table_name = 'store' AND data LIKE '%\"store_mode\":\"dispensary\"%';
";

/// See the module `healing`. A store that heals waits for the sites that it knows to be ahead. `journal.refused_before`: the last entry
/// that its device says to have been refused before central was set back; `entry.code` and `reason` say why until it is judged.
const REPORTED: &str = "
CREATE TABLE healing (
    number {bigint} PRIMARY KEY,
    since_ms {bigint} NOT NULL,
    ended_ms {bigint},
    is_ended_by_operator {bigint} NOT NULL DEFAULT 0
) {table};
ALTER TABLE journal ADD COLUMN refused_before {bigint} NOT NULL DEFAULT 0;
CREATE TABLE healing_site (
    site {bigint} PRIMARY KEY,
    is_waived {bigint} NOT NULL DEFAULT 0
) {table};
INSERT INTO healing_site (site) SELECT site FROM site_ahead WHERE healed_ms IS NULL;
INSERT INTO healing (number, since_ms)
    SELECT 1, min(noticed_ms) FROM site_ahead WHERE healed_ms IS NULL HAVING count(*) > 0;
";

/// `contact.token_epoch` and `token_first`: half of the epoch in which the last token was given, and the number of the first one that
/// was given in it. A token of another epoch with this number or a higher one was given by a central that is not this one any more.
const HEALING: &str = "
ALTER TABLE contact ADD COLUMN token_epoch {bigint};
ALTER TABLE contact ADD COLUMN token_first {bigint};
";

/// `contact.address` and `head`: of the last exchange that was answered, where it came from and how far the device's journal went.
/// `site_stop_device`: the same of the two devices because of which a site stopped.
const ORIGIN: &str = "
ALTER TABLE contact ADD COLUMN address {text};
ALTER TABLE contact ADD COLUMN head {bigint};
CREATE TABLE site_stop_device (
    site {bigint} NOT NULL,
    is_dead_token {bigint} NOT NULL,
    seen_ms {bigint} NOT NULL,
    address {text},
    journal {blob},
    head {bigint},
    PRIMARY KEY (site, is_dead_token)
) {keyed_table};
";

/// `contact.tokens_given`: each with the hash of the request head that it answers; those of before are forgotten, and the next
/// request is taken whatever it shows. `challenge`: the nonce that a request with a dead token has to answer. `site_stop`: sites
/// that do not sync until an administrator chooses. `site_ahead`: sites that showed to have heard more than central remembers, so
/// that central was set back; healed once a session brought everything both ways since. `journal.closed_at`: how far it was received
/// when another took its place.
const ONE_DEVICE: &str = "
CREATE TABLE site_stop (
    site {bigint} PRIMARY KEY,
    since_ms {bigint} NOT NULL,
    code {text} NOT NULL,
    reason {text} NOT NULL
) {table};
CREATE TABLE site_ahead (
    site {bigint} PRIMARY KEY,
    noticed_ms {bigint} NOT NULL,
    healed_ms {bigint}
) {table};
ALTER TABLE contact ADD COLUMN challenge {blob};
ALTER TABLE contact ADD COLUMN token_number {bigint} NOT NULL DEFAULT 0;
UPDATE contact SET token_used = NULL, tokens_given = '';
ALTER TABLE journal ADD COLUMN closed_at {bigint};
UPDATE journal SET closed_at = received WHERE is_active = 0;
";

/// `site.salt`: random, hashed with the hardware's values; `hardware`: the wire form of the bound device's id, empty without a
/// device; `bound_ms`: since when. `retired_key`: keys that spoke for a site before. `site_credentials`: every pair of name and
/// password by its generation, the one that counts among them.
const IDENTITY: &str = "
ALTER TABLE site ADD COLUMN salt {blob};
ALTER TABLE site ADD COLUMN hardware {blob};
ALTER TABLE site ADD COLUMN bound_ms {bigint};

CREATE TABLE retired_key (
    site {bigint} NOT NULL,
    public_key {blob} NOT NULL,
    retired_ms {bigint} NOT NULL,
    reason {text} NOT NULL,
    PRIMARY KEY (site, public_key)
) {keyed_table};

CREATE TABLE site_credentials (
    site {bigint} NOT NULL,
    generation {bigint} NOT NULL,
    name {text} NOT NULL,
    password_hash {text} NOT NULL,
    PRIMARY KEY (site, generation)
) {keyed_table};
INSERT INTO site_credentials (site, generation, name, password_hash)
    SELECT id, generation, name, password_hash FROM site WHERE id > 1;
UPDATE site SET bound_ms = enrolled_ms;
";

/// What central knows of what a device knows, by journal. `echo_after`: how far it was received when the site last began to read a
/// lane from 0; what came before then the device may have lost with its local copy, whenever it is judged. `told`: how far the
/// last reply said that it is received. `heard`: how far the device is known to have heard it, by the token it shows.
const HEARD: &str = "
ALTER TABLE journal ADD COLUMN echo_after {bigint} NOT NULL DEFAULT 0;
ALTER TABLE journal ADD COLUMN told {bigint} NOT NULL DEFAULT 0;
ALTER TABLE journal ADD COLUMN heard {bigint} NOT NULL DEFAULT 0;
";

/// Of table, id, store, data and position: what a report or a site reads is what was written. Empty in rows of before.
const CHECKSUMS: &str = "ALTER TABLE record ADD COLUMN checksum {bigint};";

const _: () = assert!(MIGRATIONS.len() == VERSION as usize, "each migration counts");

/// A table's primary key is what it is read by. Notes on what is not plain:
///
/// - `entry.verdict`: empty for what is not judged yet (above `journal.judged`) and for what is plainly accepted (up to it); 1
///   waits for a header; 2 refused. So accepting an entry costs no second write.
/// - `record.data` is empty for a deleted record; its number is the position at which it was first written.
/// - `lane`: only the newest row of a record stays. `echo_journal` is the journal that need not be told (rule 5.15).
/// - `control.judged`: how far the site's journal was judged when the row was given. A reply that does not carry the row yet
///   may not call anything behind that judged, or verdicts would come in another order than they were given.
const FIRST: &str = "
CREATE TABLE counter (name {text} PRIMARY KEY, value {bigint} NOT NULL) {keyed_table};
INSERT INTO counter (name, value) VALUES ('position', 0);

CREATE TABLE epoch (
    number {bigint} PRIMARY KEY,
    epoch {bigint} NOT NULL UNIQUE,
    first_number {bigint} NOT NULL,
    started_ms {bigint} NOT NULL
) {table};

CREATE TABLE site (
    id {bigint} PRIMARY KEY,
    name {text} NOT NULL UNIQUE,
    code {text} NOT NULL,
    kind {text} NOT NULL,
    password_hash {text} NOT NULL,
    public_key {blob},
    generation {bigint} NOT NULL,
    enrolled_ms {bigint},
    control_last {bigint} NOT NULL
) {table};

CREATE TABLE contact (
    site {bigint} PRIMARY KEY,
    last_contact_ms {bigint} NOT NULL,
    last_drained_ms {bigint},
    token_used {blob},
    tokens_given {blob} NOT NULL
) {table};

CREATE TABLE site_cursor (
    site {bigint} NOT NULL,
    scope {blob} NOT NULL,
    epoch {bigint} NOT NULL,
    number {bigint} NOT NULL,
    began {bigint} NOT NULL,
    PRIMARY KEY (site, scope)
) {keyed_table};

CREATE TABLE store_site (
    store {text} PRIMARY KEY,
    site {bigint} NOT NULL,
    ownership {bigint} NOT NULL
) {keyed_table};

CREATE TABLE journal (
    number {bigint} PRIMARY KEY,
    site {bigint} NOT NULL,
    id {blob} NOT NULL,
    is_active {bigint} NOT NULL,
    genesis {blob} NOT NULL,
    received {bigint} NOT NULL,
    received_hash {blob} NOT NULL,
    judged {bigint} NOT NULL,
    floor {bigint} NOT NULL,
    is_refusing_group {bigint} NOT NULL,
    predecessor {blob},
    UNIQUE (site, id)
) {table};

CREATE TABLE entry (
    journal {bigint} NOT NULL,
    sequence {bigint} NOT NULL,
    hash {blob} NOT NULL,
    bytes {blob} NOT NULL,
    table_name {text},
    record {text},
    verdict {bigint},
    code {text},
    reason {text},
    received_ms {bigint} NOT NULL,
    PRIMARY KEY (journal, sequence)
) {keyed_table};
CREATE INDEX entry_refused_record ON entry (table_name, record) WHERE verdict = 2;
CREATE INDEX entry_refused ON entry (journal, sequence) WHERE verdict = 2;

CREATE VIEW entry_log AS
    SELECT journal.site AS site, journal.id AS journal, entry.sequence AS sequence, entry.table_name AS table_name,
        entry.record AS record, entry.code AS code, entry.reason AS reason, entry.received_ms AS received_ms, entry.hash AS hash,
        CASE WHEN entry.verdict = 1 THEN 'waiting' WHEN entry.verdict = 2 THEN 'refused'
            WHEN entry.sequence <= journal.judged THEN 'accepted' ELSE 'received' END AS verdict
    FROM entry JOIN journal ON journal.number = entry.journal;

CREATE TABLE waiting (
    journal {bigint} NOT NULL,
    sequence {bigint} NOT NULL,
    group_first {bigint} NOT NULL,
    site {bigint} NOT NULL,
    table_name {text} NOT NULL,
    record {text} NOT NULL,
    for_table {text} NOT NULL,
    for_record {text} NOT NULL,
    is_cancelled {bigint} NOT NULL,
    PRIMARY KEY (journal, sequence)
) {keyed_table};
CREATE INDEX waiting_for ON waiting (for_table, for_record);
CREATE INDEX waiting_record ON waiting (site, table_name, record);

CREATE TABLE record (
    number {bigint} PRIMARY KEY,
    table_name {text} NOT NULL,
    id {text} NOT NULL,
    data {text},
    store {text},
    position {bigint} NOT NULL,
    parent_table {text},
    parent_id {text},
    UNIQUE (table_name, id)
) {table};

CREATE TABLE scope (
    number {bigint} PRIMARY KEY,
    id {blob} NOT NULL UNIQUE,
    name {text} NOT NULL
) {table};

CREATE TABLE lane (
    scope {bigint} NOT NULL,
    position {bigint} NOT NULL,
    record {bigint} NOT NULL,
    entered {bigint} NOT NULL,
    is_tombstone {bigint} NOT NULL,
    echo_journal {bigint},
    PRIMARY KEY (scope, position)
) {keyed_table};
CREATE UNIQUE INDEX lane_record ON lane (record, scope);

CREATE TABLE control (
    site {bigint} NOT NULL,
    number {bigint} NOT NULL,
    code {bigint} NOT NULL,
    content {blob} NOT NULL,
    journal {bigint},
    judged {bigint} NOT NULL,
    PRIMARY KEY (site, number)
) {keyed_table};

CREATE TABLE frame_part (
    site {bigint} PRIMARY KEY,
    hash {blob} NOT NULL,
    total {bigint} NOT NULL,
    received {bigint} NOT NULL
) {table};
CREATE TABLE frame_part_piece (
    site {bigint} NOT NULL,
    starts_at {bigint} NOT NULL,
    bytes {blob} NOT NULL,
    PRIMARY KEY (site, starts_at)
) {keyed_table};
";
