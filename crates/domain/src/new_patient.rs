//! A new patient becomes visible in the other dispensaries of its home site, where these do not hide new patients (`domain.md`, "Special
//! cases"; seed 000, "Patients": "depending on the store's visibility preferences"). The site makes that visibility with the patient, in
//! the same group; afterwards it is central's.

use protocol::ids::RecordId;
use protocol::row::Row;

use crate::catalogue::{Catalogue, DataType};
use crate::derived::derived_id;
use crate::edit::{Edit, EditOp};
use crate::json::row_to_json;
use crate::store::{NAME_TABLE, STORE_TABLE, is_dispensary, says};
use crate::visibility::{JOIN_TABLE, Join};

/// Column of a store's record: true hides new patients of the other stores of its site. As in mSupply, a store that says nothing shows
/// them.
pub const HIDES_NEW_PATIENTS: &str = "outpost_hides_new_patients";

/// The visibility that a site makes with a new record, if it is a patient: an edit for each of its other dispensaries that shows new
/// patients. `stores`: those that are active on the site, with their records. The id of each is the first 16 bytes of SHA-256("new patient",
/// patient, store), so that it is made once.
///
/// # Panics
/// Never: 32 digits are an id.
pub fn visibility_of_new(
    catalogue: &Catalogue,
    table: &str,
    id: &RecordId,
    row: &Row,
    stores: &[(RecordId, Row)],
) -> Vec<Edit> {
    let tables = [NAME_TABLE, STORE_TABLE, JOIN_TABLE].map(|name| catalogue.table_by_name(name));
    let [Ok(names), Ok(of_stores), Ok(joins)] = tables else { return Vec::new() };
    if table != NAME_TABLE || names.data_type_of(row) != DataType::Patient {
        return Vec::new();
    }
    let Some(Ok(home)) = names.store_of(id, row) else { return Vec::new() };
    let hides = |row: &Row| says(of_stores, row, HIDES_NEW_PATIENTS);
    let shows = |(store, row): &&(RecordId, Row)| *store != home && is_dispensary(of_stores, row) && !hides(row);
    let edit = |(store, _): &(RecordId, Row)| {
        let made = derived_id(&["new patient", id.as_str(), store.as_str()]);
        let join = Join { name: id.clone(), store: store.clone() };
        let data = row_to_json(joins, &made, &join.to_row(joins));
        Edit { table: JOIN_TABLE.to_owned(), op: EditOp::Put, id: made, data: Some(data) }
    };
    stores.iter().filter(shows).map(edit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::row_from_json;

    fn made(table: &str, data: &str, stores: &[(&str, &str)]) -> Vec<String> {
        let catalogue = Catalogue::embedded();
        let row = |table: &str, id: &RecordId, data: &str| {
            let table = catalogue.table_by_name(table).unwrap();
            table.canonical(row_from_json(table, id, data).unwrap())
        };
        let id = RecordId::new("P").unwrap();
        let stores: Vec<(RecordId, Row)> = stores
            .iter()
            .map(|(store, data)| {
                let store = RecordId::new(store).unwrap();
                let row = row(STORE_TABLE, &store, data);
                (store, row)
            })
            .collect();
        let edits = visibility_of_new(&catalogue, table, &id, &row(table, &id, data), &stores);
        edits.into_iter().map(|edit| edit.data.unwrap()).collect()
    }

    #[test]
    fn a_new_patient_is_shown_in_the_other_dispensaries_that_do_not_hide_it() {
        let stores = [
            ("home", r#"{"store_mode":"dispensary"}"#),
            ("shows", r#"{"store_mode":"dispensary"}"#),
            ("hides", r#"{"store_mode":"dispensary","outpost_hides_new_patients":true}"#),
            ("warehouse", r#"{"store_mode":"store"}"#),
        ];
        let patient = r#"{"type":"patient","supplying_store_id":"home"}"#;

        let shown = made("name", patient, &stores);

        assert_eq!(shown.len(), 1);
        assert!(shown[0].contains(r#""name_ID":"P""#) && shown[0].contains(r#""store_ID":"shows""#), "{shown:?}");
        assert_eq!(made("name", patient, &stores), shown, "made once");
        assert!(made("name", patient, &stores[..1]).is_empty());
        assert!(made("name", r#"{"type":"facility"}"#, &stores).is_empty());
        assert!(made("item", r#"{"code":"1"}"#, &stores).is_empty());
    }
}
