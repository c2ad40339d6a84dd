//! What happened, as lines that a person can read and one hash that two runs can be compared by.

use std::collections::VecDeque;
use std::fmt;

use protocol::chain;
use protocol::ids::Hash;

/// Lines that are kept for the last page.
const LINES_KEPT: usize = 60;

/// The events of a run.
#[derive(Debug)]
pub struct Trace {
    lines: VecDeque<String>,
    digest: Hash,
    count: u64,
    is_printing: bool,
}

impl Trace {
    /// An empty trace; one that prints shows each line as it comes.
    pub fn new(is_printing: bool) -> Self {
        Self { lines: VecDeque::new(), digest: Hash::NONE, count: 0, is_printing }
    }

    /// Notes an event at a virtual moment.
    #[expect(clippy::print_stdout, reason = "somebody asked to see the run")]
    pub fn note(&mut self, now_ms: u64, text: fmt::Arguments<'_>) {
        let line = without_disk_numbers(&format!("{:>10}.{:03} {text}", now_ms / 1000, now_ms % 1000));
        self.digest = chain::extend(self.digest, line.as_bytes());
        self.count += 1;
        if self.is_printing {
            println!("{line}");
        }
        if self.lines.len() >= LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Equal for two runs only if every line was.
    pub fn digest(&self) -> Hash {
        self.digest
    }

    /// Lines so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The last lines.
    pub fn last_page(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}

/// SQLite's errors name the disk, and its number goes on from run to run in one process.
fn without_disk_numbers(line: &str) -> String {
    let mut parts = line.split("on disk-");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain += "on its disk";
        plain += part.trim_start_matches(|letter: char| letter.is_ascii_digit());
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_disk_is_left_out() {
        assert_eq!(without_disk_numbers("a on disk-12: full"), "a on its disk: full");
        assert_eq!(without_disk_numbers("a line"), "a line");
    }
}
