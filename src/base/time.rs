//! Instants, UTC days and UTC hours as plain numbers. An instant is microseconds since the Unix epoch, everywhere.
//! Text forms are `YYYY-MM-DD`, `YYYY-MM-DDTHH` and RFC 3339 with `Z`; whatever else is refused.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat};

use super::as_text::as_text;

/// Microseconds in one hour.
pub const HOUR_MICROS: i64 = 3_600_000_000;
/// Microseconds in one day.
pub const DAY_MICROS: i64 = 24 * HOUR_MICROS;

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Micros(pub i64);

/// A UTC calendar day: days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UtcDay(pub i32);

/// A UTC hour: hours since 1970-01-01T00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UtcHour(pub i32);

as_text!(Micros, UtcDay);

/// Text that is not a day, hour or instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct ParseTimeError {
    text: String,
    wanted: &'static str,
}

impl ParseTimeError {
    fn new(text: &str, wanted: &'static str) -> Self {
        Self { text: text.to_owned(), wanted }
    }
}

impl Micros {
    /// The UTC day this instant lies in.
    pub fn day(self) -> UtcDay {
        UtcDay(self.0.div_euclid(DAY_MICROS) as i32)
    }

    /// The UTC hour this instant lies in.
    pub fn hour(self) -> UtcHour {
        UtcHour(self.0.div_euclid(HOUR_MICROS) as i32)
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_micros(self.0) {
            Some(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => write!(f, "{}us", self.0),
        }
    }
}

impl FromStr for Micros {
    type Err = ParseTimeError;

    /// Reads an RFC 3339 instant, or a day, which means its first instant in UTC.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(day) = text.parse::<UtcDay>() {
            return Ok(day.start());
        }
        DateTime::parse_from_rfc3339(text)
            .map(|at| Self(at.timestamp_micros()))
            .map_err(|_| ParseTimeError::new(text, "a day (2026-10-01) or an instant (2026-10-01T12:30:00Z)"))
    }
}

impl UtcDay {
    /// The day of a calendar date, or `None` where there is no such date.
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Self> {
        NaiveDate::from_ymd_opt(year, month, day).map(Self::from_date)
    }

    /// The day of a `chrono` date.
    pub fn from_date(date: NaiveDate) -> Self {
        Self(date.num_days_from_ce() - 719_163)
    }

    /// The same day as a `chrono` date; days outside chrono's range (±262 000 years) give the epoch's neighbour.
    pub fn date(self) -> NaiveDate {
        NaiveDate::from_num_days_from_ce_opt(self.0.saturating_add(719_163)).unwrap_or(NaiveDate::MAX)
    }

    /// The day's first instant.
    pub fn start(self) -> Micros {
        Micros(i64::from(self.0) * DAY_MICROS)
    }

    /// The day's first hour; it has 24.
    pub fn first_hour(self) -> UtcHour {
        UtcHour(self.0 * 24)
    }

    /// The day after.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for UtcDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.date().format("%Y-%m-%d"))
    }
}

impl FromStr for UtcDay {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `%Y-%m-%d` alone would also take `2026-1-1`; one day has one spelling, because it becomes a path.
        match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            Ok(date) if text.len() == 10 => Ok(Self::from_date(date)),
            _ => Err(ParseTimeError::new(text, "a day such as 2026-10-01")),
        }
    }
}

impl UtcHour {
    /// The hour's first instant.
    pub fn start(self) -> Micros {
        Micros(i64::from(self.0) * HOUR_MICROS)
    }

    /// The instant after its last.
    pub fn end(self) -> Micros {
        self.next().start()
    }

    /// The UTC day it belongs to.
    pub fn day(self) -> UtcDay {
        UtcDay(self.0.div_euclid(24))
    }

    /// Its number within the day, 0 to 23.
    pub fn of_day(self) -> u32 {
        self.0.rem_euclid(24) as u32
    }

    /// The hour after.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for UtcHour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{:02}", self.day(), self.of_day())
    }
}

impl FromStr for UtcHour {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseTimeError::new(text, "an hour such as 2026-10-01T05");
        let (day, hour) = text.split_once('T').ok_or_else(wrong)?;
        let day: UtcDay = day.parse().map_err(|_| wrong())?;
        match hour.parse::<i32>() {
            Ok(hour @ 0..=23) if text.len() == 13 => Ok(Self(day.0 * 24 + hour)),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_hour_and_instant_agree() {
        let at: Micros = "2026-10-31T23:59:59.999Z".parse().unwrap();
        assert_eq!(at.day().to_string(), "2026-10-31");
        assert_eq!(at.hour().to_string(), "2026-10-31T23");
        assert_eq!(at.hour().end(), "2026-11-01".parse().unwrap());
        assert_eq!(at.to_string(), "2026-10-31T23:59:59.999Z");
        assert_eq!("2026-10-31T23".parse::<UtcHour>().unwrap(), at.hour());
    }

    #[test]
    fn instants_before_the_epoch_round_down() {
        assert_eq!(Micros(-1).day().to_string(), "1969-12-31");
        assert_eq!(Micros(-1).hour().of_day(), 23);
    }

    #[test]
    fn a_day_has_one_spelling() {
        assert!("2026-1-01".parse::<UtcDay>().is_err());
        assert!("2026-02-30".parse::<UtcDay>().is_err());
        assert!("2026-02-03T24".parse::<UtcHour>().is_err());
    }
}
