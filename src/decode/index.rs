//! Byte strings to numbers. Goes in: a string; comes out: the number it was given when first met. The bytes of all strings
//! lie in one piece, so that remembering one more asks for no memory of its own, and those met lately are found without
//! hashing: nearly all values of a log are among a few.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Strings found without hashing: a power of two.
const RECENT: usize = 64;
/// No entry.
const NONE: u32 = u32::MAX;

/// Strings and their numbers.
pub(super) struct Index {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// By [`place`], the entry met last.
    recent: [u32; RECENT],
}

#[derive(Clone, Copy)]
struct Entry {
    from: usize,
    to: usize,
    number: u32,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            entries: Vec::new(),
            table: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            recent: [NONE; RECENT],
        }
    }
}

/// Where a string is looked for first. Its length and three of its bytes tell most apart; which they do not costs a hash.
fn place(string: &[u8]) -> usize {
    let sample = |at: usize| string.get(at).map_or(0, |byte| usize::from(*byte));
    let (length, last) = (string.len(), string.len().wrapping_sub(1));
    (length ^ sample(0).wrapping_mul(5) ^ sample(length / 2).wrapping_mul(11) ^ sample(last).wrapping_mul(3)) % RECENT
}

impl Index {
    /// The number of a string, where it has one.
    pub(super) fn get(&mut self, string: &[u8]) -> Option<u32> {
        let place = place(string);
        let recent = self.recent[place];
        if let Some(entry) = self.entries.get(recent as usize)
            && self.bytes[entry.from..entry.to] == *string
        {
            return Some(entry.number);
        }
        let Self { bytes, entries, table, hasher, .. } = self;
        let is_it = |at: &u32| {
            let entry = &entries[*at as usize];
            bytes[entry.from..entry.to] == *string
        };
        let at = *table.find(hasher.hash_one(string), is_it)?;
        self.recent[place] = at;
        Some(self.entries[at as usize].number)
    }

    /// Gives a string that has none a number.
    pub(super) fn insert(&mut self, string: &[u8], number: u32) {
        let at = self.entries.len() as u32;
        let from = self.bytes.len();
        self.bytes.extend_from_slice(string);
        self.entries.push(Entry { from, to: self.bytes.len(), number });
        self.recent[place(string)] = at;
        let Self { bytes, entries, table, hasher, .. } = self;
        let hash = |at: &u32| {
            let entry = &entries[*at as usize];
            hasher.hash_one(&bytes[entry.from..entry.to])
        };
        table.insert_unique(hasher.hash_one(string), at, hash);
    }

    /// The string that came so-many-th, counted from 0.
    pub(super) fn nth(&self, at: u32) -> &[u8] {
        let entry = &self.entries[at as usize];
        &self.bytes[entry.from..entry.to]
    }

    /// How many strings there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets all, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.table.clear();
        self.recent = [NONE; RECENT];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_keeps_its_number() {
        let mut index = Index::default();
        let texts: Vec<String> = (0..5_000).map(|number| format!("{number}{}", "x".repeat(number % 40))).collect();
        for _ in 0..2 {
            for (number, text) in (0..).zip(&texts) {
                assert_eq!(index.get(text.as_bytes()), None, "{text}");
                index.insert(text.as_bytes(), 3 * number);
            }
            // The places of the first have been taken by others.
            for (number, text) in (0..).zip(&texts).chain((0..).zip(&texts).take(RECENT)) {
                assert_eq!(index.get(text.as_bytes()), Some(3 * number), "{text}");
                assert_eq!(index.nth(number), text.as_bytes());
            }
            assert_eq!(index.len(), texts.len());
            index.clear();
        }
    }

    #[test]
    fn strings_alike_at_the_bytes_looked_at_are_told_apart() {
        let mut index = Index::default();
        for (number, text) in (0..).zip(["", "a", "aba", "aca", "abcba", "adcda", "aecea"]) {
            assert_eq!(index.get(text.as_bytes()), None, "{text}");
            index.insert(text.as_bytes(), number);
        }
        for (number, text) in (0..).zip(["", "a", "aba", "aca", "abcba", "adcda", "aecea"]) {
            assert_eq!(index.get(text.as_bytes()), Some(number), "{text}");
        }
    }
}
