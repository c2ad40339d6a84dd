//! Opening what central replies: its head, then pages.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::chain::hash_of;
use crate::control::{Control, Dropped, ReadAnew};
use crate::history::History;
use crate::ids::{ControlNumber, Hash, ScopeId};
use crate::limits;
use crate::message::{self, Cursor, PagePartState, Refusal, ReplyHead};
use crate::page::{self, PageHeader, PageRow};
use crate::section::{Kind, Sealed};
use crate::session::{Again, Failure, Output, Phase, Said, Session, Storing, Tools};
use crate::versions::VERSION_CODE;

/// Code of a refusal of edits behind others that central does not have.
const GAP: &str = "gap";

/// What this device would have to show in its next request, and central could not take.
const TOO_LARGE: &str = "a number is above limits::NUMBER_MAX";

/// Rows of one scope and the cursor that they move it to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The scope.
    pub scope: ScopeId,
    /// The cursor once the rows are stored.
    pub cursor: Cursor,
    /// Whether the scope holds nothing more.
    pub is_drained: bool,
    /// The rows, parents before their children.
    pub rows: Vec<PageRow>,
}

/// A slice of a packed page. Parts of another hash that are kept are of no use any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartToStore {
    /// Scope of the page.
    pub scope: ScopeId,
    /// Hash of the packed whole.
    pub hash: Hash,
    /// Where the slice begins: where what is kept of this scope and hash ends, or 0, which begins anew whatever is kept.
    pub offset: u32,
    /// Length of the whole.
    pub total: u32,
    /// The slice.
    pub bytes: Vec<u8>,
}

impl Session {
    /// Opens sections until bytes are missing, something must be stored first, or the session fails.
    pub(super) fn open_sections(&mut self, tools: &mut Tools<'_>) {
        loop {
            let Phase::Exchanging(exchange) = &mut self.phase else { return };
            if exchange.storing.is_some() {
                return;
            }
            let opened = match exchange.reader.next_section() {
                Ok(None) => return,
                Ok(Some(sealed)) => self.open_section(&sealed, tools),
                Err(error) => Err(Failure::NotCentral(error)),
            };
            if let Err(failure) = opened {
                return self.fail(failure);
            }
        }
    }

    fn open_section(&mut self, sealed: &Sealed, tools: &mut Tools<'_>) -> Result<(), Failure> {
        let Phase::Exchanging(exchange) = &self.phase else { return Ok(()) };
        let binding = self.binding(exchange.request);
        let body = sealed.open(&binding, &self.start.central, tools.verifier).map_err(Failure::NotCentral)?;
        if exchange.again.is_some() || exchange.apart.is_some() {
            return Err(Failure::Rule("something follows a refusal"));
        }
        let versions = self.dialect.versions;
        match (sealed.kind(), exchange.reply.is_some(), exchange.last_page) {
            (Kind::Refusal, is_begun, _) => {
                self.refused(Refusal::decode(body, versions).map_err(Failure::Message)?, is_begun)
            }
            (Kind::ReplyHead, false, _) => {
                self.open_reply(message::decode_of(versions, body).map_err(Failure::Message)?)
            }
            (Kind::Page, true, None) => self.open_page(body, tools),
            _ => Err(Failure::Rule("a section stands where none of its kind may")),
        }
    }

    /// A challenge is answered by the next request, and a gap makes it ask how far central is, each once in a session; one with a
    /// receipt lets it push on; any other refusal ends it.
    fn refused(&mut self, refusal: Refusal, is_begun: bool) -> Result<(), Failure> {
        let is_of_version = !is_begun && refusal.code == VERSION_CODE;
        if let (true, Some(understood), Some(receipt)) = (is_of_version, refusal.versions, &refusal.receipt) {
            return self.open_receipt(understood, receipt.clone());
        }
        let again = match refusal.nonce {
            // Another file would come too late to show who lives, and in the wrong order.
            _ if self.is_carried => None,
            Some(nonce) if !self.has_answered => Some(Again::Answer(nonce)),
            None if refusal.code == GAP && !self.has_asked => Some(Again::AskHowFar),
            _ => None,
        };
        match (again, &mut self.phase) {
            (Some(again), Phase::Exchanging(exchange)) if !is_begun => {
                exchange.again = Some(again);
                Ok(())
            }
            _ => Err(Failure::Refused(refusal)),
        }
    }

    fn open_reply(&mut self, reply: ReplyHead) -> Result<(), Failure> {
        if reply.further.len() > limits::FURTHER_BYTES_MAX {
            return Err(Failure::Message(message::MessageError::AboveLimit("FURTHER_BYTES_MAX")));
        }
        self.check_head(reply.received, reply.received_hash)?;
        // Invariant 5: no page while a group of this session has no receipt.
        if reply.has_pages && reply.received < self.start.head {
            return Err(Failure::Rule("pages came before everything was received"));
        }
        if reply.control.last().is_some_and(|row| row.number.0 > limits::NUMBER_MAX) {
            return Err(Failure::Rule(TOO_LARGE));
        }
        // A device that has none may have come in place of another one: the site's count goes on, and its rows begin anywhere.
        let mut expected = match reply.control.first() {
            Some(first) if self.control == ControlNumber(0) => first.number.0.saturating_sub(1),
            _ => self.control.0,
        };
        for row in &reply.control {
            // Saturating: the number that no row can follow is no order either.
            let before = expected;
            expected = expected.saturating_add(1);
            if row.number.0 != expected || expected == before {
                return Err(Failure::Rule("control rows are not in order"));
            }
        }
        self.compare(Said::Reply(Box::new(reply)))
    }

    fn open_page(&mut self, body: &[u8], tools: &mut Tools<'_>) -> Result<(), Failure> {
        let Phase::Exchanging(exchange) = &mut self.phase else { return Ok(()) };
        let (header, packed) = page::read_header(body).map_err(Failure::Message)?;
        if header.index != exchange.pages {
            return Err(Failure::Rule("pages are not in order"));
        }
        if header.cursor.number.0.max(header.cursor.began.0) > limits::NUMBER_MAX {
            return Err(Failure::Rule(TOO_LARGE));
        }
        if !exchange.reply.as_ref().is_some_and(|reply| reply.has_pages) {
            return Err(Failure::Rule("a page came that was not announced"));
        }
        if !self.cursors.contains_key(&header.scope) && self.cursors.len() >= limits::SCOPES_MAX {
            return Err(Failure::Rule("a page is of one scope more than limits::SCOPES_MAX"));
        }
        exchange.pages += 1;
        exchange.last_page = header.is_last.then_some(header.is_complete);
        if let Some(part) = header.part {
            let kept = self.page_part.as_ref().filter(|kept| kept.scope == header.scope && kept.hash == part.hash);
            let kept = kept.map_or(0, |kept| kept.received);
            // Central begins anew when the device already has the whole but could not use it, or was cut off before it did.
            if part.offset != 0 && part.offset != kept {
                return Err(Failure::Rule("a part does not go on where the last one ended"));
            }
            let is_begun_anew =
                part.offset == 0 && self.page_part.as_ref().is_some_and(|kept| kept.scope == header.scope);
            self.setbacks += u32::from(is_begun_anew);
            let end = (part.offset as usize).checked_add(packed.len());
            let is_within = !packed.is_empty() && end.is_some_and(|end| end <= part.total as usize);
            if !is_within || part.total as usize > limits::PAGE_PLAIN_BYTES_MAX {
                return Err(Failure::Rule("a part lies outside of its page, or the page is too large"));
            }
            self.outputs.push_back(Output::StorePart(PartToStore {
                scope: header.scope.clone(),
                hash: part.hash,
                offset: part.offset,
                total: part.total,
                bytes: packed.to_vec(),
            }));
            let received = part.offset.saturating_add(u32::try_from(packed.len()).unwrap_or(u32::MAX));
            self.page_part = Some(PagePartState { scope: header.scope.clone(), hash: part.hash, received });
            exchange.storing = Some(Storing::Part(Box::new(header)));
            return Ok(());
        }
        let rows = page::unpack_rows(&header, packed, &mut exchange.history, tools.codec).map_err(Failure::Page)?;
        self.store_page(header, rows);
        Ok(())
    }

    fn store_page(&mut self, header: PageHeader, rows: Vec<PageRow>) {
        let Phase::Exchanging(exchange) = &mut self.phase else { return };
        exchange.storing = Some(Storing::Page { scope: header.scope.clone(), cursor: header.cursor, rows: rows.len() });
        let page = Page { scope: header.scope, cursor: header.cursor, is_drained: header.is_drained, rows };
        self.outputs.push_back(Output::StorePage(page));
    }

    /// What was to be stored is durable: only from here on may it be reported.
    pub(super) fn stored(&mut self) {
        let Phase::Exchanging(exchange) = &mut self.phase else { return };
        match exchange.storing.take() {
            Some(Storing::Reply) => {
                let Some(reply) = &exchange.reply else { return };
                let receipt = reply.receipt();
                self.through = Some(Cursor { epoch: reply.epoch, number: reply.position, began: reply.position });
                self.summary.control_stored += reply.control.len() as u64;
                self.summary.rows_total = self.summary.rows_total.or(reply.rows_waiting);
                if let Some(last) = reply.control.last() {
                    self.control = last.number;
                }
                let without_cursor = reply.control.iter().filter_map(|row| match Control::of(row) {
                    Ok(Control::Dropped(Dropped { scope }) | Control::ReadAnew(ReadAnew { scope })) => Some(scope),
                    _ => None,
                });
                // With the row its cursor is gone: shown once more, it would count for what may come back.
                for scope in without_cursor {
                    self.cursors.remove(&scope);
                    self.page_part.take_if(|part| part.scope == scope);
                }
                self.receipt_stored(&receipt);
            }
            Some(Storing::Receipt(receipt)) => self.receipt_stored(&receipt),
            Some(Storing::Page { scope, cursor, rows }) => {
                self.summary.rows_stored += rows as u64;
                // Rows that move no cursor come again and again: they bring nothing forward.
                let before = self.cursors.insert(scope.clone(), cursor);
                exchange.progress |= before != Some(cursor);
                if before.is_some_and(|before| before.epoch == cursor.epoch && before.number > cursor.number) {
                    self.setbacks += u32::from(!self.rewound.insert(scope.clone()));
                }
                // A page of the scope replaces what was kept of another one.
                if self.page_part.as_ref().is_some_and(|part| part.scope == scope) {
                    self.page_part = None;
                }
            }
            Some(Storing::Part(_) | Storing::Compared(_)) | None => {
                panic!("`Stored` answers nothing that was asked for")
            }
        }
    }

    /// A part is durable; the last one brings the whole, which is a page like any other.
    pub(super) fn part_stored(&mut self, whole: Option<Vec<u8>>, tools: &mut Tools<'_>) {
        let Phase::Exchanging(exchange) = &mut self.phase else { return };
        let Some(Storing::Part(header)) = exchange.storing.take() else {
            panic!("`PartStored` answers nothing that was asked for");
        };
        exchange.progress = true;
        let Some(whole) = whole else { return };
        self.page_part = None;
        if header.part.is_none_or(|part| part.hash != hash_of(&whole)) {
            return self.fail(Failure::Rule("the parts of a page do not give its hash"));
        }
        match page::unpack_rows(&header, &whole, &mut History::default(), tools.codec) {
            Ok(rows) => self.store_page(*header, rows),
            Err(error) => self.fail(Failure::Page(error)),
        }
    }
}
