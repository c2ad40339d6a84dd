use std::vec;
use std::vec::Vec;

use super::*;

const SALT: HardwareSalt = HardwareSalt([7; 16]);

use HardwareKind::{
    AndroidSerial, BoardSerial, DeviceTreeSerial, MachineId, PortAddress, ProductUuid, SocSerial, StorageCid, Unknown,
};

fn id(sources: &[(HardwareKind, &str)]) -> HardwareId {
    let sources = sources.iter().map(|(kind, value)| HardwareSource::of_value(*kind, &SALT, value.as_bytes()));
    HardwareId::new(sources.collect()).unwrap()
}

/// An id with one source for each letter: upper case is another value of the same kind.
fn of_letters(letters: &str) -> HardwareId {
    let kinds = [
        ('t', DeviceTreeSerial),
        ('c', SocSerial),
        ('u', ProductUuid),
        ('b', BoardSerial),
        ('s', StorageCid),
        ('p', PortAddress),
        ('m', MachineId),
        ('a', AndroidSerial),
        ('x', Unknown(200)),
    ];
    let sources = letters.chars().map(|letter| {
        let (_, kind) = kinds.iter().find(|(known, _)| *known == letter.to_ascii_lowercase()).unwrap();
        HardwareSource::of_value(*kind, &SALT, letter.encode_utf8(&mut [0; 4]).as_bytes())
    });
    HardwareId::new(sources.collect()).unwrap()
}

#[test]
fn a_device_is_the_same_by_one_hardware_source_and_half_of_what_was_enrolled() {
    use Likeness::{CannotTell, OtherDevice, SameDevice};
    for (enrolled, found, expected) in [
        // Everything is as it was, whatever there is.
        ("t", "t", SameDevice),
        ("c", "c", SameDevice),
        ("u", "u", SameDevice),
        ("b", "b", SameDevice),
        ("s", "s", SameDevice),
        ("p", "p", SameDevice),
        ("a", "a", SameDevice),
        ("tcubspma", "tcubspma", SameDevice),
        // Half is enough, less is not; missing and changed count alike.
        ("up", "uP", SameDevice),
        ("up", "u", SameDevice),
        ("up", "UP", OtherDevice),
        ("ubp", "u", OtherDevice),
        ("ubp", "uBP", OtherDevice),
        ("ubp", "ub", SameDevice),
        ("ubpm", "uBPm", SameDevice),
        ("ubpm", "pm", SameDevice),
        ("ubpm", "p", OtherDevice),
        ("tcubspma", "tcub", SameDevice),
        ("tcubspma", "tcu", OtherDevice),
        // The machine id goes where a copied disk goes.
        ("um", "m", OtherDevice),
        ("um", "Um", OtherDevice),
        ("um", "uM", SameDevice),
        ("um", "u", SameDevice),
        ("ubpm", "m", OtherDevice),
        ("umx", "mx", OtherDevice),
        // What a later program adds counts in the half and never alone.
        ("ux", "uX", SameDevice),
        ("ux", "x", OtherDevice),
        ("ubx", "ux", SameDevice),
        // More than was enrolled does no harm.
        ("u", "tcubspma", SameDevice),
        ("t", "cubspma", OtherDevice),
        ("t", "", OtherDevice),
        // Nothing was enrolled that could be compared.
        ("", "", CannotTell),
        ("", "tcubspma", CannotTell),
        ("m", "m", CannotTell),
        ("m", "M", CannotTell),
        ("x", "x", CannotTell),
        ("mx", "um", CannotTell),
    ] {
        let comparison = compare(&of_letters(enrolled), &of_letters(found));

        assert_eq!(comparison.likeness, expected, "enrolled {enrolled:?}, found {found:?}");
    }
}

/// What an enrolled id and a found one may say of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Neither,
    EnrolledOnly,
    FoundOnly,
    Equal,
    Different,
}

const STATES: [State; 5] = [State::Neither, State::EnrolledOnly, State::FoundOnly, State::Equal, State::Different];

/// The rule as `docs/binding-and-keys.md` says it, of nothing but the states.
fn likeness_by_the_rule(states: &[(HardwareKind, State)]) -> Likeness {
    let (mut enrolled, mut enrolled_hardware, mut matching, mut matching_hardware) = (0, 0, 0, 0);
    for (kind, state) in states {
        // Not asked of the kind: which ones are hardware is a part of the rule.
        let is_hardware = !matches!(kind, MachineId | Unknown(_));
        if matches!(state, State::EnrolledOnly | State::Equal | State::Different) {
            enrolled += 1;
            enrolled_hardware += u32::from(is_hardware);
        }
        if *state == State::Equal {
            matching += 1;
            matching_hardware += u32::from(is_hardware);
        }
    }
    let not_matching = enrolled - matching;
    match (enrolled_hardware, matching_hardware) {
        (0, _) => Likeness::CannotTell,
        (_, 1..) if matching >= not_matching => Likeness::SameDevice,
        (_, _) => Likeness::OtherDevice,
    }
}

#[test]
fn any_two_ids_are_of_the_same_device_by_the_rule_alone() {
    // All kinds that are known, and kinds of a later program beside few others: with all of them it were 25 times as many.
    let of_later = [SocSerial, BoardSerial, MachineId, Unknown(9), Unknown(200)];
    for kinds in [&HardwareKind::KNOWN[..], &of_later] {
        let combinations = STATES.len().pow(u32::try_from(kinds.len()).unwrap());
        let mut met = [0; 3];
        for combination in 0..combinations {
            // A digit to the base five for each kind.
            let mut rest = combination;
            let mut states = Vec::with_capacity(kinds.len());
            let (mut enrolled, mut found) = (HardwareId::default(), HardwareId::default());
            for kind in kinds {
                let state = STATES[rest % STATES.len()];
                rest /= STATES.len();
                states.push((*kind, state));
                let (here, there) = match state {
                    State::Neither => (None, None),
                    State::EnrolledOnly => (Some(1), None),
                    State::FoundOnly => (None, Some(1)),
                    State::Equal => (Some(1), Some(1)),
                    State::Different => (Some(1), Some(2)),
                };
                let source = |value| HardwareSource { kind: *kind, digest: [value; 16] };
                enrolled.sources.extend(here.map(source));
                found.sources.extend(there.map(source));
            }

            let comparison = compare(&enrolled, &found);

            assert_eq!(comparison.likeness, likeness_by_the_rule(&states), "{states:?}");
            let of = |state| states.iter().filter(move |(_, other)| *other == state).map(|(kind, _)| *kind);
            assert!(of(State::Equal).eq(comparison.matched), "{states:?}");
            assert!(of(State::Different).eq(comparison.changed), "{states:?}");
            assert!(of(State::EnrolledOnly).eq(comparison.missing), "{states:?}");
            met[comparison.likeness as usize] += 1;
        }
        assert!(met.iter().all(|count| *count > 0), "each answer comes up: {met:?}");
    }
}

#[test]
fn a_comparison_says_what_matched_what_changed_and_what_is_missing() {
    let comparison = compare(&of_letters("tubpm"), &of_letters("tuPsm"));

    assert_eq!(comparison.matched, [DeviceTreeSerial, ProductUuid, MachineId]);
    assert_eq!(comparison.changed, [PortAddress]);
    assert_eq!(comparison.missing, [BoardSerial]);
}

#[test]
fn a_binding_is_as_strong_as_its_hardware_sources() {
    for (letters, expected) in [
        ("", BindingStrength::None),
        ("m", BindingStrength::None),
        ("mx", BindingStrength::None),
        ("u", BindingStrength::Weak),
        ("um", BindingStrength::Weak),
        ("up", BindingStrength::Strong),
        ("tcubspma", BindingStrength::Strong),
    ] {
        let strength = of_letters(letters).strength();

        assert_eq!(strength, expected, "{letters:?}");
        assert_eq!(BindingStrength::of_word(strength.as_str()), Some(strength));
    }
}

#[test]
fn salt_kind_and_value_each_change_the_digest() {
    let source = HardwareSource::of_value(BoardSerial, &SALT, b"A1");

    assert_ne!(source.digest, HardwareSource::of_value(BoardSerial, &HardwareSalt([8; 16]), b"A1").digest);
    assert_ne!(source.digest, HardwareSource::of_value(SocSerial, &SALT, b"A1").digest);
    assert_ne!(source.digest, HardwareSource::of_value(BoardSerial, &SALT, b"A2").digest);
    // As a second implementation has it: SHA-256 of the text, the salt, 4 and the value.
    let mut covered = b"outpost hardware 1".to_vec();
    covered.extend_from_slice(&SALT.0);
    covered.push(4);
    covered.extend_from_slice(b"A1");
    assert_eq!(source.digest, crate::chain::hash_of(&covered).0[..16]);
}

#[test]
fn an_id_comes_back_from_its_wire_form_with_kinds_that_are_not_known() {
    for letters in ["", "m", "ampsbuct", "xu"] {
        let id = of_letters(letters);

        assert_eq!(HardwareId::decode(&id.encode()), Ok(id));
    }
    let one = id(&[(SocSerial, "9")]);
    assert_eq!(one.encode()[..3], [1, 1, 2]);
    assert_eq!(one.encode().len(), 2 + 17);
    assert_eq!(HardwareId::default().encode(), [1, 0]);
}

#[test]
fn each_kind_has_a_code_of_its_own_that_finds_it_again() {
    for code in 0..=u8::MAX {
        assert_eq!(HardwareKind::of_code(code).code(), code);
    }
    let codes: Vec<u8> = HardwareKind::KNOWN.iter().map(|kind| kind.code()).collect();
    assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn bytes_that_are_no_hardware_id_are_refused() {
    let two = of_letters("tu").encode();
    let mut swapped = vec![1, 2];
    swapped.extend_from_slice(&two[19..]);
    swapped.extend_from_slice(&two[2..19]);
    let mut twice = vec![1, 2];
    twice.extend_from_slice(&two[2..19]);
    twice.extend_from_slice(&two[2..19]);
    let rising = DecodeError::Invalid("the kinds of a hardware id do not rise");
    for (bytes, expected) in [
        (Vec::new(), DecodeError::Truncated),
        (vec![2, 0], DecodeError::Unknown { what: "version of a hardware id", value: 2 }),
        (two[..two.len() - 1].to_vec(), DecodeError::Truncated),
        ([&two[..], &[0]].concat(), DecodeError::Trailing { bytes: 1 }),
        (vec![1, 17], DecodeError::AboveLimit { limit: "HARDWARE_SOURCES_MAX", found: 17 }),
        (swapped, rising),
        (twice, rising),
    ] {
        assert_eq!(HardwareId::decode(&bytes), Err(expected), "{bytes:?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_an_id_that_comes_back_or_none(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        if let Ok(id) = HardwareId::decode(&bytes) {
            assert!(id.sources().len() <= HARDWARE_SOURCES_MAX);
            assert_eq!(HardwareId::decode(&id.encode()), Ok(id));
        }
    }
}

#[test]
fn sources_of_one_kind_and_too_many_are_no_id() {
    let source = HardwareSource::of_value(SocSerial, &SALT, b"1");
    assert_eq!(HardwareId::new(vec![source, source]), Err(HardwareError::KindTwice(SocSerial)));

    let many: Vec<_> =
        (0..=16).map(|code| HardwareSource { kind: HardwareKind::of_code(code), digest: [0; 16] }).collect();
    assert_eq!(HardwareId::new(many), Err(HardwareError::TooMany { found: 17 }));
}
