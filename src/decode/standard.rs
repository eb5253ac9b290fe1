//! CloudFront standard logs to rows of `edge_requests`: version 1, driven by its `#Fields` lines; version 2 as JSON
//! objects, as lines with or without `#Fields`, and as rows of Parquet objects, which come as JSON (`parquet_rows`).
//! Values are percent-encoded once, as in real-time logs; what was encoded twice long ago is left alone.
//!
//! Here `cs(Host)` is the distribution and `x-host-header` what the viewer asked for, the reverse of real-time logs,
//! and the stem has no query. Refused: logs of RTMP streaming, an unknown `#Version`, objects of which nothing says
//! what stands where; and a row shorter or longer than its header, since what it lost may be a part of any value.

use std::ops::Range;
use std::sync::Arc;

use super::cloudfront::{Mismatches, in_force};
use super::columns::Origin;
use super::edge_rows::{COLUMNS_MAX, COOKIE, Cells, Checked, EdgeRows, EdgeRules, Record, cell};
use super::error::{ObjectError, Reject};
use super::fields::{Field, Layout};
use super::json_paths::{Found, Paths};
use super::privacy::KeyHasher;
use super::text::{epoch_millis, w3c_time};
use super::{FieldSet, Micros, SpecError};
use Meaning::{Date, Is, Millis, Nothing, Time};

/// What a field of standard logs is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Meaning {
    Date,
    Time,
    /// Milliseconds since the epoch.
    Millis,
    /// What that field of real-time logs is.
    Is(Field),
    /// Not stored.
    Nothing,
}

/// All fields: the 35 of version 1 in its order, then those that only version 2 has.
pub(super) const FIELDS: &[(&str, Meaning)] = &[
    ("date", Date),
    ("time", Time),
    ("x-edge-location", Is(Field::named("x-edge-location"))),
    ("sc-bytes", Is(Field::named("sc-bytes"))),
    ("c-ip", Is(Field::named("c-ip"))),
    ("cs-method", Is(Field::named("cs-method"))),
    ("cs(Host)", Is(Field::named("x-host-header"))),
    ("cs-uri-stem", Is(Field::named("cs-uri-stem"))),
    ("sc-status", Is(Field::named("sc-status"))),
    ("cs(Referer)", Is(Field::named("cs-referer"))),
    ("cs(User-Agent)", Is(Field::named("cs-user-agent"))),
    ("cs-uri-query", Is(Field::named("cs-uri-query"))),
    ("cs(Cookie)", Is(COOKIE)),
    ("x-edge-result-type", Is(Field::named("x-edge-result-type"))),
    ("x-edge-request-id", Is(Field::named("x-edge-request-id"))),
    ("x-host-header", Is(Field::named("cs-host"))),
    ("cs-protocol", Nothing),
    ("cs-bytes", Is(Field::named("cs-bytes"))),
    ("time-taken", Is(Field::named("time-taken"))),
    ("x-forwarded-for", Nothing),
    ("ssl-protocol", Is(Field::named("ssl-protocol"))),
    ("ssl-cipher", Nothing),
    ("x-edge-response-result-type", Is(Field::named("x-edge-response-result-type"))),
    ("cs-protocol-version", Is(Field::named("cs-protocol-version"))),
    ("fle-status", Nothing),
    ("fle-encrypted-fields", Nothing),
    ("c-port", Nothing),
    ("time-to-first-byte", Is(Field::named("time-to-first-byte"))),
    ("x-edge-detailed-result-type", Is(Field::named("x-edge-detailed-result-type"))),
    ("sc-content-type", Is(Field::named("sc-content-type"))),
    ("sc-content-len", Nothing),
    ("sc-range-start", Nothing),
    ("sc-range-end", Nothing),
    ("distribution-tenant-id", Nothing),
    ("connection-id", Nothing),
    ("timestamp(ms)", Millis),
    ("origin-fbl", Nothing),
    ("origin-lbl", Is(Field::named("origin-lbl"))),
    ("asn", Is(Field::named("asn"))),
    ("c-country", Is(Field::named("c-country"))),
    ("cache-behavior-path-pattern", Is(Field::named("cache-behavior-path-pattern"))),
    ("viewer-request-log-data", Is(Field::named("viewer-request-log-data"))),
    ("viewer-response-log-data", Nothing),
];

/// Fields that only logs of RTMP streaming have.
const STREAMING: [&str; 4] = ["x-event", "x-cf-status", "x-cf-client-id", "x-sname"];
/// Lines of a header that say nothing about the records (W3C extended log files).
const REMARKS: [&str; 5] = ["#software:", "#start-date:", "#end-date:", "#date:", "#remark:"];

/// Which column of a row holds what.
pub(super) struct Columns {
    /// First arrival it applies to.
    from: Option<Micros>,
    pub(super) layout: Layout,
    date: Option<usize>,
    time: Option<usize>,
    millis: Option<usize>,
}

impl Columns {
    /// Reads the names of a header; those that are not known are passed over.
    fn new<'n>(names: impl Iterator<Item = &'n str>, from: Option<Micros>) -> Result<Self, &'static str> {
        let (mut places, mut count) = (Vec::new(), 0_u8);
        let (mut date, mut time, mut millis) = (None, None, None);
        let mut seen = Vec::new();
        for name in names {
            if usize::from(count) == COLUMNS_MAX {
                return Err("more fields than any log has");
            }
            let at = usize::from(count);
            count += 1;
            let Some(known) = FIELDS.iter().position(|(known, _)| known.eq_ignore_ascii_case(name)) else { continue };
            if seen.contains(&known) {
                return Err("a field twice");
            }
            seen.push(known);
            match FIELDS[known].1 {
                Date => date = Some(at),
                Time => time = Some(at),
                Millis => millis = Some(at),
                Is(field) => places.push((field, count - 1)),
                Nothing => {}
            }
        }
        Ok(Self { from, layout: Layout::placed(usize::from(count), places), date, time, millis })
    }

    /// The columns of a configured set: every name must be known.
    pub(super) fn of(set: &FieldSet) -> Result<Self, SpecError> {
        if set.fields.is_empty() {
            return Err(SpecError::Nothing { what: "fields" });
        }
        for (at, name) in set.fields.iter().enumerate() {
            if !FIELDS.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                let known: Vec<_> = FIELDS.iter().map(|(known, _)| *known).collect();
                let nearest = super::fields::nearest(name, &known);
                return Err(SpecError::UnknownField { name: name.clone(), logs: "standard", nearest });
            }
            if set.fields[..at].iter().any(|other| other.eq_ignore_ascii_case(name)) {
                return Err(SpecError::RepeatedField { name: name.clone() });
            }
        }
        Self::new(set.fields.iter().map(String::as_str), set.from)
            .map_err(|_| SpecError::Nothing { what: "fields that a log can have" })
    }

    pub(super) fn has_time(&self) -> bool {
        self.millis.is_some() || self.date.is_some() && self.time.is_some()
    }
}

/// What is fixed for a source.
pub(super) struct StandardPlan {
    /// Of rows without header, in order of `from`.
    pub(super) columns: Vec<Arc<Columns>>,
    pub(super) rules: EdgeRules,
    /// The values of [`FIELDS`] in JSON, in their order.
    paths: Paths,
}

impl StandardPlan {
    pub(super) fn new(columns: Vec<Columns>, rules: EdgeRules) -> Self {
        let mut paths = Paths::new();
        for (name, _) in FIELDS {
            paths.add([*name]).expect("the names differ and none is empty");
        }
        Self { columns: columns.into_iter().map(Arc::new).collect(), rules, paths }
    }
}

/// Reads the records of one object.
pub(super) struct StandardReader {
    plan: Arc<StandardPlan>,
    /// The configured columns in force when the object arrived, then their neighbours.
    configured: Vec<usize>,
    /// Those of the last `#Fields` line.
    header: Option<Arc<Columns>>,
    rows: EdgeRows,
    cells: Cells,
    mismatches: Mismatches,
    /// Rows of which nothing says what stands where.
    headless: u64,
    /// A record was met that says so.
    headed: bool,
    found: Found,
    /// The values of a JSON record as cells.
    line: Vec<u8>,
    cookie: Option<Range<usize>>,
}

impl StandardReader {
    pub(super) fn new(plan: &Arc<StandardPlan>, of: &Origin<'_>, arrived_at: Micros) -> Self {
        let configured = if plan.columns.is_empty() {
            Vec::new()
        } else {
            in_force(plan.columns.iter().map(|columns| columns.from), arrived_at)
        };
        Self {
            plan: plan.clone(),
            configured,
            header: None,
            rows: EdgeRows::new(of),
            cells: Cells::default(),
            mismatches: Mismatches::default(),
            headless: 0,
            headed: false,
            found: Found::default(),
            line: Vec::new(),
            cookie: None,
        }
    }

    /// Bytes that the rows so far take because of what their values hold.
    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// The rows so far as a batch.
    pub(super) fn finish(&mut self, rows: usize) -> arrow::array::RecordBatch {
        self.rows.finish(rows)
    }

    /// Where the record just read holds cookies.
    pub(super) fn cookies(&self) -> Vec<Range<usize>> {
        self.cookie.clone().into_iter().collect()
    }

    /// Takes a line that begins with `#`. It is no record; one that is of no known kind is a reject.
    pub(super) fn directive(&mut self, line: &[u8]) -> Result<Option<Reject>, ObjectError> {
        let unknown = || Ok(Some(Reject::new("directive", "a line that begins with `#` and is of no known kind")));
        let Ok(text) = std::str::from_utf8(line) else { return unknown() };
        let lower = text.to_ascii_lowercase();
        if let Some(version) = lower.strip_prefix("#version:") {
            return if version.trim() == "1.0" { Ok(None) } else { Err(ObjectError::UnknownVersion) };
        }
        if let Some(names) = lower.strip_prefix("#fields:") {
            let streams = |field: &&str| names.split_ascii_whitespace().any(|name| name == *field);
            if let Some(field) = STREAMING.into_iter().find(|field| streams(field)) {
                return Err(ObjectError::Streaming { field });
            }
            let columns = Columns::new(names.split_ascii_whitespace(), None);
            self.header = Some(Arc::new(columns.map_err(|what| ObjectError::BadHeader { what })?));
            return Ok(None);
        }
        if REMARKS.iter().any(|remark| lower.starts_with(remark)) { Ok(None) } else { unknown() }
    }

    /// Reads one record into a row and gives its time.
    pub(super) fn read(
        &mut self,
        record: &[u8],
        position: i64,
        fingerprint: i64,
        hasher: &mut KeyHasher,
    ) -> Result<Micros, Reject> {
        self.cookie = None;
        let plan = self.plan.clone();
        // No value begins so: CloudFront encodes `{`.
        if self.header.is_none() && record.first() == Some(&b'{') {
            self.headed = true;
            return self.read_json(record, &plan, position, fingerprint, hasher);
        }
        self.cells.split(record);
        if let Some(columns) = self.header.clone() {
            self.headed = true;
            return self.read_row(record, &columns, &plan, position, fingerprint, hasher);
        }
        let Some(&expected) = self.configured.first() else {
            self.headless += 1;
            return Err(Reject::new("no_fields", "no `#Fields` line says what stands where"));
        };
        let mut refused = None;
        for at in 0..self.configured.len() {
            let columns = plan.columns[self.configured[at]].clone();
            if columns.layout.columns != self.cells.count {
                continue;
            }
            self.mismatches.settle();
            match self.read_row(record, &columns, &plan, position, fingerprint, hasher) {
                Ok(at) => return Ok(at),
                Err(reject) => refused = refused.or(Some(reject)),
            }
        }
        let expected = plan.columns[expected].layout.columns;
        Err(refused.unwrap_or_else(|| self.mismatches.count(self.cells.count, expected)))
    }

    /// Whether all records read so far say that the object cannot be read.
    pub(super) fn mismatch(&self) -> Option<ObjectError> {
        if self.headless > 0 && !self.headed {
            return Some(ObjectError::NoFields);
        }
        let expected = self.plan.columns[*self.configured.first()?].layout.columns;
        let found = self.mismatches.found().filter(|_| !self.headed)?;
        Some(ObjectError::FieldsMismatch { expected, found, likely: None })
    }

    /// Reads the cells of a row.
    fn read_row(
        &mut self,
        record: &[u8],
        columns: &Columns,
        plan: &StandardPlan,
        position: i64,
        fingerprint: i64,
        hasher: &mut KeyHasher,
    ) -> Result<Micros, Reject> {
        let (count, ends) = (self.cells.count, &self.cells.ends);
        let layout = &columns.layout;
        if count != layout.columns {
            return Err(Reject::new("columns", format!("{count} columns, the `#Fields` line has {}", layout.columns)));
        }
        self.cookie = layout.column(COOKIE).map(|column| cell(ends, column));
        let value = |column: Option<usize>| {
            let value = &record[cell(ends, column?)];
            (!matches!(value, b"" | b"-")).then_some(value)
        };
        let at = event_time(value(columns.millis), value(columns.date), value(columns.time))?;
        let row = Record { line: record, ends, layout };
        let checked = Checked::of(&row, at, &plan.rules)?;
        Ok(self.rows.append(&row, &checked, &plan.rules, position, fingerprint, hasher))
    }

    /// Reads the values of a JSON object.
    fn read_json(
        &mut self,
        record: &[u8],
        plan: &StandardPlan,
        position: i64,
        fingerprint: i64,
        hasher: &mut KeyHasher,
    ) -> Result<Micros, Reject> {
        self.found.read(record, &plan.paths)?;
        self.line.clear();
        self.cells.ends.clear();
        let (mut date, mut time, mut millis) = (None, None, None);
        let mut places = Vec::with_capacity(FIELDS.len());
        let mut column = 0_u8;
        for (slot, (_, meaning)) in FIELDS.iter().enumerate().filter(|(slot, _)| self.found.is_there(*slot)) {
            let value = self.found.get(record, slot);
            match *meaning {
                Date => date = value,
                Time => time = value,
                Millis => millis = value,
                Nothing => {}
                Is(field) => {
                    self.line.extend_from_slice(value.unwrap_or(b"-"));
                    self.cells.ends.push(self.line.len());
                    self.line.push(b'\t');
                    places.push((field, column));
                    column += 1;
                    if field == COOKIE {
                        self.cookie = self.found.place(slot);
                    }
                }
            }
        }
        let at = event_time(millis, date, time)?;
        let layout = Layout::placed(usize::from(column), places);
        let row = Record { line: &self.line, ends: &self.cells.ends, layout: &layout };
        let checked = Checked::of(&row, at, &plan.rules)?;
        Ok(self.rows.append(&row, &checked, &plan.rules, position, fingerprint, hasher))
    }
}

/// The milliseconds are exact and win.
fn event_time(millis: Option<&[u8]>, date: Option<&[u8]>, time: Option<&[u8]>) -> Result<Micros, Reject> {
    let at = match (millis, date, time) {
        (Some(millis), _, _) => epoch_millis(millis),
        (None, Some(date), Some(time)) => w3c_time(date, time),
        _ => return Err(Reject::new("no_time", "neither `timestamp(ms)` nor `date` and `time` are there")),
    };
    at.ok_or_else(|| Reject::new("bad_time", "`timestamp(ms)`, or `date` with `time`, is not a believable time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_has_35_fields_and_no_name_stands_twice() {
        let names: Vec<_> = FIELDS.iter().map(|(name, _)| *name).collect();
        assert_eq!((names[18], names[32], names[34]), ("time-taken", "sc-range-end", "connection-id"));
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].iter().any(|other| other.eq_ignore_ascii_case(name)), "{name}");
        }
    }

    #[test]
    fn a_configured_set_has_known_names_once() {
        let of = |names: &[&str]| {
            Columns::of(&FieldSet { from: None, fields: names.iter().map(|&name| name.to_owned()).collect() })
        };
        assert!(of(&["sc-status", "date", "time", "timestamp(ms)"]).is_ok_and(|columns| columns.has_time()));
        assert!(of(&["sc-status", "date"]).is_ok_and(|columns| !columns.has_time()));
        let unknown = of(&["cs(host)", "cs-host"]).err();
        assert!(matches!(unknown, Some(SpecError::UnknownField { nearest: "cs(Host)", .. })), "{unknown:?}");
        assert!(matches!(of(&["date", "Date"]).err(), Some(SpecError::RepeatedField { .. })));
        assert!(matches!(of(&[]).err(), Some(SpecError::Nothing { .. })));
    }
}
