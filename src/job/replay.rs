//! Replay: objects that have rejects are converted again, after the configuration was corrected. Each is decoded first without
//! anything being kept. Where the very same rejects come of it, the object is left as it is in the lake. Where others or fewer
//! come, it is converted; the next build puts what it gives now in the place of all that it gave before, so nothing is
//! counted twice. An object that can no longer be read, or fails under today's settings, is told and stays as it is.

use std::collections::{BTreeMap, HashMap};

use arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt};

use crate::base::HalfOpen;
use crate::lake::{LakeError, Ledger, ObjectRow, ObjectState, Receipt, Rejected};
use crate::source::{LandingObject, Place, find};

use super::convert::{FailedObject, Scope, Spaces, Taker, convert_object, decode, forget_older};
use super::{Job, JobError, Progress, Source};

/// Objects looked for at once.
const LOOKS_AT_ONCE: usize = 16;

/// Which objects are replayed: those that have rejects and meet all of it.
#[derive(Clone, Default, Debug)]
pub struct ReplayScope {
    /// Their keys and arrival.
    pub objects: Scope,
    /// Of one of these sources; none: of any.
    pub sources: Vec<String>,
    /// With a reject for one of these reasons; none: for any.
    pub reasons: Vec<String>,
}

/// What a replay did, by source.
#[derive(Debug, Default)]
pub struct ReplayReport {
    /// The sources that have objects within the scope.
    pub sources: BTreeMap<String, ReplayedSource>,
}

/// What a replay did for one source.
#[derive(Debug, Default)]
pub struct ReplayedSource {
    /// Objects with rejects that can be read.
    pub objects: u64,
    /// Their size as stored, bytes.
    pub bytes: u64,
    /// Their rejects so far.
    pub rejects_before: u64,
    /// Objects that give the very same rejects and were left as they are.
    pub unchanged: u64,
    /// Objects converted, which the next build applies.
    pub converted: u64,
    /// Rejects that the objects have now, changed or not.
    pub rejects: u64,
    /// Keys of objects that can no longer be read, with the reason.
    pub gone: Vec<(String, String)>,
    /// Objects that could not be converted.
    pub failed: Vec<FailedObject>,
}

/// An object to be replayed.
struct Candidate<'j> {
    source: &'j Source,
    place: Place,
    object: LandingObject,
    before: Rejected,
}

/// What a replay would look at; nothing is read but the ledger and what lies where the objects landed.
pub async fn look_for_rejects(job: &Job, scope: &ReplayScope) -> Result<ReplayReport, JobError> {
    Ok(candidates(job, scope).await?.0)
}

/// Converts again the objects whose rejects would be others today.
pub async fn replay(job: &Job, scope: &ReplayScope, progress: &dyn Progress) -> Result<ReplayReport, JobError> {
    let waiting = job.lake.receipts().await?;
    let (mut report, candidates) = candidates(job, scope).await?;
    progress.begin("replay", candidates.len() as u64);
    let spaces = Spaces::default();
    let mut results = futures::stream::iter(candidates)
        .map(|candidate| {
            let (waiting, spaces) = (&waiting, &spaces);
            async move {
                let replayed = replay_object(job, &candidate, waiting, spaces).await;
                (candidate, replayed)
            }
        })
        .buffer_unordered(job.parallel);
    while let Some((candidate, replayed)) = results.next().await {
        progress.step();
        let done = report.of(&candidate.source.name);
        match replayed {
            Ok(Some(receipt)) => {
                done.converted += 1;
                done.rejects += receipt.rejects;
            }
            Ok(None) => {
                done.unchanged += 1;
                done.rejects += candidate.before.count();
            }
            Err(error) => {
                done.rejects += candidate.before.count();
                done.failed.push(FailedObject { key: candidate.object.key, error });
            }
        }
    }
    progress.end();
    for done in report.sources.values_mut() {
        done.failed.sort_by(|a, b| a.key.cmp(&b.key));
    }
    Ok(report)
}

/// The receipt of the object's conversion, or none where the rejects are what they were.
async fn replay_object(
    job: &Job,
    candidate: &Candidate<'_>,
    waiting: &[Receipt],
    spaces: &Spaces,
) -> Result<Option<Receipt>, JobError> {
    let Candidate { source, place, object, before } = candidate;
    let (now, _) = decode(source, place, object, spaces, OnlyRejects::default()).await?;
    if now.0 == *before {
        return Ok(None);
    }
    let receipt = convert_object(job, source, place, object, spaces).await?;
    // A conversion under other settings that still waits must not be applied in place of this one.
    forget_older(job, waiting, receipt).await.map(Some)
}

/// What an object's rejects would be.
#[derive(Default)]
struct OnlyRejects(Rejected);

impl Taker for OnlyRejects {
    fn events(&mut self, _: &RecordBatch) -> Result<(), LakeError> {
        Ok(())
    }

    fn rejects(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        self.0.take(batch)
    }
}

/// The objects within the scope that can be read, and a report that counts them and names the others.
async fn candidates<'j>(job: &'j Job, scope: &ReplayScope) -> Result<(ReplayReport, Vec<Candidate<'j>>), JobError> {
    let sources = places(job, scope)?;
    let mut found = futures::stream::iter(with_rejects(job, scope).await?)
        .map(|(row, before)| {
            let sources = &sources;
            async move {
                let object = match sources.get(row.object.source.as_str()) {
                    None => Err("its source is not configured any more".to_owned()),
                    Some((source, None)) => Err(format!("the folder {} is not there", source.location)),
                    Some((source, Some(place))) => version_there(source, place, &row).await?,
                };
                Ok::<_, JobError>((row, before, object))
            }
        })
        .buffered(LOOKS_AT_ONCE);
    let (mut report, mut candidates) = (ReplayReport::default(), Vec::new());
    while let Some((row, before, object)) = found.try_next().await? {
        let done = report.of(&row.object.source);
        match (object, sources.get(row.object.source.as_str())) {
            (Ok(object), Some((source, Some(place)))) => {
                done.objects += 1;
                done.bytes += object.bytes;
                done.rejects_before += before.count();
                candidates.push(Candidate { source, place: place.clone(), object, before });
            }
            (Err(why), _) => done.gone.push((row.object.key, why)),
            // An object is only found where its source has a place.
            (Ok(_), _) => {}
        }
    }
    Ok((report, candidates))
}

/// The configured sources within the scope, by name, and where their objects lie if that is there.
fn places<'j>(job: &'j Job, scope: &ReplayScope) -> Result<HashMap<&'j str, (&'j Source, Option<Place>)>, JobError> {
    // A source that is asked for by name must be one.
    scope.sources.iter().try_for_each(|name| job.source(name).map(drop))?;
    let place = |source: &'j Source| {
        let place = source.location.open_existing(job.buckets.as_ref())?;
        Ok((source.name.as_str(), (source, place)))
    };
    job.sources.iter().map(place).collect()
}

/// The ledger's rows of the objects within the scope, by source and key, with their rejects.
async fn with_rejects(job: &Job, scope: &ReplayScope) -> Result<Vec<(ObjectRow, Rejected)>, JobError> {
    let ledger = Ledger::open(&job.lake).await?;
    let ReplayScope { objects, sources, reasons } = scope;
    let days = HalfOpen {
        from: objects.from.map_or(super::build::ALL_DAYS.from, |from| from.day()),
        // The day of the last instant looked at is looked at whole; each object's arrival is compared below.
        to: objects.to.map(|to| to.day().next()),
    };
    let mut rejected = ledger.rejected(days).await?;
    let rows = ledger.objects(days).await?.into_iter();
    let is_wanted = |row: &ObjectRow| {
        row.state == ObjectState::Applied
            && objects.holds(&row.object.key, row.object.arrived_at)
            && (sources.is_empty() || sources.contains(&row.object.source))
    };
    let mut found: Vec<(ObjectRow, Rejected)> = rows
        .filter(is_wanted)
        .filter_map(|row| rejected.remove(&row.object_id).map(|rejected| (row, rejected)))
        .filter(|(_, rejected)| reasons.is_empty() || reasons.iter().any(|r| rejected.reasons.contains_key(r)))
        .collect();
    found.sort_by(|(a, _), (b, _)| (&a.object.source, &a.object.key).cmp(&(&b.object.source, &b.object.key)));
    Ok(found)
}

/// The landing object, if it is still the version of that row; else why not.
async fn version_there(
    source: &Source,
    place: &Place,
    row: &ObjectRow,
) -> Result<Result<LandingObject, String>, JobError> {
    Ok(match find(place, &row.object.key).await? {
        Some(object) if object.etag == row.object.etag => Ok(object),
        Some(_) => Err("another version of it lies there now, which `meterlake run` takes".to_owned()),
        None => Err(format!("it is no longer in {}", source.location)),
    })
}

impl ReplayReport {
    fn of(&mut self, source: &str) -> &mut ReplayedSource {
        self.sources.entry(source.to_owned()).or_default()
    }

    /// Objects that could not be converted, over all sources.
    pub fn failed(&self) -> impl Iterator<Item = (&str, &FailedObject)> {
        self.sources.iter().flat_map(|(name, done)| done.failed.iter().map(move |failed| (name.as_str(), failed)))
    }

    /// Objects that can no longer be read: source, key and why.
    pub fn gone(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.sources.iter().flat_map(|(name, done)| {
            done.gone.iter().map(move |(key, why)| (name.as_str(), key.as_str(), why.as_str()))
        })
    }
}
