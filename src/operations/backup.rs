//! `backup`: what central may not have, in a sealed file. Read from the local copy as of one moment, beside a running daemon too: whoever
//! records meanwhile waits for nothing.

use std::path::Path;
use std::sync::Arc;

use protocol::carried::Label;
use protocol::ids::{Hash, PublicKey, SiteId};
use sealed::{Kind, Passphrase};
use serde_json::{Value, json};

use super::backup_lines::{About, about_line, refused_lines, staying_lines, unsent_lines};
use super::{Input, Performer, Progress, Request, no_events};
use crate::agent::write_sealed;
use crate::clock;
use crate::config::Config;
use crate::data_folder::Layout;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::hex;
use crate::local_copy::{Kind as JournalKind, LocalCopy};

/// Groups between two reports of progress.
const PROGRESS_GROUPS: u64 = 1000;

/// Writes a backup to a new file. Returns `{"file","made_at_ms","unsent","waiting","staying","refused","refused_at_central"}`.
///
/// # Errors
/// `not_enrolled`, `recovery_under_way`, `backup_not_now`; `file_exists` and those of the disk. No file is there then.
pub fn backup(
    performer: &dyn Performer,
    config: &Config,
    file: &Path,
    passphrase: &Passphrase,
    events: &mut dyn FnMut(Progress),
) -> Result<Value, AgentError> {
    let ask = |request| performer.perform(request, &mut Input::empty(), &mut no_events);
    let label = label_of(&ask(Request::Site)?)?;
    write_sealed(file, (Kind::Backup, &label), passphrase, |write| {
        // Behind this everything that was acknowledged is in the local copy.
        let status = ask(Request::Status)?;
        let mut copy = copy_as_of(&status, config, label.site)?;
        let about = About { made_at_ms: clock::wall_now().0, counts: copy.kept_in_backup()? };
        let counts = about.counts;
        let (mut done, total) = (0, counts.unsent + counts.waiting + counts.staying + counts.refused);
        let mut put = |lines: String, edits: usize| {
            write(lines.as_bytes())?;
            let before = done;
            done += edits as u64;
            if done / PROGRESS_GROUPS > before / PROGRESS_GROUPS {
                events(Progress::BackingUp { done, total });
            }
            Ok::<_, AgentError>(())
        };
        put(about_line(&about), 0)?;
        copy.each_unsent(|group| put(unsent_lines(&group), group.edits.len()))?;
        copy.each_staying(|edit| put(staying_lines(&edit), 1))?;
        copy.each_refused(|entry| put(refused_lines(&entry), 1))?;
        Ok(json!({
            "file": file.display().to_string(),
            "made_at_ms": about.made_at_ms,
            "unsent": counts.unsent,
            "waiting": counts.waiting,
            "staying": counts.staying,
            "refused": counts.refused,
            "refused_at_central": counts.refused_at_central,
        }))
    })
}

fn label_of(site: &Value) -> Result<Label, AgentError> {
    let id = site["id"].as_u64().and_then(|id| u32::try_from(id).ok());
    let key = site["central_key"].as_str().and_then(hex::array);
    let (Some(id), Some(key)) = (id, key) else {
        let advice = "There is nothing to keep before `outpost enrol`.";
        return Err(AgentError::new("not_enrolled", "this data folder belongs to no site yet", advice, Exit::Config));
    };
    Ok(Label { central: PublicKey(key), site: SiteId(id), context: Hash([0; 32]) })
}

/// The local copy, which stands still from now on and has everything that the status knows of.
fn copy_as_of(status: &Value, config: &Config, site: SiteId) -> Result<LocalCopy, AgentError> {
    if !status["recovery"].is_null() {
        let advice = "Run `outpost recover` first: edits of it lie in a file alone. Nothing was written.";
        return Err(AgentError::new("recovery_under_way", "a recovery is not over", advice, Exit::Refused));
    }
    let path = Layout::of(&config.data_folder).local_copy();
    let mut copy = LocalCopy::open_read_only(&path, site, Arc::new(config.catalogue()?))?;
    copy.stand_still()?;
    let journal = copy.journal()?.map(|journal| journal.to_string());
    let is_behind = [(JournalKind::Shared, "journal"), (JournalKind::Private, "private_journal")]
        .into_iter()
        .map(|(kind, name)| Ok(copy.applied(kind)?.0 < status[name]["head"].as_u64().unwrap_or(u64::MAX)))
        .collect::<Result<Vec<bool>, AgentError>>()?;
    if journal.as_deref() != status["journal"]["id"].as_str() || is_behind.contains(&true) {
        let message = "the local copy does not have everything that is recorded, or took another journal just now";
        let advice =
            "Run the command again; if it fails again, see `outpost status` and `outpost doctor`. Nothing was written.";
        return Err(AgentError::new("backup_not_now", message, advice, Exit::Failed));
    }
    Ok(copy)
}
