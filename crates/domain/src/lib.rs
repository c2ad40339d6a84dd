//! What mSupply means: the tables and who may write them, records as JSON and as rows, the scopes that a record travels in, and
//! the judge that both the agent and central ask. Knows no file, clock, thread or random source.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod apply;
pub mod authority;
pub mod catalogue;
pub mod derived;
pub mod describe;
pub mod edit;
pub mod home_transfer;
pub mod json;
pub mod judge;
pub mod merge;
pub mod message;
pub mod new_patient;
pub mod new_user;
pub mod number;
pub mod preference;
pub mod procurement;
pub mod proposal;
pub mod scope;
pub mod seed_rows;
pub mod side_by_side;
pub mod store;
pub mod transfers;
pub mod visibility;
pub mod withholding;
