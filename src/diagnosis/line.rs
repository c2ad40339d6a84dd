//! Lines of a report, and how it ends.

use serde_json::{Value, json};

use crate::error::Explained;
use crate::exit::Exit;

/// How a line is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and will not for ever.
    Warning,
    /// It does not work.
    Failed,
}

impl Verdict {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// A stable name in `snake_case`.
    pub name: &'static str,
    /// How it is judged.
    pub verdict: Verdict,
    /// What was found.
    pub text: String,
    /// What to do; empty where all is well.
    pub advice: String,
    /// A stable code of what is wrong; empty where all is well.
    pub code: String,
    /// How the program ends if nothing before this failed.
    pub exit: Exit,
}

impl Line {
    /// A line where all is well.
    pub fn ok(name: &'static str, text: impl Into<String>) -> Self {
        let (advice, code) = (String::new(), String::new());
        Self { name, verdict: Verdict::Ok, text: text.into(), advice, code, exit: Exit::Ok }
    }

    /// A line of something that works for now. A warning does not make the program fail.
    pub fn warning(name: &'static str, code: &str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        let (text, advice) = (text.into(), advice.into());
        Self { name, verdict: Verdict::Warning, text, advice, code: code.to_owned(), exit: Exit::Ok }
    }

    /// A line of something that does not work.
    pub fn failed(
        name: &'static str,
        code: &str,
        text: impl Into<String>,
        advice: impl Into<String>,
        exit: Exit,
    ) -> Self {
        let (text, advice) = (text.into(), advice.into());
        Self { name, verdict: Verdict::Failed, text, advice, code: code.to_owned(), exit }
    }

    /// A line that failed with an error, in its words.
    pub fn of_error(name: &'static str, error: &impl Explained) -> Self {
        Self::failed(name, error.code(), error.to_string(), error.advice(), error.exit())
    }
}

/// All lines, in the order in which they were looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    lines: Vec<Line>,
}

impl Report {
    /// Adds a line.
    pub fn add(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Adds lines.
    pub fn extend(&mut self, lines: impl IntoIterator<Item = Line>) {
        self.lines.extend(lines);
    }

    /// The lines so far.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The worst verdict.
    pub fn verdict(&self) -> Verdict {
        self.lines.iter().map(|line| line.verdict).max().unwrap_or(Verdict::Ok)
    }

    /// How the program ends: by the first line that failed.
    pub fn exit(&self) -> Exit {
        self.lines.iter().find(|line| line.verdict == Verdict::Failed).map_or(Exit::Ok, |line| line.exit)
    }

    /// `{"outcome", "exit", "lines": [{"name", "verdict", "text", "code", "advice"}]}`.
    pub fn to_json(&self) -> Value {
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|line| {
                json!({
                    "name": line.name, "verdict": line.verdict.as_str(), "text": line.text, "code": line.code,
                    "advice": line.advice,
                })
            })
            .collect();
        json!({ "outcome": self.verdict().as_str(), "exit": self.exit().code(), "lines": lines })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_ends_by_its_first_failed_line_and_a_warning_does_not_fail_it() {
        let mut report = Report::default();
        assert_eq!((report.verdict(), report.exit()), (Verdict::Ok, Exit::Ok));
        report.add(Line::ok("one", "fine"));
        report.add(Line::warning("two", "soon", "soon", "Do it."));
        assert_eq!((report.verdict(), report.exit()), (Verdict::Warning, Exit::Ok));
        report.add(Line::failed("three", "gone", "gone", "Find it.", Exit::Disk));
        report.add(Line::failed("four", "no", "no", "", Exit::Refused));
        assert_eq!((report.verdict(), report.exit()), (Verdict::Failed, Exit::Disk));

        let shown = report.to_json();

        assert_eq!((shown["outcome"].as_str(), shown["exit"].as_u64()), (Some("failed"), Some(7)));
        let line = json!({ "name": "two", "verdict": "warning", "text": "soon", "code": "soon", "advice": "Do it." });
        assert_eq!(shown["lines"][1], line);
    }
}
