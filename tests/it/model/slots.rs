//! usage_slots: the rule's three outcomes, quarter hours, dimensions, and sums that do not fit.

use meterlake::model::{MeterValue, ModelError, slots_sql};
use meterlake::schema::Table;
use serde_json::{Value, json};

use super::{at, engine, meter, rows, shown};

fn event(time: &str, more: &Value) -> Value {
    let mut event = json!({
        "day": &time[..10], "event_time": time, "source": "origin", "key_ref": "k", "key_state": "present",
        "status": 200, "route": "/v1", "response_bytes": 10, "conflict": false,
    });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

const COLUMNS: &[&str] =
    &["slot_start", "key_ref", "refused", "conflict", "outcome", "dimensions", "quantity", "events"];

#[tokio::test]
async fn a_rule_counts_leaves_out_or_cannot_say() {
    let engine = engine();
    let events = [
        event("2026-10-01T10:00:00Z", &json!({})),
        event("2026-10-01T10:14:59.999999Z", &json!({"route": "a\"b\\c"})),
        event("2026-10-01T10:15:00Z", &json!({"route": null})),
        event("2026-10-01T10:59:59Z", &json!({"status": 503})),
        event("2026-10-01T10:45:00Z", &json!({"status": null})),
        event("2026-10-01T10:31:00Z", &json!({"response_bytes": null})),
        event("2026-10-01T10:32:00Z", &json!({"response_bytes": -1})),
        event("2026-10-01T10:33:00Z", &json!({"response_bytes": 9_007_199_254_740_993_i64})),
        event("2026-10-01T10:40:00Z", &json!({"status": 403, "key_ref": null, "key_state": "absent"})),
        event("2026-10-01T10:44:00Z", &json!({"conflict": true})),
        // Outside: the hour after, another source.
        event("2026-10-01T11:00:00Z", &json!({})),
        event("2026-10-01T10:00:00Z", &json!({"source": "other"})),
    ];
    engine.put(Table::OriginRequests, rows(Table::OriginRequests, &events)).unwrap();
    let calls = meter("bytes", Some("status < 500"), MeterValue::Sum("response_bytes".to_owned()), &["route"]);
    let hour = at("2026-10-01T10:00:00Z").hour();
    let sql = slots_sql(&calls, "origin", hour, hour.next()).unwrap();
    let made = engine.make(Table::UsageSlots, "origin/10", &sql).await.unwrap();
    let mut got = shown(&made, COLUMNS);
    got.sort();
    assert_eq!(
        got,
        [
            r#"2026-10-01T10:00:00Z k false false counted {"route":"/v1"} 10 1"#,
            r#"2026-10-01T10:00:00Z k false false counted {"route":"a\"b\\c"} 10 1"#,
            r#"2026-10-01T10:15:00Z k false false counted {"route":null} 10 1"#,
            r#"2026-10-01T10:30:00Z - true false counted {"route":"/v1"} 10 1"#,
            r#"2026-10-01T10:30:00Z k false false undecided {"route":"/v1"} 0 3"#,
            r#"2026-10-01T10:30:00Z k false true counted {"route":"/v1"} 10 1"#,
            r#"2026-10-01T10:45:00Z k false false not_billable {} 0 1"#,
            r#"2026-10-01T10:45:00Z k false false undecided {"route":"/v1"} 0 1"#,
        ]
    );
}

#[tokio::test]
async fn a_sum_past_64_bits_is_an_error_that_names_the_row() {
    let engine = engine();
    let max = 1_i64 << 53;
    let event = event("2026-10-01T10:00:00Z", &json!({"response_bytes": max}));
    engine.put(Table::OriginRequests, rows(Table::OriginRequests, &[event.clone(), event])).unwrap();
    let hour = at("2026-10-01T10:00:00Z").hour();
    // Twice 2^53 times 1000 is 1.8e19, past 9.2e18: each fits, the sum does not.
    let huge = meter("huge", None, MeterValue::Sum("response_bytes * 1000".to_owned()), &[]);
    let sql = slots_sql(&huge, "origin", hour, hour.next()).unwrap();
    let wrong = engine.make(Table::UsageSlots, "origin/10", &sql).await.unwrap_err();
    assert!(matches!(wrong, ModelError::TooLarge { .. }));
    let text = wrong.to_string();
    for piece in ["key_ref=k", "meter=huge", "slot_start=2026-10-01T10:00:00Z", "quantity=18014398509481984000"] {
        assert!(text.contains(piece), "{text}");
    }
}

#[tokio::test]
async fn every_allowed_function_runs() {
    let engine = engine();
    engine
        .put(Table::OriginRequests, rows(Table::OriginRequests, &[event("2026-10-01T10:00:00Z", &json!({}))]))
        .unwrap();
    let hour = at("2026-10-01T10:00:00Z").hour();
    for rule in [
        "abs(0 - status) = 200",
        "coalesce(error_type, 'none') = 'none'",
        "nullif(status, 200) IS NULL",
        "greatest(status, 5) = 200 AND least(latency_ms, 5) IS NULL",
        "length(route) = 3 AND lower(upper(route)) = '/v1'",
        "replace(route, '/', '-') = '-v1' AND starts_with(route, '/v')",
        "strpos(route, 'v') = 2 AND substr(route, 2) = 'v1' AND substring(route from 1 for 2) = '/v'",
        "route LIKE '/v_' AND route NOT LIKE '%x%' AND NOT (route || 'x' = '/v1')",
        "status BETWEEN 200 AND 299 AND status % 100 = 0 AND status / 7 = 28 AND -status < 0",
        "CASE WHEN status IS NULL THEN FALSE WHEN status = 200 THEN TRUE END",
        "cast(status as varchar) = '200' AND try_cast(route as bigint) IS NULL AND (status = 200) IS TRUE",
        "(error_type = 'x') IS NOT TRUE OR TRUE",
    ] {
        let calls = meter("calls", Some(rule), MeterValue::Count, &["status"]);
        let sql = match slots_sql(&calls, "origin", hour, hour.next()) {
            Ok(sql) => sql,
            Err(wrong) if rule.contains("IS NOT TRUE") => {
                assert!(wrong.to_string().contains("cannot be used here"));
                continue;
            }
            Err(wrong) => panic!("{wrong}"),
        };
        let made = engine.make(Table::UsageSlots, "x", &sql).await.unwrap();
        assert_eq!(shown(&made, &["outcome", "dimensions"]), [r#"counted {"status":"200"}"#], "{rule}");
    }
}
