//! Document numbers: the next ones of a kind and store.

use domain::number::{KIND_BYTES_MAX, NUMBERS_MAX, is_kind};
use protocol::chain::{self, hash_of};
use protocol::ids::{RecordId, RequestId};
use protocol::limits::RECORD_ID_BYTES_MAX;
use serde_json::{Value, json};

use super::NextNumber;
use crate::agent::Agent;
use crate::clock;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::recorder::NumbersWanted;

/// Gives the next numbers; they are durable when this returns.
pub(super) fn next_number(agent: &Agent, asked: &NextNumber) -> Result<Value, AgentError> {
    let wrong = |code, message| AgentError::new(code, message, "Nothing was given.", Exit::Usage);
    let NextNumber { store, kind, count, request_id } = asked;
    let id = RecordId::new(store).map_err(|error| {
        let message = format!("the store has {} bytes, and has to have 1 to {RECORD_ID_BYTES_MAX}", error.bytes);
        wrong("bad_store", message)
    })?;
    if !is_kind(kind) {
        let message = format!(
            "{kind:?} is no kind of numbers: it has to have 1 to {KIND_BYTES_MAX} letters, digits, blanks, or _ - . and may not name a store"
        );
        return Err(wrong("bad_kind", message));
    }
    if !(1..=NUMBERS_MAX).contains(count) {
        let message = format!("{count} numbers are asked for at once, and the limit is 1 to {NUMBERS_MAX}");
        return Err(wrong("count_out_of_range", message));
    }
    let recorded = agent.recorder()?.next_numbers(NumbersWanted {
        store: id,
        kind: kind.clone(),
        count: *count,
        request_id: request_id.as_deref().map(|text| request_id_of(text, asked)),
        recorded_at_ms: clock::wall_now().0,
    })?;
    let Some(numbers) = recorded.numbers else {
        return Err(AgentError::new("numbers_missing", "no number was given".to_owned(), "", Exit::Failed));
    };
    let sequence = recorded.sequences.map(|(_, last)| last.0);
    let (first, last, already) = (numbers.first, numbers.last, recorded.was_recorded);
    Ok(json!({ "store": store, "kind": kind, "first": first, "last": last, "sequence": sequence, "already": already }))
}

/// Of the caller's text and of what it asks for, so that the same text for another kind is another request.
fn request_id_of(text: &str, asked: &NextNumber) -> RequestId {
    let mut hash = hash_of(b"next-number");
    for part in [text, &asked.store, &asked.kind] {
        hash = chain::extend(hash, part.as_bytes());
    }
    let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = chain::extend(hash, &asked.count.to_le_bytes()).0;
    RequestId(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_another_one_for_another_store_kind_or_count() {
        let asked = |store: &str, kind: &str, count| NextNumber {
            store: store.to_owned(),
            kind: kind.to_owned(),
            count,
            request_id: None,
        };
        let id = request_id_of("a", &asked("S", "k", 1));

        assert_eq!(id, request_id_of("a", &asked("S", "k", 1)));
        for (text, other) in [
            ("b", asked("S", "k", 1)),
            ("a", asked("T", "k", 1)),
            ("a", asked("S", "l", 1)),
            ("a", asked("S", "k", 2)),
            ("aS", asked("", "k", 1)),
        ] {
            assert_ne!(id, request_id_of(text, &other), "{text} {other:?}");
        }
    }
}
