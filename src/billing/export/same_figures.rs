//! The formats side by side: whatever they look like, each holds the same figures. Per invoice, what is read back out of
//! the bytes of a format adds up to the invoice's total.

use std::collections::BTreeMap;

use super::super::BillingZone;
use super::{ExportOptions, StripeCustomer, StripeCustomers, formats, names, sample};
use crate::base::Nanos;

type Sums = BTreeMap<String, Nanos>;

fn add(sums: &mut Sums, invoice: &str, amount: Nanos) {
    let sum = sums.entry(invoice.to_owned()).or_default();
    *sum = sum.checked_add(amount).unwrap();
}

fn from_csv(bytes: &[u8], invoice: &str, amount: &str) -> Sums {
    let mut sums = Sums::new();
    for row in csv::Reader::from_reader(bytes).deserialize() {
        let row: BTreeMap<String, String> = row.unwrap();
        add(&mut sums, &row[invoice], row[amount].parse().unwrap());
    }
    sums
}

fn from_json(bytes: &[u8]) -> Sums {
    let mut sums = Sums::new();
    let document: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    for invoice in document["invoices"].as_array().unwrap() {
        for line in invoice["lines"].as_array().unwrap() {
            add(&mut sums, invoice["number"].as_str().unwrap(), line["amount"].as_str().unwrap().parse().unwrap());
        }
    }
    sums
}

fn from_parquet(bytes: &[u8]) -> Sums {
    use arrow::array::AsArray;
    use arrow::datatypes::Decimal128Type;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    let mut sums = Sums::new();
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::copy_from_slice(bytes)).unwrap();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let invoices = batch.column_by_name("InvoiceId").unwrap().as_string::<i32>();
        let amounts = batch.column_by_name("BilledCost").unwrap().as_primitive::<Decimal128Type>();
        for row in 0..batch.num_rows() {
            add(&mut sums, invoices.value(row), Nanos(amounts.value(row)));
        }
    }
    sums
}

/// Euros come in cents, yen in yen.
fn from_stripe(bytes: &[u8]) -> Sums {
    let mut sums = Sums::new();
    for line in std::str::from_utf8(bytes).unwrap().lines() {
        let item: serde_json::Value = serde_json::from_str(line).unwrap();
        let params = &item["params"];
        let unit = match params["currency"].as_str().unwrap() {
            "eur" => 10_000_000,
            "jpy" => 1_000_000_000,
            other => panic!("{other}"),
        };
        let amount = Nanos(i128::from(params["amount"].as_i64().unwrap()) * unit);
        add(&mut sums, params["metadata"]["invoice"].as_str().unwrap(), amount);
    }
    sums
}

fn options() -> ExportOptions {
    let customers = [
        ("acme".to_owned(), StripeCustomer::Priced("cus_acme".to_owned())),
        ("gulf".to_owned(), StripeCustomer::Metered("cus_gulf".to_owned())),
        ("tokyo".to_owned(), StripeCustomer::Priced("cus_tokyo".to_owned())),
    ];
    ExportOptions {
        zone: BillingZone::named("Europe/Berlin").unwrap(),
        stripe: StripeCustomers::new(customers).unwrap(),
        ..ExportOptions::default()
    }
}

#[test]
fn every_format_adds_up_to_the_totals() {
    let statement = sample::statement();
    let totals: Sums = (statement.invoices.iter().zip(sample::TOTALS))
        .map(|(invoice, total)| (invoice.number.clone().unwrap(), total.parse().unwrap()))
        .collect();
    // The third customer pays what Stripe's prices make of their usage.
    let priced: Sums = totals.clone().into_iter().filter(|(number, _)| number != "2026-0014").collect();
    let mut checked = 0;
    for format in formats(&options()) {
        for file in format.files(&statement).unwrap() {
            let (found, wanted) = match file.name.as_str() {
                "invoices.csv" => (from_csv(&file.bytes, "number", "total"), &totals),
                "invoice_lines.csv" => (from_csv(&file.bytes, "number", "amount"), &totals),
                "focus.csv" => (from_csv(&file.bytes, "InvoiceId", "BilledCost"), &totals),
                "focus.parquet" => (from_parquet(&file.bytes), &totals),
                "invoices.json" => (from_json(&file.bytes), &totals),
                "stripe_invoice_items.jsonl" => (from_stripe(&file.bytes), &priced),
                // Documents for people and files of usage.
                _ => continue,
            };
            assert_eq!(found, *wanted, "{}", file.name);
            checked += 1;
        }
    }
    assert_eq!(checked, 6);
}

#[test]
fn every_unit_of_usage_is_handed_on_once() {
    let statement = sample::statement();
    let count = |file: &str, value: fn(&serde_json::Value) -> i64| -> i64 {
        let written = formats(&options()).into_iter().flat_map(|format| format.files(&statement).unwrap());
        let bytes = written.into_iter().find(|written| written.name == file).unwrap().bytes;
        std::str::from_utf8(&bytes).unwrap().lines().map(|line| value(&serde_json::from_str(line).unwrap())).sum()
    };
    // 20 000 + 1 000 + 12 345 + 4 000 + 20 123 + 7 + 1 001.
    assert_eq!(count("usage.cloudevents.jsonl", |event| event["data"]["value"].as_i64().unwrap()), 58_476);
    // Only the third customer is metered by Stripe.
    let value = |event: &serde_json::Value| event["payload"]["value"].as_str().unwrap().parse().unwrap();
    assert_eq!(count("stripe_meter_events.jsonl", value), 7);
}

#[test]
fn names_are_in_order_and_bytes_repeat() {
    let names = names();
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    for format in formats(&options()) {
        assert_eq!(format.files(&sample::statement()).unwrap(), format.files(&sample::statement()).unwrap());
    }
}
