//! What people at the sites do with patients and prescribers, and with two locations that are one.

use domain::edit::EditOp;
use outpost::recorder::Group;

use super::{Desk, How, Office, Planned, edit, gone, store};
use crate::homeless::HOMELESS;
use crate::mix::Fault;
use crate::model::Expected;
use crate::random::Random;

/// The table of merges of locations.
pub const LOCATION_MERGES: &str = "outpost_location_merge";
/// How the ids of patients begin.
pub const PATIENT_PREFIX: &str = "p-";
/// How the ids of patients begin that central takes over without a home store.
pub const HOMELESS_PREFIX: &str = "p-0-";
/// How the ids of prescribers begin.
const PRESCRIBER_PREFIX: &str = "c-";
/// The tables of merges of what has a home store, with how the ids of that begin.
pub const HOME_MERGES: [(&str, &str, &str); 2] =
    [("name", "outpost_patient_merge", PATIENT_PREFIX), ("clinician", "outpost_prescriber_merge", PRESCRIBER_PREFIX)];
/// How the ids of prescriptions begin that name a patient.
const SHARED_PREFIX: &str = "rp-";
/// How the ids of prescriptions begin.
const PRESCRIPTION_PREFIX: &str = "rx-";

impl Desk {
    /// Two locations that were made here are one, or are two again.
    pub(super) fn of_locations(&self, office: &Office<'_>, random: &mut Random) -> Option<Planned> {
        let locations = self.made.get("Location").filter(|made| !made.is_empty())?;
        let own = store(office, random).to_owned();
        let (from, into) = (random.pick::<String>(locations).clone(), random.pick::<String>(locations).clone());
        let edit = if random.chance(200) {
            gone(LOCATION_MERGES, &from)
        } else {
            edit(LOCATION_MERGES, EditOp::Put, &from, &format!("{{\"into_ID\":{into:?},\"store_ID\":{own:?}}}"))
        };
        let group = Group { edits: vec![edit], request_id: None, recorded_at_ms: office.wall_ms };
        Some(Planned { how: How::Recorded(group), expected: Expected::Either })
    }

    /// Two patients are found to be one, or two prescribers, or two again, of this site or of others.
    pub(super) fn of_home_merge(office: &Office<'_>, random: &mut Random) -> Planned {
        let group = Group {
            edits: vec![home_merge_edit(u64::from(office.site), random)],
            request_id: None,
            recorded_at_ms: office.wall_ms,
        };
        Planned { how: How::Recorded(group), expected: Expected::Either }
    }

    /// A patient of a few, what hangs on it, or where it is visible. The site may write it or not: that hangs on its dispensaries, and on
    /// whose the patient is.
    pub(super) fn of_patient(office: &Office<'_>, random: &mut Random) -> Planned {
        let number = random.below(4);
        let own = store(office, random).to_owned();
        // Of this site, or as often as not of another.
        let site = if random.chance(700) { u64::from(office.site) } else { 2 + random.below(3) };
        let patient = format!("{PATIENT_PREFIX}{site}-{number}");
        let value = random.below(100);
        let edits = match random.below(10) {
            0..=2 => {
                let data = format!("{{\"type\":\"patient\",\"supplying_store_id\":{own:?},\"name\":\"{value}\"}}");
                vec![edit("name", EditOp::Put, &patient, &data)]
            }
            3 | 4 => vec![edit("name", EditOp::Patch, &patient, &format!("{{\"comment\":\"{value}\"}}"))],
            5 | 6 => {
                let data = format!("{{\"nameID\":{patient:?},\"discountRate\":{value}}}");
                vec![edit("nameInsuranceJoin", EditOp::Upsert, &format!("i-{patient}-{}", random.below(2)), &data)]
            }
            7 => vec![gone("nameInsuranceJoin", &format!("i-{patient}-{}", random.below(2)))],
            8 => {
                let data = format!("{{\"name_ID\":{patient:?},\"store_ID\":{own:?}}}");
                vec![edit("name_store_join", EditOp::Put, &format!("{patient}-in-{own}"), &data)]
            }
            _ => vec![gone("name", &patient)],
        };
        let group = Group { edits, request_id: None, recorded_at_ms: office.wall_ms };
        Planned { how: How::Recorded(group), expected: Expected::Either }
    }

    /// A prescription of a few of the site's own, for a patient of a few, of this site or of another, or a line of it.
    pub(super) fn of_prescription(office: &Office<'_>, random: &mut Random) -> Planned {
        let own = store(office, random).to_owned();
        let id = format!("{SHARED_PREFIX}{}-{}", office.site, random.below(5));
        let mut patient = format!("{PATIENT_PREFIX}{}-{}", 2 + random.below(3), random.below(4));
        if office.mix.has(Fault::Homeless) && random.chance(400) {
            patient = format!("{HOMELESS_PREFIX}{}", random.below(HOMELESS));
        }
        let value = random.below(100);
        let mode = if random.chance(900) { "dispensary" } else { "store" };
        let line = format!("{id}-{}", random.below(3));
        let edits = match random.below(10) {
            0..=2 => {
                let data = format!("{{\"store_ID\":{own:?},\"mode\":{mode:?},\"name_ID\":{patient:?}}}");
                vec![edit("transact", EditOp::Put, &id, &data)]
            }
            3 => vec![edit("transact", EditOp::Patch, &id, &format!("{{\"name_ID\":{patient:?},\"mode\":{mode:?}}}"))],
            4 => vec![edit("transact", EditOp::Patch, &id, &format!("{{\"comment\":\"{value}\"}}"))],
            5..=7 => {
                let data = format!("{{\"transaction_ID\":{id:?},\"quantity\":{value}}}");
                vec![edit("trans_line", EditOp::Upsert, &line, &data)]
            }
            8 => vec![gone("trans_line", &line)],
            _ => vec![gone("transact", &id)],
        };
        let group = Group { edits, request_id: None, recorded_at_ms: office.wall_ms };
        Planned { how: How::Recorded(group), expected: Expected::Either }
    }

    /// A prescriber of a few, where it is visible, or a prescription of it, of this site or of another.
    pub(super) fn of_prescriber(office: &Office<'_>, random: &mut Random) -> Planned {
        let own = store(office, random).to_owned();
        let site = if random.chance(600) { u64::from(office.site) } else { 2 + random.below(3) };
        let prescriber = format!("{PRESCRIBER_PREFIX}{site}-{}", random.below(3));
        let value = random.below(100);
        let edits = match random.below(10) {
            0..=2 => {
                let data = format!("{{\"store_ID\":{own:?},\"last_name\":\"{value}\"}}");
                vec![edit("clinician", EditOp::Upsert, &prescriber, &data)]
            }
            3 | 4 => vec![edit("clinician", EditOp::Patch, &prescriber, &format!("{{\"last_name\":\"{value}\"}}"))],
            5 | 6 => {
                let data = format!("{{\"prescriber_ID\":{prescriber:?},\"store_ID\":{own:?}}}");
                vec![edit("clinician_store_join", EditOp::Put, &format!("{prescriber}-in-{own}"), &data)]
            }
            7 | 8 => {
                // Written once: who has prescribed has done so for ever.
                let data = format!("{{\"store_ID\":{own:?},\"prescriber_ID\":{prescriber:?}}}");
                let id = Self::fresh_id(office, random);
                vec![edit("transact", EditOp::Put, &format!("{PRESCRIPTION_PREFIX}{id}"), &data)]
            }
            _ => vec![gone("clinician", &prescriber)],
        };
        let group = Group { edits, request_id: None, recorded_at_ms: office.wall_ms };
        Planned { how: How::Recorded(group), expected: Expected::Either }
    }
}

/// Whether a record is a prescription of another site than this, or a line of one: it is shared where its patient is visible.
pub fn is_shared_by_other(site: protocol::ids::SiteId, id: &str) -> bool {
    id.strip_prefix(SHARED_PREFIX).is_some_and(|rest| !rest.starts_with(&format!("{site}-")))
}

/// Where one of a few patients is visible, or is no more.
pub fn patient_join_edit(stores: &[String], random: &mut Random) -> domain::edit::Edit {
    let patient = format!("{PATIENT_PREFIX}{}-{}", 2 + random.below(3), random.below(4));
    let store = random.pick::<String>(stores);
    let id = format!("{patient}-in-{store}");
    if random.chance(300) {
        gone("name_store_join", &id)
    } else {
        let is_inactive = random.chance(200);
        let data = format!("{{\"name_ID\":{patient:?},\"store_ID\":{store:?},\"inactive\":{is_inactive}}}");
        edit("name_store_join", EditOp::Put, &id, &data)
    }
}

/// A merge of two of a few patients or prescribers, most of them of a site, or its end.
pub fn home_merge_edit(site: u64, random: &mut Random) -> domain::edit::Edit {
    let (_, table, prefix) = *random.pick(&HOME_MERGES);
    let mut one = || {
        let site = if random.chance(700) { site } else { 2 + random.below(3) };
        format!("{prefix}{site}-{}", random.below(3))
    };
    let (from, into) = (one(), one());
    if random.chance(200) {
        gone(table, &from)
    } else {
        edit(table, EditOp::Put, &from, &format!("{{\"into_ID\":{into:?}}}"))
    }
}
