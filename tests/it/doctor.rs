//! `doctor`: what it says of each kind of log, and that the settings it proposes read it. Every proposal is put into a
//! configuration and run, twice; the events are counted in the tables.

use std::fs;
use std::path::{Path, PathBuf};

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::shell::{Shell, edge_config, edge_record_of, edge_records, gz};

const REAL: &str = "shared/fixtures/real";

/// What `doctor --json` says of a sample, and its exit code.
fn examined(shell: &Shell, sample: &str) -> (i32, Value) {
    let ran = shell.run(&["doctor", sample, "--json"]);
    assert!(!ran.out.is_empty(), "{}", ran.all());
    (ran.code, serde_json::from_str(&ran.out).unwrap())
}

/// The only log that is seen.
fn only_log(shell: &Shell, sample: &str) -> (i32, Value) {
    let (code, said) = examined(shell, sample);
    let logs = said["logs"].as_array().unwrap();
    assert_eq!(logs.len(), 1, "{said:#}");
    (code, logs[0].clone())
}

fn codes(log: &Value, level: &str) -> Vec<String> {
    log[level].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

/// Puts the proposal into a configuration, runs it twice and compares the events with what `doctor` counted.
#[track_caller]
fn proposal_works(name: &str, object: &[u8], kind: &str, events: u64) -> Value {
    let shell = Shell::new();
    shell.write(&format!("landing/{name}"), object);
    proposal_works_in(&shell, kind, events)
}

#[track_caller]
fn proposal_works_in(shell: &Shell, kind: &str, events: u64) -> Value {
    let (code, log) = only_log(shell, "landing");
    assert_eq!(log["kind"], kind, "{log:#}");
    assert!(code < 2, "{log:#}");
    let block = log["proposal"]["toml"].as_str().unwrap_or_else(|| panic!("no proposal: {log:#}"));
    let source = block.split('"').nth(1).unwrap();
    let rest = format!(
        "lake = \"lake\"\n[privacy]\nkey_secret = \"env:ML_SECRET\"\n[[meter]]\nname = \"calls\"\nsource = {source:?}\nvalue = \"count\"\ngroup_by = []\n"
    );
    shell.write("meterlake.toml", format!("{rest}{block}"));
    for _ in 0..2 {
        let ran = shell.run(&["run"]);
        assert!(ran.code < 2, "{block}\n{}", ran.all());
    }
    let table = match kind {
        "api-gateway" => "origin_requests",
        "json" if block.contains("origin_requests") => "origin_requests",
        _ => "edge_requests",
    };
    let counted = shell.query(&format!("SELECT count(*) FROM {table}"));
    assert_eq!(counted, [events.to_string()], "{block}");
    let tally = &log["tally"];
    assert_eq!(tally["events"].as_u64().unwrap() - tally["duplicates"].as_u64().unwrap(), events, "{log:#}");
    log
}

fn realtime_lines() -> String {
    (0..30).map(|n| edge_record_of(n, "KEYKEYKEYKEYKEY1", "/v1/x", "curl/8.7.1") + "\n").collect()
}

/// A record of a REST API in a format of its own.
fn rest(n: u32, key: &str) -> String {
    json!({
        "rid": format!("BkJdhGC0yK4F{n:03}="), "when": format!("29/Oct/2026:09:00:{:02} +0000", n % 60),
        "req": {"method": "GET", "resource": "/v1/items/{id}"}, "status_code": "200", "bytes": "120",
        "client_ip": "203.0.113.9", "api_key_id": key, "service": "items",
    })
    .to_string()
}

fn envelope(messages: &[String]) -> String {
    let events = messages.iter().enumerate();
    let events: Vec<_> =
        events.map(|(id, m)| json!({"id": id.to_string(), "timestamp": 1_793_264_400_000_u64, "message": m})).collect();
    json!({"messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "/apigw", "logStream": "0", "subscriptionFilters": ["f"], "logEvents": events}).to_string()
}

fn standard_line(n: u32) -> String {
    format!(
        "2026-10-29\t09:00:{:02}\tFRA56-P4\t611\t203.0.113.9\tGET\td1.cloudfront.net\t/v1/x\t200\t-\tcurl/8.7.1\tapi_key=K{n}&a=1\tsid=1\tMiss\tHoIW-MaV1Qu7J5kwqnAYBNlsg4iI2MBYb5OXBfykwRAZpAqHmd{n:02}==\tapi.example.com\thttps\t104\t0.133",
        n % 60
    )
}

const STANDARD_HEADER: &str = "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken\n";

fn standard_json(n: u32) -> String {
    json!({
        "date": "2026-10-29", "time": format!("09:00:{:02}", n % 60), "timestamp(ms)": (1_793_264_400_000_u64 + u64::from(n)).to_string(),
        "x-edge-request-id": format!("id{n:054}"), "sc-status": "200", "cs-method": "GET", "cs-uri-stem": "/v1/x",
        "sc-bytes": "100", "viewer-request-log-data": "v1;k=0123456789abcdef0123456789abcdef",
    })
    .to_string()
}

fn own(n: u32) -> String {
    json!({"ts": 1_793_264_400_000_u64 + u64::from(n), "requestId": format!("req-{n:04}"), "http": {"method": "GET", "path": "/v1/x", "status": 200}, "apiKeyId": "k1"}).to_string()
}

fn lines(of: impl Fn(u32) -> String) -> String {
    (0..30).map(|n| of(n) + "\n").collect()
}

fn copy(from: &Path, shell: &Shell, to: &str) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = format!("{to}/{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            copy(&path, shell, &to);
        } else {
            shell.write(&to, fs::read(path).unwrap());
        }
    }
}

fn quickstart(part: &str) -> Shell {
    let shell = Shell::new();
    let landing = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/landing");
    copy(&landing.join(part), &shell, "landing");
    shell
}

/// Fails where the field list is guessed wrong by one: the ids and times would be rejects.
#[test]
fn the_examples_logs_are_read_by_what_is_proposed() {
    let edge = proposal_works_in(&quickstart("cloudfront"), "cloudfront-realtime", 300);
    assert_eq!(edge["fields"].as_array().unwrap().len(), 28);
    assert!(edge["proposal"]["toml"].as_str().unwrap().contains("key = { header = \"x-api-key\" }"));
    let origin = proposal_works_in(&quickstart("apigateway"), "api-gateway", 742);
    assert!(origin["proposal"]["toml"].as_str().unwrap().contains("key = \"$context.identity.apiKeyId\""));
}

/// The 28 fields of the example are worked out from its values alone.
#[test]
fn the_examples_field_list_is_found() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/meterlake.toml")).unwrap();
    let config: toml::Table = text.parse().unwrap();
    let sources = config["source"].as_array().unwrap();
    let edge = sources.iter().find(|source| source["name"].as_str() == Some("edge")).unwrap();
    let fields: Vec<_> = edge["fields"].as_array().unwrap().iter().map(|field| field.as_str().unwrap()).collect();
    let (_, log) = only_log(&quickstart("cloudfront"), "landing");
    let found: Vec<_> = log["fields"].as_array().unwrap().iter().map(|field| field.as_str().unwrap()).collect();
    assert_eq!(found, fields);
}

#[test]
fn every_kind_of_log_is_read_by_what_is_proposed() {
    let log = proposal_works("cf", realtime_lines().as_bytes(), "cloudfront-realtime", 30);
    assert_eq!(log["fields"].as_array().unwrap().len(), 10, "{log:#}");
    let zipped = zstd::encode_all(realtime_lines().as_bytes(), 1).unwrap();
    let log = proposal_works("cf.bin", &zipped, "cloudfront-realtime", 30);
    assert_eq!(log["container"]["packings"], json!(["zstd"]));

    let v1 = STANDARD_HEADER.to_owned() + &lines(standard_line);
    let log = proposal_works("E1.2026-10-29-09.abc.gz", &gz(v1.as_bytes()), "cloudfront-standard", 30);
    let harm = codes(&log, "warnings");
    assert!(harm.contains(&"key_in_query".to_owned()) && harm.contains(&"secrets".to_owned()), "{harm:?}");
    assert!(log["proposal"]["toml"].as_str().unwrap().contains("key = { query = \"api_key\" }"));

    let log = proposal_works("v2.json", lines(standard_json).as_bytes(), "cloudfront-standard", 30);
    assert!(log["proposal"]["toml"].as_str().unwrap().contains("key = { log_data = \"k\", plain = true }"));
    let log = proposal_works("v2.txt", lines(standard_line).as_bytes(), "cloudfront-standard", 30);
    assert_eq!(log["fields"].as_array().unwrap().len(), 19, "{log:#}");

    let messages: Vec<_> = (0..30).map(|n| rest(n, "k1")).collect();
    let documents = [envelope(&messages[..10]), envelope(&messages[10..])];
    let members: Vec<u8> = documents.iter().flat_map(|document| gz(document.as_bytes())).collect();
    let log = proposal_works("apigw", &gz(&members), "api-gateway", 30);
    assert_eq!(log["container"]["packings"], json!(["gzip", "gzip"]));
    assert_eq!((&log["container"]["envelopes"], &log["left_out"]), (&json!(2), &json!(["service"])));

    let clf = lines(|n| {
        format!(
            "203.0.113.9 - - [29/Oct/2026:09:00:{:02} +0000] \"GET GET /items HTTP/1.1\" 200 12 BkJdhGC0yK4F{n:03}= BkJdhGC0yK4F{n:03}=",
            n % 60
        )
    });
    let log = proposal_works("clf", clf.as_bytes(), "api-gateway", 30);
    assert!(log["what"].as_str().unwrap().ends_with("CLF of an HTTP API"), "{log:#}");
    assert!(codes(&log, "warnings").contains(&"no_key".to_owned()));

    let log = proposal_works("own", lines(own).as_bytes(), "json", 30);
    assert!(log["proposal"]["toml"].as_str().unwrap().contains("key = { path = \"apiKeyId\", plain = true }"));
    let of_lambda: Vec<_> = (0..30)
        .flat_map(|n| {
            let id = format!("6bc28136-b1d7-4e0a-9c3f-{n:012}");
            [format!("START RequestId: {id} Version: 1"), format!("2026-10-29T09:00:00.000Z\t{id}\tINFO\t{}", own(n))]
        })
        .collect();
    let log = proposal_works("lambda", envelope(&of_lambda).as_bytes(), "json", 30);
    assert_eq!(log["container"]["lambda_lines"], 30);
}

/// Records that Firehose could not deliver are read from its error objects; what runs together is told apart.
#[test]
fn odd_containers_are_named_and_read() {
    let failed: String = (0..30)
        .map(|n| {
            let raw = base64(rest(n, "k1").as_bytes());
            json!({"attemptsMade": 4, "arrivalTimestamp": 1, "errorCode": "Lambda.FunctionError", "errorMessage": "m", "attemptEndingTimestamp": 2, "rawData": raw, "lambdaArn": "arn:x"}).to_string()
        })
        .collect();
    let log = proposal_works("failed", failed.as_bytes(), "api-gateway", 30);
    assert_eq!((&log["container"]["firehose_errors"], &log["container"]["run_together"]), (&json!(30), &json!(29)));
    let notes = codes(&log, "notes");
    assert!(notes.contains(&"failed".to_owned()) && notes.contains(&"run_together".to_owned()), "{notes:?}");
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |part: &[u8], at: usize| {
        let bits = part.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        if at > part.len() { '=' } else { DIGITS[(bits >> (18 - 6 * at) & 63) as usize] as char }
    };
    bytes.chunks(3).flat_map(|part| (0..4).map(move |at| digit(part, at))).collect()
}

/// A field list and a format that changed: both are proposed, and all records read.
#[test]
fn settings_that_changed_are_proposed_side_by_side() {
    let without = |line: String| {
        line.split('\t')
            .enumerate()
            .filter(|(at, _)| *at != 1)
            .map(|(_, c)| c.to_owned())
            .collect::<Vec<_>>()
            .join("\t")
    };
    let changed: String = (0..60)
        .map(|n| {
            let line = edge_record_of(n, "KEYKEYKEYKEYKEY1", "/v1/x", "curl/8.7.1");
            (if n < 30 { without(line) } else { line }) + "\n"
        })
        .collect();
    let log = proposal_works("cf", changed.as_bytes(), "cloudfront-realtime", 60);
    assert!(log["proposal"]["toml"].as_str().unwrap().contains("{ from = \"2026-10-29T09:00:30Z\""), "{log:#}");
    let more = |n: u32| {
        if n < 10 { rest(n, "k1") } else { rest(n, "k1").replace("\"bytes\"", "\"stage\":\"prod\",\"bytes\"") }
    };
    let log = proposal_works("apigw", lines(more).as_bytes(), "api-gateway", 30);
    assert!(log["proposal"]["toml"].as_str().unwrap().contains("{ from = \"2026-10-29T09:00:10Z\""), "{log:#}");
}

fn real() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().map(|folder| folder.join(REAL)).find(|folder| folder.is_dir())
}

/// Captured logs: what is proposed reads them; where nothing can, that is said.
#[test]
#[expect(clippy::print_stdout, reason = "the table is for whoever reads a test's output")]
fn captured_logs_are_read_by_what_is_proposed() {
    let Some(real) = real() else { return println!("skipped: no folder {REAL} here or above") };
    let read = |name: &str| fs::read(real.join(name)).unwrap();
    for (name, kind, events) in [
        ("cloudfront-realtime/seed.with-api-key.44-fields.tsv", "cloudfront-realtime", 1),
        ("cloudfront-realtime/datadog-pipeline.40-fields.tsv", "cloudfront-realtime", 2),
        ("cloudfront-standard/crates-io.basic.log", "cloudfront-standard", 20),
        ("cloudfront-standard/crates-io.basic.log.gz", "cloudfront-standard", 20),
        ("cloudfront-standard/crates-io.percent-encoding.log", "cloudfront-standard", 3),
        // Its makers repeated a record.
        ("cloudfront-standard/crates-io.unrelated-traffic.log", "cloudfront-standard", 4),
        ("cloudfront-standard/clo.cloudfront.log", "cloudfront-standard", 2),
        ("cloudfront-standard/lambda-promtail.cloudfront.log.gz", "cloudfront-standard", 2),
        ("cloudfront-standard/seed.post-with-cf-function.log", "cloudfront-standard", 1),
        ("apigateway-access/clo.apigateway1.log", "api-gateway", 20),
        ("apigateway-access/clo.apigateway1.gz", "api-gateway", 20),
        ("apigateway-access/elastic.test-apigateway-rest.log", "api-gateway", 5),
        ("apigateway-access/elastic.test-apigateway-http.log", "api-gateway", 5),
    ] {
        let log = proposal_works("object", &read(name), kind, events);
        println!("{name:<70} {events:>3} events, {}", codes(&log, "warnings").join(" "));
    }
    // Without an id no record can be read, and none is.
    for (name, kind, records) in [
        ("cloudfront-realtime/ownstats.rawPageViewData.tsv", "cloudfront-realtime", 1),
        ("cloudfront-standard-v2/docs.firehose-json.ndjson", "cloudfront-standard", 2),
        ("cloudfront-standard-v2/docs.s3-w3c.log", "cloudfront-standard", 1),
        ("cloudfront-standard/crates-io.recoverable-errors.log", "cloudfront-standard", 10),
    ] {
        let shell = Shell::new();
        shell.write("object", read(name));
        let (code, log) = only_log(&shell, "object");
        assert_eq!(
            (code, log["kind"].as_str(), log["tally"]["rejects"].as_u64()),
            (1, Some(kind), Some(records)),
            "{name}: {log:#}"
        );
        assert!(codes(&log, "warnings").iter().any(|code| code == "no_id" || code == "rejects"), "{name}: {log:#}");
        println!("{name:<70}   0 events, {}", codes(&log, "warnings").join(" "));
    }
    for folder in ["cwl-subscription", "firehose-events", "s3-events"] {
        for entry in fs::read_dir(real.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let shell = Shell::new();
            shell.write("object", fs::read(&path).unwrap());
            let (code, said) = examined(&shell, "object");
            assert_eq!(code, 2, "{}: {said:#}", path.display());
            let stranger = &said["not_recognised"][0];
            println!("{:<70} {}: {}", path.file_name().unwrap().display(), stranger["what"], stranger["detail"]);
        }
    }
}

/// The captured field lists, as far as their values tell.
#[test]
fn captured_field_lists_are_found() {
    let Some(real) = real() else { return };
    for (name, sample) in [
        ("seed.with-api-key.44-fields", "seed.with-api-key.44-fields"),
        ("datadog-pipeline.40-fields", "datadog-pipeline.40-fields"),
        ("ownstats", "ownstats.rawPageViewData"),
    ] {
        let text = |name: String| fs::read_to_string(real.join("cloudfront-realtime").join(name)).unwrap();
        let shell = Shell::new();
        shell.write("object", text(format!("{sample}.tsv")));
        let (_, log) = only_log(&shell, "object");
        let found: Vec<_> =
            log["fields"].as_array().unwrap().iter().map(|field| field.as_str().unwrap().to_owned()).collect();
        let fields: Vec<_> = text(format!("{name}.fields.txt")).split_whitespace().map(str::to_owned).collect();
        assert_eq!(found, fields, "{log:#}");
    }
}

#[test]
fn other_logs_are_refused_by_name() {
    let cloudtrail = r#"{"Records":[{"eventVersion":"1.08","eventTime":"2026-10-29T09:00:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject"}]}"#;
    let alb = r#"https 2026-10-29T09:00:00.186641Z app/my-lb/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://www.example.com:443/ HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:x"#;
    let id = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be";
    let s3 = format!(
        "{id} bucket [29/Oct/2026:09:00:00 +0000] 192.0.2.3 {id} 3E57427F3 REST.GET.OBJECT key \"GET /key HTTP/1.1\" 200 - 113 - 7 - \"-\" \"S3Console/0.4\" -"
    );
    let shell = Shell::new();
    shell.write("logs/cloudtrail.json.gz", gz(cloudtrail.as_bytes())).write("logs/alb.log", alb).write("logs/s3", s3);
    assert_snapshot!(shell.run(&["doctor", "logs"]).all());
}

/// Whatever it is given, it says what that is and ends.
#[test]
fn hostile_and_odd_input_is_told() {
    let binary: Vec<u8> = (0..5000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let whole = gz(lines(|n| rest(n, "k1")).as_bytes());
    let deep = "{\"a\":".repeat(500) + "1" + &"}".repeat(500);
    for (name, bytes, told) in [
        ("empty", Vec::new(), "it is empty"),
        ("blank", b"\n\n \n".to_vec(), "it is empty"),
        ("binary", binary, "binary data"),
        ("cut.gz", whole[..40].to_vec(), "the compressed data end too early"),
        ("huge", vec![b'x'; 3 << 20], "pieces of records"),
        ("huge.json", format!("{{\"a\":\"{}\"}}", "x".repeat(9 << 20)).into_bytes(), "only the beginning"),
        ("deep", deep.into_bytes(), "pieces of records"),
        ("par1", b"PAR1 and then nothing".to_vec(), "cannot be read as one"),
        ("words", b"one line\nand another\n".to_vec(), "lines of text that fit no log"),
        ("array", b"[{\"a\":1},{\"a\":2}]".to_vec(), "a JSON array"),
        ("app", b"{\"level\":\"info\",\"msg\":\"started\"}\n".to_vec(), "JSON records with the keys `level`, `msg`"),
        ("tabs", b"a\tb\tc\nd\te\tf\n".to_vec(), "lines of text that fit no log"),
    ] {
        let shell = Shell::new();
        shell.write(name, bytes);
        let ran = shell.run(&["doctor", name]);
        // Wrapped for people.
        let out = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        if name == "huge.json" {
            assert_eq!(ran.code, 2, "{}", ran.all());
            continue;
        }
        assert!(ran.code == 2 && out.contains(told), "{name}: {}", ran.all());
    }
    let shell = Shell::new();
    assert_snapshot!(shell.run(&["doctor", "nowhere"]).all(), @"
    exit 2
    --- stderr
    error: there is nothing at nowhere
    ");
}

/// A gzip object of which only the beginning is read is looked at as far as that goes.
#[test]
fn large_objects_are_looked_at_in_part() {
    let mut noise = 1_u64;
    let mut line = |n: u32| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        edge_record_of(n, &format!("{noise:020}"), &format!("/v1/{:x}", noise >> 7), "curl/8.7.1") + "\n"
    };
    let text: String = (0..60_000).map(&mut line).collect();
    let packed = gz(text.as_bytes());
    assert!(packed.len() > 1 << 20);
    let shell = Shell::new();
    shell.write("landing/cf.gz", packed).write("landing/other", text);
    let ran = shell.run(&["doctor", "landing", "--mib", "1", "--json"]);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    let log = &said["logs"][0];
    let records = log["tally"]["records"].as_u64().unwrap();
    assert!((5_000..119_000).contains(&records) && log["tally"]["rejects"] == 0, "{log:#}");
    assert!(codes(log, "notes").contains(&"cut".to_owned()), "{log:#}");
    let ran = shell.run(&["doctor", "landing", "--objects", "1", "--json"]);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&said["samples"][0]["objects"], said["samples"][0]["looked_at"].as_array().unwrap().len()),
        (&json!(2), 1)
    );
}

/// Keys, cookies and tokens of a sample are in no line that is printed.
#[test]
fn no_secret_is_printed() {
    let record = |n: u32| {
        edge_record_of(n, "SECRETKEYSECRETKEY01", "/v1/x?token=SECRETTOKEN", "curl/8.7.1")
            .replace("host:a.example%0A", "host:a.example%0Aauthorization:Bearer%20SECRETBEARER%0A")
            .trim_end_matches("\t2")
            .to_owned()
            + "\t3"
    };
    let shell = Shell::new();
    shell
        .write("cf", lines(record))
        .write("words", "SECRETWORD key=SECRETVALUE\n")
        .write("app", "{\"SECRET\u{1b}[31m\":1}\n");
    for arguments in [
        &["doctor", "cf"][..],
        &["doctor", "cf", "--json"],
        &["doctor", "words", "app"],
        &["doctor", "words", "--json"],
    ] {
        let ran = shell.run(arguments);
        let all = ran.all().replace("`SECRET [31m`", "");
        assert!(!all.contains("SECRET") && !all.contains('\u{1b}'), "{all}");
    }
    let (code, log) = only_log(&shell, "cf");
    let secrets = log["warnings"].as_array().unwrap().iter().find(|finding| finding["code"] == "secrets").unwrap();
    let text = secrets["text"].as_str().unwrap();
    assert!(code == 1 && text.contains("the header `authorization` (30 of") && text.contains("`token`"), "{text}");
}

/// Times far from the arrival that Firehose wrote into the name, order and repetition.
#[test]
fn clocks_order_and_copies_are_told() {
    let name = "landing/cf-rt-7-2026-10-29-08-00-00-6d0c1f7e-0a1b-4c2d-8e3f-123456789abc";
    let mut records: Vec<String> =
        (0..20).map(|n| edge_record_of(n, "KEYKEYKEYKEYKEY1", "/v1/x", "curl/8.7.1")).collect();
    records.swap(3, 15);
    records.push(records[0].clone());
    records.push(records[1].replace("\t200\t", "\t404\t"));
    let shell = Shell::new();
    shell.write(name, records.join("\n"));
    let (code, log) = only_log(&shell, "landing");
    assert_eq!((code, &log["tally"]["duplicates"], &log["tally"]["conflicts"]), (1, &json!(1), &json!(1)), "{log:#}");
    let (harm, notes) = (codes(&log, "warnings"), codes(&log, "notes"));
    assert!(harm.contains(&"clock".to_owned()) && harm.contains(&"conflicts".to_owned()), "{harm:?}");
    assert!(notes.contains(&"disorder".to_owned()) && notes.contains(&"duplicates".to_owned()), "{notes:?}");
    // In time: nothing of the clock.
    let shell = Shell::new();
    shell.write(&name.replace("08-00-00", "09-01-00"), realtime_lines());
    let (code, log) = only_log(&shell, "landing");
    assert_eq!((code, codes(&log, "warnings")), (0, Vec::new()), "{log:#}");
}

#[test]
fn with_a_configuration_its_sources_are_tried() {
    let shell = Shell::new();
    shell
        .write("meterlake.toml", edge_config(""))
        .write("landing/a", edge_records(0..20))
        .write("elsewhere/b", edge_records(0..5));
    assert_snapshot!("doctor_configured", shell.run(&["doctor", "landing", "elsewhere"]).all());
    assert!(!shell.exists("lake"), "nothing is written");
    let broken = edge_config("").replace("\"c-ip\", ", "");
    shell.write("other.toml", broken);
    let ran = shell.run(&["doctor", "landing", "--config", "other.toml"]);
    assert!(ran.out.contains("with `c-ip` added"), "{}", ran.all());
    assert_eq!(shell.run(&["doctor", "landing", "--config", "none.toml"]).code, 2);
    shell.write("meterlake.toml", "lake = 1");
    let ran = shell.run(&["doctor", "landing"]);
    assert!(
        ran.err.contains("meterlake.toml is left out of this") && ran.out.contains("CloudFront real-time logs"),
        "{}",
        ran.all()
    );
}

#[test]
fn it_reads_well() {
    let shell = quickstart("cloudfront");
    assert_snapshot!("doctor_realtime", shell.run(&["doctor", "landing"]).all());
    let shell = quickstart("apigateway");
    assert_snapshot!("doctor_api_gateway", shell.run(&["doctor", "landing"]).all());
    let shell = Shell::new();
    shell.write("E1.gz", gz((STANDARD_HEADER.to_owned() + &lines(standard_line)).as_bytes()));
    assert_snapshot!("doctor_standard", shell.run(&["doctor", "E1.gz"]).all());
    shell.write("own.json", lines(own));
    assert_snapshot!("doctor_own_json", shell.run(&["doctor", "own.json"]).all());
    let without_id = |line: &str| {
        line.split('\t')
            .enumerate()
            .filter(|(at, _)| *at != 6)
            .map(|(_, cell)| cell.to_owned())
            .collect::<Vec<_>>()
            .join("\t")
    };
    shell.write("no-id.tsv", edge_records(0..20).lines().map(|line| without_id(line) + "\n").collect::<String>());
    assert_snapshot!("doctor_without_id", shell.run(&["doctor", "no-id.tsv"]).all());
    let mixed = Shell::new();
    mixed
        .write("logs/a", edge_records(0..20))
        .write("logs/b", lines(|n| rest(n, "k1")))
        .write("logs/c", "hello\n")
        .write("logs/d", "");
    assert_snapshot!("doctor_mixed", mixed.run(&["doctor", "logs"]).all());
}
