//! `rejects` and `convert --rejects`: what could not be read, why, and what to do about it; then, with the configuration
//! corrected, another try. Excerpts are masked when they are made; nothing here reads a landing object to show it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use crate::base::problem::suggestion;
use crate::base::with_causes;
use crate::decode::REASONS;
use crate::job::Job;
use crate::job::replay::{self, ReplayReport, ReplayScope};
use crate::model::Engine;

use super::args::{ConvertArgs, RejectsArgs};
use super::grid::{Grid, count, size};
use super::reject_hints::hint;
use super::settings::Settings;
use super::summary::Summary;
use super::{Outcome, Talk, print_json, print_text, run};

/// Shows the records that could not be read: counts, samples, and a hint for each reason.
pub(crate) async fn rejects(engine: &Engine, args: &RejectsArgs, json: bool, talk: &Talk) -> Result<Outcome> {
    check_reasons(&args.reason)?;
    let filter = filter(args);
    let of = |sql: &str| sql.replace("$where", &filter).replace("$samples", &args.samples.to_string());
    let [reasons, days, objects, samples] = [
        of(include_str!("../../sql/report/reject_reasons.sql")),
        of(include_str!("../../sql/report/reject_days.sql")),
        of(include_str!("../../sql/report/reject_objects.sql")),
        of(include_str!("../../sql/report/reject_samples.sql")),
    ];
    let counts = [
        ("reasons", "Rejects", Some("none"), &*reasons),
        ("days", "By day of arrival", None, &days),
        ("objects", "By object", None, &objects),
    ];
    let counts = Summary::of(engine, &counts).await?;
    let samples = Summary::of(engine, &[("samples", "", None, &samples)]).await?.json()?;
    let mut all = counts.json()?;
    all.extend(samples);
    add_hints(&mut all);
    if json {
        print_json(&Value::Object(all))?;
        return Ok(Outcome::Done);
    }
    print_text(&format!("{}{}", counts.text()?, samples_text(rows(&all, "samples"))))?;
    let told: BTreeSet<(&str, &str)> =
        rows(&all, "reasons").iter().filter_map(|row| Some((row["reason"].as_str()?, row["hint"].as_str()?))).collect();
    for (reason, hint) in &told {
        talk.say(format!("\nhint: {reason}: {hint}"));
    }
    if !told.is_empty() {
        talk.say("\nhint: once the configuration is corrected, `meterlake convert --rejects` and `meterlake run` read them again");
    }
    Ok(Outcome::Done)
}

/// A condition on the table `rejects`.
fn filter(args: &RejectsArgs) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let one_of = |column: &str, values: &[String]| {
        let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        (!values.is_empty()).then(|| format!("{column} IN ({})", values.join(", ")))
    };
    // Both name objects: what meets either is meant.
    let prefixes = args.prefix.iter().map(|prefix| format!("starts_with(source_object, {})", quoted(prefix)));
    let objects: Vec<String> = one_of("source_object", &args.object).into_iter().chain(prefixes).collect();
    let conditions = [
        one_of("source", &args.source),
        one_of("reason", &args.reason),
        (!objects.is_empty()).then(|| format!("({})", objects.join(" OR "))),
        args.from.map(|day| format!("day >= DATE '{day}'")),
        args.to.map(|day| format!("day < DATE '{day}'")),
    ];
    let conditions: Vec<String> = conditions.into_iter().flatten().collect();
    if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") }
}

/// A reason that does not exist would simply find nothing.
fn check_reasons(reasons: &[String]) -> Result<()> {
    if let Some(unknown) = reasons.iter().find(|reason| !REASONS.contains(&reason.as_str())) {
        match suggestion(unknown, REASONS.iter().copied()) {
            near if near.is_empty() => bail!("`{unknown}` is no reason; these are: {}", REASONS.join(", ")),
            near => bail!("`{unknown}` is no reason{near}"),
        }
    }
    Ok(())
}

fn add_hints(all: &mut Map<String, Value>) {
    for row in all.get_mut("reasons").and_then(Value::as_array_mut).into_iter().flatten() {
        let hint = row["reason"].as_str().and_then(hint);
        if let Some(row) = row.as_object_mut() {
            row.insert("hint".to_owned(), json!(hint));
        }
    }
}

fn rows<'a>(all: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    all.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Each sample on two lines: where it stands and what is wrong, then what it says.
fn samples_text(samples: &[Value]) -> String {
    let mut text = String::new();
    for sample in samples {
        let of = |name: &str| sample[name].as_str().unwrap_or_default();
        let title = if text.is_empty() { "\nSamples\n" } else { "" };
        let (reason, detail, position) = (of("reason"), of("detail"), &sample["source_position"]);
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "{title}  {}: {} record {position}: {reason}: {detail}", of("source"), of("source_object"));
        let _ = writeln!(text, "    {}", of("excerpt").trim());
    }
    text
}

/// Converts again the objects that have rejects.
pub(crate) async fn replay(
    settings: &Settings,
    job: &Job,
    args: &ConvertArgs,
    json: bool,
    talk: &Talk,
) -> Result<Outcome> {
    check_reasons(&args.reason)?;
    if let Some(unknown) = args.source.iter().find(|name| settings.source(name).is_none()) {
        bail!("`{unknown}` is no source{}", suggestion(unknown, settings.sources.iter().map(|s| s.spec.name.as_str())));
    }
    let scope = ReplayScope { objects: run::scope(args), sources: args.source.clone(), reasons: args.reason.clone() };
    let report = match args.dry_run {
        true => replay::look_for_rejects(job, &scope).await?,
        false => replay::replay(job, &scope, &talk.bar).await?,
    };
    for (source, key, why) in report.gone() {
        talk.warn(format!("{source}: {key} cannot be read again: {why}; its rejects stay"));
    }
    for (source, failed) in report.failed() {
        talk.warn(format!("{source}: {}; it stays as it is in the lake", with_causes(&failed.error)));
    }
    match json {
        true => print_json(&replayed_json(&report))?,
        false => print_text(&replayed_text(&report, args.dry_run))?,
    }
    if report.sources.values().any(|done| done.converted > 0) {
        talk.say(
            "\nhint: `meterlake run` or `meterlake build` puts them in the place of what these objects gave before",
        );
    }
    let look = report.gone().next().is_some() || report.failed().next().is_some();
    Ok(if look { Outcome::NeedsLook } else { Outcome::Done })
}

fn replayed_json(report: &ReplayReport) -> Value {
    let sources = report.sources.iter().map(|(name, done)| {
        let failed = done.failed.iter().map(|f| json!({"object": f.key, "error": f.error.to_string()}));
        let gone = done.gone.iter().map(|(key, why)| json!({"object": key, "why": why}));
        json!({
            "source": name, "objects": done.objects, "bytes": done.bytes, "rejects_before": done.rejects_before,
            "converted": done.converted, "unchanged": done.unchanged, "rejects": done.rejects,
            "gone": gone.collect::<Vec<_>>(), "failed": failed.collect::<Vec<_>>(),
        })
    });
    Value::Array(sources.collect())
}

fn replayed_text(report: &ReplayReport, dry_run: bool) -> String {
    if report.sources.is_empty() {
        return "No object has such rejects.\n".to_owned();
    }
    let headings = [">objects", ">size", ">rejects", ">converted", ">unchanged", ">rejects left", ">gone", ">failed"];
    let shown = if dry_run { 3 } else { headings.len() };
    let mut grid = Grid::new(&[&["source"][..], &headings[..shown]].concat());
    for (name, done) in &report.sources {
        let numbers = [done.rejects_before, done.converted, done.unchanged, done.rejects].map(count);
        let lost = [done.gone.len() as u64, done.failed.len() as u64].map(count);
        let all = [count(done.objects), size(done.bytes)].into_iter().chain(numbers).chain(lost);
        grid.row(std::iter::once(name.clone()).chain(all.take(shown)));
    }
    let title = if dry_run { "To convert again, unless their rejects stay the same" } else { "Converted again" };
    format!("{title}\n{grid}")
}
