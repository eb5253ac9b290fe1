//! The tables `invoices` and `invoice_lines`: what was issued, for joins. A month's rows are made from its close and replace each other,
//! so that writing them again changes nothing.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringViewArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::base::{Nanos, UtcDay};
use crate::billing::BillingMonth;
use crate::billing::invoice::{Invoice, Line};
use crate::lake::{FileSlot, Lake, Replacement};
use crate::schema::Table;

use super::super::JobError;
use super::super::attempts::until_unopposed;

/// Brings the rows of a month to what was issued.
pub(super) async fn write_tables(lake: &Lake, month: BillingMonth, invoices: &[Invoice]) -> Result<(), JobError> {
    let slot = FileSlot::day(UtcDay(month.first_day().0));
    let lines: Vec<(&Invoice, &Line)> =
        invoices.iter().flat_map(|invoice| invoice.lines.iter().map(move |line| (invoice, line))).collect();
    let rows = [(Table::InvoiceLines, line_rows(&lines)?), (Table::Invoices, invoice_rows(invoices)?)];
    for (table, rows) in rows {
        until_unopposed(async || {
            let at = lake.table(table).await?;
            let new = lake.write_file(&at, slot.clone(), vec![rows.clone()]).await?;
            at.commit(vec![Replacement { slot: slot.clone(), new }], "close").await?;
            Ok(())
        })
        .await?;
    }
    Ok(())
}

fn invoice_rows(invoices: &[Invoice]) -> Result<RecordBatch, JobError> {
    let mut sums = Vec::with_capacity(invoices.len());
    for invoice in invoices {
        sums.push((invoice.subtotal()?, invoice.tax()?, invoice.total()?));
    }
    let texts = |of: &dyn Fn(&Invoice) -> Option<String>| texts(invoices.iter().map(of));
    let columns = vec![
        texts(&|invoice| invoice.number.clone()),
        texts(&|invoice| Some(invoice.kind.name().to_owned())),
        texts(&|invoice| Some(invoice.customer_id.clone())),
        texts(&|invoice| Some(invoice.customer.name.clone())),
        texts(&|invoice| Some(invoice.currency.code.clone())),
        amounts(sums.iter().map(|sum| sum.0), 38)?,
        amounts(sums.iter().map(|sum| sum.1), 38)?,
        amounts(sums.iter().map(|sum| sum.2), 38)?,
        days(invoices.iter().map(|invoice| invoice.issued_on.map(|day| day.0))),
        days(invoices.iter().map(|invoice| invoice.due_on.map(|day| day.0))),
    ];
    batch(Table::Invoices, columns)
}

fn line_rows(lines: &[(&Invoice, &Line)]) -> Result<RecordBatch, JobError> {
    let each = || lines.iter();
    let texts = |of: &dyn Fn(&Invoice, &Line) -> Option<String>| texts(each().map(|(invoice, line)| of(invoice, line)));
    let numbers = |of: &dyn Fn(&Line) -> Option<i64>| -> ArrayRef {
        Arc::new(each().map(|(_, line)| of(line)).collect::<Int64Array>())
    };
    let price = each().map(|(_, line)| line.unit_price.map(|price| price.0));
    let price: Decimal128Array = price.collect();
    let from: TimestampMicrosecondArray = each().map(|(_, line)| line.key.price_from.map(|at| at.0)).collect();
    let position: Result<Int32Array, _> =
        each().map(|(_, line)| i32::try_from(line.line).map(Some)).collect::<Result<Int32Array, _>>();
    let position =
        position.map_err(|error| fault(Table::InvoiceLines)(ArrowError::from_external_error(Box::new(error))))?;
    let columns = vec![
        texts(&|invoice, _| invoice.number.clone()),
        Arc::new(position),
        texts(&|invoice, _| Some(invoice.customer_id.clone())),
        texts(&|_, line| Some(line.key.kind.name().to_owned())),
        days(each().map(|(_, line)| Some(line.key.month.first_day().0))),
        texts(&|_, line| line.correction.as_ref().and_then(|correction| correction.invoice.clone())),
        texts(&|_, line| line.key.plan.clone()),
        texts(&|_, line| line.key.price_id.clone()),
        Arc::new(from.with_timezone("UTC")),
        texts(&|_, line| line.key.model.clone()),
        texts(&|_, line| line.key.meter.clone()),
        texts(&|_, line| line.key.tier.clone()),
        numbers(&|line| line.quantity),
        numbers(&|line| line.billed),
        Arc::new(price.with_precision_and_scale(18, 9).map_err(fault(Table::InvoiceLines))?),
        amounts(each().map(|(_, line)| line.exact), 38)?,
        amounts(each().map(|(_, line)| line.amount), 38)?,
        texts(&|invoice, _| Some(invoice.currency.code.clone())),
        texts(&|_, line| Some(line.text.clone())),
    ];
    batch(Table::InvoiceLines, columns)
}

fn batch(table: Table, columns: Vec<ArrayRef>) -> Result<RecordBatch, JobError> {
    RecordBatch::try_new(table.file_schema(), columns).map_err(fault(table))
}

fn texts(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringViewArray>())
}

fn days(values: impl Iterator<Item = Option<i32>>) -> ArrayRef {
    Arc::new(values.collect::<Date32Array>())
}

fn amounts(values: impl Iterator<Item = Nanos>, precision: u8) -> Result<ArrayRef, JobError> {
    let values: Decimal128Array = values.map(|amount| Some(amount.0)).collect();
    Ok(Arc::new(values.with_data_type(DataType::Decimal128(precision, 9))))
}

fn fault(table: Table) -> impl Fn(ArrowError) -> JobError {
    move |source| JobError::Rows { table: table.name(), source }
}
