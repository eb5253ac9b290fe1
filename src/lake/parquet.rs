//! How our Parquet files are written: the one place for writer properties, each with its reason. Equal batches give equal
//! bytes on any machine and under any version of the libraries' defaults, because whatever decides a byte is stated here.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::error::{Doing, LakeError};
use super::sort;
use super::stats::FileStats;
use crate::base::{Digest, Digester};
use crate::schema::Table;

/// Rows of a page in a table's file: the unit of skipping within a sorted row group, about eight per row group and column.
const PAGE_ROWS: usize = 16_384;
/// Rows of a page in a staged file, which is never skipped in: a merge holds one page per column of every run.
const STAGED_PAGE_ROWS: usize = 4_096;
/// Most rows of one row group. Large enough that headers and dictionaries weigh nothing and a reader's request is worth
/// its latency; small enough that a writer buffers, and a merge holds per input, some ten MiB.
const GROUP_ROWS_MAX: usize = 131_072;

/// Columns whose values (nearly) never repeat: a dictionary would be built in memory, overflow and be thrown away.
const WITHOUT_DICTIONARY: &[&str] =
    &["fingerprint", "request_id", "caller_request_id", "event_time", "source_position", "object_id"];
/// Whole numbers that grow slowly from row to row in our order: differences take a byte where values take eight.
const WITH_DELTAS: &[&str] = &["event_time", "source_position"];

/// Encodes the rows of one file in memory.
pub(crate) struct FileWriter {
    writer: ArrowWriter<Vec<u8>>,
    table: Table,
    rows: u64,
    stats: FileStats,
}

/// A finished file.
#[derive(Clone, Debug)]
pub(crate) struct EncodedFile {
    pub(crate) bytes: Bytes,
    pub(crate) digest: Digest,
    pub(crate) rows: u64,
    pub(crate) stats: String,
}

impl FileWriter {
    /// A writer of a table's file, of rows in its file schema.
    pub(crate) fn new(table: Table) -> Result<Self, LakeError> {
        Self::with_properties(table, table_properties(table))
    }

    /// A writer of a staged file, of rows in the table's file schema.
    pub(crate) fn staged(table: Table) -> Result<Self, LakeError> {
        Self::with_properties(table, staged_properties(table))
    }

    fn with_properties(table: Table, properties: WriterProperties) -> Result<Self, LakeError> {
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            // The Arrow schema would be stored beside Parquet's own: bytes that change with arrow's version, and a
            // type (Utf8View) that is ours to choose when reading.
            .with_skip_arrow_metadata(true);
        let writer =
            ArrowWriter::try_new_with_options(Vec::new(), table.file_schema(), options).doing("begin", table.name())?;
        Ok(Self { writer, table, rows: 0, stats: FileStats::new(table) })
    }

    /// Appends rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        self.rows += batch.num_rows() as u64;
        self.stats.add(batch);
        self.writer.write(batch).doing("encode", self.table.name())
    }

    /// Ends the row group, so that what follows is a run of its own.
    pub(crate) fn end_group(&mut self) -> Result<(), LakeError> {
        self.writer.flush().doing("encode", self.table.name())
    }

    /// The file.
    pub(crate) fn finish(self) -> Result<EncodedFile, LakeError> {
        let bytes = Bytes::from(self.writer.into_inner().doing("encode", self.table.name())?);
        let digest = Digester::default().part(&bytes).finish();
        Ok(EncodedFile { digest, rows: self.rows, stats: self.stats.json(self.rows), bytes })
    }
}

/// A table's files are written once or twice and read for years.
fn table_properties(table: Table) -> WriterProperties {
    properties(table)
        // Half the size of snappy for these columns, and decoding stays faster than S3 delivers.
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
        .set_data_page_row_count_limit(PAGE_ROWS)
        // Minimum and maximum per page, so that a reader of one key or one minute skips most pages.
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_statistics_truncate_length(Some(64))
        .set_column_index_truncate_length(Some(64))
        .build()
}

/// A staged file is read once, whole, and soon: nothing in it is skipped by statistics, and the cheapest level will do.
fn staged_properties(table: Table) -> WriterProperties {
    properties(table)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
        .set_data_page_row_count_limit(STAGED_PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .build()
}

fn properties(table: Table) -> WriterPropertiesBuilder {
    let schema = table.file_schema();
    let sorted_by = sort::order(table).iter().filter_map(|by| {
        Some(SortingColumn {
            column_idx: i32::try_from(schema.index_of(by.column).ok()?).ok()?,
            descending: by.descending,
            nulls_first: true,
        })
    });
    let sorted_by: Vec<_> = sorted_by.collect();
    let mut builder = WriterProperties::builder()
        // Page format 1: what every reader reads. Format 2 saves nothing once pages are compressed by zstd.
        .set_writer_version(WriterVersion::PARQUET_1_0)
        // Constant, without a version: an upgrade must not change bytes. The word `version` must be there, or
        // parquet-mr (Spark, Hive) does not trust the statistics of text columns.
        .set_created_by("meterlake version 1".to_owned())
        .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
        // Bytes would close a row group at a point that depends on the encoder's estimate.
        .set_max_row_group_bytes(None)
        // Rows decide where a page ends; the bytes only bound pages of long text.
        .set_data_page_size_limit(1 << 20)
        .set_write_batch_size(1_024)
        // A dictionary past a MiB no longer pays: values of such a column hardly repeat.
        .set_dictionary_enabled(true)
        .set_dictionary_page_size_limit(1 << 20)
        // Tells readers that may merge or skip by it how rows are ordered.
        .set_sorting_columns((!sorted_by.is_empty()).then_some(sorted_by));
    for column in WITHOUT_DICTIONARY {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(*column), false);
    }
    for column in WITH_DELTAS {
        builder = builder.set_column_encoding(ColumnPath::from(*column), Encoding::DELTA_BINARY_PACKED);
    }
    builder
}

/// Encodes batches that the caller has sorted; `None` for no rows.
pub(crate) fn encode(table: Table, batches: &[RecordBatch]) -> Result<Option<EncodedFile>, LakeError> {
    let mut writer = FileWriter::new(table)?;
    let schema = table.file_schema();
    for batch in batches {
        writer.write(&conform(&schema, batch, table.name())?)?;
    }
    Ok(if writer.rows == 0 { None } else { Some(writer.finish()?) })
}

/// The batch with exactly the columns of `schema`, in that order; columns it lacks are NULL, those it has too many are left out.
///
/// An older file may lack columns that were added since.
pub(crate) fn conform(
    schema: &SchemaRef,
    batch: &RecordBatch,
    of: &(impl ToString + ?Sized),
) -> Result<RecordBatch, LakeError> {
    if batch.schema_ref().fields() == schema.fields() {
        return Ok(batch.clone());
    }
    let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) => arrow::compute::cast(column, field.data_type()),
        None => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
    });
    let columns = columns.collect::<Result<_, _>>().doing("read", of)?;
    RecordBatch::try_new(Arc::clone(schema), columns).doing("read", of)
}
