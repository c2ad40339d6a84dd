//! Purchase orders: of the own stores, and of others, which only the primary writes.

use domain::edit::{Edit, EditOp};
use outpost::recorder::Group;

use super::{Desk, How, Office, Planned, edit, entry, gone};
use crate::model::Expected;
use crate::random::Random;

/// Orders of a store that its site makes, as many that others make, and lines of each by either. Nobody else makes one of an id that a site
/// may be keeping for itself.
const ORDERS: u64 = 3;
const LINES: u64 = 3;

impl Desk {
    /// An order of a store, most often of an own one, or a line of it, now and then past the recorder.
    pub(super) fn of_order(office: &Office<'_>, random: &mut Random) -> Planned {
        let is_own = random.chance(650) || office.foreign_stores.is_empty();
        let edits = order_edits(if is_own { office.stores } else { office.foreign_stores }, is_own, random);
        if random.chance(60) {
            let whole = edits
                .iter()
                .filter(|edit| edit.op == EditOp::Put)
                .filter_map(|edit| Some((edit, edit.data.as_deref()?)));
            let ownership = 1 + (u32::try_from(random.below(4)).unwrap_or(0) << 20);
            let entries: Vec<_> = whole
                .map(|(edit, data)| entry(office.catalogue, &edit.table, edit.id.as_str(), data, ownership))
                .collect();
            if !entries.is_empty() {
                return Planned { how: How::Forged(entries), expected: Expected::Either };
            }
        }
        let group = Group { edits, request_id: None, recorded_at_ms: office.wall_ms };
        Planned { how: How::Recorded(group), expected: Expected::Either }
    }
}

/// Edits of an order of one of these stores, by whoever may make them. `is_own`: by the site of the store.
pub fn order_edits(stores: &[String], is_own: bool, random: &mut Random) -> Vec<Edit> {
    let store = random.pick::<String>(stores).clone();
    let (own, others) = if is_own { (0, ORDERS) } else { (ORDERS, 0) };
    let id = |number: u64| format!("po-{store}-{number}");
    let made = id(own + random.below(ORDERS));
    let any = if random.chance(500) { made.clone() } else { id(others + random.below(ORDERS)) };
    let line = format!("pl-{store}-{}-{}", if is_own { "own" } else { "other" }, random.below(LINES));
    let comment = random.below(100);
    let header = |random: &mut Random| {
        let status = *random.pick(&["nw", "sg", "sg", "sg", "cn", "fn"]);
        let supervised = if random.chance(120) { ",\"outpost_ordered_by\":\"supervisor\"" } else { "" };
        let data = format!("{{\"store_ID\":{store:?},\"status\":{status:?},\"comment\":\"{comment}\"{supervised}}}");
        edit("purchase_order", EditOp::Put, &made, &data)
    };
    let line_of = |order: &str| {
        let data = format!("{{\"store_ID\":{store:?},\"purchase_order_ID\":{order:?},\"pack_units\":\"{comment}\"}}");
        edit("purchase_order_line", EditOp::Put, &line, &data)
    };
    match random.below(20) {
        0..=3 => vec![header(random)],
        4..=7 => vec![header(random), line_of(&made)],
        8..=10 => vec![line_of(&any)],
        11..=13 => {
            let status = *random.pick(&["cn", "cn", "fn", "sg"]);
            vec![edit("purchase_order", EditOp::Patch, &any, &format!("{{\"status\":{status:?}}}"))]
        }
        14 | 15 => vec![edit("purchase_order", EditOp::Patch, &any, &format!("{{\"comment\":\"{comment}\"}}"))],
        16 | 17 => {
            // To another order of the store.
            vec![edit("purchase_order_line", EditOp::Patch, &line, &format!("{{\"purchase_order_ID\":{any:?}}}"))]
        }
        18 => vec![gone("purchase_order_line", &line)],
        _ => vec![gone("purchase_order", &any)],
    }
}
