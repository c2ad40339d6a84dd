use proptest::prelude::*;
use protocol::ids::{RecordId, TableRef};
use protocol::limits;
use protocol::row::{ColumnRef, Row, Value};

use super::*;
use crate::catalogue::{Catalogue, Table};
use crate::edit::{Edit, EditOp};

const CORPUS: &str = include_str!("../../testdata/corpus.ndjson");

fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

fn with_table<T>(name: &str, check: impl FnOnce(&Table) -> T) -> T {
    check(Catalogue::embedded().table_by_name(name).unwrap())
}

/// Through the packed form too, as a journal or a store would keep it.
fn there_and_back(table: &Table, record: &RecordId, object: &str) -> String {
    let row = row_from_json(table, record, object).unwrap();
    let kept = Row::decode(&row.to_bytes()).unwrap();
    assert_eq!(kept, row);
    row_to_json(table, record, &kept)
}

fn tree(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_record_of_the_corpus_comes_back() {
    let catalogue = Catalogue::embedded();
    let mut records = 0;
    for line in CORPUS.lines() {
        let edit = Edit::parse(line).unwrap();
        let table = catalogue.table_by_name(&edit.table).unwrap();
        let Some(data) = edit.data else {
            assert_eq!(edit.op, EditOp::Delete);
            continue;
        };
        let row = row_from_json(table, &edit.id, &data).unwrap();
        assert!(
            row.columns().iter().all(|(column, _)| matches!(column, ColumnRef::Known(_))),
            "{} has a column that the catalogue does not list",
            edit.table
        );
        assert_eq!(tree(&there_and_back(table, &edit.id, &data)), tree(&data));
        records += 1;
    }
    assert!(records > 30, "{records}");
}

#[test]
fn the_id_comes_first_and_then_the_columns_in_the_order_of_the_catalogue() {
    with_table("unit", |unit| {
        let json = there_and_back(unit, &id("u1"), r#" { "zzz": 1, "order_number": 2, "units": "tab" } "#);

        assert_eq!(json, r#"{"ID":"u1","units":"tab","order_number":2,"zzz":1}"#);
    });
}

#[test]
fn numbers_nulls_and_nested_values_come_back_as_they_were_written() {
    with_table("unit", |unit| {
        for value in [
            "12.30",
            "-0",
            "0.1e-7",
            "1E+400",
            "18446744073709551616",
            "null",
            "true",
            "false",
            r#""""#,
            r#""\u0000""#,
            r#""2026-01-05""#,
            r#""a\"b\\c\n""#,
            r#"{"a":[1.50,null,{"b":"x y"}],"a":2}"#,
            r#"["\u00e9 \" \\"," ]"]"#,
            r#"{"$serde_json::private::Number":"nonsense"}"#,
            "[]",
        ] {
            let object = format!(r#"{{"ID":"u1","units":{value}}}"#);
            assert_eq!(there_and_back(unit, &id("u1"), &object), object);
        }
    });
}

#[test]
fn white_space_inside_nested_values_goes_and_inside_texts_stays() {
    with_table("unit", |unit| {
        let json = there_and_back(unit, &id("u1"), "{\"units\": { \"a b\" :\n[ 1 ,\t\" x \" ] } }");

        assert_eq!(json, r#"{"ID":"u1","units":{"a b":[1," x "]}}"#);
    });
}

#[test]
fn a_table_may_call_its_id_otherwise() {
    with_table("asset", |asset| {
        let json = there_and_back(asset, &id("a1"), r#"{"id":"a1","ID":"other","store_id":"s"}"#);

        assert_eq!(json, r#"{"id":"a1","store_id":"s","ID":"other"}"#);
    });
}

#[test]
fn columns_and_tables_that_only_a_newer_program_can_name_come_out_and_go_back() {
    let table = Catalogue::embedded().table_or_stand_in(&TableRef::Known(900));
    let row = Row::new(vec![(ColumnRef::Known(57), Value::Bool(true))]).unwrap();

    let json = row_to_json(&table, &id("x"), &row);

    assert_eq!(json, r##"{"ID":"x","#57":true}"##);
    assert_eq!(row_from_json(&table, &id("x"), &json), Ok(row));
}

#[test]
fn a_row_with_rubbish_in_it_still_comes_out_as_json() {
    with_table("unit", |unit| {
        for value in [
            Value::Number("}{".to_owned()),
            Value::Number("007".to_owned()),
            Value::Number(" 7".to_owned()),
            Value::Number("7\n".to_owned()),
            Value::Json("[1".to_owned()),
            Value::Json("7".to_owned()),
            Value::Json("[1 ,2]".to_owned()),
            Value::Json(r#"["\ud800"]"#.to_owned()),
        ] {
            assert!(!check_value(&value), "{value:?}");
            let row = Row::new(vec![(ColumnRef::Known(0), value)]).unwrap();
            assert!(tree(&row_to_json(unit, &id("u1"), &row)).get("units").unwrap().is_string());
        }
    });
}

#[test]
fn data_that_cannot_be_a_row_is_refused_with_its_own_code() {
    let deep = |depth: usize| format!(r#"{{"units":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let columns: Vec<String> = (0..=limits::ROW_COLUMNS_MAX).map(|n| format!(r#""c{n}":0"#)).collect();
    let cases = [
        ("", "not_json"),
        ("{", "not_json"),
        (r#"{"units":}"#, "not_json"),
        (r#"{"units":01}"#, "not_json"),
        (r#"{"units":1} x"#, "not_json"),
        ("[1", "not_json"),
        (r#"{"units":"\ud800"}"#, "not_json"),
        (r#"{"units":["\ud800"]}"#, "not_json"),
        ("[1]", "not_an_object"),
        ("null", "not_an_object"),
        ("7", "not_an_object"),
        (r#""x""#, "not_an_object"),
        (" true", "not_an_object"),
        (r#"{"units":1,"units":2}"#, "duplicate_key"),
        (r#"{"other":1,"other":2}"#, "duplicate_key"),
        (r##"{"units":1,"#0":2}"##, "duplicate_key"),
        (r#"{"ID":"u1","ID":"u1"}"#, "duplicate_key"),
        (r#"{"":1}"#, "column_name_length"),
        (&format!(r#"{{"{}":1}}"#, "x".repeat(129)), "column_name_length"),
        (r#"{"ID":"u2"}"#, "id_differs"),
        (r#"{"ID":7}"#, "id_differs"),
        (r#"{"ID":null}"#, "id_differs"),
        (&deep(limits::JSON_DEPTH_MAX + 1), "json_too_deep"),
        (&deep(100_000), "json_too_deep"),
        (&format!("{{{}}}", columns.join(",")), "too_many_columns"),
        (&format!(r#"{{"units":"{}"}}"#, "x".repeat(limits::RECORD_BYTES_MAX)), "record_too_large"),
    ];
    with_table("unit", |unit| {
        for (object, code) in cases {
            let error = row_from_json(unit, &id("u1"), object).unwrap_err();
            assert_eq!(error.code(), code, "{object:.80}: {error}");
        }
        assert!(row_from_json(unit, &id("u1"), &deep(limits::JSON_DEPTH_MAX)).is_ok());
    });
}

#[test]
fn an_error_names_the_value_and_the_limit() {
    with_table("unit", |unit| {
        let large = format!(r#"{{"units":"{}"}}"#, "x".repeat(limits::RECORD_BYTES_MAX));
        assert_eq!(
            row_from_json(unit, &id("u1"), &large).unwrap_err().to_string(),
            "the record takes 1048581 bytes; at most 1048576 are allowed: keep photos and scans as files"
        );
        assert_eq!(
            row_from_json(unit, &id("u1"), r#"{"ID":"u2"}"#).unwrap_err().to_string(),
            "the data has ID = \"u2\", but the record's id is \"u1\"; make them equal or leave ID out"
        );
    });
}

#[test]
fn a_record_of_the_largest_size_fits_however_its_text_is_escaped() {
    with_table("unit", |unit| {
        let escaped = format!(r#"{{"units":"{}"}}"#, "\\u0041".repeat(limits::RECORD_BYTES_MAX - 16));

        assert!(row_from_json(unit, &id("u1"), &escaped).is_ok());
    });
}

fn any_json(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,22})?([eE][+-]?[0-9]{1,3})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        "[0-9A-F]{32}|[0-9]{4}-[0-9]{2}-[0-9]{2}".prop_map(|text| format!("{text:?}")),
    ];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        let list =
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[ {} ]", items.join(" , ")));
        let object = proptest::collection::btree_map("[a-z]{1,3}", inner, 0..4).prop_map(|members| {
            let members: Vec<String> = members.into_iter().map(|(key, value)| format!("{key:?} : {value}")).collect();
            format!("{{ {} }}", members.join(", "))
        });
        prop_oneof![list, object]
    })
    .boxed()
}

fn any_object() -> impl Strategy<Value = String> {
    let key = prop_oneof!["name_ID|store_ID|status|hold|oms_fields|entry_time", ".{1,8}"]
        .prop_filter("the id has its own test", |key| key != "ID");
    proptest::collection::btree_map(key, any_json(4), 0..12).prop_map(|members| {
        let members: Vec<String> = members
            .into_iter()
            .map(|(key, value)| format!("{} : {value}", serde_json::to_string(&key).unwrap()))
            .collect();
        format!("{{{}}}", members.join(" ,\n"))
    })
}

proptest! {
    #[test]
    fn any_object_comes_back_with_the_same_values(object in any_object()) {
        with_table("transact", |table| {
            let mut expected = tree(&object);
            expected.as_object_mut().unwrap().insert("ID".to_owned(), "t1".into());
            assert_eq!(tree(&there_and_back(table, &id("t1"), &object)), expected);
        });
    }

    #[test]
    fn rubbish_never_panics(object in ".*") {
        with_table("transact", |table| {
            let _ = row_from_json(table, &id("t1"), &object);
        });
    }
}
