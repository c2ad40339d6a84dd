//! Small realistic records: what a central imports, and what a store's day looks like. Made anew from a seed, so that each run
//! has the same.

use std::fmt::Write as _;

/// Repeatable numbers; not random, only well mixed.
pub struct Numbers(u64);

impl Numbers {
    /// Begins at a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// An id of 32 upper-case hexadecimal digits.
    pub fn id(&mut self) -> String {
        format!("{:016X}{:016X}", self.below(u64::MAX), self.below(u64::MAX))
    }
}

/// Central data as NDJSON: units, items, and stores with their names.
#[derive(Clone)]
pub struct CentralData {
    /// The lines.
    pub lines: String,
    /// Ids of the items.
    pub items: Vec<String>,
    /// Ids of the stores.
    pub stores: Vec<String>,
    /// Names of the stores, in their order.
    pub names: Vec<String>,
}

/// Makes central data.
pub fn central_data(items: usize, stores: usize) -> CentralData {
    let mut numbers = Numbers::new(1);
    let mut data = CentralData { lines: String::new(), items: Vec::new(), stores: Vec::new(), names: Vec::new() };
    let unit = numbers.id();
    writeln!(data.lines, r#"{{"table":"unit","op":"upsert","id":"{unit}","data":{{"ID":"{unit}","units":"tab","comment":"","order_number":0}}}}"#).unwrap();
    for index in 0..items {
        let id = numbers.id();
        writeln!(
            data.lines,
            r#"{{"table":"item","op":"upsert","id":"{id}","data":{{"ID":"{id}","item_name":"Item {index}","code":"{}","unit_ID":"{unit}","type_of":"general","default_pack_size":{},"is_vaccine":false,"doses":0}}}}"#,
            100_000 + index,
            [1, 10, 100][index % 3],
        )
        .unwrap();
        data.items.push(id);
    }
    for index in 0..stores {
        let (name, store) = (numbers.id(), numbers.id());
        writeln!(
            data.lines,
            r#"{{"table":"name","op":"upsert","id":"{name}","data":{{"ID":"{name}","name":"Clinic {index}","code":"F{index}","type":"store","customer":true,"supplier":true}}}}"#
        )
        .unwrap();
        writeln!(
            data.lines,
            r#"{{"table":"store","op":"upsert","id":"{store}","data":{{"ID":"{store}","name_ID":"{name}","code":"S{index}","sync_id_remote_site":0,"store_mode":"store","disabled":false}}}}"#
        )
        .unwrap();
        data.stores.push(store);
        data.names.push(name);
    }
    data
}

/// Edits of one store as NDJSON: stock lines, invoices with lines, updates and deletes of lines. No invoice is finalised, so that none
/// goes to another store.
pub fn edits(store: &str, items: &[String], names: &[String], count: usize, seed: u64) -> String {
    let mut numbers = Numbers::new(seed + 100);
    let (mut stock, mut invoices, mut invoice_lines): (Vec<String>, Vec<String>, Vec<String>) = Default::default();
    let mut lines = String::new();
    for number in 0..count {
        let pick = |numbers: &mut Numbers, list: &[String]| {
            list[usize::try_from(numbers.below(list.len() as u64)).unwrap()].clone()
        };
        let kind = if stock.is_empty() {
            0
        } else if invoices.is_empty() {
            1
        } else {
            numbers.below(10)
        };
        match kind {
            0 => {
                let (id, item, packs) = (numbers.id(), pick(&mut numbers, items), numbers.below(400));
                writeln!(lines, r#"{{"table":"item_line","op":"upsert","id":"{id}","data":{{"ID":"{id}","store_ID":"{store}","item_ID":"{item}","batch":"B{number}","expiry_date":"2027-0{}-11","pack_size":10,"available":{packs},"quantity":{packs},"cost_price":{}.{:02},"sell_price":1.50,"hold":false,"note":""}}}}"#, numbers.below(9) + 1, numbers.below(50), numbers.below(100)).unwrap();
                stock.push(id);
            }
            1 => {
                let (id, name) = (numbers.id(), pick(&mut numbers, names));
                writeln!(lines, r#"{{"table":"transact","op":"upsert","id":"{id}","data":{{"ID":"{id}","store_ID":"{store}","name_ID":"{name}","invoice_num":{number},"type":"ci","status":"nw","hold":false,"comment":"","entry_date":"2026-01-05","mode":"store"}}}}"#).unwrap();
                invoices.push(id);
            }
            2..=4 => {
                let (id, header, stock_line) =
                    (numbers.id(), pick(&mut numbers, &invoices), pick(&mut numbers, &stock));
                writeln!(lines, r#"{{"table":"trans_line","op":"upsert","id":"{id}","data":{{"ID":"{id}","transaction_ID":"{header}","item_line_ID":"{stock_line}","item_name":"Item","quantity":{},"type":"stock_out","note":null}}}}"#, numbers.below(40)).unwrap();
                invoice_lines.push(id);
            }
            5 if !invoice_lines.is_empty() => {
                let id = invoice_lines.swap_remove(usize::try_from(numbers.below(invoice_lines.len() as u64)).unwrap());
                writeln!(lines, r#"{{"table":"trans_line","op":"delete","id":"{id}"}}"#).unwrap();
            }
            6 => {
                let id = pick(&mut numbers, &invoices);
                writeln!(lines, r#"{{"table":"transact","op":"patch","id":"{id}","data":{{"status":"cn","comment":"checked {number}"}}}}"#).unwrap();
            }
            _ => {
                let (id, packs) = (pick(&mut numbers, &stock), numbers.below(400));
                writeln!(lines, r#"{{"table":"item_line","op":"patch","id":"{id}","data":{{"available":{packs},"quantity":{packs},"note":"counted {number}"}}}}"#).unwrap();
            }
        }
    }
    lines
}
