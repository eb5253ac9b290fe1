//! Rows of a query on stdout: a table for people, CSV, a JSON array or JSON lines for machines. Batches are written as they come.

use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::csv::WriterBuilder as CsvBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::WriterBuilder as JsonBuilder;
use arrow::json::writer::{JsonArray, LineDelimited};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::Value;

use super::args::RowFormat;
use super::grid::Grid;

/// Writes batches in one format.
pub(crate) enum RowWriter<W: Write> {
    Table { out: W, grid: Grid },
    Csv(Box<arrow::csv::Writer<W>>),
    Json(Box<arrow::json::Writer<W, JsonArray>>),
    Ndjson(Box<arrow::json::Writer<W, LineDelimited>>),
}

impl<W: Write> RowWriter<W> {
    /// A writer for rows of that schema.
    pub(crate) fn new(out: W, format: RowFormat, schema: &SchemaRef) -> Result<Self, ArrowError> {
        // NULL is written, not left out: a reader sees every column in every row.
        let json = || JsonBuilder::new().with_explicit_nulls(true);
        Ok(match format {
            RowFormat::Table => Self::Table { out, grid: Grid::new(&headings(schema)) },
            RowFormat::Csv => {
                let mut writer = CsvBuilder::new().with_header(true).build(out);
                // Even no rows have a header.
                writer.write(&RecordBatch::new_empty(schema.clone()))?;
                Self::Csv(Box::new(writer))
            }
            RowFormat::Json => Self::Json(Box::new(json().build(out))),
            RowFormat::Ndjson => Self::Ndjson(Box::new(json().build(out))),
        })
    }

    /// Writes a batch.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        match self {
            Self::Table { grid, .. } => {
                let options = FormatOptions::default().with_null("");
                let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
                let columns = columns.collect::<Result<Vec<_>, _>>()?;
                (0..batch.num_rows()).for_each(|row| grid.row(columns.iter().map(|c| c.value(row).to_string())));
                Ok(())
            }
            Self::Csv(writer) => writer.write(batch),
            Self::Json(writer) => writer.write(&decimals_as_text(batch)?),
            Self::Ndjson(writer) => writer.write(&decimals_as_text(batch)?),
        }
    }

    /// Ends the output.
    pub(crate) fn finish(self) -> Result<(), ArrowError> {
        match self {
            Self::Table { mut out, grid } => write!(out, "{grid}").map_err(ArrowError::from),
            Self::Csv(_) => Ok(()),
            Self::Json(mut writer) => {
                writer.finish()?;
                writeln!(writer.into_inner()).map_err(ArrowError::from)
            }
            Self::Ndjson(mut writer) => writer.finish(),
        }
    }
}

/// Batches as a JSON array of objects, for reports.
pub(crate) fn json_of(batches: &[RecordBatch]) -> Result<Value> {
    let mut writer = JsonBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    batches.iter().try_for_each(|batch| writer.write(&decimals_as_text(batch)?))?;
    writer.finish()?;
    let text = writer.into_inner();
    Ok(if text.is_empty() { Value::Array(Vec::new()) } else { serde_json::from_slice(&text)? })
}

/// The batch with its decimals as text: most readers of JSON would make floats of them.
fn decimals_as_text(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let exact = matches!(field.data_type(), DataType::Decimal128(..) | DataType::Decimal256(..));
        let kind = if exact { DataType::Utf8 } else { field.data_type().clone() };
        columns.push(cast(column, &kind)?);
        fields.push(Field::new(field.name(), kind, true));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Batches as a grid, for reports: amounts keep as many places as the column needs, two at least.
pub(crate) fn grid_of(batches: &[RecordBatch]) -> Result<Grid, ArrowError> {
    let Some(first) = batches.first() else { return Ok(Grid::new::<&str>(&[])) };
    let options = FormatOptions::default().with_null("");
    let mut columns = vec![Vec::new(); first.num_columns()];
    for batch in batches {
        for (cells, column) in columns.iter_mut().zip(batch.columns()) {
            let format = ArrayFormatter::try_new(column, &options)?;
            cells.extend((0..batch.num_rows()).map(|row| format.value(row).to_string()));
        }
    }
    for (field, cells) in first.schema().fields().iter().zip(&mut columns) {
        if matches!(field.data_type(), DataType::Decimal128(_, 3..)) {
            drop_common_zeros(cells);
        }
    }
    let mut grid = Grid::new(&headings(&first.schema()));
    for row in 0..columns.first().map_or(0, Vec::len) {
        grid.row(columns.iter_mut().map(|cells| std::mem::take(&mut cells[row])));
    }
    Ok(grid)
}

fn drop_common_zeros(cells: &mut [String]) {
    let places = |cell: &String| cell.split_once('.').map_or(0, |(_, places)| places.trim_end_matches('0').len());
    let keep = cells.iter().map(places).max().unwrap_or(0).max(2);
    for cell in cells {
        if let Some(point) = cell.find('.') {
            cell.truncate(point + 1 + keep);
        }
    }
}

fn headings(schema: &SchemaRef) -> Vec<String> {
    let mark = |kind: &DataType| if kind.is_numeric() { ">" } else { "" };
    schema.fields().iter().map(|field| format!("{}{}", mark(field.data_type()), field.name())).collect()
}
