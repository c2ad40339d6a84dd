//! After each commit of central, and when it starts (invariants 2, 3 and 6).

use protocol::ids::Position;

use crate::model::{Version, Violation, violation};
use crate::world::World;

impl World {
    /// Invariants 2, 3 and 6 after each commit of central.
    pub(crate) fn after_commit(&mut self) -> Result<(), Violation> {
        if self.centre.live.is_none() || self.centre.disk.is_off() {
            return Ok(());
        }
        self.check_central(false)
    }

    /// The same when central starts: nothing that was committed is gone.
    pub(crate) fn check_centre_opened(&mut self) -> Result<(), Violation> {
        self.inspector.close();
        self.check_central(true)
    }

    fn check_central(&mut self, is_start: bool) -> Result<(), Violation> {
        let excused = self.is_centre_excused;
        let journals = match self.inspector.journals() {
            Ok(journals) => journals,
            Err(_) if excused => {
                self.inspector.close();
                return Ok(());
            }
            Err(error) => return violation("3", format!("central's store cannot be read: {error}")),
        };
        for journal in journals.iter().filter(|journal| journal.site.0 > 1) {
            let Some(model) = self.model.sites.get_mut(&journal.site) else { continue };
            let Some((_, log)) = model.log_of(journal.id) else {
                // An enrolment that was written and never answered.
                if self.devices.iter().any(|device| device.identity.journal == journal.id) {
                    continue;
                }
                return violation("3", format!("central has a journal {} that no device has", journal.id));
            };
            if journal.received < log.committed {
                let (received, committed) = (journal.received, log.committed);
                return violation("3", format!("central has {received} entries of {}, it had {committed}", journal.id));
            }
            let refused = self.inspector.refused(journal.number);
            log.refused
                .extend(refused.or_else(|error| violation("3", format!("central's log cannot be read: {error}")))?);
            log.judged = journal.judged;
            if journal.received == log.committed {
                continue;
            }
            let from = if is_start { journal.floor } else { log.committed.max(journal.floor) };
            let entries = self.inspector.entries(journal.number, from);
            let entries = entries.or_else(|error| violation("3", format!("central's log cannot be read: {error}")))?;
            let mut next = from + 1;
            for entry in entries.iter().filter(|entry| entry.sequence <= journal.received) {
                if entry.sequence != next {
                    return violation("3", format!("central has entry {} after {}", entry.sequence, next - 1));
                }
                next += 1;
                if log.entry(entry.sequence).map(|known| known.hash) != Some(entry.hash) {
                    let what = format!("central has an entry {} of {} that no device has", entry.sequence, journal.id);
                    return violation("3", what);
                }
            }
            if next != journal.received + 1 && journal.floor < journal.received {
                return violation("3", format!("central says {} and its log ends at {}", journal.received, next - 1));
            }
            log.committed = journal.received;
        }
        self.note_versions()
    }

    fn note_versions(&mut self) -> Result<(), Violation> {
        let failed = |error: sql::SqlError| violation("3", format!("central's records cannot be read: {error}"));
        let position = self.inspector.position().or_else(failed)?;
        if position < self.model.position {
            return violation("3", format!("central's head went from {} to {position}", self.model.position));
        }
        if position == self.model.position {
            return Ok(());
        }
        for record in
            self.inspector.records(self.model.position).or_else(|error| failed(error).map(|_: u64| Vec::new()))?
        {
            let key = (record.table, record.id);
            let version = Version { position: Position(record.position), data: record.data };
            self.model.versions.entry(key).or_default().push(version);
        }
        self.model.position = position;
        Ok(())
    }
}
