//! Snappy in the three ways it is put into files: the framing format, and the blocks of Hadoop and of snappy-java, which
//! are each a length and that many bytes of raw Snappy. Raw Snappy alone says nowhere what it is, and is not recognised.

use std::io::{self, Read};

use super::{Chunk, Damage, Guess, Packing, Step, Then};

/// Plain bytes of the longest block; Hadoop's have 256 KiB.
const BLOCK_MAX: usize = 16 << 20;
/// Plain bytes of a chunk of the framing format, at most.
const CHUNK_BYTES: usize = 64 << 10;
/// What snappy-java writes first: eight bytes that name it and two version numbers.
const JAVA_HEADER_BYTES: usize = 16;
const JAVA_MAGIC: &[u8] = b"\x82SNAPPY\x00";

/// Reads the framing format. Chunks are handed to the decoder whole, so that it never stops within one.
pub(in super::super) struct Framed(snap::read::FrameDecoder<Feed>);

#[derive(Default)]
struct Feed {
    chunk: Vec<u8>,
    used: usize,
}

impl Read for Feed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = (&self.chunk[self.used..]).read(out)?;
        self.used += read;
        Ok(read)
    }
}

impl Framed {
    pub(super) fn new() -> Self {
        Self(snap::read::FrameDecoder::new(Feed::default()))
    }

    pub(super) fn step(&mut self, held: &[u8], out: &mut Chunk) -> Result<Step, Damage> {
        let made = self.0.read(&mut out.space(CHUNK_BYTES)[..CHUNK_BYTES]).map_err(|_| Damage::Corrupt)?;
        if made > 0 {
            return Ok(Step::goes(0, made));
        }
        let Some(&[_, a, b, c]) = held.first_chunk::<4>() else { return Ok(Step::NEEDS_INPUT) };
        let length = 4 + u32::from_le_bytes([a, b, c, 0]) as usize;
        let Some(chunk) = held.get(..length) else { return Ok(Step::NEEDS_INPUT) };
        let feed = self.0.get_mut();
        feed.chunk.clear();
        feed.chunk.extend_from_slice(chunk);
        feed.used = 0;
        Ok(Step::goes(length, 0))
    }
}

/// Reads blocks.
pub(in super::super) struct Blocks {
    is_java: bool,
    /// Hadoop: plain bytes that are left of the block begun.
    left: usize,
    decoder: snap::raw::Decoder,
}

impl Blocks {
    pub(super) fn java() -> Self {
        Self { is_java: true, left: 0, decoder: snap::raw::Decoder::new() }
    }

    pub(super) fn hadoop() -> Self {
        Self { is_java: false, ..Self::java() }
    }

    pub(super) fn may_end(&self) -> bool {
        self.left == 0
    }

    pub(super) fn step(&mut self, held: &[u8], out: &mut Chunk) -> Result<Step, Damage> {
        let Some(length) = length(held) else { return Ok(Step::NEEDS_INPUT) };
        if !self.is_java && self.left == 0 {
            self.left = length;
            return Ok(Step::goes(4, 0));
        }
        // Streams written one after another each have their header.
        if self.is_java && held.starts_with(&JAVA_MAGIC[..4]) {
            return Ok(match held.get(..JAVA_HEADER_BYTES) {
                Some(header) if header.starts_with(JAVA_MAGIC) => Step::goes(JAVA_HEADER_BYTES, 0),
                Some(_) => return Err(Damage::Corrupt),
                None => Step::NEEDS_INPUT,
            });
        }
        if length > snap::raw::max_compress_len(BLOCK_MAX) {
            return Err(Damage::Unsupported("a Snappy block of more than 16 MiB"));
        }
        let Some(packed) = held.get(4..4 + length) else { return Ok(Step::NEEDS_INPUT) };
        let made = snap::raw::decompress_len(packed).map_err(|_| Damage::Corrupt)?;
        if made > BLOCK_MAX {
            return Err(Damage::Unsupported("a Snappy block of more than 16 MiB"));
        }
        if !self.is_java {
            self.left = self.left.checked_sub(made).ok_or(Damage::Corrupt)?;
        }
        let space = &mut out.space(made)[..made];
        self.decoder.decompress(packed, space).map_err(|_| Damage::Corrupt)?;
        Ok(Step { taken: 4 + length, made, then: Then::Goes })
    }
}

fn length(held: &[u8]) -> Option<usize> {
    Some(u32::from_be_bytes(*held.first_chunk::<4>()?) as usize)
}

/// Hadoop's blocks have no magic, but lengths that must fit together: of the block, of its first part, and the one that
/// part says it unpacks to. No text begins with a NUL.
pub(super) fn is_hadoop(held: &[u8]) -> Guess {
    const LENGTHS: usize = 8;
    if held.first().is_some_and(|&first| first != 0) {
        return Some(None);
    }
    // The number of plain bytes is next, in at most four bytes of seven bits.
    let told = held.get(LENGTHS..).and_then(|part| {
        let end = part.iter().take(4).position(|byte| byte & 0x80 == 0)?;
        Some(part[..=end].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f)))
    });
    let Some(plain) = told else { return if held.len() < LENGTHS + 4 { None } else { Some(None) } };
    let (Some(block), Some(packed)) = (length(held), length(&held[4..])) else { return None };
    let fits = (1..=block).contains(&plain) && (2..=snap::raw::max_compress_len(plain)).contains(&packed);
    Some(fits.then_some(Packing::SnappyHadoop))
}
