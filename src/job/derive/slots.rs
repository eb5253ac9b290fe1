//! `usage_slots`: one file per source and hour, made again when the hour's events, the statement or the source's meters change.
//! Every meter must have seen every event of the hour, or nothing is written.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use futures::{StreamExt, TryStreamExt};

use crate::base::{Digest, Micros, UtcHour};
use crate::billing::BillingMonth;
use crate::lake::{FileSlot, Replacement};
use crate::model::{Meter, slots_sql};
use crate::schema::Table;

use super::super::JobError;
use super::{Derivation, Work, arrow_fault, digest_of};

const TABLE: Table = Table::UsageSlots;

/// The order of rows within a file: a customer's rows together, then by time.
const ORDER: &[&str] = &["key_ref", "meter", "slot_start", "key_state", "refused", "conflict", "outcome", "dimensions"];

/// The events of one source in one hour.
#[derive(Clone, Default)]
struct Events {
    files: Vec<String>,
    rows: u64,
}

/// Events counted by one statement: what it gives is held in memory until it is sorted and written.
const STRETCH_EVENTS: u64 = 500_000;

/// Some stale hours of one source and day, all counted under the same rules.
struct Stretch {
    source: String,
    from: UtcHour,
    to: UtcHour,
    under: Under,
    events: u64,
}

/// The months whose rules count an hour: two where a month ends within it.
type Under = Vec<BillingMonth>;

/// Digests of the statements that count each source.
pub(super) type Statements = BTreeMap<String, Vec<String>>;

/// Each source a meter counts, with the meter.
pub(super) fn metered(meters: &[Meter]) -> impl Iterator<Item = (&str, &Meter)> {
    meters.iter().flat_map(|meter| meter.sources.iter().map(move |source| (source.as_str(), meter)))
}

/// Digests of the statements that count each source. That of any hour stands for all: it holds the text and the meter as
/// they are run.
pub(super) fn statements(meters: &[Meter]) -> Result<Statements, JobError> {
    let mut statements = Statements::new();
    for (source, meter) in metered(meters) {
        let text = slots_sql(meter, source, UtcHour(0), UtcHour(1))?;
        statements.entry(source.to_owned()).or_default().push(Digest::of([&*text]).to_string());
    }
    Ok(statements)
}

pub(super) async fn build(work: &mut Work<'_>) -> Result<(), JobError> {
    let mut units: BTreeMap<(String, UtcHour), Events> = BTreeMap::new();
    for table in [Table::OriginRequests, Table::EdgeRequests] {
        for file in work.tables[&table].files() {
            let Some((source, hour)) = file.slot.source.clone().zip(file.slot.utc_hour()) else { continue };
            let is_metered =
                |month: BillingMonth| metered(work.with.rules(month).meters).any(|(name, _)| name == source);
            if under(work.with, hour).into_iter().any(is_metered) {
                let unit = units.entry((source, hour)).or_default();
                unit.files.push(file.path.clone());
                unit.rows += file.rows;
            }
        }
    }
    let mut known: BTreeMap<Option<BillingMonth>, Statements> = BTreeMap::new();
    let mut stale: BTreeMap<(String, UtcHour), Digest> = BTreeMap::new();
    for ((source, hour), events) in &units {
        let mut inputs = events.files.clone();
        for month in under(work.with, *hour) {
            let rules = work.with.rules(month);
            let statements = match known.entry(rules.closed) {
                Entry::Occupied(found) => found.into_mut(),
                Entry::Vacant(vacant) => vacant.insert(statements(rules.meters)?),
            };
            inputs.extend(statements.get(source).into_iter().flatten().cloned());
        }
        let inputs = digest_of(inputs);
        if !work.keep(TABLE, &part_of(source, *hour), vec![FileSlot::unit(source, *hour, 0)], inputs, "") {
            stale.insert((source.clone(), *hour), inputs);
        }
    }
    let mut replace = Vec::new();
    for file in work.tables[&TABLE].files() {
        let Some((source, hour)) = file.slot.source.clone().zip(file.slot.utc_hour()) else { continue };
        if !units.contains_key(&(source.clone(), hour)) {
            replace.push((part_of(&source, hour), Replacement { slot: file.slot.clone(), new: None }));
        }
    }
    if !stale.is_empty() {
        if let Some((source, hour)) = stale.keys().next() {
            work.stale(TABLE, &part_of(source, *hour))?;
        }
        work.engine().await?;
        let this = &*work;
        let (units, stale) = (&units, &stale);
        let made: Vec<Vec<_>> =
            futures::stream::iter(stretches(work.with, stale.keys().map(|unit| (unit, units[unit].rows))))
                .map(|stretch| async move { count(this, &stretch, units).await })
                .buffered(work.with.engine.partitions.get())
                .try_collect()
                .await?;
        for (source, hour, rows, replacement) in made.into_iter().flatten() {
            let part = part_of(&source, hour);
            if let Some(inputs) = stale.get(&(source, hour)) {
                work.built.made(TABLE, &part, vec![replacement.slot.clone()], *inputs, "", rows);
            }
            replace.push((part, replacement));
        }
    }
    work.commit(TABLE, replace).await
}

/// The name of an hour of a source.
pub(super) fn part_of(source: &str, hour: UtcHour) -> String {
    format!("{source}/{hour}")
}

/// The months an hour lies in, where they are counted under different rules; else the first.
fn under(with: &Derivation, hour: UtcHour) -> Under {
    let month_at = |at| with.zone.day_of(at).month();
    let (first, last) = (month_at(hour.start()), month_at(Micros(hour.end().0 - 1)));
    let differ = first != last && with.rules(first).closed != with.rules(last).closed;
    if differ { vec![first, last] } else { vec![first] }
}

/// Hours that follow one another within a day are counted by one statement per meter. A day, and so many events, bound what is
/// held in memory. `stale`: each hour with its events.
fn stretches<'a>(with: &Derivation, stale: impl Iterator<Item = (&'a (String, UtcHour), u64)>) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for ((source, hour), events) in stale {
        let under = under(with, *hour);
        let follows = |last: &Stretch| {
            let is_next = last.source == *source && last.to == *hour && last.from.day() == hour.day();
            let is_small = last.events + events <= STRETCH_EVENTS;
            is_next && is_small && last.under.len() == 1 && last.under == under
        };
        match stretches.last_mut().filter(|last| follows(last)) {
            Some(last) => (last.to, last.events) = (hour.next(), last.events + events),
            None => {
                stretches.push(Stretch { source: source.clone(), from: *hour, to: hour.next(), under, events });
            }
        }
    }
    stretches
}

/// Counts a stretch by every meter of its source; gives one replacement per hour.
async fn count(
    work: &Work<'_>,
    stretch: &Stretch,
    units: &BTreeMap<(String, UtcHour), Events>,
) -> Result<Vec<(String, UtcHour, usize, Replacement)>, JobError> {
    let Stretch { source, from, to, under, .. } = stretch;
    let engine = work.engine().await?;
    let mut by_hour: BTreeMap<UtcHour, Vec<RecordBatch>> = BTreeMap::new();
    let hours = || (from.0..to.0).map(UtcHour);
    let meters = under.iter().flat_map(|month| {
        let meters = metered(work.with.rules(*month).meters).filter(|(metered, _)| metered == source);
        meters.map(move |(_, meter)| (*month, meter))
    });
    for (month, meter) in meters {
        let sql = slots_sql(meter, source, *from, *to)?;
        let rows = engine.make(TABLE, &part_of(source, *from), &sql).await?;
        let mut counted = split(rows)?;
        for hour in hours() {
            let rows = counted.remove(&hour);
            let expected = units.get(&(source.clone(), hour)).map_or(0, |events| events.rows);
            let found = rows.as_ref().map_or(0, events_of);
            if found != i128::from(expected) {
                let what = format!(
                    "meter {} saw {found} events of {source} in hour {hour}, the table holds {expected}",
                    meter.name
                );
                return Err(JobError::Conservation { day: hour.day(), what });
            }
            // Where a month ends within the hour, each month's meters count its own slots.
            let rows = rows.map(|rows| if under.len() > 1 { of_month(work.with, month, &rows) } else { Ok(rows) });
            by_hour.entry(hour).or_default().extend(rows.transpose()?);
        }
    }
    let mut made = Vec::new();
    for hour in hours() {
        let rows = by_hour.remove(&hour).unwrap_or_default();
        let rows = sorted(&rows)?;
        let count = rows.num_rows();
        let replacement = work.replacement(TABLE, FileSlot::unit(source, hour, 0), &[rows]).await?;
        made.push((source.clone(), hour, count, replacement));
    }
    Ok(made)
}

/// The rows by hour of their slot.
fn split(rows: RecordBatch) -> Result<BTreeMap<UtcHour, RecordBatch>, JobError> {
    let starts = rows.column_by_name("slot_start").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let mut by_hour: BTreeMap<UtcHour, Vec<u32>> = BTreeMap::new();
    for (row, start) in (0_u32..).zip(starts.map_or(&[][..], |starts| starts.values())) {
        by_hour.entry(Micros(*start).hour()).or_default().push(row);
    }
    by_hour
        .into_iter()
        .map(|(hour, wanted)| {
            let part = take_record_batch(&rows, &UInt32Array::from(wanted)).map_err(arrow_fault(TABLE))?;
            Ok((hour, part))
        })
        .collect()
}

/// The rows whose slot lies in the month.
fn of_month(with: &Derivation, month: BillingMonth, rows: &RecordBatch) -> Result<RecordBatch, JobError> {
    let starts = rows.column_by_name("slot_start").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let bounds = with.zone.month_bounds(month);
    let starts = (0_u32..).zip(starts.map_or(&[][..], |starts| starts.values()));
    let wanted: Vec<u32> = starts.filter(|(_, start)| bounds.contains(Micros(**start))).map(|(row, _)| row).collect();
    take_record_batch(rows, &UInt32Array::from(wanted)).map_err(arrow_fault(TABLE))
}

fn events_of(rows: &RecordBatch) -> i128 {
    let events = rows.column_by_name("events").and_then(|c| c.as_primitive_opt::<Int64Type>());
    events.map_or(0, |events| events.values().iter().map(|events| i128::from(*events)).sum())
}

fn sorted(rows: &[RecordBatch]) -> Result<RecordBatch, JobError> {
    let whole = concat_batches(&TABLE.schema(), rows).map_err(arrow_fault(TABLE))?;
    let columns = ORDER.iter().filter_map(|name| whole.column_by_name(name));
    let columns: Vec<SortColumn> =
        columns.map(|values| SortColumn { values: Arc::clone(values), options: None }).collect();
    let order = lexsort_to_indices(&columns, None).map_err(arrow_fault(TABLE))?;
    take_record_batch(&whole, &order).map_err(arrow_fault(TABLE))
}
