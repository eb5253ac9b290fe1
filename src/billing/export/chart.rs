//! The charges of a month day by day as a bar chart: figures become places on a drawing, in whole numbers. What is
//! drawn are the exact amounts of usage and fees, before discount, minimum, adjustments and tax.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::BillingDay;
use super::super::invoice::{Invoice, Line, LineKind};
use super::figures::{billing_day, exact};
use crate::base::Nanos;

/// The drawing, in tenths of a unit.
const WIDTH: i128 = 7_200;
const HEIGHT: i128 = 2_000;
/// Room above the highest and below the lowest bar.
const TOP: i128 = 120;
const FOOT: i128 = 220;
/// The width of a digit beside the axis.
const DIGIT: i128 = 64;
/// At most so many lines of the grid.
const TICKS: i128 = 4;

/// A bar chart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Chart {
    pub(super) title: String,
    /// What a chart shows to those who do not see it.
    pub(super) text: String,
    /// Where the plot begins.
    pub(super) left: i128,
    pub(super) width: i128,
    pub(super) height: i128,
    /// Lines of the grid.
    pub(super) ticks: Vec<Tick>,
    pub(super) bars: Vec<Bar>,
}

/// A line of the grid.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Tick {
    pub(super) y: i128,
    pub(super) label: String,
    pub(super) is_zero: bool,
}

/// A day.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Bar {
    pub(super) x: i128,
    pub(super) y: i128,
    pub(super) width: i128,
    pub(super) height: i128,
    /// The middle, for the label below.
    pub(super) middle: i128,
    /// The day of the month where it is written below.
    pub(super) label: Option<String>,
    pub(super) day: String,
    pub(super) amount: String,
}

impl Chart {
    /// The chart of an invoice; none where no line says what its days cost, or the amounts are beyond drawing.
    pub(super) fn of(invoice: &Invoice) -> Option<Self> {
        let is_charge = |line: &&Line| {
            matches!(line.key.kind, LineKind::Usage | LineKind::Flat)
                && line.key.month == invoice.month
                && !line.is_correction()
        };
        let mut days: BTreeMap<BillingDay, Nanos> = invoice.month.days().map(|day| (day, Nanos(0))).collect();
        for share in invoice.lines.iter().filter(is_charge).flat_map(|line| &line.days) {
            let sum = days.get_mut(&share.day)?;
            *sum = sum.checked_add(share.exact)?;
        }
        let (least, most) = (days.values().min()?.0.min(0), days.values().max()?.0.max(0));
        let step = step(most.checked_sub(least)?)?;
        let (low, high) = (least.div_euclid(step), most.checked_add(step - 1)?.div_euclid(step));
        // Amounts become parts of a step, so that no product is too large.
        let part = (step / 10_000).max(1);
        let unit = (step / part, HEIGHT - TOP - FOOT);
        let y = |amount: i128| TOP + (high * unit.0 - amount / part) * unit.1 / ((high - low) * unit.0);
        let ticks: Vec<Tick> = (low..=high)
            .map(|n| Tick { y: y(n * step), label: exact(Nanos(n * step), &invoice.currency), is_zero: n == 0 })
            .collect();
        let left = DIGIT * ticks.iter().map(|tick| tick.label.chars().count() as i128).max()? + 60;
        let slot = (WIDTH - left) / days.len() as i128;
        let bar = |(at, (day, amount)): (usize, (&BillingDay, &Nanos))| {
            let x = left + slot * at as i128;
            let (from, to) = (y(amount.0.max(0)), y(amount.0.min(0)));
            Bar {
                x: x + slot / 8,
                y: from,
                width: slot - slot / 4,
                height: to - from,
                middle: x + slot / 2,
                label: (at % 5 == 0).then(|| (at + 1).to_string()),
                day: billing_day(*day),
                amount: exact(*amount, &invoice.currency),
            }
        };
        let bars: Vec<Bar> = days.iter().enumerate().map(bar).collect();
        let most = bars.get(days.values().enumerate().max_by_key(|(at, amount)| (**amount, usize::MAX - at))?.0)?;
        let text = format!("{} bars, one for each day. The highest is {} on {}.", bars.len(), most.amount, most.day);
        let title = format!("Usage and fees by day in {}, before discount, adjustments and tax", invoice.currency.code);
        Some(Self { title, text, left, width: WIDTH, height: HEIGHT, ticks, bars })
    }
}

/// The distance of the grid's lines: 1, 2 or 5 and zeros, so that few of them span the range. None for an empty range.
fn step(range: i128) -> Option<i128> {
    let wanted = (range > 0).then_some((range - 1) / TICKS + 1)?;
    let mut power = 1_i128;
    loop {
        for digit in [1, 2, 5] {
            let step = power.checked_mul(digit)?;
            if step >= wanted {
                return Some(step);
            }
        }
        power = power.checked_mul(10)?;
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_step_is_round_and_gives_few_lines() {
        for (range, wanted) in
            [(1, 1), (4, 1), (5, 2), (8, 2), (9, 5), (21, 10), (1_000, 500), (80_000_000_001, 50_000_000_000)]
        {
            assert_eq!(step(range), Some(wanted), "{range}");
        }
        assert_eq!(step(0), None);
        assert_eq!(step(i128::MAX), Some(5 * 10_i128.pow(37)));
    }

    #[test]
    fn bars_stand_on_zero_and_keep_their_proportions() {
        let invoice = &sample::statement().invoices[1];
        // Days of tokyo: 1950 on the 2nd, 1600 on the 3rd, −99.7 on the 31st: steps of 1000 from −1000 to 2000.
        let chart = Chart::of(invoice).unwrap();
        let labels: Vec<String> = chart.ticks.iter().map(|tick| tick.label.replace('\u{202F}', " ")).collect();
        assert_eq!(labels, ["−1 000", "0", "1 000", "2 000"]);
        let zero = chart.ticks[1].y;
        let (second, third, last) = (&chart.bars[1], &chart.bars[2], &chart.bars[30]);
        assert_eq!((second.y + second.height, third.y + third.height, last.y), (zero, zero, zero));
        assert!((second.height * 1600 - third.height * 1950).abs() < 4_000, "{} {}", second.height, third.height);
        assert_eq!(last.amount, "−99.7");
        assert!(chart.bars.iter().all(|bar| bar.x >= chart.left && bar.x + bar.width <= chart.width));
        assert!(chart.text.ends_with("The highest is 1\u{202F}950 on 2 October 2026."));
    }

    #[test]
    fn without_days_there_is_no_chart() {
        let mut invoice = sample::statement().invoices.remove(1);
        invoice.lines.iter_mut().for_each(|line| line.days.clear());
        assert_eq!(Chart::of(&invoice), None);
    }

    #[test]
    fn amounts_beyond_drawing_are_left_out() {
        let mut invoice = sample::statement().invoices.remove(1);
        invoice.lines[0].days[0].exact = Nanos(crate::base::money::NANOS_MAX);
        invoice.lines[1].days[1].exact = Nanos(-crate::base::money::NANOS_MAX);
        assert_eq!(Chart::of(&invoice), None);
    }
}
