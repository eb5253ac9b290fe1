//! The sources whose objects are read: one of each kind of log, with every kind of key, under the default limits and
//! under small ones, which a short input can pass.

use std::sync::LazyLock;

use crate::base::Micros;
use crate::decode::{
    ClientIp, Constants, DecodePlan, FieldSet, Format, Identifies, KeySecret, KeySpec, Limits, Missing, OwnJson,
    Privacy, SourceSpec, SpecError, Template, key_ref,
};
use crate::schema::Table;

/// Fields of most CloudFront records here.
pub(crate) const EDGE: &str = "timestamp c-ip sc-status sc-bytes cs-method cs-uri-stem x-edge-request-id cs-user-agent \
    cs-referer cs-cookie cs-uri-query cs-headers cs-header-names cs-headers-count";
/// All fields of real-time logs.
const ALL: &str = "timestamp c-ip s-ip time-to-first-byte sc-status sc-bytes cs-method cs-protocol cs-host cs-uri-stem \
    cs-bytes x-edge-location x-edge-request-id x-host-header time-taken cs-protocol-version c-ip-version cs-user-agent \
    cs-referer cs-cookie cs-uri-query x-edge-response-result-type x-forwarded-for ssl-protocol ssl-cipher \
    x-edge-result-type fle-encrypted-fields fle-status sc-content-type sc-content-len sc-range-start sc-range-end c-port \
    x-edge-detailed-result-type c-country cs-accept-encoding cs-accept cache-behavior-path-pattern cs-headers \
    cs-header-names cs-headers-count primary-distribution-id primary-distribution-dns-name origin-fbl origin-lbl asn \
    cmcd-encoded-bitrate cmcd-buffer-length cmcd-buffer-starvation cmcd-content-id cmcd-object-duration cmcd-deadline \
    cmcd-measured-throughput cmcd-next-object-request cmcd-next-range-request cmcd-object-type cmcd-playback-rate \
    cmcd-requested-maximum-throughput cmcd-streaming-format cmcd-session-id cmcd-stream-type cmcd-startup \
    cmcd-top-bitrate cmcd-version r-host sr-reason x-edge-mqcs distribution-tenant-id connection-id \
    viewer-request-log-data viewer-response-log-data";
/// Fields of standard logs without a header.
pub(crate) const STANDARD: &str = "date time timestamp(ms) x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem \
    sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-request-id x-host-header time-taken asn \
    viewer-request-log-data";

/// A format whose variables each stand alone between quotes.
pub(crate) const JSON: &str = r#"{"extendedRequestId":"$context.extendedRequestId","requestId":"$context.requestId","requestTime":"$context.requestTime","requestTimeEpoch":"$context.requestTimeEpoch","apiKeyId":"$context.identity.apiKeyId","status":"$context.status","path":"$context.path","userAgent":"$context.identity.userAgent"}"#;
/// One with objects in objects, bare variables, and several in one value.
const NESTED: &str = r#"{"who":{"ip":"$context.identity.sourceIp","key":{"id":"$context.identity.apiKeyId"}},"id":"$context.extendedRequestId","at":$context.requestTimeEpoch,"status":$context.status,"line":"$context.stage|$context.protocol $context.path","mixed":"$context.status;$context.domainName,$context.identity.userAgent!","n":1,"customer":"$context.authorizer.customerId"}"#;
const CSV: &str = "$context.extendedRequestId,$context.requestTimeEpoch,$context.identity.apiKeyId,$context.path,$context.status,$context.identity.userAgent";
const CLF: &str = r#"$context.identity.sourceIp - $context.identity.apiKeyId [$context.requestTime]"$context.httpMethod $context.path $context.protocol" $context.status $context.responseLength "$context.identity.userAgent" $context.extendedRequestId"#;
const XML: &str = r#"<request id="$context.extendedRequestId"> <time>$context.requestTimeEpoch</time> <key>$context.identity.apiKeyId</key> <path>$context.path</path> <status>$context.status</status> <agent>$context.identity.userAgent</agent> </request>"#;
const OTHER: &str = r#"at $context.requestTime: $context.extendedRequestId | $context.identity.apiKeyId | "$context.routeKey" "$context.authorizer.customerId""#;

pub(crate) fn secret() -> KeySecret {
    KeySecret(b"a secret of the fuzz targets".to_vec())
}

/// The reference under which a key is stored.
pub(crate) fn reference(key: &str) -> String {
    key_ref(&secret(), key.as_bytes())
}

/// Makes a plan as `convert` makes it of a `[[source]]`.
pub(crate) fn plan(format: Format, key: KeySpec, limits: &Limits) -> Result<DecodePlan, SpecError> {
    let set = Constants { region: Some("eu-west-1".into()), ..Constants::default() };
    let spec = SourceSpec { name: "source".into(), format, key, identifies: Identifies::Key, set };
    let privacy = Privacy { key_secrets: vec![secret()], client_ip: ClientIp::Truncate };
    DecodePlan::new(&spec, &privacy, [7; 16], limits)
}

/// Each source under the default limits, and again under small ones.
fn twice(sources: impl IntoIterator<Item = (Format, KeySpec)>) -> Vec<DecodePlan> {
    let small =
        Limits { record_bytes_max: 600, document_bytes_max: 2048, object_bytes_max: 64 << 10, ..Limits::default() };
    let of = |(format, key): (Format, KeySpec)| {
        [&Limits::default(), &small]
            .map(|limits| plan(format.clone(), key.clone(), limits).expect("the settings are in order"))
    };
    sources.into_iter().flat_map(of).collect()
}

fn set(from: Option<&str>, fields: &str) -> FieldSet {
    let from = from.map(|at| at.parse::<Micros>().expect("a time"));
    FieldSet { from, fields: fields.split_whitespace().map(str::to_owned).collect() }
}

pub(crate) fn templates(texts: &[&str]) -> Format {
    let from = |number: usize| (number > 0).then_some(Micros(1_764_000_000_000_000 + number as i64));
    let texts = texts.iter().enumerate();
    Format::ApiGateway(texts.map(|(number, text)| Template { from: from(number), text: (*text).to_owned() }).collect())
}

pub(crate) fn variable(name: &str) -> KeySpec {
    KeySpec::Variable(format!("$context.{name}"))
}

pub(crate) fn header() -> KeySpec {
    KeySpec::Header("X-Api-Key".into())
}

pub(crate) fn log_data() -> KeySpec {
    KeySpec::LogData { name: "k".into(), plain: false, missing: Missing::Held }
}

pub(crate) fn realtime(fields: &str) -> Format {
    Format::CloudFrontRealtime(vec![set(None, fields)])
}

pub(crate) fn standard(fields: &str) -> Format {
    Format::CloudFrontStandard(if fields.is_empty() { Vec::new() } else { vec![set(None, fields)] })
}

/// Own JSON of a table, its columns under keys of their names: those of `request.…` in an object of that name.
pub(crate) fn own(table: Table, columns: &str) -> Format {
    let column = |path: &str| {
        let keys: Vec<_> = path.split('.').map(str::to_owned).collect();
        (keys[keys.len() - 1].clone(), keys)
    };
    Format::Json(OwnJson { table, columns: columns.split_whitespace().map(column).collect() })
}

pub(crate) fn path_key(plain: bool) -> KeySpec {
    KeySpec::Path { path: vec!["auth".into(), "key".into()], plain }
}

pub(crate) const OWN_ORIGIN: &str = "request_id event_time request.method request.path status latency_ms response_bytes \
    client_ip user_agent subject error_type domain";
pub(crate) const OWN_EDGE: &str =
    "request_id event_time request.path request.query status time_taken_ms asn referer user_agent host method";

pub(crate) static REALTIME: LazyLock<Vec<DecodePlan>> = LazyLock::new(|| {
    let two = vec![set(None, "timestamp x-edge-request-id"), set(Some("2026-01-02T00:00:00Z"), EDGE)];
    twice([
        (realtime(EDGE), header()),
        (realtime(ALL), log_data()),
        (realtime("timestamp x-edge-request-id cs-uri-stem cs-uri-query sc-status"), KeySpec::Query("key".into())),
        (Format::CloudFrontRealtime(two), header()),
    ])
});

pub(crate) static STANDARDS: LazyLock<Vec<DecodePlan>> = LazyLock::new(|| {
    twice([(standard(""), log_data()), (standard(STANDARD), log_data()), (standard(""), KeySpec::Query("key".into()))])
});

pub(crate) static JSONS: LazyLock<Vec<DecodePlan>> = LazyLock::new(|| {
    twice([
        (templates(&[JSON]), variable("identity.apiKeyId")),
        (templates(&[NESTED, JSON]), variable("identity.apiKeyId")),
        (templates(&[]), KeySpec::None),
        (templates(&[JSON, CSV]), variable("identity.apiKeyId")),
    ])
});

pub(crate) static TEXTS: LazyLock<Vec<DecodePlan>> = LazyLock::new(|| {
    let key = || variable("identity.apiKeyId");
    twice([
        (templates(&[CSV]), key()),
        (templates(&[CLF]), key()),
        (templates(&[XML]), key()),
        (templates(&[OTHER]), variable("authorizer.customerId")),
        (templates(&[CSV, CLF, NESTED]), key()),
        (templates(&[]), KeySpec::None),
    ])
});

pub(crate) static OWNS: LazyLock<Vec<DecodePlan>> = LazyLock::new(|| {
    twice([
        (own(Table::OriginRequests, OWN_ORIGIN), path_key(false)),
        (own(Table::EdgeRequests, OWN_EDGE), path_key(true)),
    ])
});
