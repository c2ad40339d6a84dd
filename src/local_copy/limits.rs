//! Limits of the local copy, each with its unit and its reason.

/// Request ids that are remembered. A file of 100,000 edits, cut and recorded again, must find all of its lines; about 30 MB.
/// The oldest go: a call repeated after that many others is taken for a new one.
pub const REQUESTS_KEPT_MAX: u64 = 262_144;
/// Refused edits that are set aside. Above it no new edits are taken; refusals of edits that are on their way are still stored,
/// so there are never more than this and the edits in the queue. Nobody looks through more by hand.
pub const SET_ASIDE_MAX: u64 = 10_000;
/// Bytes of refused edits that are set aside, as they were recorded. Above it no new edits are taken either; what is on its way still finds
/// room, so the journal's limit bounds the rest. Ten thousand edits of a usual size take a tenth of it.
pub const SET_ASIDE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Refusals that stay known of entries which nobody can send again, the newest: a central that is set back to a backup may have
/// received these entries and not judged them. About 400 bytes each.
pub const REFUSALS_KEPT_MAX: u64 = 1024;
/// Control rows of unknown codes. Above it a reply that brings another one is not stored and syncing stops until the program is
/// updated: central sends a few for each change of this site's rights.
pub const CONTROL_UNKNOWN_MAX: u64 = 1000;
/// Rows that one step of a sweep looks at, so that edits wait a few milliseconds at most.
pub const SWEEP_STEP_ROWS: u32 = 512;
/// Pending entries that are settled at once, so that memory is bounded however long the backlog.
pub(super) const SETTLE_BATCH: u32 = 256;
/// Bytes of record data in one listing: the rest is read on from the last id.
pub const LIST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Size of the write-ahead log, in bytes, from which on it is worth a warning: four times what a checkpoint leaves.
pub const LOG_BYTES_WARNING: u64 = 16 * 1024 * 1024;
/// Size of the write-ahead log, in bytes, above which pages are not stored any more. Own edits still are: they are small.
pub const LOG_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Records that went which are remembered for the feed of changes, the newest: a reader that missed more reads everything anew. About 100
/// bytes each, so 5 MB at most.
pub const GONE_KEPT_MAX: u64 = 50_000;
/// So many more may be there before the oldest are let go of.
pub(super) const GONE_TRIM_ROWS: u64 = 1_000;
/// Members of a scope that are compared at once, so that edits wait a few milliseconds at most.
pub const VERIFY_STEP_ROWS: u32 = 512;
