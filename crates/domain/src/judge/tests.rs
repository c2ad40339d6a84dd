use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use super::*;
use crate::catalogue::{DeclaredTable, Table};
use crate::json::row_from_json;

const HERE: SiteId = SiteId(2);
const ELSEWHERE: SiteId = SiteId(3);

/// Store S1 and S2 at site 2 (numbers 1 and 4), S3 at site 3, S0 at central.
struct World {
    catalogue: Catalogue,
    records: BTreeMap<(TableRef, RecordId), Found>,
    holdings: BTreeMap<RecordId, Holding>,
    waiting: BTreeSet<(SiteId, TableRef, RecordId)>,
    dispensary_sites: BTreeSet<SiteId>,
    withheld: BTreeSet<(TableRef, RecordId)>,
    authority: Authority,
}

impl View for World {
    type Error = Infallible;

    fn record(&mut self, table: &TableRef, id: &RecordId) -> Result<Found, Infallible> {
        Ok(self.records.get(&(table.clone(), id.clone())).cloned().unwrap_or(Found::Unknown))
    }

    fn holding(&mut self, store: &RecordId) -> Result<Option<Holding>, Infallible> {
        Ok(self.holdings.get(store).copied())
    }

    fn is_waiting(&mut self, author: SiteId, table: &TableRef, id: &RecordId) -> Result<bool, Infallible> {
        Ok(self.waiting.contains(&(author, table.clone(), id.clone())))
    }

    fn has_dispensary(&mut self, site: SiteId) -> Result<bool, Infallible> {
        Ok(self.dispensary_sites.contains(&site))
    }

    fn store_of_name(&mut self, name: &RecordId) -> Result<Option<RecordId>, Infallible> {
        Ok(self.naming("store", "name_ID", name))
    }

    fn merged_into(&mut self, merges: &TableRef, record: &RecordId) -> Result<Option<RecordId>, Infallible> {
        Ok(self.naming(&self.catalogue.table_name(merges), "into_ID", record))
    }

    fn is_withheld(&mut self, table: &TableRef, id: &RecordId) -> Result<bool, Infallible> {
        Ok(self.withheld.contains(&(table.clone(), id.clone())))
    }

    fn is_name_of_own_store(&mut self, name: &RecordId) -> Result<bool, Infallible> {
        Ok(name.as_str() == "NHERE")
    }

    fn authority(&mut self) -> Result<Authority, Infallible> {
        Ok(self.authority)
    }
}

fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

impl World {
    fn new() -> Self {
        let holding = |site, ownership| Holding { site, ownership: OwnershipNumber(ownership) };
        let mut world = Self {
            catalogue: Catalogue::embedded()
                .with_declared(vec![DeclaredTable {
                    name: "box".to_owned(),
                    r#type: DataType::Store,
                    id_column: None,
                    store_column: Some("store_ID".to_owned()),
                    parent: None,
                }])
                .unwrap(),
            records: BTreeMap::new(),
            holdings: BTreeMap::from([
                (id("S0"), holding(SiteId::CENTRAL, 1)),
                (id("S1"), holding(HERE, 1)),
                (id("S2"), holding(HERE, 4)),
                (id("S3"), holding(ELSEWHERE, 1)),
            ]),
            waiting: BTreeSet::new(),
            dispensary_sites: BTreeSet::from([SiteId::CENTRAL, HERE, ELSEWHERE]),
            withheld: BTreeSet::new(),
            authority: Authority::Central,
        };
        world.here("item", "I1", None, r#"{"code":"1"}"#);
        world.here("name", "N1", None, r#"{"type":"facility","code":"1"}"#);
        world.here("user", "U1", None, r#"{"name":"1"}"#);
        for (store, header) in [("S1", "T1"), ("S1", "T1b"), ("S2", "T2"), ("S3", "T3")] {
            world.here("transact", header, Some(store), &format!(r#"{{"store_ID":"{store}","status":"nw"}}"#));
            world.here("purchase_order", header, Some(store), &format!(r#"{{"store_ID":"{store}"}}"#));
        }
        world.here("trans_line", "L1", Some("S1"), r#"{"transaction_ID":"T1","quantity":1}"#);
        world.here("trans_line", "L3", Some("S3"), r#"{"transaction_ID":"T3"}"#);
        world.here("trans_line", "Lgone", Some("S1"), r#"{"transaction_ID":"Tgone"}"#);
        world.here("purchase_order_line", "O1", Some("S1"), r#"{"purchase_order_ID":"T1","store_ID":"S1"}"#);
        world.gone("transact", "Tgone", Some("S1"));
        world.gone("transact", "Tgone3", Some("S3"));
        world.gone("item", "Igone", None);
        world.waits(HERE, "transact", "Twait");
        world.waits(HERE, "transact", "T2");
        world.waits(ELSEWHERE, "transact", "Tother");
        world
    }

    fn table(&self, name: &str) -> &Table {
        self.catalogue.table_by_name(name).unwrap()
    }

    fn key(&self, table: &str, record: &str) -> (TableRef, RecordId) {
        (self.table(table).reference().clone(), id(record))
    }

    fn here(&mut self, table: &str, record: &str, store: Option<&str>, data: &str) {
        let row = row_from_json(self.table(table), &id(record), data).unwrap();
        self.records.insert(self.key(table, record), Found::Here { row, store: store.map(id) });
    }

    fn gone(&mut self, table: &str, record: &str, store: Option<&str>) {
        self.records.insert(self.key(table, record), Found::Deleted { store: store.map(id) });
    }

    fn waits(&mut self, site: SiteId, table: &str, record: &str) {
        let (table, record) = self.key(table, record);
        self.waiting.insert((site, table, record));
    }

    /// `edit` is "put table id data", "patch table id data" or "delete table id"; a number after the operation ("put#4") is the
    /// ownership number, which is 1 otherwise.
    fn entry(&self, edit: &str) -> Entry {
        let mut words = edit.splitn(4, ' ');
        let (operation, table, record) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let (operation, ownership) = operation.split_once('#').unwrap_or((operation, "1"));
        let table = self.table(table);
        let row = || row_from_json(table, &id(record), edit.splitn(4, ' ').nth(3).unwrap()).unwrap();
        Entry {
            is_group_end: true,
            ownership: OwnershipNumber(ownership.parse().unwrap()),
            table: table.reference().clone(),
            record: id(record),
            operation: match operation {
                "put" => Operation::Put(row()),
                "patch" => Operation::Patch(row()),
                "delete" => Operation::Delete,
                other => panic!("{other}"),
            },
        }
    }

    fn judge_entry(&mut self, side: Side, author: SiteId, entry: &Entry) -> Verdict {
        let catalogue = self.catalogue.clone();
        judge(&catalogue, self, side, author, entry).unwrap()
    }

    /// The verdict in a word: the refusal's code, "wait table id", or "accept" with what is special about it.
    fn outcome(&mut self, side: Side, author: SiteId, edit: &str) -> String {
        let entry = self.entry(edit);
        match self.judge_entry(side, author, &entry) {
            Verdict::Refuse(refusal) => {
                assert!(refusal.reason.len() <= limits::REASON_BYTES_MAX);
                refusal.code.as_str().to_owned()
            }
            Verdict::Wait { table, record } => format!("wait {} {record}", self.catalogue.table_name(&table)),
            Verdict::Accept(applied) => {
                let mut words = vec!["accept".to_owned()];
                words.extend(applied.store.map(|store| store.to_string()));
                words.extend(
                    applied.parent.map(|(table, id)| format!("under {} {id}", self.catalogue.table_name(&table))),
                );
                words.extend(applied.scopes.iter().map(|scope| format!("to {scope}")));
                words.extend(applied.is_private.then(|| "private".to_owned()));
                words.extend((applied.effect == Effect::Nothing).then(|| "nothing".to_owned()));
                words.extend(applied.cancels_waiting.then(|| "cancels".to_owned()));
                words.join(", ")
            }
        }
    }

    fn check(side: Side, author: SiteId, cases: &[(&str, &str)]) {
        for (edit, expected) in cases {
            assert_eq!(World::new().outcome(side, author, edit), *expected, "{edit} by site {author} at {side:?}");
        }
    }
}

const BOTH: [Side; 2] = [Side::Device, Side::Central];

mod home_merges;
mod merges;
mod messages;
mod new_users;
mod patients;
mod refusals;
mod withheld;

#[test]
fn central_data_is_written_on_central_alone_and_goes_to_all_sites() {
    World::check(
        Side::Central,
        SiteId::CENTRAL,
        &[
            (r#"put item I9 {"code":"9"}"#, "accept, to all sites"),
            (r#"patch item I1 {"code":"9"}"#, "accept, to all sites"),
            ("delete item I1", "accept, to all sites"),
            (r#"put item Igone {"code":"9"}"#, "accept, to all sites"),
            (r#"put store S9 {"code":"9"}"#, "accept, to what a site sees"),
            (r#"put name_store_join J {"store_ID":"S1","name_ID":"N1"}"#, "accept, to what a site sees"),
            (r#"put name_tag_join J {"name_ID":"N1"}"#, "accept, to what a site sees"),
            (r#"put name N9 {"type":"facility"}"#, "accept, to all sites"),
        ],
    );
    for side in BOTH {
        World::check(
            side,
            HERE,
            &[
                (r#"put item I9 {"code":"9"}"#, "central_data"),
                (r#"patch item I1 {"code":"9"}"#, "central_data"),
                (r#"patch item I9 {"code":"9"}"#, "central_data"),
                ("delete item I1", "central_data"),
                (r#"put store S1 {"code":"9"}"#, "central_data"),
                (r#"put name_store_join J {"store_ID":"S1","name_ID":"N1"}"#, "central_data"),
                (r#"put name_tag_join J {"name_ID":"N1"}"#, "central_data"),
            ],
        );
    }
}

#[test]
fn dispensary_data_is_written_on_central_alone_and_goes_to_the_sites_with_a_dispensary() {
    let put = r#"put abbreviation A {"abbreviation":"bd"}"#;
    World::check(Side::Central, SiteId::CENTRAL, &[(put, "accept, to dispensary sites")]);
    for side in BOTH {
        World::check(
            side,
            HERE,
            &[(put, "central_data"), (r#"put item_direction D {"item_ID":"I1"}"#, "central_data")],
        );
    }
}

#[test]
fn types_that_come_later_are_refused_for_everybody() {
    for (side, author) in [(Side::Device, HERE), (Side::Central, HERE), (Side::Central, SiteId::CENTRAL)] {
        World::check(
            side,
            author,
            &[(r#"put site X {"name":"x"}"#, "not_supported"), ("delete site X", "not_supported")],
        );
    }
}

#[test]
fn a_record_does_not_change_its_type() {
    World::check(
        Side::Central,
        SiteId::CENTRAL,
        &[
            (r#"patch name N1 {"type":"patient"}"#, "data_type_change"),
            (r#"put name N1 {"type":"store"}"#, "accept, to all sites"),
        ],
    );
    let mut world = World::new();
    world.here("pref", "F1", None, r#"{"item":"printer"}"#);
    assert_eq!(
        world.outcome(Side::Central, SiteId::CENTRAL, r#"patch pref F1 {"item":"store_preferences"}"#),
        "data_type_change"
    );
    assert_eq!(world.outcome(Side::Device, HERE, r#"patch pref F1 {"item":"store_preferences"}"#), "central_data");
}

#[test]
fn store_data_is_written_by_the_site_that_holds_the_store() {
    for side in BOTH {
        World::check(
            side,
            HERE,
            &[
                (r#"put item_line X {"store_ID":"S1"}"#, "accept, S1, to store S1"),
                (r#"put#4 item_line X {"store_ID":"S2"}"#, "accept, S2, to store S2"),
                (r#"put box X {"store_ID":"S1"}"#, "accept, S1, to store S1"),
                (r#"put number X {"name":"ci_for_store_S1"}"#, "accept, S1, to store S1"),
                (r#"patch transact T1 {"status":"fn"}"#, "accept, S1, to store S1"),
                (r#"put transact T1 {"store_ID":"S1"}"#, "accept, S1, to store S1"),
                ("delete transact T1", "accept, S1, to store S1"),
                (r#"put item_line X {"store_ID":"S3"}"#, "not_store_holder"),
                (r#"put item_line X {"store_ID":"S0"}"#, "not_store_holder"),
                (r#"put item_line X {"store_ID":"nobody's"}"#, "not_store_holder"),
                (r#"patch transact T3 {"status":"fn"}"#, "not_store_holder"),
                (r#"put transact T3 {"store_ID":"S3"}"#, "not_store_holder"),
                ("delete transact T3", "not_store_holder"),
                (r#"put item_line X {"batch":"B"}"#, "store_missing"),
                (r#"put item_line X {"store_ID":""}"#, "store_missing"),
                (r#"put item_line X {"store_ID":null}"#, "store_missing"),
                (r#"put item_line X {"store_ID":7}"#, "store_missing"),
                (r#"put number X {"name":"ci"}"#, "store_missing"),
                (r#"patch transact T1 {"store_ID":null}"#, "store_missing"),
            ],
        );
    }
    World::check(
        Side::Central,
        SiteId::CENTRAL,
        &[
            (r#"put item_line X {"store_ID":"S0"}"#, "accept, S0, to store S0"),
            (r#"put item_line X {"store_ID":"S1"}"#, "not_store_holder"),
            ("delete transact T1", "not_store_holder"),
        ],
    );
}

#[test]
fn a_record_never_goes_to_another_store_by_an_edit() {
    for side in BOTH {
        World::check(
            side,
            HERE,
            &[
                (r#"patch transact T1 {"store_ID":"S2"}"#, "owner_change"),
                (r#"put transact T1 {"store_ID":"S2"}"#, "owner_change"),
                (r#"patch transact T1 {"store_ID":"S3"}"#, "owner_change"),
                (r#"patch transact T3 {"store_ID":"S1"}"#, "not_store_holder"),
                (r#"patch trans_line L1 {"transaction_ID":"T3"}"#, "owner_change"),
                (r#"patch purchase_order_line O1 {"purchase_order_ID":"T3"}"#, "owner_change"),
                (r#"patch purchase_order_line O1 {"store_ID":"S2","purchase_order_ID":"T2"}"#, "owner_change"),
                (r#"patch trans_line L3 {"transaction_ID":"T1"}"#, "not_store_holder"),
                (
                    r#"put#4 transact Tgone {"store_ID":"S1"}"#,
                    if side == Side::Central { "ownership_number" } else { "accept, S1, to store S1" },
                ),
                (r#"put transact Tgone {"store_ID":"S2"}"#, "owner_change"),
                (r#"put transact Tgone3 {"store_ID":"S1"}"#, "not_store_holder"),
            ],
        );
    }
}

#[test]
fn a_line_belongs_to_the_store_of_its_header() {
    for side in BOTH {
        World::check(
            side,
            HERE,
            &[
                (r#"put trans_line X {"transaction_ID":"T1"}"#, "accept, S1, under transact T1, to store S1"),
                (r#"patch trans_line L1 {"quantity":2}"#, "accept, S1, under transact T1, to store S1"),
                (r#"patch trans_line L1 {"transaction_ID":"T1b"}"#, "accept, S1, under transact T1b, to store S1"),
                ("delete trans_line L1", "accept, S1, under transact T1, to store S1"),
                (r#"put trans_line X {"transaction_ID":"T3"}"#, "not_store_holder"),
                (r#"patch trans_line L3 {"quantity":2}"#, "not_store_holder"),
                ("delete trans_line L3", "not_store_holder"),
                (r#"put trans_line X {"quantity":1}"#, "header_missing"),
                (r#"put trans_line X {"transaction_ID":""}"#, "header_missing"),
                (r#"put trans_line X {"transaction_ID":["T1"]}"#, "header_missing"),
                (r#"put trans_line X {"transaction_ID":"Tgone"}"#, "header_deleted"),
                (r#"patch trans_line Lgone {"quantity":2}"#, "header_deleted"),
                ("delete trans_line Lgone", "accept, S1, under transact Tgone, to store S1"),
                (
                    r#"put purchase_order_line X {"purchase_order_ID":"T1","store_ID":"S1"}"#,
                    "accept, S1, under purchase_order T1, to store S1",
                ),
                (r#"put purchase_order_line X {"purchase_order_ID":"T3","store_ID":"S1"}"#, "header_store_differs"),
                (r#"put purchase_order_line X {"purchase_order_ID":"T1"}"#, "store_missing"),
                (r#"put purchase_order_line X {"store_ID":"S1"}"#, "header_missing"),
            ],
        );
    }
}

#[test]
fn a_line_without_its_header_is_refused_on_the_device_and_waits_at_central() {
    World::check(
        Side::Device,
        HERE,
        &[
            (r#"put trans_line X {"transaction_ID":"T9"}"#, "header_missing"),
            (r#"put trans_line X {"transaction_ID":"Twait"}"#, "header_missing"),
        ],
    );
    World::check(
        Side::Central,
        HERE,
        &[
            (r#"put trans_line X {"transaction_ID":"T9"}"#, "wait transact T9"),
            (r#"patch trans_line L1 {"transaction_ID":"T9"}"#, "wait transact T9"),
            (r#"put trans_line X {"transaction_ID":"Twait"}"#, "wait transact Twait"),
            (r#"put purchase_order_line X {"purchase_order_ID":"T9","store_ID":"S1"}"#, "wait purchase_order T9"),
            (r#"put purchase_order_line X {"purchase_order_ID":"T9","store_ID":"S3"}"#, "not_store_holder"),
            (r#"patch trans_line L3 {"transaction_ID":"T9"}"#, "not_store_holder"),
        ],
    );
    let mut world = World::new();
    world.waits(HERE, "transact", "Tgone");
    assert_eq!(
        world.outcome(Side::Central, HERE, r#"put trans_line X {"transaction_ID":"Tgone"}"#),
        "wait transact Tgone",
        "a header that waits to be made again is waited for"
    );
}

#[test]
fn entries_wait_behind_waiting_entries_of_the_same_site_for_the_same_record() {
    World::check(
        Side::Central,
        HERE,
        &[
            (r#"put transact Twait {"store_ID":"S1"}"#, "wait transact Twait"),
            (r#"patch transact Twait {"status":"fn"}"#, "wait transact Twait"),
            (r#"put transact Tother {"store_ID":"S1"}"#, "accept, S1, to store S1"),
        ],
    );
    World::check(Side::Device, HERE, &[(r#"put transact Twait {"store_ID":"S1"}"#, "accept, S1, to store S1")]);
}

#[test]
fn a_delete_cancels_what_waits_and_deletes_what_is_there() {
    World::check(
        Side::Central,
        HERE,
        &[
            ("delete transact Twait", "accept, nothing, cancels"),
            ("delete#4 transact T2", "accept, S2, to store S2, cancels"),
            ("delete transact Tother", "accept, nothing"),
        ],
    );
}

#[test]
fn what_is_not_here_can_be_put_but_not_patched() {
    World::check(
        Side::Device,
        HERE,
        &[
            (r#"patch transact T9 {"status":"fn"}"#, "record_missing"),
            (r#"patch transact Tgone {"status":"fn"}"#, "record_missing"),
            ("delete transact T9", "record_missing"),
            ("delete transact Tgone", "record_missing"),
            (r#"put transact Tgone {"store_ID":"S1"}"#, "accept, S1, to store S1"),
        ],
    );
    World::check(
        Side::Central,
        HERE,
        &[
            (r#"patch transact T9 {"status":"fn"}"#, "record_missing"),
            (r#"patch transact Tgone {"status":"fn"}"#, "record_missing"),
            ("delete transact T9", "accept, nothing"),
            ("delete transact Tgone", "accept, nothing"),
            (r#"put transact Tgone {"store_ID":"S1"}"#, "accept, S1, to store S1"),
        ],
    );
    World::check(
        Side::Central,
        SiteId::CENTRAL,
        &[
            (r#"patch item I9 {"code":"1"}"#, "record_missing"),
            ("delete item I9", "record_missing"),
            ("delete item Igone", "accept, nothing"),
        ],
    );
}

#[test]
fn at_central_the_entrys_number_must_be_the_stores() {
    World::check(
        Side::Central,
        HERE,
        &[
            (r#"put#2 item_line X {"store_ID":"S1"}"#, "ownership_number"),
            (r#"put#0 item_line X {"store_ID":"S1"}"#, "ownership_number"),
            (r#"put#1 item_line X {"store_ID":"S2"}"#, "ownership_number"),
            ("delete#2 transact T1", "ownership_number"),
            (r#"patch#2 trans_line L1 {"quantity":2}"#, "ownership_number"),
        ],
    );
    let mut world = World::new();
    let entry = world.entry(r#"put#0 item_line X {"store_ID":"S2"}"#);
    let Verdict::Accept(applied) = world.judge_entry(Side::Device, HERE, &entry) else { panic!("refused") };
    assert_eq!(applied.ownership, OwnershipNumber(4), "the device learns the number from the judge");
}

#[test]
fn a_table_that_is_not_known_is_refused_on_both_sides() {
    for side in BOTH {
        for table in [TableRef::Known(900), TableRef::Named("crate".to_owned())] {
            let mut world = World::new();
            let entry = Entry { table, ..world.entry("delete item I1") };
            let Verdict::Refuse(refusal) = world.judge_entry(side, HERE, &entry) else { panic!("not refused") };
            assert_eq!(refusal.code, RefusalCode::UnknownTable);
        }
    }
}

#[test]
fn a_patch_changes_only_its_columns_and_a_put_replaces_the_record() {
    let row_after = |edit: &str| {
        let mut world = World::new();
        let entry = world.entry(edit);
        let Verdict::Accept(applied) = world.judge_entry(Side::Device, HERE, &entry) else { panic!("refused") };
        json::row_to_json(world.table("transact"), &id("T1"), &applied.row.unwrap())
    };

    assert_eq!(
        row_after(r#"patch transact T1 {"hold":true,"status":null}"#),
        r#"{"ID":"T1","store_ID":"S1","hold":true}"#
    );
    assert_eq!(
        row_after(r#"put transact T1 {"store_ID":"S1","hold":null}"#),
        r#"{"ID":"T1","store_ID":"S1","hold":null}"#
    );
}

#[test]
fn a_column_by_name_is_judged_like_its_number() {
    let mut world = World::new();
    let named = |name: &str, text: &str| (ColumnRef::Named(name.to_owned()), Value::Text(text.to_owned()));
    let row = Row::new(vec![named("store_ID", "S3"), named("zzz", "1")]).unwrap();
    let entry = Entry { operation: Operation::Put(row), ..world.entry("delete item_line X") };

    let Verdict::Refuse(refusal) = world.judge_entry(Side::Central, HERE, &entry) else { panic!("not refused") };

    assert_eq!(refusal.code, RefusalCode::NotStoreHolder);
}

#[test]
fn a_row_that_could_not_be_shown_is_refused() {
    let store = (ColumnRef::Named("store_ID".to_owned()), Value::Text("S1".to_owned()));
    let table = World::new();
    let number_of_store = table.table("item_line").column_ref("store_ID");
    for (column, value) in [
        (ColumnRef::Known(3), Value::Number("}".to_owned())),
        (ColumnRef::Known(3), Value::Json("[1".to_owned())),
        (ColumnRef::Known(3), Value::Json(format!("{}{}", "[".repeat(65), "]".repeat(65)))),
        (ColumnRef::Named("ID".to_owned()), Value::Text("other".to_owned())),
        (number_of_store, Value::Text("S2".to_owned())),
    ] {
        let mut world = World::new();
        let row = Row::new(vec![store.clone(), (column, value)]).unwrap();
        let entry = Entry { operation: Operation::Put(row), ..world.entry("delete item_line X") };
        let Verdict::Refuse(refusal) = world.judge_entry(Side::Central, HERE, &entry) else { panic!("not refused") };
        assert_eq!(refusal.code, RefusalCode::BadValue, "{refusal}");
    }
}

#[test]
fn patches_cannot_make_a_record_larger_than_a_record_may_be() {
    let half = "x".repeat(limits::RECORD_BYTES_MAX / 2);
    let wide: Vec<String> = (0..300).map(|n| format!(r#""a{n}":1"#)).collect();
    let wider: Vec<String> = (0..300).map(|n| format!(r#""b{n}":1"#)).collect();
    for (first, second) in
        [(format!(r#""comment":"{half}""#), format!(r#""their_ref":"{half}""#)), (wide.join(","), wider.join(","))]
    {
        let mut world = World::new();
        world.here("transact", "T1", Some("S1"), &format!(r#"{{"store_ID":"S1",{first}}}"#));
        assert_eq!(world.outcome(Side::Central, HERE, &format!("patch transact T1 {{{second}}}")), "record_too_large");
    }
}

#[test]
fn a_refusal_names_table_record_store_and_site() {
    let mut world = World::new();
    let entry = world.entry(r#"put transact T3 {"store_ID":"S3"}"#);
    let Verdict::Refuse(refusal) = world.judge_entry(Side::Central, HERE, &entry) else { panic!("not refused") };

    assert_eq!(
        refusal.to_string(),
        "transact T3 belongs to store S3, which site 3 holds, not site 2 (not_store_holder)"
    );
    assert_eq!(refusal.of_group().code, RefusalCode::GroupRefused);
}
