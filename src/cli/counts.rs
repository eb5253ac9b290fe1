//! `counts`: how many requests CloudWatch, or a file, counted in each hour, and which hours have fewer. Comes out: what was
//! counted per source, what was built again, and the hours that are short; exit code 1 where there is one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::base::UtcHour;
use crate::billing::ConfigFile;
use crate::job::Job;
use crate::job::build::UnionReport;
use crate::job::counts::{CountedBy, Counts, Shortfall, counted_from, settled_hours, shortfalls, store};
use crate::job::derive::DeriveReport;
use crate::source::REQUESTS_MAX;

use super::args::CountsArgs;
use super::grid::{Grid, count};
use super::settings::{Settings, SourceSettings};
use super::world::World;
use super::{Outcome, Talk, open, print_json, print_text, run};

/// How many UTC days CloudWatch is asked for where nobody says: its numbers settle within two.
pub(super) const DAYS: u16 = 3;

/// What became of counts.
pub(super) struct Held {
    counts: Counts,
    derived: DeriveReport,
    /// The hours of the counted days that are short.
    pub(super) short: Vec<Shortfall>,
    /// Something about the counts themselves needs a look.
    needs_look: bool,
}

/// Stores counts, brings the tables up to date, prints what is short.
pub(super) async fn counts(
    settings: &Settings,
    job: &Job,
    args: &CountsArgs,
    world: &World,
    json: bool,
    talk: &Talk,
) -> Result<Outcome> {
    let held = match &args.file {
        Some(file) => hold(settings, job, read(file, settings, job)?, CountedBy::File, talk).await?,
        None if settings.sources.iter().all(|source| source.counted.is_empty()) => bail!(
            "no source has `count`: name the API's stage or the distribution that counts its requests, or give --file"
        ),
        None => fetch(settings, job, world, args.days, talk).await?,
    };
    match json {
        true => print_json(&held.json())?,
        false => print_text(&held.text())?,
    }
    Ok(if held.needs_look || !held.short.is_empty() { Outcome::NeedsLook } else { Outcome::Done })
}

/// Asks CloudWatch for the settled hours of the last days, and holds the tables against them.
pub(super) async fn fetch(settings: &Settings, job: &Job, world: &World, days: u16, talk: &Talk) -> Result<Held> {
    let (mut counts, mut needs_look) = (Counts::default(), false);
    let from = counted_from(&open::engine(job).await?).await?;
    let (first, to) = settled_hours(job.now, days);
    for source in settings.sources.iter().filter(|source| !source.counted.is_empty()) {
        let name = &source.spec.name;
        let Some(from) = from.get(name) else {
            talk.say(format!("{name}: there are no events yet that a count could be held against"));
            continue;
        };
        let from = first.max(*from);
        if from >= to {
            continue;
        }
        let hours = requests(source, world, from, to).await?;
        if hours.is_empty() {
            let metrics: Vec<String> = source.counted.iter().map(ToString::to_string).collect();
            talk.warn(format!("{name}: CloudWatch knows nothing of {}; are the names right?", metrics.join(" and ")));
            needs_look = true;
        }
        hours.into_iter().for_each(|(hour, requests)| counts.add(name, hour, requests));
    }
    let held = hold(settings, job, counts, CountedBy::CloudWatch, talk).await?;
    Ok(Held { needs_look, ..held })
}

/// What all metrics of a source counted together.
async fn requests(
    source: &SourceSettings,
    world: &World,
    from: UtcHour,
    to: UtcHour,
) -> Result<BTreeMap<UtcHour, i64>> {
    let mut all = BTreeMap::new();
    for metric in &source.counted {
        for (hour, requests) in world.aws().await.requests(metric, from, to).await? {
            let sum: &mut i64 = all.entry(hour).or_default();
            // Neither is more than 2^53.
            *sum = (*sum + requests).min(REQUESTS_MAX);
        }
    }
    Ok(all)
}

fn read(file: &Path, settings: &Settings, job: &Job) -> Result<Counts> {
    let name = file.display().to_string();
    let bytes = fs::read(file).with_context(|| format!("cannot read `{name}`"))?;
    let sources: Vec<&str> = settings.sources.iter().map(|source| source.spec.name.as_str()).collect();
    Ok(Counts::read(&ConfigFile { name, bytes }, &sources, job.now)?)
}

async fn hold(settings: &Settings, job: &Job, counts: Counts, by: CountedBy, talk: &Talk) -> Result<Held> {
    store(&job.lake, &counts, by).await?;
    let derived = run::derive_all(settings, job, talk).await?;
    let short = match counts.days().first() {
        Some(from) => shortfalls(&open::engine(job).await?, *from).await?,
        None => Vec::new(),
    };
    Ok(Held { counts, derived, short, needs_look: false })
}

impl Held {
    /// For machines.
    pub(super) fn json(&self) -> Value {
        let counted = self.counts.totals().into_iter();
        let counted = counted.map(|(source, (hours, requests))| {
            json!({"source": source, "hours": hours, "requests": i64::try_from(requests).unwrap_or(i64::MAX)})
        });
        let short = self.short.iter().map(|s| {
            json!({"source": s.source, "hour": s.hour.to_string(), "expected": s.expected, "found": s.found,
                "missing": s.expected - s.found})
        });
        json!({"counted": counted.collect::<Vec<_>>(), "short": short.collect::<Vec<_>>(), "derived": self.derived.json()})
    }

    fn text(&self) -> String {
        let mut counted = Grid::new(&["source", ">hours", ">requests"]);
        for (source, (hours, requests)) in self.counts.totals() {
            counted.row([source.to_owned(), count(hours), count(requests)]);
        }
        let built = run::built_text(&UnionReport::default(), &self.derived, self.derived.changed());
        let short = match self.short.is_empty() {
            true => "\nNo hour has fewer requests than were counted.\n".to_owned(),
            false => {
                let mut grid = Grid::new(&["source", "hour", ">expected", ">found", ">missing"]);
                for s in &self.short {
                    let numbers = [s.expected, s.found, s.expected - s.found].map(count);
                    grid.row([s.source.clone(), s.hour.to_string()].into_iter().chain(numbers));
                }
                format!("\nFewer requests than were counted\n{grid}")
            }
        };
        format!("Counted\n{counted}{built}{short}")
    }
}
