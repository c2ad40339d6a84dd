//! What travels by stick: a device's request with its answer, and exports (`docs/sync-protocol.md`, "By file"). Plain bytes in and out;
//! whoever asks opens and seals the files. The same machine and the same checks as for a request that comes over a link.

use std::io::{BufRead, Read, Write};

use codec::{Ed25519Verifier, ZstdCodec};
use protocol::carried::{LABEL_BYTES, Label};
use protocol::chain::hash_of;
use protocol::edge::Signer as _;
use protocol::exchange::{Answer, Ask, Exchange, Standing, Tools};
use protocol::export::ExportHead;
use protocol::ids::{JournalId, Nonce, PublicKey, SiteId};
use protocol::message::{self, CHALLENGE, Refusal};
use protocol::versions::Head;
use serde_json::json;

use super::request::{Done, Progress};
use super::sites;
use crate::center::Center;
use crate::clock;
use crate::entropy;
use crate::error::{CentralError, Exit};
use crate::flights::Slot;
use crate::store::{Batch, StoreError, answer};
use crate::sync_api::JUDGE_MS_MAX;
use crate::writer::WriteError;

/// Bytes of a file that are read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Pages between two reports of progress.
const PROGRESS_PAGES: u64 = 50;

/// Takes a request and writes its answer.
pub(super) fn carry_in(
    center: &Center,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
    events: &mut dyn FnMut(Progress),
) -> Result<Done, CentralError> {
    let label = read_label(center, input)?;
    let mut carrying = Carrying {
        center,
        exchange: Exchange::carried(),
        codec: ZstdCodec::default(),
        output: Sections { output, label: Some(label), pages: 0, bytes: 0 },
        slot: None,
        speaker: None,
        head: None,
        journal: None,
        edits: 0,
    };
    let refusal = carrying.run(input, events)?;
    let Carrying { exchange, output, edits, .. } = carrying;
    let site = exchange.site().map(|site| site.0);
    tracing::info!(site, edits, bytes = output.bytes, "a request came by file");
    let value = json!({
        "site": site,
        "edits": edits,
        "pages": output.pages,
        "bytes": output.bytes,
        "refused": refusal.as_ref().map(|refusal| json!({ "code": refusal.code, "message": refusal.message })),
    });
    Ok(Done { value, exit: if refusal.is_some() { Exit::Refused } else { Exit::Ok } })
}

/// Writes what a site is to have.
pub(super) fn export(
    center: &Center,
    site: &str,
    output: &mut dyn Write,
    events: &mut dyn FnMut(Progress),
) -> Result<Done, CentralError> {
    let row = sites::find(center, site)?;
    let site = row.id;
    let start = center.write(move |batch| batch.export_start(site))?;
    let (epoch, position, rows_total) = (start.epoch, start.position, start.rows);
    let head = ExportHead { version: message::VERSION, site, id: entropy::bytes(), epoch, position, rows: rows_total };
    events(Progress::Exporting { rows: 0, rows_total });
    let signer = center.signer();
    let label = Label { central: signer.public_key(), site, context: hash_of(&message::encode(&head)) };
    let mut sections = Sections { output, label: Some(label), pages: 0, bytes: 0 };
    let mut codec = ZstdCodec::default();
    let mut tools = Tools { codec: &mut codec, signer, verifier: &Ed25519Verifier };
    let mut exchange = Exchange::export(&head, start.scopes, &mut tools);
    let mut rows_read = 0;
    while let Some(ask) = exchange.ask() {
        match ask {
            Ask::Send(bytes) => sections.put(&bytes)?,
            Ask::ReadRows(read) => {
                let rows = center.read(move |reading| answer(reading.export_rows(site, &read)))?;
                rows_read += rows.as_ref().map_or(0, |rows| rows.rows.len() as u64);
                if sections.pages > 0 && sections.pages.is_multiple_of(PROGRESS_PAGES) {
                    events(Progress::Exporting { rows: rows_read, rows_total });
                }
                exchange.answer(Answer::Rows(rows), &mut tools);
            }
            Ask::Refuse(refusal, _) => return Err(refusal.into()),
            Ask::Finished => break,
            Ask::FindSite(_) | Ask::Begin(..) | Ask::StoreFrame(_) | Ask::StorePart(_) | Ask::Conclude => {
                unreachable!("an export answers no request")
            }
        }
    }
    events(Progress::Exporting { rows: rows_total, rows_total });
    tracing::info!(site = site.0, rows = rows_total, bytes = sections.bytes, "a site was exported to a file");
    Ok(Done::ok(json!({
        "site": site.0, "name": row.name, "rows": rows_total, "pages": sections.pages, "bytes": sections.bytes,
    })))
}

/// Sections behind their label; nothing is written before the first.
struct Sections<'a> {
    output: &'a mut dyn Write,
    label: Option<Label>,
    pages: u64,
    bytes: u64,
}

impl Sections<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), CentralError> {
        let failed = |error: std::io::Error| {
            let message = format!("the file cannot be written: {error}");
            let advice = "Make room for it and ask again; what was taken stays taken, and is answered again.";
            CentralError::new("file_unwritten", message, advice, Exit::Disk)
        };
        if let Some(label) = self.label.take() {
            self.output.write_all(&label.encode()).map_err(failed)?;
        } else {
            self.pages += 1;
        }
        self.bytes += bytes.len() as u64;
        self.output.write_all(bytes).map_err(failed)
    }

    fn has_begun(&self) -> bool {
        self.label.is_none()
    }
}

/// One request and its answer.
struct Carrying<'a> {
    center: &'a Center,
    exchange: Exchange,
    codec: ZstdCodec,
    output: Sections<'a>,
    slot: Option<Slot>,
    /// The site with the key that speaks for it; `None` for a retired key.
    speaker: Option<(SiteId, PublicKey)>,
    head: Option<Head>,
    journal: Option<JournalId>,
    edits: u64,
}

impl Carrying<'_> {
    /// To the end; the refusal that the answer holds, if it holds one.
    fn run(
        &mut self,
        input: &mut dyn BufRead,
        events: &mut dyn FnMut(Progress),
    ) -> Result<Option<Refusal>, CentralError> {
        loop {
            while let Some(ask) = self.exchange.ask() {
                let answer = match ask {
                    Ask::Send(bytes) => {
                        self.output.put(&bytes)?;
                        self.check_slot()?;
                        if self.output.pages > 0 && self.output.pages.is_multiple_of(PROGRESS_PAGES) {
                            events(Progress::Answering { pages: self.output.pages });
                        }
                        continue;
                    }
                    Ask::Refuse(refusal, bytes) => return self.refused(refusal, &bytes).map(Some),
                    Ask::Finished => return Ok(None),
                    Ask::FindSite(site) => Answer::Site(self.center.keys_of(site)?),
                    Ask::Begin(head, standing) => Answer::Begun(self.begin(head, standing)?),
                    Ask::StoreFrame(frame) => {
                        let site = self.site();
                        let stored =
                            self.write(move |batch| batch.store_frame(site, &frame).map(|kept| (kept, frame)))?;
                        self.check_slot()?;
                        Answer::Stored(stored.map(|(kept, frame)| {
                            self.edits += frame.entries.len() as u64;
                            events(Progress::Taking { edits: self.edits });
                            kept
                        }))
                    }
                    Ask::StorePart(part) => {
                        let site = self.site();
                        Answer::PartStored(self.write(move |batch| batch.store_part(site, &part))?)
                    }
                    Ask::Conclude => Answer::Concluded(self.conclude()?),
                    Ask::ReadRows(read) => {
                        let (site, journal) = (self.site(), self.journal.expect("an exchange begins before it reads"));
                        let rows = self.center.read(move |reading| answer(reading.read_rows(site, journal, &read)));
                        Answer::Rows(rows?)
                    }
                };
                self.with_tools(|exchange, tools| exchange.answer(answer, tools));
            }
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            (&mut *input).take(PIECE_BYTES as u64).read_to_end(&mut piece).map_err(|error| unreadable(&error))?;
            self.with_tools(|exchange, tools| {
                if piece.is_empty() { exchange.end_of_request(tools) } else { exchange.feed(&piece, tools) }
            });
        }
    }

    fn begin(
        &mut self,
        head: Head,
        standing: Standing,
    ) -> Result<Result<protocol::exchange::Received, Refusal>, CentralError> {
        let site = head.prelude().site;
        let key = self.exchange.key().expect("the machine begins only what is proved");
        self.speaker = (standing == Standing::Current).then_some((site, key));
        // Beside a running server alone anybody else has an exchange in hand.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let Some(slot) = runtime.block_on(self.center.flights().take((site, standing), key)) else {
                let message = format!("site {site} is just syncing");
                let advice = "Wait until that is over, and ask again. Nothing was changed.";
                return Err(CentralError::new("site_busy", message, advice, Exit::Busy));
            };
            self.slot = Some(slot);
        }
        self.journal = Some(head.prelude().journal);
        self.head = Some(head.clone());
        let nonce = Nonce(entropy::bytes());
        self.write(move |batch| batch.begin(&head, standing, nonce))
    }

    /// Judges all that came, and brings up what the site has come to see: whoever carries a file is not to come again for it.
    fn conclude(&mut self) -> Result<Result<Box<protocol::exchange::Conclusion>, Refusal>, CentralError> {
        let head = self.head.take().expect("an exchange begins before it concludes");
        let site = head.prelude().site;
        if self.speaker.is_some() {
            while matches!(self.write(move |batch| batch.judge(site, &mut in_time()))?, Ok(judged) if judged.has_more && judged.groups > 0)
            {
            }
            while matches!(self.write(move |batch| batch.bring_up_sight(site))?, Ok(true)) {}
        }
        self.check_slot()?;
        let concluded = self.write(move |batch| batch.conclude(&head, &mut in_time()))?;
        if let Ok(conclusion) = &concluded
            && (conclusion.reply.judged < conclusion.reply.received || conclusion.reply.has_more_control)
        {
            self.center.judge_later(site);
        }
        Ok(concluded.map(Box::new))
    }

    /// What central refuses. The device is told so in the answer where that is of use to it, and its owner here.
    fn refused(&mut self, refusal: Refusal, bytes: &[u8]) -> Result<Refusal, CentralError> {
        tracing::info!(
            site = self.exchange.site().map(|site| site.0),
            code = refusal.code,
            "refused: {}",
            refusal.message
        );
        if refusal.code == CHALLENGE {
            let message = "this file is older than what central heard of its site since: the device has synced, or another file of it \
                           was taken";
            let advice = "Nothing was changed. Make another file with `outpost carry out`. If central says the same of it, the device \
                          was copied or set back, and has to sync over a connection to show which.";
            return Err(CentralError::refused("carry_late", message, advice));
        }
        if self.exchange.site().is_none() && !self.output.has_begun() {
            return Err(refusal.into());
        }
        self.output.put(bytes)?;
        Ok(refusal)
    }

    fn write<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Result<T, Refusal>, CentralError> {
        let speaker = self.speaker;
        let done = self.center.write(move |batch| {
            if let Some((site, key)) = speaker {
                batch.refuse_replaced(site, &key)?;
            }
            work(batch)
        });
        match done {
            Ok(value) => Ok(Ok(value)),
            Err(WriteError::Store(StoreError::Refused(refusal))) => Ok(Err(refusal)),
            Err(error) => Err(error.into()),
        }
    }

    /// That no exchange over a link has taken the site's place meanwhile.
    fn check_slot(&self) -> Result<(), CentralError> {
        let Some(slot) = &self.slot else { return Ok(()) };
        if slot.is_superseded() {
            let message = "the site's device syncs meanwhile";
            let advice = "Ask again; what was taken stays taken.";
            return Err(CentralError::new("site_busy", message, advice, Exit::Busy));
        }
        slot.progress();
        Ok(())
    }

    fn site(&self) -> SiteId {
        self.exchange.site().expect("the machine asks for the store only when it knows the site")
    }

    fn with_tools(&mut self, work: impl FnOnce(&mut Exchange, &mut Tools<'_>)) {
        let (exchange, codec, signer) = (&mut self.exchange, &mut self.codec, self.center.signer());
        work(exchange, &mut Tools { codec, signer, verifier: &Ed25519Verifier });
    }
}

/// Goes on for as long as one commit may take.
fn in_time() -> impl FnMut() -> bool {
    let deadline_ms = clock::monotonic_ms() + JUDGE_MS_MAX;
    move || clock::monotonic_ms() < deadline_ms
}

fn read_label(center: &Center, input: &mut dyn BufRead) -> Result<Label, CentralError> {
    let mut bytes = [0; LABEL_BYTES];
    input.read_exact(&mut bytes).map_err(|error| unreadable(&error))?;
    let label = Label::decode(&bytes).map_err(|error| {
        CentralError::refused(
            "carry_form",
            error.to_string(),
            "Check that this is the right file. Nothing was changed.",
        )
    })?;
    if label.central != center.signer().public_key() {
        let message = "the file is for another central than this one";
        return Err(CentralError::refused("carry_other_central", message, "Take it there. Nothing was changed."));
    }
    Ok(label)
}

fn unreadable(error: &std::io::Error) -> CentralError {
    let message = format!("the file cannot be read: {error}");
    CentralError::new(
        "input_unreadable",
        message,
        "Take another copy of it; whole frames that were read stay taken.",
        Exit::Failed,
    )
}
