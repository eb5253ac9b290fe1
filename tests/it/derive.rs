//! The derived build makes what is stale and nothing else. Events are written into their units directly, so that each test
//! says exactly which hours, keys and configuration rows there are. The expected parts are worked out by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::array_value_to_string;
use futures::TryStreamExt;
use meterlake::base::UtcHour;
use meterlake::billing::{BillingZone, ConfigTables};
use meterlake::job::derive::{Derivation, DeriveReport, derive, statement};
use meterlake::job::{Progress, Silent};
use meterlake::lake::{FileSlot, Lake, LakeTable, Replacement};
use meterlake::model::{CoverageRules, EngineOptions, Meter, MeterValue};
use meterlake::schema::Table;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use url::Url;

const DERIVED: &[Table] =
    &[Table::CoverageHourly, Table::UsageSlots, Table::UsageDaily, Table::ChargesDaily, Table::Built];

/// Two days of October and one of November. `acme` owns `a`, `beta` owns `b`, nobody owns `held`, which occurs on one day.
const EVENTS: &[(&str, &[(&str, &str)])] = &[
    ("2026-10-01T05", &[("05:00", "a"), ("20:00", "a"), ("21:00", "b"), ("40:00", "held")]),
    ("2026-10-01T06", &[("00:00", "a")]),
    ("2026-10-02T05", &[("00:00", "a"), ("01:00", "b")]),
    ("2026-11-01T00", &[("00:00", "a"), ("30:00", "b")]),
];

/// A lake in memory.
struct World {
    store: Arc<InMemory>,
    lake: Lake,
}

impl World {
    async fn new() -> Self {
        let store = Arc::new(InMemory::new());
        let url = Url::parse("memory:///lake").unwrap();
        let lake = Lake::open(Arc::clone(&store) as Arc<dyn ObjectStore>, Path::from("lake"), url, [7; 16]);
        Self { lake: lake.await.unwrap(), store }
    }

    async fn with_events() -> Self {
        let world = Self::new().await;
        for (hour, events) in EVENTS {
            world.hour(hour, events).await;
        }
        world
    }

    /// Makes these the events of an hour of `origin`: minute and second, key.
    async fn hour(&self, hour: &str, events: &[(&str, &str)]) {
        let unit: UtcHour = hour.parse().unwrap();
        let events: Vec<Value> = events
            .iter()
            .enumerate()
            .map(|(n, (time, key))| {
                json!({
                    "event_time": format!("{hour}:{time}Z"), "request_id": format!("{hour}:{time}"), "fingerprint": n,
                    "conflict": false, "key_ref": key, "key_state": "present", "status": 200, "source": "origin",
                    "source_object": "o", "source_position": n, "decoder": 1,
                })
            })
            .collect();
        let rows = batch(&Table::OriginRequests.file_schema(), &events);
        self.put(Table::OriginRequests, FileSlot::unit("origin", unit, 0), vec![rows]).await;
    }

    async fn put(&self, table: Table, slot: FileSlot, rows: Vec<RecordBatch>) {
        let at = self.lake.table(table).await.unwrap();
        let new = self.lake.write_file(&at, slot.clone(), rows).await.unwrap();
        at.commit(vec![Replacement { slot, new }], "test").await.unwrap();
    }

    async fn derive(&self, with: &Derivation) -> DeriveReport {
        derive(&self.lake, with, &Silent).await.unwrap()
    }

    /// Derives and gives the parts whose content changed, as `table part`.
    async fn changed(&self, with: &Derivation) -> Vec<String> {
        parts(&self.derive(with).await)
    }

    /// Derives and gives the parts that were computed again, whether or not they came out the same, as `table part`.
    async fn remade(&self, with: &Derivation) -> Vec<String> {
        let before = self.built().await;
        self.derive(with).await;
        let after = self.built().await;
        let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        all.into_iter().filter(|part| before.get(*part) != after.get(*part)).cloned().collect()
    }

    async fn built(&self) -> BTreeMap<String, String> {
        let rows = self.rows(Table::Built, &["table_name", "part", "inputs", "config"]).await;
        let split = |row: String| {
            let mut words = row.splitn(3, ' ').map(str::to_owned);
            (format!("{} {}", words.next().unwrap(), words.next().unwrap()), words.next().unwrap())
        };
        rows.into_iter().map(split).collect()
    }

    async fn versions(&self) -> Vec<u64> {
        let mut versions = Vec::new();
        for table in Table::ALL {
            versions.extend(self.lake.existing_table(*table).await.unwrap().map(|at| at.version()));
        }
        versions
    }

    /// The named columns of a table's rows as text, NULL as `-`, in the order of files and rows.
    async fn rows(&self, table: Table, columns: &[&str]) -> Vec<String> {
        let at = self.lake.table(table).await.unwrap();
        let mut shown = Vec::new();
        for file in at.files() {
            for batch in self.lake.read_file(table, file, Some(columns)).await.unwrap() {
                let cell = |row: usize, name: &&str| {
                    let column = batch.column_by_name(name).unwrap();
                    if column.is_null(row) { "-".to_owned() } else { array_value_to_string(column, row).unwrap() }
                };
                shown.extend(
                    (0..batch.num_rows())
                        .map(|row| columns.iter().map(|name| cell(row, name)).collect::<Vec<_>>().join(" ")),
                );
            }
        }
        shown
    }

    async fn usage(&self) -> Vec<String> {
        let columns = ["day", "attribution", "customer_id", "key_ref", "quantity", "events"];
        let mut rows = self.rows(Table::UsageDaily, &columns).await;
        rows.sort();
        rows
    }

    async fn charges(&self) -> Vec<String> {
        self.rows(Table::ChargesDaily, &["day", "customer_id", "tier", "quantity", "amount"]).await
    }

    /// All rows of the derived tables, file by file; of `built` without the names of files.
    async fn derived(&self) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        for table in DERIVED {
            let columns = table.columns().iter().map(|column| column.name);
            let columns: Vec<&str> = columns.filter(|name| *table != Table::Built || *name != "inputs").collect();
            all.push(self.rows(*table, &columns).await);
        }
        all
    }

    /// Deletes the data files of a table from under it: whoever reads them fails.
    async fn lose(&self, table: Table) {
        let folder = Path::from(format!("lake/tables/{}", table.name()));
        let files: Vec<_> = self.store.list(Some(&folder)).try_collect().await.unwrap();
        for file in files.into_iter().filter(|file| file.location.extension() == Some("parquet")) {
            self.store.delete(&file.location).await.unwrap();
        }
    }
}

fn parts(report: &DeriveReport) -> Vec<String> {
    let parts = report.rebuilt().iter().flat_map(|(table, parts)| parts.iter().map(move |part| (table, part)));
    let mut parts: Vec<String> = parts.map(|(table, part)| format!("{} {part}", table.name())).collect();
    parts.sort();
    parts
}

fn batch(schema: &SchemaRef, rows: &[Value]) -> RecordBatch {
    if rows.is_empty() {
        return RecordBatch::new_empty(Arc::clone(schema));
    }
    let decoder =
        arrow::json::ReaderBuilder::new(Arc::clone(schema)).with_strict_mode(true).with_batch_size(rows.len());
    let mut decoder = decoder.build_decoder().unwrap();
    decoder.serialize(rows).unwrap();
    decoder.flush().unwrap().unwrap()
}

/// A configuration as rows.
#[derive(Clone)]
struct Config {
    customers: Vec<Value>,
    keys: Vec<Value>,
    prices: Vec<Value>,
    matches: Vec<Value>,
    terms: Vec<Value>,
}

impl Config {
    /// `acme` on plan `pro`, `beta` on plan `eco`: 1.5 and 0.5 per call.
    fn new() -> Self {
        Self {
            customers: vec![customer("acme", "pro"), customer("beta", "eco")],
            keys: vec![key("a", "acme", YEAR, None), key("b", "beta", YEAR, None)],
            prices: vec![price("eco", "0.500000000"), price("pro", "1.500000000")],
            matches: Vec::new(),
            terms: Vec::new(),
        }
    }

    fn derivation(&self) -> Derivation {
        let table = |table: Table, rows: &[Value]| batch(&table.schema(), rows);
        Derivation {
            closed: BTreeMap::new(),
            meters: vec![calls(None)],
            zone: BillingZone::UTC,
            start: None,
            config: ConfigTables {
                plan_terms: table(Table::PlanTerms, &self.terms),
                customers: table(Table::Customers, &self.customers),
                api_keys: table(Table::ApiKeys, &self.keys),
                prices: table(Table::Prices, &self.prices),
                price_matches: table(Table::PriceMatches, &self.matches),
            },
            has_rates: true,
            coverage: CoverageRules::default(),
            engine: EngineOptions { memory_bytes_max: 256 << 20, partitions: NonZeroUsize::new(2).unwrap() },
        }
    }
}

const YEAR: &str = "2026-01-01T00:00:00Z";

fn calls(where_sql: Option<&str>) -> Meter {
    Meter {
        name: "calls".to_owned(),
        sources: vec!["origin".to_owned()],
        table: Table::OriginRequests,
        where_sql: where_sql.map(str::to_owned),
        value: MeterValue::Count,
        group_by: vec!["route".to_owned()],
    }
}

fn customer(id: &str, plan: &str) -> Value {
    json!({"customer_id": id, "plan": plan, "valid_from": YEAR})
}

fn key(key: &str, owner: &str, from: &str, to: Option<&str>) -> Value {
    json!({"source": "origin", "key_ref": key, "customer_id": owner, "valid_from": from, "valid_to": to})
}

fn price(plan: &str, unit_price: &str) -> Value {
    json!({"plan": plan, "currency": "USD", "price_id": "p", "position": 1, "meter": "calls", "model": "per_unit",
           "match_columns": 0, "valid_from": YEAR, "tier": 1, "tier_from": 0, "unit_price": unit_price})
}

#[tokio::test]
async fn the_first_build_makes_everything_and_the_second_nothing() {
    let world = World::with_events().await;
    let with = Config::new().derivation();
    assert_eq!(
        world.changed(&with).await,
        [
            "api_keys all",
            "charges_daily 2026-10-01",
            "charges_daily 2026-10-02",
            "charges_daily 2026-11-01",
            "coverage_hourly 2026-10-01",
            "coverage_hourly 2026-10-02",
            "coverage_hourly 2026-11-01",
            "customers all",
            "prices all",
            "usage_daily 2026-10-01",
            "usage_daily 2026-10-02",
            "usage_daily 2026-11-01",
            "usage_slots origin/2026-10-01T05",
            "usage_slots origin/2026-10-01T06",
            "usage_slots origin/2026-10-02T05",
            "usage_slots origin/2026-11-01T00",
        ]
    );
    assert_eq!(
        world.usage().await,
        [
            "2026-10-01 mapped acme a 3 3",
            "2026-10-01 mapped beta b 1 1",
            "2026-10-01 unmapped - held 1 1",
            "2026-10-02 mapped acme a 1 1",
            "2026-10-02 mapped beta b 1 1",
            "2026-11-01 mapped acme a 1 1",
            "2026-11-01 mapped beta b 1 1",
        ]
    );
    assert_eq!(
        world.charges().await,
        [
            "2026-10-01 acme 1 3 4.500000000",
            "2026-10-01 beta 1 1 0.500000000",
            "2026-10-02 acme 1 1 1.500000000",
            "2026-10-02 beta 1 1 0.500000000",
            "2026-11-01 acme 1 1 1.500000000",
            "2026-11-01 beta 1 1 0.500000000",
        ]
    );

    let versions = world.versions().await;
    // Where nothing is stale no data is read: these files are not there any more.
    for table in [Table::OriginRequests, Table::UsageSlots, Table::UsageDaily] {
        world.lose(table).await;
    }
    assert!(!world.derive(&with).await.changed());
    assert_eq!(world.versions().await, versions);
}

#[tokio::test]
async fn new_events_make_their_hour_their_day_and_their_month_stale() {
    let world = World::with_events().await;
    let with = Config::new().derivation();
    world.derive(&with).await;
    world.hour("2026-10-02T07", &[("00:00", "a")]).await;
    assert_eq!(
        world.changed(&with).await,
        [
            "charges_daily 2026-10-02",
            "coverage_hourly 2026-10-02",
            "usage_daily 2026-10-02",
            "usage_slots origin/2026-10-02T07",
        ]
    );
    assert_eq!(world.charges().await[2], "2026-10-02 acme 1 2 3.000000000");

    // Events that are gone take with them what was made from them alone. The counter of the later day of the month begins
    // at another place; that of November begins anew.
    world.hour("2026-10-01T05", &[]).await;
    world.hour("2026-10-01T06", &[]).await;
    assert_eq!(
        world.changed(&with).await,
        [
            "charges_daily 2026-10-01",
            "charges_daily 2026-10-02",
            "coverage_hourly 2026-10-01",
            "usage_daily 2026-10-01",
            "usage_slots origin/2026-10-01T05",
            "usage_slots origin/2026-10-01T06",
        ]
    );
    assert!(world.derived().await.concat().iter().all(|row| !row.contains("2026-10-01")));
    assert!(!world.derive(&with).await.changed());
}

#[tokio::test]
async fn an_owner_for_a_held_key_changes_the_days_on_which_it_occurs() {
    let world = World::with_events().await;
    let mut config = Config::new();
    world.derive(&config.derivation()).await;
    config.customers.push(customer("gamma", "pro"));
    config.keys.push(key("held", "gamma", YEAR, None));
    let expected = [
        "api_keys all",
        "charges_daily 2026-10",
        "customers all",
        "usage_daily 2026-10-01",
        "usage_daily configuration",
    ];
    assert_eq!(world.remade(&config.derivation()).await, expected);
    assert!(world.usage().await.contains(&"2026-10-01 mapped gamma held 1 1".to_owned()));
    assert!(world.charges().await.contains(&"2026-10-01 gamma 1 1 1.500000000".to_owned()));

    // A key that never called, and an owner whose time is over before the first call, matter to no day.
    config.keys.push(key("never seen", "gamma", YEAR, None));
    config.keys.push(key("b", "acme", "2025-01-01T00:00:00Z", Some(YEAR)));
    assert_eq!(world.remade(&config.derivation()).await, ["api_keys all", "usage_daily configuration"]);
}

#[tokio::test]
async fn a_price_matters_to_the_customers_of_its_plan_while_it_is_in_force() {
    let world = World::with_events().await;
    let mut config = Config::new();
    config.customers[1] = json!({"customer_id": "beta", "plan": "eco", "valid_from": "2026-11-01T00:00:00Z"});
    world.derive(&config.derivation()).await;
    // In October nobody is on plan `eco`.
    config.prices[0] = price("eco", "0.250000000");
    assert_eq!(world.changed(&config.derivation()).await, ["charges_daily 2026-11-01", "prices all"]);
    assert_eq!(world.charges().await.last().unwrap(), "2026-11-01 beta 1 1 0.250000000");

    // What a price of another time asks for matters to no day of now.
    let then = "2027-01-01T00:00:00Z";
    let mut later = price("pro", "9.000000000");
    later["valid_from"] = json!(then);
    later["match_columns"] = json!(1);
    config.prices[1]["valid_to"] = json!(then);
    config.prices.push(later);
    world.derive(&config.derivation()).await;
    config.matches.push(
        json!({"plan": "pro", "price_id": "p", "valid_from": then, "column_name": "route", "fragment": "\"route\":\"/x\""}),
    );
    assert_eq!(world.remade(&config.derivation()).await, ["price_matches all", "usage_daily configuration"]);
}

fn charges_of(rows: Vec<String>, kind: &str) -> Vec<String> {
    rows.into_iter().filter(|row| row.starts_with(kind)).collect()
}

const BY_KIND: [&str; 5] = ["kind", "day", "customer_id", "quantity", "amount"];

#[tokio::test]
async fn what_is_charged_without_usage_matters_to_every_month_it_is_in_force() {
    let world = World::with_events().await;
    let mut config = Config::new();
    // Usage begins in October; the last usage is of 1 November. Nobody is on plan `idle` yet.
    let mut flat = price("idle", "1");
    flat["model"] = json!("flat");
    flat["meter"] = Value::Null;
    flat["unit_price"] = Value::Null;
    flat["flat_amount"] = json!("310");
    config.prices.push(flat);
    world.derive(&config.derivation()).await;
    assert_eq!(charges_of(world.rows(Table::ChargesDaily, &BY_KIND).await, "flat").len(), 0);

    // Whoever comes on it on 30 October pays 310 / 31 for each of two days and 310 / 30 for the 1st of November, in whole
    // nano-units; the days before and after are untouched, and so is usage.
    config.customers.push(json!({"customer_id": "gamma", "plan": "idle", "valid_from": "2026-10-30T00:00:00Z"}));
    let expected =
        ["charges_daily 2026-10-30", "charges_daily 2026-10-31", "charges_daily 2026-11-01", "customers all"];
    assert_eq!(world.changed(&config.derivation()).await, expected);
    assert_eq!(
        charges_of(world.rows(Table::ChargesDaily, &BY_KIND).await, "flat"),
        [
            "flat 2026-10-30 gamma 0 10.000000000",
            "flat 2026-10-31 gamma 0 10.000000000",
            "flat 2026-11-01 gamma 0 10.333333333",
        ]
    );

    // A customer of a plan that costs nothing without usage changes no month.
    config.customers.push(customer("delta", "pro"));
    assert_eq!(world.remade(&config.derivation()).await, ["customers all", "usage_daily configuration"]);

    // A minimum from November on makes November's charges again, but neither October's nor any usage: half of plan `pro`'s
    // 60 a month would be 30, of one day in 30 it is 2, and acme's call costs 1.50. Delta calls nobody and owes all of it.
    let november = "2026-11-01T00:00:00Z";
    let terms = |minimum: &str| json!({"plan": "pro", "currency": "USD", "valid_from": november, "minimum": minimum, "discount_ppm": 0});
    config.terms.push(terms("60"));
    let expected = ["charges_daily 2026-11", "plan_terms all"];
    assert_eq!(world.remade(&config.derivation()).await, expected);
    let minimums = ["minimum 2026-11-01 acme 0 0.500000000", "minimum 2026-11-01 delta 0 2.000000000"];
    assert_eq!(charges_of(world.rows(Table::ChargesDaily, &BY_KIND).await, "minimum"), minimums);
    assert!(!world.derive(&config.derivation()).await.changed());

    // A discount that begins with November, too; before it nothing is taken off.
    config.terms[0]["minimum"] = json!("0");
    config.terms[0]["discount_ppm"] = json!(333_333);
    assert_eq!(world.remade(&config.derivation()).await, expected);
    assert_eq!(
        charges_of(world.rows(Table::ChargesDaily, &BY_KIND).await, "discount"),
        ["discount 2026-11-01 acme 0 -0.499999500"]
    );
}

#[tokio::test]
async fn a_month_without_usage_between_months_with_usage_is_charged_whole() {
    let world = World::with_events().await;
    world.hour("2027-01-02T00", &[("00:00", "a")]).await;
    let mut config = Config::new();
    config
        .terms
        .push(json!({"plan": "eco", "currency": "USD", "valid_from": YEAR, "minimum": "31", "discount_ppm": 0}));
    let with = Derivation { start: Some("2026-10-31".parse().unwrap()), ..config.derivation() };
    world.derive(&with).await;
    // Beta, on plan `eco`, owes 1.00 for 31 October, where billing starts; 31.00 for November less its call of 0.50; 31.00 for
    // December, in which nobody called; and for 1 and 2 January 2.00.
    assert_eq!(
        charges_of(world.rows(Table::ChargesDaily, &BY_KIND).await, "minimum"),
        [
            "minimum 2026-10-31 beta 0 1.000000000",
            "minimum 2026-11-30 beta 0 30.500000000",
            "minimum 2026-12-31 beta 0 31.000000000",
            "minimum 2027-01-02 beta 0 2.000000000",
        ]
    );
    assert!(!world.derive(&with).await.changed());
    // Where billing starts after all usage there is no day to charge.
    let with = Derivation { start: Some("2027-02-01".parse().unwrap()), ..with };
    world.derive(&with).await;
    assert!(world.charges().await.is_empty());
    let day = "2027-01-02".parse().unwrap();
    let text = statement(&world.lake, &with, Table::ChargesDaily, day).await.unwrap().unwrap();
    let engine = meterlake::model::Engine::new(with.engine).unwrap();
    assert_eq!(engine.make(Table::ChargesDaily, "2027-01", &text).await.unwrap().num_rows(), 0);
}

#[tokio::test]
async fn without_rates_there_are_no_charges() {
    let world = World::with_events().await;
    let mut config = Config::new();
    world.derive(&config.derivation()).await;
    config.prices.clear();
    let with = Derivation { has_rates: false, ..config.derivation() };
    assert_eq!(
        world.changed(&with).await,
        ["charges_daily 2026-10-01", "charges_daily 2026-10-02", "charges_daily 2026-11-01", "prices all"]
    );
    assert!(world.charges().await.is_empty());
    // With rates that have nothing for anybody the same usage is held.
    world.derive(&Derivation { has_rates: true, ..config.derivation() }).await;
    assert!(world.usage().await.contains(&"2026-10-02 unpriced acme a 1 1".to_owned()));
}

#[tokio::test]
async fn days_before_the_start_are_shown_and_not_charged() {
    let world = World::with_events().await;
    let with = Config::new().derivation();
    world.derive(&with).await;
    let with = Derivation { start: Some("2026-10-02".parse().unwrap()), ..with };
    // October's counters begin on the 2nd now.
    assert_eq!(
        world.changed(&with).await,
        ["charges_daily 2026-10-01", "charges_daily 2026-10-02", "usage_daily 2026-10-01"]
    );
    assert_eq!(
        world.usage().await[..3],
        ["2026-10-01 before_start - a 3 3", "2026-10-01 before_start - b 1 1", "2026-10-01 before_start - held 1 1"]
    );
    assert_eq!(world.charges().await[0], "2026-10-02 acme 1 1 1.500000000");
}

#[tokio::test]
async fn a_meter_that_changes_counts_everything_of_its_sources_again() {
    let world = World::with_events().await;
    let with = Config::new().derivation();
    world.derive(&with).await;
    let with = Derivation { meters: vec![calls(Some("key_ref <> 'b'"))], ..with };
    let changed = world.changed(&with).await;
    let slots: Vec<_> = changed.iter().filter(|part| part.starts_with("usage_slots")).collect();
    // The hour without a `b` is counted again, but comes out the same.
    assert_eq!(
        slots,
        ["usage_slots origin/2026-10-01T05", "usage_slots origin/2026-10-02T05", "usage_slots origin/2026-11-01T00"]
    );
    assert_eq!(
        world.usage().await[..3],
        ["2026-10-01 mapped acme a 3 3", "2026-10-01 not_billable - - 0 1", "2026-10-01 unmapped - held 1 1"]
    );
    assert_eq!(world.charges().await.len(), 3);
}

#[tokio::test]
async fn a_key_that_changes_hands_within_a_slot_is_counted_from_the_events() {
    let world = World::with_events().await;
    let mut config = Config::new();
    let at = "2026-10-01T05:20:30Z";
    config.keys = vec![key("a", "acme", YEAR, Some(at)), key("a", "beta", at, None), key("b", "beta", YEAR, None)];
    let with = config.derivation();
    world.hour("2026-10-01T05", &[("20:00", "a"), ("20:30", "a"), ("21:00", "b")]).await;
    world.derive(&with).await;
    // Beta's second is the call of 06:00.
    assert_eq!(
        world.usage().await[..3],
        ["2026-10-01 mapped acme a 1 1", "2026-10-01 mapped beta a 2 2", "2026-10-01 mapped beta b 1 1"]
    );
    let day = "2026-10-01".parse().unwrap();
    let text = statement(&world.lake, &with, Table::UsageDaily, day).await.unwrap().unwrap();
    assert!(text.contains("FROM origin_requests") && text.contains("2026-10-01 05:20:30 +00:00"), "{text}");

    // A second earlier the call is acme's. Its slot is the same, so only the pieces tell.
    world.hour("2026-10-01T05", &[("20:00", "a"), ("20:29", "a"), ("21:00", "b")]).await;
    let changed = world.changed(&with).await;
    assert!(changed.contains(&"usage_daily 2026-10-01".to_owned()), "{changed:?}");
    assert!(!changed.iter().any(|part| part.starts_with("usage_slots")), "{changed:?}");
    assert_eq!(world.usage().await[..2], ["2026-10-01 mapped acme a 2 2", "2026-10-01 mapped beta a 1 1"]);

    // What is cut is remembered: to see that nothing is stale, no slot and no event is read.
    for table in [Table::OriginRequests, Table::UsageSlots] {
        world.lose(table).await;
    }
    assert!(!world.derive(&with).await.changed());
}

#[tokio::test]
async fn billing_days_are_those_of_the_zone() {
    let world = World::new().await;
    // In Berlin the 2nd begins at 22:00 UTC of the 1st.
    world.hour("2026-10-01T21", &[("59:59", "a")]).await;
    world.hour("2026-10-01T22", &[("00:00", "held")]).await;
    let mut config = Config::new();
    let berlin =
        |config: &Config| Derivation { zone: BillingZone::named("Europe/Berlin").unwrap(), ..config.derivation() };
    world.derive(&berlin(&config)).await;
    assert_eq!(world.usage().await, ["2026-10-01 mapped acme a 1 1", "2026-10-02 unmapped - held 1 1"]);
    // Both days share a UTC day, but the key occurs on one.
    config.customers.push(customer("gamma", "pro"));
    config.keys.push(key("held", "gamma", YEAR, None));
    let remade = world.remade(&berlin(&config)).await;
    let days: Vec<_> = remade.iter().filter(|part| part.starts_with("usage_daily 2")).collect();
    assert_eq!(days, ["usage_daily 2026-10-02"]);

    // In another zone they are other days.
    world.derive(&config.derivation()).await;
    assert_eq!(world.usage().await, ["2026-10-01 mapped acme a 1 1", "2026-10-01 mapped gamma held 1 1"]);
}

#[tokio::test]
async fn a_zone_that_cuts_the_same_hour_elsewhere_gives_other_days() {
    let world = World::new().await;
    // Days begin at 18:30 UTC in Kolkata, at 18:15 in Kathmandu: the same hour, the same keys on both of its days.
    world.hour("2026-10-01T18", &[("05:00", "a"), ("20:00", "a"), ("50:00", "a")]).await;
    for (zone, usage) in [
        ("Asia/Kolkata", ["2026-10-01 mapped acme a 2 2", "2026-10-02 mapped acme a 1 1"]),
        ("Asia/Kathmandu", ["2026-10-01 mapped acme a 1 1", "2026-10-02 mapped acme a 2 2"]),
    ] {
        world.derive(&Derivation { zone: BillingZone::named(zone).unwrap(), ..Config::new().derivation() }).await;
        assert_eq!(world.usage().await, usage, "{zone}");
    }
}

#[tokio::test]
async fn a_build_that_died_under_another_configuration_leaves_nothing_behind() {
    let world = World::with_events().await;
    let config = Config::new();
    let with = config.derivation();
    world.derive(&with).await;
    let good = world.derived().await;
    let built: LakeTable = world.lake.table(Table::Built).await.unwrap();
    let said = built.read_files(built.files().into_iter().cloned().collect(), None).await.unwrap();

    // Another meter, another owner, another price; that build dies before it says what it did.
    let mut other = config.clone();
    other.keys[0] = key("a", "beta", YEAR, None);
    other.prices[0] = price("eco", "7.000000000");
    world.derive(&Derivation { meters: vec![calls(Some("key_ref <> 'b'"))], ..other.derivation() }).await;
    world.put(Table::Built, FileSlot::whole(), said).await;
    assert_ne!(world.derived().await, good);

    assert!(world.derive(&with).await.changed());
    assert_eq!(world.derived().await, good);
    assert!(!world.derive(&with).await.changed());
}

/// A configuration in which what a call costs depends on the calls before it, and the month on its minimum: `acme` and `gamma` on
/// `pro` in tiers with a minimum and a discount, `beta` on `eco` by volume.
fn in_tiers() -> Config {
    let tier = |plan: &str, model: &str, tier: u8, from: u64, to: Option<u64>, unit_price: &str| {
        json!({"plan": plan, "currency": "USD", "price_id": "p", "position": 1, "meter": "calls", "model": model, "match_columns": 0,
               "valid_from": YEAR, "tier": tier, "tier_from": from, "tier_to": to, "unit_price": unit_price})
    };
    let mut config = Config::new();
    config.customers.push(customer("gamma", "pro"));
    config.keys.push(key("c", "gamma", YEAR, None));
    config.prices = vec![
        tier("eco", "volume", 1, 0, Some(2), "0.500000000"),
        tier("eco", "volume", 2, 2, None, "0.400000000"),
        tier("pro", "graduated", 1, 0, Some(3), "1.500000000"),
        tier("pro", "graduated", 2, 3, None, "1.000000000"),
    ];
    config.terms = vec![
        json!({"plan": "pro", "currency": "USD", "valid_from": YEAR, "minimum": "3.100000000", "discount_ppm": 100_000}),
    ];
    config
}

/// Only the customers whose usage has changed are priced again: what comes of it is what a lake that had it all from the start has.
#[tokio::test]
async fn late_calls_leave_what_pricing_everything_would_give() {
    let with = in_tiers().derivation();
    let world = World::with_events().await;
    let mut hours: BTreeMap<&str, Vec<(&str, &str)>> =
        EVENTS.iter().map(|(hour, events)| (*hour, events.to_vec())).collect();
    world.hour("2026-10-03T05", &[("00:00", "c"), ("01:00", "b")]).await;
    hours.insert("2026-10-03T05", vec![("00:00", "c"), ("01:00", "b")]);
    world.derive(&with).await;
    let late: [(&str, &[(&str, &str)]); 7] = [
        // `acme` comes into its second tier a day earlier, and is above its minimum.
        ("2026-10-01T07", &[("00:00", "a"), ("01:00", "a")]),
        // `beta`'s volume price falls for all its calls; `gamma` gets its first of the day.
        ("2026-10-01T08", &[("00:00", "b"), ("01:00", "c")]),
        // A held key: nobody's charges change.
        ("2026-10-01T09", &[("40:00", "held")]),
        // `acme`'s calls of an hour go, and with them its charges of the day before tiers.
        ("2026-10-02T05", &[("01:00", "b")]),
        // Two months at once are one each.
        ("2026-11-01T00", &[("00:00", "a"), ("30:00", "b"), ("31:00", "c")]),
        // A customer loses all its usage of a month.
        ("2026-10-03T05", &[("01:00", "b")]),
        ("2026-10-01T08", &[("00:00", "b")]),
    ];
    for (number, (hour, events)) in late.into_iter().enumerate() {
        let before = world.charges().await;
        world.hour(hour, events).await;
        hours.insert(hour, events.to_vec());
        world.derive(&with).await;
        assert_eq!(world.charges().await == before, hour == "2026-10-01T09", "{hour}");
        // Not after each: to make a lake takes seconds.
        if number % 3 == 0 {
            let whole = World::new().await;
            for (hour, events) in &hours {
                whole.hour(hour, events).await;
            }
            whole.derive(&with).await;
            assert_eq!(world.derived().await, whole.derived().await, "{hour}");
        }
    }
    assert!(!world.derive(&with).await.changed());
}

/// What died between usage and charges left usage that no charges were made from: which customers' has changed is not known.
#[tokio::test]
async fn after_a_build_that_died_before_the_charges_the_whole_month_is_priced() {
    let with = in_tiers().derivation();
    let world = World::with_events().await;
    world.derive(&with).await;
    let mut said = Vec::new();
    for table in [Table::Built, Table::ChargesDaily] {
        let at = world.lake.table(table).await.unwrap();
        for file in at.files() {
            said.push((table, file.slot.clone(), world.lake.read_file(table, file, None).await.unwrap()));
        }
    }
    world.hour("2026-10-01T07", &[("00:00", "a"), ("01:00", "b")]).await;
    world.derive(&with).await;
    let good = world.derived().await;
    for (table, slot, rows) in said {
        world.put(table, slot, rows).await;
    }
    assert_ne!(world.derived().await, good);
    // And more comes, of one customer.
    world.hour("2026-10-02T07", &[("00:00", "a")]).await;
    world.derive(&with).await;

    let whole = World::with_events().await;
    whole.hour("2026-10-01T07", &[("00:00", "a"), ("01:00", "b")]).await;
    whole.hour("2026-10-02T07", &[("00:00", "a")]).await;
    whole.derive(&with).await;
    assert_eq!(world.derived().await, whole.derived().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_builds_at_once_end_as_one() {
    let (together, alone) = (World::with_events().await, World::with_events().await);
    let with = Config::new().derivation();
    let everything = parts(&alone.derive(&with).await);
    let (one, other) = tokio::join!(together.changed(&with), together.changed(&with));
    assert_eq!(together.derived().await, alone.derived().await);
    assert!(!together.derive(&with).await.changed());
    // Whoever committed a part tells of it, also where the other made it begin anew.
    for part in everything {
        assert!(one.contains(&part) || other.contains(&part), "{part}: {one:?} {other:?}");
    }
}

/// Commits to `charges_daily` when usage is made and charges are not, once.
struct Overtaking<'a> {
    world: &'a World,
    steps: AtomicUsize,
}

impl Progress for Overtaking<'_> {
    fn begin(&self, _what: &str, _total: u64) {}
    fn end(&self) {}

    fn step(&self) {
        if self.steps.fetch_add(1, Relaxed) == 3 {
            let charge = json!({"customer_id": "acme", "quantity": 1_000_000});
            let rows = vec![batch(&Table::ChargesDaily.file_schema(), &[charge])];
            let slot = FileSlot::day("2026-11-01".parse().unwrap());
            let put = self.world.put(Table::ChargesDaily, slot, rows);
            block_in_place(|| Handle::current().block_on(put));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_is_overtaken_begins_anew_and_tells_all_it_did() {
    let (overtaken, alone) = (World::with_events().await, World::with_events().await);
    let with = Config::new().derivation();
    let everything = alone.changed(&with).await;
    let progress = Overtaking { world: &overtaken, steps: AtomicUsize::new(0) };
    let report = derive(&overtaken.lake, &with, &progress).await.unwrap();
    assert!(progress.steps.load(Relaxed) > 5, "there was no second attempt");
    assert_eq!(parts(&report), everything);
    assert_eq!(overtaken.derived().await, alone.derived().await);
}

#[tokio::test]
async fn statements_are_printed_as_they_are_run() {
    let world = World::with_events().await;
    let with = Config::new().derivation();
    world.derive(&with).await;
    let day = "2026-10-02".parse().unwrap();
    for (table, says) in [
        (Table::CoverageHourly, "DATE '2026-10-02'"),
        (Table::UsageSlots, "'calls' AS meter"),
        (Table::UsageDaily, "DATE '2026-10-02' AS day"),
        (Table::ChargesDaily, "(DATE '2026-10-01', TIMESTAMP '2026-10-01 00:00:00 +00:00', 1)"),
    ] {
        let text = statement(&world.lake, &with, table, day).await.unwrap().unwrap();
        assert!(text.contains(says) && !text.contains('$'), "{text}");
    }
    for table in [Table::OriginRequests, Table::Customers, Table::Built] {
        assert_eq!(statement(&world.lake, &with, table, day).await.unwrap(), None);
    }
}
