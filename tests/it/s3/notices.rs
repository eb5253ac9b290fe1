//! Notifications of a bucket that keeps versions: the version that was named is read, and one that comes too late never takes
//! the place of a newer one, however the bucket looks by then.

use std::sync::Arc;

use meterlake::job::notified::{NotifiedReport, convert_notified};
use meterlake::job::{Job, Silent, build};
use meterlake::source::{Buckets, Location, LocationError, Notice};
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;

use super::memory::IN_ONE_SECOND;
use super::{Cloud, REGION, VERSIONS};
use crate::lab::{Call, Key, Lab, at, block_on, lines};

/// A key as any program writes it, and one whose name tells its arrival, which all its versions share.
const KEYS: [&str; 2] = ["a", "apigw-1-2026-10-05-09-00-00-5661c3b2-01a3-4864-afad-b6d96fbe466d"];

#[derive(Debug)]
struct Bucket {
    url: String,
    key: String,
    secret: String,
}

impl Buckets for Bucket {
    fn open(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>, LocationError> {
        let builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(REGION)
            .with_endpoint(&self.url)
            .with_allow_http(true)
            .with_access_key_id(&self.key)
            .with_secret_access_key(&self.secret);
        Ok(Arc::new(builder.build().unwrap()))
    }
}

/// A lake in a folder, with sources in the bucket.
async fn job(lab: &Lab, cloud: &Cloud) -> Job {
    let mut job = lab.job().await;
    for source in &mut job.sources {
        let location = format!("s3://{VERSIONS}/{}/landing/{}", cloud.prefix, source.name);
        source.location = Location::parse(&location).unwrap();
    }
    let place = &cloud.place;
    job.buckets = Arc::new(Bucket { url: place.url.clone(), key: place.key.clone(), secret: place.secret.clone() });
    job
}

/// What is told of a version of an object of the origin, handled.
fn told(lab: &Lab, cloud: &Cloud, key: &str, version: &Option<String>, sequencer: u32) -> NotifiedReport {
    let notice = Notice {
        bucket: VERSIONS.to_owned(),
        key: format!("{}/landing/origin/{key}", cloud.prefix),
        sequencer: Some(format!("{sequencer:X}")),
        version: version.clone(),
        etag: None,
        bytes: None,
    };
    let report = block_on(async { convert_notified(&job(lab, cloud).await, &[notice]).await.unwrap() });
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    report
}

fn build_all(lab: &Lab, cloud: &Cloud) {
    block_on(async { build::build_events(&job(lab, cloud).await, &Silent).await.unwrap() });
}

fn calls(numbers: std::ops::Range<i64>) -> Vec<u8> {
    lines(&numbers.map(|n| Call::new(at(0, 9, n), Key::Acme).line()).collect::<Vec<_>>())
}

fn events(lab: &Lab) -> String {
    lab.query("SELECT count(*) AS n FROM origin_requests").concat()
}

/// Before, the older version replaced the newer one: nobody can ask a bucket for the newest version of a deleted key.
#[test]
fn a_late_notice_of_an_older_version_changes_nothing_once_the_key_is_deleted() {
    for key in KEYS {
        let (lab, cloud) = (Lab::new(), Cloud::new(VERSIONS));
        let first = cloud.put(&format!("landing/origin/{key}"), calls(0..2));
        let second = cloud.put(&format!("landing/origin/{key}"), calls(0..5));
        assert_eq!(told(&lab, &cloud, key, &second, 2).converted, 1);
        build_all(&lab, &cloud);
        assert_eq!(events(&lab), "5");
        cloud.delete(&format!("landing/origin/{key}"));
        for _ in 0..2 {
            told(&lab, &cloud, key, &first, 1);
            build_all(&lab, &cloud);
            assert_eq!(events(&lab), "5", "{key}");
        }
        let states = lab.query("SELECT state, count(*) AS n FROM objects GROUP BY state");
        assert_eq!(states, ["applied,1"], "{key}");
        assert!(block_on(async { lab.job().await.lake.receipts().await.unwrap() }).is_empty());
    }
}

/// The same before the newer one is built: both wait, and the newer one counts, whichever was read first.
#[test]
fn of_two_versions_of_a_deleted_key_the_newer_one_counts() {
    for (key, order) in KEYS.into_iter().flat_map(|key| [(key, [0, 1]), (key, [1, 0])]) {
        let (lab, cloud) = (Lab::new(), Cloud::new(VERSIONS));
        let versions = [calls(0..2), calls(0..5)].map(|content| cloud.put(&format!("landing/origin/{key}"), content));
        cloud.delete(&format!("landing/origin/{key}"));
        for n in order {
            assert_eq!(told(&lab, &cloud, key, &versions[n], 1 + n as u32).converted, 1);
        }
        build_all(&lab, &cloud);
        assert_eq!(events(&lab), "5", "{key} {order:?}");
        // With a build between them.
        let other = lab.twin("between");
        for n in order {
            told(&other, &cloud, key, &versions[n], 1 + n as u32);
            build_all(&other, &cloud);
        }
        assert_eq!(events(&other), "5", "{key} {order:?}, built between");
    }
}

/// Before, chance said which of two versions of one second counted, where both were waiting for a build.
#[test]
fn of_two_versions_of_one_second_the_one_that_lies_there_counts() {
    let (lab, cloud) = (Lab::new(), Cloud::new(VERSIONS));
    for n in 0..6 {
        let key = format!("{IN_ONE_SECOND}-{n}");
        for numbers in [n * 10..n * 10 + 2, n * 10..n * 10 + 5] {
            let version = cloud.put(&format!("landing/origin/{key}"), calls(numbers));
            assert_eq!(told(&lab, &cloud, &key, &version, 1).converted, 1);
        }
    }
    build_all(&lab, &cloud);
    assert_eq!(events(&lab), "30");
}

/// Somebody deletes the newest version: what lies there then counts, though it is older.
#[test]
fn an_older_version_that_came_back_counts() {
    let (lab, cloud) = (Lab::new(), Cloud::new(VERSIONS));
    let key = "landing/origin/a";
    let first = cloud.put(key, calls(0..2));
    let second = cloud.put(key, calls(0..5));
    told(&lab, &cloud, "a", &second, 2);
    build_all(&lab, &cloud);
    let request = cloud.client.delete_object().bucket(VERSIONS).key(format!("{}/{key}", cloud.prefix));
    cloud.runtime.block_on(request.version_id(second.unwrap()).send()).unwrap();
    told(&lab, &cloud, "a", &first, 1);
    build_all(&lab, &cloud);
    assert_eq!(events(&lab), "2");
}

/// A version is asked for by its name: what is written under the key between the notice and the reading is not read for it.
#[test]
fn the_version_that_was_named_is_read() {
    let (lab, cloud) = (Lab::new(), Cloud::new(VERSIONS));
    let key = "landing/origin/a";
    let first = cloud.put(key, calls(0..2));
    cloud.delete(key);
    assert_eq!(told(&lab, &cloud, "a", &first, 1).records, 2);
    // An older version that is told of while a newer one lies there: the newer one is read.
    cloud.put(key, calls(0..5));
    assert_eq!(told(&lab, &cloud, "a", &first, 1).records, 5);
    build_all(&lab, &cloud);
    assert_eq!(events(&lab), "5");
}
