//! Commands that look after a lake: `init`, `rebuild`, `retract`, `verify`, `vacuum`.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::base::time::DAY_MICROS;
use crate::base::{HalfOpen, Micros, UtcDay};
use crate::job::amend::{self, Amended};
use crate::job::{Job, verify as recount};
use crate::lake::{Ledger, VacuumRules, Vacuumed};

use super::grid::{count, size};
use super::settings::Settings;
use super::{Outcome, Talk, init as files, print_json, print_text, run};

/// Writes a commented configuration beside where `--config` points.
pub(crate) fn init(config: &Path, force: bool, talk: &Talk) -> Result<Outcome> {
    let folder = config.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = files::write(folder, force)?;
    for path in &written {
        talk.say(format!("wrote {}", path.display()));
    }
    talk.say("\nhint: put landing objects where the sources look for them, then `meterlake run`");
    Ok(Outcome::Done)
}

/// Decodes the objects of some days again.
pub(crate) async fn rebuild(
    settings: &Settings,
    job: &Job,
    from: UtcDay,
    to: UtcDay,
    json: bool,
    talk: &Talk,
) -> Result<Outcome> {
    let Some(days) = HalfOpen::new(from, Some(to)) else { bail!("--to {to} is not after --from {from}") };
    let amended = amend::rebuild(job, days, &talk.bar).await?;
    tell(settings, job, "rebuilt from", &amended, json, talk).await
}

/// Withdraws objects.
pub(crate) async fn retract(
    settings: &Settings,
    job: &Job,
    prefix: &str,
    reason: &str,
    json: bool,
    talk: &Talk,
) -> Result<Outcome> {
    let amended = amend::retract(job, prefix, reason, &talk.bar).await?;
    tell(settings, job, "retracted", &amended, json, talk).await
}

async fn tell(
    settings: &Settings,
    job: &Job,
    what: &str,
    amended: &Amended,
    json: bool,
    talk: &Talk,
) -> Result<Outcome> {
    let derived = run::derive_all(settings, job, talk).await?;
    if json {
        let objects: Vec<_> = amended.objects.iter().map(|(s, key)| json!({"source": s, "object": key})).collect();
        print_json(&json!({"objects": objects, "built": run::built_json(&amended.events, &derived)}))?;
    } else {
        for (source, key) in &amended.objects {
            print_text(&format!("{what} {source}: {key}\n"))?;
        }
        let changed = !amended.events.changed.is_empty() || derived.changed();
        print_text(&run::built_text(&amended.events, &derived, changed))?;
    }
    Ok(Outcome::Done)
}

/// Counts again from the landing objects.
pub(crate) async fn verify(
    job: &Job,
    from: Option<UtcDay>,
    to: Option<UtcDay>,
    json: bool,
    talk: &Talk,
) -> Result<Outcome> {
    let from = from.unwrap_or(UtcDay(0));
    let Some(days) = HalfOpen::new(from, to) else { bail!("--to is not after --from {from}") };
    let report = recount::verify(job, days, &talk.bar).await?;
    if json {
        print_json(&json!({
            "agrees": report.agrees(), "days": report.days, "objects": report.objects, "events": report.events,
            "differences": report.differences, "unreadable": report.unreadable,
        }))?;
    } else {
        let (days, objects, events) = (count(report.days), count(report.objects), count(report.events));
        print_text(&format!("recounted {events} events of {days} days from {objects} objects\n"))?;
        for difference in &report.differences {
            print_text(&format!("differs: {difference}\n"))?;
        }
        for object in &report.unreadable {
            print_text(&format!("cannot be read any more: {object}\n"))?;
        }
        if report.agrees() {
            print_text("the tables hold exactly what the landing objects hold\n")?;
        }
    }
    Ok(if report.agrees() { Outcome::Done } else { Outcome::NeedsLook })
}

/// Files that were replaced less than this many days ago are kept, unless somebody says otherwise: a query may still read them.
pub(crate) const KEEP_DAYS: u32 = 7;

/// Deletes what nothing needs any more, and tells of it.
pub(crate) async fn vacuum(
    settings: &Settings,
    job: &Job,
    keep_days: u32,
    dry_run: bool,
    json: bool,
    talk: &Talk,
) -> Result<Outcome> {
    let vacuumed = delete_unneeded(settings, job, keep_days, dry_run).await?;
    if json {
        print_json(&json!({"dry_run": dry_run, "bytes": vacuumed.bytes, "paths": vacuumed.paths}))?;
    } else {
        vacuumed.paths.iter().try_for_each(|path| print_text(&format!("{path}\n")))?;
    }
    let verb = if dry_run { "would delete" } else { "deleted" };
    talk.say(format!("{verb} {} files, {}", count(vacuumed.paths.len() as u64), size(vacuumed.bytes)));
    Ok(Outcome::Done)
}

/// Deletes what nothing needs any more; `dry_run`: only looks for it.
pub(super) async fn delete_unneeded(settings: &Settings, job: &Job, keep_days: u32, dry_run: bool) -> Result<Vacuumed> {
    let days_ago = |days: u32| Micros(job.now.0 - i64::from(days) * DAY_MICROS);
    let known = Ledger::open(&job.lake).await?.known(None, None).await?;
    let done: HashSet<_> = known.values().flatten().map(|object| object.object_id).collect();
    let staged_is_done = |_: &str, id| done.contains(&id);
    let rules = VacuumRules {
        before: days_ago(keep_days),
        staged_before: days_ago(settings.retention.staged_days),
        staged_is_done: &staged_is_done,
        dry_run,
    };
    job.lake.vacuum(&rules).await.context("the vacuum stopped; what it deleted so far was not needed")
}
