//! A device of a few lines around the real session machine, and what must hold of everything that the machine asks for.

use std::collections::BTreeMap;

use protocol::chain::{self, genesis, hash_of};
use protocol::control::ControlRow;
use protocol::exchange::{self, Answer, Ask, Exchange, PartKept, Received, SiteKeys};
use protocol::frame::Placement;
use protocol::ids::{ControlNumber, CredentialGeneration, Epoch, Hash, Position, ScopeId, Sequence, Token};
use protocol::limits;
use protocol::message::{Cursor, FramePartState, PagePartState, Refusal, RequestHead, ScopeCursor};
use protocol::session::{Input, Link, Outcome, Output, PartToStore, Session, Start, Tools};

use crate::edges::{CENTRAL, DEVICE, JOURNAL, SITE, Unpacking};
use crate::program::Program;

/// One of three scopes.
pub(crate) fn scope(number: u8) -> ScopeId {
    ScopeId::new(&[number % 3]).unwrap_or_else(|| panic!("one byte is within the limit of a scope"))
}

/// What is durable on the device.
pub(crate) struct Device {
    pub(crate) entries: Vec<(Vec<u8>, Hash)>,
    received: Sequence,
    token: Token,
    control: ControlNumber,
    cursors: BTreeMap<ScopeId, Cursor>,
    part: Option<(PagePartState, Vec<u8>)>,
    frame_part: Option<FramePartState>,
    link: Link,
}

/// What comes back for a request.
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    /// The bytes come in pieces of this length.
    pub(crate) piece_bytes: usize,
    /// Whether the reply ends as its transport says it should.
    pub(crate) is_whole: bool,
}

impl Device {
    /// As a little program describes it.
    pub(crate) fn of(program: &mut Program<'_>) -> Self {
        let mut device = Self {
            entries: Vec::new(),
            received: Sequence::ZERO,
            token: Token::NONE,
            control: ControlNumber(u64::from(program.byte() % 4)),
            cursors: BTreeMap::new(),
            part: None,
            frame_part: None,
            link: if program.flag() { Link::resume(0, 100) } else { Link::default() },
        };
        for _ in 0..program.below(6) {
            let size = usize::from(program.byte());
            device.record(if size == 255 { 10_000 } else { size });
        }
        for _ in 0..program.below(3) {
            // A session stores no larger one.
            let number = Position(program.number().min(limits::NUMBER_MAX));
            let cursor = Cursor { epoch: Epoch(1), number, began: number };
            device.cursors.insert(scope(program.byte()), cursor);
        }
        device
    }

    fn record(&mut self, bytes: usize) {
        let number = u8::try_from(self.entries.len()).unwrap_or(u8::MAX);
        let entry: Vec<u8> = (0..=u8::MAX).map(|byte| byte ^ number).cycle().take(bytes).collect();
        let hash = chain::extend(self.hash_at(self.head()), &entry);
        self.entries.push((entry, hash));
    }

    pub(crate) fn head(&self) -> Sequence {
        Sequence(self.entries.len() as u64)
    }

    pub(crate) fn hash_at(&self, sequence: Sequence) -> Hash {
        let index = usize::try_from(sequence.0).unwrap_or(usize::MAX);
        index.checked_sub(1).map_or(genesis(SITE, JOURNAL, None), |index| self.entries[index].1)
    }

    fn start(&self) -> Start {
        Start {
            site: SITE,
            central: CENTRAL.public(),
            token: self.token,
            salt: [0; 16],
            generation: CredentialGeneration(1),
            journal: JOURNAL,
            predecessor: None,
            head: self.head(),
            head_hash: self.hash_at(self.head()),
            received: self.received.min(self.head()),
            is_unsure: false,
            control: self.control,
            cursors: self.scope_cursors(),
            heard: None,
            claims: protocol::control::Claims::default(),
            page_part: self.part.as_ref().map(|part| part.0.clone()),
            frame_part: self.frame_part,
            link: self.link,
        }
    }

    fn scope_cursors(&self) -> Vec<ScopeCursor> {
        self.cursors.iter().map(|(scope, cursor)| ScopeCursor { scope: scope.clone(), cursor: *cursor }).collect()
    }

    /// Runs one session. `reply` gives what comes back for each request; `None` is a connection that fails. The power fails
    /// before more than `steps` of what the session asks for are carried out.
    pub(crate) fn sync(
        &mut self,
        mut steps: usize,
        reply: &mut dyn FnMut(&Device, &[u8]) -> Option<Reply>,
    ) -> Option<Outcome> {
        let mut codec = Unpacking::default();
        let mut tools = Tools { codec: &mut codec, signer: &DEVICE, verifier: &CENTRAL };
        let mut session = Session::begin(self.start(), &mut tools);
        let mut coming: Option<Reply> = None;
        loop {
            let Some(output) = session.output() else {
                let arriving = coming.as_mut().unwrap_or_else(|| panic!("a session always asks for something"));
                let length = arriving.bytes.len().min(arriving.piece_bytes.max(1));
                let piece: Vec<u8> = arriving.bytes.drain(..length).collect();
                match (piece.is_empty(), arriving.is_whole) {
                    (false, _) => session.input(Input::Reply(&piece), &mut tools),
                    (true, true) => session.input(Input::ReplyEnd, &mut tools),
                    (true, false) => session.input(Input::ExchangeFailed("cut"), &mut tools),
                }
                continue;
            };
            steps = steps.checked_sub(1)?;
            match output {
                Output::ReadJournal { after, through, bytes_max } => {
                    assert!(after < through && through == self.head(), "only what is durable is read");
                    let entries = self.entries_after(after, bytes_max);
                    session.input(
                        Input::Entries { before: self.hash_at(after), entries, refused: Vec::new() },
                        &mut tools,
                    );
                }
                Output::Exchange(request) => {
                    assert!(request.len() <= limits::REQUEST_BYTES_MAX);
                    self.check_request(&request);
                    match reply(self, &request) {
                        Some(reply) => coming = Some(reply),
                        None => session.input(Input::ExchangeFailed("no connection"), &mut tools),
                    }
                }
                Output::ReadHash { sequence } => {
                    assert!(sequence < self.head(), "the head's own hash is known");
                    session.input(Input::HashRead(Some(self.hash_at(sequence))), &mut tools);
                }
                Output::StoreReply(head) => {
                    assert!(head.received <= self.head(), "central cannot have more than there is");
                    (self.received, self.token) = (head.received, head.token);
                    if let Some(last) = head.control.last() {
                        assert!(last.number > self.control, "a control row comes once");
                        self.control = last.number;
                    }
                    session.input(Input::Stored, &mut tools);
                }
                Output::StoreReceipt(receipt) => {
                    assert!(receipt.received <= self.head(), "central cannot have more than there is");
                    (self.received, self.token) = (receipt.received, receipt.token);
                    session.input(Input::Stored, &mut tools);
                }
                Output::StorePage(page) => {
                    assert_eq!(self.received, self.head(), "invariant 5: a page came before the receipt");
                    assert!(page.rows.len() <= limits::PAGE_ROWS_MAX);
                    if self.part.as_ref().is_some_and(|part| part.0.scope == page.scope) {
                        self.part = None;
                    }
                    self.cursors.insert(page.scope, page.cursor);
                    assert!(self.cursors.len() <= limits::SCOPES_MAX);
                    session.input(Input::Stored, &mut tools);
                }
                Output::StorePart(part) => {
                    let whole = self.keep(part);
                    session.input(Input::PartStored(whole), &mut tools);
                }
                Output::Finished(outcome) => {
                    assert!(session.output().is_none(), "nothing follows the end");
                    (self.link, self.frame_part) = (outcome.link, outcome.frame_part);
                    return Some(outcome);
                }
            }
        }
    }

    fn entries_after(&self, after: Sequence, bytes_max: usize) -> Vec<(Vec<u8>, Hash)> {
        let first = usize::try_from(after.0).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let entries = self.entries[first..].iter().take_while(|entry| {
            let is_first = bytes == 0;
            bytes += entry.0.len() + 1;
            is_first || bytes <= bytes_max
        });
        entries.cloned().collect()
    }

    fn keep(&mut self, part: PartToStore) -> Option<Vec<u8>> {
        let mut bytes = match self.part.take() {
            Some((state, bytes)) if state.hash == part.hash && state.scope == part.scope && part.offset > 0 => bytes,
            _ => Vec::new(),
        };
        assert_eq!(bytes.len(), part.offset as usize, "a part goes on where what is kept ends");
        bytes.extend_from_slice(&part.bytes);
        assert!(!part.bytes.is_empty() && bytes.len() <= part.total as usize);
        assert!(part.total as usize <= limits::PAGE_PLAIN_BYTES_MAX, "what is kept has a limit");
        let received = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let whole = (received == part.total).then(|| bytes.clone());
        self.part = Some((PagePartState { scope: part.scope, hash: part.hash, received }, bytes));
        whole
    }

    /// Central's machine takes the request, and what it says is what is durable here.
    fn check_request(&self, request: &[u8]) {
        let mut codec = Unpacking::default();
        let mut tools = exchange::Tools { codec: &mut codec, signer: &CENTRAL, verifier: &DEVICE };
        let mut exchange = Exchange::new();
        exchange.feed(request, &mut tools);
        exchange.end_of_request(&mut tools);
        loop {
            let nothing = Received { sequence: Sequence::ZERO, hash: Hash::NONE };
            let answer = match exchange.ask().unwrap_or_else(|| panic!("an exchange always asks for something")) {
                Ask::FindSite(site) => {
                    assert_eq!(site, SITE);
                    Answer::Site(SiteKeys { current: Some(DEVICE.public()), retired: Vec::new() })
                }
                Ask::Begin(head, _) => {
                    let head =
                        head.whole().unwrap_or_else(|| panic!("a device writes a version that central understands"));
                    self.check_head(head);
                    Answer::Begun(Ok(nothing))
                }
                Ask::StoreFrame(frame) => {
                    let first = usize::try_from(frame.first.0 - 1).unwrap_or(usize::MAX);
                    assert_eq!(frame.entries, self.entries[first..first + frame.entries.len()]);
                    let before = Sequence(frame.first.0 - 1);
                    assert_eq!(frame.before, self.hash_at(before));
                    assert_eq!(frame.place(before, frame.before, None), Placement::Extends { skip: 0 });
                    Answer::Stored(Ok(nothing))
                }
                Ask::StorePart(part) => {
                    let received = part.offset + u32::try_from(part.bytes.len()).unwrap_or(u32::MAX);
                    assert!(received <= part.total && !part.bytes.is_empty());
                    let whole = (part.offset == 0 && received == part.total).then_some(part.bytes);
                    if let Some(whole) = &whole {
                        assert_eq!(hash_of(whole), part.hash);
                    }
                    let state = FramePartState { hash: part.hash, received };
                    Answer::PartStored(Ok(PartKept { state, whole }))
                }
                Ask::Conclude => Answer::Concluded(Err(Refusal::new("checked", "the request is right"))),
                Ask::Refuse(refusal, _) => {
                    assert_eq!(refusal.code, "checked", "central refuses what this device sends: {}", refusal.message);
                    return;
                }
                Ask::ReadRows(_) | Ask::Send(_) | Ask::Finished => panic!("a refused request has no reply"),
            };
            exchange.answer(answer, &mut tools);
        }
    }

    /// Invariant 6: what is reported is what is durable.
    fn check_head(&self, head: &RequestHead) {
        assert_eq!((head.journal, head.head, head.head_hash), (JOURNAL, self.head(), self.hash_at(self.head())));
        assert_eq!((head.token, head.control), (self.token, self.control));
        assert_eq!(head.cursors, self.scope_cursors());
        let kept = self.part.as_ref().map(|part| &part.0);
        assert!(head.page_part.is_none() || head.page_part.as_ref() == kept, "only a part that is kept is reported");
    }
}

/// Control rows that follow each other from a number on.
pub(crate) fn control_rows(program: &mut Program<'_>, first: u64) -> Vec<ControlRow> {
    let count = program.below(4);
    let mut rows = Vec::new();
    for place in 0..count as u64 {
        let (code, content) = (u16::from(program.byte() % 6), program.some().to_vec());
        rows.push(ControlRow { number: ControlNumber(first.wrapping_add(place)), code, content });
    }
    rows
}
