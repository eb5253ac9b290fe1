//! Convert what notifications name: the objects of one message, each read once. An object that no source holds is counted and
//! left alone, so that a notification of the lake itself starts nothing. Notifications come twice and in any order: the object
//! that lies there now is read, or the version the notification names where the key holds nothing any more. What was read so
//! late is marked: a build drops it where it knows a newer version, which nobody can ask the bucket for.

use std::collections::BTreeMap;

use crate::lake::{ObjectVersion, Receipt, ReceiptId};
use crate::source::{LandingObject, Notice, Place, find, find_version};

use super::convert::{FailedObject, Spaces, convert_object, version_of};
use super::{Job, JobError, Source};

/// What became of the objects that notifications named.
#[derive(Debug, Default)]
pub struct NotifiedReport {
    /// Objects converted now.
    pub converted: u64,
    /// Their size as stored, bytes.
    pub bytes: u64,
    /// Records in them.
    pub records: u64,
    /// Records that could not be read.
    pub rejects: u64,
    /// Objects that wait already, converted before.
    pub waiting: u64,
    /// Objects of no source.
    pub foreign: u64,
    /// Objects that are gone, in every version that was named.
    pub gone: u64,
    /// The same for each source of which an object was converted.
    pub sources: BTreeMap<String, NotifiedSource>,
    /// Objects that could not be converted.
    pub failed: Vec<FailedObject>,
}

/// What was converted of one source.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct NotifiedSource {
    /// Objects.
    pub objects: u64,
    /// Their size as stored, bytes.
    pub bytes: u64,
    /// Records in them.
    pub records: u64,
    /// Records that could not be read.
    pub rejects: u64,
    /// How long after the hour of its earliest event an object arrived, seconds; the longest of all.
    pub lateness_max_s: u64,
}

impl NotifiedSource {
    fn of(receipt: &Receipt) -> Self {
        let ObjectVersion { bytes, arrived_at, .. } = receipt.object;
        let late = receipt.event_time_min.map_or(0, |event| arrived_at.0.saturating_sub(event.hour().end().0));
        let lateness_max_s = u64::try_from(late / 1_000_000).unwrap_or(0);
        Self { objects: 1, bytes, records: receipt.records, rejects: receipt.rejects, lateness_max_s }
    }

    fn absorb(&mut self, other: &Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.records += other.records;
        self.rejects += other.rejects;
        self.lateness_max_s = self.lateness_max_s.max(other.lateness_max_s);
    }
}

impl NotifiedReport {
    /// Adds what became of the objects of other notifications.
    pub fn absorb(&mut self, other: Self) {
        self.converted += other.converted;
        self.bytes += other.bytes;
        self.records += other.records;
        self.rejects += other.rejects;
        self.waiting += other.waiting;
        self.foreign += other.foreign;
        self.gone += other.gone;
        for (name, source) in &other.sources {
            self.sources.entry(name.clone()).or_default().absorb(source);
        }
        self.failed.extend(other.failed);
    }
}

/// Converts the objects named.
pub async fn convert_notified(job: &Job, notices: &[Notice]) -> Result<NotifiedReport, JobError> {
    let mut report = NotifiedReport::default();
    for notice in latest(notices) {
        let mut is_foreign = true;
        for source in &job.sources {
            let Some(key) = source.location.relative(&notice.bucket, &notice.key) else { continue };
            if LandingObject::is_hidden(key) {
                continue;
            }
            is_foreign = false;
            let Some(place) = source.location.open_existing(job.buckets.as_ref())? else { continue };
            if let Err(error) = convert_one(job, source, &place, key, notice, &mut report).await {
                report.failed.push(FailedObject { key: key.to_owned(), error });
            }
        }
        report.foreign += u64::from(is_foreign);
    }
    Ok(report)
}

/// The last notification of each key.
fn latest(notices: &[Notice]) -> Vec<&Notice> {
    let mut last: BTreeMap<(&str, &str), &Notice> = BTreeMap::new();
    for notice in notices {
        let found = last.entry((&notice.bucket, &notice.key)).or_insert(notice);
        if notice.is_later_than(found) {
            *found = notice;
        }
    }
    last.into_values().collect()
}

async fn convert_one(
    job: &Job,
    source: &Source,
    place: &Place,
    key: &str,
    notice: &Notice,
    report: &mut NotifiedReport,
) -> Result<(), JobError> {
    let version = notice.version.as_deref();
    let object = match find(place, key).await? {
        // Read by its version, so that nothing can come between.
        Some(object) if notice.etag.as_ref() == Some(&object.etag) => {
            Some(LandingObject { version: version.map(str::to_owned), ..object })
        }
        // The notification is of an older version; what lies there now takes its place.
        Some(newer) => Some(newer),
        None if version.is_some() => {
            find_version(place, key, version).await?.map(|object| LandingObject { gone: true, ..object })
        }
        None => None,
    };
    let Some(object) = object else {
        report.gone += 1;
        return Ok(());
    };
    let known = version_of(source, &object);
    let id = ReceiptId { source: source.name.clone(), object_id: known.object_id() };
    if job.lake.receipt(&id).await?.is_some() {
        report.waiting += 1;
        return Ok(());
    }
    let receipt = convert_object(job, source, place, &object, &Spaces::default()).await?;
    report.converted += 1;
    report.bytes += object.bytes;
    report.records += receipt.records;
    report.rejects += receipt.rejects;
    report.sources.entry(source.name.clone()).or_default().absorb(&NotifiedSource::of(&receipt));
    Ok(())
}
