//! What viewers and programs send comes back from the record that is written of it: any bytes, encoded as AWS encodes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// The bytes that CloudFront writes as `%XX`, by formats that it documents; `-` alone means that there is no value.
pub(super) fn encoded(bytes: &[u8]) -> String {
    let mut out = String::new();
    for &byte in bytes {
        if byte <= 32 || byte >= 127 || b"<>\"#%{}|\\^~[]`'".contains(&byte) {
            out.push_str(&format!("%{byte:02X}"));
        } else {
            out.push(byte as char);
        }
    }
    if out == "-" || out.is_empty() { "%2D".to_owned() } else { out }
}

/// What the lake stores of bytes: text, in which control characters stay escaped.
pub(super) fn stored(bytes: &[u8]) -> String {
    let mut out = String::new();
    for char in String::from_utf8_lossy(bytes).chars() {
        match char {
            '\0'..='\x1f' | '\x7f' => out.push_str(&format!("%{:02X}", char as u32)),
            _ => out.push(char),
        }
    }
    if out.is_empty() { "-".to_owned() } else { out }
}

/// Bytes that a viewer can send, many of those that mean something to a parser.
pub(super) fn sent() -> impl Strategy<Value = Vec<u8>> {
    let odd = proptest::sample::select(b"\t\n\r\"\\{}:,;=&%-#' \x00\x7f".to_vec());
    vec(prop_oneof![2 => odd, 2 => proptest::char::range('!', '~').prop_map(|c| c as u8), 1 => any::<u8>()], 0..24)
}

/// The same in a path or query, which end where they do.
fn sent_without(marks: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    sent().prop_map(|mut bytes| {
        bytes.retain(|byte| !marks.contains(byte));
        bytes
    })
}

fn a_key() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_.:%+-]{1,30}".prop_filter("a dash is no key", |key| key != "-")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn realtime_records_come_back(
        path in sent_without(b"?"), query in sent_without(b"&="), agent in sent(), method in sent(),
        others in vec((("[a-zA-Z-]{1,8}"), sent()), 0..4), key in a_key(), status in 0..1000_i64, bytes in 0..=i64::MAX,
    ) {
        let others: Vec<_> = others.into_iter().filter(|(name, _)| !name.eq_ignore_ascii_case("x-api-key")).collect();
        let header = |name: &str, value: &[u8]| format!("{}:{}%0A", encoded(name.as_bytes()), encoded(value));
        let mut list: String = others.iter().map(|(name, value)| header(name, value)).collect();
        list.push_str(&header("X-Api-Key", key.as_bytes()));
        let path = [b"/".as_slice(), &path].concat();
        let (status, bytes) = (format!("{status:03}"), bytes.to_string());
        let count = (others.len() + 1).to_string();
        let [path_raw, query_raw, agent_raw, method_raw] = [&path, &query, &agent, &method].map(|bytes| encoded(bytes));
        let values = [
            ("cs-uri-stem", format!("{path_raw}?{query_raw}")), ("cs-uri-query", query_raw), ("cs-user-agent", agent_raw),
            ("cs-method", method_raw), ("cs-headers", list), ("cs-headers-count", count), ("sc-status", status.clone()),
            ("sc-bytes", bytes.clone()),
        ];
        let values: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let row = only(&edge(header_key()), line(&values));
        prop_assert_eq!(&row["key_ref"], &reference(&key));
        // A key as long as one is replaced wherever else it stands.
        if key.len() < 16 {
            prop_assert_eq!(&row["path"], &stored(&path));
            prop_assert_eq!(&row["user_agent"], &stored(&agent));
            prop_assert_eq!(row.get("query").map_or("", |query| query), if query.is_empty() { "-".to_owned() } else { stored(&query) });
        }
        prop_assert_eq!(&row["method"], &stored(&method));
        prop_assert_eq!(row["status"].parse::<i64>().unwrap(), status.parse::<i64>().unwrap());
        prop_assert_eq!(&row["response_bytes"], &bytes);
    }

    #[test]
    fn standard_records_come_back(
        path in sent_without(b"?"), query in sent_without(b"&="), agent in sent(), cookie in sent(), key in "[A-Za-z0-9_.:%+-]{1,15}",
        status in 0..1000_i64, seconds in 946_684_800_i64..4_102_444_800, millis in 0..1000_i64, exact in any::<bool>(),
        form in 0..3_usize,
    ) {
        let path = [b"/".as_slice(), &path].concat();
        let at = Micros(seconds * 1_000_000 + if exact { millis * 1_000 } else { 0 });
        let date = Micros(seconds * 1_000_000).to_string();
        let log_data = encoded(format!("v1;k={key}").as_bytes());
        let pairs = [
            ("cs(Cookie)", encoded(&cookie)), ("date", date[..10].to_owned()), ("time", date[11..19].to_owned()),
            ("timestamp(ms)", if exact { (at.0 / 1_000).to_string() } else { "-".to_owned() }),
            ("x-edge-request-id", "A==".to_owned()), ("cs-uri-stem", encoded(&path)), ("cs-uri-query", encoded(&query)),
            ("cs(User-Agent)", encoded(&agent)), ("sc-status", format!("{status:03}")), ("viewer-request-log-data", log_data),
        ];
        let names: Vec<_> = pairs.iter().map(|(name, _)| *name).collect();
        let cells: Vec<_> = pairs.iter().map(|(_, value)| value.as_str()).collect();
        let source_key = KeySpec::LogData { name: "k".into(), plain: false, missing: Missing::Held };
        let row = match form {
            0 => only(&standard::plan(&[], source_key), format!("#Version: 1.0\n#Fields: {}\n{}\n", names.join(" "), cells.join("\t"))),
            1 => only(&standard::plan(&names, source_key), cells.join("\t")),
            _ => {
                let object: serde_json::Map<_, _> = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
                only(&standard::plan(&[], source_key), serde_json::Value::Object(object).to_string())
            }
        };
        prop_assert_eq!(&row["key_ref"], &reference(&key));
        prop_assert_eq!(super::at(&row["event_time"]), at);
        prop_assert_eq!(&row["path"], &stored(&path));
        prop_assert_eq!(&row["user_agent"], &stored(&agent));
        prop_assert_eq!(&row["query"], &stored(&query));
        prop_assert_eq!(row["status"].parse::<i64>().unwrap(), status);
    }

    #[test]
    fn own_json_comes_back(
        path in sent_without(b"?"), agent in sent(), key in a_key(), status in 0..1000_i64, bytes in 0..=i64::MAX, wrapped in any::<bool>(),
    ) {
        let [path, agent] = [path, agent].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let path = format!("/{path}");
        let record = serde_json::json!({
            "ua": agent, "http": {"url": path, "status": status, "bytes": bytes.to_string()}, "id": "A", "ts": 1_764_000_000.5,
            "auth": {"key": key},
        }).to_string();
        let row = only(&own_json::backend(), if wrapped { envelope(&[&record]) } else { record });
        prop_assert_eq!(&row["key_ref"], &reference(&key));
        if key.len() < 16 {
            prop_assert_eq!(&row["path"], &stored(path.as_bytes()));
            if agent.is_empty() || agent == "-" {
                prop_assert_eq!(row.get("user_agent"), None);
            } else {
                prop_assert_eq!(&row["user_agent"], &stored(agent.as_bytes()));
            }
        }
        prop_assert_eq!(row["status"].parse::<i64>().unwrap(), status);
        prop_assert_eq!(&row["response_bytes"], &bytes.to_string());
    }
}
