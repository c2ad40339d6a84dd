//! Enrolments.

use protocol::hardware::{BindingStrength, HardwareId};
use protocol::ids::{CredentialGeneration, HardwareSalt, JournalId, PublicKey, SiteId};
use zeroize::Zeroizing;

use super::server::{JSON, Server};
use crate::config::DeviceKind;
use crate::error::Explained as _;
use crate::exit::Exit;
use crate::transport::*;

fn enrol(server: &Server) -> Result<EnrolReply, TransportError> {
    let password = Zeroizing::new("sesame \"7\"".to_owned());
    let request = EnrolRequest {
        site: Some(SiteId(7)),
        site_name: "Clinic 7",
        password: &password,
        public_key: PublicKey([0xab; 32]),
        journal: JournalId([1; 16]),
        device_kind: DeviceKind::Mobile,
        hardware: &HardwareId::default(),
    };
    server.transport().enrol(&request)
}

const SITE_7_REPLY: &str = r#"{
    "site_id": 7, "credential_generation": 2, "more": 1, "binding": "weak",
    "central_key": "0303030303030303030303030303030303030303030303030303030303030303"
}"#;

/// Site 1 is central itself.
const SITE_1_REPLY: &str = r#"{
    "site_id": 1, "credential_generation": 2, "binding": "weak",
    "central_key": "0303030303030303030303030303030303030303030303030303030303030303"
}"#;

#[test]
fn an_enrolment_shows_name_password_key_journal_and_hardware() {
    let server = Server::answering("200 OK", JSON, SITE_7_REPLY.as_bytes());

    let reply = enrol(&server).unwrap();

    assert_eq!(
        reply,
        EnrolReply {
            site: SiteId(7),
            central_key: PublicKey([3; 32]),
            generation: CredentialGeneration(2),
            binding: BindingStrength::Weak,
        }
    );
    let request = server.seen.recv().unwrap();
    assert_eq!(request.line, "POST /base/enrol/v1 HTTP/1.1\r\n");
    let fields: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    let expected = serde_json::json!({
        "name": "Clinic 7", "password": "sesame \"7\"", "public_key": "ab".repeat(32), "journal": "01".repeat(16),
        "type": "mobile", "hardware": "0100", "site_id": 7,
    });
    assert_eq!(fields, expected);
}

#[test]
fn an_enrolment_begins_with_the_name_alone_and_gets_a_salt() {
    const ANSWER: &str = r#"{
        "salt": "05050505050505050505050505050505", "more": 1,
        "central_key": "0303030303030303030303030303030303030303030303030303030303030303"
    }"#;
    let server = Server::answering("200 OK", JSON, ANSWER.as_bytes());

    let begin = server.transport().begin_enrolment("Clinic \"7\"").unwrap();

    assert_eq!(begin, EnrolBegin { salt: HardwareSalt([5; 16]), central_key: PublicKey([3; 32]) });
    let request = server.seen.recv().unwrap();
    assert_eq!(request.line, "POST /base/enrol/v1/begin HTTP/1.1\r\n");
    assert_eq!(request.body, br#"{"name":"Clinic \"7\""}"#);
}

#[test]
fn a_refused_enrolment_says_why_in_the_words_of_central() {
    for body in [
        br#"{"error":{"code":"wrong_password","message":"the password\nis wrong"}}"#.as_slice(),
        br#"{"code":"wrong_password","message":"the password\nis wrong"}"#,
    ] {
        let server = Server::start(vec![Box::new(move |connection| {
            connection.read_request();
            connection.reply("401 Unauthorized", JSON, body);
        })]);

        let error = enrol(&server).unwrap_err();

        assert_eq!(error.code(), "wrong_password");
        assert_eq!(error.to_string(), "central refused: the password is wrong (status 401)");
        assert_eq!(error.exit(), Exit::Refused);
    }
}

#[test]
fn an_answer_to_an_enrolment_that_makes_no_sense_is_not_from_central() {
    for body in [
        b"{}".as_slice(),
        b"[1",
        br#"{"site_id":7,"central_key":"03","credential_generation":2,"binding":"weak"}"#,
        SITE_1_REPLY.as_bytes(),
    ] {
        let server = Server::start(vec![Box::new(move |connection| {
            connection.read_request();
            connection.reply("200 OK", JSON, body);
        })]);

        assert_eq!(enrol(&server).unwrap_err().code(), "not_central");
    }
}

#[test]
fn an_enrolment_that_has_to_wait_says_why_and_that_it_is_not_tried_again_by_itself() {
    for (status, headers, expected) in [
        (
            "429 Too Many Requests",
            "retry-after: 40\r\nx-outpost-code: too_many_attempts\r\n",
            TransportError::TooManyAttempts { retry_after_s: 40 },
        ),
        (
            "503 Service Unavailable",
            "retry-after: 40\r\nx-outpost-code: overloaded\r\n",
            TransportError::EnrolmentBusy { retry_after_s: 40 },
        ),
    ] {
        let server = Server::answering(status, headers, b"");

        let error = enrol(&server).unwrap_err();

        assert_eq!((&error, error.exit()), (&expected, Exit::Busy));
        assert!(error.advice().to_lowercase().contains("run the command again"), "{}", error.advice());
        assert!(error.to_string().contains("40 s"), "{error}");
    }
}
