//! Text columns in which values repeat: most of a log's. From the decoder to the file such a column is numbers into a list
//! of its distinct values, so that a value is hashed, compared and copied once and not once per row. This is where the
//! lists become Parquet dictionaries: `Labels` numbers the values of one file, [`encode`] makes a column chunk of them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::basic::{CompressionCodec, Encoding, Type};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::hybrid;

/// The number of no value.
pub(crate) const NONE: u32 = u32::MAX;
/// A list longer than this is no dictionary: the values hardly repeat. Bounds what a caller who makes values up can cost.
const DICTIONARY_BYTES_MAX: usize = 256 << 10;
/// Longer values leave a column without statistics.
const STATISTICS_BYTES_MAX: usize = 256;

/// The distinct values of one column of a file, numbered as they were met.
#[derive(Default)]
pub(crate) struct Labels {
    numbers: HashMap<Arc<str>, u32>,
    values: Vec<Arc<str>>,
}

/// A batch's values and their numbers: batches of one row group share their values.
#[derive(Default)]
pub(crate) struct Known {
    of: Option<ArrayRef>,
    numbers: Vec<u32>,
}

impl Labels {
    fn number(&mut self, value: &str) -> u32 {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let number = self.values.len() as u32;
        let value: Arc<str> = value.into();
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }

    /// Numbers a column; [`NONE`] where it has no value. `known` is the caller's memory of the batch before.
    pub(crate) fn adopt(&mut self, column: &dyn Array, known: &mut Known) -> Option<UInt32Array> {
        let column = column.as_dictionary_opt::<UInt32Type>()?;
        let values = column.values();
        if !known.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, values) || of.to_data().ptr_eq(&values.to_data())) {
            // Values are numbered when first used: what no row has is in no dictionary.
            known.numbers.clear();
            known.numbers.resize(values.len(), NONE);
            known.of = Some(values.clone());
        }
        let texts = values.as_string_opt::<i32>()?;
        let keys = column.keys();
        let mut numbers = Vec::with_capacity(keys.len());
        for row in 0..keys.len() {
            if keys.is_null(row) || texts.is_null(keys.value(row) as usize) {
                numbers.push(NONE);
                continue;
            }
            let key = keys.value(row) as usize;
            if known.numbers[key] == NONE {
                known.numbers[key] = self.number(texts.value(key));
            }
            numbers.push(known.numbers[key]);
        }
        Some(UInt32Array::from(numbers))
    }

    /// The text of numbered rows.
    pub(crate) fn texts(&self, numbers: &[u32]) -> StringArray {
        numbers.iter().map(|number| self.values.get(*number as usize).map(|value| &**value)).collect()
    }
}

/// How chunks are made.
pub(crate) struct Encoder {
    pub(crate) compressor: Compressor<'static>,
    pub(crate) page_rows: usize,
    /// Least and greatest value of each page and chunk.
    pub(crate) statistics: bool,
}

/// An encoded column of a row group.
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    pub(crate) close: ColumnCloseResult,
}

/// The values that a column of a row group uses.
pub(crate) struct Used<'a> {
    /// In the order of first use.
    values: Vec<&'a str>,
    /// The place of a number of the file among them.
    place: Vec<u32>,
    bytes: usize,
    /// Rows without a value.
    pub(crate) nulls: u64,
}

impl<'a> Used<'a> {
    pub(crate) fn new(labels: &'a Labels, numbers: &[u32]) -> Self {
        let mut used = Self { values: Vec::new(), place: vec![NONE; labels.values.len()], bytes: 0, nulls: 0 };
        for &number in numbers {
            if number == NONE {
                used.nulls += 1;
                continue;
            }
            let place = &mut used.place[number as usize];
            if *place == NONE {
                *place = used.values.len() as u32;
                let value = &labels.values[number as usize];
                used.bytes += 4 + value.len();
                used.values.push(value);
            }
        }
        used
    }

    /// The least and the greatest value.
    pub(crate) fn ends(&self) -> Option<(&'a str, &'a str)> {
        self.values.iter().min().copied().zip(self.values.iter().max().copied())
    }
}

/// Encodes one column of a row group; `None` where its values are too many for a dictionary.
pub(crate) fn encode(
    encoder: &mut Encoder,
    column: &ColumnDescPtr,
    used: &Used<'_>,
    numbers: &[u32],
) -> ParquetResult<Option<Chunk>> {
    if used.bytes > DICTIONARY_BYTES_MAX {
        return Ok(None);
    }
    let ranks = encoder.statistics.then(|| Ranks::new(used)).flatten();
    let mut sink = TrackedWrite::new(Vec::new());
    let mut pages = SerializedPageWriter::new(&mut sink);
    let mut plain_bytes = 0;
    let mut write = |page: CompressedPage| {
        let spec = pages.write_page(page)?;
        plain_bytes += spec.uncompressed_size;
        Ok::<_, ParquetError>(spec)
    };

    let mut dictionary = Vec::with_capacity(used.bytes);
    for value in &used.values {
        dictionary.extend_from_slice(&(value.len() as u32).to_le_bytes());
        dictionary.extend_from_slice(value.as_bytes());
    }
    let page = Page::DictionaryPage {
        buf: encoder.compressor.compress(&dictionary)?.into(),
        num_values: used.values.len() as u32,
        encoding: Encoding::PLAIN,
        is_sorted: false,
    };
    let data_page_offset = write(CompressedPage::new(page, dictionary.len()))?.bytes_written;

    let width = hybrid::width(used.values.len());
    let mut index = ColumnIndexBuilder::new(Type::BYTE_ARRAY);
    let mut offsets = OffsetIndexBuilder::new();
    let (mut body, mut present, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for rows in numbers.chunks(encoder.page_rows) {
        places.clear();
        places.extend(rows.iter().filter(|&&number| number != NONE).map(|&number| used.place[number as usize]));
        body.clear();
        if column.max_def_level() > 0 {
            body.extend_from_slice(&[0; 4]);
            if places.len() == rows.len() {
                hybrid::push_run(1, rows.len(), 1, &mut body);
            } else {
                present.clear();
                present.extend(rows.iter().map(|&number| u32::from(number != NONE)));
                hybrid::push(&present, 1, &mut body);
            }
            let length = body.len() as u32 - 4;
            body[..4].copy_from_slice(&length.to_le_bytes());
        }
        body.push(width);
        hybrid::push(&places, width, &mut body);
        let page = Page::DataPage {
            buf: encoder.compressor.compress(&body)?.into(),
            num_values: rows.len() as u32,
            encoding: Encoding::RLE_DICTIONARY,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let spec = write(CompressedPage::new(page, body.len()))?;
        if encoder.statistics {
            offsets.append_row_count(rows.len() as i64);
            offsets.append_offset_and_size(spec.offset as i64, spec.compressed_size as i32);
            let nulls = (rows.len() - places.len()) as i64;
            match ranks.as_ref().map(|ranks| ranks.ends(used, &places)) {
                Some(Some((least, greatest))) => {
                    index.append(false, least.as_bytes().to_vec(), greatest.as_bytes().to_vec(), nulls);
                }
                Some(None) => index.append(true, Vec::new(), Vec::new(), nulls),
                None => index.to_invalid(),
            }
        }
    }
    pages.close()?;
    let bytes = std::mem::take(sink.inner_mut());
    let mut metadata = ColumnChunkMetaData::builder(column.clone())
        .set_compression_codec(CompressionCodec::ZSTD)
        .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY])
        .set_num_values(numbers.len() as i64)
        .set_total_compressed_size(bytes.len() as i64)
        .set_total_uncompressed_size(plain_bytes as i64)
        .set_dictionary_page_offset(Some(0))
        .set_data_page_offset(data_page_offset as i64);
    if let Some(ranks) = &ranks {
        let text = |place: &u32| ByteArray::from(used.values[*place as usize].as_bytes().to_vec());
        let (least, greatest) = (ranks.order.first().map(text), ranks.order.last().map(text));
        metadata = metadata.set_statistics(Statistics::byte_array(least, greatest, None, Some(used.nulls), false));
    }
    let close = ColumnCloseResult {
        bytes_written: bytes.len() as u64,
        rows_written: numbers.len() as u64,
        metadata: metadata.build()?,
        bloom_filter: None,
        column_index: if encoder.statistics && index.valid() { Some(index.build()?) } else { None },
        offset_index: encoder.statistics.then(|| offsets.build()),
    };
    Ok(Some(Chunk { bytes: bytes.into(), close }))
}

/// The order of the values a chunk uses.
struct Ranks {
    /// Places in order.
    order: Vec<u32>,
    /// The rank of each place.
    of: Vec<u32>,
}

impl Ranks {
    fn new(used: &Used<'_>) -> Option<Self> {
        if used.values.iter().any(|value| value.len() > STATISTICS_BYTES_MAX) {
            return None;
        }
        let mut order: Vec<u32> = (0..used.values.len() as u32).collect();
        order.sort_unstable_by_key(|place| used.values[*place as usize]);
        let mut ranks = vec![0; order.len()];
        for (rank, place) in (0..).zip(&order) {
            ranks[*place as usize] = rank;
        }
        Some(Self { order, of: ranks })
    }

    /// The least and greatest of some of them.
    fn ends<'a>(&self, used: &Used<'a>, places: &[u32]) -> Option<(&'a str, &'a str)> {
        let ranks = places.iter().map(|place| self.of[*place as usize]);
        let (least, greatest) = ranks.fold((u32::MAX, 0), |(low, high), rank| (low.min(rank), high.max(rank)));
        let value = |rank: u32| self.order.get(rank as usize).map(|place| used.values[*place as usize]);
        if places.is_empty() { None } else { value(least).zip(value(greatest)) }
    }
}

/// The batch with the columns of labels as numbers, in that schema; `None` where such a column is no dictionary.
pub(crate) fn adopt(
    batch: &RecordBatch,
    labels: &mut [(usize, Labels)],
    known: &mut Vec<Known>,
    schema: &SchemaRef,
) -> Option<Result<RecordBatch, ArrowError>> {
    known.resize_with(labels.len(), Known::default);
    let mut columns = batch.columns().to_vec();
    for ((column, labels), known) in labels.iter_mut().zip(known) {
        columns[*column] = Arc::new(labels.adopt(&columns[*column], known)?);
    }
    Some(RecordBatch::try_new(schema.clone(), columns))
}
