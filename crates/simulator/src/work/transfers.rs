//! What a store has with another one, or with somebody else.

use domain::edit::{Edit, EditOp};
use outpost::recorder::Group;

use super::{Desk, How, Office, Planned, edit, store};
use crate::model::Expected;
use crate::random::Random;
use crate::visibility::name_of;

/// A name that is no store's.
pub const WARD: &str = "ward";

/// Central has a name of a type.
pub fn name_edit(id: &str, kind: &str) -> Edit {
    edit("name", EditOp::Put, id, &format!("{{\"name\":{id:?},\"type\":{kind:?}}}"))
}

impl Desk {
    /// A transaction or an order with a line, with a store or with somebody else, or one that is found to be with another.
    pub(super) fn of_transfer(&mut self, office: &Office<'_>, random: &mut Random) -> Planned {
        let (header, line, column) = *random.pick(&[
            ("transact", "trans_line", "transaction_ID"),
            ("transact", "trans_line", "transaction_ID"),
            ("requisition", "requisition_line", "requisition_ID"),
        ]);
        let all: Vec<&String> = office.stores.iter().chain(office.foreign_stores).collect();
        let name = if random.chance(400) { WARD.to_owned() } else { name_of(random.pick::<&String>(&all)) };
        let known = self.made.get(header).filter(|made| !made.is_empty() && random.chance(400));
        let edits = if let Some(known) = known {
            vec![edit(header, EditOp::Patch, random.pick::<String>(known), &format!("{{\"name_ID\":{name:?}}}"))]
        } else {
            let (id, under) = (Self::fresh_id(office, random), Self::fresh_id(office, random));
            self.made.entry(header.to_owned()).or_default().push(id.clone());
            self.made.entry(line.to_owned()).or_default().push(under.clone());
            let data = format!("{{\"store_ID\":{:?},\"name_ID\":{name:?}}}", store(office, random));
            vec![
                edit(header, EditOp::Put, &id, &data),
                edit(line, EditOp::Put, &under, &format!("{{{column:?}:{id:?},\"quantity\":1}}")),
            ]
        };
        let group = Group { edits, request_id: None, recorded_at_ms: office.wall_ms };
        Planned { how: How::Recorded(group), expected: Expected::Either }
    }
}
