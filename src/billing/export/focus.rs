//! The `focus` format: the FinOps Open Cost and Usage Specification 1.4, dataset Cost and Usage, as `focus.csv` and
//! `focus.parquet`. One row per invoice line: a line is what is rounded, so only then does BilledCost add up to the total.
//! The charge period is the line's month, the billing period the invoice's, both as instants in UTC. Columns are the
//! mandatory ones, those others that apply, in the order of the specification, and our own (`x_…`) last. Text is
//! written as it is, since consumers join on it. Money and quantities are DECIMAL(38,9), never floats.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use serde_json::json;

use super::super::invoice::{Invoice, Line, LineKind};
use super::super::{BillingMonth, BillingZone};
use super::{Export, ExportError, ExportFile, Statement};
use crate::base::money::NANOS_PER_UNIT;
use crate::base::{Micros, Nanos};

/// Invoice lines as FOCUS rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Focus {
    /// ServiceName: what is sold.
    pub service: String,
}

use Value::{Decimal, Text, Time};

const FORMAT: &str = "focus";

/// A line with what its columns are made from.
struct Facts<'a> {
    service: &'a str,
    invoice: &'a Invoice,
    line: &'a Line,
    category: &'static str,
    priced: Option<Priced>,
    sku: Option<String>,
    billing: (Micros, Micros),
    charge: (Micros, Micros),
}

/// How a column is filled; an absent value and an empty text are NULL.
enum Value {
    Text(fn(&Facts<'_>) -> Option<String>),
    Decimal(fn(&Facts<'_>) -> Option<Nanos>),
    Time(fn(&Facts<'_>) -> Micros),
}

/// The columns in the order of the specification, ours last.
const COLUMNS: &[(&str, Value)] = &[
    ("BilledCost", Decimal(|of| Some(of.line.amount))),
    ("BillingAccountId", Text(|of| Some(of.invoice.customer_id.clone()))),
    ("BillingAccountName", Text(|of| Some(of.invoice.customer.name.clone()))),
    ("BillingCurrency", Text(|of| Some(of.invoice.currency.code.clone()))),
    ("BillingPeriodEnd", Time(|of| of.billing.1)),
    ("BillingPeriodStart", Time(|of| of.billing.0)),
    ("ChargeCategory", Text(|of| Some(of.category.to_owned()))),
    ("ChargeClass", Text(|of| of.line.is_correction().then(|| "Correction".to_owned()))),
    ("ChargeDescription", Text(|of| Some(of.line.text.clone()))),
    ("ChargeFrequency", Text(|of| Some(frequency(of.line.key.kind).to_owned()))),
    ("ChargePeriodEnd", Time(|of| of.charge.1)),
    ("ChargePeriodStart", Time(|of| of.charge.0)),
    ("ConsumedQuantity", Decimal(|of| of.consumed().map(|(quantity, _)| whole(quantity)))),
    ("ConsumedUnit", Text(|of| of.consumed().map(|(_, meter)| meter.to_owned()))),
    ("ContractedCost", Decimal(|of| Some(of.list_cost()))),
    ("EffectiveCost", Decimal(|of| Some(of.line.amount))),
    ("HostProviderName", Text(|of| Some(of.invoice.seller.name.clone()))),
    ("InvoiceDetailId", Text(|of| of.invoice.number.as_ref().map(|_| of.line.line.to_string()))),
    ("InvoiceId", Text(|of| of.invoice.number.clone())),
    ("InvoiceIssuerName", Text(|of| Some(of.invoice.seller.name.clone()))),
    ("ListCost", Decimal(|of| Some(of.list_cost()))),
    ("ListUnitPrice", Decimal(|of| of.priced.as_ref().map(|priced| priced.unit_price))),
    ("PricingQuantity", Decimal(|of| of.priced.as_ref().map(|priced| whole(priced.quantity)))),
    ("PricingUnit", Text(|of| of.priced.as_ref().map(|priced| priced.unit.clone()))),
    ("ServiceCategory", Text(|_| Some("Web".to_owned()))),
    ("ServiceName", Text(|of| Some(of.service.to_owned()))),
    ("ServiceProviderName", Text(|of| Some(of.invoice.seller.name.clone()))),
    ("SkuId", Text(|of| of.sku.clone())),
    ("SkuMeter", Text(|of| of.line.key.meter.clone().filter(|_| of.sku.is_some()))),
    ("SkuPriceDetails", Text(|of| of.sku.as_ref().and_then(|_| details(of.line)))),
    ("SkuPriceId", Text(|of| of.sku.as_ref().map(|sku| price_id(sku, of.line)))),
    ("x_Corrects", Text(|of| of.line.correction.as_ref().and_then(|correction| correction.invoice.clone()))),
    ("x_ExactCost", Decimal(|of| Some(of.line.exact))),
    ("x_LineKind", Text(|of| Some(of.line.key.kind.name().to_owned()))),
];

impl Export for Focus {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn files(&self, statement: &Statement) -> Result<Vec<ExportFile>, ExportError> {
        if self.service.is_empty() {
            return Err(failed("the service has no name"));
        }
        let mut rows = Vec::new();
        for invoice in &statement.invoices {
            let zone = BillingZone::named(&invoice.zone).map_err(|error| unfit(invoice, error))?;
            if invoice.seller.name.is_empty() {
                return Err(unfit(invoice, "the seller has no name"));
            }
            rows.extend(invoice.lines.iter().map(|line| self.facts(invoice, line, zone)));
        }
        Ok(vec![
            ExportFile { name: "focus.csv".to_owned(), bytes: csv_bytes(&rows).map_err(failed)? },
            ExportFile { name: "focus.parquet".to_owned(), bytes: parquet_bytes(&rows).map_err(failed)? },
        ])
    }
}

impl Focus {
    fn facts<'a>(&'a self, invoice: &'a Invoice, line: &'a Line, zone: BillingZone) -> Facts<'a> {
        let category = category(line.key.kind);
        let price = line.key.price_id.as_ref().filter(|_| is_priced(category));
        Facts {
            service: &self.service,
            invoice,
            line,
            category,
            priced: Priced::of(line, category),
            sku: price.map(|price| format!("{}/{price}", line.key.plan.as_deref().unwrap_or_default())),
            billing: instants(zone, invoice.month),
            charge: instants(zone, line.key.month),
        }
    }
}

impl Facts<'_> {
    /// Prices are exact and a line is rounded once; what has no price costs what is printed.
    fn list_cost(&self) -> Nanos {
        if self.priced.is_some() { self.line.exact } else { self.line.amount }
    }

    fn consumed(&self) -> Option<(i64, &str)> {
        let is_usage = self.line.key.kind == LineKind::Usage;
        self.line.quantity.filter(|_| is_usage).zip(self.line.key.meter.as_deref())
    }
}

/// What a list cost is the product of: the exact cost is `quantity` × `unit_price`.
struct Priced {
    quantity: i64,
    unit_price: Nanos,
    unit: String,
}

impl Priced {
    /// None for what is no usage or purchase, and for a correction that is no product.
    fn of(line: &Line, category: &str) -> Option<Self> {
        if !is_priced(category) {
            return None;
        }
        let product = line.billed.zip(line.unit_price).filter(|(billed, price)| {
            // A difference of corrected amounts need not be one.
            price.checked_mul(*billed) == Some(line.exact)
        });
        match product {
            Some((quantity, unit_price)) => {
                let unit = match (line.key.model.as_deref(), &line.key.meter) {
                    (Some("package"), _) => "Packages".to_owned(),
                    (_, Some(meter)) => meter.clone(),
                    (_, None) => "Units".to_owned(),
                };
                Some(Self { quantity, unit_price, unit })
            }
            None if line.is_correction() => None,
            None => Some(Self { quantity: 1, unit_price: line.exact, unit: "Charges".to_owned() }),
        }
    }
}

fn category(kind: LineKind) -> &'static str {
    match kind {
        LineKind::Usage => "Usage",
        LineKind::Flat | LineKind::Minimum => "Purchase",
        LineKind::Discount => "Credit",
        LineKind::Adjustment => "Adjustment",
        LineKind::Tax => "Tax",
    }
}

/// Only what is bought has a price and a SKU.
fn is_priced(category: &str) -> bool {
    matches!(category, "Usage" | "Purchase")
}

fn frequency(kind: LineKind) -> &'static str {
    match kind {
        LineKind::Usage | LineKind::Discount => "Usage-Based",
        LineKind::Flat | LineKind::Minimum => "Recurring",
        LineKind::Adjustment | LineKind::Tax => "One-Time",
    }
}

/// How the price works, as properties of our own.
fn details(line: &Line) -> Option<String> {
    let mut details = serde_json::Map::new();
    for (name, value) in [("x_Model", &line.key.model), ("x_Tier", &line.key.tier)] {
        if let Some(value) = value {
            details.insert(name.to_owned(), json!(value));
        }
    }
    (!details.is_empty()).then(|| serde_json::Value::Object(details).to_string())
}

/// A price's interval and tier have prices of their own.
fn price_id(sku: &str, line: &Line) -> String {
    let mut id = sku.to_owned();
    for part in [line.key.price_from.map(|from| from.to_string()), line.key.tier.clone()].into_iter().flatten() {
        id = format!("{id}/{part}");
    }
    id
}

fn instants(zone: BillingZone, month: BillingMonth) -> (Micros, Micros) {
    (zone.start(month.first_day()), zone.start(month.next().first_day()))
}

fn whole(quantity: i64) -> Nanos {
    Nanos(i128::from(quantity) * NANOS_PER_UNIT)
}

fn unfit(invoice: &Invoice, problem: impl ToString) -> ExportError {
    let named = invoice.number.as_ref().unwrap_or(&invoice.customer_id);
    ExportError::Unfit { format: FORMAT, invoice: named.clone(), problem: problem.to_string() }
}

fn failed(error: impl ToString) -> ExportError {
    ExportError::Failed { format: FORMAT, problem: error.to_string() }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn csv_bytes(rows: &[Facts<'_>]) -> Result<Vec<u8>, AnyError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS.iter().map(|(name, _)| name))?;
    for row in rows {
        writer.write_record(COLUMNS.iter().map(|(_, value)| match value {
            Text(of) => of(row).unwrap_or_default(),
            Decimal(of) => of(row).map(shortest).unwrap_or_default(),
            Time(of) => of(row).to_string(),
        }))?;
    }
    Ok(writer.into_inner()?)
}

/// Without zeros that say nothing: `49`, `16.05`.
fn shortest(value: Nanos) -> String {
    value.text(9).trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn parquet_bytes(rows: &[Facts<'_>]) -> Result<Vec<u8>, AnyError> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (name, value) in COLUMNS {
        let (column, nullable): (ArrayRef, bool) = match value {
            Text(of) => (
                Arc::new(rows.iter().map(|row| of(row).filter(|text| !text.is_empty())).collect::<StringArray>()),
                true,
            ),
            Decimal(of) => {
                let column: Decimal128Array = rows.iter().map(|row| of(row).map(|value| value.0)).collect();
                (Arc::new(column.with_precision_and_scale(38, 9)?), true)
            }
            Time(of) => {
                let column = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| of(row).0));
                (Arc::new(column.with_timezone("UTC")), false)
            }
        };
        fields.push(Field::new(*name, column.data_type().clone(), nullable));
        columns.push(column);
    }
    let schema = Arc::new(Schema::new(fields));
    // What decides a byte is stated, as for the tables: equal rows give equal files under any version of the library.
    let properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by("meterlake version 1".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, Arc::clone(&schema), Some(properties))?;
    writer.write(&RecordBatch::try_new(schema, columns)?)?;
    writer.close()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{DataType, Decimal128Type, TimeUnit, TimestampMicrosecondType};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::super::sample;
    use super::*;

    /// What Cost and Usage of FOCUS 1.4 asks of who issues invoices, in its order, and whether it may be NULL.
    const MANDATORY: [(&str, bool); 23] = [
        ("BilledCost", false),
        ("BillingAccountId", false),
        ("BillingAccountName", true),
        ("BillingCurrency", false),
        ("BillingPeriodEnd", false),
        ("BillingPeriodStart", false),
        ("ChargeCategory", false),
        ("ChargeClass", true),
        ("ChargeDescription", true),
        ("ChargePeriodEnd", false),
        ("ChargePeriodStart", false),
        ("ContractedCost", false),
        ("EffectiveCost", false),
        ("HostProviderName", false),
        ("InvoiceDetailId", true),
        ("InvoiceId", true),
        ("InvoiceIssuerName", false),
        ("ListCost", false),
        ("PricingQuantity", true),
        ("PricingUnit", true),
        ("ServiceCategory", false),
        ("ServiceName", false),
        ("ServiceProviderName", false),
    ];

    type Read = Vec<BTreeMap<String, String>>;

    fn files(statement: &Statement) -> [Vec<u8>; 2] {
        let format = Focus { service: "API".to_owned() };
        format.files(statement).unwrap().into_iter().map(|file| file.bytes).collect::<Vec<_>>().try_into().unwrap()
    }

    fn rows(csv: &[u8]) -> Read {
        csv::Reader::from_reader(csv).deserialize().collect::<Result<_, _>>().unwrap()
    }

    fn nanos(text: &str) -> Nanos {
        text.parse().unwrap()
    }

    #[test]
    fn looks_like_this() {
        let [csv, _] = files(&sample::statement());
        insta::assert_snapshot!(String::from_utf8(csv).unwrap());
    }

    #[test]
    fn mandatory_columns_are_there_in_order_with_values_of_the_right_form() {
        let [csv, _] = files(&sample::statement());
        let header = csv::Reader::from_reader(&csv[..]).headers().unwrap().clone();
        let mandatory = |name: &&str| MANDATORY.iter().any(|(known, _)| known == name);
        let found: Vec<_> = header.iter().filter(mandatory).collect();
        assert_eq!(found, MANDATORY.map(|(name, _)| name));
        let (own, specified): (Vec<_>, Vec<_>) = header.iter().partition(|name| name.starts_with("x_"));
        assert!(specified.is_sorted() && header.iter().eq(specified.into_iter().chain(own)), "ours come last");
        let is_instant = |text: &str| text.ends_with('Z') && text.len() == 20 && text.parse::<Micros>().is_ok();
        for row in rows(&csv) {
            for (name, nullable) in MANDATORY {
                let value = row[name].as_str();
                let is_right = match name {
                    _ if value.is_empty() => nullable,
                    _ if name.ends_with("Cost") || name.ends_with("Quantity") => value.parse::<Nanos>().is_ok(),
                    _ if name.contains("Period") => is_instant(value),
                    "BillingCurrency" => value.len() == 3 && value.bytes().all(|b| b.is_ascii_uppercase()),
                    "ChargeCategory" => ["Usage", "Purchase", "Tax", "Credit", "Adjustment"].contains(&value),
                    "ChargeClass" => value == "Correction",
                    "InvoiceDetailId" => value.parse::<u32>().is_ok_and(|line| line > 0),
                    "ServiceCategory" => value == "Web",
                    _ => true,
                };
                assert!(is_right, "{name}: `{value}`");
            }
            assert!(row["BillingPeriodStart"] < row["BillingPeriodEnd"]);
        }
    }

    #[test]
    fn costs_obey_the_rules_of_the_specification() {
        for row in rows(&files(&sample::statement())[0]) {
            let (list, category) = (nanos(&row["ListCost"]), row["ChargeCategory"].as_str());
            assert_eq!(row["ListCost"], row["ContractedCost"]);
            assert_eq!(row["BilledCost"], row["EffectiveCost"]);
            let is_priced = matches!(category, "Usage" | "Purchase");
            if is_priced && row["ChargeClass"].is_empty() {
                for name in ["PricingQuantity", "PricingUnit", "ListUnitPrice", "SkuId", "SkuPriceId"] {
                    assert!(!row[name].is_empty(), "{name}: {row:?}");
                }
            }
            if !is_priced {
                for name in ["PricingQuantity", "PricingUnit", "ListUnitPrice", "SkuId", "SkuPriceId", "ConsumedUnit"] {
                    assert!(row[name].is_empty(), "{name}: {row:?}");
                }
                assert_eq!(row["ListCost"], row["BilledCost"]);
            }
            if let (Ok(price), Ok(quantity)) =
                (row["ListUnitPrice"].parse::<Nanos>(), row["PricingQuantity"].parse::<i64>())
            {
                assert_eq!(price.checked_mul(quantity), Some(list), "{row:?}");
            }
        }
    }

    #[test]
    fn a_correction_is_charged_now_for_a_month_past() {
        let read = rows(&files(&sample::statement())[0]);
        let corrections: Vec<_> = read.iter().filter(|row| row["ChargeClass"] == "Correction").collect();
        assert_eq!(corrections.len(), 2);
        // Berlin is two hours ahead of UTC until 25 October, then one.
        for (name, wanted) in [
            ("BillingPeriodStart", "2026-09-30T22:00:00Z"),
            ("BillingPeriodEnd", "2026-10-31T23:00:00Z"),
            ("ChargePeriodStart", "2026-08-31T22:00:00Z"),
            ("ChargePeriodEnd", "2026-09-30T22:00:00Z"),
            ("x_Corrects", "2026-0007"),
        ] {
            assert_eq!(corrections[0][name], wanted, "{name}");
        }
    }

    #[test]
    fn parquet_says_the_same_in_exact_types() {
        let [csv, parquet] = files(&sample::statement());
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(parquet.clone())).unwrap();
        let batch = reader.build().unwrap().next().unwrap().unwrap();
        let cell = |column: &ArrayRef, row: usize| match column.data_type() {
            _ if column.is_null(row) => String::new(),
            DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
            DataType::Decimal128(38, 9) => shortest(Nanos(column.as_primitive::<Decimal128Type>().value(row))),
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => {
                Micros(column.as_primitive::<TimestampMicrosecondType>().value(row)).to_string()
            }
            other => panic!("{other}"),
        };
        let schema = batch.schema();
        let read: Read = (0..batch.num_rows())
            .map(|row| {
                let named = schema.fields().iter().zip(batch.columns());
                named.map(|(field, column)| (field.name().clone(), cell(column, row))).collect()
            })
            .collect();
        assert_eq!(read, rows(&csv));
        for (name, value) in COLUMNS {
            let kind = schema.field_with_name(name).unwrap().data_type();
            assert_eq!(matches!(value, Value::Decimal(_)), *kind == DataType::Decimal128(38, 9), "{name}");
        }
        assert_eq!(files(&sample::statement())[1], parquet);
    }

    #[test]
    fn a_month_without_invoices_has_columns_and_no_rows() {
        let [csv, parquet] = files(&Statement { invoices: Vec::new(), ..sample::statement() });
        assert_eq!(csv.iter().filter(|byte| **byte == b'\n').count(), 1);
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(parquet)).unwrap();
        assert_eq!(reader.schema().fields().len(), COLUMNS.len());
    }

    #[test]
    fn a_preview_has_no_invoice_id_and_a_nameless_seller_is_refused() {
        let mut statement = sample::preview();
        assert!(rows(&files(&statement)[0]).iter().all(|row| row["InvoiceId"].is_empty()));
        statement.invoices[0].customer.name.clear();
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(files(&statement)[1].clone())).unwrap();
        let batch = reader.build().unwrap().next().unwrap().unwrap();
        assert!(batch.column_by_name("BillingAccountName").unwrap().is_null(0), "an empty text is NULL");
        statement.invoices[0].seller.name.clear();
        let error = Focus { service: "API".to_owned() }.files(&statement).unwrap_err();
        assert_eq!(error.to_string(), "invoice acme cannot be written as focus: the seller has no name");
        assert!(Focus { service: String::new() }.files(&statement).is_err());
    }
}
