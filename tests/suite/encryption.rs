//! TLS between agent and central: what is trusted, and how each thing that can be wrong is told.

use std::net::TcpListener;

use outpost::config::{CentralUrl, Config};
use outpost::error::Explained as _;
use outpost::exit::Exit;
use outpost::transport::{Phase, Transport, TransportError};

use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::certificates::{Authority, LONG, self_signed};
use crate::support::corpus::central_data;
use crate::support::web::Web;

/// An agent that trusts an authority alone.
pub fn agent_trusting(authority: &Authority, url: &str) -> Agent {
    let agent = Agent::new(url);
    let file = agent.file("authority.pem", authority.pem());
    agent.set_central(url, &format!("ca_file = \"{}\"", file.display()));
    agent
}

/// A name that no address can have: a label has 63 letters at most (RFC 1035), so no name server is asked.
pub fn no_name() -> String {
    format!("{}.example", "x".repeat(64))
}

/// How a transport that trusts an authority alone fails to greet what is at an address.
fn failure(authority: &Authority, url: &str) -> TransportError {
    failure_trusting(authority.pem(), url)
}

/// The same with certificates as PEM.
fn failure_trusting(trusted: &str, url: &str) -> TransportError {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("authority.pem"), trusted).unwrap();
    let settings = "[central]\nca_file = \"authority.pem\"\n[timeouts]\nconnect_ms = 300\nread_idle_ms = 300";
    let config = Config::of_text(&folder.path().join("agent.toml"), settings).unwrap();
    let mut transport = Transport::new(&config, CentralUrl::parse(url).unwrap()).unwrap();
    let error = transport.greet().hello.unwrap_err();
    assert!(!error.advice().is_empty(), "{error}");
    error
}

#[test]
fn a_site_enrols_and_syncs_by_tls_with_a_private_authority() {
    let authority = Authority::new("The ministry");
    let data = central_data(20, 2);
    let central = Central::encrypted(&data.lines, &authority.certify(&["127.0.0.1"]));
    central.add_site("north", &[&data.stores[0]]);
    let agent = agent_trusting(&authority, &central.url());

    agent.enrol(&central, "north");
    agent.ok(&["initialise"]);

    assert_eq!(agent.records("item").len(), data.items.len());
}

#[test]
fn a_central_of_another_authority_is_not_trusted() {
    let (ours, other) = (Authority::new("Ours"), Authority::new("Other"));
    let web = Web::page(Some(&other.certify(&["127.0.0.1"])), "200 OK");

    assert_eq!(failure(&ours, &web.url()).code(), "tls_unknown_issuer");
    // The public authorities do not count beside one of one's own, and one of one's own not without the setting.
    let agent = Agent::new(&web.url());
    agent.set_central(&web.url(), "");
    let password = agent.file("password", "secret");
    let arguments = ["enrol", "--name", "north", "--password-file", password.to_str().unwrap()];
    std::process::Command::new("chmod").arg("600").arg(&password).status().unwrap();
    assert_eq!(agent.fails(&arguments, ""), (4, "tls_unknown_issuer".to_owned()));
}

#[test]
fn a_sign_in_page_with_a_certificate_of_its_own_name_is_told_with_that_name() {
    let authority = Authority::new("Ours");
    let web = Web::page(Some(&authority.certify(&["portal.hotel.example"])), "200 OK");

    let error = failure(&authority, &web.url());

    assert_eq!(error.code(), "tls_other_name");
    assert!(error.to_string().contains("portal.hotel.example"), "{error}");
    assert!(error.advice().contains("sign in"), "{}", error.advice());
}

#[test]
fn a_certificate_outside_its_days_names_both_dates_and_both_causes() {
    let authority = Authority::new("Ours");
    for (days, expected) in [
        (((2001, 1, 1), (2002, 2, 3)), "held until 2002-02-03T00:00:00Z"),
        (((2090, 4, 5), (2091, 1, 1)), "holds from 2090-04-05T00:00:00Z"),
    ] {
        let web = Web::page(Some(&authority.certify_between(&["127.0.0.1"], days)), "200 OK");

        let error = failure(&authority, &web.url());

        assert_eq!((error.code(), error.exit()), ("clock_wrong", Exit::Failed));
        let text = error.to_string();
        assert!(text.contains(expected) && text.contains("on this device it is 20"), "{text}");
        assert!(error.advice().contains("date and time") && error.advice().contains("renewed"), "{}", error.advice());
    }
}

#[test]
fn tls_on_the_plain_port_and_plain_http_on_the_tls_port_are_told() {
    let authority = Authority::new("Ours");
    let plain = Web::page(None, "400 Bad Request");
    let data = central_data(1, 1);
    let central = Central::with_data(&data.lines);
    let encrypted = Central::encrypted(&data.lines, &authority.certify(&["127.0.0.1"]));

    for address in [plain.address(), central.address()] {
        let error = failure(&authority, &format!("https://{address}"));
        assert_eq!((error.code(), error.exit()), ("tls_not_spoken", Exit::Offline), "{error}");
        assert!(error.to_string().ends_with("does not speak TLS"), "{error}");
        let advice = error.advice();
        assert!(advice.find("sign in").unwrap() < advice.find("central.url").unwrap(), "{advice}");
    }
    let error = failure(&authority, &format!("http://{}", encrypted.address()));
    assert_eq!(error.code(), "not_central", "{error}");
    assert!(error.advice().contains("https instead of http"), "{}", error.advice());
}

#[test]
fn a_sign_in_page_in_the_clear_on_the_tls_port_is_one() {
    // The tester of a hotel's network saw `tls_not_spoken`, and the advice to look at a port that was right.
    let authority = Authority::new("Ours");
    for status in ["200 OK", "302 Found", "511 Network Authentication Required"] {
        let portal = Web::page(None, status);

        let error = failure(&authority, &format!("https://{}", portal.address()));

        assert_eq!((error.code(), error.exit()), ("sign_in_page", Exit::Offline), "{error}");
        let advice = error.advice();
        assert!(advice.find("sign in").unwrap() < advice.find("central.url").unwrap(), "{advice}");
    }
}

#[test]
fn a_self_signed_certificate_is_of_an_unknown_issuer_also_where_it_is_to_be_trusted() {
    // It was `tls_failed`, with the names of a library's types.
    let certificate = self_signed();
    let web = Web::page(Some(&certificate), "200 OK");

    for trusted in [Authority::new("Ours").pem(), &certificate.pem] {
        let error = failure_trusting(trusted, &web.url());

        assert_eq!(error.code(), "tls_unknown_issuer");
        let text = error.to_string();
        assert!(text.contains("an authority's own certificate") && !text.contains("CaUsed"), "{text}");
        assert!(error.advice().contains("central.ca_file"), "{}", error.advice());
    }
}

#[test]
fn what_answers_over_tls_and_is_not_central_is_told_as_without_it() {
    let authority = Authority::new("Ours");
    let certificate = authority.certify_between(&["127.0.0.1"], LONG);
    for (status, expected) in [
        ("200 OK", "sign_in_page"),
        ("302 Found", "sign_in_page"),
        ("511 Network Authentication Required", "sign_in_page"),
        ("502 Bad Gateway", "gateway"),
        ("503 Service Unavailable", "gateway"),
        ("407 Proxy Authentication Required", "proxy_password"),
        ("404 Not Found", "not_central"),
    ] {
        let web = Web::page(Some(&certificate), status);
        assert_eq!(failure(&authority, &web.url()).code(), expected, "{status}");
    }
}

#[test]
fn a_handshake_and_an_answer_that_do_not_come_are_told_apart() {
    let authority = Authority::new("Ours");
    // The system takes the connection, and nobody reads it.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = failure(&authority, &format!("https://{}", silent.local_addr().unwrap()));
    assert_eq!(error, TransportError::Timeout { phase: Phase::Handshake, limit_ms: 300 });

    let silent = Web::start(Some(&authority.certify(&["127.0.0.1"])), "");
    let error = failure(&authority, &silent.url());
    assert_eq!(error, TransportError::Timeout { phase: Phase::Read, limit_ms: 300 });
}

#[test]
fn the_agent_s_program_tells_each_thing_that_can_be_wrong_on_the_way() {
    let (authority, other) = (Authority::new("Ours"), Authority::new("Other"));
    let ours = authority.certify(&["127.0.0.1"]);
    let expired = authority.certify_between(&["127.0.0.1"], ((2001, 1, 1), (2002, 2, 3)));
    let unborn = authority.certify_between(&["127.0.0.1"], ((2090, 4, 5), (2091, 1, 1)));
    let (expired, unborn) = (Web::page(Some(&expired), "200 OK"), Web::page(Some(&unborn), "200 OK"));
    let untrusted = Web::page(Some(&other.certify(&["127.0.0.1"])), "200 OK");
    let portal = Web::page(Some(&authority.certify(&["portal.hotel.example"])), "200 OK");
    let (page, gateway) = (Web::page(Some(&ours), "302 Found"), Web::page(Some(&ours), "502 Bad Gateway"));
    let (plain, silent) = (Web::page(None, "400 Bad Request"), Web::start(Some(&ours), ""));
    let (plain_portal, self_signed) = (Web::page(None, "302 Found"), Web::page(Some(&self_signed()), "200 OK"));
    // The system takes connections, and nobody reads them.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, code) in [
        (expired.url(), "clock_wrong"),
        (unborn.url(), "clock_wrong"),
        (untrusted.url(), "tls_unknown_issuer"),
        (portal.url(), "tls_other_name"),
        (page.url(), "sign_in_page"),
        (gateway.url(), "gateway"),
        (format!("https://{}", plain.address()), "tls_not_spoken"),
        (format!("https://{}", plain_portal.address()), "sign_in_page"),
        (self_signed.url(), "tls_unknown_issuer"),
        (format!("https://{}", no_name()), "no_address"),
        (format!("https://{nobody}"), "connection_refused"),
        (format!("https://{}", deaf.local_addr().unwrap()), "timeout"),
        (silent.url(), "timeout"),
    ] {
        let agent = agent_trusting(&authority, &url);
        let timeouts = "[timeouts]\nconnect_ms = 300\nread_idle_ms = 300";
        agent.set_central(&url, &format!("ca_file = \"authority.pem\"\n{timeouts}"));
        let password = agent.file("password", "secret");
        std::process::Command::new("chmod").arg("600").arg(&password).status().unwrap();

        let told = agent.fails(&["enrol", "--name", "north", "--password-file", password.to_str().unwrap()], "");

        let exit = if code == "clock_wrong" { 1 } else { 4 };
        assert_eq!(told, (exit, code.to_owned()), "{url}");
    }
}
