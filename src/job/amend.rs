//! Two ways to amend what the lake was made from. `rebuild`: objects are decoded again under the present settings and their
//! hours are made anew. `retract`: objects that should never have landed are withdrawn, and so is what they caused.

use std::collections::BTreeSet;

use crate::base::{Digest, HalfOpen, UtcDay};
use crate::lake::{Ledger, ObjectRow, ObjectState, Withdrawal};

use super::build::{ALL_DAYS, Change, Plan, UnionReport, build_anew, build_events, hours_fed};
use super::convert::{Spaces, convert_object};
use super::renew::{Landing, renew};
use super::{Job, JobError, Progress};

/// What an amendment did.
#[derive(Debug)]
pub struct Amended {
    /// Keys of the objects concerned, with their sources, in order.
    pub objects: Vec<(String, String)>,
    /// What became of the events.
    pub events: UnionReport,
}

/// Decodes again every object that fed events of these UTC days or arrived on them, and makes its hours anew. Refuses, with
/// nothing changed, where one of these versions can no longer be read.
pub async fn rebuild(job: &Job, days: HalfOpen<UtcDay>, progress: &dyn Progress) -> Result<Amended, JobError> {
    build_events(job, progress).await?;
    let ledger = Ledger::open(&job.lake).await?;
    let hours = HalfOpen { from: days.from.first_hour(), to: days.to.map(UtcDay::first_hour) };
    let feeding: BTreeSet<Digest> = ledger.object_hours(hours).await?.iter().map(|row| row.object_id).collect();
    let rows: Vec<ObjectRow> = ledger.objects(ALL_DAYS).await?;
    let rows: Vec<ObjectRow> = rows
        .into_iter()
        .filter(|row| row.state == ObjectState::Applied)
        .filter(|row| feeding.contains(&row.object_id) || days.contains(row.object.arrived_at.day()))
        .collect();
    // All of them are looked for before the first is touched.
    let landing = Landing::list(job, &rows).await?;
    let found = rows.iter().map(|row| landing.find(job, row)).collect::<Result<Vec<_>, _>>()?;
    let renewed = hours_fed(&ledger, &rows).await?;
    progress.begin("convert", found.len() as u64);
    let spaces = Spaces::default();
    for (source, place, object) in found {
        // Its receipt waits for the build, where it takes the place of what was decoded before.
        convert_object(job, source, place, object, &spaces).await?;
        progress.step();
    }
    progress.end();
    let events = build_anew(job, &renewed, progress).await?;
    Ok(Amended { objects: names(&rows), events })
}

/// Withdraws every object whose key starts with `prefix`, whether it is built or still waits.
pub async fn retract(job: &Job, prefix: &str, reason: &str, progress: &dyn Progress) -> Result<Amended, JobError> {
    // What waits is applied first, so that every object concerned is in the ledger.
    build_events(job, progress).await?;
    let ledger = Ledger::open(&job.lake).await?;
    let rows = ledger.objects(ALL_DAYS).await?.into_iter();
    let withdrawn: Vec<ObjectRow> = rows
        .filter(|row| row.state == ObjectState::Applied && row.object.key.starts_with(prefix))
        .map(|row| ObjectRow { state: ObjectState::Retracted, reason: Some(reason.to_owned()), ..row })
        .collect();
    if withdrawn.is_empty() {
        return Err(JobError::NothingToRetract(prefix.to_owned()));
    }
    let objects = names(&withdrawn);
    // Whether it can be done is seen before it is asked for: what is asked for is done, whoever does it.
    let change = Change { withdrawn, ..Default::default() };
    renew(job, &ledger, &change, &mut Plan::new()).await?;
    let withdrawals: Vec<Withdrawal> = change
        .withdrawn
        .into_iter()
        .map(|ObjectRow { object, object_id, state, reason, .. }| Withdrawal {
            source: object.source,
            object_id,
            state,
            reason,
        })
        .collect();
    job.lake.withdraw(&withdrawals).await?;
    let events = build_events(job, progress).await?;
    Ok(Amended { objects, events })
}

fn names(rows: &[ObjectRow]) -> Vec<(String, String)> {
    let mut names: Vec<_> = rows.iter().map(|row| (row.object.source.clone(), row.object.key.clone())).collect();
    names.sort_unstable();
    names
}
