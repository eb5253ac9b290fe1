//! Meters of distinct values and of maxima belong to a customer as a whole: in `usage_daily` they have a row beside those of
//! the keys. Here is what such a day depends on besides its slots, and what must hold of its rows. Distinct values are
//! counted from the events, and two sets of events may have equal slots: so the files of the events matter too.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;

use crate::base::{Digest, Micros, UtcDay};
use crate::billing::{BillingDay, BillingMonth};
use crate::model::{Meter, MeterValue, UsageDay, usage_sql};
use crate::schema::Table;

use super::super::JobError;
use super::slots::{Statements, metered};
use super::usage::{days_touched, event_files, integers, texts};
use super::{Work, arrow_fault};

/// The meters of some rules that belong to a customer as a whole.
#[derive(Default)]
struct Wholes {
    /// How they count each source.
    statements: Statements,
    /// The sources whose distinct values are counted.
    distinct: BTreeSet<String>,
}

impl Wholes {
    fn of(meters: &[Meter]) -> Result<Self, JobError> {
        let mut wholes = Self::default();
        for (source, meter) in metered(meters).filter(|(_, meter)| meter.value.is_of_customer()) {
            wholes.statements.entry(source.to_owned()).or_default().push(statement(meter, source)?);
            if matches!(meter.value, MeterValue::Unique(_)) {
                wholes.distinct.insert(source.to_owned());
            }
        }
        Ok(wholes)
    }
}

/// The digest of how a meter counts a source. That of any day stands for all: it holds the text as it is run.
fn statement(meter: &Meter, source: &str) -> Result<String, JobError> {
    let alone = Meter { sources: vec![source.to_owned()], ..meter.clone() };
    let (day, from) = (UtcDay(0), Micros(0));
    let to = day.next().start();
    let any = UsageDay { day, from, to, is_before_start: false, has_rates: true, cuts: Vec::new() };
    Ok(Digest::of([&*usage_sql(&any, &[alone])?]).to_string())
}

/// Adds to the inputs of each day how these meters count its sources and, where distinct values are counted, the files of
/// the events.
pub(super) fn add_inputs(work: &Work<'_>, days: &mut BTreeMap<BillingDay, Vec<String>>) -> Result<(), JobError> {
    let mut wholes: BTreeMap<Option<BillingMonth>, Wholes> = BTreeMap::new();
    for rules in days.keys().map(|day| work.with.rules(day.month())) {
        if let Entry::Vacant(vacant) = wholes.entry(rules.closed) {
            vacant.insert(Wholes::of(rules.meters)?);
        }
    }
    if wholes.values().all(|wholes| wholes.statements.is_empty()) {
        return Ok(());
    }
    let of = |day: BillingDay| wholes.get(&work.with.rules(day.month()).closed);
    let mut told = BTreeSet::new();
    for file in work.tables[&Table::UsageSlots].files() {
        let source = file.slot.source.as_deref().unwrap_or_default();
        for day in days_touched(work.with, file) {
            let statements = of(day).and_then(|wholes| wholes.statements.get(source));
            if let Some((statements, inputs)) = statements.zip(days.get_mut(&day))
                && told.insert((day, source))
            {
                inputs.extend(statements.iter().cloned());
            }
        }
    }
    for file in event_files(work) {
        let source = file.slot.source.as_deref().unwrap_or_default();
        for day in days_touched(work.with, file) {
            if of(day).is_some_and(|wholes| wholes.distinct.contains(source))
                && let Some(inputs) = days.get_mut(&day)
            {
                inputs.push(file.path.clone());
            }
        }
    }
    Ok(())
}

/// What a customer's keys used of such a meter is in one row of the customer, and no more distinct values than events are.
pub(super) fn check_wholes(rows: &RecordBatch, day: BillingDay, meters: &[Meter]) -> Result<(), JobError> {
    let of_customer: BTreeMap<&str, &MeterValue> = meters
        .iter()
        .filter(|meter| meter.value.is_of_customer())
        .map(|meter| (meter.name.as_str(), &meter.value))
        .collect();
    if of_customer.is_empty() {
        return Ok(());
    }
    let column = |name: &str| rows.schema().index_of(name).map_err(arrow_fault(Table::UsageDaily));
    let text = |name: &str| texts(rows, column(name)?);
    let integer = |name: &str| integers(rows, column(name)?);
    let (customers, names, dimensions) = (text("customer_id")?, text("meter")?, text("dimensions")?);
    let (sources, attributions) = (text("source")?, text("attribution")?);
    let (quantities, events) = (integer("quantity")?, integer("events")?);
    // Per customer, meter and dimensions: the events of the keys, and the quantities of the customer.
    let mut units: BTreeMap<(&str, &str, &str), (i64, Vec<i64>)> = BTreeMap::new();
    let mapped = |row: &usize| attributions[*row] == "mapped" && of_customer.contains_key(names[*row].as_str());
    for row in (0..rows.num_rows()).filter(mapped) {
        let unit = units.entry((&customers[row], &names[row], &dimensions[row])).or_default();
        match sources[row].is_empty() {
            true => unit.1.push(quantities[row]),
            false => unit.0 += events[row],
        }
    }
    let fits = |name: &str, events: i64, quantities: &[i64]| match (of_customer.get(name), quantities) {
        (Some(MeterValue::Unique(_)), [distinct]) => (1..=events).contains(distinct),
        (_, quantities) => events > 0 && quantities.len() == 1,
    };
    match units.into_iter().find(|((_, name, _), (events, quantities))| !fits(name, *events, quantities)) {
        None => Ok(()),
        Some((unit, (events, quantities))) => {
            let what = format!("{unit:?} as a whole has the quantities {quantities:?} of {events} mapped events");
            Err(JobError::Conservation { day: UtcDay(day.0), what })
        }
    }
}
