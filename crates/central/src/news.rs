//! The questions for news that are held, one of each site. A commit says whom it may have given something; those who wait and are among
//! them are looked at in rounds, a few at a time by one reader, so that a commit that concerns a thousand sites is neither a thousand
//! reads at once nor a thousand syncs in one moment. While nobody waits nothing runs, and whoever waits holds no thread and no reader.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::ids::SiteId;
use protocol::message::Refusal;
use protocol::news::Question;
use tokio::sync::{Notify, oneshot};

use crate::store::{Concern, Concerned, NewsFound};

/// Sites that are looked at in one round. A look takes some tenths of a millisecond.
pub(crate) const ROUND_SITES_MAX: usize = 32;
/// From one round to the next, in milliseconds: what several commits give a site meanwhile is one look. With [`ROUND_SITES_MAX`] 320 sites
/// a second are told at most, and a thousand within four seconds.
pub(crate) const ROUND_MS: u64 = 100;

/// What becomes of a question that was held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// There is something.
    Something,
    /// An exchange would be refused by now.
    Refused(Refusal),
    /// The site asked another one.
    Replaced,
    /// Central stops.
    Stopping,
    /// Central's store cannot be read.
    Failed,
}

/// Why a question is not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotHeld {
    /// So many are, which is the most.
    Full(usize),
    /// Central stops.
    Stopping,
}

/// See the module.
pub(crate) struct News {
    held_max: usize,
    last: AtomicU64,
    state: Mutex<State>,
    is_due: Notify,
}

#[derive(Default)]
struct State {
    held: BTreeMap<SiteId, Held>,
    is_stopping: bool,
    /// Whether somebody runs the rounds.
    is_watched: bool,
}

struct Held {
    number: u64,
    question: Arc<Question>,
    scopes: Vec<i64>,
    concern: Concern,
    tell: oneshot::Sender<Told>,
}

/// A question that is held, until this is dropped.
pub(crate) struct Holding {
    news: Arc<News>,
    site: SiteId,
    number: u64,
    told: oneshot::Receiver<Told>,
}

/// A site of a round.
pub(crate) struct Due {
    number: u64,
    pub(crate) question: Arc<Question>,
}

impl News {
    pub(crate) fn new(held_max: usize) -> Self {
        Self { held_max, last: AtomicU64::new(0), state: Mutex::default(), is_due: Notify::new() }
    }

    /// Holds a question of the device that speaks for its site; one of the same site before it is answered. It is looked at with the next
    /// round: what was committed since the caller looked is found then.
    pub(crate) fn hold(self: &Arc<Self>, question: Question) -> Result<Holding, NotHeld> {
        let site = question.head.site;
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (tell, told) = oneshot::channel();
        let mut state = self.lock();
        if state.is_stopping {
            return Err(NotHeld::Stopping);
        }
        if state.held.len() >= self.held_max && !state.held.contains_key(&site) {
            return Err(NotHeld::Full(self.held_max));
        }
        let question = Arc::new(question);
        let held = Held { number, question, scopes: Vec::new(), concern: Concern::Perhaps, tell };
        if let Some(before) = state.held.insert(site, held) {
            // Nobody waits any more if this fails.
            let _ = before.tell.send(Told::Replaced);
        }
        drop(state);
        self.is_due.notify_one();
        Ok(Holding { news: Arc::clone(self), site, number, told })
    }

    /// Whether the caller is to run the rounds, because nobody does.
    pub(crate) fn is_to_watch(&self) -> bool {
        !std::mem::replace(&mut self.lock().is_watched, true)
    }

    /// Whoever ran the rounds ended by a mistake.
    pub(crate) fn watch_broke(&self) {
        self.lock().is_watched = false;
    }

    /// How many sites wait.
    pub(crate) fn count(&self) -> usize {
        self.lock().held.len()
    }

    /// Takes in whom a commit may have given something.
    pub(crate) fn look_at(&self, concerned: &Concerned) {
        if concerned.is_nobody() {
            return;
        }
        let mut is_due = false;
        for (site, held) in &mut self.lock().held {
            match concerned.concern(*site, &held.scopes) {
                Concern::None => {}
                Concern::Perhaps if held.concern == Concern::Certain => {}
                concern @ (Concern::Perhaps | Concern::Certain) => (held.concern, is_due) = (concern, true),
            }
        }
        if is_due {
            self.is_due.notify_one();
        }
    }

    /// The sites of the next round, once there are any; none when nobody waits any more, which ends the watch.
    pub(crate) async fn next_round(&self) -> Vec<Due> {
        loop {
            let due = self.is_due.notified();
            {
                let mut state = self.lock();
                let round = state.round();
                if !round.is_empty() {
                    return round;
                }
                if state.held.is_empty() {
                    state.is_watched = false;
                    return round;
                }
            }
            due.await;
        }
    }

    /// Takes in what was found for a site of a round.
    pub(crate) fn found(&self, due: &Due, found: Option<NewsFound>) {
        let told = match found {
            Some(NewsFound::Nothing { scopes }) => {
                let mut state = self.lock();
                let held = state.held.get_mut(&due.question.head.site).filter(|held| held.number == due.number);
                if let Some(held) = held {
                    held.scopes = scopes;
                }
                return;
            }
            Some(NewsFound::Something) => Told::Something,
            Some(NewsFound::Refused(refusal)) => Told::Refused(refusal),
            None => Told::Failed,
        };
        self.lock().tell(due.question.head.site, due.number, told);
    }

    /// Answers all, and holds no more.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.is_stopping = true;
        for (_, held) in std::mem::take(&mut state.held) {
            // Nobody waits any more if this fails.
            let _ = held.tell.send(Told::Stopping);
        }
        drop(state);
        self.is_due.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A map is whole whatever the task that panicked was doing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the sites of a round. Those that certainly have something are told so without a look.
    fn round(&mut self) -> Vec<Due> {
        let (mut round, mut certain) = (Vec::new(), Vec::new());
        for (site, held) in &mut self.held {
            if round.len() + certain.len() >= ROUND_SITES_MAX {
                break;
            }
            match std::mem::replace(&mut held.concern, Concern::None) {
                Concern::None => {}
                Concern::Perhaps => {
                    round.push(Due { number: held.number, question: Arc::clone(&held.question) });
                }
                Concern::Certain => certain.push((*site, held.number)),
            }
        }
        for (site, number) in certain {
            self.tell(site, number, Told::Something);
        }
        round
    }

    fn tell(&mut self, site: SiteId, number: u64, told: Told) {
        if self.held.get(&site).is_some_and(|held| held.number == number)
            && let Some(held) = self.held.remove(&site)
        {
            // Nobody waits any more if this fails.
            let _ = held.tell.send(told);
        }
    }
}

impl Holding {
    /// Waits until there is an answer.
    pub(crate) async fn told(&mut self) -> Told {
        // Without a sender the answer was given already, or whoever looked made a mistake.
        (&mut self.told).await.unwrap_or(Told::Failed)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut state = self.news.lock();
        if state.held.get(&self.site).is_some_and(|held| held.number == self.number) {
            state.held.remove(&self.site);
        }
        drop(state);
        // The watch ends with the last one.
        self.news.is_due.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use protocol::check;
    use protocol::ids::{CredentialGeneration, JournalId};
    use protocol::message::Cursor;

    use super::*;

    fn question(site: u32) -> Question {
        let head = check::head(SiteId(site), JournalId([1; 16]), CredentialGeneration(1), [0; 8]);
        Question { head, through: Cursor::default(), wait_s: 60 }
    }

    fn news(held_max: usize) -> Arc<News> {
        Arc::new(News::new(held_max))
    }

    fn quiet(news: &News, due: &Due, scopes: &[i64]) {
        news.found(due, Some(NewsFound::Nothing { scopes: scopes.to_vec() }));
    }

    fn in_scope(scope: i64) -> Concerned {
        Concerned::of_scope(scope)
    }

    /// Sites of the next round; nothing is found for any.
    async fn looked_at(news: &News, scopes: &[i64]) -> Vec<u32> {
        let round = news.next_round().await;
        for due in &round {
            quiet(news, due, scopes);
        }
        round.iter().map(|due| due.question.head.site.0).collect()
    }

    #[tokio::test]
    async fn a_newer_question_of_a_site_takes_the_place_of_the_older_one_which_is_answered() {
        let news = news(1);
        let mut older = news.hold(question(2)).unwrap();
        let mut newer = news.hold(question(2)).unwrap();

        assert_eq!(older.told().await, Told::Replaced);
        drop(older);
        assert_eq!(news.count(), 1, "the end of the older one does not end the newer");
        let round = news.next_round().await;
        news.found(&round[0], Some(NewsFound::Something));
        assert_eq!(newer.told().await, Told::Something);
        assert_eq!(news.count(), 0);
    }

    #[tokio::test]
    async fn one_more_than_may_be_held_is_turned_away_and_after_the_stop_everyone_is() {
        let news = news(1);
        let mut held = news.hold(question(2)).unwrap();

        assert_eq!(news.hold(question(3)).err(), Some(NotHeld::Full(1)));
        news.stop();
        assert_eq!(held.told().await, Told::Stopping);
        assert_eq!(news.hold(question(3)).err(), Some(NotHeld::Stopping));
    }

    #[tokio::test]
    async fn a_commit_has_only_those_looked_at_whom_it_concerns() {
        let news = news(10);
        let _held = [2, 3].map(|site| news.hold(question(site)).unwrap());
        let round = news.next_round().await;
        quiet(&news, &round[0], &[7, 8]);
        quiet(&news, &round[1], &[7, 9]);

        news.look_at(&in_scope(9));
        assert_eq!(looked_at(&news, &[7, 9]).await, [3]);
        news.look_at(&in_scope(5));
        news.look_at(&in_scope(7));
        news.look_at(&in_scope(7));
        assert_eq!(looked_at(&news, &[]).await, [2, 3], "two commits are one look");
    }

    #[tokio::test]
    async fn many_that_are_concerned_are_looked_at_in_rounds() {
        let news = news(1000);
        let _held: Vec<Holding> = (0..80).map(|site| news.hold(question(site)).unwrap()).collect();

        let mut rounds = Vec::new();
        for _ in 0..3 {
            rounds.push(looked_at(&news, &[1]).await.len());
        }

        assert_eq!(rounds, [ROUND_SITES_MAX, ROUND_SITES_MAX, 80 - 2 * ROUND_SITES_MAX]);
    }

    #[tokio::test]
    async fn a_site_that_receives_other_scopes_is_told_without_a_look() {
        let news = news(10);
        let mut held = news.hold(question(2)).unwrap();
        assert_eq!(looked_at(&news, &[1]).await, [2]);

        news.look_at(&Concerned::of_rescoped(SiteId(2)));
        news.look_at(&in_scope(1));

        assert!(news.next_round().await.is_empty(), "nobody is left");
        assert_eq!(held.told().await, Told::Something);
    }

    #[tokio::test]
    async fn who_goes_away_is_forgotten_and_the_watch_ends_with_the_last() {
        let news = news(10);
        let held = news.hold(question(2)).unwrap();
        assert!(news.is_to_watch());
        assert!(!news.is_to_watch());
        drop(held);

        assert!(news.next_round().await.is_empty());
        assert_eq!(news.count(), 0);
        assert!(news.is_to_watch(), "the next one begins another");
    }
}
