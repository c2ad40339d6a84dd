//! Archives that every system can open, of the same bytes whenever and wherever they are made.

use anyhow::Result;
use flate2::{Compression, GzBuilder};

use super::Release;
use super::contents::Entry;

/// Writes `NAME-VERSION-TARGET.tar.gz`, which holds one folder of that name.
pub(super) fn write(release: &Release, name: &str, entries: &[Entry]) -> Result<()> {
    let folder = format!("{name}-{}-{}", release.version, release.target);
    release.write(&format!("{folder}.tar.gz"), &packed(&folder, entries, release.date_s)?)
}

fn packed(folder: &str, entries: &[Entry], date_s: u64) -> Result<Vec<u8>> {
    // Without a name, and with no date of its own: only the contents count.
    let packer = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let mut archive = tar::Builder::new(packer);
    for entry in entries {
        let mut header = tar::Header::new_ustar();
        header.set_size(entry.bytes.len() as u64);
        header.set_mode(if entry.is_program { 0o755 } else { 0o644 });
        header.set_mtime(date_s);
        header.set_uid(0);
        header.set_gid(0);
        header.set_username("root")?;
        header.set_groupname("root")?;
        archive.append_data(&mut header, format!("{folder}/{}", entry.name), entry.bytes.as_slice())?;
    }
    Ok(archive.into_inner()?.finish()?)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn an_archive_holds_its_files_with_their_modes_and_nothing_of_who_made_it_when() {
        let entry = |name: &str, is_program| Entry { name: name.to_owned(), bytes: name.into(), is_program };
        let entries = [entry("LICENSE", false), entry("outpost", true)];

        let bytes = packed("outpost-1", &entries, 1_700_000_000).unwrap();

        assert_eq!(bytes, packed("outpost-1", &entries, 1_700_000_000).unwrap());
        assert_eq!(bytes[4..8], [0; 4], "the packer wrote a date");
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let found: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                let header = entry.header();
                assert_eq!((header.uid().unwrap(), header.mtime().unwrap()), (0, 1_700_000_000));
                (entry.path().unwrap().display().to_string(), header.mode().unwrap(), text)
            })
            .collect();
        let expected = [("outpost-1/LICENSE", 0o644, "LICENSE"), ("outpost-1/outpost", 0o755, "outpost")];
        assert_eq!(found, expected.map(|(path, mode, text)| (path.to_owned(), mode, text.to_owned())));
    }
}
