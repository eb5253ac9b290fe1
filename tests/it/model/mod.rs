//! The SQL of the derived tables over tables in memory: cases worked out by hand, and an oracle that prices random usage.

mod cases;
mod coverage;
mod engine;
mod oracle;
mod priced;
mod slots;
mod usage;
mod wholes;

use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use meterlake::base::{Micros, UtcDay};
use meterlake::model::{Engine, EngineOptions, Meter, MeterValue, UsageDay};
use meterlake::schema::Table;
use serde_json::Value;

fn engine() -> Engine {
    let partitions = NonZeroUsize::new(2).unwrap();
    Engine::new(EngineOptions { memory_bytes_max: 256 << 20, partitions }).unwrap()
}

/// Rows of a table; columns left out are NULL.
fn rows(table: Table, rows: &[Value]) -> Vec<RecordBatch> {
    let mut decoder = arrow::json::ReaderBuilder::new(table.schema())
        .with_strict_mode(true)
        .with_batch_size(rows.len().max(1))
        .build_decoder()
        .unwrap();
    decoder.serialize(rows).unwrap();
    decoder.flush().unwrap().into_iter().collect()
}

/// The named columns of each row as text, NULL as `-`.
fn shown(batch: &RecordBatch, columns: &[&str]) -> Vec<String> {
    let columns: Vec<_> = columns.iter().map(|name| Arc::clone(batch.column_by_name(name).unwrap())).collect();
    let cell = |column: &arrow::array::ArrayRef, row| match column.is_valid(row) {
        true => array_value_to_string(column, row).unwrap(),
        false => "-".to_owned(),
    };
    (0..batch.num_rows()).map(|row| columns.iter().map(|c| cell(c, row)).collect::<Vec<_>>().join(" ")).collect()
}

fn at(text: &str) -> Micros {
    text.parse().unwrap()
}

fn day(text: &str) -> UtcDay {
    text.parse().unwrap()
}

fn meter(name: &str, where_sql: Option<&str>, value: MeterValue, group_by: &[&str]) -> Meter {
    Meter {
        name: name.to_owned(),
        sources: vec!["origin".to_owned()],
        table: Table::OriginRequests,
        where_sql: where_sql.map(str::to_owned),
        value,
        group_by: group_by.iter().map(|s| (*s).to_owned()).collect(),
    }
}

fn utc_day(text: &str) -> UsageDay {
    let day = day(text);
    UsageDay {
        day,
        from: day.start(),
        to: day.next().start(),
        is_before_start: false,
        has_rates: false,
        cuts: Vec::new(),
    }
}
