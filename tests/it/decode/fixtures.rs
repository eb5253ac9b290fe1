//! Real records that other projects published, where a folder of them lies beside the repository: they are not part of
//! it. The expected numbers were found by reading the files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;

const FOLDER: &str = "shared/fixtures/real";

/// The format behind `clo.apigateway1.log`: nested, every value a string, the last keys fixed text.
const WIDE: &str = r#"{"account_id":"$context.accountId","api_id":"$context.apiId",
"authorize_status":"$context.authorize.status","authorizer_status":"$context.authorizer.status",
"authorizer_latency":"$context.authorizer.latency","authorizer_request_id":"$context.authorizer.requestId",
"principal_id":"$context.authorizer.principalId","integration_latency":"$context.integration.latency",
"integration_status":"$context.integration.status","response_latency":"$context.responseLatency",
"response_length":"$context.responseLength","response_type":"$context.error.responseType",
"error_message":"$context.error.message","status_code":"$context.status","waf_latency":"$context.waf.latency",
"waf_status_code":"$context.waf.status","waf_response_code":"$context.wafResponseCode",
"webacl_arn":"$context.webaclArn","xray_trace_id":"$context.xrayTraceId","domain_name":"$context.domainName",
"domain_prefix":"$context.domainPrefix","http_method":"$context.httpMethod",
"client_ip":"$context.identity.sourceIp","user":"$context.identity.user",
"user_agent":"$context.identity.userAgent","user_arn":"$context.identity.userArn","path":"$context.path",
"protocol":"$context.protocol","aws_endpoint_request_id":"$context.awsEndpointRequestId",
"extended_request_id":"$context.extendedRequestId","request_id":"$context.requestId",
"request_time_epoch":"$context.requestTimeEpoch","resource_id":"$context.resourceId",
"resource_path":"$context.resourcePath","stage":"$context.stage","api_key":"$context.identity.apiKey",
"api_key_id":"$context.identity.apiKeyId","identity":{"account_id":"$context.identity.accountId",
"caller":"$context.identity.caller","cognito_authentication_provider":"$context.identity.cognitoAuthenticationProvider",
"cognito_authentication_type":"$context.identity.cognitoAuthenticationType",
"cognito_identity_id":"$context.identity.cognitoIdentityId",
"cognito_identity_pool_id":"$context.identity.cognitoIdentityPoolId",
"principal_org_id":"$context.identity.principalOrgId",
"client_cert":{"client_cert_pem":"$context.identity.clientCert.clientCertPem",
"subject_dn":"$context.identity.clientCert.subjectDN","issuer_dn":"$context.identity.clientCert.issuerDN",
"serial_number":"$context.identity.clientCert.serialNumber"}},"region":"us-west-1",
"api_name":"FederatedRestApi7893ov7ftf","api_protocol_type":"REST","api_key_name":"-","api_usage_plan_name":"-"}"#;

/// The console's former formats, and the same with three more keys, as in the files named elastic.
const REST_OLD: &str = r#"{"requestId":"$context.requestId","ip":"$context.identity.sourceIp","caller":"$context.identity.caller","user":"$context.identity.user","requestTime":"$context.requestTime","httpMethod":"$context.httpMethod","resourcePath":"$context.resourcePath","status":"$context.status","protocol":"$context.protocol","responseLength":"$context.responseLength"}"#;
const HTTP_OLD: &str = r#"{"requestId":"$context.requestId","ip":"$context.identity.sourceIp","requestTime":"$context.requestTime","httpMethod":"$context.httpMethod","routeKey":"$context.routeKey","status":"$context.status","protocol":"$context.protocol","responseLength":"$context.responseLength"}"#;

fn with_api(format: &str) -> String {
    let more = r#","stage":"$context.stage","apiId":"$context.apiId","domainName":"$context.domainName"}"#;
    format.strip_suffix('}').unwrap().to_owned() + more
}

fn folder() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().map(|folder| folder.join(FOLDER)).find(|folder| folder.is_dir())
}

#[expect(clippy::print_stdout, reason = "the table is for whoever reads a test's output")]
fn say(line: &str) {
    println!("{line}");
}

/// The folder's files, or `None`, said aloud, where there is no such folder.
struct Files(PathBuf);

impl Files {
    fn find() -> Option<Self> {
        let found = folder();
        if found.is_none() {
            say(&format!("skipped: no folder {FOLDER} here or above"));
        }
        found.map(Self)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap()
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.bytes(name)).unwrap()
    }

    fn fields(&self, name: &str) -> Vec<String> {
        self.text(name).split_whitespace().map(str::to_owned).collect()
    }
}

/// Reads an object and compares the numbers: records, events, rejects, control messages.
#[track_caller]
fn counted(plan: &DecodePlan, name: &str, object: &[u8], numbers: [u64; 4]) -> Read {
    let read = read(plan, object);
    let Counts { records, events, rejects, control } = read.counts;
    let mut reasons = BTreeMap::<_, u32>::new();
    read.reasons().into_iter().for_each(|reason| *reasons.entry(reason).or_default() += 1);
    say(&format!("{name:<78}{records:>4}{events:>4}{rejects:>4}{control:>4} {reasons:?}"));
    assert_eq!([records, events, rejects, control], numbers, "{name}: {read:?}");
    read
}

fn realtime(sets: Vec<FieldSet>) -> Result<DecodePlan, SpecError> {
    plan_of(Format::CloudFrontRealtime(sets), KeySpec::None, &Limits::default())
}

fn own_set(from: Option<&str>, fields: &[String]) -> FieldSet {
    FieldSet { from: from.map(at), fields: fields.to_vec() }
}

fn column_of(fields: &[String], name: &str) -> usize {
    fields.iter().position(|field| field == name).unwrap()
}

#[test]
fn cloudfront_records_with_all_fields() {
    let Some(files) = Files::find() else { return };
    let keyed = |name: &str| {
        let fields = files.fields(&format!("cloudfront-realtime/{name}.fields.txt"));
        let format = Format::CloudFrontRealtime(vec![own_set(None, &fields)]);
        plan_of(format, header_key(), &Limits::default()).unwrap()
    };
    let name = "cloudfront-realtime/seed.with-api-key.44-fields";
    let read = counted(&keyed("seed.with-api-key.44-fields"), name, &files.bytes(&format!("{name}.tsv")), [1, 1, 0, 0]);
    let row = &read.events[0];
    for (column, value) in [
        ("event_time", "2025-10-05T18:00:34.191Z"),
        ("request_id", "HoIW-MaV1Qu7J5kwqnAYBNlsg4iI2MBYb5OXBfykwRAZpAqHmdWtQA=="),
        ("key_state", "present"),
        ("key_ref", &reference("TESTKEY0TESTKEY1TESTKEY2TESTKEY3TESTKEY4")),
        ("method", "GET"),
        ("path", "/example"),
        ("status", "200"),
        ("response_bytes", "783"),
        ("request_bytes", "201"),
        ("time_taken_ms", "253"),
        ("origin_latency_ms", "232"),
        ("asn", "7018"),
        ("country", "US"),
        ("client_ip", "32.142.164.0"),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
    assert!(row.values().all(|value| !value.contains("TESTKEY")));

    let name = "cloudfront-realtime/datadog-pipeline.40-fields";
    let read = counted(&keyed("datadog-pipeline.40-fields"), name, &files.bytes(&format!("{name}.tsv")), [2, 2, 0, 0]);
    assert_eq!(read.column("key_state"), ["absent"; 2], "the one header that is not listed is the cookie");
    assert_eq!(read.column("status"), ["304", "200"]);
    assert_eq!(read.column("response_bytes"), ["322", "31126"]);
    assert_eq!(read.column("request_bytes"), ["637", "82"]);
}

#[test]
fn cloudfront_records_without_an_id() {
    let Some(files) = Files::find() else { return };
    let fields = files.fields("cloudfront-realtime/ownstats.fields.txt");
    let refused = realtime(vec![own_set(None, &fields)]).unwrap_err();
    assert!(matches!(refused, SpecError::MissingField { field: "x-edge-request-id", .. }), "{refused}");

    // As records of a time before the field was added, and with an id put where the field belongs.
    let mut with_id = fields.clone();
    with_id.insert(column_of(&fields, "x-edge-location") + 1, "x-edge-request-id".to_owned());
    let before = realtime(vec![own_set(None, &fields), own_set(Some("2027-01-01T00:00:00Z"), &with_id)]).unwrap();
    let after = realtime(vec![own_set(None, &with_id)]).unwrap();
    for short in ["rawGoScriptData", "rawHelloScriptData", "rawPageViewData", "rawRefererData", "rawTabEventData"] {
        let name = format!("cloudfront-realtime/ownstats.{short}");
        let text = files.text(&format!("{name}.tsv"));
        let rejected = counted(&before, &name, text.as_bytes(), [1, 0, 1, 0]);
        assert_eq!(rejected.reasons(), ["no_id"]);

        let mut cells: Vec<_> = text.split('\t').collect();
        cells.insert(column_of(&with_id, "x-edge-request-id"), "AnId==");
        let read = counted(&after, &format!("{name} + id"), cells.join("\t").as_bytes(), [1, 1, 0, 0]);
        let row = &read.events[0];
        let told = format!("{name}.expected.json");
        if !files.0.join(&told).exists() {
            continue;
        }
        let told = files.json(&told);
        for (column, key) in [
            ("status", "request_status_code"),
            ("request_bytes", "request_bytes"),
            ("time_taken_ms", "request_delivery_time_ms"),
            ("asn", "request_asn"),
        ] {
            assert_eq!(row[column], told[key].to_string(), "{name}: {column}");
        }
        assert_eq!(row["result_type"], told["request_cache_status"].as_str().unwrap());
        // Theirs is the query as logged; every escape in it is of a per cent sign.
        assert_eq!(row["query"], told["request_query_string"].as_str().unwrap().replace("%25", "%"));
        assert_eq!(row["event_time"][..19], told["arrival_timestamp"].as_str().unwrap()[..19]);
    }
}

#[test]
fn api_gateway_records_of_a_wide_format() {
    let Some(files) = Files::find() else { return };
    let plan = plan_of(templates(&[WIDE]), variable("identity.apiKeyId"), &Limits::default()).unwrap();
    let name = "apigateway-access/clo.apigateway1";
    let read = counted(&plan, &format!("{name}.log"), &files.bytes(&format!("{name}.log")), [20, 20, 0, 0]);
    let packed = counted(&plan, &format!("{name}.gz"), &files.bytes(&format!("{name}.gz")), [20, 20, 0, 0]);
    assert_eq!(packed, read);
    let sum = |column| read.column(column).iter().map(|value| value.parse::<u64>().unwrap()).sum::<u64>();
    let count = |column, value| read.column(column).iter().filter(|&&found| found == value).count();
    assert_eq!((sum("response_bytes"), sum("latency_ms"), sum("integration_latency_ms")), (20_168, 394, 214));
    assert_eq!((count("method", "OPTIONS"), count("method", "GET")), (12, 8));
    assert_eq!((count("subject", "root_admin"), count("subject", "-")), (8, 12));
    assert_eq!(
        (count("status", "200"), count("waf_response", "WAF_ALLOW"), count("key_state", "absent")),
        (20, 20, 20)
    );
    assert_eq!(read.events[0]["event_time"], "2023-03-10T12:29:48.661Z");
    assert_eq!(read.events[0]["request_id"], "BkJdhGC0yK4FcBA=");
    assert_eq!(read.events[2]["route"], "/data-product/domain/{domainId}/data-product");
}

#[test]
fn api_gateway_records_of_the_consoles_formats() {
    let Some(files) = Files::find() else { return };
    for (kind, format, route, unforgeable) in
        [("rest", REST_OLD, "resource_path", false), ("http", HTTP_OLD, "route_key", true)]
    {
        let plan = plan_of(templates(&[format, &with_api(format)]), KeySpec::None, &Limits::default()).unwrap();
        assert_eq!(plan.id_is_unforgeable(), unforgeable);
        let name = format!("apigateway-access/elastic.test-apigateway-{kind}");
        // The same is recognised where no format is given; the keys that the documented ones do not have are passed over.
        let by_itself = plan_of(templates(&[]), KeySpec::None, &Limits::default()).unwrap();
        let read =
            counted(&by_itself, &format!("{name} by itself"), &files.bytes(&format!("{name}.log")), [5, 5, 0, 0]);
        assert!(read.column("route").iter().all(|route| *route != "-"));
        let read = counted(&plan, &name, &files.bytes(&format!("{name}.log")), [5, 5, 0, 0]);
        let told = files.json(&format!("{name}.expected.json"));
        let told = told["expected"].as_array().unwrap();
        assert_eq!(told.len(), 5);
        for (row, told) in read.events.iter().zip(told) {
            let told = &told["aws"]["apigateway"];
            for (column, key) in [
                ("request_id", "request_id"),
                ("method", "http_method"),
                ("protocol", "protocol"),
                ("route", route),
                ("stage", "stage"),
                ("api_id", "api_id"),
                ("domain", "domain_name"),
            ] {
                assert_eq!(row.get(column).map(String::as_str), told[key].as_str(), "{kind}: {column}");
            }
            assert_eq!(row["status"], told["status"].to_string());
            assert_eq!(row["response_bytes"], told["response_length"].to_string());
            assert_eq!(at(&row["event_time"]), at(told["request_time"].as_str().unwrap()));
        }
    }
}

fn base64(text: &str) -> Vec<u8> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes().filter(|&byte| byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => panic!("{byte} is no digit of base64"),
        };
        (bits, held) = ((bits << 6 | u32::from(value)) & 0xffff, held + 6);
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

/// The compressed records of a batch, as they would follow each other in an object.
fn members(batch: &Value, list: &str, data: impl Fn(&Value) -> &Value) -> Vec<u8> {
    batch[list].as_array().unwrap().iter().flat_map(|record| base64(data(record).as_str().unwrap())).collect()
}

/// None of these messages is an access log: each is a reject that says why, and the service's own message is none.
#[test]
fn envelopes_of_other_logs() {
    let Some(files) = Files::find() else { return };
    let plan = plan_of(templates(&[REST_OLD]), KeySpec::None, &Limits::default()).unwrap();
    let reasons = |read: &Read| (read.reasons().len(), read.reasons().iter().filter(|&&r| r == "not_json").count());

    let name = "cwl-subscription/datadog.cloudwatch_logs.json";
    let read = counted(&plan, name, &files.bytes(name), [19, 0, 19, 0]);
    assert_eq!(reasons(&read), (19, 16), "three are JSON with other keys");
    assert_eq!(read.reasons()[4], "keys");
    for name in
        ["cwl-subscription/datadog.cloudwatch_logs_2.json", "cwl-subscription/datadog.cloudwatch_logs_ddtags.json"]
    {
        assert_eq!(counted(&plan, name, &files.bytes(name), [1, 0, 1, 0]).reasons(), ["keys"]);
    }

    let name = "cwl-subscription/powertools.cloudWatchLogEvent.json";
    let object = base64(files.json(name)["awslogs"]["data"].as_str().unwrap());
    assert_eq!(reasons(&counted(&plan, name, &object, [2, 0, 2, 0])), (2, 2));

    // Its data are zlib, which the log service never sends.
    let name = "cwl-subscription/powertools.cloudWatchLogEventWithPolicyLevel.json";
    let object = base64(files.json(name)["awslogs"]["data"].as_str().unwrap());
    assert_eq!(reasons(&counted(&plan, name, &object, [2, 0, 2, 0])), (2, 2));

    let name = "cwl-subscription/powertools.kinesisStreamCloudWatchLogsEvent.json";
    let object = members(&files.json(name), "Records", |record| &record["kinesis"]["data"]);
    assert_eq!(reasons(&counted(&plan, name, &object, [6, 0, 6, 0])), (6, 6));
    assert_eq!(counted(&plan, &format!("{name} twice"), &gzip(&object), [6, 0, 6, 0]), super::read(&plan, &object));

    let name = "cwl-subscription/sam-cli.KinesisFirehoseCloudwatchLogsProcessor.json";
    let object = members(&files.json(name), "records", |record| &record["data"]);
    assert_eq!(reasons(&counted(&plan, name, &object, [10, 0, 9, 1])), (9, 9));
}

/// Downloads of crates by day, name and version, as crates.io counts them: it decodes the path twice.
fn downloads(read: &Read) -> BTreeMap<(String, String, String), u64> {
    let mut counts = BTreeMap::new();
    // They leave out agents that only copy, of which the files have one.
    let counts_for_them = |row: &&Row| row.get("user_agent").is_none_or(|agent| !agent.starts_with("Bazel/"));
    for row in read.events.iter().filter(counts_for_them) {
        let path = row["path"].replace("%2B", "+");
        let told = path.strip_prefix("/crates/").and_then(|rest| rest.split_once('/'));
        let told = told
            .and_then(|(name, file)| Some((name, file.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(".crate")?)));
        if let (Some((name, version)), "GET", "200") = (told, row["method"].as_str(), row["status"].as_str()) {
            *counts.entry((row["event_time"][..10].to_owned(), name.to_owned(), version.to_owned())).or_default() += 1;
        }
    }
    counts
}

fn told_downloads(told: &Value) -> BTreeMap<(String, String, String), u64> {
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    let entries = told["downloads"].as_array().unwrap().iter();
    entries.map(|e| ((text(e, "date"), text(e, "name"), text(e, "version")), e["count"].as_u64().unwrap())).collect()
}

/// The same lines with an id in front, which the header tells.
fn with_ids(text: &str) -> String {
    let line = |(number, line): (usize, &str)| match line.strip_prefix("#Fields: ") {
        Some(names) => format!("#Fields: x-edge-request-id {names}\n"),
        None if line.starts_with('#') => format!("{line}\n"),
        None => format!("id{number}==\t{line}\n"),
    };
    text.lines().enumerate().map(line).collect()
}

#[test]
fn cloudfront_standard_records() {
    let Some(files) = Files::find() else { return };
    let plan = standard::plan(&[], KeySpec::None);
    let name = |short: &str| format!("cloudfront-standard/{short}");
    for (short, records) in
        [("crates-io.basic", 20), ("crates-io.percent-encoding", 3), ("crates-io.unrelated-traffic", 5)]
    {
        let name = name(short);
        let read =
            counted(&plan, &format!("{name}.log"), &files.bytes(&format!("{name}.log")), [records, records, 0, 0]);
        assert_eq!(downloads(&read), told_downloads(&files.json(&format!("{name}.expected.json"))), "{name}");
        assert!(read.column("log_kind").iter().all(|kind| *kind == "standard"));
        assert!(read.column("host").iter().all(|host| *host == "static.crates.io"));
        assert!(read.column("distribution").iter().all(|host| *host == "d19xqa3lc3clo8.cloudfront.net"));
    }
    // Not quite the same lines: one has another agent.
    let packed = name("crates-io.basic.log.gz");
    let packed = counted(&plan, &packed, &files.bytes(&packed), [20, 20, 0, 0]);
    let plain = read(&plan, files.bytes(&name("crates-io.basic.log")));
    for column in ["event_time", "request_id", "path", "response_bytes"] {
        assert_eq!(packed.column(column), plain.column(column));
    }

    let odd = name("crates-io.recoverable-errors");
    let text = files.text(&format!("{odd}.log"));
    let rejected = counted(&plan, &odd, text.as_bytes(), [10, 0, 10, 0]);
    let no_id = ["no_id"; 3];
    assert_eq!(rejected.reasons()[..2], ["directive", "columns"]);
    assert_eq!(rejected.reasons()[2..5], no_id);
    assert_eq!(rejected.reasons()[5..], ["no_time", "bad_time", "no_id", "no_id", "no_id"]);
    let with_ids = with_ids(&text);
    let read = counted(&plan, &format!("{odd} + id"), with_ids.as_bytes(), [10, 6, 4, 0]);
    assert_eq!(read.reasons(), ["directive", "columns", "no_time", "bad_time"]);
    let mut found = downloads(&Read {
        events: read
            .events
            .into_iter()
            .filter(|row| ["path", "method", "status"].iter().all(|c| row.contains_key(*c)))
            .collect(),
        ..read
    });
    // This one's version has a sign that their versions cannot have.
    found.retain(|(_, _, version), _| version.is_ascii());
    assert_eq!(found, told_downloads(&files.json(&format!("{odd}.expected.json"))));

    let unknown = name("crates-io.unknown-version.log");
    assert_eq!(try_read(&plan, files.bytes(&unknown)), Err(ObjectError::UnknownVersion));
    say(&format!("{unknown:<78} {}", ObjectError::UnknownVersion));

    let read = counted(&plan, &name("clo.cloudfront.log"), &files.bytes(&name("clo.cloudfront.log")), [2, 2, 0, 0]);
    assert_eq!((read.column("status"), read.column("result_type")), (vec!["200"; 2], vec!["Error"; 2]));
    assert_eq!((read.column("request_bytes"), read.column("time_taken_ms")), (vec!["488", "82"], vec!["834", "1044"]));
    let promtail = name("lambda-promtail.cloudfront.log.gz");
    let read = counted(&plan, &promtail, &files.bytes(&promtail), [2, 2, 0, 0]);
    assert_eq!(read.column("response_bytes"), ["122254", "27113"]);
    assert!(read.events[0]["user_agent"].starts_with("Mozilla/5.0 (Macintosh; Intel"));
    let seed = name("seed.post-with-cf-function.log");
    let read = counted(&plan, &seed, &files.bytes(&seed), [1, 1, 0, 0]);
    let row = &read.events[0];
    for (column, value) in [
        ("event_time", "2025-10-05T01:06:21Z"),
        ("method", "POST"),
        ("path", "/data"),
        ("query", "test=123"),
        ("time_to_first_byte_ms", "133"),
        ("content_type", "application/json"),
        ("key_state", "absent"),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
}

#[test]
fn cloudfront_standard_records_of_version_2() {
    let Some(files) = Files::find() else { return };
    let plan = standard::plan(&[], KeySpec::LogData { name: "k".into(), plain: false, missing: Missing::Held });
    let json = "cloudfront-standard-v2/docs.firehose-json.ndjson";
    assert_eq!(counted(&plan, json, &files.bytes(json), [2, 0, 2, 0]).reasons(), ["no_id"; 2]);
    let text = files.text(json).replace("{\"date\"", "{\"x-edge-request-id\":\"A==\",\"date\"");
    let read = counted(&plan, &format!("{json} + id"), text.as_bytes(), [2, 2, 0, 0]);
    assert_eq!(read.events[0]["event_time"], "2024-11-15T19:45:51.183Z");
    assert_eq!(read.column("origin_latency_ms"), ["254", "125"]);
    assert_eq!(read.column("host"), ["d111111abcdef8.cloudfront.net"; 2]);
    assert_eq!(read.column("key_state"), ["truncated"; 2], "the field with the key is not there");
    assert!(read.events.iter().flat_map(BTreeMap::values).all(|value| !value.contains("examplecookie")));

    let w3c = "cloudfront-standard-v2/docs.s3-w3c.log";
    assert_eq!(counted(&plan, w3c, &files.bytes(w3c), [1, 0, 1, 0]).reasons(), ["no_id"]);
    let read = counted(&plan, &format!("{w3c} + id"), with_ids(&files.text(w3c)).as_bytes(), [1, 1, 0, 0]);
    let row = &read.events[0];
    assert_eq!((row["event_time"].as_str(), row["asn"].as_str()), ("2024-11-14T22:30:25.421Z", "16509"));
    assert_eq!(row["edge_location"], "SOF50-P2");
}

/// Under a set that is not theirs, captured records name the set that is.
#[test]
fn cloudfront_records_name_their_fields() {
    let Some(files) = Files::find() else { return };
    let named = |name: &str| files.fields(&format!("cloudfront-realtime/{name}.fields.txt"));
    let (long, short) = (named("seed.with-api-key.44-fields"), named("datadog-pipeline.40-fields"));
    let records = |name: &str, times| files.text(&format!("cloudfront-realtime/{name}.tsv")).repeat(times);
    let with = |fields: &[String]| realtime(vec![own_set(None, fields)]).unwrap();
    let new = records("seed.with-api-key.44-fields", 20);
    let old = records("datadog-pipeline.40-fields", 10);
    assert_eq!((read(&with(&long), &new).counts.events, read(&with(&short), &old).counts.events), (20, 20));

    let error = try_read(&with(&short), &new).unwrap_err();
    let ObjectError::FieldsMismatch { expected: 40, found: 44, likely: Some(likely) } = error else {
        panic!("{error}")
    };
    assert!(likely.starts_with("the 44 fields up to `asn`"), "{likely}");
    let error = try_read(&with(&long), &old).unwrap_err();
    let ObjectError::FieldsMismatch { expected: 44, found: 40, likely: Some(likely) } = error else {
        panic!("{error}")
    };
    assert!(likely.starts_with("the 40 fields of 2020"), "{likely}");

    let without: Vec<_> = long.iter().filter(|name| *name != "s-ip").cloned().collect();
    let error = try_read(&with(&without), &new).unwrap_err().to_string();
    assert!(error.ends_with("; they fit the configured set with `s-ip` added"), "{error}");
    let mut other = long.clone();
    other[column_of(&long, "s-ip")] = "connection-id".to_owned();
    let error = try_read(&with(&other), &new).unwrap_err().to_string();
    say(&error);
    assert!(error.contains("they fit the configured set with `s-ip` in place of `connection-id`"), "{error}");
}

/// What a Firehose transformation is given, laid into an object as Firehose would: no access logs either.
#[test]
fn records_of_firehose_events() {
    let Some(files) = Files::find() else { return };
    let plan = plan_of(templates(&[]), KeySpec::None, &Limits::default()).unwrap();
    for (name, numbers, reasons) in [
        ("powertools.kinesisFirehoseKinesisEvent.json", [2, 0, 2, 0], vec!["format", "keys"]),
        ("powertools.kinesisFirehosePutEvent.json", [2, 0, 2, 0], vec!["format", "keys"]),
        ("powertools.kinesisFirehoseSQSEvent.json", [1, 0, 1, 0], vec!["keys"]),
    ] {
        let name = format!("firehose-events/{name}");
        let batch = files.json(&name);
        let records = batch["records"].as_array().unwrap();
        let mut object = Vec::new();
        for record in records {
            object.extend(base64(record["data"].as_str().unwrap()));
            object.push(b'\n');
        }
        assert_eq!(counted(&plan, &name, &object, numbers).reasons(), reasons);
    }
}

/// Made of access logs by another program, with records within records: no log, and told so.
#[test]
fn a_parquet_object_of_another_program() {
    let Some(files) = Files::find() else { return };
    let name = "apigateway-access/clo.apigateway-sample.parquet";
    let object = files.bytes(name);
    let error = try_read(&standard::plan(&[], KeySpec::None), &object).unwrap_err();
    say(&format!("{name:<78} {error}"));
    assert!(matches!(error, ObjectError::BadParquet { what: "a column of records within records" }), "{error}");
    // Nor is it what it was made of.
    let plan = plan_of(templates(&[WIDE]), variable("identity.apiKeyId"), &Limits::default()).unwrap();
    assert!(matches!(try_read(&plan, &object), Err(ObjectError::ParquetElsewhere { .. })));
}

/// What S3, SNS, SQS and EventBridge say of objects.
#[test]
fn notifications_of_objects() {
    let Some(files) = Files::find() else { return };
    for (name, created, other) in [
        (
            "ownstats.snsS3Event.aggregated",
            Some("aggregated/stats/domain_name=mydomain.com/event_date=2022-11-29/data_0.parquet"),
            0,
        ),
        (
            "ownstats.snsS3Event.incoming",
            Some(
                "incoming/domain_name=mydomain.com/event_type=pageview/event_date=2022-11-29/ownstats-delivery-stream-prd-1-2022-11-29-22-26-24-427d939e-74e3-3621-b77c-372853e0751c.parquet",
            ),
            0,
        ),
        ("powertools.s3Event", Some("b21b84d653bb07b05b1e6b33684dc11b"), 0),
        ("powertools.s3EventBridgeNotificationObjectCreatedEvent", Some("IMG_m7fzo3.jpg"), 0),
        ("powertools.s3EventBridgeNotificationObjectDeletedEvent", None, 1),
        ("powertools.s3EventDecodedKey", Some("Happy Face.jpg"), 0),
        ("powertools.s3EventDeleteObject", None, 1),
        ("powertools.s3EventGlacier", Some("b21b84d653bb07b05b1e6b33684dc11b"), 0),
        ("powertools.s3SqsEvent", Some("test.pdf"), 0),
        ("rust-runtime.example-s3-event-with-decoded", Some("Happy Face.jpg"), 0),
        ("rust-runtime.example-s3-event", Some("Happy Face.jpg"), 0),
    ] {
        let found = meterlake::source::notices(&files.bytes(&format!("s3-events/{name}.json"))).unwrap();
        let keys: Vec<_> = found.created.iter().map(|notice| notice.key.as_str()).collect();
        say(&format!("s3-events/{name:<68} created {:?}, other {}", keys, found.other));
        assert_eq!((keys, found.other), (created.into_iter().collect(), other), "{name}");
    }
    for name in ["rust-runtime.example-sns-event", "rust-runtime.example-sqs-event"] {
        let error = meterlake::source::notices(&files.bytes(&format!("s3-events/{name}.json"))).unwrap_err();
        say(&format!("s3-events/{name:<68} {error}"));
    }
}
