//! What a person does about it when central refuses this device: the same whether `sync` was told so or `check` asked.

use protocol::message::{SITE_DELETED, SITE_DISABLED, SITE_PAUSED};

/// Central, or this device by central's reply, found another history of the journal than the one that lies here.
pub const FORK: &str = "fork";
/// Central has more of this device than it has itself.
pub const DEVICE_SET_BACK: &str = "device_set_back";

/// Another device took this one's place.
const DEVICE_RETIRED: &str = "device_retired";

/// Refusals that stay until this journal is given up: nothing but a recovery ends them, and trying again does not.
pub fn is_of_history(code: &str) -> bool {
    matches!(code, FORK | DEVICE_SET_BACK)
}

/// Another device speaks for the site: what is recorded here goes to set-aside at central.
pub fn is_of_old_device(code: &str) -> bool {
    code == DEVICE_RETIRED
}

/// What to do about a refusal; `None` where central's message says all that is known.
pub fn what_to_do(code: &str) -> Option<&'static str> {
    Some(match code {
        "site_stopped" => {
            "Whoever looks after central finds out which device is right, and runs `outpost-central site resume`. What is recorded \
             here is safe and goes after that."
        }
        SITE_PAUSED => {
            "Nothing is wrong here. What is recorded is safe, and goes by itself afterwards if the agent runs as a service."
        }
        SITE_DISABLED => {
            "Nothing is wrong here, and what is recorded is safe. It goes once whoever looks after central runs `outpost-central site \
             enable`."
        }
        SITE_DELETED => {
            "This device speaks for no site any more. Nothing that is recorded here is lost: `outpost salvage` writes it to files, from \
             which it can be recorded at the site that goes on with it. For another site, enrol with a data folder of its own."
        }
        "device_not_chosen" => {
            "Use the device that was chosen. If that was a mistake, an administrator frees the site (`outpost-central site \
             reset-hardware`); `outpost salvage` saves what only this device has."
        }
        DEVICE_RETIRED | "not_enrolled" | "unknown_journal" => {
            "If this is the right device, run `outpost enrol` with the site's name and password; else take it out of use."
        }
        "journal_retired" => "This device was set back to an older copy: run `outpost recover`.",
        FORK | DEVICE_SET_BACK => {
            "If this device was put back from a backup, run `outpost recover`: no edit is lost. If a second device may speak for \
             this site, ask the administrator of central first which of the two is to go on, and run it on that one."
        }
        _ => return None,
    })
}
