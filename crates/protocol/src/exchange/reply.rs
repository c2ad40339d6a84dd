//! The reply: its head, then pages scope by scope until the request's budget is used up or every lane is drained.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::chain::hash_of;
use crate::exchange::{Ask, Conclusion, Exchange, ReadRows, Rows, State, Tools, Way};
use crate::history::History;
use crate::limits;
use crate::message::{self, Refusal, ReplyHead, RequestHead, ScopeCursor};
use crate::page::{self, PageHeader, PagePart, PageRow};
use crate::section::{self, Binding, Kind};
use crate::versions::Head;

/// Plain bytes that are believed to pack into one byte before the first page of a reply has shown it.
const PLAIN_PER_PACKED: usize = 5;

/// What is left to reply.
#[derive(Default)]
pub(super) struct Reply {
    /// Kept back until it is known whether pages follow.
    head: Option<ReplyHead>,
    /// Scopes that are not drained, the one being read first.
    scopes: VecDeque<ScopeCursor>,
    /// A page that is kept back until it is known whether it is the last.
    page: Option<(PageHeader, Vec<u8>)>,
    pages: u32,
    sent_bytes: usize,
    history: History,
    /// Set when a page was too large with all its rows: it is read again with this many.
    rows_max: Option<usize>,
    plain_percent: usize,
    is_over: bool,
}

impl Exchange {
    /// Begins the reply. A site whose version is not understood is refused with a receipt in place of one.
    pub(super) fn concluded(&mut self, conclusion: Conclusion) -> Result<(), Refusal> {
        if let Some((Head::Prelude(prelude), _)) = &self.request {
            return Err(Refusal::of_version(prelude.version, self.versions, conclusion.reply.receipt()));
        }
        self.begin_pages(VecDeque::new());
        let whole = self.whole();
        let is_pushed = whole.is_some_and(|head| conclusion.reply.received >= head.head);
        if is_pushed && self.reply_bytes_max() > 0 {
            self.reply.scopes = conclusion.scopes.into();
            // The device keeps parts of one page only: another scope's parts before it would make it forget them.
            let part = self.whole().and_then(|head| head.page_part.clone());
            if let Some(place) =
                part.and_then(|part| self.reply.scopes.iter().position(|each| each.scope == part.scope))
                && let Some(scope) = self.reply.scopes.remove(place)
            {
                self.reply.scopes.push_front(scope);
            }
        } else {
            self.reply.is_over = true;
        }
        self.reply.head = Some(conclusion.reply);
        Ok(())
    }

    /// Pages of these scopes come next.
    pub(super) fn begin_pages(&mut self, scopes: VecDeque<ScopeCursor>) {
        self.state = State::Pages;
        self.reply.plain_percent = PLAIN_PER_PACKED * 100;
        self.reply.scopes = scopes;
    }

    /// Reads the next rows, or ends the reply.
    pub(super) fn read_on(&mut self) {
        let page_bytes = self.page_bytes();
        match self.reply.scopes.front() {
            Some(from) if !self.reply.is_over => {
                let plain = (page_bytes * self.reply.plain_percent / 100).min(limits::FRAME_PLAIN_BYTES_TARGET_MAX * 4);
                let ask = Ask::ReadRows(ReadRows {
                    from: from.clone(),
                    rows_max: self.reply.rows_max.unwrap_or(limits::PAGE_ROWS_MAX / 2),
                    plain_bytes_max: plain,
                });
                self.put(ask);
            }
            _ => self.reply.is_over = true,
        }
    }

    /// Packs rows that were read into a page, or into the parts of one.
    pub(super) fn rows_read(&mut self, rows: &Rows, tools: &mut Tools<'_>) -> Result<(), Refusal> {
        let Some(from) = self.reply.scopes.front().cloned() else { return Ok(()) };
        if rows.rows.is_empty() && rows.cursor == from.cursor {
            self.reply.scopes.pop_front();
            return Ok(());
        }
        // With one row asked for, what stands before it are its parents: more than a page holds comes without them, and they
        // at their own positions.
        let is_alone = self.reply.rows_max == Some(1);
        let mut sent = rows.rows.as_slice();
        let mut plain = page::plain_rows(sent);
        if is_too_large(sent, &plain) {
            if !is_alone {
                self.reply.rows_max = Some(1);
                return Ok(());
            }
            sent = sent.get(sent.len().saturating_sub(1)..).unwrap_or_default();
            plain = page::plain_rows(sent);
        }
        let count = sent.len();
        let packed = page::pack_plain_rows(plain, &self.reply.history, tools.codec);
        let packed = packed.map_err(|error| Refusal::new("codec", &alloc::format!("{error}")))?;
        let mut header = PageHeader {
            version: message::VERSION,
            index: 0,
            scope: from.scope.clone(),
            cursor: rows.cursor,
            is_drained: rows.is_drained,
            is_last: false,
            is_complete: false,
            rows: u32::try_from(count).expect("at most limits::PAGE_ROWS_MAX"),
            part: None,
            compression: packed.compression,
            dictionary: packed.dictionary,
            plain_bytes: packed.plain_bytes,
        };
        if packed.bytes.len() > self.part_threshold() {
            if !is_alone && count > 1 {
                self.reply.rows_max = Some(1);
                return Ok(());
            }
            // A page in parts may be finished by a later reply, which has no history: pack it alone.
            let packed = page::pack_plain_rows(packed.plain, &History::default(), tools.codec);
            let packed = packed.map_err(|error| Refusal::new("codec", &alloc::format!("{error}")))?;
            (header.compression, header.dictionary) = (packed.compression, packed.dictionary);
            if self.put_parts(&header, &packed.bytes, tools) {
                self.page_sent(rows);
            }
            return Ok(());
        }
        let seen = (packed.plain.len() * 100 / packed.bytes.len().max(1)).clamp(100, 4_000);
        self.reply.plain_percent = usize::midpoint(self.reply.plain_percent, seen);
        self.reply.history.push(&packed.plain);
        self.put_page(header, packed.bytes, tools);
        self.page_sent(rows);
        Ok(())
    }

    /// Moves on behind rows whose page is on its way.
    fn page_sent(&mut self, rows: &Rows) {
        self.reply.rows_max = None;
        if rows.is_drained {
            self.reply.scopes.pop_front();
        } else if let Some(front) = self.reply.scopes.front_mut() {
            front.cursor = rows.cursor;
        }
        if self.reply.sent_bytes >= self.reply_bytes_max() {
            self.reply.is_over = true;
        }
    }

    /// Sends parts from where the site has the page; whether the last one is among them.
    fn put_parts(&mut self, header: &PageHeader, whole: &[u8], tools: &mut Tools<'_>) -> bool {
        let hash = hash_of(whole);
        let total = u32::try_from(whole.len()).expect("a page is within limits::PAGE_PLAIN_BYTES_MAX");
        let kept = self.whole().and_then(|head| head.page_part.as_ref());
        // Only the reply's first page may go on: any before it can have made the device forget what it kept.
        let kept = kept.filter(|kept| kept.scope == header.scope && kept.hash == hash && kept.received < total);
        let kept = kept.filter(|_| self.reply.pages == 0);
        let mut offset = kept.map_or(0, |kept| kept.received as usize);
        while let Some(rest) = whole.get(offset..).filter(|rest| !rest.is_empty()) {
            if self.reply.sent_bytes >= self.reply_bytes_max() {
                self.reply.is_over = true;
                return false;
            }
            let slice = rest.get(..self.page_bytes()).unwrap_or(rest);
            let part = PagePart { hash, offset: u32::try_from(offset).expect("below the total"), total };
            self.put_page(PageHeader { part: Some(part), ..header.clone() }, slice.to_vec(), tools);
            offset += slice.len();
        }
        true
    }

    /// Keeps a page back and sends the one that was.
    fn put_page(&mut self, mut header: PageHeader, bytes: Vec<u8>, tools: &mut Tools<'_>) {
        header.index = self.reply.pages;
        self.reply.pages += 1;
        self.reply.sent_bytes += bytes.len() + section::HEADER_BYTES;
        self.send_head(true, tools);
        if let Some((header, bytes)) = self.reply.page.replace((header, bytes)) {
            self.send_page(&header, &bytes, tools);
        }
    }

    /// Ends the reply once nothing is left to read.
    pub(super) fn end_reply(&mut self, tools: &mut Tools<'_>) {
        self.send_head(false, tools);
        if let Some((mut header, bytes)) = self.reply.page.take() {
            header.is_last = true;
            header.is_complete = self.reply.scopes.is_empty();
            self.send_page(&header, &bytes, tools);
        }
        self.state = State::Finished;
        self.put(Ask::Finished);
    }

    /// Whether nothing is left to read.
    pub(super) fn is_reply_over(&self) -> bool {
        self.reply.is_over
    }

    fn send_head(&mut self, has_pages: bool, tools: &mut Tools<'_>) {
        if let Some(mut head) = self.reply.head.take() {
            head.has_pages = has_pages;
            self.seal_and_send(Kind::ReplyHead, &message::encode(&head), tools);
        }
    }

    fn send_page(&mut self, header: &PageHeader, bytes: &[u8], tools: &mut Tools<'_>) {
        let mut body = message::encode(header);
        body.extend_from_slice(bytes);
        self.seal_and_send(Kind::Page, &body, tools);
    }

    fn seal_and_send(&mut self, kind: Kind, body: &[u8], tools: &mut Tools<'_>) {
        let (kind, site, context) = match (self.way, &self.request) {
            (Way::Export(site, context), _) => (Kind::ExportPage, site, context),
            (Way::Link | Way::File, Some((head, context))) => (kind, head.prelude().site, *context),
            (Way::Link | Way::File, None) => return,
        };
        let binding = Binding { central: tools.signer.public_key(), site, context };
        let bytes = section::seal(kind, &binding, body, tools.signer);
        self.put(Ask::Send(bytes));
    }

    fn whole(&self) -> Option<&RequestHead> {
        self.request.as_ref().and_then(|(head, _)| head.whole())
    }

    fn page_bytes(&self) -> usize {
        let asked = match self.way {
            Way::Export(..) => limits::FRAME_TARGET_BYTES_MAX,
            Way::Link | Way::File => self.whole().map_or(0, |head| head.page_bytes),
        };
        asked.clamp(limits::FRAME_TARGET_BYTES_MIN, limits::FRAME_TARGET_BYTES_MAX) as usize
    }

    /// A packed page above this size travels in parts; a file carries any.
    fn part_threshold(&self) -> usize {
        match self.way {
            Way::Link => 2 * self.page_bytes(),
            Way::File | Way::Export(..) => limits::SECTION_BYTES_MAX,
        }
    }

    fn reply_bytes_max(&self) -> usize {
        let asked = self.whole().map_or(0, |head| head.reply_bytes);
        let bytes = match self.way {
            Way::Link => asked.min(limits::REPLY_PAGE_BYTES_MAX),
            Way::File => asked.min(limits::CARRIED_PAGE_BYTES_MAX),
            Way::Export(..) => limits::CARRIED_PAGE_BYTES_MAX,
        };
        bytes as usize
    }
}

/// Whether rows do not fit a page, whatever they pack to.
fn is_too_large(rows: &[PageRow], plain: &[u8]) -> bool {
    rows.len() > limits::PAGE_ROWS_MAX || plain.len() > limits::PAGE_PLAIN_BYTES_MAX
}
