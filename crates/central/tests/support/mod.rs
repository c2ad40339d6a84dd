//! What the tests stand on.

pub(crate) mod agent;
pub(crate) mod folder;
pub(crate) mod http;
pub(crate) mod wait;

/// A store record with what the catalogue needs.
pub(crate) fn store_line(id: &str) -> String {
    format!(r#"{{"table":"store","op":"upsert","id":"{id}","data":{{"ID":"{id}","code":"{id}","name_ID":"N"}}}}"#)
}

/// A unit, which is central data.
pub(crate) fn unit_line(id: &str) -> String {
    format!(r#"{{"table":"unit","op":"upsert","id":"{id}","data":{{"ID":"{id}","units":"unit {id}"}}}}"#)
}

/// What no other session of this process begins with.
pub(crate) fn fresh_salt() -> [u8; 16] {
    static SESSIONS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&SESSIONS.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_le_bytes());
    salt
}
