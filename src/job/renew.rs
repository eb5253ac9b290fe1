//! Making units anew: what an object gave to an hour can only be taken out again by uniting all that the *other* objects gave
//! to it. Their staged files are used where they are still there; else the landing objects are converted again, and where
//! that version of one can no longer be read, nothing is changed and an error says which.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::{StreamExt, TryStreamExt};

use crate::base::{Digest, HalfOpen, UtcHour};
use crate::lake::{Ledger, ObjectHour, ObjectRow, Receipt, StagedInput, Unit};
use crate::source::{LandingObject, Place, list};

use super::build::{Change, Plan};
use super::convert::{Spaces, convert_object};
use super::{Job, JobError, Source};

/// Files looked for at once.
const LOOKS_AT_ONCE: usize = 16;

/// Adds the hours of withdrawn versions and the hours to be renewed to the plan, each from all that still feeds it.
pub(crate) async fn renew(job: &Job, ledger: &Ledger, change: &Change, plan: &mut Plan) -> Result<(), JobError> {
    let Some(hours) = hours_spanned(&change.withdrawn, &change.renewed) else { return Ok(()) };
    let gone: BTreeSet<Digest> = change.withdrawn.iter().map(|row| row.object_id).collect();
    let coming: BTreeSet<Digest> = change.receipts.iter().map(|receipt| receipt.object_id).collect();
    let fed = ledger.object_hours(hours).await?;
    let mut renewed = change.renewed.clone();
    renewed.extend(fed.iter().filter(|row| gone.contains(&row.object_id)).map(|row| (row.source.clone(), row.hour)));
    let feeding: Vec<&ObjectHour> = fed
        .iter()
        .filter(|row| row.records > 0 && !gone.contains(&row.object_id) && !coming.contains(&row.object_id))
        .filter(|row| renewed.contains(&(row.source.clone(), row.hour)))
        .collect();
    let mut inputs = staged_inputs(job, ledger, &feeding).await?;
    for (name, hour) in renewed {
        let source = job.source(&name)?;
        let staged = inputs.remove(&(name.clone(), hour)).unwrap_or_default();
        let units = plan.entry(source.plan.table()).or_default();
        for part in 0..source.split {
            let unit = Unit { source: name.clone(), hour, part, split: source.split };
            let unit = units.entry(unit).or_default();
            unit.anew = true;
            unit.staged.extend(staged.iter().cloned());
        }
    }
    Ok(())
}

/// The hours from the first to the last that may be concerned.
pub(crate) fn hours_spanned(rows: &[ObjectRow], renewed: &BTreeSet<(String, UtcHour)>) -> Option<HalfOpen<UtcHour>> {
    let of_events = rows.iter().filter_map(|row| row.event_times).flat_map(|(low, high)| [low.hour(), high.hour()]);
    let all: Vec<UtcHour> = of_events.chain(renewed.iter().map(|(_, hour)| *hour)).collect();
    let (first, last) = (all.iter().min()?, all.iter().max()?);
    HalfOpen::new(*first, Some(last.next()))
}

/// The staged file of each, made again where it has expired.
async fn staged_inputs(
    job: &Job,
    ledger: &Ledger,
    feeding: &[&ObjectHour],
) -> Result<BTreeMap<(String, UtcHour), Vec<StagedInput>>, JobError> {
    let found: Vec<(&ObjectHour, bool)> = futures::stream::iter(feeding)
        .map(|row| async move {
            let there = job.lake.has_staged(&row.source, row.hour, row.object_id).await?;
            Ok::<_, JobError>((*row, there))
        })
        .buffered(LOOKS_AT_ONCE)
        .try_collect()
        .await?;
    let missing: BTreeSet<(&str, &str, Digest)> =
        found.iter().filter(|(_, there)| !there).map(|(row, _)| (&*row.source, &*row.key, row.object_id)).collect();
    let again = convert_again(job, ledger, &missing).await?;
    let mut inputs: BTreeMap<_, Vec<StagedInput>> = BTreeMap::new();
    for (row, there) in found {
        let made_again =
            again.get(&row.object_id).and_then(|receipt| receipt.hours.iter().find(|h| h.hour == row.hour));
        let (path, rows) = match made_again {
            Some(made) => (made.path.clone(), made.rows),
            None if there => (job.lake.staged_path(&row.source, row.hour, row.object_id), row.records),
            // Converted again it gives nothing to this hour: then there is nothing to take.
            None => continue,
        };
        let input = StagedInput { path, object: row.key.clone(), rows };
        inputs.entry((row.source.clone(), row.hour)).or_default().push(input);
    }
    Ok(inputs)
}

/// Converts object versions whose staged files have expired. Their receipts are deleted at once: the ledger holds them.
async fn convert_again(
    job: &Job,
    ledger: &Ledger,
    missing: &BTreeSet<(&str, &str, Digest)>,
) -> Result<HashMap<Digest, Receipt>, JobError> {
    let mut again = HashMap::new();
    if missing.is_empty() {
        return Ok(again);
    }
    let ids: BTreeSet<Digest> = missing.iter().map(|(_, _, id)| *id).collect();
    let rows: Vec<ObjectRow> =
        ledger.objects(super::build::ALL_DAYS).await?.into_iter().filter(|row| ids.contains(&row.object_id)).collect();
    let landing = Landing::list(job, &rows).await?;
    let spaces = Spaces::default();
    for row in &rows {
        let (source, place, object) = landing.find(job, row)?;
        let receipt = convert_object(job, source, place, object, &spaces).await?;
        job.lake.delete_receipts(&[receipt.id()]).await?;
        again.insert(row.object_id, receipt);
    }
    Ok(again)
}

/// The landing objects of some sources, to find the very versions that the ledger names.
pub(crate) struct Landing {
    places: HashMap<String, (Place, HashMap<String, LandingObject>)>,
}

impl Landing {
    /// Lists the sources of these rows.
    pub(crate) async fn list(job: &Job, rows: &[ObjectRow]) -> Result<Self, JobError> {
        let mut places = HashMap::new();
        for name in rows.iter().map(|row| row.object.source.as_str()).collect::<BTreeSet<_>>() {
            let source = job.source(name)?;
            if let Some(place) = source.location.open_existing(job.buckets.as_ref())? {
                let objects = list(&place).await?.into_iter().map(|o| (o.key.clone(), o)).collect();
                places.insert(name.to_owned(), (place, objects));
            }
        }
        Ok(Self { places })
    }

    /// The version of a row, if it can still be read.
    pub(crate) fn find<'a>(
        &'a self,
        job: &'a Job,
        row: &ObjectRow,
    ) -> Result<(&'a Source, &'a Place, &'a LandingObject), JobError> {
        let ObjectRow { object, .. } = row;
        let found = self.places.get(&object.source).and_then(|(place, objects)| {
            let landing = objects.get(&object.key).filter(|landing| landing.etag == object.etag)?;
            Some((place, landing))
        });
        let (place, landing) = found
            .ok_or_else(|| JobError::Unreadable { source_name: object.source.clone(), key: object.key.clone() })?;
        Ok((job.source(&object.source)?, place, landing))
    }
}
