//! What a refused creation means, on a store whose answers are not to be trusted.

use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStoreExt, PutMultipartOptions,
    PutOptions, PutResult, Result,
};

use super::*;

/// What becomes of a write.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is done, and its reply says that the file was there: how a client tells of a write it had to repeat.
    DoneAndRefused,
    /// It is done, and its reply is lost.
    DoneAndLost,
    /// It is not done, and its reply says that the file is there: two wrote at once.
    Refused,
    /// It is not done, and nobody knows.
    Lost,
}

/// A store that treats its first writes so.
#[derive(Debug, Default)]
struct Liar {
    kept: InMemory,
    fates: Mutex<Vec<Fate>>,
}

impl fmt::Display for Liar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a liar")
    }
}

#[async_trait]
impl ObjectStore for Liar {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fate = self.fates.lock().unwrap().pop();
        let refused = || Error::AlreadyExists { path: path.to_string(), source: "told so".into() };
        let lost = || Error::Generic { store: "liar", source: "no reply".into() };
        match fate {
            None => self.kept.put_opts(path, payload, options).await,
            Some(Fate::DoneAndRefused) => self.kept.put_opts(path, payload, options).await.and(Err(refused())),
            Some(Fate::DoneAndLost) => self.kept.put_opts(path, payload, options).await.and(Err(lost())),
            Some(Fate::Refused) => Err(refused()),
            Some(Fate::Lost) => Err(lost()),
        }
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.kept.get_opts(path, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.kept.put_multipart_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.kept.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.kept.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.kept.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.kept.copy_opts(from, to, options).await
    }
}

/// What creating says under these fates, in order, where `before` lies there; and what lies there afterwards.
async fn created(before: Option<&'static str>, fates: &[Fate]) -> (Option<bool>, Option<Bytes>) {
    let path = Path::from("closed.json");
    let store = Liar::default();
    if let Some(before) = before {
        store.put(&path, before.into()).await.unwrap();
    }
    store.fates.lock().unwrap().extend(fates.iter().rev());
    let created = create(&store, &path, Bytes::from_static(b"mine")).await.ok();
    (created, meta::read(&store, &path).await.unwrap())
}

#[tokio::test]
async fn what_was_written_is_told_from_what_was_there() {
    let mine = Some(Bytes::from_static(b"mine"));
    assert_eq!(created(None, &[]).await, (Some(true), mine.clone()));
    for fate in [Fate::DoneAndRefused, Fate::DoneAndLost] {
        assert_eq!(created(None, &[fate]).await, (Some(true), mine.clone()), "{fate:?}");
    }
    let others = Some(Bytes::from_static(b"another's"));
    for fates in [&[][..], &[Fate::Refused], &[Fate::Lost]] {
        assert_eq!(created(Some("another's"), fates).await, (Some(false), others.clone()), "{fates:?}");
    }
}

#[tokio::test]
async fn a_refusal_that_left_nothing_is_tried_again_and_a_failure_told() {
    let mine = Some(Bytes::from_static(b"mine"));
    assert_eq!(created(None, &[Fate::Refused, Fate::Refused]).await, (Some(true), mine));
    assert_eq!(created(None, &[Fate::Refused; ATTEMPTS_MAX]).await, (None, None));
    assert_eq!(created(None, &[Fate::Lost]).await, (None, None));
}
