//! CloudWatch: how many requests a metric counted in each hour. Its numbers come as doubles; each must be a whole one, exact,
//! at the start of an hour that was asked for, and come once. An hour of which nothing is said is absent, not 0.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::{Builder, Region};
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, ScanBy, StatusCode};

use super::{Aws, AwsError};
use crate::base::{Micros, UtcHour};
use crate::source::{CountMetric, REQUESTS_MAX};

const SERVICE: &str = "CloudWatch";
/// Seconds that one number is for.
const HOUR_SECONDS: i32 = 3_600;
/// Where CloudFront's metrics are, wherever the distribution is used.
const CLOUDFRONT_REGION: &str = "us-east-1";
/// Answers to one question; hours of all the months that CloudWatch keeps fit into a few.
const PAGES_MAX: usize = 1_000;

impl Aws {
    /// The requests that a metric counted in the hours `[from, to)`.
    pub async fn requests(
        &self,
        metric: &CountMetric,
        from: UtcHour,
        to: UtcHour,
    ) -> Result<BTreeMap<UtcHour, i64>, AwsError> {
        let action = || format!("tell {metric}");
        let unusable = |problem| AwsError::Unusable { service: SERVICE, action: action(), problem };
        let mut config = Builder::from(self.config());
        if let Some(region) = region(metric) {
            config = config.region(Region::new(region.to_owned()));
        }
        let client = Client::from_conf(config.build());
        let (mut hours, mut token) = (BTreeMap::new(), None);
        for _ in 0..PAGES_MAX {
            let call = client.get_metric_data().metric_data_queries(query(metric)).scan_by(ScanBy::TimestampAscending);
            let call = call.start_time(at(from)).end_time(at(to)).set_next_token(token);
            let page = call.send().await.map_err(|source| AwsError::of(SERVICE, action(), source))?;
            for result in page.metric_data_results() {
                take(&mut hours, result, from, to).map_err(unusable)?;
            }
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(hours);
            }
        }
        Err(unusable("it does not end".to_owned()))
    }
}

fn region(metric: &CountMetric) -> Option<&str> {
    match metric {
        CountMetric::RestApi { region, .. } | CountMetric::HttpApi { region, .. } => region.as_deref(),
        CountMetric::Distribution { .. } => Some(CLOUDFRONT_REGION),
    }
}

fn at(hour: UtcHour) -> DateTime {
    DateTime::from_secs(hour.start().0 / 1_000_000)
}

/// As AWS documents each metric: API Gateway's is how many samples there are, CloudFront's what they add up to.
fn query(metric: &CountMetric) -> MetricDataQuery {
    let (namespace, name, stat, dimensions) = match metric {
        CountMetric::RestApi { name, stage, .. } => {
            ("AWS/ApiGateway", "Count", "SampleCount", [("ApiName", name.as_str()), ("Stage", stage)])
        }
        CountMetric::HttpApi { id, stage, .. } => {
            ("AWS/ApiGateway", "Count", "SampleCount", [("ApiId", id.as_str()), ("Stage", stage)])
        }
        CountMetric::Distribution { id } => {
            ("AWS/CloudFront", "Requests", "Sum", [("DistributionId", id.as_str()), ("Region", "Global")])
        }
    };
    let dimensions = dimensions.map(|(name, value)| Dimension::builder().name(name).value(value).build());
    let metric = Metric::builder().namespace(namespace).metric_name(name).set_dimensions(Some(dimensions.into()));
    let stat = MetricStat::builder().metric(metric.build()).period(HOUR_SECONDS).stat(stat).build();
    MetricDataQuery::builder().id("requests").metric_stat(stat).build()
}

/// Adds what one answer says.
fn take(
    hours: &mut BTreeMap<UtcHour, i64>,
    result: &MetricDataResult,
    from: UtcHour,
    to: UtcHour,
) -> Result<(), String> {
    match result.status_code() {
        // More comes with the next page.
        None | Some(StatusCode::Complete | StatusCode::PartialData) => {}
        Some(other) => {
            let said = result.messages().iter().filter_map(|message| message.value());
            return Err([other.as_str()].into_iter().chain(said).collect::<Vec<_>>().join(": "));
        }
    }
    let (times, values) = (result.timestamps(), result.values());
    if times.len() != values.len() {
        return Err(format!("it has {} times and {} values", times.len(), values.len()));
    }
    for (time, value) in times.iter().zip(values) {
        let hour = whole_hour(time).filter(|hour| (from..to).contains(hour));
        let hour = hour.ok_or_else(|| format!("{time:?} is no hour that was asked for"))?;
        let requests = whole(*value).ok_or_else(|| format!("{value} in the hour {hour} is no number of requests"))?;
        if hours.insert(hour, requests).is_some() {
            return Err(format!("the hour {hour} comes twice"));
        }
    }
    Ok(())
}

fn whole_hour(time: &DateTime) -> Option<UtcHour> {
    let hour = Micros(time.secs().checked_mul(1_000_000)?).hour();
    (at(hour) == *time).then_some(hour)
}

/// The number as a whole one; none where it is none, or too large for a double to be exact.
fn whole(value: f64) -> Option<i64> {
    let is_whole = value.fract() == 0.0 && (0.0..=REQUESTS_MAX as f64).contains(&value);
    is_whole.then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: UtcHour = UtcHour(496_000);
    const TO: UtcHour = UtcHour(496_010);

    fn answer(status: StatusCode, points: &[(i64, f64)]) -> MetricDataResult {
        let times = points.iter().map(|(seconds, _)| DateTime::from_secs(496_000 * 3_600 + seconds)).collect();
        let values = points.iter().map(|(_, value)| *value).collect();
        MetricDataResult::builder().status_code(status).set_timestamps(Some(times)).set_values(Some(values)).build()
    }

    #[test]
    fn pages_add_up_and_hours_without_a_number_are_absent() {
        let mut hours = BTreeMap::new();
        take(&mut hours, &answer(StatusCode::PartialData, &[(0, 7.0), (7_200, 0.0)]), FROM, TO).unwrap();
        take(&mut hours, &answer(StatusCode::Complete, &[(9 * 3_600, 9_007_199_254_740_992.0)]), FROM, TO).unwrap();
        let wanted = [(496_000, 7), (496_002, 0), (496_009, 1 << 53)];
        assert_eq!(hours, wanted.map(|(hour, requests)| (UtcHour(hour), requests)).into());
    }

    #[test]
    fn what_is_no_count_of_an_hour_is_refused() {
        for (points, problem) in [
            (&[(0, 1.5)][..], "1.5 in the hour 2026-08-01T16 is no number of requests"),
            (&[(0, -1.0)], "-1 in the hour"),
            (&[(0, f64::NAN)], "NaN in the hour"),
            (&[(0, 9_007_199_254_740_994.0)], "9007199254740994 in the hour"),
            (&[(1_800, 1.0)], "is no hour that was asked for"),
            (&[(36_000, 1.0)], "is no hour that was asked for"),
            (&[(-3_600, 1.0)], "is no hour that was asked for"),
            (&[(0, 1.0), (0, 1.0)], "comes twice"),
        ] {
            let wrong = take(&mut BTreeMap::new(), &answer(StatusCode::Complete, points), FROM, TO).unwrap_err();
            assert!(wrong.contains(problem), "{wrong}");
        }
        let refused = take(&mut BTreeMap::new(), &answer(StatusCode::Forbidden, &[]), FROM, TO);
        assert_eq!(refused.unwrap_err(), "Forbidden");
    }
}
