//! Logs of CloudFront of which nobody has the field list at hand. Real-time lines name no field: their list is worked
//! out from the values. Standard logs mostly name theirs; lines of version 2 in plain format do not. Fields that the
//! values leave in doubt are named.

use std::collections::BTreeMap;

use crate::base::Micros;
use crate::decode::edge_rows::{Cells, cell};
use crate::decode::text::{epoch_millis, epoch_seconds, w3c_time};
use crate::decode::{FieldSet, KeySpec, fields, standard};

use super::align::{Aligned, align};
use super::key::{EdgeView, Keys};
use super::opened::{Form, Opened};
use super::resemble;
use super::tree::leaves;

/// Lists that are proposed side by side: a decoder tries the one in force and its neighbours.
const LISTS_MAX: usize = 3;
/// Lines that the list is worked out from.
const LINES_MAX: usize = 400;
/// Of a hundred lines so few may have another number of columns: damage.
const ODD_PERCENT: usize = 2;
/// Columns of few but telling fields that make lines real-time logs.
const SURE_MIN: usize = 2;
/// Names that make a header, a JSON record or a Parquet file a standard log.
const NAMES_MIN: usize = 3;

/// Fields that meterlake reads: doubt about others is of no consequence.
const READ: [&str; 34] = [
    "timestamp",
    "c-ip",
    "time-to-first-byte",
    "sc-status",
    "sc-bytes",
    "cs-method",
    "cs-host",
    "cs-uri-stem",
    "cs-bytes",
    "x-edge-location",
    "x-edge-request-id",
    "x-host-header",
    "time-taken",
    "cs-protocol-version",
    "cs-user-agent",
    "cs-referer",
    "cs-cookie",
    "cs-uri-query",
    "x-edge-response-result-type",
    "ssl-protocol",
    "x-edge-result-type",
    "sc-content-type",
    "x-edge-detailed-result-type",
    "c-country",
    "cache-behavior-path-pattern",
    "cs-headers",
    "cs-header-names",
    "cs-headers-count",
    "origin-lbl",
    "asn",
    "viewer-request-log-data",
    "date",
    "time",
    "timestamp(ms)",
];

/// A log of CloudFront.
#[derive(Clone, Debug, Default)]
pub(super) struct Edge {
    /// In words.
    pub(super) what: String,
    /// The lists to configure, in the order of their first record; none: the records name their fields.
    pub(super) lists: Vec<FieldSet>,
    /// Fields that the log has.
    pub(super) fields: Vec<String>,
    pub(super) keys: Keys,
    pub(super) unknown: Vec<String>,
    /// What is wrong with how the records are written.
    pub(super) harm: Vec<String>,
}

impl Edge {
    pub(super) fn has(&self, field: &str) -> bool {
        self.fields.iter().any(|name| name.eq_ignore_ascii_case(field))
    }
}

/// Whether lines are real-time logs.
pub(super) fn is_realtime(lines: &[&[u8]]) -> bool {
    let with_tabs: Vec<_> = lines.iter().copied().filter(|line| memchr::memchr(b'\t', line).is_some()).collect();
    if with_tabs.len() * 2 <= lines.len() {
        return false;
    }
    let begins = |line: &&&[u8]| {
        let first = line.split(|&byte| byte == b'\t').next().unwrap_or_default();
        first.contains(&b'.') && epoch_seconds(first).is_some()
    };
    let timed = with_tabs.iter().filter(begins).count();
    timed * 2 > with_tabs.len() || {
        let (columns, group) = most_frequent(&with_tabs);
        !is_plain_standard(&with_tabs) && align(&fields::FIELDS, &group, columns).is_some_and(|a| a.sure > SURE_MIN)
    }
}

/// Whether lines without a header are standard logs in plain format: they hold a date or a time in milliseconds.
pub(super) fn is_plain_standard(lines: &[&[u8]]) -> bool {
    let looks = |line: &&&[u8]| {
        let has = |is: &dyn Fn(&[u8]) -> bool| line.split(|&byte| byte == b'\t').any(is);
        let dated =
            has(&|cell| w3c_time(cell, b"00:00:00").is_some()) && has(&|cell| w3c_time(b"2026-01-01", cell).is_some());
        memchr::memchr(b'\t', line).is_some()
            && (dated || has(&|cell| cell.len() == 13 && epoch_millis(cell).is_some()))
    };
    let (columns, group) = most_frequent(lines);
    lines.iter().filter(looks).count() * 2 > lines.len()
        && align(&standard_alike(), &group, columns).is_some_and(|aligned| aligned.sure >= SURE_MIN)
}

/// Whether names are those of a standard log.
pub(super) fn is_standard<'n>(names: impl Iterator<Item = &'n str>) -> bool {
    // `date`, `time` and `asn` are everybody's.
    let telling = |name: &str| name.contains(['-', '(']) && standard_name(name).is_some();
    names.filter(|name| telling(name)).count() >= NAMES_MIN
}

/// The list of fields of real-time lines.
pub(super) fn realtime(lines: &[&[u8]]) -> Edge {
    let mut edge = Edge { what: "CloudFront real-time logs".to_owned(), ..Edge::default() };
    let groups = by_columns(lines);
    let usual = groups.first().map_or(0, |(columns, _)| *columns);
    let mut lists: Vec<(Option<Micros>, FieldSet, usize)> = Vec::new();
    let mut together = 0;
    for (columns, group) in &groups {
        // The last value of one record and the first of the next share a column.
        if *columns > usual
            && usual > 1
            && (columns - 1) % (usual - 1) == 0
            && *columns > fields::FIELDS.len().min(usual + 1)
        {
            together += group.len();
            continue;
        }
        let is_odd = group.len() * 100 <= lines.len() * ODD_PERCENT;
        if is_odd || lists.len() == LISTS_MAX {
            continue;
        }
        let sample = &group[..group.len().min(LINES_MAX)];
        let Some(aligned) = align(&fields::FIELDS, sample, *columns) else {
            edge.harm.push(format!(
                "no choice of CloudFront's fields fits the {} records with {columns} columns",
                group.len()
            ));
            continue;
        };
        tell_doubts(&aligned, &fields::FIELDS, &mut edge.unknown);
        let names: Vec<&'static str> = aligned.fields.iter().map(|&at| fields::FIELDS[at]).collect();
        let mut cells = Cells::default();
        let mut first: Option<Micros> = None;
        for line in group {
            cells.split(line);
            let value = |field: &str| value_of(line, &cells, names.iter().position(|name| *name == field)?);
            first = first.into_iter().chain(value("timestamp").and_then(epoch_seconds)).min();
            let query = value("cs-uri-query").or_else(|| value("cs-uri-stem").and_then(query_of));
            edge.keys.add(&view(&value, query));
        }
        lists.push((
            first,
            FieldSet { from: None, fields: names.into_iter().map(str::to_owned).collect() },
            group.len(),
        ));
    }
    if together > 0 {
        edge.harm.push(format!(
            "{together} lines hold several records run together: turn on the newline delimiter of the Firehose stream; what is so already is rejected"
        ));
    }
    lists.sort_by_key(|(first, ..)| *first);
    edge.what = match lists.as_slice() {
        [(_, list, _)] => format!("CloudFront real-time logs, {} fields", list.fields.len()),
        many => {
            let counts: Vec<_> = many.iter().map(|(_, list, _)| list.fields.len().to_string()).collect();
            format!("CloudFront real-time logs, whose fields changed: {}", counts.join(", then "))
        }
    };
    edge.lists = in_order(lists.into_iter().map(|(first, list, _)| (first, list)));
    for name in edge.lists.iter().flat_map(|list| &list.fields) {
        if !edge.fields.contains(name) {
            edge.fields.push(name.clone());
        }
    }
    edge
}

/// Each list but the first holds from its first record on.
fn in_order(lists: impl Iterator<Item = (Option<Micros>, FieldSet)>) -> Vec<FieldSet> {
    let mut before: Option<i64> = None;
    let from = |(number, (first, list)): (usize, (Option<Micros>, FieldSet))| {
        let second =
            first.map_or(0, |first| first.0 / 1_000_000 * 1_000_000).max(before.map_or(0, |before| before + 1_000_000));
        before = Some(second);
        FieldSet { from: (number > 0).then_some(Micros(second)), ..list }
    };
    lists.enumerate().map(from).collect()
}

/// Standard logs of either version.
pub(super) fn standard(opened: &[&Opened], records: &[&[u8]]) -> Edge {
    let header = |opened: &&&Opened| fields_of(&opened.header);
    let names = opened.iter().find_map(|opened| header(&opened));
    let is_json = records.first().is_some_and(|record| record.first() == Some(&b'{'));
    match names {
        Some(names) if !is_json => of_header(opened, names, records),
        _ if is_json => of_json(records, opened.iter().any(|opened| opened.form == Form::Parquet)),
        _ => plain(records),
    }
}

/// The names of the first `#Fields` line.
pub(super) fn fields_of(header: &[String]) -> Option<Vec<String>> {
    let names = header.iter().find(|line| line.to_ascii_lowercase().starts_with("#fields:"))?;
    Some(names["#fields:".len()..].split_ascii_whitespace().map(str::to_owned).collect())
}

fn of_header(opened: &[&Opened], names: Vec<String>, records: &[&[u8]]) -> Edge {
    let versioned =
        opened.iter().any(|opened| opened.header.iter().any(|line| line.to_ascii_lowercase().starts_with("#version:")));
    let version = if versioned { "version 1" } else { "version 2 in w3c format" };
    let mut edge =
        Edge { what: format!("CloudFront standard logs, {version}, {} fields", names.len()), ..Edge::default() };
    let mut cells = Cells::default();
    let mut fitting = 0;
    for line in records {
        cells.split(line);
        if cells.count != names.len() {
            continue;
        }
        fitting += 1;
        let value = |field: &str| {
            let at =
                names.iter().position(|name| standard_name(name).is_some_and(|known| realtime_name(known) == field))?;
            value_of(line, &cells, at)
        };
        edge.keys.add(&view(&value, value("cs-uri-query")));
    }
    let without_tabs = records.iter().filter(|line| memchr::memchr(b'\t', line).is_none()).count();
    if fitting == 0 && !records.is_empty() && names.len() > 1 && without_tabs == records.len() {
        edge.harm.push(
            "the values are not separated by TAB: set the delivery's field delimiter to \\t; no other is read"
                .to_owned(),
        );
    }
    edge.fields = names;
    edge
}

fn of_json(records: &[&[u8]], is_parquet: bool) -> Edge {
    let mut edge = Edge::default();
    for record in records {
        let Ok(found) = leaves(record) else { continue };
        for leaf in &found {
            if let [name] = leaf.path.as_slice()
                && standard_name(name).is_some()
                && !edge.fields.contains(name)
            {
                edge.fields.push(name.clone());
            }
        }
        let value = |field: &str| {
            let leaf = found.iter().find(|leaf| {
                matches!(leaf.path.as_slice(), [name] if standard_name(name).is_some_and(|known| realtime_name(known) == field))
            })?;
            leaf.told()
        };
        edge.keys.add(&view(&value, value("cs-uri-query")));
    }
    let format = if is_parquet { "Parquet" } else { "JSON" };
    edge.what = format!("CloudFront standard logs, version 2 in {format}, {} fields", edge.fields.len());
    edge
}

/// Lines that nothing says the fields of.
fn plain(lines: &[&[u8]]) -> Edge {
    let names = standard_names();
    let (columns, group) = most_frequent(lines);
    let mut edge = Edge { what: "CloudFront standard logs, version 2 in plain format".to_owned(), ..Edge::default() };
    let Some(aligned) = align(&standard_alike(), &group, columns) else { return edge };
    tell_doubts(&aligned, &names, &mut edge.unknown);
    edge.unknown.push(
        "the order of the fields: lines in plain format name none, and a delivery may have them in any order; they were taken to stand in CloudFront's. Compare with the delivery's record fields, or deliver JSON".to_owned(),
    );
    edge.fields = aligned.fields.iter().map(|&at| names[at].to_owned()).collect();
    edge.what = format!("CloudFront standard logs, version 2 in plain format, {columns} fields");
    let mut cells = Cells::default();
    for line in &group {
        cells.split(line);
        let value =
            |field: &str| value_of(line, &cells, edge.fields.iter().position(|name| realtime_name(name) == field)?);
        edge.keys.add(&view(&value, value("cs-uri-query")));
    }
    edge.lists = vec![FieldSet { from: None, fields: edge.fields.clone() }];
    edge
}

/// Names the columns whose field matters and is in doubt.
fn tell_doubts(aligned: &Aligned, names: &[&'static str], unknown: &mut Vec<String>) {
    let mut idle = 0;
    for (column, others) in &aligned.doubts {
        let chosen = names[aligned.fields[*column]];
        let mut others: Vec<&str> = others.iter().map(|&at| names[at]).filter(|name| READ.contains(name)).collect();
        if !READ.contains(&chosen) && others.is_empty() {
            idle += 1;
            continue;
        }
        let more = others.len().saturating_sub(4);
        others.truncate(4);
        let mut listed: Vec<String> = others.iter().map(|name| format!("`{name}`")).collect();
        if more > 0 {
            listed.push(format!("{more} more"));
        }
        let others = if listed.is_empty() { "a field that is not read".to_owned() } else { listed.join(", ") };
        unknown.push(format!(
            "column {}: it is taken for `{chosen}`, but its values would suit {others} as well",
            column + 1
        ));
    }
    if idle > 0 {
        unknown.push(format!(
            "{idle} columns for certain, none of which meterlake reads: another field in their place changes nothing"
        ));
    }
}

fn view<'a>(value: &dyn Fn(&str) -> Option<&'a [u8]>, query: Option<&'a [u8]>) -> EdgeView<'a> {
    EdgeView {
        headers: value("cs-headers"),
        header_names: value("cs-header-names"),
        log_data: value("viewer-request-log-data"),
        query,
        cookie: value("cs-cookie"),
    }
}

fn query_of(stem: &[u8]) -> Option<&[u8]> {
    memchr::memchr(b'?', stem).map(|at| &stem[at + 1..])
}

fn value_of<'l>(line: &'l [u8], cells: &Cells, column: usize) -> Option<&'l [u8]> {
    let value = &line[cell(&cells.ends, column)];
    (!matches!(value, b"" | b"-")).then_some(value)
}

/// Lines by their number of columns, the most frequent first.
fn by_columns<'l>(lines: &[&'l [u8]]) -> Vec<(usize, Vec<&'l [u8]>)> {
    let mut groups: BTreeMap<usize, Vec<&[u8]>> = BTreeMap::new();
    for line in lines {
        groups.entry(memchr::memchr_iter(b'\t', line).count() + 1).or_default().push(line);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.len()));
    groups
}

fn most_frequent<'l>(lines: &[&'l [u8]]) -> (usize, Vec<&'l [u8]>) {
    by_columns(lines).into_iter().next().map_or((0, Vec::new()), |(columns, mut group)| {
        group.truncate(LINES_MAX);
        (columns, group)
    })
}

fn standard_names() -> Vec<&'static str> {
    standard::FIELDS.iter().map(|(name, _)| *name).collect()
}

/// The same under the names by which they are compared.
fn standard_alike() -> Vec<&'static str> {
    standard_names().into_iter().map(resemble::realtime_name).collect()
}

fn standard_name(name: &str) -> Option<&'static str> {
    standard::FIELDS.iter().map(|(known, _)| *known).find(|known| known.eq_ignore_ascii_case(name))
}

/// What real-time logs call a field of standard logs that speaks of keys.
fn realtime_name(name: &str) -> &str {
    if name.eq_ignore_ascii_case("cs(Cookie)") { "cs-cookie" } else { name }
}

/// Where the key of a log of CloudFront is looked for, and what is to be said of it.
pub(super) fn key_of(edge: &mut Edge, records: usize) -> KeySpec {
    let Some(place) = edge.keys.place() else { return KeySpec::None };
    edge.unknown.extend(place.unknown);
    if place.records * 2 < records && matches!(place.key, KeySpec::Query(_)) {
        edge.unknown.push(format!(
            "whether callers mean the parameter as a key: {} of {records} records have it",
            place.records
        ));
    }
    place.key
}
