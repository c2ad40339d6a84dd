//! What says where something belongs: hashes of a journal, names of scopes, the label of a file.

use domain::scope::Scope;
use protocol::bytes::Reader;
use protocol::carried::Label;
use protocol::chain::{self, Predecessor, genesis};
use protocol::edge::Signer as _;
use protocol::ids::{Hash, JournalId, RecordId, ScopeId, Sequence, SiteId};

use super::{JOURNAL, SITE, Sample, central};

/// The hash before the first entry without and with a predecessor, and behind an entry of three bytes after the first of these.
fn hashes() -> Vec<u8> {
    let predecessor = Predecessor {
        journal: JournalId([0xc3; 16]),
        sequence: Sequence(8),
        hash: Hash([0xd4; 32]),
        promised: Sequence(9),
    };
    let first = genesis(SITE, JOURNAL, None);
    [first, genesis(SITE, JOURNAL, Some(&predecessor)), chain::extend(first, b"abc")].map(|hash| hash.0).concat()
}

fn scopes() -> Vec<Scope> {
    let hex = RecordId::new("00112233445566778899AABBCCDDEEFF").unwrap();
    vec![
        Scope::AllSites,
        Scope::DispensarySites,
        Scope::Store(hex),
        Scope::StorePartners(RecordId::new("s 1").unwrap()),
        Scope::Visible,
        Scope::Gained(SiteId(300)),
        Scope::Unknown(ScopeId::new(&[200, 1, 2]).unwrap()),
    ]
}

/// One byte of length, then the scope, one after the other.
fn scope_bytes() -> Vec<u8> {
    let lengths = scopes().into_iter().map(|scope| scope.to_id());
    lengths.flat_map(|id| [&[u8::try_from(id.as_bytes().len()).unwrap()], id.as_bytes()].concat()).collect()
}

fn read_scopes(stored: &[u8]) -> Vec<Scope> {
    let mut reader = Reader::new(stored);
    let mut found = Vec::new();
    while let Ok(length) = reader.byte() {
        let bytes: Vec<u8> = (0..length).map(|_| reader.byte().unwrap()).collect();
        found.push(Scope::from_id(&ScopeId::new(&bytes).unwrap()));
    }
    found
}

pub(super) fn all() -> Vec<Sample> {
    let label = Label { central: central().public_key(), site: SITE, context: Hash([0xf6; 32]) };
    vec![
        Sample {
            name: "chain",
            comment: "Hashes of a journal: before its first entry, the same with a predecessor, \
                      behind the entry abc after the first of these",
            bytes: hashes(),
            is_encoding_fixed: true,
            check: Box::new(|stored| assert_eq!(stored, hashes())),
        },
        Sample {
            name: "scopes",
            comment: "Scopes of kinds 0 to 5 and of kind 200, one byte of length before each",
            bytes: scope_bytes(),
            is_encoding_fixed: true,
            check: Box::new(|stored| assert_eq!(read_scopes(stored), scopes())),
        },
        Sample {
            name: "label",
            comment: "Label at the head of what travels by stick",
            bytes: label.encode(),
            is_encoding_fixed: true,
            check: Box::new(move |stored| assert_eq!(Label::decode(stored.try_into().unwrap()), Ok(label))),
        },
    ]
}
