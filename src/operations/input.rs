//! The lines that come with a request: of known length, read as often as needed, never whole in memory.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Explained;
use crate::exit::Exit;

/// Most bytes of lines in one request: 100,000 edits have about 40 MB, and the data folder has to hold them twice.
pub const INPUT_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Up to this many bytes stay in memory; what is longer goes to a file. Nearly every edit from an application is below.
pub const INPUT_MEMORY_BYTES_MAX: u64 = 64 * 1024;
/// Bytes copied at a time.
const COPY_BYTES: usize = 64 * 1024;

/// Lines of edits. Reads like a file and can be rewound.
#[derive(Debug)]
pub struct Input {
    source: Source,
    bytes: u64,
    position: u64,
}

#[derive(Debug)]
enum Source {
    Memory(Cursor<Vec<u8>>),
    File(BufReader<File>),
}

impl Input {
    /// No lines: for every request but `record`.
    pub fn empty() -> Self {
        Self::from_bytes(Vec::new())
    }

    /// Lines already in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        let length = bytes.len() as u64;
        Self { source: Source::Memory(Cursor::new(bytes)), bytes: length, position: 0 }
    }

    /// A regular file, used where it is. What is appended after this call does not belong to the input.
    ///
    /// # Errors
    /// The file cannot be examined, or is above `bytes_max`.
    pub fn from_file(file: File, bytes_max: u64) -> Result<Self, InputError> {
        let bytes = file.metadata().map_err(InputError::Read)?.len();
        if bytes > bytes_max {
            return Err(InputError::TooLarge { bytes_max });
        }
        Ok(Self { source: Source::File(BufReader::with_capacity(COPY_BYTES, file)), bytes, position: 0 })
    }

    /// Reads a stream to its end. What is longer than `memory_bytes_max` is kept in a nameless file in `folder`, which is gone
    /// when this value or the process is.
    ///
    /// # Errors
    /// The stream breaks or is above `bytes_max`, or the file cannot be written.
    pub fn from_stream(
        stream: &mut dyn Read,
        folder: &Path,
        memory_bytes_max: u64,
        bytes_max: u64,
    ) -> Result<Self, InputError> {
        let mut start = Vec::new();
        stream.take(memory_bytes_max.saturating_add(1)).read_to_end(&mut start).map_err(InputError::Read)?;
        let mut bytes = start.len() as u64;
        if bytes > bytes_max {
            return Err(InputError::TooLarge { bytes_max });
        }
        if bytes <= memory_bytes_max {
            return Ok(Self::from_bytes(start));
        }
        let mut file = nameless_file(folder).map_err(InputError::Keep)?;
        file.write_all(&start).map_err(InputError::Keep)?;
        drop(start);
        let mut piece = vec![0; COPY_BYTES];
        loop {
            let count = match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(InputError::Read(error)),
            };
            bytes += count as u64;
            if bytes > bytes_max {
                return Err(InputError::TooLarge { bytes_max });
            }
            file.write_all(piece.get(..count).unwrap_or_default()).map_err(InputError::Keep)?;
        }
        file.rewind().map_err(InputError::Keep)?;
        Ok(Self { source: Source::File(BufReader::with_capacity(COPY_BYTES, file)), bytes, position: 0 })
    }

    /// Length in bytes.
    pub fn length_bytes(&self) -> u64 {
        self.bytes
    }

    /// Back to the first byte.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn rewind(&mut self) -> io::Result<()> {
        match &mut self.source {
            Source::Memory(cursor) => cursor.set_position(0),
            Source::File(file) => {
                file.seek(SeekFrom::Start(0))?;
            }
        }
        self.position = 0;
        Ok(())
    }
}

impl Read for Input {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let count = available.read(target)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let left = usize::try_from(self.bytes - self.position).unwrap_or(usize::MAX);
        let available = match &mut self.source {
            Source::Memory(cursor) => cursor.fill_buf()?,
            Source::File(file) => file.fill_buf()?,
        };
        Ok(available.get(..left).unwrap_or(available))
    }

    fn consume(&mut self, count: usize) {
        self.position += count as u64;
        match &mut self.source {
            Source::Memory(cursor) => cursor.consume(count),
            Source::File(file) => file.consume(count),
        }
    }
}

/// An open file that has no name any more. One left by a process that died in between has a process id that is free again, so
/// it is simply written over.
fn nameless_file(folder: &Path) -> io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("input-{}-{number}", std::process::id()));
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Lines that cannot be taken.
#[derive(Debug)]
pub enum InputError {
    /// More than the limit.
    TooLarge {
        /// The limit, in bytes.
        bytes_max: u64,
    },
    /// They cannot be read.
    Read(io::Error),
    /// They cannot be kept in the data folder.
    Keep(io::Error),
}

impl Explained for InputError {
    fn code(&self) -> &str {
        match self {
            Self::TooLarge { .. } => "input_too_large",
            Self::Read(_) => "input_unreadable",
            Self::Keep(error) if error.kind() == io::ErrorKind::StorageFull => "disk_full",
            Self::Keep(_) => "input_not_kept",
        }
    }

    fn advice(&self) -> &str {
        match self {
            Self::TooLarge { .. } => "Split the file; each part is recorded for itself.",
            Self::Read(_) => "Check the file or program that the lines come from, then repeat: nothing was recorded.",
            Self::Keep(_) => "Make room in the data folder and check that it can be written, then repeat.",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::TooLarge { .. } => Exit::Usage,
            Self::Read(_) => Exit::Failed,
            Self::Keep(_) => Exit::Disk,
        }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes_max } => {
                write!(
                    formatter,
                    "the lines have more than {bytes_max} bytes, which is the most that one request may bring"
                )
            }
            Self::Read(error) => write!(formatter, "the lines cannot be read: {error}"),
            Self::Keep(error) => write!(formatter, "the lines cannot be kept in the data folder: {error}"),
        }
    }
}

impl std::error::Error for InputError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &mut Input) -> Vec<u8> {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn streams_below_at_and_above_what_memory_takes_come_back_twice_and_leave_no_file() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 9, 10, 11, 200_000] {
            let content: Vec<u8> = (0..length).map(|number: u32| number.to_le_bytes()[0]).collect();

            let mut input = Input::from_stream(&mut content.as_slice(), folder.path(), 10, 300_000).unwrap();

            assert_eq!(input.length_bytes(), u64::from(length));
            assert_eq!(all(&mut input), content);
            input.rewind().unwrap();
            assert_eq!(all(&mut input), content);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn one_byte_above_the_limit_is_refused_in_memory_and_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        for (memory_bytes_max, bytes_max) in [(100, 50), (10, 50)] {
            let at = Input::from_stream(&mut [7; 50].as_slice(), folder.path(), memory_bytes_max, bytes_max);
            let above = Input::from_stream(&mut [7; 51].as_slice(), folder.path(), memory_bytes_max, bytes_max);

            assert_eq!(at.unwrap().length_bytes(), 50);
            assert_eq!(above.unwrap_err().code(), "input_too_large");
        }
    }

    #[test]
    fn a_file_that_grows_ends_where_it_ended_when_it_was_opened() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"one\ntwo\n").unwrap();
        file.rewind().unwrap();
        let mut other = file.try_clone().unwrap();

        let mut input = Input::from_file(file, 100).unwrap();
        other.seek(SeekFrom::End(0)).unwrap();
        other.write_all(b"three\n").unwrap();
        other.rewind().unwrap();

        assert_eq!(all(&mut input), b"one\ntwo\n");
    }
}
