//! An invoice as it is printed, whatever it is printed on: every word and figure in its place, nothing left to be
//! computed. HTML and PDF are made from this alone, so they cannot differ.

use serde::Serialize;

use super::super::bill::percent;
use super::super::invoice::{Currency, Invoice, InvoiceKind, Line, LineKind, Party, TotalTooLarge};
use super::super::{BillingMonth, BillingZone};
use super::figures::{amount, billing_day, day, exact, file_stem, harmless, harmless_lines, month, whole};
use crate::base::{Nanos, Rounding};

/// A printed invoice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Page {
    /// The file's name without its ending.
    pub(super) stem: String,
    /// `Invoice`, `Credit note`.
    pub(super) title: &'static str,
    /// Its number; none: a preview.
    pub(super) number: Option<String>,
    /// Title and number, or customer and month of a preview.
    pub(super) heading: String,
    /// What is told on every page of a preview.
    pub(super) warning: Option<&'static str>,
    /// Who sells.
    pub(super) seller: Block,
    /// Who pays.
    pub(super) customer: Block,
    /// Number, days, month, zone, currency.
    pub(super) facts: Vec<Fact>,
    /// What the total means: `Amount due`, `Total, in your favour`.
    pub(super) due: Fact,
    /// The currency's code.
    pub(super) currency: String,
    /// The lines.
    pub(super) sections: Vec<Section>,
    /// Subtotal and tax.
    pub(super) sums: Vec<Fact>,
    /// The total.
    pub(super) total: Fact,
    /// How it was rounded.
    pub(super) notes: Vec<String>,
    /// The seller's terms, line by line.
    pub(super) terms: Vec<String>,
}

/// Somebody's name and what stands below it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Block {
    pub(super) name: String,
    pub(super) lines: Vec<String>,
}

/// A word and what it says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Fact {
    pub(super) label: String,
    pub(super) value: String,
}

/// Lines that belong together.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Section {
    pub(super) title: String,
    pub(super) rows: Vec<Row>,
}

/// A line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Row {
    pub(super) line: u32,
    pub(super) text: String,
    /// What explains it: packages, the invoice it corrects.
    pub(super) details: Vec<String>,
    pub(super) quantity: Option<String>,
    pub(super) unit_price: Option<String>,
    pub(super) amount: String,
}

impl Page {
    /// The invoice as printed.
    pub(super) fn of(invoice: &Invoice) -> Result<Self, TotalTooLarge> {
        let currency = &invoice.currency;
        let of_month = month(invoice.month);
        let title = match invoice.kind {
            InvoiceKind::Invoice => "Invoice",
            InvoiceKind::CreditNote => "Credit note",
        };
        let number = invoice.number.as_deref().map(harmless);
        let total = invoice.total()?;
        let heading = match &number {
            Some(number) => format!("{title} {number}"),
            None => format!("Preview for {of_month}"),
        };
        let stem = match &invoice.number {
            Some(number) => file_stem(number),
            None => format!("{}-{}", file_stem(&invoice.customer_id), file_stem(&currency.code)),
        };
        let value = format!("{}\u{a0}{}", currency.code, amount(total, currency));
        Ok(Self {
            stem,
            title,
            heading,
            warning: number
                .is_none()
                .then_some("PREVIEW: not an invoice. Figures may change until the month is closed."),
            seller: block(&invoice.seller, None),
            customer: block(&invoice.customer, Some(&invoice.customer_id)),
            facts: facts(invoice, number.as_deref()),
            due: fact(due(invoice, total), value.clone()),
            currency: currency.code.clone(),
            sections: sections(invoice),
            sums: sums(invoice)?,
            total: fact("Total", value),
            notes: vec![rounding(invoice.rounding, currency)],
            terms: invoice.terms.as_deref().map(harmless_lines).unwrap_or_default(),
            number,
        })
    }
}

fn fact(label: impl Into<String>, value: impl Into<String>) -> Fact {
    Fact { label: label.into(), value: value.into() }
}

fn block(party: &Party, id: Option<&str>) -> Block {
    let mut lines: Vec<String> = party.address.iter().map(|line| harmless(line)).collect();
    lines.extend(party.tax_id.iter().map(|id| format!("Tax number {}", harmless(id))));
    lines.extend(party.email.as_deref().map(harmless));
    let name = harmless(if party.name.is_empty() { id.unwrap_or_default() } else { &party.name });
    Block { name, lines }
}

fn facts(invoice: &Invoice, number: Option<&str>) -> Vec<Fact> {
    let mut facts = Vec::new();
    facts.push(fact("Number", number.unwrap_or("none: a preview")));
    facts.extend(invoice.issued_on.map(|on| fact("Issued", day(on))));
    facts.extend(invoice.due_on.map(|on| fact("Due", day(on))));
    facts.push(fact("Month", format!("{} ({})", month(invoice.month), harmless(&invoice.zone))));
    facts.push(fact("Customer", harmless(&invoice.customer_id)));
    facts.push(fact("Currency", invoice.currency.code.clone()));
    facts
}

/// What the total is called.
fn due(invoice: &Invoice, total: Nanos) -> String {
    match (invoice.kind, invoice.due_on) {
        (InvoiceKind::CreditNote, _) => "Total, in your favour".to_owned(),
        (_, Some(on)) if total > Nanos(0) => format!("Amount due by {}", day(on)),
        _ => "Amount due".to_owned(),
    }
}

/// The lines before tax: plan by plan, adjustments, corrections.
fn sections(invoice: &Invoice) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in invoice.lines.iter().filter(|line| line.key.kind != LineKind::Tax) {
        let title = match (&line.correction, line.key.kind, &line.key.plan) {
            (Some(_), _, _) => "Corrections of earlier months".to_owned(),
            (None, LineKind::Adjustment, _) => "Adjustments".to_owned(),
            (None, _, Some(plan)) => format!("{}: plan {}", month(line.key.month), harmless(plan)),
            (None, _, None) => month(line.key.month),
        };
        let row = row(line, &invoice.currency, &invoice.zone);
        match sections.iter_mut().find(|section| section.title == title) {
            Some(section) => section.rows.push(row),
            None => sections.push(Section { title, rows: vec![row] }),
        }
    }
    // This month's prices come first, whatever the order of the lines.
    let place =
        |section: &Section| ["Adjustments", "Corrections of earlier months"].iter().position(|t| section.title == *t);
    sections.sort_by_key(|section| place(section).map_or(0, |at| at + 1));
    sections
}

fn row(line: &Line, currency: &Currency, zone: &str) -> Row {
    let mut details = Vec::new();
    if line.billed != line.quantity {
        details.extend(line.billed.map(|billed| match line.key.model.as_deref() {
            Some("package") => format!("{} packages begun", whole(billed)),
            _ => format!("{} units charged", whole(billed)),
        }));
    }
    details.extend(price_since(line, zone));
    details.extend(correction(line, currency));
    Row {
        line: line.line,
        text: harmless(&line.text),
        details,
        quantity: line.quantity.map(whole),
        unit_price: line.unit_price.map(|price| exact(price, currency)),
        amount: amount(line.amount, currency),
    }
}

/// Said where a price began within the month: the same price may be on the invoice twice.
fn price_since(line: &Line, zone: &str) -> Option<String> {
    let from = BillingZone::named(zone).ok()?.day_of(line.key.price_from?);
    let is_within = from > line.key.month.first_day() && from.month() == line.key.month;
    is_within.then(|| format!("from {}", billing_day(from)))
}

fn correction(line: &Line, currency: &Currency) -> Option<String> {
    let correction = line.correction.as_ref()?;
    let of_month = month(line.key.month);
    let what = match correction.invoice.as_deref().map(harmless) {
        Some(number) => format!("Corrects invoice {number} of {of_month}"),
        None => format!("Belongs to {of_month}, which had no invoice"),
    };
    let (now, before) = (exact(correction.exact_now, currency), amount(correction.printed_before, currency));
    Some(format!("{what}: now {now}, billed before {before}"))
}

/// Subtotal and tax; several taxes are also added up.
fn sums(invoice: &Invoice) -> Result<Vec<Fact>, TotalTooLarge> {
    let currency = &invoice.currency;
    let mut sums = vec![fact("Subtotal", amount(invoice.subtotal()?, currency))];
    let taxes: Vec<&Line> = invoice.lines.iter().filter(|line| line.key.kind == LineKind::Tax).collect();
    sums.extend(taxes.iter().map(|line| fact(tax(line, invoice.month), amount(line.amount, currency))));
    if taxes.len() > 1 {
        sums.push(fact("Tax together", amount(invoice.tax()?, currency)));
    }
    Ok(sums)
}

fn tax(line: &Line, of: BillingMonth) -> String {
    let text = match (line.text.is_empty(), line.key.tax_ppm) {
        (true, Some(ppm)) => format!("Tax {} %", percent(ppm)),
        _ => harmless(&line.text),
    };
    let corrected = line.correction.as_ref().and_then(|correction| correction.invoice.as_deref());
    match (corrected.map(harmless), line.key.month == of) {
        (Some(number), _) => format!("{text} (corrects {number})"),
        (None, false) => format!("{text} ({})", month(line.key.month)),
        (None, true) => text,
    }
}

fn rounding(rounding: Rounding, currency: &Currency) -> String {
    let step = Nanos(10_i128.pow(9 - currency.places.min(9)));
    let halves = match rounding {
        Rounding::HalfUp => "a half away from zero",
        Rounding::HalfEven => "a half to the even one",
    };
    format!(
        "Each line is rounded once, to the nearest {} {}, {halves}. Subtotal, tax and total add up the rounded lines.",
        currency.code,
        step.text(currency.places)
    )
}
