//! Which files are handed out with a program.

use std::path::Path;

use anyhow::{Context, Result};

use crate::workspace;

/// One file of an archive.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its name below the archive's folder.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) is_program: bool,
}

/// Papers that go with both programs, from the root of the repository.
const PAPERS: [&str; 3] = ["CHANGELOG.md", "LICENSE", "docs/operations.md"];

/// The agent and what its operator needs beside it.
pub(super) fn of_agent(program: &Path, materials: &[u8]) -> Result<Vec<Entry>> {
    let papers = PAPERS.iter().chain(&["README.md", "agent.toml.example", "docs/local-api.md"]);
    entries("outpost", program, papers, materials)
}

/// Central and what its operator needs beside it.
pub(super) fn of_central(program: &Path, materials: &[u8]) -> Result<Vec<Entry>> {
    entries("outpost-central", program, PAPERS.iter(), materials)
}

/// The text of a file of the repository.
pub(super) fn of_repository(path: &str) -> Result<Vec<u8>> {
    std::fs::read(workspace::root().join(path)).with_context(|| format!("{path} could not be read"))
}

/// The bytes of a program that was built.
pub(super) fn of_program(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("the program {} could not be read", path.display()))
}

fn entries<'a>(
    name: &str,
    program: &Path,
    papers: impl Iterator<Item = &'a &'a str>,
    materials: &[u8],
) -> Result<Vec<Entry>> {
    let mut entries = vec![
        Entry { name: name.to_owned(), bytes: of_program(program)?, is_program: true },
        Entry { name: format!("{name}.cdx.json"), bytes: materials.to_vec(), is_program: false },
    ];
    for paper in papers {
        let name = paper.rsplit('/').next().unwrap_or(paper).to_owned();
        entries.push(Entry { name, bytes: of_repository(paper)?, is_program: false });
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}
