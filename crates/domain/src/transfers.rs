//! Transfers: what one store sends, the other receives, exactly once (`domain.md`, "Transfers"; seed 000, the same). What is said here is
//! worked out from records alone: whoever asks twice is told the same.
//!
//! | module | says |
//! | --- | --- |
//! | [`kinds`] | which record is an initiating half, of which kind, and for which store |
//! | [`ids`] | the key of a transfer, and the ids of what is made from it |
//! | [`half`] | the responding half of an initiating half, or what it waits for |
//! | [`owed`] | what a site has to write in answer to a record that came to it (rule 5.14) |
//! | [`changes`] | what is proposed to the responding half's owner when the initiating half changes afterwards |
//!
//! They read through [`Records`](records::Records). The pictures of the kinds are in `docs/transfers.md`.

pub mod changes;
mod fields;
pub mod half;
pub mod ids;
pub mod kinds;
pub mod owed;
pub mod records;

#[cfg(test)]
mod tests;
