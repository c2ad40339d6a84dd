//! The central server: receives edits from sites, judges and keeps them, and gives each site what it may have.

pub mod store;
