//! On Lambda: the process answers events instead of reading arguments. Notifications of S3, however they come, convert the
//! objects they name; of a batch of SQS those messages come back that failed. An event of a schedule builds the tables.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::aws::lambda::serve;
use crate::base::with_causes;
use crate::job::Job;
use crate::job::worker::convert_message;

use super::open::Opened;
use super::world::World;
use super::{Talk, glue, open, publish, run};

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
    async fn answer(&self, event: Value) -> Result<Value> {
        let mut kept = self.open.lock().await;
        if is_build(&event) || kept.as_ref().is_none_or(Opened::is_old) {
            *kept = Some(Opened::new(&self.config, &self.world, &self.talk).await?);
        }
        let Opened { settings, job, .. } = kept.as_mut().context("the configuration was not kept")?;
        job.now = open::now()?;
        if is_build(&event) {
            let (built, derived) = run::build_all(settings, job, &self.talk).await?;
            let mut answer = run::built_json(&built, &derived);
            if let Some(glue) = glue::keep(settings, job, &self.world, &self.talk).await {
                answer["glue"] = glue;
            }
            // Failing here tells the alarms; what is built stays.
            publish::after_build(settings, job, &self.world, &self.talk).await?;
            return Ok(answer);
        }
        match messages(&event) {
            Some(messages) => Ok(self.batch(job, &messages).await),
            None => {
                let (report, other) = convert_message(job, &event.to_string()).await?;
                Ok(json!({"converted": report.converted, "records": report.records, "rejects": report.rejects,
                    "ignored": report.foreign + other}))
            }
        }
    }

    /// Messages of SQS; those that fail come back, the others do not.
    async fn batch(&self, job: &Job, messages: &[(String, String)]) -> Value {
        let mut failures = Vec::new();
        for (id, body) in messages {
            if let Err(error) = convert_message(job, body).await {
                self.talk.warn(format!("message {id} comes back: {}", with_causes(&error)));
                failures.push(json!({"itemIdentifier": id}));
            }
        }
        json!({"batchItemFailures": failures})
    }
}

/// An event of a schedule, old kind or new, or one that somebody sends by hand.
fn is_build(event: &Value) -> bool {
    event.get("detail-type").and_then(Value::as_str) == Some("Scheduled Event")
        || event.get("source").and_then(Value::as_str) == Some("aws.scheduler")
        || event.get("meterlake").and_then(Value::as_str) == Some("build")
}

/// Id and body of each message, where the event is a batch of SQS.
fn messages(event: &Value) -> Option<Vec<(String, String)>> {
    let records = event.get("Records")?.as_array()?;
    let text = |record: &Value, key: &str| record.get(key).and_then(Value::as_str).map(str::to_owned);
    records.iter().map(|record| Some((text(record, "messageId")?, text(record, "body")?))).collect()
}
