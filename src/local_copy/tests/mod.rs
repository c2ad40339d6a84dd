//! What must hold, each by the number of its rule; on disk and in memory.

mod backed_up;
mod failing;
mod fates;
mod following;
mod grants;
mod lines;
mod merging;
mod messages;
mod model;
mod patients;
mod reading;
mod rebuilding;
mod recording;
mod recovering;
mod set_aside;
mod site;
mod taken;
mod transfers;
mod users;
mod verdicts;
