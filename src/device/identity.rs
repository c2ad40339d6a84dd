//! The file `identity`: which journals this device writes, and what central said when it was enrolled.

use std::path::{Path, PathBuf};

use protocol::hardware::HardwareId;
use protocol::ids::{CredentialGeneration, HardwareSalt, JournalId, PublicKey, SiteId};
use serde::{Deserialize, Serialize};

use super::error::DeviceError;
use crate::config::CentralUrl;
use crate::{checked_line, durable_file, hex};

const NAME: &str = "identity";
const VERSION: u64 = 1;

/// Largest identity file, in bytes: an address of 2 kB, a name of 256 bytes, ids, a hardware id of
/// 550 digits, and room for escapes.
const BYTES_MAX: usize = 8 * 1024;

/// What a device knows of itself beside its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The journal that goes to central.
    pub journal: JournalId,
    /// The journal of entries that never leave the site.
    pub private_journal: JournalId,
    /// What central said; `None` before the first enrolment.
    pub enrolment: Option<Enrolment>,
    /// Whether the journals were made. One that is not there then is lost: an empty one in its place would use its sequences
    /// again.
    pub has_journals: bool,
}

/// What central said when this device was enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// The site that this device speaks for.
    pub site: SiteId,
    /// Its name.
    pub site_name: String,
    /// Central's address at that time; the setting `central.url` goes before it.
    pub central_url: CentralUrl,
    /// Central's key, pinned: what another key signs is not from central.
    pub central_key: PublicKey,
    /// The generation of the site's name and password.
    pub generation: CredentialGeneration,
    /// The site's salt, with which the hardware's values are hashed.
    pub salt: HardwareSalt,
    /// What the device was made of at that time.
    pub hardware: HardwareId,
    /// Since when it speaks for the site with that hardware, in milliseconds since 1970 by this device's clock; for people.
    pub bound_ms: Option<u64>,
}

/// The line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    version: u64,
    journal: String,
    private_journal: String,
    enrolment: Option<EnrolmentFields>,
    #[serde(default)]
    has_journals: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnrolmentFields {
    site_id: u32,
    site_name: String,
    central_url: String,
    central_key: String,
    credential_generation: u32,
    salt: String,
    hardware: String,
    #[serde(default)]
    bound_ms: Option<u64>,
}

impl Identity {
    pub(super) fn fresh(journal: JournalId, private_journal: JournalId) -> Self {
        Self { journal, private_journal, enrolment: None, has_journals: false }
    }

    pub(super) fn read(folder: &Path) -> Result<Option<Identity>, DeviceError> {
        let path = folder.join(NAME);
        let Some(bytes) = durable_file::read_private(&path, BYTES_MAX)? else { return Ok(None) };
        Self::from_bytes(&path, &bytes).map(Some)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), DeviceError> {
        Ok(durable_file::replace_private(&folder.join(NAME), &self.to_bytes())?)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let line = Line {
            version: VERSION,
            journal: self.journal.to_string(),
            private_journal: self.private_journal.to_string(),
            enrolment: self.enrolment.as_ref().map(|enrolment| EnrolmentFields {
                site_id: enrolment.site.0,
                site_name: enrolment.site_name.clone(),
                central_url: enrolment.central_url.to_string(),
                central_key: enrolment.central_key.to_string(),
                credential_generation: enrolment.generation.0,
                salt: enrolment.salt.to_string(),
                hardware: hex::text(&enrolment.hardware.encode()),
                bound_ms: enrolment.bound_ms,
            }),
            has_journals: self.has_journals,
        };
        let line = serde_json::to_string(&line).expect("texts and numbers are always JSON");
        checked_line::with_checksum(&line).into_bytes()
    }

    fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Identity, DeviceError> {
        let damaged = || DeviceError::Damaged { path: path.to_path_buf() };
        let line = checked_line::checked(bytes).ok_or_else(damaged)?;
        // The version first: a later one may have other fields.
        let any: serde_json::Value = serde_json::from_str(line).map_err(|_| damaged())?;
        match any.get("version").and_then(serde_json::Value::as_u64) {
            Some(VERSION) => {}
            Some(found) => return Err(DeviceError::Version { path: PathBuf::from(path), found }),
            None => return Err(damaged()),
        }
        let line: Line = serde_json::from_str(line).map_err(|_| damaged())?;
        line.into_identity().ok_or_else(damaged)
    }
}

impl Line {
    fn into_identity(self) -> Option<Identity> {
        let enrolment = match self.enrolment {
            None => None,
            Some(fields) => Some(Enrolment {
                site: SiteId(fields.site_id),
                site_name: fields.site_name,
                central_url: CentralUrl::parse(&fields.central_url).ok()?,
                central_key: PublicKey(hex::array(&fields.central_key)?),
                generation: CredentialGeneration(fields.credential_generation),
                salt: HardwareSalt(hex::array(&fields.salt)?),
                hardware: HardwareId::decode(&hex::bytes(&fields.hardware)?).ok()?,
                bound_ms: fields.bound_ms,
            }),
        };
        Some(Identity {
            journal: JournalId(hex::array(&self.journal)?),
            private_journal: JournalId(hex::array(&self.private_journal)?),
            enrolment,
            has_journals: self.has_journals,
        })
    }
}
