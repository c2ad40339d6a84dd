//! The settings of both programs.

use std::path::Path;

use central::settings::Settings;
use domain::catalogue::Catalogue;
use outpost::config::{CentralUrl, Config};

/// Any text is settings that can be used, or an error that says where.
pub(crate) fn agent(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Config::of_text(Path::new("/etc/outpost/agent.toml"), text) {
        Ok(config) => {
            assert!(config.limits.acknowledged_tail_bytes_max <= config.limits.journal_bytes_max);
            assert!(config.schedule.backoff_first_ms <= config.schedule.backoff_max_ms);
            let catalogue = config.catalogue();
            let tables = catalogue.map(|catalogue| catalogue.tables().count());
            assert_eq!(tables, Ok(Catalogue::embedded().tables().count() + config.tables.len()));
            config.central_url.iter().for_each(check_url);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(url) = CentralUrl::parse(text) {
        check_url(&url);
    }
}

/// An address that was accepted is one that a request can be sent to.
fn check_url(url: &CentralUrl) {
    assert_eq!(CentralUrl::parse(url.as_str()).as_ref(), Ok(url));
    let uri: Result<http::Uri, _> = format!("{url}/sync").parse();
    let uri = uri.unwrap_or_else(|error| panic!("{url} is no address: {error}"));
    let host = uri.host().unwrap_or_default();
    assert_eq!(host.trim_matches(['[', ']']), url.host());
}

/// As [`agent`], for central.
pub(crate) fn central(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Settings::parse(text) {
        Ok(settings) => {
            let tables = settings.catalogue().map(|catalogue| catalogue.tables().count());
            assert_eq!(tables.ok(), Some(Catalogue::embedded().tables().count() + settings.table.len()));
        }
        Err(error) => assert!(!error.code.is_empty() && !error.message.is_empty()),
    }
}
