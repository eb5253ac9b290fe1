//! `charges_daily`: a billing month is priced as a whole, because its counters run through it, and stored per day. A day whose
//! charges come out the same keeps its file.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Date32Type;

use crate::base::{Digest, UtcDay};
use crate::billing::{BillingDay, BillingMonth};
use crate::lake::{FileSlot, Replacement};
use crate::model::{MonthBounds, charges_sql};
use crate::schema::Table;

use super::super::JobError;
use super::{Derivation, Work, arrow_fault, digest_of, text_digest};

const TABLE: Table = Table::ChargesDaily;

/// The usage of a month: its files, and what they were made under.
#[derive(Default)]
struct Month {
    inputs: Vec<String>,
    config: Vec<String>,
    last: Option<BillingDay>,
}

pub(super) async fn build(work: &mut Work<'_>) -> Result<(), JobError> {
    let mut months: BTreeMap<BillingMonth, Month> = BTreeMap::new();
    for file in work.tables[&Table::UsageDaily].files() {
        let Some(day) = file.day.map(|day| BillingDay(day.0)) else { continue };
        let month = months.entry(day.month()).or_default();
        month.inputs.push(file.path.clone());
        // What mattered to the usage of a day is what matters to its price.
        month.config.extend(work.built.now(Table::UsageDaily, &day.to_string()).map(|part| part.config.clone()));
        month.last = month.last.max(Some(day));
    }
    let mut replace: Vec<(String, Replacement)> = Vec::new();
    for file in work.tables[&TABLE].files() {
        if let Some(day) = file.day
            && !months.contains_key(&BillingDay(day.0).month())
        {
            replace.push((day.to_string(), Replacement { slot: file.slot.clone(), new: None }));
        }
    }
    for (month, Month { mut inputs, config, last }) in months {
        inputs.push(text_digest(TABLE));
        let (inputs, config) = (digest_of(inputs), digest_of(config).to_string());
        let Some(last) = last else { continue };
        if !work.built.keep(TABLE, &month.to_string(), inputs, &config) {
            replace.extend(price(work, month, last, inputs, &config).await?);
        }
    }
    work.commit(TABLE, replace).await
}

/// The text that prices the month of a day up to that day.
pub(super) fn statement(with: &Derivation, last: BillingDay) -> String {
    let days = last.month().days().take_while(|day| *day <= last);
    charges_sql(&MonthBounds { days: days.map(|day| (UtcDay(day.0), with.zone.start(day))).collect() })
}

async fn price(
    work: &mut Work<'_>,
    month: BillingMonth,
    last: BillingDay,
    inputs: Digest,
    config: &str,
) -> Result<Vec<(String, Replacement)>, JobError> {
    let sql = statement(work.with, last);
    let rows = work.engine().await?.make(TABLE, &month.to_string(), &sql).await?;
    work.built.made(TABLE, &month.to_string(), inputs, config, rows.num_rows());
    let mut by_day = split(&rows)?;
    let mut replace = Vec::new();
    for day in month.days().map(|day| UtcDay(day.0)) {
        let slot = FileSlot::day(day);
        match by_day.remove(&day) {
            Some(rows) => replace.push((day.to_string(), work.replacement(TABLE, slot, &[rows]).await?)),
            None if work.tables[&TABLE].current(&slot).is_some() => {
                replace.push((day.to_string(), Replacement { slot, new: None }));
            }
            None => {}
        }
    }
    Ok(replace)
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
