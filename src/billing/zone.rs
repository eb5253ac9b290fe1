//! Billing days and months: calendar days in the billing time zone, as half-open ranges of instants. A day has 23 to
//! 25 hours where clocks change. Every instant lies in exactly one billing day. Zones whose days do not begin on a
//! quarter hour of UTC are refused: usage is counted in quarter hours and such a day would cut one.

use std::fmt;
use std::str::FromStr;

use chrono::offset::LocalResult;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;

use crate::base::as_text::as_text;
use crate::base::problem::suggestion;
use crate::base::time::ParseTimeError;
use crate::base::{HalfOpen, Micros, UtcDay};

const QUARTER_HOUR_MICROS: i64 = 900_000_000;
/// The years a zone is checked for: API Gateway began in 2015; chrono-tz knows the rules up to 2100.
const YEARS: std::ops::Range<i32> = 2015..2100;

/// A calendar day in the billing time zone: days since 1970-01-01, as in a `day` column.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BillingDay(pub i32);

/// A calendar month in the billing time zone: months since 1970-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BillingMonth(i32);

as_text!(BillingDay, BillingMonth);

/// The time zone in which billing days begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BillingZone(Tz);

/// A name that is no usable billing time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// Not in the time zone database.
    #[error("unknown time zone `{name}`{suggestion}")]
    Unknown {
        /// The name given.
        name: String,
        /// The nearest known one.
        suggestion: String,
    },
    /// A day begins within a quarter hour.
    #[error("time zone `{name}` cannot be billed in: its day {day} does not begin on a quarter hour of UTC")]
    NotQuarterHours {
        /// The name given.
        name: String,
        /// The first such day.
        day: BillingDay,
    },
}

impl BillingDay {
    /// The day of a `chrono` date.
    pub fn from_date(date: NaiveDate) -> Self {
        Self(UtcDay::from_date(date).0)
    }

    /// The same day as a `chrono` date.
    pub fn date(self) -> NaiveDate {
        UtcDay(self.0).date()
    }

    /// The day after.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The month it belongs to.
    pub fn month(self) -> BillingMonth {
        let date = self.date();
        BillingMonth((date.year() - 1970) * 12 + date.month0() as i32)
    }
}

impl fmt::Display for BillingDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        UtcDay(self.0).fmt(f)
    }
}

impl FromStr for BillingDay {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<UtcDay>().map(|day| Self(day.0))
    }
}

impl BillingMonth {
    /// Its first day.
    pub fn first_day(self) -> BillingDay {
        let (year, month0) = (1970 + self.0.div_euclid(12), self.0.rem_euclid(12) as u32);
        BillingDay::from_date(NaiveDate::from_ymd_opt(year, month0 + 1, 1).unwrap_or(NaiveDate::MAX))
    }

    /// Its last day.
    pub fn last_day(self) -> BillingDay {
        BillingDay(self.next().first_day().0 - 1)
    }

    /// The month after.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Its days in order.
    pub fn days(self) -> impl DoubleEndedIterator<Item = BillingDay> + Clone {
        (self.first_day().0..self.next().first_day().0).map(BillingDay)
    }
}

impl fmt::Display for BillingMonth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", 1970 + self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

/// Text that is not a month.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a month such as 2026-10")]
pub struct ParseMonthError(String);

impl FromStr for BillingMonth {
    type Err = ParseMonthError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // One month has one spelling: it becomes a path.
        let day = (text.len() == 7).then(|| format!("{text}-01").parse::<BillingDay>().ok()).flatten();
        day.map(BillingDay::month).ok_or_else(|| ParseMonthError(text.to_owned()))
    }
}

impl BillingZone {
    /// UTC, the default.
    pub const UTC: Self = Self(Tz::UTC);

    /// The zone of an IANA name such as `Europe/Berlin`.
    pub fn named(name: &str) -> Result<Self, ZoneError> {
        let zone = name.parse::<Tz>().map(Self).map_err(|_| ZoneError::Unknown {
            name: name.to_owned(),
            suggestion: match suggestion(name, chrono_tz::TZ_VARIANTS.iter().map(|tz| tz.name())) {
                near if near.is_empty() => "; it must be an IANA name such as `UTC` or `Europe/Berlin`".to_owned(),
                near => near,
            },
        })?;
        match zone.off_quarter(YEARS) {
            Some(day) => Err(ZoneError::NotQuarterHours { name: name.to_owned(), day }),
            None => Ok(zone),
        }
    }

    /// Its IANA name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The first instant of a day. Where clocks skip midnight it is the instant they do; where midnight comes twice, the first.
    pub fn start(self, day: BillingDay) -> Micros {
        let midnight = day.date().and_time(NaiveTime::MIN);
        match self.0.from_local_datetime(&midnight) {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Micros(at.timestamp_micros()),
            LocalResult::None => self.after_gap(midnight),
        }
    }

    /// The day as instants.
    pub fn bounds(self, day: BillingDay) -> HalfOpen<Micros> {
        HalfOpen { from: self.start(day), to: Some(self.start(day.next())) }
    }

    /// The month as instants.
    pub fn month_bounds(self, month: BillingMonth) -> HalfOpen<Micros> {
        HalfOpen { from: self.start(month.first_day()), to: Some(self.start(month.next().first_day())) }
    }

    /// The day an instant lies in.
    pub fn day_of(self, at: Micros) -> BillingDay {
        let utc = DateTime::from_timestamp_micros(at.0).unwrap_or(DateTime::UNIX_EPOCH);
        let local = BillingDay::from_date(utc.with_timezone(&self.0).date_naive());
        // Only where clocks go back over midnight do the local date and the day differ.
        [local, local.next(), BillingDay(local.0 - 1)]
            .into_iter()
            .find(|day| self.bounds(*day).contains(at))
            .unwrap_or(local)
    }

    /// The days that share an instant with `[from, to)`, in order.
    pub fn days_touching(self, from: Micros, to: Micros) -> impl Iterator<Item = BillingDay> {
        let end = if from < to { self.day_of(Micros(to.0 - 1)).next() } else { self.day_of(from) };
        (self.day_of(from).0..end.0).map(BillingDay)
    }

    /// Whether an instant begins a day.
    pub fn is_start(self, at: Micros) -> bool {
        self.start(self.day_of(at)) == at
    }

    /// A range as people write it: days where it begins and ends with one, `…` where it is open.
    pub fn show(self, range: HalfOpen<Micros>) -> String {
        let end = |at: Micros| match self.day_of(at) {
            day if self.start(day) == at => day.to_string(),
            _ => at.to_string(),
        };
        let from = if self.day_of(range.from) <= BillingDay(0) { "…".to_owned() } else { end(range.from) };
        format!("[{from}, {})", range.to.map_or("…".to_owned(), end))
    }

    fn after_gap(self, midnight: NaiveDateTime) -> Micros {
        let first = (1..=4 * 26)
            .filter_map(|quarters| midnight.checked_add_signed(TimeDelta::minutes(15 * quarters)))
            .find_map(|local| self.0.from_local_datetime(&local).earliest());
        // No clock has skipped more than a day; the fallback only keeps this total.
        first.map_or(Micros(midnight.and_utc().timestamp_micros()), |at| Micros(at.timestamp_micros()))
    }

    fn off_quarter(self, years: std::ops::Range<i32>) -> Option<BillingDay> {
        let first = NaiveDate::from_ymd_opt(years.start, 1, 1)?;
        let days = first.iter_days().take_while(|date| date.year() < years.end);
        days.map(BillingDay::from_date).find(|day| self.start(*day).0.rem_euclid(QUARTER_HOUR_MICROS) != 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ZONES: &[&str] = &[
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "America/Havana",
        "Asia/Beirut",
        "America/Santiago",
        "Pacific/Apia",
    ];

    fn day(text: &str) -> BillingDay {
        text.parse().unwrap()
    }

    proptest! {
        #[test]
        fn days_tile_time(zone in prop::sample::select(ZONES), number in 16_436..40_000_i32, within in 0.0..1.0_f64) {
            let zone = BillingZone::named(zone).unwrap();
            let bounds = zone.bounds(BillingDay(number));
            let end = bounds.to.unwrap();
            let hours = (end.0 - bounds.from.0) / 3_600_000_000;
            prop_assert!((22..=26).contains(&hours));
            prop_assert_eq!(end, zone.bounds(BillingDay(number + 1)).from);
            prop_assert_eq!(bounds.from.0 % QUARTER_HOUR_MICROS, 0);
            for at in [bounds.from.0, end.0 - 1, bounds.from.0 + ((end.0 - bounds.from.0 - 1) as f64 * within) as i64] {
                prop_assert_eq!(zone.day_of(Micros(at)), BillingDay(number));
            }
            prop_assert!(zone.is_start(bounds.from) && !zone.is_start(Micros(end.0 - 1)));
            let touching: Vec<_> = zone.days_touching(Micros(bounds.from.0 - 1), Micros(end.0 + 1)).collect();
            prop_assert_eq!(touching, [number - 1, number, number + 1].map(BillingDay));
        }

        #[test]
        fn months_tile_days(number in -12..2_000_i32) {
            let month = BillingMonth(number);
            prop_assert_eq!(month.to_string().parse::<BillingMonth>(), Ok(month));
            prop_assert!(month.days().all(|day| day.month() == month));
            prop_assert_eq!(month.days().last().unwrap().next(), month.next().first_day());
        }
    }

    #[test]
    fn clocks_change() {
        let berlin = BillingZone::named("Europe/Berlin").unwrap();
        assert_eq!(berlin.start(day("2026-03-29")).to_string(), "2026-03-28T23:00:00Z");
        assert_eq!(berlin.start(day("2026-03-30")).to_string(), "2026-03-29T22:00:00Z");
        assert_eq!(berlin.start(day("2026-10-26")).to_string(), "2026-10-25T23:00:00Z");
        // Half an hour, on the first Sunday of April.
        let lord_howe = BillingZone::named("Australia/Lord_Howe").unwrap();
        assert_eq!(lord_howe.start(day("2026-04-05")).to_string(), "2026-04-04T13:00:00Z");
        assert_eq!(lord_howe.start(day("2026-04-06")).to_string(), "2026-04-05T13:30:00Z");
        // Midnight is skipped: the day begins at 01:00 local.
        let santiago = BillingZone::named("America/Santiago").unwrap();
        assert_eq!(santiago.start(day("2026-09-06")).to_string(), "2026-09-06T04:00:00Z");
        // Midnight comes twice: the first counts.
        let havana = BillingZone::named("America/Havana").unwrap();
        assert_eq!(havana.start(day("2026-11-01")).to_string(), "2026-11-01T04:00:00Z");
        assert_eq!(havana.start(day("2026-11-02")).to_string(), "2026-11-02T05:00:00Z");
        let kathmandu = BillingZone::named("Asia/Kathmandu").unwrap();
        assert_eq!(kathmandu.start(day("2026-10-01")).to_string(), "2026-09-30T18:15:00Z");
        let october: BillingMonth = "2026-10".parse().unwrap();
        assert_eq!(berlin.month_bounds(october).to_string(), "[2026-09-30T22:00:00Z, 2026-10-31T23:00:00Z)");
        assert_eq!(october.days().count(), 31);
    }

    #[test]
    fn refuses_what_cannot_be_billed_in() {
        // Liberia's clocks were 44 minutes 30 seconds behind until 1972.
        let monrovia = BillingZone::named("Africa/Monrovia").unwrap();
        assert_eq!(monrovia.off_quarter(1970..1975), Some(day("1970-01-01")));
        assert!(
            chrono_tz::TZ_VARIANTS
                .iter()
                .filter(|tz| tz.name().starts_with("America/A"))
                .all(|tz| BillingZone::named(tz.name()).is_ok())
        );
        assert!(BillingZone::named("europe/berlin").unwrap_err().to_string().contains("`Europe/Berlin`"));
        assert!("2026-1".parse::<BillingMonth>().is_err() && "2026-13".parse::<BillingMonth>().is_err());
    }
}
