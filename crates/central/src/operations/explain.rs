//! `explain`: who may write a record, who receives it and why, and who has not read it yet.

use std::collections::BTreeMap;

use domain::catalogue::{DataType, Table};
use domain::describe::MERGED_BY;
use domain::merge::Alias;
use domain::procurement::Purchaser;
use domain::scope::Scope;
use domain::store::NAME_TABLE;
use domain::visibility::{PRESCRIBER_TABLE, VisibleKey};
use protocol::ids::{OwnershipNumber, SiteId};
use serde_json::{Value, json};

use super::home_stores::transfer_json;
use super::mirror::mirror_json;
use super::moves::move_json;
use super::records::known_table;
use super::request::Done;
use super::sites::record_id;
use crate::center::Center;
use crate::error::CentralError;
use crate::store::{
    Explained, HomeKind, HomeStanding, KeptEntries, KeptEntry, LaneStanding, MergedRecord, MessageEnd, MessageStanding,
    Receiver, Sight, SightReason,
};

pub(super) fn explain(center: &Center, table: &str, id: &str) -> Result<Done, CentralError> {
    let known = known_table(center, table)?;
    let (name, wanted) = (known.name().to_owned(), record_id(id)?);
    let (explained, transfer, moving, names, mirror) = center.read(move |reading| {
        reading.at_once(|reading| {
            let explained = reading.explain(&name, &wanted)?;
            let kind = [HomeKind::Patient, HomeKind::Prescriber].into_iter().find(|kind| kind.table() == name);
            let transfer = kind.map(|kind| reading.home_transfer_of(kind, &wanted)).transpose()?.flatten();
            let mut names = BTreeMap::new();
            for site in holders(&explained).chain(maker(&explained)) {
                names.extend(reading.site(site)?.map(|found| (site, found.name)));
            }
            let mirror = mirror_json(reading)?;
            let store = explained.record.as_ref().and_then(|record| record.store.clone());
            let moving = store.map(|store| reading.move_of(&store)).transpose()?.flatten();
            Ok::<_, crate::store::StoreError>((explained, transfer, moving, names, mirror))
        })
    })?;
    let data_type = type_of_record(known, &explained);
    let is_supported = known.supports(data_type);
    // Of what never comes to central there is all the same something to say.
    let comes_here = is_supported && data_type != DataType::Local;
    if comes_here && explained.record.is_none() && explained.kept.is_empty() {
        let message = format!("there is no record {id:?} in {table} at central, and none was ever there");
        return Err(CentralError::refused("unknown_record", message, "Ids are spelled exactly as they were recorded."));
    }
    let data = explained.record.as_ref().and_then(|record| record.data.as_deref());
    let mut told = json!({
        "table": known.name(),
        "id": id,
        "type": data_type.as_str(),
        "written_by": writer(known, data_type, &explained, &names, &mirror),
        "goes_to": if is_of_prescriber(known, &explained) { PRESCRIBER_GOES_TO } else { data_type.goes_to() },
        "is_supported": is_supported,
        "is_here": data.is_some(),
        "was_deleted": explained.record.is_some() && data.is_none(),
        "position": explained.record.as_ref().map(|record| record.position.0),
        "store": explained.record.as_ref().and_then(|record| record.store.as_ref()).map(ToString::to_string),
        "home": explained.home.as_ref().map(|home| json!({
            "store": home.store.as_str(), "site": home.site.0, "has_dispensary": home.has_dispensary,
        })),
        "holder": explained.holder.map(|holder| holder_json(holder, &names)),
        "message": explained.message.as_ref().map(|message| message_json(message, &names)),
        "merged": explained.merged.as_ref().map(merged_json),
        "home_transfer": transfer.as_ref().map(transfer_json),
        "store_move": moving.as_ref().map(move_json),
        "lanes": explained.lanes.iter().map(|lane| lane_json(lane, data_type)).collect::<Vec<_>>(),
    });
    add_kept(&mut told, &explained.kept);
    Ok(Done::ok(told))
}

pub(super) fn add_kept(told: &mut Value, kept: &KeptEntries) {
    told["entries_waiting"] = kept.entries_waiting.into();
    told["entries_set_aside"] = kept.entries_set_aside.into();
    told["waiting"] = kept.waiting.iter().map(kept_json).collect();
    told["refused"] = kept.refused.iter().map(kept_json).collect();
}

fn kept_json(entry: &KeptEntry) -> Value {
    json!({
        "site": entry.site.0,
        "journal": entry.journal.to_string(),
        "sequence": entry.sequence.0,
        "for_table": entry.waits_for.as_ref().map(|(table, _)| table),
        "for_id": entry.waits_for.as_ref().map(|(_, id)| id),
        "code": entry.refused.as_ref().map(|(code, _)| code),
        "reason": entry.refused.as_ref().map(|(_, reason)| reason),
    })
}

/// Who receives prescribers, for people: they have the type of patients, and other rules.
const PRESCRIBER_GOES_TO: &str = "central, the home store's site, the sites where the prescriber is visible and those where it has prescribed in a dispensary";

fn is_of_prescriber(table: &Table, explained: &Explained) -> bool {
    let is_key = |lane: &LaneStanding| matches!(lane.visible_key, Some(VisibleKey::Prescriber(_)));
    table.name() == PRESCRIBER_TABLE || explained.lanes.iter().any(is_key)
}

/// Who may write the record that is explained, for people.
fn writer(
    table: &Table,
    data_type: DataType,
    explained: &Explained,
    names: &BTreeMap<SiteId, String>,
    mirror: &Value,
) -> String {
    match (&explained.home, explained.purchaser, maker(explained)) {
        (Some(HomeStanding { store, site, has_dispensary: false }), ..) => format!(
            "nobody: the home store {store} is active on {}, where no dispensary is active; central makes a store one (store_mode)",
            if *site == SiteId::CENTRAL { "central".to_owned() } else { site_words(*site, names) }
        ),
        (None, ..) if is_homeless(table, data_type, explained) => format!(
            "central, until {}{} set-home-store gives it a home store",
            if table.name() == PRESCRIBER_TABLE { "" } else { "the first prescription or " },
            if table.name() == PRESCRIBER_TABLE { "prescriber" } else { "patient" },
        ),
        (_, Some(purchaser), _) => ordered_by(purchaser, mirror),
        (_, None, Some(site)) => format!("{}, {}", data_type.written_by(), site_words(site, names)),
        (_, None, None) => written_by(table, data_type, table.stays_with_central() && !explained.is_of_patient, mirror),
    }
}

/// Whether it is a patient or prescriber that is here without a home store.
fn is_homeless(table: &Table, data_type: DataType, explained: &Explained) -> bool {
    let is_here = explained.record.as_ref().is_some_and(|record| record.store.is_none() && record.data.is_some());
    data_type == DataType::Patient && table.has_home_stores() && is_here
}

/// Who may write a record, for people.
fn written_by(table: &Table, data_type: DataType, stays_with_central: bool, mirror: &Value) -> String {
    if table.merges().is_some() && data_type == DataType::Patient {
        return MERGED_BY.to_owned();
    }
    if !data_type.is_centrals() || stays_with_central {
        return data_type.written_by().to_owned();
    }
    primary_now(mirror).unwrap_or_else(|| data_type.written_by().to_owned())
}

/// Who may write a purchase order, for people.
fn ordered_by(purchaser: Purchaser, mirror: &Value) -> String {
    match purchaser {
        Purchaser::Store => "the site where the store is active".to_owned(),
        Purchaser::Primary => {
            let who = primary_now(mirror).unwrap_or_else(|| "central".to_owned());
            format!("{who}: procurement is centralised (preference list), or was when the order was confirmed, or it was entered in supervisor mode")
        }
        Purchaser::NobodyUnsupervised => {
            "nobody: the primary entered it in supervisor mode, which is switched off (preference list)".to_owned()
        }
        Purchaser::NobodyKeptLocal => {
            "nobody: the primary entered it in supervisor mode, and the store's site keeps procurement (preference list)".to_owned()
        }
    }
}

/// Who is the primary; `None`: central.
fn primary_now(mirror: &Value) -> Option<String> {
    let site = format!("site {} {}", mirror["primary"], mirror["name"].as_str().unwrap_or_default());
    match mirror["phase"].as_str()? {
        "at the primary" => Some(format!("the primary, {site}")),
        "returning" => Some(format!("the primary, {site}, until it has heard that central writes again")),
        "filling" => Some(format!("nobody, until {site} has read everything and is the primary")),
        _ => None,
    }
}

/// The site that made a user.
fn maker(explained: &Explained) -> Option<SiteId> {
    explained.lanes.iter().find_map(|lane| match lane.visible_key {
        Some(VisibleKey::MadeOn(site)) => Some(site),
        _ => None,
    })
}

/// A site by number and name, for people.
fn site_words(site: SiteId, names: &BTreeMap<SiteId, String>) -> String {
    names.get(&site).map_or_else(|| format!("site {site}"), |name| format!("site {site} {name}"))
}

/// The type of a record, which need not be its table's. Of a deleted one the store beside it is left, which of the names patients alone
/// have.
fn type_of_record(table: &Table, explained: &Explained) -> DataType {
    let record = explained.record.as_ref();
    let row = record.and_then(|record| domain::json::row_from_json(table, &record.id, record.data.as_deref()?).ok());
    let is_patient = table.name() == NAME_TABLE && record.is_some_and(|record| record.store.is_some());
    match row {
        Some(row) => table.data_type_of(&row),
        None if is_patient => DataType::Patient,
        None => table.data_type(),
    }
}

/// The sites that are named as holders of stores.
fn holders(explained: &Explained) -> impl Iterator<Item = SiteId> {
    let message = explained.message.iter().flat_map(|message| [message.sender.holder, message.receiver.holder]);
    explained.holder.into_iter().chain(message).map(|(site, _)| site)
}

pub(super) fn holder_json((site, ownership): (SiteId, OwnershipNumber), names: &BTreeMap<SiteId, String>) -> Value {
    json!({ "site": site.0, "name": names.get(&site), "ownership": ownership.0 })
}

fn message_json(message: &MessageStanding, names: &BTreeMap<SiteId, String>) -> Value {
    let end = |end: &MessageEnd| json!({ "store": end.store.as_ref().map(ToString::to_string), "holder": holder_json(end.holder, names) });
    json!({
        "from": end(&message.sender),
        "to": end(&message.receiver),
        "is_processed": message.is_processed,
    })
}

fn merged_json(merged: &MergedRecord) -> Value {
    let step = |step: &Alias| json!({ "into": step.into.as_str(), "position": step.position.0 });
    json!({ "into": merged.end.as_str(), "steps": merged.steps.iter().map(step).collect::<Vec<_>>() })
}

fn lane_json(lane: &LaneStanding, data_type: DataType) -> Value {
    let why = match &lane.scope {
        Scope::AllSites => "every site receives it".to_owned(),
        Scope::DispensarySites => "sites that hold a dispensary receive it".to_owned(),
        Scope::Store(store) => format!("the site that holds store {store} receives it, and its collectors"),
        Scope::StorePartners(store) => {
            format!("the site that holds store {store} receives it, as the store's transfers are with it")
        }
        Scope::Visible => match &lane.visible_key {
            Some(VisibleKey::Name(patient)) if data_type == DataType::Patient => format!(
                "the home store's site receives it, and sites with a store, active or collector, in which patient {patient} is visible, or \
                 one that was merged with it"
            ),
            Some(VisibleKey::Prescriber(prescriber)) => format!(
                "the home store's site receives it, and sites with a store, active or collector, in which prescriber {prescriber} is visible, \
                 or with a dispensary in which it has prescribed; the same of those that were merged with it"
            ),
            Some(VisibleKey::Prescriptions(patient)) => {
                format!(
                    "while prescriptions are shared (preference list) the site of the patient's home store receives it, and sites with a \
                     store, active or collector, in which patient {patient} is visible, or one that was merged with it"
                )
            }
            Some(VisibleKey::MadeOn(site)) => format!("site {site} made it, and receives it alone"),
            Some(VisibleKey::Orders) => {
                "the primary of a mirrored system, which writes the order, receives it".to_owned()
            }
            Some(key) => format!("sites that see {key} receive it"),
            None => "sites that see it receive it".to_owned(),
        },
        Scope::Gained(site) if lane.is_tombstone => format!("site {site} is told that it sees it no more"),
        Scope::Gained(site) => format!("site {site} came to see it after it was written"),
        Scope::Unknown(_) => "a scope that this program does not know".to_owned(),
    };
    json!({
        "scope": lane.scope.to_string(),
        "why": why,
        "position": lane.position.0,
        "is_tombstone": lane.is_tombstone,
        "sites": (!matches!(lane.scope, Scope::Gained(_))).then_some(lane.sites),
        "sites_behind": lane.sites_behind,
        "behind": lane.behind.iter().map(|(site, name)| json!({ "site": site.0, "name": name })).collect::<Vec<_>>(),
        "receivers": lane.receivers.iter().map(|receiver| receiver_json(receiver, lane)).collect::<Vec<_>>(),
        "receivers_not_named": lane.sites.saturating_sub(lane.receivers.len() as u64),
    })
}

/// A site that receives a record, and why.
fn receiver_json(receiver: &Receiver, lane: &LaneStanding) -> Value {
    json!({
        "site": receiver.site.0,
        "name": receiver.name,
        "has_read": receiver.has_read,
        "by": receiver.sights.iter().map(|sight| sight_json(sight, lane.visible_key.as_ref())).collect::<Vec<_>>(),
        "has_more": receiver.has_more_sights,
    })
}

/// Why a site sees something, which `key` names.
pub(super) fn sight_json(sight: &Sight, key: Option<&VisibleKey>) -> Value {
    match sight {
        Sight::Primary => json!({ "reason": "primary" }),
        Sight::Maker => json!({ "reason": "maker" }),
        Sight::Store { store, is_collector, reason, through } => {
            let asked = match key {
                Some(VisibleKey::Name(id) | VisibleKey::Prescriptions(id) | VisibleKey::Prescriber(id)) => Some(id),
                _ => None,
            };
            json!({
                "reason": reason.as_str(),
                "store": store.as_str(),
                "is_collector": is_collector,
                "merged": asked.filter(|asked| *asked != through).map(|_| through.as_str()),
                "of_name": (asked.is_none() && *reason == SightReason::Visibility).then_some(through.as_str()),
            })
        }
    }
}
