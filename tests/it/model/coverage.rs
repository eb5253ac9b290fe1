//! coverage_hourly: what came, what came twice, what is missing.

use meterlake::model::{CoverageRules, coverage_sql};
use meterlake::schema::Table;
use serde_json::{Value, json};

use super::{day, engine, rows, shown};

#[tokio::test]
async fn hours_between_the_first_and_last_are_ok_quiet_or_a_gap() {
    let engine = engine();
    let given = |source: &str, hour: &str, object: &str, records: i64, rejects: i64, arrived: &str| {
        json!({"day": "2026-10-01", "source": source, "hour_start": format!("2026-10-01T{hour}:00:00Z"), "object_id": object,
               "records": records, "rejects": rejects, "arrived_at": arrived})
    };
    let event = |source: &str, time: &str, conflict: bool| -> Value {
        json!({"day": "2026-10-01", "source": source, "event_time": format!("2026-10-01T{time}Z"), "conflict": conflict})
    };
    engine
        .put(
            Table::ObjectHours,
            rows(
                Table::ObjectHours,
                &[
                    given("edge", "03", "a", 2, 0, "2026-10-01T03:20:00Z"),
                    given("edge", "03", "b", 1, 0, "2026-10-01T05:00:07.9Z"),
                    given("edge", "05", "b", 1, 0, "2026-10-01T05:59:00Z"),
                    given("edge", "05", "c", 0, 4, "2026-10-01T05:30:00Z"),
                    given("origin", "22", "d", 1, 0, "2026-10-03T23:00:01Z"),
                    given("origin", "20", "d", 1, 0, "2026-10-01T20:10:00Z"),
                ],
            ),
        )
        .unwrap();
    let edge = [event("edge", "03:00:00", false), event("edge", "03:59:59", true), event("edge", "05:00:00", false)];
    engine.put(Table::EdgeRequests, rows(Table::EdgeRequests, &edge)).unwrap();
    let origin = [event("origin", "22:00:00", false), event("origin", "20:00:00", false)];
    engine.put(Table::OriginRequests, rows(Table::OriginRequests, &origin)).unwrap();
    let rules = CoverageRules { heartbeat: ["edge".to_owned()].into(), ..Default::default() };
    let sql = coverage_sql(day("2026-10-01"), &rules);
    let made = engine.make(Table::CoverageHourly, "2026-10-01", &sql).await.unwrap();
    let columns = [
        "source",
        "hour_start",
        "objects",
        "records",
        "events",
        "duplicates",
        "conflicts",
        "rejects",
        "lateness_max_s",
        "state",
    ];
    assert_eq!(
        shown(&made, &columns),
        [
            // Hour 03 ends at 04:00; its last object came at 05:00:07.9: 3607 whole seconds later.
            "edge 2026-10-01T03:00:00Z 2 3 2 1 1 0 3607 ok",
            "edge 2026-10-01T04:00:00Z 0 0 0 0 0 0 - gap",
            "edge 2026-10-01T05:00:00Z 1 1 1 0 0 4 0 ok",
            "origin 2026-10-01T20:00:00Z 1 1 1 0 0 0 0 ok",
            "origin 2026-10-01T21:00:00Z 0 0 0 0 0 0 - quiet",
            // Two days and one second after 23:00.
            "origin 2026-10-01T22:00:00Z 1 1 1 0 0 0 172801 ok",
        ]
    );
}

/// Events of one hour of 2026-10-01, the last `conflicts` of them not alone under their id.
fn events(source: &str, hour: u32, count: u32, conflicts: u32) -> Vec<Value> {
    let event = |n: u32| {
        json!({"day": "2026-10-01", "source": source, "event_time": format!("2026-10-01T{hour:02}:00:{n:02}Z"),
               "conflict": n + conflicts >= count})
    };
    (0..count).map(event).collect()
}

#[tokio::test]
async fn an_hour_with_fewer_requests_than_were_counted_is_a_gap() {
    let engine = engine();
    let found = [
        events("a", 0, 2, 0),
        events("a", 1, 1, 0),
        events("a", 4, 3, 1),
        events("a", 6, 2, 0),
        events("a", 7, 1, 0),
        events("c", 0, 1, 0),
        events("c", 1, 1, 0),
        events("c", 2, 1, 0),
    ];
    engine.put(Table::EdgeRequests, rows(Table::EdgeRequests, &found.concat())).unwrap();
    let rejected = json!({"day": "2026-10-01", "source": "a", "hour_start": "2026-10-01T07:00:00Z", "object_id": "o",
        "records": 1, "rejects": 2, "arrived_at": "2026-10-01T07:10:00Z"});
    engine.put(Table::ObjectHours, rows(Table::ObjectHours, &[rejected])).unwrap();
    let counted = |source: &str, hour: u32, requests: i64| {
        json!({"day": "2026-10-01", "source": source, "hour_start": format!("2026-10-01T{hour:02}:00:00Z"),
               "requests": requests})
    };
    let counts = [
        counted("a", 0, 3),
        counted("a", 1, 3),
        counted("a", 2, 1),
        counted("a", 3, 2),
        counted("a", 4, 4),
        counted("a", 5, 0),
        counted("a", 6, 1),
        counted("a", 7, 3),
        counted("b", 23, 1),
        counted("c", 0, 2),
        counted("c", 1, 3),
        counted("c", 2, 5),
        counted("d", 0, 1 << 53),
    ];
    engine.put(Table::RequestCounts, rows(Table::RequestCounts, &counts)).unwrap();
    let shortfall_max_per_mille = [("b", 0), ("c", 500)].map(|(source, share)| (source.to_owned(), share)).into();
    let rules = CoverageRules { heartbeat: ["a".to_owned()].into(), shortfall_max_per_mille };
    let sql = coverage_sql(day("2026-10-01"), &rules);
    let made = engine.make(Table::CoverageHourly, "2026-10-01", &sql).await.unwrap();
    assert_eq!(
        shown(&made, &["source", "hour_start", "expected", "events", "conflicts", "rejects", "state"]),
        [
            // Ten of a thousand are tolerated, rounded up: one of three.
            "a 2026-10-01T00:00:00Z 3 2 0 0 ok",
            "a 2026-10-01T01:00:00Z 3 1 0 0 gap",
            // A single request may belong to the hour beside it; but an empty hour of this source is a gap by itself.
            "a 2026-10-01T02:00:00Z 1 0 0 0 gap",
            "a 2026-10-01T03:00:00Z 2 0 0 0 gap",
            // Two records under one id are one request: two are missing of four.
            "a 2026-10-01T04:00:00Z 4 3 1 0 gap",
            // Nothing came, and nothing was there to come.
            "a 2026-10-01T05:00:00Z 0 0 0 0 quiet",
            "a 2026-10-01T06:00:00Z 1 2 0 0 ok",
            // What cannot be read has no hour: it does not hide that two are missing.
            "a 2026-10-01T07:00:00Z 3 1 0 2 gap",
            // Of this source nothing came all day, and nothing is tolerated.
            "b 2026-10-01T23:00:00Z 1 0 0 0 gap",
            // Half of them: one of two, two of three, three of five.
            "c 2026-10-01T00:00:00Z 2 1 0 0 ok",
            "c 2026-10-01T01:00:00Z 3 1 0 0 ok",
            "c 2026-10-01T02:00:00Z 5 1 0 0 gap",
            "d 2026-10-01T00:00:00Z 9007199254740992 0 0 0 gap",
        ]
    );
}
