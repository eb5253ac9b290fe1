//! First pass of the union: who is who. From the identity columns of every input row it is decided which rows stay, which
//! are duplicates, and which are conflicts. Nothing but these columns is read, and 48 bytes are kept per row.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use arrow::array::{Array, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::{Int16Type, Int64Type, UInt32Type};
use siphasher::sip128::SipHasher13;

use super::error::LakeError;

/// The columns this pass reads.
pub(crate) const COLUMNS: &[&str] = &["request_id", "fingerprint", "decoder", "source_object", "source_position"];

/// What becomes of an input row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Verdict {
    /// Belongs to another part or a withdrawn object: as if it were not there.
    Ignored,
    /// Another row has its identity and goes before it.
    Duplicate,
    /// Stays.
    Kept,
    /// Stays, and is held: an event with a lesser fingerprint has its unforgeable id.
    Conflict,
}

/// The rows of one unit, or one part of it.
pub(crate) struct Identities {
    key: [u8; 16],
    part: u32,
    /// `split - 1`, the bits that choose the part.
    part_mask: u64,
    objects: Objects,
    rows: Vec<Identity>,
    /// Input rows seen so far, ignored ones included.
    seen: u64,
    ignored: u64,
}

/// One row. The order is that of precedence: of equal `id` and `fingerprint` the first stays.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    /// Keyed hash of the request id; [`NO_ID`] where it is NULL.
    id: u128,
    fingerprint: i64,
    decoder: Reverse<i16>,
    object: u32,
    position: i64,
    /// Which input row this is.
    row: u64,
}

const NO_ID: u128 = 0;

/// What the pass found.
pub(crate) struct Verdicts {
    /// Per input row, in the order of the inputs.
    pub(crate) rows: Vec<Verdict>,
    pub(crate) taken: u64,
    pub(crate) duplicates: u64,
    pub(crate) conflicts: u64,
}

/// Numbers for names, given in the order names are met.
#[derive(Default)]
struct Objects {
    numbers: HashMap<String, u32>,
}

impl Identities {
    /// No rows yet. `key` is secret, so that nobody can choose request ids that collide.
    pub(crate) fn new(key: [u8; 16], part: u32, split: u32) -> Self {
        let part_mask = u64::from(split.max(1)) - 1;
        Self { key, part, part_mask, objects: Objects::default(), rows: Vec::new(), seen: 0, ignored: 0 }
    }

    /// Adds a batch of [`COLUMNS`]; rows of other parts are ignored.
    pub(crate) fn add(&mut self, batch: &RecordBatch, of: &str) -> Result<(), LakeError> {
        let wrong = || LakeError::corrupt(of, "its identity columns are not what they should be");
        let column = |name: &str| batch.column_by_name(name).ok_or_else(wrong);
        let ids = column("request_id")?.as_string_view_opt().ok_or_else(wrong)?;
        let fingerprints = column("fingerprint")?.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
        let decoders = column("decoder")?.as_primitive_opt::<Int16Type>().ok_or_else(wrong)?;
        let objects = column("source_object")?.as_dictionary_opt::<UInt32Type>().ok_or_else(wrong)?;
        let names = objects.values().as_string_opt::<i32>().ok_or_else(wrong)?;
        let objects = objects.keys();
        let positions = column("source_position")?.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
        let columns: [&dyn Array; 5] = [fingerprints, decoders, names, objects, positions];
        if columns.iter().any(|column| column.null_count() > 0) {
            return Err(LakeError::corrupt(of, "an event lacks its fingerprint or where it came from"));
        }
        let numbers: Vec<u32> = names.iter().flatten().map(|name| self.objects.number(name)).collect();
        for row in 0..batch.num_rows() {
            let fingerprint = fingerprints.value(row);
            let id = self.id(ids, row);
            // Records of one request id stay together in one part, or a conflict between them would go unseen.
            let bits = if id == NO_ID { fingerprint as u64 } else { id as u64 };
            if bits & self.part_mask != u64::from(self.part) {
                self.ignored += 1;
            } else {
                self.rows.push(Identity {
                    id,
                    fingerprint,
                    decoder: Reverse(decoders.value(row)),
                    object: numbers[objects.value(row) as usize],
                    position: positions.value(row),
                    row: self.seen,
                });
            }
            self.seen += 1;
        }
        Ok(())
    }

    /// Rows of other parts so far.
    pub(crate) fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Takes back the rows added so far that came from these objects, and tells how many.
    pub(crate) fn withdraw(&mut self, drop: &HashSet<String>) -> u64 {
        let dropped: HashSet<u32> = drop.iter().filter_map(|name| self.objects.numbers.get(name).copied()).collect();
        let before = self.rows.len();
        if !dropped.is_empty() {
            self.rows.retain(|row| !dropped.contains(&row.object));
        }
        (before - self.rows.len()) as u64
    }

    fn id(&self, ids: &StringViewArray, row: usize) -> u128 {
        if ids.is_null(row) {
            return NO_ID;
        }
        SipHasher13::new_with_key(&self.key).hash(ids.value(row).as_bytes()).as_u128()
    }

    /// Decides. With `unforgeable` ids, several fingerprints under one id are one event and its conflicts.
    pub(crate) fn decide(mut self, unforgeable: bool) -> Verdicts {
        let ranks = self.objects.ranks();
        for row in &mut self.rows {
            row.object = ranks.get(row.object as usize).copied().unwrap_or(u32::MAX);
        }
        self.rows.sort_unstable();
        let mut verdicts = vec![Verdict::Ignored; usize::try_from(self.seen).unwrap_or(usize::MAX)];
        let (mut duplicates, mut conflicts) = (0, 0);
        let mut before: Option<&Identity> = None;
        for row in &self.rows {
            let same_id = before.is_some_and(|before| before.id == row.id);
            let verdict = if same_id && before.is_some_and(|before| before.fingerprint == row.fingerprint) {
                duplicates += 1;
                Verdict::Duplicate
            } else if same_id && unforgeable && row.id != NO_ID {
                conflicts += 1;
                Verdict::Conflict
            } else {
                Verdict::Kept
            };
            verdicts[row.row as usize] = verdict;
            before = Some(row);
        }
        Verdicts { rows: verdicts, taken: self.rows.len() as u64, duplicates, conflicts }
    }
}

impl Objects {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// Per number, the place of its name among all names.
    fn ranks(&self) -> Vec<u32> {
        let mut names: Vec<(&String, u32)> = self.numbers.iter().map(|(name, number)| (name, *number)).collect();
        names.sort_unstable();
        let mut ranks = vec![0; names.len()];
        for (rank, (_, number)) in (0u32..).zip(names) {
            ranks[number as usize] = rank;
        }
        ranks
    }
}
