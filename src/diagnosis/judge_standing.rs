//! How it is judged that this device speaks for its site: by what central says right now, and by the last sync.

use protocol::check::CheckAnswer;
use protocol::message::is_pause;

use super::line::Line;
use crate::date::date_text;
use crate::device::Enrolment;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::local_copy::{HistoryRefusal, LocalCopyError, SyncTimes};
use crate::refusals;
use crate::transport::TransportError;

/// The line about the site that this device speaks for.
const NAME: &str = "enrolment";
/// Central's code for a name or password that were changed since this device proved them.
const CREDENTIALS_CHANGED: &str = "credentials_changed";

/// What central says of this device.
#[derive(Debug)]
pub(super) enum Standing {
    /// It was not asked: the way to it does not work, or what answers has another key.
    NotAsked,
    /// No answer of central's came.
    Unanswered(TransportError),
    /// It has signed this.
    Answered(CheckAnswer),
}

/// Whether this device speaks for a site, and whether central takes its name and password. `known` is a refusal that stays, of the
/// journal that this device has: central cannot always see it by the question alone.
pub(super) fn enrolment(
    enrolment: Result<Option<&Enrolment>, &AgentError>,
    standing: &Standing,
    known: Option<&HistoryRefusal>,
) -> Vec<Line> {
    let enrolment = match enrolment {
        Ok(Some(enrolment)) => enrolment,
        Ok(None) => {
            let text = "this device does not speak for a site yet";
            let advice = "Run `outpost enrol` with the site's name and password.";
            return vec![Line::warning(NAME, "not_enrolled", text, advice)];
        }
        Err(error) => return vec![Line::failed(NAME, &error.code, &error.message, &error.advice, error.exit)],
    };
    let speaks = format!("this device speaks for site {} ({})", enrolment.site, enrolment.site_name);
    match (standing, known) {
        (Standing::Unanswered(error), _) => vec![Line::of_error(NAME, error)],
        (Standing::Answered(answer), _) if answer.refusal.is_some() => answered(&speaks, answer),
        (Standing::Answered(_) | Standing::NotAsked, Some(refusal)) => vec![refused_before(&speaks, refusal)],
        (Standing::Answered(answer), None) => answered(&speaks, answer),
        (Standing::NotAsked, None) => vec![Line::ok(NAME, format!("{speaks}, as far as is known here"))],
    }
}

fn refused_before(speaks: &str, refusal: &HistoryRefusal) -> Line {
    let HistoryRefusal { at_ms, code, message, .. } = refusal;
    let at = date_text(*at_ms);
    let text = format!("{speaks}, and no sync has gone through since central refused it, at {at}: {message}");
    Line::failed(NAME, code, text, advice_of(code), Exit::Refused)
}

fn answered(speaks: &str, answer: &CheckAnswer) -> Vec<Line> {
    let taken = Line::ok(NAME, format!("{speaks}, and central takes it"));
    let Some(refusal) = &answer.refusal else {
        return vec![taken, Line::ok("credentials", "name and password are those that central has")];
    };
    let since = answer.stopped_ms.map_or_else(String::new, |ms| format!(", since {}", date_text(ms)));
    if is_pause(&refusal.code) {
        let text = format!("{speaks}, and that does not sync for now: {}", refusal.message);
        return vec![Line::warning(NAME, &refusal.code, text, advice_of(&refusal.code))];
    }
    let text = format!("{speaks}, and central refuses it{since}: {}", refusal.message);
    if refusal.code == CREDENTIALS_CHANGED {
        return vec![taken, Line::failed("credentials", &refusal.code, text, advice_of(&refusal.code), Exit::Refused)];
    }
    vec![Line::failed(NAME, &refusal.code, text, advice_of(&refusal.code), Exit::Refused)]
}

fn advice_of(code: &str) -> &'static str {
    match code {
        CREDENTIALS_CHANGED => {
            "Run `outpost enrol` with the site's name and password as they are at central; nothing is lost."
        }
        "version" => "Update the older of the two programs. What is recorded is safe and goes after that.",
        _ => refusals::what_to_do(code).unwrap_or("Tell whoever looks after central."),
    }
}

/// How the last sync ended; no line if there was none. A failure is a warning: the lines before say whether it still holds.
pub(super) fn last_sync(times: Result<SyncTimes, LocalCopyError>) -> Option<Line> {
    const NAME: &str = "last_sync";
    let times = match times {
        Ok(times) => times,
        Err(error) => return Some(Line::of_error(NAME, &error)),
    };
    let at = date_text(times.attempt_ms?);
    Some(match times.failure {
        None => Line::ok(NAME, format!("it went well, at {at}")),
        Some((code, message)) => {
            let advice = "Run `outpost sync` to try again; if nothing else here failed, it may go through.";
            Line::warning(NAME, &code, format!("it failed, at {at}: {message}"), advice)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::line::Verdict;
    use super::*;
    use crate::config::CentralUrl;
    use protocol::hardware::HardwareId;
    use protocol::ids::{CredentialGeneration, HardwareSalt, JournalId, PublicKey, SiteId};
    use protocol::message::Refusal;

    #[test]
    fn without_an_answer_of_central_s_the_line_says_what_is_known_here() {
        let line = enrolment(Ok(None), &Standing::NotAsked, None).remove(0);
        assert_eq!((line.verdict, line.code.as_str()), (Verdict::Warning, "not_enrolled"));
        let error = AgentError::new("identity_missing", "no identity", "Put it back.", Exit::Disk);
        let line = enrolment(Err(&error), &Standing::NotAsked, None).remove(0);
        assert_eq!((line.verdict, line.code.as_str(), line.exit), (Verdict::Failed, "identity_missing", Exit::Disk));
        let enrolled = enrolled();
        let text = enrolment(Ok(Some(&enrolled)), &Standing::NotAsked, None).remove(0).text;
        assert_eq!(text, "this device speaks for site 7 (Clinic), as far as is known here");
        let cut = Standing::Unanswered(TransportError::Cut { received_bytes: 0, reason: String::new() });
        assert_eq!(enrolment(Ok(Some(&enrolled)), &cut, None).remove(0).code, "connection_cut");
    }

    fn enrolled() -> Enrolment {
        Enrolment {
            site: SiteId(7),
            site_name: "Clinic".to_owned(),
            central_url: CentralUrl::parse("https://central").unwrap(),
            central_key: PublicKey([1; 32]),
            generation: CredentialGeneration(1),
            salt: HardwareSalt([0; 16]),
            hardware: HardwareId::default(),
            bound_ms: None,
        }
    }

    #[test]
    fn a_history_that_central_refused_fails_until_a_sync_goes_through_or_central_says_something_else() {
        let refusal = HistoryRefusal {
            journal: JournalId([2; 16]),
            at_ms: 0,
            code: "fork".to_owned(),
            message: "two histories".to_owned(),
        };
        let lines = |standing: &Standing| enrolment(Ok(Some(&enrolled())), standing, Some(&refusal));
        for standing in [Standing::NotAsked, Standing::Answered(CheckAnswer::taken())] {
            let line = lines(&standing).remove(0);

            assert_eq!((line.verdict, line.code.as_str(), line.exit), (Verdict::Failed, "fork", Exit::Refused));
            assert!(line.text.ends_with("at 1970-01-01T00:00:00Z: two histories"), "{}", line.text);
            assert!(line.advice.contains("`outpost recover`"), "{}", line.advice);
        }
        let stopped = Standing::Answered(CheckAnswer::refused(Refusal::new("site_stopped", "two devices")));
        assert_eq!(lines(&stopped).remove(0).code, "site_stopped");
    }

    fn codes(answer: &CheckAnswer) -> Vec<(&'static str, Verdict, String)> {
        let lines = answered("this device speaks for site 2 (north)", answer);
        lines.into_iter().map(|line| (line.name, line.verdict, line.code)).collect()
    }

    #[test]
    fn changed_credentials_have_a_line_of_their_own_and_other_refusals_are_the_enrolment_s() {
        let refused = |code: &str| CheckAnswer::refused(Refusal::new(code, "no"));
        let ok = |name| (name, Verdict::Ok, String::new());
        let failed = |name, code: &str| (name, Verdict::Failed, code.to_owned());

        assert_eq!(codes(&CheckAnswer::taken()), [ok("enrolment"), ok("credentials")]);
        assert_eq!(codes(&refused("site_stopped")), [failed("enrolment", "site_stopped")]);
        assert_eq!(
            codes(&refused("credentials_changed")),
            [ok("enrolment"), failed("credentials", "credentials_changed")]
        );
    }

    #[test]
    fn a_site_that_is_not_to_sync_for_now_is_no_failure() {
        for code in ["site_paused", "site_disabled"] {
            let answer = CheckAnswer::refused(Refusal::new(code, "central has paused site 2 until later"));

            let line = answered("this device speaks", &answer).remove(0);

            assert_eq!((line.verdict, line.code.as_str()), (Verdict::Warning, code));
            assert!(line.advice.starts_with("Nothing is wrong here"), "{}", line.advice);
        }
    }

    #[test]
    fn a_stop_is_told_with_its_time_and_what_to_do() {
        let refusal = Refusal::new("site_stopped", "two devices");
        let answer = CheckAnswer { stopped_ms: Some(0), ..CheckAnswer::refused(refusal) };

        let line = answered("this device speaks", &answer).remove(0);

        assert!(line.text.contains("since 1970-01-01T00:00:00Z: two devices"), "{}", line.text);
        assert!(line.advice.contains("site resume"), "{}", line.advice);
    }

    #[test]
    fn the_last_sync_s_failure_is_a_warning_and_none_is_no_line() {
        assert_eq!(last_sync(Ok(SyncTimes::default())), None);
        let failure = Some(("fork".to_owned(), "two histories".to_owned()));
        let line = last_sync(Ok(SyncTimes { attempt_ms: Some(0), failure, ..SyncTimes::default() })).unwrap();

        assert_eq!((line.verdict, line.code.as_str()), (Verdict::Warning, "fork"));
        assert!(line.text.ends_with("two histories"));
    }
}
