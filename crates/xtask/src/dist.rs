//! What is handed out: archives, a Debian package, a bill of materials, checksums. The same sources with the same compiler give the
//! same bytes: every date is that of the commit, every owner root, every list sorted.

mod archive;
mod checksums;
mod contents;
mod debian;
mod materials;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::{size, workspace};

const USAGE: &str =
    "usage: cargo xtask dist [--target TRIPLE] [--agent FILE] [--central FILE] [--out FOLDER] [--version VERSION]";

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    target: Option<String>,
    agent: Option<PathBuf>,
    central: Option<PathBuf>,
    out: Option<PathBuf>,
    version: Option<String>,
}

/// One release for one target.
#[derive(Debug)]
struct Release {
    version: String,
    target: String,
    /// The date of everything in it, in seconds since 1970.
    date_s: u64,
    out: PathBuf,
}

/// The chore: builds the agent as it ships, or takes `--agent`, and writes into `target/dist` what is handed out. An archive of central
/// is made with `--central`. `--version` is for the test of an upgrade.
///
/// # Errors
/// When something cannot be built or written, or the folder holds files already.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let wanted = Wanted::of(arguments)?;
    let host = size::host_target()?;
    let target = wanted.target.clone().unwrap_or_else(|| host.clone());
    let out = wanted.out.clone().unwrap_or_else(|| workspace::target_folder().join("dist"));
    prepare(&out)?;
    let release = Release {
        version: wanted.version.clone().unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
        date_s: date_s()?,
        target,
        out,
    };
    let agent = match wanted.agent {
        Some(program) => program,
        None => size::build((release.target != host).then_some(release.target.as_str()))?,
    };

    let materials = materials::of_package("outpost", &release)?;
    release.write(&format!("outpost-{}-{}.cdx.json", release.version, release.target), &materials)?;
    let files = contents::of_agent(&agent, &materials)?;
    archive::write(&release, "outpost", &files)?;
    debian::write(&release, &agent, &materials)?;
    if let Some(central) = &wanted.central {
        let materials = materials::of_package("central", &release)?;
        release.write(&format!("outpost-central-{}-{}.cdx.json", release.version, release.target), &materials)?;
        archive::write(&release, "outpost-central", &contents::of_central(central, &materials)?)?;
    }
    checksums::write(&release.out)?;
    for name in checksums::names(&release.out)? {
        println!("{}", release.out.join(name).display());
    }
    Ok(())
}

impl Wanted {
    fn of(arguments: &[String]) -> Result<Self> {
        let mut wanted = Self::default();
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let value = rest.next().with_context(|| format!("{name} needs a value\n{USAGE}"))?;
            match name.as_str() {
                "--target" => wanted.target = Some(value.clone()),
                "--agent" => wanted.agent = Some(value.into()),
                "--central" => wanted.central = Some(value.into()),
                "--out" => wanted.out = Some(value.into()),
                "--version" => wanted.version = Some(version(value)?),
                _ => bail!("{USAGE}"),
            }
        }
        Ok(wanted)
    }
}

impl Release {
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.out.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("{} could not be written", path.display()))
    }
}

/// A version that means itself in a file's name and to dpkg.
fn version(value: &str) -> Result<String> {
    let is_safe = |character: char| character.is_ascii_alphanumeric() || ".+~".contains(character);
    let begins_well = value.starts_with(|first: char| first.is_ascii_digit());
    ensure!(
        begins_well && value.chars().all(is_safe),
        "{value:?} is no version: digits first, then letters, digits and . + ~"
    );
    Ok(value.to_owned())
}

/// The folder, empty: what an earlier release left would stand among the checksums.
fn prepare(out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("{} could not be made", out.display()))?;
    for entry in std::fs::read_dir(out)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        ensure!(
            name.starts_with("outpost") || name == checksums::FILE,
            "{} is in the folder of the release, which is emptied first: name another with --out, or take it away",
            path.display()
        );
        std::fs::remove_file(&path).with_context(|| format!("{} could not be removed", path.display()))?;
    }
    Ok(())
}

/// The date of the release: what `SOURCE_DATE_EPOCH` says, as the projects for reproducible builds agreed, else that of the commit.
fn date_s() -> Result<u64> {
    if let Ok(text) = std::env::var("SOURCE_DATE_EPOCH") {
        return text.parse().with_context(|| format!("SOURCE_DATE_EPOCH is {text:?}; it must be seconds since 1970"));
    }
    let text = workspace::output_of(workspace::git(&workspace::root()).args(["log", "-1", "--format=%ct"]))
        .context("without git, set SOURCE_DATE_EPOCH to the date of the sources in seconds since 1970")?;
    text.trim().parse().context("git tells no date of the commit")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> Result<Wanted> {
        Wanted::of(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_not_understood_is_refused_with_the_usage() {
        assert_eq!(wanted("--target a-b --version 1.2~x").unwrap().version.as_deref(), Some("1.2~x"));
        for text in ["--target", "--unknown x", "release x"] {
            assert!(wanted(text).unwrap_err().to_string().contains("usage:"), "{text}");
        }
        for text in ["--version ../x", "--version v1", "--version 1-2"] {
            assert!(wanted(text).unwrap_err().to_string().contains("no version"), "{text}");
        }
    }

    #[test]
    fn a_folder_with_files_of_others_is_not_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let keep = folder.path().join("letters.txt");
        std::fs::write(folder.path().join("outpost-0.tar.gz"), "old").unwrap();
        prepare(folder.path()).unwrap();
        assert!(checksums::names(folder.path()).unwrap().is_empty());

        std::fs::write(&keep, "mine").unwrap();

        assert!(prepare(folder.path()).unwrap_err().to_string().contains("letters.txt"));
        assert!(keep.exists());
    }
}
