//! A month's charges after the usage of some customers has changed: they are priced again, the charges of the others stay as
//! they are. Customers have nothing to do with one another, so what comes of it is what pricing the whole month would give.
//!
//! It is done only where nothing but usage can have changed: the stored charges are those made from the usage as it was when the
//! attempt began, under the same statement and configuration. A build that died between usage and charges leaves others, and
//! then the whole month is priced.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringViewArray};
use arrow::compute::{concat_batches, filter_record_batch, interleave_record_batch};
use arrow::row::{RowConverter, SortField};

use crate::base::{Digest, Digester, UtcDay};
use crate::billing::{BillingDay, BillingMonth};
use crate::lake::{FileSlot, LakeFile};
use crate::schema::Table;

use super::super::JobError;
use super::charges::{Replaced, bounds, inputs_of, priced, replaced, slots_of};
use super::{Work, arrow_fault};

const TABLE: Table = Table::ChargesDaily;

/// Where more customers have changed, the whole month is priced.
const CUSTOMERS_MAX: usize = 5_000;

/// The customers whose usage of a month has changed since it was priced; none where that is not known to be all that has, or
/// where they are too many to be priced by themselves.
pub(super) async fn customers_changed(
    work: &Work<'_>,
    month: BillingMonth,
    config: &str,
) -> Result<Option<BTreeSet<String>>, JobError> {
    let in_month = |file: &&LakeFile| file.day.is_some_and(|day| BillingDay(day.0).month() == month);
    let before = work.usage_before.files().into_iter().filter(in_month).map(|file| file.path.clone());
    let (inputs, slots) = (inputs_of(before.collect()), slots_of(month));
    if work.built.was_made(&work.tables[&TABLE], &month.to_string(), &slots, inputs, config).is_none() {
        return Ok(None);
    }
    let mut changed = BTreeSet::new();
    for slot in &slots {
        let before = work.usage_before.current(slot);
        let now = work.tables[&Table::UsageDaily].current(slot);
        if before.map(|file| &file.path) == now.map(|file| &file.path) {
            continue;
        }
        let (before, mut now) = (by_customer(work, before).await?, by_customer(work, now).await?);
        for (customer, usage) in before {
            if now.remove(&customer) != Some(usage) {
                changed.insert(customer);
            }
        }
        changed.extend(now.into_keys());
        if changed.len() > CUSTOMERS_MAX {
            return Ok(None);
        }
    }
    Ok(Some(changed))
}

/// A digest of each customer's rows of a file of usage.
async fn by_customer(work: &Work<'_>, file: Option<&LakeFile>) -> Result<BTreeMap<String, Digest>, JobError> {
    let fault = arrow_fault(Table::UsageDaily);
    let mut digesters: BTreeMap<String, Digester> = BTreeMap::new();
    let Some(file) = file else { return Ok(BTreeMap::new()) };
    for batch in work.lake.read_file(Table::UsageDaily, file, None).await? {
        let fields = batch.schema().fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let rows = RowConverter::new(fields).and_then(|rows| rows.convert_columns(batch.columns())).map_err(&fault)?;
        let customers = customers_of(&batch, Table::UsageDaily)?;
        for row in (0..batch.num_rows()).filter(|row| customers.is_valid(*row)) {
            let customer = customers.value(row);
            if !digesters.contains_key(customer) {
                digesters.insert(customer.to_owned(), Digester::default());
            }
            if let Some(digester) = digesters.get_mut(customer) {
                digester.part(rows.row(row).as_ref());
            }
        }
    }
    Ok(digesters.into_iter().map(|(customer, digester)| (customer, digester.finish())).collect())
}

/// Prices a month for these customers; gives the days that change, and how many rows the month has.
pub(super) async fn price_again(
    work: &Work<'_>,
    month: BillingMonth,
    last: BillingDay,
    customers: &BTreeSet<String>,
) -> Result<(Replaced, usize), JobError> {
    let shares = work.engine_of(month).await?.shares_of(customers, &bounds(work.with, last)).await?;
    let mut by_day = priced(work, month, last, shares).await?;
    let (mut replace, mut count) = (Vec::new(), 0);
    for day in month.days().map(|day| UtcDay(day.0)) {
        let stored = stored(work, day).await?;
        let is_priced = |row: &str| customers.contains(row);
        let (old, others) = (those(&stored, is_priced)?, those(&stored, |row| !is_priced(row))?);
        let new = in_shape(by_day.remove(&day).unwrap_or_default())?;
        count += others.num_rows() + new.num_rows();
        if old != new {
            let rows = merged(&others, &new)?;
            replace.extend(replaced(work, day, (rows.num_rows() > 0).then(|| vec![rows])).await?);
        }
    }
    Ok((replace, count))
}

/// The charges of a day that are stored.
async fn stored(work: &Work<'_>, day: UtcDay) -> Result<RecordBatch, JobError> {
    match work.tables[&TABLE].current(&FileSlot::day(day)) {
        Some(file) => in_shape(work.lake.read_file(TABLE, file, None).await?),
        None => in_shape(Vec::new()),
    }
}

/// All rows as one batch with the columns of the table's files.
fn in_shape(batches: Vec<RecordBatch>) -> Result<RecordBatch, JobError> {
    let schema = TABLE.file_schema();
    let columns = |batch: &RecordBatch| {
        let wanted = schema.fields().iter().map(|field| batch.schema().index_of(field.name()));
        let wanted = batch.project(&wanted.collect::<Result<Vec<_>, _>>()?)?;
        RecordBatch::try_new(schema.clone(), wanted.columns().to_vec())
    };
    let batches = batches.iter().map(columns).collect::<Result<Vec<_>, _>>();
    batches.and_then(|batches| concat_batches(&schema, &batches)).map_err(arrow_fault(TABLE))
}

/// The rows of some customers.
fn those(rows: &RecordBatch, wanted: impl Fn(&str) -> bool) -> Result<RecordBatch, JobError> {
    let customers = customers_of(rows, TABLE)?;
    let wanted: BooleanArray = customers.iter().map(|customer| Some(customer.is_some_and(&wanted))).collect();
    filter_record_batch(rows, &wanted).map_err(arrow_fault(TABLE))
}

/// Rows of different customers, each in their order, together in that order.
fn merged(a: &RecordBatch, b: &RecordBatch) -> Result<RecordBatch, JobError> {
    let (of_a, of_b) = (customers_of(a, TABLE)?, customers_of(b, TABLE)?);
    let mut order = Vec::with_capacity(a.num_rows() + b.num_rows());
    let (mut at_a, mut at_b) = (0, 0);
    while at_a < a.num_rows() || at_b < b.num_rows() {
        let is_a = match (at_a < a.num_rows(), at_b < b.num_rows()) {
            (true, true) => of_a.value(at_a).cmp(of_b.value(at_b)) == Ordering::Less,
            (is_a, _) => is_a,
        };
        let next = if is_a { &mut at_a } else { &mut at_b };
        order.push((usize::from(!is_a), *next));
        *next += 1;
    }
    interleave_record_batch(&[a, b], &order).map_err(arrow_fault(TABLE))
}

fn customers_of(rows: &RecordBatch, table: Table) -> Result<&StringViewArray, JobError> {
    let column = rows.column_by_name("customer_id").and_then(|column| column.as_string_view_opt());
    let lacking = || arrow::error::ArrowError::SchemaError("there is no text column customer_id".to_owned());
    column.ok_or_else(|| arrow_fault(table)(lacking()))
}
