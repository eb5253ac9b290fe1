//! SQS as a queue: long polling, up to ten messages at a time. How often a message may come back before it goes to the
//! dead-letter queue is set on the queue itself.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;

use super::{Aws, AwsError};
use crate::source::{Message, Queue, QueueError};

/// How long a message is hidden at a time, seconds. Whoever dies gives it back after so long.
const HIDDEN_SECONDS: i32 = 120;
/// How long to wait for a first message, seconds: as long as SQS allows.
const WAIT_SECONDS: i32 = 20;

/// A queue of SQS.
#[derive(Debug)]
pub struct Sqs {
    client: Client,
    url: String,
    messages_max: i32,
}

impl Aws {
    /// The queue of that URL, of which up to `messages_max` messages are taken at a time.
    pub fn queue(&self, url: &str, messages_max: usize) -> Sqs {
        let messages_max = i32::try_from(messages_max.clamp(1, 10)).unwrap_or(10);
        Sqs { client: Client::new(self.config()), url: url.to_owned(), messages_max }
    }
}

impl Aws {
    /// The ARN of the queue of that URL.
    pub async fn queue_arn(&self, url: &str) -> Result<String, AwsError> {
        const SERVICE: &str = "SQS";
        let action = || format!("tell the ARN of {url}");
        let call = Client::new(self.config()).get_queue_attributes().queue_url(url);
        let found = call.attribute_names(QueueAttributeName::QueueArn).send().await;
        let mut found = found.map_err(|source| AwsError::of(SERVICE, action(), source))?.attributes.unwrap_or_default();
        let arn = found.remove(&QueueAttributeName::QueueArn);
        arn.ok_or_else(|| AwsError::Incomplete { service: SERVICE, action: action(), what: "QueueArn" })
    }
}

fn failed(action: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> QueueError {
    QueueError { action, source: Box::new(source) }
}

#[async_trait]
impl Queue for Sqs {
    async fn receive(&self) -> Result<Vec<Message>, QueueError> {
        let call = self.client.receive_message().queue_url(&self.url).max_number_of_messages(self.messages_max);
        let call = call.wait_time_seconds(WAIT_SECONDS).visibility_timeout(HIDDEN_SECONDS);
        let found = call.send().await.map_err(|source| failed("take messages", source))?;
        let message = |found: aws_sdk_sqs::types::Message| {
            Some(Message { id: found.message_id?, handle: found.receipt_handle?, body: found.body? })
        };
        Ok(found.messages.unwrap_or_default().into_iter().filter_map(message).collect())
    }

    async fn hold(&self, message: &Message) -> Result<(), QueueError> {
        let call = self.client.change_message_visibility().queue_url(&self.url);
        let call = call.receipt_handle(&message.handle).visibility_timeout(HIDDEN_SECONDS);
        call.send().await.map_err(|source| failed("hold a message", source)).map(drop)
    }

    async fn delete(&self, message: &Message) -> Result<(), QueueError> {
        let call = self.client.delete_message().queue_url(&self.url).receipt_handle(&message.handle);
        call.send().await.map_err(|source| failed("delete a message", source)).map(drop)
    }

    fn hold_every(&self) -> Duration {
        Duration::from_secs(u64::from(HIDDEN_SECONDS.unsigned_abs()) / 3)
    }
}
