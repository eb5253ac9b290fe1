//! The `json` format: `invoices.json` with the month and its invoices as they are, each with its subtotal, tax and total.
//! What is printed (amounts, totals, what was printed before) is decimal text with the currency's places; what is exact has
//! up to nine. Nothing is a JSON number but counts, so no reader makes a float of money.

use serde::Serialize;

use super::super::BillingMonth;
use super::super::invoice::{Correction, Currency, Invoice, InvoiceKind, Line, LineDay, LineKey, Party};
use super::{Export, ExportError, ExportFile, Statement};
use crate::base::{Nanos, Rounding, UtcDay};

/// Invoices as JSON.
#[derive(Clone, Copy, Debug)]
pub struct Json;

const FORMAT: &str = "json";

#[derive(Serialize)]
struct Document<'a> {
    month: BillingMonth,
    invoices: Vec<JsonInvoice<'a>>,
}

/// The fields of an [`Invoice`] in their order, then the sums.
#[derive(Serialize)]
struct JsonInvoice<'a> {
    number: &'a Option<String>,
    kind: InvoiceKind,
    month: BillingMonth,
    issued_on: Option<UtcDay>,
    due_on: Option<UtcDay>,
    seller: &'a Party,
    customer_id: &'a str,
    customer: &'a Party,
    currency: &'a Currency,
    rounding: Rounding,
    zone: &'a str,
    terms: &'a Option<String>,
    lines: Vec<JsonLine<'a>>,
    subtotal: String,
    tax: String,
    total: String,
}

#[derive(Serialize)]
struct JsonLine<'a> {
    line: u32,
    #[serde(flatten)]
    key: &'a LineKey,
    text: &'a str,
    quantity: Option<i64>,
    billed: Option<i64>,
    unit_price: Option<Nanos>,
    exact: Nanos,
    amount: String,
    correction: Option<JsonCorrection<'a>>,
    days: &'a [LineDay],
}

#[derive(Serialize)]
struct JsonCorrection<'a> {
    invoice: &'a Option<String>,
    exact_now: Nanos,
    printed_before: String,
}

impl Export for Json {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn files(&self, statement: &Statement) -> Result<Vec<ExportFile>, ExportError> {
        let invoices = statement.invoices.iter().map(invoice).collect::<Result<_, _>>()?;
        let document = Document { month: statement.month, invoices };
        let mut bytes = serde_json::to_vec_pretty(&document)
            .map_err(|error| ExportError::Failed { format: FORMAT, problem: error.to_string() })?;
        bytes.push(b'\n');
        Ok(vec![ExportFile { name: "invoices.json".to_owned(), bytes }])
    }
}

fn invoice(invoice: &Invoice) -> Result<JsonInvoice<'_>, ExportError> {
    // Named one by one: a field that is added must find its place here.
    let Invoice {
        number,
        kind,
        month,
        issued_on,
        due_on,
        seller,
        customer_id,
        customer,
        currency,
        rounding,
        zone,
        terms,
        lines,
    } = invoice;
    Ok(JsonInvoice {
        number,
        kind: *kind,
        month: *month,
        issued_on: *issued_on,
        due_on: *due_on,
        seller,
        customer_id,
        customer,
        currency,
        rounding: *rounding,
        zone,
        terms,
        lines: lines.iter().map(|one| line(one, currency)).collect(),
        subtotal: invoice.subtotal()?.text(currency.places),
        tax: invoice.tax()?.text(currency.places),
        total: invoice.total()?.text(currency.places),
    })
}

fn line<'a>(line: &'a Line, currency: &Currency) -> JsonLine<'a> {
    let Line { line, key, text, quantity, billed, unit_price, exact, amount, correction, days } = line;
    JsonLine {
        line: *line,
        key,
        text,
        quantity: *quantity,
        billed: *billed,
        unit_price: *unit_price,
        exact: *exact,
        amount: amount.text(currency.places),
        correction: correction.as_ref().map(|Correction { invoice, exact_now, printed_before }| JsonCorrection {
            invoice,
            exact_now: *exact_now,
            printed_before: printed_before.text(currency.places),
        }),
        days,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn looks_like_this() {
        let mut statement = sample::statement();
        // 31 equal days of a fee would fill the page.
        statement.invoices[0].lines[2].days.truncate(2);
        let files = Json.files(&statement).unwrap();
        insta::assert_snapshot!(String::from_utf8_lossy(&files[0].bytes));
    }

    #[test]
    fn nothing_is_lost_on_the_way() {
        #[derive(serde::Deserialize)]
        struct Read {
            month: BillingMonth,
            invoices: Vec<Invoice>,
        }
        for statement in [sample::statement(), sample::preview()] {
            let read: Read = serde_json::from_slice(&Json.files(&statement).unwrap()[0].bytes).unwrap();
            assert_eq!((read.month, read.invoices), (statement.month, statement.invoices));
        }
    }

    #[test]
    fn amounts_are_text_with_the_places_of_the_currency() {
        let bytes = Json.files(&sample::statement()).unwrap().remove(0).bytes;
        let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let figures = |invoice: usize| {
            ["subtotal", "tax", "total"].map(|name| read["invoices"][invoice][name].as_str().unwrap().to_owned())
        };
        assert_eq!(figures(0), ["95.10", "18.07", "113.17"]);
        assert_eq!(figures(1), ["3450", "345", "3795"]);
        assert_eq!(figures(2), ["-12.412", "0.000", "-12.412"]);
        assert_eq!(read["invoices"][2]["lines"][1]["correction"]["printed_before"], "50.000");
    }
}
