//! One object, from its bytes to batches: [`Decoder`]. Unpacks, frames, reads, and keeps account of every record.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::cloudfront::{EdgeReader, Fault};
use super::columns::{BATCH_ROWS, Origin};
use super::error::{ObjectError, Reject};
use super::gunzip::Gunzip;
use super::lines::{Line, Lines};
use super::plan::{DecodePlan, Plan, Reading};
use super::privacy::KeyHasher;
use super::rejects::Rejects;
use crate::base::{Micros, UtcHour};

/// A batch is also handed over when its records came to so many bytes, so that long ones do not pile up.
const BATCH_BYTES: usize = 64 << 20;
/// More rejects than this in one object, and it is the settings that are wrong.
const REJECTS_MAX: u64 = 1 << 17;

/// What became of an object's records: `records == events + rejects + control`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Records found.
    pub records: u64,
    /// Records that became events.
    pub events: u64,
    /// Records that could not be read.
    pub rejects: u64,
    /// Messages of the log service about itself.
    pub control: u64,
}

/// Reads one object. Push its bytes in any chunks, take batches after each push, call [`Decoder::finish`], take the
/// rest. The rows do not depend on the chunks. Memory is bounded as long as batches are taken: while some wait, pushed
/// bytes are only kept. After an error nothing more comes, and what came before must be dropped.
pub struct Decoder {
    gunzip: Gunzip,
    lines: Lines,
    sink: Sink,
    failed: Option<ObjectError>,
    finished: bool,
}

/// Everything behind the framing.
struct Sink {
    plan: Arc<Plan>,
    reader: Reader,
    hasher: KeyHasher,
    rejects: Rejects,
    reject_batches: VecDeque<RecordBatch>,
    first_reject: Option<Reject>,
    excerpt: String,
    batches: VecDeque<RecordBatch>,
    rows: usize,
    row_bytes: usize,
    counts: Counts,
    hours: BTreeSet<UtcHour>,
    last_hour: Option<UtcHour>,
}

enum Reader {
    Edge(Box<EdgeReader>),
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("counts", &self.sink.counts).field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl Decoder {
    /// Ready for the bytes of the object with that key, which arrived then.
    pub fn new(plan: &DecodePlan, object: &str, arrived_at: Micros) -> Self {
        let plan = plan.0.clone();
        let of = Origin { source: &plan.source, object };
        let reader = match &plan.reading {
            Reading::Edge(edge) => Reader::Edge(Box::new(EdgeReader::new(edge, &of, arrived_at))),
        };
        Self {
            gunzip: Gunzip::new(&plan.limits),
            lines: Lines::new(plan.limits.record_bytes_max),
            sink: Sink {
                reader,
                hasher: KeyHasher::new(&plan.hash_key),
                rejects: Rejects::new(),
                reject_batches: VecDeque::new(),
                first_reject: None,
                excerpt: String::new(),
                batches: VecDeque::new(),
                rows: 0,
                row_bytes: 0,
                counts: Counts::default(),
                hours: BTreeSet::new(),
                last_hour: None,
                plan,
            },
            failed: None,
            finished: false,
        }
    }

    /// Takes the object's next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ObjectError> {
        self.gunzip.push(bytes);
        self.read(false)
    }

    /// Says that the object is complete: a cut-off gzip member and whatever else was left open shows here.
    pub fn finish(&mut self) -> Result<(), ObjectError> {
        if self.finished {
            return self.failed.clone().map_or(Ok(()), Err);
        }
        self.finished = true;
        self.gunzip.end();
        self.read(true)?;
        let sink = &mut self.sink;
        let ended = self.lines.finish(&mut |line| sink.line(line));
        self.fail_with(ended)?;
        self.sink.flush_events();
        self.sink.flush_rejects();
        Ok(())
    }

    /// The next events: rows of the table's data files in the order of the records.
    pub fn next_events(&mut self) -> Option<RecordBatch> {
        if self.sink.batches.is_empty() && !self.finished {
            // An error is kept for the next push or the finish.
            let _ = self.read(false);
        }
        self.sink.batches.pop_front()
    }

    /// The next rejects, with the columns of [`super::REJECT_SCHEMA`].
    pub fn next_rejects(&mut self) -> Option<RecordBatch> {
        self.sink.reject_batches.pop_front()
    }

    /// What became of the records so far.
    pub fn counts(&self) -> Counts {
        self.sink.counts
    }

    /// Reads what was pushed, until a batch waits to be taken (`all`: to the end).
    fn read(&mut self, all: bool) -> Result<(), ObjectError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let read = self.read_pushed(all);
        self.fail_with(read)
    }

    fn read_pushed(&mut self, all: bool) -> Result<(), ObjectError> {
        let Self { gunzip, lines, sink, .. } = self;
        while all || sink.batches.is_empty() {
            let Some(plain) = gunzip.plain()? else { break };
            lines.push(plain, &mut |line| sink.line(line))?;
        }
        Ok(())
    }

    fn fail_with(&mut self, result: Result<(), ObjectError>) -> Result<(), ObjectError> {
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            self.sink.batches.clear();
            self.sink.reject_batches.clear();
        }
        result
    }
}

impl Sink {
    fn line(&mut self, line: Line<'_>) -> Result<(), ObjectError> {
        match line {
            Line::Whole(record) => self.record(record),
            Line::TooLong(start) => self.reject(start, Reject::new("too_long", self.too_long())),
        }
    }

    fn too_long(&self) -> String {
        format!("longer than {} bytes, the limit for one record", self.plan.limits.record_bytes_max)
    }

    /// Reads one record: a line, or the text of one log event.
    fn record(&mut self, record: &[u8]) -> Result<(), ObjectError> {
        let fingerprint = self.plan.fingerprints.of(record);
        let position = self.position();
        let read = match &mut self.reader {
            Reader::Edge(reader) => reader.read(record, position, fingerprint, &mut self.hasher),
        };
        match read {
            Ok(at) => self.event(at, record.len()),
            Err(Fault::Record(reject)) => self.reject(record, reject),
            Err(Fault::Object(error)) => Err(error),
        }
    }

    /// The ordinal of the next record.
    fn position(&self) -> i64 {
        self.counts.records.cast_signed()
    }

    fn event(&mut self, at: Micros, bytes: usize) -> Result<(), ObjectError> {
        self.counts.records += 1;
        self.counts.events += 1;
        self.rows += 1;
        self.row_bytes += bytes;
        let hour = at.hour();
        if self.last_hour != Some(hour) {
            self.last_hour = Some(hour);
            self.hours.insert(hour);
            let limit = self.plan.limits.hours_max;
            if self.hours.len() > limit {
                return Err(ObjectError::TooManyHours { limit });
            }
        }
        if self.rows >= BATCH_ROWS || self.row_bytes >= BATCH_BYTES {
            self.flush_events();
        }
        Ok(())
    }

    fn reject(&mut self, record: &[u8], reject: Reject) -> Result<(), ObjectError> {
        self.plan.masker.excerpt(record, &self.hasher, &mut self.excerpt);
        self.rejects.add(self.position(), &reject, &self.excerpt);
        self.counts.records += 1;
        self.counts.rejects += 1;
        let first = self.first_reject.get_or_insert(reject);
        if self.counts.rejects > REJECTS_MAX {
            let (reason, detail) = (first.reason, first.detail.clone().into_owned());
            return Err(ObjectError::TooManyRejects { limit: REJECTS_MAX, reason, detail });
        }
        if self.rejects.rows() >= BATCH_ROWS {
            self.flush_rejects();
        }
        Ok(())
    }

    fn flush_events(&mut self) {
        if self.rows > 0 {
            let batch = match &mut self.reader {
                Reader::Edge(reader) => reader.finish(self.rows),
            };
            self.batches.push_back(batch);
            (self.rows, self.row_bytes) = (0, 0);
        }
    }

    fn flush_rejects(&mut self) {
        if self.rejects.rows() > 0 {
            self.reject_batches.push_back(self.rejects.finish());
        }
    }
}
