//! AWS services, behind what the rest of meterlake knows: buckets as object stores, configuration and secrets as bytes, queues,
//! totals, API keys by their fingerprints, the Glue catalogue, counts of requests, what buckets tell, the Lambda runtime.
//! Credentials and region are found as every AWS tool finds them (profiles, SSO, containers, instance roles, web identity),
//! endpoints likewise. Nothing outside this folder names a type of the AWS SDK.

mod apigateway;
mod cloudwatch;
mod credentials;
mod dynamodb;
mod glue;
pub mod lambda;
mod notifications;
mod s3;
mod secrets;
mod sqs;
mod wire;

use std::sync::Arc;

use aws_config::{BehaviorVersion, SdkConfig};

pub use dynamodb::DynamoTotals;
pub use glue::GlueDatabase;
pub(crate) use notifications::id_for;
pub use notifications::{BucketNotifications, InTheWay, Notifications, Told, Versions, Wanted};
pub use s3::S3;
pub use sqs::Sqs;

/// What AWS answered, or why it could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AwsError {
    /// A service refused or could not be reached.
    #[error("{service}: cannot {action}")]
    Service {
        /// The service as AWS calls it.
        service: &'static str,
        /// What was asked of it.
        action: String,
        /// Its answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer lacks what it must have.
    #[error("{service}: the answer to {action} has no {what}")]
    Incomplete {
        /// The service as AWS calls it.
        service: &'static str,
        /// What was asked of it.
        action: String,
        /// What is missing.
        what: &'static str,
    },
    /// Something is there, but not as it must be.
    #[error("{service}: {what}")]
    Unsuitable {
        /// The service as AWS calls it.
        service: &'static str,
        /// What must be otherwise.
        what: String,
    },
    /// The answer is not what it must be.
    #[error("{service}: the answer to {action} cannot be used: {problem}")]
    Unusable {
        /// The service as AWS calls it.
        service: &'static str,
        /// What was asked of it.
        action: String,
        /// What is wrong.
        problem: String,
    },
}

impl AwsError {
    /// A failed call of a service.
    fn of(
        service: &'static str,
        action: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Service { service, action: action.into(), source: source.into() }
    }
}

/// The environment's AWS configuration: credentials, region, endpoints. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Aws {
    config: SdkConfig,
}

impl Aws {
    /// Finds the configuration; credentials are looked for when first used.
    pub async fn load() -> Self {
        Self { config: aws_config::defaults(BehaviorVersion::latest()).load().await }
    }

    /// Buckets; `endpoint` is another address of S3 than AWS's own.
    pub fn s3(&self, endpoint: Option<String>) -> Arc<S3> {
        Arc::new(S3::new(self, endpoint))
    }

    /// Where a service's client is made from.
    fn config(&self) -> &SdkConfig {
        &self.config
    }
}
