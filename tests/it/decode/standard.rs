//! CloudFront standard logs: header lines, JSON, plain lines and Parquet.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, DictionaryArray, Int32Array, Int64Array, StringArray, TimestampMillisecondArray,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::*;

/// A source of standard logs; its records without header, if it has such, have these fields.
pub(super) fn plan(fields: &[&str], key: KeySpec) -> DecodePlan {
    let sets = if fields.is_empty() { Vec::new() } else { vec![set(None, fields)] };
    plan_of(Format::CloudFrontStandard(sets), key, &Limits::default()).unwrap()
}

pub(super) fn log_data() -> KeySpec {
    KeySpec::LogData { name: "k".into(), plain: false, missing: Missing::Held }
}

pub(super) const NAMES: [&str; 12] = [
    "date",
    "time",
    "sc-bytes",
    "c-ip",
    "cs(Host)",
    "cs-uri-stem",
    "sc-status",
    "cs-uri-query",
    "cs(Cookie)",
    "x-edge-request-id",
    "x-host-header",
    "viewer-request-log-data",
];
pub(super) const VALUES: [&str; 12] = [
    "2026-02-03",
    "04:05:06",
    "1532",
    "203.0.113.9",
    "d1.cloudfront.net",
    "/v1/a%2520b",
    "000",
    "q=1&cf_api_key=S",
    "sid=abc",
    "Zk3==",
    "api.example.com",
    "v1;k=K1",
];

pub(super) fn header() -> String {
    format!("#Version: 1.0\n#Fields: {}\n", NAMES.join(" "))
}

/// A row in which one value is another.
pub(super) fn row_with(name: &str, value: &str) -> String {
    let cells = NAMES.iter().zip(VALUES).map(|(field, usual)| if *field == name { value } else { usual });
    cells.collect::<Vec<_>>().join("\t") + "\n"
}

fn json_of(pairs: &[(&str, &str)]) -> String {
    let member = |(name, value): &(&str, &str)| format!("{}:{}", serde_json::json!(name), serde_json::json!(value));
    format!("{{{}}}\n", pairs.iter().map(member).collect::<Vec<_>>().join(","))
}

pub(super) fn json_with(name: &str, value: &str) -> String {
    let pairs: Vec<_> =
        NAMES.iter().zip(VALUES).map(|(field, usual)| (*field, if *field == name { value } else { usual })).collect();
    json_of(&pairs)
}

fn without_identity(mut row: Row) -> Row {
    ["fingerprint", "source_position"].iter().for_each(|column| drop(row.remove(*column)));
    row
}

#[track_caller]
fn assert_row(row: &Row) {
    for (column, value) in [
        ("event_time", "2026-02-03T04:05:06Z"),
        ("request_id", "Zk3=="),
        ("key_state", "present"),
        ("key_ref", &reference("K1")),
        ("log_kind", "standard"),
        ("host", "api.example.com"),
        ("distribution", "d1.cloudfront.net"),
        ("path", "/v1/a%20b"),
        ("query", "q=1"),
        ("status", "0"),
        ("response_bytes", "1532"),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
    assert!(row.values().all(|value| !value.contains("sid") && !value.contains("K1")), "{row:?}");
}

#[test]
fn one_record_is_one_row_however_it_is_written() {
    let lines = only(&plan(&[], log_data()), header() + &row_with("", ""));
    assert_row(&lines);
    let without_version = header().lines().nth(1).unwrap().to_owned() + "\r\n" + &row_with("", "");
    assert_eq!(only(&plan(&[], log_data()), without_version), lines);
    let plain = plan(&NAMES, log_data());
    assert_eq!(only(&plain, row_with("", "")), lines);
    let json = only(&plan(&[], log_data()), json_with("", ""));
    assert_eq!(without_identity(json.clone()), without_identity(lines.clone()));
    // From CloudWatch Logs.
    assert_eq!(only(&plan(&[], log_data()), envelope(&[&json_with("", "")])), json);
    assert_eq!(only(&plain, envelope(&[&row_with("", "")])), lines);
}

#[test]
fn a_later_header_says_anew_what_stands_where() {
    let object = header()
        + &row_with("x-edge-request-id", "A==")
        + "#Version: 1.0\n#Fields: sc-foo x-edge-request-id timestamp(ms) date time\n#Remark: none\n"
        + "9\tB==\t1764000000123\t2020-01-01\t00:00:00\n"
        + "9\tC==\t-\t2020-01-01\t00:00:00\n";
    let read = read(&plan(&[], log_data()), object);
    assert_eq!(read.column("request_id"), ["A==", "B==", "C=="]);
    assert_eq!(read.column("event_time"), ["2026-02-03T04:05:06Z", "2025-11-24T16:00:00.123Z", "2020-01-01T00:00:00Z"]);
    assert_eq!(read.column("key_state"), ["present", "truncated", "truncated"], "nobody knows");
    assert_eq!(read.column("source_position"), ["0", "1", "2"], "a header is no record");
}

#[test]
fn rows_that_do_not_have_the_headers_columns_are_rejects() {
    let row = row_with("", "");
    let (short, _) = row.trim_end().rsplit_once('\t').unwrap();
    let object = format!("{}{short}\n{}\tmore\n{row}#Odd\n", header(), row.trim_end());
    let read = read(&plan(&[], log_data()), object);
    assert_eq!((read.counts.events, read.reasons()), (1, vec!["columns", "columns", "directive"]));
    assert_eq!(read.rejects[0]["detail"], "11 columns, the `#Fields` line has 12");
}

#[test]
fn what_is_no_log_of_requests_is_refused_by_name() {
    let plan = plan(&[], KeySpec::None);
    let error = |object: &str| try_read(&plan, object).unwrap_err();
    assert_eq!(error("#Version: 2.0\n"), ObjectError::UnknownVersion);
    let rtmp = "#Version: 1.0\n#Fields: date time x-edge-location c-ip x-event sc-bytes x-cf-status x-cf-client-id\n";
    assert_eq!(error(rtmp), ObjectError::Streaming { field: "x-event" });
    assert!(error(rtmp).to_string().contains("RTMP"), "{}", error(rtmp));
    assert!(matches!(error("#Fields: date time Date\n"), ObjectError::BadHeader { .. }));
    assert!(matches!(error(&format!("#Fields: {}\n", "x ".repeat(300))), ObjectError::BadHeader { .. }));
    assert_eq!(error(&row_with("", "")), ObjectError::NoFields);
    assert_eq!(read(&plan, " \n\n").counts, Counts::default());
    assert_eq!(error("PA"), ObjectError::NoFields, "the beginning of a Parquet object, and then nothing");
}

#[test]
fn plain_records_of_other_fields_stop_the_object() {
    let plan = plan(&NAMES, log_data());
    let wrong = "2026-02-03\t04:05:06\tA==\n";
    assert_eq!(read(&plan, wrong.repeat(9)).reasons(), ["columns"; 9]);
    let error = try_read(&plan, wrong.repeat(10));
    assert_eq!(error, Err(ObjectError::FieldsMismatch { expected: 12, found: 3, likely: None }));
    let headed = format!("#Fields: date time x-edge-request-id\n{}", wrong.repeat(10));
    assert_eq!(read(&plan, headed).counts.events, 10, "a header is believed before the settings");
}

#[test]
fn settings_that_cannot_work_are_told() {
    let of =
        |fields: &[&str], key| plan_of(Format::CloudFrontStandard(vec![set(None, fields)]), key, &Limits::default());
    let told = |fields: &[&str], key| of(fields, key).unwrap_err();
    assert!(matches!(
        told(&["date", "x-edge-request-id"], KeySpec::None),
        SpecError::MissingField { field: "timestamp(ms)", .. }
    ));
    assert!(matches!(
        told(&["timestamp(ms)"], KeySpec::None),
        SpecError::MissingField { field: "x-edge-request-id", .. }
    ));
    let few = ["timestamp(ms)", "x-edge-request-id"];
    assert!(matches!(told(&few, log_data()), SpecError::MissingField { field: "viewer-request-log-data", .. }));
    assert!(matches!(told(&few, KeySpec::Query("k".into())), SpecError::MissingField { field: "cs-uri-query", .. }));
    assert!(matches!(told(&few, header_key()), SpecError::KeyKind { .. }));
    assert!(plan(&[], log_data()).id_is_unforgeable());
}

/// A caller chooses path, query, cookie and headers; whatever they hold, no event has another caller's key.
#[test]
fn nothing_that_a_caller_sends_bills_another() {
    let plan = plan(&[], log_data());
    for hostile in [
        "/a%09VICTIM%09x",
        "/a%0A2026-02-03%0904:05:06",
        "v1;k=VICTIM",
        "%0Av1;k=VICTIM%0A",
        "%22,%22viewer-request-log-data%22:%22v1;k=VICTIM",
        "#Fields:%20date",
    ] {
        for name in ["cs-uri-stem", "cs-uri-query", "cs(Cookie)"] {
            let row = only(&plan, header() + &row_with(name, hostile));
            assert_eq!((row["key_ref"].as_str(), row["request_id"].as_str()), (reference("K1").as_str(), "Zk3=="));
        }
    }
    // Were they written as they are, and not as CloudFront encodes them: a reject, or read right.
    let broken = |hostile: &str| header() + &row_with("cs-uri-stem", hostile);
    assert_eq!(read(&plan, broken("/a\tVICTIM")).reasons(), ["columns"]);
    assert_eq!(read(&plan, broken("/a\nVICTIM")).reasons(), ["columns"; 2]);
    for hostile in [
        r#"/a","viewer-request-log-data":"v1;k=VICTIM"#,
        r#"/a","\u0076iewer-request-log-data":"v1;k=VICTIM"#,
        r#"/a","cs-uri-stem":"/"#,
    ] {
        let object = json_with("cs-uri-stem", "HERE").replace("HERE", hostile);
        assert_eq!(read(&plan, object).reasons(), ["duplicate_key"], "{hostile}");
    }
    let quoted = only(&plan, json_with("cs-uri-stem", "/\",\"viewer-request-log-data\":\"v1;k=VICTIM\t\n{}"));
    assert_eq!(quoted["key_ref"], reference("K1"));
    let nested = json_with("", "").replace(r#""v1;k=K1""#, r#"{"a":"v1;k=VICTIM"}"#);
    assert_eq!(read(&plan, nested).reasons(), ["keys"]);
}

#[test]
fn a_reject_of_json_hides_key_and_cookie() {
    let object = json_with("sc-status", "x") + &json_with("sc-status", "200").replace("sc-status", "date");
    let read = read(&plan(&[], log_data()), object);
    assert_eq!(read.reasons(), ["bad_number", "duplicate_key"]);
    assert!(
        read.rejects.iter().all(|reject| !reject["excerpt"].contains("abc") && !reject["excerpt"].contains("K1")),
        "{read:?}"
    );
}

#[test]
fn a_query_key_is_not_known_where_the_query_is_not_logged() {
    let plan = plan(&[], KeySpec::Query("api-key".into()));
    let row = only(&plan, header() + &row_with("cs-uri-query", "a=1&api-key=K2"));
    assert_eq!((row["key_ref"].as_str(), row["query"].as_str()), (reference("K2").as_str(), "a=1"));
    let row = only(&plan, "#Fields: date time x-edge-request-id cs-uri-stem\n2026-02-03\t04:05:06\tA==\t/a\n");
    assert_eq!(row["key_state"], "truncated");
}

/// A Parquet object of these columns.
pub(super) fn parquet(columns: &[(&str, ArrayRef)]) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns.iter().map(|(name, column)| (*name, column.clone()))).unwrap();
    compressed(&batch, Compression::UNCOMPRESSED)
}

fn compressed(batch: &RecordBatch, compression: Compression) -> Vec<u8> {
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

pub(super) fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// One of one row of texts.
pub(super) fn parquet_of(columns: &[(String, &str)]) -> Vec<u8> {
    parquet(&columns.iter().map(|(name, value)| (name.as_str(), texts(&[value]))).collect::<Vec<_>>())
}

pub(super) fn parquet_rows(count: usize) -> Vec<u8> {
    let ids: Vec<String> = (0..count).map(|number| format!("{number}==")).collect();
    let columns: Vec<(&str, ArrayRef)> = NAMES
        .iter()
        .zip(VALUES)
        .map(|(name, value)| {
            let column = match *name {
                "x-edge-request-id" => texts(&ids.iter().map(String::as_str).collect::<Vec<_>>()),
                _ => texts(&vec![value; count]),
            };
            (*name, column)
        })
        .collect();
    parquet(&columns)
}

#[test]
fn parquet_objects_are_read_whatever_their_columns_are_called() {
    let plan = plan(&[], log_data());
    let as_text = read(&plan, parquet_rows(700));
    assert_eq!((as_text.counts.events, as_text.events[699]["request_id"].as_str()), (700, "699=="));
    let one = only(&plan, parquet_rows(1));
    assert_eq!(one["request_id"], "0==");
    assert_row(&{
        let mut row = one;
        row.insert("request_id".into(), "Zk3==".into());
        row
    });

    let millis = TimestampMillisecondArray::from(vec![Some(1_764_000_000_123), None]);
    let renamed = parquet(&[
        ("timestamp_ms_", Arc::new(millis)),
        ("date", texts(&["2026-02-03"; 2])),
        ("time", texts(&["04:05:06"; 2])),
        ("x_edge_request_id", texts(&["A==", "B=="])),
        ("cs_host", texts(&["d1.cloudfront.net"; 2])),
        ("x_host_header", texts(&["api.example.com"; 2])),
        ("sc_status", Arc::new(Int64Array::from(vec![Some(200), None]))),
        ("cs_uri_stem", Arc::new(BinaryArray::from(vec![b"/a".as_slice(), b"/\xff\"\n"]))),
        ("viewer_request_log_data", texts(&["v1;k=K1", "-"])),
        ("of_theirs", texts(&["x"; 2])),
    ]);
    let read = read(&plan, &renamed);
    assert_eq!(read.column("event_time"), ["2025-11-24T16:00:00.123Z", "2026-02-03T04:05:06Z"]);
    assert_eq!((read.column("status"), read.column("key_state")), (vec!["200", "-"], vec!["present", "truncated"]));
    assert_eq!(read.column("path"), ["/a", "/\u{fffd}\"%0A"]);
    assert_eq!((read.column("host")[0], read.column("distribution")[0]), ("api.example.com", "d1.cloudfront.net"));
    assert_eq!(read_chunks(&plan, renamed.chunks(7)).unwrap(), read);
    assert_eq!(try_read(&plan, gzip(&renamed)).unwrap(), read);
}

#[test]
fn parquet_objects_may_be_compressed() {
    let columns = NAMES.iter().zip(VALUES).map(|(name, value)| (*name, texts(&[value; 50])));
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let plan = plan(&[], log_data());
    let plain = read(&plan, compressed(&batch, Compression::UNCOMPRESSED));
    assert_eq!(plain.counts.events, 50);
    for compression in
        [Compression::SNAPPY, Compression::GZIP(Default::default()), Compression::ZSTD(Default::default())]
    {
        assert_eq!(read(&plan, compressed(&batch, compression)), plain, "{compression}");
    }
}

#[test]
fn parquet_objects_that_cannot_be_read_are_refused() {
    let plan = plan(&[], log_data());
    let whole = parquet_rows(20);
    for kept in [4, 5, whole.len() / 2, whole.len() - 1] {
        let error = try_read(&plan, &whole[..kept]).unwrap_err();
        assert!(matches!(error, ObjectError::BadParquet { .. }), "{kept}: {error}");
    }
    let twice = parquet(&[("cs(Host)", texts(&["a"])), ("cs_host", texts(&["b"]))]);
    assert!(matches!(try_read(&plan, twice), Err(ObjectError::BadHeader { .. })));
    let limits = Limits { parquet_bytes_max: 1024, ..Limits::default() };
    let small = plan_of(Format::CloudFrontStandard(vec![]), log_data(), &limits).unwrap();
    assert_eq!(try_read(&small, &whole), Err(ObjectError::ParquetTooLarge { limit: 1024 }));
    let limits = Limits { object_bytes_max: 5000, ..Limits::default() };
    let small = plan_of(Format::CloudFrontStandard(vec![]), log_data(), &limits).unwrap();
    assert_eq!(try_read(&small, parquet_rows(700)), Err(ObjectError::TooLarge { limit: 5000 }));
}

/// A value that is there once and named in every row is held once, and a row of many such is left off: read as it
/// stands, this object of a few KiB took two GiB.
#[test]
fn a_parquet_object_that_repeats_long_values_takes_little_memory() {
    let long = "x".repeat(1 << 20);
    let column = || -> ArrayRef {
        let keys = Int32Array::from(vec![0; 256]);
        Arc::new(DictionaryArray::new(keys, Arc::new(StringArray::from(vec![long.as_str()]))))
    };
    let names = ["cs-uri-stem", "cs-method", "c-country", "asn", "cs(Cookie)", "cs(Referer)", "cs-protocol", "x-other"];
    let batch = RecordBatch::try_from_iter(names.map(|name| (name, column()))).unwrap();
    let object = compressed(&batch, Compression::ZSTD(Default::default()));
    assert!(object.len() < 64 << 10, "{} bytes", object.len());
    let before = peak_kib();
    let read = read(&plan(&[], log_data()), object);
    assert_eq!(read.reasons(), ["too_long"; 256]);
    // The tests beside this one take some too.
    assert!(peak_kib() - before < 1 << 20, "{before} KiB before, {} KiB after", peak_kib());
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    line.unwrap_or_default()
}

/// The library asks for what the header of a page says that it unpacks to.
#[test]
fn parquet_pages_over_the_limit_are_refused() {
    let limits = Limits { document_bytes_max: 4096, ..Limits::default() };
    let plan = plan_of(Format::CloudFrontStandard(vec![]), log_data(), &limits).unwrap();
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::ZSTD(Default::default()),
    ] {
        let object = |length| {
            let value = "x".repeat(length);
            let columns = [
                ("x-edge-request-id", texts(&["A=="])),
                ("date", texts(&["2026-02-03"])),
                ("time", texts(&["04:05:06"])),
                ("cs-uri-stem", texts(&[&value])),
            ];
            compressed(&RecordBatch::try_from_iter(columns).unwrap(), compression)
        };
        assert_eq!(only(&plan, object(4000))["path"].len(), 4000, "{compression}");
        let error = try_read(&plan, object(5000)).unwrap_err();
        assert!(matches!(error, ObjectError::BadParquet { what: "pages that unpack to too much" }), "{error}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 256, ..Default::default() })]

    #[test]
    fn damaged_parquet_never_panics(at in proptest::prelude::any::<proptest::sample::Index>(), byte in 0_u8.., near_end in proptest::prelude::any::<bool>()) {
        let mut object = parquet_rows(3);
        let (length, span) = (object.len(), if near_end { 600 } else { object.len() - 4 });
        object[length - 1 - at.index(span)] = byte;
        let _ = try_read(&plan(&[], log_data()), &object);
    }
}
