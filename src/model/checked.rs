//! What a statement gave, brought into the table's shape and checked: every number fits its column, and every charge is
//! its quantity times its price to the last digit, computed a second time in whole numbers.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use arrow::util::display::array_value_to_string;

use super::ModelError;
use crate::base::Nanos;
use crate::schema::Table;

/// The rows in the table's schema: columns by name, integers of a statement's wide sums narrowed only where they fit.
/// The partition column stays.
pub fn conform(table: Table, batches: &[RecordBatch]) -> Result<RecordBatch, ModelError> {
    let schema = table.schema();
    let shape = |column: &str| ModelError::Shape { table: table.name(), column: column.to_owned() };
    let mut done = Vec::with_capacity(batches.len());
    for batch in batches {
        let mut columns = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let column = batch.column_by_name(field.name()).ok_or_else(|| shape(field.name()))?;
            columns.push(match (column.data_type(), field.data_type()) {
                (DataType::Decimal128(_, 0), DataType::Int64) => narrow(table, batch, field.name(), column)?,
                (from, to) if from == to => Arc::clone(column),
                (_, to) => cast_with_options(column, to, &CastOptions { safe: false, ..CastOptions::default() })
                    .map_err(|_| shape(field.name()))?,
            });
        }
        done.push(RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|_| shape("*"))?);
    }
    concat_batches(&schema, &done).map_err(|_| shape("*"))
}

fn narrow(table: Table, batch: &RecordBatch, name: &str, column: &ArrayRef) -> Result<ArrayRef, ModelError> {
    let wide: &Decimal128Array = column.as_primitive::<Decimal128Type>();
    let mut narrow = Vec::with_capacity(wide.len());
    for row in 0..wide.len() {
        narrow.push(match wide.is_valid(row) {
            false => None,
            true => Some(i64::try_from(wide.value(row)).map_err(|_| ModelError::TooLarge {
                table: table.name(),
                column: name.to_owned(),
                row: show(batch, row),
            })?),
        });
    }
    Ok(Arc::new(Int64Array::from(narrow)))
}

/// Computes every amount of a conformed `charges_daily` that is a product again and compares; others have no unit price.
/// Only a fee, a discount or a minimum may have none, and what they take or give has one sign.
pub fn check_amounts(charges: &RecordBatch) -> Result<(), ModelError> {
    let shape = |column: &str| ModelError::Shape { table: Table::ChargesDaily.name(), column: column.to_owned() };
    let column = |name: &str| charges.column_by_name(name).ok_or_else(|| shape(name));
    let quantity = column("quantity")?.as_primitive_opt::<Int64Type>().ok_or_else(|| shape("quantity"))?;
    let billed = column("billed")?.as_primitive_opt::<Int64Type>().ok_or_else(|| shape("billed"))?;
    let price = column("unit_price")?.as_primitive_opt::<Decimal128Type>().ok_or_else(|| shape("unit_price"))?;
    let amount = column("amount")?.as_primitive_opt::<Decimal128Type>().ok_or_else(|| shape("amount"))?;
    let text = |name: &str| column(name)?.as_string_view_opt().ok_or_else(|| shape(name));
    let (kind, tier) = (text("kind")?, text("tier")?);
    for row in 0..charges.num_rows() {
        let of_kind = if kind.is_valid(row) { kind.value(row) } else { "" };
        let is_rerate = tier.is_valid(row) && tier.value(row) == "rerate";
        let is_known = amount.is_valid(row) && quantity.is_valid(row);
        let is_right = match of_kind {
            "usage" => {
                let exact = Nanos(price.value(row)).checked_mul(billed.value(row));
                let has_quantity = if is_rerate { quantity.value(row) == 0 } else { quantity.value(row) > 0 };
                let has_price = price.is_valid(row) && billed.is_valid(row) && billed.value(row) >= 0;
                has_quantity && has_price && exact == Some(Nanos(amount.value(row)))
            }
            "flat" => price.is_null(row) && quantity.value(row) == 0 && amount.value(row) >= 0,
            "minimum" => price.is_null(row) && quantity.value(row) == 0 && amount.value(row) > 0,
            "discount" => price.is_null(row) && quantity.value(row) == 0,
            _ => false,
        };
        if !is_known || !is_right {
            return Err(ModelError::Inexact { row: show(charges, row) });
        }
    }
    Ok(())
}

fn show(batch: &RecordBatch, row: usize) -> String {
    let mut out = String::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let value = array_value_to_string(column, row).unwrap_or_else(|_| "?".to_owned());
        let _ = write!(out, "{}{}={value}", if out.is_empty() { "" } else { ", " }, field.name());
    }
    out
}
