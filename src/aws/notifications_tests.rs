//! Merging notifications: what is there stays as it is, what is missing comes beside it, what is in the way is named.

use aws_sdk_s3::types::{EventBridgeConfiguration, LambdaFunctionConfiguration, TopicConfiguration};

use super::*;

const QUEUE: &str = "arn:aws:sqs:us-east-1:111122223333:landed";
const OTHER: &str = "arn:aws:sqs:us-east-1:111122223333:other";

fn bucket(config: NotificationConfiguration) -> BucketNotifications {
    BucketNotifications { versions: Versions::Kept, config }
}

fn filter(prefix: &str, suffix: &str) -> NotificationConfigurationFilter {
    let rule = |name: &str, value: &str| FilterRule::builder().name(FilterRuleName::from(name)).value(value).build();
    // As S3 gives them back.
    let both = [("Prefix", prefix), ("Suffix", suffix)].into_iter().filter(|(_, value)| !value.is_empty());
    let rules = both.map(|(name, value)| rule(name, value)).collect();
    let key = S3KeyFilter::builder().set_filter_rules(Some(rules)).build();
    NotificationConfigurationFilter::builder().key(key).build()
}

fn to_queue(id: &str, queue: &str, events: &[&str], prefix: &str, suffix: &str) -> QueueConfiguration {
    let events = events.iter().map(|event| Event::from(*event)).collect();
    let rule = QueueConfiguration::builder().id(id).queue_arn(queue).set_events(Some(events));
    rule.filter(filter(prefix, suffix)).build().unwrap()
}

/// A bucket that already tells a queue, a topic and a function of other things.
fn used() -> BucketNotifications {
    let function = LambdaFunctionConfiguration::builder().id("thumbs").lambda_function_arn("arn:aws:lambda:f");
    let function = function.events(Event::from(CREATED)).filter(filter("images/", ".png")).build().unwrap();
    let topic = TopicConfiguration::builder().id("gone").topic_arn("arn:aws:sns:t");
    let topic = topic.events(Event::from("s3:ObjectRemoved:*")).build().unwrap();
    let config = NotificationConfiguration::builder()
        .queue_configurations(to_queue("audit", OTHER, &[CREATED], "audit/", ""))
        .topic_configurations(topic)
        .lambda_function_configurations(function)
        .build();
    bucket(config)
}

fn wanted(prefixes: &[&str]) -> Vec<Wanted> {
    let named =
        |prefix: &&str| Wanted { source: prefix.trim_matches('/').replace('/', "-"), prefix: (*prefix).to_owned() };
    prefixes.iter().map(named).collect()
}

fn refusals(bucket: &BucketNotifications, prefixes: &[&str]) -> Vec<String> {
    bucket.with(&wanted(prefixes), QUEUE).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn missing_rules_come_beside_those_that_are_there_once() {
    let before = used();
    let wanted = wanted(&["cloudfront/", "apigateway/"]);
    let (after, added) = before.with(&wanted, QUEUE).unwrap();
    assert_eq!(added.len(), 2);
    assert_eq!(after.config.queue_configurations().len(), 3);
    assert_eq!(after.config.queue_configurations()[0], before.config.queue_configurations()[0]);
    assert_eq!(after.config.topic_configurations(), before.config.topic_configurations());
    assert_eq!(after.config.lambda_function_configurations(), before.config.lambda_function_configurations());
    assert_eq!(after.told("cloudfront/", QUEUE), Told::Queue("meterlake-cloudfront".to_owned()));
    assert_eq!(after.told("cloudfront/", OTHER), Told::Nobody);
    let (again, added) = after.with(&wanted, QUEUE).unwrap();
    assert!(again == after && added.is_empty());
}

#[test]
fn of_prefixes_within_each_other_the_outer_one_is_enough() {
    let (after, added) = bucket(NotificationConfiguration::builder().build())
        .with(&wanted(&["logs/edge/", "logs/", "logs/origin/"]), QUEUE)
        .unwrap();
    assert_eq!(added, wanted(&["logs/"]));
    assert_eq!(after.told("logs/edge/", QUEUE), Told::Queue("meterlake-logs".to_owned()));
    // Not a folder's boundary, but what S3 compares.
    assert_eq!(after.told("logs-old/", QUEUE), Told::Nobody);
}

#[test]
fn a_rule_in_the_way_is_named_and_nothing_is_changed() {
    assert_eq!(
        refusals(&used(), &["audit/api/"]),
        [format!(
            "the rule `audit` (audit/ to {OTHER}) and the new rule for audit/api/: their keys meet, and S3 tells one target of \
          an event; take the rule away, or let the bucket tell EventBridge"
        )]
    );
    // The whole bucket meets both rules of new objects, with a suffix or without, and not the one of removed ones.
    let all = refusals(&used(), &[""]);
    assert!(
        all.len() == 2 && all[1].contains("`thumbs` (images/*.png to arn:aws:lambda:f) and the new rule for all keys"),
        "{all:?}"
    );
    // The queue itself, but of some keys only.
    for rule in [
        to_queue("some", QUEUE, &[CREATED], "logs/", ".gz"),
        to_queue("some", QUEUE, &["s3:ObjectCreated:Put"], "", ""),
    ] {
        let some = bucket(NotificationConfiguration::builder().queue_configurations(rule).build());
        assert_eq!(some.told("logs/", QUEUE), Told::Nobody);
        assert_eq!(refusals(&some, &["logs/"]).len(), 1);
    }
    let named = to_queue("meterlake-logs", OTHER, &[CREATED], "else/", "");
    let named = bucket(NotificationConfiguration::builder().queue_configurations(named).build());
    assert!(refusals(&named, &["logs/"])[0].ends_with("they have one name; take the rule away"));
}

#[test]
fn prefixes_are_compared_as_keys_and_written_as_s3_wants_them() {
    let (after, _) = used().with(&wanted(&["logs/day=1 a+b/"]), QUEUE).unwrap();
    let rule = &after.config.queue_configurations()[1];
    let value = rule.filter().unwrap().key().unwrap().filter_rules()[0].value();
    assert_eq!(value, Some("logs/day%3D1+a%2Bb/"));
    assert!(matches!(after.told("logs/day=1 a+b/", QUEUE), Told::Queue(_)));
}

#[test]
fn the_four_kinds_of_creation_are_as_good_as_all_and_event_bridge_is_told_of_everything() {
    let four = to_queue("four", QUEUE, &CREATED_BY, "", "");
    let four = bucket(NotificationConfiguration::builder().queue_configurations(four).build());
    assert_eq!(four.told("logs/", QUEUE), Told::Queue("four".to_owned()));
    let bridged = NotificationConfiguration::builder();
    let bridged = bucket(bridged.event_bridge_configuration(EventBridgeConfiguration::builder().build()).build());
    assert_eq!(bridged.told("logs/", QUEUE), Told::EventBridge);
    // Who asks for the rule gets it all the same, and EventBridge stays.
    let (after, added) = bridged.with(&wanted(&["logs/"]), QUEUE).unwrap();
    assert!(added.len() == 1 && after.config.event_bridge_configuration().is_some());
}
