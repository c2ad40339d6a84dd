//! A group of processes with a limit of memory.

use std::path::{Path, PathBuf};

/// The limit that the systemd unit sets (`MemoryMax`), in bytes.
pub const UNIT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A control group whose processes have no more memory than a limit: who would pass it is killed, as under systemd's `MemoryMax`. Page
/// cache counts too, and is given up first.
#[derive(Debug)]
pub struct MemoryGroup {
    folder: PathBuf,
    is_unified: bool,
}

impl MemoryGroup {
    /// Makes one; `None` where the system has no memory controller, or does not let this user have it.
    pub fn new(name: &str, bytes_max: u64) -> Option<Self> {
        let groups =
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes", false), ("/sys/fs/cgroup", "memory.max", true)];
        groups.into_iter().find_map(|(root, limit, is_unified)| {
            let folder = Path::new(root).join(format!("{name}-{}", std::process::id()));
            if !Path::new(root).join("cgroup.procs").is_file() {
                return None;
            }
            std::fs::create_dir(&folder).ok()?;
            let group = Self { folder, is_unified };
            let is_limited = std::fs::write(group.folder.join(limit), bytes_max.to_string()).is_ok();
            let found = group.number(limit);
            (is_limited && found == Some(bytes_max)).then_some(group)
        })
    }

    /// The file that a process writes its id to so as to be in the group, and all that it starts.
    pub fn members(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// How many processes of the group were killed because there was no memory for them; `None` if the system does not say.
    pub fn kills(&self) -> Option<u64> {
        let file = if self.is_unified { "memory.events" } else { "memory.oom_control" };
        let text = std::fs::read_to_string(self.folder.join(file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    }

    /// The most that the group ever had, page cache included, in bytes.
    pub fn peak(&self) -> Option<u64> {
        self.number(if self.is_unified { "memory.peak" } else { "memory.max_usage_in_bytes" })
    }

    fn number(&self, file: &str) -> Option<u64> {
        std::fs::read_to_string(self.folder.join(file)).ok()?.trim().parse().ok()
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.folder);
    }
}
