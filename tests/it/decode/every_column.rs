//! Every field, variable and key path that has a column comes back from it: in any subset and order, with any values, in any packing.

use std::collections::BTreeSet;

use meterlake::schema::Table;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::TestCaseResult;

use super::round_trip::{encoded, sent, stored};
use super::*;

/// What a column makes of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Text, decoded and without control characters.
    Text,
    /// The same up to a `?`, and then the parameters, which those sent here do not have.
    Path,
    Number,
    /// Up to 999, with leading zeros.
    Status,
    /// Seconds with three decimals in CloudFront logs, else whole milliseconds.
    Millis,
    Address,
    /// No column.
    Nothing,
}

use Kind::{Address, Millis, Nothing, Number, Path, Status, Text};

/// All fields of real-time logs but time and id, in a record's order.
const FIELDS: [(&str, &str, Kind); 69] = [
    ("c-ip", "client_ip", Address),
    ("s-ip", "", Nothing),
    ("time-to-first-byte", "time_to_first_byte_ms", Millis),
    ("sc-status", "status", Status),
    ("sc-bytes", "response_bytes", Number),
    ("cs-method", "method", Text),
    ("cs-protocol", "", Nothing),
    ("cs-host", "host", Text),
    ("cs-uri-stem", "path", Path),
    ("cs-bytes", "request_bytes", Number),
    ("x-edge-location", "edge_location", Text),
    ("x-host-header", "distribution", Text),
    ("time-taken", "time_taken_ms", Millis),
    ("cs-protocol-version", "protocol", Text),
    ("c-ip-version", "", Nothing),
    ("cs-user-agent", "user_agent", Text),
    ("cs-referer", "referer", Path),
    ("cs-cookie", "", Nothing),
    ("cs-uri-query", "query", Path),
    ("x-edge-response-result-type", "response_result_type", Text),
    ("x-forwarded-for", "", Nothing),
    ("ssl-protocol", "tls_protocol", Text),
    ("ssl-cipher", "", Nothing),
    ("x-edge-result-type", "result_type", Text),
    ("fle-encrypted-fields", "", Nothing),
    ("fle-status", "", Nothing),
    ("sc-content-type", "content_type", Text),
    ("sc-content-len", "", Nothing),
    ("sc-range-start", "", Nothing),
    ("sc-range-end", "", Nothing),
    ("c-port", "", Nothing),
    ("x-edge-detailed-result-type", "detailed_result_type", Text),
    ("c-country", "country", Text),
    ("cs-accept-encoding", "", Nothing),
    ("cs-accept", "", Nothing),
    ("cache-behavior-path-pattern", "behavior", Text),
    ("cs-headers", "", Nothing),
    ("cs-header-names", "", Nothing),
    ("cs-headers-count", "", Number),
    ("primary-distribution-id", "", Nothing),
    ("primary-distribution-dns-name", "", Nothing),
    ("origin-fbl", "", Nothing),
    ("origin-lbl", "origin_latency_ms", Millis),
    ("asn", "asn", Number),
    ("cmcd-encoded-bitrate", "", Nothing),
    ("cmcd-buffer-length", "", Nothing),
    ("cmcd-buffer-starvation", "", Nothing),
    ("cmcd-content-id", "", Nothing),
    ("cmcd-object-duration", "", Nothing),
    ("cmcd-deadline", "", Nothing),
    ("cmcd-measured-throughput", "", Nothing),
    ("cmcd-next-object-request", "", Nothing),
    ("cmcd-next-range-request", "", Nothing),
    ("cmcd-object-type", "", Nothing),
    ("cmcd-playback-rate", "", Nothing),
    ("cmcd-requested-maximum-throughput", "", Nothing),
    ("cmcd-streaming-format", "", Nothing),
    ("cmcd-session-id", "", Nothing),
    ("cmcd-stream-type", "", Nothing),
    ("cmcd-startup", "", Nothing),
    ("cmcd-top-bitrate", "", Nothing),
    ("cmcd-version", "", Nothing),
    ("r-host", "", Nothing),
    ("sr-reason", "", Nothing),
    ("x-edge-mqcs", "", Nothing),
    ("distribution-tenant-id", "", Nothing),
    ("connection-id", "", Nothing),
    ("viewer-request-log-data", "log_data", Text),
    ("viewer-response-log-data", "", Nothing),
];

/// All fields of standard logs but those of the time and the id.
const STANDARD: [(&str, &str, Kind); 38] = [
    ("x-edge-location", "edge_location", Text),
    ("sc-bytes", "response_bytes", Number),
    ("c-ip", "client_ip", Address),
    ("cs-method", "method", Text),
    ("cs(Host)", "distribution", Text),
    ("cs-uri-stem", "path", Path),
    ("sc-status", "status", Status),
    ("cs(Referer)", "referer", Path),
    ("cs(User-Agent)", "user_agent", Text),
    ("cs-uri-query", "query", Path),
    ("cs(Cookie)", "", Nothing),
    ("x-edge-result-type", "result_type", Text),
    ("x-host-header", "host", Text),
    ("cs-protocol", "", Nothing),
    ("cs-bytes", "request_bytes", Number),
    ("time-taken", "time_taken_ms", Millis),
    ("x-forwarded-for", "", Nothing),
    ("ssl-protocol", "tls_protocol", Text),
    ("ssl-cipher", "", Nothing),
    ("x-edge-response-result-type", "response_result_type", Text),
    ("cs-protocol-version", "protocol", Text),
    ("fle-status", "", Nothing),
    ("fle-encrypted-fields", "", Nothing),
    ("c-port", "", Nothing),
    ("time-to-first-byte", "time_to_first_byte_ms", Millis),
    ("x-edge-detailed-result-type", "detailed_result_type", Text),
    ("sc-content-type", "content_type", Text),
    ("sc-content-len", "", Nothing),
    ("sc-range-start", "", Nothing),
    ("sc-range-end", "", Nothing),
    ("distribution-tenant-id", "", Nothing),
    ("origin-fbl", "", Nothing),
    ("origin-lbl", "origin_latency_ms", Millis),
    ("asn", "asn", Number),
    ("c-country", "country", Text),
    ("cache-behavior-path-pattern", "behavior", Text),
    ("viewer-request-log-data", "log_data", Text),
    ("viewer-response-log-data", "", Nothing),
];

/// Variables of API Gateway that have a column of their own. Of two that share one, the first that is there counts.
const VARIABLES: [(&str, &str, Kind); 20] = [
    ("requestId", "caller_request_id", Text),
    ("accountId", "account", Text),
    ("apiId", "api_id", Text),
    ("stage", "stage", Text),
    ("domainName", "domain", Text),
    ("httpMethod", "method", Text),
    ("resourcePath", "route", Text),
    ("path", "path", Text),
    ("status", "status", Status),
    ("responseLength", "response_bytes", Number),
    ("responseLatency", "latency_ms", Millis),
    ("integrationLatency", "integration_latency_ms", Millis),
    ("integration.status", "integration_status", Status),
    ("wafResponseCode", "waf_response", Text),
    ("error.responseType", "error_type", Text),
    ("identity.sourceIp", "client_ip", Address),
    ("identity.userAgent", "user_agent", Text),
    ("protocol", "protocol", Text),
    ("authorizer.customerId", "subject", Text),
    ("authorizer.cfid", "edge_request_id", Text),
];

/// Columns that own JSON can fill, but for time and id.
const OF_ORIGIN: [(&str, Kind); 21] = [
    ("caller_request_id", Text),
    ("subject", Text),
    ("account", Text),
    ("region", Text),
    ("api_id", Text),
    ("stage", Text),
    ("domain", Text),
    ("method", Text),
    ("route", Text),
    ("path", Path),
    ("status", Status),
    ("response_bytes", Number),
    ("latency_ms", Millis),
    ("integration_latency_ms", Millis),
    ("integration_status", Status),
    ("waf_response", Text),
    ("error_type", Text),
    ("client_ip", Address),
    ("user_agent", Text),
    ("protocol", Text),
    ("edge_request_id", Text),
];
const OF_EDGE: [(&str, Kind); 24] = [
    ("method", Text),
    ("host", Text),
    ("path", Path),
    ("query", Path),
    ("status", Status),
    ("request_bytes", Number),
    ("response_bytes", Number),
    ("time_taken_ms", Millis),
    ("time_to_first_byte_ms", Millis),
    ("origin_latency_ms", Millis),
    ("edge_location", Text),
    ("result_type", Text),
    ("response_result_type", Text),
    ("detailed_result_type", Text),
    ("country", Text),
    ("asn", Number),
    ("client_ip", Address),
    ("user_agent", Text),
    ("referer", Path),
    ("protocol", Text),
    ("tls_protocol", Text),
    ("content_type", Text),
    ("distribution", Text),
    ("behavior", Text),
];

/// A value that is logged; one number serves all kinds.
#[derive(Clone, Debug)]
struct Sent {
    there: bool,
    bytes: Vec<u8>,
    number: i64,
}

impl Sent {
    fn millis(&self) -> i64 {
        self.number % i64::from(i32::MAX)
    }

    fn address(&self) -> [u8; 4] {
        (self.number as u32).to_be_bytes()
    }

    /// Parameters of a query are looked into, and a `?` begins one.
    fn free(&self, kind: Kind) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.retain(|byte| kind != Path || !b"?&=".contains(byte));
        bytes
    }

    fn text(&self, kind: Kind) -> String {
        String::from_utf8_lossy(&self.free(kind)).into_owned()
    }

    /// As CloudFront writes it.
    fn encoded(&self, kind: Kind) -> String {
        match kind {
            _ if !self.there => "-".to_owned(),
            Text | Path | Nothing => encoded(&self.free(kind)),
            Millis => format!("{}.{:03}", self.millis() / 1000, self.millis() % 1000),
            kind => self.plain(kind),
        }
    }

    /// As other programs write it.
    fn plain(&self, kind: Kind) -> String {
        match kind {
            Text | Path | Nothing => self.text(kind),
            Number => self.number.to_string(),
            Status => format!("{:03}", self.number % 1000),
            Millis => self.millis().to_string(),
            Address => self.address().map(|part| part.to_string()).join("."),
        }
    }

    /// What the column holds; `bytes`: of the text as it was sent.
    fn stored(&self, kind: Kind, bytes: &[u8]) -> Option<String> {
        match kind {
            _ if !self.there => None,
            Nothing => None,
            Text | Path => Some(stored(bytes)),
            Number => Some(self.number.to_string()),
            Status => Some((self.number % 1000).to_string()),
            Millis => Some(self.millis().to_string()),
            Address => {
                Some(format!("{}.0", self.address()[..3].iter().map(u8::to_string).collect::<Vec<_>>().join(".")))
            }
        }
    }
}

fn value() -> impl Strategy<Value = Sent> {
    (prop::bool::weighted(0.9), sent(), 0..=i64::MAX).prop_map(|(there, bytes, number)| Sent { there, bytes, number })
}

/// How records come.
#[derive(Clone, Copy, Debug)]
enum Packing {
    Plain,
    Gzip,
    Envelope,
    EnvelopeTwice,
}

fn packing() -> impl Strategy<Value = Packing> {
    select(vec![Packing::Plain, Packing::Gzip, Packing::Envelope, Packing::EnvelopeTwice])
}

fn packed(record: &str, packing: Packing) -> Vec<u8> {
    match packing {
        Packing::Plain => format!("{record}\n").into_bytes(),
        Packing::Gzip => gzip(record),
        Packing::Envelope => gzip(envelope(&[record])),
        Packing::EnvelopeTwice => gzip([gzip(envelope(&[record])), gzip(CONTROL)].join(&b'\n')),
    }
}

/// The columns in which a row differs from what it should hold.
fn assert_columns(
    row: &Row,
    expected: impl Iterator<Item = (&'static str, Option<String>)>,
    shown: &str,
) -> TestCaseResult {
    let mut told = BTreeSet::new();
    for (column, value) in expected.filter(|(column, _)| !column.is_empty()) {
        prop_assert_eq!(row.get(column), value.as_ref(), "{} of {}", column, shown);
        told.insert(column);
    }
    // No other column was filled by accident.
    let others =
        ["event_time", "request_id", "fingerprint", "conflict", "key_state", "log_kind", "source", "source_object"];
    let others = others.into_iter().chain(["source_position", "decoder", "authorizer", "region"]);
    told.extend(others);
    let more: Vec<_> = row.keys().filter(|column| !told.contains(column.as_str())).collect();
    prop_assert!(more.is_empty(), "{:?} of {}", more, shown);
    Ok(())
}

fn chosen<T: Copy + std::fmt::Debug + 'static>(all: &[T]) -> impl Strategy<Value = Vec<T>> + use<T> {
    let all = all.to_vec();
    prop_oneof![3 => subsequence(all.clone(), 0..=all.len()), 1 => Just(all)]
}

/// Ways to write a standard log.
const FORMS: [&str; 5] = ["v1", "w3c", "plain", "json", "parquet"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_set_of_realtime_fields_comes_back(
        fields in chosen(&FIELDS), turn in 0..71_usize, values in vec(value(), 69), millis in 946_684_800_000_i64..4_102_444_800_000, zipped in any::<bool>(),
    ) {
        // Configured in any order, written in theirs.
        let mut names: Vec<&str> = ["timestamp", "x-edge-request-id"].into_iter().chain(fields.iter().map(|(name, ..)| *name)).collect();
        let length = names.len();
        names.rotate_left(turn % length);
        let plan = plan_of(Format::CloudFrontRealtime(vec![set(None, &names)]), KeySpec::None, &Limits::default()).unwrap();
        let mut cells = vec![format!("{}.{:03}", millis / 1000, millis % 1000)];
        let mut has_id = false;
        for ((name, _, kind), value) in fields.iter().zip(&values) {
            // The id stands before this one and all that follow.
            if !has_id && FIELDS.iter().position(|(known, ..)| known == name) >= FIELDS.iter().position(|(known, ..)| *known == "x-host-header") {
                cells.push("A==".to_owned());
                has_id = true;
            }
            cells.push(value.encoded(*kind));
        }
        if !has_id {
            cells.push("A==".to_owned());
        }
        let line = cells.join("\t");
        let row = only(&plan, packed(&line, if zipped { Packing::Gzip } else { Packing::Plain }));
        prop_assert_eq!(&row["request_id"], "A==");
        prop_assert_eq!(at(&row["event_time"]), Micros(millis * 1000));
        let expected = fields.iter().zip(&values).map(|((_, column, kind), value)| (*column, value.stored(*kind, &value.free(*kind))));
        assert_columns(&row, expected, &line)?;
    }

    #[test]
    fn any_set_of_standard_fields_comes_back(
        fields in chosen(&STANDARD).prop_shuffle(), values in vec(value(), 38), form in select(FORMS.to_vec()), packing in packing(), renamed in any::<bool>(),
    ) {
        let times = [("timestamp(ms)", "1764000000123"), ("x-edge-request-id", "A==")];
        let cells = fields.iter().zip(&values).map(|((name, _, kind), value)| (*name, value.encoded(*kind)));
        let cells: Vec<(&str, String)> = times.iter().map(|(name, value)| (*name, (*value).to_owned())).chain(cells).collect();
        let names: Vec<_> = cells.iter().map(|(name, _)| *name).collect();
        let line = cells.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("\t");
        let header = format!("#Fields: {}", names.join(" "));
        // A header and its rows are lines of one object.
        let in_lines = if matches!(packing, Packing::Plain) { Packing::Plain } else { Packing::Gzip };
        let (plan, object) = match form {
            "v1" => (standard::plan(&[], KeySpec::None), packed(&format!("#Version: 1.0\n{header}\n{line}"), in_lines)),
            "w3c" => (standard::plan(&[], KeySpec::None), packed(&format!("{header}\r\n{line}\r"), in_lines)),
            "plain" => (standard::plan(&names, KeySpec::None), packed(&line, packing)),
            "json" => {
                let object: serde_json::Map<_, _> = cells.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
                (standard::plan(&[], KeySpec::None), packed(&serde_json::Value::Object(object).to_string(), packing))
            }
            _ => {
                let column = |name: &str| if renamed { name.replace(['(', ')', '-'], "_") } else { name.to_owned() };
                let columns: Vec<_> = cells.iter().map(|(name, value)| (column(name), value.as_str())).collect();
                let object = standard::parquet_of(&columns);
                (standard::plan(&[], KeySpec::None), if matches!(in_lines, Packing::Gzip) { gzip(object) } else { object })
            }
        };
        let row = only(&plan, object);
        prop_assert_eq!((row["request_id"].as_str(), row["event_time"].as_str()), ("A==", "2025-11-24T16:00:00.123Z"));
        let expected = fields.iter().zip(&values).map(|((_, column, kind), value)| (*column, value.stored(*kind, &value.free(*kind))));
        assert_columns(&row, expected, &format!("{form}: {line}"))?;
    }

    #[test]
    fn any_set_of_variables_comes_back_from_json(
        variables in chosen(&VARIABLES).prop_shuffle(), values in vec(value(), 20), nested in any::<bool>(), packing in packing(),
    ) {
        let member = |name: &str, value: String| {
            let value = serde_json::Value::from(value);
            if nested { format!(r#""{name}": {{"v":{value}}}"#) } else { format!(r#""{name}":{value}"#) }
        };
        let ids = [("extendedRequestId", "A="), ("requestTimeEpoch", "1764000000123")];
        let format_of = |name: &str| member(name, format!("$context.{name}"));
        let names = ids.iter().map(|(name, _)| *name).chain(variables.iter().map(|(name, ..)| *name));
        let format = format!("{{{}}}", names.map(format_of).collect::<Vec<_>>().join(","));
        let written = ids.iter().map(|(name, value)| member(name, (*value).to_owned()));
        let written = written.chain(variables.iter().zip(&values).map(|((name, _, kind), value)| {
            member(name, if value.there { value.plain(*kind) } else { "-".to_owned() })
        }));
        let record = format!("{{{}}}", written.collect::<Vec<_>>().join(","));
        let plan = plan_of(templates(&[&format]), KeySpec::None, &Limits::default()).unwrap();
        let row = only(&plan, packed(&record, packing));
        prop_assert_eq!((row["request_id"].as_str(), row["event_time"].as_str()), ("A=", "2025-11-24T16:00:00.123Z"));
        let expected = variables.iter().zip(&values).map(|((_, column, kind), value)| (*column, as_text(value, *kind)));
        assert_columns(&row, expected, &record)?;
    }

    #[test]
    fn any_set_of_columns_comes_back_from_own_json(
        origin in chosen(&OF_ORIGIN).prop_shuffle(), edge in chosen(&OF_EDGE).prop_shuffle(), of_edge in any::<bool>(), values in vec(value(), 24),
        depths in vec(0..3_usize, 24), packing in packing(),
    ) {
        let (table, columns) = if of_edge { (Table::EdgeRequests, edge) } else { (Table::OriginRequests, origin) };
        let ids = [("request_id", "A"), ("event_time", "2025-11-24T16:00:00.123Z")];
        let path = |column: &str, depth: usize| -> Vec<String> {
            ["a.b", "c"][..depth].iter().map(|key| (*key).to_owned()).chain([format!("{column}\n\"")]).collect()
        };
        let ids = ids.iter().map(|(column, value)| (*column, 0, serde_json::Value::from(*value)));
        let all: Vec<_> = ids.chain(columns.iter().zip(&values).zip(&depths).map(|(((column, kind), value), depth)| {
            let number = matches!(kind, Number | Millis) && value.bytes.len() % 2 == 0;
            let told = if number { value.plain(*kind).parse().unwrap() } else { serde_json::Value::from(value.plain(*kind)) };
            (*column, *depth, if value.there { told } else { serde_json::Value::Null })
        })).collect();
        let mut record = serde_json::json!({"z": {"a.b": 1}});
        for (column, depth, value) in &all {
            let place = path(column, *depth).into_iter().fold(&mut record, |object, key| &mut object[key]);
            *place = value.clone();
        }
        let own = OwnJson { table, columns: all.iter().map(|(column, depth, _)| ((*column).to_owned(), path(column, *depth))).collect() };
        let plan = plan_of(Format::Json(own), KeySpec::None, &Limits::default()).unwrap();
        let record = record.to_string();
        let row = only(&plan, packed(&record, packing));
        prop_assert_eq!((row["request_id"].as_str(), row["event_time"].as_str()), ("A", "2025-11-24T16:00:00.123Z"));
        let expected = columns.iter().zip(&values).map(|((column, kind), value)| {
            let told = as_text(value, *kind);
            // A constant of the source stands in for what the record does not say.
            (*column, if *column == "region" { told.or(Some("eu-west-1".to_owned())) } else { told })
        });
        assert_columns(&row, expected, &record)?;
    }
}

/// What a column holds of a value that was written as text; `-` and an empty one are none.
fn as_text(value: &Sent, kind: Kind) -> Option<String> {
    let text = value.text(kind);
    value.stored(kind, text.as_bytes()).filter(|_| !matches!(kind, Text | Path) || !matches!(text.as_str(), "" | "-"))
}
