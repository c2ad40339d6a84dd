//! What people at the sites do: bursts of edits to every kind of data that can be written, and now and then what must be refused.

mod moved;
mod orders;
mod patients;
mod received;
mod sent;
mod taken;
mod transfers;
mod users;

use std::collections::BTreeMap;

use domain::catalogue::{Catalogue, DataType, Table};
use domain::edit::{Edit, EditOp};
use domain::json::row_from_json;
use domain::number::NUMBER_TABLE;
use outpost::recorder::Group;
use protocol::entry::{Entry, Operation};
use protocol::ids::{OwnershipNumber, RecordId, RequestId};

use crate::mix::{Fault, Mix};
use crate::model::Expected;
use crate::random::Random;

pub use orders::order_edits;
pub use patients::{
    HOME_MERGES, HOMELESS_PREFIX, LOCATION_MERGES, PATIENT_PREFIX, home_merge_edit, is_shared_by_other,
    patient_join_edit,
};

pub use received::Received;
pub use sent::SENT_PREFIX;
pub use transfers::{WARD, name_edit};
pub use users::is_own_user;

/// The table that devices declare and central does not know.
pub const FOREIGN_TABLE: &str = "sim_extra";
/// Longest text of the rare large record, in bytes: it travels in parts on a slow link.
const LARGE_TEXT_BYTES: u64 = 150_000;

/// A group that somebody wants to record.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Through the recorder, or straight into the journal behind its back.
    pub how: How,
    /// What central has to say.
    pub expected: Expected,
}

/// How a group gets into the journal.
#[derive(Debug, Clone)]
pub enum How {
    /// As an application does it.
    Recorded(Group),
    /// Without asking the judge: a device whose files somebody has changed.
    Forged(Vec<Entry>),
}

/// What one site's people remember of what they made.
#[derive(Debug, Clone, Default)]
pub struct Desk {
    /// Ids by table.
    made: BTreeMap<String, Vec<String>>,
    /// Headers whose lines went ahead: table, id, store.
    owed_headers: Vec<(String, String, String)>,
    groups: u64,
}

/// What a burst is made from.
pub struct Office<'a> {
    /// The tables as the device knows them.
    pub catalogue: &'a Catalogue,
    /// What may go wrong.
    pub mix: &'a Mix,
    /// Stores of the site.
    pub stores: &'a [String],
    /// Stores of others.
    pub foreign_stores: &'a [String],
    /// Ids of central's own records by table.
    pub central: &'a [(String, String)],
    /// The site's number, so that its ids are its own.
    pub site: u32,
    /// Wall clock of the device.
    pub wall_ms: u64,
    /// Whether the device knows that it holds its stores: a header that it does not take is not offered again.
    pub is_granted: bool,
}

impl Desk {
    /// Groups of one burst.
    pub fn burst(&mut self, office: &Office<'_>, random: &mut Random) -> Vec<Planned> {
        let count = random.range(1, office.mix.burst_groups_max);
        let mut planned: Vec<Planned> = (0..count).map(|_| self.group(office, random)).collect();
        if office.mix.strikes(Fault::ForgedEdit, random) {
            planned.push(Self::forged(office, random));
        }
        if office.mix.strikes(Fault::LineFirst, random) {
            planned.extend(self.line_first(office, random));
        }
        if !self.owed_headers.is_empty() && random.chance(400) && office.is_granted {
            planned.push(self.owed_header(office, random));
        }
        if office.mix.has(Fault::Patients) {
            for _ in 0..random.below(3) {
                planned.push(Self::of_patient(office, random));
            }
        }
        if office.mix.has(Fault::Prescribers) {
            for _ in 0..random.below(3) {
                planned.push(Self::of_prescriber(office, random));
            }
        }
        if office.mix.has(Fault::Merges) && random.chance(300) {
            planned.extend(self.of_locations(office, random));
        }
        if office.mix.has(Fault::HomeMerges) && random.chance(400) {
            planned.push(Self::of_home_merge(office, random));
        }
        if office.mix.has(Fault::Prescriptions) || office.mix.has(Fault::Homeless) {
            for _ in 0..random.below(4) {
                planned.push(Self::of_prescription(office, random));
            }
        }
        if office.mix.has(Fault::Withholding) {
            for _ in 0..random.below(4) {
                planned.push(self.of_transfer(office, random));
            }
        }
        if office.mix.has(Fault::Procurement) {
            for _ in 0..random.below(4) {
                planned.push(Self::of_order(office, random));
            }
        }
        if office.mix.has(Fault::NewUsers) {
            for _ in 0..random.below(3) {
                planned.push(Self::of_user(office, random));
            }
        }
        if office.mix.has(Fault::Transfers) {
            for _ in 0..random.below(5) {
                planned.push(Self::of_sent(office, random));
            }
        }
        if office.mix.has(Fault::Moves) {
            for _ in 0..random.below(4) {
                planned.push(Self::of_moved(office, random));
            }
        }
        if office.mix.has(Fault::Messages) {
            for _ in 0..random.below(3) {
                planned.push(Self::of_message(office, random));
            }
        }
        if office.mix.has(Fault::Mirror) {
            for _ in 0..random.below(3) {
                planned.push(Self::of_primary(office, random));
            }
        }
        planned
    }

    /// A message between stores, or its status, of this site or of another.
    fn of_message(office: &Office<'_>, random: &mut Random) -> Planned {
        let id = format!("m-{}-{}", 2 + random.below(3), random.below(6));
        let edits = match random.below(10) {
            0..=4 => vec![message(&id, store(office, random), office, random)],
            5..=8 => {
                let status = *random.pick(&["processed", "processed", "new"]);
                vec![edit("message", EditOp::Patch, &id, &format!("{{\"status\":{status:?}}}"))]
            }
            _ => vec![gone("message", &id)],
        };
        let group = Group { edits, request_id: None, recorded_at_ms: office.wall_ms };
        Planned { how: How::Recorded(group), expected: Expected::Either }
    }

    /// What a primary does, and is refused anywhere else. The authority may be taken from it before central sees it.
    fn of_primary(office: &Office<'_>, random: &mut Random) -> Planned {
        let edit = if office.mix.has(Fault::HomeMerges) && random.chance(300) {
            patient_join_edit(office.stores, random)
        } else if office.mix.has(Fault::Merges) && random.chance(300) {
            merge_edit(office.central, random)
        } else if random.chance(700) {
            central_edit(office.catalogue, office.mix, office.central, random)
        } else {
            loop {
                let edit = mode_edit(office.catalogue, office.mix, office.stores, random);
                if edit.table != "store" {
                    break edit;
                }
            }
        };
        let group = Group { edits: vec![edit], request_id: None, recorded_at_ms: office.wall_ms };
        Planned { how: How::Recorded(group), expected: Expected::Either }
    }

    /// The headers that lines wait for, so that nothing need wait for ever.
    pub fn rest(&mut self, office: &Office<'_>, random: &mut Random) -> Vec<Planned> {
        let mut planned = Vec::new();
        while office.is_granted && !self.owed_headers.is_empty() {
            planned.push(self.owed_header(office, random));
        }
        planned
    }

    /// What was made by a device that is wiped is not known to the next one before it is pulled; it is edited all the same.
    fn group(&mut self, office: &Office<'_>, random: &mut Random) -> Planned {
        self.groups += 1;
        let mut edits = Vec::new();
        let mut expected = Expected::Accepted;
        match random.below(100) {
            0..25 => self.document(office, random, &mut edits),
            25..50 => edits.push(self.put(office, random, None)),
            50..75 => self.updates(office, random, &mut edits),
            75..85 => self.deletion(random, &mut edits),
            85..92 => edits.push(Self::local(random)),
            92..95 => {
                edits.push(Self::local(random));
                edits.push(self.put(office, random, None));
                edits.push(Self::local(random));
            }
            95..97 => {
                let id = Self::fresh_id(office, random);
                edits.push(edit(
                    FOREIGN_TABLE,
                    EditOp::Put,
                    &id,
                    &format!("{{\"store_ID\":\"{}\",\"a\":1}}", store(office, random)),
                ));
                expected = Expected::Refused;
            }
            _ => {
                // What a device may not write is refused before it is journaled.
                let id = Self::fresh_id(office, random);
                edits.push(edit("item", EditOp::Put, &id, "{\"item_name\":\"not mine\"}"));
                if office.mix.has(Fault::Mirror) {
                    expected = Expected::Either;
                }
            }
        }
        if edits.is_empty() {
            edits.push(self.put(office, random, None));
        }
        let request_id = random.chance(300).then(|| RequestId(random.bytes()));
        Planned { how: How::Recorded(Group { edits, request_id, recorded_at_ms: office.wall_ms }), expected }
    }

    /// A header with its lines.
    fn document(&mut self, office: &Office<'_>, random: &mut Random, edits: &mut Vec<Edit>) {
        let lines: Vec<&Table> = writable(office).filter(|table| table.parent().is_some()).collect();
        let line = *random.pick(&lines);
        let header = header_of(office.catalogue, line);
        let store = store(office, random).to_owned();
        let made = self.put(office, random, Some((header, &store)));
        let header_id = made.id.as_str().to_owned();
        edits.push(made);
        let count = if random.chance(20) { random.range(50, 200) } else { random.range(1, office.mix.group_edits_max) };
        for _ in 0..count {
            edits.push(self.line(office, random, line, (&header_id, &store)));
        }
    }

    fn put(&mut self, office: &Office<'_>, random: &mut Random, what: Option<(&Table, &str)>) -> Edit {
        let (table, store) = what.unwrap_or_else(|| {
            let tables: Vec<&Table> = writable(office).filter(|table| table.parent().is_none()).collect();
            (*random.pick(&tables), store(office, random))
        });
        let id = Self::fresh_id(office, random);
        let data = data(office, random, table, store, None);
        self.made.entry(table.name().to_owned()).or_default().push(id.clone());
        let op = if random.chance(500) { EditOp::Put } else { EditOp::Upsert };
        edit(table.name(), op, &id, &data)
    }

    fn line(&mut self, office: &Office<'_>, random: &mut Random, table: &Table, under: (&str, &str)) -> Edit {
        let (header, store) = under;
        let id = Self::fresh_id(office, random);
        let data = data(office, random, table, store, Some(header));
        self.made.entry(table.name().to_owned()).or_default().push(id.clone());
        edit(table.name(), EditOp::Put, &id, &data)
    }

    fn updates(&mut self, office: &Office<'_>, random: &mut Random, edits: &mut Vec<Edit>) {
        for _ in 0..random.range(1, office.mix.group_edits_max) {
            let Some((name, id)) = self.any_made(random) else { return };
            let Ok(table) = office.catalogue.table_by_name(&name) else { return };
            let mut columns = Vec::new();
            let names: Vec<&str> = free_columns(table).collect();
            for _ in 0..random.range(1, 3).min(names.len() as u64) {
                columns.push(format!("{:?}:{}", random.pick(&names), value(office.mix, random)));
            }
            columns.sort_unstable();
            columns.dedup_by(|one, other| one.split(':').next() == other.split(':').next());
            edits.push(edit(&name, EditOp::Patch, &id, &format!("{{{}}}", columns.join(","))));
        }
    }

    fn deletion(&mut self, random: &mut Random, edits: &mut Vec<Edit>) {
        if let Some((name, id)) = self.any_made(random) {
            edits.push(Edit {
                table: name,
                op: EditOp::Delete,
                id: RecordId::new(&id).expect("it was made here"),
                data: None,
            });
        }
    }

    fn local(random: &mut Random) -> Edit {
        // A few records, changed again and again.
        let id = format!("local-{}", random.below(4));
        let name = random.number() % 1000;
        if random.below(5) == 0 {
            return gone("user", &id);
        }
        edit("user", EditOp::Put, &id, &format!("{{\"name\":\"person {name}\",\"outpost_is_existing\":true}}"))
    }

    fn any_made(&self, random: &mut Random) -> Option<(String, String)> {
        let tables: Vec<&String> = self.made.keys().collect();
        if tables.is_empty() {
            return None;
        }
        let table = *random.pick(&tables);
        let ids = self.made.get(table)?;
        // The newest are changed most.
        let back = random.index(ids.len()).min(random.index(ids.len()));
        Some((table.clone(), ids.get(ids.len() - 1 - back)?.clone()))
    }

    fn forged(office: &Office<'_>, random: &mut Random) -> Planned {
        let id = Self::fresh_id(office, random);
        let own = store(office, random).to_owned();
        let foreign = office.foreign_stores.first().cloned().unwrap_or_else(|| "no-such-store".to_owned());
        let (table, id, data, ownership) = match random.below(5) {
            0 => ("item_line", id, format!("{{\"store_ID\":\"{foreign}\",\"quantity\":5}}"), 1),
            1 => ("item_line", id, format!("{{\"store_ID\":\"{own}\",\"quantity\":6}}"), 77),
            2 => ("item", id, "{\"item_name\":\"forged\"}".to_owned(), 1),
            3 if !office.central.is_empty() => {
                let (_, id) = random.pick(office.central).clone();
                ("item", id, "{\"item_name\":\"taken over\"}".to_owned(), 1)
            }
            _ => ("item_line", id, "{\"quantity\":7}".to_owned(), 1),
        };
        let entry = entry(office.catalogue, table, &id, &data, ownership);
        // Of a primary it is in order.
        let is_centrals = table == "item" && office.mix.has(Fault::Mirror);
        let expected = if is_centrals { Expected::Either } else { Expected::Refused };
        Planned { how: How::Forged(vec![entry]), expected }
    }

    /// Lines whose header comes later, or an edit of them before that.
    fn line_first(&mut self, office: &Office<'_>, random: &mut Random) -> Vec<Planned> {
        let header = Self::fresh_id(office, random);
        let own = store(office, random).to_owned();
        let (line_table, header_table, column) = *random.pick(&[
            ("trans_line", "transact", "transaction_ID"),
            ("requisition_line", "requisition", "requisition_ID"),
            ("Stock_take_lines", "Stock_take", "stock_take_ID"),
        ]);
        let mut planned = Vec::new();
        for number in 0..random.range(1, 3) {
            let id = Self::fresh_id(office, random);
            let data = format!("{{{column:?}:{header:?},\"comment\":\"line {number}\",\"note\":\"early\"}}");
            let line = entry(office.catalogue, line_table, &id, &data, 1);
            planned.push(Planned { how: How::Forged(vec![line]), expected: Expected::Either });
        }
        self.owed_headers.push((header_table.to_owned(), header, own));
        planned
    }

    fn owed_header(&mut self, office: &Office<'_>, random: &mut Random) -> Planned {
        let (table, id, store) = self.owed_headers.remove(0);
        let data = format!("{{\"store_ID\":{store:?},\"comment\":\"header\"}}");
        let edits = vec![edit(&table, EditOp::Put, &id, &data)];
        self.made.entry(table).or_default().push(id);
        let group = Group { edits, request_id: Some(RequestId(random.bytes())), recorded_at_ms: office.wall_ms };
        Planned { how: How::Recorded(group), expected: Expected::Accepted }
    }

    fn fresh_id(office: &Office<'_>, random: &mut Random) -> String {
        let number = random.number();
        let site = office.site;
        match random.below(3) {
            0 => format!("{site:08X}{number:016X}{:08X}", random.below(1 << 32)),
            1 => format!(
                "{site:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
                number >> 48,
                number & 0xfff,
                (number >> 12) & 0xfff,
                number >> 16
            ),
            _ => format!("s{site}-{number:x}"),
        }
    }
}

/// An edit of central's own data.
pub fn central_edit(catalogue: &Catalogue, mix: &Mix, known: &[(String, String)], random: &mut Random) -> Edit {
    let tables = ["item", "unit", "list_master", "list_master_line", "currency", "options", "user_field"];
    let table = loop {
        let name = *random.pick(&tables);
        if let Ok(table) = catalogue.table_by_name(name)
            && table.is_supported()
        {
            break table;
        }
    };
    let ids: Vec<&String> = known.iter().filter(|(name, _)| name == table.name()).map(|(_, id)| id).collect();
    let is_old = !ids.is_empty() && random.chance(600);
    let id = if is_old { (*random.pick(&ids)).clone() } else { format!("c-{:x}", random.number()) };
    if is_old && random.chance(150) {
        let id = RecordId::new(&id).expect("it was made here");
        return Edit { table: table.name().to_owned(), op: EditOp::Delete, id, data: None };
    }
    let names: Vec<&str> = free_columns(table).collect();
    let columns: Vec<String> = names.iter().take(4).map(|name| format!("{name:?}:{}", value(mix, random))).collect();
    edit(table.name(), EditOp::Upsert, &id, &format!("{{{}}}", columns.join(",")))
}

/// Two records of central's are made one, or are two again.
pub fn merge_edit(known: &[(String, String)], random: &mut Random) -> Edit {
    let table = *random.pick(&MERGED_TABLES);
    let ids: Vec<&String> = known.iter().filter(|(name, _)| name == table).map(|(_, id)| id).collect();
    let any = "nothing".to_owned();
    let mut one = || if ids.is_empty() { &any } else { *random.pick(&ids) };
    let (from, into) = (one(), one());
    let merges = format!("outpost_{table}_merge");
    if random.chance(150) {
        gone(&merges, from)
    } else {
        edit(&merges, EditOp::Put, from, &format!("{{\"into_ID\":{into:?}}}"))
    }
}

/// Tables whose records are merged here.
pub const MERGED_TABLES: [&str; 2] = ["item", "unit"];

/// A store becomes a dispensary or ceases to be one, or central writes what dispensaries need.
pub fn mode_edit(catalogue: &Catalogue, mix: &Mix, stores: &[String], random: &mut Random) -> Edit {
    if random.chance(400) {
        let mode = *random.pick(&["dispensary", "dispensary", "store"]);
        return edit("store", EditOp::Patch, random.pick::<String>(stores), &format!("{{\"store_mode\":{mode:?}}}"));
    }
    let table = *random.pick(&["abbreviation", "diagnosis", "item_direction"]);
    let id = format!("d-{}", random.below(8));
    if random.chance(200) {
        return Edit {
            table: table.to_owned(),
            op: EditOp::Delete,
            id: RecordId::new(&id).expect("it is short"),
            data: None,
        };
    }
    let table = catalogue.table_by_name(table).expect("the catalogue has it");
    let column = free_columns(table).next().expect("it has columns");
    edit(table.name(), EditOp::Upsert, &id, &format!("{{{column:?}:{}}}", value(mix, random)))
}

/// Tables of store data that a site writes.
fn writable<'a>(office: &Office<'a>) -> impl Iterator<Item = &'a Table> {
    // Who writes orders is not only who has the store.
    let has_orders = !office.mix.has(Fault::Procurement);
    office.catalogue.tables().filter(move |table| {
        (has_orders || !table.name().starts_with("purchase_order"))
            && table.data_type() == DataType::Store
            && table.is_supported()
            && table.name() != FOREIGN_TABLE
            && table.merges().is_none()
            && (table.parent().is_some() || table.store_column().is_some())
    })
}

fn header_of<'a>(catalogue: &'a Catalogue, line: &Table) -> &'a Table {
    let parent = line.parent().expect("a line has a header");
    catalogue.table(&parent.table).expect("the catalogue knows its own headers")
}

/// Columns that may hold anything.
fn free_columns(table: &Table) -> impl Iterator<Item = &str> {
    let parent = table.parent().map(|parent| table.name_of(&parent.column).into_owned());
    let hangs_on = table.hangs_on().map(|(_, column)| column);
    let keys = [table.store_column(), table.name_column(), hangs_on, table.site_column()];
    // What is given as a number is drawn where numbers are.
    let is_number = table.name() == NUMBER_TABLE;
    table.columns().filter(move |name| {
        if is_number && *name == "value" {
            return false;
        }
        !keys.contains(&Some(*name)) && parent.as_deref() != Some(*name) && !matches!(*name, "type" | "item" | "mode")
    })
}

fn store<'a>(office: &'a Office<'_>, random: &mut Random) -> &'a str {
    random.pick::<String>(office.stores)
}

fn data(office: &Office<'_>, random: &mut Random, table: &Table, store: &str, header: Option<&str>) -> String {
    let mut columns = Vec::new();
    if let Some(column) = table.store_column() {
        columns.push(format!("{column:?}:{store:?}"));
    }
    if let (Some(parent), Some(header)) = (table.parent(), header) {
        columns.push(format!("{:?}:{header:?}", table.name_of(&parent.column)));
    }
    let names: Vec<&str> = free_columns(table).collect();
    for name in &names {
        if random.chance(300) {
            columns.push(format!("{name:?}:{}", value(office.mix, random)));
        }
    }
    if random.chance(100) {
        columns.push(format!("\"extra_{}\":{}", random.below(3), value(office.mix, random)));
    }
    if random.chance(4) {
        let length = random.range(LARGE_TEXT_BYTES / 8, LARGE_TEXT_BYTES);
        columns.push(format!("\"scan\":\"{}\"", text(length, random)));
    }
    format!("{{{}}}", columns.join(","))
}

fn value(mix: &Mix, random: &mut Random) -> String {
    match random.below(8) {
        0 => random.below(100_000).to_string(),
        1 => format!("-{}.{:02}0", random.below(1000), random.below(100)),
        2 => "null".to_owned(),
        3 => (if random.chance(500) { "true" } else { "false" }).to_owned(),
        4 => format!("{{\"deep\":[{},\"x\"]}}", random.below(9)),
        5 => "\"2026-02-28\"".to_owned(),
        _ => {
            let length = random.below(mix.text_bytes_max);
            format!("\"{}\"", text(length, random))
        }
    }
}

/// Text that does not pack to nothing, with characters of more than one byte.
fn text(length: u64, random: &mut Random) -> String {
    const LETTERS: [&str; 16] = ["a", "e", "n", "t", "o", " ", "r", "1", "7", "ü", "ê", "ក", "\\n", "\\\"", "Z", "-"];
    let mut text = String::new();
    while (text.len() as u64) < length {
        let mut number = random.number();
        for _ in 0..16 {
            text.push_str(LETTERS.get(usize::try_from(number & 15).unwrap_or(0)).unwrap_or(&"a"));
            number >>= 4;
        }
    }
    text
}

pub(crate) fn edit(table: &str, op: EditOp, id: &str, data: &str) -> Edit {
    Edit {
        table: table.to_owned(),
        op,
        id: RecordId::new(id).expect("ids made here are short"),
        data: Some(data.to_owned()),
    }
}

/// A message of a store to one of this site, of another, or to central.
fn message(id: &str, from: &str, office: &Office<'_>, random: &mut Random) -> Edit {
    let all: Vec<&String> = office.stores.iter().chain(office.foreign_stores).collect();
    let to = if random.chance(150) { "" } else { random.pick(&all).as_str() };
    let data = format!(
        "{{\"fromStoreID\":{from:?},\"toStoreID\":{to:?},\"status\":\"new\",\"body\":\"{}\"}}",
        random.below(100)
    );
    edit("message", EditOp::Put, id, &data)
}

pub(crate) fn gone(table: &str, id: &str) -> Edit {
    Edit {
        table: table.to_owned(),
        op: EditOp::Delete,
        id: RecordId::new(id).expect("ids made here are short"),
        data: None,
    }
}

fn entry(catalogue: &Catalogue, table: &str, id: &str, data: &str, ownership: u32) -> Entry {
    let id = RecordId::new(id).expect("ids made here are short");
    let table = catalogue.table_by_name(table).expect("the catalogue has it");
    let row = row_from_json(table, &id, data).expect("it is well formed");
    Entry {
        is_group_end: false,
        ownership: OwnershipNumber(ownership),
        table: table.reference().clone(),
        record: id,
        operation: Operation::Put(row),
    }
}
