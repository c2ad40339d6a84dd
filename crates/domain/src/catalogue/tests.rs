use std::collections::BTreeSet;

use protocol::ids::RecordId;
use protocol::limits;
use protocol::row::{ColumnRef, Row, Value};

use super::*;

fn declared(name: &str, data_type: DataType) -> DeclaredTable {
    DeclaredTable { name: name.to_owned(), r#type: data_type, id_column: None, store_column: None, parent: None }
}

fn declared_store(name: &str) -> DeclaredTable {
    DeclaredTable { store_column: Some("store_ID".to_owned()), ..declared(name, DataType::Store) }
}

fn declared_line(name: &str, header: &str) -> DeclaredTable {
    let parent = DeclaredParent { table: header.to_owned(), column: "header_ID".to_owned() };
    DeclaredTable { parent: Some(parent), ..declared(name, DataType::Store) }
}

fn row(columns: Vec<(ColumnRef, Value)>) -> Row {
    Row::new(columns).unwrap()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn every_table_has_its_own_number_and_name() {
    let catalogue = Catalogue::embedded();
    let numbers: Vec<_> = catalogue.tables().map(|table| table.reference().clone()).collect();
    let expected: Vec<_> = (1..=119).map(TableRef::Known).collect();
    let names: BTreeSet<_> = catalogue.tables().map(|table| table.name().to_lowercase()).collect();

    assert_eq!(numbers, expected);
    assert_eq!(names.len(), numbers.len(), "two names differ in capitals only");
}

#[test]
fn every_column_can_travel_and_stands_once() {
    for table in Catalogue::embedded().tables() {
        let columns: BTreeSet<&str> = table.columns().collect();
        assert_eq!(columns.len(), table.columns().len(), "{}", table.name());
        assert!(columns.len() <= limits::ROW_COLUMNS_MAX);
        assert!(!columns.contains(table.id_column()), "{} lists its id column", table.name());
        assert!(table.name().len() <= limits::TABLE_NAME_BYTES_MAX);
        for column in columns {
            assert!(
                (1..=limits::COLUMN_NAME_BYTES_MAX).contains(&column.len()) && !column.starts_with('#'),
                "{column}"
            );
        }
    }
}

#[test]
fn every_key_is_a_column_of_its_table() {
    for table in Catalogue::embedded().tables() {
        let hangs_on = table.hangs_on().map(|(_, column)| column);
        let keys = [table.store_column(), table.name_column(), hangs_on, table.site_column()];
        for key in keys.into_iter().flatten().filter(|key| *key != table.id_column()) {
            assert!(matches!(table.column_ref(key), ColumnRef::Known(_)), "{}.{key}", table.name());
        }
        if let Some(parent) = table.parent() {
            assert!(matches!(parent.column, ColumnRef::Known(_)), "{}", table.name());
        }
        for variant in &table.variants {
            // Columns of ours travel by name.
            let is_ours = matches!(&variant.column, ColumnRef::Named(name) if name.starts_with("outpost_"));
            assert!(is_ours || matches!(variant.column, ColumnRef::Known(_)), "{}", table.name());
        }
    }
}

#[test]
fn headers_are_store_data_and_their_chains_end() {
    let catalogue = Catalogue::embedded();
    for table in catalogue.tables() {
        let mut current = table;
        for depth in 0.. {
            let Some(parent) = current.parent() else { break };
            assert!(depth < limits::PARENT_DEPTH_MAX, "{}", table.name());
            assert_eq!(current.data_type(), DataType::Store, "{}", table.name());
            current = catalogue.table(&parent.table).unwrap();
            assert_eq!(current.data_type(), DataType::Store, "{}", table.name());
        }
    }
}

#[test]
fn store_data_says_where_its_store_is() {
    for table in Catalogue::embedded().tables().filter(|table| table.data_type() == DataType::Store) {
        assert!(table.store_column().is_some() || table.parent().is_some(), "{}", table.name());
    }
}

#[test]
fn what_goes_by_visibility_says_what_has_to_be_seen() {
    for table in Catalogue::embedded().tables() {
        let is_left = table.data_type() == DataType::Sync;
        assert_eq!(table.is_supported(), !is_left, "{}", table.name());
        let column = match table.data_type() {
            DataType::Name => table.name_column(),
            DataType::CentralStore => table.store_column(),
            DataType::Patient if table.has_home_stores() => table.store_column(),
            DataType::Patient => table.hangs_on().map(|(_, column)| column),
            _ => continue,
        };
        assert!(column.is_some(), "{}", table.name());
    }
}

#[test]
fn tables_are_found_by_name_and_by_number() {
    let catalogue = Catalogue::embedded();
    let by_name = catalogue.table_by_name("trans_line").unwrap();

    let by_number = catalogue.table(by_name.reference()).unwrap();

    assert_eq!(by_number.name(), "trans_line");
    assert_eq!(catalogue.table(&TableRef::Named("trans_line".to_owned())).unwrap().reference(), by_name.reference());
    assert!(catalogue.table(&TableRef::Known(0)).is_none());
    assert!(catalogue.table(&TableRef::Known(60000)).is_none());
}

#[test]
fn a_slip_in_a_name_is_answered_with_the_nearest_names() {
    let catalogue = Catalogue::embedded();
    for (slip, nearest) in [
        ("transaction_line", vec![]),
        ("trans_lines", vec!["trans_line"]),
        ("TRANSACT", vec!["transact"]),
        ("location", vec!["Location"]),
        ("itm", vec!["item"]),
        ("", vec![]),
    ] {
        let error = catalogue.table_by_name(slip).unwrap_err();
        assert_eq!(error.nearest, nearest, "{slip}");
        assert_eq!(error.code(), "unknown_table");
    }
    let shown = catalogue.table_by_name("trans_lines").unwrap_err().to_string();
    assert!(shown.contains("did you mean trans_line?") && shown.contains("declared"), "{shown}");
    assert!(catalogue.table_by_name(&"x".repeat(10_000)).unwrap_err().to_string().len() < 400);
}

#[test]
fn a_number_that_only_a_newer_program_can_name_is_shown_and_read_back() {
    let catalogue = Catalogue::embedded();
    let unit = catalogue.table_by_name("unit").unwrap();

    assert_eq!(unit.name_of(&ColumnRef::Known(57)), "#57");
    assert_eq!(unit.column_ref("#57"), ColumnRef::Known(57));
    for not_a_number in ["#057", "#", "#65536", "#-1", "##1"] {
        assert_eq!(unit.column_ref(not_a_number), ColumnRef::Named(not_a_number.to_owned()));
    }
    assert_eq!(catalogue.table_name(&TableRef::Known(900)), "#t900");
    assert_eq!(catalogue.table_or_stand_in(&TableRef::Known(900)).name(), "#t900");
    assert_eq!(catalogue.table_by_name("#t1").unwrap().name(), "unit");
    assert!(catalogue.table_by_name("#t900").is_err());
}

#[test]
fn a_declared_table_is_known_by_its_name() {
    let catalogue = Catalogue::embedded()
        .with_declared(vec![
            declared_line("box_line", "box"),
            declared_store("box"),
            declared("colour", DataType::Central),
            DeclaredTable { id_column: Some("key".to_owned()), ..declared("note", DataType::Local) },
            declared_line("trans_line_note", "trans_line"),
        ])
        .unwrap();

    let line = catalogue.table_by_name("box_line").unwrap();

    assert_eq!(line.reference(), &TableRef::Named("box_line".to_owned()));
    assert_eq!(line.column_ref("anything"), ColumnRef::Named("anything".to_owned()));
    assert_eq!(line.parent().unwrap().table, TableRef::Named("box".to_owned()));
    assert!(catalogue.tables().all(|table| table.name() != "box" || table.is_supported()));
    assert_eq!(catalogue.table_by_name("note").unwrap().id_column(), "key");
    assert!(Catalogue::embedded().table_by_name("box").is_err(), "a declaration belongs to one catalogue");
}

#[test]
fn a_declaration_that_cannot_be_judged_is_refused() {
    let with_key = |data_type| DeclaredTable { store_column: Some("s".to_owned()), ..declared("a", data_type) };
    let chain: Vec<_> = (0..6).map(|n| declared_line(&format!("l{}", n + 1), &format!("l{n}"))).collect();
    for (tables, code) in [
        (vec![declared("", DataType::Local)], "declared_table_name"),
        (vec![declared("#t5", DataType::Local)], "declared_table_name"),
        (vec![declared(&"x".repeat(65), DataType::Local)], "declared_table_name"),
        (vec![declared("unit", DataType::Central)], "declared_table_clash"),
        (vec![declared("UNIT", DataType::Central)], "declared_table_clash"),
        (vec![declared("a", DataType::Local), declared("a", DataType::Local)], "declared_table_clash"),
        (vec![declared("a", DataType::Patient)], "declared_table_type"),
        (vec![declared("a", DataType::Store)], "declared_table_keys"),
        (vec![with_key(DataType::Central)], "declared_table_keys"),
        (vec![with_key(DataType::Local)], "declared_table_keys"),
        (
            vec![DeclaredTable { store_column: Some("ID".to_owned()), ..declared("a", DataType::Store) }],
            "declared_table_column",
        ),
        (
            vec![DeclaredTable { id_column: Some("#1".to_owned()), ..declared("a", DataType::Local) }],
            "declared_table_column",
        ),
        (vec![declared_line("a", "nothing")], "declared_table_parent"),
        (vec![declared_line("a", "item")], "declared_table_parent"),
        (vec![declared_line("a", "b"), declared_line("b", "a")], "declared_table_parent_depth"),
        ([vec![declared_store("l0")], chain].concat(), "declared_table_parent_depth"),
    ] {
        let error = Catalogue::embedded().with_declared(tables).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains("declared table"), "{error}");
    }
}

#[test]
fn a_column_that_came_by_name_gets_its_number() {
    let catalogue = Catalogue::embedded();
    let unit = catalogue.table_by_name("unit").unwrap();
    let by_name = row(vec![
        (ColumnRef::Named("units".to_owned()), text("tab")),
        (ColumnRef::Named("extra".to_owned()), text("x")),
    ]);

    let canonical = unit.canonical(by_name);

    assert_eq!(
        canonical,
        row(vec![(ColumnRef::Known(0), text("tab")), (ColumnRef::Named("extra".to_owned()), text("x"))])
    );
    assert_eq!(unit.canonical(canonical.clone()), canonical);
}

#[test]
fn the_store_of_a_number_sequence_stands_in_its_name() {
    let catalogue = Catalogue::embedded();
    let table = catalogue.table_by_name("number").unwrap();
    let id = RecordId::new("n").unwrap();
    let store_of = |name| table.store_of(&id, &row(vec![(table.column_ref("name"), text(name))])).unwrap();

    assert_eq!(store_of("customer_invoice_number_for_store_S1"), Ok(RecordId::new("S1").unwrap()));
    assert_eq!(store_of("customer_invoice_number"), Err(KeyError::Missing));
    assert_eq!(store_of("customer_invoice_number_for_store_"), Err(KeyError::Missing));
}

#[test]
fn single_records_of_a_table_can_be_of_another_type() {
    let catalogue = Catalogue::embedded();
    let type_of = |table: &str, column: &str, value: Value| {
        let table = catalogue.table_by_name(table).unwrap();
        table.data_type_of(&row(vec![(table.column_ref(column), value)]))
    };

    assert_eq!(type_of("name", "type", text("facility")), DataType::Central);
    assert_eq!(type_of("name", "type", Value::Null), DataType::Central);
    assert_eq!(type_of("name", "type", text("patient")), DataType::Patient);
    assert_eq!(type_of("pref", "item", text("store_preferences")), DataType::CentralStore);
    assert_eq!(type_of("pref", "item", text("printer")), DataType::Local);
    assert_eq!(type_of("pref", "data", Value::Null), DataType::Local);
}

#[test]
fn merges_say_what_stays_to_everybody_who_has_the_records() {
    let catalogue = Catalogue::embedded();
    let merged: Vec<&str> = catalogue
        .tables()
        .filter(|table| {
            for merges in catalogue.merges_of(table) {
                let into = merges.column_ref(crate::merge::INTO_COLUMN);
                assert!(matches!(into, ColumnRef::Known(_)), "{}", merges.name());
                // Whoever receives a record must receive what became of it.
                let found = catalogue.merges_of_type(table, merges.data_type());
                assert_eq!(found.map(Table::name), Some(merges.name()));
                let is_of_type = merges.data_type() == table.data_type();
                assert!(is_of_type || table.exceptions().any(|(_, data_type)| data_type == merges.data_type()));
                assert_eq!(merges.store_column().is_some(), table.data_type() == DataType::Store, "{}", merges.name());
                let hangs_on = merges.hangs_on().map(|(merged, _)| merged);
                assert_eq!(hangs_on, (merges.data_type() == DataType::Patient).then(|| table.name()));
            }
            catalogue.merges_of(table).next().is_some()
        })
        .map(Table::name)
        .collect();

    assert_eq!(merged, ["unit", "item", "name", "clinician", "Location"]);
    let names = catalogue.table_by_name("name").unwrap();
    let of = |data_type| catalogue.merges_of_type(names, data_type).map(Table::name);
    assert_eq!(of(DataType::Central), Some("outpost_name_merge"));
    assert_eq!(of(DataType::Patient), Some("outpost_patient_merge"));
}
