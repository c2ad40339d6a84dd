//! The scopes that records travel in. A site is a set of scopes with cursors; the wire carries a scope as opaque bytes.
//!
//! | kind (first byte) | scope | the rest |
//! | --- | --- | --- |
//! | 0 | every site | nothing |
//! | 1 | every site with an active dispensary store | nothing |
//! | 2 | all of a store's data, for the site that holds it and for collectors | the store's id |
//! | 3 | what other stores have with a store, for the site that holds it: halves of transfers, their lines, the log entries about them | the store's id |
//! | 4 | what hangs on names and stores; a site is given what it sees (`visibility`) | nothing |
//! | 5 | what one site has come to see, or sees no more, since it read kind 4 | the site's id, u32 little-endian |
//!
//! An id is one byte for its form (0 text, 1 to 4 hexadecimal, as [`PackedId`] says), then the text or the 16 bytes. Each scope
//! has exactly one encoding; bytes of another kind or shape are kept as they are.

use std::fmt;

use protocol::ids::{PackedId, RecordId, ScopeId, SiteId};

/// Who receives a record, as far as one lane goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Every site.
    AllSites,
    /// Every site with at least one active dispensary store.
    DispensarySites,
    /// All of a store's data: for its site and its collectors.
    Store(RecordId),
    /// What other stores have with a store: both halves of its transfers as far as they are another store's, with their lines and the log
    /// entries about them. For the site that holds the store.
    StorePartners(RecordId),
    /// What hangs on names and stores, for whoever sees them.
    Visible,
    /// What of [`Scope::Visible`] a site has come to see, or sees no more. On a device it is the same scope as that.
    Gained(SiteId),
    /// A kind that this program does not know, kept as it came.
    Unknown(ScopeId),
}

const ALL_SITES: u8 = 0;
const DISPENSARY_SITES: u8 = 1;
const STORE: u8 = 2;
const STORE_PARTNERS: u8 = 3;
const VISIBLE: u8 = 4;
const GAINED: u8 = 5;

impl Scope {
    /// What a site receives: what goes everywhere, what dispensaries need if it holds one, what it sees, all of the stores that it holds or
    /// collects, and what other stores have with those that it holds. `gained`: the site, if ever what it sees has changed. That comes
    /// before what it sees: whoever shows a cursor of the latter has then read the former.
    pub fn of_site(
        held: impl IntoIterator<Item = RecordId>,
        collected: impl IntoIterator<Item = RecordId>,
        has_dispensary: bool,
        gained: Option<SiteId>,
    ) -> impl Iterator<Item = Self> {
        let shared = std::iter::once(Self::AllSites).chain(has_dispensary.then_some(Self::DispensarySites));
        let seen = gained.map(Self::Gained).into_iter().chain(std::iter::once(Self::Visible));
        let held: Vec<RecordId> = held.into_iter().collect();
        let partners = held.clone().into_iter().map(Self::StorePartners);
        shared.chain(seen).chain(held.into_iter().chain(collected).map(Self::Store)).chain(partners)
    }

    /// The bytes for the wire.
    pub fn to_id(&self) -> ScopeId {
        let bytes = match self {
            Self::AllSites => vec![ALL_SITES],
            Self::DispensarySites => vec![DISPENSARY_SITES],
            Self::Store(store) => with_id(STORE, store),
            Self::StorePartners(store) => with_id(STORE_PARTNERS, store),
            Self::Visible => vec![VISIBLE],
            Self::Gained(site) => [&[GAINED][..], &site.0.to_le_bytes()].concat(),
            Self::Unknown(id) => return id.clone(),
        };
        ScopeId::new(&bytes).expect("two bytes and an id of at most 64 are below the limit of 72")
    }

    /// Reads what [`Scope::to_id`] wrote; anything else is [`Scope::Unknown`].
    pub fn from_id(id: &ScopeId) -> Self {
        match id.as_bytes() {
            [ALL_SITES] => Self::AllSites,
            [DISPENSARY_SITES] => Self::DispensarySites,
            [VISIBLE] => Self::Visible,
            [GAINED, site @ ..] => match <[u8; 4]>::try_from(site) {
                Ok(site) => Self::Gained(SiteId(u32::from_le_bytes(site))),
                Err(_) => Self::Unknown(id.clone()),
            },
            [kind @ (STORE | STORE_PARTNERS), form, rest @ ..] => match (read_id(*form, rest), *kind) {
                (Some(store), STORE) => Self::Store(store),
                (Some(store), _) => Self::StorePartners(store),
                (None, _) => Self::Unknown(id.clone()),
            },
            _ => Self::Unknown(id.clone()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllSites => formatter.write_str("all sites"),
            Self::DispensarySites => formatter.write_str("dispensary sites"),
            Self::Store(store) => write!(formatter, "store {store}"),
            Self::StorePartners(store) => write!(formatter, "partners of store {store}"),
            Self::Visible => formatter.write_str("what a site sees"),
            Self::Gained(site) => write!(formatter, "what site {site} has come to see"),
            Self::Unknown(id) => {
                formatter.write_str("unknown scope ")?;
                id.as_bytes().iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
        }
    }
}

fn with_id(kind: u8, id: &RecordId) -> Vec<u8> {
    let mut bytes = vec![kind];
    match PackedId::of(id.as_str()) {
        PackedId::Hex { form, bytes: packed } => {
            bytes.push(form);
            bytes.extend_from_slice(&packed);
        }
        PackedId::Text => {
            bytes.push(0);
            bytes.extend_from_slice(id.as_str().as_bytes());
        }
    }
    bytes
}

/// The id, unless another spelling of the same scope exists.
fn read_id(form: u8, rest: &[u8]) -> Option<RecordId> {
    let text = match form {
        0 => std::str::from_utf8(rest).ok().filter(|text| PackedId::of(text) == PackedId::Text)?.to_owned(),
        form => PackedId::text(form, rest.try_into().ok()?)?,
    };
    let is_canonical = form == 0 || matches!(PackedId::of(&text), PackedId::Hex { form: same, .. } if same == form);
    if is_canonical { RecordId::new(&text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_scope_has_the_bytes_of_the_table() {
        let hex = RecordId::new("00112233445566778899AABBCCDDEEFF").unwrap();
        let text = RecordId::new("s 1").unwrap();
        let packed = [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        for (scope, bytes, shown) in [
            (Scope::AllSites, vec![0], "all sites"),
            (Scope::DispensarySites, vec![1], "dispensary sites"),
            (Scope::Store(hex.clone()), [&[2, 1][..], &packed].concat(), "store 00112233445566778899AABBCCDDEEFF"),
            (Scope::StorePartners(text), b"\x03\x00s 1".to_vec(), "partners of store s 1"),
            (Scope::Visible, vec![4], "what a site sees"),
            (Scope::Gained(SiteId(7)), vec![5, 7, 0, 0, 0], "what site 7 has come to see"),
            (Scope::Unknown(ScopeId::new(&[9, 1]).unwrap()), vec![9, 1], "unknown scope 0901"),
        ] {
            let id = scope.to_id();
            assert_eq!(id.as_bytes(), bytes);
            assert_eq!(Scope::from_id(&id), scope);
            assert_eq!(scope.to_string(), shown);
        }
    }

    #[test]
    fn a_second_spelling_of_a_scope_is_not_that_scope() {
        let spelled = [&[2, 0][..], b"00112233445566778899AABBCCDDEEFF"].concat();
        let digits_as_lower_case = [&[2, 2][..], &[0x11; 16]].concat();
        for bytes in [
            vec![0, 0],
            vec![4, 0],
            vec![5, 1],
            vec![2],
            vec![2, 0],
            vec![2, 1, 7],
            vec![2, 0, 0xff],
            spelled,
            digits_as_lower_case,
        ] {
            let id = ScopeId::new(&bytes).unwrap();
            assert_eq!(Scope::from_id(&id), Scope::Unknown(id));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_out_as_they_went_in(bytes in proptest::collection::vec(any::<u8>(), 0..72)) {
            let id = ScopeId::new(&bytes).unwrap();
            prop_assert_eq!(Scope::from_id(&id).to_id(), id);
        }

        #[test]
        fn any_store_comes_out_as_it_went_in(text in ".{1,16}|[0-9A-F]{32}|[0-9]{32}") {
            let scope = Scope::Store(RecordId::new(&text).unwrap());
            prop_assert_eq!(Scope::from_id(&scope.to_id()), scope);
        }
    }
}
