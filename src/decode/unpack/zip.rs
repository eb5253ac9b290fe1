//! A zip archive, read from front to back as it comes: the contents of its entries, one after another. Each is checked
//! against its CRC-32, and the directory at the end against the number of entries, so that none is missing. Refused:
//! encryption, methods other than stored and deflated, and stored entries that do not say how long they are.

use flate2::{Decompress, FlushDecompress, Status};
use libdeflater::Crc;

use super::{Chunk, Damage, Step, Then};

const CHUNK_BYTES: usize = 64 << 10;
const LOCAL: &[u8; 4] = b"PK\x03\x04";
const DIRECTORY: &[u8; 4] = b"PK\x01\x02";
const WIDE_END: &[u8; 4] = b"PK\x06\x06";
const WIDE_LOCATOR: &[u8; 4] = b"PK\x06\x07";
const END: &[u8; 4] = b"PK\x05\x06";
const DESCRIPTOR: &[u8; 4] = b"PK\x07\x08";
/// Sizes are in an extra field of this kind, and in the descriptor have eight bytes each.
const WIDE_EXTRA: u16 = 1;
/// A field that only says "in the extra field".
const WIDE: u32 = u32::MAX;
/// Bytes of the record of large archives at the end, at most; it has 56.
const WIDE_END_MAX: u64 = 1 << 16;

/// Reads one archive.
pub(in super::super) struct Zip {
    at: At,
    inflate: Decompress,
    crc: Crc,
    entries: u64,
    listed: u64,
}

#[derive(Clone, Copy)]
enum At {
    /// Before the header of an entry or a record of the directory.
    Header,
    Stored {
        left: u64,
        entry: Entry,
    },
    Deflated(Entry),
    /// Before the descriptor behind an entry.
    Descriptor {
        wide: bool,
    },
    /// Within what is passed over; `last`: it ends the archive.
    Passing {
        left: u64,
        last: bool,
    },
}

/// What the header says about an entry.
#[derive(Clone, Copy)]
struct Entry {
    crc: u32,
    /// The CRC is told behind the entry instead.
    described: bool,
    wide: bool,
}

impl Zip {
    pub(super) fn new() -> Self {
        Self { at: At::Header, inflate: Decompress::new(false), crc: Crc::new(), entries: 0, listed: 0 }
    }

    pub(super) fn step(&mut self, held: &[u8], out: &mut Chunk) -> Result<Step, Damage> {
        match self.at {
            At::Header => self.header(held),
            At::Stored { left, entry } => {
                let count = held.len().min(CHUNK_BYTES).min(usize::try_from(left).unwrap_or(usize::MAX));
                if left == 0 {
                    self.entry_ends(entry)?;
                } else if count == 0 {
                    return Ok(Step::NEEDS_INPUT);
                }
                self.crc.update(&held[..count]);
                out.space(count)[..count].copy_from_slice(&held[..count]);
                if left > 0 {
                    self.at = At::Stored { left: left - count as u64, entry };
                }
                Ok(Step::goes(count, count))
            }
            At::Deflated(entry) => {
                let before = (self.inflate.total_in(), self.inflate.total_out());
                let space = &mut out.space(CHUNK_BYTES)[..CHUNK_BYTES];
                let status =
                    self.inflate.decompress(held, space, FlushDecompress::None).map_err(|_| Damage::Corrupt)?;
                let taken = (self.inflate.total_in() - before.0) as usize;
                let made = (self.inflate.total_out() - before.1) as usize;
                self.crc.update(&space[..made]);
                if status == Status::StreamEnd {
                    self.entry_ends(entry)?;
                } else if taken == 0 && made == 0 {
                    return Ok(Step::NEEDS_INPUT);
                }
                Ok(Step::goes(taken, made))
            }
            At::Descriptor { wide } => self.descriptor(held, wide),
            At::Passing { left, last } => {
                let count = held.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - count as u64;
                self.at = if left == 0 && !last { At::Header } else { At::Passing { left, last } };
                let then = match left {
                    0 if last => Then::Ends,
                    0 => Then::Goes,
                    _ => Then::NeedsInput,
                };
                Ok(Step { taken: count, made: 0, then })
            }
        }
    }

    fn header(&mut self, held: &[u8]) -> Result<Step, Damage> {
        let Some(sign) = held.first_chunk::<4>() else { return Ok(Step::NEEDS_INPUT) };
        let passing = |length: u64, last| Ok((At::Passing { left: length, last }, 0));
        let read = match sign {
            LOCAL if self.listed == 0 => self.local(held),
            DIRECTORY => fields(held, 46).map(|held| {
                self.listed += 1;
                let lengths = [28, 30, 32].map(|at| u64::from(u16_at(held, at)));
                passing(46 + lengths.iter().sum::<u64>(), false)
            }),
            WIDE_END => fields(held, 12).map(|held| {
                let length = u64_at(held, 4);
                if length > WIDE_END_MAX { Err(Damage::Corrupt) } else { passing(12 + length, false) }
            }),
            WIDE_LOCATOR => Some(passing(20, false)),
            END => fields(held, 22).map(|held| {
                if self.listed != self.entries {
                    return Err(Damage::Corrupt);
                }
                passing(22 + u64::from(u16_at(held, 20)), true)
            }),
            _ => return Err(Damage::Corrupt),
        };
        let Some(read) = read else { return Ok(Step::NEEDS_INPUT) };
        let (at, taken) = read?;
        self.at = at;
        Ok(Step::goes(taken, 0))
    }

    /// The header of an entry; none: not all of it is there.
    fn local(&mut self, held: &[u8]) -> Option<Result<(At, usize), Damage>> {
        let fixed = fields(held, 30)?;
        let [flags, method, name, extra] = [6, 8, 26, 28].map(|at| u16_at(fixed, at));
        let length = 30 + usize::from(name) + usize::from(extra);
        let wide = is_wide(&held.get(..length)?[30 + usize::from(name)..]);
        let entry = Entry { crc: u32_at(fixed, 14), described: flags & 8 != 0, wide };
        let packed = u32_at(fixed, 18);
        let at = match method {
            _ if flags & 1 != 0 => Err(Damage::Unsupported("an encrypted zip archive")),
            0 if entry.described || packed == WIDE => {
                Err(Damage::Unsupported("a zip entry that is stored without its length"))
            }
            0 => Ok(At::Stored { left: u64::from(packed), entry }),
            8 => Ok(At::Deflated(entry)),
            _ => Err(Damage::Unsupported("a zip entry that is neither stored nor deflated")),
        };
        self.entries += 1;
        self.inflate.reset(false);
        self.crc = Crc::new();
        Some(at.map(|at| (at, length)))
    }

    fn entry_ends(&mut self, entry: Entry) -> Result<(), Damage> {
        if !entry.described && entry.crc != self.crc.sum() {
            return Err(Damage::Corrupt);
        }
        self.at = if entry.described { At::Descriptor { wide: entry.wide } } else { At::Header };
        Ok(())
    }

    /// The CRC and two sizes, mostly with a sign before them.
    fn descriptor(&mut self, held: &[u8], wide: bool) -> Result<Step, Damage> {
        let sizes = if wide { 16 } else { 8 };
        let Some(sign) = held.first_chunk::<4>() else { return Ok(Step::NEEDS_INPUT) };
        let start = if sign == DESCRIPTOR { 4 } else { 0 };
        let Some(held) = fields(held, start + 4 + sizes) else { return Ok(Step::NEEDS_INPUT) };
        if u32_at(held, start) != self.crc.sum() {
            return Err(Damage::Corrupt);
        }
        self.at = At::Header;
        Ok(Step::goes(held.len(), 0))
    }
}

fn fields(held: &[u8], length: usize) -> Option<&[u8]> {
    held.get(..length)
}

/// Whether an entry's extra fields hold its sizes.
fn is_wide(mut extra: &[u8]) -> bool {
    while extra.len() >= 4 {
        if u16_at(extra, 0) == WIDE_EXTRA {
            return true;
        }
        extra = extra.get(4 + usize::from(u16_at(extra, 2))..).unwrap_or_default();
    }
    false
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
