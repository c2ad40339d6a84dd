//! Requests that no agent of ours sends: forged frames, signatures and journals. Central refuses each by name and nothing of
//! the site changes (invariants 3, 7 and 11).

use std::ops::ControlFlow;

use codec::Ed25519Signer;
use protocol::edge::Signer;
use protocol::frame::{self, Run};
use protocol::history::History;
use protocol::ids::{ControlNumber, CredentialGeneration, Hash, JournalId, Sequence};
use protocol::message::{self, RequestHead};
use protocol::section::{self, Binding, Kind};

use crate::centre::Said;
use crate::mix::Fault;
use crate::model::{Violation, violation};
use crate::world::World;

/// Kinds of forgery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forgery {
    /// The head is signed with another key.
    WrongKey,
    /// A journal that the site was never enrolled with.
    UnknownJournal,
    /// The last received entry, with other bytes.
    ForkAtHead,
    /// An earlier entry, with other bytes.
    ForkBelow,
    /// Entries that leave a gap.
    Gap,
    /// A frame signed with another key.
    ForeignFrame,
}

const FORGERIES: [Forgery; 6] = [
    Forgery::WrongKey,
    Forgery::UnknownJournal,
    Forgery::ForkAtHead,
    Forgery::ForkBelow,
    Forgery::Gap,
    Forgery::ForeignFrame,
];

impl World {
    /// Somebody with a copy of the device's key, or with another one, sends a request while central has nothing else to do.
    pub(crate) fn forge_request(&mut self, index: usize) -> Result<(), Violation> {
        let Some(live) = &self.centre.live else { return Ok(()) };
        let is_busy = !live.connections().is_empty() || self.centre.has_jobs();
        if is_busy || self.is_centre_excused || self.centre.disk.is_off() {
            return Ok(());
        }
        let forgery = *self.random.pick(&FORGERIES);
        let Some((request, expected)) = self.forged(index, forgery)? else { return Ok(()) };
        self.note(format_args!("somebody forges a request of device {index}: {forgery:?}"));
        let before = self.counts_at_central()?;
        self.last_connection += 1;
        let connection = self.last_connection;
        let mut said = self.centre.feed(connection, Some(request), self.now_ms, &mut self.codec, &mut self.random);
        said.extend(self.centre.feed(connection, None, self.now_ms, &mut self.codec, &mut self.random));
        while self.centre.has_jobs() {
            let wall_ms = self.wall_ms(self.centre.clock_off_ms);
            let (more, is_committed) = self.centre.commit(self.now_ms, wall_ms, &mut self.codec, &mut self.random);
            said.extend(more);
            if self.centre.disk.is_off() {
                self.crash_centre();
                return Ok(());
            }
            if !is_committed {
                return self.central_failed("commit", "the commit failed");
            }
        }
        let code = said.iter().find_map(|said| match said {
            Said::Refused(_, refusal, _) => Some(refusal.code.as_str()),
            Said::Bytes(..) | Said::End(_) | Said::Failed(_) => None,
        });
        let site = self.devices[index].site;
        // That of a site that does not sync for now is not looked at.
        let is_resting = code.is_some_and(|code| self.is_told_to_rest(site, code));
        if code != Some(expected) && !is_resting {
            return violation("11", format!("central answers {forgery:?} with {code:?} and not with {expected}"));
        }
        let after = self.counts_at_central()?;
        if before != after {
            return violation("7", format!("{forgery:?} changed central from {before:?} to {after:?}"));
        }
        Ok(())
    }

    /// How far each journal is received at central.
    pub(crate) fn counts_at_central(&mut self) -> Result<Vec<(JournalId, u64, Vec<u8>)>, Violation> {
        let journals = self.inspector.journals();
        let journals = journals.or_else(|error| violation("3", format!("central's store cannot be read: {error}")))?;
        Ok(journals.into_iter().map(|journal| (journal.id, journal.received, journal.received_hash)).collect())
    }

    /// The request and the code that central has to give; `None` if the device's state has no place for it.
    fn forged(&mut self, index: usize, forgery: Forgery) -> Result<Option<(Vec<u8>, &'static str)>, Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(None) };
        let Some(live) = device.live.as_ref().filter(|_| !device.is_off()) else { return Ok(None) };
        let (site, signer) = (device.site, Ed25519Signer::from_seed(&device.identity.seed));
        let stranger = Ed25519Signer::from_seed(&self.random.bytes());
        let mut entries = Vec::new();
        let (journal, floor, durable, cursors, control) = {
            let mut core = live.recorder.core();
            let (id, floor, durable) = (core.shared.identity().journal, core.shared.floor(), core.shared.durable());
            device.shared.hold_faults(true);
            let read = core.shared.read(floor, &mut |stored| {
                entries.push((stored.entry, stored.hash_before, stored.hash));
                ControlFlow::Continue(())
            });
            device.shared.hold_faults(false);
            if read.is_err() {
                // Damaged, or its disk is full where a segment has to be rebuilt.
                return Ok(None);
            }
            let state = core.local.session_state();
            let state = state.or_else(|error| violation("6", format!("device {index}: {error}")))?;
            (id, floor.0, durable, state.cursors, state.control)
        };
        let model = self.model.device(index);
        let received = model.log().committed;
        if model.logs.len() > 1 && received == 0 {
            // Central may not have heard of a journal that follows a damaged one.
            return Ok(None);
        }
        let head = RequestHead {
            version: message::VERSION,
            site,
            token: device.identity.token,
            journal,
            predecessor: None,
            head: durable.sequence,
            head_hash: durable.hash,
            generation: CredentialGeneration(1),
            control: ControlNumber(control.0),
            cursors,
            heard: None,
            claims: protocol::control::Claims::default(),
            page_bytes: 4096,
            reply_bytes: 4096,
            counts_rows: false,
            page_part: None,
            recorded: Sequence::ZERO,
            further: Vec::new(),
            salt: [0; 8],
            answer: None,
        };
        let binding = Binding { central: self.centre.signer().public_key(), site, context: Hash::NONE };
        let at = |sequence: u64| entries.get(usize::try_from(sequence.checked_sub(floor + 1)?).ok()?);
        let altered = |sequence: u64| {
            let (bytes, before, _) = at(sequence)?;
            let mut bytes = bytes.clone();
            *bytes.last_mut()? ^= 1;
            let hash = protocol::chain::extend(*before, &bytes);
            Some((Sequence(sequence), *before, vec![(bytes, hash)]))
        };
        let genuine = |sequence: u64| {
            let (bytes, before, hash) = at(sequence)?;
            Some((Sequence(sequence), *before, vec![(bytes.clone(), *hash)]))
        };
        let (head, head_signer, run, frame_signer, code) = match forgery {
            Forgery::WrongKey => (head, &stranger, None, &signer, "not_enrolled"),
            // A central that was set back may have forgotten the journal: it takes the word of whoever has the key and the token.
            Forgery::UnknownJournal if self.mix.has(Fault::CentralSetBack) => return Ok(None),
            Forgery::UnknownJournal => {
                let head = RequestHead { journal: JournalId(self.random.bytes()), ..head };
                (head, &signer, None, &signer, "unknown_journal")
            }
            Forgery::ForkAtHead => (head, &signer, altered(received), &signer, "fork"),
            Forgery::ForkBelow => (head, &signer, altered(received.saturating_sub(1)), &signer, "fork"),
            Forgery::Gap => (head, &signer, genuine(received + 2), &signer, "gap"),
            Forgery::ForeignFrame => (head, &signer, genuine(received.max(1)), &stranger, "bad_frame"),
        };
        let needs_frame = !matches!(forgery, Forgery::WrongKey | Forgery::UnknownJournal);
        if needs_frame && run.is_none() {
            return Ok(None);
        }
        let mut request = section::seal(Kind::RequestHead, &binding, &message::encode(&head), head_signer);
        if let Some((first, before, entries)) = run {
            let run = Run { journal, first, before, entries: &entries, refused: &[] };
            let Ok(packed) = frame::pack(run, &History::default(), &mut self.codec) else { return Ok(None) };
            request.extend(section::seal(Kind::Frame, &binding, &packed.body, frame_signer));
        }
        Ok(Some((request, code)))
    }
}
