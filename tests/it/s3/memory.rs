//! Buckets in memory, behind the calls of S3 that anything here makes: conditional writes under one lock, versions and delete
//! markers, keys in the order of their bytes, pages of at most 1000, MD5 as ETag, whole seconds as times.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

/// Keys on one page at most.
const PAGE: usize = 1000;

/// All versions of a key with this in it are written in one second.
pub(super) const IN_ONE_SECOND: &str = "in-one-second";

/// The buckets; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Memory {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    buckets: BTreeMap<String, Bucket>,
    uploads: BTreeMap<String, BTreeMap<PartNumber, Bytes>>,
    made: u64,
}

#[derive(Default)]
struct Bucket {
    keeps_versions: bool,
    /// The versions of each key, the newest last.
    keys: BTreeMap<String, Vec<Version>>,
}

#[derive(Clone)]
struct Version {
    id: String,
    /// None: a delete marker.
    bytes: Option<Bytes>,
    etag: String,
    written: SystemTime,
}

impl Version {
    fn etag(&self) -> ETag {
        ETag::Strong(self.etag.clone())
    }

    fn is(&self, condition: &ETagCondition) -> bool {
        condition.is_any() || condition.as_etag().is_some_and(|etag| etag.value() == self.etag)
    }
}

impl State {
    fn bucket(&mut self, name: &str) -> S3Result<&mut Bucket> {
        self.buckets.get_mut(name).ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))
    }

    fn name(&mut self) -> String {
        self.made += 1;
        format!("{:08}", self.made)
    }

    /// Writes a version, or a delete marker, if the conditions hold.
    fn write(
        &mut self,
        (bucket, key): (&str, &str),
        (bytes, etag): (Option<Bytes>, String),
        (if_match, if_none_match): (Option<&ETagCondition>, Option<&ETagCondition>),
    ) -> S3Result<Version> {
        let id = self.name();
        let bucket = self.bucket(bucket)?;
        let versions = bucket.keys.entry(key.to_owned()).or_default();
        let now = versions.last().filter(|version| version.bytes.is_some());
        if if_none_match.is_some_and(|condition| now.is_some_and(|now| now.is(condition))) {
            return Err(s3_error!(PreconditionFailed, "the key is there"));
        }
        match (if_match, now) {
            (Some(_), None) => return Err(s3_error!(NoSuchKey)),
            (Some(condition), Some(now)) if !now.is(condition) => return Err(s3_error!(PreconditionFailed)),
            _ => {}
        }
        // Whole seconds, as S3 keeps them; a later version of a key is later, unless the key asks for one second.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let clock = SystemTime::UNIX_EPOCH + Duration::from_secs(since);
        let written = versions.last().map_or(clock, |last| match key.contains(IN_ONE_SECOND) {
            true => last.written,
            false => clock.max(last.written + Duration::from_secs(1)),
        });
        let version = Version { id, bytes, etag, written };
        if !bucket.keeps_versions {
            versions.clear();
        }
        versions.push(version.clone());
        Ok(version)
    }

    fn delete(&mut self, bucket: &str, key: &str, version: Option<&str>) -> S3Result<()> {
        let keeps_versions = self.bucket(bucket)?.keeps_versions;
        match version {
            Some(id) => {
                if let Some(versions) = self.bucket(bucket)?.keys.get_mut(key) {
                    versions.retain(|version| version.id != id);
                }
            }
            None if keeps_versions => drop(self.write((bucket, key), (None, String::new()), (None, None))?),
            None => drop(self.bucket(bucket)?.keys.remove(key)),
        }
        Ok(())
    }

    fn find(&mut self, bucket: &str, key: &str, version: Option<&str>) -> S3Result<(Version, Bytes)> {
        let versions = self.bucket(bucket)?.keys.get(key).map_or(&[][..], Vec::as_slice);
        let found = match version {
            Some(id) => versions.iter().find(|version| version.id == id).ok_or_else(|| s3_error!(NoSuchVersion))?,
            None => versions.last().ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))?,
        };
        let bytes = found.bytes.clone().ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))?;
        Ok((found.clone(), bytes))
    }
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn read(
        &self,
        (bucket, key, version): (&str, &str, Option<&str>),
        (if_match, if_none_match): (Option<&ETagCondition>, Option<&ETagCondition>),
    ) -> S3Result<(Version, Bytes)> {
        let (found, bytes) = self.lock().find(bucket, key, version)?;
        if if_match.is_some_and(|condition| !found.is(condition)) {
            return Err(s3_error!(PreconditionFailed));
        }
        if if_none_match.is_some_and(|condition| found.is(condition)) {
            return Err(s3_error!(NotModified));
        }
        Ok((found, bytes))
    }
}

fn md5(bytes: &[u8]) -> String {
    Md5::checksum(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn all_of(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(body) = body else { return Ok(Bytes::new()) };
    let pieces: Vec<Bytes> = body.try_collect().await.map_err(|_| s3_error!(IncompleteBody))?;
    Ok(pieces.concat().into())
}

fn length(bytes: &Bytes) -> Option<i64> {
    i64::try_from(bytes.len()).ok()
}

#[async_trait]
impl S3 for Memory {
    async fn create_bucket(&self, r: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        self.lock().buckets.entry(r.input.bucket).or_default();
        Ok(S3Response::new(CreateBucketOutput::default()))
    }

    async fn put_bucket_versioning(
        &self,
        r: S3Request<PutBucketVersioningInput>,
    ) -> S3Result<S3Response<PutBucketVersioningOutput>> {
        let status = r.input.versioning_configuration.status;
        let keeps = status.is_some_and(|status| status.as_str() == BucketVersioningStatus::ENABLED);
        self.lock().bucket(&r.input.bucket)?.keeps_versions = keeps;
        Ok(S3Response::new(PutBucketVersioningOutput::default()))
    }

    async fn put_object(&self, r: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let PutObjectInput { bucket, key, body, if_match, if_none_match, .. } = r.input;
        let bytes = all_of(body).await?;
        let etag = md5(&bytes);
        let conditions = (if_match.as_ref(), if_none_match.as_ref());
        let mut state = self.lock();
        let version = state.write((&bucket, &key), (Some(bytes), etag), conditions)?;
        let version_id = state.bucket(&bucket)?.keeps_versions.then(|| version.id.clone());
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(version.etag()), version_id, ..Default::default() }))
    }

    async fn get_object(&self, r: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let GetObjectInput { bucket, key, version_id, range, if_match, if_none_match, .. } = r.input;
        let at = (&*bucket, &*key, version_id.as_deref());
        let (found, bytes) = self.read(at, (if_match.as_ref(), if_none_match.as_ref()))?;
        let whole = bytes.len();
        let range = range.map(|range| range.check(whole as u64)).transpose()?;
        let content_range = range.as_ref().map(|part| format!("bytes {}-{}/{whole}", part.start, part.end - 1));
        let bytes = range.map_or(bytes.clone(), |part| bytes.slice(part.start as usize..part.end as usize));
        Ok(S3Response::new(GetObjectOutput {
            content_length: length(&bytes),
            content_range,
            e_tag: Some(found.etag()),
            last_modified: Some(found.written.into()),
            version_id: Some(found.id),
            body: Some(s3s::Body::from(bytes).into()),
            ..Default::default()
        }))
    }

    async fn head_object(&self, r: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let HeadObjectInput { bucket, key, version_id, if_match, if_none_match, .. } = r.input;
        let at = (&*bucket, &*key, version_id.as_deref());
        let (found, bytes) = self.read(at, (if_match.as_ref(), if_none_match.as_ref()))?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: length(&bytes),
            e_tag: Some(found.etag()),
            last_modified: Some(found.written.into()),
            version_id: Some(found.id),
            ..Default::default()
        }))
    }

    async fn delete_object(&self, r: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.lock().delete(&r.input.bucket, &r.input.key, r.input.version_id.as_deref())?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(&self, r: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let mut deleted = Vec::new();
        for object in r.input.delete.objects {
            self.lock().delete(&r.input.bucket, &object.key, object.version_id.as_deref())?;
            deleted.push(DeletedObject { key: Some(object.key), ..Default::default() });
        }
        Ok(S3Response::new(DeleteObjectsOutput { deleted: Some(deleted), ..Default::default() }))
    }

    async fn list_objects_v2(&self, r: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        let ListObjectsV2Input { bucket, prefix, delimiter, continuation_token, start_after, max_keys, .. } = r.input;
        let prefix = prefix.unwrap_or_default();
        let page = max_keys.and_then(|keys| usize::try_from(keys).ok()).map_or(PAGE, |keys| keys.min(PAGE));
        let after = continuation_token.or(start_after).unwrap_or_default();
        let mut state = self.lock();
        let (mut contents, mut common_prefixes, mut last, mut more) = (Vec::new(), Vec::new(), String::new(), false);
        let from = (Bound::Included(prefix.clone()), Bound::Unbounded);
        for (key, versions) in state.bucket(&bucket)?.keys.range(from) {
            let Some(rest) = key.strip_prefix(&prefix) else { break };
            let Some((version, bytes)) = versions.last().and_then(|v| Some((v, v.bytes.as_ref()?))) else { continue };
            let group =
                delimiter.as_ref().and_then(|d| rest.split_once(d.as_str()).map(|(g, _)| format!("{prefix}{g}{d}")));
            let name = group.as_ref().unwrap_or(key);
            if *name <= after || *name == last {
                continue;
            }
            if contents.len() + common_prefixes.len() == page {
                more = true;
                break;
            }
            last.clone_from(name);
            match group {
                Some(prefix) => common_prefixes.push(CommonPrefix { prefix: Some(prefix) }),
                None => contents.push(Object {
                    key: Some(key.clone()),
                    size: length(bytes),
                    e_tag: Some(version.etag()),
                    last_modified: Some(version.written.into()),
                    ..Default::default()
                }),
            }
        }
        let count = contents.len() + common_prefixes.len();
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(bucket),
            prefix: Some(prefix),
            key_count: i32::try_from(count).ok(),
            max_keys: i32::try_from(page).ok(),
            is_truncated: Some(more),
            next_continuation_token: more.then_some(last),
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        r: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let mut state = self.lock();
        state.bucket(&r.input.bucket)?;
        let id = state.name();
        state.uploads.insert(id.clone(), BTreeMap::new());
        let (bucket, key) = (Some(r.input.bucket), Some(r.input.key));
        Ok(S3Response::new(CreateMultipartUploadOutput { bucket, key, upload_id: Some(id), ..Default::default() }))
    }

    async fn upload_part(&self, r: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let bytes = all_of(r.input.body).await?;
        let e_tag = Some(ETag::Strong(md5(&bytes)));
        let mut state = self.lock();
        let upload = state.uploads.get_mut(&r.input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        upload.insert(r.input.part_number, bytes);
        Ok(S3Response::new(UploadPartOutput { e_tag, ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        r: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let CompleteMultipartUploadInput { bucket, key, upload_id, multipart_upload, if_match, if_none_match, .. } =
            r.input;
        let mut state = self.lock();
        let parts = state.uploads.get(&upload_id).cloned().ok_or_else(|| s3_error!(NoSuchUpload))?;
        let named = multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let mut bytes = Vec::new();
        for part in &named {
            let held = part.part_number.and_then(|number| parts.get(&number)).ok_or_else(|| s3_error!(InvalidPart))?;
            bytes.extend_from_slice(held);
        }
        let etag = format!("{}-{}", md5(&bytes), named.len());
        let conditions = (if_match.as_ref(), if_none_match.as_ref());
        let version = state.write((&bucket, &key), (Some(bytes.into()), etag), conditions)?;
        state.uploads.remove(&upload_id);
        let e_tag = Some(version.etag());
        let (bucket, key) = (Some(bucket), Some(key));
        Ok(S3Response::new(CompleteMultipartUploadOutput { bucket, key, e_tag, ..Default::default() }))
    }

    async fn abort_multipart_upload(
        &self,
        r: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.lock().uploads.remove(&r.input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}
