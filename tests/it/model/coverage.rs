//! coverage_hourly: what came, what came twice, what is missing.

use meterlake::model::coverage_sql;
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
    let sql = coverage_sql(day("2026-10-01"), &["edge".to_owned()]);
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
