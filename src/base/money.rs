//! Exact money: an amount is a whole number of nano-units (10⁻⁹ of the currency's unit) in 128 bits, the same
//! as the `DECIMAL(38,9)` of the tables. Every operation is checked; there is no float and no silent rounding.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::as_text::as_text;

/// Nano-units in one unit.
pub const NANOS_PER_UNIT: i128 = 1_000_000_000;
/// The largest magnitude a `DECIMAL(38,9)` holds, in nano-units.
pub const NANOS_MAX: i128 = 10_i128.pow(38) - 1;

/// An amount or unit price in nano-units.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Nanos(pub i128);

/// How an amount that lies between two minor units is printed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// The nearer one; in the middle the one farther from zero.
    #[default]
    HalfUp,
    /// The nearer one; in the middle the even one.
    HalfEven,
}

/// Text that is not a decimal number of at most nine places.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a decimal number with at most 9 places after the point")]
pub struct ParseNanosError(String);

impl Nanos {
    /// The sum, or `None` where it would not fit a `DECIMAL(38,9)`.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self).and_then(Self::bounded)
    }

    /// The product with a whole quantity, or `None` where it would not fit a `DECIMAL(38,9)`.
    pub fn checked_mul(self, quantity: i64) -> Option<Self> {
        self.0.checked_mul(i128::from(quantity)).map(Self).and_then(Self::bounded)
    }

    /// The difference, or `None` where it would not fit a `DECIMAL(38,9)`.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self).and_then(Self::bounded)
    }

    /// The sum of all, or `None` where one on the way would not fit a `DECIMAL(38,9)`.
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self(0), Self::checked_add)
    }

    /// The nearest amount with `places` places after the point, at most nine: what is printed.
    #[must_use]
    pub fn rounded(self, places: u32, rounding: Rounding) -> Self {
        let step = 10_i128.pow(9 - places.min(9));
        let (whole, rest) = (self.0 / step, (self.0 % step).abs() * 2);
        let away = rest > step || (rest == step && (rounding == Rounding::HalfUp || whole % 2 != 0));
        Self((whole + if away { self.0.signum() } else { 0 }) * step)
    }

    /// The text with exactly `places` places after the point, for an amount that has no more: `-12.50`, `1200`.
    pub fn text(self, places: u32) -> String {
        let places = places.min(9) as usize;
        let magnitude = self.0.unsigned_abs();
        let unit = NANOS_PER_UNIT.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let point = if places == 0 { "" } else { "." };
        format!("{sign}{}{point}{}", magnitude / unit, &format!("{:09}", magnitude % unit)[..places])
    }

    fn bounded(self) -> Option<Self> {
        (-NANOS_MAX..=NANOS_MAX).contains(&self.0).then_some(self)
    }
}

impl FromStr for Nanos {
    type Err = ParseNanosError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseNanosError(text.to_owned());
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, places) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(places) || places.len() > 9 {
            return Err(wrong());
        }
        let whole: i128 = whole.parse().map_err(|_| wrong())?;
        let places: i128 = format!("{places:0<9}").parse().map_err(|_| wrong())?;
        let value = whole.checked_mul(NANOS_PER_UNIT).and_then(|n| n.checked_add(places)).ok_or_else(wrong)?;
        Self(if negative { -value } else { value }).bounded().ok_or_else(wrong)
    }
}

impl fmt::Display for Nanos {
    /// All nine places less the trailing zeros, but at least two: `0.0004`, `12.50`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let unit = NANOS_PER_UNIT.unsigned_abs();
        let places = format!("{:09}", magnitude % unit);
        let kept = places.trim_end_matches('0').len().max(2);
        let sign = if self.0 < 0 { "-" } else { "" };
        f.pad(&format!("{sign}{}.{}", magnitude / unit, &places[..kept]))
    }
}

as_text!(Nanos);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for (text, nanos, shown) in [
            ("0.0004", 400_000, "0.0004"),
            ("12", 12_000_000_000, "12.00"),
            ("-0.5", -500_000_000, "-0.50"),
            ("0.000000001", 1, "0.000000001"),
        ] {
            let value: Nanos = text.parse().unwrap();
            assert_eq!(value.0, nanos);
            assert_eq!(value.to_string(), shown);
        }
    }

    #[test]
    fn refuses_what_is_not_exact() {
        for text in ["", ".", "1.", ".5", "1e3", "0.0000000001", "+1", "1_000", "NaN", "--1"] {
            assert!(text.parse::<Nanos>().is_err(), "{text}");
        }
    }

    #[test]
    fn overflow_is_none_not_a_wrapped_amount() {
        assert_eq!(Nanos(NANOS_MAX).checked_add(Nanos(1)), None);
        assert_eq!(Nanos(NANOS_MAX / 2).checked_mul(3), None);
    }

    #[test]
    fn rounds_once_to_the_minor_unit() {
        for (text, places, half_up, half_even) in [
            ("0.005", 2, "0.01", "0.00"),
            ("0.015", 2, "0.02", "0.02"),
            ("-0.005", 2, "-0.01", "0.00"),
            ("0.004999999", 2, "0.00", "0.00"),
            ("0.005000001", 2, "0.01", "0.01"),
            ("2.5", 0, "3", "2"),
            ("3.5", 0, "4", "4"),
            ("-12.3456", 3, "-12.346", "-12.346"),
        ] {
            let value: Nanos = text.parse().unwrap();
            assert_eq!(value.rounded(places, Rounding::HalfUp).text(places), half_up, "{text}");
            assert_eq!(value.rounded(places, Rounding::HalfEven).text(places), half_even, "{text}");
        }
    }
}
