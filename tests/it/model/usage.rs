//! usage_daily: whose usage it is, and why some of it is held.

use meterlake::model::{Cut, MeterValue, slots_sql, usage_sql};
use meterlake::schema::Table;
use serde_json::{Value, json};

use super::{at, engine, meter, rows, shown, utc_day};

fn slot(key: Option<&str>, more: &Value) -> Value {
    let mut slot = json!({
        "day": "2026-10-01", "slot_start": "2026-10-01T10:00:00Z", "source": "origin", "key_ref": key,
        "key_state": if key.is_some() { "present" } else { "absent" }, "refused": false, "conflict": false,
        "meter": "calls", "outcome": "counted", "dimensions": "{}", "quantity": 1, "events": 1,
    });
    slot.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    slot
}

fn owner(key: &str, customer: &str, from: &str, to: Option<&str>) -> Value {
    json!({"source": "origin", "key_ref": key, "customer_id": customer, "valid_from": from, "valid_to": to})
}

const COLUMNS: &[&str] = &["attribution", "customer_id", "key_ref", "quantity", "events"];

#[tokio::test]
async fn the_first_reason_that_applies_is_the_one_shown() {
    let engine = engine();
    let slots = [
        slot(Some("mine"), &json!({"quantity": 5})),
        slot(Some("mine"), &json!({"outcome": "not_billable", "quantity": 0, "refused": true})),
        slot(Some("mine"), &json!({"refused": true, "conflict": true})),
        slot(Some("mine"), &json!({"conflict": true, "outcome": "undecided", "quantity": 0})),
        slot(Some("mine"), &json!({"outcome": "undecided", "quantity": 0, "events": 3})),
        slot(Some("mine"), &json!({"meter": "unknown_to_the_plan"})),
        slot(Some("planless"), &json!({})),
        slot(Some("nobodys"), &json!({"quantity": 7})),
        slot(None, &json!({"outcome": "undecided"})),
        slot(None, &json!({"key_state": "truncated", "outcome": "undecided"})),
        // Another day.
        slot(Some("mine"), &json!({"day": "2026-10-02", "slot_start": "2026-10-02T00:00:00Z"})),
    ];
    engine.put(Table::UsageSlots, rows(Table::UsageSlots, &slots)).unwrap();
    let keys =
        [owner("mine", "acme", "2026-01-01T00:00:00Z", None), owner("planless", "beta", "2026-01-01T00:00:00Z", None)];
    engine.put(Table::ApiKeys, rows(Table::ApiKeys, &keys)).unwrap();
    let customer = json!({"customer_id": "acme", "plan": "pro", "valid_from": "2026-01-01T00:00:00Z"});
    engine.put(Table::Customers, rows(Table::Customers, &[customer])).unwrap();
    let price = json!({"plan": "pro", "price_id": "p", "position": 1, "meter": "calls", "model": "per_unit", "match_columns": 0,
                       "valid_from": "2026-01-01T00:00:00Z", "tier": 1, "tier_from": 0});
    engine.put(Table::Prices, rows(Table::Prices, &[price])).unwrap();

    let mut day = utc_day("2026-10-01");
    day.has_rates = true;
    let made = engine.make(Table::UsageDaily, "2026-10-01", &usage_sql(&day, &[]).unwrap()).await.unwrap();
    let mut got = shown(&made, COLUMNS);
    got.sort();
    assert_eq!(
        got,
        [
            "anonymous - - 1 1",
            "conflict - mine 0 1",
            "mapped acme mine 5 1",
            "not_billable - - 0 1",
            "refused - mine 1 1",
            "truncated - - 1 1",
            "undecided - mine 0 3",
            "unmapped - nobodys 7 1",
            "unpriced acme mine 1 1",
            "unpriced beta planless 1 1",
        ]
    );

    // Without rates nothing is unpriced; before the start nothing is anything else.
    day.has_rates = false;
    let made = engine.make(Table::UsageDaily, "2026-10-01", &usage_sql(&day, &[]).unwrap()).await.unwrap();
    assert!(!shown(&made, COLUMNS).iter().any(|row| row.starts_with("unpriced")));
    day.is_before_start = true;
    let made = engine.make(Table::UsageDaily, "2026-10-01", &usage_sql(&day, &[]).unwrap()).await.unwrap();
    assert!(shown(&made, &["attribution", "customer_id"]).iter().all(|row| row == "before_start -"));
}

#[tokio::test]
async fn made_up_keys_cannot_blow_the_table_up() {
    let engine = engine();
    let mut slots: Vec<Value> = (0..1_200)
        .map(|i| slot(Some(&format!("k{i:04}")), &json!({"events": if i == 1_150 { 2 } else { 1 }})))
        .collect();
    // Refused keys are as easily made up; they rank after those whose usage is held.
    slots.push(slot(Some("a_refused"), &json!({"refused": true, "events": 1_000})));
    slots.push(slot(Some("mine"), &json!({})));
    engine.put(Table::UsageSlots, rows(Table::UsageSlots, &slots)).unwrap();
    engine.put(Table::ApiKeys, rows(Table::ApiKeys, &[owner("mine", "acme", "2026-01-01T00:00:00Z", None)])).unwrap();
    let sql = usage_sql(&utc_day("2026-10-01"), &[]).unwrap();
    let made = engine.make(Table::UsageDaily, "2026-10-01", &sql).await.unwrap();
    let got = shown(&made, COLUMNS);
    assert_eq!(got.len(), 1_003);
    // k1150 has the most events, so k0000..k0998 and it are the thousand; 1200 - 1000 = 200 are left.
    for row in [
        "mapped acme mine 1 1",
        "refused - other 1 1000",
        "unmapped - other 200 200",
        "unmapped - k1150 1 2",
        "unmapped - k0998 1 1",
    ] {
        assert!(got.contains(&row.to_owned()), "{row}");
    }
}

#[tokio::test]
async fn a_rotation_within_a_slot_splits_it_at_the_instant() {
    let engine = engine();
    let event = |time: &str, key: &str| {
        json!({"day": "2026-10-01", "event_time": format!("2026-10-01T{time}Z"), "source": "origin", "key_ref": key,
               "key_state": "present", "status": 200})
    };
    let events = [
        event("10:00:00", "moved"),
        event("10:06:59.999999", "moved"),
        event("10:07:00", "moved"),
        event("10:14:59", "moved"),
        event("10:16:00", "moved"),
        event("10:07:00", "stays"),
        event("10:08:00", "ends"),
    ];
    engine.put(Table::OriginRequests, rows(Table::OriginRequests, &events)).unwrap();
    let calls = meter("calls", None, MeterValue::Count, &[]);
    let hour = at("2026-10-01T10:00:00Z").hour();
    let slots = slots_sql(&calls, "origin", hour, hour.next()).unwrap();
    engine.put(Table::UsageSlots, vec![engine.make(Table::UsageSlots, "10", &slots).await.unwrap()]).unwrap();
    let keys = [
        owner("moved", "old", "2026-01-01T00:00:00Z", Some("2026-10-01T10:07:00Z")),
        owner("moved", "new", "2026-10-01T10:07:00Z", None),
        owner("stays", "old", "2026-01-01T00:00:00Z", None),
        owner("ends", "old", "2026-01-01T00:00:00Z", Some("2026-10-01T10:08:00Z")),
    ];
    engine.put(Table::ApiKeys, rows(Table::ApiKeys, &keys)).unwrap();
    let mut day = utc_day("2026-10-01");
    let cut = |key: &str, time: &str| Cut { source: "origin".to_owned(), key_ref: key.to_owned(), at: at(time) };
    day.cuts = vec![cut("moved", "2026-10-01T10:07:00Z"), cut("ends", "2026-10-01T10:08:00Z")];
    let made = engine.make(Table::UsageDaily, "d", &usage_sql(&day, &[calls]).unwrap()).await.unwrap();
    let mut got = shown(&made, COLUMNS);
    got.sort();
    assert_eq!(got, ["mapped new moved 3 3", "mapped old moved 2 2", "mapped old stays 1 1", "unmapped - ends 1 1"]);
}
