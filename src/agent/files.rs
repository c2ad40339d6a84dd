//! Sealed files (`docs/sealed-file-format.md`): requests, answers and exports, which travel by stick, and backups. Who reads one into the
//! agent needs its folder alone meanwhile.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use codec::Ed25519Verifier;
use protocol::carried::{LABEL_BYTES, Label};
use protocol::session::Summary;
use sealed::{Cost, FreshFile, Kind, Passphrase, SealedError, SealedReader, SealedWriter};

use super::{Agent, DeviceTokens, Line};
use crate::clock;
use crate::durable_file::FileError;
use crate::entropy;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::journal::SledStorage;
use crate::sync_runner::{CarriedOut, Imported, Learnt, Parties, Report, SyncRunner};

impl Agent {
    /// Writes a request with the edits that wait to a new file, and notes what it waits for.
    ///
    /// # Errors
    /// `not_enrolled`, `hardware_changed`; `file_exists`; those of the disk and of the journal.
    pub fn carry_out(&self, path: &Path, passphrase: &Passphrase) -> Result<CarriedOut, AgentError> {
        // Before the note of an earlier file is given up.
        let mut file = FreshFile::begin(path).map_err(|error| sealed_error(path, error))?;
        let out = self.with_runner(|runner, learnt| runner.carry_out(*learnt))?;
        let parties = self.parties()?;
        let label = Label { central: parties.central, site: parties.site, context: out.head };
        let mut write = || -> Result<(), SealedError> {
            let (kind, salt) = (Kind::Request, entropy::bytes());
            let mut writer = SealedWriter::begin(file.writer(), kind, passphrase, Cost::USUAL, salt)?;
            writer.write_all(&label.encode())?;
            writer.write_all(&out.request)?;
            writer.finish()?;
            Ok(())
        };
        write().and_then(|()| file.finish()).map_err(|error| sealed_error(path, error))?;
        Ok(out)
    }

    /// Takes the answer to what was carried out last.
    ///
    /// # Errors
    /// `carry_overtaken`, `carry_other_site`, `carry_other_central`; those of the file. Nothing was changed then.
    pub fn carry_in(
        &self,
        path: &Path,
        passphrase: &Passphrase,
        progress: &mut dyn FnMut(&Summary),
    ) -> Result<Report, AgentError> {
        let (label, mut content) = self.open_sealed(path, Kind::Answer, passphrase)?;
        let now_ms = clock::wall_now().0;
        self.with_runner(|runner, learnt| runner.carry_in(&mut content, label.context, learnt, now_ms, progress))
    }

    /// Stores an export of this site.
    ///
    /// # Errors
    /// `import_not_now`, `export_wrong`, `carry_other_site`, `carry_other_central`; those of the file.
    pub fn import(
        &self,
        path: &Path,
        passphrase: &Passphrase,
        progress: &mut dyn FnMut(&Imported),
    ) -> Result<Imported, AgentError> {
        let (_, mut content) = self.open_sealed(path, Kind::Export, passphrase)?;
        self.with_runner(|runner, _| runner.import(&mut content, progress))
    }

    /// Opens a backup of this site's, from its beginning.
    ///
    /// # Errors
    /// `carry_other_site`, `carry_other_central`; those of the file. Nothing was changed then.
    pub fn open_backup(&self, path: &Path, passphrase: &Passphrase) -> Result<OpenBackup, AgentError> {
        let (_, content) = self.open_sealed(path, Kind::Backup, passphrase)?;
        Ok(OpenBackup { path: path.to_path_buf(), content })
    }

    fn parties(&self) -> Result<Parties, AgentError> {
        let device = self.device();
        let enrolment = device.enrolment()?;
        Ok(Parties { site: enrolment.site, central: enrolment.central_key, generation: enrolment.generation })
    }

    /// Opens a file of a kind, sees to it that all of it is as it was written, and reads its label.
    fn open_sealed(&self, path: &Path, kind: Kind, passphrase: &Passphrase) -> Result<(Label, Content), AgentError> {
        let parties = self.parties()?;
        let opened = open(path, kind, passphrase).map_err(|error| sealed_error(path, error))?;
        let (label, content) = opened;
        let label = Label::decode(&label).map_err(|error| {
            let advice = "Check that this is the right file. Nothing was changed.";
            AgentError::new("sealed_file_form", format!("{}: {error}", path.display()), advice, Exit::Refused)
        })?;
        if label.central != parties.central {
            let message = format!("{} is of another central than this device belongs to", path.display());
            return Err(AgentError::new("carry_other_central", message, NOTHING_CHANGED, Exit::Refused));
        }
        if label.site != parties.site {
            let message = format!("{} is for site {}, and this is site {}", path.display(), label.site, parties.site);
            return Err(AgentError::new("carry_other_site", message, NOTHING_CHANGED, Exit::Refused));
        }
        Ok((label, content))
    }

    /// What sessions do, without a way to central.
    fn with_runner<T>(
        &self,
        work: impl FnOnce(&mut SyncRunner<'_, SledStorage>, &mut Learnt) -> Result<T, AgentError>,
    ) -> Result<T, AgentError> {
        let recorder = self.recorder()?;
        self.check_hardware()?;
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let Line { codec, learnt, .. } = &mut *line;
        let mut runner = SyncRunner {
            recorder,
            codec,
            signer: &self.signer,
            verifier: &Ed25519Verifier,
            tokens: &mut DeviceTokens(self),
            parties: self.parties()?,
            salt: entropy::bytes(),
            acknowledged_tail_bytes_max: self.config().limits.acknowledged_tail_bytes_max,
        };
        work(&mut runner, learnt)
    }
}

const NOTHING_CHANGED: &str = "Check that this is the right file. Nothing was changed.";

type Content = BufReader<SealedReader<File>>;
type Opened = ([u8; LABEL_BYTES], Content);

/// The lines of a backup that was found to be whole.
pub struct OpenBackup {
    path: PathBuf,
    content: Content,
}

impl OpenBackup {
    /// The next line, with its line feed; empty at the end. At most so many bytes are read: a longer one comes without its line feed.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn next_line(&mut self, bytes_max: u64) -> Result<Vec<u8>, AgentError> {
        let mut line = Vec::new();
        let read = (&mut self.content).take(bytes_max).read_until(b'\n', &mut line);
        read.map_err(|error| sealed_error(&self.path, SealedError::Io(error)))?;
        Ok(line)
    }

    /// Begins again with the first line.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn rewind(self) -> Result<Self, AgentError> {
        let Self { path, content } = self;
        let mut reader = content.into_inner();
        let rewound = reader.rewind().and_then(|()| {
            let mut content = BufReader::new(reader);
            content.read_exact(&mut [0; LABEL_BYTES])?;
            Ok(content)
        });
        let content = rewound.map_err(|error| sealed_error(&path, error))?;
        Ok(Self { path, content })
    }
}

/// Writes a new sealed file: it is there whole, or not at all. What `content` writes goes behind the label.
///
/// # Errors
/// `file_exists`; those of the disk and of `content`. No file is there then.
pub fn write_sealed<T>(
    path: &Path,
    (kind, label): (Kind, &Label),
    passphrase: &Passphrase,
    content: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<(), AgentError>) -> Result<T, AgentError>,
) -> Result<T, AgentError> {
    let failed = |error| sealed_error(path, error);
    let mut file = FreshFile::begin(path).map_err(failed)?;
    let begun = SealedWriter::begin(file.writer(), kind, passphrase, Cost::USUAL, entropy::bytes());
    let mut writer = begun.map_err(failed)?;
    let mut write = |bytes: &[u8]| writer.write_all(bytes).map_err(|error| failed(SealedError::Io(error)));
    write(&label.encode())?;
    let written = content(&mut write)?;
    writer.finish().map(|_| ()).and_then(|()| file.finish()).map_err(failed)?;
    Ok(written)
}

fn open(path: &Path, kind: Kind, passphrase: &Passphrase) -> Result<Opened, SealedError> {
    let mut reader = SealedReader::open(File::open(path)?, kind, passphrase)?;
    // What was cut must not be stored by half.
    reader.verify()?;
    let mut content = BufReader::new(reader);
    let mut label = [0; LABEL_BYTES];
    content.read_exact(&mut label)?;
    Ok((label, content))
}

/// A sealed file's error, with the file's name.
fn sealed_error(path: &Path, error: SealedError) -> AgentError {
    let error = match error {
        SealedError::Io(source) if source.kind() == ErrorKind::NotFound => {
            let advice = "Check the file's name. Nothing was changed.";
            let message = format!("there is no file {}", path.display());
            return AgentError::new("file_unreadable", message, advice, Exit::Usage);
        }
        SealedError::Io(source) => {
            return FileError::Io { action: "read or write", path: PathBuf::from(path), source }.into();
        }
        SealedError::Exists { .. } => {
            return AgentError::new(error.code(), error.to_string(), error.advice(), Exit::Usage);
        }
        other => other,
    };
    AgentError::new(error.code(), format!("{}: {error}", path.display()), error.advice(), Exit::Refused)
}
