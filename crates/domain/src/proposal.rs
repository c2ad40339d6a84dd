//! Proposals: an edit that central asks the site of a store to make, because only that site may (architecture, rule 5.14).
//!
//! A proposal is a message from central (blank sender) to the store, so it goes to whoever holds the store, also after a move. Its
//! type is [`PROPOSAL_TYPE`], its body:
//!
//! | key | value |
//! | --- | --- |
//! | `version` | 1 |
//! | `expected` | what of the record the proposal was made on, as [`expectation`] gives it; null: the record was not there |
//! | `edit` | the edit, as a line of edits has it |
//!
//! The site's agent sets the message to processed, in one group with the edit if it makes it. Where it declines, a message to central of
//! the type [`DECLINED_TYPE`] is in that group instead. So a proposal is answered once, by whoever held the store when central judged it.

use protocol::ids::{JournalId, RecordId, Sequence};
use protocol::row::{Row, Value};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, json};

use crate::catalogue::Table;
use crate::derived::{derived_id, digits};
use crate::edit::{Edit, EditOp};
use crate::json::{row_from_json, row_to_json};
use crate::message::{Parties, RECEIVER_COLUMN, SENDER_COLUMN, STATUS_COLUMN, Status};
use crate::transfers::ids::TransferKey;

/// The table of messages.
pub const MESSAGE_TABLE: &str = "message";
/// Type of a message that is a proposal.
pub const PROPOSAL_TYPE: &str = "outpost_proposal";
/// Type of a message to central that says why a proposal was declined.
pub const DECLINED_TYPE: &str = "outpost_proposal_declined";
/// The version of the body.
pub const PROPOSAL_VERSION: u32 = 1;
/// The code of a proposal whose record is another one than central saw.
pub const CHANGED_SINCE: &str = "changed_since";
/// The code of a proposal that the site made and central refused then.
pub const REFUSED_BY_CENTRAL: &str = "refused_by_central";
/// The code of a proposal that this version cannot read.
pub const UNREADABLE: &str = "proposal_unreadable";

const TYPE_COLUMN: &str = "type";
const BODY_COLUMN: &str = "body";

/// What a site is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The edit.
    pub edit: Edit,
    /// What of the record it was made on; `None`: the record was not there.
    pub expected: Option<String>,
}

/// Why a site did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declined {
    /// Stable code: one of a refused edit, [`CHANGED_SINCE`], [`REFUSED_BY_CENTRAL`] or [`UNREADABLE`].
    pub code: String,
    /// A sentence for people.
    pub reason: String,
}

impl Proposal {
    /// The edit that sends it, as central's own; nothing is read of `self.edit` but its line.
    pub fn message(&self, id: &RecordId, store: &RecordId) -> Edit {
        let data = json!({
            RECEIVER_COLUMN: store.as_str(),
            SENDER_COLUMN: "",
            TYPE_COLUMN: PROPOSAL_TYPE,
            STATUS_COLUMN: "new",
        });
        // The edit's data as it was written, so that numbers keep their text.
        let edit = line(&self.edit);
        let expected = json!(self.expected);
        let body = format!("{{\"version\":{PROPOSAL_VERSION},\"expected\":{expected},\"edit\":{edit}}}");
        let data = data.to_string();
        let data = format!("{},\"{BODY_COLUMN}\":{body}}}", data.trim_end_matches('}'));
        Edit { table: MESSAGE_TABLE.to_owned(), op: EditOp::Put, id: id.clone(), data: Some(data) }
    }

    /// What a message proposes, or why it cannot be read.
    ///
    /// # Errors
    /// [`UNREADABLE`], with what is wrong.
    pub fn of(messages: &Table, row: &Row) -> Result<Self, Declined> {
        #[derive(Deserialize)]
        struct Body {
            version: u32,
            expected: Option<String>,
            edit: Box<RawValue>,
        }
        let unreadable = |reason: String| Declined { code: UNREADABLE.to_owned(), reason };
        let Some(Value::Json(body)) = row.value(&messages.column_ref(BODY_COLUMN)) else {
            return Err(unreadable("the message has no body".to_owned()));
        };
        let body: Body =
            serde_json::from_str(body).map_err(|error| unreadable(format!("the body is no proposal: {error}")))?;
        if body.version != PROPOSAL_VERSION {
            let reason = format!("the proposal has version {}, and this agent reads {PROPOSAL_VERSION}", body.version);
            return Err(unreadable(reason));
        }
        let edit = Edit::parse(body.edit.get()).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self { edit, expected: body.expected })
    }

    /// That the record is as central saw it.
    ///
    /// # Errors
    /// [`CHANGED_SINCE`]: somebody has written it since, and decides again.
    pub fn check(&self, table: &Table, current: Option<&Row>) -> Result<(), Declined> {
        if expectation(table, &self.edit, current) == self.expected {
            return Ok(());
        }
        let (name, id) = (table.name(), &self.edit.id);
        let reason = match (&self.expected, current) {
            (None, _) => format!("{name} {id} is here, and was not at central when this was proposed"),
            (Some(_), None) => format!("{name} {id} is not here any more"),
            (Some(_), Some(_)) => format!("{name} {id} was changed since this was proposed"),
        };
        Err(Declined { code: CHANGED_SINCE.to_owned(), reason })
    }
}

impl Declined {
    /// The edit that tells central, from the store that was asked.
    pub fn message(&self, proposal: &RecordId, store: &RecordId) -> Edit {
        let data = json!({
            SENDER_COLUMN: store.as_str(),
            RECEIVER_COLUMN: "",
            TYPE_COLUMN: DECLINED_TYPE,
            STATUS_COLUMN: "new",
            BODY_COLUMN: { "proposal": proposal.as_str(), "code": self.code, "reason": self.reason },
        });
        let id = declined_id(proposal);
        Edit { table: MESSAGE_TABLE.to_owned(), op: EditOp::Put, id, data: Some(data.to_string()) }
    }

    /// What a message says of a proposal that was declined; `None` if it does not.
    pub fn of(messages: &Table, row: &Row) -> Option<Self> {
        let Some(Value::Json(body)) = row.value(&messages.column_ref(BODY_COLUMN)) else { return None };
        let body: Map<String, serde_json::Value> = serde_json::from_str(body).ok()?;
        let text = |key: &str| body.get(key)?.as_str().map(str::to_owned);
        Some(Self { code: text("code")?, reason: text("reason")? })
    }
}

/// The store that a message asks to make an edit, while nobody has answered; `None` for any other message. Central alone proposes:
/// a message with a sender is another site's.
pub fn asked_store(messages: &Table, row: &Row) -> Option<RecordId> {
    let is_new = is_proposal(messages, row) && Status::of(messages, row) == Some(Status::New);
    let parties = Parties::of(messages, row).ok().filter(|_| is_new)?;
    parties.receiver.filter(|_| parties.sender.is_none())
}

/// Whether a message is a proposal, answered or not.
pub fn is_proposal(messages: &Table, row: &Row) -> bool {
    row.value(&messages.column_ref(TYPE_COLUMN)) == Some(&Value::Text(PROPOSAL_TYPE.to_owned()))
}

/// The edit that says that a proposal was answered.
pub fn processed(proposal: &RecordId) -> Edit {
    let data = Some(json!({ STATUS_COLUMN: "processed" }).to_string());
    Edit { table: MESSAGE_TABLE.to_owned(), op: EditOp::Patch, id: proposal.clone(), data }
}

/// The id of the message that proposes a refused edit, for the n-th time: an edit that was declined may be proposed again.
pub fn proposal_id(journal: JournalId, sequence: Sequence, attempt: u32) -> RecordId {
    derived_id(&[PROPOSAL_TYPE, &journal.to_string(), &sequence.0.to_string(), &attempt.to_string()])
}

/// The id of the message that proposes what follows for the other half of a transfer, for the n-th time. The same edit on the same record
/// is proposed once, until it was answered.
pub fn transfer_proposal_id(key: &TransferKey, edit: &Edit, expected: Option<&str>, attempt: u32) -> RecordId {
    let (kind, source, receiver) = (key.kind.as_str(), key.source.as_str(), key.receiver.as_str());
    let (edit, attempt) = (line(edit), attempt.to_string());
    derived_id(&[PROPOSAL_TYPE, "transfer", kind, source, receiver, &edit, expected.unwrap_or_default(), &attempt])
}

/// The id of the message that says that a proposal was declined.
pub fn declined_id(proposal: &RecordId) -> RecordId {
    derived_id(&[DECLINED_TYPE, proposal.as_str()])
}

/// What an edit is made on: of the columns that a patch names, else of the whole record, 32 digits; `None` where the record is not here.
/// Columns that are null are as good as not there.
pub fn expectation(table: &Table, edit: &Edit, current: Option<&Row>) -> Option<String> {
    let current = current?;
    let named = match (edit.op, &edit.data) {
        (EditOp::Patch, Some(data)) => row_from_json(table, &edit.id, data).ok(),
        _ => None,
    };
    let seen = match named {
        Some(named) => {
            let columns = current.columns().iter().filter(|(column, _)| named.value(column).is_some());
            Row::new(columns.cloned().collect()).unwrap_or_default()
        }
        None => current.clone(),
    };
    Some(digits(row_to_json(table, &edit.id, &seen.without_nulls()).as_bytes()))
}

fn line(edit: &Edit) -> String {
    let (table, id) = (json!(edit.table), json!(edit.id.as_str()));
    let data = edit.data.as_ref().map(|data| format!(",\"data\":{data}")).unwrap_or_default();
    format!("{{\"table\":{table},\"op\":\"{}\",\"id\":{id}{data}}}", edit.op.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    fn table(name: &str) -> Table {
        Catalogue::embedded().table_by_name(name).unwrap().clone()
    }

    fn row(table: &Table, data: &str) -> Row {
        table.canonical(row_from_json(table, &RecordId::new("I").unwrap(), data).unwrap())
    }

    fn edit(op: EditOp, data: Option<&str>) -> Edit {
        Edit { table: "item_line".to_owned(), op, id: RecordId::new("I").unwrap(), data: data.map(str::to_owned) }
    }

    fn sent(proposal: &Proposal) -> Row {
        let (id, store) = (RecordId::new("M").unwrap(), RecordId::new("S").unwrap());
        let message = proposal.message(&id, &store);
        let messages = table(MESSAGE_TABLE);
        messages.canonical(row_from_json(&messages, &id, &message.data.unwrap()).unwrap())
    }

    #[test]
    fn a_proposal_comes_out_of_its_message_as_it_went_in_also_the_text_of_its_numbers() {
        for (op, data) in [
            (EditOp::Put, Some(r#"{"store_ID":"S","quantity":1.50,"note":"a \"b\""}"#)),
            (EditOp::Patch, Some(r#"{"quantity":7e2}"#)),
            (EditOp::Delete, None),
        ] {
            let proposal = Proposal { edit: edit(op, data), expected: Some("00".to_owned()) };
            assert_eq!(Proposal::of(&table(MESSAGE_TABLE), &sent(&proposal)), Ok(proposal));
        }
    }

    #[test]
    fn only_an_open_message_of_centrals_asks_a_store() {
        let messages = table(MESSAGE_TABLE);
        let proposal = Proposal { edit: edit(EditOp::Delete, None), expected: None };
        assert_eq!(asked_store(&messages, &sent(&proposal)), Some(RecordId::new("S").unwrap()));
        for data in [
            r#"{"toStoreID":"S","type":"outpost_proposal","status":"processed"}"#,
            r#"{"toStoreID":"S","fromStoreID":"T","type":"outpost_proposal","status":"new"}"#,
            r#"{"toStoreID":"S","type":"else","status":"new"}"#,
            r#"{"type":"outpost_proposal","status":"new"}"#,
        ] {
            assert_eq!(asked_store(&messages, &row(&messages, data)), None, "{data}");
        }
    }

    #[test]
    fn a_patch_expects_its_own_columns_alone_and_a_put_the_whole_record() {
        let lines = table("item_line");
        let before = row(&lines, r#"{"store_ID":"S","quantity":1,"batch":"A"}"#);
        let other_batch = row(&lines, r#"{"store_ID":"S","quantity":1,"batch":"B"}"#);
        let with_null = row(&lines, r#"{"store_ID":"S","quantity":1,"batch":"A","note":null}"#);
        let of = |edit: &Edit, current: &Row| Proposal {
            edit: edit.clone(),
            expected: expectation(&lines, edit, Some(current)),
        };
        let patch = of(&edit(EditOp::Patch, Some(r#"{"quantity":5}"#)), &before);
        let put = of(&edit(EditOp::Put, Some(r#"{"store_ID":"S","quantity":5}"#)), &before);
        assert_eq!(patch.check(&lines, Some(&other_batch)), Ok(()));
        assert_eq!(put.check(&lines, Some(&with_null)), Ok(()));
        assert_eq!(put.check(&lines, Some(&other_batch)).unwrap_err().code, CHANGED_SINCE);
        assert_eq!(patch.check(&lines, None).unwrap_err().code, CHANGED_SINCE);
        let of_new = Proposal { edit: put.edit, expected: None };
        assert_eq!(of_new.check(&lines, None), Ok(()));
        assert_eq!(of_new.check(&lines, Some(&before)).unwrap_err().code, CHANGED_SINCE);
    }

    #[test]
    fn a_body_that_is_no_proposal_says_what_is_wrong() {
        let messages = table(MESSAGE_TABLE);
        for (data, said) in [
            ("{}", "no body"),
            (r#"{"body":{"version":1}}"#, "no proposal"),
            (r#"{"body":{"version":9,"expected":null,"edit":{}}}"#, "version 9"),
            (r#"{"body":{"version":1,"expected":null,"edit":{"table":"item_line"}}}"#, "op"),
        ] {
            let declined = Proposal::of(&messages, &row(&messages, data)).unwrap_err();
            assert_eq!(declined.code, UNREADABLE);
            assert!(declined.reason.contains(said), "{data}: {}", declined.reason);
        }
    }

    #[test]
    fn a_decline_comes_out_of_its_message_as_it_went_in() {
        let messages = table(MESSAGE_TABLE);
        let declined = Declined { code: "changed_since".to_owned(), reason: "it was \"changed\"".to_owned() };
        let (proposal, store) = (RecordId::new("M").unwrap(), RecordId::new("S").unwrap());
        let message = declined.message(&proposal, &store);
        let data = message.data.unwrap();
        assert_eq!(Declined::of(&messages, &row(&messages, &data)), Some(declined));
        assert_eq!(message.id, declined_id(&proposal));
        assert_ne!(message.id, proposal);
    }

    #[test]
    fn each_attempt_has_an_id_of_its_own_that_never_changes() {
        let journal = JournalId([7; 16]);
        let ids = [0, 1].map(|attempt| proposal_id(journal, Sequence(3), attempt));
        assert_eq!(
            ids.map(|id| id.as_str().to_owned()),
            ["9781A773E954D7B62B77DFEA700EB920", "F6FCC3E7C9D421E3ACAF9389EB74E6D8"]
        );
    }
}
