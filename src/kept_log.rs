//! The daemon's last log lines, kept in the data folder for `outpost log`: a tablet has no journald, and its standard error goes nowhere.
//!
//! Two files take turns, `log` and `log.old`, so that they hold the newest lines up to a limit and nobody has to rotate them. Nothing is
//! synced: what a power cut takes of it says nothing that the journal does not say.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::data_folder::Layout;
use crate::date::date_text;

/// Most bytes of both files together: some thousand lines, days of a daemon that syncs every five minutes.
pub const KEPT_LOG_BYTES_MAX: u64 = 1024 * 1024;
/// What is read at a time while a log is followed, in bytes.
const PIECE_BYTES: usize = 16 * 1024;

/// The files, being written.
#[derive(Debug)]
pub struct KeptLog {
    path: PathBuf,
    old: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl KeptLog {
    /// Goes on with what is there.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn open(layout: &Layout) -> io::Result<Self> {
        Self::with_limit(layout, KEPT_LOG_BYTES_MAX)
    }

    fn with_limit(layout: &Layout, bytes_max: u64) -> io::Result<Self> {
        let (path, old) = (layout.log(), layout.old_log());
        let file = append_to(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, old, file, bytes, bytes_max })
    }

    /// Adds a line, which ends with a line feed. `now_ms` by the wall clock, for people.
    ///
    /// # Errors
    /// The disk is full, or fails; the line is lost.
    pub fn add(&mut self, line: &str, now_ms: u64) -> io::Result<()> {
        let line = format!("{} {line}", date_text(now_ms));
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.bytes_max / 2 {
            std::fs::rename(&self.path, &self.old)?;
            self.file = append_to(&self.path)?;
            self.bytes = 0;
        }
        self.bytes += line.len() as u64;
        self.file.write_all(line.as_bytes())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Reads the newest lines, the oldest of them first; none where no daemon ever kept any.
///
/// # Errors
/// A file is there and cannot be read.
pub fn last_lines(layout: &Layout, count: usize) -> io::Result<Vec<String>> {
    let mut text = read_whole(&layout.old_log())?;
    text.push_str(&read_whole(&layout.log())?);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines
        .get(lines.len().saturating_sub(count)..)
        .unwrap_or_default()
        .iter()
        .map(|line| (*line).to_owned())
        .collect())
}

fn read_whole(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(KEPT_LOG_BYTES_MAX).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Follows the log: what is added, over the turns of the files.
#[derive(Debug)]
pub struct LogFollower {
    path: PathBuf,
    file: Option<File>,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
}

impl LogFollower {
    /// Behind what is there.
    ///
    /// # Errors
    /// A file is there and cannot be read.
    pub fn at_the_end(layout: &Layout) -> io::Result<Self> {
        let path = layout.log();
        let mut file = open_if_there(&path)?;
        if let Some(file) = &mut file {
            file.seek(SeekFrom::End(0))?;
        }
        Ok(Self { path, file, begun: Vec::new() })
    }

    /// The lines that came since the last look. Does not wait.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn new_lines(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            if let Some(file) = &mut self.file {
                let mut piece = vec![0; PIECE_BYTES];
                loop {
                    let count = file.read(&mut piece)?;
                    if count == 0 {
                        break;
                    }
                    self.begun.extend_from_slice(piece.get(..count).unwrap_or_default());
                }
            }
            while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.begun.drain(..=end).collect();
                lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            // The rest of a file that was turned is read before the next one.
            let next = open_if_there(&self.path)?;
            let place = |file: &Option<File>| {
                file.as_ref().and_then(|file| file.metadata().ok()).map(|it| (it.dev(), it.ino()))
            };
            if next.is_none() || place(&next) == place(&self.file) {
                return Ok(lines);
            }
            self.file = next;
        }
    }
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn layout(folder: &tempfile::TempDir) -> Layout {
        Layout::of(folder.path())
    }

    #[test]
    fn the_newest_lines_stay_within_the_limit_and_go_on_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(&folder);
        for begin in [0, 500] {
            let mut log = KeptLog::with_limit(&layout, 4096).unwrap();
            for number in begin..begin + 500 {
                log.add(&format!("info: line {number}\n"), 0).unwrap();
            }
        }

        let bytes: u64 =
            [layout.log(), layout.old_log()].iter().map(|path| std::fs::metadata(path).unwrap().len()).sum();
        assert!(bytes <= 4096, "{bytes}");
        let lines = last_lines(&layout, usize::MAX).unwrap();
        assert!(lines.len() > 50, "{}", lines.len());
        for (line, number) in lines.iter().rev().zip((0..1000).rev()) {
            assert_eq!(line, &format!("1970-01-01T00:00:00Z info: line {number}"));
        }
        assert_eq!(last_lines(&layout, 2).unwrap().len(), 2);
        assert_eq!(std::fs::metadata(layout.log()).unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn a_folder_in_which_no_daemon_ran_has_no_lines() {
        let folder = tempfile::tempdir().unwrap();

        assert!(last_lines(&layout(&folder), 10).unwrap().is_empty());
        assert!(LogFollower::at_the_end(&layout(&folder)).unwrap().new_lines().unwrap().is_empty());
    }

    #[test]
    fn who_follows_gets_each_line_once_whole_and_over_the_turns_of_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(&folder);
        let mut follower = LogFollower::at_the_end(&layout).unwrap();
        let mut log = KeptLog::with_limit(&layout, 4096).unwrap();
        let mut seen = Vec::new();

        for number in 0..300 {
            log.add(&format!("info: line {number}\n"), 0).unwrap();
            if number % 7 == 0 {
                seen.extend(follower.new_lines().unwrap());
            }
        }
        log.file.write_all(b"half").unwrap();
        seen.extend(follower.new_lines().unwrap());

        let numbers: Vec<String> = (0..300).map(|number| format!("1970-01-01T00:00:00Z info: line {number}")).collect();
        assert_eq!(seen, numbers);
        log.file.write_all(b" and half\n").unwrap();
        assert_eq!(follower.new_lines().unwrap(), ["half and half"]);
    }
}
