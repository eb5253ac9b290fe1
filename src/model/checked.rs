//! What a statement gave, brought into the table's shape: every number fits its column.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{DataType, Decimal128Type};
use arrow::util::display::array_value_to_string;

use super::ModelError;
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

/// A row as text, for messages.
pub(super) fn show(batch: &RecordBatch, row: usize) -> String {
    let mut out = String::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let value = array_value_to_string(column, row).unwrap_or_else(|_| "?".to_owned());
        let _ = write!(out, "{}{}={value}", if out.is_empty() { "" } else { ", " }, field.name());
    }
    out
}
