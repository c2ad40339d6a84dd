//! The hash chain of a journal (`details.md`, "Chain"; invariant 6.2).

use sha2::{Digest, Sha256};

use crate::ids::{Hash, JournalId, Sequence, SiteId};

/// The journal that a new one follows when the old one was damaged, and how far the old one is known to have been whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Predecessor {
    /// The closed journal.
    pub journal: JournalId,
    /// Its last entry whose chain could be checked.
    pub sequence: Sequence,
    /// Hash of the closed journal up to there.
    pub hash: Hash,
    /// Last sequence that the closed journal had promised; what lies between and was not salvaged is lost.
    pub promised: Sequence,
}

/// The hash before a journal's first entry: it covers the site, the journal's id and its predecessor.
#[must_use]
pub fn genesis(site: SiteId, journal: JournalId, predecessor: Option<&Predecessor>) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(b"outpost journal 1");
    hasher.update(site.0.to_le_bytes());
    hasher.update(journal.0);
    if let Some(predecessor) = predecessor {
        hasher.update(predecessor.journal.0);
        hasher.update(predecessor.sequence.0.to_le_bytes());
        hasher.update(predecessor.hash.0);
        hasher.update(predecessor.promised.0.to_le_bytes());
    }
    Hash(hasher.finalize().into())
}

/// The hash after one more entry: SHA-256(hash before, length as u32 little-endian, entry bytes).
#[must_use]
pub fn extend(before: Hash, entry: &[u8]) -> Hash {
    let length = u32::try_from(entry.len()).expect("entries are at most limits::ENTRY_BYTES_MAX long");
    let mut hasher = Sha256::new();
    hasher.update(before.0);
    hasher.update(length.to_le_bytes());
    hasher.update(entry);
    Hash(hasher.finalize().into())
}

/// SHA-256 of some bytes.
#[must_use]
pub fn hash_of(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn site_journal_and_predecessor_each_change_the_first_hash() {
        let journal = JournalId([7; 16]);
        let first = genesis(SiteId(2), journal, None);
        let predecessor = Predecessor {
            journal: JournalId([6; 16]),
            sequence: Sequence(3),
            hash: Hash([1; 32]),
            promised: Sequence(4),
        };

        assert_ne!(first, genesis(SiteId(3), journal, None));
        assert_ne!(first, genesis(SiteId(2), JournalId([8; 16]), None));
        assert_ne!(first, genesis(SiteId(2), journal, Some(&predecessor)));
    }

    #[test]
    fn the_boundary_between_entries_is_part_of_the_hash() {
        let start = Hash([0; 32]);

        assert_ne!(extend(extend(start, b"ab"), b"c"), extend(extend(start, b"a"), b"bc"));
    }
}
