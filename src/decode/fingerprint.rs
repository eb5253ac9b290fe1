//! The fingerprint of a record: SipHash-1-3 of its bytes as the log service wrote them, less trailing white space,
//! under a key made once per lake. A caller who could predict it could make one of two requests look like a repetition.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

/// Hashes records under the lake's key.
#[derive(Clone)]
pub(super) struct Fingerprints(SipHasher13);

impl Fingerprints {
    pub(super) fn new(key: &[u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(key))
    }

    /// The fingerprint of one record.
    pub(super) fn of(&self, record: &[u8]) -> i64 {
        let mut hasher = self.0;
        hasher.write(record.trim_ascii_end());
        hasher.finish().cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_on_key_and_bytes_but_not_on_the_line_end() {
        let one = Fingerprints::new(&[1; 16]);
        assert_eq!(one.of(b"a\tb"), one.of(b"a\tb\r\n"));
        assert_ne!(one.of(b"a\tb"), one.of(b"a\tc"));
        assert_ne!(one.of(b"a\tb"), Fingerprints::new(&[2; 16]).of(b"a\tb"));
        // SipHash-1-3 with key 00..0f over the empty message: fixed for ever, since it is stored.
        let reference: [u8; 16] = std::array::from_fn(|i| i as u8);
        assert_eq!(Fingerprints::new(&reference).of(b""), 0xabac_0158_050f_c4dc_u64.cast_signed());
    }
}
