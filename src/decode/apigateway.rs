//! API Gateway access-log records to rows of `origin_requests`, through the formats configured for the stage. A record
//! must hold every key of a format: one that was cut, or pieced together by a hostile value, does not. Keys beyond
//! those are passed over; the same key twice is refused, since a caller who can break out of a string would send one,
//! and so is a key of the format anywhere but in its place.
//!
//! Of several formats the one with the most keys that fits is taken, whenever the object arrived: what a record becomes
//! depends on its bytes alone, so that a second delivery after a change of format is still the same event.
//!
//! Formats that are not JSON have no keys to know a record by. There all formats are asked, and a record that fits one
//! in several ways, or two of them with other values, is refused.

use std::sync::Arc;

use super::columns::{Origin, OriginColumns};
use super::envelope::{Followed, FollowedRecord};
use super::error::Reject;
use super::json::{JsonError, Scalar, Scanner, Text, UnknownKeys};
use super::literal::{Literal, Split, Ways};
use super::lockstep::{Lockstep, Span};
use super::privacy::{KeyHasher, push_client_ip};
use super::template::{Member, Piece, Shape, TemplatePlan};
use super::text::{clf_time, epoch_millis, epoch_seconds, integer, push_clean};
use super::{ClientIp, Constants, Micros};

/// What is fixed for a source.
pub(super) struct OriginPlan {
    /// Those in JSON: the format with most keys first; of equals the latest configured.
    pub(super) formats: Vec<Fmt>,
    /// Those that are not JSON.
    pub(super) literals: Vec<(Literal, Fmt)>,
    pub(super) constants: Constants,
    pub(super) client_ip: ClientIp,
}

impl OriginPlan {
    /// The formats that can be read in lockstep, by their place.
    fn lockstep(&self) -> impl Iterator<Item = (usize, &Lockstep)> {
        self.formats.iter().enumerate().filter_map(|(at, format)| Some((at, format.lockstep.as_ref()?)))
    }

    /// Reads the record that `text` begins with, where it follows a format: which one, and its length. Its values are
    /// appended.
    pub(super) fn follow(&self, text: &[u8], spans: &mut Vec<Span>) -> Option<(usize, usize)> {
        self.lockstep().find_map(|(format, lockstep)| Some((format, lockstep.read(text, spans)?)))
    }

    /// The same for a record whose quotes are escaped, which is appended. Gives its length as it stands.
    pub(super) fn follow_escaped(&self, text: &[u8], followed: &mut Followed) -> Option<usize> {
        let Followed { text: unescaped, spans, records } = followed;
        let (start, first) = (unescaped.len(), spans.len());
        let (format, length) = self
            .lockstep()
            .find_map(|(format, lockstep)| Some((format, lockstep.unescape(text, unescaped, spans)?)))?;
        records.push(FollowedRecord { text: start..unescaped.len(), spans: first..spans.len(), format });
        Some(length)
    }
}

/// One format with the places of the variables it has.
pub(super) struct Fmt {
    pub(super) template: TemplatePlan,
    pub(super) slots: Slots,
    pub(super) lockstep: Option<Lockstep>,
}

impl Fmt {
    /// Whether callers cannot choose the id: the extended one, and the only one of HTTP APIs, are made by API Gateway.
    pub(super) fn id_is_unforgeable(&self) -> bool {
        let has = |name| self.template.slot(name).is_some();
        has("extendedRequestId") || has("routeKey") && !has("resourcePath")
    }
}

/// Places of the variables that become columns.
#[derive(Default)]
pub(super) struct Slots {
    pub(super) request_id: Option<usize>,
    pub(super) extended_id: Option<usize>,
    pub(super) time: Option<usize>,
    pub(super) time_epoch: Option<usize>,
    pub(super) key: Option<usize>,
    /// The key is `$context.identity.apiKey`: a secret.
    pub(super) key_is_secret: bool,
    account: Option<usize>,
    api_id: Option<usize>,
    stage: Option<usize>,
    domain: Option<usize>,
    method: Option<usize>,
    route: Option<usize>,
    path: Option<usize>,
    status: Option<usize>,
    response_bytes: Option<usize>,
    latency: Option<usize>,
    integration_latency: [Option<usize>; 2],
    integration_status: [Option<usize>; 2],
    waf_response: Option<usize>,
    error_type: Option<usize>,
    client_ip: Option<usize>,
    user_agent: Option<usize>,
    protocol: Option<usize>,
    subject: [Option<usize>; 3],
    edge_request_id: [Option<usize>; 2],
    /// Authorizer properties, sorted by name.
    authorizer: Vec<(String, usize)>,
}

impl Slots {
    /// `key`: the variable that holds the key, without `$context.`.
    pub(super) fn new(template: &TemplatePlan, key: Option<&str>) -> Self {
        let slot = |name| template.slot(name);
        let properties = template.variables.iter().enumerate();
        let properties = properties.filter_map(|(at, variable)| Some((variable.name.strip_prefix("authorizer.")?, at)));
        let mut authorizer: Vec<_> = properties.map(|(name, at)| (name.to_owned(), at)).collect();
        authorizer.sort_unstable();
        Self {
            request_id: slot("requestId"),
            extended_id: slot("extendedRequestId"),
            time: slot("requestTime"),
            time_epoch: slot("requestTimeEpoch"),
            key: key.and_then(slot),
            key_is_secret: key == Some("identity.apiKey"),
            account: slot("accountId"),
            api_id: slot("apiId"),
            stage: slot("stage"),
            domain: slot("domainName"),
            // A WebSocket API's events are CONNECT, MESSAGE and DISCONNECT.
            method: slot("httpMethod").or_else(|| slot("eventType")),
            route: slot("resourcePath").or_else(|| slot("routeKey")),
            path: slot("path"),
            status: slot("status"),
            response_bytes: slot("responseLength"),
            latency: slot("responseLatency"),
            integration_latency: [slot("integrationLatency"), slot("integration.latency")],
            integration_status: [slot("integration.status"), slot("integrationStatus")],
            waf_response: slot("wafResponseCode"),
            error_type: slot("error.responseType"),
            client_ip: slot("identity.sourceIp"),
            user_agent: slot("identity.userAgent"),
            protocol: slot("protocol"),
            subject: [slot("authorizer.customerId"), slot("authorizer.principalId"), slot("authorizer.claims.sub")],
            edge_request_id: [slot("authorizer.cfid"), slot("authorizer.edgeRequestId")],
            authorizer,
        }
    }

    /// The name of a slot for messages.
    fn name(template: &TemplatePlan, slot: usize) -> &str {
        &template.variables[slot].key
    }
}

/// Reads the records of one object.
pub(super) struct OriginReader {
    plan: Arc<OriginPlan>,
    columns: OriginColumns,
    record: Values,
    spans: Vec<Span>,
    ways: Ways,
    authorizer: String,
    text: String,
}

/// Variables and their values.
type Named<'a> = Vec<(&'a str, &'a [u8])>;

/// The values of one record by slot.
#[derive(Default)]
struct Values {
    cells: Vec<Cell>,
    /// Number of the record in which a key was last seen, by the key's number.
    seen: Vec<u64>,
    turn: u64,
    /// Strings that had escapes.
    unescaped: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Cell {
    Null,
    /// Within the record.
    Record(usize, usize),
    /// Within `unescaped`.
    Unescaped(usize, usize),
}

/// Why a record does not fit a format.
enum Misfit {
    /// It may fit another.
    Format(Reject),
    Record(Reject),
}

impl From<JsonError> for Misfit {
    fn from(error: JsonError) -> Self {
        Self::Record(error.into())
    }
}

impl OriginReader {
    pub(super) fn new(plan: &Arc<OriginPlan>, of: &Origin<'_>) -> Self {
        Self {
            plan: plan.clone(),
            columns: OriginColumns::new(of),
            record: Values::default(),
            spans: Vec::new(),
            ways: Ways::default(),
            authorizer: String::new(),
            text: String::new(),
        }
    }

    /// What is fixed for the source.
    pub(super) fn plan(&self) -> &Arc<OriginPlan> {
        &self.plan
    }

    /// Bytes that the rows so far take because of what their values hold.
    pub(super) fn bytes(&self) -> usize {
        self.columns.bytes()
    }

    /// The rows so far as a batch.
    pub(super) fn finish(&mut self, rows: usize) -> arrow::array::RecordBatch {
        self.columns.finish(rows)
    }

    /// Reads one record into a row and gives its time.
    pub(super) fn read(
        &mut self,
        record: &[u8],
        position: i64,
        fingerprint: i64,
        hasher: &mut KeyHasher,
    ) -> Result<Micros, Reject> {
        let plan = self.plan.clone();
        // White space around a JSON object means nothing; in other text it may be a value's.
        let (record, format) = if plan.literals.is_empty() {
            (record.trim_ascii(), self.json_format(record.trim_ascii(), &plan)?)
        } else {
            self.any_format(record, &plan)?
        };
        self.append(record, format, &plan, position, fingerprint, hasher)
    }

    /// Takes a record that was found to follow a format, and where its values stand; gives its time.
    pub(super) fn read_followed(
        &mut self,
        record: &[u8],
        (format, spans): (usize, &[Span]),
        position: i64,
        fingerprint: i64,
        hasher: &mut KeyHasher,
    ) -> Result<Micros, Reject> {
        let plan = self.plan.clone();
        if !plan.literals.is_empty() {
            // Formats that are not JSON have a say too.
            return self.read(record, position, fingerprint, hasher);
        }
        let format = &plan.formats[format];
        self.record.follow(spans, &format.template);
        self.append(record, format, &plan, position, fingerprint, hasher)
    }

    /// Reads a JSON record and gives its format.
    fn json_format<'p>(&mut self, record: &[u8], plan: &'p OriginPlan) -> Result<&'p Fmt, Reject> {
        if record.first() != Some(&b'{') {
            return Err(Reject::new("not_json", "a record begins with something other than `{`"));
        }
        for (format, lockstep) in plan.lockstep() {
            let mut spans = std::mem::take(&mut self.spans);
            spans.clear();
            let follows = lockstep.read(record, &mut spans) == Some(record.len());
            let format = &plan.formats[format];
            if follows {
                self.record.follow(&spans, &format.template);
            }
            self.spans = spans;
            if follows {
                return Ok(format);
            }
        }
        let mut refused = None;
        for format in &plan.formats {
            match self.record.read(record, &format.template) {
                Ok(()) => return Ok(format),
                Err(Misfit::Record(reject)) => return Err(reject),
                // The last format is the smallest: what it lacks says most.
                Err(Misfit::Format(reject)) => refused = Some(reject),
            }
        }
        Err(refused.unwrap_or_else(|| Reject::new("keys", "no format is configured")))
    }

    /// Reads a record of any format, and gives the format and the record as it was read.
    fn any_format<'r, 'p>(&mut self, record: &'r [u8], plan: &'p OriginPlan) -> Result<(&'r [u8], &'p Fmt), Reject> {
        let mut found: Option<(&Fmt, Named<'_>)> = None;
        let mut lost: Option<Reject> = None;
        for (literal, format) in &plan.literals {
            match literal.split(record, &mut self.ways) {
                Split::One => {}
                Split::Several(first, last) => return Err(several(&format.template, first, last)),
                Split::None(at) => {
                    if plan.literals.len() == 1 {
                        lost = Some(misfit(&format.template, at));
                    }
                    continue;
                }
            }
            self.record.take(&self.ways, record, &format.template)?;
            let values = self.record.values(record, &format.template);
            match &found {
                Some((_, others)) if *others != values => {
                    return Err(Reject::new("ambiguous", "two of the configured formats fit it, with other values"));
                }
                Some(_) => {}
                None => found = Some((format, values)),
            }
        }
        let trimmed = record.trim_ascii();
        let json = !plan.formats.is_empty() && trimmed.first() == Some(&b'{');
        match (found, json) {
            (None, true) => Ok((trimmed, self.json_format(trimmed, plan)?)),
            (Some(_), true) if self.json_format(trimmed, plan).is_ok() => {
                Err(Reject::new("ambiguous", "it fits a JSON format and another one"))
            }
            (Some((format, _)), _) => {
                // Another format may have been read since.
                if let Some((literal, _)) = plan.literals.iter().find(|(_, other)| std::ptr::eq(other, format)) {
                    literal.split(record, &mut self.ways);
                    self.record.take(&self.ways, record, &format.template)?;
                }
                Ok((record, format))
            }
            (None, false) => {
                Err(lost.unwrap_or_else(|| Reject::new("format", "none of the configured formats fits it")))
            }
        }
    }

    fn append(
        &mut self,
        record: &[u8],
        format: &Fmt,
        plan: &OriginPlan,
        position: i64,
        fingerprint: i64,
        hasher: &mut KeyHasher,
    ) -> Result<Micros, Reject> {
        let Fmt { template, slots, .. } = format;
        let values = &self.record;
        let get = |slot: Option<usize>| values.get(record, slot?);
        let first = |slots: &[Option<usize>]| slots.iter().find_map(|&slot| get(slot));
        let number = |slots: &[Option<usize>], max: i64| {
            let Some((slot, raw)) = slots.iter().find_map(|&slot| Some((slot?, get(slot)?))) else { return Ok(None) };
            integer(raw).filter(|value| *value <= max).map(Some).ok_or_else(|| {
                Reject::new(
                    "bad_number",
                    format!("`{}` is not a whole number in its range", Slots::name(template, slot)),
                )
            })
        };
        let at = event_time(get(slots.time_epoch), get(slots.time))?;
        let (id, caller_id) = match slots.extended_id {
            Some(_) => (get(slots.extended_id), get(slots.request_id)),
            None => (get(slots.request_id), None),
        };
        let id = id.ok_or_else(|| Reject::new("no_id", "the request id is missing"))?;
        let status = number(&[slots.status], 999)?;
        let response_bytes = number(&[slots.response_bytes], i64::MAX)?;
        let latency_ms = number(&[slots.latency], i64::from(i32::MAX))?;
        let integration_latency_ms = number(&slots.integration_latency, i64::from(i32::MAX))?;
        let integration_status = number(&slots.integration_status, 999)?;

        let small = |value: Option<i64>| value.map(|value| value as i16);
        let int = |value: Option<i64>| value.map(|value| value as i32);
        let or = |value, constant: &Option<String>, column: &mut super::label::Label| match (value, constant) {
            (None, Some(constant)) => column.text(constant),
            (value, _) => column.clean(value),
        };
        let c = &mut self.columns;
        c.event_time.append_value(at.0);
        c.request_id.clean(Some(id));
        c.caller_request_id.clean(caller_id);
        c.fingerprint.append_value(fingerprint);
        let key = get(slots.key);
        let hashed = key.filter(|_| slots.key_is_secret).map(|key| hasher.hashed(key));
        c.key_ref.clean(hashed.as_ref().map(|hashed| hashed.key_ref.as_bytes().as_slice()).or(key));
        c.key_state.text(if key.is_some() { "present" } else { "absent" });
        // A secret key may stand nowhere else in the row.
        let secret = hashed.as_ref().map(|hashed| &hashed.scrub);
        let private = |value, column: &mut super::label::Label| match value {
            Some(value) => column.private_bytes(value, secret),
            None => column.null(),
        };
        private(first(&slots.subject), &mut c.subject);
        or(get(slots.account), &plan.constants.account, &mut c.account);
        or(None, &plan.constants.region, &mut c.region);
        c.api_id.clean(get(slots.api_id));
        or(get(slots.stage), &plan.constants.stage, &mut c.stage);
        c.domain.clean(get(slots.domain));
        private(get(slots.method), &mut c.method);
        c.route.clean(get(slots.route));
        match get(slots.path) {
            Some(path) => c.path.private_bytes(path, secret),
            None => c.path.null(),
        }
        c.status.append_option(small(status));
        c.response_bytes.append_option(response_bytes);
        c.latency_ms.append_option(int(latency_ms));
        c.integration_latency_ms.append_option(int(integration_latency_ms));
        c.integration_status.append_option(small(integration_status));
        c.waf_response.clean(get(slots.waf_response));
        private(get(slots.error_type), &mut c.error_type);
        self.text.clear();
        match get(slots.client_ip).and_then(|raw| std::str::from_utf8(raw).ok()) {
            Some(ip) if push_client_ip(plan.client_ip, ip, &mut self.text) => {
                c.client_ip.clean(Some(self.text.as_bytes()))
            }
            _ => c.client_ip.null(),
        }
        private(get(slots.user_agent), &mut c.user_agent);
        c.protocol.clean(get(slots.protocol));
        self.authorizer.clear();
        if push_properties(&slots.authorizer, get, &mut self.authorizer) {
            c.authorizer.private_bytes(self.authorizer.as_bytes(), secret);
        } else {
            c.authorizer.null();
        }
        match first(&slots.edge_request_id) {
            Some(id) => c.edge_request_id.private_bytes(id, secret),
            None => c.edge_request_id.null(),
        }
        c.source_position.append_value(position);
        Ok(at)
    }
}

/// The epoch variable is exact to the millisecond and wins. REST APIs write milliseconds; seconds cannot be mistaken for them.
fn event_time(epoch: Option<&[u8]>, text: Option<&[u8]>) -> Result<Micros, Reject> {
    let time = match (epoch, text) {
        (Some(epoch), _) => epoch_millis(epoch).or_else(|| epoch_seconds(epoch)),
        (None, Some(text)) => clf_time(text),
        (None, None) => return Err(Reject::new("no_time", "the request time is missing")),
    };
    time.ok_or_else(|| Reject::new("bad_time", "the request time is not a believable time"))
}

/// Appends the properties as a JSON object; false where none has a value.
fn push_properties<'a>(
    properties: &[(String, usize)],
    get: impl Fn(Option<usize>) -> Option<&'a [u8]>,
    out: &mut String,
) -> bool {
    let mut any = false;
    for (number, (name, slot)) in properties.iter().enumerate() {
        out.push(if number == 0 { '{' } else { ',' });
        push_quoted(name.as_bytes(), out);
        out.push(':');
        match get(Some(*slot)) {
            Some(value) => {
                any = true;
                push_quoted(value, out);
            }
            None => out.push_str("null"),
        }
    }
    if any {
        out.push('}');
    }
    any
}

fn push_quoted(text: &[u8], out: &mut String) {
    out.push('"');
    for part in text.split_inclusive(|byte| matches!(byte, b'"' | b'\\')) {
        match part.split_last() {
            Some((special @ (b'"' | b'\\'), before)) => {
                push_clean(before, out);
                out.push('\\');
                out.push(*special as char);
            }
            _ => push_clean(part, out),
        }
    }
    out.push('"');
}

impl Values {
    /// Takes the values of a record that follows the format to the letter.
    fn follow(&mut self, spans: &[Span], template: &TemplatePlan) {
        self.cells.clear();
        self.cells.resize(template.variables.len(), Cell::Null);
        for span in spans {
            self.cells[span.slot as usize] = Cell::Record(span.from as usize, span.to as usize);
        }
    }

    fn read(&mut self, record: &[u8], template: &TemplatePlan) -> Result<(), Misfit> {
        self.cells.clear();
        self.cells.resize(template.variables.len(), Cell::Null);
        self.seen.resize(self.seen.len().max(template.keys), 0);
        self.turn += 1;
        self.unescaped.clear();
        let mut scanner = Scanner::new(record);
        self.object(&mut scanner, template, 0)?;
        Ok(scanner.end()?)
    }

    fn object(&mut self, scanner: &mut Scanner<'_>, template: &TemplatePlan, place: usize) -> Result<(), Misfit> {
        let members = &template.objects[place];
        let (mut found, mut next) = (0, 0);
        let mut unknown = UnknownKeys::default();
        scanner.object(|scanner, key| {
            let Some(at) = lookup(members, key, next) else {
                unknown.add(key, "too many keys that no format has").map_err(Misfit::Record)?;
                if place > 0 && template.has_key(key) {
                    return Err(duplicate());
                }
                return foreign(scanner, template);
            };
            next = at + 1;
            let member = &members[at];
            if std::mem::replace(&mut self.seen[member.number], self.turn) == self.turn {
                return Err(duplicate());
            }
            found += 1;
            self.value(scanner, template, member)
        })?;
        if found == members.len() {
            return Ok(());
        }
        let missing = members.iter().find(|member| self.seen[member.number] != self.turn);
        let key = missing.map_or_else(String::new, |member| String::from_utf8_lossy(&member.key).into_owned());
        Err(Misfit::Format(Reject::new("keys", format!("key `{key}` of the configured format is missing"))))
    }

    fn value(&mut self, scanner: &mut Scanner<'_>, template: &TemplatePlan, member: &Member) -> Result<(), Misfit> {
        let starts = scanner.peek();
        match &member.value {
            Shape::Fixed => Ok(scanner.skip()?),
            Shape::Object(place) if starts == Some(b'{') => self.object(scanner, template, *place),
            Shape::Variable(slot) if !matches!(starts, Some(b'{' | b'[')) => {
                self.cells[*slot] = self.cell(scanner.scalar()?);
                Ok(())
            }
            Shape::Mixed(pieces) if !matches!(starts, Some(b'{' | b'[')) => {
                let cell = self.cell(scanner.scalar()?);
                self.take_apart(scanner.whole(), cell, pieces, member)
            }
            _ => Err(Misfit::Format(Reject::new("keys", format!("{} has a value of another kind", shown(member))))),
        }
    }

    fn cell(&mut self, scalar: Scalar<'_>) -> Cell {
        match scalar {
            Scalar::Null => Cell::Null,
            Scalar::Text(text) if text.escaped => {
                let start = self.unescaped.len();
                text.unescape(&mut self.unescaped);
                Cell::Unescaped(start, self.unescaped.len())
            }
            Scalar::Text(text) => Cell::Record(text.at, text.at + text.raw.len()),
            Scalar::Literal(at, literal) => Cell::Record(at, at + literal.len()),
        }
    }

    /// Takes what a format that is not JSON found.
    fn take(&mut self, ways: &Ways, record: &[u8], template: &TemplatePlan) -> Result<(), Reject> {
        self.cells.clear();
        self.cells.resize(template.variables.len(), Cell::Null);
        for &(slot, from, to) in &ways.spans {
            match self.cells[slot] {
                Cell::Record(start, end) if record[start..end] != record[from..to] => {
                    let detail = format!("`{}` stands in it twice, with other values", Slots::name(template, slot));
                    return Err(Reject::new("ambiguous", detail));
                }
                _ => self.cells[slot] = Cell::Record(from, to),
            }
        }
        Ok(())
    }

    /// The variables that have a value, by name.
    fn values<'a>(&self, record: &'a [u8], template: &'a TemplatePlan) -> Named<'a> {
        let variables = template.variables.iter().enumerate();
        let value = |slot: usize| match self.cells[slot] {
            Cell::Record(from, to) => Some(&record[from..to]).filter(|value| !is_none(value)),
            _ => None,
        };
        let mut values: Vec<_> =
            variables.filter_map(|(slot, variable)| Some((variable.name.as_str(), value(slot)?))).collect();
        values.sort_unstable();
        values
    }

    fn take_apart(&mut self, record: &[u8], cell: Cell, pieces: &[Piece], member: &Member) -> Result<(), Misfit> {
        let (bytes, start) = match cell {
            Cell::Null => return Ok(()),
            Cell::Record(start, end) => (&record[start..end], start),
            Cell::Unescaped(start, end) => (&self.unescaped[start..end], start),
        };
        let part = |from: usize, to: usize| match cell {
            Cell::Unescaped(..) => Cell::Unescaped(start + from, start + to),
            _ => Cell::Record(start + from, start + to),
        };
        let misfit = || {
            Misfit::Format(Reject::new("keys", format!("{} is not made as the configured format says", shown(member))))
        };
        let mut at = 0;
        for (number, piece) in pieces.iter().enumerate() {
            match (piece, pieces.get(number + 1)) {
                (Piece::Fixed(text), _) => {
                    if !bytes[at..].starts_with(text) {
                        return Err(misfit());
                    }
                    at += text.len();
                }
                (Piece::Variable(slot), next) => {
                    let rest = &bytes[at..];
                    let length = match next {
                        None => Some(rest.len()),
                        // After the last variable the fixed text must end the value: whatever stands before is the variable.
                        Some(Piece::Fixed(text)) if number + 2 == pieces.len() => {
                            rest.len().checked_sub(text.len()).filter(|&length| rest[length..] == **text)
                        }
                        Some(Piece::Fixed(text)) => memchr::memmem::find(rest, text),
                        Some(Piece::Variable(_)) => None,
                    };
                    let length = length.ok_or_else(misfit)?;
                    self.cells[*slot] = part(at, at + length);
                    at += length;
                }
            }
        }
        if at == bytes.len() { Ok(()) } else { Err(misfit()) }
    }

    /// The value of a variable; `-` and an empty one are none.
    fn get<'a>(&'a self, record: &'a [u8], slot: usize) -> Option<&'a [u8]> {
        let value = match self.cells[slot] {
            Cell::Null => return None,
            Cell::Record(start, end) => &record[start..end],
            Cell::Unescaped(start, end) => &self.unescaped[start..end],
        };
        (!is_none(value)).then_some(value)
    }
}

/// How a value that is not there is written.
fn is_none(value: &[u8]) -> bool {
    matches!(value, b"" | b"-")
}

fn several(template: &TemplatePlan, first: usize, last: usize) -> Reject {
    let name = |slot| Slots::name(template, slot);
    let detail = format!("it can be taken apart in more than one way, from `{}` to `{}`", name(first), name(last));
    Reject::new("ambiguous", detail)
}

fn misfit(template: &TemplatePlan, at: Option<usize>) -> Reject {
    let detail = match at {
        None => "it does not begin as the configured format does".to_owned(),
        Some(slot) => format!("what stands at `{}` is not as in the configured format", Slots::name(template, slot)),
    };
    Reject::new("format", detail)
}

/// Keys mostly come in the format's order: the next one is tried first.
fn lookup(members: &[Member], key: Text<'_>, next: usize) -> Option<usize> {
    if members.get(next).is_some_and(|member| key.is(&member.key)) {
        return Some(next);
    }
    members.iter().position(|member| key.is(&member.key))
}

/// Passes over a value under a key that no format has. A caller who can break out of strings in two places could put the
/// keys between them into an object of their own, and give them anew outside: a format's key has no business there.
fn foreign(scanner: &mut Scanner<'_>, template: &TemplatePlan) -> Result<(), Misfit> {
    match scanner.peek() {
        Some(b'{') => scanner.object(
            |scanner, key| {
                if template.has_key(key) { Err(duplicate()) } else { foreign(scanner, template) }
            },
        ),
        Some(b'[') => scanner.array(|scanner| foreign(scanner, template)),
        _ => Ok(scanner.scalar().map(drop)?),
    }
}

fn duplicate() -> Misfit {
    Misfit::Record(Reject::duplicate_key())
}

fn shown(member: &Member) -> String {
    format!("key `{}`", String::from_utf8_lossy(&member.key))
}
