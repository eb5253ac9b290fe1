//! On Lambda: the process answers events instead of reading arguments. Notifications of S3, however they come, convert the
//! objects they name; of a batch of SQS those messages come back that failed. An event of a schedule builds the tables, holds
//! them against CloudWatch's counts (`{"meterlake": "counts"}`), or deletes what nothing needs any more (`{"meterlake": "vacuum"}`).
//! What is said and measured goes to the log as JSON.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::aws::lambda::serve;
use crate::job::Job;
use crate::job::notified::NotifiedReport;
use crate::job::worker::convert_message;

use super::metrics::Metrics;
use super::open::Opened;
use super::worker::come_back;
use super::world::World;
use super::{Talk, counts, glue, maintain, open, publish, report, run, watch};

/// The variable with the place of the configuration: a file of the package, or `s3://bucket/key`.
const CONFIG: &str = "METERLAKE_CONFIG";

/// Whether the process was started by Lambda.
pub(super) fn is_here() -> bool {
    std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some()
}

/// Answers events until Lambda ends the process.
pub(super) async fn answer_events(talk: Talk) -> Result<()> {
    let config = PathBuf::from(std::env::var_os(CONFIG).unwrap_or_else(|| "meterlake.toml".into()));
    let function = Function { config, world: World::default(), talk, open: Mutex::new(None) };
    Ok(serve(async |event| function.answer(event).await).await?)
}

struct Function {
    config: PathBuf,
    world: World,
    talk: Talk,
    open: Mutex<Option<Opened>>,
}

impl Function {
    /// Answers an event, and says in the log how that went.
    async fn answer(&self, event: Value) -> Result<Value> {
        let began = Instant::now();
        let kind = Kind::of(&event);
        let answered = self.work(&kind, &event).await;
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut fields = vec![("event", json!(kind.name())), ("took_ms", json!(took))];
        match &answered {
            Ok(answer) => {
                fields.push(("answer", answer.clone()));
                self.talk.tell("INFO", "answered", &fields);
            }
            Err(error) => {
                fields.extend(report::hint_of(error.as_ref()).map(|hint| ("hint", json!(hint))));
                self.talk.tell("ERROR", &format!("{error:#}"), &fields);
            }
        }
        answered
    }

    async fn work(&self, kind: &Kind, event: &Value) -> Result<Value> {
        let mut kept = self.open.lock().await;
        if matches!(kind, Kind::Build | Kind::Counts | Kind::Vacuum) || kept.as_ref().is_none_or(Opened::is_old) {
            *kept = Some(Opened::new(&self.config, &self.world, &self.talk).await?);
        }
        let Opened { settings, job, .. } = kept.as_mut().context("the configuration was not kept")?;
        job.now = open::now()?;
        match kind {
            Kind::Build => {
                let began = Instant::now();
                let (built, derived) = run::build_all(settings, job, &self.talk).await?;
                self.talk.measure(&Metrics::built(&built, began.elapsed()));
                watch::after_build(settings, job, &self.talk).await;
                let mut answer = run::built_json(&built, &derived);
                if let Some(glue) = glue::keep(settings, job, &self.world, &self.talk).await {
                    answer["glue"] = glue;
                }
                // Failing here tells the alarms; what is built stays.
                publish::after_build(settings, job, &self.world, &self.talk).await?;
                Ok(answer)
            }
            Kind::Counts => {
                let held = counts::fetch(settings, job, &self.world, counts::DAYS, &self.talk).await?;
                let counted = settings.sources.iter().filter(|source| !source.counted.is_empty());
                let metrics = counted.map(|source| Metrics::counted(&source.spec.name, &held.short));
                self.talk.measure(&metrics.collect::<Vec<_>>());
                Ok(held.json())
            }
            Kind::Vacuum => {
                let vacuumed = maintain::delete_unneeded(settings, job, maintain::KEEP_DAYS, false).await?;
                Ok(json!({"files": vacuumed.paths.len(), "bytes": vacuumed.bytes}))
            }
            Kind::Queue(messages) => Ok(self.batch(job, messages).await),
            Kind::Notification => {
                let (report, other) = convert_message(job, &event.to_string()).await?;
                self.measure(&report);
                Ok(json!({"converted": report.converted, "records": report.records, "rejects": report.rejects,
                    "ignored": report.foreign + other}))
            }
        }
    }

    /// Messages of SQS; those that fail come back, the others do not.
    async fn batch(&self, job: &Job, messages: &[(String, String)]) -> Value {
        let mut all = NotifiedReport::default();
        let mut failures = Vec::new();
        for (id, body) in messages {
            match convert_message(job, body).await {
                Ok((report, _)) => all.absorb(report),
                Err(error) => {
                    self.talk.warn_of([come_back(id, &error)]);
                    failures.push(json!({"itemIdentifier": id}));
                }
            }
        }
        self.measure(&all);
        json!({"batchItemFailures": failures})
    }

    fn measure(&self, report: &NotifiedReport) {
        let metrics = report.sources.iter().map(|(name, source)| Metrics::converted(name, source));
        self.talk.measure(&metrics.collect::<Vec<_>>());
    }
}

/// What an event asks for.
enum Kind {
    /// To build the tables.
    Build,
    /// To hold the hours against CloudWatch's counts.
    Counts,
    /// To delete what nothing needs any more.
    Vacuum,
    /// To convert what messages of SQS name, each with its id and body.
    Queue(Vec<(String, String)>),
    /// To convert what a notification names.
    Notification,
}

impl Kind {
    fn of(event: &Value) -> Self {
        // A schedule's own event, or one that a schedule or a person is given to send.
        match event.get("meterlake").and_then(Value::as_str) {
            Some("build") => return Self::Build,
            Some("counts") => return Self::Counts,
            Some("vacuum") => return Self::Vacuum,
            _ if event.get("detail-type").and_then(Value::as_str) == Some("Scheduled Event") => return Self::Build,
            _ => {}
        }
        messages(event).map_or(Self::Notification, Self::Queue)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Counts => "counts",
            Self::Vacuum => "vacuum",
            Self::Queue(_) => "queue",
            Self::Notification => "notification",
        }
    }
}

/// Id and body of each message, where the event is a batch of SQS.
fn messages(event: &Value) -> Option<Vec<(String, String)>> {
    let records = event.get("Records")?.as_array()?;
    let text = |record: &Value, key: &str| record.get(key).and_then(Value::as_str).map(str::to_owned);
    records.iter().map(|record| Some((text(record, "messageId")?, text(record, "body")?))).collect()
}
