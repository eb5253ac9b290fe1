//! JSON that a function or a backend writes, of which nobody says what stands where: columns from what keys are called,
//! where their values are such. Refused: records without an id that differs from one to the next, or without a time.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::decode::text::{any_time, integer};
use crate::decode::{KeySpec, OwnJson};
use crate::schema::Table;

use super::names::{self, is_secret};
use super::tree::{Leaf, Seen, plain, survey};

/// Records of one's own.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) json: OwnJson,
    pub(super) key: KeySpec,
    /// Keys that no column is read from.
    pub(super) left_out: Vec<String>,
    pub(super) unknown: Vec<String>,
    pub(super) secrets: BTreeMap<String, u64>,
    /// A key that says that only some requests are logged.
    pub(super) sampled: Option<String>,
}

/// Works out the columns; or says what is missing.
pub(super) fn of(trees: &[Vec<Leaf>]) -> Result<Own, &'static str> {
    let seen = survey(trees.iter().map(Vec::as_slice));
    let edge = seen.iter().flat_map(|seen| &seen.path).any(|key| names::is_of_edge(key));
    let everywhere = |seen: &Seen| seen.told * 100 >= trees.len() * 95;
    let mut columns: Vec<(String, Vec<String>)> = Vec::new();
    for (column, known) in names::columns(edge) {
        let fits = |seen: &&Seen| {
            let is_free = !columns.iter().any(|(_, path)| *path == seen.path);
            let must = matches!(column, "request_id" | "event_time");
            is_free
                && seen.told > 0
                && (!must || everywhere(seen))
                && seen.all(|value| suits(column, value))
                && (column != "request_id" || seen.distinct() * 10 >= seen.values.len() * 9)
        };
        let named = |name: &str| {
            let is_named = |seen: &&Seen| seen.path.last().is_some_and(|key| plain(key) == name);
            seen.iter().filter(is_named).filter(fits).min_by_key(|seen| seen.path.len())
        };
        if let Some(found) = known.iter().find_map(|name| named(name)) {
            columns.push((column.to_owned(), found.path.clone()));
        }
    }
    let has = |column: &str| columns.iter().any(|(known, _)| known == column);
    if !has("request_id") {
        return Err("no key holds an id that differs from record to record, such as `requestId`");
    }
    if !has("event_time") {
        return Err("no key holds a time, such as `timestamp`");
    }
    if !["method", "path", "route", "status"].into_iter().any(has) {
        return Err("nothing in them speaks of a request: no method, path, route or status");
    }
    let mut unknown = Vec::new();
    let key = key(&seen, &columns, &mut unknown);
    let used = |path: &[String]| {
        columns.iter().any(|(_, of)| of == path) || matches!(&key, KeySpec::Path { path: of, .. } if of == path)
    };
    let left_out = seen.iter().filter(|seen| !used(&seen.path)).map(|seen| seen.path.join(".")).collect();
    let secrets = seen.iter().filter(|seen| seen.told > 0 && seen.path.last().is_some_and(|key| is_secret(key)));
    let secrets = secrets
        .filter(|seen| !used(&seen.path))
        .map(|seen| (format!("the key `{}`", seen.path.join(".")), seen.told as u64));
    let secrets = secrets.collect();
    let table = if edge { Table::EdgeRequests } else { Table::OriginRequests };
    unknown.push(
        "which key means what: columns were chosen by what keys are called and what their values are like".to_owned(),
    );
    let sampled = seen.iter().find(|seen| is_sampled(seen)).map(|seen| seen.path.join("."));
    Ok(Own { json: OwnJson { table, columns }, key, left_out, unknown, secrets, sampled })
}

fn suits(column: &str, value: &[u8]) -> bool {
    let token = |byte: &u8| byte.is_ascii_graphic();
    match column {
        "event_time" => any_time(value).is_some(),
        "request_id" => value.len() >= 4 && value.iter().all(token),
        "method" => value.len() <= 16 && value.iter().all(u8::is_ascii_uppercase),
        "status" => value.len() == 3 && value.iter().all(u8::is_ascii_digit),
        "response_bytes" | "request_bytes" | "asn" => integer(value).is_some(),
        "latency_ms" | "time_taken_ms" => integer(value).is_some() || crate::decode::text::decimal(value, 3).is_some(),
        "client_ip" => std::str::from_utf8(value).is_ok_and(|text| text.parse::<IpAddr>().is_ok()),
        "country" => value.len() == 2 && value.iter().all(u8::is_ascii_uppercase),
        "path" => value.first() == Some(&b'/') || value.starts_with(b"http"),
        _ => true,
    }
}

fn key(seen: &[Seen], columns: &[(String, Vec<String>)], unknown: &mut Vec<String>) -> KeySpec {
    for (name, plainly) in names::KEYS {
        let named = |seen: &&Seen| {
            seen.told > 0
                && seen.path.last().is_some_and(|key| plain(key) == name)
                && !columns.iter().any(|(column, path)| *path == seen.path && column == "request_id")
        };
        let Some(found) = seen.iter().find(named) else { continue };
        let path = found.path.join(".");
        unknown.push(match plainly {
            true => format!("whether `{path}` is an id and no secret: it is taken for one and kept as it stands; where it is a secret, take `plain = true` out"),
            false => format!("whether `{path}` is a secret: it is taken for one and hashed; where it is an id, add `plain = true`"),
        });
        return KeySpec::Path { path: found.path.clone(), plain: plainly };
    }
    KeySpec::None
}

/// A rate below all.
fn is_sampled(seen: &Seen) -> bool {
    const NAMES: [&str; 6] =
        ["samplerate", "samplingrate", "sampling", "sampleratio", "samplepercent", "samplingpercentage"];
    let all: [&[u8]; 7] = [b"1", b"1.0", b"100", b"100.0", b"100%", b"false", b"none"];
    seen.path.last().is_some_and(|key| NAMES.contains(&plain(key).as_str()))
        && seen.values.iter().any(|value| !all.contains(&value.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::doctor::tree::leaves;

    fn own(records: &[&str]) -> Result<Own, &'static str> {
        of(&records.iter().map(|record| leaves(record.as_bytes()).unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn columns_are_found_by_name_and_value() {
        let found = own(&[
            r#"{"time":"2026-02-03T04:05:06Z","id":"r-0001","http":{"method":"GET","status":200,"url":"/a"},"apiKey":"S","x":1}"#,
            r#"{"time":"2026-02-03T04:05:07Z","id":"r-0002","http":{"method":"GET","status":200,"url":"/b"},"apiKey":"S","x":1}"#,
        ])
        .unwrap();
        let columns: Vec<_> =
            found.json.columns.iter().map(|(column, path)| (column.as_str(), path.join("."))).collect();
        assert_eq!(
            columns,
            [
                ("request_id", "id".to_owned()),
                ("event_time", "time".to_owned()),
                ("method", "http.method".to_owned()),
                ("path", "http.url".to_owned()),
                ("status", "http.status".to_owned()),
            ]
        );
        assert_eq!(found.key, KeySpec::Path { path: vec!["apiKey".into()], plain: false });
        assert_eq!((found.json.table, found.left_out), (Table::OriginRequests, vec!["x".to_owned()]));
    }

    #[test]
    fn an_id_differs_and_a_time_is_one() {
        let same = r#"{"time":"2026-02-03T04:05:06Z","id":"host-1","status":200}"#;
        assert!(own(&[same, same, same]).unwrap_err().contains("an id"));
        assert!(own(&[r#"{"time":"noon","id":"r-0001","status":200}"#]).unwrap_err().contains("a time"));
        assert!(
            own(&[r#"{"time":"2026-02-03T04:05:06Z","id":"r-0001","msg":"x"}"#]).unwrap_err().contains("a request")
        );
    }

    #[test]
    fn a_sampling_rate_is_noticed() {
        let with = |rate: &str| {
            own(&[&format!(r#"{{"ts":1764000000456,"requestId":"r-0001","status":200,"sampleRate":{rate}}}"#)])
                .unwrap()
                .sampled
        };
        assert_eq!((with("0.1").as_deref(), with("1"), with("100")), (Some("sampleRate"), None, None));
    }
}
