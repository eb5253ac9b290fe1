//! The statements as they are rendered: each parses, and reads exactly the tables its header names.

use std::collections::BTreeSet;

use datafusion::sql::parser::DFParser;
use datafusion::sql::resolve::resolve_table_references;

use super::super::{CoverageRules, coverage_sql};
use super::*;
use crate::model::{MeterValue, header};

fn meter(table: Table) -> Meter {
    Meter {
        name: "calls".to_owned(),
        sources: vec!["s".to_owned()],
        table,
        where_sql: Some("status < 500".to_owned()),
        value: MeterValue::Sum("response_bytes".to_owned()),
        group_by: vec!["path".to_owned()],
    }
}

fn day(cuts: Vec<Cut>) -> UsageDay {
    let day: UtcDay = "2026-10-01".parse().unwrap();
    UsageDay { day, from: day.start(), to: day.next().start(), is_before_start: false, has_rates: true, cuts }
}

fn cut(key: &str, at: &str) -> Cut {
    Cut { source: "s".to_owned(), key_ref: key.to_owned(), at: at.parse().unwrap() }
}

/// The tables a text reads, as the SQL parser sees them.
fn reads(sql: &str) -> BTreeSet<String> {
    let statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
    resolve_table_references(&statement, true).unwrap().0.iter().map(ToString::to_string).collect()
}

#[test]
fn headers_say_what_the_texts_do() {
    let month = MonthBounds { days: vec![(UtcDay(0), Micros(0))] };
    let slots = slots_sql(&meter(Table::EdgeRequests), "s", UtcHour(0), UtcHour(1)).unwrap();
    for (table, sql) in [
        (Table::UsageSlots, slots),
        (Table::UsageDaily, usage_sql(&day(Vec::new()), &[]).unwrap()),
        (Table::ChargesDaily, charges_sql(&month)),
        (Table::CoverageHourly, coverage_sql(UtcDay(0), &CoverageRules::default())),
    ] {
        let header = header(&sql).unwrap();
        assert_eq!(header.table, table.name());
        assert_eq!(header.partition, "day");
        assert_eq!(header.reads.iter().cloned().collect::<BTreeSet<_>>(), reads(&sql), "{}", table.name());
        let columns: Vec<&str> = table.columns().iter().map(|column| column.name).collect();
        assert!(header.key.iter().all(|key| columns.contains(&key.as_str())), "{}", table.name());
        assert!(!header.why.is_empty() && !header.grain.is_empty());
        // A product is a star as well.
        let selects_all = ["SELECT *", "SELECT\n    *", ".*"].iter().any(|all| sql.contains(all));
        assert!(!sql.contains('$') && !selects_all, "{}", table.name());
    }
}

#[test]
fn a_cut_day_also_reads_the_events() {
    let sql = usage_sql(&day(vec![cut("a", "2026-10-01T10:07:00Z")]), &[meter(Table::OriginRequests)]).unwrap();
    assert!(reads(&sql).contains("origin_requests"));
    assert!(sql.contains("slot_start = TIMESTAMP '2026-10-01 10:00:00 +00:00' AND key_ref IN ('a')"));
}

#[test]
fn pieces_of_a_slot_are_asked_for_latest_first() {
    let cuts =
        vec![cut("a", "2026-10-01T10:07:00Z"), cut("a", "2026-10-01T10:09:00Z"), cut("b", "2026-10-01T10:07:00Z")];
    let sql = usage_sql(&day(cuts), &[meter(Table::OriginRequests)]).unwrap();
    let at = |piece: &str| sql.find(&format!("THEN TIMESTAMP '2026-10-01 10:{piece}:00 +00:00'")).unwrap();
    assert!(at("09") < at("07") && at("07") < at("00"));
    assert_eq!(sql.matches(") AS cut").count(), 1);
}

#[test]
fn a_day_of_distinct_values_also_reads_the_events_of_the_day() {
    let users = Meter { value: MeterValue::Unique("user_agent".to_owned()), ..meter(Table::EdgeRequests) };
    let peak = Meter { value: MeterValue::Max("status".to_owned()), ..meter(Table::OriginRequests) };
    let sql = usage_sql(&day(Vec::new()), &[users.clone(), peak.clone()]).unwrap();
    assert!(reads(&sql).contains("edge_requests") && !reads(&sql).contains("origin_requests"));
    // The very text by which the slots decide, with the day's bounds.
    assert!(sql.contains("WHEN rule IS NULL OR amount IS NULL OR amount < 0 THEN 'undecided'"));
    let bounds =
        "event_time >= TIMESTAMP '2026-10-01 00:00:00 +00:00' AND event_time < TIMESTAMP '2026-10-02 00:00:00 +00:00'";
    assert!(sql.contains(bounds), "{sql}");
    // Nobody is charged for a day before the start: its events are not read.
    let before = UsageDay { is_before_start: true, ..day(Vec::new()) };
    assert!(!reads(&usage_sql(&before, &[users, peak]).unwrap()).contains("edge_requests"));
}

#[test]
fn text_from_outside_stays_text() {
    let hostile = Cut { key_ref: "x') OR TRUE OR ('".to_owned(), ..cut("", "2026-10-01T10:07:00Z") };
    let sql = usage_sql(&day(vec![hostile]), &[meter(Table::OriginRequests)]).unwrap();
    assert!(sql.contains("key_ref IN ('x'') OR TRUE OR (''')"));
}

#[test]
fn slots_are_quarters_of_an_hour() {
    let at = |text: &str| text.parse::<Micros>().unwrap();
    assert_eq!(slot_of(at("2026-10-01T10:14:59.999Z")), at("2026-10-01T10:00:00Z"));
    assert_eq!(slot_of(at("2026-10-01T10:15:00Z")), at("2026-10-01T10:15:00Z"));
    assert_eq!(slot_of(Micros(-1)), Micros(-SLOT_MICROS));
}

#[test]
fn customers_are_cut_into_ranges_that_meet() {
    let range = |from: Option<&str>, to: Option<&str>| CustomerSet::Range {
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
    };
    let counted = |rows: &[(&str, u64)]| rows.iter().map(|(id, rows)| ((*id).to_owned(), *rows)).collect::<Vec<_>>();
    assert_eq!(CustomerSet::ranges(counted(&[]), 10), [range(None, None)]);
    assert_eq!(CustomerSet::ranges(counted(&[("a", 6), ("b", 4)]), 10), [range(None, None)]);
    // One that is too large by itself has a range of its own.
    assert_eq!(
        CustomerSet::ranges(counted(&[("a", 6), ("b", 5), ("c", 5), ("d", 99), ("e", 1)]), 10),
        [range(None, Some("b")), range(Some("b"), Some("d")), range(Some("d"), Some("e")), range(Some("e"), None)]
    );
    assert_eq!(range(Some("o'b"), None).condition().as_deref(), Some("customer_id >= 'o''b'"));
    assert_eq!(range(None, None).condition(), None);

    let only = |ids: &[&str]| CustomerSet::Only(ids.iter().map(|id| (*id).to_owned()).collect());
    assert_eq!(CustomerSet::lists(counted(&[]), 10), []);
    assert_eq!(
        CustomerSet::lists(counted(&[("a", 6), ("b", 4), ("c", 99), ("d", 0)]), 10),
        [only(&["a", "b"]), only(&["c"]), only(&["d"])]
    );
    assert_eq!(only(&["a", "o'b"]).condition().as_deref(), Some("customer_id IN ('a', 'o''b')"));
}
