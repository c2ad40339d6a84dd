//! Mending what a comparison with central has found (`protocol::verify`).

use protocol::ids::ScopeId;
use protocol::page::PageRow;
use protocol::verify::RecordHash;

use super::handing_back::hand_back;
use super::{Core, RecordError, Recorder};
use crate::journal::storage::Storage;
use crate::local_copy::{Differences, MemberPlace};

/// What was mended in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mended {
    /// Records of this site that were journaled again.
    pub sent_again: u64,
    /// Records that were taken as central has them.
    pub pulled: u64,
    /// Versions that gave way and were set aside.
    pub set_aside: u64,
    /// Records that went.
    pub let_go: u64,
    /// Records that differ and were left alone.
    pub left_alone: u64,
}

impl<S: Storage> Recorder<S> {
    /// Compares rows of a scope as central has them with what is here, and mends the differences.
    ///
    /// # Errors
    /// Those of the journal and of the local copy; `set_aside_full` if versions that give way have no room.
    pub fn verify_rows(&self, scope: &ScopeId, rows: &[PageRow]) -> Result<Mended, RecordError> {
        let mut core = self.core();
        let found = core.local.differences(scope, rows)?;
        mend(&mut core, scope, found)
    }

    /// Mends members of a scope that central did not name, a bounded number of them behind a place; how far this came, or `None` at the
    /// end. The lock is given back between the steps, so that edits go on.
    ///
    /// # Errors
    /// As for [`Recorder::verify_rows`].
    pub fn verify_members(
        &self,
        scope: &ScopeId,
        after: Option<&MemberPlace>,
        is_extra: &dyn Fn(RecordHash) -> bool,
    ) -> Result<(Mended, Option<MemberPlace>), RecordError> {
        let mut core = self.core();
        let (found, last) = core.local.not_at_central(scope, after, is_extra)?;
        Ok((mend(&mut core, scope, found)?, last))
    }
}

/// What gives way is kept before anything takes its place; what is sent again is in the journal before central's version lies below it.
fn mend<S: Storage>(core: &mut Core<S>, scope: &ScopeId, mut found: Differences) -> Result<Mended, RecordError> {
    let sent_again = found.sent_again.len() as u64;
    let mended = Mended {
        sent_again,
        pulled: found.pulled,
        set_aside: found.aside.len() as u64,
        let_go: found.let_go,
        left_alone: found.left_alone,
    };
    core.local.set_versions_aside(&found.aside)?;
    if sent_again > 0 {
        log::warn!("records of this site differ from central's and are sent again count={sent_again}");
        hand_back(core, std::mem::take(&mut found.sent_again))?;
    }
    core.local.take_verified(scope, &found)?;
    Ok(mended)
}
