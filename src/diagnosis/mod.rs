//! `check` and `doctor`: what is right and what is not about the way to central and about this device, line by line.
//!
//! Facts are gathered in `connection` and `device`, which change nothing but a scratch file; [`line`] and the judges under it
//! know no file, no clock and no network. A further line is a judge that returns a [`Line`], and a call of it here.

mod connection;
mod device;
mod judge_connection;
mod judge_device;
mod judge_standing;
pub mod line;

pub use line::{Line, Report, Verdict};

use crate::clock;
use crate::config::{CentralUrl, Config, ConfigError};
use crate::device::Enrolment;
use judge_standing::Standing;

/// Looks at the way to central, and whether this device may go it.
pub fn check(config: &Config) -> Report {
    let mut report = Report::default();
    report.add(judge_connection::configuration(config));
    look_at_connection(config, &mut report);
    report
}

/// Looks at the way to central and at this device.
pub fn doctor(config: &Config) -> Report {
    let mut report = check(config);
    let root = &config.data_folder;
    report.add(judge_device::disk_space(root, device::free_bytes(root), config.limits.disk_reserve_bytes));
    report.extend(device::sync_ms(root).map(judge_device::disk_sync));
    let wrong = device::open_to_others(config);
    report.add(judge_device::permissions(wrong));
    report.extend(judge_device::recovery(device::recovery(config)));
    report.add(judge_device::daemon(device::daemon(config), config.schedule.interval_ms.is_some()));
    report
}

/// The report on settings that cannot be used: nothing else can be looked at.
pub fn of_bad_settings(error: &ConfigError) -> Report {
    let mut report = Report::default();
    report.add(Line::of_error("configuration", error));
    report
}

fn look_at_connection(config: &Config, report: &mut Report) {
    let device = connection::device(config);
    let found = device.as_ref().map(Option::as_ref);
    let enrolment = found.map(|device| device.and_then(|device| device.identity().enrolment.as_ref()));
    let times = device::sync_times(config);
    let enrolled = enrolment.ok().flatten();
    let central = config.central_url.clone().or_else(|| enrolled.map(|enrolment| enrolment.central_url.clone()));
    let mut standing = Standing::NotAsked;
    if let Some(central) = central {
        let is_trusted = greet(config, &central, enrolled, report);
        if let (true, Ok(Some(device)), Some(enrolment)) = (is_trusted, &found, enrolled) {
            standing = connection::standing(config, &central, device, enrolment);
        }
    } else {
        report.add(judge_connection::no_central());
    }
    let journal = found.ok().flatten().map(|device| device.identity().journal);
    let known = times.as_ref().and_then(|times| times.as_ref().ok()?.history_refusal.as_ref());
    // Of a journal that was given up since, by a recovery, it says nothing.
    let known = known.filter(|refusal| journal == Some(refusal.journal));
    report.extend(judge_standing::enrolment(enrolment, &standing, known));
    report.extend(device::binding(config).map(|binding| judge_device::binding(&binding)));
    report.extend(times.and_then(judge_standing::last_sync));
}

/// Each step to central; whether what answers there may be the central that this device trusts.
fn greet(config: &Config, central: &CentralUrl, enrolled: Option<&Enrolment>, report: &mut Report) -> bool {
    let mut greeting = match connection::greet(config, central) {
        Ok(greeting) => greeting,
        Err(error) => {
            report.add(Line::of_error("tls", &error));
            return false;
        }
    };
    let pinned = enrolled.map(|enrolment| enrolment.central_key);
    let shown = greeting.hello.as_ref().ok().map(|hello| hello.central_key);
    let is_trusted = shown.is_some() && (pinned.is_none() || pinned == shown);
    if !is_trusted {
        // Whoever else answers may have any clock.
        greeting.answered_at_ms = None;
    }
    report.extend(judge_connection::steps(central, config.proxy_for(central), &greeting, clock::wall_now()));
    if let Ok(hello) = &greeting.hello {
        report.add(judge_connection::version(hello));
        report.extend(pinned.map(|pinned| judge_connection::central_key(pinned, hello.central_key)));
    }
    is_trusted
}
