//! Why a site may not write a record.

use std::fmt;

use crate::world::SiteId;

/// The rule that a write would break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// There is no such site.
    UnknownSite(SiteId),
    /// There is no such store.
    UnknownStore(String),
    /// There is no such patient.
    UnknownPatient(String),
    /// There is no such prescriber.
    UnknownPrescriber(String),
    /// Only the primary edits this.
    PrimaryOnly,
    /// Only central edits this.
    CentralOnly,
    /// Only the site where the store is active edits this.
    StoreActiveElsewhere {
        /// The store.
        store: String,
        /// Where it is active.
        active_on: SiteId,
    },
    /// Only the site where the home store is active edits this.
    HomeElsewhere {
        /// The patient or prescriber.
        of: String,
        /// Where its home store is active.
        home: SiteId,
    },
    /// It has no home store, so it has no home site.
    NoHomeStore(String),
    /// The site has no active dispensary store.
    NoActiveDispensary,
    /// The store is not a dispensary.
    NotADispensary(String),
    /// The patient is not visible on the site.
    PatientUnseen(String),
    /// A site makes visibility of its new patients and prescribers in its own stores only.
    NotForNewcomers {
        /// The store that was to see it.
        store: String,
    },
    /// The purchase belongs to another site.
    PurchaseOfOtherSite(SiteId),
    /// Supervisor mode is off, or this is no order.
    NoSupervisorMode,
    /// The store's site keeps local procurement.
    KeepsLocalProcurement {
        /// The store.
        store: String,
    },
    /// Messages are edited nowhere.
    MessageIsNotEdited,
    /// The sender is a store that is not active here, or central.
    NotTheSender,
    /// Only the receiving site says that a message is processed.
    NotTheReceiver,
    /// Names that are stores are not merged.
    StoresAreNotMerged,
    /// The merge is for the site where both home stores are active.
    MergedOnHomeSite(SiteId),
    /// It is about one site, and this is another.
    OnThatSiteOnly(SiteId),
    /// A record's ownership keys change only by a move.
    KeysChange,
    /// The other half of a transfer is made elsewhere.
    HalfMadeOn(SiteId),
    /// The half was known at the site of its store already.
    HalfIsKnown,
    /// This is no half of a transfer.
    NoTransfer,
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::UnknownSite(site) => write!(formatter, "there is no site {}", site.0),
            Rule::UnknownStore(store) => write!(formatter, "there is no store {store}"),
            Rule::UnknownPatient(patient) => write!(formatter, "there is no patient {patient}"),
            Rule::UnknownPrescriber(prescriber) => write!(formatter, "there is no prescriber {prescriber}"),
            Rule::PrimaryOnly => formatter.write_str("it is edited on the primary only"),
            Rule::CentralOnly => formatter.write_str("it is edited on central only"),
            Rule::StoreActiveElsewhere { store, active_on } => {
                write!(formatter, "store {store} is active on site {}, and edited only there", active_on.0)
            }
            Rule::HomeElsewhere { of, home } => {
                write!(formatter, "the home store of {of} is active on site {}, and it is edited only there", home.0)
            }
            Rule::NoHomeStore(of) => write!(formatter, "{of} has no home store, so no site edits it"),
            Rule::NoActiveDispensary => formatter.write_str("the site has no active dispensary store"),
            Rule::NotADispensary(store) => write!(formatter, "store {store} is not a dispensary"),
            Rule::PatientUnseen(patient) => write!(formatter, "patient {patient} is not visible on the site"),
            Rule::NotForNewcomers { store } => {
                write!(formatter, "store {store} is none in which the site makes newcomers visible")
            }
            Rule::PurchaseOfOtherSite(site) => write!(formatter, "it belongs to site {}", site.0),
            Rule::NoSupervisorMode => formatter.write_str("supervisor mode is off, or it is no order"),
            Rule::KeepsLocalProcurement { store } => {
                write!(formatter, "the site of store {store} keeps local procurement")
            }
            Rule::MessageIsNotEdited => formatter.write_str("messages are edited nowhere"),
            Rule::NotTheSender => formatter.write_str("the message is from another site"),
            Rule::NotTheReceiver => formatter.write_str("the message is for another site"),
            Rule::StoresAreNotMerged => formatter.write_str("names that are stores are not merged"),
            Rule::MergedOnHomeSite(site) => write!(formatter, "both home stores are active on site {}", site.0),
            Rule::OnThatSiteOnly(site) => write!(formatter, "it is about site {}, and made only there", site.0),
            Rule::KeysChange => formatter.write_str("the keys that decide whose it is change only by a move"),
            Rule::HalfMadeOn(site) => write!(formatter, "the other half is made on site {}", site.0),
            Rule::HalfIsKnown => formatter.write_str("the half was known already"),
            Rule::NoTransfer => formatter.write_str("it is no half of a transfer"),
        }
    }
}

impl std::error::Error for Rule {}
