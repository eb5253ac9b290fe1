//! A statement for the tests of every format: October 2026 in Berlin, three invoices whose figures are worked out by hand
//! here, once. It has what formats stumble over: 0, 2 and 3 places, credit, tax, corrections, long and foreign names,
//! quotes, commas, line feeds and text that a spreadsheet would run as a formula.

use super::super::invoice::{Correction, Currency, Invoice, InvoiceKind, Line, LineDay, LineKey, LineKind, Party};
use super::super::{BillingDay, BillingMonth};
use super::{Statement, UsageRow};
use crate::base::{Micros, Nanos, Rounding, UtcDay};

/// The totals of the three invoices, as printed.
pub(crate) const TOTALS: [&str; 3] = ["113.17", "3795", "-12.412"];

/// The closed month.
pub(crate) fn statement() -> Statement {
    Statement { month: month("2026-10"), invoices: vec![acme(), tokyo(), gulf()], usage: usage() }
}

/// The same month before it is closed: no numbers, no days of issue.
pub(crate) fn preview() -> Statement {
    let mut statement = statement();
    for invoice in &mut statement.invoices {
        (invoice.number, invoice.issued_on, invoice.due_on) = (None, None, None);
    }
    statement
}

/// EUR 113.17, with every kind of line. Before tax: 0 + 16.05 + 49 − 8.13 + 43.08 − 5 + 0.10 = 95.10; 19 % of it are 18.069.
fn acme() -> Invoice {
    let october = |kind| key("2026-10", kind, Some("pro"));
    let calls = LineKey {
        price_id: Some("calls".into()),
        price_from: Some(instant("2025-12-31T23:00:00Z")),
        model: Some("graduated".into()),
        meter: Some("api_calls".into()),
        ..october(LineKind::Usage)
    };
    let fee = LineKey { price_id: Some("base".into()), price_from: calls.price_from, ..october(LineKind::Flat) };
    let lines = vec![
        // 1 000 free units.
        Line {
            days: vec![day("2026-10-01", 1_000, "0")],
            ..priced(tier(&calls, "1"), "API calls, first 1,000", 1_000, 1_000, "0", "0", "0")
        },
        // 40 123 × 0.0004 = 16.0492.
        Line {
            days: vec![day("2026-10-01", 20_000, "8"), day("2026-10-25", 20_123, "8.0492")],
            ..priced(tier(&calls, "2"), "API calls, from 1,001", 40_123, 40_123, "0.0004", "16.0492", "16.05")
        },
        Line {
            days: (1..=31).map(|k| flat_day(k, 49)).collect(),
            ..plain(LineKey { model: Some("flat".into()), ..fee }, "Base fee", "49", "49")
        },
        // 12.5 % of 16.0492 + 49 = 65.0492 are 8.13115.
        Line {
            days: vec![day("2026-10-25", 0, "-8.13115")],
            ..plain(
                LineKey { price_id: Some("discount".into()), ..october(LineKind::Discount) },
                "Discount 12.5 %",
                "-8.13115",
                "-8.13",
            )
        },
        // 100 − (65.0492 − 8.13115) = 43.08195.
        Line {
            days: vec![day("2026-10-31", 0, "43.08195")],
            ..plain(
                LineKey { price_id: Some("minimum".into()), ..october(LineKind::Minimum) },
                "Up to the minimum of 100.00",
                "43.08195",
                "43.08",
            )
        },
        plain(
            LineKey { plan: None, price_id: Some("goodwill".into()), ..october(LineKind::Adjustment) },
            "Outage of 3 October, \"as agreed\"",
            "-5",
            "-5",
        ),
        // 31 000 units now, where 30 750 were printed as 12.30: 31 000 × 0.0004 = 12.40.
        Line {
            quantity: Some(250),
            billed: Some(250),
            unit_price: Some(nanos("0.0004")),
            correction: Some(Correction {
                invoice: Some("2026-0007".into()),
                exact_now: nanos("12.4"),
                printed_before: nanos("12.3"),
            }),
            ..plain(
                LineKey { month: month("2026-09"), ..tier(&calls, "2") },
                "Correction of September: API calls",
                "0.1",
                "0.1",
            )
        },
        plain(LineKey { plan: None, tax_ppm: Some(190_000), ..october(LineKind::Tax) }, "VAT 19 %", "18.069", "18.07"),
    ];
    Invoice {
        customer: Party {
            name: "Acme, Inc. \"Rockets\" & <Anvils>".into(),
            address: vec!["1 Desert Road".into(), "Suite 5, Left".into(), "10115 Berlin".into()],
            tax_id: Some("DE123456789".into()),
            email: Some("billing@acme.example".into()),
        },
        terms: Some("Payable within 14 days.\nThank you.".into()),
        ..invoice("2026-0012", InvoiceKind::Invoice, "acme", ("EUR", 2), lines)
    }
}

/// JPY 3795: 1 950 + 1 500 = 3 450, and 10 % of it.
fn tokyo() -> Invoice {
    let calls = LineKey {
        price_id: Some("calls".into()),
        price_from: Some(instant("2026-09-30T22:00:00Z")),
        meter: Some("api_calls".into()),
        ..key("2026-10", LineKind::Usage, Some("japan"))
    };
    let lines = vec![
        // 12 345 units begin 13 packages of 1 000; 13 × 150 = 1 950.
        Line {
            days: vec![day("2026-10-02", 12_345, "1950")],
            ..priced(
                LineKey { model: Some("package".into()), ..calls.clone() },
                "API 呼び出し(千件ごと)",
                12_345,
                13,
                "150",
                "1950",
                "1950",
            )
        },
        // 5 001 × 0.3 = 1 500.3. The days differ from that until the last threshold is passed.
        Line {
            days: vec![day("2026-10-03", 4_000, "1600"), day("2026-10-31", 1_001, "-99.7")],
            ..priced(
                LineKey {
                    price_id: Some("files".into()),
                    meter: Some("files".into()),
                    model: Some("volume".into()),
                    ..calls
                },
                "ファイル",
                5_001,
                5_001,
                "0.3",
                "1500.3",
                "1500",
            )
        },
        plain(LineKey { tax_ppm: Some(100_000), ..key("2026-10", LineKind::Tax, None) }, "消費税 10 %", "345", "345"),
    ];
    Invoice {
        customer: Party { name: "株式会社東京クライアント".into(), ..Party::default() },
        ..invoice("2026-0013", InvoiceKind::Invoice, "tokyo", ("JPY", 0), lines)
    }
}

/// A credit note of KWD 12.412: 0.088 − 12.500.
fn gulf() -> Invoice {
    let calls = LineKey {
        price_id: Some("calls".into()),
        price_from: Some(instant("2025-12-31T23:00:00Z")),
        model: Some("per_unit".into()),
        meter: Some("api_calls".into()),
        ..key("2026-10", LineKind::Usage, Some("gulf"))
    };
    let lines = vec![
        // 7 × 0.0125 = 0.0875, halfway between two fils: away from zero.
        Line {
            days: vec![day("2026-10-31", 7, "0.0875")],
            ..priced(calls.clone(), "-calls of route /a%0Ab", 7, 7, "0.0125", "0.0875", "0.088")
        },
        // 1 000 units fewer than the 4 000 printed as 50: 3 000 × 0.0125 = 37.5.
        Line {
            quantity: Some(-1_000),
            billed: Some(-1_000),
            unit_price: Some(nanos("0.0125")),
            correction: Some(Correction {
                invoice: Some("2026-0003".into()),
                exact_now: nanos("37.5"),
                printed_before: nanos("50"),
            }),
            days: vec![day("2026-08-31", -1_000, "-12.5")],
            ..plain(LineKey { month: month("2026-08"), ..calls }, "Correction of August: API calls", "-12.5", "-12.5")
        },
    ];
    Invoice {
        customer: Party {
            name: "=HYPERLINK(\"http://gulf.example\",\"Gulf\") Trading and Contracting Company With a Name That Goes \
                   On for Longer Than Any Column Wants to Be, شركة الخليج"
                .into(),
            address: vec!["+965 Block 3".into(), "@Kuwait%0ACity".into()],
            tax_id: None,
            email: None,
        },
        ..invoice("2026-0014", InvoiceKind::CreditNote, "gulf", ("KWD", 3), lines)
    }
}

fn usage() -> Vec<UsageRow> {
    [
        ("2026-10-01", "acme", "api_calls", r#"{"route":"/v1/items"}"#, 20_000),
        ("2026-10-01", "acme", "api_calls", r#"{"route":"/v1/\"quoted\", with a comma"}"#, 1_000),
        ("2026-10-02", "tokyo", "api_calls", r#"{"route":null}"#, 12_345),
        ("2026-10-03", "tokyo", "files", "{}", 4_000),
        // Clocks go back: this day has 25 hours.
        ("2026-10-25", "acme", "api_calls", r#"{"route":"/v1/items"}"#, 20_123),
        ("2026-10-31", "gulf", "api_calls", r#"{"route":"/a%0Ab"}"#, 7),
        ("2026-10-31", "tokyo", "files", "{}", 1_001),
    ]
    .map(|(day, customer_id, meter, dimensions, quantity)| UsageRow {
        day: day.parse().unwrap(),
        customer_id: customer_id.into(),
        meter: meter.into(),
        dimensions: dimensions.into(),
        quantity,
    })
    .into()
}

fn invoice(
    number: &str,
    kind: InvoiceKind,
    customer_id: &str,
    (code, places): (&str, u32),
    lines: Vec<Line>,
) -> Invoice {
    Invoice {
        number: Some(number.into()),
        kind,
        month: month("2026-10"),
        issued_on: UtcDay::from_ymd(2026, 11, 3),
        due_on: UtcDay::from_ymd(2026, 11, 17),
        seller: Party {
            name: "Meter & Söhne GmbH".into(),
            address: vec!["Zählerstraße 1".into(), "20095 Hamburg".into()],
            tax_id: Some("DE987654321".into()),
            email: Some("invoices@meter.example".into()),
        },
        customer_id: customer_id.into(),
        customer: Party::default(),
        currency: Currency { code: code.into(), places },
        rounding: Rounding::HalfUp,
        zone: "Europe/Berlin".into(),
        terms: None,
        lines: lines.into_iter().zip(1..).map(|(line, number)| Line { line: number, ..line }).collect(),
    }
}

fn key(of: &str, kind: LineKind, plan: Option<&str>) -> LineKey {
    LineKey {
        month: month(of),
        kind,
        plan: plan.map(str::to_owned),
        price_id: None,
        price_from: None,
        model: None,
        meter: None,
        tier: None,
        tax_ppm: None,
    }
}

fn tier(key: &LineKey, number: &str) -> LineKey {
    LineKey { tier: Some(number.into()), ..key.clone() }
}

fn plain(key: LineKey, text: &str, exact: &str, amount: &str) -> Line {
    Line {
        line: 0,
        key,
        text: text.into(),
        quantity: None,
        billed: None,
        unit_price: None,
        exact: nanos(exact),
        amount: nanos(amount),
        correction: None,
        days: Vec::new(),
    }
}

fn priced(key: LineKey, text: &str, quantity: i64, billed: i64, unit_price: &str, exact: &str, amount: &str) -> Line {
    Line {
        quantity: Some(quantity),
        billed: Some(billed),
        unit_price: Some(nanos(unit_price)),
        ..plain(key, text, exact, amount)
    }
}

fn day(of: &str, quantity: i64, exact: &str) -> LineDay {
    LineDay { day: of.parse().unwrap(), quantity, exact: nanos(exact) }
}

/// Day `k` of October of a fee per month: ⌊A·k/31⌋ − ⌊A·(k−1)/31⌋ nano-units.
fn flat_day(k: i128, units: i128) -> LineDay {
    let until = |k: i128| units * 1_000_000_000 * k / 31;
    LineDay {
        day: BillingDay(month("2026-10").first_day().0 + k as i32 - 1),
        quantity: 0,
        exact: Nanos(until(k) - until(k - 1)),
    }
}

fn month(text: &str) -> BillingMonth {
    text.parse().unwrap()
}

fn instant(text: &str) -> Micros {
    text.parse().unwrap()
}

fn nanos(text: &str) -> Nanos {
    text.parse().unwrap()
}

#[test]
fn totals_are_those_worked_out_by_hand() {
    for (invoice, total) in statement().invoices.iter().zip(TOTALS) {
        assert_eq!(invoice.total().unwrap().text(invoice.currency.places), total);
        for line in &invoice.lines {
            assert_eq!(line.exact.rounded(invoice.currency.places, invoice.rounding), line.amount, "{}", line.text);
            if !line.days.is_empty() {
                assert_eq!(
                    Nanos::checked_sum(line.days.iter().map(|day| day.exact)),
                    Some(line.exact),
                    "{}",
                    line.text
                );
            }
        }
    }
    assert!(preview().invoices.iter().all(|invoice| invoice.number.is_none()));
}
