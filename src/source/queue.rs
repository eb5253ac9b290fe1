//! A queue of messages that is shared by many: a message that somebody takes is hidden from the others for a while, and comes
//! back unless it is deleted. A message that keeps coming back is set aside by the queue itself.

use std::time::Duration;

use async_trait::async_trait;

/// A message, taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Names it, whoever takes it.
    pub id: String,
    /// Names this taking of it.
    pub handle: String,
    /// Its text.
    pub body: String,
}

/// A queue that could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct QueueError {
    /// What was to be done.
    pub action: &'static str,
    /// Why not.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// A queue.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Takes some messages; waits a while for the first, and gives none where none came.
    async fn receive(&self) -> Result<Vec<Message>, QueueError>;
    /// Hides a message for another while, from now.
    async fn hold(&self, message: &Message) -> Result<(), QueueError>;
    /// Deletes a message: its work is done.
    async fn delete(&self, message: &Message) -> Result<(), QueueError>;
    /// How often a message that takes long must be held.
    fn hold_every(&self) -> Duration;
}
