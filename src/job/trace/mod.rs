//! Trace: everything behind one request id. Goes in: the id, maybe a UTC day. Comes out, per event that carries it: the event,
//! the record it came from and every copy of that record in the landing objects, what each meter of its source decided, and
//! the usage and charges it is part of. Nothing is written. Only the objects of the event's own hour are read again.
//!
//! What is told of keys, plans and prices is what the lake's tables were made with; meters are those of the configuration.

mod decisions;
mod objects;

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use crate::base::{UtcDay, UtcHour};
use crate::billing::BillingDay;
use crate::decode::DECODER_GENERATION;
use crate::lake::{LakeTable, Ledger, ObjectRow};
use crate::model::{Engine, EventName, find_sql, id_columns};
use crate::schema::Table;

use super::derive::Derivation;
use super::rows::Rows;
use super::{Job, JobError, Progress};

pub use decisions::Decision;
use objects::{FedHour, Sought};

/// Events told of one id: callers can choose some ids, and send one a million times.
const EVENTS_MAX: usize = 20;

/// What is known of a request id.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Its events in order of time; at least one.
    pub events: Vec<TracedEvent>,
    /// There are more.
    pub has_more: bool,
}

/// One event and all about it.
#[derive(Clone, Debug)]
pub struct TracedEvent {
    /// Which it is.
    pub name: EventName,
    /// All its columns: one row.
    pub row: RecordBatch,
    /// Where it came from.
    pub provenance: Provenance,
    /// Every place where the record stands, in order.
    pub copies: Vec<Copy>,
    /// Objects that gave records to the hour and were looked into.
    pub objects_read: usize,
    /// Those that could not be, with the reason.
    pub objects_unread: Vec<(String, String)>,
    /// The billing day.
    pub billing_day: BillingDay,
    /// What each meter of its source made of it.
    pub decisions: Vec<Decision>,
}

/// Where an event came from.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// The landing object's key.
    pub object: String,
    /// The record's ordinal in it, from 0.
    pub position: i64,
    /// Generation of the decoder that read it.
    pub decoder: i64,
    /// Generation of the decoders now.
    pub decoder_now: i16,
    /// What the ledger says of the object; none: it does not list the object for that hour.
    pub ledger: Option<ObjectRow>,
    /// The object was decoded under today's settings.
    pub decoded_as_now: bool,
    /// The record as it stands there, masked; or why it cannot be shown.
    pub record: Result<String, String>,
}

/// A place where a record stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Copy {
    /// The landing object's key.
    pub object: String,
    /// The ordinal in it, from 0.
    pub position: i64,
    /// It is the one the event was kept from.
    pub is_kept: bool,
}

/// Explains every event that carries the id, of all days or of one.
pub async fn trace(
    job: &Job,
    with: &Derivation,
    id: &str,
    day: Option<UtcDay>,
    progress: &dyn Progress,
) -> Result<Trace, JobError> {
    let engine = Engine::open(&job.lake, with.engine).await?;
    let mut names = Vec::new();
    for table in [Table::OriginRequests, Table::EdgeRequests] {
        names.extend(find(&engine, table, id, day).await?);
    }
    if names.is_empty() {
        return Err(JobError::NoSuchRequest { id: id.to_owned(), searched: searched(job, day).await? });
    }
    names.sort();
    let has_more = names.len() > EVENTS_MAX;
    names.truncate(EVENTS_MAX);

    let mut rows = Vec::new();
    let mut by_hour: BTreeMap<(String, UtcHour), Vec<Sought>> = BTreeMap::new();
    for name in names {
        let row = all(&engine, name.table, &name.sql()).await?;
        let columns = Rows { batch: &row, of: name.table.name() };
        let object = columns.texts("source_object")?.into_iter().flatten().next().unwrap_or_default();
        let position = columns.bigints("source_position")?.first().copied().unwrap_or_default();
        let sought = Sought { name: name.clone(), object, position };
        by_hour.entry((name.source.clone(), name.at.hour())).or_default().push(sought.clone());
        rows.push((sought, row));
    }
    let ledger = Ledger::open(&job.lake).await?;
    let mut hours = BTreeMap::new();
    for ((source, hour), sought) in by_hour {
        let fed = objects::look(job, &ledger, &source, hour, &sought, progress).await?;
        hours.insert((source, hour), fed);
    }
    let mut events = Vec::new();
    for (sought, row) in rows {
        let decisions = decisions::of(&engine, with, &sought.name, &row).await?;
        let fed = &hours[&(sought.name.source.clone(), sought.name.at.hour())];
        events.push(told(with, sought, row, fed, decisions)?);
    }
    Ok(Trace { events, has_more })
}

fn told(
    with: &Derivation,
    sought: Sought,
    row: RecordBatch,
    fed: &FedHour,
    decisions: Vec<Decision>,
) -> Result<TracedEvent, JobError> {
    let Sought { name, object, position } = sought;
    let decoder = Rows { batch: &row, of: name.table.name() }.bigints("decoder")?.first().copied().unwrap_or_default();
    let own = fed.objects.iter().find(|fed| fed.row.object.key == object);
    let places = fed.copies.get(&(name.request_id.clone(), name.fingerprint)).into_iter().flatten();
    let copies: Vec<Copy> = places
        .map(|(key, at)| Copy { object: key.clone(), position: *at, is_kept: *key == object && *at == position })
        .collect();
    let record = match (own, fed.texts.get(&(object.clone(), position))) {
        (None, _) => Err("the ledger does not list the object for this hour".to_owned()),
        (Some(objects::Fed { problem: Some(problem), .. }), _) => Err(problem.clone()),
        (Some(_), Some(text)) if copies.iter().any(|copy| copy.is_kept) => Ok(text.clone()),
        (Some(_), _) => Err("the object holds another record at that position, as it is decoded today".to_owned()),
    };
    let unread = fed.objects.iter().filter_map(|fed| Some((fed.row.object.key.clone(), fed.problem.clone()?)));
    let objects_unread: Vec<_> = unread.collect();
    Ok(TracedEvent {
        billing_day: with.zone.day_of(name.at),
        provenance: Provenance {
            decoder,
            decoder_now: DECODER_GENERATION,
            ledger: own.map(|fed| fed.row.clone()),
            decoded_as_now: own.is_some_and(|fed| fed.decoded_as_now),
            object,
            position,
            record,
        },
        objects_read: fed.objects.len() - objects_unread.len(),
        objects_unread,
        name,
        row,
        copies,
        decisions,
    })
}

/// The events of a table that carry the id: at most one more than is told. Reads only the columns of ids and times.
async fn find(engine: &Engine, table: Table, id: &str, day: Option<UtcDay>) -> Result<Vec<EventName>, JobError> {
    let batch = all(engine, table, &find_sql(table, id, day, EVENTS_MAX + 1)).await?;
    let rows = Rows { batch: &batch, of: table.name() };
    let (sources, ids) = (rows.texts("source")?, rows.texts("request_id")?);
    let (times, fingerprints) = (rows.instants("event_time")?, rows.bigints("fingerprint")?);
    let names = sources.into_iter().zip(ids).zip(times).zip(fingerprints);
    let names = names.filter_map(|(((source, request_id), at), fingerprint)| {
        Some(EventName { at: at?, table, source: source?, request_id: request_id?, fingerprint })
    });
    Ok(names.collect())
}

/// All rows of a query over a table as one batch.
async fn all(engine: &Engine, of: Table, sql: &str) -> Result<RecordBatch, JobError> {
    let rows = engine.query(sql).await?;
    let schema = rows.schema();
    let all = concat_batches(&schema, &rows.collect().await?);
    all.map_err(|source| JobError::Rows { table: of.name(), source })
}

/// Where an id was looked for, in words.
async fn searched(job: &Job, day: Option<UtcDay>) -> Result<String, JobError> {
    let mut places = Vec::new();
    for table in [Table::OriginRequests, Table::EdgeRequests] {
        let at = job.lake.existing_table(table).await?;
        let days = at.iter().flat_map(LakeTable::files).filter_map(|file| file.day);
        let days: BTreeSet<UtcDay> = days.filter(|held| day.is_none_or(|day| day == *held)).collect();
        let columns = id_columns(table).collect::<Vec<_>>().join(", ");
        let when = match (day, days.first(), days.last()) {
            (Some(day), None, _) => format!("which has no events of {day}"),
            (None, None, _) => "which has no events".to_owned(),
            (_, Some(first), Some(last)) if first == last => first.to_string(),
            (_, Some(first), last) => format!("{} days, {first} to {}", days.len(), last.unwrap_or(first)),
        };
        places.push(format!("{columns} of {} ({when})", table.name()));
    }
    Ok(places.join("; "))
}
