//! Reads an object as a conversion does, whole and in chunks, and holds what comes of it to what must hold for every object.

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::base::Micros;
use crate::decode::{Counts, DecodePlan, Decoder, ObjectError, REJECT_SCHEMA, Space};
use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType, UInt32Type};

/// Records whose texts are asked for, as `trace` asks.
const WANTED: i64 = 64;
/// An object comes in so many chunks at most.
const CHUNKS_MAX: usize = 4096;

/// All that came of an object.
#[derive(PartialEq, Debug)]
pub(crate) struct Read {
    pub(crate) events: Vec<RecordBatch>,
    pub(crate) rejects: Vec<RecordBatch>,
    pub(crate) counts: Counts,
    texts: BTreeMap<i64, String>,
}

thread_local! {
    static SPACE: Cell<Space> = Cell::default();
}

pub(crate) fn arrived() -> Micros {
    "2026-01-01T00:00:00Z".parse().expect("a time")
}

/// Reads an object that comes in chunks of that size.
pub(crate) fn read_by(plan: &DecodePlan, object: &[u8], size: usize) -> Result<Read, ObjectError> {
    let mut decoder = Decoder::with_space(plan, "2025/11/24/object", arrived(), SPACE.take());
    let read = decode(&mut decoder, object, size);
    SPACE.set(decoder.into_space());
    read
}

fn decode(decoder: &mut Decoder, object: &[u8], size: usize) -> Result<Read, ObjectError> {
    decoder.want_texts_of(0..WANTED);
    let (mut events, mut rejects) = (Vec::new(), Vec::new());
    let mut take = |decoder: &mut Decoder| {
        events.extend(std::iter::from_fn(|| decoder.next_events()));
        rejects.extend(std::iter::from_fn(|| decoder.next_rejects()));
    };
    for chunk in object.chunks(size.max(object.len() / CHUNKS_MAX).max(1)) {
        decoder.push(chunk)?;
        take(decoder);
    }
    decoder.end();
    take(decoder);
    decoder.finish()?;
    take(decoder);
    let (counts, texts) = (decoder.counts(), decoder.texts().clone());
    Ok(Read { events, rejects, counts, texts })
}

/// Reads an object whole and in chunks: the same must come of it, and be in order.
pub(crate) fn check(plan: &DecodePlan, object: &[u8], chunk: usize) -> Option<Read> {
    let whole = read_by(plan, object, object.len());
    let chunked = read_by(plan, object, [1, 7, 64, 1000, 4096][chunk % 5]);
    match (whole, chunked) {
        (Ok(whole), Ok(chunked)) => {
            whole.check(plan);
            assert_eq!(whole, chunked, "chunks do not matter");
            Some(whole)
        }
        (Err(error), Err(_)) => {
            assert!(!error.to_string().is_empty());
            None
        }
        (whole, chunked) => panic!("whole: {whole:?}\nin chunks: {chunked:?}"),
    }
}

impl Read {
    fn check(&self, plan: &DecodePlan) {
        let Counts { records, events, rejects, control } = self.counts;
        let rows = |batches: &[RecordBatch]| batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
        assert_eq!(records, events + rejects + control, "nothing is lost");
        assert_eq!((events, rejects), (rows(&self.events), rows(&self.rejects)), "what is counted comes out");
        for batch in &self.events {
            assert_eq!(batch.schema(), plan.table().row_schema());
        }
        for batch in &self.rejects {
            assert_eq!(batch.schema(), *REJECT_SCHEMA);
        }
        let of_events = positions(&self.events);
        let of_rejects = positions(&self.rejects);
        for positions in [&of_events, &of_rejects] {
            assert!(positions.is_sorted_by(|a, b| a < b), "records come in their order");
            assert!(positions.iter().all(|at| (0..records as i64).contains(at)), "positions count records");
        }
        assert!(of_rejects.iter().all(|at| of_events.binary_search(at).is_err()), "a record becomes one thing");
        for batch in &self.events {
            check_events(batch);
        }
        self.each_text(&mut |text| assert!(!text.chars().any(|c| c.is_ascii_control()), "{text:?}"));
    }

    /// Nothing that came out holds the key.
    pub(crate) fn assert_hides(&self, key: &str) {
        let finder = memchr::memmem::Finder::new(key);
        let mut look = |text: &str| assert!(finder.find(text.as_bytes()).is_none(), "the key comes out: {text:?}");
        self.each_text(&mut look);
        self.texts.values().for_each(|text| look(text));
    }

    /// The texts of a column of all events, none for null.
    pub(crate) fn column(&self, name: &str) -> Vec<Option<String>> {
        let columns = self.events.iter().filter_map(|batch| batch.column_by_name(name));
        columns.flat_map(|column| (0..column.len()).map(|row| text(column, row).map(str::to_owned))).collect()
    }

    fn each_text(&self, on: &mut impl FnMut(&str)) {
        for batch in self.events.iter().chain(&self.rejects) {
            for column in batch.columns() {
                if matches!(column.data_type(), DataType::Utf8View | DataType::Dictionary(..)) {
                    (0..column.len()).filter_map(|row| text(column, row)).for_each(&mut *on);
                }
            }
        }
    }
}

fn text(column: &ArrayRef, row: usize) -> Option<&str> {
    if column.is_null(row) {
        return None;
    }
    match column.as_dictionary_opt::<UInt32Type>() {
        Some(numbers) => Some(numbers.values().as_string::<i32>().value(numbers.keys().value(row) as usize)),
        None => Some(column.as_string_view().value(row)),
    }
}

fn positions(batches: &[RecordBatch]) -> Vec<i64> {
    let columns = batches.iter().map(|batch| batch.column_by_name("source_position").expect("every row has one"));
    columns.flat_map(|column| column.as_primitive::<Int64Type>().values().to_vec()).collect()
}

fn check_events(batch: &RecordBatch) {
    let column = |name: &str| batch.column_by_name(name).expect("a column of both tables");
    let (first, end) = ("2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
    let [first, end] = [first, end].map(|text| text.parse::<Micros>().expect("a time").0);
    let times = column("event_time").as_primitive::<TimestampMicrosecondType>();
    assert!(times.values().iter().all(|at| (first..end).contains(at)), "times are believable");
    let (keys, states, ids) = (column("key_ref"), column("key_state"), column("request_id"));
    for row in 0..batch.num_rows() {
        let present = match text(states, row) {
            Some("present") => true,
            Some("absent" | "truncated") => false,
            state => panic!("key_state {state:?}"),
        };
        assert_eq!(text(keys, row).is_some(), present, "a key is there where it says so");
        assert!(text(ids, row).is_some_and(|id| !id.is_empty()), "every event has an id");
    }
}
