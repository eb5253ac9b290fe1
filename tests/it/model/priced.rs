//! Prices usage as the product does: configuration files in, rows of `charges_daily` out.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};
use meterlake::base::{Micros, UtcDay};
use meterlake::billing::{Billing, BillingFiles, BillingZone, ConfigFile};
use meterlake::model::{CustomerSet, Engine, Meter, MonthBounds, charges_sql};
use meterlake::schema::Table;

/// A row of `charges_daily`. Its fields begin with those that the rows are ordered by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Charge {
    pub(super) day: UtcDay,
    pub(super) customer_id: String,
    pub(super) plan: String,
    pub(super) price_id: String,
    pub(super) price_from: Option<Micros>,
    pub(super) dimensions: String,
    pub(super) month_to_date_before: i64,
    pub(super) tier: String,
    pub(super) kind: String,
    pub(super) model: Option<String>,
    pub(super) meter: Option<String>,
    pub(super) quantity: i64,
    pub(super) billed: Option<i64>,
    /// In nano-units, as the amount.
    pub(super) unit_price: Option<i128>,
    pub(super) amount: i128,
    pub(super) currency: String,
}

/// `[billing]` and its files.
pub(super) struct Config {
    pub(super) zone: String,
    pub(super) currency: String,
    pub(super) rates: String,
    pub(super) customers: String,
    pub(super) meters: Vec<Meter>,
}

impl Config {
    /// Gives the engine the configuration's tables.
    pub(super) fn put(&self, engine: &Engine) {
        let file = |name: &str, text: &str| Some(ConfigFile { name: name.to_owned(), bytes: text.as_bytes().to_vec() });
        let files = BillingFiles {
            adjustments: None,
            customers: file("customers.csv", &self.customers),
            keys: None,
            rates: file("rates.toml", &self.rates),
        };
        let zone = BillingZone::named(&self.zone).unwrap();
        let billing = Billing::parse(&self.currency, zone, None, &files, &self.meters)
            .unwrap_or_else(|problems| panic!("{problems}\n{}", self.rates));
        let tables = billing.tables([]).unwrap();
        for (table, rows) in [
            (Table::Customers, tables.customers),
            (Table::Prices, tables.prices),
            (Table::PriceMatches, tables.price_matches),
            (Table::PlanTerms, tables.plan_terms),
        ] {
            engine.put(table, vec![rows]).unwrap();
        }
    }
}

/// The charges of these days of a month, from the engine's usage and configuration, in the order they come in.
pub(super) async fn charges(engine: &Engine, month: &str, days: Vec<(UtcDay, Micros)>) -> Vec<Charge> {
    let made = engine.make(Table::ChargesDaily, month, &charges_sql(&MonthBounds { days })).await.unwrap();
    read(&made)
}

/// The same, the customers before and from `cut` on priced by themselves, as large months are.
pub(super) async fn charges_in_shares(
    engine: &Engine,
    month: &str,
    days: Vec<(UtcDay, Micros)>,
    cut: &str,
) -> Vec<Charge> {
    let month_bounds = MonthBounds { days };
    let mut found = Vec::new();
    for (from, to) in [(None, Some(cut)), (Some(cut), None)] {
        let customers = CustomerSet::Range { from: from.map(str::to_owned), to: to.map(str::to_owned) };
        found.extend(read(&engine.charges(month, &month_bounds, &customers).await.unwrap()));
    }
    found.sort();
    found
}

fn read(batch: &RecordBatch) -> Vec<Charge> {
    let column = |name: &str| batch.column_by_name(name).unwrap();
    let text = |name: &str, row| {
        let column = column(name);
        column.is_valid(row).then(|| column.as_string_view().value(row).to_owned())
    };
    let bigint = |name: &str, row| valid(column(name), row).map(|c| c.as_primitive::<Int64Type>().value(row));
    let decimal = |name: &str, row| valid(column(name), row).map(|c| c.as_primitive::<Decimal128Type>().value(row));
    (0..batch.num_rows())
        .map(|row| Charge {
            day: UtcDay(column("day").as_primitive::<Date32Type>().value(row)),
            customer_id: text("customer_id", row).unwrap(),
            plan: text("plan", row).unwrap(),
            price_id: text("price_id", row).unwrap(),
            price_from: valid(column("price_from"), row)
                .map(|c| Micros(c.as_primitive::<TimestampMicrosecondType>().value(row))),
            dimensions: text("dimensions", row).unwrap(),
            month_to_date_before: bigint("month_to_date_before", row).unwrap(),
            tier: text("tier", row).unwrap(),
            kind: text("kind", row).unwrap(),
            model: text("model", row),
            meter: text("meter", row),
            quantity: bigint("quantity", row).unwrap(),
            billed: bigint("billed", row),
            unit_price: decimal("unit_price", row),
            amount: decimal("amount", row).unwrap(),
            currency: text("currency", row).unwrap(),
        })
        .collect()
}

fn valid(column: &ArrayRef, row: usize) -> Option<&ArrayRef> {
    column.is_valid(row).then_some(column)
}
