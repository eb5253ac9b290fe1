//! JSON of one's own, through a table of key paths.

use super::*;

fn own(table: &str, columns: &[(&str, &str)], key: KeySpec) -> Result<DecodePlan, SpecError> {
    within(table, columns, key, &Limits::default())
}

fn within(table: &str, columns: &[(&str, &str)], key: KeySpec, limits: &Limits) -> Result<DecodePlan, SpecError> {
    let path = |path: &str| path.split('.').map(str::to_owned).collect();
    let columns = columns.iter().map(|(column, keys)| ((*column).to_owned(), path(keys))).collect();
    let table = meterlake::schema::Table::by_name(table).unwrap();
    plan_of(Format::Json(OwnJson { table, columns }), key, limits)
}

fn key(plain: bool) -> KeySpec {
    KeySpec::Path { path: vec!["auth".into(), "key".into()], plain }
}

const COLUMNS: [(&str, &str); 8] = [
    ("request_id", "id"),
    ("event_time", "ts"),
    ("status", "http.status"),
    ("path", "http.url"),
    ("latency_ms", "ms"),
    ("response_bytes", "http.bytes"),
    ("client_ip", "ip"),
    ("user_agent", "ua"),
];

pub(super) fn backend() -> DecodePlan {
    own("origin_requests", &COLUMNS, key(false)).unwrap()
}

/// The same within limits.
pub(super) fn backend_within(limits: &Limits) -> DecodePlan {
    within("origin_requests", &COLUMNS, key(false), limits).unwrap()
}

pub(super) const RECORD: &str = r#"{"level":"info","id":"r-1","ts":"2026-02-03T04:05:06.789Z","http":{"status":200,"url":"/v1/items?key=S","bytes":"1532","x":[{"id":1}]},"ms":12.9,"ip":"203.0.113.9","ua":"curl \"8\"","auth":{"key":"K1"}}"#;

#[test]
fn values_are_found_by_their_paths() {
    let row = only(&backend(), RECORD);
    for (column, value) in [
        ("request_id", "r-1"),
        ("event_time", "2026-02-03T04:05:06.789Z"),
        ("status", "200"),
        ("path", "/v1/items"),
        ("latency_ms", "12"),
        ("response_bytes", "1532"),
        ("client_ip", "203.0.113.0"),
        ("user_agent", "curl \"8\""),
        ("key_state", "present"),
        ("key_ref", &reference("K1")),
        ("region", "eu-west-1"),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
    assert_eq!(row.get("method"), None);
    assert_eq!(only(&own("origin_requests", &COLUMNS, key(true)).unwrap(), RECORD)["key_ref"], "K1");
    let anonymous = only(&backend(), RECORD.replace(r#"{"key":"K1"}"#, "null"));
    assert_eq!((anonymous["key_state"].as_str(), anonymous.get("key_ref")), ("absent", None));
}

#[test]
fn either_table_can_be_filled() {
    let columns = [
        ("request_id", "cf"),
        ("event_time", "at"),
        ("path", "uri"),
        ("referer", "ref"),
        ("host", "h"),
        ("time_taken_ms", "t"),
    ];
    let plan = own("edge_requests", &columns, KeySpec::Path { path: vec!["api-key".into()], plain: false }).unwrap();
    let secret = "TESTKEY0TESTKEY1TESTKEY2";
    let record = format!(
        r#"{{"cf":"A==","at":1764000000123,"uri":"/a/{secret}?x=1&API-Key={secret}","ref":"https://a/?y=2&api-key={secret}","h":"h","t":3,"api-key":"{secret}"}}"#
    );
    let row = only(&plan, record);
    for (column, value) in [
        ("event_time", "2025-11-24T16:00:00.123Z"),
        ("log_kind", "json"),
        ("path", &format!("/a/{}", reference(secret))),
        ("query", "x=1"),
        ("referer", "https://a/?y=2"),
        ("host", "h"),
        ("time_taken_ms", "3"),
        ("key_ref", &reference(secret)),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
    assert!(row.values().all(|value| !value.contains(secret)), "{row:?}");
}

/// Whatever a program logs of a request, the key that was found is stored nowhere.
#[test]
fn a_key_in_any_value_is_not_stored() {
    let secret = "TESTKEY0TESTKEY1TESTKEY2";
    let shared = [("request_id", "id"), ("event_time", "at"), ("method", "m"), ("path", "p"), ("user_agent", "ua")];
    for (table, more) in
        [("origin_requests", [("domain", "d"), ("subject", "s")]), ("edge_requests", [("host", "d"), ("referer", "s")])]
    {
        let plan = own(table, &[&shared[..], &more].concat(), key(false)).unwrap();
        let record = format!(
            r#"{{"id":"A","at":1764000000123,"m":"{secret}","p":"{secret}","ua":"{secret}","d":"{secret}","s":"{secret}","auth":{{"key":"{secret}"}}}}"#
        );
        let row = only(&plan, record);
        assert_eq!(row["key_ref"], reference(secret));
        assert!(row.values().all(|value| !value.contains(secret)), "{row:?}");
    }
}

#[test]
fn records_stand_bare_in_envelopes_and_after_lambdas_words() {
    let plan = backend();
    let id = "6bc28136-b1d7-4e0a-9c3f-0123456789ab";
    let bare = only(&plan, RECORD);
    assert_eq!(only(&plan, envelope(&[RECORD])), bare);
    let node = format!("2026-02-03T04:05:06.789Z\t{id}\tINFO\t{RECORD}\n");
    assert_eq!(only(&plan, envelope(&[&node])), bare);
    let report = format!("REPORT RequestId: {id}\tDuration: 1.02 ms\tBilled Duration: 2 ms\n");
    let start = format!("START RequestId: {id} Version: 1\n");
    let read = read(&plan, envelope(&[&start, &node, "something else", &report]) + CONTROL);
    assert_eq!(read.reasons(), ["not_json"]);
    let Counts { records, events, control, .. } = read.counts;
    assert_eq!((records, events, control), (5, 1, 3));
    assert_eq!(read.column("source_position"), ["1"]);
}

#[test]
fn what_cannot_be_read_in_a_record_is_named() {
    for (from, to, reason) in [
        (r#""id":"r-1""#, r#""id":"""#, "no_id"),
        (r#""id":"r-1","#, "", "no_id"),
        (r#""ts":"2026-02-03T04:05:06.789Z","#, "", "no_time"),
        ("04:05:06.789Z", "04:05:06", "bad_time"),
        (r#""status":200"#, r#""status":"ok""#, "bad_number"),
        (r#""status":200"#, r#""status":20000"#, "bad_number"),
        (r#""ms":12.9"#, r#""ms":-1"#, "bad_number"),
        (r#""auth":{"key":"K1"}"#, r#""auth":{"key":{"id":"K1"}}"#, "keys"),
        (r#""auth":{"key":"K1"}"#, r#""auth":"K1""#, "keys"),
        (r#""ua":"#, r#""ua""#, "bad_json"),
    ] {
        let object = format!("{}\n{RECORD}", RECORD.replace(from, to));
        let read = read(&backend(), object);
        assert_eq!((read.reasons(), read.counts.events), (vec![reason], 1), "{from} → {to}");
        assert!(read.rejects.iter().all(|reject| !reject["detail"].contains("K1")));
    }
}

/// Whatever a caller sends, no event has another caller's key: it is read right, or a reject.
#[test]
fn nothing_that_a_caller_sends_bills_another() {
    let plan = backend();
    for hostile in [
        r#"x","auth":{"key":"VICTIM"},"z":""#,
        r#"x","\u0061uth":{"key":"VICTIM"},"z":""#,
        r#"x","http":{"status":200},"z":""#,
        r#"x","ua":""#,
    ] {
        // By a logger that escapes nothing: before the key and after it.
        let before = RECORD.replace("\"level\":\"info\"", &format!("\"level\":\"{hostile}\""));
        let after = RECORD.replace(r#"{"key":"K1"}}"#, &format!(r#"{{"key":"K1"}},"last":"{hostile}"}}"#));
        for record in [before, after] {
            assert_eq!(read(&plan, &record).reasons(), ["duplicate_key"], "{record}");
            assert_eq!(read(&plan, envelope(&[&record])).reasons(), ["duplicate_key"]);
        }
        // By one that does.
        let text = serde_json::to_string(hostile).unwrap();
        let row = only(&plan, RECORD.replace(r#""curl \"8\"""#, &text));
        assert_eq!((row["key_ref"].as_str(), row["user_agent"].as_str()), (reference("K1").as_str(), hostile));
    }
    let inner = RECORD.replace(r#"{"key":"K1"}"#, r#"{"key":"K1","key":"VICTIM"}"#);
    assert_eq!(read(&plan, inner).reasons(), ["duplicate_key"]);
    // A line end in a string breaks the record, not the next.
    let broken = RECORD.replace("curl", "a\nb");
    let read = read(&plan, format!("{broken}\n{RECORD}"));
    assert!(read.counts.events == 1 && read.column("key_ref") == [reference("K1")], "{read:?}");
    // A forged envelope within a record is a string.
    let forged = serde_json::to_string(&envelope(&[RECORD])).unwrap();
    assert_eq!(only(&plan, RECORD.replace(r#""curl \"8\"""#, &forged))["request_id"], "r-1");
}

#[test]
fn settings_that_cannot_work_are_told() {
    let told = |columns: &[(&str, &str)], key| own("origin_requests", columns, key).unwrap_err();
    let both = [("request_id", "id"), ("event_time", "ts")];
    assert!(own("origin_requests", &both, KeySpec::None).is_ok_and(|plan| !plan.id_is_unforgeable()));
    assert!(matches!(told(&both[..1], KeySpec::None), SpecError::MissingColumn { column: "event_time", .. }));
    assert!(matches!(told(&both[1..], KeySpec::None), SpecError::MissingColumn { column: "request_id", .. }));
    let with = |more| [both[0], both[1], more];
    let unknown = told(&with(("sttus", "s")), KeySpec::None);
    assert_eq!(
        unknown.to_string(),
        "`sttus` is no column of `origin_requests` that `columns` can fill; the nearest is `status`"
    );
    assert!(matches!(told(&with(("key_ref", "k")), KeySpec::None), SpecError::UnknownColumn { .. }));
    assert!(matches!(told(&with(("path", "id.x")), KeySpec::None), SpecError::BadPath { .. }));
    assert!(matches!(told(&both, header_key()), SpecError::KeyKind { .. }));
    assert!(matches!(own("usage_daily", &both, KeySpec::None), Err(SpecError::NoEventTable { .. })));
}
