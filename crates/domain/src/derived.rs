//! Ids that follow from what they are made for, so that whoever makes a record twice makes the same one: of the SHA-256 of some texts, with
//! zero bytes between, the first 16 bytes.

use protocol::chain::hash_of;
use protocol::ids::{RecordId, RequestId};

/// The id of a record: the bytes as 32 digits in capitals.
///
/// # Panics
/// Never: 32 digits are an id.
pub fn derived_id(texts: &[&str]) -> RecordId {
    RecordId::new(&digits(texts.join("\0").as_bytes())).expect("32 digits are an id")
}

/// A request id.
pub fn derived_request_id(texts: &[&str]) -> RequestId {
    let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash_of(texts.join("\0").as_bytes()).0;
    RequestId(first)
}

/// The first 16 bytes of the hash, as 32 digits in capitals.
pub(crate) fn digits(bytes: &[u8]) -> String {
    let mut digits = hash_of(bytes).to_string().to_uppercase();
    digits.truncate(32);
    digits
}

#[cfg(test)]
mod tests {
    use protocol::ids::PackedId;

    use super::*;

    #[test]
    fn a_request_id_has_the_bytes_of_the_record_id_of_the_same_texts() {
        let of_record = PackedId::of(derived_id(&["a", "b"]).as_str());
        assert_eq!(of_record, PackedId::Hex { form: 1, bytes: derived_request_id(&["a", "b"]).0 });
        assert_ne!(derived_id(&["a", "b"]), derived_id(&["ab"]));
    }
}
