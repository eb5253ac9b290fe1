//! Records of CloudFront logs of any kind to rows of `edge_requests`: which field becomes which column, where the key
//! is found, and what of it may stay. Goes in: a record as cells under a layout in the field names of real-time logs,
//! and its time. Everything that can fail is read ([`Checked`]) before the first column is filled, so a reject leaves
//! no half row.

use std::ops::Range;

use super::columns::{EdgeColumns, Origin};
use super::error::Reject;
use super::fields::{Field, Layout};
use super::key::{self, Found, HeaderFields, Named};
use super::privacy::{KeyHasher, push_client_ip};
use super::redact::push_without;
use super::text::{decimal, percent_decode};
use super::{ClientIp, Micros, Missing};

const CLIENT_IP: Field = Field::named("c-ip");
const TIME_TO_FIRST_BYTE: Field = Field::named("time-to-first-byte");
const STATUS: Field = Field::named("sc-status");
const RESPONSE_BYTES: Field = Field::named("sc-bytes");
const METHOD: Field = Field::named("cs-method");
const HOST: Field = Field::named("cs-host");
const URI_STEM: Field = Field::named("cs-uri-stem");
const REQUEST_BYTES: Field = Field::named("cs-bytes");
const EDGE_LOCATION: Field = Field::named("x-edge-location");
const REQUEST_ID: Field = Field::named("x-edge-request-id");
const HOST_HEADER: Field = Field::named("x-host-header");
const TIME_TAKEN: Field = Field::named("time-taken");
const PROTOCOL_VERSION: Field = Field::named("cs-protocol-version");
const USER_AGENT: Field = Field::named("cs-user-agent");
const REFERER: Field = Field::named("cs-referer");
pub(super) const COOKIE: Field = Field::named("cs-cookie");
const URI_QUERY: Field = Field::named("cs-uri-query");
const RESPONSE_RESULT_TYPE: Field = Field::named("x-edge-response-result-type");
const SSL_PROTOCOL: Field = Field::named("ssl-protocol");
const RESULT_TYPE: Field = Field::named("x-edge-result-type");
const CONTENT_TYPE: Field = Field::named("sc-content-type");
const DETAILED_RESULT_TYPE: Field = Field::named("x-edge-detailed-result-type");
const COUNTRY: Field = Field::named("c-country");
const BEHAVIOR: Field = Field::named("cache-behavior-path-pattern");
const HEADERS: Field = Field::named("cs-headers");
const HEADER_NAMES: Field = Field::named("cs-header-names");
const HEADERS_COUNT: Field = Field::named("cs-headers-count");
const ORIGIN_LAST_BYTE: Field = Field::named("origin-lbl");
const ASN: Field = Field::named("asn");
const LOG_DATA: Field = Field::named("viewer-request-log-data");

/// Cells of a line whose places are kept.
pub(super) const COLUMNS_MAX: usize = 254;

/// Where the key stands, with names ready to compare.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum EdgeKey {
    None,
    /// Lower-case name of the header.
    Header(Vec<u8>),
    LogData {
        name: Vec<u8>,
        plain: bool,
        missing: Missing,
    },
    Query(Vec<u8>),
}

/// What decides how a row is made.
pub(super) struct EdgeRules {
    pub(super) key: EdgeKey,
    /// Lower-case names of query parameters that are never stored.
    pub(super) removed: Vec<Vec<u8>>,
    pub(super) client_ip: ClientIp,
    /// `cs-uri-stem` holds the query too, as in real-time logs.
    pub(super) stem_has_query: bool,
    /// Bytes of a list of headers or of their names.
    pub(super) header_bytes_max: usize,
}

/// Where the cells of the current line stand.
#[derive(Default)]
pub(super) struct Cells {
    pub(super) ends: Vec<usize>,
    pub(super) count: usize,
}

impl Cells {
    pub(super) fn split(&mut self, line: &[u8]) {
        self.ends.clear();
        self.count = 1;
        let (blocks, rest) = line.as_chunks::<BLOCK>();
        for (number, block) in blocks.iter().enumerate() {
            self.end_at(number * BLOCK, tabs(block));
        }
        let mut block = [0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        self.end_at(line.len() - rest.len(), tabs(&block));
        self.ends.push(line.len());
    }

    /// Ends a cell at each bit of `tabs`, the lowest of which stands for the byte at `start`.
    fn end_at(&mut self, start: usize, mut tabs: u64) {
        self.count += tabs.count_ones() as usize;
        while tabs != 0 && self.ends.len() < COLUMNS_MAX {
            self.ends.push(start + tabs.trailing_zeros() as usize);
            tabs &= tabs - 1;
        }
    }
}

/// Bytes looked at together, a bit for each.
const BLOCK: usize = 64;

/// Which bytes of a block are tabs. Cells are so short that a search for the next costs more than looking at all.
fn tabs(block: &[u8; BLOCK]) -> u64 {
    /// Moves the lowest bit of the byte n to the bit 56 + n; nothing else comes there.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let is_tab = block.map(|byte| u8::from(byte == b'\t'));
    let (words, _) = is_tab.as_chunks::<8>();
    words.iter().rev().fold(0, |bits, word| bits << 8 | u64::from_le_bytes(*word).wrapping_mul(GATHER) >> 56)
}

pub(super) fn cell(ends: &[usize], column: usize) -> Range<usize> {
    let start = if column == 0 { 0 } else { ends[column - 1] + 1 };
    start..ends[column]
}

/// One line seen through a layout.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) line: &'a [u8],
    pub(super) ends: &'a [usize],
    pub(super) layout: &'a Layout,
}

impl<'a> Record<'a> {
    /// The raw value of a field; `-`, an empty value and a field that is not in the set are none.
    pub(super) fn get(&self, field: Field) -> Option<&'a [u8]> {
        let column = self.layout.column(field)?;
        match &self.line[cell(self.ends, column)] {
            b"" | b"-" => None,
            value => Some(value),
        }
    }

    fn number(&self, field: Field, places: u32, max: i64) -> Result<Option<i64>, Reject> {
        let Some(raw) = self.get(field) else { return Ok(None) };
        match decimal(raw, places) {
            Some(value) if value <= max => Ok(Some(value)),
            _ => Err(Reject::new("bad_number", format!("{} is not a number in its range", field.name()))),
        }
    }

    fn millis(&self, field: Field) -> Result<Option<i32>, Reject> {
        Ok(self.number(field, 3, i64::from(i32::MAX))?.map(|value| value as i32))
    }
}

/// The values of a record that can be wrong, all read.
pub(super) struct Checked<'a> {
    at: Micros,
    request_id: &'a [u8],
    status: Option<i16>,
    request_bytes: Option<i64>,
    response_bytes: Option<i64>,
    time_taken_ms: Option<i32>,
    time_to_first_byte_ms: Option<i32>,
    origin_latency_ms: Option<i32>,
    asn: Option<i64>,
    headers_count: Option<i64>,
}

impl<'a> Checked<'a> {
    /// `at`: the record's time.
    pub(super) fn of(record: &Record<'a>, at: Micros, rules: &EdgeRules) -> Result<Self, Reject> {
        for list in [HEADERS, HEADER_NAMES] {
            if record.get(list).is_some_and(|list| list.len() > rules.header_bytes_max) {
                let (name, limit) = (list.name(), rules.header_bytes_max);
                let detail = format!("`{name}` is longer than {limit} bytes (`header_bytes_max` under [limits])");
                return Err(Reject::new("too_long", detail));
            }
        }
        Ok(Self {
            at,
            request_id: record.get(REQUEST_ID).ok_or_else(|| Reject::new("no_id", "x-edge-request-id is missing"))?,
            status: record.number(STATUS, 0, 999)?.map(|value| value as i16),
            request_bytes: record.number(REQUEST_BYTES, 0, i64::MAX)?,
            response_bytes: record.number(RESPONSE_BYTES, 0, i64::MAX)?,
            time_taken_ms: record.millis(TIME_TAKEN)?,
            time_to_first_byte_ms: record.millis(TIME_TO_FIRST_BYTE)?,
            origin_latency_ms: record.millis(ORIGIN_LAST_BYTE)?,
            asn: record.number(ASN, 0, i64::MAX)?,
            headers_count: record.number(HEADERS_COUNT, 0, i64::MAX)?,
        })
    }
}

/// Makes rows of the records of one object.
pub(super) struct EdgeRows {
    columns: EdgeColumns,
    key: Named,
    scratch: Vec<u8>,
    wire: Vec<u8>,
    redacted: Vec<u8>,
    text: String,
}

impl EdgeRows {
    pub(super) fn new(of: &Origin<'_>) -> Self {
        Self {
            columns: EdgeColumns::new(of),
            key: Named::default(),
            scratch: Vec::new(),
            wire: Vec::new(),
            redacted: Vec::new(),
            text: String::new(),
        }
    }

    /// Bytes that the rows so far take because of what their values hold.
    pub(super) fn bytes(&self) -> usize {
        self.columns.bytes()
    }

    /// The rows so far as a batch.
    pub(super) fn finish(&mut self, rows: usize) -> arrow::array::RecordBatch {
        self.columns.finish(rows)
    }

    /// Puts a record into a row and gives its time.
    pub(super) fn append(
        &mut self,
        record: &Record<'_>,
        checked: &Checked<'_>,
        rules: &EdgeRules,
        position: i64,
        fingerprint: i64,
        hasher: &mut KeyHasher,
    ) -> Micros {
        self.wire.clear();
        let stem = record.get(URI_STEM);
        let (path, stem_query) = match stem.and_then(|stem| Some((stem, memchr::memchr(b'?', stem)?))) {
            Some((stem, at)) => (Some(&stem[..at]), Some(&stem[at + 1..])),
            None => (stem, None),
        };
        let query = record.get(URI_QUERY).or(stem_query);
        percent_decode(query.unwrap_or_default(), &mut self.wire);

        let found = self.find_key(record, checked, rules);
        let secret = !matches!(rules.key, EdgeKey::LogData { plain: true, .. });
        let hashed = (found == Found::Present && secret).then(|| hasher.hashed(self.key.key()));
        let doubtful = if found == Found::Truncated && secret { self.key.scrub(hasher) } else { None };
        // A secret key that was found may stand nowhere else in the row, whosever it is.
        let key = hashed.as_ref().map(|hashed| &hashed.scrub).or(doubtful.as_ref());

        let c = &mut self.columns;
        c.event_time.append_value(checked.at.0);
        c.request_id.decoded(Some(checked.request_id));
        c.fingerprint.append_value(fingerprint);
        match (&hashed, found) {
            (Some(hashed), _) => c.key_ref.clean(Some(hashed.key_ref.as_bytes())),
            (None, Found::Present) => c.key_ref.clean(Some(self.key.key())),
            _ => c.key_ref.null(),
        }
        c.key_state.text(found.state());
        match (record.get(LOG_DATA), &rules.key) {
            (Some(raw), EdgeKey::LogData { name, plain: false, .. }) => {
                self.scratch.clear();
                percent_decode(raw, &mut self.scratch);
                self.redacted.clear();
                push_hashed_tokens(&self.scratch, name, hasher, &mut self.redacted);
                c.log_data.private_bytes(&self.redacted, key);
            }
            (raw, _) => c.log_data.private(raw, key),
        }
        c.method.private(record.get(METHOD), key);
        c.host.decoded(record.get(HOST));
        c.path.private(path, key);
        if query.is_some() {
            self.redacted.clear();
            push_without(&self.wire, &rules.removed, &mut self.scratch, &mut self.redacted);
            c.query.private_bytes(&self.redacted, key);
        } else {
            c.query.null();
        }
        c.status.append_option(checked.status);
        c.request_bytes.append_option(checked.request_bytes);
        c.response_bytes.append_option(checked.response_bytes);
        c.time_taken_ms.append_option(checked.time_taken_ms);
        c.time_to_first_byte_ms.append_option(checked.time_to_first_byte_ms);
        c.origin_latency_ms.append_option(checked.origin_latency_ms);
        c.edge_location.decoded(record.get(EDGE_LOCATION));
        c.result_type.decoded(record.get(RESULT_TYPE));
        c.response_result_type.decoded(record.get(RESPONSE_RESULT_TYPE));
        c.detailed_result_type.decoded(record.get(DETAILED_RESULT_TYPE));
        c.country.decoded(record.get(COUNTRY));
        c.asn.append_option(checked.asn);
        self.text.clear();
        match record.get(CLIENT_IP).and_then(|raw| std::str::from_utf8(raw).ok()) {
            Some(ip) if push_client_ip(rules.client_ip, ip, &mut self.text) => {
                c.client_ip.clean(Some(self.text.as_bytes()))
            }
            _ => c.client_ip.null(),
        }
        c.user_agent.private(record.get(USER_AGENT), key);
        match record.get(REFERER) {
            Some(raw) => {
                self.wire.clear();
                percent_decode(raw, &mut self.wire);
                self.redacted.clear();
                let query = memchr::memchr(b'?', &self.wire).map_or(self.wire.len(), |at| at + 1);
                self.redacted.extend_from_slice(&self.wire[..query]);
                push_without(&self.wire[query..], &rules.removed, &mut self.scratch, &mut self.redacted);
                c.referer.private_bytes(&self.redacted, key);
            }
            None => c.referer.null(),
        }
        c.protocol.decoded(record.get(PROTOCOL_VERSION));
        c.tls_protocol.decoded(record.get(SSL_PROTOCOL));
        c.content_type.decoded(record.get(CONTENT_TYPE));
        c.distribution.decoded(record.get(HOST_HEADER));
        c.behavior.decoded(record.get(BEHAVIOR));
        c.source_position.append_value(position);
        checked.at
    }

    /// Leaves what stands in the key's place in `self.key`.
    fn find_key(&mut self, record: &Record<'_>, checked: &Checked<'_>, rules: &EdgeRules) -> Found {
        let (key, scratch) = (&mut self.key, &mut self.scratch);
        key.clear();
        match &rules.key {
            EdgeKey::None => Found::Absent,
            // An older field set may lack what the key is read from: then nobody knows whether there was one.
            EdgeKey::Header(_) if !record.layout.has(HEADERS) => Found::Truncated,
            EdgeKey::LogData { .. } if !record.layout.has(LOG_DATA) => Found::Truncated,
            EdgeKey::Query(_)
                if !(record.layout.has(URI_QUERY) || rules.stem_has_query && record.layout.has(URI_STEM)) =>
            {
                Found::Truncated
            }
            EdgeKey::Header(name) => {
                let fields = HeaderFields {
                    headers: record.get(HEADERS),
                    names: record.get(HEADER_NAMES),
                    count: checked.headers_count,
                    cookie: record.get(COOKIE).is_some(),
                };
                key::in_headers(name, fields, key, scratch)
            }
            // No function ran for it. That there was no key is only known where somebody says so.
            EdgeKey::LogData { missing: Missing::Held, .. } if record.get(LOG_DATA).is_none() => Found::Truncated,
            EdgeKey::LogData { name, .. } => key::in_log_data(name, record.get(LOG_DATA), key, scratch),
            EdgeKey::Query(name) => key::in_query(name, &self.wire, key, scratch),
        }
    }
}

/// Appends log data with the value of every token of that name hashed.
fn push_hashed_tokens(text: &[u8], name: &[u8], hasher: &mut KeyHasher, out: &mut Vec<u8>) {
    for (number, token) in text.split(|&byte| byte == b';').enumerate() {
        if number > 0 {
            out.push(b';');
        }
        match token.trim_ascii().strip_prefix(name).and_then(|rest| rest.strip_prefix(b"=")) {
            Some(value) if !value.is_empty() => {
                out.extend_from_slice(name);
                out.push(b'=');
                out.extend_from_slice(hasher.key_ref(value).as_bytes());
            }
            _ => out.extend_from_slice(token),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_every_tab() {
        for length in 0..200 {
            // Tabs near each other, at the ends, and none.
            for line in [vec![b'\t'; length], vec![b'x'; length], (0..length).map(|at| b"\tab"[at * at % 3]).collect()]
            {
                let mut cells = Cells { ends: vec![7], count: 7 };
                cells.split(&line);
                let found: Vec<_> = (0..cells.count).map(|column| &line[cell(&cells.ends, column)]).collect();
                assert_eq!(found, line.split(|byte| *byte == b'\t').collect::<Vec<_>>());
            }
        }
        let mut cells = Cells::default();
        cells.split(&[b'\t'; 1_000]);
        assert_eq!((cells.count, cells.ends.len()), (1_001, COLUMNS_MAX + 1));
    }
}
