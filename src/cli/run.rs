//! `run`, `convert`, `build` and `status`: the main job and its parts, and what they say of it.

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::base::with_causes;
use crate::job::build::{UnionReport, build_events};
use crate::job::convert::{ConvertReport, Scope, convert as convert_objects, look_for_new};
use crate::job::derive::{DeriveReport, derive};
use crate::job::{Job, JobError};
use crate::lake::{LakeError, Receipt};
use crate::model::Engine;

use super::args::ConvertArgs;
use super::grid::{Grid, count, size};
use super::settings::Settings;
use super::summary::{Detail, Summary};
use super::world::World;
use super::{Outcome, Talk, hints, open, print_json, print_text, publish, refusals};

/// Converts what is new, builds what is stale, prints the summary.
pub(crate) async fn run(settings: &Settings, job: &Job, world: &World, json: bool, talk: &Talk) -> Result<Outcome> {
    let mut converted = convert_objects(job, &Scope::default(), &talk.bar).await?;
    let (built, derived) = match build_all(settings, job, talk).await {
        // Staged files expire; what they held is still in the landing object.
        Err(error) if forget_missing(job, &error).await? => {
            converted = convert_objects(job, &Scope::default(), &talk.bar).await?;
            build_all(settings, job, talk).await?
        }
        done => done?,
    };
    tell_failures(&converted, talk);
    let published = publish::tried_after_build(settings, job, world, talk).await;
    let engine = open::engine(job).await?;
    let summary = summary(settings, &engine, Detail::Run).await?;
    let changed = converted.sources.iter().any(|s| s.converted > 0) || built.receipts > 0 || derived.changed();
    if json {
        let mut all = summary.json()?;
        all.insert("converted".to_owned(), converted_json(&converted));
        all.insert("built".to_owned(), built_json(&built, &derived));
        print_json(&Value::Object(all))?;
    } else {
        print_text(&converted_text(&converted))?;
        print_text(&built_text(&built, &derived, changed))?;
        print_text(&format!("\n{}", summary.text()?))?;
    }
    let rejects = rejects_over_limit(settings, &converted, talk);
    for hint in hints::after_run(settings, &engine, &converted, &summary, changed).await? {
        talk.say(format!("\nhint: {hint}"));
    }
    Ok(outcome(&converted, &summary, rejects || !published))
}

/// Decodes new landing objects, nothing more.
pub(crate) async fn convert(
    settings: &Settings,
    job: &Job,
    args: &ConvertArgs,
    json: bool,
    talk: &Talk,
) -> Result<Outcome> {
    let scope = scope(args);
    if args.dry_run {
        let found = look_for_new(job, &scope).await?;
        match json {
            true => print_json(&converted_json(&found))?,
            false => print_text(&new_text(&found))?,
        }
        return Ok(Outcome::Done);
    }
    let converted = convert_objects(job, &scope, &talk.bar).await?;
    tell_failures(&converted, talk);
    if json {
        print_json(&converted_json(&converted))?;
    } else {
        print_text(&converted_text(&converted))?;
    }
    let look = rejects_over_limit(settings, &converted, talk) || converted.failed().next().is_some();
    Ok(if look { Outcome::NeedsLook } else { Outcome::Done })
}

/// Which landing objects are meant.
pub(crate) fn scope(args: &ConvertArgs) -> Scope {
    Scope {
        prefixes: args.prefixes.clone(),
        from: args.from.map(|day| day.start()),
        to: args.to.map(|day| day.start()),
    }
}

/// Brings the tables up to date with what is staged.
pub(crate) async fn build(settings: &Settings, job: &Job, world: &World, json: bool, talk: &Talk) -> Result<Outcome> {
    let (built, derived) = build_all(settings, job, talk).await?;
    if json {
        print_json(&built_json(&built, &derived))?;
    } else {
        print_text(&built_text(&built, &derived, built.receipts > 0 || derived.changed()))?;
    }
    let published = publish::tried_after_build(settings, job, world, talk).await;
    Ok(if published { Outcome::Done } else { Outcome::NeedsLook })
}

/// Says what the tables hold.
pub(crate) async fn status(settings: &Settings, job: &Job, json: bool, talk: &Talk) -> Result<Outcome> {
    let summary = summary(settings, &open::engine(job).await?, Detail::Status).await?;
    let waiting = job.lake.receipts().await?.len();
    let going = job.lake.withdrawals().await?.len();
    if json {
        let mut all = summary.json()?;
        all.insert("receipts_waiting".to_owned(), json!(waiting));
        all.insert("withdrawals_waiting".to_owned(), json!(going));
        print_json(&Value::Object(all))?;
    } else {
        print_text(&summary.text()?)?;
    }
    if waiting > 0 {
        talk.say(format!("\nhint: {waiting} converted objects wait to be built; `meterlake build` applies them"));
    }
    if going > 0 {
        talk.say(format!("\nhint: {going} object versions wait to be withdrawn; `meterlake build` does it"));
    }
    Ok(Outcome::Done)
}

/// The event tables, the ledger, and everything derived from them.
pub(crate) async fn build_all(settings: &Settings, job: &Job, talk: &Talk) -> Result<(UnionReport, DeriveReport)> {
    let built = build_events(job, &talk.bar).await?;
    Ok((built, derive_all(settings, job, talk).await?))
}

/// Everything derived from the event tables.
pub(crate) async fn derive_all(settings: &Settings, job: &Job, talk: &Talk) -> Result<DeriveReport> {
    Ok(derive(&job.lake, &open::derivation(settings, job).await?, &talk.bar).await?)
}

async fn summary(settings: &Settings, engine: &Engine, detail: Detail) -> Result<Summary> {
    let billing = settings.billing.as_ref();
    let has_customers = billing.is_some_and(|billing| !billing.customers.rows().is_empty());
    let has_rates = billing.is_some_and(|billing| billing.rates.is_some());
    Summary::read(engine, has_customers, has_rates, detail).await
}

/// Where the build stopped at a staged file that is gone: forgets its receipt, so that the object counts as new.
async fn forget_missing(job: &Job, error: &anyhow::Error) -> Result<bool> {
    let Some(JobError::Lake(LakeError::StagedMissing { path, .. })) = error.downcast_ref::<JobError>() else {
        return Ok(false);
    };
    let waiting = job.lake.receipts().await?;
    let named: Vec<_> = waiting.iter().filter(|r| r.hours.iter().any(|h| h.path == *path)).map(Receipt::id).collect();
    job.lake.delete_receipts(&named).await?;
    Ok(!named.is_empty())
}

fn tell_failures(converted: &ConvertReport, talk: &Talk) {
    for (source, failed) in converted.failed() {
        talk.warn(format!("{source}: {}; it is tried again by the next run", with_causes(&failed.error)));
    }
    if let Some(hint) = converted.failed().find_map(|(_, failed)| refusals::hint(&with_causes(&failed.error))) {
        talk.warn(format!("hint: {hint}"));
    }
}

fn rejects_over_limit(settings: &Settings, converted: &ConvertReport, talk: &Talk) -> bool {
    let limit = u64::from(settings.rejects_max_percent);
    let over = converted.sources.iter().filter(|s| s.rejects * 100 > s.records * limit);
    over.inspect(|s| {
        talk.warn(format!(
            "{}: {} of {} new records could not be read, more than {limit} %; `meterlake rejects` shows them",
            s.source,
            count(s.rejects),
            count(s.records)
        ));
    })
    .count()
        > 0
}

fn outcome(converted: &ConvertReport, summary: &Summary, rejects: bool) -> Outcome {
    let look = rejects || converted.failed().next().is_some() || summary.has_held();
    if look { Outcome::NeedsLook } else { Outcome::Done }
}

fn converted_json(report: &ConvertReport) -> Value {
    let sources = report.sources.iter().map(|s| {
        let failed = s.failed.iter().map(|f| json!({"object": f.key, "error": f.error.to_string()}));
        json!({
            "source": s.source, "found": s.found, "new": s.new, "new_bytes": s.new_bytes, "converted": s.converted, "bytes": s.bytes, "records": s.records,
            "rejects": s.rejects, "control": s.control, "decoded_otherwise": s.decoded_otherwise,
            "failed": failed.collect::<Vec<_>>(),
        })
    });
    Value::Array(sources.collect())
}

fn new_text(report: &ConvertReport) -> String {
    let mut grid = Grid::new(&["source", ">objects", ">to convert", ">size"]);
    for s in &report.sources {
        grid.row([s.source.clone(), count(s.found), count(s.new), size(s.new_bytes)]);
    }
    format!("To convert\n{grid}")
}

fn converted_text(report: &ConvertReport) -> String {
    let headings = ["source", ">objects", ">new", ">size", ">records", ">rejects", ">control", ">failed"];
    let mut grid = Grid::new(&headings);
    for s in &report.sources {
        let numbers = [s.records, s.rejects, s.control, s.failed.len() as u64].map(count);
        let objects = [s.source.clone(), count(s.found), count(s.converted), size(s.bytes)];
        grid.row(objects.into_iter().chain(numbers));
    }
    format!("Converted\n{grid}")
}

pub(crate) fn built_json(built: &UnionReport, derived: &DeriveReport) -> Value {
    let mut parts = Map::new();
    for (source, c) in &built.sources {
        let hours = built.changed.get(source).map_or(0, |hours| hours.len());
        parts.insert(
            source.clone(),
            json!({"units": c.units, "hours_changed": hours, "rows_in": c.rows_in, "rows_out": c.rows_out,
                "duplicates": c.duplicates, "conflicts": c.conflicts}),
        );
    }
    json!({"receipts": built.receipts, "events": parts, "derived": derived.json()})
}

pub(crate) fn built_text(built: &UnionReport, derived: &DeriveReport, changed: bool) -> String {
    if !changed {
        return "\nNothing is new: every table is up to date.\n".to_owned();
    }
    let mut grid = Grid::new(&["table", "rebuilt"]);
    for (source, hours) in &built.changed {
        let hours: Vec<String> = hours.iter().map(ToString::to_string).collect();
        grid.row([format!("events of {source}"), parts_text(&hours)]);
    }
    for (table, parts) in derived.rebuilt() {
        grid.row([table.name().to_owned(), parts_text(parts)]);
    }
    format!("\nBuilt\n{grid}")
}

/// Names a few parts and counts the rest.
fn parts_text(parts: &[String]) -> String {
    const SHOWN: usize = 3;
    match parts {
        [] => String::new(),
        few if few.len() <= SHOWN => few.join(", "),
        [first, .., last] => format!("{} from {first} to {last}", parts.len()),
        [only] => only.clone(),
    }
}
