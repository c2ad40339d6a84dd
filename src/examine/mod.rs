//! Looking at a data folder without opening it, whatever state it is in: `outpost verify` says what is damaged, `outpost salvage`
//! writes out what can be read. Neither changes a byte of the folder.
//!
//! Journals are read by the pieces in their bytes (`journal::inspect`). The local copy is copied to a scratch folder first: SQLite
//! writes beside a file even where it only reads.

mod salvage;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::catalogue::Catalogue;
use domain::json::row_to_json;
use protocol::entry::{Entry, Operation};
use protocol::few::sort_few;
use protocol::ids::SiteId;
use serde_json::{Value, json};

pub use salvage::salvage;
pub use verify::verify;

use crate::data_folder::Layout;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::journal::storage::Place;
use crate::journal::{SledStorage, inspect_identity};
use crate::local_copy::{LocalCopy, LocalCopyError};
use crate::{durable_file, entropy};

/// Both journals with the words for them, those that were set aside among them.
struct JournalPlace {
    /// `journal` or `private`, and for one that was set aside its folder's name.
    name: String,
    is_private: bool,
    is_set_aside: bool,
    storage: SledStorage,
    place: Place,
}

/// The journals of a folder: those in use first.
fn journals(layout: &Layout) -> Vec<JournalPlace> {
    let mut places = Vec::new();
    for (root, is_private) in [(layout.journal(), false), (layout.private_journal(), true)] {
        let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        places.push(JournalPlace {
            name: name.clone(),
            is_private,
            is_set_aside: false,
            storage: SledStorage::to_look_at(&root),
            place: Place::Live,
        });
        let prefix = format!("{name}.");
        let mut aside: Vec<String> = names_in(layout.root())
            .into_iter()
            .filter_map(|other| {
                other.strip_prefix(&prefix).filter(|name| name.starts_with("before-")).map(str::to_owned)
            })
            .collect();
        sort_few(&mut aside, |one, other| one < other);
        places.extend(aside.into_iter().map(|aside| JournalPlace {
            name: format!("{prefix}{aside}"),
            is_private,
            is_set_aside: true,
            storage: SledStorage::to_look_at(&root),
            place: Place::Aside(aside),
        }));
    }
    places
}

/// The local copy in use and those that were set aside.
fn local_copies(layout: &Layout) -> Vec<PathBuf> {
    let current = layout.local_copy();
    let mut aside: Vec<PathBuf> = names_in(layout.root())
        .into_iter()
        .filter(|name| name.starts_with("local_copy.damaged-") && !name.ends_with("-wal") && !name.ends_with("-shm"))
        .map(|name| layout.root().join(name))
        .collect();
    sort_few(&mut aside, |one, other| one < other);
    [current].into_iter().filter(|path| path.exists()).chain(aside).collect()
}

fn names_in(folder: &Path) -> Vec<String> {
    let listing = std::fs::read_dir(folder).into_iter().flatten().flatten();
    listing.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A folder for copies, gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn make(above: &Path) -> Result<Scratch, AgentError> {
        let folder = above.join(format!("outpost-scratch-{:016x}", entropy::number()));
        durable_file::make_folder(&folder)?;
        Ok(Scratch(folder))
    }

    /// Opens a copy of a local copy, so that the original stays as it is.
    fn open_copy(&self, path: &Path, site: SiteId, catalogue: &Arc<Catalogue>) -> Result<LocalCopy, AgentError> {
        let copy = self.0.join(format!("{:016x}.sqlite", entropy::number()));
        for suffix in ["", "-wal"] {
            let beside = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
            match std::fs::copy(beside(path), beside(&copy)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && !suffix.is_empty() => {}
                Err(error) => return Err(uncopied(path, &error)),
                Ok(0) if suffix.is_empty() => {
                    return Err(LocalCopyError::Damaged(format!("{} is empty", path.display())).into());
                }
                Ok(_) => {}
            }
        }
        Ok(LocalCopy::open(&copy, site, Arc::clone(catalogue))?)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays of it is a copy in a folder for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The site whose journals lie here, as far as any of them says it.
fn site_of(layout: &Layout) -> Result<SiteId, AgentError> {
    for mut journal in journals(layout) {
        if let Some(mark) = inspect_identity(&mut journal.storage, &journal.place)? {
            return Ok(mark.site);
        }
    }
    Ok(SiteId(0))
}

/// An entry in the words of edits; `None` if its bytes cannot be read.
fn edit_of(bytes: &[u8], catalogue: &Catalogue) -> Option<Value> {
    let entry = Entry::decode(bytes).ok()?;
    let table = catalogue.table_or_stand_in(&entry.table);
    let (op, row) = match &entry.operation {
        Operation::Put(row) => ("put", Some(row)),
        Operation::Patch(row) => ("patch", Some(row)),
        Operation::Delete => ("delete", None),
    };
    let mut edit = json!({ "table": table.name(), "op": op, "id": entry.record.as_str() });
    if let Some(row) = row {
        let text = row_to_json(&table, &entry.record, &table.canonical(row.clone()));
        edit["data"] = serde_json::from_str(&text).ok()?;
    }
    Some(edit)
}

fn hex_text(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// That there is a data folder at all: a mistyped one is whole, and nobody is helped by hearing that.
fn check_is_data_folder(layout: &Layout) -> Result<(), AgentError> {
    let has_identity = !names_in(&layout.identity()).is_empty();
    if has_identity || layout.has_records() || journals(layout).len() > 2 || !local_copies(layout).is_empty() {
        return Ok(());
    }
    let has_segments = [layout.journal(), layout.private_journal()].iter().any(|root| !names_in(root).is_empty());
    if has_segments {
        return Ok(());
    }
    Err(AgentError::new(
        "no_data_folder",
        format!("{} holds nothing of a site", layout.root().display()),
        "Check --data, or data_folder in the settings.",
        Exit::Config,
    ))
}

fn uncopied(path: &Path, error: &std::io::Error) -> AgentError {
    AgentError::new(
        "scratch_failed",
        format!("{} cannot be copied to a scratch folder: {error}", path.display()),
        "Make room there, or set TMPDIR to a folder on another disk.",
        Exit::Disk,
    )
}
