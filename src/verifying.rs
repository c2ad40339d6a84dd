//! Compares what this site has with what it should have, scope by scope, and mends what differs (`protocol::verify`).
//!
//! Holds no lock while it waits for the network. To be run when a session has drained everything: what is on its way either way is left
//! alone.

use std::collections::BTreeSet;

use domain::catalogue::Catalogue;
use protocol::check;
use protocol::edge::{Codec, Signer};
use protocol::ids::{Position, Token};
use protocol::message::{RequestHead, ScopeCursor};
use protocol::section::Binding;
use protocol::verify::{self, Answer, Ask, Differing, Digests, Outcome, Question, RecordHash, RowsFound};

use crate::error::AgentError;
use crate::exit::Exit;
use crate::journal::storage::Storage;
use crate::recorder::{Mended, Recorder};
use crate::refusals;
use crate::sync_runner::Parties;

/// Records of differing buckets that are compared at once, about: of each, 16 bytes are kept meanwhile. At least one bucket is.
pub const RECORDS_AT_ONCE_MAX: u64 = 16_384;

/// A way to central for questions. Implemented by the transport, and by the simulator.
pub trait Asker {
    /// Asks, and gives the answer that central has signed.
    ///
    /// # Errors
    /// If there is none.
    fn ask(&mut self, question: &[u8], binding: &Binding) -> Result<Answer, AgentError>;
}

/// Everything that a comparison needs but the way to central.
pub struct Comparison<'a, S: Storage> {
    /// The journals and the local copy.
    pub recorder: &'a Recorder<S>,
    /// The tables.
    pub catalogue: &'a Catalogue,
    /// Unpacks.
    pub codec: &'a mut dyn Codec,
    /// This device's key.
    pub signer: &'a dyn Signer,
    /// Who speaks to whom.
    pub parties: Parties,
    /// The token that an exchange would show; it is not used up.
    pub token: Token,
    /// Fresh and random for each question.
    pub salt: &'a mut dyn FnMut() -> [u8; 8],
    /// How far what the site has come to see is read; filled by [`Comparison::run`].
    pub gained: Option<ScopeCursor>,
}

impl<S: Storage> Comparison<'_, S> {
    /// Compares every scope that is in order once, and mends. `progress` hears of each part, and says whether to go on.
    ///
    /// # Errors
    /// `reading_anew` while scopes are being read from their beginning; `stopping`; those of the way, of central, of the journal and of
    /// the local copy. What was mended by then is mended; the same again goes on.
    pub fn run(
        &mut self,
        asker: &mut dyn Asker,
        progress: &mut dyn FnMut(&Outcome) -> bool,
    ) -> Result<Outcome, AgentError> {
        let scopes = {
            let mut core = self.recorder.core();
            if core.local.is_rebuilding()? {
                return Err(reading_anew());
            }
            self.gained = core.local.gained()?;
            core.local.scopes_to_verify()?
        };
        let mut outcome = Outcome::default();
        for at in scopes {
            outcome.scopes += 1;
            self.compare(&at, asker, &mut outcome, progress)?;
        }
        outcome.is_whole = outcome.sent_again + outcome.pulled + outcome.let_go + outcome.left_alone == 0;
        Ok(outcome)
    }

    /// Tells central what was found in all.
    ///
    /// # Errors
    /// Those of the way and of central.
    pub fn report(&mut self, asker: &mut dyn Asker, outcome: Outcome) -> Result<(), AgentError> {
        match self.ask(asker, Ask::Done(outcome))? {
            Answer::Noted => Ok(()),
            _ => Err(unexpected()),
        }
    }

    fn compare(
        &mut self,
        at: &ScopeCursor,
        asker: &mut dyn Asker,
        total: &mut Outcome,
        progress: &mut dyn FnMut(&Outcome) -> bool,
    ) -> Result<(), AgentError> {
        let digests = self.digests(at)?;
        total.records += digests.records();
        let ask = Ask::Compare { at: at.clone(), digests: digests.clone() };
        let Answer::Differing(differing) = self.ask(asker, ask)? else { return Err(unexpected()) };
        total.differing += differing.len() as u64;
        go_on(progress, total)?;
        for buckets in in_parts(&differing, &digests) {
            self.mend(at, &buckets, asker, total, progress)?;
        }
        Ok(())
    }

    fn digests(&self, at: &ScopeCursor) -> Result<Digests, AgentError> {
        let (mut digests, mut after) = (Digests::default(), None);
        loop {
            // The lock is given back between the steps, so that edits go on.
            after = self.recorder.core().local.add_digests(&at.scope, after.as_ref(), &mut digests)?;
            if after.is_none() {
                return Ok(digests);
            }
        }
    }

    /// Fetches the records of some buckets, and mends what differs.
    fn mend(
        &mut self,
        at: &ScopeCursor,
        buckets: &BTreeSet<u8>,
        asker: &mut dyn Asker,
        total: &mut Outcome,
        progress: &mut dyn FnMut(&Outcome) -> bool,
    ) -> Result<(), AgentError> {
        let mut named = BTreeSet::new();
        let mut after = Position::ZERO;
        loop {
            let ask = Ask::Rows { at: at.clone(), buckets: buckets.iter().copied().collect(), after };
            let Answer::Rows(packed) = self.ask(asker, ask)? else { return Err(unexpected()) };
            let found = RowsFound::unpack(&packed, self.codec).map_err(|error| bad_answer(&error.to_string()))?;
            total.left_alone += found.left_alone.len() as u64;
            let keys = found.rows.iter().map(|row| (&row.table, &row.record));
            let keys = keys.chain(found.left_alone.iter().map(|(table, id)| (table, id)));
            named.extend(keys.map(|(table, id)| RecordHash::of(&self.catalogue.table_name(table), id.as_str())));
            add(total, self.recorder.verify_rows(&at.scope, &found.rows)?);
            go_on(progress, total)?;
            match found.through {
                Some(through) if through > after => after = through,
                Some(_) => return Err(bad_answer("it does not go on")),
                None => break,
            }
        }
        let is_extra = |record: RecordHash| buckets.contains(&record.bucket()) && !named.contains(&record);
        let mut after = None;
        loop {
            let (mended, last) = self.recorder.verify_members(&at.scope, after.as_ref(), &is_extra)?;
            add(total, mended);
            after = last;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    fn ask(&mut self, asker: &mut dyn Asker, ask: Ask) -> Result<Answer, AgentError> {
        let core = self.recorder.core();
        let (journal, control) = (core.shared.identity().journal, core.local.control());
        drop(core);
        let head = check::head(self.parties.site, journal, self.parties.generation, (self.salt)());
        let cursors = self.gained.iter().cloned().collect();
        let question = Question { head: RequestHead { token: self.token, control, cursors, ..head }, ask };
        let (bytes, binding) = verify::ask(&question, self.parties.central, self.signer);
        match asker.ask(&bytes, &binding)? {
            Answer::Refused(refusal) => {
                let advice = refusals::what_to_do(&refusal.code).unwrap_or("Sync, then verify again.");
                Err(AgentError::new(&refusal.code, refusal.message.clone(), advice, Exit::Refused))
            }
            answer => Ok(answer),
        }
    }
}

fn add(outcome: &mut Outcome, mended: Mended) {
    outcome.sent_again += mended.sent_again;
    outcome.pulled += mended.pulled;
    outcome.set_aside += mended.set_aside;
    outcome.let_go += mended.let_go;
    outcome.left_alone += mended.left_alone;
}

/// Differing buckets, as many at once as have few enough records on either side.
fn in_parts(differing: &[Differing], here: &Digests) -> Vec<BTreeSet<u8>> {
    let (mut parts, mut part, mut records) = (Vec::new(), BTreeSet::new(), 0);
    for each in differing {
        let more = u64::from(each.records.max(here.bucket(each.bucket).records));
        if records + more > RECORDS_AT_ONCE_MAX && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            records = 0;
        }
        part.insert(each.bucket);
        records += more;
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

fn go_on(progress: &mut dyn FnMut(&Outcome) -> bool, outcome: &Outcome) -> Result<(), AgentError> {
    if progress(outcome) {
        return Ok(());
    }
    Err(AgentError::new(
        "stopping",
        "the agent is stopping; what was mended is mended",
        "Verify again when it is back.",
        Exit::Busy,
    ))
}

fn reading_anew() -> AgentError {
    AgentError::new(
        "reading_anew",
        "this site is reading records from their beginning, which mends more than a comparison could",
        "Sync until everything was read, then verify again.",
        Exit::Busy,
    )
}

fn unexpected() -> AgentError {
    bad_answer("it answers another question")
}

fn bad_answer(what: &str) -> AgentError {
    AgentError::new(
        "bad_answer",
        format!("central's answer to a comparison cannot be used: {what}"),
        "Verify again; if that does not help, central and the agent are of versions that do not understand each other.",
        Exit::Failed,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_compared_in_parts_that_have_few_enough_records_and_one_at_least() {
        let differing = |bucket, records| Differing { bucket, records };
        let half = u32::try_from(RECORDS_AT_ONCE_MAX / 2).unwrap();
        let all = [differing(1, half), differing(2, half), differing(3, half), differing(4, 4 * half), differing(5, 0)];

        let parts = in_parts(&all, &Digests::default());

        assert_eq!(parts, [BTreeSet::from([1, 2]), BTreeSet::from([3]), BTreeSet::from([4]), BTreeSet::from([5])]);
        assert!(in_parts(&[], &Digests::default()).is_empty());
    }
}
