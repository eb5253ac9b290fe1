//! `publish dynamodb`: totals of the month per customer and key, brought up to date in the configured table; on request only shown.
//! `run`, `build`, the worker and the function of the schedule do the same after a build where a table is configured.

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use crate::job::publish::{MonthReport, PublishReport, Wish, publish};
use crate::job::{Job, JobError};

use super::args::PublishArgs;
use super::grid::{Grid, count};
use super::settings::Settings;
use super::world::World;
use super::{Outcome, Talk, open, print_json, print_text};

/// Brings the table up to date, or says what differs.
pub(crate) async fn dynamodb(
    settings: &Settings,
    job: &Job,
    args: &PublishArgs,
    world: &World,
    json: bool,
    talk: &Talk,
) -> Result<Outcome> {
    let table = settings.aws.dynamodb_table.as_deref().ok_or_else(|| {
        anyhow!("no table is configured: set dynamodb_table under [aws] in {}", settings.file.display())
    })?;
    let wish = Wish { months: args.month.clone(), all: args.all, dry_run: args.dry_run };
    let report = published(settings, job, world, table, &wish).await?;
    match json {
        true => print_json(&report_json(table, &report, args.dry_run))?,
        false => print_text(&report_text(&report, args.dry_run))?,
    }
    tell_left_out(&report, talk);
    Ok(Outcome::Done)
}

/// Publishes after a build, where a table is configured. Another build at work publishes itself.
pub(crate) async fn after_build(
    settings: &Settings,
    job: &Job,
    world: &World,
    talk: &Talk,
) -> Result<Option<PublishReport>> {
    let Some(table) = settings.aws.dynamodb_table.as_deref() else { return Ok(None) };
    let report = match published(settings, job, world, table, &Wish::default()).await {
        Err(error) if matches!(error.downcast_ref(), Some(JobError::Stale { .. } | JobError::Busy { .. })) => {
            talk.say(format!("totals: left to another build, which is at work ({error})"));
            return Ok(None);
        }
        done => done?,
    };
    if report.changes() > 0 {
        talk.say(format!("published {} totals to {table}", count(report.changes() as u64)));
    }
    tell_left_out(&report, talk);
    Ok(Some(report))
}

/// The same where the build counts, whatever became of the totals: false where they could not be published, which is told.
pub(crate) async fn tried_after_build(settings: &Settings, job: &Job, world: &World, talk: &Talk) -> bool {
    let done = after_build(settings, job, world, talk).await;
    if let Err(error) = &done {
        talk.warn(format!(
            "the tables are built, but totals were not published: {error:#}; the next build tries again"
        ));
    }
    done.is_ok()
}

async fn published(settings: &Settings, job: &Job, world: &World, table: &str, wish: &Wish) -> Result<PublishReport> {
    let with = open::derivation(settings, job).await?;
    let totals = world.aws().await.totals(table).await?;
    Ok(publish(&job.lake, &with, &totals, wish, open::now()?).await?)
}

fn tell_left_out(report: &PublishReport, talk: &Talk) {
    for month in report.months.iter().filter(|month| month.left_out > 0) {
        let (n, of) = (count(month.left_out as u64), month.month);
        talk.warn(format!(
            "{n} totals of {of} are left out: their customer or key is longer than a key of the table may be"
        ));
    }
}

fn report_json(table: &str, report: &PublishReport, dry_run: bool) -> Value {
    let month = |of: &MonthReport| {
        let changes = of.changes.iter().map(|change| {
            let name = &change.name;
            json!({"pk": name.partition(), "sk": name.sort(), "before": change.before.map(|n| n.to_string()),
                "quantity": change.quantity.to_string()})
        });
        json!({"month": of.month, "changes": changes.collect::<Vec<_>>(), "unchanged": of.unchanged, "left_out": of.left_out,
            "complete_until": of.state.complete_until, "provisional": of.state.provisional})
    };
    let stamp = report.stamp.as_ref();
    json!({"table": table, "dry_run": dry_run, "lake": stamp.map(|stamp| &stamp.lake), "version": stamp.map(|stamp| stamp.version),
        "as_of": stamp.map(|stamp| stamp.as_of), "state_written": report.state_written,
        "months": report.months.iter().map(month).collect::<Vec<_>>()})
}

fn report_text(report: &PublishReport, dry_run: bool) -> String {
    if report.months.is_empty() {
        return "The lake has no usage to publish.\n".to_owned();
    }
    let written = if dry_run { ">to write" } else { ">written" };
    let mut months = Grid::new(&["month", written, ">unchanged", "complete until", "state"]);
    let mut changes = Grid::new(&["total", "of", ">before", ">quantity"]);
    for of in &report.months {
        let unchanged = of.unchanged.map_or_else(|| "all".to_owned(), |n| count(n as u64));
        let state = if of.state.provisional { "open" } else { "closed" };
        let until = of.state.complete_until.to_string();
        months.row([of.month.to_string(), count(of.changes.len() as u64), unchanged, until, state.to_owned()]);
        for change in &of.changes {
            let before = change.before.map_or_else(String::new, count);
            changes.row([change.name.partition(), change.name.sort(), before, count(change.quantity)]);
        }
    }
    let list = if report.changes() > 0 { format!("\nTotals\n{changes}") } else { String::new() };
    format!("Months\n{months}{list}")
}
