//! What a bucket tells whom of its objects. In go the bucket's configuration and the prefixes that a queue shall be told of;
//! out comes who is told now, or a configuration with the missing rules beside those that are there. Rules that are there are
//! never changed. S3 takes two rules for one event only where their keys cannot meet, so a rule in the way is refused by name.

use std::fmt;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::types::{
    BucketVersioningStatus, Event, FilterRule, FilterRuleName, NotificationConfiguration,
    NotificationConfigurationFilter, QueueConfiguration, S3KeyFilter,
};

use super::{Aws, AwsError};
use crate::base::with_causes;
use crate::source::{form_decoded, form_encoded};

const SERVICE: &str = "S3";
/// What S3 calls any way in which an object comes into being, and the ways one by one.
const CREATED: &str = "s3:ObjectCreated:*";
const CREATED_BY: [&str; 4] = [
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
];

/// Reads and writes what buckets tell.
#[derive(Debug)]
pub struct Notifications {
    client: Client,
}

/// What one bucket tells.
#[derive(Clone, PartialEq, Debug)]
pub struct BucketNotifications {
    /// Whether the version that an event names can be read later.
    pub versions: Versions,
    config: NotificationConfiguration,
}

/// Whether a bucket keeps the versions of its objects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Versions {
    /// Each stays readable until it expires.
    Kept,
    /// A key that is written again has its last one only.
    NotKept,
    /// S3 does not say; why.
    Unknown(String),
}

/// A prefix that a queue shall be told of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The source whose objects they are.
    pub source: String,
    /// What their keys begin with.
    pub prefix: String,
}

/// Who is told of new objects below a prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// The queue, by the rule of this id.
    Queue(String),
    /// EventBridge; whether one of its rules leads to the queue is not seen in the bucket.
    EventBridge,
    /// Not the queue.
    Nobody,
}

/// A rule that is in the way of a wanted one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{rule} and the new rule for {}: {why}", shown(.prefix))]
pub struct InTheWay {
    /// The rule, as a person finds it.
    rule: String,
    /// The wanted prefix.
    prefix: String,
    why: &'static str,
}

/// A rule of any target.
struct Rule<'c> {
    id: &'c str,
    target: &'c str,
    events: &'c [Event],
    prefix: String,
    suffix: String,
}

impl Aws {
    /// What buckets tell; `endpoint` is another address of S3 than AWS's own.
    pub fn notifications(&self, endpoint: Option<String>) -> Notifications {
        let endpoint = endpoint.or_else(|| self.config().endpoint_url().map(str::to_owned));
        // Other addresses than AWS's rarely have a host name for each bucket.
        let mut config = Builder::from(self.config()).force_path_style(endpoint.is_some());
        config.set_endpoint_url(endpoint);
        Notifications { client: Client::from_conf(config.build()) }
    }
}

impl Notifications {
    /// What a bucket tells.
    pub async fn of(&self, bucket: &str) -> Result<BucketNotifications, AwsError> {
        let action = || format!("read the notifications of {bucket}");
        let found = self.client.get_bucket_notification_configuration().bucket(bucket).send().await;
        let found = found.map_err(|source| AwsError::of(SERVICE, action(), source))?;
        let config = NotificationConfiguration::builder()
            .set_topic_configurations(found.topic_configurations)
            .set_queue_configurations(found.queue_configurations)
            .set_lambda_function_configurations(found.lambda_function_configurations)
            .set_event_bridge_configuration(found.event_bridge_configuration)
            .build();
        let versions = match self.client.get_bucket_versioning().bucket(bucket).send().await {
            Ok(found) if found.status == Some(BucketVersioningStatus::Enabled) => Versions::Kept,
            Ok(_) => Versions::NotKept,
            // Whoever may not ask this may still look after the notifications.
            Err(error) => Versions::Unknown(with_causes(&error)),
        };
        Ok(BucketNotifications { versions, config })
    }

    /// Makes this what a bucket tells.
    pub async fn set(&self, bucket: &str, told: &BucketNotifications) -> Result<(), AwsError> {
        let call = self.client.put_bucket_notification_configuration().bucket(bucket);
        let done = call.notification_configuration(told.config.clone()).send().await;
        let action = || format!("set the notifications of {bucket}; the queue's policy must let s3.amazonaws.com send");
        done.map_err(|source| AwsError::of(SERVICE, action(), source)).map(drop)
    }
}

impl BucketNotifications {
    /// Who is told of new objects below a prefix.
    pub fn told(&self, prefix: &str, queue: &str) -> Told {
        let covers = |rule: &Rule<'_>| {
            rule.target == queue
                && rule.suffix.is_empty()
                && prefix.starts_with(&rule.prefix)
                && rule.tells_every_creation()
        };
        match self.rules().find(covers) {
            Some(rule) => Told::Queue(rule.id.to_owned()),
            None if self.config.event_bridge_configuration.is_some() => Told::EventBridge,
            None => Told::Nobody,
        }
    }

    /// The same with the queue told of all wanted prefixes, and the rules that this adds; or what is in the way.
    pub fn with(&self, wanted: &[Wanted], queue: &str) -> Result<(Self, Vec<Wanted>), Vec<InTheWay>> {
        let mut missing: Vec<&Wanted> =
            wanted.iter().filter(|w| !matches!(self.told(&w.prefix, queue), Told::Queue(_))).collect();
        // The shortest first: of prefixes within each other it covers the others.
        missing.sort_by_key(|wanted| (wanted.prefix.len(), &wanted.prefix, &wanted.source));
        let mut added: Vec<Wanted> = Vec::new();
        let mut in_the_way = Vec::new();
        for wanted in missing {
            if added.iter().any(|other| wanted.prefix.starts_with(&other.prefix)) {
                continue;
            }
            in_the_way.extend(self.rules().filter_map(|rule| rule.in_the_way_of(wanted)));
            added.push(wanted.clone());
        }
        if !in_the_way.is_empty() {
            return Err(in_the_way);
        }
        let mut with = self.clone();
        let queues = with.config.queue_configurations.get_or_insert_default();
        for wanted in &added {
            let filter = (!wanted.prefix.is_empty()).then(|| {
                let rule =
                    FilterRule::builder().name(FilterRuleName::Prefix).value(form_encoded(&wanted.prefix)).build();
                let key = S3KeyFilter::builder().filter_rules(rule).build();
                NotificationConfigurationFilter::builder().key(key).build()
            });
            let rule = QueueConfiguration::builder().id(id_for(wanted)).queue_arn(queue);
            // All that must be there is given, so nothing can be missing.
            queues.extend(rule.events(Event::from(CREATED)).set_filter(filter).build().ok());
        }
        Ok((with, added))
    }

    fn rules(&self) -> impl Iterator<Item = Rule<'_>> {
        let queues = self.config.queue_configurations().iter();
        let queues = queues.map(|c| Rule::new(c.id(), c.queue_arn(), c.events(), c.filter()));
        let topics = self.config.topic_configurations().iter();
        let topics = topics.map(|c| Rule::new(c.id(), c.topic_arn(), c.events(), c.filter()));
        let functions = self.config.lambda_function_configurations().iter();
        let functions = functions.map(|c| Rule::new(c.id(), c.lambda_function_arn(), c.events(), c.filter()));
        queues.chain(topics).chain(functions)
    }
}

impl<'c> Rule<'c> {
    fn new(
        id: Option<&'c str>,
        target: &'c str,
        events: &'c [Event],
        filter: Option<&NotificationConfigurationFilter>,
    ) -> Self {
        let rules = filter.and_then(|filter| filter.key()).map_or(&[][..], S3KeyFilter::filter_rules);
        // S3 gives the names back with a capital or without, and the values as they were given.
        let value = |name: &str| {
            let is_it = |rule: &&FilterRule| rule.name().is_some_and(|n| n.as_str().eq_ignore_ascii_case(name));
            let text = rules.iter().find(is_it).and_then(FilterRule::value).unwrap_or_default();
            form_decoded(text).unwrap_or_else(|| text.to_owned())
        };
        Self { id: id.unwrap_or("without a name"), target, events, prefix: value("prefix"), suffix: value("suffix") }
    }

    fn tells_every_creation(&self) -> bool {
        let tells = |name: &str| self.events.iter().any(|event| event.as_str() == name);
        tells(CREATED) || CREATED_BY.into_iter().all(tells)
    }

    fn in_the_way_of(&self, wanted: &Wanted) -> Option<InTheWay> {
        let tells_creation = self.events.iter().any(|event| event.as_str().starts_with("s3:ObjectCreated:"));
        let meets = self.prefix.starts_with(&wanted.prefix) || wanted.prefix.starts_with(&self.prefix);
        let why = if tells_creation && meets {
            "their keys meet, and S3 tells one target of an event; take the rule away, or let the bucket tell EventBridge"
        } else if self.id == id_for(wanted) {
            "they have one name; take the rule away"
        } else {
            return None;
        };
        Some(InTheWay { rule: self.to_string(), prefix: wanted.prefix.clone(), why })
    }
}

impl fmt::Display for Rule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the rule `{}` ({}", self.id, shown(&self.prefix))?;
        if !self.suffix.is_empty() {
            write!(f, "*{}", self.suffix)?;
        }
        write!(f, " to {})", self.target)
    }
}

/// The name of the rule for a source: the same each time.
pub(crate) fn id_for(wanted: &Wanted) -> String {
    format!("meterlake-{}", wanted.source)
}

fn shown(prefix: &str) -> &str {
    if prefix.is_empty() { "all keys" } else { prefix }
}

#[cfg(test)]
#[path = "notifications_tests.rs"]
mod tests;
