use super::*;
use crate::config::CentralUrl;
use crate::error::Explained as _;
use crate::golden_files::same;
use protocol::edge::Verifier as _;
use protocol::hardware::{HardwareId, HardwareKind, HardwareSource};
use protocol::ids::{CredentialGeneration, HardwareSalt, SiteId};

fn folder() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("identity");
    (root, folder)
}

fn enrolment() -> Enrolment {
    Enrolment {
        site: SiteId(7),
        site_name: "Clinic \"7\"".to_owned(),
        central_url: CentralUrl::parse("https://central.example.org").unwrap(),
        central_key: PublicKey([3; 32]),
        generation: CredentialGeneration(2),
        salt: HardwareSalt([4; 16]),
        hardware: HardwareId::new(vec![HardwareSource { kind: HardwareKind::SocSerial, digest: [5; 16] }]).unwrap(),
        bound_ms: Some(86_400_000),
    }
}

#[test]
fn the_files_of_a_device_keep_their_bytes_and_are_read() {
    let (_root, folder) = folder();
    durable_file::make_folder(&folder).unwrap();
    let identity = Identity {
        enrolment: Some(enrolment()),
        has_journals: true,
        ..Identity::fresh(JournalId([0x33; 16]), JournalId([0x44; 16]))
    };
    identity.write(&folder).unwrap();
    let written = std::fs::read(folder.join("identity")).unwrap();
    for (name, comment, bytes) in [
        ("key", "The key of a device: the seed is 07 32 times", checked(KEY_MAGIC, &[7; 32]).to_vec()),
        ("token", "The token of the last exchange", checked(TOKEN_MAGIC, &[5; 16]).to_vec()),
        ("control", "The last control row", checked(CONTROL_MAGIC, &300_u64.to_le_bytes()).to_vec()),
        ("identity", "Who a device is", written),
    ] {
        let stored = same(&format!("device-1/{name}"), comment, &bytes);
        durable_file::replace_private(&folder.join(name), &stored).unwrap();
    }

    let device = Device::open(&folder).unwrap().unwrap();

    assert_eq!(device.public_key(), Ed25519Signer::from_seed(&[7; 32]).public_key());
    assert_eq!((device.token(), device.control()), (Token([5; 16]), ControlNumber(300)));
    assert_eq!(device.identity(), &identity);
}

/// A file of a later release is not taken for a damaged one, and stays as it is.
#[test]
fn a_file_of_another_version_is_refused_with_its_version() {
    for (name, magic) in [("key", &KEY_MAGIC[..]), ("token", TOKEN_MAGIC), ("control", CONTROL_MAGIC)] {
        let (_root, folder) = folder();
        Device::open_or_make(&folder).unwrap();
        let name_alone = &magic[..magic.len() - 2];
        let later = checked(name_alone, b"2\nwhatever version 2 has here, and more of it than version 1").to_vec();
        durable_file::replace_private(&folder.join(name), &later).unwrap();

        let error = Device::open(&folder).unwrap_err();

        assert_eq!(error.code(), "identity_version", "{name}");
        assert!(error.to_string().contains("has version 2; this agent reads version 1"), "{error}");
        assert_eq!(std::fs::read(folder.join(name)).unwrap(), later);
    }
}

#[test]
fn a_folder_without_a_device_has_none() {
    let (_root, folder) = folder();

    assert!(Device::open(&folder).unwrap().is_none());
    assert!(!folder.exists());
}

#[test]
fn a_device_that_was_made_keeps_its_key_and_journals() {
    let (_root, folder) = folder();
    let made = Device::open_or_make(&folder).unwrap();

    let again = Device::open_or_make(&folder).unwrap();

    assert_eq!(again.public_key(), made.public_key());
    assert_eq!(again.identity(), made.identity());
    assert_ne!(again.identity().journal, again.identity().private_journal);
    assert_eq!(again.token(), Token::NONE);
    assert_eq!(again.enrolment().unwrap_err().code(), "not_enrolled");
    let signature = again.signer().sign(b"bytes");
    assert!(codec::Ed25519Verifier.verify(&made.public_key(), b"bytes", &signature));
}

#[test]
fn an_enrolment_a_token_and_a_new_journal_are_there_after_opening_again() {
    let (_root, folder) = folder();
    let mut device = Device::open_or_make(&folder).unwrap();
    device.enrol(enrolment()).unwrap();
    device.keep_token(Token([5; 16])).unwrap();
    device.replace_journal(JournalId([6; 16])).unwrap();

    let again = Device::open(&folder).unwrap().unwrap();

    assert_eq!(again.enrolment().unwrap(), &enrolment());
    assert_eq!(again.token(), Token([5; 16]));
    assert_eq!(again.identity().journal, JournalId([6; 16]));
    assert_eq!(again.identity(), device.identity());
}

#[test]
fn a_key_that_waits_is_there_after_opening_again_and_signs_only_once_it_is_taken() {
    let (_root, folder) = folder();
    let mut device = Device::open_or_make(&folder).unwrap();
    let first = device.public_key();
    assert_eq!(device.next_key().unwrap(), None);
    assert_eq!(device.take_next_key().unwrap_err().code(), "key_missing");
    let given_up = device.make_next_key().unwrap();
    let next = device.make_next_key().unwrap();
    assert_ne!(next, given_up);

    let mut device = Device::open(&folder).unwrap().unwrap();
    assert_eq!((device.public_key(), device.next_key().unwrap()), (first, Some(next)));
    device.take_next_key().unwrap();

    assert_eq!(device.public_key(), next);
    let again = Device::open(&folder).unwrap().unwrap();
    assert_eq!((again.public_key(), again.next_key().unwrap()), (next, None));
    assert_eq!(again.identity(), device.identity());
}

#[test]
fn a_device_that_was_cut_between_its_two_files_keeps_its_key() {
    let (_root, folder) = folder();
    let made = Device::open_or_make(&folder).unwrap();
    std::fs::remove_file(folder.join("identity")).unwrap();

    assert!(Device::open(&folder).unwrap().is_none());
    let again = Device::open_or_make(&folder).unwrap();

    assert_eq!(again.public_key(), made.public_key());
}

#[test]
fn an_identity_without_its_key_is_not_made_anew() {
    let (_root, folder) = folder();
    Device::open_or_make(&folder).unwrap();
    std::fs::remove_file(folder.join("key")).unwrap();

    assert_eq!(Device::open_or_make(&folder).unwrap_err().code(), "key_missing");
}

#[test]
fn each_flipped_bit_of_each_file_is_noticed() {
    let (_root, folder) = folder();
    let mut device = Device::open_or_make(&folder).unwrap();
    device.enrol(enrolment()).unwrap();
    device.keep_token(Token([5; 16])).unwrap();
    for name in ["key", "identity"] {
        let path = folder.join(name);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(Device::open(&folder).unwrap_err().code(), "identity_damaged", "{name}, byte {at}");
        }
        for length in 0..good.len() {
            std::fs::write(&path, &good[..length]).unwrap();
            assert_eq!(Device::open(&folder).unwrap_err().code(), "identity_damaged", "{name}, {length} bytes");
        }
        std::fs::write(&path, &good).unwrap();
    }
    assert!(Device::open(&folder).unwrap().is_some());
}

#[test]
fn a_token_or_control_number_that_cannot_be_read_is_lost_and_the_device_goes_on() {
    let (_root, folder) = folder();
    let mut device = Device::open_or_make(&folder).unwrap();
    device.keep_token(Token([5; 16])).unwrap();
    device.keep_control(ControlNumber(9)).unwrap();
    assert_eq!(Device::open(&folder).unwrap().unwrap().control(), ControlNumber(9));
    for name in ["token", "control"] {
        let path = folder.join(name);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            for damaged in [&bytes[..], &good[..at]] {
                std::fs::write(&path, damaged).unwrap();
                let device = Device::open(&folder).unwrap().unwrap();
                let is_lost =
                    if name == "token" { device.token() == Token::NONE } else { device.control() == ControlNumber(0) };
                assert!(is_lost, "{name}, byte {at}");
            }
        }
        std::fs::write(&path, &good).unwrap();
    }
}

#[test]
fn an_identity_of_a_later_version_is_not_called_damaged() {
    let (_root, folder) = folder();
    Device::open_or_make(&folder).unwrap();
    let line = r#"{"version":2,"colour":"green"}"#;
    let text = format!("{line}\ncrc32 {:08x}\n", crc32fast::hash(line.as_bytes()));
    std::fs::write(folder.join("identity"), text).unwrap();

    assert_eq!(Device::open(&folder).unwrap_err().code(), "identity_version");
}

#[cfg(unix)]
#[test]
fn files_and_folders_that_others_may_use_are_refused() {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    let (_root, folder) = folder();
    Device::open_or_make(&folder).unwrap();
    for (path, wrong, right) in
        [(folder.clone(), 0o750, 0o700), (folder.join("key"), 0o604, 0o600), (folder.join("identity"), 0o660, 0o600)]
    {
        std::fs::set_permissions(&path, Permissions::from_mode(wrong)).unwrap();
        assert_eq!(Device::open(&folder).unwrap_err().code(), "file_mode", "{}", path.display());
        std::fs::set_permissions(&path, Permissions::from_mode(right)).unwrap();
    }
    assert!(Device::open(&folder).is_ok());
}

#[test]
fn a_key_is_not_shown_by_debug() {
    let (_root, folder) = folder();
    let device = Device::open_or_make(&folder).unwrap();
    let seed = device.signer().seed();
    let hex: String = seed.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));

    let shown = format!("{device:?}");

    assert!(!shown.contains(&hex) && !shown.contains(&format!("{:?}", *seed)));
}
