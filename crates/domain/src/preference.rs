//! Preferences that change what central does: records of the table [`PREFERENCE_TABLE`] with an id of ours and a value.

use protocol::ids::RecordId;
use protocol::row::{Row, Value};

use crate::catalogue::Table;

/// The table, under the name of Open mSupply.
pub const PREFERENCE_TABLE: &str = "preference";
/// Its column with the value, as in Open mSupply; the catalogue has no number for it.
const VALUE_COLUMN: &str = "value";

/// One that this program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preference {
    /// Prescriptions go to every site where their patient is visible (seed 000, "Prescriptions": "preference can be set"). Off unless set.
    PrescriptionsWhereVisible,
}

impl Preference {
    /// Every one.
    pub const ALL: [Self; 1] = [Self::PrescriptionsWhereVisible];

    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PrescriptionsWhereVisible => "prescriptions-where-visible",
        }
    }

    /// What it does, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::PrescriptionsWhereVisible => {
                "prescriptions go to every site where their patient is at home or visible, not only to their store's"
            }
        }
    }

    /// The preference of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preference| preference.as_str() == word)
    }

    /// The id of its record.
    ///
    /// # Panics
    /// Never: it is short enough.
    pub fn id(self) -> RecordId {
        RecordId::new(&format!("outpost_{}", self.as_str().replace('-', "_"))).expect("it is within the limit of an id")
    }

    /// The preference that a record is.
    pub fn of_record(table: &Table, id: &RecordId) -> Option<Self> {
        let is_preference = table.name() == PREFERENCE_TABLE;
        Self::ALL.into_iter().find(|preference| is_preference && preference.id() == *id)
    }

    /// Whether a record of it says that it is on; `None`: there is no record.
    pub fn is_on(self, table: &Table, row: Option<&Row>) -> bool {
        row.and_then(|row| row.value(&table.column_ref(VALUE_COLUMN))) == Some(&Value::Bool(true))
    }

    /// The columns of its record.
    ///
    /// # Panics
    /// Never: one column is within every limit.
    pub fn to_row(self, table: &Table, is_on: bool) -> Row {
        Row::new(vec![(table.column_ref(VALUE_COLUMN), Value::Bool(is_on))]).expect("one column is within every limit")
    }
}
