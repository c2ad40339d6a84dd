//! Comparing what a site has with what it should have, by digests (`docs/sync-protocol.md`, "Verify and repair").
//!
//! The records of a scope are dealt out to [`BUCKETS`] buckets by the hash of their table and id. A bucket's digest is how many records
//! it has and the exclusive or of a hash of each: it does not hang on an order, and one record changes it in one place. The site sends its
//! digests, central says which differ, and of these alone the records travel.
//!
//! A question begins with a request head, as that of [`crate::check`] does, and changes nothing of what an exchange would use up.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::check::CheckError;
use crate::edge::{Codec, CodecError, Compression, Dictionary, Signer, Verifier};
use crate::exchange::{SiteKeys, Standing};
use crate::frame::FrameError;
use crate::history::History;
use crate::ids::{Position, PublicKey, RecordId, SiteId, TableRef};
use crate::message::{self, Refusal, RequestHead, ScopeCursor};
use crate::page::{self, PageRow};
use crate::question::{self, SealedQuestion};
use crate::section::{Binding, Kind};

/// Buckets of a scope: one level, so that of a hundred thousand records some four hundred travel where one differs.
pub const BUCKETS: usize = 256;

/// Stands for a record: the first bytes of SHA-256(length of the table's name u32, name, id). The first byte is the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordHash(pub [u8; 16]);

impl RecordHash {
    /// Of a record by the names that its side keeps it under.
    pub fn of(table: &str, id: &str) -> Self {
        Self(first_half(&named(table, id).finalize().into()))
    }

    /// The bucket that it is in.
    pub fn bucket(self) -> u8 {
        let [first, ..] = self.0;
        first
    }
}

/// What is in one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bucket {
    /// Records.
    pub records: u32,
    /// Exclusive or of the first 16 bytes of SHA-256(as for [`RecordHash`], NUL, the record's JSON) of each.
    pub sum: [u8; 16],
}

/// The digests of a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests(Vec<Bucket>);

impl Default for Digests {
    fn default() -> Self {
        Self(alloc::vec![Bucket::default(); BUCKETS])
    }
}

impl Digests {
    /// Counts a record in. `json` is the record as both sides keep it: in the catalogue's order of columns.
    pub fn add(&mut self, table: &str, id: &str, json: &str) {
        let hasher = named(table, id);
        let key = RecordHash(first_half(&hasher.clone().finalize().into()));
        let content = first_half(&hasher.chain_update([0]).chain_update(json).finalize().into());
        let Some(bucket) = self.0.get_mut(usize::from(key.bucket())) else { return };
        bucket.records = bucket.records.saturating_add(1);
        for (sum, byte) in bucket.sum.iter_mut().zip(content) {
            *sum ^= byte;
        }
    }

    /// Whether there is a digest for each bucket: what came over the wire may have any number.
    pub fn is_whole(&self) -> bool {
        self.0.len() == BUCKETS
    }

    /// Records in all buckets.
    pub fn records(&self) -> u64 {
        self.0.iter().map(|bucket| u64::from(bucket.records)).sum()
    }

    /// One bucket's digest.
    pub fn bucket(&self, bucket: u8) -> Bucket {
        self.0.get(usize::from(bucket)).copied().unwrap_or_default()
    }

    /// The buckets that are not the same in another scope's digests, with how many records they have here.
    pub fn differing(&self, other: &Digests) -> Vec<Differing> {
        let differing = (0..=u8::MAX).filter(|bucket| self.bucket(*bucket) != other.bucket(*bucket));
        differing.map(|bucket| Differing { bucket, records: self.bucket(bucket).records }).collect()
    }
}

/// A bucket that is not the same on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differing {
    /// Which.
    pub bucket: u8,
    /// How many records central has in it.
    pub records: u32,
}

/// What a site asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Which buckets of a scope differ from these.
    Compare {
        /// The scope, and how far the site has read it.
        at: ScopeCursor,
        /// What the site has of it.
        digests: Digests,
    },
    /// The records of some buckets.
    Rows {
        /// As it was compared.
        at: ScopeCursor,
        /// The buckets, in rising order.
        buckets: Vec<u8>,
        /// Only rows of the lane above this position; 0 for the first part.
        after: Position,
    },
    /// The site is through, and says what it found.
    Done(Outcome),
}

/// What a site found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Scopes that were compared.
    pub scopes: u32,
    /// Records that the site has in them; one in two scopes counts twice.
    pub records: u64,
    /// Buckets that differed.
    pub differing: u64,
    /// Records of this site that were sent again.
    pub sent_again: u64,
    /// Records that were taken as central has them.
    pub pulled: u64,
    /// Versions that gave way and were set aside on the site.
    pub set_aside: u64,
    /// Records of others that central does not have for this site: they went, into set-aside.
    pub let_go: u64,
    /// Records that differ and were left alone: with an edit on its way, or damaged at central.
    pub left_alone: u64,
    /// Whether the last look found nothing that differs.
    pub is_whole: bool,
}

/// What central answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Not now, as an exchange would be refused; or `other_scope`, `central_set_back`: sync first.
    Refused(Refusal),
    /// These buckets differ; at most [`BUCKETS`].
    Differing(Vec<Differing>),
    /// Records of the buckets.
    Rows(PackedRows),
    /// What the site found is kept.
    Noted,
}

/// Records of some buckets as they travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedRows {
    /// Records of the buckets that are not to be compared: they come with the next sync, or central cannot read them.
    pub left_alone: Vec<(TableRef, String)>,
    /// Up to which position of the lane this goes; `None` at its end.
    pub through: Option<Position>,
    /// How the rows are packed.
    pub compression: Compression,
    /// What the packing refers back to.
    pub dictionary: Dictionary,
    /// Length of the unpacked rows, in bytes.
    pub plain_bytes: u32,
    /// The packed rows.
    pub packed: Vec<u8>,
}

/// Records of some buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsFound {
    /// As central has them, in the order of their positions.
    pub rows: Vec<PageRow>,
    /// As [`PackedRows::left_alone`].
    pub left_alone: Vec<(TableRef, RecordId)>,
    /// As [`PackedRows::through`].
    pub through: Option<Position>,
}

impl RowsFound {
    /// Packs them for the way.
    ///
    /// # Errors
    /// [`CodecError`] if the codec fails.
    pub fn pack(&self, codec: &mut dyn Codec) -> Result<PackedRows, CodecError> {
        let packed = page::pack_rows(&self.rows, &History::default(), codec)?;
        let left_alone = self.left_alone.iter().map(|(table, id)| (table.clone(), id.as_str().into())).collect();
        Ok(PackedRows {
            left_alone,
            through: self.through,
            compression: packed.compression,
            dictionary: packed.dictionary,
            plain_bytes: packed.plain_bytes,
            packed: packed.bytes,
        })
    }

    /// Unpacks them.
    ///
    /// # Errors
    /// [`FrameError`], as for pages.
    pub fn unpack(packed: &PackedRows, codec: &mut dyn Codec) -> Result<Self, FrameError> {
        let rows = page::unpack_alone(
            (packed.compression, packed.dictionary),
            &packed.packed,
            packed.plain_bytes as usize,
            codec,
        )?;
        let ids = packed.left_alone.iter().map(|(table, id)| {
            let id = RecordId::new(id).map_err(|_| crate::bytes::DecodeError::Invalid("a record's id"))?;
            Ok((table.clone(), id))
        });
        let left_alone = ids.collect::<Result<_, _>>().map_err(FrameError::Decode)?;
        Ok(Self { rows, left_alone, through: packed.through })
    }
}

/// A question as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Who asks: see [`crate::check::head`].
    pub head: RequestHead,
    /// What.
    pub ask: Ask,
}

/// Signs a question of a device, and says what the answer will be bound to.
pub fn ask(asked: &Question, central: PublicKey, signer: &dyn Signer) -> (Vec<u8>, Binding) {
    question::ask(Kind::VerifyQuestion, asked.head.site, &message::encode(asked), central, signer)
}

/// Reads an answer.
///
/// # Errors
/// [`CheckError`]: it is not central's, or not to this question.
pub fn read_answer(bytes: &[u8], binding: &Binding, verifier: &dyn Verifier) -> Result<Answer, CheckError> {
    let (version, answer): (u8, Answer) = question::read_answer(bytes, Kind::VerifyAnswer, binding, verifier)?;
    debug_assert_eq!(version, message::VERSION, "decode looks at it");
    Ok(answer)
}

/// A question at central. Nothing of it is proved before it is opened.
#[derive(Debug)]
pub struct Asked(SealedQuestion);

impl Asked {
    /// Reads a question.
    ///
    /// # Errors
    /// [`CheckError`]: it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, CheckError> {
        SealedQuestion::read(bytes, Kind::VerifyQuestion).map(Self)
    }

    /// The site that it claims to be from: it finds the keys.
    pub fn site(&self) -> SiteId {
        self.0.site()
    }

    /// The question, and how the key that signed it stands to its site.
    ///
    /// # Errors
    /// As the head of an exchange is refused: `not_enrolled`, `version`, `bad_message`.
    pub fn open(
        &self,
        keys: &SiteKeys,
        central: PublicKey,
        verifier: &dyn Verifier,
    ) -> Result<(Question, Standing), Refusal> {
        let (question, standing): (Question, Standing) = self.0.open(keys, central, verifier)?;
        let is_wrong = match &question.ask {
            Ask::Compare { digests, .. } => !digests.is_whole(),
            Ask::Rows { buckets, .. } => buckets.len() > BUCKETS || !buckets.is_sorted(),
            Ask::Done(_) => false,
        };
        if is_wrong {
            return Err(Refusal::new(
                "bad_message",
                "a question compares as many buckets as there are, and asks for some in order",
            ));
        }
        Ok((question, standing))
    }

    /// Signs the answer.
    pub fn answer(&self, answer: &Answer, signer: &dyn Signer) -> Vec<u8> {
        self.0.answer(Kind::VerifyAnswer, &message::encode(&(message::VERSION, answer)), signer)
    }
}

fn named(table: &str, id: &str) -> Sha256 {
    let length = u32::try_from(table.len()).unwrap_or(u32::MAX);
    Sha256::new().chain_update(length.to_le_bytes()).chain_update(table).chain_update(id)
}

fn first_half(hash: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CredentialGeneration, Hash, JournalId, ScopeId};
    use crate::message::Cursor;
    use crate::section::HEADER_BYTES;
    use crate::testing::{PlainCodec, TestKey};

    const CENTRAL: TestKey = TestKey(9);
    const DEVICE: TestKey = TestKey(1);

    fn question(ask: Ask) -> Question {
        Question { head: crate::check::head(SiteId(3), JournalId([2; 16]), CredentialGeneration(1), [7; 8]), ask }
    }

    fn at() -> ScopeCursor {
        ScopeCursor { scope: ScopeId::new(&[1]).unwrap(), cursor: Cursor::default() }
    }

    #[test]
    fn digests_do_not_hang_on_an_order_and_show_a_change_in_its_bucket_alone() {
        let records = [("item", "A", "{1}"), ("item", "B", "{2}"), ("unit", "A", "{1}")];
        let mut forwards = Digests::default();
        let mut backwards = Digests::default();
        for (table, id, json) in records {
            forwards.add(table, id, json);
        }
        for (table, id, json) in records.iter().rev() {
            backwards.add(table, id, json);
        }
        assert_eq!(forwards, backwards);
        assert_eq!(forwards.records(), 3);

        let mut changed = Digests::default();
        changed.add("item", "A", "{1}");
        changed.add("item", "B", "{3}");
        changed.add("unit", "A", "{1}");
        let bucket = RecordHash::of("item", "B").bucket();
        let records = changed.bucket(bucket).records;
        assert_eq!(changed.differing(&forwards), [Differing { bucket, records }]);

        // A name and an id that together read like others are another record.
        assert_ne!(RecordHash::of("item", "sA"), RecordHash::of("items", "A"));
    }

    #[test]
    fn a_question_and_its_answers_come_back() {
        let keys = SiteKeys { current: Some(DEVICE.public_key()), retired: Vec::new() };
        let rows = RowsFound {
            rows: alloc::vec![PageRow {
                table: TableRef::Known(2),
                record: RecordId::new("A").unwrap(),
                position: Position(4),
                row: None,
            }],
            left_alone: alloc::vec![(TableRef::Known(1), RecordId::new("B").unwrap())],
            through: Some(Position(4)),
        };
        for ask_for in [
            Ask::Compare { at: at(), digests: Digests::default() },
            Ask::Rows { at: at(), buckets: alloc::vec![1, 255], after: Position(3) },
            Ask::Done(Outcome { scopes: 1, is_whole: true, ..Outcome::default() }),
        ] {
            let asked = question(ask_for);
            let (bytes, binding) = ask(&asked, CENTRAL.public_key(), &DEVICE);
            let read = Asked::read(&bytes).unwrap();

            assert_eq!(read.site(), SiteId(3));
            assert_eq!(read.open(&keys, CENTRAL.public_key(), &DEVICE), Ok((asked, Standing::Current)));
            let packed = rows.pack(&mut PlainCodec).unwrap();
            for answer in [
                Answer::Refused(Refusal::new("site_stopped", "why")),
                Answer::Differing(alloc::vec![Differing { bucket: 3, records: 9 }]),
                Answer::Rows(packed),
                Answer::Noted,
            ] {
                let signed = read.answer(&answer, &CENTRAL);
                let came = read_answer(&signed, &binding, &DEVICE).unwrap();
                if let Answer::Rows(packed) = &came {
                    assert_eq!(RowsFound::unpack(packed, &mut PlainCodec), Ok(rows.clone()));
                }
                assert_eq!(came, answer);
                let other = Binding { context: Hash::NONE, ..binding };
                assert!(read_answer(&signed, &other, &DEVICE).is_err(), "it is to this question alone");
            }
        }
    }

    #[test]
    fn digests_of_another_number_and_buckets_out_of_order_are_refused() {
        let keys = SiteKeys { current: Some(DEVICE.public_key()), retired: Vec::new() };
        for ask_for in [
            Ask::Compare { at: at(), digests: Digests(Vec::new()) },
            Ask::Rows { at: at(), buckets: alloc::vec![2, 1], after: Position(0) },
        ] {
            let (bytes, _) = ask(&question(ask_for), CENTRAL.public_key(), &DEVICE);
            let refused = Asked::read(&bytes).unwrap().open(&keys, CENTRAL.public_key(), &DEVICE);
            assert_eq!(refused.unwrap_err().code, "bad_message");
        }
    }

    #[test]
    fn the_largest_question_is_within_its_limit() {
        let mut digests = Digests::default();
        digests.0.fill(Bucket { records: u32::MAX, sum: [255; 16] });
        let scope = ScopeId::new(&[7; crate::limits::SCOPE_BYTES_MAX]).unwrap();
        let cursor =
            Cursor { epoch: crate::ids::Epoch(u64::MAX), number: Position(u64::MAX), began: Position(u64::MAX) };
        let at = ScopeCursor { scope, cursor };

        let (bytes, _) = ask(&question(Ask::Compare { at, digests }), CENTRAL.public_key(), &DEVICE);

        assert!(bytes.len() <= HEADER_BYTES + Kind::VerifyQuestion.body_bytes_max() / 2 + 4096);
        assert!(Asked::read(&bytes).is_ok());
    }
}
