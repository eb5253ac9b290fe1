//! Reading our Parquet files from the store, in bounded memory: the footer once, then one row group at a time, of which
//! only the asked-for columns are fetched, in one request. Decoding happens on the calling thread, which is meant to be
//! a blocking one: it waits for the store there.

use std::ops::Range;
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use ::parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use ::parquet::file::reader::{ChunkReader, Length};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::{Buf, Bytes};
use object_store::path::Path;
use object_store::{GetOptions, GetRange};
use tokio::runtime::Handle;

use super::error::{Doing, LakeError};
use super::pages::GroupPages;
use super::{Lake, parquet};
use crate::schema::{Table, retyped};

/// Read from a file's end at first: its footer, and all of a small file.
const TAIL_BYTES: u64 = 128 << 10;

/// A Parquet file of the lake whose footer has been read.
#[derive(Clone)]
pub(crate) struct OpenFile {
    lake: Lake,
    path: Path,
    table: Table,
    size: u64,
    tail: Bytes,
    metadata: Arc<ParquetMetaData>,
}

/// Opens a file. Waits for the store on this thread.
pub(crate) fn open(handle: &Handle, lake: &Lake, table: Table, path: &str) -> Result<OpenFile, LakeError> {
    let path = Path::from(path);
    let (size, tail) = handle.block_on(fetch_tail(lake, &path, TAIL_BYTES))?;
    match open_from(lake, table, path.clone(), tail, size) {
        // The footer of a file with many row groups is longer than the first guess.
        Err(LakeError::Parquet { source: ParquetError::NeedMoreData(bytes), .. }) => {
            let (size, tail) = handle.block_on(fetch_tail(lake, &path, bytes as u64))?;
            open_from(lake, table, path, tail, size)
        }
        opened => opened,
    }
}

/// Opens a file that is in memory.
pub(crate) fn open_bytes(lake: &Lake, table: Table, name: &str, bytes: Bytes) -> Result<OpenFile, LakeError> {
    let size = bytes.len() as u64;
    open_from(lake, table, Path::from(name), bytes, size)
}

/// Reads a whole file, or some of its columns, in the order named.
pub(crate) async fn all(
    lake: &Lake,
    table: Table,
    path: &str,
    columns: Option<&[&str]>,
) -> Result<Vec<RecordBatch>, LakeError> {
    let (owner, at) = (lake.clone(), path.to_owned());
    let columns: Option<Vec<String>> = columns.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    let handle = Handle::current();
    let work = tokio::task::spawn_blocking(move || {
        let file = open(&handle, &owner, table, &at)?;
        let names: Option<Vec<&str>> = columns.as_ref().map(|names| names.iter().map(String::as_str).collect());
        let mut batches = Vec::new();
        let schema = projected(&file.table.file_schema(), names.as_deref()).doing("read", &at)?;
        for group in 0..file.groups() {
            for batch in file.group(&handle, group, &schema, 65_536)? {
                batches.push(batch?);
            }
        }
        Ok(batches)
    });
    work.await.map_err(|source| LakeError::Stopped { path: path.to_owned(), source })?
}

async fn fetch_tail(lake: &Lake, path: &Path, bytes: u64) -> Result<(u64, Bytes), LakeError> {
    let options = GetOptions { range: Some(GetRange::Suffix(bytes)), ..Default::default() };
    let found = lake.store().get_opts(path, options).await.doing("read", path)?;
    let size = found.meta.size;
    Ok((size, found.bytes().await.doing("read", path)?))
}

fn open_from(lake: &Lake, table: Table, path: Path, tail: Bytes, size: u64) -> Result<OpenFile, LakeError> {
    let segments = Segments::new(size, vec![(size.saturating_sub(tail.len() as u64), tail.clone())]);
    let reader = || ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
    let mut attempt = reader();
    let metadata = match attempt.try_parse_sized(&segments, size) {
        Ok(()) => attempt.finish(),
        Err(error) => Err(error),
    };
    let metadata = Arc::new(metadata.doing("read the footer of", &path)?);
    Ok(OpenFile { lake: lake.clone(), path, table, size, tail, metadata })
}

/// The file's columns with the types wanted: Parquet does not say whether text is to be read as views or as dictionaries.
fn hint(wanted: &Schema, metadata: &ParquetMetaData) -> ParquetResult<SchemaRef> {
    let found = ::parquet::arrow::parquet_to_arrow_schema(metadata.file_metadata().schema_descr(), None)?;
    Ok(retyped(&found, |field| wanted.field_with_name(field.name()).ok().map(|column| column.data_type().clone())))
}

/// The schema, or the named columns of it in the order named.
pub(crate) fn projected(schema: &SchemaRef, columns: Option<&[&str]>) -> Result<SchemaRef, ArrowError> {
    let Some(names) = columns else { return Ok(schema.clone()) };
    let indices = names.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
    schema.project(&indices).map(Arc::new)
}

impl OpenFile {
    /// Rows of the file.
    pub(crate) fn rows(&self) -> u64 {
        self.metadata.row_groups().iter().map(|group| group.num_rows().unsigned_abs()).sum()
    }

    /// Row groups of the file.
    pub(crate) fn groups(&self) -> usize {
        self.metadata.num_row_groups()
    }

    /// Rows of one row group.
    pub(crate) fn group_rows(&self, group: usize) -> usize {
        self.metadata.row_group(group).num_rows().unsigned_abs() as usize
    }

    /// Whether all of a column is encoded by dictionaries: that its values do repeat.
    pub(crate) fn has_dictionary(&self, column: &str) -> bool {
        self.metadata.row_groups().iter().all(|group| {
            let chunk = group.columns().iter().find(|chunk| chunk.column_descr().name() == column);
            chunk.is_none_or(|chunk| chunk.dictionary_page_offset().is_some())
        })
    }

    /// Fetches one row group: the columns of `schema`, some or all of the table's. Waits for the store on this thread.
    /// Batches have up to `batch_rows` rows.
    pub(crate) fn group(
        &self,
        handle: &Handle,
        group: usize,
        schema: &SchemaRef,
        batch_rows: usize,
    ) -> Result<GroupReader, LakeError> {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        // The library makes room for a whole batch, however few rows there are.
        let batch_rows = batch_rows.min(self.group_rows(group));
        let mask = ProjectionMask::columns(self.metadata.file_metadata().schema_descr(), names);
        let chunks = self.metadata.row_group(group).columns().iter().enumerate();
        let ranges = chunks.filter(|(index, _)| mask.leaf_included(*index)).map(|(_, chunk)| {
            let (start, length) = chunk.byte_range();
            start..start + length
        });
        let segments = self.fetch(handle, ranges.collect())?;
        let made = || {
            let hint = hint(schema, &self.metadata)?;
            let columns = self.metadata.file_metadata().schema_descr();
            let levels = parquet_to_arrow_field_levels(columns, mask, Some(hint.fields()))?;
            let pages = GroupPages { reader: Arc::new(segments), metadata: self.metadata.clone(), group };
            ParquetRecordBatchReader::try_new_with_row_groups(&levels, &pages, batch_rows, None)
        };
        let reader = made().doing("read", &self.path)?;
        Ok(GroupReader { reader, path: self.path.clone(), schema: schema.clone() })
    }

    fn fetch(&self, handle: &Handle, ranges: Vec<Range<u64>>) -> Result<Segments, LakeError> {
        let tail_start = self.size - (self.tail.len() as u64).min(self.size);
        let mut segments = vec![(tail_start, self.tail.clone())];
        let missing: Vec<_> = ranges.into_iter().filter(|range| range.start < tail_start).collect();
        if !missing.is_empty() {
            let found = handle.block_on(self.lake.store().get_ranges(&self.path, &missing));
            let found = found.doing("read", &self.path)?;
            segments.extend(missing.iter().map(|range| range.start).zip(found));
        }
        Ok(Segments::new(self.size, segments))
    }
}

/// The batches of one row group.
pub(crate) struct GroupReader {
    reader: ParquetRecordBatchReader,
    path: Path,
    schema: SchemaRef,
}

impl Iterator for GroupReader {
    type Item = Result<RecordBatch, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?.doing("decode", &self.path);
        Some(batch.and_then(|batch| parquet::conform(&self.schema, &batch, &self.path)))
    }
}

/// The fetched parts of a file, read as if they were the file.
struct Segments {
    size: u64,
    segments: Vec<(u64, Bytes)>,
}

impl Segments {
    fn new(size: u64, segments: Vec<(u64, Bytes)>) -> Self {
        Self { size, segments }
    }

    fn from(&self, start: u64) -> ParquetResult<Bytes> {
        let holds = |(at, bytes): &&(u64, Bytes)| *at <= start && start < *at + bytes.len() as u64;
        let found = self.segments.iter().find(holds).map(|(at, bytes)| bytes.slice((start - at) as usize..));
        found.ok_or_else(|| ParquetError::EOF(format!("byte {start} was not fetched")))
    }
}

impl Length for Segments {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Segments {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let found = self.from(start)?;
        if found.len() < length {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} were not fetched whole")));
        }
        Ok(found.slice(..length))
    }
}
