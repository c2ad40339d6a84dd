//! What this site owes in answer to records that came (rule 5.14): noted in the page's transaction, and kept until the answer is in the
//! journal. Whether it is owed still is found from the records, so that doing it again after a crash does nothing twice.

use std::ops::ControlFlow;

use domain::proposal::{MESSAGE_TABLE, asked_store};
use protocol::ids::RecordId;

use super::images::{Image, Key};
use super::{LocalCopy, LocalCopyError};

/// `owed.kind` of a proposal that waits for an answer.
const PROPOSAL: &str = "proposal";

/// Answers that are looked for at once.
const OWED_READ_MAX: u32 = 100;

/// An answer that is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Its number, in the order in which what it answers came.
    pub number: i64,
    /// The message that proposes an edit.
    pub message: RecordId,
}

impl LocalCopy {
    /// Within a page's transaction: what this site owes in answer to an image that came.
    pub(super) fn note_owed(&mut self, key: &Key, image: &Image) -> Result<(), LocalCopyError> {
        let row = image.row.as_ref().filter(|_| key.table.name() == MESSAGE_TABLE);
        if row.is_none_or(|row| asked_store(&key.table, row).is_none()) {
            return Ok(());
        }
        self.sql.execute(
            "INSERT INTO owed (number, kind, table_name, id)
             SELECT coalesce(max(number), 0) + 1, ?1, ?2, ?3 FROM owed WHERE 1 = 1
             ON CONFLICT (kind, table_name, id) DO NOTHING",
            &[PROPOSAL.into(), key.table.name().into(), key.id.as_str().into()],
        )?;
        Ok(())
    }

    /// The next answers that are owed, behind a number. None while records are read anew: what is here may be what central has lost.
    ///
    /// # Errors
    /// Those of a read.
    pub fn next_owed(&mut self, after: i64) -> Result<Vec<Owed>, LocalCopyError> {
        if self.is_rebuilding()? {
            return Ok(Vec::new());
        }
        let mut owed = Vec::new();
        self.sql.query(
            "SELECT number, id FROM owed WHERE number > ?1 AND kind = ?2 ORDER BY number LIMIT ?3",
            &[after.into(), PROPOSAL.into(), OWED_READ_MAX.into()],
            &mut |row| {
                owed.push((row.integer(0)?, row.text(1)?.to_owned()));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        let read = |(number, id): (i64, String)| {
            Ok(Owed { number, message: RecordId::new(&id).map_err(LocalCopyError::damaged)? })
        };
        owed.into_iter().map(read).collect()
    }

    /// Within the transaction of edits: one is owed no more.
    ///
    /// # Errors
    /// Those of a write.
    pub fn end_owed(&mut self, number: i64) -> Result<(), LocalCopyError> {
        self.sql.execute("DELETE FROM owed WHERE number = ?1", &[number.into()])?;
        Ok(())
    }
}
