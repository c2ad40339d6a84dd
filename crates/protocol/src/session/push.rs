//! Packing the journal's tail into the frames of one request.

use alloc::vec::Vec;

use crate::chain::hash_of;
use crate::edge::CodecError;
use crate::frame::{self, RefusedBefore, Run};
use crate::history::History;
use crate::ids::{Hash, Sequence};
use crate::limits;
use crate::message::{self, FramePart};
use crate::section::{self, Kind};
use crate::session::{Failure, Phase, Session, Tools};

/// Plain bytes of entries that are read at once, so that memory does not grow with the backlog or with the request.
pub(super) const READ_BYTES_MAX: usize = 256 * 1024;

/// A request that is being built from several reads of the journal: frames that share a history pack better the more they are.
#[derive(Debug)]
pub(super) struct Building {
    frames: Vec<u8>,
    history: History,
    /// The last entry that is packed.
    packed: Sequence,
    /// Hash there, once the journal has told it.
    hash: Option<Hash>,
    entries: u64,
}

impl Building {
    /// A request that begins after what central has received.
    pub(super) fn after(received: Sequence, hash: Option<Hash>) -> Self {
        Self { frames: Vec::new(), history: History::default(), packed: received, hash, entries: 0 }
    }

    /// The last entry that is packed: reading goes on behind it.
    pub(super) fn packed(&self) -> Sequence {
        self.packed
    }
}

impl Session {
    /// Goes on building a request from entries that were read; sends it when it is full or nothing is left to read.
    pub(super) fn entries_read(
        &mut self,
        before: Hash,
        entries: &[(Vec<u8>, Hash)],
        refused: &[RefusedBefore],
        tools: &mut Tools<'_>,
    ) {
        let Phase::Reading(building) = &mut self.phase else { return };
        if entries.is_empty() {
            return self.fail(Failure::Rule("the journal gave no entries although its head says that it has some"));
        }
        if building.hash.is_some_and(|hash| hash != before) {
            let sequence = building.packed;
            return self.fail(Failure::Forked { sequence });
        }
        let empty = Building::after(Sequence::ZERO, None);
        let mut building = core::mem::replace(building, empty);
        building.hash = Some(before);
        match self.pack_entries(&mut building, entries, refused, tools) {
            Ok(IsFull(false)) if building.packed < self.start.head => {
                self.phase = Phase::Reading(building);
                self.read_on();
            }
            Ok(_) => self.send(&building.frames, building.entries, tools),
            Err(error) => self.fail(Failure::Codec(error.reason)),
        }
    }

    /// Packs frames within what central admitted: one at the start of a session.
    fn pack_entries(
        &mut self,
        building: &mut Building,
        mut entries: &[(Vec<u8>, Hash)],
        refused: &[RefusedBefore],
        tools: &mut Tools<'_>,
    ) -> Result<IsFull, CodecError> {
        while !entries.is_empty() {
            let (before, first) = (building.hash.unwrap_or(Hash::NONE), building.packed.next());
            let refused = within(refused, first, entries.len());
            let run = Run { journal: self.start.journal, first, before, entries, refused };
            let taken = self.pack_frame(run, &building.history, tools)?;
            if taken.sealed.len() > self.part_threshold() {
                if building.frames.is_empty() {
                    self.pack_parts(first, &taken.sealed, &mut building.frames, tools);
                    building.entries += 1;
                }
                return Ok(IsFull(true));
            }
            let room = (self.admitted_bytes as usize).saturating_sub(building.frames.len());
            if !building.frames.is_empty() && taken.sealed.len() > room {
                return Ok(IsFull(true));
            }
            building.frames.extend_from_slice(&taken.sealed);
            building.history.push(&taken.plain);
            let (sent, rest) = entries.split_at(taken.count);
            entries = rest;
            building.packed = building.packed.plus(sent.len() as u64);
            building.hash = sent.last().map(|entry| entry.1).or(building.hash);
            building.entries += sent.len() as u64;
            if self.admitted_bytes == 0 {
                return Ok(IsFull(true));
            }
        }
        Ok(IsFull(false))
    }

    /// As many entries of the run as fit the target; one at least.
    fn pack_frame(&mut self, run: Run<'_>, history: &History, tools: &mut Tools<'_>) -> Result<Taken, CodecError> {
        let mut count = 0;
        let mut plain_bytes = 0;
        for entry in run.entries.iter().take(limits::FRAME_ENTRIES_MAX) {
            plain_bytes += entry.0.len() + 4;
            let verdict = within(run.refused, run.first.plus(count as u64), 1).first();
            plain_bytes += verdict.map_or(0, RefusedBefore::plain_bytes_max);
            if count > 0 && plain_bytes > self.link.plain_bytes() {
                break;
            }
            count += 1;
        }
        loop {
            let entries = run.entries.get(..count).unwrap_or(run.entries);
            let refused = within(run.refused, run.first, count);
            let packed = frame::pack(Run { entries, refused, ..run }, history, tools.codec)?;
            let sealed = section::seal(Kind::Frame, &self.binding(Hash::NONE), &packed.body, tools.signer);
            self.link.packed(packed.plain.len(), packed.body.len());
            if count == 1 || sealed.len() <= self.part_threshold() {
                return Ok(Taken { sealed, plain: packed.plain, count });
            }
            count /= 2;
        }
    }

    /// Parts of one large frame, from where central has it.
    fn pack_parts(&mut self, first: Sequence, sealed: &[u8], request: &mut Vec<u8>, tools: &mut Tools<'_>) {
        let hash = hash_of(sealed);
        let total = u32::try_from(sealed.len()).expect("sections are below 4 GiB");
        let mut offset = match self.frame_part {
            Some(part) if part.hash == hash && part.received < total => part.received as usize,
            _ => 0,
        };
        while let Some(rest) = sealed.get(offset..).filter(|rest| !rest.is_empty()) {
            let length = rest.len().min(self.link.target_bytes() as usize);
            let part = FramePart {
                journal: self.start.journal,
                first,
                hash,
                offset: u32::try_from(offset).expect("below the total"),
                total,
                bytes: rest.get(..length).unwrap_or(rest).to_vec(),
            };
            let body = message::encode(&part);
            let section = section::seal(Kind::FramePart, &self.binding(Hash::NONE), &body, tools.signer);
            if !request.is_empty() && request.len() + section.len() > self.admitted_bytes as usize {
                break;
            }
            request.extend_from_slice(&section);
            offset += length;
            if self.admitted_bytes == 0 {
                break;
            }
        }
    }

    /// A sealed frame above this size travels in parts; a file carries any.
    fn part_threshold(&self) -> usize {
        if self.is_carried { limits::SEALED_FRAME_BYTES_MAX } else { 2 * self.link.target_bytes() as usize }
    }
}

/// Those of `count` entries from `first` on.
fn within(refused: &[RefusedBefore], first: Sequence, count: usize) -> &[RefusedBefore] {
    let begin = refused.partition_point(|refused| refused.sequence < first);
    let end = refused.partition_point(|refused| refused.sequence < first.plus(count as u64));
    refused.get(begin..end).unwrap_or_default()
}

/// Whether a request takes no more.
struct IsFull(bool);

struct Taken {
    sealed: Vec<u8>,
    plain: Vec<u8>,
    count: usize,
}
