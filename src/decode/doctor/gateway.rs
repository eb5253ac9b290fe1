//! Access logs of API Gateway of which nobody has the format at hand: the documented one that the records follow, or for
//! JSON of one's own keys a format worked out from keys and values. A proposed format names only what was recognised:
//! other keys are passed over when records are read. Refused: text in a format that is not documented, which cannot be
//! worked out safely.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::base::Micros;
use crate::decode::defaults::DEFAULTS;
use crate::decode::domain::Domain;
use crate::decode::literal::{Literal, Split, Ways};
use crate::decode::text::{clf_time, epoch_millis, epoch_seconds};
use crate::decode::{Identifies, KeySpec, Template};

use super::names::{self, is_secret};
use super::tree::{Leaf, Seen, leaves, plain, survey};

/// Formats that are proposed side by side.
const FORMATS_MAX: usize = 4;
/// Of a hundred records so few may be of a format that is left out: pieces of damaged ones.
const LEFT_OUT_PERCENT: usize = 1;
/// So many signs make a log one of API Gateway.
const SIGNS_MIN: usize = 3;

/// An access log.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    /// The formats to configure; none: the documented ones, which need no `format`.
    pub(super) templates: Vec<Template>,
    /// What the records follow, in words.
    pub(super) what: String,
    pub(super) key: KeySpec,
    pub(super) identifies: Identifies,
    /// Keys that were not recognised.
    pub(super) left_out: Vec<String>,
    /// What the data cannot tell.
    pub(super) unknown: Vec<String>,
    /// Records with secrets in clear, by what they are.
    pub(super) secrets: BTreeMap<String, u64>,
}

/// A key and the variable it holds.
struct Mapped<'s> {
    seen: &'s Seen,
    variable: String,
}

/// Whether records are of an access log of API Gateway in JSON.
pub(super) fn is_one(records: &[&[u8]]) -> bool {
    let trees = trees(records);
    let seen = survey(trees.iter().map(|(_, leaves)| leaves.as_slice()));
    is_gateway(&trees, &seen, &mapped(&seen))
}

/// Works out the format of records in JSON.
pub(super) fn of_json(records: &[&[u8]]) -> Option<Gateway> {
    let trees = trees(records);
    let seen = survey(trees.iter().map(|(_, leaves)| leaves.as_slice()));
    let mapped = mapped(&seen);
    if !is_gateway(&trees, &seen, &mapped) {
        return None;
    }
    let (key, identifies, mut unknown) = key(&mapped);
    let secret = |seen: &&Seen| seen.told > 0 && seen.path.last().is_some_and(|key| is_secret(key));
    let secrets =
        seen.iter().filter(secret).map(|seen| (format!("the key `{}`", seen.path.join(".")), seen.told as u64));
    let secrets = secrets.collect();
    if let Some(what) = documented(&seen, &trees) {
        let what = format!("the documented format, {what}");
        let (templates, left_out) = (Vec::new(), Vec::new());
        return Some(Gateway {
            templates,
            what,
            key: KeySpec::None,
            identifies: Identifies::Key,
            left_out,
            unknown,
            secrets,
        });
    }
    let left_out = seen.iter().filter(|seen| !mapped.iter().any(|m| m.seen.path == seen.path));
    let left_out: Vec<_> = left_out.map(|seen| seen.path.join(".")).collect();
    let templates = templates(&trees, &mapped);
    let api = if mapped.iter().any(|mapped| mapped.variable == "routeKey") { "an HTTP" } else { "a REST" };
    let what = match templates.len() {
        1 => format!("a format of {api} API worked out from the keys and values"),
        more => format!("{more} formats of {api} API worked out from the keys and values"),
    };
    unknown.push(
        "the format itself: it was worked out from what keys are called and what their values are like; compare it with the access-log format of the stage".to_owned(),
    );
    Some(Gateway { templates, what, key, identifies, left_out, unknown, secrets })
}

/// The documented format that lines of text follow.
pub(super) fn of_text(records: &[&[u8]]) -> Option<Gateway> {
    let mut ways = Ways::default();
    let mut best = (0, 0);
    for (number, text) in DEFAULTS.iter().enumerate().filter(|(_, text)| !text.starts_with('{')) {
        let Ok((literal, _)) = Literal::new(text) else { continue };
        let fits = records.iter().filter(|record| literal.split(record, &mut ways) == Split::One).count();
        // Of formats that fit as well the first is the one with more in it.
        if fits > best.0 {
            best = (fits, number);
        }
    }
    (best.0 * 2 > records.len()).then(|| Gateway {
        templates: Vec::new(),
        what: format!("the documented format, {}", label(best.1)),
        key: KeySpec::None,
        identifies: Identifies::Key,
        left_out: Vec::new(),
        unknown: Vec::new(),
        secrets: BTreeMap::new(),
    })
}

/// Whether lines of text look like an access log of API Gateway in a format of its own.
pub(super) fn is_other_text(records: &[&[u8]]) -> bool {
    let has = |record: &&&[u8], is: fn(&[u8]) -> bool| {
        record.split(|b| !b.is_ascii_alphanumeric() && !b"-_=".contains(b)).any(is)
    };
    let looks = |record: &&&[u8]| has(record, is_extended_id) || has(record, is_uuid);
    let with_id = records.iter().filter(looks).count();
    with_id > 0 && with_id * 2 > records.len()
}

fn trees<'r>(records: &[&'r [u8]]) -> Vec<(&'r [u8], Vec<Leaf>)> {
    records.iter().filter_map(|record| Some((*record, leaves(record.trim_ascii()).ok()?))).collect()
}

/// `id` as API Gateway makes it: `BkJdhGC0yK4FcBA=`.
fn is_extended_id(value: &[u8]) -> bool {
    value.len() == 16
        && value.ends_with(b"=")
        && value[..15].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'/'))
}

fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether values are such as a variable has.
fn suits(variable: &str, value: &[u8]) -> bool {
    let text = || std::str::from_utf8(value).ok();
    match variable {
        "requestTime" => clf_time(value).is_some(),
        "requestTimeEpoch" => epoch_millis(value).or_else(|| epoch_seconds(value)).is_some(),
        "identity.sourceIp" => text().is_some_and(|text| text.parse::<IpAddr>().is_ok()),
        "status" | "integration.status" | "integrationStatus" => {
            value.len() == 3 && value.iter().all(u8::is_ascii_digit)
        }
        _ => {
            let domain = Domain::of(variable);
            value.iter().all(|byte| domain.holds(*byte)) && domain.is_value(value)
        }
    }
}

/// The keys that hold variables: by name where the values are such, else by values that hardly anything else has.
fn mapped(seen: &[Seen]) -> Vec<Mapped<'_>> {
    let mut mapped: Vec<Mapped<'_>> = Vec::new();
    let mut rest = Vec::new();
    for seen in seen {
        let fitting =
            names::variables(&seen.path).into_iter().find(|variable| seen.all(|value| suits(variable, value)));
        match fitting {
            Some(variable) => mapped.push(Mapped { seen, variable }),
            None => rest.push(seen),
        }
    }
    type Telling = (&'static str, fn(&[u8]) -> bool);
    let telling: [Telling; 4] = [
        ("requestTime", |value| clf_time(value).is_some()),
        ("extendedRequestId", is_extended_id),
        ("requestId", is_uuid),
        ("identity.sourceIp", |value| suits("identity.sourceIp", value)),
    ];
    for (variable, is_such) in telling {
        let is_free = !mapped.iter().any(|mapped| mapped.variable == variable);
        let found = rest.iter().position(|seen| seen.told > 0 && seen.all(is_such));
        if let Some(at) = found.filter(|_| is_free) {
            mapped.push(Mapped { seen: rest.remove(at), variable: variable.to_owned() });
        }
    }
    // Where a REST API's only id has the shape of the extended one, it is that.
    let has = |variable: &str| mapped.iter().any(|mapped| mapped.variable == variable);
    if has("resourcePath") && !has("extendedRequestId") && !has("routeKey") {
        let only =
            mapped.iter_mut().find(|m| m.variable == "requestId" && m.seen.told > 0 && m.seen.all(is_extended_id));
        if let Some(only) = only {
            "extendedRequestId".clone_into(&mut only.variable);
        }
    }
    mapped
}

/// JSON of one's own may have the same names; but only API Gateway writes so.
fn is_gateway(trees: &[(&[u8], Vec<Leaf>)], seen: &[Seen], mapped: &[Mapped<'_>]) -> bool {
    let find = |variable: &str| mapped.iter().find(|mapped| mapped.variable == variable);
    let is_extended = |m: Option<&Mapped<'_>>| m.is_some_and(|m| m.seen.told > 0 && m.seen.all(is_extended_id));
    let mut signs = 0;
    if find("requestTime").is_some_and(|m| m.seen.told > 0) {
        signs += 2;
    }
    if is_extended(find("extendedRequestId")) || is_extended(find("requestId")) {
        signs += 2;
    }
    let is_dash = |leaf: &Leaf| leaf.value.as_deref() == Some(b"-");
    signs += usize::from(trees.iter().any(|(_, leaves)| leaves.iter().any(is_dash)));
    let (told, quoted) = seen.iter().fold((0, 0), |(told, quoted), seen| (told + seen.records, quoted + seen.quoted));
    signs += usize::from(seen.len() >= 5 && quoted * 10 >= told * 8);
    let exactly = |m: &&Mapped<'_>| m.seen.path.iter().map(|key| plain(key)).collect::<String>() == plain(&m.variable);
    signs += usize::from(mapped.iter().filter(exactly).count() >= 4);
    signs += usize::from(find("resourcePath").or(find("routeKey")).is_some());
    let has_id = find("requestId").or(find("extendedRequestId")).is_some();
    let has_time = find("requestTime").or(find("requestTimeEpoch")).is_some();
    let has_call = find("status").or(find("httpMethod")).or(find("eventType")).is_some();
    signs >= SIGNS_MIN && (has_id || has_time) && has_call
}

/// Who calls: what has values wins over what has none, what is no secret over what is one.
fn key(mapped: &[Mapped<'_>]) -> (KeySpec, Identifies, Vec<String>) {
    const NOBODY: [&str; 8] =
        ["error", "integrationLatency", "integrationStatus", "latency", "requestId", "status", "cfid", "edgeRequestId"];
    let rank = |variable: &str| match variable {
        "identity.apiKeyId" => Some(0),
        "identity.apiKey" => Some(4),
        "authorizer.principalId" => Some(3),
        _ => {
            let property = variable.strip_prefix("authorizer.").filter(|property| !NOBODY.contains(property))?;
            Some(if property.starts_with("claims.") { 2 } else { 1 })
        }
    };
    let ranked = mapped.iter().filter_map(|m| Some((m.seen.told == 0, rank(&m.variable)?, m)));
    let Some((_, _, found)) = ranked.min_by_key(|(empty, rank, _)| (*empty, *rank)) else {
        return (KeySpec::None, Identifies::Key, Vec::new());
    };
    let name = plain(&found.variable);
    let is_customer =
        found.variable.starts_with("authorizer.") && (name.contains("customer") || name.contains("tenant"));
    let key = format!("$context.{}", found.variable);
    let unknown = is_customer.then(|| {
        format!("whether `{key}` is a customer's own id, as in customers.csv: if it is a key, take `identifies` out and list it in keys.csv")
    });
    let identifies = if is_customer { Identifies::Customer } else { Identifies::Key };
    (KeySpec::Variable(key), identifies, unknown.into_iter().collect())
}

/// The documented format whose keys all records have, and no others.
fn documented(seen: &[Seen], trees: &[(&[u8], Vec<Leaf>)]) -> Option<&'static str> {
    let everywhere = |seen: &Seen| seen.records * 100 >= trees.len() * 95;
    let mut paths: Vec<_> = seen.iter().filter(|seen| everywhere(seen)).map(|seen| seen.path.clone()).collect();
    if seen.iter().any(|seen| !everywhere(seen) && seen.records * 100 > trees.len() * LEFT_OUT_PERCENT) {
        return None;
    }
    paths.sort_unstable();
    let same = |text: &str| {
        let mut known: Vec<_> = leaves(text.as_bytes()).unwrap_or_default().into_iter().map(|leaf| leaf.path).collect();
        known.sort_unstable();
        known == paths
    };
    DEFAULTS.iter().position(|text| text.starts_with('{') && same(text)).map(label)
}

/// What a documented format is called; they stand in groups of four, today's before the former one.
fn label(number: usize) -> &'static str {
    const LABELS: [&str; 16] = [
        "JSON of a REST API",
        "JSON of a REST API as it was before it had `extendedRequestId`",
        "JSON of an HTTP API",
        "JSON of an HTTP API as it was before it had `extendedRequestId`",
        "CLF of a REST API",
        "CLF of a REST API as it was before it had `extendedRequestId`",
        "CLF of an HTTP API",
        "CLF of an HTTP API as it was before it had `extendedRequestId`",
        "CSV of a REST API",
        "CSV of a REST API as it was before it had `extendedRequestId`",
        "CSV of an HTTP API",
        "CSV of an HTTP API as it was before it had `extendedRequestId`",
        "XML of a REST API",
        "XML of a REST API as it was before it had `extendedRequestId`",
        "XML of an HTTP API",
        "XML of an HTTP API as it was before it had `extendedRequestId`",
    ];
    LABELS[number]
}

/// One format for each set of recognised keys that records have together, in the order of their first record's time.
fn templates(trees: &[(&[u8], Vec<Leaf>)], mapped: &[Mapped<'_>]) -> Vec<Template> {
    let mut sets: BTreeMap<Vec<usize>, (usize, Option<Micros>)> = BTreeMap::new();
    for (_, leaves) in trees {
        let has = |m: &Mapped<'_>| leaves.iter().any(|leaf| leaf.path == m.seen.path);
        let set: Vec<usize> = (0..mapped.len()).filter(|&at| has(&mapped[at])).collect();
        let entry = sets.entry(set).or_default();
        entry.0 += 1;
        let first = entry.1.into_iter().chain(time_of(leaves, mapped)).min();
        entry.1 = first;
    }
    let has =
        |set: &[usize], variables: &[&str]| set.iter().any(|&at| variables.contains(&mapped[at].variable.as_str()));
    let is_whole =
        |set: &[usize]| has(set, &["requestId", "extendedRequestId"]) && has(set, &["requestTime", "requestTimeEpoch"]);
    let mut kept: Vec<_> = sets
        .into_iter()
        .filter(|(set, (records, _))| is_whole(set) && records * 100 > trees.len() * LEFT_OUT_PERCENT)
        .collect();
    kept.sort_by_key(|(_, (records, _))| std::cmp::Reverse(*records));
    kept.truncate(FORMATS_MAX);
    kept.sort_by_key(|(_, (_, first))| *first);
    let mut before: Option<Micros> = None;
    let made = kept.into_iter().enumerate().map(|(number, (set, (_, first)))| {
        // Which format a record has decides its bytes; the times only have to rise.
        let later = before.map_or(0, |before| before.0 + 1_000_000);
        let from =
            (number > 0).then(|| Micros(first.map_or(later, |first| first.0 / 1_000_000 * 1_000_000).max(later)));
        before = from.or(first).or(Some(Micros(0)));
        Template { from, text: text(set.iter().map(|&at| &mapped[at])) }
    });
    made.collect()
}

fn time_of(leaves: &[Leaf], mapped: &[Mapped<'_>]) -> Option<Micros> {
    let value = |variable: &str| {
        let m = mapped.iter().find(|m| m.variable == variable)?;
        leaves.iter().find(|leaf| leaf.path == m.seen.path)?.told()
    };
    let epoch = value("requestTimeEpoch").and_then(|value| epoch_millis(value).or_else(|| epoch_seconds(value)));
    epoch.or_else(|| clf_time(value("requestTime")?))
}

/// A part of a format.
enum Node {
    Variable(String),
    Object(Vec<(String, Self)>),
}

/// The text of a format in JSON with these keys.
fn text<'m>(mapped: impl Iterator<Item = &'m Mapped<'m>>) -> String {
    let mut root = Vec::new();
    for Mapped { seen, variable } in mapped {
        // Unquoted, a value that is not there makes a record no JSON; but the stage's format may be so.
        let is_bare = seen.told > 0 && seen.quoted == 0;
        let variable = if is_bare { format!("$context.{variable}") } else { format!("\"$context.{variable}\"") };
        add(&mut root, &seen.path, variable);
    }
    let mut text = String::new();
    push(&root, &mut text);
    text
}

fn add(object: &mut Vec<(String, Node)>, path: &[String], variable: String) {
    let [key, rest @ ..] = path else { return };
    let at = object.iter().position(|(known, _)| known == key);
    match (at, rest.is_empty()) {
        (None, true) => object.push((key.clone(), Node::Variable(variable))),
        (None, false) => {
            let mut inner = Vec::new();
            add(&mut inner, rest, variable);
            object.push((key.clone(), Node::Object(inner)));
        }
        (Some(at), false) => {
            if let Node::Object(inner) = &mut object[at].1 {
                add(inner, rest, variable);
            }
        }
        // A value here and an object there: the first stays.
        (Some(_), true) => {}
    }
}

fn push(object: &[(String, Node)], text: &mut String) {
    for (number, (key, node)) in object.iter().enumerate() {
        text.push(if number == 0 { '{' } else { ',' });
        text.push_str(&serde_json::Value::from(key.as_str()).to_string());
        text.push(':');
        match node {
            Node::Variable(variable) => text.push_str(variable),
            Node::Object(inner) => push(inner, text),
        }
    }
    text.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(records: &[&str]) -> Option<Gateway> {
        of_json(&records.iter().map(|record| record.as_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn a_format_is_worked_out_from_keys_and_values() {
        let record = r#"{"rid":"BkJdhGC0yK4FcBA=","when":"09/Jun/2023:12:54:08 +0000","req":{"method":"GET","resource_path":"/a"},"status_code":200,"who":{"api_key_id":"abc123"},"region":"eu-west-1","client_ip":"203.0.113.9"}"#;
        let gateway = of(&[record]).unwrap();
        assert_eq!(
            gateway.templates[0].text,
            r#"{"req":{"method":"$context.httpMethod","resource_path":"$context.resourcePath"},"status_code":$context.status,"who":{"api_key_id":"$context.identity.apiKeyId"},"client_ip":"$context.identity.sourceIp","when":"$context.requestTime","rid":"$context.extendedRequestId"}"#
        );
        assert_eq!(gateway.key, KeySpec::Variable("$context.identity.apiKeyId".into()));
        assert_eq!(gateway.left_out, ["region"]);
    }

    #[test]
    fn documented_formats_are_recognised() {
        for (number, text) in DEFAULTS.iter().enumerate() {
            let values = [
                ("$context.identity.sourceIp", "203.0.113.9"),
                ("$context.identity.caller", "-"),
                ("$context.identity.user", "-"),
                ("$context.requestTime", "09/Jun/2023:12:54:08 +0000"),
                ("$context.httpMethod", "GET"),
                ("$context.resourcePath", "/items/{id}"),
                ("$context.routeKey", "GET /items"),
                ("$context.status", "200"),
                ("$context.protocol", "HTTP/1.1"),
                ("$context.responseLength", "12"),
                ("$context.extendedRequestId", "BkJdhGC0yK4FcBA="),
                ("$context.requestId", "ebf87aa3-bf0b-44a7-ab91-1571f567c956"),
            ];
            let record = values.iter().fold((*text).to_owned(), |text, (name, value)| text.replace(name, value));
            let records = [record.as_bytes()];
            let found = if text.starts_with('{') { of_json(&records) } else { of_text(&records) };
            let found = found.unwrap_or_else(|| panic!("{record}"));
            assert_eq!(found.what, format!("the documented format, {}", label(number)));
            assert!(found.templates.is_empty() && found.key == KeySpec::None);
        }
    }

    #[test]
    fn json_of_ones_own_is_none() {
        assert!(
            of(&[r#"{"requestId":"a1","timestamp":1764000000456,"method":"GET","path":"/a","status":200}"#]).is_none()
        );
        assert!(of(&[r#"{"level":"info","msg":"started"}"#]).is_none());
    }

    #[test]
    fn what_has_values_is_the_key() {
        let with = |more: &str| {
            let record = format!(
                r#"{{"extendedRequestId":"BkJdhGC0yK4FcBA=","requestTime":"09/Jun/2023:12:54:08 +0000","status":"200","httpMethod":"GET","resourcePath":"/"{more}}}"#
            );
            let found = of(&[&record]).unwrap();
            (found.key.to_string(), found.identifies)
        };
        let (key, customer) = (Identifies::Key, Identifies::Customer);
        assert_eq!(
            with(r#","apiKeyId":"-","customerId":"c1""#),
            (r#""$context.authorizer.customerId""#.into(), customer)
        );
        assert_eq!(with(r#","apiKeyId":"k","customerId":"c1""#), (r#""$context.identity.apiKeyId""#.into(), key));
        assert_eq!(with(r#","apiKeyId":"-""#), (r#""$context.identity.apiKeyId""#.into(), key));
        assert_eq!(with(r#","apiKey":"SECRETSECRETSECRETSECRET""#), (r#""$context.identity.apiKey""#.into(), key));
        assert_eq!(with(""), ("nowhere".into(), key));
    }

    #[test]
    fn formats_that_changed_are_proposed_in_order() {
        let record = |day: &str, more: &str| {
            format!(
                r#"{{"extendedRequestId":"BkJdhGC0yK4FcBA=","requestTime":"{day}/Jun/2023:12:54:08 +0000","status":"200","httpMethod":"GET","apiKeyId":"k"{more}}}"#
            )
        };
        let (new, old) = (record("10", r#","stage":"prod""#), record("09", ""));
        let found = of(&[&new, &old]).unwrap();
        assert_eq!(found.templates.len(), 2);
        assert_eq!(
            (found.templates[0].from, found.templates[1].from.unwrap().to_string()),
            (None, "2023-06-10T12:54:08Z".into())
        );
        assert!(found.templates[1].text.contains("$context.stage"));
    }
}
