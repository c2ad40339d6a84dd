//! Manual pages, made from the list of verbs: one of the program, and one of each verb. `cargo xtask man` writes them; no page is in the
//! program itself, which prints the same words with `outpost help`.

use std::fmt::Write as _;

use super::verbs::{GLOBAL_OPTIONS, OptionWord, VERBS, Verb};
use crate::config::CONFIG_FILE;
use crate::exit::Exit;

/// All pages, each with the name of its file.
pub fn man_pages() -> Vec<(String, String)> {
    let mut pages = vec![("outpost.1".to_owned(), page_of_program())];
    pages.extend(VERBS.iter().map(|verb| (format!("outpost-{}.1", verb.name), page_of_verb(verb))));
    pages
}

fn page_of_program() -> String {
    let mut page = head("OUTPOST", "outpost", "record edits on this device and sync them with central");
    page.push_str(".SH SYNOPSIS\n.B outpost\n[\\fIOPTIONS\\fR] \\fIVERB\\fR ...\n.SH DESCRIPTION\n");
    page.push_str(
        "Journals every edit that an application makes on this device, and exchanges them with the central server whenever there is a \
         connection. Each verb has a page of its own.\n.SH VERBS\n",
    );
    for verb in VERBS {
        entry(&mut page, &format!(".BR outpost\\-{} (1)", escaped(verb.name)), verb.summary);
    }
    page.push_str(".SH OPTIONS\n");
    options(&mut page, GLOBAL_OPTIONS);
    page.push_str(".SH EXIT STATUS\n");
    for exit in Exit::ALL {
        entry(&mut page, &format!(".B {}", exit.code()), exit.meaning());
    }
    page.push_str(".SH FILES\n");
    entry(&mut page, &format!(".I {CONFIG_FILE}"), "The settings; agent.toml.example explains each.");
    entry(&mut page, ".I /var/lib/outpost", "The data folder, unless a setting names another one.");
    page.push_str(".SH ENVIRONMENT\n");
    entry(&mut page, ".B OUTPOST_CONFIG", "The settings file, unless --config names one.");
    entry(&mut page, ".B OUTPOST_SECTION_KEY", "Takes the place of a setting, as OUTPOST_SCHEDULE_INTERVAL_S does.");
    page
}

fn page_of_verb(verb: &Verb) -> String {
    let name = format!("outpost-{}", verb.name);
    let mut page = head(&name.to_uppercase(), &name, verb.summary);
    let _infallible = writeln!(page, ".SH SYNOPSIS\n.B outpost {}", escaped(verb.name));
    let usage = [if verb.options.is_empty() { "" } else { "[OPTIONS]" }, verb.arguments];
    for part in usage.into_iter().filter(|part| !part.is_empty()) {
        page.push_str(&line(part));
    }
    page.push_str(".SH DESCRIPTION\n");
    if verb.help.is_empty() {
        page.push_str(&line(&sentence(verb.summary)));
    }
    for (index, paragraph) in verb.help.lines().enumerate() {
        if index > 0 {
            page.push_str(".PP\n");
        }
        page.push_str(&line(paragraph));
    }
    page.push_str(".SH OPTIONS\n");
    options(&mut page, verb.options);
    page.push_str(".PP\nOptions of every verb:\n");
    options(&mut page, GLOBAL_OPTIONS);
    page.push_str(".SH SEE ALSO\n.BR outpost (1)\n");
    page
}

fn head(title: &str, name: &str, summary: &str) -> String {
    let (title, name, version) = (escaped(title), escaped(name), env!("CARGO_PKG_VERSION"));
    format!(".TH \"{title}\" 1 \"\" \"outpost {version}\" \"outpost\"\n.SH NAME\n{name} \\- {}\n", escaped(summary))
}

fn options(page: &mut String, options: &[OptionWord]) {
    for option in options {
        let letter = option.letter.map_or_else(String::new, |letter| format!("\\fB\\-{letter}\\fR, "));
        let value = option.value.map_or_else(String::new, |value| format!(" \\fI{}\\fR", escaped(value)));
        entry(page, &format!("{letter}\\fB\\-\\-{}\\fR{value}", escaped(option.name)), &sentence(option.help));
    }
}

fn entry(page: &mut String, tag: &str, text: &str) {
    let _infallible = write!(page, ".TP\n{tag}\n{}", line(text));
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", characters.as_str())
}

/// A line of text. What begins with a dot or an apostrophe would be a request of roff.
fn line(text: &str) -> String {
    let guard = if text.starts_with(['.', '\'']) { "\\&" } else { "" };
    format!("{guard}{}\n", escaped(text))
}

/// Backslashes and dashes as they stand: a bare dash is shown as a hyphen, which cannot be copied as an option.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '\'' => escaped.push_str("\\(aq"),
            '`' => escaped.push_str("\\(ga"),
            '^' => escaped.push_str("\\(ha"),
            '~' => escaped.push_str("\\(ti"),
            '"' => escaped.push_str("\\(dq"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn each_verb_and_option_has_its_place() {
        let pages = man_pages();
        assert_eq!(pages.len(), VERBS.len() + 1);
        for verb in VERBS {
            let name = format!("outpost-{}.1", verb.name);
            let (_, page) = pages.iter().find(|(file, _)| *file == name).unwrap();
            assert!(pages[0].1.contains(&format!("outpost\\-{} (1)", escaped(verb.name))), "{name}");
            for option in verb.all_options() {
                assert!(page.contains(&format!("\\fB\\-\\-{}\\fR", escaped(option.name))), "{name} {}", option.name);
            }
        }
        for exit in Exit::ALL {
            assert!(pages[0].1.contains(&format!(".B {}\n", exit.code())));
        }
    }

    #[test]
    fn groff_renders_every_page_without_a_warning_and_shows_its_words() {
        for (file, page) in man_pages() {
            let rendered = Command::new("groff")
                .args(["-man", "-Tutf8", "-ww", "-z", "-rCHECKSTYLE=3"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            let Ok(mut groff) = rendered else {
                let _ = std::io::stderr().write_all(b"\nNOT RUN: there is no groff to render the manual pages\n");
                return;
            };
            groff.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
            let output = groff.wait_with_output().unwrap();
            assert!(output.status.success(), "{file}");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{file}:\n{page}");
        }
    }
}
