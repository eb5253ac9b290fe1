//! `charges_daily`: a billing month is priced as a whole, because its counters run through it, and stored per day. A day whose
//! charges come out the same keeps its file. Where only usage has changed, `reprice` prices only the customers whose it was.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{CastOptions, cast_with_options, take_record_batch};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type};
use hashbrown::HashMap;

use crate::base::{Digest, UtcDay};
use crate::billing::{BillingDay, BillingMonth};
use crate::lake::{FileSlot, Replacement};
use crate::model::{CustomerSet, Engine, MonthBounds, Pricing, charges_sql_of};
use crate::schema::Table;

use super::super::JobError;
use super::config::Terms;
use super::{Derivation, Work, arrow_fault, digest_of, reprice, text_digest};

const TABLE: Table = Table::ChargesDaily;

/// The usage of a month: its files, and what they were made under.
#[derive(Default)]
struct Month {
    inputs: Vec<String>,
    config: Vec<String>,
    last: Option<BillingDay>,
}

pub(super) async fn build(work: &mut Work<'_>) -> Result<(), JobError> {
    let today = Terms::read(&work.with.config)?;
    let mut months: BTreeMap<BillingMonth, Month> = BTreeMap::new();
    for file in work.tables[&Table::UsageDaily].files() {
        let Some(day) = file.day.map(|day| BillingDay(day.0)) else { continue };
        let month = months.entry(day.month()).or_default();
        month.inputs.push(file.path.clone());
        // What mattered to the usage of a day is what matters to its price.
        let usage = work.built.now(Table::UsageDaily, &day.to_string());
        month.config.extend(usage.map(|part| format!("{day} {}", part.config)));
        month.last = month.last.max(Some(day));
    }
    if today.charge_by_time() && work.with.has_rates {
        fill(&mut months);
    }
    let newest = months.keys().next_back().copied();
    months.retain(|month, _| work.with.rules(*month).start.is_none_or(|start| start <= month.last_day()));
    let mut replace: Vec<(String, Replacement)> = Vec::new();
    for file in work.tables[&TABLE].files() {
        if let Some(day) = file.day
            && !months.contains_key(&BillingDay(day.0).month())
        {
            replace.push((day.to_string(), Replacement { slot: file.slot.clone(), new: None }));
        }
    }
    for (month, Month { inputs, mut config, last }) in months {
        let rules = work.with.rules(month);
        let of_close = rules.closed.map(|_| Terms::read(rules.config)).transpose()?;
        let terms = of_close.as_ref().unwrap_or(&today);
        // A month is over once it is closed or there is usage of a later one; till then it is priced as far as it is known.
        let is_open = Some(month) == newest && rules.closed.is_none();
        let last = last.filter(|_| is_open).unwrap_or(month.last_day());
        config.push(format!("up to {last} {}", terms.digest_of_time(work.with.zone.month_bounds(month))));
        let (inputs, config) = (inputs_of(inputs), digest_of(config).to_string());
        if !work.keep(TABLE, &month.to_string(), slots_of(month), inputs, &config) {
            work.stale(TABLE, &month.to_string())?;
            let changed = reprice::customers_changed(work, month, &config).await?;
            let (made, rows) = match &changed {
                Some(customers) => reprice::price_again(work, month, last, customers).await?,
                None => price(work, month, last).await?,
            };
            work.built.made(TABLE, &month.to_string(), slots_of(month), inputs, &config, rows);
            replace.extend(made);
        }
    }
    work.commit(TABLE, replace).await
}

/// Months between the first and the last with usage have days too.
fn fill(months: &mut BTreeMap<BillingMonth, Month>) {
    let Some((first, last)) = months.keys().next().copied().zip(months.keys().next_back().copied()) else { return };
    let mut month = first;
    while month < last {
        months.entry(month).or_default();
        month = month.next();
    }
}

/// The digest of what a month is priced from: its files of usage, and the statement.
pub(super) fn inputs_of(mut files: Vec<String>) -> Digest {
    files.push(text_digest(TABLE));
    digest_of(files)
}

pub(super) fn slots_of(month: BillingMonth) -> Vec<FileSlot> {
    month.days().map(|day| FileSlot::day(UtcDay(day.0))).collect()
}

/// The days of a day's month up to it that are charged.
pub(super) fn bounds(with: &Derivation, last: BillingDay) -> MonthBounds {
    let start = with.rules(last.month()).start;
    let priced = last.month().days().filter(|day| *day <= last && start.is_none_or(|start| *day >= start));
    MonthBounds { days: priced.map(|day| (UtcDay(day.0), with.zone.start(day))).collect() }
}

/// The text that prices the month of a day up to that day.
pub(super) fn statement(with: &Derivation, last: BillingDay) -> String {
    statement_of(with, last, CustomerSet::default(), false)
}

/// The same for some customers; `unpriced_too`: also what no price took so far.
fn statement_of(with: &Derivation, last: BillingDay, customers: CustomerSet, unpriced_too: bool) -> String {
    let without_plan_terms = with.rules(last.month()).config.plan_terms.num_rows() == 0;
    charges_sql_of(&bounds(with, last), &Pricing { customers, without_plan_terms, unpriced_too })
}

/// The texts that price a whole month, some customers each.
pub(super) async fn statements(
    engine: &Engine,
    with: &Derivation,
    month: BillingMonth,
    unpriced_too: bool,
) -> Result<Vec<String>, JobError> {
    let last = month.last_day();
    let shares = engine.shares(&bounds(with, last)).await?;
    Ok(shares.into_iter().map(|customers| statement_of(with, last, customers, unpriced_too)).collect())
}

/// Days with what takes the place of their files.
pub(super) type Replaced = Vec<(String, Replacement)>;

/// Rows by day, in the order of the table.
pub(super) type Days = BTreeMap<UtcDay, Vec<RecordBatch>>;

/// Prices a month; gives its days, and how many rows they have.
async fn price(work: &Work<'_>, month: BillingMonth, last: BillingDay) -> Result<(Replaced, usize), JobError> {
    let shares = work.engine_of(month).await?.shares(&bounds(work.with, last)).await?;
    let mut by_day = priced(work, month, last, shares).await?;
    let count = by_day.values().flatten().map(RecordBatch::num_rows).sum();
    let mut replace = Vec::new();
    for day in month.days().map(|day| UtcDay(day.0)) {
        replace.extend(replaced(work, day, by_day.remove(&day)).await?);
    }
    Ok((replace, count))
}

/// What takes the place of a day's file; none where there is none and there is nothing to take its place.
pub(super) async fn replaced(
    work: &Work<'_>,
    day: UtcDay,
    rows: Option<Vec<RecordBatch>>,
) -> Result<Option<(String, Replacement)>, JobError> {
    let slot = FileSlot::day(day);
    Ok(match rows {
        Some(rows) => Some((day.to_string(), work.replacement(TABLE, slot, &rows).await?)),
        None if work.tables[&TABLE].current(&slot).is_some() => {
            Some((day.to_string(), Replacement { slot, new: None }))
        }
        None => None,
    })
}

/// Prices a month up to a day for these customers, some at a time in their order, and checks that all their usage is charged.
pub(super) async fn priced(
    work: &Work<'_>,
    month: BillingMonth,
    last: BillingDay,
    shares: Vec<CustomerSet>,
) -> Result<Days, JobError> {
    let days = bounds(work.with, last);
    let mut by_day = Days::new();
    for customers in shares {
        let rows = work.engine_of(month).await?.charges(&month.to_string(), &days, &customers).await?;
        if work.with.rules(month).has_rates {
            balanced(work, &rows, month, last, &customers).await?;
        }
        split(&rows)?.into_iter().for_each(|(day, rows)| by_day.entry(day).or_default().push(rows));
    }
    Ok(by_day)
}

/// Everything mapped is charged: what a price takes adds up to the usage, per day, customer and meter.
async fn balanced(
    work: &Work<'_>,
    rows: &RecordBatch,
    month: BillingMonth,
    last: BillingDay,
    customers: &CustomerSet,
) -> Result<(), JobError> {
    let these = customers.condition().map_or_else(String::new, |these| format!("AND {these} "));
    let sql = format!(
        "SELECT day, customer_id, meter, sum(CAST(quantity AS DECIMAL(38, 0))) AS quantity \
         FROM usage_daily WHERE attribution = 'mapped' AND quantity <> 0 AND day >= DATE '{}' AND day <= DATE '{last}' {these}\
         GROUP BY day, customer_id, meter",
        month.first_day()
    );
    let used = work.engine().await?.query(&sql).await?.collect().await?;
    let used = used.iter().map(UnitRows::of).collect::<Result<Vec<_>, _>>()?;
    let (used, charged) = (quantities(&used), [UnitRows::of(rows)?]);
    let charged = quantities(&charged);
    match used.iter().filter(|(unit, quantity)| charged.get(*unit) != Some(*quantity)).min() {
        None if used.len() == charged.len() => Ok(()),
        differs => Err(JobError::Conservation {
            day: UtcDay(last.0),
            what: format!(
                "usage and charges of {month} differ: used {differs:?}, charged {:?}",
                differs.and_then(|(unit, _)| charged.get(unit))
            ),
        }),
    }
}

/// The columns that say how much of what was used.
struct UnitRows {
    day: ArrayRef,
    customer: ArrayRef,
    meter: ArrayRef,
    quantity: ArrayRef,
}

impl UnitRows {
    fn of(rows: &RecordBatch) -> Result<Self, JobError> {
        let column = |name: &str, kind: &DataType| {
            let at = rows.schema().index_of(name)?;
            cast_with_options(rows.column(at), kind, &CastOptions { safe: false, ..CastOptions::default() })
        };
        let column = |name: &str, kind| column(name, &kind).map_err(arrow_fault(TABLE));
        Ok(Self {
            day: column("day", DataType::Date32)?,
            customer: column("customer_id", DataType::Utf8View)?,
            meter: column("meter", DataType::Utf8View)?,
            quantity: column("quantity", DataType::Decimal128(38, 0))?,
        })
    }
}

/// Quantity per day, customer and meter.
type Quantities<'a> = HashMap<(i32, &'a str, &'a str), i128>;

fn quantities(batches: &[UnitRows]) -> Quantities<'_> {
    let mut quantities = Quantities::new();
    for rows in batches {
        let (day, quantity) = (rows.day.as_primitive::<Date32Type>(), rows.quantity.as_primitive::<Decimal128Type>());
        let (customer, meter) = (rows.customer.as_string_view(), rows.meter.as_string_view());
        // What has no meter prices no usage, and what is rated again counts no more of it.
        for row in (0..day.len()).filter(|row| meter.is_valid(*row)) {
            let unit = (day.value(row), customer.value(row), meter.value(row));
            *quantities.entry(unit).or_default() += quantity.value(row);
        }
    }
    quantities
}

fn split(rows: &RecordBatch) -> Result<BTreeMap<UtcDay, RecordBatch>, JobError> {
    let days = rows.column_by_name("day").and_then(|column| column.as_primitive_opt::<Date32Type>());
    let mut by_day: BTreeMap<UtcDay, Vec<u32>> = BTreeMap::new();
    for (row, day) in (0_u32..).zip(days.map_or(&[][..], |days| days.values())) {
        by_day.entry(UtcDay(*day)).or_default().push(row);
    }
    by_day
        .into_iter()
        .map(|(day, wanted)| {
            Ok((day, take_record_batch(rows, &UInt32Array::from(wanted)).map_err(arrow_fault(TABLE))?))
        })
        .collect()
}
