//! Objects as they lie in a bucket, to rows: everything through the public surface of `decode`.

mod every_column;
mod fixtures;
mod formats;
mod injection;
mod keys;
mod limits;
mod objects;
mod origin;
mod own_json;
mod packings;
mod properties;
mod round_trip;
mod standard;

use std::collections::BTreeMap;
use std::io::Write as _;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::util::display::array_value_to_string;
use flate2::Compression;
use flate2::write::GzEncoder;
use meterlake::base::Micros;
use meterlake::decode::{
    ClientIp, Constants, Counts, DecodePlan, Decoder, FieldSet, Format, Identifies, KeySecret, KeySpec, Limits,
    Missing, ObjectError, OwnJson, Privacy, SourceSpec, SpecError, Template, key_ref,
};

/// The fields of most CloudFront records here, in a record's order, and what stands in them unless a test says otherwise.
const EDGE: [(&str, &str); 14] = [
    ("timestamp", "1764000000.123"),
    ("c-ip", "203.0.113.9"),
    ("sc-status", "200"),
    ("sc-bytes", "1532"),
    ("cs-method", "GET"),
    ("cs-uri-stem", "/v1/items"),
    ("x-edge-request-id", "Zk3aaaa=="),
    ("cs-user-agent", "-"),
    ("cs-referer", "-"),
    ("cs-cookie", "-"),
    ("cs-uri-query", "-"),
    ("cs-headers", "-"),
    ("cs-header-names", "-"),
    ("cs-headers-count", "-"),
];

/// A REST format.
const REST: &str = r#"{"extendedRequestId":"$context.extendedRequestId","requestId":"$context.requestId","requestTime":"$context.requestTime","requestTimeEpoch":"$context.requestTimeEpoch","apiKeyId":"$context.identity.apiKeyId","status":$context.status,"responseLength":$context.responseLength,"stage":"$context.stage","path":"$context.path","userAgent":"$context.identity.userAgent"}"#;

fn arrived() -> Micros {
    at("2026-01-01T00:00:00Z")
}

fn at(text: &str) -> Micros {
    text.parse().unwrap()
}

fn secret() -> KeySecret {
    KeySecret(b"a secret of the tests".to_vec())
}

/// The reference under which the key is stored.
fn reference(key: &str) -> String {
    key_ref(&secret(), key.as_bytes())
}

fn plan_of(format: Format, key: KeySpec, limits: &Limits) -> Result<DecodePlan, SpecError> {
    let spec = SourceSpec {
        name: "source".into(),
        format,
        key,
        identifies: Identifies::Key,
        set: Constants { region: Some("eu-west-1".into()), ..Constants::default() },
    };
    let privacy = Privacy { key_secrets: vec![secret()], client_ip: ClientIp::Truncate };
    DecodePlan::new(&spec, &privacy, [7; 16], limits)
}

fn set(from: Option<&str>, fields: &[&str]) -> FieldSet {
    FieldSet { from: from.map(at), fields: fields.iter().map(|&field| field.to_owned()).collect() }
}

fn header_key() -> KeySpec {
    KeySpec::Header("X-Api-Key".into())
}

/// CloudFront records with the fields of [`EDGE`].
fn edge(key: KeySpec) -> DecodePlan {
    edge_with(&[], key)
}

/// The same with more fields, which must come after those of [`EDGE`].
fn edge_with(more: &[&str], key: KeySpec) -> DecodePlan {
    let fields: Vec<_> = EDGE.iter().map(|(name, _)| *name).chain(more.iter().copied()).collect();
    plan_of(Format::CloudFrontRealtime(vec![set(None, &fields)]), key, &Limits::default()).unwrap()
}

/// One line of such an object.
fn line(values: &[(&str, &str)]) -> String {
    let known = |name: &str| EDGE.iter().any(|(field, _)| *field == name);
    let cells = EDGE.iter().map(|&(name, usual)| {
        let told = values.iter().find(|(field, _)| *field == name);
        told.map_or(usual, |(_, value)| *value)
    });
    let more = values.iter().filter(|(name, _)| !known(name)).map(|(_, value)| *value);
    cells.chain(more).collect::<Vec<_>>().join("\t") + "\n"
}

fn templates(texts: &[&str]) -> Format {
    let from = |number: usize| (number > 0).then(|| Micros(arrived().0 + number as i64));
    let texts = texts.iter().enumerate();
    Format::ApiGateway(texts.map(|(number, text)| Template { from: from(number), text: (*text).to_owned() }).collect())
}

fn variable(name: &str) -> KeySpec {
    KeySpec::Variable(format!("$context.{name}"))
}

/// API Gateway records of the format [`REST`].
fn rest() -> DecodePlan {
    plan_of(templates(&[REST]), variable("identity.apiKeyId"), &Limits::default()).unwrap()
}

/// One such record; `id` tells it from others.
fn access(id: &str) -> String {
    format!(
        r#"{{"extendedRequestId":"{id}","requestId":"r-{id}","requestTime":"24/Nov/2025:16:00:00 +0000","requestTimeEpoch":"1764000000456","apiKeyId":"k1","status":200,"responseLength":-,"stage":"prod","path":"/prod/items","userAgent":"-"}}"#
    )
}

/// A document of a CloudWatch Logs subscription.
fn envelope(messages: &[&str]) -> String {
    let events = messages.iter().enumerate().map(
        |(id, message)| serde_json::json!({"id": id.to_string(), "timestamp": 1_764_000_000_456_u64, "message": message}),
    );
    let events: Vec<_> = events.collect();
    serde_json::json!({
        "messageType": "DATA_MESSAGE", "owner": "111122223333", "logGroup": "/apigw/prod", "logStream": "0f1e",
        "subscriptionFilters": ["to-firehose"], "logEvents": events,
    })
    .to_string()
}

const CONTROL: &str = r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],"logEvents":[{"id":"","timestamp":1764000000456,"message":"CWL CONTROL MESSAGE: Checking health of destination Firehose."}]}"#;

fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}

/// One row; a null has no entry.
type Row = BTreeMap<String, String>;

/// All that came of an object.
#[derive(PartialEq, Debug)]
struct Read {
    events: Vec<Row>,
    rejects: Vec<Row>,
    counts: Counts,
}

impl Read {
    /// Why records were rejected, in their order.
    fn reasons(&self) -> Vec<&str> {
        self.rejects.iter().map(|reject| reject["reason"].as_str()).collect()
    }

    /// Of every event the value of a column, `-` for null.
    fn column(&self, name: &str) -> Vec<&str> {
        self.events.iter().map(|event| event.get(name).map_or("-", String::as_str)).collect()
    }
}

fn rows(batch: &RecordBatch, into: &mut Vec<Row>) {
    let schema = batch.schema();
    for number in 0..batch.num_rows() {
        let mut row = Row::new();
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            if column.is_null(number) {
                continue;
            }
            let text = match column.as_primitive_opt::<TimestampMicrosecondType>() {
                Some(times) => Micros(times.value(number)).to_string(),
                None => array_value_to_string(column, number).unwrap(),
            };
            row.insert(field.name().clone(), text);
        }
        into.push(row);
    }
}

/// Reads an object that comes in those chunks.
fn read_chunks<'a>(plan: &DecodePlan, chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Read, ObjectError> {
    let mut decoder = Decoder::new(plan, "2025/11/24/object", arrived());
    let (mut events, mut rejects) = (Vec::new(), Vec::new());
    let mut take = |decoder: &mut Decoder| {
        while let Some(batch) = decoder.next_events() {
            assert_eq!(batch.schema(), plan.table().row_schema());
            rows(&batch, &mut events);
        }
        while let Some(batch) = decoder.next_rejects() {
            rows(&batch, &mut rejects);
        }
    };
    for chunk in chunks {
        decoder.push(chunk)?;
        take(&mut decoder);
    }
    decoder.end();
    take(&mut decoder);
    decoder.finish()?;
    take(&mut decoder);
    let counts = decoder.counts();
    assert_eq!(counts.records, counts.events + counts.rejects + counts.control);
    assert_eq!((counts.events, counts.rejects), (events.len() as u64, rejects.len() as u64));
    Ok(Read { events, rejects, counts })
}

fn try_read(plan: &DecodePlan, object: impl AsRef<[u8]>) -> Result<Read, ObjectError> {
    read_chunks(plan, [object.as_ref()])
}

fn read(plan: &DecodePlan, object: impl AsRef<[u8]>) -> Read {
    try_read(plan, object).unwrap()
}

/// The row of an object with one record.
fn only(plan: &DecodePlan, object: impl AsRef<[u8]>) -> Row {
    let mut read = read(plan, object);
    assert_eq!((read.events.len(), read.reasons()), (1, vec![]), "{read:?}");
    read.events.remove(0)
}
