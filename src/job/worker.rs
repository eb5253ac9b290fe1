//! Work off a queue of notifications: each message names objects, which are converted; then the message is deleted. While
//! that takes, the message is held, so that nobody else takes it. A message whose objects cannot be converted, or that is no
//! notification, comes back, and is set aside by the queue when it has come back too often. Whoever dies in the middle leaves
//! the message to others: converting twice gives the same bytes.

use futures::StreamExt;

use crate::source::{Message, NoticeError, Queue, QueueError, notices};

use super::notified::{NotifiedReport, convert_notified};
use super::{Job, JobError};

/// Why a message was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// It is no notification.
    #[error(transparent)]
    Notice(#[from] NoticeError),
    /// An object it names cannot be converted.
    #[error("{key}")]
    Object {
        /// Key of the object.
        key: String,
        /// Why.
        #[source]
        source: JobError,
    },
    /// The lake or the landing objects cannot be reached.
    #[error(transparent)]
    Job(#[from] JobError),
    /// It could not be deleted.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// What became of the messages of one taking.
#[derive(Debug, Default)]
pub struct WorkReport {
    /// Messages worked off and deleted.
    pub done: u64,
    /// What became of the objects they named.
    pub notified: NotifiedReport,
    /// Objects of no source, and notifications of other things than new objects.
    pub ignored: u64,
    /// Messages that will come back, by their ids.
    pub failed: Vec<(String, MessageError)>,
}

/// Works off messages that were taken.
pub async fn work_off(job: &Job, queue: &dyn Queue, messages: &[Message]) -> WorkReport {
    let mut report = WorkReport::default();
    let mut each = futures::stream::iter(messages)
        .map(|message| async move { (message, held_while(queue, message, work_one(job, queue, message)).await) })
        .buffer_unordered(job.parallel.max(1));
    while let Some((message, result)) = each.next().await {
        match result {
            Ok((notified, other)) => {
                report.done += 1;
                report.ignored += notified.foreign + other;
                report.notified.absorb(notified);
            }
            Err(error) => report.failed.push((message.id.clone(), error)),
        }
    }
    report
}

async fn work_one(job: &Job, queue: &dyn Queue, message: &Message) -> Result<(NotifiedReport, u64), MessageError> {
    let (report, other) = convert_message(job, &message.body).await?;
    queue.delete(message).await?;
    Ok((report, other))
}

/// Converts what a message names; also gives how much it tells of other things. Fails where one of its objects failed.
pub async fn convert_message(job: &Job, body: &str) -> Result<(NotifiedReport, u64), MessageError> {
    let told = notices(body.as_bytes())?;
    let mut report = convert_notified(job, &told.created).await?;
    match report.failed.pop() {
        Some(failed) => Err(MessageError::Object { key: failed.key, source: failed.error }),
        None => Ok((report, told.other + told.tests)),
    }
}

/// Does the work while the message is held again and again. Where holding fails, somebody else may do the work too.
async fn held_while<T>(queue: &dyn Queue, message: &Message, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(queue.hold_every()) => drop(queue.hold(message).await),
        }
    }
}
