//! Buckets as object stores: credentials and region of the environment, conditional writes, retries with growing pauses. One
//! store per bucket is kept, so that connections are shared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::Aws;
use super::credentials::Credentials;
use super::wire::Wire;
use crate::source::{Buckets, LocationError};

/// The region of buckets where the environment names none.
const DEFAULT_REGION: &str = "us-east-1";
/// Longest time one request may take, the body included; a landing object is read in pieces.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(120);

/// The buckets the environment's credentials can reach.
#[derive(Debug)]
pub struct S3 {
    region: String,
    endpoint: Option<String>,
    credentials: Option<SharedCredentialsProvider>,
    open: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl S3 {
    pub(super) fn new(aws: &Aws, endpoint: Option<String>) -> Self {
        let config = aws.config();
        Self {
            region: config.region().map_or(DEFAULT_REGION, |region| region.as_ref()).to_owned(),
            endpoint: endpoint.or_else(|| config.endpoint_url().map(str::to_owned)),
            credentials: config.credentials_provider(),
            open: Mutex::default(),
        }
    }

    fn store(&self, bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
        let retry = RetryConfig {
            // A throttled prefix recovers within seconds; AWS advises patience rather than failing.
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(15),
                base: 2.0,
            },
            max_retries: 10,
            retry_timeout: Duration::from_secs(180),
        };
        let credentials = self.credentials.clone().map(|credentials| Arc::new(Credentials(credentials)));
        let (region, bucket_name) = (self.region.clone(), bucket.to_owned());
        let mut builder = AmazonS3Builder::new()
            .with_http_connector(Wire { bucket: bucket_name, region, credentials: credentials.clone() })
            .with_bucket_name(bucket)
            .with_region(&self.region)
            // Commits and closes are files that can be created once.
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(retry)
            .with_client_options(ClientOptions::new().with_timeout(REQUEST_TIME_MAX));
        if let Some(credentials) = credentials {
            builder = builder.with_credentials(credentials);
        }
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        Ok(Arc::new(builder.build()?))
    }
}

impl Buckets for S3 {
    fn open(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>, LocationError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = open.get(bucket) {
            return Ok(Arc::clone(store));
        }
        let failed = |source| LocationError::Bucket { bucket: bucket.to_owned(), source: Box::new(source) };
        let store = self.store(bucket).map_err(failed)?;
        open.insert(bucket.to_owned(), Arc::clone(&store));
        Ok(store)
    }
}
