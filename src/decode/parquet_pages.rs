//! Looks through the headers of a Parquet object's pages before the library reads any: it believes what they say, and
//! asks for that much memory. Goes in: the whole object and its footer. Comes out: how many rows may be read at a time so
//! that the pages they lie in take a bounded amount of memory. Refused: headers that cannot be read, pages that unpack to
//! more than they say or than the limits allow.

use flate2::{Decompress, FlushDecompress, Status};
use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::{Limits, ObjectError};

/// Rows read at a time, if their pages allow it.
const ROWS: [u64; 3] = [256, 16, 1];
/// Plain bytes of all pages that are held at a time.
const PAGES_BYTES_MAX: u64 = 128 << 20;
/// Structures within each other in a header; it has three.
const DEPTH_MAX: usize = 8;
const DATA: i64 = 0;
const DICTIONARY: i64 = 2;
const DATA_V2: i64 = 3;

/// How many rows may be read at a time.
pub(super) fn rows_at_a_time(held: &[u8], footer: &ParquetMetaData, limits: &Limits) -> Result<usize, ObjectError> {
    let mut rows = ROWS[0];
    let mut total = 0_u64;
    for group in footer.row_groups() {
        let pages =
            group.columns().iter().map(|column| Pages::of(column, held, limits)).collect::<Result<Vec<_>, _>>()?;
        total += pages.iter().map(Pages::bytes).sum::<u64>();
        if total > limits.object_bytes_max {
            return Err(ObjectError::TooLarge { limit: limits.object_bytes_max });
        }
        let fits = |rows: &u64| pages.iter().map(|pages| pages.held_for(*rows)).sum::<u64>() <= PAGES_BYTES_MAX;
        rows = rows.min(ROWS.into_iter().find(fits).ok_or_else(too_much)?);
    }
    Ok(rows as usize)
}

fn too_much() -> ObjectError {
    ObjectError::BadParquet { what: "pages that unpack to too much" }
}

fn damaged() -> ObjectError {
    ObjectError::BadParquet { what: "the header of a page" }
}

/// The pages of a column within a group of rows.
#[derive(Default)]
struct Pages {
    dictionary: u64,
    /// Values and plain bytes of each.
    data: Vec<(u64, u64)>,
}

impl Pages {
    fn of(column: &ColumnChunkMetaData, held: &[u8], limits: &Limits) -> Result<Self, ObjectError> {
        let packing = column.compression();
        // The others may unpack to anything.
        if !matches!(
            packing,
            Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_) | Compression::ZSTD(_)
        ) {
            return Err(ObjectError::BadParquet { what: "a compression other than Snappy, gzip and zstd" });
        }
        let (start, length) = column.byte_range();
        let end = start.checked_add(length).and_then(|end| usize::try_from(end).ok());
        let mut rest = end.and_then(|end| held.get(start as usize..end)).ok_or_else(damaged)?;
        let mut pages = Self::default();
        while !rest.is_empty() {
            let mut thrift = Thrift { bytes: rest, at: 0 };
            let page = thrift.page().ok_or_else(damaged)?;
            let packed = rest.get(thrift.at..thrift.at + page.packed).ok_or_else(damaged)?;
            rest = &rest[thrift.at + page.packed..];
            if page.plain > limits.document_bytes_max as u64 {
                return Err(too_much());
            }
            // Levels come before what is packed in pages of the second kind.
            let packed = if page.kind == DATA_V2 { packed.get(page.levels..).ok_or_else(damaged)? } else { packed };
            if matches!(packing, Compression::GZIP(_)) && !inflates_to(packed, page.plain) {
                return Err(too_much());
            }
            match page.kind {
                DICTIONARY if page.values > page.plain => return Err(damaged()),
                DICTIONARY => pages.dictionary = pages.dictionary.max(page.plain),
                DATA | DATA_V2 => pages.data.push((page.values, page.plain)),
                _ => {}
            }
        }
        Ok(pages)
    }

    fn bytes(&self) -> u64 {
        self.dictionary + self.data.iter().map(|(_, bytes)| bytes).sum::<u64>()
    }

    /// Plain bytes of the dictionary and of the pages that so many rows can lie in.
    fn held_for(&self, rows: u64) -> u64 {
        let (mut first, mut between, mut bytes, mut most) = (0, 0, 0, 0);
        for (at, page) in self.data.iter().enumerate() {
            bytes += page.1;
            // Those between the first and this one must hold fewer.
            between += if at > first + 1 { self.data[at - 1].0 } else { 0 };
            while between >= rows {
                bytes -= self.data[first].1;
                first += 1;
                between -= self.data[first].0;
            }
            most = most.max(bytes);
        }
        self.dictionary + most
    }
}

/// Whether gzip holds no more than so many plain bytes. The library would unpack all there is.
fn inflates_to(packed: &[u8], plain: u64) -> bool {
    const WINDOW_BITS: u8 = 15;
    let (mut rest, mut made) = (packed, 0);
    let mut space = vec![0; 64 << 10];
    while !rest.is_empty() {
        let mut member = Decompress::new_gzip(WINDOW_BITS);
        loop {
            let (before, used) = (member.total_out(), member.total_in() as usize);
            let Ok(status) = member.decompress(&rest[used..], &mut space, FlushDecompress::None) else {
                // The library finds the damage too, where it stands.
                return true;
            };
            made += member.total_out() - before;
            if made > plain {
                return false;
            }
            let stuck = member.total_out() == before && member.total_in() as usize == used;
            if status == Status::StreamEnd || stuck {
                break;
            }
        }
        match member.total_in() as usize {
            0 => return true,
            used => rest = &rest[used..],
        }
    }
    true
}

/// What the header of a page says.
#[derive(Default)]
struct Page {
    kind: i64,
    plain: u64,
    packed: usize,
    values: u64,
    /// Bytes of the levels in a page of the second kind.
    levels: usize,
}

/// Reads Thrift's compact protocol.
struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Thrift<'_> {
    const STRUCTURE: u8 = 12;

    /// The header of a page; none where it is not whole.
    fn page(&mut self) -> Option<Page> {
        let mut page = Page::default();
        let mut levels = 0_u64;
        self.structure(&mut |thrift, id, kind| {
            let number = |thrift: &mut Self| u64::try_from(thrift.number(kind)?).ok();
            match id {
                1 => page.kind = thrift.number(kind)?,
                2 => page.plain = number(thrift)?,
                3 => page.packed = usize::try_from(number(thrift)?).ok()?,
                5 | 7 | 8 if kind == Self::STRUCTURE => thrift.structure(&mut |thrift, inner, kind| {
                    match inner {
                        1 => page.values = u64::try_from(thrift.number(kind)?).ok()?,
                        5 | 6 if id == 8 => levels += u64::try_from(thrift.number(kind)?).ok()?,
                        _ => thrift.skip(kind, 0)?,
                    }
                    Some(())
                })?,
                _ => thrift.skip(kind, 0)?,
            }
            Some(())
        })?;
        page.levels = usize::try_from(levels).ok()?;
        Some(page)
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A number of a kind of up to 64 bits.
    fn number(&mut self, kind: u8) -> Option<i64> {
        let value = matches!(kind, 4..=6).then(|| self.varint())??;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// `on` is called for each field, with its number and kind, and must read it.
    fn structure(&mut self, on: &mut dyn FnMut(&mut Self, i64, u8) -> Option<()>) -> Option<()> {
        let mut id = 0_i64;
        loop {
            let head = self.byte()?;
            let kind = head & 15;
            if kind == 0 {
                return Some(());
            }
            id = match head >> 4 {
                0 => self.number(4)?,
                delta => id + i64::from(delta),
            };
            on(self, id, kind)?;
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            // The kind is the value.
            1 | 2 => Some(()),
            3 => self.byte().map(drop),
            4..=6 => self.varint().map(drop),
            7 => self.pass(8),
            8 => {
                let length = self.varint()?;
                self.pass(usize::try_from(length).ok()?)
            }
            Self::STRUCTURE if depth < DEPTH_MAX => self.structure(&mut |thrift, _, kind| thrift.skip(kind, depth + 1)),
            // Lists and maps: no header of a page has any.
            _ => None,
        }
    }

    fn pass(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_lie_in_the_pages_that_hold_them() {
        let pages = |data: &[(u64, u64)]| Pages { dictionary: 1, data: data.to_vec() };
        assert_eq!(pages(&[]).held_for(256), 1);
        assert_eq!(pages(&[(1000, 10), (1000, 20), (1000, 30)]).held_for(256), 1 + 50);
        assert_eq!(pages(&[(1, 10); 5]).held_for(256), 1 + 50);
        assert_eq!(pages(&[(1, 10); 5]).held_for(1), 1 + 20);
        assert_eq!(pages(&[(1, 10), (16, 100), (1, 10)]).held_for(16), 1 + 110);
        assert_eq!(pages(&[(1, 10), (15, 100), (1, 10)]).held_for(16), 1 + 120);
    }

    #[test]
    fn a_header_is_read_to_its_end() {
        // Kind 0, 300 plain bytes, 20 packed, and a data page of 7 values with a statistic of two bytes.
        let header = [0x15, 0, 0x15, 0xd8, 0x04, 0x15, 40, 0x2c, 0x15, 14, 0x4c, 0x18, 2, b'a', b'b', 0, 0, 0, 0xff];
        let mut thrift = Thrift { bytes: &header, at: 0 };
        let page = thrift.page().unwrap();
        assert_eq!((page.kind, page.plain, page.packed, page.values, thrift.at), (0, 300, 20, 7, header.len() - 1));
        for cut in 0..header.len() - 1 {
            assert!(Thrift { bytes: &header[..cut], at: 0 }.page().is_none(), "{cut}");
        }
    }
}
