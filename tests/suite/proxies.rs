//! Central behind a proxy: sessions through each kind, and each way in which a proxy says no.

use std::net::TcpListener;

use crate::encryption::{agent_trusting, no_name};
use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::certificates::Authority;
use crate::support::corpus::central_data;
use crate::support::proxy::{Kind, Proxy};
use crate::support::success;
use crate::support::web::Web;

/// A name that no name server knows (RFC 6761): only the proxy finds it.
const NAME: &str = "central.test";
/// The credentials of a proxy that asks, as the settings hold them.
const CREDENTIALS: &str = "clinic:p%40ss%20word@";

/// A central that is known by [`NAME`], and its authority.
fn central() -> (Authority, Central, String) {
    let authority = Authority::new("The ministry");
    let data = central_data(5, 1);
    let central = Central::encrypted(&data.lines, &authority.certify(&[NAME, "127.0.0.1"]));
    central.add_site("north", &[&data.stores[0]]);
    let url = format!("https://{NAME}:{}", central.address().port());
    (authority, central, url)
}

/// An agent that trusts the authority and goes through a proxy.
fn agent_behind(authority: &Authority, url: &str, proxy: &str) -> Agent {
    let agent = agent_trusting(authority, url);
    let file = agent.file("authority.pem", authority.pem());
    agent.set_central(
        url,
        &format!("ca_file = \"{}\"\nproxy = \"{proxy}\"\n[timeouts]\nconnect_ms = 2000", file.display()),
    );
    agent
}

#[test]
fn a_site_syncs_through_a_proxy_of_each_kind_with_and_without_a_password() {
    let (authority, central, url) = central();
    for (kind, scheme, asks_password) in [
        (Kind::Connect, "http", false),
        (Kind::Connect, "http", true),
        (Kind::Socks5, "socks5h", false),
        (Kind::Socks5, "socks5h", true),
    ] {
        let proxy = Proxy::start(kind, asks_password);
        let credentials = if asks_password { CREDENTIALS } else { "" };
        let agent = agent_behind(&authority, &url, &format!("{scheme}://{credentials}{}", proxy.address()));

        agent.enrol(&central, "north");
        agent.ok(&["initialise"]);

        assert_eq!(agent.records("item").len(), 5, "{kind:?}");
        assert_eq!(proxy.targets().first(), Some(&url["https://".len()..].to_owned()), "the proxy found the address");
        // Each time another device.
        central.json(&["site", "reset-hardware", "north"]);
    }
}

#[test]
fn a_socks5_proxy_may_be_given_the_address_that_this_device_found() {
    let (authority, central, _) = central();
    let proxy = Proxy::start(Kind::Socks5, false);
    let agent = agent_behind(&authority, &central.url(), &format!("socks5://{}", proxy.address()));

    agent.enrol(&central, "north");

    assert_eq!(proxy.targets(), [central.address().to_string()]);
}

#[test]
fn the_environment_names_the_proxy_and_who_is_reached_without_it() {
    let (authority, central, _) = central();
    let proxy = Proxy::start(Kind::Connect, false);
    let agent = agent_behind(&authority, &central.url(), "environment");
    let targets_with = |bypassed: &str| {
        let mut command = agent.command(&["check"]);
        command.env("HTTPS_PROXY", format!("http://{}", proxy.address())).env("NO_PROXY", bypassed);
        success(&command.output().unwrap());
        proxy.targets().len()
    };

    assert_eq!(targets_with("localhost,.example.org"), 1);
    assert_eq!(targets_with("localhost, 127.0.0.1"), 1, "it is reached directly");
    assert_eq!(targets_with(""), 2);
}

#[test]
fn each_way_in_which_a_proxy_fails_has_a_code_and_shows_no_password() {
    let (authority, central, url) = central();
    let (connect, socks) = (Proxy::start(Kind::Connect, true), Proxy::start(Kind::Socks5, true));
    let (open, open_socks) = (Proxy::start(Kind::Connect, false), Proxy::start(Kind::Socks5, false));
    let page = Web::page(None, "200 OK");
    let refusal = Web::page(None, "403 Forbidden");
    let mail = Proxy::start(Kind::Mail, false);
    // The system takes connections, and nobody reads them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stopped = format!("https://{NAME}:{}", nobody.port());
    for (proxy, central, exit, code) in [
        (format!("http://{}", connect.address()), &url, 6, "proxy_password"),
        (format!("http://clinic:wrong-secret@{}", connect.address()), &url, 6, "proxy_password"),
        (format!("socks5h://{}", socks.address()), &url, 6, "proxy_password"),
        (format!("socks5h://clinic:wrong-secret@{}", socks.address()), &url, 6, "proxy_password"),
        (format!("http://clinic:wrong-secret@{}", refusal.address()), &url, 4, "proxy_refused"),
        (format!("http://{}", open.address()), &stopped, 4, "proxy_refused"),
        (format!("socks5h://{}", open_socks.address()), &stopped, 4, "proxy_refused"),
        (format!("http://clinic:wrong-secret@{nobody}"), &url, 4, "proxy_unreachable"),
        (format!("socks5h://{nobody}"), &url, 4, "proxy_unreachable"),
        (format!("http://clinic:wrong-secret@{}", no_name()), &url, 4, "proxy_no_address"),
        (format!("http://{}", mail.address()), &url, 4, "not_a_proxy"),
        (format!("socks5h://{}", mail.address()), &url, 4, "not_a_proxy"),
        (format!("socks5h://{}", silent.local_addr().unwrap()), &url, 4, "proxy_timeout"),
        (format!("http://{}", silent.local_addr().unwrap()), &url, 4, "proxy_timeout"),
    ] {
        let agent = agent_behind(&authority, central, &proxy);
        let password = agent.file("password", "secret-of-the-site");
        std::process::Command::new("chmod").arg("600").arg(&password).status().unwrap();
        let arguments = ["-vv", "enrol", "--name", "north", "--password-file", password.to_str().unwrap(), "--json"];

        let output = agent.run(&arguments, "");

        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(exit), "{proxy}: {said}");
        assert!(said.contains(&format!("\"code\":\"{code}\"")), "{proxy} should be {code}: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
    // A web server that answers CONNECT with a page leads nowhere: what follows is the page.
    let agent = agent_behind(&authority, &url, &format!("http://{}", page.address()));
    let password = agent.file("password", "secret-of-the-site");
    std::process::Command::new("chmod").arg("600").arg(&password).status().unwrap();
    let (exit, code) = agent.fails(&["enrol", "--name", "north", "--password-file", password.to_str().unwrap()], "");
    assert_eq!((exit, code.as_str()), (4, "sign_in_page"));
    drop(central);
}

#[test]
fn a_proxy_that_asks_to_sign_in_is_told_with_that_advice_and_the_step_is_its_own() {
    let (authority, _central, url) = central();
    for (status, line, code) in [
        ("511 Network Authentication Required", "proxy", "proxy_refused"),
        ("302 Found", "proxy", "proxy_refused"),
        ("200 OK", "tls", "sign_in_page"),
    ] {
        let portal = Web::page(None, status);
        let agent = agent_behind(&authority, &url, &format!("http://{}", portal.address()));

        let output = agent.run(&["check", "--json"], "");

        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let lines = report["lines"].as_array().unwrap();
        let failed = lines.iter().find(|line| line["verdict"] == "failed").unwrap();
        assert_eq!((failed["name"].as_str(), failed["code"].as_str()), (Some(line), Some(code)), "{report}");
        assert!(failed["advice"].as_str().unwrap().contains("sign in"), "{failed}");
        assert_eq!(output.status.code(), Some(4));
    }
}
