//! Content digests: SHA-256, shown as the first 128 bits in hex. They name objects, files and the inputs of derived tables.
//! Each part is preceded by its length, so that two lists of parts never give one digest by running together.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// The first 128 bits of a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 16]);

/// Builds a [`Digest`] from parts.
#[derive(Clone, Default, Debug)]
pub struct Digester(Sha256);

impl Digest {
    /// The digest of a list of parts.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut digester = Digester::default();
        for part in parts {
            digester.part(part.as_bytes());
        }
        digester.finish()
    }

    /// The first 16 hex digits: enough for a file's name within its unit.
    pub fn short(&self) -> String {
        self.to_string()[..16].to_owned()
    }
}

impl Digester {
    /// Adds one part.
    pub fn part(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// The digest of all parts so far.
    pub fn finish(&self) -> Digest {
        let full = self.0.clone().finalize();
        let mut first = [0; 16];
        first.copy_from_slice(&full[..16]);
        Digest(first)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Text that is not 32 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest of 32 lower-case hex digits")]
pub struct ParseDigestError(String);

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        match u128::from_str_radix(text, 16) {
            Ok(value) if text.len() == 32 && text.bytes().all(is_digit) => Ok(Self(value.to_be_bytes())),
            _ => Err(ParseDigestError(text.to_owned())),
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(Digest::of(["ab", "c"]), Digest::of(["a", "bc"]));
        assert_eq!(Digest::of(["a"]).to_string().len(), 32);
    }

    #[test]
    fn text_round_trips() {
        let digest = Digest::of(["a"]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for text in ["", "00", "+0000000000000000000000000000000", "A0000000000000000000000000000000"] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
