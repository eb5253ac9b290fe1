//! Verify: counts again, from the landing objects, what the event tables and the ledger say. Each object is decoded anew,
//! nothing is written. Per source and UTC hour the *set* of identities (request id, fingerprint) must be the same in both, and per
//! object the counts of the ledger. Memory is bounded by the identities of one day: 24 bytes each.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

use crate::base::{Digest, Digester, HalfOpen, Micros, UtcDay, UtcHour};
use crate::decode::{Counts, DecodePlan, Decoder};
use crate::lake::{LakeError, Ledger, ObjectHour, ObjectRow, ObjectState};
use crate::schema::Table;
use crate::source::{LandingObject, Place, fetch};

use super::build::ALL_DAYS;
use super::renew::Landing;
use super::{Job, JobError, Progress};

/// What a verification found.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct VerifyReport {
    /// Days looked at.
    pub days: u64,
    /// Objects decoded; one that feeds two days counts twice.
    pub objects: u64,
    /// Events compared.
    pub events: u64,
    /// What does not agree, in words with the numbers; nothing: all agrees.
    pub differences: Vec<String>,
    /// Objects whose version can no longer be read, so that nothing can be said of their hours.
    pub unreadable: Vec<String>,
}

impl VerifyReport {
    /// Whether everything could be compared and agrees.
    pub fn agrees(&self) -> bool {
        self.differences.is_empty() && self.unreadable.is_empty()
    }
}

/// The identities of one source in one hour.
type Identities = BTreeMap<(String, UtcHour), HashSet<Digest>>;

/// Recounts these UTC days.
pub async fn verify(job: &Job, days: HalfOpen<UtcDay>, progress: &dyn Progress) -> Result<VerifyReport, JobError> {
    let ledger = Ledger::open(&job.lake).await?;
    let objects = ledger.objects(ALL_DAYS).await?;
    let applied: BTreeMap<Digest, &ObjectRow> =
        objects.iter().filter(|row| row.state == ObjectState::Applied).map(|row| (row.object_id, row)).collect();
    let landing = Landing::list(job, &objects).await?;
    let hours = HalfOpen { from: days.from.first_hour(), to: days.to.map(UtcDay::first_hour) };
    let mut by_day: BTreeMap<UtcDay, Vec<ObjectHour>> = BTreeMap::new();
    for row in ledger.object_hours(hours).await?.into_iter().filter(|row| row.records > 0) {
        by_day.entry(row.hour.day()).or_default().push(row);
    }
    for day in event_days(job, days).await? {
        by_day.entry(day).or_default();
    }
    let mut report = VerifyReport::default();
    progress.begin("verify", by_day.len() as u64);
    for (day, fed) in by_day {
        verify_day(job, &landing, &applied, day, &fed, &mut report).await?;
        report.days += 1;
        progress.step();
    }
    progress.end();
    Ok(report)
}

async fn verify_day(
    job: &Job,
    landing: &Landing,
    applied: &BTreeMap<Digest, &ObjectRow>,
    day: UtcDay,
    fed: &[ObjectHour],
    report: &mut VerifyReport,
) -> Result<(), JobError> {
    let mut counted = Identities::new();
    let mut unknown: BTreeSet<(&str, UtcHour)> = BTreeSet::new();
    for id in fed.iter().map(|row| row.object_id).collect::<BTreeSet<_>>() {
        let hours: Vec<&ObjectHour> = fed.iter().filter(|row| row.object_id == id).collect();
        let Some(row) = applied.get(&id) else {
            report.differences.push(format!("{day}: the ledger counts hours of object {id}, which it does not hold"));
            continue;
        };
        let (source, place, object) = match landing.find(job, row) {
            Ok(found) => found,
            Err(JobError::Unreadable { source_name, key }) => {
                unknown.extend(hours.iter().map(|row| (row.source.as_str(), row.hour)));
                report.unreadable.push(format!("{source_name}: {key}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        let (counts, per_hour) = recount(&source.plan, place, object, day, &source.name, &mut counted).await?;
        report.objects += 1;
        let said = (row.records, row.staged, row.rejects, row.control);
        let found = (counts.records, counts.events, counts.rejects, counts.control);
        if said != found {
            report.differences.push(format!(
                "{}: {}: the ledger says (records, events, rejects, control) = {said:?}, the object has {found:?}",
                source.name, object.key
            ));
        }
        for hour in hours {
            let found = per_hour.get(&hour.hour).copied().unwrap_or(0);
            if found != hour.records {
                let said = hour.records;
                report.differences.push(format!(
                    "{}: {}: the ledger says {said} records in hour {}, the object has {found}",
                    source.name, object.key, hour.hour
                ));
            }
        }
    }
    let held = held_identities(job, day).await?;
    for unit in counted.keys().chain(held.keys()).collect::<BTreeSet<_>>() {
        let (source, hour) = unit;
        if unknown.contains(&(source.as_str(), *hour)) {
            continue;
        }
        let empty = HashSet::new();
        let (counted, held) = (counted.get(unit).unwrap_or(&empty), held.get(unit).unwrap_or(&empty));
        report.events += held.len() as u64;
        let (lacking, extra) = (counted.difference(held).count(), held.difference(counted).count());
        if lacking + extra > 0 {
            report.differences.push(format!(
                "{source}: hour {hour}: the objects hold {} events, the table {}: {lacking} are lacking, {extra} come from no object",
                counted.len(),
                held.len()
            ));
        }
    }
    Ok(())
}

/// Decodes an object and adds the identities of the day; gives its counts and its records per hour of the day.
async fn recount(
    plan: &DecodePlan,
    place: &Place,
    object: &LandingObject,
    day: UtcDay,
    source: &str,
    counted: &mut Identities,
) -> Result<(Counts, BTreeMap<UtcHour, u64>), JobError> {
    let failed = |source| JobError::Object { key: object.key.clone(), source };
    let mut decoder = Decoder::new(plan, &object.key, object.arrived_at);
    let mut fetched = fetch(place, object)?;
    let mut per_hour = BTreeMap::new();
    let mut take = |decoder: &mut Decoder| {
        while let Some(events) = decoder.next_events() {
            for (hour, identity) in identities(&events, plan.table())? {
                if hour.day() == day {
                    *per_hour.entry(hour).or_default() += 1;
                    counted.entry((source.to_owned(), hour)).or_default().insert(identity);
                }
            }
        }
        while decoder.next_rejects().is_some() {}
        Ok::<_, JobError>(())
    };
    while let Some(piece) = fetched.next_piece().await? {
        decoder.push(&piece).map_err(failed)?;
        take(&mut decoder)?;
    }
    decoder.end();
    take(&mut decoder)?;
    decoder.finish().map_err(failed)?;
    take(&mut decoder)?;
    Ok((decoder.counts(), per_hour))
}

/// The identities that the event tables hold of a day.
async fn held_identities(job: &Job, day: UtcDay) -> Result<Identities, JobError> {
    const COLUMNS: &[&str] = &["event_time", "request_id", "fingerprint"];
    let mut held = Identities::new();
    for table in [Table::EdgeRequests, Table::OriginRequests] {
        let Some(at) = job.lake.existing_table(table).await? else { continue };
        for file in at.files().into_iter().filter(|file| file.day == Some(day)) {
            let source = file.slot.source.clone().unwrap_or_default();
            for batch in job.lake.read_file(table, file, Some(COLUMNS)).await? {
                for (hour, identity) in identities(&batch, table)? {
                    held.entry((source.clone(), hour)).or_default().insert(identity);
                }
            }
        }
    }
    Ok(held)
}

/// The days of `days` of which the event tables hold anything.
async fn event_days(job: &Job, days: HalfOpen<UtcDay>) -> Result<BTreeSet<UtcDay>, JobError> {
    let mut found = BTreeSet::new();
    for table in [Table::EdgeRequests, Table::OriginRequests] {
        if let Some(at) = job.lake.existing_table(table).await? {
            found.extend(at.files().into_iter().filter_map(|file| file.day).filter(|day| days.contains(*day)));
        }
    }
    Ok(found)
}

fn identities(batch: &RecordBatch, table: Table) -> Result<Vec<(UtcHour, Digest)>, JobError> {
    let lacking = || LakeError::corrupt(table.name(), "it lacks a column of an event's identity");
    let times = batch.column_by_name("event_time").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let ids = batch.column_by_name("request_id").and_then(|c| c.as_string_view_opt());
    let prints = batch.column_by_name("fingerprint").and_then(|c| c.as_primitive_opt::<Int64Type>());
    let (times, ids, prints) = (times.ok_or_else(lacking)?, ids.ok_or_else(lacking)?, prints.ok_or_else(lacking)?);
    let identity = |row: usize| {
        let mut digester = Digester::default();
        digester.part(ids.value(row).as_bytes()).part(&prints.value(row).to_le_bytes());
        (Micros(times.value(row)).hour(), digester.finish())
    };
    Ok((0..batch.num_rows()).map(identity).collect())
}
