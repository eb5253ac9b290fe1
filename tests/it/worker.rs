//! Notifications: however often and in whatever order they come, and however many workers take them, the lake is the one
//! that a listing of the same objects makes. The bucket and the queue are in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use meterlake::job::notified::convert_notified;
use meterlake::job::worker::{WorkReport, work_off};
use meterlake::job::{Job, build};
use meterlake::source::{Buckets, Location, LocationError, Message, Notice, Queue, QueueError, notices};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::json;

use super::lab::{Call, Hit, Key, Lab, assert_same, at, block_on, lines};
use super::shell::gz;

const BUCKET: &str = "logs";

/// One bucket, in memory.
#[derive(Debug)]
struct Memory(Arc<InMemory>);

impl Buckets for Memory {
    fn open(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>, LocationError> {
        assert_eq!(bucket, BUCKET);
        Ok(Arc::clone(&self.0) as Arc<dyn ObjectStore>)
    }
}

/// A queue that gives a message back when it was not deleted, until it was taken three times.
#[derive(Default)]
struct Shared {
    waiting: Mutex<VecDeque<Message>>,
    taken: Mutex<BTreeMap<String, u32>>,
    set_aside: Mutex<Vec<String>>,
}

impl Shared {
    fn put(&self, bodies: impl IntoIterator<Item = String>) {
        let mut waiting = self.waiting.lock().unwrap();
        for body in bodies {
            let id = format!("m{}", waiting.len());
            waiting.push_back(Message { handle: id.clone(), id, body });
        }
    }

    /// What a queue does when the time of a taking is over.
    fn return_failed(&self, report: &WorkReport, messages: &[Message]) {
        for (id, _) in &report.failed {
            match self.taken.lock().unwrap()[id] {
                3.. => self.set_aside.lock().unwrap().push(id.clone()),
                _ => self.waiting.lock().unwrap().extend(messages.iter().find(|m| m.id == *id).cloned()),
            }
        }
    }
}

#[async_trait]
impl Queue for Shared {
    async fn receive(&self) -> Result<Vec<Message>, QueueError> {
        let message = self.waiting.lock().unwrap().pop_front();
        if let Some(message) = &message {
            *self.taken.lock().unwrap().entry(message.id.clone()).or_default() += 1;
        }
        Ok(message.into_iter().collect())
    }

    async fn hold(&self, _: &Message) -> Result<(), QueueError> {
        Ok(())
    }

    async fn delete(&self, _: &Message) -> Result<(), QueueError> {
        Ok(())
    }

    fn hold_every(&self) -> Duration {
        Duration::from_millis(1)
    }
}

/// A job whose sources lie in the bucket, under the names that they have as folders.
async fn in_bucket(lab: &Lab, store: &Arc<InMemory>) -> Job {
    let mut job = lab.job().await;
    for source in &mut job.sources {
        source.location = Location::parse(&format!("s3://{BUCKET}/landing/{}", source.name)).unwrap();
    }
    job.buckets = Arc::new(Memory(Arc::clone(store)));
    job
}

/// What S3 says of a new object. Keys are form-encoded.
fn told(key: &str, sequencer: u32) -> String {
    let key = key.replace('%', "%25").replace('+', "%2B").replace('=', "%3D").replace(' ', "+");
    let record = json!({"eventVersion": "2.4", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": BUCKET}, "object": {"key": key, "size": 1, "sequencer": format!("{sequencer:X}")}}});
    json!({"Records": [record]}).to_string()
}

/// Objects of both sources, with names that must be encoded; some records are in two of them.
fn objects() -> Vec<(String, Vec<u8>)> {
    let calls =
        |n: i64| lines(&(0..6).map(|m| Call::new(at(n % 3, 9, (n + m) * 1_000), Key::Acme).line()).collect::<Vec<_>>());
    let hits = |n: i64| gz(&lines(&[Hit::new(at(n % 3, 8, n * 1_000), Key::Beta).line()]));
    let origin = (0..12).map(|n| (format!("origin/day=1/a b+{n}%41é"), calls(n)));
    origin.chain((0..6).map(|n| (format!("edge/{n}.gz"), hits(n)))).collect()
}

#[test]
fn many_workers_on_one_queue_make_the_lake_of_one_run() {
    let lab = Lab::new();
    let other = lab.twin("queued");
    let store = Arc::new(InMemory::new());
    let queue = Shared::default();
    block_on(async {
        for (key, bytes) in objects() {
            lab.write(&format!("landing/{key}"), &bytes);
            store.put(&Path::parse(format!("landing/{key}")).unwrap(), bytes.into()).await.unwrap();
        }
        // Each is told twice, and the other way round the second time.
        let keys: Vec<String> = objects().into_iter().map(|(key, _)| format!("landing/{key}")).collect();
        let twice = keys.iter().chain(keys.iter().rev());
        queue.put(twice.map(|key| told(key, 1)));
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET}).to_string();
        queue.put([
            test,
            told("queued/tables/x.parquet", 1),
            told("landing/origin/_tmp/x", 1),
            told("landing/origin/gone", 1),
        ]);
        queue.put(["no notification".to_owned()]);
        let workers = futures::stream::iter(0..50).map(|_| async {
            let job = in_bucket(&other, &store).await;
            let mut ignored = 0;
            loop {
                let messages = queue.receive().await.unwrap();
                if messages.is_empty() {
                    return ignored;
                }
                let report = work_off(&job, &queue, &messages).await;
                ignored += report.ignored;
                queue.return_failed(&report, &messages);
            }
        });
        let ignored: u64 = workers.buffer_unordered(50).collect::<Vec<u64>>().await.into_iter().sum();
        assert_eq!(ignored, 3, "the test message, the lake's own file and the hidden one");
        assert_eq!(queue.set_aside.lock().unwrap().len(), 1, "what is no notification");
        build::build_events(&in_bucket(&other, &store).await, &meterlake::job::Silent).await.unwrap();
    });
    lab.run();
    other.run();
    assert_same("the lake of the workers", &other.facts(), &lab.facts());
}

#[test]
fn an_older_version_never_replaces_a_newer_one() {
    let lab = Lab::new();
    let store = Arc::new(InMemory::new());
    let path = Path::parse("landing/origin/a").unwrap();
    let call = |n: i64| Call::new(at(0, 9, n), Key::Acme).line();
    let notice = |sequencer, etag: Option<String>| {
        let found = notices(told("landing/origin/a", sequencer).as_bytes()).unwrap().created.remove(0);
        Notice { etag, ..found }
    };
    block_on(async {
        let job = in_bucket(&lab, &store).await;
        let first = store.put(&path, lines(&[call(1)]).into()).await.unwrap();
        let second = store.put(&path, lines(&[call(1), call(2)]).into()).await.unwrap();
        let etag = |put: &object_store::PutResult| put.e_tag.clone().map(|etag| etag.trim_matches('"').to_owned());
        // The notifications come the wrong way round, in messages of their own, with a build between them.
        for (sequencer, put) in [(2, &second), (1, &first)] {
            let report = convert_notified(&job, &[notice(sequencer, etag(put))]).await.unwrap();
            assert!(report.failed.is_empty());
            build::build_events(&job, &meterlake::job::Silent).await.unwrap();
        }
    });
    assert_eq!(lab.query("SELECT count(*) AS n FROM origin_requests"), ["2"]);
    let states = lab.query("SELECT state, count(*) AS n FROM objects GROUP BY state");
    assert_eq!(states, ["applied,1"]);
}
