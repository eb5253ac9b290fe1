//! Statements that printed formats must stand: hostile text, long names, hundreds of lines, the largest numbers.

use super::super::invoice::{Currency, Invoice, InvoiceKind, Line, Party};
use super::Statement;
use super::sample;
use crate::base::Nanos;

/// The first invoice of the sample, changed.
fn changed(change: impl FnOnce(&mut Invoice)) -> Statement {
    let mut statement = sample::statement();
    statement.invoices.truncate(1);
    change(&mut statement.invoices[0]);
    statement
}

/// Two hundred lines, some with long texts, and the widest numbers.
pub(super) fn long() -> Statement {
    changed(|invoice| {
        let usage = invoice.lines[1].clone();
        let before_tax = invoice.lines.len() - 1;
        let more = (0..200_i64).map(|n| Line {
            text: match n % 40 {
                7 => format!("route /v1/{}", "very-long-path-segment/".repeat(9)),
                11 => "one word after another ".repeat(20),
                _ => format!("api_calls (pro: calls-{n})"),
            },
            quantity: Some(n * 7_919),
            billed: Some(n * 7_919),
            unit_price: Some(Nanos(n as i128 * 1_000_003)),
            exact: Nanos(n as i128 * 7_919 * n as i128 * 1_000_003),
            amount: Nanos((n as i128 * 7_919 * n as i128 * 1_000_003) / 10_000_000 * 10_000_000),
            ..usage.clone()
        });
        invoice.lines.splice(before_tax..before_tax, more);
        for (line, number) in invoice.lines.iter_mut().zip(1..) {
            line.line = number;
        }
    })
}

/// A quantity of 2^63 − 1 at the highest price, and a total near the end of the range.
pub(super) fn wide() -> Statement {
    changed(|invoice| {
        let line = &mut invoice.lines[1];
        (line.quantity, line.billed) = (Some(i64::MAX), Some(i64::MAX));
        line.unit_price = Some("999999999.999999999".parse().unwrap());
        // 9 223 372 036 854 775 807 × 999 999 999.999999999, which has 9 places and 28 digits before them, rounded to
        // cents.
        line.exact = line.unit_price.unwrap().checked_mul(i64::MAX).unwrap();
        line.amount = line.exact.rounded(2, invoice.rounding);
        invoice.lines[2].quantity = Some(i64::MIN);
        invoice.lines[7].text = "VAT 19 % ".repeat(12);
    })
}

/// Text that would break out, run, or turn the page around.
pub(super) fn hostile() -> Statement {
    changed(|invoice| {
        let text = "</style></title><script>alert(1)</script>\"' onload=x {{ page }} \u{202E}evil\u{2066}\u{0}\u{1b}[31m\u{7f}";
        // Soft hyphen, joiners, marks of direction, variation, tags, private use, no characters.
        let odd = "a\u{AD}b\u{200B}\u{200D}\u{200E}\u{200F}\u{61C}\u{FE0F}\u{E0041}\u{E000}\u{FEFF}\u{FFFE}\u{FFFF}\
            \u{10FFFF}\u{301}";
        let odd = odd.to_owned();
        invoice.customer = Party {
            name: text.into(),
            address: vec![
                text.into(),
                "الخليج العربي".into(),
                "株式会社".into(),
                "👩‍💻 e\u{301}".into(),
                String::new(),
                odd,
            ],
            tax_id: Some(text.into()),
            email: Some(text.into()),
        };
        invoice.seller.name = text.into();
        invoice.terms = Some(format!("{text}\nsecond line"));
        invoice.customer_id = text.into();
        invoice.zone = text.into();
        for line in &mut invoice.lines {
            line.text = text.into();
            line.key.plan = Some(text.into());
        }
    })
}

/// Names and addresses that do not fit.
pub(super) fn lengthy() -> Statement {
    changed(|invoice| {
        invoice.kind = InvoiceKind::CreditNote;
        invoice.customer.name =
            "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft".repeat(2);
        invoice.customer.address =
            (1..=12).map(|n| format!("Building {n}, {}", "Long Street Name ".repeat(n))).collect();
        invoice.seller.name =
            "The Company That Sells Things to Other Companies and Says So in Its Name, Limited".into();
        invoice.terms = Some("Payable within 14 days without deduction. ".repeat(40));
        invoice.currency = Currency { code: "EUR".into(), places: 2 };
    })
}

/// All of them, and the sample.
pub(super) fn all() -> Vec<(&'static str, Statement)> {
    vec![
        ("sample", sample::statement()),
        ("preview", sample::preview()),
        ("long", long()),
        ("wide", wide()),
        ("hostile", hostile()),
        ("lengthy", lengthy()),
    ]
}
