//! A site's data folder without a central: what central would say is stored as if it had come.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use domain::edit::{Edit, EditOp};
use protocol::control::{Control, ControlRow, Grant};
use protocol::hardware::HardwareId;
use protocol::ids::{
    ControlNumber, CredentialGeneration, Epoch, HardwareSalt, Hash, JournalId, OwnershipNumber, Position, PublicKey,
    RecordId, Sequence, SiteId, Token,
};
use protocol::message::ReplyHead;
use serde_json::Value;

use crate::agent::{Agent, DeviceTokens};
use crate::config::{CentralUrl, Config, Sources};
use crate::data_folder::Layout;
use crate::device::{Device, Enrolment};
use crate::error::AgentError;
use crate::examine;
use crate::operations::{Input, Request, no_events};
use crate::recorder::Group;
use crate::sync_runner::TokenStore as _;

pub(super) const STORE: &str = "S1";

/// A data folder, and everything that was ever acknowledged in it.
pub(super) struct Bed {
    folder: tempfile::TempDir,
    /// Each entry that was ever seen in the shared journal: a second one under its number would be a fork (invariant 2).
    history: BTreeMap<(JournalId, Sequence), Hash>,
    /// What each record has to read as.
    pub(super) recorded: BTreeMap<(String, String), String>,
    control: u64,
}

impl Bed {
    /// Enrolled, with the grant of a store.
    pub(super) fn new() -> Bed {
        Self::of_central("http://127.0.0.1:1", PublicKey([3; 32]))
    }

    /// Enrolled at some central, with the grant of a store.
    pub(super) fn of_central(url: &str, central_key: PublicKey) -> Bed {
        let folder = tempfile::tempdir().unwrap();
        let mut bed = Bed { folder, history: BTreeMap::new(), recorded: BTreeMap::new(), control: 0 };
        let mut device = Device::open_or_make(&bed.layout().identity()).unwrap();
        device
            .enrol(Enrolment {
                site: SiteId(2),
                site_name: "Clinic".to_owned(),
                central_url: CentralUrl::parse(url).unwrap(),
                central_key,
                generation: CredentialGeneration(1),
                salt: HardwareSalt([4; 16]),
                hardware: HardwareId::default(),
                bound_ms: None,
            })
            .unwrap();
        let agent = bed.open().unwrap();
        bed.grant(&agent);
        bed
    }

    /// A folder that was kept of another bed, with what was recorded there.
    pub(super) fn of_kept(kept: &Path, recorded: &BTreeMap<(String, String), String>) -> Bed {
        let folder = tempfile::tempdir().unwrap();
        let bed = Bed { folder, history: BTreeMap::new(), recorded: recorded.clone(), control: 1 };
        copy(kept, &bed.root());
        bed
    }

    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(super) fn layout(&self) -> Layout {
        Layout::of(&self.root())
    }

    pub(super) fn config(&self) -> Config {
        let file = self.folder.path().join("agent.toml");
        fs::write(&file, "").unwrap();
        let sources = Sources { config_file: Some(file), data_folder: Some(self.root()), ..Sources::default() };
        Config::load(&sources).unwrap()
    }

    /// Opens the agent, and checks that no sequence was ever used twice.
    pub(super) fn open(&mut self) -> Result<Agent, AgentError> {
        let agent = Agent::open(self.config())?;
        self.note_history(&agent);
        Ok(agent)
    }

    fn note_history(&mut self, agent: &Agent) {
        let mut core = agent.recorder().unwrap().core();
        let (journal, floor) = (core.shared.identity().journal, core.shared.floor());
        let mut seen = Vec::new();
        // Damage in the middle is for the test to find.
        let _ = core.shared.read(floor, &mut |stored| {
            seen.push((stored.sequence, stored.hash));
            ControlFlow::Continue(())
        });
        for (sequence, hash) in seen {
            let known = *self.history.entry((journal, sequence)).or_insert(hash);
            assert_eq!(known, hash, "sequence {sequence} of {journal} was used twice");
        }
    }

    /// Tells the site that it may write its store.
    pub(super) fn grant(&mut self, agent: &Agent) {
        let grant = Grant {
            store: STORE.to_owned(),
            ownership: OwnershipNumber(1),
            is_held: true,
            proof: protocol::ids::GrantProof([0; 16]),
            number_gaps: 0,
        };
        self.reply(agent, 0, &[Control::Grant(grant)]);
    }

    /// Stores a reply as a session would: everything up to `received` was received and judged.
    pub(super) fn reply(&mut self, agent: &Agent, received: u64, controls: &[Control]) {
        let control: Vec<ControlRow> = controls
            .iter()
            .map(|control| {
                self.control += 1;
                let (code, content) = control.to_parts();
                ControlRow { number: ControlNumber(self.control), code, content }
            })
            .collect();
        let last = control.last().map(|row| row.number);
        let reply = ReplyHead {
            version: 1,
            token: Token([1; 16]),
            received: Sequence(received),
            received_hash: Hash::NONE,
            judged: Sequence(received),
            backed_up: Sequence::ZERO,
            epoch: Epoch(1),
            position: Position::ZERO,
            admitted_bytes: 0,
            frame_part: None,
            control,
            has_more_control: false,
            rows_waiting: None,
            has_pages: received > 0,
            further: Vec::new(),
        };
        let mut core = agent.recorder().unwrap().core();
        let journal = core.shared.identity().journal;
        core.local.store_reply(journal, &reply).unwrap();
        drop(core);
        let mut tokens = DeviceTokens(agent);
        if let Some(last) = last {
            tokens.note_control(last).unwrap();
        }
        tokens.store_token(reply.token).unwrap();
    }

    /// Records one stock line.
    pub(super) fn record(&mut self, agent: &Agent, id: &str, note: &str) {
        self.record_in(agent, "item_line", id, &format!(r#"{{"ID":"{id}","store_ID":"{STORE}","note":"{note}"}}"#));
    }

    /// Records one line of local data.
    pub(super) fn record_local(&mut self, agent: &Agent, id: &str, value: &str) {
        self.record_in(agent, "pref", id, &format!(r#"{{"ID":"{id}","item":"window","data":"{value}"}}"#));
    }

    /// Records local data and a stock line as one group.
    pub(super) fn record_mixed(&mut self, agent: &Agent, local: &str, id: &str) {
        let data = format!(r#"{{"ID":"{local}","item":"window","data":"mixed"}}"#);
        let line = format!(r#"{{"ID":"{id}","store_ID":"{STORE}","note":"mixed"}}"#);
        self.record_group(agent, &[("pref", local, &data), ("item_line", id, &line)]);
    }

    fn record_in(&mut self, agent: &Agent, table: &str, id: &str, data: &str) {
        self.record_group(agent, &[(table, id, data)]);
    }

    /// Records these as one group: table, id and data of each.
    pub(super) fn record_group(&mut self, agent: &Agent, records: &[(&str, &str, &str)]) {
        let edit = |(table, id, data): &(&str, &str, &str)| Edit {
            table: (*table).to_owned(),
            op: EditOp::Put,
            id: RecordId::new(id).unwrap(),
            data: Some((*data).to_owned()),
        };
        let group = Group { edits: records.iter().map(edit).collect(), request_id: None, recorded_at_ms: 7 };
        agent.recorder().unwrap().record(group).unwrap();
        for (table, id, data) in records {
            let data: Value = serde_json::from_str(data).unwrap();
            self.recorded.insert(((*table).to_owned(), (*id).to_owned()), data.to_string());
        }
        self.note_history(agent);
    }

    /// A record as it reads now: its data, "-" if it is not here, or the code of the error.
    pub(super) fn read(agent: &Agent, table: &str, id: &str) -> String {
        let request = Request::Get { table: table.to_owned(), id: id.to_owned() };
        match crate::operations::perform(agent, request, &mut Input::empty(), &mut no_events) {
            Ok(record) => record["data"].to_string(),
            Err(error) if error.code == "record_missing" => "-".to_owned(),
            Err(error) => {
                agent.note_damage(&error);
                error.code
            }
        }
    }

    /// That every record reads as it was recorded.
    pub(super) fn assert_all_there(&self, agent: &Agent) {
        for ((table, id), data) in &self.recorded {
            let found: Value = serde_json::from_str(&Self::read(agent, table, id)).unwrap_or(Value::Null);
            let wanted: Value = serde_json::from_str(data).unwrap();
            assert_eq!(found, wanted, "{table} {id}");
        }
    }

    /// What `verify` finds, by code.
    pub(super) fn findings(&self) -> Vec<String> {
        let catalogue = std::sync::Arc::new(domain::catalogue::Catalogue::embedded());
        let report = examine::verify(&self.root(), &catalogue).unwrap();
        let findings = report["findings"].as_array().unwrap().iter();
        findings.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
    }

    /// Copies a part of the folder beside it.
    pub(super) fn keep(&self, name: &str) -> PathBuf {
        let kept = self.folder.path().join(format!("kept-{name}"));
        let _ = fs::remove_dir_all(&kept);
        copy(&self.root().join(name), &kept);
        kept
    }

    /// Puts a part back in place of what is there.
    pub(super) fn put_back(&self, name: &str, kept: &Path) {
        self.remove(name);
        copy(kept, &self.root().join(name));
    }

    /// Deletes a part of the folder. The local copy goes with its log.
    pub(super) fn remove(&self, name: &str) {
        let path = self.root().join(name);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
            return;
        }
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{suffix}", path.display()));
        }
    }

    /// Lets the journals go of what the local copy and central hold, as after a session.
    pub(super) fn prune(agent: &Agent, through: u64) {
        let mut core = agent.recorder().unwrap().core();
        core.local.make_durable().unwrap();
        core.shared.prune(Sequence(through), 0).unwrap();
        let private = core.private.durable().sequence;
        core.private.prune(private, 0).unwrap();
    }
}

pub(super) fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    let mode = fs::metadata(from).unwrap().permissions();
    fs::set_permissions(to, mode).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}
