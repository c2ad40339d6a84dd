//! The file of checksums, as `sha256sum --check` reads it.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use protocol::chain::hash_of;

/// Its name.
pub(super) const FILE: &str = "SHA256SUMS";

/// Writes the checksums of all files of a folder into it.
pub(super) fn write(folder: &Path) -> Result<()> {
    let mut text = String::new();
    for name in names(folder)?.iter().filter(|name| *name != FILE) {
        let bytes = std::fs::read(folder.join(name)).with_context(|| format!("{name} could not be read again"))?;
        writeln!(text, "{}  {name}", hash_of(&bytes))?;
    }
    std::fs::write(folder.join(FILE), text).with_context(|| format!("{FILE} could not be written"))
}

/// The names of the files in a folder, sorted.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().into_string().map_err(|name| anyhow::anyhow!("{} is no name", name.display()))?);
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_a_line_and_the_list_itself_has_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b"), "abc").unwrap();
        std::fs::write(folder.path().join("a"), "").unwrap();

        write(folder.path()).unwrap();
        write(folder.path()).unwrap();

        let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        // The examples of FIPS 180-4.
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(text, format!("{empty}  a\n{abc}  b\n"));
    }
}
