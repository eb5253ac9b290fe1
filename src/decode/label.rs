//! A text column in which values repeat, as numbers into a list of its distinct values. What a value of the log becomes
//! (percent-decoded, free of control characters, valid UTF-8) is worked out when it is first met; after that a row costs
//! finding it again. The list starts anew with each batch, which bounds what a caller who makes values up can cost.

use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, StringBuilder, UInt32Array};
use arrow::buffer::NullBuffer;

use super::index::Index;
use super::redact::Scrub;
use super::text::{as_clean, percent_decode, push_clean};

/// The number of no value.
const NONE: u32 = u32::MAX;

/// Builds such a column.
#[derive(Default)]
pub(super) struct Label {
    numbers: Vec<u32>,
    has_null: bool,
    values: StringBuilder,
    /// Values as they are stored, numbered in their order.
    known: Index,
    /// Values as they are logged, percent-encoded.
    known_raw: Index,
    decoded: Vec<u8>,
    /// Bytes of all values, as often as they are held.
    pub(super) bytes: usize,
}

impl Label {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn null(&mut self) {
        self.has_null = true;
        self.numbers.push(NONE);
    }

    /// Appends text known to be clean.
    pub(super) fn text(&mut self, text: &str) {
        self.clean(Some(text.as_bytes()));
    }

    /// Appends bytes as they are, but for control characters and invalid UTF-8.
    pub(super) fn clean(&mut self, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else { return self.null() };
        let number = self.number(bytes);
        self.numbers.push(number);
    }

    /// Appends a field of a CloudFront log, percent-decoded once.
    pub(super) fn decoded(&mut self, raw: Option<&[u8]>) {
        let Some(raw) = raw else { return self.null() };
        let number = self.number_of_raw(raw);
        self.numbers.push(number);
    }

    /// The same with a key, should it stand in the field, replaced by its reference.
    pub(super) fn private(&mut self, raw: Option<&[u8]>, key: Option<&Scrub>) {
        let (Some(raw), Some(key)) = (raw, key) else { return self.decoded(raw) };
        if !key.survives_cleaning() {
            // The key cannot be looked for in what is stored.
            let mut decoded = std::mem::take(&mut self.decoded);
            decoded.clear();
            percent_decode(raw, &mut decoded);
            self.private_bytes(&decoded, Some(key));
            self.decoded = decoded;
            return;
        }
        let mut number = self.number_of_raw(raw);
        if let Some(scrubbed) = key.scrubbed(self.known.nth(number)) {
            number = self.number(&scrubbed);
        }
        self.numbers.push(number);
    }

    /// The same for bytes that are decoded already.
    pub(super) fn private_bytes(&mut self, bytes: &[u8], key: Option<&Scrub>) {
        let scrubbed = key.and_then(|key| key.scrubbed(bytes));
        self.clean(Some(scrubbed.as_deref().unwrap_or(bytes)));
    }

    fn number_of_raw(&mut self, raw: &[u8]) -> u32 {
        if let Some(number) = self.known_raw.get(raw) {
            return number;
        }
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        percent_decode(raw, &mut decoded);
        let number = self.number(&decoded);
        self.decoded = decoded;
        self.known_raw.insert(raw, number);
        self.bytes += raw.len();
        number
    }

    fn number(&mut self, bytes: &[u8]) -> u32 {
        if let Some(number) = self.known.get(bytes) {
            return number;
        }
        let Some(text) = as_clean(bytes) else {
            let mut clean = String::new();
            push_clean(bytes, &mut clean);
            return self.number(clean.as_bytes());
        };
        let number = self.known.len() as u32;
        self.values.append_value(text);
        self.known.insert(bytes, number);
        self.bytes += 2 * bytes.len();
        number
    }

    /// The column; the next begins.
    pub(super) fn finish(&mut self) -> ArrayRef {
        // The next batch is likely as long.
        let room = Vec::with_capacity(self.numbers.len());
        let numbers = std::mem::replace(&mut self.numbers, room);
        let nulls = self.has_null.then(|| NullBuffer::from_iter(numbers.iter().map(|number| *number != NONE)));
        self.known.clear();
        self.known_raw.clear();
        self.has_null = false;
        self.bytes = 0;
        let keys = UInt32Array::new(numbers.into(), nulls);
        Arc::new(DictionaryArray::new(keys, Arc::new(self.values.finish())))
    }
}
