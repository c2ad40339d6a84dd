//! What the agent can be asked to do: one function behind the command line, the socket and the library.

mod backup;
mod backup_lines;
mod changes;
mod clients;
mod files;
mod growing;
mod input;
mod journaling_anew;
mod lines;
mod next_number;
mod pause;
mod performer;
mod read;
mod record;
mod recover;
mod reopening;
mod request;
mod restore;
mod set_aside;
mod site;
mod status;
mod sync;
mod verify;
mod vitals;
mod wait;
mod waiting;

use std::sync::Arc;

use domain::merge::Merged;
use serde_json::Value;

pub use backup::backup;
pub use files::{carry_in, carry_out, import};
pub use input::{INPUT_BYTES_MAX, INPUT_MEMORY_BYTES_MAX, Input, InputError};
pub use lines::{LineReader, Lines};
pub use performer::{Performer, no_events};
pub(crate) use read::data_json;
pub use record::REFUSED_LISTED_MAX;
pub use recover::{end_recovery, recovery_plan};
pub use reopening::ReopeningAgent;
pub use request::{
    Changes, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, NextNumber, Progress, RecordOptions, Request, SET_ASIDE_NUMBERS_MAX,
    SYNC_TRIES_DEFAULT, SyncOptions, WAIT_TIMEOUT_S_DEFAULT,
};
pub use restore::restore;
pub use vitals::{JournalVitals, SyncTally, Vitals};
pub(crate) use waiting::deadline as wait_deadline;
pub use waiting::{WAIT_S_MAX, WAITING_MAX};

use crate::agent::Agent;
use crate::clients::Clients;
use crate::data_folder::Layout;
use crate::error::AgentError;
use crate::exit::Exit;

/// Does what is asked. `input` holds the lines of a [`Request::Record`] and is not read otherwise; `events` hears of progress.
///
/// # Errors
/// [`AgentError`] with its code, advice and exit status.
pub fn perform(
    agent: &Agent,
    request: Request,
    input: &mut Input,
    events: &mut dyn FnMut(Progress),
) -> Result<Value, AgentError> {
    match request {
        Request::Record(options) => record::record(agent, &options, input, events).inspect(|_| agent.see_queue()),
        Request::Get { table, id } => read::get(agent, &table, &id),
        Request::List { table, store, merged, after, limit } => {
            let (store, merged) = (store.as_deref(), Merged::listed_if(merged));
            read::list(agent, &table, store, merged, after.as_deref(), checked_limit(limit)?)
        }
        Request::Sync(options) => sync::sync(agent, &options, events),
        Request::Initialise(options) => sync::initialise(agent, &options, events),
        Request::Verify(options) => verify::verify(agent, &options, events),
        Request::Status => status::status(agent),
        // Where no daemon runs nothing changes meanwhile.
        Request::Watch { .. } => status::glance(agent),
        Request::Site => site::site(agent),
        Request::Queue { after, limit } => read::queue(agent, after, checked_limit(limit)?),
        Request::SetAsideList { after, limit } => set_aside::list(agent, after, checked_limit(limit)?),
        Request::SetAsideShow { number } => set_aside::show(agent, number),
        Request::SetAsideRetry { numbers } => set_aside::retry(agent, &numbers, events).inspect(|_| agent.see_queue()),
        Request::SetAsideDismiss { numbers } => set_aside::dismiss(agent, &numbers),
        Request::NextNumber(asked) => next_number::next_number(agent, &asked),
        Request::Pause { duration_s } => pause::pause(agent, duration_s),
        Request::Resume => pause::resume(agent),
        Request::Changes(asked) => changes::changes(agent, &asked),
        Request::Wait { sequence, timeout_s } => wait::wait(agent, sequence, timeout_s),
        Request::ClientAdd { .. } | Request::ClientList | Request::ClientRevoke { .. } | Request::ClientCertificate => {
            let clients = Arc::new(Clients::open(&Layout::of(agent.folder()).clients())?);
            clients::perform(&clients, &agent.config(), &request)
        }
    }
}

fn checked_limit(limit: u32) -> Result<u32, AgentError> {
    if (1..=LIST_LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(AgentError::new(
        "limit_out_of_range",
        format!("the limit {limit} is not within 1 and {LIST_LIMIT_MAX}"),
        "Read on with --after where there is more.",
        Exit::Usage,
    ))
}
