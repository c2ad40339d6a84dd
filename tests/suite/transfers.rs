//! What one store sends to another, as the people of both see it: one half on each side, whoever syncs first, with the right number, link
//! and log entry on both sites and at central.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::patients::edit;
use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::success;

/// What a test of transfers looks at.
const TABLES: [&str; 10] = [
    "transact",
    "trans_line",
    "requisition",
    "requisition_line",
    "purchase_order",
    "purchase_order_line",
    "Goods_received",
    "Goods_received_line",
    "om_activity_log",
    "number",
];

/// A kind of transfer: where its halves are, and by which columns they name each other.
pub struct Kind {
    name: &'static str,
    table: &'static str,
    half_table: &'static str,
    names: &'static str,
    number: &'static str,
    link: Option<&'static str>,
    lines: (&'static str, &'static str),
}

/// An invoice to another store.
pub const STOCK: Kind = Kind {
    name: "stock",
    table: "transact",
    half_table: "transact",
    names: "linked_transaction_id",
    number: "invoice_num",
    link: Some("linked_transaction_id"),
    lines: ("trans_line", "transaction_ID"),
};
/// A return to the store that had sent it.
pub const RETURN: Kind = Kind { name: "return", ..STOCK };
/// A request.
pub const REQUISITION: Kind = Kind {
    name: "requisition",
    table: "requisition",
    half_table: "requisition",
    names: "linked_requisition_id",
    number: "serial_number",
    link: Some("linked_requisition_id"),
    lines: ("requisition_line", "requisition_ID"),
};
/// An order.
pub const ORDER: Kind = Kind { name: "order", table: "purchase_order", names: "original_PO_ID", link: None, ..STOCK };
/// The invoice with which a store answers an order.
pub const GOODS: Kind = Kind {
    name: "goods",
    table: "transact",
    half_table: "Goods_received",
    names: "purchase_order_ID",
    number: "serial_number",
    link: Some("goods_received_ID"),
    lines: ("Goods_received_line", "goods_received_ID"),
};

/// A transfer as it has to be.
pub struct Expected<'a> {
    /// Its kind.
    pub kind: &'a Kind,
    /// The initiating half.
    pub source: &'a str,
    /// The store that receives.
    pub receiver: &'a str,
    /// The number of the responding half.
    pub number: u64,
    /// Lines of the responding half.
    pub lines: usize,
}

/// All that a side has of transfers.
pub struct Seen {
    /// Which side.
    pub by: String,
    tables: BTreeMap<&'static str, BTreeMap<String, Value>>,
}

impl Seen {
    /// What these records say, table by table.
    pub fn by(by: &str, records: impl Fn(&str) -> BTreeMap<String, Value>) -> Self {
        Self { by: by.to_owned(), tables: TABLES.iter().map(|table| (*table, records(table))).collect() }
    }

    /// A record that has to be there.
    pub fn record(&self, table: &str, id: &str) -> &Value {
        self.tables[table].get(id).unwrap_or_else(|| panic!("{} has no {table} {id}", self.by))
    }

    /// The records of a table for which something holds.
    pub fn find(&self, table: &str, holds: impl Fn(&Value) -> bool) -> Vec<(&str, &Value)> {
        let found = self.tables[table].iter().filter(|(_, data)| holds(data));
        found.map(|(id, data)| (id.as_str(), data)).collect()
    }

    /// The responding halves of a transfer.
    pub fn halves(&self, kind: &Kind, source: &str, receiver: &str) -> Vec<(&str, &Value)> {
        // Goods received name the order.
        let named = self.tables[kind.table].get(source);
        let order = named.and_then(|data| data["original_PO_ID"].as_str()).unwrap_or_default().to_owned();
        let named = if kind.name == GOODS.name { order } else { source.to_owned() };
        self.find(kind.half_table, |data| data[kind.names] == named.as_str() && data["store_ID"] == receiver)
    }

    /// That a transfer is whole; the id of its responding half.
    pub fn check(&self, expected: &Expected<'_>) -> String {
        let Expected { kind, source, receiver, number, lines } = expected;
        let of = format!("{} of {} {source}", self.by, kind.name);
        let halves = self.halves(kind, source, receiver);
        let [(half, data)] = halves[..] else { panic!("{of}: {} responding halves: {halves:?}", halves.len()) };
        assert_eq!(data[kind.number], *number, "{of}: {data}");
        if let Some(link) = kind.link {
            assert_eq!(self.record(kind.table, source)[link], half, "{of}: the link");
        }
        let (table, header) = kind.lines;
        assert_eq!(self.find(table, |line| line[header] == half).len(), *lines, "{of}: lines");
        let entries = self.find("om_activity_log", |entry| entry["record_ID"] == *source);
        let stores: Vec<_> = entries.iter().map(|(_, entry)| entry["store_ID"].clone()).collect();
        assert_eq!(stores, [json!(receiver)], "{of}: log entries");
        half.to_owned()
    }
}

/// Central with store A at north and B at south, which see each other.
pub struct Shops {
    /// The central server.
    pub central: Central,
    /// The site of store A.
    pub north: Agent,
    /// The site of store B.
    pub south: Agent,
}

/// Stores with their names, and an item.
pub fn stores(stores: &[(&str, &str)]) -> String {
    let item = edit("item", "upsert", "I", &json!({"item_name": "Amoxicillin", "code": "I", "default_pack_size": 1}));
    stores.iter().fold(item, |lines, (store, mode)| {
        let name = format!("name-{store}");
        lines
            + &edit("name", "upsert", &name, &json!({"name": format!("Store {store}"), "type": "store"}))
            + &edit("store", "upsert", store, &json!({"code": store, "name_ID": name, "store_mode": mode}))
    })
}

impl Shops {
    /// See the type.
    pub fn new() -> Self {
        Self::with("store")
    }

    /// The same with A in a mode.
    pub fn with(mode: &str) -> Self {
        let central = Central::with_data(&stores(&[("A", mode), ("B", "store")]));
        central.add_site("north", &["A"]);
        central.add_site("south", &["B"]);
        success(&central.run(&["visibility", "add", "name-B", "--store", "A"], ""));
        let [north, south] = ["north", "south"].map(|name| Agent::initialised(&central, name));
        let shops = Self { central, north, south };
        shops.sync("AB");
        shops
    }

    /// Lets the sites sync, one letter after the other: A is north and B south.
    pub fn sync(&self, order: &str) {
        for letter in order.chars() {
            match letter {
                'A' => self.north.settle(),
                _ => self.south.settle(),
            };
        }
    }

    /// What all three have.
    pub fn seen(&self) -> [Seen; 3] {
        [
            Seen::by("central", |table| self.central.records(table)),
            Seen::by("north", |table| self.north.records(table)),
            Seen::by("south", |table| self.south.records(table)),
        ]
    }

    /// That all three have these transfers whole, and central lists them as done and no others.
    pub fn check(&self, expected: &[Expected<'_>]) {
        let seen = self.seen();
        for transfer in expected {
            let halves = seen.each_ref().map(|side| side.check(transfer));
            assert!(halves.iter().all(|half| *half == halves[0]), "{} {halves:?}", transfer.source);
        }
        let mut listed = stages(&self.central);
        let mut done: Vec<_> =
            expected.iter().map(|transfer| [transfer.kind.name, transfer.source, "done"].map(str::to_owned)).collect();
        listed.sort();
        done.sort();
        assert_eq!(listed, done);
    }
}

/// Kind, initiating half and stage of each transfer that central knows.
pub fn stages(central: &Central) -> Vec<[String; 3]> {
    let listed = central.json(&["transfers", "--limit", "1000"])["transfers"].clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |row: &Value| [text(&row["kind"]), text(&row["initiating"]["id"]), text(&row["stage"])];
    listed.as_array().unwrap().iter().map(row).collect()
}

/// The stage of one of them.
pub fn stage(central: &Central, source: &str) -> String {
    let found = stages(central).into_iter().find(|[_, of, _]| of == source);
    found.map_or("none".to_owned(), |[_, _, stage]| stage)
}

/// A finished document of one store to another.
pub fn sent(of_type: &str, id: &str, from: &str, to: &str) -> String {
    draft(of_type, id, from, to) + &finalised("transact", id)
}

/// The same before it is finished: two lines and one that is only asked for.
pub fn draft(of_type: &str, id: &str, from: &str, to: &str) -> String {
    let header = json!({"store_ID": from, "name_ID": format!("name-{to}"), "type": of_type, "status": "nw",
                        "mode": "store", "invoice_num": 17, "their_ref": "by hand"});
    let line = |number: usize, kind: &str| {
        let data = json!({"transaction_ID": id, "item_ID": "I", "type": kind, "quantity": number, "pack_size": 10});
        edit("trans_line", "put", &format!("{id}-{number}"), &data)
    };
    edit("transact", "put", id, &header) + &line(1, "stock_out") + &line(2, "stock_out") + &line(3, "placeholder")
}

/// What finalises a document.
pub fn finalised(table: &str, id: &str) -> String {
    edit(table, "patch", id, &json!({"status": "fn"}))
}

/// All orders of so many syncs of the two sites.
pub fn orders(syncs: u32) -> impl Iterator<Item = String> {
    (0..1u32 << syncs).map(move |bits| (0..syncs).map(|at| if bits >> at & 1 == 0 { 'A' } else { 'B' }).collect())
}

/// Whether syncs in this order are enough for what A sends to B: A pushes, and writes the link to the half that comes back at once; B gives
/// the number.
fn is_enough(order: &str) -> bool {
    order.contains("AB")
}

#[test]
fn what_a_store_sends_arrives_once_in_every_order_of_syncs_and_is_done_after_one_of_each_site() {
    let shops = Shops::new();
    let mut sources = Vec::new();
    for order in orders(5) {
        let id = format!("from-A-{order}");
        shops.north.record(&sent("ci", &id, "A", "B"));
        shops.sync(&order);
        let is_done = stage(&shops.central, &id) == "done";
        assert_eq!(is_done, is_enough(&order), "{order}: {}", stage(&shops.central, &id));
        shops.sync(if is_done { "A" } else { "ABA" });
        sources.push(id);
    }
    let expected: Vec<_> = (1..)
        .zip(&sources)
        .map(|(number, source)| Expected { kind: &STOCK, source, receiver: "B", number, lines: 2 })
        .collect();
    shops.check(&expected);
}

#[test]
fn a_return_comes_back_to_the_store_that_had_sent_the_goods() {
    let shops = Shops::new();
    shops.north.record(&sent("ci", "sale", "A", "B"));
    shops.sync("ABA");
    let [_, _, south] = shops.seen();
    let (bought, _) = south.halves(&STOCK, "sale", "B")[0];
    let header = json!({"store_ID": "B", "name_ID": "name-A", "type": "sc", "status": "nw", "invoice_num": 4,
                        "om_original_shipment_id": bought});
    let line = json!({"transaction_ID": "back", "item_ID": "I", "type": "stock_out", "quantity": 1, "pack_size": 10});
    shops.south.record(
        &(edit("transact", "put", "back", &header)
            + &edit("trans_line", "put", "back-1", &line)
            + &finalised("transact", "back")),
    );

    shops.sync("BAB");

    shops.check(&[
        Expected { kind: &STOCK, source: "sale", receiver: "B", number: 1, lines: 2 },
        Expected { kind: &RETURN, source: "back", receiver: "A", number: 1, lines: 1 },
    ]);
    for side in shops.seen() {
        let (_, half) = side.halves(&RETURN, "back", "A")[0];
        assert_eq!((&half["type"], &half["hold"]), (&json!("cc"), &json!(true)));
        assert_eq!(half["om_original_shipment_id"], "sale", "the receiver's own invoice");
    }
}

/// Asks for an item twice.
pub fn request(id: &str) -> String {
    let header = json!({"store_ID": "A", "name_ID": "name-B", "type": "request", "status": "sg", "serial_number": 3});
    let line = |number: u32| {
        let data = json!({"requisition_ID": id, "item_ID": "I", "Cust_stock_order": 10 * number});
        edit("requisition_line", "put", &format!("{id}-{number}"), &data)
    };
    edit("requisition", "put", id, &header) + &line(1) + &line(2) + &finalised("requisition", id)
}

/// The people of B answer a request once its response is there and has its number: an invoice, and they are done.
pub fn supply(shops: &Shops, request: &str) {
    let responses = shops.south.records("requisition");
    let is_ready = |data: &Value| {
        data["linked_requisition_id"] == request && data["serial_number"] != -1 && data["status"] != "fn"
    };
    let Some((response, _)) = responses.iter().find(|(_, data)| is_ready(data)) else { return };
    let invoice = format!("for-{request}");
    let fulfils = edit("transact", "patch", &invoice, &json!({"requisition_ID": response}));
    let ends = finalised("transact", &invoice) + &finalised("requisition", response);
    shops.south.record(&(draft("ci", &invoice, "B", "A") + &fulfils + &ends));
}

#[test]
fn a_request_is_answered_and_supplied_in_every_order_of_syncs() {
    let shops = Shops::new();
    let orders: Vec<_> = orders(4).collect();
    let (mut requests, mut invoices) = (Vec::new(), Vec::new());
    for order in &orders {
        let id = format!("request-{order}");
        shops.north.record(&request(&id));
        for letter in order.chars().chain("ABABA".chars()) {
            shops.sync(letter.encode_utf8(&mut [0; 4]));
            if letter == 'B' {
                supply(&shops, &id);
            }
        }
        invoices.push(format!("for-{id}"));
        requests.push(id);
    }

    // The last number goes to B.
    shops.sync("B");
    let mut expected = Vec::new();
    for (number, (request, invoice)) in (1..).zip(requests.iter().zip(&invoices)) {
        expected.push(Expected { kind: &REQUISITION, source: request, receiver: "B", number, lines: 2 });
        expected.push(Expected { kind: &STOCK, source: invoice, receiver: "A", number, lines: 2 });
    }
    shops.check(&expected);
    for side in shops.seen() {
        for (request, invoice) in requests.iter().zip(&invoices) {
            let (_, half) = side.halves(&STOCK, invoice, "A")[0];
            assert_eq!(half["requisition_ID"], request.as_str(), "{half}");
            assert_eq!(side.record("requisition", request)["om_status"], "FINALISED");
        }
    }
}
