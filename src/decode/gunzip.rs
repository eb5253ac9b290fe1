//! Compressed bytes in any chunks in, plain chunks out. Gzip is recognised by its magic, never by a name; several
//! members may follow each other (LF and NUL bytes between them are skipped), and the content may be gzip again, as
//! CloudWatch Logs through Firehose makes it. Other packings (`unpack`) may stand wherever gzip may. Memory is bounded:
//! plain bytes are made only when asked for. Refused: a cut-off or damaged member, anything else after a member, more
//! levels or bytes than the limits allow, and more plain bytes for each packed one than any log gives.
//!
//! A gzip member that is at hand whole and not too large is inflated at once by libdeflate, in half the time; any other,
//! and every one that libdeflate does not like, by zlib-rs in steps. What comes out is the same.

use flate2::{Decompress, FlushDecompress, Status};
use libdeflater::{DecompressionError, Decompressor};

use super::unpack::{Begun, Damage, Packing, Sniffed, Then, Unpacker, sniff};
use super::{Limits, ObjectError};

const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Plain bytes made at a time by steps.
const CHUNK_BYTES: usize = 64 << 10;
/// Plain bytes handed out at a time.
const SLICE_BYTES: usize = 1 << 20;
/// Compressed bytes waited for until a member is at hand whole.
const WHOLE_INPUT_MAX: usize = 32 << 20;
/// Plain bytes of a member inflated at once.
const WHOLE_OUTPUT_MAX: usize = 64 << 20;
/// First guess at the plain bytes of a member; the buffer grows with what is met.
const WHOLE_OUTPUT_MIN: usize = 256 << 10;
/// A gzip header has at least so many bytes, the trailer (CRC-32 and size) exactly so many.
const HEADER_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;
const WINDOW_BITS: u8 = 15;
/// So many plain bytes may come of however few: the limit on expansion is for what would go on and on.
const EXPANSION_FREE_BYTES: u64 = 64 << 20;

/// One level of compression, or the plain bytes below the last.
struct Level {
    state: State,
    /// How the first stream met is packed.
    packing: Option<Packing>,
    /// Bytes pushed and not yet used are `input[used..]`.
    input: Vec<u8>,
    used: usize,
    bytes_in: u64,
    bytes_out: u64,
}

enum State {
    /// Not enough bytes seen to tell.
    Unknown,
    /// Not compressed.
    Plain,
    /// A member begins, and may yet be inflated at once.
    Begun,
    /// Inside a member of gzip or zlib.
    Member(Box<Decompress>),
    /// Inside a stream of another packing.
    Packed(Box<Unpacker>),
    /// After a complete member.
    Between,
}

/// What asking a level for bytes gave.
enum Made {
    Bytes,
    NeedsInput,
}

/// The memory that reading an object took, kept for the next: tens of MiB that would else be asked for, filled with zeros
/// and given back for each.
#[derive(Default)]
pub struct Space {
    input: Vec<u8>,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Space").field("bytes", &(self.input.capacity() + self.buffer.capacity())).finish()
    }
}

/// The levels of one object, outermost first.
pub(super) struct Gunzip {
    levels: Vec<Level>,
    chunk: Chunk,
    at_once: Decompressor,
    nesting_max: usize,
    bytes_max: u64,
    expansion_max: u64,
    pushed: u64,
    ended: bool,
}

/// Bytes a level made. The buffer is only ever lengthened: what lies beyond `len` is left over from before.
#[derive(Default)]
pub(super) struct Chunk {
    buffer: Vec<u8>,
    len: usize,
    /// Bytes handed out already.
    served: usize,
}

impl Chunk {
    /// The buffer, at least that long.
    pub(super) fn space(&mut self, bytes: usize) -> &mut [u8] {
        if self.buffer.len() < bytes {
            // Grown by itself, it would double: tens of MiB that nobody writes to, and later does.
            self.buffer.reserve_exact(bytes - self.buffer.len());
            self.buffer.resize(bytes, 0);
        }
        &mut self.buffer
    }

    fn made(&mut self, bytes: usize) {
        (self.len, self.served) = (bytes, 0);
    }

    fn next_slice(&mut self) -> Option<&[u8]> {
        let start = self.served;
        self.served = self.len.min(start + SLICE_BYTES);
        (start < self.len).then(|| &self.buffer[start..self.served])
    }
}

impl Gunzip {
    pub(super) fn new(limits: &Limits, space: Space) -> Self {
        Self {
            levels: vec![Level { input: space.input, ..Level::new() }],
            chunk: Chunk { buffer: space.buffer, ..Chunk::default() },
            at_once: Decompressor::new(),
            nesting_max: limits.nesting_max,
            bytes_max: limits.object_bytes_max,
            expansion_max: limits.expansion_max,
            pushed: 0,
            ended: false,
        }
    }

    /// The ways of packing met so far, the outermost first.
    pub(super) fn packings(&self) -> Vec<&'static str> {
        self.levels.iter().filter_map(|level| level.packing).map(Packing::name).collect()
    }

    /// The memory, to be used again.
    pub(super) fn into_space(mut self) -> Space {
        let mut input = std::mem::take(&mut self.levels[0].input);
        input.clear();
        // Where plain bytes were handed inwards, the large buffer is one level down.
        let inner = self.levels.into_iter().skip(1).map(|level| level.input);
        let buffer = inner.chain([self.chunk.buffer]).max_by_key(Vec::capacity).unwrap_or_default();
        Space { input, buffer }
    }

    /// Takes the object's next bytes; [`Self::plain`] makes plain ones of them.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pushed += bytes.len() as u64;
        self.levels[0].give(bytes);
    }

    /// Says that no more bytes come.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// The next plain bytes, or `None` until more are pushed. After [`Self::end`], `None` means all is read and whole.
    pub(super) fn plain(&mut self) -> Result<Option<&[u8]>, ObjectError> {
        if self.chunk.served == self.chunk.len && !self.fill()? {
            return Ok(None);
        }
        Ok(self.chunk.next_slice())
    }

    /// Fills `chunk` with output of the innermost level, adding levels where the output is gzip again.
    fn fill(&mut self) -> Result<bool, ObjectError> {
        self.chunk.made(0);
        // `at` is the level asked: outwards while input is missing, inwards with what was made.
        let mut at = self.levels.len() - 1;
        loop {
            match self.make(at, false)? {
                Made::NeedsInput if at > 0 => at -= 1,
                Made::NeedsInput if self.ended => return self.drain(),
                Made::NeedsInput => return Ok(false),
                Made::Bytes if matches!(self.levels[at].state, State::Plain) => return Ok(true),
                Made::Bytes => {
                    at += 1;
                    if at == self.levels.len() {
                        self.levels.push(Level::new());
                    }
                    self.levels[at].give_chunk(&mut self.chunk);
                }
            }
        }
    }

    /// After the end, when no level can make more: each must be complete. A lone first byte is now known to be plain.
    fn drain(&mut self) -> Result<bool, ObjectError> {
        for at in 0..self.levels.len() {
            if let Made::Bytes = self.make(at, true)? {
                return Ok(true);
            }
            let level = &self.levels[at];
            let is_cut = match &level.state {
                State::Member(_) => true,
                State::Packed(unpacker) => !unpacker.may_end() || level.used < level.input.len(),
                _ => false,
            };
            if is_cut {
                return Err(ObjectError::Truncated);
            }
        }
        Ok(false)
    }

    fn make(&mut self, at: usize, drained: bool) -> Result<Made, ObjectError> {
        // What a level gets from the one around it is mostly whole members; the outermost is told when it has all.
        let whole = self.ended || at > 0;
        let (chunk, at_once) = (&mut self.chunk, &mut self.at_once);
        let made = self.levels[at].make(at + 1, self.nesting_max, chunk, at_once, whole, drained)?;
        let bytes_out = self.levels[at].bytes_out;
        if bytes_out > self.bytes_max {
            return Err(ObjectError::TooLarge { limit: self.bytes_max });
        }
        if bytes_out > EXPANSION_FREE_BYTES && bytes_out / self.expansion_max > self.pushed {
            return Err(ObjectError::TooDense { limit: self.expansion_max });
        }
        Ok(made)
    }
}

impl State {
    fn of(packing: Packing) -> Self {
        match Unpacker::of(packing) {
            None => Self::Begun,
            Some(Begun::Zlib(inflate)) => Self::Member(Box::new(inflate)),
            Some(Begun::Other(unpacker)) => Self::Packed(unpacker),
        }
    }
}

impl Level {
    fn new() -> Self {
        Self { state: State::Unknown, packing: None, input: Vec::new(), used: 0, bytes_in: 0, bytes_out: 0 }
    }

    fn give(&mut self, bytes: &[u8]) {
        if self.used == self.input.len() {
            self.input.clear();
            self.used = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    /// Takes what another level made: the buffer itself, where nothing is left of the last.
    fn give_chunk(&mut self, chunk: &mut Chunk) {
        if self.used < self.input.len() {
            self.give(&chunk.buffer[..chunk.len]);
        } else {
            std::mem::swap(&mut self.input, &mut chunk.buffer);
            self.input.truncate(chunk.len);
            self.used = 0;
        }
        chunk.made(0);
    }

    fn take(&mut self, count: usize) {
        self.used += count;
        self.bytes_in += count as u64;
    }

    /// Makes some output from the held input. `whole`: what is held is likely whole members. `ended`: what is held is
    /// all there will ever be.
    fn make(
        &mut self,
        number: usize,
        nesting_max: usize,
        out: &mut Chunk,
        at_once: &mut Decompressor,
        whole: bool,
        ended: bool,
    ) -> Result<Made, ObjectError> {
        loop {
            let held = &self.input[self.used..];
            match &mut self.state {
                State::Unknown => match sniff(held, ended) {
                    Sniffed::Packed(_) if number > nesting_max => {
                        return Err(ObjectError::TooNested { limit: nesting_max });
                    }
                    Sniffed::Packed(packing) => {
                        self.packing = Some(packing);
                        self.state = State::of(packing);
                    }
                    Sniffed::Plain if !held.is_empty() => self.state = State::Plain,
                    _ => return Ok(Made::NeedsInput),
                },
                State::Plain => {
                    if held.is_empty() {
                        return Ok(Made::NeedsInput);
                    }
                    if self.used == 0 {
                        // All of it, without a copy.
                        std::mem::swap(&mut self.input, &mut out.buffer);
                        out.made(out.buffer.len());
                        self.input.clear();
                        self.bytes_in += out.len as u64;
                    } else {
                        let count = held.len();
                        out.space(count)[..count].copy_from_slice(held);
                        out.made(count);
                        self.take(count);
                    }
                    self.bytes_out += out.len as u64;
                    return Ok(Made::Bytes);
                }
                State::Between => {
                    let skip = between(held);
                    let rest = &held[skip..];
                    match sniff(rest, ended) {
                        Sniffed::Packed(packing) => self.state = State::of(packing),
                        Sniffed::Plain if !rest.is_empty() => {
                            return Err(ObjectError::TrailingGarbage {
                                at: self.bytes_in + skip as u64,
                                level: number,
                            });
                        }
                        _ => {
                            self.take(skip);
                            return Ok(Made::NeedsInput);
                        }
                    }
                    self.take(skip);
                }
                State::Begun => {
                    if !whole && held.len() <= WHOLE_INPUT_MAX {
                        return Ok(Made::NeedsInput);
                    }
                    let inflated = if whole { inflate_at_once(at_once, held, out) } else { None };
                    match inflated {
                        Some((taken, made)) => {
                            self.state = State::Between;
                            self.take(taken);
                            self.bytes_out += made as u64;
                            out.made(made);
                            if made > 0 {
                                return Ok(Made::Bytes);
                            }
                        }
                        None => self.state = State::Member(Box::new(Decompress::new_gzip(WINDOW_BITS))),
                    }
                }
                State::Member(inflate) => {
                    let before = (inflate.total_in(), inflate.total_out());
                    let space = &mut out.space(CHUNK_BYTES)[..CHUNK_BYTES];
                    let status = inflate
                        .decompress(held, space, FlushDecompress::None)
                        .map_err(|_| ObjectError::Corrupt { at: self.bytes_in, level: number })?;
                    let taken = (inflate.total_in() - before.0) as usize;
                    let made = inflate.total_out() - before.1;
                    let at_end = status == Status::StreamEnd;
                    if at_end {
                        self.state = State::Between;
                    }
                    self.take(taken);
                    self.bytes_out += made;
                    if made > 0 {
                        out.made(made as usize);
                        return Ok(Made::Bytes);
                    }
                    if !at_end && (taken == 0 || self.used == self.input.len()) {
                        return Ok(Made::NeedsInput);
                    }
                }
                State::Packed(unpacker) => {
                    let step = unpacker.step(held, out).map_err(|damage| match damage {
                        Damage::Corrupt => ObjectError::Corrupt { at: self.bytes_in, level: number },
                        Damage::Unsupported(what) => ObjectError::Unsupported { what },
                    })?;
                    if step.then == Then::Ends {
                        self.state = State::Between;
                    }
                    self.take(step.taken);
                    self.bytes_out += step.made as u64;
                    if step.made > 0 {
                        out.made(step.made);
                        return Ok(Made::Bytes);
                    }
                    if step.then == Then::NeedsInput {
                        return Ok(Made::NeedsInput);
                    }
                }
            }
        }
    }
}

/// Bytes that may stand between members.
fn between(held: &[u8]) -> usize {
    held.iter().take_while(|&&byte| byte == b'\n' || byte == 0).count()
}

/// Inflates the member that `held` begins with into `out`: how many bytes it took and how many it made. `None` where it
/// is not whole, too large, or in any way odd: then zlib-rs does it, and finds the error if there is one.
///
/// libdeflate checks the trailer but does not say where it stood. It is looked for: CRC and size of what was made stand
/// at the member's end, and only if that is the first place they stand, and what follows may follow a member, is it taken.
fn inflate_at_once(inflate: &mut Decompressor, held: &[u8], out: &mut Chunk) -> Option<(usize, usize)> {
    let (_, size) = held.split_last_chunk::<4>()?;
    // Right for the last member, and a good guess for those before it.
    let guess = u32::from_le_bytes(*size) as usize;
    let believed = guess <= WHOLE_OUTPUT_MAX && guess / 1032 <= held.len();
    let mut space = out.buffer.len().max(WHOLE_OUTPUT_MIN).max(if believed { guess } else { 0 });
    let made = loop {
        match inflate.gzip_decompress(held, out.space(space)) {
            Ok(made) => break made,
            Err(DecompressionError::InsufficientSpace) if space < WHOLE_OUTPUT_MAX => {
                space = (space * 4).min(WHOLE_OUTPUT_MAX);
            }
            Err(_) => return None,
        }
    };
    let mut trailer = [0; TRAILER_BYTES];
    trailer[..4].copy_from_slice(&libdeflater::crc32(&out.buffer[..made]).to_le_bytes());
    trailer[4..].copy_from_slice(&u32::try_from(made).ok()?.to_le_bytes());
    let end = HEADER_BYTES + memchr::memmem::find(held.get(HEADER_BYTES..)?, &trailer)? + TRAILER_BYTES;
    let after = &held[end + between(&held[end..])..];
    (after.is_empty() || after.starts_with(&MAGIC)).then_some((end, made))
}
