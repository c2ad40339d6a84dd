//! Files whose bytes are frozen: `tests/golden/FOLDER/NAME.hex`, a comment line and then hexadecimal digits, 32 bytes a line.
//! `UPDATE_GOLDEN=1` writes a file that is missing and never changes one that is there; `cargo xtask tidy` compares all of them with
//! `tests/golden/SHA256SUMS`.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder of golden files, from any crate of the workspace.
pub fn folder(name: &str) -> PathBuf {
    let mut roots = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let golden = roots.find_map(|root| Some(root.join("tests/golden")).filter(|golden| golden.is_dir()));
    golden.expect("a folder above has tests/golden").join(name)
}

/// The bytes that are stored under a name such as `wire-1/row`.
pub fn stored(name: &str, comment: &str, bytes: &[u8]) -> Vec<u8> {
    let path = folder(&format!("{name}.hex"));
    if !path.exists() && std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text_of(comment, bytes)).unwrap();
    }
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|_| panic!("{} is missing; UPDATE_GOLDEN=1 writes it", path.display()));
    bytes_of(&text)
}

/// The same, where the encoding is fixed: the bytes are those that are stored.
pub fn same(name: &str, comment: &str, bytes: &[u8]) -> Vec<u8> {
    let stored = stored(name, comment, bytes);
    assert!(
        stored == bytes,
        "{name} is encoded to other bytes than before: a format that was released never changes, a new one gets a new version. \
         Now:\n{}",
        text_of(comment, bytes)
    );
    stored
}

fn text_of(comment: &str, bytes: &[u8]) -> String {
    let mut text = format!("# {comment}\n");
    for line in bytes.chunks(32) {
        text.extend(line.iter().map(|byte| format!("{byte:02x}")));
        text.push('\n');
    }
    text
}

fn bytes_of(text: &str) -> Vec<u8> {
    let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    let pairs = digits.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
