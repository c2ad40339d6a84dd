//! How far central says to have received the journal: compared with it before it is stored, whatever said so.

use alloc::boxed::Box;

use crate::ids::{Hash, Sequence};
use crate::message::{FramePartState, ReplyHead};
use crate::session::{Failure, Output, Phase, Session, Storing};
use crate::versions::{Receipt, Versions};

/// What carries a receipt.
pub(super) enum Said {
    Reply(Box<ReplyHead>),
    /// A refusal, with the versions that central understands.
    Refusal(Versions, Box<Receipt>),
}

impl Said {
    fn received(&self) -> (Sequence, Hash) {
        match self {
            Self::Reply(reply) => (reply.received, reply.received_hash),
            Self::Refusal(_, receipt) => (receipt.received, receipt.received_hash),
        }
    }
}

impl Session {
    /// That central does not have more of the journal than there is, or another one up to its head.
    pub(super) fn check_head(&self, received: Sequence, hash: Hash) -> Result<(), Failure> {
        let (head, head_hash) = self.durable;
        if received > head {
            return Err(Failure::DeviceSetBack { received, head });
        }
        if received == head && hash != head_hash {
            return Err(Failure::Forked { sequence: received });
        }
        Ok(())
    }

    /// Stores what was said, once the journal has the same hash there.
    pub(super) fn compare(&mut self, said: Said) -> Result<(), Failure> {
        let (received, hash) = said.received();
        self.check_head(received, hash)?;
        if received > self.received && received < self.durable.0 {
            let Phase::Exchanging(exchange) = &mut self.phase else { return Ok(()) };
            self.outputs.push_back(Output::ReadHash { sequence: received });
            exchange.storing = Some(Storing::Compared(said));
            return Ok(());
        }
        self.store(said);
        Ok(())
    }

    /// The journal's own hash where central says to have received it.
    pub(super) fn hash_read(&mut self, hash: Option<Hash>) {
        let Phase::Exchanging(exchange) = &mut self.phase else { return };
        let Some(Storing::Compared(said)) = exchange.storing.take() else {
            panic!("`HashRead` answers nothing that was asked for");
        };
        let (sequence, said_hash) = said.received();
        if hash.is_some_and(|hash| hash != said_hash) {
            return self.fail(Failure::Forked { sequence });
        }
        self.store(said);
    }

    fn store(&mut self, said: Said) {
        match said {
            Said::Reply(reply) => {
                self.note_progress(reply.received, reply.frame_part, !reply.control.is_empty());
                let Phase::Exchanging(exchange) = &mut self.phase else { return };
                exchange.reply = Some((*reply).clone());
                exchange.storing = Some(Storing::Reply);
                self.outputs.push_back(Output::StoreReply(reply));
            }
            Said::Refusal(understood, receipt) => {
                self.note_progress(receipt.received, receipt.frame_part, false);
                let Phase::Exchanging(exchange) = &mut self.phase else { return };
                exchange.apart = Some(understood);
                exchange.storing = Some(Storing::Receipt(receipt.clone()));
                self.outputs.push_back(Output::StoreReceipt(receipt));
            }
        }
    }

    /// Whether what central has went forwards or backwards.
    fn note_progress(&mut self, received: Sequence, part: Option<FramePartState>, is_told: bool) {
        let Phase::Exchanging(exchange) = &mut self.phase else { return };
        let has_lost_part = match (self.frame_part, part) {
            (Some(known), Some(now)) => now.hash != known.hash || now.received < known.received,
            (Some(_), None) => true,
            (None, _) => false,
        };
        exchange.progress |= received > self.received || is_told || (!has_lost_part && self.frame_part != part);
        if received < self.received || (received == self.received && has_lost_part) {
            self.setbacks += 1;
        }
    }
}
