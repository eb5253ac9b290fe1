//! `usage_daily`: one file per billing day, made again when its slots, its statement, or configuration rows that matter to
//! it change. Every event of the day's slots must be in it, whatever its attribution, or nothing is written.
//! What meters of distinct values and maxima add to that is in `wholes`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use futures::{StreamExt, TryStreamExt};

use crate::base::{Digest, Micros, UtcDay};
use crate::billing::{BillingDay, BillingMonth};
use crate::lake::{FileSlot, LakeFile, Replacement};
use crate::model::{Cut, UsageDay, slot_of, usage_sql};
use crate::schema::Table;

use super::super::JobError;
use super::config::{KeyName, Terms, lines_digest};
use super::slots::{Statements, part_of, statements as statements_of};
use super::wholes::{add_inputs, check_wholes};
use super::{ClosedRules, Derivation, Work, arrow_fault, digest_of, text_digest};

const TABLE: Table = Table::UsageDaily;

/// The configuration that usage depends on: whose it is, and whether there is a price for it.
const MATTERS: [Table; 4] = [Table::Customers, Table::ApiKeys, Table::Prices, Table::PriceMatches];

/// The keys seen on each billing day.
pub(super) type KeysSeen = BTreeMap<BillingDay, BTreeSet<KeyName>>;

/// A day to be made.
struct Stale {
    day: BillingDay,
    inputs: Digest,
    config: String,
    with: UsageDay,
}

pub(super) async fn build(work: &mut Work<'_>) -> Result<(), JobError> {
    let mut days = days_of(work);
    add_inputs(work, &mut days)?;
    let keep_all = same_configuration(work)?;
    let mut statements: BTreeMap<Option<BillingMonth>, Statements> = BTreeMap::new();
    for rules in days.keys().map(|day| work.with.rules(day.month())) {
        if let Entry::Vacant(vacant) = statements.entry(rules.closed) {
            vacant.insert(statements_of(rules.meters)?);
        }
    }
    let of = |day: BillingDay| &statements[&work.with.rules(day.month()).closed];
    // Where the configuration is the same as ever, a day whose files are the same cannot differ: nothing is looked up.
    let mut open: Vec<(BillingDay, Vec<String>)> = Vec::new();
    for (day, files) in days.clone() {
        let part = day.to_string();
        let before = work.built.config_before(TABLE, &part).filter(|_| keep_all).map(str::to_owned);
        let kept = match before {
            Some(config) => {
                let inputs = inputs_of(work, &files, of(day), &cut_hours(&config));
                work.keep(TABLE, &part, vec![slot_of_day(day)], inputs, &config)
            }
            None => false,
        };
        if !kept {
            open.push((day, files));
        }
    }
    let mut replace: Vec<(String, Replacement)> = gone(work, &days).collect();
    if !open.is_empty() {
        let mut terms: BTreeMap<Option<BillingMonth>, Terms> = BTreeMap::new();
        let keys = keys_seen(work, &open.iter().map(|(day, _)| *day).collect::<Vec<_>>()).await?;
        let mut stale = Vec::new();
        for (day, files) in open {
            let rules = work.with.rules(day.month());
            let terms = match terms.entry(rules.closed) {
                Entry::Occupied(found) => found.into_mut(),
                Entry::Vacant(vacant) => vacant.insert(Terms::read(rules.config)?),
            };
            let with = usage_day(work.with, terms, &keys, day);
            let bounds = work.with.zone.bounds(day);
            let none = BTreeSet::new();
            let relevant = terms.digest(keys.get(&day).unwrap_or(&none), bounds);
            let cuts: BTreeSet<String> = with.cuts.iter().map(|cut| part_of(&cut.source, cut.at.hour())).collect();
            let cuts = cuts.into_iter().collect::<Vec<_>>().join(",");
            let config = format!("{relevant} {bounds} {} {} {cuts}", with.is_before_start, with.has_rates);
            let inputs = inputs_of(work, &files, of(day), &cut_hours(&config));
            if !work.keep(TABLE, &day.to_string(), vec![slot_of_day(day)], inputs, &config) {
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
    if let Some(first) = stale.first() {
        work.stale(TABLE, &first.day.to_string())?;
    }
    let expected = slot_events(work, &stale).await?;
    let this = &*work;
    let expected = &expected;
    let made: Vec<_> = futures::stream::iter(stale)
        .map(|stale| async move {
            let part = stale.day.to_string();
            let sql = usage_sql(&stale.with, this.with.rules(stale.day.month()).meters)?;
            let rows = this.engine_of(stale.day.month()).await?.make(TABLE, &part, &sql).await?;
            conserved(&rows, stale.day, expected.get(&stale.day))?;
            check_wholes(&rows, stale.day, this.with.rules(stale.day.month()).meters)?;
            let count = rows.num_rows();
            let replacement = this.replacement(TABLE, slot_of_day(stale.day), &[rows]).await?;
            Ok::<_, JobError>((stale, count, replacement))
        })
        .buffered(this.with.engine.partitions.get())
        .try_collect()
        .await?;
    let mut replace = Vec::new();
    for (stale, rows, replacement) in made {
        let slots = vec![slot_of_day(stale.day)];
        work.built.made(TABLE, &stale.day.to_string(), slots, stale.inputs, &stale.config, rows);
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

pub(super) fn days_touched(with: &Derivation, file: &LakeFile) -> Vec<BillingDay> {
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

fn slot_of_day(day: BillingDay) -> FileSlot {
    FileSlot::day(UtcDay(day.0))
}

/// The digest of a day's slots and statement; where slots are cut, also of the events of their hours and of how these are
/// counted.
fn inputs_of(work: &Work<'_>, files: &[String], statements: &Statements, cut_hours: &BTreeSet<&str>) -> Digest {
    let mut inputs = files.to_vec();
    inputs.push(text_digest(TABLE));
    if !cut_hours.is_empty() {
        for file in event_files(work) {
            let Some((source, hour)) = file.slot.source.as_deref().zip(file.slot.utc_hour()) else { continue };
            if cut_hours.contains(part_of(source, hour).as_str()) {
                inputs.push(file.path.clone());
                inputs.extend(statements.get(source).into_iter().flatten().cloned());
            }
        }
    }
    digest_of(inputs)
}

/// The files of all events.
pub(super) fn event_files<'a>(work: &'a Work<'_>) -> impl Iterator<Item = &'a LakeFile> {
    [Table::OriginRequests, Table::EdgeRequests].into_iter().flat_map(|table| work.tables[&table].files())
}

/// The hours with cut slots, which a day's configuration ends with. They are kept there by name, so that the next build
/// knows whose events matter without looking for the day's keys.
fn cut_hours(config: &str) -> BTreeSet<&str> {
    let hours = config.rsplit_once(' ').map_or("", |(_, hours)| hours);
    hours.split(',').filter(|hour| !hour.is_empty()).collect()
}

/// Whether the whole configuration is what it was at the last build; what it is now is remembered.
fn same_configuration(work: &mut Work<'_>) -> Result<bool, JobError> {
    let digests =
        MATTERS.map(|table| work.built.now(table, "all").map_or_else(String::new, |part| part.inputs.to_string()));
    let with = work.with;
    let start = with.start.map(|day| day.to_string()).unwrap_or_default();
    let mut all = digests.to_vec();
    all.push(format!("start {start} zone {} rates {}", with.zone.name(), with.has_rates));
    for (month, ClosedRules { start, has_rates, config, .. }) in &with.closed {
        let config = MATTERS.map(|table| lines_digest(table, config.of(table)));
        let config = config.into_iter().collect::<Result<Vec<_>, _>>()?;
        all.push(format!("closed {month} {start:?} {has_rates} {}", config.join(" ")));
    }
    let inputs = digest_of(all);
    let same = work.keep(TABLE, "configuration", Vec::new(), inputs, "");
    if !same {
        work.built.made(TABLE, "configuration", Vec::new(), inputs, "", 0);
    }
    Ok(same)
}

/// The keys that occur on these billing days, and maybe on their neighbours.
pub(super) async fn keys_seen(work: &Work<'_>, days: &[BillingDay]) -> Result<KeysSeen, JobError> {
    let mut seen = KeysSeen::new();
    for (from, to) in runs(days.iter().flat_map(|day| utc_days(work.with, *day))) {
        let sql = format!(
            "SELECT source, key_ref, min(slot_start), max(slot_start) FROM usage_slots \
             WHERE key_ref IS NOT NULL AND day >= DATE '{from}' AND day <= DATE '{to}' GROUP BY day, source, key_ref"
        );
        let mut rows = work.engine().await?.query(&sql).await?;
        while let Some(batch) = rows.next().await? {
            let (sources, keys) = (texts(&batch, 0)?, texts(&batch, 1)?);
            let (first, last) = (instants(&batch, 2)?, instants(&batch, 3)?);
            for row in 0..batch.num_rows() {
                // A UTC day lies in two billing days at most, so the first and the last slot tell which.
                for at in [first[row], last[row]] {
                    let key = (sources[row].clone(), keys[row].clone());
                    seen.entry(work.with.zone.day_of(at)).or_default().insert(key);
                }
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

/// What the statement of a day depends on besides rows.
pub(super) fn usage_day(with: &Derivation, terms: &Terms, seen: &KeysSeen, day: BillingDay) -> UsageDay {
    let (bounds, rules) = (with.zone.bounds(day), with.rules(day.month()));
    let none = BTreeSet::new();
    let changes = terms.changes(seen.get(&day).unwrap_or(&none), bounds).into_iter();
    let cuts = changes.filter(|(_, at)| slot_of(*at) != *at);
    let mut cuts: Vec<Cut> =
        cuts.map(|((source, key_ref), at)| Cut { source: source.clone(), key_ref: key_ref.clone(), at }).collect();
    cuts.sort();
    cuts.dedup();
    UsageDay {
        day: UtcDay(day.0),
        from: bounds.from,
        to: bounds.to.unwrap_or(bounds.from),
        is_before_start: rules.start.is_some_and(|start| day < start),
        has_rates: rules.has_rates,
        cuts,
    }
}

/// Events per source and meter.
type EventCounts = BTreeMap<(String, String), i128>;

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
            let starts = instants(&batch, 0)?;
            let (sources, meters) = (texts(&batch, 1)?, texts(&batch, 2)?);
            let events = integers(&batch, 3)?;
            for row in 0..batch.num_rows() {
                let day = work.with.zone.day_of(starts[row]);
                if wanted.contains(&day) {
                    let unit = (sources[row].clone(), meters[row].clone());
                    *counts.entry(day).or_default().entry(unit).or_default() += i128::from(events[row]);
                }
            }
        }
    }
    Ok(counts)
}

/// Every event of the day's slots is in the day's usage.
fn conserved(rows: &RecordBatch, day: BillingDay, expected: Option<&EventCounts>) -> Result<(), JobError> {
    let column = |name: &str| rows.schema().index_of(name).map_err(arrow_fault(TABLE));
    let (sources, meters) = (texts(rows, column("source")?)?, texts(rows, column("meter")?)?);
    let events = integers(rows, column("events")?)?;
    let mut found = EventCounts::new();
    // The row of a customer as a whole has no source and no events.
    for row in (0..rows.num_rows()).filter(|row| events[*row] != 0 || !sources[*row].is_empty()) {
        *found.entry((sources[row].clone(), meters[row].clone())).or_default() += i128::from(events[row]);
    }
    if Some(&found) == expected || (found.is_empty() && expected.is_none()) {
        return Ok(());
    }
    let what = format!("events per (source, meter) in usage {found:?}, in its slots {expected:?}");
    Err(JobError::Conservation { day: UtcDay(day.0), what })
}

/// A text column, whatever its encoding; NULL is empty.
pub(super) fn texts(batch: &RecordBatch, column: usize) -> Result<Vec<String>, JobError> {
    let column = cast(batch.column(column), &DataType::Utf8).map_err(arrow_fault(TABLE))?;
    let column = column.as_string::<i32>();
    Ok((0..column.len())
        .map(|row| if column.is_valid(row) { column.value(row).to_owned() } else { String::new() })
        .collect())
}

fn instants(batch: &RecordBatch, column: usize) -> Result<Vec<Micros>, JobError> {
    Ok(integers(batch, column)?.into_iter().map(Micros).collect())
}

/// A column of whole numbers or of microseconds; no value is NULL.
pub(super) fn integers(batch: &RecordBatch, column: usize) -> Result<Vec<i64>, JobError> {
    let column = cast(batch.column(column), &DataType::Int64).map_err(arrow_fault(TABLE))?;
    Ok(column.as_primitive::<Int64Type>().values().to_vec())
}
