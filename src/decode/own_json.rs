//! JSON that a function or a backend of one's own writes, to rows of either table of events: the configuration says
//! by which keys each column is reached. An object must have an id and a time; a column whose key is missing, null,
//! empty or `-` is NULL; a value that is no number where one belongs, or an object where a value belongs, makes a
//! reject.
//!
//! In CloudWatch Logs, Lambda puts its own words before what a function writes, and lines of its own between: the
//! former are passed over where they are exactly Lambda's, the latter are control messages.

use std::sync::Arc;

use super::columns::{EdgeColumns, Origin, OriginColumns};
use super::error::Reject;
use super::json_paths::{Clash, Found, Paths};
use super::label::Label;
use super::privacy::{HashedKey, KeyHasher, push_client_ip};
use super::redact::{Scrub, push_without};
use super::text::{any_time, decimal, integer};
use super::{ClientIp, Constants, KeySpec, Micros, OwnJson, SpecError};
use crate::schema::Table;

/// Numbers of the values that become columns.
macro_rules! slots {
    ($name:ident { $($column:ident),* $(,)? }) => {
        #[derive(Default)]
        pub(super) struct $name { $($column: Option<usize>),* }

        impl $name {
            const COLUMNS: &[&str] = &[$(stringify!($column)),*];

            fn set(&mut self, column: &str, slot: usize) {
                match column {
                    $(stringify!($column) => self.$column = Some(slot),)*
                    _ => {}
                }
            }
        }
    };
}

slots!(OriginSlots {
    request_id,
    event_time,
    caller_request_id,
    subject,
    account,
    region,
    api_id,
    stage,
    domain,
    method,
    route,
    path,
    status,
    response_bytes,
    latency_ms,
    integration_latency_ms,
    integration_status,
    waf_response,
    error_type,
    client_ip,
    user_agent,
    protocol,
    edge_request_id,
});

slots!(EdgeSlots {
    request_id,
    event_time,
    method,
    host,
    path,
    query,
    status,
    request_bytes,
    response_bytes,
    time_taken_ms,
    time_to_first_byte_ms,
    origin_latency_ms,
    edge_location,
    result_type,
    response_result_type,
    detailed_result_type,
    country,
    asn,
    client_ip,
    user_agent,
    referer,
    protocol,
    tls_protocol,
    content_type,
    distribution,
    behavior,
});

enum Slots {
    Origin(OriginSlots),
    Edge(EdgeSlots),
}

/// Where the key stands, and whether it is hashed.
struct Key {
    slot: usize,
    plain: bool,
}

/// What is fixed for a source.
pub(super) struct OwnPlan {
    pub(super) table: Table,
    paths: Paths,
    slots: Slots,
    key: Option<Key>,
    /// Lower-case names of query parameters that are never stored.
    removed: Vec<Vec<u8>>,
    constants: Constants,
    client_ip: ClientIp,
}

impl OwnPlan {
    /// Checks the columns; `key` is of a kind that own JSON can carry.
    pub(super) fn new(
        own: &OwnJson,
        key: &KeySpec,
        constants: &Constants,
        client_ip: ClientIp,
    ) -> Result<Self, SpecError> {
        let (mut slots, known) = match own.table {
            Table::OriginRequests => (Slots::Origin(OriginSlots::default()), OriginSlots::COLUMNS),
            Table::EdgeRequests => (Slots::Edge(EdgeSlots::default()), EdgeSlots::COLUMNS),
            other => return Err(SpecError::NoEventTable { table: other.name() }),
        };
        let mut paths = Paths::new();
        let mut add = |path: &[String]| {
            let added = paths.add(path.iter().map(String::as_str));
            added.map_err(|Clash| SpecError::BadPath { path: path.join(".") })
        };
        for (column, path) in &own.columns {
            if !known.contains(&column.as_str()) {
                let nearest = super::fields::nearest(column, known);
                return Err(SpecError::UnknownColumn { name: column.clone(), table: own.table.name(), nearest });
            }
            let slot = add(path)?;
            match &mut slots {
                Slots::Origin(slots) => slots.set(column, slot),
                Slots::Edge(slots) => slots.set(column, slot),
            }
        }
        let (id, time) = match &slots {
            Slots::Origin(slots) => (slots.request_id, slots.event_time),
            Slots::Edge(slots) => (slots.request_id, slots.event_time),
        };
        if id.is_none() {
            let why = "it tells a record delivered twice from two requests";
            return Err(SpecError::MissingColumn { column: "request_id", why });
        }
        if time.is_none() {
            return Err(SpecError::MissingColumn { column: "event_time", why: "every event needs its time" });
        }
        let mut removed = vec![b"cf_api_key".to_vec()];
        let key = match key {
            KeySpec::Path { path, plain } => {
                removed.extend(path.last().map(|name| name.to_ascii_lowercase().into_bytes()));
                Some(Key { slot: add(path)?, plain: *plain })
            }
            _ => None,
        };
        Ok(Self { table: own.table, paths, slots, key, removed, constants: constants.clone(), client_ip })
    }
}

/// Reads the records of one object.
pub(super) struct OwnReader {
    plan: Arc<OwnPlan>,
    columns: OwnColumns,
    found: Found,
    text: String,
    scratch: Vec<u8>,
    redacted: Vec<u8>,
}

enum OwnColumns {
    Origin(Box<OriginColumns>),
    Edge(Box<EdgeColumns>),
}

impl OwnReader {
    pub(super) fn new(plan: &Arc<OwnPlan>, of: &Origin<'_>) -> Self {
        Self {
            plan: plan.clone(),
            columns: match plan.slots {
                Slots::Origin(_) => OwnColumns::Origin(Box::new(OriginColumns::new(of))),
                Slots::Edge(_) => OwnColumns::Edge(Box::new(EdgeColumns::new(of))),
            },
            found: Found::default(),
            text: String::new(),
            scratch: Vec::new(),
            redacted: Vec::new(),
        }
    }

    /// Bytes that the rows so far take because of what their values hold.
    pub(super) fn bytes(&self) -> usize {
        match &self.columns {
            OwnColumns::Origin(columns) => columns.bytes(),
            OwnColumns::Edge(columns) => columns.bytes(),
        }
    }

    /// The rows so far as a batch.
    pub(super) fn finish(&mut self, rows: usize) -> arrow::array::RecordBatch {
        match &mut self.columns {
            OwnColumns::Origin(columns) => columns.finish(rows),
            OwnColumns::Edge(columns) => columns.finish(rows),
        }
    }

    /// Reads one record into a row and gives its time.
    pub(super) fn read(
        &mut self,
        record: &[u8],
        position: i64,
        fingerprint: i64,
        hasher: &mut KeyHasher,
    ) -> Result<Micros, Reject> {
        if record.first() != Some(&b'{') {
            return Err(Reject::new("not_json", "a record begins with something other than `{`"));
        }
        let plan = self.plan.clone();
        self.found.read(record, &plan.paths)?;
        let Self { columns, found, text, scratch, redacted, .. } = self;
        let values = Values { record, found };
        let key = plan.key.as_ref().and_then(|key| Some((values.get(Some(key.slot))?, key.plain)));
        let hashed = key.filter(|(_, plain)| !plain).map(|(key, _)| hasher.hashed(key));
        let common = Common { key: key.map(|(key, _)| key), hashed: hashed.as_deref(), position, fingerprint };
        let mut free = Free { plan: &plan, secret: hashed.as_ref().map(|key| &key.scrub), text, scratch, redacted };
        match (&plan.slots, columns) {
            (Slots::Origin(slots), OwnColumns::Origin(columns)) => origin(slots, &values, &common, &mut free, columns),
            (Slots::Edge(slots), OwnColumns::Edge(columns)) => edge(slots, &values, &common, &mut free, columns),
            _ => unreachable!("the columns are those of the plan's table"),
        }
    }
}

/// The values of one record.
struct Values<'a> {
    record: &'a [u8],
    found: &'a Found,
}

impl<'a> Values<'a> {
    fn get(&self, slot: Option<usize>) -> Option<&'a [u8]> {
        self.found.get(self.record, slot?)
    }

    fn id(&self, slot: Option<usize>) -> Result<&'a [u8], Reject> {
        self.get(slot).ok_or_else(|| Reject::new("no_id", "`request_id` is missing"))
    }

    fn time(&self, slot: Option<usize>) -> Result<Micros, Reject> {
        let raw = self.get(slot).ok_or_else(|| Reject::new("no_time", "`event_time` is missing"))?;
        let wanted = "`event_time` is neither a time with its zone (RFC 3339) nor a believable number since the epoch";
        any_time(raw).ok_or_else(|| Reject::new("bad_time", wanted))
    }

    fn number(&self, slot: Option<usize>, column: &'static str, max: i64) -> Result<Option<i64>, Reject> {
        self.read(slot, column, max, integer)
    }

    /// Milliseconds; a fraction is cut off.
    fn millis(&self, slot: Option<usize>, column: &'static str) -> Result<Option<i32>, Reject> {
        let read = |raw: &[u8]| integer(raw).or_else(|| Some(decimal(raw, 3)? / 1_000));
        Ok(self.read(slot, column, i64::from(i32::MAX), read)?.map(|value| value as i32))
    }

    fn status(&self, slot: Option<usize>, column: &'static str) -> Result<Option<i16>, Reject> {
        Ok(self.number(slot, column, 999)?.map(|value| value as i16))
    }

    fn read(
        &self,
        slot: Option<usize>,
        column: &'static str,
        max: i64,
        read: impl Fn(&[u8]) -> Option<i64>,
    ) -> Result<Option<i64>, Reject> {
        let Some(raw) = self.get(slot) else { return Ok(None) };
        read(raw)
            .filter(|value| *value <= max)
            .map(Some)
            .ok_or_else(|| Reject::new("bad_number", format!("`{column}` is not a number in its range")))
    }
}

/// What both tables have.
struct Common<'a> {
    key: Option<&'a [u8]>,
    hashed: Option<&'a HashedKey>,
    position: i64,
    fingerprint: i64,
}

impl Common<'_> {
    fn key(&self, key_ref: &mut Label, key_state: &mut Label) {
        key_ref.clean(self.hashed.map(|hashed| hashed.key_ref.as_bytes().as_slice()).or(self.key));
        key_state.text(if self.key.is_some() { "present" } else { "absent" });
    }
}

/// What is needed to store what callers write freely.
struct Free<'a> {
    plan: &'a OwnPlan,
    secret: Option<&'a Scrub>,
    text: &'a mut String,
    scratch: &'a mut Vec<u8>,
    redacted: &'a mut Vec<u8>,
}

impl Free<'_> {
    fn client_ip(&mut self, raw: Option<&[u8]>, column: &mut Label) {
        self.text.clear();
        match raw.and_then(|raw| std::str::from_utf8(raw).ok()) {
            Some(ip) if push_client_ip(self.plan.client_ip, ip, self.text) => column.clean(Some(self.text.as_bytes())),
            _ => column.null(),
        }
    }

    fn label(&self, raw: Option<&[u8]>, column: &mut Label) {
        match raw {
            Some(raw) => column.private_bytes(raw, self.secret),
            None => column.null(),
        }
    }

    fn path(&self, raw: Option<&[u8]>, column: &mut super::columns::Text) {
        match raw {
            Some(raw) => column.private_bytes(raw, self.secret),
            None => column.null(),
        }
    }

    /// Leaves the query without the parameters that hold keys in `redacted`, after `before`.
    fn redact(&mut self, before: &[u8], query: &[u8]) {
        self.redacted.clear();
        self.redacted.extend_from_slice(before);
        push_without(query, &self.plan.removed, self.scratch, self.redacted);
    }
}

/// A path without its query, and that.
fn split_query(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    memchr::memchr(b'?', path).map_or((path, None), |at| (&path[..at], Some(&path[at + 1..])))
}

fn or_constant(value: Option<&[u8]>, constant: Option<&String>, column: &mut Label) {
    column.clean(value.or(constant.map(|constant| constant.as_bytes())));
}

fn origin(
    slots: &OriginSlots,
    values: &Values<'_>,
    common: &Common<'_>,
    free: &mut Free<'_>,
    c: &mut OriginColumns,
) -> Result<Micros, Reject> {
    let get = |slot| values.get(slot);
    let (id, at) = (values.id(slots.request_id)?, values.time(slots.event_time)?);
    let status = values.status(slots.status, "status")?;
    let response_bytes = values.number(slots.response_bytes, "response_bytes", i64::MAX)?;
    let latency_ms = values.millis(slots.latency_ms, "latency_ms")?;
    let integration_latency_ms = values.millis(slots.integration_latency_ms, "integration_latency_ms")?;
    let integration_status = values.status(slots.integration_status, "integration_status")?;
    let constants = &free.plan.constants;

    c.event_time.append_value(at.0);
    c.request_id.clean(Some(id));
    c.caller_request_id.clean(get(slots.caller_request_id));
    c.fingerprint.append_value(common.fingerprint);
    common.key(&mut c.key_ref, &mut c.key_state);
    free.label(get(slots.subject), &mut c.subject);
    or_constant(get(slots.account), constants.account.as_ref(), &mut c.account);
    or_constant(get(slots.region), constants.region.as_ref(), &mut c.region);
    c.api_id.clean(get(slots.api_id));
    or_constant(get(slots.stage), constants.stage.as_ref(), &mut c.stage);
    free.label(get(slots.domain), &mut c.domain);
    free.label(get(slots.method), &mut c.method);
    free.label(get(slots.route), &mut c.route);
    free.path(get(slots.path).map(|path| split_query(path).0), &mut c.path);
    c.status.append_option(status);
    c.response_bytes.append_option(response_bytes);
    c.latency_ms.append_option(latency_ms);
    c.integration_latency_ms.append_option(integration_latency_ms);
    c.integration_status.append_option(integration_status);
    c.waf_response.clean(get(slots.waf_response));
    free.label(get(slots.error_type), &mut c.error_type);
    free.client_ip(get(slots.client_ip), &mut c.client_ip);
    free.label(get(slots.user_agent), &mut c.user_agent);
    c.protocol.clean(get(slots.protocol));
    c.authorizer.null();
    c.edge_request_id.clean(get(slots.edge_request_id));
    c.source_position.append_value(common.position);
    Ok(at)
}

fn edge(
    slots: &EdgeSlots,
    values: &Values<'_>,
    common: &Common<'_>,
    free: &mut Free<'_>,
    c: &mut EdgeColumns,
) -> Result<Micros, Reject> {
    let get = |slot| values.get(slot);
    let (id, at) = (values.id(slots.request_id)?, values.time(slots.event_time)?);
    let status = values.status(slots.status, "status")?;
    let request_bytes = values.number(slots.request_bytes, "request_bytes", i64::MAX)?;
    let response_bytes = values.number(slots.response_bytes, "response_bytes", i64::MAX)?;
    let time_taken_ms = values.millis(slots.time_taken_ms, "time_taken_ms")?;
    let time_to_first_byte_ms = values.millis(slots.time_to_first_byte_ms, "time_to_first_byte_ms")?;
    let origin_latency_ms = values.millis(slots.origin_latency_ms, "origin_latency_ms")?;
    let asn = values.number(slots.asn, "asn", i64::MAX)?;

    c.event_time.append_value(at.0);
    c.request_id.clean(Some(id));
    c.fingerprint.append_value(common.fingerprint);
    common.key(&mut c.key_ref, &mut c.key_state);
    c.log_data.null();
    free.label(get(slots.method), &mut c.method);
    free.label(get(slots.host), &mut c.host);
    let (path, query) = get(slots.path).map_or((None, None), |path| {
        let (path, query) = split_query(path);
        (Some(path), query)
    });
    free.path(path, &mut c.path);
    match get(slots.query).map(|query| query.strip_prefix(b"?").unwrap_or(query)).or(query) {
        Some(query) => {
            free.redact(b"", query);
            c.query.private_bytes(free.redacted, free.secret);
        }
        None => c.query.null(),
    }
    c.status.append_option(status);
    c.request_bytes.append_option(request_bytes);
    c.response_bytes.append_option(response_bytes);
    c.time_taken_ms.append_option(time_taken_ms);
    c.time_to_first_byte_ms.append_option(time_to_first_byte_ms);
    c.origin_latency_ms.append_option(origin_latency_ms);
    c.edge_location.clean(get(slots.edge_location));
    c.result_type.clean(get(slots.result_type));
    c.response_result_type.clean(get(slots.response_result_type));
    c.detailed_result_type.clean(get(slots.detailed_result_type));
    c.country.clean(get(slots.country));
    c.asn.append_option(asn);
    free.client_ip(get(slots.client_ip), &mut c.client_ip);
    free.label(get(slots.user_agent), &mut c.user_agent);
    match get(slots.referer) {
        Some(referer) => {
            let (before, query) = split_query(referer);
            free.redact(&referer[..before.len() + usize::from(query.is_some())], query.unwrap_or_default());
            c.referer.private_bytes(free.redacted, free.secret);
        }
        None => c.referer.null(),
    }
    c.protocol.clean(get(slots.protocol));
    c.tls_protocol.clean(get(slots.tls_protocol));
    free.label(get(slots.content_type), &mut c.content_type);
    c.distribution.clean(get(slots.distribution));
    c.behavior.clean(get(slots.behavior));
    c.source_position.append_value(common.position);
    Ok(at)
}

/// Whether a log event is one of Lambda's own lines about an invocation.
pub(super) fn is_of_lambda(message: &[u8]) -> bool {
    let own: [&[u8]; 4] =
        [b"START RequestId: ", b"END RequestId: ", b"REPORT RequestId: ", b"INIT_START Runtime Version: "];
    own.iter().any(|own| message.starts_with(own))
}

/// What a function wrote, without what Lambda puts before it: `time TAB request id TAB level TAB`, or, in Python,
/// `[level] TAB time TAB request id TAB`.
pub(super) fn without_prefix(message: &[u8]) -> &[u8] {
    let mut cells = message.splitn(4, |&byte| byte == b'\t');
    let (Some(a), Some(b), Some(c), Some(rest)) = (cells.next(), cells.next(), cells.next(), cells.next()) else {
        return message;
    };
    let is_level = |text: &[u8]| (1..=8).contains(&text.len()) && text.iter().all(u8::is_ascii_uppercase);
    let is_id = |text: &[u8]| text.len() == 36 && text.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-');
    let in_brackets =
        |text: &[u8]| text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]")).is_some_and(is_level);
    let is_prefix =
        any_time(a).is_some() && is_id(b) && is_level(c) || in_brackets(a) && any_time(b).is_some() && is_id(c);
    if is_prefix && rest.starts_with(b"{") { rest } else { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_that_can_be_filled_is_one_of_the_table() {
        for (table, columns) in
            [(Table::OriginRequests, OriginSlots::COLUMNS), (Table::EdgeRequests, EdgeSlots::COLUMNS)]
        {
            let known: Vec<_> = table.columns().iter().map(|column| column.name).collect();
            assert!(columns.iter().all(|column| known.contains(column)));
            let ours = ["day", "fingerprint", "conflict", "key_ref", "key_state", "log_data", "log_kind", "authorizer"];
            let ours = ours.into_iter().chain(["source", "source_object", "source_position", "decoder"]);
            let filled: Vec<_> = ours.chain(columns.iter().copied()).collect();
            assert!(known.iter().all(|column| filled.contains(column)), "{known:?}");
        }
    }

    #[test]
    fn only_lambdas_own_words_are_passed_over() {
        let id = "6bc28136-xxxx".replace("xxxx", "b1d7-4e0a-9c3f-0123456789ab");
        let node = format!("2026-02-03T04:05:06.789Z\t{id}\tINFO\t{{\"a\":1}}");
        assert_eq!(without_prefix(node.as_bytes()), b"{\"a\":1}");
        let python = format!("[WARNING]\t2026-02-03T04:05:06.789Z\t{id}\t{{\"a\":1}}\n");
        assert_eq!(without_prefix(python.as_bytes()), b"{\"a\":1}\n");
        for other in [
            node.replace("INFO\t", "INFO\tpath /\t"),
            node.replace("INFO", "a\"b"),
            node.replace("2026", "never 2026"),
            node.replace(&id, "x"),
            "{\"a\":\"\t\t\t{\"}".to_owned(),
        ] {
            assert_eq!(without_prefix(other.as_bytes()), other.as_bytes());
        }
        assert!(
            is_of_lambda(b"REPORT RequestId: 6bc2 Duration: 1 ms") && !is_of_lambda(b"{\"a\":\"START RequestId: \"}")
        );
    }
}
