//! The verbs, whoever asks: the same code serves the admin socket and a command that opens the folder itself.

mod explain;
mod explain_store;
mod home_stores;
mod import;
mod merge;
mod mirror;
mod moves;
mod preferences;
mod records;
mod request;
mod set_aside;
mod sites;
mod status;
mod visibility;

use std::io::BufRead;

pub(crate) use import::nameless_file;
pub use import::{IMPORT_BATCH_EDITS_MAX, SPOOL_BYTES_MAX};
pub use request::{
    Done, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, Progress, RecordsToList, Request, SetAsidePlace, SetAsideToList,
    SiteToAdd, SiteToEdit, TransfersToList, VisibilityToList,
};

use crate::center::Center;
use crate::error::CentralError;

/// Carries out a verb. Blocks until it is done; `input` is read by `import` alone.
///
/// # Errors
/// What the verb ended with; whether something was done is said by its text.
pub fn perform(
    center: &Center,
    request: Request,
    input: &mut dyn BufRead,
    events: &mut dyn FnMut(Progress),
) -> Result<Done, CentralError> {
    match request {
        Request::SiteAdd(site) => sites::add(center, site),
        Request::SiteList => sites::list(center),
        Request::SiteShow { site } => sites::show(center, &site),
        Request::SiteResume { site, device } => sites::resume(center, &site, device.as_deref()),
        Request::SetAsideList(which) => set_aside::list(center, &which),
        Request::SetAsideShow { site, place } => set_aside::show(center, &site, &place),
        Request::SetAsideDismiss { site, place } => set_aside::dismiss(center, &site, &place),
        Request::SetAsideDismissAll { site, through } => set_aside::dismiss_all(center, &site, through.as_ref()),
        Request::SetAsideApply { site, place: Some(place) } => set_aside::apply(center, &site, &place),
        Request::SetAsideApply { site, place: None } => set_aside::apply_all(center, &site),
        Request::SiteEdit(edit) => sites::edit(center, edit),
        Request::SiteResetHardware { site } => sites::reset_hardware(center, &site),
        Request::StoreAdd { store, site, is_at_once } => moves::add(center, &store, &site, is_at_once),
        Request::StoreRemove { store, is_at_once } => moves::remove(center, &store, is_at_once),
        Request::StoreCallOff { store } => moves::call_off(center, &store),
        Request::StoreMoves => moves::list(center),
        Request::StoreList => sites::list_stores(center),
        Request::StoreShow { store } => visibility::show_store(center, &store),
        Request::PreferenceSet { name, is_on, store } => preferences::set(center, &name, is_on, store.as_deref()),
        Request::PreferenceList => preferences::list(center),
        Request::StoreResync { store } => visibility::resync(center, &store),
        Request::StoreSetRole { store, site, role } => visibility::set_role(center, &store, &site, &role),
        Request::VisibilityAdd { name, store } => visibility::set(center, &name, &store, true),
        Request::VisibilityRemove { name, store } => visibility::set(center, &name, &store, false),
        Request::VisibilityList(which) => visibility::list(center, &which),
        Request::MirrorEnable { primary } => mirror::enable(center, &primary),
        Request::MirrorDisable { is_at_once } => mirror::disable(center, is_at_once),
        Request::MirrorShow => mirror::show(center),
        Request::HomeStoreSet { kind, id, store, is_at_once } => {
            home_stores::set(center, kind, &id, &store, is_at_once)
        }
        Request::HomeTransfers(which) => home_stores::transfers(center, &which),
        Request::Import { continue_past_refused } => import::import(center, continue_past_refused, input, events),
        Request::Merge { table, from, into } => merge::merge(center, &table, &from, &into),
        Request::Records(which) => records::list(center, &which),
        Request::Explain { table, id: Some(id) } => explain::explain(center, &table, &id),
        Request::Explain { table, id: None } => explain_store::explain_store(center, &table),
        Request::HealingEnd => status::end_healing(center),
        Request::Status => status::status(center),
        Request::Identity => status::identity(center),
    }
}
