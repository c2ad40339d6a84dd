//! Codes and sentences of refusals.

use super::*;

#[test]
fn a_reason_is_cut_between_letters() {
    let refusal = Refusal::new(RefusalCode::BadValue, &"é".repeat(400));

    assert_eq!(refusal.reason.len(), limits::REASON_BYTES_MAX);
    assert_eq!(Refusal::new(RefusalCode::BadValue, &format!("x{}", "é".repeat(400))).reason.len(), 299);
}

#[test]
fn every_code_is_found_by_its_text() {
    let texts: BTreeSet<&str> = RefusalCode::ALL.iter().map(|code| code.as_str()).collect();

    assert_eq!(texts.len(), RefusalCode::ALL.len());
    for code in RefusalCode::ALL {
        assert_eq!(RefusalCode::of(code.as_str()), Some(*code));
    }
    assert_eq!(RefusalCode::of("new_code"), None);
}
