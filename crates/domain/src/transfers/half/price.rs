//! Pack sizes and prices of lines that are received (section 3.4 of the reference, "Prices").

use protocol::ids::RecordId;
use protocol::row::Value;

use crate::transfers::fields::{Fields, number};
use crate::transfers::records::{ITEMS, Look, NAMES, Read, Records};

/// How much of a line, in which packs, and for how much.
pub(super) struct Packs {
    pub(super) pack_size: Value,
    pub(super) quantity: Value,
    pub(super) volume_per_pack: Option<Value>,
    pub(super) cost: Value,
    pub(super) sell: Value,
}

/// Between whom a line is priced.
pub(super) struct Parties<'a> {
    pub(super) sender: &'a RecordId,
    pub(super) receiver: &'a RecordId,
}

impl Packs {
    /// Of a line as it was sent: `cost` is the column with what it costs the receiver, who sells it for that.
    pub(super) fn as_sent(line: &Fields<'_>, cost: &str) -> Self {
        let value = |column| line.value(column).cloned().unwrap_or_else(|| number(0.0));
        Self {
            pack_size: value("pack_size"),
            quantity: value("quantity"),
            volume_per_pack: line.value("volume_per_pack").cloned(),
            cost: value(cost),
            sell: value(cost),
        }
    }

    /// The same goods in packs of one, for a store that keeps them so.
    pub(super) fn in_packs_of_one(self, line: &Fields<'_>) -> Self {
        let size = line.number("pack_size");
        // Of a line without a pack size nobody knows how many there are.
        if size <= 0.0 {
            return self;
        }
        let divided = |value: &Value| number(number_in(value) / size);
        Self {
            pack_size: number(1.0),
            quantity: number(number_in(&self.quantity) * size),
            volume_per_pack: self.volume_per_pack.as_ref().map(divided),
            cost: divided(&self.cost),
            sell: divided(&self.sell),
        }
    }
}

fn number_in(value: &Value) -> f64 {
    match value {
        Value::Number(text) | Value::Text(text) => {
            text.parse().ok().filter(|number: &f64| number.is_finite()).unwrap_or(0.0)
        }
        Value::Null | Value::Bool(_) | Value::Json(_) => 0.0,
    }
}

/// What the receiver sells a pack of a line for: its default price of the item, else what it costs with the margin of the item or of the
/// supplier, else what it costs.
pub(super) fn selling_price<V: Records>(
    look: &mut Look<'_, V>,
    parties: &Parties<'_>,
    line: &Fields<'_>,
    cost: Value,
) -> Read<Value, V> {
    let Some(item) = line.id("item_ID") else { return Ok(cost) };
    let of_store = look.item_in_store(&item, parties.receiver)?;
    let default = of_store.as_ref().map_or(0.0, |join| join.number("default_price"));
    if default > 0.0 {
        let item = look.resolved(ITEMS, &item)?;
        let default_size = look.known(ITEMS, &item)?.map_or(0.0, |item| item.number("default_pack_size"));
        let price = default / default_size * line.number("pack_size");
        if default_size > 0.0 && price > 0.0 {
            return Ok(number(price));
        }
    }
    if number_in(&cost) <= 0.0 {
        return Ok(cost);
    }
    let of_item = of_store.map_or(0.0, |join| join.number("margin"));
    let margin = if of_item > 0.0 { of_item } else { supplier_margin(look, parties.sender)? };
    Ok(if margin > 0.0 { number(number_in(&cost) * (100.0 + margin) / 100.0) } else { cost })
}

fn supplier_margin<V: Records>(look: &mut Look<'_, V>, supplier: &RecordId) -> Read<f64, V> {
    let Some(name) = look.name_of_store(supplier)? else { return Ok(0.0) };
    Ok(look.known(NAMES, &name)?.map_or(0.0, |name| name.number("margin")))
}
