//! `check` and `doctor`: what is right and what is not about the way to central and about this device, line by line.
//!
//! Facts are gathered in `connection` and `device`, which change nothing but a scratch file; [`line`] and the judges under it
//! know no file, no clock and no network. A further line is a judge that returns a [`Line`], and a call of it here.

mod connection;
mod device;
mod judge_connection;
mod judge_device;
pub mod line;

pub use line::{Line, Report, Verdict};

use crate::clock;
use crate::config::{Config, ConfigError};

/// Looks at the way to central.
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
    report.extend(device::binding(config).map(|binding| judge_device::binding(&binding)));
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
    let enrolment = connection::enrolment(config);
    let central = config.central_url.clone().or_else(|| {
        let enrolled = enrolment.as_ref().ok().and_then(Option::as_ref);
        enrolled.map(|enrolment| enrolment.central_url.clone())
    });
    if let Some(central) = central {
        let proxy = config.proxy_for(&central);
        match connection::greet(config, &central) {
            Ok(greeting) => {
                report.extend(judge_connection::steps(&central, proxy, &greeting, clock::wall_now()));
                if let Ok(hello) = &greeting.hello {
                    report.add(judge_connection::version(hello));
                    if let Ok(Some(enrolment)) = &enrolment {
                        report.add(judge_connection::central_key(enrolment.central_key, hello.central_key));
                    }
                }
            }
            Err(error) => report.add(Line::of_error("tls", &error)),
        }
    } else {
        report.add(judge_connection::no_central());
    }
    report.add(judge_connection::enrolment(enrolment));
}
