//! What a source's settings do on objects: the decoder that `convert` uses, over what was read of them, and nothing
//! written. Comes out: what became of the records, why the others could not be read, and what their ids, keys and times
//! are like.

use arrow::array::{Array as _, AsArray as _, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use hashbrown::{HashMap, HashSet};

use crate::base::Micros;
use crate::decode::{Counts, DecodePlan, Decoder, ObjectError};

use super::Specimen;
use super::opened::Opened;

/// Different ids that are remembered; beyond them repetitions are not counted.
const IDS_MAX: usize = 2_000_000;
/// Kinds of rejects told apart.
const REASONS_MAX: usize = 50;

/// What became of the records of some objects.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    /// Records, events, rejects, control messages.
    pub counts: Counts,
    /// Why records could not be read, the most frequent reason first.
    pub rejects: Vec<Rejected>,
    /// Records that are there already, byte for byte, under the same id.
    pub duplicates: u64,
    /// Records with the id of another one, but not its bytes.
    pub conflicts: u64,
    /// Events that carry a key.
    pub with_key: u64,
    /// Events whose header list was cut before a key was seen.
    pub key_truncated: u64,
    /// Different keys.
    pub keys: u64,
    /// The first event's time.
    pub first: Option<Micros>,
    /// The last event's time.
    pub last: Option<Micros>,
    /// Events that stand behind a later one in their object.
    pub disordered: u64,
    /// How far the farthest of these is behind, in microseconds.
    pub disorder_max: i64,
    /// Events that are later than the arrival of their object.
    pub after_arrival: u64,
    /// By how much at most, in microseconds.
    pub after_arrival_max: i64,
    /// By how much events are earlier than the arrival of their object at most, in microseconds.
    pub before_arrival_max: i64,
    /// How far apart the events of one object are at most, in microseconds, and which object it is.
    pub apart_max: Option<(i64, String)>,
    /// Objects that cannot be read whole, and why.
    pub unread: Vec<(String, ObjectError)>,
}

/// Records that could not be read for one reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejected {
    /// One word.
    pub reason: String,
    /// What was wrong with the first of them; no log text.
    pub detail: String,
    /// How many.
    pub records: u64,
    /// The object of the first.
    pub object: String,
    /// Its place there, from 0.
    pub position: i64,
}

/// Ids and keys seen so far.
#[derive(Default)]
struct Memory {
    /// The fingerprint of the first record with the id.
    ids: HashMap<String, i64>,
    keys: HashSet<String>,
}

impl Tally {
    /// Decodes what was read of the objects.
    pub fn of<'s>(plan: &DecodePlan, specimens: impl IntoIterator<Item = &'s Specimen>) -> Self {
        let mut tally = Self::default();
        let mut memory = Memory::default();
        for specimen in specimens {
            tally.add(plan, specimen, &mut memory);
        }
        tally.keys = memory.keys.len() as u64;
        tally.rejects.sort_by_key(|rejected| std::cmp::Reverse(rejected.records));
        tally
    }

    fn add(&mut self, plan: &DecodePlan, specimen: &Specimen, memory: &mut Memory) {
        let opened = Opened::new(specimen);
        if let Some(problem) = opened.problem {
            self.unread.push((specimen.name.clone(), problem));
        }
        // Where nobody knows when it arrived, the latest settings hold.
        let arrived = specimen.arrived_at.unwrap_or(Micros(i64::MAX));
        let mut decoder = Decoder::new(plan, &specimen.name, arrived);
        let mut object = OfObject::default();
        let decoded = decoder.push(&opened.plain).and_then(|()| {
            decoder.end();
            self.drain(&mut decoder, specimen, memory, &mut object);
            decoder.finish()
        });
        self.drain(&mut decoder, specimen, memory, &mut object);
        if let Err(error) = decoded {
            self.unread.push((specimen.name.clone(), error));
        }
        let counts = decoder.counts();
        self.counts.records += counts.records;
        self.counts.events += counts.events;
        self.counts.rejects += counts.rejects;
        self.counts.control += counts.control;
        if let (Some(first), Some(last)) = (object.first, object.last) {
            let apart = last.0 - first.0;
            if self.apart_max.as_ref().is_none_or(|(most, _)| apart > *most) {
                self.apart_max = Some((apart, specimen.name.clone()));
            }
            self.first = self.first.into_iter().chain([first]).min();
            self.last = self.last.into_iter().chain([last]).max();
        }
    }

    fn drain(&mut self, decoder: &mut Decoder, specimen: &Specimen, memory: &mut Memory, object: &mut OfObject) {
        while let Some(batch) = decoder.next_events() {
            self.events(&batch, specimen, memory, object);
        }
        while let Some(batch) = decoder.next_rejects() {
            self.rejects(&batch, specimen);
        }
    }

    fn events(&mut self, batch: &RecordBatch, specimen: &Specimen, memory: &mut Memory, object: &mut OfObject) {
        let (ids, keys, states) = (text(batch, "request_id"), text(batch, "key_ref"), text(batch, "key_state"));
        let (Some(ids), Some(keys), Some(states)) = (ids, keys, states) else { return };
        let times = batch.column_by_name("event_time").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
        let prints = batch.column_by_name("fingerprint").and_then(|c| c.as_primitive_opt::<Int64Type>());
        let (Some(times), Some(prints)) = (times, prints) else { return };
        for row in 0..batch.num_rows() {
            match memory.ids.get(ids.value(row)) {
                Some(print) if *print == prints.value(row) => self.duplicates += 1,
                Some(_) => self.conflicts += 1,
                None if memory.ids.len() < IDS_MAX => {
                    memory.ids.insert(ids.value(row).to_owned(), prints.value(row));
                }
                None => {}
            }
            match states.value(row) {
                "present" => self.with_key += 1,
                "truncated" => self.key_truncated += 1,
                _ => {}
            }
            if keys.is_valid(row) && memory.keys.len() < IDS_MAX && !memory.keys.contains(keys.value(row)) {
                memory.keys.insert(keys.value(row).to_owned());
            }
            self.time(Micros(times.value(row)), specimen, object);
        }
    }

    fn time(&mut self, at: Micros, specimen: &Specimen, object: &mut OfObject) {
        if let Some(last) = object.last.filter(|last| at < *last) {
            self.disordered += 1;
            self.disorder_max = self.disorder_max.max(last.0 - at.0);
        }
        object.first = object.first.into_iter().chain([at]).min();
        object.last = object.last.into_iter().chain([at]).max();
        if let Some(arrived) = specimen.arrived_at {
            self.after_arrival += u64::from(at > arrived);
            self.after_arrival_max = self.after_arrival_max.max(at.0 - arrived.0);
            self.before_arrival_max = self.before_arrival_max.max(arrived.0 - at.0);
        }
    }

    fn rejects(&mut self, batch: &RecordBatch, specimen: &Specimen) {
        let (Some(reasons), Some(details)) = (text(batch, "reason"), text(batch, "detail")) else { return };
        let positions = batch.column_by_name("source_position").and_then(|c| c.as_primitive_opt::<Int64Type>());
        for row in 0..batch.num_rows() {
            let reason = reasons.value(row);
            if let Some(known) = self.rejects.iter_mut().find(|known| known.reason == reason) {
                known.records += 1;
            } else if self.rejects.len() < REASONS_MAX {
                self.rejects.push(Rejected {
                    reason: reason.to_owned(),
                    detail: details.value(row).to_owned(),
                    records: 1,
                    object: specimen.name.clone(),
                    position: positions.map_or(0, |positions| positions.value(row)),
                });
            }
        }
    }
}

/// The times of one object so far.
#[derive(Default)]
struct OfObject {
    first: Option<Micros>,
    last: Option<Micros>,
}

fn text(batch: &RecordBatch, name: &str) -> Option<StringArray> {
    let column = cast(batch.column_by_name(name)?, &DataType::Utf8).ok()?;
    column.as_string_opt::<i32>().cloned()
}
