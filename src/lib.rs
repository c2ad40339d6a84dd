//! The agent of a remote site: journals edits, and moves them to central and central's changes back when there is a link.

pub mod journal;
