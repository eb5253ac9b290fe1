//! `doctor`: what logs are, which settings read them, and what would hurt a bill made from them; told to a person, or as
//! JSON. It needs no configuration; with one it also says what the configured sources make of the same objects. Exit
//! codes: 0 fine; 1 something would hurt a bill; 2 nothing was recognised.

mod block;
mod configured;
mod text;

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::billing::is_hashed;
use crate::decode::doctor::{Container, Diagnosis, Finding, Level, Log, Specimen, Tally, diagnose};
use crate::job::doctor::{Bounds, Sample, gather};

use super::args::DoctorArgs;
use super::settings::Settings;
use super::world::World;
use super::{Outcome, Talk, open, print_json, print_text};
use configured::Configured;

/// The configuration that is looked at where none is named.
const USUAL_CONFIG: &str = "meterlake.toml";

/// All that is told.
struct Report {
    samples: Vec<Sample>,
    specimens: Vec<Specimen>,
    diagnosis: Diagnosis,
    configured: Option<Configured>,
}

/// Looks at samples of logs.
pub(crate) async fn doctor(
    config: &Path,
    args: &DoctorArgs,
    json: bool,
    world: &World,
    talk: &Talk,
) -> Result<Outcome> {
    let settings = settings(config, world, talk)?;
    let buckets = world.buckets_of(args.samples.iter().map(String::as_str)).await;
    let bounds = Bounds { objects_max: args.objects as usize, object_bytes_max: u64::from(args.mib) << 20 };
    let (samples, specimens) = gather(&args.samples, buckets.as_ref(), bounds, &talk.bar).await?;
    let diagnosis = diagnose(&specimens);
    let configured = match &settings {
        Some(settings) => Some(Configured::of(settings, &samples, &specimens)?),
        None => None,
    };
    let report = Report { samples, specimens, diagnosis, configured };
    match json {
        true => print_json(&report.json())?,
        false => print_text(&report.text())?,
    }
    Ok(report.outcome())
}

/// The configuration, where one is named or lies here; one that merely lies here may be wrong.
fn settings(config: &Path, world: &World, talk: &Talk) -> Result<Option<Settings>> {
    if config != Path::new(USUAL_CONFIG) {
        return open::settings(config, world).map(Some);
    }
    if !config.exists() {
        return Ok(None);
    }
    match open::settings(config, world) {
        Ok(settings) => Ok(Some(settings)),
        Err(error) => {
            talk.say(format!("{USUAL_CONFIG} is left out of this: {error:#}\n"));
            Ok(None)
        }
    }
}

impl Report {
    fn outcome(&self) -> Outcome {
        let strange = self.diagnosis.strangers.iter().any(|stranger| !stranger.is_empty);
        let harm = |log: &Log| log.findings.iter().any(|finding| finding.level == Level::Harm);
        match () {
            () if self.diagnosis.logs.is_empty() => Outcome::Unusable,
            () if strange || self.diagnosis.logs.iter().any(harm) => Outcome::NeedsLook,
            () => Outcome::Done,
        }
    }

    /// The folder or prefix that all objects of a log lie in, as it was given.
    fn location(&self, log: &Log) -> &str {
        let mut first = 0;
        for sample in &self.samples {
            let end = first + sample.addresses.len();
            if log.objects.first().is_some_and(|object| (first..end).contains(object)) {
                return &sample.location;
            }
            first = end;
        }
        ""
    }

    fn block(&self, log: &Log) -> Option<String> {
        let spec = &log.proposal.spec;
        log.proposal.refused.is_none().then(|| block::block(spec, log.kind.name(), self.location(log)))
    }

    fn json(&self) -> Value {
        let samples = self.samples.iter().map(|sample| {
            json!({
                "sample": sample.name, "objects": sample.found, "has_more": sample.has_more, "bytes": sample.bytes,
                "looked_at": sample.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        });
        let strangers = self.diagnosis.strangers.iter().map(|stranger| {
            json!({
                "object": self.specimens[stranger.object].name, "what": stranger.what, "detail": stranger.detail,
                "is_empty": stranger.is_empty,
            })
        });
        json!({
            "samples": samples.collect::<Vec<_>>(),
            "logs": self.diagnosis.logs.iter().map(|log| self.json_of_log(log)).collect::<Vec<_>>(),
            "not_recognised": strangers.collect::<Vec<_>>(),
            "configured": self.configured.as_ref().map(Configured::json),
        })
    }

    fn json_of_log(&self, log: &Log) -> Value {
        let of = |level: Level| {
            let findings = log.findings.iter().filter(|finding| finding.level == level);
            findings.map(|Finding { code, text, .. }| json!({"code": code, "text": text})).collect::<Vec<_>>()
        };
        let Container {
            packings,
            documents,
            envelopes,
            control,
            failed,
            run_together,
            broken,
            lambda_lines,
            is_parquet,
        } = &log.container;
        let objects = log.objects.iter().map(|&object| self.specimens[object].name.as_str());
        json!({
            "kind": log.kind.name(),
            "what": log.what,
            "objects": objects.collect::<Vec<_>>(),
            "container": {
                "packings": packings, "documents": documents, "envelopes": envelopes, "control": control,
                "firehose_errors": failed, "run_together": run_together, "broken": broken, "lambda_lines": lambda_lines,
                "is_parquet": is_parquet,
            },
            "fields": log.fields,
            "left_out": log.left_out,
            "tally": log.tally.as_ref().map(json_of_tally),
            "warnings": of(Level::Harm),
            "notes": of(Level::Note),
            "unknown": of(Level::Unknown),
            "proposal": {
                "toml": self.block(log), "refused": log.proposal.refused, "fields_to_add": log.proposal.added,
                "needs_key_secret": is_hashed(&log.proposal.spec.key),
            },
        })
    }
}

fn json_of_tally(tally: &Tally) -> Value {
    let rejects = tally.rejects.iter().map(|rejected| {
        json!({
            "reason": rejected.reason, "detail": rejected.detail, "records": rejected.records,
            "first_object": rejected.object, "first_position": rejected.position,
        })
    });
    let unread = tally.unread.iter().map(|(object, error)| json!({"object": object, "problem": error.to_string()}));
    json!({
        "records": tally.counts.records, "events": tally.counts.events, "rejects": tally.counts.rejects,
        "control": tally.counts.control, "rejects_by_reason": rejects.collect::<Vec<_>>(),
        "duplicates": tally.duplicates, "conflicts": tally.conflicts, "with_key": tally.with_key,
        "key_truncated": tally.key_truncated, "keys": tally.keys,
        "first": tally.first.map(|at| at.to_string()), "last": tally.last.map(|at| at.to_string()),
        "disordered": tally.disordered, "disorder_max_us": tally.disorder_max,
        "unread": unread.collect::<Vec<_>>(),
    })
}
