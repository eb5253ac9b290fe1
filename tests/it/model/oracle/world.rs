//! Plans, customers and usage of one month as plain data, and which of them hold on a day.

use std::ops::Range;

use meterlake::base::{Micros, UtcDay};

use super::super::day;

/// Of plans that name none.
pub(super) const CURRENCY: &str = "CHF";
const DAY_MICROS: i64 = 86_400_000_000;

/// A time zone, by rules of its own.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Zone {
    Utc,
    Berlin,
    NewYork,
    Kolkata,
}

pub(super) struct World {
    pub(super) zone: Zone,
    pub(super) month: String,
    /// The days of the month.
    pub(super) days: Range<i32>,
    pub(super) plans: Vec<Plan>,
    pub(super) stays: Vec<Stay>,
    pub(super) usage: Vec<Used>,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) id: String,
    pub(super) currency: Option<&'static str>,
    /// One after the other; the list may have gaps.
    pub(super) terms: Vec<Terms>,
    /// In order of preference.
    pub(super) prices: Vec<Price>,
}

#[derive(Debug)]
pub(super) struct Terms {
    pub(super) from: Option<i32>,
    pub(super) to: Option<i32>,
    pub(super) minimum: i128,
    /// Millionths off.
    pub(super) ppm: i128,
}

#[derive(Debug)]
pub(super) struct Price {
    pub(super) id: String,
    pub(super) meter: &'static str,
    /// Column and wanted values; all must hold.
    pub(super) wants: Vec<(&'static str, Vec<&'static str>)>,
    pub(super) from: Option<i32>,
    pub(super) to: Option<i32>,
    pub(super) model: Model,
}

/// Prices in nano-units; a tier is its last unit and its price.
#[derive(Debug)]
pub(super) enum Model {
    PerUnit { unit_price: i128, free: i64 },
    Graduated(Vec<(Option<i64>, i128)>),
    Volume(Vec<(Option<i64>, i128)>),
    Package { size: i64, free: i64, unit_price: i128 },
    Flat(i128),
}

/// A customer on a plan.
#[derive(Debug)]
pub(super) struct Stay {
    pub(super) customer: String,
    pub(super) plan: String,
    pub(super) from: i32,
    pub(super) to: Option<i32>,
}

/// Usage of a day through one key; the same dimensions may come again.
#[derive(Clone, Debug)]
pub(super) struct Used {
    pub(super) day: i32,
    pub(super) customer: String,
    pub(super) meter: &'static str,
    pub(super) route: Option<&'static str>,
    pub(super) method: &'static str,
    pub(super) quantity: i64,
}

fn within(day: i32, from: Option<i32>, to: Option<i32>) -> bool {
    from.is_none_or(|from| from <= day) && to.is_none_or(|to| day < to)
}

impl Zone {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Utc => "UTC",
            Self::Berlin => "Europe/Berlin",
            Self::NewYork => "America/New_York",
            Self::Kolkata => "Asia/Kolkata",
        }
    }

    /// The day with the instant of its midnight. Clocks change after midnight, so the day they do begins by the old rule.
    pub(super) fn start_of(self, number: i32) -> (UtcDay, Micros) {
        let sunday = |month: &str, nth: i32| {
            let year = &UtcDay(number).to_string()[..4];
            let first = day(&format!("{year}-{month}-01")).0;
            // Day 0 was a Thursday, so day 3 a Sunday.
            first + (3 - first).rem_euclid(7) + 7 * (nth - 1)
        };
        let last_sunday = |month: &str| if UtcDay(sunday(month, 5)).to_string()[5..7] == *month { 5 } else { 4 };
        // Before 1980 these zones had other rules; day 0 is in winter.
        let is_summer = |from: i32, to: i32| number > 3_652 && number > from && number <= to;
        let minutes = match self {
            Self::Utc => 0,
            Self::Kolkata => 330,
            Self::Berlin => {
                60 + 60 * i64::from(is_summer(sunday("03", last_sunday("03")), sunday("10", last_sunday("10"))))
            }
            Self::NewYork => -300 + 60 * i64::from(is_summer(sunday("03", 2), sunday("11", 1))),
        };
        (UtcDay(number), Micros(i64::from(number) * DAY_MICROS - minutes * 60_000_000))
    }

    /// The start of an interval; one without `from` is since 1970.
    pub(super) fn from(self, day: Option<i32>) -> Micros {
        self.start_of(day.unwrap_or(0)).1
    }
}

impl Stay {
    pub(super) fn covers(&self, day: i32) -> bool {
        within(day, Some(self.from), self.to)
    }
}

impl Terms {
    pub(super) fn in_force(&self, day: i32) -> bool {
        within(day, self.from, self.to)
    }
}

impl Price {
    pub(super) fn in_force(&self, day: i32) -> bool {
        within(day, self.from, self.to)
    }

    pub(super) fn takes(&self, used: &Used) -> bool {
        self.meter == used.meter
            && self.wants.iter().all(|(column, values)| match *column {
                "route" => used.route.is_some_and(|route| values.contains(&route)),
                _ => values.contains(&used.method),
            })
    }
}

impl Model {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::PerUnit { .. } => "per_unit",
            Self::Graduated(_) => "graduated",
            Self::Volume(_) => "volume",
            Self::Package { .. } => "package",
            Self::Flat(_) => "flat",
        }
    }
}

impl Used {
    pub(super) fn dimensions(&self) -> String {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let route = self.route.map_or("null".to_owned(), |route| format!("\"{}\"", escaped(route)));
        format!("{{\"route\":{route},\"method\":\"{}\"}}", escaped(self.method))
    }
}

impl World {
    pub(super) fn plan(&self, id: &str) -> &Plan {
        self.plans.iter().find(|plan| plan.id == id).unwrap()
    }

    pub(super) fn plan_of(&self, customer: &str, day: i32) -> Option<&Plan> {
        let stay = self.stays.iter().find(|stay| stay.customer == customer && stay.covers(day))?;
        Some(self.plan(&stay.plan))
    }
}
