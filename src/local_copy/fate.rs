//! What became of an edit of the journal in use.

use protocol::ids::Sequence;
use sql::{Param, SqlExt};

use super::{LocalCopy, LocalCopyError};

/// How far an edit is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Not received by central.
    Unsent,
    /// Received, not judged.
    Received,
    /// Received; it waits at central for a header.
    Waiting,
    /// Accepted.
    Accepted,
    /// Judged, and what the verdict was is not known here: it was told to a local copy that is lost, or is so old that it is forgotten.
    Judged,
    /// Refused.
    Refused {
        /// Its number in set-aside, if it is there still.
        number: Option<u64>,
        /// Central's code.
        code: String,
        /// Central's words.
        reason: String,
    },
}

impl LocalCopy {
    /// What became of an entry of the shared journal in use, which reaches up to it. `floor` is the last that the journal let go of.
    ///
    /// # Errors
    /// Those of a read.
    pub fn fate(&mut self, sequence: Sequence, floor: Sequence) -> Result<Fate, LocalCopyError> {
        let place = [Param::unsigned(self.journal_number)?, Param::unsigned(sequence.0)?];
        let refusal = "SELECT set_aside.number, refusal.code, refusal.reason FROM refusal
            JOIN journal ON journal.journal_id = refusal.journal_id
            LEFT JOIN set_aside ON set_aside.journal_id = refusal.journal_id AND set_aside.sequence = refusal.sequence
            WHERE journal.number = ?1 AND refusal.sequence = ?2";
        let refused = self.sql.query_one(refusal, &place, |row| {
            let (number, code, reason) = (row.optional_unsigned(0)?, row.text(1)?.to_owned(), row.text(2)?.to_owned());
            Ok(Fate::Refused { number, code, reason })
        })?;
        if let Some(refused) = refused {
            return Ok(refused);
        }
        let pending = "SELECT is_waiting FROM pending WHERE journal = ?1 AND sequence = ?2";
        let is_unheard = self.is_unheard(sequence)?;
        Ok(match self.sql.query_integer(pending, &place)? {
            Some(0) if sequence.0 <= self.progress.received => Fate::Received,
            Some(0) => Fate::Unsent,
            Some(_) => Fate::Waiting,
            None if sequence <= floor || is_unheard => Fate::Judged,
            None => Fate::Accepted,
        })
    }
}
