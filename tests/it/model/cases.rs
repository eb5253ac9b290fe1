//! The bills under `tests/cases/billing`, worked out by hand: each folder is priced, and what differs is named by file and line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use meterlake::base::{Micros, Nanos, Rounding, UtcDay};
use meterlake::billing::{BillingDay, BillingMonth, BillingZone};
use meterlake::model::{Engine, Meter, MeterValue, UsageDay, usage_sql};
use meterlake::schema::Table;
use serde_json::{Value, json};

use super::priced::{Charge, Config, charges, charges_in_shares};
use super::{engine, meter, rows};

/// What is summed; every other column of `expect.csv` tells one line from another.
const SUMMED: &[&str] = &["rows", "quantity", "billed", "amount", "printed"];

struct Sheet {
    name: String,
    columns: Vec<String>,
    /// Line and cells.
    rows: Vec<(u64, Vec<String>)>,
}

impl Sheet {
    fn read(path: &Path) -> Self {
        let name = path.components().rev().take(2).map(|c| c.as_os_str().to_str().unwrap().to_owned());
        let name = name.collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("/");
        let mut reader = csv::Reader::from_path(path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let columns = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let row = |record: csv::StringRecord| {
            let cells = record.iter().map(str::to_owned).collect();
            (record.position().map_or(0, csv::Position::line), cells)
        };
        let records = reader.records();
        let rows = records.map(|record| row(record.unwrap_or_else(|error| panic!("{name}: {error}")))).collect();
        Self { name, columns, rows }
    }

    fn cell<'r>(&self, row: &'r [String], column: &str) -> Option<&'r str> {
        let at = self.columns.iter().position(|name| name == column)?;
        row.get(at).map(String::as_str)
    }
}

/// What the charges of a line come to, as text, by column.
type Sums = BTreeMap<&'static str, String>;

#[tokio::test]
async fn every_bill_worked_out_by_hand_is_the_one_made() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/billing");
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.is_dir());
    cases.sort();
    assert!(cases.len() >= 14, "{cases:?}");
    let mut differs = Vec::new();
    for case in cases {
        assert!(case.join("why.md").exists(), "{} does not say why", case.display());
        for (usage, expect) in [("usage_before.csv", "expect_before.csv"), ("usage.csv", "expect.csv")] {
            if case.join(usage).exists() || usage == "usage.csv" {
                let made = price(&case, &Sheet::read(&case.join(usage))).await;
                differs.extend(compare(&Sheet::read(&case.join(expect)), &made));
            }
        }
    }
    assert!(differs.is_empty(), "\n{}", differs.join("\n"));
}

/// The charges of the case's months.
async fn price(case: &Path, usage: &Sheet) -> Vec<Charge> {
    let read = |name: &str| fs::read_to_string(case.join(name)).unwrap_or_else(|e| panic!("{}: {e}", case.display()));
    let settings: toml::Table = read("case.toml").parse().unwrap();
    let zone = settings["timezone"].as_str().unwrap();
    let config = Config {
        zone: zone.to_owned(),
        currency: settings["currency"].as_str().unwrap().to_owned(),
        rates: read("rates.toml"),
        customers: read("customers.csv"),
        meters: meters(usage),
    };
    let (engine, zone) = (engine(), BillingZone::named(zone).unwrap());
    config.put(&engine);
    let mut made = Vec::new();
    for month in settings["months"].as_array().unwrap() {
        let month = month.as_str().unwrap();
        let days: Vec<BillingDay> = month.parse::<BillingMonth>().unwrap().days().collect();
        let daily = match usage.columns.iter().any(|column| column == "slot_start") {
            true => daily(&engine, usage, zone, &days).await,
            false => given(usage),
        };
        engine.put(Table::UsageDaily, daily).unwrap();
        let days: Vec<_> = days.iter().map(|day| (UtcDay(day.0), zone.start(*day))).collect();
        let whole = charges(&engine, month, days.clone()).await;
        // Large months are priced some customers at a time.
        if let Some(cut) = whole.last().map(|charge| charge.customer_id.as_str()) {
            assert_eq!(charges_in_shares(&engine, month, days, cut).await, whole, "priced in shares");
        }
        made.extend(whole);
    }
    made
}

/// The meters that the usage names, with the dimensions it shows.
fn meters(usage: &Sheet) -> Vec<Meter> {
    let mut columns: BTreeMap<&str, BTreeSet<String>> = BTreeMap::from([("calls", BTreeSet::new())]);
    for (_, row) in &usage.rows {
        let dimensions: Value = serde_json::from_str(usage.cell(row, "dimensions").unwrap()).unwrap();
        let names = dimensions.as_object().unwrap().keys().cloned();
        columns.entry(usage.cell(row, "meter").unwrap()).or_default().extend(names);
    }
    let of = |(name, columns): (&str, BTreeSet<String>)| {
        meter(name, None, MeterValue::Count, &columns.iter().map(String::as_str).collect::<Vec<_>>())
    };
    columns.into_iter().map(of).collect()
}

/// Usage given by day.
fn given(usage: &Sheet) -> Vec<arrow::array::RecordBatch> {
    let row = |(line, row): &(u64, Vec<String>)| {
        let cell = |column| usage.cell(row, column).unwrap();
        json!({
            "day": cell("day"), "customer_id": cell("customer_id"), "key_ref": format!("k{line}"), "source": "origin",
            "meter": cell("meter"), "dimensions": cell("dimensions"), "attribution": "mapped",
            "quantity": cell("quantity").parse::<i64>().unwrap(), "events": 1,
        })
    };
    rows(Table::UsageDaily, &usage.rows.iter().map(row).collect::<Vec<_>>())
}

/// Usage given by quarter hour, put on the billing days by the SQL that does it.
async fn daily(
    engine: &Engine,
    usage: &Sheet,
    zone: BillingZone,
    days: &[BillingDay],
) -> Vec<arrow::array::RecordBatch> {
    let (mut slots, mut keys, mut near) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
    for (_, row) in &usage.rows {
        let cell = |column| usage.cell(row, column).unwrap();
        let (start, customer) = (cell("slot_start"), cell("customer_id"));
        slots.push(json!({
            "day": &start[..10], "slot_start": start, "source": "origin", "key_ref": customer, "key_state": "present",
            "refused": false, "conflict": false, "meter": cell("meter"), "outcome": "counted",
            "dimensions": cell("dimensions"), "quantity": cell("quantity").parse::<i64>().unwrap(), "events": 1,
        }));
        let key = json!({"source": "origin", "key_ref": customer, "customer_id": customer,
                         "valid_from": "2020-01-01T00:00:00Z"});
        keys.insert(customer.to_owned(), key);
        let day = start.parse::<Micros>().unwrap().day().0;
        near.extend([day - 1, day, day + 1]);
    }
    engine.put(Table::UsageSlots, rows(Table::UsageSlots, &slots)).unwrap();
    engine.put(Table::ApiKeys, rows(Table::ApiKeys, &keys.into_values().collect::<Vec<_>>())).unwrap();
    let mut made = Vec::new();
    for day in days.iter().filter(|day| near.contains(&day.0)) {
        let usage = UsageDay {
            day: UtcDay(day.0),
            from: zone.start(*day),
            to: zone.start(day.next()),
            is_before_start: false,
            has_rates: true,
            cuts: Vec::new(),
        };
        made.push(engine.make(Table::UsageDaily, &day.to_string(), &usage_sql(&usage, &[]).unwrap()).await.unwrap());
    }
    made
}

/// What is wrong, a line of text each.
fn compare(expect: &Sheet, made: &[Charge]) -> Vec<String> {
    let keys: Vec<&str> = expect.columns.iter().map(String::as_str).filter(|c| !SUMMED.contains(c)).collect();
    let mut groups: BTreeMap<Vec<String>, Vec<&Charge>> = BTreeMap::new();
    for charge in made {
        groups.entry(keys.iter().map(|column| shown(charge, column)).collect()).or_default().push(charge);
    }
    let mut differs = Vec::new();
    let mut lines: BTreeSet<Vec<String>> = BTreeSet::new();
    for (line, row) in &expect.rows {
        let at = format!("tests/cases/billing/{}:{line}", expect.name);
        let key: Vec<String> =
            keys.iter().map(|column| normal(column, expect.cell(row, column).unwrap_or_default())).collect();
        assert!(lines.insert(key.clone()), "{at}: this line is there twice");
        let Some(charges) = groups.remove(&key) else {
            differs.push(format!("{at}: nothing was charged for {}", key.join(" ")));
            continue;
        };
        for (column, sum) in sums(&charges) {
            match expect.cell(row, column).map(|cell| normal(column, cell)) {
                Some(wanted) if wanted != sum => {
                    differs.push(format!("{at}: {column} should be `{wanted}` and is `{sum}`, for {}", key.join(" ")));
                }
                _ => {}
            }
        }
    }
    differs.extend(groups.iter().map(|(key, charges)| {
        format!("tests/cases/billing/{}: no line for {}: {:?}", expect.name, key.join(" "), sums(charges))
    }));
    differs
}

fn sums(charges: &[&Charge]) -> Sums {
    let quantity: i64 = charges.iter().map(|charge| charge.quantity).sum();
    let billed: Option<i64> = charges.iter().map(|charge| charge.billed).sum();
    let amount = Nanos(charges.iter().map(|charge| charge.amount).sum());
    // Places of the minor units of ISO 4217.
    let places = match &*charges[0].currency {
        "JPY" => 0,
        "KWD" => 3,
        _ => 2,
    };
    Sums::from([
        ("rows", charges.len().to_string()),
        ("quantity", quantity.to_string()),
        ("billed", billed.map(|billed| billed.to_string()).unwrap_or_default()),
        ("amount", amount.to_string()),
        ("printed", amount.rounded(places, Rounding::HalfUp).text(places)),
    ])
}

/// A cell of a charge as text.
fn shown(charge: &Charge, column: &str) -> String {
    match column {
        "day" => charge.day.to_string(),
        "customer_id" => charge.customer_id.clone(),
        "plan" => charge.plan.clone(),
        "price_id" => charge.price_id.clone(),
        "price_from" => charge.price_from.map(|at| at.to_string()).unwrap_or_default(),
        "dimensions" => charge.dimensions.clone(),
        "month_to_date_before" => charge.month_to_date_before.to_string(),
        "tier" => charge.tier.clone(),
        "kind" => charge.kind.clone(),
        "model" => charge.model.clone().unwrap_or_default(),
        "meter" => charge.meter.clone().unwrap_or_default(),
        "unit_price" => charge.unit_price.map(|price| Nanos(price).to_string()).unwrap_or_default(),
        "currency" => charge.currency.clone(),
        _ => panic!("`{column}` is no column of expect.csv"),
    }
}

/// A cell of `expect.csv` in the spelling of what is made.
fn normal(column: &str, cell: &str) -> String {
    match column {
        "amount" | "unit_price" if !cell.is_empty() => cell.parse::<Nanos>().unwrap().to_string(),
        _ => cell.to_owned(),
    }
}

#[test]
fn a_difference_is_told_by_file_and_line() {
    let charge = |customer: &str, amount| Charge {
        day: UtcDay(0),
        customer_id: customer.to_owned(),
        plan: "p".to_owned(),
        price_id: "calls".to_owned(),
        price_from: None,
        dimensions: "{}".to_owned(),
        month_to_date_before: 0,
        tier: "1".to_owned(),
        kind: "usage".to_owned(),
        model: None,
        meter: None,
        quantity: 1,
        billed: None,
        unit_price: None,
        amount,
        currency: "EUR".to_owned(),
    };
    let row = |line, cells: [&str; 2]| (line, cells.map(str::to_owned).to_vec());
    let expect = Sheet {
        name: "x/expect.csv".to_owned(),
        columns: ["customer_id", "amount"].map(str::to_owned).to_vec(),
        rows: vec![row(2, ["acme", "3"]), row(3, ["beta", "0.50"]), row(4, ["gamma", "1"])],
    };
    let made = [charge("acme", 1_000_000_000), charge("acme", 2_000_000_000), charge("beta", 499_999_999)];
    let differs = compare(&expect, &made);
    assert_eq!(
        differs,
        [
            "tests/cases/billing/x/expect.csv:3: amount should be `0.50` and is `0.499999999`, for beta",
            "tests/cases/billing/x/expect.csv:4: nothing was charged for gamma",
        ]
    );
    let made = [charge("acme", 3_000_000_000), charge("beta", 500_000_000), charge("gamma", 1), charge("delta", 5)];
    let differs = compare(&expect, &made);
    assert_eq!(differs.len(), 2, "{differs:#?}");
    assert!(differs[1].starts_with("tests/cases/billing/x/expect.csv: no line for delta"), "{differs:#?}");
}
