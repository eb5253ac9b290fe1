//! `usage_daily`: one file per billing day, made again when its slots, its statement, or configuration rows that matter to
//! it change. Every event of the day's slots must be in it, whatever its attribution, or nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMicrosecondType};
use futures::{StreamExt, TryStreamExt};

use crate::base::{Digest, Micros, UtcDay, UtcHour};
use crate::billing::BillingDay;
use crate::lake::{FileSlot, LakeFile, Replacement};
use crate::model::{Cut, UsageDay, slot_of, usage_sql};
use crate::schema::Table;

use super::super::JobError;
use super::config::{KeyName, Terms};
use super::{Derivation, Work, digest_of, text_digest};

const TABLE: Table = Table::UsageDaily;

/// The keys seen on each UTC day.
pub(super) type KeysSeen = BTreeMap<UtcDay, BTreeSet<KeyName>>;

/// A day to be made.
struct Stale {
    day: BillingDay,
    inputs: Digest,
    config: String,
    with: UsageDay,
}

pub(super) async fn build(work: &mut Work<'_>) -> Result<(), JobError> {
    let days = days_of(work);
    let keep_all = same_configuration(work)?;
    // Where the configuration is the same as ever, a day whose files are the same cannot differ: nothing is looked up.
    let mut open: Vec<(BillingDay, Vec<String>)> = Vec::new();
    for (day, files) in days.clone() {
        let part = day.to_string();
        let before = work.built.before(TABLE, &part).cloned();
        let kept = keep_all && before.is_some_and(|b| work.built.keep(TABLE, &part, inputs_of(&files), &b.config));
        if !kept {
            open.push((day, files));
        }
    }
    let mut replace: Vec<(String, Replacement)> = gone(work, &days).collect();
    if !open.is_empty() {
        let terms = Terms::read(&work.with.config)?;
        let keys = keys_seen(work, &open.iter().map(|(day, _)| *day).collect::<Vec<_>>()).await?;
        let mut stale = Vec::new();
        for (day, mut files) in open {
            let with = usage_day(work.with, &terms, &keys, day);
            files.extend(events_of_cuts(work, &with.cuts));
            let inputs = inputs_of(&files);
            let bounds = work.with.zone.bounds(day);
            let relevant = terms.digest(&keys_of(work.with, &keys, day), bounds);
            let config = format!("{relevant} {bounds} {} {}", with.is_before_start, with.has_rates);
            if !work.built.keep(TABLE, &day.to_string(), inputs, &config) {
                stale.push(Stale { day, inputs, config, with });
            }
        }
        replace.extend(make(work, stale).await?);
    }
    work.commit(TABLE, replace).await
}

/// Makes the stale days, several at once.
async fn make(work: &mut Work<'_>, stale: Vec<Stale>) -> Result<Vec<(String, Replacement)>, JobError> {
    if stale.is_empty() {
        return Ok(Vec::new());
    }
    let expected = slot_events(work, &stale).await?;
    let this = &*work;
    let engine = this.engine().await?;
    let expected = &expected;
    let made: Vec<_> = futures::stream::iter(stale)
        .map(|stale| async move {
            let part = stale.day.to_string();
            let sql = usage_sql(&stale.with, &this.with.meters)?;
            let rows = engine.make(TABLE, &part, &sql).await?;
            conserved(&rows, stale.day, expected.get(&stale.day))?;
            let count = rows.num_rows();
            let replacement = this.replacement(TABLE, FileSlot::day(UtcDay(stale.day.0)), &[rows]).await?;
            Ok::<_, JobError>((stale, count, replacement))
        })
        .buffered(this.with.engine.partitions.get())
        .try_collect()
        .await?;
    let mut replace = Vec::new();
    for (stale, rows, replacement) in made {
        work.built.made(TABLE, &stale.day.to_string(), stale.inputs, &stale.config, rows);
        replace.push((stale.day.to_string(), replacement));
    }
    Ok(replace)
}

/// The billing days that have slots, with the files of these.
fn days_of(work: &Work<'_>) -> BTreeMap<BillingDay, Vec<String>> {
    let mut days: BTreeMap<BillingDay, Vec<String>> = BTreeMap::new();
    for file in work.tables[&Table::UsageSlots].files() {
        for day in days_touched(work.with, file) {
            days.entry(day).or_default().push(file.path.clone());
        }
    }
    days
}

fn days_touched(with: &Derivation, file: &LakeFile) -> Vec<BillingDay> {
    let Some(hour) = file.slot.utc_hour() else { return Vec::new() };
    with.zone.days_touching(hour.start(), hour.end()).collect()
}

/// Days that have a file but no slots any more.
fn gone(
    work: &Work<'_>,
    days: &BTreeMap<BillingDay, Vec<String>>,
) -> impl Iterator<Item = (String, Replacement)> + use<> {
    let files = work.tables[&TABLE].files();
    let gone = files.into_iter().filter(|file| file.day.is_some_and(|day| !days.contains_key(&BillingDay(day.0))));
    let gone: Vec<_> = gone
        .map(|file| {
            let part = file.day.map(|day| day.to_string()).unwrap_or_default();
            (part, Replacement { slot: file.slot.clone(), new: None })
        })
        .collect();
    gone.into_iter()
}

fn inputs_of(files: &[String]) -> Digest {
    let mut inputs = files.to_vec();
    inputs.push(text_digest(TABLE));
    digest_of(inputs)
}

/// Whether the whole configuration is what it was at the last build; what it is now is remembered.
fn same_configuration(work: &mut Work<'_>) -> Result<bool, JobError> {
    let parts = [Table::Customers, Table::ApiKeys, Table::Prices, Table::PriceMatches];
    let digests = parts.map(|table| work.built.now(table, "all").map(|part| part.inputs.clone()).unwrap_or_default());
    let with = work.with;
    let start = with.start.map(|day| day.to_string()).unwrap_or_default();
    let mut all = digests.to_vec();
    all.push(format!("start {start} zone {} rates {}", with.zone.name(), with.has_rates));
    // A cut slot is counted again by the meters themselves.
    all.extend(with.meters.iter().map(|meter| meter.definition().to_string()));
    let inputs = digest_of(all);
    let same = work.built.keep(TABLE, "configuration", inputs, "");
    if !same {
        work.built.made(TABLE, "configuration", inputs, "", 0);
    }
    Ok(same)
}

/// The keys that occur in the slots of the UTC days these billing days touch.
pub(super) async fn keys_seen(work: &Work<'_>, days: &[BillingDay]) -> Result<KeysSeen, JobError> {
    let mut seen = KeysSeen::new();
    for (from, to) in runs(days.iter().flat_map(|day| utc_days(work.with, *day))) {
        let sql = format!(
            "SELECT DISTINCT day, source, key_ref FROM usage_slots \
             WHERE key_ref IS NOT NULL AND day >= DATE '{from}' AND day <= DATE '{to}'"
        );
        let mut rows = work.engine().await?.query(&sql).await?;
        while let Some(batch) = rows.next().await? {
            let (sources, keys) = (texts(&batch, 1)?, texts(&batch, 2)?);
            let days = batch.column(0).as_primitive::<Date32Type>();
            for row in 0..batch.num_rows() {
                let key = (sources[row].clone(), keys[row].clone());
                seen.entry(UtcDay(days.value(row))).or_default().insert(key);
            }
        }
    }
    Ok(seen)
}

/// Days in order, as runs without a hole: one statement reads a run.
fn runs(days: impl Iterator<Item = UtcDay>) -> Vec<(UtcDay, UtcDay)> {
    let mut runs: Vec<(UtcDay, UtcDay)> = Vec::new();
    for day in days.collect::<BTreeSet<_>>() {
        match runs.last_mut() {
            Some((_, last)) if last.next() == day => *last = day,
            _ => runs.push((day, day)),
        }
    }
    runs
}

fn utc_days(with: &Derivation, day: BillingDay) -> impl Iterator<Item = UtcDay> + use<> {
    let bounds = with.zone.bounds(day);
    let last = bounds.to.map_or(bounds.from, |to| Micros(to.0 - 1));
    (bounds.from.day().0..=last.day().0).map(UtcDay)
}

fn keys_of(with: &Derivation, seen: &KeysSeen, day: BillingDay) -> BTreeSet<KeyName> {
    utc_days(with, day).filter_map(|day| seen.get(&day)).flatten().cloned().collect()
}

/// What the statement of a day depends on besides rows.
pub(super) fn usage_day(with: &Derivation, terms: &Terms, seen: &KeysSeen, day: BillingDay) -> UsageDay {
    let bounds = with.zone.bounds(day);
    let keys = keys_of(with, seen, day);
    let cuts = terms.changes(&keys, bounds).filter(|(_, at)| slot_of(*at) != *at);
    let mut cuts: Vec<Cut> =
        cuts.map(|((source, key_ref), at)| Cut { source: source.clone(), key_ref: key_ref.clone(), at }).collect();
    cuts.sort();
    cuts.dedup();
    UsageDay {
        day: UtcDay(day.0),
        from: bounds.from,
        to: bounds.to.unwrap_or(bounds.from),
        is_before_start: with.start.is_some_and(|start| day < start),
        has_rates: with.has_rates,
        cuts,
    }
}

/// The event files of the hours in which a slot is cut.
fn events_of_cuts(work: &Work<'_>, cuts: &[Cut]) -> Vec<String> {
    let hours: BTreeSet<(&str, UtcHour)> = cuts.iter().map(|cut| (cut.source.as_str(), cut.at.hour())).collect();
    let files = [Table::OriginRequests, Table::EdgeRequests].into_iter().flat_map(|table| work.tables[&table].files());
    files
        .filter(|file| {
            let unit = file.slot.source.as_deref().zip(file.slot.utc_hour());
            unit.is_some_and(|unit| hours.contains(&unit))
        })
        .map(|file| file.path.clone())
        .collect()
}

/// Events per source and meter.
type EventCounts = BTreeMap<(String, String), i64>;

/// The events of the slots of each day.
async fn slot_events(work: &Work<'_>, stale: &[Stale]) -> Result<BTreeMap<BillingDay, EventCounts>, JobError> {
    let mut counts: BTreeMap<BillingDay, EventCounts> = BTreeMap::new();
    let wanted: BTreeSet<BillingDay> = stale.iter().map(|stale| stale.day).collect();
    for (from, to) in runs(wanted.iter().flat_map(|day| utc_days(work.with, *day))) {
        let sql = format!(
            "SELECT slot_start, source, meter, CAST(sum(events) AS BIGINT) AS events FROM usage_slots \
             WHERE day >= DATE '{from}' AND day <= DATE '{to}' GROUP BY slot_start, source, meter"
        );
        let mut rows = work.engine().await?.query(&sql).await?;
        while let Some(batch) = rows.next().await? {
            let starts = batch.column(0).as_primitive::<TimestampMicrosecondType>();
            let (sources, meters) = (texts(&batch, 1)?, texts(&batch, 2)?);
            let events = batch.column(3).as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                let day = work.with.zone.day_of(Micros(starts.value(row)));
                if wanted.contains(&day) {
                    let unit = (sources[row].clone(), meters[row].clone());
                    *counts.entry(day).or_default().entry(unit).or_default() += events.value(row);
                }
            }
        }
    }
    Ok(counts)
}

/// Every event of the day's slots is in the day's usage.
fn conserved(rows: &RecordBatch, day: BillingDay, expected: Option<&EventCounts>) -> Result<(), JobError> {
    let column = |name: &str| rows.schema().index_of(name).unwrap_or_default();
    let (sources, meters) = (texts(rows, column("source"))?, texts(rows, column("meter"))?);
    let events = rows.column(column("events")).as_primitive::<Int64Type>();
    let mut found = EventCounts::new();
    for row in 0..rows.num_rows() {
        *found.entry((sources[row].clone(), meters[row].clone())).or_default() += events.value(row);
    }
    if Some(&found) == expected || (found.is_empty() && expected.is_none()) {
        return Ok(());
    }
    let what = format!("events per (source, meter) in usage {found:?}, in its slots {expected:?}");
    Err(JobError::Conservation { day: UtcDay(day.0), what })
}

/// A text column, whatever its encoding; NULL is empty.
fn texts(batch: &RecordBatch, column: usize) -> Result<Vec<String>, JobError> {
    let column = cast(batch.column(column), &DataType::Utf8).map_err(super::arrow_fault(TABLE))?;
    let column = column.as_string::<i32>();
    Ok((0..column.len())
        .map(|row| if column.is_valid(row) { column.value(row).to_owned() } else { String::new() })
        .collect())
}
