//! What a verb concerns, and what of it a verb can change: the audit log shows both.

use domain::preference::{Preference, StorePreference};
use domain::store::STORE_TABLE;
use protocol::ids::{PublicKey, RecordId, SiteId};
use serde_json::{Value, json};

use super::mirror::mirror_json;
use super::request::{AccountToAdd, AccountToEdit, Request};
use super::set_aside;
use super::sites::find_in;
use crate::clock;
use crate::store::{HomeKind, Pause, Reading, Role, SiteRow, StoreError};

/// Stores and sites that are named in a row, at most; of more only how many there are.
const NAMED_MAX: usize = 100;

/// What a verb concerns, as it was asked for.
#[derive(Debug, Default)]
pub(super) struct Concern {
    /// The store.
    pub(super) store: Option<String>,
    /// The record's table.
    pub(super) table: Option<String>,
    /// The record.
    pub(super) record: Option<String>,
    /// What of it can change.
    pub(super) subject: Subject,
}

/// What a verb changes, to be looked at before and after it.
#[derive(Debug, Clone, Default)]
pub(super) struct Subject {
    /// A site, by name or id.
    site: Option<String>,
    what: What,
}

#[derive(Debug, Clone, Default)]
enum What {
    /// Nothing that can be shown in a few words.
    #[default]
    Nothing,
    /// One that is to be there.
    NewSite,
    Site,
    Store(String),
    Join {
        name: String,
        store: String,
    },
    Preference {
        name: String,
        store: Option<String>,
    },
    Mirror,
    Home {
        kind: HomeKind,
        id: String,
    },
    SetAside(super::SetAsidePlace),
    Merged {
        table: String,
        id: String,
    },
    Healing,
    Account(String),
    Token(String),
    AuthorisationCode,
    Unlocking(String),
}

/// What is there of a subject.
pub(super) struct Found {
    /// The site that was named.
    pub(super) site: Option<SiteId>,
    /// The site that holds the store.
    pub(super) holder: Option<SiteId>,
    /// What a verb can change of it.
    pub(super) value: Value,
}

impl Concern {
    pub(super) fn of(actor: &str, request: &Request) -> Self {
        let subject = |what| Subject { what, site: None };
        let of_site =
            |site: &String, what| Self { subject: Subject { site: Some(site.clone()), what }, ..Self::default() };
        let of_store = |store: &String| Self {
            store: Some(store.clone()),
            subject: subject(What::Store(store.clone())),
            ..Self::default()
        };
        let of_record = |table: &str, id: &String, what| Self {
            table: Some(table.to_owned()),
            record: Some(id.clone()),
            subject: subject(what),
            ..Self::default()
        };
        match request {
            Request::SiteAdd(site) => of_site(&site.name, What::NewSite),
            Request::SiteEdit(edit) => of_site(&edit.site, What::Site),
            Request::SiteResetHardware { site }
            | Request::SiteResume { site, .. }
            | Request::SiteDisable { site }
            | Request::SiteEnable { site }
            | Request::SitePause { site, .. }
            | Request::SiteUnpause { site }
            | Request::SiteVerify { site }
            | Request::SiteDelete { site, .. } => of_site(site, What::Site),
            Request::SiteExport { site }
            | Request::SetAsideDismissAll { site, .. }
            | Request::SetAsideApply { site, place: None } => of_site(site, What::Nothing),
            Request::SetAsideDismiss { site, place } | Request::SetAsideApply { site, place: Some(place) } => {
                of_site(site, What::SetAside(place.clone()))
            }
            Request::StoreAdd { store, site, .. } | Request::StoreSetRole { store, site, .. } => {
                let subject = Subject { site: Some(site.clone()), what: What::Store(store.clone()) };
                Self { subject, ..of_store(store) }
            }
            Request::StoreRemove { store, .. } | Request::StoreCallOff { store } | Request::StoreResync { store } => {
                of_store(store)
            }
            Request::PreferenceSet { name, store, .. } => {
                let what = What::Preference { name: name.clone(), store: store.clone() };
                Self { store: store.clone(), ..of_record("preference", name, what) }
            }
            Request::VisibilityAdd { name, store } | Request::VisibilityRemove { name, store } => {
                let what = What::Join { name: name.clone(), store: store.clone() };
                Self { store: Some(store.clone()), ..of_record(domain::store::NAME_TABLE, name, what) }
            }
            Request::MirrorEnable { primary } => of_site(primary, What::Mirror),
            Request::MirrorDisable { .. } => Self { subject: subject(What::Mirror), ..Self::default() },
            Request::HomeStoreSet { kind, id, store, .. } => {
                let what = What::Home { kind: *kind, id: id.clone() };
                Self { store: Some(store.clone()), ..of_record(kind.table(), id, what) }
            }
            Request::Merge { table, from, .. } => {
                of_record(table, from, What::Merged { table: table.clone(), id: from.clone() })
            }
            Request::HealingEnd => Self { subject: subject(What::Healing), ..Self::default() },
            Request::AccountAdd(AccountToAdd { name, .. })
            | Request::AccountEdit(AccountToEdit { name, .. })
            | Request::AccountSetDisabled { name, .. }
            | Request::AccountRemove { name } => of_record("account", name, What::Account(name.clone())),
            Request::TokenAdd { name, .. } | Request::TokenRevoke { name } => {
                of_record("token", name, What::Token(name.clone()))
            }
            Request::AuthorisationCodeSet { .. } | Request::AuthorisationCodeClear => {
                Self { subject: subject(What::AuthorisationCode), ..Self::default() }
            }
            Request::Unlock { .. } | Request::Lock => {
                Self { subject: subject(What::Unlocking(actor.to_owned())), ..Self::default() }
            }
            Request::AccountList
            | Request::TokenList
            | Request::Import { .. }
            | Request::CarryIn
            | Request::SiteList { .. }
            | Request::SiteShow { .. }
            | Request::SiteCheck { .. }
            | Request::SetAsideList(_)
            | Request::SetAsideShow { .. }
            | Request::StoreMoves
            | Request::StoreList
            | Request::StoreShow { .. }
            | Request::PreferenceList
            | Request::VisibilityList(_)
            | Request::MirrorShow
            | Request::HomeTransfers(_)
            | Request::Transfers(_)
            | Request::Records(_)
            | Request::Explain { .. }
            | Request::Audit(_)
            | Request::Status
            | Request::Identity => Self::default(),
        }
    }
}

impl Subject {
    /// What is there of it now; `known` is the site that was found before.
    pub(super) fn find(&self, reading: &mut Reading<'_>, known: Option<SiteId>) -> Result<Found, StoreError> {
        let site = match (known, &self.site) {
            // The name may be another site's id.
            (None, Some(wanted)) if matches!(self.what, What::NewSite) => reading.site_by_name(wanted)?,
            (Some(id), _) => reading.site(id)?,
            (None, Some(wanted)) => find_in(reading, wanted)?,
            (None, None) => None,
        };
        let mut found = Found { site: site.as_ref().map(|site| site.id), holder: None, value: Value::Null };
        // What is no id is refused by the verb itself.
        let id = |text: &str| RecordId::new(text).ok();
        found.value = match &self.what {
            What::Nothing => Value::Null,
            What::Site | What::NewSite => match &site {
                Some(site) => site_json(reading, site)?,
                None => Value::Null,
            },
            What::Store(store) => {
                let Some(store) = id(store) else { return Ok(found) };
                let (holder, value) = store_json(reading, &store)?;
                found.holder = holder;
                value
            }
            What::Join { name, store } => {
                let (Some(name), Some(store)) = (id(name), id(store)) else { return Ok(found) };
                json!({ "is_visible": !reading.joins(Some(&name), Some(&store), None, 1)?.is_empty() })
            }
            What::Preference { name, store } => preference_json(reading, name, store.as_deref().and_then(id))?,
            What::Mirror => mirror_json(reading)?,
            What::Home { kind, id: patient } => {
                let Some(patient) = id(patient) else { return Ok(found) };
                let moving = reading.home_transfer_of(*kind, &patient)?;
                let home = reading.home_store_of(*kind, &patient)?;
                json!({ "home_store": home.map(|id| id.to_string()), "goes_to": moving.map(|moving| moving.to.to_string()) })
            }
            What::SetAside(place) => match &site {
                Some(site) => set_aside::shown(reading, site.id, place)?,
                None => Value::Null,
            },
            What::Merged { table, id: record } => {
                let Some(record) = id(record) else { return Ok(found) };
                let merged = reading.merged(table, &record)?;
                json!({ "stands_for": merged.map_or(record, |merged| merged.end).as_str() })
            }
            What::Healing => {
                let healing = reading.healing()?;
                json!({ "is_healing": healing.is_some_and(|healing| healing.ended_ms.is_none()) })
            }
            What::Account(name) => reading.account(name)?.map_or(Value::Null, |account| {
                // Another one after another password.
                let generation = account.generation;
                json!({ "role": account.role.as_str(), "is_disabled": account.is_disabled, "password_generation": generation })
            }),
            What::Token(name) => reading.api_token(name)?.map_or(Value::Null, |token| {
                json!({ "role": token.role.as_str(), "expires": token.expires_ms.map(clock::date_text) })
            }),
            What::AuthorisationCode => json!({ "is_set": reading.authorisation_code()?.is_some() }),
            What::Unlocking(actor) => {
                let until_ms = reading.unlocking(actor)?.map(|unlocking| unlocking.until_ms);
                json!({ "unlocked_until": until_ms.map(clock::date_text) })
            }
        };
        Ok(found)
    }
}

fn site_json(reading: &mut Reading<'_>, site: &SiteRow) -> Result<Value, StoreError> {
    let stores = reading.stores_of(site.id)?;
    let named: Vec<&str> = stores.iter().take(NAMED_MAX).map(|(store, _)| store.as_str()).collect();
    Ok(json!({
        "name": site.name,
        "code": site.code,
        "type": site.kind.as_str(),
        // Another one after another name or password.
        "credential_generation": site.generation.0,
        "device": site.public_key.as_ref().map(PublicKey::fingerprint),
        "stopped": site.stop.as_ref().map(|stop| &stop.code),
        "disabled": matches!(site.pause, Some(Pause::Disabled { .. })),
        "paused_until": site.pause.and_then(Pause::until_ms).map(clock::date_text),
        "deleted": site.deleted_ms.map(clock::date_text),
        "stores": named,
        "stores_count": stores.len(),
    }))
}

fn store_json(reading: &mut Reading<'_>, store: &RecordId) -> Result<(Option<SiteId>, Value), StoreError> {
    if reading.record(STORE_TABLE, store)?.is_none_or(|record| record.data.is_none()) {
        return Ok((None, Value::Null));
    }
    let roles = reading.roles_of(store)?;
    let holder = roles.iter().find(|(_, _, role)| *role == Role::Active).map(|(site, _, _)| *site);
    let of_role = |wanted: &[Role]| -> Vec<u32> {
        let found = roles.iter().filter(|(_, _, role)| wanted.contains(role));
        found.map(|(site, _, _)| site.0).take(NAMED_MAX).collect()
    };
    let moving = reading.move_of(store)?;
    let withheld = reading.withheld(store)?;
    let value = json!({
        "site": holder.map(|site| site.0),
        "moves_to": moving.as_ref().map(|moving| moving.to.0),
        "phase": moving.as_ref().map(|moving| moving.phase.as_str()),
        "collectors": of_role(&[Role::Collector, Role::Resting]),
        "withholds": withheld.as_str(),
    });
    Ok((holder, value))
}

fn preference_json(reading: &mut Reading<'_>, name: &str, store: Option<RecordId>) -> Result<Value, StoreError> {
    if let Some(preference) = Preference::of(name) {
        return Ok(json!({ "is_on": reading.is_preference_on(preference)? }));
    }
    let (Some(preference), Some(store)) = (StorePreference::of(name), store) else { return Ok(Value::Null) };
    let data = reading.record(STORE_TABLE, &store)?.and_then(|record| record.data);
    let record: Value = data.and_then(|data| serde_json::from_str(&data).ok()).unwrap_or_default();
    let says_otherwise = record.get(preference.column()) == Some(&Value::Bool(true));
    Ok(json!({ "is_on": preference.is_on_unless_said() != says_otherwise }))
}
