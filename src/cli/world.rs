//! What surrounds the process: its environment, and AWS where the configuration or a command asks for it. AWS is looked up
//! when it is first needed, so that whoever works on folders never waits for it.

use std::io;
use std::sync::Arc;

use anyhow::Result;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use crate::aws::{Aws, S3};
use crate::source::{Buckets, Location, NoBuckets, key_path};

use super::settings::{Outside, Settings};

/// The environment, and AWS when it is asked for.
#[derive(Debug, Default)]
pub(crate) struct World {
    aws: OnceCell<(Aws, Arc<S3>)>,
}

impl World {
    /// The environment's AWS configuration.
    pub(crate) async fn aws(&self) -> &Aws {
        &self.both().await.0
    }

    /// What opens the buckets that a configuration names.
    pub(crate) async fn buckets(&self, settings: &Settings) -> Arc<dyn Buckets> {
        let places = settings.sources.iter().map(|source| &source.location).chain([&settings.lake]);
        self.buckets_of(places.map(String::as_str)).await
    }

    /// What opens the buckets among places.
    pub(crate) async fn buckets_of<'p>(&self, mut places: impl Iterator<Item = &'p str>) -> Arc<dyn Buckets> {
        match places.any(|place| place.starts_with("s3://")) {
            true => Arc::clone(&self.both().await.1) as Arc<dyn Buckets>,
            false => Arc::new(NoBuckets),
        }
    }

    async fn both(&self) -> &(Aws, Arc<S3>) {
        self.aws
            .get_or_init(|| async {
                let aws = Aws::load().await;
                let s3 = aws.s3(self.variable("AWS_ENDPOINT_URL_S3"));
                (aws, s3)
            })
            .await
    }

    /// Where the object of an `s3://` address lies.
    pub(crate) async fn place(&self, url: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
        let Location::Bucket { bucket, prefix: key } = Location::parse(url)? else {
            anyhow::bail!("it is not an s3:// address");
        };
        Ok((self.both().await.1.open(&bucket)?, key_path(&bucket, &key)?))
    }

    async fn read(&self, url: &str) -> Result<Vec<u8>> {
        let (store, path) = self.place(url).await?;
        Ok(store.get(&path).await?.bytes().await?.to_vec())
    }
}

impl Outside for World {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn object(&self, url: &str) -> io::Result<Vec<u8>> {
        waited_for(self.read(url)).map_err(|error| {
            let is_missing = error.chain().any(|cause| {
                matches!(cause.downcast_ref::<object_store::Error>(), Some(object_store::Error::NotFound { .. }))
            });
            let kind = if is_missing { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
            io::Error::new(kind, format!("{error:#}"))
        })
    }

    fn secret(&self, reference: &str) -> io::Result<Vec<u8>> {
        let found = waited_for(async { self.aws().await.secret(reference).await });
        found.map_err(|error| io::Error::other(format!("{:#}", anyhow::Error::from(error))))
    }
}

/// Settings are read by code that does not wait; it runs on a thread that may.
fn waited_for<T>(work: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| Handle::current().block_on(work))
}
