//! Pages of an application that the agent serves itself, so that a browser takes them for one origin with the interface: from one folder
//! that the settings name, without folders below it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::head::HttpError;
use super::reply::head_of_whole;

/// What stands before a page's name in a path.
pub(super) const PAGES_PREFIX: &str = "/pages/";
/// The page that is meant where none is named.
const FIRST_PAGE: &str = "index.html";
/// Longest name of a file, in bytes.
const NAME_BYTES_MAX: usize = 100;
/// A page talks to the agent alone, and no page of elsewhere shows it inside of itself.
const POLICY: &str = "default-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; \
                      form-action 'none'";

/// A file that is about to be sent.
#[derive(Debug)]
pub(super) struct Page {
    file: File,
    bytes: u64,
    kind: &'static str,
}

impl Page {
    /// Opens what a name in a path means. Anything that is not a plain name of a file that is there leads nowhere.
    pub(super) fn open(folder: Option<&Path>, name: &str) -> Result<Self, HttpError> {
        let unknown = || HttpError::UnknownPath { path: format!("{PAGES_PREFIX}{name}").chars().take(100).collect() };
        let path = file_of(folder.ok_or_else(unknown)?, name).ok_or_else(unknown)?;
        let file = File::open(&path).map_err(|_| unknown())?;
        let metadata = file.metadata().map_err(|_| unknown())?;
        if !metadata.is_file() {
            return Err(unknown());
        }
        Ok(Self { file, bytes: metadata.len(), kind: kind_of(&path) })
    }

    /// Sends head and file.
    pub(super) fn send(self, stream: &mut dyn Write) -> io::Result<()> {
        let more = format!(
            "Content-Security-Policy: {POLICY}\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
             Cache-Control: no-store\r\n"
        );
        stream.write_all(head_of_whole(self.kind, self.bytes, &more).as_bytes())?;
        let mut file = io::Read::take(self.file, self.bytes);
        io::copy(&mut file, stream)?;
        stream.flush()
    }
}

fn file_of(folder: &Path, name: &str) -> Option<PathBuf> {
    let name = if name.is_empty() { FIRST_PAGE } else { name };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_taken = name.len() <= NAME_BYTES_MAX && !name.starts_with('.') && name.bytes().all(is_plain);
    is_taken.then(|| folder.join(name))
}

fn kind_of(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(folder: &Path, name: &str) -> Option<String> {
        let mut sent = Vec::new();
        Page::open(Some(folder), name).ok()?.send(&mut sent).unwrap();
        Some(String::from_utf8(sent).unwrap())
    }

    #[test]
    fn files_of_the_folder_are_sent_with_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("index.html"), "<p>first").unwrap();
        std::fs::write(folder.path().join("stock_2.js"), "1").unwrap();

        let first = sent(folder.path(), "").unwrap();
        assert!(
            first.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 8\r\n")
        );
        assert!(first.contains("frame-ancestors 'none'") && first.ends_with("\r\n\r\n<p>first"), "{first}");
        assert_eq!(sent(folder.path(), "index.html").unwrap(), first);
        assert!(sent(folder.path(), "stock_2.js").unwrap().contains("text/javascript"));
    }

    #[test]
    fn nothing_else_is_sent() {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("pages");
        std::fs::create_dir_all(folder.join("below.html")).unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        std::fs::write(folder.join(".hidden"), "x").unwrap();

        for name in [
            "absent.html",
            "below.html",
            "../secret",
            "..",
            ".",
            ".hidden",
            "a/b",
            "%2e%2e/secret",
            "x\u{e4}",
            "secret",
        ] {
            assert_eq!(sent(&folder, name), None, "{name}");
        }
        assert!(Page::open(None, "index.html").is_err());
    }
}
