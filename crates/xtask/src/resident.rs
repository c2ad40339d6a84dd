//! What a process has in memory and how often it wakes up, as Linux counts it.

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resident {
    /// What it has at this moment (`VmRSS`), its program's own pages among it.
    pub(crate) now: u64,
    /// The most that it had since it began, or since [`forget_peak`] (`VmHWM`).
    pub(crate) peak: u64,
    /// What of `now` is no page of a file (`RssAnon`).
    pub(crate) anonymous: u64,
}

impl Resident {
    /// Of a process that runs; `None` of one that does not.
    pub(crate) fn of(process: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let bytes = |name: &str| field(&status, name).map(|kib| kib * 1024);
        Some(Self { now: bytes("VmRSS:")?, peak: bytes("VmHWM:")?, anonymous: bytes("RssAnon:")? })
    }
}

/// Lets the most that a process had begin at what it has. Nothing where the system does not allow it.
pub(crate) fn forget_peak(process: u32) {
    let _ = std::fs::write(format!("/proc/{process}/clear_refs"), "5");
}

/// How often the threads of a process have slept and were woken again since it began (voluntary context switches).
pub(crate) fn wake_ups(process: u32) -> Option<u64> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let of = |thread: std::io::Result<std::fs::DirEntry>| {
        let status = std::fs::read_to_string(thread.ok()?.path().join("status")).ok()?;
        field(&status, "voluntary_ctxt_switches:")
    };
    Some(threads.filter_map(of).sum())
}

fn field(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().trim_end_matches(" kB").parse().ok()
}
