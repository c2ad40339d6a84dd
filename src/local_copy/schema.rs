//! The tables of the local copy. `record` is what applications may read (`docs/local-copy.md`); the others are the agent's own.

use sql::Migration;

/// Marks the file as a local copy: "OutL".
pub const APPLICATION_ID: i32 = 0x4F75_744C;
/// The newest schema that this program knows.
pub const SCHEMA_VERSION: u32 = 1;

/// Steps from nothing to [`SCHEMA_VERSION`].
pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    number: 1,
    name: "records, base, pending, scopes, set-aside",
    ddl: "
        CREATE TABLE record (
            table_name {text} NOT NULL, id {text} NOT NULL, data {text} NOT NULL, store {text}, position {bigint} NOT NULL,
            PRIMARY KEY (table_name, id)
        ) {keyed_table};
        CREATE TABLE base (
            table_name {text} NOT NULL, id {text} NOT NULL, data {text}, store {text}, position {bigint} NOT NULL,
            PRIMARY KEY (table_name, id)
        ) {keyed_table};
        CREATE TABLE pending (
            sequence {bigint} PRIMARY KEY, table_name {text} NOT NULL, id {text} NOT NULL, entry {blob} NOT NULL,
            recorded_at_ms {bigint} NOT NULL, is_waiting {bigint} NOT NULL
        ) {table};
        CREATE INDEX pending_record ON pending (table_name, id, sequence);
        CREATE TABLE scope (
            number {bigint} PRIMARY KEY, scope {blob} NOT NULL UNIQUE, epoch {bigint} NOT NULL, cursor {bigint} NOT NULL,
            began {bigint} NOT NULL, generation {bigint} NOT NULL, rebuild {bigint} NOT NULL
        ) {table};
        CREATE TABLE member (
            table_name {text} NOT NULL, id {text} NOT NULL, scope {bigint} NOT NULL, generation {bigint} NOT NULL,
            PRIMARY KEY (table_name, id, scope)
        ) {keyed_table};
        CREATE TABLE store_grant (store {text} PRIMARY KEY, ownership {bigint} NOT NULL) {keyed_table};
        CREATE TABLE set_aside (
            number {bigint} PRIMARY KEY, journal {blob} NOT NULL, sequence {bigint} NOT NULL, table_name {text} NOT NULL,
            id {text} NOT NULL, entry {blob} NOT NULL, code {text} NOT NULL, reason {text} NOT NULL,
            recorded_at_ms {bigint} NOT NULL
        ) {table};
        CREATE TABLE control_unknown (number {bigint} PRIMARY KEY, code {bigint} NOT NULL, content {blob} NOT NULL) {table};
        CREATE TABLE request (
            request_id {blob} PRIMARY KEY, first {bigint}, last {bigint}, added {bigint} NOT NULL
        ) {keyed_table};
        CREATE INDEX request_added ON request (added);
        CREATE TABLE page_part (part_offset {bigint} PRIMARY KEY, bytes {blob} NOT NULL) {table};
        CREATE TABLE owed (number {bigint} PRIMARY KEY, kind {text} NOT NULL, table_name {text} NOT NULL, id {text} NOT NULL) {table};
        CREATE TABLE meta (name {text} PRIMARY KEY, value {text} NOT NULL) {keyed_table};
    ",
}];
