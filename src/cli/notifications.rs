//! `notifications check` and `set`: whether each source's bucket tells the queue of new objects, and the rules that are missing.
//! Rules that are there are kept; one in the way is told by name, and then nothing is written. Exit code 1 where a source is
//! not told of, or its bucket keeps no versions.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::aws::{BucketNotifications, Told, Versions, Wanted, id_for};
use crate::source::Location;

use super::args::NotificationsCommand;
use super::grid::Grid;
use super::settings::{Outside as _, Settings};
use super::world::World;
use super::{Outcome, Talk, print_json, print_text};

/// The prefixes of sources by bucket.
type Buckets = BTreeMap<String, Vec<Wanted>>;

/// Checks, or sets and checks.
pub(super) async fn notifications(
    settings: &Settings,
    command: &NotificationsCommand,
    world: &World,
    json: bool,
    talk: &Talk,
) -> Result<Outcome> {
    let buckets = buckets(settings, talk)?;
    let aws = world.aws().await;
    let (NotificationsCommand::Check { queue } | NotificationsCommand::Set { queue, .. }) = command;
    let queue = match queue.starts_with("arn:") {
        true => queue.clone(),
        false => aws.queue_arn(queue).await?,
    };
    let s3 = aws.notifications(world.variable("AWS_ENDPOINT_URL_S3"));
    let mut told = BTreeMap::new();
    for bucket in buckets.keys() {
        told.insert(bucket.as_str(), s3.of(bucket).await?);
    }
    let mut planned = Vec::new();
    if let NotificationsCommand::Set { dry_run, .. } = command {
        planned = plan(&buckets, &told, &queue)?;
        for (bucket, _, added) in &planned {
            for wanted in added {
                talk.say(format!("{bucket}: new rule `{}` for {}* to {queue}", id_for(wanted), wanted.prefix));
            }
        }
        if planned.is_empty() {
            talk.say("nothing is missing");
        }
        if !dry_run {
            // S3 has no condition for this: what somebody else writes in the same moment is lost. So what is there
            // afterwards is read, and not taken for granted.
            for (bucket, wanted, _) in &planned {
                s3.set(bucket, wanted).await?;
                told.insert(bucket, s3.of(bucket).await?);
            }
        }
    }
    report(&buckets, &told, &queue, &planned, json, talk)
}

/// Where the sources lie, bucket by bucket.
fn buckets(settings: &Settings, talk: &Talk) -> Result<Buckets> {
    let mut buckets = Buckets::new();
    for source in &settings.sources {
        let name = &source.spec.name;
        match Location::parse(&source.location)? {
            Location::Folder(_) => talk.say(format!("{name}: lies in a folder, which tells nobody; `run` lists it")),
            Location::Bucket { bucket, prefix } => {
                let prefix = if prefix.is_empty() { prefix } else { format!("{prefix}/") };
                buckets.entry(bucket).or_default().push(Wanted { source: name.clone(), prefix });
            }
        }
    }
    if buckets.is_empty() {
        bail!("no source lies in a bucket");
    }
    Ok(buckets)
}

/// A bucket, what it shall tell, and the rules that are new in it.
type Planned<'b> = (&'b str, BucketNotifications, Vec<Wanted>);

/// The buckets that lack a rule. Everything in the way is told at once.
fn plan<'b>(buckets: &'b Buckets, told: &BTreeMap<&str, BucketNotifications>, queue: &str) -> Result<Vec<Planned<'b>>> {
    let (mut planned, mut refused) = (Vec::new(), Vec::new());
    for (bucket, wanted) in buckets {
        match told[bucket.as_str()].with(wanted, queue) {
            Ok((_, added)) if added.is_empty() => {}
            Ok((with, added)) => planned.push((bucket.as_str(), with, added)),
            Err(in_the_way) => refused.extend(in_the_way.iter().map(|rule| format!("  - {bucket}: {rule}"))),
        }
    }
    if !refused.is_empty() {
        bail!("nothing was changed, since S3 would refuse it:\n{}", refused.join("\n"));
    }
    Ok(planned)
}

fn report(
    buckets: &Buckets,
    told: &BTreeMap<&str, BucketNotifications>,
    queue: &str,
    planned: &[Planned<'_>],
    json: bool,
    talk: &Talk,
) -> Result<Outcome> {
    let (mut rows, mut grid) = (Vec::new(), Grid::new(&["source", "bucket", "prefix", "told", "versions"]));
    let mut outcome = Outcome::Done;
    for (bucket, wanted) in buckets {
        let bucket_told = &told[bucket.as_str()];
        for Wanted { source, prefix } in wanted {
            let (state, rule) = match bucket_told.told(prefix, queue) {
                Told::Queue(rule) => ("queue", Some(rule)),
                Told::EventBridge => ("eventbridge", None),
                Told::Nobody => ("nobody", None),
            };
            if state == "nobody" {
                outcome = Outcome::NeedsLook;
            }
            let (versions, keeps) = match bucket_told.versions {
                Versions::Kept => ("kept", Some(true)),
                Versions::NotKept => ("not kept", Some(false)),
                Versions::Unknown(_) => ("unknown", None),
            };
            let shown = rule.as_ref().map_or_else(|| state.to_owned(), |rule| format!("{state} ({rule})"));
            grid.row([source.clone(), bucket.clone(), prefix.clone(), shown, versions.to_owned()]);
            rows.push(json!({"source": source, "bucket": bucket, "prefix": prefix, "told": state, "rule": rule,
                "keeps_versions": keeps}));
        }
    }
    if json {
        let added = planned.iter().flat_map(|(bucket, _, added)| {
            added.iter().map(move |w| json!({"bucket": bucket, "prefix": w.prefix, "rule": id_for(w)}))
        });
        print_json(&json!({"queue": queue, "sources": rows, "planned": added.collect::<Vec<Value>>()}))?;
    } else {
        print_text(&grid.to_string())?;
    }
    for (bucket, told) in told {
        match &told.versions {
            Versions::Kept => continue,
            Versions::NotKept => talk.warn(format!(
                "{bucket} keeps no versions: where a key is written again, the version that an event named cannot be read any more"
            )),
            Versions::Unknown(why) => talk.warn(format!("{bucket}: whether it keeps versions cannot be told: {why}")),
        }
        outcome = Outcome::NeedsLook;
    }
    Ok(outcome)
}
