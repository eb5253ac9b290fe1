//! Staging: the events of one landing object, in arrival order, become one sorted Parquet file per hour, then a receipt.
//! Rows are buffered up to a fixed number over all hours; a full buffer is sorted and becomes a row group, so each row
//! group is a sorted run that the union merges. Nothing is visible to a build before the receipt, which comes last.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringViewArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::PutPayload;
use object_store::path::Path;

use super::error::{Doing, LakeError};
use super::parquet::{EncodedFile, FileWriter, conform};
use super::receipt::{ObjectVersion, Receipt, StagedHour};
use super::sort::SortKey;
use super::{Lake, layout};
use crate::base::{Digest, Micros, UtcHour};
use crate::schema::Table;

/// Rows of one hour that make a run: few enough that a merge can hold many runs open.
const RUN_ROWS: usize = 32_768;
/// Rows held back over all hours.
const BUFFER_ROWS_MAX: usize = 2 * RUN_ROWS;
/// Bytes held back over all hours; long records reach it before the rows do.
const BUFFER_BYTES_MAX: usize = 48 << 20;
/// Staged files written at once.
const PUTS_AT_ONCE: usize = 8;

/// Stages the events and rejects of one object.
pub struct StageWriter {
    lake: Lake,
    object: ObjectVersion,
    object_id: Digest,
    table: Table,
    hours_max: usize,
    sort: SortKey,
    hours: BTreeMap<UtcHour, Hour>,
    buffered_rows: usize,
    buffered_bytes: usize,
    rejects: Option<FileWriter>,
    staged: u64,
    rejected: u64,
    times: Option<(Micros, Micros)>,
}

/// The rows of one hour: encoded runs and what is not encoded yet.
struct Hour {
    writer: FileWriter,
    rows: u64,
    buffer: Vec<RecordBatch>,
    buffered: usize,
}

/// A file to be written: where, and what.
type Output = (Path, EncodedFile);

impl Lake {
    /// Begins to stage an object whose events belong to `table` and may spread over `hours_max` hours.
    pub fn stage(&self, table: Table, object: ObjectVersion, hours_max: usize) -> Result<StageWriter, LakeError> {
        Ok(StageWriter {
            lake: self.clone(),
            object_id: object.object_id(),
            object,
            table,
            hours_max,
            sort: SortKey::new(table, table.row_schema())?,
            hours: BTreeMap::new(),
            buffered_rows: 0,
            buffered_bytes: 0,
            rejects: None,
            staged: 0,
            rejected: 0,
            times: None,
        })
    }
}

impl StageWriter {
    /// Takes events in the table's file schema; repeating columns may be dictionaries. This is work for a blocking thread:
    /// it sorts and compresses.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        let batch = &conform(&self.table.row_schema(), batch, &self.object.key)?;
        for (hour, part) in self.split(batch)? {
            let rows = part.num_rows();
            self.staged += rows as u64;
            self.buffered_rows += rows;
            let known = self.hours.len();
            let entry = match self.hours.entry(hour) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(_) if known >= self.hours_max => {
                    return Err(LakeError::TooManyHours { object: self.object.key.clone(), hours_max: self.hours_max });
                }
                std::collections::btree_map::Entry::Vacant(entry) => {
                    let writer = FileWriter::staged(self.table)?;
                    entry.insert(Hour { writer, rows: 0, buffer: Vec::new(), buffered: 0 })
                }
            };
            entry.rows += rows as u64;
            entry.buffered += rows;
            entry.buffer.push(part);
            if entry.buffered >= RUN_ROWS {
                self.buffered_rows -= entry.buffered;
                entry.encode_buffer(&self.sort)?;
            }
        }
        self.buffered_bytes += batch.get_array_memory_size();
        self.bound()
    }

    /// Takes rejects: `source_position`, `reason`, `excerpt` and `detail`; what else a reject has, this writer knows.
    pub fn push_rejects(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        let constant = |value: &str| -> Arc<dyn Array> {
            Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(value, batch.num_rows())))
        };
        let schema = Table::Rejects.file_schema();
        let columns = schema.fields().iter().map(|field| match field.name().as_str() {
            "source" => Ok(constant(&self.object.source)),
            "object_id" => Ok(constant(&self.object_id.to_string())),
            "source_object" => Ok(constant(&self.object.key)),
            name => batch.column_by_name(name).cloned().ok_or_else(|| {
                LakeError::corrupt(&self.object.key, format!("its rejects come without the column {name}"))
            }),
        });
        let columns = columns.collect::<Result<_, _>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).doing("stage", &self.object.key)?;
        self.rejected += batch.num_rows() as u64;
        let writer = match &mut self.rejects {
            Some(writer) => writer,
            None => self.rejects.insert(FileWriter::staged(Table::Rejects)?),
        };
        writer.write(&batch)
    }

    /// Writes the staged files, then the receipt. `records` and `control` are what the decoder counted; every record
    /// must have become a row, a reject or be a control message, or nothing is published.
    pub async fn finish(self, records: u64, control: u64, decoder: i16) -> Result<Receipt, LakeError> {
        let found = self.staged + self.rejected + control;
        if found != records {
            let what = format!("records of object `{}`", self.object.key);
            return Err(LakeError::Lost { what, expected: records, found });
        }
        let lake = self.lake.clone();
        let key = self.object.key.clone();
        let encoded = tokio::task::spawn_blocking(move || self.encode(records, control, decoder)).await;
        let (receipt, outputs) = encoded.map_err(|source| LakeError::Stopped { path: key, source })??;
        let store = lake.store();
        stream::iter(outputs)
            .map(|(path, file)| async move {
                store.put_opts(&path, PutPayload::from(file.bytes), Default::default()).await.doing("write", &path)
            })
            .buffer_unordered(PUTS_AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        lake.put_receipt(&receipt).await?;
        Ok(receipt)
    }

    /// The batch cut by hour of `event_time`; rows keep their order.
    fn split(&mut self, batch: &RecordBatch) -> Result<Vec<(UtcHour, RecordBatch)>, LakeError> {
        let times = batch.column_by_name("event_time").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
        let times = times
            .filter(|times| times.null_count() == 0)
            .ok_or_else(|| LakeError::corrupt(&self.object.key, "an event without a time was staged"))?;
        let mut rows: BTreeMap<UtcHour, Vec<u32>> = BTreeMap::new();
        for (row, time) in (0u32..).zip(times.values()) {
            let at = Micros(*time);
            let (low, high) = self.times.unwrap_or((at, at));
            self.times = Some((low.min(at), high.max(at)));
            rows.entry(at.hour()).or_default().push(row);
        }
        if let (1, Some((hour, _))) = (rows.len(), rows.first_key_value()) {
            return Ok(vec![(*hour, batch.clone())]);
        }
        rows.into_iter()
            .map(|(hour, rows)| {
                let part = take_record_batch(batch, &UInt32Array::from(rows)).doing("stage", &self.object.key)?;
                Ok((hour, part))
            })
            .collect()
    }

    /// Encodes buffers until what is held back is within its bounds.
    fn bound(&mut self) -> Result<(), LakeError> {
        // Parts of a batch share its text, so bytes are only freed when no hour holds any.
        if self.buffered_bytes > BUFFER_BYTES_MAX {
            for hour in self.hours.values_mut() {
                hour.encode_buffer(&self.sort)?;
            }
            self.buffered_rows = 0;
        }
        while self.buffered_rows > BUFFER_ROWS_MAX {
            let Some(largest) = self.hours.values_mut().max_by_key(|hour| hour.buffered) else { break };
            self.buffered_rows -= largest.buffered;
            largest.encode_buffer(&self.sort)?;
        }
        if self.buffered_rows == 0 {
            self.buffered_bytes = 0;
        }
        Ok(())
    }

    fn encode(self, records: u64, control: u64, decoder: i16) -> Result<(Receipt, Vec<Output>), LakeError> {
        let mut outputs = Vec::new();
        let mut hours = Vec::new();
        for (hour, mut rows) in self.hours {
            rows.encode_buffer(&self.sort)?;
            let path = layout::staged(&self.object.source, hour, self.object_id);
            hours.push(StagedHour { hour, path: path.to_string(), rows: rows.rows });
            outputs.push((path, rows.writer.finish()?));
        }
        let mut rejects_path = None;
        if let Some(rejects) = self.rejects {
            let path = layout::staged_rejects(&self.object.source, self.object_id);
            rejects_path = Some(path.to_string());
            outputs.push((path, rejects.finish()?));
        }
        let receipt = Receipt {
            object: self.object,
            object_id: self.object_id,
            table: self.table,
            decoder,
            records,
            staged: self.staged,
            rejects: self.rejected,
            control,
            event_time_min: self.times.map(|(low, _)| low),
            event_time_max: self.times.map(|(_, high)| high),
            hours,
            rejects_path,
        };
        Ok((receipt, outputs))
    }
}

impl Hour {
    /// Sorts what is held back and encodes it as one row group: a sorted run.
    fn encode_buffer(&mut self, sort: &SortKey) -> Result<(), LakeError> {
        let buffer = std::mem::take(&mut self.buffer);
        self.buffered = 0;
        if buffer.is_empty() {
            return Ok(());
        }
        self.writer.write(&sort.sorted(&buffer)?)?;
        self.writer.end_group()
    }
}
