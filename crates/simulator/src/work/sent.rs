//! What people send to other stores: invoices, returns, requisitions and orders, with their lines, as drafts and finalised, and what they
//! change of them afterwards.

use domain::edit::{Edit, EditOp};
use outpost::recorder::Group;

use super::{Desk, How, Office, Planned, WARD, edit, gone, store};
use crate::mix::Fault;
use crate::model::Expected;
use crate::moves::{MOVED, moved_store};
use crate::random::Random;
use crate::visibility::name_of;

/// How the ids of what is sent begin.
pub const SENT_PREFIX: &str = "tf-";
/// Documents of each kind that a site sends, and lines of each.
const DOCUMENTS: u64 = 6;
const LINES: u64 = 3;

/// A kind of document that goes to another store.
struct Sent {
    word: &'static str,
    header: &'static str,
    /// Columns of a header that say what it is.
    is: &'static str,
    draft: &'static [&'static str],
    finals: &'static [&'static str],
    line: &'static str,
    column: &'static str,
    /// The column of a line that says how many.
    count: &'static str,
}

const SENT: [Sent; 4] = [
    Sent {
        word: "ci",
        header: "transact",
        is: "\"type\":\"ci\",\"mode\":\"store\"",
        draft: &["nw", "sg", "cn"],
        finals: &["fn"],
        line: "trans_line",
        column: "transaction_ID",
        count: "quantity",
    },
    Sent {
        word: "sc",
        header: "transact",
        is: "\"type\":\"sc\",\"mode\":\"store\"",
        draft: &["nw", "sg", "cn"],
        finals: &["fn"],
        line: "trans_line",
        column: "transaction_ID",
        count: "quantity",
    },
    Sent {
        word: "rq",
        header: "requisition",
        is: "\"type\":\"request\"",
        draft: &["sg", "nw"],
        finals: &["fn"],
        line: "requisition_line",
        column: "requisition_ID",
        count: "Cust_stock_order",
    },
    Sent {
        word: "po",
        header: "purchase_order",
        is: "\"reference\":\"ordered\"",
        draft: &["nw", "sg"],
        finals: &["cn", "cn", "fn"],
        line: "purchase_order_line",
        column: "purchase_order_ID",
        count: "quan_original_order",
    },
];

/// A document of a store, and whom it is for.
struct Document<'a> {
    sent: &'a Sent,
    id: String,
    store: String,
}

impl Desk {
    /// A document of a few, or a line of one. The site may write it or not where its store moves.
    pub(super) fn of_sent(office: &Office<'_>, random: &mut Random) -> Planned {
        let document = Document::drawn(office, random);
        let (id, sent) = (&document.id, document.sent);
        let patch = |data: String| vec![edit(sent.header, EditOp::Patch, id, &data)];
        let edits = match random.below(24) {
            0..=2 => document.whole(office, random.pick::<&str>(sent.draft), random),
            3..=7 => document.whole(office, random.pick::<&str>(sent.finals), random),
            8..=12 => patch(format!("{{\"status\":{:?}}}", random.pick(sent.finals))),
            13 | 14 => patch(format!("{{\"comment\":\"{}\"}}", random.below(100))),
            15..=18 => vec![document.line(random.below(LINES), office, random)],
            19 => vec![gone(sent.line, &format!("{id}-{}", random.below(LINES)))],
            20 => patch(format!("{{\"name_ID\":{:?}}}", addressee(office, random))),
            21 => patch(format!("{{\"status\":{:?}}}", random.pick(sent.draft))),
            22 if sent.header == "transact" => patch(format!("{{\"is_cancellation\":{}}}", random.chance(500))),
            _ => vec![gone(sent.header, id)],
        };
        let group = Group { edits, request_id: None, recorded_at_ms: office.wall_ms };
        Planned { how: How::Recorded(group), expected: Expected::Either }
    }
}

impl Document<'_> {
    fn drawn(office: &Office<'_>, random: &mut Random) -> Self {
        // Under centralised procurement others write orders: that is drawn where orders are.
        let kinds = if office.mix.has(Fault::Procurement) { 3 } else { 4 };
        let sent = random.pick(SENT.get(..kinds).unwrap_or(&SENT));
        let number = random.below(DOCUMENTS);
        if office.mix.has(Fault::Moves) && random.chance(200) {
            let of = random.below(MOVED);
            return Self { sent, id: format!("{SENT_PREFIX}m{of}-{}-{number}", sent.word), store: moved_store(of) };
        }
        let stores = office.stores.len().min(office.mix.stores_per_site).max(1) as u64;
        let own = office.stores.get(usize::try_from(number % stores).unwrap_or(0));
        let own = own.map_or_else(|| store(office, random).to_owned(), Clone::clone);
        Self { sent, id: format!("{SENT_PREFIX}{}-{}-{number}", office.site, sent.word), store: own }
    }

    /// Header and some lines, in one group or the lines left for another.
    fn whole(&self, office: &Office<'_>, status: &str, random: &mut Random) -> Vec<Edit> {
        let data = format!(
            "{{\"store_ID\":{:?},\"name_ID\":{:?},\"status\":{status:?},\"comment\":\"{}\",{}}}",
            self.store,
            addressee(office, random),
            random.below(100),
            self.sent.is
        );
        let mut edits = vec![edit(self.sent.header, EditOp::Put, &self.id, &data)];
        for number in 0..random.below(LINES + 1) {
            edits.push(self.line(number, office, random));
        }
        edits
    }

    fn line(&self, number: u64, office: &Office<'_>, random: &mut Random) -> Edit {
        let packs = match self.sent.line {
            "trans_line" => ",\"type\":\"stock_out\",\"pack_size\":1".to_owned(),
            "purchase_order_line" => format!(",\"store_ID\":{:?},\"packsize_ordered\":1", self.store),
            _ => String::new(),
        };
        let (column, count) = (self.sent.column, self.sent.count);
        let (many, item) = (1 + random.below(9), item(office, random));
        let data = format!("{{{column:?}:{:?},{count:?}:{many}{packs}{item}}}", self.id);
        edit(self.sent.line, EditOp::Upsert, &format!("{}-{number}", self.id), &data)
    }
}

/// One of central's items, none, or now and then one that central does not have.
pub(super) fn item(office: &Office<'_>, random: &mut Random) -> String {
    let items: Vec<&String> = office.central.iter().filter(|(table, _)| table == "item").map(|(_, id)| id).collect();
    if random.chance(20) {
        return ",\"item_ID\":\"no-such-item\"".to_owned();
    }
    if items.is_empty() || random.chance(300) {
        return String::new();
    }
    format!(",\"item_ID\":{:?}", random.pick::<&String>(&items))
}

/// The name of another store, of one of the own site, or of nobody's.
fn addressee(office: &Office<'_>, random: &mut Random) -> String {
    if random.chance(60) {
        return WARD.to_owned();
    }
    if office.mix.has(Fault::Moves) && random.chance(150) {
        return name_of(&moved_store(random.below(MOVED)));
    }
    let is_own = office.foreign_stores.is_empty() || random.chance(250);
    name_of(random.pick::<String>(if is_own { office.stores } else { office.foreign_stores }))
}
