//! Meters that belong to a customer as a whole: distinct values and maxima. Two cases of one key would be added up; these
//! must not be.

use std::collections::{BTreeMap, BTreeSet};

use meterlake::base::{Micros, UtcHour};
use meterlake::model::{Cut, Engine, Meter, MeterValue, UsageDay, slot_of, slots_sql, usage_sql};
use meterlake::schema::Table;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{at, engine, meter, rows, shown, utc_day};

const EARLY: &str = "2026-01-01T00:00:00Z";

fn users(group_by: &[&str]) -> Meter {
    meter("users", Some("status < 500"), MeterValue::Unique("subject".to_owned()), group_by)
}

fn peak(group_by: &[&str]) -> Meter {
    meter("peak", Some("status < 500"), MeterValue::Max("latency_ms".to_owned()), group_by)
}

/// A call on the first of October: when, with which key, of which user, how long it took.
fn call(time: &str, key: &str, user: &str, ms: i64) -> Value {
    json!({"day": "2026-10-01", "event_time": format!("2026-10-01T{time}Z"), "source": "origin", "key_ref": key,
           "key_state": "present", "status": 200, "conflict": false, "route": "/v1", "subject": user, "latency_ms": ms})
}

/// The same with other columns.
fn with(mut call: Value, more: Value) -> Value {
    call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call
}

fn owner(key: &str, customer: &str, from: &str, to: Option<&str>) -> Value {
    json!({"source": "origin", "key_ref": key, "customer_id": customer, "valid_from": from, "valid_to": to})
}

fn always(key: &str, customer: &str) -> Value {
    owner(key, customer, EARLY, None)
}

/// A session with these events, counted into slots, and these owners.
async fn counted(events: &[Value], owners: &[Value], meters: &[Meter], hours: (UtcHour, UtcHour)) -> Engine {
    let engine = engine();
    engine.put(Table::OriginRequests, rows(Table::OriginRequests, events)).unwrap();
    let mut slots = Vec::new();
    for meter in meters {
        for source in &meter.sources {
            let sql = slots_sql(meter, source, hours.0, hours.1).unwrap();
            slots.push(engine.make(Table::UsageSlots, source, &sql).await.unwrap());
        }
    }
    engine.put(Table::UsageSlots, slots).unwrap();
    engine.put(Table::ApiKeys, rows(Table::ApiKeys, owners)).unwrap();
    engine
}

/// The usage of the first of October: customer, source, key, meter, quantity and events of each row, after why it is so.
async fn usage(events: &[Value], owners: &[Value], meters: &[Meter], cuts: &[(&str, &str)]) -> Vec<String> {
    let mut day = utc_day("2026-10-01");
    let cut = |(key, time): &(&str, &str)| Cut {
        source: "origin".to_owned(),
        key_ref: (*key).to_owned(),
        at: at(&format!("2026-10-01T{time}Z")),
    };
    day.cuts = cuts.iter().map(cut).collect();
    let engine = counted(events, owners, meters, (day.from.hour(), day.to.hour())).await;
    let made = engine.make(Table::UsageDaily, "day", &usage_sql(&day, meters).unwrap()).await.unwrap();
    let columns = ["attribution", "customer_id", "source", "key_ref", "meter", "quantity", "events"];
    let mut got = shown(&made, &columns);
    got.sort();
    got
}

#[tokio::test]
async fn two_keys_of_one_customer_with_one_user_are_one_user() {
    let events = [
        call("10:00:00", "k1", "ann", 40),
        call("10:20:00", "k2", "ann", 70),
        call("23:59:59.999999", "k2", "bob", 10),
        call("10:00:00", "k3", "ann", 5),
    ];
    let owners = [always("k1", "acme"), always("k2", "acme"), always("k3", "beta")];
    // Acme has ann and bob, though ann came with both keys; its longest call is k2's of 70 ms. Beta has an ann of its own.
    assert_eq!(
        usage(&events, &owners, &[users(&[]), peak(&[])], &[]).await,
        [
            "mapped acme - - peak 70 0",
            "mapped acme - - users 2 0",
            "mapped acme origin k1 peak 0 1",
            "mapped acme origin k1 users 0 1",
            "mapped acme origin k2 peak 0 2",
            "mapped acme origin k2 users 0 2",
            "mapped beta - - peak 5 0",
            "mapped beta - - users 1 0",
            "mapped beta origin k3 peak 0 1",
            "mapped beta origin k3 users 0 1",
        ]
    );
}

#[tokio::test]
async fn a_user_of_two_sources_is_one_user() {
    let there = json!({"source": "there"});
    let events = [
        call("10:00:00", "k", "ann", 1),
        with(call("11:00:00", "k", "ann", 9), there.clone()),
        with(call("11:00:00", "k", "bob", 2), json!({"source": "third"})),
    ];
    let owners = [always("k", "acme"), with(always("k", "acme"), there)];
    let both = |meter: Meter| Meter { sources: vec!["origin".to_owned(), "there".to_owned()], ..meter };
    // The third source is not the meter's.
    assert_eq!(
        usage(&events, &owners, &[both(users(&[])), both(peak(&[]))], &[]).await,
        [
            "mapped acme - - peak 9 0",
            "mapped acme - - users 1 0",
            "mapped acme origin k peak 0 1",
            "mapped acme origin k users 0 1",
            "mapped acme there k peak 0 1",
            "mapped acme there k users 0 1",
        ]
    );
}

#[tokio::test]
async fn a_key_that_changes_hands_takes_its_users_along_from_that_instant() {
    let events = [
        // Within the slot that is cut at 10:07:30.
        call("10:07:29.999999", "k", "ann", 90),
        call("10:07:30", "k", "ann", 20),
        call("10:08:00", "k", "bob", 30),
        // At the start of a slot, at 12:00: nothing is cut there.
        call("11:59:59", "m", "cat", 60),
        call("12:00:00", "m", "cat", 50),
        // The old owner's other key has ann too.
        call("20:00:00", "o", "ann", 10),
    ];
    let owners = [
        owner("k", "old", EARLY, Some("2026-10-01T10:07:30Z")),
        owner("k", "new", "2026-10-01T10:07:30Z", None),
        owner("m", "old", EARLY, Some("2026-10-01T12:00:00Z")),
        owner("m", "new", "2026-10-01T12:00:00Z", None),
        always("o", "old"),
    ];
    // Old: ann and cat, 90 ms. New: ann, bob and cat, 50 ms, not the 90 of the same slot.
    assert_eq!(
        usage(&events, &owners, &[users(&[]), peak(&[])], &[("k", "10:07:30")]).await,
        [
            "mapped new - - peak 50 0",
            "mapped new - - users 3 0",
            "mapped new origin k peak 0 2",
            "mapped new origin k users 0 2",
            "mapped new origin m peak 0 1",
            "mapped new origin m users 0 1",
            "mapped old - - peak 90 0",
            "mapped old - - users 2 0",
            "mapped old origin k peak 0 1",
            "mapped old origin k users 0 1",
            "mapped old origin m peak 0 1",
            "mapped old origin m users 0 1",
            "mapped old origin o peak 0 1",
            "mapped old origin o users 0 1",
        ]
    );
}

#[tokio::test]
async fn what_is_held_keeps_its_events_and_counts_for_nobody() {
    let odd = |time: &str, more: Value| with(call(time, "k", "zoe", 999), more);
    let events = [
        call("10:00:00", "k", "ann", 0),
        odd("10:01:00", json!({"status": 403})),
        odd("10:02:00", json!({"status": 503})),
        odd("10:03:00", json!({"status": null})),
        odd("10:04:00", json!({"conflict": true})),
        odd("10:05:00", json!({"key_state": "truncated"})),
        odd("10:06:00", json!({"key_state": "absent", "key_ref": null})),
        odd("10:07:00", json!({"key_ref": "nobodys"})),
        // No user and no duration, then a negative one: each is undecided for its meter and counts for the other.
        with(call("10:08:00", "k", "", 7), json!({"subject": null})),
        with(call("10:09:00", "k", "ann", 0), json!({"latency_ms": null})),
        call("10:10:00", "k", "ann", -1),
        // Another day.
        with(call("10:00:00", "k", "zoe", 999), json!({"day": "2026-10-02", "event_time": "2026-10-02T00:00:00Z"})),
    ];
    let users = users(&[]);
    assert_eq!(
        usage(&events, &[always("k", "acme")], std::slice::from_ref(&users), &[]).await,
        [
            "anonymous - origin - users 0 1",
            "conflict - origin k users 0 1",
            "mapped acme - - users 1 0",
            "mapped acme origin k users 0 3",
            "not_billable - origin - users 0 1",
            "refused - origin k users 0 1",
            "truncated - origin k users 0 1",
            "undecided - origin k users 0 2",
            "unmapped - origin nobodys users 0 1",
        ]
    );
    assert_eq!(
        usage(&events, &[always("k", "acme")], &[peak(&[])], &[]).await,
        [
            "anonymous - origin - peak 0 1",
            "conflict - origin k peak 0 1",
            "mapped acme - - peak 7 0",
            "mapped acme origin k peak 0 2",
            "not_billable - origin - peak 0 1",
            "refused - origin k peak 0 1",
            "truncated - origin k peak 0 1",
            "undecided - origin k peak 0 3",
            "unmapped - origin nobodys peak 0 1",
        ]
    );
}

#[tokio::test]
async fn without_a_price_or_before_the_start_nothing_is_counted() {
    let events = [
        call("10:00:00", "k", "ann", 1),
        call("10:01:00", "k", "bob", 2),
        with(call("10:02:00", "k", "cat", 3), json!({"route": "/free"})),
        call("10:03:00", "planless", "dan", 4),
    ];
    let mut day = utc_day("2026-10-01");
    day.has_rates = true;
    let meters = [users(&["route"]), peak(&["route"])];
    let owners = [always("k", "acme"), always("planless", "beta")];
    let engine = counted(&events, &owners, &meters, (day.from.hour(), day.to.hour())).await;
    let customer = json!({"customer_id": "acme", "plan": "pro", "valid_from": EARLY});
    engine.put(Table::Customers, rows(Table::Customers, &[customer])).unwrap();
    let price = |meter: &str| {
        json!({"plan": "pro", "price_id": meter, "position": 1, "meter": meter, "model": "per_unit", "match_columns": 1,
               "valid_from": EARLY, "tier": 1, "tier_from": 0})
    };
    engine.put(Table::Prices, rows(Table::Prices, &[price("users"), price("peak")])).unwrap();
    let wants = |meter: &str| json!({"plan": "pro", "price_id": meter, "valid_from": EARLY, "column_name": "route", "fragment": "\"route\":\"/v1\""});
    engine.put(Table::PriceMatches, rows(Table::PriceMatches, &[wants("users"), wants("peak")])).unwrap();
    let made = engine.make(Table::UsageDaily, "day", &usage_sql(&day, &meters).unwrap()).await.unwrap();
    let columns = ["attribution", "customer_id", "key_ref", "meter", "dimensions", "quantity", "events"];
    let mut got = shown(&made, &columns);
    got.sort();
    assert_eq!(
        got,
        [
            r#"mapped acme - peak {"route":"/v1"} 2 0"#,
            r#"mapped acme - users {"route":"/v1"} 2 0"#,
            r#"mapped acme k peak {"route":"/v1"} 0 2"#,
            r#"mapped acme k users {"route":"/v1"} 0 2"#,
            r#"unpriced acme k peak {"route":"/free"} 0 1"#,
            r#"unpriced acme k users {"route":"/free"} 0 1"#,
            r#"unpriced beta planless peak {"route":"/v1"} 0 1"#,
            r#"unpriced beta planless users {"route":"/v1"} 0 1"#,
        ]
    );
    day.is_before_start = true;
    let made = engine.make(Table::UsageDaily, "day", &usage_sql(&day, &meters).unwrap()).await.unwrap();
    let mut got = shown(&made, &["attribution", "customer_id", "meter", "quantity"]);
    got.dedup();
    assert_eq!(got, ["before_start - peak 0", "before_start - users 0"]);
}

#[tokio::test]
async fn text_truth_and_numbers_can_be_told_apart() {
    let events = [
        with(call("10:00:00", "k", "A", 1), json!({"status": 200})),
        with(call("10:01:00", "k", "a", 1), json!({"status": 204})),
        with(call("10:02:00", "k", "", 1), json!({"status": 404})),
        with(call("10:03:00", "k", "a ", 1), json!({"status": 404})),
    ];
    // Upper and lower case, nothing and a space after it are values of their own; 200, 204, 404; below 300 and not.
    for (value, count) in
        [("subject", 4), ("lower(subject)", 3), ("status", 3), ("status / 100", 2), ("status < 300", 2)]
    {
        let meter = meter("m", None, MeterValue::Unique(value.to_owned()), &[]);
        let got = usage(&events, &[always("k", "acme")], &[meter], &[]).await;
        assert_eq!(got, [format!("mapped acme - - m {count} 0"), "mapped acme origin k m 0 4".to_owned()], "{value}");
    }
}

/// A random call: offset in the day before, the day or the day after, key, user, duration, what else is odd about it.
#[derive(Clone, Debug)]
struct Random {
    offset: i64,
    key: u8,
    user: Option<u8>,
    ms: Option<i64>,
    route: u8,
    odd: u8,
}

fn random_call() -> impl Strategy<Value = Random> {
    let offset = prop_oneof![
        3 => 0..86_400_000_000_i64,
        1 => -3_600_000_000..3_600_000_000_i64,
        // Around the hand-overs: 600 to 601 seconds into the day.
        3 => 599_000_000..602_000_000_i64,
    ];
    let user = prop::option::weighted(0.9, 0..5_u8);
    let ms = prop::option::weighted(0.9, -1..40_i64);
    (offset, 0..4_u8, user, ms, 0..2_u8, 0..20_u8).prop_map(|(offset, key, user, ms, route, odd)| Random {
        offset,
        key,
        user,
        ms,
        route,
        odd,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Days begin at 18:30 UTC, as in India. Keys change hands at any instant. Expected is what plain sets say.
    #[test]
    fn random_events_count_as_sets_and_maxima(
        calls in prop::collection::vec(random_call(), 0..120),
        hands in prop::collection::vec((600_000_000..601_000_000_i64, 0..3_u8, 0..4_u8), 4),
    ) {
        let start = at("2026-09-30T18:30:00Z");
        let (from, to) = (start, Micros(start.0 + 86_400_000_000));
        let of = |offset: i64| Micros(start.0 + offset);
        // Each key has an owner until an instant, and then another or none (3).
        let owners_of = |key: u8| {
            let (at, first, then) = hands[usize::from(key)];
            (of(at), first, (then < 3).then_some(then))
        };
        let status = |call: &Random| match call.odd { 0 => Some(403), 1 => Some(503), 2 => None, _ => Some(200) };
        let events: Vec<Value> = calls.iter().map(|call| {
            let at = of(call.offset);
            json!({"day": at.day().to_string(), "event_time": at.to_string(), "source": "origin",
                   "key_ref": if call.odd == 3 { None } else { Some(format!("k{}", call.key)) },
                   "key_state": if call.odd == 4 { "truncated" } else { "present" },
                   "conflict": call.odd == 5, "status": status(call), "route": format!("/{}", call.route),
                   "subject": call.user.map(|user| format!("u{user}")), "latency_ms": call.ms})
        }).collect();
        let mut owners = Vec::new();
        let mut cuts = Vec::new();
        for key in 0..4 {
            let (at, first, then) = owners_of(key);
            let key = format!("k{key}");
            owners.push(owner(&key, &format!("c{first}"), EARLY, Some(&at.to_string())));
            owners.extend(then.map(|then| owner(&key, &format!("c{then}"), &at.to_string(), None)));
            if slot_of(at) != at {
                cuts.push(Cut { source: "origin".to_owned(), key_ref: key, at });
            }
        }
        let (mut sets, mut maxima) = (BTreeMap::<_, BTreeSet<u8>>::new(), BTreeMap::<_, i64>::new());
        let mut in_day = 0;
        for call in calls.iter().filter(|call| (0..86_400_000_000).contains(&call.offset)) {
            in_day += 1;
            let (at, first, then) = owners_of(call.key);
            let customer = if of(call.offset) < at { Some(first) } else { then };
            let (Some(customer), true) = (customer, call.odd > 5) else { continue };
            let unit = (format!("c{customer}"), format!("{{\"route\":\"/{}\"}}", call.route));
            if let Some(user) = call.user {
                sets.entry(unit.clone()).or_default().insert(user);
            }
            if let Some(ms) = call.ms.filter(|ms| *ms >= 0) {
                let max = maxima.entry(unit).or_default();
                *max = ms.max(*max);
            }
        }
        let sets = sets.into_iter().map(|((c, d), set)| format!("{c} users {d} {}", set.len()));
        let maxima = maxima.into_iter().map(|((c, d), max)| format!("{c} peak {d} {max}"));
        let expected: BTreeSet<String> = sets.chain(maxima).collect();

        let meters = [users(&["route"]), peak(&["route"])];
        let day = UsageDay { from, to, cuts, ..utc_day("2026-10-01") };
        let made = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let hours = (UtcHour(from.hour().0 - 1), UtcHour(to.hour().0 + 2));
            let engine = counted(&events, &owners, &meters, hours).await;
            engine.make(Table::UsageDaily, "day", &usage_sql(&day, &meters).unwrap()).await.unwrap()
        });
        let whole = shown(&made, &["source", "customer_id", "meter", "dimensions", "quantity", "events"]);
        let whole = whole.iter().filter_map(|row| row.strip_prefix("- ")?.strip_suffix(" 0"));
        prop_assert_eq!(whole.map(str::to_owned).collect::<BTreeSet<_>>(), expected);
        // No event is lost, and no key has a quantity.
        let rest = shown(&made, &["meter", "source", "events", "quantity"]);
        for meter in ["users", "peak"] {
            let of_keys = rest.iter().filter_map(|row| row.strip_prefix(&format!("{meter} origin "))?.strip_suffix(" 0"));
            prop_assert_eq!(of_keys.map(|events| events.parse::<i64>().unwrap()).sum::<i64>(), in_day);
        }
    }
}
