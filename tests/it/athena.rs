//! Every query of `docs/ATHENA.md` runs as it stands there, over the example with October closed, and gives the rows that
//! stand below it. Those were worked out from `examples/quickstart/README.md`; what cannot be worked out there by hand
//! is counted again here, in another way.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::OnceLock;

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};

use super::quickstart::{Quickstart, walk};

/// A query of the page: its heading, its text, the rows that the page says it gives.
struct Recipe {
    heading: String,
    sql: String,
    rows: Option<Vec<String>>,
}

fn recipes() -> Vec<Recipe> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ATHENA.md")).unwrap();
    let (mut found, mut heading, mut block): (Vec<Recipe>, _, Option<(String, Vec<&str>)>) = (vec![], "", None);
    for line in page.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(language)) => block = Some((language.to_owned(), vec![])),
            (Some(_), Some(_)) => {
                let (language, lines) = block.take().unwrap();
                let rows = || lines.iter().map(|&line| line.to_owned()).collect();
                match &*language {
                    "sql" => found.push(Recipe { heading: heading.to_owned(), sql: lines.join("\n"), rows: None }),
                    "csv" => found.last_mut().unwrap().rows = Some(rows()),
                    _ => {}
                }
            }
            (Some((_, lines)), None) => lines.push(line),
            (None, None) => heading = line.strip_prefix("### ").unwrap_or(heading),
        }
    }
    found
}

/// When an object came, from the name that Firehose gave it: `…-2026-10-29-09-00-00-<uuid>`.
fn arrival(name: &str) -> NaiveDateTime {
    let parts: Vec<_> = name.split('-').collect();
    let start = parts.iter().position(|part| *part == "2026").unwrap();
    NaiveDateTime::parse_from_str(&parts[start..start + 6].join("-"), "%Y-%m-%d-%H-%M-%S").unwrap()
}

/// The example, its objects as old as their names say, with October's invoices issued.
fn closed() -> &'static Quickstart {
    static SHARED: OnceLock<Quickstart> = OnceLock::new();
    SHARED.get_or_init(|| {
        let example = Quickstart::at("athena");
        walk(&example.folder.join("landing"), &mut |path| {
            let time = arrival(path.file_name().unwrap().to_str().unwrap()).and_utc();
            File::options().append(true).open(path).unwrap().set_modified(time.into()).unwrap();
        });
        example.run();
        let closed = example.meterlake(&["invoice", "2026-10", "--close", "--accept", "the example's holes are known"]);
        assert!(closed.status.success(), "{}", String::from_utf8_lossy(&closed.stderr));
        example
    })
}

fn rows_of(heading: &str) -> Vec<Vec<String>> {
    let recipe = recipes().into_iter().find(|recipe| recipe.heading == heading).unwrap();
    closed().query(&recipe.sql).iter().map(|row| row.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn every_query_of_the_page_gives_its_rows() {
    let recipes = recipes();
    assert!(recipes.len() >= 17, "{}", recipes.len());
    for Recipe { heading, sql, rows } in recipes {
        let got = closed().query(&sql);
        assert!(!got.is_empty(), "{heading}: no rows");
        if let Some(rows) = rows {
            assert_eq!(got, rows, "{heading}");
        }
    }
}

#[test]
fn the_invoice_made_of_charges_is_the_invoice() {
    let output = closed().meterlake(&["invoice", "2026-10", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines: Vec<_> = printed["invoices"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|invoice| {
            let customer = text(&invoice["customer_id"]);
            let line = move |line: &serde_json::Value| {
                let column = |name: &str| text(&line[name]);
                (customer.clone(), column("price_id"), column("tier"), line["quantity"].to_string(), column("amount"))
            };
            invoice["lines"].as_array().unwrap().iter().map(line).collect::<Vec<_>>()
        })
        .collect();
    lines.sort();
    let mut charged: Vec<_> = rows_of("An invoice from its charges")
        .into_iter()
        .map(|row| (row[0].clone(), row[4].clone(), row[5].clone(), row[6].clone(), row[9].clone()))
        .collect();
    charged.sort();
    assert_eq!(charged, lines);
}

#[test]
fn percentiles_are_those_of_the_sorted_latencies() {
    let mut by_route: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for row in closed().query("SELECT route, latency_ms FROM origin_requests") {
        let (route, latency) = row.split_once(',').unwrap();
        by_route.entry(route.to_owned()).or_default().push(latency.parse().unwrap());
    }
    let expected: Vec<_> = by_route
        .into_iter()
        .map(|(route, mut latencies)| {
            latencies.sort_unstable();
            let n = latencies.len();
            let rank = |percent: usize| latencies[(n * percent).div_ceil(100) - 1];
            let figures = [n as i64, rank(50), rank(95), rank(99), latencies[n - 1]];
            [vec![route], figures.map(|figure| figure.to_string()).to_vec()].concat()
        })
        .collect();
    assert_eq!(rows_of("Latency percentiles"), expected);
}

#[test]
fn late_hours_are_those_whose_objects_came_an_hour_after_them() {
    // From the names of the objects alone: the last arrival of each hour's objects, less the hour's end.
    let hour = |text: &str| NaiveDateTime::parse_from_str(&text[..19], "%Y-%m-%dT%H:%M:%S").unwrap();
    let mut last: BTreeMap<(NaiveDateTime, String), NaiveDateTime> = BTreeMap::new();
    for row in closed().query("SELECT hour_start, source, source_object FROM object_hours WHERE records > 0") {
        let [start, source, object] = row.split(',').collect::<Vec<_>>().try_into().unwrap();
        let came = arrival(Path::new(object).file_name().unwrap().to_str().unwrap());
        let known = last.entry((hour(start), source.to_owned())).or_insert(came);
        *known = came.max(*known);
    }
    let late: Vec<_> = last
        .into_iter()
        .map(|((start, source), came)| (start, source, (came - start - TimeDelta::hours(1)).num_seconds()))
        .filter(|(.., seconds)| *seconds > 3600)
        .collect();
    let told: Vec<_> = rows_of("Late data")
        .into_iter()
        .map(|row| (hour(&row[0]), row[1].clone(), row[5].parse::<i64>().unwrap()))
        .collect();
    assert_eq!(told, late);
    // Ten calls of 29 October come on 2 November.
    assert!(told.iter().any(|(start, source, seconds)| {
        start.date() == NaiveDate::from_ymd_opt(2026, 10, 29).unwrap() && source == "origin" && *seconds > 3 * 86_400
    }));
    let objects = rows_of("The objects that brought late data");
    assert!(objects.iter().all(|row| hour(&row[4]).date() > hour(&row[0]).date()), "{objects:?}");
    assert!(objects.iter().any(|row| row[1] == "origin" && row[4].starts_with("2026-11-02")), "{objects:?}");
}

#[test]
fn the_records_behind_a_customers_usage_are_as_many_as_its_events() {
    let records = rows_of("The records behind a customer's usage");
    // 31 October: 38 + 24 + 9 calls.
    assert_eq!(records.len(), 71);
}
