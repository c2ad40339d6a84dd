//! Preferences that change what central does: records of the table [`PREFERENCE_TABLE`] with an id of ours and a value.

use protocol::ids::RecordId;
use protocol::row::{Row, Value};

use crate::catalogue::Table;
use crate::new_patient::HIDES_NEW_PATIENTS;
use crate::procurement::ORDERS_LOCALLY;
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
    /// Purchase orders of every store are written by the primary ([`procurement`](crate::procurement)). Off unless set.
    CentralisedProcurement,
    /// The primary may enter purchase orders for any store in supervisor mode (seed 000, row "Purchase orders"). Off unless set.
    SupervisorOrders,
}

impl Preference {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::PrescriptionsWhereVisible, Self::CentralisedProcurement, Self::SupervisorOrders];

    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PrescriptionsWhereVisible => "prescriptions-where-visible",
            Self::CentralisedProcurement => "centralised-procurement",
            Self::SupervisorOrders => "supervisor-orders",
        }
    }

    /// What it does, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::PrescriptionsWhereVisible => {
                "prescriptions go to every site where their patient is at home or visible, not only to their store's"
            }
            Self::CentralisedProcurement => {
                "purchase orders of all stores are written by the primary, but for stores that keep local procurement"
            }
            Self::SupervisorOrders => "the primary may enter purchase orders of any store beside the store's own",
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

/// One that each store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorePreference {
    /// mSupply's "Include transactions in sync" (seed 001, "Store setup"; [`withholding`](crate::withholding)).
    IncludeTransactions,
    /// Patients that are new in other stores of its site become visible in it ([`new_patient`](crate::new_patient)).
    NewPatientsVisible,
    /// Its site writes its purchase orders also while procurement is centralised ([`procurement`](crate::procurement)).
    LocalProcurement,
}

impl StorePreference {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::IncludeTransactions, Self::NewPatientsVisible, Self::LocalProcurement];

    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IncludeTransactions => "include-transactions",
            Self::NewPatientsVisible => "new-patients-visible",
            Self::LocalProcurement => "local-procurement",
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
            Self::LocalProcurement => {
                "of each store: its site writes its purchase orders also while procurement is centralised"
            }
        }
    }

    /// The preference of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preference| preference.as_str() == word)
    }

    /// Whether a store whose record says nothing has it on.
    pub fn is_on_unless_said(self) -> bool {
        match self {
            Self::IncludeTransactions | Self::NewPatientsVisible => true,
            Self::LocalProcurement => false,
        }
    }

    /// The column of a store's record in which true says the other than what holds without it.
    pub fn column(self) -> &'static str {
        match self {
            Self::LocalProcurement => ORDERS_LOCALLY,
            Self::IncludeTransactions => WITHHOLDS_TRANSACTIONS,
            Self::NewPatientsVisible => HIDES_NEW_PATIENTS,
        }
    }
}
