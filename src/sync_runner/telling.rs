//! What a session tells people when it is over.

use protocol::session::{Advice, Summary};

use super::{Report, SessionFailure};
use crate::local_copy::AtCentral;

/// Central's code for an exchange under a name or password that were changed since.
pub(crate) const CREDENTIALS_CHANGED: &str = "credentials_changed";

impl SessionFailure {
    /// What a person may do about it, as a sentence or two.
    pub fn advice_text(&self) -> String {
        if !self.what_to_do.is_empty() {
            return self.what_to_do.clone();
        }
        match self.advice {
            Advice::Operator if self.code == CREDENTIALS_CHANGED => {
                "Run `outpost enrol` with the site's name and password as they are at central; nothing is lost."
                    .to_owned()
            }
            Advice::Retry => "Nothing is lost: it goes on from here when there is a connection.".to_owned(),
            Advice::Wait { seconds } => format!("Central is busy and asks to come again in {seconds} s."),
            Advice::Operator => "Trying again does not help; tell the administrator of the central server.".to_owned(),
        }
    }
}

impl Report {
    /// What waits at central after the session: nothing after one that went through; `None` if one that failed was not told.
    pub(super) fn at_central(&self, at_ms: u64) -> Option<AtCentral> {
        let Summary { rows_total, rows_stored, .. } = self.summary;
        let rows = match self.failure {
            None => Some(0),
            Some(_) => rows_total.map(|total| total.saturating_sub(rows_stored)),
        };
        rows.map(|rows| AtCentral { rows, at_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn report(rows_total: Option<u64>, rows_stored: u64, is_cut: bool) -> Report {
        let failure = is_cut.then(|| SessionFailure {
            code: "connection_cut".into(),
            message: "cut".into(),
            advice: Advice::Retry,
            what_to_do: String::new(),
            exit: Exit::Offline,
        });
        let summary = Summary { rows_total, rows_stored, ..Summary::default() };
        Report { failure, summary, has_more_to_send: false, goes_on: false, through: None }
    }

    #[test]
    fn what_waits_at_central_is_known_after_a_whole_session_and_after_one_that_was_told() {
        let rows = |report: Report| report.at_central(7).map(|at_central| at_central.rows);

        assert_eq!(rows(report(Some(100), 100, false)), Some(0));
        assert_eq!(rows(report(Some(100), 30, true)), Some(70));
        assert_eq!(rows(report(None, 0, true)), None);
    }
}
