//! Why an entry is refused: a code that stays and a sentence for people.

use std::fmt;

use protocol::entry::Entry;
use protocol::limits;

use super::Side;
use crate::catalogue::Catalogue;

macro_rules! refusal_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The rule that an entry breaks. Its text never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RefusalCode {
            $($(#[$doc])* $name,)*
        }

        impl RefusalCode {
            /// Every code.
            pub const ALL: &'static [RefusalCode] = &[$(RefusalCode::$name,)*];

            /// The stable code.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

refusal_codes! {
    /// Neither the catalogue nor the configuration has the table.
    UnknownTable = "unknown_table",
    /// A data type that a later version carries.
    NotSupported = "not_supported",
    /// Central data, and the author is not central.
    CentralData = "central_data",
    /// The author may not write the record, and has it as central has it. There is nothing to decide.
    AlreadyHere = "already_here",
    /// Local data that reached central.
    LocalData = "local_data",
    /// A patch or delete of a record that is not here.
    RecordMissing = "record_missing",
    /// Store data without a store.
    StoreMissing = "store_missing",
    /// The author does not hold the record's store.
    NotStoreHolder = "not_store_holder",
    /// The entry was written under another number than the store has now.
    OwnershipNumber = "ownership_number",
    /// The record would go to another store.
    OwnerChange = "owner_change",
    /// A line without its header.
    HeaderMissing = "header_missing",
    /// A line whose header was deleted.
    HeaderDeleted = "header_deleted",
    /// A line that names another store than its header has.
    HeaderStoreDiffers = "header_store_differs",
    /// The record would become data of another type.
    DataTypeChange = "data_type_change",
    /// A message of a site without a sender, which stands for central.
    SenderBlank = "sender_blank",
    /// A message to a store that central does not have.
    ReceiverUnknown = "receiver_unknown",
    /// A message that would be edited or deleted, or made again.
    MessageFixed = "message_fixed",
    /// A message's status that would go otherwise than from new to processed.
    MessageStatus = "message_status",
    /// A message that another site than its receiver would set to processed.
    NotReceiver = "not_receiver",
    /// A merge of a record that is not here.
    MergeRecordMissing = "merge_record_missing",
    /// A merge of a record that was merged into another one.
    MergeFixed = "merge_fixed",
    /// A merge of records that are one already, the other way round.
    MergeCircle = "merge_circle",
    /// A merge of records in a table that is for others: of patients in that of names.
    MergeTable = "merge_table",
    /// A merge of locations of two stores.
    MergeStoreDiffers = "merge_store_differs",
    /// A merge of a store's name, or a store with a name that was merged.
    MergeOfStore = "merge_of_store",
    /// A patient without a home store.
    HomeStoreMissing = "home_store_missing",
    /// A patient, or what hangs on one, and the author does not hold the home store.
    NotHomeSite = "not_home_site",
    /// The author holds the home store and no active dispensary.
    NoDispensary = "no_dispensary",
    /// A patient that is on its way to another home store.
    HomeTransfer = "home_transfer",
    /// On a device: a line that central has, under a header that stays there.
    HeaderStays = "header_stays",
    /// A purchase order, or a line of one, that another site writes: the primary, or the store's site.
    NotPurchaser = "not_purchaser",
    /// On a device: a prescription for a patient that its site does not see.
    PatientNotSeen = "patient_not_seen",
    /// A user that another site made.
    UserOfOtherSite = "user_of_other_site",
    /// A column that central alone sets.
    CentralColumn = "central_column",
    /// What hangs on a patient would hang on a name that is none.
    NotAPatient = "not_a_patient",
    /// A patient that would be a store's name, or a store with the name of a patient.
    PatientOfStore = "patient_of_store",
    /// A value that is not JSON or names no store where it should, or a column that is there twice.
    BadValue = "bad_value",
    /// Central cannot read its own row of the record, and the entry does not take its place.
    RecordUnreadable = "record_unreadable",
    /// The record would be above a limit.
    RecordTooLarge = "record_too_large",
    /// Another entry of the group was refused (`details.md`, "Group verdict").
    GroupRefused = "group_refused",
    /// The beginning of a group whose journal was closed before the rest of it came.
    GroupIncomplete = "group_incomplete",
}

impl RefusalCode {
    /// The code of a text, if this program knows it.
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

/// An entry that is set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule.
    pub code: RefusalCode,
    /// A sentence with table, record, store and site; at most [`limits::REASON_BYTES_MAX`] bytes.
    pub reason: String,
}

impl Refusal {
    /// Cuts the reason to its limit.
    pub fn new(code: RefusalCode, reason: &str) -> Self {
        let mut length = reason.len().min(limits::REASON_BYTES_MAX);
        while !reason.is_char_boundary(length) {
            length -= 1;
        }
        Self { code, reason: reason.get(..length).unwrap_or_default().to_owned() }
    }

    /// Whether others may write the record, and the author not.
    pub(super) fn is_for_want_of_right(&self) -> bool {
        matches!(self.code, RefusalCode::CentralData | RefusalCode::NotHomeSite | RefusalCode::NotPurchaser)
    }

    /// What the other entries of a refused group get.
    #[must_use]
    pub fn of_group(&self) -> Self {
        Self::new(RefusalCode::GroupRefused, &format!("another edit of its group was refused: {}", self.reason))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.reason, self.code.as_str())
    }
}

/// Codes of edits that came too late: whoever sent them was not the one any more who might. The first is central's own, of what a device
/// brings whose place another one took.
pub const LATE_CODES: [&str; 3] =
    ["device_retired", RefusalCode::OwnershipNumber.as_str(), RefusalCode::NotStoreHolder.as_str()];

/// Whether an edit that was refused with this code came too late; else a rule refused it. A device itself refuses what it knows not to be
/// its store's, so one that central refuses for that was recorded before the device knew.
pub fn is_late(code: &str) -> bool {
    LATE_CODES.contains(&code)
}

pub(super) fn unknown_table(catalogue: &Catalogue, side: Side, entry: &Entry) -> Refusal {
    let name = catalogue.table_name(&entry.table);
    let reason = match side {
        Side::Device => format!("there is no table {name}; a table of your own is declared in the configuration"),
        Side::Central => format!(
            "central does not know the table {name} of record {}; it is kept aside and can be tried again when central has a \
             newer catalogue or declares the table",
            entry.record
        ),
    };
    Refusal::new(RefusalCode::UnknownTable, &reason)
}
