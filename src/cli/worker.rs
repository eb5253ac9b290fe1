//! `meterlake worker`: takes notifications from a queue, converts the objects they name, and builds the tables every so often.
//! Any number may run on one queue and one lake. Asked to stop, a worker finishes what it has taken, builds, and ends.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::base::with_causes;
use crate::job::worker::{MessageError, WorkReport, work_off};
use crate::source::Queue;

use super::args::WorkerArgs;
use super::grid::count;
use super::metrics::Metrics;
use super::open::Opened;
use super::world::World;
use super::{Outcome, Talk, glue, open, publish, run, watch};

/// The pause after the queue could not be reached.
const PAUSE: Duration = Duration::from_secs(5);

/// Works until it is told to stop, or until the queue is empty where that is asked for.
pub(super) async fn worker(config: &Path, args: &WorkerArgs, world: &World, talk: &Talk) -> Result<Outcome> {
    let mut stop = Stop::new()?;
    let mut opened = Opened::new(config, world, talk).await?;
    let queue = world.aws().await.queue(&args.queue, opened.job.parallel.saturating_mul(2));
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
                if opened.is_old() {
                    opened = Opened::new(config, world, talk).await?;
                }
                opened.job.now = open::now()?;
                let is_empty = messages.is_empty();
                if !is_empty {
                    let report = work_off(&opened.job, &queue, &messages).await;
                    is_behind |= report.notified.converted > 0;
                    if tell(&report, talk) {
                        outcome = Outcome::NeedsLook;
                    }
                }
                args.until_empty && is_empty
            }
            Some(Err(error)) => {
                talk.warn_of([(format!("{}; trying again", with_causes(&error)), &error as _)]);
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => false,
                    () = stop.asked() => true,
                }
            }
            None => true,
        };
        if is_behind && (is_last || built_at.elapsed() >= every) {
            opened = Opened::new(config, world, talk).await?;
            let began = Instant::now();
            let (built, derived) = run::build_all(&opened.settings, &opened.job, talk).await?;
            talk.measure(&Metrics::built(&built, began.elapsed()));
            watch::after_build(&opened.settings, &opened.job, talk).await;
            talk.say(format!(
                "built: {} objects applied, tables {}",
                count(built.receipts),
                changed(derived.changed())
            ));
            glue::keep(&opened.settings, &opened.job, world, talk).await;
            if !publish::tried_after_build(&opened.settings, &opened.job, world, talk).await {
                outcome = Outcome::NeedsLook;
            }
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
        let found = &report.notified;
        let [done, converted, records, rejects, ignored] =
            [report.done, found.converted, found.records, found.rejects, report.ignored].map(count);
        talk.say(format!(
            "{done} messages: {converted} objects, {records} records, {rejects} rejects; {ignored} of other things"
        ));
    }
    talk.measure(&report.notified.sources.iter().map(|(name, s)| Metrics::converted(name, s)).collect::<Vec<_>>());
    talk.warn_of(report.failed.iter().map(|(id, error)| come_back(id, error)));
    !report.failed.is_empty()
}

/// What is said of a message that was not deleted.
pub(super) fn come_back<'e>(id: &str, error: &'e MessageError) -> (String, &'e (dyn Error + 'static)) {
    (format!("message {id} comes back: {}", with_causes(error)), error)
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
