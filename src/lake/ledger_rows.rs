//! The rows of the ledger as values: what is written of a receipt, and what is read back.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

use super::error::{Doing, LakeError};
use super::layout;
use super::receipt::{ObjectVersion, Receipt};
use crate::base::{Digest, Micros, UtcHour};
use crate::schema::Table;

/// What became of an object version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ObjectState {
    /// Its events are in the tables.
    Applied,
    /// A newer version of the object, or the same decoded anew, was applied in its place.
    Superseded,
    /// It was withdrawn.
    Retracted,
}

impl ObjectState {
    /// As the ledger spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Superseded => "superseded",
            Self::Retracted => "retracted",
        }
    }
}

impl FromStr for ObjectState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "applied" => Ok(Self::Applied),
            "superseded" => Ok(Self::Superseded),
            "retracted" => Ok(Self::Retracted),
            _ => Err(format!("`{text}` is no state of an object")),
        }
    }
}

/// What is needed to tell whether an object has to be converted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownObject {
    /// The store's token of the version.
    pub etag: String,
    /// Digest of the settings it was decoded under.
    pub decode_id: Digest,
    /// What became of it.
    pub state: ObjectState,
    /// Its id.
    pub object_id: Digest,
    /// When the store says it was written; of rows from before the ledger kept it, when it arrived.
    pub written_at: Micros,
}

/// One object version in the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectRow {
    /// The version.
    pub object: ObjectVersion,
    /// Its id.
    pub object_id: Digest,
    /// Records found in it.
    pub records: u64,
    /// Records that became staged rows.
    pub staged: u64,
    /// Records that could not be read.
    pub rejects: u64,
    /// Control messages of the log service.
    pub control: u64,
    /// Earliest and latest event.
    pub event_times: Option<(Micros, Micros)>,
    /// What became of it.
    pub state: ObjectState,
    /// Why it was retracted.
    pub reason: Option<String>,
}

/// What one object version gave to one hour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectHour {
    /// The hour.
    pub hour: UtcHour,
    /// Name of the configured source.
    pub source: String,
    /// The version's id.
    pub object_id: Digest,
    /// The object's key.
    pub key: String,
    /// Its records of this hour, duplicates included.
    pub records: u64,
    /// Its records that could not be read, where it arrived in this hour.
    pub rejects: u64,
    /// When the store says it was written.
    pub arrived_at: Micros,
}

impl KnownObject {
    /// The text columns it is read from; the first two name the object.
    pub(super) const TEXTS: [&str; 6] = ["source", "source_object", "etag", "decode_id", "state", "object_id"];

    /// From a batch and its columns [`Self::TEXTS`].
    pub(super) fn read(batch: &RecordBatch, texts: &Texts, row: usize) -> Result<Self, LakeError> {
        Ok(Self {
            etag: texts.get(2, row).to_owned(),
            decode_id: parsed(texts.get(3, row))?,
            state: parsed(texts.get(4, row))?,
            object_id: parsed(texts.get(5, row))?,
            written_at: written(batch, row)?.1,
        })
    }
}

impl ObjectRow {
    /// The row of an applied conversion.
    pub fn applied(receipt: &Receipt) -> Self {
        Self {
            object: receipt.object.clone(),
            object_id: receipt.object_id,
            records: receipt.records,
            staged: receipt.staged,
            rejects: receipt.rejects,
            control: receipt.control,
            event_times: receipt.event_time_min.zip(receipt.event_time_max),
            state: ObjectState::Applied,
            reason: None,
        }
    }

    pub(super) fn batch(rows: &[Self]) -> Result<RecordBatch, LakeError> {
        batch(Table::Objects, |column| {
            Some(match column {
                "object_id" => texts(rows.iter().map(|r| Some(r.object_id.to_string()))),
                "source" => texts(rows.iter().map(|r| Some(&r.object.source))),
                "source_object" => texts(rows.iter().map(|r| Some(&r.object.key))),
                "etag" => texts(rows.iter().map(|r| Some(&r.object.etag))),
                "bytes" => counts(rows.iter().map(|r| r.object.bytes)),
                "arrived_at" => times(rows.iter().map(|r| Some(r.object.arrived_at))),
                "decode_id" => texts(rows.iter().map(|r| Some(r.object.decode_id.to_string()))),
                "records" => counts(rows.iter().map(|r| r.records)),
                "staged" => counts(rows.iter().map(|r| r.staged)),
                "rejects" => counts(rows.iter().map(|r| r.rejects)),
                "control" => counts(rows.iter().map(|r| r.control)),
                "event_time_min" => times(rows.iter().map(|r| r.event_times.map(|(low, _)| low))),
                "event_time_max" => times(rows.iter().map(|r| r.event_times.map(|(_, high)| high))),
                "state" => texts(rows.iter().map(|r| Some(r.state.name()))),
                "reason" => texts(rows.iter().map(|r| r.reason.as_deref())),
                "written_at" => times(rows.iter().map(|r| Some(r.object.written_at))),
                _ => return None,
            })
        })
    }

    pub(super) fn read_all(batch: &RecordBatch) -> Result<Vec<Self>, LakeError> {
        const TEXTS: &[&str] = &["object_id", "source", "source_object", "etag", "decode_id", "state", "reason"];
        let text = Texts::of(batch, TEXTS, Table::Objects)?;
        let count = |name: &'static str| move |row| number(batch, name, row);
        let at = |name: &str, row| time(batch, name, row, Table::Objects);
        let rows = (0..batch.num_rows()).map(|row| {
            let (arrived_at, written_at) = written(batch, row)?;
            let object = ObjectVersion {
                source: text.get(1, row).to_owned(),
                key: text.get(2, row).to_owned(),
                etag: text.get(3, row).to_owned(),
                bytes: count("bytes")(row)?,
                arrived_at,
                written_at,
                gone: false,
                decode_id: parsed(text.get(4, row))?,
            };
            Ok(Self {
                object,
                object_id: parsed(text.get(0, row))?,
                records: count("records")(row)?,
                staged: count("staged")(row)?,
                rejects: count("rejects")(row)?,
                control: count("control")(row)?,
                event_times: at("event_time_min", row)?.zip(at("event_time_max", row)?),
                state: parsed(text.get(5, row))?,
                reason: Some(text.get(6, row)).filter(|reason| !reason.is_empty()).map(str::to_owned),
            })
        });
        rows.collect()
    }
}

impl ObjectHour {
    /// What a conversion gave to each hour; its rejects count for the hour in which the object arrived.
    pub fn of(receipt: &Receipt) -> Vec<Self> {
        let row = |hour, records, rejects| Self {
            hour,
            source: receipt.object.source.clone(),
            object_id: receipt.object_id,
            key: receipt.object.key.clone(),
            records,
            rejects,
            arrived_at: receipt.object.arrived_at,
        };
        let arrived = receipt.object.arrived_at.hour();
        let rejects = |hour| if hour == arrived { receipt.rejects } else { 0 };
        let mut rows: Vec<Self> = receipt.hours.iter().map(|h| row(h.hour, h.rows, rejects(h.hour))).collect();
        if receipt.rejects > 0 && rows.iter().all(|row| row.hour != arrived) {
            rows.push(row(arrived, 0, receipt.rejects));
        }
        rows
    }

    pub(super) fn batch(rows: &[Self]) -> Result<RecordBatch, LakeError> {
        batch(Table::ObjectHours, |column| {
            Some(match column {
                "hour_start" => times(rows.iter().map(|r| Some(r.hour.start()))),
                "source" => texts(rows.iter().map(|r| Some(&r.source))),
                "object_id" => texts(rows.iter().map(|r| Some(r.object_id.to_string()))),
                "source_object" => texts(rows.iter().map(|r| Some(&r.key))),
                "records" => counts(rows.iter().map(|r| r.records)),
                "rejects" => counts(rows.iter().map(|r| r.rejects)),
                "arrived_at" => times(rows.iter().map(|r| Some(r.arrived_at))),
                _ => return None,
            })
        })
    }

    pub(super) fn read_all(batch: &RecordBatch) -> Result<Vec<Self>, LakeError> {
        let text = Texts::of(batch, &["source", "object_id", "source_object"], Table::ObjectHours)?;
        let at = |name: &str, row| {
            time(batch, name, row, Table::ObjectHours)?.ok_or_else(|| wrong("an hour without time or arrival"))
        };
        let rows = (0..batch.num_rows()).map(|row| {
            Ok(Self {
                hour: at("hour_start", row)?.hour(),
                source: text.get(0, row).to_owned(),
                object_id: parsed(text.get(1, row))?,
                key: text.get(2, row).to_owned(),
                records: number(batch, "records", row)?,
                rejects: number(batch, "rejects", row)?,
                arrived_at: at("arrived_at", row)?,
            })
        });
        rows.collect()
    }
}

/// Text columns of a batch; NULL reads as empty.
pub(super) struct Texts {
    columns: Vec<StringViewArray>,
}

impl Texts {
    pub(super) fn of(batch: &RecordBatch, names: &[&str], table: Table) -> Result<Self, LakeError> {
        let columns = names.iter().map(|name| {
            let column = batch.column_by_name(name).and_then(|column| column.as_string_view_opt());
            column.cloned().ok_or_else(|| LakeError::corrupt(layout::table(table), format!("it has no text `{name}`")))
        });
        Ok(Self { columns: columns.collect::<Result<_, _>>()? })
    }

    pub(super) fn get(&self, column: usize, row: usize) -> &str {
        let column = &self.columns[column];
        if column.is_null(row) { "" } else { column.value(row) }
    }
}

fn batch(table: Table, column: impl Fn(&str) -> Option<ArrayRef>) -> Result<RecordBatch, LakeError> {
    let schema = table.file_schema();
    let columns = schema.fields().iter().map(|field| {
        let name = field.name();
        column(name).ok_or_else(|| LakeError::corrupt(layout::table(table), format!("nobody fills `{name}`")))
    });
    let columns = columns.collect::<Result<_, _>>()?;
    RecordBatch::try_new(Arc::clone(&schema), columns).doing("write", table.name())
}

fn texts(values: impl Iterator<Item = Option<impl AsRef<str>>>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter(values))
}

fn counts(values: impl Iterator<Item = u64>) -> ArrayRef {
    // No object has 2^63 of anything.
    Arc::new(Int64Array::from_iter_values(values.map(|value| i64::try_from(value).unwrap_or(i64::MAX))))
}

fn times(values: impl Iterator<Item = Option<Micros>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter(values.map(|at| at.map(|at| at.0))).with_timezone("UTC"))
}

fn number(batch: &RecordBatch, name: &str, row: usize) -> Result<u64, LakeError> {
    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let value = column.filter(|column| column.is_valid(row)).map(|column| column.value(row));
    value.and_then(|value| u64::try_from(value).ok()).ok_or_else(|| wrong(&format!("a count `{name}` that is none")))
}

fn time(batch: &RecordBatch, name: &str, row: usize, table: Table) -> Result<Option<Micros>, LakeError> {
    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let column = column.ok_or_else(|| LakeError::corrupt(layout::table(table), format!("it has no time `{name}`")))?;
    Ok(column.is_valid(row).then(|| Micros(column.value(row))))
}

/// When an object arrived and when it was written, of a batch of the objects.
fn written(batch: &RecordBatch, row: usize) -> Result<(Micros, Micros), LakeError> {
    let at = |name: &str| time(batch, name, row, Table::Objects);
    let arrived_at = at("arrived_at")?.ok_or_else(|| wrong("an object without arrival"))?;
    Ok((arrived_at, at("written_at")?.unwrap_or(arrived_at)))
}

fn parsed<T: FromStr<Err: ToString>>(text: &str) -> Result<T, LakeError> {
    text.parse().map_err(|error: T::Err| wrong(&error.to_string()))
}

fn wrong(reason: &str) -> LakeError {
    LakeError::corrupt("the ledger", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_one_spelling() {
        for state in [ObjectState::Applied, ObjectState::Superseded, ObjectState::Retracted] {
            assert_eq!(state.name().parse(), Ok(state));
        }
    }
}
