//! What a verb can change, and so who may ask for it and what of it the audit log tells.

use super::request::Request;
use crate::store::AccountRole;

impl Request {
    /// Whether it is only to be said what the verb would do.
    pub fn is_dry_run(&self) -> bool {
        match self {
            Self::SiteAdd(site) => site.is_dry_run,
            Self::SiteDelete { is_dry_run, .. }
            | Self::StoreAdd { is_dry_run, .. }
            | Self::StoreRemove { is_dry_run, .. }
            | Self::StoreSetRole { is_dry_run, .. } => *is_dry_run,
            _ => false,
        }
    }

    /// Who may ask for it: whoever may look, or only an administrator.
    pub fn role(&self) -> AccountRole {
        // Refused edits hold what was written, of patients too.
        let is_for_few =
            matches!(self, Self::AccountList | Self::TokenList | Self::SetAsideList(_) | Self::SetAsideShow { .. });
        if self.only_looks() && !is_for_few { AccountRole::Viewer } else { AccountRole::Administrator }
    }

    /// Whether it takes more than one commit, so that the audit log says when it began.
    pub(super) fn is_long(&self) -> bool {
        matches!(self, Self::Import { .. } | Self::SetAsideDismissAll { .. } | Self::SetAsideApply { place: None, .. })
    }

    /// Whether the verb changes nothing, so that asking twice does no harm.
    pub fn only_looks(&self) -> bool {
        match self {
            Self::SiteList { .. }
            | Self::SiteCheck { .. }
            | Self::SiteShow { .. }
            | Self::StoreList { .. }
            | Self::StoreShow { .. }
            | Self::StoreMoves
            | Self::VisibilityList(_)
            | Self::MirrorShow
            | Self::PreferenceList
            | Self::HomeTransfers(_)
            | Self::Transfers(_)
            | Self::SetAsideList(_)
            | Self::SetAsideShow { .. }
            | Self::Records(_)
            | Self::Explain { .. }
            | Self::AccountList
            | Self::TokenList
            | Self::Audit(_)
            | Self::Status
            | Self::Identity => true,
            Self::AccountAdd(_)
            | Self::AccountEdit(_)
            | Self::AccountSetDisabled { .. }
            | Self::AccountRemove { .. }
            | Self::TokenAdd { .. }
            | Self::TokenRevoke { .. }
            | Self::AuthorisationCodeSet { .. }
            | Self::AuthorisationCodeClear
            | Self::Unlock { .. }
            | Self::Lock
            | Self::SiteAdd(_)
            | Self::SiteEdit(_)
            | Self::SiteResetHardware { .. }
            | Self::SiteVerify { .. }
            | Self::SiteResume { .. }
            | Self::SiteDisable { .. }
            | Self::SiteEnable { .. }
            | Self::SitePause { .. }
            | Self::SiteUnpause { .. }
            | Self::SiteDelete { .. }
            // Its bytes may have been written by half when the server went away.
            | Self::SiteExport { .. }
            | Self::CarryIn
            | Self::SetAsideDismiss { .. }
            | Self::SetAsideDismissAll { .. }
            | Self::SetAsideApply { .. }
            | Self::StoreAdd { .. }
            | Self::StoreRemove { .. }
            | Self::StoreCallOff { .. }
            | Self::StoreResync { .. }
            | Self::PreferenceSet { .. }
            | Self::StoreSetRole { .. }
            | Self::MirrorEnable { .. }
            | Self::MirrorDisable { .. }
            | Self::HomeStoreSet { .. }
            | Self::VisibilityAdd { .. }
            | Self::VisibilityRemove { .. }
            | Self::HealingEnd
            | Self::Merge { .. }
            | Self::Import { .. } => false,
        }
    }
}
