//! Whole data folders under fire, with the real sled and the real SQLite: parts that are damaged, lost, or put back from a copy.

mod bed;
mod damage;
mod put_back;
mod set_aside;
mod versions;
