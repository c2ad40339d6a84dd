//! What every engine promises, run against each of them.

#![expect(clippy::unwrap_used, reason = "every function here is the body of a test, called from where it is made one")]

use std::ops::ControlFlow;

use sql::{Durability, Options, Param, Sql, SqlError, SqlErrorKind, SqlExt, SqliteEngine, Value};

mod migrations;

use migrations::*;

macro_rules! contract {
    ($($promise:ident),* $(,)?) => {
        mod sqlite_on_disk {
            $(#[test]
            fn $promise() {
                let folder = tempfile::tempdir().unwrap();
                let options = super::Options::new(7, u32::MAX);
                super::$promise(&mut super::SqliteEngine::open(folder.path().join("test.db"), &options).unwrap());
            })*
        }

        mod sqlite_in_memory {
            $(#[test]
            fn $promise() {
                super::$promise(&mut super::SqliteEngine::in_memory().unwrap());
            })*
        }
    };
}

contract!(
    values_come_back_as_they_went_in,
    a_column_read_as_another_type_is_an_error,
    values_of_another_type_than_the_column_are_refused,
    bytes_and_text_are_ordered_by_their_bytes,
    an_upsert_replaces_the_row,
    a_rollback_undoes_everything,
    an_error_of_the_work_undoes_the_transaction_and_comes_back_as_it_was,
    savepoints_nest,
    a_savepoint_of_another_name_than_allowed_is_refused,
    work_in_a_savepoint_is_undone_alone,
    a_visitor_stops_the_query_by_break_and_by_error,
    a_broken_constraint_is_named_and_blocks_until_the_rollback,
    a_failure_is_cleared_by_rolling_back_to_a_savepoint,
    a_missing_savepoint_fails_the_transaction,
    writes_outside_a_transaction_are_refused,
    transactions_do_not_nest,
    nothing_is_written_in_a_read_transaction,
    wrong_sql_and_wrong_numbers_of_parameters_are_mistakes,
    a_cached_statement_follows_a_changed_schema,
    more_statements_than_the_cache_holds_still_work,
    the_first_row_or_none_is_read,
    an_unknown_placeholder_changes_nothing,
    errors_quote_the_statement_and_never_the_parameters,
    migrations_run_once_and_in_order,
    a_changed_removed_or_inserted_step_is_refused,
    a_newer_schema_is_refused,
    a_failed_step_is_undone_and_the_steps_before_it_stay,
    steps_out_of_order_are_refused,
    a_check_of_migrations_names_the_missing_step,
);

fn with_pairs(sql: &mut dyn Sql) {
    sql.in_transaction(Durability::Process, |sql| {
        sql.execute_script("CREATE TABLE pairs (name {text} PRIMARY KEY, amount {bigint} NOT NULL) {keyed_table}")
    })
    .unwrap();
}

fn put(sql: &mut dyn Sql, name: &str, amount: i64) -> Result<u64, SqlError> {
    sql.execute("INSERT INTO pairs (name, amount) VALUES (?1, ?2)", &[name.into(), amount.into()])
}

fn names(sql: &mut dyn Sql) -> String {
    let mut names = Vec::new();
    sql.query("SELECT name FROM pairs ORDER BY name", &[], &mut |row| {
        names.push(row.text(0)?.to_owned());
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    names.join(" ")
}

fn values_come_back_as_they_went_in(sql: &mut dyn Sql) {
    let values = [
        Value::Null,
        Value::Integer(i64::MIN),
        Value::Integer(-1),
        Value::Integer(0),
        Value::Integer(i64::MAX),
        Value::Text(String::new()),
        Value::Text("Ünïcode, 中文, 𝄞 and 'quotes'; --".into()),
        Value::Blob(Vec::new()),
        Value::Blob((0..=255).collect()),
        Value::Blob(vec![0; 100_000]),
    ];
    sql.begin(Durability::Full).unwrap();
    sql.execute_script("CREATE TABLE v (id {bigint} PRIMARY KEY, i {bigint}, t {text}, b {blob}) {table}").unwrap();
    for (id, value) in (0_i64..).zip(&values) {
        let column = match value {
            Value::Text(_) => "t",
            Value::Blob(_) => "b",
            Value::Integer(_) | Value::Null => "i",
        };
        let insert = format!("INSERT INTO v (id, {column}) VALUES (?1, ?2)");
        assert_eq!(sql.execute(&insert, &[id.into(), value.into()]).unwrap(), 1);
    }
    sql.commit().unwrap();

    let mut read = Vec::new();
    sql.query("SELECT i, t, b FROM v ORDER BY id", &[], &mut |row| {
        let columns = [row.value(0)?, row.value(1)?, row.value(2)?];
        read.push(columns.into_iter().find(|value| *value != Value::Null).unwrap_or(Value::Null));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    assert_eq!(read, values);

    let position = Param::unsigned(1 << 62).unwrap();
    sql.in_transaction(Durability::Full, |sql| sql.execute("UPDATE v SET i = ?1 WHERE id = ?2", &[position, 1.into()]))
        .unwrap();
    let back = sql.query_one("SELECT i FROM v WHERE id = ?1", &[1.into()], |row| row.unsigned(0)).unwrap();
    assert_eq!(back, Some(1 << 62));
}

fn a_column_read_as_another_type_is_an_error(sql: &mut dyn Sql) {
    with_pairs(sql);
    sql.in_transaction(Durability::Process, |sql| put(sql, "a", -1)).unwrap();
    let select = "SELECT name, amount, NULL FROM pairs";
    for outcome in [
        sql.query_one(select, &[], |row| row.integer(0)).map(|_| ()),
        sql.query_one(select, &[], |row| row.text(1).map(|_| ())).map(|_| ()),
        sql.query_one(select, &[], |row| row.blob(0).map(|_| ())).map(|_| ()),
        sql.query_one(select, &[], |row| row.unsigned(1)).map(|_| ()),
        sql.query_one(select, &[], |row| row.integer(2)).map(|_| ()),
        sql.query_one(select, &[], |row| row.integer(3)).map(|_| ()),
    ] {
        assert_eq!(outcome.unwrap_err().kind, SqlErrorKind::Other);
    }
    let nothing = sql
        .query_one(select, &[], |row| {
            Ok(row.optional_integer(2)?.is_none() && row.optional_text(2)?.is_none() && row.optional_blob(2)?.is_none())
        })
        .unwrap();
    assert_eq!(nothing, Some(true));
}

fn values_of_another_type_than_the_column_are_refused(sql: &mut dyn Sql) {
    with_pairs(sql);
    for params in [[Param::Text("a"), Param::Text("many")], [Param::Blob(b"a"), Param::Integer(1)]] {
        let outcome = sql.in_transaction(Durability::Process, |sql| {
            sql.execute("INSERT INTO pairs (name, amount) VALUES (?1, ?2)", &params)
        });
        assert!(outcome.is_err(), "{params:?}");
    }
    assert_eq!(names(sql), "");
}

fn bytes_and_text_are_ordered_by_their_bytes(sql: &mut dyn Sql) {
    with_pairs(sql);
    sql.in_transaction(Durability::Process, |sql| -> Result<(), SqlError> {
        for name in ["b", "é", "B", "a", "aa", "Z"] {
            put(sql, name, 1)?;
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(names(sql), "B Z a aa b é");
}

fn an_upsert_replaces_the_row(sql: &mut dyn Sql) {
    with_pairs(sql);
    let upsert = "INSERT INTO pairs (name, amount) VALUES (?1, ?2) \
                  ON CONFLICT (name) DO UPDATE SET amount = excluded.amount";
    sql.in_transaction(Durability::Full, |sql| -> Result<(), SqlError> {
        assert_eq!(sql.execute(upsert, &["a".into(), 1.into()])?, 1);
        assert_eq!(sql.execute(upsert, &["a".into(), 2.into()])?, 1);
        Ok(())
    })
    .unwrap();
    assert_eq!(sql.query_integer("SELECT amount FROM pairs WHERE name = ?1", &["a".into()]).unwrap(), Some(2));
}

fn a_rollback_undoes_everything(sql: &mut dyn Sql) {
    with_pairs(sql);
    sql.rollback().unwrap();
    sql.begin(Durability::Full).unwrap();
    put(sql, "a", 1).unwrap();
    sql.execute_script("CREATE TABLE more (id {bigint} PRIMARY KEY) {table}").unwrap();
    sql.rollback().unwrap();
    assert_eq!(names(sql), "");
    assert!(sql.query("SELECT id FROM more", &[], &mut |_| Ok(ControlFlow::Continue(()))).is_err());
}

fn an_error_of_the_work_undoes_the_transaction_and_comes_back_as_it_was(sql: &mut dyn Sql) {
    #[derive(Debug, PartialEq)]
    enum Refusal {
        Mine(u8),
        Sql(SqlError),
    }
    impl From<SqlError> for Refusal {
        fn from(error: SqlError) -> Self {
            Refusal::Sql(error)
        }
    }
    with_pairs(sql);
    let outcome = sql.in_transaction(Durability::Full, |sql| {
        put(sql, "a", 1)?;
        Err::<(), _>(Refusal::Mine(3))
    });
    assert_eq!(outcome, Err(Refusal::Mine(3)));
    assert_eq!(names(sql), "");
    sql.in_transaction(Durability::Full, |sql| put(sql, "b", 1)).unwrap();
    assert_eq!(names(sql), "b");
}

fn savepoints_nest(sql: &mut dyn Sql) {
    with_pairs(sql);
    sql.begin(Durability::Full).unwrap();
    put(sql, "a", 1).unwrap();
    sql.savepoint("outer").unwrap();
    put(sql, "b", 1).unwrap();
    sql.savepoint("inner").unwrap();
    put(sql, "c", 1).unwrap();
    sql.rollback_to("inner").unwrap();
    put(sql, "d", 1).unwrap();
    sql.release("inner").unwrap();
    assert_eq!(names(sql), "a b d");
    sql.rollback_to("outer").unwrap();
    put(sql, "e", 1).unwrap();
    sql.release("outer").unwrap();
    sql.commit().unwrap();
    assert_eq!(names(sql), "a e");
}

fn a_savepoint_of_another_name_than_allowed_is_refused(sql: &mut dyn Sql) {
    assert!(sql.savepoint("outside").is_err());
    sql.begin(Durability::Full).unwrap();
    for name in ["", "Upper", "a b", "x\"; DROP TABLE pairs; --"] {
        assert_eq!(sql.savepoint(name).unwrap_err().kind, SqlErrorKind::Other, "{name}");
    }
    sql.commit().unwrap();
}

fn work_in_a_savepoint_is_undone_alone(sql: &mut dyn Sql) {
    with_pairs(sql);
    sql.in_transaction(Durability::Full, |sql| -> Result<(), SqlError> {
        sql.in_savepoint("one_group", |sql| put(sql, "a", 1))?;
        let refused = sql.in_savepoint("one_group", |sql| -> Result<u64, SqlError> {
            put(sql, "b", 1)?;
            put(sql, "a", 2)
        });
        assert_eq!(refused.unwrap_err().kind, SqlErrorKind::Constraint);
        sql.in_savepoint("one_group", |sql| put(sql, "c", 1))?;
        Ok(())
    })
    .unwrap();
    assert_eq!(names(sql), "a c");
}

fn a_visitor_stops_the_query_by_break_and_by_error(sql: &mut dyn Sql) {
    with_pairs(sql);
    sql.begin(Durability::Full).unwrap();
    for name in ["a", "b", "c"] {
        put(sql, name, 1).unwrap();
    }
    let select = "SELECT name FROM pairs ORDER BY name";
    let mut visited = 0;
    sql.query(select, &[], &mut |_| {
        visited += 1;
        Ok(if visited == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
    .unwrap();
    assert_eq!(visited, 2);

    let mine = SqlError::new(SqlErrorKind::Other, "enough");
    let outcome = sql.query(select, &[], &mut |_| {
        visited += 1;
        Err(mine.clone())
    });
    assert_eq!((outcome, visited), (Err(mine), 3));
    sql.commit().expect("a visitor's error is no failure of the transaction");
    assert_eq!(names(sql), "a b c");
}

fn a_broken_constraint_is_named_and_blocks_until_the_rollback(sql: &mut dyn Sql) {
    with_pairs(sql);
    sql.begin(Durability::Full).unwrap();
    put(sql, "a", 1).unwrap();
    let error = put(sql, "a", 2).unwrap_err();
    assert_eq!((error.kind, error.code()), (SqlErrorKind::Constraint, "sql_constraint"), "{error}");
    assert_eq!(put(sql, "b", 1).unwrap_err().kind, SqlErrorKind::Other);
    assert!(sql.query_integer("SELECT 1", &[]).is_err());
    assert!(sql.savepoint("late").is_err());
    assert!(sql.commit().is_err());
    sql.rollback().unwrap();
    assert_eq!(names(sql), "");

    let missing = sql.in_transaction(Durability::Full, |sql| {
        sql.execute("INSERT INTO pairs (name, amount) VALUES (?1, ?2)", &["a".into(), None::<i64>.into()])
    });
    assert_eq!(missing.unwrap_err().kind, SqlErrorKind::Constraint);
}

fn a_failure_is_cleared_by_rolling_back_to_a_savepoint(sql: &mut dyn Sql) {
    with_pairs(sql);
    sql.begin(Durability::Full).unwrap();
    put(sql, "a", 1).unwrap();
    sql.savepoint("group").unwrap();
    assert!(put(sql, "a", 2).is_err());
    assert!(sql.release("group").is_err());
    sql.rollback_to("group").unwrap();
    sql.release("group").unwrap();
    put(sql, "b", 1).unwrap();
    sql.commit().unwrap();
    assert_eq!(names(sql), "a b");
}

fn a_missing_savepoint_fails_the_transaction(sql: &mut dyn Sql) {
    with_pairs(sql);
    for is_release in [true, false] {
        sql.begin(Durability::Full).unwrap();
        put(sql, "a", 1).unwrap();
        let outcome = if is_release { sql.release("nowhere") } else { sql.rollback_to("nowhere") };
        assert_eq!(outcome.unwrap_err().kind, SqlErrorKind::Other);
        assert!(sql.commit().is_err());
        sql.rollback().unwrap();
    }
    assert_eq!(names(sql), "");
}

fn writes_outside_a_transaction_are_refused(sql: &mut dyn Sql) {
    with_pairs(sql);
    assert_eq!(put(sql, "a", 1).unwrap_err().kind, SqlErrorKind::Other);
    assert!(sql.execute_script("CREATE TABLE more (id {bigint} PRIMARY KEY) {table}").is_err());
    let returning = "INSERT INTO pairs (name, amount) VALUES ('a', 1) RETURNING amount";
    assert!(sql.query_integer(returning, &[]).is_err());
    assert!(sql.commit().is_err());
    assert_eq!(names(sql), "");
    sql.in_transaction(Durability::Full, |sql| sql.query_integer(returning, &[])).unwrap();
    assert_eq!(names(sql), "a");
}

fn transactions_do_not_nest(sql: &mut dyn Sql) {
    with_pairs(sql);
    sql.begin(Durability::Full).unwrap();
    put(sql, "a", 1).unwrap();
    assert_eq!(sql.begin(Durability::Process).unwrap_err().kind, SqlErrorKind::Other);
    assert_eq!(sql.begin_read().unwrap_err().kind, SqlErrorKind::Other);
    assert_eq!(sql.end_read().unwrap_err().kind, SqlErrorKind::Other);
    sql.commit().unwrap();
    assert_eq!(names(sql), "a");
}

fn nothing_is_written_in_a_read_transaction(sql: &mut dyn Sql) {
    with_pairs(sql);
    sql.end_read().unwrap();
    sql.begin_read().unwrap();
    assert_eq!(put(sql, "a", 1).unwrap_err().kind, SqlErrorKind::ReadOnly);
    let returning = "INSERT INTO pairs (name, amount) VALUES ('a', 1) RETURNING amount";
    assert_eq!(sql.query_integer(returning, &[]).unwrap_err().kind, SqlErrorKind::ReadOnly);
    assert!(sql.begin(Durability::Full).is_err() && sql.commit().is_err() && sql.rollback().is_err());
    assert_eq!(names(sql), "");
    sql.end_read().unwrap();

    let seen = sql.in_read(|sql| sql.query_integer("SELECT count(*) FROM pairs", &[])).unwrap();
    assert_eq!(seen, Some(0));
    assert!(sql.in_read(|sql| sql.query_integer("SELECT wrong", &[])).is_err());
    sql.in_transaction(Durability::Full, |sql| put(sql, "a", 1)).unwrap();
}

fn wrong_sql_and_wrong_numbers_of_parameters_are_mistakes(sql: &mut dyn Sql) {
    with_pairs(sql);
    let delete = "DELETE FROM pairs WHERE name = ?1 AND amount = ?2";
    for (statement, params) in [
        ("DELETE FORM pairs", &[][..]),
        ("DELETE FROM absent", &[][..]),
        (delete, &[Param::Text("a")][..]),
        (delete, &[Param::Text("a"), Param::Integer(1), Param::Integer(1)][..]),
        ("SELECT name FROM pairs; SELECT 1", &[][..]),
    ] {
        let outcome = sql.in_transaction(Durability::Process, |sql| sql.execute(statement, params));
        assert_eq!(outcome.unwrap_err().kind, SqlErrorKind::Other, "{statement}");
    }
}

fn a_cached_statement_follows_a_changed_schema(sql: &mut dyn Sql) {
    with_pairs(sql);
    sql.in_transaction(Durability::Process, |sql| put(sql, "a", 1)).unwrap();
    let all = "SELECT * FROM pairs";
    assert!(sql.query_one(all, &[], |row| row.value(2)).is_err());
    sql.in_transaction(Durability::Process, |sql| {
        sql.execute_script("ALTER TABLE pairs ADD COLUMN note {text} DEFAULT 'new'")
    })
    .unwrap();
    assert_eq!(sql.query_one(all, &[], |row| row.value(2)).unwrap(), Some(Value::Text("new".into())));
    sql.in_transaction(Durability::Process, |sql| put(sql, "b", 1)).unwrap();
    assert_eq!(names(sql), "a b");
}

fn more_statements_than_the_cache_holds_still_work(sql: &mut dyn Sql) {
    for round in 0..3 {
        for number in 0..200 {
            let found = sql.query_integer(&format!("SELECT {number} + ?1"), &[round.into()]).unwrap();
            assert_eq!(found, Some(i64::from(number + round)));
        }
    }
}

fn the_first_row_or_none_is_read(sql: &mut dyn Sql) {
    with_pairs(sql);
    let select = "SELECT name FROM pairs ORDER BY name";
    assert_eq!(sql.query_one(select, &[], |row| row.value(0)).unwrap(), None);
    assert_eq!(sql.query_integer("SELECT max(amount) FROM pairs", &[]).unwrap(), None);
    sql.in_transaction(Durability::Process, |sql| -> Result<(), SqlError> {
        put(sql, "b", 1)?;
        put(sql, "a", 5)?;
        Ok(())
    })
    .unwrap();
    assert_eq!(sql.query_one(select, &[], |row| Ok(row.text(0)?.len())).unwrap(), Some(1));
    assert_eq!(sql.query_integer("SELECT max(amount) FROM pairs", &[]).unwrap(), Some(5));
    assert!(sql.query_integer(select, &[]).is_err());
}

fn an_unknown_placeholder_changes_nothing(sql: &mut dyn Sql) {
    with_pairs(sql);
    sql.begin(Durability::Process).unwrap();
    let error = sql.execute_script("DROP TABLE pairs; CREATE TABLE more (id {serial})").unwrap_err();
    assert!(error.message.contains("{serial}"), "{error}");
    sql.rollback().unwrap();
    assert_eq!(names(sql), "");
}

fn errors_quote_the_statement_and_never_the_parameters(sql: &mut dyn Sql) {
    with_pairs(sql);
    sql.begin(Durability::Process).unwrap();
    put(sql, "secret", 1).unwrap();
    let error = put(sql, "secret", 2).unwrap_err().to_string();
    assert!(error.contains("INSERT INTO pairs") && !error.contains("secret"), "{error}");
    sql.rollback().unwrap();
}
