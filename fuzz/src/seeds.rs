//! Writes the inputs that fuzzing begins with: a folder per target, a few short files in each.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterVersion};

use crate::pack::{PACKINGS, envelope, gzip, packed, undelivered};
use crate::plans::JSON;

const LINE: &str = "1764000000.123\t203.0.113.9\t200\t1532\tGET\t/v1/items?a=%2541\tZk3aaaa==\tcurl/8\thttps://a.example/?cf_api_key=x&b\tsid=1\ta=%2541&cf_api_key=y\thost:h%0AX-Api-Key:K1%0A\thost%0Ax-api-key%0Acookie%0A\t3\n";
const HEADER: &str = "#Version: 1.0\n#Fields: date time x-edge-request-id cs(Host) cs-uri-stem sc-status cs(Cookie) viewer-request-log-data\n";
const ROW: &str = "2026-02-03\t04:05:06\tA==\td1.cloudfront.net\t/a%2520b\t000\tsid=1\tv1;k=K1\n";
const STANDARD_JSON: &str = r#"{"date":"2026-02-03","time":"04:05:06","timestamp(ms)":"1770091506789","x-edge-request-id":"A==","cs-uri-query":"q=1&key=K","viewer-request-log-data":"v1;k=K1","cs(Cookie)":"-"}"#;
const RECORD: &str = r#"{"extendedRequestId":"A=","requestId":"r","requestTime":"24/Nov/2025:16:00:00 +0000","requestTimeEpoch":"1764000000456","apiKeyId":"k1","status":"200","path":"/prod/\"x","userAgent":"-"}"#;
const NESTED: &str = r#"{"who":{"ip":"203.0.113.9","key":{"id":"k1"}},"id":"A=","at":1764000000456,"status":-,"line":"prod|HTTP/1.1 /prod/x","mixed":"200;api.example.com,curl/8!","n":1,"customer":"c"}"#;
const CSV: &str = "A=,1764000000456,k1,/prod/a,200,curl/8\n";
const CLF: &str = "203.0.113.9 - k1 [24/Nov/2025:16:00:00 +0000] \"GET /prod/a HTTP/1.1\" 200 34 \"curl/8\" A=\n";
const XML: &str = "<request id=\"A=\"> <time>1764000000456</time> <key>k1</key> <path>/a</path> <status>200</status> <agent>x</agent> </request>\n";
const OTHER: &str = "at 24/Nov/2025:16:00:00 +0000: A= | k1 | \"GET /items/{id}\" \"customer\"\n";
const DOCUMENTED: &str = "203.0.113.9,-,-,24/Nov/2025:16:00:00 +0000,GET,/items/{id},HTTP/1.1,200,34,r,A=\n";
const OWN: &str = r#"{"level":"info","request_id":"r-1","event_time":"2026-02-03T04:05:06.789Z","request":{"method":"GET","path":"/v1?key=S","query":"?a=1&auth=2"},"status":200,"latency_ms":12.9,"client_ip":"2001:db8::1","x":[{"id":1}],"auth":{"key":"K1"}}"#;
const LAMBDA: &str = "2026-02-03T04:05:06.789Z\t6bc28136-b1d7-4e0a-9c3f-0123456789ab\tINFO\t";
const START: &str = "START RequestId: 6bc28136-b1d7-4e0a-9c3f-0123456789ab Version: 1\n";
const CONTROL: &str = r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],"logEvents":[{"id":"","timestamp":1,"message":"CWL CONTROL MESSAGE"}]}"#;

pub(crate) fn write(folder: &Path) -> io::Result<()> {
    let put = |target: &str, number: usize, seed: &[u8]| {
        fs::create_dir_all(folder.join(target))?;
        fs::write(folder.join(target).join(format!("seed-{number:02}")), seed)
    };
    let texts: [(&str, Vec<String>); 9] = [
        (
            "realtime",
            vec![
                format!("01{LINE}{}", LINE.replace('\n', "\r\n")),
                format!("12{LINE}\n{}\n", vec!["-"; 71].join("\t")),
                format!("21{}", "1764000000.1\tA==\t/a?key=K\t200\tkey=K1&k%65y=K1\n".repeat(2)),
                format!("62{LINE}1764000000.1\tB==\nx\n"),
                format!("40{}", "a\tb\n".repeat(11)),
            ],
        ),
        (
            "standard",
            vec![
                format!("01{HEADER}{ROW}#Fields: x-edge-request-id timestamp(ms) sc-foo\nB==\t1764000000123\t9\n{ROW}"),
                format!("02{STANDARD_JSON}{STANDARD_JSON}\n"),
                format!("20{}", envelope([STANDARD_JSON, ROW])),
                format!("21{}\n", vec!["-"; 19].join("\t")),
                format!("00{HEADER}{}", undelivered(ROW.as_bytes())),
                "00#Version: 1.0\n#Fields: date x-event\n".to_owned(),
            ],
        ),
        (
            "json",
            vec![
                format!("02{RECORD}{RECORD}\n{{\"a\":\"cut\n{RECORD}"),
                format!("21{NESTED}\n{RECORD}"),
                format!("03{}{CONTROL}\n{}", envelope([RECORD, "x"]), envelope([])),
                format!("62{CSV}{RECORD}{}", envelope([CSV, RECORD])),
                format!("40{}", RECORD.replace(r#","apiKeyId":"k1""#, "").replace("Epoch", "x")),
                format!("00{}\n{RECORD}", undelivered(RECORD.as_bytes())),
                format!("10{}", RECORD.replace(r#""path""#, r#""apiKeyId":"k2","\u0070ath""#)),
            ],
        ),
        (
            "text",
            vec![
                format!("01{CSV}{RECORD}\n{}", envelope([CSV])),
                format!("22{CLF}{}", CLF.replace("curl/8", "x\" 200 34 \"y")),
                format!("41{XML}{}", XML.replace("/a<", "/a</path> <status>1</status> <agent>z</agent><")),
                format!("60{OTHER}"),
                format!("80{CSV}{CLF}{NESTED}\n"),
                format!(":0{DOCUMENTED}{CLF}{}", undelivered(DOCUMENTED.as_bytes())),
            ],
        ),
        (
            "own",
            vec![
                format!("02{OWN}{OWN}\n"),
                format!("22{}", OWN.replace("06.789Z", "06")),
                format!("01{}", envelope([START, &format!("{LAMBDA}{OWN}\n"), "x"])),
                format!("10{}", OWN.replace("\"auth\":{", "\"\\u0061uth\":{\"key\":1},\"auth\":{")),
            ],
        ),
        (
            "envelope",
            vec![
                format!("002{RECORD}\u{1}{RECORD}\u{1}x\u{1}{NESTED}"),
                format!("231{CSV}\u{1}{RECORD}"),
                format!("340{CLF}\u{1}{CSV}"),
                format!("452{START}\u{1}{LAMBDA}{OWN}"),
                format!("520{ROW}\u{1}{STANDARD_JSON}"),
            ],
        ),
        (
            "failed",
            vec![
                format!("001{LINE}{LINE}"),
                format!("110{HEADER}{ROW}"),
                format!("222{}", envelope([RECORD, "x"])),
                format!("302{CSV}{RECORD}"),
                format!("411{OWN}"),
            ],
        ),
        (
            "template",
            vec![
                format!("1{JSON}\u{1}/a,b\u{1}\",\"apiKeyId\":\"v"),
                "0{\"id\":\"$context.requestId\",\"t\":$context.requestTimeEpoch,\"a\":\"$context.identity.userAgent\",\"k\":\"$context.identity.apiKeyId\",\"o\":{\"p\":\"$context.path\"}}\u{1}x\",\"k\":\"v\",\"o\":{\"p\":\"\u{1}y".to_owned(),
                "1{\"m\":\"$context.requestId|$context.identity.apiKeyId $context.path.\",\"t\":\"[$context.requestTime]\"}\u{1}/a|b c.".to_owned(),
                "0$context.extendedRequestId,$context.requestTimeEpoch,$context.identity.apiKeyId,$context.path,$context.status,$context.identity.userAgent\u{1}/a,200\u{1}x,y".to_owned(),
                "0$context.identity.sourceIp [$context.requestTime]\"$context.httpMethod $context.path $context.protocol\" $context.identity.apiKeyId $context.requestId \"$context.identity.userAgent\"\u{1}/a HTTP/1.1\" k2 r\u{1}x".to_owned(),
                "0<r id=\"$context.requestId\"> <t>$context.requestTime</t>\n <k>$context.identity.apiKeyId</k> <p>$context.path</p> </r>\u{1}/</p> <k>v</k>".to_owned(),
            ],
        ),
        (
            "keys",
            ('0'..='8')
                .map(|kind| format!("{kind}2/a\u{2}?x=\u{2}\u{1}x\u{2}\u{1}cf_api_key=\u{2}&token=\u{2}\u{1}\u{2}"))
                .chain(('9'..=';').map(|kind| format!("{kind}2/a\u{3}?x=\u{2}\u{1}x\u{2}\u{3}\u{2}\u{1}\u{3}\u{1}\u{2}")))
                .collect(),
        ),
    ];
    for (target, seeds) in texts {
        for (number, seed) in seeds.iter().enumerate() {
            put(target, number, seed.as_bytes())?;
        }
    }
    for packing in 0..PACKINGS {
        let object = packed(LINE.as_bytes(), packing);
        put("unpack", packing, &[b"020", &object[..]].concat())?;
        put("unpack", PACKINGS + packing, format!("121{packing}{packing}0{LINE}").as_bytes())?;
        put("unpack", 2 * PACKINGS + packing, format!("130{packing}1P1{LINE}").as_bytes())?;
    }
    put("unpack", 3 * PACKINGS, &[b"000", &gzip(&gzip(&gzip(&gzip(b"a"))))[..]].concat())?;
    for (number, compression) in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::ZSTD(Default::default()),
    ]
    .into_iter()
    .enumerate()
    {
        for (at, pages) in [Pages::Dictionary, Pages::Plain, Pages::Delta].into_iter().enumerate() {
            let object = parquet(compression, pages).map_err(io::Error::other)?;
            put("parquet", 3 * number + at, &object)?;
        }
    }
    Ok(())
}

/// How values are written.
#[derive(Clone, Copy, PartialEq)]
enum Pages {
    Dictionary,
    Plain,
    /// Pages of the second kind, values as differences.
    Delta,
}

/// Three rows of standard logs, in columns of several types.
fn parquet(compression: Compression, pages: Pages) -> Result<Vec<u8>, ParquetError> {
    let millis = TimestampMillisecondArray::from(vec![Some(1_764_000_000_123), None, Some(1)]);
    let columns: [(&str, ArrayRef); 5] = [
        ("timestamp_ms_", Arc::new(millis)),
        ("x_edge_request_id", Arc::new(StringArray::from(vec!["A==", "B==", "B=="]))),
        ("sc_status", Arc::new(Int64Array::from(vec![Some(200), None, Some(404)]))),
        ("cs_uri_stem", Arc::new(StringArray::from(vec![Some("/a"), Some("/\"\n"), None]))),
        ("viewer_request_log_data", Arc::new(StringArray::from(vec!["v1;k=K1", "-", "v1;k=K1"]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).map_err(|error| ParquetError::External(Box::new(error)))?;
    let version = if pages == Pages::Delta { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
    let properties = WriterProperties::builder().set_compression(compression).set_writer_version(version);
    let properties = properties.set_dictionary_enabled(pages == Pages::Dictionary).build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), batch.schema(), options)?;
    writer.write(&batch)?;
    writer.into_inner()
}
