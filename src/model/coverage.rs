//! The statement of `coverage_hourly`, rendered for a UTC day: what arrived for each of its hours, and which are gaps.

use std::collections::{BTreeMap, BTreeSet};

use super::params::{boolean, date, instant, text};
use super::statements::{file, filled, list};
use crate::base::UtcDay;
use crate::schema::Table;

/// How many of a thousand counted requests may be missing in an hour, where a source does not say.
pub const SHORTFALL_MAX_PER_MILLE: u32 = 10;

/// What makes an hour a gap, by source.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct CoverageRules {
    /// Sources of which an empty hour is a gap.
    pub heartbeat: BTreeSet<String>,
    /// How many of a thousand counted requests may be missing in an hour; elsewhere [`SHORTFALL_MAX_PER_MILLE`].
    pub shortfall_max_per_mille: BTreeMap<String, u32>,
}

impl CoverageRules {
    /// A line for each rule: equal for equal rules.
    pub fn facts(&self) -> impl Iterator<Item = String> {
        let heartbeat = self.heartbeat.iter().map(|source| format!("heartbeat {source}"));
        let shortfall =
            self.shortfall_max_per_mille.iter().map(|(source, share)| format!("shortfall {source} {share}"));
        heartbeat.chain(shortfall)
    }

    fn is_heartbeat(&self) -> String {
        match self.heartbeat.is_empty() {
            true => boolean(false).to_owned(),
            false => format!("source IN ({})", list(&self.heartbeat.iter().map(String::as_str).collect())),
        }
    }

    fn shortfall_max(&self) -> String {
        if self.shortfall_max_per_mille.is_empty() {
            return SHORTFALL_MAX_PER_MILLE.to_string();
        }
        let of_source = |(source, share): (&String, &u32)| format!(" WHEN {} THEN {share}", text(source));
        let cases: String = self.shortfall_max_per_mille.iter().map(of_source).collect();
        format!("CASE source{cases} ELSE {SHORTFALL_MAX_PER_MILLE} END")
    }
}

/// The statement that tells what arrived for each hour of a UTC day.
pub fn coverage_sql(day: UtcDay, rules: &CoverageRules) -> String {
    let mut hours = Vec::new();
    let mut hour = day.first_hour();
    while hour.day() == day {
        hours.push(format!("\n        ({}, {})", instant(hour.start()), instant(hour.end())));
        hour = hour.next();
    }
    let values = [
        ("day", date(day)),
        ("hours", hours.join(",")),
        ("is_heartbeat", rules.is_heartbeat()),
        ("shortfall_max", rules.shortfall_max()),
    ];
    filled(file(Table::CoverageHourly), &values)
}
