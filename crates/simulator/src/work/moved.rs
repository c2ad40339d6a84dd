//! What people do in a store that moves: at each site, whether it is there or not.

use domain::edit::EditOp;
use outpost::recorder::Group;

use super::{Desk, How, Office, Planned, edit, entry, gone};
use crate::model::Expected;
use crate::moves::{FORGED_PREFIX, MOVED, MOVED_PREFIX, moved_store};
use crate::random::Random;

impl Desk {
    /// A record of a few of such a store. The site may write it or not: that hangs on where the store is.
    pub(super) fn of_moved(office: &Office<'_>, random: &mut Random) -> Planned {
        let number = random.below(MOVED);
        let store = moved_store(number);
        let value = random.below(1000);
        if random.chance(80) {
            return Self::forged_of_moved(office, random, number);
        }
        let document = format!("{MOVED_PREFIX}{number}-t{}", random.below(3));
        let line = format!("{document}-{}", random.below(3));
        let location = format!("{MOVED_PREFIX}{number}-l{}", random.below(3));
        let edits = match random.below(12) {
            0..=2 => {
                let data = format!("{{\"store_ID\":{store:?},\"code\":\"{value}\"}}");
                vec![edit("Location", EditOp::Upsert, &location, &data)]
            }
            3 | 4 => vec![edit("Location", EditOp::Patch, &location, &format!("{{\"comment\":\"{value}\"}}"))],
            5 => vec![gone("Location", &location)],
            6 | 7 => vec![
                edit(
                    "transact",
                    EditOp::Put,
                    &document,
                    &format!("{{\"store_ID\":{store:?},\"comment\":\"{value}\"}}"),
                ),
                edit("trans_line", EditOp::Put, &line, &format!("{{\"transaction_ID\":{document:?},\"quantity\":1}}")),
            ],
            8 | 9 => {
                let data = format!("{{\"transaction_ID\":{document:?},\"quantity\":{value}}}");
                vec![edit("trans_line", EditOp::Upsert, &line, &data)]
            }
            10 => vec![gone("trans_line", &line)],
            _ => vec![gone("transact", &document)],
        };
        let group = Group { edits, request_id: None, recorded_at_ms: office.wall_ms };
        Planned { how: How::Recorded(group), expected: Expected::Either }
    }

    /// Past the recorder, under one of the numbers that the store may have.
    fn forged_of_moved(office: &Office<'_>, random: &mut Random, number: u64) -> Planned {
        let (store, value) = (moved_store(number), random.below(1000));
        let id = format!("{FORGED_PREFIX}{number}-{}-{:x}", office.site, random.number());
        let data = format!("{{\"store_ID\":{store:?},\"code\":\"{value}\"}}");
        let ownership = u32::try_from(random.range(1, 6)).unwrap_or(1);
        let forged = entry(office.catalogue, "Location", &id, &data, ownership);
        Planned { how: How::Forged(vec![forged]), expected: Expected::Either }
    }
}
