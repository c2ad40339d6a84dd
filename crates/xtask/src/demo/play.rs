//! The demo's actors: central, the sites, and what they write.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, Result, anyhow, ensure};
use outpost::durable_file::replace_private;
use serde_json::{Value, json};

use crate::ids::Ids;
use crate::link::Link;
use crate::power_cut_rig::Programs;

/// Syncs after which the demo gives up waiting for verdicts.
const SETTLE_SYNCS_MAX: u32 = 200;

/// Central data as lines of edits.
pub(super) struct Data {
    pub(super) lines: String,
    pub(super) records: u64,
    pub(super) items: Vec<String>,
    pub(super) stores: Vec<String>,
    pub(super) names: Vec<String>,
}

/// A line that puts one item.
pub(super) fn item_line(id: &str, name: &str) -> String {
    let data = json!({"ID": id, "item_name": name, "code": id, "type_of": "general", "default_pack_size": 1, "is_vaccine": false});
    line("item", id, &data)
}

/// A line that puts a record.
pub(super) fn line(table: &str, id: &str, data: &Value) -> String {
    json!({"table": table, "op": "upsert", "id": id, "data": data}).to_string() + "\n"
}

/// A line that changes columns of a record.
pub(super) fn patch(table: &str, id: &str, data: &Value) -> String {
    json!({"table": table, "op": "patch", "id": id, "data": data}).to_string() + "\n"
}

/// Some items and three stores with their names.
pub(super) fn items(count: u64) -> Data {
    let mut data = Data { lines: String::new(), records: 0, items: Vec::new(), stores: Vec::new(), names: Vec::new() };
    for number in 0..count {
        let id = format!("{number:08X}00000000000000000000C0DE");
        data.lines += &item_line(&id, &format!("Demo item {number}"));
        data.items.push(id);
    }
    for (number, place) in ["North Clinic", "South Clinic", "Regional Store"].into_iter().enumerate() {
        let (store, name) =
            (format!("{number:08X}000000000000000000005708"), format!("{number:08X}00000000000000000000A3E0"));
        data.lines += &line(
            "name",
            &name,
            &json!({"ID": name, "name": place, "code": place, "type": "store", "customer": true, "supplier": true}),
        );
        data.lines += &line(
            "store",
            &store,
            &json!({"ID": store, "name_ID": name, "code": place, "store_mode": "store", "disabled": false}),
        );
        data.stores.push(store);
        data.names.push(name);
    }
    data.records = data.lines.lines().count() as u64;
    data
}

/// What north writes while it is offline.
pub(super) struct Work {
    pub(super) lines: String,
    pub(super) edits: u64,
}

/// 400 stock lines, 150 invoices with four lines each, one requisition with thirty lines.
pub(super) fn offline_work(data: &Data) -> Work {
    let (store, supplier) = (&data.stores[0], &data.names[2]);
    let mut ids = Ids(0x5EED_0001);
    let mut lines = String::new();
    let item = |number: usize| &data.items[number % data.items.len()];
    let mut stock = Vec::new();
    for number in 0..400 {
        let id = ids.next();
        lines += &line(
            "item_line",
            &id,
            &json!({"ID": id, "store_ID": store, "item_ID": item(number), "batch": format!("B{number}"), "expiry_date": "2027-06-30", "pack_size": 10, "quantity": 100 + number, "available": 100 + number, "cost_price": 1.25}),
        );
        stock.push(id);
    }
    for number in 0..150 {
        let id = ids.next();
        lines += &line(
            "transact",
            &id,
            &json!({"ID": id, "store_ID": store, "name_ID": supplier, "invoice_num": number, "type": "ci", "status": "cn", "entry_date": "2026-01-05", "mode": "store"}),
        );
        for row in 0..4 {
            let line_id = ids.next();
            lines += &line(
                "trans_line",
                &line_id,
                &json!({"ID": line_id, "transaction_ID": id, "item_ID": item(number * 4 + row), "item_line_ID": stock[(number + row) % stock.len()], "quantity": row + 1, "type": "stock_out"}),
            );
        }
    }
    let request = ids.next();
    lines += &line(
        "requisition",
        &request,
        &json!({"ID": request, "store_ID": store, "name_ID": supplier, "serial_number": 1, "type": "request", "status": "sg", "daysToSupply": 90}),
    );
    for number in 0..30 {
        let id = ids.next();
        lines += &line(
            "requisition_line",
            &id,
            &json!({"ID": id, "requisition_ID": request, "item_ID": item(number), "Cust_stock_order": 10 * number}),
        );
    }
    let edits = lines.lines().count() as u64;
    Work { lines, edits }
}

/// The central server.
pub(super) struct Central {
    program: PathBuf,
    folder: PathBuf,
    server: Option<(Child, SocketAddr)>,
}

impl Central {
    /// Makes it and imports the data.
    pub(super) fn make(programs: &Programs, folder: &Path, data: &Data) -> Result<Self> {
        let central = Self { program: programs.central.clone(), folder: folder.to_owned(), server: None };
        central.run(&["init"], "")?;
        central.import(&data.lines)?;
        Ok(central)
    }

    /// Imports lines.
    pub(super) fn import(&self, lines: &str) -> Result<()> {
        self.run(&["import", "-"], lines).map(drop)
    }

    /// Adds a site that holds one store.
    pub(super) fn add_site(&self, name: &str, store: &str) -> Result<()> {
        let file = self.folder.with_file_name(format!("{name}.password"));
        replace_private(&file, format!("{name}-demo-password").as_bytes())?;
        let file = file.to_string_lossy().into_owned();
        self.run(&["site", "add", name, "--store", store, "--password-file", &file], "").map(drop)
    }

    /// Starts the server on a free port.
    pub(super) fn start(&mut self) -> Result<()> {
        let mut child =
            self.command(&["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let stdout = child.stdout.take().context("central's output is piped")?;
        let mut text = String::new();
        BufReader::new(stdout).read_line(&mut text)?;
        let address = text.trim().rsplit("http://").next().context("an address")?;
        self.server = Some((child, address.parse().with_context(|| format!("central printed {text:?}"))?));
        Ok(())
    }

    /// Where it listens.
    pub(super) fn address(&self) -> Result<SocketAddr> {
        self.server.as_ref().map(|server| server.1).context("central runs")
    }

    /// Where it listens, for an agent.
    pub(super) fn url(&self) -> Result<String> {
        Ok(format!("http://{}", self.address()?))
    }

    /// How many records a table has.
    pub(super) fn count(&self, table: &str) -> Result<u64> {
        Ok(self.records(table)?.len() as u64)
    }

    /// A table's records by id.
    pub(super) fn records(&self, table: &str) -> Result<BTreeMap<String, Value>> {
        all_records(|after| {
            let mut arguments = vec!["records", table, "--limit", "1000", "--json"];
            arguments.extend(after.map(|after| ["--after", after]).into_iter().flatten());
            self.run(&arguments, "")
        })
    }

    /// Runs a verb that must end well.
    pub(super) fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        finish(self.command(arguments), input)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--data").arg(&self.folder);
        command
    }
}

impl Drop for Central {
    fn drop(&mut self) {
        if let Some((mut child, _)) = self.server.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A remote site.
pub(super) struct Site {
    program: PathBuf,
    settings: PathBuf,
    /// Its name.
    pub(super) name: String,
}

impl Site {
    /// Enrols and initialises.
    pub(super) fn make(programs: &Programs, folder: &Path, name: &str, url: &str, central: &Central) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let settings = folder.join("agent.toml");
        let text = format!(
            "data_folder = \"{}\"\n[central]\nurl = \"{url}\"\n[schedule]\nmanual = true\nbackoff_first_s = 1\nbackoff_max_s = 1\n",
            folder.join("data").display()
        );
        std::fs::write(&settings, text)?;
        let site = Self { program: programs.agent.clone(), settings, name: name.to_owned() };
        let password = central.folder.with_file_name(format!("{name}.password"));
        site.run(&["enrol", "--name", name, "--password-file", &password.to_string_lossy()], "")?;
        site.run(&["initialise"], "")?;
        Ok(site)
    }

    /// Records lines; how many edits are on disk.
    pub(super) fn record(&self, lines: &str) -> Result<u64> {
        let text = self.run(&["record", "--file", "-", "--json"], lines)?;
        Ok(serde_json::from_str::<Value>(&text)?["recorded"].as_u64().unwrap_or(0))
    }

    /// Syncs; it must go through.
    pub(super) fn sync(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.run(&["sync", "--json"], "")?)?)
    }

    /// Syncs until central has judged everything: on a slow machine verdicts come with a later reply.
    pub(super) fn settle(&self) -> Result<Value> {
        let first = self.sync()?;
        let mut unjudged = first["unjudged"].clone();
        for _ in 0..SETTLE_SYNCS_MAX {
            if unjudged == 0 {
                return Ok(first);
            }
            unjudged = self.sync()?["unjudged"].clone();
        }
        Err(anyhow!("central has not judged {unjudged} edits"))
    }

    /// Syncs; it may fail, and then says why.
    pub(super) fn try_sync(&self) -> Result<Value> {
        let output = self.command(&["sync", "--json"]).output()?;
        serde_json::from_slice(&output.stdout)
            .map_err(|error| anyhow!("sync printed no JSON ({error}): {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// The site's status.
    pub(super) fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.run(&["status", "--json"], "")?)?)
    }

    /// One record.
    pub(super) fn get(&self, table: &str, id: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.run(&["get", table, id, "--json"], "")?)?)
    }

    /// How many records a table has.
    pub(super) fn count(&self, table: &str) -> Result<u64> {
        Ok(self.records(table)?.len() as u64)
    }

    /// A table's records by id.
    pub(super) fn records(&self, table: &str) -> Result<BTreeMap<String, Value>> {
        all_records(|after| {
            let mut arguments = vec!["list", table, "--limit", "1000", "--json"];
            arguments.extend(after.map(|after| ["--after", after]).into_iter().flatten());
            self.run(&arguments, "")
        })
    }

    /// Runs a verb that must end well.
    pub(super) fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        finish(self.command(arguments), input)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(&self.settings).args(arguments);
        command
    }
}

/// Leaves everything as it is until the reader has seen enough.
pub(super) fn hand_over(
    programs: &Programs,
    root: &Path,
    central: Central,
    link: Link,
    sites: &[Site; 2],
) -> Result<()> {
    println!("\nEverything stays until you press Enter. Try, in another terminal:\n");
    for site in sites {
        println!("   {} --config {} status", programs.agent.display(), site.settings.display());
    }
    println!("   {} --config {} list item --limit 5", programs.agent.display(), sites[1].settings.display());
    println!("   {} status --data {}", programs.central.display(), central.folder.display());
    println!("   {} records item_line --data {}", programs.central.display(), central.folder.display());
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    drop((central, link));
    std::fs::remove_dir_all(root)?;
    Ok(())
}

fn all_records(mut page: impl FnMut(Option<&str>) -> Result<String>) -> Result<BTreeMap<String, Value>> {
    let mut records = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let text = page(after.as_deref())?;
        let value: Value = serde_json::from_str(&text)?;
        for record in value["records"].as_array().context("a list of records")? {
            records.insert(record["id"].as_str().unwrap_or_default().to_owned(), record["data"].clone());
        }
        match value["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => return Ok(records),
        }
    }
}

fn finish(mut command: Command, input: &str) -> Result<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("piped")?;
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
    });
    let output: Output = child.wait_with_output()?;
    writer.join().map_err(|_| anyhow!("the writer failed"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
