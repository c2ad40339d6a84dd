//! What the tests stand on.

pub mod agent;
pub mod folder;
pub mod http;
pub mod wait;

/// A store record with what the catalogue needs.
pub fn store_line(id: &str) -> String {
    format!(r#"{{"table":"store","op":"upsert","id":"{id}","data":{{"ID":"{id}","code":"{id}","name_ID":"N"}}}}"#)
}

/// A unit, which is central data.
pub fn unit_line(id: &str) -> String {
    format!(r#"{{"table":"unit","op":"upsert","id":"{id}","data":{{"ID":"{id}","units":"unit {id}"}}}}"#)
}
