//! Transfers between stores: people send, work on what came, and central looks again at what waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::merge::Merged;
use protocol::ids::SiteId;

use crate::mix::Fault;
use crate::model::{Key, Violation, violation};
use crate::moves::{MOVED, moved_store};
use crate::visibility::{name_of, text_in};
use crate::work::{Desk, Planned, Received, SENT_PREFIX};
use crate::world::World;

/// How often people look at what came, in a thousand bursts.
const LOOK_PERMILLE: u64 = 600;
/// Records that they look at.
const LOOKED_AT_MAX: u32 = 1_000;
/// Transfers that central looks at again at once.
const TRIED_MAX: u64 = 5;
/// Headers of both halves, with the tables of their lines and the column there that names the header.
pub(crate) const HEADERS: [(&str, &str, &str); 4] = [
    ("transact", "trans_line", "transaction_ID"),
    ("requisition", "requisition_line", "requisition_ID"),
    ("purchase_order", "purchase_order_line", "purchase_order_ID"),
    ("Goods_received", "Goods_received_line", "goods_received_ID"),
];
/// The table of log entries, and its column that names a half.
const LOG: (&str, &str) = ("om_activity_log", "record_ID");

/// Whether an id is one that follows from a transfer. Those that people at sites make in this form begin with the site's number.
pub(crate) fn is_derived_id(id: &str) -> bool {
    let is_capital = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    id.len() == 32 && id.bytes().all(is_capital) && !id.starts_with("00000")
}

/// Whether a record is a responding half that central, or a site for itself, has made.
pub(crate) fn is_half(key: &Key) -> bool {
    is_derived_id(&key.1) && HEADERS.iter().any(|(header, ..)| key.0 == *header)
}

/// Whether several sites may write a record because it is part of a transfer, or what is said of one.
pub(crate) fn is_of_transfer(key: &Key) -> bool {
    let (table, id) = (key.0.as_str(), key.1.as_str());
    let is_half = HEADERS.iter().any(|(header, line, _)| table == *header || table == *line);
    is_half && (id.starts_with(SENT_PREFIX) || is_derived_id(id))
        || [LOG.0, "message"].contains(&table) && is_derived_id(id)
}

/// Whether a record is a document that people at a site sent from a store which stays there, or a line of one.
pub(crate) fn is_sent_by(site: SiteId, id: &str) -> bool {
    id.strip_prefix(SENT_PREFIX).and_then(|rest| rest.split('-').next()).is_some_and(|of| of == site.0.to_string())
}

/// Whether a record counts as an initiating half, by the table of kinds.
pub(crate) fn counts(table: &str, data: &str) -> bool {
    let is = |column: &str, values: &[&str]| {
        text_in(data, column).is_some_and(|value| values.contains(&value.to_ascii_lowercase().as_str()))
    };
    let is_withdrawn = data.contains("\"is_cancellation\":true") || is("om_status", &["cancelled"]);
    match table {
        "transact" => is("type", &["ci", "sc"]) && is("status", &["fn"]) && !is_withdrawn,
        "requisition" => is("type", &["request"]) && is("status", &["fn"]) && !is_withdrawn,
        "purchase_order" => is("status", &["cn", "fn"]),
        _ => false,
    }
}

/// Whether a site is to have a record because a store of its own has it in a transfer with another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum With {
    /// It is.
    Needed,
    /// It may: once it came it stays, or it comes with the next edit of the transfer.
    Possible,
    /// It is not.
    Nothing,
}

/// What other stores have with some stores.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partners {
    headers: BTreeMap<Key, With>,
    /// Records that log entries are about.
    about: BTreeMap<String, With>,
}

impl Partners {
    /// Of a record as central has it.
    pub(crate) fn has(&self, key: &Key, data: &str) -> With {
        let with = |header: Option<Key>| header.and_then(|key| self.headers.get(&key)).copied();
        if key.0 == LOG.0 {
            let about = text_in(data, LOG.1).and_then(|id| self.about.get(&id).copied());
            return about.unwrap_or(With::Nothing);
        }
        for (header, line, column) in HEADERS {
            if key.0 == header {
                return with(Some(key.clone())).unwrap_or(With::Nothing);
            }
            if key.0 == line {
                return with(text_in(data, column).map(|id| (header.to_owned(), id))).unwrap_or(With::Nothing);
            }
        }
        With::Nothing
    }
}

impl World {
    /// What other stores have with these, by central's list of transfers and what the halves say.
    pub(crate) fn partners(&mut self, stores: &[String]) -> Result<Partners, Violation> {
        let mut partners = Partners::default();
        if !self.mix.has(Fault::Transfers) {
            return Ok(partners);
        }
        let failed = |error: sql::SqlError| violation("3", format!("central's store cannot be read: {error}"));
        let transfers = self.inspector.transfers().or_else(|error| failed(error).map(|()| Vec::new()))?;
        let steady = self.steady_sources();
        for transfer in transfers.iter().filter(|transfer| !transfer.kind.is_empty()) {
            let is_sender = stores.contains(&transfer.sender);
            if is_sender || stores.contains(&transfer.receiver) {
                // With the receiver entries about one that was ever addressed elsewhere stay where they came.
                let is_needed = is_sender || transfer.is_addressed && steady.contains(&transfer.source);
                let with = if is_needed { With::Needed } else { With::Possible };
                for about in std::iter::once(&transfer.source.1).chain(&transfer.half) {
                    let before = partners.about.entry(about.clone()).or_insert(with);
                    *before = if with == With::Needed { with } else { *before };
                }
            }
            if stores.contains(&transfer.receiver) {
                let data = self.model.versions.get(&transfer.source).and_then(|all| all.last()?.data.clone());
                let is_addressed = data.is_some_and(|data| {
                    text_in(&data, "name_ID") == Some(name_of(&transfer.receiver)) && counts(&transfer.source.0, &data)
                });
                let with = if is_addressed { With::Needed } else { With::Possible };
                let before = partners.headers.entry(transfer.source.clone()).or_insert(with);
                if with == With::Needed {
                    *before = with;
                }
            }
            if let (Some(half), true) = (&transfer.half, stores.contains(&transfer.sender)) {
                let key = (half_table(&transfer.kind).to_owned(), half.clone());
                partners.headers.insert(key, With::Needed);
            }
        }
        Ok(partners)
    }

    /// People at a site look at what other stores sent.
    pub(crate) fn work_on_received(&mut self, index: usize) -> Vec<Planned> {
        if !self.mix.has(Fault::Transfers) || !self.random.chance(LOOK_PERMILLE) {
            return Vec::new();
        }
        let Some(received) = self.received(index) else { return Vec::new() };
        let mut planned = Vec::new();
        for _ in 0..self.random.range(1, 3).min(received.len() as u64) {
            let half = self.random.pick::<Received>(&received).clone();
            self.worked_on.insert((half.table.clone(), half.id.clone()));
            planned.extend(self.with_office(index, |_, office, random| Desk::of_received(office, &half, random)));
        }
        planned
    }

    /// The halves that other stores sent to stores of a site. A disk that fails meanwhile shows nothing.
    fn received(&self, index: usize) -> Option<Vec<Received>> {
        let device = self.devices.get(index).filter(|device| device.live.is_some() && !device.is_off())?;
        let catalogue = Arc::clone(device.catalogue());
        let mut stores = self.model.devices.get(index)?.stores.clone();
        stores.extend((0..MOVED).map(moved_store));
        let mut core = device.live().recorder.core();
        let mut list = |table: &str| {
            let table = catalogue.table_by_name(table).ok()?;
            Some(core.local.list(table, None, Merged::Listed, None, LOOKED_AT_MAX).ok()?.items)
        };
        let mut received = Vec::new();
        for (table, line_table, column) in HEADERS.into_iter().filter(|(table, ..)| *table != "purchase_order") {
            let is_own = |store: &Option<String>| store.as_ref().is_some_and(|store| stores.contains(store));
            let mut headers = list(table)?;
            headers.retain(|item| is_derived_id(&item.id) && is_own(&item.store));
            let lines = if headers.is_empty() { Vec::new() } else { list(line_table)? };
            for header in headers {
                let is_of = |data: &str| text_in(data, column).as_ref() == Some(&header.id);
                let lines = lines.iter().filter(|line| is_of(&line.data)).map(|line| line.id.clone()).collect();
                let answers_order = text_in(&header.data, "original_PO_ID").is_some_and(|order| !order.is_empty());
                received.push(Received { table: table.to_owned(), id: header.id, line_table, lines, answers_order });
            }
        }
        Some(received)
    }

    /// Central looks again at transfers that wait, as it does every minute.
    pub(crate) fn try_transfers_again(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Transfers) {
            return Ok(());
        }
        loop {
            let wall_ms = self.wall_ms(self.centre.clock_off_ms);
            let Some(live) = &mut self.centre.live else { return Ok(()) };
            match live.store.batch(wall_ms, |batch| batch.retry_transfers_step(TRIED_MAX)) {
                Ok(Ok(has_more)) => {
                    self.after_commit()?;
                    if !has_more {
                        return Ok(());
                    }
                }
                Ok(Err(error)) | Err(error) => return self.central_failed("transfers", &error.to_string()),
            }
        }
    }

    /// Initiating halves that began to count once and were since never deleted, taken back or addressed to another store, by anybody.
    pub(crate) fn steady_sources(&self) -> BTreeSet<Key> {
        let mut steady: BTreeMap<Key, (BTreeSet<String>, bool, bool)> = BTreeMap::new();
        let devices = self.model.devices.iter().chain(&self.model.gone);
        for entry in devices.flat_map(|device| &device.logs).flat_map(|log| &log.entries) {
            if !entry.key.1.starts_with(SENT_PREFIX) && !is_derived_id(&entry.key.1) {
                continue;
            }
            let (names, has_begun, is_unsteady) = steady.entry(entry.key.clone()).or_default();
            let Some(columns) = entry.change.columns() else {
                *is_unsteady = true;
                continue;
            };
            let text = |column: &str| match columns.get(column) {
                Some(protocol::row::Value::Text(text)) => Some(text.clone()),
                _ => None,
            };
            names.extend(text("name_ID"));
            let is_final =
                text("status").map(|status| status == "fn" || status == "cn" && entry.key.0 == "purchase_order");
            *is_unsteady |= columns.contains_key("is_cancellation") || *has_begun && is_final == Some(false);
            *has_begun |= is_final == Some(true);
        }
        let is_steady =
            |(_, (names, _, is_unsteady)): &(Key, (BTreeSet<String>, bool, bool))| names.len() <= 1 && !is_unsteady;
        steady.into_iter().filter(is_steady).map(|(key, _)| key).collect()
    }
}

/// The table of the responding half.
pub(crate) fn half_table(kind: &str) -> &'static str {
    match kind {
        "requisition" => "requisition",
        "goods" => "Goods_received",
        _ => "transact",
    }
}
