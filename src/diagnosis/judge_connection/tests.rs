use super::super::line::Verdict;
use super::*;
use crate::transport::TlsProblem;

const NOW: WallMs = WallMs(1_795_237_389_000);

fn central(text: &str) -> CentralUrl {
    CentralUrl::parse(text).unwrap()
}

fn hello(version_min: u8, version_max: u8) -> Hello {
    Hello { release: "0.1.0".to_owned(), version_min, version_max, central_key: PublicKey([7; 32]) }
}

fn greeting(hello: Result<Hello, TransportError>) -> Greeting {
    let certificate =
        CertificateFacts { issuer: "The ministry".to_owned(), valid_until_ms: NOW.0 + CERTIFICATE_DAYS_LEAST * DAY_MS };
    Greeting {
        answered_at_ms: hello.is_ok().then_some(NOW.0),
        is_encrypted: true,
        addresses: vec!["10.0.0.7".parse().unwrap()],
        certificate: Some(certificate),
        hello,
    }
}

/// Name and verdict of each line.
fn shown(lines: &[Line]) -> Vec<(&'static str, Verdict)> {
    lines.iter().map(|line| (line.name, line.verdict)).collect()
}

#[test]
fn a_way_that_leads_to_central_has_a_line_for_each_step() {
    let url = central("https://central.example.org");
    let lines = steps(&url, None, &greeting(Ok(hello(1, 1))), NOW);

    let ok = |name| (name, Verdict::Ok);
    assert_eq!(shown(&lines), [ok("dns"), ok("tcp"), ok("tls"), ok("central"), ok("clock")]);
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "central.example.org is 10.0.0.7",
            "port 443 answers",
            "the certificate of \"The ministry\" holds for 14 more days",
            "outpost-central 0.1.0 answers at https://central.example.org",
            "within 1 s of central's",
        ]
    );

    let plain = Greeting { is_encrypted: false, certificate: None, ..greeting(Ok(hello(1, 1))) };
    let lines = steps(&central("http://127.0.0.1:8080"), None, &plain, NOW);
    assert_eq!(shown(&lines), [ok("dns"), ok("tcp"), ok("central"), ok("clock")]);

    let proxy = ProxyUrl::parse("http://name:secret@proxy").unwrap();
    let lines = steps(&url, Some(&proxy), &greeting(Ok(hello(1, 1))), NOW);
    assert_eq!(shown(&lines), [ok("proxy"), ok("tls"), ok("central"), ok("clock")]);
    assert_eq!(lines[0].text, "central is reached through http://proxy:8080");
}

#[test]
fn an_error_stands_at_its_step_and_ends_the_way() {
    let central_text = || "https://central".to_owned();
    let timeout = |phase| TransportError::Timeout { phase, limit_ms: 100 };
    let proxy = |problem| TransportError::Proxy { proxy: "http://proxy:8080".to_owned(), problem };
    let tls =
        TransportError::Tls { central: central_text(), problem: TlsProblem::UnknownIssuer, reason: String::new() };
    let cut = TransportError::Cut { received_bytes: 0, reason: String::new() };
    let page = TransportError::SignInPage { central: central_text(), status: 200 };
    let gateway = TransportError::Gateway { central: central_text(), status: 502 };
    for (error, is_encrypted, expected) in [
        (TransportError::NoAddress { host: "central".to_owned() }, false, "dns"),
        (timeout(Phase::Resolve), false, "dns"),
        (TransportError::NoNetwork { host: "central".to_owned() }, false, "tcp"),
        (TransportError::ConnectionRefused { central: central_text() }, false, "tcp"),
        (timeout(Phase::Connect), false, "tcp"),
        (tls, false, "tls"),
        (timeout(Phase::Handshake), false, "tls"),
        (cut.clone(), false, "tls"),
        (cut, true, "central"),
        (timeout(Phase::Read), true, "central"),
        (page, true, "central"),
        (gateway, true, "central"),
        (proxy(ProxyProblem::WantsPassword), false, "proxy"),
        (proxy(ProxyProblem::WantsPassword), true, "central"),
        (proxy(ProxyProblem::NoAddress), false, "proxy"),
    ] {
        // Whoever answers in central's place has its own date.
        let answered_at_ms = Some(NOW.0 + 2 * SKEW_FAIL_MS);
        let greeting = Greeting { answered_at_ms, is_encrypted, ..greeting(Err(error.clone())) };
        let lines = steps(&central("https://central"), None, &greeting, NOW);

        let last = lines.last().unwrap();
        assert_eq!((last.name, last.verdict), (expected, Verdict::Failed), "{error:?}");
        assert_eq!((last.code.as_str(), last.exit), (crate::error::Explained::code(&error), last.exit));
        assert!(!last.advice.is_empty());
        assert_eq!(lines.iter().filter(|line| line.verdict != Verdict::Ok).count(), 1);
    }
}

#[test]
fn a_certificate_near_its_end_is_warned_of_with_its_end() {
    let facts = |days: u64| CertificateFacts { issuer: "A".to_owned(), valid_until_ms: NOW.0 + days * DAY_MS };

    assert_eq!(certificate(Some(&facts(CERTIFICATE_DAYS_LEAST)), NOW).verdict, Verdict::Ok);
    let line = certificate(Some(&facts(CERTIFICATE_DAYS_LEAST - 1)), NOW);
    assert_eq!((line.verdict, line.code.as_str()), (Verdict::Warning, "certificate_ends_soon"));
    assert!(line.advice.contains("2026-12-04T05:03:09Z"), "{}", line.advice);
    assert_eq!(certificate(Some(&facts(1)), NOW).text, "the certificate of \"A\" holds for 1 more day");
    assert_eq!(certificate(None, NOW).verdict, Verdict::Ok);
}

#[test]
fn a_clock_is_judged_by_its_distance_in_both_directions() {
    for (skew_ms, verdict, code, exit) in [
        (0, Verdict::Ok, "", Exit::Ok),
        (SKEW_WARN_MS, Verdict::Ok, "", Exit::Ok),
        (SKEW_WARN_MS + 1, Verdict::Warning, "clock_skewed", Exit::Ok),
        (SKEW_FAIL_MS, Verdict::Warning, "clock_skewed", Exit::Ok),
        (SKEW_FAIL_MS + 1, Verdict::Failed, "clock_wrong", Exit::Failed),
    ] {
        for (answered_at_ms, word) in [(NOW.0 - skew_ms, "ahead of"), (NOW.0 + skew_ms, "behind")] {
            let line = clock(answered_at_ms, NOW);
            assert_eq!((line.verdict, line.code.as_str(), line.exit), (verdict, code, exit), "{skew_ms}");
            assert!(verdict == Verdict::Ok || line.text.contains(word), "{}", line.text);
        }
    }
}

#[test]
fn programs_whose_versions_do_not_meet_are_told_which_to_update() {
    let most = message::VERSION;
    assert_eq!(version(&hello(message::VERSION_MIN, most)).verdict, Verdict::Ok);
    assert_eq!(version(&hello(most, most + 3)).verdict, Verdict::Ok);
    let line = version(&hello(most + 1, most + 2));
    assert_eq!((line.verdict, line.code.as_str(), line.exit), (Verdict::Failed, "version", Exit::Refused));
    assert!(line.text.ends_with("this agent is too old"), "{}", line.text);
}

#[test]
fn a_central_with_another_key_than_the_pinned_one_is_another_central() {
    let line = central_key(PublicKey([1; 32]), PublicKey([2; 32]));
    assert_eq!((line.verdict, line.code.as_str(), line.exit), (Verdict::Failed, "other_central_key", Exit::Refused));
    assert!(line.text.contains("0101010101010101...") && line.text.contains("0202020202020202..."), "{}", line.text);
    assert_eq!(central_key(PublicKey([1; 32]), PublicKey([1; 32])).verdict, Verdict::Ok);
}
