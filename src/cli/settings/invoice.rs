//! `[seller]` and `[invoice]`: who sells and how invoices are made out.

use crate::base::Rounding;
use crate::base::document::{Item, Section};
use crate::billing::invoice::Party;
use crate::billing::{InvoiceTerms, NumberFormat};

/// Hours after the end of a month in which late records are waited for, unless the file says otherwise.
const CLOSE_AFTER_HOURS: u32 = 48;

/// `None` only where a problem was noted.
pub(super) fn read(root: &Section<'_>) -> Option<InvoiceTerms> {
    let seller = match root.get("seller") {
        Some(item) => seller(&item),
        None => Some(Party::default()),
    };
    let invoice = match root.get("invoice") {
        Some(item) => terms(&item),
        None => Some(InvoiceTerms { close_after_hours: CLOSE_AFTER_HOURS, ..InvoiceTerms::default() }),
    };
    Some(InvoiceTerms { seller: seller?, ..invoice? })
}

fn seller(item: &Item<'_>) -> Option<Party> {
    let section = item.section(&["name", "address", "tax_id", "email"])?;
    let text = |key: &str| match section.get(key) {
        Some(item) => item.text().map(|text| Some(text.to_owned())),
        None => Some(None),
    };
    let name = section.required("name").and_then(|item| item.text());
    let address = match section.get("address") {
        Some(item) => {
            let lines = item.one_or_more();
            let texts: Vec<String> = lines.iter().filter_map(|line| Some(line.text()?.to_owned())).collect();
            (texts.len() == lines.len()).then_some(texts)
        }
        None => Some(Vec::new()),
    };
    let (tax_id, email) = (text("tax_id"), text("email"));
    Some(Party { name: name?.to_owned(), address: address?, tax_id: tax_id?, email: email? })
}

fn terms(item: &Item<'_>) -> Option<InvoiceTerms> {
    let section = item.section(&["number", "rounding", "close_after_hours", "due_days", "text", "held_events_max"])?;
    let number = match section.get("number") {
        Some(item) => {
            item.text().and_then(|text| NumberFormat::parse(text).map_err(|error| item.problem(error.to_string())).ok())
        }
        None => Some(NumberFormat::default()),
    };
    let rounding = match section.get("rounding") {
        Some(item) => item.word(&[("half-up", Rounding::HalfUp), ("half-even", Rounding::HalfEven)]),
        None => Some(Rounding::default()),
    };
    let whole = |key: &str, max: i64| match section.get(key) {
        Some(item) => item.integer(0..=max).map(Some),
        None => Some(None),
    };
    let days = |number: i64| u32::try_from(number).ok();
    let hours = whole("close_after_hours", 24 * 60);
    let due = whole("due_days", 366);
    let held = whole("held_events_max", i64::MAX);
    let text = match section.get("text") {
        Some(item) => item.text().map(|text| Some(text.to_owned())),
        None => Some(None),
    };
    Some(InvoiceTerms {
        seller: Party::default(),
        numbers: number?,
        rounding: rounding?,
        close_after_hours: hours?.and_then(days).unwrap_or(CLOSE_AFTER_HOURS),
        due_days: due?.and_then(days),
        text: text?,
        held_events_max: held?.and_then(|max| u64::try_from(max).ok()).unwrap_or(0),
    })
}
