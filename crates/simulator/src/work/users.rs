//! Users: new ones of a site, some under ids that other sites use too, and existing ones, which stay.

use domain::edit::EditOp;
use outpost::recorder::Group;

use super::{Desk, How, Office, Planned, edit, entry, gone};
use crate::model::Expected;
use crate::random::Random;

/// Users of each site, and those of which any site may be the one that makes them.
const OWN: u64 = 4;
const ANYBODYS: u64 = 3;
const OWN_PREFIX: &str = "user-of-";

/// Whether a user is one that a single site makes and writes.
pub fn is_own_user(table: &str, id: &str) -> bool {
    table == "user" && id.starts_with(OWN_PREFIX)
}

impl Desk {
    /// An edit of a user, now and then past the recorder.
    pub(super) fn of_user(office: &Office<'_>, random: &mut Random) -> Planned {
        let is_own = random.chance(700);
        let id = if is_own {
            format!("{OWN_PREFIX}{}-{}", office.site, random.below(OWN))
        } else {
            format!("user-any-{}", random.below(ANYBODYS))
        };
        let name = random.below(1_000);
        let data = format!("{{\"name\":\"person {name}\"}}");
        if !is_own && random.chance(100) {
            let made_on = 1 + random.below(4);
            let data = format!("{{\"name\":\"forged\",\"outpost_made_on\":{made_on}}}");
            let entries = vec![entry(office.catalogue, "user", &id, &data, 0)];
            return Planned { how: How::Forged(entries), expected: Expected::Either };
        }
        let (edit, expected) = match random.below(10) {
            0..=4 => (edit("user", EditOp::Put, &id, &data), Expected::Accepted),
            5 => (edit("user", EditOp::Upsert, &id, &data), Expected::Accepted),
            6 | 7 => (edit("user", EditOp::Patch, &id, &data), Expected::Either),
            8 if !is_own => {
                let data = format!("{{\"name\":\"person {name}\",\"outpost_is_existing\":true}}");
                (edit("user", EditOp::Put, &id, &data), Expected::Either)
            }
            _ => (gone("user", &id), Expected::Either),
        };
        let group = Group { edits: vec![edit], request_id: None, recorded_at_ms: office.wall_ms };
        Planned { how: How::Recorded(group), expected: if is_own { expected } else { Expected::Either } }
    }
}
