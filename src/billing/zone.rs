//! Billing days and months: calendar days in the billing time zone, as half-open ranges of instants. A day has 23 to
//! 25 hours where clocks change. Every instant lies in exactly one billing day. Zones whose days do not begin on a
//! quarter hour of UTC are refused: usage is counted in quarter hours and such a day would cut one.

use std::fmt;
use std::str::FromStr;

use chrono::offset::LocalResult;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;

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
