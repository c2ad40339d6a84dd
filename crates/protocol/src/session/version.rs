//! A session with a central that does not understand this program's version, because one of the two is older: it sends its edits,
//! receives nothing, and says what to update (`docs/sync-protocol.md`, "Versions that do not meet").

use alloc::boxed::Box;

use crate::session::{Failure, Phase, Said, Session, Tools};
use crate::versions::{Receipt, Versions};

impl Session {
    /// Central has received this much all the same: stored first, as the receipt of any reply.
    pub(super) fn open_receipt(&mut self, understood: Versions, receipt: Box<Receipt>) -> Result<(), Failure> {
        if understood.contains(self.dialect.versions.max) {
            return Err(Failure::Rule("central does not understand a version that it names as one of its own"));
        }
        self.compare(Said::Refusal(understood, receipt))
    }

    /// The receipt is durable: its token may be shown.
    pub(super) fn receipt_stored(&mut self, receipt: &Receipt) {
        self.token = receipt.token;
        self.summary.entries_received += receipt.received.0.saturating_sub(self.received.0);
        self.received = receipt.received;
        self.received_hash = Some(receipt.received_hash);
        self.admitted_bytes = receipt.admitted_bytes;
        self.frame_part = receipt.frame_part;
    }

    /// The refusal is over: pushes on until central has everything, then says why nothing came.
    pub(super) fn refusal_ended(&mut self, understood: Versions, tools: &mut Tools<'_>) {
        let Phase::Exchanging(exchange) = &self.phase else { return };
        if exchange.storing.is_some() || exchange.reader.holds_rest() {
            return self.fail(Failure::Cut("the refusal ended early".into()));
        }
        let progress = exchange.progress;
        self.link.went_through();
        if self.received < self.start.head {
            return if self.is_carried { self.finish(None, true) } else { self.go_on(progress, tools) };
        }
        let (spoken, entries) = (self.dialect.versions.max, self.summary.entries_received);
        self.fail(Failure::VersionsApart { spoken, understood, entries });
    }
}
