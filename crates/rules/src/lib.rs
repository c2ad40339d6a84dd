//! mSupply's rules of who may write what and who receives it: a second, slow and obvious reading of the documents of mSupply, for
//! tests to compare the real one with. Everything is worked out from the whole [`World`] on each question.
//!
//! It is written from the five documents alone, and shares no code with the programs, so that one sentence has to be misread
//! twice before a test stays silent. Documents are named by their first digits: 000 (April 2025), 001 (June 2021) and 003
//! (November 2022). "domain.md" and "architecture" are the design notes made from them; where documents disagree the newer one
//! stands, and domain.md's words over all.
//!
//! # Choices
//!
//! Where the documents are silent or contradict each other:
//!
//! 1. **Transfer copies** receive a transfer only if a store that is active on their site is its other party. 001 says that "any
//!    stock transfers or requisitions into that store, are synced"; it also says that a transfer copy is "only as a vehicle for
//!    receiving stock transfers or requisitions from other stores on the same sync site", 000 has both halves go "to both
//!    initiating and responding sites", and domain.md's row has the parts of a transfer go to "the other party's site".
//! 2. **Transfer and none set by hand** on a remote site say nothing: 001 sets them "automatically". Only a collector, and
//!    transfer on central (store F), can be asked for.
//! 3. **A mirrored primary** has every store at least as transfer ("as a Transfer store", 001, store F), not as a collector: 000
//!    asks for "transaction data" on central only. To be a collector it needs visibility as any remote site does.
//! 4. **Central store data** goes to every site where the store is active, collector or transfer, visibility of patients too:
//!    domain.md has one row for it. Visibility of new patients and prescribers comes to lie where existing visibility lies.
//! 5. **A patient counts as visible in its home store** without a row, so that its home site holds it.
//! 6. **Prescriptions** need the patient to be visible on the site, in any active or collector store there, not in the dispensary
//!    that writes them: 000, "in dispensary stores on any of those sites".
//! 7. **A patient without home store** has that of its latest prescription; without that too nobody edits it.
//! 8. **Withheld wins**: with "Include transactions in sync" off, prescriptions stay on the site although the preference would send
//!    them where the patient is visible. It holds for a dispensary that is active on any site.
//! 9. **What is withheld** is the list and no more: not payments, transaction notes, goods received, requisitions or orders,
//!    which have rows of their own in 000. Inventory adjustments are transactions.
//! 10. **Halves of transfers always sync**, to their store's collectors too, also when both stores are on one site.
//! 11. **A name is visible on a site** if it is in a store that is active or a collector there; a transfer copy makes only its own
//!     name visible.
//! 12. **Central holds whatever passes through it**, store F's transfers with stores of other sites and Central dispensary data
//!     without a dispensary of its own included.
//! 13. **Centralised orders** go to who writes them, central, the store's active site and collectors, and the supplier's site: domain.md,
//!     "the order goes to the primary and to the ordering store's site". 000's table calls them Central store data, which would
//!     send them to transfer copies.
//! 14. **Goods received** go to who writes their order as well, else its received quantities could not be updated there.
//! 15. **Supervisor mode** makes an order the primary's, and leaves the store's site its own orders. A site that keeps local
//!     procurement, for each of its stores by itself, is closed to it. Tenders, quotes and payments have no supervisor mode; payments
//!     no local procurement.
//! 16. **Messages** are created where the sending store is active, and go where sender and receiver are active, not to collectors.
//! 17. **Merges** are taken in central's order; see [`resolve`]. A merged patient keeps its home store, whose site goes on to write what
//!     hangs on it, and is visible where any of them was, their home stores among that. A merge of patients is told to every site
//!     that holds one of them. Prescribers do as patients.
//! 18. **Merging patients** where both home stores are active does not ask for a dispensary store there.
//! 19. **Prescribers** go to active and collector copies of the stores that know them: where they are visible, their home store,
//!     and dispensaries where they have prescribed.
//! 20. **Visibility made with a newcomer** is for the home store and for dispensary stores of the home site whose preference says
//!     so, and needs a dispensary store there as all patient data does. Prescribers do as patients.
//! 21. **The preferences that travel** are written on the primary: 000 says it of centralised procurement.
//! 22. **Store records** are central's: 000's note of 7.13 is newer than its text under "Stores".
//! 23. **An order that the primary writes** for two stores of one satellite has its answer made by central.
//! 24. **A setting that cannot be** never came into force.
//! 25. **Store F has no collector** anywhere: its data "is not synced anywhere" (001), and all goes by way of central.
#![forbid(unsafe_code)]

mod merges;
mod problems;
mod procurement;
mod receive;
mod record;
mod refusal;
mod roles;
mod transfers;
mod visibility;
mod world;
mod write;

pub use merges::{resolve, same_as};
pub use problems::problems;
pub use procurement::purchaser;
pub use receive::{Resync, receives, resync};
pub use record::{MergeKind, Purchase, PurchaseKind, Record, StoreKind};
pub use refusal::Rule;
pub use roles::{RoleError, role, role_by_itself, role_in_force, sites_having};
pub use transfers::{Half, Reception, Response, Status, half_maker, may_make_half, reception, response_to};
pub use visibility::{
    home_site, is_name_visible, is_seen_on, patient_home, prescriber_home, reverse_joins, sees, sites_seeing_name,
    sites_seeing_patient, stores_for_new_patient, stores_knowing_prescriber, stores_seeing_patient,
};
pub use world::{
    CENTRAL, Made, Merge, Mode, NameJoin, Patient, Prescriber, Procurement, Role, SiteId, SiteKind, Store, World,
};
pub use write::{may_change, may_write};
