//! Numbers, days and names as people read them on paper: digits in groups of three with a narrow space between, a true
//! minus sign, days with the month's name. Text from outside is made harmless here, once for all printed formats.

use super::super::invoice::Currency;
use super::super::{BillingDay, BillingMonth};
use crate::base::{Nanos, UtcDay};

/// Between groups of digits: narrow, and never the end of a line.
const GROUP: char = '\u{202F}';
/// Before a negative number.
const MINUS: char = '\u{2212}';
/// In place of what is not shown.
const MARK: char = '\u{FFFD}';

/// A printed amount: as many places as the currency has.
pub(super) fn amount(amount: Nanos, currency: &Currency) -> String {
    grouped(&amount.text(currency.places))
}

/// A unit price or an exact amount: all its places, at least those of the currency.
pub(super) fn exact(amount: Nanos, currency: &Currency) -> String {
    let all = amount.text(9);
    let (_, places) = all.split_once('.').unwrap_or((&all, ""));
    let needed = places.trim_end_matches('0').len() as u32;
    grouped(&amount.text(needed.max(currency.places)))
}

/// A quantity.
pub(super) fn whole(quantity: i64) -> String {
    grouped(&quantity.to_string())
}

/// The number of places after the point.
pub(super) fn places(number: &str) -> usize {
    number.split_once('.').map_or(0, |(_, places)| places.len())
}

fn grouped(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or((None, number), |digits| (Some(MINUS), digits));
    let whole = digits.split('.').next().unwrap_or(digits);
    let mut text = String::from_iter(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at < whole.len() && (whole.len() - at) % 3 == 0 {
            text.push(GROUP);
        }
        text.push(digit);
    }
    text
}

/// A day: `3 November 2026`.
pub(super) fn day(day: UtcDay) -> String {
    day.date().format("%-d %B %Y").to_string()
}

/// A billing day: `3 November 2026`.
pub(super) fn billing_day(of: BillingDay) -> String {
    day(UtcDay(of.0))
}

/// A month: `October 2026`.
pub(super) fn month(month: BillingMonth) -> String {
    month.first_day().date().format("%B %Y").to_string()
}

/// Text on one line that can neither end it nor turn the direction of what follows: control characters, those that
/// override or embed a direction, and those that mean nothing to others become a mark, white space a space.
pub(super) fn harmless(text: &str) -> String {
    let shown = text.trim().chars().map(|c| match c {
        '\n' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => MARK,
        // Private use, and what is no character at all.
        '\u{E000}'..='\u{F8FF}' | '\u{F0000}'.. | '\u{FDD0}'..='\u{FDEF}' | '\u{FEFF}' => MARK,
        c if c.is_control() || c as u32 & 0xFFFE == 0xFFFE => MARK,
        c => c,
    });
    shown.collect()
}

/// The lines of a text of several, each harmless.
pub(super) fn harmless_lines(text: &str) -> Vec<String> {
    text.trim().lines().map(harmless).collect()
}

/// A file's name for a customer's id: letters, digits and `-_.` stay, other bytes become `%` and two hex digits, so
/// that different ids have different names and none leaves the folder.
pub(super) fn file_stem(text: &str) -> String {
    let mut stem = String::new();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'.' if at == 0 => stem.push_str("%2E"),
            b'-' | b'_' | b'.' => stem.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => stem.push(byte.into()),
            byte => stem.push_str(&format!("%{byte:02X}")),
        }
    }
    stem
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(places: u32) -> Currency {
        Currency { code: "XXX".into(), places }
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        for (nanos, places, shown, all) in [
            (0, 2, "0.00", "0.00"),
            (-500_000_000, 2, "−0.50", "−0.50"),
            (1_234_567_000_000_000, 0, "1 234 567", "1 234 567"),
            (-999_000_000_000, 3, "−999.000", "−999.000"),
            (400_000, 2, "0.00", "0.0004"),
            (999_999_999_999_999_999, 2, "999 999 999.99", "999 999 999.999999999"),
        ] {
            let narrow = |text: &str| text.replace(' ', "\u{202F}");
            assert_eq!(amount(Nanos(nanos), &currency(places)), narrow(shown));
            assert_eq!(exact(Nanos(nanos), &currency(places)), narrow(all));
        }
        assert_eq!(whole(i64::MIN).replace('\u{202F}', ","), "−9,223,372,036,854,775,808");
    }

    #[test]
    fn days_have_their_months_name() {
        let of: BillingMonth = "2026-02".parse().unwrap();
        assert_eq!(month(of), "February 2026");
        assert_eq!(billing_day(of.last_day()), "28 February 2026");
    }

    #[test]
    fn text_from_outside_is_made_harmless() {
        assert_eq!(harmless("a\u{202E}b\u{0}c\nd\u{85}"), "a\u{FFFD}b\u{FFFD}c d");
        assert_eq!(harmless("\u{2067}x\u{2069}"), "\u{FFFD}x\u{FFFD}");
        assert_eq!(harmless("\u{FEFF}x\u{E000}\u{FFFE}"), "\u{FFFD}x\u{FFFD}\u{FFFD}");
        assert_eq!(harmless_lines("one\r\ntwo\u{1b}\n"), ["one", "two\u{FFFD}"]);
        assert_eq!(file_stem("../acme & co"), "%2E.%2Facme%20%26%20co");
        assert_ne!(file_stem("a b"), file_stem("a%20b"));
    }
}
