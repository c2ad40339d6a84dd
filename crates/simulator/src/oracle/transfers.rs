//! Transfers at rest (invariant 12): one half for each, on both devices, numbered and linked, and nothing is owed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use domain::transfers::ids::{TransferKey, line_id};
use domain::transfers::kinds::Kind;
use outpost::local_copy::{APPLICATION_ID, SCHEMA_VERSION};
use protocol::ids::{RecordId, SiteId};
use sql::{Sql as _, SqliteEngine};

use crate::device::{LOCAL_COPY, Role};
use crate::inspect::{RecordRow, TransferRow};
use crate::mix::Fault;
use crate::model::{Key, Violation, violation};
use crate::moves::is_moved_store;
use crate::transfers::{HEADERS, counts, half_table, is_derived_id};
use crate::visibility::{name_of, text_in};
use crate::world::World;

/// Central's records at rest, and who has what.
struct Rest {
    records: BTreeMap<Key, RecordRow>,
    transfers: Vec<TransferRow>,
    holders: BTreeMap<String, SiteId>,
    /// Stores on their way.
    moving: BTreeSet<String>,
    /// The store of each name.
    stores: BTreeMap<String, String>,
    waiting: BTreeSet<Key>,
}

impl Rest {
    fn data(&self, key: &Key) -> Option<&str> {
        self.records.get(key)?.data.as_deref()
    }

    fn number(&self, key: &Key) -> Option<i64> {
        let column = if key.0 == "transact" { "invoice_num" } else { "serial_number" };
        let (_, rest) = self.data(key)?.split_once(&format!("\"{column}\":"))?;
        rest.chars().take_while(|letter| letter.is_ascii_digit() || *letter == '-').collect::<String>().parse().ok()
    }

    /// Whether a store is on its way, or nobody knows where.
    fn is_unsettled(&self, store: &str) -> bool {
        self.moving.contains(store)
    }
}

impl World {
    /// Everything is drained: each initiating half that counts has its responding half, one and no more, with its number and its link.
    pub(crate) fn check_transfers_at_rest(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Transfers) {
            return Ok(());
        }
        let rest = self.rest()?;
        self.check_no_half_twice(&rest)?;
        self.check_halves_are_there(&rest)?;
        self.check_half_numbers(&rest)?;
        self.check_half_lines(&rest)?;
        for index in self.speakers() {
            self.check_nothing_owed(index)?;
        }
        Ok(())
    }

    /// A half that central has just got has the lines of the other one that came in one group with that, and never before.
    pub(crate) fn check_made_whole(&self, half: &Key) -> Result<(), Violation> {
        // One that stayed on the site of both stores comes as everything that stayed does: headers, then lines.
        // Nor does what is handed back to a central that was set back come in the groups in which it was recorded.
        if self.counts.forks > 0 && self.mix.has(Fault::CentralSetBack) {
            return Ok(());
        }
        let is_from_its_site = self.model.devices.iter().any(|device| device.by_key.contains_key(half));
        if is_from_its_site && self.mix.has(Fault::Withholding) {
            return Ok(());
        }
        let newest = |key: &Key| self.model.versions.get(key).and_then(|all| all.last()?.data.as_deref());
        let data = newest(half).unwrap_or_default();
        let link = ["linked_transaction_id", "linked_requisition_id", "original_PO_ID"];
        let Some(source) = link.into_iter().find_map(|column| text_in(data, column).filter(|id| !id.is_empty())) else {
            return Ok(());
        };
        let Ok(half_id) = RecordId::new(&half.1) else { return Ok(()) };
        let of_half = HEADERS.iter().find(|(header, ..)| *header == half.0).map(|(_, line, _)| *line);
        for (header, line, column) in HEADERS {
            let key = (header.to_owned(), source.clone());
            let once =
                |key: &Key| {
                    let mut found =
                        self.model.devices.iter().enumerate().filter_map(|(index, device)| {
                            device.by_key.get(key).map(|entries| (index, entries.clone()))
                        });
                    let only = found.next().filter(|(_, entries)| entries.len() == 1)?;
                    if found.next().is_some() { None } else { Some((only.0, only.1.first().copied()?)) }
                };
            let Some((device, (log, from))) = once(&key) else { continue };
            let entries = self.model.devices.get(device).and_then(|device| device.logs.get(log));
            let Some(entries) = entries.map(|log| &log.entries) else { continue };
            // The rest of the group behind the header.
            let first = usize::try_from(from.saturating_sub(1)).unwrap_or(0);
            let ends = entries.iter().skip(first).position(|entry| entry.ends_group).map_or(0, |count| first + count);
            for entry in entries.iter().take(ends + 1).skip(first + 1).filter(|entry| entry.key.0 == line) {
                let is_of_header =
                    newest(&entry.key).is_some_and(|data| text_in(data, column).as_ref() == Some(&source));
                let Ok(id) = RecordId::new(&entry.key.1) else { continue };
                let answer = (of_half.unwrap_or(line).to_owned(), line_id(&half_id, &id).to_string());
                if is_of_header && once(&entry.key).is_some() && newest(&answer).is_none() {
                    let what = format!("{half:?} of {key:?} was made without {:?}, which came with that", entry.key);
                    return violation("12", what);
                }
            }
        }
        Ok(())
    }

    fn rest(&mut self) -> Result<Rest, Violation> {
        let failed = |error: sql::SqlError| Violation {
            invariant: "3",
            text: format!("central's store cannot be read: {error}"),
        };
        let records = self.inspector.records(0).map_err(failed)?;
        let mut stores = BTreeMap::new();
        for record in records.iter().filter(|record| record.table == "store") {
            let name = record.data.as_ref().and_then(|data| text_in(data, "name_ID"));
            stores.extend(name.map(|name| (name, record.id.clone())));
        }
        let of_key = |record: RecordRow| ((record.table.clone(), record.id.clone()), record);
        Ok(Rest {
            records: records.into_iter().map(of_key).collect(),
            transfers: self.inspector.transfers().map_err(failed)?,
            holders: self.inspector.holders().map_err(failed)?,
            moving: self.inspector.moves().map_err(failed)?.into_iter().map(|(store, ..)| store).collect(),
            stores,
            waiting: self.inspector.waiting().map_err(failed)?.into_iter().collect(),
        })
    }

    /// Of each transfer there was never more than one half, by its id or by what it says that it answers.
    fn check_no_half_twice(&self, rest: &Rest) -> Result<(), Violation> {
        let mut halves: BTreeMap<(&str, String, String), BTreeSet<&str>> = BTreeMap::new();
        for (key, versions) in &self.model.versions {
            for data in versions.iter().filter_map(|version| version.data.as_deref()) {
                let answered = match (key.0.as_str(), text_in(data, "type").as_deref()) {
                    ("transact", Some("si")) => text_in(data, "linked_transaction_id").map(|source| ("stock", source)),
                    ("transact", Some("cc")) => text_in(data, "linked_transaction_id").map(|source| ("return", source)),
                    ("transact", Some("ci")) => text_in(data, "original_PO_ID").map(|source| ("order", source)),
                    ("requisition", Some("response")) => {
                        text_in(data, "linked_requisition_id").map(|source| ("requisition", source))
                    }
                    _ => None,
                };
                let store = text_in(data, "store_ID");
                let (Some((kind, source)), Some(store)) = (answered.filter(|(_, id)| !id.is_empty()), store) else {
                    continue;
                };
                halves.entry((kind, source, store)).or_default().insert(&key.1);
            }
        }
        if let Some((transfer, ids)) = halves.iter().find(|(_, ids)| ids.len() > 1) {
            return violation("12", format!("{transfer:?} has several halves: {ids:?}"));
        }
        // What was made from nothing known is nobody's half.
        let known: BTreeSet<String> =
            rest.transfers.iter().filter_map(|transfer| Some(key_of(transfer)?.half_id().to_string())).collect();
        for (transfer, ids) in halves {
            // One that stays on its site may be answered there; and of a store that a set-back took from central it can tell nothing.
            let is_forgotten = rest.data(&("store".to_owned(), transfer.2.clone())).is_none();
            let is_alone = !self.model.versions.keys().any(|key| key.1 == transfer.1);
            let is_kept = self.mix.has(Fault::Withholding) || is_forgotten || is_alone;
            // A refused half that people have a site make again, without what it answers, which was refused with it.
            let is_asked_for = |id: &str| self.asked_for.iter().any(|key| key.1 == id);
            let is_unknown = |id: &&&str| !is_kept && is_derived_id(id) && !known.contains(**id) && !is_asked_for(id);
            if let Some(id) = ids.iter().find(is_unknown) {
                return violation(
                    "12",
                    format!(
                        "{id} is a half of {transfer:?}, which central does not know; {} {}",
                        self.story(id),
                        self.story(&transfer.1)
                    ),
                );
            }
        }
        Ok(())
    }

    /// What became of a record, for people.
    pub(crate) fn story(&self, id: &str) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for (index, device) in self.model.devices.iter().enumerate() {
            for key in device.by_key.keys().filter(|key| key.1 == id) {
                let _ = write!(text, "device {index} {key:?} {} ", device.history(key));
            }
        }
        for (key, versions) in self.model.versions.iter().filter(|(key, _)| key.1 == id) {
            let _ = write!(text, "central {key:?} {versions:?} ");
        }
        text
    }

    /// Each initiating half has its other half, but where that was deleted, or something is missing for it.
    fn check_halves_are_there(&self, rest: &Rest) -> Result<(), Violation> {
        let steady = self.steady_sources();
        for (key, record) in &rest.records {
            let (Some(data), Some(sender)) = (&record.data, &record.store) else { continue };
            if !counts(&key.0, data) || rest.waiting.contains(key) {
                continue;
            }
            let addressee = text_in(data, "name_ID").and_then(|name| rest.stores.get(&name)).filter(|to| *to != sender);
            let Some(receiver) = addressee else { continue };
            let found = rest.transfers.iter().find(|transfer| {
                transfer.source == *key && (transfer.receiver == *receiver || transfer.kind.is_empty())
            });
            let Some(transfer) = found else {
                if self.may_stay_on_site(rest, [sender, receiver]) {
                    continue;
                }
                return violation("12", format!("{key:?} counts, goes to {receiver}, and starts no transfer: {data}"));
            };
            let Some(half) = &transfer.half else {
                let is_missing = match &transfer.waits {
                    Some((table, _)) if table == "store of name" => true,
                    Some((table, id)) => rest.data(&(table.clone(), id.clone())).is_none() || transfer.reason.is_some(),
                    None => false,
                };
                if is_missing {
                    continue;
                }
                return violation("12", format!("{key:?} counts and has no half, for nothing: {transfer:?}"));
            };
            let half = (half_table(&transfer.kind).to_owned(), half.clone());
            if rest.data(&half).is_none() {
                if steady.contains(key) && steady.contains(&half) && self.counts.forks == 0 {
                    return violation("12", format!("{half:?} of {key:?} is gone, and nobody deleted it"));
                }
                continue;
            }
            self.check_link(rest, (key, data), &half, transfer)?;
        }
        Ok(())
    }

    /// Whether what one store sends to another may stay on the site of both: central then knows of no transfer.
    fn may_stay_on_site(&self, rest: &Rest, stores: [&String; 2]) -> bool {
        let [sender, receiver] = stores.map(|store| rest.holders.get(store));
        let is_moved = stores.into_iter().any(|store| is_moved_store(store));
        self.mix.has(Fault::Withholding) && (is_moved || sender.is_some() && sender == receiver)
    }

    /// The initiating half names the other one, once its site has a device that may say so.
    fn check_link(
        &self,
        rest: &Rest,
        (key, data): (&Key, &str),
        half: &Key,
        transfer: &TransferRow,
    ) -> Result<(), Violation> {
        let column = match transfer.kind.as_str() {
            "stock" | "return" => "linked_transaction_id",
            "requisition" => "linked_requisition_id",
            "goods" => "goods_received_ID",
            _ => return Ok(()),
        };
        // Who puts the record anew without its link has taken that away.
        let versions = self.model.versions.get(key).into_iter().flatten();
        let mut all = versions.filter_map(|version| version.data.as_deref()).chain([data]);
        let is_linked = all.any(|data| text_in(data, column).as_ref() == Some(&half.1));
        if is_linked || self.has_written(key, column, &half.1) || self.cannot_answer(rest, &transfer.sender) {
            return Ok(());
        }
        let stories = [self.story(&key.1), self.story(&half.1)];
        violation("12", format!("{key:?} does not name its half {half:?}: {data}; {stories:?}"))
    }

    /// Whether a site wrote an id into a column of a record, and central took that. Of what came with one commit its versions show the
    /// last.
    fn has_written(&self, key: &Key, column: &str, id: &str) -> bool {
        let devices = self.model.devices.iter().chain(&self.model.gone);
        let mut taken = devices.flat_map(|device| &device.logs).flat_map(|log| {
            let committed = usize::try_from(log.committed).unwrap_or(usize::MAX);
            let numbered = (1_u64..).zip(log.entries.iter().take(committed));
            numbered.filter(move |(sequence, _)| !log.refused.contains(sequence)).map(|(_, entry)| entry)
        });
        taken.any(|entry| {
            let columns = entry.change.columns().filter(|_| entry.key == *key);
            let value = columns.and_then(|columns| columns.get(column));
            matches!(value, Some(protocol::row::Value::Text(text)) if text == id)
        })
    }

    /// Whether nobody answers for a store: it is on its way, or its site has no device that may.
    fn cannot_answer(&self, rest: &Rest, store: &str) -> bool {
        let site = rest.holders.get(store).copied().unwrap_or(SiteId::CENTRAL);
        let has_device = |index: usize| self.devices[index].site == site && self.devices[index].role == Role::Active;
        rest.is_unsettled(store)
            || self.mix.has(Fault::Withholding)
            || site != SiteId::CENTRAL && !self.speakers().into_iter().any(has_device)
    }

    /// Halves have numbers, and no two of a store and sequence the same.
    fn check_half_numbers(&self, rest: &Rest) -> Result<(), Violation> {
        let mut numbers: BTreeMap<(String, &str, i64), Key> = BTreeMap::new();
        for transfer in &rest.transfers {
            let Some(half) = &transfer.half else { continue };
            let key = (half_table(&transfer.kind).to_owned(), half.clone());
            if rest.data(&key).is_none() {
                continue;
            }
            let number = rest.number(&key);
            let Some(number) = number.filter(|number| *number > 0) else {
                if self.cannot_answer(rest, &transfer.receiver) || self.is_owed_with_code(&key)? {
                    continue;
                }
                return violation("12", format!("{key:?} has no number at rest: {:?}", rest.data(&key)));
            };
            let sequence = match transfer.kind.as_str() {
                "stock" => "supplier_invoice_number",
                "return" => "customer_return_number",
                "order" => "customer_invoice_number",
                "requisition" => "requisition_serial_number",
                _ => "goods_received_number",
            };
            let of = u64::try_from(number).unwrap_or(0);
            let is_twice = self.numbers.has_given(&transfer.receiver, sequence, of);
            let before = numbers.insert((transfer.receiver.clone(), sequence, number), key.clone());
            if self.counts.forks == 0 && (is_twice || before.is_some()) {
                let what = format!("{key:?} has the number {number} of {sequence}, as {before:?}, or somebody else");
                return violation("numbers", what);
            }
        }
        Ok(())
    }

    /// A half on which nobody works has a line for each of the initiating half, and no other.
    fn check_half_lines(&self, rest: &Rest) -> Result<(), Violation> {
        for transfer in &rest.transfers {
            let (Some(key), Some(half)) = (key_of(transfer), &transfer.half) else { continue };
            let half_key = (half_table(&transfer.kind).to_owned(), half.clone());
            let source = rest.data(&transfer.source);
            let (Some(source), Some(_)) = (source, rest.data(&half_key)) else {
                // Of a source that is gone an untouched half goes too.
                self.check_withdrawn(rest, transfer, &half_key, source)?;
                continue;
            };
            let is_addressed = text_in(source, "name_ID").is_some_and(|name| name == name_of(&transfer.receiver));
            if !is_addressed || !counts(&transfer.source.0, source) {
                self.check_withdrawn(rest, transfer, &half_key, Some(source))?;
                continue;
            }
            if self.is_worked_on(rest, transfer, &half_key) || transfer.kind == "goods" {
                continue;
            }
            let lines = |key: &Key| lines_of(rest, key);
            let placeholders = |id: &&str, data: &str| !data.contains("\"type\":\"placeholder\"") || id.is_empty();
            let expected: BTreeSet<String> = lines(&transfer.source)
                .into_iter()
                .filter(|(id, data)| transfer.kind == "order" || placeholders(id, data))
                .filter_map(|(id, _)| Some(line_id(&key.half_id(), &RecordId::new(id).ok()?).to_string()))
                .collect();
            let found: BTreeSet<String> = lines(&half_key).into_iter().map(|(id, _)| id.to_owned()).collect();
            if expected != found {
                let lines: Vec<String> = lines(&transfer.source).into_iter().map(|(id, _)| self.story(id)).collect();
                let what = format!(
                    "{half_key:?} of {:?} has the lines {found:?}, it has to have {expected:?}; {} {} {lines:?}",
                    transfer.source,
                    self.story(&half_key.1),
                    self.story(&transfer.source.1)
                );
                return violation("12", what);
            }
        }
        Ok(())
    }

    /// A half on which nobody works went with what it answered.
    fn check_withdrawn(
        &self,
        rest: &Rest,
        transfer: &TransferRow,
        half: &Key,
        source: Option<&str>,
    ) -> Result<(), Violation> {
        if rest.data(half).is_none() || self.is_worked_on(rest, transfer, half) {
            return Ok(());
        }
        let what =
            format!("{half:?} stays although {:?} counts no more: {source:?}, {:?}", transfer.source, rest.data(half));
        violation("12", what)
    }

    /// Whether people worked on a half, or something else may have kept it as it is.
    fn is_worked_on(&self, rest: &Rest, transfer: &TransferRow, half: &Key) -> bool {
        self.worked_on.contains(half)
            || self.counts.forks > 0
            || self.cannot_answer(rest, &transfer.receiver)
            || rest.waiting.iter().any(|key| HEADERS.iter().any(|(header, line, _)| key.0 == *header || key.0 == *line))
            || self.mix.has(Fault::TakeOver)
    }

    /// Nothing is owed but what has a reason, also behind the comparison of before, which has found nothing to bring.
    fn check_nothing_owed(&self, index: usize) -> Result<(), Violation> {
        for (kind, key, code) in self.owed(index)? {
            if code.is_none() && kind != "proposal" {
                return violation("10", format!("device {index} owes the {kind} of {key:?} at rest, for no reason"));
            }
        }
        Ok(())
    }

    fn is_owed_with_code(&self, key: &Key) -> Result<bool, Violation> {
        for index in self.speakers() {
            if self.owed(index)?.into_iter().any(|(_, owed, code)| owed == *key && code.is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a device owes, past its own reading of it: kind, record and the reason why not yet.
    fn owed(&self, index: usize) -> Result<Vec<(String, Key, Option<String>)>, Violation> {
        let failed = |error: sql::SqlError| Violation { invariant: "10", text: format!("device {index}: {error}") };
        let options = sql::Options::new(APPLICATION_ID, SCHEMA_VERSION).read_only();
        let name = self.devices[index].disk.vfs_name();
        let mut engine = SqliteEngine::open_on(&name, LOCAL_COPY, &options).map_err(failed)?;
        let mut owed = Vec::new();
        engine
            .query("SELECT kind, table_name, id, code FROM owed ORDER BY number", &[], &mut |row| {
                let key = (row.text(1)?.to_owned(), row.text(2)?.to_owned());
                owed.push((row.text(0)?.to_owned(), key, row.optional_text(3)?.map(str::to_owned)));
                Ok(ControlFlow::Continue(()))
            })
            .map_err(failed)?;
        Ok(owed)
    }
}

/// The lines of a header that are here: id and data.
fn lines_of<'r>(rest: &'r Rest, header: &Key) -> Vec<(&'r str, &'r str)> {
    let Some((_, line, column)) = HEADERS.iter().find(|(table, ..)| *table == header.0) else { return Vec::new() };
    let lines = rest.records.iter().filter(|(key, _)| key.0 == *line);
    let lines = lines.filter_map(|(key, record)| Some((key.1.as_str(), record.data.as_deref()?)));
    lines.filter(|(_, data)| text_in(data, column).as_ref() == Some(&header.1)).collect()
}

fn key_of(transfer: &TransferRow) -> Option<TransferKey> {
    let kind = Kind::of(&transfer.kind)?;
    let source = RecordId::new(&transfer.source.1).ok()?;
    Some(TransferKey { kind, source, receiver: RecordId::new(&transfer.receiver).ok()? })
}
