//! Sentences about transfers, told on a few stores.

mod changes;
mod halves;
mod kinds;
mod owed;
mod traps;
mod world;
