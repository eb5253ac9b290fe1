//! Looks into the landing objects that gave records to an hour, for the records of some events: where each stands, and what it
//! says. Objects are decoded again, one after the other; nothing is kept but what is sought. An object that cannot be
//! read any more is told with the reason, and the others are looked into all the same.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;

use crate::base::{Digest, HalfOpen, UtcDay, UtcHour, with_causes};
use crate::decode::Decoder;
use crate::lake::{Ledger, ObjectRow};
use crate::model::EventName;
use crate::source::{Place, fetch, find};

use super::super::rows::Rows;
use super::super::{Job, JobError, Progress, Source};

/// An event, and the record it was kept from.
#[derive(Clone, Debug)]
pub(super) struct Sought {
    pub(super) name: EventName,
    pub(super) object: String,
    pub(super) position: i64,
}

/// An object that gave records to the hour.
pub(super) struct Fed {
    /// What the ledger says of it.
    pub(super) row: ObjectRow,
    /// It was decoded under today's settings.
    pub(super) decoded_as_now: bool,
    /// Why it could not be looked into.
    pub(super) problem: Option<String>,
}

/// A request id and a fingerprint: within a source they name a record.
type Identity = (String, i64);

/// What was found in the objects of an hour.
pub(super) struct FedHour {
    /// The objects, in the order of their keys.
    pub(super) objects: Vec<Fed>,
    /// Where the records sought stand: object and position.
    pub(super) copies: BTreeMap<Identity, Vec<(String, i64)>>,
    /// The masked text of the records that events were kept from, by object and position.
    pub(super) texts: BTreeMap<(String, i64), String>,
}

/// Looks into every object that gave records to this hour.
pub(super) async fn look(
    job: &Job,
    ledger: &Ledger,
    source: &str,
    hour: UtcHour,
    sought: &[Sought],
    progress: &dyn Progress,
) -> Result<FedHour, JobError> {
    let rows = feeding(ledger, source, hour).await?;
    let source = job.sources.iter().find(|configured| configured.name == source);
    let place = match source {
        Some(source) => source.location.open_existing(job.buckets.as_ref())?,
        None => None,
    };
    let mut found = FedHour { objects: Vec::new(), copies: BTreeMap::new(), texts: BTreeMap::new() };
    progress.begin("look into", rows.len() as u64);
    for row in rows {
        let looked = match (source, &place) {
            (Some(source), Some(place)) => look_into(source, place, &row, sought, &mut found).await,
            (Some(source), None) => Err(format!("the folder {} is not there", source.location)),
            (None, _) => Err("its source is not configured any more".to_owned()),
        };
        let decoded_as_now = source.is_some_and(|source| source.plan.decode_id() == row.object.decode_id);
        found.objects.push(Fed { row, decoded_as_now, problem: looked.err() });
        progress.step();
    }
    progress.end();
    Ok(found)
}

/// The ledger's rows of the objects that gave records to the hour.
async fn feeding(ledger: &Ledger, source: &str, hour: UtcHour) -> Result<Vec<ObjectRow>, JobError> {
    let fed = ledger.object_hours(HalfOpen { from: hour, to: Some(hour.next()) }).await?;
    let fed: Vec<_> = fed.into_iter().filter(|row| row.source == source && row.records > 0).collect();
    let ids: BTreeSet<Digest> = fed.iter().map(|row| row.object_id).collect();
    let mut rows = Vec::new();
    for day in fed.iter().map(|row| row.arrived_at.day()).collect::<BTreeSet<UtcDay>>() {
        let arrived = ledger.objects(HalfOpen { from: day, to: Some(day.next()) }).await?;
        rows.extend(arrived.into_iter().filter(|row| ids.contains(&row.object_id)));
    }
    rows.sort_by(|a, b| a.object.key.cmp(&b.object.key));
    Ok(rows)
}

/// Adds what the object holds of what is sought; an error says why it cannot be read.
async fn look_into(
    source: &Source,
    place: &Place,
    row: &ObjectRow,
    sought: &[Sought],
    found: &mut FedHour,
) -> Result<(), String> {
    let key = &row.object.key;
    let object = match find(place, key).await.map_err(|error| with_causes(&error))? {
        Some(object) if object.etag == row.object.etag => object,
        Some(_) => return Err("another version of it lies there now".to_owned()),
        None => return Err(format!("it is no longer in {}", source.location)),
    };
    let mut decoder = Decoder::new(&source.plan, key, object.arrived_at);
    decoder.want_texts_of(sought.iter().filter(|sought| sought.object == *key).map(|sought| sought.position));
    let mut fetched = fetch(place, &object).map_err(|error| with_causes(&error))?;
    let mut copies = Vec::new();
    let mut take = |decoder: &mut Decoder| {
        while let Some(events) = decoder.next_events() {
            copies.extend(copies_in(&events, source, sought).map_err(|error| with_causes(&error))?);
        }
        while decoder.next_rejects().is_some() {}
        Ok::<_, String>(())
    };
    while let Some(piece) = fetched.next_piece().await.map_err(|error| with_causes(&error))? {
        decoder.push(&piece).map_err(|error| with_causes(&error))?;
        take(&mut decoder)?;
    }
    decoder.end();
    take(&mut decoder)?;
    decoder.finish().map_err(|error| with_causes(&error))?;
    take(&mut decoder)?;
    for (identity, position) in copies {
        found.copies.entry(identity).or_default().push((key.clone(), position));
    }
    let texts = decoder.texts().iter().map(|(position, text)| ((key.clone(), *position), text.clone()));
    found.texts.extend(texts);
    Ok(())
}

/// The records of a batch that are sought, with their positions.
fn copies_in(events: &RecordBatch, source: &Source, sought: &[Sought]) -> Result<Vec<(Identity, i64)>, JobError> {
    let rows = Rows { batch: events, of: source.plan.table().name() };
    let fingerprints = rows.bigints("fingerprint")?;
    let wanted = |fingerprint: i64| sought.iter().any(|sought| sought.name.fingerprint == fingerprint);
    if !fingerprints.iter().any(|fingerprint| wanted(*fingerprint)) {
        return Ok(Vec::new());
    }
    let (ids, positions) = (rows.texts("request_id")?, rows.bigints("source_position")?);
    let records = ids.into_iter().zip(fingerprints).zip(positions);
    let records = records.filter_map(|((id, fingerprint), position)| Some(((id?, fingerprint), position)));
    let is_sought = |(id, fingerprint): &Identity| {
        sought.iter().any(|sought| sought.name.request_id == *id && sought.name.fingerprint == *fingerprint)
    };
    Ok(records.filter(|(identity, _)| is_sought(identity)).collect())
}
