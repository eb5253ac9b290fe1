//! Compressed bytes in any chunks in, plain chunks out. Gzip is recognised by its magic, never by a name; several
//! members may follow each other (LF and NUL bytes between them are skipped), and the content may be gzip again, as
//! CloudWatch Logs through Firehose makes it. Memory is bounded: plain bytes are made only when asked for.
//! Refused: a cut-off or damaged member, anything else after a member, more levels or bytes than the limits allow.

use flate2::{Decompress, FlushDecompress, Status};

use super::{Limits, ObjectError};

const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Plain bytes made at a time and per level.
const CHUNK_BYTES: usize = 64 << 10;
const WINDOW_BITS: u8 = 15;

/// One level of compression, or the plain bytes below the last.
struct Level {
    state: State,
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
    /// Inside a member.
    Member(Box<Decompress>),
    /// After a complete member.
    Between,
}

/// What asking a level for bytes gave.
enum Made {
    Bytes,
    NeedsInput,
}

/// The levels of one object, outermost first.
pub(super) struct Gunzip {
    levels: Vec<Level>,
    chunk: Vec<u8>,
    nesting_max: usize,
    bytes_max: u64,
    ended: bool,
}

impl Gunzip {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            levels: vec![Level::new()],
            chunk: Vec::new(),
            nesting_max: limits.nesting_max,
            bytes_max: limits.object_bytes_max,
            ended: false,
        }
    }

    /// Takes the object's next bytes; [`Self::plain`] makes plain ones of them.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.levels[0].give(bytes);
    }

    /// Says that no more bytes come.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// The next plain bytes, or `None` until more are pushed. After [`Self::end`], `None` means all is read and whole.
    pub(super) fn plain(&mut self) -> Result<Option<&[u8]>, ObjectError> {
        Ok(if self.fill()? { Some(&self.chunk) } else { None })
    }

    /// Fills `chunk` with output of the innermost level, adding levels where the output is gzip again.
    fn fill(&mut self) -> Result<bool, ObjectError> {
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
                    self.levels[at].give(&self.chunk);
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
            if matches!(self.levels[at].state, State::Member(_)) {
                return Err(ObjectError::Truncated);
            }
        }
        Ok(false)
    }

    fn make(&mut self, at: usize, ended: bool) -> Result<Made, ObjectError> {
        let made = self.levels[at].make(at + 1, self.nesting_max, &mut self.chunk, ended)?;
        if self.levels[at].bytes_out > self.bytes_max {
            return Err(ObjectError::TooLarge { limit: self.bytes_max });
        }
        Ok(made)
    }
}

impl Level {
    fn new() -> Self {
        Self { state: State::Unknown, input: Vec::new(), used: 0, bytes_in: 0, bytes_out: 0 }
    }

    fn give(&mut self, bytes: &[u8]) {
        if self.used == self.input.len() {
            self.input.clear();
            self.used = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    fn take(&mut self, count: usize) {
        self.used += count;
        self.bytes_in += count as u64;
    }

    /// Makes about [`CHUNK_BYTES`] of output from the held input. `ended`: what is held is all there will ever be.
    fn make(&mut self, number: usize, nesting_max: usize, out: &mut Vec<u8>, ended: bool) -> Result<Made, ObjectError> {
        out.clear();
        loop {
            let held = &self.input[self.used..];
            match &mut self.state {
                State::Unknown => {
                    if held.starts_with(&MAGIC) {
                        if number > nesting_max {
                            return Err(ObjectError::TooNested { limit: nesting_max });
                        }
                        self.state = member();
                    } else if held.len() >= 2 || held.first().is_some_and(|&byte| byte != MAGIC[0] || ended) {
                        self.state = State::Plain;
                    } else {
                        return Ok(Made::NeedsInput);
                    }
                }
                State::Plain => {
                    if held.is_empty() {
                        return Ok(Made::NeedsInput);
                    }
                    let count = held.len().min(CHUNK_BYTES);
                    out.extend_from_slice(&held[..count]);
                    self.take(count);
                    self.bytes_out += count as u64;
                    return Ok(Made::Bytes);
                }
                State::Between => {
                    let skip = held.iter().take_while(|&&byte| byte == b'\n' || byte == 0).count();
                    let rest = &held[skip..];
                    if rest.starts_with(&MAGIC) {
                        self.state = member();
                    } else if rest.is_empty() || rest == &MAGIC[..1] && !ended {
                        self.take(skip);
                        return Ok(Made::NeedsInput);
                    } else {
                        return Err(ObjectError::TrailingGarbage { at: self.bytes_in + skip as u64, level: number });
                    }
                    self.take(skip);
                }
                State::Member(inflate) => {
                    out.reserve(CHUNK_BYTES);
                    let before = (inflate.total_in(), inflate.total_out());
                    let status = inflate
                        .decompress_vec(held, out, FlushDecompress::None)
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
                        return Ok(Made::Bytes);
                    }
                    if !at_end && (taken == 0 || self.used == self.input.len()) {
                        return Ok(Made::NeedsInput);
                    }
                }
            }
        }
    }
}

fn member() -> State {
    State::Member(Box::new(Decompress::new_gzip(WINDOW_BITS)))
}
