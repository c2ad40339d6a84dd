//! Records by data type, with just the keys that decide about them.

use crate::world::SiteId;

/// A record by its data type (domain.md, "Data types" and "Special cases"; seed 000, "Data types").
///
/// A line has the keys of its header. A patient, prescriber, store or name is the one of this id in the
/// [`World`](crate::World); a record whose keys change is asked about twice (see [`may_change`](crate::may_change)).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Record {
    /// Items, units, names but patients, master lists, currencies, custom reports and so on: common to all stores. A preference
    /// of Open mSupply that names no store is one too.
    Central,
    /// Dashboard reports, authorisers and authorisation: Central data that stays with central in a mirrored system.
    CentralOfServer,
    /// Abbreviations, item directions, insurance providers, patient event types, diagnoses, prescription categories.
    CentralDispensary,
    /// The record of a store, its preferences and its tags.
    StoreRecord {
        /// The store.
        store: String,
    },
    /// A name that is no patient's, visible in a store; set by hand or made as reverse.
    NameVisibility {
        /// The name.
        name: String,
        /// The store that sees it.
        store: String,
    },
    /// An item visible in a store.
    ItemVisibility {
        /// The store that sees it.
        store: String,
    },
    /// A patient visible in a store.
    PatientVisibility {
        /// The patient.
        patient: String,
        /// The store that sees it.
        store: String,
        /// Made together with a new patient.
        is_new: bool,
    },
    /// A prescriber visible in a store.
    PrescriberVisibility {
        /// The prescriber.
        prescriber: String,
        /// The store that sees it.
        store: String,
        /// Made together with a new prescriber.
        is_new: bool,
    },
    /// Tags, master lists and contacts joined to a name.
    NameJoin {
        /// The name.
        name: String,
    },
    /// Data of one store that no other entry here describes.
    StoreData {
        /// The store that it belongs to.
        store: String,
        /// What it is, as far as that matters.
        kind: StoreKind,
        /// The other store, if the record is a half of a transfer, a line of one, or a log entry about one. An initiating half is
        /// one from its status on (see [`response_to`](crate::response_to)); before that it is plain data of its store.
        transfer_with: Option<String>,
    },
    /// An order, tender, quote or payment of a store.
    Purchase {
        /// The store for which it is.
        store: String,
        /// What it is and whose it was.
        purchase: Purchase,
        /// The supplying store, once the order is the initiating half of a transfer.
        transfer_with: Option<String>,
    },
    /// A patient, or its medication records, policies, events.
    PatientData {
        /// The patient.
        patient: String,
    },
    /// A repeat of a patient: the standing order, or its processing.
    Repeat {
        /// The patient.
        patient: String,
    },
    /// A prescriber.
    PrescriberData {
        /// The prescriber.
        prescriber: String,
    },
    /// A prescription, or a line of one.
    Prescription {
        /// The dispensary that writes it.
        store: String,
        /// The patient.
        patient: String,
        /// Made from a repeat.
        is_repeat: bool,
    },
    /// The home store of a patient or prescriber that has one, changed to another.
    HomeStoreChange {
        /// The patient or prescriber.
        of: String,
    },
    /// A new message.
    Message {
        /// The store that sends it; none is central.
        from: Option<String>,
        /// The store that receives it; none is central.
        to: Option<String>,
    },
    /// The status of a message, from new to processed.
    MessageStatus {
        /// As in the message.
        from: Option<String>,
        /// As in the message.
        to: Option<String>,
    },
    /// Two records become one.
    Merge {
        /// Of what.
        kind: MergeKind,
        /// The one that goes.
        from: String,
        /// The one that stays.
        into: String,
    },
    /// Sites, sync settings, where a store is active, and "Include transactions in sync".
    Sync,
    /// The preferences for centralised procurement, prescriptions and repeats.
    TravellingPreference,
    /// A user that is new on a site.
    NewUser {
        /// The site where it was made.
        made_on: SiteId,
    },
    /// Other preferences, existing users, permissions, logs, labels, standard reports and so on.
    Local {
        /// The site that it is about.
        on: SiteId,
    },
}

/// What a record of a store is, as far as the rules tell kinds apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreKind {
    /// Transactions that are no prescriptions, with lines, backorders, builds and inventory adjustments.
    Transaction,
    /// Stock lines.
    StockLine,
    /// Stocktakes with lines.
    Stocktake,
    /// Goods received with lines; for the order, if it is known.
    GoodsReceived {
        /// The order that they answer.
        order: Option<Purchase>,
    },
    /// Requisitions, locations, notes, sensors, assets, log entries of transfers, and all the rest.
    Other,
}

/// An order, tender, quote or payment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Purchase {
    /// Which of them.
    pub kind: PurchaseKind,
    /// Entered at the primary in supervisor mode.
    pub is_supervised: bool,
    /// The site that it belonged to when it was confirmed, if that was before the preference last changed.
    pub confirmed_before_on: Option<SiteId>,
}

/// Which kind of purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PurchaseKind {
    /// A purchase order or its lines.
    Order,
    /// A tender or a quote.
    TenderOrQuote,
    /// A payment.
    Payment,
}

/// What is merged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MergeKind {
    /// Two items.
    Items,
    /// Two units.
    Units,
    /// Two names that are no patients.
    Names,
    /// Two patients.
    Patients,
    /// Two prescribers.
    Prescribers,
    /// Two locations of one store.
    Locations {
        /// The store.
        store: String,
    },
}
