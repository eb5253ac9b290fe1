//! Ways in which objects are packed besides gzip, told by their first bytes, never by a name: zlib, zip, the two framings
//! of Snappy, Hadoop's blocks of Snappy, zstd. Packed bytes go in as they come, plain bytes come out piece by piece, so
//! that memory is bounded: by 64 KiB for the streams, by a block of at most 16 MiB for Snappy, by a window of 32 MiB for
//! zstd. Refused: damage, and what a streaming reader cannot read.

mod snappy;
mod zip;
mod zstandard;

use flate2::Decompress;

use super::gunzip::Chunk;

/// How bytes are packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Packing {
    Gzip,
    Zlib,
    Zip,
    /// The framing format: chunks with checksums.
    Snappy,
    /// Blocks as snappy-java writes them.
    SnappyJava,
    /// Blocks as Hadoop writes them.
    SnappyHadoop,
    Zstd,
}

impl Packing {
    /// What people call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
            Self::Zip => "zip",
            Self::Snappy => "Snappy (framed)",
            Self::SnappyJava => "Snappy (Java)",
            Self::SnappyHadoop => "Snappy (Hadoop)",
            Self::Zstd => "zstd",
        }
    }
}

/// What the first bytes say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sniffed {
    Packed(Packing),
    Plain,
    /// More bytes are needed to tell.
    NeedsMore,
}

const MAGICS: [(&[u8], Packing); 6] = [
    (&[0x1f, 0x8b], Packing::Gzip),
    (b"PK\x03\x04", Packing::Zip),
    (b"PK\x05\x06", Packing::Zip),
    (b"\xff\x06\x00\x00sNaPpY", Packing::Snappy),
    (b"\x82SNAPPY\x00", Packing::SnappyJava),
    (&[0x28, 0xb5, 0x2f, 0xfd], Packing::Zstd),
];

/// Tells how bytes are packed. `ended`: there are no more.
pub(super) fn sniff(held: &[u8], ended: bool) -> Sniffed {
    let mut needs_more = held.is_empty();
    for (magic, packing) in MAGICS {
        match begins(held, magic) {
            Some(true) => return Sniffed::Packed(packing),
            Some(false) => {}
            None => needs_more = true,
        }
    }
    for guess in [zlib(held), skippable(held), snappy::is_hadoop(held)] {
        match guess {
            Some(None) => {}
            Some(Some(packing)) => return Sniffed::Packed(packing),
            None => needs_more = true,
        }
    }
    if needs_more && !ended { Sniffed::NeedsMore } else { Sniffed::Plain }
}

/// Whether it begins so; none: too short to say.
fn begins(held: &[u8], magic: &[u8]) -> Option<bool> {
    match held.get(..magic.len()) {
        Some(start) => Some(start == magic),
        None if magic.starts_with(held) => None,
        None => Some(false),
    }
}

/// A guess is none where more bytes are needed.
type Guess = Option<Option<Packing>>;

/// A zlib header has two bytes only: a text that begins with `x^` is told apart by the third.
fn zlib(held: &[u8]) -> Guess {
    match held {
        [0x78] => None,
        [0x78, 0x01 | 0x9c | 0xda, ..] => Some(Some(Packing::Zlib)),
        [0x78, 0x5e] => None,
        [0x78, 0x5e, third, ..] if !matches!(third, b'\t'..=b'\r' | 0x20..=0x7e) => Some(Some(Packing::Zlib)),
        _ => Some(None),
    }
}

/// A zstd stream may begin with frames to be passed over.
fn skippable(held: &[u8]) -> Guess {
    let is_first = held.first().is_some_and(|first| first & 0xf0 == 0x50);
    match is_first.then(|| begins(&held[1..], b"\x2a\x4d\x18")) {
        Some(Some(true)) => Some(Some(Packing::Zstd)),
        Some(None) => None,
        _ => Some(None),
    }
}

/// Unpacks a stream of one packing.
pub(super) enum Unpacker {
    Zip(zip::Zip),
    Framed(snappy::Framed),
    Blocks(snappy::Blocks),
    Zstd(zstandard::Zstd),
}

/// What a step did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Step {
    /// Packed bytes used up.
    pub(super) taken: usize,
    /// Plain bytes made.
    pub(super) made: usize,
    pub(super) then: Then,
}

/// What comes after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    Goes,
    NeedsInput,
    /// The stream is complete.
    Ends,
}

/// Why no step could be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Damage {
    Corrupt,
    /// In order, but beyond what is read.
    Unsupported(&'static str),
}

/// What begins a stream of a packing.
pub(super) enum Begun {
    /// By flate2, which also reads gzip in steps.
    Zlib(Decompress),
    Other(Box<Unpacker>),
}

impl Unpacker {
    /// Ready for a stream of that packing; none for gzip, which is read elsewhere.
    pub(super) fn of(packing: Packing) -> Option<Begun> {
        let other = match packing {
            Packing::Gzip => return None,
            Packing::Zlib => return Some(Begun::Zlib(Decompress::new(true))),
            Packing::Zip => Self::Zip(zip::Zip::new()),
            Packing::Snappy => Self::Framed(snappy::Framed::new()),
            Packing::SnappyJava => Self::Blocks(snappy::Blocks::java()),
            Packing::SnappyHadoop => Self::Blocks(snappy::Blocks::hadoop()),
            Packing::Zstd => Self::Zstd(zstandard::Zstd::new()),
        };
        Some(Begun::Other(Box::new(other)))
    }

    /// Unpacks some of `held` into `out`.
    pub(super) fn step(&mut self, held: &[u8], out: &mut Chunk) -> Result<Step, Damage> {
        match self {
            Self::Zip(zip) => zip.step(held, out),
            Self::Framed(framed) => framed.step(held, out),
            Self::Blocks(blocks) => blocks.step(held, out),
            Self::Zstd(zstd) => zstd.step(held, out),
        }
    }

    /// Whether the stream may end where it stands, as those do that do not say how long they are.
    pub(super) fn may_end(&self) -> bool {
        match self {
            Self::Zip(_) | Self::Zstd(_) => false,
            Self::Framed(_) => true,
            Self::Blocks(blocks) => blocks.may_end(),
        }
    }
}

impl Step {
    const NEEDS_INPUT: Self = Self { taken: 0, made: 0, then: Then::NeedsInput };

    const fn goes(taken: usize, made: usize) -> Self {
        Self { taken, made, then: Then::Goes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_plain_and_short_starts_wait() {
        for text in
            ["{\"a\":1}", "203.0.113.9 - -", "1764000000.123\t", "PKZIP is no zip", "x^2 is text", "(a)", "Zstd", "xyz"]
        {
            assert_eq!(sniff(text.as_bytes(), false), Sniffed::Plain, "{text}");
        }
        assert_eq!(sniff(b"", true), Sniffed::Plain);
        for (start, packing) in [
            (&b"\x1f\x8b"[..], Packing::Gzip),
            (b"\x78\x9c", Packing::Zlib),
            (b"\x78\x5e\x8b", Packing::Zlib),
            (b"PK\x03\x04", Packing::Zip),
            (b"\xff\x06\x00\x00sNaPpY", Packing::Snappy),
            (b"\x82SNAPPY\x00", Packing::SnappyJava),
            (b"\x00\x00\x00\x05\x00\x00\x00\x07\x05\x10abc", Packing::SnappyHadoop),
            (&[0x28, 0xb5, 0x2f, 0xfd], Packing::Zstd),
            (&[0x53, 0x2a, 0x4d, 0x18], Packing::Zstd),
        ] {
            assert_eq!(sniff(start, false), Sniffed::Packed(packing));
            for cut in 0..start.len() {
                if sniff(&start[..cut], false) != Sniffed::Packed(packing) {
                    assert_eq!(sniff(&start[..cut], false), Sniffed::NeedsMore, "{cut} of {start:?}");
                    assert_eq!(sniff(&start[..cut], true), Sniffed::Plain);
                }
            }
        }
    }
}
