//! The responding half of a transfer: its header and lines, made from the initiating half (sections 3.4 to 3.6 of the reference on
//! mSupply's transfers).
//!
//! Only columns that a mapping names go over. So what Open mSupply keeps of the state of a half (`om_status`, `om_type`, `om_colour`,
//! `om_..._datetime`) never does; of its columns go over those that say what was sent or wanted, by name.

mod goods;
mod invoice;
mod order;
mod price;
mod requisition;

use protocol::ids::{RecordId, TableRef};
use protocol::row::Row;

use super::fields::Fields;
use super::ids::{TransferKey, line_id};
use super::kinds::{Initiating, Kind, is_carried};
use super::records::{Awaited, Look, Moment, Read, Records, Stop};
use crate::catalogue::Catalogue;
use crate::judge::Found;

/// The number of a half that its own site has not numbered.
pub const NO_NUMBER: i64 = -1;
/// Longest piece of the initiating half's reference or comment that is quoted in the other's, in characters: what mSupply's own forms hold.
pub const QUOTED_CHARACTERS_MAX: usize = 1000;

/// A record that is put as it is, unless its id was ever known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its table.
    pub table: TableRef,
    /// Its id.
    pub id: RecordId,
    /// Its columns.
    pub row: Row,
}

/// A responding half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Half {
    /// Of the transfer.
    pub key: TransferKey,
    /// The header's id.
    pub id: RecordId,
    /// The header, then its lines in the order of the source lines' ids, then what else goes with them.
    pub records: Vec<Made>,
}

/// What is to be done about an initiating half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Nothing: this record answers it, or did before it was deleted.
    Exists(RecordId),
    /// To try again once this is here.
    Waits(Awaited),
    /// To put these records, in one commit.
    Make(Half),
}

/// The responding half that is due for an initiating half whose record is here. An existing one is looked for first.
///
/// # Errors
/// The view's own.
pub fn due<V: Records>(
    catalogue: &Catalogue,
    view: &mut V,
    initiating: &Initiating,
    moment: &Moment,
) -> Result<Due, V::Error> {
    match due_of(&mut Look { catalogue, view }, initiating, moment) {
        Ok(due) => Ok(due),
        Err(stop) => stop.awaited().map(Due::Waits),
    }
}

fn due_of<V: Records>(look: &mut Look<'_, V>, initiating: &Initiating, moment: &Moment) -> Read<Due, V> {
    let (key, kind) = (&initiating.key, initiating.key.kind);
    let waits = || Stop::Waits(Awaited::Record { table: kind.source_table(), id: key.source.clone() });
    let source = look.known(kind.source_table(), &key.source)?.ok_or_else(waits)?;
    if let Some(existing) = existing(look, key, &source)? {
        return Ok(Due::Exists(existing));
    }
    let id = key.half_id();
    let row = header(look, initiating, &source, moment)?;
    let mut records = vec![Made { table: look.table(kind.half_table()).reference().clone(), id: id.clone(), row }];
    let (lines, column) = kind.source_lines();
    let mut making = Making::of(look, initiating)?;
    for (line, fields) in look.referring(lines, column, &key.source)? {
        records.extend(making.line(look, &line, &fields)?);
    }
    if kind == Kind::Requisition {
        records.extend(requisition::indicator_values(look, initiating, &source)?);
    }
    Ok(Due::Make(Half { key: key.clone(), id, records }))
}

/// The header of the half.
pub(super) fn header<V: Records>(
    look: &mut Look<'_, V>,
    initiating: &Initiating,
    source: &Fields<'_>,
    moment: &Moment,
) -> Read<Row, V> {
    match initiating.key.kind {
        Kind::Stock | Kind::Return => invoice::header(look, initiating, source, moment),
        Kind::Requisition => requisition::header(look, initiating, source, moment),
        Kind::Order => order::header(look, initiating, source, moment),
        Kind::Goods => Ok(goods::header(look, initiating, source, moment)),
    }
}

/// A half whose lines are made, with what is read once for all of them.
pub(super) struct Making<'a> {
    initiating: &'a Initiating,
    half: RecordId,
    is_packed_to_one: bool,
    order: Option<goods::OrderLines>,
}

impl<'a> Making<'a> {
    pub(super) fn of<V: Records>(look: &mut Look<'_, V>, initiating: &'a Initiating) -> Read<Self, V> {
        let kind = initiating.key.kind;
        let may_be_repacked = matches!(kind, Kind::Stock | Kind::Return | Kind::Goods);
        let is_packed_to_one =
            may_be_repacked && look.prefers(&initiating.key.receiver, "default_item_packsize_to_one")?;
        let order = if kind == Kind::Goods { Some(goods::OrderLines::of(look, initiating)?) } else { None };
        Ok(Self { initiating, half: initiating.key.half_id(), is_packed_to_one, order })
    }

    /// The line that answers one of the source; `None` if that one stays behind.
    pub(super) fn line<V: Records>(
        &mut self,
        look: &mut Look<'_, V>,
        id: &RecordId,
        line: &Fields<'_>,
    ) -> Read<Option<Made>, V> {
        let kind = self.initiating.key.kind;
        if !is_carried(kind, line) {
            return Ok(None);
        }
        let row = match kind {
            Kind::Stock | Kind::Return => {
                invoice::line(look, self.initiating, &self.half, line, self.is_packed_to_one)?
            }
            Kind::Requisition => requisition::line(look, &self.half, line),
            Kind::Order => order::line(look, &self.half, id, line),
            Kind::Goods => goods::line(look, &self.half, line, self.order.as_ref(), self.is_packed_to_one)?,
        };
        let (lines, _) = kind.half_lines();
        let made = Made { table: look.table(lines).reference().clone(), id: line_id(&self.half, id), row };
        Ok(Some(made))
    }
}

/// The record that answers an initiating half already, also one that another program made, or that was deleted since.
pub(super) fn existing<V: Records>(
    look: &mut Look<'_, V>,
    key: &TransferKey,
    source: &Fields<'_>,
) -> Read<Option<RecordId>, V> {
    let (half, table) = (key.half_id(), key.kind.half_table());
    if look.found(table, &half)? != Found::Unknown {
        return Ok(Some(half));
    }
    let link = match key.kind {
        Kind::Stock | Kind::Return => source.id("linked_transaction_id"),
        Kind::Requisition => source.id("linked_requisition_id"),
        Kind::Goods => source.id("goods_received_ID"),
        Kind::Order => None,
    };
    // A central that was set back may not have its own half any more that a site has linked: it makes that anew.
    if let Some(link) = link.filter(|link| *link != half)
        && answers(look, key, &link)?
    {
        return Ok(Some(link));
    }
    let column = match key.kind {
        Kind::Stock | Kind::Return => "linked_transaction_id",
        Kind::Requisition => "linked_requisition_id",
        Kind::Order => "original_PO_ID",
        // Nothing in a goods received note names the invoice that it answers.
        Kind::Goods => return Ok(None),
    };
    let mut answers = look.referring(table, column, &key.source)?.into_iter();
    let is_half = |record: &Fields<'_>| is_half_of(key, record);
    Ok(answers.find(|(_, record)| is_half(record)).map(|(id, _)| id))
}

/// Whether a record to which the source is linked is its other half. One that was copied with its link is not.
fn answers<V: Records>(look: &mut Look<'_, V>, key: &TransferKey, link: &RecordId) -> Read<bool, V> {
    let table = key.kind.half_table();
    Ok(match look.found(table, link)? {
        Found::Unknown => return Err(Stop::Waits(Awaited::Record { table, id: link.clone() })),
        Found::Deleted { store } => store.as_ref() == Some(&key.receiver),
        Found::Here { row, .. } => {
            let record = Fields::new(look.table(table), row);
            let back =
                ["linked_transaction_id", "linked_requisition_id"].into_iter().find_map(|column| record.id(column));
            is_half_of(key, &record) && back.is_none_or(|back| back == key.source)
        }
    })
}

fn is_half_of(key: &TransferKey, record: &Fields<'_>) -> bool {
    let has_type = match key.kind {
        Kind::Stock => record.is("type", "si"),
        Kind::Return => record.is("type", "cc"),
        Kind::Requisition => record.is("type", "response"),
        Kind::Order => record.is("type", "ci"),
        Kind::Goods => true,
    };
    has_type && record.id("store_ID").as_ref() == Some(&key.receiver)
}

/// "What (said)", or only what, where nothing was said.
fn quoting(what: &str, said: &str) -> String {
    if said.is_empty() {
        return what.to_owned();
    }
    let quoted: String = said.chars().take(QUOTED_CHARACTERS_MAX).collect();
    format!("{what} ({quoted})")
}
