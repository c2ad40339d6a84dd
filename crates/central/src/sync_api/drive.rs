//! Drives one exchange: feeds the request to the protocol's machine, carries out what it asks for, sends what it says.

use std::sync::Arc;

use codec::{Ed25519Verifier, ZstdCodec};
use protocol::exchange::{Answer, Ask, Exchange, ReadRows, Standing, Tools};
use protocol::ids::{JournalId, Nonce, PublicKey, SiteId};
use protocol::message::Refusal;
use protocol::versions::{Head, Prelude};
use tokio::task::block_in_place;

use super::RETRY_AFTER_OVERLOAD_S;
use super::body::{BodyError, IncomingBody, body_error};
use super::places::Places;
use super::reply::{Reply, ReplyError, Start};
use crate::center::Center;
use crate::clock;
use crate::entropy;
use crate::error::CentralError;
use crate::flights::Slot;
use crate::store::{PeerAddress, StoreError, answer};
use crate::writer::WriteError;

/// How long an exchange may judge what came before it is answered; the rest is judged behind its back (`details.md`, "Judging in
/// time"). A person who waits notices a second.
pub(crate) const JUDGE_MS_MAX: u64 = 500;

/// Seconds after which a site that is busy with another exchange shall come again.
const RETRY_AFTER_BUSY_S: u32 = 1;

/// Why an exchange ended early. What was committed stays.
#[derive(Debug, thiserror::Error)]
enum DriveError {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Reply(#[from] ReplyError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("{0}")]
    Center(#[from] CentralError),
    #[error("the site's next exchange took over")]
    Superseded,
    #[error("central has {exchanges_max} exchanges in hand (limits.exchanges_max); come again")]
    Overloaded { exchanges_max: usize },
}

/// See the module.
pub(super) struct Drive {
    center: Arc<Center>,
    address: Option<PeerAddress>,
    places: Places,
    body: IncomingBody,
    reply: Reply,
    exchange: Exchange,
    codec: ZstdCodec,
    slot: Option<Slot>,
    /// The site with the key that speaks for it; `None` before that is proved, and for a retired key.
    speaker: Option<(SiteId, PublicKey)>,
    head: Option<Head>,
    journal: Option<JournalId>,
}

/// How carrying out an ask went on.
enum Step {
    GoOn,
    Refused(Refusal, Vec<u8>),
    Finished,
}

impl Drive {
    pub(super) fn new(
        center: Arc<Center>,
        address: Option<PeerAddress>,
        places: Places,
        mut body: IncomingBody,
        reply: Reply,
    ) -> Self {
        body.end_by(center.settings().timeouts.head_ms);
        let codec = ZstdCodec::default();
        let exchange = Exchange::new();
        Self {
            center,
            address,
            places,
            body,
            reply,
            exchange,
            codec,
            slot: None,
            speaker: None,
            head: None,
            journal: None,
        }
    }

    /// To the end.
    pub(super) async fn run(mut self) {
        let outcome = self.converse().await;
        let site = self.exchange.site().map_or(0, |site| site.0);
        // The site may come again the moment that it sees the end of this reply.
        drop(self.slot.take());
        match outcome {
            Ok(None) => self.reply.end().await,
            Ok(Some((refusal, bytes))) => {
                tracing::info!(site, code = refusal.code, "refused: {}", refusal.message);
                self.forget_rest().await;
                self.reply.end_with(Start::Refusal { refusal, bytes });
            }
            Err(error) => {
                if matches!(error, DriveError::Overloaded { .. }) {
                    self.forget_rest().await;
                }
                let start = start_of(&error);
                match &start {
                    Start::Error { code, status, .. } if status.is_server_error() && *code != "overloaded" => {
                        tracing::error!(site, code, "an exchange failed: {error}");
                    }
                    _ => tracing::info!(site, "an exchange ended early: {error}"),
                }
                self.reply.end_with(start);
            }
        }
    }

    /// Reads what is left of a request that is not carried out. It holds up nobody meanwhile, and may not last.
    async fn forget_rest(&mut self) {
        self.places.free();
        self.body.end_by(self.center.settings().timeouts.head_ms);
        self.body.drain().await;
    }

    /// Until the reply is complete, or refused.
    async fn converse(&mut self) -> Result<Option<(Refusal, Vec<u8>)>, DriveError> {
        loop {
            while let Some(ask) = self.exchange.ask() {
                match self.carry_out(ask).await? {
                    Step::GoOn => {}
                    Step::Refused(refusal, bytes) => return Ok(Some((refusal, bytes))),
                    Step::Finished => return Ok(None),
                }
            }
            let bytes = unless_superseded(self.slot.as_ref(), self.body.next()).await??;
            if let Some(slot) = &self.slot {
                slot.progress();
            }
            self.with_tools(|exchange, tools| match bytes {
                Some(bytes) => exchange.feed(&bytes, tools),
                None => exchange.end_of_request(tools),
            });
        }
    }

    async fn carry_out(&mut self, ask: Ask) -> Result<Step, DriveError> {
        let answer = match ask {
            Ask::FindSite(site) => {
                let center = Arc::clone(&self.center);
                Answer::Site(blocking(move || center.keys_of(site)).await?)
            }
            Ask::Begin(head, standing) => Answer::Begun(self.begin(head, standing).await?),
            Ask::StoreFrame(frame) => {
                let site = self.site();
                Answer::Stored(self.write(move |batch| batch.store_frame(site, &frame)).await?)
            }
            Ask::StorePart(part) => {
                let site = self.site();
                Answer::PartStored(self.write(move |batch| batch.store_part(site, &part)).await?)
            }
            Ask::Conclude => Answer::Concluded(self.conclude().await?),
            Ask::ReadRows(read) => Answer::Rows(self.read_rows(read).await?),
            Ask::Send(bytes) => {
                unless_superseded(self.slot.as_ref(), self.reply.send(bytes)).await??;
                if let Some(slot) = &self.slot {
                    slot.progress();
                }
                return Ok(Step::GoOn);
            }
            Ask::Refuse(refusal, bytes) => return Ok(Step::Refused(refusal, bytes)),
            Ask::Finished => return Ok(Step::Finished),
        };
        self.with_tools(|exchange, tools| exchange.answer(answer, tools));
        Ok(Step::GoOn)
    }

    async fn begin(
        &mut self,
        head: Head,
        standing: Standing,
    ) -> Result<Result<protocol::exchange::Received, Refusal>, DriveError> {
        let Prelude { site, journal, .. } = head.prelude();
        let key = self.exchange.key().expect("the machine begins only what is proved");
        self.places.prove().map_err(|exchanges_max| DriveError::Overloaded { exchanges_max })?;
        self.body.take_its_time();
        self.speaker = (standing == Standing::Current).then_some((site, key));
        // A device whose place another one took must not hold that one up: its edits have a slot of their own.
        let Some(slot) = self.center.flights().take((site, standing), key).await else {
            let message = format!("another exchange of site {site} is in hand");
            let refusal = Refusal::new("site_busy", &message);
            return Ok(Err(Refusal { retry_after_s: Some(RETRY_AFTER_BUSY_S), ..refusal }));
        };
        self.slot = Some(slot);
        let kept = head.clone();
        self.journal = Some(journal);
        let nonce = Nonce(entropy::bytes());
        let address = self.address.clone();
        let begun = self.write(move |batch| batch.coming_from(address.as_ref()).begin(&head, standing, nonce)).await?;
        self.head = Some(kept);
        Ok(begun)
    }

    async fn conclude(&mut self) -> Result<Result<Box<protocol::exchange::Conclusion>, Refusal>, DriveError> {
        let head = self.head.take().expect("the exchange begins before it concludes");
        let (site, address) = (head.prelude().site, self.address.clone());
        let concluded = self.write(move |batch| {
            let deadline_ms = clock::monotonic_ms() + JUDGE_MS_MAX;
            batch.coming_from(address.as_ref()).conclude(&head, &mut || clock::monotonic_ms() < deadline_ms)
        });
        let concluded = concluded.await?;
        if let Ok(conclusion) = &concluded
            && (conclusion.reply.judged < conclusion.reply.received || conclusion.reply.has_more_control)
        {
            self.center.judge_later(site);
        }
        Ok(concluded.map(Box::new))
    }

    async fn read_rows(&mut self, read: ReadRows) -> Result<Result<protocol::exchange::Rows, Refusal>, DriveError> {
        let (center, site) = (Arc::clone(&self.center), self.site());
        let journal = self.journal.expect("the exchange begins before it reads");
        let rows =
            blocking(move || center.read(move |reading| answer(reading.read_rows(site, journal, &read)))).await?;
        Ok(rows)
    }

    /// Work of the store whose refusal is an answer to the site. Refused if another device took the site's place meanwhile.
    async fn write<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut crate::store::Batch<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Result<T, Refusal>, DriveError> {
        let speaker = self.speaker;
        let work = move |batch: &mut crate::store::Batch<'_>| {
            if let Some((site, key)) = speaker {
                batch.refuse_replaced(site, &key)?;
            }
            work(batch)
        };
        match self.center.writer()?.run(work).await {
            Ok(value) => Ok(Ok(value)),
            Err(WriteError::Store(StoreError::Refused(refusal))) => Ok(Err(refusal)),
            Err(error) => Err(error.into()),
        }
    }

    fn site(&self) -> SiteId {
        self.exchange.site().expect("the machine asks for the store only when it knows the site")
    }

    /// Unpacking, packing and signatures take milliseconds: other tasks of this thread move elsewhere meanwhile.
    fn with_tools(&mut self, work: impl FnOnce(&mut Exchange, &mut Tools<'_>)) {
        let (exchange, codec, signer) = (&mut self.exchange, &mut self.codec, self.center.signer());
        block_in_place(|| work(exchange, &mut Tools { codec, signer, verifier: &Ed25519Verifier }));
    }
}

/// Runs work that waits for the store on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WriteError> + Send + 'static,
) -> Result<T, WriteError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is going down.
        Err(_) => Err(WriteError::Stopping),
    }
}

async fn unless_superseded<T>(slot: Option<&Slot>, work: impl Future<Output = T>) -> Result<T, DriveError> {
    let Some(slot) = slot else { return Ok(work.await) };
    tokio::select! {
        value = work => Ok(value),
        () = slot.superseded() => Err(DriveError::Superseded),
    }
}

fn start_of(error: &DriveError) -> Start {
    use axum::http::StatusCode;

    let (status, code) = match error {
        DriveError::Body(error) => body_error(error),
        // Nobody reads these.
        DriveError::Reply(_) | DriveError::Superseded => (StatusCode::CONFLICT, "site_busy"),
        DriveError::Overloaded { .. } => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        DriveError::Write(WriteError::Stopping) => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        DriveError::Write(WriteError::Store(_)) | DriveError::Center(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "store_failed")
        }
    };
    let message = match error {
        DriveError::Write(WriteError::Store(_)) | DriveError::Center(_) => {
            "central's store failed; its log says more".to_owned()
        }
        other => other.to_string(),
    };
    let retry_after_s = status.is_server_error().then_some(RETRY_AFTER_OVERLOAD_S);
    Start::Error { status, code, message, retry_after_s }
}
