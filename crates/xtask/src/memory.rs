//! `cargo xtask size --memory`: what the agent as it ships has in memory with a million records and with a million edits that wait, and how
//! often it wakes up when there is nothing to do, held against the budgets in `cross/targets.toml`. A real central and a real agent, the
//! agent in a control group with the limit of the systemd unit where the system has one.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use outpost::clock::{monotonic_now, pause_ms};
use outpost::durable_file::replace_private;
use serde_json::Value;

use crate::ids::Ids;
use crate::memory_group::{MemoryGroup, UNIT_BYTES_MAX};
use crate::resident::{Resident, forget_peak, wake_ups};

/// Records in the local copy, and edits in the backlog, unless `--records` and `--edits` say otherwise.
const COUNT: u64 = 1_000_000;
/// How long an agent without work is watched, in seconds.
const IDLE_S: u64 = 120;
/// How long it has to become quiet before that, in seconds.
const QUIET_S: u64 = 20;
/// Longest wait for a daemon that starts, in milliseconds.
const START_MS: u64 = 600_000;
/// The site's store.
const STORE: &str = "5708570857085708570857085708C0DE";

/// What is allowed, in bytes and wake-ups an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "each is a limit, and says so")]
pub(crate) struct Budgets {
    /// With every record in the local copy and nothing that waits.
    pub(crate) drained_bytes_max: u64,
    /// With every edit in the backlog, while it is recorded, after a start, and while it is sent.
    pub(crate) backlog_bytes_max: u64,
    /// Of an agent without work.
    pub(crate) wake_ups_an_hour_max: u64,
}

/// What is asked behind `--memory`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The agent's program, where another one is to be measured than the one that is built.
    pub(crate) agent: Option<PathBuf>,
    /// Central's.
    pub(crate) central: Option<PathBuf>,
    records: u64,
    edits: u64,
}

impl Asked {
    /// Reads `--records N`, `--edits N`, `--agent FILE` and `--central FILE`.
    ///
    /// # Errors
    /// An option that is none, or has no value.
    pub(crate) fn parse(arguments: &[&str]) -> Result<Self> {
        let mut asked = Self { agent: None, central: None, records: COUNT, edits: COUNT };
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
            let number = || value.parse().with_context(|| format!("{name} needs a number, not `{value}`"));
            match *name {
                "--records" => asked.records = number()?,
                "--edits" => asked.edits = number()?,
                "--agent" => asked.agent = Some(PathBuf::from(value)),
                "--central" => asked.central = Some(PathBuf::from(value)),
                _ => bail!("size --memory knows --records N, --edits N, --agent FILE and --central FILE, not `{name}`"),
            }
        }
        ensure!(asked.records >= 10, "--records must be 10 or more, for a tenth of them are items");
        Ok(asked)
    }

    /// The same with the programs that are measured.
    pub(crate) fn with(self, agent: PathBuf, central: PathBuf) -> Measure {
        Measure { agent, central, records: self.records, edits: self.edits }
    }
}

/// What is measured, and with what.
pub(crate) struct Measure {
    agent: PathBuf,
    central: PathBuf,
    records: u64,
    edits: u64,
}

impl Measure {
    /// Measures, prints each figure, and fails if one is above its budget.
    ///
    /// # Errors
    /// A figure above its budget, a process that was killed at the limit of its group, and whatever a program refuses.
    pub(crate) fn run(&self, budgets: &Budgets) -> Result<()> {
        let folder = tempfile::Builder::new().prefix("outpost-memory-").tempdir()?;
        let mut rig = Rig::make(self, folder.path())?;
        let mut above = Vec::new();
        let mut held = |what: &str, figure: u64, most: u64, unit: &str| {
            println!("   {what}: {figure} of at most {most} {unit}");
            if figure > most {
                above.push(what.to_owned());
            }
        };

        println!("{} records are on the device, and the journal is drained", rig.records);
        rig.start()?;
        rig.agent(&["sync", "--json"])?;
        rig.a_days_work(0)?;
        rig.agent(&["sync", "--json"])?;
        held("peak of a start, a day's work and syncs", rig.resident()?.peak, budgets.drained_bytes_max, "bytes");
        rig.show("after it")?;
        held("wake-ups an hour without work", rig.wake_ups_an_hour()?, budgets.wake_ups_an_hour_max, "");

        println!("{} edits are recorded while central is away", self.edits);
        rig.central = None;
        rig.record(&rig.edits(self.edits)?)?;
        held("peak while they are recorded", rig.resident()?.peak, budgets.backlog_bytes_max, "bytes");
        rig.show("after it")?;
        rig.stop()?;
        rig.start()?;
        rig.a_days_work(1)?;
        held("peak of a start and a day's work on them", rig.resident()?.peak, budgets.backlog_bytes_max, "bytes");
        rig.serve()?;
        while rig.agent(&["sync", "--json"])?["unjudged"] != 0 {}
        held("peak once they are sent", rig.resident()?.peak, budgets.backlog_bytes_max, "bytes");
        forget_peak(rig.daemon_id()?);
        rig.a_days_work(2)?;
        rig.agent(&["sync", "--json"])?;
        held("peak of a day's work after that", rig.resident()?.peak, budgets.backlog_bytes_max, "bytes");
        rig.show("after it")?;
        rig.stop()?;
        rig.start()?;
        rig.agent(&["sync", "--json"])?;
        rig.a_days_work(3)?;
        held(
            "peak of a start and a day's work, drained again",
            rig.resident()?.peak,
            budgets.drained_bytes_max,
            "bytes",
        );
        rig.check_group()?;
        ensure!(above.is_empty(), "above the budget: {}", above.join("; "));
        Ok(())
    }
}

/// Programs, folders and what runs.
struct Rig<'a> {
    measure: &'a Measure,
    folder: PathBuf,
    settings: PathBuf,
    group: Option<MemoryGroup>,
    central: Option<Stopped>,
    daemon: Option<Stopped>,
    records: u64,
    address: String,
}

/// A process that is killed when it is let go of.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl<'a> Rig<'a> {
    /// A central with the records, and a site that has all of them.
    fn make(measure: &'a Measure, folder: &Path) -> Result<Self> {
        let group = MemoryGroup::new("outpost-memory", UNIT_BYTES_MAX);
        match &group {
            Some(_) => println!(
                "the agent runs in a control group with at most {UNIT_BYTES_MAX} bytes, as its unit says (MemoryMax)"
            ),
            None => println!(
                "NOT RUN: this system gives no control group for memory; MemoryMax of the unit is not tried out"
            ),
        }
        let settings = folder.join("agent.toml");
        let mut rig = Self {
            measure,
            folder: folder.to_owned(),
            settings,
            group,
            central: None,
            daemon: None,
            records: 0,
            address: "127.0.0.1:0".to_owned(),
        };
        let lines = folder.join("central.ndjson");
        rig.records = write_records(&lines, measure.records)?;
        println!("central imports {} records ...", rig.records);
        rig.central_verb(&["init"])?;
        rig.central_verb(&["import", &lines.to_string_lossy()])?;
        replace_private(&folder.join("password"), b"a site's password")?;
        let password = folder.join("password").to_string_lossy().into_owned();
        rig.central_verb(&["site", "add", "north", "--store", STORE, "--password-file", &password])?;
        rig.serve()?;
        let data = folder.join("data");
        let text = format!(
            "data_folder = \"{}\"\n[central]\nurl = \"http://{}\"\n[schedule]\nmanual = true\n",
            data.display(),
            rig.address
        );
        std::fs::write(&rig.settings, text)?;
        rig.agent(&["enrol", "--name", "north", "--password-file", &password])?;
        println!("the site is initialised ...");
        let mut child = Stopped(rig.command(&["initialise"]).stdout(Stdio::null()).spawn()?);
        let mut peak = 0;
        let status = loop {
            peak = Resident::of(child.0.id()).map_or(peak, |resident| peak.max(resident.peak));
            if let Some(status) = child.0.try_wait()? {
                break status;
            }
            pause_ms(50);
        };
        ensure!(status.success(), "initialise failed: {status}");
        println!("   peak of `initialise`: {peak} bytes");
        Ok(rig)
    }

    /// Starts central, where it was.
    fn serve(&mut self) -> Result<()> {
        let mut command = Command::new(&self.measure.central);
        command.args(["serve", "--listen", &self.address, "--data"]).arg(self.folder.join("central"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("central's output is piped")?).read_line(&mut line)?;
        line.trim().rsplit("://").next().context("central says where it listens")?.clone_into(&mut self.address);
        self.central = Some(Stopped(child));
        Ok(())
    }

    fn central_verb(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.measure.central);
        let status =
            command.args(arguments).arg("--data").arg(self.folder.join("central")).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "central's {arguments:?} failed: {status}");
        Ok(())
    }

    /// The agent's program, in the group if there is one.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.group {
            None => Command::new(&self.measure.agent),
            Some(group) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(group.members()).arg(&self.measure.agent);
                shell
            }
        };
        command.arg("--config").arg(&self.settings).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a verb that must end well; what it says as JSON.
    fn agent(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.command(arguments).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "{arguments:?} failed: {}", output.status);
        Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
    }

    fn start(&mut self) -> Result<()> {
        let daemon = self.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        self.daemon = Some(Stopped(daemon));
        let deadline = monotonic_now().plus(START_MS);
        loop {
            let output = self.command(&["status", "--json"]).stderr(Stdio::null()).output()?;
            if serde_json::from_slice::<Value>(&output.stdout).is_ok_and(|status| status["daemon"] == true) {
                return Ok(());
            }
            ensure!(monotonic_now() < deadline, "the daemon does not answer after {START_MS} ms");
            pause_ms(100);
        }
    }

    fn stop(&mut self) -> Result<()> {
        let id = self.daemon_id()?.to_string();
        ensure!(Command::new("kill").args(["-s", "TERM", &id]).status()?.success(), "the daemon is gone");
        let mut daemon = self.daemon.take().context("the daemon runs")?;
        let status = daemon.0.wait()?;
        ensure!(status.success(), "the daemon ended with {status}");
        Ok(())
    }

    fn daemon_id(&self) -> Result<u32> {
        Ok(self.daemon.as_ref().context("the daemon runs")?.0.id())
    }

    fn resident(&self) -> Result<Resident> {
        Resident::of(self.daemon_id()?).context("the daemon is gone")
    }

    fn show(&self, when: &str) -> Result<()> {
        let Resident { now, anonymous, .. } = self.resident()?;
        println!("   {when}: {now} bytes, of which {anonymous} are no pages of files");
        Ok(())
    }

    /// What applications ask on a day: lists, a record, 1,000 edits in requests of 100.
    fn a_days_work(&self, day: u64) -> Result<()> {
        for table in ["item", "item_line", "transact", "trans_line"] {
            self.agent(&["list", table, "--limit", "1000", "--json"])?;
        }
        self.agent(&["get", "store", STORE, "--json"])?;
        let path = self.folder.join("day.ndjson");
        for number in 0..10 {
            write_edits(&path, 100, (day + 1) * 1_000_000_000 + number * 1_000)?;
            self.record(&path)?;
        }
        Ok(())
    }

    fn edits(&self, count: u64) -> Result<PathBuf> {
        let path = self.folder.join("edits.ndjson");
        write_edits(&path, count, 0)?;
        Ok(path)
    }

    fn record(&self, path: &Path) -> Result<()> {
        self.agent(&["record", "--file", &path.to_string_lossy(), "--json"]).map(drop)
    }

    /// Voluntary context switches of all threads, over some minutes, scaled to an hour.
    fn wake_ups_an_hour(&self) -> Result<u64> {
        let id = self.daemon_id()?;
        pause_ms(QUIET_S * 1000);
        let before = wake_ups(id).context("the daemon is gone")?;
        pause_ms(IDLE_S * 1000);
        let after = wake_ups(id).context("the daemon is gone")?;
        println!("   {} wake-ups in {} s", after - before, IDLE_S);
        Ok((after - before) * 3600 / IDLE_S)
    }

    fn check_group(&self) -> Result<()> {
        let Some(group) = &self.group else { return Ok(()) };
        let kills = group.kills().context("the group says how many were killed")?;
        let peak = group.peak().unwrap_or(0);
        println!(
            "   with the page cache the group had at most {peak} bytes of {UNIT_BYTES_MAX}, and {kills} processes were killed"
        );
        ensure!(kills == 0, "{kills} processes of the agent were killed at {UNIT_BYTES_MAX} bytes");
        Ok(())
    }
}

/// Central's data: a tenth items, three tenths stock lines, and invoices with four lines each; how many records there are.
fn write_records(path: &Path, count: u64) -> Result<u64> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    let mut ids = Ids(0x5EED);
    let name = ids.next();
    let mut lines = 0;
    let mut put = |table: &str, id: &str, rest: &str| -> Result<()> {
        lines += 1;
        Ok(writeln!(file, r#"{{"table":"{table}","op":"upsert","id":"{id}","data":{{"ID":"{id}",{rest}}}}}"#)?)
    };
    put("name", &name, r#""name":"Clinic","code":"F1","type":"store","customer":true,"supplier":true"#)?;
    put("store", STORE, &format!(r#""name_ID":"{name}","code":"S1","store_mode":"store","disabled":false"#))?;
    let items: Vec<String> = (0..count / 10).map(|_| ids.next()).collect();
    for (number, id) in items.iter().enumerate() {
        let rest = format!(
            r#""item_name":"Item {number}","code":"{}","type_of":"general","default_pack_size":10,"is_vaccine":false,"doses":0"#,
            100_000 + number
        );
        put("item", id, &rest)?;
    }
    let item = |number: u64| &items[usize::try_from(number).unwrap_or(0) % items.len()];
    let mut stock = String::new();
    for number in 0..count * 3 / 10 {
        stock = ids.next();
        put("item_line", &stock, &stock_line(item(number), number))?;
    }
    for number in 0..count * 6 / 10 / 5 {
        let invoice = ids.next();
        put(
            "transact",
            &invoice,
            &format!(
                concat!(
                    r#""store_ID":"{}","name_ID":"{}","invoice_num":{},"type":"ci","status":"nw","hold":false,"#,
                    r#""comment":"","entry_date":"2026-01-05","mode":"store""#
                ),
                STORE, name, number
            ),
        )?;
        for line in 1..5 {
            let rest = format!(
                r#""transaction_ID":"{invoice}","item_ID":"{}","item_line_ID":"{stock}","quantity":{line},"type":"stock_out","note":null"#,
                item(number + line)
            );
            put("trans_line", &ids.next(), &rest)?;
        }
    }
    file.flush()?;
    Ok(lines)
}

fn stock_line(item: &str, number: u64) -> String {
    let mut rest = String::new();
    let _ = write!(
        rest,
        concat!(
            r#""store_ID":"{}","item_ID":"{}","batch":"B{}","expiry_date":"2027-0{}-11","pack_size":10,"available":{},"#,
            r#""quantity":{},"cost_price":{}.{:02},"sell_price":1.50,"hold":false,"note":"""#
        ),
        STORE,
        item,
        number,
        number % 9 + 1,
        number % 400,
        number % 400,
        number % 50,
        number % 100
    );
    rest
}

/// Edits of the store: new stock lines, one in three corrected right afterwards.
fn write_edits(path: &Path, count: u64, seed: u64) -> Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    let mut ids = Ids(0xED17 + seed);
    let mut written = 0;
    while written < count {
        let id = ids.next();
        writeln!(
            file,
            r#"{{"table":"item_line","op":"upsert","id":"{id}","data":{{"ID":"{id}",{}}}}}"#,
            stock_line(STORE, written)
        )?;
        written += 1;
        if written % 3 == 0 && written < count {
            writeln!(
                file,
                r#"{{"table":"item_line","op":"patch","id":"{id}","data":{{"quantity":{written},"note":"counted {written}"}}}}"#
            )?;
            written += 1;
        }
    }
    Ok(file.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_read_and_anything_else_refused() {
        let asked = Asked::parse(&["--records", "20", "--agent", "a"]).unwrap();
        assert_eq!((asked.records, asked.edits, asked.agent), (20, COUNT, Some(PathBuf::from("a"))));

        for arguments in [&["--records"][..], &["--records", "x"], &["--records", "9"], &["--speed", "1"]] {
            assert!(Asked::parse(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn records_and_edits_are_as_many_as_were_asked_for_and_lines_of_json() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let count = |path: &Path| {
            let text = std::fs::read_to_string(path).unwrap();
            text.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count() as u64
        };
        let written = write_records(&path, 100).unwrap();
        assert_eq!((written, count(&path)), (102, 102), "a store and its name are beside them");
        write_edits(&path, 100, 7).unwrap();
        assert_eq!(count(&path), 100);
    }

    #[test]
    fn this_process_has_memory_and_wakes_up() {
        let resident = Resident::of(std::process::id()).unwrap();
        assert!(resident.now > 0 && resident.peak >= resident.now && resident.anonymous < resident.now, "{resident:?}");
        assert!(wake_ups(std::process::id()).is_some());
    }
}
