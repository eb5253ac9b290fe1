//! The pages of a row group, unpacked by one decompressor for all columns. The library keeps one for each column that is
//! being read, some 150 KiB; a merge reads some thirty columns of each of dozens of files at once.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, SerializedPageReader};
use zstd::bulk::Decompressor;
use zstd::zstd_safe::get_frame_content_size;

/// A page is never larger: rows and bytes end it long before.
const PAGE_BYTES_MAX: u64 = 1 << 30;

thread_local! {
    /// Pages are unpacked one after another, so a thread needs one.
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// One row group of a file.
pub(crate) struct GroupPages<R> {
    pub(crate) reader: Arc<R>,
    pub(crate) metadata: Arc<ParquetMetaData>,
    pub(crate) group: usize,
}

impl<R: ChunkReader + 'static> RowGroups for GroupPages<R> {
    fn num_rows(&self) -> usize {
        self.metadata.row_group(self.group).num_rows().unsigned_abs() as usize
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        let chunk = self.metadata.row_group(self.group).column(column);
        let packed = match chunk.compression() {
            Compression::UNCOMPRESSED => false,
            Compression::ZSTD(_) => true,
            other => return Err(ParquetError::NYI(format!("pages packed by {other}"))),
        };
        // Called uncompressed, its pages come as they are stored.
        let stored = chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
        let pages = SerializedPageReader::new(Arc::clone(&self.reader), &stored, self.num_rows(), None)?;
        Ok(Box::new(OneChunk(Some(Box::new(Unpacked { pages, packed })))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.metadata.row_group(self.group)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// A column has one chunk in a row group.
struct OneChunk(Option<Box<dyn PageReader>>);

impl Iterator for OneChunk {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for OneChunk {}

/// The pages of a chunk.
struct Unpacked<R: ChunkReader> {
    pages: SerializedPageReader<R>,
    packed: bool,
}

impl<R: ChunkReader> Iterator for Unpacked<R> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl<R: ChunkReader> PageReader for Unpacked<R> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        if self.packed { page.map(unpack).transpose() } else { Ok(page) }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }
}

fn unpack(mut page: Page) -> Result<Page> {
    match &mut page {
        Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => *buf = unpacked(buf)?.into(),
        Page::DataPageV2 { .. } => return Err(ParquetError::NYI("pages of format 2".to_owned())),
    }
    Ok(page)
}

fn unpacked(packed: &[u8]) -> io::Result<Vec<u8>> {
    // An empty page may be stored as nothing at all.
    if packed.is_empty() {
        return Ok(Vec::new());
    }
    let size = get_frame_content_size(packed).ok().flatten().filter(|size| *size <= PAGE_BYTES_MAX);
    let size = size.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a page does not say its size"))?;
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new()?),
        };
        decompressor.decompress(packed, size as usize)
    })
}
