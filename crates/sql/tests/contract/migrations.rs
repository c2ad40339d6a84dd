//! What the steps of a schema promise on every engine.

use sql::{Migration, Sql, SqlErrorKind, SqlExt, check_migrations, migrate};

const FIRST: Migration = Migration { number: 1, name: "first", ddl: "CREATE TABLE one (id {bigint}) {table}" };
const SECOND: Migration = Migration {
    number: 2,
    name: "second",
    ddl: "CREATE TABLE two (id {bigint}) {table}; INSERT INTO two (id) VALUES (7)",
};
const FOURTH: Migration = Migration { number: 4, name: "fourth", ddl: "ALTER TABLE one ADD COLUMN note {text}" };

pub(crate) fn migrations_run_once_and_in_order(sql: &mut dyn Sql) {
    assert_eq!(migrate(sql, &[]).unwrap(), 0);
    assert_eq!(migrate(sql, &[FIRST]).unwrap(), 1);
    assert_eq!(migrate(sql, &[FIRST, SECOND, FOURTH]).unwrap(), 2);
    assert_eq!(migrate(sql, &[FIRST, SECOND, FOURTH]).unwrap(), 0);
    check_migrations(sql, &[FIRST, SECOND, FOURTH]).unwrap();
    assert_eq!(sql.query_integer("SELECT sum(id) FROM two", &[]).unwrap(), Some(7));
    assert_eq!(sql.query_integer("SELECT count(note) FROM one", &[]).unwrap(), Some(0));
}

pub(crate) fn a_changed_removed_or_inserted_step_is_refused(sql: &mut dyn Sql) {
    migrate(sql, &[FIRST, SECOND, FOURTH]).unwrap();
    let changed = Migration { ddl: "CREATE TABLE two (id {bigint}, more {text}) {table}", ..SECOND };
    let third = Migration { number: 3, name: "third", ddl: "CREATE TABLE three (id {bigint}) {table}" };
    for (steps, part) in [
        (&[FIRST, changed, FOURTH][..], "step 2 (second) was applied with checksum"),
        (&[FIRST, FOURTH][..], "step 2 (second), which this program does not have"),
        (&[FIRST, SECOND, third, FOURTH][..], "step 3 (third) was put in before step 4"),
    ] {
        let error = migrate(sql, steps).unwrap_err();
        assert_eq!(error.kind, SqlErrorKind::Other);
        assert!(error.message.contains(part), "{error}");
        assert_eq!(check_migrations(sql, steps).unwrap_err(), error);
    }
    let renamed = Migration { name: "a better name", ..SECOND };
    assert_eq!(migrate(sql, &[FIRST, renamed, FOURTH]).unwrap(), 0);
}

pub(crate) fn a_newer_schema_is_refused(sql: &mut dyn Sql) {
    migrate(sql, &[FIRST, SECOND, FOURTH]).unwrap();
    let error = migrate(sql, &[FIRST, SECOND]).unwrap_err();
    assert_eq!((error.kind, error.code()), (SqlErrorKind::Newer, "sql_newer"));
    assert!(error.message.contains("step 4 (fourth)") && error.message.contains("up to 2"), "{error}");
}

pub(crate) fn a_failed_step_is_undone_and_the_steps_before_it_stay(sql: &mut dyn Sql) {
    let broken = Migration { ddl: "CREATE TABLE two (id {bigint}) {table}; CREATE TABLE one (id {bigint})", ..SECOND };
    assert_eq!(migrate(sql, &[FIRST, broken]).unwrap_err().kind, SqlErrorKind::Other);
    assert_eq!(migrate(sql, &[FIRST, SECOND]).unwrap(), 1);
}

pub(crate) fn steps_out_of_order_are_refused(sql: &mut dyn Sql) {
    for steps in [[SECOND, FIRST], [FIRST, FIRST], [Migration { number: 0, ..FIRST }, SECOND]] {
        assert!(migrate(sql, &steps).unwrap_err().message.contains("numbers start at 1 and rise"));
    }
}

pub(crate) fn a_check_of_migrations_names_the_missing_step(sql: &mut dyn Sql) {
    assert!(check_migrations(sql, &[FIRST]).is_err());
    migrate(sql, &[FIRST]).unwrap();
    let error = check_migrations(sql, &[FIRST, SECOND]).unwrap_err();
    assert!(error.message.contains("step 2 (second) is not applied yet"), "{error}");
}
