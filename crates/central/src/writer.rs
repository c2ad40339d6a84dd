//! The one thread that writes. Work of many exchanges that waits at the same time goes into one commit, so that a hundred sites
//! cost little more than one; nobody is answered before the commit is durable.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{Notify, mpsc, oneshot};

use crate::clock;
use crate::error::{CentralError, Exit};
use crate::news::News;
use crate::store::{Batch, Store, StoreError};

/// Jobs that wait at most; whoever has one more waits for a place. Each exchange has one job at a time, so this is not reached
/// before `limits.exchanges_max`.
pub const QUEUE_JOBS_MAX: usize = 1024;
/// Jobs in one commit at most: it bounds what a failed commit takes with it, and how long the first job waits for its answer.
pub const BATCH_JOBS_MAX: usize = 64;

/// Work that was not done.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The store says no, or failed; nothing of the work is kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server stops.
    #[error("central is stopping; try again when it is back")]
    Stopping,
}

impl From<WriteError> for CentralError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Store(error) => error.into(),
            WriteError::Stopping => Self::new("stopping", error.to_string(), "Try again later.", Exit::Busy),
        }
    }
}

/// Tells whoever waits how the commit went.
type Tell = Box<dyn FnOnce(Result<(), &StoreError>) + Send>;

/// Work in a batch with others.
type BatchJob = Box<dyn FnOnce(&mut Batch<'_>) -> Tell + Send>;

enum Job {
    /// See [`BatchJob`].
    Batch(BatchJob),
    /// Runs alone on the store: reads of a store that has no other connection.
    Alone(Box<dyn FnOnce(&mut Store) + Send>),
    /// Wakes the thread so that it sees that it shall stop.
    Stop,
}

/// The way to the writing thread.
pub struct Writer {
    sender: mpsc::Sender<Job>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Tells whether the writing thread shall stop.
pub struct StopSignal(Arc<Shared>);

impl StopSignal {
    /// Whether it shall.
    pub fn is_set(&self) -> bool {
        self.0.is_stopping.load(Ordering::Acquire)
    }
}

#[derive(Default)]
struct Shared {
    is_stopping: AtomicBool,
    has_ended: AtomicBool,
    ended: Notify,
}

/// Says that the thread has ended, also when it panics.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.has_ended.store(true, Ordering::Release);
        self.0.ended.notify_waiters();
    }
}

impl Writer {
    /// Starts the thread. After each commit it says whom that may have given something.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub(crate) fn start(store: Store, news: Arc<News>) -> Result<Self, CentralError> {
        let (sender, receiver) = mpsc::channel(QUEUE_JOBS_MAX);
        let shared = Arc::new(Shared::default());
        let ending = Ending(Arc::clone(&shared));
        let run = move || {
            let ending = ending;
            write_until_stopped(store, receiver, &ending.0, &news);
        };
        let thread = std::thread::Builder::new().name("writer".to_owned()).spawn(run).map_err(|error| {
            let advice = "Raise the limit of threads of this user.";
            CentralError::new("no_thread", format!("the writing thread cannot start: {error}"), advice, Exit::Failed)
        })?;
        Ok(Self { sender, shared, thread: Mutex::new(Some(thread)) })
    }

    /// Runs work in the next commit and answers when it is durable.
    ///
    /// # Errors
    /// What the work or the commit ended with; [`WriteError::Stopping`].
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, WriteError> {
        let (job, answer) = batch_job(work);
        self.check_running()?;
        self.sender.send(job).await.map_err(|_| WriteError::Stopping)?;
        answer.await.unwrap_or(Err(WriteError::Stopping))
    }

    /// Hands in work for the next commit; the answer comes when it is durable. For threads that may wait.
    ///
    /// # Errors
    /// [`WriteError::Stopping`].
    pub fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, WriteError>>, WriteError> {
        let (job, answer) = batch_job(work);
        self.check_running()?;
        self.sender.blocking_send(job).map_err(|_| WriteError::Stopping)?;
        Ok(answer)
    }

    /// As [`Writer::run`], for threads that may wait.
    ///
    /// # Errors
    /// As [`Writer::run`].
    pub fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, WriteError> {
        self.submit(work)?.blocking_recv().unwrap_or(Err(WriteError::Stopping))
    }

    /// Runs work alone on the store, between commits.
    ///
    /// # Errors
    /// [`WriteError::Stopping`], what the work ended with.
    pub fn run_alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, WriteError> {
        let (sender, answer) = oneshot::channel();
        let job = Job::Alone(Box::new(move |store| {
            // Nobody waits any more if this fails.
            let _ = sender.send(work(store).map_err(WriteError::from));
        }));
        self.check_running()?;
        self.sender.blocking_send(job).map_err(|_| WriteError::Stopping)?;
        answer.blocking_recv().unwrap_or(Err(WriteError::Stopping))
    }

    /// Lets the running commit end and refuses everything else. Returns at once.
    pub fn stop(&self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        // A full queue wakes the thread as well.
        let _ = self.sender.try_send(Job::Stop);
    }

    /// For long work on the thread, which should end early when the server stops.
    pub fn stop_signal(&self) -> StopSignal {
        StopSignal(Arc::clone(&self.shared))
    }

    /// Waits until the thread has ended; it ends by [`Writer::stop`], and by a mistake in the program.
    pub async fn ended(&self) {
        let ended = self.shared.ended.notified();
        if !self.shared.has_ended.load(Ordering::Acquire) {
            ended.await;
        }
    }

    fn check_running(&self) -> Result<(), WriteError> {
        if self.shared.is_stopping.load(Ordering::Acquire) { Err(WriteError::Stopping) } else { Ok(()) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writing thread ended by a mistake in the program");
        }
    }
}

fn batch_job<T: Send + 'static>(
    work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError> + Send + 'static,
) -> (Job, oneshot::Receiver<Result<T, WriteError>>) {
    let (sender, answer) = oneshot::channel();
    let run = move |batch: &mut Batch<'_>| -> Tell {
        let value = work(batch);
        Box::new(move |committed| {
            let value = match committed {
                Ok(()) => value,
                Err(error) => Err(copy_of(error)),
            };
            // Nobody waits any more if this fails; what was committed stays.
            let _ = sender.send(value.map_err(WriteError::from));
        })
    };
    (Job::Batch(Box::new(run)), answer)
}

fn write_until_stopped(mut store: Store, mut receiver: mpsc::Receiver<Job>, shared: &Shared, news: &News) {
    let mut kept_back = None;
    while !shared.is_stopping.load(Ordering::Acquire) {
        let Some(first) = kept_back.take().or_else(|| receiver.blocking_recv()) else { return };
        match first {
            Job::Stop => return,
            Job::Alone(work) => work(&mut store),
            Job::Batch(work) => {
                let mut waiting = vec![work];
                while waiting.len() < BATCH_JOBS_MAX {
                    match receiver.try_recv() {
                        Ok(Job::Batch(work)) => waiting.push(work),
                        Ok(other) => {
                            kept_back = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                commit(&mut store, waiting);
            }
        }
        news.look_at(&store.take_concerned());
    }
}

fn commit(store: &mut Store, jobs: Vec<BatchJob>) {
    let mut tells = Vec::with_capacity(jobs.len());
    let committed = store.batch(clock::wall_ms(), |batch| {
        for job in jobs {
            tells.push(job(batch));
        }
    });
    if let Err(error) = &committed {
        tracing::error!(code = error.code(), "a commit failed: {error}");
    }
    for tell in tells {
        tell(match &committed {
            Ok(()) => Ok(()),
            Err(error) => Err(error),
        });
    }
}

/// One failed commit is told to everybody in it.
fn copy_of(error: &StoreError) -> StoreError {
    match error {
        StoreError::Refused(refusal) => StoreError::Refused(refusal.clone()),
        StoreError::Sql(error) => StoreError::Sql(error.clone()),
        StoreError::Unreadable(record) => StoreError::Unreadable(record.clone()),
        StoreError::Damaged(what) => StoreError::Damaged(what.clone()),
    }
}
