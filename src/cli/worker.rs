//! `meterlake worker`: takes notifications from a queue, converts the objects they name, and builds the tables every so often.
//! Any number may run on one queue and one lake. Asked to stop, a worker finishes what it has taken, builds, and ends.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::job::Job;
use crate::job::worker::{WorkReport, work_off};
use crate::source::Queue;

use super::args::WorkerArgs;
use super::grid::count;
use super::settings::Settings;
use super::world::World;
use super::{Outcome, Talk, open, run};

/// How long a configuration is used before it is read again: a new customer is an upload.
const CONFIG_AGE_MAX: Duration = Duration::from_secs(60);
/// The pause after the queue could not be reached.
const PAUSE: Duration = Duration::from_secs(5);

/// Works until it is told to stop, or until the queue is empty where that is asked for.
pub(super) async fn worker(config: &Path, args: &WorkerArgs, world: &World, talk: &Talk) -> Result<Outcome> {
    let mut stop = Stop::new()?;
    let mut open = Open::new(config, world, talk).await?;
    let queue = world.aws().await.queue(&args.queue, open.job.parallel.saturating_mul(2));
    let every = Duration::from_secs(args.build_every.saturating_mul(60));
    let mut built_at = Instant::now();
    let (mut outcome, mut is_behind) = (Outcome::Done, true);
    talk.say(format!("working off {}", args.queue));
    loop {
        let taken = tokio::select! {
            taken = queue.receive() => Some(taken),
            () = stop.asked() => None,
        };
        let is_last = match taken {
            Some(Ok(messages)) => {
                if open.since.elapsed() > CONFIG_AGE_MAX {
                    open = Open::new(config, world, talk).await?;
                }
                open.job.now = open::now()?;
                let is_empty = messages.is_empty();
                if !is_empty {
                    let report = work_off(&open.job, &queue, &messages).await;
                    is_behind |= report.converted > 0;
                    if tell(&report, talk) {
                        outcome = Outcome::NeedsLook;
                    }
                }
                args.until_empty && is_empty
            }
            Some(Err(error)) => {
                talk.warn(format!("{:#}; trying again", anyhow::Error::from(error)));
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => false,
                    () = stop.asked() => true,
                }
            }
            None => true,
        };
        if is_behind && (is_last || built_at.elapsed() >= every) {
            open = Open::new(config, world, talk).await?;
            let (built, derived) = run::build_all(&open.settings, &open.job, talk).await?;
            talk.say(format!(
                "built: {} objects applied, tables {}",
                count(built.receipts),
                changed(derived.changed())
            ));
            (built_at, is_behind) = (Instant::now(), false);
        }
        if is_last {
            return Ok(outcome);
        }
    }
}

fn changed(changed: bool) -> &'static str {
    if changed { "changed" } else { "are as they were" }
}

/// Says what became of some messages; true where one will come back.
fn tell(report: &WorkReport, talk: &Talk) -> bool {
    if report.done > 0 {
        let [done, converted, records, rejects, ignored] =
            [report.done, report.converted, report.records, report.rejects, report.ignored].map(count);
        talk.say(format!(
            "{done} messages: {converted} objects, {records} records, {rejects} rejects; {ignored} of other things"
        ));
    }
    for (id, error) in &report.failed {
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            // Some errors tell their cause themselves.
            let told = error.to_string();
            if !reason.contains(&told) {
                reason.push_str(&format!(": {told}"));
            }
            cause = error.source();
        }
        talk.warn(format!("message {id} comes back: {reason}"));
    }
    !report.failed.is_empty()
}

/// What is worked with until the configuration is read again.
struct Open {
    settings: Settings,
    job: Job,
    since: Instant,
}

impl Open {
    async fn new(config: &Path, world: &World, talk: &Talk) -> Result<Self> {
        let settings = open::settings(config, world)?;
        let job = open::job(&settings, false, world, talk).await?;
        Ok(Self { settings, job, since: Instant::now() })
    }
}

/// SIGTERM, or the interrupt from a keyboard.
struct Stop {
    term: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> Result<Self> {
        let of = |kind| signal(kind).context("cannot be told to stop by signals");
        Ok(Self { term: of(SignalKind::terminate())?, interrupt: of(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
