//! After the last kill: everything drains, everybody agrees, and the log of entries is judged.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use outpost::journal::{Journal, SledStorage};
use protocol::chain;
use protocol::ids::{JournalId, SiteId};
use serde_json::Value;
use sql::{Options, Sql as _, SqlExt as _, SqliteEngine, Value as Column};

use super::centre::Centre;
use super::device::Device;
use super::history::{self, Answer, Logged, Verdict};
use super::{Figures, Outcome, finish};

/// Longest time until everything has gone to and fro when nobody disturbs any longer.
const DRAINED_WITHIN: Duration = Duration::from_secs(60);
/// Findings of one kind are many at once; more than these help nobody.
const DIFFERENCES_SHOWN_MAX: usize = 5;

type Records = BTreeMap<String, Value>;

pub(super) fn judge(centre: &mut Centre, devices: &mut [Device], figures: &mut Figures) -> Outcome<()> {
    centre.start()?;
    figures.findings.append(&mut centre.findings);
    let mut shown = Vec::new();
    for device in devices.iter() {
        drain(device, &mut figures.findings)?;
    }
    // Again, for what came to central from the others after a site's turn.
    for device in devices.iter() {
        if figures.findings.is_empty() {
            drain(device, &mut figures.findings)?;
        }
        let lines = records(|arguments| finish(device.command(arguments)), "list", "item_line")?;
        let items = records(|arguments| finish(device.command(arguments)), "list", "item")?;
        let refused = refused_here(device)?;
        shown.push((lines, items, refused));
    }
    let at_central = |table| records(|arguments| finish(centre.command(arguments)), "records", table);
    let (lines, items) = (at_central("item_line")?, at_central("item")?);
    check_items(centre, &items, &mut figures.findings);
    centre.kill()?;
    let mut store = open_store(&centre.data.join("central.sqlite"))?;
    for (device, (lines_here, items_here, refused_here)) in devices.iter().zip(shown) {
        let site = device.name.as_str();
        let verdict = judge_site(device, &mut store, figures)?;
        let mine = |data: &Value| data["store_ID"] == device.store.as_str();
        let lines: Records =
            lines.iter().filter(|(_, data)| mine(data)).map(|(id, data)| (id.clone(), data.clone())).collect();
        differences(&format!("{site} and central, stock"), &lines_here, &lines, &mut figures.findings);
        differences(&format!("{site} and central, items"), &items_here, &items, &mut figures.findings);
        check_records(site, &lines, &verdict, &mut figures.findings);
        if refused_here != verdict.refused {
            let (here, there) = (refused_here.len(), verdict.refused.len());
            figures
                .findings
                .push(format!("{site}: {here} edits are set aside there and {there} at central, or others"));
        }
        figures.refused += verdict.refused.len() as u64;
        figures.unheard += verdict.unheard;
        figures.findings.extend(verdict.findings);
        for sent in &device.sent {
            let edits = sent.edits.len() as u64;
            match sent.answer {
                Answer::Lost => figures.gone_unheard += edits,
                Answer::Recorded(_) | Answer::Already => figures.acknowledged += edits,
            }
        }
        figures.gone_unheard -= verdict.unheard.min(figures.gone_unheard);
    }
    Ok(())
}

/// Syncs until nothing waits (invariant 10).
fn drain(device: &Device, findings: &mut Vec<String>) -> Outcome<()> {
    let deadline = Instant::now() + DRAINED_WITHIN;
    loop {
        let output = device.command(&["sync"]).stdin(Stdio::null()).output()?;
        let status = device.verb(&["status"])?;
        let is_drained = status["pending"]["edits"] == 0 && status["unjudged"] == 0 && status["waiting"] == 0;
        // 3: something was refused, which is what was planted.
        if is_drained && matches!(output.status.code(), Some(0 | 3)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let said = String::from_utf8_lossy(&output.stdout);
            findings.push(format!("{}: does not drain in {DRAINED_WITHIN:?}: {status} {said}", device.name));
            return Ok(());
        }
    }
}

/// All records of a table, by id.
fn records(run: impl Fn(&[&str]) -> Outcome<String>, verb: &str, table: &str) -> Outcome<Records> {
    let mut records = Records::new();
    let mut after = String::new();
    loop {
        let mut arguments = vec![verb, table, "--limit", "1000"];
        if !after.is_empty() {
            arguments.extend(["--after", &after]);
        }
        let text = run(&arguments)?;
        let mut next = None;
        for line in text.lines() {
            let page: Value = serde_json::from_str(line)?;
            for record in page["records"].as_array().ok_or("no list of records")? {
                records.insert(record["id"].as_str().unwrap_or_default().to_owned(), record["data"].clone());
            }
            next = page["next"].as_str().map(str::to_owned);
        }
        match next {
            Some(next) => after = next,
            None => return Ok(records),
        }
    }
}

/// Sequences of what the device has in set-aside; one that is there twice is there twice.
fn refused_here(device: &Device) -> Outcome<Vec<u64>> {
    let text = finish(device.command(&["set-aside", "list", "--limit", "100000"]))?;
    let mut sequences = Vec::new();
    for line in text.lines() {
        let page: Value = serde_json::from_str(line)?;
        let refused = page["refused"].as_array().ok_or("no list of refused edits")?;
        sequences.extend(refused.iter().filter_map(|about| about["sequence"].as_u64()));
    }
    sequences.sort_unstable();
    Ok(sequences)
}

/// Each item is at what the last import made of it, of those that were acknowledged or may have been done.
fn check_items(centre: &Centre, items: &Records, findings: &mut Vec<String>) {
    for (at, (acknowledged, tried)) in centre.items.iter().enumerate() {
        let name = items.get(&format!("ITEM-{at}")).and_then(|data| data["item_name"].as_str());
        let number = name.and_then(|name| name.split(' ').next()?.parse::<u64>().ok()).unwrap_or(0);
        if number < *acknowledged || number > *tried {
            findings.push(format!(
                "central: item {at} is at import {number}; the last acknowledged is {acknowledged}, the last tried {tried}"
            ));
        }
    }
}

fn differences(what: &str, here: &Records, there: &Records, findings: &mut Vec<String>) {
    let ids: std::collections::BTreeSet<_> = here.keys().chain(there.keys()).collect();
    let different = ids.into_iter().filter(|id| here.get(*id) != there.get(*id));
    for id in different.take(DIFFERENCES_SHOWN_MAX) {
        let short = |data: Option<&Value>| {
            data.map_or("nothing".to_owned(), |data| data.to_string().chars().take(150).collect())
        };
        findings.push(format!("{what}: {id} differs: {} / {}", short(here.get(id)), short(there.get(id))));
    }
}

/// Central's records are what the accepted entries make of them, in their order.
fn check_records(site: &str, lines: &Records, verdict: &Verdict, findings: &mut Vec<String>) {
    let expected: BTreeMap<&String, &String> =
        verdict.records.iter().filter_map(|(id, label)| Some((id, label.as_ref()?))).collect();
    for (id, label) in &expected {
        let note = lines.get(*id).and_then(|data| data["note"].as_str()).unwrap_or_default();
        if !note.starts_with(label.as_str()) {
            let short: String = note.chars().take(30).collect();
            findings.push(format!("{site}: {id} should show {label} at central and shows {short:?}"));
        }
    }
    for id in lines.keys().filter(|id| !expected.contains_key(id)) {
        findings.push(format!("{site}: {id} is at central, and no accepted edit leaves it there"));
    }
}

fn judge_site(device: &Device, store: &mut SqliteEngine, figures: &mut Figures) -> Outcome<Verdict> {
    let (mut journal, _) = Journal::open(SledStorage::new(device.data.join("journal")))?;
    let identity = *journal.identity();
    let mut hashes = BTreeMap::new();
    journal.read(journal.floor(), &mut |stored| {
        hashes.insert(stored.sequence.0, stored.hash.0);
        ControlFlow::Continue(())
    })?;
    figures.hashes += hashes.len() as u64;
    let mut found = None;
    let query = "SELECT journal.number, journal.site, journal.id FROM journal JOIN site ON site.id = journal.site
                 WHERE site.name = ?1";
    store.query(query, &[device.name.as_str().into()], &mut |row| {
        found = Some((row.value(0)?, row.value(1)?, row.value(2)?));
        Ok(ControlFlow::Continue(()))
    })?;
    let Some((Column::Integer(number), Column::Integer(site), Column::Blob(id))) = found else {
        return Err(format!("{}: central knows no journal of it", device.name).into());
    };
    let id = JournalId(id.as_slice().try_into()?);
    if id != identity.journal {
        figures.findings.push(format!("{}: the journal goes on under another id than central knows", device.name));
    }
    let mut log = Vec::new();
    let query = "SELECT sequence, bytes, hash, verdict FROM entry WHERE journal = ?1 ORDER BY sequence";
    store.query(query, &[number.into()], &mut |row| {
        if let (Column::Integer(sequence), Column::Blob(bytes), Column::Blob(hash)) =
            (row.value(0)?, row.value(1)?, row.value(2)?)
        {
            let hash = hash.as_slice().try_into().unwrap_or_default();
            let is_refused = row.value(3)? == Column::Integer(2);
            log.push(Logged { sequence: sequence.cast_unsigned(), bytes, hash, is_refused });
        }
        Ok(ControlFlow::Continue(()))
    })?;
    figures.entries += log.len() as u64;
    let waiting = store.query_integer("SELECT count(*) FROM waiting WHERE site = ?1", &[site.into()])?;
    if waiting != Some(0) {
        figures.findings.push(format!("{}: entries wait at central: {waiting:?}", device.name));
    }
    let genesis = chain::genesis(SiteId(u32::try_from(site)?), id, None);
    Ok(history::judge(&device.name, genesis, &device.sent, &log, &hashes))
}

/// Opens a copy, so that looking changes nothing of what a failing run leaves behind.
fn open_store(path: &Path) -> Result<SqliteEngine, Box<dyn std::error::Error + Send + Sync>> {
    let copy = path.with_file_name("judged.sqlite");
    for suffix in ["", "-wal"] {
        let from = format!("{}{suffix}", path.display());
        if Path::new(&from).exists() {
            finish({
                let mut command = Command::new("cp");
                command.arg(&from).arg(format!("{}{suffix}", copy.display()));
                command
            })?;
        }
    }
    // The file's own numbers: application id at byte 68, schema version at byte 60 of its header.
    let header = std::fs::read(&copy)?;
    let id = header.get(68..72).ok_or("central's store is no SQLite file")?;
    let application_id = i32::from_be_bytes(id.try_into()?);
    Ok(SqliteEngine::open(&copy, &Options::new(application_id, u32::MAX))?)
}
