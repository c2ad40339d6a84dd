//! `check` and `doctor`: what is right and what is not, a line each.

use std::fmt::Write as _;

use serde_json::Value;

use super::Screen;
use super::wording;
use crate::diagnosis::Report;
use crate::exit::Exit;

/// Width of the column with the verdicts, and of the one with the names.
const COLUMNS: (usize, usize) = (7, 13);

/// Prints a report; ends as its first failed line says.
pub fn run(report: &Report, screen: &mut Screen<'_>) -> Exit {
    screen.result(&report.to_json(), text);
    report.exit()
}

fn text(report: &Value) -> String {
    let (verdicts, names) = COLUMNS;
    let indent = verdicts + names + 4;
    let mut text = String::new();
    for line in report["lines"].as_array().into_iter().flatten() {
        let [verdict, name, found, code, advice] =
            ["verdict", "name", "text", "code", "advice"].map(|field| wording::text(&line[field]));
        let code = if code.is_empty() { code } else { format!(" [{code}]") };
        let _infallible = writeln!(text, "{verdict:<verdicts$}  {name:<names$}  {found}{code}");
        if !advice.is_empty() {
            let _infallible = writeln!(text, "{:indent$}{advice}", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::printed;
    use crate::diagnosis::Line;

    fn report() -> Report {
        let mut report = Report::default();
        report.add(Line::ok("configuration", "/etc/outpost/agent.toml"));
        report.add(Line::warning("daemon", "no_daemon", "no daemon runs", "Start it."));
        report.add(Line::failed("disk_space", "disk_full", "3 MB are free", "Make room.", Exit::Disk));
        report
    }

    #[test]
    fn a_report_is_printed_a_line_each_with_what_to_do_below() {
        let (exit, text) = printed(false, |screen| run(&report(), screen));

        assert_eq!(exit, Exit::Disk);
        assert_eq!(
            text,
            "ok       configuration  /etc/outpost/agent.toml\n\
             warning  daemon         no daemon runs [no_daemon]\n\
             \x20                       Start it.\n\
             failed   disk_space     3 MB are free [disk_full]\n\
             \x20                       Make room.\n"
        );
    }

    #[test]
    fn a_program_reads_it_as_one_line_of_json() {
        let (_, text) = printed(true, |screen| run(&report(), screen));

        let shown: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(shown["lines"][1]["code"], "no_daemon");
        assert_eq!((shown["outcome"].as_str(), shown["exit"].as_u64()), (Some("failed"), Some(7)));
    }
}
