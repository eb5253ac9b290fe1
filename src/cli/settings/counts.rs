//! `count` and `shortfall_max_per_mille` of a `[[source]]`: who else counts its requests, and how many may be missing.

use crate::base::document::{Item, Section};
use crate::model::SHORTFALL_MAX_PER_MILLE;
use crate::schema::Table;
use crate::source::CountMetric;

/// One metric or a list of them, which together count the source's requests. `table`: that of the source's events.
pub(super) fn read(item: &Item<'_>, table: Option<Table>) -> Option<Vec<CountMetric>> {
    let members = item.one_or_more();
    if members.is_empty() {
        item.problem("`count` is empty; leave it out where nobody else counts");
        return None;
    }
    let mut metrics: Vec<CountMetric> = Vec::with_capacity(members.len());
    for member in &members {
        let Some(metric) = metric(member, table) else { continue };
        if metrics.contains(&metric) {
            member.problem("this metric is named twice: its requests would be expected twice");
        }
        metrics.push(metric);
    }
    (metrics.len() == members.len()).then_some(metrics)
}

fn metric(item: &Item<'_>, table: Option<Table>) -> Option<CountMetric> {
    const USAGE: &str = "API Gateway counts as { api_name = \"shop\", stage = \"prod\" } (REST) or \
        { api_id = \"a1b2c3d4e5\", stage = \"$default\" } (HTTP), CloudFront as { distribution = \"E2QWRUHAPOMQZL\" }";
    let section = item.section(&["api_name", "api_id", "stage", "region", "distribution"])?;
    let text = |key: &str| section.get(key).map(|item| item.text().map(str::to_owned));
    let api = |name: &str| match (section.get("stage"), section.get("region")) {
        (Some(stage), None) => Some((text(name)??, stage.text()?.to_owned(), None)),
        (Some(stage), Some(region)) => Some((text(name)??, stage.text()?.to_owned(), Some(region.text()?.to_owned()))),
        (None, _) => {
            section.problem("`stage` is missing: API Gateway counts by stage");
            None
        }
    };
    let named = ["api_name", "api_id", "distribution"].map(|key| section.get(key).is_some());
    let metric = match named {
        [true, false, false] => {
            api("api_name").map(|(name, stage, region)| CountMetric::RestApi { name, stage, region })?
        }
        [false, true, false] => api("api_id").map(|(id, stage, region)| CountMetric::HttpApi { id, stage, region })?,
        [false, false, true] if section.get("stage").is_none() && section.get("region").is_none() => {
            CountMetric::Distribution { id: text("distribution")?? }
        }
        _ => {
            section.problem(USAGE);
            return None;
        }
    };
    let counts = match metric {
        CountMetric::Distribution { .. } => Table::EdgeRequests,
        CountMetric::RestApi { .. } | CountMetric::HttpApi { .. } => Table::OriginRequests,
    };
    if table.is_some_and(|table| table != counts) {
        section.problem(
            "CloudFront counts what reaches the edge, API Gateway what reaches the origin: this is the other one's metric",
        );
        return None;
    }
    Some(metric)
}

/// How many of a thousand requests may be missing.
pub(super) fn shortfall_max(section: &Section<'_>) -> Option<u32> {
    match section.get("shortfall_max_per_mille") {
        Some(item) => item.integer(0..=1_000).and_then(|share| u32::try_from(share).ok()),
        None => Some(SHORTFALL_MAX_PER_MILLE),
    }
}
