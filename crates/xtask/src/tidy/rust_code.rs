//! Just enough of Rust's grammar to tell code from comments and text, and to see which paths a file names.
//!
//! Not a parser: what it does not know it passes over as single characters. Text inside strings and comments is never
//! code, so that the bad examples in the rules' own tests are not found.

/// A word, `::` or a single character of code, with the line it is on (the first is 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) line: usize,
    pub(crate) text: &'a str,
}

/// A path as it is written (`std::thread::sleep`), or one leaf of a `use` tree written out in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CodePath<'a> {
    pub(crate) line: usize,
    pub(crate) segments: Vec<&'a str>,
    /// Brought in by `use` or `extern crate`.
    pub(crate) is_imported: bool,
}

impl CodePath<'_> {
    /// Whether the path goes through a crate (or module) of that name; a variable of that name does not count.
    pub(crate) fn names_crate(&self, name: &str) -> bool {
        (self.segments.len() > 1 || self.is_imported) && self.segments.contains(&name)
    }

    /// Whether these segments stand in the path, one after the other.
    pub(crate) fn contains(&self, wanted: &[&str]) -> bool {
        self.segments.windows(wanted.len()).any(|window| window == wanted)
    }
}

/// The code of a file, without comments, strings, character literals and lifetimes.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (length, is_code) = next_piece(rest, first);
        let (piece, after) = rest.split_at(length);
        if is_code {
            tokens.push(Token { line, text: piece });
        }
        line += piece.matches('\n').count();
        rest = after;
    }
    tokens
}

/// Every path that the tokens name, `use` trees written out.
pub(crate) fn paths<'a>(tokens: &[Token<'a>]) -> Vec<CodePath<'a>> {
    let mut found = Vec::new();
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        // `use<'a>` in a return type is not an import.
        if token.text == "use" && text_at(tokens, index + 1) != Some("<") {
            index = use_tree(tokens, index + 1, &[], &mut found);
        } else if is_word(token.text) {
            let is_imported = index >= 2 && tokens[index - 1].text == "crate" && tokens[index - 2].text == "extern";
            let mut segments = vec![token.text];
            index += 1;
            while text_at(tokens, index) == Some("::") {
                let Some(segment) = text_at(tokens, index + 1).filter(|text| is_word(text)) else { break };
                segments.push(segment);
                index += 2;
            }
            found.push(CodePath { line: token.line, segments, is_imported });
        } else {
            index += 1;
        }
    }
    found
}

/// Reads one branch of a `use` tree; returns the index after it. A closing `}`, `,` or `;` is left to the caller.
fn use_tree<'a>(tokens: &[Token<'a>], start: usize, prefix: &[&'a str], found: &mut Vec<CodePath<'a>>) -> usize {
    let mut segments = prefix.to_vec();
    let mut index = start;
    while let Some(token) = tokens.get(index) {
        match token.text {
            "{" => {
                index += 1;
                loop {
                    match text_at(tokens, index) {
                        Some("}") => return index + 1,
                        Some(",") => index += 1,
                        Some(";") | None => return index,
                        Some(_) => index = use_tree(tokens, index, &segments, found),
                    }
                }
            }
            "," | "}" | ";" => {
                found.push(CodePath { line: token.line, segments, is_imported: true });
                return index;
            }
            "as" => {
                found.push(CodePath { line: token.line, segments, is_imported: true });
                return index + 2;
            }
            word if is_word(word) => segments.push(word),
            _ => {}
        }
        index += 1;
    }
    index
}

fn text_at<'a>(tokens: &[Token<'a>], index: usize) -> Option<&'a str> {
    tokens.get(index).map(|token| token.text)
}

fn is_word(text: &str) -> bool {
    text.starts_with(is_word_character)
}

fn is_word_character(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

/// Length in bytes of what `rest` begins with, and whether it is code.
fn next_piece(rest: &str, first: char) -> (usize, bool) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), false);
    }
    if rest.starts_with("/*") {
        return (block_comment_length(rest), false);
    }
    if let Some(length) = string_length(rest) {
        return (length, false);
    }
    match first {
        '\'' => (quote_length(rest), false),
        _ if first.is_whitespace() => (first.len_utf8(), false),
        _ if is_word_character(first) => {
            (rest.find(|character| !is_word_character(character)).unwrap_or(rest.len()), true)
        }
        _ if rest.starts_with("::") => (2, true),
        _ => (first.len_utf8(), true),
    }
}

/// Block comments nest.
fn block_comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(found) = rest[at..].find(['/', '*']) {
        at += found;
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Length of the string literal that `rest` begins with, if it begins with one: plain, byte, C or raw.
fn string_length(rest: &str) -> Option<usize> {
    let unprefixed = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    let prefix = rest.len() - unprefixed.len();
    if let Some(raw) = unprefixed.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let body = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let length = body.find(&end).map_or(body.len(), |at| at + end.len());
        return Some(prefix + 1 + hashes + 1 + length);
    }
    let body = unprefixed.strip_prefix('"')?;
    Some(prefix + 1 + escaped_length(body, '"'))
}

/// Length of a character literal or of a lifetime; `rest` begins with the quote.
fn quote_length(rest: &str) -> usize {
    let body = &rest[1..];
    let mut characters = body.chars();
    match (characters.next(), characters.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => 1 + escaped_length(body, '\''),
        _ => 1 + body.find(|character| !is_word_character(character)).unwrap_or(body.len()),
    }
}

/// Bytes up to and with the closing quote; a backslash hides the character after it.
fn escaped_length(body: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, character) in body.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if character == quote => return at + character.len_utf8(),
            _ => {}
        }
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_words(source: &str, expected: &[(usize, &str)]) {
        let words: Vec<_> =
            tokens(source).iter().filter(|token| is_word(token.text)).map(|token| (token.line, token.text)).collect();
        assert_eq!(words, expected, "{source}");
    }

    #[track_caller]
    fn check_paths(source: &str, expected: &[&str]) {
        let tokens = tokens(source);
        let written: Vec<_> = paths(&tokens).iter().map(|path| path.segments.join("::")).collect();
        assert_eq!(written, expected, "{source}");
    }

    #[test]
    fn comments_and_text_are_not_code_and_lines_are_counted_through_them() {
        check_words("a // b\nc", &[(1, "a"), (2, "c")]);
        check_words("/* a /* b */ c\n */ d", &[(2, "d")]);
        check_words("a(\"b \\\" c\n\") d", &[(1, "a"), (2, "d")]);
        check_words("r#\"a \" b\"# c br\"x\\\" d b\"e\" f", &[(1, "c"), (1, "d"), (1, "f")]);
    }

    #[test]
    fn characters_and_lifetimes_do_not_open_a_string() {
        check_words("'\"' a '\\'' b", &[(1, "a"), (1, "b")]);
        check_words("fn x<'a>(y: &'a str)", &[(1, "fn"), (1, "x"), (1, "y"), (1, "str")]);
        check_words("b'\"' a", &[(1, "b"), (1, "a")]);
    }

    #[test]
    fn unfinished_text_ends_with_the_file() {
        check_words("a \"b", &[(1, "a")]);
        check_words("a /* b", &[(1, "a")]);
        check_words("a r#\"b\"", &[(1, "a")]);
        check_words("a '", &[(1, "a")]);
    }

    #[test]
    fn use_trees_are_written_out_in_full() {
        check_paths(
            "use std::{thread::{self, sleep as rest}, fs};",
            &["std::thread::self", "std::thread::sleep", "std::fs"],
        );
        check_paths("use {sled, log::info};", &["sled", "log::info"]);
        check_paths("use a::*; b::c()", &["a", "b::c"]);
        check_paths("use a::{", &[]);
        check_paths("fn f() -> impl X + use<'a> {}", &["fn", "f", "impl", "X", "use"]);
    }

    #[test]
    fn a_variable_is_not_a_crate() {
        for (source, is_named) in [
            ("sled::open()", true),
            ("::sled::open()", true),
            ("use sled;", true),
            ("extern crate sled;", true),
            ("sql::sled::open()", true),
            ("let sled = 1;", false),
            ("sled_storage::open()", false),
            ("// sled::open()", false),
        ] {
            let tokens = tokens(source);
            assert_eq!(paths(&tokens).iter().any(|path| path.names_crate("sled")), is_named, "{source}");
        }
    }
}
