//! How much a value is like those of a field of CloudFront's logs. What CloudFront writes itself has a shape that rules
//! other values out (`guess` knows these); for what callers write there are only signs.

use crate::decode::guess::{Fit, fit};
use crate::decode::text::{decimal, epoch_millis, w3c_time};

/// How much a value is like a field's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Likeness {
    /// The field never has such values.
    None,
    /// So much speaks for it.
    Some(i64),
    /// So much, and hardly any other field has such values.
    Sure(i64),
}

/// Compares a value with a field, by its name in real-time logs where those have it. `line`: the whole record.
pub(super) fn likeness(field: &str, value: &[u8], line: &[u8]) -> Likeness {
    match field {
        "date" => return only(w3c_time(value, b"00:00:00").is_some()),
        "time" => return only(w3c_time(b"2026-01-01", value).is_some()),
        "timestamp(ms)" => return only(value.len() == 13 && epoch_millis(value).is_some()),
        _ => {}
    }
    match fit(field, value) {
        Fit::No => Likeness::None,
        Fit::Surely => Likeness::Sure(6),
        Fit::Yes => Likeness::Some(4 + finer(field, value)),
        Fit::Perhaps => Likeness::Some(signs(field, value, line)),
    }
}

fn only(is_such: bool) -> Likeness {
    if is_such { Likeness::Sure(6) } else { Likeness::None }
}

/// What real-time logs call a field of standard logs, where the two differ: fields are compared under these names.
pub(super) fn realtime_name(field: &'static str) -> &'static str {
    match field {
        "cs(Host)" => "x-host-header",
        "x-host-header" => "cs-host",
        "cs(Referer)" => "cs-referer",
        "cs(User-Agent)" => "cs-user-agent",
        "cs(Cookie)" => "cs-cookie",
        other => other,
    }
}

/// Among values of one shape, those that are more usual in the field.
fn finer(field: &str, value: &[u8]) -> i64 {
    let has_fraction = memchr::memchr(b'.', value).is_some();
    match field {
        "time-to-first-byte" | "time-taken" | "origin-fbl" | "origin-lbl" => {
            if has_fraction {
                2
            } else {
                -4
            }
        }
        "x-edge-location" => i64::from(value.len() >= 6 && value.contains(&b'-')) * 2,
        "cs-protocol" => match value {
            b"https" | b"http" | b"ws" | b"wss" | b"grpcs" => 2,
            _ => -4,
        },
        "x-edge-request-id" | "x-host-header" | "cs-header-names" | "ssl-protocol" => 2,
        // `Hit`, `RefreshHit`; all capitals are a method.
        "x-edge-result-type" | "x-edge-response-result-type" | "x-edge-detailed-result-type" => {
            if value.iter().any(u8::is_ascii_lowercase) { 1 } else { -6 }
        }
        "cs-method" => 2,
        "x-edge-mqcs" => -1,
        // Numbers of networks are large, lists of headers short.
        "asn" if value.len() <= 2 => -3,
        "cs-headers-count" if value.len() > 3 => -4,
        _ => 0,
    }
}

/// What speaks for a field whose values callers choose.
fn signs(field: &str, value: &[u8], line: &[u8]) -> i64 {
    let has = |needle: &[u8]| memchr::memmem::find(value, needle).is_some();
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let points = |is_such: bool, points: i64| if is_such { points } else { -1 };
    match field {
        "cs-host" | "r-host" => {
            let of_host = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':');
            points(value.iter().all(of_host) && has(b".") && !value.iter().all(|b| b.is_ascii_digit() || *b == b'.'), 4)
        }
        "x-host-header" => -2,
        "cs-user-agent" => points(is_agent(value), 4),
        "cs-referer" => points(value.starts_with(b"http://") || value.starts_with(b"https://"), 5),
        // The stem of real-time logs holds the query too.
        "cs-uri-query" => {
            let of_stem = [b"?", value].concat();
            points(memchr::memmem::find(line, &of_stem).is_some(), 6).max(points(has(b"="), 2))
        }
        "cs-cookie" => points(has(b"=") && !has(b"&"), 2),
        "x-forwarded-for" => {
            points(value.iter().all(|b| b.is_ascii_hexdigit() || b".:,%20 ".contains(b)) && has(b"."), 4)
        }
        "ssl-cipher" => {
            points(value.starts_with(b"TLS_") || value.starts_with(b"ECDHE-") || has(b"-GCM-") || has(b"-SHA"), 5)
        }
        "fle-status" => points(value.iter().all(token) && has(b"ield"), 1),
        "sc-content-type" => points(is_media_type(value), 4),
        "cs-accept-encoding" => points(has(b"gzip") || has(b"br") || has(b"deflate") || value == b"identity", 4),
        "cs-accept" => points(has(b"*/*") || is_media_type(value) || has(b"application/") || has(b"text/"), 3),
        // CloudFront makes these itself, in one shape.
        "x-edge-request-id" | "ssl-protocol" | "cs-header-names" => -6,
        "cache-behavior-path-pattern" => {
            points(has(b"*") || value.first() == Some(&b'/'), 0).min(if has(b"*") { 3 } else { -2 })
        }
        "cs-uri-stem" => -3,
        "cs-method" => points(value.iter().all(u8::is_ascii_uppercase), 1),
        "distribution-tenant-id" | "primary-distribution-id" | "connection-id" => points(value.iter().all(token), 0),
        "primary-distribution-dns-name" => points(value.ends_with(b".cloudfront.net"), 4),
        "viewer-request-log-data" | "viewer-response-log-data" => {
            // As in `v1;k=…`; alone, it could be a query or a cookie.
            points(has(b"=") || has(b"%3D"), if has(b";") || has(b"%3B") { 3 } else { 2 })
        }
        "sc-content-len" | "sc-range-start" | "sc-range-end" => points(decimal(value, 0).is_some(), 3),
        _ if field.starts_with("cmcd-") => -1,
        _ => 0,
    }
}

fn is_agent(value: &[u8]) -> bool {
    let slash = memchr::memchr(b'/', value);
    let is_product = slash.is_some_and(|at| at > 1 && value.get(at + 1).is_some_and(u8::is_ascii_digit));
    is_product && !value.starts_with(b"HTTP/")
}

fn is_media_type(value: &[u8]) -> bool {
    const KINDS: [&[u8]; 8] =
        [b"application/", b"audio/", b"binary/", b"font/", b"image/", b"multipart/", b"text/", b"video/"];
    KINDS.iter().any(|kind| value.starts_with(kind))
}

/// Fields that hold a value in (nearly) every record.
pub(super) fn is_always_there(field: &str) -> bool {
    matches!(
        field,
        "timestamp"
            | "date"
            | "time"
            | "timestamp(ms)"
            | "c-ip"
            | "s-ip"
            | "time-to-first-byte"
            | "sc-status"
            | "sc-bytes"
            | "cs-method"
            | "cs-protocol"
            | "cs-host"
            | "cs-uri-stem"
            | "cs-bytes"
            | "x-edge-location"
            | "x-edge-request-id"
            | "x-host-header"
            | "time-taken"
            | "cs-protocol-version"
            | "c-ip-version"
            | "x-edge-response-result-type"
            | "x-edge-result-type"
            | "x-edge-detailed-result-type"
            | "c-port"
            | "c-country"
            | "cache-behavior-path-pattern"
            | "cs-headers-count"
            | "asn"
    )
}

/// Fields that people select; the others are for media, continuous deployment, several tenants and the like.
pub(super) fn is_usual(field: &str) -> bool {
    let rare = ["primary-distribution", "cmcd-", "fle-", "distribution-tenant", "connection-id", "x-edge-mqcs"];
    let rare = rare.into_iter().chain(["r-host", "sr-reason", "sc-range", "viewer-response", "x-edge-response"]);
    let second =
        ["s-ip", "c-port", "x-edge-detailed-result-type", "cs-accept", "c-ip-version", "ssl-cipher", "sc-content-len"];
    !rare.chain(second).any(|start| field.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_most_like_its_own_field() {
        let line = b"/a?q=1\tq=1";
        for (value, field, other) in [
            ("https://a.example/", "cs-referer", "cs-user-agent"),
            ("curl/8.7.1", "cs-user-agent", "cs-referer"),
            ("q=1", "cs-uri-query", "cs-cookie"),
            ("application/json", "sc-content-type", "cs-user-agent"),
            ("TLS_AES_128_GCM_SHA256", "ssl-cipher", "cs-host"),
            ("0.253", "time-taken", "sc-content-len"),
            ("api.example.com", "cs-host", "x-host-header"),
            ("d1.cloudfront.net", "x-host-header", "cs-user-agent"),
            ("203.0.113.7,%20198.51.100.2", "x-forwarded-for", "cs-host"),
            ("v1;k=abc", "viewer-request-log-data", "cs-host"),
        ] {
            let points = |field| match likeness(field, value.as_bytes(), line) {
                Likeness::None => i64::MIN,
                Likeness::Some(points) | Likeness::Sure(points) => points,
            };
            assert!(points(field) > points(other), "{value}: {field} {} {other} {}", points(field), points(other));
        }
        assert_eq!(likeness("date", b"2026-02-03", line), Likeness::Sure(6));
        assert_eq!(likeness("time", b"2026-02-03", line), Likeness::None);
        assert_eq!(likeness("timestamp(ms)", b"1764000000123", line), Likeness::Sure(6));
    }
}
