//! Packing the journal's tail into the frames of one request.

use alloc::vec::Vec;

use crate::chain::hash_of;
use crate::edge::CodecError;
use crate::frame::{self, Run};
use crate::history::History;
use crate::ids::{Hash, Sequence};
use crate::limits;
use crate::message::{self, FramePart};
use crate::section::{self, Kind};
use crate::session::{Failure, Session, Tools};

/// Plain bytes of entries that are read for one request, so that memory does not grow with the backlog.
pub(super) const READ_BYTES_MAX: usize = 1024 * 1024;

impl Session {
    /// Builds a request from entries that were read.
    pub(super) fn entries_read(&mut self, before: Hash, entries: &[(Vec<u8>, Hash)], tools: &mut Tools<'_>) {
        if entries.is_empty() {
            return self.fail(Failure::Rule("the journal gave no entries although its head says that it has some"));
        }
        if self.received_hash.is_some_and(|hash| hash != before) {
            return self.fail(Failure::Forked { sequence: self.received });
        }
        match self.pack_request(before, entries, tools) {
            Ok((frames, count)) => self.send(&frames, count, tools),
            Err(error) => self.fail(Failure::Codec(error.reason)),
        }
    }

    /// Frames within what central admitted: one at the start of a session.
    fn pack_request(
        &mut self,
        before: Hash,
        mut entries: &[(Vec<u8>, Hash)],
        tools: &mut Tools<'_>,
    ) -> Result<(Vec<u8>, u64), CodecError> {
        let (mut first, mut before) = (self.received.next(), before);
        let mut history = History::default();
        let mut request = Vec::new();
        let mut count = 0;
        while !entries.is_empty() {
            let taken = self.pack_frame(first, before, entries, &history, tools)?;
            if taken.sealed.len() > self.part_threshold() {
                if request.is_empty() {
                    self.pack_parts(first, &taken.sealed, &mut request, tools);
                    count += 1;
                }
                break;
            }
            if !request.is_empty() && request.len() + taken.sealed.len() > self.admitted_bytes as usize {
                break;
            }
            request.extend_from_slice(&taken.sealed);
            history.push(&taken.plain);
            let (sent, rest) = entries.split_at(taken.count);
            (entries, first) = (rest, first.plus(sent.len() as u64));
            before = sent.last().map_or(before, |entry| entry.1);
            count += sent.len() as u64;
            if self.admitted_bytes == 0 {
                break;
            }
        }
        Ok((request, count))
    }

    /// As many entries as fit the target; one at least.
    fn pack_frame(
        &mut self,
        first: Sequence,
        before: Hash,
        entries: &[(Vec<u8>, Hash)],
        history: &History,
        tools: &mut Tools<'_>,
    ) -> Result<Taken, CodecError> {
        let mut count = 0;
        let mut plain_bytes = 0;
        for entry in entries.iter().take(limits::FRAME_ENTRIES_MAX) {
            plain_bytes += entry.0.len() + 4;
            if count > 0 && plain_bytes > self.link.plain_bytes() {
                break;
            }
            count += 1;
        }
        loop {
            let run_entries = entries.get(..count).unwrap_or(entries);
            let run = Run { journal: self.start.journal, first, before, entries: run_entries };
            let packed = frame::pack(run, history, tools.codec)?;
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

    /// A sealed frame above this size travels in parts.
    fn part_threshold(&self) -> usize {
        2 * self.link.target_bytes() as usize
    }
}

struct Taken {
    sealed: Vec<u8>,
    plain: Vec<u8>,
    count: usize,
}
