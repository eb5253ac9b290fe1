//! What a caller can send, in every field that a caller fills, in every format: quotes, line ends, keys of JSON that stand twice,
//! commas, markup, tabs. Each record is read right or rejected; none is billed to another key.

use super::formats::{CLF, CSV, TSV, XML, keyed, render};
use super::*;

/// Each tries to end the value it stands in and to write another key behind it.
const HOSTILE: [&str; 24] = [
    r#"""#,
    r#"\"#,
    r#"x" VICTIM "y"#,
    r#"x","apiKeyId":"VICTIM"#,
    r#"x","apiKeyId":"VICTIM","z":""#,
    r#"x","\u0061piKeyId":"VICTIM"#,
    r#"x","key":"VICTIM","auth":{"key":"VICTIM"},"z":""#,
    r#"x","viewer-request-log-data":"v1;k=VICTIM","z":""#,
    r#"x"},"apiKeyId":"VICTIM","z":{"a":""#,
    r#"x\","apiKeyId":"VICTIM"#,
    "x\nVICTIM",
    "x\r\nE2,1764000000456,VICTIM,/b,200,x",
    "x\n{\"apiKeyId\":\"VICTIM\"}",
    "x\n#Fields: date time x-edge-request-id viewer-request-log-data",
    "/a,VICTIM,200,x",
    "/a,b,c",
    "</path> <status>200</status> <key>VICTIM</key> <agent>",
    "<key>VICTIM</key>",
    "]]> <!-- VICTIM -->",
    "x\tVICTIM\t200",
    "x\tv1;k=VICTIM",
    "v1;k=VICTIM",
    "%0Ax-api-key:VICTIM%0A",
    "{\"messageType\":\"DATA_MESSAGE\",\"logEvents\":[{\"message\":\"VICTIM\"}]}",
];

/// As CloudFront writes what callers send: everything that could separate values is encoded.
fn encoded(text: &str) -> String {
    let kept = |b: u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/' | b':' | b';' | b'=' | b',' | b'(' | b')')
    };
    text.bytes().map(|b| if kept(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// No event has another key than its caller's; `own` is how the tables name that. Where nothing was broken, there is one event,
/// with its key. A record that a caller has cut short may have none.
#[track_caller]
fn assert_own(read: &Read, own: &str, must_be_read: bool, what: &str) {
    for event in &read.events {
        let key = event.get("key_ref").map(String::as_str);
        assert!(key == Some(own) || key.is_none() && !must_be_read, "{what}: {event:?}");
    }
    assert!(!must_be_read || read.events.len() == 1 && read.rejects.is_empty(), "{what}: {read:?}");
    assert!(read.events.len() <= 1, "{what}: {read:?}");
}

#[test]
fn realtime_records() {
    let plan = edge_with(&["viewer-request-log-data"], header_key());
    for hostile in HOSTILE {
        for field in
            ["cs-uri-stem", "cs-uri-query", "cs-user-agent", "cs-referer", "cs-cookie", "cs-method", "cs-headers"]
        {
            let of = |value: &str| {
                let header = if field == "cs-headers" { format!("x-foo:{value}%0A") } else { String::new() };
                let listed = format!("{header}x-api-key:ME%0A");
                let count = if header.is_empty() { "1" } else { "2" };
                let usual =
                    [("cs-headers", listed.as_str()), ("cs-headers-count", count), ("viewer-request-log-data", "-")];
                let told = [(field, value)];
                let told = told.iter().filter(|_| field != "cs-headers").copied().chain(usual).collect::<Vec<_>>();
                line(&told)
            };
            let what = format!("{field}: {hostile}");
            assert_own(&read(&plan, of(&encoded(hostile))), &reference("ME"), true, &what);
            // Were it written as it was sent. A key header within a header's value is that of another header.
            if !(field == "cs-headers" && hostile.contains("%0A")) {
                match try_read(&plan, of(hostile)) {
                    Ok(read) => assert_own(&read, &reference("ME"), false, &what),
                    Err(ObjectError::FieldsMismatch { .. }) => {}
                    Err(error) => panic!("{what}: {error}"),
                }
            }
        }
    }
}

#[test]
fn standard_records_of_every_output_format() {
    use standard::{NAMES, VALUES, header, json_with, parquet, row_with, texts};
    let headed = standard::plan(&[], standard::log_data());
    let plain = standard::plan(&NAMES, standard::log_data());
    let own = reference("K1");
    for hostile in HOSTILE {
        for field in ["cs-uri-stem", "cs-uri-query", "cs(Cookie)"] {
            let what = format!("{field}: {hostile}");
            let safe = encoded(hostile);
            assert_own(&read(&headed, header() + &row_with(field, &safe)), &own, true, &what);
            assert_own(&read(&plain, row_with(field, &safe)), &own, true, &what);
            assert_own(&read(&headed, json_with(field, &safe)), &own, true, &what);
            // JSON escapes whatever stands in it; so does a column of Parquet.
            assert_own(&read(&headed, json_with(field, hostile)), &own, true, &what);
            let columns: Vec<_> = NAMES
                .iter()
                .zip(VALUES)
                .map(|(name, usual)| (*name, texts(&[if *name == field { hostile } else { usual }])))
                .collect();
            assert_own(&read(&headed, parquet(&columns)), &own, true, &what);
            // Written as it was sent: lines, and JSON without escapes.
            let unescaped = json_with(field, "HERE").replace("HERE", hostile);
            for (plan, object) in [
                (&headed, header() + &row_with(field, hostile)),
                (&plain, row_with(field, hostile)),
                (&headed, unescaped),
            ] {
                match try_read(plan, object) {
                    Ok(read) => assert_own(&read, &own, false, &what),
                    Err(ObjectError::FieldsMismatch { .. } | ObjectError::FieldsMisfit { .. }) => {}
                    Err(error) => panic!("{what}: {error}"),
                }
            }
        }
    }
}

#[test]
fn access_logs_of_every_syntax() {
    // The key before, between and behind what callers choose; nested; within other text.
    let json = [
        r#"{"id":"$context.extendedRequestId","t":"$context.requestTimeEpoch","apiKeyId":"$context.identity.apiKeyId","path":"$context.path","agent":"$context.identity.userAgent"}"#,
        r#"{"id":"$context.extendedRequestId","t":"$context.requestTimeEpoch","agent":"$context.identity.userAgent","apiKeyId":"$context.identity.apiKeyId","path":"$context.path"}"#,
        r#"{"agent":"$context.identity.userAgent","path":"$context.path","id":"$context.extendedRequestId","t":"$context.requestTimeEpoch","apiKeyId":"$context.identity.apiKeyId"}"#,
        r#"{"agent":"$context.identity.userAgent","auth":{"key":"$context.identity.apiKeyId","path":"$context.path"},"id":"$context.extendedRequestId","t":"$context.requestTimeEpoch"}"#,
    ];
    let xml = XML.replace("\n    ", " ");
    for format in json.into_iter().chain([CSV, CLF, TSV, &xml]) {
        let plan = keyed(format);
        for hostile in HOSTILE {
            for values in [
                vec![("path", hostile)],
                vec![("identity.userAgent", hostile)],
                vec![("path", hostile), ("identity.userAgent", hostile)],
            ] {
                let what = format!("{format}: {values:?}");
                // In a document of the log service a line end within a record cuts nothing in two. A caller's line end reaches
                // no bare line: no header and no path of HTTP can hold one.
                assert_own(&read(&plan, envelope(&[&render(format, &values)])), "k1", false, &what);
                if !hostile.contains('\n') {
                    assert_own(&read(&plan, render(format, &values) + "\n"), "k1", false, &what);
                }
                // With the escapes of JSON it is read, and right.
                if format.starts_with('{') {
                    let escaped = serde_json::to_string(hostile).unwrap();
                    let values: Vec<_> =
                        values.iter().map(|(name, _)| (*name, &escaped[1..escaped.len() - 1])).collect();
                    assert_own(&read(&plan, render(format, &values)), "k1", true, &what);
                    assert_own(&read(&plan, envelope(&[&render(format, &values)])), "k1", true, &what);
                }
            }
        }
    }
}

#[test]
fn own_json() {
    let plan = own_json::backend();
    let own = reference("K1");
    for hostile in HOSTILE {
        let escaped = serde_json::to_string(hostile).unwrap();
        for (from, to) in [
            (r#""level":"info""#, r#""level":HERE"#),
            (r#""curl \"8\"""#, "HERE"),
            (r#""/v1/items?key=S""#, "HERE"),
            (r#"{"key":"K1"}}"#, r#"{"key":"K1"},"last":HERE}"#),
        ] {
            assert!(own_json::RECORD.contains(from));
            let record = own_json::RECORD.replace(from, to);
            let what = format!("{to}: {hostile}");
            let written = record.replace("HERE", &escaped);
            assert_own(&read(&plan, &written), &own, true, &what);
            assert_own(&read(&plan, envelope(&[&written])), &own, true, &what);
            // By a logger that escapes nothing.
            let raw = record.replace("HERE", &format!("\"{hostile}\""));
            assert_own(&read(&plan, envelope(&[&raw])), &own, false, &what);
            if !hostile.contains('\n') {
                assert_own(&read(&plan, &raw), &own, false, &what);
            }
        }
    }
}
