//! The control lane: what central tells one site about itself (rules 5.9 and 5.11; `docs/sync-protocol.md`).
//!
//! A row is (number, code, content). An unknown code is kept and shown, never dropped.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::{ControlNumber, GrantProof, JournalId, OwnershipNumber, Position, ScopeId, Sequence};
use crate::message::{MessageError, decode_part, encode};

/// One row of a site's control lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlRow {
    /// Its place; rises by one.
    pub number: ControlNumber,
    /// What kind: see [`Control`].
    pub code: u16,
    /// The kind's content.
    pub content: Vec<u8>,
}

/// What central has of a record that a refused entry touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Image {
    /// No scope of the site holds the record: it goes from the device too.
    NotHere,
    /// Central's row, packed, and its position.
    Here {
        /// Position of the image; one with a higher position is not replaced.
        position: Position,
        /// A packed [`crate::row::Row`]; empty if central cannot read its own, and then what the device has stays.
        row: Vec<u8>,
    },
}

/// Central refuses an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The journal.
    pub journal: JournalId,
    /// The entry.
    pub sequence: Sequence,
    /// Stable code, such as `store_not_held` or `group_refused`.
    pub code: String,
    /// One sentence for a person.
    pub reason: String,
    /// What the device shows instead.
    pub image: Image,
}

/// An entry of the site's journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryPlace {
    /// The journal.
    pub journal: JournalId,
    /// The entry.
    pub sequence: Sequence,
}

/// Whether the site may write a store, and under which number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The store's id.
    pub store: String,
    /// The number that its entries carry.
    pub ownership: OwnershipNumber,
    /// False takes the grant away.
    pub is_held: bool,
    /// Shows a central that was set back that it gave this grant itself.
    pub proof: GrantProof,
    /// How often document numbers of the store may have been lost: what is given from now on lies so many gaps
    /// ([`NUMBER_GAP`](crate::limits::NUMBER_GAP)) behind the first ones.
    pub number_gaps: u32,
}

/// Every store that the site holds was told in the rows just before this one: the device may hold others, and a central that was set
/// back has forgotten them. The device answers with its [`Claims`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantsTold {
    /// How many rows before this one are the site's grants.
    pub grants: u32,
}

/// A grant that a device has and central did not name when it told all of them anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The store's id.
    pub store: String,
    /// The number under which it was granted.
    pub ownership: OwnershipNumber,
    /// As it came with the grant.
    pub proof: GrantProof,
}

/// A store of which a device knows of more lost document numbers than central has told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberGaps {
    /// The store's id.
    pub store: String,
    /// The count that the device needs before it gives numbers again.
    pub gaps: u32,
}

/// A device's answer to [`GrantsTold`], and what else it shows of its grants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Claims {
    /// Number of the last such row that is durable on the device; 0 if there was none.
    pub told: ControlNumber,
    /// Grants that were not told, at most [`CLAIMS_MAX`](crate::limits::CLAIMS_MAX); more follow once these are answered with a
    /// [`Grant`] each, which gives the store or takes it away.
    pub grants: Vec<Claim>,
    /// Refusals of entries that had waited at central, or that it may have received and not judged, at most
    /// [`CLAIMS_MAX`](crate::limits::CLAIMS_MAX); more follow once a reply came. A central that was set back might accept them.
    pub refused: Vec<ShownRefusal>,
    /// Stores that central told the site to be its own, under numbers that it had taken away before it was set back, at most
    /// [`CLAIMS_MAX`](crate::limits::CLAIMS_MAX). The site writes nothing of these; central answers with a [`Grant`] each.
    pub taken: Vec<Claim>,
    /// Stores that the site holds and of which it knows more number gaps than it was told last: it lost entries of its journal, or central
    /// was set back. At most [`CLAIMS_MAX`](crate::limits::CLAIMS_MAX); shown without a [`GrantsTold`] too, and answered with a [`Grant`]
    /// each.
    pub number_gaps: Vec<NumberGaps>,
}

/// An entry that was refused by a central which may not know that any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownRefusal {
    /// The entry.
    pub place: EntryPlace,
    /// Stable code, at most [`CODE_BYTES_MAX`](crate::limits::CODE_BYTES_MAX) bytes.
    pub code: String,
    /// One sentence, at most [`REASON_BYTES_MAX`](crate::limits::REASON_BYTES_MAX) bytes.
    pub reason: String,
}

/// A scope that the site does not receive any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The scope: its cursor goes at once, and then what no other scope of the site holds.
    pub scope: ScopeId,
}

/// A scope that the site is to read again from 0: what it is given out of it has changed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadAnew {
    /// The scope: its cursor goes at once, and what did not come again once it was read to its end.
    pub scope: ScopeId,
}

/// What central's people call the site, beside its name: free text, which they change when they like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteCode {
    /// The code.
    pub code: String,
}

/// A control row that this program understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Code 1: an entry is refused.
    Refused(Refused),
    /// Code 2: an entry waits for its header; its verdict comes later.
    Waiting(EntryPlace),
    /// Code 3: an entry that waited is accepted.
    Accepted(EntryPlace),
    /// Code 4: a store may be written here, or may not any more.
    Grant(Grant),
    /// Code 5: the site does not receive a scope any more. If it does so again, it is read from 0.
    Dropped(Dropped),
    /// Code 6: all grants of the site were told in the rows before this one.
    GrantsTold(GrantsTold),
    /// Code 7: a scope is to be read again from 0.
    ReadAnew(ReadAnew),
    /// Code 8: central was set back, and has forgotten rows of this lane that the site may have heard. Cursors do not show what came by
    /// these, such as what the site was given to read from 0: everything is to be read anew, and what central lost handed back.
    SetBack,
    /// Code 9: the site is to compare what it has with what it should have, once its session is over.
    Verify,
    /// Code 10: the site's code at central. A site that was told none has an empty one.
    SiteCode(SiteCode),
    /// Any other code.
    Unknown,
}

impl Control {
    /// The code and content of a row.
    ///
    /// # Panics
    /// For [`Control::Unknown`], which nobody writes.
    pub fn to_parts(&self) -> (u16, Vec<u8>) {
        match self {
            Self::Refused(refused) => (1, encode(refused)),
            Self::Waiting(place) => (2, encode(place)),
            Self::Accepted(place) => (3, encode(place)),
            Self::Grant(grant) => (4, encode(grant)),
            Self::Dropped(dropped) => (5, encode(dropped)),
            Self::GrantsTold(told) => (6, encode(told)),
            Self::ReadAnew(read) => (7, encode(read)),
            Self::SetBack => (8, Vec::new()),
            Self::Verify => (9, Vec::new()),
            Self::SiteCode(code) => (10, encode(code)),
            Self::Unknown => panic!("an unknown control row is never written"),
        }
    }

    /// Reads a row's content.
    ///
    /// # Errors
    /// [`MessageError`] if the content of a known code cannot be read.
    pub fn of(row: &ControlRow) -> Result<Self, MessageError> {
        Ok(match row.code {
            1 => Self::Refused(decode_part(&row.content)?),
            2 => Self::Waiting(decode_part(&row.content)?),
            3 => Self::Accepted(decode_part(&row.content)?),
            4 => Self::Grant(decode_part(&row.content)?),
            5 => Self::Dropped(decode_part(&row.content)?),
            6 => Self::GrantsTold(decode_part(&row.content)?),
            7 => Self::ReadAnew(decode_part(&row.content)?),
            8 => Self::SetBack,
            9 => Self::Verify,
            10 => Self::SiteCode(decode_part(&row.content)?),
            _ => Self::Unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn each_kind_comes_back_and_unknown_codes_are_no_error() {
        let place = EntryPlace { journal: JournalId([1; 16]), sequence: Sequence(9) };
        for control in [
            Control::Waiting(place),
            Control::Accepted(place),
            Control::Grant(Grant {
                store: "S".to_string(),
                ownership: OwnershipNumber(1),
                is_held: true,
                proof: GrantProof([4; 16]),
                number_gaps: 2,
            }),
            Control::GrantsTold(GrantsTold { grants: 1 }),
            Control::Dropped(Dropped { scope: ScopeId::new(&[1]).unwrap() }),
            Control::ReadAnew(ReadAnew { scope: ScopeId::new(&[4]).unwrap() }),
            Control::SetBack,
            Control::Verify,
            Control::SiteCode(SiteCode { code: "C-7".to_string() }),
            Control::Refused(Refused {
                journal: place.journal,
                sequence: place.sequence,
                code: "store_not_held".to_string(),
                reason: "why".to_string(),
                image: Image::Here { position: Position(3), row: vec![0] },
            }),
        ] {
            let (code, content) = control.to_parts();
            assert_eq!(Control::of(&ControlRow { number: ControlNumber(1), code, content }), Ok(control));
        }
        let newer = ControlRow { number: ControlNumber(1), code: 999, content: vec![1, 2] };
        assert_eq!(Control::of(&newer), Ok(Control::Unknown));
    }
}
