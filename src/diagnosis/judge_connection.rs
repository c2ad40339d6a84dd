//! How the way to central is judged.

use protocol::ids::PublicKey;
use protocol::message;

use super::line::Line;
use crate::clock::WallMs;
use crate::config::{CentralUrl, Config, ProxyUrl};
use crate::date::date_text;
use crate::exit::Exit;
use crate::transport::{CertificateFacts, Greeting, Hello, Phase, ProxyProblem, TransportError};

/// From here on a certificate's end is warned of, in days: renewals come a month before, so one was missed.
pub(super) const CERTIFICATE_DAYS_LEAST: u64 = 14;
/// From here on a clock is warned of, in milliseconds: people compare the times of records.
pub(super) const SKEW_WARN_MS: u64 = 5 * 60 * 1000;
/// From here on a clock is wrong, in milliseconds: certificates of the day before or after do not hold.
pub(super) const SKEW_FAIL_MS: u64 = DAY_MS;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// So many hexadecimal digits of a key are shown: enough to compare by eye.
const KEY_DIGITS: usize = 16;

/// The steps to central, in order: one that fails is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Proxy,
    Dns,
    Tcp,
    Tls,
    Central,
}

impl Step {
    const ALL: [Self; 5] = [Self::Proxy, Self::Dns, Self::Tcp, Self::Tls, Self::Central];

    fn name(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Central => "central",
        }
    }

    /// The step at which an error came.
    fn of(error: &TransportError, central: &CentralUrl, is_encrypted: bool) -> Self {
        match error {
            // What asks for a password without being named is central's side of the way.
            TransportError::Proxy { problem: ProxyProblem::WantsPassword, .. } if is_encrypted => Self::Central,
            TransportError::Proxy { .. } => Self::Proxy,
            TransportError::NoAddress { .. } | TransportError::Timeout { phase: Phase::Resolve, .. } => Self::Dns,
            TransportError::NoNetwork { .. }
            | TransportError::ConnectionRefused { .. }
            | TransportError::Timeout { phase: Phase::Connect, .. } => Self::Tcp,
            TransportError::Tls { .. }
            | TransportError::ClockWrong { .. }
            | TransportError::CertificateFile { .. }
            | TransportError::Timeout { phase: Phase::Handshake, .. } => Self::Tls,
            // What broke, or answered with a page, before the certificate was there did so in the handshake.
            TransportError::Cut { .. } | TransportError::SignInPage { .. }
                if central.is_encrypted() && !is_encrypted =>
            {
                Self::Tls
            }
            TransportError::Cut { .. }
            | TransportError::Timeout { .. }
            | TransportError::SignInPage { .. }
            | TransportError::Gateway { .. }
            | TransportError::NotCentral { .. }
            | TransportError::Busy { .. }
            | TransportError::EnrolmentBusy { .. }
            | TransportError::TooManyAttempts { .. }
            | TransportError::CentralRefused { .. }
            | TransportError::ReplyTooLarge { .. } => Self::Central,
        }
    }
}

/// The settings, which could be read.
pub(super) fn configuration(config: &Config) -> Line {
    let file =
        config.file.as_ref().map_or_else(|| "no file, all defaults".to_owned(), |file| file.display().to_string());
    Line::ok("configuration", file)
}

/// Nobody said where central is.
pub(super) fn no_central() -> Line {
    let advice = "Set url under [central] in agent.toml, or enrol with --central.";
    Line::failed("configuration", "no_central", "no address of central is set", advice, Exit::Config)
}

/// Each step up to the one that failed, and the clock if central answered.
pub(super) fn steps(central: &CentralUrl, proxy: Option<&ProxyUrl>, greeting: &Greeting, now: WallMs) -> Vec<Line> {
    let failed_at = greeting.hello.as_ref().err().map(|error| Step::of(error, central, greeting.is_encrypted));
    let mut lines = Vec::new();
    for step in Step::ALL {
        if let (Some(failed_at), Err(error)) = (failed_at, &greeting.hello)
            && failed_at == step
        {
            lines.push(Line::of_error(step.name(), error));
            break;
        }
        lines.extend(passed(step, central, proxy, greeting, now));
    }
    let answered_at_ms = greeting.answered_at_ms.filter(|_| greeting.hello.is_ok());
    lines.extend(answered_at_ms.map(|answered_at_ms| clock(answered_at_ms, now)));
    lines
}

/// A step that was passed; `None` for one that this way does not have.
fn passed(
    step: Step,
    central: &CentralUrl,
    proxy: Option<&ProxyUrl>,
    greeting: &Greeting,
    now: WallMs,
) -> Option<Line> {
    match (step, proxy) {
        (Step::Proxy, Some(proxy)) => Some(Line::ok(step.name(), format!("central is reached through {proxy}"))),
        (Step::Dns, None) => {
            let addresses: Vec<String> = greeting.addresses.iter().map(ToString::to_string).collect();
            Some(Line::ok(step.name(), format!("{} is {}", central.host(), addresses.join(", "))))
        }
        (Step::Tcp, None) => Some(Line::ok(step.name(), format!("port {} answers", central.port()))),
        (Step::Tls, _) if central.is_encrypted() => Some(certificate(greeting.certificate.as_ref(), now)),
        (Step::Central, _) => greeting
            .hello
            .as_ref()
            .ok()
            .map(|hello| Line::ok(step.name(), format!("outpost-central {} answers at {central}", hello.release))),
        (Step::Proxy, None) | (Step::Dns | Step::Tcp, Some(_)) | (Step::Tls, _) => None,
    }
}

/// The certificate of a connection that is trusted.
pub(super) fn certificate(certificate: Option<&CertificateFacts>, now: WallMs) -> Line {
    const NAME: &str = "tls";
    let Some(certificate) = certificate else { return Line::ok(NAME, "encrypted") };
    let days = certificate.valid_until_ms.saturating_sub(now.0) / DAY_MS;
    let unit = if days == 1 { "day" } else { "days" };
    let text = format!("the certificate of {:?} holds for {days} more {unit}", certificate.issuer);
    if days >= CERTIFICATE_DAYS_LEAST {
        return Line::ok(NAME, text);
    }
    let advice = format!(
        "Tell whoever looks after central that its certificate ends at {}: no site can sync after that.",
        date_text(certificate.valid_until_ms)
    );
    Line::warning(NAME, "certificate_ends_soon", text, advice)
}

/// This device's clock, beside central's date.
pub(super) fn clock(answered_at_ms: u64, now: WallMs) -> Line {
    const NAME: &str = "clock";
    let skew_ms = answered_at_ms.abs_diff(now.0);
    let direction = if now.0 > answered_at_ms { "ahead of" } else { "behind" };
    let (answered_at, here) = (date_text(answered_at_ms), date_text(now.0));
    let text =
        format!("this clock is {} s {direction} central's: here it is {here}, there {answered_at}", skew_ms / 1000);
    let advice = "Correct date and time of this device. Nothing is ordered by them, but people read them, and a certificate holds \
                  only between its dates.";
    if skew_ms <= SKEW_WARN_MS {
        Line::ok(NAME, format!("within {} s of central's", skew_ms / 1000 + 1))
    } else if skew_ms <= SKEW_FAIL_MS {
        Line::warning(NAME, "clock_skewed", text, advice)
    } else {
        Line::failed(NAME, "clock_wrong", text, advice, Exit::Failed)
    }
}

/// Whether both programs understand each other.
pub(super) fn version(hello: &Hello) -> Line {
    const NAME: &str = "protocol";
    let (least, most) = (message::VERSION_MIN, message::VERSION);
    if hello.version_min <= most && hello.version_max >= least {
        return Line::ok(NAME, format!("version {}", most.min(hello.version_max)));
    }
    let (older, advice) = if hello.version_min > most {
        (
            "this agent",
            "Update outpost on this device. Until then its edits go on to central, and nothing comes from it.",
        )
    } else {
        (
            "central",
            "Central must be updated: tell whoever looks after it. Until then edits go on to it, and nothing comes from it.",
        )
    };
    let text = format!(
        "this agent speaks versions {least} to {most}, central {} to {}: {older} is too old",
        hello.version_min, hello.version_max
    );
    Line::failed(NAME, "version", text, advice, Exit::Refused)
}

/// Central's key beside the one that was pinned at enrolment.
pub(super) fn central_key(pinned: PublicKey, shown: PublicKey) -> Line {
    const NAME: &str = "central_key";
    let digits = |key: PublicKey| key.to_string().chars().take(KEY_DIGITS).collect::<String>();
    if pinned == shown {
        return Line::ok(NAME, format!("{}..., as at enrolment", digits(pinned)));
    }
    let text = format!(
        "central's key is {}..., and this device was enrolled at a central with the key {}...",
        digits(shown),
        digits(pinned)
    );
    let advice = "Do not sync before this is settled: the first sync learns of the other key by the reply, and has sent edits by then \
                  that whoever answers can read; later ones send nothing. Nothing of the reply is stored, and nothing is lost. Check \
                  central.url; if central was set up anew, ask whoever looks after it for its key.";
    Line::failed(NAME, "other_central_key", text, advice, Exit::Refused)
}

#[cfg(test)]
mod tests;
