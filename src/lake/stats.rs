//! The statistics a table's log keeps of each file: rows, and the least and greatest value of the columns people filter by.
//! They are exact or absent, never cut, because engines may answer `min` and `max` from them.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{max, max_string_view, min, min_string_view};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

use super::labels::Used;
use crate::schema::{ColumnType, Table};

/// Columns worth skipping files by, in any table that has them.
const COLUMNS: &[&str] =
    &["event_time", "slot_start", "hour_start", "arrived_at", "key_ref", "customer_id", "source", "source_object"];
/// Text longer than this is left out of the log.
const TEXT_BYTES_MAX: usize = 128;

/// Statistics of a file being written.
pub(crate) struct FileStats {
    columns: Vec<ColumnStats>,
}

struct ColumnStats {
    name: &'static str,
    nulls: u64,
    range: Range,
}

enum Range {
    Time(Option<(i64, i64)>),
    Text(Option<(String, String)>),
}

/// The columns of a table that have statistics.
pub(crate) fn columns(table: Table) -> impl Iterator<Item = &'static str> {
    table.columns().iter().map(|column| column.name).filter(|name| COLUMNS.contains(name))
}

impl FileStats {
    pub(crate) fn new(table: Table) -> Self {
        let columns = table.columns().iter().filter(|column| COLUMNS.contains(&column.name));
        let columns = columns.filter_map(|column| {
            let range = match column.kind {
                ColumnType::Timestamp => Range::Time(None),
                ColumnType::Text => Range::Text(None),
                _ => return None,
            };
            Some(ColumnStats { name: column.name, nulls: 0, range })
        });
        Self { columns: columns.collect() }
    }

    /// Takes a batch in the table's file schema into account.
    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        for column in &mut self.columns {
            let Some(values) = batch.column_by_name(column.name) else { continue };
            column.nulls += values.null_count() as u64;
            match &mut column.range {
                Range::Time(range) => {
                    let Some(values) = values.as_primitive_opt::<TimestampMicrosecondType>() else { continue };
                    if let (Some(low), Some(high)) = (min(values), max(values)) {
                        let (a, b) = range.unwrap_or((low, high));
                        *range = Some((a.min(low), b.max(high)));
                    }
                }
                Range::Text(range) => {
                    let Some(values) = values.as_string_view_opt() else { continue };
                    if let (Some(low), Some(high)) = (min_string_view(values), max_string_view(values)) {
                        widen(range, low, high);
                    }
                }
            }
        }
    }

    /// Takes the values of a column of labels into account, by its name.
    pub(crate) fn extend(&mut self, column: &str, used: &Used<'_>) {
        let Some(stats) = self.columns.iter_mut().find(|stats| stats.name == column) else { return };
        stats.nulls += used.nulls;
        if let (Range::Text(range), Some((low, high))) = (&mut stats.range, used.ends()) {
            widen(range, low, high);
        }
    }

    /// The statistics as the log writes them.
    pub(crate) fn json(&self, rows: u64) -> String {
        let (mut low, mut high, mut nulls) = (Map::new(), Map::new(), Map::new());
        for column in &self.columns {
            nulls.insert(column.name.to_owned(), column.nulls.into());
            let ends = match &column.range {
                Range::Time(Some((a, b))) => instant(*a).zip(instant(*b)),
                Range::Text(Some((a, b))) if a.len().max(b.len()) <= TEXT_BYTES_MAX => {
                    Some((Value::from(a.as_str()), Value::from(b.as_str())))
                }
                Range::Time(None) | Range::Text(_) => None,
            };
            if let Some((a, b)) = ends {
                low.insert(column.name.to_owned(), a);
                high.insert(column.name.to_owned(), b);
            }
        }
        json!({ "numRecords": rows, "minValues": low, "maxValues": high, "nullCount": nulls }).to_string()
    }
}

fn widen(range: &mut Option<(String, String)>, low: &str, high: &str) {
    let (a, b) = range.get_or_insert_with(|| (low.to_owned(), high.to_owned()));
    if low < a.as_str() {
        low.clone_into(a);
    }
    if high > b.as_str() {
        high.clone_into(b);
    }
}

fn instant(micros: i64) -> Option<Value> {
    let at = DateTime::from_timestamp_micros(micros)?;
    Some(at.to_rfc3339_opts(SecondsFormat::Micros, true).into())
}
