//! One object, from its bytes to batches: [`Decoder`]. Unpacks, frames, reads, and keeps account of every record.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::Limits;
use super::apigateway::OriginReader;
use super::cloudfront::EdgeReader;
use super::columns::{BATCH_ROWS, Origin};
use super::envelope::{self, Envelope, Followed, Kind, Message};
use super::error::{ObjectError, Reject};
use super::failed;
use super::gunzip::{Gunzip, Space};
use super::json::{JSON_DEPTH_MAX, TOO_DEEP, Text, is_deeper};
use super::lines::{Line, Lines};
use super::lockstep::Span;
use super::own_json::{self, OwnReader};
use super::parquet_rows::{self, ParquetRows};
use super::plan::{DecodePlan, Plan, Reading};
use super::privacy::KeyHasher;
use super::rejects::Rejects;
use super::standard::StandardReader;
use super::values::{Taker, Value, Values, has_ended};

use crate::base::{Micros, UtcHour};

/// A batch is also handed over when its columns hold so many bytes, so that long values do not pile up: a byte of a record
/// may be held twenty times.
const BATCH_BYTES: usize = 32 << 20;
/// How many bytes that is, is asked after records of so many.
const LOOK_BYTES: usize = 1 << 20;
/// Where the log events of an envelope begin, if it is to be recognised at once.
const ENVELOPE_HEAD_BYTES: usize = 1024;
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

/// Reads one object. Push its bytes in any chunks, take batches after each push; call [`Decoder::end`], take batches;
/// call [`Decoder::finish`], take the rest. The rows do not depend on the chunks. Memory is bounded as long as batches
/// are taken: while some wait, pushed bytes are only kept. After an error nothing more comes, and what came before must
/// be dropped.
pub struct Decoder {
    gunzip: Gunzip,
    framing: Framing,
    sink: Sink,
    failed: Option<ObjectError>,
    /// No more bytes come.
    ended: bool,
    finished: bool,
}

/// How plain bytes are cut into records.
enum Framing {
    Lines(Lines),
    Values(Values),
    Parquet(Box<ParquetRows>),
    /// One of these, as the first bytes will show.
    Undecided(Vec<u8>),
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
    /// Bytes of records since the columns were last asked how many they hold.
    row_bytes: usize,
    counts: Counts,
    hours: BTreeSet<UtcHour>,
    last_hour: Option<UtcHour>,
    envelope: Envelope,
    envelope_sign: memchr::memmem::Finder<'static>,
    /// Within what Firehose could not deliver.
    in_failed: bool,
    message: Vec<u8>,
    spans: Vec<Span>,
    /// The positions of records that somebody wants to read.
    wanted: BTreeSet<i64>,
    texts: BTreeMap<i64, String>,
}

enum Reader {
    Edge(Box<EdgeReader>),
    Origin(Box<OriginReader>),
    Standard(Box<StandardReader>),
    Own(Box<OwnReader>),
}

impl Reader {
    /// Bytes that the rows so far take because of what their values hold.
    fn bytes(&self) -> usize {
        match self {
            Self::Edge(reader) => reader.bytes(),
            Self::Origin(reader) => reader.bytes(),
            Self::Standard(reader) => reader.bytes(),
            Self::Own(reader) => reader.bytes(),
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("counts", &self.sink.counts)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// Ready for the bytes of the object with that key, which arrived then.
    pub fn new(plan: &DecodePlan, object: &str, arrived_at: Micros) -> Self {
        Self::with_space(plan, object, arrived_at, Space::default())
    }

    /// The same, in memory that another object has left.
    pub fn with_space(plan: &DecodePlan, object: &str, arrived_at: Micros, space: Space) -> Self {
        let plan = plan.0.clone();
        let log_kind = match &plan.reading {
            Reading::Edge(_) | Reading::Origin(_) => "realtime",
            Reading::Standard(_) => "standard",
            Reading::Own(_) => "json",
        };
        let of = Origin { source: &plan.source, object, log_kind };
        let reader = match &plan.reading {
            Reading::Edge(edge) => Reader::Edge(Box::new(EdgeReader::new(edge, &of, arrived_at))),
            Reading::Origin(origin) => Reader::Origin(Box::new(OriginReader::new(origin, &of))),
            Reading::Standard(standard) => Reader::Standard(Box::new(StandardReader::new(standard, &of, arrived_at))),
            Reading::Own(own) => Reader::Own(Box::new(OwnReader::new(own, &of))),
        };
        Self {
            gunzip: Gunzip::new(&plan.limits, space),
            framing: Framing::Undecided(Vec::new()),
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
                envelope: Envelope::default(),
                envelope_sign: envelope::sign(),
                in_failed: false,
                message: Vec::new(),
                spans: Vec::new(),
                wanted: BTreeSet::new(),
                texts: BTreeMap::new(),
                plan,
            },
            failed: None,
            ended: false,
            finished: false,
        }
    }

    /// Keeps the texts of the records at these positions, if they become events, for [`Decoder::texts`].
    pub fn want_texts_of(&mut self, positions: impl IntoIterator<Item = i64>) {
        self.sink.wanted.extend(positions);
    }

    /// All of the text of each record wanted, as the log service wrote it, masked as the excerpts of rejects are.
    pub fn texts(&self) -> &BTreeMap<i64, String> {
        &self.sink.texts
    }

    /// Takes the object's next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ObjectError> {
        self.gunzip.push(bytes);
        self.read(false)
    }

    /// Says that no more bytes come. Most of a compressed object is only read now, batch by batch as they are taken.
    pub fn end(&mut self) {
        self.ended = true;
        self.gunzip.end();
    }

    /// Reads what is left: a cut-off gzip member and whatever else was left open shows here.
    pub fn finish(&mut self) -> Result<(), ObjectError> {
        if self.finished {
            return self.failed.clone().map_or(Ok(()), Err);
        }
        self.finished = true;
        self.end();
        self.read(true)?;
        let ended = self.framing.finish(&mut self.sink);
        self.fail_with(ended.and_then(|()| self.sink.mismatch().map_or(Ok(()), Err)))?;
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

    /// The memory it took, for another object.
    pub fn into_space(self) -> Space {
        self.gunzip.into_space()
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
        let Self { gunzip, framing, sink, ended, .. } = self;
        while all || sink.batches.is_empty() {
            match gunzip.plain()? {
                Some(plain) => framing.push(plain, sink)?,
                None if *ended && framing.read_held(sink)? => {}
                None => break,
            }
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

impl Framing {
    fn values(limits: &Limits, takes_text: bool) -> Self {
        // A single record without envelope may have its own limit's length too.
        Self::Values(Values::new(
            limits.document_bytes_max.max(limits.record_bytes_max),
            limits.json_depth_max,
            takes_text,
        ))
    }

    fn push(&mut self, plain: &[u8], sink: &mut Sink) -> Result<(), ObjectError> {
        match self {
            Self::Lines(lines) => lines.push(plain, &mut |line| sink.line(line)),
            Self::Values(values) => values.push(plain, sink),
            Self::Parquet(rows) => rows.push(plain),
            Self::Undecided(held) => {
                held.extend_from_slice(plain);
                match Self::decide(held, false, &sink.plan)? {
                    Some(framing) => self.begin(framing, sink),
                    None => Ok(()),
                }
            }
        }
    }

    /// What an object is by its first bytes; `None` until there are enough.
    fn decide(held: &[u8], ended: bool, plan: &Plan) -> Result<Option<Self>, ObjectError> {
        let (limits, kind) = (&plan.limits, plan.reading.kind());
        if !ended && held.len() < parquet_rows::MAGIC.len() && parquet_rows::MAGIC.starts_with(held) {
            return Ok(None);
        }
        let is_parquet = held.starts_with(parquet_rows::MAGIC);
        Ok(Some(match &plan.reading {
            Reading::Standard(_) if is_parquet => Self::Parquet(Box::new(ParquetRows::new(limits))),
            _ if is_parquet => return Err(ObjectError::ParquetElsewhere { kind }),
            Reading::Edge(_) => Self::Lines(Lines::new(limits.record_bytes_max)),
            Reading::Origin(origin) => Self::values(limits, !origin.literals.is_empty()),
            Reading::Own(_) => Self::values(limits, false),
            Reading::Standard(_) => match held.iter().find(|byte| !byte.is_ascii_whitespace()) {
                Some(b'{') => Self::values(limits, false),
                None if !ended => return Ok(None),
                _ => Self::Lines(Lines::new(limits.record_bytes_max)),
            },
        }))
    }

    fn begin(&mut self, framing: Self, sink: &mut Sink) -> Result<(), ObjectError> {
        match std::mem::replace(self, framing) {
            Self::Undecided(held) => self.push(&held, sink),
            _ => Ok(()),
        }
    }

    /// After the last byte: reads records of what had to be held whole; false where there are no more.
    fn read_held(&mut self, sink: &mut Sink) -> Result<bool, ObjectError> {
        match self {
            Self::Parquet(rows) => rows.next(&mut |record| sink.record(record)),
            _ => Ok(false),
        }
    }

    fn finish(&mut self, sink: &mut Sink) -> Result<(), ObjectError> {
        if let Self::Undecided(held) = self
            && let Some(framing) = Self::decide(held, true, &sink.plan)?
        {
            self.begin(framing, sink)?;
        }
        match self {
            Self::Lines(lines) => lines.finish(&mut |line| sink.line(line)),
            Self::Values(values) => values.finish(sink),
            Self::Parquet(_) | Self::Undecided(_) => Ok(()),
        }
    }
}

impl Taker for Sink {
    /// A record that follows its format to the letter, or an envelope without a line end.
    fn at_once(&mut self, rest: &[u8]) -> Result<Option<usize>, ObjectError> {
        let Reader::Origin(reader) = &self.reader else { return Ok(None) };
        let plan = reader.plan().clone();
        let mut spans = std::mem::take(&mut self.spans);
        spans.clear();
        let followed = plan.follow(rest, &mut spans).filter(|(_, length)| has_ended(&rest[*length..]));
        let done =
            followed.map(|(format, length)| self.record_as(&rest[..length], Some((format, &spans))).map(|()| length));
        self.spans = spans;
        if let Some(done) = done {
            return done.map(Some);
        }
        let head = &rest[..rest.len().min(ENVELOPE_HEAD_BYTES)];
        if !envelope::may_be_envelope(&self.envelope_sign, head) {
            return Ok(None);
        }
        let mut envelope = std::mem::take(&mut self.envelope);
        let found = envelope.read_first(rest, |text, followed| plan.follow_escaped(text, followed));
        let (limit, depth) = (self.plan.limits.document_bytes_max, self.plan.limits.json_depth_max);
        // The JSON reader takes line ends in strings, where a cut-off document is to be noticed.
        let found = found.filter(|(_, length)| *length <= limit && memchr::memchr(b'\n', &rest[..*length]).is_none());
        let found = found.filter(|(_, length)| depth >= JSON_DEPTH_MAX || !is_deeper(&rest[..*length], depth));
        let taken = match found {
            Some((kind, length)) => self.events_of(&rest[..length], &envelope, kind).map(|()| Some(length)),
            None => Ok(None),
        };
        self.envelope = envelope;
        taken
    }

    /// A JSON object: an envelope of records, or a record.
    fn value(&mut self, value: Value<'_>) -> Result<(), ObjectError> {
        let is_closed = matches!(value, Value::Closed(_));
        match value {
            Value::Broken { start, bytes, reason, detail } => {
                self.reject(start, Reject::new(reason, format!("{detail}; {bytes} bytes were passed over")))
            }
            Value::Whole(document) | Value::Closed(document)
                if envelope::may_be_envelope(&self.envelope_sign, document) =>
            {
                let mut envelope = std::mem::take(&mut self.envelope);
                let read = envelope.read(document);
                let done = match read {
                    Ok(Some(kind)) => self.events_of(document, &envelope, kind),
                    Ok(None) if is_closed => self.closed(document),
                    Ok(None) => self.record(document),
                    Err(error) => {
                        let detail = format!("an envelope, at byte {}: {}", error.at, error.what);
                        self.reject(document, Reject::new("bad_json", detail))
                    }
                };
                self.envelope = envelope;
                done
            }
            Value::Text(line) if line.trim_ascii().is_empty() => Ok(()),
            Value::Closed(record) => self.closed(record),
            Value::Whole(record) | Value::Text(record) => self.record_or_failed(record),
        }
    }
}

impl Sink {
    fn line(&mut self, line: Line<'_>) -> Result<(), ObjectError> {
        match line {
            Line::Whole(record) => match &mut self.reader {
                Reader::Standard(reader) if record.first() == Some(&b'#') => match reader.directive(record)? {
                    Some(reject) => self.reject(record, reject),
                    None => Ok(()),
                },
                _ => self.record_or_failed(record),
            },
            Line::TooLong(start) => self.reject(start, Reject::new("too_long", self.too_long())),
        }
    }

    /// Reads a record, or the ones in what Firehose could not deliver.
    fn record_or_failed(&mut self, record: &[u8]) -> Result<(), ObjectError> {
        match failed::raw_data(record) {
            None => self.record(record),
            Some(raw) => self.failed(record, raw),
        }
    }

    /// Reads what Firehose could not deliver as if it stood in the object itself.
    fn failed(&mut self, document: &[u8], raw: Result<Vec<u8>, &'static str>) -> Result<(), ObjectError> {
        let unpacked = match raw {
            _ if self.in_failed => Err("an error record of Firehose within another".to_owned()),
            Ok(raw) => failed::unpacked(raw, &self.plan.limits),
            Err(what) => Err(what.to_owned()),
        };
        match unpacked {
            Err(detail) => self.reject(document, Reject::new("bad_raw_data", detail)),
            // It would have to be read to its end before anything of it is believed.
            Ok(plain) if matches!(self.reader, Reader::Standard(_)) && plain.starts_with(parquet_rows::MAGIC) => {
                let detail = "a Parquet object in an error record of Firehose";
                self.reject(document, Reject::new("bad_raw_data", detail))
            }
            Ok(plain) => {
                let mut framing = Framing::Undecided(Vec::new());
                self.in_failed = true;
                let read = framing.push(&plain, self).and_then(|()| framing.finish(self));
                self.in_failed = false;
                read
            }
        }
    }

    /// Takes what an envelope holds.
    fn events_of(&mut self, document: &[u8], envelope: &Envelope, kind: Kind) -> Result<(), ObjectError> {
        if kind == Kind::Control {
            let messages = envelope.messages.len().max(1) as u64;
            self.counts.records += messages;
            self.counts.control += messages;
            return Ok(());
        }
        if kind == Kind::Unknown {
            return self.reject(
                document,
                Reject::new("bad_envelope", "messageType is neither DATA_MESSAGE nor CONTROL_MESSAGE"),
            );
        }
        for message in &envelope.messages {
            match *message {
                None => self.reject(b"", Reject::new("no_message", "a log event without message"))?,
                Some(Message::Plain(start, end)) => self.record(&document[start..end])?,
                Some(Message::Followed(number)) => {
                    let Followed { text, spans, records } = &envelope.followed;
                    let record = &records[number];
                    self.record_as(&text[record.text.clone()], Some((record.format, &spans[record.spans.clone()])))?;
                }
                Some(Message::Escaped(start, end)) => {
                    let mut message = std::mem::take(&mut self.message);
                    message.clear();
                    Text { at: start, raw: &document[start..end], escaped: true }.unescape(&mut message);
                    let done = self.record(&message);
                    self.message = message;
                    done?;
                }
            }
        }
        Ok(())
    }

    fn too_long(&self) -> String {
        format!("longer than {} bytes (`record_bytes_max` under [limits])", self.plan.limits.record_bytes_max)
    }

    /// Reads one record: a line, or the text of one log event.
    /// An object with something behind it in its line. A log service escapes what it writes into an envelope; in a bare record a
    /// caller's value may have closed the object, and named another key.
    fn closed(&mut self, object: &[u8]) -> Result<(), ObjectError> {
        self.reject(object, Reject::new("bad_json", "something stands behind the object in its line"))
    }

    fn record(&mut self, record: &[u8]) -> Result<(), ObjectError> {
        self.record_as(record, None)
    }

    /// The same; `followed` is the API Gateway format that it was found to follow, and where its values stand.
    fn record_as(&mut self, record: &[u8], followed: Option<(usize, &[Span])>) -> Result<(), ObjectError> {
        if record.len() > self.plan.limits.record_bytes_max {
            return self.reject(record, Reject::new("too_long", self.too_long()));
        }
        if self.is_too_deep(record) {
            return self.reject(record, Reject::new("too_deep", TOO_DEEP));
        }
        let position = self.position();
        let read = match &mut self.reader {
            Reader::Edge(reader) => reader.read(record, position, self.plan.fingerprints.of(record), &mut self.hasher),
            Reader::Origin(reader) => {
                // White space around a message is the log service's: the same record without envelope has none.
                let fingerprint = self.plan.fingerprints.of(record.trim_ascii());
                match followed {
                    Some(followed) => reader.read_followed(record, followed, position, fingerprint, &mut self.hasher),
                    None => reader.read(record, position, fingerprint, &mut self.hasher),
                }
            }
            Reader::Standard(reader) => {
                // Not TAB: a row may begin or end with an empty value.
                let record = without_line_end(record);
                reader.read(record, position, self.plan.fingerprints.of(record), &mut self.hasher)
            }
            Reader::Own(reader) => {
                if own_json::is_of_lambda(record) {
                    self.counts.records += 1;
                    self.counts.control += 1;
                    return Ok(());
                }
                let record = own_json::without_prefix(record).trim_ascii();
                reader.read(record, position, self.plan.fingerprints.of(record), &mut self.hasher)
            }
        };
        match read {
            Ok(at) => {
                if self.wanted.contains(&position) {
                    self.keep_text(position, record);
                }
                self.event(at, record.len())
            }
            Err(reject) => {
                let cookies = self.cookies();
                self.reject_with(record, &cookies, reject)
            }
        }
    }

    /// Whether a record of JSON is nested beyond a limit that is lower than what is read at all.
    fn is_too_deep(&self, record: &[u8]) -> bool {
        let limit = self.plan.limits.json_depth_max;
        if limit >= JSON_DEPTH_MAX {
            return false;
        }
        let record = match &self.reader {
            Reader::Edge(_) => return false,
            Reader::Own(_) => own_json::without_prefix(record),
            Reader::Origin(_) | Reader::Standard(_) => record,
        };
        let record = record.trim_ascii_start();
        record.first() == Some(&b'{') && is_deeper(record, limit)
    }

    fn keep_text(&mut self, position: i64, record: &[u8]) {
        let text = self.plan.masker.text(record, &self.cookies(), &self.hasher);
        self.texts.insert(position, text.trim().to_owned());
    }

    /// Where the record just read holds cookies, as far as its fields are known.
    fn cookies(&self) -> Vec<Range<usize>> {
        match &self.reader {
            Reader::Edge(reader) => reader.cookies(),
            Reader::Standard(reader) => reader.cookies(),
            Reader::Origin(_) | Reader::Own(_) => Vec::new(),
        }
    }

    /// An object none of whose records has the columns expected.
    fn mismatch(&self) -> Option<ObjectError> {
        match &self.reader {
            Reader::Edge(reader) => reader.mismatch(),
            Reader::Standard(reader) => reader.mismatch(),
            Reader::Origin(_) | Reader::Own(_) => None,
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
        let mut is_full = self.rows >= BATCH_ROWS;
        if self.row_bytes >= LOOK_BYTES {
            self.row_bytes = 0;
            is_full |= self.reader.bytes() >= BATCH_BYTES;
        }
        if is_full {
            self.flush_events();
        }
        Ok(())
    }

    fn reject(&mut self, record: &[u8], reject: Reject) -> Result<(), ObjectError> {
        self.reject_with(record, &[], reject)
    }

    /// `secrets`: places of the record that hold secrets whatever they look like.
    fn reject_with(&mut self, record: &[u8], secrets: &[Range<usize>], reject: Reject) -> Result<(), ObjectError> {
        self.plan.masker.excerpt(record, secrets, &self.hasher, &mut self.excerpt);
        self.rejects.add(self.position(), &reject, &self.excerpt);
        self.counts.records += 1;
        self.counts.rejects += 1;
        self.first_reject.get_or_insert(reject);
        if self.counts.rejects > REJECTS_MAX {
            if let Some(error) = self.mismatch() {
                return Err(error);
            }
            let (reason, detail) = self.first_reject.take().map_or(("", Cow::Borrowed("")), |r| (r.reason, r.detail));
            return Err(ObjectError::TooManyRejects { limit: REJECTS_MAX, reason, detail: detail.into_owned() });
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
                Reader::Origin(reader) => reader.finish(self.rows),
                Reader::Standard(reader) => reader.finish(self.rows),
                Reader::Own(reader) => reader.finish(self.rows),
            };
            self.batches.push_back(batch);
            self.rows = 0;
        }
    }

    fn flush_rejects(&mut self) {
        if self.rejects.rows() > 0 {
            self.reject_batches.push_back(self.rejects.finish());
        }
    }
}

fn without_line_end(record: &[u8]) -> &[u8] {
    let end = record.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |at| at + 1);
    &record[..end]
}
