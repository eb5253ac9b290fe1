//! The rows of a Parquet object of standard logging version 2, each as the JSON object that the same delivery would
//! have written: every value a string, the fields under the names that the logs have, whatever the columns are
//! called. The bytes of the object are held up to a limit, since its footer comes last; its pages are looked at before the
//! library unpacks them (`parquet_pages`), and values are read as views on them, so that one that is there once and named
//! in every row takes memory once. Refused: a damaged or cut-off file, records within records, two columns for one field.
//! The library panics on some damaged files: that is caught and is damage too.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use super::parquet_pages::rows_at_a_time;
use super::standard::FIELDS;
use super::{Limits, ObjectError};

/// What a Parquet object begins with.
pub(super) const MAGIC: &[u8; 4] = b"PAR1";
/// Values of a fixed length are numbers and short ids; longer ones would be copied for every row.
const FIXED_BYTES_MAX: i32 = 1024;

/// Reads one object.
pub(super) struct ParquetRows {
    state: State,
    limits: Limits,
    /// Bytes of the records made.
    made: u64,
}

enum State {
    Held(Vec<u8>),
    Open { reader: Box<ParquetRecordBatchReader>, names: Vec<String> },
    Done,
}

impl ParquetRows {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { state: State::Held(Vec::new()), limits: limits.clone(), made: 0 }
    }

    /// Takes the object's next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), ObjectError> {
        let State::Held(held) = &mut self.state else { return Ok(()) };
        let limit = self.limits.parquet_bytes_max;
        if held.len() as u64 + bytes.len() as u64 > limit {
            return Err(ObjectError::ParquetTooLarge { limit });
        }
        held.extend_from_slice(bytes);
        Ok(())
    }

    /// Once all bytes were pushed: hands over the next records; false where there are no more.
    pub(super) fn next(&mut self, on: &mut impl FnMut(&[u8]) -> Result<(), ObjectError>) -> Result<bool, ObjectError> {
        if let State::Held(held) = &mut self.state {
            let held = std::mem::take(held);
            self.state = State::Done;
            let limits = &self.limits;
            self.state = caught(move || open(held, limits))?;
        }
        let State::Open { reader, names } = &mut self.state else { return Ok(false) };
        let texts = caught(|| {
            let Some(batch) = reader.next() else { return Ok(None) };
            let batch = batch.map_err(|_| ObjectError::BadParquet { what: "its pages" })?;
            let texts = batch.columns().iter().map(texts).collect::<Result<Vec<_>, _>>()?;
            Ok(Some((batch.num_rows(), texts)))
        });
        let Some((rows, texts)) = texts? else {
            self.state = State::Done;
            return Ok(false);
        };
        let mut record = Vec::new();
        for row in 0..rows {
            push_record(names, &texts, row, self.limits.record_bytes_max, &mut record);
            self.made += record.len() as u64;
            let limit = self.limits.object_bytes_max;
            if self.made > limit {
                return Err(ObjectError::TooLarge { limit });
            }
            on(&record)?;
        }
        Ok(true)
    }
}

/// Nothing that `read` had begun with is used after it panicked: an object with an error is given up.
fn caught<T>(read: impl FnOnce() -> Result<T, ObjectError>) -> Result<T, ObjectError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err(ObjectError::BadParquet { what: "what it says of itself" }))
}

fn open(held: Vec<u8>, limits: &Limits) -> Result<State, ObjectError> {
    let footer = |_| ObjectError::BadParquet { what: "its footer" };
    let held = Bytes::from(held);
    // What the writer's Arrow thought of the columns is not needed, and is one more thing that may be damaged.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::load(&held, options).map_err(footer)?;
    let names: Vec<String> = metadata.schema().fields().iter().map(|field| name_of(field.name())).collect();
    for (at, name) in names.iter().enumerate() {
        if names[..at].contains(name) {
            return Err(ObjectError::BadHeader { what: "a field twice" });
        }
    }
    let rows = rows_at_a_time(&held, metadata.metadata(), limits)?;
    let fields = metadata.schema().fields().iter().map(|field| as_view(field)).collect::<Result<Vec<_>, _>>()?;
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    let metadata = ArrowReaderMetadata::try_new(metadata.metadata().clone(), options).map_err(footer)?;
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(held, metadata).with_batch_size(rows).build();
    let reader = reader.map_err(|_| ObjectError::BadParquet { what: "its row groups" })?;
    Ok(State::Open { reader: Box::new(reader), names })
}

/// The column, texts and bytes as views.
fn as_view(field: &Field) -> Result<Field, ObjectError> {
    let kind = match field.data_type() {
        DataType::Utf8 => DataType::Utf8View,
        DataType::Binary => DataType::BinaryView,
        DataType::FixedSizeBinary(length) if *length > FIXED_BYTES_MAX => {
            return Err(ObjectError::BadParquet { what: "a column of values of one length, and that a long one" });
        }
        kind if kind.is_nested() => {
            return Err(ObjectError::BadParquet { what: "a column of records within records" });
        }
        kind => kind.clone(),
    };
    Ok(field.clone().with_data_type(kind))
}

/// The field that a column is of: names are compared without case and punctuation, which not every engine takes.
fn name_of(column: &str) -> String {
    let plain = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let found = FIELDS.iter().find(|(name, _)| plain(name) == plain(column));
    found.map_or(column, |(name, _)| name).to_owned()
}

/// The values of a column as text or bytes.
fn texts(column: &ArrayRef) -> Result<ArrayRef, ObjectError> {
    let to = |array: &ArrayRef, kind: &DataType| {
        cast(array, kind).map_err(|_| ObjectError::BadParquet { what: "the values of a column" })
    };
    match column.data_type() {
        DataType::Utf8View | DataType::BinaryView => Ok(column.clone()),
        DataType::FixedSizeBinary(_) => to(&to(column, &DataType::Binary)?, &DataType::BinaryView),
        DataType::Timestamp(_, zone) => {
            let millis = to(column, &DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))?;
            to(&to(&millis, &DataType::Int64)?, &DataType::Utf8View)
        }
        _ => to(column, &DataType::Utf8View),
    }
}

/// Writes a row as a JSON object of strings; a null has no key. One that is longer than the limit for a record is left
/// off where it has passed it.
fn push_record(names: &[String], texts: &[ArrayRef], row: usize, bytes_max: usize, out: &mut Vec<u8>) {
    out.clear();
    out.push(b'{');
    for (name, column) in names.iter().zip(texts).filter(|(_, column)| column.is_valid(row)) {
        let value = match column.as_string_view_opt() {
            Some(texts) => texts.value(row).as_bytes(),
            None => column.as_binary_view().value(row),
        };
        if out.len() > 1 {
            out.push(b',');
        }
        push_text(name.as_bytes(), out);
        out.push(b':');
        push_text(&value[..value.len().min(bytes_max)], out);
        if out.len() > bytes_max {
            return;
        }
    }
    out.push(b'}');
}

fn push_text(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
