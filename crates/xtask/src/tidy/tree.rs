//! The repository's files as the rules see them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};

use super::rust_code::{CodePath, Token, paths, tokens};
use crate::workspace;

/// Every file that git tracks or would track, by its path from the root with `/` between folders.
pub(crate) struct Tree {
    files: BTreeMap<String, Vec<u8>>,
    folders: BTreeSet<String>,
}

impl Tree {
    /// Reads what lies in `root` and is not ignored; a file that is tracked but deleted is not there.
    ///
    /// # Errors
    /// When git cannot list the files or one of them cannot be read.
    pub(crate) fn read(root: &Path) -> Result<Tree> {
        let listing = workspace::output_of(workspace::git(root).args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]))?;
        let mut files = BTreeMap::new();
        for path in listing.split('\0').filter(|path| !path.is_empty()) {
            let place = root.join(path);
            if place.is_file() {
                let bytes = std::fs::read(&place).with_context(|| format!("{path} could not be read"))?;
                files.insert(path.to_owned(), bytes);
            }
        }
        Ok(Tree::from_files(files))
    }

    /// A tree that exists in memory only, for the tests of the rules.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        Tree::from_files(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect())
    }

    fn from_files(files: BTreeMap<String, Vec<u8>>) -> Tree {
        let mut folders = BTreeSet::from([String::new()]);
        for path in files.keys() {
            folders.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
        }
        Tree { files, folders }
    }

    /// Path and content of each file, in the order of paths.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// The files that are UTF-8 text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter_map(|(path, bytes)| Some((path, std::str::from_utf8(bytes).ok()?)))
    }

    /// The texts whose name ends so (with the dot).
    pub(crate) fn texts_ending(&self, ending: &'static str) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(move |(path, _)| path.ends_with(ending))
    }

    /// One file, if it is there and is text.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(self.files.get(path)?).ok()
    }

    /// Whether a file or folder of that path is there; the root is "".
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.folders.contains(path)
    }

    /// Calls `visit` with each Rust file's path, its tokens and the paths that it names.
    pub(crate) fn for_each_rust_file(&self, mut visit: impl FnMut(&str, &[Token<'_>], &[CodePath<'_>])) {
        for (path, text) in self.texts_ending(".rs") {
            let tokens = tokens(text);
            visit(path, &tokens, &paths(&tokens));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracked_and_new_files_are_seen_ignored_and_deleted_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("src")).unwrap();
        for path in ["src/tracked.rs", "gone.rs", "new.rs", "ignored.log"] {
            std::fs::write(root.join(path), "x").unwrap();
        }
        std::fs::write(root.join(".gitignore"), "*.log\n").unwrap();
        for arguments in [&["init", "--quiet"][..], &["add", "src/tracked.rs", "gone.rs"]] {
            workspace::output_of(workspace::git(root).args(arguments)).unwrap();
        }
        std::fs::remove_file(root.join("gone.rs")).unwrap();

        let tree = Tree::read(root).unwrap();

        let paths: Vec<_> = tree.files().map(|(path, _)| path).collect();
        assert_eq!(paths, [".gitignore", "new.rs", "src/tracked.rs"]);
        assert!(tree.has("src") && tree.has("") && !tree.has("gone.rs"));
    }
}
