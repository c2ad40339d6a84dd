//! Central's key outside of its folder, and a new one where it is lost. The verbs behind `key`.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use codec::Ed25519Signer;
use protocol::edge::Signer as _;
use protocol::fingerprint::Fingerprint;
use serde_json::{Value, json};

use crate::center::Center;
use crate::copy;
use crate::entropy;
use crate::error::{CentralError, Exit};
use crate::folder::{self, DataFolder, FolderPaths};
use crate::key_file::{self, Chance, Cost, KEY_FILE_BYTES};
use crate::operations::Actor;
use crate::store::AuditEntry;

/// Writes the key, encrypted, to a file that was not there before. A server may run.
///
/// # Errors
/// `not_initialised`, `passphrase_length`, `key_file_exists`, `folder_failed`.
pub fn export(paths: &FolderPaths, file: &Path, passphrase: &str) -> Result<Value, CentralError> {
    let seed = folder::read_seed(paths)?;
    let chance = Chance { salt: entropy::bytes(), nonce: entropy::bytes() };
    let bytes = key_file::seal(&seed, passphrase, Cost::USUAL, chance)?;
    let written = write_new(file, &bytes);
    written.map_err(|error| {
        let (code, exit) = if error.kind() == std::io::ErrorKind::AlreadyExists {
            ("key_file_exists", Exit::Refused)
        } else {
            ("key_file_unwritten", Exit::Disk)
        };
        let message = format!("{} cannot be written: {error}", file.display());
        CentralError::new(
            code,
            message,
            "Name a file that is not there yet, in a folder with room that you may write to.",
            exit,
        )
    })?;
    Ok(told(&Ed25519Signer::from_seed(&seed), &json!({ "file": file.display().to_string() })))
}

/// Puts the key of a file into a folder. The folder may have lost its key; another one is replaced only with `replaces`.
///
/// # Errors
/// Those of [`key_file::open`]; `key_differs`, `copy_of_this_key`, `folder_in_use`, `not_initialised`, `folder_failed`: nothing has
/// changed then.
pub fn import(paths: &FolderPaths, file: &Path, passphrase: &str, replaces: bool) -> Result<Value, CentralError> {
    let bytes = folder::read_small(file, KEY_FILE_BYTES as u64 + 1)?.ok_or_else(|| {
        let message = format!("there is no file {}", file.display());
        CentralError::new("input_unreadable", message, "Check the path. Nothing was done.", Exit::Usage)
    })?;
    let seed = key_file::open(&bytes, passphrase)?;
    let signer = Ed25519Signer::from_seed(&seed);
    let folder = DataFolder::open_without_key(paths.clone())?;
    let fingerprint = Fingerprint::of(&signer.public_key());
    if copy::mark_of(&paths.copy_mark())?.is_some_and(|mark| mark.original == fingerprint.to_string()) {
        let message =
            "this folder is a copy for tests, and this is the key of its original: two centrals would have one key";
        let advice = "Import it where the original is. If this folder is to become the original, remove the file central.copy first.";
        return Err(CentralError::refused("copy_of_this_key", message, advice));
    }
    let before = check_replaces(&folder, &fingerprint, replaces)?;
    if before.as_ref() != Some(&fingerprint) {
        let change = key_change("key-import", before.as_ref(), &fingerprint);
        // The key is what matters: it may have to be put back before the store can be used at all.
        if let Err(error) = Center::note_key_change(&folder, &change) {
            tracing::warn!(code = error.code, "the audit log does not say that the key was imported: {error}");
        }
        folder.write_key(&seed)?;
    }
    Ok(told(&signer, &json!({ "before": before.map(|before| before.to_string()) })))
}

/// Makes a new key where the old one is lost with its backups. Each site has to be told its fingerprint (`outpost re-pin`). Tokens
/// are made with the key, so that all are forgotten first: of each site, whichever device comes next with its key is its device.
///
/// # Errors
/// Those of the store; `key_differs` if there is a key and `replaces` is not given; `folder_in_use`, `not_initialised`, `folder_failed`.
pub fn make(paths: &FolderPaths, replaces: bool) -> Result<Value, CentralError> {
    let folder = DataFolder::open_without_key(paths.clone())?;
    let seed = zeroize::Zeroizing::new(entropy::bytes());
    let signer = Ed25519Signer::from_seed(&seed);
    let before = check_replaces(&folder, &Fingerprint::of(&signer.public_key()), replaces)?;
    let change = key_change("key-new", before.as_ref(), &Fingerprint::of(&signer.public_key()));
    Center::forget_tokens(&folder, &change)?;
    folder.write_key(&seed)?;
    Ok(told(&signer, &json!({ "before": before.map(|before| before.to_string()) })))
}

/// The fingerprint of the key that is there, unless it would be lost.
fn check_replaces(
    folder: &DataFolder,
    wanted: &Fingerprint,
    replaces: bool,
) -> Result<Option<Fingerprint>, CentralError> {
    if !folder.paths().has_key() {
        return Ok(None);
    }
    let before = match folder.signer() {
        Ok(signer) => Fingerprint::of(&signer.public_key()),
        // What cannot be read is no loss, but somebody has to want it.
        Err(_) if replaces => return Ok(None),
        Err(error) => return Err(error),
    };
    if before == *wanted || replaces {
        return Ok(Some(before));
    }
    let message = format!("this folder has another key, {}, not {}", before.short(), wanted.short());
    let advice = "Every site that is enrolled trusts the key that is here. To give it up, give --replace; `key export` saves it first.";
    Err(CentralError::refused("key_differs", message, advice))
}

/// What the audit log says of another key.
fn key_change(verb: &str, before: Option<&Fingerprint>, after: &Fingerprint) -> AuditEntry {
    AuditEntry {
        before: json!({ "fingerprint": before.map(ToString::to_string) }),
        after: json!({ "fingerprint": after.to_string() }),
        ..AuditEntry::new(Actor::this_user().name(), verb)
    }
}

fn told(signer: &Ed25519Signer, more: &Value) -> Value {
    let mut value = identity(signer);
    if let (Some(fields), Some(more)) = (value.as_object_mut(), more.as_object()) {
        fields.extend(more.clone());
    }
    value
}

/// Key and fingerprints.
pub fn identity(signer: &Ed25519Signer) -> Value {
    let key = signer.public_key();
    let fingerprint = Fingerprint::of(&key);
    json!({
        "central_key": key.to_string(),
        "fingerprint": fingerprint.to_string(),
        "fingerprint_short": fingerprint.short(),
    })
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half of it would be taken for a backup; it was made just now.
        let _ = std::fs::remove_file(path);
    }
    written?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
