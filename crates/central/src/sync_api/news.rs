//! Answers a device that asks whether something waits for it, at once or once something does (`protocol::news`). Only reads: no token, no
//! slot of the site, and no contact is noted.

use std::sync::Arc;
use std::time::Duration;

use codec::Ed25519Verifier;
use protocol::check::CheckError;
use protocol::edge::Signer as _;
use protocol::limits::{NEWS_BYTES_MAX, NEWS_WAIT_S_MAX};
use protocol::news::{Answer, Asked, Question};
use protocol::section::HEADER_BYTES;

use super::listener::Patience;
use crate::center::Center;
use crate::clock;
use crate::news::{Due, NotHeld, ROUND_MS, Told};
use crate::store::NewsFound;
use crate::writer::WriteError;

/// Largest question, in bytes.
pub(super) const REQUEST_BYTES_MAX: usize = HEADER_BYTES + NEWS_BYTES_MAX;
/// Seconds after which a site shall ask again that found all places taken: one may be free by then, and its interval goes on meanwhile.
pub(super) const RETRY_AFTER_FULL_S: u32 = 600;

/// Why there is no signed answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NewsError {
    /// The bytes are no question.
    #[error("{0}")]
    NoQuestion(CheckError),
    /// The store cannot be read.
    #[error("central's store failed; its log says more")]
    Store,
    /// All places are taken.
    #[error(
        "{0} sites wait for news already (limits.news_max, and half of limits.connections_max); go by the interval"
    )]
    Full(usize),
    /// Central stops.
    #[error("central is stopping; try again when it is back")]
    Stopping,
}

/// The signed answer to a question. A connection with `patience` may be silent meanwhile.
pub(super) async fn answer(
    center: Arc<Center>,
    patience: Option<Patience>,
    question: Vec<u8>,
) -> Result<Vec<u8>, NewsError> {
    let asked = Asked::read(&question).map_err(NewsError::NoQuestion)?;
    let (asked, looked) = look(&center, asked).await?;
    let answer = match looked {
        Looked::Refused(refusal) => Answer::Refused(refusal),
        Looked::Something => Answer::Something,
        Looked::Quiet(question) => {
            let _patience = patience.as_ref().map(Patience::hold);
            hold(&center, *question).await?
        }
    };
    Ok(asked.answer(&answer, center.signer()))
}

enum Looked {
    Refused(protocol::message::Refusal),
    Something,
    /// By the device that speaks for its site.
    Quiet(Box<Question>),
}

async fn look(center: &Arc<Center>, asked: Asked) -> Result<(Asked, Looked), NewsError> {
    let center = Arc::clone(center);
    let work = move || {
        let keys = center.keys_of(asked.site())?;
        let (question, standing) = match asked.open(&keys, center.signer().public_key(), &Ed25519Verifier) {
            Ok(opened) => opened,
            Err(refusal) => return Ok((asked, Looked::Refused(refusal))),
        };
        let (shown, now_ms) = (question.clone(), clock::wall_ms());
        let found = center.read(move |reading| {
            reading.at_once(|reading| reading.find_news_for_new(&shown.head, &shown.through, standing, now_ms))
        })?;
        // A retired key is refused there, and so takes the place of nobody.
        let looked = match found {
            NewsFound::Refused(refusal) => Looked::Refused(refusal),
            NewsFound::Something => Looked::Something,
            NewsFound::Nothing { .. } => Looked::Quiet(Box::new(question)),
        };
        Ok((asked, looked))
    };
    super::drive::blocking(work).await.map_err(|error| not_read(&error))
}

/// Until there is something, or the wait is over.
async fn hold(center: &Arc<Center>, question: Question) -> Result<Answer, NewsError> {
    let wait = Duration::from_secs(u64::from(question.wait_s.min(NEWS_WAIT_S_MAX)));
    let mut holding = center.news().hold(question).map_err(|not_held| match not_held {
        NotHeld::Full(held_max) => NewsError::Full(held_max),
        NotHeld::Stopping => NewsError::Stopping,
    })?;
    if center.news().is_to_watch() {
        tokio::spawn(watch(Arc::clone(center)));
    }
    match tokio::time::timeout(wait, holding.told()).await {
        Err(_) => Ok(Answer::Nothing),
        Ok(Told::Something) => Ok(Answer::Something),
        Ok(Told::Refused(refusal)) => Ok(Answer::Refused(refusal)),
        Ok(Told::Replaced) => Ok(Answer::Replaced),
        Ok(Told::Stopping) => Err(NewsError::Stopping),
        Ok(Told::Failed) => Err(NewsError::Store),
    }
}

/// Says that nobody looks any more, should that end by a mistake: the next question begins anew.
struct Watching(Arc<Center>);

impl Drop for Watching {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.news().watch_broke();
        }
    }
}

/// Looks in rounds at those whom commits may have given something, until nobody waits.
async fn watch(center: Arc<Center>) {
    let _watching = Watching(Arc::clone(&center));
    loop {
        let round = center.news().next_round().await;
        if round.is_empty() {
            return;
        }
        let reading = Arc::clone(&center);
        let looked = super::drive::blocking(move || {
            look_at(&reading, round);
            Ok(())
        });
        let looked = looked.await;
        if let Err(error) = looked {
            // The runtime is going down, and everybody was told.
            tracing::debug!("nobody looks for news any more: {error}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(ROUND_MS)).await;
    }
}

fn look_at(center: &Center, round: Vec<Due>) {
    for due in round {
        let (question, now_ms) = (Arc::clone(&due.question), clock::wall_ms());
        let standing = protocol::exchange::Standing::Current;
        // One by one: an edit or an exchange that waits for a reader comes in between.
        let found = center.read(move |reading| {
            reading.at_once(|reading| reading.find_news(&question.head, &question.through, standing, now_ms))
        });
        center.news().found(&due, found.map_err(|error| not_read(&error)).ok());
    }
}

fn not_read(error: &WriteError) -> NewsError {
    match error {
        WriteError::Stopping => NewsError::Stopping,
        WriteError::Store(_) => {
            tracing::error!("a question for news failed: {error}");
            NewsError::Store
        }
    }
}
