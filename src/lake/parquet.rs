//! How our Parquet files are written: the one place for writer properties, each with its reason. Equal batches give equal
//! bytes on any machine and under any version of the libraries' defaults, because whatever decides a byte is stated here.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef, UInt32Type};
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use zstd::bulk::Compressor;

use super::error::{Doing, LakeError};
use super::labels::{self, Encoder, Known, Labels, Used};
use super::sort;
use super::stats::FileStats;
use crate::base::{Digest, Digester};
use crate::schema::{Table, retyped};

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
/// Ids: what can be saved of them is their small alphabet, and the cheapest level of zstd finds that as well as any.
const IDS: &[&str] = &["request_id", "caller_request_id", "object_id"];
/// Bits of a keyed hash, which no compressor makes fewer.
const RANDOM: &str = "fingerprint";
/// Texts of one length and many alphabets: apart from their lengths they are smaller. Ids of one alphabet are not.
const LENGTHS_APART: &str = "caller_request_id";
/// Whole numbers that grow slowly from row to row in our order: differences take a byte where values take eight.
const WITH_DELTAS: &[&str] = &["event_time", "source_position"];

/// Encodes the rows of one file in memory.
///
/// Rows come in as batches whose repeating columns are dictionaries, are adopted (their values numbered for this file) and
/// written. Between the two they may be mixed with other adopted rows.
pub(crate) struct FileWriter {
    file: SerializedFileWriter<Vec<u8>>,
    table: Table,
    kind: FileKind,
    schema: SchemaRef,
    /// The same with labels as numbers.
    adopted: SchemaRef,
    plain: PlainColumns,
    /// Repeating columns by their place.
    labels: Vec<(usize, Labels)>,
    encoder: Encoder,
    group: Option<Group>,
    rows: u64,
    stats: FileStats,
}

/// Makes writers for the columns that are no labels.
struct PlainColumns {
    places: Vec<usize>,
    factory: ArrowRowGroupWriterFactory,
}

/// The row group at hand.
struct Group {
    plain: Vec<ArrowColumnWriter>,
    labels: Vec<Vec<u32>>,
    rows: usize,
}

/// A finished file.
#[derive(Clone, Debug)]
pub(crate) struct EncodedFile {
    pub(crate) bytes: Bytes,
    pub(crate) digest: Digest,
    pub(crate) rows: u64,
    pub(crate) stats: String,
}

impl PlainColumns {
    fn new(schema: &SchemaRef, places: Vec<usize>, properties: &WriterProperties) -> ParquetResult<Self> {
        let schema = Arc::new(schema.project(&places)?);
        let root = ArrowSchemaConverter::new().convert(&schema)?.root_schema_ptr();
        let file = SerializedFileWriter::new(std::io::sink(), root, Arc::new(properties.clone()))?;
        Ok(Self { places, factory: ArrowRowGroupWriterFactory::new(&file, schema) })
    }

    fn writers(&self) -> ParquetResult<Vec<ArrowColumnWriter>> {
        self.factory.create_column_writers(0)
    }
}

impl FileWriter {
    /// A writer of a table's file. `texts`: repeating columns that have too many values, and are written as any text.
    pub(crate) fn new(table: Table, texts: &[&str]) -> Result<Self, LakeError> {
        Self::with(table, texts, FOR_YEARS)
    }

    /// A writer of a staged file.
    pub(crate) fn staged(table: Table) -> Result<Self, LakeError> {
        Self::with(table, &[], STAGED)
    }

    fn with(table: Table, texts: &[&str], kind: FileKind) -> Result<Self, LakeError> {
        let schema = table.file_schema();
        let is_label = |name: &str| table.labels().contains(&name) && !texts.contains(&name);
        let names = || schema.fields().iter().map(|field| field.name().as_str()).enumerate();
        let labels = names().filter(|(_, name)| is_label(name)).map(|(at, _)| (at, Labels::default())).collect();
        let plain = names().filter(|(_, name)| !is_label(name)).map(|(at, _)| at).collect();
        let adopted = retyped(&schema, |field| is_label(field.name()).then_some(DataType::UInt32));
        let made = || {
            let properties = properties(table, kind).build();
            let root = ArrowSchemaConverter::new().convert(&schema)?.root_schema_ptr();
            let plain = PlainColumns::new(&schema, plain, &properties)?;
            let file = SerializedFileWriter::new(Vec::new(), root, Arc::new(properties))?;
            let encoder = Encoder {
                compressor: Compressor::new(kind.zstd_level)?,
                page_rows: kind.page_rows,
                statistics: !kind.is_staged,
            };
            Ok::<_, ParquetError>((file, plain, encoder))
        };
        let (file, plain, encoder) = made().doing("begin", table.name())?;
        let stats = FileStats::new(table);
        Ok(Self { file, table, kind, schema, adopted, plain, labels, encoder, group: None, rows: 0, stats })
    }

    /// The batch with its repeating columns as this file's numbers. `known` is kept by the caller for the batches of one
    /// source of rows.
    pub(crate) fn adopt(&mut self, batch: &RecordBatch, known: &mut Vec<Known>) -> Result<RecordBatch, LakeError> {
        let adopted = labels::adopt(batch, &mut self.labels, known, &self.adopted);
        let adopted = adopted.ok_or_else(|| LakeError::corrupt(self.table.name(), "labels are no dictionaries"))?;
        adopted.doing("encode", self.table.name())
    }

    /// Appends rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        let adopted = self.adopt(batch, &mut Vec::new())?;
        self.write_adopted(&adopted)
    }

    /// Appends adopted rows.
    pub(crate) fn write_adopted(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        self.rows += batch.num_rows() as u64;
        if !self.kind.is_staged {
            self.stats.add(batch);
        }
        let mut at = 0;
        while at < batch.num_rows() {
            let room = GROUP_ROWS_MAX - self.group.as_ref().map_or(0, |group| group.rows);
            let rows = room.min(batch.num_rows() - at);
            self.fill(&batch.slice(at, rows)).doing("encode", self.table.name())?;
            at += rows;
            if rows == room {
                self.end_group()?;
            }
        }
        Ok(())
    }

    fn fill(&mut self, batch: &RecordBatch) -> ParquetResult<()> {
        let group = match &mut self.group {
            Some(group) => group,
            None => self.group.insert(Group {
                plain: self.plain.writers()?,
                labels: vec![Vec::new(); self.labels.len()],
                rows: 0,
            }),
        };
        for (writer, place) in group.plain.iter_mut().zip(&self.plain.places) {
            for leaf in compute_leaves(self.schema.field(*place), batch.column(*place))? {
                writer.write(&leaf)?;
            }
        }
        for (numbers, (place, _)) in group.labels.iter_mut().zip(&self.labels) {
            let adopted = batch.column(*place).as_primitive_opt::<UInt32Type>();
            let adopted = adopted.ok_or_else(|| ParquetError::General("rows were not adopted".to_owned()))?;
            numbers.extend_from_slice(adopted.values());
        }
        group.rows += batch.num_rows();
        Ok(())
    }

    /// Ends the row group, so that what follows is a run of its own.
    pub(crate) fn end_group(&mut self) -> Result<(), LakeError> {
        let Some(group) = self.group.take() else { return Ok(()) };
        self.write_group(group).doing("encode", self.table.name())?;
        // A staged row group is written from batches adopted since the last: it has lists of values of its own.
        if self.kind.is_staged {
            self.labels.iter_mut().for_each(|(_, labels)| *labels = Labels::default());
        }
        Ok(())
    }

    fn write_group(&mut self, group: Group) -> ParquetResult<()> {
        let columns = self.file.schema_descr().columns().to_vec();
        let mut writer = self.file.next_row_group()?;
        let mut plain = group.plain.into_iter();
        let mut repeating = self.labels.iter().zip(&group.labels).peekable();
        for (place, column) in columns.iter().enumerate() {
            let Some(((_, labels), numbers)) = repeating.next_if(|((at, _), _)| *at == place) else {
                let column = plain.next().ok_or_else(|| ParquetError::General("a column is missing".to_owned()))?;
                column.close()?.append_to_row_group(&mut writer)?;
                continue;
            };
            let used = Used::new(labels, numbers);
            if !self.kind.is_staged {
                self.stats.extend(column.name(), &used);
            }
            match labels::encode(&mut self.encoder, column, &used, numbers)? {
                Some(chunk) => writer.append_column(&chunk.bytes, chunk.close)?,
                None => {
                    let properties = properties(self.table, self.kind).set_dictionary_enabled(false).build();
                    let text = PlainColumns::new(&self.schema, vec![place], &properties)?;
                    let values = arrow::compute::cast(&labels.texts(numbers), self.schema.field(place).data_type())?;
                    for mut column in text.writers()? {
                        for leaf in compute_leaves(self.schema.field(place), &values)? {
                            column.write(&leaf)?;
                        }
                        column.close()?.append_to_row_group(&mut writer)?;
                    }
                }
            }
        }
        writer.close().map(drop)
    }

    /// The file.
    pub(crate) fn finish(mut self) -> Result<EncodedFile, LakeError> {
        self.end_group()?;
        let bytes = Bytes::from(self.file.into_inner().doing("encode", self.table.name())?);
        let digest = Digester::default().part(&bytes).finish();
        Ok(EncodedFile { digest, rows: self.rows, stats: self.stats.json(self.rows), bytes })
    }
}

/// How a kind of file is written.
#[derive(Clone, Copy)]
struct FileKind {
    page_rows: usize,
    zstd_level: i32,
    is_staged: bool,
}

/// A table's files are written once or twice and read for years. Level 3 is half the size of snappy for these columns, and
/// decoding stays faster than S3 delivers.
const FOR_YEARS: FileKind = FileKind { page_rows: PAGE_ROWS, zstd_level: 3, is_staged: false };
/// A staged file is read once, whole, and soon: the cheapest level will do.
const STAGED: FileKind = FileKind { page_rows: STAGED_PAGE_ROWS, zstd_level: 1, is_staged: true };

fn properties(table: Table, kind: FileKind) -> WriterPropertiesBuilder {
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
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(kind.zstd_level).unwrap_or_default()))
        .set_data_page_row_count_limit(kind.page_rows)
        .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
        // Bytes would close a row group at a point that depends on the encoder's estimate.
        .set_max_row_group_bytes(None)
        // Rows decide where a page ends; the bytes only bound pages of long text.
        .set_data_page_size_limit(1 << 20)
        .set_write_batch_size(1_024)
        // Tells readers that may merge or skip by it how rows are ordered.
        .set_sorting_columns((!sorted_by.is_empty()).then_some(sorted_by));
    builder = if kind.is_staged {
        // Nothing is skipped in it. Labels have dictionaries of our own making; looking numbers up in one costs more than it
        // saves before the merge.
        builder
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .set_dictionary_enabled(false)
    } else {
        // Minimum and maximum per page, so that a reader of one key or one minute skips most pages.
        builder
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_statistics_truncate_length(Some(64))
            .set_column_index_truncate_length(Some(64))
            // A dictionary past a MiB no longer pays: values of such a column hardly repeat.
            .set_dictionary_enabled(true)
            .set_dictionary_page_size_limit(1 << 20)
    };
    if !kind.is_staged {
        let cheapest = Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default());
        for column in IDS {
            builder = builder.set_column_compression(ColumnPath::from(*column), cheapest);
        }
        builder = builder
            .set_column_compression(ColumnPath::from(RANDOM), Compression::UNCOMPRESSED)
            .set_column_encoding(ColumnPath::from(LENGTHS_APART), Encoding::DELTA_LENGTH_BYTE_ARRAY);
    }
    for column in WITHOUT_DICTIONARY {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(*column), false);
        if kind.is_staged {
            // What never repeats is a third smaller at best, and takes most of the compressor's time.
            builder = builder.set_column_compression(ColumnPath::from(*column), Compression::UNCOMPRESSED);
        }
    }
    for column in WITH_DELTAS {
        builder = builder.set_column_encoding(ColumnPath::from(*column), Encoding::DELTA_BINARY_PACKED);
    }
    builder
}

/// Encodes batches that the caller has sorted; `None` for no rows.
pub(crate) fn encode(table: Table, batches: &[RecordBatch]) -> Result<Option<EncodedFile>, LakeError> {
    let mut writer = FileWriter::new(table, &[])?;
    let schema = table.row_schema();
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
