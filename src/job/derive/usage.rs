//! `usage_daily`: one file per billing day, made again when its slots, its statement, or configuration rows that matter to
//! it change. Every event of the day's slots must be in it, whatever its attribution, or nothing is written. A meter of
//! distinct values is counted from the events, so for such a meter the day also depends on the event files of its hours.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use futures::{StreamExt, TryStreamExt};

use crate::base::{Digest, Micros, UtcDay};
use crate::billing::BillingDay;
use crate::lake::{FileSlot, LakeFile, Replacement};
use crate::model::{Cut, Meter, MeterValue, UsageDay, slot_of, usage_sql};
use crate::schema::Table;

use super::super::JobError;
use super::config::{KeyName, Terms};
use super::slots::{Statements, metered, part_of, statements};
use super::{Derivation, Work, arrow_fault, digest_of, text_digest};

const TABLE: Table = Table::UsageDaily;

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
    let statements = statements(&work.with.meters)?;
    let days = days_of(work)?;
    let keep_all = same_configuration(work);
    // Where the configuration is the same as ever, a day whose files are the same cannot differ: nothing is looked up.
    let mut open: Vec<(BillingDay, Vec<String>)> = Vec::new();
    for (day, files) in days.clone() {
        let part = day.to_string();
        let before = work.built.config_before(TABLE, &part).filter(|_| keep_all).map(str::to_owned);
        let kept = match before {
            Some(config) => {
                let inputs = inputs_of(work, &files, &statements, &cut_hours(&config));
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
        let terms = Terms::read(&work.with.config)?;
        let keys = keys_seen(work, &open.iter().map(|(day, _)| *day).collect::<Vec<_>>()).await?;
        let mut stale = Vec::new();
        for (day, files) in open {
            let with = usage_day(work.with, &terms, &keys, day);
            let bounds = work.with.zone.bounds(day);
            let none = BTreeSet::new();
            let relevant = terms.digest(keys.get(&day).unwrap_or(&none), bounds);
            let cuts: BTreeSet<String> = with.cuts.iter().map(|cut| part_of(&cut.source, cut.at.hour())).collect();
            let cuts = cuts.into_iter().collect::<Vec<_>>().join(",");
            let config = format!("{relevant} {bounds} {} {} {cuts}", with.is_before_start, with.has_rates);
            let inputs = inputs_of(work, &files, &statements, &cut_hours(&config));
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
            whole(&rows, stale.day, &this.with.meters)?;
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

/// The billing days that have slots, with what their usage is made from: the files of the slots, for meters that belong to
/// a customer as a whole how they count, and for those of distinct values the files of the events.
fn days_of(work: &Work<'_>) -> Result<BTreeMap<BillingDay, Vec<String>>, JobError> {
    let mut days: BTreeMap<BillingDay, BTreeSet<String>> = BTreeMap::new();
    let (mut whole, mut distinct) = (Statements::new(), BTreeSet::new());
    for (source, meter) in metered(&work.with.meters).filter(|(_, meter)| meter.value.is_of_customer()) {
        whole.entry(source.to_owned()).or_default().push(whole_statement(meter, source)?);
        if matches!(meter.value, MeterValue::Unique(_)) {
            distinct.insert(source);
        }
    }
    for file in work.tables[&Table::UsageSlots].files() {
        let source = file.slot.source.as_deref().unwrap_or_default();
        for day in days_touched(work.with, file) {
            let inputs = days.entry(day).or_default();
            inputs.insert(file.path.clone());
            inputs.extend(whole.get(source).into_iter().flatten().cloned());
        }
    }
    for file in event_files(work) {
        if file.slot.source.as_deref().is_some_and(|source| distinct.contains(source)) {
            for day in days_touched(work.with, file) {
                // An hour has slots as soon as it has events.
                if let Some(inputs) = days.get_mut(&day) {
                    inputs.insert(file.path.clone());
                }
            }
        }
    }
    Ok(days.into_iter().map(|(day, inputs)| (day, inputs.into_iter().collect())).collect())
}

/// The digest of how a meter that belongs to a customer as a whole counts a source. The statement of any day stands for
/// all.
fn whole_statement(meter: &Meter, source: &str) -> Result<String, JobError> {
    let alone = Meter { sources: vec![source.to_owned()], ..meter.clone() };
    let (day, from) = (UtcDay(0), Micros(0));
    let to = day.next().start();
    let any = UsageDay { day, from, to, is_before_start: false, has_rates: true, cuts: Vec::new() };
    Ok(Digest::of([&*usage_sql(&any, &[alone])?]).to_string())
}

fn event_files<'a>(work: &'a Work<'_>) -> impl Iterator<Item = &'a LakeFile> {
    [Table::OriginRequests, Table::EdgeRequests].into_iter().flat_map(|table| work.tables[&table].files())
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

fn slot_of_day(day: BillingDay) -> FileSlot {
    FileSlot::day(UtcDay(day.0))
}

/// The digest of a day's slots and statement; where slots are cut, also of the events of their hours and of how these are
/// counted.
fn inputs_of(
    work: &Work<'_>,
    files: &[String],
    statements: &Statements,
    cut_hours: &BTreeSet<&str>,
) -> Digest {
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

/// The hours with cut slots, which a day's configuration ends with. They are kept there by name, so that the next build
/// knows whose events matter without looking for the day's keys.
fn cut_hours(config: &str) -> BTreeSet<&str> {
    let hours = config.rsplit_once(' ').map_or("", |(_, hours)| hours);
    hours.split(',').filter(|hour| !hour.is_empty()).collect()
}

/// Whether the whole configuration is what it was at the last build; what it is now is remembered.
fn same_configuration(work: &mut Work<'_>) -> bool {
    let parts = [Table::Customers, Table::ApiKeys, Table::Prices, Table::PriceMatches];
    let digests =
        parts.map(|table| work.built.now(table, "all").map_or_else(String::new, |part| part.inputs.to_string()));
    let with = work.with;
    let start = with.start.map(|day| day.to_string()).unwrap_or_default();
    let mut all = digests.to_vec();
    all.push(format!("start {start} zone {} rates {}", with.zone.name(), with.has_rates));
    let inputs = digest_of(all);
    let same = work.keep(TABLE, "configuration", Vec::new(), inputs, "");
    if !same {
        work.built.made(TABLE, "configuration", Vec::new(), inputs, "", 0);
    }
    same
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
    let bounds = with.zone.bounds(day);
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
        is_before_start: with.start.is_some_and(|start| day < start),
        has_rates: with.has_rates,
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
    // Rows of a customer as a whole have no source and no events.
    for row in (0..rows.num_rows()).filter(|row| events[*row] != 0 || !sources[*row].is_empty()) {
        *found.entry((sources[row].clone(), meters[row].clone())).or_default() += i128::from(events[row]);
    }
    if Some(&found) == expected || (found.is_empty() && expected.is_none()) {
        return Ok(());
    }
    let what = format!("events per (source, meter) in usage {found:?}, in its slots {expected:?}");
    Err(JobError::Conservation { day: UtcDay(day.0), what })
}

/// What a customer's keys used of a meter that belongs to the customer as a whole is in one row, and no more distinct
/// values than events are.
fn whole(rows: &RecordBatch, day: BillingDay, meters: &[Meter]) -> Result<(), JobError> {
    let of_customer: BTreeMap<&str, &MeterValue> =
        meters.iter().filter(|m| m.value.is_of_customer()).map(|m| (m.name.as_str(), &m.value)).collect();
    if of_customer.is_empty() {
        return Ok(());
    }
    let text = |name: &str| texts(rows, rows.schema().index_of(name).map_err(arrow_fault(TABLE))?);
    let integer = |name: &str| integers(rows, rows.schema().index_of(name).map_err(arrow_fault(TABLE))?);
    let (customers, names, dimensions) = (text("customer_id")?, text("meter")?, text("dimensions")?);
    let (sources, attributions) = (text("source")?, text("attribution")?);
    let (quantities, events) = (integer("quantity")?, integer("events")?);
    // Per customer, meter and dimensions: the events of the keys, and the quantities of the customer.
    let mut units: BTreeMap<(&str, &str, &str), (i64, Vec<i64>)> = BTreeMap::new();
    for row in (0..rows.num_rows()).filter(|row| attributions[*row] == "mapped") {
        if of_customer.contains_key(names[row].as_str()) {
            let unit = units.entry((&customers[row], &names[row], &dimensions[row])).or_default();
            match sources[row].is_empty() {
                true => unit.1.push(quantities[row]),
                false => unit.0 += events[row],
            }
        }
    }
    let wrong = units.into_iter().find(|((_, name, _), (events, quantities))| match (of_customer.get(name), &quantities[..]) {
        (Some(MeterValue::Unique(_)), [quantity]) => !(1..=*events).contains(quantity),
        (_, quantities) => quantities.len() != 1,
    });
    match wrong {
        None => Ok(()),
        Some((unit, (events, quantities))) => {
            let what = format!("{unit:?} as a whole has the quantities {quantities:?} of {events} mapped events");
            Err(JobError::Conservation { day: UtcDay(day.0), what })
        }
    }
}

/// A text column, whatever its encoding; NULL is empty.
fn texts(batch: &RecordBatch, column: usize) -> Result<Vec<String>, JobError> {
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
fn integers(batch: &RecordBatch, column: usize) -> Result<Vec<i64>, JobError> {
    let column = cast(batch.column(column), &DataType::Int64).map_err(arrow_fault(TABLE))?;
    Ok(column.as_primitive::<Int64Type>().values().to_vec())
}
