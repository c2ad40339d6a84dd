//! The documents say what the code says: every kind, code and limit is there, and every test that they name exists.
#![expect(clippy::unwrap_used, reason = "every function here is the body of a test or a part of one")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use protocol::limits;

fn read(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn wire_format() -> String {
    read("../../docs/wire-format.md")
}

macro_rules! limits {
    ($($name:ident),* $(,)?) => {
        [$((stringify!($name), limits::$name.to_string())),*]
    };
}

#[test]
fn every_limit_is_in_the_page_with_its_value() {
    let listed = limits![
        RECORD_ID_BYTES_MAX,
        TABLE_NAME_BYTES_MAX,
        COLUMN_NAME_BYTES_MAX,
        ROW_COLUMNS_MAX,
        JSON_DEPTH_MAX,
        RECORD_BYTES_MAX,
        ENTRY_BYTES_MAX,
        GROUP_ENTRIES_MAX,
        GROUP_BYTES_MAX,
        SCOPE_BYTES_MAX,
        SCOPES_MAX,
        DICTIONARY_BYTES_MAX,
        FRAME_PLAIN_BYTES_TARGET_MAX,
        FRAME_PLAIN_BYTES_MAX,
        SECTION_BYTES_MAX,
        SEALED_FRAME_BYTES_MAX,
        FRAME_ENTRIES_MAX,
        FRAME_TARGET_BYTES_MIN,
        FRAME_TARGET_BYTES_MAX,
        REQUEST_FRAME_BYTES_MAX,
        REQUEST_BYTES_MAX,
        HEAD_BYTES_MAX,
        FURTHER_BYTES_MAX,
        REPLY_PAGE_BYTES_MAX,
        CARRIED_FRAME_BYTES_MAX,
        CARRIED_PAGE_BYTES_MAX,
        EXPORT_HEAD_BYTES_MAX,
        PAGE_ROWS_MAX,
        PAGE_PLAIN_BYTES_MAX,
        CONTROL_BYTES_MAX,
        CONTROL_ROW_BYTES_MAX,
        REPLY_HEAD_BYTES_MAX,
        CLAIMS_MAX,
        PARENT_DEPTH_MAX,
        WAITING_ENTRIES_MAX,
        REASON_BYTES_MAX,
        CHECK_BYTES_MAX,
        VERIFY_QUESTION_BYTES_MAX,
        VERIFY_LEFT_ALONE_MAX,
        VERIFY_ANSWER_BYTES_MAX,
        NEWS_BYTES_MAX,
        NEWS_WAIT_S_MAX,
        CODE_BYTES_MAX,
        RETIRED_KEYS_MAX,
        HARDWARE_SOURCES_MAX,
        RETRY_AFTER_S_MAX,
        NUMBER_MAX,
        NUMBER_GAP,
        NUMBER_GAPS_MAX,
    ];
    let source = read("src/limits.rs");
    let named: BTreeSet<&str> =
        source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next()).collect();
    assert_eq!(named, listed.iter().map(|(name, _)| *name).collect(), "this test lists every limit");

    let page = wire_format();
    for (name, value) in listed {
        assert!(page.contains(&format!("| `{name}` | {value} |")), "docs/wire-format.md: `{name}` is {value}");
    }
}

#[test]
fn every_kind_of_section_is_in_the_page_with_its_number() {
    let source = read("src/section.rs");
    let (_, numbers) = source.split_once("const fn number(self)").unwrap();
    let (numbers, _) = numbers.split_once("const fn of_number").unwrap();
    let kinds: Vec<_> = numbers
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Self::")?.strip_suffix(',')?.split_once(" => "))
        .collect();
    assert_eq!(kinds.len(), 14, "{kinds:?}");

    let page = wire_format();
    for (name, number) in kinds {
        assert!(page.contains(&format!("| {number} | `{name}` |")), "docs/wire-format.md: kind {number} is `{name}`");
    }
}

#[test]
fn every_control_code_and_every_code_of_a_refusal_is_in_the_page() {
    let page = wire_format();
    let source = read("src/control.rs");
    let codes: Vec<_> = source
        .lines()
        .filter_map(|line| line.trim().split_once(" => Self::"))
        .filter(|(code, _)| code.parse::<u16>().is_ok())
        .map(|(code, name)| (code, name.split(['(', ',']).next().unwrap_or_default()))
        .collect();
    assert_eq!(codes.len(), 10, "{codes:?}");
    for (code, name) in codes {
        assert!(
            page.contains(&format!("| {code} | `{name}` |")),
            "docs/wire-format.md: control code {code} is `{name}`"
        );
    }
    for file in ["src/exchange.rs", "src/exchange/reply.rs"] {
        for call in read(file).split("Refusal::new(").skip(1) {
            let Some(code) = call.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                continue;
            };
            assert!(page.contains(&format!("`{code}`")), "docs/wire-format.md: refusal `{code}`");
        }
    }
}

/// Every Rust file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_test_that_the_failure_table_names_exists() {
    let folders = ["/src", "/../central/src", "/../central/tests", "/../../tests/suite"];
    let code: String = folders
        .iter()
        .flat_map(|folder| sources(Path::new(&format!("{}{folder}", env!("CARGO_MANIFEST_DIR")))))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let page = read("../../docs/sync-protocol.md");
    // Between backticks, longer than any other name on the page but columns of ours.
    let named: Vec<_> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            word.len() > 25
                && !word.starts_with("outpost_")
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        })
        .collect();
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        assert!(
            code.contains(&format!("fn {name}(")),
            "docs/sync-protocol.md names the test `{name}`, which is not there"
        );
    }
}
