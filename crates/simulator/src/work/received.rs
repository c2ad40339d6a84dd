//! What people do with what came from other stores: they take it off hold, change it, supply it, finalise it, delete it.

use domain::edit::EditOp;
use outpost::recorder::Group;

use super::sent::item;
use super::{Desk, How, Office, Planned, edit, gone};
use crate::model::Expected;
use crate::random::Random;

/// How the ids of lines begin that somebody adds to what came.
const ADDED_PREFIX: &str = "tf-added-";

/// A half that came, as the device shows it.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its table.
    pub table: String,
    /// Its id.
    pub id: String,
    /// The table of its lines.
    pub line_table: &'static str,
    /// The ids of its lines.
    pub lines: Vec<String>,
    /// Whether it is an invoice that answers an order.
    pub answers_order: bool,
}

impl Desk {
    /// An edit of a half, or of a line of it.
    pub fn of_received(office: &Office<'_>, received: &Received, random: &mut Random) -> Planned {
        let (table, id) = (received.table.as_str(), received.id.as_str());
        let patch = |data: &str| vec![edit(table, EditOp::Patch, id, data)];
        let line = if received.lines.is_empty() { None } else { Some(random.pick::<String>(&received.lines).clone()) };
        let count = match received.line_table {
            "requisition_line" => "actualQuan",
            "Goods_received_line" => "quantity_received",
            _ => "quantity",
        };
        let edits = match (random.below(20), line) {
            (0..=3, _) if table == "transact" && !received.answers_order => patch("{\"hold\":false}"),
            (4..=6, _) => patch("{\"status\":\"cn\"}"),
            (7..=11, _) => patch("{\"status\":\"fn\"}"),
            (12..=15, Some(line)) => {
                let data = format!("{{{count:?}:{}}}", random.below(20));
                vec![edit(received.line_table, EditOp::Patch, &line, &data)]
            }
            (16, Some(line)) => vec![gone(received.line_table, &line)],
            (17, _) => vec![gone(table, id)],
            (18 | 19, _) if received.answers_order => {
                let added = format!("{ADDED_PREFIX}{}-{:x}", office.site, random.number());
                let data = format!(
                    "{{\"transaction_ID\":{id:?},\"type\":\"stock_out\",\"pack_size\":1,\"quantity\":{}{}}}",
                    1 + random.below(9),
                    item(office, random)
                );
                vec![edit("trans_line", EditOp::Put, &added, &data)]
            }
            _ => patch(&format!("{{\"comment\":\"{}\"}}", random.below(100))),
        };
        let group = Group { edits, request_id: None, recorded_at_ms: office.wall_ms };
        Planned { how: How::Recorded(group), expected: Expected::Either }
    }
}
