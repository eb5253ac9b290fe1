//! Metrics in CloudWatch's embedded format: a line of JSON on stdout, of which CloudWatch Logs makes metrics of the namespace
//! `meterlake`, by source where there is one. Values are whole numbers.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::base::Micros;
use crate::job::build::UnionReport;
use crate::job::counts::Shortfall;
use crate::job::notified::NotifiedSource;

use super::watch::Watched;

/// Where CloudWatch keeps them.
const NAMESPACE: &str = "meterlake";

/// Some metrics of one source, or of none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Metrics {
    source: Option<String>,
    /// Also as metrics without a source: an alarm cannot name sources that the configuration does not have yet.
    for_alarms: bool,
    /// Name, unit, value.
    values: Vec<(&'static str, &'static str, u64)>,
}

impl Metrics {
    /// What became of the objects of a source.
    pub(crate) fn converted(name: &str, source: &NotifiedSource) -> Self {
        let NotifiedSource { objects, bytes, records, rejects, lateness_max_s } = *source;
        let values = vec![
            ("objects", "Count", objects),
            ("bytes", "Bytes", bytes),
            ("records", "Count", records),
            ("rejects", "Count", rejects),
            ("lateness", "Seconds", lateness_max_s),
        ];
        Self { source: Some(name.to_owned()), for_alarms: false, values }
    }

    /// What a build found, and how long it took.
    pub(crate) fn built(built: &UnionReport, took: Duration) -> Vec<Self> {
        let whole = vec![
            ("build_time", "Milliseconds", u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            ("objects_applied", "Count", built.receipts),
        ];
        let of_source = built.sources.iter().map(|(source, counts)| Self {
            source: Some(source.clone()),
            for_alarms: false,
            values: vec![("duplicates", "Count", counts.duplicates), ("conflicts", "Count", counts.conflicts)],
        });
        [Self { source: None, for_alarms: false, values: whole }].into_iter().chain(of_source).collect()
    }

    /// What alarms look at after a build.
    pub(crate) fn watched(watched: Watched) -> Self {
        let usage = watched.usage_per_mille.map(|per_mille| ("usage_per_mille", "None", per_mille));
        let keys = ("new_unmapped_keys", "Count", watched.new_unmapped_keys);
        Self { source: None, for_alarms: false, values: usage.into_iter().chain([keys]).collect() }
    }

    /// How many hours of a source are short, and of how many requests; 0 says that all is well.
    pub(crate) fn counted(source: &str, short: &[Shortfall]) -> Self {
        let of_source = short.iter().filter(|short| short.source == source);
        let missing = of_source.clone().map(|short| short.expected.abs_diff(short.found)).sum();
        let values = vec![("gap_hours", "Count", of_source.count() as u64), ("missing_requests", "Count", missing)];
        Self { source: Some(source.to_owned()), for_alarms: true, values }
    }

    /// The line, as of an instant.
    pub(crate) fn line(&self, at: Micros) -> String {
        let mut dimensions: Vec<Vec<&str>> = self.source.iter().map(|_| vec!["source"]).collect();
        if self.for_alarms || dimensions.is_empty() {
            dimensions.push(Vec::new());
        }
        let named = self.values.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit}));
        let directive = json!({"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": named.collect::<Vec<_>>()});
        let mut line = Map::new();
        line.insert("_aws".to_owned(), json!({"Timestamp": at.0 / 1_000, "CloudWatchMetrics": [directive]}));
        line.extend(self.source.iter().map(|source| ("source".to_owned(), json!(source))));
        line.extend(self.values.iter().map(|(name, _, value)| ((*name).to_owned(), json!(value))));
        Value::Object(line).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::build::UnionCounts;

    const AT: Micros = Micros(1_793_264_400_123_456);

    #[test]
    fn what_was_converted_is_told_by_source() {
        let source = NotifiedSource { objects: 2, bytes: 900, records: 30, rejects: 1, lateness_max_s: 61 };
        assert_eq!(
            Metrics::converted("edge", &source).line(AT),
            r#"{"_aws":{"CloudWatchMetrics":[{"Dimensions":[["source"]],"Metrics":[{"Name":"objects","Unit":"Count"},{"Name":"bytes","Unit":"Bytes"},{"Name":"records","Unit":"Count"},{"Name":"rejects","Unit":"Count"},{"Name":"lateness","Unit":"Seconds"}],"Namespace":"meterlake"}],"Timestamp":1793264400123},"bytes":900,"lateness":61,"objects":2,"records":30,"rejects":1,"source":"edge"}"#
        );
    }

    #[test]
    fn a_build_has_a_time_whatever_it_found() {
        let counts = UnionCounts { duplicates: 4, conflicts: 1, ..Default::default() };
        let built = UnionReport { sources: [("edge".to_owned(), counts)].into(), receipts: 3, ..Default::default() };
        let lines: Vec<Value> = Metrics::built(&built, Duration::from_micros(1_234_567))
            .iter()
            .map(|metrics| serde_json::from_str(&metrics.line(AT)).unwrap())
            .collect();
        assert_eq!((&lines[0]["build_time"], &lines[0]["objects_applied"]), (&json!(1_234), &json!(3)));
        assert_eq!(lines[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([[]]));
        assert_eq!((&lines[1]["source"], &lines[1]["duplicates"]), (&json!("edge"), &json!(4)));
        assert_eq!(Metrics::built(&UnionReport::default(), Duration::ZERO).len(), 1);
    }

    #[test]
    fn usage_is_compared_once_there_is_something_to_compare_it_with() {
        let line = |usage_per_mille| {
            let line = Metrics::watched(Watched { usage_per_mille, new_unmapped_keys: 2 }).line(AT);
            serde_json::from_str::<Value>(&line).unwrap()
        };
        assert_eq!((&line(Some(0))["usage_per_mille"], &line(Some(0))["new_unmapped_keys"]), (&json!(0), &json!(2)));
        assert_eq!(line(None)["usage_per_mille"], Value::Null);
        assert_eq!(line(None)["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn gaps_are_told_with_and_without_the_source_also_where_there_are_none() {
        let short =
            |source: &str, found| Shortfall { source: source.to_owned(), hour: AT.hour(), expected: 100, found };
        let short = [short("edge", 90), short("edge", 0), short("origin", 1)];
        let line = |source: &str| serde_json::from_str::<Value>(&Metrics::counted(source, &short).line(AT)).unwrap();
        assert_eq!((&line("edge")["gap_hours"], &line("edge")["missing_requests"]), (&json!(2), &json!(110)));
        assert_eq!(line("other")["gap_hours"], json!(0));
        assert_eq!(line("edge")["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["source"], []]));
    }
}
