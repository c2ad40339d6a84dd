//! The shape of files: length, width, white space, size, and nothing left unfinished.

use super::Finding;
use super::rust_code::Token;
use super::tree::Tree;

/// Longest Rust file, in lines: above it the pieces have to be told apart.
pub(super) const RUST_LINES_MAX: usize = 600;
/// From here on a Rust file is listed as long, in lines.
const RUST_LINES_LONG: usize = 400;
/// Widest line of Rust, in characters: rustfmt breaks code at 120 but leaves long text alone.
const RUST_COLUMNS_MAX: usize = 140;
/// Largest file in the repository, in bytes: test data is generated, not stored.
const FILE_BYTES_MAX: usize = 512 * 1024;

/// Macros that mark unfinished or debugging code.
const UNFINISHED_MACROS: &[&str] = &["todo", "unimplemented", "dbg"];

/// Folders whose files are compared byte by byte, come from elsewhere or are written by a tool.
const EXACT_FOLDERS: &[&str] = &["golden", "fixtures", "snapshots", "vendor", "corpus", "proptest-regressions"];

/// Rust files above the length that is comfortable, with their lines.
pub(super) fn long_rust_files(tree: &Tree) -> Vec<(&str, usize)> {
    tree.texts_ending(".rs")
        .map(|(file, text)| (file, text.lines().count()))
        .filter(|(_, lines)| (RUST_LINES_LONG + 1..=RUST_LINES_MAX).contains(lines))
        .collect()
}

/// A Rust file can be read in one sitting.
pub(super) fn rust_files_are_short(tree: &Tree) -> Vec<Finding> {
    tree.texts_ending(".rs")
        .map(|(file, text)| (file, text.lines().count()))
        .filter(|(_, lines)| *lines > RUST_LINES_MAX)
        .map(|(file, lines)| {
            let message = format!("has {lines} lines, {RUST_LINES_MAX} is the limit; split it by noun or by phase");
            Finding::new(file, 0, message)
        })
        .collect()
}

/// No line of Rust is so wide that two files do not fit beside each other. A row of a table in a comment cannot be broken, and a
/// record or a vector of test data that was broken would be harder to read.
pub(super) fn rust_lines_are_narrow(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in tree.texts_ending(".rs").filter(|(file, _)| !is_exact(file)) {
        for (number, line) in numbered(text) {
            let columns = line.chars().count();
            if columns > RUST_COLUMNS_MAX && !is_table_row(line) && !is_sample(line) {
                let message = format!("is {columns} characters wide, {RUST_COLUMNS_MAX} is the limit; break the text");
                findings.push(Finding::new(file, number, message));
            }
        }
    }
    findings
}

/// Whether a line holds a sample: JSON of a record, or one literal of more than half the width.
fn is_sample(line: &str) -> bool {
    let longest = line.split('"').map(|piece| piece.chars().count()).max().unwrap_or(0);
    line.contains("json!(") || line.contains("r#\"{") || (line.contains('"') && 2 * longest > RUST_COLUMNS_MAX)
}

/// What is in the repository is finished: no placeholders, no debugging output, no test that does not run.
pub(super) fn nothing_is_left_unfinished(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    tree.for_each_rust_file(|file, tokens, _| {
        for window in tokens.windows(3) {
            let [name, mark, open] = window else { continue };
            if mark.text == "!" && open.text != "=" && UNFINISHED_MACROS.contains(&name.text) {
                findings.push(Finding::new(file, name.line, format!("has `{}!`; finish it or take it out", name.text)));
            }
        }
        for line in ignored_tests(tokens) {
            let message = "ignores a test; make it run everywhere, or skip at run time and say so in its output";
            findings.push(Finding::new(file, line, message));
        }
    });
    findings
}

/// Text has no tabs, no spaces at line ends, no carriage returns, and ends with a line end.
pub(super) fn text_is_clean(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in tree.texts().filter(|(file, text)| !is_exact(file) && !text.contains('\0')) {
        for (number, line) in numbered(text) {
            let message = if line.ends_with('\r') {
                "ends with a carriage return; lines end with a line feed alone"
            } else if line.contains('\t') {
                "has a tab; use spaces"
            } else if line.ends_with(char::is_whitespace) {
                "ends with white space; take it off"
            } else {
                continue;
            };
            findings.push(Finding::new(file, number, message));
        }
        if !text.is_empty() && !text.ends_with('\n') {
            findings.push(Finding::new(file, text.lines().count(), "does not end with a line feed; add it"));
        }
    }
    findings
}

/// A clone stays small.
pub(super) fn files_are_small(tree: &Tree) -> Vec<Finding> {
    tree.files()
        .filter(|(_, bytes)| bytes.len() > FILE_BYTES_MAX)
        .map(|(file, bytes)| {
            let message =
                format!("has {} bytes, {FILE_BYTES_MAX} is the limit; generate it when it is needed", bytes.len());
            Finding::new(file, 0, message)
        })
        .collect()
}

/// Lines of the attributes that name `ignore`, also inside `cfg_attr`.
fn ignored_tests(tokens: &[Token<'_>]) -> Vec<usize> {
    let mut lines = Vec::new();
    let mut index = 0;
    while index + 1 < tokens.len() {
        if tokens[index].text != "#" || tokens[index + 1].text != "[" {
            index += 1;
            continue;
        }
        let mut depth = 0_usize;
        for token in &tokens[index + 1..] {
            match token.text {
                "[" => depth += 1,
                "]" => depth -= 1,
                "ignore" => lines.push(token.line),
                _ => {}
            }
            index += 1;
            if depth == 0 {
                break;
            }
        }
    }
    lines
}

/// Whether a line is a row of a Markdown table in a documentation comment.
fn is_table_row(line: &str) -> bool {
    let line = line.trim();
    (line.starts_with("//! |") || line.starts_with("/// |")) && line.ends_with('|')
}

/// Whether a file is exempt from rules about its text.
fn is_exact(file: &str) -> bool {
    file.split('/').any(|part| EXACT_FOLDERS.contains(&part))
}

/// Lines with their numbers from 1; a carriage return stays on its line.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split('\n').enumerate().map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn a_file_above_the_limit_is_found_and_a_long_one_listed() {
        let [comfortable, long, at_limit, above] =
            [RUST_LINES_LONG, RUST_LINES_LONG + 1, RUST_LINES_MAX, RUST_LINES_MAX + 1]
                .map(|lines| "//\n".repeat(lines));
        let files: &[(&str, &str)] =
            &[("a.rs", &comfortable), ("b.rs", &long), ("c.rs", &at_limit), ("d.rs", &above), ("e.md", &above)];

        check(rust_files_are_short, files, &[("d.rs", 0)]);
        assert_eq!(long_rust_files(&Tree::of(files)), [("b.rs", 401), ("c.rs", 600)]);
    }

    #[test]
    fn a_wide_line_is_found_by_its_characters() {
        let narrow = format!("\n{}\n", "ü".repeat(RUST_COLUMNS_MAX));
        let wide = format!("\n{}\n", "x".repeat(RUST_COLUMNS_MAX + 1));

        let row = format!("    /// | a |{wide}|", wide = wide.trim());
        let comment = format!("//! {wide}", wide = wide.trim());

        check(
            rust_lines_are_narrow,
            &[("a.rs", &narrow), ("b.rs", &wide), ("c.md", &wide), ("d.rs", &row), ("e.rs", &comment)],
            &[("b.rs", 2), ("e.rs", 1)],
        );
    }

    #[test]
    fn unfinished_code_is_found() {
        check(
            nothing_is_left_unfinished,
            &[
                ("a.rs", "fn a() {\n    todo!()\n}"),
                ("b.rs", "dbg!(x); unimplemented!(\"later\")"),
                ("c.rs", "#[test]\n#[ignore = \"slow\"]\nfn a() {}"),
                ("d.rs", "#[cfg_attr(unix, ignore)] fn a() {}"),
                ("e.rs", "// todo!()\nlet todo = \"dbg!()\"; #[test] fn ignore() { a[ignore]; todo != x }"),
            ],
            &[("a.rs", 2), ("b.rs", 1), ("b.rs", 1), ("c.rs", 2), ("d.rs", 1)],
        );
    }

    #[test]
    fn unclean_text_is_found() {
        check(
            text_is_clean,
            &[
                ("a.md", "fine\nnot fine \n"),
                ("b.sh", "\tx\n"),
                ("c.toml", "x\r\n"),
                ("d.rs", "no end"),
                ("e.rs", ""),
                ("tests/golden/f.txt", "x \r\n\t"),
            ],
            &[("a.md", 2), ("b.sh", 1), ("c.toml", 1), ("d.rs", 1)],
        );
    }

    #[test]
    fn a_large_file_is_found() {
        let (at_limit, above) = ("x".repeat(FILE_BYTES_MAX), "x".repeat(FILE_BYTES_MAX + 1));

        check(files_are_small, &[("a.bin", &at_limit), ("b.bin", &above)], &[("b.bin", 0)]);
    }
}
