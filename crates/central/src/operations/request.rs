//! What a person may ask of central, and what comes back: the same types whether the folder is opened directly or a running
//! server is asked through its socket.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{CentralError, Exit};
use crate::store::HomeKind;

/// Most records in one answer.
pub const LIST_LIMIT_MAX: u32 = 1000;
/// How many an answer holds when nobody says.
pub const LIST_LIMIT_DEFAULT: u32 = 100;

/// That a list is asked for in parts that an answer holds. `last`: what the next part goes on behind.
pub(super) fn check_limit(limit: u32, last: &str) -> Result<(), CentralError> {
    if (1..=LIST_LIMIT_MAX).contains(&limit) {
        return Ok(());
    }
    let message = format!("--limit {limit} must be 1 to {LIST_LIMIT_MAX}");
    Err(CentralError::new("limit", message, format!("Page on with --after and the last {last}."), Exit::Usage))
}

/// One thing to do. On the socket: the first line of `POST /v0/verbs`; for `import` the lines to import follow.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Add a site.
    SiteAdd(SiteToAdd),
    /// All sites, central first.
    SiteList {
        /// Those too that were deleted.
        #[serde(default)]
        is_with_deleted: bool,
    },
    /// Do not take the device of a site until the site is enabled.
    SiteDisable {
        /// Its name, or its id.
        site: String,
    },
    /// Take the device of a disabled site again.
    SiteEnable {
        /// Its name, or its id.
        site: String,
    },
    /// Do not take the device of a site for a while.
    SitePause {
        /// Its name, or its id.
        site: String,
        /// From now on, 1 to [`crate::store::PAUSE_MINUTES_MAX`].
        minutes: u32,
    },
    /// End a pause before its time.
    SiteUnpause {
        /// Its name, or its id.
        site: String,
    },
    /// Whether the device of a site would be taken right now.
    SiteCheck {
        /// Its name, or its id.
        site: String,
    },
    /// Delete a site that has no stores.
    SiteDelete {
        /// Its name, or its id.
        site: String,
        /// Only say what would come to which site.
        #[serde(default)]
        is_dry_run: bool,
    },
    /// One site.
    SiteShow {
        /// Its name, or its id.
        site: String,
    },
    /// Write what a site is to have, from the beginning. The bytes come before the answer.
    SiteExport {
        /// Its name, or its id.
        site: String,
    },
    /// Take a request that came by file: its bytes follow. Those of its answer come before what was done.
    CarryIn,
    /// Let a site that was stopped go on.
    SiteResume {
        /// Its name, or its id.
        site: String,
        /// Which of its two devices, `answered_last` or `dead_token`; whichever comes next if nobody says.
        #[serde(default)]
        device: Option<String>,
    },
    /// Refused edits of a site that nobody has dealt with.
    SetAsideList(SetAsideToList),
    /// A refused edit beside the record as it is.
    SetAsideShow {
        /// The site's name, or its id.
        site: String,
        /// Which edit.
        place: SetAsidePlace,
    },
    /// Somebody has dealt with a refused edit: it is not shown any more.
    SetAsideDismiss {
        /// The site's name, or its id.
        site: String,
        /// Which edit.
        place: SetAsidePlace,
    },
    /// Somebody has dealt with all refused edits of a site that are there, or with the first of them.
    SetAsideDismissAll {
        /// The site's name, or its id.
        site: String,
        /// The last one; without it all that are there when it begins.
        #[serde(default)]
        through: Option<SetAsidePlace>,
    },
    /// Record a refused edit, where central may, as its own.
    SetAsideApply {
        /// The site's name, or its id.
        site: String,
        /// Which edit; without it all that are there when it begins, in their order.
        #[serde(default)]
        place: Option<SetAsidePlace>,
    },
    /// Change a site's name, password or code.
    SiteEdit(SiteToEdit),
    /// Ask a site to compare what it has with what it should have.
    SiteVerify {
        /// Its name, or its id.
        site: String,
    },
    /// Free a site of its device.
    SiteResetHardware {
        /// Its name, or its id.
        site: String,
    },
    /// Let a store be active at a site.
    StoreAdd {
        /// The store's id.
        store: String,
        /// The site's name, or its id.
        site: String,
        /// Without waiting for the site that it comes from.
        #[serde(default)]
        is_at_once: bool,
        /// Only say what would come to which site.
        #[serde(default)]
        is_dry_run: bool,
    },
    /// Let a store be active at central.
    StoreRemove {
        /// The store's id.
        store: String,
        /// Without waiting for the site that it comes from.
        #[serde(default)]
        is_at_once: bool,
        /// Only say what would come to which site.
        #[serde(default)]
        is_dry_run: bool,
    },
    /// Leave a store that moves at the site that it comes from.
    StoreCallOff {
        /// The store's id.
        store: String,
    },
    /// Stores that are on their way between sites.
    StoreMoves,
    /// All stores and who holds them.
    StoreList,
    /// What a store is on which site, whom it sees and who sees it.
    StoreShow {
        /// The store's id.
        store: String,
    },
    /// Give a site a collector copy of a store, or take it back.
    StoreSetRole {
        /// The store's id.
        store: String,
        /// The site's name, or its id.
        site: String,
        /// `collector` or `default`; for central `transfer`, `collector` or `default`.
        role: String,
        /// Only say what would come to which site.
        #[serde(default)]
        is_dry_run: bool,
    },
    /// Send the site of a store once more what it sees.
    StoreResync {
        /// The store's id.
        store: String,
    },
    /// Switch a preference on or off.
    PreferenceSet {
        /// Which.
        name: String,
        /// On or off.
        is_on: bool,
        /// The store's id, of a preference that each store has.
        #[serde(default)]
        store: Option<String>,
    },
    /// Every preference, and whether it is on.
    PreferenceList,
    /// Make a name visible in a store.
    VisibilityAdd {
        /// The name's id.
        name: String,
        /// The store's id.
        store: String,
    },
    /// Take that back.
    VisibilityRemove {
        /// The name's id.
        name: String,
        /// The store's id.
        store: String,
    },
    /// Which names are visible in which stores.
    VisibilityList(VisibilityToList),
    /// Let a site write central data, once it has everything.
    MirrorEnable {
        /// The site's name, or its id.
        primary: String,
    },
    /// Write central data on central again.
    MirrorDisable {
        /// Without waiting for what the primary has not sent.
        #[serde(default)]
        is_at_once: bool,
    },
    /// Who writes central data.
    MirrorShow,
    /// Give a patient or prescriber another home store.
    HomeStoreSet {
        /// Which of the two.
        kind: HomeKind,
        /// Its id.
        id: String,
        /// The store's id.
        store: String,
        /// Without waiting for what its home site has not sent.
        #[serde(default)]
        is_at_once: bool,
    },
    /// Patients or prescribers that are on their way to another home store.
    HomeTransfers(TransfersToList),
    /// What goes from one store to another.
    Transfers(StoreTransfersToList),
    /// Record central data: NDJSON lines follow.
    Import {
        /// Record the good lines and list the refused ones, instead of recording nothing when one is bad.
        #[serde(default, rename = "continue")]
        continue_past_refused: bool,
    },
    /// Make two records one.
    Merge {
        /// The table's name.
        table: String,
        /// The record that goes.
        from: String,
        /// The record that stays.
        into: String,
    },
    /// Records of a table in the order of their ids.
    Records(RecordsToList),
    /// Who may write a record, or a store's data, who receives it and why, and who has not read it yet.
    Explain {
        /// The table's name, or a store's id.
        table: String,
        /// The record's id; none for a store.
        #[serde(default)]
        id: Option<String>,
    },
    /// Go on without the sites that have not reported since central was set back.
    HealingEnd,
    /// Add an account.
    AccountAdd(AccountToAdd),
    /// Every account.
    AccountList,
    /// Change what an account may do, or its password.
    AccountEdit(AccountToEdit),
    /// Let an account sign in no more, or again.
    AccountSetDisabled {
        /// The login.
        name: String,
        /// Whether it may not.
        is_disabled: bool,
    },
    /// Remove an account.
    AccountRemove {
        /// The login.
        name: String,
    },
    /// Make a token for a script.
    TokenAdd {
        /// What it is called.
        name: String,
        /// `viewer` or `administrator`.
        role: String,
        /// How many days it lasts; until it is revoked if nobody says.
        #[serde(default)]
        days: Option<u32>,
    },
    /// Every token, without its secret.
    TokenList,
    /// End a token.
    TokenRevoke {
        /// What it is called.
        name: String,
    },
    /// Set the authorisation code.
    AuthorisationCodeSet {
        /// The code; kept as a hash alone.
        authorisation_code: String,
    },
    /// Take the authorisation code away.
    AuthorisationCodeClear,
    /// Open what the authorisation code locks, for whoever asks.
    Unlock {
        /// The code.
        authorisation_code: String,
    },
    /// Lock it again.
    Lock,
    /// Who changed what.
    Audit(AuditToList),
    /// Sites, queues and sizes.
    Status,
    /// Central's key, its fingerprints and the epoch.
    Identity,
}

/// A site to add.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteToAdd {
    /// The login.
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub code: String,
    /// `standalone` or `mobile`.
    pub kind: String,
    /// Stores that it holds.
    #[serde(default)]
    pub stores: Vec<String>,
    /// Kept as a hash alone.
    pub password: String,
    /// Only say what would come to which site.
    #[serde(default)]
    pub is_dry_run: bool,
    /// It makes the receiving halves of transfers to its stores itself.
    #[serde(default)]
    pub makes_own_halves: bool,
}

/// Which joins of names and stores.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisibilityToList {
    /// Only of this name.
    #[serde(default)]
    pub name: Option<String>,
    /// Only in this store.
    #[serde(default)]
    pub store: Option<String>,
    /// Only those behind the one with this id, by name and store.
    #[serde(default)]
    pub after: Option<String>,
    /// How many, at most [`LIST_LIMIT_MAX`].
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Which transfers from one store to another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreTransfersToList {
    /// Only those of a store that is active at this site, by its name or its id.
    #[serde(default)]
    pub site: Option<String>,
    /// Only those of this store.
    #[serde(default)]
    pub store: Option<String>,
    /// Only those that are stuck.
    #[serde(default)]
    pub is_stuck_only: bool,
    /// Only those behind this number.
    #[serde(default)]
    pub after: Option<u64>,
    /// How many, at most [`LIST_LIMIT_MAX`].
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Which transfers to another home store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransfersToList {
    /// Those of patients or of prescribers.
    pub kind: HomeKind,
    /// Only those behind this id.
    #[serde(default)]
    pub after: Option<String>,
    /// How many, at most [`LIST_LIMIT_MAX`].
    #[serde(default)]
    pub limit: Option<u32>,
}

/// An account to add.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountToAdd {
    /// The login.
    pub name: String,
    /// `viewer` or `administrator`.
    pub role: String,
    /// The password; kept as a hash alone.
    pub password: String,
}

/// What to change of an account; what is not given stays.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountToEdit {
    /// The login.
    pub name: String,
    /// `viewer` or `administrator`.
    #[serde(default)]
    pub role: Option<String>,
    /// Another password; kept as a hash alone.
    #[serde(default)]
    pub password: Option<String>,
}

/// Which rows of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditToList {
    /// Only those that concern this site, by its name or its id.
    #[serde(default)]
    pub site: Option<String>,
    /// Those behind this number; else the newest.
    #[serde(default)]
    pub after: Option<u64>,
    /// How many, at most [`LIST_LIMIT_MAX`].
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Where a refused edit stands: `JOURNAL:SEQUENCE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAsidePlace(pub String);

/// What an edit is that central keeps and has not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SetAsideKind {
    /// Whoever sent it was not the one any more who might.
    Late,
    /// A rule refused it.
    Refused,
    /// It waits for its header.
    Waiting,
}

/// Which refused edits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetAsideToList {
    /// The site's name, or its id.
    pub site: String,
    /// Only those of this kind; without it those that were refused or came too late.
    #[serde(default)]
    pub kind: Option<SetAsideKind>,
    /// Begin behind this one.
    #[serde(default)]
    pub after: Option<SetAsidePlace>,
    /// At most this many, 1 to [`LIST_LIMIT_MAX`].
    #[serde(default = "limit_default")]
    pub limit: u32,
}

/// What to change of a site; what is not given stays.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteToEdit {
    /// Its name, or its id.
    pub site: String,
    /// Another login.
    #[serde(default)]
    pub name: Option<String>,
    /// Another text.
    #[serde(default)]
    pub code: Option<String>,
    /// Another password; kept as a hash alone.
    #[serde(default)]
    pub password: Option<String>,
    /// Whether it makes the receiving halves of transfers to its stores itself.
    #[serde(default)]
    pub makes_own_halves: Option<bool>,
}

/// Which records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordsToList {
    /// The table's name.
    pub table: String,
    /// Only this one.
    #[serde(default)]
    pub id: Option<String>,
    /// Only those of this store.
    #[serde(default)]
    pub store: Option<String>,
    /// Begin after this id.
    #[serde(default)]
    pub after: Option<String>,
    /// At most this many, 1 to [`LIST_LIMIT_MAX`].
    #[serde(default = "limit_default")]
    pub limit: u32,
    /// Those too that were merged into others.
    #[serde(default)]
    pub merged: bool,
}

const fn limit_default() -> u32 {
    LIST_LIMIT_DEFAULT
}

/// A verb that was carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// What it found or did.
    pub value: Value,
    /// [`Exit::Ok`], or [`Exit::Partial`] if something was refused.
    pub exit: Exit,
}

impl Done {
    /// All of it was done.
    pub fn ok(value: Value) -> Self {
        Self { value, exit: Exit::Ok }
    }
}

/// How far something long is; told while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Progress {
    /// Lines are being checked; none is recorded yet.
    Checking {
        /// Lines so far.
        lines: u64,
    },
    /// Lines are being recorded.
    Recording {
        /// Lines so far.
        lines: u64,
        /// Lines in all.
        lines_total: u64,
    },
    /// A device's edits are being taken.
    Taking {
        /// Edits so far.
        edits: u64,
    },
    /// The answer to them is being written.
    Answering {
        /// Pages so far.
        pages: u64,
    },
    /// A site is being exported.
    Exporting {
        /// Rows so far.
        rows: u64,
        /// Rows in all, as counted when it began.
        rows_total: u64,
    },
}
