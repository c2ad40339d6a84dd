//! Every method of every path, with the verb that it asks for.

use axum::http::Method;

use super::routes::{Field, Kind, Route};

const fn must(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, is_required: true, about }
}

const fn may(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, is_required: false, about }
}

const AFTER: Field = may("after", Kind::Text, "Only what comes behind this one, which an answer names as next.");
const LIMIT: Field = may("limit", Kind::Number, "How many, 1 to 1000; 100 if it is left out.");
const KIND: Field = may(
    "kind",
    Kind::OneOf(&["late", "refused", "waiting"]),
    "Only those that came too late, that a rule refused, or that wait for their header; the first two if it is left out.",
);
const AT_ONCE: Field =
    may("is_at_once", Kind::Switch, "Without waiting for what a site has not sent: that is set aside.");
const DRY_RUN: Field = may("is_dry_run", Kind::Switch, "Only say what would come to which site; nothing is changed.");
const OWN_HALVES: Field = may(
    "makes_own_halves",
    Kind::Switch,
    "It makes the receiving halves of transfers itself; central only routes them.",
);
const ROLE: Field = must("role", Kind::Text, "viewer or administrator.");
const PASSWORD: Field = must("password", Kind::Text, "8 characters or more, 1024 bytes at most; kept as a hash alone.");

const fn route(
    method: Method,
    path: &'static str,
    verb: &'static str,
    about: &'static str,
    fields: &'static [Field],
) -> Route {
    route_of(&[], method, path, verb, about, fields)
}

const fn route_of(
    fixed: &'static [(&'static str, &'static str)],
    method: Method,
    path: &'static str,
    verb: &'static str,
    about: &'static str,
    fields: &'static [Field],
) -> Route {
    Route { method, path, verb, about, fixed, fields }
}

/// Every one.
pub(super) const ROUTES: &[Route] = &[
    route(Method::GET, "/status", "status", "Sites, what waits for each, and sizes.", &[]),
    route(Method::GET, "/identity", "identity", "Central's key, its fingerprints and the epoch.", &[]),
    route(
        Method::GET,
        "/sites",
        "site-list",
        "All sites, central first.",
        &[may("is_with_deleted", Kind::Switch, "Those too that were deleted.")],
    ),
    route(
        Method::POST,
        "/sites",
        "site-add",
        "Add a site.",
        &[
            must("name", Kind::Text, "The login; unique, 1 to 100 bytes."),
            must("kind", Kind::Text, "standalone or mobile."),
            PASSWORD,
            may("code", Kind::Text, "Free text."),
            may("stores", Kind::Texts, "Ids of stores that it holds."),
            OWN_HALVES,
            DRY_RUN,
        ],
    ),
    route(Method::GET, "/sites/{site}", "site-show", "One site, by its name or id, with its stores.", &[]),
    route(
        Method::PATCH,
        "/sites/{site}",
        "site-edit",
        "Change a site. Another name or password stops its sync until its device shows the same. Name and password are locked behind the \
         authorisation code, if there is one.",
        &[
            may("name", Kind::Text, "Another login."),
            may("code", Kind::Text, "Another code."),
            may("password", Kind::Text, "Another password."),
            OWN_HALVES,
        ],
    ),
    route(
        Method::POST,
        "/sites/{site}/reset-hardware",
        "site-reset-hardware",
        "Free a site of its device: the next one that enrols takes its place.",
        &[],
    ),
    route(
        Method::DELETE,
        "/sites/{site}",
        "site-delete",
        "Delete a site that has no stores. Its id is never given again; a device that speaks for it is told so.",
        &[DRY_RUN],
    ),
    route(Method::PUT, "/sites/{site}/disabled", "site-disable", "Disable a site's sync until it is enabled.", &[]),
    route(Method::DELETE, "/sites/{site}/disabled", "site-enable", "Enable a site's sync.", &[]),
    route(
        Method::PUT,
        "/sites/{site}/pause",
        "site-pause",
        "Pause a site's sync for a while.",
        &[must("minutes", Kind::Number, "For how long, from this moment on.")],
    ),
    route(Method::DELETE, "/sites/{site}/pause", "site-unpause", "End a pause before its time.", &[]),
    route(
        Method::GET,
        "/sites/{site}/check",
        "site-check",
        "What would keep the site's device from syncing right now.",
        &[],
    ),
    route(
        Method::POST,
        "/sites/{site}/verify",
        "site-verify",
        "Ask a site to compare what it has with what it should have, with its next sync.",
        &[],
    ),
    route(
        Method::POST,
        "/sites/{site}/resume",
        "site-resume",
        "Let a site that was stopped go on.",
        &[may("device", Kind::Text, "answered_last or dead_token; whichever comes next if it is left out.")],
    ),
    route(
        Method::GET,
        "/sites/{site}/set-aside",
        "set-aside-list",
        "Refused edits of a site that nobody has dealt with, or those that wait for their headers.",
        &[KIND, AFTER, LIMIT],
    ),
    route(
        Method::DELETE,
        "/sites/{site}/set-aside",
        "set-aside-dismiss-all",
        "Somebody has dealt with the first refused edits of a site.",
        &[must("through", Kind::Text, "The last one of them, as the list shows it.")],
    ),
    route(
        Method::POST,
        "/sites/{site}/set-aside/apply",
        "set-aside-apply",
        "Record a refused edit, where central may, as its own.",
        &[must("place", Kind::Text, "Which one.")],
    ),
    route(
        Method::GET,
        "/sites/{site}/set-aside/{place}",
        "set-aside-show",
        "A refused edit beside the record as it is.",
        &[],
    ),
    route(
        Method::DELETE,
        "/sites/{site}/set-aside/{place}",
        "set-aside-dismiss",
        "Somebody has dealt with a refused edit: it is not shown any more.",
        &[],
    ),
    route(Method::GET, "/stores", "store-list", "All stores and who holds them.", &[]),
    route(
        Method::GET,
        "/stores/{store}",
        "store-show",
        "What a store is on which site, whom it sees and who sees it.",
        &[],
    ),
    route(
        Method::PUT,
        "/stores/{store}/site",
        "store-add",
        "Let a store be active at a site: from another site it moves.",
        &[must("site", Kind::Text, "The site's name or id."), AT_ONCE, DRY_RUN],
    ),
    route(
        Method::DELETE,
        "/stores/{store}/site",
        "store-remove",
        "Let a store be active at central.",
        &[AT_ONCE, DRY_RUN],
    ),
    route(
        Method::PUT,
        "/stores/{store}/roles/{site}",
        "store-set-role",
        "Give a site a collector copy of a store, or take it back. On central it is locked behind the authorisation code, if there is one.",
        &[must("role", Kind::Text, "collector or default; for central transfer, collector or default."), DRY_RUN],
    ),
    route(
        Method::POST,
        "/stores/{store}/resync",
        "store-resync",
        "Send the site of a store once more what it sees.",
        &[],
    ),
    route(Method::GET, "/moves", "store-moves", "Stores that are on their way between sites.", &[]),
    route(
        Method::DELETE,
        "/moves/{store}",
        "store-call-off",
        "Leave a store that moves at the site that it comes from.",
        &[],
    ),
    route(
        Method::GET,
        "/visibility",
        "visibility-list",
        "Which names are visible in which stores.",
        &[may("name", Kind::Text, "Only of this name."), may("store", Kind::Text, "Only in this store."), AFTER, LIMIT],
    ),
    route(
        Method::GET,
        "/transfers",
        "transfers",
        "What goes from one store to another, with both halves, how far it is, and what it waits for.",
        &[
            may("site", Kind::Text, "Only those of a store that is active at this site, by its name or id."),
            may("store", Kind::Text, "Only those of this store."),
            may(
                "is_stuck_only",
                Kind::Switch,
                "Only those that wait for a record, or have been at one stage for long.",
            ),
            may("after", Kind::Number, "Only those behind this number, which an answer names as next."),
            LIMIT,
        ],
    ),
    route(Method::PUT, "/visibility/{name}/{store}", "visibility-add", "Make a name visible in a store.", &[]),
    route(Method::DELETE, "/visibility/{name}/{store}", "visibility-remove", "Take that back.", &[]),
    route(Method::GET, "/preferences", "preference-list", "Every preference, and whether it is on.", &[]),
    route(
        Method::PUT,
        "/preferences/{name}",
        "preference-set",
        "Switch a preference on or off. Locked behind the authorisation code, if there is one.",
        &[
            must("is_on", Kind::Switch, "On or off."),
            may("store", Kind::Text, "The store's id, of a preference that each store has."),
        ],
    ),
    route(Method::GET, "/mirror", "mirror-show", "Who writes central data.", &[]),
    route(
        Method::PUT,
        "/mirror",
        "mirror-enable",
        "Let a site write central data. Locked behind the authorisation code, if there is one.",
        &[must("primary", Kind::Text, "The site's name or id.")],
    ),
    route(
        Method::DELETE,
        "/mirror",
        "mirror-disable",
        "Write central data on central again. Locked behind the authorisation code, if there is one.",
        &[AT_ONCE],
    ),
    route_of(
        &[("kind", "patient")],
        Method::GET,
        "/patients/home-transfers",
        "home-transfers",
        "Patients on their way to another home store.",
        &[AFTER, LIMIT],
    ),
    route_of(
        &[("kind", "patient")],
        Method::PUT,
        "/patients/{id}/home-store",
        "home-store-set",
        "Give a patient another home store.",
        &[must("store", Kind::Text, "The store's id."), AT_ONCE],
    ),
    route_of(
        &[("kind", "prescriber")],
        Method::GET,
        "/prescribers/home-transfers",
        "home-transfers",
        "Prescribers on their way to another home store.",
        &[AFTER, LIMIT],
    ),
    route_of(
        &[("kind", "prescriber")],
        Method::PUT,
        "/prescribers/{id}/home-store",
        "home-store-set",
        "Give a prescriber another home store.",
        &[must("store", Kind::Text, "The store's id."), AT_ONCE],
    ),
    route(
        Method::POST,
        "/merges",
        "merge",
        "Make two records one.",
        &[
            must("table", Kind::Text, "The table's name."),
            must("from", Kind::Text, "The id of the record that goes."),
            must("into", Kind::Text, "The id of the record that stays."),
        ],
    ),
    route(
        Method::GET,
        "/explain/{table}",
        "explain",
        "Who may write the data of a store, given by its id in place of a table, and who receives it.",
        &[],
    ),
    route(
        Method::GET,
        "/explain/{table}/{id}",
        "explain",
        "Who may write a record, who receives it and why, and who has not read it yet.",
        &[],
    ),
    route(
        Method::POST,
        "/healing/end",
        "healing-end",
        "Go on without the sites that have not reported since central was set back.",
        &[],
    ),
    route(Method::GET, "/accounts", "account-list", "Every account.", &[]),
    route(
        Method::POST,
        "/accounts",
        "account-add",
        "Add an account.",
        &[must("name", Kind::Text, "The login; unique, 1 to 100 bytes."), ROLE, PASSWORD],
    ),
    route(
        Method::PATCH,
        "/accounts/{name}",
        "account-edit",
        "Change what an account may do, or its password; who is signed in with the old one has to do so again.",
        &[may("role", Kind::Text, "viewer or administrator."), may("password", Kind::Text, "Another password.")],
    ),
    route_of(
        &[("is_disabled", "true")],
        Method::PUT,
        "/accounts/{name}/disabled",
        "account-set-disabled",
        "Let an account sign in no more.",
        &[],
    ),
    route_of(
        &[("is_disabled", "false")],
        Method::DELETE,
        "/accounts/{name}/disabled",
        "account-set-disabled",
        "Let an account sign in again.",
        &[],
    ),
    route(Method::DELETE, "/accounts/{name}", "account-remove", "Remove an account.", &[]),
    route(Method::GET, "/tokens", "token-list", "Every token, without its secret.", &[]),
    route(
        Method::POST,
        "/tokens",
        "token-add",
        "Make a token for a script; the answer has its secret, once.",
        &[
            must("name", Kind::Text, "What it is called; unique, 1 to 100 bytes."),
            ROLE,
            may("days", Kind::Number, "How many days it lasts, 1 to 3650; until it is revoked if it is left out."),
        ],
    ),
    route(Method::DELETE, "/tokens/{name}", "token-revoke", "End a token.", &[]),
    route(
        Method::PUT,
        "/unlock",
        "unlock",
        "Open what the authorisation code locks, for some minutes and for whoever asks alone.",
        &[must("authorisation_code", Kind::Text, "The code.")],
    ),
    route(Method::DELETE, "/unlock", "lock", "Lock it again.", &[]),
    route(
        Method::GET,
        "/audit",
        "audit",
        "Who changed what, the newest last; without after the newest.",
        &[
            may("site", Kind::Text, "Only what concerns this site, by its name or id."),
            may("after", Kind::Number, "Only rows behind this number."),
            LIMIT,
        ],
    ),
];
