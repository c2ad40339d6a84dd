//! The seeds' list of data, row by row: may each kind of site write it, and who receives it? What is expected stands here in the
//! seeds' words, and not in those of the judge.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use domain::authority::Authority;
use domain::catalogue::{Catalogue, DataType, Table};
use domain::json::row_from_json;
use domain::judge::{Found, Holding, Side, Verdict, View, judge};
use domain::new_user::say_where_made;
use domain::seed_rows::{MirroredWriter, seed_rows};
use protocol::entry::{Entry, Operation};
use protocol::ids::{OwnershipNumber, RecordId, SiteId, TableRef};

/// Where store S is active.
const ACTIVE: SiteId = SiteId(2);
/// A satellite without it.
const SATELLITE: SiteId = SiteId(3);

/// The primary, where the system is mirrored.
const PRIMARY: SiteId = SiteId(4);

/// A world with store S, a header of it in every table, and record R in every table but one.
struct Central<'a> {
    catalogue: &'a Catalogue,
    without: &'a TableRef,
    authority: Authority,
}

impl Central<'_> {
    /// Whether names are to be patients: they are merged in a table of their own.
    fn is_of_patients(&self) -> bool {
        self.catalogue.table_name(self.without) == "outpost_patient_merge"
    }
}

impl View for Central<'_> {
    type Error = Infallible;

    fn record(&mut self, table: &TableRef, id: &RecordId) -> Result<Found, Infallible> {
        if id.as_str() != "HEADER" && table == self.without {
            return Ok(Found::Unknown);
        }
        let table = self.catalogue.table(table).unwrap();
        let is_patient = table.name() == "name" && self.is_of_patients();
        let row = row_from_json(table, id, if is_patient { r#"{"type":"patient"}"# } else { "{}" }).unwrap();
        Ok(Found::Here { row, store: Some(RecordId::new("S").unwrap()) })
    }

    fn holding(&mut self, store: &RecordId) -> Result<Option<Holding>, Infallible> {
        Ok((store.as_str() == "S").then_some(Holding { site: ACTIVE, ownership: OwnershipNumber(1) }))
    }

    fn is_waiting(&mut self, _: SiteId, _: &TableRef, _: &RecordId) -> Result<bool, Infallible> {
        Ok(false)
    }

    fn has_dispensary(&mut self, site: SiteId) -> Result<bool, Infallible> {
        Ok(site == ACTIVE)
    }

    fn store_of_name(&mut self, _: &RecordId) -> Result<Option<RecordId>, Infallible> {
        Ok(None)
    }

    fn merged_into(&mut self, _: &TableRef, _: &RecordId) -> Result<Option<RecordId>, Infallible> {
        Ok(None)
    }

    fn authority(&mut self) -> Result<Authority, Infallible> {
        Ok(self.authority)
    }
}

/// A record of the table, and of this type, that belongs to store S, as far as it belongs to one.
fn record(catalogue: &Catalogue, table: &Table, data_type: DataType) -> String {
    let mut columns = BTreeMap::new();
    if let Some(column) = table.store_column().filter(|column| *column != table.id_column()) {
        let is_number = matches!(table.name(), "number" | "number_reuse");
        columns.insert(column.to_owned(), if is_number { "invoice_for_store_S" } else { "S" });
    }
    if let Some(parent) = table.parent() {
        assert!(catalogue.table(&parent.table).is_some());
        columns.insert(table.name_of(&parent.column).into_owned(), "HEADER");
    }
    let is_named = |column: &&str| table.data_type() == DataType::Name && *column != table.id_column();
    if let Some(column) = table.name_column().filter(is_named) {
        columns.insert(column.to_owned(), "N");
    }
    if let Some((_, column)) = table.hangs_on().filter(|(_, column)| *column != table.id_column()) {
        columns.insert(column.to_owned(), "HEADER");
    }
    if table.data_type() == DataType::Message {
        columns.extend([("fromStoreID".to_owned(), "S"), ("status".to_owned(), "new")]);
    }
    if table.name() == "pref" && data_type == DataType::CentralStore {
        columns.insert("item".to_owned(), "store_preferences");
    }
    if table.merges().is_some() {
        columns.insert("into_ID".to_owned(), "HEADER");
    }
    let columns: Vec<String> = columns.iter().map(|(column, value)| format!("{column:?}:{value:?}")).collect();
    format!("{{{}}}", columns.join(","))
}

/// What the code says of a new record: who receives it, or why it is refused.
fn outcome(catalogue: &Catalogue, of: (&Table, DataType), side: Side, author: SiteId) -> String {
    outcome_under(catalogue, of, side, author, Authority::Central)
}

/// The same in a system whose central data is written by somebody. `data_type`: which of the table's records are meant.
fn outcome_under(
    catalogue: &Catalogue,
    (table, data_type): (&Table, DataType),
    side: Side,
    author: SiteId,
    authority: Authority,
) -> String {
    // A store's record hangs on itself.
    let id = RecordId::new("S").unwrap();
    let row = row_from_json(table, &id, &record(catalogue, table, data_type)).unwrap();
    let mut entry = Entry {
        is_group_end: true,
        ownership: OwnershipNumber(1),
        table: table.reference().clone(),
        record: id,
        operation: Operation::Put(row),
    };
    if data_type == DataType::NewUser && author != SiteId::CENTRAL {
        say_where_made(table, author, &Found::Unknown, &mut entry);
    }
    let mut view = Central { catalogue, without: table.reference(), authority };
    match judge(catalogue, &mut view, side, author, &entry).unwrap() {
        Verdict::Accept(applied) if applied.is_private => "stays here".to_owned(),
        Verdict::Accept(applied) => {
            let scopes = applied.scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
            applied.visible_key.map_or(scopes.clone(), |key| format!("{scopes} by {key}"))
        }
        Verdict::Refuse(refusal) => refusal.code.as_str().to_owned(),
        Verdict::Wait { table, record } => panic!("waits for {table:?} {record}"),
    }
}

/// For each kind of site: central, which is the primary, the site where the store is active, and another satellite.
fn expected(name: &str, data_type: DataType) -> [&'static str; 3] {
    match data_type {
        // Its id is the name's.
        DataType::Name if name == "name_oms_fields" => ["what a site sees by name S", "central_data", "central_data"],
        DataType::Central => ["all sites", "central_data", "central_data"],
        DataType::CentralStore => ["what a site sees by store S", "central_data", "central_data"],
        DataType::Name => ["what a site sees by name N", "central_data", "central_data"],
        DataType::CentralDispensary => ["dispensary sites", "central_data", "central_data"],
        // Any site may send a message, for a store of its own; this one is of store S.
        DataType::Store | DataType::Message => ["not_store_holder", "store S", "not_store_holder"],
        DataType::Patient => ["not_home_site", "what a site sees by name HEADER", "not_home_site"],
        DataType::Sync => ["not_supported"; 3],
        // Central sends none of its own to anybody.
        DataType::NewUser => {
            ["stays here", "what a site sees by users made on site 2", "what a site sees by users made on site 3"]
        }
        DataType::Local => ["stays here", "local_data", "local_data"],
    }
}

#[test]
fn each_row_of_the_seeds_may_be_written_where_they_say_and_goes_where_they_say() {
    let catalogue = Catalogue::embedded();
    let mut asked = 0;
    for row in seed_rows() {
        for (name, data_type) in row.tables() {
            let table = catalogue.table_by_name(name).unwrap_or_else(|_| panic!("{}: no table {name}", row.data));
            let found = [SiteId::CENTRAL, ACTIVE, SATELLITE]
                .map(|site| outcome(&catalogue, (table, data_type), Side::Central, site));
            let mut expected = expected(name, data_type);
            match name {
                "clinician" | "outpost_prescriber_merge" => expected[1] = "what a site sees by prescriber S",
                // Its id is the patient's.
                "outpost_patient_merge" => expected[1] = "what a site sees by name S",
                _ => {}
            }
            assert_eq!(found, expected, "{}: {name}", row.data);
            asked += 1;
        }
    }
    assert!(asked > 60, "{asked} tables were asked for");
}

/// Central, the primary, the site where the store is active, and another satellite.
const MIRRORED: [SiteId; 4] = [SiteId::CENTRAL, PRIMARY, ACTIVE, SATELLITE];

fn holding(number: u32) -> Holding {
    Holding { site: PRIMARY, ownership: OwnershipNumber(number) }
}

#[test]
fn in_a_mirrored_system_each_row_of_the_seeds_may_be_written_where_they_say() {
    let catalogue = Catalogue::embedded();
    let mut of_primary = 0;
    for row in seed_rows() {
        for (name, data_type) in row.tables() {
            let table = catalogue.table_by_name(name).unwrap();
            let authority = Authority::Primary(holding(1));
            let found =
                MIRRORED.map(|site| outcome_under(&catalogue, (table, data_type), Side::Central, site, authority));
            let [central, active, satellite] = expected(name, data_type);
            // The text of seed 000 gives name visibility to central, and is newer than its row.
            let writer = if name == "name_store_join" { MirroredWriter::Central } else { row.mirrored };
            if !data_type.is_centrals() {
                continue;
            }
            let expected = match writer {
                MirroredWriter::Primary => ["central_data", central, active, satellite],
                MirroredWriter::Central => [central, "central_data", active, satellite],
                MirroredWriter::Store | MirroredWriter::Site => panic!("{}: central data is nobody else's", row.data),
            };
            assert_eq!(found, expected, "{}: {name}", row.data);
            assert_eq!(table.stays_with_central(), writer == MirroredWriter::Central, "{}: {name}", row.data);
            of_primary += usize::from(writer == MirroredWriter::Primary);
        }
    }
    assert!(of_primary > 30, "{of_primary} tables are the primary's");
}

#[test]
fn while_central_data_goes_from_one_to_the_other_nobody_writes_it_and_an_old_number_opens_nothing() {
    let catalogue = Catalogue::embedded();
    let item = (catalogue.table_by_name("item").unwrap(), DataType::Central);
    let under = |authority| MIRRORED.map(|site| outcome_under(&catalogue, item, Side::Central, site, authority));

    assert_eq!(under(Authority::Frozen(holding(1))), ["central_data"; 4]);
    let [central, primary, ..] = under(Authority::Primary(holding(2)));
    assert_eq!((central.as_str(), primary.as_str()), ("central_data", "ownership_number"));
    // The device knows of itself alone.
    let device = outcome_under(&catalogue, item, Side::Device, PRIMARY, Authority::Primary(holding(2)));
    assert_eq!(device, "all sites");
    assert_eq!(outcome_under(&catalogue, item, Side::Device, PRIMARY, Authority::Central), "central_data");
}

#[test]
fn what_a_site_may_not_write_its_agent_refuses_at_once_with_the_same_code() {
    let catalogue = Catalogue::embedded();
    for row in seed_rows() {
        for (name, data_type) in row.tables() {
            let table = catalogue.table_by_name(name).unwrap();
            let here = outcome(&catalogue, (table, data_type), Side::Device, SATELLITE);
            let at_central = outcome(&catalogue, (table, data_type), Side::Central, SATELLITE);
            let expected = if data_type == DataType::Local { "stays here" } else { at_central.as_str() };
            assert_eq!(here, expected, "{}: {name}", row.data);
        }
    }
}

#[test]
fn no_row_and_no_table_stands_in_the_list_twice() {
    let (mut rows, mut tables) = (BTreeSet::new(), BTreeSet::new());
    for row in seed_rows() {
        // Records of a table may be of two types, and stand in two rows.
        assert!(row.tables().all(|(name, of)| tables.insert((name.to_owned(), of))), "{}", row.data);
        assert!(rows.insert(row.data.clone()), "{}", row.data);
    }
    // Seed 000 has 70 rows, and seed 001 adds prescription categories.
    assert_eq!(rows.len(), 71);
}
