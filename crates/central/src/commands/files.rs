//! Sealed files: `carry in` and `site export` (`docs/sealed-file-format.md`). They are opened and sealed here, so that no passphrase leaves
//! this process and a running server need not see the stick.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use sealed::{Cost, FreshFile, Kind, Passphrase, SealedError, SealedReader, SealedWriter};
use serde_json::Value;
use zeroize::Zeroizing;

use super::input::{Asked, read_passphrase};
use super::show::{self, Form};
use super::{Source, perform};
use crate::entropy;
use crate::error::{CentralError, Exit};
use crate::folder::{FolderPaths, check_initialised};
use crate::operations::Request;
use crate::wording::count;

/// The environment variable with the passphrase of a sealed file.
const PASSPHRASE_VARIABLE: &str = "OUTPOST_PASSPHRASE";

#[derive(Subcommand)]
pub(super) enum CarryCommand {
    /// Take a file that `outpost carry out` wrote, and write the answer for `outpost carry in`. Bringing a file twice does no harm.
    In {
        /// The file.
        file: PathBuf,
        /// The file to write the answer to; it must not be there yet.
        #[arg(long, value_name = "FILE")]
        answer: PathBuf,
        #[command(flatten)]
        passphrase: PassphraseArguments,
    },
}

#[derive(Args)]
pub(super) struct ExportArguments {
    /// Its name, or its id.
    site: String,
    /// The file to write to; it must not be there yet.
    file: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArguments,
}

#[derive(Args)]
pub(super) struct PassphraseArguments {
    /// A file with the passphrase, or - for standard input; else the variable `OUTPOST_PASSPHRASE`, else the terminal is asked.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseArguments {
    fn read(&self, asked: Asked) -> Result<Passphrase, CentralError> {
        let variable = std::env::var_os(PASSPHRASE_VARIABLE).filter(|_| self.passphrase_file.is_none());
        let bytes = match variable {
            Some(value) => Zeroizing::new(value.into_encoded_bytes()),
            None => Zeroizing::new(read_passphrase(self.passphrase_file.as_deref(), asked)?.as_bytes().to_vec()),
        };
        Passphrase::of(&bytes)
            .map_err(|error| CentralError::new(error.code(), error.to_string(), error.advice(), Exit::Usage))
    }
}

/// Takes a device's file and writes the answer.
pub(super) fn carry(
    paths: &FolderPaths,
    command: CarryCommand,
    is_json: bool,
    output: &mut dyn Write,
) -> Result<Exit, CentralError> {
    let CarryCommand::In { file, answer, passphrase } = command;
    check_initialised(paths)?;
    let passphrase = passphrase.read(Asked::Once)?;
    let open = || -> Result<Opened, SealedError> {
        let mut reader = SealedReader::open(File::open(&file)?, Kind::Request, &passphrase)?;
        // What was cut must not be taken by half.
        let bytes = reader.verify()?;
        Ok(Opened { reader, bytes, path: file.clone() })
    };
    let mut source = open().map_err(|error| file_error(&file, &error))?;
    let mut target = Target::begin(&answer, Kind::Answer, &passphrase)?;
    let form = Form::of(is_json);
    let done = perform(paths, &Request::CarryIn, Some(&mut source), &mut target, form)?;
    target.finish()?;
    show::done(&Request::CarryIn, &done, form, output)?;
    Ok(done.exit)
}

/// Writes what a site receives.
pub(super) fn export(
    paths: &FolderPaths,
    what: ExportArguments,
    is_json: bool,
    output: &mut dyn Write,
) -> Result<Exit, CentralError> {
    let ExportArguments { site, file, passphrase } = what;
    check_initialised(paths)?;
    let passphrase = passphrase.read(Asked::Twice)?;
    let mut target = Target::begin(&file, Kind::Export, &passphrase)?;
    let (request, form) = (Request::SiteExport { site }, Form::of(is_json));
    let done = perform(paths, &request, None, &mut target, form)?;
    target.finish()?;
    show::done(&request, &done, form, output)?;
    Ok(done.exit)
}

/// What an export was.
pub(super) fn exported(value: &Value) -> String {
    let rows = count(value["rows"].as_u64().unwrap_or_default(), "record", "records");
    format!(
        "exported site {} {}: {rows}, {} bytes before they were encrypted\nOn its device, once it is enrolled: outpost import FILE\n",
        value["site"],
        show::plain(&value["name"]),
        value["bytes"]
    )
}

/// What came of a device's file.
pub(super) fn carried(value: &Value) -> String {
    let edits = count(value["edits"].as_u64().unwrap_or_default(), "edit", "edits");
    let (site, refused) = (&value["site"], &value["refused"]);
    if refused.is_null() {
        return format!(
            "site {site}: {edits} in the file\nthe answer is written; on the device: outpost carry in ANSWER\n"
        );
    }
    let (message, code) = (show::plain(&refused["message"]), show::plain(&refused["code"]));
    format!(
        "site {site}: refused: {message} [{code}]\nWhat the file holds was not taken, and its device has it still. The answer says so to it.\n"
    )
}

/// A device's file, open.
struct Opened {
    reader: SealedReader<File>,
    bytes: u64,
    path: PathBuf,
}

impl Source for Opened {
    fn rewound(&mut self) -> Result<(&mut dyn Read, u64), CentralError> {
        self.reader.rewind().map_err(|error| file_error(&self.path, &error))?;
        Ok((&mut self.reader, self.bytes))
    }
}

/// The file that is written.
struct Target {
    fresh: FreshFile,
    path: PathBuf,
    writer: SealedWriter<File>,
}

impl Target {
    fn begin(path: &Path, kind: Kind, passphrase: &Passphrase) -> Result<Self, CentralError> {
        let begin = || -> Result<Self, SealedError> {
            let mut fresh = FreshFile::begin(path)?;
            let file = fresh.writer().try_clone()?;
            let writer = SealedWriter::begin(file, kind, passphrase, Cost::USUAL, entropy::bytes())?;
            Ok(Self { fresh, path: path.to_owned(), writer })
        };
        begin().map_err(|error| file_error(path, &error))
    }

    fn finish(self) -> Result<(), CentralError> {
        let Self { fresh, path, writer } = self;
        writer.finish().and_then(|_| fresh.finish()).map_err(|error| file_error(&path, &error))
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}

fn file_error(path: &Path, error: &SealedError) -> CentralError {
    let (code, advice) = (error.code(), error.advice());
    let exit = match error {
        SealedError::Exists { .. } => return CentralError::new(code, error.to_string(), advice, Exit::Usage),
        SealedError::Io(_) => Exit::Disk,
        _ => Exit::Refused,
    };
    CentralError::new(code, format!("{}: {error}", path.display()), advice, exit)
}
