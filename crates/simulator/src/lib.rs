//! Agents and central in one thread, on virtual time, with disks and networks that fail.

pub mod disk;
