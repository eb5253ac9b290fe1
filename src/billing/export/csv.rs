//! The `csv` format: `invoices.csv` with one row per invoice, `invoice_lines.csv` with one row per line. RFC 4180 with a
//! header row, UTF-8. A text cell that begins with `=`, `+`, `-`, `@`, a tab or an end of line is prefixed with an
//! apostrophe: a spreadsheet would run it as a formula. Numbers and days are written as they are, so a negative amount
//! keeps its sign.

use csv::Writer;

use super::super::invoice::{Invoice, Line};
use super::{Export, ExportError, ExportFile, Statement};

/// Invoices as comma-separated values.
#[derive(Clone, Copy, Debug)]
pub struct Csv;

const FORMAT: &str = "csv";

const INVOICE_COLUMNS: [&str; 17] = [
    "number",
    "kind",
    "month",
    "issued_on",
    "due_on",
    "seller_name",
    "customer_id",
    "customer_name",
    "customer_address",
    "customer_tax_id",
    "customer_email",
    "currency",
    "subtotal",
    "tax",
    "total",
    "zone",
    "terms",
];

const LINE_COLUMNS: [&str; 23] = [
    "number",
    "month",
    "customer_id",
    "currency",
    "line",
    "kind",
    "line_month",
    "plan",
    "price_id",
    "price_from",
    "model",
    "meter",
    "tier",
    "tax_ppm",
    "text",
    "quantity",
    "billed",
    "unit_price",
    "exact",
    "amount",
    "corrects",
    "exact_now",
    "printed_before",
];

impl Export for Csv {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn files(&self, statement: &Statement) -> Result<Vec<ExportFile>, ExportError> {
        let mut invoices = Sheet::new(&INVOICE_COLUMNS)?;
        let mut lines = Sheet::new(&LINE_COLUMNS)?;
        for invoice in &statement.invoices {
            invoices.row(&invoice_row(invoice)?)?;
            for line in &invoice.lines {
                lines.row(&line_row(invoice, line))?;
            }
        }
        Ok(vec![invoices.file("invoices.csv")?, lines.file("invoice_lines.csv")?])
    }
}

fn invoice_row(invoice: &Invoice) -> Result<[String; INVOICE_COLUMNS.len()], ExportError> {
    let places = invoice.currency.places;
    let customer = &invoice.customer;
    Ok([
        maybe_text(invoice.number.as_deref()),
        invoice.kind.name().to_owned(),
        invoice.month.to_string(),
        shown(invoice.issued_on),
        shown(invoice.due_on),
        text(&invoice.seller.name),
        text(&invoice.customer_id),
        text(&customer.name),
        text(&customer.address.join(" | ")),
        maybe_text(customer.tax_id.as_deref()),
        maybe_text(customer.email.as_deref()),
        text(&invoice.currency.code),
        invoice.subtotal()?.text(places),
        invoice.tax()?.text(places),
        invoice.total()?.text(places),
        text(&invoice.zone),
        maybe_text(invoice.terms.as_deref()),
    ])
}

fn line_row(invoice: &Invoice, line: &Line) -> [String; LINE_COLUMNS.len()] {
    let (key, correction) = (&line.key, line.correction.as_ref());
    [
        maybe_text(invoice.number.as_deref()),
        invoice.month.to_string(),
        text(&invoice.customer_id),
        text(&invoice.currency.code),
        line.line.to_string(),
        key.kind.name().to_owned(),
        key.month.to_string(),
        maybe_text(key.plan.as_deref()),
        maybe_text(key.price_id.as_deref()),
        shown(key.price_from),
        maybe_text(key.model.as_deref()),
        maybe_text(key.meter.as_deref()),
        maybe_text(key.tier.as_deref()),
        shown(key.tax_ppm),
        text(&line.text),
        shown(line.quantity),
        shown(line.billed),
        shown(line.unit_price),
        line.exact.to_string(),
        line.amount.text(invoice.currency.places),
        maybe_text(correction.and_then(|correction| correction.invoice.as_deref())),
        shown(correction.map(|correction| correction.exact_now)),
        shown(correction.map(|correction| correction.printed_before.text(invoice.currency.places))),
    ]
}

/// What cannot begin a formula: numbers, days, months.
fn shown(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn maybe_text(value: Option<&str>) -> String {
    value.map(text).unwrap_or_default()
}

/// Text that no spreadsheet takes for a formula.
fn text(value: &str) -> String {
    if value.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{value}") } else { value.to_owned() }
}

/// A file in the making.
struct Sheet(Writer<Vec<u8>>);

impl Sheet {
    fn new(columns: &[&str]) -> Result<Self, ExportError> {
        let mut sheet = Writer::from_writer(Vec::new());
        sheet.write_record(columns).map_err(failed)?;
        Ok(Self(sheet))
    }

    fn row(&mut self, cells: &[String]) -> Result<(), ExportError> {
        self.0.write_record(cells).map_err(failed)
    }

    fn file(self, name: &str) -> Result<ExportFile, ExportError> {
        Ok(ExportFile { name: name.to_owned(), bytes: self.0.into_inner().map_err(failed)? })
    }
}

fn failed(error: impl ToString) -> ExportError {
    ExportError::Failed { format: FORMAT, problem: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn written(statement: &Statement) -> String {
        let files = Csv.files(statement).unwrap();
        files.iter().map(|file| format!("{}:\n{}", file.name, String::from_utf8_lossy(&file.bytes))).collect()
    }

    #[test]
    fn looks_like_this() {
        insta::assert_snapshot!(written(&sample::statement()));
    }

    #[test]
    fn formulas_are_disarmed_and_numbers_are_not() {
        for (given, wanted) in [
            ("=1+1", "'=1+1"),
            ("+49 30", "'+49 30"),
            ("-2", "'-2"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("a=1", "a=1"),
            ("", ""),
            ("'=1", "'=1"),
        ] {
            assert_eq!(text(given), wanted);
        }
        let files = Csv.files(&sample::statement()).unwrap();
        let mut amounts = Vec::new();
        for file in &files {
            let mut reader = csv::Reader::from_reader(&file.bytes[..]);
            let names = reader.headers().unwrap().clone();
            for row in reader.records() {
                for (name, cell) in names.iter().zip(&row.unwrap()) {
                    let is_number = cell.parse::<crate::base::Nanos>().is_ok();
                    assert!(is_number || !cell.starts_with(['=', '+', '-', '@', '\t']), "{name}: {cell}");
                    if name == "amount" {
                        amounts.push(cell.to_owned());
                    }
                }
            }
        }
        assert!(amounts.contains(&"-12.500".to_owned()), "{amounts:?}");
    }

    #[test]
    fn a_preview_has_no_number() {
        let files = Csv.files(&sample::preview()).unwrap();
        assert!(String::from_utf8_lossy(&files[0].bytes).contains("\n,invoice,2026-10,,,"));
    }
}
