//! Preferences that change what central does: records of the table [`PREFERENCE_TABLE`] with an id of ours and a value.

use protocol::ids::RecordId;
use protocol::row::{Row, Value};

use crate::catalogue::Table;
use crate::new_patient::HIDES_NEW_PATIENTS;
use crate::withholding::WITHHOLDS_TRANSACTIONS;

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

/// One that each store has: on unless the store's record says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorePreference {
    /// mSupply's "Include transactions in sync" (seed 001, "Store setup"; [`withholding`](crate::withholding)).
    IncludeTransactions,
    /// Patients that are new in other stores of its site become visible in it ([`new_patient`](crate::new_patient)).
    NewPatientsVisible,
}

impl StorePreference {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::IncludeTransactions, Self::NewPatientsVisible];

    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IncludeTransactions => "include-transactions",
            Self::NewPatientsVisible => "new-patients-visible",
        }
    }

    /// What it does, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::IncludeTransactions => {
                "of each store: transactions, stock lines and stocktakes of a dispensary are synced, not only transfers"
            }
            Self::NewPatientsVisible => {
                "of each store: patients that are new in another store of its site become visible in a dispensary"
            }
        }
    }

    /// The preference of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preference| preference.as_str() == word)
    }

    /// The column of a store's record in which true switches it off.
    pub fn column(self) -> &'static str {
        match self {
            Self::IncludeTransactions => WITHHOLDS_TRANSACTIONS,
            Self::NewPatientsVisible => HIDES_NEW_PATIENTS,
        }
    }
}
