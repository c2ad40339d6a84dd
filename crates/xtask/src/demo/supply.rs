//! `cargo xtask demo --story supply`: a clinic orders, the district store supplies, the clinic receives (`docs/transfers.md`, kinds `order`
//! and `goods`). Ends with 0 only if every count is right.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::play::{Central, Data, Site, items, line, patch};
use super::{same, say, tell};
use crate::link::{Link, Mood};
use crate::power_cut_rig::Programs;

/// Packs of ten that the clinic orders of each of three items.
const PACKS: [u64; 3] = [2, 5, 8];
/// Units in a pack.
const PACK: u64 = 10;
const ORDER: &str = "0DE00000000000000000000000000001";

/// Plays the story in a folder.
pub(super) fn play(programs: &Programs, root: &Path) -> Result<()> {
    say("1. A central server, a clinic, and the district store that supplies it. Each runs as a program of its own.");
    let data = items(20);
    let mut central = Central::make(programs, &root.join("central"), &data)?;
    let [clinics, _, districts] = &data.stores[..] else { anyhow::bail!("the demo has three stores") };
    central.add_site("clinic", clinics)?;
    central.add_site("district", districts)?;
    central.run(&["visibility", "add", &data.names[2], "--store", clinics], "")?;
    central.start()?;
    let link = Link::to(central.address()?, Mood::Good);
    let clinic = Site::make(programs, &root.join("clinic"), "clinic", &link.url(), &central)?;
    let district = Site::make(programs, &root.join("district"), "district", &central.url()?, &central)?;
    for site in [&clinic, &district] {
        same(&format!("stores that {} knows: its own, and the other", site.name), 2, site.count("store")?)?;
    }

    say("2. The clinic orders three items from the district store, without a connection, and confirms the order.");
    link.set(Mood::Down);
    let number = clinic.run(&["next-number", clinics, "purchase_order_number"], "")?;
    tell(&format!("the order has the number {}", number.trim()));
    same("edits on the clinic's disk", 5, clinic.record(&order(&data, number.trim().parse()?))?)?;

    say(
        "3. The connection is there. One sync sends the order, and brings what central made of it: the district store's invoice.",
    );
    link.set(Mood::Good);
    clinic.settle()?;
    let (invoice, made) = one(clinic.records("transact")?, "original_PO_ID", ORDER)?;
    tell(&format!(
        "the clinic sees the invoice of the district store, number {}: it has none yet",
        made["invoice_num"]
    ));
    ensure!(made["invoice_num"] == -1, "only the district store gives its numbers");

    say(
        "4. The district store syncs: it has the order and the invoice, gives the invoice its number and says so to the clinic.",
    );
    district.settle()?;
    same("order at the district store", 1, district.count("purchase_order")?)?;
    same("lines of the invoice", 3, of(district.records("trans_line")?, "transaction_ID", &invoice))?;
    let made = district.get("transact", &invoice)?["data"].clone();
    same("is the number of the invoice", 1, made["invoice_num"].as_u64().unwrap_or(0))?;
    same("log entry about the order", 1, of(district.records("om_activity_log")?, "record_ID", ORDER))?;

    say("5. It supplies what was ordered, and finalises the invoice. Central makes the clinic's goods received of it.");
    district.record(&supplied(&data, &invoice))?;
    district.settle()?;
    let goods = one(central.records("Goods_received")?, "purchase_order_ID", ORDER)?.0;

    say("6. The clinic syncs: the goods received are there, with a number, and the order says what came.");
    clinic.settle()?;
    let received = clinic.get("Goods_received", &goods)?["data"].clone();
    same("is the number of the goods received", 1, received["serial_number"].as_u64().unwrap_or(0))?;
    let lines = clinic.records("Goods_received_line")?;
    same("lines of them", 3, of(lines.clone(), "goods_received_ID", &goods))?;
    for (position, packs) in PACKS.into_iter().enumerate() {
        units_received(&clinic, position, packs * PACK)?;
    }

    say("7. Somebody counts: of the last item a pack is broken. The order follows at once, also without a connection.");
    link.set(Mood::Down);
    let (last, _) = one(lines, "quantity_received", PACKS[2])?;
    clinic.record(
        &(patch("Goods_received_line", &last, &json!({"quantity_received": PACKS[2] - 1}))
            + &patch("Goods_received", &goods, &json!({"status": "fn"}))),
    )?;
    units_received(&clinic, 2, (PACKS[2] - 1) * PACK)?;

    say("8. Both sync once more. All three have the same records, and nothing waits for anybody.");
    link.set(Mood::Good);
    clinic.settle()?;
    district.settle()?;
    clinic.settle()?;
    for table in
        ["purchase_order", "purchase_order_line", "transact", "trans_line", "Goods_received", "om_activity_log"]
    {
        let there = central.records(table)?;
        for site in [&clinic, &district] {
            ensure!(site.records(table)? == there, "{} and central differ in {table}", site.name);
        }
        same(&format!("{table} records at each of the three"), expected(table), there.len() as u64)?;
    }
    ensure!(
        clinic.get("transact", &invoice)?["data"]["goods_received_ID"] == goods.as_str(),
        "the invoice names no goods received"
    );
    let listed: Value = serde_json::from_str(&central.run(&["transfers", "--json"], "")?)?;
    let stages = listed["transfers"].as_array().context("a list of transfers")?;
    same("transfers at central", 2, stages.len() as u64)?;
    same("of them done", 2, stages.iter().filter(|transfer| transfer["stage"] == "done").count() as u64)?;
    print!("\n{}", central.run(&["transfers"], "")?);

    say("Every count is right.");
    Ok(())
}

/// How many records of a table there are in the end: log entries are about the order and about the invoice.
fn expected(table: &str) -> u64 {
    match table {
        "purchase_order_line" => 3,
        "trans_line" => 6,
        "om_activity_log" => 2,
        _ => 1,
    }
}

fn order_line(position: usize) -> String {
    format!("0DE0000000000000000000000000001{position}")
}

fn order(data: &Data, number: u64) -> String {
    let header = json!({"ID": ORDER, "store_ID": data.stores[0], "name_ID": data.names[2], "serial_number": number, "status": "nw"});
    let mut lines = line("purchase_order", ORDER, &header);
    for (position, packs) in PACKS.into_iter().enumerate() {
        let id = order_line(position);
        let units = packs * PACK;
        lines += &line(
            "purchase_order_line",
            &id,
            &json!({"ID": id, "store_ID": data.stores[0], "purchase_order_ID": ORDER, "item_ID": data.items[position], "line_number": position + 1, "packsize_ordered": PACK, "quan_original_order": units, "quan_adjusted_order": units}),
        );
    }
    lines + &patch("purchase_order", ORDER, &json!({"status": "cn"}))
}

/// What the district store sends: everything, and the invoice is finalised.
fn supplied(data: &Data, invoice: &str) -> String {
    let mut lines = String::new();
    for (position, packs) in PACKS.into_iter().enumerate() {
        let id = format!("5E00000000000000000000000000001{position}");
        lines += &line(
            "trans_line",
            &id,
            &json!({"ID": id, "transaction_ID": invoice, "item_ID": data.items[position], "type": "stock_out", "quantity": packs, "pack_size": PACK, "batch": format!("B{position}")}),
        );
    }
    lines + &patch("transact", invoice, &json!({"status": "fn"}))
}

fn units_received(clinic: &Site, position: usize, units: u64) -> Result<()> {
    let line = clinic.get("purchase_order_line", &order_line(position))?;
    let said = line["data"]["quan_rec_to_date"].as_u64().unwrap_or(u64::MAX);
    same(&format!("units received of item {}, as the order says", position + 1), units, said)
}

/// The only record that holds something in a column.
fn one(records: BTreeMap<String, Value>, column: &str, held: impl Into<Value>) -> Result<(String, Value)> {
    let held = held.into();
    let mut found = records.into_iter().filter(|(_, data)| data[column] == held);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (first, _) => anyhow::bail!("{} records have {column} {held}", if first.is_some() { "several" } else { "no" }),
    }
}

/// How many records hold an id in a column.
fn of(records: BTreeMap<String, Value>, column: &str, id: &str) -> u64 {
    records.into_values().filter(|data| data[column] == id).count() as u64
}
