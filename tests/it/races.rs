//! A build that stops between the events and the ledger: for ever, because it was killed, or until others have done their work.
//! Either way the lake is then what its landing objects make of it.

use std::fmt;
use std::fs;
use std::sync::{Arc, Mutex};

use futures::stream::BoxStream;
use meterlake::job::build::build_events;
use meterlake::job::{Silent, amend};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult,
};

use super::lab::{Call, Key, Lab, assert_same, at, block_on, lines};

/// What happens before a write; an error: the write and all that follows it fail, as if the process had been killed.
type Hook = Box<dyn FnOnce() -> object_store::Result<()> + Send>;

/// A store that does something before the first write to a folder.
struct Hooked {
    inner: LocalFileSystem,
    folder: &'static str,
    hook: Mutex<Option<Hook>>,
}

impl Hooked {
    fn new(folder: &'static str, hook: Hook) -> Arc<Self> {
        Arc::new(Self { inner: LocalFileSystem::new(), folder, hook: Mutex::new(Some(hook)) })
    }

    fn was_used(&self) -> bool {
        self.hook.lock().unwrap().is_none()
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooked")
    }
}

impl fmt::Display for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooked")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Hooked {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        if path.as_ref().contains(self.folder) {
            let hook = self.hook.lock().unwrap().take();
            if let Some(hook) = hook {
                hook()?;
            }
        }
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// The ledger's first table: when a build writes there, its events are committed.
const LEDGER: &str = "tables/object_hours/";

fn call(n: i64) -> String {
    Call::new(at(0, 9, n), Key::Acme).line()
}

/// A process that is killed as soon as it gets there.
fn killed() -> Hook {
    Box::new(|| Err(object_store::Error::Generic { store: "hooked", source: "killed".into() }))
}

/// Commands of other processes, one after the other, each of which must be done.
fn meanwhile(lab: &Lab, before: impl FnOnce() + Send + 'static, commands: &[&[&str]]) -> Hook {
    let mut commands: Vec<_> = commands.iter().map(|arguments| lab.command(arguments)).collect();
    Box::new(move || {
        before();
        for command in &mut commands {
            let output = command.output().unwrap();
            assert!(output.status.code().is_some_and(|code| code < 2), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    })
}

/// What the ledger says of each object.
fn ledger(lab: &Lab) -> Vec<String> {
    lab.query("SELECT source_object, state, reason FROM objects ORDER BY source_object, state, reason")
}

/// A further run has nothing to do, a recount agrees, and nothing waits.
fn is_settled(lab: &Lab) {
    let before = lab.files();
    assert!(lab.run().out.contains("Nothing is new"));
    assert!(before == lab.files(), "a further run changed the lake");
    lab.verified();
    assert!(lab.files_below("receipts").is_empty() && lab.files_below("withdrawals").is_empty());
}

/// Objects of production and of staging, converted and not yet built; and a lake that never saw those of staging.
fn with_staging() -> (Lab, Lab) {
    let lab = Lab::new();
    let right = lab.apart("right");
    for lab in [&lab, &right] {
        lab.origin("production", lines(&[call(0), call(1)]));
    }
    lab.origin("staging/x", lines(&[call(1), call(2), call(3)]));
    assert_eq!(lab.meterlake(&["convert"]).code, 0);
    right.run();
    (lab, right)
}

const RETRACTED: [&str; 2] = ["production,applied,", "staging/x,retracted,by mistake"];

#[test]
fn a_slow_build_does_not_undo_a_retraction() {
    let (lab, right) = with_staging();
    // The events are committed; before the ledger is told, somebody else builds and retracts.
    let others = meanwhile(&lab, || (), &[&["build"], &["retract", "staging/", "--reason", "by mistake"]]);
    let store = Hooked::new(LEDGER, others);
    block_on(async { build_events(&lab.job_over(store.clone()).await, &Silent).await.unwrap() });
    assert!(store.was_used());
    lab.run();
    assert_same("retracted meanwhile", &lab.facts(), &right.facts());
    assert_eq!(ledger(&lab), RETRACTED);
    is_settled(&lab);
}

#[test]
fn a_retraction_that_was_killed_is_carried_out_by_the_next_run() {
    let (lab, right) = with_staging();
    lab.run();
    let store = Hooked::new(LEDGER, killed());
    let retracted = block_on(async {
        amend::retract(&lab.job_over(store.clone()).await, "staging/", "by mistake", &Silent).await.map(|_| ())
    });
    assert!(retracted.is_err() && store.was_used());
    lab.run();
    assert_same("retracted by the next run", &lab.facts(), &right.facts());
    assert_eq!(ledger(&lab), RETRACTED);
    is_settled(&lab);
}

/// An object that has two versions, and a lake that saw the second one only.
fn rewritten() -> (Lab, Lab, Vec<u8>) {
    let lab = Lab::new();
    let right = lab.apart("right");
    let new = lines(&[call(1), call(4)]);
    for lab in [&lab, &right] {
        lab.origin("other", lines(&[call(0), call(1)]));
    }
    lab.origin("a", lines(&[call(2), call(3), call(4)]));
    right.origin("a", &new);
    right.run();
    assert_eq!(lab.meterlake(&["convert"]).code, 0);
    (lab, right, new)
}

#[test]
fn nothing_stays_of_a_version_whose_build_was_killed() {
    let (lab, right, new) = rewritten();
    let store = Hooked::new(LEDGER, killed());
    assert!(block_on(async { build_events(&lab.job_over(store.clone()).await, &Silent).await.is_err() }));
    assert!(store.was_used());
    lab.origin("a", new);
    lab.run();
    assert_same("rewritten", &lab.facts(), &right.facts());
    assert_eq!(ledger(&lab), ["a,applied,", "other,applied,"]);
    is_settled(&lab);
}

#[test]
fn nothing_stays_of_a_version_that_a_slow_build_brought_in() {
    let (lab, right, new) = rewritten();
    let path = lab.landing("origin/a");
    let others = meanwhile(&lab, move || fs::write(path, new).unwrap(), &[&["run"]]);
    let store = Hooked::new(LEDGER, others);
    block_on(async { build_events(&lab.job_over(store.clone()).await, &Silent).await.unwrap() });
    assert!(store.was_used());
    lab.run();
    assert_same("rewritten meanwhile", &lab.facts(), &right.facts());
    assert_eq!(ledger(&lab), ["a,applied,", "other,applied,"]);
    is_settled(&lab);
}
