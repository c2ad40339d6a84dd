//! How this device is judged.

use std::path::{Path, PathBuf};

use protocol::hardware::BindingStrength;

use super::line::Line;
use crate::device::Binding;
use crate::durable_file::FileError;
use crate::exit::Exit;

/// From here on a disk is warned of, in milliseconds of one sync: each group that is recorded waits for one.
pub(super) const SYNC_WARN_MS: u64 = 100;

const MEGABYTE_BYTES: u64 = 1_000_000;

/// Who holds the data folder.
#[derive(Debug)]
pub(super) enum Holder {
    /// A daemon that answers.
    Daemon,
    /// Nobody.
    Nobody,
    /// A program that does not answer.
    Other {
        /// In the folder's words.
        message: String,
    },
    /// It cannot be found out.
    Unknown {
        /// A code.
        code: String,
        /// What is wrong.
        message: String,
        /// What to do.
        advice: String,
        /// How the program ends.
        exit: Exit,
    },
}

/// Whether this is the hardware that was enrolled, and how strong the binding is.
pub(super) fn binding(binding: &Binding) -> Line {
    const NAME: &str = "binding";
    let text = binding.sentences.join(" ");
    if let Err(error) = binding.check() {
        return Line::failed(NAME, &error.code, text, error.advice, error.exit);
    }
    if binding.difference().is_some() && binding.is_told() {
        let advice = "Run `outpost enrol` again to take the device as it is, before more of it changes.";
        return Line::warning(NAME, "hardware_partly_changed", text, advice);
    }
    if binding.strength < BindingStrength::Strong {
        let advice = "Nothing can be done about most devices; guard the disk, and tell whoever looks after central.";
        return Line::warning(NAME, "binding_weak", text, advice);
    }
    Line::ok(NAME, text)
}

/// Room on the disk of the data folder; `None` if there is no such folder yet.
pub(super) fn disk_space(folder: &Path, free_bytes: Result<Option<u64>, FileError>, reserve_bytes: u64) -> Line {
    const NAME: &str = "disk_space";
    let free_bytes = match free_bytes {
        Ok(Some(free_bytes)) => free_bytes,
        Ok(None) => {
            let text = format!("the data folder {} is not there yet", folder.display());
            return Line::warning(
                NAME,
                "no_data_folder",
                text,
                "`outpost enrol` makes it. Is data_folder the right one?",
            );
        }
        Err(error) => return Line::of_error(NAME, &error),
    };
    let text = format!("{} MB are free at {}", free_bytes / MEGABYTE_BYTES, folder.display());
    let advice = format!(
        "Make room: below {} MB (limits.disk_reserve_bytes) nothing can be recorded.",
        reserve_bytes.div_ceil(MEGABYTE_BYTES)
    );
    if free_bytes < reserve_bytes {
        Line::failed(NAME, "disk_full", text, advice, Exit::Disk)
    } else if free_bytes < reserve_bytes.saturating_mul(2) {
        Line::warning(NAME, "disk_nearly_full", text, advice)
    } else {
        Line::ok(NAME, text)
    }
}

/// How long the disk takes to make a few bytes durable, in milliseconds.
pub(super) fn disk_sync(sync_ms: Result<u64, FileError>) -> Line {
    const NAME: &str = "disk_sync";
    match sync_ms {
        Err(error) => Line::of_error(NAME, &error),
        Ok(sync_ms) if sync_ms > SYNC_WARN_MS => {
            let advice = "Recording waits for this each time. A worn memory card or a network disk is often why: use another disk.";
            Line::warning(NAME, "disk_slow", format!("a sync takes {sync_ms} ms"), advice)
        }
        Ok(sync_ms) => Line::ok(NAME, format!("a sync takes {sync_ms} ms")),
    }
}

/// What others than the owner may use although it is private.
pub(super) fn permissions(open_to_others: Result<Vec<PathBuf>, FileError>) -> Line {
    const NAME: &str = "permissions";
    match open_to_others {
        Err(error) => Line::of_error(NAME, &error),
        Ok(paths) if paths.is_empty() => {
            Line::ok(NAME, "the data folder, the key and what holds a password are this user's alone")
        }
        Ok(paths) => {
            let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            let advice = "Take the others' rights away with chmod go=, and find out who could read it: a key or a password that \
                          others have read must be replaced.";
            Line::failed(NAME, "file_mode", format!("others may use {}", paths.join(", ")), advice, Exit::Config)
        }
    }
}

/// A recovery that was cut.
#[derive(Debug)]
pub(super) struct UnfinishedRecovery {
    /// Edits that lie in the file alone.
    pub edits: u64,
    /// The file, if it was written.
    pub file: Option<PathBuf>,
}

/// A recovery that is under way; no line where there is none.
pub(super) fn recovery(recovery: Result<Option<UnfinishedRecovery>, FileError>) -> Option<Line> {
    const NAME: &str = "recovery";
    let UnfinishedRecovery { edits, file } = match recovery {
        Ok(recovery) => recovery?,
        Err(error) => return Some(Line::of_error(NAME, &error)),
    };
    let text = match file {
        Some(file) if edits > 0 => format!(
            "a recovery is not over; edits that are in {} alone, not sent and not set aside: {edits}",
            file.display()
        ),
        Some(_) | None => "a recovery is not over".to_owned(),
    };
    Some(Line::warning(NAME, "recovery_under_way", text, "Run `outpost recover` again: it goes on where it was."))
}

/// Whether somebody syncs by the schedule.
pub(super) fn daemon(holder: Holder, has_schedule: bool) -> Line {
    const NAME: &str = "daemon";
    match holder {
        Holder::Daemon => Line::ok(NAME, "the daemon runs"),
        Holder::Nobody if !has_schedule => Line::ok(NAME, "no daemon runs, and schedule.manual asks for none"),
        Holder::Nobody => Line::warning(
            NAME,
            "no_daemon",
            "no daemon runs",
            "Start `outpost run`, or nothing is sent but by `outpost sync`.",
        ),
        Holder::Other { message } => {
            let advice =
                "If that is the daemon, check socket_path and who may use it. If it is another command, wait for it.";
            Line::warning(NAME, "folder_in_use", message, advice)
        }
        Holder::Unknown { code, message, advice, exit } => Line::failed(NAME, &code, message, advice, exit),
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Verdict;
    use super::*;

    #[test]
    fn room_on_the_disk_is_judged_by_the_reserve() {
        let folder = Path::new("/data");
        for (free, verdict, code) in [
            (Some(200), Verdict::Ok, ""),
            (Some(199), Verdict::Warning, "disk_nearly_full"),
            (Some(100), Verdict::Warning, "disk_nearly_full"),
            (Some(99), Verdict::Failed, "disk_full"),
            (None, Verdict::Warning, "no_data_folder"),
        ] {
            let line = disk_space(folder, Ok(free), 100);
            assert_eq!((line.verdict, line.code.as_str()), (verdict, code), "{free:?}");
            assert_eq!(line.advice.is_empty(), verdict == Verdict::Ok);
        }
        let error = FileError::Io {
            action: "look at",
            path: folder.to_path_buf(),
            source: std::io::ErrorKind::PermissionDenied.into(),
        };
        assert_eq!(disk_space(folder, Err(error), 100).code, "permission_denied");
    }

    #[test]
    fn a_disk_is_slow_above_the_limit() {
        assert_eq!(disk_sync(Ok(SYNC_WARN_MS)).verdict, Verdict::Ok);
        let line = disk_sync(Ok(SYNC_WARN_MS + 1));
        assert_eq!((line.verdict, line.code.as_str()), (Verdict::Warning, "disk_slow"));
    }

    #[test]
    fn each_file_that_others_may_use_is_named() {
        let line = permissions(Ok(vec![PathBuf::from("/data/identity/key"), PathBuf::from("/etc/agent.toml")]));

        assert_eq!((line.verdict, line.exit), (Verdict::Failed, Exit::Config));
        assert_eq!(line.text, "others may use /data/identity/key, /etc/agent.toml");
        assert_eq!(permissions(Ok(Vec::new())).verdict, Verdict::Ok);
    }

    #[test]
    fn a_schedule_without_a_daemon_is_warned_of() {
        assert_eq!(daemon(Holder::Daemon, true).verdict, Verdict::Ok);
        assert_eq!(daemon(Holder::Nobody, false).verdict, Verdict::Ok);
        assert_eq!(daemon(Holder::Nobody, true).code, "no_daemon");
        assert_eq!(daemon(Holder::Other { message: "busy".to_owned() }, true).code, "folder_in_use");
    }
}
