//! `[[meter]]`, `[limits]`, `[build]` and `[retention]`.

use crate::base::document::{Item, Section};
use crate::base::problem::suggestion;
use crate::base::with_causes;
use crate::decode::{JSON_DEPTH_MAX, Limits};
use crate::model::{Meter, MeterError, MeterPart, MeterValue};

use super::sources::{Declared, days, name};
use super::{BuildSettings, Retention};

/// All meters, checked; `None` where one could not be made, which is noted.
pub(super) fn meters(root: &Section<'_>, sources: &[Declared<'_>]) -> Option<Vec<Meter>> {
    let sections = root.sections("meter", &["name", "source", "where", "value", "group_by"]);
    let mut meters: Vec<Meter> = Vec::with_capacity(sections.len());
    for section in &sections {
        let Some(meter) = meter(section, sources) else { continue };
        if meters.iter().any(|other| other.name == meter.name) {
            section.problem(format!("meter `{}` is defined twice", meter.name));
        }
        if let Err(error) = meter.check() {
            // The setting's line, or the meter's where the setting is left out.
            match section.get(error.part.name()) {
                Some(item) => item.problem(with_causes(&error).replace('\n', " ")),
                None => section.problem(with_causes(&error).replace('\n', " ")),
            }
        }
        meters.push(meter);
    }
    (meters.len() == sections.len()).then_some(meters)
}

fn meter(section: &Section<'_>, sources: &[Declared<'_>]) -> Option<Meter> {
    let name = section.required("name").and_then(|item| name(&item));
    let value = match section.get("value") {
        None => Some(MeterValue::Count),
        Some(item) => item.text().and_then(|text| match MeterValue::read(text) {
            Ok(value) => Some(value),
            Err(problem) => {
                let meter = name.clone().unwrap_or_default();
                item.problem(MeterError { meter, part: MeterPart::Value, problem }.to_string());
                None
            }
        }),
    };
    let where_sql = match section.get("where") {
        None => Some(None),
        Some(item) => item.text().map(|text| Some(text.to_owned())),
    };
    let group_by = match section.get("group_by") {
        None => Some(Vec::new()),
        Some(item) => texts(item.list()),
    };
    let named = section.required("source").and_then(|item| used_sources(&item, sources));
    let named = named?;
    let table = named.first().and_then(|source| source.table)?;
    Some(Meter {
        name: name?,
        sources: named.iter().filter_map(|source| source.name.clone()).collect(),
        table,
        where_sql: where_sql?,
        value: value?,
        group_by: group_by?,
    })
}

fn used_sources<'s, 'd>(item: &Item<'_>, sources: &'s [Declared<'d>]) -> Option<Vec<&'s Declared<'d>>> {
    let members = item.one_or_more();
    if members.is_empty() {
        item.problem("a meter needs at least one source");
    }
    let mut used: Vec<&Declared<'_>> = Vec::with_capacity(members.len());
    for member in &members {
        let name = member.text()?;
        let Some(source) = sources.iter().find(|source| source.name.as_deref() == Some(name)) else {
            let known: Vec<&str> = sources.iter().filter_map(|source| source.name.as_deref()).collect();
            // A source whose name is wrong is told already; it is probably the one meant.
            if known.len() == sources.len() {
                member.problem(format!("unknown source `{name}`{}", suggestion(name, known)));
            }
            return None;
        };
        for other in &used {
            let clash = if other.name == source.name {
                "is named twice"
            } else if other.table.zip(source.table).is_some_and(|(a, b)| a != b) {
                "is of another kind: edge and origin logs are two views of the same requests, so a meter counts only one"
            } else if other.kind.zip(source.kind).is_some_and(|(a, b)| a.is_view_beside(b)) {
                "is another kind of CloudFront log: of a distribution with both, every request would be counted twice"
            } else if other.place.as_ref().zip(source.place.as_ref()).is_some_and(|(a, b)| a.overlaps(b)) {
                "reads the same location as another source of this meter: every request would be counted twice"
            } else {
                continue;
            };
            member.problem(format!("source `{name}` {clash}"));
            return None;
        }
        used.push(source);
    }
    (!used.is_empty()).then_some(used)
}

fn texts(members: Option<Vec<Item<'_>>>) -> Option<Vec<String>> {
    let members = members?;
    let texts: Vec<String> = members.iter().filter_map(|member| member.text().map(str::to_owned)).collect();
    (texts.len() == members.len()).then_some(texts)
}

/// `[limits]`: bounds, and the share of rejects in percent that needs a look.
pub(super) fn limits(root: &Section<'_>) -> (Limits, u32) {
    let mut limits = Limits::default();
    let mut rejects_max_percent = 1;
    let known = [
        "record_bytes_max",
        "object_bytes_max",
        "document_bytes_max",
        "expansion_max",
        "nesting_max",
        "hours_max",
        "parquet_bytes_max",
        "json_depth_max",
        "header_bytes_max",
        "rejects_max_percent",
    ];
    let Some(section) = root.get("limits").and_then(|item| item.section(&known)) else {
        return (limits, rejects_max_percent);
    };
    let number = |key: &str, range| section.get(key).and_then(|item| item.integer(range));
    let size = |key: &str, range| number(key, range).and_then(|n| usize::try_from(n).ok());
    if let Some(bytes) = size("record_bytes_max", 1_024..=1 << 30) {
        limits.record_bytes_max = bytes;
    }
    if let Some(bytes) = number("object_bytes_max", 1_024..=1 << 50) {
        limits.object_bytes_max = bytes.unsigned_abs();
    }
    if let Some(bytes) = size("document_bytes_max", 1_024..=1 << 30) {
        limits.document_bytes_max = bytes;
    }
    if let Some(times) = number("expansion_max", 10..=1_000_000) {
        limits.expansion_max = times.unsigned_abs();
    }
    if let Some(times) = size("nesting_max", 0..=16) {
        limits.nesting_max = times;
    }
    if let Some(hours) = size("hours_max", 1..=1_000_000) {
        limits.hours_max = hours;
    }
    if let Some(bytes) = number("parquet_bytes_max", 1_024..=1 << 40) {
        limits.parquet_bytes_max = bytes.unsigned_abs();
    }
    if let Some(levels) = size("json_depth_max", 4..=JSON_DEPTH_MAX as i64) {
        limits.json_depth_max = levels;
    }
    if let Some(bytes) = size("header_bytes_max", 1_024..=1 << 30) {
        limits.header_bytes_max = bytes;
    }
    if let Some(percent) = number("rejects_max_percent", 0..=100).and_then(|n| u32::try_from(n).ok()) {
        rejects_max_percent = percent;
    }
    (limits, rejects_max_percent)
}

/// `[build]`.
pub(super) fn build(root: &Section<'_>) -> BuildSettings {
    let section = root.get("build").and_then(|item| item.section(&["parallel"]));
    let parallel = section.and_then(|section| section.get("parallel"));
    BuildSettings { parallel: parallel.and_then(|item| item.integer(1..=1_024)).and_then(|n| usize::try_from(n).ok()) }
}

/// `[retention]`.
pub(super) fn retention(root: &Section<'_>) -> Retention {
    let section = root.get("retention").and_then(|item| item.section(&["staged_days"]));
    let staged = section.and_then(|section| section.get("staged_days")).and_then(|item| days(&item));
    Retention { staged_days: staged.unwrap_or(30) }
}
