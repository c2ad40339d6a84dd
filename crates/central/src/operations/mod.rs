//! The verbs, whoever asks: the same code serves the admin socket and a command that opens the folder itself.

mod accounts;
mod acting;
mod actor;
mod api_tokens;
mod audit;
mod authorisation;
mod concern;
mod effect;
mod explain;
mod explain_store;
mod files;
mod home_stores;
mod import;
mod merge;
mod mirror;
mod moves;
mod preferences;
mod records;
mod rehearsal;
mod request;
mod set_aside;
mod site_life;
mod sites;
mod status;
mod transfers;
mod verify;
mod visibility;

use std::io::{BufRead, Write};

use acting::Acting;
pub use actor::Actor;
pub use api_tokens::{TOKEN_DAYS_MAX, TOKEN_PREFIX};
pub(crate) use import::nameless_file;
pub use import::{IMPORT_BATCH_EDITS_MAX, SPOOL_BYTES_MAX};
pub use request::{
    AccountToAdd, AccountToEdit, AuditToList, Done, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, Progress, RecordsToList,
    Request, SetAsideKind, SetAsidePlace, SetAsideToList, SiteToAdd, SiteToEdit, StoreTransfersToList, TransfersToList,
    VisibilityToList,
};

use crate::center::Center;
use crate::error::CentralError;

/// Carries out a verb for somebody. Blocks until it is done; `input` is read by `import` and `carry` alone, and `output` is written by
/// `carry` and `site export`. What changes something, or was to, leaves a row of the audit log.
///
/// # Errors
/// What the verb ended with; whether something was done is said by its text. `not_permitted`.
pub fn perform(
    center: &Center,
    actor: &Actor,
    request: Request,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
    events: &mut dyn FnMut(Progress),
) -> Result<Done, CentralError> {
    let acting = Acting::new(center, actor, &request);
    // What is only rehearsed changes nothing.
    if request.only_looks() || request.is_dry_run() {
        actor.check_may(&request)?;
        return carry_out(&acting, request, input, output, events);
    }
    let outcome = check(&acting, actor, &request).and_then(|()| carry_out(&acting, request, input, output, events));
    acting.end(&outcome);
    outcome
}

/// That a verb which changes something may be carried out.
fn check(acting: &Acting<'_>, actor: &Actor, request: &Request) -> Result<(), CentralError> {
    actor.check_may(request)?;
    authorisation::check(acting, actor, request)?;
    if request.is_long() { acting.begin() } else { Ok(()) }
}

fn carry_out(
    center: &Acting<'_>,
    request: Request,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
    events: &mut dyn FnMut(Progress),
) -> Result<Done, CentralError> {
    match request {
        Request::SiteAdd(site) => sites::add(center, site),
        Request::SiteList { is_with_deleted } => sites::list(center, is_with_deleted),
        Request::SiteDisable { site } => site_life::disable(center, &site),
        Request::SiteEnable { site } => site_life::enable(center, &site),
        Request::SitePause { site, minutes } => site_life::pause(center, &site, minutes),
        Request::SiteUnpause { site } => site_life::unpause(center, &site),
        Request::SiteCheck { site } => site_life::check(center, &site),
        Request::SiteDelete { site, is_dry_run } => site_life::delete(center, &site, is_dry_run),
        Request::SiteShow { site } => sites::show(center, &site),
        Request::SiteExport { site } => files::export(center, &site, output, events),
        Request::CarryIn => files::carry_in(center, input, output, events),
        Request::SiteResume { site, device } => sites::resume(center, &site, device.as_deref()),
        Request::SetAsideList(which) => set_aside::list(center, &which),
        Request::SetAsideShow { site, place } => set_aside::show(center, &site, &place),
        Request::SetAsideDismiss { site, place } => set_aside::dismiss(center, &site, &place),
        Request::SetAsideDismissAll { site, through } => set_aside::dismiss_all(center, &site, through.as_ref()),
        Request::SetAsideApply { site, place: Some(place) } => set_aside::apply(center, &site, &place),
        Request::SetAsideApply { site, place: None } => set_aside::apply_all(center, &site),
        Request::SiteEdit(edit) => sites::edit(center, edit),
        Request::SiteResetHardware { site } => sites::reset_hardware(center, &site),
        Request::SiteVerify { site } => verify::ask(center, &site),
        Request::StoreAdd { store, site, is_at_once, is_dry_run } => {
            moves::add(center, &store, &site, is_at_once, is_dry_run)
        }
        Request::StoreRemove { store, is_at_once, is_dry_run } => moves::remove(center, &store, is_at_once, is_dry_run),
        Request::StoreCallOff { store } => moves::call_off(center, &store),
        Request::StoreMoves => moves::list(center),
        Request::StoreList => sites::list_stores(center),
        Request::StoreShow { store } => visibility::show_store(center, &store),
        Request::PreferenceSet { name, is_on, store } => preferences::set(center, &name, is_on, store.as_deref()),
        Request::PreferenceList => preferences::list(center),
        Request::StoreResync { store } => visibility::resync(center, &store),
        Request::StoreSetRole { store, site, role, is_dry_run } => {
            visibility::set_role(center, &store, &site, &role, is_dry_run)
        }
        Request::VisibilityAdd { name, store } => visibility::set(center, &name, &store, true),
        Request::VisibilityRemove { name, store } => visibility::set(center, &name, &store, false),
        Request::VisibilityList(which) => visibility::list(center, &which),
        Request::MirrorEnable { primary } => mirror::enable(center, &primary),
        Request::MirrorDisable { is_at_once } => mirror::disable(center, is_at_once),
        Request::MirrorShow => mirror::show(center),
        Request::HomeStoreSet { kind, id, store, is_at_once } => {
            home_stores::set(center, kind, &id, &store, is_at_once)
        }
        Request::Transfers(which) => transfers::list(center, &which),
        Request::HomeTransfers(which) => home_stores::transfers(center, &which),
        Request::Import { continue_past_refused } => import::import(center, continue_past_refused, input, events),
        Request::Merge { table, from, into } => merge::merge(center, &table, &from, &into),
        Request::Records(which) => records::list(center, &which),
        Request::Explain { table, id: Some(id) } => explain::explain(center, &table, &id),
        Request::Explain { table, id: None } => explain_store::explain_store(center, &table),
        Request::HealingEnd => status::end_healing(center),
        Request::AccountAdd(account) => accounts::add(center, &account),
        Request::AccountList => accounts::list(center),
        Request::AccountEdit(account) => accounts::edit(center, &account),
        Request::AccountSetDisabled { name, is_disabled } => accounts::set_disabled(center, &name, is_disabled),
        Request::AccountRemove { name } => accounts::remove(center, &name),
        Request::TokenAdd { name, role, days } => api_tokens::add(center, &name, &role, days),
        Request::TokenList => api_tokens::list(center),
        Request::TokenRevoke { name } => api_tokens::revoke(center, &name),
        Request::AuthorisationCodeSet { authorisation_code } => authorisation::set(center, &authorisation_code),
        Request::AuthorisationCodeClear => authorisation::clear(center),
        Request::Unlock { authorisation_code } => authorisation::unlock(center, &authorisation_code),
        Request::Lock => authorisation::lock(center),
        Request::Audit(which) => audit::list(center, &which),
        Request::Status => status::status(center),
        Request::Identity => status::identity(center),
    }
}
